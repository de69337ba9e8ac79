//! Hashing on a thread of its own: for long streams whose bytes are also written somewhere, so that both go on at once.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::{Digest, Hasher};

/// Bytes that are hashed here before a thread is worth starting.
const SMALL: u64 = 4 << 20;
/// Pieces on their way to the thread.
const PIECES: usize = 4;

/// A hasher for any length: at first by itself, then on a thread.
#[derive(Debug, Default)]
pub struct AsideHasher {
    here: Hasher,
    len: u64,
    there: Option<There>,
}

#[derive(Debug)]
struct There {
    pieces: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Hasher>,
}

impl AsideHasher {
    /// Takes bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.there.is_none() && self.len > SMALL {
            self.there = There::begin(&mut self.here);
        }
        match &self.there {
            None => self.here.update(bytes),
            Some(there) => {
                let mut piece = there.empty.try_recv().unwrap_or_default();
                piece.clear();
                piece.extend_from_slice(bytes);
                // The thread is there until this goes: see `finish`.
                let _ = there.pieces.send(piece);
            }
        }
    }

    /// The digest of everything.
    pub fn finish(mut self) -> Digest {
        let Some(There { pieces, empty, thread }) = self.there.take() else { return self.here.finish() };
        drop((pieces, empty));
        match thread.join() {
            Ok(hasher) => hasher.finish(),
            Err(panic) => std::panic::resume_unwind(panic), // as it would have been here
        }
    }
}

impl There {
    /// Goes on with what was hashed so far; where the system gives no thread, that stays where it is.
    fn begin(here: &mut Hasher) -> Option<Self> {
        let (pieces, taken) = sync_channel::<Vec<u8>>(PIECES);
        let (used, empty) = sync_channel::<Vec<u8>>(PIECES);
        let mut hasher = here.clone();
        let work = move || {
            while let Ok(piece) = taken.recv() {
                hasher.update(&piece);
                let _ = used.try_send(piece); // where nobody wants it back it goes
            }
            hasher
        };
        let thread = thread::Builder::new().name("hash".to_owned()).spawn(work).ok()?;
        Some(Self { pieces, empty, thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_all_bytes_whatever_the_length() {
        for length in [0, 1, SMALL as usize, SMALL as usize + 1, 3 * SMALL as usize + 17] {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            for step in [100_000, usize::MAX] {
                let mut hasher = AsideHasher::default();
                bytes.chunks(step.min(bytes.len().max(1))).for_each(|part| hasher.update(part));
                assert_eq!(hasher.finish(), Digest::of(&bytes), "{length} by {step}");
            }
        }
    }
}
