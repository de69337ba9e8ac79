//! The Talos version that something is made for, as the user gave it: a version, or a text that is none.
//!
//! Self-built imagers have tags such as `main`. For Talos' imager such a tag is the newest version there
//! is, with one exception: it does not count as one that boots every UEFI system by systemd-boot
//! (pkg/machinery/imager/quirks, `UseSDBootForUEFI`).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use super::{Feature, Version, VersionError};

/// A version as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag {
    text: String,
    version: Option<Version>,
}

impl Tag {
    /// Reads any text as upstream does (`ParseTolerant` of blang/semver): with or without `v`, blanks
    /// around it, leading zeros, `1.10` for `1.10.0`.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), version: tolerant(text).ok() }
    }

    /// The text as it was given: what an os-release file says.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The version; `None` where the text is none.
    pub fn known(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// The version whose rules apply. What has none follows those of [`Version::DEVELOPMENT`].
    pub fn version(&self) -> Version {
        self.version.clone().unwrap_or(Version::DEVELOPMENT)
    }

    /// Whether something made for this has `feature`.
    pub fn has(&self, feature: Feature) -> bool {
        match &self.version {
            Some(version) => version.has(feature),
            None => feature != Feature::SystemdBoot && Version::DEVELOPMENT.has(feature),
        }
    }

    /// The tag of Talos' own images for it: `v1.11.3`, also where the `v` was left out.
    pub fn image_tag(&self) -> String {
        self.version.as_ref().map_or_else(|| self.text.clone(), Version::to_string)
    }
}

fn tolerant(text: &str) -> Result<Version, VersionError> {
    let bare = text.trim();
    let bare = bare.strip_prefix('v').unwrap_or(bare);
    let mut parts: Vec<String> = bare.splitn(3, '.').map(without_zeros).collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        let why = "a short version has no pre-release";
        return Err(VersionError { text: text.to_owned(), why });
    }
    parts.resize(3, "0".to_owned());
    Version::parse_bare(&parts.join("."))
}

/// A part without leading zeros, of which one stays where no digit follows: `007` is `7`, `00-a` is `0-a`.
fn without_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let rest = part.trim_start_matches('0');
    if rest.starts_with(|c: char| c.is_ascii_digit()) { rest.to_owned() } else { format!("0{rest}") }
}

impl From<Version> for Tag {
    fn from(version: Version) -> Self {
        Self { text: version.to_string(), version: Some(version) }
    }
}

impl FromStr for Tag {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_tolerantly_as_upstream_reads_them() {
        for (text, version) in [
            ("v1.11.3", Some("v1.11.3")),
            ("1.11.3", Some("v1.11.3")),
            (" v1.11.3\n", Some("v1.11.3")),
            ("1.10", Some("v1.10.0")),
            ("v1", Some("v1.0.0")),
            ("01.010.00", Some("v1.10.0")),
            ("v1.13.0-alpha.0-12-gabcdef-dirty", Some("v1.13.0-alpha.0-12-gabcdef-dirty")),
            ("1.2.00-rc.1", Some("v1.2.0-rc.1")),
            ("1.10-alpha.1", None),
            ("weird", None),
            ("", None),
            ("vv1.2.3", None),
            ("1.2.3.4", None),
            ("v1.2.x", None),
        ] {
            let tag = Tag::new(text);
            assert_eq!(tag.known().map(Version::to_string).as_deref(), version, "{text:?}");
            assert_eq!(tag.as_str(), text);
            assert_eq!(tag.image_tag(), version.unwrap_or(text));
        }
    }

    #[test]
    fn a_text_that_is_no_version_is_the_newest_one_without_systemd_boot() {
        let weird = Tag::new("weird");
        for (feature, has) in [
            (Feature::Uki, true),
            (Feature::UsrMerge, true),
            (Feature::InstallerBase, true),
            (Feature::ProcMemOverride, true),
            (Feature::SystemdBoot, false),
            (Feature::Ima, false),
            (Feature::InitOnAlloc, false),
            (Feature::Lockdown, false),
        ] {
            assert_eq!(weird.has(feature), has, "{feature:?}");
        }
        assert_eq!(weird.version(), Version::DEVELOPMENT);
        assert!(Tag::new("v1.10.0-alpha.1").has(Feature::SystemdBoot));
    }
}
