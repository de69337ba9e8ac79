//! What firmware starts: kernel images, PE files, and the unified kernel images made of them.
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | the machine that a file is for |
//! | [`pe`] | PE files, read, and planned with more sections |
//! | [`uki`] | unified kernel images, made and taken apart |
//! | [`kernel`] | what a kernel image says of itself |
//!
//! Everything here reads untrusted bytes, and plans its outputs as ranges of its inputs.

mod bytes;
pub mod kernel;
pub mod machine;
pub mod pe;
pub mod uki;

pub use kernel::{Kernel, KernelConfig, KernelError};
pub use machine::Machine;
pub use pe::{Pe, PeError};
pub use uki::Uki;
