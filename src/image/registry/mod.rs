//! Registries: an own small client of the OCI distribution protocol (distribution-spec 1.1) over
//! `reqwest`.
//!
//! Invariants: no byte is believed before its digest was computed here; memory does not grow with a
//! blob; nothing touches the network, the TLS roots or a thread before a request needs it; secrets
//! never reach an error, an event or another host. Plain HTTP is spoken to loopback hosts and, with
//! [`PlainHttp`], to others; certificate checks are never switched off.
//!
//! `oci-client` 0.18 is not used, because it panics where a registry sends no `Location` for a
//! manifest pushed by digest and where the machine has no system roots (it builds a default
//! `reqwest` client); because it can neither ask a token for the scope that a mount's source needs
//! nor authenticate again after a 401; and because it probes `/v2/` and fetches a token for every
//! operation while keeping the upload session, which a resumed upload needs, to itself. Nor has it retries,
//! stall timeouts, ranges, or a place to put them.
//!
//! | file | what lives there |
//! |---|---|
//! | `options` | what the caller decides, the environment's values, progress |
//! | `client` | [`Client`]: the runtime, authorised requests |
//! | `pull`, `push` | its methods: manifests, blobs, tags |
//! | `referrers` | what hangs on an image |
//! | `download` | files that lie at a URL |
//! | `blob` | one blob on its way here, taken up where it broke |
//! | `session` | one blob on its way there: its upload session, taken up or begun anew |
//! | `upload` | a content, or a part of it, as the body of a request, hashed on its way |
//! | `early` | a blob that goes there while it is still being made |
//! | `transport` | the one `send` of every request: offline, proxies, TLS, redirects, stalls |
//! | `patience`, `clock` | what is tried again, how often, after what wait; the time it is measured by |
//! | `auth`, `challenge` | tokens and their cache; `WWW-Authenticate` |
//! | `credentials`, `helper` | docker's and podman's files; the credential helpers |
//! | `error` | [`RegistryError`] |

mod auth;
mod blob;
mod challenge;
mod client;
mod clock;
mod credentials;
mod download;
mod early;
mod error;
mod helper;
mod options;
mod patience;
mod pull;
mod push;
mod referrers;
mod session;
mod transport;
mod upload;

pub use blob::Sink;
pub use client::{Blob, Client};
pub use clock::{Clock, Time};
pub use early::EarlyPush;
pub use error::{Answer, RegistryError};
pub use options::{Environment, Options, PlainHttp, Progress, TlsIdentity};
pub use patience::Patience;
pub use push::Pushed;
