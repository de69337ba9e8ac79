//! What is wrong with an archive. Every error names the byte at which the member's (or block's)
//! header begins in the plain tar stream, and the member where its name is known.

use std::io;

use crate::archive::TreeError;

/// An archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream below failed: the disk, the decompressor, a limit on what it may give.
    #[error("cannot read the archive at byte {offset}")]
    Read {
        /// How far it was read.
        offset: u64,
        /// What the stream said.
        source: io::Error,
    },
    /// A block that should be a header is none.
    #[error("block at byte {offset} is no tar header: {why}")]
    Header {
        /// Where the block begins.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A member breaks a rule or a limit.
    #[error("member `{member}` at byte {offset} {why}")]
    Member {
        /// The member's name, made printable.
        member: String,
        /// Where its first header begins.
        offset: u64,
        /// What is wrong with it, as the rest of the sentence.
        why: String,
    },
    /// A member has no place in the tree.
    #[error("member `{member}` at byte {offset} cannot be taken")]
    Tree {
        /// The member's name, made printable.
        member: String,
        /// Where its first header begins.
        offset: u64,
        /// What the tree said.
        source: TreeError,
    },
    /// A hard link leads to a path that the caller did not want, so its bytes have gone by.
    #[error("member `{member}` at byte {offset} is a hard link to `{target}`, which was not asked for")]
    LinkOutside {
        /// The member's name, made printable.
        member: String,
        /// Where its first header begins.
        offset: u64,
        /// The path, in normal form, to want as well when reading again.
        target: String,
    },
    /// The bytes of a member could not be kept.
    #[error("cannot keep the content of member `{member}` at byte {offset}")]
    Content {
        /// The member's name, made printable.
        member: String,
        /// Where its first header begins.
        offset: u64,
        /// What the keeper said.
        source: io::Error,
    },
}

impl TarError {
    /// As an error of the stream of a member's data; [`io::Error::downcast`] gives it back.
    pub(super) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Read { source, .. } => source.kind(),
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}

/// A name from an archive for a message: escaped as all foreign text is, and cut at 200 characters.
pub fn printable(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name.get(..800).unwrap_or(name)).chars().take(200).collect();
    crate::base::printable(&text).into_owned()
}
