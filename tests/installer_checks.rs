//! What `talosmith installer` refuses before it makes anything, and what it warns of.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/boot.rs"]
mod made;
mod support;

use std::fs;

use support::installer::{
    Image, Inputs, RELEASE, append, assets, below, bytes, docker_archive, extension, extension_for,
};
use support::{Ran, World, testdata};

/// Runs it for `oci:out` with these extensions, which must fail: nothing is written, and no layer compressed.
fn refused(world: &World, extensions: &[&str], more: &[&str]) -> Ran {
    let tiny = Inputs::tiny();
    let ran = world.run(&tiny.words(extensions, &[&["-o", "oci:out"], more].concat()));
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(!world.path("out").exists(), "{ran:?}");
    assert!(!ran.err.contains("squashfs"), "{ran:?}");
    ran
}

/// Runs it with these extensions, which must succeed; gives what it said.
fn passes(world: &World, extensions: &[&str], more: &[&str]) -> String {
    let tiny = Inputs::tiny();
    let ran = world.run(&tiny.words(extensions, &[&["-o", "oci:out"], more].concat()));
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.err
}

#[test]
fn an_imager_as_base_is_refused_unless_it_is_meant() {
    let world = World::new();
    let tiny = Inputs::tiny();
    let inputs = Inputs { imager: tiny.imager.clone(), base: tiny.imager.clone() };
    let ran = world.run(&inputs.words(&[], &["-o", "oci:out"]));
    ran.failed(1, &["TS0501", "is an imager image", "siderolabs/talos#11426", "`installer-base`"]);
    assert!(!world.path("out").exists());
    world.ok(&inputs.words(&[], &["-o", "oci:out", "--allow", "base-kind"]));
    assert_eq!(Image::open(&world.path("out")).layers().len(), 2);
    // Nor is an extension one.
    world.ok(&["extension", &testdata("my-module/amd64"), "-o", "oci:e"]);
    let inputs = Inputs { imager: tiny.imager, base: "oci:e".to_owned() };
    world.run(&inputs.words(&[], &["-o", "oci:o"])).failed(1, &["TS0501", "is an extension image"]);
}

#[test]
fn images_of_another_kind_in_the_wrong_place_are_told_by_their_kind() {
    let world = World::new();
    let tiny = Inputs::tiny();
    let inputs = Inputs { imager: tiny.base.clone(), base: tiny.base.clone() };
    let ran = world.run(&inputs.words(&[], &["-o", "oci:out"]));
    ran.failed(3, &["is an installer-base image", "`--imager` wants an imager image"]);
    refused(&world, &[&tiny.base], &[])
        .failed(3, &["is an installer-base image", "`--extension` wants an extension image"]);
    world.write("empty/x", "");
    let inputs = Inputs { imager: "./empty".to_owned(), base: tiny.base };
    world
        .run(&inputs.words(&[], &["-o", "oci:out", "--talos", "v1.11.3"]))
        .failed(3, &["no boot assets in `./empty`", "vmlinuz, initramfs.xz", "usr/install/amd64"]);
}

#[test]
fn the_same_extension_twice_is_an_error_and_twice_its_name_a_warning() {
    let world = World::new();
    let my_module = testdata("my-module/amd64");
    refused(&world, &[&my_module, &my_module], &[]).failed(1, &["TS0503", "`my-module` is given twice"]);
    world.ok(&["extension", &my_module, "-o", "oci:e"]);
    refused(&world, &[&my_module, "oci:e"], &[])
        .failed(1, &["TS0503", "`my-module` is given twice", "`oci:e` are the same"]);
    let one = extension(&world, "one", &[("usr/local/a", b"a")]);
    let two = extension(&world, "two", &[("usr/local/b", b"b")]);
    fs::copy(world.path("one/manifest.yaml"), world.path("two/manifest.yaml")).unwrap();
    let said = passes(&world, &[&one, &two], &[]);
    assert!(said.contains("two extensions are named `one`"), "{said}");
}

