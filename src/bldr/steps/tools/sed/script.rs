//! Scripts of `sed`, parsed.

use regex::bytes::Regex;

use super::super::regex::{Options, compile};

/// Commands of one script.
const COMMANDS_MAX: usize = 1000;

/// A command with its addresses.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) first: Option<Address>,
    pub(super) second: Option<Address>,
    pub(super) negated: bool,
    pub(super) action: Do,
}

/// Which line.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Line(usize),
    Last,
    Matches(Regex),
    /// So many lines behind the first.
    Plus(usize),
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Do {
    /// The commands up to `after` belong to it.
    Group {
        after: usize,
    },
    Delete,
    Print,
    Quit(u8),
    Number,
    Next,
    Append(Vec<u8>),
    Insert(Vec<u8>),
    Change(Vec<u8>),
    /// What each byte becomes.
    Transliterate(Vec<u8>),
    Substitute(Substitution),
}

/// `s/…/…/`.
#[derive(Debug, Clone)]
pub(super) struct Substitution {
    pub(super) regex: Regex,
    pub(super) with: Vec<Text>,
    /// The number of the first match that is replaced, from 1.
    pub(super) from: usize,
    /// Whether those behind it are, too.
    pub(super) all: bool,
    pub(super) print: bool,
}

/// A piece of a replacement.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Bytes(Vec<u8>),
    /// 0 is all that matched.
    Group(usize),
}

/// Parses a script.
pub(super) fn parse(text: &str, extended: bool) -> Result<Vec<Command>, String> {
    let mut script = Script { rest: text, extended, commands: Vec::new(), groups: Vec::new() };
    while script.command()? {
        if script.commands.len() > COMMANDS_MAX {
            return Err(format!("has more than {COMMANDS_MAX} commands"));
        }
    }
    if !script.groups.is_empty() {
        return Err("has a `{` that is not closed".to_owned());
    }
    Ok(script.commands)
}

struct Script<'a> {
    rest: &'a str,
    extended: bool,
    commands: Vec<Command>,
    groups: Vec<usize>,
}

