//! Copies an image between any two media. What passes through keeps its bytes and digests.

use super::error::Error;
use super::one_image::read_config;
use super::outputs::{self, Written};
use super::run::Context;
use crate::image::document::select;
use crate::image::{Document, ImageSet, Media, Opened, Parsed, Platform, Reference};

/// Copies `source` to each of `targets`; of an index the one `platform`, or all of it.
pub fn copy(
    context: &Context,
    source: &Reference,
    targets: &[Reference],
    platform: Option<&Platform>,
) -> Result<Vec<Written>, Error> {
    let image = Media::from(context).open(source)?;
    let root = match platform {
        Some(platform) => select(&image, image.root.clone(), Some(platform))?.0,
        None => image.root.clone(),
    };
    let set = whole(&image, root)?;
    write(context, &image, &set, targets)
}

/// All of the image below a root.
pub(super) fn whole(image: &Opened, root: Document) -> Result<ImageSet, Error> {
    Ok(ImageSet::read(image, placed(image, root))?)
}

/// Writes what was read of `image` to each of `targets`.
pub(super) fn write(
    context: &Context,
    image: &Opened,
    set: &ImageSet,
    targets: &[Reference],
) -> Result<Vec<Written>, Error> {
    let local = image.registry().is_none();
    let to_registry = targets.iter().all(|target| matches!(target, Reference::Registry(_)));
    if !local && !to_registry {
        image.prefetch(&set.blobs, &context.events)?;
    }
    let fetch = outputs::source(image, to_registry);
    outputs::write(context, targets, set, &fetch, image.registry())
}

/// The root with its platform in the descriptor: a layout that is fed to the Talos imager must have it
/// there. An artifact, whose configuration is none of an image, stays as it is.
fn placed(image: &Opened, mut root: Document) -> Document {
    if root.descriptor.platform.is_none()
        && let Ok(Parsed::Manifest(manifest)) = root.parse()
    {
        root.descriptor.platform = read_config(image, &manifest).ok().and_then(|config| config.platform());
    }
    root
}
