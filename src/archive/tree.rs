//! The one file tree in memory: sorted paths, each with what it is, and contents by reference.
//!
//! Invariants, kept by [`Tree::insert`]: every path is normal (see [`normalise`]), no path lies
//! below something that is no directory, and parents exist (as 0755 directories unless they were
//! given). The root itself is not an entry.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::base::Content;

/// What lies at a path.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Permission bits, with set-uid, set-gid and sticky: 0o7777 at most.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Modification time, whole seconds since 1970; before that as a negative number.
    pub mtime: i64,
    /// Extended attributes by name (`security.selinux` …), values as they are stored.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The kind, with what belongs to it.
    pub kind: Kind,
}

/// The kinds of entries. Only the first three are written by this crate for Talos; the others are
/// what foreign images bring.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link with its target's text.
    Symlink(String),
    /// A hard link to another path of the same tree, in normal form.
    HardLink(String),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// The field's name of the kind, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File(_) => "file",
            Self::Symlink(_) => "symlink",
            Self::HardLink(_) => "hard link",
            Self::CharDevice { .. } => "character device",
            Self::BlockDevice { .. } => "block device",
            Self::Fifo => "fifo",
        }
    }
}

impl Entry {
    /// An entry owned by 0:0 at time 0 without attributes.
    pub fn new(mode: u32, kind: Kind) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new(), kind }
    }

    /// A directory, 0755.
    pub fn directory() -> Self {
        Self::new(0o755, Kind::Directory)
    }

    /// A regular file.
    pub fn file(mode: u32, content: Content) -> Self {
        Self::new(mode, Kind::File(content))
    }

    /// A symbolic link; its mode is 0777 as `lstat` shows it.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self::new(0o777, Kind::Symlink(target.into()))
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }

    /// The content of a regular file.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }
}

/// A path cannot be taken into a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// See [`normalise`].
    #[error("path `{path}` {why}")]
    Path {
        /// The path as it was given.
        path: String,
        /// What is wrong: `climbs out of the tree` …
        why: &'static str,
    },
    /// Something that is no directory has the path of a parent.
    #[error("path `{path}` lies below `{parent}`, which is a {kind}")]
    BelowFile {
        /// The path that was to be inserted.
        path: String,
        /// The entry above it.
        parent: String,
        /// What that is.
        kind: &'static str,
    },
    /// The path is taken.
    #[error("path `{path}` stands twice")]
    Twice {
        /// The path.
        path: String,
    },
}

/// The longest path that is accepted, in bytes: Linux' `PATH_MAX`.
pub const PATH_MAX: usize = 4096;

/// Brings an archive's path to its normal form: relative, components joined by single slashes,
/// no `.`; leading `/` and `./` and trailing slashes are dropped. `""` is the root.
///
/// `..`, NUL bytes and paths over [`PATH_MAX`] are errors: nothing that this crate reads needs
/// them, and every one of them is a way out of the tree.
pub fn normalise(path: &str) -> Result<String, TreeError> {
    let error = |why| TreeError::Path { path: path.chars().take(200).collect(), why };
    if path.len() > PATH_MAX {
        return Err(error("is longer than 4096 bytes"));
    }
    if path.contains('\0') {
        return Err(error("contains a NUL byte"));
    }
    let mut normal = String::with_capacity(path.len());
    for component in path.split('/').filter(|component| !matches!(*component, "" | ".")) {
        if component == ".." {
            return Err(error("climbs out of the tree with `..`"));
        }
        if !normal.is_empty() {
            normal.push('/');
        }
        normal.push_str(component);
    }
    Ok(normal)
}

/// The parent of a normal path; `None` for a top-level name.
pub fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// The last component of a normal path.
pub fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Joins two normal paths, either of which may be the root.
pub fn join(base: &str, path: &str) -> String {
    match (base, path) {
        ("", path) => path.to_owned(),
        (base, "") => base.to_owned(),
        (base, path) => format!("{base}/{path}"),
    }
}

/// Whether `path` is `above` or lies below it, by whole components. Everything lies below `""`.
pub fn is_below(path: &str, above: &str) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where a symlink at `link` (a normal path) with text `target` leads, in normal form: absolute
/// targets count from the tree's root. `None` if it climbs above the root.
pub fn resolve_symlink(link: &str, target: &str) -> Option<String> {
    let mut components: Vec<&str> = Vec::new();
    if !target.starts_with('/') {
        components.extend(parent(link).into_iter().flat_map(|parent| parent.split('/')));
    }
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop()?;
            }
            name => components.push(name),
        }
    }
    Some(components.join("/"))
}

