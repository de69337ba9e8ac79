//! The media that hold images, behind one face: open a reference, write an image to one.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Descriptor;
use super::docker_archive::{self, DockerArchiveError, Loaded};
use super::document::{
    DOCUMENT_LIMIT, Document, DocumentError, ImageSet, Manifest, Parsed, Source, WalkError,
};
use super::layout::{self, Layout, LayoutError};
use super::pins::Pins;
use super::platform::Platform;
use super::reference::{Reference, RegistryReference};
use super::registry::{Client, Progress, RegistryError};
use super::store::Store;
use crate::archive::compress::{Codec, decoder};
use crate::archive::tar::{self, TarError};
use crate::base::fsio::{At as _, FileError};
use crate::base::workers::each;
use crate::base::{Content, Digest, Events, Workers};

/// An image cannot be read from, or written to, its medium.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// A layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A docker archive.
    #[error(transparent)]
    DockerArchive(#[from] DockerArchiveError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A manifest or index.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// An archive's members cannot be listed.
    #[error("`{}` is no readable archive", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What the reader says.
        source: TarError,
    },
    /// A blob's bytes are not what its digest says.
    #[error("blob {digest} from {origin} is damaged: its bytes have digest {found}")]
    Damaged {
        /// The blob.
        digest: Digest,
        /// Where it came from.
        origin: String,
        /// What its bytes are.
        found: Digest,
    },
    /// A reference may move, and nothing is to move.
    #[error("`{0}` is not in the lock")]
    Unlocked(RegistryReference),
    /// The reference cannot be used this way.
    #[error("`{reference}` {why}")]
    Unusable {
        /// The reference.
        reference: String,
        /// Why not.
        why: String,
        /// What to write instead.
        hint: Option<String>,
    },
}

impl<E: Into<MediaError> + std::error::Error + 'static> From<WalkError<E>> for MediaError {
    fn from(error: WalkError<E>) -> Self {
        match error {
            WalkError::Source(error) => error.into(),
            WalkError::Document(error) => error.into(),
        }
    }
}

/// What opening and writing need.
#[derive(Debug, Clone)]
pub struct Media {
    /// Where pulled blobs go.
    pub store: Store,
    /// For archives whose layers are put into gzip.
    pub workers: Workers,
    /// Registries.
    pub client: Client,
    /// What references are known to mean.
    pub pins: Pins,
}

/// An opened image: its root document and where the rest is.
#[derive(Debug)]
pub struct Opened {
    /// The manifest or index that the reference names.
    pub root: Document,
    /// What it was opened from.
    pub reference: Reference,
    medium: OpenMedium,
}

#[derive(Debug)]
enum OpenMedium {
    Layout(Layout),
    Docker(Loaded),
    Remote(Remote),
}

/// An image in a registry, whose parts may be on this machine already.
#[derive(Debug)]
struct Remote {
    client: Client,
    repository: RegistryReference,
    store: Store,
    pins: Pins,
}

impl Remote {
    /// What need not be fetched: a blob of the store, or of a bundle. That of a bundle is read in place, so it is held
    /// against its digest here.
    fn here(&self, blob: &Descriptor) -> Result<Option<Content>, MediaError> {
        match self.store.blob(&blob.digest, blob.size) {
            Some(content) => Ok(Some(content)),
            None => self.pins.in_bundle(blob).map_err(|found| MediaError::Damaged {
                digest: blob.digest,
                origin: "a bundle".to_owned(),
                found,
            }),
        }
    }

    /// The bytes of a manifest or index that is here, if they are what its digest says.
    fn document(&self, descriptor: &Descriptor) -> Option<Document> {
        let bytes = self.here(descriptor).ok()??.read(DOCUMENT_LIMIT).ok()?;
        let mut hasher = descriptor.digest.hasher();
        hasher.update(&bytes);
        let whole = hasher.finish() == descriptor.digest;
        whole.then(|| Document { descriptor: descriptor.clone(), bytes: bytes.into() })
    }

    /// Keeps a manifest or index, so that it need not be asked for again where its digest is known.
    fn keep(&self, document: Document) -> Result<Document, MediaError> {
        if document.descriptor.digest.algorithm() == "sha256" {
            self.store.put(&document.bytes)?;
        }
        Ok(document)
    }

