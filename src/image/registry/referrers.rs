//! What hangs on an image in its registry (distribution-spec, "Listing Referrers").

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::client::Client;
use super::error::RegistryError;
use super::transport::{Request, broken, lacks_method};
use crate::base::Digest;
use crate::image::descriptor::{Descriptor, media_type};
use crate::image::reference::RegistryReference;

/// The most bytes of a list: some ten thousand signatures.
const LIST_LIMIT: u64 = 4 << 20;

/// The part of an index that counts.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Client {
    /// What refers to the manifest or index with this digest: by the registry's list or, where it keeps none, by the
    /// tag that stands for one. Nothing, where there is neither.
    pub fn referrers(
        &self,
        repository: &RegistryReference,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let asked = format!("list what refers to `{digest}` in `{}`", repository.name());
        let target = self.target(repository)?;
        let places = [
            format!("referrers/{digest}"),
            // "Unavailable Referrers API": the tag is the digest with a `-`.
            format!("manifests/{}-{}", digest.algorithm(), digest.hex()),
        ];
        self.blocking(&asked, async || {
            for place in &places {
                let request = Request::new(Method::GET, target.url(place), &asked);
                let request = request.header(ACCEPT, media_type::OCI_INDEX);
                let response = self.request(&target, &[target.pull_scope()], &request).await?;
                match response.status() {
                    StatusCode::OK => {
                        let no_list = broken(&asked, &response, "answers with no list of referrers");
                        let body = self.transport().read_body(&asked, response, LIST_LIMIT).await?;
                        let list: List = serde_json::from_slice(&body).map_err(|_| no_list)?;
                        return Ok(list.manifests);
                    }
                    StatusCode::NOT_FOUND => {}
                    status if lacks_method(status) => {}
                    _ => return Err(self.refused(&target, &asked, response).await),
                }
            }
            Ok(Vec::new())
        })
    }
}
