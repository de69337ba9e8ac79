//! Streams in gzip and zstd: compressed in parallel chunks, byte for byte the same whatever the
//! number of threads.
//!
//! The input is cut every `GZIP_CHUNK` (or `ZSTD_CHUNK`) bytes, and where who writes says by a flush that something
//! new begins, if a quarter of that has come since: so a file that becomes longer does not shift the cuts of all that
//! lies behind it, and chunks that were compressed before can be found again. Gzip chunks are raw deflate that
//! ends at a byte boundary (a sync flush) and begins with the 32 KiB before it as dictionary, so the
//! whole is one ordinary gzip member (RFC 1952) and loses next to nothing to the cuts. Zstd chunks
//! are frames of their own, which RFC 8878 allows to be concatenated. Chunks that do not compress
//! are stored, decided by looking at them.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use flate2::{Compress, Crc, FlushCompress};

use crate::base::{BlockCache, Hasher, Workers};

/// Bytes of input in one piece of a gzip stream: large enough that the five bytes of a flush do not
/// count, small enough that a job's buffers stay in a core's cache.
const GZIP_CHUNK: usize = 256 << 10;
/// Bytes of input in one zstd frame. Frames share no window, so they are larger.
const ZSTD_CHUNK: usize = 2 << 20;
/// Deflate's window (RFC 1951): what a chunk may refer back to.
const WINDOW: usize = 32 << 10;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Gzip, deflate level 1 to 9.
    Gzip(u32),
    /// Zstd, level 1 to 22.
    Zstd(i32),
}

impl Compression {
    /// Gzip at level 5: within two per cent of `gzip -6`, in little more than half its time (zlib-rs
    /// counts its levels as zlib-ng does, whose 5 is a good deal nearer to zlib's 6 than its 4).
    pub const GZIP: Self = Self::Gzip(5);
    /// Zstd at its own default level.
    pub const ZSTD: Self = Self::Zstd(3);

    /// The least that is cut off at a flush.
    fn least(self) -> usize {
        self.chunk() / 4
    }

    fn chunk(self) -> usize {
        match self {
            Self::None | Self::Gzip(_) => GZIP_CHUNK,
            Self::Zstd(_) => ZSTD_CHUNK,
        }
    }
}

