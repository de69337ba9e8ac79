//! `talosmith installer` from end to end: the same inputs give the same bytes, and what they are.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use support::installer::{ASSETS, Image, Inputs, RELEASE, bytes, extension, untar};
use support::{Ran, World, testdata};
use talosmith::archive::Kind;

fn my_module() -> String {
    testdata("my-module/amd64")
}

/// The digest that the binary says, of a run with another environment.
fn digest_with(world: &World, words: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = world.command(words);
    command.envs(environment.iter().copied());
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.out.trim().rsplit_once('@').unwrap().1.to_owned()
}

#[test]
fn the_readmes_command_makes_an_installer_whose_every_byte_is_known() {
    let world = World::new();
    world.ok(&["extension", &my_module(), "-o", "oci:out/my-module:0.1"]);
    let words = ["--extension", "oci:out/my-module:0.1", "-o", "oci:out/installer:0.1"];
    let digest = world.digest(&Inputs::tiny().words(&[], &words));
    let dump = world.ok(&["inspect", "oci:out/installer:0.1", "--files"]);
    assert_eq!(dump, include_str!("golden/my-installer.txt"), "{dump}");
    assert_eq!(digest, include_str!("golden/my-installer.digest").trim());
}

#[test]
fn the_digest_depends_on_nothing_but_the_inputs() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let my_module = my_module();
    let firmware = extension(
        &world,
        "firmware",
        &[
            ("usr/lib/firmware/acme/a.bin", &[7; 100_000]),
            ("usr/lib/firmware/intel-ucode/06-01", b"microcode"),
            ("usr/local/share/acme", &[9; 300_000]),
        ],
    );
    let first = world.digest(&tiny.words(&[&my_module, &firmware], &["-o", "oci:out:first"]));
    for (name, more, environment) in [
        ("again", &[][..], &[][..]),
        ("another-cache", &["--cache", "two"], &[]),
        ("one-job", &["--cache", "three", "--jobs", "1"], &[]),
        ("four-jobs", &["--cache", "four", "--jobs", "4"], &[]),
        ("far-away", &["--cache", "five"], &[("TZ", "Asia/Kathmandu"), ("LC_ALL", "tr_TR.UTF-8")]),
        ("nobodys", &["--cache", "six"], &[("HOME", "/nowhere"), ("USER", "nobody")]),
    ] {
        let output = format!("oci:out:{name}");
        let more = [more, &["-o", &output]].concat();
        let words = tiny.words(&[&my_module, &firmware], &more);
        assert_eq!(digest_with(&world, &words, environment), first, "{name}");
    }
    // The order of extensions is an input.
    let turned = world.digest(&tiny.words(&[&firmware, &my_module], &["-o", "oci:out:turned"]));
    assert_ne!(turned, first);
}

#[test]
fn the_folder_of_an_extension_and_its_image_give_the_same_installer() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let my_module = my_module();
    let folder = world.digest(&tiny.words(&[&my_module], &["-o", "oci:out:folder"]));
    let outputs =
        ["oci:e:x", "oci-archive:e.tar:x", "docker-archive:d.tar:acme/x:1"].map(|output| ["-o", output]);
    world.ok(&[&["extension", &my_module][..], &outputs.concat()].concat());
    for (index, reference) in
        ["oci:e:x", "oci-archive:e.tar:x", "docker-archive:d.tar:acme/x:1"].into_iter().enumerate()
    {
        let output = format!("oci:out:{index}");
        let made = world.digest(&tiny.words(&[reference], &["-o", &output, "--cache", &output[8..]]));
        assert_eq!(made, folder, "{reference}");
    }
}

