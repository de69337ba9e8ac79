//! Docker archives: what `docker save` and the Talos imager write, and `docker load` and
//! `crane push` read. A tar with `manifest.json`, and configurations and layers beside it.
//!
//! Such an archive holds no OCI manifest, so reading one makes a manifest for the configuration,
//! which keeps its bytes. The layers' diff ids are checked against it. Plain layers are put into
//! gzip on the way (a manifest of plain layers would be pushed uncompressed).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config;
use super::descriptor::{Descriptor, media_type};
use super::document::{DOCUMENT_LIMIT, Document, Manifest};
use super::layer::LayerWriter;
use super::layout::{Fetch, write_members};
use super::store::Store;
use crate::archive::compress::{Codec, Compression, decoder, stored_gzip};
use crate::base::fsio::{At as _, FileError};
use crate::base::{Content, Digest, Workers, json};

/// The member that lists the images.
pub const MANIFEST: &str = "manifest.json";

/// A docker archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DockerArchiveError {
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// The archive contradicts itself.
    #[error("`{}` is no docker archive: {why}", path.display())]
    Invalid {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The name is not there, or it is not clear which image is meant.
    #[error("`{}` holds {found}", path.display())]
    Name {
        /// The archive.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
}

/// One image of `manifest.json`. The key `LayerSources` of newer Dockers is not needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags")]
    repo_tags: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// An image that was read: its manifest, made here, and where its blobs are.
#[derive(Debug)]
pub struct Loaded {
    /// The manifest that was made.
    pub manifest: Document,
    /// Configuration and layers by digest.
    pub blobs: HashMap<Digest, Content>,
}

/// Reads the image `name` (one of its `RepoTags`), or the only one, of an archive whose members are
/// known.
pub fn read(
    file: &Path,
    members: &HashMap<String, Content>,
    name: Option<&str>,
    store: &Store,
    workers: &Workers,
) -> Result<Loaded, DockerArchiveError> {
    let invalid = |why: String| DockerArchiveError::Invalid { path: file.to_owned(), why };
    let member = |name: &str| members.get(name).ok_or_else(|| invalid(format!("there is no `{name}` in it")));
    let list = member(MANIFEST)?.read(DOCUMENT_LIMIT).at("read", file)?;
    let items: Vec<Item> =
        serde_json::from_slice(&list).map_err(|error| invalid(format!("`{MANIFEST}`: {error}")))?;
    let item = choose(file, &items, name)?;
    let config_bytes = member(&item.config)?.read(DOCUMENT_LIMIT).at("read", file)?;
    let config =
        config::parse(&config_bytes).map_err(|error| invalid(format!("`{}`: {error}", item.config)))?;
    let diff_ids = config.diff_ids();
    if diff_ids.len() != item.layers.len() {
        return Err(invalid(format!(
            "it lists {} layers, and its configuration {}",
            item.layers.len(),
            diff_ids.len()
        )));
    }
    let config_descriptor = Descriptor::of(media_type::OCI_CONFIG, &config_bytes);
    let mut blobs = HashMap::from([(config_descriptor.digest, Content::memory(config_bytes))]);
    let mut layers = Vec::new();
    for (layer, diff_id) in item.layers.iter().zip(&diff_ids) {
        let (descriptor, content) = read_layer(member(layer)?, store, workers, diff_id).map_err(|problem| match problem {
            LayerProblem::File(error) => DockerArchiveError::File(error),
            LayerProblem::Read(error) => invalid(format!("layer `{layer}`: {error}")),
            LayerProblem::DiffId(found) => {
                invalid(format!("layer `{layer}` has the uncompressed digest {found}, and the configuration says {diff_id}"))
            }
        })?;
        blobs.insert(descriptor.digest, content);
        layers.push(descriptor);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        config: config_descriptor,
        layers,
        annotations: BTreeMap::new(),
        other: serde_json::Map::new(),
    };
    Ok(Loaded { manifest: Document::of(media_type::OCI_MANIFEST, json::to_vec(&manifest)), blobs })
}

fn choose<'a>(file: &Path, items: &'a [Item], name: Option<&str>) -> Result<&'a Item, DockerArchiveError> {
    let tags = |item: &Item| item.repo_tags.clone().unwrap_or_default();
    let error = |found| DockerArchiveError::Name { path: file.to_owned(), found };
    match name {
        Some(name) => {
            let named = |item: &&Item| tags(item).iter().any(|tag| familiar(tag) == familiar(name));
            items.iter().find(named).ok_or_else(|| {
                let all: Vec<String> = items.iter().flat_map(tags).collect();
                error(format!("no image tagged `{name}`; it has: {}", all.join(", ")))
            })
        }
        None => match items {
            [item] => Ok(item),
            [] => Err(error("no image".to_owned())),
            items => Err(error(format!("{} images, and no name says which", items.len()))),
        },
    }
}

/// A tag as people write it: skopeo and podman write Docker Hub's names whole, docker does not.
fn familiar(tag: &str) -> &str {
    let tag = tag.strip_prefix("docker.io/").unwrap_or(tag);
    tag.strip_prefix("library/").unwrap_or(tag)
}

