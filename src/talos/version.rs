//! Talos versions, and what differs between them: [`Feature`] is the table of how things are made, the
//! allowed paths of extensions are the one below.
//!
//! Versions are semver 2.0.0 with Talos' `v`. Facts come from the release branches of
//! siderolabs/talos: `AllowedPaths` in pkg/machinery/extensions and pkg/machinery/imager/quirks.
//! A pre-release counts as the release that it leads to: Talos compares constraints that way.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

mod feature;
mod tag;

pub use feature::Feature;
pub use tag::Tag;

/// A version of Talos.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// Patch number.
    pub patch: u64,
    /// What stands behind `-`, such as `alpha.1` or `alpha.0-10-g336fa0f-dirty`; empty for a release.
    pub pre: String,
}

/// A text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no version: {why}")]
pub struct VersionError {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Version {
    /// The newest release that the tables of this module were compared with. What cannot say its
    /// version (a kernel without a tag, a local build) is judged by this one.
    pub const NEWEST: Self = Self::new(1, 13, 0);

    /// What upstream's main branch leads to, the latest version that the tables know anything of. A
    /// [`Tag`] that is no version counts as this one, as it does for Talos' imager.
    pub const DEVELOPMENT: Self = Self::new(1, 15, 0);

    /// A release.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self { major, minor, patch, pre: String::new() }
    }

    /// Major, minor and patch only: what the table and constraints compare.
    pub fn core(&self) -> Self {
        Self::new(self.major, self.minor, self.patch)
    }

    /// Whether this is the release `major.minor.0`, leads to it, or is later.
    pub fn since(&self, major: u64, minor: u64) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// Reads a version without `v`: three numbers, a pre-release, build metadata, which is dropped
    /// because no comparison sees it.
    pub(super) fn parse_bare(text: &str) -> Result<Self, VersionError> {
        let error = |why| VersionError { text: text.to_owned(), why };
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(error("it takes three numbers, major.minor.patch"));
        };
        let (rest, build) = split_at(rest, '+');
        let (patch, pre) = split_at(rest, '-');
        let bad_build = |build: &str| !build.split('.').all(is_identifier);
        let bad_pre = |pre: &str| !pre.split('.').all(|part| is_identifier(part) && is_number_or_word(part));
        if build.is_some_and(bad_build) {
            return Err(error("behind `+` stand letters, digits and `-` between dots"));
        }
        if pre.is_some_and(bad_pre) {
            return Err(error(
                "behind `-` stand letters, digits and `-` between dots, no number with a leading 0",
            ));
        }
        let number = |text: &str| {
            number(text).ok_or_else(|| error("a number is missing, too large or has a leading 0"))
        };
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
            patch: number(patch)?,
            pre: pre.unwrap_or_default().to_owned(),
        })
    }
}

fn split_at(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    (digits && !leading_zero).then(|| text.parse().ok())?
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether an identifier that has only digits is a number as well.
fn is_number_or_word(text: &str) -> bool {
    !text.bytes().all(|byte| byte.is_ascii_digit()) || number(text).is_some()
}

impl FromStr for Version {
    type Err = VersionError;

    /// With or without `v`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse_bare(text.strip_prefix('v').unwrap_or(text))
            .map_err(|error| VersionError { text: text.to_owned(), ..error })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
    }
}

