//! PE files as UEFI loads them: read, and planned anew with sections appended.
//!
//! | file | what |
//! |---|---|
//! | [`read`] | headers and sections |
//! | [`mod@append`] | the plan of a file with more sections |
//!
//! Only PE32+ is known, which is all that 64-bit firmware loads.

pub mod append;
pub mod read;

pub use append::{AppendError, Image, append};
pub use read::{Pe, PeError, Section};
