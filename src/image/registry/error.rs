//! What goes wrong between here and a registry. Every error says what was asked, of which host or
//! repository; none holds a secret, a URL's query or its user information.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use rustls::AlertDescription;
use serde::Deserialize;

use super::patience::is_transient;
use crate::base::fsio::FileError;
use crate::base::{Digest, Epoch};

/// A request to a registry failed. `asked` completes the sentence "cannot …".
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The network would have been needed, and may not be used.
    #[error("cannot {asked}: the network is not used when offline")]
    Offline {
        /// What was asked.
        asked: String,
    },
    /// No connection, or one that broke.
    #[error("cannot {asked}: the connection to `{host}` failed")]
    Network {
        /// What was asked.
        asked: String,
        /// The host that was spoken to.
        host: String,
        /// What the connection said, without its URL.
        source: reqwest::Error,
    },
    /// No byte moved for longer than is waited for.
    #[error("cannot {asked}: `{host}` has sent and taken nothing for {seconds} s")]
    Stalled {
        /// What was asked.
        asked: String,
        /// The host that was spoken to.
        host: String,
        /// So long.
        seconds: u64,
    },
    /// The connection ended in the middle.
    #[error("cannot {asked}: `{host}` ended the connection after {found} of {expected} bytes")]
    Cut {
        /// What was asked.
        asked: String,
        /// The host that was spoken to.
        host: String,
        /// Bytes of the whole.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// The time that was given is over.
    #[error("cannot {asked}: the time that was given for it is over")]
    Deadline {
        /// What was asked.
        asked: String,
        /// What went wrong before, if it was to be tried again.
        #[source]
        last: Option<Box<RegistryError>>,
    },
    /// The registry's certificate is not trusted, or TLS failed otherwise.
    #[error("cannot {asked}: TLS with `{host}` failed")]
    Tls {
        /// What was asked.
        asked: String,
        /// The host that was spoken to.
        host: String,
        /// What TLS said, without the URL.
        source: reqwest::Error,
    },
    /// The answer to a TLS greeting was no TLS.
    #[error("cannot {asked}: `{host}` answers HTTPS with something else, most likely plain HTTP")]
    NotTls {
        /// What was asked.
        asked: String,
        /// The host that was spoken to.
        host: String,
        /// What TLS said, without the URL.
        source: reqwest::Error,
    },
    /// 401 or 403.
    #[error("cannot {asked}: `{host}` refuses access {answer}")]
    Unauthorised {
        /// What was asked.
        asked: String,
        /// The host that refused.
        host: String,
        /// Whether credentials were known for it.
        credentials: bool,
        /// What it said.
        answer: Answer,
    },
    /// 404.
    #[error("cannot {asked}: `{host}` does not have it {answer}")]
    NotFound {
        /// What was asked.
        asked: String,
        /// The host that does not have it.
        host: String,
        /// What it said.
        answer: Answer,
    },
    /// Any other status that is no success.
    #[error("cannot {asked}: `{host}` refused it {answer}")]
    Refused {
        /// What was asked.
        asked: String,
        /// The host that refused.
        host: String,
        /// What it said.
        answer: Answer,
    },
    /// The bytes are not those that were named.
    #[error("cannot {asked}: its digest is `{found}`, expected `{expected}`")]
    DigestMismatch {
        /// What was asked.
        asked: String,
        /// The digest that the bytes should have.
        expected: Box<Digest>,
        /// The digest that they have.
        found: Box<Digest>,
    },
    /// Fewer or more bytes than were named. When there are more, reading stops there.
    #[error("cannot {asked}: it has {found} bytes{}, expected {expected}", or_more(.more))]
    SizeMismatch {
        /// What was asked.
        asked: String,
        /// The size that was named.
        expected: u64,
        /// The bytes that came.
        found: u64,
        /// Whether reading stopped before the end.
        more: bool,
    },
    /// An answer exceeds its limit.
    #[error("cannot {asked}: it has more than {limit} bytes, the limit for such an answer")]
    TooLarge {
        /// What was asked.
        asked: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The answer breaks the protocol.
    #[error("cannot {asked}: `{host}` {why}")]
    Protocol {
        /// What was asked.
        asked: String,
        /// The host that answered.
        host: String,
        /// What is wrong, with the host as the subject.
        why: String,
    },
    /// Bytes could not be read, or written, on this machine.
    #[error("cannot {asked}: reading or writing here failed")]
    Local {
        /// What was asked.
        asked: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// An option or a file that it names cannot be used.
    #[error("{what} cannot be used: {why}")]
    Option {
        /// The option, variable or file.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that an option names cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl RegistryError {
    /// What was asked: it completes the sentence "cannot …". Nothing, where something on this machine is wrong.
    pub fn asked(&self) -> &str {
        match self {
            Self::Offline { asked }
            | Self::Network { asked, .. }
            | Self::Stalled { asked, .. }
            | Self::Cut { asked, .. }
            | Self::Deadline { asked, .. }
            | Self::Tls { asked, .. }
            | Self::NotTls { asked, .. }
            | Self::Unauthorised { asked, .. }
            | Self::NotFound { asked, .. }
            | Self::Refused { asked, .. }
            | Self::DigestMismatch { asked, .. }
            | Self::SizeMismatch { asked, .. }
            | Self::TooLarge { asked, .. }
            | Self::Protocol { asked, .. }
            | Self::Local { asked, .. } => asked,
            Self::Option { .. } | Self::File(_) => "",
        }
    }

    /// The host that was spoken to; nothing, where none was.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Network { host, .. }
            | Self::Stalled { host, .. }
            | Self::Cut { host, .. }
            | Self::Tls { host, .. }
            | Self::NotTls { host, .. }
            | Self::Unauthorised { host, .. }
            | Self::NotFound { host, .. }
            | Self::Refused { host, .. }
            | Self::Protocol { host, .. } => host,
            _ => "",
        }
    }

    /// Whether bytes came that are not those that were named.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::DigestMismatch { .. } | Self::SizeMismatch { .. })
    }

    /// Whether the registry could not be spoken to, whatever was asked.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Network { .. }
            | Self::Stalled { .. }
            | Self::Deadline { .. }
            | Self::Offline { .. }
            | Self::Tls { .. }
            | Self::NotTls { .. } => true,
            Self::Refused { answer, .. } => is_transient(answer.status),
            _ => false,
        }
    }

    /// Advice, where there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Deadline { .. } => {
                Some("give it more with `--deadline`, which counts from the start of the command".to_owned())
            }
            Self::Refused { answer, host, .. } | Self::NotFound { answer, host, .. } => answer.hint(host),
            Self::Offline { .. } => Some("run it once without `--offline`, or bring a bundle".to_owned()),
            Self::Tls { source, .. } if wants_certificate(source) => Some(
                "the registry wants to see a certificate: name it with `--tls-cert FILE --tls-key FILE`"
                    .to_owned(),
            ),
            Self::Tls { host, .. } => Some(format!(
                "name the certificate authority of `{host}` with `--tls-ca FILE`; if it speaks plain HTTP, say `--insecure`"
            )),
            Self::NotTls { .. } => Some("say `--insecure` if the registry speaks plain HTTP".to_owned()),
            Self::Unauthorised { host, credentials: false, .. } => Some(format!(
                "no credentials are known for `{host}`: log in with `docker login` or `podman login`, or name a file of credentials with `--auth-file`"
            )),
            Self::Unauthorised { host, credentials: true, .. } => {
                Some(format!("the credentials known for `{host}` do not allow this: log in anew"))
            }
            _ => None,
        }
    }

    /// Boxed, since two digests would make every result of this room large.
    pub(super) fn digest_mismatch(asked: &str, expected: Digest, found: Digest) -> Self {
        let (expected, found) = (Box::new(expected), Box::new(found));
        Self::DigestMismatch { asked: asked.to_owned(), expected, found }
    }

    /// Sorts an error of the HTTP client by what lies at its root.
    pub(super) fn of_transport(asked: &str, host: String, error: reqwest::Error) -> Self {
        let asked = asked.to_owned();
        let source = error.without_url();
        match tls_error(&source) {
            // A plain answer has no TLS record header: rustls reports the first byte's content type.
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls { asked, host, source },
            // A balancer that has lost its way, or bytes that were damaged: nothing that stays so.
            Some(rustls::Error::AlertReceived(alert)) if !is_verdict(*alert) => {
                Self::Network { asked, host, source }
            }
            Some(rustls::Error::DecryptError) | None => Self::Network { asked, host, source },
            Some(_) => Self::Tls { asked, host, source },
        }
    }

    /// The error that an answer without success stands for.
    pub(super) fn of_answer(asked: &str, host: String, answer: Answer, credentials: bool) -> Self {
        let asked = asked.to_owned();
        match answer.status {
            401 | 403 => Self::Unauthorised { asked, host, credentials, answer },
            404 => Self::NotFound { asked, host, answer },
            _ => Self::Refused { asked, host, answer },
        }
    }
}