#[test]
fn every_medium_holds_the_same_layers() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let my_module = my_module();
    let outputs = ["-o", "oci:out", "-o", "docker-archive:x.tar:acme/x:1", "-o", "oci-archive:o.tar"];
    world.ok(&tiny.words(&[&my_module], &outputs));
    let image = Image::open(&world.path("out"));
    let archive = untar(fs::File::open(world.path("x.tar")).unwrap());
    let manifest: serde_json::Value = serde_json::from_slice(&archive["manifest.json"].1).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    // All in gzip, since the base's is: `crane push` takes every layer for what the first one is.
    for (number, path) in layers.iter().enumerate() {
        let bytes = &archive[path.as_str().unwrap()].1;
        assert!(path.as_str().unwrap().ends_with(".tar.gz") && bytes.starts_with(&[0x1f, 0x8b]), "{path}");
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        let digest = talosmith::base::Digest::of(&plain).to_string();
        assert_eq!(image.config["rootfs"]["diff_ids"][number], digest.as_str());
    }
    let config = &archive[manifest[0]["Config"].as_str().unwrap()].1;
    let config: serde_json::Value = serde_json::from_slice(config).unwrap();
    assert_eq!(config, image.config);
    let told = world.json(&["inspect", "oci-archive:o.tar"]);
    assert_eq!(told["result"]["images"][0]["manifestDigest"], image.digest.as_str());
}

#[test]
fn times_are_those_of_the_epoch_that_is_given_or_of_the_newest_input() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let my_module = my_module();
    let words = tiny.words(&[&my_module], &["-o", "oci:out"]);
    let plain = digest_with(&world, &words, &[]);
    let zero = digest_with(&world, &words, &[("SOURCE_DATE_EPOCH", "0")]);
    assert_eq!(plain, zero, "all inputs are of 1970");
    let later = digest_with(&world, &words, &[("SOURCE_DATE_EPOCH", "1700000000")]);
    assert_ne!(later, zero);
    let image = Image::open(&world.path("out"));
    assert_eq!(image.config["created"], "2023-11-14T22:13:20Z");
    let history = image.config["history"].as_array().unwrap();
    assert!(history.iter().all(|entry| entry["created"] == "2023-11-14T22:13:20Z"), "{history:?}");
    // An extension that was made later is the newest of what goes in.
    let made = world
        .command(&["extension", &my_module, "-o", "oci:e"])
        .env("SOURCE_DATE_EPOCH", "1600000000")
        .output();
    assert!(made.unwrap().status.success());
    world.ok(&tiny.words(&["oci:e"], &["-o", "oci:newest"]));
    assert_eq!(Image::open(&world.path("newest")).config["created"], "2020-09-13T12:26:40Z");
}

