//! What is wrong with an initramfs. Every error says where: by the byte of the file, and within a
//! compressed segment by the byte of what came out of it.

use std::fmt;
use std::io;

use crate::archive::TreeError;
use crate::archive::compress::Codec;

/// A place in an initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where the segment begins in the file.
    pub segment: u64,
    /// The segment's codec.
    pub codec: Codec,
    /// The byte: of the file in a plain segment, otherwise of what the segment decompresses to.
    pub at: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.codec {
            Codec::Plain => write!(f, "byte {}", self.at),
            codec => write!(f, "byte {} of the {codec} segment at byte {}", self.at, self.segment),
        }
    }
}

/// Why Linux would not unpack it all, though another reader may. It goes on booting with what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `lib/decompress.c` knows zstd's frames only.
    #[error("a skippable zstd frame is no compressed data to it")]
    SkippableFrame,
    /// `lib/xz` knows no check and CRC-32.
    #[error("the xz stream has check {0}, and it knows none (0) and CRC-32 (1) only")]
    XzCheck(u8),
    /// `lib/decompress_unzstd.c`.
    #[error("the window is larger than 128 MiB")]
    Window,
    /// The segment ends within a member. One archive in several zstd frames looks like that: each
    /// frame is a segment of its own.
    #[error("the archive is cut by the end of its segment")]
    Cut,
    /// A plain archive begins at a multiple of four bytes.
    #[error("a plain archive begins at no multiple of four bytes")]
    Unaligned,
    /// What follows a plain archive and NUL bytes begins at a multiple of four bytes.
    #[error("what follows a plain archive begins at no multiple of four bytes")]
    Padding,
    /// Neither an archive nor compressed data.
    #[error("neither an archive nor compressed data begins there")]
    Junk,
    /// A member in the `crc` format is not what its sum says.
    #[error("the sum of the member's bytes is another than its header says")]
    Sum,
}

/// An initramfs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// What the file system said.
        source: io::Error,
    },
    /// A segment cannot be decompressed.
    #[error("cannot decompress at {place}")]
    Decompress {
        /// Where.
        place: Place,
        /// What the decompressor or a limit said.
        source: io::Error,
    },
    /// There is no header where one should be.
    #[error("{why} at {place}")]
    Header {
        /// Where.
        place: Place,
        /// What is wrong.
        why: String,
    },
    /// A member breaks a rule.
    #[error("member `{member}` at {place} {why}")]
    Member {
        /// The member's name, made printable.
        member: String,
        /// Where its header begins.
        place: Place,
        /// What is wrong with it, as the rest of the sentence.
        why: String,
    },
    /// A member has no place in a tree.
    #[error("member `{member}` at {place} cannot be taken")]
    Tree {
        /// The member's name, made printable.
        member: String,
        /// Where its header begins.
        place: Place,
        /// What the tree said.
        source: TreeError,
    },
    /// The bytes of a member could not be kept.
    #[error("cannot keep the content of member `{member}` at {place}")]
    Content {
        /// The member's name, made printable.
        member: String,
        /// Where its header begins.
        place: Place,
        /// What the keeper said.
        source: io::Error,
    },
    /// Linux would refuse it.
    #[error("the kernel would not unpack what begins at {place}")]
    Refused {
        /// Where.
        place: Place,
        /// Why.
        #[source]
        refusal: Refusal,
    },
}

impl ReadError {
    /// An archive ends, or something else begins, where its trailer should be. Linux itself takes that
    /// (seen with 6.12), but carries its hard links on into the next archive, and other readers do not
    /// take it: it is an archive that was cut between two members.
    pub(super) fn no_trailer(place: Place) -> Self {
        Self::Header { place, why: "the archive has no trailer".to_owned() }
    }

    pub(super) fn refused(place: Place, refusal: Refusal) -> Self {
        Self::Refused { place, refusal }
    }
}
