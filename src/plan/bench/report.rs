//! All runs together: a series for each side of each scenario, the ratios pair by pair, and what the noise
//! forbids to say.

use std::collections::BTreeSet;

use serde::Serialize;

use super::run::{Run, Scenario, Side};
use super::statistics::Spread;

/// From the shortest to the longest run of a series, as a part of its median: beyond this it is noise.
const NOISY: f64 = 0.25;

/// What was measured, and where.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Our command.
    pub command: String,
    /// The other one.
    pub versus: Option<String>,
    /// How often each ran in each scenario.
    pub runs: usize,
    /// Processors of this machine that could be used.
    pub processors: usize,
    /// The command line that says all this.
    pub invocation: String,
}

/// The runs of one scenario. Run for run, those of both sides are pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Which one.
    pub scenario: Scenario,
    /// Ours.
    pub ours: Vec<Run>,
    /// Those of the other command, if there is one.
    pub theirs: Vec<Run>,
}

/// All that is said. The text for people is [`Report::text`], that for a README [`Report::markdown`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was measured, and where.
    #[serde(flatten)]
    pub subject: Subject,
    /// In the order in which they were run.
    pub scenarios: Vec<Outcome>,
    /// What is to be known before any of it is believed.
    pub notes: Vec<String>,
}

/// What came of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Which one.
    pub scenario: Scenario,
    /// Ours.
    pub ours: Series,
    /// The other command's.
    pub theirs: Option<Series>,
    /// Our time divided by theirs.
    pub ratio: Option<Ratio>,
}

/// Runs of the same command in the same scenario. A number that one of them lacks is missing here.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// Seconds on the wall.
    pub seconds: Spread<f64>,
    /// Processor seconds in their own code.
    pub user: Option<Spread<f64>>,
    /// Processor seconds in the kernel.
    pub system: Option<Spread<f64>>,
    /// The largest process's largest resident memory, in bytes.
    pub peak: Option<Spread<u64>>,
    /// Bytes from storage.
    pub read: Option<Spread<u64>>,
    /// Bytes to storage.
    pub written: Option<Spread<u64>>,
    /// By the names of steps, the longest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepSeries>,
    /// The runs themselves, in their order.
    pub runs: Vec<Run>,
}

/// Steps of one name, over all runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepSeries {
    /// The name.
    pub step: String,
    /// Seconds on the wall; 0 in a run without such a step.
    pub seconds: Spread<f64>,
    /// Bytes that went in, where that is known.
    pub read: Option<Spread<u64>>,
    /// Bytes that came out, where that is known.
    pub written: Option<Spread<u64>>,
}

/// Our time divided by theirs, each time within a pair: what disturbs the machine for longer than a run
/// disturbs both of a pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ratio {
    /// How they lie; below 1 we are faster.
    #[serde(flatten)]
    pub spread: Spread<f64>,
    /// Each, in the order of the runs.
    pub pairs: Vec<f64>,
}

impl Report {
    /// Reckons. `notes` are what is known already; those about noise are put behind them.
    pub fn new(subject: Subject, measured: Vec<Measured>, mut notes: Vec<String>) -> Self {
        let scenarios: Vec<Outcome> = measured.into_iter().filter_map(Outcome::of).collect();
        if subject.runs == 1 {
            notes.push("one run tells no spread: `--runs N`".to_owned());
        }
        notes.extend(scenarios.iter().flat_map(Outcome::noise));
        Self { subject, scenarios, notes }
    }
}

impl Outcome {
    fn of(measured: Measured) -> Option<Self> {
        let Measured { scenario, ours, theirs } = measured;
        let (ours, theirs) = (Series::of(ours)?, Series::of(theirs));
        let ratio = theirs.as_ref().and_then(|theirs| Ratio::of(&ours.runs, &theirs.runs));
        Some(Self { scenario, ours, theirs, ratio })
    }

    /// What cannot be told.
    fn noise(&self) -> Vec<String> {
        let scenario = self.scenario.name();
        let sides = [(Side::Ours, Some(&self.ours)), (Side::Theirs, self.theirs.as_ref())];
        let mut notes = Vec::new();
        for (side, series) in sides {
            let Some(spread) = series.map(|series| series.seconds).filter(|it| it.relative() > NOISY) else {
                continue;
            };
            let (Spread { min, max, .. }, percent) = (spread, spread.relative() * 100.0);
            notes.push(format!(
                "{scenario}, {}: too noisy to tell how long it takes: from {min:.3} s to {max:.3} s, {percent:.0} % of \
                the median",
                side.name(),
            ));
        }
        let apart = self.ratio.as_ref().map(|ratio| ratio.spread).filter(|it| it.min < 1.0 && 1.0 < it.max);
        if let Some(spread) = apart {
            notes.push(format!(
                "{scenario}: too noisy to tell which is faster: the ratio goes from {:.2} to {:.2}",
                spread.min, spread.max
            ));
        }
        notes
    }
}

impl Series {
    /// Of no runs there is nothing to say.
    fn of(runs: Vec<Run>) -> Option<Self> {
        let seconds = Spread::of(runs.iter().map(|run| run.seconds))?;
        Some(Self {
            seconds,
            user: known(&runs, |run| run.user).and_then(Spread::of),
            system: known(&runs, |run| run.system).and_then(Spread::of),
            peak: known(&runs, |run| run.peak).and_then(Spread::of_whole),
            read: known(&runs, |run| run.read).and_then(Spread::of_whole),
            written: known(&runs, |run| run.written).and_then(Spread::of_whole),
            steps: StepSeries::of(&runs),
            runs,
        })
    }
}

