//! The base installer: whose layers an installer image begins with.

use std::sync::Arc;

use super::source::{Source, image_for};
use crate::archive::tree::is_below;
use crate::base::Epoch;
use crate::base::fsio::At as _;
use crate::image::document::{DOCUMENT_LIMIT, Source as _};
use crate::image::{Format, Layer, Opened, Platform, config};
use crate::plan::assemble;
use crate::plan::error::{Error, Problem};
use crate::plan::one_image::OneImage;
use crate::plan::run::Context;
use crate::plan::subject::{BOOT_ASSETS, kind_of_image};
use crate::talos::installer::kept_layers;
use crate::talos::kind::Kind;

/// The base of one platform.
#[derive(Debug)]
pub(super) struct Base {
    /// Its image, of which the layers are fetched where a target wants them.
    pub(super) source: Arc<Opened>,
    /// As the user named it.
    pub(super) reference: String,
    /// What it is.
    pub(super) kind: Kind,
    /// What goes on in the installer.
    pub(super) on: assemble::Base,
    /// Whose media types it has.
    pub(super) format: Format,
    /// When it was made.
    pub(super) created: Option<Epoch>,
}

impl Base {
    /// Reads what the installer takes over.
    pub(super) fn read(
        context: &Context,
        source: &Source,
        reference: &str,
        platform: &Platform,
    ) -> Result<Self, Error> {
        let Source::Image(image) = source else {
            return Err(Problem::new(format!("`{reference}` is no image, and the base is one"))
                .hint("write `oci:DIR` for an OCI layout")
                .into());
        };
        let one = image_for(image, platform)?;
        is_for(&one, reference, platform)?;
        // What starts the installer needs no second look into hundreds of megabytes.
        let kind = match one.config.entrypoint().first().map(String::as_str) {
            Some("/bin/installer") => Kind::InstallerBase,
            Some("/bin/imager") => Kind::Imager,
            _ => kind_of_image(context, &one)?.0,
        };
        let bytes = image
            .blob(&one.manifest.config)?
            .read(DOCUMENT_LIMIT)
            .at("read the configuration of", reference)?;
        let config = config::inner(&bytes).map_err(|error| {
            Problem::new(format!("the configuration of `{reference}` cannot be read"))
                .detail(error.to_string())
        })?;
        let layers: Vec<Layer> = one
            .manifest
            .layers
            .iter()
            .zip(one.config.diff_ids())
            .map(|(descriptor, diff_id)| Layer { descriptor: descriptor.clone(), diff_id })
            .collect();
        let second = if layers.len() == 2 { holds_assets_alone(context, &one)? } else { false };
        let kept = kept_layers(layers.len(), || second);
        Ok(Self {
            source: Arc::clone(image),
            reference: reference.to_owned(),
            kind,
            on: assemble::Base { layers: layers.into_iter().take(kept).collect(), config },
            format: Format::of_manifest(&one.document.media_type()),
            created: one.created(),
        })
    }
}

/// Whether the last layer holds boot assets and nothing else.
fn holds_assets_alone(context: &Context, one: &OneImage<'_>) -> Result<bool, Error> {
    let (_, files) = kind_of_image(context, one)?;
    let last = one.manifest.layers.last().map(|layer| layer.digest);
    let mut own = files
        .tree
        .iter()
        .filter(|(path, entry)| !entry.is_directory() && files.layers.get(*path).copied() == last);
    Ok(own.all(|(path, _)| is_below(path, BOOT_ASSETS)))
}

/// An image without an index names its platform in its configuration alone.
fn is_for(one: &OneImage<'_>, reference: &str, platform: &Platform) -> Result<(), Error> {
    match one.config.platform() {
        Some(own) if !own.satisfies(platform) => Err(Problem::new(format!(
            "the base `{reference}` is for {own}, and the installer for {platform}"
        ))
        .into()),
        _ => Ok(()),
    }
}
