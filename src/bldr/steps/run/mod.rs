//! Running a program on a tree.
//!
//! | module | what |
//! |---|---|
//! | `execute` | lists, pipelines, commands, redirections; when `set -e` ends a step |
//! | `expand` | words into arguments: parameters, substitutions, fields, names |
//! | `builtins` | what changes the shell itself: `cd`, `export`, `set` … |
//! | `stream` | what programs write and read |

mod builtins;
mod execute;
mod expand;
mod stream;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use super::program::{Program, Shell, Unsupported};
use super::root::{Id, ROOT, Root};
use super::shell::Position;
use crate::base::{Content, Workers};

pub(super) use builtins::{check as check_builtin, check_variable};
use stream::HELD_MAX;
pub(super) use stream::{Io, Stream, TEXT_MAX};

/// Work that a step may make, in files and words touched, commands counted four times: a hundred times what
/// the largest official package (linux-firmware, 6,000 files) takes.
const WORK_MAX: u64 = 1_000_000;

/// Keeps bytes that come out of an archive which is compressed. Packages may share one.
pub trait Keep: Sync {
    /// Reads `data`, `len` bytes, and gives them as a content.
    fn keep(&self, data: &mut dyn Read, len: u64) -> io::Result<Content>;
}

/// Keeps them in memory: for what is small.
#[derive(Debug)]
pub struct InMemory {
    left: AtomicU64,
}

impl InMemory {
    /// Keeps at most `limit` bytes in all.
    pub fn new(limit: u64) -> Self {
        Self { left: AtomicU64::new(limit) }
    }
}

impl Keep for InMemory {
    fn keep(&self, data: &mut dyn Read, len: u64) -> io::Result<Content> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(len));
        if taken.is_err() {
            return Err(io::Error::other(format!("{len} bytes more are not kept in memory")));
        }
        let mut bytes = Vec::new();
        data.take(len).read_to_end(&mut bytes)?;
        Ok(Content::memory(bytes))
    }
}

/// What a step finds around it.
#[derive(Clone)]
pub struct Environment<'a> {
    /// The shell that bldr would start.
    pub shell: Shell,
    /// Variables, all exported.
    pub variables: BTreeMap<String, String>,
    /// The folder where it begins; it is made.
    pub directory: String,
    /// The time of all that is written, in seconds since 1970.
    pub mtime: i64,
    /// What `uname -m` says: `x86_64`, `aarch64`.
    pub machine: String,
    /// Where bytes out of archives go.
    pub keep: &'a dyn Keep,
    /// Threads for `depmod`.
    pub workers: Workers,
}

/// A complaint of a program that did not end the step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The command.
    pub at: Position,
    /// What it said, without the last end of line.
    pub text: String,
}

/// What a step that ended well wrote.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// What went to its standard error.
    pub said: Vec<Said>,
}

/// A step ended badly. The tree is as it was left.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A command failed.
    #[error("{at}: `{command}` failed with status {status}{}", said_of(said))]
    Failed {
        /// The command's place.
        at: Position,
        /// Its first word.
        command: String,
        /// Its exit status.
        status: u8,
        /// What it said; empty for what says nothing.
        said: String,
        /// What the step had written.
        output: Output,
    },
    /// A word turned out to be something that is not run natively.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A bound of this runner.
    #[error("{at}: {what}")]
    Limit {
        /// The command's place.
        at: Position,
        /// Which bound.
        what: String,
    },
    /// Bytes could not be read or kept.
    #[error("{at}: `{command}` cannot read or keep a file's bytes")]
    Content {
        /// The command's place.
        at: Position,
        /// Its first word.
        command: String,
        /// Why.
        source: io::Error,
    },
}

fn said_of(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// An argument that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its index among the arguments.
    pub(crate) index: usize,
    pub(crate) word: String,
    pub(crate) why: String,
}

impl Refusal {
    pub(crate) fn new(index: usize, word: &str, why: impl Into<String>) -> Self {
        Self { index, word: word.to_owned(), why: why.into() }
    }
}

/// Why running goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The shell ends: `exit`, or `set -e`.
    Exit(u8),
    Refused(Refusal),
    Limit(String),
    Content(io::Error),
    Error(Box<StepError>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a subshell has of its own.
#[derive(Debug, Clone)]
struct State {
    directory: Id,
    /// Values, and whether they are exported.
    variables: BTreeMap<String, (String, bool)>,
    errexit: bool,
    nounset: bool,
    pipefail: bool,
    /// `$?`.
    status: u8,
    /// Whether failing is looked at by somebody, so that `set -e` does not count.
    watched: bool,
}

/// Where a descriptor leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Buffer(usize),
    File(Id),
    /// What the step said.
    Said,
    Null,
}

