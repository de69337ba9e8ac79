//! `talosmith custom-imager` from end to end: another kernel goes in, all else stays, and others' tools see it
//! so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

#[path = "support/boot.rs"]
mod boot;
#[path = "support/unpacked.rs"]
mod unpacked;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use boot::{RELEASE, arm64_image};
use serde_json::json;
use support::installer::{Image, assets, below};
use support::judge::judge;
use support::{World, testdata};
use talosmith::image::{Descriptor, media_type};
use unpacked::{attributes, listing, run};

/// The programs that make a stock imager.
const MAKERS: [&str; 10] =
    ["bash", "umoci", "tar2sqfs", "cpio", "zstd", "xz", "depmod", "modprobe", "python3", "unsquashfs"];

/// The kernel of the test data as a plain tree; gives its folder of modules.
fn kernel(world: &World, name: &str) -> PathBuf {
    let archive = fs::File::open(testdata("kernel/kernel-6.12.117-talos.tar.zst")).unwrap();
    let mut tar = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    let folder = world.path(name);
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        if let Ok(path) = path.strip_prefix("out/kernel").or_else(|_| path.strip_prefix("./out/kernel")) {
            let place = folder.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            entry.unpack(place).unwrap();
        }
    }
    folder.join("usr/lib/modules").join(RELEASE)
}

fn stock() -> String {
    format!("oci:{}", testdata("installer/imager"))
}

