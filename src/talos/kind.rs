//! What kind of image something is, told by what is in it (the guide itself mixes two of them up,
//! and readers who follow it lose days: an imager given as base installer works by accident).

use std::fmt;
use std::str::FromStr;

use crate::archive::tree::is_below;

/// The kinds of images in Talos' world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `manifest.yaml` and `rootfs/`.
    Extension,
    /// `/bin/imager` with the boot assets in `usr/install/<arch>/`.
    Imager,
    /// `/bin/installer` without boot assets.
    InstallerBase,
    /// `/bin/installer` with `vmlinuz.efi`, or kernel and initramfs.
    Installer,
    /// `boot/vmlinuz` and `usr/lib/modules/<release>/`.
    Kernel,
    /// `installers/` and `artifacts/`.
    Overlay,
    /// Files that are meant to be copied into something else.
    Package,
}

/// A word names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of image")]
pub struct KindError(pub String);

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| KindError(text.to_owned()))
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Extension,
        Self::Imager,
        Self::InstallerBase,
        Self::Installer,
        Self::Kernel,
        Self::Overlay,
        Self::Package,
    ];

    /// The kind's name, as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extension => "extension",
            Self::Imager => "imager",
            Self::InstallerBase => "installer-base",
            Self::Installer => "installer",
            Self::Kernel => "kernel",
            Self::Overlay => "overlay",
            Self::Package => "package",
        }
    }

    /// With its article, for messages: `an extension image`.
    pub fn described(self) -> &'static str {
        match self {
            Self::Extension => "an extension image",
            Self::Imager => "an imager image",
            Self::InstallerBase => "an installer-base image",
            Self::Installer => "an installer image",
            Self::Kernel => "a kernel image",
            Self::Overlay => "an overlay image",
            Self::Package => "a package image or another tree of files",
        }
    }

    /// Tells the kind by the image's entrypoint and the paths in it (normal form, files and
    /// directories).
    pub fn of(entrypoint: &[String], paths: &[&str]) -> Self {
        let has = |path: &str| paths.iter().any(|candidate| is_below(candidate, path));
        let starts = |program: &str| entrypoint.first().is_some_and(|first| first == program);
        let install = |name: &str| {
            paths.iter().any(|path| {
                path.strip_prefix("usr/install/")
                    .and_then(|rest| rest.split_once('/'))
                    .is_some_and(|(_, file)| file == name)
            })
        };
        if starts("/bin/imager") || (install("initramfs.xz") && install("systemd-stub.efi")) {
            Self::Imager
        } else if install("vmlinuz.efi") || (install("vmlinuz") && install("initramfs.xz")) {
            Self::Installer
        } else if starts("/bin/installer") {
            Self::InstallerBase
        } else if has("manifest.yaml") || has("rootfs") {
            Self::Extension
        } else if has("boot/vmlinuz") && (has("usr/lib/modules") || has("lib/modules")) {
            Self::Kernel
        } else if has("installers") && has("artifacts") {
            Self::Overlay
        } else {
            Self::Package
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_what_is_in_it() {
        let of = |entrypoint: &str, paths: &[&str]| {
            let entrypoint: Vec<String> = entrypoint.split_whitespace().map(str::to_owned).collect();
            Kind::of(&entrypoint, paths)
        };
        assert_eq!(of("", &["manifest.yaml", "rootfs", "rootfs/usr"]), Kind::Extension);
        assert_eq!(
            of("/bin/imager", &["usr/install/amd64/vmlinuz", "usr/install/amd64/initramfs.xz"]),
            Kind::Imager
        );
        assert_eq!(
            of("", &["usr/install/amd64/systemd-stub.efi", "usr/install/amd64/initramfs.xz"]),
            Kind::Imager
        );
        assert_eq!(of("/bin/installer", &["bin/installer"]), Kind::InstallerBase);
        assert_eq!(
            of("/bin/installer", &["bin/installer", "usr/install/arm64/vmlinuz.efi"]),
            Kind::Installer
        );
        assert_eq!(
            of("/bin/installer", &["usr/install/amd64/vmlinuz", "usr/install/amd64/initramfs.xz"]),
            Kind::Installer
        );
        assert_eq!(of("", &["boot/vmlinuz", "usr/lib/modules/6.12.0-talos/modules.order"]), Kind::Kernel);
        assert_eq!(of("", &["installers/rpi", "artifacts/arm64/x"]), Kind::Overlay);
        assert_eq!(of("", &["usr/lib/modules/6.12.0-talos/extras/x.ko"]), Kind::Package);
        assert_eq!(of("", &["bin"]), Kind::Package);
    }
}
