//! What Talos demands of what is built for it.
//!
//! | file | what it holds |
//! |---|---|
//! | [`version`] | Talos versions and every difference between them |
//! | [`range`] | the constraints on versions |
//! | [`platform`] | the platforms, with their kernel arguments |
//! | [`meta`] | values of the META partition |
//! | [`cmdline`] | the kernel command line |
//! | [`output`] | what the imager makes, and the names of the files |
//! | [`installer`] | what lies in an installer image |
//! | [`custom_imager`] | the stock imager with another kernel |
//! | [`mod@document`] | reading documents strictly |
//! | [`profile`] | profiles of the imager: documents, built-in ones, flags |
//! | [`overlay`] | boards: what an overlay image holds, and an installer's layer of it |
//! | [`mod@schematic`] | schematics of the Image Factory, and their ids |
//! | [`virtual_extension`] | what an image says of itself, as extensions |
//! | [`catalogue`] | the official extensions and overlays of a version |
//! | [`extension`] | where things lie in an extension image |
//! | [`kind`] | what kind of image something is |
//! | [`issue`] | what is wrong with a file that could be read |
//! | [`manifest`] | `manifest.yaml` of an extension |
//! | [`mod@modules_dep`] | the extension that indexes all modules of an installer |
//! | [`initramfs`] | the initramfs of an installer: composed, read, verified |
//! | [`service`] | the specification of an extension service |
//! | [`uki`] | what is in a unified kernel image |

pub mod catalogue;
pub mod cmdline;
pub mod custom_imager;
pub mod document;
pub mod extension;
pub mod initramfs;
pub mod installer;
pub mod issue;
pub mod kind;
pub mod manifest;
pub mod meta;
pub mod modules_dep;
pub mod output;
pub mod overlay;
pub mod platform;
pub mod profile;
pub mod range;
pub mod schematic;
pub mod service;
pub mod uki;
pub mod version;
pub mod virtual_extension;

pub use cmdline::Cmdline;
pub use document::DocumentError;
pub use issue::{Issue, IssueKind};
pub use manifest::{Manifest, is_official_version_shape};
pub use meta::MetaValue;
pub use output::{OutputFormat, OutputKind};
pub use platform::Platform;
pub use profile::{Profile, ProfileFlags, Resolved};
pub use range::{Range, RangeError};
pub use schematic::Schematic;
pub use service::Service;
pub use version::{Architecture, Feature, Tag, Version};
