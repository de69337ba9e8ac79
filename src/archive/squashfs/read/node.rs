//! Inodes of an untrusted image.

use super::super::format::{Fields, METADATA, NONE, Superblock, TARGET_MAX, decode_device, inode as kind};
use super::error::ReadError;
use super::metadata::{Cursor, Tables};
use crate::archive::tar::read::MAX_TOTAL;
use crate::archive::tree::Entry;

/// One entry of an image.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its normal path.
    pub path: String,
    /// What it is. A regular file's content has the right length and no bytes: these are given while
    /// the image is walked.
    pub entry: Entry,
    /// Its link count.
    pub links: u32,
    /// Its inode's number.
    pub inode: u32,
    /// Where the inode is: the same for all names of one file.
    pub(in super::super) reference: u64,
    /// A regular file's blocks; not of its further names.
    pub(super) file: Option<FileBlocks>,
    /// A socket, which a tree shows as a fifo.
    pub(in super::super) socket: bool,
}

impl Node {
    /// Bytes of a regular file.
    pub fn size(&self) -> Option<u64> {
        self.entry.content().map(crate::base::Content::len)
    }
}

/// Where a file's bytes are.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileBlocks {
    pub(super) start: u64,
    pub(super) size: u64,
    /// Bytes of zeros that are not stored, as the inode says.
    pub(super) sparse: u64,
    /// Whole blocks, the short one at the end included.
    pub(super) blocks: u64,
    /// Fragment and place in it.
    pub(super) fragment: Option<(u32, u32)>,
    /// Where the sizes of the blocks stand.
    pub(super) sizes: Cursor,
}

/// An inode as it stands in its table.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    /// Basic type.
    pub(super) kind: u16,
    extended: bool,
    pub(super) mode: u16,
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) mtime: u32,
    pub(super) number: u32,
    pub(super) links: u32,
    pub(super) xattrs: u32,
    body: Vec<u8>,
    /// Behind the body.
    rest: Cursor,
}

impl Raw {
    pub(super) fn read(tables: &Tables, block: &Superblock, reference: u64) -> Result<Self, ReadError> {
        let mut rest = Cursor {
            block: block.inode_table.saturating_add(reference >> 16),
            offset: (reference & 0xffff) as usize,
            end: block.directory_table,
        };
        let head = tables.take(&mut rest, 16)?;
        let mut fields = Fields(&head);
        let mut half = || fields.u16().unwrap_or(0); // sixteen bytes
        let (stored, mode, uid, gid) = (half(), half(), half(), half());
        let (mtime, number) = (fields.u32().unwrap_or(0), fields.u32().unwrap_or(0));
        let extended = stored > kind::EXTENDED;
        let basic = if extended { stored - kind::EXTENDED } else { stored };
        let size = match (basic, extended) {
            (kind::DIRECTORY, false) | (kind::FILE, false) => 16,
            (kind::DIRECTORY, true) => 24,
            (kind::FILE, true) => 40,
            (kind::SYMLINK, _) | (kind::CHAR_DEVICE | kind::BLOCK_DEVICE, false) => 8,
            (kind::CHAR_DEVICE | kind::BLOCK_DEVICE, true) => 12,
            (kind::FIFO | kind::SOCKET, false) => 4,
            (kind::FIFO | kind::SOCKET, true) => 8,
            _ => return Err(ReadError::damaged(format!("an inode has the type {stored}"))),
        };
        let body = tables.take(&mut rest, size)?;
        let mut raw =
            Self { kind: basic, extended, mode, uid, gid, mtime, number, links: 1, xattrs: NONE, body, rest };
        let links_at = match (basic, extended) {
            (kind::DIRECTORY, false) => 4,
            (kind::FILE, true) => 24,
            _ => 0,
        };
        raw.links = if (basic, extended) == (kind::FILE, false) { 1 } else { raw.word(links_at) };
        raw.xattrs = match (basic, extended) {
            (_, false) | (kind::SYMLINK, true) => NONE,
            _ => raw.word(size - 4),
        };
        if (basic, extended) == (kind::SYMLINK, true) {
            let mut behind = raw.rest;
            tables.take(&mut behind, raw.target_len()?)?;
            raw.xattrs = Fields(&tables.take(&mut behind, 4)?).u32().unwrap_or(NONE);
        }
        Ok(raw)
    }

    /// A word of the body, whose length its type gave.
    fn word(&self, at: usize) -> u32 {
        self.body.get(at..).and_then(|bytes| Fields(bytes).u32()).unwrap_or(0)
    }

    fn half(&self, at: usize) -> u16 {
        self.body.get(at..).and_then(|bytes| Fields(bytes).u16()).unwrap_or(0)
    }

    fn long(&self, at: usize) -> u64 {
        self.body.get(at..).and_then(|bytes| Fields(bytes).u64()).unwrap_or(0)
    }

    /// A directory's listing: block, offset, size.
    pub(super) fn listing(&self) -> (u64, usize, u32) {
        if self.extended {
            (u64::from(self.word(8)), usize::from(self.half(18)), self.word(4))
        } else {
            (u64::from(self.word(0)), usize::from(self.half(10)), u32::from(self.half(8)))
        }
    }

    /// Major and minor number.
    pub(super) fn device(&self) -> (u32, u32) {
        decode_device(self.word(4))
    }

    fn target_len(&self) -> Result<usize, ReadError> {
        let len = self.word(4) as usize;
        if len == 0 || len > TARGET_MAX + 1 {
            return Err(ReadError::damaged("a symlink's target has a wrong length"));
        }
        Ok(len)
    }

    pub(super) fn target(&self, tables: &Tables, path: &str) -> Result<String, ReadError> {
        let mut rest = self.rest;
        let target = tables.take(&mut rest, self.target_len()?)?;
        String::from_utf8(target).ok().filter(|target| !target.contains('\0')).ok_or_else(|| {
            ReadError::entry(path, "is a symlink whose target is no UTF-8, or contains a NUL byte")
        })
    }

    pub(super) fn file(&self, block_size: u32, block: &Superblock) -> Result<FileBlocks, ReadError> {
        let (start, size, sparse, fragment, offset) = if self.extended {
            (self.long(0), self.long(8), self.long(16), self.word(28), self.word(32))
        } else {
            (u64::from(self.word(0)), u64::from(self.word(12)), 0, self.word(4), self.word(8))
        };
        let fragment = (fragment != NONE).then_some((fragment, offset));
        let block_size = u64::from(block_size);
        let blocks = if fragment.is_some() { size / block_size } else { size.div_ceil(block_size) };
        // The sizes of the blocks stand in the inode table, which has so many bytes at the most.
        if size > MAX_TOTAL || blocks.saturating_mul(4) > block.inode_bytes() {
            return Err(ReadError::damaged("a file is longer than it can be"));
        }
        debug_assert!(self.rest.offset <= METADATA);
        Ok(FileBlocks { start, size, sparse, blocks, fragment, sizes: self.rest })
    }
}
