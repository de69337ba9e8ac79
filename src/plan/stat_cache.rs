//! Digests of local files, without reading them again.
//!
//! As git's index does: a file counts as unchanged if path, size, inode, modification and change time
//! are what they were; and what was modified less than two seconds before it was hashed is hashed
//! again, because a file system's clock may not tell two writes apart.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use crate::base::fsio::{self, At as _, Draft, FileError};
use crate::base::{Content, Digest, locked};

/// Nanoseconds within which a modification may hide behind another.
const RACY: i128 = 2_000_000_000;
/// The most bytes of a cache file that are read: some hundred thousand files.
const LIMIT: u64 = 64 << 20;
/// First line of the file; another version is not read.
const HEADER: &str = "talosmith stat cache 1";

/// What tells a file from what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    inode: u64,
    modified: i128,
    changed: i128,
}

impl Stamp {
    /// Of a regular file.
    pub fn of(data: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            size: data.len(),
            inode: data.ino(),
            modified: nanoseconds(data.mtime(), data.mtime_nsec()),
            changed: nanoseconds(data.ctime(), data.ctime_nsec()),
        }
    }
}

/// The cache, shared by threads.
#[derive(Debug)]
pub struct StatCache {
    file: PathBuf,
    /// The file system's time before anything was hashed. A file modified later than a little before
    /// may be written again within the same tick of that clock, so it is not kept.
    opened: i128,
    known: HashMap<PathBuf, (Stamp, Digest)>,
    fresh: Mutex<Fresh>,
    /// The working directory.
    folder: OnceLock<Option<PathBuf>>,
}

/// What was learnt since, and how much of it is written.
#[derive(Debug, Default)]
struct Fresh {
    files: HashMap<PathBuf, (Stamp, Digest)>,
    written: usize,
}

impl StatCache {
    /// Reads the cache from `file`. One that is missing or damaged is an empty one.
    pub fn open(file: PathBuf) -> Self {
        let known = fsio::read(&file, LIMIT).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        let opened = Draft::new(fsio::parent(&file)).ok().and_then(|mut draft| draft.file().metadata().ok());
        let opened = opened.map_or(i128::MIN, |data| Stamp::of(&data).modified);
        Self { file, opened, known, fresh: Mutex::default(), folder: OnceLock::new() }
    }

    /// The digest of a regular file, and its content as it was then. `progress` is told of bytes as they
    /// are read.
    pub fn digest(&self, path: &Path, progress: &dyn Fn(u64)) -> Result<(Digest, Content), FileError> {
        self.digest_of(path, Stamp::of(&std::fs::metadata(path).at("read", path)?), progress)
    }

    /// The same of a file that was looked at just now.
    pub fn digest_of(
        &self,
        path: &Path,
        stamp: Stamp,
        progress: &dyn Fn(u64),
    ) -> Result<(Digest, Content), FileError> {
        let absolute = self.absolute(path)?;
        let content = Content::file(path, stamp.size);
        if let Some((_, digest)) = self.known.get(&absolute).filter(|(known, _)| *known == stamp) {
            return Ok((*digest, content));
        }
        let digest = content.digest_with(progress).at("read", path)?;
        if stamp == Stamp::of(&std::fs::metadata(path).at("read", path)?) {
            let mut fresh = locked(&self.fresh);
            fresh.files.insert(absolute, (stamp, digest));
            return Ok((digest, content));
        }
        let error = io::Error::new(io::ErrorKind::InvalidData, "it changed while it was read");
        Err(error).at("read", path)
    }

    /// As [`std::path::absolute`], but without asking for the working directory each time.
    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError> {
        if path.is_absolute() || path.starts_with("..") || path.starts_with(".") {
            return std::path::absolute(path).at("find", path);
        }
        let folder = self.folder.get_or_init(|| std::path::absolute(".").ok());
        match folder {
            Some(folder) => Ok(folder.join(path)),
            None => std::path::absolute(path).at("find", path),
        }
    }

    /// Writes what was learnt.
    pub fn save(&self) -> Result<(), FileError> {
        let mut fresh = locked(&self.fresh);
        if fresh.files.len() == fresh.written {
            return Ok(());
        }
        fresh.written = fresh.files.len();
        let fresh = &fresh.files;
        let mut draft = Draft::new(fsio::parent(&self.file))?;
        let mut all: Vec<_> =
            self.known.iter().filter(|(path, _)| !fresh.contains_key(*path)).chain(fresh.iter()).collect();
        all.retain(|(_, (stamp, _))| self.opened.saturating_sub(stamp.modified.max(stamp.changed)) > RACY);
        all.sort_by_key(|(path, _)| *path);
        let mut text = format!("{HEADER}\n").into_bytes();
        for (path, (stamp, digest)) in all {
            let Some(path) = path.to_str().filter(|path| !path.contains('\n')) else { continue };
            let Stamp { size, inode, modified, changed } = stamp;
            let _ = writeln!(text, "{digest} {size} {inode} {modified} {changed} {path}"); // to memory
        }
        draft.file().write_all(&text).at("write", &self.file)?;
        draft.name(&self.file)
    }
}

fn parse(bytes: &[u8]) -> Option<HashMap<PathBuf, (Stamp, Digest)>> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next()? != HEADER {
        return None;
    }
    lines
        .map(|line| {
            let mut words = line.splitn(6, ' ');
            let digest = words.next()?.parse().ok()?;
            let stamp = Stamp {
                size: words.next()?.parse().ok()?,
                inode: words.next()?.parse().ok()?,
                modified: words.next()?.parse().ok()?,
                changed: words.next()?.parse().ok()?,
            };
            Some((PathBuf::from(words.next()?), (stamp, digest)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, FileTimes};
    use std::time::{Duration, SystemTime};

    fn cached(cache: &Path) -> usize {
        StatCache::open(cache.to_owned()).known.len()
    }

    #[test]
    fn a_young_file_is_hashed_again_and_a_changed_one_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let (file, cache_file) = (directory.path().join("file"), directory.path().join("cache"));
        fs::write(&file, b"one").unwrap();
        let cache = StatCache::open(cache_file.clone());
        assert_eq!(cache.digest(&file, &|_| {}).unwrap().0, Digest::of(b"one"));
        cache.save().unwrap();
        assert_eq!(cached(&cache_file), 0, "a file as young as this is not trusted");
        fs::write(&file, b"two").unwrap();
        assert_eq!(StatCache::open(cache_file).digest(&file, &|_| {}).unwrap().0, Digest::of(b"two"));
    }

    #[test]
    fn the_time_of_change_counts_even_where_the_modification_time_was_set_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"one").unwrap();
        let old = SystemTime::now() - Duration::from_secs(1000);
        fs::File::open(&file).unwrap().set_times(FileTimes::new().set_modified(old)).unwrap();
        let one = Stamp::of(&fs::metadata(&file).unwrap());
        assert!(one.changed > one.modified);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        for text in ["", "other\n", "talosmith stat cache 1\nnonsense\n"] {
            fs::write(&cache, text).unwrap();
            assert_eq!(cached(&cache), 0);
        }
        let digest = Digest::of(b"");
        fs::write(&cache, format!("{HEADER}\n{digest} 1 2 3 4 /a path\n")).unwrap();
        assert_eq!(cached(&cache), 1);
    }
}
