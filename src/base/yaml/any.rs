//! Values without a type of their own, resolved and written back as Go's yaml does it.
//!
//! The Image Factory names an image by the hash of a document that go.yaml.in/yaml/v4 wrote, so this must be
//! the same to the byte: resolver.go, representer.go and emitter.go there, with the options of
//! `yaml.Marshal` (four blanks a level, lists indented, no folding).

use super::{Cursor, Value, YamlError};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Any {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number: Go reads those of an `int64` and of a `uint64`.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Any>),
    /// A mapping; [`Any::to_yaml`] writes it in this order.
    Map(Vec<(String, Any)>),
}

impl Any {
    /// The value of a node. Some things are errors because what Go makes of them is nothing that anybody
    /// means: texts that it takes for points in time, keys that do not fit into a line, and the three line
    /// breaks and the byte order mark of Unicode, which it does not write back as it read them.
    pub fn of(cursor: &Cursor<'_>) -> Result<Self, YamlError> {
        match cursor.node().map(|node| &node.value) {
            None => Ok(Self::Null),
            Some(Value::Scalar { text, .. }) if text.contains(ODD) => {
                Err(cursor.found("a text with an odd line break", "`\\n` between lines"))
            }
            Some(Value::Scalar { text, plain: false }) => Ok(Self::Text(text.clone())),
            Some(Value::Scalar { text, plain: true }) => {
                resolve(text).ok_or_else(|| cursor.found("a point in time", "a text, in quotes"))
            }
            Some(Value::Sequence(_)) => {
                cursor.items()?.iter().map(Self::of).collect::<Result<_, _>>().map(Self::List)
            }
            Some(Value::Mapping(_)) => {
                let entries = cursor.entries()?;
                if entries.len() > KEYS_MAX {
                    return Err(cursor.found(format!("a mapping of {} keys", entries.len()), KEYS_EXPECTED));
                }
                let mut pairs: Vec<(String, Self)> = Vec::new();
                for (key, value) in entries {
                    if key.len() > KEY_MAX || key.contains(is_break) || key.contains(ODD) {
                        let expected = "keys of one line and 128 bytes at the most";
                        return Err(cursor.found("a mapping with a longer key", expected));
                    }
                    pairs.push((key.to_owned(), Self::of(&value)?));
                }
                Ok(Self::Map(by_key(pairs)))
            }
        }
    }

    /// The value with the keys of all its mappings in the order in which Go writes those of a map.
    #[must_use]
    pub fn sorted(self) -> Self {
        match self {
            Self::Map(pairs) => {
                Self::Map(by_key(pairs.into_iter().map(|(key, value)| (key, value.sorted())).collect()))
            }
            Self::List(items) => Self::List(items.into_iter().map(Self::sorted).collect()),
            other => other,
        }
    }

    /// The value as a document.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        write(&mut text, self, None, Place::Root);
        let text = text.strip_prefix(' ').unwrap_or(&text);
        if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
    }
}

/// What Go writes otherwise than it reads it.
const ODD: [char; 4] = ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'];
/// The longest key that is written before its `:` (emitter.go, `checkSimpleKey`).
const KEY_MAX: usize = 128;
/// The most keys of a mapping: they are sorted by insertion, and what people write by hand has fewer.
const KEYS_MAX: usize = 256;
const KEYS_EXPECTED: &str = "256 at the most";
/// Blanks a level.
const INDENT: usize = 4;

/// What a plain scalar is; `None` for a point in time.
fn resolve(text: &str) -> Option<Any> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Any::Null),
        "true" | "True" | "TRUE" => return Some(Any::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Any::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Some(Any::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(Any::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => return Some(Any::Float(f64::NEG_INFINITY)),
        "-0" | "-0.0" => return Some(Any::Float(-0.0)),
        _ => {}
    }
    let plain = text.replace('_', "");
    let number = match text.bytes().next() {
        Some(b'.') => float(&plain),
        Some(b'0'..=b'9') if is_time(text) => return None,
        Some(b'0'..=b'9' | b'+' | b'-') => integer(&plain).or_else(|| float(&plain)),
        _ => None,
    };
    Some(number.unwrap_or_else(|| Any::Text(text.to_owned())))
}

/// A whole number in the notations of Go's `ParseInt` with base 0.
fn integer(text: &str) -> Option<Any> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let signed = digits.len() < text.len();
    let (digits, base) = match digits.split_at_checked(2) {
        Some(("0x" | "0X", digits)) => (digits, 16),
        Some(("0b" | "0B", digits)) => (digits, 2),
        Some(("0o" | "0O", digits)) => (digits, 8),
        _ => match digits.strip_prefix('0') {
            Some(rest) if !rest.is_empty() => (rest, 8),
            _ => (digits, 10),
        },
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None; // a second sign
    }
    let value = i128::from_str_radix(digits, base).ok()?;
    let value = if negative { -value } else { value };
    let most = if signed { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (value >= i128::from(i64::MIN) && value <= most).then_some(Any::Int(value))
}

/// A number with a point or an exponent.
fn float(text: &str) -> Option<Any> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|value: &f64| numeric && value.is_finite()).map(Any::Float)
}

