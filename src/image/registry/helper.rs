//! Credential helpers: `docker-credential-NAME get`
//! (<https://github.com/docker/docker-credential-helpers>). The only place of this room that starts
//! a process, and only one that the user's own file names. No shell; what a helper writes is never
//! repeated, since it is made of secrets.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::credentials::Credential;
use crate::base::Secret;

/// Helpers may ask a key ring or a cloud; beyond this they wait for somebody who is not there.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// An answer is one JSON object; cloud tokens have a few kilobytes.
const ANSWER_LIMIT: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    #[serde(default)]
    username: String,
    secret: String,
}

/// Asks the helper `name` for what it knows of `server`. The error is a fragment that says what the
/// helper did, such as `has no credentials for it`.
pub(super) fn ask(path: Option<&OsStr>, name: &str, server: &str) -> Result<Credential, &'static str> {
    let program = find(path, name)?;
    let (success, output) = run(&mut Command::new(program), server)?;
    if !success {
        let missing = output.windows(9).any(|window| window == b"not found");
        return Err(if missing { "has no credentials for it" } else { "failed" });
    }
    let answer: HelperAnswer = serde_json::from_slice(&output).map_err(|_| "gave no credentials")?;
    Ok(match answer.username.as_str() {
        // The protocol's mark for an identity token.
        "<token>" => Credential::IdentityToken(Secret::new(answer.secret)),
        _ => Credential::Password { username: answer.username, password: Secret::new(answer.secret) },
    })
}

/// The program's path. A name with a slash would leave `PATH`.
fn find(path: Option<&OsStr>, name: &str) -> Result<PathBuf, &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("has a name that no helper has");
    }
    let program = format!("docker-credential-{name}");
    let directories = path.map(std::env::split_paths).into_iter().flatten();
    let mut candidates = directories.filter(|directory| directory.is_absolute()).map(|d| d.join(&program));
    candidates.find(|candidate| candidate.is_file()).ok_or("is not in `PATH`")
}

/// Runs `command get` with `server` on its standard input; gives whether it succeeded, and what it
/// wrote.
fn run(command: &mut Command, server: &str) -> Result<(bool, Vec<u8>), &'static str> {
    let deadline = Instant::now() + TIME_LIMIT;
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|_| "could not be started")?;
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(server.as_bytes()); // a helper that ended already shows by its status
    }
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(ANSWER_LIMIT).read_to_end(&mut bytes);
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
