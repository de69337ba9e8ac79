//! JSON as Go's encoding/json writes and reads it, for sprig's functions.

use std::collections::BTreeMap;

use super::functions::Param::{Any, Text};
use super::functions::{Args, Function, fixed};
use super::limits::{DEPTH_MAX, Fault};
use super::print::format_float;
use super::value::{Datum, Elem, Memory, Number};

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("fromJson", &[Text], |memory, args| match from_json(memory, args) {
        Err(Fault::Plain(_)) => Ok(Datum::Nil),
        other => other,
    }),
    fixed("mustFromJson", &[Text], from_json),
    fixed("toJson", &[Any], |memory, args| lenient(memory, args, Style::ESCAPED)),
    fixed("mustToJson", &[Any], |memory, args| to_json(memory, args, Style::ESCAPED)),
    fixed("toPrettyJson", &[Any], |memory, args| lenient(memory, args, Style::PRETTY)),
    fixed("mustToPrettyJson", &[Any], |memory, args| to_json(memory, args, Style::PRETTY)),
    fixed("toRawJson", &[Any], |memory, args| to_json(memory, args, Style::RAW)),
    fixed("mustToRawJson", &[Any], |memory, args| to_json(memory, args, Style::RAW)),
];

/// How JSON is written.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// `<`, `>` and `&` are escaped.
    html: bool,
    /// On lines of its own, indented by two.
    pretty: bool,
}

impl Style {
    const ESCAPED: Self = Self { html: true, pretty: false };
    const PRETTY: Self = Self { html: true, pretty: true };
    const RAW: Self = Self { html: false, pretty: false };
}

/// What cannot be written is written as nothing.
fn lenient(memory: &mut Memory, args: Args<'_>, style: Style) -> Result<Datum, Fault> {
    match to_json(memory, args, style) {
        Err(Fault::Plain(_)) => memory.text(""),
        other => other,
    }
}

fn to_json(memory: &mut Memory, args: Args<'_>, style: Style) -> Result<Datum, Fault> {
    let mut writer = Writer { memory, out: String::new(), style };
    writer.value(args.any(0), 0)?;
    let out = writer.out;
    memory.text(out)
}

struct Writer<'m> {
    memory: &'m Memory,
    out: String,
    style: Style,
}

impl Writer<'_> {
    fn put(&mut self, text: &str) -> Result<(), Fault> {
        self.memory.budget.allows(self.out.len().saturating_add(text.len()))?;
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, datum: &Datum, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::too_deep());
        }
        match datum {
            Datum::Missing | Datum::Nil => self.put("null"),
            Datum::Bool(value) => self.put(if *value { "true" } else { "false" }),
            Datum::Text(text) => self.text(text),
            Datum::Version(version) => self.text(&version.to_string()),
            Datum::List(list) if list.nil => self.put("null"),
            Datum::List(list) => {
                self.put("[")?;
                for (index, item) in list.items.iter().enumerate() {
                    self.next(index, depth + 1)?;
                    self.value(item, depth + 1)?;
                }
                self.close("]", list.items.is_empty(), depth)
            }
            Datum::Map(map, _) if self.memory.is_nil_map(*map) => self.put("null"),
            Datum::Map(map, _) => {
                self.put("{")?;
                let entries = self.memory.entries(*map);
                for (index, (key, value)) in entries.iter().enumerate() {
                    self.next(index, depth + 1)?;
                    self.text(key)?;
                    self.put(if self.style.pretty { ": " } else { ":" })?;
                    self.value(value, depth + 1)?;
                }
                self.close("}", entries.is_empty(), depth)
            }
            other => match other.number() {
                Some(Number::Signed(value)) => self.put(&value.to_string()),
                Some(Number::Unsigned(value)) => self.put(&value.to_string()),
                Some(Number::Float(value)) if value.is_finite() => self.put(&number(value)),
                _ => Err(Fault::new("there is no such number in JSON")),
            },
        }
    }

    /// Before an item.
    fn next(&mut self, index: usize, depth: usize) -> Result<(), Fault> {
        if index > 0 {
            self.put(",")?;
        }
        if self.style.pretty { self.put(&format!("\n{}", "  ".repeat(depth))) } else { Ok(()) }
    }

    fn close(&mut self, end: &str, empty: bool, depth: usize) -> Result<(), Fault> {
        if self.style.pretty && !empty {
            self.put(&format!("\n{}", "  ".repeat(depth)))?;
        }
        self.put(end)
    }

    fn text(&mut self, text: &str) -> Result<(), Fault> {
        self.put("\"")?;
        for c in text.chars() {
            match c {
                '"' => self.put("\\\"")?,
                '\\' => self.put("\\\\")?,
                '\n' => self.put("\\n")?,
                '\r' => self.put("\\r")?,
                '\t' => self.put("\\t")?,
                '\u{8}' => self.put("\\b")?,
                '\u{c}' => self.put("\\f")?,
                '<' | '>' | '&' if !self.style.html => self.put(c.encode_utf8(&mut [0; 4]))?,
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    self.put(&format!("\\u{:04x}", u32::from(c)))?;
                }
                c => self.put(c.encode_utf8(&mut [0; 4]))?,
            }
        }
        self.put("\"")
    }
}

/// A number as ECMAScript writes it.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // `e-09` is `e-9`.
        return format_float(value, 'e', None).replace("e-0", "e-");
    }
    format_float(value, 'f', None)
}

fn from_json(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let text = args.text(0);
    // Its values take more room than their text: at the least one step for each two bytes.
    memory.budget.steps(text.len() / 2)?;
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| Fault::new(format!("no JSON: {error}")))?;
    take(memory, value, 0)
}

fn take(memory: &mut Memory, value: serde_json::Value, depth: usize) -> Result<Datum, Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::too_deep());
    }
    match value {
        serde_json::Value::Null => Ok(Datum::Nil),
        serde_json::Value::Bool(value) => Ok(Datum::Bool(value)),
        serde_json::Value::Number(number) => Ok(Datum::Float(number.as_f64().unwrap_or_default())),
        serde_json::Value::String(text) => memory.text(text),
        serde_json::Value::Array(items) => {
            let items =
                items.into_iter().map(|item| take(memory, item, depth + 1)).collect::<Result<_, _>>()?;
            memory.list(Elem::Any, items)
        }
        serde_json::Value::Object(pairs) => {
            let mut entries = BTreeMap::new();
            for (key, value) in pairs {
                memory.budget.bytes(key.len())?;
                entries.insert(key.into(), take(memory, value, depth + 1)?);
            }
            memory.map(Elem::Any, entries)
        }
    }
}
