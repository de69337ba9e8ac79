//! Every input of a spec in one archive: for sites without a network.
//!
//! The archive is an OCI layout like any other: each image under the reference by which the spec, or what it leads to,
//! names it; what hangs on the images (signatures, bills of materials) beside them; files that packages fetch as blobs;
//! and the lock as an artifact of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::error::{Error, Problem};
use super::lock::{self, Lock};
use super::run::Context;
use crate::base::{Content, Digest};
use crate::image::document::{ImageSet, Source as _, WalkError};
use crate::image::layout::{self, Layout};
use crate::image::pins::PinnedSource;
use crate::image::{
    Descriptor, Document, Media, MediaError, Opened, Parsed, Platform, Reference, media_type,
};

/// The name of the lock in the archive.
pub const LOCK_NAME: &str = "talosmith.lock";
/// What the lock is, as an artifact.
const LOCK_TYPE: &str = "application/vnd.talosmith.lock.v1+json";

/// An image that goes into a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its reference; the URL of a file.
    pub reference: String,
    /// Its digest.
    pub digest: Digest,
    /// Bytes of all that belongs to it.
    pub size: u64,
    /// Bytes that have to be fetched for it.
    pub missing: u64,
    /// What hangs on it.
    pub referrers: usize,
}

/// What a bundle is made of.
pub struct Inputs {
    /// Each image and file.
    pub parts: Vec<Part>,
    roots: Vec<(Descriptor, Option<String>)>,
    set: ImageSet,
    images: Vec<Opened>,
    /// The image that a blob belongs to, by its place in `images`.
    owners: BTreeMap<Digest, usize>,
}

/// Finds out what belongs into the bundle of what `lock` has. Blobs that are in one of `known` are left out: whoever
/// has those archives needs them no second time.
pub fn inputs(
    context: &Context,
    lock: &Lock,
    platforms: &[Platform],
    known: &[Layout],
) -> Result<Inputs, Error> {
    let mut inputs = Inputs {
        parts: Vec::new(),
        roots: Vec::new(),
        set: ImageSet { documents: Vec::new(), blobs: Vec::new() },
        images: Vec::new(),
        owners: BTreeMap::new(),
    };
    let mut seen = BTreeSet::new();
    for image in &lock.images {
        let reference: Reference = super::extension::parse(&format!("docker://{}", image.reference))?;
        let opened = Media::from(context).open(&reference)?;
        let mut sets = vec![(parts(&opened, opened.root.clone(), platforms)?, Some(image.reference.clone()))];
        let hanging = opened.referrers()?;
        let referrers = hanging.len();
        for document in hanging {
            sets.push((ImageSet::read(&opened, document)?, None));
        }
        let (mut size, mut missing) = (0, 0);
        for (set, name) in sets {
            let Some(root) = set.root() else { continue };
            inputs.roots.push((root.descriptor.clone(), name));
            for document in &set.documents {
                size += document.descriptor.size;
                if seen.insert(document.descriptor.digest) {
                    inputs.set.documents.push(document.clone());
                }
            }
            for blob in &set.blobs {
                size += blob.size;
                let elsewhere = known.iter().any(|known| known.blob(blob).is_ok());
                if seen.insert(blob.digest) && !elsewhere {
                    missing += if opened.has(blob) { 0 } else { blob.size };
                    inputs.set.blobs.push(blob.clone());
                    inputs.owners.insert(blob.digest, inputs.images.len());
                }
            }
        }
        let digest = opened.root.descriptor.digest;
        inputs.parts.push(Part { reference: image.reference.clone(), digest, size, missing, referrers });
        inputs.images.push(opened);
    }
    for source in &lock.sources {
        let blob = Descriptor::new("application/octet-stream", source.digest, source.size);
        if known.iter().all(|known| known.blob(&blob).is_err()) && seen.insert(blob.digest) {
            inputs.set.blobs.push(blob);
        }
        let (reference, digest, size) = (source.url.clone(), source.digest, source.size);
        let missing = if context.store.blob(&digest, size).is_some() { 0 } else { size };
        inputs.parts.push(Part { reference, digest, size, missing, referrers: 0 });
    }
    Ok(inputs)
}

/// Of an image for another platform than those that are wanted, this many bytes go in all the same: catalogues and
/// packages are read for one platform on all of them.
const SMALL: u64 = 16 << 20;

/// An image with those of its platforms that are wanted; all of it, if it has none of them. The documents of the others
/// go in, too: whoever looks through an index reads them.
fn parts(image: &Opened, root: Document, platforms: &[Platform]) -> Result<ImageSet, Error> {
    let Parsed::Index(index) = root.parse()? else { return Ok(ImageSet::read(image, root)?) };
    let is_wanted = |one: &Descriptor| {
        let own = one.platform.as_ref();
        own.is_some_and(|own| platforms.iter().any(|platform| own.satisfies(platform)))
    };
    if !index.manifests.iter().any(is_wanted) {
        return Ok(ImageSet::read(image, root)?);
    }
    let mut whole = ImageSet { documents: Vec::new(), blobs: Vec::new() };
    for descriptor in &index.manifests {
        let set = ImageSet::read(image, image.document(descriptor)?)?;
        whole.documents.extend(set.documents);
        let configuration = |blob: &Descriptor| blob.size < 64 << 10;
        if is_wanted(descriptor) || set.blobs.iter().map(|blob| blob.size).sum::<u64>() <= SMALL {
            whole.blobs.extend(set.blobs);
        } else {
            whole.blobs.extend(set.blobs.into_iter().filter(configuration));
        }
    }
    whole.documents.push(root);
    Ok(whole)
}

