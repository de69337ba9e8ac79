//! Kernel modules: what their files say of themselves.
//!
//! | module | what |
//! |---|---|
//! | [`elf`] | bounded access to the sections of a module |
//! | [`module`] | the facts of one module: name, machine, vermagic, aliases, signature state |
//! | [`signature`] | whether a kernel takes the signature of a module |
//! | [`symbols`] | what a module exports and imports |
//! | [`mod@depmod`] | the index files of a tree of modules |
//! | [`mod@abridge`] | a module without what no index needs |
//! | [`compressed`] | telling a compressed module, and unpacking it |
//!
//! Everything here reads untrusted bytes: a file is a module, or an error says why it is none.

pub mod abridge;
pub mod compressed;
pub mod depmod;
pub mod elf;
pub mod module;
pub mod signature;
pub mod symbols;

pub use abridge::abridge;
pub use compressed::{Compression, UnpackError, plain, unpack};
pub use depmod::{Depmod, DepmodError, Options, depmod};
pub use elf::{Elf, Machine, ModuleError, NotAModule};
pub use module::{ModuleFacts, SignatureState, SignatureTrailer, names_of};
pub use signature::Verdict;
pub use symbols::Symbols;
