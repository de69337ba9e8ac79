//! The images that a plan made, and where they go.

use std::collections::HashSet;

use super::early;
use super::error::Error;
use super::extension::{for_platform, parse};
use super::run::{Context, Plan};
use super::step::{Outputs, Step, StepId};
use crate::base::fsio::At as _;
use crate::base::{Content, Digest};
use crate::image::document::Source as _;
use crate::image::layout::Fetch;
use crate::image::registry::Progress as Transfer;
use crate::image::{
    Descriptor, Document, ImageSet, Media, MediaError, Opened, Parsed, Platform, Reference, RegistryReference,
};

/// The names of steps that write an image: to a registry, and elsewhere. What comes of them is its digest.
pub const STEPS: [&str; 2] = ["push", "write"];

/// The images that were made.
#[derive(Debug)]
pub struct Sets {
    /// The index of all platforms; the only image, if there is one platform.
    whole: ImageSet,
    /// Each platform's image by itself.
    single: Vec<(Platform, ImageSet)>,
}

impl Sets {
    /// Collects what the steps gave: an image for each platform, and the index over them, if there is one.
    pub fn collect(
        context: &Context,
        outputs: &[Outputs],
        images: &[(StepId, &Platform)],
        index: Option<StepId>,
    ) -> Result<Self, Error> {
        let descriptor = |step: StepId| step.outputs(outputs)?.blob("document").cloned();
        let images: Vec<(Platform, Descriptor)> = images
            .iter()
            .map(|(step, platform)| Ok(((*platform).clone(), descriptor(*step)?)))
            .collect::<Result<_, Error>>()?;
        Self::of(context, &images, index.map(descriptor).transpose()?.as_ref())
    }

    /// The same of what is in the store.
    pub(super) fn of(
        context: &Context,
        images: &[(Platform, Descriptor)],
        index: Option<&Descriptor>,
    ) -> Result<Self, Error> {
        let mut whole = ImageSet { documents: Vec::new(), blobs: Vec::new() };
        let mut single = Vec::new();
        let mut seen = HashSet::new();
        for (platform, descriptor) in images {
            let mut document = document(context, descriptor)?;
            // A layout's index must name the platform, or the Talos imager does not find the image.
            document.descriptor.platform = Some(platform.clone());
            let mut set = ImageSet { documents: vec![document.clone()], blobs: Vec::new() };
            if let Parsed::Manifest(manifest) = document.parse()? {
                set.blobs.extend(std::iter::once(manifest.config).chain(manifest.layers));
            }
            // Platforms share blobs: the layer of an extension's manifest at least.
            whole.blobs.extend(set.blobs.iter().filter(|blob| seen.insert(blob.digest)).cloned());
            whole.documents.push(document);
            single.push((platform.clone(), set));
        }
        if let Some(index) = index {
            whole.documents.push(self::document(context, index)?);
        }
        Ok(Self { whole, single })
    }

    /// The image of each platform, and the index over them.
    pub(super) fn roots(&self) -> (Vec<(Platform, Descriptor)>, Option<Descriptor>) {
        let images = self.single.iter().filter_map(|(platform, set)| {
            Some((platform.clone(), Descriptor { platform: None, ..set.root()?.descriptor.clone() }))
        });
        let index = self.whole.root().filter(|_| self.single.len() > 1);
        (images.collect(), index.map(|index| index.descriptor.clone()))
    }

    /// Every document and blob.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Descriptor> {
        let documents = self.whole.documents.iter().map(|document| &document.descriptor);
        documents.chain(&self.whole.blobs)
    }

    /// Writes the images to `outputs`; one with `{arch}` is written for each platform by itself. `fetch` gives
    /// the blobs that the store does not have.
    pub fn write(
        &self,
        context: &Context,
        outputs: &[String],
        fetch: &Fetch<'_, MediaError>,
        source: Option<&RegistryReference>,
    ) -> Result<Vec<Written>, Error> {
        let (own, whole): (Vec<&String>, Vec<&String>) =
            outputs.iter().partition(|output| output.contains("{arch}"));
        let fetch = |blob: &Descriptor| -> Result<Content, MediaError> {
            match context.blob(blob) {
                Ok(content) => Ok(content),
                Err(Error::Media(error)) => Err(error),
                Err(_) => fetch(blob),
            }
        };
        let whole = whole.into_iter().map(|output| parse(output)).collect::<Result<Vec<_>, _>>()?;
        let mut written = write(context, &whole, &self.whole, &fetch, source)?;
        for (platform, set) in &self.single {
            let outputs = own.iter().map(|output| parse(&for_platform(output, platform)));
            let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
            written.extend(write(context, &outputs, set, &fetch, source)?);
        }
        Ok(written)
    }
}

