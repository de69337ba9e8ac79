//! Characters with their places.

/// A place in a step's text: line and column, both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A step's text is no program that is run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No shell would take it.
    #[error("{at}: {why}")]
    Syntax {
        /// Where.
        at: Position,
        /// What is wrong.
        why: String,
    },
    /// A shell would take it, and the native runner does not.
    #[error("{at}: {what} is not run natively")]
    Unsupported {
        /// Where.
        at: Position,
        /// What it is: `a function` …
        what: String,
    },
}

impl ParseError {
    /// Where.
    pub fn at(&self) -> Position {
        match self {
            Self::Syntax { at, .. } | Self::Unsupported { at, .. } => *at,
        }
    }
}

/// Longest text of a step, in bytes. The longest of the official packages has 4 KiB.
const TEXT_MAX: usize = 1 << 20;
/// Commands and substitutions within each other; the parser calls itself for each.
const NESTING_MAX: usize = 40;

/// The characters of a text, and how far they are read.
#[derive(Debug)]
pub(super) struct Reader {
    chars: Vec<(char, Position)>,
    next: usize,
    end: Position,
    /// Here documents whose bodies begin behind the next end of a line: where their words go.
    pub(super) pending: Vec<Pending>,
    /// Bodies that were read, in the order of their redirections.
    pub(super) bodies: Vec<super::syntax::Word>,
    nesting: usize,
    /// What is wrong with a here document, told when its list has ended.
    pub(super) failed: Option<ParseError>,
}

/// A here document that was announced.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) delimiter: String,
    pub(super) quoted: bool,
    pub(super) tabs: bool,
    pub(super) at: Position,
    /// Its index in [`Reader::bodies`].
    pub(super) body: usize,
}

pub(super) type Parsed<T> = Result<T, ParseError>;

impl Reader {
    pub(super) fn new(text: &str) -> Parsed<Self> {
        let mut at = Position { line: 1, column: 1 };
        if text.len() > TEXT_MAX {
            return Err(ParseError::Syntax { at, why: format!("the text is longer than {TEXT_MAX} bytes") });
        }
        let mut chars = Vec::new();
        for character in text.chars() {
            if character == '\0' {
                return Err(ParseError::Syntax { at, why: "there is a NUL character".to_owned() });
            }
            chars.push((character, at));
            if character == '\n' {
                at = Position { line: at.line.saturating_add(1), column: 1 };
            } else {
                at.column = at.column.saturating_add(1);
            }
        }
        Ok(Self::of(chars, at, 0))
    }

    fn of(chars: Vec<(char, Position)>, end: Position, nesting: usize) -> Self {
        Self { chars, next: 0, end, pending: Vec::new(), bodies: Vec::new(), nesting, failed: None }
    }

    /// A reader of characters that were taken out of this one.
    pub(super) fn inner(&self, chars: Vec<(char, Position)>) -> Parsed<Self> {
        let end = chars.last().map_or_else(|| self.at(), |(_, at)| *at);
        let mut inner = Self::of(chars, end, self.nesting);
        inner.nest()?;
        Ok(inner)
    }

    /// Goes one level down; [`Reader::rise`] goes up again.
    pub(super) fn nest(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error(format!("commands lie more than {NESTING_MAX} deep in each other")));
        }
        Ok(())
    }

    pub(super) fn rise(&mut self) {
        self.nesting = self.nesting.saturating_sub(1);
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, count: usize) -> Option<char> {
        self.chars.get(self.next + count).map(|(character, _)| *character)
    }

    pub(super) fn at(&self) -> Position {
        self.chars.get(self.next).map_or(self.end, |(_, at)| *at)
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let (character, _) = self.chars.get(self.next)?;
        self.next += 1;
        Some(*character)
    }

    /// The same with its place.
    pub(super) fn take(&mut self) -> Option<(char, Position)> {
        let taken = *self.chars.get(self.next)?;
        self.next += 1;
        Some(taken)
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.next = (self.next + count).min(self.chars.len());
    }

    pub(super) fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, character)| self.ahead(index) == Some(character))
    }

    pub(super) fn mark(&self) -> usize {
        self.next
    }

    pub(super) fn back_to(&mut self, mark: usize) {
        self.next = mark;
    }

    /// Passes blanks, continuation lines and a comment.
    pub(super) fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.skip(1),
                Some('\\') if self.ahead(1) == Some('\n') => self.skip(2),
                Some('#') => {
                    while self.peek().is_some_and(|character| character != '\n') {
                        self.skip(1);
                    }
                }
                _ => return,
            }
        }
    }

    /// The unquoted word that stands next, if nothing in it is quoted or expanded: reserved words are such.
    pub(super) fn bare_word(&self) -> String {
        let mut word = String::new();
        for index in 0.. {
            match self.ahead(index) {
                Some(character)
                    if !is_meta(character) && !matches!(character, '\'' | '"' | '\\' | '$' | '`') =>
                {
                    word.push(character);
                }
                Some('\'' | '"' | '\\' | '$' | '`') => return String::new(),
                _ => break,
            }
        }
        word
    }

    pub(super) fn error(&self, why: impl Into<String>) -> ParseError {
        ParseError::Syntax { at: self.at(), why: why.into() }
    }

    pub(super) fn unsupported<T>(&self, at: Position, what: impl Into<String>) -> Parsed<T> {
        Err(ParseError::Unsupported { at, what: what.into() })
    }
}

/// Whether a character ends an unquoted word.
pub(super) fn is_meta(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
}

pub(super) fn is_name_start(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

pub(super) fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
