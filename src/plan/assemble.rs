//! The steps that make an image of trees: layer, image, index.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Map, Value};

use super::early;
use super::error::Error;
use super::run::{Context, Plan};
use super::step::{Outputs, Step, StepId};
use super::tree_input::TreeInput;
use crate::archive::Entry;
use crate::archive::compress::Compression;
use crate::archive::tar;
use crate::archive::tree;
use crate::base::units::size;
use crate::base::{Activity, Content, Epoch, json};
use crate::image::config::{self, NewConfig};
use crate::image::{Descriptor, Format, Index, Layer, LayerWriter, Manifest, Platform};

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
        Step::new("layer", 2, subject, move |context, progress, _| {
            let root = (!prefix.is_empty()).then(|| (prefix.to_owned(), Entry::directory()));
            let below = input.tree.iter().map(|(path, entry)| (tree::join(prefix, path), entry.clone()));
            write_layer(context, progress, root.into_iter().chain(below), options)
        })
        .tree("tree", input)
        .parameter("prefix", prefix)
        .parameter("compression", options.compression)
        .parameter("format", format!("{:?}", options.format))
        .parameter("epoch", options.epoch.seconds())
        .total(total),
    )
}

/// Writes a layer of these entries, in their order; the outputs of its step.
pub fn write_layer(
    context: &Context,
    progress: &Activity,
    entries: impl Iterator<Item = (String, Entry)>,
    options: LayerOptions,
) -> Result<Outputs, Error> {
    let media_type = options
        .format
        .layer(options.compression)
        .ok_or_else(|| Error::Internal("Docker's media types know no zstd".to_owned()))?;
    let mut writer = LayerWriter::new(&context.store, options.compression, media_type, &context.workers)?;
    let entries: Vec<(String, Entry)> = entries.collect();
    let length = |entry: &Entry| entry.content().map_or(0, Content::len);
    let is_large = entries.iter().map(|(_, entry)| length(entry)).sum::<u64>() >= LARGE;
    if is_large && options.compression != Compression::None {
        writer = writer.cached();
    }
    // What is small would be whole before it is on its way.
    let pushing = if is_large { context.push_early(&writer) } else { Vec::new() };
    let mut tar = tar::Writer::new(Told { out: writer, progress }, Some(options.epoch));
    let mut since = 0;
    for (path, entry) in entries {
        if since >= BOUNDARY {
            tar.boundary()?;
            since = 0;
        }
        tar.append(&path, &entry)?;
        since += length(&entry);
    }
    let layer = tar.finish()?.out.finish()?;
    early::end(pushing, &layer);
    let outcome = format!("{} in {}", size(layer.descriptor.size), options.compression);
    Ok(Outputs::default()
        .with_blob("layer", layer.descriptor)
        .with_value("diff-id", layer.diff_id.to_string())
        .with_value("outcome", outcome))
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

/// From so many bytes of files on a layer's compressed parts are kept: they take as much room again as the layer.
const LARGE: u64 = 8 << 20;
/// After so many bytes of files a member may begin a part of its own: what a quarter of a part of gzip has.
const BOUNDARY: u64 = 64 << 10;

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

/// What an image is put on.
#[derive(Debug, Clone, Default)]
pub struct Base {
    /// Layers that are there already, the lowest first.
    pub layers: Vec<Layer>,
    /// The part `config` of its configuration, which goes on.
    pub config: Map<String, Value>,
}

/// Adds the step that makes an image of layers, each with the words that stand in its history.
pub fn image<'p>(
    plan: &mut Plan<'p>,
    platform: &'p Platform,
    layers: &[(StepId, &'static str)],
    options: &'p ImageOptions,
) -> StepId {
    image_on(plan, platform, None, layers, options)
}

/// The same on top of another image, whose layers keep their digests and the order in which they are.
pub fn image_on<'p>(
    plan: &mut Plan<'p>,
    platform: &'p Platform,
    base: Option<&'p Base>,
    layers: &[(StepId, &'static str)],
    options: &'p ImageOptions,
) -> StepId {
    let histories: Vec<&'static str> = layers.iter().map(|(_, history)| *history).collect();
    let below = base.map(|base| {
        let layers = base.layers.iter().map(|layer| (&layer.descriptor, layer.diff_id));
        (layers.collect::<Vec<_>>(), &base.config)
    });
    let parameters = json::to_vec(&(platform, &histories, &options.labels, &options.annotations, below));
    let step = Step::new("image", 2, platform.to_string(), move |context, _, inputs| {
        let mut layers: Vec<(Layer, String)> = Vec::new();
        if let Some(base) = base {
            let word = || "talosmith: base".to_owned();
            layers.extend(base.layers.iter().map(|layer| (options.format.adopted(layer), word())));
        }
        for (outputs, history) in inputs.iter().zip(&histories) {
            let diff_id = outputs
                .value("diff-id")?
                .parse()
                .map_err(|_| Error::Internal("a diff id is no digest".to_owned()))?;
            layers
                .push((Layer { descriptor: outputs.blob("layer")?.clone(), diff_id }, (*history).to_owned()));
        }
        let new = NewConfig {
            platform,
            created: options.epoch,
            labels: &options.labels,
            inherited: base.map(|base| &base.config),
            layers: &layers,
        };
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

/// Keeps a manifest or index; the outputs of its step.
pub(super) fn store_document(context: &Context, media_type: &str, bytes: Vec<u8>) -> Result<Outputs, Error> {
    context.store.put(&bytes)?;
    Ok(Outputs::default().with_blob("document", Descriptor::of(media_type, &bytes)))
}
