//! What of an extension goes where: microcode before the initramfs, firmware into it, since the kernel
//! asks for both before any layer is mounted; everything else into the layer. Links stay links.

use std::collections::BTreeMap;

use crate::archive::linked::LinkedTree;
use crate::archive::tree::{Entry, Kind, Tree, TreeError, is_below, join, parent, resolve_symlink};
use crate::base::Content;
use crate::talos::extension::firmware_dir;
use crate::talos::version::Version;

/// Links that are followed to a file of microcode.
const LINKS: usize = 8;

/// The parts of an extension's root file system.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// What the layer holds.
    pub rest: Tree,
    /// What goes into the initramfs, at its path: the folder of firmware with the directories above it.
    pub firmware: Tree,
    /// Intel's microcode, in the order of the files' names.
    pub intel: Vec<Content>,
    /// AMD's.
    pub amd: Vec<Content>,
}

/// Splits an extension's root file system. A hard link from one part into another becomes a file of its
/// own.
pub fn split(rootfs: &Tree, talos: &Version) -> Parts {
    let folder = firmware_dir(talos);
    let mut parts = Parts::default();
    if rootfs.get(folder).is_none_or(|entry| !entry.is_directory()) {
        parts.rest = rootfs.clone();
        return parts;
    }
    let (intel, amd) = (join(folder, "intel-ucode"), join(folder, "amd-ucode"));
    let side = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        match parent(path) {
            Some(parent) if parent == intel => Side::Intel,
            Some(parent) if parent == amd && name.starts_with("microcode_amd") && name.ends_with(".bin") => {
                Side::Amd
            }
            _ if is_below(path, folder) => Side::Firmware,
            _ => Side::Rest,
        }
    };
    let side = |path: &str| match side(path) {
        // A folder, or a link that leads to no file, is no microcode.
        Side::Intel | Side::Amd if file_at(rootfs, path).is_none() => Side::Firmware,
        side => side,
    };
    for (path, entry) in rootfs.iter() {
        let own = side(path);
        let entry = match &entry.kind {
            Kind::HardLink(target) if side(target) != own => {
                let content = rootfs.get(target).and_then(Entry::content).cloned();
                content.map_or_else(
                    || entry.clone(),
                    |content| Entry { kind: Kind::File(content), ..entry.clone() },
                )
            }
            _ => entry.clone(),
        };
        let tree = match own {
            Side::Intel => {
                parts.intel.extend(file_at(rootfs, path));
                continue;
            }
            Side::Amd => {
                parts.amd.extend(file_at(rootfs, path));
                continue;
            }
            Side::Firmware => &mut parts.firmware,
            Side::Rest => {
                if is_below(folder, path) {
                    // A directory above the folder of firmware: both have it.
                    let _ = parts.firmware.insert(path, entry.clone());
                }
                &mut parts.rest
            }
        };
        // What was a tree is one in parts: parents come first, and they are directories.
        let _ = tree.insert(path, entry);
    }
    parts
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Intel,
    Amd,
    Firmware,
    Rest,
}

/// The file at a path, perhaps through links.
fn file_at(tree: &Tree, path: &str) -> Option<Content> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match &tree.get(&path)?.kind {
            Kind::File(content) => return Some(content.clone()),
            Kind::HardLink(target) => path = target.clone(),
            Kind::Symlink(target) => path = resolve_symlink(&path, target)?,
            _ => return None,
        }
    }
    None
}

/// Two extensions have firmware at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path.
    pub path: String,
    /// The extension whose file is not used.
    pub loser: String,
    /// The later one.
    pub winner: String,
}

/// The firmware of all extensions.
#[derive(Debug, Clone, Default)]
pub struct MergedFirmware {
    /// What goes into the initramfs.
    pub tree: Tree,
    /// Paths that several extensions have, in the order of the extensions.
    pub conflicts: Vec<Conflict>,
}

/// The firmware of an extension cannot be laid over that of others.
#[derive(Debug, thiserror::Error)]
#[error("the firmware of extension `{extension}` cannot be laid over that of the extensions before it")]
pub struct FirmwareError {
    /// The extension.
    pub extension: String,
    /// Why.
    pub source: TreeError,
}

/// Lays the firmware of extensions over each other, in order: the last one wins.
pub fn merge_firmware(extensions: &[(&str, &Tree)]) -> Result<MergedFirmware, FirmwareError> {
    let mut tree = LinkedTree::default();
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for (name, firmware) in extensions {
        let failed = |source| FirmwareError { extension: (*name).to_owned(), source };
        for (path, entry) in firmware.iter() {
            let removed = match &entry.kind {
                Kind::HardLink(target) => {
                    let removed = tree.remove(path);
                    tree.link(path, target).map_err(failed)?;
                    removed
                }
                _ => tree.put(path, entry.clone()).map_err(failed)?,
            };
            for path in removed {
                if let Some(loser) = owners.remove(&path).filter(|owner| owner != name) {
                    let (loser, winner) = (loser.to_owned(), (*name).to_owned());
                    conflicts.push(Conflict { path, loser, winner });
                }
            }
            if !entry.is_directory() {
                owners.insert(path.to_owned(), name);
            }
        }
    }
    Ok(MergedFirmware { tree: tree.finish(), conflicts })
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
