//! Values: those that a template is rendered with, and those that it makes itself, with Go's types.
//!
//! Mappings are shared and can be changed (`set`), so they live in an arena that is given up as a whole; a
//! mapping that holds itself costs nothing. Lists never change and know their depth.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::limits::{Budget, DEPTH_MAX, Fault};
use super::regex::Expression;
use super::semver::Version;
use crate::base::yaml::Any;

/// A value that templates are rendered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, Go's `int`.
    Int(i64),
    /// A larger one, Go's `uint64`.
    Unsigned(u64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list, Go's `[]interface{}`.
    List(Vec<Value>),
    /// A mapping, Go's `map[string]interface{}`.
    Map(BTreeMap<String, Value>),
    /// A mapping of texts, Go's `map[string]string`: the variables of packages are one.
    Texts(BTreeMap<String, String>),
}

impl From<&Any> for Value {
    fn from(any: &Any) -> Self {
        match any {
            Any::Null => Self::Null,
            Any::Bool(value) => Self::Bool(*value),
            Any::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => Self::Int(value),
                (_, Ok(value)) => Self::Unsigned(value),
                // YAML's numbers have 64 bits.
                _ => Self::Null,
            },
            Any::Float(value) => Self::Float(*value),
            Any::Text(text) => Self::Text(text.clone()),
            Any::List(items) => Self::List(items.iter().map(Self::from).collect()),
            Any::Map(pairs) => {
                Self::Map(pairs.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect())
            }
        }
    }
}

/// What lists and mappings hold, by Go's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elem {
    /// `interface {}`
    Any,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `[]interface {}`
    List,
}

impl Elem {
    /// Go's name of the type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::List => "[]interface {}",
        }
    }
}

/// A value while a template is rendered.
#[derive(Debug, Clone)]
pub(super) enum Datum {
    /// Nothing at all, `reflect.Value{}`: a key that is not there; prints as `<no value>`.
    Missing,
    /// A nil interface: a key or an element with nothing in it.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `int64`
    Int64(i64),
    /// `uint8`
    Byte(u8),
    /// `uint64`
    Uint64(u64),
    /// `float64`
    Float(f64),
    /// `string`
    Text(Arc<str>),
    /// A slice.
    List(Rc<List>),
    /// A map with `string` keys.
    Map(MapId, Elem),
    /// `*semver.Version`
    Version(Rc<Version>),
}

/// A slice.
#[derive(Debug)]
pub(super) struct List {
    pub(super) elem: Elem,
    pub(super) items: Vec<Datum>,
    /// Whether it is Go's nil slice, which JSON shows.
    pub(super) nil: bool,
    depth: usize,
}

/// The place of a mapping in [`Memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapId(usize);

/// A mapping.
#[derive(Debug, Default)]
pub(super) struct MapData {
    pub(super) entries: BTreeMap<Arc<str>, Datum>,
    /// Whether it is Go's nil map, which cannot be written to.
    pub(super) nil: bool,
}

/// The numbers that a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

impl Datum {
    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// What a pipeline makes of it: a nil interface becomes nothing.
    pub(super) fn settled(self) -> Self {
        match self {
            Self::Nil => Self::Missing,
            other => other,
        }
    }

    /// What becomes of it in an `interface{}`: nothing becomes a nil interface.
    pub(super) fn boxed(self) -> Self {
        match self {
            Self::Missing => Self::Nil,
            other => other,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Missing | Self::Nil)
    }

    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Self::Int(value) | Self::Int64(value) => Some(Number::Signed(*value)),
            Self::Byte(value) => Some(Number::Unsigned(u64::from(*value))),
            Self::Uint64(value) => Some(Number::Unsigned(*value)),
            Self::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }

    /// Go's name of its type, as `%T` prints it.
    pub(super) fn type_name(&self) -> String {
        match self {
            Self::Missing | Self::Nil => "<nil>".to_owned(),
            Self::Bool(_) => "bool".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::Int64(_) => "int64".to_owned(),
            Self::Byte(_) => "uint8".to_owned(),
            Self::Uint64(_) => "uint64".to_owned(),
            Self::Float(_) => "float64".to_owned(),
            Self::Text(_) => "string".to_owned(),
            Self::List(list) => format!("[]{}", list.elem.name()),
            Self::Map(_, elem) => format!("map[string]{}", elem.name()),
            Self::Version(_) => "*semver.Version".to_owned(),
        }
    }

    /// Go's name of its kind, as `reflect.Kind` prints it.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Byte(_) => "uint8",
            Self::Uint64(_) => "uint64",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "slice",
            Self::Map(..) => "map",
            Self::Version(_) => "ptr",
        }
    }
}

