//! One value by its verb and flags: fmt's `printArg` and `printValue` (fmt/print.go), and how it pads
//! (fmt/format.go).

use super::super::limits::{DEPTH_MAX, Fault};
use super::super::value::{Datum, List, Memory, Number};
use super::float::format_float;
use super::quote::{can_backquote, quoted};

/// The flags of one verb.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%#v`
    pub(super) go_syntax: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// Prints; never more than the memory's budget has left.
pub(super) struct Printer<'m> {
    memory: &'m Memory,
    pub(super) out: String,
    pub(super) flags: Flags,
    /// Values looked at, so that an empty list a million times in a list comes to an end as well.
    visited: usize,
}

/// The text of a value, `fmt.Sprint` of it alone.
pub(in super::super) fn text_of(memory: &Memory, datum: &Datum) -> Result<String, Fault> {
    let mut printer = Printer::new(memory);
    printer.argument(datum, 'v')?;
    Ok(printer.out)
}

type Printed = Result<(), Fault>;

impl<'m> Printer<'m> {
    pub(super) fn new(memory: &'m Memory) -> Self {
        Self { memory, out: String::new(), flags: Flags::default(), visited: 0 }
    }

    pub(super) fn put(&mut self, text: &str) -> Printed {
        self.memory.budget.allows(self.out.len().saturating_add(text.len()))?;
        self.out.push_str(text);
        Ok(())
    }

    /// A value at the top.
    pub(super) fn argument(&mut self, datum: &Datum, verb: char) -> Printed {
        match (datum, verb) {
            (Datum::Nil | Datum::Missing, 'T' | 'v') => self.pad("<nil>"),
            (Datum::Nil | Datum::Missing, _) => self.put(&format!("%!{verb}(<nil>)")),
            (_, 'T') => self.plain_text(&datum.type_name()),
            (Datum::List(_) | Datum::Map(..) | Datum::Version(_), 'p') => {
                Err(Fault::new("`%p` prints where a value lies, which differs each time"))
            }
            _ => self.value(datum, verb, 0),
        }
    }

    fn value(&mut self, datum: &Datum, verb: char, depth: usize) -> Printed {
        self.visited += 1;
        if depth > DEPTH_MAX {
            return Err(Fault::too_deep());
        }
        self.memory.budget.allows(self.visited)?;
        match datum {
            Datum::Nil | Datum::Missing if self.flags.go_syntax => self.put("interface {}(nil)"),
            Datum::Nil | Datum::Missing => self.put("<nil>"),
            _ if verb == 'w' => self.bad_verb(datum, verb, depth),
            Datum::Bool(value) if matches!(verb, 't' | 'v') => {
                self.pad(if *value { "true" } else { "false" })
            }
            Datum::Text(text) => self.text(datum, text, verb, depth),
            Datum::Version(version)
                if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') && !self.flags.go_syntax =>
            {
                self.text(datum, &version.to_string(), verb, depth)
            }
            Datum::Version(_) => Err(Fault::new(format!("`%{verb}` of a version is not supported"))),
            Datum::List(list) => self.list(list, verb, depth),
            Datum::Map(..) => self.map(datum, verb, depth),
            _ => match datum.number() {
                Some(Number::Float(value)) => self.float(datum, value, verb, depth),
                Some(Number::Signed(value)) => {
                    self.integer(datum, value < 0, value.unsigned_abs(), true, verb, depth)
                }
                Some(Number::Unsigned(value)) => self.integer(datum, false, value, false, verb, depth),
                None => self.bad_verb(datum, verb, depth),
            },
        }
    }

    fn list(&mut self, list: &List, verb: char, depth: usize) -> Printed {
        let go = self.flags.go_syntax;
        if go {
            self.put(&format!("[]{}", list.elem.name()))?;
            if list.nil {
                return self.put("(nil)");
            }
        }
        self.put(if go { "{" } else { "[" })?;
        for (index, item) in list.items.iter().enumerate() {
            if index > 0 {
                self.put(if go { ", " } else { " " })?;
            }
            self.value(item, verb, depth + 1)?;
        }
        self.put(if go { "}" } else { "]" })
    }

