//! The inode and directory tables: one inode for each path that is no hard link, one listing for each
//! directory.
//!
//! A directory's inode says where its listing is, and a listing where its entries' inodes are: so what
//! lies deeper is written first. In reverse path order every path comes before its parent.

use std::collections::HashMap;

use super::super::tree::{Entry, Kind, Tree, file_name, parent};
use super::blocks::{Data, Placed};
use super::codec::Compressor;
use super::error::WriteError;
use super::format::{DIRECTORY_EXTRA, METADATA, NAME_MAX, RUN, TARGET_MAX, encode_device, inode as kind};
use super::inode::{self, Directory, File, Head, IndexRow};
use super::metadata::{Metadata, Position};
use super::options::Options;
use super::plan::Plan;
use super::xattr::{Finished, Xattrs};

/// Where an inode is, for the entries that name it.
#[derive(Clone, Copy)]
struct Known {
    position: Position,
    number: u32,
    /// Its type, basic.
    kind: u16,
}

/// The tables in the making.
pub(super) struct Nodes<'t> {
    tree: &'t Tree,
    options: &'t Options,
    plan: &'t Plan<'t>,
    data: &'t Data,
    inodes: Metadata<'t>,
    directories: Metadata<'t>,
    xattrs: Xattrs<'t>,
    ids: HashMap<u32, u16>,
    id_rows: Vec<u8>,
    numbers: HashMap<&'t str, u32>,
    links: HashMap<&'t str, u32>,
    children: HashMap<&'t str, Vec<&'t str>>,
    known: HashMap<&'t str, Known>,
    exports: Vec<u64>,
    mtime: u32,
}

/// The finished tables.
pub(super) struct Made {
    pub(super) inodes: Vec<u8>,
    pub(super) directories: Vec<u8>,
    pub(super) xattrs: Finished,
    pub(super) ids: Vec<u8>,
    pub(super) exports: Vec<u8>,
    pub(super) root: u64,
    pub(super) count: u32,
    pub(super) mtime: u32,
}

