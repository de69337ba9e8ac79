//! `talosmith bench`
//!
//! Each run is a process of its own, one at a time.
//!
//! The command of `--vs` is run by a shell, by the user's own word and nowhere else.

mod changed;
mod measure;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use serde_json::json;

use self::changed::{Changed, Grown};
use self::measure::{Told, measure, run_call};
use crate::base::fsio::{self, TempFolder};
use crate::base::program::{Call, Ended};
use crate::base::units::count;
use crate::base::{Activity, Events, chain};
use crate::bldr::buildkit::command::quoted;
use crate::cli::args::{Bench, EVERYWHERE, Global};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::options::{self, Options};
use crate::cli::printer::Printer;
use crate::plan::bench::run::{order, steps};
use crate::plan::bench::{Measured, Report, Run, Scenario, Side, Subject};
use crate::plan::timings::Timings;

/// The spec, where none is named.
const SPEC: &str = "talosmith.yaml";
/// What the scenario's name is given to the other command as.
const VARIABLE: &str = "TALOSMITH_BENCH";
/// A build of some thousand steps writes a tenth of it.
const TIMINGS_MAX: u64 = 64 << 20;

pub(super) fn run(
    args: &Bench,
    global: &Global,
    options: &Options,
    printer: &Printer,
) -> Result<Outcome, Failure> {
    if args.markdown && printer.is_json() {
        return Err(Failure::usage(
            "`--markdown` and `--json` are two forms of one result: give one of them",
        ));
    }
    let scenarios = scenarios(args)?;
    let ours = Ours::new(args, global)?;
    let changed = args.changed.as_deref().map(Changed::open).transpose()?.map(Arc::new);
    if let Some(changed) = &changed {
        changed.restore_when_interrupted();
    }
    let folder = options.context.store.temp_folder().map_err(|error| Failure::output(chain(&error)))?;
    let subject = Subject {
        command: ours.title(),
        versus: args.vs.clone(),
        runs: usize::from(args.runs),
        processors: thread::available_parallelism().map_or(1, usize::from),
        invocation: invocation(),
    };
    let theirs = args.vs.as_deref().map(|command| Theirs { command, prepare: args.vs_prepare.as_deref() });
    let events = options.context.events.clone();
    let mut bench = Runner { ours, theirs, changed, folder, events, runs: args.runs, filled: false, lost: 0 };
    let measured: Vec<Measured> =
        scenarios.into_iter().map(|scenario| bench.scenario(scenario)).collect::<Result<_, _>>()?;
    let notes =
        (bench.lost > 0).then(|| format!("{} without timings of its steps", count(bench.lost, "build")));
    let report = Report::new(subject, measured, notes.into_iter().collect());
    let text = if args.markdown { report.markdown() } else { report.text() };
    printer.result("bench", json!(report), &text)?;
    Ok(Outcome::Done)
}

/// Which ones, in the order in which they are run.
fn scenarios(args: &Bench) -> Result<Vec<Scenario>, Failure> {
    let asked = |scenario: &Scenario| match args.scenarios.is_empty() {
        true => *scenario != Scenario::Changed || args.changed.is_some(),
        false => args.scenarios.contains(scenario),
    };
    let scenarios: Vec<Scenario> = Scenario::ALL.into_iter().filter(asked).collect();
    match (scenarios.contains(&Scenario::Changed), &args.changed) {
        (true, None) => {
            Err(Failure::usage("`--scenario changed` wants to know which file: `--changed FILE`"))
        }
        (false, Some(_)) => Err(Failure::usage("`--changed` is of use in the scenario `changed` only")
            .hint(Some("add `--scenario changed`, or leave out `--scenario`".to_owned()))),
        _ => Ok(scenarios),
    }
}

