//! What `check`, `inspect` and `diff` look at: an image of one platform, or a plain tree, with its kind.

use std::io::{self, Read};
use std::path::Path;

use super::error::{Error, Problem};
use super::flatten;
use super::run::{Context, Plan};
use super::step::{Outputs, Step};
use super::tree_input::TreeInput;
use crate::archive::tree::Tree;
use crate::base::fsio::At as _;
use crate::base::{Activity, Content, Digest, Epoch};
use crate::image::config::{self, ConfigFile};
use crate::image::document::{DOCUMENT_LIMIT, Source as _, select};
use crate::image::{Document, Manifest, Media, MediaError, Opened, Parsed, Platform, Reference};
use crate::talos::extension::{MANIFEST, ROOTFS};
use crate::talos::kind::Kind;

/// An image of one platform, or a plain tree.
#[derive(Debug)]
pub struct Subject {
    /// Where it is, as the user wrote it.
    pub reference: String,
    /// What kind of image it is.
    pub kind: Kind,
    /// The image's documents; a plain tree has none.
    pub image: Option<ImageFacts>,
    /// Its files. Contents are there where they were asked for.
    pub files: TreeInput,
}

/// What an image's own documents say.
#[derive(Debug)]
pub struct ImageFacts {
    /// The platform of the configuration, or of the index.
    pub platform: Option<Platform>,
    /// The manifest with its digest.
    pub document: Document,
    /// The manifest, parsed.
    pub manifest: Manifest,
    /// The configuration.
    pub config: ConfigFile,
}

/// Whether contents of files are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Of extensions only: other kinds are large, and nobody has asked for a file of theirs.
    OfExtensions,
    /// Of everything.
    All,
}

/// Loads what `reference` names: one subject for each platform of an index, or for the one that is
/// asked for.
pub fn load(
    context: &Context,
    reference: &Reference,
    platform: Option<&Platform>,
    contents: Contents,
) -> Result<(Option<Document>, Vec<Subject>), Error> {
    if let Some(files) = plain_tree(reference)? {
        let kind = kind_of(&[], &files.tree);
        let subject = Subject { reference: reference.to_string(), kind, image: None, files };
        return Ok((None, vec![subject]));
    }
    let image = Media::from(context).open(reference)?;
    let mut subjects = Vec::new();
    for document in documents(&image, platform)? {
        let Parsed::Manifest(manifest) = document.parse()? else { continue };
        subjects.push(subject(context, &image, document, manifest, contents)?);
    }
    Ok((Some(image.root), subjects))
}

