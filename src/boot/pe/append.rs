//! The plan of a PE file with sections appended, as systemd's `ukify` and binutils' `objcopy` make it.
//!
//! Nothing is copied: the new file is its headers in memory, and ranges of the files that went in. The
//! sections that were there keep their addresses in memory; their bytes move in the file, since the
//! larger section table takes room before them (Debian's systemd 252 has room for seven sections more,
//! and a unified kernel image of two profiles takes nine). What no section holds falls away, so does a
//! COFF symbol table, which image files should not have.
//!
//! The one thing besides the headers that knows offsets in the file is the debug directory: a file that
//! has one is refused, as is a signed one, whose signature could not stay valid (`ukify` refuses it too).

use std::io;

use super::read::{COFF_LEN, Pe, SECTION_LEN, Section};
use crate::base::{Content, Epoch};
use crate::boot::bytes::{put, read_up_to, round_up, u16_at, u32_at};

/// What a new section is: `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`.
const DATA: u32 = 0x4000_0040;
/// `IMAGE_SCN_CNT_CODE`.
const CODE: u32 = 0x20;
/// `IMAGE_SCN_CNT_INITIALIZED_DATA`.
const INITIALIZED: u32 = 0x40;
/// `IMAGE_FILE_LOCAL_SYMS_STRIPPED`.
const SYMBOLS_STRIPPED: u16 = 0x8;
/// The largest headers that are written: a page holds those of eighty sections.
const HEADERS_MAX: u64 = 64 << 10;
/// The largest `FileAlignment` ("PE Format": a power of two between 512 and 64 KiB).
const FILE_ALIGNMENT_MAX: u32 = 64 << 10;
/// The largest `SectionAlignment` that is plausible; Linux on arm64 has 64 KiB.
const SECTION_ALIGNMENT_MAX: u32 = 1 << 20;
/// New sections begin at pages at the least, as the stub of systemd 252 with its alignment of 512 bytes
/// would let them begin within one. A kernel that is started where it lies expects no less.
const PAGE: u32 = 4096;

/// Sections could not be appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It has a signature, which would not be valid any more.
    #[error("it is signed, and its signature would not hold with more sections")]
    Signed,
    /// It has a debug directory.
    #[error("it has a debug directory, whose offsets would not hold with more sections")]
    DebugDirectory,
    /// Its alignments are none.
    #[error("its sections are aligned to {section} bytes, {file} in the file, which is not a PE file's way")]
    Alignment {
        /// `SectionAlignment`.
        section: u32,
        /// `FileAlignment`.
        file: u32,
    },
    /// Its section table cannot grow.
    #[error("headers of {size} bytes do not fit before its first section at {first:#x}")]
    NoRoom {
        /// The size of the headers with the new sections.
        size: u64,
        /// Where the first section begins in memory.
        first: u64,
    },
    /// A name that does not fit into a section header.
    #[error("`{0}` cannot be the name of a section: it takes one to eight ASCII characters")]
    Name(String),
    /// A section without bytes, which loaders take for something else.
    #[error("section `{0}` would be empty")]
    Empty(String),
    /// What is appended is there already.
    #[error("it has a section `{0}` already")]
    Twice(String),
    /// The numbers of the format have 32 bits.
    #[error("with section `{0}` it would have 4 GiB or more")]
    TooLarge(String),
    /// Its headers cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// A PE file that was planned: where all of its bytes are.
#[derive(Debug, Clone)]
pub struct Image {
    content: Content,
    sections: Vec<Section>,
}

impl Image {
    /// Its bytes.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// All of its sections, those that were there before the new ones.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }
}

/// Plans `pe` with `new` sections behind its own, in their order, each with its name; names may come
/// twice. The time stamp is the low 32 bits of `epoch`, as the format has it, and the check sum 0, which
/// UEFI does not look at.
pub fn append(pe: &Pe, new: &[(&str, Content)], epoch: Epoch) -> Result<Image, AppendError> {
    let file_alignment = check(pe, new)?;
    let count = pe.sections().len() + new.len();
    let table_end = u64::from(pe.header_offset()) + (pe.header().len() + count * SECTION_LEN) as u64;
    let headers_len = round_up(table_end, file_alignment.into());
    let first = pe.sections().iter().map(|section| u64::from(section.virtual_address)).min();
    let room = first.unwrap_or(HEADERS_MAX).min(HEADERS_MAX);
    if headers_len > room {
        return Err(AppendError::NoRoom { size: headers_len, first: room });
    }
    let mut plan = Plan { file_alignment, raw: headers_len, sections: Vec::new(), parts: Vec::new() };
    for old in pe.sections() {
        plan.add(old.clone(), pe.raw(old)?)?;
    }
    let alignment = pe.section_alignment().max(PAGE);
    for (name, content) in new {
        let too_large = || AppendError::TooLarge((*name).to_owned());
        let end = plan.sections.iter().map(Section::virtual_end).max().unwrap_or(headers_len);
        let address = round_up(end, alignment.into());
        let section = Section {
            name: (*name).to_owned(),
            raw_name: raw_name(name),
            virtual_size: u32::try_from(content.len()).map_err(|_| too_large())?,
            virtual_address: u32::try_from(address).map_err(|_| too_large())?,
            raw_offset: 0,
            raw_size: 0,
            characteristics: DATA,
            content: content.clone(),
        };
        plan.add(section, content.clone())?;
    }
    plan.finish(pe, headers_len, epoch)
}

