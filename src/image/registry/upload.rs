//! A blob as the body of requests: read and hashed on a thread of its own, sent from a ring of
//! buffers that go round. Memory is constant, disk and network overlap, and the last bytes of what is whole leave
//! only once the digest of all is known to be right, so that no registry gets a whole wrong blob. What is still being
//! made has no digest yet: the registry gets that at the end, and holds the bytes against it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use futures_util::stream;

use super::error::RegistryError;
use super::options::Progress;
use super::patience::Moved;
use crate::base::{Content, Digest, Growing, Hasher, locked};

/// Large enough that a read costs little beside hashing what it read; see [`BUFFERS`].
const BUFFER: usize = 256 << 10;
/// Bytes that are hashed once more, at most, where an upload goes on.
const CHECKPOINT: u64 = 16 << 20;
/// One is filled, one waits, one is on the wire.
const BUFFERS: usize = 3;

/// What is uploaded; every sending opens it anew.
pub(super) struct Upload {
    source: Source,
    fault: Arc<Mutex<Option<Fault>>>,
    broken: Arc<AtomicBool>,
}

/// What is read.
#[derive(Clone)]
struct Source {
    origin: Origin,
    progress: Progress,
    /// What is sent was sent to its end.
    flowed: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Origin {
    Whole(Whole),
    Growing(Arc<File>, Growing),
}

/// All of a blob, held against its digest.
#[derive(Clone)]
struct Whole {
    content: Content,
    digest: Digest,
    /// How far bytes were hashed, and what of, at some places in their order: what goes on in the middle need not begin
    /// at the front.
    hashed: Arc<Mutex<Vec<(u64, Hasher)>>>,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the content could not be read")]
    Read(#[from] std::io::Error),
    #[error("the content has the digest `{found}`")]
    Digest { expected: Box<Digest>, found: Box<Digest> },
}

impl Upload {
    /// Of a content with this digest.
    pub(super) fn new(content: &Content, digest: Digest, progress: &Progress) -> Self {
        let whole = Whole { content: content.clone(), digest, hashed: Arc::default() };
        Self::of(Origin::Whole(whole), progress)
    }

    /// Of a file that is being written. Its digest is known when it is whole, and goes to the registry then, which
    /// holds the bytes against it.
    pub(super) fn growing(file: File, growing: Growing, progress: &Progress) -> Self {
        Self::of(Origin::Growing(Arc::new(file), growing), progress)
    }

    fn of(origin: Origin, progress: &Progress) -> Self {
        let source = Source { origin, progress: progress.clone(), flowed: Arc::default() };
        Self { source, fault: Arc::default(), broken: Arc::default() }
    }

    /// Bytes of what grew, if all of them were given to a connection.
    pub(super) fn flowed(&self) -> Option<u64> {
        match &self.source.origin {
            Origin::Growing(_, growing) if self.source.flowed.load(Ordering::Acquire) => {
                Some(growing.grown())
            }
            _ => None,
        }
    }

    /// Whether the fault was on this side, so that no other try can mend it.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// A body with the bytes from `from` up to `to`, or of what grows, as far as there are some; those that the
    /// connection has taken count in `moved`. Called within the runtime, whose blocking threads do the reading.
    pub(super) fn open(&self, from: u64, to: u64, moved: &Moved) -> reqwest::Body {
        let (filled, receiver) = tokio::sync::mpsc::channel(BUFFERS);
        let (source, fault, broken) =
            (self.source.clone(), Arc::clone(&self.fault), Arc::clone(&self.broken));
        let (moved, ended) = (moved.clone(), moved.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(found) = source.send(from, to, moved, filled.clone()) {
                *locked(&fault) = Some(found);
                broken.store(true, Ordering::Relaxed);
                let _ = filled.blocking_send(Err(Broken)); // nobody listens any more: the request is gone
            }
        });
        reqwest::Body::wrap_stream(stream::unfold(Some(receiver), move |receiver| {
            let ended = ended.clone();
            async move {
                let mut receiver = receiver?;
                match receiver.recv().await {
                    Some(item) => Some((item, Some(receiver))),
                    None if ended.is_whole() => None,
                    // Where nobody said that it was all, it was not: a body without a length would look whole.
                    None => Some((Err(Broken), None)),
                }
            }
        }))
    }

