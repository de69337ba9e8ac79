//! The initramfs of an installer: composed of real images, looked at, read back, and damaged.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/samples.rs"]
mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Cursor, Read};
use std::process::Command;

use judge::judge;
use samples::Random;
use talosmith::archive::compress::{Codec, one_zstd_frame};
use talosmith::archive::cpio::{Options, archive};
use talosmith::archive::squashfs::{self, Help};
use talosmith::archive::{Entry, Tree};
use talosmith::base::{Content, Digest, Epoch, Workers};
use talosmith::talos::initramfs::{
    Firmware, Initramfs, Inputs, Layer, LayerNames, Overview, VerifyError, compose, firmware_segment,
    merge_firmware, split, verify,
};
use talosmith::talos::{Manifest, Version};

fn file(bytes: impl Into<Vec<u8>>) -> Entry {
    Entry::file(0o644, Content::memory(bytes.into()))
}

fn squash(tree: &Tree, codec: squashfs::Codec) -> Content {
    let mut out = Cursor::new(Vec::new());
    let help = Help { workers: &Workers::new(2), cache: None, progress: &|_| {} };
    let options = squashfs::Options { codec, ..squashfs::Options::default() };
    squashfs::write_tree(tree, &options, &help, &mut out).unwrap();
    Content::memory(out.into_inner())
}

/// What an installer is made of, with its files in a folder.
struct World {
    folder: tempfile::TempDir,
    base: Content,
    layers: Vec<Layer>,
    firmware: Tree,
    segment: Content,
    intel: Vec<Content>,
    amd: Vec<Content>,
    talos: Version,
}

impl World {
    fn new(count: usize, talos: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let talos: Version = talos.parse().unwrap();
        let mut random = Random(41);
        let put = |name: &str, bytes: &[u8]| {
            fs::write(folder.path().join(name), bytes).unwrap();
            Content::file(folder.path().join(name), bytes.len() as u64)
        };
        let (mut layers, mut firmwares) = (Vec::new(), Vec::new());
        let (mut intel, mut amd) = (Vec::new(), Vec::new());
        for (number, name) in LayerNames::Padded.of(count) {
            let mut rootfs = Tree::new();
            let noise = random.bytes(200_000);
            rootfs.insert(&format!("usr/local/bin/tool-{number}"), file(noise)).unwrap();
            let firmware = talosmith::talos::extension::firmware_dir(&talos);
            rootfs.insert(&format!("{firmware}/vendor/{number}.bin"), file(random.bytes(90_000))).unwrap();
            rootfs.insert(&format!("{firmware}/link-{number}.bin"), Entry::symlink("vendor/0.bin")).unwrap();
            if number == 0 {
                rootfs.insert(&format!("{firmware}/intel-ucode/06-01"), file("intel")).unwrap();
                rootfs.insert(&format!("{firmware}/amd-ucode/microcode_amd.bin"), file("amd")).unwrap();
            }
            let parts = split(&rootfs, &talos);
            intel.extend(parts.intel);
            amd.extend(parts.amd);
            firmwares.push((name.clone(), parts.firmware));
            let codec = if talos.since(1, 8) { squashfs::Codec::Zstd } else { squashfs::Codec::Xz };
            let image = put(&name, &squash(&parts.rest, codec).read(1 << 30).unwrap());
            let manifest = Manifest {
                name: format!("extension-{number}"),
                version: "20250311".to_owned(),
                author: "Acme".to_owned(),
                description: "what it is for\n".to_owned(),
                manifest_version: "v1alpha1".to_owned(),
                ..Manifest::default()
            };
            layers.push(Layer { digest: image.digest().unwrap(), name, image, manifest });
        }
        let named: Vec<(&str, &Tree)> = firmwares.iter().map(|(name, tree)| (name.as_str(), tree)).collect();
        let firmware = merge_firmware(&named).unwrap().tree;
        let mut segment = Vec::new();
        firmware_segment(&firmware, &talos, Epoch::default(), &Workers::new(2), &mut segment).unwrap();
        let segment = put("firmware", &segment);
        let base = put("base", &base(&mut random));
        Self { base, layers, firmware, segment, intel, amd, talos, folder }
    }

    fn compose(&self) -> Initramfs {
        compose(&Inputs {
            base: &self.base,
            base_digest: Some(self.base.digest().unwrap()),
            layers: &self.layers,
            firmware: Some(Firmware { tree: &self.firmware, segment: &self.segment }),
            intel: &self.intel,
            amd: &self.amd,
            talos: &self.talos,
            epoch: Epoch::default(),
        })
        .unwrap()
    }
}

