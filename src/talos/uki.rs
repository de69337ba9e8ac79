//! What Talos puts into its unified kernel images: which sections, in which order, with which texts.
//!
//! Sources: what upstream's imager (v1.15.0-alpha.0) wrote for each version (`testdata/uki.tsv`);
//! pkg/imager/out.go and internal/pkg/uki in siderolabs/talos.

use super::version::{Tag, Version};
use crate::base::Content;
use crate::boot::uki::section;

/// The name of the operating system in its images.
pub const NAME: &str = "Talos";
/// The profile that is started if none is chosen; its sections are those before it.
const MAIN_PROFILE: &str = "ID=main";
/// The profile of installers that takes a machine back to maintenance mode.
const RESET_PROFILE: &str = "ID=reset-maintenance\nTITLE=Reset to maintenance mode";
/// What its command line has behind the main one: the partitions to wipe.
const RESET_ARGUMENT: &str = " talos.experimental.wipe=system:EPHEMERAL,STATE";

/// A place in the order of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// `.osrel`: [`os_release`].
    OsRelease,
    /// `.cmdline` of the main profile.
    Cmdline,
    /// `.uname`: the release of the kernel.
    Uname,
    /// `.splash`.
    Splash,
    /// `.pcrpkey`, with Secure Boot.
    PcrKey,
    /// `.linux`.
    Kernel,
    /// `.initrd`.
    Initrd,
    /// `.profile` of the main profile.
    MainProfile,
    /// `.profile` of the one that resets the machine.
    ResetProfile,
    /// `.cmdline` of that profile.
    ResetCmdline,
    /// `.pcrsig`, with Secure Boot: the signatures of the profile before it.
    PcrSignature,
}

impl Slot {
    /// The name of the section.
    pub fn section(self) -> &'static str {
        match self {
            Self::OsRelease => section::OSREL,
            Self::Cmdline | Self::ResetCmdline => section::CMDLINE,
            Self::Uname => section::UNAME,
            Self::Splash => section::SPLASH,
            Self::PcrKey => section::PCRPKEY,
            Self::Kernel => section::LINUX,
            Self::Initrd => section::INITRD,
            Self::MainProfile | Self::ResetProfile => section::PROFILE,
            Self::PcrSignature => section::PCRSIG,
        }
    }

    fn is_of_profiles(self) -> bool {
        matches!(self, Self::MainProfile | Self::ResetProfile | Self::ResetCmdline)
    }

    fn needs_secure_boot(self) -> bool {
        matches!(self, Self::PcrKey | Self::PcrSignature)
    }
}

/// The order since a version, the newest first.
const ORDERS: &[((u64, u64), &[Slot])] = &[
    (
        (1, 10),
        &[
            Slot::OsRelease,
            Slot::Cmdline,
            Slot::Uname,
            Slot::Splash,
            Slot::PcrKey,
            Slot::Kernel,
            Slot::Initrd,
            Slot::MainProfile,
            Slot::PcrSignature,
            Slot::ResetProfile,
            Slot::ResetCmdline,
            Slot::PcrSignature,
        ],
    ),
    (
        (1, 5),
        &[
            Slot::OsRelease,
            Slot::Cmdline,
            Slot::Uname,
            Slot::Splash,
            Slot::PcrKey,
            Slot::Kernel,
            Slot::Initrd,
            Slot::PcrSignature,
        ],
    ),
];

/// The sections of an installer's image in their order; none before 1.5, when there were no such images.
pub fn order(version: &Version, secure_boot: bool) -> Vec<Slot> {
    let found = ORDERS.iter().find(|((major, minor), _)| version.since(*major, *minor));
    let slots = found.map_or(&[][..], |(_, slots)| slots);
    slots.iter().copied().filter(|slot| secure_boot || !slot.needs_secure_boot()).collect()
}

/// What goes into an image.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The version of Talos.
    pub talos: Tag,
    /// The kernel, an EFI program.
    pub kernel: Content,
    /// The kernel's own release, from its image.
    pub release: String,
    /// The initramfs.
    pub initrd: Content,
    /// The command line, its arguments separated by blanks.
    pub cmdline: String,
    /// A picture that is shown meanwhile.
    pub splash: Option<Content>,
    /// Whether the stub knows profiles ([`StubInfo::knows_profiles`]). Without them there is only the main
    /// command line.
    ///
    /// [`StubInfo::knows_profiles`]: crate::boot::uki::StubInfo::knows_profiles
    pub profiles: bool,
}