/// A number of every run, if every run has it.
fn known<T>(runs: &[Run], number: impl Fn(&Run) -> Option<T>) -> Option<Vec<T>> {
    runs.iter().map(number).collect()
}

impl StepSeries {
    fn of(runs: &[Run]) -> Vec<Self> {
        let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.steps.keys()).collect();
        let mut all: Vec<Self> = names.into_iter().filter_map(|name| Self::one(name, runs)).collect();
        all.sort_by(|a, b| b.seconds.median.total_cmp(&a.seconds.median)); // stable: then by name
        all
    }

    fn one(name: &str, runs: &[Run]) -> Option<Self> {
        let steps = || runs.iter().map(|run| run.steps.get(name).copied().unwrap_or_default());
        Some(Self {
            step: name.to_owned(),
            seconds: Spread::of(steps().map(|step| step.seconds))?,
            read: Spread::of_whole(steps().filter_map(|step| step.read)),
            written: Spread::of_whole(steps().filter_map(|step| step.written)),
        })
    }
}

impl Ratio {
    fn of(ours: &[Run], theirs: &[Run]) -> Option<Self> {
        let pairs = ours.iter().zip(theirs).filter(|(_, theirs)| theirs.seconds > 0.0);
        let pairs: Vec<f64> = pairs.map(|(ours, theirs)| ours.seconds / theirs.seconds).collect();
        Spread::of(pairs.iter().copied()).map(|spread| Self { spread, pairs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::bench::StepCost;

    fn report(ours: &[f64], theirs: &[f64]) -> Report {
        let run = |seconds: &f64| Run { seconds: *seconds, ..Run::default() };
        let (ours, theirs): (Vec<Run>, Vec<Run>) =
            (ours.iter().map(run).collect(), theirs.iter().map(run).collect());
        let subject = Subject {
            command: "talosmith build".to_owned(),
            versus: None,
            runs: ours.len(),
            processors: 2,
            invocation: String::new(),
        };
        Report::new(subject, vec![Measured { scenario: Scenario::Cold, ours, theirs }], Vec::new())
    }

    #[test]
    fn ratios_are_those_of_pairs_and_not_of_medians() {
        let report = report(&[1.0, 2.0, 4.0], &[2.0, 4.0, 4.0]);
        let ratio = report.scenarios[0].ratio.as_ref().unwrap();
        assert_eq!(ratio.pairs, [0.5, 0.5, 1.0]);
        assert_eq!(ratio.spread, Spread { median: 0.5, min: 0.5, max: 1.0 });
    }

    #[test]
    fn a_quiet_machine_is_believed() {
        assert_eq!(report(&[1.0, 1.1, 1.2], &[2.0, 2.2, 2.4]).notes, Vec::<String>::new());
        let report = report(&[1.0, 1.0], &[1.0, 1.0]);
        assert_eq!(report.notes, Vec::<String>::new(), "the same is no noise");
    }

    #[test]
    fn a_noisy_series_is_told_with_its_numbers() {
        let notes = report(&[1.0, 1.0, 1.5], &[]).notes;
        let numbers = "from 1.000 s to 1.500 s, 50 % of the median";
        assert_eq!(notes, [format!("cold, talosmith: too noisy to tell how long it takes: {numbers}")]);
        assert!(report(&[1.0], &[1.0]).notes[0].contains("one run tells no spread"));
    }

    #[test]
    fn ratios_on_both_sides_of_one_say_nothing() {
        let notes = report(&[1.0, 1.1], &[1.1, 1.0]).notes;
        assert_eq!(notes, ["cold: too noisy to tell which is faster: the ratio goes from 0.91 to 1.10"]);
    }

    #[test]
    fn a_number_that_one_run_lacks_is_missing() {
        let run = |user, peak| Run { seconds: 1.0, user, peak, ..Run::default() };
        let series = Series::of(vec![run(Some(1.0), Some(5)), run(None, Some(7))]).unwrap();
        assert_eq!((series.user, series.peak.map(|peak| peak.median)), (None, Some(6)));
        assert_eq!(Series::of(Vec::new()), None);
    }

    #[test]
    fn steps_are_sorted_by_time_and_count_as_nothing_in_a_run_without_them() {
        let step = |(name, seconds): &(&str, f64)| {
            ((*name).to_owned(), StepCost { seconds: *seconds, ..StepCost::default() })
        };
        let run = |steps: &[(&str, f64)]| Run { steps: steps.iter().map(step).collect(), ..Run::default() };
        let series = Series::of(vec![run(&[("a", 1.0), ("b", 2.0)]), run(&[("b", 4.0)])]).unwrap();
        let names: Vec<&str> = series.steps.iter().map(|step| step.step.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(series.steps[1].seconds, Spread { median: 0.5, min: 0.0, max: 1.0 });
    }

    #[test]
    fn json_has_every_run_and_no_empty_steps() {
        let value = serde_json::to_value(report(&[1.0, 2.0], &[2.0, 4.0])).unwrap();
        assert_eq!(value["scenarios"][0]["ours"]["runs"][1]["seconds"], 2.0);
        assert_eq!(value["scenarios"][0]["ratio"]["median"], 0.5);
        assert_eq!(value["scenarios"][0]["scenario"], "cold");
        assert!(value["scenarios"][0]["ours"].get("steps").is_none());
        assert_eq!(value["processors"], 2);
    }
}
