//! Does this kernel take this module? What `check` says of the small kernel of `testdata/kernel` and of the
//! variants of one module is held against what that kernel did when they were loaded into it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::installer::{Inputs, RELEASE, append, assets, extension};
use support::{World, kernel};

/// Where the module lies in an extension.
fn place() -> String {
    format!("rootfs/{}", kernel::module_path())
}

/// An extension with this variant of the module.
fn variant(world: &World, name: &str) -> String {
    let module = fs::read(kernel::package(name).join(kernel::module_path())).unwrap();
    extension(world, name, &[(&kernel::module_path(), &module)])
}

/// What was found, but for the remark that nothing enforces signatures: code and severity.
fn findings(checked: &Value) -> Vec<(String, String)> {
    let findings = first(checked)["findings"].as_array().unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    findings
        .iter()
        .map(|finding| (text(finding, "code"), text(finding, "severity")))
        .filter(|(code, _)| code != "TS0607")
        .collect()
}

/// What is said of the first reference.
fn first(checked: &Value) -> &Value {
    &checked["result"]["checked"][0]
}

/// Runs `check`, which must find errors and print these words.
fn refused(world: &World, words: &[&str], said: &[&str]) {
    let ran = world.run(&[&["check"], words].concat());
    assert_eq!(ran.code, 1, "{ran:?}");
    said.iter().for_each(|word| assert!(ran.out.contains(word), "`{word}` is not in:\n{}", ran.out));
}

fn check(world: &World, words: &[&str]) -> (i32, Value) {
    let ran = world.run(&[&["check", "--json"], words].concat());
    (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}")))
}

fn vmlinuz() -> String {
    kernel::kernel().join("boot/vmlinuz").display().to_string()
}

/// What the booted kernel does with each variant: whether it loads it with `module.sig_enforce=1` and
/// without, and its own line in the log; it has none for two of those that it refuses.
const BOOTED: [(&str, bool, bool, Option<&str>); 8] = [
    ("good", true, true, Some("my-module: loaded, version 1.0.0, greeting hello")),
    ("foreign", false, true, Some("Loading of module with unavailable key is rejected")),
    ("foreign-same-serial", false, false, None),
    ("tampered", false, false, None),
    ("unsigned", false, true, Some("Loading of unsigned module is rejected")),
    (
        "vermagic",
        false,
        false,
        Some(
            "my_module: version magic '6.1.0-other SMP mod_unload modversions ' should be '6.12.117-talos SMP preempt mod_unload modversions '",
        ),
    ),
    ("vermagic-release", true, true, Some("my-module: loaded, version 1.0.0, greeting hello")),
    ("crc", false, false, Some("my_module: disagrees about version of symbol param_ops_charp")),
];

/// The one finding of each variant, and words of it: with the kernel's own where it has any.
fn said(variant: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match variant {
        "good" | "vermagic-release" => return None,
        "foreign" => (
            "TS0601",
            &[
                "signed by a key that the kernel does not have",
                "expected: serial 2b:b9:9e:72",
                "found: serial 6d:94:a2:b2",
                "another build of the kernel signed it",
            ],
        ),
        "foreign-same-serial" => {
            ("TS0602", &["another key that has the name and serial number of the kernel's", "RSA-4096"])
        }
        "tampered" => ("TS0602", &["changed after signing", "by that key, and for other bytes"]),
        "unsigned" => ("TS0206", &["is not signed"]),
        "vermagic" => (
            "TS0604",
            &[
                "`6.12.117-talos SMP preempt mod_unload modversions`",
                "`6.1.0-other SMP mod_unload modversions`",
            ],
        ),
        "crc" => ("TS0211", &["disagrees with the kernel about the version of `param_ops_charp`"]),
        other => panic!("{other}"),
    })
}

