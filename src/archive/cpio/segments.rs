//! The segments of an initramfs, as Linux' `init/initramfs.c` takes them: archives one after another,
//! plain ones at multiples of four bytes, or compressed with any codec, NUL bytes between them and
//! behind. Members are visited in one pass with constant memory; what a visitor does not read is
//! skipped, in a plain segment without being read at all.

use std::io::{self, Read};

use super::error::{Place, ReadError, Refusal};
use super::format::{ALIGN, HEADER, Header, TRAILER, TYPE, kind};
use super::source::{Ends, Source};
use crate::archive::compress::{Codec, WINDOW_LOG_MAX};
use crate::archive::tar::error::printable;
use crate::archive::tree::PATH_MAX;
use crate::base::Content;

/// The most members of one initramfs: what a tree may hold as well.
pub const MAX_MEMBERS: u64 = 1 << 20;

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes in the file; of a plain one up to the end of its trailer.
    pub len: u64,
    /// Its codec.
    pub codec: Codec,
    /// Its bytes after decompression.
    pub unpacked: u64,
    /// Members, trailers not counted.
    pub members: u64,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
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

/// Device (major, minor) and inode number.
pub type Inode = (u32, u32, u32);

/// A member of an archive.
#[derive(Debug, Clone)]
pub struct Member {
    /// Where its header begins.
    pub place: Place,
    /// The number of its segment, from 0.
    pub segment: usize,
    /// The number of its archive, from 0: hard links lead nowhere beyond it.
    pub archive: u64,
    /// Its name, as it is stored, without the NUL.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits: 0o7777 at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime: u32,
    /// Names of the file; it has several where these are two and more.
    pub nlink: u32,
    /// What is the same for all names of a file.
    pub inode: Inode,
    /// Bytes of a regular file. Of one with several names only one carries them.
    pub size: u64,
    /// These bytes where they are, in a plain segment.
    pub content: Option<Content>,
}

impl Member {
    /// Its name for messages.
    pub fn printable(&self) -> String {
        printable(&self.name)
    }

    pub(super) fn error(&self, why: impl Into<String>) -> ReadError {
        ReadError::Member { member: self.printable(), place: self.place, why: why.into() }
    }
}

/// What a walk does with each member: the member, and a reader of a regular file's bytes.
pub type Visit<'a, E> = &'a mut dyn FnMut(&Member, &mut dyn Read) -> Result<(), E>;

/// Visits every member of an initramfs in its order; gives the segments. Everything that Linux would
/// not unpack is an error, after the members before it were visited.
pub fn walk<E: From<ReadError>>(content: &Content, visit: Visit<'_, E>) -> Result<Vec<Segment>, E> {
    let mut walk = Walk { content, segments: Vec::new(), archives: 0, members: 0 };
    let mut file = Source::plain(content, 0)?;
    let mut after_plain = false;
    loop {
        file.skip_nuls()?;
        let Some(first) = file.peek()? else { return Ok(walk.segments) };
        let place = Place { segment: file.place().at, ..file.place() };
        let at = place.at;
        if after_plain && !at.is_multiple_of(ALIGN) {
            return Err(ReadError::refused(place, Refusal::Padding).into());
        }
        after_plain = first == b'0' && at.is_multiple_of(ALIGN);
        if after_plain {
            file.begin();
            walk.archive(&mut file, visit)?;
            let (len, members) = (file.taken(), walk.members_here());
            walk.segments.push(Segment { offset: at, len, codec: Codec::Plain, unpacked: len, members });
            continue;
        }
        let codec = walk.codec(&mut file, place)?;
        let mut packed = Source::packed(content, codec, at)?;
        walk.archives_of(&mut packed, visit)?;
        let (len, unpacked, members) = (packed.taken(), packed.place().at, walk.members_here());
        walk.segments.push(Segment { offset: at, len, codec, unpacked, members });
        // A stream takes a byte at least, so this comes to an end.
        file = Source::plain(content, at.saturating_add(len.max(1)))?;
    }
}

struct Walk<'a> {
    content: &'a Content,
    segments: Vec<Segment>,
    /// Archives so far.
    archives: u64,
    /// Members so far.
    members: u64,
}

