//! The one way out: every request of this folder, to registries and token servers alike, goes through
//! [`Transport::send`]. Offline, proxies, TLS, redirects, and how long nothing may move are settled here.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Method, Response, StatusCode, Url};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{Answer, RegistryError};
use super::options::{Environment, Options, TlsIdentity};
use super::patience::{Grace, Limits, Moved};
use super::upload::Upload;
use crate::base::{Secret, fsio};

/// Registries redirect once, to where their blobs lie; more than a few is a loop.
const MAX_REDIRECTS: usize = 5;
/// Long enough for a slow link's handshake, short enough to notice a host that is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Bundles of every public authority have about 250 kB.
const CA_FILE_LIMIT: u64 = 4 << 20;
/// Hosts that no proxy is asked for: what is on this machine, a proxy elsewhere cannot reach.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1";

/// A request, which can be sent any number of times: a redirect or a 401 sends it again.
#[derive(Clone)]
pub(super) struct Request<'a> {
    /// Completes "cannot …" in errors.
    pub(super) asked: &'a str,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Body<'a>,
    /// Bytes that the registry looks at before it answers.
    pub(super) settles: u64,
    /// Whether the request is to the registry itself, which may ask who this client is.
    pub(super) own: bool,
}

/// The body of a request.
#[derive(Clone)]
pub(super) enum Body<'a> {
    None,
    Bytes(&'static str, Bytes),
    /// Bytes of a content, from the first on, up to the second.
    Content(&'a Upload, u64, u64),
    /// What grows, to its end, which nobody knows before.
    Stream(&'a Upload),
}

impl<'a> Request<'a> {
    /// A request without a body.
    pub(super) fn new(method: Method, url: Url, asked: &'a str) -> Self {
        let (headers, body) = (Vec::new(), Body::None);
        Self { asked, method, url, headers, body, settles: 0, own: false }
    }

    /// The same with one more header; a value that is no header value is left out.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The same with so many bytes that the registry looks at before it answers.
    pub(super) fn settles(self, bytes: u64) -> Self {
        Self { settles: bytes, ..self }
    }

    /// The same with a body.
    pub(super) fn body(self, body: Body<'a>) -> Self {
        Self { body, ..self }
    }
}

/// HTTP clients, each made when it is first needed: the one for plain HTTP has no TLS roots, so that a machine without
/// any can speak to its own registry.
pub(super) struct Transport {
    options: Arc<Options>,
    pub(super) limits: Limits,
    plain: OnceLock<reqwest::Client>,
    tls: OnceLock<reqwest::Client>,
    /// With a certificate of this client.
    own: OnceLock<reqwest::Client>,
}

impl Transport {
    pub(super) fn new(options: Arc<Options>) -> Self {
        let limits = Limits::new(options.clock.clone(), options.patience);
        Self { options, limits, plain: OnceLock::new(), tls: OnceLock::new(), own: OnceLock::new() }
    }

    /// Sends `request` and follows redirects. `authorization` goes to the request's own origin and
    /// to no other. Gives whatever status came in the end.
    pub(super) async fn send(
        &self,
        request: &Request<'_>,
        authorization: Option<&Secret>,
    ) -> Result<Response, RegistryError> {
        if self.options.offline {
            return Err(RegistryError::Offline { asked: request.asked.to_owned() });
        }
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let authorization = authorization.filter(|_| same_origin(&url, &request.url));
            let response = self.send_once(request, &url, authorization).await?;
            match redirect(request, &response)? {
                Some(next) => url = next,
                None => return Ok(response),
            }
        }
        let why = format!("redirects more than {MAX_REDIRECTS} times");
        Err(RegistryError::Protocol { asked: request.asked.to_owned(), host: host_of(&request.url), why })
    }

    async fn send_once(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&Secret>,
    ) -> Result<Response, RegistryError> {
        // Whoever a request is led to elsewhere is not told who this client is.
        let own = request.own && same_origin(url, &request.url);
        let client = self.client(url.scheme() == "https", own)?;
        let moved = Moved::default();
        let mut grace = Grace::After { sent: 0, settles: request.settles };
        let mut wire = client.request(request.method.clone(), url.clone());
        let mut headers: HeaderMap = request.headers.iter().cloned().collect();
        if let Some(mut value) = authorization.and_then(|text| HeaderValue::from_str(text.reveal()).ok()) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        match &request.body {
            Body::None if request.method == Method::GET || request.method == Method::HEAD => {}
            Body::None => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            Body::Bytes(media_type, bytes) => {
                headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(media_type));
                wire = wire.body(bytes.clone());
            }
            Body::Content(upload, from, to) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(to - from));
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
                wire = wire.body(upload.open(*from, *to, &moved));
                grace = Grace::After { sent: to - from, settles: request.settles };
            }
            Body::Stream(upload) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
                wire = wire.body(upload.open(0, u64::MAX, &moved));
                grace = Grace::Stream;
            }
        }
        let sent = self.limits.watch(&moved, grace, wire.headers(headers).send()).await;
        moved.set_answered(); // or given up
        // What broke the body here is the cause; that the connection broke is its effect.
        if let (Ok(Err(_)) | Err(_), Body::Content(upload, ..) | Body::Stream(upload)) =
            (&sent, &request.body)
            && let Some(fault) = upload.fault(request.asked)
        {
            return Err(fault);
        }
        let response = sent
            .map_err(|stop| stop.error(request.asked, host_of(url)))?
            .map_err(|error| RegistryError::of_transport(request.asked, host_of(url), error))?;
        self.limits.met(host_of(url));
        Ok(response)
    }

    /// The body of a response.
    pub(super) async fn read_body(
        &self,
        asked: &str,
        response: Response,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let host = host_of(response.url());
        let moved = Moved::default();
        match self.limits.watch(&moved, Grace::None, read_limited(response, limit, &moved)).await {
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Ok(None)) => Err(RegistryError::TooLarge { asked: asked.to_owned(), limit }),
            Ok(Err(error)) => Err(RegistryError::of_transport(asked, host, error)),
            Err(stop) => Err(stop.error(asked, host)),
        }
    }

    /// The error that a response without success stands for. Reads a little of its body, which also lets the
    /// connection be used again; one that does not come is none.
    pub(super) async fn refusal(&self, asked: &str, response: Response, credentials: bool) -> RegistryError {
        let (host, status) = (host_of(response.url()), response.status().as_u16());
        let headers = response.headers().clone();
        let body = self.read_body(asked, response, Answer::BODY_LIMIT).await.unwrap_or_default();
        RegistryError::of_answer(asked, host, Answer::of(status, &headers, &body), credentials)
    }

    /// The client for a scheme; for a registry itself that with this client's certificate, if there is one.
    fn client(&self, tls: bool, own: bool) -> Result<&reqwest::Client, RegistryError> {
        let own = own && self.options.tls_identity.is_some();
        let cell = match (tls, own) {
            (false, _) => &self.plain,
            (true, false) => &self.tls,
            (true, true) => &self.own,
        };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let roots = if tls { roots(&self.options)? } else { rustls::RootCertStore::empty() };
        let identity = if tls && own { identity(&self.options)? } else { None };
        let client = build(roots, identity, &self.options.environment)?;
        Ok(cell.get_or_init(|| client)) // of two threads that race, one throws its client away
    }
}

