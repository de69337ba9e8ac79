//! The stock initramfs unpacked, and its root file system with the other kernel's modules.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::super::error::{Error, Problem};
use super::super::run::{Context, Plan};
use super::super::squashfs::{MEDIA_TYPE, into_store};
use super::super::step::{Outputs, Step, StepId};
use super::assets::Part;
use super::base::INITRAMFS;
use super::verify;
use crate::archive::Tree;
use crate::archive::bounded::{Bounded, Bounds};
use crate::archive::compress::{Codec, OneStream};
use crate::archive::squashfs::{self, Help, Image, Rewritten};
use crate::base::fsio::At as _;
use crate::base::units::size;
use crate::base::{Activity, Content, chain};
use crate::check::{self, Report, Severity};
use crate::image::Descriptor;
use crate::kmod::{UnpackError, unpack};
use crate::talos::custom_imager::modules::{Input, SymbolList};
use crate::talos::custom_imager::{Exchanged, Initramfs, KernelFiles, ModulesError, exchange};
use crate::talos::extension::MODULES;

/// Modules that are named in a warning; the others are counted.
const NAMED: usize = 12;

/// What was exchanged for one architecture: told of as well when the step was known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// `amd64` …
    pub architecture: String,
    /// The stock kernel's release.
    pub stock_release: String,
    /// The new kernel's.
    pub release: String,
    /// Modules in the new root file system.
    pub modules: usize,
    /// Modules of the stock list that the kernel has built in.
    pub built_in: Vec<String>,
    /// Modules of the stock list that it does not have.
    pub missing: Vec<String>,
    /// Bytes of the root file system.
    pub size: u64,
    /// Bytes of it that were copied as they were stored.
    pub copied: u64,
    /// What to say of it.
    pub warnings: Vec<(String, Option<String>)>,
}

/// Adds the step that decompresses the stock initramfs: its blob is `archive`.
pub fn unpacked<'p>(plan: &mut Plan<'p>, part: Part<'p>, codec: Codec) -> Result<StepId, Error> {
    let architecture = part.architecture();
    let (content, digest) = part
        .stock
        .asset(architecture, INITRAMFS)
        .ok_or_else(|| Error::Internal("a stock imager without an initramfs".to_owned()))?;
    let run = move |context: &Context, progress: &Activity, _: &[&Outputs]| {
        let place = part.place(INITRAMFS);
        let wrong = |why: &dyn std::fmt::Display| {
            Error::from(Problem::new(format!("{place} cannot be unpacked")).detail(why.to_string()))
        };
        let told = Told { inner: content.open().at("read", &place)?, progress };
        let stream = OneStream::new(codec, told).map_err(|error| wrong(&error))?;
        let counter = stream.counter();
        let mut plain = Bounded::new(stream, Arc::clone(&counter), Bounds::default());
        let mut writer = io::BufWriter::with_capacity(256 << 10, context.store.writer()?);
        io::copy(&mut plain, &mut writer).map_err(|error| wrong(&error))?;
        let taken = counter.load(Ordering::Relaxed);
        if taken != content.len() {
            let more = content.len().saturating_sub(taken);
            return Err(wrong(&format!(
                "it has {more} bytes behind its first {codec} stream, which Talos' imager does not read"
            )));
        }
        let writer = writer.into_inner().map_err(io::IntoInnerError::into_error);
        let (digest, archive) = writer.at("write a blob in", context.store.root())?.finish()?;
        Ok(Outputs::default()
            .with_blob("archive", Descriptor::new(MEDIA_TYPE, digest, archive.len()))
            .with_value("outcome", size(archive.len())))
    };
    let step =
        Step::new("unpack", 1, format!("initramfs {architecture}"), run).parameter("initramfs", digest);
    Ok(plan.add(step.total(content.len())))
}

/// Tells of what is read through it.
struct Told<'a, R> {
    inner: R,
    progress: &'a Activity,
}

impl<R: io::Read> io::Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}

/// Adds the step that exchanges the modules in the root file system: its blob is `rootfs`.
pub fn exchanged<'p>(plan: &mut Plan<'p>, part: Part<'p>, unpacked: StepId, allow_missing: bool) -> StepId {
    let run = move |context: &Context, progress: &Activity, inputs: &[&Outputs]| {
        let input = inputs.first().ok_or_else(|| Error::Internal("a step has no input".to_owned()))?;
        let archive = context.blob(input.blob("archive")?)?;
        let image = stock_image(&part, &archive)?;
        let made = modules(context, &part, &image, allow_missing)?;
        let report = check::depmod::report(&made.issues).and(Report::new(part.kernel.kernel.judge_own(
            context,
            &made.tree,
            made.folder,
        )?));
        if report.has_errors(&[]) {
            return Err(Error::Findings(Box::new(report)));
        }
        let help = Help {
            workers: &context.workers,
            cache: Some(context.store.blocks()),
            progress: &|bytes| progress.advance(bytes),
        };
        let (digest, done) =
            into_store(context, |out| squashfs::exchange(&image, made.folder, &made.tree, &help, out))?;
        let descriptor = Descriptor::new(MEDIA_TYPE, digest, done.image.size);
        verify::rootfs(context, &image, &context.blob(&descriptor)?, made.folder, &made.tree)?;
        let exchange = Exchange::of(&part, made, done, &report);
        Ok(Outputs::default()
            .with_blob("rootfs", descriptor)
            .with_facts("exchange", &exchange)
            .with_value("outcome", format!("{}, {} of it copied", size(done.image.size), size(done.copied))))
    };
    let step = Step::new("rootfs", 2, format!("{} {}", part.architecture(), part.kernel.kernel.release), run)
        .parameter("kernel", part.kernel.files.key())
        .parameter("allow-missing", allow_missing)
        .needs(unpacked);
    plan.add(step)
}

