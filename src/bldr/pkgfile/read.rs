//! Reading mappings strictly.

use super::error::Problem;
use crate::archive::tree;
use crate::base::yaml::Cursor;

/// Checks that a mapping, if it is there, has these keys only.
pub(super) fn only(cursor: &Cursor<'_>, known: &[&str]) -> Result<(), Problem> {
    match cursor.unknown_keys(known)?.into_iter().next() {
        Some(key) => Err(Problem::UnknownKey {
            line: key.line,
            column: key.column,
            path: key.path,
            nearest: key.suggestion,
        }),
        None => Ok(()),
    }
}

/// The text at a key; an empty one is none.
pub(super) fn text(cursor: &Cursor<'_>, key: &str) -> Result<Option<String>, Problem> {
    Ok(Some(cursor.key(key)?.string()?).filter(|text| !text.is_empty()))
}

/// The text at a key that must be there.
pub(super) fn required(cursor: &Cursor<'_>, key: &str) -> Result<String, Problem> {
    text(cursor, key)?.ok_or_else(|| missing(cursor, key, ""))
}

/// The error that a key is missing.
pub(super) fn missing(cursor: &Cursor<'_>, key: &str, why: &'static str) -> Problem {
    let path = match cursor.path() {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    Problem::Missing { line: cursor.line(), column: cursor.column(), path, why }
}

/// A value out of a list of words, if the key is there.
pub(super) fn word<T: Copy>(
    cursor: &Cursor<'_>,
    key: &str,
    words: &[(&str, T)],
) -> Result<Option<T>, Problem> {
    let value = cursor.key(key)?;
    let text = value.string()?;
    if text.is_empty() {
        return Ok(None);
    }
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            Err(value.expected(format!("one of {}", words.join(", "))).into())
        }
    }
}

/// A path at a key, `/` if it is not there: as it was written, but sure not to climb out.
pub(super) fn path(cursor: &Cursor<'_>, key: &str) -> Result<String, Problem> {
    let value = cursor.key(key)?;
    let text = value.string()?;
    if tree::normalise(&text).is_err() {
        return Err(value.expected("a path that stays inside").into());
    }
    Ok(if text.is_empty() { "/".to_owned() } else { text })
}