/// A base initramfs: one zstd frame with `init` and `rootfs.sqsh`.
fn base(random: &mut Random) -> Vec<u8> {
    let mut rootfs = Tree::new();
    rootfs.insert("sbin/init", file(random.bytes(100_000))).unwrap();
    let mut tree = Tree::new();
    tree.insert("init", Entry::file(0o755, Content::memory(*b"#!/bin/sh\n"))).unwrap();
    tree.insert("rootfs.sqsh", Entry::file(0o644, squash(&rootfs, squashfs::Codec::Zstd))).unwrap();
    let plain = archive(&tree, &Options::default()).unwrap();
    let mut out = Vec::new();
    one_zstd_frame(&mut plain.open().unwrap(), 3, &Workers::new(1), &mut out).unwrap();
    out
}

fn keep(_: &str, reader: &mut dyn Read, _: u64) -> io::Result<Option<Content>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(Some(Content::memory(bytes)))
}

#[test]
fn an_overview_finds_what_was_composed() {
    for (talos, codec) in [("v1.11.3", Codec::Zstd), ("v1.7.7", Codec::Xz)] {
        let world = World::new(12, talos);
        let composed = world.compose();
        verify(&composed.content, &composed).unwrap();
        let overview = Overview::read(&composed.content, &mut keep).unwrap();
        let codecs: Vec<Codec> = overview.segments.iter().map(|segment| segment.codec).collect();
        assert_eq!(codecs, [Codec::Plain, Codec::Zstd, codec, codec], "{talos}");
        assert_eq!(overview.segments[1].offset, 1024, "microcode is filled up to a multiple of 512");
        assert_eq!(overview.segments[1].len, world.base.len());
        assert_eq!(overview.codecs(), BTreeSet::from([Codec::Zstd, codec]));
        assert_eq!(overview.layers.len(), 12);
        for layer in &world.layers {
            let found = &overview.layers[&layer.name];
            assert_eq!(found.content.as_ref().unwrap().digest().unwrap(), layer.digest);
            assert_eq!(found.compressor, Some(if codec == Codec::Zstd { "zstd" } else { "xz" }));
        }
        let listed: Vec<_> = overview.extensions.as_ref().unwrap().layers.iter().collect();
        assert!(listed.iter().map(|layer| &layer.image).eq(world.layers.iter().map(|layer| &layer.name)));
        assert!(
            listed.iter().map(|layer| &layer.manifest).eq(world.layers.iter().map(|layer| &layer.manifest))
        );
        assert!(overview.missing_layers().is_empty() && overview.unlisted_layers().is_empty());
        assert_eq!(overview.rootfs.unwrap().compressor, Some("zstd"));
        assert_eq!(overview.init.unwrap().size, 10);
        assert_eq!((overview.firmware.len(), overview.microcode.len()), (24, 2));
    }
}

#[test]
fn the_bytes_of_base_and_layers_stay_in_their_files() {
    let world = World::new(2, "v1.11.3");
    let composed = world.compose();
    let Content::Joined(parts) = &composed.content else { panic!() };
    let in_memory: u64 =
        parts.parts().filter(|part| matches!(part, Content::Memory(_))).map(Content::len).sum();
    assert!(in_memory < 8 << 10, "{in_memory}");
    let base = composed.content.slice(composed.base_offset, composed.base_len).unwrap();
    assert_eq!(base.digest().unwrap(), world.base.digest().unwrap());
    assert_eq!(world.compose().content.digest().unwrap(), composed.content.digest().unwrap());
}

#[test]
fn without_extensions_the_base_stays_what_it_is() {
    let world = World::new(0, "v1.11.3");
    let composed = world.compose();
    assert_eq!(composed.content.whole_file(), Some(world.folder.path().join("base").as_path()));
    verify(&composed.content, &composed).unwrap();
}

#[test]
fn behind_a_plain_base_the_layers_begin_at_a_multiple_of_four() {
    let mut world = World::new(1, "v1.11.3");
    let plain = archive(&Tree::new(), &Options::default()).unwrap().read(999).unwrap();
    world.base = Content::memory([&plain[..], &[0; 3]].concat());
    let composed = world.compose();
    verify(&composed.content, &composed).unwrap();
    let overview = Overview::read(&composed.content, &mut keep).unwrap();
    assert_eq!(overview.segments.len(), 4);
    assert_eq!(overview.segments[2].offset % 4, 0);
}

