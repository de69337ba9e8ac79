//! Installer images judged by programs that we did not write: GNU cpio, squashfs-tools, binutils, Go's `debug/pe`, ukify, skopeo, crane, umoci, `docker-registry`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::docker_registry::DockerRegistry;
use support::installer::{ASSETS, Image, Initramfs, Inputs, RELEASE, blob, extension};
use support::judge::{judge, judge_at, sections};
use support::{World, judged, testdata};
use talosmith::base::Digest;

/// Runs a judge with bytes on its standard input, which must be content; gives its output.
fn piped(program: &Path, words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut pipe, input) = (child.stdin.take().unwrap(), input.to_vec());
    // On a thread of its own, or both sides would wait.
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {words:?}: {said}", program.display());
    writer.join().unwrap().unwrap();
    output.stdout
}

/// A segment as it is unpacked by the program of its codec.
fn unpacked(initramfs: &Initramfs, number: usize) -> Option<Vec<u8>> {
    let (at, len, codec) = &initramfs.segments[number];
    let bytes = &initramfs.bytes[*at..*at + *len];
    Some(match codec.as_str() {
        "plain" => bytes.to_vec(),
        name => piped(&judge(name)?, &["-dc"], bytes),
    })
}

/// The fixture of a kind, and one of its images.
struct Fixture(PathBuf);

impl Fixture {
    fn new(kind: &str) -> Option<Self> {
        Some(Self(judge_at("TALOSMITH_INSTALLER", "folder of tests/installer_fixture.sh")?.join(kind)))
    }

    fn inputs(&self) -> Inputs {
        Inputs { imager: self.image("imager", "v1.11.3"), base: self.image("base", "v1.11.3") }
    }

    fn image(&self, layout: &str, tag: &str) -> String {
        format!("oci:{}:{tag}", self.0.join(layout).display())
    }

    fn extension(&self, name: &str) -> String {
        self.0.join("ext/amd64").join(name).display().to_string()
    }

    fn asset(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join("assets/amd64").join(name)).unwrap()
    }
}

// --- the initramfs ---------------------------------------------------------------------------------------

/// An installer of three extensions of the fixture `boot`.
fn of_three(world: &World) -> Option<(Fixture, Image)> {
    let fixture = Fixture::new("boot")?;
    let extensions = ["my-module", "firmware", "service"].map(|name| fixture.extension(name));
    let inputs = fixture.inputs();
    let words: Vec<&str> = extensions.iter().map(String::as_str).collect();
    let more = ["-o", "oci:out:x", "--extra-kernel-arg", "test=three"];
    world.ok(&inputs.words(&words, &more));
    Some((fixture, Image::open(&world.path("out"))))
}