#[test]
fn the_bases_layers_come_first_and_keep_their_digests() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let base = Image::open(Path::new(&testdata("installer/base")));
    for (name, more) in
        [("gzip", &[][..]), ("zstd", &["--compression", "zstd"]), ("docker", &["--format", "docker"])]
    {
        let output = format!("oci:{name}");
        world.ok(&tiny.words(&[&my_module()], &[&["-o", &output], more].concat()));
        let image = Image::open(&world.path(name));
        assert_eq!(image.layers()[..1], base.layers()[..], "{name}");
        assert_eq!(image.layers().len(), 2);
        let diff_ids = |image: &Image| image.config["rootfs"]["diff_ids"].as_array().unwrap().clone();
        assert_eq!(diff_ids(&image)[..1], diff_ids(&base)[..], "{name}");
        // How the installer starts is the base's.
        assert_eq!(image.config["config"], base.config["config"]);
        assert_eq!(image.config["architecture"], "amd64");
        assert_eq!(image.config["history"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn of_an_installer_as_base_the_boot_assets_are_replaced() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let wanted = world.digest(&tiny.words(&[&my_module()], &["-o", "oci:out"]));
    world.ok(&tiny.words(&[], &["-o", "oci:plain"]));
    let inputs = Inputs { base: "oci:plain".to_owned(), ..tiny };
    assert_eq!(world.digest(&inputs.words(&[&my_module()], &["-o", "oci:again"])), wanted);
}

#[test]
fn the_assets_layer_holds_two_files_and_nothing_else() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    world.ok(&tiny.words(&[&my_module()], &["-o", "oci:out"]));
    let image = Image::open(&world.path("out"));
    let files = image.assets();
    let listed: Vec<(&str, u32)> = files.iter().map(|(path, (mode, _))| (path.as_str(), *mode)).collect();
    let path = |name: &str| format!("{ASSETS}/{name}");
    assert_eq!(listed, [(&*path("systemd-boot.efi"), 0o644), (&*path("vmlinuz.efi"), 0o644)]);
    let imager = Image::open(Path::new(&testdata("installer/imager"))).files(0);
    assert!(files[&path("systemd-boot.efi")].1 == imager[&path("systemd-boot.efi")].1);
    let uki = image.uki();
    assert!(uki.kernel.read(1 << 30).unwrap() == imager[&path("vmlinuz")].1);
    let initramfs = image.initramfs();
    let stock = &imager[&path("initramfs.xz")].1;
    assert!(initramfs.bytes.starts_with(stock), "the stock initramfs is untouched");
    assert_eq!(initramfs.segments[1].0, stock.len());
    assert_eq!(initramfs.images(), ["0.sqsh", "modules.dep.sqsh"]);
}

#[test]
fn microcode_goes_before_the_stock_initramfs_and_firmware_behind_the_layers() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let firmware = "usr/lib/firmware";
    let files: Vec<(String, &[u8])> = vec![
        (format!("{firmware}/intel-ucode/06-02"), b"intel two "),
        (format!("{firmware}/intel-ucode/06-01"), b"intel one "),
        (format!("{firmware}/amd-ucode/microcode_amd_fam17h.bin"), b"amd 17 "),
        (format!("{firmware}/amd-ucode/microcode_amd_fam19h.bin"), b"amd 19 "),
        (format!("{firmware}/acme/fw.bin"), b"firmware"),
        ("usr/local/share/acme".to_owned(), b"rest"),
    ];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), *bytes)).collect();
    let one = extension(&world, "one", &files);
    let two = extension(&world, "two", &[("usr/lib/firmware/intel-ucode/06-00", b"later")]);
    world.ok(&tiny.words(&[&one, &two], &["-o", "oci:out"]));
    let initramfs = Image::open(&world.path("out")).initramfs();
    let stock = Image::open(Path::new(&testdata("installer/imager"))).files(0);
    let stock = &stock[&format!("{ASSETS}/initramfs.xz")].1;
    let codecs: Vec<&str> = initramfs.segments.iter().map(|(_, _, codec)| codec.as_str()).collect();
    assert_eq!(codecs, ["plain", "zstd", "zstd", "zstd"]);
    let (at, _, _) = initramfs.segments[1];
    assert!(initramfs.bytes[at..].starts_with(stock));
    assert_eq!(at % 512, 0);
    let member = |name: &str| initramfs.members[name].clone();
    let intel = member("kernel/x86/microcode/GenuineIntel.bin");
    assert_eq!((intel.segment, &*intel.bytes), (0, &b"intel one intel two later"[..]));
    assert_eq!(member("kernel/x86/microcode/AuthenticAMD.bin").bytes, b"amd 17 amd 19 ");
    assert_eq!((member("0.sqsh").segment, member("extensions.yaml").segment), (2, 2));
    let file = member("usr/lib/firmware/acme/fw.bin");
    assert_eq!((file.segment, file.mode, &*file.bytes), (3, 0o644, &b"firmware"[..]));
    // What went elsewhere is in no layer.
    let layer = initramfs.layer("0.sqsh");
    assert_eq!(bytes(&layer, "usr/local/share/acme"), b"rest");
    let left = layer.iter().filter(|(path, entry)| path.contains("firmware") && !entry.is_directory());
    assert_eq!(left.count(), 0);
}