#[test]
fn the_verdict_for_each_variant_is_that_of_the_booted_kernel_and_names_the_cause() {
    let world = World::new();
    for (name, enforced, lenient, line) in BOOTED {
        let folder = variant(&world, name);
        // Its configuration leaves enforcement to the command line, which has it by default since 1.12.
        for (talos, loads) in [("v1.13.0", enforced), ("v1.11.3", lenient)] {
            let (code, checked) = check(&world, &[&folder, "--kernel", &vmlinuz(), "--talos", talos]);
            assert_eq!(code == 0, loads, "{name} {talos}: {line:?} {checked}");
            let severity = if loads { "warning" } else { "error" };
            let expected: Vec<_> =
                said(name).map(|(code, _)| (code.to_owned(), severity.to_owned())).into_iter().collect();
            assert_eq!(findings(&checked), expected, "{name} {talos}");
        }
        if let Some((code, words)) = said(name) {
            let ask = [folder.as_str(), "--kernel", &vmlinuz(), "--talos", "v1.13.0"];
            refused(&world, &ask, words);
            refused(&world, &ask, &[code, &format!("at `{}`", place()), &format!("in `{folder}`")]);
        }
    }
}

#[test]
fn an_imager_a_folder_of_boot_assets_and_a_kernel_image_say_the_same_as_the_kernel_alone() {
    let world = World::new();
    let folder = assets(&world, "boot");
    let image = format!("dir:{}", kernel::kernel().display());
    let imager = Inputs::tiny().imager;
    for name in ["good", "tampered"] {
        let extension = variant(&world, name);
        let alone = check(&world, &[&extension, "--kernel", &vmlinuz(), "--talos", "v1.13.0"]);
        for ground in [["--imager", &folder], ["--imager", &imager], ["--kernel", &image]] {
            let words = [&extension, ground[0], ground[1], "--talos", "v1.13.0"];
            let found = check(&world, &words);
            assert_eq!((found.0, findings(&found.1)), (alone.0, findings(&alone.1)), "{name} {ground:?}");
        }
    }
}

#[test]
fn what_a_module_needs_is_looked_for_where_all_modules_are_known() {
    let world = World::new();
    let image = format!("dir:{}", kernel::kernel().display());
    // It needs my-module, which is another extension's, and udp_tunnel, which the kernel's build has.
    let user =
        fs::read_dir(kernel::package("user").join(format!("usr/lib/modules/{RELEASE}/extras"))).unwrap();
    let files: Vec<(String, Vec<u8>)> = user
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (format!("usr/lib/modules/{RELEASE}/extras/{name}"), fs::read(entry.path()).unwrap())
        })
        .filter(|(path, _)| path.ends_with("my-user.ko"))
        .collect();
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let extension = extension(&world, "user", &files);
    let (code, found) = check(&world, &[&extension, "--kernel", &vmlinuz(), "--talos", "v1.13.0"]);
    assert_eq!((code, findings(&found)), (0, vec![]), "the kernel alone says nothing of other modules");
    let ask = [extension.as_str(), "--kernel", &image, "--talos", "v1.13.0"];
    refused(&world, &ask, &["TS0212", "needs module `my_module`, which is not there"]);
    let (_, found) = check(&world, &ask);
    assert_eq!(findings(&found).len(), 1, "udp_tunnel is there: {found}");
}

#[test]
fn modules_for_another_release_are_said_once() {
    let world = World::new();
    let module = fs::read(kernel::package("good").join(kernel::module_path())).unwrap();
    let other = extension(&world, "other", &[("usr/lib/modules/6.6.6-talos/extras/my-module.ko", &module)]);
    let (code, found) = check(&world, &[&other, "--kernel", &vmlinuz(), "--talos", "v1.13.0"]);
    assert_eq!((code, findings(&found)), (1, vec![("TS0505".to_owned(), "error".to_owned())]));
}