#[test]
fn gnu_cpio_lists_the_members_of_each_segment() {
    let Some(cpio) = judge("cpio") else { return };
    let world = World::new();
    let Some((fixture, image)) = of_three(&world) else { return };
    let initramfs = image.initramfs();
    let mut listings = Vec::new();
    for number in 0..initramfs.segments.len() {
        let Some(bytes) = unpacked(&initramfs, number) else { return };
        let told = piped(&cpio, &["-itv", "--quiet", "--numeric-uid-gid"], &bytes);
        let told = String::from_utf8(told).unwrap();
        listings.push(told.lines().map(str::to_owned).collect::<Vec<_>>());
    }
    let shown = |number: usize| -> Vec<String> {
        listings[number]
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                assert_eq!(words[2..4], ["0", "0"], "{line}");
                let name = line.rsplit_once("1970 ").map_or(words[words.len() - 1], |(_, name)| name);
                format!("{} {}", words[0], name)
            })
            .collect()
    };
    assert_eq!(
        shown(0),
        [
            "drwxr-xr-x kernel",
            "drwxr-xr-x kernel/x86",
            "drwxr-xr-x kernel/x86/microcode",
            "-rw-r--r-- kernel/x86/microcode/AuthenticAMD.bin",
            "-rw-r--r-- kernel/x86/microcode/GenuineIntel.bin",
        ]
    );
    // The stock initramfs, whatever is in it.
    let (at, len, _) = &initramfs.segments[1];
    assert!(initramfs.bytes[*at..*at + *len] == fixture.asset("initramfs.xz"));
    assert_eq!(
        shown(2),
        [
            "-rw-r--r-- 0.sqsh",
            "-rw-r--r-- 1.sqsh",
            "-rw-r--r-- 2.sqsh",
            "-rw-r--r-- extensions.yaml",
            "-rw-r--r-- modules.dep.sqsh",
        ]
    );
    assert_eq!(
        shown(3),
        [
            "drwxr-xr-x usr",
            "drwxr-xr-x usr/lib",
            "drwxr-xr-x usr/lib/firmware",
            "drwxr-xr-x usr/lib/firmware/acme",
            "lrwxrwxrwx usr/lib/firmware/acme/boot-test-up.bin -> ../acme/fw-1.bin",
            "-rw-r--r-- usr/lib/firmware/acme/fw-1.bin",
            // Where the microcode was, as upstream leaves it.
            "drwxr-xr-x usr/lib/firmware/amd-ucode",
            "lrwxrwxrwx usr/lib/firmware/boot-test-a.bin -> acme/fw-1.bin",
            "lrwxrwxrwx usr/lib/firmware/boot-test-folder -> acme",
            "-rw-r--r-- usr/lib/firmware/boot-test-m.bin",
            "lrwxrwxrwx usr/lib/firmware/boot-test-nowhere.bin -> acme/absent.bin",
            "lrwxrwxrwx usr/lib/firmware/boot-test-z.bin -> acme/fw-1.bin",
            "drwxr-xr-x usr/lib/firmware/intel-ucode",
        ]
    );
    // And it takes the bytes out that went in.
    let Some(firmware) = unpacked(&initramfs, 3) else { return };
    fs::create_dir(world.path("cpio")).unwrap();
    let archive = world.write("firmware.cpio", firmware);
    let input = fs::File::open(archive).unwrap();
    let taken =
        Command::new(cpio).args(["-id", "--quiet"]).current_dir(world.path("cpio")).stdin(input).status();
    assert!(taken.unwrap().success());
    for file in ["acme/fw-1.bin", "boot-test-m.bin", "boot-test-a.bin"] {
        let file = format!("usr/lib/firmware/{file}");
        let wanted = fs::read(Path::new(&fixture.extension("firmware")).join("rootfs").join(&file)).unwrap();
        assert!(fs::read(world.path("cpio").join(&file)).unwrap() == wanted, "{file}");
    }
    let microcode: Vec<u8> = ["06-97-02", "06-97-05"]
        .iter()
        .flat_map(|file| {
            let folder =
                Path::new(&fixture.extension("firmware")).join("rootfs/usr/lib/firmware/intel-ucode");
            fs::read(folder.join(file)).unwrap()
        })
        .collect();
    assert!(initramfs.members["kernel/x86/microcode/GenuineIntel.bin"].bytes == microcode);
}