/// The descriptors of a command.
#[derive(Debug, Clone, Copy)]
struct Descriptors {
    /// An index of [`Runner::inputs`].
    stdin: usize,
    out: Target,
    err: Target,
}

/// A shell that runs.
pub(super) struct Runner<'a> {
    pub(super) root: &'a mut Root,
    pub(super) environment: &'a Environment<'a>,
    state: State,
    buffers: Vec<Stream>,
    inputs: Vec<Option<Content>>,
    /// What was written to the standard error.
    said: Vec<Said>,
    at: Position,
    /// The command that failed last, with what it said.
    failed: Option<(Position, String, u8, String)>,
    /// The status of the last substitution.
    substituted: Option<u8>,
    work: u64,
    held: u64,
}

/// The buffer of the program's own standard output.
const OUT: usize = 0;

/// Runs `program` on `root`, as a shell of its own. Check it before ([`Program::unsupported`]): what is found
/// to be unsupported only here has left its traces.
pub fn run(root: &mut Root, program: &Program, environment: &Environment<'_>) -> Result<Output, StepError> {
    let at = Position { line: 1, column: 1 };
    let directory = root.make_path(ROOT, &environment.directory, environment.mtime).map_err(|errno| {
        StepError::Limit {
            at,
            what: format!("the folder `{}` cannot be used: {errno}", environment.directory),
        }
    })?;
    let variables = environment.variables.iter();
    let state = State {
        directory,
        variables: variables.map(|(name, value)| (name.clone(), (value.clone(), true))).collect(),
        errexit: true,
        nounset: true,
        pipefail: true,
        status: 0,
        watched: false,
    };
    let mut runner = Runner {
        root,
        environment,
        state,
        buffers: vec![Stream::default()],
        inputs: vec![None],
        said: Vec::new(),
        at,
        failed: None,
        substituted: None,
        work: 0,
        held: 0,
    };
    let descriptors = Descriptors { stdin: 0, out: Target::Buffer(OUT), err: Target::Said };
    let ended = runner.list(&program.list, descriptors);
    runner.finish(ended)
}

impl Runner<'_> {
    fn finish(mut self, ended: Result<u8, Stop>) -> Result<Output, StepError> {
        let status = match ended {
            Ok(status) | Err(Stop::Exit(status)) => status,
            Err(stop) => return Err(self.step_error(stop, "")),
        };
        let stdout = std::mem::take(self.buffers.get_mut(OUT).unwrap_or(&mut Stream::default())).bytes();
        let stdout = match stdout {
            Ok(stdout) => stdout,
            Err(source) => return Err(StepError::Content { at: self.at, command: "cat".to_owned(), source }),
        };
        let output = Output { stdout, said: self.said };
        if status == 0 {
            return Ok(output);
        }
        let (at, command, _, said) =
            self.failed.unwrap_or((self.at, self.environment.shell.to_string(), status, String::new()));
        Err(StepError::Failed { at, command, status, said, output })
    }

    fn step_error(&self, stop: Stop, command: &str) -> StepError {
        let at = self.at;
        match stop {
            Stop::Error(error) => *error,
            Stop::Refused(refusal) => {
                StepError::Unsupported(Unsupported { at, word: refusal.word, why: refusal.why })
            }
            Stop::Limit(what) => StepError::Limit { at, what },
            Stop::Content(source) => StepError::Content { at, command: command.to_owned(), source },
            Stop::Exit(status) => StepError::Limit { at, what: format!("the shell ended with {status}") },
        }
    }

    /// Counts `work` more things that are touched.
    pub(super) fn charge(&mut self, work: usize) -> Result<(), Stop> {
        self.work = self.work.saturating_add(work as u64);
        if self.work > WORK_MAX {
            return Err(Stop::Limit(format!("the step does more than {WORK_MAX} things")));
        }
        Ok(())
    }

    /// Counts the work of putting a content behind another: as many places as it lies in.
    pub(super) fn charge_content(&mut self, content: &Content) -> Result<(), Stop> {
        match content {
            Content::Joined(joined) => self.charge(joined.parts().count().saturating_mul(16)),
            Content::Memory(bytes) => self.charge(bytes.len() / 1024),
            Content::Range { .. } => self.charge(1),
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Stop> {
        self.held = self.held.saturating_add(bytes as u64);
        if self.held > HELD_MAX as u64 {
            return Err(Stop::Limit(format!("the step writes more than {HELD_MAX} bytes of text")));
        }
        Ok(())
    }

    /// The working directory.
    pub(super) fn directory(&self) -> Id {
        self.state.directory
    }

    /// The time of what is written.
    pub(super) fn now(&self) -> i64 {
        self.environment.mtime
    }
}
