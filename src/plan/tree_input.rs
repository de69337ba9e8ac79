//! A tree with the digest of every file in it: what layers are made of, and what names them in keys.
//!
//! Trees come from local folders (contents stay where they are) and from images, whose files are
//! packed one behind another into a single blob of the store, so that taking thousands of modules
//! out of a layer costs one file and one sync.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::error::{Error, Problem};
use super::run::Context;
use super::stat_cache::{Stamp, StatCache};
use crate::archive::tree::{self, Entry, Kind, Tree};
use crate::base::fsio::{At as _, FileError};
use crate::base::units::count;
use crate::base::{Content, Digest, digest, json};

/// A tree, the digests of its files, and where each path came from.
#[derive(Debug, Clone, Default)]
pub struct TreeInput {
    /// The tree.
    pub tree: Tree,
    /// Digest of each regular file.
    pub digests: BTreeMap<String, Digest>,
    /// The layer each path came from, where it came from an image.
    pub layers: BTreeMap<String, Digest>,
    /// Paths that stood more than once in a layer.
    pub duplicates: Vec<String>,
    /// What each path came from, for messages: a file, a folder, an image.
    origins: BTreeMap<String, String>,
    /// Files of folders as they were when they were looked at.
    stamps: HashMap<String, Stamp>,
}

impl TreeInput {
    /// A tree whose files have these digests, or none yet.
    pub fn of(tree: Tree, digests: BTreeMap<String, Digest>) -> Self {
        Self { tree, digests, ..Self::default() }
    }

    /// Adds an entry. A path that is there already is an error that names both origins, unless both are
    /// directories.
    pub fn add(
        &mut self,
        path: &str,
        entry: Entry,
        digest: Option<Digest>,
        origin: &str,
    ) -> Result<(), Error> {
        let path =
            tree::normalise(path).map_err(|source| Error::Tree { origin: origin.to_owned(), source })?;
        if let Some(first) =
            self.tree.get(&path).filter(|there| !(there.is_directory() && entry.is_directory()))
        {
            let first = (first.kind.name(), self.origins.get(&path).cloned().unwrap_or_default());
            return Err(Problem::new(format!("path `{path}` is given twice"))
                .detail(format!("as a {} by `{}`", first.0, first.1))
                .detail(format!("as a {} by `{origin}`", entry.kind.name()))
                .hint("leave one of them out")
                .into());
        }
        self.tree.insert(&path, entry).map_err(|source| Error::Tree { origin: origin.to_owned(), source })?;
        if let Some(digest) = digest {
            self.digests.insert(path.clone(), digest);
        }
        self.origins.entry(path).or_insert_with(|| origin.to_owned());
        Ok(())
    }

    /// What a path came from.
    pub fn origin(&self, path: &str) -> Option<&str> {
        self.origins.get(path).map(String::as_str)
    }

    /// Adds the folder `directory` with all that is in it below `prefix`. Owners, times, labels and
    /// attributes of the host are not read. Special files are taken as what they are: a check names
    /// them.
    pub fn add_directory(&mut self, directory: &Path, prefix: &str) -> Result<(), Error> {
        use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
        let mut names: Vec<_> = fs::read_dir(directory)
            .and_then(|entries| {
                entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
            })
            .at("read", directory)?;
        names.sort();
        for name in names {
            let path = directory.join(&name);
            let name = utf8(name.to_str(), &path)?;
            let data = fs::symlink_metadata(&path).at("read", &path)?;
            let (kind, mode) = (data.file_type(), data.mode() & 0o7777);
            let place = tree::join(prefix, name);
            let origin = path.display().to_string();
            let entry = if kind.is_dir() {
                Entry::new(mode, Kind::Directory)
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).at("read", &path)?;
                Entry::symlink(utf8(target.to_str(), &path)?)
            } else if kind.is_file() {
                Entry::file(mode, Content::file(&path, data.len()))
            } else if kind.is_char_device() || kind.is_block_device() {
                let (major, minor) = (rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
                let device = if kind.is_char_device() {
                    Kind::CharDevice { major, minor }
                } else {
                    Kind::BlockDevice { major, minor }
                };
                Entry::new(mode, device)
            } else {
                Entry::new(mode, Kind::Fifo) // sockets too: what matters is that it is no file
            };
            let is_directory = entry.is_directory();
            self.add(&place, entry, None, &origin)?;
            if kind.is_file() {
                self.stamps.insert(place.clone(), Stamp::of(&data));
            }
            if is_directory {
                self.add_directory(&path, &place)?;
            }
        }
        Ok(())
    }

