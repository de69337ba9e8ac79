//! The words of the command line resolved: the environment is asked here and nowhere else.
//!
//! | variable | what for |
//! |---|---|
//! | `SOURCE_DATE_EPOCH` | the time that outputs are stamped with |
//! | `XDG_CACHE_HOME`, `HOME` | where the cache lies |
//! | `NO_COLOR` | no colours |
//! | `REGISTRY_AUTH_FILE`, `DOCKER_CONFIG`, `XDG_RUNTIME_DIR`, `HOME` | where credentials lie |
//! | `BUILDKIT_HOST`, `DOCKER_HOST`, `BUILDX_BUILDER` and others | for BuildKit's client (`bldr::buildkit::client` has them all) |
//! | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | proxies |

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{EVERYWHERE, FormatName, Global, Judge};
use super::failure::Failure;
use super::printer::Printer;
use super::timings::Collector;
use crate::archive::compress::{Compression, CompressionError};
use crate::base::{Epoch, Workers};
use crate::bldr::buildkit;
use crate::check::Code;
use crate::image::registry::{
    Client, Clock, Environment, Options as RegistryOptions, Patience, PlainHttp, TlsIdentity,
};
use crate::image::{Format, Platform, Reference, Store};
use crate::plan::Context;
use crate::talos::version::Version;

/// Options of every command, resolved.
#[derive(Debug)]
pub struct Options {
    /// What steps work with.
    pub context: Context,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<Epoch>,
    /// No network.
    pub offline: bool,
    /// Who is spoken to in plain HTTP.
    pub plain_http: PlainHttp,
    /// When what was done.
    pub timings: Arc<Collector>,
}

impl Options {
    /// Resolves the global options.
    pub fn resolve(global: &Global, printer: &Printer, timings: Arc<Collector>) -> Result<Self, Failure> {
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Err(_) => None,
            Ok(text) if text.is_empty() => None,
            Ok(text) => Some(Epoch::parse(&text).ok_or_else(|| {
                Failure::usage(format!("`SOURCE_DATE_EPOCH={text}` is no time in seconds since 1970"))
            })?),
        };
        for (option, file) in files(global) {
            if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
                return Err(Failure::input(format!("`{option}`: there is no file `{}`", file.display())));
            }
        }
        let workers = global.jobs.map_or_else(Workers::default, |jobs| Workers::new(usize::from(jobs)));
        let events = printer.events(Arc::clone(&timings));
        let plain_http = plain_http(&global.insecure);
        let options = RegistryOptions {
            plain_http: plain_http.clone(),
            offline: global.offline,
            tls_ca: global.tls_ca.clone(),
            tls_identity: global
                .tls_cert
                .clone()
                .zip(global.tls_key.clone())
                .map(|(certificate, key)| TlsIdentity { certificate, key }),
            auth_file: global.auth_file.clone(),
            environment: Environment::from_lookup(|name| env::var_os(name)),
            transfers: global
                .jobs
                .map_or_else(|| Workers::default().jobs().max(RegistryOptions::TRANSFERS), usize::from),
            patience: Patience { tries: global.tries, deadline: global.deadline, ..Patience::default() },
            clock: Clock::default(),
        };
        let client = Client::new(options, events.clone());
        let store = Store::open(cache_folder(global)?).map_err(|error| {
            Failure::output(error.to_string())
                .hint(Some("`--cache DIR` names another folder for the cache".to_owned()))
        })?;
        Ok(Self {
            context: Context::new(store, workers, client, events),
            epoch,
            offline: global.offline,
            plain_http,
            timings,
        })
    }
}

