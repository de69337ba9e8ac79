//! All that an installer of one platform is made of, taken out and checked.

use super::assets::{Assets, File, VERSION_LABEL, version_label};
use super::base::Base;
use super::extension::Extension;
use super::overlay;
use super::source::{Source, image_for_or_any};
use super::spec::{ExtensionSource, InstallerSpec, Output};
use super::steps::{self, BaseFacts};
use crate::archive::Tree;
use crate::base::{Content, Digest, Epoch, chain};
use crate::check::installer::{self as check, InstallerInput};
use crate::check::kernel::{REPLACED, Wishes, not_enforced};
use crate::check::{Code, Finding, Report};
use crate::image::{Opened, Platform};
use crate::kmod::depmod::KernelSymbols;
use crate::plan::error::{Error, Problem};
use crate::plan::extension::for_platform;
use crate::plan::flatten;
use crate::plan::kernel_facts::{self, KernelCodecs, KernelFacts};
use crate::plan::run::{Context, Plan};
use crate::plan::stat_cache::StatCache;
use crate::plan::step::StepId;
use crate::plan::tree_input::TreeInput;
use crate::talos::extension::modules_dir;
use crate::talos::initramfs::{merge_firmware, split};
use crate::talos::installer::{Asset, Official, assets};
use crate::talos::version::{Architecture, Feature, Tag};
use crate::talos::{Cmdline, Enforcement, cmdline, modules_dep, virtual_extension};

/// The version that an imager or installer says it is of.
pub fn version_of(context: &Context, reference: &str) -> Result<Option<String>, Error> {
    let source = Source::open(context, reference)?;
    label(&(source, reference.to_owned()), &Platform::linux("amd64"))
}

/// What was opened for all platforms. References with `{arch}` are opened for each platform again.
pub(super) struct Inputs<'a> {
    pub(super) spec: &'a InstallerSpec,
    pub(super) context: &'a Context,
    pub(super) cache: &'a StatCache,
    pub(super) platform: &'a Platform,
    pub(super) imager: Option<(Source, String)>,
    pub(super) base: Option<(Source, String)>,
    pub(super) extensions: Vec<(Option<Source>, &'a ExtensionSource)>,
    pub(super) talos: Tag,
    /// The version that the imager says it is of.
    label: Option<String>,
}

impl<'a> Inputs<'a> {
    /// Opens everything, and finds out the version.
    pub(super) fn open(
        spec: &'a InstallerSpec,
        context: &'a Context,
        cache: &'a StatCache,
        platform: &'a Platform,
    ) -> Result<Self, Error> {
        let open = |reference: &String| -> Result<(Source, String), Error> {
            let reference = for_platform(reference, platform);
            Ok((Source::open(context, &reference)?, reference))
        };
        let is_image = matches!(spec.output, Output::Installer(_));
        let mut imager = spec.imager.as_ref().map(open).transpose()?;
        let mut base = spec.base.as_ref().filter(|_| is_image).map(open).transpose()?;
        let label = imager.as_ref().map(|imager| label(imager, platform)).transpose()?.flatten();
        let base_label = base.as_ref().map(|base| self::label(base, platform)).transpose()?.flatten();
        let said = spec.talos.clone().or_else(|| label.as_deref().or(base_label.as_deref()).map(Tag::new));
        let talos = said.ok_or_else(|| unknown_version(spec))?;
        let official = |image: Official| -> Result<(Source, String), Error> {
            let reference = image.reference(&talos).map_err(|error| {
                Problem::new(error.to_string()).hint("name the image: `--imager`, `--base`")
            })?;
            open(&format!("docker://{reference}"))
        };
        let needed = needed(spec, &talos, Architecture::Amd64);
        if imager.is_none() && !spec.files.are_enough(&needed) {
            imager = Some(official(Official::Imager)?);
        }
        if base.is_none() && is_image {
            base = Some(official(Official::Base)?);
        }
        let mut extensions = Vec::new();
        for source in &spec.extensions {
            let opened = match source {
                ExtensionSource::Reference(reference) | ExtensionSource::Made { reference, .. } => {
                    Some(open(reference)?.0)
                }
                ExtensionSource::Official(_) => {
                    return Err(Error::Internal("an official extension was not looked up".to_owned()));
                }
                ExtensionSource::EmbeddedConfig(_) | ExtensionSource::Schematic(_) => None,
            };
            extensions.push((opened, source));
        }
        Ok(Self { spec, context, cache, platform, imager, base, extensions, talos, label })
    }
}

