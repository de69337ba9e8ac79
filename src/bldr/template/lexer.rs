//! Words of a template, as Go's text/template/parse cuts them (`lex.go`).

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    /// Its text as it was written.
    pub(super) text: &'a str,
    /// Where it starts, in bytes.
    pub(super) at: usize,
}

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Text between actions.
    Text,
    /// `{{`
    Open,
    /// `}}`
    Close,
    Space,
    /// `|`
    Pipe,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    LeftParen,
    RightParen,
    Dot,
    /// `.name`
    Field,
    /// `$` or `$name`
    Variable,
    Identifier,
    Keyword(Keyword),
    Bool,
    Nil,
    Number,
    /// `1+2i`
    Complex,
    /// `'x'`
    Char,
    /// `"x"`
    Quoted,
    /// `` `x` ``
    Raw,
    /// Any other printable character: `,`.
    Other,
    End,
    /// The text cannot be cut further; why.
    Wrong(&'static str),
}

/// Words with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

const KEYWORDS: &[(&str, Keyword)] = &[
    ("block", Keyword::Block),
    ("break", Keyword::Break),
    ("continue", Keyword::Continue),
    ("define", Keyword::Define),
    ("else", Keyword::Else),
    ("end", Keyword::End),
    ("if", Keyword::If),
    ("range", Keyword::Range),
    ("template", Keyword::Template),
    ("with", Keyword::With),
];

/// What the trim markers trim.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Cuts a text into words; the last one is [`TokenKind::End`] or [`TokenKind::Wrong`].
pub(super) fn lex(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0, start: 0, parens: 0, tokens: Vec::new() };
    let end = match lexer.all() {
        Ok(()) => TokenKind::End,
        Err(why) => TokenKind::Wrong(why),
    };
    let at = if end == TokenKind::End { text.len() } else { lexer.start };
    lexer.tokens.push(Token { kind: end, text: "", at });
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    /// How far it has read, in bytes: always at a character's boundary.
    at: usize,
    /// Where the word starts that is being read.
    start: usize,
    /// Open parentheses of this action.
    parens: usize,
    tokens: Vec<Token<'a>>,
}

