//! Rules for the kernel modules of an extension.
//!
//! [`read_modules`] reads each module once; the rules judge what it gives. A module belongs to the
//! release in whose directory it lies (`usr/lib/modules/<release>/…`), and is told by its name; what
//! it is made of is told by its first bytes.

use std::collections::BTreeSet;
use std::io;

use super::extension::ROOTFS;
use super::finding::{Finding, Severity};
use super::rules::Code;
use crate::archive::Tree;
use crate::archive::tree::{file_name, join};
use crate::base::Content;
use crate::kmod::module::is_named_as_module;
use crate::kmod::{Compression, Machine, ModuleError, ModuleFacts, NotAModule, SignatureState};

/// A file that is named like a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Its path in the image.
    pub path: String,
    /// The release in whose directory it lies; `None` outside of such directories.
    pub release: Option<String>,
    /// What it is.
    pub form: Form,
}

/// What a file that is named like a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A module.
    Module(Box<ModuleFacts>),
    /// Something compressed; what is in it was not looked at.
    Compressed(Compression),
    /// Neither.
    Other(NotAModule),
}

/// A file could not be read, so that nothing can be said of it.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` cannot be read")]
pub struct CheckError {
    /// Its path in the image.
    pub path: String,
    /// Why.
    pub source: io::Error,
}

impl ModuleFile {
    /// The facts, and the release of the directory, of a module that lies where it can be loaded from.
    fn placed(&self) -> Option<(&str, &ModuleFacts)> {
        match (&self.form, &self.release) {
            (Form::Module(facts), Some(release)) => Some((release, facts)),
            _ => None,
        }
    }

    fn finding(&self, code: Code, what: &str) -> Finding {
        Finding::new(code, format!("module `{}` {what}", file_name(&self.path))).at(&self.path)
    }
}

/// Reads all modules of an extension. `folder` is where this Talos version has the directories of
/// releases: `usr/lib/modules`, or `lib/modules` before 1.10.
pub fn read_modules(tree: &Tree, folder: &str) -> Result<Vec<ModuleFile>, CheckError> {
    let above = format!("{}/", join(ROOTFS, folder.trim_matches('/')));
    let mut modules = Vec::new();
    for (path, entry) in tree.below(ROOTFS) {
        let Some(content) = entry.content().filter(|_| is_named_as_module(path)) else { continue };
        let release = path.strip_prefix(&above).and_then(|rest| rest.split_once('/'));
        let form =
            read(content, file_name(path)).map_err(|source| CheckError { path: path.to_owned(), source })?;
        modules.push(ModuleFile {
            path: path.to_owned(),
            release: release.map(|(release, _)| release.to_owned()),
            form,
        });
    }
    Ok(modules)
}

fn read(content: &Content, file_name: &str) -> io::Result<Form> {
    if let Some(compression) = Compression::of_content(content)? {
        return Ok(Form::Compressed(compression));
    }
    match ModuleFacts::read(content, file_name) {
        Ok(facts) => Ok(Form::Module(Box::new(facts))),
        Err(ModuleError::NotAModule { why }) => Ok(Form::Other(why)),
        Err(ModuleError::Read(error)) => Err(error),
    }
}

/// What lies among the modules must be modules.
pub fn invalid(modules: &[ModuleFile]) -> Vec<Finding> {
    let other = |module: &ModuleFile| match (&module.form, &module.release) {
        (Form::Other(why), Some(_)) => Some(module.finding(Code::ModuleInvalid, &format!("is none: {why}"))),
        _ => None,
    };
    modules.iter().filter_map(other).collect()
}

/// Modules must be for the platform's machine.
pub fn machine(modules: &[ModuleFile], expected: Machine) -> Vec<Finding> {
    let wrong = |module: &ModuleFile| {
        let (_, facts) = module.placed().filter(|(_, facts)| facts.machine != expected)?;
        let finding = module.finding(Code::ModuleMachine, "is built for another machine");
        Some(finding.expected(expected.to_string(), facts.machine.to_string()))
    };
    modules.iter().filter_map(wrong).collect()
}

