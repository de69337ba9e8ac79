#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const GOOD: &[u8] = include_bytes!("../../../testdata/modules/good.ko");
const PACKED: &[u8] = include_bytes!("../../../testdata/modules/good.crc32-x86.ko.xz");
const LABEL: &str = "security.selinux";

fn file(bytes: &[u8]) -> Entry {
    Entry::file(0o644, Content::memory(bytes))
}

/// A stock root file system with these files below its release's folder, all with a label and a time.
fn stock(paths: &[&str]) -> Tree {
    let mut tree = Tree::new();
    for path in paths {
        tree.insert(&format!("usr/lib/modules/1.0-stock/{path}"), file(b"")).unwrap();
    }
    let all: Vec<String> = tree.iter().map(|(path, _)| path.to_owned()).collect();
    for path in all {
        let entry = tree.get_mut(&path).unwrap();
        entry.mtime = 77;
        entry.xattrs.insert(LABEL.to_owned(), b"system_u:object_r:module_t:s0\0".to_vec());
    }
    tree
}

/// A kernel image with these files below its release's folder.
fn kernel(files: &[(&str, &[u8])]) -> Tree {
    let mut tree = Tree::new();
    tree.insert("boot/vmlinuz", file(b"")).unwrap();
    for (path, bytes) in files {
        tree.insert(&format!("usr/lib/modules/2.0-mine/{path}"), file(bytes)).unwrap();
    }
    tree
}

fn run(stock: &Tree, kernel: &Tree, allow_missing: bool) -> Result<Exchanged, ModulesError> {
    let files = KernelFiles::of(kernel).unwrap();
    let workers = Workers::new(1);
    let input = Input { stock, kernel: &files, symbols: None, allow_missing, workers: &workers };
    exchange(&input, &mut |content| {
        let mut bytes = Vec::new();
        crate::kmod::unpack(content, &mut bytes)?;
        Ok(Content::memory(bytes))
    })
}

const LISTS: [(&str, &[u8]); 3] = [
    ("modules.order", b"kernel/a/my-module.ko\n"),
    ("modules.builtin", b"kernel/b/built-in.ko\n"),
    ("modules.builtin.modinfo", b"built_in.alias=x\0"),
];
const STOCK: [&str; 6] = [
    "kernel/a/my-module.ko",
    "modules.order",
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.dep",
    "modules.dep.bin",
];

#[test]
fn the_stock_paths_are_taken_of_the_kernel_with_the_stock_attributes() {
    let more: [(&str, &[u8]); 2] = [("kernel/a/my-module.ko.xz", PACKED), ("kernel/a/other.ko", GOOD)];
    let made = run(&stock(&STOCK), &kernel(&[&LISTS[..], &more].concat()), false).unwrap();
    assert_eq!((made.folder, made.stock_release.as_str(), made.modules), ("usr/lib/modules", "1.0-stock", 1));
    assert_eq!((made.symbols, made.issues.len()), (SymbolList::None, 0));
    let base = "usr/lib/modules/2.0-mine";
    let paths: Vec<&str> = made.tree.below(base).map(|(path, _)| &path[base.len()..]).collect();
    let wanted =
        ["", "/kernel", "/kernel/a", "/kernel/a/my-module.ko", "/modules.alias", "/modules.alias.bin"];
    assert_eq!(paths[..6], wanted);
    assert_eq!(paths.len(), 4 + FILES.len() + 3);
    let get = |path: &str| made.tree.get(&format!("{base}/{path}")).unwrap();
    let module = get("kernel/a/my-module.ko");
    assert!(module.content().unwrap().read(1 << 20).unwrap() == GOOD);
    assert_eq!((module.mode, get("modules.order").mode, get("modules.alias").mode), (0o755, 0o755, 0o644));
    let text = String::from_utf8(get("modules.dep").content().unwrap().read(99).unwrap()).unwrap();
    assert_eq!(text, "kernel/a/my-module.ko:\n");
    for (path, entry) in made.tree.below("usr/lib/modules") {
        assert_eq!(entry.mtime, 77, "{path}");
        assert_eq!(entry.xattrs[LABEL], b"system_u:object_r:module_t:s0\0", "{path}");
    }
}

#[test]
fn modules_that_the_kernel_lacks_are_told_apart_from_those_that_it_has_built_in() {
    let paths = [&STOCK[..], &["kernel/b/built-in.ko", "kernel/c/gone.ko", "kernel/d/moved_on.ko"]].concat();
    let more: [(&str, &[u8]); 2] = [("kernel/a/my-module.ko", GOOD), ("kernel/e/moved-on.ko", GOOD)];
    let kernel = kernel(&[&LISTS[..], &more].concat());
    let error = run(&stock(&paths), &kernel, false).unwrap_err();
    let ModulesError::Missing { missing, .. } = &error else { panic!("{error}") };
    let moved = Some("kernel/e/moved-on.ko".to_owned());
    assert_eq!(missing[..], [("kernel/c/gone.ko".into(), None), ("kernel/d/moved_on.ko".into(), moved)]);
    assert_eq!(error.to_string(), "kernel `2.0-mine` lacks 2 of the stock imager's modules");
    let made = run(&stock(&paths), &kernel, true).unwrap();
    assert_eq!(made.built_in, ["kernel/b/built-in.ko"]);
    assert_eq!(made.missing, ["kernel/c/gone.ko", "kernel/d/moved_on.ko"]);
    assert!(made.tree.get("usr/lib/modules/2.0-mine/kernel/c").is_none());
}

#[test]
fn symbols_are_judged_where_the_list_has_any() {
    let with = |name: &str, bytes: &[u8]| {
        let mut tree = kernel(&[&LISTS[..], &[("kernel/a/my-module.ko", GOOD)]].concat());
        tree.insert(&format!("boot/{name}"), file(bytes)).unwrap();
        run(&stock(&STOCK), &tree, false).unwrap()
    };
    let stub = with("System.map", b"ffffffffffffffff B The real System.map is in the -dbg package\n");
    assert_eq!((stub.symbols, stub.issues.len()), (SymbolList::Stub("boot/System.map".into()), 0));
    let real = with("System.map", b"ffffffff82000000 r __ksymtab_nothing_of_use\n");
    assert_eq!(real.symbols, SymbolList::Real("boot/System.map".into()));
    assert!(matches!(&real.issues[..], [Issue::Unresolved { path, .. }] if path == "kernel/a/my-module.ko"));
}

#[test]
fn a_stock_image_without_one_release_and_a_kernel_without_its_lists_are_errors() {
    let whole = kernel(&[&LISTS[..], &[("kernel/a/my-module.ko", GOOD)]].concat());
    assert!(matches!(run(&Tree::new(), &whole, false), Err(ModulesError::NoRelease)));
    let mut two = stock(&STOCK);
    two.insert("usr/lib/modules/1.1/x", file(b"")).unwrap();
    assert!(matches!(run(&two, &whole, false), Err(ModulesError::SeveralReleases(two)) if two.len() == 2));
    let without = kernel(&[("kernel/a/my-module.ko", GOOD)]);
    let error = run(&stock(&STOCK), &without, true).unwrap_err();
    assert!(matches!(error, ModulesError::NoList { name, .. } if name == "modules.builtin"));
}
