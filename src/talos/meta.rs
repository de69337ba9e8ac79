//! Values of the META partition, and the text that carries them to the installer.
//!
//! pkg/machinery/meta in siderolabs/talos: `0x<key>=<value>` joined by `;`, in gzip where that is long,
//! in base64, as the variable `INSTALLER_META_BASE64`.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::version::{Feature, Tag};
use crate::base::yaml::{Any, Cursor, YamlError};

/// The variable's name.
pub const VARIABLE: &str = "INSTALLER_META_BASE64";
/// From this many bytes on upstream leaves the text as it is.
const PLAIN_MAX: usize = 256;

/// A value of META.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaValue {
    /// Its key (tag); pkg/machinery/meta/constants.go names those that Talos uses, from 6 on.
    pub key: u8,
    /// The value.
    pub value: String,
}

/// A text is no value of META.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// It has no key.
    #[error("`{0}` is no value of META: expected KEY=VALUE")]
    NoKey(String),
    /// The key is none.
    #[error("`{0}` is no key of META: expected a number up to 255 such as `10` or `0x0a`")]
    Key(String),
    /// The installer would take it for the end of the value.
    #[error("the value of META key 0x{0:x} has a `;`, which Talos cannot read back")]
    Separator(u8),
}

impl MetaValue {
    /// Reads `KEY=VALUE`, the argument of `--meta`.
    pub fn parse(text: &str) -> Result<Self, MetaError> {
        let (key, value) = text.split_once('=').ok_or_else(|| MetaError::NoKey(text.to_owned()))?;
        Ok(Self { key: parse_key(key)?, value: value.to_owned() })
    }

    /// Reads `{key, value}`, as profiles and schematics have it.
    pub fn of(cursor: &Cursor<'_>) -> Result<Self, YamlError> {
        let key = cursor.key("key")?;
        let number = match Any::of(&key)? {
            Any::Null => Some(0),
            Any::Int(number) => u8::try_from(number).ok(),
            // Go takes `10.0` for a whole number; the cast of one within the bounds is exact.
            Any::Float(number) if number.fract() == 0.0 && (0.0..256.0).contains(&number) => {
                Some(number as u8)
            }
            _ => None,
        };
        let number = number.ok_or_else(|| key.expected("a number up to 255 such as `10` or `0x0a`"))?;
        Ok(Self { key: number, value: cursor.key("value")?.string()? })
    }
}

/// A key, in the notations of Go's `ParseUint` with base 0: `10`, `0x0a`, `0b1010`, `0o12` and `012`.
pub fn parse_key(text: &str) -> Result<u8, MetaError> {
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match lower.split_at_checked(2) {
        Some(("0x", digits)) => (digits, 16),
        Some(("0b", digits)) => (digits, 2),
        Some(("0o", digits)) => (digits, 8),
        _ => match lower.strip_prefix('0') {
            Some(digits) if !digits.is_empty() => (digits, 8),
            _ => (lower.as_str(), 10),
        },
    };
    let error = || MetaError::Key(text.to_owned());
    // `from_str_radix` takes a sign; Go takes none.
    if digits.starts_with('+') {
        return Err(error());
    }
    u8::from_str_radix(digits, base).map_err(|_| error())
}

/// The values as the variable's value. What is compressed is gzip at its best level: Go's deflate and
/// ours find other matches, so the text differs from upstream's while its meaning does not.
pub fn encode(values: &[MetaValue], talos: &Tag) -> Result<String, MetaError> {
    if let Some(value) = values.iter().find(|value| value.value.contains(';')) {
        return Err(MetaError::Separator(value.key));
    }
    let texts: Vec<String> =
        values.iter().map(|value| format!("0x{:x}={}", value.key, value.value)).collect();
    let raw = texts.join(";").into_bytes();
    if raw.len() > PLAIN_MAX && talos.has(Feature::CompressedMeta) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        // Writing to memory cannot fail; if it did, the plain text is as good.
        let written = encoder.write_all(&raw).and_then(|()| encoder.finish());
        return Ok(STANDARD.encode(written.unwrap_or(raw)));
    }
    Ok(STANDARD.encode(raw))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn value(key: u8, value: &str) -> MetaValue {
        MetaValue { key, value: value.to_owned() }
    }

    #[test]
    fn keys_read_as_go_reads_them() {
        for (text, key) in [("10", 10), ("0x0a", 10), ("0XA", 10), ("0b11", 3), ("0o12", 10), ("012", 10)] {
            assert_eq!(parse_key(text), Ok(key), "{text}");
        }
        assert_eq!(parse_key("0"), Ok(0));
        for text in ["", "256", "0x100", "-1", "+1", "0x", "0x+1", "a", "09", " 1", "0é"] {
            assert!(parse_key(text).is_err(), "{text:?}");
        }
        assert_eq!(MetaValue::parse("0xa=b=c").unwrap(), MetaValue { key: 10, value: "b=c".into() });
        assert_eq!(
            MetaValue::parse("x").unwrap_err().to_string(),
            "`x` is no value of META: expected KEY=VALUE"
        );
    }

    #[test]
    fn a_value_that_the_installer_would_cut_is_refused() {
        let error = encode(&[value(10, "a;b")], &Tag::new("v1.11.0")).unwrap_err();
        assert_eq!(error.to_string(), "the value of META key 0xa has a `;`, which Talos cannot read back");
    }

    #[test]
    fn only_long_values_are_compressed_and_only_for_versions_that_know_it() {
        let values = [value(10, "x"), value(6, &"y".repeat(250))];
        let plain = format!("0xa=x;0x6={}", "y".repeat(250));
        let decode = |talos: &str, values: &[MetaValue]| {
            STANDARD.decode(encode(values, &Tag::new(talos)).unwrap()).unwrap()
        };
        assert_eq!(decode("v1.6.2", &values), plain.as_bytes());
        let compressed = decode("v1.6.3", &values);
        assert!(compressed.starts_with(b"\x1f\x8b") && compressed.len() < 60);
        let mut text = String::new();
        flate2::read::GzDecoder::new(compressed.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain);
        let at_limit = [value(10, &"y".repeat(PLAIN_MAX - 4))];
        assert!(decode("v1.14.0", &at_limit).starts_with(b"0xa=y"));
        let above = [value(10, &"y".repeat(PLAIN_MAX - 3))];
        assert!(decode("v1.14.0", &above).starts_with(b"\x1f\x8b"));
    }
}