/// A plain tree: `dir:DIR` as it stands, and a path without a layout in it. Of the latter, an extension's
/// folder counts as the image it will become: `manifest.yaml` and `rootfs/`, not the README beside them.
fn plain_tree(reference: &Reference) -> Result<Option<TreeInput>, Error> {
    let mut files = TreeInput::default();
    match reference {
        Reference::Directory(folder) => files.add_directory(folder, "")?,
        Reference::Path(path) if path.is_dir() && !path.join(crate::image::store::LAYOUT_FILE).exists() => {
            if path.join(MANIFEST).exists() || path.join(ROOTFS).is_dir() {
                extension_folder(&mut files, path)?;
            } else {
                files.add_directory(path, "")?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(files))
}

fn extension_folder(files: &mut TreeInput, folder: &Path) -> Result<(), Error> {
    let manifest = folder.join(MANIFEST);
    if manifest.is_file() {
        let size = std::fs::metadata(&manifest).at("read", &manifest)?.len();
        let entry = crate::archive::Entry::file(0o644, Content::file(&manifest, size));
        files.add(MANIFEST, entry, None, &manifest.display().to_string())?;
    }
    if folder.join(ROOTFS).is_dir() {
        files.add(ROOTFS, crate::archive::Entry::directory(), None, &folder.display().to_string())?;
        files.add_directory(&folder.join(ROOTFS), ROOTFS)?;
    }
    Ok(())
}

/// The manifests of the platforms that are asked for; attestations are no images.
fn documents(image: &Opened, platform: Option<&Platform>) -> Result<Vec<Document>, Error> {
    if platform.is_some() {
        return Ok(vec![select(image, image.root.clone(), platform)?.0]);
    }
    match image.root.parse()? {
        Parsed::Manifest(_) => Ok(vec![image.root.clone()]),
        Parsed::Index(index) => {
            let images = index.manifests.iter().filter(|image| {
                image.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
                    && crate::image::media_type::is_manifest(&image.media_type)
            });
            Ok(images.map(|descriptor| image.document(descriptor)).collect::<Result<_, _>>()?)
        }
    }
}

fn subject(
    context: &Context,
    image: &Opened,
    document: Document,
    manifest: Manifest,
    contents: Contents,
) -> Result<Subject, Error> {
    let config = read_config(image, &manifest)?;
    let reference = image.reference.to_string();
    let listing = match contents {
        Contents::All => None,
        Contents::OfExtensions => Some(list(context, image, &manifest)?),
    };
    let entrypoint = config.entrypoint();
    let files = match listing {
        Some(files) if kind_of(entrypoint, &files.tree) != Kind::Extension => files,
        _ => with_contents(context, image, &manifest, &reference)?,
    };
    let kind = kind_of(entrypoint, &files.tree);
    let platform = config.platform().or_else(|| document.descriptor.platform.clone());
    Ok(Subject { reference, kind, image: Some(ImageFacts { platform, document, manifest, config }), files })
}

fn kind_of(entrypoint: &[String], tree: &Tree) -> Kind {
    let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
    Kind::of(entrypoint, &paths)
}

fn with_contents(
    context: &Context,
    image: &Opened,
    manifest: &Manifest,
    reference: &str,
) -> Result<TreeInput, Error> {
    let mut plan = Plan::new();
    let step = flatten::add(&mut plan, image, manifest, "");
    let outputs = plan.run(context)?;
    flatten::tree(context, step.outputs(&outputs)?, reference)
}

/// The paths of an image without their contents: sizes are right, bytes are not there.
fn list(context: &Context, image: &Opened, manifest: &Manifest) -> Result<TreeInput, Error> {
    let size = manifest.layers.iter().map(|layer| layer.size).sum();
    let found = std::sync::Mutex::new(None);
    let mut plan = Plan::new();
    let run = |_: &Context, progress: &Activity, _: &[&Outputs]| {
        let mut skip = |reader: &mut dyn Read, size: u64| -> io::Result<Content> {
            io::copy(reader, &mut io::sink())?;
            Ok(Content::range("", 0, size))
        };
        let files = flatten::flatten_with(image, manifest, progress, &|_| true, &mut skip)?;
        *found.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(files);
        Ok(Outputs::default())
    };
    plan.add(Step::new("list", 1, image.reference.to_string(), run).total(size).always());
    plan.run(context)?;
    drop(plan);
    found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .ok_or_else(|| Error::Internal("an image was not listed".to_owned()))
}

/// Reads an image's configuration, checked against its digest.
pub(super) fn read_config(image: &Opened, manifest: &Manifest) -> Result<ConfigFile, Error> {
    let origin = image.reference.to_string();
    let bytes =
        image.blob(&manifest.config)?.read(DOCUMENT_LIMIT).at("read the configuration of", &origin)?;
    let mut hasher = manifest.config.digest.hasher();
    hasher.update(&bytes);
    let found: Digest = hasher.finish();
    if found != manifest.config.digest {
        return Err(MediaError::Damaged { digest: manifest.config.digest, origin, found }.into());
    }
    config::parse(&bytes).map_err(|error| {
        Problem::new(format!("`{origin}` has no image configuration"))
            .detail(format!("{}: {error}", manifest.config.media_type))
            .hint("it may be an artifact (a chart, a signature) and no container image")
            .into()
    })
}

/// When an image says that it was made.
pub(super) fn created(image: &Opened, manifest: &Manifest) -> Result<Option<Epoch>, Error> {
    Ok(read_config(image, manifest)?.created.as_deref().and_then(Epoch::from_rfc3339))
}
