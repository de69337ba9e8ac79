//! From an imager's boot assets, a base and extensions to an installer image, and to the other things that
//! Talos' imager makes of them.
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | what is asked for |
//! | `source` | images and folders, opened |
//! | [`assets`] | kernel, initramfs, stub and boot loader |
//! | `base` | the layers that an installer begins with |
//! | `extension` | an extension, taken out and judged |
//! | `overlay` | a board's own files and kernel arguments |
//! | `schematic` | a schematic's extensions, looked up |
//! | `prepare` | all of one platform, checked before anything is made |
//! | `steps` | squashfs images, the index of modules, firmware |
//! | `compose` | initramfs and unified kernel image, planned of these |
//! | [`mod@build`] | all of it, in order |
//! | `packed` | the form that a profile wants its file in |
//!
//! The order is the point, as everywhere: what is given is taken out and checked before the first byte is
//! compressed, and what was composed is read back before it has a name.

pub mod assets;
mod base;
pub mod build;
mod compose;
mod extension;
mod overlay;
mod packed;
mod prepare;
mod schematic;
mod source;
pub mod spec;
mod steps;

pub use assets::AssetFiles;
pub(super) use assets::version_label;
pub use build::{Built, Inputs, assemble, build, check};
pub use packed::pack;
pub use prepare::version_of;
pub use spec::{ExtensionSource, InstallerSpec, Names, Output, OverlaySpec};