/// The imager of the test data as self-built ones are: with the boot assets of one architecture. An OCI layout.
fn one_architecture(world: &World, name: &str) -> String {
    let put = |media_type: &str, bytes: Vec<u8>| {
        let descriptor = Descriptor::of(media_type, &bytes);
        world.write(&format!("{name}/blobs/sha256/{}", descriptor.digest.hex()), bytes);
        descriptor
    };
    let mut tar = tar::Builder::new(Vec::new());
    for (path, (_, bytes)) in Image::open(Path::new(&testdata("installer/imager"))).files(0) {
        if !path.contains("arm64") {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, &bytes[..]).unwrap();
        }
    }
    let layer = put(media_type::OCI_LAYER, tar.into_inner().unwrap());
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/bin/imager"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    });
    let config = put(media_type::OCI_CONFIG, serde_json::to_vec(&config).unwrap());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": config,
        "layers": [layer],
    });
    let manifest = put(media_type::OCI_MANIFEST, serde_json::to_vec(&manifest).unwrap());
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    world.write(&format!("{name}/index.json"), serde_json::to_vec(&index).unwrap());
    world.write(&format!("{name}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    format!("oci:{name}")
}

fn layers(world: &World, reference: &str) -> Vec<String> {
    let shown = world.json(&["inspect", reference]);
    let layers = shown["result"]["images"][0]["layers"].as_array().unwrap().clone();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_result_is_a_function_of_its_inputs_and_a_second_run_makes_nothing_again() {
    let world = World::new();
    kernel(&world, "kernel");
    let words = ["custom-imager", "--base", &stock(), "--kernel", "dir:kernel"];
    let first = world.digest(&[&words[..], &["-o", "oci:out:first"]].concat());
    let more = ["-o", "oci:out:second", "--jobs", "7", "--cache", "elsewhere"];
    assert_eq!(world.digest(&[&words[..], &more].concat()), first);
    let again = world.run(&[&words[..], &["-o", "oci:out:third", "--verbose"]].concat());
    assert!(again.out.trim().ends_with(&first), "{again:?}");
    for step in ["flatten", "unpack", "rootfs", "boot-assets", "image"] {
        assert!(
            again.err.lines().any(|line| line.contains(step) && line.ends_with("known")),
            "{step}: {again:?}"
        );
    }
    // Warnings are told again.
    assert!(again.err.contains("goes on to name the stock kernel"), "{again:?}");
    let (was, is) = (layers(&world, &stock()), layers(&world, "oci:out:first"));
    assert_eq!(was[..], is[..was.len()]);
    assert_eq!(is.len(), was.len() + 1);
    let shown = world.json(&["inspect", "oci:out:first"]);
    let image = &shown["result"]["images"][0];
    assert_eq!(
        (&image["kind"], &image["labels"]["alpha.talos.dev/version"]),
        (&"imager".into(), &"v1.11.3".into())
    );
    world.run(&[&words[..], &["-o", "dir:out"]].concat()).failed(2, &["in which form"]);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_made() {
    let world = World::new();
    let modules = kernel(&world, "kernel");
    let words = |base: &str, kernel: &str| -> Vec<String> {
        let platform = ["--platform", "linux/amd64", "-o", "oci:out:x"];
        let words = ["custom-imager", "--base", base, "--kernel", kernel];
        words.iter().chain(&platform).map(|word| (*word).to_owned()).collect()
    };
    let refused = |base: &str, kernel: &str, said: &[&str]| {
        let words = words(base, kernel);
        world.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).failed(3, said);
        assert!(!world.path("out").exists());
    };
    let base = format!("oci:{}", testdata("installer/base"));
    refused(&base, "dir:kernel", &["is an installer-base image, and `--base` wants an imager image"]);
    refused(
        &stock(),
        &format!("dir:{}", testdata("my-module/amd64")),
        &["`--kernel` wants a kernel image", "boot/vmlinuz"],
    );
    refused(&stock(), &stock(), &["is an imager image, and `--kernel` wants a kernel image"]);

    let whole = fs::read(world.path("kernel/boot/vmlinuz")).unwrap();
    let vmlinuz = |bytes: &[u8]| fs::write(world.path("kernel/boot/vmlinuz"), bytes).unwrap();
    vmlinuz(b"no kernel");
    refused(&stock(), "dir:kernel", &["`/boot/vmlinuz` of `dir:kernel` cannot be used", "it is no kernel"]);
    vmlinuz(&arm64_image());
    let words = ["custom-imager", "--base", &stock(), "--kernel", "dir:kernel", "-o", "oci:out:x"];
    world.run(&words).failed(1, &["built for another machine", "expected: arm64", "found: amd64"]);
    let one = one_architecture(&world, "one");
    refused(&one, "dir:kernel", &["is for arm64, and the imager has boot assets for amd64"]);
    vmlinuz(&whole);

    let other = modules.with_file_name("6.12.118-talos");
    fs::rename(&modules, &other).unwrap();
    refused(&stock(), "dir:kernel", &["not of one build", "`6.12.117-talos`", "`6.12.118-talos`"]);
    fs::create_dir(&modules).unwrap();
    refused(&stock(), "dir:kernel", &["is not complete", "2 kernel releases"]);
    fs::remove_dir_all(&other).unwrap();
    fs::write(modules.join("modules.order"), "").unwrap();
    refused(&stock(), "dir:kernel", &["has no modules"]);
    fs::remove_dir_all(modules.parent().unwrap()).unwrap();
    refused(&stock(), "dir:kernel", &["is not complete", "no folder of a kernel release"]);

    kernel(&world, "second");
    let twice = ["--kernel", "dir:second", "--kernel", "dir:second", "-o", "oci:out:x"];
    world
        .run(&[&["custom-imager", "--base", &stock()], &twice[..]].concat())
        .failed(3, &["two kernels for amd64"]);
}

#[test]
fn modules_that_the_kernel_lacks_end_it_unless_they_are_built_in_or_allowed() {
    let world = World::new();
    let modules = kernel(&world, "kernel");
    let words = ["custom-imager", "--base", &stock(), "--kernel", "dir:kernel", "-o", "oci:out:x"];
    let dummy = modules.join("kernel/drivers/net/dummy.ko");
    fs::remove_file(&dummy).unwrap();
    world.run(&words).failed(
        3,
        &["lacks 1 of the stock imager's modules", "kernel/drivers/net/dummy.ko", "--allow-missing-modules"],
    );
    let allowed = world.run(&[&words[..], &["--allow-missing-modules"]].concat());
    assert_eq!(allowed.code, 0, "{allowed:?}");
    assert!(allowed.err.contains("lacks stock modules: kernel/drivers/net/dummy.ko"), "{allowed:?}");
    let builtin = modules.join("modules.builtin");
    let lines = fs::read_to_string(&builtin).unwrap() + "kernel/drivers/net/dummy.ko\n";
    fs::write(&builtin, lines).unwrap();
    let built_in = world.run(&words);
    assert_eq!(built_in.code, 0, "{built_in:?}");
    assert!(built_in.err.contains("has `kernel/drivers/net/dummy.ko` built in"), "{built_in:?}");

    // What depmod would say ends it as well. This kernel has no tables of its own, so that the list of symbols
    // in its image is asked, which is a real one.
    assets(&world, "boot");
    fs::copy(world.path("boot/vmlinuz"), world.path("kernel/boot/vmlinuz")).unwrap();
    let map = world.path("kernel/boot/System.map");
    let lines = fs::read_to_string(&map).unwrap();
    let without: String =
        lines.lines().filter(|line| !line.ends_with("_printk")).map(|line| format!("{line}\n")).collect();
    assert!(without.len() < lines.len());
    fs::write(&map, without).unwrap();
    world.run(&words).failed(1, &["nothing exports", "`__warn_printk`"]);
    fs::write(&map, "ffffffffffffffff B The real System.map is elsewhere\n").unwrap();
    let stub = world.run(&words);
    assert_eq!(stub.code, 0, "{stub:?}");
    assert!(stub.err.contains("`/boot/System.map` of kernel `6.12.117-talos` lists no symbols"), "{stub:?}");
}

/// Runs bash with the functions that make stock imagers, in the world's folder.
fn make(world: &World, script: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/installer");
    let script = format!("set -euo pipefail; here={}; . $here/lib.sh; {script}", here.display());
    let out = Command::new("bash").args(["-c", &script]).current_dir(world.path("")).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{errors}");
}

/// The boot assets of a stock imager in `assets/amd64`, and the image `imager:TAG` of them: another kernel's,
/// with files of all kinds around the modules. `compress` makes the initramfs of its archive.
fn stock_imager(world: &World, compress: &str) {
    let script = format!(
        r#"
        root=work/rootfs release=5.0.0-stock assets=assets/amd64
        mkdir -p $root/{{usr/{{bin,lib/modules,local}},etc,var,dev}} work/initramfs $assets
        ln -s usr/lib $root/lib; ln -s usr/bin $root/bin
        printf '%s\n' kernel/drivers/net/dummy.ko kernel/lib/zlib_deflate/zlib_deflate.ko \
            kernel/net/ipv4/udp_tunnel.ko >work/list
        mkdir -p work/from; cp -r kernel/usr/lib/modules/{RELEASE} work/from/$release
        for n in $(seq 40); do seq $n 40 9000 >$root/usr/local/part-$n; echo $n >$root/etc/small-$n; done
        head -c 3000000 kernel/boot/vmlinuz >$root/usr/bin/large
        head -c 300000 kernel/boot/vmlinuz >$root/usr/lib/zz-behind-modules
        truncate -s 2000000 $root/usr/local/sparse; echo end >>$root/usr/local/sparse
        chmod 4711 $root/usr/bin/large; chmod 1777 $root/var
        stock_modules work/from/$release work/list $root
        squash $root work/initramfs/rootfs.sqsh
        seq 700000 >work/initramfs/init; head -c 200000 kernel/boot/vmlinuz >>work/initramfs/init; chmod 755 work/initramfs/init
        cpio_of work/initramfs | {compress} >$assets/initramfs.xz
        echo stock >$assets/vmlinuz; echo stub >$assets/systemd-stub.efi
        sbom $release $assets/talos.spdx.json; chmod 640 $assets/talos.spdx.json
        mkdir -p tree/bin tree/usr/install second/usr/share
        cp -r $assets tree/usr/install/amd64; cp -r $assets tree/usr/install/arm64
        echo imager >tree/bin/imager; echo more >second/usr/share/more
        for arch in amd64 arm64; do image imager $arch $arch /bin/imager tree second; done
        "$here/index.py" imager both amd64 arm64
        for arch in amd64 arm64; do image imager $arch $arch /bin/imager tree second; done
        "#
    );
    make(world, &script);
}

/// What umoci unpacks of an image, the initramfs of an architecture taken apart, its root file system too.
struct Unpacked {
    root: PathBuf,
    members: String,
    rootfs: PathBuf,
}

fn unpack(world: &World, image: &str, arch: &str, to: &str) -> Unpacked {
    let script = format!(
        r#"
        umoci unpack --rootless --image {image} {to} >/dev/null
        mkdir {to}/initramfs; cd {to}/initramfs
        file=../rootfs/usr/install/{arch}/initramfs.xz
        if zstd -qt $file 2>/dev/null; then zstd -dqc $file >../archive; else xz -dc <$file >../archive; fi
        cpio --quiet -itvn <../archive >../members
        cpio --quiet -idm <../archive
        unsquashfs -n -q -d ../sqsh rootfs.sqsh >/dev/null
        "#
    );
    make(world, &script);
    let at = |name: &str| world.path(to).join(name);
    Unpacked { root: at("rootfs"), members: fs::read_to_string(at("members")).unwrap(), rootfs: at("sqsh") }
}

/// Everything in a folder, with its labels, but what lies below its folder of modules.
fn outside(folder: &Path) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
    let below = |text: &str| text.contains("usr/lib/modules/");
    // The lines of getfattr belong to the file that stands above them.
    let ours = |line: &str| !line.is_empty() && !line.contains("=0x") && !line.starts_with("# file: ");
    let plain = |line: &String| !below(line) && ours(line);
    let mut labels = attributes(folder);
    labels.retain(|path, _| !below(path));
    (listing(folder).into_iter().filter(plain).collect(), labels)
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn foreign_tools_find_everything_outside_of_the_modules_as_it_was() {
    if MAKERS.iter().any(|program| judge(program).is_none()) || judge("getfattr").is_none() {
        return;
    }
    for compress in ["zstd -q -18", "xz --check=crc32"] {
        let world = World::new();
        let modules = kernel(&world, "kernel");
        stock_imager(&world, compress);
        // Compressed modules are unpacked, and the list of packages follows the kernel.
        run(&judge("xz").unwrap(), &[modules.join("kernel/drivers/net/dummy.ko").to_str().unwrap()], None);
        world.write(
            "kernel/usr/share/spdx/kernel.spdx.json",
            format!(r#"{{"packages":[{{"name":"kernel","SPDXID":"SPDXRef-x","versionInfo":"{RELEASE}"}}]}}"#),
        );
        let shown = world.json(&[
            "custom-imager",
            "--base",
            "oci:imager:amd64",
            "--kernel",
            "dir:kernel",
            "-o",
            "oci:out:x",
        ]);
        let exchanged = &shown["result"]["exchanged"][0];
        assert_eq!(
            (&exchanged["release"], &exchanged["stockRelease"]),
            (&RELEASE.into(), &"5.0.0-stock".into())
        );
        assert!(exchanged["copied"].as_u64().unwrap() > 2_500_000, "{exchanged}");
        assert_eq!(exchanged["warnings"], serde_json::json!([]));
        let was = unpack(&world, "imager:amd64", "amd64", "was");
        let is = unpack(&world, "out:x", "amd64", "is");

        let ((meant, meant_labels), (files, labels)) = (outside(&was.rootfs), outside(&is.rootfs));
        let lost: Vec<_> = meant.iter().filter(|line| !files.contains(line)).collect();
        assert!(meant == files, "{compress}: {lost:#?}");
        assert_eq!(meant_labels, labels, "{compress}");
        assert!(files.len() > 150 && labels.len() > 80, "{} {}", files.len(), labels.len());
        let modules_folder = is.rootfs.join("usr/lib/modules");
        let label = format!("security.selinux=0x{}", hex("system_u:object_r:module_t:s0\0"));
        let found = attributes(&modules_folder);
        let paths =
            String::from_utf8(run(Path::new("/usr/bin/find"), &[modules_folder.to_str().unwrap()], None));
        assert_eq!(found.len(), paths.unwrap().lines().count());
        assert!(found.values().all(|labels| *labels == [label.clone()]), "{found:#?}");
        let size = |members: &str| -> Vec<Vec<String>> {
            let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let mut lines: Vec<Vec<String>> = members.lines().map(words).collect();
            lines
                .iter_mut()
                .filter(|words| words.last().unwrap() == "rootfs.sqsh")
                .for_each(|words| words[4].clear());
            lines
        };
        assert_eq!(size(&was.members), size(&is.members));
        let names: Vec<String> =
            size(&is.members).iter().map(|words| words.last().unwrap().clone()).collect();
        assert_eq!(names, [".", "init", "rootfs.sqsh"]);

        if compress.starts_with("zstd") {
            // What is before the root file system stays as densely compressed as it was.
            let length = |path: PathBuf| fs::metadata(path).unwrap().len();
            let behind = |of: &Unpacked, world: &World, to: &str| {
                let initramfs = length(of.root.join("usr/install/amd64/initramfs.xz"));
                initramfs - length(world.path(to).join("initramfs/rootfs.sqsh"))
            };
            let (was, is) = (behind(&was, &world, "was"), behind(&is, &world, "is"));
            assert!(is < was + 400_000 && was < 3_000_000, "{is} {was}");
        }

        let install = "usr/install/amd64";
        let read = |of: &Unpacked, name: &str| fs::read(of.root.join(install).join(name)).unwrap();
        assert!(read(&is, "vmlinuz") == fs::read(world.path("kernel/boot/vmlinuz")).unwrap());
        let sbom: serde_json::Value = serde_json::from_slice(&read(&is, "talos.spdx.json")).unwrap();
        assert_eq!(
            (&sbom["packages"][0]["versionInfo"], &sbom["packages"][0]["SPDXID"]),
            (&RELEASE.into(), &"SPDXRef-kernel".into())
        );
        let modes = |of: &Unpacked| -> Vec<String> {
            let exchanged = ["initramfs.xz", "vmlinuz", "talos.spdx.json"];
            let lines = listing(&of.root).into_iter();
            // Mode, owner and name of those; all of the others.
            lines
                .map(|line| match exchanged.iter().any(|name| line.contains(&format!("amd64/{name}"))) {
                    true if line.starts_with("f ") => {
                        line.split(' ').filter(|word| !word.contains('.') || word.contains('/')).collect()
                    }
                    true => String::new(),
                    false => line,
                })
                .collect()
        };
        assert_eq!(modes(&was), modes(&is));
        indexed(&world, &modules, &is.rootfs);
    }
}

/// kmod agrees with the indexes: depmod has nothing to say and writes the same, modprobe finds what it is asked
/// for.
fn indexed(world: &World, kernel: &Path, rootfs: &Path) {
    let folder = rootfs.join("usr/lib/modules").join(RELEASE);
    let again = world.path("again");
    let copy = again.join("lib/modules").join(RELEASE);
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    run(Path::new("/bin/cp"), &["-r", folder.to_str().unwrap(), copy.to_str().unwrap()], None);
    for name in fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name()) {
        let made = !["modules.order", "modules.builtin", "modules.builtin.modinfo", "kernel"]
            .map(std::ffi::OsStr::new)
            .contains(&name.as_os_str());
        if made {
            fs::remove_file(copy.join(name)).unwrap();
        }
    }
    let map = kernel.ancestors().nth(4).unwrap().join("boot/System.map");
    let out = Command::new(judge("depmod").unwrap())
        .args(["-b", again.to_str().unwrap(), "-F", map.to_str().unwrap(), "--errsyms", "-w", RELEASE])
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    let lines = |folder: &Path, name: &str| -> Vec<String> {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        let mut lines: Vec<String> =
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        if name == "modules.symbols" {
            lines.sort();
        }
        lines
    };
    for name in ["modules.dep", "modules.alias", "modules.softdep", "modules.symbols", "modules.devname"] {
        assert_eq!(lines(&folder, name), lines(&copy, name), "{name}");
    }
    assert!(!lines(&folder, "modules.dep").is_empty());
    // The binary ones are what modprobe reads.
    let shown: BTreeMap<&str, String> = ["dummy", "udp_tunnel"]
        .into_iter()
        .map(|module| {
            let words = ["-d", rootfs.to_str().unwrap(), "-S", RELEASE, "--show-depends", module];
            (module, String::from_utf8(run(&judge("modprobe").unwrap(), &words, None)).unwrap())
        })
        .collect();
    assert!(shown["dummy"].contains("kernel/drivers/net/dummy.ko"), "{shown:?}");
    assert!(!folder.join("kernel/drivers/net/dummy.ko.xz").exists());
}

#[test]
fn an_index_stays_one_and_only_the_architectures_of_the_kernels_change() {
    if MAKERS.iter().any(|program| judge(program).is_none()) {
        return;
    }
    let world = World::new();
    kernel(&world, "kernel");
    stock_imager(&world, "zstd -q -18");
    let words = ["custom-imager", "--base", "oci:imager:both", "--kernel", "dir:kernel"];
    world.ok(&[&words[..], &["-o", "oci:out:one"]].concat());
    let shown = |reference: &str| world.json(&["inspect", reference, "--files"])["result"]["images"].clone();
    let (was, one) = (shown("oci:imager:both"), shown("oci:out:one"));
    let platforms: Vec<&str> =
        one.as_array().unwrap().iter().map(|image| image["platform"].as_str().unwrap()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let layer = |images: &serde_json::Value, image: usize| {
        images[image]["layers"].as_array().unwrap().last().unwrap().clone()
    };
    assert_eq!(layer(&one, 0), layer(&one, 1), "the same boot assets are made twice");
    for image in 0..2 {
        let count = was[image]["layers"].as_array().unwrap().len();
        assert_eq!(
            was[image]["layers"].as_array().unwrap()[..],
            one[image]["layers"].as_array().unwrap()[..count]
        );
    }
    let diff = world.run(&["diff", "oci:imager:both", "oci:out:one", "--platform", "linux/arm64"]);
    assert!(
        diff.out.contains("usr/install/amd64/vmlinuz") && diff.out.contains("usr/install/amd64/initramfs.xz"),
        "{diff:?}"
    );
    assert!(!diff.out.contains("usr/install/arm64") && !diff.out.contains("systemd-stub"), "{diff:?}");

    // A kernel for each, told apart by the kernels themselves; and one platform alone is an image.
    kernel(&world, "second");
    fs::write(world.path("second/boot/vmlinuz"), arm64_image()).unwrap();
    for module in below(&world.path("second")).iter().filter(|path| path.ends_with(".ko")) {
        let path = world.path("second").join(module);
        let mut bytes = fs::read(&path).unwrap();
        bytes[18..20].copy_from_slice(&[0xb7, 0]); // EM_AARCH64
        fs::write(path, bytes).unwrap();
    }
    let both = world.json(&[&words[..], &["--kernel", "dir:second", "-o", "oci:out:two"]].concat());
    let exchanged = both["result"]["exchanged"].as_array().unwrap();
    let found: Vec<&str> = exchanged.iter().map(|one| one["architecture"].as_str().unwrap()).collect();
    assert_eq!(found, ["amd64", "arm64"]);
    let diff = world.run(&["diff", "oci:out:one", "oci:out:two", "--platform", "linux/amd64"]);
    assert!(
        diff.out.contains("usr/install/arm64/vmlinuz") && !diff.out.contains("usr/install/amd64"),
        "{diff:?}"
    );
    let one =
        world.json(&[&words[..], &["--platform", "linux/arm64", "-o", "docker-archive:one.tar"]].concat());
    assert!(one["result"]["written"][0]["mediaType"].as_str().unwrap().contains("manifest"), "{one}");
    let own = ["-o", "docker-archive:{arch}.tar"];
    world.ok(&[&words[..], &own].concat());
    assert!(world.path("amd64.tar").is_file() && world.path("arm64.tar").is_file());
}
