//! Measurements of how fast something is assembled: what is known of each run, and what can be said of all of
//! them. No clock and no process here: the command line runs and measures, and this room reckons.
//!
//! | module | what |
//! |---|---|
//! | [`run`] | a run, what it cost, and in which order runs take turns |
//! | [`proc`] | the kernel's own accounts in `/proc`, read from their text |
//! | [`statistics`] | median, minimum and maximum |
//! | [`report`] | all runs together: series, ratios, notes about noise |
//! | `table` | the report as text and as Markdown |

pub mod proc;
pub mod report;
pub mod run;
pub mod statistics;
mod table;

pub use report::{Measured, Report, Subject};
pub use run::{Run, Scenario, Side, StepCost};