#[test]
fn squashfs_tools_list_each_layer_as_the_extension_has_it() {
    let (Some(unsquashfs), Some(sqfs2tar)) = (judge("unsquashfs"), judge("sqfs2tar")) else { return };
    let (world, tiny) = (World::new(), Inputs::tiny());
    let name =
        extension(&world, "e", &[("usr/local/bin/tool", b"tool"), ("usr/local/share/a b/c d", b"blank")]);
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let tool = world.path("e/rootfs/usr/local/bin/tool");
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("tool", world.path("e/rootfs/usr/local/bin/link")).unwrap();
    let label = "usr/local/share/a b=system_u:object_r:acme_t:s0";
    world.ok(&["extension", &name, "-o", "oci:e1", "--selinux-label", label]);
    world.ok(&tiny.words(&["oci:e1"], &["-o", "oci:out"]));
    let initramfs = Image::open(&world.path("out")).initramfs();
    world.write("layer.sqsh", &initramfs.members["0.sqsh"].bytes);
    let told = judged(&unsquashfs, &["-lln", "-d", "", "layer.sqsh"], &world.path(""));
    let shown: Vec<(String, String)> = told
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [mode, owner, _, day, hour, ..] = words[..] else { return None };
            assert_eq!((owner, day, hour), ("0/0", "1970-01-01", "00:00"), "{line}");
            Some((mode.to_owned(), line.split_once("00:00 ").unwrap().1.to_owned()))
        })
        .collect();
    let wanted = [
        ("drwxr-xr-x", ""),
        ("drwxr-xr-x", "/usr"),
        ("drwxr-xr-x", "/usr/local"),
        ("drwxr-xr-x", "/usr/local/bin"),
        ("lrwxrwxrwx", "/usr/local/bin/link -> tool"),
        ("-rwxr-xr-x", "/usr/local/bin/tool"),
        ("drwxr-xr-x", "/usr/local/share"),
        ("drwxr-xr-x", "/usr/local/share/a b"),
        ("-rw-r--r--", "/usr/local/share/a b/c d"),
    ]
    .map(|(mode, path)| (mode.to_owned(), path.to_owned()));
    assert_eq!(shown, wanted);
    let cat = judged(&unsquashfs, &["-cat", "layer.sqsh", "usr/local/share/a b/c d"], &world.path(""));
    assert_eq!(cat, "blank");
    let tar = Command::new(sqfs2tar).arg("layer.sqsh").current_dir(world.path("")).output().unwrap();
    let mut labelled = BTreeMap::new();
    for entry in tar::Archive::new(&tar.stdout[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        for record in entry.pax_extensions().unwrap().into_iter().flatten().map(Result::unwrap) {
            if record.key() == Ok("SCHILY.xattr.security.selinux") {
                labelled.insert(path.trim_end_matches('/').to_owned(), record.value_bytes().to_vec());
            }
        }
    }
    let value = b"system_u:object_r:acme_t:s0\0".to_vec();
    let wanted =
        ["usr/local/share/a b", "usr/local/share/a b/c d"].map(|path| (path.to_owned(), value.clone()));
    assert_eq!(labelled, BTreeMap::from(wanted));
}

// --- the unified kernel image ----------------------------------------------------------------------------

#[test]
fn binutils_take_out_of_the_image_what_went_in() {
    let (Some(objcopy), Some(objdump)) = (judge("objcopy"), judge("objdump")) else { return };
    let world = World::new();
    let Some((fixture, image)) = of_three(&world) else { return };
    world.write("uki.efi", &image.assets()[&format!("{ASSETS}/vmlinuz.efi")].1);
    let section = |name: &str| {
        let words = ["-O", "binary", "--only-section", name, "uki.efi", "part"];
        judged(&objcopy, &words, &world.path(""));
        fs::read(world.path("part")).unwrap()
    };
    assert!(section(".linux") == fixture.asset("vmlinuz"), "the kernel is the imager's");
    let initrd = section(".initrd");
    let initramfs = Initramfs::read(&initrd);
    assert_eq!(initramfs.segments[0].2, "plain");
    let (at, len, _) = &initramfs.segments[1];
    assert!(initrd[*at..*at + *len] == fixture.asset("initramfs.xz"), "the stock initramfs is untouched");
    let line = String::from_utf8(section(".cmdline")).unwrap();
    assert!(line.starts_with("talos.platform=metal ") && line.ends_with(" test=three"), "{line}");
    assert_eq!(section(".uname"), RELEASE.as_bytes());
    let osrel = String::from_utf8(section(".osrel")).unwrap();
    assert!(osrel.contains("PRETTY_NAME=\"Talos (v1.11.3)\"\n"), "{osrel}");
    let told = judged(&objdump, &["-h", "-w", "uki.efi"], &world.path(""));
    let own: Vec<&str> = told
        .split_whitespace()
        .filter(|word| [".osrel", ".cmdline", ".uname", ".linux", ".initrd"].contains(word))
        .collect();
    assert_eq!(own, [".osrel", ".cmdline", ".uname", ".linux", ".initrd"]);
}

