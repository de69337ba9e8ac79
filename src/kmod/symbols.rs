//! The symbols that a module exports and imports, with their CRCs.
//!
//! What counts is what kmod takes (libkmod-elf.c), so that dependencies come out alike: exported is
//! what has a `__crc_` symbol, or, in a module without any, what stands in `__ksymtab_strings`;
//! imported is what `.symtab` leaves undefined, and what only `__versions` names. Names are copied out
//! of the string table, which is mostly local symbols, into one buffer.

use std::collections::HashMap;

use super::elf::{Elf, ModuleError, NotAModule, Section};

/// Most bytes of a symbol table, or of its names, that are read: amdgpu of Debian's 6.1 kernel has
/// 0.7 MiB of either, and a module that was not stripped several times that. Of all sections together that
/// hold CRCs no more is read, as any number of them may have the same bytes.
pub const TABLE_MAX: u64 = 64 << 20;

/// Longest name that is looked at: `KSYM_NAME_LEN`, what the kernel itself holds of a name.
const NAME_MAX: usize = 512;

/// Most bytes of names that are kept of one module; amdgpu has 40 KiB of them. Names may overlap in
/// the file, so that its size bounds nothing.
const NAMES_MAX: usize = 8 << 20;

/// Size of an ELF64 symbol.
const SYMBOL_LEN: usize = 24;
/// Size of the kernel's `struct modversion_info`: a CRC in a word, and a name that ends in NUL.
const VERSION_LEN: usize = 64;
const UNDEFINED: u16 = 0;
const ABSOLUTE: u16 = 0xfff1;
const WEAK: u8 = 2;

/// The symbols of one module.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    /// All names, one behind another.
    names: Vec<u8>,
    exports: Vec<Symbol>,
    imports: Vec<Symbol>,
}

/// A name in the buffer of names, and what is known of it.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: u32,
    len: u32,
    crc: Option<u32>,
    weak: bool,
}

/// A symbol that a module exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The CRC of its type, of a kernel with symbol versions.
    pub crc: Option<u32>,
}

/// A symbol that a module needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The CRC of the type that the module was built for.
    pub crc: Option<u32>,
    /// Whether the module loads without it.
    pub weak: bool,
}

impl Symbols {
    /// Reads the symbols of a module. Tables that kmod would not take give none.
    pub fn read(elf: &mut Elf) -> Result<Self, ModuleError> {
        let mut symbols = Self::default();
        let table = match (elf.section(".symtab"), elf.section(".strtab")) {
            (Some(table), Some(names)) if table.size.is_multiple_of(SYMBOL_LEN as u64) => {
                Some((elf.read(&table, TABLE_MAX)?, elf.read(&names, TABLE_MAX)?))
            }
            _ => None,
        };
        let versions = match elf.section("__versions") {
            Some(section) => elf.read(&section, TABLE_MAX)?,
            None => Vec::new(),
        };
        if let Some((table, names)) = &table {
            symbols.read_crcs(elf, &Table { entries: table.as_chunks().0, names })?;
            symbols.read_undefined(&Table { entries: table.as_chunks().0, names }, &versions)?;
        }
        if symbols.exports.is_empty()
            && let Some(section) = elf.section("__ksymtab_strings")
        {
            for name in elf.read(&section, TABLE_MAX)?.split(|byte| *byte == 0) {
                if !name.is_empty() {
                    let symbol = symbols.keep(name, None, false)?;
                    symbols.exports.push(symbol);
                }
            }
        }
        Ok(symbols)
    }

