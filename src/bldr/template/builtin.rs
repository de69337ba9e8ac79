//! The functions of Go's text/template itself (`funcs.go`).

use super::eval::truth;
use super::functions::Param::{Any, Text, Value};
use super::functions::{Args, Function, fixed, variadic};
use super::limits::Fault;
use super::print;
use super::value::{Datum, Memory, Number};

pub(super) const FUNCTIONS: &[Function] = &[
    // What they do is `Evaluator::short_circuit`'s.
    variadic("and", &[Value], Value, |_, _| Ok(Datum::Missing)),
    variadic("or", &[Value], Value, |_, _| Ok(Datum::Missing)),
    fixed("not", &[Value], |memory, args| Ok(Datum::Bool(!truth(memory, args.any(0))))),
    variadic("eq", &[Value], Value, |memory, args| equal_to_any(memory, args).map(Datum::Bool)),
    fixed("ne", &[Value, Value], |_, args| Ok(Datum::Bool(!equal(args.any(0), args.any(1))?))),
    fixed("lt", &[Value, Value], |_, args| Ok(Datum::Bool(less(args.any(0), args.any(1))?))),
    fixed("le", &[Value, Value], |_, args| Ok(Datum::Bool(less_or_equal(args)?))),
    fixed("gt", &[Value, Value], |_, args| Ok(Datum::Bool(!less_or_equal(args)?))),
    fixed("ge", &[Value, Value], |_, args| Ok(Datum::Bool(!less(args.any(0), args.any(1))?))),
    fixed("len", &[Value], |memory, args| length(memory, args.any(0))),
    variadic("index", &[Value], Value, index),
    variadic("call", &[Value], Value, |_, _| Err(Fault::new("no value is a function here"))),
    variadic("print", &[], Any, |memory, args| {
        let text = print::print(memory, args.0)?;
        memory.text(text)
    }),
    variadic("println", &[], Any, |memory, args| {
        let text = print::println(memory, args.0)?;
        memory.text(text)
    }),
    variadic("printf", &[Text], Any, |memory, args| {
        let text = print::printf(memory, args.text(0), args.from(1))?;
        memory.text(text)
    }),
    variadic("html", &[], Any, |memory, args| escaped(memory, args, html)),
    variadic("js", &[], Any, |memory, args| escaped(memory, args, js)),
    variadic("urlquery", &[], Any, |memory, args| escaped(memory, args, urlquery)),
];

/// What can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Bool,
    Int,
    Uint,
    Float,
    Text,
}

fn kind(datum: &Datum) -> Kind {
    match (datum, datum.number()) {
        (Datum::Bool(_), _) => Kind::Bool,
        (Datum::Text(_), _) => Kind::Text,
        (_, Some(Number::Signed(_))) => Kind::Int,
        (_, Some(Number::Unsigned(_))) => Kind::Uint,
        (_, Some(Number::Float(_))) => Kind::Float,
        _ => Kind::None,
    }
}

fn incompatible(left: &Datum, right: &Datum) -> Fault {
    let (left, right) = (left.type_name(), right.type_name());
    Fault::new(format!("a {left} and a {right} cannot be compared"))
}

