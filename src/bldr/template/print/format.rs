//! `print`, `println` and `printf`: fmt's `doPrint` and `doPrintf` (fmt/print.go).

use super::super::limits::Fault;
use super::super::value::{Datum, Memory, Number};
use super::value::{Flags, Printer};

/// `fmt.Sprint`: blanks between two operands of which none is a text.
pub(in super::super) fn print(memory: &Memory, arguments: &[Datum]) -> Result<String, Fault> {
    let mut printer = Printer::new(memory);
    let mut text_before = true;
    for argument in arguments {
        let text = matches!(argument, Datum::Text(_));
        if !text && !text_before {
            printer.put(" ")?;
        }
        printer.argument(argument, 'v')?;
        text_before = text;
    }
    Ok(printer.out)
}

/// `fmt.Sprintln`
pub(in super::super) fn println(memory: &Memory, arguments: &[Datum]) -> Result<String, Fault> {
    let mut printer = Printer::new(memory);
    for (index, argument) in arguments.iter().enumerate() {
        if index > 0 {
            printer.put(" ")?;
        }
        printer.argument(argument, 'v')?;
    }
    printer.put("\n")?;
    Ok(printer.out)
}

/// `fmt.Sprintf`
pub(in super::super) fn printf(memory: &Memory, format: &str, arguments: &[Datum]) -> Result<String, Fault> {
    let mut formatter = Formatter {
        printer: Printer::new(memory),
        format,
        at: 0,
        arguments,
        argument: 0,
        reordered: false,
        good: true,
    };
    while formatter.directive()? {}
    formatter.extra()?;
    Ok(formatter.printer.out)
}

/// The largest width and precision that fmt takes.
const NUMBER_MAX: usize = 1_000_000;

struct Formatter<'a> {
    printer: Printer<'a>,
    format: &'a str,
    /// How far it has read, in bytes: at a character's boundary.
    at: usize,
    arguments: &'a [Datum],
    /// The next argument.
    argument: usize,
    /// Whether arguments were named by their number.
    reordered: bool,
    /// Whether the number that was named is one.
    good: bool,
}

impl Formatter<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.as_bytes().get(self.at).copied()
    }

    /// Text up to a `%` and what that stands for; whether there may be more.
    fn directive(&mut self) -> Result<bool, Fault> {
        let rest = self.format.get(self.at..).unwrap_or_default();
        let Some(length) = rest.find('%') else {
            self.printer.put(rest)?;
            return Ok(false);
        };
        self.printer.put(rest.get(..length).unwrap_or_default())?;
        self.at += length + 1;
        self.good = true;
        self.flags();
        let after_index = self.width()?;
        let after_index = self.precision(after_index)?;
        if !after_index {
            self.index();
        }
        let Some(verb) = self.format.get(self.at..).and_then(|rest| rest.chars().next()) else {
            self.printer.put("%!(NOVERB)")?;
            return Ok(false);
        };
        self.at += verb.len_utf8();
        self.verb(verb)?;
        Ok(true)
    }

    fn flags(&mut self) {
        let mut flags = Flags::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        self.printer.flags = flags;
    }

    /// `[2]` `*` or digits; whether the last thing was an index.
    fn width(&mut self) -> Result<bool, Fault> {
        let after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            let width = self.number_from_argument();
            if width.is_none() {
                self.printer.put("%!(BADWIDTH)")?;
            }
            let flags = &mut self.printer.flags;
            flags.width = width.and_then(|width| usize::try_from(width.unsigned_abs()).ok());
            if width.is_some_and(|width| width < 0) {
                flags.minus = true;
                flags.zero = false;
            }
            return Ok(false);
        }
        self.printer.flags.width = self.number();
        if after_index && self.printer.flags.width.is_some() {
            self.good = false;
        }
        Ok(after_index)
    }

    fn precision(&mut self, mut after_index: bool) -> Result<bool, Fault> {
        if self.peek() != Some(b'.') || self.at + 1 >= self.format.len() {
            return Ok(after_index);
        }
        self.at += 1;
        if after_index {
            self.good = false;
        }
        after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            let precision = self.number_from_argument().and_then(|number| usize::try_from(number).ok());
            if precision.is_none() {
                self.printer.put("%!(BADPREC)")?;
            }
            self.printer.flags.precision = precision;
            return Ok(false);
        }
        self.printer.flags.precision = Some(self.number().unwrap_or_default());
        Ok(after_index)
    }

    /// Decimal digits. A number that is too large swallows the rest of the format, as in fmt.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let before = number.unwrap_or_default();
            if before > NUMBER_MAX {
                self.at = self.format.len();
                return None;
            }
            number = Some(before * 10 + usize::from(digit - b'0'));
            self.at += 1;
        }
        number
    }

    fn number_from_argument(&mut self) -> Option<i64> {
        let number = match self.arguments.get(self.argument)?.number() {
            Some(Number::Signed(number)) => Some(number),
            Some(Number::Unsigned(number)) => i64::try_from(number).ok(),
            _ => None,
        };
        self.argument += 1;
        number.filter(|number| number.unsigned_abs() <= NUMBER_MAX as u64)
    }

    /// `[n]`, the number of the next argument; whether there was one.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = self.format.get(self.at + 1..).unwrap_or_default();
        let Some(inside) = rest.split_once(']').map(|(inside, _)| inside) else {
            self.good = false;
            self.at += 1;
            return false;
        };
        self.at += inside.len() + 2;
        let number = Some(inside)
            .filter(|text| {
                !text.is_empty() && text.len() < 8 && text.bytes().all(|byte| byte.is_ascii_digit())
            })
            .and_then(|text| text.parse::<usize>().ok());
        match number.and_then(|number| number.checked_sub(1)).filter(|index| *index < self.arguments.len()) {
            Some(index) => {
                self.argument = index;
                true
            }
            None => {
                self.good = false;
                number.is_some()
            }
        }
    }

    fn verb(&mut self, verb: char) -> Result<(), Fault> {
        if verb == '%' {
            return self.printer.put("%");
        }
        if !self.good {
            return self.printer.put(&format!("%!{verb}(BADINDEX)"));
        }
        let Some(argument) = self.arguments.get(self.argument) else {
            return self.printer.put(&format!("%!{verb}(MISSING)"));
        };
        self.argument += 1;
        if matches!(verb, 'v' | 'w') {
            let flags = &mut self.printer.flags;
            flags.go_syntax = std::mem::take(&mut flags.sharp);
            flags.plus = false;
        }
        self.printer.argument(argument, verb)
    }

    /// Arguments that no verb asked for.
    fn extra(&mut self) -> Result<(), Fault> {
        let extra = self.arguments.get(self.argument..).unwrap_or_default();
        if self.reordered || extra.is_empty() {
            return Ok(());
        }
        self.printer.flags = Flags::default();
        self.printer.put("%!(EXTRA ")?;
        for (index, argument) in extra.iter().enumerate() {
            if index > 0 {
                self.printer.put(", ")?;
            }
            if !argument.is_nothing() {
                self.printer.put(&format!("{}=", argument.type_name()))?;
            }
            self.printer.argument(argument, 'v')?;
        }
        self.printer.put(")")
    }
}