    fn map(&mut self, datum: &Datum, verb: char, depth: usize) -> Printed {
        let Datum::Map(id, _) = datum else { return Ok(()) };
        let go = self.flags.go_syntax;
        if go {
            self.put(&datum.type_name())?;
            if self.memory.is_nil_map(*id) {
                return self.put("(nil)");
            }
        }
        self.put(if go { "{" } else { "map[" })?;
        let memory = self.memory;
        for (index, (key, value)) in memory.entries(*id).iter().enumerate() {
            if index > 0 {
                self.put(if go { ", " } else { " " })?;
            }
            self.value(&Datum::Text(key.clone()), verb, depth + 1)?;
            self.put(":")?;
            self.value(value, verb, depth + 1)?;
        }
        self.put(if go { "}" } else { "]" })
    }

    /// `%!d(string=x)`
    fn bad_verb(&mut self, datum: &Datum, verb: char, depth: usize) -> Printed {
        self.put(&format!("%!{verb}({}=", datum.type_name()))?;
        self.value(datum, 'v', depth + 1)?;
        self.put(")")
    }

    // --- texts -----------------------------------------------------------------------------------

    fn text(&mut self, datum: &Datum, text: &str, verb: char, depth: usize) -> Printed {
        match verb {
            'v' if self.flags.go_syntax => self.quote(text),
            'v' | 's' => self.plain_text(text),
            'q' => self.quote(text),
            'x' | 'X' => self.hex_text(text, verb == 'X'),
            _ => self.bad_verb(datum, verb, depth),
        }
    }

