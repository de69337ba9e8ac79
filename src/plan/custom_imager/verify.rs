//! What was written, read back: the kernel passes over damage in silence, so that a module can be absent
//! without a word.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::super::error::Error;
use super::super::run::Context;
use crate::archive::bounded::{Bounded, Bounds, Counted};
use crate::archive::compress::{Codec, decoder};
use crate::archive::cpio::{self, Member};
use crate::archive::squashfs::{Image, Node, ReadError};
use crate::archive::tar::{self, Contents};
use crate::archive::tree::{is_below, join};
use crate::archive::{Entry, Kind, Tree};
use crate::base::fsio::{At as _, FileError};
use crate::base::{Content, Digest, Hasher, chain};
use crate::image::Descriptor;
use crate::talos::custom_imager::initramfs::{ROOTFS, is_rootfs};

fn wrong(what: &str, why: impl std::fmt::Display) -> Error {
    Error::Internal(format!("{what} does not read back as it was meant: {why}"))
}

/// Compares a rewritten image with the one that it was made of, and its subtree `folder` with `tree`.
pub(super) fn rootfs(
    context: &Context,
    old: &Image,
    new: &Content,
    folder: &str,
    tree: &Tree,
) -> Result<(), Error> {
    let wrong = |why: &dyn std::fmt::Display| wrong("the root file system", why);
    let read = |error: ReadError| wrong(&chain(&error));
    let new = Image::open(new).map_err(read)?;
    let nodes = new.list("").map_err(read)?;
    let shown = |nodes: &[Node], inside: bool| -> Vec<String> {
        nodes.iter().filter(|node| is_below(&node.path, folder) == inside).map(show).collect()
    };
    let was = old.list("").map_err(read)?;
    if let Some(line) = difference(&shown(&was, false), &shown(&nodes, false)) {
        return Err(wrong(&line));
    }
    let meant: Vec<String> = tree.below(folder).map(|(path, entry)| show_entry(path, entry)).collect();
    let found = nodes.iter().filter(|node| is_below(&node.path, folder));
    let found: Vec<String> = found.map(|node| show_entry(&node.path, &node.entry)).collect();
    if let Some(line) = difference(&meant, &found) {
        return Err(wrong(&line));
    }
    // Every block is decompressed; what is new is compared too.
    new.walk::<Stopped>(&nodes, &context.workers, &mut |node, reader| {
        let mut hasher = Hasher::default();
        let content = tree.get(&node.path).and_then(Entry::content);
        match content.filter(|_| is_below(&node.path, folder)) {
            None => io::copy(reader, &mut io::sink()).map(drop).at("read", &node.path)?,
            Some(content) => {
                io::copy(reader, &mut hasher).at("read", &node.path)?;
                if hasher.finish() != content.digest().at("read", &node.path)? {
                    return Err(Stopped::Error(wrong(&format!("`{}` has other bytes", node.path))));
                }
            }
        }
        Ok(())
    })
    .map_err(|stopped| match stopped {
        Stopped::Read(error) => read(error),
        Stopped::Error(error) => error,
    })
}

