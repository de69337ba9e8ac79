//! Keys, certificates and signed messages: whose signature is it, and is it right?
//!
//! | module | what |
//! |---|---|
//! | [`der`] | elements of DER, bounded |
//! | [`name`] | names of subjects and issuers, serial numbers, object identifiers |
//! | [`key`] | public keys, and what they verify |
//! | [`certificate`] | X.509 certificates |
//! | [`signed`] | detached CMS messages |
//! | [`trusted`] | the keys that are trusted, and what they make of a message |
//!
//! It follows the kernel where it parses (crypto/asymmetric_keys), so that what passes here passes
//! there: no chains, no dates, no revocation. Nothing here decides to trust a certificate.

pub mod certificate;
pub mod der;
pub mod key;
pub mod name;
pub mod signed;
pub mod trusted;

pub use certificate::{Certificate, CertificateError};
pub use key::{HashAlgorithm, PublicKey};
pub use name::{Name, Serial};
pub use signed::{SignedError, SignedMessage, SignerId};
pub use trusted::{Cause, Trust, TrustedKeys};
