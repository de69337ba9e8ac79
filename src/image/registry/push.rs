//! What is written to a registry: blobs (distribution-spec, "Pushing a blob monolithically" and
//! "Mounting a blob from another repository") and manifests.

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, StatusCode};

use super::client::{Client, Target};
use super::early::Begun;
use super::error::RegistryError;
use super::options::Progress;
use super::pull::{check_digest, claimed_digest};
use super::session::{Session, Uploading};
use super::transport::{Body, Request, same_origin};
use super::upload::Upload;
use crate::base::{Content, Digest};
use crate::image::descriptor::Descriptor;
use crate::image::reference::RegistryReference;

/// How a blob came to be in its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
    /// Its bytes were sent.
    Uploaded,
}

/// What opening an upload came to.
enum Opened {
    Mounted,
    Session(Session),
}

impl Client {
    /// Sees to it that the repository has the blob: asks for it, else has the registry mount it from
    /// one of `mount_from` (repositories of the same host; others are passed over), else uploads it.
    pub fn push_blob(
        &self,
        repository: &RegistryReference,
        descriptor: &Descriptor,
        content: &Content,
        mount_from: &[RegistryReference],
        progress: &Progress,
    ) -> Result<Pushed, RegistryError> {
        let target = self.target(repository)?;
        let asked = format!("push to `{}`", target.name);
        let _turn = self.turn(repository, &descriptor.digest);
        let begun = self.begun(repository, &descriptor.digest);
        self.block_on(&asked, self.put_blob(&target, descriptor, content, begun, mount_from, progress))
    }

    /// Has the registry take a blob from another of its repositories. `false` if it will not; nothing
    /// is left behind then.
    pub fn mount(
        &self,
        repository: &RegistryReference,
        descriptor: &Descriptor,
        from: &RegistryReference,
    ) -> Result<bool, RegistryError> {
        let (target, source) = (self.target(repository)?, self.target(from)?);
        let asked =
            format!("mount the blob `{}` of `{}` in `{}`", descriptor.digest, source.name, target.name);
        self.block_on(&asked, async {
            match self.open_mount(&target, descriptor, &source, &asked).await? {
                Some(Opened::Mounted) => Ok(true),
                Some(Opened::Session(session)) => {
                    session.cancel(self, &target, &asked).await;
                    Ok(false)
                }
                None => Ok(false),
            }
        })
    }

    /// Stores a manifest or index under the reference's tag, else its digest, else (with neither)
    /// under the digest of `bytes`. Everything that it refers to is in the repository by then.
    pub fn push_manifest(
        &self,
        reference: &RegistryReference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        let digest = reference.digest.unwrap_or_else(|| Digest::of(bytes));
        let name = reference.tag.clone().unwrap_or_else(|| digest.to_string());
        let target = self.target(reference)?;
        let asked = format!("push the manifest `{name}` to `{}`", target.name);
        check_digest(&asked, digest, bytes)?;
        let bytes = Bytes::copy_from_slice(bytes);
        self.blocking(&asked, async || {
            let body = Body::Bytes("application/octet-stream", bytes.clone());
            let url = target.url(&format!("manifests/{name}"));
            let request = Request::new(Method::PUT, url, &asked).header(CONTENT_TYPE, media_type).body(body);
            let response = self.request(&target, &[target.push_scope()], &request).await?;
            stored(self, &target, digest, &asked, response).await?;
            Ok(digest)
        })
    }

    async fn put_blob(
        &self,
        target: &Target,
        descriptor: &Descriptor,
        content: &Content,
        begun: Option<Begun>,
        mount_from: &[RegistryReference],
        progress: &Progress,
    ) -> Result<Pushed, RegistryError> {
        let digest = descriptor.digest;
        let asked = format!("push the blob `{digest}` to `{}`", target.name);
        if content.len() != descriptor.size {
            let (expected, found) = (descriptor.size, content.len());
            return Err(RegistryError::SizeMismatch { asked, expected, found, more: false });
        }
        let (tail, scopes) = (format!("blobs/{digest}"), [target.push_scope()]);
        if self.has(target, &tail, &scopes, &asked).await? {
            if let Some(Begun { session, .. }) = begun {
                self.cancel_aside(session, target, &asked);
            }
            return Ok(Pushed::Existed);
        }
        let upload = Upload::new(content, digest, progress);
        let whole = (descriptor.size, digest);
        if let Some(begun) = begun {
            // Once: what does not work so works in the ordinary way, or says there why not.
            let hasty = self.hasty(1);
            let begun = begun.go_on(Uploading::new(&hasty, target, &upload, whole, &asked)).await;
            if begun || (!upload.is_broken() && self.has(target, &tail, &scopes, &asked).await?) {
                return Ok(Pushed::Uploaded);
            }
        }
        let source = self.mount_source(target, descriptor, mount_from, &asked).await?;
        let opened = match source {
            Some(source) => self.open_mount(target, descriptor, &source, &asked).await?,
            None => None,
        };
        let session = match opened {
            Some(Opened::Mounted) => return Ok(Pushed::Mounted),
            Some(Opened::Session(session)) => Some(session),
            None => None,
        };
        Uploading::new(self, target, &upload, whole, &asked).run(session).await?;
        Ok(Pushed::Uploaded)
    }

