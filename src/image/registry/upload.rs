//! A blob as the body of requests: read and hashed on a thread of its own, sent from a ring of
//! buffers that go round. Memory is constant, disk and network overlap, and the last bytes leave
//! only once the digest of all is known to be right, so that no registry gets a whole wrong blob.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use bytes::Bytes;
use futures_util::stream;

use super::error::RegistryError;
use super::options::Progress;
use super::patience::Moved;
use crate::base::{Content, Digest, Hasher};

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
}

#[derive(Clone)]
enum Origin {
    Whole(Whole),
    /// A file that is being written. What is of it, who writes it knows.
    Growing(Arc<File>),
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

    /// Of a file whose digest nobody knows before its end; only bytes that are there may be asked for.
    pub(super) fn growing(file: File, progress: &Progress) -> Self {
        Self::of(Origin::Growing(Arc::new(file)), progress)
    }

    fn of(origin: Origin, progress: &Progress) -> Self {
        let source = Source { origin, progress: progress.clone() };
        Self { source, fault: Arc::default(), broken: Arc::default() }
    }

    /// Whether the fault was on this side, so that no other try can mend it.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// A body with the bytes from `from` up to `to`; those that the connection has taken count in `moved`. Called
    /// within the runtime, whose blocking threads do the reading.
    pub(super) fn open(&self, from: u64, to: u64, moved: &Moved) -> reqwest::Body {
        let (filled, receiver) = tokio::sync::mpsc::channel(BUFFERS);
        let (source, fault, broken) =
            (self.source.clone(), Arc::clone(&self.fault), Arc::clone(&self.broken));
        let moved = moved.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(found) = source.send(from, to, &moved, &filled) {
                *lock(&fault) = Some(found);
                broken.store(true, Ordering::Relaxed);
                let _ = filled.blocking_send(Err(Broken)); // nobody listens any more: the request is gone
            }
        });
        reqwest::Body::wrap_stream(stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|item: Result<Bytes, Broken>| (item, receiver))
        }))
    }

    /// What broke the last body on this side, if anything did.
    pub(super) fn fault(&self, asked: &str) -> Option<RegistryError> {
        let asked = asked.to_owned();
        lock(&self.fault).take().map(|fault| match fault {
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
    /// Sends the bytes from `from` up to `to`. Those before are read too, where they are to be hashed and are not yet:
    /// the last bytes of the whole leave only once its digest is known to be right.
    fn send(
        &self,
        from: u64,
        to: u64,
        moved: &Moved,
        filled: &tokio::sync::mpsc::Sender<Result<Bytes, Broken>>,
    ) -> Result<(), Fault> {
        let (mut at, mut check) = match &self.origin {
            Origin::Whole(whole) => {
                let (at, hasher) = whole.hashed_up_to(from);
                (at, Some((whole, hasher)))
            }
            Origin::Growing(_) => (from, None),
        };
        let mut reader = self.origin.open(at)?;
        let (home, free) = mpsc::channel();
        for _ in 0..BUFFERS {
            let _ = home.send(Vec::new()); // `free` is in scope, so this cannot fail
        }
        while at < to {
            let Ok(mut buffer) = free.recv() else { return Ok(()) };
            let until = if at < from { from } else { to };
            buffer.resize(usize::try_from(until - at).unwrap_or(BUFFER).min(BUFFER), 0);
            reader.read_exact(&mut buffer)?;
            at += buffer.len() as u64;
            if let Some((whole, hasher)) = &mut check {
                hasher.update(&buffer);
                whole.check(at, hasher)?;
                whole.remember(at, hasher, at == to);
            }
            if at <= from {
                moved.stir(); // the registry has it
                let _ = home.send(buffer); // `free` is in scope, so this cannot fail
                continue;
            }
            let lent = Lent { buffer, home: home.clone(), moved: moved.clone() };
            let bytes = lent.buffer.len() as u64;
            if filled.blocking_send(Ok(Bytes::from_owner(lent))).is_err() {
                return Ok(()); // the request is gone
            }
            self.progress.advance(bytes);
        }
        Ok(())
    }
}

impl Origin {
    /// The bytes from `at` on.
    fn open(&self, at: u64) -> io::Result<Box<dyn Read>> {
        match self {
            Self::Whole(Whole { content, .. }) => {
                let rest = content.slice(at, content.len().saturating_sub(at));
                Ok(Box::new(rest.ok_or(io::ErrorKind::UnexpectedEof)?.open()?))
            }
            Self::Growing(file) => Ok(Box::new(ReadAt { file: Arc::clone(file), at })),
        }
    }
}

impl Whole {
    /// A place at or before `from`, with the hash of all that is before it.
    fn hashed_up_to(&self, from: u64) -> (u64, Hasher) {
        let known = lock(&self.hashed).iter().rev().find(|(at, _)| *at <= from).cloned();
        known.unwrap_or_else(|| (0, self.digest.hasher()))
    }

    /// Keeps what was hashed up to `at`, now and then, and in any case where a part ends.
    fn remember(&self, at: u64, hasher: &Hasher, end: bool) {
        let mut hashed = lock(&self.hashed);
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

/// A file from some place on; others read it at theirs.
struct ReadAt {
    file: Arc<File>,
    at: u64,
}

impl Read for ReadAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
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

/// A poisoned lock is as good as another: no holder leaves the value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
