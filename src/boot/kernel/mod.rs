//! What a kernel image says of itself, and can do.
//!
//! | file | what |
//! |---|---|
//! | [`read`] | the kernel: architecture, release, payload |
//! | `form` | the forms of kernel images, and where their payload lies |
//! | `scan` | one pass over the unpacked image for all that is looked for in it |
//! | `banner` | the line with which it will greet |
//! | [`config`] | the configuration that it was built with |
//! | `vermagic` | what it holds modules against |
//! | `keys` | the keys that it trusts |
//! | [`exports`] | the symbols that it exports |

mod banner;
pub mod config;
pub mod exports;
mod form;
mod keys;
pub mod read;
mod scan;
mod vermagic;

pub use config::{ConfigError, KernelConfig};
pub use exports::Export;
pub use form::Form;
pub use read::{Kernel, KernelError, is_kernel};