#[test]
fn damage_anywhere_is_found_when_it_is_read_back() {
    let world = World::new(3, "v1.11.3");
    let composed = world.compose();
    let bytes = composed.content.read(1 << 30).unwrap();
    let layers_from = (composed.base_offset + composed.base_len) as usize;
    let mut random = Random(5);
    let mut places: Vec<usize> = (0..200).map(|_| random.below(bytes.len() as u64) as usize).collect();
    places.extend((0..60).map(|_| layers_from + random.below(400) as usize));
    let text = bytes.windows(9).position(|window| window == b"extension").unwrap();
    places.push(text);
    for place in places {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        // Times, owners and inode numbers of members are not compared, nor is padding.
        if verify(&Content::memory(damaged.clone()), &composed).is_ok() {
            let near = String::from_utf8_lossy(&bytes[place.saturating_sub(120)..place + 1]).into_owned();
            assert!(
                place < layers_from || near.contains("0707") || bytes[place] == 0,
                "byte {place}: {near:?}"
            );
            assert!(!(composed.base_offset as usize..layers_from).contains(&place), "the base at {place}");
        }
    }
    let short = Content::memory(&bytes[..bytes.len() - 1]);
    assert!(matches!(verify(&short, &composed), Err(VerifyError::Length { .. })));
    let mut other = composed.clone();
    other.base_digest = Some(Digest::of(b""));
    assert!(matches!(verify(&composed.content, &other), Err(VerifyError::Base)));
    let mut other = composed.clone();
    other.behind[0].swap(0, 1);
    assert!(matches!(verify(&composed.content, &other), Err(VerifyError::Member { .. })));
    let mut other = composed.clone();
    other.behind[0].pop();
    assert!(matches!(verify(&composed.content, &other), Err(VerifyError::Member { .. })));
    let mut other = composed.clone();
    other.behind.pop();
    assert!(verify(&composed.content, &other).is_err());
}

#[test]
fn gnu_cpio_and_zstd_see_the_segments_that_we_wrote() {
    let (Some(cpio), Some(zstd)) = (judge("cpio"), judge("zstd")) else { return };
    let world = World::new(11, "v1.11.3");
    let composed = world.compose();
    let overview = Overview::read(&composed.content, &mut keep).unwrap();
    let mut lists = Vec::new();
    for segment in &overview.segments {
        let bytes = composed.content.slice(segment.offset, segment.len).unwrap().read(1 << 30).unwrap();
        let name = world.folder.path().join("segment.zst");
        fs::write(&name, bytes).unwrap();
        let plain = if segment.codec == Codec::Zstd {
            let listed = Command::new(&zstd)
                .args(["-lv", "segment.zst"])
                .current_dir(world.folder.path())
                .output()
                .unwrap();
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            let frames = listed.lines().find(|line| line.contains("Zstandard Frames")).unwrap_or(&listed);
            assert!(frames.trim_end().ends_with(": 1"), "{listed}");
            Command::new(&zstd).args(["-qdc"]).arg(&name).output().unwrap().stdout
        } else {
            fs::read(&name).unwrap()
        };
        fs::write(world.folder.path().join("plain"), plain).unwrap();
        let listed = Command::new(&cpio)
            .args(["-it", "--quiet", "-F", "plain"])
            .current_dir(world.folder.path())
            .output()
            .unwrap();
        assert!(listed.status.success());
        assert!(listed.stderr.is_empty(), "{}", String::from_utf8_lossy(&listed.stderr));
        lists.push(String::from_utf8(listed.stdout).unwrap());
    }
    let microcode = "kernel\nkernel/x86\nkernel/x86/microcode\nkernel/x86/microcode/AuthenticAMD.bin\nkernel/x86/microcode/GenuineIntel.bin\n";
    assert_eq!(lists[0], microcode);
    let layers = "00.sqsh\n01.sqsh\n02.sqsh\n03.sqsh\n04.sqsh\n05.sqsh\n06.sqsh\n07.sqsh\n08.sqsh\n09.sqsh\n10.sqsh\nextensions.yaml\n";
    assert_eq!(lists[2], layers);
    assert!(
        lists[3].starts_with("usr\nusr/lib\nusr/lib/firmware\nusr/lib/firmware/amd-ucode\n"),
        "{}",
        lists[3]
    );
}
