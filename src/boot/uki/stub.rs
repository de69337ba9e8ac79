//! Which stub an image begins with, and what it can do.
//!
//! Systemd's EFI programs carry a line `#### LoaderInfo: NAME VERSION ####` (systemd: src/boot/stub.c), in
//! a section `.sdmagic` of its own, or in `.data` where `objcopy` made one section of all (version 252 for
//! arm64).

use std::io;

use memchr::memmem;

use crate::boot::pe::Section;

/// What stands before name and version.
const START: &[u8] = b"#### LoaderInfo: ";
/// What stands behind them.
const END: &[u8] = b" ####";
/// Where it may be.
const SECTIONS: &[&str] = &[".sdmagic", ".data", ".rodata"];
/// Most bytes of a section that are looked at; all of a stub has 100 KB.
const SECTION_MAX: u64 = 1 << 20;
/// The first version of systemd whose stub knows profiles.
pub const PROFILES_SINCE: u32 = 257;

/// What an EFI program of systemd's says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StubInfo {
    /// `systemd-stub`, `systemd-boot` or `systemd-addon`.
    pub name: String,
    /// Such as `257.13-1~deb13u1`.
    pub version: String,
}

impl StubInfo {
    /// What the sections say; `None` if it is no program of systemd's.
    pub fn of(sections: &[Section]) -> io::Result<Option<Self>> {
        for name in SECTIONS {
            for section in sections.iter().filter(|section| section.name == *name) {
                let content = &section.content;
                let part = content.slice(0, content.len().min(SECTION_MAX)); // never longer than it is
                let bytes = part.map(|part| part.read(SECTION_MAX)).transpose()?.unwrap_or_default();
                if let Some(info) = Self::parse(&bytes) {
                    return Ok(Some(info));
                }
            }
        }
        Ok(None)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.get(memmem::find(bytes, START)? + START.len()..)?;
        let line = rest.get(..memmem::find(rest, END)?)?;
        let (name, version) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        Some(Self { name: name.to_owned(), version: version.to_owned() })
    }

    /// Whether it is a stub that knows profiles. One that does not takes the last of all sections of a
    /// name, and so starts the kernel with the command line of the last profile (seen with 252).
    pub fn knows_profiles(&self) -> bool {
        let digits = self.version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        self.name == "systemd-stub" && digits.parse::<u32>().is_ok_and(|version| version >= PROFILES_SINCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_are_told_and_profiles_are_known_since_257() {
        for (version, knows) in [
            ("252.39-1~deb12u2", false),
            ("256", false),
            ("257.13-1~deb13u1", true),
            ("258~rc2", true),
            ("v", false),
        ] {
            let bytes = format!("\0\0#### LoaderInfo: systemd-stub {version} ####\0");
            let info = StubInfo::parse(bytes.as_bytes()).unwrap();
            assert_eq!((info.name.as_str(), info.version.as_str()), ("systemd-stub", version));
            assert_eq!(info.knows_profiles(), knows, "{version}");
        }
        let boot = StubInfo::parse(b"#### LoaderInfo: systemd-boot 257 ####").unwrap();
        assert!(!boot.knows_profiles());
        for text in ["", "#### LoaderInfo: ", "#### LoaderInfo: x ####", "LoaderInfo: systemd-stub 257"] {
            assert_eq!(StubInfo::parse(text.as_bytes()), None, "{text}");
        }
    }
}
