//! It boots: installer images that the binary makes of what foreign tools made (`tests/installer_fixture.sh`), taken
//! apart by skopeo and tar, started in QEMU by its UEFI firmware. The init in them is a stand-in that mounts the
//! layers as Talos' does, loads modules with kmod's modprobe and says what it sees (`tests/boot/`); what counts
//! is what the kernel itself says of the module.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use support::judge::{judge, judge_at};
use support::{Ran, World, judged};
use talosmith::base::Digest;

/// The kernel's own line about my-module.
const LOADED: &str = r"^\[ *[0-9.]+\] my-module: loaded, version 1\.0\.0";

/// One guest at a time: each wants all processors, and has a limit of time.
static GUEST: Mutex<()> = Mutex::new(());

/// What the tests here need: the fixtures and the programs. `None` if something is missing, which is said.
struct Lab {
    world: World,
    fixture: PathBuf,
    architecture: &'static str,
    skopeo: PathBuf,
    tar: PathBuf,
}

/// How a boot ended.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The expected line was seen.
    Seen,
    /// The boot came to its end without it.
    NotSeen,
    /// Neither.
    None,
}

impl Lab {
    fn new(kind: &str, architecture: &'static str) -> Option<Self> {
        let folder = judge_at("TALOSMITH_INSTALLER", "folder of tests/installer_fixture.sh")?;
        let emulator = if architecture == "arm64" { "qemu-system-aarch64" } else { "qemu-system-x86_64" };
        judge(emulator)?;
        let (skopeo, tar) = (judge("skopeo")?, judge("tar")?);
        Some(Self { world: World::new(), fixture: folder.join(kind), architecture, skopeo, tar })
    }

    fn boot() -> Option<Self> {
        Self::new("boot", "amd64")
    }

    /// A reference to an image of the fixture's.
    fn image(&self, layout: &str, tag: &str) -> String {
        format!("oci:{}:{tag}", self.fixture.join(layout).display())
    }

    /// The folder of one of the fixture's extensions.
    fn extension(&self, name: &str) -> String {
        self.fixture.join("ext").join(self.architecture).join(name).display().to_string()
    }

    /// Builds an installer from an imager and extensions, with kernel arguments, to `oci:out:x`.
    fn installer(&self, imager: &str, extensions: &[String], modules: &str, more: &[&str]) {
        let base = self.image("base", "v1.11.3");
        let console = if self.architecture == "arm64" { "console=ttyAMA0" } else { "console=ttyS0" };
        let modules = format!("boot.modules={modules}");
        let mut words = vec!["installer", "--imager", imager, "--base", &base, "-o", "oci:out:x"];
        for argument in [console, "panic=-1", "max_loop=32", "module.sig_enforce=1", &modules] {
            words.extend(["--extra-kernel-arg", argument]);
        }
        words.extend(extensions.iter().flat_map(|extension| ["--extension", extension]));
        words.extend(more);
        self.world.ok(&words);
    }

    /// Takes `vmlinuz.efi` out of `oci:out:x`, without a word of ours.
    fn uki(&self) -> PathBuf {
        let words =
            ["--insecure-policy", "--override-arch", self.architecture, "copy", "oci:out:x", "dir:flat"];
        judged(&self.skopeo, &words, &self.world.path(""));
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(self.world.path("flat/manifest.json")).unwrap()).unwrap();
        let layer = manifest["layers"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap();
        let layer = self.world.path("flat").join(layer.strip_prefix("sha256:").unwrap());
        let uki = self.world.path("vmlinuz.efi");
        // To standard output, since the file's mode is 0.
        let status = Command::new(&self.tar)
            .arg("-xOf")
            .arg(layer)
            .arg(format!("usr/install/{}/vmlinuz.efi", self.architecture))
            .stdout(File::create(&uki).unwrap())
            .status();
        assert!(status.unwrap().success());
        uki
    }

    /// Boots something and waits for a line; gives the verdict and the console.
    fn run(&self, what: &[&Path], expect: &str) -> (Verdict, String) {
        let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot/boot.sh");
        let output = Command::new(script)
            .args(["--arch", self.architecture])
            .args(what)
            .env("BOOT_EXPECT", expect)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let ran = Ran::of(output);
        let verdict = match ran.code {
            0 => Verdict::Seen,
            1 => Verdict::NotSeen,
            3 => Verdict::None,
            code => panic!("boot.sh gave {code}:\n{}{}", ran.out, ran.err),
        };
        (verdict, format!("{}{}", ran.out, ran.err))
    }

    /// Boots the image that was made, which must print a line; gives the console.
    fn boots(&self, expect: &str) -> String {
        let (verdict, console) = self.run(&[Path::new("--uki"), &self.uki()], expect);
        assert_eq!(verdict, Verdict::Seen, "{console}");
        assert!(console.contains("[stand-in] done"), "{console}");
        console
    }

    /// An initramfs with layers made by standard tools alone.
    fn control(&self, extensions: &[String]) -> PathBuf {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot/mkext.sh");
        let out = self.world.path("control");
        let base = self.assets("initramfs.xz");
        let mut words = vec![base.to_str().unwrap(), out.to_str().unwrap()];
        words.extend(extensions.iter().map(String::as_str));
        judged(&script, &words, &self.world.path(""));
        out
    }

    fn assets(&self, name: &str) -> PathBuf {
        self.fixture.join("assets").join(self.architecture).join(name)
    }
}

/// The rest of each line of a console that holds `marker`, after it.
fn said<'a>(console: &'a str, marker: &str) -> Vec<&'a str> {
    console.lines().filter_map(|line| line.split_once(marker)).map(|(_, rest)| rest.trim_end()).collect()
}

