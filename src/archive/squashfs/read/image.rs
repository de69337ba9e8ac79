//! An image, opened: its superblock, ids, attributes, and the list of what is in it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::format::{
    DIRECTORY_EXTRA, Fields, METADATA, NAME_MAX, NO_TABLE, NONE, SUPERBLOCK, Superblock, XATTR_ELSEWHERE,
    XATTR_MAX, XATTR_PREFIXES, inode as kind,
};
use super::super::options::Codec;
use super::error::ReadError;
use super::metadata::{Cursor, Tables};
use super::node::{Node, Raw};
use crate::archive::tar::read::MAX_TOTAL;
use crate::archive::tree::{Entry, Kind, is_below, join};
use crate::base::{Content, ContentHandle};

/// The most entries of one image: what an archive may hold as well.
const MAX_ENTRIES: usize = 1 << 20;
/// The most bytes of attributes that are kept of one image.
const MAX_XATTRS: usize = 64 << 20;
/// Attributes of one entry: what Linux lists in 64 KiB at the shortest.
const MAX_SET: u32 = 8192;
/// The most bytes of names that are kept of one image.
const MAX_NAMES: usize = 256 << 20;

/// What an image says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Its codec.
    pub codec: Codec,
    /// Bytes of a block.
    pub block_size: u32,
    /// When it was made, seconds since 1970.
    pub mtime: u32,
    /// Inodes in it.
    pub inodes: u32,
    /// Its bytes without the padding.
    pub size: u64,
}

/// An opened image. Cheap to clone.
#[derive(Clone)]
pub struct Image {
    pub(super) tables: Arc<Tables>,
    pub(super) block: Superblock,
    codec: Codec,
    ids: Arc<[u32]>,
}

type Set = BTreeMap<String, Vec<u8>>;

impl Image {
    /// Opens an image and reads its superblock and ids.
    pub fn open(content: &Content) -> Result<Self, ReadError> {
        let file = content.handle().map_err(ReadError::Read)?;
        let block = superblock(&file)?;
        let codec =
            Codec::of_id(block.codec).map_err(|name| ReadError::Foreign(format!("its codec is {name}")))?;
        let tables = Tables::new(file, codec);
        let mut ids = Vec::new();
        for number in 0..u64::from(block.ids) {
            let row = tables.row(block.id_table, number, 4)?;
            ids.extend(Fields(&row).u32());
        }
        Ok(Self { tables: Arc::new(tables), block, codec, ids: ids.into() })
    }

    /// What it says of itself.
    pub fn info(&self) -> Info {
        let block = &self.block;
        Info {
            codec: self.codec,
            block_size: block.block_size,
            mtime: block.mtime,
            inodes: block.inodes,
            size: block.bytes_used,
        }
    }

    /// The root directory's attributes.
    pub fn root(&self) -> Result<Entry, ReadError> {
        let raw = self.raw(self.block.root, "")?;
        let (entry, _) = self.entry(&raw, "", &mut Known::default())?;
        Ok(entry)
    }

    /// The root directory's link count.
    pub(in super::super) fn root_links(&self) -> Result<u32, ReadError> {
        Ok(self.raw(self.block.root, "")?.links)
    }

    /// Everything at and below `wanted` (a normal path, `""` for all), in path order. Nothing of the
    /// data is read. The first name of a file with several is the file, the others are hard links.
    pub fn list(&self, wanted: &str) -> Result<Vec<Node>, ReadError> {
        let mut found = self.names_of_all(wanted)?;
        link(&mut found, |node| node.file.is_some() && node.links > 1);
        Ok(found)
    }

