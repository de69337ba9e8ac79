//! Rules for the files of an extension image, on its flattened tree: `manifest.yaml` and `rootfs/`.
//!
//! They are stricter than upstream where upstream's checks do not do what they are for: paths are
//! compared by whole components, world-writable files are found, and so are symlinks that lead out.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::rules::Code;
use crate::archive::tree::{file_name, is_below, join, parent, resolve_symlink};
use crate::archive::{Entry, Kind, Tree};

/// The directory that holds the extension's files.
pub const ROOTFS: &str = "rootfs";

/// The file that describes the extension.
pub const MANIFEST: &str = "manifest.yaml";

/// Symlinks that are followed for one path, as many as Linux follows (`MAXSYMLINKS`).
const SYMLINKS_MAX: usize = 40;

/// The entries of the extension's root, by their paths below it; the root itself is not among them.
fn files(tree: &Tree) -> impl Iterator<Item = (&str, &Entry)> {
    tree.below(ROOTFS)
        .filter_map(|(path, entry)| Some((path.strip_prefix(ROOTFS)?.strip_prefix('/')?, entry)))
}

/// Only `manifest.yaml` and `rootfs/` may stand at the top level.
pub fn unexpected_entries(tree: &Tree) -> Vec<Finding> {
    tree.children("")
        .filter(|name| !matches!(*name, ROOTFS | MANIFEST))
        .map(|name| {
            Finding::new(Code::UnexpectedEntry, format!("`{name}` stands at the top level of the image"))
                .at(name)
                .expected("`manifest.yaml` and `rootfs` only", format!("`{name}`"))
                .hint("the files of an extension lie below `rootfs/`")
        })
        .collect()
}

/// There must be a regular file `manifest.yaml`. What it says is judged elsewhere.
pub fn manifest_missing(tree: &Tree) -> Vec<Finding> {
    let found = match tree.get(MANIFEST).map(|entry| &entry.kind) {
        Some(Kind::File(_)) => return Vec::new(),
        Some(other) => other.name(),
        None => "nothing",
    };
    vec![
        Finding::new(Code::ManifestMissing, "there is no file `manifest.yaml`")
            .at(MANIFEST)
            .expected("a regular file", found),
    ]
}

/// There must be a directory `rootfs`. For an extension that is still to be built, ask this only if
/// no other input makes one.
pub fn no_rootfs(tree: &Tree) -> Vec<Finding> {
    let found = match tree.get(ROOTFS).map(|entry| &entry.kind) {
        Some(Kind::Directory) => return Vec::new(),
        Some(other) => other.name(),
        None => "nothing",
    };
    vec![
        Finding::new(Code::NoRootfs, "there is no directory `rootfs`")
            .at(ROOTFS)
            .expected("a directory", found),
    ]
}

/// A root without a file does nothing.
pub fn empty_rootfs(tree: &Tree) -> Vec<Finding> {
    let is_root = tree.get(ROOTFS).is_some_and(Entry::is_directory);
    if !is_root || files(tree).any(|(_, entry)| !entry.is_directory()) {
        return Vec::new();
    }
    vec![Finding::new(Code::EmptyRootfs, "there are no files below `rootfs`").at(ROOTFS)]
}

/// Everything but directories must lie at or below one of `allowed` (such as `/usr/local`; they
/// depend on the Talos version).
pub fn paths_not_allowed(tree: &Tree, allowed: &[&str]) -> Vec<Finding> {
    let is_allowed = |path: &str| allowed.iter().any(|above| is_below(path, above.trim_matches('/')));
    files(tree)
        .filter(|(path, entry)| !entry.is_directory() && !is_allowed(path))
        .map(|(path, _)| {
            let finding =
                Finding::new(Code::PathNotAllowed, format!("`/{path}` is no place for files of extensions"))
                    .at(join(ROOTFS, path));
            // Talos 1.10 moved modules and firmware from /lib to /usr/lib.
            let moved = path.strip_prefix("usr/").map_or_else(|| format!("usr/{path}"), str::to_owned);
            if is_allowed(&moved) {
                return finding.hint(format!("this Talos version takes it at `/{moved}`"));
            }
            finding.hint(format!("allowed are {}", allowed.join(", ")))
        })
        .collect()
}

/// Nobody but the owner and the group may write. A symlink's mode has no meaning.
pub fn world_writable(tree: &Tree) -> Vec<Finding> {
    tree.below(ROOTFS)
        .filter(|(_, entry)| entry.mode & 0o002 != 0 && !matches!(entry.kind, Kind::Symlink(_)))
        .map(|(path, entry)| {
            let (kind, mode) = (entry.kind.name(), entry.mode);
            Finding::new(Code::WorldWritable, format!("{kind} `{path}` may be written by everyone"))
                .at(path)
                .expected(format!("mode {:04o}", mode & !0o002), format!("mode {mode:04o}"))
        })
        .collect()
}

/// Set-uid and set-gid files deserve a look. On a directory set-gid only passes the group on.
pub fn set_ids(tree: &Tree) -> Vec<Finding> {
    tree.below(ROOTFS)
        .filter(|(_, entry)| {
            entry.mode & 0o6000 != 0 && matches!(entry.kind, Kind::File(_) | Kind::HardLink(_))
        })
        .map(|(path, entry)| {
            let bits = match entry.mode & 0o6000 {
                0o4000 => "set-uid",
                0o2000 => "set-gid",
                _ => "set-uid and set-gid",
            };
            Finding::new(Code::SetId, format!("`{path}` is {bits}"))
                .at(path)
                .expected(format!("mode {:04o}", entry.mode & 0o1777), format!("mode {:04o}", entry.mode))
        })
        .collect()
}

