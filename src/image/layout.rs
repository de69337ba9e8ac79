//! OCI layouts, as directories and as archives of one (image-spec, image-layout.md).
//!
//! Read in place: a blob's content is the file, or the range of the archive, that holds it.
//! Written so that a layout is valid at every instant: blobs first, `index.json` last and whole.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::descriptor::{Descriptor, media_type};
use super::document::{DOCUMENT_LIMIT, Document, ImageSet, Source};
use super::store::{LAYOUT, LAYOUT_FILE, blob_path};
use crate::archive::tar;
use crate::archive::tree::{Entry, Kind};
use crate::base::fsio::{self, At as _, FileError};
use crate::base::{Content, Digest, json};

/// The annotation that holds a name in a layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// The archive is broken.
    #[error("`{}` is no readable archive", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What the reader says.
        source: tar::TarError,
    },
    /// No `oci-layout` or `index.json`.
    #[error("`{}` is no OCI layout: there is no `{missing}` in it", path.display())]
    NoLayout {
        /// The directory or archive.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// `index.json` is no index.
    #[error("`index.json` of `{}` is no index", path.display())]
    Index {
        /// The directory or archive.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The name is not there, or it is not clear which is meant.
    #[error("`{}` holds {found}", path.display())]
    Name {
        /// The directory or archive.
        path: PathBuf,
        /// `no image named `x`; it has: …`.
        found: String,
    },
    /// A blob is missing.
    #[error("blob {digest} is not in `{}`", path.display())]
    Missing {
        /// The directory or archive.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob is not what its name says.
    #[error("blob {digest} in `{}` is damaged: {found}", path.display())]
    Damaged {
        /// The directory or archive.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// What it is instead.
        found: String,
    },
}

/// `index.json`, with whatever else others wrote into it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutIndex {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl LayoutIndex {
    fn empty() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            manifests: Vec::new(),
            other: Map::new(),
        }
    }

    /// Enters `root` under `name`. What had that name loses it; an entry of the same digest and
    /// name stands once.
    fn enter(&mut self, root: &Descriptor, name: Option<&str>) {
        let mut entry = root.clone();
        match name {
            Some(name) => {
                self.manifests
                    .retain(|other| other.annotations.get(REF_NAME).map(String::as_str) != Some(name));
                entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
            }
            None => {
                entry.annotations.remove(REF_NAME);
                self.manifests.retain(|other| other.annotations.contains_key(REF_NAME));
            }
        }
        self.manifests.push(entry);
    }
}

/// A layout that is read.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    /// For an archive: its members. A directory is asked itself.
    members: Option<HashMap<String, Content>>,
    index: LayoutIndex,
}

impl Layout {
    /// Opens a directory.
    pub fn open(directory: &Path) -> Result<Self, LayoutError> {
        if !directory.join(LAYOUT_FILE).is_file() {
            fs::read_dir(directory).at("read", directory)?;
            return Err(LayoutError::NoLayout { path: directory.to_owned(), missing: LAYOUT_FILE });
        }
        let bytes = fsio::read(&directory.join("index.json"), DOCUMENT_LIMIT)?;
        Self::new(directory, None, &bytes)
    }

    /// Opens an archive whose members are known (see [`tar::index_file`]).
    pub fn open_archive(file: &Path, members: HashMap<String, Content>) -> Result<Self, LayoutError> {
        let missing = |missing| LayoutError::NoLayout { path: file.to_owned(), missing };
        if !members.contains_key(LAYOUT_FILE) {
            return Err(missing(LAYOUT_FILE));
        }
        let index = members.get("index.json").ok_or_else(|| missing("index.json"))?;
        let bytes = index.read(DOCUMENT_LIMIT).at("read", file)?;
        Self::new(file, Some(members), &bytes)
    }

