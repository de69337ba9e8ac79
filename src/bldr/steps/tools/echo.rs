//! `echo` and `printf` as bash has them, `true` and `false`.

use super::super::run::{Io, Refusal, Runner, Stop, TEXT_MAX};
use super::UNKNOWN;

/// Widest field of `printf`.
const WIDTH_MAX: usize = 4096;
/// Times that a format is used again, for its arguments.
const ROUNDS_MAX: usize = 1 << 16;

pub(super) fn check_nothing(_: &[String]) -> Result<(), Refusal> {
    Ok(())
}

pub(super) fn check_echo(_: &[String]) -> Result<(), Refusal> {
    Ok(())
}

pub(super) fn echo(_: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let (mut newline, mut escapes, mut words) = (true, false, arguments);
    while let Some((word, rest)) = words.split_first() {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty());
        let Some(letters) = letters.filter(|letters| letters.chars().all(|letter| "neE".contains(letter)))
        else {
            break;
        };
        for letter in letters.chars() {
            match letter {
                'n' => newline = false,
                'e' => escapes = true,
                _ => escapes = false,
            }
        }
        words = rest;
    }
    let text = words.join(" ");
    if !escapes {
        io.stdout.write(text.as_bytes());
    } else {
        let mut bytes = Vec::new();
        if unescape(&text, Escapes::Echo, &mut bytes) {
            newline = false;
        }
        io.stdout.write(&bytes);
    }
    if newline {
        io.stdout.write(b"\n");
    }
    Ok(0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// `echo -e` and `%b`: `\0NNN`, and `\c` ends all.
    Echo,
    /// A format of `printf`: `\NNN`, and no `\c`.
    Format,
}

/// Appends `text` with its escapes turned into bytes; gives whether `\c` ended it.
fn unescape(text: &str, escapes: Escapes, bytes: &mut Vec<u8>) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, behind) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let behind = behind.get(1..).unwrap_or_default();
        let (digits, radix, skip) = match behind.bytes().next() {
            Some(b'x') => (2, 16, 1),
            Some(b'0') if escapes == Escapes::Echo => (3, 8, 1),
            Some(b'0'..=b'7') if escapes == Escapes::Format => (3, 8, 0),
            Some(b'c') if escapes == Escapes::Echo => return true,
            Some(letter) => {
                let simple = match letter {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'a' => 7,
                    b'b' => 8,
                    b'f' => 12,
                    b'v' => 11,
                    b'e' | b'E' => 27,
                    b'\\' => b'\\',
                    b'"' if escapes == Escapes::Format => b'"',
                    _ => {
                        // Unknown: as it stands.
                        bytes.push(b'\\');
                        rest = behind;
                        continue;
                    }
                };
                bytes.push(simple);
                rest = behind.get(1..).unwrap_or_default();
                continue;
            }
            None => {
                bytes.push(b'\\');
                rest = "";
                continue;
            }
        };
        let number = behind.get(skip..).unwrap_or_default();
        let count = number.bytes().take(digits).take_while(|byte| char::from(*byte).is_digit(radix)).count();
        let value = u32::from_str_radix(number.get(..count).unwrap_or_default(), radix);
        match value {
            Ok(value) => bytes.push(u8::try_from(value & 0xff).unwrap_or_default()),
            // `\0` is a NUL of its own; `\x` without digits is no escape.
            Err(_) if radix == 8 => bytes.push(0),
            Err(_) => bytes.extend_from_slice(b"\\x"),
        }
        rest = number.get(count..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    false
}

pub(super) fn check_printf(arguments: &[String]) -> Result<(), Refusal> {
    let Some(format) = arguments.iter().find(|word| *word != "--") else { return Ok(()) };
    if format.starts_with('-') && arguments.first().is_some_and(|word| word != "--") {
        return Err(Refusal::new(0, format, "is an option that is not run natively"));
    }
    if format.contains(UNKNOWN) {
        return Ok(());
    }
    for spec in Piece::parse(format) {
        if let Piece::Field { conversion, text, .. } = spec
            && !"sdiuxXobc".contains(conversion)
        {
            return Err(Refusal::new(0, &text, "is a conversion that is not run natively"));
        }
    }
    Ok(())
}

/// A piece of a format.
enum Piece {
    Text(String),
    Percent,
    Field { flags: String, width: usize, precision: Option<usize>, conversion: char, text: String },
}