/// Whether Go's yaml takes a text for a point in time: a date, alone or with a time of day.
fn is_time(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let number = |text: &str, longest: usize| {
        let digits = (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| digits)
    };
    let (Some(year_number), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2))
    else {
        return false;
    };
    let leap = year_number % 4 == 0 && (year_number % 100 != 0 || year_number % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if year.len() != 4 || day == 0 || day > days {
        return false;
    }
    let zoned = !time.starts_with(' ');
    let Some(time) = time.get(1..) else { return true };
    let clock = match time.find(['Z', '+', '-']) {
        Some(at) if zoned => time.split_at(at),
        None if !zoned => (time, "Z"),
        _ => return false,
    };
    let zone: Vec<&str> = clock.1.get(1..).unwrap_or_default().split(':').collect();
    let in_zone = match zone[..] {
        [""] => clock.1 == "Z",
        [hour, minute] => {
            let within =
                |text: &str, below: u32| text.len() == 2 && number(text, 2).is_some_and(|n| n < below);
            within(hour, 25) && within(minute, 61)
        }
        _ => false,
    };
    let parts: Vec<&str> = clock.0.split(':').collect();
    let [hour, minute, second] = parts[..] else { return false };
    let (second, fraction) = second.split_once(['.', ',']).unwrap_or((second, "0"));
    let below = |text: &str, below: u32| number(text, 2).is_some_and(|number| number < below);
    let fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    in_zone && below(hour, 24) && below(minute, 60) && below(second, 60) && fraction
}

/// Sorts by insertion, as Go sorts what is short: its order contradicts itself for odd keys, which the
/// standard library's sort may answer with a panic.
fn by_key(pairs: Vec<(String, Any)>) -> Vec<(String, Any)> {
    let mut sorted: Vec<(String, Any)> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let behind = sorted.iter().rposition(|(own, _)| natural(&key, own).is_ge());
        sorted.insert(behind.map_or(0, |at| at + 1), (key, value));
    }
    sorted
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// Behind `key:`.
    Key,
    /// Behind `-`.
    Item,
}

/// The indentation of what is in a collection at `place`, whose own surroundings are indented by `indent`.
fn deeper(indent: Option<usize>, place: Place) -> usize {
    match (indent, place) {
        (None, _) => 0,
        (Some(indent), Place::Item) => indent + 2,
        (Some(indent), _) => (indent / INDENT + 1) * INDENT,
    }
}

fn write(out: &mut String, value: &Any, indent: Option<usize>, place: Place) {
    let own = deeper(indent, place);
    match value {
        Any::Map(pairs) if !pairs.is_empty() => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                begin(out, own, index == 0 && place != Place::Key);
                out.push_str(&scalar(key, None));
                out.push(':');
                write(out, value, Some(own), Place::Key);
            }
        }
        Any::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                begin(out, own, index == 0 && place != Place::Key);
                out.push('-');
                write(out, item, Some(own), Place::Item);
            }
        }
        value => {
            out.push(' ');
            match value {
                Any::Map(_) => out.push_str("{}"),
                Any::List(_) => out.push_str("[]"),
                Any::Null => out.push_str("null"),
                Any::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
                Any::Int(value) => out.push_str(&value.to_string()),
                Any::Float(value) => out.push_str(&float_text(*value)),
                Any::Text(text) if place == Place::Root => out.push_str(&scalar(text, Some(INDENT))),
                Any::Text(text) => out.push_str(&scalar(text, Some(own))),
            }
        }
    }
}

/// Begins a line of a collection, or stays in the line of the `-` that it stands behind.
fn begin(out: &mut String, indent: usize, same_line: bool) {
    if same_line {
        out.push(' ');
        return;
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Go's `FormatFloat(value, 'g', -1, 64)`.
fn float_text(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0); // what `{:e}` writes is a number
    // Where the digits are the shortest ones, Go decides as for a precision of 6.
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// A text as a scalar: plain where it may be, else in quotes, else as a block of lines indented by
/// `block`, which keys (`None`) cannot be.
fn scalar(text: &str, block: Option<usize>) -> String {
    let facts = Facts::of(text);
    if text.contains('\n') && text.len() >= 2 && text.chars().any(|c| !c.is_whitespace()) {
        return match block {
            Some(indent) if facts.block => literal(text, indent),
            _ => double_quoted(text),
        };
    }
    let resolved = matches!(resolve(text), Some(Any::Text(_)));
    match () {
        () if text.contains('\n') => double_quoted(text),
        // What YAML 1.1 would take for something else.
        () if is_old(text) && facts.single => single_quoted(text),
        () if !resolved => double_quoted(text),
        () if facts.plain => text.to_owned(),
        () if facts.single => single_quoted(text),
        () => double_quoted(text),
    }
}

/// Booleans and numbers to the base of 60 in YAML 1.1, and the key that merges.
fn is_old(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
            | "<<"
    ) || is_base_60(text)
}

/// `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let part = |part: &&str| match part.as_bytes() {
        [unit] => unit.is_ascii_digit(),
        [ten, unit] => (b'0'..=b'5').contains(ten) && unit.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && !rest.is_empty()
        && rest.iter().all(part)
        && digits(fraction)
}

