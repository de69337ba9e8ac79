//! The version magic that a kernel holds modules against (kernel: include/linux/vermagic.h).

use super::banner::{RELEASE_MAX, is_release};
use super::scan::{Place, Seeker};

/// What follows the release. A kernel for one processor lacks it; nobody builds such for Talos.
const NEEDLE: &[u8] = b" SMP ";
/// The longest text from there on; with `RANDSTRUCT`, a hash of 64 characters is in it.
const LEN_MAX: usize = 256;
/// Texts that are kept: of one kernel there is one, and one that only looks alike does no harm.
const FOUND_MAX: usize = 16;

/// What a flag begins with that has the hash of `RANDSTRUCT`; on arm64 it follows without a space.
const RANDSTRUCT: &[u8] = b"RANDSTRUCT_";

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
        if !is_whole(flags) || !flags.iter().all(word) {
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

/// Whether flags end as the kernel's do: each has a space behind it but the last two, `MODULE_ARCH_VERMAGIC`
/// where the architecture has one (arm64: arch/arm64/include/asm/vermagic.h) and that of `RANDSTRUCT`.
fn is_whole(flags: &[u8]) -> bool {
    let last = flags.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    last.is_empty() || last == b"aarch64" || last.windows(RANDSTRUCT.len()).any(|part| part == RANDSTRUCT)
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
    fn the_last_flags_have_no_space_behind_them() {
        for text in [
            "6.1.0-a SMP mod_unload modversions aarch64",
            "6.1.0-a SMP preempt mod_unload RANDSTRUCT_0123abcd",
            "6.1.0-a SMP mod_unload aarch64RANDSTRUCT_0123abcd",
        ] {
            assert_eq!(seek(&format!("x\0{text}\0y")).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_version_magic_is_told_from_the_banner_and_from_other_releases() {
        assert_eq!(seek("x\x006.1.0-a SMP mod_unload\0").as_deref(), None, "no space at its end");
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
