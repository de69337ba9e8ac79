//! Reading on a thread of its own, a few buffers ahead: where reading costs as much as what is done with
//! the bytes (decompression here, hashing there), both go on at once. Order and bytes are those of the
//! source, so nothing depends on it but time.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Bytes that go from one thread to the other at a time.
const BUFFER: usize = 256 << 10;
/// Buffers that may lie between them.
const AHEAD: usize = 4;

/// The near end: gives the source's bytes.
#[derive(Debug)]
pub struct Ahead {
    receiver: Receiver<io::Result<Vec<u8>>>,
    buffer: Vec<u8>,
    position: usize,
}

/// Reads `source` on a thread of `scope`. Once the reader is dropped or has come to the end, the handle gives
/// the source back, as far as it was read.
pub fn ahead<'s, R: Read + Send + 's>(
    scope: &'s Scope<'s, '_>,
    mut source: R,
) -> (Ahead, ScopedJoinHandle<'s, R>) {
    let (sender, receiver) = sync_channel(AHEAD);
    let handle = scope.spawn(move || {
        pump(&mut source, &sender);
        source
    });
    (Ahead { receiver, buffer: Vec::new(), position: 0 }, handle)
}

/// Reads until the end, an error, or nobody wants more.
fn pump(source: &mut impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut buffer = Vec::with_capacity(BUFFER);
        let read = source.take(BUFFER as u64).read_to_end(&mut buffer);
        let end = read.as_ref().map_or(true, |count| *count == 0);
        // What was read before an error is given before it.
        let whole = buffer.is_empty() || sender.send(Ok(buffer)).is_ok();
        let told = read.err().is_none_or(|error| sender.send(Err(error)).is_ok());
        if end || !whole || !told {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.position == self.buffer.len() {
            match self.receiver.recv() {
                Ok(next) => (self.buffer, self.position) = (next?, 0),
                Err(_) => return Ok(0), // the source has come to its end
            }
        }
        let rest = self.buffer.get(self.position..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]); // `count` is at most the length of either
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives bytes in odd pieces, then fails.
    struct Odd {
        left: usize,
        fails: bool,
    }

    impl Read for Odd {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.left == 0 && self.fails {
                return Err(io::Error::other("broken"));
            }
            let count = self.left.min(out.len()).min(1000);
            for (place, byte) in out[..count].iter_mut().enumerate() {
                *byte = ((self.left - place) % 251) as u8;
            }
            self.left -= count;
            Ok(count)
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_source_and_it_comes_back() {
        for left in [0, 1, BUFFER, 3 * BUFFER + 17] {
            let mut expected = Vec::new();
            Odd { left, fails: false }.read_to_end(&mut expected).unwrap();
            std::thread::scope(|scope| {
                let (mut reader, handle) = ahead(scope, Odd { left, fails: false });
                let mut found = Vec::new();
                reader.read_to_end(&mut found).unwrap();
                assert!(found == expected);
                assert_eq!(handle.join().unwrap().left, 0);
            });
        }
    }

    #[test]
    fn an_error_comes_after_the_bytes_before_it() {
        std::thread::scope(|scope| {
            let (mut reader, _) = ahead(scope, Odd { left: 2 * BUFFER + 5, fails: true });
            let mut found = Vec::new();
            assert_eq!(reader.read_to_end(&mut found).unwrap_err().to_string(), "broken");
            assert_eq!(found.len(), 2 * BUFFER + 5);
        });
    }

    #[test]
    fn a_reader_that_is_dropped_stops_the_source() {
        std::thread::scope(|scope| {
            let (mut reader, handle) = ahead(scope, Odd { left: 100 * BUFFER, fails: false });
            reader.read_exact(&mut [0; 10]).unwrap();
            drop(reader);
            assert!(handle.join().unwrap().left > 90 * BUFFER);
        });
    }
}
