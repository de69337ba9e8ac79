//! The files of package trees as types: `Pkgfile`, `vars.yaml` and `pkg.yaml`, in the format of bldr, v1alpha2.
//!
//! | module | what |
//! |---|---|
//! | [`variables`] | what templates see, and in which order it is put together |
//! | [`root`] | `Pkgfile` |
//! | [`package`] | `pkg.yaml` |
//! | [`packages`] | all packages of a tree: by name, with what they depend on |
//! | [`error`] | what is wrong, in which file and where |
//!
//! Strict where bldr is lax: it passes over keys that it does not know, so that a checksum below `sha521` is
//! no checksum.

pub mod error;
pub mod package;
pub mod packages;
mod read;
pub mod root;
pub mod variables;

pub use error::{PkgfileError, Problem};
pub use package::{
    BuildPlatform, Copied, Dependency, Instruction, Network, Origin, Package, Sbom, Source, Step, Variant,
};
pub use packages::{Located, PKG_YAML, PKGFILE, Packages};
pub use root::Pkgfile;
pub use variables::{BUILD_ARGUMENT, Build, Variables};