#[test]
fn a_file_that_two_extensions_have_is_a_warning_that_says_who_wins() {
    let world = World::new();
    let firmware = "usr/lib/firmware/acme/fw.bin";
    let first = extension(&world, "first", &[(firmware, b"first"), ("usr/local/share/x", b"first")]);
    let second = extension(&world, "second", &[(firmware, b"second"), ("usr/local/share/x", b"second")]);
    let said = passes(&world, &[&first, &second], &[]);
    assert!(said.contains("TS0504"), "{said}");
    assert!(
        said.contains(&format!("`first` and `second` both have `/{firmware}`, `/usr/local/share/x`")),
        "{said}"
    );
    assert!(said.contains("`second` is given later, so its files win"), "{said}");
    // And so it is, with firmware, which lies in no layer, as with everything else.
    let initramfs = Image::open(&world.path("out")).initramfs();
    assert_eq!(initramfs.members[firmware].bytes, b"second");
    assert_eq!(bytes(&initramfs.layer("1.sqsh"), "usr/local/share/x"), b"second");
    let said = passes(&world, &[&second, &first], &[]);
    assert!(said.contains("`first` is given later, so its files win"), "{said}");
    assert_eq!(Image::open(&world.path("out")).initramfs().members[firmware].bytes, b"first");
}

#[test]
fn modules_for_another_kernel_are_refused_by_name_and_cause() {
    let world = World::new();
    let ko = fs::read(testdata("modules/vermagic.ko")).unwrap();
    let name = extension(&world, "old", &[("usr/lib/modules/6.1.0-other/extras/a.ko", &ko)]);
    let ran = refused(&world, &[&name], &[]);
    ran.failed(1, &["TS0505", "the modules of extension `old` are for another kernel", "in `./old`"]);
    ran.failed(1, &[&format!("expected: {RELEASE}"), "found: 6.1.0-other", "built with this kernel"]);
    // Beside those for this kernel they are dead weight.
    let good = fs::read(testdata("modules/good.ko")).unwrap();
    let files: [(&str, &[u8]); 2] = [
        ("usr/lib/modules/6.1.0-other/extras/a.ko", &ko),
        ("usr/lib/modules/6.12.117-talos/extras/a.ko", &good),
    ];
    let said = passes(&world, &[&extension(&world, "both", &files)], &[]);
    assert!(said.contains("TS0204"), "{said}");
}

#[test]
fn a_module_that_is_no_elf_file_is_an_error() {
    let world = World::new();
    let path = format!("usr/lib/modules/{RELEASE}/extras/broken.ko");
    let name = extension(
        &world,
        "broken",
        &[(path.as_str(), b"MZ this is no ELF file, and long enough to be one of those")],
    );
    refused(&world, &[&name], &[]).failed(1, &["TS0201", "module `broken.ko`", &path, "in `./broken`"]);
}

#[test]
fn modules_for_another_machine_or_with_missing_symbols_are_refused() {
    let world = World::new();
    let ko = fs::read(testdata("modules/arm64-crc7.ko")).unwrap();
    let path = format!("usr/lib/modules/{RELEASE}/extras/crc7.ko");
    let name = extension(&world, "arm", &[(path.as_str(), &ko)]);
    refused(&world, &[&name], &[]).failed(1, &["TS0202", "expected: amd64", "found: arm64"]);
}

