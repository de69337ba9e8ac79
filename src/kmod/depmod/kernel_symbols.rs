//! What the kernel itself exports: without it, a symbol that no module exports may be the kernel's.

use std::collections::HashMap;

/// The symbols that a kernel exports, with their CRCs where they are known.
#[derive(Debug, Clone, Default)]
pub struct KernelSymbols(HashMap<Vec<u8>, Option<u32>>);

/// A text is no list of a kernel's symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is neither a `System.map` with exported symbols nor a `Module.symvers`")]
pub struct NoSymbols;

/// What the linker or the loader makes: no file exports it.
const MADE: [&str; 3] = ["__this_module", "_GLOBAL_OFFSET_TABLE_", "TOC."];

impl KernelSymbols {
    /// Reads a `System.map` (`address type __ksymtab_name`) or a `Module.symvers` (`crc name vmlinux …`).
    pub fn parse(text: &[u8]) -> Result<Self, NoSymbols> {
        let mut symbols = HashMap::new();
        for line in text.split(|byte| *byte == b'\n') {
            let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
            let (Some(first), Some(second), Some(third)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if third == b"vmlinux" {
                symbols.insert(second.to_vec(), crc(first));
            } else if let Some(name) = third.strip_prefix(b"__ksymtab_") {
                symbols.insert(name.to_vec(), None);
            }
        }
        if symbols.is_empty() {
            return Err(NoSymbols);
        }
        symbols.extend(MADE.map(|name| (name.as_bytes().to_vec(), None)));
        Ok(Self(symbols))
    }

    /// These symbols, each with its CRC where it has one.
    pub fn new<'a>(exports: impl IntoIterator<Item = (&'a str, Option<u32>)>) -> Self {
        let exports = exports.into_iter().map(|(name, crc)| (name.as_bytes().to_vec(), crc));
        Self(exports.chain(MADE.map(|name| (name.as_bytes().to_vec(), None))).collect())
    }

    /// Whether the kernel exports it, and with which CRC.
    pub fn get(&self, name: &[u8]) -> Option<Option<u32>> {
        self.0.get(name).copied()
    }
}

fn crc(word: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(word.strip_prefix(b"0x").unwrap_or(word)).ok()?;
    // A kernel without symbol versions has zeros in this place.
    u64::from_str_radix(digits, 16).ok().and_then(|crc| u32::try_from(crc).ok()).filter(|crc| *crc != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_of_a_kernel_are_read_and_other_texts_refused() {
        let map = KernelSymbols::parse(b"ffffffff81000000 T _text\nffffffff82000000 r __ksymtab_printk\n");
        assert_eq!(map.as_ref().unwrap().get(b"printk"), Some(None));
        assert_eq!(map.unwrap().get(b"_text"), None);
        let symvers = b"0x00000007\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n0x1\tx\tdrivers/y\tEXPORT_SYMBOL\t\n";
        let symbols = KernelSymbols::parse(symvers).unwrap();
        assert_eq!((symbols.get(b"printk"), symbols.get(b"x")), (Some(Some(7)), None));
        assert_eq!(symbols.get(b"__this_module"), Some(None));
        let without = KernelSymbols::parse(b"0x00000000\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n").unwrap();
        assert_eq!(without.get(b"printk"), Some(None));
        let symbols = KernelSymbols::new([("a", Some(1)), ("b", None)]);
        assert_eq!(
            (symbols.get(b"a"), symbols.get(b"b"), symbols.get(b"c")),
            (Some(Some(1)), Some(None), None)
        );
        assert_eq!(symbols.get(b"__this_module"), Some(None));
        assert_eq!(KernelSymbols::parse(b"hello\n").unwrap_err(), NoSymbols);
    }
}
