//! What a whole extension or installer came to, kept under one key: where nothing has changed, nothing need be taken
//! apart to find that out.
//!
//! The key has everything that steers the result, and [`GENERATION`], which stands for how all the steps within make
//! theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dry::Fate;
use super::error::Error;
use super::outputs::Sets;
use super::run::{Context, recall};
use super::step::Outputs;
use crate::base::{Digest, Event, Events, json, locked};
use crate::image::{Descriptor, Platform};

/// The versions of all steps that a whole is made of: a test holds them against the sources. What is done between the
/// steps (rules of the checks, kernel command lines, what goes into which layer) has no version of its own; who changes
/// it within a version of the crate adds to the number at the end.
const GENERATION: &str = "boot assets 2, firmware 1, flatten 1, image 2, index 1, initramfs 3, kernel 3, layer 2, \
                          modules 2, modules.dep 2, squashfs 1, between 1";

/// Warnings, each with its advice: who knows a whole says them again.
pub(super) type Warnings = Vec<(String, Option<String>)>;

/// The same means, and what they warn of from now on.
pub(super) fn hearing(context: &Context) -> (Context, Arc<Mutex<Warnings>>) {
    let heard: Arc<Mutex<Warnings>> = Arc::default();
    let (listener, inner) = (Arc::clone(&heard), context.events.clone());
    let events = Events::new(move |event| {
        if let Event::Warning { text, hint } = &event {
            locked(&listener).push((text.clone(), hint.clone()));
        }
        inner.emit(event);
    });
    (Context { events, ..context.clone() }, heard)
}

/// A whole that may be known.
pub(super) struct Whole {
    name: &'static str,
    subject: String,
    key: Digest,
}

#[derive(Serialize, Deserialize)]
struct Made<F> {
    images: Vec<(Platform, Descriptor)>,
    index: Option<Descriptor>,
    facts: F,
}

impl Whole {
    /// `says` has all that steers it.
    pub(super) fn new(name: &'static str, subject: &str, says: &impl Serialize) -> Self {
        let key = Digest::of(&json::to_vec(&("whole", name, GENERATION, env!("CARGO_PKG_VERSION"), says)));
        Self { name, subject: subject.to_owned(), key }
    }

    /// What it came to, if that is known and all of it is here.
    pub(super) fn recall<F: DeserializeOwned>(&self, context: &Context) -> Option<(F, Sets)> {
        let outputs = recall(context, &self.key)?;
        let made: Made<F> = outputs.facts("whole").ok()?;
        let sets = Sets::of(context, &made.images, made.index.as_ref()).ok()?;
        context.events.emit(Event::Known { step: self.name, subject: self.subject.clone() });
        if let Some(dry) = &context.dry {
            dry.note(self.name, &self.subject, Fate::Known);
        }
        Some((made.facts, sets))
    }

    /// Keeps what it came to. Only blobs for which `elsewhere` holds may be missing from the store and from the caches:
    /// they lie where they can be had again. Where another one is missing, nothing is kept.
    pub(super) fn keep<F: Serialize>(
        &self,
        context: &Context,
        facts: F,
        sets: &Sets,
        elsewhere: &dyn Fn(&Descriptor) -> bool,
    ) -> Result<(), Error> {
        let (images, index) = sets.roots();
        let remote = context.remote.as_ref();
        let here = |blob: &&Descriptor| {
            let cached = || remote.is_some_and(|remote| remote.has(blob));
            context.store.blob(&blob.digest, blob.size).is_some() || cached()
        };
        let (own, others): (Vec<&Descriptor>, Vec<&Descriptor>) = sets.parts().partition(here);
        if !others.into_iter().all(elsewhere) {
            return Ok(());
        }
        let blobs: BTreeMap<String, Descriptor> =
            own.into_iter().map(|blob| (blob.digest.to_string(), blob.clone())).collect();
        let outputs = Outputs { blobs, values: BTreeMap::new() };
        let outputs = outputs.with_facts("whole", &Made { images, index, facts });
        if let Some(remote) = &context.remote {
            remote.used(self.key, &outputs);
        }
        Ok(context.store.record_step(&self.key, &json::to_vec(&outputs))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and versions of steps in the sources.
    fn steps(folder: &std::path::Path, found: &mut BTreeMap<String, u32>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                steps(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for part in text.split("Step::new(\"").skip(1) {
                let Some((name, rest)) = part.split_once("\", ") else { continue };
                let word = rest.split(',').next().unwrap_or_default();
                let Ok(version) = word.trim().parse::<u32>() else {
                    continue;
                };
                let known = found.entry(name.to_owned()).or_insert(0);
                *known = version.max(*known);
            }
        }
    }

    #[test]
    fn the_generation_has_the_version_of_every_step_within() {
        let mut found = BTreeMap::new();
        steps(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan"), &mut found);
        for step in GENERATION.split(", ").filter(|step| !step.starts_with("between ")) {
            let (name, version) = step.rsplit_once(' ').unwrap();
            assert_eq!(found.get(name).copied(), Some(version.parse().unwrap()), "{name}: GENERATION is old");
        }
        // Those of parts that no whole is made of.
        let others = ["bad", "boot-assets", "list", "rootfs", "solve", "source", "unpack", "word", "write"];
        let missing: Vec<&String> = found
            .keys()
            .filter(|name| !GENERATION.contains(name.as_str()) && !others.contains(&name.as_str()))
            .collect();
        assert!(missing.is_empty(), "neither in GENERATION nor left out on purpose: {missing:?}");
    }
}
