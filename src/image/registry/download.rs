//! Files that lie at a URL and in no registry: checked by whoever wants them.

use std::io::Write;

use reqwest::{Method, StatusCode, Url};

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
        let mut written = false;
        let mut attempts = self.attempts();
        self.block_on(&asked, async {
            loop {
                match self.download_once(&asked, &parsed, limit, into, &mut written).await {
                    // What was written cannot be taken back here.
                    Err(error) if written => return Err(error),
                    Err(error) => attempts.again(error).await?,
                    Ok(got) => return Ok(got),
                }
            }
        })
    }

    async fn download_once(
        &self,
        asked: &str,
        url: &Url,
        limit: u64,
        into: &mut dyn Write,
        written: &mut bool,
    ) -> Result<u64, RegistryError> {
        let transport = self.transport();
        let mut response = transport.send(&Request::new(Method::GET, url.clone(), asked), None).await?;
        if response.status() != StatusCode::OK {
            return Err(transport.refusal(asked, response, false).await);
        }
        let host = host_of(response.url());
        let broken =
            |why: String| RegistryError::Protocol { asked: asked.to_owned(), host: host.clone(), why };
        let announced = response.content_length();
        let mut got = 0;
        let moved = Moved::default();
        let receive = async {
            loop {
                let chunk = response.chunk().await;
                let chunk = chunk.map_err(|error| RegistryError::of_transport(asked, host.clone(), error))?;
                let Some(chunk) = chunk else { break };
                moved.add(chunk.len());
                got += chunk.len() as u64;
                if got > limit {
                    return Err(broken(format!("sends more than {limit} bytes")));
                }
                *written = true;
                into.write_all(&chunk)
                    .map_err(|source| RegistryError::Local { asked: asked.to_owned(), source })?;
            }
            match announced {
                Some(announced) if announced != got => {
                    Err(broken(format!("announces {announced} bytes and sends {got}")))
                }
                _ => Ok(got),
            }
        };
        let received = transport.limits.watch(&moved, Grace::default(), receive).await;
        received.map_err(|stop| stop.error(asked, host.clone()))?
    }
}