/// For images all of whose blobs are in the store: that one is not is an error.
pub fn nowhere_else(context: &Context) -> impl Fn(&Descriptor) -> Result<Content, MediaError> + Sync {
    let store = context.store.root().to_owned();
    move |blob| {
        Err(MediaError::Unusable {
            reference: store.display().to_string(),
            why: format!("has lost blob {}", blob.digest),
            hint: Some("run the command again: it is made anew".to_owned()),
        })
    }
}

/// The blobs of an image that is written on. What comes from a registry was checked when it was pulled. Of what lies
/// in files nobody else has looked, unless whoever takes it looks (`is_checked`), as a push does.
pub fn source(
    image: &Opened,
    is_checked: bool,
) -> impl Fn(&Descriptor) -> Result<Content, MediaError> + Sync {
    let unchecked = image.registry().is_none() && !is_checked;
    move |blob| {
        let content = image.blob(blob)?;
        if unchecked {
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
    }
}

/// Reads a document that a step has put into the store.
pub fn document(context: &Context, descriptor: &Descriptor) -> Result<Document, Error> {
    let bytes = context.bytes(descriptor, crate::image::document::DOCUMENT_LIMIT)?.into();
    Ok(Document { descriptor: descriptor.clone(), bytes })
}

/// An image that was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Where to, as the user wrote it, normalised.
    pub reference: String,
    /// The digest that people quote.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Bytes of all blobs and documents, as they lie in a registry.
    pub size: u64,
}

/// Writes `set` to every target, as steps of a plan of their own: the targets are independent.
pub fn write(
    context: &Context,
    targets: &[Reference],
    set: &ImageSet,
    fetch: &Fetch<'_, MediaError>,
    source: Option<&RegistryReference>,
) -> Result<Vec<Written>, Error> {
    let media = Media::from(context);
    let blobs = set.blobs.iter().map(|blob| blob.size).sum::<u64>();
    let documents: u64 = set.documents.iter().map(|document| document.descriptor.size).sum();
    let mut plan = Plan::new();
    for target in targets {
        let [push, write] = STEPS;
        let (media, name) = (&media, if matches!(target, Reference::Registry(_)) { push } else { write });
        let step = Step::new(name, 1, target.to_string(), move |_, progress, _| {
            let digest = media
                .write(target, set, fetch, source, &Transfer::of(progress.events(), progress.id()))
                .map_err(|error| Error::Output {
                    target: target.to_string(),
                    source: Box::new(error.into()),
                })?;
            if let Reference::Registry(reference) = target {
                early::leave(&media.store, reference, &digest, &set.blobs);
            }
            let digest = digest.to_string();
            Ok(Outputs::default().with_value("outcome", digest.as_str()).with_value("digest", digest))
        });
        plan.add(step.total(blobs).always());
    }
    let outputs = plan.run(context)?;
    let root = set.root().ok_or_else(|| Error::Internal("nothing was to be written".to_owned()))?;
    targets
        .iter()
        .zip(&outputs)
        .map(|(target, outputs)| {
            let digest = outputs.value("digest")?.parse();
            Ok(Written {
                reference: target.to_string(),
                digest: digest.map_err(|_| Error::Internal("a digest is none".to_owned()))?,
                media_type: root.media_type(),
                size: blobs + documents,
            })
        })
        .collect()
}

impl From<&Context> for Media {
    fn from(context: &Context) -> Self {
        Self {
            store: context.store.clone(),
            workers: context.workers.clone(),
            client: context.client.clone(),
            pins: context.pins.clone(),
        }
    }
}
