//! Packages of a tree in bldr's format, built natively: nothing is run on the host, and no daemon is asked.
//!
//! | module | what |
//! |---|---|
//! | [`tree`] | a tree on disk, and where a package's folder has its root |
//! | [`mod@classify`] | what of a package is not run natively, known before the first step runs |
//! | [`sources`] | files that steps want, fetched once and checked |
//! | [`extensions`] | those that are extensions, made into images |
//! | [`mod@build`] | dependencies, steps and `finalize` of a package, and of those that it depends on |

pub mod build;
pub mod classify;
pub mod extensions;
pub mod sources;
pub mod tree;

pub use build::{Builder, Built, Delegate};
pub use classify::{Obstacle, Verdict, classify};
pub use extensions::PackageSpec;
pub use tree::{PackageTree, root_of};
