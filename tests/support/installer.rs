//! What installer images are made of, and what lies in them: for tests of `installer` and `imager`.
//!
//! Images are taken apart here by the crates `tar`, `flate2` and `zstd`; only squashfs images, archives of
//! the initramfs and UKIs are read by our own readers, which have judges of their own.

// Each test uses its part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, unreachable_pub)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use talosmith::archive::cpio::{Member, MemberKind, ReadError, walk};
use talosmith::archive::squashfs::{Image as Squashfs, read_tree};
use talosmith::archive::{Entry, Tree};
use talosmith::base::{Content, Workers};
use talosmith::boot::Uki;

use super::{World, testdata};

/// Where the boot assets lie.
pub const ASSETS: &str = "usr/install/amd64";
/// The release of the kernel in the test data.
pub const RELEASE: &str = "6.12.117-talos";

/// An imager and a base.
pub struct Inputs {
    pub imager: String,
    pub base: String,
}

impl Inputs {
    /// Those of the test data.
    pub fn tiny() -> Self {
        let layout = |name: &str| format!("oci:{}", testdata(&format!("installer/{name}")));
        Self { imager: layout("imager"), base: layout("base") }
    }

    /// A command line of `talosmith installer`.
    pub fn words<'a>(&'a self, extensions: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["installer", "--imager", &self.imager, "--base", &self.base];
        words.extend(extensions.iter().flat_map(|extension| ["--extension", *extension]));
        words.extend(more);
        words
    }

    /// The same of `talosmith imager PROFILE`.
    pub fn imager<'a>(&'a self, profile: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["imager", profile, "--imager", &self.imager];
        if profile != "-" {
            words.extend(["--arch", "amd64", "--base-installer-image", &self.base]);
        }
        words.extend(more);
        words
    }
}

/// The boot assets of the test data as files in `folder` of the world; gives `./folder`.
pub fn assets(world: &World, folder: &str) -> String {
    let image = Image::open(Path::new(&testdata("installer/imager")));
    for (path, (_, bytes)) in image.files(0) {
        if let Some(name) = path.strip_prefix(&format!("{ASSETS}/")) {
            world.write(&format!("{folder}/{name}"), bytes);
        }
    }
    format!("./{folder}")
}

/// An extension's folder with these files below `rootfs/`; gives `./name`.
pub fn extension(world: &World, name: &str, files: &[(&str, &[u8])]) -> String {
    extension_for(world, name, ">= v1.0.0", files)
}

/// The same for these versions of Talos.
pub fn extension_for(world: &World, name: &str, talos: &str, files: &[(&str, &[u8])]) -> String {
    let manifest = format!(
        "version: v1alpha1\nmetadata:\n  name: {name}\n  version: 1.0.0\n  author: Acme\n  description: a test\n  compatibility:\n    talos:\n      version: \"{talos}\"\n"
    );
    world.write(&format!("{name}/manifest.yaml"), manifest);
    fs::create_dir_all(world.path(name).join("rootfs")).unwrap();
    for (path, bytes) in files {
        world.write(&format!("{name}/rootfs/{path}"), bytes);
    }
    format!("./{name}")
}

/// A module of the test data in its place for a Talos that has `/usr/lib/modules`.
pub fn module(name: &str) -> (String, Vec<u8>) {
    let bytes = fs::read(testdata(&format!("modules/{name}"))).unwrap();
    (format!("usr/lib/modules/{RELEASE}/extras/{name}"), bytes)
}

/// An image in an OCI layout that holds one.
pub struct Image {
    layout: PathBuf,
    pub digest: String,
    pub manifest: Value,
    pub config: Value,
}

/// Files by their paths: mode and bytes.
pub type Files = BTreeMap<String, (u32, Vec<u8>)>;

impl Image {
    /// The first image of the layout, or the first of an index.
    pub fn open(layout: &Path) -> Self {
        Self::of_platform(layout, "amd64")
    }

    /// The one of that name.
    pub fn open_tag(layout: &Path, tag: &str) -> Self {
        Self::read(layout, Some(tag), "amd64")
    }

    /// The one for an architecture, if there is an index.
    pub fn of_platform(layout: &Path, architecture: &str) -> Self {
        Self::read(layout, None, architecture)
    }

    fn read(layout: &Path, tag: Option<&str>, architecture: &str) -> Self {
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let named = |one: &&Value| {
            tag.is_none_or(|tag| one["annotations"]["org.opencontainers.image.ref.name"] == tag)
        };
        let entry = index["manifests"].as_array().unwrap().iter().find(named).unwrap();
        let mut digest = entry["digest"].as_str().unwrap().to_owned();
        let mut manifest: Value = serde_json::from_slice(&blob(layout, &digest)).unwrap();
        if let Some(images) = manifest["manifests"].as_array() {
            let own = images.iter().find(|image| image["platform"]["architecture"] == architecture);
            digest = own.unwrap()["digest"].as_str().unwrap().to_owned();
            manifest = serde_json::from_slice(&blob(layout, &digest)).unwrap();
        }
        let config = blob(layout, manifest["config"]["digest"].as_str().unwrap());
        let config = serde_json::from_slice(&config).unwrap();
        Self { layout: layout.to_owned(), digest, manifest, config }
    }

