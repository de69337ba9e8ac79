use super::*;
use crate::archive::{Entry, Tree};
use crate::base::{Content, Workers};
use crate::kmod::elf::testing::{Link, linked};

const A: Link<'_> = Link::Exports("a", 1);
const B: Link<'_> = Link::Exports("b", 2);

fn tree(files: &[(&str, Vec<u8>)]) -> Tree {
    let mut tree = Tree::new();
    for (path, bytes) in files {
        tree.insert(path, Entry::file(0o644, Content::memory(bytes.as_slice()))).unwrap();
    }
    tree
}

fn indexed(files: &[(&str, Vec<u8>)], kernel: Option<&KernelSymbols>) -> Depmod {
    let workers = Workers::new(2);
    depmod(&tree(files), &Options { search: Search::talos(), kernel, of_kernel: None, workers: &workers })
        .unwrap()
}

fn file<'a>(depmod: &'a Depmod, name: &str) -> &'a str {
    let (_, bytes) = depmod.files.iter().find(|(file, _)| *file == name).unwrap();
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_text_file_holds_what_the_modules_say_in_their_order() {
    let info = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>();
    let module = |info: Vec<String>, links: &[Link<'_>]| {
        linked(&info.iter().map(String::as_str).collect::<Vec<_>>(), links)
    };
    let depmod = indexed(
        &[
            ("kernel/a.ko", module(info(&["alias=x-1", "softdep=pre: b", "alias=y[-]"]), &[A])),
            ("kernel/b-c.ko", module(info(&["weakdep=z"]), &[B, Link::Needs("a", Some(1))])),
            (
                "kernel/d.ko",
                module(
                    info(&["alias=devname:fuse", "alias=char-major-10-229"]),
                    &[Link::Needs("b", None), Link::MayUse("none")],
                ),
            ),
            ("modules.order", b"kernel/d.ko\nkernel/b-c.ko\nkernel/a.ko\n".to_vec()),
            ("modules.builtin", b"kernel/x/in-side.ko\n".to_vec()),
        ],
        None,
    );
    assert_eq!(depmod.issues, []);
    assert_eq!(depmod.modules, 3);
    let names: Vec<&str> = depmod.files.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, FILES);
    assert_eq!(
        file(&depmod, "modules.dep"),
        "kernel/d.ko: kernel/b-c.ko kernel/a.ko\nkernel/b-c.ko: kernel/a.ko\nkernel/a.ko:\n"
    );
    assert_eq!(
        file(&depmod, "modules.alias").lines().skip(1).collect::<Vec<_>>(),
        ["alias devname:fuse d", "alias char-major-10-229 d", "alias x-1 a", "alias y[-] a"]
    );
    assert!(file(&depmod, "modules.softdep").ends_with("\nsoftdep a pre: b\n"));
    assert!(file(&depmod, "modules.weakdep").ends_with("\nweakdep b_c z\n"));
    assert!(file(&depmod, "modules.symbols").contains("\nalias symbol:b b_c\n"));
    assert!(file(&depmod, "modules.devname").ends_with("loading.\nd fuse c10:229\n"));
    let bytes = |name| &depmod.files.iter().find(|(file, _)| *file == name).unwrap().1;
    assert!(bytes("modules.builtin.bin").windows(7).any(|window| window == b"n_side\0"));
    assert_eq!(bytes("modules.builtin.alias.bin").len(), 0, "there is no modules.builtin.modinfo");
}

