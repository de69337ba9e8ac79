//! The whole of it. The order is the point: kinds of images, kernels, architectures and codecs are
//! looked at before anything is unpacked, and what is made is read back before it is written anywhere.

use std::collections::BTreeMap;

use super::super::assemble::LayerOptions;
use super::super::error::Error;
use super::super::outputs::{Sets, Written, source};
use super::super::run::{Context, Plan};
use super::super::step::{Outputs, StepId};
use super::assets::{self, Assets, Part};
use super::base::{INITRAMFS, Stock};
use super::document;
use super::kernels::KernelInput;
use super::rootfs::{self, Exchange};
use crate::archive::compress::Compression;
use crate::base::{Digest, Epoch};
use crate::image::{Format, Media, Opened, Parsed, Platform, Reference};
use crate::talos::Architecture;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CustomImagerSpec {
    /// The stock imager.
    pub base: Reference,
    /// Images of kernels, of which at least one.
    pub kernels: Vec<String>,
    /// Of an index, these platforms; all, if there are none.
    pub platforms: Vec<Platform>,
    /// Modules of the stock list that a kernel lacks are left out.
    pub allow_missing: bool,
    /// `SOURCE_DATE_EPOCH`, where it is set.
    pub epoch: Option<Epoch>,
    /// Where to. With `{arch}` each platform's image is written by itself.
    pub outputs: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct BuiltImager {
    /// The outputs.
    pub written: Vec<Written>,
    /// What was exchanged, by architecture.
    pub exchanged: Vec<Exchange>,
}

/// Makes the imager and writes it to every output.
pub fn build(spec: &CustomImagerSpec, context: &Context) -> Result<BuiltImager, Error> {
    let image = Media::from(context).open(&spec.base)?;
    let stocks = Stock::all(context, &image, &spec.platforms)?;
    let mut wanted: Vec<Architecture> = stocks.iter().flat_map(Stock::architectures).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let cache = context.stat_cache();
    let kernels = KernelInput::all(context, &spec.kernels, &wanted, cache)?;
    context.keep_digests();
    let newest = stocks.iter().map(|stock| stock.one.created());
    let newest = newest.chain(kernels.iter().map(|kernel| kernel.created)).flatten().max();
    let epoch = spec.epoch.or(newest).unwrap_or_default();
    let index = match (stocks.len(), image.root.parse()?) {
        (2.., Parsed::Index(index)) => Some(index),
        _ => None,
    };
    let mut plan = Plan::new();
    let mut made = Made::default();
    let mut images = Vec::new();
    for stock in &stocks {
        let layer = made.layer(&mut plan, stock, &kernels, spec, epoch)?;
        images.push((document::image(&mut plan, stock, layer, epoch), stock));
    }
    let whole = (images.len() > 1).then(|| document::index(&mut plan, &images, index.as_ref()));
    made.warnings.iter().for_each(|text| context.events.warn(text.clone(), None));
    let platforms = stocks.iter().map(|stock| &stock.platform);
    let outputs = plan.run(&context.pushing(&spec.outputs, platforms))?;
    let exchanged = made.tell(context, &outputs)?;
    let images: Vec<(StepId, &Platform)> =
        images.iter().map(|(step, stock)| (*step, &stock.platform)).collect();
    let sets = Sets::collect(context, &outputs, &images, whole)?;
    let written = write(context, &sets, &image, &stocks, &spec.outputs)?;
    Ok(BuiltImager { written, exchanged })
}

/// The steps that are there: platforms of a stock imager have the same boot assets, which are made once.
#[derive(Default)]
struct Made {
    rootfs: BTreeMap<(Architecture, Digest), (StepId, StepId)>,
    warnings: Vec<String>,
}

impl Made {
    /// The layer for one platform's image: the assets of each architecture that there is a kernel for.
    fn layer<'p>(
        &mut self,
        plan: &mut Plan<'p>,
        stock: &'p Stock<'p>,
        kernels: &'p [KernelInput],
        spec: &'p CustomImagerSpec,
        epoch: Epoch,
    ) -> Result<StepId, Error> {
        let mut assets = Vec::new();
        for kernel in kernels {
            let part = Part { stock, kernel };
            let Some((_, digest)) = stock.asset(kernel.architecture, INITRAMFS) else { continue };
            let codec = part.codec()?;
            let (unpacked, rootfs) = match self.rootfs.get(&(kernel.architecture, digest)) {
                Some(known) => *known,
                None => {
                    let unpacked = rootfs::unpacked(plan, part, codec)?;
                    let exchanged = rootfs::exchanged(plan, part, unpacked, spec.allow_missing);
                    self.rootfs.insert((kernel.architecture, digest), (unpacked, exchanged));
                    (unpacked, exchanged)
                }
            };
            let (sbom, warning) = assets::sbom(&part)?;
            if let Some(warning) = warning.filter(|warning| !self.warnings.contains(warning)) {
                self.warnings.push(warning);
            }
            assets.push(Assets { part, codec, unpacked, rootfs, sbom });
        }
        let format = Format::of_manifest(&stock.one.document.media_type());
        let options = LayerOptions { compression: Compression::GZIP, format, epoch };
        Ok(assets::layer(plan, assets, options))
    }

    /// Tells what the steps have to tell.
    fn tell(&self, context: &Context, outputs: &[Outputs]) -> Result<Vec<Exchange>, Error> {
        let mut all = Vec::new();
        for (_, exchanged) in self.rootfs.values() {
            let exchange = rootfs::told(exchanged.outputs(outputs)?)?;
            for (text, hint) in &exchange.warnings {
                context.events.warn(text.clone(), hint.clone());
            }
            all.push(exchange);
        }
        Ok(all)
    }
}

fn write(
    context: &Context,
    sets: &Sets,
    image: &Opened,
    stocks: &[Stock<'_>],
    outputs: &[String],
) -> Result<Vec<Written>, Error> {
    let to_registry = outputs
        .iter()
        .all(|output| matches!(super::super::extension::parse(output), Ok(Reference::Registry(_))));
    if !to_registry {
        for stock in stocks {
            image.prefetch(&stock.one.manifest.layers, &context.events)?;
        }
    }
    let fetch = source(image, to_registry);
    sets.write(context, outputs, &fetch, image.registry())
}
