//! Numbers and quoted texts as Go's strconv reads them.

use super::ast::Constant;

/// `strconv.ParseInt` with base 0: prefixes, and underscores between digits.
pub(super) fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let value = i128::from(parse_uint(digits)?);
    i64::try_from(if negative { -value } else { value }).ok()
}

/// `strconv.ParseUint` with base 0.
pub(super) fn parse_uint(text: &str) -> Option<u64> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !underscores_are_right(text) {
        return None;
    }
    let (digits, base) = match text.get(..2) {
        Some("0x" | "0X") => (text.get(2..)?, 16),
        Some("0b" | "0B") => (text.get(2..)?, 2),
        Some("0o" | "0O") => (text.get(2..)?, 8),
        _ => match text.strip_prefix('0') {
            Some("") => return Some(0),
            Some(rest) => (rest, 8),
            None => (text, 10),
        },
    };
    let plain = digits.replace('_', "");
    // `from_str_radix` would take a sign.
    if !plain.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(&plain, base).ok()
}

/// `strconv.ParseFloat` for 64 bits; numbers that do not fit are none.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(bare.to_ascii_lowercase().as_str(), "inf" | "infinity" | "nan") {
        return text.parse().ok();
    }
    if text.contains('_') && !underscores_are_right(bare) {
        return None;
    }
    if bare.starts_with("0x") || bare.starts_with("0X") {
        let value = hex_float(&bare.get(2..)?.replace('_', ""))?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    // Rust reads the same numbers otherwise, and its words are out of the way.
    if !bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.replace('_', "").parse().ok().filter(|value: &f64| value.is_finite())
}

/// `1.8p-3`, of at most 13 digits so that it is exact.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 13 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = i64::from_str_radix(&digits, 16).ok()?;
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() < 1000)?;
    let shift = exponent - 4 * i32::try_from(fraction.len()).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "13 digits have 52 bits")]
    let value = value as f64 * 2f64.powi(shift);
    value.is_finite().then_some(value)
}

/// Underscores stand between digits, or behind a prefix.
fn underscores_are_right(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (hex, from) = match bytes {
        [b'0', b'x' | b'X', ..] => (true, 2),
        [b'0', b'b' | b'B' | b'o' | b'O', ..] => (false, 2),
        _ => (false, 0),
    };
    let mut before = if from == 2 { b'0' } else { b'^' };
    for byte in bytes.iter().skip(from) {
        let digit = byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit();
        before = match (digit, byte, before) {
            (true, ..) => b'0',
            (_, b'_', b'0') => b'_',
            (_, b'_', _) | (_, _, b'_') => return false,
            _ => b'!',
        };
    }
    before != b'_'
}

/// The number of a constant, as Go's text/template/parse reads it (`node.go`, `newNumber`).
pub(super) fn constant(text: &str) -> Result<Constant, String> {
    if text.ends_with('i') {
        return Err(format!("`{text}` is an imaginary number, and there are none here"));
    }
    let hex =
        text.len() > 2 && (text.starts_with("0x") || text.starts_with("0X")) && !text.contains(['p', 'P']);
    let pointed = text.contains(['.', 'e', 'E', 'p', 'P']);
    if let Some(int) = parse_int(text) {
        #[expect(clippy::cast_precision_loss, reason = "Go rounds, too")]
        let float = int as f64;
        return Ok(Constant { int: Some(int), float: Some(float), prefers_float: pointed && !hex });
    }
    if let Some(uint) = parse_uint(text) {
        #[expect(clippy::cast_precision_loss, reason = "Go rounds, too")]
        let float = uint as f64;
        return Ok(Constant { int: None, float: Some(float), prefers_float: false });
    }
    let float = parse_float(text).ok_or_else(|| format!("illegal number syntax: `{text}`"))?;
    if !pointed {
        return Err(format!("integer overflow: `{text}`"));
    }
    let int = float_to_int(float);
    #[expect(clippy::cast_precision_loss, reason = "that is the question")]
    let exact = int as f64 == float;
    Ok(Constant { int: exact.then_some(int), float: Some(float), prefers_float: !hex })
}

/// Go's `int64(float)` on amd64: what does not fit is the least number.
pub(super) fn float_to_int(float: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "it fits")]
    if (-LIMIT..LIMIT).contains(&float) { float as i64 } else { i64::MIN }
}

