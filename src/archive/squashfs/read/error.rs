//! What is wrong with an image.

use std::io;

/// An image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no image, or one of another version or codec.
    #[error("no squashfs image that can be read: {0}")]
    Foreign(String),
    /// Its parts do not fit together.
    #[error("the squashfs image is damaged: {0}")]
    Damaged(String),
    /// An entry is not as it may be.
    #[error("`{path}` in the squashfs image {why}")]
    Entry {
        /// The entry.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The path that was asked for is not there.
    #[error("`{0}` is not in the squashfs image")]
    Missing(String),
    /// The bytes cannot be read.
    #[error("cannot read the squashfs image")]
    Read(#[source] io::Error),
    /// What an entry was to be written to failed.
    #[error("cannot take `{path}` out of the squashfs image")]
    Output {
        /// The entry.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl ReadError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    pub(super) fn entry(path: &str, why: impl Into<String>) -> Self {
        Self::Entry { path: path.to_owned(), why: why.into() }
    }
}
