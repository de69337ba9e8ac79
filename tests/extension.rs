//! `talosmith extension` from end to end: what goes in, what comes out, what is refused.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::{World, testdata};

const MANIFEST: &str = "version: v1alpha1\nmetadata:\n  name: acme\n  version: 1.2.3\n  author: Acme\n  description: Drivers\n  compatibility:\n    talos:\n      version: \">= v1.10.0\"\n";

fn module(name: &str) -> String {
    testdata(&format!("modules/{name}"))
}

#[test]
fn a_folder_becomes_an_image_whose_every_byte_is_known() {
    let world = World::new();
    let digest = world.digest(&["extension", &testdata("my-module/amd64"), "-o", "oci:out:my-module"]);
    let dump = world.ok(&["inspect", "oci:out:my-module", "--files"]);
    let config = world.json(&["inspect", "oci:out:my-module", "--files"]);
    assert_eq!(dump, include_str!("golden/my-module.txt"), "{dump}");
    assert_eq!(digest, include_str!("golden/my-module.digest").trim());
    assert_eq!(config["result"]["images"][0]["kind"], "extension");
}

#[test]
fn the_digest_does_not_depend_on_anything_but_the_input() {
    let world = World::new();
    let first = world.digest(&["extension", &testdata("my-module/amd64"), "-o", "oci:out:first"]);
    // Another folder's name, other times, modes and order of creation, another umask, jobs, cache and locale.
    let ko = fs::read(module("good.ko")).unwrap();
    world.write("other-name/README.md", "not part of it");
    let copied = world.write("other-name/rootfs/usr/lib/modules/6.12.117-talos/extras/my-module.ko", ko);
    fs::set_permissions(copied, fs::Permissions::from_mode(0o600)).unwrap();
    let manifest = fs::read(testdata("my-module/amd64/manifest.yaml")).unwrap();
    world.write("other-name/manifest.yaml", manifest);
    let mut command = world.command(&[
        "extension",
        "other-name",
        "-o",
        "oci:out:second",
        "--jobs",
        "7",
        "--cache",
        "elsewhere",
    ]);
    let ran =
        support::Ran::of(command.env("LC_ALL", "tr_TR.UTF-8").env("TZ", "Asia/Kathmandu").output().unwrap());
    assert!(ran.out.trim().ends_with(&first), "{ran:?}");
}

#[test]
fn loose_files_find_their_places() {
    let world = World::new();
    world.write("manifest.yaml", MANIFEST);
    world.write("acme.bin", "firmware");
    world.write("service.yaml", "name: acme\ncontainer:\n  entrypoint: ./acme\nrestart: always\n");
    let packed = fs::read(module("good.ko")).unwrap();
    world.write("extra.ko.zst", zstd::encode_all(&packed[..], 3).unwrap());
    world.write("tree/bin/tool", "#!/bin/true");
    let out = world.ok(&[
        "extension",
        "--manifest",
        "manifest.yaml",
        "--module",
        &module("unsigned.ko"),
        "--module",
        "extra.ko.zst",
        "--firmware",
        "acme.bin:acme",
        "--file",
        "service.yaml:/usr/local/etc/containers/acme.yaml",
        "--tree",
        "tree:/usr/local",
        "-o",
        "oci:out:x",
        "--quiet",
    ]);
    assert!(out.starts_with("oci:out:x@sha256:"), "{out}");
    let files = world.json(&["inspect", "oci:out:x", "--files"]);
    let paths: Vec<&str> = files["result"]["images"][0]["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["size"].is_u64())
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "manifest.yaml",
            "rootfs/usr/lib/firmware/acme/acme.bin",
            "rootfs/usr/lib/modules/6.12.117-talos/extras/extra.ko",
            "rootfs/usr/lib/modules/6.12.117-talos/extras/unsigned.ko",
            "rootfs/usr/local/bin/tool",
            "rootfs/usr/local/etc/containers/acme.yaml",
        ]
    );
}

