//! A board's overlay: what its image must hold, and the layer that an installer gets of it.
//!
//! The paths are those of pkg/machinery/constants in siderolabs/talos (`ImagerOverlay…`), the layer that of
//! pkg/imager/out.go, the answer of the program that of pkg/machinery/overlay. No program is run here.

use std::io;

use super::document::DocumentError;
use super::profile::Profile;
use super::version::Architecture;
use crate::archive::tree::{Entry, Kind, is_below, join, resolve_symlink};
use crate::archive::{Tree, TreeError};
use crate::base::Content;
use crate::base::suggest;
use crate::base::yaml::{self, Any, Cursor, YamlError};
use crate::kmod::{Machine, NotAModule};

/// Files for the boot partition and the disk, by architecture.
pub const ARTIFACTS: &str = "artifacts";
/// Programs that install them.
pub const INSTALLERS: &str = "installers";
/// Profiles for the imager.
pub const PROFILES: &str = "profiles";
/// Where all of it lies in an installer image, and the name that its program has there.
pub const FOLDER: &str = "overlay";
/// The name of the one program in an installer image.
pub const DEFAULT: &str = "default";
/// The document of options in an installer image.
pub const OPTIONS: &str = "overlay/extra-options";
/// The largest profile that is read, in bytes.
const PROFILE_MAX: u64 = 1 << 20;
/// The most links that are followed one after another: Linux' own limit.
const LINKS_MAX: usize = 40;