/// The character of `'x'`.
pub(super) fn character(text: &str) -> Result<Constant, String> {
    let inside = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or_default();
    let wrong = || format!("malformed character constant: {text}");
    let mut chars = inside.chars();
    let code = match chars.next() {
        Some('\\') => escape(&mut chars, '\'').ok_or_else(wrong)?.code(),
        Some(c) => u32::from(c),
        None => return Err(wrong()),
    };
    if chars.next().is_some() {
        return Err(wrong());
    }
    let float = f64::from(code);
    Ok(Constant { int: Some(i64::from(code)), float: Some(float), prefers_float: false })
}

/// What an escape stands for.
enum Escaped {
    Char(char),
    Byte(u8),
}

impl Escaped {
    fn code(&self) -> u32 {
        match self {
            Self::Char(c) => u32::from(*c),
            Self::Byte(byte) => u32::from(*byte),
        }
    }
}

/// The escape behind a backslash, `strconv.UnquoteChar`.
fn escape(chars: &mut std::str::Chars<'_>, quote: char) -> Option<Escaped> {
    let simple = |c| Some(Escaped::Char(c));
    let first = chars.next()?;
    let (count, radix) = match first {
        'a' => return simple('\u{7}'),
        'b' => return simple('\u{8}'),
        'f' => return simple('\u{c}'),
        'n' => return simple('\n'),
        'r' => return simple('\r'),
        't' => return simple('\t'),
        'v' => return simple('\u{b}'),
        '\\' => return simple('\\'),
        c if c == quote => return simple(c),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='7' => (2, 8),
        _ => return None,
    };
    let mut code = if radix == 8 { first.to_digit(8)? } else { 0 };
    for _ in 0..count {
        code = code.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    match first {
        'u' | 'U' => simple(char::from_u32(code)?),
        _ => Some(Escaped::Byte(u8::try_from(code).ok()?)),
    }
}

/// The text of `"x"` or `` `x` ``, `strconv.Unquote`.
pub(super) fn unquote(text: &str) -> Result<String, String> {
    if let Some(raw) = text.strip_prefix('`') {
        return Ok(raw.trim_end_matches('`').replace('\r', ""));
    }
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
    let wrong = || format!("invalid escape in {text}");
    let mut bytes = Vec::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match escape(&mut chars, '"').ok_or_else(wrong)? {
                Escaped::Char(c) => c,
                Escaped::Byte(byte) => {
                    bytes.push(byte);
                    continue;
                }
            },
            c => c,
        };
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| format!("{text} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_prefixes_and_underscores() {
        for (text, value) in [
            ("0", Some(0)),
            ("-12", Some(-12)),
            ("+7", Some(7)),
            ("0x_1f", Some(31)),
            ("1_000", Some(1000)),
            ("017", Some(15)),
            ("0b101", Some(5)),
            ("0o17", Some(15)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("08", None),
            ("0x", None),
            ("--1", None),
            ("0x+1", None),
            ("", None),
        ] {
            assert_eq!(parse_int(text), value, "{text}");
        }
    }

    #[test]
    fn floats_are_those_of_go() {
        for (text, value) in [
            ("1.5", Some(1.5)),
            (".5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("0x1p-2", Some(0.25)),
            ("0x1.8p1", Some(3.0)),
            ("1_0.5", Some(10.5)),
            ("inf", Some(f64::INFINITY)),
            ("1e999", None),
            ("x", None),
            ("1_.5", None),
        ] {
            assert_eq!(parse_float(text), value, "{text}");
        }
    }

    #[test]
    fn quotes_are_undone() {
        assert_eq!(unquote(r#""a\tb\u00e9\x41\101\"""#).unwrap(), "a\tbéAA\"");
        assert_eq!(unquote("`a\\n\r`").unwrap(), "a\\n");
        for wrong in [r#""\q""#, r#""\'""#, r#""\xff""#, r#""\ud800""#, r#""\400""#] {
            assert!(unquote(wrong).is_err(), "{wrong}");
        }
        assert_eq!(character(r"'\''").unwrap().int, Some(39));
        assert!(character("'ab'").is_err());
    }
}
