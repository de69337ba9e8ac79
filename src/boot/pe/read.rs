//! Bounded access to the headers and sections of a PE file.
//!
//! The format: "PE Format" of Microsoft's documentation (`IMAGE_FILE_HEADER`,
//! `IMAGE_OPTIONAL_HEADER64`, `IMAGE_SECTION_HEADER`); what a UEFI loader makes of it: EDK2,
//! MdePkg/Library/BasePeCoffLib. No section that a [`Pe`] gives lies outside the file.

use std::io;

use crate::base::Content;
use crate::boot::bytes::{array_at, part, read_up_to, u16_at, u32_at};
use crate::boot::machine::Machine;

/// Size of `IMAGE_DOS_HEADER`, whose last field is the place of the PE header.
const DOS_LEN: usize = 64;
/// Size of the signature `PE\0\0` and `IMAGE_FILE_HEADER`.
pub(super) const COFF_LEN: usize = 24;
/// Size of `IMAGE_OPTIONAL_HEADER64` without data directories.
pub(super) const OPTIONAL_LEN: usize = 112;
/// Size of `IMAGE_SECTION_HEADER`.
pub(super) const SECTION_LEN: usize = 40;
/// Most sections that are read. A unified kernel image of ten profiles has about fifty; EDK2 has no limit, and
/// Windows' is 96.
const SECTIONS_MAX: u16 = 512;
/// Data directory 4, `IMAGE_DIRECTORY_ENTRY_SECURITY`: where the signatures are.
const SECURITY: usize = 4;
/// Data directory 6, `IMAGE_DIRECTORY_ENTRY_DEBUG`.
const DEBUG: usize = 6;

