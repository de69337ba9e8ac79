//! Bounded access to the sections of a kernel module.
//!
//! A module is an ELF64 little-endian relocatable file (elf(5)). The checks are those of the
//! kernel's `elf_validity_check` (kernel/module/main.c), so what passes here is not refused there
//! for its form, and no section that an [`Elf`] gives lies outside the file. Nothing is held in
//! memory but the section table and its names, each under a constant limit.

use std::io::{self, Read, Seek, SeekFrom};

use crate::base::{Content, ContentReader};

/// Size of the ELF64 file header.
const HEADER_LEN: usize = 64;
/// Size of an ELF64 section header, the only one that the kernel takes.
const SECTION_HEADER_LEN: usize = 64;
/// Most bytes of section names that are read. The section table holds at most 65,535 entries
/// (`e_shnum` is a u16, and the kernel does not know the extended numbering): this leaves each of
/// them 64 bytes. The largest module of Debian's 6.1 kernel, amdgpu, has less than 1 KiB of names.
const NAMES_MAX: u64 = 4 << 20;

/// Most bytes of one section's name that are looked at: sections may share their names' bytes, so that
/// comparing names without an end costs the product of both tables. None that is looked for is as long.
const NAME_MAX: usize = 256;

const ET_REL: u16 = 1;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
const SHT_NULL: u32 = 0;
const SHT_NOBITS: u32 = 8;

/// The machine that a module is built for (`e_machine`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// amd64.
    X86_64,
    /// arm64.
    Aarch64,
    /// Any other, by its ELF number.
    Other(u16),
}

impl Machine {
    fn of_elf(number: u16) -> Self {
        match number {
            EM_X86_64 => Self::X86_64,
            EM_AARCH64 => Self::Aarch64,
            other => Self::Other(other),
        }
    }

    /// The machine of any ELF file that begins with this header, be it a module, a program or a library.
    pub fn of_header(header: &[u8; 64]) -> Result<Self, NotAModule> {
        if !header.starts_with(b"\x7fELF") {
            return Err(NotAModule::NoElfMagic);
        }
        // The offsets below are constants within the 64 bytes.
        if header[4] != 2 {
            return Err(NotAModule::Class { class: header[4] });
        }
        if header[5] != 1 {
            return Err(NotAModule::Encoding { encoding: header[5] });
        }
        Ok(Self::of_elf(u16_at(header, 18)))
    }

    /// The machine of a platform's architecture in Go's names; `None` for those Talos does not run on.
    pub fn of_architecture(architecture: &str) -> Option<Self> {
        match architecture {
            "amd64" => Some(Self::X86_64),
            "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::X86_64 => f.write_str("amd64"),
            Self::Aarch64 => f.write_str("arm64"),
            Self::Other(number) => write!(f, "ELF machine {number}"),
        }
    }
}

/// The facts of a module could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The bytes are no module.
    #[error("not a kernel module: {why}")]
    NotAModule {
        /// What is wrong with them.
        why: NotAModule,
    },
    /// The bytes could not be read.
    #[error("the module cannot be read")]
    Read(#[from] io::Error),
}

impl From<NotAModule> for ModuleError {
    fn from(why: NotAModule) -> Self {
        Self::NotAModule { why }
    }
}

/// Why bytes are no module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAModule {
    /// There is no room for a header.
    #[error("the file has {len} bytes, fewer than an ELF header")]
    TooShort {
        /// Its length.
        len: u64,
    },
    /// The file is something else altogether.
    #[error("the file does not begin with the ELF magic")]
    NoElfMagic,
    /// A 32-bit file, or nonsense.
    #[error("the ELF class is {class}, expected 2 (64 bit)")]
    Class {
        /// `EI_CLASS`; 1 is 32 bit.
        class: u8,
    },
    /// A big-endian file, or nonsense.
    #[error("the ELF data encoding is {encoding}, expected 1 (little endian)")]
    Encoding {
        /// `EI_DATA`; 2 is big endian.
        encoding: u8,
    },
    /// A program, a library, a core dump.
    #[error("the ELF type is {kind}, expected 1 (relocatable)")]
    Type {
        /// `e_type`; 2 is a program, 3 a shared object.
        kind: u16,
    },
    /// The section table is missing or malformed.
    #[error("the section table {0}")]
    SectionTable(&'static str),
    /// A section points past the end. Typical of a truncated file.
    #[error("section {index} reaches byte {end}, outside the {len} bytes of the file")]
    SectionOutside {
        /// Its index in the table.
        index: usize,
        /// Where it would end.
        end: u64,
        /// The length of the file without a signature.
        len: u64,
    },
    /// A section that every module has is not there.
    #[error("there is no section `{0}`")]
    NoSection(&'static str),
    /// There are implausibly many symbols.
    #[error("the names of its symbols have more than the {limit} bytes that are read of them")]
    TooManySymbols {
        /// What is read at most.
        limit: usize,
    },
    /// A section is implausibly large.
    #[error("section {index} has {size} bytes, more than the {limit} that are read of it")]
    SectionTooLarge {
        /// Its index in the table.
        index: usize,
        /// Its size.
        size: u64,
        /// What is read at most.
        limit: u64,
    },
}

/// One section of a module. It lies inside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Its index in the section table.
    pub index: usize,
    /// Offset of its name in the section of names.
    name: u32,
    /// `sh_type`.
    pub kind: u32,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// Number of its bytes.
    pub size: u64,
    /// `sh_link`: the index of the section that this one refers to.
    pub link: u32,
}

