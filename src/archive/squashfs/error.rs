//! What can go wrong in writing an image.

use std::io;

use super::options::OptionsError;
use super::read::ReadError;

/// A tree cannot be written as an image.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An entry that the format cannot hold.
    #[error("`{path}` cannot stand in a squashfs image: {why}")]
    Refused {
        /// The entry.
        path: String,
        /// Which limit it passes.
        why: String,
    },
    /// The tree as a whole passes a limit of the format.
    #[error("the tree does not fit into a squashfs image: {0}")]
    Limit(&'static str),
    /// See [`OptionsError`].
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The content of an entry could not be read.
    #[error("cannot read the content of `{path}`")]
    Content {
        /// The entry.
        path: String,
        /// What the file system said.
        source: io::Error,
    },
    /// The codec failed.
    #[error("cannot compress")]
    Codec {
        /// What it said.
        source: io::Error,
    },
    /// The image whose blocks are kept could not be read.
    #[error("cannot read the image that is rewritten")]
    Kept {
        /// What is wrong with it.
        source: ReadError,
    },
    /// A subtree cannot be exchanged.
    #[error("`{path}` cannot be exchanged: {why}")]
    Exchange {
        /// The subtree, or what is in its way.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// The image could not be written.
    #[error("cannot write the image")]
    Output {
        /// What the output said.
        source: io::Error,
    },
}

impl WriteError {
    pub(super) fn refused(path: &str, why: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), why: why.into() }
    }

    pub(super) fn codec(source: io::Error) -> Self {
        Self::Codec { source }
    }

    pub(super) fn kept(source: ReadError) -> Self {
        Self::Kept { source }
    }

    pub(super) fn output(source: io::Error) -> Self {
        Self::Output { source }
    }
}
