//! A tree of packages on disk.

use std::fs;
use std::path::{Path, PathBuf};

use crate::archive::Entry;
use crate::base::Content;
use crate::base::fsio::At as _;
use crate::bldr::pkgfile::{Build, PKG_YAML, PKGFILE, Packages, PkgfileError};
use crate::plan::error::{Error, Problem};
use crate::plan::tree_input::TreeInput;

/// A tree of packages, read for one architecture.
#[derive(Debug)]
pub struct PackageTree {
    /// The folder with the `Pkgfile`.
    pub root: PathBuf,
    /// Its files, without those whose names begin with a dot.
    pub files: TreeInput,
    /// The packages in it.
    pub packages: Packages,
}

/// The files of a tree, for reading it for several architectures.
pub fn files_of(root: &Path) -> Result<TreeInput, Error> {
    let mut files = TreeInput::default();
    let mut names: Vec<_> = Vec::new();
    for entry in fs::read_dir(root).at("read", root)? {
        names.push(entry.at("read", root)?.file_name());
    }
    names.sort();
    for name in names {
        let path = root.join(&name);
        // What git and the like keep there is no part of any package.
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let metadata = fs::metadata(&path).at("read", &path)?;
        if metadata.is_dir() {
            files.add(name, Entry::directory(), None, name)?;
            files.add_directory(&path, name)?;
        } else if metadata.is_file() {
            use std::os::unix::fs::MetadataExt as _;
            let entry = Entry::file(metadata.mode() & 0o7777, Content::file(&path, metadata.len()));
            files.add(name, entry, None, &path.display().to_string())?;
        }
    }
    Ok(files)
}

impl PackageTree {
    /// Reads all packages of a tree.
    pub fn read(root: &Path, files: TreeInput, build: &Build) -> Result<Self, Error> {
        let packages = Packages::read(&files.tree, build).map_err(|error| wrong(root, &error))?;
        if packages.iter().next().is_none() {
            return Err(Problem::new(format!("there is no package in `{}`", root.display()))
                .detail(format!("neither it nor a folder in it has a `{PKG_YAML}`"))
                .into());
        }
        Ok(Self { root: root.to_owned(), files, packages })
    }

    /// The name of the package in a folder of the tree.
    pub fn in_folder(&self, folder: &Path) -> Result<String, Error> {
        let inside = canonical(folder)?;
        let root = canonical(&self.root)?;
        let relative = inside.strip_prefix(&root).ok().and_then(Path::to_str).unwrap_or_default();
        let found = self.packages.iter().find(|(_, located)| located.folder == relative);
        found.map(|(name, _)| name.to_owned()).ok_or_else(|| {
            Problem::new(format!("there is no package in `{}`", folder.display()))
                .detail(format!("the root of the tree is `{}`", self.root.display()))
                .into()
        })
    }
}

/// The error of a tree, with its place on disk.
pub(super) fn wrong(root: &Path, error: &PkgfileError) -> Error {
    let mut problem = Problem::new(error.to_string());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        problem = problem.detail(cause.to_string());
        source = cause.source();
    }
    problem = problem.detail(format!("in `{}`", root.display()));
    problem.hint = error.hint();
    problem.into()
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    Ok(fs::canonicalize(path).at("read", path)?)
}

/// Whether a folder is a package or the root of a tree of them.
pub fn is_package_folder(folder: &Path) -> bool {
    folder.join(PKG_YAML).is_file()
}

/// Where the tree of a package's folder begins: the nearest folder at or above it with a `Pkgfile`; the folder
/// itself, if there is none.
pub fn root_of(folder: &Path) -> Result<PathBuf, Error> {
    let whole = canonical(folder)?;
    let root = whole.ancestors().find(|above| above.join(PKGFILE).is_file());
    // The folder itself as the user wrote it, so that messages say what they know.
    Ok(root.filter(|root| *root != whole).unwrap_or(folder).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_package_is_the_nearest_folder_with_a_pkgfile() {
        let world = tempfile::tempdir().unwrap();
        let package = world.path().join("tree/network/mine");
        fs::create_dir_all(&package).unwrap();
        assert_eq!(root_of(&package).unwrap(), package);
        fs::write(world.path().join("tree/Pkgfile"), "format: v1alpha2\n").unwrap();
        assert_eq!(root_of(&package).unwrap(), canonical(&world.path().join("tree")).unwrap());
        fs::write(package.join("Pkgfile"), "format: v1alpha2\n").unwrap();
        assert_eq!(root_of(&package).unwrap(), package);
        assert!(root_of(&world.path().join("nothing")).is_err());
    }

    #[test]
    fn hidden_files_are_no_part_of_a_tree() {
        let world = tempfile::tempdir().unwrap();
        fs::create_dir(world.path().join(".git")).unwrap();
        fs::write(world.path().join(".git/x"), "").unwrap();
        fs::create_dir(world.path().join("a")).unwrap();
        fs::write(world.path().join("a/pkg.yaml"), "name: a\nvariant: scratch\n").unwrap();
        let files = files_of(world.path()).unwrap();
        let paths: Vec<&str> = files.tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "a/pkg.yaml"]);
        let build = Build::new(crate::talos::Architecture::Amd64);
        let tree = PackageTree::read(world.path(), files, &build).unwrap();
        assert_eq!(tree.in_folder(&world.path().join("a")).unwrap(), "a");
        assert!(tree.in_folder(world.path()).is_err());
    }
}