#[test]
fn a_loop_is_named_and_no_file_is_made() {
    // The case `detect-loop` of kmod's test suite, smaller.
    let depmod = indexed(
        &[
            ("kernel/mod-loop-a.ko", linked(&[], &[A, Link::Needs("b", None)])),
            ("kernel/mod-loop-b.ko", linked(&[], &[B, Link::Needs("a", None)])),
        ],
        None,
    );
    assert!(depmod.files.is_empty());
    let paths = match depmod.issues.as_slice() {
        [Issue::Loop { paths }] => paths.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(paths.len(), 2);
}

#[test]
fn a_symbol_that_only_a_hidden_module_exports_is_missing_and_its_owner_named() {
    let files = [
        ("extras/x.ko", linked(&[], &[B])),
        ("kernel/x.ko", linked(&[], &[A, B])),
        ("kernel/y.ko", linked(&["depends=x,z"], &[Link::Needs("a", None), Link::Needs("printk", None)])),
        ("modules.builtin", b"kernel/y.ko\n".to_vec()),
    ];
    let missing = |symbols: &[(&str, Option<&str>)]| Issue::Unresolved {
        path: "kernel/y.ko".to_owned(),
        symbols: symbols.iter().map(|(name, by)| ((*name).to_owned(), by.map(str::to_owned))).collect(),
    };
    let without = indexed(&files, None).issues;
    assert!(without.contains(&missing(&[("a", Some("kernel/x.ko"))])), "{without:?}");
    let hidden = Issue::Hidden { path: "kernel/x.ko".into(), by: "extras/x.ko".into(), by_order: true };
    assert!(without.contains(&hidden), "{without:?}");
    assert!(without.contains(&Issue::BuiltIn { path: "kernel/y.ko".into() }), "{without:?}");
    assert!(without.contains(&Issue::NoDependency { path: "kernel/y.ko".into(), needs: "z".into() }));
    let kernel = KernelSymbols::parse(b"0x7 module_layout vmlinux EXPORT_SYMBOL\n").unwrap();
    let with = indexed(&files, Some(&kernel)).issues;
    assert!(with.contains(&missing(&[("a", Some("kernel/x.ko")), ("printk", None)])), "{with:?}");
}

#[test]
fn what_the_kernels_own_modules_were_built_for_is_what_it_exports() {
    let files = [
        ("extras/mine.ko", linked(&[], &[Link::Needs("printk", Some(9))])),
        ("kernel/a.ko", linked(&[], &[Link::Needs("printk", Some(7))])),
    ];
    let workers = Workers::new(1);
    let options = |kernel| Options {
        search: Search::talos(),
        kernel,
        of_kernel: Some(OfKernel(&|path| path.starts_with("kernel/"))),
        workers: &workers,
    };
    let told = |wanted, exported| Issue::Version {
        path: "extras/mine.ko".to_owned(),
        symbol: "printk".to_owned(),
        exporter: None,
        wanted,
        exported,
    };
    assert_eq!(depmod(&tree(&files), &options(None)).unwrap().issues, [told(9, 7)]);
    // What the kernel itself says is better.
    let kernel = KernelSymbols::parse(b"0x9 printk vmlinux EXPORT_SYMBOL\n").unwrap();
    let issues = depmod(&tree(&files), &options(Some(&kernel))).unwrap().issues;
    assert!(!issues.contains(&told(9, 7)), "{issues:?}");
    assert_eq!(indexed(&files, None).issues, [], "of nobody's modules nothing is known");
}

#[test]
fn a_module_built_for_another_version_of_a_symbol_is_told() {
    let files =
        [("kernel/a.ko", linked(&[], &[A])), ("kernel/b.ko", linked(&[], &[Link::Needs("a", Some(9))]))];
    let kernel = KernelSymbols::parse(b"0x8 module_layout vmlinux EXPORT_SYMBOL\n").unwrap();
    let version = |path: &str, symbol: &str, exporter: Option<&str>, wanted, exported| Issue::Version {
        path: path.to_owned(),
        symbol: symbol.to_owned(),
        exporter: exporter.map(str::to_owned),
        wanted,
        exported,
    };
    assert_eq!(
        indexed(&files, Some(&kernel)).issues,
        [
            version("kernel/a.ko", "module_layout", None, 7, 8),
            version("kernel/b.ko", "a", Some("kernel/a.ko"), 9, 1),
            version("kernel/b.ko", "module_layout", None, 7, 8),
        ]
    );
}

#[test]
fn what_is_no_module_stands_in_the_index_alone_and_is_told() {
    let depmod = indexed(&[("kernel/a.ko", b"#!/bin/sh".to_vec())], None);
    assert_eq!(file(&depmod, "modules.dep"), "kernel/a.ko:\n");
    assert!(matches!(depmod.issues.as_slice(), [Issue::NoModule { .. }]), "{:?}", depmod.issues);
}

#[test]
fn compressed_modules_count_like_plain_ones_and_keep_their_names() {
    let plain = linked(&["alias=q"], &[A]);
    let packed = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let depmod = indexed(
        &[
            ("kernel/a.ko.zst", packed),
            ("kernel/b.ko", linked(&[], &[Link::Needs("a", None)])),
            ("modules.order", b"kernel/b.ko\nkernel/a.ko\n".to_vec()),
        ],
        None,
    );
    assert_eq!(file(&depmod, "modules.dep"), "kernel/b.ko: kernel/a.ko.zst\nkernel/a.ko.zst:\n");
    assert!(file(&depmod, "modules.alias").ends_with("\nalias q a\n"));
}

#[test]
fn the_files_are_the_same_whatever_the_number_of_threads() {
    let files: Vec<(String, Vec<u8>)> = (0..40)
        .map(|number| {
            let (own, needed) = (format!("s{number}"), format!("s{}", number + 1));
            let links = [Link::Exports(&own, number), Link::Needs(&needed, None)];
            (format!("extras/m{number}.ko"), linked(&[&format!("alias=al-{number}")], &links))
        })
        .collect();
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let tree = tree(&files);
    let run = |jobs| {
        let workers = Workers::new(jobs);
        depmod(&tree, &Options { search: Search::talos(), kernel: None, of_kernel: None, workers: &workers })
            .unwrap()
            .files
    };
    assert_eq!(run(1), run(5));
    assert!(run(2).iter().any(|(name, bytes)| *name == "modules.dep" && bytes.len() > 10_000));
}
