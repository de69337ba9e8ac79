//! The stock imager with another kernel: what of its boot assets depends on the kernel, and how it is
//! made of the kernel's image.
//!
//! | file | what |
//! |---|---|
//! | [`kernel`] | the files of a kernel image |
//! | [`modules`] | the subtree of modules in the root file system |
//! | [`initramfs`] | the initramfs with another root file system in it |
//! | [`sbom`] | the list of what is in it |
//!
//! Upstream rebuilds all of Talos for it; of the result only these files differ. Source: Talos'
//! `Dockerfile`, targets `rootfs-base-*`, `initramfs-archive-*` and `install-artifacts`.

pub mod initramfs;
pub mod kernel;
pub mod modules;
pub mod sbom;

pub use initramfs::{Initramfs, InitramfsError};
pub use kernel::{KernelFiles, KernelFilesError};
pub use modules::{Exchanged, ModulesError, exchange};