impl Walk<'_> {
    /// Members that no finished segment has.
    fn members_here(&self) -> u64 {
        self.members - self.segments.iter().map(|segment| segment.members).sum::<u64>()
    }

    /// The codec of the stream that begins at `place`, where a kernel would take it.
    fn codec(&self, file: &mut Source, place: Place) -> Result<Codec, ReadError> {
        let mut start = [0; 18]; // the longest header of a zstd frame
        let got = file.fill(&mut start)?;
        let start = start.get(..got).unwrap_or_default();
        let codec = Codec::of_kernel(start);
        let refusal = match (codec, start) {
            (Codec::Plain, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) => Some(Refusal::SkippableFrame),
            (Codec::Plain, [b'0', ..]) => Some(Refusal::Unaligned),
            (Codec::Plain, _) => Some(Refusal::Junk),
            (Codec::Xz, [0xfd, b'7', b'z', b'X', b'Z', 0, 0, check, ..]) if *check > 1 => {
                Some(Refusal::XzCheck(*check))
            }
            (Codec::Zstd, [0x28, 0xb5, 0x2f, 0xfd, header @ ..]) => {
                zstd_window(header).filter(|window| *window > 1 << WINDOW_LOG_MAX).map(|_| Refusal::Window)
            }
            _ => None,
        };
        let place = Place { codec, at: if codec == Codec::Plain { place.at } else { 0 }, ..place };
        refusal.map_or(Ok(codec), |refusal| Err(ReadError::refused(place, refusal)))
    }

    /// The archives of a compressed segment, one at least.
    fn archives_of<E: From<ReadError>>(&mut self, source: &mut Source, visit: Visit<'_, E>) -> Result<(), E> {
        loop {
            self.archive(source, visit)?;
            source.skip_nuls()?;
            let place = source.place();
            match source.peek()? {
                None => return Ok(()),
                Some(_) if !place.at.is_multiple_of(ALIGN) => {
                    return Err(ReadError::refused(place, Refusal::Padding).into());
                }
                Some(b'0') => {}
                Some(_) => return Err(ReadError::refused(place, Refusal::Junk).into()),
            }
        }
    }

    /// One archive with its trailer.
    fn archive<E: From<ReadError>>(&mut self, source: &mut Source, visit: Visit<'_, E>) -> Result<(), E> {
        while let Some((member, header)) = self.member(source)? {
            self.members += 1;
            if self.members > MAX_MEMBERS {
                return Err(member.error(format!("is one more than the {MAX_MEMBERS} that are read")).into());
            }
            let mut data = source.data(member.size, header.crc);
            let visited = visit(&member, &mut data);
            if header.crc && visited.is_ok() && data.left() > 0 {
                // What goes wrong here is found below.
                let _ = io::copy(&mut data, &mut io::sink());
            }
            let (left, sum) = (data.left(), data.sum());
            if let Some(failure) = source.failure() {
                let ends = failure.get_ref().is_some_and(|error| error.is::<Ends>());
                let error = || ReadError::refused(member.place, Refusal::Cut);
                return Err(if ends { error() } else { source.error(failure) }.into());
            }
            visited?;
            if member.kind == MemberKind::File
                && sum.is_some_and(|sum| member.size > 0 && sum != header.check)
            {
                return Err(ReadError::refused(member.place, Refusal::Sum).into());
            }
            if !source.skip(left)? || !source.align()? {
                return Err(ReadError::refused(member.place, Refusal::Cut).into());
            }
        }
        self.archives += 1;
        Ok(())
    }

    /// The next member; `None` for a trailer.
    fn member(&self, source: &mut Source) -> Result<Option<(Member, Header)>, ReadError> {
        let place = source.place();
        let mut bytes = [0; HEADER];
        let got = source.fill(&mut bytes)?;
        if got < HEADER {
            // Whatever could be a header's beginning was cut; nothing, NUL bytes or a stranger was none.
            let begun = bytes.get(..got.clamp(1, 6)) == b"070701".get(..got.clamp(1, 6));
            return Err(if begun {
                ReadError::refused(place, Refusal::Cut)
            } else {
                ReadError::no_trailer(place)
            });
        }
        let header = match Header::parse(&bytes) {
            Ok(header) => header,
            // An archive that another thing follows.
            Err(_) if !bytes.starts_with(b"0707") && place.at > place.start() => {
                return Err(ReadError::no_trailer(place));
            }
            Err(why) => return Err(ReadError::Header { place, why: why.to_owned() }),
        };
        let name = name(source, &header, place)?;
        let mut member = Member {
            place,
            segment: self.segments.len(),
            archive: self.archives,
            kind: MemberKind::File,
            mode: header.mode & 0o7777,
            uid: header.uid,
            gid: header.gid,
            mtime: header.mtime,
            nlink: header.nlink,
            inode: (header.device.0, header.device.1, header.ino),
            size: u64::from(header.size),
            content: None,
            name,
        };
        if member.name == TRAILER.as_bytes() {
            return match source.skip(member.size)? && source.align()? {
                true => Ok(None),
                false => Err(ReadError::refused(place, Refusal::Cut)),
            };
        }
        member.kind = member_kind(&header, &member, source)?;
        if let MemberKind::Symlink(_) = member.kind {
            member.size = 0;
        }
        if place.codec == Codec::Plain && member.size > self.content.len().saturating_sub(source.place().at) {
            return Err(ReadError::refused(place, Refusal::Cut));
        }
        member.content = (member.kind == MemberKind::File).then(|| source.slice(member.size)).flatten();
        Ok(Some((member, header)))
    }
}

