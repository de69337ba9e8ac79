//! Whether the kernel takes what was built with it: the machine of everything, the release and version magic of
//! every module, and its signature, against the keys in the very `vmlinuz` that came out of the same solve.

use std::collections::BTreeSet;
use std::io::{self, Read};

use rayon::prelude::*;
use serde::Serialize;

use super::bundle::{Bundle, Cache};
use crate::archive::Tree;
use crate::archive::tree::is_below;
use crate::base::units::count;
use crate::base::{Content, Digest, chain};
use crate::boot::{Kernel, Machine as BootMachine};
use crate::kmod::module::is_named_as_module;
use crate::kmod::signature::{self, Verdict};
use crate::kmod::{Machine, ModuleError, ModuleFacts, SignatureState, UnpackError, plain};
use crate::pki::{Cause, SignerId};
use crate::plan::error::{Error, Problem};
use crate::plan::run::Context;
use crate::talos::custom_imager::kernel::KernelFiles;
use crate::talos::extension::MODULES;

/// Faults that are shown; of more there is only the number.
const SHOWN_MAX: usize = 8;

/// A kernel whose modules it takes, all of them.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelFacts {
    /// Its platform.
    pub platform: String,
    /// What `uname -r` prints.
    pub release: String,
    /// Its version: release, who built it, with what, and when.
    pub version: String,
    /// Serial numbers of the keys that it trusts.
    pub keys: Vec<String>,
    /// Modules that were verified, in the kernel's image and in those of packages.
    pub modules: usize,
}

/// A bundle that was verified. Nothing else makes images.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) bundle: Bundle,
    pub(super) facts: KernelFacts,
}

/// What verifying came to, if nothing is wrong beyond the keys.
pub(super) enum Outcome {
    /// Everything is right.
    Verified(Box<Verified>),
    /// Modules are signed by another key. A solve without the cache may heal that.
    OtherKey(Mismatch),
}

/// Modules that are signed by a key that the kernel does not trust.
#[derive(Debug)]
pub(super) struct Mismatch {
    platform: String,
    faults: Vec<Fault>,
    modules: usize,
    trusts: Vec<String>,
}

/// What is wrong with a file.
#[derive(Debug)]
struct Fault {
    /// The stage and the path in it.
    place: String,
    what: String,
    /// Whether another solve may heal it.
    key: bool,
}

/// A file of the bundle.
struct File<'a> {
    stage: &'a str,
    path: &'a str,
    content: &'a Content,
}

/// Verifies all files of a bundle. What is wrong beyond the keys is an error: no other solve heals it.
pub(super) fn verify(bundle: Bundle, stage: &str, context: &Context) -> Result<Outcome, Error> {
    let architecture = bundle.platform.architecture.as_str();
    let (Some(machine), Some(boot)) =
        (Machine::of_architecture(architecture), BootMachine::of_architecture(architecture))
    else {
        return Err(Problem::usage(format!("Talos does not run on `{}`", bundle.platform)).into());
    };
    let kernel = kernel(&bundle.kernel.tree, stage, boot)?;
    let trees = std::iter::once((stage, &bundle.kernel.tree))
        .chain(bundle.packages.iter().map(|(name, input)| (name.as_str(), &input.tree)));
    let files: Vec<File<'_>> = trees
        .flat_map(|(stage, tree)| {
            tree.iter().filter_map(move |(path, entry)| Some(File { stage, path, content: entry.content()? }))
        })
        .collect();
    let total = files.iter().map(|file| file.content.len()).sum();
    let activity = context.events.begin("verify", bundle.platform.to_string(), Some(total));
    let judge = |file: &File<'_>| {
        let verdict = judge(file, machine, &kernel)
            .map_err(|source| Error::Check(crate::check::CheckError { path: file.place(), source }));
        activity.advance(file.content.len());
        verdict
    };
    let faults: Vec<Option<Fault>> =
        context.workers.install(|| files.par_iter().map(judge).collect::<Result<Vec<_>, Error>>())?;
    let modules = files.iter().filter(|file| is_named_as_module(file.path)).count();
    let (keys, others): (Vec<Fault>, Vec<Fault>) = faults.into_iter().flatten().partition(|fault| fault.key);
    let trusts: Vec<String> =
        kernel.keys.certificates().iter().map(|certificate| certificate.serial.to_string()).collect();
    let found = match others.is_empty() && keys.is_empty() {
        true => format!("{} for kernel {}", count(modules, "module"), kernel.release),
        false => format!("not all is for kernel {}", kernel.release),
    };
    activity.finish(found);
    if !others.is_empty() {
        return Err(unfit(&bundle, &others));
    }
    if !keys.is_empty() {
        let platform = bundle.platform.to_string();
        return Ok(Outcome::OtherKey(Mismatch { platform, faults: keys, modules, trusts }));
    }
    let facts = KernelFacts {
        platform: bundle.platform.to_string(),
        release: kernel.release,
        version: kernel.version,
        keys: trusts,
        modules,
    };
    Ok(Outcome::Verified(Box::new(Verified { bundle, facts })))
}