type Step = Result<(), &'static str>;

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.next();
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn word(&self) -> &'a str {
        self.text.get(self.start..self.at).unwrap_or_default()
    }

    fn emit(&mut self, kind: TokenKind) {
        self.tokens.push(Token { kind, text: self.word(), at: self.start });
        self.start = self.at;
    }

    fn all(&mut self) -> Step {
        while !self.rest().is_empty() {
            let before = self.rest().split("{{").next().unwrap_or_default();
            let whole = before.len() == self.rest().len();
            let behind = self.rest().get(before.len() + 2..).unwrap_or_default();
            let trimmed =
                if !whole && is_left_marker(behind) { before.trim_end_matches(SPACE) } else { before };
            self.start = self.at;
            self.at += trimmed.len();
            if !trimmed.is_empty() {
                self.emit(TokenKind::Text);
            }
            self.at += before.len() - trimmed.len();
            self.start = self.at;
            if !whole {
                self.opened()?;
            }
        }
        Ok(())
    }

    /// At `{{`.
    fn opened(&mut self) -> Step {
        self.at += 2;
        let marker = if is_left_marker(self.rest()) { 2 } else { 0 };
        if self.rest().get(marker..).is_some_and(|rest| rest.starts_with("/*")) {
            self.at += marker;
            self.start = self.at;
            return self.comment();
        }
        self.emit(TokenKind::Open);
        self.at += marker;
        self.start = self.at;
        self.parens = 0;
        while !self.inside()? {}
        Ok(())
    }

    fn comment(&mut self) -> Step {
        let length = self.rest().get(2..).and_then(|rest| rest.find("*/")).ok_or("unclosed comment")?;
        self.at += length + 4;
        if self.right_marker().is_none() {
            return Err("comment ends before closing delimiter");
        }
        self.closed();
        Ok(())
    }

    /// Whether the action ends here, and whether what follows is trimmed.
    fn right_marker(&self) -> Option<bool> {
        let mut chars = self.rest().chars();
        match (chars.next(), chars.next()) {
            (Some('}'), Some('}')) => Some(false),
            (Some(c), Some('-')) if SPACE.contains(&c) && chars.as_str().starts_with("}}") => Some(true),
            _ => None,
        }
    }

    /// Past `}}`, its marker and what that trims.
    fn closed(&mut self) {
        let trim = self.right_marker() == Some(true);
        self.at += if trim { 4 } else { 2 };
        if trim {
            self.at += self.rest().len() - self.rest().trim_start_matches(SPACE).len();
        }
        self.start = self.at;
    }

    /// One word of an action; whether it was its end.
    fn inside(&mut self) -> Result<bool, &'static str> {
        if self.right_marker().is_some() {
            if self.parens > 0 {
                return Err("unclosed left paren");
            }
            self.tokens.push(Token { kind: TokenKind::Close, text: "}}", at: self.at });
            self.closed();
            return Ok(true);
        }
        let next = self.next().ok_or("unclosed action")?;
        match next {
            c if SPACE.contains(&c) => self.space(),
            '=' => self.emit(TokenKind::Assign),
            ':' if self.accept("=") => self.emit(TokenKind::Declare),
            ':' => return Err("expected `:=`"),
            '|' => self.emit(TokenKind::Pipe),
            '"' => self.quoted('"', TokenKind::Quoted, "unterminated quoted string")?,
            '\'' => self.quoted('\'', TokenKind::Char, "unterminated character constant")?,
            '`' => {
                let length = self.rest().find('`').ok_or("unterminated raw quoted string")?;
                self.at += length + 1;
                self.emit(TokenKind::Raw);
            }
            '$' => self.name(TokenKind::Variable, TokenKind::Variable)?,
            // Before a digit it is the start of a number.
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.name(TokenKind::Dot, TokenKind::Field)?
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                self.number()?;
            }
            c if is_name(c) => self.identifier()?,
            '(' => {
                self.parens += 1;
                self.emit(TokenKind::LeftParen);
            }
            ')' => {
                self.parens = self.parens.checked_sub(1).ok_or("unexpected right paren")?;
                self.emit(TokenKind::RightParen);
            }
            c if c.is_ascii_graphic() => self.emit(TokenKind::Other),
            _ => return Err("unrecognized character in action"),
        }
        Ok(false)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|c| SPACE.contains(&c)) {
            self.next();
        }
        // The last one may belong to ` -}}`; all four have one byte.
        self.at -= 1;
        if self.right_marker() != Some(true) {
            self.at += 1;
        }
        if self.at > self.start {
            self.emit(TokenKind::Space);
        }
    }

    /// The rest of a `.name` or `$name`.
    fn name(&mut self, alone: TokenKind, named: TokenKind) -> Step {
        if self.at_terminator() {
            self.emit(alone);
            return Ok(());
        }
        self.name_characters()?;
        self.emit(named);
        Ok(())
    }

    fn name_characters(&mut self) -> Step {
        while self.peek().is_some_and(is_name) {
            self.next();
        }
        if self.at_terminator() { Ok(()) } else { Err("bad character in a name") }
    }

    fn identifier(&mut self) -> Step {
        self.name_characters()?;
        let word = self.word();
        let keyword = KEYWORDS.iter().find(|(text, _)| *text == word);
        self.emit(match (word, keyword) {
            (_, Some((_, keyword))) => TokenKind::Keyword(*keyword),
            ("nil", _) => TokenKind::Nil,
            ("true" | "false", _) => TokenKind::Bool,
            _ => TokenKind::Identifier,
        });
        Ok(())
    }

    /// Whether a name can end here.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) if SPACE.contains(&c) || ".,|:)(".contains(c) => true,
            _ => self.rest().starts_with("}}"),
        }
    }

    fn quoted(&mut self, end: char, kind: TokenKind, unterminated: &'static str) -> Step {
        loop {
            match self.next() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.next();
                }
                None | Some('\\' | '\n') => return Err(unterminated),
                Some(c) if c == end => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Step {
        self.scan_number()?;
        if matches!(self.peek(), Some('+' | '-')) {
            self.scan_number()?;
            if !self.word().ends_with('i') {
                return Err("bad number syntax");
            }
            self.emit(TokenKind::Complex);
        } else {
            self.emit(TokenKind::Number);
        }
        Ok(())
    }

    fn scan_number(&mut self) -> Step {
        const DECIMAL: &str = "0123456789_";
        const HEX: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEX;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if digits == DECIMAL && self.accept("eE") || digits == HEX && self.accept("pP") {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(is_name) { Err("bad number syntax") } else { Ok(()) }
    }
}

fn is_left_marker(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACE))
}

/// Whether a character may be in a name. Go asks for letters and decimal digits; the numbers of other kinds
/// that this takes as well are in no name.
fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
