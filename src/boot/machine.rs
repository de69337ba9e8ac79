//! The machine that firmware, stub and kernel are for.

use std::fmt;

/// A machine by its number in PE files (UEFI specification, "PE32+ Machine type").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// `IMAGE_FILE_MACHINE_AMD64`, 64-bit x86.
    Amd64,
    /// `IMAGE_FILE_MACHINE_ARM64`, 64-bit Arm.
    Arm64,
    /// Any other, by its number.
    Other(u16),
}

impl Machine {
    /// The machine of a `Machine` field of a COFF header.
    pub(super) fn of_pe(number: u16) -> Self {
        match number {
            0x8664 => Self::Amd64,
            0xaa64 => Self::Arm64,
            other => Self::Other(other),
        }
    }

    /// The machine of a platform's architecture in Go's names; `None` for those Talos does not run on.
    pub fn of_architecture(architecture: &str) -> Option<Self> {
        match architecture {
            "amd64" => Some(Self::Amd64),
            "arm64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amd64 => f.write_str("amd64"),
            Self::Arm64 => f.write_str("arm64"),
            Self::Other(number) => write!(f, "PE machine {number:#06x}"),
        }
    }
}
