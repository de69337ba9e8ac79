//! Inodes as they are written: basic ones where they hold everything, extended ones otherwise
//! (`struct squashfs_*_inode` of `squashfs_fs.h`).

use super::format::{NONE, inode};

/// What every inode begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) mode: u16,
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) mtime: u32,
    pub(super) number: u32,
    /// Number of the set of attributes, or [`NONE`].
    pub(super) xattrs: u32,
}

impl Head {
    fn encode(&self, kind: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for half in [kind, self.mode, self.uid, self.gid] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        words(&mut bytes, &[self.mtime, self.number]);
        bytes
    }
}

fn words(bytes: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
}

fn longs(bytes: &mut Vec<u8>, longs: &[u64]) {
    longs.iter().for_each(|long| bytes.extend_from_slice(&long.to_le_bytes()));
}

/// A regular file.
pub(super) struct File<'a> {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) holes: u64,
    pub(super) links: u32,
    pub(super) fragment: Option<(u32, u32)>,
    pub(super) blocks: &'a [u32],
}

impl File<'_> {
    pub(super) fn encode(&self, head: &Head) -> Vec<u8> {
        let (fragment, offset) = self.fragment.unwrap_or((NONE, 0));
        let basic = match (u32::try_from(self.start), u32::try_from(self.size)) {
            (Ok(start), Ok(size)) if self.holes == 0 && self.links == 1 && head.xattrs == NONE => {
                Some((start, size))
            }
            _ => None,
        };
        let mut bytes = head.encode(inode::FILE + if basic.is_some() { 0 } else { inode::EXTENDED });
        match basic {
            Some((start, size)) => words(&mut bytes, &[start, fragment, offset, size]),
            None => {
                longs(&mut bytes, &[self.start, self.size, self.holes]);
                words(&mut bytes, &[self.links, fragment, offset, head.xattrs]);
            }
        }
        words(&mut bytes, self.blocks);
        bytes
    }
}

/// A row of a directory's index: the first name of a run, and where the run stands.
pub(super) struct IndexRow {
    /// From the listing's first byte.
    pub(super) place: u32,
    /// Start of the metadata block.
    pub(super) block: u32,
    pub(super) name: Vec<u8>,
}

/// A directory.
pub(super) struct Directory<'a> {
    pub(super) block: u32,
    pub(super) offset: u16,
    /// Of the listing, with the three bytes that are nowhere.
    pub(super) size: u32,
    pub(super) links: u32,
    pub(super) parent: u32,
    pub(super) index: &'a [IndexRow],
}

impl Directory<'_> {
    pub(super) fn encode(&self, head: &Head) -> Vec<u8> {
        if let (Ok(size), NONE) = (u16::try_from(self.size), head.xattrs) {
            let mut bytes = head.encode(inode::DIRECTORY);
            words(&mut bytes, &[self.block, self.links]);
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&self.offset.to_le_bytes());
            words(&mut bytes, &[self.parent]);
            return bytes;
        }
        let mut bytes = head.encode(inode::DIRECTORY + inode::EXTENDED);
        words(&mut bytes, &[self.links, self.size, self.block, self.parent]);
        bytes.extend_from_slice(&(self.index.len() as u16).to_le_bytes()); // the writer keeps to 65535
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        words(&mut bytes, &[head.xattrs]);
        for row in self.index {
            words(&mut bytes, &[row.place, row.block, row.name.len() as u32 - 1]); // names are not empty
            bytes.extend_from_slice(&row.name);
        }
        bytes
    }
}

/// A symlink.
pub(super) fn symlink(head: &Head, links: u32, target: &str) -> Vec<u8> {
    let mut bytes = head.encode(inode::SYMLINK + extended(head));
    words(&mut bytes, &[links, target.len() as u32]); // at most 4095
    bytes.extend_from_slice(target.as_bytes());
    with_xattrs(bytes, head)
}

/// A device.
pub(super) fn device(head: &Head, links: u32, kind: u16, device: u32) -> Vec<u8> {
    let mut bytes = head.encode(kind + extended(head));
    words(&mut bytes, &[links, device]);
    with_xattrs(bytes, head)
}

/// A named pipe.
pub(super) fn fifo(head: &Head, links: u32) -> Vec<u8> {
    let mut bytes = head.encode(inode::FIFO + extended(head));
    words(&mut bytes, &[links]);
    with_xattrs(bytes, head)
}

fn extended(head: &Head) -> u16 {
    if head.xattrs == NONE { 0 } else { inode::EXTENDED }
}

fn with_xattrs(mut bytes: Vec<u8>, head: &Head) -> Vec<u8> {
    if head.xattrs != NONE {
        words(&mut bytes, &[head.xattrs]);
    }
    bytes
}
