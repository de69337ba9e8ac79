//! The stock initramfs with another root file system in it.
//!
//! It is one archive of `.`, `init` and `rootfs.sqsh`. Of the archive everything stays but the bytes of
//! the last member and its size in the header, so that names, order, times and numbers are those of the
//! stock image. Talos and upstream's imager read one stream of zstd or, before Talos 1.8, of xz
//! and nothing behind it: the result is one, too.

use std::io;

use crate::archive::compress::{Codec, continued_zstd, stored_xz};
use crate::archive::cpio::{Member, MemberKind, ReadError, walk};
use crate::base::Content;

/// The member that holds the root file system.
pub const ROOTFS: &str = "rootfs.sqsh";
/// A header's first bytes in the format without sums, and where a member's size stands in it: eight
/// hexadecimal digits (Linux, `buffer-format.rst`).
const MAGIC: &[u8] = b"070701";
const SIZE: u64 = 54;
const DIGITS: u64 = 8;

/// An initramfs has another form than Talos'.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// It cannot be read.
    #[error("the initramfs cannot be read")]
    Read(#[from] ReadError),
    /// It has no root file system, or several.
    #[error("the initramfs has {0} members `{ROOTFS}` instead of one")]
    Rootfs(usize),
    /// It is more than one archive: neither Talos nor its imager would find the root file system.
    #[error("the initramfs has {0} segments instead of one")]
    Segments(usize),
    /// A codec that Talos does not read.
    #[error("the initramfs is compressed with {0}; Talos reads zstd and xz")]
    Codec(Codec),
    /// The member is not as Talos has it.
    #[error("`{ROOTFS}` in the initramfs {0}")]
    Member(&'static str),
    /// The bytes cannot be read.
    #[error("the initramfs cannot be read")]
    Bytes(#[source] io::Error),
}

/// An initramfs, decompressed.
#[derive(Debug, Clone)]
pub struct Initramfs {
    archive: Content,
    /// Of the member `rootfs.sqsh`: its header, and its bytes.
    header: u64,
    start: u64,
    len: u64,
}

impl Initramfs {
    /// Reads the members of a decompressed initramfs.
    pub fn of(archive: &Content) -> Result<Self, InitramfsError> {
        let mut found = Vec::new();
        let segments = walk::<InitramfsError>(archive, &mut |member, _| {
            if is_rootfs(member) {
                found.push(member.clone());
            }
            Ok(())
        })?;
        if segments.len() != 1 {
            return Err(InitramfsError::Segments(segments.len()));
        }
        let [member] = found.as_slice() else { return Err(InitramfsError::Rootfs(found.len())) };
        let (header, len) = (member.place.at, member.size);
        if member.kind != MemberKind::File || member.nlink > 1 || len == 0 {
            return Err(InitramfsError::Member("is no regular file with one name"));
        }
        let name = member.name.len() as u64 + 1;
        let start = header + (110 + name).next_multiple_of(4);
        let read = Self { archive: archive.clone(), header, start, len };
        let head = read.slice(header, SIZE + DIGITS)?.read(SIZE + DIGITS).map_err(InitramfsError::Bytes)?;
        if !head.starts_with(MAGIC) {
            return Err(InitramfsError::Member("has a header with a sum of its bytes"));
        }
        let digits = head.get(SIZE as usize..).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            Some(size) if size == len => Ok(read),
            _ => Err(InitramfsError::Member("is not where its header says")),
        }
    }

    fn slice(&self, from: u64, len: u64) -> Result<Content, InitramfsError> {
        self.archive.slice(from, len).ok_or(InitramfsError::Member("lies behind the end of the archive"))
    }

    /// The root file system.
    pub fn rootfs(&self) -> Result<Content, InitramfsError> {
        self.slice(self.start, self.len)
    }

    /// The initramfs with another root file system, as the one stream that Talos reads. `old` is the stock
    /// one, compressed with `codec`: of zstd the blocks before the root file system are kept. That itself is
    /// compressed already, and is stored.
    pub fn packed(&self, rootfs: &Content, old: &Content, codec: Codec) -> Result<Content, InitramfsError> {
        let archive = self.with_rootfs(rootfs)?;
        match codec {
            Codec::Zstd => continued_zstd(old, self.header + SIZE, &archive),
            Codec::Xz => stored_xz(&archive),
            other => return Err(InitramfsError::Codec(other)),
        }
        .map_err(InitramfsError::Bytes)
    }

    /// The archive with another root file system. Nothing is copied.
    fn with_rootfs(&self, rootfs: &Content) -> Result<Content, InitramfsError> {
        let size = u32::try_from(rootfs.len()).map_err(|_| InitramfsError::Member("is larger than 4 GiB"))?;
        let digits = self.header + SIZE;
        let behind = (self.start + self.len).next_multiple_of(4);
        let rest = self.archive.len().saturating_sub(behind);
        let padding = rootfs.len().next_multiple_of(4) - rootfs.len();
        Ok(Content::joined([
            self.slice(0, digits)?,
            Content::memory(format!("{size:08X}").into_bytes()),
            self.slice(digits + DIGITS, self.start - digits - DIGITS)?,
            rootfs.clone(),
            Content::memory(vec![0; padding as usize]), // below four
            self.slice(behind, rest)?,
        ]))
    }
}

/// Whether a member is the root file system.
pub fn is_rootfs(member: &Member) -> bool {
    member.name.strip_prefix(b"./").unwrap_or(&member.name) == ROOTFS.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::compress::stored_zstd;
    use crate::archive::cpio::{Options, archive};
    use crate::archive::{Entry, Tree};

    fn tree(files: &[(&str, &[u8])]) -> Tree {
        let mut tree = Tree::new();
        for (path, bytes) in files {
            tree.insert(path, Entry { mtime: 7, ..Entry::file(0o755, Content::memory(*bytes)) }).unwrap();
        }
        tree
    }

    fn made(files: &[(&str, &[u8])]) -> Content {
        archive(&tree(files), &Options { pad_to: 512, ..Options::default() }).unwrap()
    }

    #[test]
    fn only_the_root_file_system_and_its_size_change() {
        for (old, new) in [(&b"old"[..], &b"another"[..]), (b"long enough", b"x"), (b"four", b"five")] {
            let stock = made(&[("init", b"the init"), (ROOTFS, old), ("z", b"behind")]);
            let read = Initramfs::of(&stock).unwrap();
            assert_eq!(read.rootfs().unwrap().read(99).unwrap(), old);
            let meant = made(&[("init", b"the init"), (ROOTFS, new), ("z", b"behind")]).read(9999).unwrap();
            let made = read.with_rootfs(&Content::memory(new)).unwrap().read(9999).unwrap();
            let (short, long) = (meant.len().min(made.len()), meant.len().max(made.len()));
            // The stock padding at the end stays.
            assert!(meant[..short] == made[..short] && long - short < 512);
            let packed = read.packed(&Content::memory(new), &stored_zstd(&stock), Codec::Zstd).unwrap();
            let mut found = Vec::new();
            let segments = walk::<ReadError>(&packed, &mut |member, reader| {
                if is_rootfs(member) {
                    reader.read_to_end(&mut found).unwrap();
                }
                Ok(())
            });
            assert_eq!((segments.unwrap().len(), &found[..]), (1, new));
        }
    }

    #[test]
    fn another_form_is_an_error() {
        assert!(matches!(Initramfs::of(&made(&[("init", b"x")])), Err(InitramfsError::Rootfs(0))));
        let two = made(&[(ROOTFS, b"x"), ("./b/rootfs.sqsh", b"y")]);
        assert_eq!(Initramfs::of(&two).unwrap().rootfs().unwrap().read(9).unwrap(), b"x");
        assert!(matches!(Initramfs::of(&made(&[(ROOTFS, b"")])), Err(InitramfsError::Member(_))));
        let twice = Content::joined([made(&[("init", b"x")]), made(&[(ROOTFS, b"x")])]);
        assert!(matches!(Initramfs::of(&twice), Err(InitramfsError::Segments(2))));
        let one = Initramfs::of(&two).unwrap();
        let gzip = one.packed(&Content::memory(*b"x"), &two, Codec::Gzip);
        assert!(matches!(gzip, Err(InitramfsError::Codec(Codec::Gzip))));
    }
}
