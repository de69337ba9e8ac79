//! A run: in which scenario, by whom, and what it cost.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;

use crate::plan::timings::Timings;

/// What a run of ours finds in its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Nothing: the folder is empty. What the operating system keeps in memory of files stays.
    Cold,
    /// All that an earlier run has left there.
    Warm,
    /// The same, but a file is another than it was.
    Changed,
}

/// No scenario has this name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no scenario: cold, warm or changed")]
pub struct NoSuchScenario(String);

impl FromStr for Scenario {
    type Err = NoSuchScenario;

    fn from_str(text: &str) -> Result<Self, NoSuchScenario> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.name() == text);
        found.ok_or_else(|| NoSuchScenario(text.to_owned()))
    }
}

impl Scenario {
    /// All of them, in the order in which they are run.
    pub const ALL: [Self; 3] = [Self::Cold, Self::Warm, Self::Changed];

    /// The scenario's name, as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Changed => "changed",
        }
    }
}

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// talosmith.
    Ours,
    /// The other command.
    Theirs,
}

impl Side {
    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "talosmith",
            Self::Theirs => "other",
        }
    }
}

/// Who goes first in the pair of this number, from 0: each side as often as the other, so that a machine
/// that becomes slower or faster by and by favours nobody.
pub fn order(pair: usize) -> [Side; 2] {
    if pair.is_multiple_of(2) { [Side::Ours, Side::Theirs] } else { [Side::Theirs, Side::Ours] }
}

/// What one run cost. Other than the time, a number is missing where the kernel does not give it. They are
/// those of the process and of all that it started and waited for: what a daemon does for it is not seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Seconds on the wall, from before the process is started until it has ended.
    pub seconds: f64,
    /// Processor seconds in the processes' own code, of all threads together; in steps of 10 ms.
    pub user: Option<f64>,
    /// Processor seconds in the kernel on their behalf; in steps of 10 ms.
    pub system: Option<f64>,
    /// The largest resident memory of the largest of the processes, in bytes. Looked at while they run, so
    /// what one takes in the last sixteenth of the run, at most 5 ms, and what lives shorter, may be missed.
    pub peak: Option<u64>,
    /// Bytes that had to be fetched from storage; what the operating system has in memory does not count.
    pub read: Option<u64>,
    /// Bytes of files that were written and are to go to storage, whether they are there yet, or were
    /// removed before that; not those of file systems in memory.
    pub written: Option<u64>,
    /// What its steps cost, by name, where they are ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, StepCost>,
}

/// What all steps of one name cost in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepCost {
    /// Seconds on the wall, added up; steps that run at once add up to more than the run takes.
    pub seconds: f64,
    /// Bytes that went in, where that is known of any.
    pub read: Option<u64>,
    /// Bytes that came out, where that is known of any.
    pub written: Option<u64>,
}

/// What the steps of a build cost, by name.
pub fn steps(timings: &Timings) -> BTreeMap<String, StepCost> {
    let mut steps: BTreeMap<String, StepCost> = BTreeMap::new();
    for bar in &timings.bars {
        let step = steps.entry(bar.step.clone()).or_default();
        step.seconds += (bar.end - bar.start).max(0.0);
        step.read = sum(step.read, bar.read);
        step.written = sum(step.written, bar.written);
    }
    steps
}

/// What is known of two numbers together.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::timings::Bar;

    #[test]
    fn each_side_goes_first_in_turn() {
        assert_eq!(order(0), [Side::Ours, Side::Theirs]);
        assert_eq!(order(1), [Side::Theirs, Side::Ours]);
        assert_eq!(order(2), order(0));
    }

    #[test]
    fn scenarios_are_known_by_their_names_only() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse::<Scenario>().unwrap(), scenario);
        }
        assert!("Cold".parse::<Scenario>().is_err());
    }

    #[test]
    fn steps_of_one_name_add_up_and_unknown_bytes_stay_unknown() {
        let bar = |step: &str, start, end, read| Bar {
            step: step.to_owned(),
            subject: String::new(),
            start,
            end,
            lane: 0,
            known: false,
            failed: false,
            read,
            written: None,
            outcome: String::new(),
        };
        let bars = vec![
            bar("layer", 0.0, 1.5, Some(3)),
            bar("layer", 1.0, 2.0, Some(4)),
            bar("layer", 1.0, 1.0, None),
            bar("push", 3.0, 2.0, None), // by a clock that went back
        ];
        let timings = Timings {
            title: String::new(),
            seconds: 2.0,
            cores: 2,
            user: 0.0,
            system: 0.0,
            peak: None,
            bars,
            outputs: Vec::new(),
        };
        let steps = steps(&timings);
        assert_eq!(steps["layer"], StepCost { seconds: 2.5, read: Some(7), written: None });
        assert_eq!(steps["push"], StepCost::default());
    }
}
