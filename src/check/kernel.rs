//! Rules for kernel modules that need the kernel: what it will make of each of them.
//!
//! The order is the kernel's (kernel/module/main.c, `load_module`): first the signature, then the machine and
//! the version magic; versions of symbols come from the index (see [`super::depmod`]). What the kernel keeps to
//! itself is said here: of a signature that does not fit, why.

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Severity};
use super::modules::CheckError;
use super::rules::Code;
use crate::archive::Tree;
use crate::archive::tree::file_name;
use crate::base::{Content, Workers};
use crate::kmod::module::{is_named_as_module, name_of_file};
use crate::kmod::signature::verify;
use crate::kmod::{Machine, ModuleError, ModuleFacts, SignatureState, UnpackError, Verdict, plain};
use crate::pki::{Cause, SignerId, TrustedKeys};
use crate::talos::Enforcement;

/// What is known of the kernel.
#[derive(Debug, Clone, Copy)]
pub struct KernelInput<'a> {
    /// The machine that it runs on.
    pub machine: Machine,
    /// What it holds the version magic of modules against, if it was found in it.
    pub vermagic: Option<&'a str>,
    /// The keys that it trusts.
    pub keys: &'a TrustedKeys,
    /// Whether it refuses what they did not sign.
    pub enforcement: &'a Enforcement,
}

/// The rules for an extension alone whose place these take: they judge without the kernel.
pub const REPLACED: [Code; 4] =
    [Code::ModuleMachine, Code::ModuleVermagic, Code::ModuleUnsigned, Code::ModuleSignatureLost];

/// A module that was read.
#[derive(Debug)]
pub struct Module {
    /// Its path.
    pub path: String,
    /// What it says of itself.
    pub facts: ModuleFacts,
    /// What the kernel makes of its signature.
    pub verdict: Verdict,
}

/// Reads and verifies all modules below `folder` of a tree, in the order of their paths. What is no module is
/// left out: another rule finds it. Compressed ones are unpacked in memory.
pub fn read(
    tree: &Tree,
    folder: &str,
    keys: &TrustedKeys,
    workers: &Workers,
) -> Result<Vec<Module>, CheckError> {
    read_knowing(tree, folder, keys, workers, &())
}

/// Verdicts from earlier runs: what these very keys make of these very bytes.
pub trait Verdicts: Sync {
    /// What is known of the module at a path.
    fn known(&self, path: &str) -> Option<Verdict>;

    /// Keeps what was found.
    fn keep(&self, path: &str, verdict: &Verdict);
}

/// None.
impl Verdicts for () {
    fn known(&self, _: &str) -> Option<Verdict> {
        None
    }

    fn keep(&self, _: &str, _: &Verdict) {}
}

/// The same, without verifying again what is known.
pub fn read_knowing(
    tree: &Tree,
    folder: &str,
    keys: &TrustedKeys,
    workers: &Workers,
    verdicts: &dyn Verdicts,
) -> Result<Vec<Module>, CheckError> {
    let files: Vec<(&str, &Content)> = tree
        .below(folder)
        .filter(|(path, _)| is_named_as_module(path))
        .filter_map(|(path, entry)| Some((path, entry.content()?)))
        .collect();
    let read = |(path, content): &(&str, &Content)| {
        read_one(path, content, keys, verdicts)
            .map_err(|source| CheckError { path: (*path).to_owned(), source })
    };
    let modules: Result<Vec<_>, _> = workers.install(|| files.par_iter().map(read).collect());
    Ok(modules?.into_iter().flatten().collect())
}