/// The stock root file system, if the kernel can mount it.
fn stock_image(part: &Part<'_>, archive: &Content) -> Result<Image, Error> {
    let wrong = |error: &(dyn std::error::Error + 'static)| {
        Error::from(Problem::new(format!("{} cannot be used", part.place(INITRAMFS))).detail(chain(error)))
    };
    let rootfs = Initramfs::of(archive).and_then(|initramfs| initramfs.rootfs());
    let image = Image::open(&rootfs.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    let codec = image.info().codec;
    if part.kernel.kernel.lacks_squashfs(codec) {
        return Err(part.cannot(format!("mount squashfs in {codec}, as this imager has it")));
    }
    Ok(image)
}

/// The new subtree of modules.
fn modules(
    context: &Context,
    part: &Part<'_>,
    image: &Image,
    allow_missing: bool,
) -> Result<Exchanged, Error> {
    let stock = stock_modules(image).map_err(|error| {
        Problem::new(format!("{} cannot be used", part.place(INITRAMFS))).detail(chain(&error))
    })?;
    let files = KernelFiles::of(&part.kernel.files.tree)
        .map_err(|error| Error::Internal(format!("a kernel that was looked at: {error}")))?;
    let symbols = part.kernel.symbols.as_ref();
    let input = Input { stock: &stock, kernel: &files, symbols, allow_missing, workers: &context.workers };
    exchange(&input, &mut |content| plain(context, content)).map_err(|error| refused(part, error))
}

/// What that step gave to be told.
pub fn told(outputs: &Outputs) -> Result<Exchange, Error> {
    outputs.facts("exchange")
}

/// The folder of modules of an image, without contents.
fn stock_modules(image: &Image) -> Result<Tree, squashfs::ReadError> {
    let mut tree = Tree::new();
    for folder in MODULES {
        let nodes = match image.list(folder) {
            Ok(nodes) => nodes,
            Err(squashfs::ReadError::Missing(_)) => continue,
            Err(error) => return Err(error),
        };
        for node in nodes {
            let wrong = |error: crate::archive::TreeError| squashfs::ReadError::Entry {
                path: node.path.clone(),
                why: error.to_string(),
            };
            tree.insert(&node.path, node.entry.clone()).map_err(wrong)?;
        }
    }
    Ok(tree)
}

/// The plain bytes of a compressed module, in the store.
fn plain(context: &Context, content: &Content) -> Result<Content, UnpackError> {
    let kept = |error: crate::base::fsio::FileError| UnpackError::Write(io::Error::other(error));
    let mut writer = context.store.writer().map_err(kept)?;
    unpack(content, &mut writer)?;
    Ok(writer.finish().map_err(kept)?.1)
}

fn refused(part: &Part<'_>, error: ModulesError) -> Error {
    let reference = &part.kernel.reference;
    match &error {
        ModulesError::Missing { missing, .. } => {
            let mut problem = Problem::new(format!("{error} (`{reference}`)"));
            problem.details = missing
                .iter()
                .map(|(path, elsewhere)| match elsewhere {
                    Some(other) => format!("{path} (the kernel has `{other}`)"),
                    None => path.clone(),
                })
                .collect();
            problem
                .hint("build the kernel with them, or leave them out with `--allow-missing-modules`")
                .into()
        }
        _ => Problem::new(format!("the modules of `{reference}` cannot take the stock ones' place"))
            .detail(chain(&error))
            .into(),
    }
}

impl Exchange {
    fn of(part: &Part<'_>, made: Exchanged, done: Rewritten, report: &Report) -> Self {
        let findings = report.findings().iter().filter(|finding| finding.severity == Severity::Warning);
        let findings = findings.map(|finding| (finding.message.clone(), finding.hint.clone()));
        Self {
            architecture: part.architecture().to_string(),
            warnings: warnings(part, &made).into_iter().chain(findings).collect(),
            stock_release: made.stock_release,
            release: part.kernel.kernel.release.clone(),
            modules: made.modules,
            built_in: made.built_in,
            missing: made.missing,
            size: done.image.size,
            copied: done.copied,
        }
    }
}

fn warnings(part: &Part<'_>, made: &Exchanged) -> Vec<(String, Option<String>)> {
    let (kernel, missing, mut warnings) = (&part.kernel.kernel.release, &made.missing, Vec::new());
    for path in &made.built_in {
        warnings.push((format!("kernel `{kernel}` has `{path}` built in, not as a module"), None));
    }
    if !missing.is_empty() {
        let named: Vec<&str> = missing.iter().take(NAMED).map(String::as_str).collect();
        let more = match missing.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!("kernel `{kernel}` lacks stock modules: {}{more}", named.join(", "));
        warnings.push((text, Some("what needs them will not work".to_owned())));
    }
    let judged = "symbols of the kernel itself were not judged".to_owned();
    match &made.symbols {
        SymbolList::Kernel | SymbolList::Real(_) => {}
        SymbolList::Stub(path) => warnings.push((
            format!("`/{path}` of kernel `{kernel}` lists no symbols: {judged}"),
            Some("put the build's `System.map` or `Module.symvers` into the kernel image".to_owned()),
        )),
        SymbolList::None => warnings.push((
            format!("the image of kernel `{kernel}` has neither `System.map` nor `Module.symvers`: {judged}"),
            None,
        )),
    }
    warnings
}
