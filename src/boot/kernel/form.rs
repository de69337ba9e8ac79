//! The forms of kernel images, and where the kernel itself lies in them.
//!
//! x86: Documentation/arch/x86/boot.rst. arm64: Documentation/arch/arm64/booting.rst. EFI zboot:
//! drivers/firmware/efi/libstub/zboot-header.S.

use std::fmt;

use super::read::KernelError;
use crate::archive::compress::Codec;
use crate::base::{Content, ContentHandle};
use crate::boot::bytes::{part, read_up_to, u16_at, u32_at};
use crate::boot::machine::Machine;

/// Bytes from the start in which all headers lie: the largest number of setup sectors, 255, and the boot
/// sector.
const HEAD_LEN: usize = 256 * 512;
/// The oldest boot protocol that tells where the payload lies (2.08, Linux 2.6.26).
const PROTOCOL_MIN: u16 = 0x208;
/// `XLF_KERNEL_64`.
const KERNEL_64: u16 = 1;

/// The form of a kernel image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// x86: `vmlinuz`, real-mode code and a compressed ELF file.
    BzImage,
    /// arm64: as it lies in memory, not compressed.
    Image,
    /// The same in a gzip file. Firmware and systemd's stub do not start it.
    CompressedImage,
    /// arm64: an EFI program that unpacks its kernel.
    Zboot,
}

impl Form {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BzImage => "bzImage",
            Self::Image => "Image",
            Self::CompressedImage => "Image.gz",
            Self::Zboot => "EFI zboot",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where everything lies in an image.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) form: Form,
    pub(super) machine: Machine,
    /// The version that stands outside of the payload.
    pub(super) version: Option<String>,
    /// The kernel, as it is packed.
    pub(super) payload: Content,
    pub(super) codec: Codec,
    /// The size of the unpacked kernel, where it is told.
    pub(super) unpacked: Option<u32>,
}

impl Layout {
    pub(super) fn of(content: &Content) -> Result<Self, KernelError> {
        let handle = content.handle()?;
        let head = read_up_to(&handle, 0, HEAD_LEN)?;
        if head.get(0x202..0x206) == Some(b"HdrS") {
            Self::x86(content, &handle, &head)
        } else if is_arm64_image(&head) {
            Ok(Self::arm64(Form::Image, content.clone(), Codec::Plain))
        } else if head.starts_with(b"MZ") && head.get(4..8) == Some(b"zimg") {
            let number = |at| u32_at(&head, at).map(u64::from).ok_or(KernelError::Truncated);
            let payload = part(content, number(8)?, number(0xc)?).map_err(|_| KernelError::Truncated)?;
            let codec = codec_of(&payload)?;
            Ok(Self::arm64(Form::Zboot, payload, codec))
        } else if Codec::of_kernel(&head) == Codec::Gzip {
            Ok(Self::arm64(Form::CompressedImage, content.clone(), Codec::Gzip))
        } else {
            Err(KernelError::NotAKernel)
        }
    }

    fn arm64(form: Form, payload: Content, codec: Codec) -> Self {
        Self { form, machine: Machine::Arm64, version: None, payload, codec, unpacked: None }
    }

    fn x86(content: &Content, handle: &ContentHandle, head: &[u8]) -> Result<Self, KernelError> {
        let short = |at| u16_at(head, at).ok_or(KernelError::Truncated);
        let protocol = short(0x206)?;
        if protocol < PROTOCOL_MIN {
            return Err(KernelError::Protocol(protocol));
        }
        let sectors = match head.get(0x1f1).copied() {
            Some(0) | None => 4,
            Some(sectors) => sectors,
        };
        let setup_len = (u64::from(sectors) + 1) * 512;
        let number = |at| u32_at(head, at).map(u64::from).ok_or(KernelError::Truncated);
        let (offset, len) = (setup_len + number(0x248)?, number(0x24c)?);
        let mut payload = part(content, offset, len).map_err(|_| KernelError::Truncated)?;
        let size = read_up_to(handle, (offset + len).saturating_sub(4), 4)?;
        let unpacked = u32_at(&size, 0).filter(|_| len >= 4);
        let codec = codec_of(&payload)?;
        // A gzip stream ends in its size anyway; to all others the kernel's build appends it.
        if codec != Codec::Gzip {
            payload = part(&payload, 0, len.saturating_sub(4))?;
        }
        let machine = if short(0x236)? & KERNEL_64 == 0 { Machine::of_pe(0x14c) } else { Machine::Amd64 };
        let version = version(head, short(0x20e)?, setup_len);
        Ok(Self { form: Form::BzImage, machine, version, payload, codec, unpacked })
    }
}

/// The text at `offset` from the header at 0x200, which lies within the setup code.
fn version(head: &[u8], offset: u16, setup_len: u64) -> Option<String> {
    let start = 0x200 + usize::from(offset);
    let setup = head.get(..setup_len as usize).unwrap_or(head); // at most HEAD_LEN
    let text = setup.get(start..)?.split(|byte| *byte == 0).next()?;
    (offset != 0).then(|| std::str::from_utf8(text).ok().map(str::to_owned))?
}

/// Whether `ARM\x64` stands where arm64's boot protocol has it.
pub(super) fn is_arm64_image(head: &[u8]) -> bool {
    head.get(0x38..0x3c) == Some(b"ARM\x64")
}

fn codec_of(payload: &Content) -> Result<Codec, KernelError> {
    match Codec::of_kernel(&read_up_to(&payload.handle()?, 0, 2)?) {
        Codec::Plain => Err(KernelError::Payload),
        codec => Ok(codec),
    }
}
