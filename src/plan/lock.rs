//! `talosmith.lock`: what the references of a spec meant when it was built, so that it is built of the same again.
//!
//! Every image in a registry is there by digest, size and platforms, whoever asked for it: the spec, a catalogue, a
//! package's dependencies. Files on this machine are not: they are under the eyes of whoever builds, and `result.json`
//! has their digests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Error, Problem};
use super::spec::Loaded;
use crate::base::fsio::{self, FileError};
use crate::base::{Digest, Epoch};
use crate::image::RegistryReference;
use crate::image::pins::{Pin, PinnedSource, Seen};

/// The version of the form.
const VERSION: u32 = 1;
/// The largest lock that is read; a thousand images come to a third of a megabyte.
pub(super) const LIMIT: u64 = 16 << 20;

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// Of the spec's bytes.
    pub spec: Digest,
    /// `SOURCE_DATE_EPOCH`, where it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Images by the reference that was written.
    pub images: Vec<LockedImage>,
    /// Files that packages fetch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<PinnedSource>,
}

/// What a reference means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedImage {
    /// As it was written.
    pub reference: String,
    /// What it was found to mean.
    #[serde(flatten)]
    pub pin: Pin,
}

impl Lock {
    /// Where the lock of a spec is: beside it, with another ending.
    pub fn file_of(spec: &Path) -> PathBuf {
        spec.with_extension("lock")
    }

    /// Reads a lock; nothing, if there is none.
    pub fn read(file: &Path) -> Result<Option<Self>, Error> {
        let bytes = match fsio::read(file, LIMIT) {
            Ok(bytes) => bytes,
            Err(_) if !file.exists() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Self::parse(&bytes, &file.display().to_string()).map(Some)
    }

    /// Reads the text of a lock.
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, Error> {
        let broken = |why: String| {
            Problem::new(format!("`{origin}` is no lock that can be read"))
                .detail(why)
                .hint("restore it, or move it away and build again: everything is then looked up anew")
        };
        let lock: Self = serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        if lock.version != VERSION {
            return Err(broken(format!("its version is {}, and {VERSION} is known", lock.version)).into());
        }
        for image in &lock.images {
            let reference: RegistryReference =
                image.reference.parse().map_err(|error| broken(format!("`{}`: {error}", image.reference)))?;
            if reference.digest.is_some_and(|own| own != image.pin.digest) {
                return Err(
                    broken(format!("`{}` is said to be {}", image.reference, image.pin.digest)).into()
                );
            }
        }
        Ok(lock)
    }

    /// The lock of what a build has found out.
    pub fn of(checksum: Digest, epoch: Option<Epoch>, seen: &Seen) -> Self {
        let images = seen
            .images
            .iter()
            .map(|(reference, pin)| LockedImage { reference: reference.to_string(), pin: pin.clone() });
        Self {
            version: VERSION,
            spec: checksum,
            epoch: epoch.map(|epoch| epoch.seconds()),
            images: images.collect(),
            sources: seen.sources.values().cloned().collect(),
        }
    }

    /// What is pinned, but for the names in `moving`: all of it, if that has no names.
    pub fn pins(&self, moving: Option<&[String]>) -> Result<BTreeMap<RegistryReference, Pin>, Error> {
        let moves = |reference: &RegistryReference| match moving {
            None => false,
            Some([]) => true,
            Some(names) => names.iter().any(|name| is_named(reference, name)),
        };
        let mut pins = BTreeMap::new();
        let mut found = vec![false; moving.map_or(0, <[String]>::len)];
        for image in &self.images {
            let Ok(reference) = image.reference.parse::<RegistryReference>() else { continue };
            for (name, found) in moving.into_iter().flatten().zip(&mut found) {
                *found |= is_named(&reference, name);
            }
            if !moves(&reference) {
                pins.insert(reference, image.pin.clone());
            }
        }
        match moving.into_iter().flatten().zip(found).find(|(_, found)| !found) {
            None => Ok(pins),
            Some((name, _)) => Err(Problem::usage(format!("the lock has no image `{name}`"))
                .hint("a name is a whole reference, one without its tag, or its last part")
                .into()),
        }
    }

    /// Refuses a spec that is not the one that was locked.
    pub fn holds_for(&self, loaded: &Loaded) -> Result<(), Error> {
        if self.spec == loaded.checksum {
            return Ok(());
        }
        Err(Problem::new(format!("`{}` is not the one that was locked", loaded.file.display()))
            .detail(format!("expected: {}", self.spec))
            .detail(format!("found: {}", loaded.checksum))
            .hint("build without `--locked`, look at what the lock says now, and keep it with the spec")
            .into())
    }

    /// Its bytes.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Writes it, unless the file says the same already. Gives whether it was written.
    pub fn write(&self, file: &Path) -> Result<bool, FileError> {
        let text = self.to_text();
        if fsio::read(file, LIMIT).is_ok_and(|there| there == text) {
            return Ok(false);
        }
        fsio::write(file, &text)?;
        Ok(true)
    }

    /// How this differs from the lock before it, a line for each image.
    pub fn changes(&self, before: &Self) -> Vec<String> {
        let by_name = |lock: &Self| -> BTreeMap<String, Digest> {
            lock.images.iter().map(|image| (image.reference.clone(), image.pin.digest)).collect()
        };
        let (old, new) = (by_name(before), by_name(self));
        let mut lines = Vec::new();
        for (name, digest) in &new {
            match old.get(name) {
                None => lines.push(format!("{name}: new, {digest}")),
                Some(before) if before != digest => lines.push(format!("{name}: {before} -> {digest}")),
                Some(_) => {}
            }
        }
        lines.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name}: gone")));
        lines
    }
}

