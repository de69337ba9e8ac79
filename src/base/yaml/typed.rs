//! Documents whose types tell both: how they are read, and their JSON Schema.
//!
//! An `object!` lists its keys once, each with its documentation. From that list come the type, the reader, which
//! knows every other key for a mistake, and the schema by which an editor completes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Cursor, UnknownKey, YamlError};

/// A document is no YAML, or not of the type that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypedError {
    /// Its grammar, or the type of a value.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A key that nobody reads.
    #[error("line {}, column {}: key `{}` is unknown", .0.line, .0.column, .0.path)]
    Unknown(Box<UnknownKey>),
    /// A value that its reader does not take.
    #[error("line {line}, column {column}: `{path}`: {problem}")]
    Value {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The path of the value.
        path: String,
        /// What is wrong with it.
        problem: String,
        /// Advice.
        hint: Option<String>,
    },
}

impl TypedError {
    /// A value that is not taken, at its place.
    pub fn value(cursor: &Cursor<'_>, problem: impl Into<String>, hint: Option<String>) -> Self {
        Self::Value {
            line: cursor.line(),
            column: cursor.column(),
            path: cursor.path().to_owned(),
            problem: problem.into(),
            hint,
        }
    }

    /// Advice, where there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml(_) => None,
            Self::Unknown(key) => key.suggestion.as_ref().map(|name| format!("did you mean `{name}`?")),
            Self::Value { hint, .. } => hint.clone(),
        }
    }
}

/// The schemas of the objects of a document, by name.
pub type Definitions = Map<String, Value>;

/// A value that is read of YAML and tells its schema (JSON Schema, draft 2020-12).
pub trait Typed: Sized {
    /// Reads it. A value that is absent is not read; see [`Typed::absent`].
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError>;

    /// Its schema. That of an object goes to `definitions`.
    fn schema(definitions: &mut Definitions) -> Value;

    /// What a key that is absent, or null, stands for; nothing if it must be there.
    fn absent() -> Option<Self> {
        None
    }

    /// Reads the value of a key that may be absent.
    fn read_key(cursor: &Cursor<'_>, key: &str) -> Result<Self, TypedError> {
        let value = cursor.key(key)?;
        match Self::absent() {
            Some(absent) if value.is_null() => Ok(absent),
            None if value.is_null() => Err(value.expected("a value: the key is required").into()),
            _ => Self::read(&value),
        }
    }
}

impl Typed for String {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        Ok(cursor.string()?)
    }

    fn schema(_: &mut Definitions) -> Value {
        // As the reader has it: a number or a boolean is taken by its text.
        json!({ "type": ["string", "number", "boolean"] })
    }
}

impl Typed for PathBuf {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        let text = cursor.string()?;
        if text.is_empty() {
            return Err(cursor.found("empty", "a path").into());
        }
        Ok(text.into())
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

impl Typed for bool {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        Ok(cursor.boolean()?)
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "boolean" })
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

impl<T: Typed> Typed for Option<T> {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        T::read(cursor).map(Some)
    }

    fn schema(definitions: &mut Definitions) -> Value {
        T::schema(definitions)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Typed> Typed for Box<T> {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        T::read(cursor).map(Self::new)
    }

    fn schema(definitions: &mut Definitions) -> Value {
        T::schema(definitions)
    }
}

impl<T: Typed> Typed for Vec<T> {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        cursor.items()?.iter().map(T::read).collect()
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "type": "array", "items": T::schema(definitions) })
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

impl<T: Typed> Typed for BTreeMap<String, T> {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        cursor
            .entries()?
            .into_iter()
            .map(|(key, value)| {
                let value = match T::absent() {
                    Some(absent) if value.is_null() => absent,
                    _ => T::read(&value)?,
                };
                Ok((key.to_owned(), value))
            })
            .collect()
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "type": "object", "additionalProperties": T::schema(definitions) })
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// One key of an object: its name, documentation, schema, and whether it must be there.
pub type Key = (&'static str, String, Value, bool);

/// Refuses the first key that is none of `known`.
pub fn only(cursor: &Cursor<'_>, known: &[&str]) -> Result<(), TypedError> {
    match cursor.unknown_keys(known)?.into_iter().next() {
        Some(key) => Err(TypedError::Unknown(Box::new(key))),
        None => Ok(()),
    }
}

/// The schema of an object with these keys, entered under `name`; gives the reference to it.
pub fn define(
    name: &'static str,
    about: &str,
    keys: impl FnOnce(&mut Definitions) -> Vec<Key>,
    definitions: &mut Definitions,
) -> Value {
    let reference = json!({ "$ref": format!("#/$defs/{name}") });
    if definitions.contains_key(name) {
        return reference;
    }
    definitions.insert(name.to_owned(), Value::Null); // so that one that holds itself comes to an end
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (key, doc, mut schema, needed) in keys(definitions) {
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), doc.into());
        }
        properties.insert(key.to_owned(), schema);
        if needed {
            required.push(key);
        }
    }
    let schema = json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    definitions.insert(name.to_owned(), schema);
    reference
}

