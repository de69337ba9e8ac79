//! File trees and the formats that carry them.
//!
//! | module | what |
//! |---|---|
//! | [`tree`] | the one file tree in memory |
//! | [`linked`] | a file tree in the making, whose hard links stay right when paths are replaced |
//! | [`compress`] | compressed streams: gzip and zstd written, always the same; every codec of Linux read |
//! | [`cpio`] | cpio archives in "newc", and the segments of an initramfs |
//! | [`bounded`] | a limit on what a decompressor may give |
//! | [`squashfs`] | squashfs images, read and written |
//! | [`tar`] | tar archives, read and written |

pub mod bounded;
pub mod compress;
pub mod cpio;
pub mod linked;
pub mod squashfs;
pub mod tar;
pub mod tree;

pub use compress::Compression;
pub use tree::{Entry, Kind, Tree, TreeError};
