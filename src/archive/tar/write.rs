//! A file tree as deterministic bytes: the same tree gives the same archive on every machine.
//!
//! Headers are POSIX ustar: numeric owners without names, times fixed or the entries' own. A long
//! path is split into ustar's prefix and name, which GNU tar and Go both read; only what ustar
//! cannot say goes into a pax header: longer or non-ASCII names, 8 GiB and more, large ids, times
//! before 1970, extended attributes. The archive ends with two zero blocks and no further padding:
//! records of 10 KiB are for tapes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use super::header::BLOCK;
use super::pax::{self, XATTR};
use crate::archive::tree::{Entry, Kind, Tree, TreeError, file_name, normalise};
use crate::base::Epoch;

/// One system call for so many bytes, whatever the members' sizes.
const BUFFER: usize = 256 << 10;
/// The largest numbers that octal fields hold: eleven digits, seven digits.
const MAX_LONG: u64 = 0o777_7777_7777;
const MAX_SHORT: u64 = 0o777_7777;

/// An archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The entry's path is none.
    #[error("an entry cannot be written")]
    Path(#[from] TreeError),
    /// Tar cannot say it.
    #[error("entry `{path}` cannot be written: {why}")]
    Refused {
        /// The entry.
        path: String,
        /// What tar has no way to say.
        why: String,
    },
    /// The content could not be read.
    #[error("cannot read the content of `{path}`")]
    Content {
        /// The entry.
        path: String,
        /// What the file system said.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Output {
        /// What the output said.
        source: io::Error,
    },
}

/// Writes an archive, member by member.
pub struct Writer<W> {
    out: W,
    buffer: Box<[u8]>,
    /// Below the buffer's length between calls.
    filled: usize,
    epoch: Option<Epoch>,
}

/// Writes a whole tree in path order and gives the output back. With an epoch every entry has that
/// time, without one its own.
pub fn write_tree<W: Write>(tree: &Tree, epoch: Option<Epoch>, out: W) -> Result<W, WriteError> {
    let mut writer = Writer::new(out, epoch);
    for (path, entry) in tree.iter() {
        if let Kind::HardLink(target) = &entry.kind
            && (target.as_str() >= path || tree.get(target).is_none_or(|entry| entry.content().is_none()))
        {
            let why = format!("it is a hard link to `{target}`, which is no file written before it");
            return Err(WriteError::Refused { path: path.to_owned(), why });
        }
        writer.append(path, entry)?;
    }
    writer.finish()
}

impl<W: Write> Writer<W> {
    /// Begins an archive; see [`write_tree`] for `epoch`.
    pub fn new(out: W, epoch: Option<Epoch>) -> Self {
        Self { out, buffer: vec![0; BUFFER].into(), filled: 0, epoch }
    }

    /// Appends one member, streaming its content. The root is written as `./`. A hard link's target
    /// must have been appended before.
    pub fn append(&mut self, path: &str, entry: &Entry) -> Result<(), WriteError> {
        match &entry.kind {
            Kind::File(content) => {
                let failed = |source| WriteError::Content { path: path.to_owned(), source };
                self.append_from(path, entry, &mut content.open().map_err(failed)?)
            }
            _ => self.append_from(path, entry, &mut io::empty()),
        }
    }

    /// As [`Writer::append`], with a regular file's bytes from `contents`, which gives as many as the
    /// entry says.
    pub fn append_from(
        &mut self,
        path: &str,
        entry: &Entry,
        contents: &mut dyn Read,
    ) -> Result<(), WriteError> {
        let mut name = normalise(path)?;
        let refused = |why: &str| WriteError::Refused { path: path.to_owned(), why: why.to_owned() };
        if name.is_empty() {
            if !entry.is_directory() {
                return Err(refused("it is the root and no directory"));
            }
            name.push('.');
        }
        if entry.is_directory() {
            name.push('/');
        }
        let mtime = match self.epoch {
            Some(epoch) => i64::try_from(epoch.seconds()).map_err(|_| refused("its time is out of range"))?,
            None => entry.mtime,
        };
        let (block, records) = headers(&name, entry, mtime).map_err(|why| refused(&why))?;
        let output = |source| WriteError::Output { source };
        if !records.is_empty() {
            self.extended(&name, &records).map_err(output)?;
        }
        self.put(&block).map_err(output)?;
        match &entry.kind {
            Kind::File(content) => {
                self.pump(contents, content.len(), path)?;
                self.pad(content.len()).map_err(output)
            }
            _ => Ok(()),
        }
    }

    /// Has everything so far reach the output, and flushes that: the next member begins something new.
    pub fn boundary(&mut self) -> Result<(), WriteError> {
        self.flush().and_then(|()| self.out.flush()).map_err(|source| WriteError::Output { source })
    }

    /// Ends the archive and gives the output back, flushed.
    pub fn finish(mut self) -> Result<W, WriteError> {
        let end = |writer: &mut Self| {
            writer.put(&[0; 2 * BLOCK])?;
            writer.flush()?;
            writer.out.flush()
        };
        end(&mut self).map_err(|source| WriteError::Output { source })?;
        Ok(self.out)
    }

