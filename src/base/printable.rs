//! Foreign text for a terminal: nothing in it may steer the terminal or forge a line.

/// `text` with everything escaped that is not plain text in one line: control characters (also those
/// above 0x7f), line separators, and the marks that turn the direction of writing.
pub fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe.into()
}

fn is_unsafe(c: char) -> bool {
    let steers =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    c.is_control() || steers
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_plain_text_is_not() {
        assert_eq!(printable("Gerät `ü` → ok"), "Gerät `ü` → ok");
        assert_eq!(printable("a\u{1b}[2J\nb\u{9b}c\u{202e}d"), "a\\u{1b}[2J\\nb\\u{9b}c\\u{202e}d");
    }
}