/// The options that name a file which has to be there.
pub fn files(global: &Global) -> [(&'static str, &Option<PathBuf>); 4] {
    [
        ("--auth-file", &global.auth_file),
        ("--tls-ca", &global.tls_ca),
        ("--tls-cert", &global.tls_cert),
        ("--tls-key", &global.tls_key),
    ]
}

fn plain_http(hosts: &[String]) -> PlainHttp {
    match hosts {
        [] => PlainHttp::Loopback,
        hosts if hosts.iter().any(|host| host == EVERYWHERE) => PlainHttp::Everywhere,
        hosts => PlainHttp::Hosts(hosts.to_vec()),
    }
}

/// `--cache`, else the XDG base directory specification's place.
fn cache_folder(global: &Global) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    global
        .cache
        .clone()
        .or_else(|| absolute("XDG_CACHE_HOME").map(|folder| folder.join("talosmith")))
        .or_else(|| absolute("HOME").map(|folder| folder.join(".cache/talosmith")))
        .ok_or_else(|| {
            Failure::usage("there is no folder for the cache: neither `XDG_CACHE_HOME` nor `HOME` is set")
                .hint(Some("give `--cache DIR`".to_owned()))
        })
}

/// Parses a reference, with both spellings as a hint where it is ambiguous.
pub fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error: crate::image::reference::ReferenceError| {
        Failure::usage(error.to_string()).hint(error.hint())
    })
}

/// Parses a platform.
pub fn platform(text: &str) -> Result<Platform, Failure> {
    text.parse().map_err(|error: crate::image::platform::PlatformError| Failure::usage(error.to_string()))
}

/// Parses platforms, none of which may be given twice.
pub fn platforms(texts: &[String]) -> Result<Vec<Platform>, Failure> {
    let mut platforms = Vec::new();
    for text in texts {
        let platform = platform(text)?;
        if platforms.contains(&platform) {
            return Err(Failure::usage(format!("platform `{platform}` is given twice")));
        }
        platforms.push(platform);
    }
    Ok(platforms)
}

/// Parses how layers are compressed.
pub fn compression(text: &str) -> Result<Compression, Failure> {
    text.parse().map_err(|error: CompressionError| Failure::usage(error.to_string()))
}

/// Docker has no media type for zstd.
pub fn format(name: FormatName, compression: Compression) -> Result<Format, Failure> {
    let format = match name {
        FormatName::Oci => Format::Oci,
        FormatName::Docker => Format::Docker,
    };
    if format.layer(compression).is_none() {
        return Err(Failure::usage("Docker's media types know no zstd layers")
            .hint(Some("leave out `--format docker`, or use `--compression gzip`".to_owned())));
    }
    Ok(format)
}

/// Parses the Talos version to judge for.
pub fn talos(judge: &Judge) -> Result<Option<Version>, Failure> {
    let Some(text) = judge.talos.as_deref() else { return Ok(None) };
    text.parse().map(Some).map_err(|error: crate::talos::version::VersionError| {
        Failure::usage(format!("`--talos`: {error}"))
            .hint(Some("write all three numbers, as in `v1.11.3`".to_owned()))
    })
}

/// Parses the codes to be let pass: a slip of the hand must not look like a pass.
pub fn allowed(codes: &[String]) -> Result<Vec<Code>, Failure> {
    let parse = |text: &String| {
        text.parse().map_err(|error: crate::check::rules::NoSuchRule| {
            let hint = error.nearest.map(|name| format!("did you mean `{name}`?"));
            let list = || "`talosmith check --list` prints them".to_owned();
            Failure::usage(format!("`--allow {text}`: there is no such check"))
                .hint(hint.or_else(|| Some(list())))
        })
    };
    codes.iter().map(parse).collect()
}

/// What BuildKit's client finds in its environment.
pub fn buildkit(options: &buildkit::Options) -> buildkit::Environment {
    buildkit::Environment::from_lookup(options, |name| env::var_os(name))
}

/// Splits each `KEY=VALUE` of an option.
pub fn pairs<C: FromIterator<(String, String)>>(option: &str, texts: &[String]) -> Result<C, Failure> {
    texts.iter().map(|text| pair(option, text)).collect()
}

/// Splits `KEY=VALUE`.
fn pair(option: &str, text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("`{option} {text}` is no `KEY=VALUE`"))),
    }
}
