//! References: where an image is. Transports and terms are skopeo's.
//!
//! What exists on the disk decides nothing: the same words always mean the same place. `PLACE#NAME` is one of several
//! images that were written to one place: see [`one_of_several`].

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::base::Digest;

/// Where an image, or a plain tree, is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `docker://HOST/NAME[:TAG][@DIGEST]`
    Registry(RegistryReference),
    /// `oci:DIR[:NAME]`, an OCI layout.
    Layout {
        /// The layout's directory.
        directory: PathBuf,
        /// The annotation `org.opencontainers.image.ref.name`.
        name: Option<String>,
    },
    /// `oci-archive:FILE[:NAME]`, a tar of an OCI layout.
    OciArchive {
        /// The archive.
        file: PathBuf,
        /// As in a layout.
        name: Option<String>,
    },
    /// `docker-archive:FILE[:NAME:TAG]`, what `docker save` writes.
    DockerArchive {
        /// The archive.
        file: PathBuf,
        /// One of its `RepoTags`.
        name: Option<String>,
    },
    /// `dir:DIR`, a plain root file system (not skopeo's format of that name).
    Directory(PathBuf),
    /// A path without a transport, to be read only: what lies there tells its own format.
    Path(PathBuf),
}

/// The kinds of media, as their transports are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A registry.
    Registry,
    /// An OCI layout.
    Layout,
    /// A tar of an OCI layout.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
    /// A plain tree.
    Directory,
    /// Whatever a path holds.
    Path,
}

/// A name in a registry. `host` is kept as it was written, with its port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryReference {
    /// `registry.example.com`, `127.0.0.1:5000`
    pub host: String,
    /// `acme/my-module`
    pub repository: String,
    /// `0.1`
    pub tag: Option<String>,
    /// A pinned digest; with a tag, the digest decides.
    pub digest: Option<Digest>,
}

/// A text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Neither a path nor a registry name by its spelling.
    #[error("`{text}` may be a directory or an image name")]
    Ambiguous {
        /// What was read.
        text: String,
    },
    /// A part of the reference breaks its rule.
    #[error("`{text}` is no reference: {why}")]
    Invalid {
        /// What was read.
        text: String,
        /// Which rule.
        why: String,
    },
    /// One of several images is to be at a place that has room for one.
    #[error("`{text}` has room for one image")]
    OneImage {
        /// The place.
        text: String,
    },
}

impl ReferenceError {
    /// What to write instead.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ambiguous { text } if text.contains('#') => Some(ONE_OF_SEVERAL.to_owned()),
            Self::Ambiguous { text } => Some(format!(
                "write `./{text}` for a directory or archive, `docker://HOST/{text}` or `HOST/{text}` for an image in a registry"
            )),
            Self::Invalid { text, .. } => text.contains('#').then(|| ONE_OF_SEVERAL.to_owned()),
            Self::OneImage { .. } => Some(
                "put `{name}` into it, which becomes the name of each image; `oci:DIR` takes all of them"
                    .to_owned(),
            ),
        }
    }
}

/// What a `#` in a reference means.
const ONE_OF_SEVERAL: &str = "`#NAME` picks one of the images that `talosmith kernel` has written: `oci:DIR#NAME`, or behind a reference with `{name}` in it";
/// What stands for the name of each image where several are written to one reference.
const NAME: &str = "{name}";

/// The reference of the image `name` among several that are written to `place` at once: `{name}` is replaced, and
/// an OCI layout takes all of them, each by its name. `PLACE#NAME` reads the same image back.
pub fn one_of_several(place: &str, name: &str) -> Result<String, ReferenceError> {
    if place.contains(NAME) {
        return Ok(place.replace(NAME, name));
    }
    match place.strip_prefix("oci:") {
        Some(directory) if !directory.contains([':', '#']) => Ok(format!("{place}:{name}")),
        _ => Err(ReferenceError::OneImage { text: place.to_owned() }),
    }
}

