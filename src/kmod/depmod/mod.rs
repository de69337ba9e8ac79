//! The index files of a tree of modules, as kmod 34's `depmod` writes them.
//!
//! | module | what |
//! |---|---|
//! | [`mod@calculate`] | from a tree to the files and what is wrong with the modules |
//! | [`select`] | which files are modules, and which of two of one name counts |
//! | [`load`] | what is read of each module, in parallel |
//! | [`order`] | the order in which modules and symbols stand in the files |
//! | [`graph`] | who needs whom: dependencies, their order, loops |
//! | [`issue`] | what is wrong: loops, symbols that nothing exports … |
//! | [`kernel_symbols`] | what the kernel itself exports |
//! | [`trie`] | the binary index |
//! | [`output`] | the text and binary files |
//!
//! The files are a function of the tree and of the search order. kmod takes modules of equal rank in
//! the order of the directory, which means nothing; here that of the paths decides. Formats:
//! tools/depmod.c and libkmod/libkmod-index.c of kmod.

pub mod calculate;
pub mod graph;
pub mod issue;
pub mod kernel_symbols;
pub mod load;
pub mod order;
pub mod output;
pub mod select;
pub mod trie;

pub use calculate::{Depmod, DepmodError, OfKernel, Options, depmod};
pub use issue::Issue;
pub use kernel_symbols::KernelSymbols;
pub use select::Search;

/// The files that are written, in kmod's order.
pub const FILES: [&str; 11] = [
    "modules.dep",
    "modules.dep.bin",
    "modules.alias",
    "modules.alias.bin",
    "modules.softdep",
    "modules.weakdep",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
    "modules.devname",
];

#[cfg(test)]
mod tests;
