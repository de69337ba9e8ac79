//! Everything that a `talosmith.yaml` asks for, in the order in which one thing needs another: the kernel, imagers with
//! it and extensions side by side, installers.
//!
//! | module | what |
//! |---|---|
//! | `declared` | what the spec declares, in the words of the commands that make it |
//! | [`mod@report`] | what came of it: for machines, and for the one who goes on with it |
//!
//! What one part makes for another is handed on as an OCI layout in a temporary folder of the store: its blobs are links,
//! and the part that reads it needs to know nothing of where it came from.

mod declared;
pub mod report;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::custom_imager;
use super::dry::Fate;
use super::error::{Error, Problem};
use super::extension::{self, BuiltExtension, MadeFiles};
use super::installer::{self, ExtensionSource, build::Facts};
use super::kernel::{self, KernelFacts};
use super::outputs::Written;
use super::packages::extensions as packages;
use super::packages::tree::is_package_folder;
use super::run::Context;
use super::spec::{self, Loaded, Spec};
use crate::base::fsio::TempFolder;
use crate::base::workers::each;
use crate::base::{Epoch, locked};
use crate::bldr::buildkit;
use crate::check::Report;
use crate::image::Platform;
use declared::Declared;

/// How a spec is built: what it does not say itself.
pub struct Options<'a> {
    /// `SOURCE_DATE_EPOCH`, where it is set.
    pub epoch: Option<Epoch>,
    /// The platform of this machine, for programs that may be run on it.
    pub host: Platform,
    /// What BuildKit's client finds in its environment.
    pub buildkit: &'a (dyn Fn(&buildkit::Options) -> buildkit::Environment + Sync),
    /// Nothing is written where the spec says; what would be is in [`Built`] all the same.
    pub outputs: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Built {
    /// What was made, in the order of the spec.
    pub items: Vec<Item>,
    /// Warnings and infos of the checks, and errors that may pass.
    pub reports: Vec<Report>,
    /// The kernel of each platform, if one was built.
    pub kernels: Vec<KernelFacts>,
    /// Names of the modules of all extensions.
    pub modules: Vec<String>,
    /// The Talos version of the installers.
    pub talos: Option<String>,
    /// Where the images are, for as long as this is.
    pub folder: Option<TempFolder>,
}

/// Something that was made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// What it is called.
    pub name: String,
    /// Where it was written.
    pub written: Vec<Written>,
    /// Where it is within [`Built::folder`].
    #[serde(skip)]
    pub inner: String,
    /// Of an installer: what is in it, by platform.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Facts>,
    /// Its digest, as a layout has it.
    pub digest: crate::base::Digest,
}

/// What an [`Item`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ItemKind {
    /// A kernel, or a package of modules for it.
    Kernel,
    /// An imager with this kernel.
    Imager,
    /// An extension.
    Extension,
    /// An installer.
    Installer,
}

/// Makes everything that `loaded` asks for and writes it. A cache elsewhere that has not what it promised costs time:
/// what was not made yet is made without it.
pub fn build(loaded: &Loaded, context: &Context, options: &Options<'_>) -> Result<Built, Error> {
    let made = build_with(loaded, context, options);
    let failure = context.remote.as_ref().and_then(|remote| remote.failure());
    match (made, failure) {
        (Err(_), Some(why)) => {
            context.events.warn(format!("{why}; the build goes on without its cache"), None);
            build_with(loaded, context, options)
        }
        (made, _) => made,
    }
}

fn build_with(loaded: &Loaded, context: &Context, options: &Options<'_>) -> Result<Built, Error> {
    let folder = context.store.temp_folder()?;
    let declared = Declared { spec: &loaded.spec, options, folder: folder.path() };
    let mut built = Built::default();
    let has_kernel = known(kernels(&declared, context, &mut built))?.is_some();
    let (imagers, extensions) = std::thread::scope(|scope| {
        let imagers = scope.spawn(|| match has_kernel {
            true => self::imagers(&declared, context),
            false => Err(Error::NotRun),
        });
        let extensions = self::extensions(&declared, context);
        let imagers =
            imagers.join().unwrap_or_else(|_| Err(Error::Internal("a thread has failed".to_owned())));
        (imagers, extensions)
    });
    // Whichever failed first is the cause; both are told in the order of the spec.
    let imagers = known(imagers)?;
    let mut missing = imagers.is_none().then(|| "an imager with the kernel".to_owned());
    built.items.extend(imagers.unwrap_or_default());
    let mut placed = Vec::new();
    for (number, made) in extensions?.into_iter().enumerate() {
        let Some(made) = made else {
            missing.get_or_insert_with(|| format!("extension {}", number + 1));
            continue;
        };
        let source = |(item, files): (&Item, MadeFiles)| ExtensionSource::Made {
            reference: item.inner.clone(),
            shown: item.name.clone(),
            files,
        };
        placed.push(made.items.iter().zip(made.files).map(source).collect());
        built.items.extend(made.items);
        built.reports.extend(made.reports);
        built.modules.extend(made.modules);
    }
    match (missing, &context.dry) {
        (Some(missing), Some(dry)) => {
            for number in 0..loaded.spec.installers.len() {
                let name = declared.installer_name(number);
                dry.note("installer", &name, Fate::Waits { r#for: missing.clone() });
            }
        }
        _ => installers(&declared, context, &placed, &mut built)?,
    }
    twice(&built.items)?;
    built.modules.sort();
    built.modules.dedup();
    built.folder = Some(folder);
    Ok(built)
}

/// Two things of one name were written to one place: the second is what is there now.
fn twice(items: &[Item]) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for item in items {
        for written in &item.written {
            if let Some(other) = seen.insert(&written.reference, &item.name) {
                return Err(Problem::new(format!("`{}` was written twice", written.reference))
                    .detail(format!("by `{other}` and by `{}`", item.name))
                    .hint("give them other names in their manifests, or other outputs")
                    .into());
            }
        }
    }
    Ok(())
}

/// Nothing, for a part that a dry run would have to make.
fn known<T>(made: Result<T, Error>) -> Result<Option<T>, Error> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(Error::NotRun) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the image in the temporary folder off what was written, and gives its digest.
fn inner(written: &mut Vec<Written>, inner: &str) -> Result<crate::base::Digest, Error> {
    let at = written.iter().position(|one| one.reference == inner);
    let at = at.ok_or_else(|| Error::Internal(format!("nothing was written to `{inner}`")))?;
    Ok(written.remove(at).digest)
}

fn kernels(declared: &Declared<'_>, context: &Context, built: &mut Built) -> Result<(), Error> {
    let Some(spec) = declared.kernel()? else { return Ok(()) };
    if let Some(dry) = &context.dry {
        let why = "what BuildKit builds only BuildKit knows".to_owned();
        dry.note("kernel", &spec.context.display().to_string(), Fate::Runs { why });
        return Err(Error::NotRun);
    }
    let made = kernel::build(&spec, context)?;
    for image in made.images {
        let place = declared.of_kernel(&image.name);
        let mut written = image.written;
        let digest = inner(&mut written, &place)?;
        built.items.push(Item {
            kind: ItemKind::Kernel,
            name: image.name,
            written,
            inner: place,
            facts: Vec::new(),
            digest,
        });
    }
    built.kernels = made.kernels;
    built.reports.push(made.report);
    Ok(())
}

fn imagers(declared: &Declared<'_>, context: &Context) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for (number, (name, spec)) in declared.imagers()?.into_iter().enumerate() {
        let place = declared.imager_place(number);
        let mut written = custom_imager::build(&spec, context)?.written;
        let digest = inner(&mut written, &place)?;
        items.push(Item { kind: ItemKind::Imager, name, written, inner: place, facts: Vec::new(), digest });
    }
    Ok(items)
}