impl Place {
    /// Where the segment begins, as `at` counts.
    fn start(&self) -> u64 {
        if self.codec == Codec::Plain { self.segment } else { 0 }
    }
}

fn name(source: &mut Source, header: &Header, place: Place) -> Result<Vec<u8>, ReadError> {
    let wrong = |why: &str| ReadError::Header { place, why: why.to_owned() };
    let length = usize::try_from(header.name).unwrap_or(usize::MAX);
    if length == 0 || length > PATH_MAX {
        return Err(wrong("the name is empty or longer than 4096 bytes"));
    }
    let mut name = vec![0; length]; // PATH_MAX at the most
    if source.fill(&mut name)? < length || !source.align()? {
        return Err(ReadError::refused(place, Refusal::Cut));
    }
    if name.pop() != Some(0) || name.is_empty() || name.contains(&0) {
        return Err(wrong("the name does not end at its NUL byte"));
    }
    Ok(name)
}

fn member_kind(header: &Header, member: &Member, source: &mut Source) -> Result<MemberKind, ReadError> {
    let (major, minor) = header.rdev;
    let kind = match header.mode & TYPE {
        kind::FILE => return Ok(MemberKind::File),
        kind::SYMLINK => {
            let length = usize::try_from(header.size).unwrap_or(usize::MAX);
            if length == 0 || length > PATH_MAX {
                return Err(member.error("has a target that is empty or longer than 4096 bytes"));
            }
            let mut target = vec![0; length]; // PATH_MAX at the most
            if source.fill(&mut target)? < length {
                return Err(ReadError::refused(member.place, Refusal::Cut));
            }
            return Ok(MemberKind::Symlink(target));
        }
        kind::DIRECTORY => MemberKind::Directory,
        kind::CHAR => MemberKind::CharDevice { major, minor },
        kind::BLOCK => MemberKind::BlockDevice { major, minor },
        kind::FIFO => MemberKind::Fifo,
        other => return Err(member.error(format!("is of a kind that is not known, {other:o}"))),
    };
    // Linux skips such a one in silence.
    if header.size > 0 { Err(member.error("has a content and is no file")) } else { Ok(kind) }
}

/// The window that a zstd frame asks for, by its header behind the magic number (RFC 8878, 3.1.1.1);
/// `None` if it is cut.
fn zstd_window(header: &[u8]) -> Option<u64> {
    let (&descriptor, rest) = header.split_first()?;
    if descriptor & 0x20 == 0 {
        let window = rest.first()?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment: the window is the content's size, behind the dictionary's id.
    let id = [0, 1, 2, 4][usize::from(descriptor & 3)]; // two bits
    let size = [1, 2, 4, 8][usize::from(descriptor >> 6)]; // two bits
    let bytes = rest.get(id..id + size)?;
    let number = bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Some(if size == 2 { number + 256 } else { number })
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
