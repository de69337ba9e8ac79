//! All of it, in order: open, take out, check, make, write.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::assets::{AssetFiles, File};
use super::compose::{self, Composer, Made};
use super::prepare::{self, Prepared};
use super::source::image_for;
use super::spec::{ExtensionSource, InstallerSpec, Output};
use super::{assets, schematic, steps};
use crate::archive::squashfs;
use crate::archive::{Entry, Tree};
use crate::base::fsio;
use crate::base::units::size;
use crate::base::{Activity, Content, Digest, Epoch, locked};
use crate::check::{Checked, Report};
use crate::image::{Descriptor, MediaError, Opened};
use crate::kmod;
use crate::plan::assemble::{self, ImageOptions, LayerOptions};
use crate::plan::error::{Error, Problem};
use crate::plan::outputs::{Sets, Written, nowhere_else, source};
use crate::plan::run::{Context, Plan};
use crate::plan::stat_cache::StatCache;
use crate::plan::step::{Outputs, Step, StepId};
use crate::plan::whole::{Warnings, Whole, hearing};
use crate::talos::Tag;
use crate::talos::installer::{ASSET_MODE, Asset, assets};

/// What came of it.
#[derive(Debug)]
pub struct Built {
    /// The images.
    pub written: Vec<Written>,
    /// The file, if the output is one.
    pub file: Option<PathBuf>,
    /// Warnings and infos of the checks.
    pub report: Report,
    /// The Talos version.
    pub talos: Tag,
    /// What each platform's installer is.
    pub facts: Vec<Facts>,
    /// Names of the extensions' modules, as the kernel has them.
    pub modules: Vec<String>,
}

/// What an installer is, in a few words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// `linux/amd64`
    pub platform: String,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The kernel command line.
    pub cmdline: String,
    /// The extensions in their order; the last lies on top.
    pub extensions: Vec<String>,
}

/// What an installer is made of, all of it taken out.
#[derive(Debug)]
pub struct Inputs<'s> {
    spec: Cow<'s, InstallerSpec>,
    platforms: Vec<Prepared>,
    splash: Option<File>,
    /// The time of everything that is made.
    epoch: Epoch,
}

/// Makes what `spec` asks for and writes it.
pub fn build(spec: &InstallerSpec, context: &Context) -> Result<Built, Error> {
    let spec = schematic::apply(spec, context)?;
    let cache = context.stat_cache();
    let opened = open(&spec, context, cache)?;
    let whole = whole(&spec, &opened, cache)?;
    if let (Some(whole), Output::Installer(outputs)) = (&whole, &spec.output)
        && let Some((known, sets)) = whole.recall::<Known>(context)
        && !known.report.has_errors(&spec.allow)
    {
        let bases: Vec<&Opened> = opened.iter().filter_map(prepare::Inputs::base_image).collect();
        let written = write(context, &sets, &bases, outputs)?;
        let Known { report, talos, facts, modules, warnings } = known;
        warnings.into_iter().for_each(|(text, hint)| context.events.warn(text, hint));
        return Ok(Built { written, file: None, report, talos: Tag::new(&talos), facts, modules });
    }
    let layers = base_layers(&opened);
    let (context, heard) = hearing(context);
    let context = &context;
    let (built, sets) = make(take(Cow::Borrowed(&spec), context, cache, opened)?, context)?;
    if let (Some(whole), Some(sets)) = (whole, sets) {
        let known = Known {
            report: built.report.clone(),
            talos: built.talos.to_string(),
            facts: built.facts.clone(),
            modules: built.modules.clone(),
            warnings: std::mem::take(&mut *locked(&heard)),
        };
        whole.keep(context, known, &sets, &|blob| layers.contains(&blob.digest))?;
    }
    Ok(built)
}

