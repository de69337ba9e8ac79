use super::*;

const SUM256: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn parse(text: &str) -> Result<Package, Problem> {
    Package::parse(text.replace("SUM256", SUM256).replace("SUM512", &SUM256.repeat(2)).as_bytes())
}

fn wrong(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_package_has_all_of_its_parts() {
    let package = parse(
        "name: x\nvariant: alpine\nshell: /bin/bash\nbuildPlatform: linux/arm64\ninstall: [git]\n\
         dependencies:\n  - stage: base\n  - image: registry.example.com/y:v1\n    from: /a\n    to: /b\n    platform: linux/amd64\n    runtime: true\n\
         steps:\n  - env:\n      A: 1.10\n    cachePaths: [/c]\n    sources:\n      - url: https://example.com/a\n        destination: a.tar\n        sha256: SUM256\n        sha512: SUM512\n\
         \x20   prepare:\n      - |\n        cd a\n        ls\n    build: [make]\n    install: [make install]\n    test: ['true']\n    network: host\n    sbom: {outputPath: /s, name: n, cpes: [c], licenses: [MIT]}\n\
         finalize:\n  - from: /rootfs\n    to: /\n",
    )
    .unwrap();
    assert_eq!((package.name.as_str(), package.variant), ("x", Variant::Alpine));
    assert_eq!(package.build_platform, Some(Architecture::Arm64));
    let [base, image] = package.dependencies.as_slice() else { panic!("{package:?}") };
    assert_eq!(
        (&base.origin, base.from.as_str(), base.runtime),
        (&Origin::Stage("base".to_owned()), "/", false)
    );
    assert_eq!((image.to.as_str(), image.runtime, image.line, image.column), ("/b", true, 8, 5));
    let [step] = package.steps.as_slice() else { panic!("{package:?}") };
    assert_eq!(step.env.get("A"), Some("1.10"));
    assert_eq!(step.prepare[0].text, "cd a\nls\n");
    assert_eq!((step.prepare[0].line, step.prepare[0].column), (24, 9));
    assert_eq!((step.build[0].line, step.build[0].column), (26, 13));
    assert_eq!(step.network, Network::Host);
    assert_eq!(step.sources[0].sha512.len(), 128);
    assert_eq!(step.sbom.as_ref().unwrap().licenses, ["MIT"]);
    assert_eq!(package.finalize, [Copied { from: "/rootfs".to_owned(), to: "/".to_owned() }]);
}

#[test]
fn an_instruction_knows_the_line_of_its_text() {
    let text = "name: x\nvariant: scratch\nsteps:\n  - build:\n      - |\n\n\n        ls\n      - ls\nfinalize: [{}]\n";
    let package = parse(text).unwrap();
    let build = &package.steps[0].build;
    assert_eq!((build[0].text.as_str(), build[0].line, build[0].column), ("\n\nls\n", 6, 9));
    assert_eq!((build[1].text.as_str(), build[1].line, build[1].column), ("ls", 9, 9));
}

#[test]
fn what_is_not_said_has_its_default() {
    let package = parse("name: x\nvariant: scratch\nsteps:\n  - install: [ls]\nfinalize:\n  - {}\n").unwrap();
    assert_eq!(package.shell, "/bin/sh");
    assert_eq!(package.steps[0].network, Network::None);
    assert_eq!(package.steps[0].sbom, None);
    assert_eq!(package.finalize[0], Copied { from: "/".to_owned(), to: "/".to_owned() });
}

#[test]
fn a_misspelt_checksum_is_met_with_the_right_word() {
    let problem = parse(
        "name: x\nvariant: scratch\nsteps:\n  - sources:\n      - url: u\n        destination: d\n        sha256: SUM256\n        sha521: SUM512\n",
    )
    .unwrap_err();
    assert_eq!(
        problem,
        Problem::UnknownKey {
            line: 8,
            column: 9,
            path: "steps[0].sources[0].sha521".to_owned(),
            nearest: Some("sha512".to_owned())
        }
    );
}

#[test]
fn what_must_be_there_is_asked_for_with_its_place() {
    for (text, message) in [
        ("variant: scratch\n", "line 1, column 1: `name` is missing"),
        ("name: x\n", "line 1, column 1: `variant` is missing, expected `alpine` or `scratch`"),
        (
            "name: x\nvariant: debian\n",
            "line 2, column 10: `variant` is `debian`, expected one of `alpine`, `scratch`",
        ),
        (
            "name: x\nvariant: scratch\nsteps: [{}]\n",
            "line 1, column 1: `finalize` is missing, without which the steps' result is thrown away",
        ),
        (
            "name: x\nvariant: scratch\ndependencies:\n  - from: /\n",
            "line 4, column 5: `dependencies[0]` has neither `image` nor `stage`, expected one of them",
        ),
        (
            "name: x\nvariant: scratch\ndependencies:\n  - image: a\n    stage: b\n",
            "line 4, column 5: `dependencies[0]` has both `image` and `stage`, expected one of them",
        ),
        (
            "name: x\nvariant: scratch\nsteps:\n  - sources:\n    - destination: d\n",
            "line 5, column 7: `steps[0].sources[0].url` is missing",
        ),
        (
            "name: x\nvariant: scratch\nsteps:\n  - sources:\n    - {url: u, destination: d, sha256: abc, sha512: SUM512}\n",
            "line 5, column 40: `steps[0].sources[0].sha256` is `abc`, expected 64 hexadecimal digits",
        ),
        (
            "name: x\nvariant: scratch\nsteps:\n  - sources:\n    - {url: u, destination: ../d}\n",
            "line 5, column 29: `steps[0].sources[0].destination` is `../d`, expected a path that stays inside",
        ),
        (
            "name: x\nvariant: scratch\nsteps: make\n",
            "line 3, column 8: `steps` is `make`, expected a sequence",
        ),
        ("name: x\nvariant: scratch\nfinalise: []\n", "line 3, column 1: key `finalise` is unknown"),
    ] {
        assert_eq!(wrong(text), message, "{text}");
    }
}

#[test]
fn damaged_packages_do_no_harm() {
    let text = "name: x\nvariant: scratch\ndependencies:\n  - stage: b\nsteps:\n  - install:\n      - |\n        ls\nfinalize:\n  - from: /r\n";
    for at in 0..text.len() {
        for piece in ["", "\t", "- ", "{", "[", "&a ", "*a", ": ", "\0", "é"] {
            let mut damaged = text.to_owned();
            damaged.replace_range(at..=at, piece);
            let _ = Package::parse(damaged.as_bytes());
        }
    }
}
