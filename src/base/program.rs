//! Foreign programs, of which there are three kinds: the user's credential helpers, a board's own program
//! after the user's consent, and BuildKit's client. The only place that starts a process. No shell.
//!
//! [`run`] asks a program that may wait for somebody who is not there, and so has a time limit. [`stream`]
//! runs one that works for as long as it takes: its output is read while it is written. Such a program is in
//! a process group of its own, so that signals reach it through [`interrupt`] only, once, and before this
//! process ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::locked;

/// How long a program may take, and how many bytes of its answer are read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time.
    pub time: Duration,
    /// The bytes.
    pub answer: u64,
}

/// Runs `program` with `input` on its standard input; gives whether it succeeded, and what it wrote to its
/// standard output. The error is a fragment that says what it did, such as `gave no answer in time`: what a
/// program writes to its standard error is read by nobody, since it may hold secrets.
pub fn run(
    program: &Path,
    arguments: &[&str],
    input: &[u8],
    limits: Limits,
) -> Result<(bool, Vec<u8>), &'static str> {
    let deadline = Instant::now() + limits.time;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|_| "could not be started")?;
    if let Some(mut pipe) = child.stdin.take() {
        let input = input.to_vec();
        // On a thread of its own: one that never reads must not be waited for.
        std::thread::spawn(move || pipe.write_all(&input)); // one that ended already shows by its status
    }
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(limits.answer).read_to_end(&mut bytes);
            let _ = sender.send(read.map(|_| bytes)); // nobody waits any more: the time was over
        });
    }
    let left = |now: Instant| deadline.saturating_duration_since(now);
    let output = receiver.recv_timeout(left(Instant::now()));
    while output.is_ok() && left(Instant::now()) > Duration::ZERO {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Ok(Some(status)) => {
                let bytes = output.ok().and_then(Result::ok).ok_or("could not be read")?;
                return Ok((status.success(), bytes));
            }
            Err(_) => break,
        }
    }
    let _ = child.kill(); // it may have ended in this very moment
    let _ = child.wait();
    Err("gave no answer in time")
}

/// The longest line of a program's standard error that is given; what is longer is cut.
const LINE_MAX: u64 = 4 << 20;
/// How long a program may take to end after a signal; then it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program to be run by [`stream`].
#[derive(Clone, Default)]
pub struct Call {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment; it has no other.
    pub environment: BTreeMap<String, OsString>,
    /// How long it may take, where that is limited.
    pub time: Option<Duration>,
}

/// Without the values of the environment, which may be secrets.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("environment", &self.environment.keys())
            .finish_non_exhaustive()
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With exit code 0.
    Well,
    /// With another exit code.
    Code(i32),
    /// By a signal of this number.
    Signal(i32),
    /// It was ended, because its time was over.
    TimeOver,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("succeeded"),
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(number) => write!(f, "was ended by signal {number}"),
            Self::TimeOver => f.write_str("gave no answer in time"),
        }
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(0), _) => Self::Well,
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

/// A program that [`interrupt`] can reach. It is waited for under this lock only, so that no signal goes to a
/// process that has its number after it.
type Running = Arc<Mutex<Child>>;

/// The programs that [`stream`] runs at present, by a number of their own.
static RUNNING: Mutex<BTreeMap<u64, Running>> = Mutex::new(BTreeMap::new());

fn running() -> MutexGuard<'static, BTreeMap<u64, Running>> {
    locked(&RUNNING)
}

/// Ends every program that runs: by SIGINT or SIGTERM, whichever came, and where that does not help by SIGKILL.
/// For a process that is about to end by that signal: it does so while it holds the result, so that no program
/// begins and nobody takes an interrupted one for one that failed.
pub fn interrupt(terminate: bool) -> impl Sized {
    let running = running();
    let signal = if terminate { Signal::TERM } else { Signal::INT };
    for child in running.values() {
        send(child, signal);
    }
    let deadline = Instant::now() + PATIENCE;
    for child in running.values() {
        wait_until(child, deadline);
    }
    running
}

