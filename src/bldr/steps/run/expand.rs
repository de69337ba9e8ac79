//! Words into arguments: braces, parameters and substitutions, then fields, then names.

use super::super::program::Shell;
use super::super::root::Inode;
use super::super::shell::expand_braces;
use super::super::shell::syntax::{Operation, Parameter, Part, Word};
use super::stream::Stream;
use super::{Descriptors, Runner, Stop, Target};
use crate::base::pattern::Pattern;

/// Words of one command: what Linux takes at most, when they are short.
const WORDS_MAX: usize = 1 << 17;
/// Longest value, in characters, in which a pattern is searched: the time grows with its square.
const SEARCHED_MAX: usize = 4096;
/// Longest text that one word may become, in bytes.
const LENGTH_MAX: usize = 1 << 20;

/// How a character came into a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Plain,
    Quoted,
    /// Out of a parameter or a substitution that is not quoted: blanks part fields.
    Expanded,
}

/// A word that is being expanded. `None`: here are quotes, so that there is a field even if it is empty.
type Inked = Vec<(Option<char>, Ink)>;
/// A field: characters, and whether they may mean something to a pattern.
type Field = Vec<(char, bool)>;

impl Runner<'_> {
    /// The arguments that `words` become.
    pub(super) fn fields(&mut self, words: &[Word]) -> Result<Vec<String>, Stop> {
        let mut arguments = Vec::new();
        for word in words {
            let (braced, steps) = match self.environment.shell {
                Shell::Bash => {
                    expand_braces(word).ok_or_else(|| Stop::Limit("braces give too many words".to_owned()))?
                }
                Shell::Posix => (vec![word.clone()], 0),
            };
            self.charge(braced.len() + steps / 8)?;
            for word in braced {
                let inked = self.inked(&word, Ink::Plain)?;
                for field in split(inked) {
                    self.names(&field, &mut arguments)?;
                }
                if arguments.len() > WORDS_MAX {
                    return Err(Stop::Limit(format!("a command has more than {WORDS_MAX} words")));
                }
            }
        }
        Ok(arguments)
    }

    /// A word as one text: neither fields nor names.
    pub(super) fn text(&mut self, word: &Word) -> Result<String, Stop> {
        Ok(self.inked(word, Ink::Plain)?.into_iter().filter_map(|(character, _)| character).collect())
    }

    /// A word as a pattern: quoted characters are themselves.
    pub(super) fn pattern(&mut self, word: &Word) -> Result<Pattern, Stop> {
        let inked = self.inked(word, Ink::Plain)?;
        let characters: Vec<(char, bool)> =
            inked.into_iter().filter_map(|(character, ink)| Some((character?, ink != Ink::Quoted))).collect();
        Ok(Pattern::new(&characters, true))
    }

    fn inked(&mut self, word: &Word, plain: Ink) -> Result<Inked, Stop> {
        let mut inked = Inked::new();
        for part in &word.parts {
            match part {
                Part::Text { text, quoted } => {
                    let ink = if *quoted { Ink::Quoted } else { plain };
                    if *quoted {
                        inked.push((None, ink));
                    }
                    inked.extend(text.chars().map(|character| (Some(character), ink)));
                }
                Part::Parameter(parameter) => self.parameter(parameter, &mut inked)?,
                Part::Substitution { list, quoted } => {
                    let text = self.substitute(list)?;
                    extend(&mut inked, &text, *quoted);
                }
            }
            self.charge(inked.len() / 64)?;
            if inked.len() > LENGTH_MAX {
                return Err(Stop::Limit(format!("a word has more than {LENGTH_MAX} characters")));
            }
        }
        Ok(inked)
    }

    fn substitute(&mut self, list: &super::super::shell::syntax::List) -> Result<String, Stop> {
        let (at, buffer) = (self.at, self.buffers.len());
        self.buffers.push(Stream::default());
        let stdin = self.inputs.len();
        self.inputs.push(None);
        let descriptors = Descriptors { stdin, out: Target::Buffer(buffer), err: Target::Said };
        let bash = self.environment.shell == Shell::Bash;
        let mut written = Stream::default();
        let status = self.subshell(|runner| {
            // bash alone forgets `set -e` in here.
            if bash {
                runner.state.errexit = false;
            }
            let result = runner.list(list, descriptors);
            written = runner.buffers.get_mut(buffer).map(std::mem::take).unwrap_or_default();
            result
        })?;
        self.buffers.truncate(buffer);
        self.inputs.truncate(stdin);
        self.at = at;
        self.substituted = Some(status);
        self.state.status = status;
        let bytes = written.bytes().map_err(Stop::Content)?;
        self.charge(bytes.len() / 64)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Stop::Limit("a substitution gives bytes that are not UTF-8".to_owned()))?;
        Ok(text.trim_end_matches('\n').replace('\0', ""))
    }

    fn value(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.state.status.to_string()),
            _ => self.state.variables.get(name).map(|(value, _)| value.clone()),
        }
    }

    /// Sets a variable; one that is exported stays so.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), Stop> {
        self.charge(value.len() / 16)?; // so that variables take little memory
        let exported = self.state.variables.get(name).is_some_and(|(_, exported)| *exported);
        self.state.variables.insert(name.to_owned(), (value, exported));
        Ok(())
    }

    fn unbound(&mut self, name: &str, why: &str) -> Stop {
        self.failed = Some((self.at, format!("${name}"), 1, format!("the variable `{name}` {why}")));
        Stop::Exit(1)
    }

    fn parameter(&mut self, parameter: &Parameter, inked: &mut Inked) -> Result<(), Stop> {
        let Parameter { name, quoted, operation, .. } = parameter;
        let value = self.value(name);
        let ink = if *quoted { Ink::Quoted } else { Ink::Expanded };
        let counts = |colon: bool| value.as_ref().filter(|value| !colon || !value.is_empty());
        match operation {
            Operation::Default { colon, word } if counts(*colon).is_none() => {
                let default = self.inked(word, ink)?;
                inked.extend(default);
                return Ok(());
            }
            Operation::Assign { colon, word } if counts(*colon).is_none() => {
                let text = self.text(word)?;
                self.set(name, text.clone())?;
                extend(inked, &text, *quoted);
                return Ok(());
            }
            Operation::Alternative { colon, word } => {
                if counts(*colon).is_some() {
                    let word = self.inked(word, ink)?;
                    inked.extend(word);
                } else if *quoted {
                    inked.push((None, Ink::Quoted));
                }
                return Ok(());
            }
            Operation::Demand { colon, word } if counts(*colon).is_none() => {
                let why = self.text(word)?;
                return Err(self.unbound(name, if why.is_empty() { "is not set" } else { &why }));
            }
            _ => {}
        }
        let value = match value {
            Some(value) => value,
            None if self.state.nounset => return Err(self.unbound(name, "is not set")),
            None => String::new(),
        };
        let text = match operation {
            Operation::Length => value.chars().count().to_string(),
            Operation::TrimStart { longest, pattern } => {
                let pattern = self.searching(pattern, &value)?;
                trim(&value, &pattern, *longest, true).to_owned()
            }
            Operation::TrimEnd { longest, pattern } => {
                let pattern = self.searching(pattern, &value)?;
                trim(&value, &pattern, *longest, false).to_owned()
            }
            Operation::Replace { all, pattern, with } => {
                let pattern = self.searching(pattern, &value)?;
                let with = self.text(with)?;
                replace(&value, &pattern, &with, *all)
            }
            _ => value,
        };
        extend(inked, &text, *quoted);
        Ok(())
    }

    fn searching(&mut self, pattern: &Word, value: &str) -> Result<Pattern, Stop> {
        if value.len() > SEARCHED_MAX {
            return Err(Stop::Limit(format!("a pattern is searched in more than {SEARCHED_MAX} characters")));
        }
        self.charge(value.len() + value.len() * value.len() / 256)?;
        self.pattern(pattern)
    }

    /// The names that a field stands for; itself if there is no pattern in it, or no such name.
    fn names(&mut self, field: &Field, arguments: &mut Vec<String>) -> Result<(), Stop> {
        let literal = || field.iter().map(|(character, _)| *character).collect::<String>();
        if !field.iter().any(|(character, active)| *active && matches!(character, '*' | '?' | '[')) {
            arguments.push(literal());
            return Ok(());
        }
        let parts: Vec<&[(char, bool)]> = field.split(|(character, _)| *character == '/').collect();
        let mut found = vec![String::new()];
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            let active =
                part.iter().any(|(character, active)| *active && matches!(character, '*' | '?' | '['));
            let mut next = Vec::new();
            for prefix in found {
                if active {
                    self.matching(&prefix, &Pattern::new(part, true), last, &mut next)?;
                } else {
                    next.push(prefix + &part.iter().map(|(character, _)| *character).collect::<String>());
                }
            }
            if !last {
                next.iter_mut().for_each(|prefix| prefix.push('/'));
            }
            self.charge(next.len())?;
            found = next;
        }
        found.retain(|path| self.root.find(self.state.directory, path, false).is_ok());
        if found.is_empty() {
            found.push(literal());
        }
        found.sort();
        arguments.append(&mut found);
        Ok(())
    }

    /// The names in the folder `prefix` that fit, each behind it.
    fn matching(
        &mut self,
        prefix: &str,
        pattern: &Pattern,
        last: bool,
        found: &mut Vec<String>,
    ) -> Result<(), Stop> {
        let folder = if prefix.is_empty() { "." } else { prefix };
        let Ok(id) = self.root.find(self.state.directory, folder, true) else { return Ok(()) };
        let mut looked_at = 0;
        for (name, child) in self.root.names(id) {
            looked_at += 1;
            if (name.starts_with('.') && !pattern.starts_with_dot()) || !pattern.matches(name) {
                continue;
            }
            let link = self.root.inode(child).is_some_and(Inode::is_symlink);
            if last || link || self.root.is_directory(child) {
                found.push(format!("{prefix}{name}"));
            }
        }
        self.charge(looked_at)
    }
}

