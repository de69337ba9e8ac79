//! What can go wrong in a plan. Errors keep their sources; the command line turns them into exit
//! codes and prints the details and the hint.

use std::path::PathBuf;

use crate::archive::tar::{TarError, WriteError};
use crate::archive::{TreeError, squashfs};
use crate::base::Digest;
use crate::base::fsio::FileError;
use crate::bldr::buildkit::BuildKitError;
use crate::check::{CheckError, Report};
use crate::image::MediaError;
use crate::image::document::{DocumentError, WalkError};
use crate::kmod::DepmodError;

/// An error of a plan or of one of its steps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that the user gave is not as it must be.
    #[error(transparent)]
    Input(#[from] Box<Problem>),
    /// What was built for this is not fit for it: a verdict, as of the checks.
    #[error("{}", .0.message)]
    Unfit(Box<Problem>),
    /// BuildKit did not do what it was to do.
    #[error(transparent)]
    BuildKit(#[from] BuildKitError),
    /// The checks found errors.
    #[error("nothing was written: {}", .0.summary())]
    Findings(Box<Report>),
    /// A local file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file to be checked cannot be read.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A tree of modules cannot be indexed.
    #[error(transparent)]
    Depmod(#[from] DepmodError),
    /// An image or its medium.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// An output could not be written.
    #[error("cannot write `{target}`")]
    Output {
        /// Where to.
        target: String,
        /// Why.
        source: Box<Error>,
    },
    /// A layer of an image cannot be read.
    #[error("layer {layer} of `{image}` cannot be read")]
    Layer {
        /// Which image.
        image: String,
        /// The layer's digest.
        layer: Digest,
        /// Why.
        source: TarError,
    },
    /// A local tar cannot be read.
    #[error("`{}` cannot be read", file.display())]
    Tar {
        /// The archive.
        file: PathBuf,
        /// Why.
        source: TarError,
    },
    /// A squashfs image cannot be read.
    #[error("`{}` cannot be read", file.display())]
    Squashfs {
        /// The image.
        file: PathBuf,
        /// Why.
        source: squashfs::ReadError,
    },
    /// A tree cannot be made a squashfs image.
    #[error(transparent)]
    Pack(#[from] squashfs::WriteError),
    /// A tar cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A tree refused an entry.
    #[error("{origin}")]
    Tree {
        /// What the entry came from.
        origin: String,
        /// Why.
        source: TreeError,
    },
    /// A blob that was in the store is not there, or damaged.
    #[error("blob {digest} is missing from, or damaged in, the store `{}`", store.display())]
    Vanished {
        /// The blob.
        digest: Digest,
        /// The store.
        store: PathBuf,
    },
    /// Nothing went wrong: in a dry run, what this gives is not known before a step has run.
    #[error("not known before its steps have run")]
    NotRun,
    /// A mistake in this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// A fault in what the user gave, with everything that ends the search for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What is wrong: a lower-case fragment, objects in backticks.
    pub message: String,
    /// Lines below it: where, expected, found.
    pub details: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
    /// It lies in how something was written on the command line, not in what that names.
    pub usage: bool,
}

impl Problem {
    /// A problem without details.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: Vec::new(), hint: None, usage: false }
    }

    /// A problem of how something was written.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { usage: true, ..Self::new(message) }
    }

    /// Adds a line.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Adds the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Input(Box::new(problem))
    }
}

impl From<WalkError<MediaError>> for Error {
    fn from(error: WalkError<MediaError>) -> Self {
        match error {
            WalkError::Source(error) => error.into(),
            WalkError::Document(error) => error.into(),
        }
    }
}

impl From<DocumentError> for Error {
    fn from(error: DocumentError) -> Self {
        Self::Media(error.into())
    }
}