#[test]
fn an_image_of_standard_tools_loads_what_is_signed_and_refuses_what_is_not() {
    let Some(lab) = Lab::boot() else { return };
    let kernel = lab.assets("vmlinuz");
    let words = "console=ttyS0 panic=-1 module.sig_enforce=1 boot.modules=my-module";
    let good = lab.control(&[lab.extension("my-module")]);
    let (verdict, console) = lab.run(&[&good, &kernel, Path::new(words)], LOADED);
    assert_eq!(verdict, Verdict::Seen, "{console}");
    let foreign = lab.control(&[lab.extension("foreign")]);
    let (verdict, console) = lab.run(&[&foreign, &kernel, Path::new(words)], LOADED);
    assert_eq!(verdict, Verdict::NotSeen, "{console}");
    assert!(console.contains("Loading of module with unavailable key is rejected"), "{console}");
}

#[test]
fn a_module_of_an_extension_loads() {
    let Some(lab) = Lab::boot() else { return };
    lab.installer(&lab.image("imager", "v1.11.3"), &[lab.extension("my-module")], "my-module", &[]);
    let console = lab.boots(LOADED);
    assert_eq!(said(&console, "extensions.yaml: name "), ["my-module", "modules.dep"]);
}

#[test]
fn a_module_that_needs_one_of_the_extension_and_one_of_the_rootfs_loads() {
    let Some(lab) = Lab::boot() else { return };
    let extension = lab.image("extensions", "my-user");
    lab.installer(&lab.image("imager", "v1.11.3"), &[extension], "my-user", &[]);
    let console = lab.boots(r"\] my-user: loaded, answer 42, helper udp_tunnel_sock_release \[udp_tunnel\]");
    assert!(console.contains("] my-module: loaded"), "{console}");
}

#[test]
fn eleven_extensions_lie_in_the_order_given() {
    let Some(lab) = Lab::boot() else { return };
    let given = ["02", "11", "03", "10", "04", "09", "05", "08", "06", "07", "01"];
    let extensions: Vec<String> =
        given.iter().map(|number| lab.extension(&format!("order-{number}"))).collect();
    lab.installer(&lab.image("imager", "v1.11.3"), &extensions, "", &[]);
    // The last one given lies on top, whatever its name.
    let console = lab.boots(r"\[stand-in\] top: 01$");
    let names: Vec<String> = given.iter().map(|number| format!("order-{number}")).collect();
    assert_eq!(said(&console, "extensions.yaml: name "), names);
    assert_eq!(said(&console, "[stand-in] all: "), ["01 02 03 04 05 06 07 08 09 10 11 top"]);
}

#[test]
fn a_base_initramfs_in_gzip_boots_with_layers_after_it() {
    let Some(lab) = Lab::boot() else { return };
    lab.installer(&lab.image("imager", "gzip"), &[lab.extension("my-module")], "my-module", &[]);
    lab.boots(LOADED);
}

#[test]
fn a_base_initramfs_in_xz_boots_with_layers_after_it() {
    let Some(lab) = Lab::boot() else { return };
    lab.installer(&lab.image("imager", "xz"), &[lab.extension("my-module")], "my-module", &[]);
    lab.boots(LOADED);
}

#[test]
fn firmware_is_found_through_links() {
    let Some(lab) = Lab::boot() else { return };
    let extensions = [lab.extension("firmware"), lab.extension("my-module")];
    lab.installer(&lab.image("imager", "v1.11.3"), &extensions, "my-module", &[]);
    let console = lab.boots(LOADED);
    let folder = Path::new(&lab.extension("firmware")).join("rootfs/usr/lib/firmware");
    let digest = |file: &str| Digest::of(&fs::read(folder.join(file)).unwrap()).hex();
    let found = [("a", "acme/fw-1.bin"), ("m", "boot-test-m.bin"), ("z", "acme/fw-1.bin")]
        .map(|(name, file)| format!("{}  /usr/lib/firmware/boot-test-{name}.bin", digest(file)));
    assert_eq!(said(&console, "[stand-in] firmware: "), found);
    let links = [
        "/usr/lib/firmware/boot-test-a.bin -> acme/fw-1.bin",
        "/usr/lib/firmware/boot-test-folder -> acme",
        "/usr/lib/firmware/boot-test-nowhere.bin -> acme/absent.bin",
        "/usr/lib/firmware/boot-test-z.bin -> acme/fw-1.bin",
    ];
    assert_eq!(said(&console, "[stand-in] firmware link: "), links);
}

#[test]
fn an_imager_with_another_kernel_gives_images_that_boot_with_it() {
    let Some(lab) = Lab::boot() else { return };
    // This imager's own kernel boots nowhere, and its modules are of another release.
    let (base, kernel) = (lab.image("imager", "other"), lab.image("kernel", "1"));
    lab.world.ok(&["custom-imager", "--base", &base, "--kernel", &kernel, "-o", "oci:mine:x"]);
    lab.installer("oci:mine:x", &[lab.extension("my-user")], "my-user", &[]);
    lab.boots(r"\] my-user: loaded, answer 42, helper udp_tunnel_sock_release \[udp_tunnel\]");
}

#[test]
fn an_image_for_arm64_made_with_one_for_amd64_boots() {
    let Some(lab) = Lab::new("debian", "arm64") else { return };
    let extension = lab.image("extensions", "ppp");
    let both = ["--platform", "linux/amd64,linux/arm64"];
    lab.installer(&lab.image("imager", "v1.11.3"), &[extension], "ppp_generic", &both);
    let console = lab.boots(r"\] PPP generic driver version");
    assert!(console.contains("extras/slhc.ko"), "{console}");
}