    fn new(
        path: &Path,
        members: Option<HashMap<String, Content>>,
        index: &[u8],
    ) -> Result<Self, LayoutError> {
        let index = serde_json::from_slice(index)
            .map_err(|source| LayoutError::Index { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), members, index })
    }

    /// The root with this name; without one, the only root that there is.
    pub fn root(&self, name: Option<&str>) -> Result<Document, LayoutError> {
        let own = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
        let error = |found: String| LayoutError::Name { path: self.path.clone(), found };
        let names = || -> String {
            let names: Vec<String> = self
                .index
                .manifests
                .iter()
                .map(|entry| own(entry).unwrap_or_else(|| entry.digest.to_string()))
                .collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let found: Vec<&Descriptor> = match name {
            // A digest names an entry as well as its annotation does.
            Some(name) => self
                .index
                .manifests
                .iter()
                .filter(|entry| own(entry).as_deref() == Some(name) || entry.digest.to_string() == name)
                .collect(),
            None => self.index.manifests.iter().collect(),
        };
        match (found.as_slice(), name) {
            ([root], _) => self.document(root),
            ([], None) => Err(error("no image".to_owned())),
            ([], Some(name)) => Err(error(format!("no image named `{name}`; it has: {}", names()))),
            (_, Some(name)) => Err(error(format!("several images named `{name}`"))),
            (_, None) => Err(error(format!("several images, and no name says which; it has: {}", names()))),
        }
    }

    /// A blob of any size.
    pub(super) fn anything(&self, digest: &Digest) -> Option<Content> {
        let relative = blob_path(digest);
        match &self.members {
            Some(members) => members.get(&*relative.to_string_lossy()).cloned(),
            None => {
                let path = self.path.join(&relative);
                let data = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
                Some(Content::file(path, data.len()))
            }
        }
    }

    fn find(&self, digest: &Digest, size: u64) -> Result<Content, LayoutError> {
        let content = self
            .anything(digest)
            .ok_or_else(|| LayoutError::Missing { path: self.path.clone(), digest: *digest })?;
        if content.len() != size {
            let found = format!("it has {} bytes, and its descriptor says {size}", content.len());
            return Err(LayoutError::Damaged { path: self.path.clone(), digest: *digest, found });
        }
        Ok(content)
    }
}

impl Source for Layout {
    type Error = LayoutError;

