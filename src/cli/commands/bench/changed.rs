//! The file that a bench changes.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use super::internal;
use crate::base::locked;
use crate::cli::failure::Failure;

/// A file that grows for a while. It is never written anew: what it had stays in its place, and what was
/// appended is cut off again. Killed (by SIGKILL, or by a power cut), a bench leaves newlines at its end.
pub(super) struct Changed {
    path: PathBuf,
    file: File,
    now: Mutex<Now>,
}

/// What was done to it.
enum Now {
    /// Nothing.
    Itself,
    /// It was this long, with these times, and got so many bytes more.
    Longer { length: u64, added: u64, times: FileTimes },
    /// The process ends: it is itself, and stays so.
    Closed,
}

/// The file is longer as long as this is there.
pub(super) struct Grown<'a>(&'a Changed);

impl Grown<'_> {
    pub(super) fn undo(self) -> Result<(), Failure> {
        self.0.restore(Now::Itself)
    }
}

impl Drop for Grown<'_> {
    fn drop(&mut self) {
        let _ = self.0.restore(Now::Itself); // an error is being told of, or it is restored already
    }
}

impl Changed {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let at = |what: &str, error: io::Error| {
            Failure::input(format!("`--changed`: cannot {what} `{}`: {error}", path.display()))
        };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| at("open", error))?;
        let data = file.metadata().map_err(|error| at("open", error))?;
        let unfit = |why: &str| Failure::input(format!("`--changed`: `{}` {why}", path.display()));
        if !data.is_file() {
            return Err(unfit("is no regular file"));
        }
        if data.nlink() > 1 {
            return Err(unfit("has several names (hard links), and would change under all of them")
                .hint(Some("put a copy in its place".to_owned())));
        }
        // Only its owner may set times: better to know it now.
        times(&data)
            .and_then(|times| file.set_times(times))
            .map_err(|error| at("set the times of", error))?;
        Ok(Self { path: path.to_owned(), file, now: Mutex::new(Now::Itself) })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        locked(&self.now)
    }

    /// Appends so many newlines: of all bytes, what a file of text bears best.
    pub(super) fn grow(&self, bytes: usize) -> Result<Grown<'_>, Failure> {
        let cannot = |error: io::Error| {
            Failure::output(format!("`--changed`: cannot append to `{}`: {error}", self.path.display()))
        };
        let mut now = self.now();
        if matches!(*now, Now::Closed) {
            return Err(Failure { code: 130, kind: "interrupted", ..internal("interrupted".to_owned()) });
        }
        let data = self.file.metadata().map_err(cannot)?;
        let times = times(&data).map_err(cannot)?;
        *now = Now::Longer { length: data.len(), added: bytes as u64, times };
        // Under the lock: it is not restored before it is longer.
        let written = self.file.write_all_at(&vec![b'\n'; bytes], data.len());
        drop(now);
        let grown = Grown(self); // an error restores it, too
        written.map(|()| grown).map_err(cannot)
    }

    /// Makes it what it was; does nothing if it is.
    fn restore(&self, then: Now) -> Result<(), Failure> {
        let mut now = self.now();
        if matches!(*now, Now::Closed) {
            return Ok(());
        }
        let Now::Longer { length, added, times } = std::mem::replace(&mut *now, then) else { return Ok(()) };
        let restored = self.file.metadata().and_then(|data| {
            // Somebody else has written to it: what to cut off is not known any more.
            if !(length..=length + added).contains(&data.len()) {
                return Err(io::Error::other("it was changed by somebody else meanwhile"));
            }
            self.file.set_len(length)?;
            self.file.set_times(times)
        });
        restored.map_err(|error| {
            let path = self.path.display();
            Failure::output(format!("`--changed`: cannot restore `{path}`: {error}"))
                .hint(Some(format!("it had {length} bytes; behind them, {added} newlines were appended")))
        })
    }

    /// Restores it at once when a signal comes. The process ends after that, and the programs that it runs end
    /// before, which takes them longer than this.
    pub(super) fn restore_when_interrupted(self: &Arc<Self>) {
        use tokio::signal::unix::{SignalKind, signal};
        let changed = Arc::clone(self);
        let (ready, watching) = channel();
        let watch = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
                return;
            };
            runtime.block_on(async {
                let both = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
                let (Ok(mut interrupt), Ok(mut terminate)) = both else { return };
                let _ = ready.send(()); // whoever started this waits for it
                let (interrupt, terminate) = (Box::pin(interrupt.recv()), Box::pin(terminate.recv()));
                futures_util::future::select(interrupt, terminate).await;
                let _ = changed.restore(Now::Closed); // there is no time to tell
            });
        };
        if thread::Builder::new().name("restore".to_owned()).spawn(watch).is_ok() {
            let _ = watching.recv(); // an error: signals cannot be watched, here as elsewhere
        }
    }
}

