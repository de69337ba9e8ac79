//! The names of sections that systemd's stub knows (systemd-stub(7)). `.sbat` and `.sdmagic` are the stub's own.

/// The kernel, an EFI program itself.
pub const LINUX: &str = ".linux";
/// The text of an os-release file.
pub const OSREL: &str = ".osrel";
/// The kernel's command line.
pub const CMDLINE: &str = ".cmdline";
/// The initramfs.
pub const INITRD: &str = ".initrd";
/// A Windows bitmap that is shown meanwhile.
pub const SPLASH: &str = ".splash";
/// The kernel's release.
pub const UNAME: &str = ".uname";
/// Begins a profile: the sections up to the next one replace those before the first.
pub const PROFILE: &str = ".profile";
/// Signatures of the expected measurements.
pub const PCRSIG: &str = ".pcrsig";
/// The public key of those signatures, PEM.
pub const PCRPKEY: &str = ".pcrpkey";

/// Of which there is at most one before the first profile, and in each.
pub(super) const ONCE: &[&str] = &[LINUX, OSREL, CMDLINE, INITRD, SPLASH, UNAME, PCRSIG, PCRPKEY];
