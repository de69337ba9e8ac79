//! What is wrong with a file that could be read: a kind for the checks to give a code, and words for people.

use crate::base::yaml::UnknownKey;

/// Something is wrong, in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// What kind of thing is wrong.
    pub kind: IssueKind,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, as a fragment of a sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The kinds of [`Issue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IssueKind {
    /// A key that Talos ignores.
    UnknownKey,
    /// The manifest's own version is not `v1alpha1`: Talos refuses the extension.
    ManifestVersion,
    /// The manifest has no name.
    NoName,
    /// The constraint on Talos versions cannot be read: Talos refuses the extension.
    Constraint,
    /// The extension's version has a shape that the official validator refuses; Talos takes any.
    VersionShape,
}

impl From<UnknownKey> for Issue {
    fn from(key: UnknownKey) -> Self {
        Self {
            kind: IssueKind::UnknownKey,
            line: key.line,
            message: format!("key `{}` is unknown, Talos ignores it", key.path),
            hint: key.suggestion.map(|meant| format!("did you mean `{meant}`?")),
        }
    }
}
