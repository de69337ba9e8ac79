//! The client's command line, as a value: what is to be solved and how, in the words of either client.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::client::Client;
use crate::image::Platform;

/// TLS to a daemon behind `tcp://`. All files are PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authority that the daemon's certificate is held against.
    pub ca: Option<PathBuf>,
    /// The client's certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name that the daemon's certificate is held against, if it is not the address'.
    pub server_name: Option<String>,
}

/// How the client is to build; everything is passed on as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Where the daemon is: `unix://…`, `tcp://…`, `docker-container://…`, `kube-pod://…`.
    pub address: Option<String>,
    /// TLS to it.
    pub tls: Tls,
    /// Secrets for steps that mount them.
    pub secrets: Vec<Secret>,
    /// Build arguments.
    pub build_args: Vec<(String, String)>,
    /// Where cached results come from, in the client's words: `type=registry,ref=…`.
    pub import_cache: Vec<String>,
    /// Where they go.
    pub export_cache: Vec<String>,
    /// A policy that rewrites or forbids sources.
    pub source_policy: Option<PathBuf>,
    /// Nothing is taken from the cache.
    pub no_cache: bool,
}

/// A secret of a build: where it comes from. The secret itself is never here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    variable: Option<String>,
}

impl Secret {
    /// The variable of the environment that it is in.
    pub fn variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }
}

/// A text names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no secret; expected `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`")]
pub struct SecretError(pub String);

impl FromStr for Secret {
    type Err = SecretError;

    /// The clients' own form. A value in place of its source is refused: it would be seen by whoever lists
    /// processes.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let (mut id, mut source, mut variable) = (false, false, None);
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("id", value)) if !value.is_empty() => id = true,
                Some(("src" | "source", value)) if !value.is_empty() => source = true,
                Some(("env", value)) if !value.is_empty() => variable = Some(value.to_owned()),
                Some(("type", "file" | "env")) => {}
                // The field is not repeated: it may be the secret.
                _ => return Err(SecretError(field.split('=').next().unwrap_or_default().to_owned())),
            }
        }
        match id && (source != variable.is_some()) {
            true => Ok(Self { text: text.to_owned(), variable }),
            false => Err(SecretError(text.to_owned())),
        }
    }
}

/// One solve.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The user's folder, sent as it is.
    pub context: &'a Path,
    /// The folder that says how it is built: the generated target is in it.
    pub folder: &'a Path,
    /// The file in that folder which the frontend reads.
    pub file: &'a str,
    /// The target.
    pub target: &'a str,
    /// For which platform.
    pub platform: &'a Platform,
    /// How.
    pub options: &'a Options,
}

impl Request<'_> {
    /// The words behind the client's name. The result is a tar on standard output.
    pub fn words(&self, client: &Client) -> Vec<String> {
        match client {
            Client::Buildctl(_) => self.buildctl(),
            Client::Buildx(_) => self.buildx(),
        }
    }

    /// The command line for people, by which they can run it themselves.
    pub fn shown(&self, client: &Client) -> String {
        let mut shown = quoted(&client.program().display().to_string());
        if let (Client::Buildx(_), Some(policy)) = (client, &self.options.source_policy) {
            shown = format!("{SOURCE_POLICY}={} {shown}", quoted(&policy.display().to_string()));
        }
        for word in self.words(client) {
            shown.push(' ');
            shown.push_str(&quoted(&word));
        }
        shown
    }

    fn buildctl(&self) -> Vec<String> {
        let options = self.options;
        let mut words = Words(options.connection());
        words.0.push("build".to_owned());
        words.pair("--progress", "rawjson");
        words.pair("--frontend", "dockerfile.v0");
        words.pair("--local", format_args!("context={}", self.context.display()));
        words.pair("--local", format_args!("dockerfile={}", self.folder.display()));
        words.pair("--opt", format_args!("filename={}", self.file));
        words.pair("--opt", format_args!("target={}", self.target));
        words.pair("--opt", format_args!("platform={}", self.platform));
        for (key, value) in &options.build_args {
            words.pair("--opt", format_args!("build-arg:{key}={value}"));
        }
        options.secrets.iter().for_each(|secret| words.pair("--secret", &secret.text));
        options.import_cache.iter().for_each(|cache| words.pair("--import-cache", cache));
        options.export_cache.iter().for_each(|cache| words.pair("--export-cache", cache));
        if let Some(policy) = &options.source_policy {
            words.pair("--source-policy-file", policy.display());
        }
        if options.no_cache {
            words.0.push("--no-cache".to_owned());
        }
        words.pair("--output", "type=tar,dest=-");
        words.0
    }

    fn buildx(&self) -> Vec<String> {
        let options = self.options;
        let mut words = Words(vec!["buildx".to_owned(), "build".to_owned()]);
        words.pair("--progress", "rawjson");
        words.pair("--file", self.folder.join(self.file).display());
        words.pair("--target", self.target);
        words.pair("--platform", self.platform);
        for (key, value) in &options.build_args {
            words.pair("--build-arg", format_args!("{key}={value}"));
        }
        options.secrets.iter().for_each(|secret| words.pair("--secret", &secret.text));
        options.import_cache.iter().for_each(|cache| words.pair("--cache-from", cache));
        options.export_cache.iter().for_each(|cache| words.pair("--cache-to", cache));
        if options.no_cache {
            words.0.push("--no-cache".to_owned());
        }
        // Both would make the result one of several parts.
        words.0.extend(["--provenance=false".to_owned(), "--sbom=false".to_owned()]);
        words.pair("--output", "type=tar,dest=-");
        words.0.push(self.context.display().to_string());
        words.0
    }
}

