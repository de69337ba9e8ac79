//! The extension `modules.dep`: one index of the kernel's modules and of those that extensions bring.
//!
//! It is what Talos' imager makes as the last extension of an installer: the one release of the base's
//! `usr/lib/modules`, each extension's folder of that release laid over it in order, indexed by
//! `depmod` with `search extras built-in`, and of the result the `modules.*` files alone.

use std::collections::BTreeSet;

use super::extension::{modules_dir, releases};
use super::manifest::{MANIFEST_VERSION, Manifest};
use super::version::Version;
use crate::archive::tree::{Entry, Kind, file_name, join};
use crate::archive::{Tree, TreeError};
use crate::base::{Content, Workers};
use crate::kmod::depmod::{Issue, KernelSymbols, OfKernel, Options, Search};
use crate::kmod::{DepmodError, depmod};

/// The extension's name.
pub const NAME: &str = "modules.dep";

/// What the index is made of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The root file system of the base, or at least its folder of modules.
    pub base: &'a Tree,
    /// The extensions' root file systems with their names, in order: the last lies on top.
    pub extensions: &'a [(&'a str, &'a Tree)],
    /// The Talos version, which says where modules lie.
    pub talos: &'a Version,
    /// What the kernel exports, if it is known.
    pub kernel: Option<&'a KernelSymbols>,
    /// The threads that read.
    pub workers: &'a Workers,
}

/// The extension.
#[derive(Debug, Clone)]
pub struct ModulesDep {
    /// Its manifest, with the values that upstream gives it.
    pub manifest: Manifest,
    /// Its root file system: `usr/lib/modules/<release>/modules.*`, nothing else.
    pub rootfs: Tree,
    /// The kernel's release.
    pub release: String,
    /// The names of all modules and of what the kernel has built in, with `_` for `-`.
    pub names: BTreeSet<String>,
    /// What is wrong with the modules, with paths below the release's folder. After
    /// [`Issue::Loop`] there are none of the files that `depmod` makes.
    pub issues: Vec<Issue>,
}

/// The index cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ModulesDepError {
    /// The base has no kernel modules.
    #[error("there is no folder of a kernel release in `/{folder}` of the base")]
    NoRelease {
        /// Where it was looked for.
        folder: &'static str,
    },
    /// The base has modules of several kernels: which of them boots is not known.
    #[error("the base has modules for {} kernel releases: {}", releases.len(), list(releases))]
    SeveralReleases {
        /// The releases.
        releases: Vec<String>,
    },
    /// No kernel will find these modules.
    #[error(
        "extension `{extension}` has modules for {}, and the kernel `{release}` looks only in `/{folder}/{release}`",
        list(found)
    )]
    OtherRelease {
        /// The extension.
        extension: String,
        /// The releases that it has modules for.
        found: Vec<String>,
        /// The release of the base.
        release: String,
        /// Where modules lie.
        folder: &'static str,
    },
    /// Extension and base do not fit together.
    #[error("extension `{extension}` cannot be laid over the modules of the base")]
    Tree {
        /// The extension.
        extension: String,
        /// Why.
        source: TreeError,
    },
    /// The modules cannot be indexed.
    #[error(transparent)]
    Depmod(#[from] DepmodError),
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Whether any of these trees has kernel modules: only then does an installer need the extension.
pub fn is_needed(extensions: &[(&str, &Tree)], talos: &Version) -> bool {
    extensions.iter().any(|(_, tree)| tree.get(modules_dir(talos)).is_some())
}

/// Makes the extension.
pub fn modules_dep(input: &Input<'_>) -> Result<ModulesDep, ModulesDepError> {
    let (modules, release) = combined(input)?;
    let folder = join(modules_dir(input.talos), &release);
    let of_kernel = |path: &str| {
        let path = join(&folder, path);
        input.extensions.iter().all(|(_, tree)| tree.get(&path).is_none())
    };
    let options = Options {
        search: Search::talos(),
        kernel: input.kernel,
        of_kernel: Some(OfKernel(&of_kernel)),
        workers: input.workers,
    };
    let index = depmod(&modules, &options)?;
    let mut rootfs = Tree::new();
    let mut put = |name: &str, entry: Entry| {
        let replaced = rootfs.replace(&join(&folder, name), entry);
        replaced.map_err(|source| ModulesDepError::Tree { extension: NAME.to_owned(), source })
    };
    // Those that depmod reads and leaves as they are go along: the loader wants them beside the others.
    let made: BTreeSet<&str> = crate::kmod::depmod::FILES.into_iter().collect();
    for name in modules.children("").filter(|name| name.starts_with("modules.") && !made.contains(name)) {
        if let Some(content) = modules.get(name).and_then(Entry::content) {
            put(name, Entry::file(0o644, content.clone()))?;
        }
    }
    for (name, bytes) in index.files {
        put(name, Entry::file(0o644, Content::memory(bytes)))?;
    }
    let names = index.names;
    Ok(ModulesDep { manifest: manifest(&release), rootfs, release, names, issues: index.issues })
}

/// The manifest of the extension.
fn manifest(release: &str) -> Manifest {
    Manifest {
        manifest_version: MANIFEST_VERSION.to_owned(),
        name: NAME.to_owned(),
        version: release.to_owned(),
        author: "Talos Machinery".to_owned(),
        description: "Combined modules.dep for all extensions".to_owned(),
        ..Manifest::default()
    }
}

/// The folder of the base's release with those of the extensions laid over it, and the release.
fn combined(input: &Input<'_>) -> Result<(Tree, String), ModulesDepError> {
    let folder = modules_dir(input.talos);
    let release = match releases(input.base, folder).as_slice() {
        [] => return Err(ModulesDepError::NoRelease { folder }),
        [release] => release.clone(),
        several => return Err(ModulesDepError::SeveralReleases { releases: several.to_vec() }),
    };
    let mut modules = Tree::new();
    lay(&mut modules, input.base, &join(folder, &release), "the base")?;
    for (name, tree) in input.extensions {
        let found = releases(tree, folder);
        if !found.is_empty() && !found.contains(&release) {
            let extension = (*name).to_owned();
            return Err(ModulesDepError::OtherRelease { extension, found, release, folder });
        }
        lay(&mut modules, tree, &join(folder, &release), name)?;
    }
    Ok((modules, release))
}

/// Lays what is below `folder` of `tree` over `modules`, as a layer of a file system lies on another.
fn lay(modules: &mut Tree, tree: &Tree, folder: &str, name: &str) -> Result<(), ModulesDepError> {
    for (path, entry) in tree.below(folder) {
        let Some(below) = path.strip_prefix(folder).map(|path| path.trim_start_matches('/')) else {
            continue;
        };
        let mut entry = entry.clone();
        if let Kind::HardLink(target) = &entry.kind {
            // Within the folder it stays a link; what is outside is not part of this tree.
            let target =
                target.strip_prefix(folder).map_or(file_name(target), |path| path.trim_start_matches('/'));
            entry.kind = Kind::HardLink(target.to_owned());
        }
        if !below.is_empty() {
            let laid = modules.replace(below, entry);
            laid.map_err(|source| ModulesDepError::Tree { extension: name.to_owned(), source })?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "modules_dep_tests.rs"]
mod tests;
