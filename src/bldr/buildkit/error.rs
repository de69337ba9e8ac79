//! What can go wrong between this program and BuildKit.

use std::io;
use std::path::PathBuf;

use crate::base::program::{Ended, StreamError};

/// Where BuildKit is had from.
const GET_IT: &str = "install buildctl and start buildkitd (https://github.com/moby/buildkit), or install docker with buildx; `--addr` or `BUILDKIT_HOST` says where the daemon is";

/// BuildKit did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BuildKitError {
    /// Neither client is there.
    #[error("there is no BuildKit here: neither `buildctl` nor `docker` is in `PATH`")]
    NoClient,
    /// An address was given, and only docker is there, which takes none.
    #[error("there is no `buildctl` in `PATH`, and `docker buildx` takes no address of a daemon")]
    NoBuildctl,
    /// There are clients, and none reaches a daemon.
    #[error("no BuildKit daemon answers")]
    NoDaemon {
        /// What each client said.
        said: Vec<String>,
    },
    /// The client could not be run.
    #[error("`{}` cannot be run", program.display())]
    Start {
        /// Which one.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The build failed.
    #[error("the build {}: {reason}", step.as_ref().map_or_else(|| "failed".to_owned(), |step| format!("failed in step `{step}`")))]
    Failed {
        /// The step that failed, as the daemon names it.
        step: Option<String>,
        /// What the daemon said of it.
        reason: String,
        /// The last lines that it wrote.
        log: Vec<String>,
    },
    /// The client ended in another way than by saying what failed.
    #[error("`{}` {ended}", program.display())]
    Ended {
        /// Which one.
        program: PathBuf,
        /// How.
        ended: Ended,
        /// The last lines that it wrote.
        log: Vec<String>,
    },
}

impl BuildKitError {
    /// Lines below the message.
    pub fn details(&self) -> &[String] {
        match self {
            Self::NoDaemon { said: lines }
            | Self::Failed { log: lines, .. }
            | Self::Ended { log: lines, .. } => lines,
            Self::NoClient | Self::NoBuildctl | Self::Start { .. } => &[],
        }
    }

    /// Advice.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoClient | Self::NoDaemon { .. } => Some(GET_IT.to_owned()),
            Self::NoBuildctl => Some(
                "install buildctl (https://github.com/moby/buildkit), or leave out `--addr` and let docker's own builder build"
                    .to_owned(),
            ),
            // What Docker's own BuildKit before 23 says of trees of packages.
            Self::Failed { reason, .. } if reason.contains("mergeop is not supported") => Some(
                "this docker's own BuildKit is too old: `docker buildx create --use` makes a builder that is not, or use buildctl with buildkitd"
                    .to_owned(),
            ),
            Self::Failed { .. } | Self::Ended { .. } | Self::Start { .. } => None,
        }
    }
}

impl<E> StreamError<E> {
    /// The same in this module's words; an error of the reader by `other`.
    pub(super) fn told<T>(self, start: impl FnOnce(BuildKitError) -> T, other: impl FnOnce(E) -> T) -> T {
        match self {
            Self::Start { program, source } => start(BuildKitError::Start { program, source }),
            Self::Reader(error) => other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_old_buildkit_is_named_by_what_it_says() {
        let failed = |reason: &str| BuildKitError::Failed { step: None, reason: reason.into(), log: vec![] };
        let error = failed("failed to solve: mergeop is not supported by build server");
        assert!(error.hint().unwrap().contains("buildx create"));
        assert_eq!(
            error.to_string(),
            "the build failed: failed to solve: mergeop is not supported by build server"
        );
        assert!(failed("exit code: 3").hint().is_none());
    }
}
