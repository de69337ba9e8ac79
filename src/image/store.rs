//! The blob store: an OCI layout on disk that holds everything that was pulled or made.
//!
//! Invariants. A blob's name is its digest and is given only when the blob is whole and synced, so a
//! crash at any instant leaves a valid store; two processes may write the same blob, the second
//! rename changes nothing. What is read is checked for its size always, and for its digest where it
//! leaves the machine. Records and packs lie beside `blobs/`, outside `index.json`.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::blocks::Blocks;
use crate::base::fsio::{self, At as _, Draft, FileError, TempFolder};
use crate::base::{AsideHasher, BlockCache, Content, Digest, Growing, Growth};

/// The file that marks an OCI layout, and its content (image-spec, image-layout.md).
pub const LAYOUT_FILE: &str = "oci-layout";
/// See [`LAYOUT_FILE`].
pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// An index without manifests: what stands in a store, whose contents have no names.
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// The path of a blob below a layout's root.
pub fn blob_path(digest: &Digest) -> PathBuf {
    Path::new("blobs").join(digest.algorithm()).join(digest.hex())
}

/// A store on disk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    blocks: Arc<OnceLock<Arc<Blocks>>>,
    /// Held, shared with others, for as long as the store is used. A file system without locks gives none.
    lease: Option<Arc<fs::File>>,
}

/// Nobody else uses the store for as long as this is held.
#[derive(Debug)]
pub struct Alone(Arc<fs::File>);

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.lock_shared(); // as it was before
    }
}

impl Store {
    /// Opens the store at `root`, making it if it is not there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, FileError> {
        let root = root.into();
        // Folders for drafts are absolute: what lies in one is known by where it begins.
        let root = std::path::absolute(&root).unwrap_or(root);
        let mut store = Self { root, blocks: Arc::default(), lease: None };
        if !store.root.join(LAYOUT_FILE).exists() {
            for folder in ["blobs/sha256", "steps", "drafts"] {
                fsio::create_dir(&store.root.join(folder))?;
            }
            fsio::write(&store.root.join("index.json"), EMPTY_INDEX)?;
            // Last, so that a store with this file is complete.
            fsio::write(&store.root.join(LAYOUT_FILE), LAYOUT)?;
        }
        store.lease = store.lease();
        store.sweep();
        Ok(store)
    }

    /// Waits for who takes away what nobody uses.
    fn lease(&self) -> Option<Arc<fs::File>> {
        let path = self.root.join("lease");
        let file = fs::File::options().create(true).append(true).open(path).ok()?;
        file.lock_shared().ok()?;
        Some(Arc::new(file))
    }

    /// The store for oneself; nothing if another process, or another part of this one, has it open.
    pub fn alone(&self) -> Option<Alone> {
        let lease = self.lease.as_ref()?;
        lease.try_lock().ok()?;
        Some(Alone(Arc::clone(lease)))
    }

    /// Removes drafts that a process left behind that was killed: their lock is free, and they are not
    /// so young that their owner may not have locked them yet. What cannot be removed harms nobody.
    fn sweep(&self) {
        use std::os::unix::fs::MetadataExt as _;
        /// Seconds that a draft is left alone, by the file system's own clock.
        const YOUNG: i64 = 60;
        let left: Vec<_> = fs::read_dir(self.root.join("drafts")).into_iter().flatten().flatten().collect();
        if left.is_empty() {
            return;
        }
        let now = self.draft().ok().and_then(|mut draft| draft.file().metadata().ok());
        let Some(now) = now.map(|data| data.mtime()) else { return };
        for entry in left {
            let old = entry.metadata().is_ok_and(|data| now - data.mtime() > YOUNG);
            if old && fs::File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
                fsio::remove(&entry.path());
            }
        }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The blob, if it is here with this size. One of another size is damaged and counts as absent.
    pub fn blob(&self, digest: &Digest, size: u64) -> Option<Content> {
        let path = self.root.join(blob_path(digest));
        let there = fs::metadata(&path).is_ok_and(|data| data.is_file() && data.len() == size);
        there.then(|| Content::file(path, size))
    }

    /// Starts a blob.
    pub fn writer(&self) -> Result<BlobWriter, FileError> {
        Ok(BlobWriter {
            draft: Draft::new(&self.root.join("drafts"))?,
            hasher: AsideHasher::default(),
            size: 0,
            growth: Growth::new(),
            store: self.clone(),
        })
    }

    /// Stores `bytes`.
    pub fn put(&self, bytes: &[u8]) -> Result<(Digest, Content), FileError> {
        let digest = Digest::of(bytes);
        if let Some(content) = self.blob(&digest, bytes.len() as u64) {
            return Ok((digest, content));
        }
        let mut writer = self.writer()?;
        writer.write_all(bytes).at("write", self.root.join(blob_path(&digest)))?;
        writer.finish()
    }

    /// Stores everything that `reader` gives.
    pub fn put_reader(&self, reader: &mut dyn Read) -> Result<(Digest, Content), FileError> {
        let mut writer = self.writer()?;
        io::copy(reader, &mut writer).at("write", writer.draft.path())?;
        writer.finish()
    }

    /// Takes a draft whose digest the caller has checked. It is synced here and then named.
    pub fn adopt(&self, mut draft: Draft, digest: &Digest) -> Result<Content, FileError> {
        let size = draft.file().metadata().at("read", draft.path())?.len();
        let path = self.root.join(blob_path(digest));
        draft.sync()?;
        if digest.algorithm() != "sha256" {
            fsio::create_dir(fsio::parent(&path))?; // sha256's is there from the beginning
        }
        draft.name(&path)?;
        Ok(Content::file(path, size))
    }

    /// A draft on the store's file system.
    pub fn draft(&self) -> Result<Draft, FileError> {
        Draft::new(&self.root.join("drafts"))
    }

    /// A folder on the store's file system, for as long as it is held.
    pub fn temp_folder(&self) -> Result<TempFolder, FileError> {
        TempFolder::new(&self.root.join("drafts"))
    }

    /// The compressed blocks of earlier runs. Read when it is first asked for.
    pub fn blocks(&self) -> Arc<dyn BlockCache> {
        Arc::clone(self.blocks.get_or_init(|| Arc::new(Blocks::open(&self.root.join("blocks"))))) as _
    }

    /// The record of a step that ran before, by the step's key.
    pub fn step(&self, key: &Digest) -> Option<Vec<u8>> {
        /// A record names a few blobs; a larger file is no record.
        const LIMIT: u64 = 1 << 20;
        fsio::read(&self.record_path("steps", key), LIMIT).ok()
    }

    /// Notes that a record was of use: what was longest of none goes first.
    pub fn used_step(&self, key: &Digest) {
        if let Ok(file) = fs::File::open(self.record_path("steps", key)) {
            let _ = fsio::touch(&file); // it is then older than it is
        }
    }

    /// Records what a step gave. Not synced: a record that is lost or cut costs one run of the step.
    pub fn record_step(&self, key: &Digest, record: &[u8]) -> Result<(), FileError> {
        self.record(&self.record_path("steps", key), record)
    }

    /// What was kept of earlier runs, by whatever it is about: what steered a step when it ran last, what was pushed.
    pub fn history(&self, key: &Digest) -> Option<Vec<u8>> {
        /// A list of some hundred thousand files.
        const LIMIT: u64 = 64 << 20;
        fsio::read(&self.record_path("history", key), LIMIT).ok()
    }

    /// Keeps that. Not synced, either.
    pub fn keep_history(&self, key: &Digest, history: &[u8]) -> Result<(), FileError> {
        self.record(&self.record_path("history", key), history)
    }

    fn record(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        fsio::create_dir(fsio::parent(path))?;
        let mut draft = self.draft()?;
        draft.file().write_all(bytes).at("write", path)?;
        draft.name(path)
    }

    fn record_path(&self, kind: &str, key: &Digest) -> PathBuf {
        let hex = key.hex();
        let (folder, _) = hex.split_at(2); // a digest has 64 digits or more
        self.root.join(kind).join(folder).join(&hex)
    }
}