/// Bytes are no PE file, or one that is not read here.
#[derive(Debug, thiserror::Error)]
pub enum PeError {
    /// No `MZ`, or no `PE` where it points.
    #[error("it is no PE file: {0}")]
    NotPe(&'static str),
    /// A 32-bit file, or nonsense.
    #[error("the magic number of its optional header is {0:#x}, expected 0x20b (64 bit)")]
    Magic(u16),
    /// The file ends within its headers.
    #[error("it ends within its {0}")]
    Truncated(&'static str),
    /// Implausibly many sections.
    #[error("it has {count} sections, more than the {SECTIONS_MAX} that are read")]
    TooManySections {
        /// How many.
        count: u16,
    },
    /// A section points past the end. Typical of a truncated file.
    #[error("section `{name}` reaches byte {end}, outside the {len} bytes of the file")]
    SectionOutside {
        /// Its name.
        name: String,
        /// Where it would end.
        end: u64,
        /// The length of the file.
        len: u64,
    },
    /// Sections share bytes, which no linker does. Taking such a file apart would multiply it.
    #[error("its sections have more bytes together than the file")]
    Overlap,
    /// The bytes cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// One section. Its bytes lie inside the file.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its name without the NUL bytes behind it.
    pub name: String,
    /// The same as the file has it.
    pub(super) raw_name: [u8; 8],
    /// Its length in memory; what is beyond the bytes of the file is zero.
    pub virtual_size: u32,
    /// Where it lies in memory, from the start of the image.
    pub virtual_address: u32,
    /// Where its bytes begin in the file.
    pub raw_offset: u32,
    /// Number of its bytes in the file, those that fill it up to the alignment included.
    pub raw_size: u32,
    /// `IMAGE_SCN_*`.
    pub characteristics: u32,
    /// Its bytes without what fills it up.
    pub content: Content,
}

impl Section {
    /// The end in memory.
    pub fn virtual_end(&self) -> u64 {
        let size = if self.virtual_size == 0 { self.raw_size } else { self.virtual_size };
        u64::from(self.virtual_address) + u64::from(size)
    }

    /// `bytes` has [`SECTION_LEN`].
    fn parse(bytes: &[u8], file: &Content) -> Result<Self, PeError> {
        let number = |at| u32_at(bytes, at).ok_or(PeError::Truncated("section table"));
        let raw_name = array_at(bytes, 0).ok_or(PeError::Truncated("section table"))?;
        let name = raw_name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        let (virtual_size, raw_offset) = (number(8)?, number(20)?);
        // A section that begins at 0 has no bytes in the file, whatever size it tells.
        let raw_size = if raw_offset == 0 { 0 } else { number(16)? };
        let end = u64::from(raw_offset) + u64::from(raw_size);
        if end > file.len() {
            return Err(PeError::SectionOutside { name, end, len: file.len() });
        }
        let len = if virtual_size == 0 { raw_size } else { raw_size.min(virtual_size) };
        Ok(Self {
            name,
            raw_name,
            virtual_size,
            virtual_address: number(12)?,
            raw_offset,
            raw_size,
            characteristics: number(36)?,
            content: part(file, raw_offset.into(), len.into())?,
        })
    }
}

/// A PE file that was read.
#[derive(Debug, Clone)]
pub struct Pe {
    content: Content,
    /// The bytes from `PE\0\0` on: COFF header and optional header.
    header: Vec<u8>,
    header_offset: u32,
    machine: Machine,
    sections: Vec<Section>,
}

impl Pe {
    /// Reads the headers of `content`.
    pub fn read(content: &Content) -> Result<Self, PeError> {
        let handle = content.handle()?;
        let dos = read_up_to(&handle, 0, DOS_LEN)?;
        if !dos.starts_with(b"MZ") {
            return Err(PeError::NotPe("it does not begin with `MZ`"));
        }
        let header_offset = u32_at(&dos, 0x3c).ok_or(PeError::NotPe("there is no room for its header"))?;
        let coff = read_up_to(&handle, header_offset.into(), COFF_LEN)?;
        if !coff.starts_with(b"PE\0\0") {
            return Err(PeError::NotPe("there is no `PE` where the DOS header points"));
        }
        let of_coff = |at| u16_at(&coff, at).ok_or(PeError::Truncated("COFF header"));
        let (machine, count, optional_len) = (of_coff(4)?, of_coff(6)?, usize::from(of_coff(20)?));
        let header = read_up_to(&handle, header_offset.into(), COFF_LEN + optional_len)?;
        match u16_at(&header, COFF_LEN) {
            Some(0x20b) if optional_len >= OPTIONAL_LEN && header.len() == COFF_LEN + optional_len => {}
            Some(0x20b) | None => return Err(PeError::Truncated("optional header")),
            Some(other) => return Err(PeError::Magic(other)),
        }
        if count > SECTIONS_MAX {
            return Err(PeError::TooManySections { count });
        }
        let table_offset = u64::from(header_offset) + header.len() as u64;
        let table = read_up_to(&handle, table_offset, usize::from(count) * SECTION_LEN)?;
        if table.len() != usize::from(count) * SECTION_LEN {
            return Err(PeError::Truncated("section table"));
        }
        let mut sections = Vec::new();
        let mut sum = 0u64;
        for bytes in table.chunks_exact(SECTION_LEN) {
            let section = Section::parse(bytes, content)?;
            sum += u64::from(section.raw_size); // 512 numbers of 32 bits
            if sum > content.len() {
                return Err(PeError::Overlap);
            }
            sections.push(section);
        }
        let machine = Machine::of_pe(machine);
        Ok(Self { content: content.clone(), header, header_offset, machine, sections })
    }

    /// The file.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The machine it is for.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// All sections in the order of the table; names may come twice.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The first section of that name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The bytes of one of its sections, those that fill it up included.
    pub(super) fn raw(&self, section: &Section) -> io::Result<Content> {
        part(&self.content, section.raw_offset.into(), section.raw_size.into())
    }

    /// Whether there is an Authenticode signature.
    pub fn is_signed(&self) -> bool {
        self.has_directory(SECURITY)
    }

    /// Whether there is a debug directory, whose entries hold offsets in the file.
    pub(super) fn has_debug_directory(&self) -> bool {
        self.has_directory(DEBUG)
    }

    /// Offset of `PE\0\0` in the file.
    pub(super) fn header_offset(&self) -> u32 {
        self.header_offset
    }

    /// The bytes from `PE\0\0` to the section table.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// A number of the optional header.
    pub(super) fn optional(&self, at: usize) -> u32 {
        u32_at(&self.header, COFF_LEN + at).unwrap_or(0) // `read` has seen OPTIONAL_LEN bytes of it
    }

    /// `SectionAlignment`.
    pub fn section_alignment(&self) -> u32 {
        self.optional(32)
    }

    /// `FileAlignment`.
    pub fn file_alignment(&self) -> u32 {
        self.optional(36)
    }

    fn has_directory(&self, index: usize) -> bool {
        let place = COFF_LEN + OPTIONAL_LEN + index * 8;
        let there = self.optional(108) as usize > index; // NumberOfRvaAndSizes
        let told = [place, place + 4].map(|at| u32_at(&self.header, at).unwrap_or(0));
        there && told.iter().all(|number| *number != 0)
    }
}
