//! The symbols that a kernel exports to modules, with their versions (kernel: include/linux/export.h,
//! include/asm-generic/vmlinux.lds.h).
//!
//! No symbol table is left in a kernel image, but what the kernel itself looks symbols up in is there:
//! `__ksymtab`, `__ksymtab_gpl`, `__kcrctab`, `__kcrctab_gpl` and `__ksymtab_strings`, one behind another.
//! An entry of the first two is three words, each the distance from itself to what it means: the symbol, its
//! name, its namespace (0 of what assembly exports). A CRC is one word. So thousands of entries in a row that
//! point to names behind them are the table, and nothing else looks like it.
//!
//! Architectures with absolute entries (32 bits) are not read.

use super::scan::{Place, Seeker};
use crate::boot::bytes::u32_at;

/// The name of a symbol that every kernel with modules exports (kernel: kernel/params.c).
const NEEDLE: &[u8] = b"param_ops_charp\0";
/// Bytes before a name in which the tables begin, and behind it in which the names end. Debian's kernels,
/// which have more than most, need 180 kB and 300 kB.
const REACH: usize = 1 << 20;
/// Bytes of an entry: `struct kernel_symbol` with `CONFIG_HAVE_ARCH_PREL32_RELOCATIONS`.
const ENTRY: usize = 12;
/// Bytes of a CRC.
const CRC: usize = 4;
/// Fewer entries than in any kernel that has modules, and more than chance has.
const ENTRIES_MIN: usize = 256;
/// The longest name (kernel: `KSYM_NAME_LEN`).
const NAME_MAX: usize = 512;

/// A symbol that a kernel exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// The version of its type; `None` of a kernel without `CONFIG_MODVERSIONS`.
    pub crc: Option<u32>,
}

/// Looks for the tables.
#[derive(Debug, Default)]
pub(super) struct ExportsSeeker {
    found: Vec<Export>,
}

impl ExportsSeeker {
    /// The symbols in the order of the tables; `None` if there are none to be seen.
    pub(super) fn exports(self) -> Option<Vec<Export>> {
        Some(self.found).filter(|found| !found.is_empty())
    }
}

impl Seeker for ExportsSeeker {
    fn needle(&self) -> &'static [u8] {
        NEEDLE
    }

    fn reach(&self) -> usize {
        REACH
    }

    fn lead(&self) -> usize {
        REACH
    }

    fn found(&mut self, place: &Place<'_>) {
        if !self.found.is_empty() {
            return;
        }
        let window = [place.before, place.bytes].concat();
        // Entries lie at multiples of four, in the file as in memory.
        let first = place.position.wrapping_sub(place.before.len() as u64).wrapping_neg() % 4;
        self.found = Table::find(&window, first as usize, place.before.len())
            .and_then(|table| table.exports(&window))
            .unwrap_or_default();
    }
}

/// Where the entries are in a window.
struct Table {
    start: usize,
    end: usize,
}

impl Table {
    /// The longest row of entries that begins at or behind `first`, and ends before `end`.
    fn find(window: &[u8], first: usize, end: usize) -> Option<Self> {
        let (mut longest, mut at) = (Self { start: 0, end: 0 }, first);
        while at + ENTRY <= end {
            let start = at;
            while at + ENTRY <= end && name_at(window, at).is_some() {
                at += ENTRY;
            }
            if at - start > longest.end - longest.start {
                longest = Self { start, end: at };
            }
            if at == start {
                at += 4;
            }
        }
        Some(longest).filter(|table| table.len() >= ENTRIES_MIN)
    }

    fn len(&self) -> usize {
        (self.end - self.start) / ENTRY
    }

    fn exports(&self, window: &[u8]) -> Option<Vec<Export>> {
        let names: Vec<usize> =
            (self.start..self.end).step_by(ENTRY).map(|at| name_at(window, at)).collect::<Option<_>>()?;
        // Between entries and names there is nothing but the CRCs, if there are any. A byte of flags for each
        // symbol may follow them, as was proposed for kernels to come.
        let between = names.iter().min()?.checked_sub(self.end)?;
        let count = names.len();
        let versioned = (count * CRC..=count * (CRC + 1) + 64).contains(&between);
        let export = |(index, name): (usize, &usize)| {
            let crc = versioned.then(|| u32_at(window, self.end + index * CRC)).flatten();
            Some(Export { name: text_at(window, *name)?, crc })
        };
        names.iter().enumerate().map(export).collect()
    }
}

