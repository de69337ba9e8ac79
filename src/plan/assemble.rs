//! The steps that make an image of trees: layer, image, index, and the writing of the result.

use std::collections::BTreeMap;
use std::io;

use super::error::Error;
use super::run::{Context, Plan};
use super::step::{Outputs, Step, StepId};
use super::tree_input::TreeInput;
use crate::archive::Entry;
use crate::archive::compress::Compression;
use crate::archive::tar;
use crate::archive::tree;
use crate::base::units::size;
use crate::base::{Activity, Content, Digest, Epoch, json};
use crate::image::config::{self, NewConfig};
use crate::image::registry::Progress as Transfer;
use crate::image::{
    Descriptor, Document, Format, ImageSet, Index, Layer, LayerWriter, Manifest, Media, MediaError, Platform,
    Reference, RegistryReference,
};

/// How layers are made.
#[derive(Debug, Clone, Copy)]
pub struct LayerOptions {
    /// How they are compressed.
    pub compression: Compression,
    /// Whose media types they carry.
    pub format: Format,
    /// The time of every entry.
    pub epoch: Epoch,
}

/// Adds the step that makes a layer of `input` with all its paths below `prefix`.
pub fn layer<'p>(
    plan: &mut Plan<'p>,
    input: &'p TreeInput,
    prefix: &'p str,
    subject: String,
    options: LayerOptions,
) -> StepId {
    let total = input.tree.iter().filter_map(|(_, entry)| entry.content()).map(Content::len).sum();
    plan.add(
        Step::new("layer", 1, subject, move |context, progress, _| {
            let media_type = options
                .format
                .layer(options.compression)
                .ok_or_else(|| Error::Internal("Docker's media types know no zstd".to_owned()))?;
            let writer = LayerWriter::new(&context.store, options.compression, media_type, &context.workers)?;
            let mut tar = tar::Writer::new(Told { out: writer, progress }, Some(options.epoch));
            if !prefix.is_empty() {
                tar.append(prefix, &Entry::directory())?;
            }
            for (path, entry) in input.tree.iter() {
                tar.append(&tree::join(prefix, path), entry)?;
            }
            let layer = tar.finish()?.out.finish()?;
            let outcome = format!("{} in {}", size(layer.descriptor.size), options.compression);
            Ok(Outputs::default()
                .with_blob("layer", layer.descriptor)
                .with_value("diff-id", layer.diff_id.to_string())
                .with_value("outcome", outcome))
        })
        .parameter("tree", input.key())
        .parameter("prefix", prefix)
        .parameter("compression", options.compression)
        .parameter("format", format!("{:?}", options.format))
        .parameter("epoch", options.epoch.seconds())
        .total(total),
    )
}

/// Tells of what is written through it.
struct Told<'a, W> {
    out: W,
    progress: &'a Activity,
}

