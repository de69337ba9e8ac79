//! What steers a writer: codec, level, block size, times.

use std::fmt;
use std::str::FromStr;

use super::super::tree::Entry;
use crate::base::Epoch;

/// The codecs that are written, and read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Codec {
    /// Zstd, what Talos uses.
    #[default]
    Zstd,
    /// Xz: smaller, slower, in Talos' kernels too.
    Xz,
    /// Zlib. **Talos' kernels cannot read it.**
    Gzip,
    /// Nothing is compressed. The image says zstd, so that kernels without zlib mount it.
    None,
}

impl Codec {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::None => "none",
        }
    }

    /// Whether the kernels of Talos can mount an image in this codec (`CONFIG_SQUASHFS_ZLIB` is not
    /// set in them).
    pub fn is_in_talos(self) -> bool {
        self != Self::Gzip
    }

    /// The number in the superblock.
    pub(super) fn id(self) -> u16 {
        match self {
            Self::Gzip => 1,
            Self::Xz => 4,
            Self::Zstd | Self::None => 6,
        }
    }

    /// The codec with a number of the superblock, or the name of one that is not read.
    pub(super) fn of_id(id: u16) -> Result<Self, &'static str> {
        match id {
            1 => Ok(Self::Gzip),
            4 => Ok(Self::Xz),
            6 => Ok(Self::Zstd),
            2 => Err("lzma"),
            3 => Err("lzo"),
            5 => Err("lz4"),
            _ => Err("a codec that is not known"),
        }
    }
}

/// Bytes of a superblock, which is all that [`compressor_of`] needs.
pub const SUPERBLOCK_LEN: u64 = super::format::SUPERBLOCK as u64;

/// The name of the compressor of an image that begins with `start`, also of one that is not read here, as
/// `CONFIG_SQUASHFS_…` of a kernel has it: `gzip`, `lzma`, `lzo`, `xz`, `lz4`, `zstd`. `None` if it is no
/// squashfs image.
pub fn compressor_of(start: &[u8]) -> Option<&'static str> {
    let (magic, rest) = start.split_first_chunk::<4>()?;
    let id = rest.get(16..18)?.first_chunk::<2>()?;
    if u32::from_le_bytes(*magic) != super::format::MAGIC {
        return None;
    }
    Codec::of_id(u16::from_le_bytes(*id)).map_or_else(Some, |codec| Some(codec.name()))
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Options that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// See [`Codec`].
    #[error("`{0}` is no codec; expected `zstd`, `xz`, `gzip` or `none`")]
    Codec(String),
    /// See [`Options::block_size`].
    #[error("block size {0} is no power of two from 4096 to 1048576")]
    BlockSize(u32),
    /// See [`Options::level`].
    #[error("level {0} is not one of 1 to 22")]
    Level(i32),
    /// A level for a codec that has none here.
    #[error("codec `{0}` takes no level")]
    NoLevel(Codec),
}

impl FromStr for Codec {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<Self, OptionsError> {
        [Self::Zstd, Self::Xz, Self::Gzip, Self::None]
            .into_iter()
            .find(|codec| codec.name() == text)
            .ok_or_else(|| OptionsError::Codec(text.to_owned()))
    }
}

/// How an image is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// The codec.
    pub codec: Codec,
    /// Zstd's level, 1 to 22, instead of parameters chosen for each block.
    pub level: Option<i32>,
    /// Bytes of a block: a power of two from 4 KiB to 1 MiB.
    pub block_size: u32,
    /// The time of every entry and of the image; without it entries keep their own.
    pub epoch: Option<Epoch>,
    /// The root directory's attributes, which a tree does not hold.
    pub root: Entry,
}

impl Default for Options {
    /// What Talos uses: zstd, 128 KiB.
    fn default() -> Self {
        Self { codec: Codec::Zstd, level: None, block_size: 128 << 10, epoch: None, root: Entry::directory() }
    }
}

impl Options {
    /// Whether the options make sense.
    pub fn check(&self) -> Result<(), OptionsError> {
        if !self.block_size.is_power_of_two() || !(4096..=1 << 20).contains(&self.block_size) {
            return Err(OptionsError::BlockSize(self.block_size));
        }
        match self.level {
            Some(_) if self.codec != Codec::Zstd => Err(OptionsError::NoLevel(self.codec)),
            Some(level) if !(1..=22).contains(&level) => Err(OptionsError::Level(level)),
            _ => Ok(()),
        }
    }
}
