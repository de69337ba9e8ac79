//! `talosmith build`, `bundle` and `verify`: the same inputs again, elsewhere, and without a network.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use serde_json::Value;
use support::World;
use support::build::{digest_of, simple, spec};
use support::installer::{Image, Inputs, extension, module};
use support::registry::FakeRegistry;

/// Pushes an extension whose one file has this text, and gives its reference.
fn pushed(world: &World, registry: &FakeRegistry, name: &str, text: &str) -> String {
    let folder = extension(world, name, &[("usr/local/share/text", text.as_bytes())]);
    let reference = format!("{}/acme/{name}:1", registry.host);
    world.ok(&["extension", &folder, "-o", &format!("docker://{reference}")]);
    reference
}

/// The digest of the first layer of an image.
fn layer_of(world: &World, reference: &str, digest: &str) -> String {
    let name = reference.rsplit_once(':').unwrap().0;
    world.ok(&["copy", &format!("docker://{name}@{digest}"), "oci:layer-of"]);
    Image::open(&world.path("layer-of")).layers()[0].clone()
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

#[test]
fn with_a_lock_the_time_is_the_locks() {
    let world = simple();
    let at = |words: &[&str], epoch: &str| {
        let mut command = world.command(words);
        support::Ran::of(command.env("SOURCE_DATE_EPOCH", epoch).output().unwrap())
    };
    let first = at(&["build"], "1700000000");
    assert_eq!(world.ok(&["build", "--locked"]), first.out);
    let plan = world.ok(&["build", "--locked", "--dry-run"]);
    assert!(plan.ends_with(", 0 to be run\n"), "{plan}");
    at(&["build", "--locked", "--dry-run"], "7").failed(3, &["`SOURCE_DATE_EPOCH` is 7"]);
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
