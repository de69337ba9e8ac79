//! The kinds of what Talos' imager makes, and the names of the files that it writes.
//!
//! pkg/imager/profile in siderolabs/talos: `OutputKind`, `OutFormat` and `Profile.OutputPath`; the suffixes
//! of compressed outputs are in pkg/imager/post.go.

use super::version::Architecture;

/// A kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// An image to boot from a CD or a stick.
    Iso,
    /// A disk image.
    Image,
    /// A container image for `talosctl upgrade` and `--install-image`.
    Installer,
    /// The kernel.
    Kernel,
    /// The initramfs with the extensions.
    Initramfs,
    /// A unified kernel image.
    Uki,
    /// The kernel command line, as text.
    Cmdline,
}

/// What becomes of the finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// Nothing.
    Raw,
    /// A tar in gzip with the file in it.
    TarGz,
    /// Compressed by xz.
    Xz,
    /// Compressed by gzip.
    Gz,
    /// Compressed by zstd.
    Zst,
}

impl OutputKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Iso, Self::Image, Self::Installer, Self::Kernel, Self::Initramfs, Self::Uki, Self::Cmdline];

    /// Its name in profiles.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iso => "iso",
            Self::Image => "image",
            Self::Installer => "installer",
            Self::Kernel => "kernel",
            Self::Initramfs => "initramfs",
            Self::Uki => "uki",
            Self::Cmdline => "cmdline",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether talosmith makes it.
    pub fn is_supported(self) -> bool {
        !matches!(self, Self::Iso | Self::Image)
    }

    /// The name of the file, which upstream gives it: `installer-amd64.tar`. A disk image's ends in the
    /// format of the disk, which is none of ours.
    pub fn file_name(self, platform: &str, architecture: Architecture, secure_boot: bool) -> String {
        let secure_boot = if secure_boot { "-secureboot" } else { "" };
        let machine = format!("{platform}-{architecture}{secure_boot}");
        match self {
            Self::Iso => format!("{machine}.iso"),
            Self::Image => format!("{machine}.raw"),
            Self::Installer => format!("installer-{architecture}{secure_boot}.tar"),
            Self::Kernel => format!("kernel-{architecture}"),
            Self::Initramfs => format!("initramfs-{machine}.xz"),
            Self::Uki => format!("{machine}-uki.efi"),
            Self::Cmdline => format!("cmdline-{machine}"),
        }
    }
}

impl OutputFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Raw, Self::TarGz, Self::Xz, Self::Gz, Self::Zst];

    /// Its name in profiles.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::TarGz => ".tar.gz",
            Self::Xz => ".xz",
            Self::Gz => ".gz",
            Self::Zst => ".zst",
        }
    }

    /// The format of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What the file's name gets behind it.
    pub fn suffix(self) -> &'static str {
        if self == Self::Raw { "" } else { self.name() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_upstreams_names() {
        let name = |kind: OutputKind, platform: &str, secure_boot: bool| {
            kind.file_name(platform, Architecture::Arm64, secure_boot)
        };
        for (kind, plain, secure) in [
            (OutputKind::Iso, "metal-arm64.iso", "metal-arm64-secureboot.iso"),
            (OutputKind::Installer, "installer-arm64.tar", "installer-arm64-secureboot.tar"),
            (OutputKind::Kernel, "kernel-arm64", "kernel-arm64"),
            (OutputKind::Initramfs, "initramfs-metal-arm64.xz", "initramfs-metal-arm64-secureboot.xz"),
            (OutputKind::Uki, "metal-arm64-uki.efi", "metal-arm64-secureboot-uki.efi"),
            (OutputKind::Cmdline, "cmdline-metal-arm64", "cmdline-metal-arm64-secureboot"),
        ] {
            assert_eq!(
                (name(kind, "metal", false), name(kind, "metal", true)),
                (plain.into(), secure.into())
            );
        }
        assert_eq!(name(OutputKind::Cmdline, "aws", false), "cmdline-aws-arm64");
    }

    #[test]
    fn kinds_and_formats_are_known_by_their_names() {
        for kind in OutputKind::ALL {
            assert_eq!(OutputKind::parse(kind.name()), Some(kind));
        }
        for format in OutputFormat::ALL {
            assert_eq!(OutputFormat::parse(format.name()), Some(format));
        }
        assert_eq!(OutputKind::parse("unknown"), None);
        assert_eq!((OutputFormat::Raw.suffix(), OutputFormat::TarGz.suffix()), ("", ".tar.gz"));
    }
}