impl<'t> Nodes<'t> {
    /// Numbers the inodes in path order, the root first, and counts links.
    pub(super) fn of(
        tree: &'t Tree,
        options: &'t Options,
        plan: &'t Plan<'t>,
        data: &'t Data,
        compressors: (&'t mut Compressor, &'t mut Compressor, &'t mut Compressor),
    ) -> Result<Self, WriteError> {
        let mut nodes = Self {
            tree,
            options,
            plan,
            data,
            inodes: Metadata::new(compressors.0),
            directories: Metadata::new(compressors.1),
            xattrs: Xattrs::new(compressors.2),
            ids: HashMap::new(),
            id_rows: Vec::new(),
            numbers: HashMap::from([("", 1)]),
            links: HashMap::new(),
            children: HashMap::new(),
            known: HashMap::new(),
            exports: Vec::new(),
            mtime: 0,
        };
        let mut count = 1u32;
        for (path, entry) in tree.iter() {
            let above = parent(path).unwrap_or_default();
            nodes.children.entry(above).or_default().push(path);
            match &entry.kind {
                Kind::HardLink(target) => {
                    let may = |entry: &Entry| !matches!(entry.kind, Kind::Directory | Kind::HardLink(_));
                    if !tree.get(target).is_some_and(may) {
                        let why = format!("it is a hard link to `{target}`, which is no file of the tree");
                        return Err(WriteError::refused(path, why));
                    }
                    *nodes.links.entry(target).or_insert(1) += 1;
                }
                _ => {
                    count = count
                        .checked_add(1)
                        .filter(|count| *count < u32::MAX)
                        .ok_or(WriteError::Limit("it has more than 4294967294 entries"))?;
                    nodes.numbers.insert(path, count);
                    if entry.is_directory() {
                        *nodes.links.entry(above).or_insert(2) += 1;
                    }
                }
            }
        }
        nodes.exports = vec![0; count as usize];
        Ok(nodes)
    }

    /// Writes all tables.
    pub(super) fn make(mut self) -> Result<Made, WriteError> {
        // Ids in path order, whatever the order in which inodes are written.
        let tree = self.tree;
        let directories: Vec<(&str, &Entry)> =
            tree.iter().filter(|(_, entry)| entry.is_directory()).collect();
        for (path, entry) in directories.into_iter().rev() {
            self.directory(path, entry)?;
        }
        let options = self.options;
        let root = self.directory("", &options.root)?;
        let (inodes, _) = self.inodes.finish()?;
        let (directories, _) = self.directories.finish()?;
        Ok(Made {
            inodes,
            directories,
            xattrs: self.xattrs.finish()?,
            ids: self.id_rows,
            count: self.exports.len() as u32, // counted in 32 bits
            exports: self.exports.iter().flat_map(|reference| reference.to_le_bytes()).collect(),
            root: root.reference(),
            mtime: self.mtime,
        })
    }

    fn head(&mut self, path: &'t str, entry: &'t Entry) -> Result<Head, WriteError> {
        let mtime = match self.options.epoch {
            Some(epoch) => i64::try_from(epoch.seconds()).unwrap_or(i64::MAX),
            None => entry.mtime,
        };
        let mtime = u32::try_from(mtime).map_err(|_| {
            WriteError::refused(path, format!("its time {mtime} is before 1970 or after 2106"))
        })?;
        self.mtime = self.mtime.max(mtime);
        Ok(Head {
            mode: (entry.mode & 0o7777) as u16,
            uid: self.id(path, entry.uid)?,
            gid: self.id(path, entry.gid)?,
            mtime,
            number: self.numbers.get(path).copied().unwrap_or(0), // every path has one
            xattrs: self.xattrs.add(path, &entry.xattrs)?,
        })
    }

    fn id(&mut self, path: &str, id: u64) -> Result<u16, WriteError> {
        let id = u32::try_from(id)
            .map_err(|_| WriteError::refused(path, format!("its owner or group {id} is above 4294967295")))?;
        if let Some(number) = self.ids.get(&id) {
            return Ok(*number);
        }
        // The superblock counts them in 16 bits.
        let number = u16::try_from(self.ids.len()).ok().filter(|number| *number < u16::MAX);
        let number = number.ok_or(WriteError::Limit("it has more than 65535 owners and groups"))?;
        self.id_rows.extend_from_slice(&id.to_le_bytes());
        self.ids.insert(id, number);
        Ok(number)
    }

    /// Writes an inode and notes where it is.
    fn put(&mut self, path: &'t str, head: &Head, kind: u16, bytes: &[u8]) -> Result<Known, WriteError> {
        let position = self.inodes.position();
        // Listings point at blocks of inodes in 32 bits.
        if u32::try_from(position.block).is_err() {
            return Err(WriteError::Limit("its inodes take more than 4 GiB"));
        }
        self.inodes.append(bytes)?;
        let known = Known { position, number: head.number, kind };
        if let Some(row) = self.exports.get_mut((head.number as usize).wrapping_sub(1)) {
            *row = position.reference();
        }
        self.known.insert(path, known);
        Ok(known)
    }

    /// The inode of an entry that is no directory, written when it is first asked for.
    fn inode(&mut self, path: &'t str) -> Result<Known, WriteError> {
        if let Some(known) = self.known.get(path) {
            return Ok(*known);
        }
        let tree = self.tree;
        let entry = tree.get(path).ok_or_else(|| WriteError::refused(path, "it is not in the tree"))?;
        if let Kind::HardLink(target) = &entry.kind {
            return self.inode(target); // no hard link: `of` has seen to it
        }
        let links = self.links.get(path).copied().unwrap_or(1);
        let head = self.head(path, entry)?;
        let device = |major: u32, minor: u32| {
            encode_device(major, minor).ok_or_else(|| {
                WriteError::refused(path, format!("device number {major}:{minor} is too large"))
            })
        };
        let (kind, bytes) = match &entry.kind {
            Kind::File(_) => (kind::FILE, self.file(path, &head)),
            Kind::Symlink(target)
                if target.is_empty() || target.len() > TARGET_MAX || target.contains('\0') =>
            {
                let why = "its link target is empty, longer than 4095 bytes or contains a NUL byte";
                return Err(WriteError::refused(path, why));
            }
            Kind::Symlink(target) => (kind::SYMLINK, inode::symlink(&head, links, target)),
            Kind::CharDevice { major, minor } => {
                (kind::CHAR_DEVICE, inode::device(&head, links, kind::CHAR_DEVICE, device(*major, *minor)?))
            }
            Kind::BlockDevice { major, minor } => {
                (kind::BLOCK_DEVICE, inode::device(&head, links, kind::BLOCK_DEVICE, device(*major, *minor)?))
            }
            Kind::Fifo => (kind::FIFO, inode::fifo(&head, links)),
            Kind::Directory | Kind::HardLink(_) => {
                return Err(WriteError::refused(path, "it is listed before it was written"));
            }
        };
        self.put(path, &head, kind, &bytes)
    }

    fn file(&self, path: &str, head: &Head) -> Vec<u8> {
        let none = Placed::default();
        // Files of the plan are in path order.
        let file = self.plan.files.binary_search_by(|file| file.path.cmp(path)).ok();
        let file = file.and_then(|number| self.plan.files.get(number));
        let first = file.and_then(|file| self.plan.files.get(file.same_as));
        let placed = file.and_then(|file| self.data.files.get(file.same_as)).unwrap_or(&none);
        let file = File {
            start: placed.start,
            size: file.map_or(0, |file| file.content.len()),
            holes: placed.holes,
            links: self.links.get(path).copied().unwrap_or(1),
            fragment: first.and_then(|first| first.fragment),
            blocks: &placed.sizes,
        };
        file.encode(head)
    }

    /// A directory's link count: its own where it stays as it was, as tools count in different ways.
    fn directory_links(&self, path: &str) -> u32 {
        let kept = self.plan.kept.and_then(|kept| kept.directory_links(path));
        kept.or_else(|| self.links.get(path).copied()).unwrap_or(2)
    }

    /// Writes a directory's listing and inode; all below it is written.
    fn directory(&mut self, path: &'t str, entry: &'t Entry) -> Result<Position, WriteError> {
        let names = self.children.remove(path).unwrap_or_default();
        let mut entries = Vec::with_capacity(names.len());
        for child in names {
            if file_name(child).len() > NAME_MAX {
                return Err(WriteError::refused(child, "its name is longer than 255 bytes"));
            }
            entries.push((file_name(child), self.inode(child)?));
        }
        let start = self.directories.position();
        let (size, index) = self.listing(path, start, &entries)?;
        let head = self.head(path, entry)?;
        let above = if path.is_empty() {
            self.exports.len() as u32 + 1 // the root has none: what mksquashfs writes there
        } else {
            self.numbers.get(parent(path).unwrap_or_default()).copied().unwrap_or(1)
        };
        let block = u32::try_from(start.block)
            .map_err(|_| WriteError::Limit("its directories take more than 4 GiB"))?;
        let directory = Directory {
            block,
            offset: start.offset,
            size,
            links: self.directory_links(path),
            parent: above,
            index: &index,
        };
        let bytes = directory.encode(&head);
        Ok(self.put(path, &head, kind::DIRECTORY, &bytes)?.position)
    }

    /// Writes the runs of a listing: entries whose inodes lie in one block and have numbers near
    /// enough. A run begins with each metadata block, so that the index leads to every block.
    fn listing(
        &mut self,
        path: &str,
        start: Position,
        entries: &[(&str, Known)],
    ) -> Result<(u32, Vec<IndexRow>), WriteError> {
        let mut index = Vec::new();
        let (mut place, mut rest) = (0u64, entries);
        let mut indexed_block = 0;
        while let Some((name, first)) = rest.first() {
            let block = (u64::from(start.offset) + place) / METADATA as u64;
            let room = (block + 1) * METADATA as u64 - u64::from(start.offset);
            let mut end = place + 12;
            let near = |known: &Known| {
                known.position.block == first.position.block
                    && i16::try_from(i64::from(known.number) - i64::from(first.number)).is_ok()
            };
            let count = rest
                .iter()
                .take(RUN)
                .take_while(|(name, known)| {
                    let fits = near(known) && end < room;
                    end += 8 + name.len() as u64;
                    fits
                })
                .count()
                .max(1);
            if block != indexed_block {
                indexed_block = block;
                let at = self.directories.position().block;
                let row = IndexRow {
                    place: place as u32, // below 4 GiB, see below
                    block: u32::try_from(at)
                        .map_err(|_| WriteError::Limit("its directories take more than 4 GiB"))?,
                    name: name.as_bytes().to_vec(),
                };
                index.push(row);
            }
            let (run, later) = rest.split_at(count); // `count` was counted in `rest`
            let bytes = run_bytes(run, *first);
            self.directories.append(&bytes)?;
            place += bytes.len() as u64;
            rest = later;
        }
        let size =
            u32::try_from(place + DIRECTORY_EXTRA).ok().filter(|_| index.len() <= usize::from(u16::MAX));
        let size =
            size.ok_or_else(|| WriteError::refused(path, "it has more entries than a directory can hold"))?;
        Ok((size, index))
    }
}

fn run_bytes(run: &[(&str, Known)], first: Known) -> Vec<u8> {
    let mut bytes = Vec::new();
    // The block is below 4 GiB: see `put`.
    for word in [run.len() as u32 - 1, first.position.block as u32, first.number] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    for (name, known) in run {
        let delta = known.number.wrapping_sub(first.number) as u16; // within an i16: see `near`
        for half in [known.position.offset, delta, known.kind, name.len() as u16 - 1] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes
}