impl Ord for Version {
    /// Precedence by semver 2.0.0, section 11.
    fn cmp(&self, other: &Self) -> Ordering {
        let core = |version: &Self| (version.major, version.minor, version.patch);
        core(self).cmp(&core(other)).then_with(|| match (self.pre.as_str(), other.pre.as_str()) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (own, other) => own.split('.').map(Identifier::of).cmp(other.split('.').map(Identifier::of)),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A part of a pre-release; numbers come before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    Number(u64),
    Word(&'a str),
}

impl<'a> Identifier<'a> {
    fn of(text: &'a str) -> Self {
        number(text).map_or(Self::Word(text), Self::Number)
    }
}

/// A path that extensions may use, the first minor version of Talos that allows it, and the first that
/// does no more.
struct AllowedPath(&'static str, (u64, u64), Option<(u64, u64)>);

/// In the order of Talos' own list. Versions before 1.0 have no extensions.
const ALLOWED_PATHS: &[AllowedPath] = &[
    AllowedPath("/etc/cri/conf.d", (1, 0), None),
    AllowedPath("/lib/firmware", (1, 0), Some((1, 10))),
    AllowedPath("/lib/modules", (1, 2), Some((1, 10))),
    AllowedPath("/lib64/ld-linux-x86-64.so.2", (1, 2), Some((1, 10))),
    AllowedPath("/sbin/ldconfig", (1, 9), Some((1, 10))),
    AllowedPath("/usr/etc/udev/rules.d", (1, 0), Some((1, 9))),
    AllowedPath("/usr/lib/firmware", (1, 10), None),
    AllowedPath("/usr/lib/modules", (1, 10), None),
    AllowedPath("/usr/lib/ld-linux-x86-64.so.2", (1, 10), None),
    AllowedPath("/usr/lib/ld-linux-aarch64.so.1", (1, 12), None),
    AllowedPath("/usr/bin/ldconfig", (1, 10), None),
    AllowedPath("/etc/ld.so.conf", (1, 13), None),
    AllowedPath("/etc/ld.so.cache", (1, 13), None),
    AllowedPath("/usr/bin/nvidia-modprobe", (1, 13), None),
    AllowedPath("/usr/bin/nvidia-pcc", (1, 13), None),
    AllowedPath("/usr/bin/nvidia-smi", (1, 13), None),
    AllowedPath("/usr/bin/nvidia-ctk", (1, 13), None),
    AllowedPath("/usr/bin/nvidia-cdi-hook", (1, 13), None),
    AllowedPath("/usr/bin/nvme", (1, 13), None),
    AllowedPath("/usr/lib/udev/rules.d", (1, 9), None),
    AllowedPath("/usr/local", (1, 0), None),
    AllowedPath("/usr/share/glvnd", (1, 5), None),
    AllowedPath("/usr/share/egl", (1, 5), None),
    AllowedPath("/etc/vulkan", (1, 5), None),
];

/// The paths below which an extension's files and symlinks must lie, or which they are.
pub fn allowed_paths(version: &Version) -> Vec<&'static str> {
    let minor = (version.major, version.minor);
    ALLOWED_PATHS
        .iter()
        .filter(|AllowedPath(_, since, until)| *since <= minor && until.is_none_or(|until| minor < until))
        .map(|AllowedPath(path, ..)| *path)
        .collect()
}

/// Where kernel modules and firmware lie: `usr/lib` since 1.10, `lib` before, as normal paths.
pub fn library_directory(version: &Version) -> &'static str {
    if version.has(Feature::UsrMerge) { "usr/lib" } else { "lib" }
}

/// Whether the kernel refuses modules without a valid signature because it was built so. Since 1.12 the
/// argument `module.sig_enforce=1` does it, which a user can take away.
pub fn signatures_enforced_by_build(version: &Version) -> bool {
    !version.has(Feature::SignatureArgument)
}

/// The architectures of Talos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The name of Go, and so of OCI platforms and Talos' own files.
    pub fn go(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name that `uname -m` prints; package trees call it `ARCH`.
    pub fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// The architecture of either name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.go() == name || own.machine() == name)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.go())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_read_with_and_without_v_and_show_it() {
        for (text, shown) in [
            ("1.13.0", "v1.13.0"),
            ("v1.10.0-alpha.1", "v1.10.0-alpha.1"),
            ("v1.8.0-alpha.0-10-g336fa0f-dirty", "v1.8.0-alpha.0-10-g336fa0f-dirty"),
            ("1.2.3-rc.1+build.007", "v1.2.3-rc.1"),
        ] {
            assert_eq!(version(text).to_string(), shown);
        }
        for text in [
            "",
            "v",
            "1",
            "1.2",
            "1.2.x",
            "01.2.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.3+",
            "vv1.2.3",
            " 1.2.3",
            "1.2.3\n",
            "1.2.99999999999999999999",
            "1.2.3-é",
            "-1.2.3",
            "+1.2.3",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
        let error = "v1.2".parse::<Version>().unwrap_err().to_string();
        assert_eq!(error, "`v1.2` is no version: it takes three numbers, major.minor.patch");
    }

    #[test]
    fn order_is_that_of_semver() {
        let sorted = [
            "0.14.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ];
        for (at, low) in sorted.iter().enumerate() {
            for high in &sorted[at + 1..] {
                assert!(version(low) < version(high), "{low} {high}");
            }
        }
    }

    #[test]
    fn modules_moved_to_usr_with_1_10_pre_releases_included() {
        for (text, lib, usr) in
            [("1.9.5", true, false), ("1.10.0-alpha.1", false, true), ("1.13.0", false, true)]
        {
            let paths = allowed_paths(&version(text));
            assert_eq!(paths.contains(&"/lib/modules"), lib, "{text}");
            assert_eq!(paths.contains(&"/usr/lib/modules"), usr, "{text}");
            assert_eq!(library_directory(&version(text)), if usr { "usr/lib" } else { "lib" });
        }
    }

    #[test]
    fn each_release_branch_allows_as_many_paths_as_its_source() {
        for (text, count) in [
            ("0.14.0", 0),
            ("1.0.0", 4),
            ("1.1.0", 4),
            ("1.2.0", 6),
            ("1.4.0", 6),
            ("1.5.0", 9),
            ("1.8.4", 9),
            ("1.9.0", 10),
            ("1.10.0", 10),
            ("1.11.0", 10),
            ("1.12.5", 11),
            ("1.13.0", 19),
            ("1.14.0", 19),
        ] {
            assert_eq!(allowed_paths(&version(text)).len(), count, "{text}");
        }
    }

    #[test]
    fn enforcement_became_an_argument_with_1_12() {
        assert!(signatures_enforced_by_build(&version("1.11.9")));
        assert!(!signatures_enforced_by_build(&version("1.12.0-beta.0")));
        assert!(!signatures_enforced_by_build(&Version::NEWEST));
    }

    #[test]
    fn architectures_have_two_names() {
        assert_eq!(Architecture::parse("aarch64"), Some(Architecture::Arm64));
        assert_eq!(Architecture::parse("amd64").map(Architecture::machine), Some("x86_64"));
        assert_eq!(Architecture::parse("riscv64"), None);
    }
}
