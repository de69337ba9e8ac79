//! `*`, `?` and `[…]` against a name (POSIX.1-2017, "Pattern Matching Notation"), byte by byte as in the locale of
//! containers, "C".

/// A pattern.
#[derive(Debug, Clone)]
pub struct Pattern(Vec<Item>);

#[derive(Debug, Clone)]
enum Item {
    Byte(u8),
    Any,
    Star,
    Set { negated: bool, members: Vec<Member> },
}

/// Whether a byte is of a class.
pub type Class = fn(&u8) -> bool;

#[derive(Debug, Clone)]
enum Member {
    Range(u8, u8),
    Class(Class),
}

impl Pattern {
    /// A pattern out of characters, each with whether it may mean something. With `escapes`, a backslash that
    /// may takes the meaning from what follows, as in `find -name`.
    pub fn new(characters: &[(char, bool)], escapes: bool) -> Self {
        let mut bytes: Vec<(u8, bool)> = Vec::new();
        for (character, active) in characters {
            let mut buffer = [0; 4];
            bytes.extend(character.encode_utf8(&mut buffer).bytes().map(|byte| (byte, *active)));
        }
        let (mut items, mut at) = (Vec::new(), 0);
        while let Some(&(byte, active)) = bytes.get(at) {
            at += 1;
            match byte {
                b'*' if active => {
                    if !matches!(items.last(), Some(Item::Star)) {
                        items.push(Item::Star);
                    }
                }
                b'?' if active => items.push(Item::Any),
                b'[' if active => match set(bytes.get(at..).unwrap_or_default(), escapes) {
                    Some((item, length)) => {
                        items.push(item);
                        at += length;
                    }
                    None => items.push(Item::Byte(byte)),
                },
                b'\\' if active && escapes && at < bytes.len() => {
                    items.extend(bytes.get(at).map(|(byte, _)| Item::Byte(*byte)));
                    at += 1;
                }
                _ => items.push(Item::Byte(byte)),
            }
        }
        Self(items)
    }

    /// All of `text` means something, and backslashes escape.
    pub fn of(text: &str) -> Self {
        let characters: Vec<(char, bool)> = text.chars().map(|character| (character, true)).collect();
        Self::new(&characters, true)
    }

    /// Whether it begins with a dot of its own.
    pub fn starts_with_dot(&self) -> bool {
        matches!(self.0.first(), Some(Item::Byte(b'.')))
    }

    /// Whether all of `text` fits. Takes at most the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        let (text, items) = (text.as_bytes(), &self.0);
        let (mut at, mut item) = (0, 0);
        // Where the last star stands, and how far it reaches.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match (items.get(item), text.get(at)) {
                (None, None) => return true,
                (Some(Item::Star), _) => {
                    star = Some((item, at));
                    item += 1;
                    continue;
                }
                (Some(Item::Any), Some(_)) => {}
                (Some(Item::Byte(wanted)), Some(byte)) if wanted == byte => {}
                (Some(Item::Set { negated, members }), Some(byte))
                    if *negated != members.iter().any(|member| member.has(*byte)) => {}
                _ => match star {
                    Some((index, reach)) if reach < text.len() => {
                        star = Some((index, reach + 1));
                        (item, at) = (index + 1, reach + 1);
                        continue;
                    }
                    _ => return false,
                },
            }
            item += 1;
            at += 1;
        }
    }
}

impl Member {
    fn has(&self, byte: u8) -> bool {
        match self {
            Self::Range(first, last) => (*first..=*last).contains(&byte),
            Self::Class(class) => class(&byte),
        }
    }
}

/// The set behind a `[`, and how many bytes it takes with its `]`.
fn set(bytes: &[(u8, bool)], escapes: bool) -> Option<(Item, usize)> {
    let byte = |at: usize| bytes.get(at).map(|(byte, _)| *byte);
    let active = |at: usize| bytes.get(at).is_some_and(|(_, active)| *active);
    let negated = matches!(byte(0), Some(b'!' | b'^')) && active(0);
    let first = usize::from(negated);
    let (mut at, mut members) = (first, Vec::new());
    loop {
        let mut start = byte(at)?;
        if start == b']' && active(at) && at > first {
            return Some((Item::Set { negated, members }, at + 1));
        }
        if start == b'/' {
            return None;
        }
        if start == b'[' && byte(at + 1) == Some(b':') {
            let (class, length) = class(bytes.get(at + 2..)?)?;
            members.push(Member::Class(class));
            at += 2 + length;
            continue;
        }
        if start == b'\\' && escapes && active(at) {
            at += 1;
            start = byte(at)?;
        }
        at += 1;
        if byte(at) == Some(b'-') && active(at) && byte(at + 1).is_some_and(|next| next != b']') {
            let mut end = byte(at + 1)?;
            at += 2;
            if end == b'\\' && escapes {
                end = byte(at)?;
                at += 1;
            }
            members.push(Member::Range(start, end));
        } else {
            members.push(Member::Range(start, start));
        }
    }
}

/// `alpha:]` and the like.
fn class(bytes: &[(u8, bool)]) -> Option<(Class, usize)> {
    let length = bytes.iter().position(|(byte, _)| *byte == b':')?;
    let name: Vec<u8> = bytes.get(..length)?.iter().map(|(byte, _)| *byte).collect();
    (bytes.get(length + 1)?.0 == b']').then_some(())?;
    Some((class_of(std::str::from_utf8(&name).ok()?)?, length + 2))
}

/// The bytes of a class by its name, in the locale "C".
pub fn class_of(name: &str) -> Option<Class> {
    Some(match name {
        "alpha" => u8::is_ascii_alphabetic,
        "digit" => u8::is_ascii_digit,
        "alnum" => u8::is_ascii_alphanumeric,
        "upper" => u8::is_ascii_uppercase,
        "lower" => u8::is_ascii_lowercase,
        "punct" => u8::is_ascii_punctuation,
        "xdigit" => u8::is_ascii_hexdigit,
        "cntrl" => u8::is_ascii_control,
        "graph" => u8::is_ascii_graphic,
        "print" => |byte| (b' '..=b'~').contains(byte),
        "blank" => |byte| matches!(byte, b' ' | b'\t'),
        "space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*.ko", ".ko", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("[[:digit:]]*", "1a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b*c*", "xaybzc", true),
            ("[a-]", "-", true),
        ] {
            assert_eq!(Pattern::of(pattern).matches(name), fits, "{pattern} {name}");
        }
    }
}