    /// What lies below `folder`, as a tree of its own, whichever layers it came from. Hard links become the
    /// files that they lead to.
    pub fn below(&self, folder: &str) -> Result<Self, Error> {
        let mut below = Self::default();
        for (path, entry) in self.tree.below(folder) {
            let place = path.get(folder.len()..).unwrap_or_default().trim_start_matches('/');
            if place.is_empty() {
                continue;
            }
            let (from, entry) = match &entry.kind {
                Kind::HardLink(linked) => match self.tree.get(linked).filter(|file| file.content().is_some())
                {
                    Some(file) => (linked.as_str(), file),
                    None => {
                        return Err(Problem::new(format!(
                            "hard link `{path}` leads to `{linked}`, which is no file"
                        ))
                        .detail(format!("in `{}`", self.origin(path).unwrap_or_default()))
                        .into());
                    }
                },
                _ => (path, entry),
            };
            let origin = self.origin(path).unwrap_or_default();
            below.add(place, entry.clone(), self.digests.get(from).copied(), origin)?;
        }
        Ok(below)
    }

    /// The part of this tree that `part` has taken, with its digests.
    pub fn part(&self, part: Tree) -> Self {
        let known = |path: &str| Some((path.to_owned(), *self.digests.get(path)?));
        let digests = part.iter().filter_map(|(path, _)| known(path)).collect();
        Self::of(part, digests)
    }

    /// Computes the digests that are missing, in parallel.
    pub fn hash(&mut self, context: &Context, cache: &StatCache) -> Result<(), Error> {
        let missing: Vec<(String, Content)> = self
            .tree
            .iter()
            .filter(|(path, _)| !self.digests.contains_key(*path))
            .filter_map(|(path, entry)| Some((path.to_owned(), entry.content()?.clone())))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let total = missing.iter().map(|(_, content)| content.len()).sum();
        let activity = context.events.begin("hash", count(missing.len(), "file"), Some(total));
        let progress = |bytes| activity.advance(bytes);
        let one = |(path, content): &(String, Content)| -> Result<(String, Digest), FileError> {
            let digest = match content.whole_file() {
                Some(file) => match self.stamps.get(path) {
                    Some(stamp) => cache.digest_of(file, stamp.clone(), &progress)?.0,
                    None => cache.digest(file, &progress)?.0,
                },
                None => content.digest_with(&progress).at("read", path)?,
            };
            Ok((path.clone(), digest))
        };
        let hashed: Result<Vec<_>, FileError> = match missing.len() {
            0..4 => missing.iter().map(one).collect(), // not worth a thread
            _ => context.workers.install(|| missing.par_iter().map(one).collect()),
        };
        let hashed = hashed?;
        let files = missing.iter().zip(&hashed).filter_map(|((_, content), (_, digest))| {
            Some((content.whole_file()?.display().to_string(), *digest))
        });
        context.pins.saw_files(files);
        self.digests.extend(hashed);
        activity.finish("");
        Ok(())
    }

    /// Names the tree in a step's key: the digest of everything that a layer made of it holds.
    pub fn key(&self) -> Digest {
        Digest::of(&json::to_vec(&self.rows(&BTreeMap::new())))
    }

    /// Each path with a mark that changes with what a layer made of the tree holds of it.
    pub fn listing(&self) -> BTreeMap<String, String> {
        let mark = |row: &Row| Digest::of(&json::to_vec(row)).hex().chars().take(16).collect();
        self.rows(&BTreeMap::new()).iter().map(|row| (row.path.clone(), mark(row))).collect()
    }

