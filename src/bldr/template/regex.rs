//! sprig's regular expressions (`regex.go`): Go's syntax (`regexp/syntax`), by the `regex` crate.
//!
//! Both come from RE2. What differs is written anew before it is compiled: Go's classes know ASCII only, `[`,
//! `&&` and their like have no meaning of their own within brackets, and a brace that counts nothing is a
//! brace.

use std::sync::Arc;

use regex::{Captures, Regex, RegexBuilder};

use super::functions::Param::{Int, Text};
use super::functions::{Args, Function, fixed};
use super::limits::Fault;
use super::value::{Datum, Elem, Memory};

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("regexMatch", &[Text, Text], |memory, args| match is_match(memory, args) {
        Err(Fault::Plain(_)) => Ok(Datum::Bool(false)),
        other => other,
    }),
    fixed("mustRegexMatch", &[Text, Text], is_match),
    fixed("regexFind", &[Text, Text], find),
    fixed("mustRegexFind", &[Text, Text], find),
    fixed("regexFindAll", &[Text, Text, Int], find_all),
    fixed("mustRegexFindAll", &[Text, Text, Int], find_all),
    fixed("regexReplaceAll", &[Text, Text, Text], |memory, args| replace(memory, args, expand)),
    fixed("mustRegexReplaceAll", &[Text, Text, Text], |memory, args| replace(memory, args, expand)),
    fixed("regexReplaceAllLiteral", &[Text, Text, Text], |memory, args| replace(memory, args, literal)),
    fixed("mustRegexReplaceAllLiteral", &[Text, Text, Text], |memory, args| replace(memory, args, literal)),
    fixed("regexSplit", &[Text, Text, Int], split),
    fixed("mustRegexSplit", &[Text, Text, Int], split),
    fixed("regexQuoteMeta", &[Text], |memory, args| {
        memory.budget.allows(args.text(0).len() * 2)?;
        let mut out = String::new();
        for c in args.text(0).chars() {
            if r"\.+*?()|[]{}^$".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        memory.text(out)
    }),
];

/// The most memory of a compiled expression, in bytes; `\w{1000}{1000}` would take more than there is.
const COMPILED_MAX: usize = 1 << 20;
/// The deepest nesting of groups: the parser is recursive.
const NEST_MAX: u32 = 100;
/// The most expressions that are kept compiled.
const KEPT_MAX: usize = 16;
/// The longest expression. Compiling takes many times as much.
const PATTERN_MAX: usize = 4096;

/// An expression.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    regex: Regex,
    /// Numbers and names of groups.
    names: Arc<[(usize, String)]>,
}

/// Compiles an expression, or finds it among those that were compiled before.
fn compile(memory: &mut Memory, pattern: &str) -> Result<Expression, Fault> {
    if let Some(expression) = memory.expressions.get(pattern) {
        return Ok(expression.clone());
    }
    // Compiling is dear: as much as thousands of steps.
    memory.budget.steps(2000 + 20 * pattern.len())?;
    if pattern.len() > PATTERN_MAX {
        return Err(Fault::Limit(format!("a regular expression of more than {PATTERN_MAX} bytes")));
    }
    let (ours, names) = Translator::translate(pattern)?;
    let regex = RegexBuilder::new(&ours)
        .size_limit(COMPILED_MAX)
        .dfa_size_limit(COMPILED_MAX)
        .nest_limit(NEST_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                Fault::Limit(format!("a regular expression that takes more than {limit} bytes"))
            }
            _ => Fault::new(format!("`{pattern}` is no regular expression")),
        })?;
    if memory.expressions.len() >= KEPT_MAX {
        memory.expressions.clear();
    }
    let expression = Expression { regex, names: names.into() };
    memory.expressions.insert(pattern.to_owned(), expression.clone());
    Ok(expression)
}

/// A search takes its time with the text's length.
fn search(memory: &mut Memory, text: &str) -> Result<(), Fault> {
    memory.budget.steps(1 + text.len() / 64)
}