/// The layers of the bases: they stay where they are. What is wrong with a base is told when it is taken.
fn base_layers(opened: &[prepare::Inputs<'_>]) -> BTreeSet<Digest> {
    let images = opened.iter().filter_map(|inputs| image_for(inputs.base_image()?, inputs.platform).ok());
    images.flat_map(|one| one.manifest.layers.into_iter().map(|layer| layer.digest)).collect()
}

/// What is kept of an installer beside its images.
#[derive(Serialize, Deserialize)]
struct Known {
    report: Report,
    talos: String,
    facts: Vec<Facts>,
    modules: Vec<String>,
    warnings: Warnings,
}

/// An installer as a whole, if everything that steers it has a digest. Where it goes, and what may pass, is no part of
/// it.
fn whole(
    spec: &InstallerSpec,
    opened: &[prepare::Inputs<'_>],
    cache: &StatCache,
) -> Result<Option<Whole>, Error> {
    let sources: Option<Vec<_>> = opened.iter().map(prepare::Inputs::digests).collect();
    let (Some(sources), None, true) = (sources, &spec.overlay, spec.files == AssetFiles::default()) else {
        return Ok(None);
    };
    let splash = spec.splash.as_ref().map(|path| assets::local(cache, path)).transpose()?;
    // What has a digest is named by it: a folder that was moved, or one for drafts, makes no other installer.
    let bare = InstallerSpec {
        imager: None,
        base: None,
        extensions: spec.extensions.iter().map(ExtensionSource::named).collect(),
        allow: Vec::new(),
        output: Output::Installer(Vec::new()),
        ..spec.clone()
    };
    let says = (format!("{bare:?}"), sources, splash.map(|splash| splash.digest));
    let platforms: Vec<String> = spec.platforms.iter().map(ToString::to_string).collect();
    Ok(Some(Whole::new("installer", &platforms.join(", "), &says)))
}

/// Opens everything for every platform.
fn open<'a>(
    spec: &'a InstallerSpec,
    context: &'a Context,
    cache: &'a StatCache,
) -> Result<Vec<prepare::Inputs<'a>>, Error> {
    spec.platforms.iter().map(|platform| prepare::Inputs::open(spec, context, cache, platform)).collect()
}

/// Takes out what an installer is made of, and judges it by every rule.
pub fn check<'s>(spec: &'s InstallerSpec, context: &Context) -> Result<Checked<Inputs<'s>>, Error> {
    let spec = schematic::apply(spec, context)?;
    let cache = context.stat_cache();
    let taken = prepared(&spec, cache, open(&spec, context, cache)?)?;
    judged(spec, context, taken)
}

/// The same of what is open.
fn take<'s>(
    spec: Cow<'s, InstallerSpec>,
    context: &Context,
    cache: &StatCache,
    opened: Vec<prepare::Inputs<'_>>,
) -> Result<Checked<Inputs<'s>>, Error> {
    let taken = prepared(&spec, cache, opened)?;
    judged(spec, context, taken)
}

/// What was taken out of everything, and the picture.
fn prepared(
    spec: &InstallerSpec,
    cache: &StatCache,
    opened: Vec<prepare::Inputs<'_>>,
) -> Result<(Vec<Prepared>, Option<File>), Error> {
    let splash = match &spec.splash {
        Some(path) => Some(compose::splash(assets::local(cache, path)?, path)?),
        None => None,
    };
    let platforms = opened.into_iter().map(Prepared::new).collect::<Result<_, _>>()?;
    Ok((platforms, splash))
}

fn judged<'s>(
    spec: Cow<'s, InstallerSpec>,
    context: &Context,
    (mut platforms, splash): (Vec<Prepared>, Option<File>),
) -> Result<Checked<Inputs<'s>>, Error> {
    context.keep_digests();
    let mut report = Report::default();
    for one in &mut platforms {
        report = report.and(std::mem::take(&mut one.report));
    }
    let newest = platforms.iter().filter_map(|one| one.newest).max();
    let epoch = spec.epoch.or(newest).unwrap_or_default();
    if !report.has_errors(&spec.allow) {
        report = report.and(indexed(context, &platforms, epoch)?);
    }
    let allow = spec.allow.clone();
    Checked::new(Inputs { spec, platforms, splash, epoch }, report, &allow).map_err(Error::Findings)
}

