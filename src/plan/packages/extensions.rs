//! Packages that are extensions, made into images: several at once share their trees, images and sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::build::{Builder, Built, Delegate};
use super::tree::{PackageTree, files_of, root_of, wrong};
use crate::archive::Entry;
use crate::archive::compress::Compression;
use crate::base::workers::each;
use crate::base::{Content, Digest, locked};
use crate::bldr::pkgfile::Build;
use crate::image::{Platform, RegistryReference};
use crate::plan::assemble::{self, ImageOptions, LayerOptions};
use crate::plan::error::{Error, Problem};
use crate::plan::extension::{BuiltExtension, ExtensionSpec, Prepared, finish};
use crate::plan::gather::Manifests;
use crate::plan::outputs::{Sets, Written, nowhere_else};
use crate::plan::run::{Context, Plan};
use crate::plan::stat_cache::StatCache;
use crate::plan::tree_input::TreeInput;
use crate::talos::Architecture;
use crate::talos::catalogue::{DESCRIPTIONS, DIGESTS, Extensions, OfficialExtension};
use crate::talos::extension::{MANIFEST, ROOTFS};

/// Which packages of which tree.
#[derive(Debug, Clone)]
pub struct PackageSpec {
    /// The root of the tree, or the folder of the one package that is wanted.
    pub folder: PathBuf,
    /// Names of packages; of none, the package in the folder.
    pub targets: Vec<String>,
    /// Build arguments.
    pub arguments: BTreeMap<String, String>,
    /// Who builds what is not built natively; nobody, if that is not wanted.
    pub delegate: Option<Delegate>,
}

/// Builds the packages and writes each to every output of `spec`, in which `{name}` and `{version}` are the
/// package's own: its name and its variable `VERSION`, or what its manifest says.
pub fn build(
    packages: &PackageSpec,
    spec: &ExtensionSpec,
    context: &Context,
) -> Result<Vec<BuiltExtension>, Error> {
    if packages.targets.len() > 1 && spec.outputs.iter().any(|output| !output.contains("{name}")) {
        return Err(Problem::usage(
            "several packages are asked for, and an output has one name for all of them",
        )
        .hint("put `{name}` into it: `-o oci:out/{name}`")
        .into());
    }
    let root = if packages.targets.is_empty() { root_of(&packages.folder)? } else { packages.folder.clone() };
    let cache = context.stat_cache();
    let files = files_of(&root)?;
    let mut names = packages.targets.clone();
    let mut made: BTreeMap<String, Vec<(Platform, Arc<Built>)>> = BTreeMap::new();
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    let mut labels = BTreeMap::new();
    for platform in &spec.platforms {
        let tree = read(packages, &root, files.clone(), platform)?;
        if names.is_empty() {
            names.push(tree.in_folder(&packages.folder)?);
        }
        let own = tree.packages.pkgfile().into_iter().flat_map(|pkgfile| pkgfile.labels.iter());
        labels.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut builder = Builder::new(
            context,
            &tree,
            platform,
            packages.delegate.as_ref(),
            spec.epoch.unwrap_or_default(),
        )?;
        for name in &names {
            let built = builder.build(name)?;
            made.entry(name.clone()).or_default().push((platform.clone(), built));
            let located = tree.packages.get(name).map_err(|error| wrong(&root, &error))?;
            if let Some(version) = located.variables.get("VERSION") {
                versions.insert(name.clone(), version.to_owned());
            }
        }
    }
    // The user's own win over the tree's.
    labels.extend(spec.labels.clone());
    let spec = &ExtensionSpec { labels, ..spec.clone() };
    let done = Mutex::new(BTreeMap::new());
    let one = |name: &String| -> Result<(), Error> {
        let made = made.get(name).map(Vec::as_slice).unwrap_or_default();
        let built = image(context, cache, spec, name, versions.get(name), made)?;
        locked(&done).insert(name.clone(), built);
        Ok(())
    };
    // What waits for a registry waits beside the others.
    each(context.workers.jobs().max(2) * 2, &names, one)?;
    context.keep_digests();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(names.iter().filter_map(|name| done.remove(name)).collect())
}

