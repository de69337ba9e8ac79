//! The user's folder, which is sent to the daemon as it is, and the folder beside it that says what is built: the
//! files that describe the user's build, and the generated target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::spec::KernelSpec;
use crate::base::fsio::{self, At as _};
use crate::bldr::buildkit::target::{self, TargetError};
use crate::bldr::buildkit::{Kind, Wanted};
use crate::plan::error::{Error, Problem};

/// The most bytes of a file that describes a build.
const TEXT_MAX: u64 = 4 << 20;
/// The most files of a tree of packages that describe it; Talos' has some 500.
const FILES_MAX: usize = 100_000;
/// How deep folders may lie in each other.
const DEPTH_MAX: usize = 64;
const PKGFILE: &str = "Pkgfile";
const DOCKERFILE: &str = "Dockerfile";
const PACKAGE: &str = "pkg.yaml";
/// What bldr puts into `/pkg` of the package that it lies in, without the ending: a file that is not in the cache's
/// keys yet gives all steps of the package new ones. bldr's own handling of `no-cache` leaves copied results in the
/// cache, the kernel's among them (internal/pkg/convert/node.go); since v0.5.2 it knows such files.
const MARK: &str = "talosmith-mark.tmpl";

/// The generated folder, not yet written.
#[derive(Debug)]
pub(in crate::plan) struct Sources {
    /// Files of the user's: their paths in the folder, and where they are.
    pub(super) copied: Vec<(String, PathBuf)>,
    /// The generated file: its path in the folder, and its text.
    pub(super) generated: (String, String),
    /// The file that the frontend reads.
    pub(in crate::plan) file: String,
    /// The target.
    pub(super) target: String,
    /// Where a mark goes, if `no-cache` alone does not keep the frontend from its cache: one file in each package.
    pub(super) marks: Vec<String>,
}

impl Sources {
    /// Reads what describes the user's build.
    pub(super) fn read(spec: &KernelSpec) -> Result<Self, Error> {
        if !spec.context.is_dir() {
            return Err(Problem::new(format!("there is no folder `{}`", spec.context.display()))
                .hint("`--context` names the folder that is sent to BuildKit")
                .into());
        }
        let file = file(spec)?;
        let text = text(&file)?;
        let problem = |error: TargetError| {
            let mut problem = Problem::new(format!("`{}`: {error}", file.display()));
            if let TargetError::NoStage { nearest, stages, .. } = &error {
                problem = problem.detail(format!("its stages: {}", stages.join(", ")));
                problem.hint = nearest.as_ref().map(|nearest| format!("did you mean `{nearest}`?"));
            }
            Error::from(problem)
        };
        match Kind::of(&text).map_err(problem)? {
            Kind::Pkgfile => Self::packages(&spec.context, file, &spec.wanted),
            Kind::Dockerfile => {
                let (text, target) = target::dockerfile(&text, &spec.wanted).map_err(problem)?;
                let ignore = PathBuf::from(format!("{}.dockerignore", file.display()));
                let ignore = ignore.is_file().then(|| (format!("{DOCKERFILE}.dockerignore"), ignore));
                Ok(Self {
                    copied: ignore.into_iter().collect(),
                    generated: (DOCKERFILE.to_owned(), text),
                    file: DOCKERFILE.to_owned(),
                    target,
                    marks: Vec::new(),
                })
            }
        }
    }

    /// What describes a tree of packages, with nothing generated: for a target of its own.
    pub(in crate::plan) fn of_tree(context: &Path, target: &str) -> Result<Self, Error> {
        let mut tree = PackageTree::default();
        tree.visit(context, "", 0)?;
        let mut copied = tree.described;
        copied.retain(|(path, _)| path != PKGFILE);
        Ok(Self {
            copied,
            generated: (PKGFILE.to_owned(), text(&context.join(PKGFILE))?),
            file: PKGFILE.to_owned(),
            target: target.to_owned(),
            marks: Vec::new(),
        })
    }

