//! The cache of steps in a registry, for runners that forget everything.
//!
//! A step's result is an artifact (image-spec, manifest.md, "Guidelines for Artifact Usage"): its tag is the step's key,
//! its configuration the record, its layers the blobs. Nothing is asked for before a step's key asks for it, and no blob
//! before something reads it; what is there is not sent again. Blobs are checked by their digests; the record is not:
//! **whoever may write such a cache may choose what a step gives.** Results are the same bytes whoever makes them, so
//! any number of runners may write at once.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, OnceLock};

use super::error::Error;
use super::run::Context;
use super::step::Outputs;
use crate::base::workers::each;
use crate::base::{Digest, chain, json as encoded, locked};
use crate::image::registry::{Client, Progress, RegistryError};
use crate::image::{Descriptor, Document, Manifest, MediaError, RegistryReference, media_type};

/// What a step's record is, as an artifact.
const STEP_TYPE: &str = "application/vnd.talosmith.step.v1+json";
/// How often a cache is asked for a step that can be made.
const TRIES: u32 = 2;
/// The largest record that is believed.
const RECORD_LIMIT: u64 = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub struct RemoteCache {
    from: Vec<RegistryReference>,
    to: Vec<RegistryReference>,
    /// Blobs that are there and not here: where.
    places: Mutex<BTreeMap<Digest, RegistryReference>>,
    /// Why what a cache had named could not be had: nothing is looked for any more.
    failure: OnceLock<String>,
    /// Caches in `from` that could not be spoken to.
    silent: Mutex<HashSet<RegistryReference>>,
    /// Steps of this run, by their keys.
    used: Mutex<BTreeMap<Digest, Outputs>>,
    /// What was fetched and sent.
    traffic: Mutex<Traffic>,
}

/// What went over the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Steps whose result was there.
    pub steps_found: u64,
    /// Bytes of blobs that were fetched.
    pub fetched: u64,
    /// Steps that were sent.
    pub steps_sent: u64,
    /// Bytes of blobs that were sent.
    pub sent: u64,
}

/// The reference of a step in a repository.
fn of_step(repository: &RegistryReference, key: &Digest) -> RegistryReference {
    RegistryReference { tag: Some(format!("step-{}", key.hex())), digest: None, ..repository.clone() }
}

impl RemoteCache {
    /// Steps are looked for in `from`, in this order, and kept in `to`.
    pub fn new(from: Vec<RegistryReference>, to: Vec<RegistryReference>) -> Self {
        Self { from, to, ..Self::default() }
    }

    /// What went over the wire so far.
    pub fn traffic(&self) -> Traffic {
        *locked(&self.traffic)
    }

    /// Notes a step that this run needed.
    pub(super) fn used(&self, key: Digest, outputs: &Outputs) {
        locked(&self.used).insert(key, outputs.clone());
    }

    /// Whether a blob can be had.
    pub(super) fn has(&self, blob: &Descriptor) -> bool {
        self.failure().is_none() && locked(&self.places).contains_key(&blob.digest)
    }

    /// Why what a cache has named could not be had of it, if it came to that.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// What a step gave elsewhere. A cache that cannot be asked has nothing: that is told, and stops nobody.
    pub(super) fn find(&self, context: &Context, key: &Digest) -> Option<Outputs> {
        if self.failure().is_some() {
            return None;
        }
        for repository in &self.from {
            if locked(&self.silent).contains(repository) {
                continue;
            }
            match self.find_in(&context.client.hasty(TRIES), repository, key) {
                Ok(Some(outputs)) => {
                    locked(&self.traffic).steps_found += 1;
                    return Some(outputs);
                }
                Ok(None) => {}
                Err(error) if error.is_unreachable() => {
                    if locked(&self.silent).insert(repository.clone()) {
                        let text = format!("cache `{repository}` is not asked any more: {}", chain(&error));
                        context.events.warn(text, None);
                    }
                }
                Err(error) => context.events.detail(format!("cache `{repository}`: {}", chain(&error))),
            }
        }
        None
    }

