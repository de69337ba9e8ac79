//! A tree as an archive, planned: the headers in memory, the contents where they are. The result is a
//! [`Content`], so that its length is known before a byte is written, and nothing is copied twice.
//!
//! Members in path order, parents first; inode numbers counted from 1; of a file with several names
//! the last one carries the bytes, as GNU cpio writes it. Extended attributes have no place in the
//! format and are left out. No padding behind the trailer unless it is asked for.

use std::collections::BTreeMap;

use super::format::{Header, TRAILER, kind, padding};
use crate::archive::tree::{Entry, Kind, PATH_MAX, Tree};
use crate::base::{Content, Epoch};

/// The largest device numbers of Linux: 12 and 20 bits.
const MAJOR_MAX: u32 = (1 << 12) - 1;
const MINOR_MAX: u32 = (1 << 20) - 1;
/// Contents in memory up to this are put between the headers; larger ones are not copied.
const INLINE: u64 = 64 << 10;

/// How an archive is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The time of every member; without it entries keep their own.
    pub epoch: Option<Epoch>,
    /// The archive is filled up with NUL bytes to a multiple of this; 0 for no filling.
    pub pad_to: u64,
}

/// A tree cannot be written as an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` cannot stand in a cpio archive: {why}")]
pub struct WriteError {
    /// The entry.
    pub path: String,
    /// Which limit it passes.
    pub why: String,
}

/// The archive of `tree`.
pub fn archive(tree: &Tree, options: &Options) -> Result<Content, WriteError> {
    let mut plan = Plan { options, groups: groups(tree)?, ..Plan::new(options) };
    for (path, entry) in tree.iter() {
        plan.member(path, entry, tree).map_err(|why| WriteError { path: path.to_owned(), why })?;
    }
    Ok(plan.finish())
}

/// The names of a file that has several.
struct Group {
    names: u32,
    /// The last of them in path order.
    last: String,
    /// Its inode number, once one of them was written.
    ino: Option<u32>,
}

/// The files that hard links lead to.
fn groups(tree: &Tree) -> Result<BTreeMap<String, Group>, WriteError> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let Kind::HardLink(target) = &entry.kind else { continue };
        if tree.get(target).is_none_or(|entry| entry.content().is_none()) {
            let why = format!("it is a hard link to `{target}`, which is no file of the tree");
            return Err(WriteError { path: path.to_owned(), why });
        }
        let new = || Group { names: 1, last: target.clone(), ino: None };
        let group = groups.entry(target.clone()).or_insert_with(new);
        group.names = group.names.saturating_add(1);
        if path > group.last.as_str() {
            path.clone_into(&mut group.last);
        }
    }
    Ok(groups)
}

struct Plan<'a> {
    options: &'a Options,
    groups: BTreeMap<String, Group>,
    parts: Vec<Content>,
    /// Bytes behind the last part.
    open: Vec<u8>,
    /// Bytes of all parts.
    before: u64,
    inodes: u32,
}

impl<'a> Plan<'a> {
    fn new(options: &'a Options) -> Self {
        Self { options, groups: BTreeMap::new(), parts: Vec::new(), open: Vec::new(), before: 0, inodes: 0 }
    }

    fn len(&self) -> u64 {
        self.before + self.open.len() as u64
    }

    fn pad(&mut self) {
        let missing = padding(self.len()) as usize; // below four
        self.open.resize(self.open.len() + missing, 0);
    }

    fn member(&mut self, path: &str, entry: &Entry, tree: &Tree) -> Result<(), String> {
        if path == TRAILER {
            return Err("its name is the one that ends an archive".to_owned());
        }
        let mut header = header(entry, self.options.epoch)?;
        // A hard link is what its target is.
        let (file, entry) = match &entry.kind {
            Kind::HardLink(target) => (target.as_str(), tree.get(target).unwrap_or(entry)),
            _ => (path, entry),
        };
        let next = self.inodes.checked_add(1).ok_or("there are more inodes than 32 bits count")?;
        let mut content = entry.content().cloned();
        header.ino = next;
        if let Some(group) = self.groups.get_mut(file) {
            header.ino = *group.ino.get_or_insert(next);
            header.nlink = group.names;
            content = content.filter(|_| group.last == path);
        }
        self.inodes = self.inodes.max(header.ino);
        let content = match &entry.kind {
            Kind::Symlink(target) if target.is_empty() || target.len() >= PATH_MAX => {
                return Err("its target is empty, or longer than 4095 bytes".to_owned());
            }
            Kind::Symlink(target) => Content::memory(target.as_bytes()),
            _ => content.unwrap_or_else(|| Content::memory([])),
        };
        self.put(&header, path, &content)
    }

    fn put(&mut self, header: &Header, name: &str, content: &Content) -> Result<(), String> {
        if name.len() >= PATH_MAX {
            return Err("its path is longer than 4095 bytes".to_owned());
        }
        let size = u32::try_from(content.len()).map_err(|_| "it has 4 GiB or more".to_owned())?;
        let header = Header { size, name: name.len() as u32 + 1, ..*header };
        self.open.extend(header.encode().into_bytes());
        self.open.extend(name.as_bytes());
        self.open.push(0);
        self.pad();
        match content {
            Content::Memory(bytes) if content.len() <= INLINE => self.open.extend(&**bytes),
            _ => {
                let open = std::mem::take(&mut self.open);
                self.before += open.len() as u64 + content.len();
                self.parts.extend([Content::memory(open), content.clone()]);
            }
        }
        self.pad();
        Ok(())
    }