    /// The exported symbols.
    pub fn exports(&self) -> impl Iterator<Item = Exported<'_>> {
        self.exports.iter().map(|symbol| Exported { name: self.name(symbol), crc: symbol.crc })
    }

    /// The imported symbols: first the undefined ones in the order of the symbol table.
    pub fn imports(&self) -> impl Iterator<Item = Imported<'_>> {
        self.imports.iter().map(|symbol| Imported {
            name: self.name(symbol),
            crc: symbol.crc,
            weak: symbol.weak,
        })
    }

    fn name(&self, symbol: &Symbol) -> &[u8] {
        let start = symbol.start as usize;
        self.names.get(start..start + symbol.len as usize).unwrap_or_default()
    }

    /// Copies a name.
    fn keep(&mut self, name: &[u8], crc: Option<u32>, weak: bool) -> Result<Symbol, NotAModule> {
        if self.names.len() + name.len() > NAMES_MAX {
            return Err(NotAModule::TooManySymbols { limit: NAMES_MAX });
        }
        let (start, len) = (self.names.len() as u32, name.len() as u32); // both below the limit
        self.names.extend_from_slice(name);
        Ok(Symbol { start, len, crc, weak })
    }

    /// Exported symbols by their `__crc_` symbols.
    fn read_crcs(&mut self, elf: &mut Elf, table: &Table<'_>) -> Result<(), ModuleError> {
        let mut sections: HashMap<u16, Vec<u8>> = HashMap::new();
        let mut left = TABLE_MAX;
        for entry in table.symbols() {
            let Some(rest) = table.from(entry).and_then(|name| name.strip_prefix(b"__crc_")) else {
                continue;
            };
            let crc = match entry.section {
                UNDEFINED => None,
                ABSOLUTE => Some(entry.value as u32), // CRCs have 32 bits
                index => {
                    let bytes = match sections.entry(index) {
                        std::collections::hash_map::Entry::Occupied(there) => there.into_mut(),
                        std::collections::hash_map::Entry::Vacant(place) => {
                            let bytes = read_index(elf, index, left)?;
                            left -= bytes.len() as u64; // no more than that were read
                            place.insert(bytes)
                        }
                    };
                    u32_in(bytes, entry.value)
                }
            };
            let symbol = self.keep(until_nul(rest), crc, false)?;
            self.exports.push(symbol);
        }
        Ok(())
    }

    /// Imported symbols. If one of them has no name in the table, kmod takes none at all.
    fn read_undefined(&mut self, table: &Table<'_>, versions: &[u8]) -> Result<(), NotAModule> {
        let mut named: HashMap<&[u8], (u32, bool)> = HashMap::new();
        let versions = versions.as_chunks::<VERSION_LEN>().0;
        for version in versions {
            let [c0, c1, c2, c3, _, _, _, _, name @ ..] = version;
            let crc = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
            named.entry(until_nul(name)).or_insert((crc, false));
        }
        for entry in table.symbols().filter(|entry| entry.section == UNDEFINED) {
            let Some(name) = table.from(entry) else {
                self.imports.clear();
                return Ok(());
            };
            let name = until_nul(name);
            if name.is_empty() {
                continue;
            }
            let crc = named.get_mut(name).map(|(crc, seen)| {
                *seen = true;
                *crc
            });
            let symbol = self.keep(name, crc, entry.bind == WEAK)?;
            self.imports.push(symbol);
        }
        // `module_layout` and the like: in no symbol table, but the kernel compares their CRCs.
        for version in versions {
            let name = until_nul(version.get(8..).unwrap_or_default());
            if let Some((crc, seen)) = named.get_mut(name).filter(|(_, seen)| !*seen && !name.is_empty()) {
                *seen = true;
                let symbol = self.keep(name, Some(*crc), false)?;
                self.imports.push(symbol);
            }
        }
        Ok(())
    }
}

/// A symbol table beside its names.
struct Table<'a> {
    entries: &'a [[u8; SYMBOL_LEN]],
    names: &'a [u8],
}

/// The fields of an ELF64 symbol that matter here.
#[derive(Clone, Copy)]
struct Entry {
    name: u32,
    bind: u8,
    section: u16,
    value: u64,
}

impl<'a> Table<'a> {
    /// All symbols but the first, which is none.
    fn symbols(&self) -> impl Iterator<Item = Entry> + use<'a> {
        self.entries.iter().skip(1).map(|entry| {
            let [n0, n1, n2, n3, info, _, s0, s1, v0, v1, v2, v3, v4, v5, v6, v7, ..] = *entry;
            Entry {
                name: u32::from_le_bytes([n0, n1, n2, n3]),
                bind: info >> 4,
                section: u16::from_le_bytes([s0, s1]),
                value: u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]),
            }
        })
    }

    /// The names from where the symbol's name begins.
    fn from(&self, entry: Entry) -> Option<&'a [u8]> {
        self.names.get(entry.name as usize..).filter(|rest| !rest.is_empty())
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.get(..NAME_MAX).unwrap_or(bytes);
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn u32_in(bytes: &[u8], at: u64) -> Option<u32> {
    let four = bytes.get(usize::try_from(at).ok()?..)?.first_chunk()?;
    Some(u32::from_le_bytes(*four))
}

/// The bytes of the section of that index, if there are at most `limit`; none if it has none.
fn read_index(elf: &mut Elf, index: u16, limit: u64) -> Result<Vec<u8>, ModuleError> {
    let section: Option<Section> =
        elf.sections().get(usize::from(index)).filter(|section| section.has_bytes()).copied();
    section.map_or_else(|| Ok(Vec::new()), |section| elf.read(&section, limit))
}

#[cfg(test)]
#[path = "symbols_tests.rs"]
mod tests;
