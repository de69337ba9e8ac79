//! What an installer is made of, opened: images and folders, of which nothing large was read yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::image::document::{Source as _, select};
use crate::image::store::LAYOUT_FILE;
use crate::image::{Document, Media, Opened, Parsed, Platform, Reference};
use crate::plan::error::Error;
use crate::plan::extension::parse;
use crate::plan::one_image::{OneImage, images_of};
use crate::plan::run::Context;
use crate::plan::squashfs::{is_plain_tar, tar_tree};
use crate::plan::tree_input::TreeInput;

/// An image, or a folder on disk.
#[derive(Debug)]
pub(super) enum Source {
    /// An image or an index of several.
    Image(Arc<Opened>),
    /// `dir:DIR`, and a path to a folder without an OCI layout.
    Folder(PathBuf),
    /// A tar of an image's files, without the image.
    Files(Box<TreeInput>),
}

impl Source {
    /// Opens a reference as the user wrote it.
    pub(super) fn open(context: &Context, reference: &str) -> Result<Self, Error> {
        Ok(match parse(reference)? {
            Reference::Directory(folder) => Self::Folder(folder),
            Reference::Path(path) if path.is_dir() && !path.join(LAYOUT_FILE).exists() => Self::Folder(path),
            Reference::Path(path) if path.is_file() && is_plain_tar(&path) => {
                let mut files = TreeInput::of(tar_tree(&path, context)?, BTreeMap::new());
                files.hash(context, context.stat_cache())?;
                Self::Files(Box::new(files))
            }
            reference => Self::Image(Arc::new(Media::from(context).open(&reference)?)),
        })
    }
}

/// The image for `platform`.
pub(super) fn image_for<'a>(image: &'a Opened, platform: &Platform) -> Result<OneImage<'a>, Error> {
    let (document, _) = select(image, image.root.clone(), Some(platform))?;
    OneImage::read(image, document)
}

/// The image for `platform` or, where an index has none, any other of it: what is wanted of an imager lies in
/// its images for both architectures.
pub(super) fn image_for_or_any<'a>(image: &'a Opened, platform: &Platform) -> Result<OneImage<'a>, Error> {
    match image.root.parse()? {
        Parsed::Manifest(_) => OneImage::read(image, image.root.clone()),
        Parsed::Index(index) => {
            let mut own = index
                .manifests
                .iter()
                .filter(|image| image.platform.as_ref().is_some_and(|own| own.satisfies(platform)));
            let document: Document = match own.next() {
                Some(descriptor) => image.document(descriptor)?,
                None => images_of(image)?.swap_remove(0), // at least one: without any it is an error
            };
            OneImage::read(image, document)
        }
    }
}
