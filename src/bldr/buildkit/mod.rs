//! A solve by BuildKit's client: `buildctl`, or `docker buildx` where there is none.
//!
//! | module | what |
//! |---|---|
//! | [`target`] | the one target that holds everything that is wanted |
//! | [`client`] | which client there is, and whether its daemon answers |
//! | [`command`] | the client's command line, as a value |
//! | [`progress`] | what the client tells of its work |
//! | [`mod@solve`] | the solve: its result is read while it arrives |
//! | [`error`] | what can go wrong |
//!
//! A kernel and its modules share a signing key only if they come out of one solve, so there is one target, and
//! whoever reads its result verifies what came out: a daemon that has lost a part of its cache gives modules
//! signed by another key, and says nothing.

pub mod client;
pub mod command;
pub mod error;
pub mod progress;
pub mod solve;
pub mod target;

pub use client::{Client, Environment};
pub use command::{Options, Request, Secret, Tls};
pub use error::BuildKitError;
pub use solve::{SolveError, solve};
pub use target::{Kind, TargetError, Wanted};