/// The kernel in its image, for the machine that was asked for, with the modules of its release beside it.
fn kernel(tree: &Tree, stage: &str, machine: BootMachine) -> Result<Kernel, Error> {
    let files = KernelFiles::of(tree).map_err(|error| {
        Problem::new(format!("stage `{stage}` gives no kernel image"))
            .detail(error.to_string())
            .hint("`--kernel` names the stage whose files are those of a kernel image of Talos: `boot/vmlinuz` and `usr/lib/modules`")
            .unfit()
    })?;
    let kernel = Kernel::read(files.vmlinuz).map_err(|error| {
        Problem::new(format!("the kernel of stage `{stage}` cannot be read: {}", chain(&error))).unfit()
    })?;
    if kernel.machine != machine {
        return Err(Problem::new(format!("stage `{stage}` gives a kernel for {}", kernel.machine))
            .detail(format!("asked for: {machine}"))
            .hint(FOREIGN_BASE)
            .unfit());
    }
    if kernel.release != files.release {
        return Err(Problem::new(format!("kernel and modules of stage `{stage}` are not of one build"))
            .detail(format!("the kernel is `{}` and looks for its modules by that name", kernel.release))
            .detail(format!("the modules lie in `{}`", files.folder))
            .unfit());
    }
    Ok(kernel)
}

const FOREIGN_BASE: &str = "BuildKit believes the platform of an image without looking: a base image is for another machine, or the build takes files of one";

impl Problem {
    fn unfit(self) -> Error {
        Error::Unfit(Box::new(self))
    }
}

impl File<'_> {
    fn place(&self) -> String {
        format!("{}: {}", self.stage, self.path)
    }
}

/// What is wrong with one file, if anything is.
fn judge(file: &File<'_>, machine: Machine, kernel: &Kernel) -> io::Result<Option<Fault>> {
    let verdict = match is_named_as_module(file.path) {
        true => judge_module(file, machine, kernel)?,
        false => judge_program(file, machine)?.map(|what| (what, false)),
    };
    Ok(verdict.map(|(what, key)| Fault { place: file.place(), what, key }))
}

/// Programs and libraries must be for this machine. Those for a third one are no programs of the system: firmware,
/// BPF.
fn judge_program(file: &File<'_>, machine: Machine) -> io::Result<Option<String>> {
    let mut header = [0; 64];
    if file.content.len() < header.len() as u64 {
        return Ok(None);
    }
    file.content.open()?.read_exact(&mut header)?;
    Ok(match Machine::of_header(&header) {
        Ok(found @ (Machine::X86_64 | Machine::Aarch64)) if found != machine => {
            Some(format!("a program for {found}, not {machine}"))
        }
        _ => None,
    })
}

/// What is wrong with a module, and whether it is only whose key signed it.
fn judge_module(file: &File<'_>, machine: Machine, kernel: &Kernel) -> io::Result<Option<(String, bool)>> {
    let other = |what: String| Ok(Some((what, false)));
    // In memory, one at a time a thread; the limit is the unpacker's.
    let content = match plain(file.content) {
        Ok(content) => content,
        Err(UnpackError::Read(error)) => return Err(error),
        Err(error) => return other(chain(&error)),
    };
    let facts = match ModuleFacts::read(&content, file.path) {
        Ok(facts) => facts,
        Err(ModuleError::NotAModule { why }) => return other(format!("no module: {why}")),
        Err(ModuleError::Read(error)) => return Err(error),
    };
    if facts.machine != machine {
        return other(format!("a module for {}, not {machine}", facts.machine));
    }
    if let Some(what) = judge_vermagic(&facts, kernel).or_else(|| judge_folder(file.path, kernel)) {
        return other(what);
    }
    // A kernel without keys was built to take modules as they are.
    if kernel.keys.is_empty() && facts.signature == SignatureState::Unsigned {
        return Ok(None);
    }
    let signed_by = |signer: &SignerId| format!("signed by {signer}");
    Ok(match signature::verify(&content, &facts.signature, &kernel.keys)? {
        Verdict::Trusted { .. } => None,
        Verdict::UnknownKey { signer } => Some((signed_by(&signer), true)),
        Verdict::Wrong { signer, cause: Cause::Content } => {
            Some((format!("changed after it was {}", signed_by(&signer)), false))
        }
        Verdict::Wrong { signer, cause: Cause::Key | Cause::Unknown } => {
            Some((format!("{}, whose key in the kernel is another", signed_by(&signer)), true))
        }
        Verdict::Unsigned => Some(("not signed".to_owned(), false)),
        Verdict::Unsupported { what } => {
            Some((format!("signed by {what}, which is not verified here"), false))
        }
        Verdict::Malformed { why } => Some((format!("the signature is damaged: {why}"), false)),
    })
}

