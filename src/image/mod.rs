//! OCI images as values, and the media that hold them.
//!
//! | module | what |
//! |---|---|
//! | [`descriptor`], [`platform`], [`mod@reference`] | the names of things |
//! | [`document`], [`config`] | manifests, indexes, configurations |
//! | [`layer`] | layers in the making |
//! | [`flatten`] | layers, one on another, as one tree |
//! | [`store`] | the blobs of this machine |
//! | [`layout`], [`docker_archive`], [`registry`] | the media |
//! | [`pins`] | what references are known to mean |
//! | [`media`] | all of them behind one face |

mod blocks;
pub mod config;
pub mod descriptor;
pub mod docker_archive;
pub mod document;
pub mod flatten;
pub mod layer;
pub mod layout;
pub mod media;
pub mod pins;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod store;

pub use descriptor::{Descriptor, media_type};
pub use document::{Document, ImageSet, Index, Manifest, Parsed};
pub use flatten::{Flat, Flattener};
pub use layer::{Format, Layer, LayerWriter};
pub use media::{Media, MediaError, Opened};
pub use pins::Pins;
pub use platform::Platform;
pub use reference::{Medium, Reference, RegistryReference};
pub use store::Store;
