//! A file tree in the making, whose hard links stay right when paths are replaced.
//!
//! Names of one file are a group without a first among them: whichever name is replaced or removed,
//! the others keep the bytes, as on a disk. Only [`LinkedTree::finish`] turns a group into one file
//! and links to it; the file is the name that sorts first, so that a writer in path order has it
//! written before its links.

use std::collections::BTreeMap;

use super::tree::{Entry, Kind, Tree, TreeError};

/// See the module.
#[derive(Debug, Default)]
pub struct LinkedTree {
    /// Every name of a group holds the whole entry: contents are cheap to clone.
    tree: Tree,
    groups: BTreeMap<String, u64>,
    next: u64,
}

impl LinkedTree {
    /// What is there so far; names of one file look like files of their own.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Puts `entry`, which is no hard link, at a normal path. A directory over a directory keeps
    /// what is below; everything else that was there goes, and is given back as a list of paths.
    pub fn put(&mut self, path: &str, entry: Entry) -> Result<Vec<String>, TreeError> {
        let stays = entry.is_directory() && self.tree.get(path).is_some_and(Entry::is_directory);
        let removed = if stays { Vec::new() } else { self.remove(path) };
        self.tree.insert(path, entry)?;
        Ok(removed)
    }

    /// Makes the free normal path `path` another name of what lies at `target`, which must be there
    /// and no directory.
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), TreeError> {
        let entry = self.tree.get(target).filter(|entry| !entry.is_directory()).cloned();
        let entry = entry.ok_or(TreeError::Path {
            path: target.to_owned(),
            why: "is the target of a hard link and no file",
        })?;
        let is_file = matches!(entry.kind, Kind::File(_));
        self.tree.insert(path, entry)?;
        // Links to symlinks and devices are copies: nothing can be told apart afterwards.
        if is_file {
            let group = *self.groups.entry(target.to_owned()).or_insert_with(|| {
                self.next += 1;
                self.next
            });
            self.groups.insert(path.to_owned(), group);
        }
        Ok(())
    }

    /// Removes a normal path and all below it; gives the removed paths.
    pub fn remove(&mut self, path: &str) -> Vec<String> {
        let removed: Vec<String> = self.tree.below(path).map(|(path, _)| path.to_owned()).collect();
        if !removed.is_empty() {
            self.tree.remove(path);
        }
        for path in &removed {
            self.groups.remove(path);
        }
        removed
    }

    /// The finished tree.
    pub fn finish(mut self) -> Tree {
        let mut first: BTreeMap<u64, &str> = BTreeMap::new();
        for (path, group) in &self.groups {
            match first.get(group) {
                None => {
                    first.insert(*group, path);
                }
                Some(target) => {
                    if let Some(entry) = self.tree.get_mut(path) {
                        entry.kind = Kind::HardLink((*target).to_owned());
                    }
                }
            }
        }
        self.tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Content;

    fn file(text: &str) -> Entry {
        Entry::file(0o644, Content::memory(text.as_bytes()))
    }

    #[test]
    fn the_other_names_keep_the_bytes_when_one_is_replaced() {
        let mut tree = LinkedTree::default();
        tree.put("a", file("old")).unwrap();
        tree.link("b", "a").unwrap();
        tree.link("c", "b").unwrap();
        tree.put("a", file("new")).unwrap();
        let tree = tree.finish();
        assert_eq!(tree.get("a").unwrap().content().unwrap().read(9).unwrap(), b"new");
        assert_eq!(tree.get("b").unwrap().content().unwrap().read(9).unwrap(), b"old");
        assert!(matches!(&tree.get("c").unwrap().kind, Kind::HardLink(target) if target == "b"));
    }

    #[test]
    fn the_last_name_of_a_file_is_a_file() {
        let mut tree = LinkedTree::default();
        tree.put("d/a", file("x")).unwrap();
        tree.link("z", "d/a").unwrap();
        assert_eq!(tree.remove("d"), ["d", "d/a"]);
        assert!(tree.finish().get("z").unwrap().content().is_some());
    }
}
