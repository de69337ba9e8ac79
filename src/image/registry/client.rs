//! The client itself: its runtime, and requests that carry an authorization.
//!
//! The rest of the crate is synchronous, so the methods block. They are called from ordinary
//! threads, never from inside an asynchronous runtime, where blocking panics.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use reqwest::{Response, StatusCode, Url};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::auth::Auth;
use super::credentials::{Credentials, is_docker_hub};
use super::early::Begun;
use super::error::RegistryError;
use super::options::{Options, PlainHttp};
use super::patience::{Attempts, is_transient};
use super::transport::{Request, Transport, host_of, same_origin};
use crate::base::{Digest, Events, Turn, Turns, locked};
use crate::image::reference::RegistryReference;

/// Blobs that are sent while they are made, at most: each has a connection, and two threads that wait.
const STREAMS: usize = 4;

/// A client of registries. Cheap to make (nothing is started or loaded before it is needed), cheap
/// to clone; clones share connections, tokens and the runtime.
#[derive(Clone)]
pub struct Client(Arc<Inner>, Option<u32>);

struct Inner {
    options: Arc<Options>,
    transport: Transport,
    auth: Auth,
    events: Events,
    transfers: Semaphore,
    turns: Turns<Blob>,
    /// Permits for blobs that are sent while they are made. They wait for what makes them, which may wait for other
    /// transfers: so these are none of those.
    streams: Semaphore,
    /// What there is of blobs before they are pushed.
    begun: Mutex<HashMap<Blob, Begun>>,
    /// Hosts that have refused a blob of which they were not told the length.
    no_streams: Mutex<HashSet<String>>,
    runtime: OnceLock<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: a name that is being resolved must not hold up the end.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; warnings go to `events`, and what is tried again. A deadline begins now.
    pub fn new(options: Options, events: Events) -> Self {
        let options = Arc::new(options);
        let inner = Arc::new(Inner {
            transport: Transport::new(Arc::clone(&options)),
            auth: Auth::new(Credentials::new(Arc::clone(&options), events.clone())),
            events,
            transfers: Semaphore::new(transfers(&options)),
            turns: Turns::default(),
            streams: Semaphore::new(STREAMS),
            begun: Mutex::default(),
            no_streams: Mutex::default(),
            options,
            runtime: OnceLock::new(),
        });
        Self(inner, None)
    }

    /// The same client, which tries things no more than so many times: for what can be done without.
    #[must_use]
    pub fn hasty(&self, tries: u32) -> Self {
        Self(Arc::clone(&self.0), Some(tries))
    }

    /// Waits until nobody else moves this blob to or from this repository, and keeps others from it until the guard
    /// is dropped: who asks for what is under way then finds it.
    pub fn turn(&self, repository: &RegistryReference, digest: &Digest) -> Turn<Blob> {
        self.0.turns.take((repository.name(), *digest))
    }

    /// The same without waiting: nothing, if somebody else has it.
    pub(super) fn free_turn(&self, repository: &RegistryReference, digest: &Digest) -> Option<Turn<Blob>> {
        self.0.turns.take_free((repository.name(), *digest))
    }

    /// Runs `work` on this thread; connections are served by the runtime's two.
    pub(super) fn block_on<T>(
        &self,
        asked: &str,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let local = |source| RegistryError::Local { asked: asked.to_owned(), source };
        self.runtime().map_err(local)?.block_on(work)
    }

    /// Starts `work` on a thread of its own, and does not wait for it.
    pub(super) fn start<F: Future<Output = ()>>(
        &self,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<()> {
        let handle = self.runtime()?.handle().clone();
        let thread = std::thread::Builder::new().name("registry".to_owned());
        thread.spawn(move || handle.block_on(work())).map(drop)
    }

    fn runtime(&self) -> io::Result<&Runtime> {
        if let Some(runtime) = self.0.runtime.get() {
            return Ok(runtime);
        }
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let builder = builder.worker_threads(2).thread_name("registry").enable_all();
        let runtime = builder.build()?;
        Ok(self.0.runtime.get_or_init(|| runtime))
    }

    /// How many blobs are under way at once, whoever asks for them: more threads than that would only wait.
    pub fn transfers(&self) -> usize {
        transfers(&self.0.options)
    }

    /// Held while a blob is under way.
    pub(super) async fn transfer(&self) -> Option<SemaphorePermit<'_>> {
        self.0.transfers.acquire().await.ok() // nobody closes it
    }

