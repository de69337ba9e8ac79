//! The fixed parts of the format: superblock, inode types, references, block sizes.
//!
//! All numbers are little-endian. Source: `fs/squashfs/squashfs_fs.h` of the kernel, version 4.0.

/// `hsqs`.
pub(super) const MAGIC: u32 = 0x7371_7368;
/// Bytes of the superblock.
pub(super) const SUPERBLOCK: usize = 96;
/// Uncompressed bytes of a metadata block.
pub(super) const METADATA: usize = 8192;
/// A metadata block's length with this bit set is that of a stored one.
pub(super) const METADATA_STORED: u16 = 0x8000;
/// A data block's length with this bit set is that of a stored one.
pub(super) const DATA_STORED: u32 = 1 << 24;
/// The longest options of a codec: zlib's and xz's have eight bytes, zstd's and lz4's no more.
pub(super) const CODEC_OPTIONS_MAX: usize = 64;
/// A table that is not there.
pub(super) const NO_TABLE: u64 = u64::MAX;
/// No fragment, no attributes.
pub(super) const NONE: u32 = u32::MAX;
/// Entries of a directory below one header at the most.
pub(super) const RUN: usize = 256;
/// A directory's size counts `.` and `..` with three bytes that are nowhere.
pub(super) const DIRECTORY_EXTRA: u64 = 3;
/// The longest name: the format could say 256, Linux opens 255 (`NAME_MAX`).
pub(super) const NAME_MAX: usize = 255;
/// The longest symlink target: the kernel refuses more than a page (`squashfs_read_inode`), and
/// `PATH_MAX` counts a NUL.
pub(super) const TARGET_MAX: usize = 4095;
/// The largest extended attribute (`XATTR_SIZE_MAX`).
pub(super) const XATTR_MAX: usize = 65_536;
/// An attribute's type with this bit has its value elsewhere.
pub(super) const XATTR_ELSEWHERE: u16 = 0x100;
/// Prefixes of attributes by type.
pub(super) const XATTR_PREFIXES: [&str; 3] = ["user.", "trusted.", "security."];

/// Flags of the superblock.
pub(super) mod flag {
    pub(in super::super) const STORED_INODES: u16 = 0x0001;
    pub(in super::super) const STORED_DATA: u16 = 0x0002;
    pub(in super::super) const STORED_FRAGMENTS: u16 = 0x0008;
    pub(in super::super) const NO_FRAGMENTS: u16 = 0x0010;
    pub(in super::super) const ALWAYS_FRAGMENTS: u16 = 0x0020;
    pub(in super::super) const DUPLICATES: u16 = 0x0040;
    pub(in super::super) const EXPORTABLE: u16 = 0x0080;
    pub(in super::super) const STORED_XATTRS: u16 = 0x0100;
    pub(in super::super) const NO_XATTRS: u16 = 0x0200;
    pub(in super::super) const CODEC_OPTIONS: u16 = 0x0400;
    pub(in super::super) const STORED_IDS: u16 = 0x0800;
}

/// Types of inodes; an extended one is [`EXTENDED`] more.
pub(super) mod inode {
    pub(in super::super) const DIRECTORY: u16 = 1;
    pub(in super::super) const FILE: u16 = 2;
    pub(in super::super) const SYMLINK: u16 = 3;
    pub(in super::super) const BLOCK_DEVICE: u16 = 4;
    pub(in super::super) const CHAR_DEVICE: u16 = 5;
    pub(in super::super) const FIFO: u16 = 6;
    pub(in super::super) const SOCKET: u16 = 7;
    pub(in super::super) const EXTENDED: u16 = 7;
}

/// What stands at the front of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) inodes: u32,
    pub(super) mtime: u32,
    pub(super) block_size: u32,
    pub(super) fragments: u32,
    pub(super) codec: u16,
    pub(super) flags: u16,
    pub(super) ids: u16,
    pub(super) root: u64,
    pub(super) bytes_used: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: u64,
    pub(super) inode_table: u64,
    pub(super) directory_table: u64,
    pub(super) fragment_table: u64,
    pub(super) export_table: u64,
}

