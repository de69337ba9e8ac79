//! What a plan would do, and why: each step with what is known of it, without running any.
//!
//! A step that ran leaves beside its record what steered it. When its key is not known the next time, what differs
//! from then is the reason.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::base::units::count;
use crate::base::{Digest, json, locked};
use crate::image::Store;

/// Changed files that are named; the others are counted.
const SHOWN: usize = 3;

/// What becomes of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Fate {
    /// Its result is known.
    Known,
    /// It would run.
    Runs {
        /// What is new in it.
        why: String,
    },
    /// Whether it would run is not known before what it needs has run.
    Waits {
        /// What it needs.
        r#for: String,
    },
}

/// A step in a plan that is not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The step's name.
    pub step: String,
    /// What it works on.
    pub subject: String,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What was planned so far. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct DryRun(Arc<Mutex<Vec<Planned>>>);

impl DryRun {
    /// Notes a step.
    pub fn note(&self, step: &str, subject: &str, fate: Fate) {
        let planned = Planned { step: step.to_owned(), subject: subject.to_owned(), fate };
        let mut all = locked(&self.0);
        // What two parts need alike is one step.
        if !all.contains(&planned) {
            all.push(planned);
        }
    }

    /// Everything that was noted, in its order.
    pub fn planned(&self) -> Vec<Planned> {
        locked(&self.0).clone()
    }
}

/// What steered a step when it ran last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) version: u32,
    pub(super) parameters: BTreeMap<String, String>,
    /// The outputs of each step that it needs, by that step's name.
    pub(super) inputs: Vec<(String, Digest)>,
    /// Files of trees that are parameters.
    pub(super) trees: BTreeMap<String, BTreeMap<String, String>>,
}

impl History {
    fn key(step: &str, subject: &str) -> Digest {
        Digest::of(&json::to_vec(&(step, subject)))
    }

    pub(super) fn read(store: &Store, step: &str, subject: &str) -> Option<Self> {
        serde_json::from_slice(&store.history(&Self::key(step, subject))?).ok()
    }

    /// Keeps it. Where that fails, the next dry run has less to say.
    pub(super) fn keep(&self, store: &Store, step: &str, subject: &str) {
        let _ = store.keep_history(&Self::key(step, subject), &json::to_vec(self));
    }

    /// Why the step has to run, as against `last`.
    pub(super) fn why(&self, last: Option<&Self>) -> String {
        let Some(last) = last else { return "it was never run here".to_owned() };
        if self.version != last.version {
            return "this version of talosmith makes it in another way".to_owned();
        }
        let mut reasons = Vec::new();
        for (name, value) in &self.parameters {
            match (last.parameters.get(name), self.trees.get(name)) {
                (Some(before), _) if before == value => {}
                (Some(_), Some(files)) => {
                    let before = last.trees.get(name).cloned().unwrap_or_default();
                    reasons.push(changed_files(&before, files));
                }
                (Some(before), None) if before.len() + value.len() <= 80 => {
                    reasons.push(format!("`{name}` was `{before}` and is `{value}`"));
                }
                _ => reasons.push(format!("`{name}` is another one")),
            }
        }
        let now: Vec<_> = self.inputs.iter().filter(|input| !last.inputs.contains(input)).collect();
        reasons.extend(now.iter().map(|(step, _)| format!("what `{step}` gives is another one")));
        if self.inputs.len() != last.inputs.len() && now.is_empty() {
            reasons.push("it has other inputs".to_owned());
        }
        match reasons.is_empty() {
            true => "its result is gone from the cache".to_owned(),
            false => reasons.join("; "),
        }
    }
}

/// Files that are new, other ones, or gone.
fn changed_files(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let word = |path: &String| match before.get(path) {
        None => format!("`{path}` is new"),
        Some(_) => format!("`{path}` changed"),
    };
    let mut changed: Vec<String> = now
        .iter()
        .filter(|(path, mark)| before.get(*path) != Some(mark))
        .map(|(path, _)| word(path))
        .collect();
    changed.extend(
        before.keys().filter(|path| !now.contains_key(*path)).map(|path| format!("`{path}` is gone")),
    );
    let more = changed.len().saturating_sub(SHOWN);
    changed.truncate(SHOWN);
    if more > 0 {
        changed.push(format!("and {}", count(more, "other file")));
    }
    changed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_reason_names_what_changed() {
        let history = |parameters: &[(&str, &str)], files: &[(&str, &str)], input: &str| History {
            version: 1,
            parameters: map(parameters),
            inputs: vec![("kernel".to_owned(), Digest::of(input.as_bytes()))],
            trees: [("tree".to_owned(), map(files))].into(),
        };
        let parameters = [("tree", "1"), ("epoch", "0")];
        let old = history(&parameters, &[("a", "1"), ("b", "1"), ("c", "1")], "k");
        let why = |now: &History| now.why(Some(&old));
        assert_eq!(old.why(None), "it was never run here");
        assert_eq!(why(&old), "its result is gone from the cache");
        assert_eq!(
            why(&history(&[("tree", "2"), ("epoch", "7")], &[("a", "2"), ("b", "1"), ("d", "1")], "k")),
            "`epoch` was `0` and is `7`; `a` changed, `d` is new, `c` is gone"
        );
        assert_eq!(why(&history(&parameters, &[], "other")), "what `kernel` gives is another one");
        let many: Vec<(String, String)> =
            (0..9).map(|number| (format!("x{number}"), String::new())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert!(why(&history(&[("tree", "2"), ("epoch", "0")], &many, "k")).ends_with("and 9 other files"));
        assert!(why(&History { version: 2, ..old.clone() }).contains("version"));
    }
}
