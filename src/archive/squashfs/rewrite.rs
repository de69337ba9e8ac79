//! An image with one subtree exchanged: everything else stays as it is, and so do its blocks, which
//! are copied and not compressed again.
//!
//! Of a fragment block that holds ends of files that go, those that stay are packed anew. Inodes are
//! numbered anew; everything that `lstat` and `listxattr` show of an entry that stays, but that number,
//! is as before. Codec, its options, block size, time and the table for NFS are those of the old image.

use std::collections::HashSet;
use std::io::{Seek, Write};

use super::super::tree::{Tree, is_below};
use super::error::WriteError;
use super::format::{SUPERBLOCK, flag};
use super::kept::Kept;
use super::options::{Codec, Options};
use super::read::{Image, Node, ReadError, link};
use super::write::{Help, Summary, write_image};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// The new image.
    pub image: Summary,
    /// Bytes of blocks that were copied.
    pub copied: u64,
    /// Files whose end was in a fragment block that was taken apart.
    pub repacked: usize,
}

/// Writes `image` with what `tree` has at and below `subtree`, a directory in both, in place of what
/// was there, into `out`, which is empty. Nothing of `tree` lies elsewhere, but the directories above,
/// which stay as they are in the image.
pub fn exchange<W: Write + Seek>(
    image: &Image,
    subtree: &str,
    tree: &Tree,
    help: &Help<'_>,
    out: &mut W,
) -> Result<Rewritten, WriteError> {
    let all = image.names_of_all("").map_err(WriteError::kept)?;
    check(&all, subtree, tree)?;
    let (mut stays, goes): (Vec<Node>, Vec<Node>) =
        all.into_iter().partition(|node| !is_below(&node.path, subtree));
    // A file with a name outside of the subtree stays.
    let kept: HashSet<u64> = stays.iter().map(|node| node.reference).collect();
    let goes = goes.iter().filter(|node| !kept.contains(&node.reference));
    let gone: HashSet<u32> = goes.filter_map(|node| image.tail(node)).map(|tail| tail.fragment).collect();
    link(&mut stays, |node| !node.entry.is_directory());
    let kept = Kept::of(image, &stays, &gone, SUPERBLOCK as u64).map_err(WriteError::kept)?;
    let whole = combine(&stays, subtree, tree)?;
    let info = image.info();
    let stored = image.has_flag(flag::STORED_DATA);
    let options = Options {
        codec: if stored { Codec::None } else { info.codec },
        level: None,
        block_size: info.block_size,
        epoch: None,
        root: image.root().map_err(WriteError::kept)?,
    };
    let repacked = stays.iter().filter_map(|node| kept.tail(&node.path));
    let repacked = repacked.filter(|tail| gone.contains(&tail.fragment)).count();
    let copied = kept.len();
    let summary = write_image(&whole, &options, Some(&kept), help, out)?;
    Ok(Rewritten { image: summary, copied, repacked })
}

/// What must hold of the subtree.
fn check(all: &[Node], subtree: &str, tree: &Tree) -> Result<(), WriteError> {
    let refused = |path: &str, why| Err(WriteError::Exchange { path: path.to_owned(), why });
    let there = all.iter().find(|node| node.path == subtree);
    if !there.is_some_and(|node| node.entry.is_directory()) {
        return refused(subtree, "it is no directory of the image");
    }
    if !tree.get(subtree).is_some_and(|entry| entry.is_directory()) {
        return refused(subtree, "it is no directory of what is to be there");
    }
    let outside = tree
        .iter()
        .find(|(path, entry)| !(is_below(path, subtree) || entry.is_directory() && is_below(subtree, path)));
    if let Some((path, _)) = outside {
        return refused(path, "it lies outside of the subtree that is exchanged");
    }
    // A tree shows them as fifos: see `Image::list`.
    let socket = all.iter().find(|node| node.socket && !is_below(&node.path, subtree));
    match socket {
        Some(node) => refused(&node.path, "it is a socket, which is not written"),
        None => Ok(()),
    }
}

/// What stays, and the new subtree.
fn combine(stays: &[Node], subtree: &str, tree: &Tree) -> Result<Tree, WriteError> {
    let mut whole = Tree::new();
    let mut insert = |path: &str, entry| {
        let wrong = |error: super::super::tree::TreeError| {
            WriteError::kept(ReadError::Entry { path: path.to_owned(), why: error.to_string() })
        };
        whole.insert(path, entry).map_err(wrong)
    };
    // In path order, so parents come first and are not made.
    for node in stays {
        insert(&node.path, node.entry.clone())?;
    }
    for (path, entry) in tree.below(subtree) {
        insert(path, entry.clone())?;
    }
    Ok(whole)
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
