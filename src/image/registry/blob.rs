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
        let wanted = Some(self.got).filter(|got| *got > 0 && self.ranges);
        let request = rest(Request::new(Method::GET, url, self.asked), wanted);
        let response = self.client.request(target, &[target.pull_scope()], &request).await?;
        let from = match Part::of(&response, wanted) {
            Part::From(from) => from,
            Part::Another => {
                self.ranges = false;
                return Box::pin(self.go_on(into)).await;
            }
            Part::None if response.status() == StatusCode::PARTIAL_CONTENT => {
                return Err(broken(self.asked, &response, "sends a part, and was asked for all"));
            }
            Part::None => return Err(self.client.refused(target, self.asked, response).await),
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
        let received = client.transport().limits.watch(&moved, Grace::None, receive).await;
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
            let new = unseen(&chunk, at, self.got);
            at += chunk.len() as u64;
            if at > self.descriptor.size {
                return Err(self.mismatch(at, true));
            }
            self.hasher.update(new);
            into.write_all(new).map_err(|source| self.local(source))?;
            self.got += new.len() as u64;
            self.progress.advance(new.len() as u64);
        }
        same_digest(self.asked, self.descriptor.digest, self.hasher.clone().finish())
    }
}

/// A request for the bytes from `wanted` on, if not for all.
pub(super) fn rest(request: Request<'_>, wanted: Option<u64>) -> Request<'_> {
    match wanted {
        Some(from) => request.header(RANGE, &format!("bytes={from}-")),
        None => request,
    }
}

/// What an answer to [`rest`] holds.
pub(super) enum Part {
    /// Bytes from this one on, not behind what is wanted.
    From(u64),
    /// Another part, or none: all is to be asked for.
    Another,
    /// No bytes that were asked for.
    None,
}

impl Part {
    pub(super) fn of(response: &Response, wanted: Option<u64>) -> Self {
        match response.status() {
            StatusCode::OK => Self::From(0),
            StatusCode::PARTIAL_CONTENT => match wanted {
                Some(from) if begins(response) == Some(from) => Self::From(from),
                Some(_) => Self::Another,
                None => Self::None,
            },
            StatusCode::RANGE_NOT_SATISFIABLE if wanted.is_some() => Self::Another,
            _ => Self::None,
        }
    }
}

/// What of a chunk is new, whose first byte is that at `at`, to who has `got` bytes.
pub(super) fn unseen(chunk: &[u8], at: u64, got: u64) -> &[u8] {
    let known = got.saturating_sub(at).min(chunk.len() as u64);
    chunk.get(known as usize..).unwrap_or_default() // at most the chunk's length
}

/// Where the part begins that a response says that it is.
fn begins(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
