//! Copies an image between any two media. What passes through keeps its bytes and digests.

use super::error::Error;
use super::one_image::read_config;
use super::outputs::{self, Written};
use super::run::Context;
use crate::base::fsio::At as _;
use crate::image::document::{Source as _, select};
use crate::image::{Descriptor, Document, ImageSet, Media, MediaError, Opened, Parsed, Platform, Reference};

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
    let set = ImageSet::read(&image, placed(&image, root))?;
    let local = image.registry().is_none();
    let to_registry = targets.iter().all(|target| matches!(target, Reference::Registry(_)));
    if !local && !to_registry {
        image.prefetch(&set.blobs, &context.events)?;
    }
    // What comes from a registry was checked when it was pulled, and a push checks what it sends; only
    // between files nobody else has looked.
    let fetch = |blob: &Descriptor| -> Result<crate::base::Content, MediaError> {
        let content = image.blob(blob)?;
        if local && !to_registry {
            let mut hasher = blob.digest.hasher();
            let origin = image.reference.to_string();
            let mut reader = content.open().at("read", &origin)?;
            std::io::copy(&mut reader, &mut hasher).at("read", &origin)?;
            let found = hasher.finish();
            if found != blob.digest {
                return Err(MediaError::Damaged { digest: blob.digest, origin, found });
            }
        }
        Ok(content)
    };
    outputs::write(context, targets, &set, &fetch, image.registry())
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
