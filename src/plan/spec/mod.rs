//! `talosmith.yaml`: everything that the commands do, declared in one file.
//!
//! | module | what |
//! |---|---|
//! | [`types`] | its keys, their documentation, their JSON Schema |
//! | [`variables`] | variables of the environment in it |
//! | `rules` | what the types alone do not say: which keys go together |

pub(in crate::plan) mod rules;
pub mod types;
pub mod variables;

use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::fsio::{self, FileError};
use crate::base::yaml::typed::{self, Typed as _, TypedError};
use crate::base::yaml::{self, Cursor};
use crate::plan::error::{Error, Problem};
pub use types::{BuildKit, Extension, Image, Installer, Kernel, Output, Overlay, Spec};

/// The name of the file, where none is given.
pub const FILE: &str = "talosmith.yaml";
/// What the schema calls itself.
const SCHEMA_ID: &str = "urn:talosmith:schema:v1";

/// A spec that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says, with all paths as seen from the working directory.
    pub spec: Spec,
    /// The file.
    pub file: PathBuf,
    /// The folder that its paths count from; empty for the working directory.
    pub folder: PathBuf,
    /// Of its bytes.
    pub checksum: Digest,
}

/// Reads a spec. `lookup` gives variables of the environment.
pub fn read(file: &Path, lookup: &variables::Lookup<'_>) -> Result<Loaded, Error> {
    let bytes = fsio::read(file, yaml::SIZE_MAX as u64).map_err(|error| missing(file, error))?;
    let mut spec = parse(&bytes, lookup).map_err(|error| {
        let mut problem =
            Problem::new(format!("`{}` is not valid", file.display())).detail(error.to_string());
        problem.hint = error.hint();
        problem
    })?;
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    rules::rebase(&mut spec, &folder);
    Ok(Loaded { spec, file: file.to_owned(), folder, checksum: Digest::of(&bytes) })
}

/// Reads the text of a spec.
pub fn parse(bytes: &[u8], lookup: &variables::Lookup<'_>) -> Result<Spec, TypedError> {
    let mut node = yaml::parse(bytes)?;
    variables::replace(&mut node, lookup)?;
    let root = Cursor::root(&node);
    let mut spec = Spec::read(&root)?;
    rules::check(&spec, &root)?;
    if spec.platforms.is_empty() {
        spec.platforms.push(crate::image::Platform::linux("amd64"));
    }
    Ok(spec)
}

/// The JSON Schema of the file.
pub fn schema() -> serde_json::Value {
    typed::document::<Spec>(SCHEMA_ID, "talosmith.yaml")
}

fn missing(file: &Path, error: FileError) -> Error {
    if file.exists() {
        return error.into();
    }
    Problem::new(format!("there is no file `{}`", file.display()))
        .hint(format!(
            "`talosmith build FILE` takes another one than `{FILE}`; `talosmith schema` says what is in it"
        ))
        .into()
}

#[cfg(test)]
mod tests;