/// Devices and fifos do not survive the imager.
pub fn special_files(tree: &Tree) -> Vec<Finding> {
    tree.below(ROOTFS)
        .filter(|(_, entry)| {
            matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo)
        })
        .map(|(path, entry)| {
            let kind = entry.kind.name();
            Finding::new(Code::SpecialFile, format!("`{path}` is a {kind}"))
                .at(path)
                .expected("a directory, regular file or symlink", format!("a {kind}"))
        })
        .collect()
}

/// Neither do hard links.
pub fn hard_links(tree: &Tree) -> Vec<Finding> {
    tree.below(ROOTFS)
        .filter_map(|(path, entry)| match &entry.kind {
            Kind::HardLink(target) => Some((path, target)),
            _ => None,
        })
        .map(|(path, target)| {
            Finding::new(Code::HardLink, format!("`{path}` is a hard link to `{target}`"))
                .at(path)
                .expected("a directory, regular file or symlink", "a hard link")
                .hint("copy the file, or make it a symlink")
        })
        .collect()
}

/// Every path may stand in the image once; `duplicates` are those that the reader of its layers
/// found twice, as a tree cannot hold them.
pub fn paths_twice(duplicates: &[String]) -> Vec<Finding> {
    duplicates
        .iter()
        .map(|path| Finding::new(Code::PathTwice, format!("`{path}` stands twice in the image")).at(path))
        .collect()
}

/// Names within one directory should differ in more than case (ASCII's).
pub fn case_collisions(tree: &Tree) -> Vec<Finding> {
    let mut seen: BTreeMap<(&str, String), &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for (path, _) in tree.below(ROOTFS) {
        let key = (parent(path).unwrap_or_default(), file_name(path).to_ascii_lowercase());
        match seen.get(&key) {
            Some(other) => findings.push(
                Finding::new(Code::CaseCollision, format!("`{path}` and `{other}` differ in case only"))
                    .at(path),
            ),
            None => drop(seen.insert(key, path)),
        }
    }
    findings
}

/// Where a symlink leads.
#[derive(Debug, PartialEq, Eq)]
enum Leads {
    /// To something in the extension.
    Inside,
    /// To something that is not in the extension.
    Nowhere,
    /// Above the root.
    Out,
    /// Back to itself.
    Round,
}

/// Follows the symlink at `link` (a path below `rootfs`) through the tree, as the kernel would with
/// `rootfs` as its root; but where the kernel stays at the root for `..`, this says [`Leads::Out`].
fn follow(tree: &Tree, link: &str, target: &str) -> Leads {
    if resolve_symlink(link, target).is_none() {
        return Leads::Out;
    }
    let components = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<String>>();
    let mut at =
        if target.starts_with('/') { Vec::new() } else { parent(link).map_or_else(Vec::new, components) };
    let mut pending = components(target);
    pending.reverse();
    let mut links = 1;
    while let Some(name) = pending.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." if at.pop().is_none() => return Leads::Out,
            ".." => continue,
            _ => at.push(name),
        }
        match tree.get(&join(ROOTFS, &at.join("/"))).map(|entry| &entry.kind) {
            Some(Kind::Symlink(_)) if links == SYMLINKS_MAX => return Leads::Round,
            Some(Kind::Symlink(next)) => {
                links += 1;
                at.pop();
                if next.starts_with('/') {
                    at.clear();
                }
                pending.extend(next.split('/').rev().map(str::to_owned));
            }
            Some(Kind::Directory) => {}
            Some(_) if pending.is_empty() => {}
            _ => return Leads::Nowhere,
        }
    }
    Leads::Inside
}

/// All symlinks with their targets and where they lead.
fn symlinks(tree: &Tree) -> impl Iterator<Item = (&str, &str, Leads)> {
    files(tree).filter_map(|(path, entry)| match &entry.kind {
        Kind::Symlink(target) => Some((path, target.as_str(), follow(tree, path, target))),
        _ => None,
    })
}

/// No symlink may lead above the root. Absolute targets count from there, as they do at run time.
pub fn symlinks_leaving(tree: &Tree) -> Vec<Finding> {
    symlinks(tree)
        .filter(|(.., leads)| *leads == Leads::Out)
        .map(|(path, target, _)| {
            let message = format!("symlink `{path}` to `{target}` leads out of the root file system");
            Finding::new(Code::SymlinkLeaves, message)
                .at(join(ROOTFS, path))
                .expected("a target inside", target)
        })
        .collect()
}

/// A symlink may lead to a file of Talos or of another extension, which cannot be seen here.
pub fn symlinks_dangling(tree: &Tree) -> Vec<Finding> {
    symlinks(tree)
        .filter_map(|(path, target, leads)| {
            let message = match leads {
                Leads::Inside | Leads::Out => return None,
                Leads::Nowhere => {
                    format!("symlink `{path}` leads to `{target}`, which is not in the extension")
                }
                Leads::Round => format!("symlink `{path}` to `{target}` leads round in a circle"),
            };
            Some(Finding::new(Code::SymlinkDangling, message).at(join(ROOTFS, path)))
        })
        .collect()
}

#[cfg(test)]
#[path = "extension_tests.rs"]
mod tests;