    fn packages(context: &Path, file: PathBuf, wanted: &Wanted) -> Result<Self, Error> {
        let mut tree = PackageTree::default();
        tree.visit(context, "", 0)?;
        let packages: BTreeSet<String> = tree
            .described
            .iter()
            .filter_map(|(path, _)| path.strip_suffix(PACKAGE))
            .map(|folder| folder.trim_end_matches('/').to_owned())
            .collect();
        let own = tree.described.iter().filter(|(path, _)| path.ends_with(PACKAGE));
        let texts = own.map(|(_, file)| text(file)).collect::<Result<Vec<_>, _>>()?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (text, target) = target::package(wanted, &texts);
        let folders: Vec<(&str, u64)> =
            tree.folders.iter().map(|(path, files)| (path.as_str(), *files)).collect();
        let folder = target::folder(&folders, &packages);
        let place = crate::archive::tree::join(folder, PACKAGE);
        if packages.contains(folder) {
            return Err(Problem::new(format!("`{}` has no folder for one more package", context.display()))
                .hint("make an empty folder in it, with a file `.gitkeep`")
                .into());
        }
        let mut copied = tree.described;
        copied.retain(|(path, _)| path != PKGFILE);
        copied.push((PKGFILE.to_owned(), file));
        let marks = packages.iter().map(|folder| crate::archive::tree::join(folder, MARK)).collect();
        Ok(Self { copied, generated: (place, text), file: PKGFILE.to_owned(), target, marks })
    }

    /// Writes the folder. With a mark, what is built of it shares no results with what was built under another.
    pub(in crate::plan) fn write(&self, folder: &Path, mark: Option<&str>) -> Result<(), Error> {
        let place = |path: &str| -> Result<PathBuf, Error> {
            let path = folder.join(path);
            fsio::create_dir(fsio::parent(&path))?;
            Ok(path)
        };
        for (path, file) in &self.copied {
            let bytes = fsio::read(file, TEXT_MAX)?;
            let path = place(path)?;
            fs::write(&path, bytes).at("write", &path)?;
        }
        let path = place(&self.generated.0)?;
        fs::write(&path, &self.generated.1).at("write", &path)?;
        if let Some(mark) = mark {
            for path in &self.marks {
                let path = place(path)?;
                fs::write(&path, mark).at("write", &path)?;
            }
        }
        Ok(())
    }
}

/// The file that says how to build.
fn file(spec: &KernelSpec) -> Result<PathBuf, Error> {
    if let Some(file) = &spec.file {
        return Ok(spec.context.join(file)); // an absolute path stays
    }
    let there =
        [PKGFILE, DOCKERFILE].map(|name| spec.context.join(name)).map(|file| file.is_file().then_some(file));
    match there {
        [Some(file), None] | [None, Some(file)] => Ok(file),
        [both, _] => {
            let found = if both.is_some() { "both of" } else { "neither of" };
            Err(Problem::new(format!(
                "`{}` has {found} `{PKGFILE}` and `{DOCKERFILE}`",
                spec.context.display()
            ))
            .hint("`--file` names the one that says how to build")
            .into())
        }
    }
}

fn text(file: &Path) -> Result<String, Error> {
    String::from_utf8(fsio::read(file, TEXT_MAX)?)
        .map_err(|_| Problem::new(format!("`{}` is no text", file.display())).into())
}

/// What a tree of packages is described by.
#[derive(Debug, Default)]
struct PackageTree {
    /// `Pkgfile`, `pkg.yaml`, `vars.yaml` and templates, all that bldr reads of the tree itself.
    described: Vec<(String, PathBuf)>,
    /// All folders, each with the number of files at and below it.
    folders: Vec<(String, u64)>,
}

impl PackageTree {
    fn visit(&mut self, folder: &Path, path: &str, depth: usize) -> Result<u64, Error> {
        let mut entries =
            fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).at("read", folder)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut files = 0;
        for entry in entries {
            // What bldr cannot name is nothing that describes a package.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let (place, kind) =
                (crate::archive::tree::join(path, &name), entry.file_type().at("read", entry.path())?);
            if kind.is_dir() && name != ".git" && depth < DEPTH_MAX {
                files += self.visit(&entry.path(), &place, depth + 1)?;
            } else if !kind.is_dir() {
                files += 1;
                let described =
                    name == PACKAGE || name == "vars.yaml" || name.ends_with(".tmpl") || place == PKGFILE;
                if described && entry.path().is_file() {
                    self.described.push((place, entry.path()));
                }
            }
        }
        self.folders.push((path.to_owned(), files));
        if self.described.len() > FILES_MAX {
            return Err(Problem::new(format!("more than {FILES_MAX} files describe packages")).into());
        }
        Ok(files)
    }
}
