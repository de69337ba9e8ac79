//! Tables of an untrusted image: metadata blocks on demand, a few of them kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::super::codec::{Decompressor, Shelf};
use super::super::format::{Fields, METADATA, METADATA_STORED};
use super::super::options::Codec;
use super::error::ReadError;
use crate::base::{ContentHandle, locked};

/// Blocks that are kept: 2 MiB.
const KEPT: usize = 256;

/// A metadata block, and where the next one begins.
#[derive(Debug, Clone)]
struct Block {
    bytes: Arc<[u8]>,
    next: u64,
}

/// Reads tables.
pub(super) struct Tables {
    file: ContentHandle,
    codec: Codec,
    decompressors: Shelf<Decompressor>,
    /// A block's bytes are as large as what the allocator gets from the system anew each time.
    buffers: Shelf<Vec<u8>>,
    kept: Mutex<HashMap<u64, Block>>,
}

/// A place in a table, from which it is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cursor {
    /// Of the block, from the image's beginning.
    pub(super) block: u64,
    /// In the block; may lie at its very end.
    pub(super) offset: usize,
    /// Blocks begin before this.
    pub(super) end: u64,
}

impl Tables {
    pub(super) fn new(file: ContentHandle, codec: Codec) -> Self {
        Self {
            file,
            codec,
            decompressors: Shelf::default(),
            buffers: Shelf::default(),
            kept: Mutex::default(),
        }
    }

    /// Bytes of the image itself.
    pub(super) fn raw(&self, at: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        if at.checked_add(len as u64).is_none_or(|end| end > self.file.len()) {
            return Err(ReadError::damaged("a table or block lies behind its end"));
        }
        let mut bytes = self.buffers.take().unwrap_or_default();
        bytes.clear();
        bytes.resize(len, 0);
        self.file.read_exact_at(at, &mut bytes).map_err(ReadError::Read)?;
        Ok(bytes)
    }

    /// Takes a buffer back that this gave.
    pub(super) fn recycle(&self, bytes: Vec<u8>) {
        self.buffers.put(bytes);
    }

    /// A block of at most `limit` bytes, decompressed.
    pub(super) fn decompress(&self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
        let mut decompressor = match self.decompressors.take() {
            Some(decompressor) => decompressor,
            None => Decompressor::new(self.codec).map_err(ReadError::Read)?,
        };
        let mut out = self.buffers.take().unwrap_or_default();
        let done = decompressor.decompress(bytes, limit, &mut out);
        self.decompressors.put(decompressor);
        done.map_err(|error| ReadError::damaged(format!("a block does not decompress: {error}")))?;
        Ok(out)
    }

    fn block(&self, at: u64, end: u64) -> Result<Block, ReadError> {
        if at >= end {
            return Err(ReadError::damaged("a table ends early"));
        }
        if let Some(block) = self.lock().get(&at) {
            return Ok(block.clone());
        }
        let bytes = self.raw(at, 2)?;
        let head = Fields(&bytes).u16().unwrap_or(0); // two bytes were read
        self.recycle(bytes);
        let (len, stored) = (usize::from(head & !METADATA_STORED), head & METADATA_STORED != 0);
        if len == 0 || len > METADATA {
            return Err(ReadError::damaged(format!("a metadata block has {len} bytes")));
        }
        let bytes = self.raw(at + 2, len)?; // `at` lies in the file
        let kept: Arc<[u8]> = if stored {
            Arc::from(bytes.as_slice())
        } else {
            let unpacked = self.decompress(&bytes, METADATA)?;
            let kept = Arc::from(unpacked.as_slice());
            self.recycle(unpacked);
            kept
        };
        self.recycle(bytes);
        let block = Block { bytes: kept, next: at + 2 + len as u64 };
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(at, block.clone());
        Ok(block)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Block>> {
        locked(&self.kept)
    }

    /// Reads `len` bytes, which the caller has bounded, and moves on.
    pub(super) fn take(&self, cursor: &mut Cursor, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut out = Vec::with_capacity(len.min(METADATA));
        while out.len() < len {
            let block = self.block(cursor.block, cursor.end)?;
            let rest = block.bytes.get(cursor.offset..).ok_or_else(|| {
                ReadError::damaged("a reference leads behind the end of its metadata block")
            })?;
            let now = rest.get(..len - out.len()).unwrap_or(rest);
            out.extend_from_slice(now);
            cursor.offset += now.len();
            if cursor.offset >= block.bytes.len() {
                // Only full blocks are followed by another one.
                if now.len() == rest.len() && out.len() < len && block.bytes.len() < METADATA {
                    return Err(ReadError::damaged("a table ends early"));
                }
                (cursor.block, cursor.offset) = (block.next, 0);
            }
        }
        Ok(out)
    }

    /// Entry `number` of a table with pointers at `pointers`, whose entries have `size` bytes (a power of
    /// two).
    pub(super) fn row(&self, pointers: u64, number: u64, size: usize) -> Result<Vec<u8>, ReadError> {
        let place = number.saturating_mul(size as u64);
        let at = pointers.checked_add(place / METADATA as u64 * 8);
        let pointer = self.raw(at.unwrap_or(u64::MAX), 8)?;
        let block = Fields(&pointer).u64().unwrap_or(u64::MAX); // eight bytes were read
        let offset = (place % METADATA as u64) as usize;
        self.take(&mut Cursor { block, offset, end: pointers }, size)
    }
}
