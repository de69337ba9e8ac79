//! What is read of each module, in parallel: its symbols and the entries of `.modinfo` that go into
//! the files. A compressed module is unpacked in memory, one at a time a thread.

use std::io;

use rayon::prelude::*;

use super::select::Found;
use crate::base::{Content, Workers};
use crate::kmod::compressed::{UnpackError, plain};
use crate::kmod::elf::{Elf, ModuleError};
use crate::kmod::module::{Info, MODINFO_MAX};
use crate::kmod::symbols::Symbols;

/// Keys of `.modinfo` that are kept.
const KEYS: [&str; 5] = ["alias", "softdep", "weakdep", "depends", "name"];

/// A module as the files need it.
#[derive(Debug)]
pub struct Loaded {
    /// Its path in the tree.
    pub path: String,
    /// Its name by its file's.
    pub name: String,
    /// Its symbols.
    pub symbols: Symbols,
    info: Info,
    /// Why it is no module, if it is none: it stands in the files all the same, alone.
    pub problem: Option<String>,
}

/// A module could not be read at all.
#[derive(Debug, thiserror::Error)]
#[error("module `{path}` cannot be read")]
pub struct LoadError {
    /// Its path in the tree.
    pub path: String,
    /// Why.
    pub source: io::Error,
}

impl Loaded {
    /// Its aliases, in their order.
    pub fn aliases(&self) -> impl Iterator<Item = &[u8]> {
        self.info.values("alias")
    }

    /// Its soft dependencies.
    pub fn softdeps(&self) -> impl Iterator<Item = &[u8]> {
        self.info.values("softdep")
    }

    /// Its weak dependencies.
    pub fn weakdeps(&self) -> impl Iterator<Item = &[u8]> {
        self.info.values("weakdep")
    }

    /// The names of the modules that it was built to need.
    pub fn depends(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.info.values("depends").take(1);
        names.flat_map(|names| names.split(|byte| *byte == b',')).filter(|name| !name.is_empty())
    }

    /// Reads one module.
    pub fn read(found: &Found) -> Result<Self, LoadError> {
        let Found { path, name, content } = found;
        let error = |source| LoadError { path: path.clone(), source };
        let read = match plain(content) {
            Ok(content) => facts(&content),
            Err(UnpackError::Read(source)) => return Err(error(source)),
            Err(why) => Err(Unfit::NoModule(crate::base::chain(&why))),
        };
        let (symbols, info, problem) = match read {
            Ok((symbols, info)) => (symbols, info, None),
            Err(Unfit::Unreadable(source)) => return Err(error(source)),
            Err(Unfit::NoModule(why)) => (Symbols::default(), Info(Vec::new()), Some(why)),
        };
        Ok(Self { path: path.clone(), name: name.clone(), symbols, info, problem })
    }
}

/// Reads modules, each on one of the workers; they come in the order in which they were given.
pub fn load(modules: &[Found], workers: &Workers) -> Result<Vec<Loaded>, LoadError> {
    match modules.len() {
        0..8 => modules.iter().map(Loaded::read).collect(), // not worth a thread
        _ => workers.install(|| modules.par_iter().map(Loaded::read).collect()),
    }
}

enum Unfit {
    Unreadable(io::Error),
    NoModule(String),
}

impl From<ModuleError> for Unfit {
    fn from(error: ModuleError) -> Self {
        match error {
            ModuleError::NotAModule { why } => Self::NoModule(why.to_string()),
            ModuleError::Read(error) => Self::Unreadable(error),
        }
    }
}

fn facts(content: &Content) -> Result<(Symbols, Info), Unfit> {
    let mut elf = Elf::open(content, content.len())?;
    let info = match elf.section(".modinfo") {
        Some(section) => Info(elf.read(&section, MODINFO_MAX)?),
        None => Info(Vec::new()),
    };
    let symbols = Symbols::read(&mut elf)?;
    Ok((symbols, info.only(&KEYS)))
}
