//! The steps between what was taken out and what is composed: each is cached by what goes in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use super::assets::File;
use super::extension::Extension;
use super::prepare::{Member, Prepared};
use crate::archive::Tree;
use crate::archive::squashfs::{self, Image, Options};
use crate::archive::tree::{Entry, join};
use crate::base::units::{count, size};
use crate::base::{Activity, BlockCache, Content, Digest, Epoch, chain, json};
use crate::check::kernel::Module;
use crate::check::{self, Finding, Report};
use crate::image::Descriptor;
use crate::kmod::depmod::Issue;
use crate::kmod::{Verdict, abridge};
use crate::plan::error::{Error, Problem};
use crate::plan::flatten::{Sink, packed_tree};
use crate::plan::kernel_facts;
use crate::plan::run::{Context, Plan};
use crate::plan::squashfs::squashfs;
use crate::plan::step::{Outputs, Step, StepId};
use crate::plan::tree_input::TreeInput;
use crate::talos::extension::{FIRMWARE, ROOTFS as ROOTFS_FOLDER, modules_dir};
use crate::talos::initramfs::firmware_segment;
use crate::talos::initramfs::overview::{Overview, ROOTFS};
use crate::talos::installer::Asset;
use crate::talos::modules_dep::{Input, ModulesDep};
use crate::talos::version::{Feature, Tag};
use crate::talos::{self, Cmdline, Enforcement};

/// A blob of no registered type.
const BYTES: &str = "application/octet-stream";

/// Adds the step that verifies the modules of an extension, and asks what the kernel makes of them. `kernel` is
/// the step that read it.
pub(super) fn verified<'p>(
    plan: &mut Plan<'p>,
    kernel: StepId,
    extension: &'p Extension,
    talos: &'p Tag,
    cmdline: &'p Cmdline,
) -> StepId {
    let run = move |context: &Context, _: &Activity, inputs: &[&Outputs]| {
        let kernel = inputs.first().ok_or_else(|| Error::Internal("a step has no input".to_owned()))?;
        let (facts, version) = (kernel_facts::facts(kernel)?, talos.version());
        let keys = facts.keys()?;
        let enforcement = Enforcement::of(facts.signatures, &version, Some(cmdline.as_str()));
        let folder = join(modules_dir(&version), &facts.release);
        let kept = KeptVerdicts { blocks: context.store.blocks(), keys: facts.keys_digest(), extension };
        let modules =
            check::kernel::read_knowing(&extension.rootfs.tree, &folder, &keys, &context.workers, &kept)?;
        let findings = match facts.input(&keys, &enforcement) {
            Some(input) => check::kernel::modules(&modules, &input),
            None => Vec::new(),
        };
        Ok(Outputs::default()
            .with_facts("report", &Report::new(findings))
            .with_facts("wishes", &modules.iter().map(Module::wishes).collect::<Vec<_>>())
            .with_value("outcome", count(modules.len(), "module")))
    };
    let step = Step::new("modules", 2, extension.name(), run)
        .tree("rootfs", &extension.rootfs)
        .parameter("talos", talos.version())
        .parameter("cmdline", cmdline.as_str());
    plan.add(step.needs(kernel))
}

/// Verdicts by the digest of the module and those of the keys, among the blocks of the store.
struct KeptVerdicts<'a> {
    blocks: Arc<dyn BlockCache>,
    keys: Digest,
    extension: &'a Extension,
}

impl KeptVerdicts<'_> {
    fn key(&self, path: &str) -> Option<Digest> {
        let module = self.extension.rootfs.digests.get(path)?;
        Some(Digest::of(format!("verdict 1 {} {module}", self.keys).as_bytes()))
    }
}

impl check::kernel::Verdicts for KeptVerdicts<'_> {
    fn known(&self, path: &str) -> Option<Verdict> {
        serde_json::from_slice(&self.blocks.get(&self.key(path)?)?).ok()
    }

    fn keep(&self, path: &str, verdict: &Verdict) {
        if let Some(key) = self.key(path) {
            self.blocks.put(&key, &json::to_vec(verdict));
        }
    }
}

