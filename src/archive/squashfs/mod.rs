//! Squashfs 4.0 images: written from a [`Tree`](super::Tree), and read.
//!
//! | module | what |
//! |---|---|
//! | [`options`] | codec, level, block size, times |
//! | [`mod@write`] | a tree as an image: the order of its parts |
//! | `plan` | which blocks there will be; duplicates |
//! | [`rewrite`] | an image with one subtree exchanged, its other blocks copied |
//! | `kept` | the blocks that are copied, and where to |
//! | `blocks` | the pipeline that compresses and writes them |
//! | `choice` | how hard to try on a block |
//! | `codec` | one block through a codec, either way |
//! | `nodes`, `inode`, `xattr`, `metadata` | the tables |
//! | [`read`] | an image of anybody's as a list, as bytes, as a tree |
//! | `format` | superblock and numbers of the format |
//! | [`error`] | what a tree must not have |
//!
//! Document: `fs/squashfs/squashfs_fs.h` of the Linux kernel.

mod blocks;
mod choice;
mod codec;
pub mod error;
mod format;
mod inode;
mod kept;
mod metadata;
mod nodes;
pub mod options;
mod plan;
pub mod read;
pub mod rewrite;
pub mod write;
mod xattr;

pub use error::WriteError;
pub use options::{Codec, Options, OptionsError, SUPERBLOCK_LEN, compressor_of};
pub use read::{Image, Node, ReadError, read_tree};
pub use rewrite::{Rewritten, exchange};
pub use write::{Help, Summary, write_tree};