/// The variable by which buildx takes a source policy; it has no option for it.
pub(super) const SOURCE_POLICY: &str = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";

impl Options {
    /// buildctl's words, before its command, that say where the daemon is.
    pub(super) fn connection(&self) -> Vec<String> {
        let mut words = Words(Vec::new());
        if let Some(address) = &self.address {
            words.pair("--addr", address);
        }
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        for (option, value) in [
            ("--tlscacert", file(&self.tls.ca)),
            ("--tlscert", file(&self.tls.cert)),
            ("--tlskey", file(&self.tls.key)),
            ("--tlsservername", self.tls.server_name.clone()),
        ] {
            if let Some(value) = value {
                words.pair(option, value);
            }
        }
        words.0
    }
}

struct Words(Vec<String>);

impl Words {
    fn pair(&mut self, option: &str, value: impl fmt::Display) {
        self.0.extend([option.to_owned(), value.to_string()]);
    }
}

/// A word as a shell takes it back.
pub fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            address: Some("tcp://builder:1234".to_owned()),
            tls: Tls { ca: Some("ca.pem".into()), server_name: Some("builder".into()), ..Tls::default() },
            secrets: vec!["id=token,env=TOKEN".parse().unwrap(), "id=key,src=key.pem".parse().unwrap()],
            build_args: vec![("TAG".to_owned(), "it's v1".to_owned())],
            import_cache: vec!["type=registry,ref=registry.example.com/cache".to_owned()],
            export_cache: vec!["type=registry,ref=registry.example.com/cache,mode=max".to_owned()],
            source_policy: Some("policy.json".into()),
            no_cache: true,
        }
    }

    fn shown(client: &Client, options: &Options) -> String {
        let platform = Platform::linux("arm64");
        let request = Request {
            context: Path::new("./pkgs"),
            folder: Path::new("GENERATED"),
            file: "Pkgfile",
            target: "talosmith-bundle",
            platform: &platform,
            options,
        };
        request.shown(client)
    }

    #[test]
    fn buildctl_gets_everything_in_its_words() {
        assert_eq!(
            shown(&Client::Buildctl("buildctl".into()), &options()),
            "buildctl --addr tcp://builder:1234 --tlscacert ca.pem --tlsservername builder build --progress rawjson \
             --frontend dockerfile.v0 --local context=./pkgs --local dockerfile=GENERATED --opt filename=Pkgfile \
             --opt target=talosmith-bundle --opt platform=linux/arm64 --opt 'build-arg:TAG=it'\\''s v1' \
             --secret id=token,env=TOKEN --secret id=key,src=key.pem \
             --import-cache type=registry,ref=registry.example.com/cache \
             --export-cache type=registry,ref=registry.example.com/cache,mode=max \
             --source-policy-file policy.json --no-cache --output type=tar,dest=-"
        );
    }

    #[test]
    fn buildx_gets_everything_in_its_words() {
        assert_eq!(
            shown(&Client::Buildx("docker".into()), &options()),
            "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=policy.json docker buildx build --progress rawjson \
             --file GENERATED/Pkgfile --target talosmith-bundle --platform linux/arm64 --build-arg 'TAG=it'\\''s v1' \
             --secret id=token,env=TOKEN --secret id=key,src=key.pem \
             --cache-from type=registry,ref=registry.example.com/cache \
             --cache-to type=registry,ref=registry.example.com/cache,mode=max --no-cache \
             --provenance=false --sbom=false --output type=tar,dest=- ./pkgs"
        );
    }

    #[test]
    fn a_secret_is_named_by_where_it_is_and_its_value_is_never_repeated() {
        let secret: Secret = "id=token,env=TOKEN".parse().unwrap();
        assert_eq!(secret.variable(), Some("TOKEN"));
        assert_eq!("type=file,id=key,source=/run/key".parse::<Secret>().unwrap().variable(), None);
        for wrong in
            ["", "token", "id=token", "src=file", "id=,src=file", "id=a,src=b,env=C", "id=a,value=hunter2"]
        {
            let error = wrong.parse::<Secret>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