enum LayerProblem {
    File(FileError),
    Read(io::Error),
    DiffId(Digest),
}

/// A layer that is in gzip or zstd stays as it is; a plain one goes into gzip in the store.
fn read_layer(
    content: &Content,
    store: &Store,
    workers: &Workers,
    diff_id: &Digest,
) -> Result<(Descriptor, Content), LayerProblem> {
    let codec = content.open().and_then(Codec::sniff).map_err(LayerProblem::Read)?;
    let media_type = match codec {
        Codec::Gzip => media_type::OCI_LAYER_GZIP,
        Codec::Zstd => media_type::OCI_LAYER_ZSTD,
        _ => {
            let mut writer = LayerWriter::new(store, Compression::GZIP, media_type::OCI_LAYER_GZIP, workers)
                .map_err(LayerProblem::File)?;
            content
                .open()
                .and_then(|mut reader| io::copy(&mut reader, &mut writer))
                .map_err(LayerProblem::Read)?;
            let layer = writer.finish().map_err(LayerProblem::File)?;
            if layer.diff_id != *diff_id {
                return Err(LayerProblem::DiffId(layer.diff_id));
            }
            let stored = store.blob(&layer.descriptor.digest, layer.descriptor.size);
            let stored =
                stored.ok_or_else(|| LayerProblem::Read(io::Error::other("it vanished from the store")))?;
            return Ok((layer.descriptor, stored));
        }
    };
    let digest = content.digest().map_err(LayerProblem::Read)?;
    let plain = content.open().and_then(decoder);
    let mut plain = plain.map_err(LayerProblem::Read)?;
    // Only counted and hashed, so nothing grows with what comes out.
    let (found, _) = Digest::of_reader(&mut plain).map_err(LayerProblem::Read)?;
    if found != *diff_id {
        return Err(LayerProblem::DiffId(found));
    }
    Ok((Descriptor::new(media_type, digest, content.len()), content.clone()))
}

/// Writes one image. Layers in gzip stay as they are; others are written as plain tars, since not
/// every Docker reads zstd. The same image is always the same archive.
pub fn write<E: From<DockerArchiveError>>(
    file: &Path,
    tag: Option<&str>,
    manifest: &Manifest,
    store: &Store,
    fetch: &Fetch<'_, E>,
) -> Result<(), E> {
    let file_error = |error: FileError| E::from(DockerArchiveError::from(error));
    let mut members = BTreeMap::new();
    let config_name = format!("{}.json", manifest.config.digest.hex());
    members.insert(config_name.clone(), fetch(&manifest.config)?);
    let layers =
        manifest.layers.iter().map(|layer| member_of(layer, fetch(layer)?, store).map_err(file_error));
    let layers: Vec<Member> = layers.collect::<Result<_, E>>()?;
    // `crane push` and others look at the first layer and take all for what that one is.
    let any_gzip = layers.iter().any(|layer| layer.is_gzip);
    let mut names = Vec::new();
    for layer in layers {
        let content = match any_gzip && !layer.is_gzip {
            true => stored_gzip(&layer.content).at("read layer", &layer.name).map_err(file_error)?,
            false => layer.content,
        };
        let name = format!("{}.tar{}", layer.name, if any_gzip { ".gz" } else { "" });
        members.insert(name.clone(), content);
        names.push(name);
    }
    let item = Item {
        config: config_name,
        repo_tags: Some(tag.map(str::to_owned).into_iter().collect()),
        layers: names,
    };
    members.insert(MANIFEST.to_owned(), Content::memory(json::to_vec(&[item])));
    write_members(file, &members).map_err(file_error)
}

/// A layer as it may lie in an archive: plain, or in gzip.
struct Member {
    /// What tells it from others.
    name: String,
    content: Content,
    is_gzip: bool,
}

fn member_of(layer: &Descriptor, content: Content, store: &Store) -> Result<Member, FileError> {
    let name = layer.digest.to_string();
    let (digest, content, is_gzip) = match content.open().and_then(Codec::sniff).at("read layer", &name)? {
        Codec::Zstd => {
            let mut plain = content.open().and_then(decoder).at("read layer", &name)?;
            let (digest, content) = store.put_reader(&mut plain)?;
            (digest, content, false)
        }
        codec => (layer.digest, content, codec == Codec::Gzip),
    };
    Ok(Member { name: digest.hex(), content, is_gzip })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_docker_hub_are_the_same_short_and_whole() {
        let item = |tag: &str| Item {
            config: tag.to_owned(),
            repo_tags: Some(vec![tag.to_owned()]),
            layers: vec![],
        };
        let items = [item("docker.io/acme/x:1"), item("alpine:3"), item("registry.example.com/acme/x:1")];
        let chosen = |name| choose(Path::new("x.tar"), &items, Some(name)).map(|item| item.config.as_str());
        assert_eq!(chosen("acme/x:1").unwrap(), "docker.io/acme/x:1");
        assert_eq!(chosen("docker.io/library/alpine:3").unwrap(), "alpine:3");
        assert_eq!(chosen("registry.example.com/acme/x:1").unwrap(), "registry.example.com/acme/x:1");
        assert!(chosen("library/x:1").is_err() && chosen("acme/x").is_err());
    }
}
