//! The keys that a kernel trusts: `system_certificate_list` (kernel: certs/system_certificates.S).
//!
//! The certificates stand back to back, and behind them, each at a place that the architecture's
//! `.align 8` rounds up to, two words: the size of all of them, and that of the first, which is the key of
//! the kernel's own build (0 where the build had none). The words decide: a kernel image may hold other
//! certificates, such as those that it was itself signed by, and believes none of them.

use super::scan::{Place, Seeker};
use crate::boot::bytes::{array_at, round_up};
use crate::boot::machine::Machine;
use crate::pki::{Certificate, TrustedKeys};

/// A `SEQUENCE` with a length of two bytes, as every certificate is.
const NEEDLE: &[u8] = &[0x30, 0x82];
/// The largest certificate: what a length of two bytes can tell.
const CERTIFICATE_MAX: usize = 4 + 0xffff;
/// Zeros between the list and its size where the kernel has room for one more certificate
/// (`CONFIG_SYSTEM_EXTRA_CERTIFICATE_SIZE`, 4096 by default).
const SPARE_MAX: usize = 16 << 10;
/// The most certificates of one list. Distributions have up to ten.
const LIST_MAX: usize = 256;

/// Looks for the list.
#[derive(Debug)]
pub(super) struct KeysSeeker {
    /// What `.align 8` rounds up to: on x86 8 bytes, on arm64 two to the power of 8.
    align: u64,
    /// Certificates back to back, the last found.
    group: Vec<Certificate>,
    /// Where the group ends.
    end: u64,
    /// The list.
    list: Option<Vec<Certificate>>,
    /// Whether the kernel's own key is known to be in it.
    has_own: bool,
}

impl KeysSeeker {
    pub(super) fn new(machine: Machine) -> Self {
        let align = if machine == Machine::Arm64 { 256 } else { 8 };
        Self { align, group: Vec::new(), end: 0, list: None, has_own: false }
    }

    /// The keys.
    pub(super) fn keys(self) -> TrustedKeys {
        TrustedKeys::new(self.list.unwrap_or_default())
    }

    /// The list, if the group is one, or its last certificates are: the sizes stand behind it. With it comes
    /// the size of the first of them that are the kernel's own. `behind` are the bytes from the group's end on.
    fn list_before(&self, behind: &[u8]) -> Option<(&[Certificate], u64)> {
        // A list with room for one more has zeros up to its size, which is found at the next place then.
        let spare = behind.iter().take(SPARE_MAX).take_while(|byte| **byte == 0).count() as u64;
        let mut at = round_up(self.end, self.align);
        while at <= self.end + spare {
            let word = |at: u64| {
                let at = usize::try_from(at - self.end).ok()?;
                array_at(behind, at).map(u64::from_le_bytes)
            };
            if let Some(list) = word(at).and_then(|total| self.last(total)) {
                let own = word(round_up(at + 8, self.align)).filter(|own| is_own_size(list, *own))?;
                return Some((list, own));
            }
            at += self.align;
        }
        None
    }

    /// The last certificates of the group, if some have so many bytes together: another one may happen to end
    /// where the list begins.
    fn last(&self, total: u64) -> Option<&[Certificate]> {
        let mut sum = 0;
        let index = self.group.iter().rposition(|certificate| {
            sum += certificate.der().len() as u64;
            sum == total
        })?;
        self.group.get(index..)
    }
}

/// Whether so many bytes are the first few of these certificates, or none.
fn is_own_size(list: &[Certificate], size: u64) -> bool {
    let mut sum = 0;
    size == 0
        || list.iter().any(|certificate| {
            sum += certificate.der().len() as u64;
            sum == size
        })
}

impl Seeker for KeysSeeker {
    fn needle(&self) -> &'static [u8] {
        NEEDLE
    }

    fn reach(&self) -> usize {
        CERTIFICATE_MAX + SPARE_MAX + 1024 // the words, each rounded up
    }

    fn found(&mut self, place: &Place<'_>) {
        // Within a certificate there are more places like this.
        if place.position < self.end || !is_candidate(place.bytes) {
            return;
        }
        let len = 4 + place
            .bytes
            .get(2..4)
            .map_or(0, |len| len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)));
        let Some((der, behind)) = place.bytes.split_at_checked(len) else { return };
        let Ok(certificate) = Certificate::parse(der) else { return };
        if place.position != self.end || self.group.len() == LIST_MAX {
            self.group.clear();
        }
        self.end = place.position + len as u64;
        self.group.push(certificate);
        if let Some((list, own)) = self.list_before(behind)
            // A list of revoked certificates has one word only; should something like a second one follow, it
            // says of no certificate that it is the kernel's own.
            && (self.list.is_none() || own > 0 && !self.has_own)
        {
            self.list = Some(list.to_vec());
            self.has_own = own > 0;
        }
    }
}

/// Whether bytes begin like a certificate of version 3: `SEQUENCE { SEQUENCE { [0] { INTEGER 2 } …`.
fn is_candidate(bytes: &[u8]) -> bool {
    const VERSION: &[u8] = &[0xa0, 3, 2, 1, 2];
    match bytes.get(4..6) {
        Some([0x30, 0x82]) => bytes.get(8..13) == Some(VERSION),
        Some([0x30, 0x81]) => bytes.get(7..12) == Some(VERSION),
        _ => false,
    }
}
