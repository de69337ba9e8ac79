//! Credential helpers: `docker-credential-NAME get`
//! (<https://github.com/docker/docker-credential-helpers>). Only one that the user's own file names is
//! started; what it writes is never repeated, since it is made of secrets.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::credentials::Credential;
use crate::base::Secret;
use crate::base::program::{Limits, run};

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
    let limits = Limits { time: TIME_LIMIT, answer: ANSWER_LIMIT };
    let (success, output) = run(&program, &["get"], server.as_bytes(), limits)?;
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
