//! The subtree of modules in the root file system, made of another kernel's.
//!
//! Talos installs a list of modules, and that list is what stands in the stock image already: the same
//! paths are taken of the other kernel, with the attributes that the stock image gives them, and
//! `depmod` indexes them anew. Talos' own build stops when `depmod` says anything.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::super::extension::{MODULES, releases};
use super::kernel::KernelFiles;
use crate::archive::tree::{TreeError, file_name, join};
use crate::archive::{Entry, Kind, Tree};
use crate::base::{Content, Workers};
use crate::kmod::depmod::{FILES, Issue, KernelSymbols, Search};
use crate::kmod::module::name_of_file;
use crate::kmod::{Compression, DepmodError, Options, UnpackError, depmod};

/// The mode of everything that is installed (`install -D` in Talos' `Dockerfile`).
const MODE: u32 = 0o755;
/// Most bytes of `modules.builtin` that are read: a line a module; Debian's has 10 KiB.
const LIST_MAX: u64 = 16 << 20;
/// Most bytes of a list of symbols that are read; Debian's `System.map` has 6 MB.
const SYMBOLS_MAX: u64 = 256 << 20;
/// What a module's name may end in besides `.ko`.
const PACKED: [&str; 4] = ["", ".xz", ".zst", ".gz"];

/// What the subtree is made of.
pub struct Input<'a> {
    /// The stock root file system, or at least its folder of modules. Its contents are not read.
    pub stock: &'a Tree,
    /// The other kernel.
    pub kernel: &'a KernelFiles<'a>,
    /// What it exports by its own tables; without, the lists in its image are asked.
    pub symbols: Option<&'a KernelSymbols>,
    /// Modules that the kernel does not have are left out.
    pub allow_missing: bool,
    /// The threads that read.
    pub workers: &'a Workers,
}

/// The other kernel's subtree.
#[derive(Debug)]
pub struct Exchanged {
    /// Where modules lie in the stock image.
    pub folder: &'static str,
    /// That folder and all that is to be in it.
    pub tree: Tree,
    /// The stock kernel's release.
    pub stock_release: String,
    /// Number of modules.
    pub modules: usize,
    /// Modules of the stock list that the kernel has built in.
    pub built_in: Vec<String>,
    /// Modules of the stock list that the kernel does not have, if that is allowed.
    pub missing: Vec<String>,
    /// Which list the symbols were judged by.
    pub symbols: SymbolList,
    /// What `depmod` says, with paths below the release's folder.
    pub issues: Vec<Issue>,
}

/// The list of the kernel's symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SymbolList {
    /// The kernel's own tables.
    Kernel,
    /// This one.
    Real(String),
    /// The kernel image has only lists without symbols, as Debian's `System.map`.
    Stub(String),
    /// It has none.
    None,
}