/// The command line of this process.
fn invocation() -> String {
    let words = env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    std::iter::once("talosmith".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A path as a word of a command line.
fn word(path: &Path) -> Result<String, Failure> {
    let word = path.to_str().map(str::to_owned);
    word.ok_or_else(|| Failure::usage(format!("`{}` is no text that can be passed on", path.display())))
}

/// Variables of this process that are passed on. One whose name is no text is of no use to anybody.
fn environment() -> BTreeMap<String, OsString> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
}

/// Our command.
struct Ours {
    program: PathBuf,
    /// Global options, but for the cache.
    global: Vec<String>,
    words: Vec<String>,
}

impl Ours {
    fn new(args: &Bench, global: &Global) -> Result<Self, Failure> {
        let words = if args.words.is_empty() {
            vec!["build".to_owned(), word(args.file.as_deref().unwrap_or(Path::new(SPEC)))?]
        } else {
            args.words.clone()
        };
        for option in ["--cache", "--timings"] {
            let is = |word: &String| {
                word == option || word.strip_prefix(option).is_some_and(|it| it.starts_with('='))
            };
            if words.iter().any(is) {
                return Err(Failure::usage(format!("`{option}` is given to each run by `bench` itself")));
            }
        }
        let program = env::current_exe()
            .map_err(|error| internal(format!("where this program lies cannot be told: {error}")))?;
        Ok(Self { program, global: passed_on(global)?, words })
    }

    fn title(&self) -> String {
        let words = self.words.iter().map(|word| quoted(word));
        std::iter::once("talosmith".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Whether it writes timings.
    fn is_build(&self) -> bool {
        self.words.first().is_some_and(|word| word == "build")
    }

    /// Findings and differences are results of these, and their exit code is 1.
    fn may_find(&self) -> bool {
        self.words.first().is_some_and(|word| word == "check" || word == "diff")
    }

    fn call(&self, cache: &Path, timings: &Path) -> Result<Call, Failure> {
        let mut arguments = self.global.clone();
        arguments.extend(["--cache".to_owned(), word(cache)?]);
        let mut words = self.words.iter().cloned();
        arguments.extend(words.next());
        if self.is_build() {
            arguments.extend(["--timings".to_owned(), word(timings)?]);
        }
        arguments.extend(words);
        Ok(Call { program: self.program.clone(), arguments, environment: environment(), time: None })
    }
}

/// Global options that change how a run goes. They come before the command, whose own words may end in `--`.
fn passed_on(global: &Global) -> Result<Vec<String>, Failure> {
    let mut words = vec!["--quiet".to_owned()];
    if let Some(jobs) = global.jobs {
        words.extend(["--jobs".to_owned(), jobs.to_string()]);
    }
    words.extend(global.offline.then(|| "--offline".to_owned()));
    words.extend(global.insecure.iter().map(|host| match host.as_str() {
        EVERYWHERE => "--insecure".to_owned(),
        host => format!("--insecure={host}"),
    }));
    words.extend(["--tries".to_owned(), global.tries.to_string()]);
    for (option, file) in options::files(global) {
        if let Some(file) = file {
            words.extend([option.to_owned(), word(file)?]);
        }
    }
    Ok(words)
}

/// The other command.
struct Theirs<'a> {
    command: &'a str,
    prepare: Option<&'a str>,
}

fn shell(script: &str, scenario: Scenario) -> Call {
    let mut environment = environment();
    environment.insert(VARIABLE.to_owned(), scenario.name().into());
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    Call { program: "/bin/sh".into(), arguments, environment, time: None }
}

/// Runs them in turn.
struct Runner<'a> {
    ours: Ours,
    theirs: Option<Theirs<'a>>,
    changed: Option<Arc<Changed>>,
    /// For caches and timings.
    folder: TempFolder,
    events: Events,
    runs: u16,
    /// The warm cache is.
    filled: bool,
    /// Builds without timings.
    lost: usize,
}

impl Runner<'_> {
    fn scenario(&mut self, scenario: Scenario) -> Result<Measured, Failure> {
        let activity = self.events.begin("bench", scenario.name(), None);
        if scenario != Scenario::Cold && !self.filled {
            activity.say(format!("{}, a run that is not timed", scenario.name()));
            self.ours(scenario, 0)?;
            self.theirs(scenario)?;
            self.filled = true;
        }
        let mut measured = Measured { scenario, ours: Vec::new(), theirs: Vec::new() };
        for number in 0..self.runs {
            self.pair(number, &mut measured, &activity)?;
        }
        activity.finish(count(usize::from(self.runs), "run"));
        Ok(measured)
    }

    fn pair(&mut self, number: u16, measured: &mut Measured, activity: &Activity) -> Result<(), Failure> {
        let scenario = measured.scenario;
        let changed = self.changed.clone().filter(|_| scenario == Scenario::Changed);
        // Another length each time: what a run before it has left in the cache must not fit.
        let grown = changed.as_ref().map(|changed| changed.grow(usize::from(number) + 1)).transpose()?;
        for side in order(usize::from(number)) {
            if side == Side::Theirs && self.theirs.is_none() {
                continue;
            }
            activity.say(format!(
                "{}, run {} of {}: {}",
                scenario.name(),
                number + 1,
                self.runs,
                side.name()
            ));
            match side {
                Side::Ours => measured.ours.push(self.ours(scenario, number)?),
                Side::Theirs => measured.theirs.extend(self.theirs(scenario)?),
            }
        }
        grown.map_or(Ok(()), Grown::undo)
    }

    fn ours(&mut self, scenario: Scenario, number: u16) -> Result<Run, Failure> {
        let timings = self.folder.path().join("timings.json");
        fsio::remove(&timings); // of the run before
        let cold = scenario == Scenario::Cold;
        let name = if cold { format!("cold-{number}") } else { "warm".to_owned() };
        let cache = self.folder.path().join(name);
        let (ended, mut run, told) = measure(&self.ours.call(&cache, &timings)?)?;
        if cold {
            fsio::remove(&cache); // or a hundred runs fill the disk
        }
        let found = ended == Ended::Code(1) && self.ours.may_find();
        if ended != Ended::Well && !found {
            return Err(failed(&self.ours.title(), ended, told, Side::Ours));
        }
        if self.ours.is_build() {
            match read_timings(&timings) {
                Some(timings) => {
                    run.steps = steps(&timings);
                    run.peak = run.peak.max(timings.peak); // it looked at its own end, where nobody else can
                }
                None => self.lost += 1,
            }
        }
        Ok(run)
    }

    /// A run of the other command, if there is one.
    fn theirs(&self, scenario: Scenario) -> Result<Option<Run>, Failure> {
        let Some(theirs) = &self.theirs else { return Ok(None) };
        if let Some(prepare) = theirs.prepare {
            let (ended, told) = run_call(&shell(prepare, scenario), || {})?;
            if ended != Ended::Well {
                return Err(failed(prepare, ended, told, Side::Theirs));
            }
        }
        let (ended, run, told) = measure(&shell(theirs.command, scenario))?;
        match ended {
            Ended::Well => Ok(Some(run)),
            ended => Err(failed(theirs.command, ended, told, Side::Theirs)),
        }
    }
}

