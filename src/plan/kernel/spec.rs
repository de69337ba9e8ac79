//! What is wanted, and what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::verify::KernelFacts;
use crate::archive::compress::Compression;
use crate::base::Epoch;
use crate::bldr::buildkit::{Environment, Options, Wanted};
use crate::check::{Code, Report};
use crate::image::reference::one_of_several;
use crate::image::{Format, Platform};
use crate::plan::error::{Error, Problem};
use crate::plan::outputs::Written;

/// What is to be built, and how.
#[derive(Debug, Clone)]
pub struct KernelSpec {
    /// The user's folder.
    pub context: PathBuf,
    /// The file in it that says how to build; `Pkgfile` or `Dockerfile` if none is named.
    pub file: Option<PathBuf>,
    /// The stages.
    pub wanted: Wanted,
    /// At least one; each is a solve.
    pub platforms: Vec<Platform>,
    /// For BuildKit's client.
    pub options: Options,
    /// Its environment.
    pub environment: Environment,
    /// Whether modules that are signed by another key are an error at once. Otherwise there is a second solve,
    /// without the cache.
    pub no_retry: bool,
    /// Codes of findings that may pass.
    pub allow: Vec<Code>,
    /// Of the layers.
    pub compression: Compression,
    /// Whose media types.
    pub format: Format,
    /// `SOURCE_DATE_EPOCH`, where it is set.
    pub epoch: Option<Epoch>,
    /// Where to: see [`output_for`].
    pub outputs: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct BuiltKernel {
    /// The kernel's image, and then one a package.
    pub images: Vec<NamedImage>,
    /// The kernel of each platform.
    pub kernels: Vec<KernelFacts>,
    /// What the checks found and let pass.
    pub report: Report,
}

/// An image with the name that it has in a layout.
#[derive(Debug)]
pub struct NamedImage {
    /// `kernel`, or the package's stage.
    pub name: String,
    /// Where it was written to.
    pub written: Vec<Written>,
}

/// What would be done.
#[derive(Debug)]
pub struct Explained {
    /// The command for each platform.
    pub commands: Vec<String>,
    /// The generated file, by its path in the folder that the commands call [`GENERATED`].
    pub generated: (String, String),
    /// Files of the user's that are in that folder, too.
    pub copied: Vec<String>,
    /// Files in that folder that keep packages from being taken from the cache; what is in them differs each time.
    pub marks: Vec<String>,
}

/// What stands for the generated folder in a command that is only shown.
pub const GENERATED: &str = "GENERATED";

/// The time that everything is stamped with: `SOURCE_DATE_EPOCH` of the environment, else the build argument of
/// that name, else 0.
pub(super) fn epoch(spec: &KernelSpec) -> Epoch {
    let argument = spec.options.build_args.iter().rev().find(|(key, _)| key == EPOCH_ARGUMENT);
    spec.epoch.or_else(|| Epoch::parse(&argument?.1)).unwrap_or_default()
}

/// The build argument that BuildKit stamps files with.
pub(super) const EPOCH_ARGUMENT: &str = "SOURCE_DATE_EPOCH";

/// The reference to which the image `name` is written: see [`one_of_several`].
pub fn output_for(output: &str, name: &str) -> Result<String, Error> {
    one_of_several(output, name).map_err(|error| {
        let mut problem = Problem::usage(format!("`-o`: {error}, and there are several"));
        problem.hint = error.hint();
        problem.into()
    })
}

/// Labels of an image.
pub(super) fn labels(name: &str, release: &str) -> BTreeMap<String, String> {
    [("title", name), ("version", release)]
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()))
        .into()
}