/// How a text may be written (emitter.go, `analyzeScalar`).
struct Facts {
    plain: bool,
    single: bool,
    block: bool,
}

impl Facts {
    fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let blank_at = |at: usize| chars.get(at).is_none_or(|c| matches!(c, ' ' | '\t'));
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut tabs, mut breaks) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        for (at, &c) in chars.iter().enumerate() {
            let previous = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
            indicators |= match c {
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                    at == 0
                }
                '?' | '-' => at == 0 && blank_at(1),
                ':' => blank_at(at + 1),
                '#' => previous.is_none_or(|c| matches!(c, ' ' | '\t') || is_break(c)),
                _ => false,
            };
            tabs |= c == '\t';
            special |= c != '\t' && !is_printable(c);
            breaks |= is_break(c);
            break_space |= c == ' ' && previous.is_some_and(is_break);
            space_break |= is_break(c) && previous == Some(' ');
        }
        let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
        let edges = edge(chars.first()) || edge(chars.last());
        let single = !(break_space || space_break || tabs || special);
        Self {
            plain: single && !(edges || breaks || indicators),
            single,
            block: !(space_break || special || chars.last() == Some(&' ')),
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\0' => quoted.push_str("\\0"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '\u{1b}' => quoted.push_str("\\e"),
            '"' | '\\' => quoted.extend(['\\', c]),
            '\u{85}' => quoted.push_str("\\N"),
            '\u{2028}' => quoted.push_str("\\L"),
            '\u{2029}' => quoted.push_str("\\P"),
            c if is_printable(c) => quoted.push(c),
            c if u32::from(c) <= 0xff => quoted += &format!("\\x{:02X}", u32::from(c)),
            c if u32::from(c) <= 0xffff => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted += &format!("\\U{:08X}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted
}

fn literal(text: &str, indent: usize) -> String {
    let mut block = String::from("|");
    if text.starts_with(' ') {
        block += &INDENT.to_string();
    }
    let mut ends = text.chars().rev().map(is_break);
    match (ends.next(), ends.next()) {
        (Some(true), Some(true) | None) => block.push('+'),
        (Some(true), _) => {}
        _ => block.push('-'),
    }
    block.push('\n');
    let mut line_begins = true;
    for c in text.chars() {
        if !is_break(c) && line_begins {
            block.extend(std::iter::repeat_n(' ', indent));
        }
        block.push(c);
        line_begins = is_break(c);
    }
    block
}

/// The order of keys: letters behind everything else, numbers by their value (representer.go, `keyList`).
fn natural(one: &str, other: &str) -> std::cmp::Ordering {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let differ = one.iter().zip(&other).position(|(a, b)| a != b);
    // Both have a character there, or one ends where the other goes on.
    let Some((at, a, b)) = differ.and_then(|at| Some((at, *one.get(at)?, *other.get(at)?))) else {
        return one.len().cmp(&other.len());
    };
    let digit_before = at.checked_sub(1).and_then(|at| one.get(at)).is_some_and(|c| c.is_numeric());
    match (a.is_alphabetic(), b.is_alphabetic()) {
        (true, true) => return a.cmp(&b),
        (true, false) => {
            return if digit_before { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
        }
        (false, true) => {
            return if digit_before { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less };
        }
        (false, false) => {}
    }
    let shared = one.get(..at).unwrap_or_default();
    let counts = (a == '0' || b == '0')
        && shared.iter().rev().take_while(|c| c.is_ascii_digit()).any(|digit| *digit != '0');
    let number = |text: &[char]| {
        let digits = text.iter().skip(at).map_while(|c| c.to_digit(10));
        digits.fold((i64::from(counts), 0_usize), |(value, count), digit| {
            (value.wrapping_mul(10).wrapping_add(i64::from(digit)), count + 1)
        })
    };
    number(&one).cmp(&number(&other)).then(a.cmp(&b))
}

#[cfg(test)]
#[path = "any_tests.rs"]
mod tests;
