//! The format of lzop, as Linux' `lib/decompress_unlzo.c` reads it: a header, then blocks of up to
//! 256 KiB in LZO1X behind their two lengths and the checksum of what they hold; a length of zero ends
//! it. The instructions of LZO1X are those of the kernel's `Documentation/staging/lzo.rst`.

use std::io::{self, BufRead, Read};

use super::codec::Codec;
use super::decode::{Taken, cut, fill, invalid};

const MAGIC: [u8; 9] = [0x89, b'L', b'Z', b'O', 0, 0x0d, 0x0a, 0x1a, 0x0a];
/// The most that a block holds: lzop's own size, and all that the kernel takes.
const BLOCK: usize = 256 << 10;
/// The version of the format from which on there are a level and the upper half of the time.
const NEWER: u16 = 0x0940;
/// Flag: blocks carry an Adler-32 of what they hold.
const ADLER32: u32 = 1;
/// Flag: there is a filter, with four more bytes of header.
const FILTER: u32 = 0x800;

/// A reader of lzop's format.
pub(super) struct Lzop<R> {
    reader: Taken<R>,
    /// The header's flags, once it was read.
    flags: Option<u32>,
    packed: Vec<u8>,
    block: Vec<u8>,
    /// How much of the block was read; at most its length.
    at: usize,
    ended: bool,
}

impl<R: BufRead> Lzop<R> {
    pub(super) fn new(reader: Taken<R>) -> Self {
        Self { reader, flags: None, packed: Vec::new(), block: Vec::new(), at: 0, ended: false }
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        if fill(&mut self.reader, &mut bytes)? < N { Err(cut(Codec::Lzo)) } else { Ok(bytes) }
    }

    fn number(&mut self) -> io::Result<u32> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    /// Reads the header; gives its flags.
    fn header(&mut self) -> io::Result<u32> {
        if self.bytes()? != MAGIC {
            return Err(invalid("it does not begin as a file of lzop does"));
        }
        let version = u16::from_be_bytes(self.bytes()?);
        let _: [u8; 5] = self.bytes()?; // the library's version, the version needed, the method
        if version >= NEWER {
            let _: [u8; 1] = self.bytes()?; // the level
        }
        let flags = self.number()?;
        if flags & FILTER != 0 {
            return Err(invalid("it uses a filter of lzop, which kernels do not undo"));
        }
        let _: [u8; 8] = self.bytes()?; // mode, time
        if version >= NEWER {
            let _: [u8; 4] = self.bytes()?;
        }
        let [name] = self.bytes()?;
        // The name and the header's checksum.
        let rest = u64::from(name) + 4;
        if io::copy(&mut (&mut self.reader).take(rest), &mut io::sink())? < rest {
            return Err(cut(Codec::Lzo));
        }
        Ok(flags)
    }

    /// Decompresses the next block; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        let flags = match self.flags {
            Some(flags) => flags,
            None => {
                let flags = self.header()?;
                *self.flags.insert(flags)
            }
        };
        let length = self.number()? as usize;
        if length == 0 {
            return Ok(false);
        }
        let (packed, checksum) = (self.number()? as usize, self.number()?);
        if length > BLOCK || packed == 0 || packed > length {
            return Err(invalid("the lengths of a block are not possible"));
        }
        self.packed.clear();
        if (&mut self.reader).take(packed as u64).read_to_end(&mut self.packed)? < packed {
            return Err(cut(Codec::Lzo));
        }
        self.at = 0;
        self.block.clear();
        if packed == length {
            self.block.extend_from_slice(&self.packed);
        } else {
            lzo1x(&self.packed, length, &mut self.block).ok_or_else(|| invalid("a block is damaged"))?;
        }
        if self.block.len() != length || (flags & ADLER32 != 0 && adler32(&self.block) != checksum) {
            return Err(invalid("a block does not give what it should"));
        }
        Ok(true)
    }
}