/// Whether an alert (RFC 8446, section 6.2) says what another try does not change.
fn is_verdict(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    asks_for_certificate(alert)
        || matches!(
            alert,
            Alert::ProtocolVersion
                | Alert::InsufficientSecurity
                | Alert::UnrecognisedName
                | Alert::NoApplicationProtocol
        )
}

/// Whether an alert is about the certificate of this client, or that there is none.
fn asks_for_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::HandshakeFailure
    )
}

fn wants_certificate(source: &reqwest::Error) -> bool {
    matches!(tls_error(source), Some(rustls::Error::AlertReceived(alert)) if asks_for_certificate(*alert))
}

/// The words for a size that was only begun to be counted.
fn or_more(more: &bool) -> &'static str {
    if *more { " or more" } else { "" }
}

/// Finds rustls' error under a chain of sources. An `io::Error` hides what it wraps from
/// `source()`, so it is opened by hand.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// What a registry said about a refusal: the status, and its codes and messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `CODE: message`, as the registry worded them, without control characters.
    pub messages: Vec<String>,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// The specification's error body, "Error Codes".
#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl Answer {
    /// Error bodies are one or two sentences; beyond this they are pages of a proxy.
    pub(super) const BODY_LIMIT: u64 = 4 << 10;
    const MESSAGES: usize = 4;
    const MESSAGE_LENGTH: usize = 400;

    pub(super) fn of(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let errors = serde_json::from_slice::<ErrorBody>(body).map(|body| body.errors).unwrap_or_default();
        let messages = errors.into_iter().take(Self::MESSAGES).map(|entry| {
            let text = match entry.message {
                Some(message) if !message.is_empty() => format!("{}: {message}", entry.code),
                _ => entry.code,
            };
            let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            printable.take(Self::MESSAGE_LENGTH).collect()
        });
        Self { status, messages: messages.collect(), retry_after: retry_after(headers) }
    }

    /// Whether one of these codes (distribution-spec, "Error Codes") is among what it said.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        self.messages.iter().any(|message| codes.contains(&message.split(':').next().unwrap_or_default()))
    }

    /// What helps against the codes of the specification, and against statuses that proxies answer with.
    fn hint(&self, host: &str) -> Option<String> {
        let hint =
            match self.messages.iter().filter_map(|message| message.split(':').next()).find_map(of_code) {
                Some(hint) => hint,
                None => match self.status {
                    405 if self.messages.is_empty() => {
                        "is it a registry? Its answer is none of the distribution protocol"
                    }
                    413 => "a proxy before the registry limits the size of a request: raise its limit",
                    429 => of_code("TOOMANYREQUESTS")?,
                    500..=599 => "the registry itself has a problem: look at its log, or try again later",
                    _ => return None,
                },
            };
        match self.retry_after {
            Some(wait) => Some(format!("{hint}; `{host}` asks to be left alone for {} s", wait.as_secs())),
            None => Some(hint.to_owned()),
        }
    }
}

