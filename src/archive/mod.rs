//! File trees and the formats that carry them.
//!
//! | module | what |
//! |---|---|
//! | [`tree`] | the one file tree in memory |

pub mod tree;

pub use tree::{Entry, Kind, Tree, TreeError};
