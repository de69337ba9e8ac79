//! Assembles Talos Linux images natively: values in, values out, no daemon, no root, no other program.
//!
//! The rooms, each using those above it only (`tests/layering.rs` keeps it so):
//!
//! | room | what lives there |
//! |---|---|
//! | [`base`] | digests, the epoch, contents, events, files, secrets, YAML with positions |
//! | [`archive`] | the file tree and its formats |
//! | [`image`] | OCI values, the store, and the media |
//! | [`kmod`] | what kernel modules say of themselves |
//! | [`boot`] | kernel images, PE files, unified kernel images |
//! | [`talos`] | what Talos demands of an image |
//! | [`bldr`] | package trees: their templates, files and steps |
//! | [`check`] | one rule a function, each with a stable code |
//! | [`plan`] | steps, their keys, and the engine that runs them |
//! | [`cli`] | the command line |

pub mod archive;
pub mod base;
pub mod bldr;
pub mod boot;
pub mod check;
pub mod cli;
pub mod image;
pub mod kmod;
pub mod plan;
pub mod talos;
