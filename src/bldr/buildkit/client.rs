//! Which client there is, and whether its daemon answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{Options, SOURCE_POLICY};
use super::error::BuildKitError;
use crate::base::program::{self, Call, Ended};

/// How long a daemon may take to say that it is there. buildctl itself waits five seconds for a connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most bytes of an answer that are looked at, and lines that are repeated.
const ANSWER_MAX: u64 = 64 << 10;
const LINES_MAX: usize = 5;

/// The variables that the clients use: to find the daemon, credentials of registries, caches in the cloud, and
/// the way there. They get these and no others.
const VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "BUILDKIT_HOST",
    "BUILDX_BUILDER",
    "BUILDX_CONFIG",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "KUBECONFIG",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "ACTIONS_CACHE_URL",
    "ACTIONS_CACHE_SERVICE_V2",
    "ACTIONS_RESULTS_URL",
    "ACTIONS_RUNTIME_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_PROFILE",
];

/// What the client finds in its environment. Values may be secrets, and are not shown.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Environment").field(&self.0.keys()).finish()
    }
}

impl Environment {
    /// The variables that clients use and those that `options` take secrets from, as `lookup` knows them.
    pub fn from_lookup(options: &Options, lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let secrets = options.secrets.iter().filter_map(|secret| secret.variable());
        let names = VARIABLES.iter().copied().chain(secrets);
        Self(names.filter_map(|name| Some((name.to_owned(), lookup(name)?))).collect())
    }

    /// Whether a variable is set, and not to nothing.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_empty())
    }
}

/// A client of BuildKit: its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// BuildKit's own.
    Buildctl(PathBuf),
    /// Docker's, with its plugin `buildx`.
    Buildx(PathBuf),
}

impl Client {
    /// The program.
    pub fn program(&self) -> &Path {
        match self {
            Self::Buildctl(program) | Self::Buildx(program) => program,
        }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Buildctl(_) => "buildctl",
            Self::Buildx(_) => "docker buildx",
        }
    }

    /// The clients that can be asked, the best first. Docker's takes no address.
    pub fn all(options: &Options, environment: &Environment) -> Result<Vec<Self>, BuildKitError> {
        let find = |name: &str| find(environment.0.get("PATH")?, name);
        let needs_buildctl = options.address.is_some() || options.tls != Default::default();
        let docker = find("docker").map(Self::Buildx);
        match (find("buildctl").map(Self::Buildctl), docker) {
            (Some(buildctl), docker) if !needs_buildctl && !environment.has("BUILDKIT_HOST") => {
                Ok([Some(buildctl), docker].into_iter().flatten().collect())
            }
            (Some(buildctl), _) => Ok(vec![buildctl]),
            (None, Some(_)) if needs_buildctl => Err(BuildKitError::NoBuildctl),
            (None, Some(docker)) => Ok(vec![docker]),
            (None, None) => Err(BuildKitError::NoClient),
        }
    }

    /// The first client whose daemon answers.
    pub fn reach(options: &Options, environment: &Environment) -> Result<Self, BuildKitError> {
        let mut said = Vec::new();
        for client in Self::all(options, environment)? {
            match client.preflight(options, environment) {
                Ok(()) => return Ok(client),
                Err(why) => said.extend(why.iter().map(|line| format!("{}: {line}", client.name()))),
            }
        }
        Err(BuildKitError::NoDaemon { said })
    }

    /// The program with its arguments, ready to run.
    pub fn call(&self, arguments: Vec<String>, options: &Options, environment: &Environment) -> Call {
        let mut call = Call {
            program: self.program().to_owned(),
            arguments,
            environment: environment.0.clone(),
            time: None,
        };
        if let (Self::Buildx(_), Some(policy)) = (self, &options.source_policy) {
            call.environment.insert(SOURCE_POLICY.to_owned(), policy.into());
        }
        call
    }

    /// Whether the daemon answers: the exit code of a build is the same for all that can go wrong. The error is
    /// what the client says.
    fn preflight(&self, options: &Options, environment: &Environment) -> Result<(), Vec<String>> {
        let words = match self {
            Self::Buildctl(_) => {
                let mut words = options.connection();
                words.extend(["debug".to_owned(), "info".to_owned()]);
                words
            }
            Self::Buildx(_) => vec!["buildx".to_owned(), "inspect".to_owned()],
        };
        let mut call = self.call(words, options, environment);
        call.time = Some(PATIENCE);
        let mut said: Vec<String> = Vec::new();
        let mut line = |line: &[u8]| {
            if said.len() < LINES_MAX && !line.trim_ascii().is_empty() {
                let line = String::from_utf8_lossy(line);
                said.push(line.trim().trim_start_matches("error: ").to_owned());
            }
        };
        let read = |reader: &mut dyn Read| {
            let mut bytes = Vec::new();
            let _ = reader.take(ANSWER_MAX).read_to_end(&mut bytes); // the exit code counts
            Ok::<_, Infallible>(bytes)
        };
        let (ended, answer) =
            program::stream(&call, &mut line, read).map_err(|error| vec![crate::base::chain(&error)])?;
        let Ok(answer) = answer;
        // buildx describes a builder that it cannot reach, and is content.
        let answer = String::from_utf8_lossy(&answer);
        let error = answer.lines().find_map(|line| line.trim().strip_prefix("Error:")).map(str::trim);
        match (ended, error) {
            (Ended::Well, None) => Ok(()),
            (Ended::Well, Some(error)) => Err(vec![error.to_owned()]),
            (ended, _) if said.is_empty() => Err(vec![ended.to_string()]),
            _ => Err(said),
        }
    }
}

