//! What certificates call things: object identifiers, serial numbers, names (RFC 5280).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::der::{DerError, OID, Reader, SEQUENCE, SET};
use crate::base::printable;

/// Attributes of a name that are shown; certificates have up to seven.
const ATTRIBUTES_MAX: usize = 16;
/// Characters of an attribute that are shown (RFC 5280 allows 64 in most).
const TEXT_MAX: usize = 128;

/// The numbers of an object identifier with dots between, from the bytes in it; those of more than 64
/// bits are left out.
pub(super) fn dotted(oid: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number = 0u64;
    for byte in oid {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            match numbers.is_empty() {
                // The first two share a number.
                true => numbers.extend([number.min(80) / 40, number - number.min(80) / 40 * 40]),
                false => numbers.push(number),
            }
            number = 0;
        }
    }
    let words: Vec<String> = numbers.iter().take(ATTRIBUTES_MAX).map(u64::to_string).collect();
    words.join(".")
}

/// A serial number: the bytes of an `INTEGER`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Serial(pub(super) Vec<u8>);

impl Serial {
    /// The bytes as they stand in the certificate, by which the kernel compares.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// As openssl shows it: bytes with colons between, without a leading zero.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self.0.as_slice() {
            [0, rest @ ..] if !rest.is_empty() => rest,
            bytes => bytes,
        };
        colons(bytes, f)
    }
}

/// Bytes with colons between.
pub(super) fn colons(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            f.write_str(":")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

/// The name of a subject or an issuer: what stands in its `SEQUENCE`, by which the kernel compares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(pub(super) Vec<u8>);

impl Name {
    /// Its attributes, in their order.
    fn attributes(&self) -> Result<Vec<String>, DerError> {
        let mut reader = Reader::new(&self.0);
        let mut texts = Vec::new();
        while !reader.is_empty() && texts.len() < ATTRIBUTES_MAX {
            let mut set = reader.enter(SET)?;
            while !set.is_empty() && texts.len() < ATTRIBUTES_MAX {
                let mut attribute = set.enter(SEQUENCE)?;
                let kind = attribute.expect(OID)?.body;
                let value = attribute.element()?.body;
                let value = String::from_utf8_lossy(value);
                let value: String = printable(&value).chars().take(TEXT_MAX).collect();
                texts.push(format!("{}={value}", kind_of(kind)));
            }
        }
        Ok(texts)
    }
}

/// Such as `O=Sidero Labs, Inc., CN=Build time throw-away kernel key`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attributes() {
            Ok(texts) if texts.is_empty() => f.write_str("(no name)"),
            Ok(texts) => f.write_str(&texts.join(", ")),
            Err(_) => f.write_str("(a name that cannot be read)"),
        }
    }
}

/// The short name of an attribute (RFC 4519).
fn kind_of(oid: &[u8]) -> String {
    let known = match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
        other => return dotted(other),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_and_serials_are_written_as_everywhere() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), "1.2.840.113549.1.1.1");
        assert_eq!(dotted(&[0x55, 4, 3]), "2.5.4.3");
        assert_eq!(dotted(&[0x88, 0x37, 1]), "2.999.1");
        assert_eq!(Serial(vec![0, 0xa3, 1]).to_string(), "a3:01");
        assert_eq!(Serial(vec![0]).to_string(), "00");
    }

    #[test]
    fn a_name_says_its_attributes_and_cannot_steer_a_terminal() {
        let attribute = |oid: &[u8], text: &str| {
            let inner = [&[6, oid.len() as u8][..], oid, &[12, text.len() as u8], text.as_bytes()].concat();
            let sequence = [&[0x30, inner.len() as u8][..], &inner].concat();
            [&[0x31, sequence.len() as u8][..], &sequence].concat()
        };
        let name =
            Name([attribute(&[0x55, 4, 10], "Sidero Labs"), attribute(&[0x55, 4, 12], "\u{1b}[2J")].concat());
        assert_eq!(name.to_string(), "O=Sidero Labs, 2.5.4.12=\\u{1b}[2J");
        assert_eq!(Name(vec![]).to_string(), "(no name)");
        assert_eq!(Name(vec![0x31, 9]).to_string(), "(a name that cannot be read)");
    }
}
