//! Tests of [`super`]: small files made on the spot, and real modules (see their NOTICE).

use super::super::elf::testing;
use super::*;

const GOOD: &[u8] = include_bytes!("../../testdata/modules/good.ko");
const UNSIGNED: &[u8] = include_bytes!("../../testdata/modules/unsigned.ko");
const ARM64: &[u8] = include_bytes!("../../testdata/modules/arm64-crc7.ko");

/// Where the signature of `good.ko` begins.
const CONTENT: usize = 7056;

fn facts(bytes: &[u8]) -> Result<ModuleFacts, ModuleError> {
    ModuleFacts::read(&Content::memory(bytes), "my-module.ko")
}

fn lost(bytes: &[u8]) -> LostSignature {
    match facts(bytes).unwrap().signature {
        SignatureState::Lost(lost) => lost,
        other => panic!("{other:?}"),
    }
}

fn why(bytes: &[u8]) -> String {
    facts(bytes).unwrap_err().to_string()
}

#[test]
fn a_real_module_tells_its_facts() {
    let facts = facts(GOOD).unwrap();
    assert_eq!(facts.name, "my_module");
    assert_eq!(facts.machine, Machine::X86_64);
    assert_eq!(facts.vermagic.as_deref(), Some("6.12.117-talos SMP preempt mod_unload modversions "));
    assert_eq!(facts.release(), Some("6.12.117-talos"));
    assert_eq!(facts.aliases, ["boot-test-alias"]);
    assert_eq!(facts.version.as_deref(), Some("1.0.0"));
    assert_eq!(facts.licenses, ["GPL"]);
    assert!(facts.depends.is_empty() && !facts.in_tree);
    let SignatureState::Signed(trailer) = facts.signature else { panic!("{:?}", facts.signature) };
    assert_eq!(trailer, SignatureTrailer { content_len: CONTENT as u64, signature_len: 698 });
}

#[test]
fn modules_of_another_machine_or_release_say_so() {
    let arm = facts(ARM64).unwrap();
    assert_eq!((arm.machine, arm.release()), (Machine::Aarch64, Some("6.1.0-56-arm64")));
    assert!(arm.in_tree);
    let other = facts(include_bytes!("../../testdata/modules/vermagic.ko")).unwrap();
    assert_eq!(other.release(), Some("6.1.0-other"));
    assert_eq!(facts(&testing::module(8, &[])).unwrap().machine, Machine::Other(8));
}

#[test]
fn modinfo_entries_are_split_as_the_kernel_splits_them() {
    let bytes = testing::module(
        62,
        &[
            "",
            "depends=a,b_c,",
            "alias=x*",
            "aliases=no",
            "alias=y",
            "firmware=f.bin",
            "vermagic=r f",
            "vermagic=second",
            "softdep=pre: p",
            "noequals",
            "name=a-b",
        ],
    );
    let facts = facts(&bytes).unwrap();
    assert_eq!(facts.depends, ["a", "b_c"]);
    assert_eq!(facts.aliases, ["x*", "y"]);
    assert_eq!(facts.firmware, ["f.bin"]);
    assert_eq!(facts.softdeps, ["pre: p"]);
    assert_eq!(facts.release(), Some("r"));
    assert_eq!(facts.name, "a_b");
}

#[test]
fn a_module_without_a_name_is_called_after_its_file() {
    let facts =
        ModuleFacts::read(&Content::memory(testing::module(62, &[])), "extras/snd-hda.x.ko.xz").unwrap();
    assert_eq!(facts.name, "snd_hda");
    assert_eq!(facts.vermagic, None);
    assert_eq!(facts.release(), None);
}

#[test]
fn no_signature_is_found_where_there_is_none() {
    assert_eq!(facts(UNSIGNED).unwrap().signature, SignatureState::Unsigned);
    // `strip` writes the module anew and leaves no trace: byte for byte what never was signed.
    assert_eq!(&GOOD[..CONTENT], UNSIGNED);
    // Padding behind the file is nothing to talk about.
    let padded = [UNSIGNED, &[0; 300]].concat();
    assert_eq!(facts(&padded).unwrap().signature, SignatureState::Unsigned);
}

#[test]
fn a_signature_that_the_kernel_does_not_find_is_lost() {
    assert_eq!(lost(&[GOOD, b"\n"].concat()), LostSignature::NotAtEnd { extra: 1 });
    assert_eq!(lost(&[GOOD, &[0; 4096]].concat()), LostSignature::NotAtEnd { extra: 4096 });
    assert_eq!(lost(&GOOD[..GOOD.len() - 1]), LostSignature::CutOff { left: 737 });
    assert_eq!(lost(&GOOD[..CONTENT + 2]), LostSignature::CutOff { left: 2 });
}

#[test]
fn a_trailer_that_the_kernel_does_not_take_is_lost() {
    let trailer = GOOD.len() - SIGNATURE_MAGIC.len() - TRAILER_LEN;
    let changed = |at: usize, bytes: &[u8]| {
        let mut module = GOOD.to_vec();
        module[trailer + at..trailer + at + bytes.len()].copy_from_slice(bytes);
        lost(&module).to_string()
    };
    assert_eq!(changed(2, &[1]), "the signature's trailer names a kind of signature other than PKCS#7");
    assert_eq!(changed(7, &[1]), "the signature's trailer has fields set that must be 0");
    assert_eq!(changed(8, &[0; 4]), "the signature's trailer says that the signature is empty");
    assert_eq!(
        changed(8, &[0xff; 4]),
        "the signature's trailer says that the signature is longer than the file"
    );
}

#[test]
fn a_signature_that_reaches_into_the_module_leaves_none() {
    let mut bytes = GOOD.to_vec();
    let len = bytes.len() - SIGNATURE_MAGIC.len() - 2;
    bytes[len] += 1; // 256 bytes more
    assert_eq!(why(&bytes), "not a kernel module: the section table lies outside the file");
}

#[test]
fn what_is_no_module_is_refused_with_the_reason() {
    assert_eq!(why(b""), "not a kernel module: the file has 0 bytes, fewer than an ELF header");
    assert_eq!(why(&[b'#'; 64]), "not a kernel module: the file does not begin with the ELF magic");
    let info: (&str, &[u8]) = (".modinfo", b"name=a\0");
    assert_eq!(why(&testing::elf(62, &[])), "not a kernel module: there is no section `.modinfo`");
    assert_eq!(
        why(&testing::elf(62, &[info])),
        "not a kernel module: there is no section `.gnu.linkonce.this_module`"
    );
    let large = vec![0; MODINFO_MAX as usize + 1];
    let large = testing::elf(62, &[(".modinfo", &large), (".gnu.linkonce.this_module", &[0])]);
    assert_eq!(
        why(&large),
        "not a kernel module: section 1 has 1048577 bytes, more than the 1048576 that are read of it"
    );
}

#[test]
fn every_truncation_of_a_module_is_refused() {
    for len in 0..UNSIGNED.len() {
        assert!(matches!(facts(&UNSIGNED[..len]), Err(ModuleError::NotAModule { .. })), "{len}");
    }
}
