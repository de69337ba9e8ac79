//! Checks what a reference names: will it boot?
//!
//! | module | what |
//! |---|---|
//! | [`mod@judge`] | image by image, each by the rules of its kind |
//! | [`ground`] | a kernel, and what is known of its modules: what an extension will stand on |
//! | [`booted`] | the same of an installer or imager, with the layers in it |

pub mod booted;
pub mod ground;
pub mod judge;

pub use ground::Against;
pub use judge::{Asked, Judged, check, wrong_kind};
