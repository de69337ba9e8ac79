//! The blocks of an image as they are stored, for who copies them.

use super::super::format::{CODEC_OPTIONS_MAX, DATA_STORED, Fields, METADATA_STORED, SUPERBLOCK, flag};
use super::contents::unpack;
use super::error::ReadError;
use super::image::Image;
use super::node::Node;

/// Where a file is stored.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct StoredFile {
    /// Of the first block, from the image's beginning.
    pub(in super::super) start: u64,
    /// Sizes of the blocks, as they stand in the inode.
    pub(in super::super) sizes: Vec<u32>,
    /// Bytes of zeros that are not stored, as the inode says.
    pub(in super::super) holes: u64,
    /// What is in a fragment block.
    pub(in super::super) tail: Option<Tail>,
}

/// Where the end of a file, or all of a small one, is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) struct Tail {
    /// Number of the fragment block.
    pub(in super::super) fragment: u32,
    /// First byte in it.
    pub(in super::super) offset: u32,
    /// Bytes, less than a block.
    pub(in super::super) len: u32,
}

impl StoredFile {
    /// Bytes of all blocks.
    pub(in super::super) fn len(&self) -> u64 {
        self.sizes.iter().map(|size| u64::from(size & !DATA_STORED)).sum()
    }
}

impl Image {
    /// The place of a file's end in a fragment block, if it has one.
    pub(in super::super) fn tail(&self, node: &Node) -> Option<Tail> {
        let file = node.file?;
        let (fragment, offset) = file.fragment?;
        let len = file.size.checked_sub(file.blocks.checked_mul(u64::from(self.block.block_size))?)?;
        let len = u32::try_from(len).ok().filter(|len| *len > 0)?;
        Some(Tail { fragment, offset, len })
    }

    /// Where a regular file is stored; `None` for what is none.
    pub(in super::super) fn stored_file(&self, node: &Node) -> Result<Option<StoredFile>, ReadError> {
        let Some(file) = node.file else { return Ok(None) };
        let mut cursor = file.sizes;
        // As many as the inode table has room for: see `Raw::file`.
        let bytes = self.tables.take(&mut cursor, usize::try_from(file.blocks * 4).unwrap_or(usize::MAX))?;
        let mut fields = Fields(&bytes);
        let sizes: Vec<u32> = std::iter::from_fn(|| fields.u32()).collect();
        if sizes.iter().any(|size| size & !DATA_STORED > self.block.block_size) {
            return Err(ReadError::entry(&node.path, "has a block that is too long"));
        }
        let stored = StoredFile { start: file.start, sizes, holes: file.sparse, tail: self.tail(node) };
        if stored.len() > 0 {
            self.check_range(stored.start, stored.len())
                .map_err(|()| ReadError::entry(&node.path, "has blocks that lie outside of the data"))?;
        }
        Ok(Some(stored))
    }

    /// Whether a range lies where data lies.
    fn check_range(&self, start: u64, len: u64) -> Result<(), ()> {
        let end = start.checked_add(len).filter(|end| *end <= self.block.inode_table);
        end.filter(|_| start >= SUPERBLOCK as u64).map(|_| ()).ok_or(())
    }

    /// A row of the table of fragment blocks: start and size.
    pub(super) fn fragment_row(&self, number: u32) -> Result<(u64, u32), ReadError> {
        if number >= self.block.fragments {
            return Err(ReadError::damaged("a fragment is not in the table"));
        }
        let row = self.tables.row(self.block.fragment_table, u64::from(number), 16)?;
        let mut fields = Fields(&row);
        Ok((fields.u64().unwrap_or(0), fields.u32().unwrap_or(0))) // sixteen bytes
    }

    /// The same, if the block lies where data lies.
    pub(in super::super) fn stored_fragment(&self, number: u32) -> Result<(u64, u32), ReadError> {
        let (start, size) = self.fragment_row(number)?;
        let len = size & !DATA_STORED;
        if len == 0 || len > self.block.block_size || self.check_range(start, u64::from(len)).is_err() {
            return Err(ReadError::damaged("a fragment block lies outside of the data, or is too long"));
        }
        Ok((start, size))
    }

    /// The bytes of a fragment block.
    pub(in super::super) fn fragment_bytes(&self, number: u32) -> Result<Vec<u8>, ReadError> {
        let (start, size) = self.fragment_row(number)?;
        unpack(&self.tables, start, size, self.block.block_size as usize, None)
    }

    /// Bytes of the image itself; `len` is the caller's, not the image's.
    pub(in super::super) fn stored_bytes(&self, start: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        self.tables.raw(start, len)
    }

    /// Takes a buffer back.
    pub(in super::super) fn recycle(&self, bytes: Vec<u8>) {
        self.tables.recycle(bytes);
    }

    /// The codec's options as they stand behind the superblock, a stored metadata block with its head.
    /// Empty where the image has none.
    pub(in super::super) fn codec_options(&self) -> Result<Vec<u8>, ReadError> {
        if self.block.flags & flag::CODEC_OPTIONS == 0 {
            return Ok(Vec::new());
        }
        let head = self.tables.raw(SUPERBLOCK as u64, 2)?;
        let head = Fields(&head).u16().unwrap_or(0); // two bytes
        let len = usize::from(head & !METADATA_STORED);
        if head & METADATA_STORED == 0 || len > CODEC_OPTIONS_MAX {
            return Err(ReadError::damaged("its codec's options are compressed, or too long"));
        }
        self.tables.raw(SUPERBLOCK as u64, 2 + len)
    }

    /// A flag of the superblock.
    pub(in super::super) fn has_flag(&self, flag: u16) -> bool {
        self.block.flags & flag != 0
    }
}
