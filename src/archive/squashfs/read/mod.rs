//! Images read, whoever made them: with bounds, without unpacking what is not asked for.
//!
//! | module | what |
//! |---|---|
//! | [`image`] | an image opened, and the list of what is in it |
//! | [`node`] | an entry |
//! | [`contents`] | the bytes of entries, in order, decompressed ahead |
//! | `stored` | blocks as they are stored |
//! | [`take`] | a subtree as a [`Tree`](crate::archive::Tree) |
//! | `metadata` | tables on demand |
//! | [`error`] | what is wrong with an image |
//!
//! This is a reader of our own and not the `backhand` crate, which judges it in the tests: backhand
//! reads no extended attributes, holds every inode of an image in memory, takes lengths from the image
//! when it allocates, and brings a second version of two codecs.

pub mod contents;
pub mod error;
pub mod image;
mod metadata;
pub mod node;
mod stored;
pub mod take;

pub use error::ReadError;
pub(super) use image::link;
pub use image::{Image, Info};
pub use node::Node;
pub(super) use stored::{StoredFile, Tail};
pub use take::read_tree;
