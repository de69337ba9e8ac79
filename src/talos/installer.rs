//! The installer image: what lies in it, by version, Secure Boot and architecture.
//!
//! pkg/imager/out.go (`outInstaller`) in siderolabs/talos: layers of the base, one layer with the boot
//! assets below `usr/install/<arch>/`, and one for a board's overlay (see [`super::overlay`]). Nothing is
//! kept of the base's configuration but how the installer starts.

use super::version::{Architecture, Feature, Tag};
use crate::image::RegistryReference;
use crate::image::reference::ReferenceError;

/// The mode of the boot assets. Upstream writes 0, which only root can read: a copy taken out of the image
/// by anybody else would have to be repaired. The installer runs as root and copies what it needs to the
/// boot partition, whose file system has no modes (FAT) or whose modes nobody asks for (XFS, before GRUB),
/// so that everybody may read and nobody need execute: firmware and GRUB load these files, no kernel does.
pub const ASSET_MODE: u32 = 0o644;

/// A boot asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asset {
    /// The kernel.
    Kernel,
    /// The initramfs with the extensions.
    Initramfs,
    /// The unified kernel image, signed for Secure Boot.
    Uki,
    /// systemd-boot, signed for Secure Boot.
    BootLoader,
    /// systemd-stub, of which UKIs are made; in imager images only.
    Stub,
}

impl Asset {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Kernel, Self::Initramfs, Self::Uki, Self::BootLoader, Self::Stub];

    /// Its file's name in imager and installer images.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Kernel => "vmlinuz",
            // Whatever compresses it.
            Self::Initramfs => "initramfs.xz",
            Self::Uki => "vmlinuz.efi",
            Self::BootLoader => "systemd-boot.efi",
            Self::Stub => "systemd-stub.efi",
        }
    }

    /// Where it lies in an imager image, and in an installer image unless [`assets`] says otherwise.
    pub fn path(self, architecture: Architecture) -> String {
        format!("{}/{}", folder(architecture), self.file_name())
    }
}

/// The folder of the boot assets, `usr/install/<arch>`.
pub fn folder(architecture: Architecture) -> String {
    format!("usr/install/{architecture}")
}

/// The boot assets of an installer with their paths, sorted by path: the whole of the assets layer.
pub fn assets(talos: &Tag, secure_boot: bool, architecture: Architecture) -> [(Asset, String); 2] {
    let at = |asset: Asset, suffix: &str| (asset, asset.path(architecture) + suffix);
    match (talos.has(Feature::SystemdBoot), secure_boot) {
        (true, _) => [at(Asset::BootLoader, ""), at(Asset::Uki, "")],
        // Installers of that time tell a signed kernel by its name.
        (false, true) => [at(Asset::BootLoader, ""), at(Asset::Uki, ".signed")],
        (false, false) => [at(Asset::Initramfs, ""), at(Asset::Kernel, "")],
    }
}

/// How many of the base's layers, counted from the lowest, are kept. A base of two layers is an installer
/// whose second layer is another assets layer, which is left out; every other base is kept whole. Upstream
/// does not look what is in that layer; here one with other files than boot assets is kept.
pub fn kept_layers(base: usize, second_holds_assets_alone: impl FnOnce() -> bool) -> usize {
    if base == 2 && second_holds_assets_alone() { 1 } else { base }
}

/// The tag of the image in a docker archive: the name of the base, as upstream gives it. The digest of a
/// pinned base is left out, since the image is another one; a base that has nothing but a digest leaves
/// the image without a tag, as it does upstream.
pub fn archive_tag(base: &RegistryReference) -> Option<String> {
    let tag = match (&base.tag, &base.digest) {
        (Some(tag), _) => tag,
        (None, None) => "latest",
        (None, Some(_)) => return None,
    };
    Some(format!("{}/{}:{tag}", base.host, base.repository))
}

/// The registry and folder of Talos' own images.
const OFFICIAL: &str = "ghcr.io/siderolabs";