    /// What broke the last body on this side, if anything did.
    pub(super) fn fault(&self, asked: &str) -> Option<RegistryError> {
        let asked = asked.to_owned();
        locked(&self.fault).take().map(|fault| match fault {
            Fault::Read(source) => RegistryError::Local { asked, source },
            Fault::Digest { expected, found } => RegistryError::digest_mismatch(&asked, *expected, *found),
        })
    }
}

/// The error that the HTTP client sees; the cause is kept in [`Upload::fault`].
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
struct Broken;

impl Source {
    fn send(&self, from: u64, to: u64, moved: Moved, filled: Filled) -> Result<(), Fault> {
        let ring = Ring::new(moved, filled, &self.progress);
        let all = match &self.origin {
            Origin::Whole(whole) => whole.send(from, to, &ring)?,
            Origin::Growing(file, growing) => follow(file, growing.clone(), from, to, &ring)?,
        };
        if all {
            self.flowed.store(true, Ordering::Release);
            ring.moved.set_whole();
        }
        Ok(())
    }
}

/// Sends what is written to a file for as long as it grows; gives whether that was all.
fn follow(file: &File, mut growing: Growing, from: u64, to: u64, ring: &Ring<'_>) -> Result<bool, Fault> {
    let runtime = tokio::runtime::Handle::current();
    let mut at = from;
    while at < to {
        ring.moved.set_idle(true);
        let full = runtime.block_on(growing.reaches(at.saturating_add(BUFFER as u64)));
        ring.moved.set_idle(false);
        let until = full.unwrap_or_else(|| growing.grown()).min(to);
        let Some(mut buffer) = ring.buffer(until.saturating_sub(at)) else { return Ok(false) };
        if buffer.is_empty() {
            return Ok(true);
        }
        file.read_exact_at(&mut buffer, at)?;
        at += buffer.len() as u64;
        if !ring.send(buffer) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Whole {
    /// Sends the bytes from `from` up to `to`. Those before are read too, unless they are hashed already: the last
    /// bytes of the whole leave only once its digest is known to be right. Gives whether that was all.
    fn send(&self, from: u64, to: u64, ring: &Ring<'_>) -> Result<bool, Fault> {
        let (mut at, mut hasher) = self.hashed_up_to(from);
        let rest = self.content.slice(at, self.content.len().saturating_sub(at));
        let mut reader = rest.ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?.open()?;
        while at < to {
            let until = if at < from { from } else { to };
            let Some(mut buffer) = ring.buffer(until - at) else { return Ok(false) };
            reader.read_exact(&mut buffer)?;
            at += buffer.len() as u64;
            hasher.update(&buffer);
            self.check(at, &hasher)?;
            self.remember(at, &hasher, at == to);
            if at <= from {
                ring.moved.stir(); // the registry has it
                ring.take_back(buffer);
            } else if !ring.send(buffer) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A place at or before `from`, with the hash of all that is before it.
    fn hashed_up_to(&self, from: u64) -> (u64, Hasher) {
        let known = locked(&self.hashed).iter().rev().find(|(at, _)| *at <= from).cloned();
        known.unwrap_or_else(|| (0, self.digest.hasher()))
    }

    /// Keeps what was hashed up to `at`, now and then, and in any case where a part ends.
    fn remember(&self, at: u64, hasher: &Hasher, end: bool) {
        let mut hashed = locked(&self.hashed);
        let last = hashed.last().map_or(0, |(at, _)| *at);
        if at >= last + CHECKPOINT || (end && at > last) {
            hashed.push((at, hasher.clone()));
        }
    }

    /// Looks at the digest, where all is hashed.
    fn check(&self, at: u64, hasher: &Hasher) -> Result<(), Fault> {
        if at < self.content.len() {
            return Ok(());
        }
        match hasher.clone().finish() {
            found if found == self.digest => Ok(()),
            found => Err(Fault::Digest { expected: Box::new(self.digest), found: Box::new(found) }),
        }
    }
}

/// Where bodies take their bytes from.
type Filled = tokio::sync::mpsc::Sender<Result<Bytes, Broken>>;

/// Buffers that go round between who reads and the connection.
struct Ring<'a> {
    home: mpsc::Sender<Vec<u8>>,
    free: mpsc::Receiver<Vec<u8>>,
    filled: Filled,
    moved: Moved,
    progress: &'a Progress,
}

impl<'a> Ring<'a> {
    fn new(moved: Moved, filled: Filled, progress: &'a Progress) -> Self {
        let (home, free) = mpsc::channel();
        let ring = Self { home, free, filled, moved, progress };
        (0..BUFFERS).for_each(|_| ring.take_back(Vec::new()));
        ring
    }

    /// A buffer for as many bytes as it holds, at most so many; waits until one is free.
    fn buffer(&self, bytes: u64) -> Option<Vec<u8>> {
        let mut buffer = self.free.recv().ok()?;
        buffer.resize(usize::try_from(bytes).unwrap_or(BUFFER).min(BUFFER), 0);
        Some(buffer)
    }

    fn take_back(&self, buffer: Vec<u8>) {
        let _ = self.home.send(buffer); // `free` is in scope, so this cannot fail
    }

    /// `false`, if the request is gone, or answered before its end: a server that reads on is not to have two bodies.
    fn send(&self, buffer: Vec<u8>) -> bool {
        if self.moved.is_answered() {
            return false;
        }
        let bytes = buffer.len() as u64;
        let lent = Lent { buffer, home: self.home.clone(), moved: self.moved.clone() };
        let sent = self.filled.blocking_send(Ok(Bytes::from_owner(lent))).is_ok();
        if sent {
            self.progress.advance(bytes);
        }
        sent
    }
}

/// A buffer on its way; dropped by the connection, it returns to the reader.
struct Lent {
    buffer: Vec<u8>,
    home: mpsc::Sender<Vec<u8>>,
    moved: Moved,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.moved.add(self.buffer.len());
        let _ = self.home.send(std::mem::take(&mut self.buffer)); // the reader may have ended
    }
}
