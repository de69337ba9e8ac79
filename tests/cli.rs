//! The command line as people and scripts meet it: streams, JSON, exit codes, kinds, signals.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::process::{Command, Stdio};

use support::{Ran, World, testdata};

fn built(world: &World) -> String {
    world.digest(&["extension", &testdata("my-module/amd64"), "-o", "oci:out:x", "-q"])
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
        value(&["extension", &testdata("my-module/amd64"), "-o", "oci:out:x"])["result"]["written"][0]["digest"],
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
    let words = ["extension", &testdata("my-module/amd64"), "-o", "oci:out:x"];
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
    let files: Vec<(&str, &[u8])> = files.iter().map(|file| (*file, &b"x"[..])).collect();
    image_of(world, name, entrypoint, &files, None)
}

/// The same with the files' contents, and with a diff id that may be a lie.
fn image_of(
    world: &World,
    name: &str,
    entrypoint: &str,
    files: &[(&str, &[u8])],
    lie: Option<&str>,
) -> String {
    let mut tree = talosmith::archive::Tree::new();
    for (file, bytes) in files {
        let content = talosmith::base::Content::memory(*bytes);
        tree.insert(file, talosmith::archive::Entry::file(0o644, content)).unwrap();
    }
    let layer = talosmith::archive::tar::write_tree(&tree, None, Vec::new()).unwrap();
    let diff_id = lie.map_or_else(|| talosmith::base::Digest::of(&layer).to_string(), str::to_owned);
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
    let path = world.path(name).with_extension("tar");
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
    world.write("manifest.yaml", fs::read(testdata("my-module/amd64/manifest.yaml")).unwrap());
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
    world.write("manifest.yaml", fs::read(testdata("my-module/amd64/manifest.yaml")).unwrap());
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

#[test]
fn empty_files_go_through_images_and_back() {
    let world = World::new();
    world.write("manifest.yaml", fs::read(testdata("my-module/amd64/manifest.yaml")).unwrap());
    world.write("empty", "");
    world.ok(&[
        "extension",
        "--manifest",
        "manifest.yaml",
        "--file",
        "empty:/usr/local/share/schematic/x",
        "-o",
        "oci:out:x",
    ]);
    world.ok(&["check", "oci:out:x"]);
    world.ok(&[
        "extension",
        "--manifest",
        "manifest.yaml",
        "--copy",
        "oci:out:x:/rootfs:/",
        "-o",
        "oci:out:y",
    ]);
    assert_eq!(world.run(&["diff", "oci:out:x", "oci:out:y"]).out, "");
    // An empty manifest is a finding and no mishap.
    let empty = image_of(&world, "hollow", "", &[("manifest.yaml", b""), ("rootfs/usr/local/x", b"")], None);
    let ran = world.run(&["check", &empty]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("TS030"), "{ran:?}");
}

#[test]
fn an_index_without_images_is_no_pass_and_one_within_another_is_looked_into() {
    let world = World::new();
    built(&world);
    let blobs = world.path("out/blobs/sha256");
    let add = |name: &str, manifests: serde_json::Value| {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let bytes = serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests})
            .to_string();
        let digest = talosmith::base::Digest::of(bytes.as_bytes());
        fs::write(blobs.join(digest.hex()), &bytes).unwrap();
        let path = world.path("out/index.json");
        let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let entry = serde_json::json!({
            "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": name},
        });
        index["manifests"].as_array_mut().unwrap().push(entry.clone());
        fs::write(&path, index.to_string()).unwrap();
        entry
    };
    add("nothing", serde_json::json!([]));
    world.run(&["check", "oci:out:nothing"]).failed(3, &["is an index without images"]);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("out/index.json")).unwrap()).unwrap();
    let image = index["manifests"][0].clone();
    let inner = add("inner", serde_json::json!([image]));
    add("outer", serde_json::json!([inner]));
    assert_eq!(world.json(&["check", "oci:out:outer"])["result"]["checked"][0]["kinds"][0], "extension");
    world.run(&["check", "oci:out:outer", "--as", "kernel"]).failed(3, &["is an extension image"]);
}

#[test]
fn a_layer_that_is_not_what_the_configuration_says_is_refused() {
    let world = World::new();
    let zeroes = format!("sha256:{}", "0".repeat(64));
    let image = image_of(&world, "liar", "", &[("manifest.yaml", b"x")], Some(&zeroes));
    world.run(&["check", &image]).failed(3, &["has the uncompressed digest", &zeroes]);
}

#[test]
fn what_foreign_text_says_to_the_terminal_is_escaped() {
    let world = World::new();
    let manifest =
        "version: v1alpha1\nmetadata:\n  name: \"a\\e[2Jb\"\n  version: \"1\\u202e\"\n  author: \"x\\ny\"\n";
    let image = image_of(
        &world,
        "ansi",
        "\u{1b}]0;title\u{7}",
        &[("manifest.yaml", manifest.as_bytes()), ("rootfs/usr/local/x\u{1b}[31m", b""), ("\u{9b}evil", b"")],
        None,
    );
    for words in [&["inspect", &image, "--files"][..], &["check", &image][..]] {
        let ran = world.run(words);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(!all.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{all:?}");
        assert!(all.contains("\\u{"), "{all}");
        assert!(!all.lines().any(|line| line == "y"), "{all}");
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_made() {
    let world = World::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = world.command(&["check", "--list"]);
    let ran =
        Ran::of(command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap());
    ran.failed(5, &["cannot write to standard output"]);
    // A folder where the layout's index should be: the last step of writing fails.
    fs::create_dir_all(world.path("out/index.json/x")).unwrap();
    let ran = world.run(&["extension", &testdata("my-module/amd64"), "-o", "oci:out:x"]);
    assert_ne!(ran.code, 0);
    assert!(!world.path("out/blobs").exists() && !world.path("out/oci-layout").exists());
}

#[test]
fn every_reference_of_a_check_is_answered() {
    let world = World::new();
    built(&world);
    let ran = world.run(&["check", "oci:out:x", "./missing", "oci:out:x"]);
    assert_eq!(ran.code, 3);
    assert_eq!(ran.out.matches("oci:out:x: extension").count(), 2, "{ran:?}");
    assert!(ran.err.contains("missing"), "{ran:?}");
}
