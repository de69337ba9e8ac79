//! `talosmith build`: everything that a file declares, built, locked, and built again.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use serde_json::Value;
use support::build::{digest_of, simple, spec};
use support::installer::{Image, Inputs, RELEASE, extension, module};
use support::registry::FakeRegistry;
use support::{World, kernel, testdata};

fn result(world: &World) -> Value {
    serde_json::from_slice(&fs::read(world.path("out/result.json")).unwrap()).unwrap()
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
    for arch in ["amd64", "arm64"] {
        let of = |what: &str| ["inspect", what, "--platform", &format!("linux/{arch}")].map(str::to_owned);
        let said = world.ok(&of("oci:demo/out/my-module").each_ref().map(String::as_str));
        assert!(said.contains(&format!("my-module.ko (6.12.117-talos, {arch}, signed)")), "{said}");
        let said = world.ok(&of("oci:demo/out/installer").each_ref().map(String::as_str));
        assert!(said.contains(&format!("kernel      6.12.117-talos ({arch}, zstd)")), "{said}");
    }
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
fn a_kernel_of_ones_own_its_module_and_an_installer_with_both_are_one_file() {
    let world = World::new();
    let mut tar = tar::Builder::new(fs::File::create(world.path("made.tar")).unwrap());
    tar.append_dir_all("kernel", kernel::kernel()).unwrap();
    tar.append_dir_all("pkgs/my-module-pkg", kernel::package("good")).unwrap();
    tar.into_inner().unwrap();
    world.script("buildctl", "cat made.tar");
    world.write("pkgs/Dockerfile", "FROM scratch AS kernel\nFROM scratch AS my-module-pkg\n");
    world.write("mine/manifest.yaml", fs::read(testdata("my-module/amd64/manifest.yaml")).unwrap());
    let tiny = Inputs::tiny();
    world.write(
        "talosmith.yaml",
        format!(
            "version: v1\ntalos: v1.11.3\nkernel:\n  buildkit: {{context: ./pkgs, packages: [my-module-pkg]}}\n  outputs: [{{oci: out/kernel}}]\n  imager: [{{oci: out/imager}}]\n\
             extensions:\n  - path: mine\n    copy: [{{from: kernel#my-module-pkg, src: /usr/lib/modules}}]\n\
             installers:\n  - imager: {}\n    base: {}\n    outputs: [{{oci: out/installer}}]\n",
            tiny.imager, tiny.base
        ),
    );
    let run = |words: &[&str]| {
        support::Ran::of(world.command(words).env("PATH", world.scripts()).output().unwrap())
    };
    let dry = run(&["build", "--dry-run"]);
    assert!(dry.code == 0 && dry.out.contains("runs   kernel ./pkgs: what BuildKit builds"), "{dry:#?}");
    assert!(dry.out.contains("waits  installer installer for an imager with the kernel"), "{dry:#?}");
    assert!(world.asked("buildctl").is_empty());
    let ran = run(&["build"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let names: Vec<&str> = ran.out.lines().map(|line| line.split('@').next().unwrap()).collect();
    assert_eq!(
        names,
        ["oci:out/kernel:kernel", "oci:out/kernel:my-module-pkg", "oci:out/imager", "oci:out/installer"]
    );
    let listed = Image::open(&world.path("out/installer")).initramfs().list();
    assert!(listed.contains("my-module"), "{listed}");
    assert_eq!(result(&world)["kernels"][0]["release"], kernel::RELEASE);
    world.ok(&["check", "oci:out/installer"]);
    // Each by itself gives the same.
    let other = World::new();
    let layout = |name: &str| format!("oci:{}", world.path(name).display());
    let words = [
        "custom-imager",
        "--base",
        &tiny.imager,
        "--kernel",
        &format!("{}#kernel", layout("out/kernel")),
        "--platform",
        "linux/amd64",
        "-o",
        "oci:imager",
    ];
    assert_eq!(other.digest(&words), digest_of(&world, "oci:out/imager"));
}

#[test]
fn official_extensions_packages_and_mirrors_are_found_by_their_names() {
    let registry = FakeRegistry::start(Default::default());
    let world = World::new();
    // A site's own catalogue, and a tree of packages.
    world.write("tree/Pkgfile", "# syntax = example.com/bldr:v0.5.3\n\nformat: v1alpha2\n");
    for name in ["one", "two"] {
        world.write(
            &format!("tree/{name}/pkg.yaml"),
            format!(
                "name: {name}\nvariant: scratch\nsteps:\n  - install:\n      - mkdir -p /rootfs/usr/local/share\n      - echo {{{{ .BUILD_ARG_WORD }}}} > /rootfs/usr/local/share/{name}\nfinalize:\n  - from: /rootfs\n    to: /rootfs\n  - from: /pkg/manifest.yaml\n    to: /\n"
            ),
        );
        world.write(
            &format!("tree/{name}/manifest.yaml"),
            format!(
                "version: v1alpha1\nmetadata: {{name: {name}, version: 1.0.0, author: a, description: d}}\n"
            ),
        );
    }
    let prefix = format!("{}/acme", registry.host);
    let words = ["extension", "tree", "--target", "one", "--build-arg", "WORD=first", "--push", &prefix];
    world
        .ok(&[&words[..], &["--catalogue", &format!("docker://{}/talos/catalogue:v1", registry.host)]]
            .concat());
    let tiny = Inputs::tiny();
    world.write(
        "talosmith.yaml",
        format!(
            "version: v1\ntalos: v1.11.3\nvariables: {{WORD: second}}\nmirrors: {{registry.example.com: {}}}\ncatalogue: registry.example.com/talos/catalogue:v1\n\
             extensions:\n- official: acme/one\n- packages: tree\n  targets: [two]\n  buildArgs: {{WORD: '${{WORD}}'}}\n  outputs: [{{oci: 'out/{{name}}'}}]\n\
             installers:\n- imager: {}\n  base: {}\n  outputs: [{{oci: out/installer}}]\n",
            registry.host, tiny.imager, tiny.base
        ),
    );
    world.ok(&["build"]);
    let listed = Image::open(&world.path("out/installer")).initramfs().list();
    assert!(listed.contains("name: one") && listed.contains("name: two"), "{listed}");
    let text = Image::open(&world.path("out/two")).files(0)["rootfs/usr/local/share/two"].1.clone();
    assert_eq!(text, b"second\n");
    let lock = fs::read_to_string(world.path("talosmith.lock")).unwrap();
    assert!(
        lock.contains("\"registry.example.com/talos/catalogue:v1\""),
        "the name, not the mirror's: {lock}"
    );
    let wrong = fs::read_to_string(world.path("talosmith.yaml")).unwrap().replace("acme/one", "acme/oen");
    world.write("talosmith.yaml", wrong);
    world.run(&["build"]).failed(3, &["acme/oen", "did you mean `acme/one`?"]);
}

#[test]
fn a_dry_run_says_of_each_step_whether_it_is_known_and_what_changed() {
    let world = simple();
    let cold = world.ok(&["build", "--dry-run"]);
    assert!(cold.contains("runs   layer mine rootfs linux/amd64: it was never run here"), "{cold}");
    assert!(cold.contains("waits  installer installer for extension 1"), "{cold}");
    assert!(!world.path("out").exists() && !world.path("talosmith.lock").exists());
    world.ok(&["build"]);
    let again = world.run(&["build"]);
    assert!(again.err.contains("warning: the stub"), "what is known is warned of again: {again:#?}");
    let warm = world.ok(&["build", "--dry-run"]);
    assert_eq!(warm, "known  extension mine\nknown  installer linux/amd64\n2 steps, 0 to be run\n");
    // A cache that is named from here is the same one.
    let near = world.ok(&["build", "--dry-run", "--cache", "cache/talosmith"]);
    assert_eq!(near, warm);
    // Another folder, other times, another day: nothing of it counts.
    let moved = World::new();
    for name in ["talosmith.yaml", "mine/manifest.yaml"] {
        moved.write(name, fs::read(world.path(name)).unwrap());
    }
    let (path, bytes) = module("good.ko");
    moved.write(&format!("mine/rootfs/{path}"), &bytes);
    let cache = world.path("cache/talosmith").display().to_string();
    let there = moved.ok(&["build", "--dry-run", "--cache", &cache]);
    assert!(there.ends_with("steps, 0 to be run\n"), "{there}");

    world.write("mine/rootfs/usr/local/new", "new");
    world.write(&format!("mine/rootfs/{path}"), module("unsigned.ko").1);
    let changed = world.ok(&["build", "--dry-run"]);
    let line = changed.lines().find(|line| line.starts_with("runs")).unwrap();
    assert!(
        line.contains("`usr/local/new` is new") && line.contains(&format!("`{path}` changed")),
        "{changed}"
    );
    assert!(changed.contains("known  layer mine manifest.yaml linux/amd64"), "{changed}");
    // Of the steps behind it, too, once the one before has run.
    world.ok(&["build"]);
    let mut command = world.command(&["build", "--dry-run", "--json"]);
    let ran = support::Ran::of(command.env("SOURCE_DATE_EPOCH", "7").output().unwrap());
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    let step = &value["result"]["steps"][0];
    assert_eq!((&step["state"], &step["why"]), (&"runs".into(), &"`epoch` was `0` and is `7`".into()));
}

#[test]
fn names_out_of_extensions_stay_names() {
    let world = simple();
    let manifest = fs::read_to_string(world.path("mine/manifest.yaml")).unwrap();
    let text = fs::read_to_string(world.path("talosmith.yaml")).unwrap();
    world.write("talosmith.yaml", text.replace("oci: out/mine", "oci: 'out/{name}'"));
    world.write("mine/manifest.yaml", manifest.replace("name: mine", "name: x/../../y"));
    world.run(&["build"]).failed(3, &["`x/../../y` cannot stand for `{name}`"]);
    // Without a place that is named by it, it harms nobody.
    world.write("talosmith.yaml", &text);
    world.ok(&["build"]);
    assert!(!world.path("y").exists() && !world.path("cache/y").exists());
    // Two of one name are not written one over the other without a word.
    world.write("mine/manifest.yaml", &manifest);
    extension(&world, "other", &[("usr/local/x", b"x")]);
    world.write("other/manifest.yaml", &manifest);
    let two = "  - path: mine\n    outputs: [{oci: 'out/{name}'}]\n  - path: other\n    outputs: [{oci: 'out/{name}'}]\n";
    spec(&world, two, "allow: [extension-twice]\n");
    world.run(&["build"]).failed(3, &["`oci:out/mine` was written twice"]);
    world.write("other/manifest.yaml", manifest.replace("name: mine", "name: other"));
    world.ok(&["build"]);
    // What is no longer there is not loaded any more.
    assert!(world.path("out/machine-patch.yaml").exists());
    spec(&world, "  - path: other\n", "");
    world.ok(&["build"]);
    assert!(!world.path("out/machine-patch.yaml").exists());
}

#[test]
fn keys_that_would_have_no_effect_are_refused() {
    let world = simple();
    for (extensions, said) in [
        ("  - image: a.b/c:1\n    manifest: m.yaml\n", "an image that is there already is taken as it is"),
        ("  - packages: tree\n    targets: [one]\n    modules: [x.ko]\n", "stands in its `pkg.yaml`"),
        ("  - path: mine\n    buildArgs: {A: b}\n", "`buildArgs` and `delegate` are for packages"),
    ] {
        spec(&world, extensions, "");
        world.run(&["build"]).failed(3, &[said]);
    }
    spec(&world, "  - path: mine\n", "mirrors: {ghcr.io: 'https://harbor.example.com/ghcr'}\n");
    world.run(&["build"]).failed(3, &["`mirrors.ghcr.io`: a mirror is `HOST[/PATH]`"]);
}

#[test]
fn where_the_time_went_is_one_page_and_figures() {
    let world = simple();
    world.ok(&["build", "--timings", "out/timings.html"]);
    let page = fs::read_to_string(world.path("out/timings.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") || page.starts_with("<!doctype html>"), "{}", &page[..40]);
    assert!(page.contains("squashfs") && page.contains("boot assets") && !page.contains("<script"));
    world.ok(&["build", "--timings", "timings.json"]);
    let figures: Value = serde_json::from_slice(&fs::read(world.path("timings.json")).unwrap()).unwrap();
    let bars = figures["bars"].as_array().unwrap();
    assert!(bars.iter().any(|bar| bar["step"] == "installer" && bar["known"] == true), "{figures}");
    assert!(figures["peak"].as_u64().unwrap() > 1 << 20);
    let outputs = figures["outputs"].as_array().unwrap();
    assert!(
        outputs.iter().any(|line| line.as_str().unwrap().starts_with("oci:out/installer@sha256:")),
        "{outputs:?}"
    );
}

#[test]
fn a_bench_says_how_fast_and_against_what() {
    let world = simple();
    let value = world.json(&["bench", "--runs", "2", "--vs", "true"]);
    let text = value["result"].to_string();
    assert!(text.contains("cold") && text.contains("warm"), "{text}");
    let table = world.ok(&["bench", "--runs", "1", "--markdown", "--", "extension", "mine", "-o", "oci:o"]);
    assert!(table.contains("| ") && table.contains("cold"), "{table}");
    world.run(&["bench", "--runs", "1", "--", "extension", "mien", "-o", "oci:o"]).failed(3, &["mien"]);
}

#[test]
fn two_platforms_with_a_real_kernel_each_become_one_index_and_archives() {
    let Some(fixture) =
        support::judge::judge_at("TALOSMITH_INSTALLER", "folder of tests/installer_fixture.sh")
    else {
        return;
    };
    let fixture = fixture.join("debian");
    let world = World::new();
    for arch in ["amd64", "arm64"] {
        let from = fixture.join("ext").join(arch).join("dummy");
        std::os::unix::fs::symlink(from, world.path(format!("dummy-{arch}"))).unwrap();
    }
    world.write("mine/manifest.yaml", fs::read(world.path("dummy-amd64/manifest.yaml")).unwrap());
    let layout = |name: &str| format!("oci:{}:v1.11.3", fixture.join(name).display());
    world.write(
        "talosmith.yaml",
        format!(
            "version: v1\ntalos: v1.11.3\nplatforms: [linux/amd64, linux/arm64]\nextensions:\n- path: mine\n  trees: ['dummy-{{arch}}/rootfs']\n  outputs: [{{oci: out/mine}}]\n\
             installers:\n- imager: {}\n  base: {}\n  outputs: [{{oci: out/installer}}, {{docker-archive: 'out/{{arch}}.tar'}}]\n",
            layout("imager"),
            layout("base")
        ),
    );
    let said = world.ok(&["build"]);
    assert_eq!(said.lines().count(), 4, "{said}");
    for arch in ["amd64", "arm64"] {
        let image = Image::of_platform(&world.path("out/installer"), arch);
        assert_eq!(image.config["architecture"], arch);
        assert!(image.assets().contains_key(&format!("usr/install/{arch}/vmlinuz.efi")));
        assert!(world.path(format!("out/{arch}.tar")).exists());
    }
    assert_eq!(world.ok(&["build", "--dry-run"]).lines().last(), Some("2 steps, 0 to be run"));
    assert_eq!(world.ok(&["build"]), said);
    assert!(fs::read_to_string(world.path("out/machine-patch.yaml")).unwrap().contains("- name: dummy\n"));
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