/// Modules must not be compressed.
pub fn compressed(modules: &[ModuleFile]) -> Vec<Finding> {
    let packed = |module: &ModuleFile| match (&module.form, &module.release) {
        (Form::Compressed(compression), Some(_)) => Some(
            module
                .finding(Code::ModuleCompressed, &format!("is compressed with {}", compression.name()))
                .expected("a plain `.ko` file", compression.name())
                .hint("install the modules of a kernel without `CONFIG_MODULE_COMPRESS`, or unpack them"),
        ),
        _ => None,
    };
    modules.iter().filter_map(packed).collect()
}

/// All modules should be for one release.
pub fn several_releases(modules: &[ModuleFile]) -> Vec<Finding> {
    let releases: BTreeSet<&str> = modules.iter().filter_map(|module| module.release.as_deref()).collect();
    if releases.len() < 2 {
        return Vec::new();
    }
    let list: Vec<String> = releases.iter().map(|release| format!("`{release}`")).collect();
    let message = format!("there are modules for {} kernel releases", releases.len());
    vec![Finding::new(Code::ModuleReleases, message).expected("one release", list.join(", "))]
}

/// A module must be built for the release in whose directory it lies. The kernel does not compare
/// the release of a module that has symbol versions (`same_magic` in kernel/module/version.c).
pub fn vermagic(modules: &[ModuleFile]) -> Vec<Finding> {
    let differs = |module: &ModuleFile| {
        let (directory, facts) =
            module.placed().filter(|(directory, facts)| facts.release() != Some(directory))?;
        let Some(release) = facts.release() else {
            let finding = module.finding(Code::ModuleVermagic, "does not say what kernel it is built for");
            return Some(finding.expected(format!("vermagic `{directory} …`"), "no vermagic"));
        };
        let versioned =
            facts.vermagic.iter().flat_map(|text| text.split_whitespace()).any(|word| word == "modversions");
        let finding =
            module.finding(Code::ModuleVermagic, "is built for another release than its directory's");
        let finding = finding.expected(directory, release);
        Some(if versioned {
            finding
                .severity(Severity::Warning)
                .hint("it loads if flags and symbol versions of both kernels agree")
        } else {
            finding.hint(format!("build it against kernel `{directory}`"))
        })
    };
    modules.iter().filter_map(differs).collect()
}

/// Modules should be signed.
pub fn unsigned(modules: &[ModuleFile]) -> Vec<Finding> {
    let signed: BTreeSet<&str> = modules
        .iter()
        .filter_map(ModuleFile::placed)
        .filter(|(_, facts)| matches!(facts.signature, SignatureState::Signed(_)))
        .map(|(release, _)| release)
        .collect();
    let lacks = |module: &ModuleFile| {
        let (release, _) =
            module.placed().filter(|(_, facts)| facts.signature == SignatureState::Unsigned)?;
        let finding = module.finding(Code::ModuleUnsigned, "is not signed");
        // A module that was stripped after signing looks like this; only its company betrays it.
        Some(if signed.contains(release) {
            finding.hint(format!(
                "other modules for `{release}` are signed: was this one stripped after it was signed?"
            ))
        } else {
            finding.hint("build kernel and module together, so that the module is signed with its key")
        })
    };
    modules.iter().filter_map(lacks).collect()
}

/// A signature must be where the kernel looks for it.
pub fn signature_lost(modules: &[ModuleFile]) -> Vec<Finding> {
    let lost = |module: &ModuleFile| match module.placed()?.1.signature {
        SignatureState::Lost(ref why) => Some(
            module
                .finding(Code::ModuleSignatureLost, &format!("has lost its signature: {why}"))
                .hint("sign modules last: nothing may be added, cut or changed afterwards"),
        ),
        _ => None,
    };
    modules.iter().filter_map(lost).collect()
}

/// Modules must lie in the directory of a release. `folder` as for [`read_modules`].
pub fn misplaced(modules: &[ModuleFile], folder: &str) -> Vec<Finding> {
    let folder = folder.trim_matches('/');
    modules
        .iter()
        .filter(|module| module.release.is_none())
        .map(|module| {
            let expected = format!("`{}`", join(ROOTFS, &format!("{folder}/<release>/…")));
            module
                .finding(Code::ModuleMisplaced, &format!("does not lie in `/{folder}/<release>/`"))
                .expected(expected, format!("`{}`", module.path))
        })
        .collect()
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