    /// Leave to send a blob while it is made; nothing, if enough are.
    pub(super) fn stream(&self) -> Option<SemaphorePermit<'_>> {
        self.0.streams.try_acquire().ok()
    }

    /// Whether a host has refused that.
    pub(super) fn refuses_streams(&self, host: &str) -> bool {
        locked(&self.0.no_streams).contains(host)
    }

    /// Notes that it has.
    pub(super) fn note_refused_stream(&self, host: String) {
        locked(&self.0.no_streams).insert(host);
    }

    /// Keeps what there is of a blob for who pushes it.
    pub(super) fn leave(&self, repository: &RegistryReference, digest: &Digest, begun: Begun) {
        locked(&self.0.begun).insert((repository.name(), *digest), begun);
    }

    /// Whether there is something of it.
    pub(crate) fn has_begun(&self, repository: &RegistryReference, digest: &Digest) -> bool {
        locked(&self.0.begun).contains_key(&(repository.name(), *digest))
    }

    /// Takes what there is of it.
    pub(super) fn begun(&self, repository: &RegistryReference, digest: &Digest) -> Option<Begun> {
        locked(&self.0.begun).remove(&(repository.name(), *digest))
    }

    pub(super) fn offline(&self) -> bool {
        self.0.options.offline
    }

    pub(super) fn events(&self) -> &Events {
        &self.0.events
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// One thing that may have to be tried several times.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.0.transport.limits, &self.0.events, self.1)
    }

    /// Does `work`, anew if it fails in a way that another try may mend. It is to be as good twice as once.
    pub(super) async fn retrying<T>(
        &self,
        work: impl AsyncFn() -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut attempts = self.attempts();
        loop {
            match work().await {
                Ok(done) => return Ok(done),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    /// [`Client::block_on`] of [`Client::retrying`].
    pub(super) fn blocking<T>(
        &self,
        asked: &str,
        work: impl AsyncFn() -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        self.block_on(asked, self.retrying(work))
    }

    /// Where the requests for `reference` go.
    pub(super) fn target(&self, reference: &RegistryReference) -> Result<Target, RegistryError> {
        Target::of(reference, &self.0.options.plain_http)
    }

    /// Sends `request` with the authorization that `target` wants for `scopes`. The first request
    /// carries none: whether one is needed, the 401 says. A token that is refused is fetched anew,
    /// once. A 401 that remains is an error, and so is a status that says "later"; any other is the caller's.
    pub(super) async fn request(
        &self,
        target: &Target,
        scopes: &[String],
        request: &Request<'_>,
    ) -> Result<Response, RegistryError> {
        let Inner { transport, auth, .. } = &*self.0;
        if !same_origin(&request.url, &target.base) {
            // An upload session may lie on another host. It gets no credentials.
            return self.authorised(target, request, transport.send(request, None).await?).await;
        }
        let request = &Request { own: true, ..request.clone() };
        let mut value = auth.value(transport, target, scopes, None).await?;
        let response = transport.send(request, value.as_ref()).await?;
        let demanded = response.status() == StatusCode::UNAUTHORIZED
            && same_origin(response.url(), &target.base) // a host that was redirected to demands nothing
            && auth.learn(target, response.headers());
        if !demanded {
            return self.authorised(target, request, response).await;
        }
        let refused = value.take();
        value = auth.value(transport, target, scopes, refused.as_ref()).await?;
        if value.is_none() || value == refused {
            return self.authorised(target, request, response).await;
        }
        // Read to its end, so that the connection can be used again.
        let _ = transport.read_body(request.asked, response, 64 << 10).await;
        self.authorised(target, request, transport.send(request, value.as_ref()).await?).await
    }

    async fn authorised(
        &self,
        target: &Target,
        request: &Request<'_>,
        response: Response,
    ) -> Result<Response, RegistryError> {
        match response.status() {
            status if status == StatusCode::UNAUTHORIZED || is_transient(status.as_u16()) => {
                Err(self.refused(target, request.asked, response).await)
            }
            _ => Ok(response),
        }
    }

    /// The error that a response without success stands for.
    pub(super) async fn refused(&self, target: &Target, asked: &str, response: Response) -> RegistryError {
        let ours = same_origin(response.url(), &target.base);
        let credentials = ours && self.0.auth.has_credentials(target).await;
        self.0.transport.refusal(asked, response, credentials).await
    }
}

/// A blob on its way, by `host/repository` and digest.
pub type Blob = (String, Digest);

fn transfers(options: &Options) -> usize {
    options.transfers.clamp(1, Semaphore::MAX_PERMITS)
}

/// A repository as requests address it.
#[derive(Clone)]
pub(super) struct Target {
    /// `https://host/`
    pub(super) base: Url,
    /// The repository's name in URLs and scopes.
    pub(super) repository: String,
    /// `host/repository` as the user wrote it: for errors, and to find credentials.
    pub(super) name: String,
    /// Whether the host is this machine.
    pub(super) loopback: bool,
}

impl Target {
    /// Docker Hub's registry has another name than its images, and its official images lie in
    /// `library/`.
    fn of(reference: &RegistryReference, plain_http: &PlainHttp) -> Result<Self, RegistryError> {
        let hub = is_docker_hub(&reference.host);
        let host = if hub { "registry-1.docker.io" } else { reference.host.as_str() };
        let repository = match hub && !reference.repository.contains('/') {
            true => format!("library/{}", reference.repository),
            false => reference.repository.clone(),
        };
        let loopback = reference.is_loopback();
        let scheme = if loopback || plain_http.covers(&reference.host) { "http" } else { "https" };
        let name = reference.name();
        let base = Url::parse(&format!("{scheme}://{host}/")).map_err(|error| RegistryError::Option {
            what: format!("`{name}`"),
            why: format!("its host is none that a URL can have: {error}"),
        })?;
        Ok(Self { base, repository, name, loopback })
    }

    /// `/v2/<repository>/<tail>`
    pub(super) fn url(&self, tail: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // Segment by segment: none of `.` and `..` leads out of the repository.
            path.clear().push("v2").extend(self.repository.split('/')).extend(tail.split('/'));
        }
        url
    }

    /// The scope to read from this repository.
    pub(super) fn pull_scope(&self) -> String {
        format!("repository:{}:pull", self.repository)
    }

    /// The scope to write to it. Reading is part of it: the registry is asked what it has.
    pub(super) fn push_scope(&self) -> String {
        format!("repository:{}:pull,push", self.repository)
    }

    pub(super) fn host(&self) -> String {
        host_of(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_a_repository() {
        let target = target("reg.example/a/b", &PlainHttp::Loopback);
        for tail in
            ["manifests/x/../../../c/manifests/1", "manifests/../../../c", "manifests/%2e%2e/%2e%2e/c"]
        {
            let url = target.url(tail);
            assert!(url.path().starts_with("/v2/a/b/manifests/"), "{url}");
        }
        assert_eq!(target.url("blobs/uploads/").path(), "/v2/a/b/blobs/uploads/");
        assert_eq!(target.url("blobs/sha256:00").path(), "/v2/a/b/blobs/sha256:00");
    }

    fn target(text: &str, plain_http: &PlainHttp) -> Target {
        Target::of(&text.parse().unwrap(), plain_http).unwrap()
    }

    #[test]
    fn docker_hub_is_addressed_by_its_registrys_name() {
        assert_eq!(
            target("docker.io/alpine", &PlainHttp::Loopback).url("tags/list").as_str(),
            "https://registry-1.docker.io/v2/library/alpine/tags/list"
        );
        assert_eq!(target("docker.io/acme/x", &PlainHttp::Loopback).repository, "acme/x");
        assert_eq!(target("docker.io/alpine", &PlainHttp::Loopback).name, "docker.io/alpine");
    }

    #[test]
    fn plain_http_is_spoken_to_this_machine_and_to_others_only_when_allowed() {
        assert_eq!(target("127.0.0.1:5000/a", &PlainHttp::Loopback).base.scheme(), "http");
        assert_eq!(target("[::1]:5000/a", &PlainHttp::Loopback).base.as_str(), "http://[::1]:5000/");
        assert_eq!(target("reg.example/a", &PlainHttp::Loopback).base.scheme(), "https");
        assert_eq!(target("reg.example/a", &PlainHttp::Everywhere).base.scheme(), "http");
        let named = PlainHttp::Hosts(vec!["reg.example".to_owned(), "other.example:5000".to_owned()]);
        for (host, scheme) in [
            ("reg.example", "http"),
            ("reg.example:8080", "http"),
            ("other.example:5000", "http"),
            ("other.example", "https"),
            ("not-reg.example", "https"),
        ] {
            assert_eq!(target(&format!("{host}/a"), &named).base.scheme(), scheme, "{host}");
        }
    }
}
