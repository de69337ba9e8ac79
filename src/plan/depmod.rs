//! Indexes a local folder of modules, in place.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::Error;
use super::run::Context;
use super::tree_input::TreeInput;
use crate::base::fsio::{At as _, Draft, FileError};
use crate::check::{self, Report};
use crate::kmod::depmod::{KernelSymbols, Search};
use crate::kmod::{Options, depmod as calculate};

/// A folder's index files, not yet written.
#[derive(Debug)]
pub struct Indexed {
    /// The folder.
    pub folder: PathBuf,
    /// The files, by name. None if modules need one another in a loop.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Number of modules that are indexed.
    pub modules: usize,
    /// What is wrong with them. Paths are those below the folder.
    pub report: Report,
}

/// Calculates the index files of `folder`, a `…/modules/<release>`.
pub fn depmod(
    context: &Context,
    folder: &Path,
    search: Search,
    kernel: Option<&KernelSymbols>,
) -> Result<Indexed, Error> {
    let mut input = TreeInput::default();
    input.add_directory(folder, "")?;
    let found =
        calculate(&input.tree, &Options { search, kernel, of_kernel: None, workers: &context.workers })?;
    Ok(Indexed {
        folder: folder.to_owned(),
        files: found.files,
        modules: found.modules,
        report: check::depmod::report(&found.issues),
    })
}

impl Indexed {
    /// Writes the files: all are on the disk before the first has its name.
    pub fn write(&self, context: &Context) -> Result<(), Error> {
        let draft = |(name, bytes): &(&'static str, Vec<u8>)| -> Result<(PathBuf, Draft), FileError> {
            let path = self.folder.join(name);
            let mut draft = Draft::new(&self.folder)?;
            draft.file().write_all(bytes).at("write", &path)?;
            draft.sync()?;
            Ok((path, draft))
        };
        let drafts: Result<Vec<_>, FileError> =
            context.workers.install(|| self.files.par_iter().with_max_len(1).map(draft).collect());
        for (path, draft) in output(&self.folder, drafts)? {
            output(&self.folder, draft.name(&path))?;
        }
        Ok(())
    }
}

fn output<T>(folder: &Path, result: Result<T, FileError>) -> Result<T, Error> {
    result.map_err(|error| Error::Output {
        target: folder.display().to_string(),
        source: Box::new(Error::File(error)),
    })
}
