//! The extension image: where things lie in it and what its tree may hold when it is written.
//!
//! The flattened image is `manifest.yaml` and `rootfs/`, nothing else (Talos,
//! `pkg/machinery/extensions`); directories, files and symlinks only, because the imager's reader
//! turns hard links into empty files and devices into regular ones.

use std::collections::BTreeMap;

use super::version::{Feature, Version};
use crate::archive::tree::{self, Entry, Kind, Tree};

/// The directory of an image below which its files lie.
pub const ROOTFS: &str = "rootfs";
/// The image's manifest.
pub const MANIFEST: &str = "manifest.yaml";
/// The name of the attribute that Talos keeps, and keeps alone.
pub const SELINUX: &str = "security.selinux";
/// The suffixes of modules that Talos' loader cannot load as they are.
const COMPRESSED: [&str; 3] = [".ko.zst", ".ko.xz", ".ko.gz"];

/// Where kernel modules lie in a rootfs: since Talos 1.10, and before.
pub const MODULES: [&str; 2] = ["usr/lib/modules", "lib/modules"];
/// Where firmware lies in a rootfs: since Talos 1.10, and before.
pub const FIRMWARE: [&str; 2] = ["usr/lib/firmware", "lib/firmware"];

/// Where kernel modules lie in a rootfs of this version.
pub fn modules_dir(version: &Version) -> &'static str {
    let [new, old] = MODULES;
    if version.has(Feature::UsrMerge) { new } else { old }
}

/// Where firmware lies in a rootfs of this version.
pub fn firmware_dir(version: &Version) -> &'static str {
    let [new, old] = FIRMWARE;
    if version.has(Feature::UsrMerge) { new } else { old }
}

/// The releases of kernels that a folder of modules has a directory for.
pub fn releases(tree: &Tree, folder: &str) -> Vec<String> {
    let is_directory = |name: &&str| tree.get(&tree::join(folder, name)).is_some_and(Entry::is_directory);
    tree.children(folder).filter(is_directory).map(str::to_owned).collect()
}

/// Where a module of the user's own goes: below `extras/`, which `depmod` prefers to the kernel's own.
pub fn module_path(version: &Version, release: &str, file_name: &str) -> String {
    format!("{}/{release}/extras/{file_name}", modules_dir(version))
}

/// The name of a compressed module without its compression: `x.ko.zst` → `x.ko`. `None` for every
/// other path.
pub fn uncompressed_name(path: &str) -> Option<&str> {
    let suffix = COMPRESSED.iter().find(|suffix| path.ends_with(**suffix))?;
    path.get(..path.len() - suffix.len() + ".ko".len())
}

/// Whether a path of a rootfs lies in the modules' folder of any Talos version.
pub fn is_in_modules_dir(path: &str) -> bool {
    MODULES.iter().any(|folder| tree::is_below(path, folder))
}

/// Turns hard links into files of their own. Returns the links whose target is no file.
pub fn resolve_hard_links(tree: &mut Tree) -> Vec<(String, String)> {
    let links: Vec<(String, String)> = tree
        .iter()
        .filter_map(|(path, entry)| match &entry.kind {
            Kind::HardLink(target) => Some((path.to_owned(), target.clone())),
            _ => None,
        })
        .collect();
    let mut dangling = Vec::new();
    for (path, target) in links {
        let resolved = tree.get(&target).filter(|entry| entry.content().is_some()).cloned();
        match (resolved, tree.get_mut(&path)) {
            (Some(target), Some(link)) => *link = target,
            _ => dangling.push((path, target)),
        }
    }
    dangling
}

/// Brings modes, owners and times to what every build gives, whoever's files they are: 0:0, time 0,
/// directories 0755, files 0755 if their owner may execute them and 0644 otherwise. With
/// `keep_mode` the permission bits stay.
pub fn normalise(tree: &mut Tree, keep_mode: bool) {
    let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_owned()).collect();
    for path in paths {
        let Some(entry) = tree.get_mut(&path) else { continue };
        (entry.uid, entry.gid, entry.mtime) = (0, 0, 0);
        // Talos' imager keeps this attribute and no other; on a build host others mean nothing.
        entry.xattrs.retain(|name, _| name == SELINUX);
        if !keep_mode {
            entry.mode = match entry.kind {
                Kind::Directory => 0o755,
                Kind::Symlink(_) => 0o777,
                Kind::File(_) if entry.mode & 0o100 != 0 => 0o755,
                _ => 0o644,
            };
        }
    }
}

