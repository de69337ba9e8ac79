//! The initramfs of an installer: the base's own bytes, the microcode before them, the extensions' layers
//! and firmware behind.
//!
//! | file | what |
//! |---|---|
//! | [`mod@split`] | what of an extension goes where |
//! | [`names`] | the names of layers, and the order that follows from them |
//! | [`extensions`] | `extensions.yaml`, written and read |
//! | [`mod@compose`] | the whole, planned without copying a byte |
//! | [`overview`] | what is in one |
//! | [`mod@verify`] | whether what was written is what was planned |
//!
//! Talos: `pkg/imager/extensions`, `internal/app/init`. The kernel passes over damage in silence and an
//! extension is then absent: hence the last of these.

pub mod compose;
pub mod extensions;
pub mod names;
pub mod overview;
pub mod split;
pub mod verify;

pub use compose::{
    ComposeError, Firmware, Initramfs, Inputs, Layer, PlannedMember, compose, firmware_segment,
};
pub use extensions::{Extensions, ListedLayer};
pub use names::{LayerNames, MODULES_DEP_IMAGE};
pub use overview::{Found, Overview, OverviewError};
pub use split::{Conflict, FirmwareError, MergedFirmware, Parts, merge_firmware, split};
pub use verify::{VerifyError, verify};