    fn rows(&self, places: &BTreeMap<String, u64>) -> Vec<Row> {
        self.tree.iter().map(|(path, entry)| self.row(path, entry, places.get(path).copied())).collect()
    }

    fn row(&self, path: &str, entry: &Entry, offset: Option<u64>) -> Row {
        let mut row = Row {
            path: path.to_owned(),
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            mtime: entry.mtime,
            xattrs: entry.xattrs.iter().map(|(name, value)| (name.clone(), digest::hex(value))).collect(),
            kind: entry.kind.name().to_owned(),
            target: None,
            device: None,
            size: entry.content().map(Content::len),
            digest: self.digests.get(path).copied(),
            offset,
            layer: self.layers.get(path).copied(),
        };
        match &entry.kind {
            Kind::Symlink(target) | Kind::HardLink(target) => row.target = Some(target.clone()),
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                row.device = Some((*major, *minor))
            }
            Kind::Directory | Kind::File(_) | Kind::Fifo => {}
        }
        row
    }

    /// The tree as a document that [`TreeInput::from_document`] reads back. `places` says where in the
    /// pack each file's bytes begin.
    pub fn to_document(&self, places: &BTreeMap<String, u64>) -> Vec<u8> {
        json::to_vec(&TreeDocument { rows: self.rows(places), duplicates: self.duplicates.clone() })
    }

    /// Reads a document; `pack` holds the files. `None` if it is none.
    pub fn from_document(bytes: &[u8], pack: &Content, origin: &str) -> Option<Self> {
        let document: TreeDocument = serde_json::from_slice(bytes).ok()?;
        let mut input = Self { duplicates: document.duplicates, ..Self::default() };
        for row in document.rows {
            let kind = row.kind(pack)?;
            let xattrs = row.xattrs.iter().map(|(name, value)| Some((name.clone(), digest::unhex(value)?)));
            let entry = Entry {
                mode: row.mode,
                uid: row.owner.0,
                gid: row.owner.1,
                mtime: row.mtime,
                xattrs: xattrs.collect::<Option<_>>()?,
                kind,
            };
            input.layers.extend(row.layer.map(|layer| (row.path.clone(), layer)));
            input.add(&row.path, entry, row.digest, origin).ok()?;
        }
        Some(input)
    }
}

fn utf8<'a>(text: Option<&'a str>, path: &Path) -> Result<&'a str, Error> {
    text.ok_or_else(|| {
        Problem::new(format!("`{}` has a name or target that is no UTF-8", path.display()))
            .hint("rename it: image layers carry names as UTF-8")
            .into()
    })
}

#[derive(Debug, Serialize, Deserialize)]
struct TreeDocument {
    rows: Vec<Row>,
    duplicates: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    path: String,
    kind: String,
    mode: u32,
    owner: (u64, u64),
    mtime: i64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<Digest>,
}

impl Row {
    fn kind(&self, pack: &Content) -> Option<Kind> {
        let device = |make: fn(u32, u32) -> Kind| self.device.map(|(major, minor)| make(major, minor));
        match self.kind.as_str() {
            "directory" => Some(Kind::Directory),
            "file" if self.size == Some(0) => Some(Kind::File(Content::memory([]))),
            "file" => {
                let (offset, size) = (self.offset?, self.size?);
                let path = pack.whole_file()?;
                (offset.checked_add(size)? <= pack.len())
                    .then(|| Kind::File(Content::range(path, offset, size)))
            }
            "symlink" => self.target.clone().map(Kind::Symlink),
            "hard link" => self.target.clone().map(Kind::HardLink),
            "character device" => device(|major, minor| Kind::CharDevice { major, minor }),
            "block device" => device(|major, minor| Kind::BlockDevice { major, minor }),
            "fifo" => Some(Kind::Fifo),
            _ => None,
        }
    }
}

