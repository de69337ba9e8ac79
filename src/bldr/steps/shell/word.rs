//! Words, quotes and parameters out of characters.

use super::reader::{ParseError, Parsed, Position, Reader, is_meta, is_name, is_name_start};
use super::syntax::{Operation, Parameter, Part, Word};

/// Parameters with a name of one character that is no letter, as far as `$` before them means something.
const SPECIAL: &str = "@*#?-$!0123456789";

impl Reader {
    /// The word that begins here.
    pub(super) fn word(&mut self) -> Parsed<Word> {
        let at = self.at();
        let mut parts = Parts::default();
        while let Some(character) = self.peek() {
            match character {
                '<' | '>' if self.ahead(1) == Some('(') => {
                    return self.unsupported(self.at(), "process substitution");
                }
                _ if is_meta(character) => break,
                '~' if parts.is_empty() && self.tilde() => {
                    return self.unsupported(self.at(), "a home directory (`~`)");
                }
                '@' | '?' | '*' | '+' | '!' if self.ahead(1) == Some('(') => {
                    return self.unsupported(self.at(), "an extended pattern");
                }
                _ => self.part(&mut parts, false)?,
            }
        }
        Ok(Word { at, parts: parts.0 })
    }

    /// Whether `~` and a slash or the word's end stand here.
    fn tilde(&self) -> bool {
        self.ahead(1).is_none_or(|character| character == '/' || is_name(character) || is_meta(character))
    }

    /// One character, quotation or expansion; in double quotes (`quoted`) other ones count.
    fn part(&mut self, parts: &mut Parts, quoted: bool) -> Parsed<()> {
        let at = self.at();
        match self.bump() {
            Some('\\') => match self.bump() {
                Some('\n') => {}
                Some(next) if quoted && !matches!(next, '$' | '`' | '"' | '\\') => {
                    parts.text('\\', true);
                    parts.text(next, true);
                }
                Some(next) => parts.text(next, true),
                None => parts.text('\\', true),
            },
            Some('\'') if !quoted => {
                parts.quotation();
                loop {
                    match self.bump() {
                        Some('\'') => break,
                        Some(character) => parts.text(character, true),
                        None => return Err(open(at, '\'')),
                    }
                }
            }
            Some('"') if !quoted => {
                parts.quotation();
                loop {
                    match self.peek() {
                        Some('"') => break,
                        Some(_) => self.part(parts, true)?,
                        None => return Err(open(at, '"')),
                    }
                }
                self.skip(1);
            }
            Some('$') => self.dollar(at, parts, quoted)?,
            Some('`') => self.backquotes(at, parts, quoted)?,
            Some(character) => parts.text(character, quoted),
            None => {}
        }
        Ok(())
    }

    /// What a `$`, which is read already, begins.
    fn dollar(&mut self, at: Position, parts: &mut Parts, quoted: bool) -> Parsed<()> {
        match self.peek() {
            Some('(') if self.ahead(1) == Some('(') => self.unsupported(at, "arithmetic"),
            Some('(') => {
                self.skip(1);
                let bodies = self.bodies.len();
                let list = self.list()?;
                if self.bodies.len() > bodies {
                    return self.unsupported(at, "a here document within a substitution");
                }
                if self.bump() != Some(')') {
                    return Err(open(at, '('));
                }
                parts.0.push(Part::Substitution { list, quoted });
                Ok(())
            }
            Some('{') => {
                self.skip(1);
                self.nest()?;
                let parameter = self.braced(at, quoted)?;
                self.rise();
                parts.0.push(Part::Parameter(parameter));
                Ok(())
            }
            Some('\'' | '"') if !quoted => self.unsupported(at, "`$` before a quotation mark"),
            Some('[') => self.unsupported(at, "arithmetic"),
            Some(character) if is_name_start(character) => {
                let mut name = String::new();
                while let Some(character) = self.peek().filter(|character| is_name(*character)) {
                    name.push(character);
                    self.skip(1);
                }
                parts.0.push(Part::Parameter(Parameter { at, name, quoted, operation: Operation::Plain }));
                Ok(())
            }
            Some('?') => {
                self.skip(1);
                let name = "?".to_owned();
                parts.0.push(Part::Parameter(Parameter { at, name, quoted, operation: Operation::Plain }));
                Ok(())
            }
            Some(character) if SPECIAL.contains(character) => {
                self.unsupported(at, format!("the parameter `${character}`"))
            }
            _ => {
                parts.text('$', quoted);
                Ok(())
            }
        }
    }

    /// `${…}` behind its brace.
    fn braced(&mut self, at: Position, quoted: bool) -> Parsed<Parameter> {
        let length = self.peek() == Some('#') && self.ahead(1).is_some_and(is_name_start);
        self.skip(usize::from(length));
        let mut name = String::new();
        while let Some(character) = self.peek().filter(|character| is_name(*character)) {
            name.push(character);
            self.skip(1);
        }
        if name.is_empty() && self.starts_with("?}") {
            name.push('?');
            self.skip(1);
        }
        if !name.starts_with(is_name_start) && name != "?" {
            return self
                .unsupported(at, format!("`${{{}`", self.peek().map_or_else(String::new, String::from)));
        }
        let operation = if length { Operation::Length } else { self.operation(at, quoted)? };
        if self.bump() != Some('}') {
            return Err(open(at, '{'));
        }
        Ok(Parameter { at, name, quoted, operation })
    }

