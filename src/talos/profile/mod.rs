//! Profiles of Talos' imager: the documents, the built-in ones, the flags that stand for one, and what
//! is to be made in the end.
//!
//! | file | what it holds |
//! |---|---|
//! | [`document`] | a profile as it is written, and how one lies on another |
//! | [`builtin`] | the profiles that have a name |
//! | [`flags`] | the imager's flags as a profile |
//! | [`resolved`] | a profile with its defaults, checked |

pub mod builtin;
pub mod document;
pub mod flags;
pub mod resolved;

pub use document::{Container, ContainerSource, Profile};
pub use flags::{OverlayOption, ProfileFlags};
pub use resolved::{AssetSource, Defaults, ProfileError, Resolved};
