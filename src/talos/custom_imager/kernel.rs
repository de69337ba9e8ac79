//! The files of a kernel image.

use super::super::extension::{MODULES, releases};
use crate::archive::Tree;
use crate::archive::tree::{Kind, file_name, is_below, join, resolve_symlink};
use crate::base::Content;

/// The kernel.
pub const VMLINUZ: &str = "boot/vmlinuz";
/// What the kernel's package says of itself, in SPDX.
pub const SBOM: &str = "usr/share/spdx/kernel.spdx.json";
/// Names of lists of the kernel's symbols: the one with CRCs first.
const SYMBOLS: [&str; 2] = ["Module.symvers", "System.map"];
/// Links of links that are followed; Linux follows 40.
const LINKS_MAX: usize = 40;

/// A tree is not that of a kernel image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelFilesError {
    /// Something that a kernel image has is not there.
    #[error("there is no `{0}`")]
    Missing(&'static str),
    /// The kernel has no modules.
    #[error("there is no folder of a kernel release in `{}`", MODULES[0])]
    NoRelease,
    /// Modules of several kernels.
    #[error("there are modules for {} kernel releases: {}", .0.len(), .0.join(", "))]
    SeveralReleases(Vec<String>),
}

/// What a kernel image brings.
#[derive(Debug, Clone)]
pub struct KernelFiles<'a> {
    tree: &'a Tree,
    /// The kernel itself.
    pub vmlinuz: &'a Content,
    /// The release, by the one folder of modules.
    pub release: String,
    /// That folder.
    pub folder: String,
}

impl<'a> KernelFiles<'a> {
    /// Finds them in the root file system of a kernel image.
    pub fn of(tree: &'a Tree) -> Result<Self, KernelFilesError> {
        let vmlinuz = content_at(tree, VMLINUZ).ok_or(KernelFilesError::Missing(VMLINUZ))?;
        let (modules, releases) = MODULES
            .into_iter()
            .map(|folder| (folder, releases(tree, folder)))
            .find(|(_, releases)| !releases.is_empty())
            .ok_or(KernelFilesError::NoRelease)?;
        match releases.as_slice() {
            [release] => {
                let (folder, release) = (join(modules, release), release.clone());
                Ok(Self { tree, vmlinuz, release, folder })
            }
            _ => Err(KernelFilesError::SeveralReleases(releases)),
        }
    }

    /// The file at a path below the folder of modules, links followed.
    pub fn module_file(&self, path: &str) -> Option<&'a Content> {
        content_at(self.tree, &join(&self.folder, path))
    }

    /// The paths below the folder of modules.
    pub fn module_paths(&self) -> impl Iterator<Item = &str> {
        let below = self.tree.below(&self.folder).map(|(path, _)| path);
        below.filter_map(|path| path.strip_prefix(self.folder.as_str())?.strip_prefix('/'))
    }

    /// The lists of the kernel's symbols, with their paths: wherever the image has them.
    pub fn symbol_lists(&self) -> Vec<(&'a str, &'a Content)> {
        let lists = SYMBOLS.into_iter().flat_map(|name| {
            let named = move |path: &str| {
                let rest = file_name(path).strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            };
            self.tree.iter().filter(move |(path, _)| named(path))
        });
        lists.filter_map(|(path, entry)| Some((path, entry.content()?))).collect()
    }

    /// What its package says of itself.
    pub fn sbom(&self) -> Option<&'a Content> {
        content_at(self.tree, SBOM)
    }
}

/// The content of a file, or of the one that links lead to, within the tree.
fn content_at<'a>(tree: &'a Tree, path: &str) -> Option<&'a Content> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        path = match tree.get(&path).map(|entry| &entry.kind) {
            Some(Kind::File(content)) => return Some(content),
            Some(Kind::HardLink(target)) => target.clone(),
            Some(Kind::Symlink(target)) => resolve_symlink(&path, target)?,
            Some(_) => return None,
            None => through_link(tree, &path)?,
        };
    }
    None
}

/// A path that leads through a link to a folder, as `lib/modules` where `lib` is `usr/lib`.
fn through_link(tree: &Tree, path: &str) -> Option<String> {
    let (link, target) = tree.iter().find_map(|(above, entry)| match &entry.kind {
        Kind::Symlink(target) if above != path && is_below(path, above) => Some((above, target)),
        _ => None,
    })?;
    let rest = path.strip_prefix(link)?.trim_start_matches('/');
    Some(join(&resolve_symlink(link, target)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Entry;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new();
        for path in paths {
            tree.insert(path, Entry::file(0o644, Content::memory(path.as_bytes()))).unwrap();
        }
        tree
    }

    #[test]
    fn a_kernel_image_has_a_kernel_and_the_modules_of_one_release() {
        let whole = ["boot/vmlinuz", "usr/lib/modules/1.2/modules.order", "boot/System.map-1.2"];
        let whole = tree(&whole);
        let files = KernelFiles::of(&whole).unwrap();
        assert_eq!((files.release.as_str(), files.folder.as_str()), ("1.2", "usr/lib/modules/1.2"));
        assert_eq!(files.module_paths().collect::<Vec<_>>(), ["modules.order"]);
        assert_eq!(files.symbol_lists()[0].0, "boot/System.map-1.2");
        let of = |paths: &[&str]| KernelFiles::of(&tree(paths)).err();
        assert_eq!(of(&["usr/lib/modules/1/x"]), Some(KernelFilesError::Missing(VMLINUZ)));
        assert_eq!(of(&["boot/vmlinuz", "usr/lib/modules/x"]), Some(KernelFilesError::NoRelease));
        let two = of(&["boot/vmlinuz", "lib/modules/1/x", "lib/modules/2/x"]).unwrap();
        assert_eq!(two.to_string(), "there are modules for 2 kernel releases: 1, 2");
    }

    #[test]
    fn links_are_followed_within_the_image() {
        let mut tree = tree(&["usr/boot/vmlinuz-1", "usr/lib/modules/1/a.ko"]);
        tree.insert("boot", Entry::symlink("usr/boot")).unwrap();
        tree.insert("usr/boot/vmlinuz", Entry::symlink("vmlinuz-1")).unwrap();
        tree.insert("usr/lib/modules/1/loop.ko", Entry::symlink("loop.ko")).unwrap();
        let files = KernelFiles::of(&tree).unwrap();
        assert_eq!(files.vmlinuz.read(99).unwrap(), b"usr/boot/vmlinuz-1");
        assert!(files.module_file("loop.ko").is_none() && files.module_file("a.ko").is_some());
    }
}
