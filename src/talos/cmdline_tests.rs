//! Tests of [`super`]: upstream's own lines, and what extra arguments do.

use super::*;

/// Talos version, platform, architecture, Secure Boot, a value for META key 10, extra arguments, and the
/// line that Talos' imager made of them, or `ERROR`.
const OBSERVED: &str = include_str!("../../testdata/talos/cmdline.tsv");

fn line(talos: &str, extra: &[&str]) -> Result<String, CmdlineError> {
    request(talos, &[], extra)
}

fn request(talos: &str, overlay: &[&str], extra: &[&str]) -> Result<String, CmdlineError> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let request = Request {
        talos: &Tag::new(talos),
        platform: Platform::parse("metal").unwrap(),
        architecture: Architecture::Amd64,
        secure_boot: false,
        iso: false,
        overlay: &owned(overlay),
        meta: &[],
        extra: &owned(extra),
    };
    Cmdline::new(&request).map(|line| line.to_string())
}

/// The line without what is always there.
fn rest(extra: &[&str]) -> String {
    const COMMON: &str = "talos.platform=metal console=tty0 slab_nomerge pti=on consoleblank=0 \
                          printk.devkmsg=on selinux=1 module.sig_enforce=1 proc_mem.force_override=never";
    let line = line("v1.14.0", extra).unwrap();
    line.strip_prefix(COMMON).unwrap_or_else(|| panic!("{line}")).trim_start().to_owned()
}

#[test]
fn every_line_is_that_of_the_real_imager() {
    let mut rows = 0;
    for row in OBSERVED.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [talos, platform, architecture, secure_boot, meta, extra, expected] = fields[..] else {
            panic!("{row}");
        };
        let given = |text: &str| (text != "-").then(|| text.to_owned());
        let meta: Vec<MetaValue> =
            given(meta).map(|value| MetaValue { key: 10, value }).into_iter().collect();
        let extra: Vec<String> = given(extra).map(|extra| split(&extra)).unwrap_or_default();
        rows += 1;
        let Ok(platform) = Platform::parse(platform) else {
            assert_eq!(expected, "ERROR", "{row}");
            continue;
        };
        let request = Request {
            talos: &Tag::new(talos),
            platform,
            architecture: Architecture::parse(architecture).unwrap(),
            secure_boot: secure_boot == "true",
            iso: false,
            overlay: &[],
            meta: &meta,
            extra: &extra,
        };
        assert_eq!(Cmdline::new(&request).unwrap().as_str(), expected, "{row}");
    }
    assert_eq!(rows, 92);
}

#[test]
fn a_minus_takes_away_a_key_or_one_of_its_values() {
    assert_eq!(rest(&["a=1", "a=2", "-a=1"]), "a=2");
    assert_eq!(rest(&["a=1", "a=2", "-a"]), "");
    assert_eq!(rest(&["-a", "a=1"]), "a=1");
    assert_eq!(rest(&["-nothing", "-nothing=1"]), "");
    // The first value decides for all of them.
    assert_eq!(rest(&["a", "a=1", "a=2", "-a=2", "-a"]), "a=1");
    assert_eq!(rest(&["a", "a=1", "-a", "-a=2"]), "");
    // What is left of a key keeps its place.
    assert_eq!(rest(&["a=1", "b", "-a=1", "c"]), "b c");
    assert_eq!(line("v1.14.0", &["-console=tty0", "-selinux=0"]).unwrap().matches("console").count(), 1);
}

#[test]
fn a_lone_minus_is_an_argument() {
    assert_eq!(rest(&["-", "single"]), "- single");
}

#[test]
fn consoles_that_are_given_replace_those_that_are_there_in_their_place() {
    let line = line("v1.7.7", &["console=ttyS1 console=tty1"]).unwrap();
    assert!(line.starts_with("talos.platform=metal console=ttyS1 console=tty1 init_on_alloc=1 "), "{line}");
    assert_eq!(rest(&["b=", "b==", "=x"]), "b b== =x");
}

