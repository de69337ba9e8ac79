//! What a run costs, told from outside: it is read off this process's own accounts, before and after. The kernel
//! adds to them what a child has cost as soon as it was waited for (see [`proc`]). Two threads look at the child
//! meanwhile: one for the moment of its end, one for its memory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::internal;
use crate::base::chain;
use crate::base::program::{self, Call, Ended, StreamError};
use crate::cli::failure::Failure;
use crate::plan::bench::Run;
use crate::plan::bench::proc::{self, Account};

/// How often the memory of what runs is looked at: of a short run more often, or its end would be missed; of
/// a longer one less, or looking would take part in what is measured.
const LOOKS: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(5)];
/// So much of a failed run's output is shown.
pub(super) const TAIL: usize = 4 << 10;

/// The end of what a program has written.
#[derive(Default)]
pub(super) struct Told {
    pub(super) out: Tail,
    pub(super) err: Tail,
}

/// Keeps the last bytes that are written to it.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    pub(super) fn lines(&self) -> Vec<String> {
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
pub(super) fn run_call(call: &Call, begun: impl FnOnce()) -> Result<(Ended, Told), Failure> {
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
pub(super) fn measure(call: &Call) -> Result<(Ended, Run, Told), Failure> {
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

#[cfg(test)]
mod tests {
    use std::env;

    use super::super::shell;
    use super::*;
    use crate::bldr::buildkit::command::quoted;
    use crate::plan::bench::Scenario;

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
}
