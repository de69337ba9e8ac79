//! Reading nodes with types: a cursor that knows its path, so that an error can say what was expected where.
//!
//! The types are those that Go's yaml would give to a field: null is the zero value of every type, a
//! string takes any scalar by its text, and a quoted scalar is never a boolean or a number.

use super::{Node, Value, YamlError};
use crate::base::suggest;

/// A node and its path from the document's root, or the absence of one: a key that is not there reads
/// like null, which is how Go leaves a field at its zero value.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    node: Option<&'a Node>,
    /// Where it stands, or, if it is absent, where the mapping stands that lacks it.
    line: usize,
    column: usize,
    path: String,
}

/// A key that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// Its full path, such as `metadata.autor`.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The key of the same mapping that was meant, perhaps.
    pub suggestion: Option<String>,
}

impl<'a> Cursor<'a> {
    /// The document as a whole.
    pub fn root(node: &'a Node) -> Self {
        Self { node: Some(node), line: node.line, column: node.column, path: String::new() }
    }

    /// The path from the root, such as `depends[2].path`; empty for the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Line to point at, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column to point at, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Whether the value is null or its key is absent.
    pub fn is_null(&self) -> bool {
        self.node.is_none_or(Node::is_null)
    }

    /// Whether the key is there at all, perhaps with null.
    pub fn is_present(&self) -> bool {
        self.node.is_some()
    }

    /// What lies at a path of keys below, such as `compatibility.talos.version`. A key that is absent on
    /// the way gives an absent value; something on the way that has no keys is an error.
    pub fn get(&self, path: &str) -> Result<Self, YamlError> {
        path.split('.').try_fold(self.clone(), |cursor, key| cursor.key(key))
    }

    /// What lies at one key, which may contain dots.
    pub fn key(&self, key: &str) -> Result<Self, YamlError> {
        let value = self.pairs()?.iter().find(|(own, _)| own.scalar() == Some(key)).map(|(_, value)| value);
        Ok(match value {
            Some(value) => self.child(value, self.path_of(key)),
            None => Self { node: None, path: self.path_of(key), ..self.clone() },
        })
    }

    /// All keys and their values, in the document's order.
    pub fn entries(&self) -> Result<Vec<(&'a str, Self)>, YamlError> {
        let pairs = self.pairs()?.iter();
        Ok(pairs
            .filter_map(|(key, value)| Some((key.scalar()?, value)))
            .map(|(key, value)| (key, self.child(value, self.path_of(key))))
            .collect())
    }

    /// The items of a sequence.
    pub fn items(&self) -> Result<Vec<Self>, YamlError> {
        match self.value() {
            None => Ok(Vec::new()),
            Some(Value::Sequence(items)) => {
                let items = items.iter().enumerate();
                Ok(items.map(|(index, item)| self.child(item, format!("{}[{index}]", self.path))).collect())
            }
            Some(_) => Err(self.expected("a sequence")),
        }
    }

    /// The text of a scalar; empty for null.
    pub fn string(&self) -> Result<String, YamlError> {
        match self.value() {
            None => Ok(String::new()),
            Some(Value::Scalar { text, .. }) => Ok(text.clone()),
            Some(_) => Err(self.expected("a string")),
        }
    }

    /// The texts of a sequence of scalars.
    pub fn strings(&self) -> Result<Vec<String>, YamlError> {
        self.items()?.iter().map(Self::string).collect()
    }

    /// A boolean: YAML 1.2's words and, as Go takes them for a boolean field, YAML 1.1's.
    pub fn boolean(&self) -> Result<bool, YamlError> {
        match self.value() {
            None => Ok(false),
            Some(Value::Scalar { text, plain: true }) => match text.as_str() {
                "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "on" => Ok(true),
                "false" | "False" | "FALSE" | "n" | "N" | "no" | "off" => Ok(false),
                _ => Err(self.expected("`true` or `false`")),
            },
            Some(_) => Err(self.expected("`true` or `false`")),
        }
    }

    /// A whole number in decimal digits.
    pub fn unsigned(&self) -> Result<u64, YamlError> {
        match self.value() {
            None => Ok(0),
            Some(Value::Scalar { text, plain: true }) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map_err(|_| self.expected("a number below 2^64"))
            }
            Some(_) => Err(self.expected("a whole number")),
        }
    }

    /// The keys that are not among `known`, each with the nearest that is.
    pub fn unknown_keys(&self, known: &[&str]) -> Result<Vec<UnknownKey>, YamlError> {
        let unknown = |key: &'a Node| {
            let text = key.scalar().filter(|text| !known.contains(text))?;
            let suggestion = suggest::nearest(text, known.iter().copied()).map(str::to_owned);
            let path = self.path_of(&clip(text));
            Some(UnknownKey { path, line: key.line, column: key.column, suggestion })
        };
        Ok(self.pairs()?.iter().filter_map(|(key, _)| unknown(key)).collect())
    }

    /// The error that this value is not `expected`, with what it is.
    pub fn expected(&self, expected: impl Into<String>) -> YamlError {
        self.found(self.node.map_or_else(|| "missing".to_owned(), kind), expected)
    }

    /// The same, with one's own words for what is there.
    pub fn found(&self, found: impl Into<String>, expected: impl Into<String>) -> YamlError {
        YamlError::Type {
            line: self.line,
            column: self.column,
            path: self.path.clone(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The node itself, if there is one.
    pub(super) fn node(&self) -> Option<&'a Node> {
        self.node
    }

    fn value(&self) -> Option<&'a Value> {
        self.node.filter(|node| !node.is_null()).map(|node| &node.value)
    }

    fn pairs(&self) -> Result<&'a [(Node, Node)], YamlError> {
        match self.value() {
            None => Ok(&[]),
            Some(Value::Mapping(pairs)) => Ok(pairs),
            Some(_) => Err(self.expected("a mapping")),
        }
    }

    fn child(&self, node: &'a Node, path: String) -> Self {
        Self { node: Some(node), line: node.line, column: node.column, path }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// The words for what a node is, for messages.
pub(super) fn kind(node: &Node) -> String {
    match &node.value {
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Sequence(_) => "a sequence".to_owned(),
        Value::Scalar { .. } if node.is_null() => "null".to_owned(),
        Value::Scalar { text, plain: true } => format!("`{}`", clip(text)),
        Value::Scalar { text, plain: false } => format!("the text `{}`", clip(text)),
    }
}

/// As much of a text as a message can bear, without what would break its line.
pub(super) fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A path in backticks, or the document.
pub(super) fn named(path: &str) -> String {
    if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") }
}
