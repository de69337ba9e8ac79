//! The stock image with one more layer: manifest, configuration and index keep what they say.

use super::super::assemble::store_document;
use super::super::error::Error;
use super::super::run::Plan;
use super::super::step::{Step, StepId};
use super::base::Stock;
use crate::base::{Epoch, json};
use crate::image::{Descriptor, Format, Index, Layer, config, media_type};

/// What stands in the history for the new layer.
const HISTORY: &str = "talosmith: custom-imager";

/// Adds the step that makes the image of `stock` and the layer that the step `layer` gives.
pub fn image<'p>(plan: &mut Plan<'p>, stock: &'p Stock<'p>, layer: StepId, epoch: Epoch) -> StepId {
    let run = move |context: &super::super::run::Context, _: &_, inputs: &[&super::super::Outputs]| {
        let input = inputs.first().ok_or_else(|| Error::Internal("a step has no input".to_owned()))?;
        let diff_id = input.value("diff-id")?.parse();
        let diff_id = diff_id.map_err(|_| Error::Internal("a diff id is no digest".to_owned()))?;
        let layer = Layer { descriptor: input.blob("layer")?.clone(), diff_id };
        let old = super::super::one_image::config_bytes(stock.one.image, &stock.one.manifest)?;
        let config = config::with_layer(&old, &layer, epoch, HISTORY)
            .map_err(|error| Error::Internal(format!("a configuration that was read: {error}")))?;
        let mut manifest = stock.one.manifest.clone();
        manifest.config = Descriptor { size: 0, ..manifest.config }; // its annotations stay
        let described = Descriptor::of(&manifest.config.media_type, &config);
        (manifest.config.digest, manifest.config.size) = (described.digest, described.size);
        manifest.layers.push(layer.descriptor);
        context.store.put(&config)?;
        let mut outputs = store_document(context, &stock.one.document.media_type(), json::to_vec(&manifest))?;
        outputs.blobs.insert("config".to_owned(), manifest.config);
        Ok(outputs)
    };
    let step = Step::new("image", 1, stock.platform.to_string(), run)
        .parameter("on", stock.one.document.descriptor.digest)
        .parameter("epoch", epoch.seconds())
        .needs(layer);
    plan.add(step)
}

/// Adds the step that makes the index over images, each with what the stock index says of it.
pub fn index<'p>(
    plan: &mut Plan<'p>,
    images: &[(StepId, &'p Stock<'p>)],
    stock: Option<&'p Index>,
) -> StepId {
    let stocks: Vec<&'p Stock<'p>> = images.iter().map(|(_, stock)| *stock).collect();
    let parameters =
        json::to_vec(&stocks.iter().map(|stock| &stock.one.document.descriptor).collect::<Vec<_>>());
    let run = move |context: &super::super::run::Context, _: &_, inputs: &[&super::super::Outputs]| {
        let mut manifests = Vec::new();
        for (outputs, stock) in inputs.iter().zip(&stocks) {
            let made = outputs.blob("document")?;
            let mut image = stock.one.document.descriptor.clone();
            (image.media_type, image.digest, image.size) = (made.media_type.clone(), made.digest, made.size);
            image.platform = image.platform.or_else(|| Some(stock.platform.clone()));
            manifests.push(image);
        }
        let media_type = match stock.and_then(|index| index.media_type.as_deref()) {
            Some(own) if media_type::is_index(own) => own.to_owned(),
            _ => Format::Oci.index().to_owned(),
        };
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type.clone()),
            manifests,
            annotations: stock.map(|index| index.annotations.clone()).unwrap_or_default(),
            other: stock.map(|index| index.other.clone()).unwrap_or_default(),
        };
        store_document(context, &media_type, json::to_vec(&index))
    };
    let step = Step::new("index", 1, format!("{} platforms", images.len()), run)
        .parameter("on", String::from_utf8_lossy(&parameters))
        .parameter("index", String::from_utf8_lossy(&json::to_vec(&stock)));
    plan.add(images.iter().fold(step, |step, (image, _)| step.needs(*image)))
}
