//! The checks: will it boot?
//!
//! | module | what |
//! |---|---|
//! | [`mod@rules`] | the table of all rules, each with a stable code |
//! | [`checked`] | inputs that passed |
//! | [`finding`] | what a rule found, and the report of all findings |
//! | [`extension`] | rules for the files of an extension image |
//! | [`mod@judge`] | all of them, put together |
//! | [`modules`] | rules for the kernel modules in it |
//! | [`kernel`] | rules for modules that need the kernel |
//! | [`mod@installer`] | rules for what an installer is made of |
//! | [`mod@depmod`] | what is wrong with a whole tree of modules |
//!
//! A rule is one function from values to findings. It reads nothing but the contents that it is
//! given; where it could not check, that is an error and no finding.

pub mod checked;
pub mod depmod;
pub mod extension;
pub mod finding;
pub mod installer;
pub mod judge;
pub mod kernel;
pub mod modules;
pub mod rules;

pub use checked::Checked;
pub use finding::{Finding, Report, Severity};
pub use judge::{ExtensionInput, extension as judge_extension};
pub use modules::CheckError;
pub use rules::{Code, Rule, rules, table_markdown};
