//! One blob on its way here: taken up where a connection broke, by ranges (RFC 9110, section 14) where the registry has
//! them, and believed by its digest alone.

use std::fs::File;
use std::io::{self, Seek as _, Write};

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::client::{Client, Target};
use super::error::RegistryError;
use super::options::Progress;
use super::patience::{Grace, Moved};
use super::pull::same_digest;
use super::transport::{Request, broken, host_of};
use crate::base::Hasher;
use crate::image::descriptor::Descriptor;

/// What a blob is written to.
pub trait Sink: Write {
    /// Forgets all that was written.
    fn restart(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.rewind()
    }
}

impl Sink for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// A pull that is going on.
pub(super) struct Pull<'a> {
    client: &'a Client,
    target: &'a Target,
    descriptor: &'a Descriptor,
    asked: &'a str,
    progress: &'a Progress,
    /// Bytes that were written, and all of them hashed.
    got: u64,
    hasher: Hasher,
    /// Whether parts are worth asking for.
    ranges: bool,
}

impl<'a> Pull<'a> {
    pub(super) fn new(
        client: &'a Client,
        target: &'a Target,
        descriptor: &'a Descriptor,
        asked: &'a str,
        progress: &'a Progress,
    ) -> Self {
        let hasher = descriptor.digest.hasher();
        Self { client, target, descriptor, asked, progress, got: 0, hasher, ranges: true }
    }

    pub(super) async fn run(mut self, into: &mut dyn Sink) -> Result<(), RegistryError> {
        let _transfer = self.client.transfer().await;
        let mut attempts = self.client.attempts();
        loop {
            let before = self.got;
            let Err(error) = self.go_on(into).await else { return Ok(()) };
            if error.is_damage() {
                // Which bytes are wrong, nobody can tell.
                into.restart().map_err(|source| self.local(source))?;
                (self.got, self.hasher) = (0, self.descriptor.digest.hasher());
            } else if self.got == self.descriptor.size && self.got > 0 {
                // All is here, and only the end did not come.
                return same_digest(self.asked, self.descriptor.digest, self.hasher.finish());
            } else {
                attempts.moved(self.got - before);
            }
            attempts.again(error).await?;
        }
    }

    fn local(&self, source: io::Error) -> RegistryError {
        RegistryError::Local { asked: self.asked.to_owned(), source }
    }

    fn mismatch(&self, found: u64, more: bool) -> RegistryError {
        RegistryError::SizeMismatch {
            asked: self.asked.to_owned(),
            expected: self.descriptor.size,
            found,
            more,
        }
    }

    /// Asks for what is missing, and takes it.
    async fn go_on(&mut self, into: &mut dyn Sink) -> Result<(), RegistryError> {
        let (target, size) = (self.target, self.descriptor.size);
        let url = target.url(&format!("blobs/{}", self.descriptor.digest));
        let mut request = Request::new(Method::GET, url, self.asked);
        let part = self.got > 0 && self.ranges;
        if part {
            request = request.header(RANGE, &format!("bytes={}-", self.got));
        }
        let response = self.client.request(target, &[target.pull_scope()], &request).await?;
        let from = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if part && begins(&response) == Some(self.got) => self.got,
            // A registry that answers with another part, or says that there is none, is asked for all.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if part => {
                self.ranges = false;
                return Box::pin(self.go_on(into)).await;
            }
            StatusCode::PARTIAL_CONTENT => {
                return Err(broken(self.asked, &response, "sends a part, and was asked for all"));
            }
            _ => return Err(self.client.refused(target, self.asked, response).await),
        };
        // A part may be shorter than what was asked for; then the next one is asked for.
        let fits = |end: u64| if from > 0 { end <= size } else { end == size };
        let end = response.content_length().map(|length| from.saturating_add(length));
        if let Some(end) = end.filter(|end| !fits(*end)) {
            return Err(self.mismatch(end, end > size));
        }
        let (asked, host) = (self.asked, host_of(response.url()));
        let moved = Moved::default();
        let client = self.client;
        let receive = self.receive(response, from, into, &moved);
        let received = client.transport().limits.watch(&moved, Grace::default(), receive).await;
        received.map_err(|stop| stop.error(asked, host))?
    }

    /// Takes a body whose first byte is that at `at`; what is here already is passed over.
    async fn receive(
        &mut self,
        mut response: Response,
        mut at: u64,
        into: &mut dyn Sink,
        moved: &Moved,
    ) -> Result<(), RegistryError> {
        let host = host_of(response.url());
        loop {
            let chunk = match response.chunk().await {
                // All is here: how the connection ends is nobody's concern.
                Ok(None) | Err(_) if self.got == self.descriptor.size => break,
                Ok(None) => {
                    let (asked, expected) = (self.asked.to_owned(), self.descriptor.size);
                    return Err(RegistryError::Cut { asked, host, expected, found: at });
                }
                Ok(Some(chunk)) => chunk,
                Err(error) => return Err(RegistryError::of_transport(self.asked, host, error)),
            };
            moved.add(chunk.len());
            let known = self.got.saturating_sub(at).min(chunk.len() as u64);
            at += chunk.len() as u64;
            if at > self.descriptor.size {
                return Err(self.mismatch(at, true));
            }
            let new = chunk.get(known as usize..).unwrap_or_default(); // at most the chunk's length
            self.hasher.update(new);
            into.write_all(new).map_err(|source| self.local(source))?;
            self.got += new.len() as u64;
            self.progress.advance(new.len() as u64);
        }
        same_digest(self.asked, self.descriptor.digest, self.hasher.clone().finish())
    }
}

/// Where the part begins that a response says that it is.
pub(super) fn begins(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
