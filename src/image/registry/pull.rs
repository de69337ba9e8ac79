//! What is read from a registry: manifests, blobs, tags. Every byte is checked against its digest
//! before it is called good.

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, LINK, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::blob::{Pull, Sink};
use super::client::{Client, Target};
use super::error::RegistryError;
use super::options::Progress;
use super::transport::{Request, broken, lacks_method, same_origin};
use crate::base::Digest;
use crate::image::descriptor::{Descriptor, media_type};
use crate::image::reference::{RegistryReference, is_tag};

/// distribution-spec, "Pushing Manifests": registries should take manifests of 4 MiB, and some take
/// no larger ones. A page of tags has the same limit.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// A thousand pages of a thousand tags; more is a loop.
const TAG_PAGES: usize = 1000;
/// What a registry computed over the bytes that it sends or took.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Client {
    /// Fetches the manifest or index that `reference` names, and its bytes as they are. They have
    /// the reference's digest, if it has one, and the digest that the registry itself claims.
    pub fn resolve(&self, reference: &RegistryReference) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let asked = format!("fetch the manifest of `{reference}`");
        let target = self.target(reference)?;
        self.blocking(&asked, async || {
            let response = self.get_manifest(&target, &reference.manifest_name(), &asked).await?;
            let claimed = claimed_digest(&asked, &response)?;
            let header = content_type(&response);
            let host = target.host();
            let bytes = self.transport().read_body(&asked, response, MANIFEST_LIMIT).await?;
            for expected in [reference.digest, claimed].into_iter().flatten() {
                check_digest(&asked, expected, &bytes)?;
            }
            let digest = reference.digest.or(claimed).unwrap_or_else(|| Digest::of(&bytes));
            let media_type = media_type_of(&bytes, header).ok_or_else(|| RegistryError::Protocol {
                asked: asked.clone(),
                host,
                why: "answers with something that is neither manifest nor index".to_owned(),
            })?;
            Ok((Descriptor::new(&media_type, digest, bytes.len() as u64), bytes))
        })
    }

    /// The digest that the registry says a name has; `None`, if there is nothing of that name. Asked by `HEAD`, which
    /// registries that count pulls do not count. It is to compare with, and not to be believed.
    ///
    /// With `to_push`, of a repository that is pushed to: one that may not be seen may still be made by that.
    pub fn claimed(
        &self,
        reference: &RegistryReference,
        to_push: bool,
    ) -> Result<Option<Digest>, RegistryError> {
        let asked = format!("look for the manifest of `{reference}`");
        let target = self.target(reference)?;
        let head = self.block_on(&asked, self.head(&target, reference, to_push, &asked))?;
        match head {
            Head::Nothing => Ok(None),
            Head::Is(Some(digest)) => Ok(Some(digest)),
            Head::Is(None) => match self.resolve(reference) {
                Ok((descriptor, _)) => Ok(Some(descriptor.digest)),
                Err(RegistryError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// What a registry says to `HEAD` for a name.
    pub(super) async fn head(
        &self,
        target: &Target,
        reference: &RegistryReference,
        to_push: bool,
        asked: &str,
    ) -> Result<Head, RegistryError> {
        let scopes = [if to_push { target.push_scope() } else { target.pull_scope() }];
        self.retrying(async || {
            let url = target.url(&format!("manifests/{}", reference.manifest_name()));
            let request = Request::new(Method::HEAD, url, asked).header(ACCEPT, &accepted());
            let response = match self.request(target, &scopes, &request).await {
                Err(RegistryError::Unauthorised { .. }) if to_push => return Ok(Head::Nothing),
                answer => answer?,
            };
            match response.status() {
                StatusCode::FORBIDDEN if to_push => Ok(Head::Nothing),
                StatusCode::OK => Ok(Head::Is(claimed_digest(asked, &response)?)),
                StatusCode::NOT_FOUND => Ok(Head::Nothing),
                status if lacks_method(status) => Ok(Head::Is(None)),
                _ => Err(self.refused(target, asked, response).await),
            }
        })
        .await
    }

    /// Fetches the manifest or index that `descriptor` describes.
    pub fn manifest(
        &self,
        repository: &RegistryReference,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let Descriptor { digest, size, .. } = descriptor;
        let asked = format!("fetch the manifest `{digest}` of `{}`", repository.name());
        let target = self.target(repository)?;
        self.blocking(&asked, async || {
            let response = self.get_manifest(&target, &digest.to_string(), &asked).await?;
            let bytes = self.transport().read_body(&asked, response, MANIFEST_LIMIT).await?;
            let found = bytes.len() as u64;
            if found != *size {
                return Err(RegistryError::SizeMismatch {
                    asked: asked.clone(),
                    expected: *size,
                    found,
                    more: false,
                });
            }
            check_digest(&asked, *digest, &bytes)?;
            Ok(bytes)
        })
    }

    /// Whether the repository has the manifest.
    pub fn has_manifest(
        &self,
        repository: &RegistryReference,
        descriptor: &Descriptor,
    ) -> Result<bool, RegistryError> {
        let asked = format!("look for the manifest `{}` in `{}`", descriptor.digest, repository.name());
        let target = self.target(repository)?;
        let tail = format!("manifests/{}", descriptor.digest);
        self.block_on(&asked, self.has(&target, &tail, &[target.pull_scope()], &asked))
    }

    /// Whether the repository, which is pushed to, has the blob.
    pub fn has_blob(
        &self,
        repository: &RegistryReference,
        descriptor: &Descriptor,
    ) -> Result<bool, RegistryError> {
        let asked = format!("look for the blob `{}` in `{}`", descriptor.digest, repository.name());
        let target = self.target(repository)?;
        let tail = format!("blobs/{}", descriptor.digest);
        self.block_on(&asked, self.has(&target, &tail, &[target.push_scope()], &asked))
    }

    /// Streams a blob into `into`, checking its size and digest on the way. A connection that breaks is taken up where
    /// it broke. Only after `Ok` may the caller believe, and name, what was written.
    pub fn pull_blob(
        &self,
        repository: &RegistryReference,
        descriptor: &Descriptor,
        into: &mut dyn Sink,
        progress: &Progress,
    ) -> Result<(), RegistryError> {
        let asked = format!("pull the blob `{}` of `{}`", descriptor.digest, repository.name());
        let target = self.target(repository)?;
        self.block_on(&asked, Pull::new(self, &target, descriptor, &asked, progress).run(into))
    }

    /// The repository's tags, in the registry's order. What is none by the specification's grammar is left out, with a
    /// warning: it could lead elsewhere.
    pub fn tags(&self, repository: &RegistryReference) -> Result<Vec<String>, RegistryError> {
        let asked = format!("list the tags of `{}`", repository.name());
        let target = self.target(repository)?;
        self.blocking(&asked, async || {
            let mut url = target.url("tags/list");
            url.set_query(Some("n=1000"));
            let mut tags = Vec::new();
            for _ in 0..TAG_PAGES {
                let request = Request::new(Method::GET, url, &asked);
                let response = self.request(&target, &[target.pull_scope()], &request).await?;
                if response.status() != StatusCode::OK {
                    return Err(self.refused(&target, &asked, response).await);
                }
                let next = next_page(&asked, &target, &response)?;
                let no_list = broken(&asked, &response, "answers with no list of tags");
                let body = self.transport().read_body(&asked, response, MANIFEST_LIMIT).await?;
                tags.extend(tags_of(&body).ok_or(no_list)?);
                match next {
                    Some(next) => url = next,
                    None => return Ok(self.sound(&asked, tags)),
                }
            }
            let why = format!("has more than {TAG_PAGES} pages of tags");
            Err(RegistryError::Protocol { asked: asked.clone(), host: target.host(), why })
        })
    }

    fn sound(&self, asked: &str, tags: Vec<String>) -> Vec<String> {
        let (sound, others): (Vec<String>, Vec<String>) = tags.into_iter().partition(|tag| is_tag(tag));
        if let Some(first) = others.first() {
            let first: String = first.chars().filter(|c| !c.is_control()).take(128).collect();
            self.events()
                .warn(format!("{asked}: {} of them are no tags, such as `{first}`", others.len()), None);
        }
        sound
    }

    async fn get_manifest(
        &self,
        target: &Target,
        name: &str,
        asked: &str,
    ) -> Result<Response, RegistryError> {
        let request = Request::new(Method::GET, target.url(&format!("manifests/{name}")), asked);
        let request = request.header(ACCEPT, &accepted());
        let response = self.request(target, &[target.pull_scope()], &request).await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            _ => Err(self.refused(target, asked, response).await),
        }
    }

    /// Asks by `HEAD`, and of a registry that has none by `GET`, for one byte.
    pub(super) async fn has(
        &self,
        target: &Target,
        tail: &str,
        scopes: &[String],
        asked: &str,
    ) -> Result<bool, RegistryError> {
        self.retrying(async || {
            let request = |method| Request::new(method, target.url(tail), asked).header(ACCEPT, &accepted());
            let mut response = self.request(target, scopes, &request(Method::HEAD)).await?;
            if lacks_method(response.status()) {
                let one = request(Method::GET).header(RANGE, "bytes=0-0");
                response = self.request(target, scopes, &one).await?;
            }
            match response.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(true),
                // Nothing of an empty blob can be had, but it is there.
                StatusCode::RANGE_NOT_SATISFIABLE => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(self.refused(target, asked, response).await),
            }
        })
        .await
    }
}

/// What a registry says to `HEAD`.
pub(super) enum Head {
    Nothing,
    /// There is something, with this digest if it says so.
    Is(Option<Digest>),
}

/// Some registries convert a manifest to the first type that is accepted, so all are named; the
/// last is for artifacts of other types.
fn accepted() -> String {
    use media_type::{DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
    format!("{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_INDEX}, {DOCKER_MANIFEST}, */*;q=0.1")
}

pub(super) fn check_digest(asked: &str, expected: Digest, bytes: &[u8]) -> Result<(), RegistryError> {
    let mut hasher = expected.hasher();
    hasher.update(bytes);
    same_digest(asked, expected, hasher.finish())
}

pub(super) fn same_digest(asked: &str, expected: Digest, found: Digest) -> Result<(), RegistryError> {
    match expected == found {
        true => Ok(()),
        false => Err(RegistryError::digest_mismatch(asked, expected, found)),
    }
}

/// The digest that the registry claims; it may send none, but what it sends must be one.
pub(super) fn claimed_digest(asked: &str, response: &Response) -> Result<Option<Digest>, RegistryError> {
    let Some(value) = response.headers().get(CONTENT_DIGEST) else { return Ok(None) };
    let digest = value.to_str().ok().and_then(|text| text.parse().ok());
    digest
        .map(Some)
        .ok_or_else(|| broken(asked, response, "sends a `Docker-Content-Digest` that is no digest"))
}

fn content_type(response: &Response) -> Option<String> {
    let text = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = text.split(';').next().unwrap_or(text).trim().to_ascii_lowercase();
    media_type.starts_with("application/vnd.").then_some(media_type)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyManifest {
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
}

/// What a document is: by its own field, which its digest covers; else by the header; else, since
/// both are optional in OCI, by its shape. `None` if it is no JSON object or nothing known.
fn media_type_of(bytes: &[u8], header: Option<String>) -> Option<String> {
    let document: AnyManifest = serde_json::from_slice(bytes).ok()?;
    let shape = || match (document.manifests, document.layers) {
        (Some(_), None) => Some(media_type::OCI_INDEX.to_owned()),
        (None, Some(_)) => Some(media_type::OCI_MANIFEST.to_owned()),
        _ => None,
    };
    document.media_type.or(header).or_else(shape)
}

#[derive(Deserialize)]
struct TagList {
    /// `null` for a repository that lost its last tag.
    tags: Option<Vec<String>>,
}

/// A page of tags; `None` if it is something else.
pub(super) fn tags_of(body: &[u8]) -> Option<Vec<String>> {
    let page: TagList = serde_json::from_slice(body).ok()?;
    Some(page.tags.unwrap_or_default())
}

/// The URL of `Link: <url>; rel="next"` (RFC 8288), which must stay on the registry: it gets the
/// registry's authorization.
fn next_page(asked: &str, target: &Target, response: &Response) -> Result<Option<Url>, RegistryError> {
    let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|line| line.split(',')).find_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = |parameter: &str| matches!(parameter.trim(), "rel=next" | "rel=\"next\"");
        parameters.split(';').any(next).then_some(url)
    });
    let Some(next) = next else { return Ok(None) };
    match response.url().join(next) {
        Ok(url) if same_origin(&url, &target.base) => Ok(Some(url)),
        _ => Err(broken(asked, response, "names a next page that is not its own")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifests_own_media_type_goes_before_the_header_and_its_shape_is_the_last_resort() {
        let header = || Some(media_type::DOCKER_MANIFEST.to_owned());
        let own = format!(r#"{{"mediaType":"{}"}}"#, media_type::OCI_INDEX);
        assert_eq!(media_type_of(own.as_bytes(), header()).unwrap(), media_type::OCI_INDEX);
        assert_eq!(media_type_of(b"{}", header()).unwrap(), media_type::DOCKER_MANIFEST);
        assert_eq!(media_type_of(br#"{"manifests":[]}"#, None).unwrap(), media_type::OCI_INDEX);
        assert_eq!(media_type_of(br#"{"layers":[]}"#, None).unwrap(), media_type::OCI_MANIFEST);
        assert_eq!(media_type_of(b"<html>", header()), None);
        assert_eq!(media_type_of(b"{}", None), None);
    }
}
