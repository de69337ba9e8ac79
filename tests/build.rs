//! `talosmith build`: everything that a file declares, built, locked, and built again.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use serde_json::Value;
use support::installer::{Image, Inputs, RELEASE, extension, module};
use support::registry::FakeRegistry;
use support::{World, kernel, testdata};

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
fn a_kernel_of_ones_own_its_module_and_an_installer_with_both_are_one_file() {
    let world = World::new();
    let mut tar = tar::Builder::new(fs::File::create(world.path("made.tar")).unwrap());
    tar.append_dir_all("kernel", kernel::kernel()).unwrap();
    tar.append_dir_all("pkgs/my-module-pkg", kernel::package("good")).unwrap();
    tar.into_inner().unwrap();
    world.script("buildctl", "cat made.tar");
    world.write("pkgs/Dockerfile", "FROM scratch AS kernel\nFROM scratch AS my-module-pkg\n");
    world.write("mine/manifest.yaml", fs::read(testdata("my-module/manifest.yaml")).unwrap());
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
fn a_bundle_has_all_that_a_build_without_a_network_needs() {
    let registry = FakeRegistry::start(Default::default());
    let world = World::new();
    let one = pushed(&world, &registry, "one", "first");
    let tiny = Inputs::tiny();
    for (name, from) in [("imager", &tiny.imager), ("base", &tiny.base)] {
        world.ok(&["copy", from, &format!("docker://{}/talos/{name}:v1", registry.host)]);
    }
    let host = &registry.host;
    world.write(
        "talosmith.yaml",
        format!(
            "version: v1\ntalos: v1.11.3\nextensions: [{{image: '{one}'}}]\ninstallers:\n- imager: {host}/talos/imager:v1\n  base: {host}/talos/base:v1\n  outputs: [{{oci: out}}]\n"
        ),
    );
    // What signs an image hangs on it.
    let digest = digest_of(&world, &one);
    let signature = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.signature",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": talosmith::base::Digest::of(b"{}"), "size": 2 },
        "layers": [],
        "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1 },
    })
    .to_string();
    let own = talosmith::base::Digest::of(signature.as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    registry.add_blob("acme/one", b"{}");
    registry.add_manifest("acme/one", &own.to_string(), media_type, signature.as_bytes());
    let list = serde_json::json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": media_type, "digest": own, "size": signature.len() }] });
    registry.add_manifest(
        "acme/one",
        &digest.replace(':', "-"),
        "application/vnd.oci.image.index.v1+json",
        list.to_string().as_bytes(),
    );

    let listed = world.ok(&["bundle", "--list"]);
    assert!(listed.contains(&one) && listed.contains("in all, to be fetched"), "{listed}");
    world.ok(&["bundle", "-o", "bundle.tar"]);
    let built = world.digest(&["build", "--locked"]);
    // Others can read it, too.
    for name in ["talosmith.lock", &own.to_string()] {
        world.ok(&[
            "copy",
            &format!("oci-archive:bundle.tar:{name}"),
            &format!("oci:part:{}", name.replace(':', "-")),
        ]);
    }

    // The other site: the spec and the archive, no lock, no cache, no registry.
    let site = World::new();
    site.write("talosmith.yaml", fs::read(world.path("talosmith.yaml")).unwrap());
    fs::copy(world.path("bundle.tar"), site.path("bundle.tar")).unwrap();
    drop(registry);
    site.run(&["build", "--offline"]).failed(4, &["--offline"]);
    assert_eq!(site.digest(&["build", "--bundle", "bundle.tar", "--offline"]), built);
    assert_eq!(site.digest(&["build", "--bundle", "bundle.tar", "--offline", "--locked"]), built);
    site.run(&["build", "--bundle", "out", "--offline"]).failed(3, &["`out` is no bundle"]);

    // In a network without an interface nothing can be asked of anybody, whatever the options say.
    fs::remove_dir_all(site.path("cache")).unwrap();
    let alone = |program: &str, words: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(["-n", program]).args(words).current_dir(site.path("")).env_clear();
        command
            .env("HOME", site.path("home"))
            .env("PATH", "/usr/bin:/bin")
            .output()
            .ok()
            .map(support::Ran::of)
    };
    if alone("true", &[]).is_none_or(|ran| ran.code != 0) {
        return support::judge::missing("no network of its own can be made (`unshare -n`)")
            .unwrap_or_default();
    }
    let program = env!("CARGO_BIN_EXE_talosmith");
    let ran = alone(program, &["build", "--bundle", "bundle.tar", "--cache", "own"]).unwrap();
    assert!(ran.code == 0 && ran.out.trim().ends_with(&built), "{ran:#?}");
}