fn is_match(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let Expression { regex, .. } = compile(memory, args.text(0))?;
    search(memory, args.text(1))?;
    Ok(Datum::Bool(regex.is_match(args.text(1))))
}

fn find(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let Expression { regex, .. } = compile(memory, args.text(0))?;
    search(memory, args.text(1))?;
    memory.text(regex.find(args.text(1)).map_or("", |found| found.as_str()))
}

/// A count of Go's: negative for all.
fn most(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn find_all(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let Expression { regex, .. } = compile(memory, args.text(0))?;
    search(memory, args.text(1))?;
    let mut found = regex.find_iter(args.text(1)).take(most(args.int(2))).peekable();
    if found.peek().is_none() {
        return Ok(Memory::nil_list(Elem::Text));
    }
    memory.texts(found.map(|found| found.as_str()))
}

fn split(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let Expression { regex, .. } = compile(memory, args.text(0))?;
    let (text, most) = (args.text(1), most(args.int(2)));
    search(memory, text)?;
    if most == 0 {
        return Ok(Memory::nil_list(Elem::Text));
    }
    if !args.text(0).is_empty() && text.is_empty() {
        return memory.texts([""]);
    }
    let mut parts = Vec::new();
    let (mut from, mut end) = (0, 0);
    for found in regex.find_iter(text) {
        if parts.len() + 1 == most {
            break;
        }
        memory.budget.steps(1)?;
        end = found.start();
        // An empty match at the start splits nothing.
        if found.end() != 0 {
            parts.push(text.get(from..end).unwrap_or_default());
        }
        from = found.end();
    }
    if end != text.len() {
        parts.push(text.get(from..).unwrap_or_default());
    }
    memory.texts(parts)
}

/// What an expression found.
struct Match<'a> {
    captures: Captures<'a>,
    names: &'a [(usize, String)],
}

impl<'a> Match<'a> {
    /// A group by its number or its name: of several with one name the first that found something.
    fn group(&self, name: &str) -> Option<&'a str> {
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.captures.get(name.parse().ok()?).map(|group| group.as_str());
        }
        let named = self.names.iter().filter(|(_, own)| own == name);
        named.filter_map(|(number, _)| self.captures.get(*number)).map(|group| group.as_str()).next()
    }
}

type Replace = fn(&mut Memory, &mut String, &str, &Match<'_>) -> Result<(), Fault>;

fn replace(memory: &mut Memory, args: Args<'_>, with: Replace) -> Result<Datum, Fault> {
    let Expression { regex, names } = compile(memory, args.text(0))?;
    let (text, new) = (args.text(1), args.text(2));
    search(memory, text)?;
    let mut out = String::new();
    let mut from = 0;
    for captures in regex.captures_iter(text) {
        memory.budget.steps(1)?;
        let Some(whole) = captures.get(0) else { continue };
        put(memory, &mut out, text.get(from..whole.start()).unwrap_or_default())?;
        with(memory, &mut out, new, &Match { captures, names: &names })?;
        from = whole.end();
    }
    put(memory, &mut out, text.get(from..).unwrap_or_default())?;
    memory.text(out)
}

fn put(memory: &Memory, out: &mut String, text: &str) -> Result<(), Fault> {
    memory.budget.allows(out.len().saturating_add(text.len()))?;
    out.push_str(text);
    Ok(())
}

fn literal(memory: &mut Memory, out: &mut String, new: &str, _: &Match<'_>) -> Result<(), Fault> {
    put(memory, out, new)
}

/// `$1`, `${1}`, `$name` with the longest name there is, and `$$`.
fn expand(memory: &mut Memory, out: &mut String, new: &str, found: &Match<'_>) -> Result<(), Fault> {
    let mut rest = new;
    while let Some((before, behind)) = rest.split_once('$') {
        put(memory, out, before)?;
        rest = behind;
        if let Some(behind) = behind.strip_prefix('$') {
            put(memory, out, "$")?;
            rest = behind;
            continue;
        }
        let Some((name, behind)) = group_name(behind) else {
            put(memory, out, "$")?;
            continue;
        };
        rest = behind;
        put(memory, out, found.group(name).unwrap_or_default())?;
    }
    put(memory, out, rest)
}

/// The name behind a `$`, and what is behind that.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c == '_' || c.is_alphanumeric();
    let (name, rest) = match text.strip_prefix('{') {
        Some(inside) => inside.split_once('}')?,
        None => text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len())),
    };
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, rest))
}

