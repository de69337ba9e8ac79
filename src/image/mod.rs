//! OCI images as values, and the media that hold them.

pub mod descriptor;
pub mod platform;
pub mod reference;

pub use descriptor::{Descriptor, media_type};
pub use platform::Platform;
pub use reference::{Medium, Reference, RegistryReference};