/// Where the name of the entry at `at` is, if it looks like one: name and namespace lie behind it.
fn name_at(window: &[u8], at: usize) -> Option<usize> {
    let target = |field: usize| {
        let distance = u32_at(window, at + field)?.cast_signed();
        let target = (at + field).checked_add(usize::try_from(distance).ok()?)?;
        (target >= at + ENTRY || distance == 0).then_some(target)
    };
    let (name, namespace) = (target(4)?, target(8)?);
    // A namespace of nobody is an empty text, wherever one ends.
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    (name != at + 4 && namespace < window.len() && window.get(name).is_some_and(begins)).then_some(name)
}

fn text_at(window: &[u8], at: usize) -> Option<String> {
    let bytes = window.get(at..)?;
    let len = bytes.iter().take(NAME_MAX).position(|byte| *byte == 0)?;
    let name = bytes.get(..len)?;
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.$".contains(byte);
    name.iter().all(fits).then(|| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 300;

    /// Tables of that many symbols, and where the needle is in them.
    fn tables(versioned: bool, before: &[u8]) -> (Vec<u8>, usize) {
        let names: Vec<String> = (0..COUNT)
            .map(|number| if number == 7 { "param_ops_charp".to_owned() } else { format!("f{number}") })
            .collect();
        let mut strings = Vec::new();
        let mut places = Vec::new();
        for name in &names {
            places.push(strings.len());
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        let mut bytes = before.to_vec();
        let crcs = if versioned { COUNT * CRC } else { 0 };
        let text = bytes.len() + COUNT * ENTRY + crcs;
        for place in &places {
            let at = bytes.len();
            bytes.extend_from_slice(&(-400_i32).to_le_bytes());
            bytes.extend_from_slice(&((text + place - at - 4) as u32).to_le_bytes());
            // Of assembly, and of the empty text behind the last name.
            let namespace = if place % 2 == 0 { 0 } else { text + strings.len() - 1 - at - 8 };
            bytes.extend_from_slice(&(namespace as u32).to_le_bytes());
        }
        if versioned {
            (0..COUNT as u32).for_each(|crc| bytes.extend_from_slice(&(crc * 3).to_le_bytes()));
        }
        bytes.extend_from_slice(&strings);
        let needle = text + places[7];
        (bytes, needle)
    }

    fn seek(bytes: &[u8], needle: usize, position: u64) -> Option<Vec<Export>> {
        let mut seeker = ExportsSeeker::default();
        let (before, bytes) = bytes.split_at(needle);
        seeker.found(&Place { position, before, bytes });
        seeker.exports()
    }

    #[test]
    fn names_and_versions_are_read_from_the_kernels_own_tables() {
        for (versioned, before) in [(true, &[0xff; 64][..]), (false, &[0xff; 64]), (true, &[])] {
            let (bytes, needle) = tables(versioned, before);
            let exports = seek(&bytes, needle, needle as u64).unwrap();
            assert_eq!(exports.len(), COUNT);
            assert_eq!(exports[7].name, "param_ops_charp");
            assert_eq!((exports[9].name.as_str(), exports[9].crc), ("f9", versioned.then_some(27)));
        }
    }

    #[test]
    fn a_few_entries_and_other_bytes_are_no_tables() {
        let (bytes, needle) = tables(true, &[]);
        let cut = bytes[ENTRY * 100..].to_vec();
        assert_eq!(seek(&cut, needle - ENTRY * 100, 0), None);
        assert_eq!(seek(b"param_ops_charp\0", 0, 5), None);
        assert_eq!(seek(&bytes[..needle], needle, 0).map(|exports| exports.len()), None, "names are cut off");
        // At a place that is no multiple of four.
        assert_eq!(seek(&bytes, needle, needle as u64 + 1), None);
    }

    #[test]
    fn every_changed_byte_is_survived() {
        let (bytes, needle) = tables(true, &[0; 16]);
        for at in (0..bytes.len()).step_by(11) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let _ = seek(&bytes, needle, needle as u64);
            }
        }
    }
}