fn extend(inked: &mut Inked, text: &str, quoted: bool) {
    let ink = if quoted { Ink::Quoted } else { Ink::Expanded };
    if quoted {
        inked.push((None, ink));
    }
    inked.extend(text.chars().map(|character| (Some(character), ink)));
}

/// Parts a word at the blanks that came out of expansions.
fn split(inked: Inked) -> Vec<Field> {
    let (mut fields, mut field): (Vec<Field>, Option<Field>) = (Vec::new(), None);
    for (character, ink) in inked {
        match character {
            Some(' ' | '\t' | '\n') if ink == Ink::Expanded => fields.extend(field.take()),
            Some(character) => {
                field.get_or_insert_default().push((character, ink != Ink::Quoted));
            }
            None => {
                field.get_or_insert_default();
            }
        }
    }
    fields.extend(field);
    fields
}

fn trim<'a>(value: &'a str, pattern: &Pattern, longest: bool, start: bool) -> &'a str {
    let mut cuts: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
    // From the shortest piece to the longest.
    if longest == start {
        cuts.reverse();
    }
    for cut in cuts {
        let (before, behind) = value.split_at(cut); // a boundary of characters
        let (piece, rest) = if start { (before, behind) } else { (behind, before) };
        if pattern.matches(piece) {
            return rest;
        }
    }
    value
}

fn replace(value: &str, pattern: &Pattern, with: &str, all: bool) -> String {
    let (mut text, mut left) = (String::new(), value);
    'next: while !left.is_empty() {
        let cuts: Vec<usize> = left.char_indices().map(|(at, _)| at).skip(1).chain([left.len()]).collect();
        for cut in cuts.into_iter().rev() {
            let (piece, rest) = left.split_at(cut); // a boundary of characters
            if pattern.matches(piece) {
                text.push_str(with);
                if !all {
                    return text + rest;
                }
                left = rest;
                continue 'next;
            }
        }
        let mut characters = left.chars();
        text.extend(characters.next());
        left = characters.as_str();
    }
    text
}
