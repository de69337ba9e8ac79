//! Kernel and initramfs among the boot assets of one architecture, in whichever form they are there.

use crate::archive::Tree;
use crate::archive::tree::{Entry, join};
use crate::base::{Content, chain};
use crate::boot::Uki;
use crate::talos::installer::{Asset, folder};
use crate::talos::version::Architecture;

/// What the unified kernel image of an installer with Secure Boot is called.
const SIGNED_UKI: &str = "vmlinuz.efi.signed";

/// What boots.
#[derive(Debug, Default)]
pub struct BootFiles {
    /// The unified kernel image, if there is one: its bytes, and what was read of it or why nothing was.
    pub uki: Option<(Content, Result<Uki, String>)>,
    /// The kernel: that of the unified kernel image, if it has one.
    pub kernel: Option<Content>,
    /// The initramfs, likewise.
    pub initramfs: Option<Content>,
}

impl BootFiles {
    /// Those of an image that has them in `usr/install/<arch>/`; `None` if there is no such folder.
    pub fn of(tree: &Tree, architecture: Architecture) -> Option<Self> {
        let folder = folder(architecture);
        tree.get(&folder)?;
        Some(Self::in_folder(tree, &folder))
    }

    /// Those that lie in this folder; there may be none.
    pub fn in_folder(tree: &Tree, folder: &str) -> Self {
        let file = |name: &str| tree.get(&join(folder, name)).and_then(Entry::content).cloned();
        let mut files = Self {
            uki: None,
            kernel: file(Asset::Kernel.file_name()),
            initramfs: file(Asset::Initramfs.file_name()),
        };
        if let Some(content) = file(Asset::Uki.file_name()).or_else(|| file(SIGNED_UKI)) {
            let uki = Uki::read(&content).map_err(|error| chain(&error));
            if let Ok(uki) = &uki {
                files.kernel = Some(uki.kernel.clone());
                files.initramfs.clone_from(&uki.initrd);
            }
            files.uki = Some((content, uki));
        }
        files
    }

    /// The unified kernel image, if it could be read.
    pub fn read_uki(&self) -> Option<&Uki> {
        self.uki.as_ref()?.1.as_ref().ok()
    }

    /// Whether there is nothing that boots.
    pub fn is_empty(&self) -> bool {
        self.uki.is_none() && self.kernel.is_none() && self.initramfs.is_none()
    }
}

/// The Talos version of a unified kernel image, by its os-release file.
pub fn talos_of(uki: &Uki) -> Option<String> {
    let version = |line: &str| Some(line.strip_prefix("VERSION_ID=")?.trim_matches('"').to_owned());
    uki.osrel.as_deref()?.lines().find_map(version)
}