/// Sorted paths and what lies at them.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `entry` at `path` (any spelling that [`normalise`] takes) and makes missing parents.
    /// A directory given again takes the new entry's attributes and keeps what is below; anything
    /// else that is there already is an error.
    pub fn insert(&mut self, path: &str, entry: Entry) -> Result<(), TreeError> {
        let path = normalise(path)?;
        if path.is_empty() {
            return if entry.is_directory() {
                Ok(())
            } else {
                Err(TreeError::Path { path, why: "is the root, which can only be a directory" })
            };
        }
        self.make_parents(&path)?;
        match self.entries.get(&path) {
            Some(there) if !(there.is_directory() && entry.is_directory()) => Err(TreeError::Twice { path }),
            _ => {
                self.entries.insert(path, entry);
                Ok(())
            }
        }
    }

    /// As [`Tree::insert`], but what is there already is replaced: a directory by a directory keeps
    /// what is below, everything else goes with all that is below it. This is how a layer lies on
    /// another.
    pub fn replace(&mut self, path: &str, entry: Entry) -> Result<(), TreeError> {
        let path = normalise(path)?;
        if !entry.is_directory() || self.entries.get(&path).is_some_and(|there| !there.is_directory()) {
            self.remove(&path);
        }
        self.insert(&path, entry)
    }

    fn make_parents(&mut self, path: &str) -> Result<(), TreeError> {
        let Some(parent) = parent(path) else { return Ok(()) };
        match self.entries.get(parent) {
            Some(entry) if entry.is_directory() => Ok(()),
            Some(entry) => Err(TreeError::BelowFile {
                path: path.to_owned(),
                parent: parent.to_owned(),
                kind: entry.kind.name(),
            }),
            None => {
                self.make_parents(parent)?;
                self.entries.insert(parent.to_owned(), Entry::directory());
                Ok(())
            }
        }
    }

    /// Removes a normal path and all that lies below it.
    pub fn remove(&mut self, path: &str) {
        let below: Vec<String> = self.below(path).map(|(path, _)| path.to_owned()).collect();
        for path in below {
            self.entries.remove(&path);
        }
    }

    /// The entry at a normal path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The same, to change its attributes. Do not turn a directory with entries into something else.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Entry> {
        self.entries.get_mut(path)
    }

    /// All entries in path order (by bytes).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// `path` itself, if it is an entry, and everything below it, in path order.
    pub fn below(&self, path: &str) -> impl Iterator<Item = (&str, &Entry)> {
        // Siblings such as `a-b` and `a.b` sort between `a` and `a/…`: they are never looked at, so
        // that a directory full of them costs nothing. '0' is the byte after '/'.
        let (own, lower, upper) = if path.is_empty() {
            (None, Bound::Unbounded, Bound::Unbounded)
        } else {
            let bounds = (Bound::Included(format!("{path}/")), Bound::Excluded(format!("{path}0")));
            (self.entries.get_key_value(path), bounds.0, bounds.1)
        };
        own.into_iter()
            .chain(self.entries.range::<String, _>((lower, upper)))
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// What lies below the folder at `path` (`""` is the root), with paths that begin there, in their order.
    pub fn inside(&self, path: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let start = if path.is_empty() { 0 } else { path.len() + 1 };
        self.below(path).filter_map(move |(path, entry)| Some((path.get(start..)?, entry)))
    }

    /// The names directly below a normal path (`""` is the root), in order.
    pub fn children(&self, path: &str) -> impl Iterator<Item = &str> {
        let depth = if path.is_empty() { 0 } else { path.len() + 1 };
        let own = path.len();
        self.below(path)
            .filter(move |(candidate, _)| candidate.len() > own)
            .filter_map(move |(candidate, _)| candidate.get(depth..))
            .filter(|name| !name.contains('/'))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Entry {
        Entry::file(0o644, Content::memory(text.as_bytes()))
    }

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn paths_are_brought_to_one_form_or_refused() {
        for (given, normal) in
            [("/", ""), ("./", ""), ("./a//b/./c/", "a/b/c"), ("/usr", "usr"), ("a/..b", "a/..b")]
        {
            assert_eq!(normalise(given).unwrap(), normal);
        }
        for path in ["..", "a/../b", "/../etc", "a\0b", &"x".repeat(PATH_MAX + 1)] {
            assert!(normalise(path).is_err(), "{path}");
        }
    }

    #[test]
    fn parents_are_made_and_nothing_lies_below_a_file() {
        let mut tree = Tree::new();
        tree.insert("usr/lib/x", file("x")).unwrap();
        assert_eq!(paths(&tree), ["usr", "usr/lib", "usr/lib/x"]);
        assert!(matches!(tree.insert("usr/lib/x/y", file("y")), Err(TreeError::BelowFile { .. })));
        assert!(matches!(tree.insert("usr/lib/x", file("y")), Err(TreeError::Twice { .. })));
        tree.insert("usr/lib", Entry::new(0o700, Kind::Directory)).unwrap();
        assert_eq!(tree.get("usr/lib").unwrap().mode, 0o700);
        assert_eq!(tree.len(), 3);
    }

    #[test]
    fn replacing_a_directory_by_a_file_takes_what_was_below() {
        let mut tree = Tree::new();
        for path in ["a/b/c", "a-b", "a.b", "a/d"] {
            tree.insert(path, file("")).unwrap();
        }
        assert_eq!(tree.children("a").collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(tree.children("").collect::<Vec<_>>(), ["a", "a-b", "a.b"]);
        tree.replace("a", file("now a file")).unwrap();
        assert_eq!(paths(&tree), ["a", "a-b", "a.b"]);
    }

    #[test]
    fn symlinks_resolve_within_the_tree_or_not_at_all() {
        assert_eq!(resolve_symlink("usr/lib/a", "../bin/b").as_deref(), Some("usr/bin/b"));
        assert_eq!(resolve_symlink("usr/lib/a", "/etc/x").as_deref(), Some("etc/x"));
        assert_eq!(resolve_symlink("a", "../x"), None);
        assert_eq!(resolve_symlink("usr/a", "../../x"), None);
    }
}
