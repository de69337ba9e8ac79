//! Detached CMS messages (RFC 5652, `SignedData`), of the form in which modules are signed.
//!
//! What is taken and what is not is as in crypto/asymmetric_keys/pkcs7_parser.c and pkcs7_verify.c of
//! the kernel: the content is elsewhere, and no attributes are signed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::der::{DerError, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SET, context, context_primitive};
use super::key::{ED25519, HashAlgorithm};
use super::name::{Name, Serial, colons, dotted};

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// `ecdsa-with-SHA2`, without the last number, which names the hash.
const ECDSA_WITH: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
/// Signers of one message that are looked at; `sign-file` makes one.
const SIGNERS_MAX: usize = 16;

/// Bytes are no message that the kernel would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// They have another structure.
    #[error("it is not built like a CMS message")]
    Der(#[from] DerError),
    /// It is a CMS message of another kind.
    #[error("{0}")]
    Form(&'static str),
}

/// How a signature names its signer's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignerId {
    /// By its issuer and its number among that one's.
    IssuerAndSerial {
        /// The issuer.
        issuer: Name,
        /// The number.
        serial: Serial,
    },
    /// By the identifier of its key.
    KeyId(Vec<u8>),
}

/// `serial 5d:1c:…` or `key id 5d:1c:…`.
impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IssuerAndSerial { serial, .. } => write!(f, "serial {serial}"),
            Self::KeyId(id) => {
                f.write_str("key id ")?;
                colons(id, f)
            }
        }
    }
}

/// How a signature was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// RSA with PKCS #1 v1.5.
    Rsa(HashAlgorithm),
    /// ECDSA.
    Ecdsa(HashAlgorithm),
    /// Ed25519.
    Ed25519,
    /// Something that is not verified here, and what it is.
    Unsupported(String),
}

/// `RSA with sha512`
impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(hash) => write!(f, "RSA with {}", hash.name()),
            Self::Ecdsa(hash) => write!(f, "ECDSA with {}", hash.name()),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Unsupported(what) => f.write_str(what),
        }
    }
}

/// One signature of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Whose it is.
    pub id: SignerId,
    /// How it was made.
    pub scheme: Scheme,
    /// The signature.
    pub signature: Vec<u8>,
}

/// A message. It has at least one signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedMessage {
    signers: Vec<Signer>,
}

impl SignedMessage {
    /// Reads a message, which is all of `der`.
    pub fn parse(der: &[u8]) -> Result<Self, SignedError> {
        let mut outer = Reader::new(der);
        let mut info = outer.enter(SEQUENCE)?;
        outer.finish()?;
        if info.expect(OID)?.body != SIGNED_DATA {
            return Err(SignedError::Form("it is a CMS message, but none that is signed"));
        }
        let mut data = Reader::new(info.expect(context(0))?.body).enter(SEQUENCE)?;
        info.finish()?;
        if !matches!(data.expect(INTEGER)?.body, [1 | 3]) {
            return Err(SignedError::Form("it is of a version that kernels do not take"));
        }
        data.expect(SET)?; // the hashes, which each signer names again
        let mut content = data.enter(SEQUENCE)?;
        if content.expect(OID)?.body != DATA {
            return Err(SignedError::Form("what it signs is not plain data"));
        }
        if !content.is_empty() {
            return Err(SignedError::Form("it holds what it signs, which belongs before it"));
        }
        data.optional(context(0))?; // certificates
        data.optional(context(1))?; // revocations
        let mut list = data.enter(SET)?;
        data.finish()?;
        let mut signers = Vec::new();
        while !list.is_empty() {
            if signers.len() == SIGNERS_MAX {
                return Err(SignedError::Form("it has more signers than are looked at"));
            }
            signers.push(Signer::parse(list.enter(SEQUENCE)?)?);
        }
        if signers.is_empty() {
            return Err(SignedError::Form("nobody signed it"));
        }
        Ok(Self { signers })
    }

    /// Its signatures.
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }
}

impl Signer {
    fn parse(mut info: Reader<'_>) -> Result<Self, SignedError> {
        let version = info.expect(INTEGER)?.body;
        let id = if let Some(id) = info.optional(context_primitive(0))? {
            SignerId::KeyId(id.body.to_vec())
        } else {
            let mut names = info.enter(SEQUENCE)?;
            let issuer = Name(names.expect(SEQUENCE)?.body.to_vec());
            let serial = Serial(names.expect(INTEGER)?.body.to_vec());
            names.finish()?;
            SignerId::IssuerAndSerial { issuer, serial }
        };
        let fits = match id {
            SignerId::IssuerAndSerial { .. } => [1],
            SignerId::KeyId(_) => [3],
        };
        if version != fits {
            return Err(SignedError::Form("a signer's version does not fit how it is named"));
        }
        let hash = info.enter(SEQUENCE)?.expect(OID)?.body;
        if info.optional(context(0))?.is_some() {
            return Err(SignedError::Form("it has signed attributes, which no module's signature has"));
        }
        let algorithm = info.enter(SEQUENCE)?.expect(OID)?.body;
        let signature = info.expect(OCTET_STRING)?.body.to_vec();
        info.optional(context(1))?; // attributes that nobody signed
        info.finish()?;
        Ok(Self { id, scheme: scheme(hash, algorithm), signature })
    }
}

/// How a signature was made, by the identifiers of the hash and of the algorithm.
fn scheme(hash: &[u8], algorithm: &[u8]) -> Scheme {
    let known = HashAlgorithm::of_oid(hash);
    match (algorithm, known) {
        (ED25519, _) => Scheme::Ed25519,
        (RSA_ENCRYPTION, Some(hash)) => Scheme::Rsa(hash),
        (algorithm, Some(hash)) if algorithm.starts_with(ECDSA_WITH) => Scheme::Ecdsa(hash),
        (_, None) => Scheme::Unsupported(format!("hash {}", dotted(hash))),
        (_, Some(_)) => Scheme::Unsupported(format!("algorithm {}", dotted(algorithm))),
    }
}
