//! A file that is being written, for who reads it meanwhile.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

/// The writer's end: says how far the file is. Dropped, the file grows no more.
#[derive(Debug)]
pub struct Growth(watch::Sender<u64>);

impl Growth {
    /// Of a file without bytes.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// The first `len` bytes are written, and stay as they are.
    pub fn reach(&self, len: u64) {
        self.0.send_replace(len);
    }

    /// The file at `path`, for readers.
    pub fn growing(&self, path: &Path) -> Growing {
        Growing { path: path.to_owned(), len: self.0.subscribe() }
    }
}

impl Default for Growth {
    fn default() -> Self {
        Self::new()
    }
}

/// A reader's end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Growing {
    path: PathBuf,
    len: watch::Receiver<u64>,
}

impl Growing {
    /// Opens the file, which the writer may then rename or remove.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// How many bytes there are.
    pub fn grown(&self) -> u64 {
        *self.len.borrow()
    }

    /// Waits until there are at least so many bytes, and gives how many there are; `None` if that will never be.
    pub async fn reaches(&mut self, least: u64) -> Option<u64> {
        self.len.wait_for(|len| *len >= least).await.ok().map(|len| *len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_gets_what_is_there_and_is_told_of_the_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let growth = Growth::new();
        let mut growing = growth.growing(Path::new("/nowhere"));
        growth.reach(3);
        growth.reach(7);
        assert_eq!(runtime.block_on(growing.reaches(2)), Some(7));
        let waits = std::thread::spawn(move || runtime.block_on(growing.reaches(8)));
        growth.reach(9);
        assert_eq!(waits.join().unwrap(), Some(9));
        let mut growing = growth.growing(Path::new("/nowhere"));
        drop(growth);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(growing.reaches(9)), Some(9), "what was there stays");
        assert_eq!(runtime.block_on(growing.reaches(10)), None);
        assert_eq!(growing.grown(), 9);
    }
}
