//! The command line as people and scripts meet it: streams, JSON, exit codes, kinds, signals.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::process::{Command, Stdio};

use support::{Ran, World, testdata};

fn built(world: &World) -> String {
    world.digest(&["extension", &testdata("my-module"), "-o", "oci:out:x", "-q"])
}

#[test]
fn json_is_one_document_whatever_happens() {
    let world = World::new();
    let digest = built(&world);
    let value = |words: &[&str]| -> serde_json::Value {
        let ran = world.run(&[words, &["--json"]].concat());
        let value: serde_json::Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!(value["schema"], "talosmith/v1", "{words:?}");
        value
    };
    assert_eq!(
        value(&["extension", &testdata("my-module"), "-o", "oci:out:x"])["result"]["written"][0]["digest"],
        digest
    );
    assert_eq!(value(&["copy", "oci:out:x", "oci:out:y"])["result"]["written"][0]["digest"], digest);
    assert_eq!(value(&["diff", "oci:out:x", "oci:out:y"])["result"]["equal"], true);
    assert_eq!(value(&["check", "oci:out:x"])["result"]["checked"][0]["kinds"][0], "extension");
    assert!(value(&["check", "--list"])["result"]["rules"].as_array().unwrap().len() > 20);
    assert_eq!(value(&["inspect", "oci:out:x"])["result"]["digest"], digest);
    assert_eq!(value(&["new", "fresh"])["result"]["name"], "fresh");
    for (words, kind, code) in [
        (&["inspect", "oci:nowhere"][..], "input", 3),
        (&["inspect", "oops"][..], "usage", 2),
        (&["inspect"][..], "usage", 2),
        (&["inspect", "127.0.0.1:1/a/b:c", "--offline"][..], "registry", 4),
        (&["extension", "fresh", "-o", "oci:out:z", "--file", "out/index.json:/etc/x"][..], "findings", 1),
    ] {
        let error = &value(words)["error"];
        assert_eq!(
            (error["kind"].as_str().unwrap(), error["exitCode"].as_i64().unwrap()),
            (kind, code),
            "{error}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    built(&world);
    let mut child = world
        .command(&["inspect", "oci:out:x", "--files"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn the_environment_is_read_where_it_is_declared_and_bad_values_are_refused() {
    let world = World::new();
    let run = |name: &str, value: &str, words: &[&str]| {
        Ran::of(world.command(words).env(name, value).output().unwrap())
    };
    let words = ["extension", &testdata("my-module"), "-o", "oci:out:x"];
    assert_eq!(run("SOURCE_DATE_EPOCH", "1700000000", &words).code, 0);
    assert_eq!(
        world.json(&["inspect", "oci:out:x"])["result"]["images"][0]["created"],
        "2023-11-14T22:13:20Z"
    );
    run("SOURCE_DATE_EPOCH", "yesterday", &words).failed(2, &["`SOURCE_DATE_EPOCH=yesterday` is no time"]);
    let colored = run("NO_COLOR", "1", &["inspect", "oops", "--color", "always"]);
    assert!(colored.err.contains("\u{1b}["), "an explicit wish goes before NO_COLOR: {colored:?}");
}

/// An image of these files, as a docker archive with this entrypoint.
fn image(world: &World, name: &str, entrypoint: &str, files: &[&str]) -> String {
    let folder = world.path(name);
    for file in files {
        world.write(&format!("{name}/{file}"), "x");
    }
    let mut tree = talosmith::archive::Tree::new();
    for file in files {
        let content = talosmith::base::Content::memory(&b"x"[..]);
        tree.insert(file, talosmith::archive::Entry::file(0o644, content)).unwrap();
    }
    let layer = talosmith::archive::tar::write_tree(&tree, None, Vec::new()).unwrap();
    let diff_id = talosmith::base::Digest::of(&layer).to_string();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": [entrypoint]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [], "Layers": ["layer.tar"]}]);
    let mut archive = talosmith::archive::Tree::new();
    let parts = [
        ("config.json", config.to_string().into_bytes()),
        ("layer.tar", layer),
        ("manifest.json", manifest.to_string().into_bytes()),
    ];
    for (member, bytes) in parts {
        archive
            .insert(member, talosmith::archive::Entry::file(0o644, talosmith::base::Content::memory(bytes)))
            .unwrap();
    }
    let path = folder.with_extension("tar");
    fs::write(&path, talosmith::archive::tar::write_tree(&archive, None, Vec::new()).unwrap()).unwrap();
    format!("docker-archive:{name}.tar")
}

#[test]
fn kinds_of_images_are_told_apart_and_not_taken_for_one_another() {
    let world = World::new();
    let kinds = [
        (
            "imager",
            "/bin/imager",
            &[
                "usr/install/amd64/vmlinuz",
                "usr/install/amd64/initramfs.xz",
                "usr/install/amd64/systemd-stub.efi",
            ][..],
        ),
        ("installer-base", "/bin/installer", &["bin/installer"][..]),
        ("installer", "/bin/installer", &["usr/install/amd64/vmlinuz.efi"][..]),
        ("kernel", "", &["boot/vmlinuz", "usr/lib/modules/6.12.0-talos/modules.order"][..]),
        ("overlay", "", &["installers/board", "artifacts/arm64/dtb"][..]),
        ("package", "", &["bin/tool"][..]),
        ("extension", "", &["manifest.yaml", "rootfs/usr/local/x"][..]),
    ];
    for (kind, entrypoint, files) in kinds {
        let reference = image(&world, kind, entrypoint, files);
        assert_eq!(world.json(&["inspect", &reference])["result"]["images"][0]["kind"], kind);
        if kind != "extension" {
            world.run(&["check", &reference, "--as", "extension"]).failed(
                3,
                &["is an", "wants an extension image"].map(|word| {
                    if kind == "kernel" || kind == "overlay" || kind == "package" {
                        word.trim_end_matches('n')
                    } else {
                        word
                    }
                }),
            );
        }
    }
    world.write("list.txt", "kernel/x.ko");
    world.write("manifest.yaml", fs::read(testdata("my-module/manifest.yaml")).unwrap());
    world
        .run(&[
            "extension",
            "--manifest",
            "manifest.yaml",
            "--modules-from",
            "docker-archive:imager.tar",
            "--modules-list",
            "list.txt",
            "-o",
            "oci:o",
        ])
        .failed(
            3,
            &["`docker-archive:imager.tar` is an imager image, and `--modules-from` wants a kernel image"],
        );
}

#[test]
fn an_interrupted_build_leaves_nothing_half_made() {
    let world = World::new();
    world.write("manifest.yaml", fs::read(testdata("my-module/manifest.yaml")).unwrap());
    world.write("big/blob", "");
    // Sparse, so it costs no disk: long enough to be found at work.
    fs::File::options().write(true).open(world.path("big/blob")).unwrap().set_len(64 << 30).unwrap();
    let words =
        ["extension", "--manifest", "manifest.yaml", "--tree", "big:/usr/local", "-o", "oci:out:x", "-q"];
    let child = world.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !world.path("cache/talosmith/oci-layout").exists() {
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(!world.path("out").exists());
    assert_eq!(fs::read_dir(world.path("cache/talosmith/drafts")).unwrap().count(), 0);
}