    /// The same, every name for itself: files with several names are not yet told as such.
    pub(in super::super) fn names_of_all(&self, wanted: &str) -> Result<Vec<Node>, ReadError> {
        let mut found = Vec::new();
        let mut known = Known::default();
        let mut seen = HashSet::from([self.block.root]);
        let mut open = vec![(String::new(), self.raw(self.block.root, "")?)];
        while let Some((above, directory)) = open.pop() {
            for (name, reference) in self.names(&directory, &above)? {
                let path = join(&above, &name);
                // Neither part of what is asked for nor on the way there.
                if !is_below(&path, wanted) && !is_below(wanted, &path) {
                    continue;
                }
                known.names += path.len();
                if found.len() >= MAX_ENTRIES || known.names > MAX_NAMES {
                    return Err(ReadError::damaged(format!("it has more than {MAX_ENTRIES} entries")));
                }
                let raw = self.raw(reference, &path)?;
                let (entry, file) = self.entry(&raw, &path, &mut known)?;
                known.contents = known.contents.saturating_add(file.map_or(0, |file| file.size));
                if known.contents > MAX_TOTAL {
                    return Err(ReadError::damaged(format!("its files have more than {MAX_TOTAL} bytes")));
                }
                if raw.kind == kind::DIRECTORY {
                    // Twice would be a loop, or a bomb.
                    if !seen.insert(reference) {
                        return Err(ReadError::entry(&path, "is a directory that stands elsewhere too"));
                    }
                    if path.len() > crate::archive::tree::PATH_MAX {
                        return Err(ReadError::entry(&above, "lies too deep"));
                    }
                    open.push((path.clone(), raw.clone()));
                }
                if is_below(&path, wanted) {
                    let (links, inode) = (raw.links, raw.number);
                    let socket = raw.kind == kind::SOCKET;
                    found.push(Node { path, entry, links, inode, reference, file, socket });
                }
            }
        }
        if found.is_empty() && !wanted.is_empty() {
            return Err(ReadError::Missing(wanted.to_owned()));
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn raw(&self, reference: u64, path: &str) -> Result<Raw, ReadError> {
        Raw::read(&self.tables, &self.block, reference)
            .map_err(|error| ReadError::entry(path, format!("has an inode that cannot be read: {error}")))
    }

    fn id(&self, number: u16, path: &str) -> Result<u64, ReadError> {
        let id = self.ids.get(usize::from(number));
        id.map(|id| u64::from(*id))
            .ok_or_else(|| ReadError::entry(path, "has an owner that is not in the table"))
    }

    fn entry(
        &self,
        raw: &Raw,
        path: &str,
        known: &mut Known,
    ) -> Result<(Entry, Option<super::node::FileBlocks>), ReadError> {
        let (kind, file) = match raw.kind {
            kind::DIRECTORY => (Kind::Directory, None),
            kind::FILE => {
                let file = raw.file(self.block.block_size, &self.block)?;
                // A place holder: the bytes are elsewhere, the length is right.
                (Kind::File(Content::range("", 0, file.size)), Some(file))
            }
            kind::SYMLINK => (Kind::Symlink(raw.target(&self.tables, path)?), None),
            kind::CHAR_DEVICE => (Kind::CharDevice { major: raw.device().0, minor: raw.device().1 }, None),
            kind::BLOCK_DEVICE => (Kind::BlockDevice { major: raw.device().0, minor: raw.device().1 }, None),
            kind::FIFO | kind::SOCKET => (Kind::Fifo, None), // a tree has no sockets
            _ => return Err(ReadError::entry(path, "is of a kind that is not known")),
        };
        let entry = Entry {
            mode: u32::from(raw.mode & 0o7777),
            uid: self.id(raw.uid, path)?,
            gid: self.id(raw.gid, path)?,
            mtime: i64::from(raw.mtime),
            xattrs: self.xattrs(raw.xattrs, known)?,
            kind,
        };
        Ok((entry, file))
    }

    /// The names in a directory, each with its inode's reference; in the image's order, which must be
    /// that of the names.
    fn names(&self, directory: &Raw, path: &str) -> Result<Vec<(String, u64)>, ReadError> {
        let wrong = |why: &str| ReadError::entry(path, why);
        let (block, offset, size) = directory.listing();
        let mut cursor = Cursor {
            block: self.block.directory_table.saturating_add(block),
            offset,
            end: self.block.fragment_end(),
        };
        let mut left = u64::from(size).saturating_sub(DIRECTORY_EXTRA);
        let mut names: Vec<(String, u64)> = Vec::new();
        while left > 0 {
            let head = self.tables.take(&mut cursor, 12)?;
            let mut fields = Fields(&head);
            let (count, start) = (fields.u32().unwrap_or(0), fields.u32().unwrap_or(0)); // twelve bytes
            if count > 255 {
                return Err(wrong("has a listing whose runs are too long"));
            }
            left = left.checked_sub(12).ok_or_else(|| wrong("has a listing that is cut"))?;
            for _ in 0..=count {
                let row = self.tables.take(&mut cursor, 8)?;
                let mut fields = Fields(&row);
                let offset = fields.u16().unwrap_or(0);
                let len =
                    usize::from(*row.get(6).unwrap_or(&0)) + usize::from(*row.get(7).unwrap_or(&0)) * 256 + 1;
                if len > NAME_MAX + 1 {
                    return Err(wrong("has an entry whose name is too long"));
                }
                let name = String::from_utf8(self.tables.take(&mut cursor, len)?)
                    .map_err(|_| wrong("has an entry whose name is no UTF-8"))?;
                if matches!(name.as_str(), "." | "..") || name.contains(['/', '\0']) {
                    return Err(wrong("has an entry whose name is no name"));
                }
                if names.last().is_some_and(|(last, _)| *last >= name) {
                    return Err(wrong("has a listing that is out of order"));
                }
                left = left.checked_sub(8 + len as u64).ok_or_else(|| wrong("has a listing that is cut"))?;
                names.push((name, u64::from(start) << 16 | u64::from(offset)));
                if names.len() > MAX_ENTRIES {
                    return Err(wrong("has too many entries"));
                }
            }
        }
        Ok(names)
    }

    /// A set of attributes.
    fn xattrs(&self, number: u32, known: &mut Known) -> Result<Set, ReadError> {
        if number == NONE || self.block.xattr_table == NO_TABLE {
            return Ok(Set::new());
        }
        if let Some(set) = known.sets.get(&number) {
            known.charge(set.iter().map(|(name, value)| name.len() + value.len()).sum())?;
            return Ok(known.sets.get(&number).cloned().unwrap_or_default());
        }
        let table = self.block.xattr_table;
        let head = self.tables.raw(table, 16)?;
        let mut fields = Fields(&head);
        let (start, count) = (fields.u64().unwrap_or(0), fields.u32().unwrap_or(0)); // sixteen bytes
        if number >= count {
            return Err(ReadError::damaged("a set of attributes is not in the table"));
        }
        let row = self.tables.row(table + 16, u64::from(number), 16)?;
        let mut fields = Fields(&row);
        let (reference, pairs) = (fields.u64().unwrap_or(0), fields.u32().unwrap_or(0)); // sixteen bytes
        if pairs > MAX_SET {
            return Err(ReadError::damaged("a set of attributes is too large"));
        }
        let cursor = |reference: u64| Cursor {
            block: start.saturating_add(reference >> 16),
            offset: (reference & 0xffff) as usize,
            end: table,
        };
        let mut at = cursor(reference);
        let mut set = Set::new();
        for _ in 0..pairs {
            let head = self.tables.take(&mut at, 4)?;
            let mut fields = Fields(&head);
            let (kind, len) = (fields.u16().unwrap_or(0), fields.u16().unwrap_or(0)); // four bytes
            let prefix = XATTR_PREFIXES.get(usize::from(kind & 0xff));
            let prefix =
                prefix.ok_or_else(|| ReadError::damaged("an attribute has a prefix that is not known"))?;
            if usize::from(len) > NAME_MAX {
                return Err(ReadError::damaged("an attribute has a name that is too long"));
            }
            let name = String::from_utf8(self.tables.take(&mut at, usize::from(len))?)
                .map_err(|_| ReadError::damaged("an attribute has a name that is no UTF-8"))?;
            let mut value = self.value(&mut at)?;
            if kind & XATTR_ELSEWHERE != 0 {
                let place = Fields(&value).u64();
                let place = place.ok_or_else(|| ReadError::damaged("an attribute points nowhere"))?;
                value = self.value(&mut cursor(place))?;
            }
            known.charge(name.len() + value.len())?;
            set.insert(format!("{prefix}{name}"), value);
        }
        known.sets.insert(number, set.clone());
        Ok(set)
    }

    fn value(&self, at: &mut Cursor) -> Result<Vec<u8>, ReadError> {
        let len = self.tables.take(at, 4)?;
        let len = Fields(&len).u32().unwrap_or(u32::MAX) as usize; // four bytes
        if len > XATTR_MAX {
            return Err(ReadError::damaged("an attribute is longer than 65536 bytes"));
        }
        self.tables.take(at, len)
    }
}

/// What is kept while an image is listed, with its bounds.
#[derive(Default)]
struct Known {
    sets: HashMap<u32, Set>,
    bytes: usize,
    names: usize,
    contents: u64,
}

impl Known {
    fn charge(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_XATTRS {
            return Err(ReadError::damaged(format!("it has more than {MAX_XATTRS} bytes of attributes")));
        }
        Ok(())
    }
}

fn superblock(file: &ContentHandle) -> Result<Superblock, ReadError> {
    let mut bytes = [0; SUPERBLOCK];
    if file.len() < SUPERBLOCK as u64 {
        return Err(ReadError::Foreign("it is shorter than a superblock".to_owned()));
    }
    file.read_exact_at(0, &mut bytes).map_err(ReadError::Read)?;
    let block = Superblock::decode(&bytes).map_err(ReadError::Foreign)?;
    if block.bytes_used > file.len() {
        let (says, has) = (block.bytes_used, file.len());
        return Err(ReadError::damaged(format!("it has {has} bytes and says that it has {says}")));
    }
    let order =
        [SUPERBLOCK as u64, block.inode_table, block.directory_table, block.fragment_end(), block.bytes_used];
    if !order.is_sorted() || block.id_table > block.bytes_used {
        return Err(ReadError::damaged("its tables are out of order"));
    }
    if block.xattr_table != NO_TABLE && block.xattr_table > block.bytes_used.saturating_sub(16) {
        return Err(ReadError::damaged("its attributes lie behind its end"));
    }
    Ok(block)
}

impl Superblock {
    /// Where the directory table ends: at the first table that is there.
    fn fragment_end(&self) -> u64 {
        // The pointers of these tables stand behind their blocks; reading past the directories' end ends
        // at bytes that are no directory, and never at bytes that are not there.
        let tables = [self.fragment_table, self.export_table, self.id_table];
        tables.into_iter().filter(|table| *table != NO_TABLE).min().unwrap_or(self.bytes_used)
    }

    /// The most bytes that the inode table can unpack to: a block takes three bytes at least.
    pub(super) fn inode_bytes(&self) -> u64 {
        (self.directory_table - self.inode_table).saturating_mul(METADATA as u64 / 2) // sorted: see `superblock`
    }
}

/// Makes hard links of all names of a file but its first, of those that `may` have several.
pub(in super::super) fn link(nodes: &mut [Node], may: impl Fn(&Node) -> bool) {
    let mut first: HashMap<u64, String> = HashMap::new();
    for node in nodes.iter_mut().filter(|node| may(node)) {
        match first.get(&node.reference) {
            Some(path) => {
                node.entry.kind = Kind::HardLink(path.clone());
                node.file = None;
            }
            None => {
                first.insert(node.reference, node.path.clone());
            }
        }
    }
}
