//! Public keys, and what they verify.
//!
//! RSA and ECDSA by RustCrypto, over a digest that was streamed: ring, which TLS uses, verifies whole
//! messages in memory only, and has no ECDSA with SHA-512, which is what a kernel signs with by default.
//! Ed25519 hashes its message twice and needs all of it; ring does that.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::BoxedUint;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::der::{BIT_STRING, DerError, INTEGER, OID, Reader, SEQUENCE};
use super::name::dotted;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
/// RFC 8410.
pub(super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// The largest RSA modulus in bits; the kernel takes no larger one (crypto/rsa_helper.c).
const RSA_MAX: usize = 4096;
/// The smallest; below, anyone may have the key.
const RSA_MIN: usize = 1024;

/// A hash by which messages are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// The one with this object identifier (RFC 5754).
    pub(super) fn of_oid(oid: &[u8]) -> Option<Self> {
        match oid.strip_prefix(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2])? {
            [1] => Some(Self::Sha256),
            [2] => Some(Self::Sha384),
            [3] => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The name that the kernel has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

/// A digest in the making.
#[derive(Debug, Clone)]
pub(super) enum Hashing {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hashing {
    pub(super) fn new(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            HashAlgorithm::Sha384 => Self::Sha384(Sha384::new()),
            HashAlgorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Sha384(hasher) => hasher.finalize().to_vec(),
            Self::Sha512(hasher) => hasher.finalize().to_vec(),
        }
    }
}

/// A public key.
#[derive(Debug, Clone)]
pub enum PublicKey {
    /// RSA, for signatures of PKCS #1 v1.5.
    Rsa(Box<rsa::PublicKey>),
    /// ECDSA on P-256.
    P256(Box<p256::ecdsa::VerifyingKey>),
    /// ECDSA on P-384.
    P384(Box<p384::ecdsa::VerifyingKey>),
    /// Ed25519.
    Ed25519([u8; 32]),
    /// A kind of key that nothing is verified with here, and what it is.
    Unsupported(String),
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7), of which `info` is what stands in it.
    pub(super) fn parse(info: &[u8]) -> Result<Self, DerError> {
        let mut info = Reader::new(info);
        let mut algorithm = info.enter(SEQUENCE)?;
        let kind = algorithm.expect(OID)?.body;
        let bits = info.expect(BIT_STRING)?.body;
        info.finish()?;
        // The first byte counts the bits that are not used, of which keys have none.
        let key = bits.strip_prefix(&[0]).unwrap_or_default();
        Ok(match kind {
            RSA => Self::rsa(key)?,
            EC => Self::ec(algorithm.optional(OID)?.map(|curve| curve.body).unwrap_or_default(), key),
            ED25519 => match key.try_into() {
                Ok(key) => Self::Ed25519(key),
                Err(_) => Self::Unsupported("a damaged Ed25519 key".to_owned()),
            },
            other => Self::Unsupported(format!("a key of algorithm {}", dotted(other))),
        })
    }

    fn rsa(key: &[u8]) -> Result<Self, DerError> {
        let mut numbers = Reader::new(key).enter(SEQUENCE)?;
        let (modulus, exponent) = (numbers.expect(INTEGER)?.body, numbers.expect(INTEGER)?.body);
        let number = |bytes: &[u8]| {
            let start = bytes.iter().position(|byte| *byte != 0)?;
            let bytes = bytes.get(start..).filter(|bytes| bytes.len() <= RSA_MAX / 8)?;
            Some(BoxedUint::from_be_slice_vartime(bytes))
        };
        let key = number(modulus).zip(number(exponent)).and_then(|(modulus, exponent)| {
            rsa::PublicKey::new_with_size_limits(modulus, exponent, RSA_MIN..=RSA_MAX).ok()
        });
        Ok(match key {
            Some(key) => Self::Rsa(Box::new(key)),
            None => {
                let len = modulus.iter().skip_while(|byte| **byte == 0).count();
                Self::Unsupported(format!("an RSA key of {} bits", len * 8))
            }
        })
    }

    fn ec(curve: &[u8], point: &[u8]) -> Self {
        let damaged = || Self::Unsupported("a damaged ECDSA key".to_owned());
        match curve {
            P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map_or_else(|_| damaged(), |key| Self::P256(Box::new(key))),
            P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map_or_else(|_| damaged(), |key| Self::P384(Box::new(key))),
            other => Self::Unsupported(format!("an ECDSA key on curve {}", dotted(other))),
        }
    }

    /// What kind of key it is: `RSA-4096`.
    pub fn kind(&self) -> String {
        match self {
            Self::Rsa(key) => {
                use rsa::traits::PublicKeyParts as _;
                format!("RSA-{}", key.size() * 8)
            }
            Self::P256(_) => "ECDSA P-256".to_owned(),
            Self::P384(_) => "ECDSA P-384".to_owned(),
            Self::Ed25519(_) => "Ed25519".to_owned(),
            Self::Unsupported(what) => what.clone(),
        }
    }

    /// Whether `signature` is one of this key for a message with this digest. Never so for Ed25519.
    pub(super) fn verifies_digest(&self, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa(key) => match hash {
                HashAlgorithm::Sha256 => key.pkcs1v15_verify_prehash::<Sha256>(digest, signature).is_ok(),
                HashAlgorithm::Sha384 => key.pkcs1v15_verify_prehash::<Sha384>(digest, signature).is_ok(),
                HashAlgorithm::Sha512 => key.pkcs1v15_verify_prehash::<Sha512>(digest, signature).is_ok(),
            },
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok()),
            Self::Ed25519(_) | Self::Unsupported(_) => false,
        }
    }

    /// Whether `signature` was made by this key, whatever for. Only RSA's tell: with the key, what was signed
    /// comes out of them, in a form that nobody else can give it (PKCS #1 v1.5: RFC 8017, 9.2).
    pub(super) fn made(&self, signature: &[u8]) -> Option<bool> {
        use rsa::traits::PublicKeyParts as _;
        let Self::Rsa(key) = self else { return None };
        let len = key.size();
        let number = BoxedUint::from_be_slice(signature, u32::try_from(len * 8).ok()?).ok();
        let Some(number) = number.filter(|number| signature.len() == len && number < key.n().as_ref()) else {
            return Some(false);
        };
        let plain = rsa::hazmat::rsa_encrypt(key.as_ref(), &number).ok()?.to_be_bytes();
        let padding = plain.strip_prefix(&[0, 1]).unwrap_or_default();
        let end = padding.iter().position(|byte| *byte != 0xff);
        Some(end.is_some_and(|end| end >= 8 && padding.get(end) == Some(&0)))
    }

    /// Whether `signature` is one of this key for `message`; of Ed25519 only.
    pub(super) fn verifies_message(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => {
                let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
                key.verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}