impl Reference {
    /// The medium.
    pub fn medium(&self) -> Medium {
        match self {
            Self::Registry(_) => Medium::Registry,
            Self::Layout { .. } => Medium::Layout,
            Self::OciArchive { .. } => Medium::OciArchive,
            Self::DockerArchive { .. } => Medium::DockerArchive,
            Self::Directory(_) => Medium::Directory,
            Self::Path(_) => Medium::Path,
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        // In a path, it is a letter as any other.
        if let Some((place, name)) = text.rsplit_once('#')
            && (place.starts_with("oci:") || place.contains(NAME))
            && is_tag(name)
        {
            return one_of_several(place, name)?.parse();
        }
        let invalid = |why: &str| ReferenceError::Invalid { text: text.to_owned(), why: why.to_owned() };
        if let Some(rest) = text.strip_prefix("docker://") {
            return rest.parse().map(Self::Registry).map_err(|error| match error {
                ReferenceError::Invalid { why, .. } => invalid(&why),
                other => other,
            });
        }
        let file_and_name = |rest: &str| -> Result<(PathBuf, Option<String>), ReferenceError> {
            let (file, name) = match rest.split_once(':') {
                Some((file, name)) => (file, Some(name.to_owned())),
                None => (rest, None),
            };
            if file.is_empty() {
                return Err(invalid("the path is empty"));
            }
            match name {
                Some(name) if name.is_empty() => Err(invalid("the name behind the last `:` is empty")),
                name => Ok((PathBuf::from(file), name)),
            }
        };
        if let Some((transport, rest)) = text.split_once(':') {
            match transport {
                "oci" => {
                    return file_and_name(rest).map(|(directory, name)| Self::Layout { directory, name });
                }
                "oci-archive" => {
                    return file_and_name(rest).map(|(file, name)| Self::OciArchive { file, name });
                }
                "docker-archive" => {
                    return file_and_name(rest).map(|(file, name)| Self::DockerArchive { file, name });
                }
                "dir" if rest.is_empty() => return Err(invalid("the path is empty")),
                "dir" => return Ok(Self::Directory(PathBuf::from(rest))),
                "containers-storage" | "docker-daemon" | "ostree" | "sif" => {
                    return Err(invalid(&format!(
                        "transport `{transport}:` needs a daemon or a store of another program; known are docker://, oci:, oci-archive:, docker-archive: and dir:"
                    )));
                }
                _ => {}
            }
        }
        if text.contains("://") {
            return Err(invalid(
                "known transports are docker://, oci:, oci-archive:, docker-archive: and dir:",
            ));
        }
        if text.starts_with(['.', '/']) || text.ends_with('/') || text.ends_with(".tar") {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        match text.split_once('/') {
            Some((host, _)) if is_host(host) => text.parse().map(Self::Registry),
            _ => Err(ReferenceError::Ambiguous { text: text.to_owned() }),
        }
    }
}

/// Docker's rule: a first component with a `.` or a `:`, or `localhost`, is a host.
fn is_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':'])
}

/// distribution-spec, "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/…)*`.
fn is_repository(text: &str) -> bool {
    let component = |component: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inner = component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
        edge(component.bytes().next()) && edge(component.bytes().last()) && inner
    };
    !text.is_empty() && text.len() <= 255 && text.split('/').all(component)
}

/// distribution-spec: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(super) fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