#[test]
fn a_newer_bundle_holds_what_is_new() {
    let registry = FakeRegistry::start(Default::default());
    let world = World::new();
    let one = pushed(&world, &registry, "one", &"text ".repeat(20_000));
    spec(&world, &format!("  - image: {one}\n"), "");
    world.ok(&["bundle", "-o", "old.tar"]);
    let two = pushed(&world, &registry, "two", "small");
    spec(&world, &format!("  - image: {one}\n  - image: {two}\n"), "");
    world.ok(&["bundle", "-o", "new.tar", "--since", "old.tar"]);
    let built = world.digest(&["build"]);
    let members = |name: &str| -> Vec<String> {
        let mut archive = tar::Archive::new(fs::File::open(world.path(name)).unwrap());
        let paths =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        paths.filter(|path| path.starts_with("blobs/sha256/") && !path.ends_with('/')).collect()
    };
    let (old, new) = (members("old.tar"), members("new.tar"));
    let layers = Image::open(&world.path("out/installer")).layers().len();
    assert!(layers > 0 && old.iter().filter(|blob| new.contains(blob)).count() <= 2, "{old:?} {new:?}");
    fs::remove_dir_all(world.path("cache")).unwrap();
    fs::remove_file(world.path("talosmith.lock")).unwrap();
    drop(registry);
    let words = ["build", "--offline", "--bundle", "new.tar", "--bundle", "old.tar"];
    assert_eq!(world.digest(&words), built);
    fs::remove_dir_all(world.path("cache")).unwrap();
    world.run(&words[..4]).failed(4, &["--offline"]);
}