#[test]
fn what_has_no_place_in_an_extension_is_refused() {
    let world = World::new();
    let passwd = extension(&world, "passwd", &[("etc/passwd", b"root::0:0")]);
    refused(&world, &[&passwd], &[]).failed(1, &["TS0104", "`/etc/passwd`", "in `./passwd`"]);
    // Modes, links and devices are what an image's layers say.
    let manifest = fs::read(world.path("passwd/manifest.yaml")).unwrap();
    let image = |name: &str, add: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
        let mut layer = tar::Builder::new(Vec::new());
        append(&mut layer, "manifest.yaml", 0o644, &manifest);
        append(&mut layer, "rootfs/usr/local/bin/tool", 0o755, b"tool");
        add(&mut layer);
        docker_archive(&world, name, &layer.into_inner().unwrap(), "", "")
    };
    let special = |layer: &mut tar::Builder<Vec<u8>>, kind, path: &str, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(0);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        match target {
            "" => layer.append_data(&mut header, path, std::io::empty()).unwrap(),
            target => layer.append_link(&mut header, path, target).unwrap(),
        }
    };
    let writable = image("writable", &|layer| append(layer, "rootfs/usr/local/bin/w", 0o777, b"w"));
    refused(&world, &[&writable], &[]).failed(1, &["TS0105", "rootfs/usr/local/bin/w"]);
    let linked = image("linked", &|layer| {
        special(layer, tar::EntryType::Link, "rootfs/usr/local/bin/z", "rootfs/usr/local/bin/tool");
    });
    refused(&world, &[&linked], &[]).failed(1, &["TS0110", "rootfs/usr/local/bin/z"]);
    let device = image("device", &|layer| special(layer, tar::EntryType::Char, "rootfs/usr/local/null", ""));
    refused(&world, &[&device], &[]).failed(1, &["TS0107", "rootfs/usr/local/null"]);
    let leaves = image("leaves", &|layer| {
        special(layer, tar::EntryType::Symlink, "rootfs/usr/local/d", "../../../../outside");
    });
    refused(&world, &[&leaves], &[]).failed(1, &["TS0108", "rootfs/usr/local/d"]);
    let set_id = image("setid", &|layer| append(layer, "rootfs/usr/local/bin/s", 0o4755, b"s"));
    let said = passes(&world, &[&set_id], &[]);
    assert!(said.contains("TS0106"), "{said}");
}

#[test]
fn a_file_behind_a_link_that_leads_out_is_written_nowhere() {
    let world = World::new();
    fs::create_dir(world.path("outside")).unwrap();
    let mut layer = tar::Builder::new(Vec::new());
    let manifest = fs::read(testdata("my-module/amd64/manifest.yaml")).unwrap();
    append(&mut layer, "manifest.yaml", 0o644, &manifest);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    layer.append_link(&mut header, "rootfs/usr/local/d", world.path("outside")).unwrap();
    append(&mut layer, "rootfs/usr/local/d/x", 0o644, b"x");
    let image = docker_archive(&world, "climber", &layer.into_inner().unwrap(), "", "");
    let ran = refused(&world, &[&image], &[]);
    assert!(ran.code == 1 || ran.code == 3, "{ran:?}");
    assert!(ran.err.contains("usr/local/d"), "{ran:?}");
    assert_eq!(below(&world.path("outside")), Vec::<String>::new());
}

#[test]
fn an_extension_for_other_versions_is_refused() {
    let world = World::new();
    let name = extension_for(&world, "new", ">= v1.13.0", &[("usr/local/x", b"x")]);
    refused(&world, &[&name], &[]).failed(1, &["TS0305", "not for Talos v1.11.3", "expected: >= v1.13.0"]);
    let said = passes(&world, &[&name], &["--talos", "v1.13.1"]);
    // What the imager says of itself is another version.
    assert!(said.contains("TS0502"), "{said}");
}

#[test]
fn an_architecture_that_is_not_there_is_an_error_that_says_which_there_are() {
    let world = World::new();
    assets(&world, "imager/usr/install/amd64");
    let one = Inputs { imager: "dir:imager".to_owned(), ..Inputs::tiny() };
    for platforms in ["linux/arm64", "linux/amd64,linux/arm64"] {
        let name = extension(&world, "e", &[("usr/local/x", b"x")]);
        let ran = world.run(&one.words(&[&name], &["-o", "oci:out", "--platform", platforms]));
        ran.failed(3, &["no boot assets for arm64", "it has those for amd64"]);
        assert!(!world.path("out").exists());
    }
    let inputs = Inputs { imager: assets(&world, "assets"), ..Inputs::tiny() };
    let ran = world.run(&inputs.words(&[], &["-o", "oci:out", "--platform", "linux/arm64"]));
    ran.failed(3, &["arm64"]);
    refused(&world, &[], &["--platform", "linux/riscv64"])
        .failed(3, &["Talos does not run on `linux/riscv64`"]);
}