    fn finish(mut self) -> Content {
        let trailer = Header { nlink: 1, ..Header::default() };
        // Neither its name nor its content passes a limit.
        let _ = self.put(&trailer, TRAILER, &Content::memory([]));
        let unit = self.options.pad_to.max(1);
        let filling = self.len().next_multiple_of(unit) - self.len();
        self.parts.push(Content::memory(self.open));
        self.parts.push(Content::memory(vec![0; usize::try_from(filling).unwrap_or_default()]));
        Content::joined(self.parts)
    }
}

/// Everything of a header that the entry says.
fn header(entry: &Entry, epoch: Option<Epoch>) -> Result<Header, String> {
    let mtime = match epoch {
        Some(epoch) => u32::try_from(epoch.seconds()).ok(),
        None => u32::try_from(entry.mtime).ok(),
    };
    let number = |number: u64, what: &str| {
        u32::try_from(number).map_err(|_| format!("its {what} is no 32-bit number"))
    };
    let (kind, rdev) = match &entry.kind {
        Kind::Directory => (kind::DIRECTORY, (0, 0)),
        Kind::File(_) | Kind::HardLink(_) => (kind::FILE, (0, 0)),
        Kind::Symlink(_) => (kind::SYMLINK, (0, 0)),
        Kind::Fifo => (kind::FIFO, (0, 0)),
        Kind::CharDevice { major, minor } => (kind::CHAR, (*major, *minor)),
        Kind::BlockDevice { major, minor } => (kind::BLOCK, (*major, *minor)),
    };
    if rdev.0 > MAJOR_MAX || rdev.1 > MINOR_MAX {
        return Err(format!("Linux has no device {}:{}", rdev.0, rdev.1));
    }
    Ok(Header {
        mode: kind | entry.mode & 0o7777,
        uid: number(entry.uid, "owner")?,
        gid: number(entry.gid, "group")?,
        nlink: if entry.is_directory() { 2 } else { 1 },
        mtime: mtime.ok_or("its time is before 1970 or after 2106")?,
        rdev,
        ..Header::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Entry {
        Entry::file(0o644, Content::memory(text.as_bytes()))
    }

    #[test]
    fn a_link_stands_with_its_files_number_and_the_last_name_has_the_bytes() {
        let mut tree = Tree::new();
        tree.insert("a", file("hello")).unwrap();
        tree.insert("b", Entry::new(0o644, Kind::HardLink("a".into()))).unwrap();
        tree.insert("c", file("x")).unwrap();
        let content = archive(&tree, &Options { epoch: Epoch::new(5), pad_to: 0 }).unwrap();
        let text = String::from_utf8(content.read(1 << 20).unwrap()).unwrap();
        let a = "07070100000001000081A40000000000000000000000020000000500000000000000000000000000000000000000000000000200000000a\0";
        assert!(text.starts_with(a), "{text}");
        assert_eq!(&text[112..120], "07070100");
        assert!(text[112..].starts_with(&a[..46]) && text.contains("b\0hello\0\0\0"), "{text}");
        assert!(text.contains("0707010000000200008"), "{text}");
        assert_eq!(text.len() % 4, 0);
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"));
    }

    #[test]
    fn the_archive_is_filled_up_where_it_is_asked_for() {
        let options = Options { epoch: None, pad_to: 512 };
        let content = archive(&Tree::new(), &options).unwrap();
        assert_eq!(content.len(), 512);
        assert_eq!(archive(&Tree::new(), &Options::default()).unwrap().len(), 124);
    }

    #[test]
    fn large_contents_are_not_copied() {
        let mut tree = Tree::new();
        tree.insert("x", Entry::file(0o600, Content::range("/no/such/file", 7, 3_000_000_000))).unwrap();
        let content = archive(&tree, &Options::default()).unwrap();
        assert_eq!(content.len(), 112 + 3_000_000_000 + 124);
    }

    #[test]
    fn limits_of_the_format_are_errors() {
        let cases = [
            ("big".to_owned(), Entry::file(0, Content::range("", 0, 1 << 32))),
            ("time".to_owned(), Entry { mtime: -1, ..file("") }),
            ("time".to_owned(), Entry { mtime: 1 << 32, ..file("") }),
            ("owner".to_owned(), Entry { uid: 1 << 32, ..file("") }),
            ("x".repeat(4096), file("")),
            (TRAILER.to_owned(), file("")),
            ("link".to_owned(), Entry::new(0, Kind::HardLink("nowhere".into()))),
            ("target".to_owned(), Entry::symlink("x".repeat(4096))),
            ("device".to_owned(), Entry::new(0, Kind::CharDevice { major: 4096, minor: 0 })),
        ];
        for (path, entry) in cases {
            let mut tree = Tree::new();
            tree.insert(&path, entry).unwrap();
            assert_eq!(archive(&tree, &Options::default()).unwrap_err().path, path);
        }
    }
}
