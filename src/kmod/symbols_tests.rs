use super::super::elf::testing::{Link, elf, linked};
use super::*;
use crate::base::Content;

const GOOD: &[u8] = include_bytes!("../../testdata/modules/good.ko");

fn symbols(bytes: &[u8]) -> Symbols {
    let mut elf = Elf::open(&Content::memory(bytes), bytes.len() as u64).unwrap();
    Symbols::read(&mut elf).unwrap()
}

#[test]
fn exports_come_from_their_crcs_and_imports_from_the_symbol_table_first() {
    let symbols = symbols(&linked(
        &[],
        &[
            Link::Needs("b", Some(2)),
            Link::Exports("x", 0x1234_5678),
            Link::MayUse("w"),
            Link::Needs("a", None),
        ],
    ));
    let exports: Vec<Exported<'_>> = symbols.exports().collect();
    assert_eq!(exports, [Exported { name: b"x", crc: Some(0x1234_5678) }]);
    let import = |name, crc, weak| Imported { name, crc, weak };
    assert_eq!(
        symbols.imports().collect::<Vec<_>>(),
        [
            import(b"b", Some(2), false),
            import(b"w", None, true),
            import(b"a", None, false),
            import(b"module_layout", Some(7), false),
        ]
    );
}

#[test]
fn without_crcs_the_strings_of_the_exports_count() {
    let symbols = symbols(&elf(62, &[("__ksymtab_strings", b"\0one\0\0two\0")]));
    let names: Vec<&[u8]> = symbols.exports().map(|symbol| symbol.name).collect();
    assert_eq!(names, [&b"one"[..], b"two"]);
    assert_eq!(symbols.imports().count(), 0);
}

#[test]
fn a_real_module_exports_what_its_source_says() {
    let symbols = symbols(GOOD);
    let exports: Vec<Exported<'_>> = symbols.exports().collect();
    assert_eq!(exports.len(), 1);
    assert_eq!(exports[0].name, b"my_module_answer");
    assert!(exports[0].crc.is_some_and(|crc| crc != 0));
    assert!(symbols.imports().any(|symbol| symbol.name == b"_printk" && symbol.crc.is_some()));
}

#[test]
fn sections_with_crcs_that_share_their_bytes_have_one_limit_together() {
    const COUNT: usize = 70;
    const LARGE: usize = 1 << 20;
    let names: Vec<String> = (0..COUNT).map(|number| format!(".a{number}")).collect();
    // One symbol in each of these sections.
    let mut table = vec![0; SYMBOL_LEN];
    for section in 1..=COUNT as u16 {
        let [low, high] = section.to_le_bytes();
        table.extend([1, 0, 0, 0, 0, 0, low, high]);
        table.extend([0; 16]);
    }
    let large = vec![0; LARGE];
    let mut sections: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[1; 4][..])).collect();
    sections.extend([(".symtab", &table[..]), (".strtab", &b"\0__crc_f\0"[..]), (".large", &large[..])]);
    let mut bytes = elf(62, &sections);
    assert_eq!(symbols(&bytes).exports().count(), COUNT);
    let headers = bytes.len() - (COUNT + 5) * 64;
    for header in bytes[headers + 64..].as_chunks_mut::<64>().0.iter_mut().take(COUNT) {
        header[24..32].fill(0);
        header[32..40].copy_from_slice(&(LARGE as u64).to_le_bytes());
    }
    let mut elf = Elf::open(&Content::memory(&bytes[..]), bytes.len() as u64).unwrap();
    let error = Symbols::read(&mut elf).unwrap_err();
    assert!(
        matches!(error, ModuleError::NotAModule { why: NotAModule::SectionTooLarge { .. } }),
        "{error:?}"
    );
}
