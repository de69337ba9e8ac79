//! What `check`, `inspect` and `diff` look at: an image of one platform, or a plain tree, with its kind.

use std::io::{self, Read};
use std::path::Path;

use super::error::Error;
use super::flatten;
use super::one_image::{OneImage, images_of};
use super::run::{Context, Plan};
use super::step::{Outputs, Step};
use super::tree_input::TreeInput;
use crate::archive::tree::Tree;
use crate::base::fsio::At as _;
use crate::base::{Activity, Content, locked};
use crate::image::config::ConfigFile;
use crate::image::document::select;
use crate::image::{Document, Manifest, Media, Platform, Reference};
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

/// Whose contents are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Of extensions only: other kinds are large, and nobody has asked for a file of theirs.
    OfExtensions,
    /// Of extensions, and of what boots in installers and imagers.
    ToInspect,
    /// The same, and of kernel images.
    ToCheck,
    /// Of everything.
    All,
}

/// Where installers and imagers have what boots.
pub const BOOT_ASSETS: &str = "usr/install";

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
    let documents = match platform {
        Some(_) => vec![select(&image, image.root.clone(), platform)?.0],
        None => images_of(&image)?,
    };
    for document in documents {
        subjects.push(subject(context, OneImage::read(&image, document)?, contents)?);
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

fn subject(context: &Context, one: OneImage<'_>, contents: Contents) -> Result<Subject, Error> {
    let entrypoint = one.config.entrypoint();
    let listing = match contents {
        Contents::All => None,
        _ => Some(list(context, &one)?),
    };
    let files = match listing {
        None => with_contents(context, &one, "")?,
        Some(mut files) => match kind_of(entrypoint, &files.tree) {
            Kind::Extension => with_contents(context, &one, "")?,
            Kind::Kernel if contents == Contents::ToCheck => with_contents(context, &one, "")?,
            Kind::Installer | Kind::Imager if contents != Contents::OfExtensions => {
                let taken = with_contents(context, &one, BOOT_ASSETS)?;
                for (path, entry) in taken.tree.below(BOOT_ASSETS) {
                    if let Some(listed) = files.tree.get_mut(path) {
                        *listed = entry.clone();
                    }
                }
                files
            }
            _ => files,
        },
    };
    let kind = kind_of(entrypoint, &files.tree);
    let platform = one.config.platform().or_else(|| one.document.descriptor.platform.clone());
    let reference = one.image.reference.to_string();
    let OneImage { document, manifest, config, .. } = one;
    Ok(Subject { reference, kind, image: Some(ImageFacts { platform, document, manifest, config }), files })
}

/// The kind of what `reference` names; of an index, that of its first image.
pub fn kind_of_reference(context: &Context, reference: &Reference) -> Result<Kind, Error> {
    let image = Media::from(context).open(reference)?;
    let document = images_of(&image)?.swap_remove(0); // at least one: without any it is an error
    Ok(kind_of_image(context, &OneImage::read(&image, document)?)?.0)
}

/// The kind of an image, and its paths without their contents.
pub fn kind_of_image(context: &Context, one: &OneImage<'_>) -> Result<(Kind, TreeInput), Error> {
    let listed = list(context, one)?;
    Ok((kind_of(one.config.entrypoint(), &listed.tree), listed))
}

/// The kind of a flattened image.
pub fn kind_of(entrypoint: &[String], tree: &Tree) -> Kind {
    let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
    Kind::of(entrypoint, &paths)
}

fn with_contents(context: &Context, one: &OneImage<'_>, wanted: &str) -> Result<TreeInput, Error> {
    let mut plan = Plan::new();
    let step = flatten::add(&mut plan, one, wanted);
    let outputs = plan.run(context)?;
    flatten::tree(context, step.outputs(&outputs)?, &one.image.reference.to_string())
}

/// The paths of an image without their contents: sizes are right, bytes are not there.
fn list(context: &Context, one: &OneImage<'_>) -> Result<TreeInput, Error> {
    let size = one.manifest.layers.iter().map(|layer| layer.size).sum();
    let found = std::sync::Mutex::new(None);
    let mut plan = Plan::new();
    let run = |_: &Context, progress: &Activity, _: &[&Outputs]| {
        let mut skip = |reader: &mut dyn Read, size: u64| -> io::Result<Content> {
            io::copy(reader, &mut io::sink())?;
            Ok(Content::range("", 0, size))
        };
        let files = flatten::flatten_with(one, progress, &|_| true, &mut skip)?;
        *locked(&found) = Some(files);
        Ok(Outputs::default())
    };
    plan.add(Step::new("list", 1, one.image.reference.to_string(), run).total(size).always());
    plan.run(context)?;
    drop(plan);
    found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .ok_or_else(|| Error::Internal("an image was not listed".to_owned()))
}