    fn find_in(
        &self,
        client: &Client,
        repository: &RegistryReference,
        key: &Digest,
    ) -> Result<Option<Outputs>, RegistryError> {
        let bytes = match client.resolve(&of_step(repository, key)) {
            Ok((_, bytes)) => bytes,
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else { return Ok(None) };
        if manifest.config.media_type != STEP_TYPE || manifest.config.size > RECORD_LIMIT {
            return Ok(None);
        }
        let mut record = Vec::new();
        client.pull_blob(repository, &manifest.config, &mut record, &Progress::default())?;
        let Ok(outputs) = serde_json::from_slice::<Outputs>(&record) else { return Ok(None) };
        // A record may name nothing that is not there beside it.
        let there = |blob: &Descriptor| manifest.layers.iter().any(|layer| layer.digest == blob.digest);
        if !outputs.blobs.values().all(there) {
            return Ok(None);
        }
        let mut places = locked(&self.places);
        for blob in outputs.blobs.values() {
            places.entry(blob.digest).or_insert_with(|| repository.clone());
        }
        Ok(Some(outputs))
    }

    /// Fetches a blob into the store. Its digest is checked on the way. Where that fails, nobody is to count on what
    /// the caches said: see [`RemoteCache::failure`].
    pub(super) fn fetch(&self, context: &Context, blob: &Descriptor) -> Result<(), Error> {
        let fetched = self.try_fetch(context, blob);
        if let Err(error) = &fetched {
            let _ = self.failure.set(chain(error).to_string()); // the first is told
        }
        fetched
    }

    fn try_fetch(&self, context: &Context, blob: &Descriptor) -> Result<(), Error> {
        let place = locked(&self.places).get(&blob.digest).cloned();
        let place = place.ok_or_else(|| Error::Internal(format!("blob {} is in no cache", blob.digest)))?;
        let _turn = context.client.turn(&place, &blob.digest);
        if context.store.blob(&blob.digest, blob.size).is_some() {
            return Ok(());
        }
        let activity = context.events.begin("cache", blob.digest.to_string(), Some(blob.size));
        let mut draft = context.store.draft()?;
        let progress = Progress::of(activity.events(), activity.id());
        context
            .client
            .pull_blob(&place, blob, draft.file(), &progress)
            .map_err(|error| Error::from(MediaError::from(error)))?;
        context.store.adopt(draft, &blob.digest)?;
        locked(&self.traffic).fetched += blob.size;
        activity.finish("");
        Ok(())
    }

    /// Sends the steps of this run that are not there yet.
    pub fn send(&self, context: &Context) -> Result<(), Error> {
        let steps: Vec<(Digest, Outputs)> =
            locked(&self.used).iter().map(|(key, outputs)| (*key, outputs.clone())).collect();
        for repository in &self.to {
            let activity = context.events.begin("cache", repository.to_string(), None);
            let send = |(key, outputs): &(Digest, Outputs)| self.send_one(context, repository, key, outputs);
            each(context.client.transfers(), &steps, send)?;
            activity.finish("");
        }
        Ok(())
    }

    fn send_one(
        &self,
        context: &Context,
        repository: &RegistryReference,
        key: &Digest,
        outputs: &Outputs,
    ) -> Result<(), Error> {
        let client = &context.client;
        let failed = |error: RegistryError| Error::from(MediaError::from(error));
        let place = of_step(repository, key);
        match client.resolve(&place) {
            Ok(_) => return Ok(()),
            Err(RegistryError::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        let record = encoded::to_vec(outputs);
        let config = Descriptor::of(STEP_TYPE, &record);
        let content = crate::base::Content::memory(record);
        client.push_blob(repository, &config, &content, &[], &Progress::default()).map_err(failed)?;
        let mut layers: Vec<Descriptor> = Vec::new();
        for blob in outputs.blobs.values() {
            if layers.iter().any(|layer| layer.digest == blob.digest) {
                continue;
            }
            // What was found there and never read need not come here to be sent back.
            if !client.has_blob(repository, blob).map_err(failed)? {
                let content = context.blob(blob)?;
                client.push_blob(repository, blob, &content, &[], &Progress::default()).map_err(failed)?;
                locked(&self.traffic).sent += blob.size;
            }
            layers.push(Descriptor::new("application/octet-stream", blob.digest, blob.size));
        }
        let manifest = Document::artifact(STEP_TYPE, &config, &layers);
        client.push_manifest(&place, media_type::OCI_MANIFEST, &manifest.bytes).map_err(failed)?;
        locked(&self.traffic).steps_sent += 1;
        Ok(())
    }
}