/// Everything that one rendering makes, and what it may still make.
#[derive(Debug)]
pub(super) struct Memory {
    maps: Vec<MapData>,
    nothing: MapData,
    /// Regular expressions that were compiled: a range uses one again and again.
    pub(super) expressions: BTreeMap<String, Expression>,
    pub(super) budget: Budget,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            maps: Vec::new(),
            nothing: MapData::default(),
            expressions: BTreeMap::new(),
            budget: Budget::new(),
        }
    }

    /// Takes a value in.
    pub(super) fn take(&mut self, value: &Value) -> Result<Datum, Fault> {
        self.take_at(value, 0)
    }

    fn take_at(&mut self, value: &Value, depth: usize) -> Result<Datum, Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::too_deep());
        }
        Ok(match value {
            Value::Null => Datum::Nil,
            Value::Bool(value) => Datum::Bool(*value),
            Value::Int(value) => Datum::Int(*value),
            Value::Unsigned(value) => Datum::Uint64(*value),
            Value::Float(value) => Datum::Float(*value),
            Value::Text(text) => return self.text(text.as_str()),
            Value::List(items) => {
                let items =
                    items.iter().map(|item| self.take_at(item, depth + 1)).collect::<Result<_, _>>()?;
                return self.list(Elem::Any, items);
            }
            Value::Map(pairs) => {
                let mut entries = BTreeMap::new();
                for (key, value) in pairs {
                    entries.insert(key.as_str().into(), self.take_at(value, depth + 1)?);
                }
                return self.map(Elem::Any, entries);
            }
            Value::Texts(pairs) => {
                let mut entries = BTreeMap::new();
                for (key, text) in pairs {
                    entries.insert(key.as_str().into(), self.text(text.as_str())?);
                }
                return self.map(Elem::Text, entries);
            }
        })
    }

    /// A text, charged.
    pub(super) fn text(&mut self, text: impl AsRef<str> + Into<Arc<str>>) -> Result<Datum, Fault> {
        self.budget.bytes(text.as_ref().len())?;
        Ok(Datum::Text(text.into()))
    }

    /// A list, charged.
    pub(super) fn list(&mut self, elem: Elem, items: Vec<Datum>) -> Result<Datum, Fault> {
        self.budget.steps(items.len())?;
        let deepest = items.iter().map(|item| match item {
            Datum::List(list) => list.depth,
            _ => 0,
        });
        let depth = deepest.max().unwrap_or_default() + 1;
        if depth > DEPTH_MAX {
            return Err(Fault::too_deep());
        }
        Ok(Datum::List(Rc::new(List { elem, items, nil: false, depth })))
    }

    /// A list of texts, charged.
    pub(super) fn texts<T: AsRef<str>>(
        &mut self,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Datum, Fault> {
        let mut items = Vec::new();
        for text in texts {
            self.budget.steps(1)?;
            items.push(self.text(text.as_ref())?);
        }
        self.list(Elem::Text, items)
    }

    /// Go's nil slice.
    pub(super) fn nil_list(elem: Elem) -> Datum {
        Datum::List(Rc::new(List { elem, items: Vec::new(), nil: true, depth: 1 }))
    }

    /// A mapping, charged.
    pub(super) fn map(&mut self, elem: Elem, entries: BTreeMap<Arc<str>, Datum>) -> Result<Datum, Fault> {
        self.budget.steps(entries.len() + 1)?;
        self.maps.push(MapData { entries, nil: false });
        Ok(Datum::Map(MapId(self.maps.len() - 1), elem))
    }

    /// Go's nil map.
    pub(super) fn nil_map(&mut self) -> Result<Datum, Fault> {
        let map = self.map(Elem::Any, BTreeMap::new())?;
        if let Some(data) = self.maps.last_mut() {
            data.nil = true;
        }
        Ok(map)
    }

    /// A mapping's entries. All ids come from [`Memory::map`], so there always is one.
    pub(super) fn entries(&self, id: MapId) -> &BTreeMap<Arc<str>, Datum> {
        &self.maps.get(id.0).unwrap_or(&self.nothing).entries
    }

    /// Whether it is Go's nil map.
    pub(super) fn is_nil_map(&self, id: MapId) -> bool {
        self.maps.get(id.0).is_none_or(|data| data.nil)
    }

    /// The entries, to write to.
    pub(super) fn entries_mut(&mut self, id: MapId) -> Result<&mut BTreeMap<Arc<str>, Datum>, Fault> {
        self.budget.steps(1)?;
        match self.maps.get_mut(id.0) {
            Some(data) if !data.nil => Ok(&mut data.entries),
            _ => Err(Fault::new("assignment to entry in nil map")),
        }
    }
}
