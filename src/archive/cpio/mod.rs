//! Cpio archives in "newc", and the initramfs, which is any number of them.
//!
//! | module | what |
//! |---|---|
//! | [`error`] | what is wrong with an initramfs, and what a kernel would say to it |
//! | `format` | the header |
//! | `source` | the bytes of a segment, plain or decompressed |
//! | [`segments`] | the segments of an initramfs and their members |
//! | [`unpack`] | members onto a file tree |
//! | [`mod@write`] | a file tree as an archive, planned |
//!
//! Documents: Linux' `Documentation/driver-api/early-userspace/buffer-format.rst`; where it and
//! `init/initramfs.c` differ, the latter.

pub mod error;
mod format;
pub mod segments;
mod source;
pub mod unpack;
pub mod write;

pub use error::{Place, ReadError, Refusal};
pub use segments::{Member, MemberKind, Segment, walk};
pub use unpack::read_tree;
pub use write::{Options, WriteError, archive};
