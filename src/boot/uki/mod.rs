//! Unified kernel images: a stub of systemd's with kernel, initramfs and command line in sections
//! (UAPI group, "Unified Kernel Image"; systemd-stub(7)).
//!
//! | file | what |
//! |---|---|
//! | [`build`] | an image, checked before it is planned |
//! | [`read`] | taking an image apart |
//! | [`section`] | the names of sections |
//! | [`profile`] | the text of `.profile` |
//! | [`stub`] | which stub it is, and whether it knows profiles |
//! | [`splash`] | whether a picture is one that the stub shows |
//!
//! Which sections, in which order, and with what texts is for the caller to say.

pub mod build;
pub mod profile;
pub mod read;
pub mod section;
pub mod splash;
pub mod stub;

pub use build::{BuildError, Builder};
pub use profile::ProfileText;
pub use read::{Profile, ReadError, Uki};
pub use stub::StubInfo;
