//! A file system in memory that steps change: inodes and names, as on a disk, so that hard links,
//! `..`, moved folders and links to links mean what they mean to a kernel. Contents stay handles.
//!
//! Paths are resolved within it: `/` and a link's absolute target are its own root, and `..` of the root is
//! the root. Owner and permission bits are kept and never asked for: the steps run as root.

mod trees;

use std::collections::BTreeMap;

use crate::archive::tree::{Kind, PATH_MAX};
use crate::base::Content;

/// The longest name, in bytes: Linux' `NAME_MAX`.
pub const NAME_MAX: usize = 255;
/// Symlinks that are followed in one path: Linux' `MAXSYMLINKS`.
const LINKS_MAX: usize = 40;
/// Folders within folders. The deepest package of the world has thirty; without a limit, a loop of `mv`
/// makes paths that nothing can hold.
pub const DEPTH_MAX: usize = 128;
/// Files, folders and links in all: ten times a whole Linux source tree. A loop that copies a folder into
/// itself doubles it each time.
pub const NODES_MAX: usize = 1 << 20;

/// What lies somewhere: an index into the file system that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(usize);

/// The root folder.
pub(crate) const ROOT: Id = Id(0);

/// What an operation cannot do, by the kernel's names for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Errno {
    #[error("there is no such file or directory")]
    NoEntry,
    #[error("it is not a directory")]
    NotDirectory,
    #[error("it is a directory")]
    IsDirectory,
    #[error("it exists")]
    Exists,
    #[error("the directory is not empty")]
    NotEmpty,
    #[error("too many symbolic links")]
    Loop,
    #[error("the name is too long")]
    NameTooLong,
    #[error("the argument is invalid")]
    Invalid,
    #[error("it is in use")]
    Busy,
    #[error("the tree has more than 1048576 files")]
    TooMany,
    #[error("the path is more than 128 directories deep")]
    TooDeep,
}

impl Errno {
    /// Whether a bound of this crate, and not the file system's state, is in the way.
    pub(crate) fn is_limit(self) -> bool {
        matches!(self, Self::TooMany | Self::TooDeep)
    }
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Directory(Directory),
    File(Content),
    Symlink(String),
    /// A device or a fifo.
    Other(Kind),
}

/// A folder: its names, and the folder above it.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    parent: Id,
    /// Its name in there.
    name: String,
    pub(crate) names: BTreeMap<String, Id>,
}

/// A node with its attributes.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    /// 0o7777 at most.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: i64,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    pub(crate) node: Node,
    /// How many names it has; of a folder one.
    pub(crate) links: usize,
}

impl Inode {
    /// Owned by 0:0, without attributes.
    pub(crate) fn new(mode: u32, mtime: i64, node: Node) -> Self {
        Self { mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new(), node, links: 0 }
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.node, Node::Directory(_))
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self.node, Node::File(_))
    }

    pub(crate) fn is_symlink(&self) -> bool {
        matches!(self.node, Node::Symlink(_))
    }
}

/// Where a path leads.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The folder that holds the last name.
    pub(crate) directory: Id,
    /// The last name; `None` where the path ends in `/` alone, `.` or `..`.
    pub(crate) name: Option<String>,
    /// What is there.
    pub(crate) node: Option<Id>,
    /// Whether the path ends in a slash (or in `.`), so that only a folder will do.
    pub(crate) slash: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Root {
    nodes: Vec<Option<Box<Inode>>>,
    alive: usize,
}

impl Default for Root {
    fn default() -> Self {
        Self::new()
    }
}

impl Root {
    /// An empty root, 0755.
    pub fn new() -> Self {
        let root = Directory { parent: ROOT, name: String::new(), names: BTreeMap::new() };
        let mut inode = Inode::new(0o755, 0, Node::Directory(root));
        inode.links = 1;
        Self { nodes: vec![Some(Box::new(inode))], alive: 1 }
    }

