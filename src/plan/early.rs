//! Layers that go to their registries while they are made.

use super::extension::{for_platform, parse};
use super::run::Context;
use crate::image::registry::EarlyPush;
use crate::image::{Layer, LayerWriter, Platform, Reference, RegistryReference};

/// The repositories that layers of a plan are pushed to in the end.
#[derive(Debug, Clone, Default)]
pub struct Early {
    repositories: Vec<RegistryReference>,
    /// Whether what the step at hand gives can be nowhere else.
    pub(super) is_new: bool,
}

impl Early {
    /// Whether there are any.
    pub(super) fn is_wanted(&self) -> bool {
        !self.repositories.is_empty()
    }

    /// The same for a step of which it is known whether its result can be nowhere else.
    pub(super) fn of(&self, is_new: bool) -> Self {
        Self { is_new, ..self.clone() }
    }
}

impl Context {
    /// The same for a plan whose images go to `outputs`. Where the repository depends on the platform, layers wait: of
    /// one that several platforms share it is not said here whose it is.
    pub(super) fn pushing<'a>(
        &self,
        outputs: &[String],
        platforms: impl Iterator<Item = &'a Platform> + Clone,
    ) -> Self {
        let mut early = Early::default();
        for output in outputs {
            let mut places = platforms.clone().map(|platform| repository(&for_platform(output, platform)));
            let Some(Some(first)) = places.next() else { continue };
            if places.all(|place| place.as_ref() == Some(&first)) && !early.repositories.contains(&first) {
                early.repositories.push(first);
            }
        }
        Self { early, ..self.clone() }
    }

    /// Begins to push a layer that is being written.
    pub(super) fn push_early(&self, writer: &LayerWriter) -> Vec<EarlyPush> {
        let Early { repositories, is_new } = &self.early;
        let begin = |place| self.client.push_early(place, writer.growing(), *is_new);
        let begun = repositories.iter().map(begin);
        begun.flatten().collect()
    }

    /// Goes on with that: the layer is whole.
    pub(super) fn end_early(&self, begun: Vec<EarlyPush>, layer: &Layer) {
        let Layer { descriptor, .. } = layer;
        if let Some(content) = self.store.blob(&descriptor.digest, descriptor.size) {
            begun.into_iter().for_each(|early| early.end(content.clone(), descriptor.digest));
        }
    }
}

/// The repository that an output goes to.
fn repository(output: &str) -> Option<RegistryReference> {
    match parse(output) {
        Ok(Reference::Registry(place)) => Some(RegistryReference { tag: None, digest: None, ..place }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Events, Workers};
    use crate::image::Store;
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
            early.repositories.iter().map(RegistryReference::name).collect()
        };
        let outputs = [
            "oci:x",
            "docker://reg.example/a:1",
            "docker://reg.example/a:{arch}",
            "docker://reg.example/{arch}/a",
            "out.tar",
            "reg.example/b",
            "no such reference",
        ];
        assert_eq!(places(&outputs, &platforms), ["reg.example/a", "reg.example/b"]);
        let one = ["reg.example/a", "reg.example/amd64/a", "reg.example/b"];
        assert_eq!(places(&outputs, &platforms[..1]), one);
        assert!(places(&outputs, &[]).is_empty());
    }
}
