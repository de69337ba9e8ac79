//! Where bytes are, without holding them: in memory, in a file, or in a range of a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::{Digest, Hasher};

/// Bytes that are hashed at a time: enough that the reading costs nothing beside the hashing.
const HASH_BUFFER: usize = 256 << 10;

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

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Range { len, .. } => *len,
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

/// Adds the path to an error of the operating system, which names none.
fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

#[derive(Debug)]
enum Handle {
    Memory(Arc<[u8]>),
    File { file: File, path: Arc<Path>, offset: u64 },
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
        }
    }
}

#[derive(Debug)]
enum Source {
    Memory(Arc<[u8]>),
    File { file: File, path: Arc<Path>, offset: u64, moved: bool },
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
    fn a_file_that_shrank_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123").unwrap();
        let error = Content::file(file.path(), 5).read(10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