/// Go's syntax to the crate's.
struct Translator<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    out: String,
    /// How many groups there were so far.
    groups: usize,
    /// Numbers and names of those that have one.
    names: Vec<(usize, String)>,
}

impl<'a> Translator<'a> {
    /// The expression, and the names of its groups.
    fn translate(pattern: &'a str) -> Result<(String, Vec<(usize, String)>), Fault> {
        let rest = pattern.chars().peekable();
        let mut translator = Self { rest, out: String::new(), groups: 0, names: Vec::new() };
        let mut repeated = false;
        while let Some(c) = translator.rest.next() {
            let repeats = match c {
                '*' | '+' | '?' => {
                    translator.out.push(c);
                    true
                }
                '{' => translator.count()?,
                c => {
                    translator.one(c)?;
                    false
                }
            };
            if repeats && repeated {
                return Err(wrong("a repetition of a repetition"));
            }
            if repeats && translator.rest.next_if_eq(&'?').is_some() {
                translator.out.push('?');
            }
            repeated = repeats;
        }
        Ok((translator.out, translator.names))
    }

    /// Anything but a repetition.
    fn one(&mut self, c: char) -> Result<(), Fault> {
        match c {
            '\\' => self.escape(false)?,
            '[' => self.class()?,
            '}' => self.out.push_str("\\}"),
            '(' => self.group()?,
            c => self.out.push(c),
        }
        Ok(())
    }