/// A text names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no compression; expected `gzip`, `zstd` or `none`, with a level as in `gzip:9` (1 to 9) or `zstd:19` (1 to 22)"
)]
pub struct CompressionError(pub String);

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        let error = || CompressionError(text.to_owned());
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level.parse::<u32>().map_err(|_| error())?)),
            None => (text, None),
        };
        match (name, level) {
            ("none", None) => Ok(Self::None),
            ("gzip", None) => Ok(Self::GZIP),
            ("gzip", Some(level @ 1..=9)) => Ok(Self::Gzip(level)),
            ("zstd", None) => Ok(Self::ZSTD),
            ("zstd", Some(level @ 1..=22)) => Ok(Self::Zstd(level as i32)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// A chunk as it goes out.
struct Piece {
    bytes: Vec<u8>,
    crc: Crc,
}

/// Compresses what is written to it. Chunks go to the workers and come back in order; at most
/// `jobs + 2` of them are in memory.
pub struct Encoder<W: Write> {
    out: W,
    compression: Compression,
    workers: Workers,
    chunk: Vec<u8>,
    /// The last [`WINDOW`] bytes before `chunk`, for gzip.
    window: Vec<u8>,
    pending: VecDeque<Receiver<io::Result<Piece>>>,
    crc: Crc,
    begun: bool,
    cache: Option<Arc<dyn BlockCache>>,
}

impl<W: Write> Encoder<W> {
    /// An encoder into `out`.
    pub fn new(out: W, compression: Compression, workers: &Workers) -> Self {
        Self {
            out,
            compression,
            workers: workers.clone(),
            chunk: Vec::new(),
            window: Vec::new(),
            pending: VecDeque::new(),
            crc: Crc::new(),
            begun: false,
            cache: None,
        }
    }

    /// Chunks are looked for in `cache`, and kept there.
    #[must_use]
    pub fn cached(self, cache: Arc<dyn BlockCache>) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// Writes what is left and the stream's end; gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.chunk.is_empty() || (!self.begun && matches!(self.compression, Compression::Zstd(_))) {
            if self.begun {
                self.submit()?;
            } else {
                // One chunk in all: no thread is worth starting for it.
                let chunk = std::mem::take(&mut self.chunk);
                self.begin()?;
                let piece = piece(self.compression, &chunk, &[], self.cache.as_deref())?;
                self.write(&piece)?;
            }
        }
        while let Some(piece) = self.pending.pop_front() {
            self.receive(&piece)?;
        }
        if matches!(self.compression, Compression::Gzip(_)) {
            self.begin()?;
            // An empty last block with the fixed codes (RFC 1951, 3.2.6), CRC-32 and length.
            self.out.write_all(&[0x03, 0x00])?;
            self.out.write_all(&self.crc.sum().to_le_bytes())?;
            self.out.write_all(&self.crc.amount().to_le_bytes())?;
        }
        Ok(self.out)
    }

    /// The gzip header: no name, no time, unknown system (RFC 1952, 2.3).
    fn begin(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) && matches!(self.compression, Compression::Gzip(_)) {
            self.out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
        }
        Ok(())
    }

    fn submit(&mut self) -> io::Result<()> {
        self.begin()?;
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(self.compression.chunk()));
        let window = match self.compression {
            Compression::Gzip(_) => {
                let next = chunk[chunk.len().saturating_sub(WINDOW)..].to_vec();
                std::mem::replace(&mut self.window, next)
            }
            _ => Vec::new(),
        };
        let (sender, receiver) = sync_channel(1);
        let (compression, cache) = (self.compression, self.cache.clone());
        self.workers.spawn(move || {
            // The receiver is gone only if the encoder was dropped; then nobody wants the piece.
            let _ = sender.send(piece(compression, &chunk, &window, cache.as_deref()));
        });
        self.pending.push_back(receiver);
        while self.pending.len() > self.workers.jobs() + 1 {
            if let Some(piece) = self.pending.pop_front() {
                self.receive(&piece)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, piece: &Receiver<io::Result<Piece>>) -> io::Result<()> {
        let piece =
            piece.recv().map_err(|_| io::Error::other("a compression job ended without a result"))??;
        self.write(&piece)
    }

    fn write(&mut self, piece: &Piece) -> io::Result<()> {
        self.crc.combine(&piece.crc);
        self.out.write_all(&piece.bytes)
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.compression == Compression::None {
            return self.out.write(bytes);
        }
        let room = self.compression.chunk() - self.chunk.len();
        let taken = bytes.len().min(room);
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == self.compression.chunk() {
            self.submit()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // The bytes depend on who flushes where, so a flush means one thing only: something new begins here.
        if self.compression != Compression::None && self.chunk.len() >= self.compression.least() {
            self.submit()?;
        }
        Ok(())
    }
}

/// A chunk out of the cache, or compressed.
fn piece(
    compression: Compression,
    chunk: &[u8],
    window: &[u8],
    cache: Option<&dyn BlockCache>,
) -> io::Result<Piece> {
    let Some(cache) = cache else { return compress_chunk(compression, chunk, window) };
    let mut hasher = Hasher::default();
    hasher.update(format!("chunk 1 {compression} {} ", window.len()).as_bytes());
    hasher.update(window);
    hasher.update(chunk);
    let key = hasher.finish();
    let mut made = None;
    let bytes = cache.once(&key, &mut || {
        let piece = compress_chunk(compression, chunk, window)?;
        made = Some(piece.crc);
        Ok(piece.bytes)
    })?;
    let crc = made.unwrap_or_else(|| {
        let mut crc = Crc::new();
        if matches!(compression, Compression::Gzip(_)) {
            crc.update(chunk);
        }
        crc
    });
    Ok(Piece { bytes, crc })
}

fn compress_chunk(compression: Compression, chunk: &[u8], window: &[u8]) -> io::Result<Piece> {
    let mut crc = Crc::new();
    let bytes = match compression {
        Compression::None => chunk.to_vec(),
        Compression::Gzip(level) => {
            crc.update(chunk);
            deflate(if is_dense(chunk) { 0 } else { level }, chunk, window)?
        }
        Compression::Zstd(level) => {
            let level = if is_dense(chunk) { 1 } else { level };
            let mut encoder = zstd::bulk::Compressor::new(level)?;
            encoder.include_checksum(true)?;
            encoder.compress(chunk)?
        }
    };
    Ok(Piece { bytes, crc })
}

/// Raw deflate of `chunk` that may refer to `window`, flushed to a byte boundary.
fn deflate(level: u32, chunk: &[u8], window: &[u8]) -> io::Result<Vec<u8>> {
    let mut deflater = Compress::new(flate2::Compression::new(level), false);
    if !window.is_empty() && level > 0 {
        deflater.set_dictionary(window).map_err(io::Error::other)?;
    }
    // Stored blocks cost five bytes in 64 KiB, or in 32 KiB at the most; the flush five more.
    let mut out = Vec::with_capacity(chunk.len() + chunk.len() / 1024 + 64);
    loop {
        let done = deflater.total_in() as usize; // at most chunk.len()
        deflater.compress_vec(&chunk[done..], &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
        if deflater.total_in() as usize == chunk.len() && out.len() < out.capacity() {
            return Ok(out);
        }
        out.reserve(out.capacity() / 8 + 64);
    }
}

/// Whether a chunk is compressed or encrypted already, so that another pass would gain nothing.
///
/// Two looks: the bytes are spread evenly (order-0 entropy within half a per cent of eight bits), and no
/// four-byte string at sampled places comes again within the chunk, as it would in a file of dense
/// records that repeat.
pub(in crate::archive) fn is_dense(chunk: &[u8]) -> bool {
    /// Below this the histogram of even random bytes is too rough to judge.
    const LEAST: usize = 16 << 10;
    if chunk.len() < LEAST {
        return false;
    }
    let mut counts = [0u32; 256];
    for &byte in chunk {
        counts[usize::from(byte)] += 1;
    }
    let length = chunk.len() as f64;
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|&count| {
            let share = f64::from(count) / length;
            -share * share.log2()
        })
        .sum();
    entropy > 7.96 && repeats(chunk) * 64 < chunk.len() / 16
}

/// How many of the sampled places (one in 16) hold eight bytes that another sampled or later place
/// held before, by a small table that forgets.
fn repeats(chunk: &[u8]) -> usize {
    const BITS: u32 = 14;
    let mut table = vec![0u64; 1 << BITS];
    let mut repeats = 0;
    for (place, word) in chunk.windows(8).enumerate() {
        let Ok(word) = <[u8; 8]>::try_from(word) else { continue };
        let word = u64::from_le_bytes(word);
        let slot = (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as usize; // BITS bits
        if table[slot] == word {
            repeats += 1;
        } else if place % 16 == 0 {
            table[slot] = word;
        }
    }
    repeats
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::decoder;
    use super::*;

    /// Xorshift: the same bytes everywhere, as dense as random ones.
    fn noise(length: usize, mut state: u64) -> Vec<u8> {
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .take(length)
        .collect()
    }

    fn text(length: usize) -> Vec<u8> {
        (0u64..).flat_map(|n| format!("line {} of {}\n", n, n * n % 977).into_bytes()).take(length).collect()
    }

    fn encode(data: &[u8], compression: Compression, jobs: usize, step: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), compression, &Workers::new(jobs));
        for part in data.chunks(step) {
            encoder.write_all(part).unwrap();
        }
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        decoder(bytes).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn every_compression_reads_back_at_every_length() {
        for compression in [Compression::None, Compression::GZIP, Compression::Gzip(9), Compression::ZSTD] {
            for length in [0, 1, 17, GZIP_CHUNK - 1, GZIP_CHUNK, GZIP_CHUNK + 1, ZSTD_CHUNK, ZSTD_CHUNK + 5] {
                let mut data = text(length);
                if length > 1000 {
                    data[length / 2..].copy_from_slice(&noise(length - length / 2, 7));
                }
                assert!(
                    decode(&encode(&data, compression, 2, 9000)) == data,
                    "{compression} of {length} bytes"
                );
            }
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_threads_or_on_how_they_were_written() {
        let data = text(3 * ZSTD_CHUNK / 2);
        for compression in [Compression::GZIP, Compression::ZSTD] {
            let one = encode(&data, compression, 1, data.len());
            assert!(one == encode(&data, compression, 4, 777));
        }
    }

    #[test]
    fn the_cuts_cost_next_to_nothing() {
        let data = text(4 << 20);
        let mut whole = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(5));
        whole.write_all(&data).unwrap();
        let whole = whole.finish().unwrap().len();
        assert!(encode(&data, Compression::GZIP, 2, data.len()).len() < whole + whole / 100);
    }

    #[test]
    fn dense_bytes_are_stored_and_repeated_dense_bytes_are_not() {
        let dense = noise(1 << 20, 99);
        let stored = encode(&dense, Compression::GZIP, 2, dense.len()).len();
        assert!(stored > dense.len() && stored < dense.len() + dense.len() / 1000);
        let repeated: Vec<u8> = noise(20_000, 5).into_iter().cycle().take(1 << 20).collect();
        assert!(encode(&repeated, Compression::GZIP, 2, repeated.len()).len() < repeated.len() / 10);
        assert!(!is_dense(&text(1 << 18)));
    }

    #[test]
    fn compressions_are_named_with_their_level() {
        for text in ["none", "gzip:1", "zstd:22"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("gzip".parse(), Ok(Compression::GZIP));
        for text in ["", "gzip:0", "gzip:10", "zstd:23", "zstd:-1", "none:1", "xz"] {
            assert!(text.parse::<Compression>().is_err(), "{text}");
        }
    }
}