impl FromStr for RegistryReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let invalid = |why: String| ReferenceError::Invalid { text: text.to_owned(), why };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                (name, Some(digest.parse::<Digest>().map_err(|error| invalid(error.to_string()))?))
            }
            None => (text, None),
        };
        let (host, rest) = name.split_once('/').filter(|(host, _)| is_host(host)).ok_or_else(|| {
            invalid(
                "it begins with no registry host, such as `registry.example.com/` or `127.0.0.1:5000/`"
                    .to_owned(),
            )
        })?;
        let (host_name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => (address, rest.strip_prefix(':')),
            None => match host.rsplit_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (host, None),
            },
        };
        let host_char =
            |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (host.starts_with('[') && b == b':');
        if host_name.is_empty() || !host_name.bytes().all(host_char) {
            return Err(invalid(format!("`{host}` is no host")));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(invalid(format!("`{host}` has no valid port")));
        }
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if !is_repository(repository) {
            return Err(invalid(format!(
                "`{repository}` is no repository name (lower-case letters and digits, single `.` `_` `-` between them, `/` between components)"
            )));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(invalid(format!("`{tag}` is no tag (up to 128 letters, digits, `_`, `.`, `-`)")));
        }
        Ok(Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl RegistryReference {
    /// What stands behind `manifests/` in the registry's URL: the digest, else the tag, else
    /// `latest`.
    pub fn manifest_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The name without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The same name, pinned to `digest`.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// Whether the host is this machine by its name: only then is plain HTTP used unasked.
    pub fn is_loopback(&self) -> bool {
        let host = match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, name) = match self {
            Self::Registry(reference) => return write!(f, "docker://{reference}"),
            Self::Layout { directory, name } => ("oci", directory, name.as_deref()),
            Self::OciArchive { file, name } => ("oci-archive", file, name.as_deref()),
            Self::DockerArchive { file, name } => ("docker-archive", file, name.as_deref()),
            Self::Directory(directory) => ("dir", directory, None),
            Self::Path(path) => return write!(f, "{}", path.display()),
        };
        write!(f, "{transport}:{}", path.display())?;
        match name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_reads_and_writes_back() {
        let digest = Digest::of(b"");
        for text in [
            "docker://registry.example.com/acme/my-module:0.1",
            "docker://127.0.0.1:5000/acme/my-module",
            "docker://[::1]:5000/a__b/c--d:v1",
            &format!("docker://localhost/acme/x:1@{digest}"),
            "oci:out/my-module:0.1",
            "oci:out",
            "oci-archive:out.tar:name",
            "docker-archive:out.tar:registry.example.com/acme/x:0.1",
            "dir:./tree",
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn words_without_a_transport_mean_the_same_everywhere() {
        assert!(matches!("./x".parse(), Ok(Reference::Path(_))));
        assert!(matches!("x.tar".parse(), Ok(Reference::Path(_))));
        assert!(matches!("ghcr.io/siderolabs/x:1".parse(), Ok(Reference::Registry(_))));
        assert!(matches!("localhost/x".parse(), Ok(Reference::Registry(_))));
        let error = "siderolabs/x:1".parse::<Reference>().unwrap_err();
        assert!(error.hint().unwrap().contains("./siderolabs/x:1"));
        assert!(matches!("my-module".parse::<Reference>(), Err(ReferenceError::Ambiguous { .. })));
    }

    #[test]
    fn one_of_several_images_is_read_by_the_place_they_were_written_to() {
        for (text, meant) in [
            ("oci:out/k#my-module-pkg", "oci:out/k:my-module-pkg"),
            ("oci:out/v1-{name}:0.1#kernel", "oci:out/v1-kernel:0.1"),
            ("docker://h.example/a/{name}:v1#my-pkg", "docker://h.example/a/my-pkg:v1"),
            ("h.example/{name}/{name}#my-pkg", "docker://h.example/my-pkg/my-pkg"),
            ("oci-archive:{name}.tar#kernel", "oci-archive:kernel.tar"),
            // Paths, and a name of a layout that was given as such.
            ("dir:a#b", "dir:a#b"),
            ("./a#b", "./a#b"),
            ("oci-archive:a#b.tar", "oci-archive:a#b.tar"),
            ("oci:a#1:name", "oci:a#1:name"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), meant, "{text}");
        }
        for wrong in ["kernel#my-pkg", "h.example/a/k:v1#my-pkg", "oci:out:v1#my-pkg", "oci:a#b#c"] {
            let error = wrong.parse::<Reference>().unwrap_err();
            assert!(error.hint().unwrap().contains("`oci:DIR"), "{wrong}: {error}");
        }
    }

    #[test]
    fn broken_references_are_refused_with_their_rule() {
        for text in [
            "docker://acme/x",
            "docker://h.example/UPPER",
            "docker://h.example/a..b",
            "docker://h.example/a/",
            "docker://h.example/a:",
            "docker://h.example/a@sha256:00",
            "docker://h.example:x/a",
            "docker://u@h.example/a",
            "docker://u:p@h.example/a",
            "oci:",
            "oci:x:",
            "dir:",
            "docker-daemon:x",
            "https://h.example/a",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_told_by_the_address_and_not_by_a_prefix() {
        let loopback = |text: &str| text.parse::<RegistryReference>().unwrap().is_loopback();
        assert!(
            loopback("127.0.0.1:5000/a")
                && loopback("localhost:1/a")
                && loopback("[::1]:5000/a")
                && loopback("127.8.8.8:1/a")
        );
        assert!(
            !loopback("127.0.0.1.example.com/a")
                && !loopback("10.0.0.1:5000/a")
                && !loopback("localhost.example.com/a")
        );
    }
}
