//! Installer images of every version beside those that the real imager made of the same parts.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/boot.rs"]
mod made;
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::installer::{
    ASSETS, Files, Image, Initramfs, Inputs, RELEASE, assets, extension, module, untar,
};
use support::judge::{judge, judge_at};
use support::{World, judged, testdata};
use talosmith::base::Content;
use talosmith::boot::Uki;

/// What the real imager made; see `testdata/talos/NOTICE`.
const LAYOUTS: &str = include_str!("../testdata/talos/layout.tsv");
/// The sections that it wrote; see `src/talos/uki.rs`.
const SECTIONS: &str = include_str!("../src/talos/testdata/uki.tsv");

/// The image in a docker archive: its configuration, and the layers' files.
fn in_archive(path: &Path) -> (Value, Vec<Files>) {
    let archive = untar(fs::File::open(path).unwrap());
    let manifest: Value = serde_json::from_slice(&archive["manifest.json"].1).unwrap();
    let config = &archive[manifest[0]["Config"].as_str().unwrap()].1;
    let layer = |name: &Value| {
        let bytes = &archive[name.as_str().unwrap()].1;
        match bytes.starts_with(&[0x1f, 0x8b]) {
            true => untar(flate2::read::MultiGzDecoder::new(&bytes[..])),
            false => untar(&bytes[..]),
        }
    };
    let layers = manifest[0]["Layers"].as_array().unwrap().iter().map(layer).collect();
    (serde_json::from_slice(config).unwrap(), layers)
}

/// The sections of a unified kernel image that objdump lists behind those of the stub.
fn listed_sections(world: &World, objdump: &Path) -> Vec<String> {
    let told = judged(objdump, &["-h", "-w", "uki.efi"], &world.path(""));
    let words = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let names = words
        .filter(|words| words.first().is_some_and(|word| word.parse::<u32>().is_ok()))
        .map(|words| words[1].to_owned());
    names.skip_while(|name| name != ".osrel").collect()
}

/// Compares a unified kernel image with what was observed; gives its initramfs.
fn judged_uki(world: &World, objdump: &Path, talos: &str, bytes: &[u8]) -> Initramfs {
    world.write("uki.efi", bytes);
    let observed = SECTIONS.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let observed: Vec<(&str, String)> = observed
        .filter(|fields| fields[0] == talos && fields[1] == "plain")
        .map(|fields| (fields[2], fields[3].replace("\\n", "\n")))
        .collect();
    let names: Vec<&str> = observed.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed_sections(world, objdump), names, "{talos}");
    let uki = Uki::read(&Content::memory(bytes)).unwrap();
    let own = uki.sections.iter().skip_while(|section| section.name != ".osrel");
    for ((name, text), section) in observed.iter().zip(own) {
        // Its kernel was another one.
        if text != "-" && *name != ".uname" {
            assert_eq!(section.content.read(1 << 20).unwrap(), text.as_bytes(), "{talos} {name}");
        }
    }
    assert_eq!(uki.uname.as_deref(), Some(RELEASE), "{talos}");
    Initramfs::read(&uki.initrd.unwrap().read(1 << 30).unwrap())
}