#[test]
fn files_are_copied_out_of_other_images() {
    let world = World::new();
    world.write("manifest.yaml", MANIFEST);
    world.write("kernel/boot/vmlinuz", "x");
    let ko = fs::read(module("good.ko")).unwrap();
    world.write("kernel/usr/lib/modules/6.12.117-talos/kernel/drivers/net/good.ko", &ko);
    world.write("kernel/usr/lib/modules/6.12.117-talos/kernel/drivers/net/other.ko", &ko);
    world.write("list.txt", "# comment\nkernel/drivers/net/good.ko\n\n");
    let by_list = [
        "extension",
        "--manifest",
        "manifest.yaml",
        "--modules-from",
        "dir:kernel",
        "--modules-list",
        "list.txt",
        "-o",
        "oci:out:list",
    ];
    world.ok(&by_list);
    let copied = [
        "extension",
        "--manifest",
        "manifest.yaml",
        "--copy",
        "dir:kernel:/usr/lib/modules",
        "-o",
        "oci:out:copy",
    ];
    world.ok(&copied);
    let difference = world.run(&["diff", "oci:out:list", "oci:out:copy"]);
    assert_eq!(difference.code, 1);
    assert_eq!(
        difference.out.lines().filter(|line| line.starts_with('+')).collect::<Vec<_>>(),
        ["+ rootfs/usr/lib/modules/6.12.117-talos/kernel/drivers/net/other.ko",]
    );
    // An image copies as its tree did.
    world.ok(&[
        "extension",
        "--manifest",
        "manifest.yaml",
        "--copy",
        "oci:out:copy:/rootfs:/",
        "-o",
        "oci:out:again",
    ]);
    assert_eq!(world.run(&["diff", "oci:out:copy", "oci:out:again"]).out, "");
    world.write("list.txt", "# nothing\n");
    world.run(&by_list).failed(3, &["`list.txt` lists no modules"]);
    world.write("list.txt", "\n../x\n");
    world.run(&by_list).failed(3, &["`list.txt`", "line 2: path `../x`"]);
    world.write("list.txt", "kernel/drivers/net/godo.ko\n");
    world
        .run(&by_list)
        .failed(3, &["line 1: `kernel/drivers/net/godo.ko`", "did you mean `kernel/drivers/net/good.ko`?"]);
    world
        .run(&[
            "extension",
            "--manifest",
            "manifest.yaml",
            "--copy",
            "dir:kernel:/nowhere",
            "-o",
            "oci:out:x",
        ])
        .failed(3, &["`dir:kernel` has no `/nowhere`"]);
}

#[test]
fn several_platforms_make_one_index() {
    let world = World::new();
    world.write("manifest.yaml", MANIFEST);
    world.write("modules/amd64/a.ko", fs::read(module("good.ko")).unwrap());
    world.write("modules/arm64/a.ko", fs::read(module("arm64-crc7.ko")).unwrap());
    let words = [
        "extension",
        "--manifest",
        "manifest.yaml",
        "--module",
        "modules/{arch}/a.ko",
        "--platform",
        "linux/amd64,linux/arm64",
        "-o",
        "oci:out:both",
        "-o",
        "oci-archive:both.tar",
    ];
    world.ok(&words);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("out/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["mediaType"], "application/vnd.oci.image.index.v1+json");
    let found = world.json(&["inspect", "both.tar"]);
    let platforms: Vec<&serde_json::Value> =
        found["result"]["images"].as_array().unwrap().iter().map(|image| &image["platform"]).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    // A single image of a layout names its platform, or the Talos imager does not find it.
    world.ok(&["copy", "both.tar", "oci:one:arm", "--platform", "linux/arm64"]);
    let one: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("one/index.json")).unwrap()).unwrap();
    assert_eq!(one["manifests"][0]["platform"]["architecture"], "arm64");
    world
        .run(&[&words[..], &["-o", "docker-archive:x.tar"]].concat())
        .failed(2, &["a docker archive holds one platform"]);
    world
        .run(&["copy", "both.tar", "docker-archive:x.tar"])
        .failed(3, &["can hold one platform", "--platform"]);
}

#[test]
fn every_medium_gives_back_what_it_was_given() {
    let world = World::new();
    let digest = world.digest(&["extension", &testdata("my-module/amd64"), "-o", "oci:a:x"]);
    for (from, to) in [
        ("oci:a:x", "oci-archive:b.tar:y"),
        ("oci-archive:b.tar:y", "oci:c:z"),
        ("b.tar", "oci:d"),
        ("./d", "oci-archive:e.tar"),
    ] {
        assert_eq!(world.digest(&["copy", from, to]), digest, "{from} to {to}");
    }
    // A docker archive holds no manifest, so it is made anew; the files stay.
    world.ok(&["copy", "e.tar", "docker-archive:f.tar:acme/x:1"]);
    world.ok(&["copy", "docker-archive:f.tar:acme/x:1", "oci:g"]);
    let difference = world.run(&["diff", "oci:a:x", "oci:g"]).out;
    assert!(
        difference.lines().all(|line| line.contains("manifest: annotation") || line.starts_with("    ")),
        "{difference}"
    );
    let archive = |name: &str| fs::read(world.path(name)).unwrap();
    let first = archive("e.tar");
    world.ok(&["copy", "./d", "oci-archive:e.tar"]);
    assert!(first == archive("e.tar"), "the same image gave another archive");
}

