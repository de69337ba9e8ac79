//! Metadata blocks: 8 KiB of tables each, compressed one by one, and the tables of pointers to them.

use super::codec::{Compressor, Scheme};
use super::error::WriteError;
use super::format::{METADATA, METADATA_STORED};

/// Where something lies in a table: its block's start from the table's beginning, compressed, and the
/// offset in the block, uncompressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) block: u64,
    pub(super) offset: u16,
}

impl Position {
    /// As the format writes it.
    pub(super) fn reference(self) -> u64 {
        self.block << 16 | u64::from(self.offset)
    }
}

/// A table in the making.
pub(super) struct Metadata<'c> {
    compressor: &'c mut Compressor,
    bytes: Vec<u8>,
    /// Below [`METADATA`] bytes between calls.
    open: Vec<u8>,
    starts: Vec<u64>,
}

impl<'c> Metadata<'c> {
    pub(super) fn new(compressor: &'c mut Compressor) -> Self {
        Self { compressor, bytes: Vec::new(), open: Vec::with_capacity(METADATA), starts: Vec::new() }
    }

    /// Where the next byte will lie.
    pub(super) fn position(&self) -> Position {
        Position { block: self.bytes.len() as u64, offset: self.open.len() as u16 } // below 8192
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(METADATA - self.open.len()));
            self.open.extend_from_slice(now);
            bytes = later;
            if self.open.len() == METADATA {
                self.close()?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), WriteError> {
        self.starts.push(self.bytes.len() as u64);
        let (bytes, stored) = match self.compressor.compress(&self.open).map_err(WriteError::codec)? {
            Some(bytes) => (bytes, 0),
            None => (self.open.as_slice(), METADATA_STORED),
        };
        self.bytes.extend_from_slice(&(bytes.len() as u16 | stored).to_le_bytes()); // at most 8192
        self.bytes.extend_from_slice(bytes);
        self.open.clear();
        Ok(())
    }

    /// The table, and where each of its blocks begins in it.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Vec<u64>), WriteError> {
        if !self.open.is_empty() {
            self.close()?;
        }
        Ok((self.bytes, self.starts))
    }
}

/// A table with pointers to its blocks behind it, for an image whose next byte is `at`: its bytes, and
/// where the pointers will begin.
pub(super) fn indexed(
    bytes: &[u8],
    at: u64,
    compressor: &mut Compressor,
) -> Result<(Vec<u8>, u64), WriteError> {
    let mut metadata = Metadata::new(compressor);
    metadata.append(bytes)?;
    let (mut table, starts) = metadata.finish()?;
    let pointers = at + table.len() as u64;
    for start in starts {
        table.extend_from_slice(&(at + start).to_le_bytes());
    }
    Ok((table, pointers))
}

/// A compressor for tables.
pub(super) fn compressor(scheme: Scheme) -> Result<Compressor, WriteError> {
    Compressor::new(scheme).map_err(WriteError::codec)
}
