//! The pipeline: blocks are read, looked up, compressed by the workers, and written by one thread in
//! the order of the plan.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use super::codec::{Compressor, Scheme, Shelf};
use super::error::WriteError;
use super::format::DATA_STORED;
use super::plan::{Job, Piece, Plan, Source};
use super::read::Image;
use super::write::Help;
use crate::base::{BlockCache, Digest, Hasher};

/// Where a file's blocks lie.
#[derive(Debug, Clone, Default)]
pub(super) struct Placed {
    /// Of the first block, from the image's beginning.
    pub(super) start: u64,
    /// Sizes as they stand in the inode; 0 is a block of zeros.
    pub(super) sizes: Vec<u32>,
    /// Bytes of zeros that are not stored.
    pub(super) holes: u64,
}

/// What the data part of an image became.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) files: Vec<Placed>,
    /// Start and size of each fragment block.
    pub(super) fragments: Vec<(u64, u32)>,
    /// First byte behind it.
    pub(super) end: u64,
    /// Blocks that were compressed for it.
    pub(super) compressed: u64,
}

/// A block as it goes out.
enum Packed {
    Hole,
    Stored(Vec<u8>),
    Compressed(Vec<u8>),
}

/// What each job needs.
struct Means {
    scheme: Scheme,
    compressors: Shelf<Compressor>,
    buffers: Shelf<Vec<u8>>,
    cache: Option<Arc<dyn BlockCache>>,
    prefix: String,
    /// The image that is rewritten.
    image: Option<Image>,
    /// Blocks that were compressed, and not taken from the cache.
    compressed: AtomicU64,
}

/// Copies what is kept, compresses and writes all blocks of a plan; `start` is where `out` stands.
pub(super) fn write(
    plan: &mut Plan<'_>,
    scheme: Scheme,
    help: &Help<'_>,
    out: &mut dyn Write,
    start: u64,
) -> Result<Data, WriteError> {
    let means = Means {
        scheme,
        compressors: Shelf::default(),
        buffers: Shelf::default(),
        cache: help.cache.clone(),
        prefix: scheme.key(),
        image: plan.kept.map(|kept| kept.image().clone()),
        compressed: AtomicU64::new(0),
    };
    let means = Arc::new(means);
    let (workers, progress) = (help.workers, help.progress);
    let jobs = std::mem::take(&mut plan.jobs);
    let files = plan.files.iter_mut().map(|file| file.kept.take().unwrap_or_default()).collect();
    let mut data = Data { files, fragments: Vec::new(), end: start, compressed: 0 };
    if let Some(kept) = plan.kept {
        kept.copy(out, progress)?;
        data.fragments.extend_from_slice(kept.fragment_rows());
        data.end += kept.len();
    }
    if jobs.len() < 3 {
        // Not worth a thread.
        for job in &jobs {
            let packed = means.pack(job);
            data.place(job, packed, plan, progress, out)?;
        }
        data.compressed = means.compressed.load(Ordering::Relaxed);
        return Ok(data);
    }
    let mut pending: VecDeque<(Arc<Job>, Receiver<io::Result<Packed>>)> = VecDeque::new();
    for job in jobs {
        let job = Arc::new(job);
        let (sender, receiver) = sync_channel(1);
        let (means, theirs) = (Arc::clone(&means), Arc::clone(&job));
        workers.spawn(move || {
            // The receiver is gone only if the writer failed; then nobody wants the block.
            let _ = sender.send(means.pack(&theirs));
        });
        pending.push_back((job, receiver));
        // What waits here is compressed: small. What is being compressed is bounded by the workers.
        while pending.len() > workers.jobs() * 4 + 4 {
            data.receive(pending.pop_front(), plan, progress, out)?;
        }
    }
    while let Some(first) = pending.pop_front() {
        data.receive(Some(first), plan, progress, out)?;
    }
    data.compressed = means.compressed.load(Ordering::Relaxed);
    Ok(data)
}

