//! The native runner of package steps: shell text on a tree in memory, nothing of it on the host.
//!
//! | module | what |
//! |---|---|
//! | [`shell`] | the language |
//! | [`mod@program`] | a step's text, parsed, and what of it is not run natively |
//! | [`root`] | the file system that steps change |
//! | [`mod@run`] | running a program |
//! | [`validate`] | what `test:` steps ask that is checked here anyway |
//! | `tools` | `cp`, `mkdir`, `sed` … |
//! | `options` | their options |
//!
//! bldr runs each item of a step as `<shell> -c "set -eou pipefail\n<text>"` in `/tmp/build`, as root, with
//! umask 022; so does this. Programs mean what GNU's mean: coreutils 9, findutils 4, tar 1.35, sed 4.9.
//! Times of what is written are one and the same, and names are always in order.

mod options;
pub mod program;
pub mod root;
pub mod run;
pub mod shell;
mod tools;
pub mod validate;

pub use program::{Program, Shell, Unsupported};
pub use root::Root;
pub use run::{Environment, InMemory, Keep, Output, Said, StepError, run};
pub use shell::{ParseError, Position};
pub use validate::{TestStep, test_step};

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
