//! From a tree to the files and what is wrong with the modules.

use std::collections::{BTreeSet, HashMap};
use std::io;

use rayon::prelude::*;

use super::graph::Graph;
use super::issue::Issue;
use super::kernel_symbols::KernelSymbols;
use super::load::{LoadError, Loaded, load};
use super::order::{MODULES, bucket};
use super::output::{self, builtin_names};
use super::select::{Found, Hidden, Search, Selection, select};
use super::trie::TooLarge;
use crate::archive::Tree;
use crate::base::Workers;

/// Most bytes of `modules.order` and `modules.builtin` that are read: a line a module; Debian's has
/// 200 KiB.
const LIST_MAX: u64 = 16 << 20;
/// Most bytes of `modules.builtin.modinfo` that are read; Debian's has 100 KiB.
const BUILTIN_INFO_MAX: u64 = 64 << 20;

/// How to calculate.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Which of two modules of one name counts.
    pub search: Search,
    /// What the kernel exports. Without it, a symbol that no module exports is taken for the kernel's.
    pub kernel: Option<&'a KernelSymbols>,
    /// Which modules, by their paths, are of the kernel's own build. Where it is not known what the kernel
    /// exports, the versions that they were built for are the kernel's.
    pub of_kernel: Option<OfKernel<'a>>,
    /// The threads that read.
    pub workers: &'a Workers,
}

/// Says of a path whether the module there is of the kernel's own build.
#[derive(Clone, Copy)]
pub struct OfKernel<'a>(pub &'a (dyn Fn(&str) -> bool + Sync));

impl std::fmt::Debug for OfKernel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OfKernel")
    }
}

/// The files of a tree of modules.
#[derive(Debug, Clone)]
pub struct Depmod {
    /// The files, by name, in kmod's order. There are none if modules need one another in a loop: an
    /// index would make the loader go round in it.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// What is wrong, by kind and path.
    pub issues: Vec<Issue>,
    /// Number of modules that are indexed.
    pub modules: usize,
    /// Their names and those of what is built in, with `_` for `-`.
    pub names: BTreeSet<String>,
}

/// The files could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DepmodError {
    /// A module.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A list that is read beside the modules.
    #[error("`{path}` cannot be read")]
    List {
        /// Its path in the tree.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A binary index.
    #[error("`{file}` cannot be made")]
    Index {
        /// Which one.
        file: &'static str,
        /// Why.
        source: TooLarge,
    },
}

/// Who exports a symbol.
#[derive(Debug, Clone, Copy)]
pub struct Export {
    /// The module's index.
    pub owner: usize,
    /// The CRC.
    pub crc: Option<u32>,
}

/// The exported symbols by name. Of two exporters the later in order counts, as in kmod.
pub type Exports<'a> = HashMap<&'a [u8], Export>;

/// Calculates the files for `tree`, a `…/modules/<release>` folder.
pub fn depmod(tree: &Tree, options: &Options<'_>) -> Result<Depmod, DepmodError> {
    let order = list(tree, "modules.order", LIST_MAX)?;
    let builtin = list(tree, "modules.builtin", LIST_MAX)?;
    let builtin_info = list(tree, "modules.builtin.modinfo", BUILTIN_INFO_MAX)?;
    let Selection { modules, hidden } = select(tree, &options.search);
    let mut modules = load(&modules, options.workers)?;
    sort(&mut modules, order.as_deref());
    let not_counted: Vec<Found> = hidden.iter().map(|hidden| hidden.module.clone()).collect();
    let not_counted = load(&not_counted, options.workers)?;
    let exports = exports_of(&modules);
    let mut issues = state(&modules, &hidden, builtin.as_deref());
    let versions = match options.of_kernel {
        Some(own) if options.kernel.is_none() => versions_of(&modules, &exports, own),
        _ => HashMap::new(),
    };
    let resolver = Resolver {
        modules: &modules,
        exports: &exports,
        versions: &versions,
        not_counted: &not_counted,
        elsewhere: &exports_of(&not_counted),
        kernel: options.kernel,
    };
    let direct = resolver.resolve_all(options.workers, &mut issues);
    let files = match Graph::new(direct).sort() {
        Err(loops) => {
            issues.extend(loops.iter().map(|members| named_loop(members, &modules)));
            Vec::new()
        }
        Ok(graph) => {
            let input = output::Input {
                modules: &modules,
                graph: &graph,
                exports: &exports,
                builtin: builtin.as_deref(),
                builtin_info: builtin_info.as_deref(),
            };
            let written = options.workers.install(|| output::write(&input))?;
            issues.extend(written.issues);
            written.files
        }
    };
    issues.sort();
    issues.dedup();
    let names = modules.iter().map(|module| module.name.clone());
    let names = names.chain(builtin_names(builtin.as_deref().unwrap_or_default())).collect();
    Ok(Depmod { files, issues, modules: modules.len(), names })
}

fn list(tree: &Tree, path: &'static str, limit: u64) -> Result<Option<Vec<u8>>, DepmodError> {
    let content = tree.get(path).and_then(|entry| entry.content());
    content
        .map(|content| content.read(limit).map_err(|source| DepmodError::List { path, source }))
        .transpose()
}

/// Sorts by the place in `modules.order`, then by that in kmod's table. As in kmod, an order whose last
/// line does not end is taken for damaged and does not count at all.
fn sort(modules: &mut [Loaded], order: Option<&[u8]>) {
    let order = order.filter(|order| order.ends_with(b"\n")).unwrap_or_default();
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    for (place, line) in order.split(|byte| *byte == b'\n').enumerate() {
        places.entry(line).or_insert(place);
    }
    modules.sort_by_cached_key(|module| {
        let place = places.get(uncompressed(&module.path).as_bytes()).copied().unwrap_or(usize::MAX);
        (place, bucket(module.name.as_bytes(), MODULES), module.name.clone())
    });
}

