//! sprig's functions of texts (`strings.go`, `functions.go`, `crypto.go`).
//!
//! Go's texts are bytes and ours are UTF-8: what would cut a character in two is an error.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use super::case;
use super::functions::Param::{Any, Int, Text};
use super::functions::{Args, Function, fixed, variadic};
use super::limits::Fault;
use super::print;
use super::value::{Datum, Elem, Memory};

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("trim", &[Text], |memory, args| memory.text(args.text(0).trim_matches(is_go_space))),
    fixed("trimall", &[Text, Text], trim_all),
    fixed("trimAll", &[Text, Text], trim_all),
    fixed("trimSuffix", &[Text, Text], |memory, args| {
        let text = args.text(1);
        memory.text(text.strip_suffix(args.text(0)).unwrap_or(text))
    }),
    fixed("trimPrefix", &[Text, Text], |memory, args| {
        let text = args.text(1);
        memory.text(text.strip_prefix(args.text(0)).unwrap_or(text))
    }),
    fixed("upper", &[Text], |memory, args| memory.text(case::upper(args.text(0)))),
    fixed("lower", &[Text], |memory, args| memory.text(case::lower(args.text(0)))),
    fixed("title", &[Text], |memory, args| memory.text(case::title(args.text(0)))),
    fixed("untitle", &[Text], |memory, args| memory.text(case::untitle(args.text(0)))),
    fixed("snakecase", &[Text], |memory, args| memory.text(case::split(args.text(0), '_'))),
    fixed("kebabcase", &[Text], |memory, args| memory.text(case::split(args.text(0), '-'))),
    fixed("camelcase", &[Text], |memory, args| memory.text(case::pascal(args.text(0)))),
    fixed("nospace", &[Text], |memory, args| memory.text(no_space(args.text(0)))),
    fixed("repeat", &[Int, Text], repeat),
    fixed("substr", &[Int, Int, Text], substr),
    fixed("trunc", &[Int, Text], trunc),
    fixed("abbrev", &[Int, Text], abbrev),
    fixed("contains", &[Text, Text], |_, args| Ok(Datum::Bool(args.text(1).contains(args.text(0))))),
    fixed("hasPrefix", &[Text, Text], |_, args| Ok(Datum::Bool(args.text(1).starts_with(args.text(0))))),
    fixed("hasSuffix", &[Text, Text], |_, args| Ok(Datum::Bool(args.text(1).ends_with(args.text(0))))),
    variadic("quote", &[], Any, |memory, args| quote(memory, args, |text| print::quoted(text, '"', false))),
    variadic("squote", &[], Any, |memory, args| quote(memory, args, |text| format!("'{text}'"))),
    variadic("cat", &[], Any, cat),
    fixed("indent", &[Int, Text], |memory, args| indent(memory, args, "")),
    fixed("nindent", &[Int, Text], |memory, args| indent(memory, args, "\n")),
    fixed("replace", &[Text, Text, Text], |memory, args| {
        let (old, new, text) = (args.text(0), args.text(1), args.text(2));
        let count = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
        memory.budget.allows(text.len().saturating_add(count.saturating_mul(new.len())))?;
        memory.text(text.replace(old, new))
    }),
    fixed("plural", &[Text, Text, Int], |memory, args| {
        memory.text(if args.int(2) == 1 { args.text(0) } else { args.text(1) })
    }),
    fixed("split", &[Text, Text], |memory, args| {
        let parts = pieces(memory, args.text(1), args.text(0), None)?;
        numbered(memory, &parts)
    }),
    fixed("splitn", &[Text, Int, Text], |memory, args| {
        let parts = pieces(memory, args.text(2), args.text(0), Some(args.int(1)))?;
        numbered(memory, &parts)
    }),
    fixed("splitList", &[Text, Text], |memory, args| {
        let parts = pieces(memory, args.text(1), args.text(0), None)?;
        memory.texts(parts)
    }),
    fixed("toString", &[Any], |memory, args| {
        let text = text_of(memory, args.any(0))?;
        memory.text(text)
    }),
    fixed("toStrings", &[Any], |memory, args| {
        let texts = texts_of(memory, args.any(0))?;
        memory.texts(texts)
    }),
    fixed("join", &[Text, Any], |memory, args| {
        let (separator, texts) = (args.text(0), texts_of(memory, args.any(1))?);
        let length = texts.iter().map(|text| text.len().saturating_add(separator.len()));
        memory.budget.allows(length.fold(0, usize::saturating_add))?;
        memory.text(texts.join(separator))
    }),
    fixed("sortAlpha", &[Any], |memory, args| {
        let mut texts = match args.any(0) {
            list @ Datum::List(_) => texts_of(memory, list)?,
            other => vec![text_of(memory, other)?],
        };
        texts.sort();
        memory.texts(texts)
    }),
    fixed("b64enc", &[Text], |memory, args| {
        memory.budget.allows(args.text(0).len() / 3 * 4 + 4)?;
        memory.text(STANDARD.encode(args.text(0)))
    }),
    fixed("b64dec", &[Text], b64dec),
    fixed("sha1sum", &[Text], |memory, args| memory.text(hex(&sha1::Sha1::digest(args.text(0))))),
    fixed("sha256sum", &[Text], |memory, args| memory.text(hex(&sha2::Sha256::digest(args.text(0))))),
    fixed("sha512sum", &[Text], |memory, args| memory.text(hex(&sha2::Sha512::digest(args.text(0))))),
    fixed("adler32sum", &[Text], |memory, args| memory.text(adler32(args.text(0).as_bytes()).to_string())),
    fixed("fail", &[Text], |_, args| Err(Fault::new(args.text(0)))),
];