    fn document(&self, descriptor: &Descriptor) -> Result<Document, LayoutError> {
        let content = self.find(&descriptor.digest, descriptor.size)?;
        let bytes: Arc<[u8]> = content.read(DOCUMENT_LIMIT).at("read", &self.path)?.into();
        let mut hasher = descriptor.digest.hasher();
        hasher.update(&bytes);
        let found = hasher.finish();
        if found != descriptor.digest {
            let found = format!("its bytes have digest {found}");
            return Err(LayoutError::Damaged { path: self.path.clone(), digest: descriptor.digest, found });
        }
        let mut descriptor = descriptor.clone();
        descriptor.annotations.remove(REF_NAME); // the entry's name in this layout, not the image's own
        Ok(Document { descriptor, bytes })
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Content, LayoutError> {
        self.find(&descriptor.digest, descriptor.size)
    }
}

/// Fetches the content of a blob when it is needed.
pub type Fetch<'a, E> = dyn Fn(&Descriptor) -> Result<Content, E> + Sync + 'a;

/// Writes an image into the layout at `directory`, which is made if it is not there. What the
/// layout holds already stays. Blobs are linked or cloned from the store where the file system can.
/// If it fails or is interrupted, what it has written goes again.
pub fn write_directory<E: From<LayoutError>>(
    directory: &Path,
    name: Option<&str>,
    set: &ImageSet,
    fetch: &Fetch<'_, E>,
) -> Result<(), E> {
    let file_error = |error: FileError| E::from(LayoutError::from(error));
    let Some(root) = set.root() else { return Ok(()) };
    let mut made = fsio::Parts::new();
    for folder in ["", "blobs", "blobs/sha256"] {
        made.add(directory.join(folder));
    }
    fsio::create_dir(&directory.join("blobs/sha256")).map_err(file_error)?;
    // One writer at a time: what another one enters into the index must not be lost, and no blob that it counts on
    // may go with one that fails. A file system without locks has one writer, as it always had.
    let lock = fs::File::open(directory).at("open", directory).map_err(file_error)?;
    let _ = lock.lock();
    // Whoever held the lock may have failed, and taken with it what it had made.
    fsio::create_dir(&directory.join("blobs/sha256")).map_err(file_error)?;
    let index_path = directory.join("index.json");
    let mut index = if index_path.exists() {
        Layout::open(directory).map_err(E::from)?.index
    } else {
        LayoutIndex::empty()
    };
    for blob in &set.blobs {
        let path = directory.join(blob_path(&blob.digest));
        if !fs::metadata(&path).is_ok_and(|data| data.is_file() && data.len() == blob.size) {
            fsio::create_dir(fsio::parent(&path)).map_err(file_error)?;
            let content = fetch(blob)?;
            made.add(path.clone());
            fsio::place(&content, &path).map_err(file_error)?;
        }
    }
    for document in &set.documents {
        let path = directory.join(blob_path(&document.descriptor.digest));
        if fsio::read(&path, DOCUMENT_LIMIT).map_or(true, |there| *there != *document.bytes) {
            fsio::create_dir(fsio::parent(&path)).map_err(file_error)?;
            made.add(path.clone());
            fsio::write(&path, &document.bytes).map_err(file_error)?;
        }
    }
    let marker = directory.join(LAYOUT_FILE);
    if !marker.exists() {
        made.add(marker.clone());
        fsio::write(&marker, LAYOUT).map_err(file_error)?;
    }
    index.enter(&root.descriptor, name);
    // The blobs' names are durable before the index names them.
    fsio::sync_dir(&directory.join("blobs/sha256")).map_err(file_error)?;
    made.settle();
    fsio::write(&index_path, &json::to_vec(&index)).map_err(file_error)?;
    made.keep();
    Ok(())
}

/// Writes an image as an archive of a layout: sorted members, 0:0, time 0, so the same image is
/// always the same archive. An archive that is there is replaced.
pub fn write_archive<E: From<LayoutError>>(
    file: &Path,
    name: Option<&str>,
    set: &ImageSet,
    fetch: &Fetch<'_, E>,
) -> Result<(), E> {
    let Some(root) = set.root() else { return Ok(()) };
    write_archive_of(file, &[(root.descriptor.clone(), name.map(str::to_owned))], set, fetch)
}

/// Writes several images, each with its name, as an archive. `set` has the parts of all of them.
pub fn write_archive_of<E: From<LayoutError>>(
    file: &Path,
    roots: &[(Descriptor, Option<String>)],
    set: &ImageSet,
    fetch: &Fetch<'_, E>,
) -> Result<(), E> {
    let mut index = LayoutIndex::empty();
    for (root, name) in roots {
        match name {
            Some(name) => index.enter(root, Some(name)),
            None => index.manifests.push(root.clone()),
        }
    }
    let mut members: BTreeMap<String, Content> = BTreeMap::new();
    members.insert(LAYOUT_FILE.to_owned(), Content::memory(LAYOUT));
    members.insert("index.json".to_owned(), Content::memory(json::to_vec(&index)));
    let key = |digest: &Digest| blob_path(digest).to_string_lossy().into_owned();
    for document in &set.documents {
        members.insert(key(&document.descriptor.digest), Content::memory(Arc::clone(&document.bytes)));
    }
    for blob in &set.blobs {
        members.insert(key(&blob.digest), fetch(blob)?);
    }
    write_members(file, &members).map_err(|error| E::from(LayoutError::from(error)))
}

/// Writes a tar of plain files with their directories, temporary file and rename.
pub(super) fn write_members(file: &Path, members: &BTreeMap<String, Content>) -> Result<(), FileError> {
    let directory = fsio::parent(file);
    fsio::create_dir(directory)?;
    let mut draft = fsio::Draft::new(directory)?;
    let write = |draft: &mut fsio::Draft| -> Result<(), tar::WriteError> {
        let mut writer = tar::Writer::new(draft.file(), None);
        let mut directories = std::collections::BTreeSet::new();
        for (path, content) in members {
            let parents: Vec<&str> = path.match_indices('/').map(|(at, _)| path.split_at(at).0).collect();
            for parent in parents {
                if directories.insert(parent.to_owned()) {
                    writer.append(parent, &Entry::directory())?;
                }
            }
            writer.append(path, &Entry::new(0o644, Kind::File(content.clone())))?;
        }
        writer.finish()?;
        Ok(())
    };
    write(&mut draft).map_err(std::io::Error::other).at("write", file)?;
    draft.sync()?;
    draft.name(file)
}