    /// The digests of the layers.
    pub fn layers(&self) -> Vec<String> {
        let layers = self.manifest["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    }

    /// The files of a layer, which lies in gzip or plain; directories are left out, links have their target as bytes.
    pub fn files(&self, layer: usize) -> Files {
        let bytes = blob(&self.layout, &self.layers()[layer]);
        if bytes.starts_with(&[0x1f, 0x8b]) {
            untar(flate2::read::MultiGzDecoder::new(&bytes[..]))
        } else {
            untar(&bytes[..])
        }
    }

    /// The layer with the boot assets, the first above the base's one.
    pub fn assets(&self) -> Files {
        self.files(1)
    }

    /// The UKI in it.
    pub fn uki(&self) -> Uki {
        let assets = self.assets();
        let (_, bytes) = &assets[&format!("{ASSETS}/vmlinuz.efi")];
        Uki::read(&Content::memory(bytes.clone())).unwrap()
    }

    /// The initramfs in it, within the UKI or beside it.
    pub fn initramfs(&self) -> Initramfs {
        match self.assets().get(&format!("{ASSETS}/initramfs.xz")) {
            Some((_, bytes)) => Initramfs::read(bytes),
            None => Initramfs::read(&self.uki().initrd.unwrap().read(1 << 30).unwrap()),
        }
    }
}

/// A blob of a layout.
pub fn blob(layout: &Path, digest: &str) -> Vec<u8> {
    fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap()
}

/// What is in a tar; directories are left out, links have their target as bytes.
pub fn untar(tar: impl std::io::Read) -> Files {
    let mut files = Files::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_start_matches("./").to_owned();
        let mut bytes = Vec::new();
        match entry.header().entry_type() {
            tar::EntryType::Directory => continue,
            tar::EntryType::Symlink => {
                bytes.extend(entry.link_name_bytes().unwrap().iter());
            }
            _ => {
                entry.read_to_end(&mut bytes).unwrap();
            }
        }
        files.insert(path, (entry.header().mode().unwrap(), bytes));
    }
    files
}

/// A member of an initramfs.
#[derive(Debug, Clone)]
pub struct Found {
    /// The segment's number.
    pub segment: usize,
    /// Permission bits.
    pub mode: u32,
    /// Whether it is a symlink, whose target is the bytes.
    pub link: bool,
    pub bytes: Vec<u8>,
}

/// An initramfs, taken apart.
pub struct Initramfs {
    pub bytes: Vec<u8>,
    /// Offset, length and codec of each segment.
    pub segments: Vec<(usize, usize, String)>,
    /// Members by their names.
    pub members: BTreeMap<String, Found>,
}

impl Initramfs {
    pub fn read(bytes: &[u8]) -> Self {
        let mut members = BTreeMap::new();
        let segments = walk(&Content::memory(bytes), &mut |member: &Member, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            if let MemberKind::Symlink(target) = &member.kind {
                bytes.clone_from(target);
            }
            let name = String::from_utf8(member.name.clone()).unwrap();
            let link = matches!(member.kind, MemberKind::Symlink(_));
            members.insert(name, Found { segment: member.segment, mode: member.mode, link, bytes });
            Ok::<(), ReadError>(())
        })
        .unwrap();
        let number = |number: u64| usize::try_from(number).unwrap();
        let segments = segments
            .iter()
            .map(|one| (number(one.offset), number(one.len), one.codec.name().to_owned()))
            .collect();
        Self { bytes: bytes.to_vec(), segments, members }
    }

    /// The list of layers.
    pub fn list(&self) -> String {
        String::from_utf8(self.members["extensions.yaml"].bytes.clone()).unwrap()
    }

    /// The names of the extensions in the order of the list.
    pub fn names(&self) -> Vec<String> {
        let list = self.list();
        list.lines().filter_map(|line| line.trim().strip_prefix("name: ")).map(str::to_owned).collect()
    }

    /// The images in the order of the list.
    pub fn images(&self) -> Vec<String> {
        let list = self.list();
        list.lines().filter_map(|line| line.trim().strip_prefix("- image: ")).map(str::to_owned).collect()
    }

    /// A layer, by its image's name.
    pub fn layer(&self, image: &str) -> Tree {
        let image = Squashfs::open(&Content::memory(self.members[image].bytes.clone())).unwrap();
        let mut keep = |reader: &mut dyn std::io::Read, _: u64| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            Ok(Content::memory(bytes))
        };
        read_tree(&image, "", &Workers::new(1), &mut keep).unwrap()
    }
}

/// The bytes of a file in a tree.
pub fn bytes(tree: &Tree, path: &str) -> Vec<u8> {
    let content = tree.get(path).and_then(Entry::content).unwrap_or_else(|| panic!("no file `{path}`"));
    content.read(1 << 30).unwrap()
}

/// A docker archive with one image of one layer, which is this tar; gives its reference.
pub fn docker_archive(world: &World, name: &str, layer: &[u8], entrypoint: &str, label: &str) -> String {
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": [entrypoint], "Labels": {"alpha.talos.dev/version": label}},
        "rootfs": {"type": "layers", "diff_ids": [talosmith::base::Digest::of(layer).to_string()]},
    });
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [], "Layers": ["layer.tar"]}]);
    let mut archive = tar::Builder::new(Vec::new());
    let parts = [
        ("config.json", config.to_string().into_bytes()),
        ("layer.tar", layer.to_vec()),
        ("manifest.json", manifest.to_string().into_bytes()),
    ];
    for (member, bytes) in parts {
        append(&mut archive, member, 0o644, &bytes);
    }
    world.write(&format!("{name}.tar"), archive.into_inner().unwrap());
    format!("docker-archive:{name}.tar")
}

/// Adds a file to a tar.
pub fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_cksum();
    archive.append_data(&mut header, path, bytes).unwrap();
}

/// Everything below a folder, drafts too.
pub fn below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).into_iter().flatten() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Drafts and folders of the moment below a folder: there must be none when a run has ended.
pub fn half_made(folder: &Path) -> Vec<String> {
    let is_draft = |path: &String| path.contains(".talosmith-") || path.contains("drafts/");
    below(folder).into_iter().filter(is_draft).collect()
}
