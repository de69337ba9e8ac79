//! POSIX' regular expressions, basic and extended, with GNU's additions, turned into those of the `regex`
//! crate, which takes time in proportion to the text.
//!
//! The crate takes the first alternative that fits where POSIX takes the longest: alternatives of which one
//! may begin another are refused where the extent of a match counts. Back references within an expression are
//! refused: no engine is quick at them.

use regex::bytes::{Regex, RegexBuilder};

use crate::base::pattern::class_of;

/// Longest expression, in bytes.
const EXPRESSION_MAX: usize = 4096;
/// Most bytes of a compiled expression.
const COMPILED_MAX: usize = 1 << 20;

/// How an expression is written, and what is asked of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) extended: bool,
    pub(super) ignore_case: bool,
    /// Only whether there is a match counts, not how long it is.
    pub(super) only_whether: bool,
}

/// Compiles an expression, or says what of it is not run natively.
pub(super) fn compile(text: &str, options: Options) -> Result<Regex, String> {
    if text.len() > EXPRESSION_MAX {
        return Err(format!("is an expression of more than {EXPRESSION_MAX} bytes"));
    }
    if text.contains('\0') {
        return Err("has a NUL in it".to_owned());
    }
    let mut translator = Translator { rest: text, options, out: String::new(), open: Vec::new() };
    translator.translate()?;
    build(&translator.out, options.ignore_case)
}

/// Compiles a text that means itself.
pub(super) fn literal(text: &str, ignore_case: bool, around: (&str, &str)) -> Result<Regex, String> {
    build(&format!("{}{}{}", around.0, regex::escape(text), around.1), ignore_case)
}

/// Wraps an expression, as `grep -x` and `-w` do.
pub(super) fn wrapped(regex: &Regex, around: (&str, &str), ignore_case: bool) -> Result<Regex, String> {
    build(&format!("{}(?:{}){}", around.0, regex.as_str(), around.1), ignore_case)
}

fn build(text: &str, ignore_case: bool) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .unicode(false)
        .dot_matches_new_line(true)
        .case_insensitive(ignore_case)
        .size_limit(COMPILED_MAX)
        .nest_limit(50)
        .build()
        .map_err(|_| "is no regular expression that is understood".to_owned())
}

/// The alternatives of a group so far; `None` for one that is not plain text.
#[derive(Debug, Default)]
struct Group {
    alternatives: Vec<Option<String>>,
    current: Option<String>,
}

impl Group {
    fn new() -> Self {
        Self { alternatives: Vec::new(), current: Some(String::new()) }
    }

    /// Whether the first alternative that fits is the only one that does.
    fn is_plain(&self) -> bool {
        let mut all: Vec<&Option<String>> = self.alternatives.iter().collect();
        all.push(&self.current);
        if all.len() < 2 {
            return true;
        }
        let texts: Option<Vec<&str>> = all.iter().map(|text| text.as_deref()).collect();
        texts.is_some_and(|texts| {
            texts.iter().enumerate().all(|(index, text)| {
                !texts.iter().enumerate().any(|(other, longer)| other != index && longer.starts_with(text))
            })
        })
    }
}

struct Translator<'a> {
    rest: &'a str,
    options: Options,
    out: String,
    open: Vec<Group>,
}

