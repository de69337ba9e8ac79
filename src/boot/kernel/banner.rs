//! `linux_banner`, the line with which a kernel greets (kernel: init/version-timestamp.c).

use super::scan::{Place, Seeker};

const NEEDLE: &[u8] = b"Linux version ";
/// The longest banner that is read; that of Debian's kernels has 180 bytes.
const LEN_MAX: usize = 1 << 10;
/// The longest release (kernel: `__NEW_UTS_LEN`).
pub(super) const RELEASE_MAX: usize = 64;

/// Looks for the banner.
#[derive(Debug, Default)]
pub(super) struct BannerSeeker {
    /// What stands behind `Linux version `.
    pub(super) version: Option<String>,
}

impl Seeker for BannerSeeker {
    fn needle(&self) -> &'static [u8] {
        NEEDLE
    }

    fn reach(&self) -> usize {
        LEN_MAX
    }

    fn found(&mut self, place: &Place<'_>) {
        let rest = place.bytes.get(NEEDLE.len()..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| matches!(byte, 0 | b'\n')) else { return };
        let Some(text) = rest.get(..end).and_then(|text| std::str::from_utf8(text).ok()) else { return };
        let Some(release) = release_of(text) else { return };
        // A kernel since 6.1 has it twice, once without the build's number: `# SMP` for `#1 SMP`.
        let better = self
            .version
            .as_deref()
            .is_none_or(|known| release_of(known) == Some(release) && text.len() > known.len());
        if better {
            self.version = Some(text.to_owned());
        }
    }
}

/// Whether a word may be the release of a kernel.
pub(super) fn is_release(word: &str) -> bool {
    word.len() <= RELEASE_MAX
        && word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-_~".contains(&byte))
}

/// The first word of a version such as `6.1.0 (someone@there) … #1 SMP …`, if it is a release.
pub(super) fn release_of(version: &str) -> Option<&str> {
    let (release, rest) = version.split_once(' ')?;
    (is_release(release) && rest.starts_with('(')).then_some(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seek(texts: &[&str]) -> Option<String> {
        let mut seeker = BannerSeeker::default();
        for text in texts {
            seeker.found(&Place { position: 0, before: &[], bytes: text.as_bytes() });
        }
        seeker.version
    }

    #[test]
    fn a_banner_is_told_from_what_only_begins_like_one() {
        let (short, whole) = (
            "Linux version 6.1.0-a+b_c (x@y) (gcc) # SMP\0",
            "Linux version 6.1.0-a+b_c (x@y) (gcc) #1 SMP\n\0",
        );
        let version = Some("6.1.0-a+b_c (x@y) (gcc) #1 SMP".to_owned());
        assert_eq!(seek(&["Linux version %s (%s)\0", short, whole]), version);
        assert_eq!(
            seek(&[whole, short, "Linux version 5.9 (another) kernel, and longer than that\0"]),
            version
        );
        for text in [
            "Linux version 6.1.0-a (no end",
            "Linux version 6.1.0\0",
            "Linux version of ours (x)\0",
            "Linux version 6/1 (x)\0",
            "Linux version 6.1 is old\0",
        ] {
            assert_eq!(seek(&[text]), None, "{text}");
        }
        assert_eq!(release_of("6.1.0-a (x)"), Some("6.1.0-a"));
        assert_eq!(release_of(&format!("6{} (x)", "a".repeat(64))), None);
    }
}
