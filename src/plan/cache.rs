//! The cache on disk: how large it is, what may go, and whether its blobs are what their names say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rayon::prelude::*;
use serde::Serialize;

use super::error::{Error, Problem};
use super::run::Context;
use super::step::Outputs;
use crate::base::fsio::{self, At as _};
use crate::base::{Content, Digest, locked};
use crate::image::store::blob_path;

/// A record of a step names a few blobs; a larger file is none.
const RECORD_LIMIT: u64 = 1 << 20;

/// What a part of the cache comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// What all of it comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Blobs that were pulled or made.
    pub blobs: Size,
    /// Compressed blocks of earlier runs.
    pub blocks: Size,
    /// Records of steps and of what steered them.
    pub records: Size,
    /// What is in the making, or was left behind by a process that was killed.
    pub drafts: Size,
}

impl Sizes {
    /// All bytes.
    pub fn bytes(&self) -> u64 {
        [self.blobs, self.blocks, self.records, self.drafts].iter().map(|size| size.bytes).sum()
    }
}

/// A file of the cache.
#[derive(Debug, Clone)]
struct File {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

/// All files below a folder of the cache. What goes away meanwhile is not there.
fn files(folder: &Path) -> Vec<File> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                waiting.push(entry.path());
            } else {
                let used = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(File { path: entry.path(), size: data.len(), used });
            }
        }
    }
    found
}

fn size(folder: &Path) -> Size {
    let files = files(folder);
    Size { files: files.len() as u64, bytes: files.iter().map(|file| file.size).sum() }
}

/// How large the cache is.
pub fn sizes(context: &Context) -> Sizes {
    let at = |name: &str| size(&context.store.root().join(name));
    let (steps, history) = (at("steps"), at("history"));
    Sizes {
        blobs: at("blobs"),
        blocks: at("blocks"),
        records: Size { files: steps.files + history.files, bytes: steps.bytes + history.bytes },
        drafts: at("drafts"),
    }
}

/// What was taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// What went.
    pub removed: Size,
    /// Bytes that are left.
    pub left: u64,
}

/// Takes away what was used longest ago, until at most `keep` bytes are left. A blob counts as used when a step that
/// gave it was last asked for. Nobody else may use the cache meanwhile: that is an error.
pub fn prune(context: &Context, keep: u64) -> Result<Pruned, Error> {
    let root = context.store.root();
    let _alone = context.store.alone().ok_or_else(|| in_use(root))?;
    let mut left = sizes(context).bytes();
    let mut removed = Size::default();
    let mut remove = |file: &File, left: &mut u64| -> Result<(), Error> {
        fs::remove_file(&file.path).at("remove", &file.path)?;
        removed = Size { files: removed.files + 1, bytes: removed.bytes + file.size };
        *left = left.saturating_sub(file.size);
        Ok(())
    };
    let records = records(root);
    let mut last_used: BTreeMap<Digest, SystemTime> = BTreeMap::new();
    for (file, outputs) in &records {
        for blob in outputs.blobs.values() {
            let used = last_used.entry(blob.digest).or_insert(file.used);
            *used = (*used).max(file.used);
        }
    }
    let mut waiting: Vec<(File, Option<Digest>)> = Vec::new();
    for mut file in files(&root.join("blobs")) {
        let digest = digest_of(&file.path);
        if let Some(used) = digest.and_then(|digest| last_used.get(&digest)) {
            file.used = file.used.max(*used);
        }
        waiting.push((file, digest));
    }
    // Packs of blocks only grow: the whole of one goes.
    waiting.extend(files(&root.join("blocks")).into_iter().map(|file| (file, None)));
    waiting.sort_by(|(a, _), (b, _)| (a.used, &a.path).cmp(&(b.used, &b.path)));
    let mut gone = BTreeSet::new();
    for (file, digest) in &waiting {
        if left <= keep {
            break;
        }
        remove(file, &mut left)?;
        gone.extend(*digest);
    }
    for (file, outputs) in &records {
        if outputs.blobs.values().any(|blob| gone.contains(&blob.digest)) {
            remove(file, &mut left)?;
        }
    }
    let mut history = files(&root.join("history"));
    history.sort_by_key(|file| file.used);
    for file in &history {
        if left <= keep {
            break;
        }
        remove(file, &mut left)?;
    }
    Ok(Pruned { removed, left })
}

fn in_use(root: &Path) -> Error {
    Problem::new(format!("the cache `{}` is in use", root.display()))
        .hint("wait until no other talosmith runs with it")
        .into()
}

/// The records of steps, with what they name.
fn records(root: &Path) -> Vec<(File, Outputs)> {
    let read = |file: File| {
        let bytes = fsio::read(&file.path, RECORD_LIMIT).ok()?;
        Some((file, serde_json::from_slice(&bytes).ok()?))
    };
    files(&root.join("steps")).into_iter().filter_map(read).collect()
}

/// The digest that a blob's path stands for.
fn digest_of(path: &Path) -> Option<Digest> {
    let (hex, algorithm) = (path.file_name()?.to_str()?, path.parent()?.file_name()?.to_str()?);
    format!("{algorithm}:{hex}").parse().ok()
}

