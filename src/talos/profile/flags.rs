//! The flags of Talos' imager, as a profile that lies on the one that is named beside them:
//! cmd/installer/cmd/imager in siderolabs/talos.
//!
//! `--output` and `--tar-to-stdout` say where the output goes, the flags of Secure Boot what signs it: they
//! are no part of this.

use super::document::{Container, Input, Overlay, Profile, lay};
use crate::base::yaml::{self, Any, Cursor};
use crate::talos::document::{self, DocumentError};
use crate::talos::meta::MetaValue;
use crate::talos::output::OutputKind;
use crate::talos::version::Architecture;

/// The flags, each as it was given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProfileFlags {
    /// `--arch`.
    pub architecture: Option<Architecture>,
    /// `--platform`.
    pub platform: Option<String>,
    /// `--base-installer-image`.
    pub base_installer: Option<String>,
    /// `--system-extension-image`, in order.
    pub extensions: Vec<String>,
    /// `--extra-kernel-arg`, in order.
    pub extra_kernel_args: Vec<String>,
    /// `--meta`, in order.
    pub meta: Vec<MetaValue>,
    /// `--overlay-name`.
    pub overlay_name: Option<String>,
    /// `--overlay-image`.
    pub overlay_image: Option<String>,
    /// `--overlay-option`, after the files that it names were read: a later one takes the place of an
    /// earlier one of its key.
    pub overlay_options: Vec<(String, Any)>,
    /// What the file of `--embedded-config-path` holds.
    pub embedded_config: Option<String>,
    /// `--image-cache`.
    pub image_cache: Option<String>,
    /// `--insecure`: for the base and the extensions, not for overlays, as upstream has it.
    pub insecure: bool,
    /// `--output-kind`.
    pub kind: Option<OutputKind>,
}

/// An argument of `--overlay-option`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayOption {
    /// `KEY=VALUE`; the value is always a text.
    Value(String, String),
    /// `KEY=@FILE`: the value is what the file holds.
    File(String, String),
    /// `@FILE`: a document of options.
    Document(String),
}

impl OverlayOption {
    /// Reads an argument. A key alone has an empty value.
    pub fn parse(text: &str) -> Self {
        if let Some(file) = text.strip_prefix('@') {
            return Self::Document(file.to_owned());
        }
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        match value.strip_prefix('@') {
            Some(file) => Self::File(key.to_owned(), file.to_owned()),
            None => Self::Value(key.to_owned(), value.to_owned()),
        }
    }
}

/// Reads a document of options, a mapping.
pub fn parse_options(bytes: &[u8]) -> Result<Vec<(String, Any)>, DocumentError> {
    let node = yaml::parse(bytes)?;
    Ok(document::options(&Cursor::root(&node))?)
}

impl ProfileFlags {
    /// The profile that lies on the one named `base`.
    pub fn profile(self, base: &str) -> Profile {
        let container = |name: Option<String>, insecure| {
            name.map_or_else(Container::default, |name| Container::image(&name, insecure))
        };
        let overlay_image = container(self.overlay_image, false);
        let mut options = Vec::new();
        for (key, value) in self.overlay_options {
            options.retain(|(there, _)| *there != key);
            lay(&mut options, vec![(key, value)]);
        }
        let has_overlay = self.overlay_name.is_some() || overlay_image != Container::default();
        Profile {
            base: Some(base.to_owned()),
            architecture: self.architecture,
            platform: self.platform,
            extra_kernel_args: self.extra_kernel_args,
            meta: self.meta,
            embedded_config: self.embedded_config,
            input: Input {
                base_installer: container(self.base_installer, self.insecure),
                image_cache: cache(self.image_cache, self.insecure),
                overlay_installer: overlay_image.clone(),
                extensions: self
                    .extensions
                    .iter()
                    .map(|name| Container::image(name, self.insecure))
                    .collect(),
                ..Input::default()
            },
            overlay: has_overlay.then_some(Overlay {
                name: self.overlay_name,
                image: overlay_image,
                options,
            }),
            kind: self.kind,
            ..Profile::default()
        }
    }
}

/// An image cache: a path by its spelling, else a name in a registry.
fn cache(text: Option<String>, insecure: bool) -> Container {
    match text {
        Some(path) if path.starts_with(['.', '/']) || path.ends_with('/') => {
            Container { layout: Some(path), ..Container::default() }
        }
        Some(name) => Container::image(&name, insecure),
        None => Container::default(),
    }
}