#[test]
fn the_combined_index_of_modules_lies_on_top_and_knows_all_modules() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    world.ok(&tiny.words(&[&my_module()], &["-o", "oci:out"]));
    let layer = Image::open(&world.path("out")).initramfs().layer("modules.dep.sqsh");
    let folder = format!("usr/lib/modules/{RELEASE}");
    let dep = String::from_utf8(bytes(&layer, &format!("{folder}/modules.dep"))).unwrap();
    let mut known: Vec<&str> = dep.lines().filter_map(|line| line.split(':').next()).collect();
    known.sort_unstable();
    let stock = ["kernel/drivers/char/hw_random/virtio-rng.ko", "kernel/drivers/net/dummy.ko"];
    assert_eq!(known[..3], [&["extras/my-module.ko"], &stock[..]].concat()[..]);
    assert_eq!(known.len(), 5);
    for name in ["modules.alias.bin", "modules.dep.bin", "modules.symbols", "modules.builtin"] {
        assert!(layer.get(&format!("{folder}/{name}")).is_some(), "{name}");
    }
    assert!(layer.iter().all(|(path, _)| !path.ends_with(".ko")));
    // Without modules there is nothing to index.
    let plain = extension(&world, "plain", &[("usr/local/share/acme", b"x")]);
    world.ok(&tiny.words(&[&plain], &["-o", "oci:plain"]));
    assert_eq!(Image::open(&world.path("plain")).initramfs().images(), ["0.sqsh"]);
    world.ok(&tiny.words(&[], &["-o", "oci:none"]));
    let none = Image::open(&world.path("none")).initramfs();
    assert_eq!(none.segments.len(), 1, "the initramfs is the stock one");
}

// --- the order of extensions ----------------------------------------------------------------------------

/// So many extensions, all with one file in common; the first one is the last by name.
fn many(world: &World, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| {
            let own = format!("usr/local/share/own-{number}");
            let text = number.to_string();
            let name = format!("ext-{:02}", count - number);
            extension(world, &name, &[(own.as_str(), text.as_bytes())])
        })
        .collect()
}

#[test]
fn extensions_lie_in_the_order_given_for_any_number() {
    let tiny = Inputs::tiny();
    for count in [1, 10, 11, 12] {
        let world = World::new();
        let extensions = many(&world, count);
        let words: Vec<&str> = extensions.iter().map(String::as_str).collect();
        let ran = world.run(&tiny.words(&words, &["-o", "oci:out"]));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.err.contains("TS0506"), "{ran:?}");
        let initramfs = Image::open(&world.path("out")).initramfs();
        let given: Vec<&str> = words.iter().map(|word| &word[2..]).collect();
        assert_eq!(initramfs.names(), given);
        // The order of the list is that of the names, and each name has the extension that it should have.
        let images = initramfs.images();
        assert!(images.is_sorted(), "{images:?}");
        assert_eq!(images[0], if count > 10 { "00.sqsh" } else { "0.sqsh" });
        for (number, image) in images.iter().enumerate() {
            let own = format!("usr/local/share/own-{number}");
            assert_eq!(bytes(&initramfs.layer(image), &own), number.to_string().as_bytes());
        }
    }
}

#[test]
fn the_imager_gives_upstreams_names_and_order_and_warns_where_they_differ() {
    let tiny = Inputs::tiny();
    for (count, order) in [
        (1, "0"),
        (10, "0 1 2 3 4 5 6 7 8 9"),
        (11, "0 1 10 2 3 4 5 6 7 8 9"),
        (12, "0 1 10 11 2 3 4 5 6 7 8 9"),
    ] {
        let world = World::new();
        let extensions = many(&world, count);
        let mut words = vec!["--output", "out", "--output-kind", "initramfs"];
        words.extend(extensions.iter().flat_map(|one| ["--system-extension-image", one]));
        let ran = world.run(&tiny.imager("installer", &words));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.err.contains("TS0506"), count > 10, "{ran:?}");
        let made = fs::read(world.path("out/initramfs-metal-amd64.xz")).unwrap();
        let initramfs = support::installer::Initramfs::read(&made);
        let numbers: Vec<usize> = order.split(' ').map(|number| number.parse().unwrap()).collect();
        let images: Vec<String> = numbers.iter().map(|number| format!("{number}.sqsh")).collect();
        assert_eq!(initramfs.images(), images);
        for (image, number) in images.iter().zip(numbers) {
            let own = format!("usr/local/share/own-{number}");
            assert_eq!(bytes(&initramfs.layer(image), &own), number.to_string().as_bytes());
        }
    }
}

