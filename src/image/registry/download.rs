//! Files that lie at a URL and in no registry: taken up where a connection broke, and checked by whoever wants them.

use std::io::Write;

use reqwest::header::{ETAG, HeaderValue, LAST_MODIFIED};
use reqwest::{Method, Response, Url};

use super::blob::{Part, rest, unseen};
use super::client::Client;
use super::error::RegistryError;
use super::patience::{Grace, Moved};
use super::transport::{Request, host_of};

impl Client {
    /// Writes what lies at `url` (`http:`, `https:`) to `into`. No credentials are sent; redirects are followed. What
    /// is longer than `limit` is an error.
    pub fn download(&self, url: &str, limit: u64, into: &mut dyn Write) -> Result<u64, RegistryError> {
        // A query may hold a secret, as of a site's own mirror, and so may what stands before an `@`.
        let shown = url.split(['?', '#']).next().unwrap_or_default();
        let shown = match shown.split_once("://") {
            Some((scheme, rest)) => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or_default())
            }
            None => shown.to_owned(),
        };
        let asked = format!("download `{shown}`");
        let broken = |host: String, why: String| RegistryError::Protocol { asked: asked.clone(), host, why };
        let parsed = Url::parse(url).map_err(|error| broken(String::new(), format!("is no URL: {error}")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            let why = format!("is asked for by `{}:`, which is not spoken here", parsed.scheme());
            return Err(broken(host_of(&parsed), why));
        }
        let mut download = Download {
            client: self,
            url: &parsed,
            asked: &asked,
            limit,
            got: 0,
            ranges: true,
            validator: None,
        };
        let mut attempts = self.attempts();
        self.block_on(&asked, async {
            loop {
                let before = download.got;
                let Err(error) = download.go_on(into).await else { return Ok(download.got) };
                attempts.moved(download.got - before);
                attempts.again(error).await?;
            }
        })
    }
}

/// A file on its way here. Whoever wants it holds it against its digest: a host need not say which file it gives.
struct Download<'a> {
    client: &'a Client,
    url: &'a Url,
    asked: &'a str,
    limit: u64,
    /// Bytes that were written.
    got: u64,
    /// Whether parts are worth asking for.
    ranges: bool,
    /// Which file it is (RFC 9110, section 8.8), where the host says so.
    validator: Option<HeaderValue>,
}

impl Download<'_> {
    /// Asks for what is missing, and takes it.
    async fn go_on(&mut self, into: &mut dyn Write) -> Result<(), RegistryError> {
        let (asked, transport) = (self.asked, self.client.transport());
        let wanted = Some(self.got).filter(|got| *got > 0 && self.ranges);
        let request = rest(Request::new(Method::GET, self.url.clone(), asked), wanted);
        let response = transport.send(&request, None).await?;
        let from = match Part::of(&response, wanted) {
            Part::From(from) => from,
            Part::Another => {
                self.ranges = false;
                return Box::pin(self.go_on(into)).await;
            }
            Part::None => return Err(transport.refusal(asked, response, false).await),
        };
        let host = host_of(response.url());
        let validator = [ETAG, LAST_MODIFIED].iter().find_map(|name| response.headers().get(name)).cloned();
        if self.got > 0 && validator != self.validator {
            let (asked, why) = (asked.to_owned(), "gives another file than when it was begun".to_owned());
            return Err(RegistryError::Protocol { asked, host, why });
        }
        self.validator = validator;
        let moved = Moved::default();
        let receive = self.receive(response, from, into, &moved);
        let received = transport.limits.watch(&moved, Grace::None, receive).await;
        received.map_err(|stop| stop.error(asked, host))?
    }

    /// Takes a body whose first byte is that at `at`; what is here already is passed over.
    async fn receive(
        &mut self,
        mut response: Response,
        mut at: u64,
        into: &mut dyn Write,
        moved: &Moved,
    ) -> Result<(), RegistryError> {
        let host = host_of(response.url());
        let end = response.content_length().map(|length| at.saturating_add(length));
        loop {
            let chunk = response.chunk().await;
            let chunk =
                chunk.map_err(|error| RegistryError::of_transport(self.asked, host.clone(), error))?;
            let Some(chunk) = chunk else { break };
            moved.add(chunk.len());
            let new = unseen(&chunk, at, self.got);
            at += chunk.len() as u64;
            if at > self.limit {
                let (asked, why) = (self.asked.to_owned(), format!("sends more than {} bytes", self.limit));
                return Err(RegistryError::Protocol { asked, host, why });
            }
            into.write_all(new)
                .map_err(|source| RegistryError::Local { asked: self.asked.to_owned(), source })?;
            self.got += new.len() as u64;
        }
        match end {
            Some(expected) if expected != at => {
                Err(RegistryError::Cut { asked: self.asked.to_owned(), host, expected, found: at })
            }
            _ => Ok(()),
        }
    }
}