impl Section {
    /// Whether it occupies bytes of the file at all.
    pub fn has_bytes(&self) -> bool {
        !matches!(self.kind, SHT_NULL | SHT_NOBITS)
    }
}

/// An opened module.
#[derive(Debug)]
pub struct Elf {
    reader: ContentReader,
    machine: Machine,
    sections: Vec<Section>,
    names: Vec<u8>,
    end: u64,
}

impl Elf {
    /// Opens the first `len` bytes of `content` as a module. `len` is where a signature begins, as
    /// the kernel cuts it off before it looks at the file.
    pub fn open(content: &Content, len: u64) -> Result<Self, ModuleError> {
        if len < HEADER_LEN as u64 {
            return Err(NotAModule::TooShort { len }.into());
        }
        let mut reader = content.open()?;
        let mut header = [0; HEADER_LEN];
        reader.read_exact(&mut header)?;
        let header = Header::parse(&header)?;
        let table_end = header.table_end(len)?;
        let table = read_at(&mut reader, header.table, usize::from(header.count) * SECTION_HEADER_LEN)?;
        let sections = parse_sections(&table, len)?;
        let names_section = sections
            .get(usize::from(header.names))
            .copied()
            .filter(|section| section.index != 0 && section.has_bytes())
            .ok_or(NotAModule::SectionTable("names no section of names"))?;
        let names = read_section(&mut reader, &names_section, NAMES_MAX)?;
        let end = sections
            .iter()
            .filter(|section| section.has_bytes())
            .map(|section| section.offset + section.size);
        let end = end.max().unwrap_or(0).max(table_end);
        Ok(Self { reader, machine: header.machine, sections, names, end })
    }

    /// The machine it is built for.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// The end of the last byte that belongs to a section or to the section table.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// All sections, in the order of the table.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The first 256 bytes of a section's name; empty if it has none.
    pub fn name(&self, section: &Section) -> &[u8] {
        let from = self.names.get(section.name as usize..).unwrap_or_default();
        let from = from.get(..NAME_MAX).unwrap_or(from);
        from.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The first section of that name that has bytes in the file.
    pub fn section(&self, name: &str) -> Option<Section> {
        self.sections
            .iter()
            .find(|section| section.has_bytes() && self.name(section) == name.as_bytes())
            .copied()
    }

    /// The bytes of a section of this file, if there are at most `limit`.
    pub fn read(&mut self, section: &Section, limit: u64) -> Result<Vec<u8>, ModuleError> {
        read_section(&mut self.reader, section, limit)
    }
}

/// The fields of the file header that matter here.
struct Header {
    machine: Machine,
    table: u64,
    count: u16,
    names: u16,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, NotAModule> {
        let machine = Machine::of_header(bytes)?;
        let kind = u16_at(bytes, 16);
        if kind != ET_REL {
            return Err(NotAModule::Type { kind });
        }
        if usize::from(u16_at(bytes, 58)) != SECTION_HEADER_LEN {
            return Err(NotAModule::SectionTable("has entries that are not 64 bytes long"));
        }
        let count = u16_at(bytes, 60);
        if count == 0 {
            return Err(NotAModule::SectionTable("is empty"));
        }
        Ok(Self { machine, table: u64_at(bytes, 40), count, names: u16_at(bytes, 62) })
    }

