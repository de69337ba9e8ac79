//! A content as the body of a request: read and hashed on a thread of its own, sent from a ring of
//! buffers that go round. Memory is constant, disk and network overlap, and the last bytes leave
//! only once the digest of all is known to be right, so that no registry gets a whole wrong blob.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use bytes::Bytes;
use futures_util::stream;

use super::error::RegistryError;
use super::options::Progress;
use crate::base::{Content, Digest};

/// Large enough that a read costs little beside hashing what it read; see [`BUFFERS`].
const BUFFER: usize = 256 << 10;
/// One is filled, one waits, one is on the wire.
const BUFFERS: usize = 3;

/// What is uploaded; every sending opens it anew.
pub(super) struct Upload {
    content: Content,
    digest: Digest,
    progress: Progress,
    fault: Arc<Mutex<Option<Fault>>>,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the content could not be read")]
    Read(#[from] std::io::Error),
    #[error("the content has the digest `{0}`")]
    Digest(Box<Digest>),
}

impl Upload {
    pub(super) fn new(content: &Content, digest: Digest, progress: &Progress) -> Self {
        let (content, progress) = (content.clone(), progress.clone());
        Self { content, digest, progress, fault: Arc::default() }
    }

    /// Bytes that the body will have.
    pub(super) fn len(&self) -> u64 {
        self.content.len()
    }

    /// A new body. Called within the runtime, whose blocking threads do the reading.
    pub(super) fn open(&self) -> reqwest::Body {
        let (filled, receiver) = tokio::sync::mpsc::channel(BUFFERS);
        let reader = Reader {
            content: self.content.clone(),
            digest: self.digest,
            progress: self.progress.clone(),
            fault: Arc::clone(&self.fault),
        };
        tokio::task::spawn_blocking(move || reader.run(&filled));
        reqwest::Body::wrap_stream(stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|item: Result<Bytes, Broken>| (item, receiver))
        }))
    }

    /// What broke the last body on this side, if anything did.
    pub(super) fn fault(&self, asked: &str) -> Option<RegistryError> {
        let asked = asked.to_owned();
        lock(&self.fault).take().map(|fault| match fault {
            Fault::Read(source) => RegistryError::Local { asked, source },
            Fault::Digest(found) => RegistryError::digest_mismatch(&asked, self.digest, *found),
        })
    }
}

/// The error that the HTTP client sees; the cause is kept in [`Upload::fault`].
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
struct Broken;

struct Reader {
    content: Content,
    digest: Digest,
    progress: Progress,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl Reader {
    fn run(self, filled: &tokio::sync::mpsc::Sender<Result<Bytes, Broken>>) {
        if let Err(fault) = self.read(filled) {
            *lock(&self.fault) = Some(fault);
            let _ = filled.blocking_send(Err(Broken)); // nobody listens any more: the request is gone
        }
    }

    fn read(&self, filled: &tokio::sync::mpsc::Sender<Result<Bytes, Broken>>) -> Result<(), Fault> {
        let mut reader = self.content.open()?;
        let mut hasher = self.digest.hasher();
        let mut left = self.content.len();
        let size = usize::try_from(left).unwrap_or(BUFFER).clamp(1, BUFFER);
        let (home, free) = mpsc::channel();
        for _ in 0..BUFFERS {
            let _ = home.send(Vec::new()); // `free` is in scope, so this cannot fail
        }
        while left > 0 {
            let Ok(mut buffer) = free.recv() else { return Ok(()) };
            buffer.resize(usize::try_from(left).unwrap_or(size).min(size), 0);
            reader.read_exact(&mut buffer)?;
            hasher.update(&buffer);
            left -= buffer.len() as u64;
            if left == 0 {
                self.check(hasher.clone().finish())?;
            }
            let bytes = buffer.len() as u64;
            let lent = Bytes::from_owner(Lent { buffer, home: home.clone() });
            if filled.blocking_send(Ok(lent)).is_err() {
                return Ok(()); // the request is gone
            }
            self.progress.advance(bytes);
        }
        Ok(())
    }

    fn check(&self, found: Digest) -> Result<(), Fault> {
        if found == self.digest { Ok(()) } else { Err(Fault::Digest(Box::new(found))) }
    }
}

/// A buffer on its way; dropped by the connection, it returns to the reader.
struct Lent {
    buffer: Vec<u8>,
    home: mpsc::Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let _ = self.home.send(std::mem::take(&mut self.buffer)); // the reader may have ended
    }
}

/// A poisoned lock is as good as another: no holder leaves the value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