/// The boot assets of the test data with another kernel and the initramfs in gzip.
fn gzip_imager(world: &World, config: &str) -> String {
    let folder = assets(world, "assets");
    let unpacked = made::vmlinux_with(config);
    let payload = made::with_size(zstd::encode_all(&unpacked[..], 3).unwrap(), &unpacked);
    world.write("assets/vmlinuz", made::bz_image(&payload));
    let stock = fs::read(world.path("assets/initramfs.xz")).unwrap();
    world.write("assets/initramfs.xz", made::gzip(&zstd::decode_all(&stock[..]).unwrap()));
    folder
}

#[test]
fn what_the_kernel_cannot_decompress_is_refused() {
    let world = World::new();
    let inputs = Inputs { imager: gzip_imager(&world, made::CONFIG), ..Inputs::tiny() };
    let words = inputs.words(&[], &["-o", "oci:out"]);
    let ran = world.run(&words);
    ran.failed(1, &["TS0507", "the kernel cannot read an initramfs in gzip"]);
    assert!(!world.path("out").exists());
    let knows = made::CONFIG.replace("# CONFIG_RD_GZIP is not set", "CONFIG_RD_GZIP=y");
    gzip_imager(&world, &knows);
    world.ok(&words);
    // Layers need the squashfs side of it.
    gzip_imager(&world, &knows.replace("CONFIG_SQUASHFS_ZSTD=y\n", ""));
    world.run(&words).failed(1, &["TS0507", "the kernel cannot read a squashfs image in zstd"]);
}

#[test]
fn a_kernel_or_a_stub_that_cannot_start_is_refused() {
    let world = World::new();
    let inputs = Inputs { imager: assets(&world, "assets"), ..Inputs::tiny() };
    let words = inputs.words(&[], &["-o", "oci:out"]);
    let good = fs::read(world.path("assets/systemd-stub.efi")).unwrap();
    world.write("assets/systemd-stub.efi", "no program");
    world.run(&words).failed(3, &["the stub", "systemd-stub.efi` cannot be used"]);
    fs::copy(world.path("assets/systemd-boot.efi"), world.path("assets/systemd-stub.efi")).unwrap();
    world.run(&words).failed(3, &["was given for the stub"]);
    world.write("assets/systemd-stub.efi", good);
    world.write("assets/vmlinuz", "no kernel");
    world.run(&words).failed(3, &["the kernel", "vmlinuz` cannot be used"]);
    fs::remove_file(world.path("assets/vmlinuz")).unwrap();
    world.run(&words).failed(3, &["`./assets` has no `/usr/install/amd64/vmlinuz`"]);
    assert!(!world.path("out").exists());
}

#[test]
fn an_initramfs_that_is_damaged_or_not_talos_own_is_refused() {
    let world = World::new();
    let inputs = Inputs { imager: assets(&world, "assets"), ..Inputs::tiny() };
    let words = inputs.words(&[], &["-o", "oci:out"]);
    let good = fs::read(world.path("assets/initramfs.xz")).unwrap();
    world.write("assets/initramfs.xz", &good[..good.len() - 100]);
    world.run(&words).failed(3, &["the initramfs `./assets/initramfs.xz` cannot be used"]);
    let mut damaged = good.clone();
    damaged[20_000] ^= 0x10;
    world.write("assets/initramfs.xz", damaged);
    world.run(&words).failed(3, &["the initramfs `./assets/initramfs.xz` cannot be used"]);
    let other = talosmith::archive::Tree::new();
    let other = talosmith::archive::cpio::archive(&other, &talosmith::archive::cpio::Options::default());
    world.write("assets/initramfs.xz", other.unwrap().read(1 << 20).unwrap());
    world.run(&words).failed(3, &["is none of Talos: it has no `rootfs.sqsh`"]);
    assert!(!world.path("out").exists());
}

