//! Package trees of Talos (`Pkgfile`, `vars.yaml`, `pkg.yaml`), and how they are built.
//!
//! | module | what |
//! |---|---|
//! | [`template`] | Go templates with sprig's functions |
//! | [`pkgfile`] | the files of a tree as types, all its packages |
//! | [`steps`] | the steps of a package, run on a tree in memory |
//! | [`sbom`] | the bill of materials of a package |
//! | [`buildkit`] | the one delegated step: a solve by BuildKit's client |

pub mod buildkit;
pub mod pkgfile;
pub mod sbom;
pub mod steps;
pub mod template;
