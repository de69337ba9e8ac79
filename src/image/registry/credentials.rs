//! Where credentials come from: docker's `config.json` and podman's `auth.json`
//! (containers-auth.json(5)), which share one format.
//!
//! Files are asked in this order, and the first that knows the repository decides: `--auth-file`,
//! `REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`,
//! `$DOCKER_CONFIG/config.json` (or `~/.docker/config.json`). Within a file: `credHelpers`, then
//! `credsStore`, then `auths`, as docker does. Among keys the longest that the repository begins
//! with wins.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::error::RegistryError;
use super::helper;
use super::options::Options;
use crate::base::{Events, Secret, fsio};

/// Such files hold a handful of entries.
const FILE_LIMIT: u64 = 1 << 20;

/// What a registry is convinced with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credential {
    Anonymous,
    Password {
        username: String,
        password: Secret,
    },
    /// An OAuth 2 refresh token, to be exchanged at the token server.
    IdentityToken(Secret),
    /// A bearer token, used as it is.
    RegistryToken(Secret),
}

impl Credential {
    pub(super) fn is_known(&self) -> bool {
        *self != Self::Anonymous
    }

    /// The value of a `Basic` authorization, where there is a password.
    pub(super) fn basic(&self) -> Option<Secret> {
        match self {
            Self::Password { username, password } => {
                let pair = format!("{username}:{}", password.reveal());
                Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
            }
            _ => None,
        }
    }
}

/// Finds credentials, each once: a helper is not asked again for the same repository.
pub(super) struct Credentials {
    options: Arc<Options>,
    events: Events,
    known: tokio::sync::Mutex<HashMap<String, Credential>>,
}

impl Credentials {
    pub(super) fn new(options: Arc<Options>, events: Events) -> Self {
        Self { options, events, known: tokio::sync::Mutex::default() }
    }

    /// What is known for `name`, a `host/repository`.
    pub(super) async fn find(&self, name: &str) -> Result<Credential, RegistryError> {
        // Held while searching: two requests must not start two helpers for the same thing.
        let mut known = self.known.lock().await;
        if let Some(credential) = known.get(name) {
            return Ok(credential.clone());
        }
        let (options, events, wanted) = (Arc::clone(&self.options), self.events.clone(), name.to_owned());
        let search = tokio::task::spawn_blocking(move || search(&options, &events, &wanted));
        let credential = search.await.map_err(|error| RegistryError::Local {
            asked: format!("look up credentials for `{name}`"),
            source: std::io::Error::other(error),
        })??;
        known.insert(name.to_owned(), credential.clone());
        Ok(credential)
    }
}

/// Goes through the files. What the user named on the command line must be readable; what is only
/// found lying there may be missing, and is passed over with a warning when broken.
fn search(options: &Options, events: &Events, name: &str) -> Result<Credential, RegistryError> {
    if let Some(path) = &options.auth_file
        && let Some(credential) = AuthFile::read(path)?.find(options, events, name)
    {
        return Ok(credential);
    }
    for path in found_files(options) {
        if !path.exists() {
            continue;
        }
        match AuthFile::read(&path) {
            Ok(file) => {
                if let Some(credential) = file.find(options, events, name) {
                    return Ok(credential);
                }
            }
            Err(error) => events.warn(format!("credentials passed over: {error}"), None),
        }
    }
    Ok(Credential::Anonymous)
}