impl Inputs<'_> {
    /// The base, if it is an image.
    pub(super) fn base_image(&self) -> Option<&Opened> {
        match &self.base.as_ref()?.0 {
            Source::Image(image) => Some(image),
            Source::Folder(_) | Source::Files(_) => None,
        }
    }

    /// What the digests of all images are; nothing, if one of them is no image.
    pub(super) fn digests(&self) -> Option<Vec<Option<Digest>>> {
        let digest = |source: &Source| match source {
            Source::Image(image) => Some(image.root.descriptor.digest),
            Source::Folder(_) | Source::Files(_) => None,
        };
        let named = [&self.imager, &self.base].into_iter();
        let named = named.map(|part| part.as_ref().map(|(source, _)| source));
        let extensions = self.extensions.iter().map(|(source, _)| source.as_ref());
        named
            .chain(extensions)
            .map(|source| source.map_or(Some(None), |source| digest(source).map(Some)))
            .collect()
    }
}

fn label((source, _): &(Source, String), platform: &Platform) -> Result<Option<String>, Error> {
    match source {
        Source::Folder(_) | Source::Files(_) => Ok(None),
        Source::Image(image) => {
            let one = image_for_or_any(image, platform)?;
            Ok(version_label(&one.config))
        }
    }
}

pub(super) fn unknown_version(spec: &InstallerSpec) -> Error {
    let problem = Problem::new("the Talos version is not known");
    let problem = match (&spec.imager, &spec.base) {
        (None, None) => problem.detail("no imager is named that would say its own"),
        _ => problem.detail(format!("the images that are named have no label `{VERSION_LABEL}`")),
    };
    problem.hint("give it: `--talos v1.11.3`").into()
}

/// The boot assets that the output is made of.
pub(super) fn needed(spec: &InstallerSpec, talos: &Tag, architecture: Architecture) -> Vec<Asset> {
    match spec.output {
        Output::Cmdline(_) => vec![],
        Output::Kernel(_) => vec![Asset::Kernel],
        Output::Initramfs(_) => vec![Asset::Kernel, Asset::Initramfs],
        Output::Uki(_) => vec![Asset::Kernel, Asset::Initramfs, Asset::Stub],
        Output::Installer(_) => {
            let holds = |asset| assets(talos, false, architecture).iter().any(|(own, _)| *own == asset);
            let mut needed = vec![Asset::Kernel, Asset::Initramfs];
            needed.extend(holds(Asset::Uki).then_some(Asset::Stub));
            needed.extend(holds(Asset::BootLoader).then_some(Asset::BootLoader));
            needed
        }
    }
}

/// An extension in the parts that go to different places.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) extension: Extension,
    /// What becomes its squashfs image.
    pub(super) rest: TreeInput,
}

/// Everything of one platform.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) platform: Platform,
    pub(super) architecture: Architecture,
    pub(super) talos: Tag,
    pub(super) assets: Assets,
    pub(super) kernel: Option<KernelFacts>,
    /// What the kernel exports, where an extension has modules.
    pub(super) symbols: Option<KernelSymbols>,
    pub(super) initramfs: Option<BaseFacts>,
    pub(super) base: Option<Base>,
    /// The layer of a board's overlay.
    pub(super) overlay: Option<TreeInput>,
    pub(super) members: Vec<Member>,
    /// Firmware of all extensions, where the initramfs has it.
    pub(super) firmware: TreeInput,
    /// Microcode, by vendor, in order.
    pub(super) intel: Vec<Content>,
    pub(super) amd: Vec<Content>,
    /// The base's folder of kernel modules, where an extension has modules.
    pub(super) modules: Option<TreeInput>,
    pub(super) cmdline: Cmdline,
    pub(super) newest: Option<Epoch>,
    pub(super) report: Report,
}

