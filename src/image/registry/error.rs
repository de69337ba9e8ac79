//! What goes wrong between here and a registry. Every error says what was asked, of which host or
//! repository; none holds a secret, a URL's query or its user information.

use std::error::Error;
use std::fmt;
use std::io;

use reqwest::StatusCode;
use serde::Deserialize;

use super::transport::{host_of, read_limited};
use crate::base::Digest;
use crate::base::fsio::FileError;

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
    /// Advice, where there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Offline { .. } => Some("run it once without `--offline`, or bring a bundle".to_owned()),
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
            Some(_) => Self::Tls { asked, host, source },
            None => Self::Network { asked, host, source },
        }
    }

    /// The error that a response without success stands for. Reads a little of its body.
    pub(super) async fn of_response(asked: &str, response: reqwest::Response, credentials: bool) -> Self {
        let (asked, host) = (asked.to_owned(), host_of(response.url()));
        let answer = Answer::read(response).await;
        match answer.status {
            401 | 403 => Self::Unauthorised { asked, host, credentials, answer },
            404 => Self::NotFound { asked, host, answer },
            _ => Self::Refused { asked, host, answer },
        }
    }
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
    const BODY_LIMIT: u64 = 4 << 10;
    const MESSAGES: usize = 4;
    const MESSAGE_LENGTH: usize = 400;

    async fn read(response: reqwest::Response) -> Self {
        let status = response.status();
        let body = read_limited(response, Self::BODY_LIMIT).await.ok().flatten().unwrap_or_default();
        Self::of(status, &body)
    }

    fn of(status: StatusCode, body: &[u8]) -> Self {
        let errors = serde_json::from_slice::<ErrorBody>(body).map(|body| body.errors).unwrap_or_default();
        let messages = errors.into_iter().take(Self::MESSAGES).map(|entry| {
            let text = match entry.message {
                Some(message) if !message.is_empty() => format!("{}: {message}", entry.code),
                _ => entry.code,
            };
            let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            printable.take(Self::MESSAGE_LENGTH).collect()
        });
        Self { status: status.as_u16(), messages: messages.collect() }
    }
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
        let answer = Answer::of(StatusCode::FORBIDDEN, body);
        assert_eq!(answer.to_string(), "(status 403; DENIED: a [2Jb; UNKNOWN)");
        assert_eq!(Answer::of(StatusCode::BAD_GATEWAY, b"<html>").to_string(), "(status 502)");
        let long = format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "x".repeat(3000));
        assert_eq!(Answer::of(StatusCode::FORBIDDEN, long.as_bytes()).messages[0].len(), 400);
    }
}
