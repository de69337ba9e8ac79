//! From module files, folders and images to an extension image.
//!
//! The order is the point: everything is gathered and checked before the first byte is compressed,
//! and nothing is written where a check has found an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assemble::{self, ImageOptions, LayerOptions};
use super::error::{Error, Problem};
use super::flatten;
use super::gather::{Gather, Manifests};
use super::one_image::OneImage;
use super::outputs::{Sets, Written, nowhere_else};
use super::run::{Context, Plan};
use super::stat_cache::StatCache;
use super::step::StepId;
use super::tree_input::TreeInput;
use super::whole::Whole;
use crate::archive::compress::Compression;
use crate::archive::tree::{self, Entry};
use crate::base::{Content, Digest, Epoch};
use crate::check::finding::locate;
use crate::check::{self, Code, Report};
use crate::image::{Format, Platform, Reference};
use crate::kmod;
use crate::talos::extension::{self, MANIFEST, ROOTFS};
use crate::talos::manifest::Manifest;
use crate::talos::version::Version;

/// What an extension is made of and how. Paths and references may hold `{arch}`, which becomes the
/// architecture of each platform.
#[derive(Debug, Clone, Default)]
pub struct ExtensionSpec {
    /// A folder with `manifest.yaml` (or `manifest.yaml.tmpl` and `vars.yaml`) and `rootfs/`.
    pub directory: Option<PathBuf>,
    /// A manifest in another place.
    pub manifest: Option<PathBuf>,
    /// Module files, plain or compressed.
    pub modules: Vec<String>,
    /// `FILE[:SUBDIR]`.
    pub firmware: Vec<String>,
    /// `SRC:DST`.
    pub files: Vec<String>,
    /// `DIR[:PREFIX]`.
    pub trees: Vec<String>,
    /// `IMAGE:SRC[:DST]`.
    pub copies: Vec<String>,
    /// An image with `usr/lib/modules`, of which the listed modules are taken.
    pub modules_from: Option<String>,
    /// The list: paths below the release's folder, by line.
    pub modules_list: Option<PathBuf>,
    /// At least one.
    pub platforms: Vec<Platform>,
    /// Permission bits stay as they are.
    pub keep_mode: bool,
    /// Labels by path of the rootfs.
    pub selinux_labels: BTreeMap<String, String>,
    /// Of the layers.
    pub compression: Option<Compression>,
    /// Whose media types.
    pub format: Format,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest and the index.
    pub annotations: BTreeMap<String, String>,
    /// `SOURCE_DATE_EPOCH`, where it is set.
    pub epoch: Option<Epoch>,
    /// The Talos version to judge for; the newest, if nothing says.
    pub talos: Option<Version>,
    /// Codes of findings that may pass.
    pub allow: Vec<Code>,
    /// Where to. With `{arch}` each platform's image is written by itself.
    pub outputs: Vec<String>,
}

impl ExtensionSpec {
    /// The folder that a platform's image is made of.
    pub(super) fn directory_for(&self, platform: &Platform) -> Option<PathBuf> {
        self.directory.as_deref().map(|folder| path_for(folder, platform))
    }

    /// The same with an extension's own name and version in the outputs, for `{name}` and `{version}`. They come from
    /// whoever made the extension, so they may be a part of a name and nothing more.
    pub(super) fn named(&self, name: &str, version: &str) -> Result<Self, Error> {
        let mut outputs = Vec::new();
        for output in &self.outputs {
            for (key, value) in [("{name}", name), ("{version}", version)] {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
                if output.contains(key) && !(value.bytes().all(fits) && value.bytes().any(|b| b != b'.')) {
                    return Err(Problem::new(format!("`{output}`: `{value}` cannot stand for `{key}`"))
                        .hint("letters, digits, `.`, `_`, `-` and `+` can; or write the name itself")
                        .into());
                }
            }
            outputs.push(output.replace("{name}", name).replace("{version}", version));
        }
        Ok(Self { outputs, ..self.clone() })
    }
}

/// What came of it.
#[derive(Debug)]
pub struct BuiltExtension {
    /// The outputs.
    pub written: Vec<Written>,
    /// Warnings and infos of the checks.
    pub report: Report,
    /// The manifest.
    pub manifest: Manifest,
    /// Names of its modules, as the kernel has them.
    pub modules: Vec<String>,
    /// What the image of each platform holds, where it was made of files that stay.
    pub files: MadeFiles,
}