    fn operation(&mut self, at: Position, quoted: bool) -> Parsed<Operation> {
        let colon = self.peek() == Some(':');
        let sign = if colon { self.ahead(1) } else { self.peek() };
        Ok(match sign {
            Some('}') if !colon => Operation::Plain,
            Some(sign @ ('-' | '=' | '+' | '?')) => {
                self.skip(1 + usize::from(colon));
                let word = self.operand(at, quoted, false, "}")?;
                match sign {
                    '-' => Operation::Default { colon, word },
                    '=' => Operation::Assign { colon, word },
                    '+' => Operation::Alternative { colon, word },
                    _ => Operation::Demand { colon, word },
                }
            }
            Some(sign @ ('#' | '%')) if !colon => {
                self.skip(1);
                let longest = self.peek() == Some(sign);
                self.skip(usize::from(longest));
                let pattern = self.operand(at, false, quoted, "}")?;
                match sign {
                    '#' => Operation::TrimStart { longest, pattern },
                    _ => Operation::TrimEnd { longest, pattern },
                }
            }
            Some('/') if !colon => {
                self.skip(1);
                let all = self.peek() == Some('/');
                self.skip(usize::from(all));
                if matches!(self.peek(), Some('#' | '%')) {
                    return self.unsupported(at, "an anchored replacement in a parameter");
                }
                let pattern = self.operand(at, false, quoted, "/}")?;
                let mut with = Word { at: self.at(), parts: Vec::new() };
                if self.peek() == Some('/') {
                    self.skip(1);
                    with = self.operand(at, false, quoted, "}")?;
                }
                Operation::Replace { all, pattern, with }
            }
            None => return Err(open(at, '{')),
            Some(sign) => {
                let colon = if colon { ":" } else { "" };
                return self.unsupported(at, format!("`{colon}{sign}` in a parameter"));
            }
        })
    }

    /// The word of an operation, up to one of `ends`. Within double quotes a default's word is quoted as they
    /// are; a pattern is not, but its quotes count.
    fn operand(&mut self, at: Position, quoted: bool, outer: bool, ends: &str) -> Parsed<Word> {
        let start = self.at();
        let mut parts = Parts::default();
        loop {
            match self.peek() {
                Some(character) if ends.contains(character) => {
                    return Ok(Word { at: start, parts: parts.0 });
                }
                Some('"') if quoted => {
                    return self.unsupported(self.at(), "a quotation mark within `\"${…}\"`");
                }
                Some('"') if outer && ends != "}" => {
                    return self.unsupported(self.at(), "a quotation mark within `\"${…/…}\"`");
                }
                Some(_) => self.part(&mut parts, quoted)?,
                None => return Err(open(at, '{')),
            }
        }
    }

    /// `` `…` `` behind its first quote: `\` before `` ` ``, `\` and `$` goes before the inside is read.
    fn backquotes(&mut self, at: Position, parts: &mut Parts, quoted: bool) -> Parsed<()> {
        let mut inside = Vec::new();
        loop {
            match self.take() {
                Some(('`', _)) => break,
                Some(('\\', place)) => match self.peek() {
                    Some('`' | '\\' | '$') => inside.extend(self.take()),
                    Some('"') if quoted => inside.extend(self.take()),
                    _ => inside.push(('\\', place)),
                },
                Some(taken) => inside.push(taken),
                None => return Err(open(at, '`')),
            }
        }
        let mut inner = self.inner(inside)?;
        let mut list = inner.list()?;
        if inner.peek().is_some() {
            return Err(inner.error("the substitution does not end here"));
        }
        inner.place_bodies(&mut list)?;
        parts.0.push(Part::Substitution { list, quoted });
        Ok(())
    }

    /// The whole text as that of a here document: as in double quotes, but these are themselves.
    pub(super) fn here_text(&mut self, at: Position) -> Parsed<Word> {
        let mut parts = Parts::default();
        while let Some(character) = self.peek() {
            match (character, self.ahead(1)) {
                ('\\', Some('"')) => {
                    self.skip(2);
                    parts.text('\\', true);
                    parts.text('"', true);
                }
                _ => self.part(&mut parts, true)?,
            }
        }
        Ok(Word { at, parts: parts.0 })
    }
}

fn open(at: Position, mark: char) -> ParseError {
    ParseError::Syntax { at, why: format!("`{mark}` is not closed") }
}

/// Parts of a word, neighbouring text in one.
#[derive(Debug, Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn text(&mut self, character: char, as_quoted: bool) {
        if let Some(Part::Text { text, quoted }) = self.0.last_mut()
            && *quoted == as_quoted
        {
            text.push(character);
            return;
        }
        self.0.push(Part::Text { text: character.to_string(), quoted: as_quoted });
    }

    /// Quotes, be there something in them or not.
    fn quotation(&mut self) {
        self.0.push(Part::Text { text: String::new(), quoted: true });
    }
}