/// Whether it can be done at all; gives the alignment in the file.
fn check(pe: &Pe, new: &[(&str, Content)]) -> Result<u32, AppendError> {
    if pe.is_signed() {
        return Err(AppendError::Signed);
    }
    if pe.has_debug_directory() {
        return Err(AppendError::DebugDirectory);
    }
    let (section, file) = (pe.section_alignment(), pe.file_alignment());
    let plausible = section.is_power_of_two()
        && file.is_power_of_two()
        && file <= section
        && file <= FILE_ALIGNMENT_MAX
        && section <= SECTION_ALIGNMENT_MAX;
    if !plausible {
        return Err(AppendError::Alignment { section, file });
    }
    for (name, content) in new {
        if name.is_empty() || name.len() > 8 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AppendError::Name((*name).to_owned()));
        }
        if content.is_empty() {
            return Err(AppendError::Empty((*name).to_owned()));
        }
        if pe.section(name).is_some() {
            return Err(AppendError::Twice((*name).to_owned()));
        }
    }
    Ok(file)
}

/// A file in the making: offsets first.
struct Plan {
    file_alignment: u32,
    /// Where the next section begins in the file.
    raw: u64,
    sections: Vec<Section>,
    /// The bytes behind the headers.
    parts: Vec<Content>,
}

impl Plan {
    /// Gives a section, whose bytes in the file are `raw`, its place there.
    fn add(&mut self, section: Section, raw: Content) -> Result<(), AppendError> {
        let too_large = |_| AppendError::TooLarge(section.name.clone());
        let len = raw.len();
        let raw_len = round_up(len, self.file_alignment.into());
        let raw_offset = if len == 0 { 0 } else { u32::try_from(self.raw).map_err(too_large)? };
        let raw_size = u32::try_from(raw_len).map_err(too_large)?;
        u32::try_from(section.virtual_end()).map_err(too_large)?;
        if len > 0 {
            self.parts.push(raw);
        }
        if raw_len > len {
            self.parts.push(Content::memory(vec![0; (raw_len - len) as usize])); // less than the alignment
        }
        self.raw = self.raw.saturating_add(raw_len);
        u32::try_from(self.raw).map_err(too_large)?;
        self.sections.push(Section { raw_offset, raw_size, ..section });
        Ok(())
    }

    /// Writes the headers, and joins everything.
    fn finish(self, pe: &Pe, headers_len: u64, epoch: Epoch) -> Result<Image, AppendError> {
        // `append` has seen that the headers are not longer than HEADERS_MAX.
        let mut headers = read_up_to(&pe.content().handle()?, 0, pe.header_offset() as usize)?;
        headers.extend(self.header(pe, headers_len, epoch));
        for section in &self.sections {
            headers.extend(section_header(section));
        }
        headers.resize(headers_len as usize, 0); // at most HEADERS_MAX, and what is there is not longer
        let content = Content::joined([Content::memory(headers)].into_iter().chain(self.parts));
        Ok(Image { content, sections: self.sections })
    }

    /// The COFF and the optional header.
    fn header(&self, pe: &Pe, headers_len: u64, epoch: Epoch) -> Vec<u8> {
        let sum = |kind: u32| -> u32 {
            let of_kind = self.sections.iter().filter(|section| section.characteristics & kind != 0);
            of_kind.fold(0, |sum, section| sum.saturating_add(section.raw_size))
        };
        let end = self.sections.iter().map(Section::virtual_end).max().unwrap_or(headers_len);
        let end = round_up(end, pe.section_alignment().into());
        let mut header = pe.header().to_vec();
        let symbols = u32_at(&header, 12).unwrap_or(0);
        let mut characteristics = u16_at(&header, 22).unwrap_or(0);
        if symbols != 0 {
            characteristics |= SYMBOLS_STRIPPED;
        }
        put(&mut header, 6, &(self.sections.len() as u16).to_le_bytes()); // headers_len allows no more
        put(&mut header, 8, &(epoch.seconds() as u32).to_le_bytes());
        put(&mut header, 12, &[0; 8]);
        put(&mut header, 22, &characteristics.to_le_bytes());
        for (at, value) in [
            (4, sum(CODE)),
            (8, sum(INITIALIZED)),
            (56, u32::try_from(end).unwrap_or(u32::MAX)),
            (60, headers_len as u32), // at most HEADERS_MAX
            (64, 0),
        ] {
            put(&mut header, COFF_LEN + at, &value.to_le_bytes());
        }
        header
    }
}

/// The name as a section header holds it; [`check`] has seen that it is not longer.
fn raw_name(name: &str) -> [u8; 8] {
    let mut raw = [0; 8];
    put(&mut raw, 0, name.as_bytes());
    raw
}

/// `IMAGE_SECTION_HEADER`. Relocations and line numbers belong to object files.
fn section_header(section: &Section) -> [u8; SECTION_LEN] {
    let mut header = [0; SECTION_LEN];
    put(&mut header, 0, &section.raw_name);
    for (at, value) in [
        (8, section.virtual_size),
        (12, section.virtual_address),
        (16, section.raw_size),
        (20, section.raw_offset),
        (36, section.characteristics),
    ] {
        put(&mut header, at, &value.to_le_bytes());
    }
    header
}