/// Images as they were made, so that nobody need take them apart again.
#[derive(Debug, Clone, Default)]
pub struct MadeFiles {
    prepared: Arc<Vec<Prepared>>,
    created: Epoch,
}

impl MadeFiles {
    /// Whether there is one for a platform.
    pub fn has(&self, platform: &Platform) -> bool {
        self.prepared.iter().any(|one| one.platform == *platform)
    }

    /// What flattening the image for a platform would give, and when that says that it was made.
    pub(super) fn flattened(&self, platform: &Platform) -> Result<(TreeInput, Epoch), Error> {
        let own = self.prepared.iter().find(|one| one.platform == *platform);
        let own = own.ok_or_else(|| Error::Internal("an extension for this platform".to_owned()))?;
        Ok((own.whole()?, self.created))
    }
}

/// One platform's image before it is made.
#[derive(Debug)]
pub(super) struct Prepared {
    platform: Platform,
    rootfs: TreeInput,
    /// The manifest, and whatever else lies beside the rootfs.
    manifest: TreeInput,
    newest: Option<Epoch>,
}

/// Builds the extension and writes it to every output.
pub fn build(spec: &ExtensionSpec, context: &Context) -> Result<BuiltExtension, Error> {
    let cache = context.stat_cache();
    let manifests = Manifests::read(spec)?;
    let mut prepared = Vec::new();
    for platform in &spec.platforms {
        let rootfs = Gather::new(spec, platform, context).rootfs(cache)?;
        prepared.push(prepare(spec, platform, rootfs, &manifests)?);
    }
    let Manifest { name, version, .. } = &manifests.manifest;
    let spec = &spec.named(name, version)?;
    context.keep_digests();
    let newest = prepared.iter().filter_map(|one| one.newest).max();
    let created = spec.epoch.or(newest).unwrap_or_default();
    let built = finish(spec, context, &prepared, manifests)?;
    Ok(BuiltExtension { files: MadeFiles { prepared: Arc::new(prepared), created }, ..built })
}

/// Checks what was prepared, makes the image and writes it.
pub(super) fn finish(
    spec: &ExtensionSpec,
    context: &Context,
    prepared: &[Prepared],
    manifests: Manifests,
) -> Result<BuiltExtension, Error> {
    let whole = whole(spec, prepared, &manifests.manifest);
    let known: Option<(Vec<Report>, Sets)> = whole.recall(context);
    let reports = match &known {
        Some((reports, _)) => located(reports, prepared, &manifests),
        None => check(spec, prepared, &manifests)?,
    };
    let report = reports.iter().cloned().fold(Report::default(), Report::and);
    if report.has_errors(&spec.allow) {
        return Err(Error::Findings(Box::new(report)));
    }
    let sets = match known {
        Some((_, sets)) => sets,
        None => {
            let sets = assemble(spec, context, prepared, &manifests.manifest)?;
            whole.keep(context, &reports, &sets, &|_| false)?;
            sets
        }
    };
    let written = sets.write(context, &spec.outputs, &nowhere_else(context), None)?;
    let modules = prepared.iter().flat_map(|one| kmod::names_of(&one.rootfs.tree)).collect();
    Ok(BuiltExtension { written, report, manifest: manifests.manifest, modules, files: MadeFiles::default() })
}

fn prepare(
    spec: &ExtensionSpec,
    platform: &Platform,
    (mut rootfs, newest): (TreeInput, Option<Epoch>),
    manifests: &Manifests,
) -> Result<Prepared, Error> {
    if let Some((link, target)) = extension::resolve_hard_links(&mut rootfs.tree).first() {
        return Err(Problem::new(format!(
            "hard link `{link}` leads to `{target}`, which is no file of this extension"
        ))
        .hint("copy its target too")
        .into());
    }
    extension::normalise(&mut rootfs.tree, spec.keep_mode);
    if let Some(missing) = extension::label(&mut rootfs.tree, &spec.selinux_labels).first() {
        return Err(Problem::new(format!(
            "`--selinux-label {missing}=…` names a path that is not in the extension"
        ))
        .hint("paths count from the rootfs: `usr/lib/modules`")
        .into());
    }
    let mut manifest = TreeInput::default();
    let bytes = Content::memory(manifests.bytes.clone());
    let digest = Digest::of(&manifests.bytes);
    manifest.add(MANIFEST, Entry::file(0o644, bytes), Some(digest), &manifests.origin)?;
    Ok(Prepared { platform: platform.clone(), rootfs, manifest, newest })
}