/// What a look at every byte has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Blobs that were read.
    pub blobs: Size,
    /// Blobs that were not what their names say. They are removed: what needs them makes or fetches them anew.
    pub damaged: Vec<String>,
    /// Records that named a blob which is not there. They are removed, too.
    pub forgotten: u64,
}

/// Reads every blob and holds it against its name.
pub fn verify(context: &Context) -> Result<Verified, Error> {
    let root = context.store.root();
    let blobs = files(&root.join("blobs"));
    let total = blobs.iter().map(|file| file.size).sum();
    let activity = context.events.begin("verify", root.display().to_string(), Some(total));
    let damaged = Mutex::new(Vec::new());
    let look = |file: &File| -> Result<(), Error> {
        let content = Content::file(&file.path, file.size);
        let expected = digest_of(&file.path);
        let found = expected.map(|expected| -> Result<Digest, Error> {
            let mut hasher = expected.hasher();
            let mut reader = content.open().at("read", &file.path)?;
            std::io::copy(&mut reader, &mut hasher).at("read", &file.path)?;
            Ok(hasher.finish())
        });
        if found.transpose()? != expected || expected.is_none() {
            fs::remove_file(&file.path).at("remove", &file.path)?;
            let name = expected.map_or_else(|| file.path.display().to_string(), |digest| digest.to_string());
            locked(&damaged).push(name);
        }
        activity.advance(file.size);
        Ok(())
    };
    context.workers.install(|| blobs.par_iter().try_for_each(look))?;
    let mut forgotten = 0;
    for (file, outputs) in records(root) {
        let whole = |blob: &crate::image::Descriptor| {
            fs::metadata(root.join(blob_path(&blob.digest))).is_ok_and(|data| data.len() == blob.size)
        };
        if !outputs.blobs.values().all(whole) {
            fsio::remove(&file.path);
            forgotten += 1;
        }
    }
    let mut damaged = damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
    damaged.sort();
    activity.finish("");
    Ok(Verified { blobs: Size { files: blobs.len() as u64, bytes: total }, damaged, forgotten })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Events, Workers};
    use crate::image::registry::{Client, Options};
    use crate::image::{Descriptor, Store};

    fn context(folder: &Path) -> Context {
        Context::new(
            Store::open(folder).unwrap(),
            Workers::new(1),
            Client::new(Options::default(), Events::default()),
            Events::default(),
        )
    }

    /// A blob that a step gave, which was used so many seconds after the beginning.
    fn made(context: &Context, text: &str, used: u64) -> Descriptor {
        let (digest, content) = context.store.put(text.as_bytes()).unwrap();
        let blob = Descriptor::new("text/plain", digest, content.len());
        let outputs = Outputs::default().with_blob("text", blob.clone());
        context.store.record_step(&digest, &serde_json::to_vec(&outputs).unwrap()).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(used);
        for file in files(context.store.root()) {
            let own = file.path.file_name().is_some_and(|name| name.to_str() == Some(digest.hex().as_str()));
            if own {
                let times = fs::FileTimes::new().set_modified(at);
                fs::File::open(&file.path).unwrap().set_times(times).unwrap();
            }
        }
        blob
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_with_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        let texts = ["a".repeat(1000), "b".repeat(1000), "c".repeat(1000)];
        let blobs: Vec<_> =
            texts.iter().zip([20, 10, 30]).map(|(text, used)| made(&context, text, used)).collect();
        let whole = sizes(&context);
        assert_eq!((whole.blobs, whole.records.files), (Size { files: 3, bytes: 3000 }, 3));
        let pruned = prune(&context, whole.bytes() - 1).unwrap();
        assert_eq!((pruned.removed.files, pruned.left), (2, sizes(&context).bytes()));
        let there = |blob: &Descriptor| context.store.blob(&blob.digest, blob.size).is_some();
        assert!(there(&blobs[0]) && !there(&blobs[1]) && there(&blobs[2]));
        assert!(
            context.store.step(&blobs[1].digest).is_none() && context.store.step(&blobs[0].digest).is_some()
        );
        prune(&context, 0).unwrap();
        assert_eq!(sizes(&context), Sizes::default());
    }

    #[test]
    fn a_cache_in_use_is_not_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        made(&context, "a", 1);
        let other = Store::open(folder.path()).unwrap();
        assert!(prune(&context, 0).is_err());
        drop(other);
        assert_eq!(prune(&context, 0).unwrap().left, 0);
    }

    #[test]
    fn a_damaged_blob_is_named_and_goes_with_what_counts_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        let (good, bad) = (made(&context, "good", 1), made(&context, "bad!", 1));
        assert_eq!(verify(&context).unwrap().damaged, Vec::<String>::new());
        fs::write(folder.path().join(blob_path(&bad.digest)), "bat!").unwrap();
        let found = verify(&context).unwrap();
        assert_eq!((found.damaged, found.forgotten, found.blobs.files), (vec![bad.digest.to_string()], 1, 2));
        assert!(
            context.store.blob(&good.digest, 4).is_some() && context.store.blob(&bad.digest, 4).is_none()
        );
    }
}
