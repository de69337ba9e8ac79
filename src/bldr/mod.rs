//! Package trees of Talos (`Pkgfile`, `pkg.yaml`), and how they are built.
//!
//! | module | what |
//! |---|---|
//! | [`buildkit`] | the one delegated step: a solve by BuildKit's client |

pub mod buildkit;
