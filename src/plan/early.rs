//! Layers that go to their registries while they are made.

use serde::{Deserialize, Serialize};

use super::extension::{for_platform, parse};
use super::run::Context;
use crate::base::{Digest, json};
use crate::image::registry::EarlyPush;
use crate::image::{Descriptor, Layer, LayerWriter, Platform, Reference, RegistryReference, Store};

impl Context {
    /// The same for a plan whose images go to `outputs`. Where the repository depends on the platform, layers wait: of
    /// one that several platforms share it is not said here whose it is.
    pub(super) fn pushing<'a>(
        &self,
        outputs: &[String],
        platforms: impl Iterator<Item = &'a Platform> + Clone,
    ) -> Self {
        let mut early: Vec<RegistryReference> = Vec::new();
        for output in outputs {
            let mut places = platforms.clone().map(|platform| registry(&for_platform(output, platform)));
            let Some(Some(first)) = places.next() else { continue };
            let name = first.name();
            let is_one = places.all(|place| place.is_some_and(|place| place.name() == name));
            if is_one && early.iter().all(|known| known.name() != name) {
                early.push(first);
            }
        }
        Self { early, ..self.clone() }
    }

    /// Begins to push a layer that is being written.
    pub(super) fn push_early(&self, writer: &LayerWriter) -> Vec<EarlyPush> {
        let begin = |to| self.client.push_early(to, left(&self.store, to), writer.growing());
        self.early.iter().filter_map(begin).collect()
    }
}

/// Goes on with that: the layer is whole.
pub(super) fn end(begun: Vec<EarlyPush>, layer: &Layer) {
    begun.into_iter().for_each(|early| early.end(layer.descriptor.digest));
}

/// What an output names in a registry.
fn registry(output: &str) -> Option<RegistryReference> {
    match parse(output) {
        Ok(Reference::Registry(place)) => Some(place),
        _ => None,
    }
}

/// Under which it is noted what was pushed to a name.
fn key(reference: &RegistryReference) -> Digest {
    Digest::of(&json::to_vec(&("pushed", reference.name(), reference.manifest_name())))
}

/// What was pushed to a name.
#[derive(Serialize, Deserialize)]
struct Left {
    digest: Digest,
    /// Its blobs that were made here.
    made: Vec<(Digest, u64)>,
}

/// What this machine has pushed to a name last; nothing, if it has forgotten what that was made of and may make the
/// same again.
fn left(store: &Store, reference: &RegistryReference) -> Option<Digest> {
    let left: Left = serde_json::from_slice(&store.history(&key(reference))?).ok()?;
    let here = left.made.iter().all(|(digest, size)| store.blob(digest, *size).is_some());
    here.then_some(left.digest)
}

/// Notes that. Where it cannot be, the next layers go when they are whole.
pub(super) fn leave(store: &Store, reference: &RegistryReference, digest: &Digest, blobs: &[Descriptor]) {
    let blobs = blobs.iter().map(|blob| (blob.digest, blob.size));
    let made = blobs.filter(|(digest, size)| store.blob(digest, *size).is_some()).collect();
    let _ = store.keep_history(&key(reference), &json::to_vec(&Left { digest: *digest, made }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Events, Workers};
    use crate::image::registry::{Client, Options};

    #[test]
    fn layers_go_early_to_registries_that_are_the_same_for_all_platforms() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(Options::default(), Events::default());
        let store = Store::open(folder.path()).unwrap();
        let context = Context::new(store, Workers::new(1), client, Events::default());
        let platforms: Vec<Platform> =
            ["linux/amd64", "linux/arm64"].iter().map(|text| text.parse().unwrap()).collect();
        let places = |outputs: &[&str], platforms: &[Platform]| -> Vec<String> {
            let outputs: Vec<String> = outputs.iter().map(ToString::to_string).collect();
            let early = context.pushing(&outputs, platforms.iter()).early;
            early.iter().map(ToString::to_string).collect()
        };
        let outputs = [
            "oci:x",
            "docker://reg.example/a:{arch}",
            "docker://reg.example/a:1",
            "docker://reg.example/{arch}/a:1",
            "out.tar",
            "reg.example/b:1",
            "no such reference",
        ];
        assert_eq!(places(&outputs, &platforms), ["reg.example/a:amd64", "reg.example/b:1"]);
        let one = ["reg.example/a:amd64", "reg.example/amd64/a:1", "reg.example/b:1"];
        assert_eq!(places(&outputs, &platforms[..1]), one);
        assert!(places(&outputs, &[]).is_empty());
    }

    #[test]
    fn what_was_pushed_last_to_a_name_is_known_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let [one, other]: [RegistryReference; 2] =
            ["reg.example/a:1", "reg.example/a:2"].map(|text| text.parse().unwrap());
        assert_eq!(left(&store, &one), None);
        let (digest, content) = store.put(b"layer").unwrap();
        let elsewhere = Descriptor::of("text/plain", b"elsewhere");
        let blobs = [Descriptor::new("text/plain", digest, content.len()), elsewhere];
        for text in ["x", "y"] {
            leave(&store, &one, &Digest::of(text.as_bytes()), &blobs);
            assert_eq!(left(&store, &one), Some(Digest::of(text.as_bytes())));
        }
        assert_eq!(left(&store, &other), None);
        std::fs::remove_file(content.whole_file().unwrap()).unwrap();
        assert_eq!(left(&store, &one), None, "the layer may be made again");
    }
}