impl Prepared {
    /// Takes everything out and judges it.
    pub(super) fn new(inputs: Inputs<'_>) -> Result<Self, Error> {
        let Inputs { spec, context, cache, platform, imager, base, extensions, talos, label } = inputs;
        let architecture = architecture(platform)?;
        let version = talos.version();
        let cmdline = cmdline(spec, context, &talos, architecture)?;
        let overlay = spec.overlay.as_ref().filter(|_| matches!(spec.output, Output::Installer(_)));
        let overlay = overlay
            .map(|overlay| overlay::take(context, cache, overlay, platform, architecture))
            .transpose()?;
        // An imager of hundreds of megabytes and the extensions are read side by side.
        let (assets, extensions) = std::thread::scope(|scope| {
            let assets = scope.spawn(|| {
                let imager = imager.as_ref().map(|(source, reference)| (source, reference.as_str()));
                Assets::take(context, cache, imager, &spec.files, platform, architecture)
            });
            let take = |(source, said): &(Option<Source>, &ExtensionSource)| match (source, said) {
                (_, ExtensionSource::Made { files, shown, .. }) if files.has(platform) => {
                    Extension::just_made(files, shown, platform, &version)
                }
                (
                    Some(source),
                    ExtensionSource::Reference(reference) | ExtensionSource::Made { shown: reference, .. },
                ) => {
                    let reference = for_platform(reference, platform);
                    Extension::take(context, cache, source, &reference, platform, &version)
                }
                (_, ExtensionSource::EmbeddedConfig(config)) => {
                    let made = virtual_extension::embedded_config(config);
                    Extension::made(context, made, platform, &talos, Feature::EmbeddedConfig)
                }
                (_, ExtensionSource::Schematic(schematic)) => {
                    let made = virtual_extension::schematic(schematic, &talos);
                    Extension::made(context, made, platform, &talos, Feature::Uki)
                }
                (None, _) | (_, ExtensionSource::Official(_)) => {
                    Err(Error::Internal("an extension is not open".into()))
                }
            };
            let extensions: Result<Vec<Extension>, Error> = extensions.iter().map(take).collect();
            let assets = assets.join().unwrap_or_else(|_| Err(Error::Internal("a thread has failed".into())));
            (assets, extensions)
        });
        let (assets, mut extensions) = (assets?, extensions?);
        let needed = needed(spec, &talos, architecture);
        for asset in &needed {
            assets.get(*asset)?;
        }
        let base = base.as_ref().map(|(source, reference)| Base::read(context, source, reference, platform));
        let base = base.transpose()?;
        let boot = read_assets(spec, context, &talos, &cmdline, &assets, &extensions)?;
        if let Some(boot) = &boot {
            fits(&boot.kernel, assets.get(Asset::Kernel)?, architecture, needed.contains(&Asset::Stub))?;
        }
        let (kernel, symbols, initramfs, modules, verdicts) = match boot {
            Some(BootFacts { kernel, symbols, initramfs, modules, verdicts, wishes }) => {
                for (number, wishes) in wishes {
                    if let Some(extension) = extensions.get_mut(number) {
                        extension.wishes = wishes;
                    }
                }
                (Some(kernel), symbols, Some(initramfs), modules, verdicts)
            }
            None => (None, None, None, None, Vec::new()),
        };
        let created = extensions.iter().map(|extension| extension.created);
        let newest =
            created.chain([assets.created, base.as_ref().and_then(|base| base.created)]).max().flatten();
        let mut prepared = Self {
            platform: platform.clone(),
            architecture,
            cmdline,
            assets,
            kernel,
            symbols,
            initramfs,
            base,
            overlay,
            members: Vec::new(),
            firmware: TreeInput::default(),
            intel: Vec::new(),
            amd: Vec::new(),
            modules,
            newest,
            report: Report::default(),
            talos,
        };
        prepared.judge(spec, &extensions, verdicts, label.as_deref());
        prepared.split(extensions)?;
        Ok(prepared)
    }