fn times(data: &fs::Metadata) -> io::Result<FileTimes> {
    Ok(FileTimes::new().set_accessed(data.accessed()?).set_modified(data.modified()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn changed(folder: &Path) -> Changed {
        let path = folder.join("file");
        fs::write(&path, "contents").unwrap();
        let past = std::time::SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        let times = FileTimes::new().set_accessed(past).set_modified(past + Duration::from_secs(1));
        File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        Changed::open(&path).unwrap()
    }

    fn state(path: &Path) -> (u64, i64, i64, i64, i64) {
        let data = fs::metadata(path).unwrap();
        (data.ino(), data.mtime(), data.mtime_nsec(), data.atime(), data.atime_nsec())
    }

    #[test]
    fn the_changed_file_is_itself_again_byte_for_byte_with_its_times() {
        let folder = tempfile::tempdir().unwrap();
        let changed = changed(folder.path());
        for bytes in [1, 2] {
            let before = state(&changed.path); // reading it sets a time, too
            let grown = changed.grow(bytes).unwrap();
            let expected = format!("contents{}", "\n".repeat(bytes));
            assert_eq!(fs::read_to_string(&changed.path).unwrap(), expected);
            assert_ne!(state(&changed.path), before);
            grown.undo().unwrap();
            assert_eq!(state(&changed.path), before);
            assert_eq!(fs::read(&changed.path).unwrap(), b"contents");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_and_a_signal_restore_the_file_as_well_and_after_a_signal_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let changed = changed(folder.path());
        let before = state(&changed.path);
        drop(changed.grow(3).unwrap());
        assert_eq!(state(&changed.path), before);
        let grown = changed.grow(3).unwrap();
        changed.restore(Now::Closed).unwrap();
        assert_eq!(state(&changed.path), before);
        drop(grown);
        assert_eq!(changed.grow(1).err().unwrap().code, 130);
        assert_eq!(state(&changed.path), before);
        assert_eq!(fs::read(&changed.path).unwrap(), b"contents");
    }

    #[test]
    fn a_file_that_somebody_else_has_written_to_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let changed = changed(folder.path());
        for theirs in ["short", "contents and more"] {
            fs::write(&changed.path, "contents").unwrap();
            let grown = changed.grow(1).unwrap();
            fs::write(&changed.path, theirs).unwrap();
            assert!(grown.undo().unwrap_err().message.contains("somebody else"));
            assert_eq!(fs::read_to_string(&changed.path).unwrap(), theirs);
        }
    }

    #[test]
    fn a_file_that_cannot_be_changed_alone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&file, "x").unwrap();
        fs::hard_link(&file, &other).unwrap();
        let refused = |path: &Path| Changed::open(path).err().unwrap();
        assert!(refused(&file).message.contains("hard links"));
        assert_eq!(refused(folder.path()).code, 3);
        assert_eq!(refused(&folder.path().join("missing")).code, 3);
    }
}
