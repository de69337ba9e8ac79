//! What is wrong with a template, and where.

use super::limits::Fault;

/// A template cannot be read or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is no template.
    #[error("{at}: {problem}")]
    Syntax {
        /// Where.
        at: Place,
        /// What is wrong there.
        problem: String,
        /// The word that was meant, perhaps.
        nearest: Option<String>,
    },
    /// It cannot be rendered with these values.
    #[error("{at}: {problem}")]
    Render {
        /// Where.
        at: Place,
        /// What is wrong there.
        problem: String,
    },
    /// It would print `<no value>`, where that is not wanted.
    #[error("{at}: {}", no_value(variable))]
    Unset {
        /// Where.
        at: Place,
        /// The variable that is not there, if it is one.
        variable: Option<String>,
        /// The variable that was meant, perhaps.
        nearest: Option<String>,
    },
    /// It asks for more than is given to any template.
    #[error("{at}: {problem}")]
    Limit {
        /// Where.
        at: Place,
        /// Which limit is reached.
        problem: String,
    },
}

impl TemplateError {
    pub(super) fn new(at: Place, fault: Fault) -> Self {
        match fault {
            Fault::Plain(problem) => Self::Render { at, problem },
            Fault::Limit(problem) => Self::Limit { at, problem },
        }
    }

    /// Where it is wrong.
    pub fn at(&self) -> &Place {
        match self {
            Self::Syntax { at, .. }
            | Self::Render { at, .. }
            | Self::Unset { at, .. }
            | Self::Limit { at, .. } => at,
        }
    }

    /// What is wrong, without the place.
    pub fn problem(&self) -> String {
        match self {
            Self::Syntax { problem, .. } | Self::Render { problem, .. } | Self::Limit { problem, .. } => {
                problem.clone()
            }
            Self::Unset { variable, .. } => no_value(variable),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { nearest: Some(nearest), .. } | Self::Unset { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{nearest}`?"))
            }
            Self::Unset { variable: Some(variable), .. } => Some(format!("add `{variable}` to `vars.yaml`")),
            _ => None,
        }
    }
}

fn no_value(variable: &Option<String>) -> String {
    match variable {
        Some(variable) => format!("variable `{variable}` has no value"),
        None => "there is no value".to_owned(),
    }
}

/// A place in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The template's name, as it was given to [`super::Template::parse`].
    pub name: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of a byte of a text. One that is outside of it is its end.
    pub(super) fn of(name: &str, text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { name: name.to_owned(), line, column }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`, line {}, column {}", self.name, self.line, self.column)
    }
}