/// A blob in the making.
#[derive(Debug)]
pub struct BlobWriter {
    draft: Draft,
    hasher: AsideHasher,
    size: u64,
    growth: Growth,
    store: Store,
}

impl BlobWriter {
    /// For who reads it while it is written.
    pub fn growing(&self) -> Growing {
        self.growth.growing(self.draft.path())
    }

    /// Syncs the blob and names it by its digest.
    pub fn finish(self) -> Result<(Digest, Content), FileError> {
        drop(self.growth); // who reads it need not wait until it is synced
        let digest = self.hasher.finish();
        if let Some(content) = self.store.blob(&digest, self.size) {
            return Ok((digest, content)); // it was here; the draft is dropped
        }
        let content = self.store.adopt(self.draft, &digest)?;
        Ok((digest, content))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.draft.file().write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        self.growth.reach(self.size);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_found_by_its_digest_and_a_cut_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let (digest, content) = store.put(b"abc").unwrap();
        assert_eq!(digest, Digest::of(b"abc"));
        assert_eq!(store.blob(&digest, 3).unwrap().read(3).unwrap(), b"abc");
        fs::write(content.whole_file().unwrap(), b"ab").unwrap();
        assert!(store.blob(&digest, 3).is_none());
        // Made again, it is whole again.
        store.put(b"abc").unwrap();
        assert!(store.blob(&digest, 3).is_some());
        assert_eq!(fs::read_dir(store.root().join("drafts")).unwrap().count(), 0);
    }

    #[test]
    fn drafts_of_the_dead_are_swept_and_those_of_the_living_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut mine = store.draft().unwrap();
        let dead = directory.path().join("drafts/.talosmith-dead");
        fs::write(&dead, "half").unwrap();
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let times = fs::FileTimes::new().set_modified(long_ago);
        mine.file().set_times(times).unwrap();
        fs::File::options().write(true).open(&dead).unwrap().set_times(times).unwrap();
        Store::open(directory.path()).unwrap();
        assert!(!dead.exists() && mine.path().exists());
    }

    #[test]
    fn a_record_is_kept_by_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let key = Digest::of(b"key");
        assert_eq!(store.step(&key), None);
        store.record_step(&key, b"record").unwrap();
        assert_eq!(store.step(&key).unwrap(), b"record");
    }
}
