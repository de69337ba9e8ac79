//! The stock initramfs with another root file system in it.
//!
//! It is one archive of `.`, `init` and `rootfs.sqsh`. Of the archive everything stays but the bytes of
//! the last member and its size in the header, so that names, order, times and numbers are those of the
//! stock image. Talos and upstream's imager read one stream of zstd or, before Talos 1.8, of xz
//! (Talos' `internal/pkg/…/cpio` callers take no further ones): the result is one.

use std::io;

use crate::archive::compress::{Codec, stored_xz, stored_zstd};
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

    /// The archive with another root file system. Nothing is copied.
    pub fn with_rootfs(&self, rootfs: &Content) -> Result<Content, InitramfsError> {
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

/// An archive as the one stream that Talos reads. What is nearly all of it is compressed already, so it
/// is stored.
pub fn stream(archive: &Content, codec: Codec) -> Result<Content, InitramfsError> {
    match codec {
        Codec::Zstd => Ok(stored_zstd(archive)),
        Codec::Xz => stored_xz(archive).map_err(InitramfsError::Bytes),
        other => Err(InitramfsError::Codec(other)),
    }
}
