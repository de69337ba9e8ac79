//! The bytes of a segment with their place: those of the file where it is plain, what the decompressor
//! gives otherwise.

use std::io::{self, BufRead, BufReader, Read};

use super::error::{Place, ReadError};
use super::format::padding;
use crate::archive::bounded::{Bounded, Bounds};
use crate::archive::compress::{Codec, OneStream};
use crate::base::{Content, ContentReader};

/// Bytes that are read at a time.
const BUFFER: usize = 128 << 10;

enum Bytes {
    Plain(BufReader<ContentReader>),
    Packed(BufReader<Bounded<OneStream<'static>>>),
}

/// A segment that is being read.
pub(super) struct Source {
    bytes: Bytes,
    /// Where the next byte stands.
    place: Place,
    /// The file.
    content: Content,
    /// What the reader of a member's content ran into.
    failed: Option<io::Error>,
}

impl Source {
    /// The file as it is, from byte `at` on.
    pub(super) fn plain(content: &Content, at: u64) -> Result<Self, ReadError> {
        let reader = open_at(content, at)?;
        let place = Place { segment: at, codec: Codec::Plain, at };
        let bytes = Bytes::Plain(BufReader::with_capacity(BUFFER, reader));
        Ok(Self { bytes, place, content: content.clone(), failed: None })
    }

    /// What the stream that begins at byte `segment` decompresses to.
    pub(super) fn packed(content: &Content, codec: Codec, segment: u64) -> Result<Self, ReadError> {
        let place = Place { segment, codec, at: 0 };
        let stream = OneStream::new(codec, open_at(content, segment)?)
            .map_err(|source| ReadError::Decompress { place, source })?;
        let counter = stream.counter();
        let bounded = Bounded::new(stream, counter, Bounds::default());
        let bytes = Bytes::Packed(BufReader::with_capacity(BUFFER, bounded));
        Ok(Self { bytes, place, content: content.clone(), failed: None })
    }

    /// Where the next byte stands.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// A plain segment begins with the next byte.
    pub(super) fn begin(&mut self) {
        self.place.segment = self.place.at;
    }

    /// What is not plain ends, and `taken` gives the bytes that it took of the file.
    pub(super) fn taken(&self) -> u64 {
        match &self.bytes {
            Bytes::Plain(_) => self.place.at - self.place.segment,
            Bytes::Packed(reader) => reader.get_ref().get_ref().taken(),
        }
    }

    pub(super) fn error(&self, source: io::Error) -> ReadError {
        match self.bytes {
            Bytes::Plain(_) => ReadError::Read { offset: self.place.at, source },
            Bytes::Packed(_) => ReadError::Decompress { place: self.place, source },
        }
    }

    fn reader(&mut self) -> &mut dyn BufRead {
        match &mut self.bytes {
            Bytes::Plain(reader) => reader,
            Bytes::Packed(reader) => reader,
        }
    }

    /// Fills `buffer` as far as the segment goes; gives how far.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let mut filled = 0;
        // `filled` is at most the length.
        while filled < buffer.len() {
            match self.reader().read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(got) => {
                    filled += got;
                    self.place.at += got as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(filled)
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            match self.reader().fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error)),
            }
        }
    }

    /// Goes over NUL bytes to the next one that is none.
    pub(super) fn skip_nuls(&mut self) -> Result<(), ReadError> {
        while self.peek()? == Some(0) {
            let reader = self.reader();
            let count = match reader.fill_buf() {
                Ok(bytes) => bytes.iter().take_while(|byte| **byte == 0).count(),
                Err(error) => return Err(self.error(error)),
            };
            reader.consume(count);
            self.place.at += count as u64;
        }
        Ok(())
    }

    /// Goes over `count` bytes; whether there were as many.
    pub(super) fn skip(&mut self, count: u64) -> Result<bool, ReadError> {
        if let Bytes::Plain(reader) = &mut self.bytes {
            let there = self.content.len().saturating_sub(self.place.at).min(count);
            let moved =
                i64::try_from(there).map_err(io::Error::other).and_then(|by| reader.seek_relative(by));
            moved.map_err(|source| ReadError::Read { offset: self.place.at, source })?;
            self.place.at += there;
            return Ok(there == count);
        }
        let skipped = match &mut self.bytes {
            Bytes::Packed(reader) => io::copy(&mut reader.take(count), &mut io::sink()),
            Bytes::Plain(_) => Ok(0),
        };
        let skipped = skipped.map_err(|source| self.error(source))?;
        self.place.at += skipped;
        Ok(skipped == count)
    }

    /// Goes on to the next multiple of four; whether there is as much.
    pub(super) fn align(&mut self) -> Result<bool, ReadError> {
        self.skip(padding(self.place.at))
    }

    /// The next `size` bytes in place, where the segment is plain.
    pub(super) fn slice(&self, size: u64) -> Option<Content> {
        matches!(self.bytes, Bytes::Plain(_)).then(|| self.content.slice(self.place.at, size))?
    }

    /// A reader of the next `size` bytes; `summed`, if their sum is wanted.
    pub(super) fn data(&mut self, size: u64, summed: bool) -> Data<'_> {
        Data { source: self, left: size, sum: summed.then_some(0) }
    }

    /// What a reader of a member's content ran into.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }
}

/// The file from byte `at` on.
fn open_at(content: &Content, at: u64) -> Result<ContentReader, ReadError> {
    use std::io::Seek as _;
    let open = || {
        let mut reader = content.open()?;
        reader.seek(io::SeekFrom::Start(at))?;
        Ok(reader)
    };
    open().map_err(|source| ReadError::Read { offset: at, source })
}

/// A segment ends within a member's content.
#[derive(Debug, thiserror::Error)]
#[error("the segment ends within it")]
pub(super) struct Ends;

/// The content of a member.
pub(super) struct Data<'a> {
    source: &'a mut Source,
    left: u64,
    sum: Option<u32>,
}

impl Data<'_> {
    /// Bytes that were not read.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The sum of the bytes that were read, if it was wanted.
    pub(super) fn sum(&self) -> Option<u32> {
        self.sum
    }
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let got = match self.source.reader().read(&mut buffer[..wanted]) {
            Ok(0) => {
                let error = || io::Error::new(io::ErrorKind::UnexpectedEof, Ends);
                self.source.failed = Some(error());
                return Err(error());
            }
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                // The visitor gets the words, the walk the error itself.
                let told = io::Error::new(error.kind(), error.to_string());
                self.source.failed = Some(error);
                return Err(told);
            }
        };
        self.source.place.at += got as u64;
        self.left -= got as u64;
        if let Some(sum) = &mut self.sum {
            *sum = buffer[..got].iter().fold(*sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        }
        Ok(got)
    }
}