#[test]
fn gos_debug_pe_and_ukify_see_the_sections_that_we_see() {
    let world = World::new();
    let Some((_, image)) = of_three(&world) else { return };
    let uki = image.uki();
    world.write("uki.efi", &image.assets()[&format!("{ASSETS}/vmlinuz.efi")].1);
    if let Some(go) = judge("go") {
        let program = sections(&go, &world.path("sections"));
        let told = judged(&program, &["uki.efi"], &world.path(""));
        let told: Vec<Vec<&str>> = told.lines().map(|line| line.split(' ').collect()).collect();
        assert_eq!(told.len(), uki.sections.len());
        for (words, section) in told.iter().zip(&uki.sections) {
            let digest = section.content.digest().unwrap().hex();
            assert_eq!((words[1], words[4]), (section.name.as_str(), digest.as_str()));
        }
    }
    let python = judge_at("TALOSMITH_PYTHON", "python with `pefile`");
    let ukify = judge_at("TALOSMITH_UKIFY", "`ukify` of systemd");
    if let (Some(python), Some(ukify)) = (python, ukify) {
        let told = judged(
            &python,
            &[ukify.to_str().unwrap(), "inspect", "uki.efi", "--json=short"],
            &world.path(""),
        );
        let told: Value = serde_json::from_str(&told).unwrap();
        for name in [".osrel", ".cmdline", ".uname", ".linux", ".initrd"] {
            let own = uki.sections.iter().find(|section| section.name == name).unwrap();
            assert_eq!(told[name]["sha256"], own.content.digest().unwrap().hex().as_str(), "{name} {told}");
        }
    }
}

// --- the image -------------------------------------------------------------------------------------------

#[test]
fn skopeo_and_umoci_read_the_image_and_the_bases_files_are_all_there() {
    let (Some(skopeo), Some(umoci)) = (judge("skopeo"), judge("umoci")) else { return };
    let world = World::new();
    let Some((fixture, image)) = of_three(&world) else { return };
    let skopeo = |words: &[&str]| {
        judged(
            &skopeo,
            &[&["--insecure-policy", "--override-arch", "amd64"], words].concat(),
            &world.path(""),
        )
    };
    let told: Value = serde_json::from_str(&skopeo(&["inspect", "oci:out:x"])).unwrap();
    assert_eq!(told["Digest"], image.digest.as_str());
    assert_eq!(told["Layers"].as_array().unwrap().len(), 2);
    assert_eq!(told["Labels"]["alpha.talos.dev/version"], "v1.11.3");
    let told: Value = serde_json::from_str(&skopeo(&["inspect", "--config", "oci:out:x"])).unwrap();
    assert_eq!(told["config"]["Entrypoint"], serde_json::json!(["/bin/installer"]));
    // Everything of it is read and checked on the way.
    skopeo(&["copy", "--preserve-digests", "oci:out:x", "oci:copied:x"]);
    assert_eq!(Image::open(&world.path("copied")).digest, image.digest);
    skopeo(&["copy", "oci:out:x", "docker-archive:theirs.tar:acme/x:1"]);
    let told = world.json(&["inspect", "docker-archive:theirs.tar"]);
    assert_eq!(told["result"]["images"][0]["boot"][0]["problems"], serde_json::json!([]));
    judged(&umoci, &["unpack", "--rootless", "--image", "out:x", "bundle"], &world.path(""));
    let root = world.path("bundle/rootfs");
    let assets = image.assets();
    let unpacked = |path: &str| fs::read(root.join(path)).unwrap();
    for (path, (_, bytes)) in &assets {
        assert!(unpacked(path) == *bytes, "{path}");
    }
    let base = Image::open(&fixture.0.join("base"));
    assert!(unpacked("bin/installer") == base.files(0)["bin/installer"].1);
}