impl Piece {
    fn parse(format: &str) -> Vec<Self> {
        let (mut pieces, mut rest) = (Vec::new(), format);
        while let Some(at) = rest.find('%') {
            let (before, behind) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(Self::Text(before.to_owned()));
            }
            let behind = behind.get(1..).unwrap_or_default();
            if let Some(behind) = behind.strip_prefix('%') {
                pieces.push(Self::Percent);
                rest = behind;
                continue;
            }
            let flags: String = behind.chars().take_while(|flag| "-+ 0#".contains(*flag)).collect();
            let mut left = behind.get(flags.len()..).unwrap_or_default();
            let mut number = || {
                let digits = left.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, behind) = left.split_at(digits); // digits are ASCII
                left = behind;
                digits.parse::<usize>().unwrap_or(0).min(WIDTH_MAX)
            };
            let width = number();
            let precision = left.starts_with('.').then(|| {
                left = left.get(1..).unwrap_or_default();
                let digits = left.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, behind) = left.split_at(digits); // digits are ASCII
                left = behind;
                digits.parse::<usize>().unwrap_or(0).min(WIDTH_MAX)
            });
            let conversion = left.chars().next().unwrap_or('\0');
            rest = left.get(conversion.len_utf8().min(left.len())..).unwrap_or_default();
            let text = format!("%{}", behind.strip_suffix(rest).unwrap_or(behind));
            pieces.push(Self::Field { flags, width, precision, conversion, text });
        }
        if !rest.is_empty() {
            pieces.push(Self::Text(rest.to_owned()));
        }
        pieces
    }
}

pub(super) fn printf(_: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    check_printf(arguments)?;
    let skip = usize::from(arguments.first().is_some_and(|word| word == "--"));
    let Some((format, words)) = arguments.get(skip..).unwrap_or_default().split_first() else {
        io.say("`printf` has no format");
        return Ok(2);
    };
    let pieces = Piece::parse(format);
    let (mut status, mut words) = (0, words.iter());
    let mut bytes = Vec::new();
    for round in 0.. {
        if round > ROUNDS_MAX || bytes.len() as u64 > TEXT_MAX {
            return Err(Stop::Limit(format!(
                "`printf` uses its format more than {ROUNDS_MAX} times, or writes too much"
            )));
        }
        let before = words.len();
        for piece in &pieces {
            match piece {
                Piece::Text(text) => drop(unescape(text, Escapes::Format, &mut bytes)),
                Piece::Percent => bytes.push(b'%'),
                Piece::Field { flags, width, precision, conversion, .. } => {
                    let word = words.next().map_or("", String::as_str);
                    let (field, ended) = match conversion {
                        's' => (word.as_bytes().to_vec(), false),
                        'c' => (word.bytes().take(1).collect(), false),
                        'b' => {
                            let mut field = Vec::new();
                            let ended = unescape(word, Escapes::Echo, &mut field);
                            (field, ended)
                        }
                        _ => {
                            let (text, good) = number(word, *conversion, flags, *width, *precision);
                            if !good {
                                io.say(format_args!("`printf`: `{word}` is no number"));
                                status = 1;
                            }
                            (text.into_bytes(), false)
                        }
                    };
                    let text = "sb".contains(*conversion);
                    let length = precision.filter(|_| text).unwrap_or(field.len()).min(field.len());
                    let field = field.get(..length).unwrap_or_default();
                    let padding = vec![b' '; width.saturating_sub(field.len())];
                    if flags.contains('-') {
                        bytes.extend([field, &padding].concat());
                    } else {
                        bytes.extend([&padding, field].concat());
                    }
                    if ended {
                        io.stdout.write(&bytes);
                        return Ok(status);
                    }
                }
            }
        }
        if words.len() == 0 || words.len() == before {
            break;
        }
    }
    io.stdout.write(&bytes);
    Ok(status)
}

/// A number in its form, and whether `word` is one.
fn number(
    word: &str,
    conversion: char,
    flags: &str,
    width: usize,
    precision: Option<usize>,
) -> (String, bool) {
    let trimmed = word.trim_start();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let mut characters = digits.chars();
    let parsed = match (characters.next(), digits.get(..2)) {
        (Some('\'' | '"'), _) => {
            Some(characters.next().map_or(0, |character| i64::from(u32::from(character))))
        }
        (_, Some("0x" | "0X")) => i64::from_str_radix(digits.get(2..).unwrap_or_default(), 16).ok(),
        (Some('0'), Some(_)) => i64::from_str_radix(digits, 8).ok(),
        _ => digits.parse().ok(),
    };
    let good = parsed.is_some() || word.is_empty();
    let value = parsed.unwrap_or_else(|| {
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        digits.get(..length).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    });
    let value = if negative { -value } else { value };
    let magnitude = match conversion {
        'd' | 'i' => value.unsigned_abs().to_string(),
        // Two's complement, as C prints it.
        'x' => format!("{:x}", value.cast_unsigned()),
        'X' => format!("{:X}", value.cast_unsigned()),
        'o' => format!("{:o}", value.cast_unsigned()),
        _ => value.cast_unsigned().to_string(),
    };
    let mut sign = match conversion {
        'd' | 'i' if value < 0 => "-",
        'd' | 'i' if flags.contains('+') => "+",
        'd' | 'i' if flags.contains(' ') => " ",
        _ => "",
    }
    .to_owned();
    if flags.contains('#') && value != 0 {
        sign.push_str(match conversion {
            'x' => "0x",
            'X' => "0X",
            'o' => "0",
            _ => "",
        });
    }
    let digits = match precision {
        Some(precision) => precision,
        None if flags.contains('0') && !flags.contains('-') => width.saturating_sub(sign.len()),
        None => 0,
    };
    (format!("{sign}{magnitude:0>digits$}"), good)
}