/// Adds the step that reads the base's initramfs in one pass and, where `folder` is given, takes that folder
/// of kernel modules out of its `rootfs.sqsh`.
pub(super) fn base<'p>(plan: &mut Plan<'p>, file: &'p File, folder: Option<&'static str>) -> StepId {
    let run = move |context: &Context, progress: &Activity, _: &[&Outputs]| {
        // Only its modules are kept: what is a draft here need never reach the disk.
        let mut draft = context.store.draft()?;
        let path = draft.path().to_owned();
        let mut keep = |name: &str, reader: &mut dyn Read, size: u64| -> io::Result<Option<Content>> {
            if name != ROOTFS || folder.is_none() {
                return Ok(None);
            }
            io::copy(reader, draft.file())?;
            Ok(Some(Content::file(&path, size)))
        };
        let overview = Overview::read(&file.content, &mut keep).map_err(|error| unusable(file, &error))?;
        progress.advance(file.content.len());
        let rootfs = overview.rootfs.as_ref().ok_or_else(|| no_rootfs(file))?;
        let mut facts = BaseFacts {
            firmware: overview.firmware.keys().cloned().collect(),
            codecs: overview.codecs().iter().map(|codec| codec.name().to_owned()).collect(),
            rootfs: rootfs.compressor.map(str::to_owned),
        };
        let outputs = match (folder, &rootfs.content) {
            (Some(folder), Some(content)) => {
                let image = Image::open(content).map_err(|error| unusable(file, &error))?;
                for folder in FIRMWARE {
                    facts
                        .firmware
                        .extend(files_below(&image, folder).map_err(|error| unusable(file, &error))?);
                }
                packed_tree(context, |sink| {
                    let mut sink = |reader: &mut dyn Read, size: u64| without_code(reader, size, sink);
                    let tree = squashfs::read_tree(&image, folder, &context.workers, &mut sink);
                    let tree = tree.map_err(|error| unusable(file, &error))?;
                    Ok(TreeInput::of(tree, BTreeMap::new()))
                })?
            }
            _ => Outputs::default(),
        };
        Ok(outputs.with_facts("base", &facts))
    };
    let step = Step::new("initramfs", 3, file.origin.as_str(), run);
    plan.add(
        step.parameter("initramfs", file.digest)
            .parameter("folder", folder.unwrap_or_default())
            .total(file.content.len()),
    )
}

/// Hands a file on to `sink`: a module without its code, since all that is asked of it is its place in the
/// index, and most of its bytes need not be written, hashed and synced.
fn without_code(reader: &mut dyn Read, size: u64, sink: &mut Sink<'_>) -> io::Result<Content> {
    /// No module of any kernel is as large; what is goes on as it is.
    const MODULE_MAX: u64 = 64 << 20;
    let mut start = Vec::new();
    reader.take(4).read_to_end(&mut start)?;
    if start != b"\x7fELF" || size > MODULE_MAX {
        return sink(&mut start.as_slice().chain(reader), size);
    }
    reader.read_to_end(&mut start)?;
    let module = abridge(start);
    sink(&mut module.as_slice(), module.len() as u64)
}

/// What is asked of a base's initramfs.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct BaseFacts {
    /// The codecs of its segments.
    pub(super) codecs: Vec<String>,
    /// The compressor of its `rootfs.sqsh`.
    pub(super) rootfs: Option<String>,
    /// Paths of the firmware in it and, where modules were asked for, in `rootfs.sqsh`.
    pub(super) firmware: Vec<String>,
}