/// Sends a signal to a program and all that it has started, unless it has ended.
fn send(child: &Running, signal: Signal) {
    let mut child = locked(child);
    if let Ok(None) = child.try_wait() {
        let _ = kill_process_group(Pid::from_child(&child), signal); // it may be ending
    }
}

/// Waits for a program, and kills it when it is time.
fn wait_until(child: &Running, deadline: Instant) {
    while Instant::now() < deadline {
        if !matches!(try_wait(child), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    send(child, Signal::KILL);
}

fn try_wait(child: &Running) -> io::Result<Option<ExitStatus>> {
    locked(child).try_wait()
}

/// A program that could not be run to its end, or whose output could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError<E> {
    /// It could not be started or waited for.
    #[error("`{}` cannot be run", program.display())]
    Start {
        /// Which one.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What reads its output gave up before the output's end, and the program was ended.
    #[error(transparent)]
    Reader(E),
}

/// Runs a program. `read` gets its standard output while it is written; `line` each line of its standard error,
/// without its end. Gives how the program ended and what `read` made of it.
///
/// Where `read` fails before the end of the output, the program is ended, and that error is given. At its end,
/// the output may be cut short because the program failed: then both are given, and the caller decides.
pub fn stream<T, E>(
    call: &Call,
    line: &mut (dyn FnMut(&[u8]) + Send),
    read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
) -> Result<(Ended, Result<T, E>), StreamError<E>> {
    let start = |source| StreamError::Start { program: call.program.clone(), source };
    let mut command = Command::new(&call.program);
    command.args(&call.arguments).env_clear().envs(&call.environment).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (child, out, err, _registered) = {
        // Under the lock: an interrupted process begins no program.
        let mut running = running();
        let mut child = command.spawn().map_err(start)?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (child, number) = (Arc::new(Mutex::new(child)), NEXT.fetch_add(1, Ordering::Relaxed));
        running.insert(number, Arc::clone(&child));
        (child, out, err, Registered(number))
    };
    let mut out = Ends { reader: out, ended: false };
    let time_over = AtomicBool::new(false);
    let (read, waited) = std::thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        if let Some(err) = err {
            scope.spawn(move || lines(err, line));
        }
        if let Some(time) = call.time {
            let (child, time_over) = (&child, &time_over);
            scope.spawn(move || {
                if is_done.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
                    time_over.store(true, Ordering::Relaxed);
                    send(child, Signal::KILL);
                }
            });
        }
        let read = read(&mut out);
        if !out.ended && read.is_err() {
            send(&child, Signal::TERM);
        }
        let ended = out.ended;
        drop(out); // one that still writes gets to know that nobody reads
        if !ended && read.is_err() {
            wait_until(&child, Instant::now() + PATIENCE);
        }
        let waited = wait(&child);
        drop(done);
        (read.map_err(|error| (error, ended)), waited)
    });
    let status = waited.map_err(start)?;
    let ended = if time_over.into_inner() { Ended::TimeOver } else { Ended::from(status) };
    match read {
        Err((error, false)) if ended != Ended::TimeOver => Err(StreamError::Reader(error)),
        read => Ok((ended, read.map_err(|(error, _)| error))),
    }
}

/// The number of the next program.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Takes a program off the list when it has ended; in a process that is being interrupted, never.
struct Registered(u64);

impl Drop for Registered {
    fn drop(&mut self) {
        running().remove(&self.0);
    }
}

/// Waits for a program without holding its lock for long.
fn wait(child: &Running) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = try_wait(child)? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Notices the end of what is read.
struct Ends<R> {
    reader: Option<R>,
    ended: bool,
}

impl<R: Read> Read for Ends<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.as_mut().map_or(Ok(0), |reader| reader.read(buffer))?;
        self.ended |= got == 0 && !buffer.is_empty();
        Ok(got)
    }
}

