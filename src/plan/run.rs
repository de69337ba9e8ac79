//! The engine: runs the steps of a plan, each as soon as its inputs are there, several at once.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use super::dry::{DryRun, Fate, History};
use super::error::Error;
use super::remote_cache::RemoteCache;
use super::stat_cache::StatCache;
use super::step::{Outputs, Step, StepId};
use crate::base::{Content, Digest, Event, Events, Turns, Workers, json, locked};
use crate::image::registry::Client;
use crate::image::{Descriptor, Pins, RegistryReference, Store};

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
    /// What references are known to mean.
    pub pins: Pins,
    /// Steps are not run: what would become of them is noted here.
    pub dry: Option<DryRun>,
    /// Where results of steps are looked for, and kept, beside the store.
    pub remote: Option<Arc<RemoteCache>>,
    /// Digests of local files; read when they are first asked for.
    pub digests: Arc<OnceLock<StatCache>>,
    /// Steps that are being run, by their keys: parts of a run may want the same one at the same time.
    pub turns: Turns<Digest>,
    /// Where layers go while they are made.
    pub early: Vec<RegistryReference>,
}

impl Context {
    /// These means, and nothing known of references or in caches elsewhere.
    pub fn new(store: Store, workers: Workers, client: Client, events: Events) -> Self {
        Self {
            store,
            workers,
            client,
            events,
            pins: Pins::default(),
            dry: None,
            remote: None,
            digests: Arc::default(),
            turns: Turns::default(),
            early: Vec::new(),
        }
    }

    /// Digests of local files, shared by all parts of a run.
    pub fn stat_cache(&self) -> &StatCache {
        self.digests.get_or_init(|| StatCache::open(self.store.root().join("stat-cache")))
    }

    /// Keeps what was learnt of local files. A cache that cannot be written costs time only.
    pub fn keep_digests(&self) {
        if let Some(Err(error)) = self.digests.get().map(StatCache::save) {
            self.events.detail(error.to_string());
        }
    }

    /// A blob that a step has put into the store.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        if let Some(content) = self.store.blob(&descriptor.digest, descriptor.size) {
            return Ok(content);
        }
        if let Some(remote) = self.remote.as_ref().filter(|remote| remote.has(descriptor)) {
            remote.fetch(self, descriptor)?;
        }
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
    /// What each step gave; in a dry run, nothing where it would have to run.
    outputs: Vec<Option<Option<Outputs>>>,
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
            // One by one in a dry run: it costs nothing, and its list is always in the same order.
            let jobs = if context.dry.is_some() { 1 } else { context.workers.jobs() };
            for _ in 1..jobs.min(count) {
                scope.spawn(|| self.work(context, &state, &changed));
            }
            self.work(context, &state, &changed);
        });
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.error {
            Some(error) => Err(error),
            None => {
                let outputs: Option<Vec<_>> = state.outputs.into_iter().collect();
                let outputs = outputs.ok_or_else(|| Error::Internal("a step was not run".to_owned()))?;
                outputs.into_iter().collect::<Option<Vec<_>>>().ok_or(Error::NotRun)
            }
        }
    }

    /// One thread's life: take a step that is ready, run it, again.
    fn work(&self, context: &Context, state: &Mutex<State>, changed: &Condvar) {
        let mut guard = locked(state);
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
            let unknown =
                step.needs.iter().find(|need| matches!(guard.outputs.get(need.0), Some(Some(None))));
            if let (Some(need), Some(dry)) = (unknown, &context.dry) {
                let needed = self.steps.get(need.0).map_or("", |step| step.name);
                dry.note(step.name, &subject(context, step), Fate::Waits { r#for: needed.to_owned() });
                guard.started[index] = true;
                guard.outputs[index] = Some(None);
                changed.notify_all();
                continue;
            }
            let given = |need: &StepId| guard.outputs.get(need.0).cloned().flatten().flatten();
            let inputs: Vec<Outputs> = step.needs.iter().filter_map(given).collect();
            guard.started[index] = true;
            drop(guard);
            let names: Vec<&'static str> =
                step.needs.iter().filter_map(|need| Some(self.steps.get(need.0)?.name)).collect();
            let is_over = || locked(state).error.is_some();
            let result = run_step(step, context, &names, &inputs.iter().collect::<Vec<_>>(), &is_over);
            guard = locked(state);
            match result {
                Ok(outputs) => guard.outputs[index] = Some(Some(outputs)),
                Err(Error::NotRun) if context.dry.is_some() => guard.outputs[index] = Some(None),
                Err(error) => guard.error = guard.error.take().or(Some(error)),
            }
            changed.notify_all();
        }
    }
}