    /// The pax header before a member; its own name says nothing but keeps old readers' output
    /// readable.
    fn extended(&mut self, name: &str, records: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        let own = format!("PaxHeaders.0/{}", file_name(name.trim_end_matches('/')));
        set_name(&mut header, b"", &ascii(&own, 100));
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.put(header.as_bytes())?;
        self.put(records)?;
        self.pad(records.len() as u64)
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let free = self.buffer.len() - self.filled;
            let (now, later) = bytes.split_at(bytes.len().min(free));
            self.buffer[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            self.flush_full()?;
        }
        Ok(())
    }

    /// Exactly `len` bytes of `content`, read into the buffer itself.
    fn pump(&mut self, content: &mut dyn Read, len: u64, path: &str) -> Result<(), WriteError> {
        let failed = |source| WriteError::Content { path: path.to_owned(), source };
        let mut left = len;
        while left > 0 {
            let free = self.buffer.len() - self.filled;
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(free);
            match content.read(&mut self.buffer[self.filled..self.filled + wanted]) {
                Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(got) => {
                    self.filled += got;
                    left -= got as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
            self.flush_full().map_err(|source| WriteError::Output { source })?;
        }
        Ok(())
    }

    fn pad(&mut self, len: u64) -> io::Result<()> {
        let padding = (len.wrapping_neg() % BLOCK as u64) as usize; // below 512
        self.put(&[0; BLOCK][..padding])
    }

    fn flush_full(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer[..self.filled])?;
        self.filled = 0;
        Ok(())
    }
}

/// A member's header block, and its pax records if it needs any.
fn headers(name: &str, entry: &Entry, mtime: i64) -> Result<([u8; BLOCK], Vec<u8>), String> {
    let mut header = tar::Header::new_ustar();
    let mut records: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    match split(name) {
        Some((prefix, rest)) => set_name(&mut header, prefix.as_bytes(), rest.as_bytes()),
        None => {
            set_name(&mut header, b"", &ascii(name, 100));
            records.insert("path".to_owned(), name.as_bytes().to_vec());
        }
    }
    header.set_mode(entry.mode & 0o7777);
    let mut number = |key: &str, value: u64, max: u64| {
        if value <= max {
            return value;
        }
        records.insert(key.to_owned(), value.to_string().into_bytes());
        0 // what Go writes in such a field
    };
    header.set_uid(number("uid", entry.uid, MAX_SHORT));
    header.set_gid(number("gid", entry.gid, MAX_SHORT));
    header.set_size(number("size", entry.content().map_or(0, crate::base::Content::len), MAX_LONG));
    match u64::try_from(mtime) {
        Ok(seconds) => header.set_mtime(number("mtime", seconds, MAX_LONG)),
        Err(_) => {
            header.set_mtime(0);
            records.insert("mtime".to_owned(), mtime.to_string().into_bytes());
        }
    }
    kind(&mut header, entry, &mut records)?;
    for (name, value) in &entry.xattrs {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("its attribute `{}` has a name that pax cannot hold", name.escape_default()));
        }
        records.insert(format!("{XATTR}{name}"), value.clone());
    }
    header.set_cksum();
    let mut bytes = Vec::new();
    records.iter().for_each(|(key, value)| pax::append(&mut bytes, key, value));
    if bytes.len() as u64 > super::read::MAX_EXTENDED {
        return Err("its attributes take more than the 1 MiB that readers accept".to_owned());
    }
    Ok((*header.as_bytes(), bytes))
}

/// The type flag, the link's target, the device's numbers.
fn kind(
    header: &mut tar::Header,
    entry: &Entry,
    records: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), String> {
    let mut device = (0, 0);
    let (flag, target) = match &entry.kind {
        Kind::Directory => (tar::EntryType::Directory, None),
        Kind::File(_) => (tar::EntryType::Regular, None),
        Kind::Symlink(target) => (tar::EntryType::Symlink, Some(target)),
        Kind::HardLink(target) => (tar::EntryType::Link, Some(target)),
        Kind::CharDevice { major, minor } => {
            device = (*major, *minor);
            (tar::EntryType::Char, None)
        }
        Kind::BlockDevice { major, minor } => {
            device = (*major, *minor);
            (tar::EntryType::Block, None)
        }
        Kind::Fifo => (tar::EntryType::Fifo, None),
    };
    header.set_entry_type(flag);
    if u64::from(device.0.max(device.1)) > MAX_SHORT {
        return Err(format!("device number {}:{} is too large for a header", device.0, device.1));
    }
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.set_device_major(device.0);
        ustar.set_device_minor(device.1);
    }
    if let Some(target) = target {
        if target.is_empty() || target.contains('\0') {
            return Err("its link target is empty or contains a NUL byte".to_owned());
        }
        let short = ascii(target, 100);
        if short != target.as_bytes() {
            records.insert("linkpath".to_owned(), target.as_bytes().to_vec());
        }
        fill(&mut header.as_old_mut().linkname, &short);
    }
    Ok(())
}

