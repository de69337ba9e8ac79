//! Authorisation: what a registry demanded, and the tokens that were got for it
//! (<https://distribution.github.io/distribution/spec/auth/token/>,
//! <https://distribution.github.io/distribution/spec/auth/oauth/>).
//!
//! Tokens are kept for each registry and set of scopes until shortly before they expire. Their age is
//! told by the client's clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::client::Target;
use super::credentials::{Credential, Credentials};
use super::error::RegistryError;
use super::transport::{Body, Request, Transport, host_of, same_origin};
use crate::base::{Secret, locked};

/// Tokens carry signed claims; some registries' have tens of kilobytes.
const TOKEN_LIMIT: u64 = 1 << 20;
/// "Token Response Fields": a server that names no lifetime means 60 seconds.
const DEFAULT_LIFETIME: u64 = 60;

/// How a registry wants to be convinced.
#[derive(Debug, Clone)]
enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Clone)]
struct Token {
    /// The whole value of the `Authorization` header.
    value: Secret,
    until: Instant,
}

/// Held while a token is fetched, so that parallel requests fetch one.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// What is known of all registries.
pub(super) struct Auth {
    credentials: Credentials,
    schemes: Mutex<HashMap<String, Scheme>>,
    slots: Mutex<HashMap<(String, Vec<String>), Slot>>,
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, schemes: Mutex::default(), slots: Mutex::default() }
    }

    /// Whether credentials are known for a repository; decides on the hint of a refusal.
    pub(super) async fn has_credentials(&self, target: &Target) -> bool {
        self.credentials.find(&target.name).await.is_ok_and(|credential| credential.is_known())
    }

    /// The authorization for a request: none before the registry has demanded one. `refused` is a
    /// value that the registry no longer takes.
    pub(super) async fn value(
        &self,
        transport: &Transport,
        target: &Target,
        scopes: &[String],
        refused: Option<&Secret>,
    ) -> Result<Option<Secret>, RegistryError> {
        let origin = target.base.origin().ascii_serialization();
        let scheme = locked(&self.schemes).get(&origin).cloned();
        let Some(scheme) = scheme else { return Ok(None) };
        let credential = self.credentials.find(&target.name).await?;
        let (realm, service) = match scheme {
            Scheme::Basic => return Ok(credential.basic()),
            Scheme::Bearer { realm, service } => (realm, service),
        };
        if let Credential::RegistryToken(token) = &credential {
            return Ok(Some(bearer(token)));
        }
        let slot = Arc::clone(locked(&self.slots).entry((origin, scopes.to_vec())).or_default());
        let mut slot = slot.lock().await;
        let usable =
            |token: &&Token| token.until > transport.limits.clock.now() && Some(&token.value) != refused;
        if let Some(token) = slot.as_ref().filter(usable) {
            return Ok(Some(token.value.clone()));
        }
        *slot = None;
        let order = Order { target, realm, service: service.as_deref(), scopes };
        let token = order.fetch(transport, &credential).await?;
        Ok(Some(slot.insert(token).value.clone()))
    }

    /// Takes note of the challenges in a 401. Bearer goes before Basic: it is what a registry with
    /// both wants clients to use. Gives whether there was one that can be answered.
    pub(super) fn learn(&self, target: &Target, headers: &HeaderMap) -> bool {
        let challenges = Challenge::all(headers);
        let bearer = challenges.iter().filter(|challenge| challenge.scheme == "bearer").find_map(|bearer| {
            let realm = target.base.join(bearer.parameters.get("realm")?).ok()?;
            Some(Scheme::Bearer { realm, service: bearer.parameters.get("service").cloned() })
        });
        let basic =
            || challenges.iter().any(|challenge| challenge.scheme == "basic").then_some(Scheme::Basic);
        let Some(scheme) = bearer.or_else(basic) else { return false };
        locked(&self.schemes).insert(target.base.origin().ascii_serialization(), scheme);
        true
    }
}

/// A token that is wanted.
struct Order<'a> {
    target: &'a Target,
    realm: Url,
    service: Option<&'a str>,
    scopes: &'a [String],
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Order<'_> {
    async fn fetch(&self, transport: &Transport, credential: &Credential) -> Result<Token, RegistryError> {
        let host = host_of(&self.realm);
        let asked = format!("get a token for `{}` from `{host}`", self.target.name);
        let protocol = |why: &str| RegistryError::Protocol {
            asked: asked.clone(),
            host: host.clone(),
            why: why.to_owned(),
        };
        if !self.realm_is_safe() {
            return Err(protocol("is named as token server, and would get credentials over plain HTTP"));
        }
        let request = match credential {
            Credential::IdentityToken(token) => self.exchange(&asked, token),
            _ => self.get(&asked),
        };
        let start = transport.limits.clock.now();
        let response = transport.send(&request, credential.basic().as_ref()).await?;
        if !response.status().is_success() {
            return Err(transport.refusal(&asked, response, credential.is_known()).await);
        }
        let body = transport.read_body(&asked, response, TOKEN_LIMIT).await?;
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| protocol("answers with no token"))?;
        let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
        let token =
            token.filter(|token| !token.is_empty()).ok_or_else(|| protocol("answers with no token"))?;
        // A tenth is kept back, so that a token does not expire on its way to the registry.
        let lifetime = answer.expires_in.unwrap_or(DEFAULT_LIFETIME).min(24 * 3600);
        let until = start + Duration::from_millis(lifetime * 900);
        Ok(Token { value: bearer(&Secret::new(token)), until })
    }

    /// Over HTTPS, any token server that an HTTPS registry names is trusted with the credentials
    /// for that registry. Plain HTTP is for a registry that is spoken to in plain HTTP itself, and
    /// then for its own host or, if that is this machine, for this machine.
    fn realm_is_safe(&self) -> bool {
        let base = &self.target.base;
        match (base.scheme(), self.realm.scheme()) {
            (_, "https") => true,
            ("http", "http") => {
                same_origin(base, &self.realm)
                    || base.host_str() == self.realm.host_str()
                    || (self.target.loopback && is_loopback(&self.realm))
            }
            _ => false,
        }
    }

    fn get<'a>(&self, asked: &'a str) -> Request<'a> {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            for scope in self.scopes {
                query.append_pair("scope", scope);
            }
        }
        Request::new(Method::GET, url, asked)
    }

    fn exchange<'a>(&self, asked: &'a str, token: &Secret) -> Request<'a> {
        let mut form = self.realm.clone();
        form.set_query(None);
        form.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", self.service.unwrap_or_default())
            .append_pair("client_id", "talosmith")
            .append_pair("scope", &self.scopes.join(" "))
            .append_pair("refresh_token", token.reveal());
        // A URL's query has the encoding of a form.
        let body = Bytes::from(form.query().unwrap_or_default().to_owned());
        Request::new(Method::POST, self.realm.clone(), asked)
            .body(Body::Bytes("application/x-www-form-urlencoded", body))
    }
}

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.reveal()))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
