//! YAML with positions: a document as nodes that know their line and column, read as Go's yaml reads it.
//!
//! The grammar is that of `saphyr-parser` (YAML 1.2); what a document means follows go.yaml.in/yaml/v4,
//! with which Talos reads the same files. Scalars stay text until somebody asks for a type, because Go
//! gives `version: 0.1` to a string field as `0.1`. Reading with types and paths is [`walk`]'s.
//!
//! Stricter than Go on purpose: one document only, keys are scalars, no tags of one's own. Input may be
//! hostile: size, depth and what aliases may copy are bound by the constants below.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

mod any;
pub mod text;
pub mod typed;
pub mod walk;

pub use any::Any;
pub use walk::{Cursor, UnknownKey};

/// The largest document, in bytes. The largest one in the field, a catalogue of descriptions, has 60 KiB.
pub const SIZE_MAX: usize = 1 << 20;

/// The deepest nesting. A pod specification has about 12; the walk over nodes is recursive.
pub const DEPTH_MAX: usize = 64;

/// What anchors and aliases may copy in all: one for each node and each byte of text. As much as the
/// largest document holds without any; ten aliases of ten aliases of … come to an end here.
pub const COPIES_MAX: usize = SIZE_MAX;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Line, from 1. Of an alias: where the anchor's value stands.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A scalar of any type.
    Scalar {
        /// The text, after quotes and folding.
        text: String,
        /// Whether it stands there without quotes, as no block and without a tag that makes it text.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys, all of them scalars and none twice, and their values in the document's order.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// Whether this is a plain scalar that YAML's core schema takes for null.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain: true } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// The text of a scalar of any type.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The number of nodes and bytes of text in it, as [`COPIES_MAX`] counts.
    fn weight(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { text, .. } => text.len(),
            Value::Sequence(items) => items.iter().map(Self::weight).sum(),
            Value::Mapping(pairs) => pairs.iter().map(|(key, value)| key.weight() + value.weight()).sum(),
        }
    }
}

/// A text is no YAML that we read, or not of the shape that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// See [`SIZE_MAX`].
    #[error("{size} bytes, more than the {SIZE_MAX} that are read of a YAML document")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The grammar is broken, or a limit of this module is reached.
    #[error("line {line}, column {column}: {problem}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A key stands twice in one mapping.
    #[error("line {line}, column {column}: key `{key}` stands twice, first in line {first}")]
    DuplicateKey {
        /// Line of the second one.
        line: usize,
        /// Column of the second one.
        column: usize,
        /// The key.
        key: String,
        /// Line of the first one.
        first: usize,
    },
    /// A value is not what belongs there.
    #[error("line {line}, column {column}: {} is {found}, expected {expected}", walk::named(path))]
    Type {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The value's path, such as `metadata.compatibility.talos.version` or `depends[2].path`;
        /// empty for the document as a whole.
        path: String,
        /// What was expected: `a string` …
        expected: String,
        /// What is there: `a sequence` …
        found: String,
    },
}

impl YamlError {
    /// The line to point at; none if the document was not read at all.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Syntax { line, .. } | Self::DuplicateKey { line, .. } | Self::Type { line, .. } => {
                Some(*line)
            }
        }
    }

    fn syntax(mark: Marker, problem: impl Into<String>) -> Self {
        Self::Syntax { line: mark.line(), column: mark.col() + 1, problem: problem.into() }
    }
}

/// Reads exactly one document. One without content is a null node.
pub fn parse(bytes: &[u8]) -> Result<Node, YamlError> {
    let text = text_of(bytes)?;
    let mut parser = Parser::new_from_str(text);
    let mut loader = Loader::default();
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| YamlError::syntax(*error.marker(), error.info()))?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if documents == 1 => {
                return Err(YamlError::syntax(span.start, "a second document starts here, expected one"));
            }
            Event::DocumentStart(_) => documents = 1,
            event => loader.take(event, span.start)?,
        }
    }
    let empty = Value::Scalar { text: String::new(), plain: true };
    Ok(loader.root.unwrap_or(Node { value: empty, line: 1, column: 1 }))
}