impl Superblock {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SUPERBLOCK);
        let block_log = self.block_size.trailing_zeros() as u16; // 12 to 20
        for word in [MAGIC, self.inodes, self.mtime, self.block_size, self.fragments] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for half in [self.codec, block_log, self.flags, self.ids, 4, 0] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        for long in [
            self.root,
            self.bytes_used,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            bytes.extend_from_slice(&long.to_le_bytes());
        }
        bytes
    }

    /// Reads the fields; what is wrong with them otherwise.
    pub(super) fn decode(bytes: &[u8; SUPERBLOCK]) -> Result<Self, String> {
        let mut fields = Fields(bytes);
        let (magic, inodes, mtime) = (fields.u32(), fields.u32(), fields.u32());
        let (block_size, fragments) = (fields.u32(), fields.u32());
        let (codec, block_log, flags, ids) = (fields.u16(), fields.u16(), fields.u16(), fields.u16());
        let version = (fields.u16(), fields.u16());
        if magic != Some(MAGIC) {
            return Err("it does not begin with `hsqs`".to_owned());
        }
        if version != (Some(4), Some(0)) {
            return Err("its version is not 4.0".to_owned());
        }
        let read = || -> Option<Self> {
            Some(Self {
                inodes: inodes?,
                mtime: mtime?,
                block_size: block_size?,
                fragments: fragments?,
                codec: codec?,
                flags: flags?,
                ids: ids?,
                root: fields.u64()?,
                bytes_used: fields.u64()?,
                id_table: fields.u64()?,
                xattr_table: fields.u64()?,
                inode_table: fields.u64()?,
                directory_table: fields.u64()?,
                fragment_table: fields.u64()?,
                export_table: fields.u64()?,
            })
        };
        let found = {
            let mut read = read;
            read()
        }
        .ok_or_else(|| "its superblock is cut".to_owned())?;
        let size = found.block_size;
        if !size.is_power_of_two()
            || !(4096..=1 << 20).contains(&size)
            || block_log.map(u32::from) != Some(size.trailing_zeros())
        {
            return Err(format!(
                "its block size {size} is no power of two from 4096 to 1048576, or given twice with different values"
            ));
        }
        Ok(found)
    }
}

/// Little-endian numbers, one after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (now, later) = self.0.split_at_checked(count)?;
        self.0 = later;
        Some(now)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// A device's number as the kernel encodes it (`new_encode_dev`); `None` past its 12 and 20 bits.
pub(super) fn encode_device(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20).then_some(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

/// The inverse of [`encode_device`]: major and minor number.
pub(super) fn decode_device(device: u32) -> (u32, u32) {
    ((device & 0xf_ff00) >> 8, device & 0xff | (device >> 12) & 0xf_ff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_reads_back_and_wrong_ones_are_told() {
        let block =
            Superblock { block_size: 1 << 17, root: 7, ids: 3, export_table: 9, ..Superblock::default() };
        let bytes: [u8; SUPERBLOCK] = block.encode().try_into().unwrap();
        assert_eq!(Superblock::decode(&bytes), Ok(block));
        for (at, value) in [(0, b'x'), (12, 1), (22, 5), (28, 3)] {
            let mut bytes = bytes;
            bytes[at] = value;
            assert!(Superblock::decode(&bytes).is_err(), "{at}");
        }
    }

    #[test]
    fn device_numbers_are_the_kernels() {
        for device in [(0, 0), (8, 1), (4095, (1 << 20) - 1), (1, 256), (259, 65_537)] {
            assert_eq!(decode_device(encode_device(device.0, device.1).unwrap()), device);
        }
        assert_eq!(encode_device(8, 257), Some(0x10_0801));
        assert_eq!((encode_device(4096, 0), encode_device(0, 1 << 20)), (None, None));
    }
}