/// What one entry of `extensions` gave: several packages, or one extension, or nothing that had to be made.
#[derive(Default)]
struct Made {
    items: Vec<Item>,
    files: Vec<MadeFiles>,
    reports: Vec<Report>,
    modules: Vec<String>,
}

fn extensions(declared: &Declared<'_>, context: &Context) -> Result<Vec<Option<Made>>, Error> {
    let numbers: Vec<usize> = (0..declared.spec.extensions.len()).collect();
    let made: Mutex<Vec<Option<Made>>> = Mutex::new(numbers.iter().map(|_| None).collect());
    let jobs = if context.dry.is_some() { 1 } else { context.workers.jobs().max(2) };
    each(jobs, &numbers, |number| -> Result<(), Error> {
        let one = known(self::extension(declared, context, *number))?;
        if let Some(place) = locked(&made).get_mut(*number) {
            *place = one;
        }
        Ok(())
    })?;
    Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn extension(declared: &Declared<'_>, context: &Context, number: usize) -> Result<Made, Error> {
    let mut made = Made::default();
    let Some((mut spec, packages)) = declared.extension(number)? else { return Ok(made) };
    if context.dry.is_some() && declared.needs_build(number) {
        return Err(Error::NotRun);
    }
    let several = if packages.is_some() { "-{name}" } else { "" };
    spec.outputs.push(declared.extension_place(number, several));
    let built = match packages {
        Some(packages) => packages::build(&packages, &spec, context)?,
        None => vec![extension::build(&spec, context)?],
    };
    for BuiltExtension { mut written, report, manifest, modules, files } in built {
        let place = declared.extension_place(number, "");
        let at = written.iter().position(|one| one.reference.starts_with(&place));
        let at = at.ok_or_else(|| Error::Internal(format!("nothing was written to `{place}`")))?;
        let own = written.remove(at);
        made.items.push(Item {
            kind: ItemKind::Extension,
            name: manifest.name,
            written,
            inner: own.reference,
            facts: Vec::new(),
            digest: own.digest,
        });
        made.files.push(files);
        made.reports.push(report);
        made.modules.extend(modules);
    }
    Ok(made)
}

/// What each entry of `extensions` gave.
type Placed = Vec<Vec<ExtensionSource>>;

fn installers(
    declared: &Declared<'_>,
    context: &Context,
    placed: &Placed,
    built: &mut Built,
) -> Result<(), Error> {
    for number in 0..declared.spec.installers.len() {
        let (name, spec) = declared.installer(number, placed)?;
        let made = installer::build(&spec, context)
            .map_err(|error| named(error, &format!("installer `{name}`"), declared.spec));
        let Some(made) = known(made)? else { continue };
        let mut written = made.written;
        let place = declared.installer_place(number);
        let digest = inner(&mut written, &place)?;
        built.modules.extend(made.modules);
        built.talos.get_or_insert_with(|| made.talos.to_string());
        built.items.push(Item {
            kind: ItemKind::Installer,
            name,
            written,
            inner: place,
            facts: made.facts,
            digest,
        });
        built.reports.push(made.report);
    }
    Ok(())
}

/// An error with what it belongs to, where a spec has several such parts.
fn named(error: Error, part: &str, spec: &Spec) -> Error {
    match error {
        Error::Input(problem) if spec.installers.len() > 1 => {
            Error::Input(Box::new(problem.detail(format!("in {part}"))))
        }
        other => other,
    }
}

/// Whether the extension is one or several packages of a tree.
fn is_packages(extension: &spec::Extension) -> bool {
    extension.packages.is_some() || extension.path.as_deref().is_some_and(is_package_folder)
}
