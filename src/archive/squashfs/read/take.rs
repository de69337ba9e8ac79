//! A subtree of an image as a [`Tree`].

use std::io::{self, Read};

use super::error::ReadError;
use super::image::Image;
use crate::archive::tree::{Kind, Tree};
use crate::base::{Content, Workers};

/// Takes everything at and below `wanted` (a normal path) out of an image; the rest of its data is not
/// read. `sink` keeps the bytes of a regular file and says where they are.
pub fn read_tree(
    image: &Image,
    wanted: &str,
    workers: &Workers,
    sink: &mut dyn FnMut(&mut dyn Read, u64) -> io::Result<Content>,
) -> Result<Tree, ReadError> {
    let nodes = image.list(wanted)?;
    let mut tree = Tree::new();
    image.walk(&nodes, workers, &mut |node, reader| {
        let mut entry = node.entry.clone();
        if let Some(size) = node.size() {
            let content =
                sink(reader, size).map_err(|source| ReadError::Output { path: node.path.clone(), source })?;
            entry.kind = Kind::File(content);
        }
        tree.insert(&node.path, entry).map_err(|error| ReadError::entry(&node.path, error.to_string()))
    })?;
    Ok(tree)
}