impl Script<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    fn skip(&mut self, what: &[char]) {
        self.rest = self.rest.trim_start_matches(what);
    }

    /// Reads a command; `false` at the end.
    fn command(&mut self) -> Result<bool, String> {
        self.skip(&[' ', '\t', '\n', ';']);
        if self.peek() == Some('#') {
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
            return Ok(true);
        }
        if self.peek().is_none() {
            return Ok(false);
        }
        let first = self.address()?;
        let mut second = None;
        self.skip(&[' ', '\t']);
        if first.is_some() && self.peek() == Some(',') {
            self.next();
            self.skip(&[' ', '\t']);
            second = match self.peek() {
                Some('+') => {
                    self.next();
                    Some(Address::Plus(self.number().ok_or("has no number behind `+`")?))
                }
                _ => Some(self.address()?.ok_or("has no second address")?),
            };
        }
        self.skip(&[' ', '\t']);
        let negated = self.peek() == Some('!');
        while self.peek() == Some('!') {
            self.next();
            self.skip(&[' ', '\t']);
        }
        let Some(letter) = self.next() else { return Err("has an address without a command".to_owned()) };
        if letter == '}' {
            let open = self.groups.pop().ok_or("has a `}` too many")?;
            let after = self.commands.len();
            if let Some(Command { action: Do::Group { after: end }, .. }) = self.commands.get_mut(open) {
                *end = after;
            }
            self.end()?;
            return Ok(true);
        }
        let action = self.action(letter)?;
        if letter == '{' {
            self.groups.push(self.commands.len());
        }
        self.commands.push(Command { first, second, negated, action });
        Ok(true)
    }

    fn action(&mut self, letter: char) -> Result<Do, String> {
        let action = match letter {
            '{' => return Ok(Do::Group { after: 0 }),
            'a' | 'i' | 'c' => {
                let text = self.text()?;
                return Ok(match letter {
                    'a' => Do::Append(text),
                    'i' => Do::Insert(text),
                    _ => Do::Change(text),
                });
            }
            'd' => Do::Delete,
            'p' => Do::Print,
            '=' => Do::Number,
            'n' => Do::Next,
            'q' => {
                self.skip(&[' ', '\t']);
                let code = self.number().unwrap_or(0);
                Do::Quit(u8::try_from(code).map_err(|_| "ends with a status above 255")?)
            }
            's' => Do::Substitute(self.substitution()?),
            'y' => Do::Transliterate(self.transliteration()?),
            other => return Err(format!("has the command `{other}`, which is not run natively")),
        };
        self.end()?;
        Ok(action)
    }

    /// What may stand behind a command.
    fn end(&mut self) -> Result<(), String> {
        self.skip(&[' ', '\t']);
        match self.peek() {
            None | Some('\n' | ';' | '}' | '#') => Ok(()),
            Some(other) => Err(format!("has `{other}` behind a command")),
        }
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(digits); // digits are ASCII
        self.rest = rest;
        digits.parse().ok()
    }

    fn address(&mut self) -> Result<Option<Address>, String> {
        let regex = match self.peek() {
            Some('0'..='9') => {
                let number = self.number().filter(|number| *number > 0).ok_or("has the address 0")?;
                if self.peek() == Some('~') {
                    return Err("has an address with `~`, which is not run natively".to_owned());
                }
                return Ok(Some(Address::Line(number)));
            }
            Some('$') => {
                self.next();
                return Ok(Some(Address::Last));
            }
            Some('/') => {
                self.next();
                self.delimited('/', true)?
            }
            Some('\\') => {
                self.next();
                let delimiter = self.next().ok_or("has an address without an end")?;
                self.delimited(delimiter, true)?
            }
            _ => return Ok(None),
        };
        let ignore_case = self.peek() == Some('I');
        if ignore_case {
            self.next();
        }
        let options = Options { extended: self.extended, ignore_case, only_whether: true };
        Ok(Some(Address::Matches(self.regex(&regex, options)?)))
    }

    fn regex(&self, text: &str, options: Options) -> Result<Regex, String> {
        if text.is_empty() {
            return Err("has an empty expression, which is not run natively".to_owned());
        }
        compile(text, options)
    }

    /// What stands up to a delimiter. Of an escaped delimiter, the backslash goes.
    fn delimited(&mut self, delimiter: char, regex: bool) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some(character) if character == delimiter => return Ok(text),
                Some('\\') => match self.next() {
                    Some(character) if character == delimiter => {
                        let operators = match (regex, self.extended) {
                            (false, _) => "&",
                            (true, false) => ".*^$[",
                            (true, true) => "+?|(){}.*^$[",
                        };
                        if operators.contains(delimiter) {
                            return Err("escapes a delimiter that is an operator".to_owned());
                        }
                        text.push(character);
                    }
                    Some(character) => {
                        text.push('\\');
                        text.push(character);
                    }
                    None => return Err("has an expression that is not closed".to_owned()),
                },
                Some('\n') if regex => return Err("has an expression that is not closed".to_owned()),
                Some(character) => text.push(character),
                None => return Err("has an expression that is not closed".to_owned()),
            }
        }
    }

    fn substitution(&mut self) -> Result<Substitution, String> {
        let delimiter = self.next().filter(|delimiter| !matches!(delimiter, '\n' | '\\'));
        let delimiter = delimiter.ok_or("has an `s` without a delimiter")?;
        let text = self.delimited(delimiter, true)?;
        let with = self.delimited(delimiter, false)?;
        let (mut all, mut print, mut from, mut ignore_case) = (false, false, None, false);
        loop {
            match self.peek() {
                Some('g') => all = true,
                Some('p') => print = true,
                Some('i' | 'I') => ignore_case = true,
                Some('0'..='9') => {
                    from = Some(
                        self.number().filter(|number| *number > 0).ok_or("has an `s` with the number 0")?,
                    );
                    continue;
                }
                Some(flag @ ('e' | 'm' | 'M' | 'w')) => {
                    return Err(format!("has an `s` with `{flag}`, which is not run natively"));
                }
                _ => break,
            }
            self.next();
        }
        let options = Options { extended: self.extended, ignore_case, only_whether: false };
        let regex = self.regex(&text, options)?;
        let with = replacement(&with, regex.captures_len())?;
        Ok(Substitution { regex, with, from: from.unwrap_or(1), all, print })
    }

    fn transliteration(&mut self) -> Result<Vec<u8>, String> {
        let delimiter = self.next().ok_or("has a `y` without a delimiter")?;
        let (from, to) = (self.delimited(delimiter, false)?, self.delimited(delimiter, false)?);
        if !from.is_ascii() || !to.is_ascii() || from.contains('\\') || to.contains('\\') {
            return Err("has a `y` with letters that are not run natively".to_owned());
        }
        if from.len() != to.len() {
            return Err("has a `y` of unequal lengths".to_owned());
        }
        let mut table: Vec<u8> = (0..=u8::MAX).collect();
        for (from, to) in from.bytes().zip(to.bytes()) {
            if let Some(slot) = table.get_mut(usize::from(from)) {
                *slot = to;
            }
        }
        Ok(table)
    }

    /// The text of `a`, `i` and `c`, up to the end of the line.
    fn text(&mut self) -> Result<Vec<u8>, String> {
        self.skip(&[' ', '\t']);
        if let Some(rest) = self.rest.strip_prefix('\\') {
            self.rest = rest.trim_start_matches([' ', '\t']);
            match self.rest.strip_prefix('\n') {
                Some(rest) => self.rest = rest,
                // `a\text` keeps the blanks that stand behind the backslash.
                None => self.rest = rest,
            }
        }
        let mut text = Vec::new();
        let mut some = false;
        while let Some(character) = self.next() {
            some = true;
            match character {
                '\n' => break,
                '\\' => match self.next() {
                    Some(character) if character.is_ascii_alphanumeric() => {
                        return Err(format!("has `\\{character}` in a text, which is not run natively"));
                    }
                    character => text.extend(character.map(String::from).unwrap_or_default().bytes()),
                },
                character => text.extend(String::from(character).bytes()),
            }
        }
        if !some {
            return Err("has an `a`, `i` or `c` without a text".to_owned());
        }
        text.push(b'\n');
        Ok(text)
    }
}

fn replacement(text: &str, groups: usize) -> Result<Vec<Text>, String> {
    let mut with = vec![Text::Bytes(Vec::new())];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let bytes = match character {
            '&' => {
                with.push(Text::Group(0));
                continue;
            }
            '\\' => match characters.next() {
                Some(digit @ '0'..='9') => {
                    let group = digit.to_digit(10).unwrap_or(0) as usize; // it is a digit
                    if group >= groups {
                        return Err(format!("refers to the group {group}, which it has not"));
                    }
                    with.push(Text::Group(group));
                    continue;
                }
                Some('n') => "\n".to_owned(),
                Some('t') => "\t".to_owned(),
                Some(letter) if letter.is_ascii_alphabetic() => {
                    return Err(format!("has `\\{letter}` in a replacement, which is not run natively"));
                }
                Some(other) => other.to_string(),
                None => "\\".to_owned(),
            },
            other => other.to_string(),
        };
        match with.last_mut() {
            Some(Text::Bytes(text)) => text.extend(bytes.bytes()),
            _ => with.push(Text::Bytes(bytes.into_bytes())),
        }
    }
    Ok(with)
}
