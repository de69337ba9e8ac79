//! Finding the programs and data that judge: what others wrote, to compare with.

// Each test uses its part of this, and says on the terminal what it skips.
#![allow(dead_code)]

use std::io::Write as _;
use std::path::PathBuf;

/// The path of the program `name`. Where it is missing this says `skipped` and gives `None`, or
/// fails the test if `TALOSMITH_JUDGES=required`.
pub(crate) fn judge(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.or_else(|| missing(&format!("there is no program `{name}`")))
}

/// The path in the environment variable `variable`, which names `what`; otherwise as [`judge`].
pub(crate) fn judge_at(variable: &str, what: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|value| !value.is_empty());
    named.map(PathBuf::from).or_else(|| missing(&format!("{variable} names no {what}")))
}

/// As [`judge_at`], of one that is skipped even where judges are required.
pub(crate) fn optional_at(variable: &str, what: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|value| !value.is_empty());
    if named.is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: {variable} names no {what}"); // nobody looks
    }
    named.map(PathBuf::from)
}

/// Says that a judge is missing, and why.
pub(crate) fn missing<T>(why: &str) -> Option<T> {
    let required = std::env::var_os("TALOSMITH_JUDGES").is_some_and(|value| value == "required");
    assert!(!required, "{why}");
    // Not by `println!`, which is not shown of a test that passes.
    let _ = writeln!(std::io::stderr(), "skipped: {why}"); // nobody looks
    None
}

/// Builds `sections.go` as `program`.
pub(crate) fn sections(go: &std::path::Path, program: &std::path::Path) -> PathBuf {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/sections.go");
    let built = std::process::Command::new(go)
        .arg("build")
        .arg("-o")
        .args([program, &source])
        .env("GOCACHE", std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .env("GOFLAGS", "-mod=mod")
        .env("GOPROXY", "off")
        .output();
    let said =
        built.map(|built| (built.status.success(), String::from_utf8_lossy(&built.stderr).into_owned()));
    assert!(matches!(said, Ok((true, _))), "{said:?}");
    program.to_owned()
}
