//! The store's compressed blocks: packs that only grow, each with an index of rows of one size.
//!
//! A process that adds blocks takes a pack for itself by a lock, or begins another one; everybody reads
//! all of them. Nothing here is synced: a row and the block that it names carry checks of their own, and
//! what does not pass them is not there. So a crash, a cut or a flipped bit costs one compression.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::base::{BlockCache, Digest, Turns, locked};

/// Key, first bytes of the block's SHA-256, offset, length, CRC of all that.
const ROW: usize = 64;
/// More packs than this are not looked at: as many writers are not at work at once.
const PACKS: usize = 64;
/// A longer block is none: one of squashfs has 1 MiB at most.
const BLOCK_MAX: u32 = 1 << 20;

type Key = [u8; 32];

#[derive(Debug, Clone, Copy)]
struct Place {
    pack: usize,
    offset: u64,
    len: u32,
    check: [u8; 16],
}

/// See the module.
#[derive(Debug)]
pub(super) struct Blocks {
    folder: PathBuf,
    places: RwLock<HashMap<Key, Place>>,
    packs: RwLock<HashMap<usize, Arc<File>>>,
    writer: Mutex<Writer>,
    /// Blocks that are being made.
    turns: Turns<Key>,
}

/// The pack that this process adds to.
#[derive(Debug)]
enum Writer {
    /// Nothing was added yet.
    Idle,
    Open {
        number: usize,
        pack: Arc<File>,
        index: File,
        end: u64,
    },
    /// The disk is full, or the folder cannot be written: no more is tried.
    Gone,
}

impl Blocks {
    pub(super) fn open(folder: &Path) -> Self {
        let blocks = Self {
            folder: folder.to_owned(),
            places: RwLock::default(),
            packs: RwLock::default(),
            writer: Mutex::new(Writer::Idle),
            turns: Turns::default(),
        };
        for number in 0..PACKS {
            let Ok(rows) = fs::read(blocks.path(number, "index")) else { break };
            let Ok(pack) = File::open(blocks.path(number, "pack")) else { continue };
            let mut places = blocks.places.write().unwrap_or_else(PoisonError::into_inner);
            places.extend(rows.as_chunks::<ROW>().0.iter().filter_map(|row| decode(row, number)));
            blocks.packs.write().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(pack));
        }
        blocks
    }

    fn path(&self, number: usize, kind: &str) -> PathBuf {
        self.folder.join(format!("{number}.{kind}"))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        locked(&self.writer)
    }

    /// The first pack that no other process adds to.
    fn begin(&self) -> io::Result<Writer> {
        fs::create_dir_all(&self.folder)?;
        let open =
            |path: PathBuf| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        for number in 0..PACKS {
            let index = open(self.path(number, "index"))?;
            if index.try_lock().is_err() {
                continue;
            }
            // A row that was cut when its writer ended would shift all later ones.
            let rows = index.metadata()?.len() / ROW as u64 * ROW as u64;
            index.set_len(rows)?;
            let pack = Arc::new(open(self.path(number, "pack"))?);
            let end = pack.metadata()?.len();
            let mut packs = self.packs.write().unwrap_or_else(PoisonError::into_inner);
            packs.insert(number, Arc::clone(&pack));
            return Ok(Writer::Open { number, pack, index, end });
        }
        Ok(Writer::Gone)
    }

    fn add(&self, key: Key, block: &[u8]) -> io::Result<()> {
        let mut writer = self.writer();
        if matches!(*writer, Writer::Idle) {
            *writer = Writer::Gone; // unless it can begin
            *writer = self.begin()?;
        }
        let Writer::Open { number, pack, index, end } = &mut *writer else { return Ok(()) };
        let place = Place { pack: *number, offset: *end, len: block.len() as u32, check: check(block) };
        pack.write_all_at(block, *end)?;
        *end += block.len() as u64;
        // The lock is ours alone, so the end of the file is where the last row ended.
        let at = index.metadata()?.len();
        index.write_all_at(&encode(&key, &place), at)?;
        index.flush()?;
        self.places.write().unwrap_or_else(PoisonError::into_inner).insert(key, place);
        Ok(())
    }
}

impl BlockCache for Blocks {
    fn once(&self, key: &Digest, make: &mut dyn FnMut() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        let Some(own) = short(key) else { return make() };
        if let Some(block) = self.get(key) {
            return Ok(block);
        }
        let _turn = self.turns.take(own);
        // It may be there by now, or its maker may have failed.
        if let Some(block) = self.get(key) {
            return Ok(block);
        }
        let block = make()?;
        self.put(key, &block);
        Ok(block)
    }