/// Whether `name` is the reference, its repository, or the last part of that.
fn is_named(reference: &RegistryReference, name: &str) -> bool {
    let repository = reference.name();
    reference.to_string() == name || repository == name || repository.rsplit('/').next() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(images: &[(&str, &str)]) -> Lock {
        let images = images.iter().map(|(reference, text)| LockedImage {
            reference: (*reference).to_owned(),
            pin: Pin {
                digest: Digest::of(text.as_bytes()),
                size: 1,
                media_type: "m".to_owned(),
                platforms: Vec::new(),
            },
        });
        Lock {
            version: VERSION,
            spec: Digest::of(b"spec"),
            epoch: None,
            images: images.collect(),
            sources: Vec::new(),
        }
    }

    #[test]
    fn one_name_moves_and_all_others_stay() {
        let lock = lock(&[("a.b/x/imager:v1", "1"), ("a.b/x/base:v1", "2"), ("c.d/imager:v2", "3")]);
        let left = |moving: Option<&[&str]>| -> Vec<String> {
            let names: Option<Vec<String>> =
                moving.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            lock.pins(names.as_deref()).unwrap().keys().map(ToString::to_string).collect()
        };
        assert_eq!(left(None).len(), 3);
        assert_eq!(left(Some(&[])).len(), 0);
        assert_eq!(left(Some(&["base"])), ["a.b/x/imager:v1", "c.d/imager:v2"]);
        assert_eq!(left(Some(&["a.b/x/imager"])), ["a.b/x/base:v1", "c.d/imager:v2"]);
        assert_eq!(left(Some(&["imager"])), ["a.b/x/base:v1"]);
        assert!(lock.pins(Some(&["imgaer".to_owned()])).is_err());
    }

    #[test]
    fn it_reads_back_and_says_what_changed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("talosmith.lock");
        assert_eq!(Lock::read(&file).unwrap(), None);
        let (old, new) =
            (lock(&[("a.b/x:1", "1"), ("a.b/y:1", "1")]), lock(&[("a.b/x:1", "2"), ("a.b/z:1", "1")]));
        assert!(old.write(&file).unwrap());
        assert!(!old.write(&file).unwrap(), "what says the same is not written");
        assert_eq!(Lock::read(&file).unwrap().unwrap(), old);
        let changes = new.changes(&old);
        assert_eq!(changes.len(), 3);
        assert!(changes[0].starts_with("a.b/x:1: sha256:") && changes[0].contains(" -> sha256:"));
        assert!(changes[1].starts_with("a.b/z:1: new, ") && changes[2] == "a.b/y:1: gone");
        std::fs::write(&file, "{}").unwrap();
        assert!(Lock::read(&file).is_err());
    }
}
