//! Files: errors that name their path, and outputs that are either whole or not there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use tempfile::{NamedTempFile, TempDir};

use super::content::Content;
use super::locked;

/// A file system operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// What was tried: `read`, `write`, `create` …
    pub action: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// Attaches what was tried, and on which path, to an `io::Error`.
pub trait At<T> {
    /// See the trait.
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, FileError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, FileError> {
        self.map_err(|source| FileError { action, path: path.as_ref().to_owned(), source })
    }
}

/// Reads a file of at most `limit` bytes. The limit holds for what is read, whatever the size says,
/// so it holds for pipes and devices too.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    use io::Read as _;
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).at("read", path)?;
    if bytes.len() as u64 > limit {
        let source = io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"));
        return Err(source).at("read", path);
    }
    Ok(bytes)
}

/// Creates a directory and its parents.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).at("create", path)
}

/// What of this process is not finished, for [`abandon`]: paths, and whether all below goes as well.
static UNFINISHED: Mutex<BTreeMap<PathBuf, Below>> = Mutex::new(BTreeMap::new());

/// What may lie below an unfinished path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    /// Nothing: it is a file, or a folder that stays if there is something in it.
    Nothing,
    /// Only what goes with it.
    Own,
}

fn unfinished() -> MutexGuard<'static, BTreeMap<PathBuf, Below>> {
    locked(&UNFINISHED)
}

/// Removes everything that is not finished. For a process that is about to end by a signal, where no
/// destructor runs; the caller ends the process while it holds the result, so that nothing new begins.
pub fn abandon() -> impl Sized {
    let unfinished = unfinished();
    // Of all that is done here: it may have been named, or never been there.
    for path in unfinished.keys() {
        let _ = fs::remove_file(path);
    }
    // The last first: what lies in a folder goes before the folder.
    for (path, below) in unfinished.iter().rev() {
        let _ = if *below == Below::Own { fs::remove_dir_all(path) } else { fs::remove_dir(path) };
    }
    unfinished
}

/// Removes a file, or a folder with all that is in it. What cannot be removed stays.
pub fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path); // the caller says that it may
    }
}

/// Files that have their names already and are part of something that is not finished, with the folders that
/// were made for them. Dropped before it is said that they stay, they are gone; a folder goes if it is empty.
#[derive(Debug, Default)]
pub struct Parts {
    paths: Vec<PathBuf>,
}

impl Parts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a file or a folder, before it is made.
    pub fn add(&mut self, path: PathBuf) {
        unfinished().insert(path.clone(), Below::Nothing);
        self.paths.push(path);
    }

    /// A signal leaves them alone from now on: what makes a whole of them is about to be written.
    pub fn settle(&self) {
        let mut unfinished = unfinished();
        for path in &self.paths {
            unfinished.remove(path);
        }
    }

    /// They stay.
    pub fn keep(mut self) {
        self.settle();
        self.paths.clear();
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.settle();
        for path in self.paths.iter().rev() {
            // What cannot be removed is a blob more in a layout.
            if fs::remove_file(path).is_err() {
                let _ = fs::remove_dir(path);
            }
        }
    }
}

/// A folder of the moment: gone with all that is in it when it is dropped, and by [`abandon`].
#[derive(Debug)]
pub struct TempFolder {
    folder: TempDir,
    /// Held as long as the folder, as that of a [`Draft`].
    _lock: Option<File>,
}

impl TempFolder {
    /// Makes one in `directory`, which exists. Nobody but the user may look into it.
    pub fn new(directory: &Path) -> Result<Self, FileError> {
        let mut unfinished = unfinished();
        let folder = tempfile::Builder::new()
            .prefix(".talosmith-")
            .tempdir_in(directory)
            .at("create a folder in", directory)?;
        unfinished.insert(folder.path().to_owned(), Below::Own);
        let lock = File::open(folder.path()).ok().filter(|file| file.try_lock().is_ok());
        Ok(Self { folder, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        unfinished().remove(self.folder.path());
    }
}

/// A file in the making: written beside its destination, named only when it is whole. Dropped
/// before that, it is gone.
#[derive(Debug)]
pub struct Draft {
    /// There until the draft is named or dropped.
    file: Option<NamedTempFile>,
}

impl Draft {
    /// Starts a file that will lie in `directory`, which exists. Its mode will be 0644 less the
    /// user's umask, as if it had been created in place.
    pub fn new(directory: &Path) -> Result<Self, FileError> {
        use std::os::unix::fs::PermissionsExt as _;
        // Before the file is there, or one could begin while the process ends.
        let mut unfinished = unfinished();
        let file = tempfile::Builder::new()
            .prefix(".talosmith-")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(directory)
            .at("create a file in", directory)?;
        // Held until the file is closed: a draft whose lock is free has no owner any more. A file system
        // without locks loses only that.
        let _ = file.as_file().try_lock();
        unfinished.insert(file.path().to_owned(), Below::Nothing);
        Ok(Self { file: Some(file) })
    }

    fn inner(&self) -> &NamedTempFile {
        // `name` takes the file together with `self`, and `drop` is the last to see either.
        self.file.as_ref().unwrap_or_else(|| unreachable!("a draft has its file until it is named"))
    }

    /// The unfinished file.
    pub fn file(&mut self) -> &mut File {
        match &mut self.file {
            Some(file) => file.as_file_mut(),
            None => unreachable!("a draft has its file until it is named"),
        }
    }

    /// Its present path.
    pub fn path(&self) -> &Path {
        self.inner().path()
    }

    /// Writes the data through to the disk, so that a name given afterwards never names less.
    pub fn sync(&mut self) -> Result<(), FileError> {
        let result = self.inner().as_file().sync_data();
        result.at("sync", self.path())
    }

    /// Names the file `path`, replacing what was there. The caller has synced it if it must outlive
    /// a power cut.
    pub fn name(mut self, path: &Path) -> Result<(), FileError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let draft = file.path().to_owned();
        let named = file.persist(path).map_err(|error| error.error).at("create", path);
        unfinished().remove(&draft);
        named.map(drop)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            unfinished().remove(file.path());
        }
    }
}