fn found_files(options: &Options) -> Vec<PathBuf> {
    let environment = &options.environment;
    let home = environment.home.as_deref();
    let docker = match &environment.docker_config {
        Some(directory) => Some(directory.join("config.json")),
        None => home.map(|home| home.join(".docker/config.json")),
    };
    [
        environment.registry_auth_file.clone(),
        environment.xdg_runtime_dir.as_ref().map(|directory| directory.join("containers/auth.json")),
        home.map(|home| home.join(".config/containers/auth.json")),
        docker,
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[derive(Deserialize)]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, AuthEntry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl AuthFile {
    fn read(path: &Path) -> Result<Self, RegistryError> {
        let bytes = fsio::read(path, FILE_LIMIT)?;
        // serde's own words would quote the file, and with it a password.
        serde_json::from_slice(&bytes).map_err(|error| RegistryError::Option {
            what: format!("`{}`", path.display()),
            why: format!(
                "line {}, column {} is no valid JSON or not of its format",
                error.line(),
                error.column()
            ),
        })
    }

    fn find(&self, options: &Options, events: &Events, name: &str) -> Option<Credential> {
        let (target, server) = (normal(name), server_of(name));
        let helper = longest(&self.helpers, &target).map(|(_, helper)| helper);
        let store = self.store.as_ref().filter(|store| !store.is_empty());
        for helper in [helper, store].into_iter().flatten() {
            match helper::ask(options.environment.path.as_deref(), helper, &server) {
                Ok(credential) => return Some(credential),
                Err(did) => events.warn(
                    format!("credential helper `{helper}` {did}: `{server}` is asked without it"),
                    None,
                ),
            }
        }
        let (key, entry) = longest(&self.auths, &target)?;
        let credential = entry.credential();
        if credential.is_none() && !entry.is_empty() {
            events.warn(format!("the entry `{key}` among the credentials makes no sense"), None);
        }
        credential
    }
}

impl AuthEntry {
    fn is_empty(&self) -> bool {
        self.auth.is_empty() && self.username.is_empty()
    }

    fn credential(&self) -> Option<Credential> {
        if !self.registrytoken.is_empty() {
            return Some(Credential::RegistryToken(Secret::new(&self.registrytoken)));
        }
        if !self.identitytoken.is_empty() {
            return Some(Credential::IdentityToken(Secret::new(&self.identitytoken)));
        }
        let (username, password) = match self.auth.is_empty() {
            true => (self.username.clone(), self.password.clone()),
            false => {
                let text = String::from_utf8(STANDARD.decode(self.auth.trim()).ok()?).ok()?;
                let (username, password) = text.split_once(':')?;
                // docker pads old entries with NULs.
                (username.to_owned(), password.trim_end_matches('\0').to_owned())
            }
        };
        (!username.is_empty()).then(|| Credential::Password { username, password: Secret::new(password) })
    }
}

/// The entry with the longest key that `target` is, or lies under.
fn longest<'a, T>(entries: &'a BTreeMap<String, T>, target: &str) -> Option<(&'a str, &'a T)> {
    let covers =
        |key: &str| target.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let normalised = entries.iter().map(|(key, value)| (normal(key), key.as_str(), value));
    let matching = normalised.filter(|(normal, ..)| !normal.is_empty() && covers(normal));
    matching.max_by_key(|(normal, ..)| normal.len()).map(|(_, key, value)| (key, value))
}

/// A key as it is compared: without scheme and API version (docker's legacy
/// `https://index.docker.io/v1/`), Docker Hub under its one name.
fn normal(key: &str) -> String {
    let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let (host, path) = key.split_once('/').map_or((key, None), |(host, path)| (host, Some(path)));
    let host = if is_docker_hub(host) { "docker.io" } else { host };
    match path {
        Some(path) if path != "v1" && path != "v2" => format!("{host}/{path}"),
        _ => host.to_owned(),
    }
}

/// Docker Hub's names.
pub(super) fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// What a helper is asked for: the host, and for Docker Hub the key that docker stores it under.
fn server_of(name: &str) -> String {
    match name.split('/').next().unwrap_or(name) {
        host if is_docker_hub(host) => "https://index.docker.io/v1/".to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(json: &str, name: &str) -> Option<Credential> {
        let file: AuthFile = serde_json::from_str(json).unwrap();
        file.find(&Options::default(), &Events::default(), name)
    }

    fn password(username: &str, password: &str) -> Option<Credential> {
        Some(Credential::Password { username: username.to_owned(), password: Secret::new(password) })
    }

    #[test]
    fn the_longest_key_that_the_repository_lies_under_wins() {
        let json = r#"{"auths": {
            "reg.example": {"username": "host", "password": "1"},
            "reg.example/acme": {"username": "acme", "password": "2"},
            "reg.example/ac": {"username": "wrong", "password": "3"}}}"#;
        assert_eq!(find(json, "reg.example/acme/x"), password("acme", "2"));
        assert_eq!(find(json, "reg.example/other"), password("host", "1"));
        assert_eq!(find(json, "reg.example:5000/other"), None);
    }

    #[test]
    fn docker_hubs_legacy_key_and_keys_with_a_scheme_are_understood() {
        let json = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "dTpwOnE="},
            "https://reg.example": {"identitytoken": "it", "auth": "dTo="}}}"#;
        assert_eq!(find(json, "docker.io/library/x"), password("u", "p:q"));
        assert_eq!(find(json, "reg.example/x"), Some(Credential::IdentityToken(Secret::new("it"))));
    }

    #[test]
    fn entries_that_say_nothing_are_anonymous() {
        assert_eq!(find(r#"{"auths": {"reg.example": {}}}"#, "reg.example/x"), None);
        assert_eq!(find(r#"{"auths": {"reg.example": {"auth": "%%%"}}}"#, "reg.example/x"), None);
        assert_eq!(find("{}", "reg.example/x"), None);
    }
}