/// What is wrong with all modules together: what each needs of others is known when they are indexed. The index
/// is kept, so that it is not made again.
fn indexed(context: &Context, platforms: &[Prepared], epoch: Epoch) -> Result<Report, Error> {
    let mut plan = Plan::new();
    let with_modules = platforms.iter().filter(|one| one.modules.is_some());
    let steps: Vec<StepId> = with_modules.map(|one| steps::modules_dep(&mut plan, one, epoch)).collect();
    let outputs = plan.run(context)?;
    let mut all = Report::default();
    for step in steps {
        all = all.and(step.outputs(&outputs)?.facts("report")?);
    }
    Ok(all)
}

/// Makes the installer of what was checked, and writes it.
pub fn assemble(inputs: Checked<Inputs<'_>>, context: &Context) -> Result<Built, Error> {
    Ok(make(inputs, context)?.0)
}

/// The same, with the images if it is some.
fn make(inputs: Checked<Inputs<'_>>, context: &Context) -> Result<(Built, Option<Sets>), Error> {
    let (Inputs { spec, platforms: prepared, splash, epoch }, report) = inputs.into_parts();
    let spec = spec.as_ref();
    room(spec, context, &prepared)?;
    let composers: Vec<Composer<'_>> =
        prepared.iter().map(|one| Composer::new(spec, one, epoch, splash.as_ref())).collect();
    let talos = prepared.first().map(|one| one.talos.clone());
    let talos = talos.ok_or_else(|| Problem::usage("no platform is asked for"))?;
    let facts = composers.iter().map(Facts::of).collect();
    let members = prepared.iter().flat_map(|one| &one.members);
    let modules = members.flat_map(|member| kmod::names_of(&member.rest.tree)).collect();
    let mut built = Built { written: Vec::new(), file: None, report, talos, facts, modules };
    match &spec.output {
        Output::Installer(outputs) => {
            let sets = images(spec, context, &composers)?;
            let bases = composers.iter().filter_map(|one| Some(&*one.prepared.base.as_ref()?.source));
            built.written = write(context, &sets, &bases.collect::<Vec<_>>(), outputs)?;
            return Ok((built, Some(sets)));
        }
        Output::Uki(path) | Output::Initramfs(path) | Output::Kernel(path) | Output::Cmdline(path) => {
            let one = composers.first().ok_or_else(|| Problem::usage("no platform is asked for"))?;
            file(spec, context, one, path)?;
            built.file = Some(path.clone());
        }
    }
    Ok((built, None))
}

impl Facts {
    fn of(composer: &Composer<'_>) -> Self {
        let prepared = composer.prepared;
        Self {
            platform: prepared.platform.to_string(),
            kernel: prepared.kernel.as_ref().map(|kernel| kernel.release.clone()),
            cmdline: prepared.cmdline.to_string(),
            extensions: composer
                .order()
                .map(|(_, extension)| format!("{} {}", extension.name(), extension.manifest.version))
                .collect(),
        }
    }
}

/// The steps that a platform's initramfs is made by.
struct Steps {
    layers: Vec<StepId>,
    modules_dep: Option<StepId>,
    firmware: Option<StepId>,
}

impl Steps {
    fn add<'p>(plan: &mut Plan<'p>, composer: &Composer<'p>, options: &'p [squashfs::Options]) -> Self {
        let prepared = composer.prepared;
        let layers = prepared.members.iter().zip(options).map(|(member, options)| {
            let subject = format!("{} {}", member.extension.name(), prepared.platform);
            crate::plan::squashfs::add(plan, &member.rest, options, &subject)
        });
        let layers = layers.collect();
        let modules_dep = prepared.modules.is_some();
        let firmware = !prepared.firmware.tree.is_empty();
        Self {
            layers,
            modules_dep: modules_dep.then(|| steps::modules_dep(plan, prepared, composer.epoch)),
            firmware: firmware.then(|| steps::firmware(plan, prepared, composer.epoch)),
        }
    }

    fn ids(&self) -> impl Iterator<Item = StepId> {
        self.layers.iter().copied().chain(self.modules_dep).chain(self.firmware)
    }

    /// The outputs of these steps among the inputs of a step that needs them all.
    fn made<'a>(&self, inputs: &[&'a Outputs]) -> Made<'a> {
        let mut inputs = inputs.iter().copied();
        Made {
            layers: inputs.by_ref().take(self.layers.len()).collect(),
            modules_dep: self.modules_dep.and_then(|_| inputs.next()),
            firmware: self.firmware.and_then(|_| inputs.next()),
        }
    }
}

