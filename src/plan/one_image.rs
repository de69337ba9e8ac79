//! The image of one platform, opened: its manifest and configuration, checked against each other.

use super::error::{Error, Problem};
use crate::base::Epoch;
use crate::base::fsio::At as _;
use crate::image::config::{self, ConfigFile};
use crate::image::document::{DOCUMENT_LIMIT, Source as _};
use crate::image::{Document, Manifest, MediaError, Opened, Parsed, media_type};

/// How deep an index may lie in indexes, as in an image set.
const DEPTH: usize = 4;

/// An image of one platform.
#[derive(Debug)]
pub struct OneImage<'a> {
    /// What it was opened from.
    pub image: &'a Opened,
    /// Its manifest as it is stored.
    pub document: Document,
    /// Its manifest, parsed.
    pub manifest: Manifest,
    /// Its configuration.
    pub config: ConfigFile,
}

impl<'a> OneImage<'a> {
    /// Reads manifest and configuration. An artifact (a chart, a signature) is no image; an image whose
    /// configuration counts other layers than its manifest is broken.
    pub fn read(image: &'a Opened, document: Document) -> Result<Self, Error> {
        let name = image.reference.to_string();
        let Parsed::Manifest(manifest) = document.parse()? else {
            return Err(Problem::new(format!("`{name}` is an index where an image is wanted")).into());
        };
        let kind = manifest.config.media_type.as_str();
        if !matches!(kind, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) {
            return Err(Problem::new(format!(
                "`{name}` is an artifact of type `{kind}`, and no container image"
            ))
            .hint("charts, signatures and the like are copied as they are by `talosmith copy`")
            .into());
        }
        let config = read_config(image, &manifest)?;
        let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids().len());
        if layers != diff_ids {
            return Err(Problem::new(format!("image `{name}` contradicts itself"))
                .detail(format!("its manifest lists {layers} layers"))
                .detail(format!("its configuration lists {diff_ids}"))
                .into());
        }
        Ok(Self { image, document, manifest, config })
    }

    /// When the image says that it was made.
    pub fn created(&self) -> Option<Epoch> {
        self.config.created.as_deref().and_then(Epoch::from_rfc3339)
    }
}

/// All images below a document: itself, or those of an index and of the indexes in it. Attestations, which
/// have the platform `unknown/unknown`, are no images.
pub fn images_of(image: &Opened) -> Result<Vec<Document>, Error> {
    let mut found = Vec::new();
    visit(image, image.root.clone(), DEPTH, &mut found)?;
    if found.is_empty() {
        return Err(Problem::new(format!("`{}` is an index without images", image.reference)).into());
    }
    Ok(found)
}

fn visit(image: &Opened, document: Document, depth: usize, found: &mut Vec<Document>) -> Result<(), Error> {
    let index = match document.parse()? {
        Parsed::Manifest(_) => {
            found.push(document);
            return Ok(());
        }
        Parsed::Index(index) => index,
    };
    if depth == 0 {
        return Err(Problem::new(format!("`{}` has indexes in indexes in indexes", image.reference)).into());
    }
    for child in &index.manifests {
        let is_document =
            media_type::is_manifest(&child.media_type) || media_type::is_index(&child.media_type);
        let is_attestation = child.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        if is_document && !is_attestation {
            visit(image, image.document(child)?, depth - 1, found)?;
        }
    }
    Ok(())
}

/// Reads an image's configuration, checked against its digest.
pub(super) fn read_config(image: &Opened, manifest: &Manifest) -> Result<ConfigFile, Error> {
    config::parse(&config_bytes(image, manifest)?).map_err(|error| {
        Problem::new(format!("the configuration of `{}` cannot be read", image.reference))
            .detail(error.to_string())
            .into()
    })
}

/// The configuration as it is stored, checked against its digest.
pub(super) fn config_bytes(image: &Opened, manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let origin = image.reference.to_string();
    let bytes =
        image.blob(&manifest.config)?.read(DOCUMENT_LIMIT).at("read the configuration of", &origin)?;
    let mut hasher = manifest.config.digest.hasher();
    hasher.update(&bytes);
    let found = hasher.finish();
    if found != manifest.config.digest {
        return Err(MediaError::Damaged { digest: manifest.config.digest, origin, found }.into());
    }
    Ok(bytes)
}