#[test]
fn what_is_no_kernel_is_refused_by_what_it_is() {
    let world = World::new();
    let good = variant(&world, "good");
    world.write("text", "hello");
    world.run(&["check", &good, "--kernel", "./text"]).failed(3, &["`./text`"]);
    let base = Inputs::tiny().base;
    let ran = world.run(&["check", &good, "--kernel", &base]);
    ran.failed(3, &["is an installer-base image, and `--kernel` wants a kernel image"]);
    world.run(&["check", &good, "--imager", &base]).failed(3, &["has no boot assets for amd64"]);
    let mut broken = fs::read(vmlinuz()).unwrap();
    let middle = broken.len() / 2;
    broken[middle] ^= 0xff;
    world.write("broken", broken);
    world.run(&["check", &good, "--kernel", "./broken"]).failed(3, &["the kernel `./broken` cannot be used"]);
}

/// Runs `installer` for a Talos version that has signatures enforced by its command line.
fn installer(world: &World, extension: &str, more: &[&str]) -> support::Ran {
    let inputs = Inputs { imager: real_assets(world), base: Inputs::tiny().base };
    let words = inputs.words(&[extension], &[&["--talos", "v1.13.0", "-o", "oci:out"], more].concat());
    world.run(&words)
}

/// The boot assets of the test data with a real kernel, whose modules theirs are, in place of the stand-in.
fn real_assets(world: &World) -> String {
    let folder = assets(world, "real");
    fs::copy(vmlinuz(), world.path(&folder).join("vmlinuz")).unwrap();
    folder
}

#[test]
fn an_installer_is_not_made_of_a_module_that_its_kernel_will_refuse() {
    let world = World::new();
    for (name, _, _, _) in BOOTED.into_iter().filter(|(_, loads, ..)| !loads) {
        let extension = variant(&world, name);
        let ran = installer(&world, &extension, &[]);
        let (code, words) = said(name).unwrap();
        ran.failed(1, words);
        ran.failed(1, &[code, &format!("at `{}`", place())]);
        assert!(!world.path("out").exists() && !ran.err.contains("squashfs"), "{name}: {ran:?}");
    }
}