#[test]
fn formats_and_compressions_carry_the_same_files() {
    let world = World::new();
    let base = ["extension", &testdata("my-module/amd64")];
    world.ok(&[&base[..], &["-o", "oci:out:plain", "--compression", "none"]].concat());
    for (name, words) in [
        ("gzip9", &["--compression", "gzip:9"][..]),
        ("zstd", &["--compression", "zstd"][..]),
        ("docker", &["--format", "docker"][..]),
    ] {
        let output = format!("oci:out:{name}");
        world.ok(&[&base[..], &["-o", &output], words].concat());
        let found = world.run(&["diff", "oci:out:plain", &output]).out;
        assert!(!found.contains("rootfs/"), "{found}");
    }
    let found = world.json(&["inspect", "oci:out:docker"]);
    assert_eq!(found["result"]["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(
        found["result"]["images"][0]["layers"][0]["mediaType"],
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    );
    world
        .run(&[&base[..], &["-o", "oci:x", "--format", "docker", "--compression", "zstd"]].concat())
        .failed(2, &["no zstd"]);
}

#[test]
fn what_a_tired_person_gets_wrong_is_said() {
    let world = World::new();
    world.write("manifest.yaml", MANIFEST);
    world.write("not-a-module.ko", "MZ this is no ELF file");
    world.write("empty/manifest.yaml", MANIFEST);
    let with = |words: &[&str]| world.run(&[&["extension", "-o", "oci:out:x"], words].concat());
    with(&["nowhere"]).failed(3, &["there is no folder `nowhere`", "talosmith new nowhere"]);
    with(&[]).failed(3, &["there is no manifest", "--manifest FILE"]);
    with(&["empty"]).failed(3, &["would be empty"]);
    with(&["--manifest", "manifest.yaml", "--module", "not-a-module.ko"])
        .failed(3, &["`not-a-module.ko` is no kernel module"]);
    with(&[
        "--manifest",
        "manifest.yaml",
        "--module",
        &module("good.ko"),
        "--module",
        &module("vermagic.ko"),
    ])
    .failed(3, &["different kernels", "6.12.117-talos: ", "6.1.0-other: "]);
    with(&["--manifest", "manifest.yaml", "--module", &module("good.ko"), "--platform", "linux/arm64"])
        .failed(1, &["TS0202", "expected: arm64", "found: amd64"]);
    with(&["--manifest", "manifest.yaml", "--file", "manifest.yaml"]).failed(2, &["SRC:DST"]);
    with(&["--manifest", "manifest.yaml", "--file", "manifest.yaml:/../etc/x"]).failed(2, &["climbs out"]);
    with(&[
        "--manifest",
        "manifest.yaml",
        "--file",
        "manifest.yaml:/usr/local/x",
        "--file",
        "manifest.yaml:/usr/local/x",
    ])
    .failed(3, &["given twice"]);
    with(&["--manifest", "manifest.yaml", "--file", "manifest.yaml:/etc/passwd"])
        .failed(1, &["rootfs/etc/passwd"]);
    with(&["empty", "--allow", "no-such-code"]).failed(2, &["there is no such check"]);
    world
        .run(&["extension", "empty", "-o", "acme/x:1"])
        .failed(2, &["`acme/x:1` may be a directory or an image name"]);
    world.run(&["extension", "empty", "-o", "./out"]).failed(2, &["does not say in which form"]);
    world.run(&["extension", "empty"]).failed(2, &["--output"]);
    world.run(&["extension", "empty", "-o", "oci:x:1@sha256:abc"]).failed(2, &["has no `@`"]);
    world.run(&["extension", "empty", "-o", "oci:x", "-o", "oci:x"]).failed(2, &["is given twice"]);
    world
        .run(&["extension", "empty", "-o", "127.0.0.1:1/a:1", "--offline"])
        .failed(4, &["`--offline` forbids"]);
    with(&["empty", "--talos", "1.9"]).failed(2, &["`--talos`", "v1.11.3"]);
    with(&["empty", "--auth-file", "nowhere"]).failed(3, &["there is no file `nowhere`"]);
    assert!(!world.path("out").exists(), "nothing half-made is left behind");
}

#[test]
fn templates_take_plain_variables() {
    let world = World::new();
    world.write("t/manifest.yaml.tmpl", MANIFEST.replace("1.2.3", "{{ .VERSION }}"));
    world.write("t/vars.yaml", "VERSION: 4.5.6\n");
    world.write("t/rootfs/usr/local/x", "x");
    let made = world.json(&["extension", "t", "-o", "oci:out:t"]);
    assert_eq!(made["result"]["extension"]["version"], "4.5.6");
    world.write("t/vars.yaml", "VERSIONS: 4.5.6\n");
    world.run(&["extension", "t", "-o", "oci:out:t"]).failed(3, &["VERSION", "VERSIONS"]);
}

#[test]
fn a_known_result_is_not_made_again() {
    let world = World::new();
    let words = ["extension", &testdata("my-module/amd64"), "-o", "oci:out:x", "--verbose"];
    assert!(world.run(&words).err.contains("layer"));
    let again = world.run(&words);
    assert!(again.err.contains("extension my-module: known"), "{}", again.err);
    // A blob that was damaged since is made anew.
    let blobs = world.path("cache/talosmith/blobs/sha256");
    for blob in fs::read_dir(&blobs).unwrap() {
        fs::remove_file(blob.unwrap().path()).unwrap();
    }
    fs::remove_dir_all(world.path("out")).unwrap();
    world.ok(&words);
    world.ok(&["inspect", "oci:out:x"]);
}

#[test]
fn a_new_extension_builds_as_its_readme_says() {
    let world = World::new();
    world.ok(&["new", "acme-driver"]);
    world.write("acme-driver/rootfs/usr/local/share/acme", "x");
    world.ok(&["extension", "acme-driver", "-o", "oci:out:acme-driver"]);
    world.ok(&["check", "./acme-driver"]);
    world.run(&["new", "acme-driver"]).failed(3, &["there already"]);
    world.run(&["new", "Acme Driver"]).failed(2, &["is no name"]);
}

#[test]
fn selinux_labels_are_set_and_stay() {
    let world = World::new();
    let label = "usr/lib/modules=system_u:object_r:module_t:s0";
    world.ok(&["extension", &testdata("my-module/amd64"), "-o", "oci:out:x", "--selinux-label", label]);
    world.ok(&[
        "extension",
        "--manifest",
        &testdata("my-module/amd64/manifest.yaml"),
        "--copy",
        "oci:out:x:/rootfs:/",
        "-o",
        "oci:out:y",
    ]);
    assert_eq!(world.run(&["diff", "oci:out:x", "oci:out:y"]).out, "");
    let plain = world.digest(&["extension", &testdata("my-module/amd64"), "-o", "oci:out:z"]);
    let found = world.run(&["diff", "oci:out:z", "oci:out:x"]).out;
    assert!(found.contains("security.selinux nothing → system_u:object_r:module_t:s0"), "{found} {plain}");
    world
        .run(&["extension", &testdata("my-module/amd64"), "-o", "oci:out:x", "--selinux-label", "nowhere=x"])
        .failed(3, &["not in the extension"]);
}

#[test]
fn each_platform_can_have_a_folder_of_its_own() {
    let world = World::new();
    let folder = testdata("my-module/{arch}");
    world.ok(&["extension", &folder, "-o", "oci:out", "--platform", "linux/amd64,linux/arm64"]);
    for arch in ["amd64", "arm64"] {
        let said = world.ok(&["inspect", "oci:out", "--platform", &format!("linux/{arch}")]);
        assert!(said.contains(&format!("my-module.ko (6.12.117-talos, {arch}, signed)")), "{said}");
    }
    // One extension has one manifest.
    let manifest = fs::read_to_string(testdata("my-module/amd64/manifest.yaml")).unwrap();
    world.write("e/amd64/manifest.yaml", &manifest);
    world.write("e/arm64/manifest.yaml", manifest.replace("0.1.0", "0.2.0"));
    let words = ["extension", "e/{arch}", "-o", "oci:other", "--platform", "linux/amd64,linux/arm64"];
    world.run(&words).failed(3, &["e/amd64/manifest.yaml", "e/arm64/manifest.yaml", "and differ"]);
    world.run(&["extension", "no/{arch}", "-o", "oci:other"]).failed(3, &["no/amd64"]);
}