    /// Where the section table ends, which must be within `len`.
    fn table_end(&self, len: u64) -> Result<u64, NotAModule> {
        self.table
            .checked_add(u64::from(self.count) * SECTION_HEADER_LEN as u64)
            .filter(|end| *end <= len)
            .ok_or(NotAModule::SectionTable("lies outside the file"))
    }
}

fn parse_sections(table: &[u8], len: u64) -> Result<Vec<Section>, NotAModule> {
    let mut sections = Vec::with_capacity(table.len() / SECTION_HEADER_LEN);
    for (index, bytes) in table.as_chunks::<SECTION_HEADER_LEN>().0.iter().enumerate() {
        let section = Section {
            index,
            name: u32_at(bytes, 0),
            kind: u32_at(bytes, 4),
            offset: u64_at(bytes, 24),
            size: u64_at(bytes, 32),
            link: u32_at(bytes, 40),
        };
        let end = section.offset.saturating_add(section.size);
        if section.has_bytes() && end > len {
            return Err(NotAModule::SectionOutside { index, end, len });
        }
        sections.push(section);
    }
    Ok(sections)
}

fn read_section(reader: &mut ContentReader, section: &Section, limit: u64) -> Result<Vec<u8>, ModuleError> {
    let &Section { index, size, .. } = section;
    let too_large = NotAModule::SectionTooLarge { index, size, limit };
    let len = usize::try_from(size).ok().filter(|_| size <= limit).ok_or(too_large)?;
    Ok(read_at(reader, section.offset, len)?)
}

/// `len` bytes from `offset` on. The caller has checked that the file has them.
fn read_at(reader: &mut ContentReader, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    reader.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

// The three below are called with constant offsets inside a 64-byte header: they cannot fail.

fn u16_at(header: &[u8; 64], at: usize) -> u16 {
    u16::from_le_bytes([header[at], header[at + 1]])
}

fn u32_at(header: &[u8; 64], at: usize) -> u32 {
    u32::from(u16_at(header, at)) | u32::from(u16_at(header, at + 2)) << 16
}

fn u64_at(header: &[u8; 64], at: usize) -> u64 {
    u64::from(u32_at(header, at)) | u64::from(u32_at(header, at + 4)) << 32
}

#[cfg(test)]
pub(crate) mod testing {
    //! A builder of small modules.

    /// An ELF64 relocatable file with the given sections of type `SHT_PROGBITS`.
    pub(crate) fn elf(machine: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut names = b"\0.shstrtab\0".to_vec();
        let mut headers = vec![[0; 64]];
        let mut file = vec![0; 64];
        for (name, bytes) in sections {
            headers.push(section(names.len(), 1, file.len(), bytes.len()));
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            file.extend_from_slice(bytes);
        }
        headers.push(section(1, 3, file.len(), names.len()));
        file.extend_from_slice(&names);
        let table = file.len() as u64;
        file[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\0\0");
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[40..48].copy_from_slice(&table.to_le_bytes());
        file[58..60].copy_from_slice(&64u16.to_le_bytes());
        file[60..62].copy_from_slice(&(headers.len() as u16).to_le_bytes());
        file[62..64].copy_from_slice(&(headers.len() as u16 - 1).to_le_bytes());
        file.extend(headers.concat());
        file
    }

    fn section(name: usize, kind: u32, offset: usize, size: usize) -> [u8; 64] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&(name as u32).to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        header
    }

    /// What a module of [`linked`] has to do with a symbol.
    #[derive(Clone, Copy)]
    pub(crate) enum Link<'a> {
        Exports(&'a str, u32),
        Needs(&'a str, Option<u32>),
        MayUse(&'a str),
    }

    /// A module with a symbol table, `__kcrctab` and `__versions`, and this `.modinfo`.
    pub(crate) fn linked(info: &[&str], links: &[Link<'_>]) -> Vec<u8> {
        let info: String = info.iter().map(|entry| format!("{entry}\0")).collect();
        let (mut names, mut table) = (b"\0".to_vec(), vec![0; 24]);
        let (mut crcs, mut versions) = (Vec::new(), Vec::new());
        let mut version = |name: &str, crc: u32| {
            let mut entry = [0; 64];
            entry[..4].copy_from_slice(&crc.to_le_bytes());
            entry[8..8 + name.len()].copy_from_slice(name.as_bytes());
            versions.extend(entry);
        };
        version("module_layout", 7);
        for link in links {
            let (name, bind, section, value) = match *link {
                Link::Exports(name, crc) => {
                    crcs.extend(crc.to_le_bytes());
                    (format!("__crc_{name}"), 0, 3u16, crcs.len() as u64 - 4)
                }
                Link::Needs(name, crc) => {
                    crc.into_iter().for_each(|crc| version(name, crc));
                    (name.to_owned(), 1, 0, 0)
                }
                Link::MayUse(name) => (name.to_owned(), 2, 0, 0),
            };
            table.extend((names.len() as u32).to_le_bytes());
            table.extend([bind << 4, 0]);
            table.extend(section.to_le_bytes());
            table.extend(value.to_le_bytes());
            table.extend([0; 8]);
            names.extend(name.as_bytes());
            names.push(0);
        }
        let sections: [(&str, &[u8]); 6] = [
            (".modinfo", info.as_bytes()),
            (".gnu.linkonce.this_module", &[0; 64]),
            ("__kcrctab", &crcs),
            ("__versions", &versions),
            (".symtab", &table),
            (".strtab", &names),
        ];
        elf(62, &sections)
    }

    /// A module with this `.modinfo`, given as `key=value` entries.
    pub(crate) fn module(machine: u16, info: &[&str]) -> Vec<u8> {
        let info: String = info.iter().map(|entry| format!("{entry}\0")).collect();
        elf(machine, &[(".modinfo", info.as_bytes()), (".gnu.linkonce.this_module", &[0; 64])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: Vec<u8>) -> Result<Elf, NotAModule> {
        let len = bytes.len() as u64;
        Elf::open(&Content::memory(bytes), len).map_err(|error| match error {
            ModuleError::NotAModule { why } => why,
            ModuleError::Read(error) => panic!("{error}"),
        })
    }

    fn small() -> Vec<u8> {
        testing::elf(62, &[(".a", b"one"), (".b", b"two")])
    }

    #[test]
    fn sections_are_found_by_name_and_read_within_their_limit() {
        let mut elf = open(small()).unwrap();
        assert_eq!(elf.machine(), Machine::X86_64);
        assert_eq!(elf.end(), small().len() as u64);
        let section = elf.section(".b").unwrap();
        assert_eq!(elf.read(&section, 3).unwrap(), b"two");
        assert_eq!(elf.section(".c"), None);
        assert!(matches!(
            elf.read(&section, 2),
            Err(ModuleError::NotAModule { why: NotAModule::SectionTooLarge { index: 2, size: 3, limit: 2 } })
        ));
    }

    #[test]
    fn what_is_no_64_bit_relocatable_file_is_refused_with_the_reason() {
        let changed = |at: usize, byte: u8| {
            let mut bytes = small();
            bytes[at] = byte;
            open(bytes).unwrap_err()
        };
        assert_eq!(open(b"\x7fELF".to_vec()).unwrap_err(), NotAModule::TooShort { len: 4 });
        assert_eq!(changed(0, b'#'), NotAModule::NoElfMagic);
        assert_eq!(changed(4, 1), NotAModule::Class { class: 1 });
        assert_eq!(changed(5, 2), NotAModule::Encoding { encoding: 2 });
        assert_eq!(changed(16, 3), NotAModule::Type { kind: 3 });
        assert_eq!(changed(58, 40).to_string(), "the section table has entries that are not 64 bytes long");
        assert_eq!(changed(60, 0).to_string(), "the section table is empty");
        assert_eq!(changed(61, 1).to_string(), "the section table lies outside the file");
        assert_eq!(changed(47, 0xff).to_string(), "the section table lies outside the file");
        assert_eq!(changed(62, 0).to_string(), "the section table names no section of names");
        assert_eq!(changed(62, 9).to_string(), "the section table names no section of names");
    }

    #[test]
    fn a_section_outside_the_file_is_refused_unless_it_occupies_none_of_it() {
        let mut bytes = small();
        let len = bytes.len() as u64;
        let second = bytes.len() - 2 * SECTION_HEADER_LEN; // headers: null, .a, .b, names
        bytes[second + 39] = 0x80; // the highest byte of its size
        let why = open(bytes.clone()).unwrap_err();
        assert!(matches!(why, NotAModule::SectionOutside { index: 2, len: l, .. } if l == len), "{why}");
        bytes[second + 4] = SHT_NOBITS as u8;
        assert_eq!(open(bytes).unwrap().section(".b"), None);
    }

    #[test]
    fn names_without_an_end_are_looked_at_in_part() {
        let long = "a".repeat(NAMES_MAX as usize / 2);
        let elf = open(testing::elf(62, &[(&long, b"one"), (".b", b"two")])).unwrap();
        assert!(elf.sections().iter().all(|section| elf.name(section).len() <= NAME_MAX));
        assert_eq!(elf.section(&long), None);
        assert!(elf.section(".b").is_some());
    }
}
