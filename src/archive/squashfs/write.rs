//! A tree as an image: data, then inodes and directories, then the small tables, the superblock last.
//!
//! The bytes are a function of tree and options: not of threads, of the cache, of the order of a
//! disk's directories.

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use super::super::tree::Tree;
use super::blocks;
use super::codec::Scheme;
use super::error::WriteError;
use super::format::{METADATA_STORED, NO_TABLE, SUPERBLOCK, Superblock, flag};
use super::kept::Kept;
use super::metadata::{compressor, indexed};
use super::nodes::Nodes;
use super::options::{Codec, Options};
use super::plan::Plan;
use crate::base::{BlockCache, Workers};

/// Images end at a multiple of this, as mksquashfs makes them: a loop device cannot show less.
const PADDING: u64 = 4096;
/// The level that readers assume where an image names none.
const ASSUMED_LEVEL: i32 = 15;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the image, padding included.
    pub size: u64,
    /// Inodes in it.
    pub inodes: u32,
    /// Files that are stored once more than they stand in the tree.
    pub duplicates: u32,
    /// Blocks that were compressed; all others were known.
    pub compressed: u64,
}

/// Who helps the writer.
pub struct Help<'a> {
    /// The threads that compress.
    pub workers: &'a Workers,
    /// Blocks from earlier runs.
    pub cache: Option<Arc<dyn BlockCache>>,
    /// Is told how many bytes of contents were done.
    pub progress: &'a dyn Fn(u64),
}

/// Writes `tree` as an image into `out`, which is empty.
pub fn write_tree<W: Write + Seek>(
    tree: &Tree,
    options: &Options,
    help: &Help<'_>,
    out: &mut W,
) -> Result<Summary, WriteError> {
    write_image(tree, options, None, help, out)
}

/// The same, with files whose blocks are `kept` of another image with the same codec and block size.
pub(super) fn write_image<W: Write + Seek>(
    tree: &Tree,
    options: &Options,
    kept: Option<&Kept>,
    help: &Help<'_>,
    out: &mut W,
) -> Result<Summary, WriteError> {
    options.check()?;
    let codec_options = kept.map_or_else(|| codec_options(options), |kept| kept.codec_options().to_vec());
    let scheme = Scheme::new(options).with_codec_options(&codec_options);
    let mut plan = Plan::of(tree, options.block_size, kept, help.workers)?;
    let mut front = vec![0; SUPERBLOCK];
    front.extend_from_slice(&codec_options);
    out.write_all(&front).map_err(WriteError::output)?;
    let start = front.len() as u64;
    let data = blocks::write(&mut plan, scheme, help, out, start)?;
    let duplicates = plan.files.iter().enumerate().filter(|(number, file)| file.same_as != *number).count();
    let mut block = Superblock {
        block_size: options.block_size,
        codec: options.codec.id(),
        fragments: plan.fragments,
        flags: flags(options, plan.fragments, !codec_options.is_empty()),
        ..Superblock::default()
    };
    let mut compressors = (compressor(scheme)?, compressor(scheme)?, compressor(scheme)?);
    let nodes =
        Nodes::of(tree, options, &plan, &data, (&mut compressors.0, &mut compressors.1, &mut compressors.2))?;
    let made = nodes.make()?;
    (block.inodes, block.root) = (made.count, made.root);
    block.mtime = kept.map_or(made.mtime, Kept::mtime);
    block.ids = u16::try_from(made.ids.len() / 4)
        .map_err(|_| WriteError::Limit("it has more than 65535 owners and groups"))?;
    let mut tail = Tail { bytes: Vec::new(), start: data.end };
    block.inode_table = tail.append(&made.inodes);
    block.directory_table = tail.append(&made.directories);
    let mut small = compressor(scheme)?;
    let mut table = |tail: &mut Tail, bytes: &[u8]| -> Result<u64, WriteError> {
        let (bytes, pointers) = indexed(bytes, tail.at(), &mut small)?;
        tail.append(&bytes);
        Ok(pointers)
    };
    block.fragment_table = table(&mut tail, &fragment_rows(&data.fragments))?;
    block.flags |= kept.map_or(0, Kept::policy);
    block.export_table = match kept {
        Some(kept) if !kept.is_exportable() => NO_TABLE,
        _ => table(&mut tail, &made.exports)?,
    };
    if block.export_table == NO_TABLE {
        block.flags &= !flag::EXPORTABLE;
    }
    block.id_table = table(&mut tail, &made.ids)?;
    let (bytes, xattr_table) = made.xattrs.table(tail.at(), &mut small)?;
    tail.append(&bytes);
    block.xattr_table = xattr_table;
    if xattr_table == NO_TABLE {
        block.flags |= flag::NO_XATTRS;
    }
    block.bytes_used = tail.at();
    let size = block.bytes_used.next_multiple_of(PADDING);
    tail.bytes.resize(tail.bytes.len() + (size - block.bytes_used) as usize, 0); // below 4096
    let end = |out: &mut W| {
        out.write_all(&tail.bytes)?;
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&block.encode())?;
        out.flush()
    };
    end(out).map_err(WriteError::output)?;
    Ok(Summary { size, inodes: block.inodes, duplicates: duplicates as u32, compressed: data.compressed })
}

/// What comes behind the data.
struct Tail {
    bytes: Vec<u8>,
    start: u64,
}

impl Tail {
    fn at(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Appends a table; gives where it begins.
    fn append(&mut self, bytes: &[u8]) -> u64 {
        let at = self.at();
        self.bytes.extend_from_slice(bytes);
        at
    }
}

fn flags(options: &Options, fragments: u32, codec_options: bool) -> u16 {
    // mksquashfs sets `DUPLICATES` whenever it looks for them; readers ignore it.
    let mut flags = flag::EXPORTABLE | flag::DUPLICATES;
    if options.codec == Codec::None {
        flags |= flag::STORED_INODES
            | flag::STORED_DATA
            | flag::STORED_FRAGMENTS
            | flag::STORED_XATTRS
            | flag::STORED_IDS;
    }
    if fragments == 0 {
        flags |= flag::NO_FRAGMENTS;
    }
    if codec_options {
        flags |= flag::CODEC_OPTIONS;
    }
    flags
}

/// The codec's options, which stand behind the superblock as a stored metadata block; none where
/// readers assume the right ones. Parameters set one by one have no place in the format.
fn codec_options(options: &Options) -> Vec<u8> {
    match options.level {
        Some(level) if options.codec == Codec::Zstd && level != ASSUMED_LEVEL => {
            let mut bytes = (4 | METADATA_STORED).to_le_bytes().to_vec();
            bytes.extend_from_slice(&level.to_le_bytes());
            bytes
        }
        _ => Vec::new(),
    }
}

fn fragment_rows(fragments: &[(u64, u32)]) -> Vec<u8> {
    let mut rows = Vec::with_capacity(fragments.len() * 16);
    for (start, size) in fragments {
        rows.extend_from_slice(&start.to_le_bytes());
        rows.extend_from_slice(&size.to_le_bytes());
        rows.extend_from_slice(&0u32.to_le_bytes());
    }
    rows
}
