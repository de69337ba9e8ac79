//! From trees and to trees.

use std::collections::BTreeMap;

use super::{Directory, Errno, Id, Inode, Node, ROOT, Root};
use crate::archive::tree::{Entry, Kind, Tree, TreeError, join};

impl Root {
    /// A file system of a tree's entries; names of one file stay names of one file.
    pub fn from_tree(tree: &Tree) -> Result<Self, TreeError> {
        let mut root = Self::new();
        root.merge(tree, "/")?;
        Ok(root)
    }

    /// Puts the entries of `tree` below the folder `at`, which is made where it is missing; what is there
    /// already is replaced, as by a layer.
    pub fn merge(&mut self, tree: &Tree, at: &str) -> Result<(), TreeError> {
        let base = crate::archive::tree::normalise(at)?;
        let error = |path: &str, _: Errno| TreeError::Path {
            path: path.to_owned(),
            why: "cannot be put into the tree of a package",
        };
        let top = self.make_path(ROOT, &base, 0).map_err(|errno| error(at, errno))?;
        for (path, entry) in tree.iter() {
            self.put(top, path, entry, tree).map_err(|errno| error(&join(&base, path), errno))?;
        }
        Ok(())
    }

    fn put(&mut self, top: Id, path: &str, entry: &Entry, tree: &Tree) -> Result<(), Errno> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.make_path(top, above, entry.mtime)?;
        let there = self.child(directory, name);
        let node = match &entry.kind {
            Kind::Directory => {
                if let Some(id) = there.filter(|id| self.is_directory(*id)) {
                    self.dress(id, entry);
                    return Ok(());
                }
                Node::Directory(Directory {
                    parent: directory,
                    name: name.to_owned(),
                    names: BTreeMap::new(),
                })
            }
            Kind::File(content) => Node::File(content.clone()),
            Kind::Symlink(target) => Node::Symlink(target.clone()),
            Kind::HardLink(target) => {
                let place = self.resolve(top, target, false)?;
                // The target may stand behind the link; then both are files of their own, of one content.
                match (place.node, tree.get(target).and_then(Entry::content)) {
                    (Some(id), _) if there != Some(id) => {
                        self.forget(directory, name)?;
                        return self.attach(directory, name, id);
                    }
                    (Some(_), _) => return Ok(()),
                    (None, Some(content)) => Node::File(content.clone()),
                    (None, None) => return Err(Errno::NoEntry),
                }
            }
            other => Node::Other(other.clone()),
        };
        self.forget(directory, name)?;
        let id = self.create(directory, name, Inode::new(0, 0, node))?;
        self.dress(id, entry);
        Ok(())
    }

    fn dress(&mut self, id: Id, entry: &Entry) {
        if let Some(inode) = self.inode_mut(id) {
            inode.mode = entry.mode;
            (inode.uid, inode.gid, inode.mtime) = (entry.uid, entry.gid, entry.mtime);
            inode.xattrs = entry.xattrs.clone();
        }
    }

    fn forget(&mut self, directory: Id, name: &str) -> Result<(), Errno> {
        match self.child(directory, name) {
            Some(_) => self.remove_all(directory, name),
            None => Ok(()),
        }
    }

    /// The whole as a tree. Each name of a file becomes a file of its own (they share their content): what
    /// Talos reads cannot hold hard links.
    pub fn to_tree(&self) -> Result<Tree, TreeError> {
        self.tree_of(ROOT)
    }

    /// What lies below the folder `path`, as [`Root::to_tree`]; `None` if there is no such folder.
    pub fn folder(&self, path: &str) -> Option<Result<Tree, TreeError>> {
        let id = self.resolve(ROOT, path, true).ok()?.node?;
        self.is_directory(id).then(|| self.tree_of(id))
    }

    /// The entry at `path`, symlinks followed: for what is one file alone.
    pub fn entry(&self, path: &str) -> Option<Entry> {
        let id = self.resolve(ROOT, path, true).ok()?.node?;
        self.inode(id).map(entry_of)
    }

    /// The names of each file that has several, in order.
    pub fn hard_links(&self) -> Vec<Vec<String>> {
        let mut files: BTreeMap<Id, Vec<String>> = BTreeMap::new();
        let mut left = vec![(String::new(), ROOT)];
        while let Some((path, id)) = left.pop() {
            for (name, child) in self.names(id) {
                let path = join(&path, name);
                match self.inode(child) {
                    Some(inode) if inode.is_directory() => left.push((path, child)),
                    Some(inode) if inode.links > 1 => files.entry(child).or_default().push(path),
                    _ => {}
                }
            }
        }
        let mut groups: Vec<Vec<String>> = files.into_values().collect();
        groups.iter_mut().for_each(|names| names.sort());
        groups.sort();
        groups
    }

    pub(crate) fn tree_of(&self, top: Id) -> Result<Tree, TreeError> {
        let mut tree = Tree::new();
        let mut left = vec![(String::new(), top)];
        while let Some((path, id)) = left.pop() {
            for (name, child) in self.names(id) {
                let path = join(&path, name);
                if let Some(inode) = self.inode(child) {
                    tree.insert(&path, entry_of(inode))?;
                    if inode.is_directory() {
                        left.push((path, child));
                    }
                }
            }
        }
        Ok(tree)
    }
}

fn entry_of(inode: &Inode) -> Entry {
    Entry {
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        xattrs: inode.xattrs.clone(),
        kind: match &inode.node {
            Node::Directory(_) => Kind::Directory,
            Node::File(content) => Kind::File(content.clone()),
            Node::Symlink(target) => Kind::Symlink(target.clone()),
            Node::Other(kind) => kind.clone(),
        },
    }
}