#[test]
fn without_enforcement_what_only_taints_the_kernel_is_a_warning() {
    let world = World::new();
    let ran = installer(&world, &variant(&world, "foreign"), &["--extra-kernel-arg=-module.sig_enforce"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("warning: module `my-module.ko` is signed by a key"), "{ran:?}");
    let ran = installer(&world, &variant(&world, "tampered"), &["--extra-kernel-arg=-module.sig_enforce"]);
    ran.failed(1, &["TS0602"]);
}

#[test]
fn a_finished_installer_is_checked_by_what_is_inside_it() {
    let world = World::new();
    assert_eq!(installer(&world, &variant(&world, "good"), &[]).code, 0);
    let (code, found) = check(&world, &["oci:out"]);
    assert_eq!((code, findings(&found)), (0, vec![]), "{found}");
    assert_eq!(first(&found)["talos"], "v1.13.0");
    assert_eq!(first(&found)["kernels"][0], format!("{RELEASE} for amd64"));
    for (name, code) in [("foreign", "TS0601"), ("unsigned", "TS0206"), ("crc", "TS0211")] {
        fs::remove_dir_all(world.path("out")).unwrap();
        let made = installer(&world, &variant(&world, name), &["--allow", code]);
        assert_eq!(made.code, 0, "{made:?}");
        let place = format!("at `0.sqsh/{}`", kernel::module_path());
        refused(&world, &["oci:out"], &[code, &place, "in `oci:out`"]);
    }
}

/// A folder that looks like an installer's files, with more behind its initramfs.
fn with_archive(world: &World, name: &str, archive: &[u8]) -> String {
    let boot = assets(world, "boot");
    let folder = format!("{name}/usr/install/amd64");
    let file = |file: &str| fs::read(world.path(&boot).join(file)).unwrap();
    world.write(&format!("{folder}/vmlinuz"), file("vmlinuz"));
    let mut initramfs = file("initramfs.xz");
    initramfs.resize(initramfs.len().next_multiple_of(4), 0);
    initramfs.extend_from_slice(archive);
    world.write(&format!("{folder}/initramfs.xz"), initramfs);
    format!("./{name}")
}

/// A cpio archive (newc) of these files, written by hand.
fn cpio(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in files.iter().copied().chain([("TRAILER!!!", &[][..])]) {
        let (mode, size, len) = (0o100_644, bytes.len(), name.len() + 1);
        let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len, 0];
        archive.extend_from_slice(b"070701");
        fields.iter().for_each(|field| archive.extend_from_slice(format!("{field:08x}").as_bytes()));
        archive.extend_from_slice(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

#[test]
fn layers_and_their_list_must_agree() {
    let world = World::new();
    let layer = squashfs(&world, &[("usr/local/x", b"x")]);
    let unlisted = with_archive(&world, "unlisted", &cpio(&[("0.sqsh", &layer)]));
    refused(&world, &[&unlisted], &["TS0508", "layer `0.sqsh` is not listed"]);
    let list =
        b"layers:\n  - image: 0.sqsh\n    metadata: {name: x, version: 1.0.0, author: a, description: d}\n";
    let missing = with_archive(&world, "missing", &cpio(&[("extensions.yaml", list)]));
    refused(&world, &[&missing], &["TS0508", "layer `0.sqsh` is listed", "not there"]);
    let both = with_archive(&world, "both", &cpio(&[("0.sqsh", &layer), ("extensions.yaml", list)]));
    let (code, found) = check(&world, &[&both]);
    assert_eq!((code, findings(&found)), (0, vec![]));
}

/// A squashfs image of these files.
fn squashfs(world: &World, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    files.iter().for_each(|(path, bytes)| append(&mut archive, path, 0o644, bytes));
    world.write("files.tar", archive.into_inner().unwrap());
    world.ok(&["squashfs", "pack", "./files.tar", "layer.sqsh"]);
    fs::read(world.path("layer.sqsh")).unwrap()
}

#[test]
fn a_module_that_the_index_does_not_have_is_found_though_its_file_is_there() {
    let world = World::new();
    let module = fs::read(kernel::package("good").join(kernel::module_path())).unwrap();
    let layer = squashfs(&world, &[(&kernel::module_path(), &module)]);
    let list =
        b"layers:\n  - image: 0.sqsh\n    metadata: {name: x, version: 1.0.0, author: a, description: d}\n";
    let folder = with_archive(&world, "x", &cpio(&[("0.sqsh", &layer), ("extensions.yaml", list)]));
    refused(&world, &[&folder], &["TS0509", "`my-module.ko` is missing in the index of modules"]);
}

/// A copy of the kernel image's root, with `change` made to one of its modules.
fn kernel_with(world: &World, name: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    copy(&kernel::kernel(), &world.path(name));
    let path = world.path(name).join(format!("usr/lib/modules/{RELEASE}/kernel/drivers/net/dummy.ko"));
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    format!("dir:{name}")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_kernel_image_is_checked_against_its_own_kernel_and_so_is_an_imager_made_of_it() {
    let world = World::new();
    let whole = kernel_with(&world, "whole", |_| {});
    let (code, found) = check(&world, &[&whole]);
    assert_eq!((code, findings(&found)), (0, vec![]));
    let changed = kernel_with(&world, "changed", |bytes| bytes[2000] ^= 1);
    refused(&world, &[&changed], &["TS0602", "`dummy.ko` is changed after signing"]);
    let words = ["custom-imager", "--base", &Inputs::tiny().imager, "--kernel", &changed, "-o", "oci:mine"];
    world.run(&words).failed(1, &["TS0602", "`dummy.ko` is changed after signing"]);
    assert!(!world.path("mine").exists());
}
