//! A kernel, and what is known of its modules: what an extension will stand on.

use std::collections::BTreeSet;

use super::super::boot_files::BootFiles;
use super::super::custom_imager::kernels::KernelInput;
use super::super::error::{Error, Problem};
use super::super::extension::parse;
use super::super::kernel_facts::{self, KernelFacts};
use super::super::run::Context;
use super::super::subject::{Contents, load};
use super::booted::{self, Booted};
use crate::archive::tree::join;
use crate::archive::{Tree, TreeError};
use crate::base::fsio::{At as _, Draft};
use crate::base::{Content, chain};
use crate::boot::kernel::is_kernel;
use crate::check::kernel::{self, Module, REPLACED};
use crate::check::{self, Finding};
use crate::image::{Platform, Reference};
use crate::kmod::depmod::{Issue, KernelSymbols, Options, Search, depmod};
use crate::pki::TrustedKeys;
use crate::talos::extension::{FIRMWARE, MODULES, modules_dir};
use crate::talos::version::{Architecture, Version};
use crate::talos::{Enforcement, modules_dep};

/// What is held against an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    /// A kernel: a file, or an image with its modules.
    Kernel(String),
    /// An imager, or its boot assets in a folder.
    Imager(String),
}

/// A kernel with what was found around it.
#[derive(Debug)]
pub struct Ground {
    /// What it is, for messages.
    pub origin: String,
    /// What the kernel says of itself.
    pub kernel: KernelFacts,
    /// The keys that it trusts.
    pub keys: TrustedKeys,
    /// What it exports, if its tables were found.
    pub symbols: Option<KernelSymbols>,
    /// The modules beside which others will lie: a root file system, of which only their folder counts. `None`
    /// if only the kernel is there.
    pub modules: Option<Tree>,
    /// Firmware that is there already: paths below the folder of firmware. `None` if that is not known.
    pub firmware: Option<BTreeSet<String>>,
    /// The kernel command line, if it is known.
    pub cmdline: Option<String>,
    /// The Talos version, if it says it.
    pub talos: Option<String>,
    /// What was unpacked lies in these as long as it is looked at.
    pub(super) drafts: Vec<Draft>,
}

impl Ground {
    /// Opens what the user named, for an architecture where it has several.
    pub fn open(context: &Context, against: &Against, platform: &Platform) -> Result<Self, Error> {
        match against {
            Against::Kernel(word) => Self::of_kernel(context, word, platform),
            Against::Imager(word) => Ok(Self::of_imager(context, word, platform)?.ground),
        }
    }

    fn of_kernel(context: &Context, word: &str, platform: &Platform) -> Result<Self, Error> {
        if let Some(content) = kernel_file(word)? {
            return Self::of_content(context, &content, format!("`{word}`"));
        }
        let wanted: Vec<Architecture> = Architecture::parse(&platform.architecture).into_iter().collect();
        let cache = context.stat_cache();
        let kernel = KernelInput::all(context, &[word.to_owned()], &wanted, cache)?.pop();
        let kernel = kernel.ok_or_else(|| Problem::new(format!("`{word}` has no kernel for {platform}")))?;
        Self::of_input(kernel)
    }

    /// A kernel image that was read.
    pub fn of_input(kernel: KernelInput) -> Result<Self, Error> {
        let modules = in_both_places(kernel.files.tree)
            .map_err(|source| Error::Tree { origin: kernel.reference.clone(), source })?;
        Ok(Self {
            origin: format!("`{}`", kernel.reference),
            keys: kernel.kernel.keys()?,
            kernel: kernel.kernel,
            symbols: kernel.symbols,
            modules: Some(modules),
            firmware: None,
            cmdline: None,
            talos: None,
            drafts: Vec::new(),
        })
    }

    fn of_imager(context: &Context, word: &str, platform: &Platform) -> Result<Booted, Error> {
        let reference = parse(word)?;
        // Each platform's image of an index has the boot assets of all architectures.
        let (_, subjects) = load(context, &reference, Some(platform), Contents::ToInspect)
            .or_else(|_| load(context, &reference, None, Contents::ToInspect))?;
        let architecture = Architecture::parse(&platform.architecture)
            .ok_or_else(|| Problem::new(format!("Talos does not run on `{platform}`")))?;
        for subject in &subjects {
            let tree = &subject.files.tree;
            let files = BootFiles::of(tree, architecture).unwrap_or_else(|| BootFiles::in_folder(tree, ""));
            if !files.is_empty() {
                let talos = booted::label_of(subject);
                return booted::open(context, &files, word, talos);
            }
        }
        Err(Problem::new(format!("`{word}` has no boot assets for {architecture}"))
            .hint("an imager image, or a folder with `vmlinuz` and `initramfs.xz`, is wanted")
            .into())
    }

    /// The kernel alone.
    pub fn of_content(context: &Context, content: &Content, origin: String) -> Result<Self, Error> {
        let digest = content.digest().at("read", &origin)?;
        let (kernel, symbols) = kernel_facts::read(context, content, digest, &origin)?;
        let keys = kernel.keys()?;
        Ok(Self {
            origin,
            kernel,
            keys,
            symbols,
            modules: None,
            firmware: None,
            cmdline: None,
            talos: None,
            drafts: Vec::new(),
        })
    }

    /// Whether the kernel wants signatures.
    pub fn enforcement(&self, talos: &Version) -> Enforcement {
        Enforcement::of(self.kernel.signatures, talos, self.cmdline.as_deref())
    }

