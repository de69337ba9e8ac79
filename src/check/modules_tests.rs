//! Tests of [`super`], on real modules (see the NOTICE beside them) and small ones made here; and the
//! test that every rule of the table is found by something.

use super::super::{extension, rules};
use super::*;
use crate::archive::{Entry, Kind};
use crate::kmod::elf::testing;

const FOLDER: &str = "/usr/lib/modules";
const RELEASE: &str = "6.12.117-talos";
const GOOD: &[u8] = include_bytes!("../../testdata/modules/good.ko");
const UNSIGNED: &[u8] = include_bytes!("../../testdata/modules/unsigned.ko");
const VERMAGIC: &[u8] = include_bytes!("../../testdata/modules/vermagic.ko");
const ARM64: &[u8] = include_bytes!("../../testdata/modules/arm64-crc7.ko");
const XZ: &[u8] = include_bytes!("../../testdata/modules/good.crc32-x86.ko.xz");

/// Files by their paths below the directory of modules.
fn modules(files: &[(&str, &[u8])]) -> Vec<ModuleFile> {
    let mut tree = Tree::new();
    for (path, bytes) in files {
        let path = format!("rootfs/usr/lib/modules/{path}");
        tree.insert(&path, Entry::file(0o644, Content::memory(*bytes))).unwrap();
    }
    read_modules(&tree, FOLDER).unwrap()
}

fn good() -> Vec<ModuleFile> {
    modules(&[("6.12.117-talos/extras/my-module.ko", GOOD)])
}

/// The one finding about `file` in the directory of the release.
fn one(rule: impl Fn(&[ModuleFile]) -> Vec<Finding>, file: &str, bytes: &[u8]) -> Finding {
    assert_eq!(rule(&good()), []);
    let mut findings = rule(&modules(&[(&format!("{RELEASE}/{file}"), bytes)]));
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = findings.remove(0);
    assert_eq!(finding.path.as_deref(), Some(format!("rootfs/usr/lib/modules/{RELEASE}/{file}").as_str()));
    finding
}

#[test]
fn modules_are_read_with_the_release_of_their_directory() {
    let files =
        modules(&[("r/kernel/a.ko", GOOD), ("r/modules.dep", b""), ("b.ko", GOOD), ("r/c.ko.xz", XZ)]);
    let told: Vec<_> = files.iter().map(|file| (file_name(&file.path), file.release.as_deref())).collect();
    assert_eq!(told, [("b.ko", None), ("c.ko.xz", Some("r")), ("a.ko", Some("r"))]);
    assert_eq!(files[1].form, Form::Compressed(Compression::Xz));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_no_finding() {
    let mut tree = Tree::new();
    let gone = Content::file("/nonexistent/a.ko", 100);
    tree.insert("rootfs/usr/lib/modules/r/a.ko", Entry::file(0o644, gone)).unwrap();
    let error = read_modules(&tree, FOLDER).unwrap_err();
    assert_eq!(error.to_string(), "`rootfs/usr/lib/modules/r/a.ko` cannot be read");
}

#[test]
fn a_file_that_is_no_module_is_found() {
    let finding = one(invalid, "a.ko", b"#!/bin/sh");
    assert_eq!(finding.code, Code::ModuleInvalid);
    assert_eq!(finding.message, "module `a.ko` is none: the file has 9 bytes, fewer than an ELF header");
}

#[test]
fn a_module_for_another_machine_is_found() {
    let finding = one(|modules| machine(modules, Machine::X86_64), "crc7.ko", ARM64);
    assert_eq!(finding.code, Code::ModuleMachine);
    assert_eq!((finding.expected.as_deref(), finding.found.as_deref()), (Some("amd64"), Some("arm64")));
}

#[test]
fn a_compressed_module_is_found_whatever_its_name() {
    assert_eq!(one(compressed, "a.ko.xz", XZ).message, "module `a.ko.xz` is compressed with xz");
    assert_eq!(one(compressed, "a.ko", XZ).code, Code::ModuleCompressed);
}

#[test]
fn modules_for_several_releases_are_found() {
    assert_eq!(several_releases(&good()), []);
    let findings = several_releases(&modules(&[("r1/a.ko", GOOD), ("r1/b.ko", GOOD), ("r2/a.ko", GOOD)]));
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].code, findings[0].found.as_deref()), (Code::ModuleReleases, Some("`r1`, `r2`")));
}

#[test]
fn a_module_built_for_another_release_is_found() {
    let finding = one(vermagic, "a.ko", VERMAGIC);
    assert_eq!(finding.code, Code::ModuleVermagic);
    assert_eq!(finding.severity, Severity::Warning, "it has symbol versions, so its release is not compared");
    assert_eq!((finding.expected.as_deref(), finding.found.as_deref()), (Some(RELEASE), Some("6.1.0-other")));
    let plain = testing::module(62, &["vermagic=6.1.0-other SMP mod_unload "]);
    assert_eq!(one(vermagic, "a.ko", &plain).severity, Severity::Error);
    assert_eq!(one(vermagic, "a.ko", &testing::module(62, &[])).found.as_deref(), Some("no vermagic"));
}