fn run_step(
    step: &Step<'_>,
    context: &Context,
    names: &[&'static str],
    inputs: &[&Outputs],
    is_over: &dyn Fn() -> bool,
) -> Result<Outputs, Error> {
    let key = step.cached.then(|| step.key(inputs));
    let _turn = key.map(|key| context.turns.take(key));
    if is_over() {
        return Err(Error::NotRun); // who had the turn before has failed, most likely
    }
    if let Some(known) = key.as_ref().and_then(|key| recall(context, key)) {
        context.events.emit(Event::Known { step: step.name, subject: step.subject.clone() });
        if let Some(dry) = &context.dry {
            dry.note(step.name, &subject(context, step), Fate::Known);
        }
        return Ok(known);
    }
    if let (Some(dry), Some(_)) = (&context.dry, &key) {
        let last = History::read(&context.store, step.name, &subject(context, step));
        let why = step.history(names, inputs).why(last.as_ref());
        dry.note(step.name, &subject(context, step), Fate::Runs { why });
        return Err(Error::NotRun);
    }
    let activity = context.events.begin(step.name, step.subject.as_str(), step.total);
    let outputs = (step.run)(context, &activity, inputs)?;
    let made = outputs.blobs.values().map(|blob| blob.size).sum();
    activity.wrote(made).finish(outputs.values.get("outcome").cloned().unwrap_or_default());
    if let Some(key) = key {
        if let Some(remote) = &context.remote {
            remote.used(key, &outputs);
        }
        step.history(names, inputs).keep(&context.store, step.name, &subject(context, step));
        context.store.record_step(&key, &json::to_vec(&outputs))?;
    }
    Ok(outputs)
}

/// What a step works on, without what differs from run to run: the name of a folder for drafts.
fn subject(context: &Context, step: &Step<'_>) -> String {
    let drafts = format!("{}/drafts/", context.store.root().display());
    match step.subject.split_once(&drafts) {
        Some((before, behind)) => {
            format!("{before}{}", behind.split_once('/').map_or(behind, |(_, rest)| rest))
        }
        None => step.subject.clone(),
    }
}

/// The outputs kept under a key, if all of their blobs are still there.
pub(super) fn recall(context: &Context, key: &Digest) -> Option<Outputs> {
    let local = || -> Option<Outputs> {
        let outputs: Outputs = serde_json::from_slice(&context.store.step(key)?).ok()?;
        let here = |blob: &Descriptor| context.store.blob(&blob.digest, blob.size).is_some();
        outputs.blobs.values().all(here).then(|| {
            context.store.used_step(key);
            outputs
        })
    };
    let remote = context.remote.as_ref();
    let known = local().or_else(|| remote?.find(context, key));
    if let (Some(remote), Some(outputs)) = (remote, &known) {
        remote.used(*key, outputs);
    }
    known
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::image::registry::Options;

    fn context(folder: &std::path::Path, jobs: usize) -> Context {
        Context::new(
            Store::open(folder).unwrap(),
            Workers::new(jobs),
            Client::new(Options::default(), Events::default()),
            Events::default(),
        )
    }

    /// A step that counts its runs and stores the word that it was given.
    fn word<'p>(text: &'p str, runs: &'p AtomicUsize) -> Step<'p> {
        let run = move |context: &Context, _: &crate::base::Activity, inputs: &[&Outputs]| {
            runs.fetch_add(1, Ordering::Relaxed);
            let before: Vec<&str> =
                inputs.iter().map(|input| input.value("word")).collect::<Result<_, _>>()?;
            let all = [&before[..], &[text]].concat().join(" ");
            let (digest, content) = context.store.put(all.as_bytes())?;
            let blob = Descriptor::new("text/plain", digest, content.len());
            Ok(Outputs::default().with_blob("word", blob).with_value("word", all))
        };
        Step::new("word", 1, text, run).parameter("text", text)
    }

    #[test]
    fn steps_run_after_what_they_need_and_not_again() {
        let folder = tempfile::tempdir().unwrap();
        for jobs in [1, 4] {
            let runs = AtomicUsize::new(0);
            let context = context(&folder.path().join(jobs.to_string()), jobs);
            for expected in [3, 3] {
                let mut plan = Plan::new();
                let (a, b) = (plan.add(word("a", &runs)), plan.add(word("b", &runs)));
                plan.add(word("c", &runs).needs(b).needs(a));
                let outputs = plan.run(&context).unwrap();
                assert_eq!(outputs[2].value("word").unwrap(), "b a c");
                assert_eq!(runs.load(Ordering::Relaxed), expected);
            }
            // Another parameter, another key, and so for all that need it.
            let mut plan = Plan::new();
            let a = plan.add(word("x", &runs));
            plan.add(word("c", &runs).needs(a));
            plan.run(&context).unwrap();
            assert_eq!(runs.load(Ordering::Relaxed), 5);
        }
    }

    #[test]
    fn what_two_plans_want_at_the_same_time_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, context) = (AtomicUsize::new(0), context(folder.path(), 4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut plan = Plan::new();
                    let same = [plan.add(word("a", &runs)), plan.add(word("a", &runs))];
                    let outputs = plan.run(&context).unwrap();
                    assert!(
                        same.iter().all(|step| step.outputs(&outputs).unwrap().value("word").unwrap() == "a")
                    );
                });
            }
        });
        assert_eq!(runs.into_inner(), 1);
    }

    #[test]
    fn a_step_whose_blob_is_gone_is_run_again() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, context) = (AtomicUsize::new(0), context(folder.path(), 1));
        let once = || {
            let mut plan = Plan::new();
            plan.add(word("a", &runs));
            plan.run(&context).unwrap().remove(0)
        };
        let blob = once().blob("word").unwrap().clone();
        std::fs::write(context.blob(&blob).unwrap().whole_file().unwrap(), "damaged and longer").unwrap();
        assert!(context.blob(&blob).is_err());
        once();
        assert_eq!(context.bytes(&blob, 9).unwrap(), b"a");
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_first_error_ends_the_plan_and_nothing_of_it_is_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, context) = (AtomicUsize::new(0), context(folder.path(), 2));
        let mut plan = Plan::new();
        let bad = plan.add(Step::new("bad", 1, "", |_, _, _| Err(Error::Internal("no".to_owned()))));
        plan.add(word("after", &runs).needs(bad));
        assert!(matches!(plan.run(&context), Err(Error::Internal(_))));
        assert!(matches!(plan.run(&context), Err(Error::Internal(_))));
        assert_eq!(runs.load(Ordering::Relaxed), 0);
    }
}