impl Parts {
    /// The sections of an unsigned image for this version: see [`order`].
    pub fn sections(&self) -> Vec<(&'static str, Content)> {
        let text = |text: &str| Some(Content::memory(text.as_bytes()));
        let content = |slot: Slot| match slot {
            Slot::OsRelease => text(&os_release(NAME, &self.talos.image_tag())),
            Slot::Cmdline => text(&self.cmdline),
            Slot::Uname => text(&self.release),
            Slot::Splash => self.splash.clone(),
            Slot::Kernel => Some(self.kernel.clone()),
            Slot::Initrd => Some(self.initrd.clone()),
            Slot::MainProfile => text(MAIN_PROFILE),
            Slot::ResetProfile => text(RESET_PROFILE),
            Slot::ResetCmdline => text(&format!("{}{RESET_ARGUMENT}", self.cmdline)),
            Slot::PcrKey | Slot::PcrSignature => None,
        };
        let slots = order(&self.talos.version(), false).into_iter();
        slots
            .filter(|slot| self.profiles || !slot.is_of_profiles())
            .filter_map(|slot| Some((slot.section(), content(slot)?)))
            .collect()
    }
}

/// The os-release file of an image (os-release(5)).
pub fn os_release(name: &str, version: &str) -> String {
    let id = name.to_lowercase().replace(' ', "_");
    format!(
        "NAME=\"{name}\"\n\
         ID={id}\n\
         VERSION_ID={version}\n\
         PRETTY_NAME=\"{name} ({version})\"\n\
         HOME_URL=\"https://www.talos.dev/\"\n\
         BUG_REPORT_URL=\"https://github.com/siderolabs/talos/issues\"\n\
         VENDOR_NAME=\"Sidero Labs\"\n\
         VENDOR_URL=\"https://www.siderolabs.com/\"\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// (version, for Secure Boot) → (section, text)…
    fn observed() -> BTreeMap<(&'static str, bool), Vec<(&'static str, String)>> {
        let mut images: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in include_str!("testdata/uki.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [version, kind, section, text] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let rows = images.entry((version, kind == "secure")).or_default();
            rows.push((section, text.replace("\\n", "\n")));
        }
        images
    }

    #[test]
    fn sections_come_in_the_order_and_with_the_texts_of_upstream() {
        let images = observed();
        assert_eq!(images.len(), 9);
        for ((version, secure), rows) in images {
            let version: Version = version.parse().unwrap();
            let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
            let ours: Vec<_> = order(&version, secure).into_iter().map(Slot::section).collect();
            assert_eq!(ours, names, "{version}, Secure Boot: {secure}");
            let parts = Parts {
                talos: version.clone().into(),
                kernel: Content::memory(*b"-"),
                release: "6.1.0-56-amd64".to_owned(),
                initrd: Content::memory(*b"-"),
                cmdline: rows[1].1.clone(),
                splash: Some(Content::memory(*b"-")),
                profiles: true,
            };
            let ours = parts.sections().into_iter();
            let ours: Vec<_> = ours
                .map(|(name, content)| (name, String::from_utf8(content.read(9999).unwrap()).unwrap()))
                .collect();
            let unsigned: Vec<_> = rows.into_iter().filter(|(name, _)| !name.starts_with(".pcr")).collect();
            assert_eq!(ours, unsigned, "{version}");
        }
    }

    #[test]
    fn there_are_no_images_before_1_5_and_splash_and_profiles_may_be_left_out() {
        assert!(order(&Version::new(1, 4, 9), true).is_empty());
        let parts = Parts {
            talos: Version::new(1, 10, 0).into(),
            kernel: Content::memory(*b"-"),
            release: "6".to_owned(),
            initrd: Content::memory(*b"-"),
            cmdline: "a".to_owned(),
            splash: None,
            profiles: true,
        };
        let sections = parts.sections();
        assert!(sections.iter().all(|(name, _)| *name != section::SPLASH));
        assert_eq!(sections.len(), 8);
        let names = Parts { profiles: false, ..parts }.sections().into_iter().map(|(name, _)| name);
        let main = [section::OSREL, section::CMDLINE, section::UNAME, section::LINUX, section::INITRD];
        assert_eq!(names.collect::<Vec<_>>(), main);
    }

    #[test]
    fn the_id_of_an_os_release_has_no_blanks() {
        let text = os_release("Acme Talos", "v1.2.3");
        assert!(text.starts_with("NAME=\"Acme Talos\"\nID=acme_talos\nVERSION_ID=v1.2.3\n"), "{text}");
    }
}
