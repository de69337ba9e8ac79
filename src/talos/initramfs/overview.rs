//! What is in an initramfs: its segments, the base's `rootfs.sqsh` and `init`, the layers of extensions
//! with their list, microcode and firmware. One pass, whatever its size.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::super::extension::FIRMWARE;
use super::extensions::{Extensions, FILE};
use crate::archive::compress::Codec;
use crate::archive::cpio::{Member, MemberKind, Place, ReadError, Segment, walk};
use crate::archive::squashfs;
use crate::archive::tree::is_below;
use crate::base::Content;
use crate::base::yaml::{SIZE_MAX, YamlError};

/// The base's root file system.
pub const ROOTFS: &str = "rootfs.sqsh";
/// What the kernel starts.
pub const INIT: &str = "init";
/// What layers' names end in.
const SQUASHFS: &str = ".sqsh";

/// Keeps the bytes of a file: its path, its bytes, their number. `None` if nobody wants them. It is asked
/// for images (`rootfs.sqsh` and layers) of compressed segments only; those of plain ones are where they
/// are.
pub type Keep<'a> = &'a mut dyn FnMut(&str, &mut dyn Read, u64) -> io::Result<Option<Content>>;

/// A file of an initramfs.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its path.
    pub path: String,
    /// Where its header is.
    pub place: Place,
    /// Its bytes.
    pub size: u64,
    /// These, where they are or were kept.
    pub content: Option<Content>,
    /// The compressor of a squashfs image: `zstd`, `xz` … `None` for what is no such image.
    pub compressor: Option<&'static str>,
}

/// What is in an initramfs.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// Its segments.
    pub segments: Vec<Segment>,
    /// The base's root file system.
    pub rootfs: Option<Found>,
    /// What the kernel starts.
    pub init: Option<Found>,
    /// The images at the root, but for the base's, by their names.
    pub layers: BTreeMap<String, Found>,
    /// The list of the layers.
    pub extensions: Option<Extensions>,
    /// Files and links below the folder of firmware, with their sizes.
    pub firmware: BTreeMap<String, u64>,
    /// Files of microcode, with their sizes.
    pub microcode: BTreeMap<String, u64>,
}

/// An initramfs cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum OverviewError {
    /// Its archives.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its list of layers.
    #[error("cannot read `{FILE}`")]
    Extensions(#[source] YamlError),
}

impl Overview {
    /// Reads an initramfs.
    pub fn read(initramfs: &Content, keep: Keep<'_>) -> Result<Self, OverviewError> {
        let mut overview = Self::default();
        let segments = walk(initramfs, &mut |member: &Member, reader: &mut dyn Read| {
            overview.member(member, reader, keep)
        })?;
        overview.segments = segments;
        Ok(overview)
    }

    fn member(
        &mut self,
        member: &Member,
        reader: &mut dyn Read,
        keep: Keep<'_>,
    ) -> Result<(), OverviewError> {
        // A name that is no text is none that is looked for.
        let Ok(path) = std::str::from_utf8(&member.name) else { return Ok(()) };
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if FIRMWARE.iter().any(|folder| is_below(path, folder)) {
            if member.kind != MemberKind::Directory {
                self.firmware.insert(path.to_owned(), member.size);
            }
            return Ok(());
        }
        if member.kind != MemberKind::File {
            return Ok(());
        }
        if is_below(path, "kernel/x86/microcode") {
            self.microcode.insert(path.to_owned(), member.size);
        } else if path == FILE {
            let bytes = bytes(member, reader)?;
            self.extensions = Some(Extensions::parse(&bytes).map_err(OverviewError::Extensions)?);
        } else if path == INIT {
            let (place, size, content) = (member.place, member.size, member.content.clone());
            self.init = Some(Found { path: path.to_owned(), place, size, content, compressor: None });
        } else if path.ends_with(SQUASHFS) && !path.contains('/') {
            let found = image(path, member, reader, keep)?;
            if path == ROOTFS {
                self.rootfs = Some(found);
            } else {
                self.layers.insert(path.to_owned(), found);
            }
        }
        Ok(())
    }

    /// The codecs of its segments, for which a kernel must have a decompressor.
    pub fn codecs(&self) -> BTreeSet<Codec> {
        self.segments.iter().map(|segment| segment.codec).filter(|codec| *codec != Codec::Plain).collect()
    }

    /// Layers that are listed and not there: Talos' init would stop.
    pub fn missing_layers(&self) -> Vec<&str> {
        let listed = self.extensions.iter().flat_map(|list| &list.layers).map(|layer| layer.image.as_str());
        listed.filter(|image| !self.layers.contains_key(*image)).collect()
    }

    /// Layers that are there and not listed: they would not be mounted.
    pub fn unlisted_layers(&self) -> Vec<&str> {
        let listed: BTreeSet<&str> =
            self.extensions.iter().flat_map(|list| &list.layers).map(|layer| layer.image.as_str()).collect();
        self.layers.keys().map(String::as_str).filter(|image| !listed.contains(image)).collect()
    }
}

/// The list's bytes; one more than are parsed of a longer one.
fn bytes(member: &Member, reader: &mut dyn Read) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    reader.take(SIZE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|source| kept(member, source))?;
    Ok(bytes)
}

fn kept(member: &Member, source: io::Error) -> ReadError {
    ReadError::Content { member: member.printable(), place: member.place, source }
}

fn image(path: &str, member: &Member, reader: &mut dyn Read, keep: Keep<'_>) -> Result<Found, ReadError> {
    let mut start = Vec::new();
    reader.take(squashfs::SUPERBLOCK_LEN).read_to_end(&mut start).map_err(|source| kept(member, source))?;
    let compressor = squashfs::compressor_of(&start);
    let content = match &member.content {
        Some(content) => Some(content.clone()),
        None => keep(path, &mut start.as_slice().chain(reader), member.size)
            .map_err(|source| kept(member, source))?,
    };
    if let Some(content) = content.as_ref().filter(|content| content.len() != member.size) {
        let why = format!("{} of {} bytes were kept", content.len(), member.size);
        return Err(kept(member, io::Error::other(why)));
    }
    Ok(Found { path: path.to_owned(), place: member.place, size: member.size, content, compressor })
}
