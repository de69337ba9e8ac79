//! A unified kernel image, checked before it is planned.

use std::collections::BTreeSet;
use std::io;

use super::profile::ProfileText;
use super::read::TEXT_MAX;
use super::section::{CMDLINE, LINUX, ONCE, PROFILE, SPLASH};
use super::splash::{self, SplashError};
use super::stub::StubInfo;
use crate::base::{Content, Epoch};
use crate::boot::machine::Machine;
use crate::boot::pe::{AppendError, Image, Pe, PeError, append};

/// Most bytes of a command line: `COMMAND_LINE_SIZE` of x86 and arm64 less the NUL at its end (kernel:
/// arch/x86/include/asm/setup.h, arch/arm64/include/uapi/asm/setup.h). What is beyond is cut off in silence.
pub const CMDLINE_MAX: usize = 2047;

/// Why there can be no such image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The stub is no PE file.
    #[error("the stub is not usable")]
    Stub(#[source] PeError),
    /// Nothing can be appended to the stub.
    #[error("the stub cannot take the sections")]
    Append(#[from] AppendError),
    /// The kernel is no EFI program.
    #[error("the kernel has no EFI stub, so firmware cannot start it")]
    NoEfiStub(#[source] PeError),
    /// Another program of systemd's, such as the boot loader.
    #[error("`{0}` was given for the stub")]
    NotAStub(String),
    /// The stub would take the command line of the last profile, which for Talos wipes the machine's state.
    #[error(
        "the stub, {stub}, does not know profiles: it would start the kernel with the last one's command line"
    )]
    ProfilesUnknown {
        /// What it says of itself.
        stub: String,
    },
    /// Two things for different machines.
    #[error("the {what} is for {found}, the image for {wanted}")]
    Machine {
        /// `stub` or `kernel`.
        what: &'static str,
        /// What it is for.
        found: Machine,
        /// What it should be for.
        wanted: Machine,
    },
    /// There must be exactly one kernel.
    #[error("an image takes one kernel before its profiles, not {0}")]
    Kernels(usize),
    /// Two sections of which the stub would take one.
    #[error("there are two sections `{name}` {place}")]
    Twice {
        /// Its name.
        name: String,
        /// Where they are.
        place: &'static str,
    },
    /// The kernel would cut it off.
    #[error("the command line has {len} bytes, and the kernel takes {CMDLINE_MAX}")]
    CmdlineTooLong {
        /// Its length.
        len: u64,
    },
    /// The stub or the kernel would take it for its end.
    #[error("the command line has {0} in it")]
    Cmdline(&'static str),
    /// A `.profile` that cannot be chosen.
    #[error("a profile has no `ID`")]
    NoProfileId,
    /// Two profiles of one name.
    #[error("there are two profiles with `ID={0}`")]
    ProfileTwice(String),
    /// The picture.
    #[error("the splash picture is not usable")]
    Splash(#[from] SplashError),
    /// Something cannot be read.
    #[error("section `{name}` cannot be read")]
    Read {
        /// The section.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// An image in the making.
#[derive(Debug)]
pub struct Builder<'a> {
    stub: &'a Content,
    machine: Machine,
    epoch: Epoch,
    sections: Vec<(&'a str, Content)>,
}

impl<'a> Builder<'a> {
    /// An image for `machine` from systemd's stub for it.
    pub fn new(stub: &'a Content, machine: Machine, epoch: Epoch) -> Self {
        Self { stub, machine, epoch, sections: Vec::new() }
    }

    /// Adds sections behind those that are there.
    pub fn sections(mut self, sections: impl IntoIterator<Item = (&'a str, Content)>) -> Self {
        self.sections.extend(sections);
        self
    }

    /// Checks everything and plans the image.
    pub fn finish(self) -> Result<Image, BuildError> {
        let stub = Pe::read(self.stub).map_err(BuildError::Stub)?;
        self.is_for_machine("stub", stub.machine())?;
        self.check_stub(&stub)?;
        self.check_structure()?;
        for (name, content) in &self.sections {
            match *name {
                LINUX => {
                    let kernel = Pe::read(content).map_err(BuildError::NoEfiStub)?;
                    self.is_for_machine("kernel", kernel.machine())?;
                }
                CMDLINE => check_cmdline(content)?,
                SPLASH => splash::check(content)?,
                _ => {}
            }
        }
        self.check_profiles()?;
        Ok(append(&stub, &self.sections, self.epoch)?)
    }

    fn is_for_machine(&self, what: &'static str, found: Machine) -> Result<(), BuildError> {
        let wanted = self.machine;
        if found == wanted { Ok(()) } else { Err(BuildError::Machine { what, found, wanted }) }
    }

    /// A stub, which knows profiles if there are any.
    fn check_stub(&self, stub: &Pe) -> Result<(), BuildError> {
        let info = StubInfo::of(stub.sections()).map_err(|error| BuildError::Stub(error.into()))?;
        if let Some(other) = info.as_ref().filter(|info| info.name != "systemd-stub") {
            return Err(BuildError::NotAStub(other.name.clone()));
        }
        let profiles = self.sections.iter().any(|(name, _)| *name == PROFILE);
        if profiles && !info.as_ref().is_some_and(StubInfo::knows_profiles) {
            let stub = info.map(|info| format!("systemd's {}", info.version));
            return Err(BuildError::ProfilesUnknown { stub: stub.unwrap_or("not systemd's".to_owned()) });
        }
        Ok(())
    }

    /// One kernel, before the profiles; nothing twice of which the stub takes one.
    fn check_structure(&self) -> Result<(), BuildError> {
        let mut kernels = 0;
        let mut place = "before the first profile";
        let mut seen = BTreeSet::new();
        for (name, _) in &self.sections {
            if *name == PROFILE {
                seen.clear();
                place = "in a profile";
            } else if ONCE.contains(name) && !seen.insert(*name) {
                return Err(BuildError::Twice { name: (*name).to_owned(), place });
            }
            kernels += usize::from(*name == LINUX);
        }
        let base = self.sections.split(|(name, _)| *name == PROFILE).next().unwrap_or_default();
        let in_base = base.iter().any(|(name, _)| *name == LINUX);
        if kernels == 1 && in_base { Ok(()) } else { Err(BuildError::Kernels(kernels)) }
    }

    fn check_profiles(&self) -> Result<(), BuildError> {
        let mut ids = BTreeSet::new();
        for (_, content) in self.sections.iter().filter(|(name, _)| *name == PROFILE) {
            let bytes = content.read(TEXT_MAX);
            let bytes = bytes.map_err(|source| BuildError::Read { name: PROFILE.to_owned(), source })?;
            let text = ProfileText::parse(&String::from_utf8_lossy(&bytes));
            let id = text.id.ok_or(BuildError::NoProfileId)?;
            if let Some(twice) = ids.replace(id) {
                return Err(BuildError::ProfileTwice(twice));
            }
        }
        Ok(())
    }
}

/// A command line that kernel and stub take as it is.
fn check_cmdline(content: &Content) -> Result<(), BuildError> {
    if content.len() > CMDLINE_MAX as u64 {
        return Err(BuildError::CmdlineTooLong { len: content.len() });
    }
    let bytes = content.read(CMDLINE_MAX as u64);
    let bytes = bytes.map_err(|source| BuildError::Read { name: CMDLINE.to_owned(), source })?;
    match bytes.iter().find(|byte| matches!(byte, 0 | b'\n')) {
        Some(0) => Err(BuildError::Cmdline("a NUL byte")),
        Some(_) => Err(BuildError::Cmdline("a line break")),
        None if std::str::from_utf8(&bytes).is_err() => Err(BuildError::Cmdline("bytes that are no UTF-8")),
        None => Ok(()),
    }
}
