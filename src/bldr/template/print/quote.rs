//! Quoted texts and characters, `strconv.Quote` and its kin.

use std::fmt::Write as _;

/// Whether Go takes it for printable (`unicode.IsPrint`): Rust's own tables say the same, but only behind
/// another character do they leave combining marks alone.
pub(in super::super) fn is_print(c: char) -> bool {
    let mut text = String::from("a");
    text.push(c);
    !text.escape_debug().to_string().contains("\\u{") && !c.is_control()
}

/// A text in quotes; `ascii` escapes everything else.
pub(in super::super) fn quoted(text: &str, quote: char, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        escape(&mut out, c, quote, ascii);
    }
    out.push(quote);
    out
}

fn escape(out: &mut String, c: char, quote: char, ascii: bool) {
    let code = u32::from(c);
    let simple = match c {
        '\u{7}' => Some('a'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{b}' => Some('v'),
        '\\' => Some('\\'),
        c if c == quote => Some(c),
        _ => None,
    };
    // Writing to a string does not fail.
    let _ = match simple {
        Some(letter) => write!(out, "\\{letter}"),
        None if c.is_ascii_graphic() || c == ' ' || !ascii && !c.is_ascii() && is_print(c) => {
            write!(out, "{c}")
        }
        None if code < 0x80 => write!(out, "\\x{code:02x}"),
        None if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
        None => write!(out, "\\U{code:08x}"),
    };
}

/// Whether it can stand between backquotes as it is.
pub(super) fn can_backquote(text: &str) -> bool {
    text.chars().all(|c| c != '\u{feff}' && c != '`' && c != '\u{7f}' && (c >= ' ' || c == '\t'))
}
