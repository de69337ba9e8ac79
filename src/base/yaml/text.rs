//! Strings as YAML, the way Go's `gopkg.in/yaml.v3` writes them: plain where nothing could take them for
//! another type, single-quoted where a character stands in the way, double-quoted for what needs an
//! escape, a literal block for several lines.
//!
//! Two texts are written otherwise, because what Go writes reads back as another: one that begins with a
//! line break, and one with Unicode's own line or paragraph separator. Both are double-quoted here.

/// `text` as the value of a key; the lines of a block stand at `indent` blanks, which are four more than
/// those before the key. (Directly within an item of a sequence, where Go indents a block by two more
/// than the key, a text of several lines that begins with a blank would not read back.)
pub fn string(text: &str, indent: usize) -> String {
    let look = Look::at(text);
    if text.contains('\n') {
        return if look.block { block(text, indent) } else { double_quoted(text) };
    }
    if is_another_type(text) || !look.single {
        return double_quoted(text);
    }
    if look.plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Which styles can hold a text.
struct Look {
    plain: bool,
    single: bool,
    block: bool,
}

impl Look {
    fn at(text: &str) -> Self {
        let escapes =
            text.chars().any(|c| c != '\t' && !is_printable(c)) || text.contains(['\u{2028}', '\u{2029}']);
        let tabs = text.contains('\t');
        let before_break = text.contains(" \n");
        let after_break = text.contains("\n ");
        let single = !(escapes || tabs || before_break || after_break);
        let edges = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let plain = single && !edges && !text.contains('\n') && !has_indicator(text);
        let block = !(escapes || before_break || text.ends_with(' ') || text.starts_with('\n'));
        Self { plain, single, block }
    }
}

/// Whether a plain scalar of these characters would be something else, or begin something else.
fn has_indicator(text: &str) -> bool {
    let blank_behind =
        |at: usize| text.as_bytes().get(at + 1).is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    let blank_before = |at: usize| {
        at.checked_sub(1)
            .and_then(|at| text.as_bytes().get(at))
            .is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\n'))
    };
    let first = match text.chars().next() {
        Some(
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
        ) => true,
        Some('?' | '-') => blank_behind(0),
        _ => false,
    };
    first
        || text.starts_with("---")
        || text.starts_with("...")
        || text.bytes().enumerate().any(|(at, byte)| match byte {
            b':' => blank_behind(at),
            b'#' => blank_before(at),
            _ => false,
        })
}

/// What stands in a document without an escape: as YAML 1.2 has it, without what lies beyond the Basic
/// Multilingual Plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn block(text: &str, indent: usize) -> String {
    let mut out = String::from("|");
    if text.starts_with(' ') {
        out.push('4'); // blanks that an inner level is indented by
    }
    match text.strip_suffix('\n') {
        None => out.push('-'),
        Some(rest) if rest.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
    out
}

fn double_quoted(text: &str) -> String {
    // Of a text that begins with a byte order mark Go escapes every character.
    let all = text.starts_with('\u{feff}');
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{85}' => out.push_str("\\N"),
            '\u{a0}' if all => out.push_str("\\_"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if !all && is_printable(c) => out.push(c),
            c if u32::from(c) <= 0xff => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Whether a plain scalar would be read as null, a boolean, a number or a time, by Go or by a reader of
/// YAML 1.1.
fn is_another_type(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", "y", "Y", "yes",
        "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF", ".nan", ".NaN",
        ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
    ];
    WORDS.contains(&text) || is_number(text) || is_time(text) || is_base_60(text)
}

fn is_number(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    if first == '.' {
        return is_float(text);
    }
    if !matches!(first, '0'..='9' | '+' | '-') {
        return false;
    }
    let text = text.replace('_', "");
    let (sign, bare) = match text.strip_prefix(['+', '-']) {
        Some(bare) => (text.get(..1).unwrap_or_default(), bare),
        None => ("", text.as_str()),
    };
    let radix = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)];
    for (prefix, radix) in radix {
        let Some(digits) = bare.strip_prefix(prefix) else { continue };
        let fits = |digits: &str| i64::from_str_radix(digits, radix).is_ok();
        let number = digits.starts_with(|c: char| c.is_ascii_alphanumeric());
        let signed = fits(&format!("{sign}{digits}"))
            || (sign.is_empty() && u64::from_str_radix(digits, radix).is_ok());
        // Go cuts off `0b` and `0o` a second time, and then takes a sign behind them.
        let again = matches!(prefix, "0b" | "0o") && sign.is_empty() && fits(digits);
        return (number && signed) || again;
    }
    is_float(&text)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, of a size that 64 bits hold.
fn is_float(text: &str) -> bool {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match bare.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (bare, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let some = |text: &str| !text.is_empty() && digits(text);
    let shape = match mantissa.split_once('.') {
        Some(("", behind)) => some(behind),
        Some((before, behind)) => some(before) && digits(behind),
        None => some(mantissa),
    };
    shape && exponent.is_none_or(some) && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
fn is_base_60(text: &str) -> bool {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let sixty = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    whole.contains(':')
        && first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(digit)
        && parts.all(sixty)
        && fraction.bytes().all(digit)
}

/// Whether Go takes it for a time: a date, or a date with a time of day behind a blank or, with a zone,
/// behind `T` or `t`.
fn is_time(text: &str) -> bool {
    let Some((date, time)) =
        text.split_once([' ', 'T', 't']).map(|(date, time)| (date, Some(time))).or(Some((text, None)))
    else {
        return false;
    };
    let mut parts = date.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Some(month), Some(day)) = (within(month, 1, 12), within(day, 1, 31)) else { return false };
    let year = if year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()) {
        year.parse::<u32>()
    } else {
        return false;
    };
    let leap = year.is_ok_and(|year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let behind = text.as_bytes().get(date.len());
    day <= days
        && match (behind, time) {
            (Some(b' '), Some(time)) => is_time_of_day(time),
            (Some(_), Some(time)) => zoned(time).is_some_and(is_time_of_day),
            _ => true,
        }
}

/// A time of day without its zone, `Z` or `±hh:mm`.
fn zoned(time: &str) -> Option<&str> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some(time);
    }
    let (time, zone) = time.split_at_checked(time.len().checked_sub(6)?)?;
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    (hours.len() == 2 && minutes.len() == 2).then_some(())?;
    (within(hours, 0, 24).is_some() && within(minutes, 0, 59).is_some()).then_some(time)
}

