//! Which codec a stream is in, told by its first bytes.

use std::fmt;
use std::io::{self, Read};

/// The compressions that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// No magic number that is known.
    Plain,
    /// Gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// The .xz file format.
    Xz,
    /// The .lzma file format, "LZMA alone".
    Lzma,
    /// Bzip2.
    Bzip2,
    /// The legacy frame of lz4 (`lz4 -l`), the only one that kernels read.
    Lz4,
    /// The format of lzop.
    Lzo,
}

impl Codec {
    /// Tells the codec of a layer by the first (up to four) bytes: gzip, zstd (also a skippable frame
    /// before it), or plain. The other codecs are none of OCI's, and a tar may begin with their magic
    /// numbers: two letters of a file's name.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// Tells the codec of an initramfs or of a kernel's payload by the first two bytes, as Linux'
    /// `lib/decompress.c` does. `Plain` for what it knows no decompressor for.
    pub fn of_kernel(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b | 0x9e, ..] => Self::Gzip,
            [b'B', b'Z', ..] => Self::Bzip2,
            [0x5d, 0x00, ..] => Self::Lzma,
            [0xfd, 0x37, ..] => Self::Xz,
            [0x89, b'L', ..] => Self::Lzo,
            [0x02, 0x21, ..] => Self::Lz4,
            [0x28, 0xb5, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// Reads the first bytes of `reader` and tells a layer's codec by them.
    pub fn sniff(reader: impl Read) -> io::Result<Self> {
        let mut start = Vec::new();
        reader.take(4).read_to_end(&mut start)?;
        Ok(Self::of(&start))
    }

    /// Its name for messages: `gzip`, `zstd`, `xz`, `lzma`, `bzip2`, `lz4`, `lzo`, `plain`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Lzo => "lzo",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_plain_where_a_kernel_would_see_another_codec() {
        let cases: [(&[u8], Codec, Codec); 10] = [
            (b"\x1f\x8b\x08\0", Codec::Gzip, Codec::Gzip),
            (b"\x28\xb5\x2f\xfd", Codec::Zstd, Codec::Zstd),
            (b"\x50\x2a\x4d\x18", Codec::Zstd, Codec::Plain),
            (b"\xfd7zXZ\0", Codec::Plain, Codec::Xz),
            (b"BZh9", Codec::Plain, Codec::Bzip2),
            (b"]\0\0\x80", Codec::Plain, Codec::Lzma),
            (b"\x89LZO", Codec::Plain, Codec::Lzo),
            (b"\x02\x21\x4c\x18", Codec::Plain, Codec::Lz4),
            (b"070701", Codec::Plain, Codec::Plain),
            (b"B", Codec::Plain, Codec::Plain),
        ];
        for (start, layer, kernel) in cases {
            assert_eq!((Codec::of(start), Codec::of_kernel(start)), (layer, kernel), "{start:02x?}");
        }
    }
}