/// What is made of all this, as one. What may pass is no part of it: it is looked at anew.
fn whole(spec: &ExtensionSpec, prepared: &[Prepared], manifest: &Manifest) -> Whole {
    let parts = prepared.iter().map(|one| (&one.platform, one.rootfs.key(), one.manifest.key(), one.newest));
    let parts: Vec<_> = parts
        .map(|(platform, rootfs, manifest, newest)| (platform, rootfs, manifest, newest.map(Epoch::seconds)))
        .collect();
    let says = (
        parts,
        spec.compression.unwrap_or(Compression::GZIP).to_string(),
        format!("{:?}", spec.format),
        (&spec.labels, &spec.annotations),
        spec.epoch.map(Epoch::seconds),
        spec.talos.as_ref().map(ToString::to_string),
    );
    Whole::new("extension", &manifest.name, &says)
}

/// Reports as they were kept, with the files of today.
fn located(reports: &[Report], prepared: &[Prepared], manifests: &Manifests) -> Vec<Report> {
    let one = |(report, one): (&Report, &Prepared)| {
        let mut findings = report.findings().to_vec();
        locate(&mut findings, &|path| one.origin(path, manifests), &|_| None);
        Report::new(findings)
    };
    reports.iter().zip(prepared).map(one).collect()
}

/// All checks, a report for each platform.
fn check(spec: &ExtensionSpec, prepared: &[Prepared], manifests: &Manifests) -> Result<Vec<Report>, Error> {
    let version = spec.talos.clone().unwrap_or(Version::NEWEST);
    let mut reports = Vec::new();
    for one in prepared {
        let whole = one.whole()?;
        let extension = check::ExtensionInput {
            tree: &whole.tree,
            platform: Some(&one.platform),
            talos: &version,
            talos_is_given: spec.talos.is_some(),
            duplicates: &[],
            layer_of: &|_| None,
            origin_of: &|path| one.origin(path, manifests),
        };
        reports.push(check::judge_extension(&extension)?);
    }
    Ok(reports)
}

impl Prepared {
    /// An image whose files are these, with their digests.
    pub(super) fn of_image(
        platform: &Platform,
        files: TreeInput,
        newest: Option<Epoch>,
    ) -> Result<Self, Error> {
        let mut rootfs = files.below(ROOTFS)?;
        extension::normalise(&mut rootfs.tree, true);
        let mut manifest = TreeInput::default();
        for (path, entry) in files.tree.iter().filter(|(path, _)| !tree::is_below(path, ROOTFS)) {
            let digest = files.digests.get(path).copied();
            manifest.add(path, entry.clone(), digest, files.origin(path).unwrap_or_default())?;
        }
        Ok(Self { platform: platform.clone(), rootfs, manifest, newest })
    }

    /// The file that a path of the image comes from; that of the manifest, where nothing else is known.
    fn origin(&self, path: Option<&str>, manifests: &Manifests) -> String {
        let below = |path: &str| Some(path.strip_prefix(ROOTFS)?.trim_start_matches('/').to_owned());
        let own = path.and_then(|path| match below(path) {
            Some(inside) => self.rootfs.origin(&inside),
            None => self.manifest.origin(path),
        });
        own.unwrap_or(&manifests.origin).to_owned()
    }

    /// The image as it will be when its layers lie one on another.
    fn whole(&self) -> Result<TreeInput, Error> {
        let mut whole = self.manifest.clone();
        let origin = |path: &str| self.rootfs.origin(path).unwrap_or_default().to_owned();
        whole.add(ROOTFS, Entry::directory(), None, "")?;
        for (path, entry) in self.rootfs.tree.iter() {
            let digest = self.rootfs.digests.get(path).copied();
            whole.add(&tree::join(ROOTFS, path), entry.clone(), digest, &origin(path))?;
        }
        Ok(whole)
    }
}

/// The extension that `build` would make of a folder for this platform, flattened, and when the newest of
/// its inputs was made.
pub(super) fn of_folder(
    context: &Context,
    cache: &StatCache,
    folder: &Path,
    platform: &Platform,
    talos: &Version,
) -> Result<(TreeInput, Option<Epoch>), Error> {
    let spec = ExtensionSpec {
        directory: Some(folder.to_owned()),
        platforms: vec![platform.clone()],
        talos: Some(talos.clone()),
        ..ExtensionSpec::default()
    };
    let manifests = Manifests::read(&spec)?;
    let rootfs = Gather::new(&spec, platform, context).rootfs(cache)?;
    let prepared = prepare(&spec, platform, rootfs, &manifests)?;
    Ok((prepared.whole()?, prepared.newest))
}

