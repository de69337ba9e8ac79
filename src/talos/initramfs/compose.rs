//! The initramfs of an installer, planned: microcode as a plain archive filled up to 512 bytes, the
//! base's bytes untouched, one frame with the layers and `extensions.yaml`, one frame with firmware.
//!
//! Layers are compressed already, so their frame holds them as they are, and nothing of them is copied.
//! Firmware is compressed by [`firmware_segment`], which is a step of its own. Since Talos 1.8 frames
//! are zstd, before xz with CRC-32.

use std::io::{self, Write};

use super::extensions::{Extensions, FILE, ListedLayer};
use crate::archive::compress::{one_xz_stream, one_zstd_frame, stored_xz, stored_zstd};
use crate::archive::cpio::{Options, WriteError, archive};
use crate::archive::tree::{Entry, Kind, Tree, TreeError};
use crate::base::{Content, Digest, Epoch, Workers};
use crate::talos::manifest::Manifest;
use crate::talos::version::Version;

/// Where Linux looks for microcode (`Documentation/arch/x86/microcode.rst`), before it unpacks anything.
const MICROCODE: &str = "kernel/x86/microcode";
/// What the microcode's segment is filled up to, as Talos' imager does.
const MICROCODE_PADDING: u64 = 512;
/// The level for firmware; the curve stands at [`firmware_segment`].
const FIRMWARE_LEVEL: i32 = 9;

/// An extension's layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The name of its image.
    pub name: String,
    /// The image: squashfs.
    pub image: Content,
    /// The digest of the image.
    pub digest: Digest,
    /// The extension's manifest.
    pub manifest: Manifest,
}

/// The firmware, compressed.
#[derive(Debug, Clone, Copy)]
pub struct Firmware<'a> {
    /// What is in it.
    pub tree: &'a Tree,
    /// What [`firmware_segment`] made of that.
    pub segment: &'a Content,
}

/// What an initramfs is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The base's initramfs.
    pub base: &'a Content,
    /// Its digest, if it is to be checked when the result is read back.
    pub base_digest: Option<Digest>,
    /// The layers from the bottom to the top.
    pub layers: &'a [Layer],
    /// The firmware, where there is any.
    pub firmware: Option<Firmware<'a>>,
    /// Intel's microcode.
    pub intel: &'a [Content],
    /// AMD's.
    pub amd: &'a [Content],
    /// The Talos version.
    pub talos: &'a Version,
    /// The time of the members.
    pub epoch: Epoch,
}

/// A member as it was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMember {
    /// Its path.
    pub path: String,
    /// What it is: `file`, `directory` …
    pub kind: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// Bytes of a file.
    pub size: u64,
    /// The digest of a file, where it is known.
    pub digest: Option<Digest>,
    /// The target of a symlink.
    pub target: Option<String>,
}

/// An initramfs, planned.
#[derive(Debug, Clone)]
pub struct Initramfs {
    /// The whole.
    pub content: Content,
    /// Where the base's bytes begin in it.
    pub base_offset: u64,
    /// How many there are.
    pub base_len: u64,
    /// Their digest, if it was given.
    pub base_digest: Option<Digest>,
    /// The members before them: of the microcode's segment.
    pub before: Vec<PlannedMember>,
    /// The members of each segment behind them.
    pub behind: Vec<Vec<PlannedMember>>,
}