impl Translator<'_> {
    fn translate(&mut self) -> Result<(), String> {
        self.open.push(Group::new());
        // Whether an atom stands before, to which `*` and the like belong.
        let mut atom = false;
        while let Some(character) = self.next() {
            atom = match character {
                '\\' => self.escaped(atom)?,
                '[' => {
                    self.bracket()?;
                    self.mark(None);
                    true
                }
                '.' => {
                    self.out.push_str("(?s-u:.)");
                    self.mark(None);
                    true
                }
                '*' if !atom => self.plain('*'),
                '*' => {
                    if !self.out.ends_with('*') {
                        self.out.push('*');
                    }
                    self.mark(None);
                    true
                }
                '^' if self.options.extended || self.at_start() => {
                    self.out.push('^');
                    self.mark(None);
                    false
                }
                '$' if self.options.extended || self.at_end() => {
                    self.out.push('$');
                    self.mark(None);
                    false
                }
                '+' | '?' | '{' | '(' | ')' | '|' if self.options.extended => {
                    self.operator(character, atom)?
                }
                other => self.plain(other),
            };
        }
        let group = self.open.pop().unwrap_or_default();
        if !self.open.is_empty() {
            return Err("has a group that is not closed".to_owned());
        }
        self.judge(&group)
    }

    fn judge(&self, group: &Group) -> Result<(), String> {
        if self.options.only_whether || group.is_plain() {
            return Ok(());
        }
        Err("has alternatives that one match may mix up, which is not run natively".to_owned())
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    /// Tells the group of plain text, or of something else.
    fn mark(&mut self, text: Option<char>) {
        if let Some(group) = self.open.last_mut() {
            match (text, &mut group.current) {
                (Some(text), Some(current)) => current.push(text),
                (None, current) => *current = None,
                (Some(_), None) => {}
            }
        }
    }

    fn plain(&mut self, character: char) -> bool {
        self.out.push_str(&regex::escape(&character.to_string()));
        self.mark(Some(character));
        true
    }

    fn at_start(&self) -> bool {
        self.out.is_empty()
            || self.out.ends_with("(?:")
            || self.out.ends_with("(") && !self.out.ends_with("\\(")
            || self.out.ends_with('|') && !self.out.ends_with("\\|")
    }

    fn at_end(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with("\\)") || self.rest.starts_with("\\|")
    }

    fn escaped(&mut self, atom: bool) -> Result<bool, String> {
        let Some(character) = self.next() else { return Err("ends in a backslash".to_owned()) };
        Ok(match character {
            '+' | '?' | '{' | '(' | ')' | '|' if !self.options.extended => self.operator(character, atom)?,
            'n' => self.plain('\n'),
            't' => self.plain('\t'),
            'w' | 'W' | 's' | 'S' => {
                self.out.push_str(match character {
                    'w' => "[0-9A-Za-z_]",
                    'W' => "[^0-9A-Za-z_]",
                    's' => "[ \\t-\\r]",
                    _ => "[^ \\t-\\r]",
                });
                self.mark(None);
                true
            }
            '<' | '>' | 'b' | 'B' | '`' | '\'' => {
                self.out.push_str(match character {
                    '<' => "\\b{start}",
                    '>' => "\\b{end}",
                    'b' => "\\b",
                    'B' => "\\B",
                    '`' => "\\A",
                    _ => "\\z",
                });
                self.mark(None);
                false
            }
            '1'..='9' => return Err("refers back to a group, which is not run natively".to_owned()),
            other if other.is_ascii_alphanumeric() => {
                return Err(format!("has `\\{other}`, which is not run natively"));
            }
            other => self.plain(other),
        })
    }

    fn operator(&mut self, operator: char, atom: bool) -> Result<bool, String> {
        match operator {
            '(' => {
                self.out.push('(');
                self.mark(None);
                self.open.push(Group::new());
                Ok(false)
            }
            ')' if self.open.len() > 1 => {
                let group = self.open.pop().unwrap_or_default();
                self.judge(&group)?;
                self.out.push(')');
                Ok(true)
            }
            ')' => Err("has a `)` too many".to_owned()),
            '|' => {
                if let Some(group) = self.open.last_mut() {
                    let done = group.current.replace(String::new());
                    group.alternatives.push(done);
                }
                self.out.push('|');
                Ok(false)
            }
            _ if !atom => Err(format!("repeats nothing with `{operator}`")),
            '{' => {
                let close = if self.options.extended { "}" } else { "\\}" };
                let Some((bounds, rest)) = self.rest.split_once(close) else {
                    return Err("has a `{` that is not closed".to_owned());
                };
                let fits = bounds.split(',').count() <= 2
                    && bounds.bytes().all(|byte| byte.is_ascii_digit() || byte == b',')
                    && bounds.bytes().any(|byte| byte.is_ascii_digit());
                if !fits {
                    return Err(format!("has the repetition `{{{bounds}}}`"));
                }
                self.rest = rest;
                let bounds = if bounds.starts_with(',') { format!("0{bounds}") } else { bounds.to_owned() };
                // In a group of its own, so that what stands behind is not taken for a lazy repetition.
                self.out.push_str(&format!("{{{bounds}}}"));
                self.mark(None);
                self.after_repetition()
            }
            other => {
                self.out.push(other);
                self.mark(None);
                self.after_repetition()
            }
        }
    }

    /// A repetition of a repetition would be read as a lazy one.
    fn after_repetition(&self) -> Result<bool, String> {
        let next = if self.options.extended {
            self.rest.chars().next()
        } else {
            self.rest.strip_prefix('\\').unwrap_or(self.rest).chars().next()
        };
        match next {
            Some('*' | '+' | '?' | '{') if self.options.extended || self.rest.starts_with(['*', '\\']) => {
                Err("repeats a repetition, which is not run natively".to_owned())
            }
            _ => Ok(true),
        }
    }

    /// A bracket behind its `[`, as a class of bytes.
    fn bracket(&mut self) -> Result<(), String> {
        let open = || "has a `[` that is not closed".to_owned();
        let negated = self.rest.starts_with('^');
        if negated {
            self.next();
        }
        let (mut class, mut first) = (String::new(), true);
        loop {
            let character = self.next().ok_or_else(open)?;
            if character == ']' && !first {
                break;
            }
            first = false;
            if character == '[' && self.rest.starts_with(['.', '=']) {
                return Err("has a collating element, which is not run natively".to_owned());
            }
            if character == '['
                && let Some(rest) = self.rest.strip_prefix(':')
            {
                let (name, rest) = rest.split_once(":]").ok_or_else(open)?;
                class_of(name).ok_or_else(|| format!("has the class `{name}`, which is not known"))?;
                class.push_str(&format!("[:{name}:]"));
                self.rest = rest;
                continue;
            }
            let start = self.member(character)?;
            let mut ahead = self.rest.chars();
            if let (Some('-'), Some(end)) = (ahead.next(), ahead.next())
                && end != ']'
            {
                self.next();
                self.next();
                let end = self.member(end)?;
                if end < start {
                    return Err("has a range whose end lies before its beginning".to_owned());
                }
                class.push_str(&format!("\\x{start:02x}-\\x{end:02x}"));
            } else {
                class.push_str(&format!("\\x{start:02x}"));
            }
        }
        self.out.push_str(if negated { "[^" } else { "[" });
        self.out.push_str(&class);
        self.out.push(']');
        Ok(())
    }

    fn member(&mut self, character: char) -> Result<u8, String> {
        let character = match character {
            '\\' if self.rest.starts_with('n') => {
                self.next();
                '\n'
            }
            '\\' if self.rest.starts_with('t') => {
                self.next();
                '\t'
            }
            other => other,
        };
        u8::try_from(character)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| "has a set with letters that are not ASCII, which is not run natively".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(text: &str, extended: bool, line: &str) -> Option<String> {
        let options = Options { extended, ..Options::default() };
        let found = compile(text, options).unwrap();
        found.find(line.as_bytes()).map(|found| String::from_utf8_lossy(found.as_bytes()).into_owned())
    }

    #[test]
    fn basic_and_extended_expressions_read_operators_their_way() {
        for (text, extended, line, found) in [
            ("a+", false, "aa+", Some("a+")),
            ("a\\+", false, "aa+", Some("aa")),
            ("a+", true, "aa+", Some("aa")),
            ("*a", false, "b*a", Some("*a")),
            ("\\(*a\\)", false, "*a", Some("*a")),
            ("a^b$c", false, "a^b$c", Some("a^b$c")),
            ("[]x]*", false, "]x]y", Some("]x]")),
            ("[^]]", false, "]x", Some("x")),
            ("[\\.]*", false, "\\..", Some("\\..")),
            ("x\\{2\\}", false, "xxx", Some("xx")),
            ("(ab|cd){2}", true, "abcdab", Some("abcd")),
            ("\\<b", false, "ab b", Some("b")),
            ("[[:digit:]_]+", true, "a1_2", Some("1_2")),
            ("a{,2}", true, "aaa", Some("aa")),
        ] {
            assert_eq!(matched(text, extended, line).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn what_would_match_otherwise_than_posix_is_refused() {
        for text in ["(a|ab)", "(a)\\1", "a**b+*", "x(", "[z-a]", "\\d", "a|b*"] {
            assert!(compile(text, Options { extended: true, ..Options::default() }).is_err(), "{text}");
        }
        let whether = Options { extended: true, only_whether: true, ..Options::default() };
        assert!(compile("(a|ab)c", whether).unwrap().is_match(b"xabc"));
    }
}