    /// Behind a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), Fault> {
        let c = self.rest.next().ok_or_else(|| wrong("it ends in a backslash"))?;
        let (class, negated) = match c.to_ascii_lowercase() {
            'd' => ("0-9", c == 'D'),
            'w' => ("0-9A-Za-z_", c == 'W'),
            's' => (r"\t\n\f\r ", c == 'S'),
            _ => return self.other_escape(c, in_class),
        };
        self.out.push_str(&match (in_class, negated) {
            (true, false) => class.to_owned(),
            (_, true) => format!("[^{class}]"),
            (false, false) => format!("[{class}]"),
        });
        Ok(())
    }

    fn other_escape(&mut self, c: char, in_class: bool) -> Result<(), Fault> {
        match c {
            'b' if !in_class => self.out.push_str(r"(?-u:\b)"),
            // On bytes it would match within a character.
            'B' if !in_class => return Err(wrong(r"`\B` is not supported")),
            'A' | 'z' if !in_class => self.out.extend(['\\', c]),
            'a' | 'f' | 't' | 'n' | 'r' | 'v' => self.out.extend(['\\', c]),
            'p' | 'P' => self.property(c),
            'x' => self.hexadecimal()?,
            'Q' if !in_class => self.quoted(),
            '0' => self.octal(0, 2),
            '1'..='7' if self.rest.peek().is_some_and(|next| ('0'..='7').contains(next)) => {
                self.octal(c.to_digit(8).unwrap_or_default(), 2);
            }
            c if c.is_ascii_punctuation() => self.literal(c),
            _ => return Err(wrong(format!("`\\{c}` is not known"))),
        }
        Ok(())
    }

    /// `\pL`, `\p{Greek}` or, turned around, `\p{^Greek}`.
    fn property(&mut self, c: char) {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let turned = braced && self.rest.next_if_eq(&'^').is_some();
        self.out.extend(['\\', if turned == (c == 'P') { 'p' } else { 'P' }]);
        if braced {
            self.out.push('{');
            while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                self.out.push(c);
            }
            self.out.extend(self.rest.next_if_eq(&'}'));
        }
    }

    /// Two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Result<(), Fault> {
        let digits: String = if self.rest.next_if_eq(&'{').is_some() {
            let mut digits = String::new();
            while let Some(c) = self.rest.next_if(char::is_ascii_hexdigit) {
                digits.push(c);
            }
            self.rest.next_if_eq(&'}').ok_or_else(|| wrong("`\\x{` is not closed"))?;
            digits
        } else {
            [self.rest.next(), self.rest.next()].into_iter().flatten().collect()
        };
        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| !digits.starts_with('+'));
        let c = code.and_then(char::from_u32).ok_or_else(|| wrong("`\\x` names no character"))?;
        self.literal(c);
        Ok(())
    }

    fn octal(&mut self, mut code: u32, most: usize) {
        for _ in 0..most {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)) else { break };
            code = code * 8 + digit;
            self.rest.next();
        }
        self.literal(char::from_u32(code).unwrap_or_default());
    }

    /// A character that means itself, in brackets and outside.
    fn literal(&mut self, c: char) {
        self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    /// `\Q…\E`
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(c);
        }
    }

    /// Behind `{`, whether that is a count. One that begins none is a character.
    fn count(&mut self) -> Result<bool, Fault> {
        let mut ahead = self.rest.clone();
        let mut count = String::new();
        while let Some(c) = ahead.next_if(|c| c.is_ascii_digit() || *c == ',') {
            count.push(c);
        }
        let (least, most) = count.split_once(',').unwrap_or((&count, ""));
        if ahead.next_if_eq(&'}').is_none() || least.is_empty() || most.contains(',') {
            self.out.push_str("\\{");
            return Ok(false);
        }
        let small =
            |number: &&str| number.is_empty() || number.parse::<u32>().is_ok_and(|number| number <= 1000);
        if ![least, most].iter().all(small) {
            return Err(wrong("a count of more than 1000"));
        }
        self.out.push_str(&format!("{{{count}}}"));
        self.rest = ahead;
        Ok(true)
    }

    /// Behind `(`. Names are kept aside, since one may stand several times; flags that Go does not have are
    /// errors.
    fn group(&mut self) -> Result<(), Fault> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            self.groups += 1;
            return Ok(());
        }
        let mut ahead = self.rest.clone();
        ahead.next_if_eq(&'P');
        if ahead.next_if_eq(&'<').is_some() {
            let mut name = String::new();
            while let Some(c) = ahead.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                name.push(c);
            }
            if name.is_empty() || ahead.next_if_eq(&'>').is_none() {
                return Err(wrong("a group's name is not valid"));
            }
            self.rest = ahead;
            self.groups += 1;
            self.names.push((self.groups, name));
            return Ok(());
        }
        self.out.push('?');
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphabetic() || *c == '-') {
            if !"imsU-".contains(c) {
                return Err(wrong(format!("flag `{c}` is not known")));
            }
            self.out.push(c);
        }
        Ok(())
    }

    /// Behind `[`.
    fn class(&mut self) -> Result<(), Fault> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        // At the start, `]` is a character.
        if self.rest.next_if_eq(&']').is_some() {
            self.out.push_str("\\]");
        }
        loop {
            match self.rest.next() {
                None => return Err(wrong("`[` is not closed")),
                Some(']') => break,
                Some('\\') => self.escape(true)?,
                Some('[') if self.rest.peek() == Some(&':') => {
                    self.out.push('[');
                    // `:alpha:]`
                    for c in self.rest.by_ref() {
                        self.out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
                Some(c @ ('[' | '&' | '~' | '^')) => self.out.extend(['\\', c]),
                // The second of two would take away.
                Some('-') if self.rest.peek() == Some(&'-') => self.out.push_str("\\-"),
                Some(c) => self.out.push(c),
            }
        }
        self.out.push(']');
        Ok(())
    }
}

fn wrong(problem: impl Into<String>) -> Fault {
    Fault::new(format!("no regular expression: {}", problem.into()))
}
