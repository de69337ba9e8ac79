//! The legacy frame of lz4: a magic number, then blocks of up to 8 MiB, each behind its compressed
//! length. It has no end of its own. As Linux' `lib/decompress_unlz4.c` reads it: another magic number
//! between blocks is skipped, and a length of zero, or fewer than four bytes, end it and belong to
//! what follows.

use std::io::{self, BufRead, Read};

use super::codec::Codec;
use super::decode::{Taken, cut, fill, invalid};

/// `02 21 4c 18`
const MAGIC: u32 = 0x184c_2102;
/// Bytes of a block before compression: all of them but the last have as many.
const BLOCK: usize = 8 << 20;
/// What a block can grow to by compression (lz4's own bound).
const COMPRESSED: usize = BLOCK + BLOCK / 255 + 16;

/// A reader of a legacy frame.
pub(super) struct Legacy<R> {
    reader: Taken<R>,
    packed: Vec<u8>,
    /// The block that is being read; of [`BLOCK`] bytes once there was one.
    block: Vec<u8>,
    /// What is left of it; within its length.
    left: std::ops::Range<usize>,
    begun: bool,
    ended: bool,
}

impl<R: BufRead> Legacy<R> {
    pub(super) fn new(reader: Taken<R>) -> Self {
        Self { reader, packed: Vec::new(), block: Vec::new(), left: 0..0, begun: false, ended: false }
    }

    /// Reads a length; `None` at the end.
    fn length(&mut self) -> io::Result<Option<usize>> {
        let mut bytes = [0; 4];
        loop {
            let got = fill(&mut self.reader, &mut bytes)?;
            let length = u32::from_le_bytes(bytes);
            if !self.begun {
                self.begun = true;
                match (got, length) {
                    (4, MAGIC) => continue,
                    (4, _) => return Err(invalid("it does not begin as a legacy frame of lz4 does")),
                    _ => return Err(cut(Codec::Lz4)),
                }
            }
            if got < 4 || length == 0 {
                self.reader.give_back(got);
                return Ok(None);
            }
            if length != MAGIC {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                return if length <= COMPRESSED {
                    Ok(Some(length))
                } else {
                    Err(invalid("a block is longer than 8 MiB can become by lz4"))
                };
            }
        }
    }

    /// Decompresses the next block; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        let Some(length) = self.length()? else { return Ok(false) };
        self.packed.clear();
        // Grows with what is there, not with what the length says.
        if (&mut self.reader).take(length as u64).read_to_end(&mut self.packed)? < length {
            return Err(cut(Codec::Lz4));
        }
        if self.block.is_empty() {
            self.block = vec![0; BLOCK];
        }
        let got = lz4_flex::block::decompress_into(&self.packed, &mut self.block)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.left = 0..got.min(BLOCK);
        Ok(true)
    }
}

impl<R: BufRead> Read for Legacy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() && !self.ended {
            self.ended = !self.next()?;
        }
        let count = buffer.len().min(self.left.len());
        if let Some(bytes) = self.block.get(self.left.start..self.left.start + count) {
            buffer[..count].copy_from_slice(bytes); // `count` is at most its length
        }
        self.left.start += count;
        Ok(count)
    }
}
