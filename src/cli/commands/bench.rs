//! `talosmith bench`
//!
//! Each run is a process of its own, one at a time. What it costs is read off this process's own accounts,
//! before and after: the kernel adds to them what a child has cost as soon as it was waited for (see
//! [`proc`]). Two threads look at the child meanwhile: one for the moment of its end, one for its memory.
//!
//! The command of `--vs` is run by a shell, by the user's own word and nowhere else.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::json;

use super::super::args::{Bench, Global};
use super::super::failure::{Failure, Outcome};
use super::super::options::Options;
use super::super::printer::Printer;
use crate::base::fsio::{self, TempFolder};
use crate::base::program::{self, Call, Ended, StreamError};
use crate::base::units::count;
use crate::base::{Activity, Events, chain};
use crate::bldr::buildkit::command::quoted;
use crate::plan::bench::proc::{self, Account};
use crate::plan::bench::run::{order, steps};
use crate::plan::bench::{Measured, Report, Run, Scenario, Side, Subject};
use crate::plan::timings::Timings;

/// The spec, where none is named.
const SPEC: &str = "talosmith.yaml";
/// What the scenario's name is given to the other command as.
const VARIABLE: &str = "TALOSMITH_BENCH";
/// How often the memory of what runs is looked at: of a short run more often, or its end would be missed; of
/// a longer one less, or looking would take part in what is measured.
const LOOKS: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(5)];
/// So much of a failed run's output is shown.
const TAIL: usize = 4 << 10;
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
    for (given, option) in [(global.offline, "--offline"), (global.insecure, "--insecure")] {
        words.extend(given.then(|| option.to_owned()));
    }
    for (file, option) in [(&global.auth_file, "--auth-file"), (&global.tls_ca, "--tls-ca")] {
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

// --- measuring ------------------------------------------------------------------------------------------

/// The end of what a program has written.
#[derive(Default)]
struct Told {
    out: Tail,
    err: Tail,
}

/// Keeps the last bytes that are written to it.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn lines(&self) -> Vec<String> {
        let last = self.0.get(self.0.len().saturating_sub(TAIL)..).unwrap_or_default();
        String::from_utf8_lossy(last).lines().map(str::to_owned).collect()
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 16 * TAIL {
            self.0.drain(..self.0.len() - TAIL);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a program; `begun` is called as soon as it is one.
fn run_call(call: &Call, begun: impl FnOnce()) -> Result<(Ended, Told), Failure> {
    let mut told = Told::default();
    let (out, err) = (&mut told.out, &mut told.err);
    let mut line = |line: &[u8]| {
        let _ = err.write_all(&[line, b"\n"].concat()); // to memory
    };
    let streamed = program::stream(call, &mut line, |reader| {
        begun();
        io::copy(reader, out)
    });
    match streamed {
        Ok((ended, _)) => Ok((ended, told)),
        Err(StreamError::Reader(error)) => Err(internal(chain(&error))),
        Err(error @ StreamError::Start { .. }) => Err(internal(chain(&error))),
    }
}

/// Runs a program, and tells what that cost.
fn measure(call: &Call) -> Result<(Ended, Run, Told), Failure> {
    let others = children();
    let before = account();
    let start = Instant::now();
    let (ran, end, peak) = thread::scope(|scope| {
        let mut watch = None;
        let ran = run_call(call, || {
            // It stays in the list until it was waited for, which comes after this.
            let child = children().into_iter().find(|child| !others.contains(child));
            watch = child.and_then(Pid::from_raw).and_then(|child| Watch::new(scope, child));
        });
        let now = Instant::now();
        let (end, peak) = watch.map_or((None, None), Watch::finish);
        (ran, end.unwrap_or(now), peak)
    });
    let (ended, told) = ran?;
    let spent = account().since(&before);
    let run = Run {
        seconds: end.saturating_duration_since(start).as_secs_f64(),
        user: spent.user,
        system: spent.system,
        peak,
        read: spent.read,
        written: spent.written,
        steps: BTreeMap::new(),
    };
    Ok((ended, run, told))
}

/// What this process's children cost up to now.
fn account() -> Account {
    let read = |path| fs::read_to_string(path).unwrap_or_default(); // what is missing is shown as missing
    Account::parse(&read("/proc/self/stat"), &read("/proc/self/io"))
}

/// Two threads that look at a child.
struct Watch<'scope> {
    end: ScopedJoinHandle<'scope, Instant>,
    peak: ScopedJoinHandle<'scope, Option<u64>>,
}

impl<'scope> Watch<'scope> {
    fn new(scope: &'scope Scope<'scope, '_>, child: Pid) -> Option<Self> {
        let (done, is_done) = channel();
        let end = thread::Builder::new().name("end".to_owned());
        let peak = thread::Builder::new().name("memory".to_owned());
        Some(Self {
            end: end.spawn_scoped(scope, move || wait_for(child, done)).ok()?,
            peak: peak.spawn_scoped(scope, move || peak_of(child, &is_done)).ok()?,
        })
    }

    fn finish(self) -> (Option<Instant>, Option<u64>) {
        (self.end.join().ok(), self.peak.join().ok().flatten())
    }
}

/// Waits until a child has ended, and leaves it to who started it, who looks every few milliseconds only.
fn wait_for(child: Pid, done: Sender<()>) -> Instant {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // An error says that it was waited for already, so it has ended as well.
    let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(child), options));
    let end = Instant::now();
    drop(done);
    end
}