/// Paths of what is no folder below `folder`; none if there is no such folder.
fn files_below(image: &Image, folder: &str) -> Result<Vec<String>, squashfs::ReadError> {
    match image.list(folder) {
        Ok(nodes) => {
            let files = nodes.into_iter().filter(|node| !node.entry.is_directory());
            Ok(files.map(|node| node.path).collect())
        }
        Err(squashfs::ReadError::Missing(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn unusable(file: &File, error: &(dyn std::error::Error + 'static)) -> Error {
    Problem::new(format!("the initramfs {} cannot be used", file.origin)).detail(chain(error)).into()
}

fn no_rootfs(file: &File) -> Error {
    Problem::new(format!("the initramfs {} is none of Talos: it has no `{ROOTFS}`", file.origin))
        .hint("the imager image holds Talos' own as `usr/install/<arch>/initramfs.xz`")
        .into()
}

/// What layers are compressed with, and the segments that hold them.
pub(super) fn codec(talos: &Tag) -> squashfs::Codec {
    if talos.has(Feature::Zstd) { squashfs::Codec::Zstd } else { squashfs::Codec::Xz }
}

/// How squashfs images of an installer are written.
pub(super) fn options(talos: &Tag, epoch: Epoch, root: &Entry) -> Options {
    Options { codec: codec(talos), epoch: Some(epoch), root: root.clone(), ..Options::default() }
}

/// Adds the step that makes the extension `modules.dep`: the index over the modules of the base and of all
/// extensions, as a squashfs image, with its manifest and what is wrong with the extensions' modules.
pub(super) fn modules_dep<'p>(plan: &mut Plan<'p>, prepared: &'p Prepared, epoch: Epoch) -> StepId {
    let run = move |context: &Context, progress: &Activity, _: &[&Outputs]| {
        let base = prepared.modules.as_ref().map(|modules| &modules.tree);
        let base = base.ok_or_else(|| Error::Internal("the base's modules were not taken".to_owned()))?;
        let version = prepared.talos.version();
        let extensions: Vec<(&str, &Tree)> =
            prepared.members.iter().map(|member| (member.extension.name(), &member.rest.tree)).collect();
        let made = talos::modules_dep::modules_dep(&Input {
            base,
            extensions: &extensions,
            talos: &version,
            kernel: prepared.symbols.as_ref(),
            workers: &context.workers,
        })
        .map_err(|error| Problem::new(chain(&error)))?;
        let folder = join(modules_dir(&version), &made.release);
        // Those of Talos' own modules are nobody's here to mend.
        let owner = |path: &str| {
            let whole = join(&folder, path);
            prepared.members.iter().rev().find(|member| member.rest.tree.get(&whole).is_some())
        };
        let own = |issue: &&Issue| matches!(issue, Issue::Loop { .. }) || owner(issue.path()).is_some();
        let issues: Vec<Issue> = made.issues.iter().filter(own).cloned().collect();
        let mut findings = check::depmod::report(&issues).findings().to_vec();
        for finding in &mut findings {
            let owner = finding.path.as_deref().and_then(owner);
            finding.image = owner.map(|member| member.extension.reference.clone());
        }
        let place = join(ROOTFS_FOLDER, &folder);
        let mut findings: Vec<Finding> = findings.into_iter().map(|finding| finding.within(&place)).collect();
        for member in &prepared.members {
            findings.extend(in_rootfs(unfulfilled(prepared, member, &made), &member.extension.reference));
        }
        let report = Report::new(findings);
        let input = TreeInput::of(made.rootfs, BTreeMap::new());
        let options = options(&prepared.talos, epoch, &Entry::directory());
        let (digest, summary) = squashfs(context, progress, &input, &options)?;
        Ok(Outputs::default()
            .with_blob("squashfs", Descriptor::new(BYTES, digest, summary.size))
            .with_value("manifest", made.manifest.to_yaml())
            .with_facts("report", &report)
            .with_value("outcome", made.release))
    };
    let keys: Vec<String> = prepared
        .members
        .iter()
        .map(|member| format!("{} {}", member.extension.name(), member.rest.key()))
        .collect();
    let base = prepared.modules.as_ref().map(|modules| modules.key().to_string()).unwrap_or_default();
    let step = Step::new("modules.dep", 2, prepared.platform.to_string(), run)
        .parameter("base", base)
        .parameter("extensions", keys.join("\n"))
        .parameter(
            "kernel",
            prepared.assets.get(Asset::Kernel).map(|kernel| kernel.digest.to_string()).unwrap_or_default(),
        )
        .tree("firmware", &prepared.firmware)
        .parameter("talos", prepared.talos.version())
        .parameter("epoch", epoch.seconds());
    plan.add(step)
}

/// What the modules of an extension would like to have beside them, and neither base nor extensions have.
fn unfulfilled(prepared: &Prepared, member: &Member, made: &ModulesDep) -> Vec<Finding> {
    let base = prepared.initramfs.iter().flat_map(|base| &base.firmware).map(String::as_str);
    let own = prepared.firmware.tree.iter().map(|(path, _)| path);
    let below =
        |path: &'_ str| FIRMWARE.iter().find_map(|folder| path.strip_prefix(folder)).map(str::to_owned);
    let firmware: BTreeSet<String> = base.chain(own).filter_map(below).collect();
    // As the kernel looks for it: plain, and compressed where it was built for that.
    let has =
        |path: &str| ["", ".zst", ".xz"].iter().any(|ending| firmware.contains(&format!("/{path}{ending}")));
    check::kernel::unfulfilled(&member.extension.wishes, &|name| made.names.contains(name), &has)
}

/// Findings about the root file system of an extension, with the paths of its image.
pub(super) fn in_rootfs(findings: Vec<Finding>, reference: &str) -> Vec<Finding> {
    let place =
        |finding: Finding| Finding { image: Some(reference.to_owned()), ..finding.within(ROOTFS_FOLDER) };
    findings.into_iter().map(place).collect()
}

/// Adds the step that compresses the firmware of all extensions.
pub(super) fn firmware<'p>(plan: &mut Plan<'p>, prepared: &'p Prepared, epoch: Epoch) -> StepId {
    let tree = &prepared.firmware;
    let total = tree.tree.iter().filter_map(|(_, entry)| entry.content()).map(Content::len).sum();
    let run = move |context: &Context, progress: &Activity, _: &[&Outputs]| {
        let mut writer = context.store.writer()?;
        firmware_segment(&tree.tree, &prepared.talos.version(), epoch, &context.workers, &mut writer)
            .map_err(|error| Problem::new(chain(&error)))?;
        progress.advance(total);
        let (digest, content) = writer.finish()?;
        let outcome = size(content.len());
        let blob = Descriptor::new(BYTES, digest, content.len());
        Ok(Outputs::default().with_blob("firmware", blob).with_value("outcome", outcome))
    };
    let step = Step::new("firmware", 1, prepared.platform.to_string(), run)
        .tree("tree", tree)
        .parameter("zstd", prepared.talos.has(Feature::Zstd))
        .parameter("epoch", epoch.seconds());
    plan.add(step.total(total))
}
