//! The shell language of steps: what of POSIX' (and a little of bash's) is understood, with the place of
//! every word.
//!
//! | module | what |
//! |---|---|
//! | `syntax` | commands, words and what stands in them |
//! | `reader` | characters with their places, blanks, comments, continuation lines |
//! | `command` | lists, pipelines and commands out of characters |
//! | `word` | words, quotes and parameters out of characters |
//! | `braces` | `{a,b}` and `{1..3}` |
//!
//! Documents: POSIX.1-2017, "Shell Command Language"; the manual of bash for braces, `&>` and
//! replacements in parameters. What is not understood is refused, never guessed.

mod braces;
mod command;
mod reader;
pub(super) mod syntax;
mod word;

pub(super) use braces::expand as expand_braces;
pub(super) use command::{is_variable, parse};
pub use reader::{ParseError, Position};

#[cfg(test)]
mod tests;