/// The largest resident memory of a child and all below it, until `done`.
fn peak_of(child: Pid, done: &Receiver<()>) -> Option<u64> {
    let [often, seldom] = LOOKS;
    let (begun, mut peak) = (Instant::now(), None);
    loop {
        let mut next = vec![child.as_raw_nonzero().get()];
        while let Some(process) = next.pop() {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            peak = peak.max(proc::peak(&status));
            next.extend(children_of(process));
        }
        let pause = (begun.elapsed() / 16).clamp(often, seldom);
        if done.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return peak;
        }
    }
}

/// Those that this thread has started.
fn children() -> Vec<i32> {
    let list = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    proc::processes(&list).collect()
}

/// Children of all threads of a process; none where it has ended, or the kernel keeps no such lists.
fn children_of(process: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| proc::processes(&list).collect::<Vec<_>>()).collect()
}

// --- the changed file -----------------------------------------------------------------------------------

/// A file that grows for a while. It is never written anew: what it had stays in its place, and what was
/// appended is cut off again. Killed (by SIGKILL, or by a power cut), a bench leaves newlines at its end.
struct Changed {
    path: PathBuf,
    file: File,
    now: Mutex<Now>,
}

/// What was done to it.
enum Now {
    /// Nothing.
    Itself,
    /// It was this long, with these times, and got so many bytes more.
    Longer { length: u64, added: u64, times: FileTimes },
    /// The process ends: it is itself, and stays so.
    Closed,
}

/// The file is longer as long as this is there.
struct Grown<'a>(&'a Changed);

impl Grown<'_> {
    fn undo(self) -> Result<(), Failure> {
        self.0.restore(Now::Itself)
    }
}

impl Drop for Grown<'_> {
    fn drop(&mut self) {
        let _ = self.0.restore(Now::Itself); // an error is being told of, or it is restored already
    }
}

