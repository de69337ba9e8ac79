//! A compressed stream, decompressed: to the end of its input, or one stream alone with the number of
//! bytes that it took, which is how the segments of an initramfs are told apart.
//!
//! The decoders hold at most a window of 128 MiB, whatever a stream asks for. What comes out is for
//! the caller to bound ([`super::super::bounded`]).

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lzma_rust2::{LzmaStream, XzStream};

use super::codec::Codec;
use super::lz4::Legacy;
use super::lzo::Lzop;
use super::pulled::Pulled;

/// The largest window that is decoded, as a power of two: 128 MiB, zstd's `--long=27` and the most that
/// Linux' `lib/decompress_unzstd.c` accepts as well.
pub const WINDOW_LOG_MAX: u32 = 27;
/// Memory for an xz or lzma decoder, in KiB: the same window, and the decoder's own needs.
const LZMA_MEMORY_KIB: u32 = (1 << (WINDOW_LOG_MAX - 10)) + 8192;
/// Bytes that are read at a time.
const BUFFER: usize = 128 << 10;

/// Decompresses a layer, whatever it is in: by its bytes, not by what a media type says.
/// The caller bounds what comes out.
pub fn decoder<'a>(reader: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let codec = Codec::of(reader.fill_buf()?);
    open(codec, reader, true, &Arc::default())
}

/// Decompresses `reader` to its end: gzip, zstd, xz and bzip2 may have several streams one after
/// another, as their own programs have it. For lzma and lzo, whose programs know of no such thing, this
/// is the one stream, and what follows it is not read.
pub fn decoder_of<'a>(codec: Codec, reader: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    open(codec, BufReader::with_capacity(BUFFER, reader), true, &Arc::default())
}

/// One stream of a codec (one gzip member, one zstd frame …): reading gives its bytes, and nothing of
/// what follows it. Something may follow: a kernel's payload ends in four bytes of length (but not for
/// lz4, which has no end of its own: give it the payload without them), an initramfs goes on with its
/// next segment.
pub struct OneStream<'a> {
    inner: Box<dyn Read + Send + 'a>,
    taken: Arc<AtomicU64>,
}

impl<'a> OneStream<'a> {
    /// Begins with the first byte of `reader`; it may be read beyond the stream's end.
    pub fn new(codec: Codec, reader: impl Read + Send + 'a) -> io::Result<Self> {
        let taken = Arc::default();
        let inner = open(codec, BufReader::with_capacity(BUFFER, reader), false, &taken)?;
        Ok(Self { inner, taken })
    }

    /// How many bytes of the input the stream took: exact once reading has come to the end.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The counter of these bytes, for [`super::super::bounded::Bounded`].
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }
}

impl Read for OneStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

fn open<'a>(
    codec: Codec,
    reader: impl BufRead + Send + 'a,
    several: bool,
    taken: &Arc<AtomicU64>,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let reader = Taken { inner: reader, taken: Arc::clone(taken) };
    Ok(match codec {
        Codec::Plain => Box::new(reader),
        Codec::Gzip if several => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Codec::Gzip => Box::new(flate2::bufread::GzDecoder::new(reader)),
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(if several { decoder } else { decoder.single_frame() })
        }
        Codec::Xz => Box::new(Pulled::new(reader, XzStream::new_mem_limit(several, LZMA_MEMORY_KIB))),
        Codec::Lzma => Box::new(Pulled::new(reader, LzmaStream::new_mem_limit(LZMA_MEMORY_KIB, None))),
        Codec::Bzip2 if several => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Codec::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(reader)),
        Codec::Lz4 => Box::new(Legacy::new(reader)),
        Codec::Lzo => Box::new(Lzop::new(reader)),
    })
}

/// Counts what is taken out of a reader.
#[derive(Debug)]
pub(super) struct Taken<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R> Taken<R> {
    /// `count` bytes that were taken turned out not to belong to the stream.
    pub(super) fn give_back(&self, count: usize) {
        let count = count as u64;
        // Never below zero: nobody gives back what was not taken.
        let _ = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| Some(taken.saturating_sub(count)));
    }
}

impl<R: Read> Read for Taken<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.taken.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

impl<R: BufRead> BufRead for Taken<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Fills `buffer` as far as the input goes; gives how far.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    // `filled` is at most the length.
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The stream is not what it should be.
pub(super) fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The input ends before the stream does.
pub(super) fn cut(codec: Codec) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the {codec} stream is cut short"))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