#[test]
fn a_published_image_is_what_the_lock_gives_or_what_differs_is_said() {
    let world = simple();
    world.ok(&["build"]);
    let said = world.ok(&["verify", "talosmith.lock", "oci:out/installer"]);
    assert_eq!(said, "oci:out/installer is what `talosmith.lock` gives: installer\n");
    assert!(world.ok(&["verify", "talosmith.lock", "oci:out/mine"]).ends_with(": mine\n"));
    // Somebody has put another module in.
    let (path, _) = module("good.ko");
    world.write(&format!("other/rootfs/{path}"), module("unsigned.ko").1);
    world.write("other/manifest.yaml", fs::read(world.path("mine/manifest.yaml")).unwrap());
    world.ok(&["extension", "./other", "-o", "oci:other"]);
    let ran = world.run(&["verify", "talosmith.lock", "oci:other"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.out.contains("is not what `talosmith.lock` gives") && ran.out.contains(&path), "{}", ran.out);
    world.run(&["verify", "talosmith.lock", &Inputs::tiny().base]).failed(3, &["makes nothing of the kind"]);
    // What steered the time is in the lock.
    let mut command = world.command(&["build", "--update"]);
    assert_eq!(support::Ran::of(command.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap()).code, 0);
    world.ok(&["verify", "talosmith.lock", "oci:out/installer"]);
}

#[test]
fn a_build_that_is_killed_at_any_instant_leaves_a_store_that_gives_the_same() {
    use std::io::{BufRead as _, BufReader};
    let world = simple();
    let built = world.digest(&["build"]);
    let words = |cache: &'static str| ["build", "--cache", cache, "--progress", "json"];
    let events = world.run(&words("counted")).err.lines().count();
    assert!(events > 20, "{events}");
    for instant in 0..50 {
        let _ = fs::remove_dir_all(world.path("killed"));
        let mut child = world
            .command(&words("killed"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.take(1 + instant * events / 50).all(|line| line.is_ok()));
        child.kill().unwrap();
        child.wait().unwrap();
        let verified = world.run(&["cache", "verify", "--cache", "killed"]);
        assert_eq!(verified.code, 0, "{instant}: {verified:#?}");
        assert_eq!(world.digest(&["build", "--cache", "killed"]), built, "{instant}");
    }
}

#[test]
fn a_lock_or_a_bundle_cannot_put_other_bytes_under_a_digest() {
    let registry = FakeRegistry::start(Default::default());
    let world = World::new();
    let one = pushed(&world, &registry, "one", "first");
    let digest = digest_of(&world, &one);
    pushed(&world, &registry, "one", "second");
    let other = digest_of(&world, &one);
    spec(&world, &format!("  - image: {one}@{digest}\n"), "");
    world.ok(&["build"]);
    let lock = fs::read_to_string(world.path("talosmith.lock")).unwrap();
    world.write(
        "talosmith.lock",
        lock.replace(&format!("\"digest\": \"{digest}\""), &format!("\"digest\": \"{other}\"")),
    );
    world.run(&["build"]).failed(3, &["is no lock that can be read", "is said to be"]);
    world.write("talosmith.lock", &lock);

    // A layer of the same length in a bundle.
    world.ok(&["bundle", "-o", "bundle.tar"]);
    let mut bundle = fs::read(world.path("bundle.tar")).unwrap();
    let layer =
        fs::read(world.path("cache/talosmith/blobs/sha256").join(&layer_of(&world, &one, &digest)[7..]))
            .unwrap();
    let at = bundle.windows(layer.len()).position(|window| window == layer).unwrap();
    bundle[at + layer.len() / 2] ^= 1;
    world.write("bundle.tar", bundle);
    fs::remove_dir_all(world.path("cache")).unwrap();
    fs::remove_dir_all(world.path("out")).unwrap();
    let ran = world.run(&["build", "--bundle", "bundle.tar", "--offline", "--locked"]);
    ran.failed(3, &["is damaged"]);
    assert!(!world.path("out/installer").exists());
}

/// The digest of the first layer of an image.
fn layer_of(world: &World, reference: &str, digest: &str) -> String {
    let name = reference.rsplit_once(':').unwrap().0;
    world.ok(&["copy", &format!("docker://{name}@{digest}"), "oci:layer-of"]);
    Image::open(&world.path("layer-of")).layers()[0].clone()
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
    // With a lock, the time is the lock's.
    let world = simple();
    let at = |words: &[&str], epoch: &str| {
        let mut command = world.command(words);
        support::Ran::of(command.env("SOURCE_DATE_EPOCH", epoch).output().unwrap())
    };
    let first = at(&["build"], "1700000000");
    assert_eq!(world.ok(&["build", "--locked"]), first.out);
    at(&["build", "--locked"], "7")
        .failed(3, &["`SOURCE_DATE_EPOCH` is 7, and the lock was made with 1700000000"]);
    assert_eq!(at(&["verify", "talosmith.lock", "oci:out/installer"], "7").code, 0);
    // Bytes of a layout that somebody changed are not verified by its name.
    let layer = Image::open(&world.path("out/installer")).layers().pop().unwrap();
    let blob = world.path("out/installer/blobs/sha256").join(&layer[7..]);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    world.run(&["verify", "talosmith.lock", "oci:out/installer"]).failed(3, &["is damaged"]);
}

#[test]
fn a_whole_that_was_put_together_of_a_cache_elsewhere_is_whole_for_the_next_runner() {
    let registry = FakeRegistry::start(Default::default());
    let world = simple();
    let cache = format!("{}/acme/cache", registry.host);
    let words = ["build", "--cache-from", &cache, "--cache-to", &cache];
    world.ok(&words);
    // Another Talos version: the steps are known there, the whole is not.
    let text = fs::read_to_string(world.path("talosmith.yaml")).unwrap();
    world.write("talosmith.yaml", text.replace("v1.11.3", "v1.11.2"));
    for _ in 0..3 {
        fs::remove_dir_all(world.path("cache")).unwrap();
        fs::remove_dir_all(world.path("out")).unwrap();
        world.ok(&words);
    }
}

#[test]
fn two_builds_at_once_share_a_store() {
    let world = simple();
    let other = simple();
    let cache = world.path("cache/talosmith").display().to_string();
    let mut children: Vec<_> = (0..4)
        .map(|number| {
            let (world, out) = if number % 2 == 0 { (&world, "a") } else { (&other, "b") };
            let mut command =
                world.command(&["build", "--cache", &cache, "--out", &format!("{out}{number}")]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let said: Vec<String> = children
        .drain(..)
        .map(|child| {
            let ran = support::Ran::of(child.wait_with_output().unwrap());
            assert_eq!(ran.code, 0, "{ran:#?}");
            ran.out
        })
        .collect();
    assert!(said.iter().all(|other| *other == said[0]), "{said:#?}");
}

#[test]
fn the_cache_is_measured_kept_in_bounds_and_verified() {
    let world = simple();
    let built = world.digest(&["build"]);
    let bytes = |world: &World| world.json(&["cache", "size"])["result"]["bytes"].as_u64().unwrap();
    let whole = bytes(&world);
    assert!(world.ok(&["cache", "size"]).contains("blobs") && whole > 10_000);
    world.ok(&["cache", "prune", "--keep", "5kB"]);
    assert!(bytes(&world) <= 5000);
    assert_eq!(world.digest(&["build"]), built);
    world.run(&["cache", "prune", "--keep", "much"]).failed(2, &["no size"]);

    // A flipped bit is noticed, named, and made anew.
    let blobs = world.path("cache/talosmith/blobs/sha256");
    let largest = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&largest).unwrap(); // it may be linked to from the output
    fs::write(&largest, bytes).unwrap();
    let ran = world.run(&["cache", "verify"]);
    let name = largest.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(
        ran.code == 1 && ran.out.contains(&format!("sha256:{name} was damaged, and is removed")),
        "{ran:#?}"
    );
    assert_eq!(world.digest(&["build"]), built);
    assert_eq!(world.run(&["cache", "verify"]).code, 0);
}

#[test]
fn a_runner_that_forgets_everything_finds_the_steps_in_a_registry() {
    let registry = FakeRegistry::start(Default::default());
    let world = simple();
    let cache = format!("{}/acme/cache", registry.host);
    let built = world.digest(&["build", "--cache-to", &cache]);
    let sent = registry.uploaded();
    assert!(sent > 5, "{sent}");
    // Another runner: nothing is made, nothing is sent.
    fs::remove_dir_all(world.path("cache")).unwrap();
    fs::remove_dir_all(world.path("out")).unwrap();
    let ran = world.run(&["build", "-v", "--cache-from", &cache, "--cache-to", &cache]);
    assert!(ran.code == 0 && ran.out.trim().ends_with(&built), "{ran:#?}");
    // What only steps within need is not even fetched: neither the imager's files nor the extension's.
    assert!(ran.err.contains("installer linux/amd64: known"), "{}", ran.err);
    assert!(ran.err.contains("cache: 2 steps found"), "{}", ran.err);
    assert!(ran.err.contains("; 0 steps sent, 0 bytes"), "{}", ran.err);
    assert_eq!(registry.uploaded(), sent);
    world.run(&["build", "--cache-from", &format!("{cache}:tag")]).failed(2, &["neither tag nor digest"]);

    // A damaged blob is refused, whoever sent it; a cache that is gone stops nobody.
    fs::remove_dir_all(world.path("cache")).unwrap();
    registry.set(|faults| faults.corrupt = true);
    let ran = world.run(&["build", "--cache-from", &cache]);
    assert!(ran.code == 4 || ran.out.trim().ends_with(&built), "{ran:#?}");
    fs::remove_dir_all(world.path("cache")).unwrap();
    let nobody = "127.0.0.1:1/acme/cache";
    let ran = world.run(&["build", "--cache-from", nobody, "--cache-to", nobody]);
    assert!(ran.code == 0 && ran.out.trim().ends_with(&built), "{ran:#?}");
    assert!(ran.err.contains("warning: the cache was not written"), "{}", ran.err);
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