#[test]
fn an_embedded_configuration_wants_a_talos_that_reads_it() {
    let world = World::new();
    world.write("config.yaml", "machine: {}\n");
    refused(&world, &[], &["--embedded-config", "config.yaml"])
        .failed(3, &["Talos v1.11.3 takes no extension `embedded-config`", "v1.12.0 is the first"]);
    let said = passes(&world, &[], &["--embedded-config", "config.yaml", "--talos", "v1.12.0"]);
    assert!(!said.contains("TS0308"), "the version is not the user's to change: {said}");
    let layer = Image::open(&world.path("out")).initramfs().layer("0.sqsh");
    let entry = layer.get("usr/local/etc/talos/config.yaml").unwrap();
    assert_eq!(entry.mode, 0o400);
    assert_eq!(entry.xattrs["security.selinux"], b"system_u:object_r:system_state_t:s0\0");
    assert_eq!(bytes(&layer, "usr/local/etc/talos/config.yaml"), b"machine: {}\n");
}

#[test]
fn what_a_tired_person_gets_wrong_is_said() {
    let world = World::new();
    let tiny = Inputs::tiny();
    world
        .run(&tiny.words(&["my-module"], &["-o", "oci:out"]))
        .failed(2, &["`my-module` may be a directory or an image name", "./my-module"]);
    world.run(&tiny.words(&[], &[])).failed(2, &["--output"]);
    world.run(&tiny.words(&[], &["-o", "./out"])).failed(2, &["does not say in which form"]);
    refused(&world, &["./nowhere"], &[]).failed(3, &["`./nowhere`"]);
    refused(&world, &[], &["--extra-kernel-arg", &"x".repeat(3000)])
        .failed(3, &["command line has", "no more than 2047"]);
    refused(&world, &[], &["--talos-platform", "mettal"]).failed(2, &["`mettal` is no platform", "metal"]);
    refused(&world, &[], &["--allow", "base-knid"]).failed(2, &["there is no such check"]);
    refused(&world, &[], &["--splash", "nowhere.bmp"]).failed(3, &["nowhere.bmp"]);
    world.write("no.bmp", "BM not a bitmap");
    refused(&world, &[], &["--splash", "no.bmp"]).failed(3, &["`no.bmp` holds no picture", "BMP"]);
    // Without a version nothing can be decided.
    let inputs = Inputs { imager: assets(&world, "assets"), base: "oci:base".to_owned() };
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, "bin/installer", 0o755, b"x");
    let base = docker_archive(&world, "base", &layer.into_inner().unwrap(), "/bin/installer", "");
    let inputs = Inputs { base, ..inputs };
    let ran = world.run(&inputs.words(&[], &["-o", "oci:out"]));
    ran.failed(3, &["the Talos version is not known", "--talos v1.11.3"]);
    assert!(!world.path("out").exists());
}

#[test]
fn without_a_network_what_is_missing_is_named() {
    let world = World::new();
    let ran = world.run(&["installer", "--talos", "v1.11.3", "-o", "oci:out", "--offline"]);
    ran.failed(4, &["ghcr.io/siderolabs/imager:v1.11.3", "--offline"]);
    let tiny = Inputs::tiny();
    let words = ["installer", "--imager", &tiny.imager, "-o", "oci:out", "--offline"];
    world.run(&words).failed(4, &["ghcr.io/siderolabs/installer-base:v1.11.3"]);
    let older = [&words[..], &["--talos", "v1.9.5"]].concat();
    world.run(&older).failed(4, &["ghcr.io/siderolabs/installer:v1.9.5"]);
}
