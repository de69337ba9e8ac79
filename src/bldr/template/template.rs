//! Templates from outside: read, then rendered.

use super::ast::Bodies;
use super::error::{Place, TemplateError};
use super::eval::Evaluator;
use super::limits::{Fault, SIZE_MAX};
use super::parser::{self, Wrong};
use super::value::{Memory, Value};
use crate::base::suggest;

/// A template.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    bodies: Bodies,
}

/// What a template was rendered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Where `<no value>` was printed.
    pub unset: Vec<Unset>,
}

/// A place at which `<no value>` was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// Where.
    pub at: Place,
    /// The variable that is not there, if it was one and not the value of something else.
    pub variable: Option<String>,
}

impl Template {
    /// Reads a template; `name` is what errors call it, a file's path for example.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        if text.len() > SIZE_MAX {
            let problem = format!("{} bytes, more than the {SIZE_MAX} of a template", text.len());
            return Err(TemplateError::Limit { at: Place::of(name, text, 0), problem });
        }
        let bodies = parser::parse(name, text).map_err(|Wrong { at, problem, nearest, limit }| {
            let at = Place::of(name, text, at);
            match limit {
                true => TemplateError::Limit { at, problem },
                false => TemplateError::Syntax { at, problem, nearest },
            }
        })?;
        Ok(Self { name: name.to_owned(), text: text.to_owned(), bodies })
    }

    /// Renders it with a value, which it sees as `.` and `$`.
    pub fn render(&self, value: &Value) -> Result<String, TemplateError> {
        self.render_noting(value).map(|rendered| rendered.text)
    }

    /// Renders it where `<no value>` is of no use: the first one is an error.
    pub fn render_whole(&self, value: &Value) -> Result<String, TemplateError> {
        let Rendered { text, unset } = self.render_noting(value)?;
        let Some(Unset { at, variable }) = unset.into_iter().next() else { return Ok(text) };
        let known: Vec<&str> = match value {
            Value::Map(pairs) => pairs.keys().map(String::as_str).collect(),
            Value::Texts(pairs) => pairs.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let nearest = variable.as_deref().and_then(|name| suggest::nearest(name, known)).map(str::to_owned);
        Err(TemplateError::Unset { at, variable, nearest })
    }

    /// Renders it, and says where there was no value.
    pub fn render_noting(&self, value: &Value) -> Result<Rendered, TemplateError> {
        let wrong =
            |at: usize, fault: Fault| TemplateError::new(Place::of(&self.name, &self.text, at), fault);
        let mut memory = Memory::new();
        let dot = memory.take(value).map_err(|fault| wrong(0, fault))?.settled();
        let mut evaluator = Evaluator::new(&self.bodies, memory);
        evaluator.template(0, &self.name, &dot).map_err(|fallen| wrong(fallen.at, fallen.fault))?;
        let unset = evaluator
            .unset
            .into_iter()
            .map(|unset| Unset { at: Place::of(&self.name, &self.text, unset.at), variable: unset.name });
        Ok(Rendered { unset: unset.collect(), text: evaluator.output })
    }
}
