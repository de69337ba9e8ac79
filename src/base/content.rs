//! Where bytes are, without holding them: in memory, in a file, in a range of a file, or in several of
//! these one after another.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::digest::{Digest, Hasher};
use super::locked;

/// Bytes that are hashed at a time: enough that the reading costs nothing beside the hashing.
const HASH_BUFFER: usize = 256 << 10;
/// Files that a handle of joined contents keeps open: what is joined may lie in thousands of files, and
/// a process may have a thousand open.
const OPEN_FILES: usize = 8;

/// The bytes of a file or blob. Cheap to clone; opened anew for every reading, so that a reading
/// never disturbs another.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes in memory, for what is small.
    Memory(Arc<[u8]>),
    /// A range of a file on disk; the whole file where `offset` is 0 and `len` its size.
    Range {
        /// The file.
        path: Arc<Path>,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// Several one after another; see [`Content::joined`].
    Joined(Joined),
}

/// Contents one after another: at least two, none of them empty or joined itself.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Each with the place of its first byte.
    parts: Arc<[(u64, Content)]>,
    len: u64,
}

impl Joined {
    /// The contents in their order.
    pub fn parts(&self) -> impl Iterator<Item = &Content> {
        self.parts.iter().map(|(_, part)| part)
    }

    /// The part that holds byte `at`, with the place of its first byte; `None` behind the end.
    fn part_at(&self, at: u64) -> Option<(u64, &Content)> {
        let behind = self.parts.partition_point(|(start, _)| *start <= at);
        let (start, part) = self.parts.get(behind.checked_sub(1)?)?;
        (at < self.len).then_some((*start, part))
    }
}

impl Content {
    /// Bytes in memory.
    pub fn memory(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::Memory(bytes.into())
    }

    /// A whole file of `len` bytes.
    pub fn file(path: impl Into<PathBuf>, len: u64) -> Self {
        Self::range(path, 0, len)
    }

    /// `len` bytes of a file from `offset` on.
    pub fn range(path: impl Into<PathBuf>, offset: u64, len: u64) -> Self {
        Self::Range { path: path.into().into(), offset, len }
    }

    /// Contents one after another, without a byte being copied. What is joined already is taken apart
    /// first, ranges that follow each other in one file become one, and one content alone stays what it
    /// is.
    pub fn joined(contents: impl IntoIterator<Item = Self>) -> Self {
        let mut flat: Vec<Self> = Vec::new();
        for content in contents {
            match content {
                Self::Joined(joined) => joined.parts().for_each(|part| append(&mut flat, part.clone())),
                other => append(&mut flat, other),
            }
        }
        if flat.len() < 2 {
            return flat.pop().unwrap_or_else(|| Self::memory([]));
        }
        let mut len = 0;
        let parts = flat.into_iter().map(|part| {
            let start = len;
            len += part.len();
            (start, part)
        });
        Self::Joined(Joined { parts: parts.collect(), len })
    }