/// The path of a module without its compression, as `modules.order` has it.
fn uncompressed(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((plain, "gz" | "xz" | "zst")) => plain,
        _ => path,
    }
}

fn exports_of(modules: &[Loaded]) -> Exports<'_> {
    let mut exports = HashMap::with_capacity(modules.len() * 4);
    for (owner, module) in modules.iter().enumerate() {
        for symbol in module.symbols.exports() {
            exports.insert(symbol.name, Export { owner, crc: symbol.crc });
        }
    }
    exports
}

/// The versions of the kernel's symbols, by what modules of its own build were built for.
fn versions_of<'a>(
    modules: &'a [Loaded],
    exports: &Exports<'_>,
    own: OfKernel<'_>,
) -> HashMap<&'a [u8], u32> {
    let mut versions = HashMap::new();
    for module in modules.iter().filter(|module| own.0(&module.path)) {
        let imports = module.symbols.imports().filter(|symbol| !exports.contains_key(symbol.name));
        versions.extend(imports.filter_map(|symbol| Some((symbol.name, symbol.crc?))));
    }
    versions
}

fn named_loop(members: &[usize], modules: &[Loaded]) -> Issue {
    let path = |member: &usize| modules.get(*member).map(|module| module.path.clone());
    Issue::Loop { paths: members.iter().filter_map(path).collect() }
}

/// What is wrong with the modules as such.
fn state(modules: &[Loaded], hidden: &[Hidden], builtin: Option<&[u8]>) -> Vec<Issue> {
    let builtin: BTreeSet<String> = builtin_names(builtin.unwrap_or_default()).collect();
    let names: BTreeSet<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let mut issues = Vec::new();
    for module in modules {
        let path = || module.path.clone();
        if let Some(why) = &module.problem {
            issues.push(Issue::NoModule { path: path(), why: why.clone() });
        }
        if builtin.contains(&module.name) {
            issues.push(Issue::BuiltIn { path: path() });
        }
        for needed in module.depends() {
            let needs = String::from_utf8_lossy(needed).replace('-', "_");
            if !names.contains(needs.as_str()) && !builtin.contains(&needs) {
                issues.push(Issue::NoDependency { path: path(), needs });
            }
        }
    }
    issues.extend(hidden.iter().map(|hidden| Issue::Hidden {
        path: hidden.module.path.clone(),
        by: hidden.by.clone(),
        by_order: hidden.by_order,
    }));
    issues
}

/// Finds who exports what a module imports.
struct Resolver<'a> {
    modules: &'a [Loaded],
    exports: &'a Exports<'a>,
    /// The modules that others hide, and what they would export.
    not_counted: &'a [Loaded],
    elsewhere: &'a Exports<'a>,
    kernel: Option<&'a KernelSymbols>,
    /// Versions of the kernel's symbols, where they are known by its own modules only.
    versions: &'a HashMap<&'a [u8], u32>,
}

impl Resolver<'_> {
    /// The direct dependencies of every module; what is wrong goes to `issues`.
    fn resolve_all(&self, workers: &Workers, issues: &mut Vec<Issue>) -> Vec<Vec<usize>> {
        let resolve = || self.modules.par_iter().map(|module| self.resolve(module)).collect();
        let resolved: Vec<(Vec<usize>, Vec<Issue>)> = workers.install(resolve);
        let (direct, found): (Vec<_>, Vec<_>) = resolved.into_iter().unzip();
        issues.extend(found.into_iter().flatten());
        direct
    }

    /// The modules that `module` needs directly, in the order of its symbols, and what is wrong.
    fn resolve(&self, module: &Loaded) -> (Vec<usize>, Vec<Issue>) {
        let (mut direct, mut issues, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for symbol in module.symbols.imports() {
            // kmod drops a leading dot, which names of PowerPC's functions have.
            let name = symbol.name.strip_prefix(b".").unwrap_or(symbol.name);
            let text = || String::from_utf8_lossy(name).into_owned();
            let export = self.exports.get(name);
            let by_kernel = self.kernel.and_then(|kernel| kernel.get(name));
            let by_others = || self.versions.get(name).map(|crc| Some(*crc));
            let crc = export.map(|export| export.crc).or(by_kernel).or_else(by_others).flatten();
            if let Some(export) = export
                && !direct.contains(&export.owner)
            {
                direct.push(export.owner);
            }
            if let (Some(wanted), Some(exported)) = (symbol.crc, crc)
                && wanted != exported
            {
                let exporter = export.and_then(|export| self.modules.get(export.owner));
                let exporter = exporter.map(|module| module.path.clone());
                let path = module.path.clone();
                issues.push(Issue::Version { path, symbol: text(), exporter, wanted, exported });
            }
            if export.is_none() && by_kernel.is_none() && !symbol.weak {
                let elsewhere =
                    self.elsewhere.get(name).and_then(|export| self.not_counted.get(export.owner));
                let elsewhere = elsewhere.map(|module| module.path.clone());
                if self.kernel.is_some() || elsewhere.is_some() {
                    missing.push((text(), elsewhere));
                }
            }
        }
        if !missing.is_empty() {
            issues.push(Issue::Unresolved { path: module.path.clone(), symbols: missing });
        }
        (direct, issues)
    }
}