    fn judge(
        &mut self,
        spec: &InstallerSpec,
        extensions: &[Extension],
        verdicts: Vec<Finding>,
        label: Option<&str>,
    ) {
        let members: Vec<_> = extensions
            .iter()
            .map(|extension| check::Member {
                reference: &extension.reference,
                name: extension.name(),
                key: extension.rootfs.key(),
                rootfs: &extension.rootfs.tree,
            })
            .collect();
        let codecs = self.codecs();
        let report = check::installer(&InstallerInput {
            talos: &self.talos,
            imager: label,
            release: self.kernel.as_ref().map(|kernel| kernel.release.as_str()),
            codecs: codecs.as_ref().map(|(initramfs, squashfs, kernel)| check::Codecs {
                initramfs,
                squashfs,
                kernel_initramfs: &kernel.initramfs,
                kernel_squashfs: &kernel.squashfs,
            }),
            base: self.base.as_ref().map(|base| (base.reference.as_str(), base.kind)),
            extensions: &members,
            upstream_names: spec.names == super::spec::Names::Upstream,
        });
        // Where the kernel is known, it is asked.
        let replaced: &[Code] = if self.kernel.is_some() { &REPLACED } else { &[] };
        let own = extensions.iter().flat_map(|extension| extension.report.findings());
        let own = own.filter(|finding| !replaced.contains(&finding.code)).cloned();
        self.report = Report::new(own.chain(verdicts).collect()).and(report);
    }

    /// What has to be decompressed at boot, and what the kernel says that it can.
    fn codecs(&self) -> Option<(Vec<String>, Vec<String>, &KernelCodecs)> {
        let (base, kernel) = (self.initramfs.as_ref()?, self.kernel.as_ref()?.codecs.as_ref()?);
        let (mut initramfs, mut squashfs) = (base.codecs.clone(), Vec::from_iter(base.rootfs.clone()));
        let own = steps::codec(&self.talos).name().to_owned();
        for codecs in [&mut initramfs, &mut squashfs] {
            codecs.push(own.clone());
            codecs.sort();
            codecs.dedup();
        }
        Some((initramfs, squashfs, kernel))
    }

    /// Sends each part of each extension to its place.
    fn split(&mut self, extensions: Vec<Extension>) -> Result<(), Error> {
        let version = self.talos.version();
        let mut firmware = Vec::new();
        for extension in extensions {
            let parts = split(&extension.rootfs.tree, &version);
            self.intel.extend(parts.intel);
            self.amd.extend(parts.amd);
            firmware.push((extension.name().to_owned(), extension.rootfs.part(parts.firmware)));
            let rest = extension.rootfs.part(parts.rest);
            self.members.push(Member { extension, rest });
        }
        let trees: Vec<(&str, &Tree)> =
            firmware.iter().map(|(name, firmware)| (name.as_str(), &firmware.tree)).collect();
        let merged = merge_firmware(&trees).map_err(|error| Problem::new(chain(&error)))?;
        // Of a path that several have, the last one's file counts, and so does its digest.
        let digests = firmware.iter().flat_map(|(_, firmware)| firmware.digests.clone()).collect();
        self.firmware = TreeInput::of(Tree::new(), digests).part(merged.tree);
        Ok(())
    }
}

/// The architecture of a platform.
fn architecture(platform: &Platform) -> Result<Architecture, Error> {
    Architecture::parse(&platform.architecture).filter(|_| platform.os == "linux").ok_or_else(|| {
        Problem::new(format!("Talos does not run on `{platform}`"))
            .hint("its platforms are `linux/amd64` and `linux/arm64`")
            .into()
    })
}

fn cmdline(
    spec: &InstallerSpec,
    context: &Context,
    talos: &Tag,
    architecture: Architecture,
) -> Result<Cmdline, Error> {
    let own;
    let overlay = match &spec.overlay {
        Some(overlay) if overlay.run => {
            let asked = overlay::kernel_args(context, overlay, &spec.host)?;
            own = [asked, spec.overlay_kernel_args.clone()].concat();
            &own
        }
        _ => &spec.overlay_kernel_args,
    };
    let request = cmdline::Request {
        talos,
        platform: spec.machine,
        architecture,
        secure_boot: spec.secure_boot,
        iso: false,
        overlay,
        meta: &spec.meta,
        extra: &spec.kernel_args,
    };
    Cmdline::new(&request).map_err(|error| Problem::new(error.to_string()).into())
}