/// Packs files one behind another while they are taken out of a layer.
#[derive(Debug)]
pub struct Packer<W: Write> {
    out: W,
    position: u64,
}

/// Where a packed file lies.
#[derive(Debug, Clone, Copy)]
pub struct Packed {
    /// First byte in the pack.
    pub offset: u64,
    /// Length in bytes.
    pub size: u64,
    /// Digest of the bytes.
    pub digest: Digest,
}

impl<W: Write> Packer<W> {
    /// A packer into `out`.
    pub fn new(out: W) -> Self {
        Self { out, position: 0 }
    }

    /// Appends everything that `reader` gives.
    pub fn add(&mut self, reader: &mut dyn Read) -> io::Result<Packed> {
        let mut hasher = crate::base::Hasher::default();
        let mut buffer = vec![0; 64 << 10];
        let offset = self.position;
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            hasher.update(bytes);
            self.out.write_all(bytes)?;
            self.position += count as u64;
        }
        Ok(Packed { offset, size: self.position - offset, digest: hasher.finish() })
    }

    /// Gives the output back.
    pub fn finish(self) -> W {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_tree_reads_back_from_its_document() {
        let folder = tempfile::tempdir().unwrap();
        let mut packer = Packer::new(Vec::new());
        let (first, second) = (packer.add(&mut &b"first"[..]).unwrap(), packer.add(&mut &b"2"[..]).unwrap());
        let pack = folder.path().join("pack");
        fs::write(&pack, packer.finish()).unwrap();
        let mut input = TreeInput::default();
        let mut places = BTreeMap::new();
        for (path, piece) in [("a/first", first), ("b", second)] {
            let mut entry =
                Entry::file(0o640, Content::memory(vec![0; usize::try_from(piece.size).unwrap()]));
            entry.xattrs.insert("user.x".to_owned(), vec![0, 255]);
            input.add(path, entry, Some(piece.digest), "test").unwrap();
            places.insert(path.to_owned(), piece.offset);
        }
        input.add("link", Entry::symlink("a/first"), None, "test").unwrap();
        input.layers.insert("b".to_owned(), Digest::of(b"layer"));
        input.duplicates.push("b".to_owned());
        let document = input.to_document(&places);
        let read = TreeInput::from_document(&document, &Content::file(&pack, 6), "test").unwrap();
        assert_eq!(read.key(), input.key());
        assert_eq!(read.tree.get("b").unwrap().content().unwrap().read(9).unwrap(), b"2");
        assert_eq!((read.layers.len(), read.duplicates.len()), (1, 1));
        // A pack that is too short for what the document says is no pack of it.
        assert!(TreeInput::from_document(&document, &Content::file(&pack, 5), "test").is_none());
    }

    #[test]
    fn the_key_knows_of_everything_that_a_layer_holds_and_of_nothing_else() {
        let tree = |mode, label: &str, origin: &str| {
            let mut input = TreeInput::default();
            let mut entry = Entry::file(mode, Content::memory(&b"x"[..]));
            entry.xattrs.insert("security.selinux".to_owned(), label.as_bytes().to_vec());
            input.add("a", entry, Some(Digest::of(b"x")), origin).unwrap();
            input.key()
        };
        assert_eq!(tree(0o644, "l", "one place"), tree(0o644, "l", "another"));
        assert_ne!(tree(0o644, "l", ""), tree(0o755, "l", ""));
        assert_ne!(tree(0o644, "l", ""), tree(0o644, "m", ""));
    }

    #[test]
    fn a_path_given_twice_names_both_origins() {
        let mut input = TreeInput::default();
        let file = || Entry::file(0o644, Content::memory(&b""[..]));
        input.add("a/b", file(), None, "one").unwrap();
        input.add("a", Entry::directory(), None, "two").unwrap();
        let Err(Error::Input(problem)) = input.add("a/b", file(), None, "two") else {
            panic!("it was taken")
        };
        assert_eq!(problem.details, ["as a file by `one`", "as a file by `two`"]);
        assert!(input.add("a/b/c", file(), None, "three").is_err());
    }
}
