//! Library errors become what the user sees: a kind with its exit code, details, a hint.

use crate::archive::squashfs::WriteError;
use crate::base::chain;
use crate::check::Report;
use crate::image::MediaError;
use crate::image::registry::RegistryError;
use crate::plan;

/// How a command ended that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// Findings of severity error, or differences: exit code 1.
    Findings,
    /// A part failed with this exit code, and was told of; the others are done.
    Failed(u8),
}

/// An error as the user sees it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// Its name in JSON: `usage`, `input`, `registry`, `output`, `findings`, `tool`, `internal`.
    pub kind: &'static str,
    /// A lower-case fragment.
    pub message: String,
    /// Lines below it.
    pub details: Vec<String>,
    /// Advice.
    pub hint: Option<String>,
    /// The findings, if it is these that ended the command.
    pub report: Option<Box<Report>>,
}

impl Failure {
    fn new(code: u8, kind: &'static str, message: String) -> Self {
        Self { code, kind, message, details: Vec::new(), hint: None, report: None }
    }

    /// The command line is wrong: 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(2, "usage", message.into())
    }

    /// Something given is not as it must be: 3.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(3, "input", message.into())
    }

    /// Something cannot be written: 5.
    pub fn output(message: impl Into<String>) -> Self {
        Self::new(5, "output", message.into())
    }

    /// The network or a registry: 4.
    pub fn network(message: impl Into<String>) -> Self {
        Self::new(4, "registry", message.into())
    }

    /// Adds the hint.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

impl From<plan::Error> for Failure {
    fn from(error: plan::Error) -> Self {
        let message = chain(&error);
        // Wherever it showed: what was read is not at fault.
        if is_full(&error) {
            return Self::output(message)
                .hint(Some("make room, or name another folder for the cache: `--cache DIR`".to_owned()));
        }
        match error {
            plan::Error::Input(problem) => {
                let mut failure = if problem.usage { Self::usage(message) } else { Self::input(message) };
                failure.hint = problem.hint;
                failure.details = problem.details;
                failure
            }
            plan::Error::Unfit(problem) => {
                let mut failure = Self::new(1, "findings", message);
                failure.hint = problem.hint;
                failure.details = problem.details;
                failure
            }
            plan::Error::BuildKit(error) => {
                let mut failure = Self::new(6, "tool", message).hint(error.hint());
                failure.details = error.details().to_vec();
                failure
            }
            plan::Error::Findings(report) => {
                let mut failure = Self::new(1, "findings", message);
                failure.report = Some(report);
                failure
            }
            plan::Error::Media(error) => media(error, message),
            plan::Error::Output { source, .. } => {
                let of_use = matches!(*source, plan::Error::Media(MediaError::Unusable { .. }));
                let inner = Self::from(*source);
                if of_use {
                    return inner; // it names the target itself
                }
                // A registry that refuses a push is a registry's error, wherever it happened.
                let code = if inner.kind == "registry" { (inner.code, inner.kind) } else { (5, "output") };
                Self { code: code.0, kind: code.1, message, ..inner }
            }
            plan::Error::File(_)
            | plan::Error::Check(_)
            | plan::Error::Depmod(_)
            | plan::Error::Layer { .. }
            | plan::Error::Tar { .. }
            | plan::Error::Squashfs { .. }
            | plan::Error::Tree { .. } => Self::input(message),
            plan::Error::Pack(WriteError::Output { .. }) | plan::Error::Write(_) => Self::output(message),
            plan::Error::Pack(_) => Self::input(message),
            plan::Error::NotRun => Self::input(message),
            plan::Error::Vanished { .. } => Self::input(message)
                .hint(Some("run the command again: what is missing is made anew".to_owned())),
            plan::Error::Internal(_) => Self::new(70, "internal", message)
                .hint(Some("this is a mistake in talosmith; please report it with the command".to_owned())),
        }
    }
}

/// Whether a file system had no room left.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::{Error, ErrorKind};
    let mut next = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<Error>().map(Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        next = error.source();
    }
    false
}

fn media(error: MediaError, message: String) -> Failure {
    match error {
        MediaError::Registry(error) => registry(&error, message),
        MediaError::Unusable { hint, .. } => Failure::input(message).hint(hint),
        _ => Failure::input(message),
    }
}

fn registry(error: &RegistryError, message: String) -> Failure {
    Failure::new(4, "registry", message).hint(error.hint())
}