/// sprig's `strval`.
pub(super) fn text_of(memory: &Memory, datum: &Datum) -> Result<Arc<str>, Fault> {
    match datum {
        Datum::Text(text) => Ok(Arc::clone(text)),
        other => Ok(print::text_of(memory, other)?.into()),
    }
}

/// sprig's `strslice`: the texts of a list without what is nothing, or the one of anything else. Counts
/// against the budget.
pub(super) fn texts_of(memory: &mut Memory, datum: &Datum) -> Result<Vec<Arc<str>>, Fault> {
    let items = match datum {
        Datum::List(list) => list.items.as_slice(),
        Datum::Nil | Datum::Missing => &[],
        other => std::slice::from_ref(other),
    };
    let mut texts = Vec::new();
    for item in items.iter().filter(|item| !item.is_nothing()) {
        memory.budget.steps(1)?;
        let text = text_of(memory, item)?;
        memory.budget.bytes(text.len())?;
        texts.push(text);
    }
    Ok(texts)
}

/// `unicode.IsSpace`
pub(super) fn is_go_space(c: char) -> bool {
    c.is_whitespace()
}

fn trim_all(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let cut = args.text(0);
    memory.budget.steps(cut.len() / 64)?;
    memory.text(args.text(1).trim_matches(|c| cut.contains(c)))
}

/// It looks at bytes, so that two bytes of Latin-1 count as blanks wherever they stand.
fn no_space(text: &str) -> String {
    let space = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0);
    if !text.bytes().any(|byte| space(&byte)) {
        return text.to_owned();
    }
    // Each byte becomes a character of its own.
    text.bytes().filter(|byte| !space(byte)).map(char::from).collect()
}

fn repeat(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let (count, text) = (args.int(0), args.text(1));
    let count = usize::try_from(count).map_err(|_| Fault::new("the count is negative"))?;
    memory.budget.allows(count.saturating_mul(text.len()))?;
    memory.text(if text.is_empty() { String::new() } else { text.repeat(count) })
}