    /// `len` bytes from `offset` on; `None` if there are not as many. Of bytes in memory this is a copy.
    pub fn slice(&self, offset: u64, len: u64) -> Option<Self> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len())?;
        Some(match self {
            _ if len == self.len() => self.clone(),
            // Both are at most the slice's length.
            Self::Memory(bytes) => Self::memory(&bytes[offset as usize..end as usize]),
            Self::Range { path, offset: base, .. } => {
                Self::Range { path: Arc::clone(path), offset: base.checked_add(offset)?, len }
            }
            Self::Joined(joined) => {
                let first = joined.parts.partition_point(|(start, part)| start + part.len() <= offset);
                let parts = joined.parts.iter().skip(first).take_while(|(start, _)| *start < end);
                let cut = parts.map(|(start, part)| {
                    let from = offset.max(*start) - start;
                    part.slice(from, part.len().min(end - start) - from)
                });
                Self::joined(cut.collect::<Option<Vec<_>>>()?)
            }
        })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Range { len, .. } => *len,
            Self::Joined(joined) => joined.len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path, if this is one whole file on disk that can be linked or cloned as it is.
    pub fn whole_file(&self) -> Option<&Path> {
        match self {
            Self::Range { path, offset: 0, .. } => Some(path),
            _ => None,
        }
    }

    /// Opens the bytes. The reader gives exactly [`Content::len`] bytes; a file that has become
    /// shorter is an `UnexpectedEof` error, never a silent short read.
    pub fn open(&self) -> io::Result<ContentReader> {
        let source = match self {
            Self::Memory(bytes) => Source::Memory(Arc::clone(bytes)),
            Self::Range { path, offset, .. } => {
                let file = File::open(path).map_err(|error| at(path, error))?;
                Source::File { file, path: Arc::clone(path), offset: *offset, moved: *offset > 0 }
            }
            Self::Joined(joined) => Source::Joined { joined: joined.clone(), current: None },
        };
        Ok(ContentReader { source, position: 0, len: self.len() })
    }

    /// Opens the bytes for reading at places, by several threads at once.
    pub fn handle(&self) -> io::Result<ContentHandle> {
        let source = match self {
            Self::Memory(bytes) => Handle::Memory(Arc::clone(bytes)),
            Self::Range { path, offset, .. } => {
                let file = File::open(path).map_err(|error| at(path, error))?;
                Handle::File { file, path: Arc::clone(path), offset: *offset }
            }
            Self::Joined(joined) => Handle::Joined { joined: joined.clone(), files: Mutex::default() },
        };
        Ok(ContentHandle { source, len: self.len() })
    }

    /// All bytes, if there are at most `limit`; otherwise an `InvalidData` error that says so.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.len() > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} bytes, more than the {limit} that are read of such a file", self.len()),
            ));
        }
        let mut bytes = Vec::with_capacity(self.len() as usize); // at most `limit`, which callers keep small
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The SHA-256 digest of the bytes.
    pub fn digest(&self) -> io::Result<Digest> {
        self.digest_with(&|_| {})
    }

    /// The same; `progress` is told of the bytes that were read since it was told last.
    pub fn digest_with(&self, progress: &dyn Fn(u64)) -> io::Result<Digest> {
        let mut reader = self.open()?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; usize::try_from(self.len()).unwrap_or(usize::MAX).clamp(1, HASH_BUFFER)];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    progress(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Appends one that is not joined.
fn append(contents: &mut Vec<Content>, next: Content) {
    if next.is_empty() {
        return;
    }
    if let (
        Some(Content::Range { path, offset, len }),
        Content::Range { path: next_path, offset: next_offset, len: next_len },
    ) = (contents.last_mut(), &next)
        && path == next_path
        && offset.checked_add(*len) == Some(*next_offset)
        && let Some(sum) = len.checked_add(*next_len)
    {
        *len = sum;
        return;
    }
    contents.push(next);
}

/// Adds the path to an error of the operating system, which names none.
fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

#[derive(Debug)]
enum Handle {
    Memory(Arc<[u8]>),
    File { file: File, path: Arc<Path>, offset: u64 },
    Joined { joined: Joined, files: Mutex<VecDeque<(Arc<Path>, Arc<File>)>> },
}

/// The file at `path`, opened anew or kept from the last readings.
fn kept_open(files: &Mutex<VecDeque<(Arc<Path>, Arc<File>)>>, path: &Arc<Path>) -> io::Result<Arc<File>> {
    let mut files = locked(files);
    if let Some((_, file)) = files.iter().find(|(known, _)| known == path) {
        return Ok(Arc::clone(file));
    }
    let file = Arc::new(File::open(path).map_err(|error| at(path, error))?);
    files.truncate(OPEN_FILES - 1);
    files.push_front((Arc::clone(path), Arc::clone(&file)));
    Ok(file)
}

/// An open [`Content`] without a position.
#[derive(Debug)]
pub struct ContentHandle {
    source: Handle,
    len: u64,
}

impl ContentHandle {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buffer` with the bytes from `offset` on; an `UnexpectedEof` error where there are not as
    /// many.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len);
        let Some(end) = end else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        match &self.source {
            Handle::Memory(bytes) => {
                // `end` is at most the slice's length, and `offset` at most `end`.
                buffer.copy_from_slice(&bytes[offset as usize..end as usize]);
                Ok(())
            }
            Handle::File { file, path, offset: base } => {
                file.read_exact_at(buffer, base.saturating_add(offset)).map_err(|error| at(path, error))
            }
            Handle::Joined { joined, files } => read_joined(joined, files, offset, buffer),
        }
    }
}

/// Fills `buffer` with the bytes from `offset` on, which are there.
fn read_joined(
    joined: &Joined,
    files: &Mutex<VecDeque<(Arc<Path>, Arc<File>)>>,
    mut offset: u64,
    mut buffer: &mut [u8],
) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    while !buffer.is_empty() {
        let Some((start, part)) = joined.part_at(offset) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let from = offset - start; // below the part's length
        let left = usize::try_from(part.len() - from).unwrap_or(usize::MAX);
        let (now, rest) = buffer.split_at_mut(left.min(buffer.len()));
        match part {
            // As many bytes as `now` are left from `from` on.
            Content::Memory(bytes) => now.copy_from_slice(&bytes[from as usize..from as usize + now.len()]),
            Content::Range { path, offset: base, .. } => kept_open(files, path)?
                .read_exact_at(now, base.saturating_add(from))
                .map_err(|error| at(path, error))?,
            Content::Joined(inner) => read_joined(inner, files, from, now)?,
        }
        offset += now.len() as u64;
        buffer = rest;
    }
    Ok(())
}

#[derive(Debug)]
enum Source {
    Memory(Arc<[u8]>),
    File {
        file: File,
        path: Arc<Path>,
        offset: u64,
        moved: bool,
    },
    /// The part that is being read, with the place of its first byte.
    Joined {
        joined: Joined,
        current: Option<(u64, Box<ContentReader>)>,
    },
}

/// A reading of a [`Content`].
#[derive(Debug)]
pub struct ContentReader {
    source: Source,
    position: u64,
    len: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.position);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let got = match &mut self.source {
            Source::Memory(bytes) => {
                let from = self.position as usize; // below `len`, which is the slice's length
                buffer[..wanted].copy_from_slice(&bytes[from..from + wanted]);
                wanted
            }
            Source::File { file, path, offset, moved } => {
                if std::mem::take(moved) {
                    file.seek(SeekFrom::Start(*offset + self.position)).map_err(|error| at(path, error))?;
                }
                match file.read(&mut buffer[..wanted]).map_err(|error| at(path, error))? {
                    0 => {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            format!(
                                "`{}` ends {left} bytes early: it changed while it was read",
                                path.display()
                            ),
                        ));
                    }
                    got => got,
                }
            }
            Source::Joined { joined, current } => {
                // `position` is below `len`, so that there is such a part.
                let Some((start, part)) = joined.part_at(self.position) else { return Ok(0) };
                if current.as_ref().is_none_or(|(of, _)| *of != start) {
                    *current = Some((start, Box::new(part.open()?)));
                }
                match current {
                    Some((_, reader)) => {
                        reader.seek(SeekFrom::Start(self.position - start))?;
                        reader.read(&mut buffer[..wanted])?
                    }
                    None => 0,
                }
            }
        };
        self.position += got as u64;
        Ok(got)
    }
}

impl Seek for ContentReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(delta) => self.len.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        let target = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the first byte"))?;
        if let Source::File { moved, .. } = &mut self.source {
            *moved |= target != self.position;
        }
        self.position = target;
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_a_file_reads_and_seeks_as_if_it_were_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let content = Content::range(file.path(), 2, 5);
        assert_eq!(content.read(5).unwrap(), b"23456");
        assert_eq!(content.digest().unwrap(), Digest::of(b"23456"));
        let mut reader = content.open().unwrap();
        reader.seek(SeekFrom::End(-2)).unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"56");
        assert_eq!(reader.seek(SeekFrom::Start(99)).unwrap(), 99);
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
        assert!(content.read(4).is_err());
        for content in [content, Content::memory(*b"23456")] {
            let handle = content.handle().unwrap();
            let mut two = [0; 2];
            handle.read_exact_at(3, &mut two).unwrap();
            assert_eq!(&two, b"56");
            assert!(handle.read_exact_at(4, &mut two).is_err());
            assert!(handle.read_exact_at(u64::MAX, &mut two).is_err());
        }
    }

    #[test]
    fn joined_contents_read_seek_and_slice_as_the_bytes_that_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let range = |offset, len| Content::range(file.path(), offset, len);
        let inner = Content::joined([Content::memory(*b"ab"), range(3, 2), range(5, 1), Content::memory([])]);
        let joined = Content::joined([range(8, 2), inner, Content::memory(*b"z"), range(0, 1)]);
        let whole = b"89ab345z0".to_vec();
        let Content::Joined(parts) = &joined else { panic!("{joined:?}") };
        assert_eq!(parts.parts().count(), 5, "nested ones are taken apart, neighbours are one");
        assert_eq!((joined.len(), joined.whole_file()), (9, None));
        assert_eq!(joined.read(9).unwrap(), whole);
        assert_eq!(joined.digest().unwrap(), Digest::of(&whole));
        let handle = joined.handle().unwrap();
        let mut reader = joined.open().unwrap();
        for offset in 0..=9u64 {
            for len in 0..=9 - offset {
                let expected = &whole[offset as usize..(offset + len) as usize];
                let mut bytes = vec![0; len as usize];
                handle.read_exact_at(offset, &mut bytes).unwrap();
                assert_eq!(bytes, expected);
                assert_eq!(joined.slice(offset, len).unwrap().read(9).unwrap(), expected);
                reader.seek(SeekFrom::Start(offset)).unwrap();
                reader.read_exact(&mut bytes).unwrap();
                assert_eq!(bytes, expected);
            }
            assert!(joined.slice(offset, 10 - offset).is_none());
        }
        assert!(handle.read_exact_at(8, &mut [0; 2]).is_err());
        assert!(joined.slice(u64::MAX, 2).is_none());
    }

    #[test]
    fn joining_nothing_or_one_content_makes_no_more_of_it() {
        assert_eq!(Content::joined([]).read(0).unwrap(), b"");
        let file = Content::joined([Content::memory([]), Content::file("x", 5)]);
        assert_eq!(file.whole_file(), Some(Path::new("x")));
    }

    #[test]
    fn joined_contents_of_many_files_do_not_open_all_of_them() {
        let directory = tempfile::tempdir().unwrap();
        let parts = (0..3000u32).map(|number| {
            let path = directory.path().join(number.to_string());
            std::fs::write(&path, number.to_le_bytes()).unwrap();
            Content::file(path, 4)
        });
        let joined = Content::joined(parts.collect::<Vec<_>>());
        let expected: Vec<u8> = (0..3000u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(joined.read(12_000).unwrap(), expected);
        let mut bytes = vec![0; 12_000];
        joined.handle().unwrap().read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123").unwrap();
        let error = Content::file(file.path(), 5).read(10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
