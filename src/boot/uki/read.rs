//! Taking a unified kernel image apart.
//!
//! The sections before the first `.profile` are the base. Each `.profile` begins a group whose sections
//! replace those of the base (systemd: src/boot/pe.c, `pe_locate_profile_sections`).

use std::io;

use super::profile::ProfileText;
use super::section::{CMDLINE, INITRD, LINUX, OSREL, PROFILE, SPLASH, UNAME};
use super::stub::StubInfo;
use crate::base::Content;
use crate::boot::machine::Machine;
use crate::boot::pe::{Pe, PeError, Section};

/// The longest text that is read of a section. Command lines have 2 KiB, os-release files less than 1.
pub(super) const TEXT_MAX: u64 = 64 << 10;

/// Bytes are no unified kernel image.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No PE file at all.
    #[error("not a unified kernel image")]
    Pe(#[from] PeError),
    /// A PE file without a kernel in it, such as a boot loader or a kernel.
    #[error("not a unified kernel image: it has no section `.linux`")]
    NoKernel,
    /// A text that is none.
    #[error("section `{0}` is no text")]
    NotText(&'static str),
    /// A text that is too long, or cannot be read.
    #[error("section `{name}` cannot be read")]
    Read {
        /// The section.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A choice that an image offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What it says of itself; nothing in an image without profiles.
    pub text: ProfileText,
    /// The command line that it starts the kernel with.
    pub cmdline: Option<String>,
}

/// A unified kernel image that was read.
#[derive(Debug, Clone)]
pub struct Uki {
    /// What it runs on.
    pub machine: Machine,
    /// The kernel.
    pub kernel: Content,
    /// The initramfs.
    pub initrd: Option<Content>,
    /// The text of the os-release file.
    pub osrel: Option<String>,
    /// The release of the kernel, as the image tells it.
    pub uname: Option<String>,
    /// The picture.
    pub splash: Option<Content>,
    /// What it offers, in its order; one without a name in an image without profiles.
    pub profiles: Vec<Profile>,
    /// The stub, if it is systemd's.
    pub stub: Option<StubInfo>,
    /// Whether it has an Authenticode signature.
    pub signed: bool,
    /// All sections in file order, the stub's own among them.
    pub sections: Vec<Section>,
}

impl Uki {
    /// Reads an image.
    pub fn read(content: &Content) -> Result<Self, ReadError> {
        let pe = Pe::read(content)?;
        let mut groups = groups(pe.sections()).into_iter();
        let base = groups.next().unwrap_or_default();
        let of_base = |name| find(base, name).map(|section| section.content.clone());
        let cmdline = text(base, CMDLINE)?;
        let mut profiles = Vec::new();
        for group in groups {
            let text = ProfileText::parse(&self::text(group, PROFILE)?.unwrap_or_default());
            profiles.push(Profile { text, cmdline: self::text(group, CMDLINE)?.or_else(|| cmdline.clone()) });
        }
        if profiles.is_empty() {
            profiles.push(Profile { text: ProfileText::default(), cmdline });
        }
        Ok(Self {
            machine: pe.machine(),
            kernel: of_base(LINUX).ok_or(ReadError::NoKernel)?,
            initrd: of_base(INITRD),
            osrel: text(base, OSREL)?,
            uname: text(base, UNAME)?,
            splash: of_base(SPLASH),
            profiles,
            stub: StubInfo::of(pe.sections()).map_err(PeError::from)?,
            signed: pe.is_signed(),
            sections: pe.sections().to_vec(),
        })
    }
}

/// The base, and the group of each profile, which begins with its `.profile`.
fn groups(sections: &[Section]) -> Vec<&[Section]> {
    let mut groups = Vec::new();
    let mut rest = sections;
    while let Some(at) = rest.iter().skip(1).position(|section| section.name == PROFILE) {
        let (group, behind) = rest.split_at(at + 1); // `at` was counted from the second
        groups.push(group);
        rest = behind;
    }
    groups.push(rest);
    // Without a base the first group is that of a profile.
    if sections.first().is_some_and(|first| first.name == PROFILE) {
        groups.insert(0, &[]);
    }
    groups
}

fn find<'a>(sections: &'a [Section], name: &str) -> Option<&'a Section> {
    sections.iter().find(|section| section.name == name)
}

fn text(sections: &[Section], name: &'static str) -> Result<Option<String>, ReadError> {
    let Some(section) = find(sections, name) else { return Ok(None) };
    let bytes = section.content.read(TEXT_MAX).map_err(|source| ReadError::Read { name, source })?;
    String::from_utf8(bytes).map(Some).map_err(|_| ReadError::NotText(name))
}