/// The system's authorities and those of `--tls-ca`. A machine without any has none: connections
/// then fail with an error that says so. (`rustls-native-certs` honours `SSL_CERT_FILE`.)
fn roots(options: &Options) -> Result<rustls::RootCertStore, RegistryError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &options.tls_ca {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| unusable(path, error.to_string()))?;
        }
    }
    Ok(roots)
}

fn unusable(path: &Path, why: impl Into<String>) -> RegistryError {
    RegistryError::Option { what: format!("`{}`", path.display()), why: why.into() }
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let pem = fsio::read(path, CA_FILE_LIMIT)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| unusable(path, "it is no PEM file"))?;
    match certificates.is_empty() {
        true => Err(unusable(path, "it holds no certificate in PEM form")),
        false => Ok(certificates),
    }
}

/// What this client shows a registry that asks who it is.
fn identity(options: &Options) -> Result<Option<Identity>, RegistryError> {
    let Some(TlsIdentity { certificate, key }) = &options.tls_identity else { return Ok(None) };
    let chain = certificates(certificate)?;
    let pem = fsio::read(key, CA_FILE_LIMIT)?;
    // The parser's own words could quote the file.
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| unusable(key, "it holds no private key in PEM form (one that is not encrypted)"))?;
    Ok(Some((chain, key)))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn build(
    roots: rustls::RootCertStore,
    identity: Option<Identity>,
    environment: &Environment,
) -> Result<reqwest::Client, RegistryError> {
    let unusable = |error: &dyn std::fmt::Display| RegistryError::Option {
        what: "the HTTP client".to_owned(),
        why: error.to_string(),
    };
    // The provider is named, not taken from the process: a library installs nothing globally.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots);
    let mut tls = match identity {
        None => tls.with_no_client_auth(),
        Some((chain, key)) => {
            tls.with_client_auth_cert(chain, key).map_err(|error| RegistryError::Option {
                what: "the client's certificate".to_owned(),
                why: format!("with its key: {error}"),
            })?
        }
    };
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .user_agent(concat!("talosmith/", env!("CARGO_PKG_VERSION")))
        .no_proxy(); // otherwise the client would read the environment by itself
    for proxy in proxies(environment)? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| unusable(&error.without_url()))
}

