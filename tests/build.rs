//! `talosmith build`: everything that a file declares, built, locked, and built again.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use serde_json::Value;
use support::installer::{Image, Inputs, RELEASE, extension, module};
use support::registry::FakeRegistry;
use support::{World, testdata};

/// A world with a spec: an installer of the test data with these extensions.
fn spec(world: &World, extensions: &str, more: &str) {
    let tiny = Inputs::tiny();
    world.write(
        "talosmith.yaml",
        format!(
            "version: v1\ntalos: v1.11.3\nextensions:\n{extensions}installers:\n  - imager: {}\n    base: {}\n    extraKernelArgs: [console=ttyS1]\n    outputs: [{{oci: out/installer}}]\n{more}",
            tiny.imager, tiny.base
        ),
    );
}

/// A world with an extension that has a module, and a spec of it and an installer.
fn simple() -> World {
    let world = World::new();
    let (path, bytes) = module("good.ko");
    extension(&world, "mine", &[(&path, &bytes)]);
    spec(&world, "  - path: mine\n    outputs: [{oci: out/mine}]\n", "");
    world
}

fn result(world: &World) -> Value {
    serde_json::from_slice(&fs::read(world.path("out/result.json")).unwrap()).unwrap()
}

fn digest_of(world: &World, reference: &str) -> String {
    world.json(&["inspect", reference])["result"]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn one_file_gives_what_the_commands_give_one_by_one() {
    let world = simple();
    let said = world.ok(&["build"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    let other = World::new();
    let mine = world.path("mine").display().to_string();
    let extension = other.digest(&["extension", &mine, "-o", "oci:mine"]);
    let tiny = Inputs::tiny();
    let more = ["--talos", "v1.11.3", "--extra-kernel-arg", "console=ttyS1", "-o", "oci:installer"];
    let installer = other.digest(&tiny.words(&["oci:mine"], &more));
    assert_eq!(lines, [format!("oci:out/mine@{extension}"), format!("oci:out/installer@{installer}")]);

    let result = result(&world);
    assert_eq!(result["schema"], "talosmith/result/v1");
    assert_eq!(
        (&result["made"][0]["kind"], &result["made"][1]["kind"]),
        (&"extension".into(), &"installer".into())
    );
    assert_eq!(result["made"][1]["facts"][0]["kernel"], RELEASE);
    let files = result["inputs"]["files"].as_object().unwrap();
    assert!(files.keys().any(|path| path.ends_with("good.ko")), "{files:?}");
    assert_eq!(result["inputs"]["local"].as_object().unwrap().len(), 2, "{result}");
    assert_eq!(
        fs::read_to_string(world.path("out/machine-patch.yaml")).unwrap(),
        "machine:\n  kernel:\n    modules:\n      - name: good\n"
    );
    // From another folder, by another user's cache: the same bytes.
    let inside = world.path("elsewhere");
    fs::create_dir(&inside).unwrap();
    let mut command = world.command(&["build", "../talosmith.yaml", "--cache", "own"]);
    let ran = support::Ran::of(command.current_dir(&inside).output().unwrap());
    assert_eq!(ran.code, 0, "{ran:#?}");
    for (line, digest) in ran.out.lines().zip([&extension, &installer]) {
        assert!(line.ends_with(&format!("@{digest}")), "{line}");
    }
}

#[test]
fn the_demo_of_the_readme_is_built_offline() {
    let world = World::new();
    for (from, to) in
        [("demo/talosmith.yaml", "demo/talosmith.yaml"), ("demo/talosmith.lock", "demo/talosmith.lock")]
    {
        world.write(to, fs::read(testdata(from)).unwrap());
    }
    for folder in ["my-module", "installer"] {
        std::os::unix::fs::symlink(testdata(folder), world.path(folder)).unwrap();
    }
    world.ok(&["build", "demo/talosmith.yaml", "--offline", "--locked"]);
    let image = Image::open(&world.path("demo/out/my-module"));
    assert!(image.files(0).keys().any(|path| path.ends_with("my-module.ko")));
}

/// Pushes an extension whose one file has this text, and gives its reference.
fn pushed(world: &World, registry: &FakeRegistry, name: &str, text: &str) -> String {
    let folder = extension(world, name, &[("usr/local/share/text", text.as_bytes())]);
    let reference = format!("{}/acme/{name}:1", registry.host);
    world.ok(&["extension", &folder, "-o", &format!("docker://{reference}")]);
    reference
}

#[test]
fn what_was_built_once_is_built_of_the_same_again_until_it_is_to_move() {
    let registry = FakeRegistry::start(Default::default());
    let world = World::new();
    let (one, two) = (pushed(&world, &registry, "one", "first"), pushed(&world, &registry, "two", "first"));
    spec(&world, &format!("  - image: {one}\n  - image: {two}\n"), "");
    world.run(&["build", "--locked"]).failed(3, &["there is no lock `talosmith.lock`"]);
    let first = world.digest(&["build"]);
    let lock: Value = serde_json::from_slice(&fs::read(world.path("talosmith.lock")).unwrap()).unwrap();
    let names: Vec<&str> =
        lock["images"].as_array().unwrap().iter().map(|image| image["reference"].as_str().unwrap()).collect();
    assert_eq!(names, [one.as_str(), two.as_str()]);
    assert_eq!(lock["images"][0]["digest"], digest_of(&world, &one));

    // Both move in the registry: the build does not, and asks nobody.
    for name in ["one", "two"] {
        pushed(&world, &registry, name, "second");
    }
    let asked = registry.log().len();
    for words in [&["build"][..], &["build", "--locked"], &["build", "--locked", "--offline"]] {
        assert_eq!(world.digest(words), first, "{words:?}");
    }
    assert_eq!(registry.log().len(), asked);
    // On an empty machine it asks for exactly these.
    fs::remove_dir_all(world.path("cache")).unwrap();
    assert_eq!(world.digest(&["build", "--locked"]), first);

    let ran = world.run(&["build", "--update=tow"]);
    ran.failed(2, &["the lock has no image `tow`"]);
    let second = world.digest(&["build", "--update=two"]);
    assert_ne!(second, first);
    let third = world.digest(&["build", "--update"]);
    assert!(third != second && third != first);
    assert_eq!(world.digest(&["build", "--locked"]), third);

    // What is not in the lock, and a spec that was changed, are drift.
    let three = pushed(&world, &registry, "three", "first");
    spec(&world, &format!("  - image: {one}\n  - image: {three}\n"), "");
    world
        .run(&["build", "--locked"])
        .failed(3, &["`talosmith.yaml` is not the one that was locked", "--locked"]);
    let text = fs::read_to_string(world.path("talosmith.lock")).unwrap();
    let checksum = talosmith::base::Digest::of(&fs::read(world.path("talosmith.yaml")).unwrap()).to_string();
    let changed = text.replace(lock["spec"].as_str().unwrap(), &checksum);
    world.write("talosmith.lock", changed);
    world.run(&["build", "--locked"]).failed(3, &[&format!("`{three}` is not in the lock")]);
}

#[test]
fn a_spec_that_cannot_be_right_is_met_before_anything_is_made() {
    let world = simple();
    let text = fs::read_to_string(world.path("talosmith.yaml")).unwrap();
    for (from, to, code, said) in [
        (
            "installers:",
            "instalers:",
            3,
            &["line 6, column 1: key `instalers` is unknown", "did you mean `installers`?"][..],
        ),
        ("oci: out/installer", "docker: x", 3, &["key `installers[0].outputs[0].docker` is unknown"]),
        ("path: mine", "path: mien", 3, &["mien"]),
        ("v1.11.3", "latest", 3, &["line 2, column 8: `talos`: `latest` is no version of Talos"]),
        ("{oci: out/mine}", "{oci: out/mine}, {oci: out/mine}", 2, &["`oci:out/mine` is given twice"]),
    ] {
        world.write("talosmith.yaml", text.replace(from, to));
        world.run(&["build"]).failed(code, said);
        assert!(!world.path("out").exists(), "{to}");
    }
    world.run(&["build", "other.yaml"]).failed(3, &["there is no file `other.yaml`", "talosmith schema"]);
}

#[test]
fn the_schema_takes_the_demo_and_the_spec_of_the_guide() {
    let Some(python) = support::judge::judge_at("TALOSMITH_PYTHON", "python with jsonschema") else { return };
    let world = World::new();
    world.write("schema.json", world.ok(&["schema"]));
    // The documents are flat enough for this to be a fair reading of them.
    let script = "import json, sys, jsonschema\nschema = json.load(open('schema.json'))\n\
        jsonschema.Draft202012Validator.check_schema(schema)\n\
        good = {'version': 'v1', 'talos': 'v1.11.3', 'platforms': ['linux/amd64', 'linux/arm64'],\n\
         'kernel': {'buildkit': {'context': './pkgs', 'kernel': 'kernel', 'packages': ['my-module-pkg']}},\n\
         'extensions': [{'path': './my-module', 'copy': [{'from': 'kernel#my-module-pkg', 'src': '/usr/lib/modules'}],\n\
           'push': 'registry.example.com/acme/my-module:0.1'}, {'official': 'siderolabs/iscsi-tools'}],\n\
         'installers': [{'extraKernelArgs': ['console=ttyS1'], 'outputs': [{'push': 'registry.example.com/a:b'}]}]}\n\
        jsonschema.validate(good, schema)\n\
        for bad in [{}, {'version': 'v2'}, {'version': 'v1', 'extension': []}, {'version': 'v1', 'platforms': ['x']},\n\
          {'version': 'v1', 'extensions': [{'pth': 'x'}]}]:\n  \
          try: jsonschema.validate(bad, schema)\n  \
          except jsonschema.ValidationError: continue\n  \
          sys.exit(f'taken: {bad}')\n";
    support::judged(&python, &["-c", script], &world.path(""));
}
