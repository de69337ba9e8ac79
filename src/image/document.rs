//! Manifests and indexes: parsed for what they say, kept as the bytes that they are.
//!
//! A foreign document is never encoded again: `oci-spec`'s own types drop keys that they do not know
//! and hold annotations in hash maps, so a document that went through them would be another one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::descriptor::{Descriptor, media_type};
use super::platform::Platform;
use crate::base::{Content, Digest, json as encoded};

/// The most bytes of a manifest, index or configuration that are read: 4 MiB, what registries
/// accept (distribution-spec, "Pushing manifests").
pub const DOCUMENT_LIMIT: u64 = 4 << 20;
/// How deep indexes may lie in indexes; image-spec allows it and nobody uses more than one level.
const DEPTH_LIMIT: usize = 4;
/// The most documents of one image: guards against an index that names millions.
const DOCUMENTS_LIMIT: usize = 10_000;

/// A manifest or index with its descriptor. The digest is that of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Media type, digest, size; platform and annotations where an index gave them.
    pub descriptor: Descriptor,
    /// The document itself.
    pub bytes: Arc<[u8]>,
}

/// A document cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON, or a required key is missing.
    #[error("manifest {digest} is no valid `{media_type}`")]
    Json {
        /// Which document.
        digest: Digest,
        /// What it should have been.
        media_type: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// It is neither manifest nor index.
    #[error("{digest} has media type `{media_type}`, which is neither an image manifest nor an index")]
    Kind {
        /// Which document.
        digest: Digest,
        /// What it says it is.
        media_type: String,
    },
    /// The old schema.
    #[error("manifest {0} is of Docker's schema 1, which is not supported")]
    Schema1(Digest),
    /// Indexes too deep or too many.
    #[error("index {0} holds more documents, or indexes in indexes, than any image has")]
    TooMany(Digest),
    /// An index has no image for a platform, or more than one.
    #[error("{digest} has {found} for platform {wanted}")]
    Platform {
        /// Which index.
        digest: Digest,
        /// The platform that was asked for.
        wanted: Platform,
        /// `no image (it has linux/amd64, linux/arm64)`.
        found: String,
    },
}

/// An image manifest, OCI or Docker schema 2.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// May be missing in OCI manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// From the lowest to the topmost.
    pub layers: Vec<Descriptor>,
    /// Sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An OCI index or a Docker manifest list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// May be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The images, or indexes, with their platforms.
    pub manifests: Vec<Descriptor>,
    /// Sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A parsed document.
#[derive(Debug, Clone)]
pub enum Parsed {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

impl Document {
    /// A document that this crate makes.
    pub fn of(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { descriptor: Descriptor::of(media_type, &bytes), bytes: bytes.into() }
    }

    /// The manifest of an artifact (image-spec, manifest.md, "Guidelines for Artifact Usage").
    pub fn artifact(artifact_type: &str, config: &Descriptor, layers: &[Descriptor]) -> Self {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": config,
            "layers": layers,
        });
        Self::of(media_type::OCI_MANIFEST, encoded::to_vec(&manifest))
    }

    /// Parses the document. The media type is its own `mediaType` where it has one, since a layout's
    /// descriptor may be more general; otherwise the descriptor's.
    pub fn parse(&self) -> Result<Parsed, DocumentError> {
        let digest = self.descriptor.digest;
        let json = |source| match self.schema_version() {
            Some(1) => DocumentError::Schema1(digest),
            _ => DocumentError::Json { digest, media_type: self.descriptor.media_type.clone(), source },
        };
        let media_type = self.media_type();
        if media_type::is_index(&media_type) {
            return Ok(Parsed::Index(serde_json::from_slice(&self.bytes).map_err(json)?));
        }
        if media_type::is_manifest(&media_type) {
            return Ok(Parsed::Manifest(serde_json::from_slice(&self.bytes).map_err(json)?));
        }
        match media_type.contains("manifest.v1+") && media_type.contains("docker") {
            true => Err(DocumentError::Schema1(digest)),
            false => Err(DocumentError::Kind { digest, media_type }),
        }
    }

    fn schema_version(&self) -> Option<u32> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            schema_version: u32,
        }
        serde_json::from_slice::<Probe>(&self.bytes).ok().map(|probe| probe.schema_version)
    }

    /// The document's own media type, else its descriptor's.
    pub fn media_type(&self) -> String {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            media_type: Option<String>,
        }
        let own = serde_json::from_slice::<Probe>(&self.bytes).ok().and_then(|probe| probe.media_type);
        own.filter(|own| !own.is_empty()).unwrap_or_else(|| self.descriptor.media_type.clone())
    }
}

/// Gives documents and blobs. Everything that an image can be read from is one.
pub trait Source: Send + Sync {
    /// The error of this medium.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The bytes of a manifest or index, checked against the descriptor.
    fn document(&self, descriptor: &Descriptor) -> Result<Document, Self::Error>;

    /// Where the bytes of a blob are; fetched first, if they are elsewhere.
    fn blob(&self, descriptor: &Descriptor) -> Result<Content, Self::Error>;
}