/// Splits an ASCII name into ustar's prefix (155 bytes) and name (100), at the last slash that
/// does.
fn split(name: &str) -> Option<(&str, &str)> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= 100 {
        return Some(("", name));
    }
    // Not at a directory's own slash: the name must not be empty.
    let body = name.strip_suffix('/').unwrap_or(name);
    let slash = body.get(..body.len().min(156))?.rfind('/')?;
    if slash == 0 || name.len() - slash > 101 {
        return None;
    }
    Some((name.get(..slash)?, name.get(slash + 1..)?))
}

/// At most `max` bytes of a name for readers that do not know pax; `_` for what is not ASCII.
fn ascii(name: &str, max: usize) -> Vec<u8> {
    name.chars().map(|c| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(b'_')).take(max).collect()
}

fn set_name(header: &mut tar::Header, prefix: &[u8], name: &[u8]) {
    if let Some(ustar) = header.as_ustar_mut() {
        fill(&mut ustar.prefix, prefix);
        fill(&mut ustar.name, name);
    }
}

/// Copies as many bytes as the field holds; the rest of it is zeros already.
fn fill(field: &mut [u8], bytes: &[u8]) {
    field.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tar::{Member, Reader};
    use crate::base::{Content, Digest};

    fn member(path: &str, entry: &Entry) -> (usize, Member) {
        let mut writer = Writer::new(Vec::new(), None);
        writer.append(path, entry).unwrap();
        let bytes = writer.finish().unwrap();
        let member = Reader::new(&bytes[..]).next_member().unwrap().unwrap();
        (bytes.len(), member)
    }

    #[test]
    fn long_names_are_split_and_only_what_cannot_be_goes_into_pax() {
        let plain = 3 * BLOCK;
        for (path, len) in [
            ("a".repeat(100), plain),
            ("a".repeat(101), plain + 2 * BLOCK),
            (format!("{}/{}", "p".repeat(155), "n".repeat(100)), plain),
            (format!("{}/{}", "p".repeat(156), "n".repeat(99)), plain + 2 * BLOCK),
            (format!("{}/{}", "p".repeat(50), "n".repeat(101)), plain + 2 * BLOCK),
            ("é".to_owned(), plain + 2 * BLOCK),
        ] {
            let (size, member) = member(&path, &Entry::file(0o644, Content::memory([])));
            assert_eq!((size, String::from_utf8(member.path).unwrap()), (len, path));
        }
        let path = format!("{}/{}", "p".repeat(101), "n".repeat(99));
        let (size, directory) = member(&path, &Entry::directory());
        assert_eq!((size, directory.path), (plain, format!("{path}/").into_bytes()));
    }

    #[test]
    fn numbers_that_octal_cannot_hold_read_back() {
        for (uid, mtime) in [(MAX_SHORT, 0), (MAX_SHORT + 1, -1), (u64::from(u32::MAX), 1 << 40)] {
            let entry = Entry { uid, gid: uid, mtime, ..Entry::new(0o600, Kind::Fifo) };
            let (_, member) = member("f", &entry);
            assert_eq!((member.uid, member.gid, member.mtime), (uid, uid, mtime));
        }
        for size in [MAX_LONG, MAX_LONG + 1] {
            let (block, records) = headers("x", &Entry::file(0, Content::file("none", size)), 0).unwrap();
            let mut bytes = Vec::new();
            if !records.is_empty() {
                let mut writer = Writer::new(&mut bytes, None);
                writer.extended("x", &records).unwrap();
                writer.flush().unwrap();
            }
            bytes.extend_from_slice(&block);
            assert_eq!(Reader::new(&bytes[..]).next_member().unwrap().unwrap().size, size);
        }
    }

    #[test]
    fn the_bytes_are_pinned() {
        let mut tree = Tree::new();
        let mut file = Entry::file(0o755, Content::memory(*b"#!/bin/sh\n"));
        file.xattrs.insert("security.selinux".to_owned(), b"system_u:object_r:bin_t:s0\0".to_vec());
        tree.insert("usr/bin/x", file).unwrap();
        tree.insert("usr/bin/y", Entry::symlink("x")).unwrap();
        let bytes = write_tree(&tree, Epoch::new(1_700_000_000), Vec::new()).unwrap();
        assert_eq!(bytes.len(), 9 * BLOCK);
        assert_eq!(
            Digest::of(&bytes).to_string(),
            "sha256:ae53a8830df5c887974dff9bc44e04daee9737019f9c1714dfb675ec64665340"
        );
    }

    #[test]
    fn what_tar_cannot_say_is_refused() {
        let mut odd = Entry::directory();
        odd.xattrs.insert("user.a=b".to_owned(), Vec::new());
        let device = Entry::new(0, Kind::CharDevice { major: 1 << 22, minor: 0 });
        for entry in [odd, device, Entry::symlink("")] {
            assert!(matches!(
                Writer::new(io::sink(), None).append("x", &entry),
                Err(WriteError::Refused { .. })
            ));
        }
        let mut tree = Tree::new();
        tree.insert("a", Entry::new(0, Kind::HardLink("b".to_owned()))).unwrap();
        tree.insert("b", Entry::file(0, Content::memory([]))).unwrap();
        assert!(write_tree(&tree, None, io::sink()).is_err());
    }
}