// --- what the real imager gets wrong --------------------------------------------------------------------

#[test]
fn the_release_in_the_image_is_the_kernels_own_whatever_the_version() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    for talos in ["v1.11.3", "v1.12.0", "v1.13.0"] {
        let output = format!("oci:{talos}");
        world.ok(&tiny.words(&[&my_module()], &["-o", &output, "--talos", talos]));
        let uki = Image::open(&world.path(talos)).uki();
        assert_eq!(uki.uname.as_deref(), Some(RELEASE));
        assert!(uki.osrel.unwrap().contains(&format!("VERSION_ID={talos}\n")));
    }
}

#[test]
fn firmware_links_stay_links_wherever_they_sort_and_lead() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let name = extension(&world, "firmware", &[("usr/lib/firmware/m/fw.bin", b"firmware")]);
    let folder = world.path("firmware/rootfs/usr/lib/firmware");
    let links = [
        ("a.bin", "m/fw.bin"),
        ("z.bin", "m/fw.bin"),
        ("nowhere.bin", "m/absent.bin"),
        ("m/up.bin", "../m/fw.bin"),
        ("folder", "m"),
    ];
    for (link, target) in links {
        std::os::unix::fs::symlink(target, folder.join(link)).unwrap();
    }
    world.ok(&tiny.words(&[&name], &["-o", "oci:out"]));
    let initramfs = Image::open(&world.path("out")).initramfs();
    for (link, target) in links {
        let found = &initramfs.members[&format!("usr/lib/firmware/{link}")];
        assert_eq!((found.link, &*found.bytes), (true, target.as_bytes()), "{link}");
    }
}

#[test]
fn labels_with_a_blank_in_the_path_are_kept() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let name = extension(&world, "blank", &[("usr/local/share/a b/c d", b"x")]);
    let label = "usr/local/share/a b/c d=system_u:object_r:acme_t:s0";
    world.ok(&["extension", &name, "-o", "oci:e", "--selinux-label", label]);
    world.ok(&tiny.words(&["oci:e"], &["-o", "oci:out"]));
    let layer = Image::open(&world.path("out")).initramfs().layer("0.sqsh");
    let entry = layer.get("usr/local/share/a b/c d").unwrap();
    assert_eq!(entry.xattrs["security.selinux"], b"system_u:object_r:acme_t:s0\0");
}

#[test]
fn modes_and_links_of_the_rest_are_kept_and_everything_is_of_root() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (world, tiny) = (World::new(), Inputs::tiny());
    let name = extension(&world, "modes", &[("usr/local/bin/tool", b"x"), ("usr/local/share/y", b"y")]);
    let mode = |path: &str, mode| {
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("modes/rootfs/usr/local/bin/tool", 0o755);
    symlink("tool", world.path("modes/rootfs/usr/local/bin/link")).unwrap();
    // From an image, where modes are what the tar says.
    let mut layer = tar::Builder::new(Vec::new());
    let manifest = fs::read(world.path("modes/manifest.yaml")).unwrap();
    support::installer::append(&mut layer, "manifest.yaml", 0o644, &manifest);
    support::installer::append(&mut layer, "rootfs/usr/local/etc/secret", 0o400, b"s");
    let layer = layer.into_inner().unwrap();
    let image = support::installer::docker_archive(&world, "secret", &layer, "", "");
    world.ok(&tiny.words(&[&name, &image], &["-o", "oci:out"]));
    let initramfs = Image::open(&world.path("out")).initramfs();
    let (first, second) = (initramfs.layer("0.sqsh"), initramfs.layer("1.sqsh"));
    assert_eq!(first.get("usr/local/bin/tool").unwrap().mode, 0o755);
    assert_eq!(second.get("usr/local/etc/secret").unwrap().mode, 0o400);
    let link = &first.get("usr/local/bin/link").unwrap().kind;
    assert!(matches!(link, Kind::Symlink(target) if target == "tool"), "{link:?}");
    for (path, entry) in first.iter().chain(second.iter()) {
        assert_eq!((entry.uid, entry.gid), (0, 0), "{path}");
    }
}