impl Changed {
    fn open(path: &Path) -> Result<Self, Failure> {
        let at = |what: &str, error: io::Error| {
            Failure::input(format!("`--changed`: cannot {what} `{}`: {error}", path.display()))
        };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| at("open", error))?;
        let data = file.metadata().map_err(|error| at("open", error))?;
        let unfit = |why: &str| Failure::input(format!("`--changed`: `{}` {why}", path.display()));
        if !data.is_file() {
            return Err(unfit("is no regular file"));
        }
        if data.nlink() > 1 {
            return Err(unfit("has several names (hard links), and would change under all of them")
                .hint(Some("put a copy in its place".to_owned())));
        }
        // Only its owner may set times: better to know it now.
        times(&data)
            .and_then(|times| file.set_times(times))
            .map_err(|error| at("set the times of", error))?;
        Ok(Self { path: path.to_owned(), file, now: Mutex::new(Now::Itself) })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends so many newlines: of all bytes, what a file of text bears best.
    fn grow(&self, bytes: usize) -> Result<Grown<'_>, Failure> {
        let cannot = |error: io::Error| {
            Failure::output(format!("`--changed`: cannot append to `{}`: {error}", self.path.display()))
        };
        let mut now = self.now();
        if matches!(*now, Now::Closed) {
            return Err(Failure { code: 130, kind: "interrupted", ..internal("interrupted".to_owned()) });
        }
        let data = self.file.metadata().map_err(cannot)?;
        let times = times(&data).map_err(cannot)?;
        *now = Now::Longer { length: data.len(), added: bytes as u64, times };
        // Under the lock: it is not restored before it is longer.
        let written = self.file.write_all_at(&vec![b'\n'; bytes], data.len());
        drop(now);
        let grown = Grown(self); // an error restores it, too
        written.map(|()| grown).map_err(cannot)
    }

    /// Makes it what it was; does nothing if it is.
    fn restore(&self, then: Now) -> Result<(), Failure> {
        let mut now = self.now();
        if matches!(*now, Now::Closed) {
            return Ok(());
        }
        let Now::Longer { length, added, times } = std::mem::replace(&mut *now, then) else { return Ok(()) };
        let restored = self.file.metadata().and_then(|data| {
            // Somebody else has written to it: what to cut off is not known any more.
            if !(length..=length + added).contains(&data.len()) {
                return Err(io::Error::other("it was changed by somebody else meanwhile"));
            }
            self.file.set_len(length)?;
            self.file.set_times(times)
        });
        restored.map_err(|error| {
            let path = self.path.display();
            Failure::output(format!("`--changed`: cannot restore `{path}`: {error}"))
                .hint(Some(format!("it had {length} bytes; behind them, {added} newlines were appended")))
        })
    }

    /// Restores it at once when a signal comes. The process ends after that, and the programs that it runs end
    /// before, which takes them longer than this.
    fn restore_when_interrupted(self: &Arc<Self>) {
        use tokio::signal::unix::{SignalKind, signal};
        let changed = Arc::clone(self);
        let (ready, watching) = channel();
        let watch = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
                return;
            };
            runtime.block_on(async {
                let both = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
                let (Ok(mut interrupt), Ok(mut terminate)) = both else { return };
                let _ = ready.send(()); // whoever started this waits for it
                let (interrupt, terminate) = (Box::pin(interrupt.recv()), Box::pin(terminate.recv()));
                futures_util::future::select(interrupt, terminate).await;
                let _ = changed.restore(Now::Closed); // there is no time to tell
            });
        };
        if thread::Builder::new().name("restore".to_owned()).spawn(watch).is_ok() {
            let _ = watching.recv(); // an error: signals cannot be watched, here as elsewhere
        }
    }
}