/// How the squashfs image of each extension is written.
fn options(composer: &Composer<'_>) -> Vec<squashfs::Options> {
    let prepared = composer.prepared;
    let of = |member: &super::prepare::Member| {
        steps::options(&prepared.talos, composer.epoch, &member.extension.root)
    };
    prepared.members.iter().map(of).collect()
}

/// Makes the images.
fn images(spec: &InstallerSpec, context: &Context, composers: &[Composer<'_>]) -> Result<Sets, Error> {
    let own = composers.iter().find_map(|one| Some(one.prepared.base.as_ref()?.format));
    let format = spec.format.or(own).unwrap_or_default();
    if format.layer(spec.compression).is_none() {
        return Err(Problem::usage("Docker's media types, which the base has, know no zstd layers")
            .hint("add `--format oci`, or use `--compression gzip`")
            .into());
    }
    let epoch = composers.first().map(|one| one.epoch).unwrap_or_default();
    let layer_options = LayerOptions { compression: spec.compression, format, epoch };
    let image_options = ImageOptions { format, epoch, labels: BTreeMap::new(), annotations: BTreeMap::new() };
    let options: Vec<Vec<squashfs::Options>> = composers.iter().map(options).collect();
    let mut plan = Plan::new();
    let mut images = Vec::new();
    for (composer, options) in composers.iter().zip(&options) {
        let prepared = composer.prepared;
        let base = prepared.base.as_ref().ok_or_else(|| Error::Internal("an image without a base".into()))?;
        let steps = Steps::add(&mut plan, composer, options);
        let assets = assets_layer(&mut plan, composer, steps, layer_options);
        let mut layers = vec![(assets, "talosmith: boot assets")];
        if let Some(overlay) = &prepared.overlay {
            let subject = format!("overlay {}", prepared.platform);
            let overlay = assemble::layer(&mut plan, overlay, "", subject, layer_options);
            layers.push((overlay, "talosmith: overlay"));
        }
        let image =
            assemble::image_on(&mut plan, &prepared.platform, Some(&base.on), &layers, &image_options);
        images.push((image, &prepared.platform));
    }
    let index = (images.len() > 1).then(|| assemble::index(&mut plan, &images, &image_options));
    let outputs = match &spec.output {
        Output::Installer(outputs) => &outputs[..],
        _ => &[],
    };
    let results = plan.run(&context.pushing(outputs, spec.platforms.iter()))?;
    Sets::collect(context, &results, &images, index)
}

/// Writes the images. The layers of their bases stay where they are until a target wants them.
fn write(
    context: &Context,
    sets: &Sets,
    bases: &[&Opened],
    outputs: &[String],
) -> Result<Vec<Written>, Error> {
    let fetch = |blob: &Descriptor, own: bool| -> Result<Content, MediaError> {
        let mut failed = None;
        for base in bases {
            match source(base, own)(blob) {
                Ok(content) => return Ok(content),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or_else(|| nowhere_else(context)(blob), Err)
    };
    let registry = bases.first().and_then(|base| base.registry());
    // What one part of a run makes for another is looked at when it leaves the run.
    let drafts = format!("oci:{}/drafts/", context.store.root().display());
    let (own, outputs): (Vec<String>, Vec<String>) =
        outputs.iter().cloned().partition(|output| output.starts_with(&drafts));
    let mut written = sets.write(context, &outputs, &|blob| fetch(blob, false), registry)?;
    written.extend(sets.write(context, &own, &|blob| fetch(blob, true), registry)?);
    Ok(written)
}

/// Adds the step that makes the layer with the boot assets.
fn assets_layer<'p>(
    plan: &mut Plan<'p>,
    composer: &'p Composer<'p>,
    steps: Steps,
    options: LayerOptions,
) -> StepId {
    let prepared = composer.prepared;
    let ids: Vec<StepId> = steps.ids().collect();
    let run = move |context: &Context, progress: &Activity, inputs: &[&Outputs]| {
        let initramfs = composer.initramfs(context, &steps.made(inputs))?;
        let mut tree = Tree::new();
        for (asset, path) in assets(&prepared.talos, false, prepared.architecture) {
            let content = match asset {
                Asset::Initramfs => initramfs.clone(),
                Asset::Uki => composer.uki(context, initramfs.clone())?,
                other => prepared.assets.get(other)?.content.clone(),
            };
            tree.insert(&path, Entry::file(ASSET_MODE, content))
                .map_err(|source| Error::Tree { origin: "the boot assets".to_owned(), source })?;
        }
        // Files alone, as upstream writes them: the directories are the base's, or nobody's.
        let files = tree.iter().filter(|(_, entry)| !entry.is_directory());
        let entries = files.map(|(path, entry)| (path.to_owned(), entry.clone()));
        assemble::write_layer(context, progress, entries, options)
    };
    let step = Step::new("boot assets", 2, prepared.platform.to_string(), run)
        .parameter("parts", composer.key())
        .parameter("platform", &prepared.platform)
        .parameter("compression", options.compression)
        .parameter("format", format!("{:?}", options.format))
        .parameter("epoch", options.epoch.seconds());
    plan.add(ids.into_iter().fold(step, Step::needs))
}

/// Makes the one file that is asked for.
fn file(spec: &InstallerSpec, context: &Context, composer: &Composer<'_>, path: &Path) -> Result<(), Error> {
    let prepared = composer.prepared;
    let content = match &spec.output {
        Output::Cmdline(_) => Content::memory(prepared.cmdline.as_str().as_bytes()),
        Output::Kernel(_) => prepared.assets.get(Asset::Kernel)?.content.clone(),
        Output::Initramfs(_) | Output::Uki(_) | Output::Installer(_) => {
            let options = options(composer);
            let mut plan = Plan::new();
            let steps = Steps::add(&mut plan, composer, &options);
            let results = plan.run(context)?;
            let inputs: Vec<&Outputs> =
                steps.ids().map(|step| step.outputs(&results)).collect::<Result<_, _>>()?;
            let initramfs = composer.initramfs(context, &steps.made(&inputs))?;
            if matches!(spec.output, Output::Uki(_)) { composer.uki(context, initramfs)? } else { initramfs }
        }
    };
    let written = fsio::create_dir(fsio::parent(path)).and_then(|()| fsio::place(&content, path));
    written
        .map_err(|error| Error::Output { target: path.display().to_string(), source: Box::new(error.into()) })
}

/// Whether the store's file system has room for what will be written: the boot assets once more, and what
/// the extensions come to at the most.
fn room(spec: &InstallerSpec, context: &Context, prepared: &[Prepared]) -> Result<(), Error> {
    if matches!(spec.output, Output::Cmdline(_) | Output::Kernel(_)) {
        return Ok(());
    }
    let length = |content: Option<&Content>| content.map_or(0, Content::len);
    let mut needed = 0u64;
    for one in prepared {
        for asset in [Asset::Kernel, Asset::Initramfs, Asset::BootLoader] {
            needed += one.assets.get(asset).map_or(0, |file| file.content.len());
        }
        let trees = one.members.iter().map(|member| &member.rest).chain([&one.firmware]);
        // Twice: each by itself and within the layer.
        needed +=
            trees.flat_map(|tree| tree.tree.iter()).map(|(_, entry)| length(entry.content())).sum::<u64>();
    }
    let root = context.store.root();
    let free = fsio::free_space(root)?;
    if free >= needed {
        return Ok(());
    }
    Err(Error::Output {
        target: root.display().to_string(),
        source: Box::new(
            Problem::new(format!("up to {} are needed, and {} are free", size(needed), size(free)))
                .hint("`--cache DIR` names another folder for the cache")
                .into(),
        ),
    })
}