/// The schema of a whole document.
pub fn document<T: Typed>(id: &str, title: &str) -> Value {
    let mut definitions = Definitions::new();
    let Value::Object(mut schema) = T::schema(&mut definitions) else { return Value::Null };
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("$id".to_owned(), id.into());
    schema.insert("title".to_owned(), title.into());
    schema.insert("$defs".to_owned(), definitions.into());
    Value::Object(schema)
}

/// The documentation of a key or object as one text: its lines, joined.
pub fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// An object of a document: a struct whose fields have the key and the type that they are read by.
///
/// ```text
/// object! {
///     /// Where something is.
///     pub struct Place {
///         /// Its name.
///         "name" => pub name: String,
///     }
/// }
/// ```
macro_rules! object {
    ($(#[doc = $about:literal])+ $vis:vis struct $name:ident {
        $($(#[doc = $doc:literal])+ $key:literal => $field_vis:vis $field:ident: $type:ty,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $($(#[doc = $doc])+ $field_vis $field: $type,)+
        }

        impl $crate::base::yaml::typed::Typed for $name {
            fn read(
                cursor: &$crate::base::yaml::Cursor<'_>,
            ) -> Result<Self, $crate::base::yaml::typed::TypedError> {
                $crate::base::yaml::typed::only(cursor, &[$($key),+])?;
                Ok(Self { $($field: $crate::base::yaml::typed::Typed::read_key(cursor, $key)?,)+ })
            }

            fn schema(definitions: &mut $crate::base::yaml::typed::Definitions) -> serde_json::Value {
                use $crate::base::yaml::typed::{Typed, define, joined};
                let about = joined(&[$($about),+]);
                let keys = |definitions: &mut _| vec![$((
                    $key,
                    joined(&[$($doc),+]),
                    <$type as Typed>::schema(definitions),
                    <$type as Typed>::absent().is_none(),
                )),+];
                define(stringify!($name), &about, keys, definitions)
            }
        }
    };
}
pub(crate) use object;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::yaml::parse;

    object! {
        /// Something
        /// with parts.
        struct Whole {
            /// What it is called.
            "name" => name: String,
            /// Its parts.
            "partList" => parts: Vec<Part>,
            /// Whether it is.
            "is" => is: bool,
        }
    }

    object! {
        /// A part.
        struct Part {
            /// Where.
            "path" => path: Option<PathBuf>,
            /// Words by name.
            "words" => words: BTreeMap<String, String>,
        }
    }

    fn read(text: &str) -> Result<Whole, TypedError> {
        let node = parse(text.as_bytes())?;
        Whole::read(&Cursor::root(&node))
    }

    #[test]
    fn values_are_read_by_their_types_and_what_may_be_absent_is() {
        let whole = read("name: 1.10\npartList:\n- path: a/b\n  words: {A: yes, B: }\n- {}\n").unwrap();
        assert_eq!((whole.name.as_str(), whole.is), ("1.10", false));
        assert_eq!(whole.parts[0].path.as_deref(), Some("a/b".as_ref()));
        assert_eq!(whole.parts[0].words.get("A").unwrap(), "yes");
        assert_eq!(whole.parts[1], Part { path: None, words: BTreeMap::new() });
    }

    #[test]
    fn mistakes_are_told_with_line_column_path_and_suggestion() {
        for (text, message, hint) in [
            (
                "name: x\npartlist: []\n",
                "line 2, column 1: key `partlist` is unknown",
                Some("did you mean `partList`?"),
            ),
            ("is: yes\n", "line 1, column 1: `name` is missing, expected a value: the key is required", None),
            ("name: x\nis: 3\n", "line 2, column 5: `is` is `3`, expected `true` or `false`", None),
            (
                "name: x\npartList:\n- path: ''\n",
                "line 3, column 9: `partList[0].path` is empty, expected a path",
                None,
            ),
            ("name: x\nname: y\n", "line 2, column 1: key `name` stands twice, first in line 1", None),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (message, hint), "{text}");
        }
    }

    #[test]
    fn the_schema_has_every_key_with_its_words() {
        let schema = document::<Whole>("https://example.com/x", "X");
        let whole = &schema["$defs"]["Whole"];
        assert_eq!(schema["$ref"], "#/$defs/Whole");
        assert_eq!(whole["description"], "Something with parts.");
        assert_eq!(whole["required"], json!(["name"]));
        assert_eq!(whole["properties"]["partList"]["items"]["$ref"], "#/$defs/Part");
        assert_eq!(schema["$defs"]["Part"]["properties"]["path"]["description"], "Where.");
        assert_eq!(whole["additionalProperties"], false);
    }
}