#[test]
fn values_of_one_key_stand_together() {
    assert_eq!(rest(&["a=1 b", "a=2"]), "a=1 a=2 b");
}

#[test]
fn an_overlay_sets_its_arguments_before_the_defaults_are_added() {
    let line = request("v1.11.6", &["console=ttyAMA0,115200", "pti=off x y"], &["x=1"]).unwrap();
    assert!(
        line.starts_with(
            "talos.platform=metal console=ttyAMA0,115200 pti=off pti=on x x=1 y init_on_alloc=1 slab_nomerge "
        ),
        "{line}"
    );
}

#[test]
fn only_an_iso_stops_where_talos_is_installed_and_only_since_1_8() {
    for (talos, iso, halts) in [("v1.7.7", true, false), ("v1.8.0", true, true), ("v1.8.0", false, false)] {
        let request = Request {
            talos: &Tag::new(talos),
            platform: Platform::parse("metal").unwrap(),
            architecture: Architecture::Arm64,
            secure_boot: true,
            iso,
            overlay: &[],
            meta: &[],
            extra: &[],
        };
        let line = Cmdline::new(&request).unwrap().to_string();
        assert_eq!(line.contains("console=tty0 talos.halt_if_installed=1 "), halts, "{line}");
        assert!(line.ends_with(" lockdown=confidentiality"), "{line}");
    }
}

#[test]
fn blanks_in_quotes_belong_to_their_argument() {
    assert_eq!(rest(&["b=\"2  3\"", "a c", "a=\"c a\" b"]), "b=\"2  3\" b a a=\"c a\" c");
    // A quote may stretch over arguments that a shell took apart.
    assert_eq!(rest(&["dyndbg=\"file", "x.c +p\""]), "dyndbg=\"file x.c +p\"");
}

#[test]
fn arguments_that_would_break_the_line_are_refused() {
    assert_eq!(
        line("v1.11.0", &["a", "b=\"c d", "e"]).unwrap_err().to_string(),
        "kernel argument `b=\"c d` opens a quote that is not closed"
    );
    assert_eq!(
        line("v1.11.0", &["a\nb"]).unwrap_err().to_string(),
        "kernel argument `a\\nb` has the control character \\u{a}"
    );
    for argument in ["a\0b", "a\r", "\u{1b}[2J", "\u{85}"] {
        assert!(matches!(line("v1.11.0", &[argument]), Err(CmdlineError::Control { .. })), "{argument:?}");
    }
    assert_eq!(rest(&["a\tb  c"]), "a b c");
}

#[test]
fn a_line_that_the_kernel_would_cut_is_refused() {
    let base = line("v1.11.0", &[]).unwrap().len();
    let fitting = "x".repeat(LENGTH_MAX - base - 1);
    assert_eq!(line("v1.11.0", &[&fitting]).unwrap().len(), LENGTH_MAX);
    assert_eq!(
        line("v1.11.0", &[&format!("{fitting}x")]).unwrap_err(),
        CmdlineError::TooLong { length: LENGTH_MAX + 1 }
    );
}

#[test]
fn a_menu_entrys_own_argument_counts_as_well() {
    let of = |extra: &[String]| {
        let request = Request {
            talos: &Tag::new("v1.11.0"),
            platform: Platform::parse("metal").unwrap(),
            architecture: Architecture::Amd64,
            secure_boot: false,
            iso: false,
            overlay: &[],
            meta: &[],
            extra,
        };
        Cmdline::new(&request).unwrap()
    };
    let short = of(&[]);
    assert_eq!(short.with("a=b").unwrap().as_str(), format!("{short} a=b"));
    let full = of(&["x".repeat(LENGTH_MAX - short.as_str().len() - 1)]);
    assert_eq!(full.with("a").unwrap_err(), CmdlineError::TooLong { length: LENGTH_MAX + 2 });
}