    fn get(&self, key: &Digest) -> Option<Vec<u8>> {
        let key = short(key)?;
        let place = *self.places.read().unwrap_or_else(PoisonError::into_inner).get(&key)?;
        let pack = self.packs.read().unwrap_or_else(PoisonError::into_inner).get(&place.pack).cloned()?;
        let mut block = vec![0; place.len as usize]; // at most BLOCK_MAX: see `decode`
        pack.read_exact_at(&mut block, place.offset).ok()?;
        (check(&block) == place.check).then_some(block)
    }

    fn put(&self, key: &Digest, block: &[u8]) {
        if let Some(key) = short(key).filter(|_| block.len() <= BLOCK_MAX as usize)
            && self.add(key, block).is_err()
        {
            *self.writer() = Writer::Gone;
        }
    }
}

fn short(key: &Digest) -> Option<Key> {
    match key {
        Digest::Sha256(key) => Some(*key),
        Digest::Sha512(_) => None,
    }
}

fn check(block: &[u8]) -> [u8; 16] {
    let mut check = [0; 16];
    if let Digest::Sha256(digest) = Digest::of(block) {
        check.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    }
    check
}

fn encode(key: &Key, place: &Place) -> [u8; ROW] {
    let fields = [&key[..], &place.check, &place.offset.to_le_bytes(), &place.len.to_le_bytes()];
    let mut row = [0; ROW];
    let bytes = fields.iter().flat_map(|field| field.iter());
    row.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let sum = crc(&row);
    row.iter_mut().rev().zip(sum.iter().rev()).for_each(|(to, from)| *to = *from);
    row
}

fn decode(row: &[u8; ROW], pack: usize) -> Option<(Key, Place)> {
    let (key, rest) = row.split_first_chunk::<32>()?;
    let (check, rest) = rest.split_first_chunk::<16>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (len, sum) = rest.split_first_chunk::<4>()?;
    let (offset, len) = (u64::from_le_bytes(*offset), u32::from_le_bytes(*len));
    (crc(row) == sum && len <= BLOCK_MAX).then_some((*key, Place { pack, offset, len, check: *check }))
}

/// Of a row without its own place.
fn crc(row: &[u8; ROW]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(&row[..ROW - 4]);
    crc.sum().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    #[test]
    fn blocks_are_found_by_later_runs_and_by_runs_beside() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Blocks::open(folder.path()), Blocks::open(folder.path()));
        one.put(&key("a"), b"first");
        other.put(&key("b"), b"second");
        one.put(&key("c"), b"");
        assert_eq!(one.get(&key("a")).unwrap(), b"first");
        drop((one, other));
        let later = Blocks::open(folder.path());
        assert_eq!(later.get(&key("a")).unwrap(), b"first");
        assert_eq!(later.get(&key("b")).unwrap(), b"second");
        assert_eq!(later.get(&key("c")).unwrap(), b"");
        assert_eq!(later.get(&key("d")), None);
    }

    #[test]
    fn what_is_damaged_or_cut_is_not_there_and_the_rest_is() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(folder.path());
        blocks.put(&key("a"), b"first");
        blocks.put(&key("b"), b"second");
        drop(blocks);
        let (pack, index) = (folder.path().join("0.pack"), folder.path().join("0.index"));
        let mut bytes = fs::read(&pack).unwrap();
        bytes[2] ^= 1;
        fs::write(&pack, &bytes).unwrap();
        let mut rows = fs::read(&index).unwrap();
        rows.extend_from_slice(&[7; 30]);
        fs::write(&index, &rows).unwrap();
        let blocks = Blocks::open(folder.path());
        assert_eq!((blocks.get(&key("a")), blocks.get(&key("b")).unwrap()), (None, b"second".to_vec()));
        blocks.put(&key("a"), b"first");
        drop(blocks);
        let blocks = Blocks::open(folder.path());
        assert_eq!(blocks.get(&key("a")).unwrap(), b"first");
        rows[70] ^= 1;
        fs::write(&index, &rows).unwrap();
        assert_eq!(Blocks::open(folder.path()).get(&key("b")), None);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_empty_cache() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let blocks = Blocks::open(&file.path().join("below a file"));
        blocks.put(&key("a"), b"first");
        assert_eq!(blocks.get(&key("a")), None);
    }

    #[test]
    fn what_many_want_at_once_is_made_once_and_anew_if_its_maker_fails() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(folder.path());
        let (made, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let block = blocks.once(&key("a"), &mut || {
                        if failed.fetch_add(1, Ordering::SeqCst) == 0 {
                            return Err(io::ErrorKind::Other.into());
                        }
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(b"block".to_vec())
                    });
                    assert!(block.is_ok_and(|block| block == b"block") || failed.load(Ordering::SeqCst) > 0);
                });
            }
        });
        assert_eq!((made.load(Ordering::SeqCst), failed.load(Ordering::SeqCst)), (1, 2));
    }
}
