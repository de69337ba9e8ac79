//! A limit on what a decompressor may give: an absolute one, and one in relation to what it took.
//!
//! The counter is shared with the compressed side: wrap the compressed reader in [`Counted`], the
//! decompressor in [`Bounded`].

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What may come out.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes in all.
    pub max: u64,
    /// Bytes that may come out whatever went in.
    pub free: u64,
    /// Bytes that may come out of one that went in, once `free` is passed.
    pub ratio: u64,
}

impl Default for Bounds {
    /// For layers. `max` is what a tar reader takes of one archive at most. Honest layers contain zeros
    /// too (disk images, preallocated files), on which deflate reaches 1032:1 and zstd 32,000:1: 1 GiB
    /// of them passes. What is longer must carry something: programs, modules and firmware compress to
    /// a tenth at the best, so a hundredth over more than a gibibyte is a bomb.
    fn default() -> Self {
        Self {
            max: super::tar::read::MAX_TOTAL + (super::tar::read::MAX_TOTAL >> 3),
            free: 1 << 30,
            ratio: 100,
        }
    }
}

/// Why a [`Bounded`] reader stopped; the source of its `InvalidData` error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// See [`Bounds::max`].
    #[error("decompressed data is longer than the {max} bytes allowed")]
    TooLong {
        /// The limit.
        max: u64,
    },
    /// See [`Bounds::ratio`].
    #[error("{input} compressed bytes give {output} and more: a decompression bomb")]
    Bomb {
        /// Bytes that went in.
        input: u64,
        /// Bytes that came out.
        output: u64,
    },
}

/// Counts what is read through it.
#[derive(Debug)]
pub struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    /// Counts from 0.
    pub fn new(inner: R) -> Self {
        Self { inner, count: Arc::default() }
    }

    /// The counter, for [`Bounded::new`].
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.count.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

/// A decompressor that fails when it gives too much.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: R,
    input: Arc<AtomicU64>,
    output: u64,
    bounds: Bounds,
}

impl<R> Bounded<R> {
    /// Bounds `inner`, whose compressed side counts into `input`.
    pub fn new(inner: R, input: Arc<AtomicU64>, bounds: Bounds) -> Self {
        Self { inner, input, output: 0, bounds }
    }

    /// The decompressor.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    fn check(&self) -> Result<(), BoundError> {
        let input = self.input.load(Ordering::Relaxed);
        if self.output > self.bounds.max {
            return Err(BoundError::TooLong { max: self.bounds.max });
        }
        if self.output > self.bounds.free && self.output > input.saturating_mul(self.bounds.ratio) {
            return Err(BoundError::Bomb { input, output: self.output });
        }
        Ok(())
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.output = self.output.saturating_add(got as u64);
        self.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(output: u64, input: usize, bounds: Bounds) -> io::Result<u64> {
        let mut compressed = Counted::new(io::repeat(1).take(input as u64));
        let counter = compressed.counter();
        io::copy(&mut compressed, &mut io::sink()).unwrap();
        io::copy(&mut Bounded::new(io::repeat(0).take(output), counter, bounds), &mut io::sink())
    }

    #[test]
    fn zeros_pass_up_to_what_is_free_and_bombs_do_not() {
        let bounds = Bounds { max: 1 << 20, free: 64 << 10, ratio: 1100 };
        assert_eq!(run(64 << 10, 1, bounds).unwrap(), 64 << 10);
        assert_eq!(run(1 << 20, 1024, bounds).unwrap(), 1 << 20);
        let error = run(128 << 10, 100, bounds).unwrap_err();
        assert!(error.to_string().contains("bomb"), "{error}");
        let error = run((1 << 20) + 1, 1 << 20, bounds).unwrap_err();
        assert!(error.to_string().contains("longer than the 1048576 bytes"), "{error}");
    }

    #[test]
    fn the_densest_gzip_passes_up_to_what_is_free_and_what_honest_files_reach_passes_beyond() {
        let bounds = Bounds { free: 1 << 20, ..Bounds::default() };
        assert_eq!(run(1 << 20, 1000, bounds).unwrap(), 1 << 20, "1032:1, the most that deflate can");
        assert_eq!(run(50 << 20, 1 << 20, bounds).unwrap(), 50 << 20);
        assert!(run(50 << 20, 50 << 10, bounds).is_err());
    }
}