#[test]
fn crane_validates_archives_and_what_we_push() {
    let (Some(crane), Some(server)) = (judge("crane"), judge("docker-registry")) else { return };
    let (world, tiny) = (World::new(), Inputs::tiny());
    let my_module = testdata("my-module/amd64");
    let registry = DockerRegistry::start(&server);
    let reference = registry.reference("acme/installer:1");
    let push = format!("docker://{reference}");
    let more = ["-o", &push, "-o", "docker-archive:x.tar:acme/x:1", "-o", "oci:out"];
    world.ok(&tiny.words(&[&my_module], &more));
    let crane = |words: &[&str]| judged(&crane, words, &world.path(""));
    assert_eq!(crane(&["digest", &reference]).trim(), Image::open(&world.path("out")).digest);
    // It takes every layer for gzip, and the boot assets lie in a plain one: it looks at documents alone.
    crane(&["validate", "--fast", "--remote", &reference]);
    crane(&["validate", "--tarball", "x.tar"]);
    world.ok(&tiny.imager("installer", &["--output", "out2", "--system-extension-image", &my_module]));
    crane(&["validate", "--tarball", "out2/installer-amd64.tar"]);
    // What it pulls and what it pushes is the same image.
    crane(&["pull", "--format=oci", &reference, "pulled"]);
    assert_eq!(Image::open(&world.path("pulled")).digest, Image::open(&world.path("out")).digest);
    let again = registry.reference("acme/again:1");
    crane(&["push", "out2/installer-amd64.tar", &again]);
    let told = world.json(&["inspect", &format!("docker://{again}")]);
    assert_eq!(told["result"]["images"][0]["kind"], "installer");
}

#[test]
fn a_base_in_the_same_registry_is_mounted_and_never_sent() {
    let Some(server) = judge("docker-registry") else { return };
    let Some(fixture) = Fixture::new("boot") else { return };
    let world = World::new();
    let registry = DockerRegistry::start(&server);
    let base = format!("docker://{}", registry.reference("siderolabs/installer-base:v1.11.3"));
    world.ok(&["copy", &fixture.image("base", "three-layers"), &base, "--cache", "apart"]);
    let inputs = Inputs { base: base.clone(), ..Inputs::tiny() };
    let lower = Image::open_tag(&fixture.0.join("base"), "three-layers");
    let layers = |image: &Image| -> Vec<u64> {
        image.manifest["layers"].as_array().unwrap().iter().map(|one| one["size"].as_u64().unwrap()).collect()
    };
    registry.sent();
    let push = format!("docker://{}", registry.reference("acme/installer:1"));
    world.ok(&inputs.words(&[&testdata("my-module/amd64")], &["-o", &push]));
    let sent = registry.sent();
    world.ok(&["copy", &push, "oci:pulled", "--cache", "apart"]);
    let made = Image::open(&world.path("pulled"));
    assert_eq!(made.layers()[..3], lower.layers()[..]);
    let assets = layers(&made)[3];
    let below: u64 = layers(&lower).iter().sum();
    // Requests and documents are some kilobytes; the base would be more than half a megabyte.
    assert!(below > 500_000, "{below}");
    assert!((assets..assets + 30_000).contains(&sent), "sent {sent}, the boot assets are {assets}");
    // Nor was it fetched: no blob of it is in the cache.
    for digest in lower.layers() {
        let cached = world.path("cache/talosmith/blobs").join(digest.replace(':', "/"));
        assert!(!cached.exists(), "{digest} was fetched");
    }
}

#[test]
fn layers_of_a_base_stay_unless_they_hold_boot_assets_alone() {
    let Some(fixture) = Fixture::new("boot") else { return };
    let world = World::new();
    for (tag, count) in [("two-layers", 2), ("three-layers", 3)] {
        let inputs = Inputs { base: fixture.image("base", tag), ..Inputs::tiny() };
        let output = format!("oci:{tag}");
        world.ok(&inputs.words(&[], &["-o", &output]));
        let (base, made) = (Image::open_tag(&fixture.0.join("base"), tag), Image::open(&world.path(tag)));
        assert_eq!(made.layers().len(), count + 1, "{tag}");
        assert_eq!(made.layers()[..count], base.layers()[..], "{tag}");
    }
}