/// Fetches what is missing and writes the archive.
pub fn write(context: &Context, inputs: Inputs, lock: &Lock, file: &Path) -> Result<u64, Error> {
    let Inputs { mut roots, mut set, images, owners, .. } = inputs;
    for (number, image) in images.iter().enumerate() {
        let own = set.blobs.iter().filter(|blob| owners.get(&blob.digest) == Some(&number));
        image.prefetch(&own.cloned().collect::<Vec<_>>(), &context.events)?;
    }
    for source in &lock.sources {
        let wanted = set.blobs.iter().any(|blob| blob.digest == source.digest);
        if wanted && context.store.blob(&source.digest, source.size).is_none() {
            fetch_source(context, source)?;
        }
    }
    let text = lock.to_text();
    let (blob, empty) = (Descriptor::of(LOCK_TYPE, &text), Descriptor::of(media_type::OCI_EMPTY, EMPTY));
    let manifest = Document::artifact(LOCK_TYPE, &empty, std::slice::from_ref(&blob));
    context.store.put(&text)?;
    context.store.put(EMPTY)?;
    set.blobs.extend([blob, empty]);
    roots.push((manifest.descriptor.clone(), Some(LOCK_NAME.to_owned())));
    set.documents.push(manifest);
    let total = set.blobs.iter().map(|blob| blob.size).sum();
    let activity = context.events.begin("bundle", file.display().to_string(), Some(total));
    let fetch = |blob: &Descriptor| -> Result<Content, MediaError> {
        activity.advance(blob.size);
        if let Some(content) = context.store.blob(&blob.digest, blob.size) {
            return Ok(content);
        }
        let image = owners.get(&blob.digest).and_then(|number| images.get(*number));
        image.map_or_else(|| super::outputs::nowhere_else(context)(blob), |image| image.blob(blob))
    };
    layout::write_archive_of(file, &roots, &set, &fetch).map_err(|error: MediaError| Error::Output {
        target: file.display().to_string(),
        source: Box::new(error.into()),
    })?;
    activity.finish("");
    Ok(total)
}

/// Fetches a file that a package wants, and holds it against the lock.
fn fetch_source(context: &Context, source: &PinnedSource) -> Result<(), Error> {
    if source.url.starts_with("file:") {
        return Err(Problem::new(format!("`{}` is not in the cache", source.url))
            .hint("build once on the machine that has the file")
            .into());
    }
    let mut writer = context.store.writer()?;
    let downloaded = context.client.download(&source.url, source.size, &mut writer);
    downloaded.map_err(MediaError::from)?;
    let (found, _) = writer.finish()?;
    match found == source.digest {
        true => Ok(()),
        false => Err(Problem::new(format!("`{}` is another file than the one that was locked", source.url))
            .detail(format!("expected: {}", source.digest))
            .detail(format!("found: {found}"))
            .into()),
    }
}

/// The configuration of an artifact (image-spec, manifest.md, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";

/// Opens bundles; gives the lock of the first one, too.
pub fn open(context: &Context, files: &[std::path::PathBuf]) -> Result<(Vec<Layout>, Option<Lock>), Error> {
    let mut layouts = Vec::new();
    let mut lock = None;
    for file in files {
        let layout = Media::from(context).open_layout(file)?;
        if lock.is_none() {
            lock = Some(lock_of(&layout, file)?);
        }
        layouts.push(layout);
    }
    Ok((layouts, lock))
}

fn lock_of(layout: &Layout, file: &Path) -> Result<Lock, Error> {
    let none = || {
        Problem::new(format!("`{}` is no bundle: it has no `{LOCK_NAME}`", file.display()))
            .hint("`talosmith bundle FILE -o BUNDLE` makes one")
    };
    let document = layout.root(Some(LOCK_NAME)).map_err(|_| none())?;
    let Parsed::Manifest(manifest) = document.parse()? else { return Err(none().into()) };
    let blob = manifest.layers.first().filter(|blob| blob.media_type == LOCK_TYPE).ok_or_else(none)?;
    let content = layout.blob(blob).map_err(MediaError::from)?;
    let bytes = content.read(lock::LIMIT).map_err(|error| none().detail(error.to_string()))?;
    if Digest::of(&bytes) != blob.digest {
        return Err(none().detail("the lock in it is damaged").into());
    }
    Lock::parse(&bytes, &file.display().to_string())
}

impl From<WalkError<layout::LayoutError>> for Error {
    fn from(error: WalkError<layout::LayoutError>) -> Self {
        MediaError::from(error).into()
    }
}
