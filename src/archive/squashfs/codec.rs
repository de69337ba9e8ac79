//! One block through a codec. Compressors and decompressors are kept and used again: their tables
//! cost more to make than a small block costs to compress.

use std::io::{self, Read, Write};
use std::sync::Mutex;

use lzma_rust2::{CheckType, XzOptions, XzReader, XzWriter};

use super::choice::{Choice, Parameters};
use super::format::{Fields, METADATA};
use super::options::{Codec, Options};
use crate::base::locked;

/// Memory that an xz decoder may take, in KiB: no image has blocks over 1 MiB, so no dictionary is
/// larger, whatever a block's header says.
const XZ_MEMORY_KIB: u32 = 4 << 10;

/// Things of which each thread takes one, and puts it back.
#[derive(Debug)]
pub(super) struct Shelf<T>(Mutex<Vec<T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Shelf<T> {
    pub(super) fn take(&self) -> Option<T> {
        locked(&self.0).pop()
    }

    pub(super) fn put(&self, one: T) {
        locked(&self.0).push(one);
    }
}

/// How blocks are compressed, without the means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scheme {
    codec: Codec,
    level: Option<i32>,
    block_size: u32,
    /// Bytes of xz's dictionary, where they are not those of a block.
    dictionary: Option<u32>,
}

impl Scheme {
    pub(super) fn new(options: &Options) -> Self {
        Self { codec: options.codec, level: options.level, block_size: options.block_size, dictionary: None }
    }

    /// For an image with these options of its codec, a stored metadata block with its head: xz's name
    /// the only dictionary that the kernel's decoder will have (`squashfs_xz_comp_opts`).
    pub(super) fn with_codec_options(mut self, options: &[u8]) -> Self {
        let dictionary = options.get(2..).and_then(|options| Fields(options).u32());
        // What is over a block would only cost memory.
        let smaller = METADATA as u32..self.block_size;
        self.dictionary = dictionary.filter(|size| self.codec == Codec::Xz && smaller.contains(size));
        self
    }

    /// Names everything that the compressed form of some bytes depends on. The number changes when the
    /// choice of parameters does.
    pub(super) fn key(&self) -> String {
        let dictionary = self.dictionary.map_or_else(String::new, |size| format!(" dictionary {size}"));
        format!("squashfs block 1 {} {:?} {}{dictionary}\n", self.codec, self.level, self.block_size)
    }
}

/// Compresses blocks.
pub(super) struct Compressor {
    scheme: Scheme,
    zstd: zstd::bulk::Compressor<'static>,
    set: Option<Parameters>,
    buffer: Vec<u8>,
}

impl Compressor {
    pub(super) fn new(scheme: Scheme) -> io::Result<Self> {
        Ok(Self { scheme, zstd: zstd::bulk::Compressor::new(1)?, set: None, buffer: Vec::new() })
    }

    /// The compressed form of `block`, if it is smaller.
    pub(super) fn compress(&mut self, block: &[u8]) -> io::Result<Option<&[u8]>> {
        self.buffer.clear();
        match self.scheme.codec {
            Codec::None => return Ok(None),
            Codec::Zstd => {
                let choice = match self.scheme.level {
                    Some(level) => Choice::Compress(Parameters::Level(level)),
                    None => Choice::of(block, self.scheme.block_size),
                };
                match choice {
                    Choice::Store => return Ok(None),
                    Choice::Compress(parameters) => self.zstd(block, parameters)?,
                }
            }
            Codec::Gzip => {
                let mut encoder =
                    flate2::write::ZlibEncoder::new(&mut self.buffer, flate2::Compression::best());
                encoder.write_all(block)?;
                encoder.finish()?;
            }
            Codec::Xz => {
                let mut options = XzOptions::with_preset(6);
                // The kernel's decoder makes its dictionary of the block size where the image has no
                // options of the codec (`squashfs_xz_comp_opts`), and checks CRC32 only.
                let dictionary = self.scheme.dictionary.unwrap_or(self.scheme.block_size);
                options.lzma_options.dict_size = dictionary.max(METADATA as u32);
                options.set_check_sum_type(CheckType::Crc32);
                let mut encoder = XzWriter::new(&mut self.buffer, options)?;
                encoder.write_all(block)?;
                encoder.finish()?;
            }
        }
        Ok((self.buffer.len() < block.len()).then_some(self.buffer.as_slice()))
    }

    fn zstd(&mut self, block: &[u8], parameters: Parameters) -> io::Result<()> {
        if self.set != Some(parameters) {
            for parameter in parameters.list() {
                self.zstd.set_parameter(parameter)?;
            }
            self.set = Some(parameters);
        }
        self.buffer.reserve(zstd::zstd_safe::compress_bound(block.len()));
        self.zstd.compress_to_buffer(block, &mut self.buffer)?;
        Ok(())
    }
}

/// Decompresses blocks.
pub(super) struct Decompressor {
    codec: Codec,
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Decompressor {
    pub(super) fn new(codec: Codec) -> io::Result<Self> {
        Ok(Self { codec, zstd: zstd::bulk::Decompressor::new()? })
    }

    /// Decompresses a block of at most `limit` bytes into `out`, whatever that held before.
    pub(super) fn decompress(&mut self, block: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        out.reserve(limit);
        match self.codec {
            // Never writes past the capacity, which is that of a block at the most.
            Codec::Zstd | Codec::None => {
                self.zstd.decompress_to_buffer(block, out)?;
            }
            Codec::Gzip => fill(flate2::read::ZlibDecoder::new(block), limit, out)?,
            Codec::Xz => fill(XzReader::new_mem_limit(block, false, XZ_MEMORY_KIB), limit, out)?,
        }
        if out.len() > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than it may be"));
        }
        Ok(())
    }
}

/// Everything that `reader` gives, and at most one byte more than `limit`.
fn fill(reader: impl Read, limit: usize, out: &mut Vec<u8>) -> io::Result<()> {
    reader.take(limit as u64 + 1).read_to_end(out)?;
    Ok(())
}