/// Has a file's time of modification be that of now, by the file system's own clock.
pub fn touch(file: &File) -> io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
    let time = |nanoseconds| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
    Ok(futimens(file, &Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) })?)
}

/// Writes a small file whole: temporary file, sync, rename.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let directory = parent(path);
    let mut draft = Draft::new(directory)?;
    draft.file().write_all(bytes).at("write", path)?;
    draft.sync()?;
    draft.name(path)
}

/// The same without a sync: for what can be made again at any time.
pub fn write_lightly(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut draft = Draft::new(parent(path))?;
    draft.file().write_all(bytes).at("write", path)?;
    draft.name(path)
}

/// Puts `content` at `path`, replacing what was there: cloned (reflink) or hard-linked where that is
/// one whole file on the same file system, copied otherwise. Blobs are never changed once they have
/// a name, so a shared inode is safe.
pub fn place(content: &Content, path: &Path) -> Result<(), FileError> {
    let directory = parent(path);
    let whole = content.whole_file().filter(|file| {
        fs::symlink_metadata(file).is_ok_and(|data| data.is_file() && data.len() == content.len())
    });
    let mut draft = Draft::new(directory)?;
    if let Some(file) = whole {
        let clone = |draft: &mut Draft| -> io::Result<()> {
            Ok(rustix::fs::ioctl_ficlone(draft.file(), File::open(file)?)?)
        };
        if clone(&mut draft).is_err() {
            let link = tempfile::Builder::new()
                .prefix(".talosmith-")
                .make_in(directory, |link| fs::hard_link(file, link));
            if let Ok(link) = link {
                link.into_temp_path().persist(path).map_err(|error| error.error).at("create", path)?;
                return Ok(());
            }
            copy(content, &mut draft).at("write", path)?;
        }
    } else {
        copy(content, &mut draft).at("write", path)?;
    }
    draft.sync()?;
    draft.name(path)
}

/// Copies `content` to a new file that nothing else shares.
pub fn copy_to(content: &Content, path: &Path) -> Result<(), FileError> {
    let mut file = File::create_new(path).at("create", path)?;
    content.open().and_then(|mut reader| io::copy(&mut reader, &mut file)).at("write", path)?;
    Ok(())
}

fn copy(content: &Content, draft: &mut Draft) -> io::Result<()> {
    let mut reader = io::BufReader::with_capacity(256 << 10, content.open()?);
    io::copy(&mut reader, draft.file())?;
    Ok(())
}

/// The directory that a file lies in; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Bytes that are free for this user on the file system of `path`.
pub fn free_space(path: &Path) -> Result<u64, FileError> {
    let data = rustix::fs::statvfs(path).map_err(io::Error::from).at("ask for the free space of", path)?;
    Ok(data.f_bavail.saturating_mul(data.f_frsize))
}

/// Makes the names in `directory` durable (fsync of a directory; `rename(2)` alone is not).
pub fn sync_dir(directory: &Path) -> Result<(), FileError> {
    File::open(directory).and_then(|file| file.sync_all()).at("sync", directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chain;

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut draft = Draft::new(directory.path()).unwrap();
        draft.file().write_all(b"half").unwrap();
        drop(draft);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_of_the_moment_goes_with_all_that_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let folder = TempFolder::new(directory.path()).unwrap();
        fs::write(folder.path().join("file"), b"x").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn parts_of_what_was_not_finished_go_and_what_was_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (folder, part) = (directory.path().join("folder"), directory.path().join("folder/part"));
        let make = |other: bool| {
            let mut parts = Parts::new();
            for path in [&folder, &part] {
                parts.add(path.clone());
            }
            fs::create_dir(&folder).unwrap();
            fs::write(&part, b"x").unwrap();
            if other {
                fs::write(folder.join("other"), b"x").unwrap();
            }
            parts
        };
        drop(make(false));
        assert!(!folder.exists());
        make(false).keep();
        assert!(part.exists());
        fs::remove_dir_all(&folder).unwrap();
        drop(make(true));
        assert!(folder.join("other").exists() && !part.exists());
    }

    #[test]
    fn a_placed_file_has_the_contents_and_a_range_is_never_linked() {
        let directory = tempfile::tempdir().unwrap();
        let (source, target) = (directory.path().join("source"), directory.path().join("target"));
        fs::write(&source, b"0123456789").unwrap();
        for content in
            [Content::file(&source, 10), Content::range(&source, 0, 4), Content::memory(&b"01"[..])]
        {
            place(&content, &target).unwrap();
            assert_eq!(fs::read(&target).unwrap(), content.read(10).unwrap());
        }
        assert_eq!(fs::read(&source).unwrap(), b"0123456789");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_is_replaced_whole_and_errors_name_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"second");
        assert!(chain(&read(&path, 5).unwrap_err()).contains("more than 5 bytes"));
        let missing = directory.path().join("missing");
        assert!(read(&missing, 5).unwrap_err().to_string().contains("missing"));
    }
}