impl<R: BufRead> Read for Lzop<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() && !self.ended {
            self.ended = !self.next()?;
        }
        let left = self.block.get(self.at..).unwrap_or_default();
        let count = buffer.len().min(left.len());
        buffer[..count].copy_from_slice(&left[..count]); // at most either's length
        self.at += count;
        Ok(count)
    }
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    // So many sums of bytes fit into 32 bits.
    let (mut low, mut high) = (1u32, 0u32);
    for part in bytes.chunks(5552) {
        for &byte in part {
            low += u32::from(byte);
            high += low;
        }
        (low, high) = (low % MODULUS, high % MODULUS);
    }
    high << 16 | low
}

/// What a match was preceded by, which decides what the shortest instructions mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A match without literals behind it.
    Match,
    /// A match with one to three literals behind it.
    Few,
    /// A run of literals of its own instruction.
    Run,
}

/// The instructions of one block.
struct Instructions<'a>(&'a [u8]);

impl Instructions<'_> {
    fn byte(&mut self) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(usize::from(*first))
    }

    /// A distance's 14 bits, and the number of literals behind the match.
    fn pair(&mut self) -> Option<(usize, usize)> {
        let word = self.byte()? | self.byte()? << 8;
        Some((word >> 2, word & 3))
    }

    /// A length: `bits`, or, if these are zero, `most` and 255 for each zero byte that follows and the
    /// byte behind them.
    fn length(&mut self, bits: usize, most: usize) -> Option<usize> {
        if bits > 0 {
            return Some(bits);
        }
        let mut length = most;
        loop {
            match self.byte()? {
                // As many zero bytes as a block has instructions cannot overflow.
                0 => length += 255,
                last => return Some(length + last),
            }
        }
    }
}

/// Decompresses one block to at most `limit` bytes. `None` if it is damaged.
fn lzo1x(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<()> {
    let mut instructions = Instructions(block);
    let mut before = Before::Match;
    if let Some(first) = block.first().filter(|first| **first > 17) {
        instructions.byte();
        let count = usize::from(*first) - 17;
        literals(&mut instructions, count, limit, out)?;
        before = if count < 4 { Before::Few } else { Before::Run };
    }
    loop {
        let code = instructions.byte()?;
        let (length, distance, behind) = match code {
            0..16 if before == Before::Match => {
                let count = instructions.length(code, 15)? + 3;
                literals(&mut instructions, count, limit, out)?;
                before = Before::Run;
                continue;
            }
            0..16 => {
                let near = (code >> 2) + (instructions.byte()? << 2);
                if before == Before::Few { (2, near + 1, code & 3) } else { (3, near + 2049, code & 3) }
            }
            16..32 => {
                let length = instructions.length(code & 7, 7)? + 2;
                let (low, behind) = instructions.pair()?;
                let distance = 0x4000 + ((code & 8) << 11) + low;
                if distance == 0x4000 {
                    return (length == 3 && instructions.0.is_empty()).then_some(());
                }
                (length, distance, behind)
            }
            32..64 => {
                let length = instructions.length(code & 31, 31)? + 2;
                let (low, behind) = instructions.pair()?;
                (length, low + 1, behind)
            }
            _ => {
                let distance = (code >> 2 & 7) + (instructions.byte()? << 3) + 1;
                ((code >> 5) + 1, distance, code & 3)
            }
        };
        copy(length, distance, limit, out)?;
        literals(&mut instructions, behind, limit, out)?;
        before = if behind == 0 { Before::Match } else { Before::Few };
    }
}

fn literals(
    instructions: &mut Instructions<'_>,
    count: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    let (bytes, rest) = instructions.0.split_at_checked(count)?;
    if count > limit - out.len() {
        return None;
    }
    out.extend_from_slice(bytes);
    instructions.0 = rest;
    Some(())
}

/// Copies what lies `distance` back, perhaps over itself.
fn copy(length: usize, distance: usize, limit: usize, out: &mut Vec<u8>) -> Option<()> {
    let from = out.len().checked_sub(distance)?;
    if length > limit - out.len() {
        return None;
    }
    let mut left = length;
    while left > 0 {
        // What repeats doubles with every step.
        let count = left.min(out.len() - from);
        out.extend_from_within(from..from + count);
        left -= count;
    }
    Some(())
}