fn read_timings(path: &Path) -> Option<Timings> {
    serde_json::from_slice(&fsio::read(path, TIMINGS_MAX).ok()?).ok()
}

/// A run that failed: of ours, with its own kind.
fn failed(title: &str, ended: Ended, told: Told, side: Side) -> Failure {
    let (code, kind) = match (side, ended) {
        (Side::Theirs, _) => (6, "tool"),
        (Side::Ours, Ended::Code(1)) => (1, "findings"),
        (Side::Ours, Ended::Code(2)) => (2, "usage"),
        (Side::Ours, Ended::Code(3)) => (3, "input"),
        (Side::Ours, Ended::Code(4)) => (4, "registry"),
        (Side::Ours, Ended::Code(5)) => (5, "output"),
        (Side::Ours, Ended::Code(6)) => (6, "tool"),
        (Side::Ours, _) => (70, "internal"),
    };
    let details = [told.err.lines(), told.out.lines()].concat();
    Failure { code, kind, details, ..internal(format!("`{title}` {ended}")) }
}

fn internal(message: String) -> Failure {
    Failure { code: 70, kind: "internal", message, details: Vec::new(), hint: None, report: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_command_is_told_the_scenario() {
        let (ended, told) = run_call(&shell("echo $TALOSMITH_BENCH", Scenario::Warm), || {}).unwrap();
        assert_eq!((ended, told.out.lines()), (Ended::Well, vec!["warm".to_owned()]));
    }

    #[test]
    fn our_options_come_before_the_command_and_its_own_words_stay_together() {
        let ours = |words: &[&str]| Ours {
            program: "talosmith".into(),
            global: vec!["--quiet".to_owned()],
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let arguments = |words: &[&str]| ours(words).call(Path::new("c"), Path::new("t")).unwrap().arguments;
        assert_eq!(
            arguments(&["build", "x.yaml"]),
            ["--quiet", "--cache", "c", "build", "--timings", "t", "x.yaml"]
        );
        assert_eq!(arguments(&["packages", "--", "x"]), ["--quiet", "--cache", "c", "packages", "--", "x"]);
        assert_eq!(ours(&["new", "a b"]).title(), "talosmith new 'a b'");
        assert!(ours(&["diff", "a", "b"]).may_find() && !ours(&["build"]).may_find());
    }
}
