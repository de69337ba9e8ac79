//! The installer image: what lies in it, by version, Secure Boot and architecture.
//!
//! pkg/imager/out.go (`outInstaller`) in siderolabs/talos: layers of the base, one layer with the boot
//! assets below `usr/install/<arch>/`, and one for a board's overlay (see [`super::overlay`]). Nothing is
//! kept of the base's configuration but how the installer starts.

use serde_json::{Map, Value, json};

use super::version::{Architecture, Feature, Tag};
use crate::base::{self, Digest, Epoch};
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
/// whose second layer is another assets layer, which is left out; every other base is kept whole.
pub fn kept_layers(base: usize) -> usize {
    if base == 2 { 1 } else { base }
}

/// What made a layer, for the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerRole {
    /// A layer of the base.
    Base,
    /// The boot assets.
    Assets,
    /// A board's overlay.
    Overlay,
}

impl LayerRole {
    fn created_by(self) -> &'static str {
        match self {
            Self::Base => "talosmith installer: base",
            Self::Assets => "talosmith installer: boot assets",
            Self::Overlay => "talosmith installer: overlay",
        }
    }
}

/// The base's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstallerError {
    /// It is no JSON object.
    #[error("the configuration of the base image is no JSON object")]
    Json(#[source] serde_json::Error),
    /// Its part `config` is none.
    #[error("`config` in the configuration of the base image is no JSON object")]
    Config,
}

/// Makes the image's configuration: of the base's the object `config` alone (`Env`, `Entrypoint`, `Labels`,
/// `WorkingDir` …), one entry of history for each layer. The same values give the same bytes.
pub fn config(
    base: &[u8],
    architecture: Architecture,
    created: Epoch,
    layers: &[(Digest, LayerRole)],
) -> Result<Vec<u8>, InstallerError> {
    let mut base: Map<String, Value> = serde_json::from_slice(base).map_err(InstallerError::Json)?;
    let inner = match base.remove("config") {
        Some(Value::Object(inner)) => inner,
        Some(Value::Null) | None => Map::new(),
        Some(_) => return Err(InstallerError::Config),
    };
    let created = created.to_string();
    let history =
        |(_, role): &(Digest, LayerRole)| json!({"created": created, "created_by": role.created_by()});
    Ok(base::json::to_vec(&json!({
        "architecture": architecture.go(),
        "config": inner,
        "created": created,
        "history": layers.iter().map(history).collect::<Vec<_>>(),
        "os": "linux",
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|(diff_id, _)| diff_id.to_string()).collect::<Vec<_>>(),
        },
    })))
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
        assert_eq!([0, 1, 2, 3, 9].map(kept_layers), [0, 1, 1, 3, 9]);
    }

    #[test]
    fn of_the_bases_configuration_only_how_it_starts_is_kept() {
        let base = br#"{"architecture":"s390x","author":"x","config":{"Entrypoint":["/bin/installer"],
            "Env":["PATH=/bin"],"Labels":{"b":"2","a":"1"},"WorkingDir":"/"},"created":"2024-01-01T00:00:00Z",
            "history":[{},{}],"os":"plan9","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let diff_id = Digest::of(b"x");
        let layers = [(diff_id, LayerRole::Base), (diff_id, LayerRole::Assets)];
        let bytes = config(base, Architecture::Arm64, Epoch::default(), &layers).unwrap();
        let expected = format!(
            r#"{{"architecture":"arm64","config":{{"Entrypoint":["/bin/installer"],"Env":["PATH=/bin"],"Labels":{{"a":"1","b":"2"}},"WorkingDir":"/"}},"created":"1970-01-01T00:00:00Z","history":[{{"created":"1970-01-01T00:00:00Z","created_by":"talosmith installer: base"}},{{"created":"1970-01-01T00:00:00Z","created_by":"talosmith installer: boot assets"}}],"os":"linux","rootfs":{{"diff_ids":["{diff_id}","{diff_id}"],"type":"layers"}}}}"#
        );
        assert_eq!(String::from_utf8(bytes).unwrap().trim_end(), expected);
        let bare = config(br#"{"config":null}"#, Architecture::Amd64, Epoch::default(), &[]).unwrap();
        assert!(String::from_utf8(bare).unwrap().contains(r#""config":{},"#));
        assert!(matches!(
            config(br#"{"config":[]}"#, Architecture::Amd64, Epoch::default(), &[]),
            Err(InstallerError::Config)
        ));
        assert!(config(b"[", Architecture::Amd64, Epoch::default(), &[]).is_err());
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
