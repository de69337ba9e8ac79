//! An upload session (distribution-spec, "Pushing blobs"): opened, filled, taken up where it broke, begun anew where
//! that cannot be.
//!
//! All bytes go in one request as long as nothing is in the way: one answer to wait for, and every registry takes it.
//! After a fault the registry is asked how far it is, and gets the rest in a request of its own. What a proxy finds too
//! large goes in smaller requests. A registry that keeps nothing of a broken request, or takes no parts, gets all anew.

use reqwest::header::{CONTENT_RANGE, HeaderName, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::client::{Client, Target};
use super::error::RegistryError;
use super::push::stored;
use super::transport::{Body, Request, broken, lacks_method, location};
use super::upload::Upload;
use crate::base::units::size;
use crate::base::{Digest, Events};

/// The least bytes of a part that is not the last, as a registry wants it.
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// The first try for requests that are small enough; Cloudflare allows 100 MB, others 64 MiB.
const SMALLER: u64 = 48 << 20;
/// What allows no more than this allows no image.
const SMALLEST: u64 = 1 << 20;
/// How often a session may turn out to be lost.
const SESSIONS: u32 = 3;
/// How often a registry may take less than it was sent.
const SHORT: u32 = 16;

/// Where bytes are sent.
#[derive(Debug, Clone)]
pub(super) struct Session {
    url: Url,
    chunk_min: u64,
}

impl Session {
    /// The session that a response opened.
    pub(super) fn of(asked: &str, response: &Response) -> Result<Self, RegistryError> {
        let none = || broken(asked, response, "opens an upload without a `Location`");
        let url = location(asked, response)?.ok_or_else(none)?;
        let header = response.headers().get(CHUNK_MIN_LENGTH);
        let chunk_min = header.and_then(|value| value.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
        Ok(Self { url, chunk_min })
    }

    /// The URL that ends it.
    fn end(&self, digest: Digest) -> Url {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        url
    }

    /// Gives it up. Politeness only: the registry drops sessions that nobody continues.
    pub(super) async fn cancel(self, client: &Client, target: &Target, asked: &str) {
        let cancel = Request::new(Method::DELETE, self.url, asked);
        let _ = client.request(target, &[target.push_scope()], &cancel).await;
    }

    /// Sends all of what grows in one request without a length, and gives how many bytes that were.
    pub(super) async fn stream(
        &mut self,
        client: &Client,
        target: &Target,
        upload: &Upload,
        asked: &str,
    ) -> Result<u64, RegistryError> {
        let request = Request::new(Method::PATCH, self.url.clone(), asked).body(Body::Stream(upload));
        let response = client.request(target, &[target.push_scope()], &request).await?;
        if !response.status().is_success() {
            return Err(client.refused(target, asked, response).await);
        }
        self.go_on(asked, &response)?;
        match (has(&response), upload.flowed()) {
            (has, Some(all)) if has.is_none_or(|has| has == all) => Ok(all),
            _ => Err(broken(asked, &response, "has not taken all bytes")),
        }
    }

    /// Sends the bytes from `from` up to `to` as a part, and gives how many the registry then has.
    pub(super) async fn part(
        &mut self,
        client: &Client,
        target: &Target,
        upload: &Upload,
        (from, to): (u64, u64),
        asked: &str,
    ) -> Result<u64, RegistryError> {
        let range = format!("{from}-{}", to.saturating_sub(1));
        let request = Request::new(Method::PATCH, self.url.clone(), asked).header(CONTENT_RANGE, &range);
        let request = request.body(Body::Content(upload, from, to)).settles(to - from);
        let response = client.request(target, &[target.push_scope()], &request).await?;
        if !response.status().is_success() {
            return Err(client.refused(target, asked, response).await);
        }
        self.go_on(asked, &response)?;
        match has(&response).unwrap_or(to) {
            has if has <= from || has > to => Err(broken(asked, &response, "has lost bytes that it took")),
            has => Ok(has),
        }
    }

    /// Where it goes on, if an answer says so.
    fn go_on(&mut self, asked: &str, response: &Response) -> Result<(), RegistryError> {
        if let Some(url) = location(asked, response)? {
            self.url = url;
        }
        Ok(())
    }
}

/// An upload that is going on.
pub(super) struct Uploading<'a> {
    client: &'a Client,
    target: &'a Target,
    upload: &'a Upload,
    len: u64,
    digest: Digest,
    asked: &'a str,
    /// Bytes that the registry has.
    from: u64,
    /// The most bytes of one request.
    most: u64,
    /// Whether the registry takes parts.
    parts: bool,
    /// How often it took less than it was sent.
    short: u32,
}

/// What is to be done after a failure.
enum Next {
    /// Ask the registry how far it is.
    Ask(RegistryError),
    /// Begin anew, at once.
    Anew(RegistryError),
    /// Begin anew with smaller requests.
    Smaller(RegistryError),
    Fail(RegistryError),
}

impl<'a> Uploading<'a> {
    /// Of `upload`, which is one of a content of `len` bytes with this digest.
    pub(super) fn new(
        client: &'a Client,
        target: &'a Target,
        upload: &'a Upload,
        (len, digest): (u64, Digest),
        asked: &'a str,
    ) -> Self {
        Self { client, target, upload, len, digest, asked, from: 0, most: u64::MAX, parts: true, short: 0 }
    }

    /// The session that `run` is to be given has all bytes.
    pub(super) fn has_all(&mut self) {
        self.from = self.len;
    }

    /// Bytes of the whole.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn events(&self) -> &'a Events {
        self.client.events()
    }

    /// Uploads into `opened`, or a session of its own.
    pub(super) async fn run(mut self, opened: Option<Session>) -> Result<(), RegistryError> {
        let _transfer = self.client.transfer().await;
        let mut attempts = self.client.attempts();
        let (mut session, mut sessions, mut furthest) = (opened, 0, 0);
        loop {
            let mut open = match session.take() {
                Some(session) => session,
                None => {
                    self.from = 0;
                    self.client.open_upload(self.target, self.asked).await?
                }
            };
            let Err(error) = self.fill(&mut open).await else { return Ok(()) };
            match self.next(error, &open) {
                Next::Fail(error) => return Err(error),
                Next::Smaller(error) => {
                    let most = size(self.most);
                    self.client.events().warn(format!("{error}; trying again with requests of {most}"), None);
                }
                Next::Anew(error) => {
                    sessions += 1;
                    if sessions >= SESSIONS.min(attempts.most()) {
                        return Err(error);
                    }
                    self.client.events().warn(format!("{error}; the upload begins anew"), None);
                }
                Next::Ask(error) => {
                    attempts.moved(self.from.saturating_sub(furthest));
                    furthest = furthest.max(self.from);
                    attempts.again(error).await?;
                    // The answer alone may have been lost.
                    let tail = format!("blobs/{}", self.digest);
                    if self.client.has(self.target, &tail, &[self.target.push_scope()], self.asked).await? {
                        return Ok(());
                    }
                    if self.parts && self.ask(&mut open).await {
                        attempts.moved(self.from.saturating_sub(furthest));
                        furthest = furthest.max(self.from);
                        session = Some(open);
                    }
                }
            }
        }
    }

    /// Sends what is missing.
    async fn fill(&mut self, session: &mut Session) -> Result<(), RegistryError> {
        let scopes = [self.target.push_scope()];
        let (len, asked) = (self.len, self.asked);
        if self.from == 0 && len <= self.most {
            let request = Request::new(Method::PUT, session.end(self.digest), asked);
            let request = request.body(Body::Content(self.upload, 0, len)).settles(len);
            let response = self.client.request(self.target, &scopes, &request).await?;
            return stored(self.client, self.target, self.digest, asked, response).await;
        }
        while self.from < len {
            let to = self.from.saturating_add(self.most.max(session.chunk_min)).min(len);
            let part = (self.from, to);
            let has = session.part(self.client, self.target, self.upload, part, asked).await?;
            self.short += u32::from(has < to);
            if self.short > SHORT {
                let (asked, host) = (asked.to_owned(), self.target.host());
                let why = "takes less than it is sent, again and again".to_owned();
                return Err(RegistryError::Protocol { asked, host, why });
            }
            self.from = has;
        }
        let request = Request::new(Method::PUT, session.end(self.digest), asked).settles(len);
        let response = self.client.request(self.target, &scopes, &request).await?;
        stored(self.client, self.target, self.digest, asked, response).await
    }

    /// Decides on a failure.
    fn next(&mut self, error: RegistryError, session: &Session) -> Next {
        if self.upload.is_broken() {
            return Next::Fail(error);
        }
        let answer = match &error {
            RegistryError::Network { .. } | RegistryError::Stalled { .. } | RegistryError::Cut { .. } => {
                return Next::Ask(error);
            }
            RegistryError::Refused { answer, .. } | RegistryError::NotFound { answer, .. } => answer,
            // What the registry says that it has is not what it was sent.
            RegistryError::Protocol { .. } | RegistryError::DigestMismatch { .. } => {
                self.parts = false;
                return Next::Anew(error);
            }
            _ => return Next::Fail(error),
        };
        let lost =
            ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID", "DIGEST_INVALID", "SIZE_INVALID"];
        match StatusCode::from_u16(answer.status).unwrap_or_default() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let sent = (self.len - self.from).min(self.most);
                self.most = (sent / 2).min(SMALLER);
                match self.parts && self.most >= SMALLEST.max(session.chunk_min) {
                    true => Next::Smaller(error),
                    false => Next::Fail(error),
                }
            }
            // One that takes no parts says so to the first.
            status if lacks_method(status) && self.from > 0 => {
                self.parts = false;
                Next::Anew(error)
            }
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => Next::Anew(error),
            _ if answer.has_code(&lost) => {
                self.parts = self.parts && self.from == 0;
                Next::Anew(error)
            }
            status if super::patience::is_transient(status.as_u16()) => Next::Ask(error),
            _ => Next::Fail(error),
        }
    }

    /// Asks how far the registry is; `false`, if the session cannot be gone on with.
    pub(super) async fn ask(&mut self, session: &mut Session) -> bool {
        let request = Request::new(Method::GET, session.url.clone(), self.asked);
        let scopes = [self.target.push_scope()];
        let answer =
            self.client.retrying(async || self.client.request(self.target, &scopes, &request).await).await;
        let Ok(response) = answer else { return false };
        let far = has(&response).filter(|far| *far <= self.len);
        match far {
            Some(far) if response.status().is_success() && session.go_on(self.asked, &response).is_ok() => {
                self.from = far;
                true
            }
            _ => false,
        }
    }
}

/// How many bytes a registry says that it has. `0-0` is what many say of none, and is believed to be that.
fn has(response: &Response) -> Option<u64> {
    let text = response.headers().get(RANGE)?.to_str().ok()?.trim();
    let last: u64 = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}
