//! Printing values as Go's fmt does it: `%v` of everything, and `printf`.
//!
//! | file | what |
//! |---|---|
//! | `value` | one value by its verb and flags |
//! | `format` | `printf`'s format text |
//! | `float` | floating point numbers, as strconv writes them |
//! | `quote` | quoted texts, as strconv writes them |

mod float;
mod format;
mod quote;
mod value;

pub(super) use float::format_float;
pub(super) use format::{print, printf, println};
pub(super) use quote::{is_print, quoted};
pub(super) use value::text_of;