fn proxies(environment: &Environment) -> Result<Vec<reqwest::Proxy>, RegistryError> {
    type Make = fn(&str) -> reqwest::Result<reqwest::Proxy>;
    let pairs: [(&str, &Option<Secret>, Make); 2] = [
        ("http_proxy", &environment.http_proxy, |url| reqwest::Proxy::http(url)),
        ("https_proxy", &environment.https_proxy, |url| reqwest::Proxy::https(url)),
    ];
    let except = match &environment.no_proxy {
        Some(list) => format!("{list},{NEVER_PROXIED}"),
        None => NEVER_PROXIED.to_owned(),
    };
    let set = pairs.into_iter().filter_map(|(name, url, make)| Some((name, url.as_ref()?, make)));
    set.map(|(name, url, make)| {
        // The parser's own words would repeat the URL, and with it a password.
        let unusable =
            |_| RegistryError::Option { what: format!("`{name}`"), why: "it is no proxy URL".to_owned() };
        let proxy = make(url.reveal()).map_err(unusable)?;
        Ok(proxy.no_proxy(reqwest::NoProxy::from_string(&except)))
    })
    .collect()
}

/// Where a response sends `request` instead. A body is sent elsewhere only where the status keeps
/// the method (307, 308).
fn redirect(request: &Request<'_>, response: &Response) -> Result<Option<Url>, RegistryError> {
    let reads = request.method == Method::GET || request.method == Method::HEAD;
    let follows = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => reads,
        _ => false,
    };
    if !follows {
        return Ok(None);
    }
    match location(request.asked, response)? {
        Some(next) => Ok(Some(next)),
        None => Err(broken(request.asked, response, "redirects without saying where")),
    }
}

/// Whether a registry says that it does not do such things at all (RFC 9110, 15.5.6 and 15.6.2).
pub(super) fn lacks_method(status: StatusCode) -> bool {
    matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
}

/// The `Location` of a response, made absolute; its query is kept as it is.
pub(super) fn location(asked: &str, response: &Response) -> Result<Option<Url>, RegistryError> {
    let Some(value) = response.headers().get(LOCATION) else { return Ok(None) };
    let text = value.to_str().ok();
    let url = text.and_then(|text| response.url().join(text).ok());
    let url = url.ok_or_else(|| broken(asked, response, "sends a `Location` that is no URL"))?;
    match (response.url().scheme(), url.scheme()) {
        ("http", "http" | "https") | ("https", "https") => Ok(Some(url)),
        ("https", "http") => Err(broken(asked, response, "leads from HTTPS to plain HTTP")),
        _ => Err(broken(asked, response, "leads to a URL that is not HTTP")),
    }
}

/// An answer of `response`'s host that breaks the protocol.
pub(super) fn broken(asked: &str, response: &Response, why: impl Into<String>) -> RegistryError {
    let (asked, host) = (asked.to_owned(), host_of(response.url()));
    RegistryError::Protocol { asked, host, why: why.into() }
}

/// Whether two URLs have scheme, host and port in common.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// `host[:port]` of a URL: all of it that an error shows.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The body of a response, or `None` if it has more than `limit` bytes.
async fn read_limited(mut response: Response, limit: u64, moved: &Moved) -> reqwest::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        moved.add(chunk.len());
        if bytes.len() as u64 + chunk.len() as u64 > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}