/// An image is no overlay for what is to be made.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// A folder of every overlay is missing.
    #[error("the image has no folder `{0}`, so it is no overlay")]
    NoFolder(&'static str),
    /// There are files, but for other machines.
    #[error("the overlay has files for {}, and none for {wanted}", found.join(", "))]
    Architecture {
        /// The architectures that it has files for.
        found: Vec<String>,
        /// The target's.
        wanted: Architecture,
    },
    /// There is no such program.
    #[error("the overlay has no installer `{name}`")]
    NoInstaller {
        /// Its name.
        name: String,
        /// The one that was meant, perhaps.
        nearest: Option<String>,
        /// Those that are there.
        found: Vec<String>,
    },
    /// The program is no file that can be run.
    #[error("`{path}` of the overlay is no program: {why}")]
    NotAProgram {
        /// Its path.
        path: String,
        /// Why.
        why: NotAProgram,
    },
    /// The program is for another machine than the target.
    #[error("`{path}` of the overlay is a program for {found}, and the installer is for {wanted}")]
    Machine {
        /// Its path.
        path: String,
        /// Its machine.
        found: Machine,
        /// The target's architecture.
        wanted: Architecture,
    },
    /// A link leads nowhere, or in circles.
    #[error("`{path}` of the overlay is a link to `{target}`, where there is no file")]
    Dangling {
        /// The link.
        path: String,
        /// Its target, as it is written.
        target: String,
    },
    /// A device, or another thing that has no place there.
    #[error("`{path}` of the overlay is a {kind}")]
    Kind {
        /// Its path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A profile cannot be read.
    #[error("`{path}` of the overlay cannot be read")]
    Profile {
        /// Its path.
        path: String,
        /// Why.
        source: DocumentError,
    },
    /// A file cannot be read.
    #[error("`{path}` of the overlay cannot be read")]
    Read {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The paths do not fit together.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Why a file is no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAProgram {
    /// Its owner may not run it.
    #[error("its mode is {0:04o}, which lets nobody run it")]
    Mode(u32),
    /// It has no ELF header, or a foreign one.
    #[error(transparent)]
    Elf(#[from] NotAModule),
}

impl OverlayError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoInstaller { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::NoInstaller { found, .. } if !found.is_empty() => {
                Some(format!("the installers are {}", found.join(", ")))
            }
            Self::Machine { wanted, .. } => Some(format!("take the overlay image for linux/{wanted}")),
            _ => None,
        }
    }
}

/// The names of the programs in an overlay image.
pub fn installers(image: &Tree) -> Vec<String> {
    let is_file = |name: &&str| !image.get(&join(INSTALLERS, name)).is_some_and(Entry::is_directory);
    image.children(INSTALLERS).filter(is_file).map(str::to_owned).collect()
}

/// The profiles of an overlay image by name.
pub fn profiles(image: &Tree) -> Result<Vec<(String, Profile)>, OverlayError> {
    let mut profiles = Vec::new();
    for file in image.children(PROFILES) {
        let Some(name) = file.strip_suffix(".yaml") else { continue };
        let path = join(PROFILES, file);
        let (_, content) = file_at(image, &path)?;
        let bytes = content.read(PROFILE_MAX);
        let bytes = bytes.map_err(|source| OverlayError::Read { path: path.clone(), source })?;
        let profile =
            Profile::parse(&bytes).map_err(|source| OverlayError::Profile { path: path.clone(), source })?;
        profiles.push((name.to_owned(), profile));
    }
    Ok(profiles)
}

/// Makes the layer of an installer for `architecture` out of the overlay image for it: the artifacts, the
/// program `installer` as `default`, and its options. Modes stay. Links to files become copies of them, as
/// upstream has it, because programs copy them to a FAT file system, which has no links; links to
/// directories stay links.
pub fn layer(
    image: &Tree,
    installer: &str,
    architecture: Architecture,
    options: &[(String, Any)],
) -> Result<Tree, OverlayError> {
    check_folders(image, architecture)?;
    let mut layer = Tree::new();
    for (path, entry) in image.below(ARTIFACTS) {
        layer.insert(&join(FOLDER, path), plain(image, path, entry)?)?;
    }
    let program = program(image, installer, architecture)?;
    layer.insert(&format!("{FOLDER}/{INSTALLERS}/{DEFAULT}"), program)?;
    let options = Any::Map(options.to_vec()).sorted().to_yaml();
    layer.insert(OPTIONS, Entry::file(0o644, Content::memory(options.into_bytes())))?;
    Ok(layer)
}

fn check_folders(image: &Tree, wanted: Architecture) -> Result<(), OverlayError> {
    let missing = |folder: &&str| !image.get(folder).is_some_and(Entry::is_directory);
    if let Some(folder) = [ARTIFACTS, INSTALLERS].into_iter().find(missing) {
        return Err(OverlayError::NoFolder(folder));
    }
    let found: Vec<Architecture> =
        Architecture::ALL.into_iter().filter(|own| image.get(&join(ARTIFACTS, own.go())).is_some()).collect();
    if !found.is_empty() && !found.contains(&wanted) {
        let found = found.iter().map(ToString::to_string).collect();
        return Err(OverlayError::Architecture { found, wanted });
    }
    Ok(())
}

/// The program of that name, which must be one for the target.
fn program(image: &Tree, name: &str, wanted: Architecture) -> Result<Entry, OverlayError> {
    let path = join(INSTALLERS, name);
    let known = installers(image);
    if !known.iter().any(|own| own == name) {
        let nearest = suggest::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        return Err(OverlayError::NoInstaller { name: name.to_owned(), nearest, found: known });
    }
    let (entry, content) = file_at(image, &path)?;
    let not = |why: NotAProgram| OverlayError::NotAProgram { path: path.clone(), why };
    if entry.mode & 0o100 == 0 {
        return Err(not(NotAProgram::Mode(entry.mode)));
    }
    let mut header = [0; 64];
    if content.len() < header.len() as u64 {
        return Err(not(NotAModule::TooShort { len: content.len() }.into()));
    }
    let handle = content.handle().and_then(|handle| handle.read_exact_at(0, &mut header));
    handle.map_err(|source| OverlayError::Read { path: path.clone(), source })?;
    let found = Machine::of_header(&header).map_err(|why| not(why.into()))?;
    if Machine::of_architecture(wanted.go()) != Some(found) {
        return Err(OverlayError::Machine { path, found, wanted });
    }
    Ok(cleaned(&entry))
}

/// An entry of an image as it goes into the layer.
fn plain(image: &Tree, path: &str, entry: &Entry) -> Result<Entry, OverlayError> {
    match &entry.kind {
        Kind::Directory | Kind::File(_) => Ok(cleaned(entry)),
        Kind::HardLink(_) => Ok(cleaned(&file_at(image, path)?.0)),
        Kind::Symlink(target) => match resolve_symlink(path, target).and_then(|path| image.get(&path)) {
            Some(there) if there.is_directory() && stays(path, target) => Ok(cleaned(entry)),
            _ => Ok(cleaned(&file_at(image, path)?.0)),
        },
        other => Err(OverlayError::Kind { path: path.to_owned(), kind: other.name() }),
    }
}

/// Whether a link leads to another place among the artifacts, relative to itself: then it leads there in
/// the installer, too.
fn stays(link: &str, target: &str) -> bool {
    !target.starts_with('/') && resolve_symlink(link, target).is_some_and(|path| is_below(&path, ARTIFACTS))
}

/// Nobody's, at no time.
fn cleaned(entry: &Entry) -> Entry {
    Entry::new(entry.mode & 0o777, entry.kind.clone())
}

/// The regular file at a path, whatever links lead to it.
fn file_at(image: &Tree, path: &str) -> Result<(Entry, Content), OverlayError> {
    let mut at = path.to_owned();
    let mut last = String::new();
    for _ in 0..LINKS_MAX {
        let Some(entry) = image.get(&at) else { break };
        at = match &entry.kind {
            Kind::File(content) => return Ok((entry.clone(), content.clone())),
            Kind::HardLink(target) => target.clone(),
            Kind::Symlink(target) => {
                last.clone_from(target);
                match resolve_symlink(&at, target) {
                    Some(there) => there,
                    None => break,
                }
            }
            other if at == path => {
                return Err(OverlayError::Kind { path: at, kind: other.name() });
            }
            _ => break,
        };
        if last.is_empty() {
            last.clone_from(&at);
        }
    }
    Err(OverlayError::Dangling { path: path.to_owned(), target: last })
}

/// What an overlay's program answers to `get-options`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OverlayOptions {
    /// The board's name.
    pub name: String,
    /// Kernel arguments.
    pub kernel_args: Vec<String>,
    /// Where the first partition begins, in logical blocks of the disk; 0 for the usual place.
    pub offset: u64,
}

impl OverlayOptions {
    /// Reads the answer. Keys of newer programs are passed over: their makers know of more than we do.
    pub fn parse(bytes: &[u8]) -> Result<Self, YamlError> {
        let node = yaml::parse(bytes)?;
        let root = Cursor::root(&node);
        Ok(Self {
            name: root.key("name")?.string()?,
            kernel_args: root.key("kernelArgs")?.strings()?,
            offset: root.get("partitionOptions.offset")?.unsigned()?,
        })
    }
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
