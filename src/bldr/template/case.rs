//! Upper and lower case as Go sees it (one character for one), and names in snake, kebab and camel case as
//! github.com/huandu/xstrings v1.5.0 makes them, which sprig uses.

use super::strings::is_go_space;

/// `unicode.ToUpper`
fn to_upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

/// `unicode.ToLower`
fn to_lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    // Turkish capital dotted i becomes i and a dot; Go leaves out the dot.
    lower.next().unwrap_or(c)
}

/// `strings.ToUpper`
pub(super) fn upper(text: &str) -> String {
    text.chars().map(to_upper).collect()
}

/// `strings.ToLower`
pub(super) fn lower(text: &str) -> String {
    text.chars().map(to_lower).collect()
}

/// `strings.Title`: the first letter of each word.
pub(super) fn title(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let starts = is_separator(before);
            before = c;
            if starts { to_upper(c) } else { c }
        })
        .collect()
}

fn is_separator(c: char) -> bool {
    match c {
        '_' => false,
        c if c.is_ascii() => !c.is_ascii_alphanumeric(),
        c => !c.is_alphanumeric() && is_go_space(c),
    }
}

/// The first letter of each word in lower case.
pub(super) fn untitle(text: &str) -> String {
    let mut starts = true;
    text.chars()
        .map(|c| {
            if is_go_space(c) {
                starts = true;
                return c;
            }
            if std::mem::take(&mut starts) { to_lower(c) } else { c }
        })
        .collect()
}

fn is_connector(c: char) -> bool {
    matches!(c, '-' | '_') || is_go_space(c)
}

/// `ToPascalCase`: connectors go away and the letter behind them is a capital, words of capitals lose them.
pub(super) fn pascal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    let mut current = None;
    for c in chars.by_ref() {
        if !is_connector(c) {
            current = Some(c);
            break;
        }
        out.push(c);
    }
    // Nothing but connectors: the last of them twice, as there.
    let Some(first) = current else {
        out.extend(text.chars().next_back());
        return out;
    };
    let mut capitals = first.is_uppercase();
    let mut held = to_upper(first);
    for mut c in chars {
        if is_connector(c) && is_connector(held) {
            out.push(held);
            held = c;
            continue;
        }
        if is_connector(held) {
            capitals = c.is_uppercase();
            c = to_upper(c);
        } else {
            if capitals {
                if c.is_uppercase() {
                    c = to_lower(c);
                } else {
                    capitals = false;
                }
            }
            out.push(held);
        }
        held = c;
    }
    out.push(held);
    out
}

/// What a word is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Nothing,
    Number,
    /// It begins with a capital.
    Upper,
    Lower,
    Connector,
    Punctuation,
    Other,
}

/// Letters, but for Chinese characters.
fn is_letter(c: char) -> bool {
    let chinese = matches!(c, '\u{4e00}'..='\u{9fcc}' | '\u{3400}'..='\u{4d85}' | '\u{20000}'..='\u{2b81d}');
    c.is_alphabetic() && !chinese
}

fn is_number(c: char) -> bool {
    c.is_numeric()
}

/// `unicode.IsPunct` in ASCII, and of the rest what is neither letter, number, blank nor control.
fn is_punctuation(c: char) -> bool {
    match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        c if c.is_ascii() => c.is_ascii_punctuation(),
        c => {
            matches!(c, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}')
        }
    }
}

/// The next word: what it is and its length in bytes.
fn next_word(text: &str) -> (Word, usize) {
    let run = |from: usize, fits: fn(char) -> bool| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest.find(|c| !fits(c)).unwrap_or(rest.len())
    };
    let Some(first) = text.chars().next() else { return (Word::Nothing, 0) };
    let lower = |c: char| is_letter(c) && !c.is_uppercase();
    match first {
        c if is_connector(c) => (Word::Connector, run(0, is_connector)),
        c if is_punctuation(c) => (Word::Punctuation, run(0, is_punctuation)),
        c if c.is_uppercase() => {
            let behind = text.get(c.len_utf8()..).unwrap_or_default();
            match behind.chars().next() {
                Some(second) if second.is_uppercase() => (Word::Upper, capitals(text)),
                Some(second) if is_letter(second) => {
                    (Word::Upper, run(c.len_utf8(), |c| is_letter(c) && !c.is_uppercase()))
                }
                _ => (Word::Upper, c.len_utf8()),
            }
        }
        c if lower(c) => (Word::Lower, run(0, |c| is_letter(c) && !c.is_uppercase())),
        c if is_number(c) => (Word::Number, run(0, is_number)),
        _ => {
            let other = |c: char| !(is_connector(c) || is_letter(c) || is_number(c) || is_punctuation(c));
            (Word::Other, run(0, other))
        }
    }
}

/// The length of a word of capitals: the last one belongs to the next word if a small letter follows.
fn capitals(text: &str) -> usize {
    let mut end = 0;
    let mut last = 0;
    for c in text.chars() {
        if !c.is_uppercase() {
            return if is_letter(c) { last } else { end };
        }
        last = end;
        end += c.len_utf8();
    }
    end
}

/// `ToSnakeCase` and `ToKebabCase`.
pub(super) fn split(text: &str, connector: char) -> String {
    let mut splitter = Splitter { rest: text, word: Word::Nothing, text: "", connector, out: String::new() };
    splitter.advance();
    while !splitter.rest.is_empty() {
        splitter.step();
    }
    splitter.write();
    splitter.out
}

struct Splitter<'a> {
    rest: &'a str,
    /// The word that was read last.
    word: Word,
    text: &'a str,
    connector: char,
    out: String,
}

impl Splitter<'_> {
    fn advance(&mut self) {
        let (word, length) = next_word(self.rest);
        let (text, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        (self.word, self.text, self.rest) = (word, text, rest);
    }

    /// Writes the word that was read last.
    fn write(&mut self) {
        self.write_as(self.word, self.text);
    }

    fn write_as(&mut self, word: Word, text: &str) {
        if !matches!(word, Word::Upper | Word::Connector) {
            self.out.push_str(text);
            return;
        }
        let connector = self.connector;
        self.out.extend(text.chars().map(|c| match c {
            c if is_connector(c) => connector,
            c if c.is_uppercase() => to_lower(c),
            c => c,
        }));
    }

    /// Whether a connector belongs before the word that was read last.
    fn separates(&self) -> bool {
        !matches!(self.word, Word::Connector | Word::Punctuation)
    }

    /// Letters and numbers behind a number stay with it.
    fn write_alphanumeric(&mut self) {
        while matches!(self.word, Word::Lower | Word::Number) {
            self.write();
            self.advance();
        }
        if self.separates() && self.word != Word::Nothing {
            self.out.push(self.connector);
        }
    }

    fn step(&mut self) {
        if self.word != Word::Connector {
            self.write();
        }
        let (before, text) = (self.word, self.text);
        self.advance();
        match before {
            Word::Number => self.write_alphanumeric(),
            Word::Connector => self.write_as(before, text),
            Word::Punctuation => {}
            _ if self.word != Word::Number => {
                if self.separates() {
                    self.out.push(self.connector);
                }
            }
            _ if self.rest.is_empty() => {}
            _ => self.number_behind_letters(),
        }
    }

    /// A number behind letters: it belongs to the letters behind it, if there are any.
    fn number_behind_letters(&mut self) {
        let number = self.text;
        self.advance();
        if self.word != Word::Lower {
            self.write_as(Word::Number, number);
            if self.separates() {
                self.out.push(self.connector);
            }
            return;
        }
        self.out.push(self.connector);
        self.write_as(Word::Number, number);
        self.write_alphanumeric();
    }
}