fn equal_to_any(memory: &mut Memory, args: Args<'_>) -> Result<bool, Fault> {
    if args.len() < 2 {
        return Err(Fault::new("there is nothing to compare with"));
    }
    memory.budget.steps(args.len())?;
    for other in args.from(1) {
        if equal(args.any(0), other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(left: &Datum, right: &Datum) -> Result<bool, Fault> {
    match (left, right) {
        (Datum::Bool(left), Datum::Bool(right)) => Ok(left == right),
        (Datum::Text(left), Datum::Text(right)) => Ok(left == right),
        (left, right) if left.is_nothing() || right.is_nothing() => {
            // A list or a mapping is nothing if it is Go's nil.
            let nothing = |datum: &Datum| match datum {
                Datum::List(list) => list.nil,
                other => other.is_nothing(),
            };
            // Of different kinds, neither a nil.
            Ok(nothing(left) && nothing(right))
        }
        (left, right) => match (left.number(), right.number()) {
            (Some(Number::Float(left)), Some(Number::Float(right))) => Ok(left == right),
            (Some(Number::Float(_)), Some(_)) | (Some(_), Some(Number::Float(_))) => {
                Err(incompatible(left, right))
            }
            (Some(left), Some(right)) => Ok(whole(left) == whole(right)),
            (None, None) if kind(left) == kind(right) => equal_versions(left, right),
            _ => Err(incompatible(left, right)),
        },
    }
}

/// Pointers are equal where they point to the same thing; nothing else of these can be compared.
fn equal_versions(left: &Datum, right: &Datum) -> Result<bool, Fault> {
    match (left, right) {
        (Datum::Version(left), Datum::Version(right)) => Ok(std::rc::Rc::ptr_eq(left, right)),
        (Datum::List(list), Datum::List(other)) if list.nil || other.nil => Ok(list.nil && other.nil),
        _ => Err(incompatible(left, right)),
    }
}

fn whole(number: Number) -> Option<i128> {
    match number {
        Number::Signed(value) => Some(i128::from(value)),
        Number::Unsigned(value) => Some(i128::from(value)),
        Number::Float(_) => None,
    }
}

fn less(left: &Datum, right: &Datum) -> Result<bool, Fault> {
    match (kind(left), kind(right)) {
        (Kind::None | Kind::Bool, _) | (_, Kind::None | Kind::Bool) => Err(incompatible(left, right)),
        (Kind::Text, Kind::Text) => match (left, right) {
            (Datum::Text(left), Datum::Text(right)) => Ok(left < right),
            _ => Err(incompatible(left, right)),
        },
        (Kind::Text, _) | (_, Kind::Text) => Err(incompatible(left, right)),
        (left_kind, right_kind) => match (left.number(), right.number()) {
            (Some(Number::Float(left)), Some(Number::Float(right))) => Ok(left < right),
            (Some(one), Some(other)) if left_kind != Kind::Float && right_kind != Kind::Float => {
                Ok(whole(one) < whole(other))
            }
            _ => Err(incompatible(left, right)),
        },
    }
}

fn less_or_equal(args: Args<'_>) -> Result<bool, Fault> {
    let (left, right) = (args.any(0), args.any(1));
    Ok(less(left, right)? || equal(left, right)?)
}

fn length(memory: &Memory, datum: &Datum) -> Result<Datum, Fault> {
    let length = match datum {
        Datum::Text(text) => text.len(),
        Datum::List(list) => list.items.len(),
        Datum::Map(id, _) => memory.entries(*id).len(),
        Datum::Missing | Datum::Nil => return Err(Fault::new("there is no value")),
        other => return Err(Fault::new(format!("a {} has no length", other.type_name()))),
    };
    Ok(Datum::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut value = args.any(0).clone();
    if value.is_nothing() {
        return Err(Fault::new("there is no value"));
    }
    for index in args.from(1) {
        value = match (&value, index) {
            (Datum::Map(id, elem), Datum::Text(key)) => {
                let found = memory.entries(*id).get(key).cloned();
                found.unwrap_or_else(|| match elem {
                    super::value::Elem::Text => Datum::text(""),
                    _ => Datum::Nil,
                })
            }
            (Datum::List(list), index) => place(index, list.items.len())
                .and_then(|at| list.items.get(at).cloned().ok_or_else(out_of_range))?,
            (Datum::Text(text), index) => place(index, text.len())
                .and_then(|at| text.as_bytes().get(at).copied().ok_or_else(out_of_range))
                .map(Datum::Byte)?,
            (value, _) => return Err(Fault::new(format!("a {} has no elements", value.type_name()))),
        };
    }
    Ok(value)
}

fn out_of_range() -> Fault {
    Fault::new("index out of range")
}

fn place(index: &Datum, length: usize) -> Result<usize, Fault> {
    match index.number().and_then(whole) {
        Some(at) => usize::try_from(at).ok().filter(|at| *at <= length).ok_or_else(out_of_range),
        None => Err(Fault::new(format!("a {} is no index", index.type_name()))),
    }
}

// --- escaping ------------------------------------------------------------------------------------

/// Most of what one byte becomes: `%F0`, `\u003C`, `&#34;`.
const ESCAPED_MAX: usize = 6;

fn escaped(memory: &mut Memory, args: Args<'_>, escape: fn(&str) -> String) -> Result<Datum, Fault> {
    // Nothing prints as it does by itself.
    let shown: Vec<Datum> = args
        .0
        .iter()
        .map(
            |argument| {
                if argument.is_nothing() { Datum::text(super::eval::NO_VALUE) } else { argument.clone() }
            },
        )
        .collect();
    let text = print::print(memory, &shown)?;
    memory.budget.allows(text.len().saturating_mul(ESCAPED_MAX))?;
    memory.text(escape(&text))
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push(char::REPLACEMENT_CHARACTER),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' || !c.is_ascii() && !print::is_print(c) => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// `url.QueryEscape`
fn urlquery(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
