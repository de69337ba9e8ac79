//! A kernel image: what it is for, what it is called, what it can do.

use std::io::{self, Cursor, Read};

use super::banner::{BannerSeeker, release_of};
use super::config::{ConfigError, ConfigSeeker, KernelConfig};
use super::exports::{Export, ExportsSeeker};
use super::form::{Form, Layout, is_arm64_image};
use super::keys::KeysSeeker;
use super::scan::{Seeker, scan};
use super::vermagic::VermagicSeeker;
use crate::archive::compress::{Codec, OneStream};
use crate::base::Content;
use crate::boot::machine::Machine;
use crate::boot::pe::{Pe, PeError};
use crate::pki::TrustedKeys;

/// The largest unpacked kernel. Debian's have 60 MB, with everything built in and debug information ten
/// times as much.
const UNPACKED_MAX: u64 = 1 << 30;
/// Bytes of an unpacked kernel by which its form is told.
const HEAD_LEN: u64 = 64;

/// Bytes are no kernel, or a damaged one.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No magic number of a kernel.
    #[error("it is no kernel: neither a bzImage nor an arm64 Image nor an EFI zboot file")]
    NotAKernel,
    /// The headers point past the end.
    #[error("the kernel ends before its payload does")]
    Truncated,
    /// A kernel from before 2008.
    #[error("its boot protocol {0:#06x} does not tell where the payload is")]
    Protocol(u16),
    /// The payload has no magic number of a codec.
    #[error("its payload is compressed in an unknown way")]
    Payload,
    /// The payload is damaged.
    #[error("its payload cannot be unpacked")]
    Unpack(#[source] io::Error),
    /// The payload is something else.
    #[error("its payload is no {0}")]
    Content(&'static str),
    /// The payload is not what it was.
    #[error("its payload unpacks to {found} bytes where it tells {told}")]
    Size {
        /// What came out.
        found: u64,
        /// What its last four bytes say.
        told: u32,
    },
    /// There is no version anywhere.
    #[error("it does not tell its release")]
    NoRelease,
    /// The configuration is damaged.
    #[error("its configuration cannot be read")]
    Config(#[from] ConfigError),
    /// The file cannot be read.
    #[error("the kernel cannot be read")]
    Read(#[from] io::Error),
}

/// A kernel image that was read.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What it runs on.
    pub machine: Machine,
    /// The form of the file.
    pub form: Form,
    /// What `uname -r` prints.
    pub release: String,
    /// The release, who built it, with what, and when.
    pub version: String,
    /// How the kernel in the file is compressed.
    pub payload: Codec,
    /// The machine whose firmware can start it (its EFI stub's); `None` without one.
    pub efi_stub: Option<Machine>,
    /// Whether it has an Authenticode signature.
    pub signed: bool,
    /// What it was built with, if it carries that along.
    pub config: Option<KernelConfig>,
    /// What it holds the `vermagic` of modules against; `None` of a kernel without modules.
    pub vermagic: Option<String>,
    /// The keys that it trusts; none of a kernel that takes modules unsigned.
    pub keys: TrustedKeys,
    /// The symbols that it exports to modules; `None` if its tables are not found.
    pub exports: Option<Vec<Export>>,
}

impl Kernel {
    /// Reads a kernel: unpacks all of it in bounded memory.
    pub fn read(content: &Content) -> Result<Self, KernelError> {
        let layout = Layout::of(content)?;
        let (mut banner, mut config) = (BannerSeeker::default(), ConfigSeeker::default());
        let (mut vermagic, mut keys) = (VermagicSeeker::default(), KeysSeeker::new(layout.machine));
        let mut exports = ExportsSeeker::default();
        let seekers: &mut [&mut dyn Seeker] =
            &mut [&mut banner, &mut config, &mut vermagic, &mut keys, &mut exports];
        let size = scan(unpack(&layout)?, UNPACKED_MAX, seekers).map_err(KernelError::Unpack)?;
        if let Some(told) = layout.unpacked.filter(|told| u64::from(*told) != size) {
            return Err(KernelError::Size { found: size, told });
        }
        let header = layout.version.filter(|version| release_of(version).is_some());
        let version = header.or(banner.version).ok_or(KernelError::NoRelease)?;
        let release = release_of(&version).ok_or(KernelError::NoRelease)?.to_owned();
        let pe = match Pe::read(content) {
            Ok(pe) => Some(pe),
            Err(PeError::Read(error)) => return Err(error.into()),
            Err(_) => None,
        };
        Ok(Self {
            machine: layout.machine,
            form: layout.form,
            vermagic: vermagic.of(&release),
            keys: keys.keys(),
            exports: exports.exports(),
            release,
            version,
            payload: layout.codec,
            efi_stub: pe.as_ref().map(Pe::machine),
            signed: pe.is_some_and(|pe| pe.is_signed()),
            config: config.config.transpose()?,
        })
    }
}

/// Whether bytes look like a kernel, by their magic number. What is said of a damaged one is for
/// [`Kernel::read`].
pub fn is_kernel(content: &Content) -> io::Result<bool> {
    match Layout::of(content) {
        // Anything may lie in a gzip file.
        Ok(layout) => Ok(layout.form != Form::CompressedImage || unpack(&layout).is_ok()),
        Err(KernelError::NotAKernel) => Ok(false),
        Err(KernelError::Read(error)) => Err(error),
        Err(_) => Ok(true),
    }
}

/// The unpacked kernel, whose first bytes were looked at.
fn unpack(layout: &Layout) -> Result<impl Read, KernelError> {
    let mut unpacked = OneStream::new(layout.codec, layout.payload.open()?).map_err(KernelError::Unpack)?;
    let mut head = Vec::new();
    (&mut unpacked).take(HEAD_LEN).read_to_end(&mut head).map_err(KernelError::Unpack)?;
    let right = match layout.form {
        Form::BzImage => head.starts_with(b"\x7fELF"),
        Form::Image | Form::CompressedImage | Form::Zboot => is_arm64_image(&head),
    };
    match (right, layout.form) {
        (true, _) => Ok(Cursor::new(head).chain(unpacked)),
        (false, Form::BzImage) => Err(KernelError::Content("ELF file")),
        (false, Form::CompressedImage) => Err(KernelError::NotAKernel),
        (false, Form::Image | Form::Zboot) => Err(KernelError::Content("arm64 Image")),
    }
}