    fn cut<'t>(&self, text: &'t str) -> &'t str {
        let cut = self.flags.precision.and_then(|count| text.char_indices().nth(count));
        cut.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
    }

    fn plain_text(&mut self, text: &str) -> Printed {
        let text = self.cut(text);
        self.pad(text)
    }

    fn quote(&mut self, text: &str) -> Printed {
        let text = self.cut(text);
        self.memory.budget.allows(text.len())?;
        let quoted = match self.flags.sharp && can_backquote(text) {
            true => format!("`{text}`"),
            false => quoted(text, '"', self.flags.plus),
        };
        self.pad(&quoted)
    }

    fn hex_text(&mut self, text: &str, upper: bool) -> Printed {
        let bytes = text.as_bytes();
        let bytes = self.flags.precision.and_then(|count| bytes.get(..count)).unwrap_or(bytes);
        self.memory.budget.allows(bytes.len().saturating_mul(5))?;
        let prefix = match (self.flags.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let digits =
            bytes.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        let text = match self.flags.space {
            true => digits.map(|digits| format!("{prefix}{digits}")).collect::<Vec<_>>().join(" "),
            false if bytes.is_empty() => String::new(),
            false => format!("{prefix}{}", digits.collect::<String>()),
        };
        self.pad(&text)
    }

    // --- numbers ---------------------------------------------------------------------------------

    fn integer(
        &mut self,
        datum: &Datum,
        negative: bool,
        value: u64,
        signed: bool,
        verb: char,
        depth: usize,
    ) -> Printed {
        // A negative number is the same bits to those verbs that know no sign.
        let bits = if negative { value.wrapping_neg() } else { value };
        match verb {
            'v' if self.flags.go_syntax && !signed => self.digits(false, format!("{value:x}"), "0x"),
            'v' | 'd' => self.digits(negative, value.to_string(), ""),
            'b' => self.digits(negative, format!("{value:b}"), self.prefix("0b")),
            'o' => {
                let digits = format!("{value:o}");
                // The leading zero counts as a digit.
                let prefix = if digits.starts_with('0') { "" } else { self.prefix("0") };
                self.digits(negative, digits, prefix)
            }
            'O' => {
                let digits = format!("{value:o}");
                let prefix = if self.flags.sharp && !digits.starts_with('0') { "0o0" } else { "0o" };
                self.digits(negative, digits, prefix)
            }
            'x' => self.digits(negative, format!("{value:x}"), self.prefix("0x")),
            'X' => self.digits(negative, format!("{value:X}"), self.prefix("0X")),
            'c' => {
                let c = character(bits);
                self.pad(c.encode_utf8(&mut [0; 4]))
            }
            'q' => self.pad(&quoted(character(bits).encode_utf8(&mut [0; 4]), '\'', self.flags.plus)),
            'U' => self.code_point(bits),
            _ => self.bad_verb(datum, verb, depth),
        }
    }

    fn prefix(&self, prefix: &'static str) -> &'static str {
        if self.flags.sharp { prefix } else { "" }
    }

    fn digits(&mut self, negative: bool, digits: String, prefix: &str) -> Printed {
        let flags = self.flags;
        let least = match (flags.precision, flags.width) {
            (Some(0), width) if digits == "0" => return self.spaces(width.unwrap_or_default()),
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero && !flags.minus => {
                width - usize::from((negative || flags.plus || flags.space) && width > 0)
            }
            _ => 0,
        };
        let sign = match (negative, flags.plus, flags.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        self.memory.budget.allows(least)?;
        let zeros = "0".repeat(least.saturating_sub(digits.len()));
        // Octal's zero is there already if there are others.
        let prefix = if prefix == "0" && !zeros.is_empty() { "" } else { prefix };
        self.pad_with_spaces(&format!("{sign}{prefix}{zeros}{digits}"))
    }

    fn code_point(&mut self, bits: u64) -> Printed {
        let precision = self.flags.precision.unwrap_or_default().max(4);
        self.memory.budget.allows(precision)?;
        let digits = format!("{bits:X}");
        let zeros = "0".repeat(precision.saturating_sub(digits.len()));
        let shown = u32::try_from(bits).ok().and_then(char::from_u32);
        let tail = match shown.filter(|c| self.flags.sharp && super::is_print(*c)) {
            Some(c) => format!(" '{c}'"),
            None => String::new(),
        };
        self.pad_with_spaces(&format!("U+{zeros}{digits}{tail}"))
    }

    fn float(&mut self, datum: &Datum, value: f64, verb: char, depth: usize) -> Printed {
        let (letter, precision) = match verb {
            'v' | 'g' => ('g', None),
            'G' => ('G', None),
            'e' | 'E' => (verb, Some(6)),
            'f' | 'F' => ('f', Some(6)),
            'b' | 'x' | 'X' => (verb, None),
            _ => return self.bad_verb(datum, verb, depth),
        };
        let precision = self.flags.precision.or(precision);
        self.memory.budget.allows(precision.unwrap_or_default())?;
        let text = format_float(value, letter, precision);
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (text.get(..1).unwrap_or_default(), digits),
            None => ("+", text.as_str()),
        };
        let flags = self.flags;
        let sign = match sign {
            "+" if flags.plus => "+",
            "+" if flags.space => " ",
            "+" if digits == "Inf" => "+",
            "+" => "",
            sign => sign,
        };
        if !value.is_finite() {
            return self.pad_with_spaces(&format!("{sign}{digits}"));
        }
        let digits = if flags.sharp && verb != 'b' {
            with_point(digits, letter, precision)
        } else {
            digits.to_owned()
        };
        let text = format!("{sign}{digits}");
        match flags.width {
            Some(width) if flags.zero && !flags.minus && !sign.is_empty() && width > text.len() => {
                self.memory.budget.allows(width)?;
                self.put(&format!("{sign}{}{digits}", "0".repeat(width - text.len())))
            }
            _ => self.pad(&text),
        }
    }

    // --- padding ---------------------------------------------------------------------------------

    fn spaces(&mut self, count: usize) -> Printed {
        self.memory.budget.allows(count)?;
        self.put(&" ".repeat(count))
    }

    fn pad_with_spaces(&mut self, text: &str) -> Printed {
        let zero = std::mem::take(&mut self.flags.zero);
        let padded = self.pad(text);
        self.flags.zero = zero;
        padded
    }

    fn pad(&mut self, text: &str) -> Printed {
        let Flags { minus, zero, width, .. } = self.flags;
        let missing = width.unwrap_or_default().saturating_sub(text.chars().count());
        self.memory.budget.allows(missing)?;
        let padding = if zero && !minus { "0" } else { " " }.repeat(missing);
        if minus {
            self.put(text)?;
            self.put(&padding)
        } else {
            self.put(&padding)?;
            self.put(text)
        }
    }
}

fn character(code: u64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// `%#g`: always a point, and zeros up to the precision.
fn with_point(digits: &str, verb: char, precision: Option<usize>) -> String {
    let hex = matches!(verb, 'x' | 'X');
    let tail: &[char] = if hex { &['p', 'P'] } else { &['e', 'E'] };
    let (mantissa, tail) = match digits.find(tail) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    let wanted = if matches!(verb, 'g' | 'G' | 'x') { precision.unwrap_or(6) } else { 0 };
    let significant = mantissa.trim_start_matches(['0', '.']);
    // Of hexadecimal digits the x counts as well.
    let significant = significant.chars().filter(|c| c.is_ascii_digit() || hex && *c != '.').count();
    let significant = if mantissa == "0" { 1 } else { significant };
    let point = if mantissa.contains('.') { "" } else { "." };
    format!("{mantissa}{point}{}{tail}", "0".repeat(wanted.saturating_sub(significant)))
}
