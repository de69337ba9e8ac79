//! The keys that are trusted, and what they make of a message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use std::io::{self, Read};

use super::certificate::{Certificate, CertificateError};
use super::key::{HashAlgorithm, Hashing, PublicKey};
use super::name::Name;
use super::signed::{Scheme, SignedMessage, Signer, SignerId};
use crate::base::Content;

/// Bytes that are hashed at a time.
const BUFFER: usize = 64 << 10;
/// The longest message of which all is taken into memory, which only Ed25519 needs.
const IN_MEMORY_MAX: u64 = 64 << 20;

/// Certificates whose keys are trusted, such as those built into a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedKeys(Vec<Certificate>);

/// What trusted keys make of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// One of them signed it.
    Trusted(&'a Certificate, &'a Signer),
    /// It is signed by none of them.
    UnknownKey(&'a Signer),
    /// One of them is named as the signer, but it did not make this signature for this content.
    Wrong(&'a Certificate, &'a Signer, Cause),
    /// One of them is named as the signer, but such signatures are not verified here.
    Unsupported(&'a Signer),
}

/// Why a signature is not right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The key made it for other content: this one was changed afterwards.
    Content,
    /// Another key made it, which has the trusted one's name.
    Key,
    /// One or the other.
    Unknown,
}

impl TrustedKeys {
    /// These, in their order.
    pub fn new(certificates: Vec<Certificate>) -> Self {
        Self(certificates)
    }

    /// Those in certificates of DER, as [`Certificate::der`] gives them.
    pub fn parse<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CertificateError> {
        ders.into_iter().map(Certificate::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The certificates.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The certificate that a signer names, compared as the kernel does: byte by byte.
    pub fn find(&self, id: &SignerId) -> Option<&Certificate> {
        self.0.iter().find(|own| match id {
            SignerId::IssuerAndSerial { issuer, serial } => own.issuer == *issuer && own.serial == *serial,
            SignerId::KeyId(id) => own.key_id.as_ref() == Some(id),
        })
    }

    /// The certificates of this issuer: builds of a kernel have one name and different keys.
    pub fn issued_by(&self, issuer: &Name) -> impl Iterator<Item = &Certificate> {
        self.0.iter().filter(move |own| own.issuer == *issuer)
    }

    /// Judges a message about the first `len` bytes of `content`, which are read once for each hash that is
    /// needed, and not at all for keys that are not there. An `UnexpectedEof` error if there are fewer.
    ///
    /// Of several signers the kernel (`pkcs7_validate_trust`) takes one that it trusts; one that is wrong
    /// makes all of it wrong.
    pub fn judge<'a>(
        &'a self,
        message: &'a SignedMessage,
        content: &Content,
        len: u64,
    ) -> io::Result<Trust<'a>> {
        let mut judge = Judge { content, len, digests: BTreeMap::new() };
        let mut verdict = None;
        for signer in message.signers() {
            let one = match self.find(&signer.id) {
                Some(certificate) => judge.signature(certificate, signer)?,
                None => Trust::UnknownKey(signer),
            };
            verdict = Some(match (verdict, one) {
                (_, Trust::Wrong(..)) => return Ok(one),
                (Some(Trust::Trusted(..)), _) => continue,
                (Some(before), Trust::UnknownKey(_)) => before,
                (_, one) => one,
            });
        }
        // A message has a signer; without one there would be no key for it.
        verdict.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a message without a signer"))
    }
}

/// What is known of the content already.
struct Judge<'c> {
    content: &'c Content,
    len: u64,
    digests: BTreeMap<HashAlgorithm, Vec<u8>>,
}

impl Judge<'_> {
    fn signature<'a>(&mut self, certificate: &'a Certificate, signer: &'a Signer) -> io::Result<Trust<'a>> {
        let right = match (&signer.scheme, &certificate.key) {
            (Scheme::Unsupported(_), _) | (_, PublicKey::Unsupported(_)) => {
                return Ok(Trust::Unsupported(signer));
            }
            (Scheme::Rsa(hash), key @ PublicKey::Rsa(_))
            | (Scheme::Ecdsa(hash), key @ (PublicKey::P256(_) | PublicKey::P384(_))) => {
                key.verifies_digest(*hash, self.digest(*hash)?, &signer.signature)
            }
            (Scheme::Ed25519, PublicKey::Ed25519(_)) if self.len > IN_MEMORY_MAX => {
                return Ok(Trust::Unsupported(signer));
            }
            (Scheme::Ed25519, key @ PublicKey::Ed25519(_)) => {
                let mut message = Vec::new();
                read(self.content, self.len, &mut |bytes| message.extend_from_slice(bytes))?;
                key.verifies_message(&message, &signer.signature)
            }
            // A key of another kind than the signature's.
            _ => false,
        };
        if right {
            return Ok(Trust::Trusted(certificate, signer));
        }
        let cause = match certificate.key.made(&signer.signature) {
            Some(true) => Cause::Content,
            Some(false) => Cause::Key,
            None => Cause::Unknown,
        };
        Ok(Trust::Wrong(certificate, signer, cause))
    }

    fn digest(&mut self, hash: HashAlgorithm) -> io::Result<&[u8]> {
        use std::collections::btree_map::Entry;
        match self.digests.entry(hash) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(place) => {
                let mut hashing = Hashing::new(hash);
                read(self.content, self.len, &mut |bytes| hashing.update(bytes))?;
                Ok(place.insert(hashing.finish()))
            }
        }
    }
}

/// Gives the first `len` bytes of `content` in pieces.
fn read(content: &Content, len: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut reader = content.open()?.take(len);
    let (mut buffer, mut left) = (vec![0; BUFFER], len);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) if left == 0 => return Ok(()),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => {
                each(buffer.get(..got).unwrap_or_default());
                left -= got as u64; // `take` gives no more
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