#[test]
fn an_index_of_both_platforms_holds_an_installer_for_each() {
    let Some(fixture) = Fixture::new("debian") else { return };
    let (Some(skopeo), Some(objcopy), Some(cpio)) = (judge("skopeo"), judge("objcopy"), judge("cpio")) else {
        return;
    };
    let world = World::new();
    let inputs = fixture.inputs();
    let extensions = [fixture.image("extensions", "ppp"), fixture.image("extensions", "firmware")];
    let words: Vec<&str> = extensions.iter().map(String::as_str).collect();
    let more = [
        "--platform",
        "linux/amd64,linux/arm64",
        "-o",
        "oci:out:x",
        "-o",
        "docker-archive:{arch}.tar",
        "--jobs",
        "2",
    ];
    world.ok(&inputs.words(&words, &more));
    let mut cmdlines = Vec::new();
    for (architecture, pe) in [("amd64", "pei-x86-64"), ("arm64", "pei-aarch64-little")] {
        let image = Image::of_platform(&world.path("out"), architecture);
        assert_eq!(image.config["architecture"], architecture);
        let words = ["--insecure-policy", "--override-arch", architecture, "inspect", "oci:out:x"];
        let told: Value = serde_json::from_str(&judged(&skopeo, &words, &world.path(""))).unwrap();
        assert_eq!(told["Architecture"], architecture);
        let path = format!("usr/install/{architecture}/vmlinuz.efi");
        let files = image.assets();
        assert_eq!(files.len(), 2, "{:?}", files.keys());
        let efi = &files[&path].1;
        world.write("uki.efi", efi);
        // Binutils know PE files for arm64 only where they were built for all machines.
        if architecture == "amd64" {
            let words = ["-I", pe, "-O", "binary", "--only-section", ".linux", "uki.efi", "part"];
            judged(&objcopy, &words, &world.path(""));
            let asset = fixture.0.join("assets").join(architecture).join("vmlinuz");
            assert!(fs::read(world.path("part")).unwrap() == fs::read(asset).unwrap());
        }
        let uki = talosmith::boot::Uki::read(&talosmith::base::Content::memory(efi.clone())).unwrap();
        assert!(uki.uname.as_deref().unwrap().ends_with(architecture), "{:?}", uki.uname);
        cmdlines.push(uki.profiles[0].cmdline.clone());
        let initramfs = Initramfs::read(&uki.initrd.unwrap().read(1 << 30).unwrap());
        let asset = fs::read(fixture.0.join("assets").join(architecture).join("initramfs.xz")).unwrap();
        let stock = initramfs.segments.iter().position(|(at, ..)| initramfs.bytes[*at..].starts_with(&asset));
        // Whether there is microcode before it.
        let stock = stock.unwrap();
        assert_eq!(initramfs.names(), ["ppp", "firmware", "modules.dep"]);
        let release = uki.uname.unwrap();
        let index = initramfs.layer("modules.dep.sqsh");
        let dep = support::installer::bytes(&index, &format!("usr/lib/modules/{release}/modules.dep"));
        let dep = String::from_utf8(dep).unwrap();
        assert!(dep.contains("extras/ppp_generic.ko: extras/slhc.ko\n"), "{architecture}");
        for number in [stock + 1, stock + 2] {
            let Some(bytes) = unpacked(&initramfs, number) else { return };
            piped(&cpio, &["-it", "--quiet"], &bytes);
        }
        // By itself it is the same image.
        let told = world.json(&["inspect", &format!("docker-archive:{architecture}.tar")]);
        let layers: Vec<String> = told["result"]["images"][0]["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["digest"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(layers.len(), 2);
    }
    assert_eq!(cmdlines.len(), 2);
    let index: Value = serde_json::from_slice(&fs::read(world.path("out/index.json")).unwrap()).unwrap();
    let root = index["manifests"][0]["digest"].as_str().unwrap();
    let root = blob(&world.path("out"), root);
    assert_eq!(Digest::of(&root).to_string(), index["manifests"][0]["digest"].as_str().unwrap());
    let root: Value = serde_json::from_slice(&root).unwrap();
    let platforms: Vec<&Value> =
        root["manifests"].as_array().unwrap().iter().map(|one| &one["platform"]["architecture"]).collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
}
