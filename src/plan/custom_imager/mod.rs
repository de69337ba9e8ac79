//! From a stock imager image and kernel images to an imager image with these kernels.
//!
//! | module | what |
//! |---|---|
//! | [`mod@build`] | the whole of it, in order: what fails is found before anything is compressed |
//! | [`base`] | the stock imager's images and their boot assets |
//! | [`kernels`] | the kernels, each with its architecture |
//! | [`rootfs`] | the stock initramfs unpacked, and its root file system rewritten |
//! | [`assets`] | the new boot assets, and their layer |
//! | `verify` | what was written, read back |
//! | [`document`] | the stock image with one more layer |

pub mod assets;
pub mod base;
pub mod build;
pub mod document;
pub mod kernels;
pub mod rootfs;
mod verify;

pub use build::{BuiltImager, CustomImagerSpec, build};