/// The text, without a byte order mark. Control characters are refused here: they are no YAML, and a
/// NUL would end the document for the parser.
fn text_of(bytes: &[u8]) -> Result<&str, YamlError> {
    if bytes.len() > SIZE_MAX {
        return Err(YamlError::TooLarge { size: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        at_end_of(&String::from_utf8_lossy(before), "not UTF-8".to_owned())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) {
        Some((at, c)) => {
            let before = text.get(..at).unwrap_or_default();
            Err(at_end_of(before, format!("control character {} is not allowed", c.escape_unicode())))
        }
        None => Ok(text),
    }
}

/// A syntax error directly behind `before`.
fn at_end_of(before: &str, problem: String) -> YamlError {
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    YamlError::Syntax { line, column, problem }
}

/// A collection whose end has not come yet.
struct Open {
    kind: OpenKind,
    anchor: usize,
    mark: Marker,
}

enum OpenKind {
    Sequence(Vec<Node>),
    Mapping { pairs: Vec<(Node, Node)>, key: Option<Node>, lines: HashMap<String, usize> },
}

/// Builds nodes from events.
#[derive(Default)]
struct Loader {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    copied: usize,
    root: Option<Node>,
}

impl Loader {
    fn take(&mut self, event: Event<'_>, mark: Marker) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_text(tag.as_deref(), mark)?;
                self.complete(Value::Scalar { text: text.into_owned(), plain }, anchor, mark)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", mark)?;
                self.start(OpenKind::Sequence(Vec::new()), anchor, mark)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", mark)?;
                let kind = OpenKind::Mapping { pairs: Vec::new(), key: None, lines: HashMap::new() };
                self.start(kind, anchor, mark)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node =
                    node.ok_or_else(|| YamlError::syntax(mark, "alias stands inside its own anchor"))?;
                self.charge(&node, mark)?;
                self.add(node)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
            Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    fn start(&mut self, kind: OpenKind, anchor: usize, mark: Marker) -> Result<(), YamlError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(YamlError::syntax(mark, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(Open { kind, anchor, mark });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        // The parser's events are balanced; without an open collection there is nothing to end.
        let Some(Open { kind, anchor, mark }) = self.open.pop() else { return Ok(()) };
        let value = match kind {
            OpenKind::Sequence(items) => Value::Sequence(items),
            OpenKind::Mapping { pairs, lines, .. } => Value::Mapping(self.merge(pairs, lines)?),
        };
        self.complete(value, anchor, mark)
    }

    /// Replaces the key `<<` by the pairs of its value that are not there yet, as YAML 1.1 and Go do.
    fn merge(
        &mut self,
        mut pairs: Vec<(Node, Node)>,
        mut lines: HashMap<String, usize>,
    ) -> Result<Vec<(Node, Node)>, YamlError> {
        let is_merge = |(key, _): &(Node, Node)| matches!(&key.value, Value::Scalar { text, plain: true } if text == "<<");
        let Some(at) = pairs.iter().position(is_merge) else { return Ok(pairs) };
        let (key, value) = pairs.remove(at);
        let sources = match value.value {
            Value::Sequence(items) => items,
            _ => vec![value],
        };
        for source in sources {
            let Value::Mapping(more) = source.value else {
                let problem = "`<<` merges mappings only";
                return Err(YamlError::Syntax {
                    line: key.line,
                    column: key.column,
                    problem: problem.to_owned(),
                });
            };
            for (key, value) in more {
                if let Entry::Vacant(entry) = lines.entry(key.scalar().unwrap_or_default().to_owned()) {
                    entry.insert(key.line);
                    pairs.push((key, value));
                }
            }
        }
        Ok(pairs)
    }

    fn complete(&mut self, value: Value, anchor: usize, mark: Marker) -> Result<(), YamlError> {
        let node = Node { value, line: mark.line(), column: mark.col() + 1 };
        if anchor > 0 {
            self.charge(&node, mark)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node)
    }

    /// Counts a copy of `node` against [`COPIES_MAX`].
    fn charge(&mut self, node: &Node, mark: Marker) -> Result<(), YamlError> {
        self.copied = self.copied.saturating_add(node.weight());
        if self.copied > COPIES_MAX {
            let problem = format!("anchors and aliases copy more than {COPIES_MAX} nodes and bytes");
            return Err(YamlError::syntax(mark, problem));
        }
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), YamlError> {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Sequence(items)) => items.push(node),
            Some(OpenKind::Mapping { pairs, key, lines }) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    check_key(&node, lines)?;
                    *key = Some(node);
                }
            },
        }
        Ok(())
    }
}

fn check_key(key: &Node, lines: &mut HashMap<String, usize>) -> Result<(), YamlError> {
    let (line, column) = (key.line, key.column);
    let Some(text) = key.scalar() else {
        let problem = format!("a key is {}, expected a scalar", walk::kind(key));
        return Err(YamlError::Syntax { line, column, problem });
    };
    match lines.insert(text.to_owned(), line) {
        Some(first) => Err(YamlError::DuplicateKey { line, column, key: walk::clip(text), first }),
        None => Ok(()),
    }
}

/// The suffix of a tag of YAML's own; tags of somebody's own are errors: none of our formats has them.
fn core_tag(tag: Option<&Tag>, mark: Marker) -> Result<&str, YamlError> {
    match tag {
        None => Ok(""),
        Some(tag) if tag.is_yaml_core_schema() => Ok(&tag.suffix),
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok("!"),
        Some(tag) => {
            Err(YamlError::syntax(mark, format!("tag `{}` is not known", walk::clip(&tag.to_string()))))
        }
    }
}

/// Whether a scalar's tag makes it text whatever it looks like.
fn is_text(tag: Option<&Tag>, mark: Marker) -> Result<bool, YamlError> {
    match core_tag(tag, mark)? {
        "!" | "str" => Ok(true),
        "" | "int" | "float" | "bool" | "null" | "timestamp" => Ok(false),
        other => {
            Err(YamlError::syntax(mark, format!("tag `!!{}` is not for a scalar here", walk::clip(other))))
        }
    }
}

fn check_tag(tag: Option<&Tag>, own: &str, mark: Marker) -> Result<(), YamlError> {
    match core_tag(tag, mark)? {
        "" | "!" => Ok(()),
        suffix if suffix == own => Ok(()),
        other => Err(YamlError::syntax(mark, format!("tag `!!{}` is not for this value", walk::clip(other)))),
    }
}

#[cfg(test)]
mod tests;
