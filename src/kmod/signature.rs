//! Whether a kernel takes the signature of a module: `mod_verify_sig` (kernel/module/signing.c).
//!
//! A module is `ELF ‖ CMS message ‖ trailer ‖ mark`; the message is about all bytes before it. The kernel
//! tells three kinds apart. A module that is not signed, or by a key that it does not have, or in a way
//! that it does not know, it refuses if it enforces signatures, and taints itself otherwise. One whose
//! signature is damaged, or is none of the key that it names, it refuses always, and without a line in its
//! log: the loader alone says `Key was rejected by service`.

use std::io;

use serde::{Deserialize, Serialize};

use super::module::{LostSignature, SignatureState};
use crate::base::Content;
use crate::pki::{Cause, SignedMessage, SignerId, Trust, TrustedKeys};

/// The longest message that is read. One by RSA-4096 has 700 bytes.
const MESSAGE_MAX: u64 = 1 << 20;

/// What a kernel makes of a module's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// One of its keys made it.
    Trusted {
        /// Which one.
        by: SignerId,
    },
    /// There is none where the kernel looks for it.
    Unsigned,
    /// It is by a key that the kernel does not have.
    UnknownKey {
        /// By which.
        signer: SignerId,
    },
    /// It is made in a way that is not verified here, and perhaps not by the kernel.
    Unsupported {
        /// Which one.
        what: String,
    },
    /// The key that it names did not make it for these bytes.
    Wrong {
        /// Which key.
        signer: SignerId,
        /// Why not.
        cause: Cause,
    },
    /// It is damaged, or not of the form that kernels take.
    Malformed {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// Whether the kernel goes on to load the module.
    pub fn is_taken(&self, enforced: bool) -> bool {
        match self {
            Self::Trusted { .. } => true,
            Self::Unsigned | Self::UnknownKey { .. } | Self::Unsupported { .. } => !enforced,
            Self::Wrong { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// Verifies the signature of the module in `content`, whose end says `state`. The module is read once, and
/// not at all if the kernel does not have the key.
pub fn verify(content: &Content, state: &SignatureState, keys: &TrustedKeys) -> io::Result<Verdict> {
    let trailer = match state {
        SignatureState::Signed(trailer) => trailer,
        SignatureState::Lost(why @ LostSignature::Trailer(_)) => {
            return Ok(Verdict::Malformed { why: why.to_string() });
        }
        // The kernel looks for the mark at the very end only.
        SignatureState::Unsigned | SignatureState::Lost(_) => return Ok(Verdict::Unsigned),
    };
    let len = u64::from(trailer.signature_len);
    if len > MESSAGE_MAX {
        return Ok(Verdict::Malformed { why: format!("the signature has {len} bytes") });
    }
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let message = content.slice(trailer.content_len, len).ok_or_else(cut)?.read(MESSAGE_MAX)?;
    let message = match SignedMessage::parse(&message) {
        Ok(message) => message,
        Err(error) => return Ok(Verdict::Malformed { why: crate::base::chain(&error) }),
    };
    Ok(match keys.judge(&message, content, trailer.content_len)? {
        Trust::Trusted(_, signer) => Verdict::Trusted { by: signer.id.clone() },
        Trust::UnknownKey(signer) => Verdict::UnknownKey { signer: signer.id.clone() },
        Trust::Wrong(_, signer, cause) => Verdict::Wrong { signer: signer.id.clone(), cause },
        Trust::Unsupported(signer) => Verdict::Unsupported { what: signer.scheme.to_string() },
    })
}