/// Within one solve even the release must be the same, be the kernel lenient or not: modules are looked for in the
/// folder of its release.
fn judge_vermagic(facts: &ModuleFacts, kernel: &Kernel) -> Option<String> {
    let vermagic = facts.vermagic.as_deref().unwrap_or_default();
    let release = facts.release().unwrap_or_default();
    if release != kernel.release {
        return Some(format!("built for kernel `{release}`, and this one is `{}`", kernel.release));
    }
    let expected = kernel.vermagic.as_deref()?;
    (vermagic.trim_end() != expected.trim_end())
        .then(|| format!("its version magic is `{vermagic}`, and the kernel's `{expected}`"))
}

/// A kernel looks for modules in the folder of its own release.
fn judge_folder(path: &str, kernel: &Kernel) -> Option<String> {
    let (folder, rest) = MODULES.iter().find_map(|folder| {
        is_below(path, folder).then(|| (folder, path.get(folder.len() + 1..).unwrap_or_default()))
    })?;
    let release = rest.split('/').next().unwrap_or_default();
    (release != kernel.release)
        .then(|| format!("not in `{folder}/{}`, where this kernel looks", kernel.release))
}

/// The lines for some faults.
fn lines(faults: &[Fault]) -> Vec<String> {
    let mut lines: Vec<String> =
        faults.iter().take(SHOWN_MAX).map(|fault| format!("{}: {}", fault.place, fault.what)).collect();
    if let Some(more) = faults.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn unfit(bundle: &Bundle, faults: &[Fault]) -> Error {
    let files = count(faults.len(), "file");
    let problem = Problem::new(format!(
        "{files} that BuildKit gave for {} are not fit for this kernel",
        bundle.platform
    ));
    let problem = lines(faults).into_iter().fold(problem, Problem::detail);
    let any = |word: &str| faults.iter().any(|fault| fault.what.contains(word));
    let hint = if any("program for") || any("module for") {
        FOREIGN_BASE
    } else if any("not signed") || any("changed after") {
        "the package must sign its modules by the kernel's `scripts/sign-file` or `modules_install`, and nothing may strip them afterwards"
    } else {
        "the package must be built against the stage that builds this kernel"
    };
    problem.hint(hint).unfit()
}

impl Mismatch {
    /// For a warning: what a second solve is for.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} of {} for {} are signed by a key that the kernel of the same solve does not trust: BuildKit's cache has lost the stage that makes the key",
            self.faults.len(),
            count(self.modules, "module"),
            self.platform
        )
    }

    /// A text that another mismatch does not have: keys are made by chance.
    pub(super) fn mark(&self) -> String {
        let signers: BTreeSet<&str> = self.faults.iter().map(|fault| fault.what.as_str()).collect();
        Digest::of(format!("{} {:?} {signers:?}", self.platform, self.trusts).as_bytes()).to_string()
    }

    /// The error, after a solve that might take this from the cache; by bldr or not.
    pub(super) fn error(&self, cache: &Cache, bldr: bool) -> Error {
        let problem = Problem::new(format!(
            "{} of {} for {} are signed by a key that the kernel of the same solve does not trust",
            self.faults.len(),
            count(self.modules, "module"),
            self.platform
        ));
        let problem = lines(&self.faults).into_iter().fold(problem, Problem::detail);
        let trusts: BTreeSet<&str> = self.trusts.iter().map(String::as_str).collect();
        let problem = problem.detail(match self.trusts.as_slice() {
            [] => "the kernel trusts no key at all".to_owned(),
            _ => format!("the kernel trusts serial {}", Vec::from_iter(trusts).join(", ")),
        });
        let (why, hint) = match cache {
            Cache::Whole => (
                "BuildKit's cache holds the kernel's stage, but no longer the one that made its key (a size limit, garbage collection, or an imported cache of `mode=min`): that one was run again, and made another key",
                "leave out `--no-retry` or give `--no-cache`: all is built anew; export caches with `mode=max`, and give the daemon room for the kernel's build",
            ),
            Cache::Marked(_) => (
                "it is so in a second build, too, which shares no results with the first: the build itself has two keys, or the cache has lost the stage that made the key of that build as well",
                "`--no-cache` tells which: it builds all of it anew (bldr before v0.5.2 takes results from the cache all the same: there, `buildctl prune` and build again)",
            ),
            Cache::Nothing => (
                "nothing was taken from the cache: it is the build itself that has two keys",
                match bldr {
                    true => {
                        "the packages' stages must take the key from the stage that builds the kernel, and must not make one (bldr before v0.5.2 takes results from the cache all the same: there, `buildctl prune` and build again)"
                    }
                    false => {
                        "the packages' stages must take the key from the stage that builds the kernel, and must not make one"
                    }
                },
            ),
        };
        problem.detail(why).hint(hint).unfit()
    }
}