#[test]
fn a_module_without_a_signature_is_found_and_its_company_is_looked_at() {
    let finding = one(unsigned, "a.ko", UNSIGNED);
    assert_eq!((finding.code, finding.severity), (Code::ModuleUnsigned, Severity::Warning));
    assert!(finding.hint.unwrap().starts_with("build kernel and module together"));
    let beside = modules(&[("r/a.ko", UNSIGNED), ("r/b.ko", GOOD), ("q/c.ko", GOOD)]);
    let hint = unsigned(&beside).remove(0).hint.unwrap();
    assert_eq!(hint, "other modules for `r` are signed: was this one stripped after it was signed?");
}

#[test]
fn a_module_whose_signature_was_damaged_is_found() {
    let finding = one(signature_lost, "a.ko", &[GOOD, b"\n"].concat());
    assert_eq!((finding.code, finding.severity), (Code::ModuleSignatureLost, Severity::Warning));
    assert_eq!(
        finding.message,
        "module `a.ko` has lost its signature: the signature's mark must end the file; bytes behind it: 1"
    );
}

#[test]
fn a_module_outside_the_directories_of_releases_is_found() {
    assert_eq!(misplaced(&good(), FOLDER), []);
    let findings = misplaced(&modules(&[("a.ko", GOOD)]), FOLDER);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].code, Code::ModuleMisplaced);
    assert_eq!(findings[0].message, "module `a.ko` does not lie in `/usr/lib/modules/<release>/`");
}

/// Everything that is wrong at once.
fn bad() -> Tree {
    let mut tree = Tree::new();
    let file = |mode, bytes: &[u8]| Entry::file(mode, Content::memory(bytes));
    for (path, entry) in [
        ("README", file(0o644, b"")),
        ("rootfs/a", file(0o4777, b"")),
        ("rootfs/A", Entry::new(0o644, Kind::Fifo)),
        ("rootfs/out", Entry::symlink("../x")),
        ("rootfs/gone", Entry::symlink("x")),
        ("rootfs/hard", Entry::new(0o644, Kind::HardLink("rootfs/a".to_owned()))),
        ("rootfs/misplaced.ko", file(0o644, GOOD)),
        ("rootfs/usr/lib/modules/r/invalid.ko", file(0o644, b"")),
        ("rootfs/usr/lib/modules/r/machine.ko", file(0o644, ARM64)),
        ("rootfs/usr/lib/modules/r/packed.ko", file(0o644, XZ)),
        ("rootfs/usr/lib/modules/r/unsigned.ko", file(0o644, UNSIGNED)),
        ("rootfs/usr/lib/modules/r2/lost.ko", file(0o644, &GOOD[..GOOD.len() - 1])),
    ] {
        tree.insert(path, entry).unwrap();
    }
    tree
}

#[test]
fn every_rule_of_the_table_finds_something_or_is_plugged_in_elsewhere() {
    let plugged_in_elsewhere = [
        // Those of `super::depmod`, with their tests there.
        Code::ModuleLoop,
        Code::ModuleSymbol,
        Code::ModuleSymbolVersion,
        Code::ModuleDependency,
        Code::ModuleBuiltIn,
        Code::ModuleHidden,
        Code::ModuleNotIndexed,
        // Those of `super::judge`, with their tests there.
        Code::ManifestInvalid,
        Code::ManifestVersion,
        Code::ConstraintInvalid,
        Code::ConstraintExcludes,
        Code::ManifestName,
        Code::ManifestUnknownKey,
        Code::ManifestVersionShape,
        Code::ServiceInvalid,
        Code::ServiceUnknownKey,
        // Those of `super::kernel`, with their tests there and in tests/module_checks.rs.
        Code::LayerList,
        Code::ModuleNotFound,
        Code::ModuleKey,
        Code::ModuleSignature,
        Code::ModuleSignatureUnknown,
        Code::VersionMagic,
        Code::SoftDependency,
        Code::FirmwareMissing,
        Code::NotEnforced,
        // Those of `super::installer`, with their tests there.
        Code::BaseKind,
        Code::ImagerVersion,
        Code::ExtensionTwice,
        Code::PathInTwoExtensions,
        Code::ModulesOfAnotherRelease,
        Code::ExtensionOrder,
        Code::CodecNotInKernel,
    ];
    let tree = bad();
    let mut empty = Tree::new();
    empty.insert("rootfs", Entry::directory()).unwrap();
    let modules = read_modules(&tree, FOLDER).unwrap();
    let findings = [
        extension::unexpected_entries(&tree),
        extension::manifest_missing(&tree),
        extension::no_rootfs(&Tree::new()),
        extension::empty_rootfs(&empty),
        extension::paths_not_allowed(&tree, &["/usr/local"]),
        extension::world_writable(&tree),
        extension::set_ids(&tree),
        extension::special_files(&tree),
        extension::hard_links(&tree),
        extension::paths_twice(&["rootfs/a".to_owned()]),
        extension::case_collisions(&tree),
        extension::symlinks_leaving(&tree),
        extension::symlinks_dangling(&tree),
        invalid(&modules),
        machine(&modules, Machine::X86_64),
        compressed(&modules),
        several_releases(&modules),
        vermagic(&modules),
        unsigned(&modules),
        signature_lost(&modules),
        misplaced(&modules, FOLDER),
    ];
    let found: BTreeSet<Code> = findings.iter().flatten().map(|finding| finding.code).collect();
    for rule in rules::rules() {
        let elsewhere = plugged_in_elsewhere.contains(&rule.code);
        assert!(found.contains(&rule.code) != elsewhere, "{} {}", rule.code, rule.name);
    }
}
