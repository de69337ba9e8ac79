//! What the caller decides about registries, and the values of the environment that bear on them.
//! The library reads no environment itself: the command line passes the values in.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::clock::Clock;
use super::patience::Patience;
use crate::base::{Event, Events, Secret};

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct Options {
    /// To whom plain HTTP is spoken beside loopback hosts.
    pub plain_http: PlainHttp,
    /// Every use of the network is an error that names what was missing.
    pub offline: bool,
    /// A PEM file of certificate authorities that are trusted beside the system's.
    pub tls_ca: Option<PathBuf>,
    /// What this client shows a registry that asks who it is.
    pub tls_identity: Option<TlsIdentity>,
    /// A file of credentials that is asked before all others; it must exist.
    pub auth_file: Option<PathBuf>,
    /// See [`Environment`].
    pub environment: Environment,
    /// How many blobs are under way at once, at least one.
    pub transfers: usize,
    /// What is put up with.
    pub patience: Patience,
    /// What waiting is measured by.
    pub clock: Clock,
}

impl Options {
    /// Blobs that are under way at once, if nothing is said: as many clients have it.
    pub const TRANSFERS: usize = 4;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: PlainHttp::default(),
            offline: false,
            tls_ca: None,
            tls_identity: None,
            auth_file: None,
            environment: Environment::default(),
            transfers: Self::TRANSFERS,
            patience: Patience::default(),
            clock: Clock::default(),
        }
    }
}

/// Hosts that are spoken to in plain HTTP. That loopback hosts are, goes without saying.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// No others.
    #[default]
    Loopback,
    /// These, each `HOST[:PORT]`; without a port, the host whatever the port.
    Hosts(Vec<String>),
    /// All.
    Everywhere,
}

impl PlainHttp {
    /// Whether `host`, with its port if it has one, is among them.
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Loopback => false,
            Self::Everywhere => true,
            Self::Hosts(hosts) => {
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
                hosts.iter().any(|one| one.eq_ignore_ascii_case(host) || one.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// A certificate of this client (PEM, with those that lead to an authority) and its private key (PEM).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificates.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// The environment's values. A value that is not set, or empty, is `None`.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `HOME`
    pub home: Option<PathBuf>,
    /// `PATH`, in which credential helpers are looked up.
    pub path: Option<OsString>,
    /// `XDG_RUNTIME_DIR`
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `DOCKER_CONFIG`, a directory.
    pub docker_config: Option<PathBuf>,
    /// `REGISTRY_AUTH_FILE`
    pub registry_auth_file: Option<PathBuf>,
    /// `http_proxy`, or `HTTP_PROXY` where `REQUEST_METHOD` is not set: a CGI server sets it from a request's
    /// `Proxy` header. A secret, since its URL may hold a password.
    pub http_proxy: Option<Secret>,
    /// `https_proxy` or `HTTPS_PROXY`
    pub https_proxy: Option<Secret>,
    /// `no_proxy` or `NO_PROXY`
    pub no_proxy: Option<String>,
}

impl Environment {
    /// Takes the values from `lookup`, which the command line makes of `std::env::var_os`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let path = |name: &str| value(name).map(PathBuf::from);
        let text = |names: &[&str]| {
            names.iter().find_map(|name| value(name)).map(|value| value.to_string_lossy().into_owned())
        };
        Self {
            home: path("HOME"),
            path: value("PATH"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            docker_config: path("DOCKER_CONFIG"),
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            http_proxy: match value("REQUEST_METHOD") {
                None => text(&["http_proxy", "HTTP_PROXY"]),
                Some(_) => text(&["http_proxy"]),
            }
            .map(Secret::new),
            https_proxy: text(&["https_proxy", "HTTPS_PROXY"]).map(Secret::new),
            no_proxy: text(&["no_proxy", "NO_PROXY"]),
        }
    }
}

/// Who is told of bytes that went over the wire. Cheap to clone; the default tells nobody. Bytes
/// that have to be sent twice are told twice.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(u64) + Send + Sync>>);

impl Progress {
    /// Calls `listener`, from any thread, with the bytes since the last call.
    pub fn new(listener: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Emits [`Event::Advanced`] for the step `id`.
    pub fn of(events: &Events, id: u64) -> Self {
        let events = events.clone();
        Self::new(move |bytes| events.emit(Event::Advanced { id, bytes }))
    }

    /// `bytes` more went over the wire.
    pub fn advance(&self, bytes: u64) {
        if let Some(listener) = &self.0 {
            listener(bytes);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
