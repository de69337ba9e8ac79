//! What is known of references before a registry is asked: digests that a lock pins, images of a bundle, names under
//! which a site keeps copies. And what was found out on the way: what a lock is written of.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::descriptor::Descriptor;
use super::document::Source as _;
use super::layout::Layout;
use super::platform::Platform;
use super::reference::{Reference, RegistryReference};
use crate::base::{Content, Digest, locked};

/// What a reference means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// Of the manifest or index.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub media_type: String,
    /// The platforms of an index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
}

/// A file that a package's step wants, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PinnedSource {
    /// Where it comes from.
    pub url: String,
    /// Of its bytes.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// See the module. Cheap to clone; clones share what is found out.
#[derive(Debug, Clone, Default)]
pub struct Pins(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pinned: BTreeMap<RegistryReference, Pin>,
    locked: bool,
    bundles: Vec<Layout>,
    /// Prefix of a name, and what stands in its place; the longest first.
    mirrors: Vec<(String, String)>,
    seen: Mutex<Seen>,
    /// Blobs of bundles that are what their names say.
    verified: Mutex<HashSet<Digest>>,
}

/// What was found out.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Images in registries.
    pub images: BTreeMap<RegistryReference, Pin>,
    /// Images on this machine, by the reference as it was written.
    pub local: BTreeMap<String, Digest>,
    /// Files of packages.
    pub sources: BTreeMap<String, PinnedSource>,
    /// Files on this machine.
    pub files: BTreeMap<String, Digest>,
}

impl Pins {
    /// What a lock pins. With `locked` everything else is refused.
    pub fn new(
        pinned: BTreeMap<RegistryReference, Pin>,
        locked: bool,
        bundles: Vec<Layout>,
        mirrors: &BTreeMap<String, String>,
    ) -> Self {
        let mut mirrors: Vec<(String, String)> =
            mirrors.iter().map(|(from, to)| (from.clone(), to.clone())).collect();
        mirrors.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        Self(Arc::new(Inner {
            pinned,
            locked,
            bundles,
            mirrors,
            seen: Mutex::default(),
            verified: Mutex::default(),
        }))
    }

    /// What is pinned of a reference.
    pub fn pinned(&self, reference: &RegistryReference) -> Option<&Pin> {
        self.0.pinned.get(reference)
    }

    /// Whether a reference that is not pinned must not be asked for. One with a digest moves nowhere.
    pub fn refuses(&self, reference: &RegistryReference) -> bool {
        self.0.locked && reference.digest.is_none() && !self.0.pinned.contains_key(reference)
    }

    /// A blob that came along, once it was held against its digest; otherwise the digest that its bytes have.
    pub(super) fn in_bundle(&self, blob: &Descriptor) -> Result<Option<Content>, Digest> {
        let found = self.0.bundles.iter().find_map(|bundle| bundle.blob(blob).ok());
        let Some(content) = found else { return Ok(None) };
        if locked(&self.0.verified).contains(&blob.digest) {
            return Ok(Some(content));
        }
        let mut hasher = blob.digest.hasher();
        // What cannot be read is not there.
        let read = content.open().and_then(|mut reader| std::io::copy(&mut reader, &mut hasher));
        if read.is_err() {
            return Ok(None);
        }
        let found = hasher.finish();
        if found != blob.digest {
            return Err(found);
        }
        locked(&self.0.verified).insert(blob.digest);
        Ok(Some(content))
    }

    /// A blob of a bundle whose size is not known before.
    pub fn bundled(&self, digest: &Digest) -> Option<Content> {
        self.0.bundles.iter().find_map(|bundle| bundle.anything(digest))
    }

    /// Where an image is asked for: the name of the mirror, or its own.
    pub fn place(&self, reference: &RegistryReference) -> RegistryReference {
        let name = reference.name();
        let found = self.0.mirrors.iter().find_map(|(from, to)| {
            let rest = name.strip_prefix(from.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
        });
        let moved = found.and_then(|name| name.parse::<RegistryReference>().ok());
        match moved {
            Some(moved) => {
                RegistryReference { tag: reference.tag.clone(), digest: reference.digest, ..moved }
            }
            None => reference.clone(),
        }
    }

    /// Notes what a reference was found to mean.
    pub(super) fn saw(&self, reference: &Reference, root: &Descriptor, platforms: &[Platform]) {
        let mut seen = locked(&self.0.seen);
        match reference {
            Reference::Registry(name) => {
                let platforms = platforms.iter().map(ToString::to_string).collect();
                let pin = Pin {
                    digest: root.digest,
                    size: root.size,
                    media_type: root.media_type.clone(),
                    platforms,
                };
                seen.images.insert(name.clone(), pin);
            }
            local => {
                seen.local.insert(local.to_string(), root.digest);
            }
        }
    }

    /// Notes a file of a package.
    pub fn saw_source(&self, url: &str, digest: Digest, size: u64) {
        let mut seen = locked(&self.0.seen);
        seen.sources.insert(url.to_owned(), PinnedSource { url: url.to_owned(), digest, size });
    }

    /// Notes files of this machine.
    pub fn saw_files(&self, files: impl Iterator<Item = (String, Digest)>) {
        locked(&self.0.seen).files.extend(files);
    }

    /// What was found out so far.
    pub fn seen(&self) -> Seen {
        locked(&self.0.seen).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_takes_the_place_of_the_longest_name_that_fits_whole_words() {
        let mirrors = [
            ("ghcr.io", "mirror.example.com/ghcr"),
            ("ghcr.io/siderolabs", "127.0.0.1:5000/talos"),
            ("other.example.com/a", "x.example.com"),
        ];
        let mirrors = mirrors.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let pins = Pins::new(BTreeMap::new(), false, Vec::new(), &mirrors);
        for (from, to) in [
            ("ghcr.io/acme/x:1", "mirror.example.com/ghcr/acme/x:1"),
            ("ghcr.io/siderolabs/imager:v1", "127.0.0.1:5000/talos/imager:v1"),
            ("ghcr.io/siderolabsx/imager:v1", "mirror.example.com/ghcr/siderolabsx/imager:v1"),
            ("other.example.com/ab:1", "other.example.com/ab:1"),
            ("quay.io/a/b", "quay.io/a/b"),
        ] {
            assert_eq!(pins.place(&from.parse().unwrap()).to_string(), to);
        }
    }

    #[test]
    fn what_is_locked_refuses_names_that_may_move() {
        let pin = Pin { digest: Digest::of(b""), size: 0, media_type: String::new(), platforms: Vec::new() };
        let known: RegistryReference = "a.b/known:1".parse().unwrap();
        let pins = Pins::new([(known.clone(), pin)].into(), true, Vec::new(), &BTreeMap::new());
        let other: RegistryReference = "a.b/other:1".parse().unwrap();
        assert!(!pins.refuses(&known) && pins.refuses(&other));
        assert!(!pins.refuses(&other.with_digest(Digest::of(b"x"))));
        assert!(!Pins::default().refuses(&other));
    }
}