/// The first file of this name that can be executed.
fn find(path: &OsString, name: &str) -> Option<PathBuf> {
    let executable = |file: &PathBuf| {
        file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path).map(|folder| folder.join(name)).find(executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs in a folder that say and do this.
    fn programs(scripts: &[(&str, &str)]) -> (tempfile::TempDir, impl Fn(&Options) -> Environment) {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = folder.path().as_os_str().to_owned();
        let environment = move |options: &Options| {
            Environment::from_lookup(options, |name| (name == "PATH").then(|| path.clone()))
        };
        (folder, environment)
    }

    fn reach(scripts: &[(&str, &str)], options: &Options) -> Result<&'static str, BuildKitError> {
        let (_folder, environment) = programs(scripts);
        Client::reach(options, &environment(options)).map(|client| client.name())
    }

    #[test]
    fn the_first_client_whose_daemon_answers_is_taken() {
        let (yes, no) = ("exit 0", "echo 'error: could not connect' >&2; exit 1");
        let none = Options::default();
        let address = Options { address: Some("unix:///nowhere".to_owned()), ..Options::default() };
        assert_eq!(reach(&[("buildctl", yes), ("docker", yes)], &none).unwrap(), "buildctl");
        assert_eq!(reach(&[("buildctl", no), ("docker", yes)], &none).unwrap(), "docker buildx");
        assert!(matches!(reach(&[], &none), Err(BuildKitError::NoClient)));
        assert!(matches!(reach(&[("docker", yes)], &address), Err(BuildKitError::NoBuildctl)));
        // Whoever names a daemon means no other.
        let error = reach(&[("buildctl", no), ("docker", yes)], &address).unwrap_err();
        assert_eq!(error.details(), ["buildctl: could not connect"]);
        // It describes a builder that it cannot reach, and is content.
        let sad = "echo 'Name: default'; echo 'Error: Cannot connect to the Docker daemon'";
        let error = reach(&[("docker", sad)], &none).unwrap_err();
        assert_eq!(error.details(), ["docker buildx: Cannot connect to the Docker daemon"]);
    }

    #[test]
    fn the_environment_holds_what_clients_use_and_the_secrets_that_are_named() {
        let options = Options { secrets: vec!["id=t,env=TOKEN".parse().unwrap()], ..Options::default() };
        let environment = Environment::from_lookup(&options, |name| Some(format!("value of {name}").into()));
        assert!(
            environment.has("TOKEN") && environment.has("BUILDKIT_HOST") && !environment.has("LD_PRELOAD")
        );
        assert!(!format!("{environment:?}").contains("value of"));
    }
}