fn read_one(
    path: &str,
    content: &Content,
    keys: &TrustedKeys,
    verdicts: &dyn Verdicts,
) -> std::io::Result<Option<Module>> {
    let plain = match plain(content) {
        Ok(plain) => plain,
        Err(UnpackError::Read(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let facts = match ModuleFacts::read(&plain, file_name(path)) {
        Ok(facts) => facts,
        Err(ModuleError::NotAModule { .. }) => return Ok(None),
        Err(ModuleError::Read(error)) => return Err(error),
    };
    let verdict = match verdicts.known(path) {
        Some(verdict) => verdict,
        None => {
            let verdict = verify(&plain, &facts.signature, keys)?;
            verdicts.keep(path, &verdict);
            verdict
        }
    };
    Ok(Some(Module { path: path.to_owned(), facts, verdict }))
}

/// Runs every rule. Of many modules of which the same is to be said, one finding speaks.
pub fn modules(modules: &[Module], kernel: &KernelInput<'_>) -> Vec<Finding> {
    let some_are_signed = modules.iter().any(|module| matches!(module.verdict, Verdict::Trusted { .. }));
    let mut found = Grouped::default();
    for module in modules {
        if let Some(said) = signature(module, kernel, some_are_signed) {
            found.add(&module.path, said);
        }
        if module.facts.machine != kernel.machine {
            let (expected, own) = (kernel.machine.to_string(), module.facts.machine.to_string());
            let said = Said::new(Code::ModuleMachine, "built for another machine").expected(expected, own);
            found.add(&module.path, said);
        } else if let Some(said) = version_magic(&module.facts, kernel) {
            found.add(&module.path, said);
        }
    }
    found.findings()
}

/// Whether the machine takes modules whoever signed them.
pub fn not_enforced(enforcement: &Enforcement) -> Option<Finding> {
    (!enforcement.is_on()).then(|| {
        let finding = Finding::new(Code::NotEnforced, enforcement.to_string());
        match enforcement {
            Enforcement::NotBuilt => finding,
            _ => finding.hint("`module.sig_enforce=1` on the kernel command line enforces them"),
        }
    })
}

/// What is wrong with the signature of a module.
fn signature(module: &Module, kernel: &KernelInput<'_>, some_are_signed: bool) -> Option<Said> {
    if *kernel.enforcement == Enforcement::NotBuilt {
        return None;
    }
    let lenient = if kernel.enforcement.is_on() { Severity::Error } else { Severity::Warning };
    let said = match &module.verdict {
        Verdict::Trusted { .. } => return None,
        Verdict::Unsigned => unsigned(&module.facts.signature, some_are_signed).severity(lenient),
        Verdict::UnknownKey { signer } => unknown_key(signer, kernel.keys).severity(lenient),
        Verdict::Unsupported { what } => Said::new(
            Code::ModuleSignatureUnknown,
            format!("signed in a way that is not verified here: {what}"),
        ),
        Verdict::Wrong { signer, cause } => wrong(signer, *cause, kernel.keys),
        Verdict::Malformed { why } => {
            Said::new(Code::ModuleSignature, format!("signed, but the signature is damaged: {why}"))
                .hint("nothing may be cut, added or changed after signing: build the module again")
        }
    };
    Some(said)
}

fn unsigned(state: &SignatureState, some_are_signed: bool) -> Said {
    match state {
        SignatureState::Lost(why) => {
            Said::new(Code::ModuleSignatureLost, format!("without a signature now: {why}"))
                .hint("sign modules last: nothing may be added, cut or changed afterwards")
        }
        _ => {
            let said = Said::new(Code::ModuleUnsigned, "not signed");
            // A module that was stripped after signing looks like this; only its company betrays it.
            if some_are_signed {
                said.hint("other modules beside it are signed: was it stripped after it was signed?")
            } else {
                said.hint(TOGETHER)
            }
        }
    }
}

/// How a module gets the right key.
const TOGETHER: &str = "build kernel and module in one solve (`talosmith kernel`), and the installer from an imager \
                        with that kernel (`talosmith custom-imager`)";

fn unknown_key(signer: &SignerId, keys: &TrustedKeys) -> Said {
    let said = Said::new(Code::ModuleKey, "signed by a key that the kernel does not have");
    let SignerId::IssuerAndSerial { issuer, .. } = signer else {
        return said.expected(named(keys), signer.to_string()).hint(TOGETHER);
    };
    let own: Vec<String> =
        keys.issued_by(issuer).map(|own| format!("serial {} of `{issuer}`", own.serial)).collect();
    if own.is_empty() {
        return said.expected(named(keys), format!("{signer} of `{issuer}`")).hint(TOGETHER);
    }
    // Every build of a kernel makes a key of this name: the serial number alone tells them apart.
    said.expected(own.join(", "), format!("{signer}, of the same name")).hint(format!(
        "another build of the kernel signed it, and every build makes a new key of the same name: {TOGETHER}"
    ))
}

/// The keys of a kernel, in few words.
fn named(keys: &TrustedKeys) -> String {
    /// Keys that are named.
    const NAMED: usize = 3;
    let named: Vec<String> = keys
        .certificates()
        .iter()
        .take(NAMED)
        .map(|own| format!("serial {} of `{}`", own.serial, own.issuer))
        .collect();
    match keys.certificates().len() {
        0 => "any key of the kernel's, which has none".to_owned(),
        len if len > NAMED => format!("{} or {} more", named.join(", "), len - NAMED),
        _ => named.join(" or "),
    }
}

fn wrong(signer: &SignerId, cause: Cause, keys: &TrustedKeys) -> Said {
    let kind = keys.find(signer).map(|own| own.key.kind()).unwrap_or_default();
    let expected = format!("a signature by the kernel's own {kind} key, {signer}");
    let (what, found, hint) = match cause {
        Cause::Content => (
            "changed after signing",
            "the signature is by that key, and for other bytes".to_owned(),
            "take the module as the kernel's build left it: nothing may strip, patch or copy parts of it"
                .to_owned(),
        ),
        Cause::Key => (
            "signed by another key that has the name and serial number of the kernel's",
            "the signature is by another key".to_owned(),
            format!("two keys were made with the same serial number: {TOGETHER}"),
        ),
        Cause::Unknown => (
            "given a signature that does not fit",
            "other bytes were signed, or another key of this serial number signed them".to_owned(),
            TOGETHER.to_owned(),
        ),
    };
    Said::new(Code::ModuleSignature, what).expected(expected, found).hint(hint)
}

/// What is wrong with the version magic (`same_magic` in kernel/module/version.c): if both sides have versions
/// of symbols, the first word, which is the release, is not compared.
fn version_magic(facts: &ModuleFacts, kernel: &KernelInput<'_>) -> Option<Said> {
    let expected = kernel.vermagic?;
    let Some(own) = facts.vermagic.as_deref() else {
        return Some(
            Said::new(Code::VersionMagic, "without a word on the kernel that it is for")
                .expected(format!("`{}`", expected.trim_end()), "no `vermagic`"),
        );
    };
    let flags =
        |text: &str| text.find(' ').map_or(String::new(), |space| text.get(space..).unwrap_or("").to_owned());
    let versioned = facts.versioned && expected.split(' ').any(|word| word == "modversions");
    let same = if versioned { flags(expected) == flags(own) } else { expected == own };
    if same {
        return None;
    }
    let said = if flags(expected) == flags(own) {
        Said::new(Code::VersionMagic, "built for another release of the kernel")
            .hint("build it against this kernel: without versions of symbols the release must be the same")
    } else {
        Said::new(Code::VersionMagic, "built for a kernel with other features")
            .hint("build it with the configuration of this kernel")
    };
    Some(said.expected(format!("`{}`", expected.trim_end()), format!("`{}`", own.trim_end())))
}

/// What a module would like to have beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// The module's path.
    pub path: String,
    /// `softdep`, such as `pre: a b post: c`.
    pub softdeps: Vec<String>,
    /// Files below the folder of firmware.
    pub firmware: Vec<String>,
}

impl Module {
    /// What it would like to have.
    pub fn wishes(&self) -> Wishes {
        let ModuleFacts { softdeps, firmware, .. } = &self.facts;
        Wishes { path: self.path.clone(), softdeps: softdeps.clone(), firmware: firmware.clone() }
    }
}

/// Of what modules would like to have beside them, what is not there. `has_module` knows names (with `_` for
/// `-`), of modules and of what is built in; `has_firmware` knows paths below the folder of firmware.
pub fn unfulfilled(
    modules: &[Wishes],
    has_module: &dyn Fn(&str) -> bool,
    has_firmware: &dyn Fn(&str) -> bool,
) -> Vec<Finding> {
    let mut found = Grouped::default();
    for module in modules {
        for soft in &module.softdeps {
            // `pre: a b post: c`
            let names = soft.split_whitespace().filter(|word| !word.ends_with(':'));
            for name in names.map(|name| name.replace('-', "_")).filter(|name| !has_module(name)) {
                let what = format!("made to work with module `{name}`, which is not there");
                found.add(&module.path, Said::new(Code::SoftDependency, what));
            }
        }
        // A pattern names files that nobody needs all of.
        for path in module.firmware.iter().filter(|path| !path.contains('*') && !has_firmware(path)) {
            let what = format!("made to ask for firmware `{path}`, which is not there");
            found.add(&module.path, Said::new(Code::FirmwareMissing, what));
        }
    }
    found.findings()
}

/// Modules that an installer's own index does not have by the name that the loader looks for: `index` is the
/// text of `modules.dep`.
pub fn not_found(modules: &[Module], index: &str) -> Vec<Finding> {
    let names: std::collections::BTreeSet<String> =
        index.lines().filter_map(|line| line.split_once(':')).map(|(path, _)| name_of_file(path)).collect();
    let mut found = Grouped::default();
    for module in modules.iter().filter(|module| !names.contains(&module.facts.name)) {
        let said = Said::new(Code::ModuleNotFound, "missing in the index of modules, `modules.dep`")
            .hint("build the installer again: its index was made without this extension");
        found.add(&module.path, said);
    }
    found.findings()
}

/// What is to be said of a module: a predicate that `is` or `are` goes before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    code: Code,
    severity: Severity,
    what: String,
    expected: Option<(String, String)>,
    hint: Option<String>,
}

impl Said {
    fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, severity: code.rule().severity, what: what.into(), expected: None, hint: None }
    }

    fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    fn expected(mut self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        self.expected = Some((expected.into(), found.into()));
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What is to be said, with the paths of which it is.
#[derive(Default)]
struct Grouped(BTreeMap<Said, Vec<String>>);

impl Grouped {
    fn add(&mut self, path: &str, said: Said) {
        self.0.entry(said).or_default().push(path.to_owned());
    }

    fn findings(self) -> Vec<Finding> {
        let finding = |(said, paths): (Said, Vec<String>)| {
            let Said { code, severity, what, expected, hint } = said;
            let mut paths = paths.into_iter();
            let first = paths.next()?;
            let also: Vec<String> = paths.collect();
            let message = match also.len() {
                0 => format!("module `{}` is {what}", file_name(&first)),
                more => format!("modules `{}` and {more} more are {what}", file_name(&first)),
            };
            let mut finding = Finding::new(code, message).severity(severity).at(first).also_at(also);
            if let Some((expected, found)) = expected {
                finding = finding.expected(expected, found);
            }
            Some(match hint {
                Some(hint) => finding.hint(hint),
                None => finding,
            })
        };
        self.0.into_iter().filter_map(finding).collect()
    }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
