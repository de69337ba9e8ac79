use super::*;
use crate::base::chain;

const GOOD: &[u8] = include_bytes!("../../testdata/modules/good.ko");
const RELEASE: &str = "6.12.117-talos";

fn tree(files: &[(&str, &[u8])]) -> Tree {
    let mut tree = Tree::new();
    for (path, bytes) in files {
        tree.insert(path, Entry::file(0o600, Content::memory(*bytes))).unwrap();
    }
    tree
}

fn base() -> Tree {
    let folder = format!("usr/lib/modules/{RELEASE}");
    tree(&[
        (&format!("{folder}/kernel/old.ko"), b"none"),
        (&format!("{folder}/kernel/my-module.ko"), GOOD),
        (&format!("{folder}/modules.order"), b"kernel/old.ko\nkernel/my-module.ko\n"),
        (&format!("{folder}/modules.builtin"), b"kernel/drivers/x.ko\n"),
        (&format!("{folder}/modules.dep"), b"stale"),
        ("usr/bin/init", b""),
    ])
}

fn made(base: &Tree, extensions: &[(&str, &Tree)]) -> Result<ModulesDep, ModulesDepError> {
    let (talos, workers) = (Version::NEWEST, Workers::new(1));
    modules_dep(&Input { base, extensions, talos: &talos, kernel: None, workers: &workers })
}

#[test]
fn the_extensions_module_is_in_the_index_of_the_bases_release_and_hides_the_kernels() {
    let extension = tree(&[(&format!("usr/lib/modules/{RELEASE}/extras/my-module.ko"), GOOD)]);
    let other = tree(&[("usr/local/etc/x", b"")]);
    let made = made(&base(), &[("acme", &extension), ("other", &other)]).unwrap();
    let names: Vec<&str> = made.rootfs.iter().map(|(path, _)| path).collect();
    let folder = format!("usr/lib/modules/{RELEASE}");
    assert!(
        names.iter().all(|name| folder.starts_with(name) || name.starts_with(&format!("{folder}/modules.")))
    );
    assert_eq!(names.len(), 4 + 11 + 2, "{names:?}");
    let entry = made.rootfs.get(&format!("{folder}/modules.dep")).unwrap();
    assert_eq!(entry.mode, 0o644);
    assert_eq!(entry.content().unwrap().read(99).unwrap(), b"kernel/old.ko:\nextras/my-module.ko:\n");
    let manifest = &made.manifest;
    assert_eq!(
        (manifest.name.as_str(), manifest.version.as_str(), manifest.author.as_str()),
        ("modules.dep", RELEASE, "Talos Machinery")
    );
    assert_eq!(manifest.description, "Combined modules.dep for all extensions");
    assert!(made.issues.iter().any(|issue| matches!(issue, Issue::Hidden { by_order: true, .. })));
}

#[test]
fn a_base_must_have_the_modules_of_exactly_one_kernel() {
    let error = made(&tree(&[("usr/bin/x", b"")]), &[]).unwrap_err();
    assert_eq!(error.to_string(), "there is no folder of a kernel release in `/usr/lib/modules` of the base");
    let mut two = base();
    two.insert("usr/lib/modules/6.6.1-talos", Entry::directory()).unwrap();
    let error = made(&two, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the base has modules for 2 kernel releases: `6.12.117-talos`, `6.6.1-talos`"
    );
}

#[test]
fn an_extension_for_another_kernel_only_is_named_with_where_the_kernel_looks() {
    let both = tree(&[
        (&format!("usr/lib/modules/{RELEASE}/extras/a.ko"), GOOD),
        ("usr/lib/modules/6.6.1-talos/extras/a.ko", GOOD),
    ]);
    assert!(made(&base(), &[("both", &both)]).is_ok());
    let foreign = tree(&[("usr/lib/modules/6.6.1-talos/extras/a.ko", GOOD)]);
    let error = made(&base(), &[("both", &both), ("acme", &foreign)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "extension `acme` has modules for `6.6.1-talos`, and the kernel `6.12.117-talos` looks only in \
         `/usr/lib/modules/6.12.117-talos`"
    );
}

#[test]
fn a_folder_where_the_base_has_a_file_takes_its_place() {
    let extension = tree(&[(&format!("usr/lib/modules/{RELEASE}/kernel/old.ko/x.ko"), GOOD)]);
    let result = made(&base(), &[("acme", &extension)]);
    let made = result.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert!(!made.issues.iter().any(|issue| issue.path() == "kernel/old.ko"));
}

#[test]
fn it_is_needed_where_an_extension_has_modules() {
    let (with, without) = (base(), tree(&[("usr/bin/x", b"")]));
    assert!(is_needed(&[("a", &without), ("b", &with)], &Version::NEWEST));
    assert!(!is_needed(&[("a", &without)], &Version::NEWEST));
}
