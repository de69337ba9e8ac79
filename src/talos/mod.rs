//! What Talos demands of what is built for it.
//!
//! | file | what it holds |
//! |---|---|
//! | [`version`] | Talos versions and every difference between them |
//! | [`range`] | the constraints on versions |
//! | [`extension`] | where things lie in an extension image |
//! | [`kind`] | what kind of image something is |
//! | [`issue`] | what is wrong with a file that could be read |
//! | [`manifest`] | `manifest.yaml` of an extension |
//! | [`mod@modules_dep`] | the extension that indexes all modules of an installer |
//! | [`initramfs`] | the initramfs of an installer: composed, read, verified |
//! | [`service`] | the specification of an extension service |
//! | [`template`] | `manifest.yaml.tmpl` and `vars.yaml` |

pub mod extension;
pub mod initramfs;
pub mod issue;
pub mod kind;
pub mod manifest;
pub mod modules_dep;
pub mod range;
pub mod service;
pub mod template;
pub mod version;

pub use issue::{Issue, IssueKind};
pub use manifest::{Manifest, is_official_version_shape};
pub use range::{Range, RangeError};
pub use service::Service;
pub use template::{TemplateError, parse_vars, render_template};
pub use version::{Architecture, Version};