/// Everything that belongs to one root: its documents and the blobs that they name.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// Children before parents; the root is the last.
    pub documents: Vec<Document>,
    /// Each blob once, in the order in which the documents name them.
    pub blobs: Vec<Descriptor>,
}

/// An image set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WalkError<E: std::error::Error + 'static> {
    /// The medium failed.
    #[error(transparent)]
    Source(E),
    /// A document is not understood.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl ImageSet {
    /// Reads all documents below `root`.
    pub fn read<S: Source>(source: &S, root: Document) -> Result<Self, WalkError<S::Error>> {
        let mut set = Self { documents: Vec::new(), blobs: Vec::new() };
        let mut seen = HashSet::new();
        set.visit(source, root, DEPTH_LIMIT, &mut seen)?;
        Ok(set)
    }

    /// The set of one root whose documents are known.
    pub fn root(&self) -> Option<&Document> {
        self.documents.last()
    }

    fn visit<S: Source>(
        &mut self,
        source: &S,
        document: Document,
        depth: usize,
        seen: &mut HashSet<Digest>,
    ) -> Result<(), WalkError<S::Error>> {
        if !seen.insert(document.descriptor.digest) {
            return Ok(());
        }
        if depth == 0 || seen.len() > DOCUMENTS_LIMIT {
            return Err(DocumentError::TooMany(document.descriptor.digest).into());
        }
        match document.parse()? {
            Parsed::Index(index) => {
                for child in &index.manifests {
                    // An index may hold artifacts of any type; what is no document passes as a blob.
                    if media_type::is_index(&child.media_type) || media_type::is_manifest(&child.media_type) {
                        let child = source.document(child).map_err(WalkError::Source)?;
                        self.visit(source, child, depth - 1, seen)?;
                    } else {
                        self.add(child, seen);
                    }
                }
            }
            Parsed::Manifest(manifest) => {
                self.add(&manifest.config, seen);
                manifest.layers.iter().for_each(|layer| self.add(layer, seen));
            }
        }
        self.documents.push(document);
        Ok(())
    }

    fn add(&mut self, blob: &Descriptor, seen: &mut HashSet<Digest>) {
        if seen.insert(blob.digest) {
            self.blobs.push(blob.clone());
        }
    }
}

/// Picks the image for `platform` out of a document: the document itself, if it is a manifest.
/// Without a platform, the only image that there is.
pub fn select<S: Source>(
    source: &S,
    document: Document,
    platform: Option<&Platform>,
) -> Result<(Document, Manifest), WalkError<S::Error>> {
    let digest = document.descriptor.digest;
    let index = match document.parse()? {
        Parsed::Manifest(manifest) => return Ok((document, manifest)),
        Parsed::Index(index) => index,
    };
    // Attestations have the platform unknown/unknown and are no images.
    let images: Vec<&Descriptor> = index
        .manifests
        .iter()
        .filter(|image| image.platform.as_ref().is_none_or(|platform| platform.os != "unknown"))
        .collect();
    let found: Vec<&&Descriptor> = images
        .iter()
        .filter(|image| match (&image.platform, platform) {
            (Some(own), Some(wanted)) => own.satisfies(wanted),
            (None, Some(_)) => images.len() == 1,
            (_, None) => true,
        })
        .collect();
    match found.as_slice() {
        [image] => {
            let image = source.document(image).map_err(WalkError::Source)?;
            match image.parse()? {
                Parsed::Manifest(manifest) => Ok((image, manifest)),
                Parsed::Index(_) => Err(DocumentError::TooMany(digest).into()),
            }
        }
        found => {
            let names: Vec<String> = images
                .iter()
                .map(|image| {
                    image
                        .platform
                        .as_ref()
                        .map_or_else(|| "one without a platform".to_owned(), ToString::to_string)
                })
                .collect();
            let found = format!(
                "{} (it has {})",
                if found.is_empty() { "no image" } else { "several images" },
                names.join(", ")
            );
            let wanted = platform.cloned().unwrap_or_else(|| Platform::linux("amd64"));
            Err(DocumentError::Platform { digest, wanted, found }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_objects_come_out_sorted() {
        // A dependency that turned on serde_json's `preserve_order` would change every digest.
        let value: Value = serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap();
        assert_eq!(value.to_string(), r#"{"a":2,"b":1}"#);
    }

    #[test]
    fn a_documents_own_media_type_goes_before_its_descriptors() {
        let bytes =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::DOCKER_INDEX);
        let document = Document::of("application/octet-stream", bytes.into_bytes());
        assert!(matches!(document.parse(), Ok(Parsed::Index(_))));
        let document = Document::of(media_type::OCI_MANIFEST, b"{}".to_vec());
        assert!(matches!(document.parse(), Err(DocumentError::Json { .. })));
        let document = Document::of("text/plain", b"x".to_vec());
        assert!(matches!(document.parse(), Err(DocumentError::Kind { .. })));
    }
}