/// What helps against a code of the specification.
fn of_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "BLOB_UNKNOWN" | "MANIFEST_BLOB_UNKNOWN" => {
            "the registry lacks a part of the image: push it once more, and if that does not help, ask who runs the registry whether it lost blobs"
        }
        "BLOB_UPLOAD_INVALID" | "BLOB_UPLOAD_UNKNOWN" => {
            "the registry lost the upload: behind a load balancer, all its instances must share their secret and storage"
        }
        "DIGEST_INVALID" | "SIZE_INVALID" => {
            "bytes were damaged on their way, or a proxy in between changes them"
        }
        "MANIFEST_INVALID" => {
            "the registry does not take such manifests: `--format docker` writes the older ones, `--compression gzip` layers that all know"
        }
        "MANIFEST_UNKNOWN" => "look at the tag, and at the platform: `talosmith inspect` lists what there is",
        "NAME_INVALID" => {
            "the registry does not allow this name: many want a project before it, as in HOST/PROJECT/NAME"
        }
        "NAME_UNKNOWN" => {
            "look at the name; some registries want the repository to be made before it is pushed to"
        }
        "UNSUPPORTED" => "the registry cannot do this; a newer version of it may",
        "TOOMANYREQUESTS" => "a log-in raises the limit at most registries; a mirror of your own has none",
        _ => return None,
    })
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which is held against the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let asked = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let seconds = http_date(asked)?.saturating_sub(http_date(text(DATE)?)?);
    Some(Duration::from_secs(seconds))
}

