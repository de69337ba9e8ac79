//! What is wrong with a package tree.

use std::io;

use super::super::template::TemplateError;
use crate::archive::tree::TreeError;
use crate::base::yaml::YamlError;

/// A package tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PkgfileError {
    /// The bytes of a file cannot be read.
    #[error("cannot read `{file}`")]
    Read {
        /// The file's path in the tree.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that should be text is none.
    #[error("`{file}` is not UTF-8")]
    Text {
        /// The file's path in the tree.
        file: String,
    },
    /// A template cannot be rendered.
    #[error("template `{file}` cannot be rendered")]
    Template {
        /// The file's path in the tree.
        file: String,
        /// Why, and where.
        #[source]
        source: TemplateError,
    },
    /// A file is not what it should be. Places are those of the rendered text.
    #[error("`{file}`{} is not valid", if *rendered { ", rendered," } else { "" })]
    Document {
        /// The file's path in the tree.
        file: String,
        /// Whether the text is another one than the file's, since that is a template.
        rendered: bool,
        /// What is wrong, and where.
        #[source]
        source: Problem,
    },
    /// Two packages have one name.
    #[error("package `{name}` stands twice, in `{first}` and in `{second}`")]
    Twice {
        /// The name.
        name: String,
        /// The first file.
        first: String,
        /// The second file.
        second: String,
    },
    /// A package depends on one that is not there.
    #[error("`{file}`, line {line}, column {column}: there is no package `{stage}` to depend on")]
    NoStage {
        /// The file that asks for it.
        file: String,
        /// Line, from 1, of the rendered text.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What it asks for.
        stage: String,
        /// The package that was meant, perhaps.
        nearest: Option<String>,
    },
    /// Packages depend on each other in a circle.
    #[error("packages depend on each other in a circle: {}", packages.join(" → "))]
    Circle {
        /// Their names; the last one is the first one again.
        packages: Vec<String>,
    },
    /// There is no package of a name.
    #[error("there is no package `{name}`")]
    NoPackage {
        /// The name.
        name: String,
        /// The package that was meant, perhaps.
        nearest: Option<String>,
    },
    /// A rendered file has no place in the package's folder.
    #[error("`{file}` has no place beside the package's other files")]
    Place {
        /// The file's path in the tree.
        file: String,
        /// Why.
        #[source]
        source: TreeError,
    },
}

impl PkgfileError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Template { source, .. } => source.hint(),
            Self::Document { source: Problem::UnknownKey { nearest, .. }, .. }
            | Self::NoStage { nearest, .. }
            | Self::NoPackage { nearest, .. } => {
                nearest.as_ref().map(|nearest| format!("did you mean `{nearest}`?"))
            }
            _ => None,
        }
    }
}

/// What is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is no YAML, or a value is not what belongs there.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Nobody reads this key.
    #[error("line {line}, column {column}: key `{path}` is unknown")]
    UnknownKey {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Its full path, such as `steps[0].sources[0].sha521`.
        path: String,
        /// The key that was meant, perhaps.
        nearest: Option<String>,
    },
    /// A key that must be there is not.
    #[error("line {line}, column {column}: `{path}` is missing{why}")]
    Missing {
        /// Line of the mapping that lacks it, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Its full path.
        path: String,
        /// Why it must be there, where that is not obvious; begins with a comma.
        why: &'static str,
    },
    /// Two keys cannot stand together, or one of two must.
    #[error("line {line}, column {column}: `{path}` has {found} `{one}` {} `{other}`, expected one of them", if *found == "both" { "and" } else { "nor" })]
    Either {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The mapping's path.
        path: String,
        /// `both` or `neither`.
        found: &'static str,
        /// One key.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
}

impl Problem {
    /// The line to point at, if there is one.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Yaml(error) => error.line(),
            Self::UnknownKey { line, .. } | Self::Missing { line, .. } | Self::Either { line, .. } => {
                Some(*line)
            }
        }
    }
}
