//! Compressed kernel modules: `.ko.zst`, `.ko.xz`, `.ko.gz`.
//!
//! The magic bytes decide, never the name. Unpacking streams into a writer and stops at
//! [`UNPACKED_MAX`]; what the codecs hold in memory is limited as well.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use crate::archive::compress::{Codec, decoder_of};
use crate::base::Content;

/// The largest module that is unpacked. The largest of Debian's 6.1 kernel, amdgpu, has 19 MB; a
/// module that kept its debug information may have ten times as much.
pub const UNPACKED_MAX: u64 = 256 << 20;

/// How a module is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Zstandard (RFC 8878).
    Zstd,
    /// The .xz file format.
    Xz,
    /// gzip (RFC 1952).
    Gzip,
}

impl Compression {
    /// The compression of a file that begins with `bytes`; six are enough.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            _ => None,
        }
    }

    /// The compression of `content`; `None` if it is not compressed in a way known here.
    pub fn of_content(content: &Content) -> io::Result<Option<Self>> {
        let mut start = Vec::new();
        content.open()?.take(6).read_to_end(&mut start)?;
        Ok(Self::of(&start))
    }

    /// Its name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
        }
    }
}

/// A compressed module could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// No magic that is known here.
    #[error("the file is compressed neither with zstd nor with xz nor with gzip")]
    NotCompressed,
    /// More comes out than any module has.
    #[error("the {format} data unpacks to more than {limit} bytes")]
    TooLarge {
        /// The name of the format.
        format: &'static str,
        /// What is unpacked at most.
        limit: u64,
    },
    /// The data is broken, truncated, or needs too much memory.
    #[error("the {format} data cannot be unpacked")]
    Broken {
        /// The name of the format.
        format: &'static str,
        /// What the decoder says.
        source: io::Error,
    },
    /// The compressed bytes cannot be read.
    #[error("the compressed file cannot be read")]
    Read(#[source] io::Error),
    /// What was unpacked cannot be written.
    #[error("the unpacked module cannot be written")]
    Write(#[source] io::Error),
}

/// The plain bytes of a module: its own or, if it is compressed, unpacked in memory.
pub fn plain(content: &Content) -> Result<Cow<'_, Content>, UnpackError> {
    if Compression::of_content(content).map_err(UnpackError::Read)?.is_none() {
        return Ok(Cow::Borrowed(content));
    }
    let mut bytes = Vec::new();
    unpack(content, &mut bytes)?;
    Ok(Cow::Owned(Content::memory(bytes)))
}

/// Unpacks `content` into `out`; gives the number of bytes written. Concatenated streams, which all
/// three formats allow, are unpacked to their end. After an error `out` holds a part.
pub fn unpack(content: &Content, out: &mut dyn Write) -> Result<u64, UnpackError> {
    unpack_at_most(content, out, UNPACKED_MAX)
}

fn unpack_at_most(content: &Content, out: &mut dyn Write, limit: u64) -> Result<u64, UnpackError> {
    let compression =
        Compression::of_content(content).map_err(UnpackError::Read)?.ok_or(UnpackError::NotCompressed)?;
    let format = compression.name();
    let broken = |source| UnpackError::Broken { format, source };
    let packed = content.open().map_err(UnpackError::Read)?;
    let codec = match compression {
        Compression::Zstd => Codec::Zstd,
        Compression::Xz => Codec::Xz,
        Compression::Gzip => Codec::Gzip,
    };
    let mut unpacked = decoder_of(codec, packed).map_err(broken)?;
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        let part = match unpacked.read(&mut buffer) {
            Ok(got) => buffer.get(..got).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(error)),
        };
        total += part.len() as u64;
        if part.is_empty() {
            return Ok(total);
        }
        if total > limit {
            return Err(UnpackError::TooLarge { format, limit });
        }
        out.write_all(part).map_err(UnpackError::Write)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = include_bytes!("../../testdata/modules/good.ko");

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    fn packed() -> Vec<(&'static str, Vec<u8>)> {
        let (head, tail) = GOOD.split_at(4000);
        let mut short_check = zstd::Encoder::new(Vec::new(), 3).unwrap();
        short_check.include_checksum(true).unwrap();
        short_check.write_all(GOOD).unwrap();
        vec![
            ("gzip", gzip(GOOD)),
            ("gzip, two members", [gzip(head), gzip(tail)].concat()),
            ("zstd", zstd(GOOD)),
            ("zstd, two frames", [zstd(head), zstd(tail)].concat()),
            ("zstd with checksum", short_check.finish().unwrap()),
            ("xz, CRC32, x86", include_bytes!("../../testdata/modules/good.crc32-x86.ko.xz").to_vec()),
            ("xz, two streams", include_bytes!("../../testdata/modules/good.two-streams.ko.xz").to_vec()),
        ]
    }

    fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let mut out = Vec::new();
        let total = unpack(&Content::memory(bytes), &mut out)?;
        assert_eq!(total, out.len() as u64);
        Ok(out)
    }

    #[test]
    fn every_compression_of_modules_is_told_and_unpacked() {
        for (name, bytes) in packed() {
            assert!(name.starts_with(Compression::of(&bytes).unwrap().name()), "{name}");
            assert_eq!(unpacked(&bytes).unwrap(), GOOD, "{name}");
        }
        assert!(matches!(unpacked(GOOD), Err(UnpackError::NotCompressed)));
        assert!(matches!(unpacked(b""), Err(UnpackError::NotCompressed)));
    }

    #[test]
    fn a_truncated_or_changed_file_is_an_error_or_unpacks_to_something_within_the_limit() {
        for (name, bytes) in packed() {
            let cut = &bytes[..bytes.len() - 3];
            assert!(matches!(unpacked(cut), Err(UnpackError::Broken { .. })), "{name}");
        }
        let mut random = 1u64;
        for (_, bytes) in packed() {
            for _ in 0..300 {
                let mut bytes = bytes.clone();
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = 6 + (random >> 33) as usize % (bytes.len() - 6);
                bytes[at] ^= (random >> 20) as u8 | 1;
                let mut out = Vec::new();
                let _ = unpack_at_most(&Content::memory(bytes), &mut out, 1 << 20); // either is right
                assert!(out.len() <= 1 << 20);
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        for (name, bytes) in packed() {
            let mut out = Vec::new();
            let limit = GOOD.len() as u64 - 1;
            let error = unpack_at_most(&Content::memory(bytes), &mut out, limit).unwrap_err();
            assert!(matches!(error, UnpackError::TooLarge { .. }), "{name}");
            assert!(out.len() as u64 <= limit, "{name}");
        }
    }

    #[test]
    fn a_window_beyond_the_memory_limit_is_refused_before_it_is_allocated() {
        // A zstd frame header whose window descriptor says 2^31 bytes (RFC 8878, 3.1.1.1.2).
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3, 0x01, 0x00, 0x00];
        assert!(matches!(unpacked(&window), Err(UnpackError::Broken { format: "zstd", .. })));
        // An xz block header whose dictionary is 4 GiB - 1: property 40 of the filter LZMA2.
        let mut block = vec![0x02, 0x00, 0x21, 0x01, 40, 0, 0, 0];
        let mut crc = flate2::Crc::new();
        crc.update(&block);
        block.extend(crc.sum().to_le_bytes());
        let stream = include_bytes!("../../testdata/modules/good.crc32-x86.ko.xz");
        let bytes = [&stream[..12], &block, &[0; 64]].concat();
        let Err(UnpackError::Broken { source, .. }) = unpacked(&bytes) else { panic!("4 GiB of dictionary") };
        assert!(source.to_string().contains("memory"), "{source}");
    }
}
