//! Foreign programs, of which there are two kinds: the user's credential helpers, and a board's own program
//! after the user's consent. The only place that starts a process. No shell; a time limit, because a program
//! may wait for somebody who is not there.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

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
}