/// The plan proper: two layers and an image for each platform, and an index over several.
fn assemble(
    spec: &ExtensionSpec,
    context: &Context,
    prepared: &[Prepared],
    manifest: &Manifest,
) -> Result<Sets, Error> {
    let newest = prepared.iter().filter_map(|one| one.newest).max();
    let epoch = spec.epoch.or(newest).unwrap_or_default();
    let compression = spec.compression.unwrap_or(Compression::GZIP);
    let layers = LayerOptions { compression, format: spec.format, epoch };
    let described = describe(manifest);
    let with = |own: &BTreeMap<String, String>| described.clone().into_iter().chain(own.clone()).collect();
    let options = ImageOptions {
        format: spec.format,
        epoch,
        labels: with(&spec.labels),
        annotations: with(&spec.annotations),
    };
    let mut plan = Plan::new();
    let mut images = Vec::new();
    // What is the same on several platforms is made once.
    let mut made: BTreeMap<(&str, Digest), StepId> = BTreeMap::new();
    for one in prepared {
        let mut layer = |input, below, name: &'static str| {
            let subject = format!("{} {name} {}", manifest.name, one.platform);
            let key = (name, TreeInput::key(input));
            *made.entry(key).or_insert_with(|| assemble::layer(&mut plan, input, below, subject, layers))
        };
        let rootfs = layer(&one.rootfs, ROOTFS, ROOTFS);
        let manifest = layer(&one.manifest, "", MANIFEST);
        let parts = [(rootfs, "talosmith: rootfs"), (manifest, "talosmith: manifest.yaml")];
        images.push((assemble::image(&mut plan, &one.platform, &parts, &options), &one.platform));
    }
    let index = (images.len() > 1).then(|| assemble::index(&mut plan, &images, &options));
    let outputs = plan.run(&context.pushing(&spec.outputs, spec.platforms.iter()))?;
    Sets::collect(context, &outputs, &images, index)
}

/// What the manifest says, in the names that registries show (image-spec, annotations.md).
fn describe(manifest: &Manifest) -> BTreeMap<String, String> {
    let pairs = [
        ("title", &manifest.name),
        ("version", &manifest.version),
        ("authors", &manifest.author),
        ("description", &manifest.description),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.trim().to_owned()))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Opens an image and picks a platform of it, as `--copy` and `--modules-from` do.
pub(super) fn take(
    context: &Context,
    reference: &str,
    platform: &Platform,
    wanted: &str,
) -> Result<(TreeInput, Option<Epoch>), Error> {
    let parsed = parse(reference)?;
    if let Reference::Directory(directory) = &parsed {
        let mut input = TreeInput::default();
        let part = directory.join(wanted);
        // Of a large folder only what is wanted is read, unless a link leads there.
        let direct = match (directory.canonicalize(), part.canonicalize()) {
            (Ok(whole), Ok(found)) => found == whole.join(wanted) && found.is_dir(),
            _ => false,
        };
        match direct && !wanted.is_empty() {
            true => {
                input.add(wanted, Entry::directory(), None, &part.display().to_string())?;
                input.add_directory(&part, wanted)?;
            }
            false => input.add_directory(directory, "")?,
        }
        return Ok((input, None));
    }
    let image = crate::image::Media::from(context).open(&parsed)?;
    let (document, _) = crate::image::document::select(&image, image.root.clone(), Some(platform))?;
    let one = OneImage::read(&image, document)?;
    Ok((flatten::below(context, &one, wanted)?, one.created()))
}

/// Parses a reference that stands in an option's value.
pub(super) fn parse(reference: &str) -> Result<Reference, Error> {
    reference.parse().map_err(|error: crate::image::reference::ReferenceError| {
        let mut problem = Problem::usage(error.to_string());
        problem.hint = error.hint();
        problem.into()
    })
}

/// Replaces `{arch}` in a path or reference.
pub fn for_platform(text: &str, platform: &Platform) -> String {
    text.replace("{arch}", &platform.architecture)
}

/// [`for_platform`] of a path. One that is no text has no `{arch}`.
pub(super) fn path_for(path: &Path, platform: &Platform) -> PathBuf {
    path.to_str().map_or_else(|| path.to_owned(), |text| for_platform(text, platform).into())
}

/// `path` as a string, for messages.
pub(super) fn shown(path: &Path) -> String {
    format!("`{}`", path.display())
}
