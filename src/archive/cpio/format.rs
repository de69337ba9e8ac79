//! The header of "newc": 110 ASCII bytes, a magic number and thirteen numbers of eight hexadecimal
//! digits. Linux' `Documentation/driver-api/early-userspace/buffer-format.rst` is the document,
//! `init/initramfs.c` the reader that counts.

/// Bytes of a header.
pub(super) const HEADER: usize = 110;
/// The name of the member that ends an archive.
pub(super) const TRAILER: &str = "TRAILER!!!";
/// Headers with their names, and contents, are padded to this; a plain archive begins at a multiple.
pub(super) const ALIGN: u64 = 4;

/// Bits of the mode that say what a member is.
pub(super) const TYPE: u32 = 0o170_000;
/// The kinds.
pub(super) mod kind {
    pub(in super::super) const FIFO: u32 = 0o010_000;
    pub(in super::super) const CHAR: u32 = 0o020_000;
    pub(in super::super) const DIRECTORY: u32 = 0o040_000;
    pub(in super::super) const BLOCK: u32 = 0o060_000;
    pub(in super::super) const FILE: u32 = 0o100_000;
    pub(in super::super) const SYMLINK: u32 = 0o120_000;
}

/// A header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// `070702`: the last number is the sum of the content's bytes.
    pub(super) crc: bool,
    pub(super) ino: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    pub(super) mtime: u32,
    pub(super) size: u32,
    /// Device that it was read from: major, minor.
    pub(super) device: (u32, u32),
    /// Device that it is: major, minor.
    pub(super) rdev: (u32, u32),
    /// Bytes of the name, its NUL included.
    pub(super) name: u32,
    pub(super) check: u32,
}

impl Header {
    /// Its bytes.
    pub(super) fn encode(&self) -> String {
        let mut text = String::with_capacity(HEADER);
        text.push_str(if self.crc { "070702" } else { "070701" });
        for number in [
            self.ino,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.mtime,
            self.size,
            self.device.0,
            self.device.1,
            self.rdev.0,
            self.rdev.1,
            self.name,
            self.check,
        ] {
            text.push_str(&format!("{number:08X}"));
        }
        text
    }

    /// Reads it; what is wrong otherwise.
    pub(super) fn parse(bytes: &[u8; HEADER]) -> Result<Self, &'static str> {
        let (magic, numbers) = bytes.split_at(6);
        let crc = match magic {
            b"070701" => false,
            b"070702" => true,
            b"070707" => return Err("it is in cpio's old format, of which kernels know nothing"),
            _ => return Err("there is no cpio header"),
        };
        let mut numbers = numbers.chunks_exact(8).map(hexadecimal);
        let mut next = || numbers.next().flatten().ok_or("a number of the header has no hexadecimal digits");
        Ok(Self {
            crc,
            ino: next()?,
            mode: next()?,
            uid: next()?,
            gid: next()?,
            nlink: next()?,
            mtime: next()?,
            size: next()?,
            device: (next()?, next()?),
            rdev: (next()?, next()?),
            name: next()?,
            check: next()?,
        })
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit()); // `from_str_radix` takes a sign
    all.then(|| u32::from_str_radix(digits, 16).ok())?
}

/// Bytes to the next multiple of four.
pub(super) fn padding(length: u64) -> u64 {
    length.wrapping_neg() % ALIGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_and_strange_digits_do_not() {
        let header =
            Header { ino: 7, mode: 0o100_644, size: u32::MAX, rdev: (4, 64), name: 2, ..Header::default() };
        let bytes: [u8; HEADER] = header.encode().into_bytes().try_into().unwrap();
        assert_eq!(Header::parse(&bytes).unwrap(), header);
        for (at, byte) in [(0, b'1'), (5, b'7'), (6, b'+'), (13, b' '), (20, b'x'), (109, 0)] {
            let mut wrong = bytes;
            wrong[at] = byte;
            assert!(Header::parse(&wrong).is_err(), "{at}");
        }
        assert_eq!([0, 1, 2, 3, 4].map(padding), [0, 3, 2, 1, 0]);
    }
}