/// What was read of kernel and initramfs.
struct BootFacts {
    kernel: KernelFacts,
    symbols: Option<KernelSymbols>,
    initramfs: BaseFacts,
    modules: Option<TreeInput>,
    /// What the kernel makes of the extensions' modules.
    verdicts: Vec<Finding>,
    /// What these would like to have beside them, by the number of the extension.
    wishes: Vec<(usize, Vec<Wishes>)>,
}

/// Whether a kernel is for this architecture and, if it goes into a unified kernel image, can be started by
/// firmware.
fn fits(kernel: &KernelFacts, file: &File, wanted: Architecture, starts: bool) -> Result<(), Error> {
    if kernel.machine != wanted.go() {
        return Err(Problem::new(format!(
            "the kernel {} is for {}, and the installer for {wanted}",
            file.origin, kernel.machine
        ))
        .into());
    }
    if starts && !kernel.efi {
        return Err(Problem::new(format!("the kernel {} has no EFI stub", file.origin))
            .hint("build it with `CONFIG_EFI_STUB`: a unified kernel image starts it by that")
            .into());
    }
    Ok(())
}

/// Reads kernel and initramfs side by side and, as soon as the kernel's keys are known, verifies modules.
fn read_assets(
    spec: &InstallerSpec,
    context: &Context,
    talos: &Tag,
    cmdline: &Cmdline,
    assets: &Assets,
    extensions: &[Extension],
) -> Result<Option<BootFacts>, Error> {
    if !matches!(spec.output, Output::Installer(_) | Output::Uki(_) | Output::Initramfs(_)) {
        return Ok(None);
    }
    let version = talos.version();
    let trees: Vec<(&str, &Tree)> =
        extensions.iter().map(|extension| (extension.name(), &extension.rootfs.tree)).collect();
    let folder = modules_dep::is_needed(&trees, &version).then(|| modules_dir(&version));
    let (kernel, initramfs) = (assets.get(Asset::Kernel)?, assets.get(Asset::Initramfs)?);
    let mut plan = Plan::new();
    let facts = kernel_facts::add(&mut plan, &kernel.content, kernel.digest, &kernel.origin);
    let base = steps::base(&mut plan, initramfs, folder);
    let with_modules =
        extensions.iter().enumerate().filter(|(_, one)| one.rootfs.tree.get(modules_dir(&version)).is_some());
    let verified: Vec<(usize, &Extension, StepId)> = with_modules
        .map(|(number, one)| (number, one, steps::verified(&mut plan, facts, one, talos, cmdline)))
        .collect();
    let outputs = plan.run(context)?;
    let (facts, base) = (facts.outputs(&outputs)?, base.outputs(&outputs)?);
    let modules = folder.map(|_| flatten::tree(context, base, &initramfs.origin)).transpose()?;
    let kernel = kernel_facts::facts(facts)?;
    let (mut verdicts, mut wishes) = (Vec::new(), Vec::new());
    if !verified.is_empty() {
        let enforcement = Enforcement::of(kernel.signatures, &version, Some(cmdline.as_str()));
        verdicts.extend(not_enforced(&enforcement));
    }
    for (number, extension, step) in verified {
        let verified = step.outputs(&outputs)?;
        wishes.push((number, verified.facts("wishes")?));
        let report: Report = verified.facts("report")?;
        let mut found = steps::in_rootfs(report.findings().to_vec(), &extension.reference);
        for finding in &mut found {
            finding.layer = finding.path.as_deref().and_then(|path| extension.layers.get(path)).copied();
        }
        verdicts.extend(found);
    }
    Ok(Some(BootFacts {
        kernel,
        symbols: folder.map(|_| kernel_facts::symbols(context, facts)).transpose()?.flatten(),
        initramfs: base.facts("base")?,
        modules,
        verdicts,
        wishes,
    }))
}