/// Reads a tree for a platform.
pub fn read(
    packages: &PackageSpec,
    root: &Path,
    files: TreeInput,
    platform: &Platform,
) -> Result<PackageTree, Error> {
    let architecture = Architecture::parse(&platform.architecture)
        .ok_or_else(|| Problem::new(format!("Talos does not run on `{platform}`")))?;
    let build = Build { architecture, arguments: packages.arguments.clone() };
    PackageTree::read(root, files, &build)
}

/// Makes the image of one package, for all platforms.
fn image(
    context: &Context,
    cache: &StatCache,
    spec: &ExtensionSpec,
    name: &str,
    version: Option<&String>,
    made: &[(Platform, Arc<Built>)],
) -> Result<BuiltExtension, Error> {
    let mut prepared = Vec::new();
    let mut manifests = None;
    for (platform, built) in made {
        built.notes.iter().for_each(|note| context.events.detail(note.clone()));
        let mut files = built.files.clone();
        files.hash(context, cache)?;
        let origin = format!("package `{name}`");
        let manifest = files.tree.get(MANIFEST).and_then(|entry| entry.content());
        let Some(manifest) = manifest else {
            return Err(Problem::new(format!(
                "package `{name}` makes no extension: it gives no `{MANIFEST}`"
            ))
            .hint(format!("an extension's `finalize` gives `/{MANIFEST}` and `/{ROOTFS}`"))
            .into());
        };
        if manifests.is_none() {
            manifests = Some(Manifests::of_content(manifest, &origin)?);
        }
        prepared.push(Prepared::of_image(platform, files, built.newest)?);
    }
    let manifests = manifests.ok_or_else(|| Problem::usage("no platform is asked for"))?;
    let version = version.unwrap_or(&manifests.manifest.version);
    finish(&spec.named(name, version)?, context, &prepared, manifests)
}

/// Makes the catalogue of extensions that were pushed, by which schematics and the Image Factory find them, and
/// writes it to `outputs`.
pub fn catalogue(
    built: &[BuiltExtension],
    spec: &ExtensionSpec,
    outputs: &[String],
    context: &Context,
) -> Result<Vec<Written>, Error> {
    let mut extensions = Vec::new();
    for one in built {
        let pushed = one.written.iter().find_map(|written| {
            let reference = written.reference.strip_prefix("docker://")?;
            format!("{reference}@{}", written.digest).parse::<RegistryReference>().ok()
        });
        let image = pushed.ok_or_else(|| {
            Problem::usage(format!(
                "a catalogue lists what is in a registry, and `{}` is in none",
                one.manifest.name
            ))
            .hint("push the extensions too: `--push HOST/USER`")
        })?;
        extensions.push(OfficialExtension {
            name: image.repository.clone(),
            image,
            author: one.manifest.author.clone(),
            description: one.manifest.description.clone(),
        });
    }
    let extensions = Extensions::new(extensions);
    let mut files = TreeInput::default();
    for (name, text) in [(DIGESTS, extensions.to_digests()), (DESCRIPTIONS, extensions.to_descriptions())] {
        let bytes = text.into_bytes();
        let digest = Digest::of(&bytes);
        files.add(name, Entry::file(0o644, Content::memory(bytes)), Some(digest), "the catalogue")?;
    }
    let epoch = spec.epoch.unwrap_or_default();
    let compression = spec.compression.unwrap_or(Compression::GZIP);
    let layers = LayerOptions { compression, format: spec.format, epoch };
    let options =
        ImageOptions { format: spec.format, epoch, labels: BTreeMap::new(), annotations: BTreeMap::new() };
    let platform = spec.platforms.first().ok_or_else(|| Problem::usage("no platform is asked for"))?;
    let mut plan = Plan::new();
    let layer = assemble::layer(&mut plan, &files, "", "catalogue".to_owned(), layers);
    let parts = [(layer, "talosmith: catalogue")];
    let images = [(assemble::image(&mut plan, platform, &parts, &options), platform)];
    let results = plan.run(context)?;
    let sets = Sets::collect(context, &results, &images, None)?;
    sets.write(context, outputs, &nowhere_else(context), None)
}
