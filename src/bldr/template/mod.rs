//! Go's `text/template` with sprig's functions: what `pkg.yaml`, `vars.yaml` and other files of packages are
//! written in.
//!
//! | file | what |
//! |---|---|
//! | `lexer`, `number`, `parser`, `ast` | text → words → tree |
//! | `eval`, `call` | the tree's walk; pipelines, fields and calls |
//! | `value` | values with Go's types |
//! | `functions` | all functions by name; those that are refused, and why |
//! | `builtin` | Go's own functions |
//! | `strings`, `case`, `truth`, `lists`, `dicts`, `compare`, `numbers`, `json`, `regex`, `semver`, `paths` | sprig's |
//! | `print` | fmt: how values print, `printf` |
//! | `limits` | what a template may use up |
//! | `error` | what is wrong, and where |
//! | `template` | the face of all this |
//!
//! The result is Go's to the byte, and what fails there fails here. Where that is not so, it is on purpose:
//! texts are UTF-8; lists end at their end (`slice` of Go sees what is
//! left behind it); complex numbers, the insides of versions (`%d`), `\B` in regular expressions and functions
//! that are no functions of their arguments are refused; mappings are in the order of their keys where Go's
//! order is random; the limits.
//!
//! Crates that do a part of this (`gtmpl`, `gtmpl-ng`) keep values that a function cannot change, so that `set`
//! is out of reach, and numbers without Go's types, on which sprig's functions fail or not.

mod ast;
mod builtin;
mod call;
mod case;
mod compare;
mod dicts;
mod error;
mod eval;
mod functions;
mod json;
mod lexer;
pub mod limits;
mod lists;
mod number;
mod numbers;
mod parser;
mod paths;
mod print;
mod regex;
mod semver;
mod strings;
#[expect(clippy::module_inception, reason = "the type that gives the room its name")]
mod template;
mod truth;
mod value;

#[cfg(test)]
mod template_tests;

pub use error::{Place, TemplateError};
pub use template::{Rendered, Template, Unset};
pub use value::Value;