/// Sets SELinux labels: on each path itself and on everything below it that has no label of a
/// longer path. Returns the paths that are not in the tree.
pub fn label(tree: &mut Tree, labels: &BTreeMap<String, String>) -> Vec<String> {
    let mut missing = Vec::new();
    // In order, so that a longer path, which sorts behind its parents, has the last word.
    for (path, label) in labels {
        let below: Vec<String> = tree.below(path).map(|(path, _)| path.to_owned()).collect();
        if below.is_empty() {
            missing.push(path.clone());
        }
        for path in below {
            if let Some(entry) = tree.get_mut(&path) {
                // The kernel and setfiles store labels with their terminating NUL.
                let value = [label.as_bytes(), b"\0"].concat();
                entry.xattrs.insert(SELINUX.to_owned(), value);
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Entry;
    use crate::base::Content;

    fn file(mode: u32) -> Entry {
        Entry::file(mode, Content::memory(&b"x"[..]))
    }

    #[test]
    fn modes_follow_the_owners_right_to_execute() {
        let mut tree = Tree::new();
        tree.insert("bin/tool", Entry { uid: 1000, mtime: 99, ..file(0o4700) }).unwrap();
        tree.insert("etc/conf", file(0o666)).unwrap();
        tree.get_mut("etc").unwrap().mode = 0o700;
        normalise(&mut tree, false);
        let modes: Vec<u32> = tree.iter().map(|(_, entry)| entry.mode).collect();
        assert_eq!(modes, [0o755, 0o755, 0o755, 0o644]);
        assert_eq!((tree.get("bin/tool").unwrap().uid, tree.get("bin/tool").unwrap().mtime), (0, 0));
        tree.get_mut("etc/conf").unwrap().mode = 0o600;
        normalise(&mut tree, true);
        assert_eq!(tree.get("etc/conf").unwrap().mode, 0o600);
    }

    #[test]
    fn hard_links_become_files_and_dangling_ones_are_told() {
        let mut tree = Tree::new();
        tree.insert("a", file(0o755)).unwrap();
        tree.insert("b", Entry::new(0o644, Kind::HardLink("a".into()))).unwrap();
        tree.insert("c", Entry::new(0o644, Kind::HardLink("nowhere".into()))).unwrap();
        assert_eq!(resolve_hard_links(&mut tree), [("c".to_owned(), "nowhere".to_owned())]);
        assert_eq!(tree.get("b").unwrap().content().unwrap().read(9).unwrap(), b"x");
    }

    #[test]
    fn the_longest_labelled_path_decides() {
        let mut tree = Tree::new();
        tree.insert("usr/lib/modules/x.ko", file(0o644)).unwrap();
        tree.insert("usr/local/bin/y z", file(0o755)).unwrap();
        let labels = BTreeMap::from([
            ("usr".to_owned(), "u:usr_t".to_owned()),
            ("usr/lib/modules".to_owned(), "u:module_t".to_owned()),
            ("nowhere".to_owned(), "u:x_t".to_owned()),
        ]);
        assert_eq!(label(&mut tree, &labels), ["nowhere"]);
        let of = |path: &str| String::from_utf8(tree.get(path).unwrap().xattrs[SELINUX].clone()).unwrap();
        assert_eq!(of("usr/lib/modules/x.ko"), "u:module_t\0");
        assert_eq!(of("usr/local/bin/y z"), "u:usr_t\0");
    }

    #[test]
    fn compressed_modules_are_told_by_their_name() {
        assert_eq!(uncompressed_name("a/x.ko.zst"), Some("a/x.ko"));
        assert_eq!(uncompressed_name("x.ko.xz"), Some("x.ko"));
        assert_eq!(uncompressed_name("x.ko"), None);
        assert_eq!(uncompressed_name("x.zst"), None);
    }
}