/// Gives each line to `line`, to the end.
fn lines(reader: impl Read, line: &mut (dyn FnMut(&[u8]) + Send)) {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut reader).take(LINE_MAX).read_until(b'\n', &mut bytes) {
            Ok(1..) => {
                let cut = bytes.len() as u64 == LINE_MAX && !bytes.ends_with(b"\n");
                line(bytes.strip_suffix(b"\n").unwrap_or(&bytes));
                if cut && reader.skip_until(b'\n').is_err() {
                    return;
                }
            }
            Ok(0) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return, // then the program is not heard, but it runs on
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { time: Duration::from_secs(60), answer: 8 };

    fn shell(script: &str, limits: Limits) -> Result<(bool, Vec<u8>), &'static str> {
        run(Path::new("/bin/sh"), &["-c", script, "a"], b"bc", limits)
    }

    #[test]
    fn a_program_gets_its_input_and_gives_its_answer() {
        assert_eq!(shell("echo $0; cat; exit 3", LIMITS), Ok((false, b"a\nbc".to_vec())));
        assert_eq!(shell("echo 0123456789", LIMITS), Ok((true, b"01234567".to_vec())));
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let limits = Limits { time: Duration::from_millis(20), ..LIMITS };
        assert_eq!(shell("exec sleep 1000", limits), Err("gave no answer in time"));
        assert_eq!(run(Path::new("/nowhere"), &[], b"", LIMITS), Err("could not be started"));
    }

    fn call(script: &str) -> Call {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        Call { program: "/bin/sh".into(), arguments, ..Call::default() }
    }

    fn all(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn both_outputs_of_a_program_are_read_while_it_runs() {
        // More than pipes hold, on both: who reads one after the other never comes to an end.
        let script = "for i in 1 2 3; do head -c 200000 /dev/zero; head -c 200000 /dev/zero | tr '\\0' x >&2; \
            echo >&2; done; printf 'no end' >&2; exit 7";
        let mut lines: Vec<usize> = Vec::new();
        let (ended, read) = stream(&call(script), &mut |line| lines.push(line.len()), all).unwrap();
        assert_eq!((ended, read.unwrap().len()), (Ended::Code(7), 600_000));
        assert_eq!(lines, [200_000, 200_000, 200_000, 6]);
    }

    #[test]
    fn a_program_has_the_environment_that_it_is_given_and_no_other() {
        let mut call = call("/usr/bin/env");
        call.environment = [("GIVEN".to_owned(), OsString::from("secret"))].into();
        let (_, read) = stream(&call, &mut |_| {}, all).unwrap();
        let text = String::from_utf8(read.unwrap()).unwrap();
        let names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.contains(&"GIVEN") && !names.contains(&"CARGO_MANIFEST_DIR"), "{names:?}");
        let shown = format!("{call:?}");
        assert!(shown.contains("GIVEN") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_program_that_nobody_listens_to_any_more_is_ended_with_all_that_it_started() {
        let script = "sleep 1000 & trap 'echo ended >&2; kill $! 2>/dev/null; exit 1' TERM; echo; wait";
        let mut told = Vec::new();
        let gave_up =
            |reader: &mut dyn Read| reader.read(&mut [0]).and(Err::<(), _>(io::Error::other("enough")));
        let error = stream(&call(script), &mut |line| told.extend_from_slice(line), gave_up).unwrap_err();
        assert!(matches!(error, StreamError::Reader(error) if error.to_string() == "enough"));
        assert_eq!(told, b"ended");
    }

    #[test]
    fn an_output_that_was_cut_short_is_told_together_with_how_the_program_ended() {
        let short = |reader: &mut dyn Read| all(reader).and(Err::<(), _>(io::Error::other("short")));
        let (ended, read) = stream(&call("kill -9 $$"), &mut |_| {}, short).unwrap();
        assert_eq!((ended, read.is_err()), (Ended::Signal(9), true));
    }

    #[test]
    fn a_program_whose_time_is_over_is_ended_and_one_that_is_not_there_is_told() {
        let mut slow = call("exec sleep 1000");
        slow.time = Some(Duration::from_millis(20));
        assert_eq!(stream(&slow, &mut |_| {}, all).unwrap().0, Ended::TimeOver);
        let nowhere = Call { program: "/nowhere".into(), ..Call::default() };
        let error = stream(&nowhere, &mut |_| {}, all).unwrap_err();
        assert_eq!(error.to_string(), "`/nowhere` cannot be run");
    }
}
