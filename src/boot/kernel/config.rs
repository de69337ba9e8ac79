//! The configuration that a kernel carries (`CONFIG_IKCONFIG`; kernel: kernel/configs.c).

use std::collections::BTreeMap;
use std::io::{self, Read};

use memchr::memmem;

use super::scan::{Place, Seeker};
use crate::archive::compress::Codec;
use crate::archive::squashfs;

/// `IKCFG_ST` and the first bytes of the gzip stream behind it, as scripts/extract-ikconfig looks for it.
const NEEDLE: &[u8] = b"IKCFG_ST\x1f\x8b\x08";
/// Where the gzip stream begins in it.
const START: usize = 8;
const END: &[u8] = b"IKCFG_ED";
/// The largest compressed configuration; Debian's has 60 KB.
const PACKED_MAX: usize = 1 << 20;
/// The largest configuration; Debian's has 290 KB.
const TEXT_MAX: u64 = 8 << 20;

/// An embedded configuration is damaged.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The gzip stream is broken.
    #[error("the embedded configuration cannot be unpacked")]
    Broken(#[from] io::Error),
    /// It is too long, or no text.
    #[error("the embedded configuration {0}")]
    NotAConfig(&'static str),
}

/// The options that a kernel was built with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelConfig {
    options: BTreeMap<String, String>,
}

impl KernelConfig {
    /// Reads a `.config`: `CONFIG_NAME=value` lines; all others are comments.
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        Self { options: text.lines().filter_map(line).collect() }
    }

    /// The value of an option as it is written, quotes included; `None` if it is not set. Without `CONFIG_`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Whether an option is built in or a module.
    pub fn is_set(&self, name: &str) -> bool {
        matches!(self.value(name), Some("y" | "m"))
    }

    /// Whether an option is built in. What the kernel needs before it has modules must be.
    pub fn is_built_in(&self, name: &str) -> bool {
        self.value(name) == Some("y")
    }

    /// The codecs that an initramfs may be in. Plain needs no option.
    pub fn initramfs_codecs(&self) -> Vec<Codec> {
        self.those([
            ("RD_GZIP", Codec::Gzip),
            ("RD_BZIP2", Codec::Bzip2),
            ("RD_LZMA", Codec::Lzma),
            ("RD_XZ", Codec::Xz),
            ("RD_LZO", Codec::Lzo),
            ("RD_LZ4", Codec::Lz4),
            ("RD_ZSTD", Codec::Zstd),
        ])
    }

    /// The codecs that a squashfs image may be in, of those that are read and written here.
    pub fn squashfs_codecs(&self) -> Vec<squashfs::Codec> {
        self.those([
            ("SQUASHFS_ZLIB", squashfs::Codec::Gzip),
            ("SQUASHFS_XZ", squashfs::Codec::Xz),
            ("SQUASHFS_ZSTD", squashfs::Codec::Zstd),
        ])
    }

    fn those<T>(&self, options: impl IntoIterator<Item = (&'static str, T)>) -> Vec<T> {
        options.into_iter().filter(|(name, _)| self.is_set(name)).map(|(_, codec)| codec).collect()
    }

    /// The number of options that are set.
    pub fn len(&self) -> usize {
        self.options.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }
}

/// Looks for the configuration.
#[derive(Debug, Default)]
pub(super) struct ConfigSeeker {
    /// The first that was found.
    pub(super) config: Option<Result<KernelConfig, ConfigError>>,
}

impl Seeker for ConfigSeeker {
    fn needle(&self) -> &'static [u8] {
        NEEDLE
    }

    fn reach(&self) -> usize {
        PACKED_MAX
    }

    fn found(&mut self, place: &Place<'_>) {
        if self.config.is_none() {
            self.config = Some(unpack(place.bytes));
        }
    }
}

/// `bytes` begin with [`NEEDLE`].
fn unpack(bytes: &[u8]) -> Result<KernelConfig, ConfigError> {
    let end = memmem::find(bytes, END).ok_or(ConfigError::NotAConfig("has no end"))?;
    let packed = bytes.get(START..end).unwrap_or_default();
    let mut text = Vec::new();
    flate2::bufread::GzDecoder::new(packed).take(TEXT_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > TEXT_MAX {
        return Err(ConfigError::NotAConfig("is longer than any kernel's"));
    }
    let text = String::from_utf8(text).map_err(|_| ConfigError::NotAConfig("is no text"))?;
    Ok(KernelConfig::parse(&text))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn embedded(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(b"IKCFG_ST".to_vec(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        [encoder.finish().unwrap(), END.to_vec()].concat()
    }

    #[test]
    fn options_are_told_with_their_values() {
        let text = "# a comment\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=n\nCONFIG_E=\"a=b\"\nCONFIG_F=3\n";
        let config = unpack(&embedded(text.as_bytes())).unwrap();
        assert_eq!(config, KernelConfig::parse(text));
        let set: Vec<bool> = ["A", "B", "C", "D", "E"].iter().map(|name| config.is_set(name)).collect();
        assert_eq!(set, [true, true, false, false, false]);
        assert!(config.is_built_in("A") && !config.is_built_in("B"));
        assert_eq!(
            (config.value("E"), config.value("F"), config.value("C")),
            (Some("\"a=b\""), Some("3"), None)
        );
        assert_eq!(config.len(), 5);
    }

    #[test]
    fn the_codecs_of_a_kernel_are_those_that_its_options_name() {
        let text = "CONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=y\n# CONFIG_RD_GZIP is not set\nCONFIG_SQUASHFS_ZSTD=y\n";
        let config = KernelConfig::parse(text);
        assert_eq!(config.initramfs_codecs(), [Codec::Xz, Codec::Zstd]);
        assert_eq!(config.squashfs_codecs(), [squashfs::Codec::Zstd]);
        assert!(KernelConfig::default().initramfs_codecs().is_empty());
    }

    #[test]
    fn a_damaged_configuration_is_an_error() {
        let good = embedded(b"CONFIG_A=y\n");
        let cut = &good[..good.len() - 9];
        assert!(matches!(unpack(cut), Err(ConfigError::NotAConfig("has no end"))));
        let mut damaged = good.clone();
        let crc = damaged.len() - 8 - 5; // within the check sum, before IKCFG_ED
        damaged[crc] ^= 1;
        assert!(matches!(unpack(&damaged), Err(ConfigError::Broken(_))));
        let bomb = embedded(&vec![b'#'; TEXT_MAX as usize + 1]);
        assert!(matches!(unpack(&bomb), Err(ConfigError::NotAConfig(_))));
        assert!(matches!(unpack(&embedded(&[0xff])), Err(ConfigError::NotAConfig("is no text"))));
    }
}
