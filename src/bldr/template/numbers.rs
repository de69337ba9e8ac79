//! sprig's arithmetic (`numeric.go`), with the conversions of github.com/spf13/cast v1.7.0.

use super::functions::Param::{Any, Float, Int, Text};
use super::functions::{Args, Function, fixed, variadic};
use super::limits::Fault;
use super::number::{float_to_int, parse_float, parse_int};
use super::value::{Datum, Elem, Memory, Number};

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("int", &[Any], |_, args| Ok(Datum::Int(to_int(args.any(0))))),
    fixed("int64", &[Any], |_, args| Ok(Datum::Int64(to_int(args.any(0))))),
    fixed("float64", &[Any], |_, args| Ok(Datum::Float(to_float(args.any(0))))),
    fixed("atoi", &[Text], |_, args| Ok(Datum::Int(atoi(args.text(0))))),
    variadic("add", &[], Any, |_, args| Ok(Datum::Int64(fold(args, 0, 0, i64::wrapping_add)))),
    fixed("add1", &[Any], |_, args| Ok(Datum::Int64(to_int(args.any(0)).wrapping_add(1)))),
    fixed("sub", &[Any, Any], |_, args| {
        Ok(Datum::Int64(to_int(args.any(0)).wrapping_sub(to_int(args.any(1)))))
    }),
    variadic("mul", &[Any], Any, |_, args| {
        Ok(Datum::Int64(fold(args, 1, to_int(args.any(0)), i64::wrapping_mul)))
    }),
    fixed("div", &[Any, Any], |_, args| divide(args, i64::wrapping_div)),
    fixed("mod", &[Any, Any], |_, args| divide(args, i64::wrapping_rem)),
    variadic("max", &[Any], Any, |_, args| Ok(Datum::Int64(fold(args, 1, to_int(args.any(0)), i64::max)))),
    variadic("biggest", &[Any], Any, |_, args| {
        Ok(Datum::Int64(fold(args, 1, to_int(args.any(0)), i64::max)))
    }),
    variadic("min", &[Any], Any, |_, args| Ok(Datum::Int64(fold(args, 1, to_int(args.any(0)), i64::min)))),
    fixed("ceil", &[Any], |_, args| Ok(Datum::Float(to_float(args.any(0)).ceil()))),
    fixed("floor", &[Any], |_, args| Ok(Datum::Float(to_float(args.any(0)).floor()))),
    variadic("round", &[Any, Int], Float, |_, args| Ok(Datum::Float(round(args)))),
    fixed("until", &[Int], |memory, args| {
        let count = args.int(0);
        numbers(memory, 0, count, if count < 0 { -1 } else { 1 })
    }),
    fixed("untilStep", &[Int, Int, Int], |memory, args| {
        numbers(memory, args.int(0), args.int(1), args.int(2))
    }),
    variadic("seq", &[], Int, seq),
];

/// A whole number of anything; 0 of what is none.
pub(super) fn to_int(datum: &Datum) -> i64 {
    match datum {
        Datum::Bool(value) => i64::from(*value),
        Datum::Text(text) => parse_int(without_zero_decimal(text)).unwrap_or_default(),
        other => match other.number() {
            Some(Number::Signed(value)) => value,
            Some(Number::Unsigned(value)) => value.cast_signed(),
            Some(Number::Float(value)) => float_to_int(value),
            None => 0,
        },
    }
}

/// `1.00` is `1`.
fn without_zero_decimal(text: &str) -> &str {
    match text.trim_end_matches('0').strip_suffix('.') {
        Some(whole) if text.ends_with('0') => whole,
        _ => text,
    }
}

/// A number of anything; 0 of what is none.
fn to_float(datum: &Datum) -> f64 {
    match datum {
        Datum::Bool(value) => f64::from(u8::from(*value)),
        Datum::Text(text) => parse_float(text).unwrap_or_default(),
        #[expect(clippy::cast_precision_loss, reason = "Go rounds, too")]
        other => match other.number() {
            Some(Number::Signed(value)) => value as f64,
            Some(Number::Unsigned(value)) => value as f64,
            Some(Number::Float(value)) => value,
            None => 0.0,
        },
    }
}

/// `strconv.Atoi` without its error: 0 of no number, the nearest of one that is too large.
fn atoi(text: &str) -> i64 {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

fn fold(args: Args<'_>, from: usize, start: i64, with: fn(i64, i64) -> i64) -> i64 {
    args.from(from).iter().map(to_int).fold(start, with)
}

fn divide(args: Args<'_>, with: fn(i64, i64) -> i64) -> Result<Datum, Fault> {
    match to_int(args.any(1)) {
        0 => Err(Fault::new("division by zero")),
        divisor => Ok(Datum::Int64(with(to_int(args.any(0)), divisor))),
    }
}

fn round(args: Args<'_>) -> f64 {
    let up_from = args.float(2).unwrap_or(0.5);
    let places = i32::try_from(args.int(1)).unwrap_or(if args.int(1) < 0 { i32::MIN } else { i32::MAX });
    let power = 10f64.powi(places);
    let scaled = power * to_float(args.any(0));
    let rounded = if scaled.fract() >= up_from { scaled.ceil() } else { scaled.floor() };
    rounded / power
}

/// How many numbers there are from `start` up or down to before `stop`.
fn count(start: i64, stop: i64, step: i64) -> usize {
    let (start, stop, step) = (i128::from(start), i128::from(stop), i128::from(step));
    let way = if stop < start && step < 0 {
        start - stop
    } else if stop >= start && step > 0 {
        stop - start
    } else {
        return 0;
    };
    let step = step.abs();
    usize::try_from((way + step - 1) / step).unwrap_or(usize::MAX)
}

fn numbers(memory: &mut Memory, start: i64, stop: i64, step: i64) -> Result<Datum, Fault> {
    let count = count(start, stop, step);
    memory.budget.steps(count)?;
    let items = std::iter::successors(Some(start), |number| Some(number.wrapping_add(step)));
    memory.list(Elem::Int, items.take(count).map(Datum::Int).collect())
}

fn seq(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let (start, step, end) = match args.len() {
        1 => (1, None, args.int(0)),
        2 => (args.int(0), None, args.int(1)),
        3 => (args.int(0), Some(args.int(1)), args.int(2)),
        _ => return memory.text(""),
    };
    let direction = if end < start { -1 } else { 1 };
    let step = step.unwrap_or(direction);
    if direction < 0 && step > 0 {
        return memory.text("");
    }
    let count = count(start, end.wrapping_add(direction), step);
    memory.budget.steps(count)?;
    let numbers = std::iter::successors(Some(start), |number| Some(number.wrapping_add(step)));
    let texts: Vec<String> = numbers.take(count).map(|number| number.to_string()).collect();
    memory.text(texts.join(" "))
}