/// A part of a text, in bytes.
fn part(text: &str, from: i64, to: i64) -> Result<&str, Fault> {
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let (from, to) = range
        .filter(|(from, to)| from <= to && *to <= text.len())
        .ok_or_else(|| Fault::new("out of the text's bounds"))?;
    text.get(from..to).ok_or_else(|| Fault::new("a character would be cut in two"))
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn substr(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let (start, end, text) = (args.int(0), args.int(1), args.text(2));
    let end_given = if start >= 0 && (end < 0 || end > length(text)) { length(text) } else { end };
    memory.text(part(text, start.max(0), end_given)?)
}

fn trunc(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let (count, text) = (args.int(0), args.text(1));
    let all = length(text);
    memory.text(match count {
        count if count < 0 && all.saturating_add(count) > 0 => part(text, all.saturating_add(count), all)?,
        count if count >= 0 && all > count => part(text, 0, count)?,
        _ => text,
    })
}

fn abbrev(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let (width, text) = (args.int(0), args.text(1));
    if width < 4 || length(text) <= width {
        return memory.text(text);
    }
    memory.text(format!("{}...", part(text, 0, width - 3)?))
}

fn quote(memory: &mut Memory, args: Args<'_>, quoted: fn(&str) -> String) -> Result<Datum, Fault> {
    let mut out = String::new();
    let shown = args.0.iter().filter(|argument| !argument.is_nothing());
    for (index, argument) in shown.enumerate() {
        let text = text_of(memory, argument)?;
        // An escape has ten bytes at the most for one byte of text.
        memory.budget.allows(out.len().saturating_add(text.len().saturating_mul(10)))?;
        out.push_str(if index > 0 { " " } else { "" });
        out.push_str(&quoted(&text));
    }
    memory.text(out)
}

fn cat(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut out = String::new();
    for (index, argument) in args.0.iter().filter(|argument| !argument.is_nothing()).enumerate() {
        let text = text_of(memory, argument)?;
        memory.budget.allows(out.len().saturating_add(text.len() + 1))?;
        out.push_str(if index > 0 { " " } else { "" });
        out.push_str(&text);
    }
    memory.text(out)
}

fn indent(memory: &mut Memory, args: Args<'_>, before: &str) -> Result<Datum, Fault> {
    let (count, text) = (args.int(0), args.text(1));
    let count = usize::try_from(count).map_err(|_| Fault::new("the count is negative"))?;
    let lines = text.matches('\n').count() + 1;
    memory.budget.allows(text.len().saturating_add(lines.saturating_mul(count)))?;
    let blanks = " ".repeat(count);
    memory.text(format!("{before}{blanks}{}", text.replace('\n', &format!("\n{blanks}"))))
}

/// `strings.SplitN`: by characters where the separator is empty.
fn pieces<'a>(
    memory: &mut Memory,
    text: &'a str,
    separator: &str,
    count: Option<i64>,
) -> Result<Vec<&'a str>, Fault> {
    let most = match count {
        None => usize::MAX,
        Some(0) => return Ok(Vec::new()),
        Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
    };
    let all = if separator.is_empty() { text.len() } else { text.matches(separator).count() };
    memory.budget.steps(all.min(most))?;
    if !separator.is_empty() {
        return Ok(text.splitn(most, separator).collect());
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if parts.len() + 1 >= most {
            parts.push(rest);
            break;
        }
        let (first, behind) = rest.split_at(c.len_utf8());
        parts.push(first);
        rest = behind;
    }
    Ok(parts)
}

/// A mapping with the keys `_0`, `_1` …
fn numbered(memory: &mut Memory, parts: &[&str]) -> Result<Datum, Fault> {
    memory.budget.steps(parts.len())?;
    let mut entries = std::collections::BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        entries.insert(format!("_{index}").into(), memory.text(*part)?);
    }
    memory.map(Elem::Text, entries)
}

fn b64dec(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    // Go's decoder passes over line breaks.
    let text: String = args.text(0).chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    let bytes = STANDARD.decode(text).map_err(|error| Fault::new(format!("no base64: {error}")))?;
    memory.text(String::from_utf8(bytes).map_err(|_| Fault::new("what is encoded is not UTF-8"))?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (low, high) = bytes.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % MODULUS;
        (low, (high + low) % MODULUS)
    });
    high << 16 | low
}
