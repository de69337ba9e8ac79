//! A module without what no index needs: code, data and relocations, most of its bytes. What is left has the
//! same name, symbols, versions and `.modinfo`, so that `depmod` makes the same index of it; no kernel loads
//! it. For folders of modules that are kept to be indexed again and again.

use super::elf::{Elf, Section};
use crate::base::Content;

/// What the names of sections begin with that are left out. CRCs of symbols lie in `__kcrctab*`, with some
/// kernels in `.rodata`, so that stays.
const LEFT_OUT: [&[u8]; 9] =
    [b".text", b".rela", b".init", b".exit", b".data", b".debug", b".orc_unwind", b".BTF", b".altinstr"];
/// Sections begin at multiples of this, as the largest of their types wants it.
const ALIGNMENT: usize = 8;
/// `sh_type` of a section without bytes in the file.
const SHT_NOBITS: u32 = 8;

/// The module without those sections. Bytes that are no module come back as they are: what is wrong with
/// them is for others to say. So do those of which less would be more, since their sections share bytes.
pub fn abridge(bytes: Vec<u8>) -> Vec<u8> {
    abridged(&bytes).unwrap_or(bytes)
}

fn abridged(bytes: &[u8]) -> Option<Vec<u8>> {
    let content = Content::memory(bytes);
    let elf = Elf::open(&content, content.len()).ok()?;
    let table = usize::try_from(u64::from_le_bytes(*bytes.get(40..48)?.first_chunk()?)).ok()?;
    let mut headers = bytes.get(table..)?.get(..elf.sections().len() * 64)?.to_vec();
    let mut out = bytes.get(..64)?.to_vec();
    for (section, header) in elf.sections().iter().zip(headers.as_chunks_mut::<64>().0) {
        if !section.has_bytes() {
            continue;
        }
        if is_left_out(&elf, section) {
            header[4..8].copy_from_slice(&SHT_NOBITS.to_le_bytes());
            continue;
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        if out.len() as u64 + section.size > bytes.len() as u64 + section.index as u64 * ALIGNMENT as u64 {
            return None;
        }
        header[24..32].copy_from_slice(&(out.len() as u64).to_le_bytes());
        let from = usize::try_from(section.offset).ok()?;
        out.extend_from_slice(bytes.get(from..)?.get(..usize::try_from(section.size).ok()?)?);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    let table = (out.len() as u64).to_le_bytes();
    out.get_mut(40..48)?.copy_from_slice(&table);
    out.append(&mut headers);
    Some(out)
}

fn is_left_out(elf: &Elf, section: &Section) -> bool {
    LEFT_OUT.iter().any(|name| elf.name(section).starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmod::Symbols;
    use crate::kmod::elf::testing::{Link, elf, linked};

    #[test]
    fn symbols_and_versions_stay() {
        let links = [Link::Exports("f", 1), Link::Needs("g", Some(2)), Link::MayUse("h")];
        let whole = linked(&["name=a"], &links);
        let read = |bytes: Vec<u8>| {
            let content = Content::memory(bytes);
            let mut elf = Elf::open(&content, content.len()).unwrap();
            let info = elf.section(".modinfo").unwrap();
            let info = elf.read(&info, 1 << 20).unwrap();
            format!("{info:?} {:?}", Symbols::read(&mut elf).unwrap())
        };
        assert_eq!(read(abridge(whole.clone())), read(whole));
    }

    #[test]
    fn code_goes_and_what_is_no_module_stays() {
        let whole = elf(62, &[(".text", &[1; 5000]), (".modinfo", b"name=a\0"), (".rela.text", &[2; 700])]);
        let short = abridge(whole.clone());
        assert!(short.len() < whole.len() - 5600, "{} of {}", short.len(), whole.len());
        let content = Content::memory(&short[..]);
        let mut elf = Elf::open(&content, content.len()).unwrap();
        let info = elf.section(".modinfo").unwrap();
        assert_eq!(elf.read(&info, 100).unwrap(), b"name=a\0");
        assert!(elf.section(".text").is_none());
        assert_eq!(abridge(short.clone()), short);
        for bytes in [b"no module".to_vec(), whole[..whole.len() - 1].to_vec(), Vec::new()] {
            assert_eq!(abridge(bytes.clone()), bytes);
        }
    }

    #[test]
    fn sections_that_share_their_bytes_are_not_copied_out_again_and_again() {
        let names: Vec<String> = (0..200).map(|number| format!(".a{number}")).collect();
        let sections: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[7; 64][..])).collect();
        let mut bytes = elf(62, &sections);
        assert!(abridge(bytes.clone()).len() <= bytes.len() + 200 * ALIGNMENT);
        let (len, table) = (bytes.len() as u64, bytes.len() - 202 * 64); // with the first and that of the names
        for header in bytes[table + 64..].as_chunks_mut::<64>().0.iter_mut().take(200) {
            header[24..32].fill(0);
            header[32..40].copy_from_slice(&len.to_le_bytes());
        }
        assert!(Elf::open(&Content::memory(&bytes[..]), len).is_ok());
        assert!(abridge(bytes.clone()) == bytes);
    }
}