    /// Gives a session up. Nobody waits for that.
    fn cancel_aside(&self, session: Session, target: &Target, asked: &str) {
        let (client, target, asked) = (self.clone(), target.clone(), asked.to_owned());
        let cancel = move || async move { session.cancel(&client, &target, &asked).await };
        let _ = self.start(cancel); // without a thread for it, the registry drops the session by itself
    }

    /// The repository to mount from. One candidate is simply tried; of several, the first that has
    /// the blob is taken, since every try that fails leaves an upload session behind.
    async fn mount_source(
        &self,
        target: &Target,
        descriptor: &Descriptor,
        candidates: &[RegistryReference],
        asked: &str,
    ) -> Result<Option<Target>, RegistryError> {
        let mut sources = Vec::new();
        for candidate in candidates {
            let source = self.target(candidate)?;
            if same_origin(&source.base, &target.base) && source.repository != target.repository {
                sources.push(source);
            }
        }
        if sources.len() <= 1 {
            return Ok(sources.pop());
        }
        for source in sources {
            let tail = format!("blobs/{}", descriptor.digest);
            // A candidate that may not be read is none.
            if self.has(&source, &tail, &[source.pull_scope()], asked).await.unwrap_or(false) {
                return Ok(Some(source));
            }
        }
        Ok(None)
    }

    /// Asks for a mount: 201 is done, 202 opened an upload session instead. `None` if the registry or
    /// its token server refuses, which says nothing about uploading.
    async fn open_mount(
        &self,
        target: &Target,
        descriptor: &Descriptor,
        source: &Target,
        asked: &str,
    ) -> Result<Option<Opened>, RegistryError> {
        let mut url = target.url("blobs/uploads/");
        url.query_pairs_mut()
            .append_pair("mount", &descriptor.digest.to_string())
            .append_pair("from", &source.repository);
        let mut scopes = [target.push_scope(), source.pull_scope()];
        scopes.sort();
        let request = Request::new(Method::POST, url, asked);
        let response = match self.retrying(async || self.request(target, &scopes, &request).await).await {
            Ok(response) => response,
            Err(
                RegistryError::Unauthorised { .. }
                | RegistryError::NotFound { .. }
                | RegistryError::Refused { .. },
            ) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match response.status() {
            StatusCode::CREATED => Ok(Some(Opened::Mounted)),
            StatusCode::ACCEPTED => Ok(Some(Opened::Session(Session::of(asked, &response)?))),
            _ => Ok(None),
        }
    }

    /// Opens a session. One that is opened in vain is dropped by the registry.
    pub(super) async fn open_upload(&self, target: &Target, asked: &str) -> Result<Session, RegistryError> {
        self.retrying(async || {
            let request = Request::new(Method::POST, target.url("blobs/uploads/"), asked);
            let response = self.request(target, &[target.push_scope()], &request).await?;
            match response.status() {
                StatusCode::ACCEPTED => Session::of(asked, &response),
                _ => Err(self.refused(target, asked, response).await),
            }
        })
        .await
    }
}

/// Checks the answer to a PUT. `Location` is not needed; a digest, if sent, must be ours.
pub(super) async fn stored(
    client: &Client,
    target: &Target,
    expected: Digest,
    asked: &str,
    response: Response,
) -> Result<(), RegistryError> {
    if !response.status().is_success() {
        return Err(client.refused(target, asked, response).await);
    }
    match claimed_digest(asked, &response)? {
        // Another algorithm's digest of the same bytes is no contradiction.
        Some(found) if found != expected && found.algorithm() == expected.algorithm() => {
            Err(RegistryError::digest_mismatch(asked, expected, found))
        }
        _ => Ok(()),
    }
}
