//! Plans: steps with their inputs, run as soon as these are there, and not run when their result is
//! known.
//!
//! | module | what |
//! |---|---|
//! | [`step`] | a step, its key and its outputs |
//! | [`run`] | the engine |
//! | [`kernel_facts`] | what is asked of a kernel |
//! | [`stat_cache`] | digests of local files, without reading them again |

pub mod assemble;
pub mod bench;
pub mod boot_files;
pub mod build;
pub mod bundle;
pub mod cache;
pub mod check;
pub mod copy;
pub mod custom_imager;
pub mod depmod;
pub mod diff;
pub mod dry;
pub mod early;
pub mod error;
pub mod extension;
pub mod flatten;
pub mod gather;
pub mod inspect;
pub mod inspect_boot;
pub mod installer;
pub mod kernel;
pub mod kernel_facts;
pub mod lock;
pub mod mirror;
pub mod one_image;
pub mod outputs;
pub mod packages;
pub mod remote_cache;
pub mod run;
pub mod spec;
pub mod squashfs;
pub mod stat_cache;
pub mod step;
pub mod subject;
pub mod timings;
pub mod tree_input;
pub mod unsquash;
mod whole;

pub use error::Error;
pub use run::{Context, Plan};
pub use step::{Outputs, Step, StepId};
