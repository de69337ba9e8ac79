//! Layers: a tar stream, compressed, with the two digests that name it.

use std::io::{self, Write};

use super::descriptor::{Descriptor, media_type};
use super::store::{BlobWriter, Store};
use crate::archive::compress::{Compression, Encoder};
use crate::base::fsio::{At as _, FileError};
use crate::base::{Digest, Growing, Hasher, Workers};

/// Whose media types a manifest, a configuration and layers carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The OCI image specification's.
    #[default]
    Oci,
    /// Docker's, schema 2.
    Docker,
}

impl Format {
    /// The media type of a layer. Docker has none for zstd, so there it is `None`.
    pub fn layer(self, compression: Compression) -> Option<&'static str> {
        match (self, compression) {
            (Self::Oci, Compression::None) => Some(media_type::OCI_LAYER),
            (Self::Oci, Compression::Gzip(_)) => Some(media_type::OCI_LAYER_GZIP),
            (Self::Oci, Compression::Zstd(_)) => Some(media_type::OCI_LAYER_ZSTD),
            (Self::Docker, Compression::None) => Some(media_type::DOCKER_LAYER),
            (Self::Docker, Compression::Gzip(_)) => Some(media_type::DOCKER_LAYER_GZIP),
            (Self::Docker, Compression::Zstd(_)) => None,
        }
    }

    /// The media type of a manifest.
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_MANIFEST,
            Self::Docker => media_type::DOCKER_MANIFEST,
        }
    }

    /// The media type of an index.
    pub fn index(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_INDEX,
            Self::Docker => media_type::DOCKER_INDEX,
        }
    }

    /// The media type of a configuration.
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_CONFIG,
            Self::Docker => media_type::DOCKER_CONFIG,
        }
    }
}

impl Format {
    /// A foreign layer as a manifest of this format names it: the bytes are the same, only their type has
    /// another name. What this format has no name for keeps its own.
    pub fn adopted(self, layer: &Layer) -> Layer {
        let names = [
            (media_type::OCI_LAYER, media_type::DOCKER_LAYER),
            (media_type::OCI_LAYER_GZIP, media_type::DOCKER_LAYER_GZIP),
        ];
        let own = layer.descriptor.media_type.as_str();
        let found = names.iter().find(|(oci, docker)| own == *oci || own == *docker);
        let mut layer = layer.clone();
        if let Some((oci, docker)) = found {
            layer.descriptor.media_type = if self == Self::Oci { *oci } else { *docker }.to_owned();
        }
        layer
    }

    /// The format of a manifest with this media type.
    pub fn of_manifest(media_type: &str) -> Self {
        if media_type == media_type::DOCKER_MANIFEST { Self::Docker } else { Self::Oci }
    }
}

/// A finished layer: its blob is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The blob, as a manifest names it.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar, as a configuration's `rootfs.diff_ids` names it.
    pub diff_id: Digest,
}

/// Takes the bytes of a tar, gives a [`Layer`].
pub struct LayerWriter {
    encoder: Encoder<BlobWriter>,
    /// Of the tar; nothing, if that is the blob itself.
    diff: Option<Hasher>,
    media_type: &'static str,
    growing: Growing,
    store: Store,
}

impl LayerWriter {
    /// A layer into `store`.
    pub fn new(
        store: &Store,
        compression: Compression,
        media_type: &'static str,
        workers: &Workers,
    ) -> Result<Self, FileError> {
        let blob = store.writer()?;
        Ok(Self {
            growing: blob.growing(),
            encoder: Encoder::new(blob, compression, workers),
            diff: (compression != Compression::None).then(Hasher::default),
            media_type,
            store: store.clone(),
        })
    }

    /// Parts that were compressed before are taken from the store, and kept there: for layers so large that this is
    /// worth their bytes.
    #[must_use]
    pub fn cached(self) -> Self {
        Self { encoder: self.encoder.cached(self.store.blocks()), ..self }
    }

    /// The blob, for who reads it while it is written.
    pub fn growing(&self) -> &Growing {
        &self.growing
    }

    /// Ends the layer and names its blob.
    pub fn finish(self) -> Result<Layer, FileError> {
        let blob = self.encoder.finish().at("write a blob in", self.store.root())?;
        let (digest, content) = blob.finish()?;
        Ok(Layer {
            descriptor: Descriptor::new(self.media_type, digest, content.len()),
            diff_id: self.diff.map_or(digest, Hasher::finish),
        })
    }
}

impl Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.encoder.write(bytes)?;
        if let Some(diff) = &mut self.diff {
            diff.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}