/// The subtree cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// The stock image has no modules.
    #[error("there is no folder of a kernel release in the stock root file system")]
    NoRelease,
    /// It has those of several kernels.
    #[error("the stock root file system has modules for {} kernel releases: {}", .0.len(), .0.join(", "))]
    SeveralReleases(Vec<String>),
    /// The kernel lacks modules of the stock list, and has them not built in. Each with the path of a
    /// module of that name, if there is one elsewhere.
    #[error("kernel `{release}` lacks {} of the stock imager's modules", missing.len())]
    Missing {
        /// The kernel's release.
        release: String,
        /// The paths.
        missing: Vec<(String, Option<String>)>,
    },
    /// The kernel lacks a list that the kernel's build makes.
    #[error("kernel `{release}` lacks `{name}`")]
    NoList {
        /// The kernel's release.
        release: String,
        /// The list.
        name: String,
    },
    /// A list cannot be read.
    #[error("`{path}` of the kernel cannot be read")]
    List {
        /// The list.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A compressed module cannot be unpacked.
    #[error("module `{path}` cannot be unpacked")]
    Unpack {
        /// The module.
        path: String,
        /// Why.
        source: UnpackError,
    },
    /// Paths do not fit together.
    #[error("the modules do not make a tree")]
    Tree(#[from] TreeError),
    /// The modules cannot be indexed.
    #[error(transparent)]
    Depmod(#[from] DepmodError),
}

/// Makes the subtree. `unpack` keeps the plain bytes of a compressed module: Talos' loader gives the
/// kernel the file as it is.
pub fn exchange(
    input: &Input<'_>,
    unpack: &mut dyn FnMut(&Content) -> Result<Content, UnpackError>,
) -> Result<Exchanged, ModulesError> {
    let (folder, stock_release) = stock_release(input.stock)?;
    let stock = join(folder, &stock_release);
    let release = &input.kernel.release;
    let Taken { files, built_in, missing } = take(input, &stock, unpack)?;
    let (list, listed) = match input.symbols {
        Some(_) => (SymbolList::Kernel, None),
        None => symbols(input.kernel)?,
    };
    let known = input.symbols.or(listed.as_ref());
    let options = Options { search: Search::kmod(), kernel: known, of_kernel: None, workers: input.workers };
    let index = depmod(&files, &options)?;
    let modules = files.iter().filter(|(path, _)| is_module(path)).count();
    let mut tree = Tree::new();
    let above = [(folder.to_owned(), folder.to_owned()), (stock.clone(), join(folder, release))];
    for (old, new) in above {
        tree.insert(&new, input.stock.get(&old).cloned().unwrap_or_else(Entry::directory))?;
    }
    let place = |path: &str| join(&join(folder, release), path);
    for (path, entry) in files.iter() {
        tree.insert(&place(path), entry.clone())?;
    }
    for (name, bytes) in index.files {
        let like = input.stock.get(&join(&stock, name)).filter(|entry| entry.content().is_some());
        let like = like.cloned().unwrap_or_else(|| beside(input.stock, &stock));
        tree.insert(&place(name), Entry { kind: Kind::File(Content::memory(bytes)), ..like })?;
    }
    let issues = index.issues;
    Ok(Exchanged { folder, tree, stock_release, modules, built_in, missing, symbols: list, issues })
}

/// Where the stock image has modules, and for which release.
fn stock_release(stock: &Tree) -> Result<(&'static str, String), ModulesError> {
    let found = MODULES.into_iter().map(|folder| (folder, releases(stock, folder)));
    let (folder, mut releases) =
        found.into_iter().find(|(_, releases)| !releases.is_empty()).ok_or(ModulesError::NoRelease)?;
    match (releases.pop(), releases.is_empty()) {
        (Some(release), true) => Ok((folder, release)),
        (last, _) => {
            releases.extend(last);
            Err(ModulesError::SeveralReleases(releases))
        }
    }
}

/// The attributes of a file that the stock image does not have: owner, time and label of its folder.
fn beside(stock: &Tree, folder: &str) -> Entry {
    let entry = stock.get(folder).cloned().unwrap_or_else(Entry::directory);
    Entry { mode: 0o644, ..entry }
}

/// The kernel's files for the stock list.
#[derive(Default)]
struct Taken {
    /// Paths below the release's folder.
    files: Tree,
    built_in: Vec<String>,
    missing: Vec<String>,
}

fn take(
    input: &Input<'_>,
    stock: &str,
    unpack: &mut dyn FnMut(&Content) -> Result<Content, UnpackError>,
) -> Result<Taken, ModulesError> {
    let (kernel, release) = (input.kernel, &input.kernel.release);
    let built_in = built_in(kernel)?;
    let (mut taken, mut missing) = (Taken::default(), Vec::new());
    for (path, entry) in input.stock.below(stock) {
        let Some(path) = path.strip_prefix(stock).and_then(|path| path.strip_prefix('/')) else { continue };
        if FILES.contains(&path) || matches!(entry.kind, Kind::Symlink(_)) {
            continue; // made anew; or `build` and `source`, which lead nowhere
        }
        if entry.is_directory() {
            taken.files.insert(path, entry.clone())?;
            continue;
        }
        let plain = plain_name(path);
        let found = PACKED.iter().find_map(|ending| kernel.module_file(&format!("{plain}{ending}")));
        match found {
            Some(content) => {
                let content = unpacked(plain, content, unpack)?;
                let entry = Entry { mode: MODE, kind: Kind::File(content), ..entry.clone() };
                taken.files.insert(plain, entry)?;
            }
            None if !is_module(plain) => {
                return Err(ModulesError::NoList { release: release.clone(), name: plain.to_owned() });
            }
            None if built_in.contains(&name_of_file(plain)) => taken.built_in.push(plain.to_owned()),
            None => missing.push(plain.to_owned()),
        }
    }
    drop_empty(&mut taken.files);
    if missing.is_empty() || input.allow_missing {
        taken.missing = missing;
        return Ok(taken);
    }
    let elsewhere: BTreeMap<String, &str> = kernel
        .module_paths()
        .filter(|path| is_module(plain_name(path)))
        .map(|path| (name_of_file(path), path))
        .collect();
    let missing = missing.into_iter().map(|path| {
        let other = elsewhere.get(&name_of_file(&path)).map(|other| (*other).to_owned());
        (path, other)
    });
    Err(ModulesError::Missing { release: release.clone(), missing: missing.collect() })
}

/// A module is installed with the folders above it: those in which nothing is left go.
fn drop_empty(files: &mut Tree) {
    let directories: Vec<String> =
        files.iter().filter(|(_, entry)| entry.is_directory()).map(|(path, _)| path.to_owned()).collect();
    for path in directories.into_iter().rev() {
        if files.children(&path).next().is_none() {
            files.remove(&path);
        }
    }
}

fn unpacked(
    path: &str,
    content: &Content,
    unpack: &mut dyn FnMut(&Content) -> Result<Content, UnpackError>,
) -> Result<Content, ModulesError> {
    let wrong = |source| ModulesError::Unpack { path: path.to_owned(), source };
    if !is_module(path)
        || Compression::of_content(content).map_err(UnpackError::Read).map_err(wrong)?.is_none()
    {
        return Ok(content.clone());
    }
    unpack(content).map_err(wrong)
}

fn is_module(path: &str) -> bool {
    path.ends_with(".ko")
}

/// The path of a module without its compression.
fn plain_name(path: &str) -> &str {
    crate::talos::extension::uncompressed_name(path).unwrap_or(path)
}

/// The names of the modules that the kernel has built in.
fn built_in(kernel: &KernelFiles<'_>) -> Result<HashSet<String>, ModulesError> {
    let Some(content) = kernel.module_file("modules.builtin") else { return Ok(HashSet::new()) };
    let bytes = content.read(LIST_MAX).map_err(|source| list("modules.builtin", source))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter(|line| !line.is_empty()).map(|line| name_of_file(file_name(line))).collect())
}

fn list(path: &str, source: io::Error) -> ModulesError {
    ModulesError::List { path: path.to_owned(), source }
}

/// The symbols of the first list that has any. Debian's `System.map` has none: it says where the real one
/// is.
fn symbols(kernel: &KernelFiles<'_>) -> Result<(SymbolList, Option<KernelSymbols>), ModulesError> {
    let mut stub = SymbolList::None;
    for (path, content) in kernel.symbol_lists() {
        let bytes = content.read(SYMBOLS_MAX).map_err(|source| list(path, source))?;
        match KernelSymbols::parse(&bytes) {
            Ok(symbols) => return Ok((SymbolList::Real(path.to_owned()), Some(symbols))),
            Err(_) => stub = SymbolList::Stub(path.to_owned()),
        }
    }
    Ok((stub, None))
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