impl Data {
    fn receive(
        &mut self,
        first: Option<(Arc<Job>, Receiver<io::Result<Packed>>)>,
        plan: &Plan<'_>,
        progress: &dyn Fn(u64),
        out: &mut dyn Write,
    ) -> Result<(), WriteError> {
        let Some((job, receiver)) = first else { return Ok(()) };
        let packed = receiver
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("a compression job ended without a result")));
        self.place(&job, packed, plan, progress, out)
    }

    /// Writes a block and notes where it lies.
    fn place(
        &mut self,
        job: &Job,
        packed: io::Result<Packed>,
        plan: &Plan<'_>,
        progress: &dyn Fn(u64),
        out: &mut dyn Write,
    ) -> Result<(), WriteError> {
        let pieces = match job {
            Job::Data(piece) => std::slice::from_ref(piece),
            Job::Fragment(pieces) => pieces.as_slice(),
        };
        let packed = packed.map_err(|source| {
            let file = pieces.first().and_then(|piece| plan.files.get(piece.file));
            WriteError::Content { path: file.map_or("", |file| file.path).to_owned(), source }
        })?;
        let (bytes, size) = match &packed {
            Packed::Hole => (&[][..], 0),
            Packed::Stored(bytes) => (bytes.as_slice(), bytes.len() as u32 | DATA_STORED), // at most 1 MiB
            Packed::Compressed(bytes) => (bytes.as_slice(), bytes.len() as u32),
        };
        match job {
            Job::Data(piece) => {
                let file = &mut self.files[piece.file]; // the plan's own number
                if file.sizes.is_empty() {
                    file.start = self.end;
                }
                file.sizes.push(size);
                if size == 0 {
                    file.holes += piece.len as u64;
                }
            }
            Job::Fragment(_) => self.fragments.push((self.end, size)),
        }
        out.write_all(bytes).map_err(WriteError::output)?;
        self.end += bytes.len() as u64;
        progress(pieces.iter().map(|piece| piece.len as u64).sum());
        Ok(())
    }
}

impl Means {
    fn pack(&self, job: &Job) -> io::Result<Packed> {
        let mut buffer = self.buffers.take().unwrap_or_default();
        buffer.clear();
        let packed = match job {
            Job::Data(piece) => self.read(std::slice::from_ref(piece), &mut buffer).and_then(|()| {
                if buffer.iter().all(|byte| *byte == 0) { Ok(Packed::Hole) } else { self.squeeze(&buffer) }
            }),
            Job::Fragment(pieces) => self.read(pieces, &mut buffer).and_then(|()| self.squeeze(&buffer)),
        };
        self.buffers.put(buffer);
        packed
    }

    /// Appends the bytes of pieces. A fragment block of the image that is rewritten is unpacked once for
    /// all pieces in a row that lie in it.
    fn read(&self, pieces: &[Piece], buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut apart: Option<(u32, Vec<u8>)> = None;
        for piece in pieces {
            let number = match &piece.source {
                Source::Content(content) => {
                    let start = buffer.len();
                    buffer.resize(start + piece.len, 0);
                    // `resize` made it so long.
                    content.handle()?.read_exact_at(piece.offset, &mut buffer[start..])?;
                    continue;
                }
                Source::Fragment(number) => *number,
            };
            let (_, bytes) = match apart.take().filter(|(known, _)| *known == number) {
                Some(known) => apart.insert(known),
                None => apart.insert((number, self.fragment(number)?)),
            };
            let from = usize::try_from(piece.offset).unwrap_or(usize::MAX);
            let bytes = bytes.get(from..).and_then(|bytes| bytes.get(..piece.len));
            buffer.extend_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        Ok(())
    }

    fn fragment(&self, number: u32) -> io::Result<Vec<u8>> {
        let image = self.image.as_ref().ok_or(io::ErrorKind::NotFound)?;
        image.fragment_bytes(number).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The block from the cache, or compressed. What does not shrink is kept as nothing.
    fn squeeze(&self, block: &[u8]) -> io::Result<Packed> {
        let mut make = || self.compress(block);
        let packed = match &self.cache {
            Some(cache) => cache.once(&self.key(block), &mut make)?,
            None => make()?,
        };
        match packed.len() {
            0 => Ok(Packed::Stored(block.to_vec())),
            len if len < block.len() => Ok(Packed::Compressed(packed)),
            // No block of ours.
            _ => match self.compress(block)? {
                packed if packed.is_empty() => Ok(Packed::Stored(block.to_vec())),
                packed => Ok(Packed::Compressed(packed)),
            },
        }
    }

    /// Nothing, if it does not shrink.
    fn compress(&self, block: &[u8]) -> io::Result<Vec<u8>> {
        self.compressed.fetch_add(1, Ordering::Relaxed);
        let mut compressor = match self.compressors.take() {
            Some(compressor) => compressor,
            None => Compressor::new(self.scheme)?,
        };
        let packed = compressor.compress(block)?.map(<[u8]>::to_vec);
        self.compressors.put(compressor);
        Ok(packed.unwrap_or_default())
    }

    fn key(&self, block: &[u8]) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(self.prefix.as_bytes());
        hasher.update(block);
        hasher.finish()
    }
}