impl<W: io::Write> io::Write for Told<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.progress.advance(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What an image says of itself.
#[derive(Debug, Clone)]
pub struct ImageOptions {
    /// Whose media types.
    pub format: Format,
    /// `created`.
    pub epoch: Epoch,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest (and index), which Docker's format does not have.
    pub annotations: BTreeMap<String, String>,
}

/// Adds the step that makes an image of layers, each with the words that stand in its history.
pub fn image<'p>(
    plan: &mut Plan<'p>,
    platform: &'p Platform,
    layers: &[(StepId, &'static str)],
    options: &'p ImageOptions,
) -> StepId {
    let histories: Vec<&'static str> = layers.iter().map(|(_, history)| *history).collect();
    let parameters = json::to_vec(&(platform, &histories, &options.labels, &options.annotations));
    let step = Step::new("image", 1, platform.to_string(), move |context, _, inputs| {
        let mut layers = Vec::new();
        for (outputs, history) in inputs.iter().zip(&histories) {
            let diff_id = outputs
                .value("diff-id")?
                .parse()
                .map_err(|_| Error::Internal("a diff id is no digest".to_owned()))?;
            layers
                .push((Layer { descriptor: outputs.blob("layer")?.clone(), diff_id }, (*history).to_owned()));
        }
        let new = NewConfig { platform, created: options.epoch, labels: &options.labels, layers: &layers };
        let config = config::encode(&new).map_err(|error| Error::Internal(error.to_string()))?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(options.format.manifest().to_owned()),
            config: Descriptor::of(options.format.config(), &config),
            layers: layers.into_iter().map(|(layer, _)| layer.descriptor).collect(),
            annotations: annotations(options),
            other: serde_json::Map::new(),
        };
        context.store.put(&config)?;
        let mut outputs = store_document(context, options.format.manifest(), json::to_vec(&manifest))?;
        outputs.blobs.insert("config".to_owned(), manifest.config);
        Ok(outputs)
    });
    let step = step
        .parameter("says", String::from_utf8_lossy(&parameters))
        .parameter("format", format!("{:?}", options.format))
        .parameter("epoch", options.epoch.seconds());
    plan.add(layers.iter().fold(step, |step, (layer, _)| step.needs(*layer)))
}

/// Adds the step that makes an index of images, each with its platform.
pub fn index<'p>(
    plan: &mut Plan<'p>,
    images: &[(StepId, &'p Platform)],
    options: &'p ImageOptions,
) -> StepId {
    let platforms: Vec<&'p Platform> = images.iter().map(|(_, platform)| *platform).collect();
    let parameters = json::to_vec(&(&platforms, &options.annotations));
    let step = Step::new("index", 1, format!("{} platforms", images.len()), move |context, _, inputs| {
        let mut manifests = Vec::new();
        for (outputs, platform) in inputs.iter().zip(&platforms) {
            let mut image = outputs.blob("document")?.clone();
            image.platform = Some((*platform).clone());
            manifests.push(image);
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(options.format.index().to_owned()),
            manifests,
            annotations: annotations(options),
            other: serde_json::Map::new(),
        };
        store_document(context, options.format.index(), json::to_vec(&index))
    });
    let step = step
        .parameter("says", String::from_utf8_lossy(&parameters))
        .parameter("format", format!("{:?}", options.format));
    plan.add(images.iter().fold(step, |step, (image, _)| step.needs(*image)))
}

fn annotations(options: &ImageOptions) -> BTreeMap<String, String> {
    match options.format {
        Format::Oci => options.annotations.clone(),
        Format::Docker => BTreeMap::new(),
    }
}

fn store_document(context: &Context, media_type: &str, bytes: Vec<u8>) -> Result<Outputs, Error> {
    context.store.put(&bytes)?;
    Ok(Outputs::default().with_blob("document", Descriptor::of(media_type, &bytes)))
}

/// Reads a document that a step has put into the store.
pub fn document(context: &Context, outputs: &Outputs) -> Result<Document, Error> {
    let descriptor = outputs.blob("document")?.clone();
    let bytes = context.bytes(&descriptor, crate::image::document::DOCUMENT_LIMIT)?.into();
    Ok(Document { descriptor, bytes })
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
    fetch: &crate::image::layout::Fetch<'_, MediaError>,
    source: Option<&RegistryReference>,
) -> Result<Vec<Written>, Error> {
    let media = Media::from(context);
    let blobs = set.blobs.iter().map(|blob| blob.size).sum::<u64>();
    let documents: u64 = set.documents.iter().map(|document| document.descriptor.size).sum();
    let mut plan = Plan::new();
    for target in targets {
        let (media, name) = (&media, if matches!(target, Reference::Registry(_)) { "push" } else { "write" });
        let step = Step::new(name, 1, target.to_string(), move |_, progress, _| {
            let digest = media
                .write(target, set, fetch, source, &Transfer::of(progress.events(), progress.id()))
                .map_err(|error| Error::Output {
                    target: target.to_string(),
                    source: Box::new(error.into()),
                })?;
            Ok(Outputs::default().with_value("digest", digest.to_string()))
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
        }
    }
}
