//! Platforms: `os/architecture[/variant]`, in Go's names (image-spec, image-index.md).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A platform. Keys that this crate does not know are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64` …
    pub architecture: String,
    /// `linux`, `unknown` for attestations …
    pub os: String,
    /// `v8` and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// For Windows.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// For Windows.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl Platform {
    /// `linux/<architecture>`.
    pub fn linux(architecture: &str) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// Whether this is the platform that was asked for. `arm64` and `arm64/v8` are the same
    /// (containerd's rule, which Talos follows); otherwise a variant counts only if both name one.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && match (self.variant(), wanted.variant()) {
                (Some(own), Some(wanted)) => own == wanted,
                _ => true,
            }
    }

    fn variant(&self) -> Option<&str> {
        self.variant.as_deref().filter(|variant| !(self.architecture == "arm64" && *variant == "v8"))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// A text names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no platform; expected `linux/amd64`, `linux/arm64` or another `os/architecture`")]
pub struct PlatformError(pub String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let valid = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [os, architecture, variant @ ..]
                if variant.len() <= 1 && parts.iter().all(|part| valid(part)) =>
            {
                Ok(Self {
                    variant: variant.first().map(|variant| (*variant).to_owned()),
                    os: (*os).to_owned(),
                    ..Self::linux(architecture)
                })
            }
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_parsed_and_compared_as_containerd_does() {
        let arm: Platform = "linux/arm64".parse().unwrap();
        let v8: Platform = "linux/arm64/v8".parse().unwrap();
        assert!(arm.satisfies(&v8) && v8.satisfies(&arm));
        assert!(!arm.satisfies(&Platform::linux("amd64")));
        assert!(!"linux/arm/v6".parse::<Platform>().unwrap().satisfies(&"linux/arm/v7".parse().unwrap()));
        assert_eq!(v8.to_string(), "linux/arm64/v8");
        for text in ["", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
