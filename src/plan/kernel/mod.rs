//! A kernel and modules for it, built by BuildKit in one solve, verified, and made into images.
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | what is wanted, and what came of it |
//! | `sources` | the user's folder, and the generated folder beside it |
//! | `bundle` | the solve: its tar streamed into the store, and split |
//! | `verify` | whether the kernel takes what was built with it |
//! | `judge` | what it makes of the packages' modules beyond their signatures |
//! | [`mod@build`] | all of it, in order |
//!
//! Nothing is assembled before every module of the kernel and of the packages is verified against the keys in
//! that kernel: a cache from which the key's stage was lost gives modules signed by another key, and no error. Such a
//! build is made once more, and takes nothing from there: by `no-cache`, or where the frontend heeds that by half, by
//! a mark in each package.

pub mod build;
pub(in crate::plan) mod bundle;
mod judge;
pub(in crate::plan) mod sources;
pub mod spec;
mod verify;

pub use build::{build, explain};
pub use spec::{BuiltKernel, Explained, KernelSpec, NamedImage, output_for};
pub use verify::KernelFacts;
