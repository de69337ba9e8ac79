//! The engine: runs the steps of a plan, each as soon as its inputs are there, several at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::Error;
use super::step::{Outputs, Step, StepId};
use crate::base::{Content, Digest, Events, Workers, json};
use crate::image::registry::Client;
use crate::image::{Descriptor, Store};

/// What steps work with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where blobs and records are kept.
    pub store: Store,
    /// Compression and hashing.
    pub workers: Workers,
    /// Registries.
    pub client: Client,
    /// Who is told.
    pub events: Events,
}

impl Context {
    /// A blob that a step has put into the store.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        self.store
            .blob(&descriptor.digest, descriptor.size)
            .ok_or_else(|| Error::Vanished { digest: descriptor.digest, store: self.store.root().to_owned() })
    }

    /// The bytes of a small blob, checked against its digest.
    pub fn bytes(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        use crate::base::fsio::At as _;
        let bytes = self.blob(descriptor)?.read(limit).at("read", self.store.root())?;
        if Digest::of(&bytes) == descriptor.digest {
            return Ok(bytes);
        }
        // Left in place it would be found damaged again and again; removed, it is made anew.
        let _ =
            std::fs::remove_file(self.store.root().join(crate::image::store::blob_path(&descriptor.digest)));
        Err(Error::Vanished { digest: descriptor.digest, store: self.store.root().to_owned() })
    }
}

/// Steps, each after those that it needs.
#[derive(Default)]
pub struct Plan<'p> {
    steps: Vec<Step<'p>>,
}

struct State {
    outputs: Vec<Option<Outputs>>,
    started: Vec<bool>,
    error: Option<Error>,
}

impl<'p> Plan<'p> {
    /// A plan without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step. It can only need steps that were added before, so a plan has no loops.
    pub fn add(&mut self, step: Step<'p>) -> StepId {
        self.steps.push(step);
        StepId(self.steps.len() - 1)
    }

    /// Runs all steps; gives the outputs of each, by the order in which they were added. The first error
    /// stops what has not begun.
    pub fn run(&self, context: &Context) -> Result<Vec<Outputs>, Error> {
        let count = self.steps.len();
        let state =
            Mutex::new(State { outputs: vec![None; count], started: vec![false; count], error: None });
        let changed = Condvar::new();
        std::thread::scope(|scope| {
            for _ in 1..context.workers.jobs().min(count) {
                scope.spawn(|| self.work(context, &state, &changed));
            }
            self.work(context, &state, &changed);
        });
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.error {
            Some(error) => Err(error),
            None => state
                .outputs
                .into_iter()
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| Error::Internal("a step was not run".to_owned())),
        }
    }

    /// One thread's life: take a step that is ready, run it, again.
    fn work(&self, context: &Context, state: &Mutex<State>, changed: &Condvar) {
        let mut guard = lock(state);
        loop {
            if guard.error.is_some() || guard.started.iter().all(|started| *started) {
                return;
            }
            let ready = self.steps.iter().zip(&guard.started).position(|(step, started)| {
                !started
                    && step.needs.iter().all(|need| guard.outputs.get(need.0).is_some_and(Option::is_some))
            });
            let Some(index) = ready else {
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let step = &self.steps[index]; // `position` within the same vector
            let inputs: Vec<Outputs> =
                step.needs.iter().filter_map(|need| guard.outputs.get(need.0).cloned().flatten()).collect();
            guard.started[index] = true;
            drop(guard);
            let result = run_step(step, context, &inputs.iter().collect::<Vec<_>>());
            guard = lock(state);
            match result {
                Ok(outputs) => guard.outputs[index] = Some(outputs),
                Err(error) => guard.error = guard.error.take().or(Some(error)),
            }
            changed.notify_all();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_step(step: &Step<'_>, context: &Context, inputs: &[&Outputs]) -> Result<Outputs, Error> {
    let key = step.cached.then(|| step.key(inputs));
    if let Some(known) = key.as_ref().and_then(|key| recall(context, key)) {
        context.events.detail(format!("{} {}: known", step.name, step.subject));
        return Ok(known);
    }
    let activity = context.events.begin(step.name, step.subject.as_str(), step.total);
    let outputs = (step.run)(context, &activity, inputs)?;
    activity.finish(outputs.values.get("outcome").cloned().unwrap_or_default());
    if let Some(key) = key {
        context.store.record_step(&key, &json::to_vec(&outputs))?;
    }
    Ok(outputs)
}

/// The outputs kept under a key, if all of their blobs are still there.
fn recall(context: &Context, key: &Digest) -> Option<Outputs> {
    let outputs: Outputs = serde_json::from_slice(&context.store.step(key)?).ok()?;
    outputs
        .blobs
        .values()
        .all(|blob| context.store.blob(&blob.digest, blob.size).is_some())
        .then_some(outputs)
}
