//! Files that lie at a URL and in no registry: checked by whoever wants them.

use std::io::Write;

use reqwest::{Method, StatusCode, Url};

use super::client::Client;
use super::error::RegistryError;
use super::transport::{Request, host_of};

impl Client {
    /// Writes what lies at `url` (`http:`, `https:`) to `into`. No credentials are sent; redirects are followed. What
    /// is longer than `limit` is an error.
    pub fn download(&self, url: &str, limit: u64, into: &mut dyn Write) -> Result<u64, RegistryError> {
        // A query may hold a secret, as of a site's own mirror.
        let shown = url.split(['?', '#']).next().unwrap_or_default();
        let asked = format!("download `{shown}`");
        let broken = |host: String, why: String| RegistryError::Protocol { asked: asked.clone(), host, why };
        let parsed = Url::parse(url).map_err(|error| broken(String::new(), format!("is no URL: {error}")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            let why = format!("is asked for by `{}:`, which is not spoken here", parsed.scheme());
            return Err(broken(host_of(&parsed), why));
        }
        self.block_on(&asked, async {
            let request = Request::new(Method::GET, parsed, &asked);
            let mut response = self.send(&request).await?;
            if response.status() != StatusCode::OK {
                return Err(RegistryError::of_response(&asked, response, false).await);
            }
            let host = host_of(response.url());
            let announced = response.content_length();
            let mut got = 0;
            loop {
                let chunk = response.chunk().await;
                let chunk =
                    chunk.map_err(|error| RegistryError::of_transport(&asked, host.clone(), error))?;
                let Some(chunk) = chunk else { break };
                got += chunk.len() as u64;
                if got > limit {
                    return Err(broken(host, format!("sends more than {limit} bytes")));
                }
                into.write_all(&chunk)
                    .map_err(|source| RegistryError::Local { asked: asked.clone(), source })?;
            }
            match announced {
                Some(announced) if announced != got => {
                    Err(broken(host, format!("announces {announced} bytes and sends {got}")))
                }
                _ => Ok(got),
            }
        })
    }
}