#[test]
fn for_each_version_an_installer_has_the_layout_that_the_real_imager_gave_it() {
    let (Some(unsquashfs), Some(objdump)) = (judge("unsquashfs"), judge("objdump")) else { return };
    let Some(stub) = judge_at("TALOSMITH_STUB", "stub of systemd that knows profiles") else { return };
    let (world, tiny) = (World::new(), Inputs::tiny());
    let inputs = Inputs { imager: assets(&world, "assets"), ..tiny };
    fs::copy(stub, world.path("assets/systemd-stub.efi")).unwrap();
    let base = Image::open(Path::new(&testdata("installer/base")));
    let (path, ko) = module("good.ko");
    let dummy = extension(&world, "e1-dummy", &[(path.as_str(), &ko)]);
    world.write("splash.bmp", made::bitmap());
    // Before 1.10 upstream takes a module from where that Talos does not look.
    let more = ["--system-extension-image", &dummy, "--splash", "splash.bmp", "--allow", "path-not-allowed"];
    let mut rows = 0;
    for row in LAYOUTS.lines().skip(1) {
        let [talos, "false", archive, members, codec, modules_dep] = row.split('\t').collect::<Vec<_>>()[..]
        else {
            continue; // Secure Boot
        };
        world.ok(&inputs.imager("installer", &[&["--talos", talos, "--output", talos], &more[..]].concat()));
        let (config, layers) = in_archive(&world.path(talos).join(archive));
        assert_eq!((layers.len(), config["history"].as_array().unwrap().len()), (2, 2), "{row}");
        assert_eq!(config["config"], base.config["config"], "{row}");
        let keys: Vec<&String> = config.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["architecture", "config", "created", "history", "os", "rootfs"], "{row}");
        let listed: Vec<&str> = layers[1].keys().map(String::as_str).collect();
        assert_eq!(listed.join(" "), members, "{row}");
        let initramfs = match layers[1].get(&format!("{ASSETS}/initramfs.xz")) {
            Some((_, bytes)) => Initramfs::read(bytes),
            None => judged_uki(&world, &objdump, talos, &layers[1][&format!("{ASSETS}/vmlinuz.efi")].1),
        };
        assert_eq!((initramfs.segments.len(), initramfs.segments[1].2.as_str()), (2, codec), "{row}");
        let images = initramfs.images();
        assert_eq!(images.contains(&"modules.dep.sqsh".to_owned()).to_string(), modules_dep, "{row}");
        for image in images {
            world.write("layer.sqsh", &initramfs.members[&image].bytes);
            let told = judged(&unsquashfs, &["-s", "layer.sqsh"], &world.path(""));
            assert!(told.contains(&format!("Compression {codec}\n")), "{row}\n{told}");
            assert!(told.contains("Block size 131072\n"), "{row}\n{told}");
        }
        rows += 1;
    }
    assert_eq!(rows, 6);
}

#[test]
fn the_list_of_extensions_is_the_real_imagers_to_the_letter() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let (path, ko) = module("good.ko");
    let mut extensions = Vec::new();
    for (name, version, description, file) in [
        ("e1-dummy", "1.0.0-6.1", "one out of tree module", (path.as_str(), &ko[..])),
        (
            "e3-firmware",
            "\"20250311\"",
            "microcode and 20 MB of firmware",
            ("usr/lib/firmware/amdgpu/a.bin", &b"x"[..]),
        ),
        ("e4-service", "0.1.0", "a service", ("usr/local/share/x", b"x")),
    ] {
        extensions.push(extension(&world, name, &[file]));
        let manifest = format!(
            "version: v1alpha1\nmetadata:\n  name: {name}\n  version: {version}\n  author: Anchor\n  description: |\n    {description}\n  compatibility:\n    talos:\n      version: \">= v1.0.0\"\n"
        );
        world.write(&format!("{name}/manifest.yaml"), manifest);
    }
    let words: Vec<&str> = extensions.iter().map(String::as_str).collect();
    world.ok(&tiny.words(&words, &["-o", "oci:out"]));
    // Observed of the imager for Talos v1.11.6, with another kernel.
    let wanted = "layers:
    - image: 0.sqsh
      metadata:
        name: e1-dummy
        version: 1.0.0-6.1
        author: Anchor
        description: |
            one out of tree module
        compatibility:
            talos:
                version: '>= v1.0.0'
    - image: 1.sqsh
      metadata:
        name: e3-firmware
        version: \"20250311\"
        author: Anchor
        description: |
            microcode and 20 MB of firmware
        compatibility:
            talos:
                version: '>= v1.0.0'
    - image: 2.sqsh
      metadata:
        name: e4-service
        version: 0.1.0
        author: Anchor
        description: |
            a service
        compatibility:
            talos:
                version: '>= v1.0.0'
    - image: modules.dep.sqsh
      metadata:
        name: modules.dep
        version: 6.1.0-56-amd64
        author: Talos Machinery
        description: Combined modules.dep for all extensions
        compatibility:
            talos:
                version: \"\"
";
    let list = Image::open(&world.path("out")).initramfs().list();
    assert_eq!(list, wanted.replace("6.1.0-56-amd64", RELEASE));
}
