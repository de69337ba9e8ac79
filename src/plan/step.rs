//! A step: a name, a version, parameters and inputs → outputs. Its key is the SHA-256 of all of
//! these; a step whose key is known is not run.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dry::History;
use super::error::Error;
use super::run::Context;
use super::tree_input::TreeInput;
use crate::base::{Activity, Digest, json};
use crate::image::Descriptor;

/// A step's place in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepId(pub(super) usize);

impl StepId {
    /// This step's outputs among those of its plan.
    pub fn outputs(self, outputs: &[Outputs]) -> Result<&Outputs, Error> {
        outputs.get(self.0).ok_or_else(|| Error::Internal("a step of another plan".to_owned()))
    }
}

/// What a step gives: blobs in the store by role, and short values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Blobs by role: `layer`, `config`, `manifest` …
    pub blobs: BTreeMap<String, Descriptor>,
    /// Values by name: `diff-id` …
    pub values: BTreeMap<String, String>,
}

impl Outputs {
    /// The blob with this role.
    pub fn blob(&self, role: &str) -> Result<&Descriptor, Error> {
        self.blobs.get(role).ok_or_else(|| Error::Internal(format!("a step gave no `{role}`")))
    }

    /// The value with this name.
    pub fn value(&self, name: &str) -> Result<&str, Error> {
        self.values
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| Error::Internal(format!("a step gave no `{name}`")))
    }

    /// What a step has found, as it was kept by [`Outputs::with_facts`].
    pub fn facts<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        serde_json::from_str(self.value(name)?)
            .map_err(|error| Error::Internal(format!("what a step found does not read back: {error}")))
    }

    /// Keeps what a step has found, as JSON.
    #[must_use]
    pub fn with_facts(self, name: &str, facts: &impl Serialize) -> Self {
        self.with_value(name, String::from_utf8_lossy(&json::to_vec(facts)))
    }

    /// Adds a blob.
    #[must_use]
    pub fn with_blob(mut self, role: &str, descriptor: Descriptor) -> Self {
        self.blobs.insert(role.to_owned(), descriptor);
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn with_value(mut self, name: &str, value: impl Into<String>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }
}

type Run<'p> = dyn Fn(&Context, &Activity, &[&Outputs]) -> Result<Outputs, Error> + Send + Sync + 'p;

type Listing<'p> = dyn Fn() -> BTreeMap<String, String> + Send + Sync + 'p;

/// A step of a plan.
pub struct Step<'p> {
    pub(super) name: &'static str,
    pub(super) version: u32,
    pub(super) subject: String,
    pub(super) total: Option<u64>,
    pub(super) parameters: BTreeMap<&'static str, String>,
    pub(super) needs: Vec<StepId>,
    /// Files of the parameters that are trees.
    pub(super) trees: BTreeMap<&'static str, Box<Listing<'p>>>,
    pub(super) cached: bool,
    pub(super) run: Box<Run<'p>>,
}

impl<'p> Step<'p> {
    /// A step whose result is kept under its key. `version` changes whenever the same inputs would
    /// give other outputs than before.
    pub fn new(
        name: &'static str,
        version: u32,
        subject: impl Into<String>,
        run: impl Fn(&Context, &Activity, &[&Outputs]) -> Result<Outputs, Error> + Send + Sync + 'p,
    ) -> Self {
        Self {
            name,
            version,
            subject: subject.into(),
            total: None,
            parameters: BTreeMap::new(),
            needs: Vec::new(),
            trees: BTreeMap::new(),
            cached: true,
            run: Box::new(run),
        }
    }

    /// Adds a parameter: everything that steers the result and is no input.
    #[must_use]
    pub fn parameter(mut self, name: &'static str, value: impl ToString) -> Self {
        self.parameters.insert(name, value.to_string());
        self
    }

    /// Adds a tree as a parameter: its key, and its files where somebody asks what changed.
    #[must_use]
    pub fn tree(mut self, name: &'static str, tree: &'p TreeInput) -> Self {
        self.trees.insert(name, Box::new(move || tree.listing()));
        self.parameter(name, tree.key())
    }

    /// Adds an input: the outputs of an earlier step.
    #[must_use]
    pub fn needs(mut self, step: StepId) -> Self {
        self.needs.push(step);
        self
    }

    /// How many bytes lie before the step, for a progress bar.
    #[must_use]
    pub fn total(mut self, bytes: u64) -> Self {
        self.total = Some(bytes);
        self
    }

    /// The step acts on the world outside the store (a push, a file): it is always run.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.cached = false;
        self
    }

    /// What steers it, with these outputs of the steps that it needs.
    pub(super) fn history(&self, names: &[&'static str], inputs: &[&Outputs]) -> History {
        let parameters = self.parameters.iter();
        let inputs = names.iter().zip(inputs);
        let trees = self.trees.iter();
        History {
            version: self.version,
            parameters: parameters.map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            inputs: inputs
                .map(|(name, outputs)| ((*name).to_owned(), Digest::of(&json::to_vec(outputs))))
                .collect(),
            trees: trees.map(|(name, listing)| ((*name).to_owned(), listing())).collect(),
        }
    }

    /// The key under which the outputs are kept.
    pub(super) fn key(&self, inputs: &[&Outputs]) -> Digest {
        #[derive(Serialize)]
        struct Key<'a> {
            step: &'a str,
            version: u32,
            parameters: &'a BTreeMap<&'static str, String>,
            inputs: &'a [&'a Outputs],
        }
        let key = Key { step: self.name, version: self.version, parameters: &self.parameters, inputs };
        Digest::of(&json::to_vec(&key))
    }
}
