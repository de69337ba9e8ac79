//! Commands and words, as they are written.

use super::reader::Position;

/// Commands one after another.
#[derive(Debug, Clone, Default)]
pub(crate) struct List(pub(crate) Vec<AndOr>);

/// Pipelines with `&&` and `||` between them.
#[derive(Debug, Clone)]
pub(crate) struct AndOr {
    pub(crate) first: Pipeline,
    pub(crate) rest: Vec<(Connector, Pipeline)>,
}

/// What stands between two pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connector {
    And,
    Or,
}

/// Commands with `|` between them, perhaps behind a `!`.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) negated: bool,
    pub(crate) commands: Vec<Command>,
}

/// A command with its redirections.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) at: Position,
    pub(crate) kind: CommandKind,
    pub(crate) redirects: Vec<Redirect>,
}

/// The kinds of commands.
#[derive(Debug, Clone)]
pub(crate) enum CommandKind {
    Simple(Simple),
    Group(List),
    Subshell(List),
    If {
        /// Condition and what is then done: `if`, then each `elif`.
        branches: Vec<(List, List)>,
        otherwise: Option<List>,
    },
    For {
        name: String,
        words: Vec<Word>,
        body: List,
    },
    Case {
        word: Word,
        arms: Vec<(Vec<Word>, List)>,
    },
}

/// Assignments, and a command's words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simple {
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) words: Vec<Word>,
}

/// `NAME=value`.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) value: Word,
}

/// A redirection of one descriptor, 0 to 2.
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    pub(crate) descriptor: u8,
    pub(crate) kind: RedirectKind,
}

/// What a descriptor is made.
#[derive(Debug, Clone)]
pub(crate) enum RedirectKind {
    Write(Word),
    Append(Word),
    Read(Word),
    Here(Word),
    /// What another descriptor is.
    Duplicate(u8),
}

/// A word, before anything in it is expanded.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) at: Position,
    pub(crate) parts: Vec<Part>,
}

/// A part of a word.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Text { text: String, quoted: bool },
    Parameter(Parameter),
    Substitution { list: List, quoted: bool },
}

/// `$NAME`, `${NAME…}` or `$?`.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) at: Position,
    pub(crate) name: String,
    pub(crate) quoted: bool,
    pub(crate) operation: Operation,
}

/// What is done with a parameter's value. `colon`: an empty one counts as none.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Plain,
    Length,
    Default { colon: bool, word: Word },
    Assign { colon: bool, word: Word },
    Alternative { colon: bool, word: Word },
    Demand { colon: bool, word: Word },
    TrimStart { longest: bool, pattern: Word },
    TrimEnd { longest: bool, pattern: Word },
    Replace { all: bool, pattern: Word, with: Word },
}

impl Word {
    /// The word as it will be, if nothing in it depends on the run (a glob does not count as that).
    pub(crate) fn literal(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Whether it has unquoted characters of a pattern in it.
    pub(crate) fn may_glob(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Text { text, quoted: false } if text.contains(['*', '?', '['])))
    }
}