fn is_time_of_day(time: &str) -> bool {
    let (time, fraction) = match time.split_once(['.', ',']) {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let mut parts = time.split(':');
    let (Some(hour), Some(minute), Some(second), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    within(hour, 0, 23).is_some()
        && within(minute, 0, 59).is_some()
        && within(second, 0, 59).is_some()
        && fraction
            .is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A number of one or two digits within bounds.
fn within(text: &str, from: u32, to: u32) -> Option<u32> {
    let digits = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse::<u32>().ok())??;
    (from..=to).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::{Cursor, parse};
    use super::*;

    #[test]
    fn texts_are_quoted_where_they_would_be_something_else() {
        for (text, written) in [
            ("Anchor", "Anchor"),
            ("0.1.0", "0.1.0"),
            ("1.0.0-6.1", "1.0.0-6.1"),
            ("20250311", "\"20250311\""),
            ("0.1", "\"0.1\""),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("2025-03-11", "\"2025-03-11\""),
            ("1:30", "\"1:30\""),
            (">= v1.0.0", "'>= v1.0.0'"),
            ("it's: so", "'it''s: so'"),
            ("tab\there", "\"tab\\there\""),
            ("one\n", "|\n        one"),
            ("one\ntwo", "|-\n        one\n        two"),
            (" one\n\n\n", "|4+\n         one\n\n"),
        ] {
            assert_eq!(string(text, 8), written, "{text:?}");
        }
    }

    /// Answers of gopkg.in/yaml.v3 v3.0.1 for a string in a mapping in a sequence in a mapping, as pairs of
    /// the string and what is written behind its key, without the last line break.
    #[test]
    fn texts_are_written_as_go_writes_them() {
        let mut compared = 0;
        for line in include_str!("testdata/strings.jsonl").lines() {
            let (text, expected): (String, String) = serde_json::from_str(line).unwrap();
            // What Go writes of these reads back as something else.
            if text.starts_with('\n') {
                continue;
            }
            assert_eq!(string(&text, 8), expected, "{text:?}");
            compared += 1;
        }
        assert!(compared > 2500, "{compared}");
    }

    #[test]
    fn every_text_reads_back() {
        let mut texts: Vec<String> =
            ["\nx", "a\u{2028}b", "\u{feff}ab", "x \n y", "\n", "é😀\u{85}\0", "- a", "# b"]
                .map(str::to_owned)
                .into();
        let letters = ["a", " ", "\n", ":", "#", "-", "'", "\"", "\t", "1", "\\", "é"];
        let mut state = 1u64;
        for _ in 0..3000 {
            let mut text = String::new();
            for _ in 0..=state % 7 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(letters[(state >> 33) as usize % letters.len()]);
            }
            texts.push(text);
        }
        for text in texts {
            let document = format!("a:\n    - b:\n        c: {}\n        d: 1\n", string(&text, 12));
            let node = parse(document.as_bytes()).unwrap_or_else(|error| panic!("{error}: {document:?}"));
            let items = Cursor::root(&node).key("a").unwrap().items().unwrap();
            assert_eq!(items[0].get("b.c").unwrap().string().unwrap(), text, "{document:?}");
        }
    }
}