fn times(data: &fs::Metadata) -> io::Result<FileTimes> {
    Ok(FileTimes::new().set_accessed(data.accessed()?).set_modified(data.modified()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(folder: &Path) -> Changed {
        let path = folder.join("file");
        fs::write(&path, "contents").unwrap();
        let past = std::time::SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        let times = FileTimes::new().set_accessed(past).set_modified(past + Duration::from_secs(1));
        File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        Changed::open(&path).unwrap()
    }

    fn state(path: &Path) -> (u64, i64, i64, i64, i64) {
        let data = fs::metadata(path).unwrap();
        (data.ino(), data.mtime(), data.mtime_nsec(), data.atime(), data.atime_nsec())
    }

    #[test]
    fn the_changed_file_is_itself_again_byte_for_byte_with_its_times() {
        let folder = tempfile::tempdir().unwrap();
        let changed = changed(folder.path());
        for bytes in [1, 2] {
            let before = state(&changed.path); // reading it sets a time, too
            let grown = changed.grow(bytes).unwrap();
            let expected = format!("contents{}", "\n".repeat(bytes));
            assert_eq!(fs::read_to_string(&changed.path).unwrap(), expected);
            assert_ne!(state(&changed.path), before);
            grown.undo().unwrap();
            assert_eq!(state(&changed.path), before);
            assert_eq!(fs::read(&changed.path).unwrap(), b"contents");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_and_a_signal_restore_the_file_as_well_and_after_a_signal_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let changed = changed(folder.path());
        let before = state(&changed.path);
        drop(changed.grow(3).unwrap());
        assert_eq!(state(&changed.path), before);
        let grown = changed.grow(3).unwrap();
        changed.restore(Now::Closed).unwrap();
        assert_eq!(state(&changed.path), before);
        drop(grown);
        assert_eq!(changed.grow(1).err().unwrap().code, 130);
        assert_eq!(state(&changed.path), before);
        assert_eq!(fs::read(&changed.path).unwrap(), b"contents");
    }

    #[test]
    fn a_file_that_somebody_else_has_written_to_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let changed = changed(folder.path());
        for theirs in ["short", "contents and more"] {
            fs::write(&changed.path, "contents").unwrap();
            let grown = changed.grow(1).unwrap();
            fs::write(&changed.path, theirs).unwrap();
            assert!(grown.undo().unwrap_err().message.contains("somebody else"));
            assert_eq!(fs::read_to_string(&changed.path).unwrap(), theirs);
        }
    }

    #[test]
    fn a_file_that_cannot_be_changed_alone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&file, "x").unwrap();
        fs::hard_link(&file, &other).unwrap();
        let refused = |path: &Path| Changed::open(path).err().unwrap();
        assert!(refused(&file).message.contains("hard links"));
        assert_eq!(refused(folder.path()).code, 3);
        assert_eq!(refused(&folder.path().join("missing")).code, 3);
    }

    #[test]
    fn what_a_program_costs_is_told_with_that_of_all_that_it_started() {
        // Beside this program, since many a /tmp is in memory.
        let folder = tempfile::tempdir_in(env::current_exe().unwrap().parent().unwrap()).unwrap();
        let in_memory = rustix::fs::statfs(folder.path()).unwrap().f_type == 0x0102_1994; // tmpfs
        let file = folder.path().join("file");
        let script = format!(
            "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); \
             (dd if=/dev/zero of={} bs=1000000 count=3 2>/dev/null); sleep 0.2; echo out; echo err >&2; exit 7",
            quoted(file.to_str().unwrap())
        );
        let (ended, run, told) = measure(&shell(&script, Scenario::Cold)).unwrap();
        assert_eq!(ended, Ended::Code(7));
        assert_eq!((told.out.lines(), told.err.lines()), (vec!["out".to_owned()], vec!["err".to_owned()]));
        assert!(run.seconds >= 0.2, "{run:?}");
        // Where the kernel keeps no such accounts, a number is missing. Other tests' programs may be in it.
        assert!(run.user.is_none_or(|user| user > 0.0), "{run:?}");
        assert!(run.peak.is_none_or(|peak| (100_000..100_000_000).contains(&peak)), "{run:?}");
        assert!(in_memory || run.written.is_none_or(|written| written >= 3_000_000), "{run:?}");
    }

    #[test]
    fn the_end_of_a_programs_output_is_kept_and_no_more() {
        let mut tail = Tail::default();
        for number in 0..100_000 {
            writeln!(tail, "line {number}").unwrap();
        }
        assert!(tail.0.len() <= 16 * TAIL);
        let lines = tail.lines();
        assert_eq!(lines.last().unwrap(), "line 99999");
        assert!(lines.iter().map(String::len).sum::<usize>() <= TAIL);
    }

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