/// An initramfs cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The archive's format has no room for it.
    #[error("the initramfs cannot hold what it should")]
    Archive(#[from] WriteError),
    /// Two layers of one name, or a name that is none.
    #[error("layer `{name}` cannot be taken")]
    Layer {
        /// The layer.
        name: String,
        /// Why.
        source: TreeError,
    },
    /// A layer could not be read for its checksum.
    #[error("cannot read the layers")]
    Read(#[source] io::Error),
    /// Firmware could not be compressed.
    #[error("cannot compress the firmware")]
    Compress(#[source] io::Error),
}

/// Whether frames are zstd.
fn is_zstd(talos: &Version) -> bool {
    talos.since(1, 8)
}

/// Plans an initramfs.
pub fn compose(inputs: &Inputs<'_>) -> Result<Initramfs, ComposeError> {
    let options = |pad_to| Options { epoch: Some(inputs.epoch), pad_to };
    let microcode = microcode(inputs);
    let before = if microcode.is_empty() {
        Content::memory([])
    } else {
        archive(&microcode, &options(MICROCODE_PADDING))?
    };
    let mut parts = vec![before.clone(), inputs.base.clone(), gap(inputs.base)?];
    let mut behind = Vec::new();
    if !inputs.layers.is_empty() {
        let layers = layers(inputs.layers)?;
        let plain = archive(&layers, &options(0))?;
        let frame = if is_zstd(inputs.talos) { Ok(stored_zstd(&plain)) } else { stored_xz(&plain) };
        parts.push(frame.map_err(ComposeError::Read)?);
        let digest =
            |path: &str| inputs.layers.iter().find(|layer| layer.name == path).map(|layer| layer.digest);
        behind.push(planned(&layers, &digest));
    }
    if let Some(firmware) = inputs.firmware.filter(|firmware| !firmware.tree.is_empty()) {
        parts.push(firmware.segment.clone());
        behind.push(planned(firmware.tree, &|_| None));
    }
    Ok(Initramfs {
        content: Content::joined(parts),
        base_offset: before.len(),
        base_len: inputs.base.len(),
        base_digest: inputs.base_digest,
        before: planned(&microcode, &|_| None),
        behind,
    })
}

/// Compresses firmware into `out`, as one segment: fast, because a build waits for it.
///
/// 42 MB of Debian's firmware (amdgpu, i915, mediatek, nvidia), zstd with the jobs and the window of
/// [`one_zstd_frame`] and two threads: seconds of both, megabytes of the result, of memory.
///
/// | level | s | MB | memory |
/// |---|---|---|---|
/// | 1 | 0.1 | 12.0 | 31 |
/// | 3 | 0.25 | 9.58 | 30 |
/// | 6 | 0.7 | 9.25 | 35 |
/// | 7 | 0.85 | 8.97 | 41 |
/// | **9** | 1.1 | 8.63 | 53 |
/// | 10 | 1.0 | 8.63 | 77 |
/// | 12 | 1.8 | 8.63 | 127 |
/// | 15 | 5.0 | 8.63 | 159 |
/// | 18 | 10.4 | 7.43 | 127 |
pub fn firmware_segment(
    tree: &Tree,
    talos: &Version,
    epoch: Epoch,
    workers: &Workers,
    out: &mut dyn Write,
) -> Result<(), ComposeError> {
    let plain = archive(tree, &Options { epoch: Some(epoch), pad_to: 0 })?;
    let compress = || {
        let mut reader = plain.open()?;
        if is_zstd(talos) {
            one_zstd_frame(&mut reader, FIRMWARE_LEVEL, workers, out)
        } else {
            one_xz_stream(&mut reader, out)
        }
    };
    compress().map(drop).map_err(ComposeError::Compress)
}

/// NUL bytes between the base and what follows: behind a plain archive, Linux takes nothing that does not
/// begin at a multiple of four bytes. Behind a compressed one there are none, as upstream has it.
fn gap(base: &Content) -> Result<Content, ComposeError> {
    let first = base.slice(0, base.len().min(1)).unwrap_or_else(|| Content::memory([]));
    let plain = first.read(1).map_err(ComposeError::Read)? == b"0";
    let missing = if plain { base.len().wrapping_neg() % 4 } else { 0 };
    Ok(Content::memory(vec![0; missing as usize])) // below four
}

/// The tree of the microcode's segment; empty if there is none.
fn microcode(inputs: &Inputs<'_>) -> Tree {
    let mut tree = Tree::new();
    for (name, files) in [("AuthenticAMD.bin", inputs.amd), ("GenuineIntel.bin", inputs.intel)] {
        if !files.is_empty() {
            let entry = Entry::file(0o644, Content::joined(files.iter().cloned()));
            // Two names that are good and free.
            let _ = tree.insert(&format!("{MICROCODE}/{name}"), entry);
        }
    }
    tree
}

/// The tree of the layers' segment.
fn layers(layers: &[Layer]) -> Result<Tree, ComposeError> {
    let mut tree = Tree::new();
    let mut list = Extensions::default();
    for layer in layers {
        let failed = |source| ComposeError::Layer { name: layer.name.clone(), source };
        tree.insert(&layer.name, Entry::file(0o644, layer.image.clone())).map_err(failed)?;
        list.layers.push(ListedLayer { image: layer.name.clone(), manifest: layer.manifest.clone() });
    }
    let list = Entry::file(0o644, Content::memory(list.to_yaml().into_bytes()));
    tree.insert(FILE, list).map_err(|source| ComposeError::Layer { name: FILE.to_owned(), source })?;
    Ok(tree)
}

fn planned(tree: &Tree, digest: &dyn Fn(&str) -> Option<Digest>) -> Vec<PlannedMember> {
    let member = |(path, entry): (&str, &Entry)| {
        let file = match &entry.kind {
            Kind::HardLink(target) => tree.get(target).unwrap_or(entry),
            _ => entry,
        };
        let target = match &entry.kind {
            Kind::Symlink(target) => Some(target.clone()),
            _ => None,
        };
        PlannedMember {
            path: path.to_owned(),
            kind: file.kind.name(),
            mode: entry.mode,
            size: file.content().map_or(0, Content::len),
            // Of what is in memory it costs nothing.
            digest: digest(path).or_else(|| match &entry.kind {
                Kind::File(Content::Memory(bytes)) => Some(Digest::of(bytes)),
                _ => None,
            }),
            target,
        }
    };
    tree.iter().map(member).collect()
}
