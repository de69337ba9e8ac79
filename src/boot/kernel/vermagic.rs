//! The version magic that a kernel holds modules against (kernel: include/linux/vermagic.h).

use super::banner::{RELEASE_MAX, is_release};
use super::scan::{Place, Seeker};

/// What follows the release. A kernel for one processor lacks it; nobody builds such for Talos.
const NEEDLE: &[u8] = b" SMP ";
/// The longest text from there on; with `RANDSTRUCT`, a hash of 64 characters is in it.
const LEN_MAX: usize = 256;
/// Texts that are kept: of one kernel there is one, and one that only looks alike does no harm.
const FOUND_MAX: usize = 16;

/// Looks for the version magic.
#[derive(Debug, Default)]
pub(super) struct VermagicSeeker {
    found: Vec<String>,
}

impl VermagicSeeker {
    /// The version magic of a kernel of this release.
    pub(super) fn of(self, release: &str) -> Option<String> {
        let own = |text: &String| text.split(' ').next() == Some(release);
        self.found.into_iter().find(own)
    }
}

impl Seeker for VermagicSeeker {
    fn needle(&self) -> &'static [u8] {
        NEEDLE
    }

    fn reach(&self) -> usize {
        LEN_MAX
    }

    fn lead(&self) -> usize {
        RELEASE_MAX + 1
    }

    fn found(&mut self, place: &Place<'_>) {
        let Some(start) = place.before.iter().rposition(|byte| *byte == 0) else { return };
        let release = place.before.get(start + 1..).unwrap_or_default();
        let Some(end) = place.bytes.iter().position(|byte| *byte == 0) else { return };
        let flags = place.bytes.get(..end).unwrap_or_default();
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || b" _".contains(byte);
        // The text ends in a space.
        if !flags.ends_with(b" ") || !flags.iter().all(word) {
            return;
        }
        if let (Ok(release), Ok(flags)) = (std::str::from_utf8(release), std::str::from_utf8(flags))
            && is_release(release)
            && self.found.len() < FOUND_MAX
        {
            self.found.push(format!("{release}{flags}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seek(text: &str) -> Option<String> {
        let mut seeker = VermagicSeeker::default();
        let at = text.find(" SMP ").unwrap();
        let (before, bytes) = text.as_bytes().split_at(at);
        seeker.found(&Place { position: 0, before, bytes });
        seeker.of("6.1.0-a")
    }

    #[test]
    fn the_version_magic_is_told_from_the_banner_and_from_other_releases() {
        assert_eq!(seek("x\x006.1.0-a SMP mod_unload aarch64\0").as_deref(), None, "no space at its end");
        assert_eq!(
            seek("x\x006.1.0-a SMP preempt mod_unload modversions \0y").as_deref(),
            Some("6.1.0-a SMP preempt mod_unload modversions ")
        );
        for text in [
            "\x006.1.0-b SMP mod_unload \0",
            "Linux version 6.1.0-a SMP mod_unload \0",
            "\x006.1.0-a (x@y) #1 SMP PREEMPT \0",
            "\x006.1.0-a SMP mod_unload ",
            "6.1.0-a SMP mod_unload \0",
        ] {
            assert_eq!(seek(text), None, "{text:?}");
        }
    }
}
