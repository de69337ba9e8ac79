//! X.509 certificates (RFC 5280), as far as the kernel looks at them.

use super::der::{
    BIT_STRING, BOOLEAN, DerError, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, context, context_primitive,
};
use super::key::PublicKey;
use super::name::{Name, Serial};

/// The subject key identifier among the extensions (RFC 5280, 4.2.1.2).
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];

/// Bytes are no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// They have another structure.
    #[error("it is not built like a certificate")]
    Der(#[from] DerError),
    /// Versions before 3 have no extensions, and no kernel has such certificates.
    #[error("it is not of version 3")]
    Version,
}

/// A certificate. Two are equal if their bytes are.
#[derive(Debug, Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// Who is meant.
    pub subject: Name,
    /// Who says so.
    pub issuer: Name,
    /// Its number among those of the issuer.
    pub serial: Serial,
    /// The identifier of the key, where it has one.
    pub key_id: Option<Vec<u8>>,
    /// The key.
    pub key: PublicKey,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl Certificate {
    /// Reads a certificate, which is all of `der`.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let mut outer = Reader::new(der);
        let mut whole = outer.enter(SEQUENCE)?;
        outer.finish()?;
        let mut body = whole.enter(SEQUENCE)?;
        whole.expect(SEQUENCE)?;
        whole.expect(BIT_STRING)?;
        whole.finish()?;
        let version = body.optional(context(0))?.ok_or(CertificateError::Version)?;
        if Reader::new(version.body).expect(INTEGER)?.body != [2] {
            return Err(CertificateError::Version);
        }
        let serial = Serial(body.expect(INTEGER)?.body.to_vec());
        body.expect(SEQUENCE)?; // the algorithm, once more
        let issuer = Name(body.expect(SEQUENCE)?.body.to_vec());
        body.expect(SEQUENCE)?; // the validity, which the kernel does not hold against a module's key
        let subject = Name(body.expect(SEQUENCE)?.body.to_vec());
        let key = PublicKey::parse(body.expect(SEQUENCE)?.body)?;
        for unique_id in [1, 2] {
            body.optional(context_primitive(unique_id))?;
        }
        let key_id = match body.optional(context(3))? {
            Some(extensions) => key_id(extensions.body)?,
            None => None,
        };
        body.finish()?;
        Ok(Self { der: der.to_vec(), subject, issuer, serial, key_id, key })
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// The key's identifier among the extensions.
fn key_id(extensions: &[u8]) -> Result<Option<Vec<u8>>, DerError> {
    let mut list = Reader::new(extensions).enter(SEQUENCE)?;
    while !list.is_empty() {
        let mut extension = list.enter(SEQUENCE)?;
        let kind = extension.expect(OID)?.body;
        extension.optional(BOOLEAN)?;
        let value = extension.expect(OCTET_STRING)?.body;
        if kind == SUBJECT_KEY_ID {
            return Ok(Some(Reader::new(value).expect(OCTET_STRING)?.body.to_vec()));
        }
    }
    Ok(None)
}