    /// The manifest or index that the name stands for, by what is pinned, or by what the registry says.
    fn resolve(&self, name: &RegistryReference) -> Result<Document, MediaError> {
        if self.pins.refuses(name) {
            return Err(MediaError::Unlocked(name.clone()));
        }
        // What has a digest means the same for ever, whatever a lock says.
        let pin = self.pins.pinned(name).filter(|pin| name.digest.is_none_or(|own| own == pin.digest));
        if let Some(pin) = pin {
            let known = Descriptor::new(&pin.media_type, pin.digest, pin.size);
            if let Some(document) = self.document(&known) {
                return Ok(document);
            }
        }
        let asked = match pin {
            Some(pin) => self.repository.with_digest(pin.digest),
            None => self.repository.clone(),
        };
        let (descriptor, bytes) = self.client.resolve(&asked)?;
        self.keep(Document { descriptor, bytes: bytes.into() })
    }

    fn pull(&self, blob: &Descriptor, progress: &Progress) -> Result<(), MediaError> {
        pull(&self.client, &self.repository, blob, &self.store, progress)
    }
}

impl Opened {
    /// The registry name, if the image comes from one: a push to the same registry can mount from it.
    pub fn registry(&self) -> Option<&RegistryReference> {
        match &self.medium {
            OpenMedium::Remote(remote) => Some(&remote.repository),
            _ => None,
        }
    }

    /// Whether a blob need not be fetched.
    pub fn has(&self, blob: &Descriptor) -> bool {
        match &self.medium {
            OpenMedium::Remote(remote) => remote.here(blob).is_ok_and(|content| content.is_some()),
            OpenMedium::Layout(_) | OpenMedium::Docker(_) => true,
        }
    }

    /// What hangs on the image in its registry: signatures, bills of materials.
    pub fn referrers(&self) -> Result<Vec<Document>, MediaError> {
        let OpenMedium::Remote(remote) = &self.medium else { return Ok(Vec::new()) };
        let listed = remote.client.referrers(&remote.repository, &self.root.descriptor.digest)?;
        listed.iter().map(|descriptor| self.document(descriptor)).collect()
    }

    /// Everything that belongs to the image.
    pub fn set(&self) -> Result<ImageSet, MediaError> {
        Ok(ImageSet::read(self, self.root.clone())?)
    }

