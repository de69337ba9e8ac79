//! A step's text, parsed, and what of it is not run natively: known before the first command runs.

use std::fmt;

use super::run::{check_builtin, check_variable};
use super::shell::syntax::{
    Command, CommandKind, List, Operation, Parameter, Part, Pipeline, RedirectKind, Simple, Word,
};
use super::shell::{ParseError, Position, expand_braces, parse};
use super::tools;

/// The shell of a package, as far as it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// Any other, which is taken for what POSIX knows: no `{a,b}`.
    Posix,
}

impl Shell {
    /// Tells it by the path in a package (`shell: /bin/bash`).
    pub fn of(path: &str) -> Self {
        if path.rsplit('/').next() == Some("bash") { Self::Bash } else { Self::Posix }
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bash => "bash",
            Self::Posix => "sh",
        })
    }
}

/// Something that a shell would run and the native runner does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: `{word}` {why}")]
pub struct Unsupported {
    /// The word's place.
    pub at: Position,
    /// The word: a command, an option, a parameter.
    pub word: String,
    /// What is wrong with it: `is no program that is run natively` …
    pub why: String,
}

impl Unsupported {
    /// What can be done about any of them.
    pub const HINT: &'static str =
        "`--delegate` sends the package to BuildKit, which runs whatever a container can";
}

/// The text of one item of a step.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) list: List,
}

impl Program {
    /// Parses the text of an item.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self { list: parse(text)? })
    }

    /// Everything that can be seen to be not run natively, in the order of the text. What only the run shows
    /// (an option in a variable) is an error then.
    pub fn unsupported(&self, shell: Shell) -> Vec<Unsupported> {
        let mut check = Check { shell, found: Vec::new() };
        check.list(&self.list);
        check.found.sort_by_key(|unsupported| unsupported.at);
        check.found
    }
}

struct Check {
    shell: Shell,
    found: Vec<Unsupported>,
}

impl Check {
    fn refuse(&mut self, at: Position, word: impl Into<String>, why: impl Into<String>) {
        self.found.push(Unsupported { at, word: word.into(), why: why.into() });
    }

    fn list(&mut self, list: &List) {
        for and_or in &list.0 {
            self.pipeline(&and_or.first);
            and_or.rest.iter().for_each(|(_, pipeline)| self.pipeline(pipeline));
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        pipeline.commands.iter().for_each(|command| self.command(command));
    }

    fn command(&mut self, command: &Command) {
        for redirect in &command.redirects {
            let (RedirectKind::Write(word) | RedirectKind::Append(word) | RedirectKind::Read(word)) =
                &redirect.kind
            else {
                if let RedirectKind::Here(word) = &redirect.kind {
                    self.word(word);
                }
                continue;
            };
            self.word(word);
            if word.may_glob() {
                self.refuse(word.at, "*", "is a pattern for the file of a redirection");
            }
            if word.literal().as_deref() != Some("/dev/null") {
                self.host(word);
            }
        }
        match &command.kind {
            CommandKind::Simple(simple) => self.simple(simple),
            CommandKind::Group(list) | CommandKind::Subshell(list) => self.list(list),
            CommandKind::If { branches, otherwise } => {
                for (condition, body) in branches {
                    self.list(condition);
                    self.list(body);
                }
                otherwise.iter().for_each(|list| self.list(list));
            }
            CommandKind::For { words, body, name } => {
                self.variable(command.at, name);
                words.iter().for_each(|word| self.word(word));
                self.list(body);
            }
            CommandKind::Case { word, arms } => {
                self.word(word);
                for (patterns, body) in arms {
                    patterns.iter().for_each(|word| self.word(word));
                    self.list(body);
                }
            }
        }
    }

    fn variable(&mut self, at: Position, name: &str) {
        if let Err(why) = check_variable(name) {
            self.refuse(at, name, why);
        }
    }

    fn simple(&mut self, simple: &Simple) {
        for assignment in &simple.assignments {
            self.variable(assignment.value.at, &assignment.name);
            self.word(&assignment.value);
        }
        simple.words.iter().for_each(|word| self.word(word));
        let Some((name, arguments)) = simple.words.split_first() else { return };
        let Some(literal) = name.literal() else {
            self.refuse(name.at, "$", "is a command that only the run shows");
            return;
        };
        let words: Vec<&Word> = arguments.iter().collect();
        if let Some(checked) = check_builtin(&literal, &words) {
            if let Err(refusal) = checked {
                let at = words.get(refusal.index).map_or(name.at, |word| word.at);
                self.refuse(at, refusal.word, refusal.why);
            }
            return;
        }
        let tool = match tools::find(&literal) {
            Ok(tool) => tool,
            Err(why) => return self.refuse(name.at, literal, why),
        };
        words.iter().for_each(|word| self.host(word));
        // A word that only the run shows is taken for an operand: a NUL, which no word has.
        let mut places = Vec::new();
        let mut known = Vec::new();
        for word in &words {
            for braced in self.braced(word) {
                places.push(word.at);
                known.push(if braced.may_glob() { tools::UNKNOWN.to_owned() } else { known_text(&braced) });
            }
        }
        if let Err(refusal) = (tool.check)(&known) {
            let at = places.get(refusal.index).copied().unwrap_or(name.at);
            let word = refusal.word.replace(tools::UNKNOWN, "…");
            self.refuse(at, word, refusal.why);
        }
    }

    fn braced(&self, word: &Word) -> Vec<Word> {
        expand_braces(word).map_or_else(|| vec![word.clone()], |(words, _)| words)
    }

    /// Files that are the host's kernel's, and in no tree.
    fn host(&mut self, word: &Word) {
        let Some(Part::Text { text, .. }) = word.parts.first() else { return };
        if ["/dev", "/proc", "/sys"].iter().any(|folder| {
            text.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }) {
            self.refuse(word.at, text.clone(), "is no file of a package");
        }
    }

    fn word(&mut self, word: &Word) {
        if self.shell == Shell::Posix
            && expand_braces(word).is_none_or(|(words, _)| {
                words.len() != 1 || words.iter().any(|own| own.parts.len() != word.parts.len())
            })
        {
            self.refuse(word.at, "{", "is a brace that only bash expands; the package's shell is another");
        }
        self.parts(word);
    }

    fn parts(&mut self, word: &Word) {
        for part in &word.parts {
            match part {
                Part::Text { .. } => {}
                Part::Substitution { list, .. } => self.list(list),
                Part::Parameter(parameter) => self.parameter(parameter),
            }
        }
    }

    fn parameter(&mut self, parameter: &Parameter) {
        match &parameter.operation {
            Operation::Plain | Operation::Length => {}
            Operation::Default { word, .. }
            | Operation::Assign { word, .. }
            | Operation::Alternative { word, .. }
            | Operation::Demand { word, .. }
            | Operation::TrimStart { pattern: word, .. }
            | Operation::TrimEnd { pattern: word, .. } => self.parts(word),
            Operation::Replace { pattern, with, .. } => {
                if self.shell == Shell::Posix {
                    self.refuse(parameter.at, &parameter.name, "has a replacement that only bash knows");
                }
                self.parts(pattern);
                self.parts(with);
            }
        }
    }
}

/// A word as far as it can be known.
fn known_text(word: &Word) -> String {
    let parts = word.parts.iter().map(|part| match part {
        Part::Text { text, .. } => text.as_str(),
        _ => tools::UNKNOWN,
    });
    parts.collect()
}
