//! Every difference between versions of Talos that decides how something is made for it, as one table.
//!
//! The rules are those of pkg/machinery/imager/quirks in siderolabs/talos. A pre-release counts as the
//! release that it leads to, so `v1.10.0-alpha.1` has what 1.10.0 has.

use super::Version;

/// Something that is so in some versions and not in others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// A unified kernel image can be made for it.
    Uki,
    /// Values of META may come to the installer compressed.
    CompressedMeta,
    /// Overlays for boards.
    Overlays,
    /// Initramfs and squashfs images are compressed with zstd; before, with xz.
    Zstd,
    /// `console=ttyS0` stands before `console=tty0` on metal (amd64).
    MetalSerialConsole,
    /// `talos.halt_if_installed=1` in ISO images.
    HaltIfInstalled,
    /// Modules and firmware lie below `/usr/lib`; before, below `/lib`.
    UsrMerge,
    /// Every UEFI installation boots a UKI by systemd-boot; before, only those with Secure Boot do.
    SystemdBoot,
    /// Profiles in a UKI: more than one entry of the boot menu.
    UkiProfiles,
    /// The base of an installer is the image `installer-base`; before, `installer`.
    InstallerBase,
    /// `selinux=1`.
    Selinux,
    /// The arguments of IMA.
    Ima,
    /// `module.sig_enforce=1` is an argument, which a user can take away; before, the kernel was built so.
    SignatureArgument,
    /// A machine configuration can lie in the image.
    EmbeddedConfig,
    /// `proc_mem.force_override=never`.
    ProcMemOverride,
    /// `init_on_alloc=1`.
    InitOnAlloc,
    /// `nvme_core.io_timeout=4294967295` everywhere; afterwards on AWS only.
    NvmeTimeout,
    /// `lockdown=confidentiality` with Secure Boot.
    Lockdown,
}

/// A row: what, since when, until when (that version no more has it).
struct Row(Feature, Bound, Bound);

/// A release, or no bound.
type Bound = Option<(u64, u64, u64)>;

const fn since(feature: Feature, major: u64, minor: u64, patch: u64) -> Row {
    Row(feature, Some((major, minor, patch)), None)
}

const fn until(feature: Feature, major: u64, minor: u64, patch: u64) -> Row {
    Row(feature, None, Some((major, minor, patch)))
}

/// Each feature once.
const FEATURES: [Row; 18] = [
    since(Feature::Uki, 1, 5, 0),
    since(Feature::CompressedMeta, 1, 6, 3),
    since(Feature::Overlays, 1, 7, 0),
    since(Feature::Zstd, 1, 8, 0),
    until(Feature::MetalSerialConsole, 1, 8, 0),
    since(Feature::HaltIfInstalled, 1, 8, 0),
    since(Feature::UsrMerge, 1, 10, 0),
    since(Feature::SystemdBoot, 1, 10, 0),
    since(Feature::UkiProfiles, 1, 10, 0),
    since(Feature::InstallerBase, 1, 10, 0),
    since(Feature::Selinux, 1, 10, 0),
    until(Feature::Ima, 1, 11, 0),
    since(Feature::SignatureArgument, 1, 12, 0),
    since(Feature::EmbeddedConfig, 1, 12, 0),
    since(Feature::ProcMemOverride, 1, 13, 0),
    until(Feature::InitOnAlloc, 1, 14, 0),
    until(Feature::NvmeTimeout, 1, 14, 0),
    until(Feature::Lockdown, 1, 14, 0),
];

impl Version {
    /// Whether this version has `feature`.
    pub fn has(&self, feature: Feature) -> bool {
        let core = (self.major, self.minor, self.patch);
        FEATURES.iter().filter(|Row(own, ..)| *own == feature).any(|Row(_, since, until)| {
            since.is_none_or(|since| since <= core) && until.is_none_or(|until| core < until)
        })
    }
}

impl Feature {
    /// The first release that has it, for messages; `None` for what later releases lack.
    pub fn since(self) -> Option<Version> {
        let row = FEATURES.iter().find(|Row(own, ..)| *own == self)?;
        row.1.map(|(major, minor, patch)| Version::new(major, minor, patch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_its_row_and_changes_where_the_row_says() {
        let releases = [
            "1.4.8",
            "1.5.0-alpha.0",
            "1.6.2",
            "1.6.3",
            "1.7.0",
            "1.7.9",
            "1.8.0",
            "1.9.6",
            "1.10.0-beta.1",
            "1.10.9",
            "1.11.0",
            "1.12.0",
            "1.13.0",
            "1.14.0-alpha.0",
            "1.15.0",
        ];
        // One letter a release: `#` has it.
        for (feature, expected) in [
            (Feature::Uki, ".##############"),
            (Feature::CompressedMeta, "...############"),
            (Feature::Overlays, "....###########"),
            (Feature::Zstd, "......#########"),
            (Feature::MetalSerialConsole, "######........."),
            (Feature::HaltIfInstalled, "......#########"),
            (Feature::UsrMerge, "........#######"),
            (Feature::SystemdBoot, "........#######"),
            (Feature::UkiProfiles, "........#######"),
            (Feature::InstallerBase, "........#######"),
            (Feature::Selinux, "........#######"),
            (Feature::Ima, "##########....."),
            (Feature::SignatureArgument, "...........####"),
            (Feature::EmbeddedConfig, "...........####"),
            (Feature::ProcMemOverride, "............###"),
            (Feature::InitOnAlloc, "#############.."),
            (Feature::NvmeTimeout, "#############.."),
            (Feature::Lockdown, "#############.."),
        ] {
            let has = |text: &&str| text.parse::<Version>().unwrap().has(feature);
            let found: String = releases.iter().map(|text| if has(text) { '#' } else { '.' }).collect();
            assert_eq!(found, expected, "{feature:?}");
            assert_eq!(FEATURES.iter().filter(|row| row.0 == feature).count(), 1, "{feature:?}");
        }
    }

    #[test]
    fn a_message_can_name_the_first_release_with_a_feature() {
        assert_eq!(Feature::CompressedMeta.since().unwrap().to_string(), "v1.6.3");
        assert_eq!(Feature::Ima.since(), None);
    }
}