    /// The folder of a path below `from`, made with all that is missing (0755). Symlinks are followed.
    pub(crate) fn make_path(&mut self, from: Id, path: &str, mtime: i64) -> Result<Id, Errno> {
        let mut directory = from;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let place = self.resolve(directory, name, true)?;
            directory = match (place.node, &place.name) {
                (Some(id), _) if self.is_directory(id) => id,
                (Some(_), _) => return Err(Errno::NotDirectory),
                (None, Some(name)) => self.make_directory(place.directory, name, 0o755, mtime)?,
                (None, None) => return Err(Errno::NoEntry),
            };
        }
        Ok(directory)
    }

    /// The node, if it is still there.
    pub(crate) fn inode(&self, id: Id) -> Option<&Inode> {
        self.nodes.get(id.0).and_then(Option::as_deref)
    }

    pub(crate) fn inode_mut(&mut self, id: Id) -> Option<&mut Inode> {
        self.nodes.get_mut(id.0).and_then(Option::as_deref_mut)
    }

    pub(crate) fn is_directory(&self, id: Id) -> bool {
        self.inode(id).is_some_and(Inode::is_directory)
    }

    pub(crate) fn child(&self, directory: Id, name: &str) -> Option<Id> {
        match &self.inode(directory)?.node {
            Node::Directory(directory) => directory.names.get(name).copied(),
            _ => None,
        }
    }

    /// The names in a folder, in order; of anything else none.
    pub(crate) fn names(&self, directory: Id) -> impl Iterator<Item = (&str, Id)> {
        let names = match self.inode(directory).map(|inode| &inode.node) {
            Some(Node::Directory(directory)) => Some(&directory.names),
            _ => None,
        };
        names.into_iter().flatten().map(|(name, id)| (name.as_str(), *id))
    }

    /// The folder above a folder; the root's is itself.
    pub(crate) fn parent(&self, directory: Id) -> Id {
        match self.inode(directory).map(|inode| &inode.node) {
            Some(Node::Directory(directory)) => directory.parent,
            _ => ROOT,
        }
    }

    /// Whether the folder is `above` or lies below it.
    pub(crate) fn is_below(&self, directory: Id, above: Id) -> bool {
        let mut at = directory;
        while at != above && at != ROOT {
            at = self.parent(at);
        }
        at == above
    }

    /// The absolute path of a folder.
    pub(crate) fn path_of(&self, directory: Id) -> String {
        let (mut names, mut at) = (Vec::new(), directory);
        while at != ROOT {
            match self.inode(at).map(|inode| &inode.node) {
                Some(Node::Directory(directory)) => names.push(directory.name.as_str()),
                _ => break, // it was removed while somebody stood in it
            }
            at = self.parent(at);
        }
        names.reverse();
        format!("/{}", names.join("/"))
    }

    /// Follows `path` from the folder `from`. With `follow`, a symlink at its end is followed, too; one with a
    /// slash behind it always is. That the last name is missing is no error.
    pub(crate) fn resolve(&self, from: Id, path: &str, follow: bool) -> Result<Place, Errno> {
        if path.is_empty() {
            return Err(Errno::NoEntry);
        }
        let mut directory = from;
        let mut links = 0;
        // What is left to walk, the next part last.
        let mut left: Vec<String> = Vec::new();
        push(&mut left, &mut directory, path)?;
        let mut place = Place { directory, name: None, node: Some(directory), slash: path.starts_with('/') };
        while let Some(part) = left.pop() {
            let last = left.is_empty();
            if !self.inode(directory).is_some_and(Inode::is_directory) {
                return Err(if self.inode(directory).is_none() {
                    Errno::NoEntry
                } else {
                    Errno::NotDirectory
                });
            }
            match part.as_str() {
                "" | "." => {
                    place = Place { directory, name: None, node: Some(directory), slash: true };
                    continue;
                }
                ".." => {
                    directory = self.parent(directory);
                    place = Place { directory, name: None, node: Some(directory), slash: true };
                    continue;
                }
                _ => {}
            }
            if part.len() > NAME_MAX {
                return Err(Errno::NameTooLong);
            }
            // `a/` and `a/.`: the name, and nothing but empty parts behind it.
            let slash = !last && left.iter().all(String::is_empty);
            let node = self.child(directory, &part);
            let inode = node.and_then(|id| self.inode(id));
            match inode.map(|inode| &inode.node) {
                Some(Node::Symlink(target)) if follow || !last => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::Loop);
                    }
                    if left.len() > PATH_MAX {
                        return Err(Errno::NameTooLong);
                    }
                    push(&mut left, &mut directory, target)?;
                    place = Place { directory, name: None, node: Some(directory), slash: true };
                }
                Some(Node::Directory(_)) if !last && !slash => {
                    directory = node.unwrap_or(ROOT); // it is there
                    place = Place { directory, name: None, node, slash: true };
                }
                Some(Node::Directory(_)) => {
                    return Ok(Place { directory, name: Some(part), node, slash });
                }
                Some(_) if last => return Ok(Place { directory, name: Some(part), node, slash }),
                Some(_) => return Err(Errno::NotDirectory),
                None if last || slash => return Ok(Place { directory, name: Some(part), node, slash }),
                None => return Err(Errno::NoEntry),
            }
        }
        Ok(place)
    }

    /// What a path leads to; [`Errno::NoEntry`] where there is nothing.
    pub(crate) fn find(&self, from: Id, path: &str, follow: bool) -> Result<Id, Errno> {
        self.resolve(from, path, follow)?.node.ok_or(Errno::NoEntry)
    }

    /// Puts a new node under a free name.
    pub(crate) fn create(&mut self, directory: Id, name: &str, inode: Inode) -> Result<Id, Errno> {
        if self.alive >= NODES_MAX {
            return Err(Errno::TooMany);
        }
        let id = Id(self.nodes.len());
        self.nodes.push(Some(Box::new(inode)));
        self.alive += 1;
        if let Err(errno) = self.attach(directory, name, id) {
            self.nodes.pop();
            self.alive -= 1;
            return Err(errno);
        }
        Ok(id)
    }

    /// A new folder under a free name.
    pub(crate) fn make_directory(
        &mut self,
        directory: Id,
        name: &str,
        mode: u32,
        mtime: i64,
    ) -> Result<Id, Errno> {
        let own = Directory { parent: directory, name: name.to_owned(), names: BTreeMap::new() };
        let node = Node::Directory(own);
        self.create(directory, name, Inode::new(mode, mtime, node))
    }

    /// Gives a node a name more, or a folder, which has none at the moment, its new one.
    pub(crate) fn attach(&mut self, directory: Id, name: &str, id: Id) -> Result<(), Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::NameTooLong);
        }
        if self.child(directory, name).is_some() {
            return Err(Errno::Exists);
        }
        if self.depth(directory) + self.height(id) > DEPTH_MAX {
            return Err(Errno::TooDeep);
        }
        match self.inode_mut(directory).map(|inode| &mut inode.node) {
            Some(Node::Directory(above)) => above.names.insert(name.to_owned(), id),
            Some(_) => return Err(Errno::NotDirectory),
            None => return Err(Errno::NoEntry),
        };
        if let Some(inode) = self.inode_mut(id) {
            inode.links += 1;
            if let Node::Directory(own) = &mut inode.node {
                own.parent = directory;
                own.name = name.to_owned();
            }
        }
        Ok(())
    }

    fn depth(&self, mut directory: Id) -> usize {
        let mut depth = 0;
        while directory != ROOT && depth <= DEPTH_MAX {
            directory = self.parent(directory);
            depth += 1;
        }
        depth
    }

    /// How many files and folders there are at and below `top`.
    pub(crate) fn count(&self, top: Id) -> usize {
        let (mut count, mut left) = (0, vec![top]);
        while let Some(id) = left.pop() {
            count += 1;
            left.extend(self.names(id).map(|(_, child)| child));
        }
        count
    }

    fn height(&self, top: Id) -> usize {
        let (mut highest, mut left) = (1, vec![(top, 1)]);
        while let Some((id, height)) = left.pop() {
            highest = highest.max(height);
            left.extend(self.names(id).map(|(_, child)| (child, height + 1)));
        }
        highest
    }

    /// Takes a name from what has it, without asking what that is; the last name takes the node with it.
    pub(crate) fn detach(&mut self, directory: Id, name: &str) -> Result<Id, Errno> {
        let Some(Node::Directory(above)) = self.inode_mut(directory).map(|inode| &mut inode.node) else {
            return Err(Errno::NotDirectory);
        };
        let id = above.names.remove(name).ok_or(Errno::NoEntry)?;
        if let Some(inode) = self.inode_mut(id) {
            inode.links = inode.links.saturating_sub(1);
        }
        Ok(id)
    }

    /// Removes a name of what is no folder, or an empty folder.
    pub(crate) fn unlink(&mut self, directory: Id, name: &str) -> Result<(), Errno> {
        let id = self.child(directory, name).ok_or(Errno::NoEntry)?;
        if self.names(id).next().is_some() {
            return Err(Errno::NotEmpty);
        }
        self.detach(directory, name)?;
        self.drop_unnamed(id);
        Ok(())
    }

    /// Removes a name and all that lies below it.
    pub(crate) fn remove_all(&mut self, directory: Id, name: &str) -> Result<(), Errno> {
        let top = self.detach(directory, name)?;
        let mut left = vec![top];
        while let Some(id) = left.pop() {
            let below: Vec<Id> = self.names(id).map(|(_, id)| id).collect();
            for child in below {
                if let Some(inode) = self.inode_mut(child) {
                    inode.links = inode.links.saturating_sub(1);
                }
                left.push(child);
            }
            self.drop_unnamed(id);
        }
        Ok(())
    }

    fn drop_unnamed(&mut self, id: Id) {
        if let Some(slot) = self.nodes.get_mut(id.0)
            && slot.as_ref().is_some_and(|inode| inode.links == 0)
        {
            *slot = None;
            self.alive = self.alive.saturating_sub(1);
        }
    }

    /// Renames, as `rename(2)`: what is at the new name goes, if it is of the same sort.
    pub(crate) fn rename(&mut self, from: (Id, &str), to: (Id, &str)) -> Result<(), Errno> {
        let id = self.child(from.0, from.1).ok_or(Errno::NoEntry)?;
        let directory = self.is_directory(id);
        if directory && self.is_below(to.0, id) {
            return Err(Errno::Invalid);
        }
        if self.depth(to.0) + self.height(id) > DEPTH_MAX {
            return Err(Errno::TooDeep);
        }
        if to.1.len() > NAME_MAX {
            return Err(Errno::NameTooLong);
        }
        if let Some(there) = self.child(to.0, to.1) {
            if there == id {
                return Ok(());
            }
            match (directory, self.is_directory(there)) {
                (true, false) => return Err(Errno::NotDirectory),
                (false, true) => return Err(Errno::IsDirectory),
                _ => self.unlink(to.0, to.1)?,
            }
        }
        self.detach(from.0, from.1)?;
        self.attach(to.0, to.1, id)
    }
}

/// Puts the parts of a path on the stack, so that the first comes out first. A trailing slash is an empty part.
fn push(left: &mut Vec<String>, directory: &mut Id, path: &str) -> Result<(), Errno> {
    if path.len() >= PATH_MAX {
        return Err(Errno::NameTooLong);
    }
    if path.starts_with('/') {
        *directory = ROOT;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if path.ends_with('/') && !parts.is_empty() {
        left.push(String::new());
    }
    left.extend(parts.iter().rev().map(|part| (*part).to_owned()));
    Ok(())
}