    /// Fetches blobs that are elsewhere, several at once, and tells `events` of it.
    pub fn prefetch(&self, blobs: &[Descriptor], events: &Events) -> Result<(), MediaError> {
        let OpenMedium::Remote(remote) = &self.medium else { return Ok(()) };
        let mut missing: Vec<Descriptor> = Vec::new();
        for blob in blobs {
            if remote.here(blob)?.is_none() {
                missing.push(blob.clone());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let total = missing.iter().map(|blob| blob.size).sum();
        let activity = events.begin("pull", remote.repository.to_string(), Some(total));
        let progress = Progress::of(events, activity.id());
        each(remote.client.transfers(), &missing, |blob| remote.pull(blob, &progress))?;
        activity.finish(format!("{} blobs", missing.len()));
        Ok(())
    }
}

impl Source for Opened {
    type Error = MediaError;

    fn document(&self, descriptor: &Descriptor) -> Result<Document, MediaError> {
        match &self.medium {
            OpenMedium::Layout(layout) => Ok(layout.document(descriptor)?),
            OpenMedium::Docker(loaded) => Ok(loaded.manifest.clone()),
            OpenMedium::Remote(remote) => {
                if let Some(document) = remote.document(descriptor) {
                    return Ok(document);
                }
                let bytes = remote.client.manifest(&remote.repository, descriptor)?;
                remote.keep(Document { descriptor: descriptor.clone(), bytes: bytes.into() })
            }
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Content, MediaError> {
        match &self.medium {
            OpenMedium::Layout(layout) => Ok(layout.blob(descriptor)?),
            OpenMedium::Docker(loaded) => loaded.blobs.get(&descriptor.digest).cloned().ok_or_else(|| {
                unusable(&self.reference.to_string(), format!("has no blob {}", descriptor.digest), None)
            }),
            OpenMedium::Remote(remote) => {
                if let Some(content) = remote.here(descriptor)? {
                    return Ok(content);
                }
                remote.pull(descriptor, &Progress::default())?;
                remote.here(descriptor)?.ok_or_else(|| {
                    unusable(
                        &remote.repository.to_string(),
                        format!("gave blob {}, and it is not in the store", descriptor.digest),
                        None,
                    )
                })
            }
        }
    }
}

/// Pulls a blob into the store. Its size and digest are checked before it is named.
fn pull(
    client: &Client,
    repository: &RegistryReference,
    blob: &Descriptor,
    store: &Store,
    progress: &Progress,
) -> Result<(), MediaError> {
    let _turn = client.turn(repository, &blob.digest);
    if store.blob(&blob.digest, blob.size).is_some() {
        return Ok(()); // who had the turn before has fetched it
    }
    let mut draft = store.draft()?;
    client.pull_blob(repository, blob, draft.file(), progress)?;
    store.adopt(draft, &blob.digest)?;
    Ok(())
}

fn unusable(reference: &str, why: String, hint: Option<&str>) -> MediaError {
    MediaError::Unusable { reference: reference.to_owned(), why, hint: hint.map(str::to_owned) }
}

impl Media {
    /// Opens the image that `reference` names.
    pub fn open(&self, reference: &Reference) -> Result<Opened, MediaError> {
        let opened = self.open_any(reference)?;
        let platforms: Vec<Platform> = match opened.root.parse()? {
            Parsed::Index(index) => index.manifests.into_iter().filter_map(|image| image.platform).collect(),
            Parsed::Manifest(_) => Vec::new(),
        };
        self.pins.saw(reference, &opened.root.descriptor, &platforms);
        Ok(opened)
    }

    fn open_any(&self, reference: &Reference) -> Result<Opened, MediaError> {
        let opened = |root, medium| Ok(Opened { root, reference: reference.clone(), medium });
        match reference {
            Reference::Registry(repository) => {
                let remote = Remote {
                    client: self.client.clone(),
                    repository: self.pins.place(repository),
                    store: self.store.clone(),
                    pins: self.pins.clone(),
                };
                opened(remote.resolve(repository)?, OpenMedium::Remote(remote))
            }
            Reference::Layout { directory, name } => {
                let layout = Layout::open(directory)?;
                opened(layout.root(name.as_deref())?, OpenMedium::Layout(layout))
            }
            Reference::OciArchive { file, name } => {
                let (path, members) = self.members(file)?;
                let layout = Layout::open_archive(&path, members)?;
                opened(layout.root(name.as_deref())?, OpenMedium::Layout(layout))
            }
            Reference::DockerArchive { file, name } => {
                let (path, members) = self.members(file)?;
                let loaded =
                    docker_archive::read(&path, &members, name.as_deref(), &self.store, &self.workers)?;
                opened(loaded.manifest.clone(), OpenMedium::Docker(loaded))
            }
            Reference::Path(path) => self.open_path(path),
            Reference::Directory(path) => Err(unusable(
                &reference.to_string(),
                format!("is a plain tree of files, and an image is wanted ({})", path.display()),
                Some("write `oci:DIR` for an OCI layout"),
            )),
        }
    }

    fn open_path(&self, path: &Path) -> Result<Opened, MediaError> {
        let directory = fs::metadata(path).at("read", path)?.is_dir();
        if directory {
            if path.join(super::store::LAYOUT_FILE).is_file() {
                return self.open_any(&Reference::Layout { directory: path.to_owned(), name: None });
            }
            return Err(unusable(
                &path.display().to_string(),
                "is a directory, but no OCI layout".to_owned(),
                Some("an OCI layout has a file `oci-layout`"),
            ));
        }
        let (_, members) = self.members(path)?;
        let (file, name) = (path.to_owned(), None);
        if members.contains_key(super::store::LAYOUT_FILE) {
            self.open_any(&Reference::OciArchive { file, name })
        } else if members.contains_key(docker_archive::MANIFEST) {
            self.open_any(&Reference::DockerArchive { file, name })
        } else {
            Err(unusable(
                &path.display().to_string(),
                "is a tar, but no image".to_owned(),
                Some("an OCI archive holds `oci-layout`, a docker archive `manifest.json`"),
            ))
        }
    }

    /// Opens an OCI layout, a folder or an archive of one, for all that is in it.
    pub fn open_layout(&self, path: &Path) -> Result<Layout, MediaError> {
        if fs::metadata(path).at("read", path)?.is_dir() {
            return Ok(Layout::open(path)?);
        }
        let (plain, members) = self.members(path)?;
        Ok(Layout::open_archive(&plain, members)?)
    }

    /// The members of an archive, and the file that holds them: the archive itself or, if it is
    /// compressed as a whole, its plain form in the store.
    fn members(&self, file: &Path) -> Result<(PathBuf, HashMap<String, Content>), MediaError> {
        let plain = match fs::File::open(file).and_then(Codec::sniff).at("read", file)? {
            Codec::Gzip | Codec::Zstd => {
                let mut plain = fs::File::open(file).and_then(decoder).at("read", file)?;
                let (_, content) = self.store.put_reader(&mut plain)?;
                content.whole_file().map_or_else(|| file.to_owned(), Path::to_owned)
            }
            _ => file.to_owned(),
        };
        let members = tar::index_file(&plain)
            .map_err(|source| MediaError::Archive { path: file.to_owned(), source })?;
        Ok((plain, members))
    }

    /// Writes `set` to `target`. `fetch` gives the blobs that the target does not have yet; `source`, a
    /// name in a registry, lets the same registry take them over without a byte sent.
    /// Returns the digest that the target knows the image by: its root's, or for a docker archive, which
    /// holds no manifest, that of the configuration (Docker's image id).
    pub fn write(
        &self,
        target: &Reference,
        set: &ImageSet,
        fetch: &layout::Fetch<'_, MediaError>,
        source: Option<&RegistryReference>,
        progress: &Progress,
    ) -> Result<Digest, MediaError> {
        let root = set
            .root()
            .ok_or_else(|| unusable(&target.to_string(), "was to be given nothing".to_owned(), None))?;
        let checked = |blob: &Descriptor| -> Result<Content, MediaError> {
            let content = fetch(blob)?;
            progress.advance(content.len());
            Ok(content)
        };
        match target {
            Reference::Registry(repository) => self.push(repository, root, set, fetch, source, progress)?,
            Reference::Layout { directory, name } => {
                layout::write_directory(directory, name.as_deref(), set, &checked)?
            }
            Reference::OciArchive { file, name } => {
                layout::write_archive(file, name.as_deref(), set, &checked)?
            }
            Reference::DockerArchive { file, name } => {
                let manifest = only_manifest(target, root)?;
                docker_archive::write(file, name.as_deref(), &manifest, &self.store, &checked)?;
                return Ok(manifest.config.digest);
            }
            Reference::Directory(_) | Reference::Path(_) => {
                return Err(unusable(
                    &target.to_string(),
                    "does not say in which form the image is to be written".to_owned(),
                    Some("begin it with `oci:`, `oci-archive:`, `docker-archive:` or `docker://`"),
                ));
            }
        }
        Ok(root.descriptor.digest)
    }

    /// Blobs first, then the documents, children before their index: a registry refuses a manifest
    /// whose parts it does not have.
    fn push(
        &self,
        repository: &RegistryReference,
        root: &Document,
        set: &ImageSet,
        fetch: &layout::Fetch<'_, MediaError>,
        source: Option<&RegistryReference>,
        progress: &Progress,
    ) -> Result<(), MediaError> {
        if let Some(pinned) = repository.digest.filter(|pinned| *pinned != root.descriptor.digest) {
            return Err(unusable(
                &repository.to_string(),
                format!("names digest {pinned}, and the image to be pushed has {}", root.descriptor.digest),
                Some("leave the digest out, or push the image that has it"),
            ));
        }
        let mount: Vec<RegistryReference> =
            source.filter(|source| source.host == repository.host).cloned().into_iter().collect();
        let client = &self.client;
        each(self.client.transfers(), &set.blobs, |blob| -> Result<(), MediaError> {
            // What lies in another registry is fetched only if this one neither has it nor takes it over.
            // Of what was begun, nobody else has the bytes.
            if source.is_some() && !client.has_begun(repository, &blob.digest) {
                let mounted = || {
                    mount
                        .iter()
                        .try_fold(false, |done, from| Ok(done || client.mount(repository, blob, from)?))
                };
                if client.has_blob(repository, blob)? || mounted().map_err(MediaError::Registry)? {
                    return Ok(());
                }
            }
            client.push_blob(repository, blob, &fetch(blob)?, &mount, progress)?;
            Ok(())
        })?;
        for document in &set.documents {
            let is_root = document.descriptor.digest == root.descriptor.digest;
            let mut name = RegistryReference { tag: None, digest: None, ..repository.clone() };
            match (&repository.tag, repository.digest) {
                (Some(tag), _) if is_root => name.tag = Some(tag.clone()),
                (None, None) if is_root => name.tag = Some("latest".to_owned()),
                _ => name.digest = Some(document.descriptor.digest),
            }
            self.client.push_manifest(&name, &document.media_type(), &document.bytes)?;
        }
        Ok(())
    }
}

/// A docker archive holds images of one platform each.
fn only_manifest(target: &Reference, root: &Document) -> Result<Manifest, MediaError> {
    match root.parse()? {
        Parsed::Manifest(manifest) => Ok(manifest),
        Parsed::Index(_) => Err(unusable(
            &target.to_string(),
            "can hold one platform, and the image is an index of several".to_owned(),
            Some("choose one with `--platform linux/amd64`, or write an `oci-archive:`"),
        )),
    }
}
