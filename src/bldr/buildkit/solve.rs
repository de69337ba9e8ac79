//! The solve: the client runs, and its result is read while it arrives.

use std::io::Read;

use super::client::{Client, Environment};
use super::command::Request;
use super::error::BuildKitError;
use super::progress::Progress;
use crate::base::Events;
use crate::base::program::{self, Ended};

/// A solve failed, or what reads its result did.
#[derive(Debug, thiserror::Error)]
pub enum SolveError<E> {
    /// BuildKit.
    #[error(transparent)]
    BuildKit(#[from] BuildKitError),
    /// The result cannot be read or kept.
    #[error(transparent)]
    Reader(E),
}

/// Builds the request's target; `read` gets the tar of its files. Where the build fails, that is the error,
/// whatever `read` has made of a tar that was cut short.
pub fn solve<T, E>(
    client: &Client,
    request: &Request<'_>,
    environment: &Environment,
    events: &Events,
    read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
) -> Result<T, SolveError<E>> {
    let call = client.call(request.words(client), request.options, environment);
    let mut progress = Progress::new(events);
    let streamed = program::stream(&call, &mut |line| progress.line(line), read);
    let (ended, result) = streamed.map_err(|error| error.told(SolveError::BuildKit, SolveError::Reader))?;
    match ended {
        Ended::Well => result.map_err(SolveError::Reader),
        ended => Err(progress
            .failure()
            .unwrap_or_else(|log| BuildKitError::Ended { program: call.program, ended, log })
            .into()),
    }
}