/// Talos' own images that something is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Official {
    /// The boot assets.
    Imager,
    /// The base of an installer: `installer-base` since 1.10, `installer` before.
    Base,
    /// The catalogue of extensions.
    Extensions,
    /// The catalogue of overlays.
    Overlays,
}

impl Official {
    /// The image of that version. An error where the version is no tag.
    pub fn reference(self, talos: &Tag) -> Result<RegistryReference, ReferenceError> {
        let name = match self {
            Self::Imager => "imager",
            Self::Base if talos.has(Feature::InstallerBase) => "installer-base",
            Self::Base => "installer",
            Self::Extensions => "extensions",
            Self::Overlays => "overlays",
        };
        format!("{OFFICIAL}/{name}:{}", talos.image_tag()).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;
    use crate::talos::output::OutputKind;

    /// See `testdata/talos/NOTICE`.
    const OBSERVED: &str = include_str!("../../testdata/talos/layout.tsv");

    #[test]
    fn every_layout_is_that_of_the_real_imager() {
        let mut rows = 0;
        for row in OBSERVED.lines().skip(1) {
            let fields: Vec<&str> = row.split('\t').collect();
            let [talos, secure_boot, archive, members, codec, modules_dep] = fields[..] else {
                panic!("{row}");
            };
            let (talos, secure_boot) = (Tag::new(talos), secure_boot == "true");
            let amd64 = Architecture::Amd64;
            assert_eq!(OutputKind::Installer.file_name("metal", amd64, secure_boot), archive, "{row}");
            let paths = assets(&talos, secure_boot, amd64).map(|(_, path)| path);
            assert_eq!(paths.join(" "), members, "{row}");
            assert_eq!(if talos.has(Feature::Zstd) { "zstd" } else { "xz" }, codec, "{row}");
            assert_eq!(talos.has(Feature::UsrMerge).to_string(), modules_dep, "{row}");
            rows += 1;
        }
        assert_eq!(rows, 12);
    }

    #[test]
    fn what_is_no_version_gets_kernel_and_initramfs() {
        let [(first, _), (second, path)] = assets(&Tag::new("main"), false, Architecture::Arm64);
        assert_eq!((first, second), (Asset::Initramfs, Asset::Kernel));
        assert_eq!(path, "usr/install/arm64/vmlinuz");
    }

    #[test]
    fn the_second_of_two_base_layers_is_replaced() {
        assert_eq!([0, 1, 2, 3, 9].map(|count| kept_layers(count, || true)), [0, 1, 1, 3, 9]);
        assert_eq!(kept_layers(2, || false), 2);
    }

    #[test]
    fn an_archive_is_tagged_with_the_name_of_its_base() {
        let tag = |text: &str| archive_tag(&text.parse().unwrap());
        let digest = Digest::of(b"x");
        let name = "ghcr.io/siderolabs/installer-base";
        assert_eq!(tag(&format!("{name}:v1.11.3")), Some(format!("{name}:v1.11.3")));
        assert_eq!(tag(&format!("{name}:v1.11.3@{digest}")), Some(format!("{name}:v1.11.3")));
        assert_eq!(tag(name), Some(format!("{name}:latest")));
        assert_eq!(tag(&format!("{name}@{digest}")), None);
    }

    #[test]
    fn official_images_are_those_of_the_version() {
        let of = |image: Official, talos: &str| image.reference(&Tag::new(talos)).map(|own| own.to_string());
        assert_eq!(of(Official::Imager, "1.11.3").unwrap(), "ghcr.io/siderolabs/imager:v1.11.3");
        assert_eq!(of(Official::Base, "v1.9.6").unwrap(), "ghcr.io/siderolabs/installer:v1.9.6");
        assert_eq!(
            of(Official::Base, "v1.10.0-alpha.1").unwrap(),
            "ghcr.io/siderolabs/installer-base:v1.10.0-alpha.1"
        );
        assert_eq!(of(Official::Base, "main").unwrap(), "ghcr.io/siderolabs/installer-base:main");
        assert!(of(Official::Extensions, "no tag").is_err());
    }
}