/// Seconds of `Wed, 21 Oct 2015 07:28:00 GMT` (RFC 9110, section 5.6.7; the older forms are not sent any more).
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = (month.len() == 3).then(|| MONTHS.find(month))?.filter(|at| at % 3 == 0)? / 3 + 1;
    Epoch::from_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).map(Epoch::seconds)
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(status {}", self.status)?;
        for message in &self.messages {
            write!(f, "; {message}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_words_are_shortened_and_cannot_steer_a_terminal() {
        let body = br#"{"errors":[{"code":"DENIED","message":"a\u001b[2Jb"},{"code":"UNKNOWN"}]}"#;
        let of = |status, body: &[u8]| Answer::of(status, &HeaderMap::new(), body);
        let answer = of(403, body);
        assert_eq!(answer.to_string(), "(status 403; DENIED: a [2Jb; UNKNOWN)");
        assert_eq!(of(502, b"<html>").to_string(), "(status 502)");
        let long = format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "x".repeat(3000));
        assert_eq!(of(403, long.as_bytes()).messages[0].len(), 400);
    }

    #[test]
    fn a_wait_is_told_in_seconds_or_as_a_date_by_the_servers_own_clock() {
        let wait = |pairs: &[(HeaderName, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            Answer::of(429, &pairs.collect(), b"").retry_after.map(|wait| wait.as_secs())
        };
        let date = (DATE, "Tue, 29 Feb 2028 23:59:30 GMT");
        let at = |text| (RETRY_AFTER, text);
        assert_eq!(wait(&[at("120")]), Some(120));
        assert_eq!(wait(&[at("Wed, 01 Mar 2028 00:00:10 GMT"), date.clone()]), Some(40));
        assert_eq!(wait(&[at("Mon, 28 Feb 2028 00:00:10 GMT"), date.clone()]), Some(0));
        assert_eq!(wait(&[at("Wed, 01 Mar 2028 00:00:10 GMT")]), None);
        for nonsense in ["-1", "soon", "Wed, 01 anF 2028 00:00:10 GMT", "Wed, 99 Mar 2028 00:00:10 GMT", ""] {
            assert_eq!(wait(&[at(nonsense), date.clone()]), None, "{nonsense}");
        }
        assert_eq!(wait(&[date]), None);
    }

    #[test]
    fn the_specifications_codes_have_advice_and_a_code_goes_before_the_status() {
        for code in [
            "BLOB_UNKNOWN",
            "BLOB_UPLOAD_INVALID",
            "BLOB_UPLOAD_UNKNOWN",
            "DIGEST_INVALID",
            "MANIFEST_BLOB_UNKNOWN",
            "MANIFEST_INVALID",
            "MANIFEST_UNKNOWN",
            "NAME_INVALID",
            "NAME_UNKNOWN",
            "SIZE_INVALID",
            "UNSUPPORTED",
            "TOOMANYREQUESTS",
        ] {
            let body = format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#);
            let answer = Answer::of(500, &HeaderMap::new(), body.as_bytes());
            assert_eq!(answer.hint("h").as_deref(), of_code(code), "{code}");
            assert!(answer.has_code(&[code]) && !answer.has_code(&["OTHER"]));
        }
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        let hint = Answer::of(429, &headers, b"<html>").hint("reg.example").unwrap();
        assert!(hint.ends_with("; `reg.example` asks to be left alone for 7 s"), "{hint}");
        assert_eq!(Answer::of(400, &HeaderMap::new(), b"").hint("h"), None);
    }
}