    /// Reads and verifies the modules of each extension that this kernel looks for.
    pub fn read(
        &self,
        context: &Context,
        extensions: &[(&str, &Tree)],
        talos: &Version,
    ) -> Result<Vec<Vec<Module>>, Error> {
        let folder = join(modules_dir(talos), &self.kernel.release);
        let read = |(_, tree): &(&str, &Tree)| kernel::read(tree, &folder, &self.keys, &context.workers);
        Ok(extensions.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// What the kernel makes of the modules of extensions, which lie above its own: their names and root file
    /// systems, the last on top, and their modules as [`Ground::read`] gives them.
    pub fn judge(
        &self,
        context: &Context,
        extensions: &[(&str, &Tree)],
        modules: &[Vec<Module>],
        talos: &Version,
    ) -> Result<Vec<(usize, Finding)>, Error> {
        let folder = join(modules_dir(talos), &self.kernel.release);
        let enforcement = self.enforcement(talos);
        let mut findings = Vec::new();
        if let Some(input) = self.kernel.input(&self.keys, &enforcement) {
            for (number, modules) in modules.iter().enumerate() {
                findings.extend(kernel::modules(modules, &input).into_iter().map(|one| (number, one)));
            }
        }
        let owner = |path: &str| (0..extensions.len()).rev().find(|number| has(extensions, *number, path));
        let (issues, names) = self.index(context, extensions, talos)?;
        for finding in check::depmod::report(&issues).findings() {
            let finding = finding.clone().within(&folder);
            // Those of the kernel's own modules are nobody's here to mend.
            if let Some(number) = finding.path.as_deref().and_then(owner) {
                findings.push((number, finding));
            }
        }
        if let Some(names) = names {
            for (number, modules) in modules.iter().enumerate() {
                let wished: Vec<_> = modules.iter().map(Module::wishes).collect();
                let wishes = kernel::unfulfilled(&wished, &|name| names.contains(name), &|path| {
                    self.firmware.as_ref().is_none_or(|own| own.contains(path))
                        || extensions.iter().any(|(_, tree)| has_firmware(tree, path))
                });
                findings.extend(wishes.into_iter().map(|one| (number, one)));
            }
        }
        Ok(findings)
    }

    /// What is wrong with all modules together and, if the kernel's own are known, the names of all.
    fn index(
        &self,
        context: &Context,
        extensions: &[(&str, &Tree)],
        talos: &Version,
    ) -> Result<(Vec<Issue>, Option<BTreeSet<String>>), Error> {
        let folder = join(modules_dir(talos), &self.kernel.release);
        let with: Vec<(&str, &Tree)> =
            extensions.iter().copied().filter(|(_, tree)| tree.get(&folder).is_some()).collect();
        if with.is_empty() {
            return Ok((Vec::new(), None));
        }
        let wrong = |error: &(dyn std::error::Error + 'static)| Error::from(Problem::new(chain(error)));
        if let Some(base) = &self.modules {
            let input = modules_dep::Input {
                base,
                extensions: &with,
                talos,
                kernel: self.symbols.as_ref(),
                workers: &context.workers,
            };
            let made = modules_dep::modules_dep(&input).map_err(|error| wrong(&error))?;
            return Ok((made.issues, Some(made.names)));
        }
        // Of the extensions alone: what they need of modules that are not known here is not judged.
        let mut tree = Tree::new();
        for (_, extension) in with {
            for (path, entry) in extension.inside(&folder) {
                tree.replace(path, entry.clone()).map_err(|error| wrong(&error))?;
            }
        }
        let options = Options {
            search: Search::talos(),
            kernel: self.symbols.as_ref(),
            of_kernel: None,
            workers: &context.workers,
        };
        let made = depmod(&tree, &options).map_err(|error| wrong(&error))?;
        let known = |issue: &Issue| !matches!(issue, Issue::Unresolved { .. } | Issue::NoDependency { .. });
        Ok((made.issues.into_iter().filter(known).collect(), None))
    }
}

/// The folder of modules of a kernel image, at both places: that of Talos since 1.10, and the one before. Which
/// of them the image has says nothing of where its modules will lie.
fn in_both_places(tree: Tree) -> Result<Tree, TreeError> {
    let [new, old] = MODULES;
    let (from, to) = if tree.children(new).next().is_some() { (new, old) } else { (old, new) };
    let mut both = Tree::new();
    for (path, entry) in tree.inside(from) {
        both.replace(&join(from, path), entry.clone())?;
        both.replace(&join(to, path), entry.clone())?;
    }
    Ok(both)
}

/// The findings of an extension's own rules, without those whose place the kernel's take.
pub fn without_replaced(findings: &[Finding]) -> impl Iterator<Item = Finding> {
    findings.iter().filter(|finding| !REPLACED.contains(&finding.code)).cloned()
}

fn has(extensions: &[(&str, &Tree)], number: usize, path: &str) -> bool {
    extensions.get(number).is_some_and(|(_, tree)| tree.get(path).is_some())
}

/// Whether a root file system has firmware of this name, plain or compressed.
fn has_firmware(tree: &Tree, path: &str) -> bool {
    FIRMWARE.iter().any(|folder| {
        ["", ".zst", ".xz"].iter().any(|ending| tree.get(&join(folder, &format!("{path}{ending}"))).is_some())
    })
}

/// A word that names a kernel's file: known by its magic number, not by its name.
fn kernel_file(word: &str) -> Result<Option<Content>, Error> {
    let Ok(Reference::Path(path)) = parse(word) else { return Ok(None) };
    if !path.is_file() {
        return Ok(None);
    }
    let content = Content::file(&path, std::fs::metadata(&path).at("read", &path)?.len());
    Ok(is_kernel(&content).at("read", &path)?.then_some(content))
}