enum Stopped {
    Read(ReadError),
    Error(Error),
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<FileError> for Stopped {
    fn from(error: FileError) -> Self {
        Self::Error(error.into())
    }
}

fn show(node: &Node) -> String {
    format!("{} links {}", show_entry(&node.path, &node.entry), node.links)
}

fn show_entry(path: &str, entry: &Entry) -> String {
    let Entry { mode, uid, gid, mtime, xattrs, kind } = entry;
    let kind = match kind {
        Kind::File(content) => format!("file of {} bytes", content.len()),
        kind => format!("{kind:?}"),
    };
    format!("{path}: {kind} {mode:o} {uid}:{gid} {mtime} {xattrs:?}")
}

/// The first line that only one of two lists has.
fn difference(meant: &[String], found: &[String]) -> Option<String> {
    let first = meant.iter().zip(found).find(|(meant, found)| meant != found);
    match first {
        Some((meant, found)) => Some(format!("`{found}` in place of `{meant}`")),
        None if meant.len() == found.len() => None,
        None => Some(format!("{} entries in place of {}", found.len(), meant.len())),
    }
}

/// Compares an initramfs with the stock one's archive: all members are there, and the root file system is
/// the one that was meant.
pub(super) fn initramfs(stock: &Content, made: &Content, codec: Codec, rootfs: &Digest) -> Result<(), Error> {
    let wrong = |why: &dyn std::fmt::Display| wrong("the initramfs", why);
    let read = |content: &Content, hashed: bool| {
        Seen::of(content, hashed).map_err(|error| match error {
            Walked::Read(error) => wrong(&chain(&error)),
            Walked::Io(error) => wrong(&error),
        })
    };
    let (meant, seen) = (read(stock, false)?, read(made, true)?);
    if seen.codecs != [codec] {
        return Err(wrong(&format!("{:?} in place of one stream in {codec}", seen.codecs)));
    }
    if let Some(line) = difference(&meant.members, &seen.members) {
        return Err(wrong(&line));
    }
    if seen.rootfs != Some(*rootfs) {
        return Err(wrong(&format!("`{ROOTFS}` has other bytes")));
    }
    Ok(())
}

/// What is in an initramfs.
struct Seen {
    /// All members, without the size of the root file system.
    members: Vec<String>,
    /// The digest of the root file system, if that was asked for.
    rootfs: Option<Digest>,
    /// The codecs of the segments.
    codecs: Vec<Codec>,
}

impl Seen {
    fn of(content: &Content, hashed: bool) -> Result<Self, Walked> {
        let mut seen = Self { members: Vec::new(), rootfs: None, codecs: Vec::new() };
        let segments = cpio::walk::<Walked>(content, &mut |member, reader| {
            let is_rootfs = is_rootfs(member);
            seen.members.push(show_member(member, is_rootfs));
            if is_rootfs && hashed {
                let mut hasher = Hasher::default();
                io::copy(reader, &mut hasher).map_err(Walked::Io)?;
                seen.rootfs = Some(hasher.finish());
            }
            Ok(())
        })?;
        seen.codecs.extend(segments.iter().map(|segment| segment.codec));
        Ok(seen)
    }
}

enum Walked {
    Read(cpio::ReadError),
    Io(io::Error),
}

impl From<cpio::ReadError> for Walked {
    fn from(error: cpio::ReadError) -> Self {
        Self::Read(error)
    }
}

fn show_member(member: &Member, is_rootfs: bool) -> String {
    let Member { kind, mode, uid, gid, mtime, nlink, size, .. } = member;
    let size = if is_rootfs { 0 } else { *size };
    format!("{}: {kind:?} {mode:o} {uid}:{gid} {mtime} {nlink} {size}", member.printable())
}

/// Reads a layer back and compares every file in it.
pub(super) fn layer(context: &Context, layer: &Descriptor, files: &[(String, Entry)]) -> Result<(), Error> {
    let wrong = |why: &dyn std::fmt::Display| wrong("the layer", why);
    let compressed = Counted::new(context.blob(layer)?.open().at("read", layer.digest.to_string())?);
    let taken = compressed.counter();
    let plain = decoder(compressed).map_err(|error| wrong(&error))?;
    let mut reader = tar::Reader::new(Bounded::new(plain, taken, Bounds::default()));
    // In the order of the members; a file's content is its number until the tree is there.
    let mut digests = Vec::new();
    let mut sink = |reader: &mut dyn Read, size: u64| -> io::Result<Content> {
        let mut hasher = Hasher::default();
        io::copy(reader, &mut hasher)?;
        digests.push(hasher.finish());
        Ok(Content::range("", digests.len() as u64 - 1, size))
    };
    let read = tar::read_tree(&mut reader, &|_| true, &mut Contents::streamed(&mut sink));
    let tree = read.map_err(|error| wrong(&chain(&error)))?.tree;
    let found: BTreeMap<String, (u64, Digest)> = tree
        .iter()
        .filter_map(|(path, entry)| match entry.content()? {
            Content::Range { offset, len, .. } => {
                let digest = usize::try_from(*offset).ok().and_then(|number| digests.get(number))?;
                Some((path.to_owned(), (*len, *digest)))
            }
            content => Some((path.to_owned(), (content.len(), Digest::of(&content.read(0).ok()?)))),
        })
        .collect();
    for (path, entry) in files {
        let Some(content) = entry.content() else { continue };
        let meant = (content.len(), content.digest().at("read", path)?);
        if found.get(&join(path, "")) != Some(&meant) {
            return Err(wrong(&format!("`{path}` has other bytes")));
        }
    }
    Ok(())
}
