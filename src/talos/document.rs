//! Reading documents strictly: a key that nobody reads is an error, where Talos' own tools pass over it.

use crate::base::yaml::{Any, Cursor, YamlError};

/// A document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is no YAML, or a value is not what belongs there.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Nobody reads this key.
    #[error("line {line}: key `{path}` is unknown")]
    UnknownKey {
        /// Line, from 1.
        line: usize,
        /// Its full path.
        path: String,
        /// The key that was meant, perhaps.
        nearest: Option<String>,
    },
}

impl DocumentError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { nearest, .. } => {
                nearest.as_ref().map(|nearest| format!("did you mean `{nearest}`?"))
            }
            Self::Yaml(_) => None,
        }
    }
}

/// Checks that a mapping, if it is there, has these keys only.
pub(super) fn only(cursor: &Cursor<'_>, known: &[&str]) -> Result<(), DocumentError> {
    match cursor.unknown_keys(known)?.into_iter().next() {
        Some(key) => {
            Err(DocumentError::UnknownKey { line: key.line, path: key.path, nearest: key.suggestion })
        }
        None => Ok(()),
    }
}

/// What lies at a key, a mapping with these keys only or nothing.
pub(super) fn part<'a>(cursor: &Cursor<'a>, key: &str, known: &[&str]) -> Result<Cursor<'a>, DocumentError> {
    let part = cursor.key(key)?;
    only(&part, known)?;
    Ok(part)
}

/// The text at a key; an empty one is none.
pub(super) fn text(cursor: &Cursor<'_>, key: &str) -> Result<Option<String>, YamlError> {
    Ok(Some(cursor.key(key)?.string()?).filter(|text| !text.is_empty()))
}

/// A value out of a list of words; an empty text is none.
pub(super) fn word<T>(
    cursor: &Cursor<'_>,
    key: &str,
    known: impl Iterator<Item = (&'static str, T)>,
) -> Result<Option<T>, YamlError> {
    let value = cursor.key(key)?;
    let text = value.string()?;
    let mut words = Vec::new();
    for (word, meaning) in known {
        if word == text {
            return Ok(Some(meaning));
        }
        words.push(format!("`{word}`"));
    }
    if text.is_empty() { Ok(None) } else { Err(value.expected(format!("one of {}", words.join(", ")))) }
}

/// A mapping of values of any kind.
pub(super) fn options(cursor: &Cursor<'_>) -> Result<Vec<(String, Any)>, YamlError> {
    match Any::of(cursor)? {
        Any::Map(pairs) => Ok(pairs),
        Any::Null => Ok(Vec::new()),
        _ => Err(cursor.expected("a mapping")),
    }
}
