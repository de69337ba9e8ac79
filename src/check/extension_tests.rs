//! Tests of [`super`]: each rule has a tree that fails it, and passes the good one.

use super::*;
use crate::base::Content;

const ALLOWED: &[&str] = &["/usr/local", "/usr/lib/modules", "/usr/lib/ld-linux-x86-64.so.2"];

fn file(mode: u32) -> Entry {
    Entry::file(mode, Content::memory(*b"x"))
}

/// An extension that no rule finds anything in.
fn good() -> Tree {
    let mut tree = Tree::new();
    for (path, entry) in [
        ("manifest.yaml", file(0o644)),
        ("rootfs/usr/local/bin/tool", file(0o755)),
        ("rootfs/usr/local/bin/relative", Entry::symlink("../bin/tool")),
        ("rootfs/usr/local/bin/absolute", Entry::symlink("/usr/local/bin/relative")),
        ("rootfs/usr/local/sbin", Entry::symlink("bin")),
        ("rootfs/usr/local/through", Entry::symlink("sbin/tool")),
    ] {
        tree.insert(path, entry).unwrap();
    }
    tree
}

fn with(entries: Vec<(&str, Entry)>) -> Tree {
    let mut tree = good();
    for (path, entry) in entries {
        tree.replace(path, entry).unwrap();
    }
    tree
}

/// The codes and paths that `rule` finds; nothing in the good tree.
fn found(rule: impl Fn(&Tree) -> Vec<Finding>, tree: &Tree) -> Vec<(Code, String)> {
    assert_eq!(rule(&good()), []);
    rule(tree).into_iter().map(|finding| (finding.code, finding.path.unwrap())).collect()
}

fn at(code: Code, paths: &[&str]) -> Vec<(Code, String)> {
    paths.iter().map(|path| (code, (*path).to_owned())).collect()
}

#[test]
fn other_entries_at_the_top_level_are_found() {
    let tree = with(vec![("usr/lib/x", file(0o644)), ("README", file(0o644))]);
    assert_eq!(found(unexpected_entries, &tree), at(Code::UnexpectedEntry, &["README", "usr"]));
}

#[test]
fn a_manifest_that_is_missing_or_no_file_is_found() {
    assert_eq!(found(manifest_missing, &Tree::new()), at(Code::ManifestMissing, &["manifest.yaml"]));
    let tree = with(vec![("manifest.yaml", Entry::symlink("rootfs/x"))]);
    assert_eq!(manifest_missing(&tree)[0].found.as_deref(), Some("symlink"));
}

#[test]
fn a_root_that_is_missing_or_no_directory_is_found() {
    assert_eq!(found(no_rootfs, &Tree::new()), at(Code::NoRootfs, &["rootfs"]));
    assert_eq!(found(no_rootfs, &with(vec![("rootfs", file(0o644))])), at(Code::NoRootfs, &["rootfs"]));
}

#[test]
fn a_root_without_files_is_found() {
    let mut tree = Tree::new();
    tree.insert("rootfs/usr/local", Entry::directory()).unwrap();
    assert_eq!(found(empty_rootfs, &tree), at(Code::EmptyRootfs, &["rootfs"]));
    assert_eq!(empty_rootfs(&Tree::new()), [], "that is the finding of another rule");
}

#[test]
fn files_outside_the_allowed_paths_are_found_by_whole_components() {
    let tree = with(vec![
        ("rootfs/usr/localfoo", file(0o644)),
        ("rootfs/usr/lib/ld-linux-x86-64.so.2", file(0o755)),
        ("rootfs/lib/modules/r/m.ko", file(0o644)),
        ("rootfs/etc/link", Entry::symlink("/usr/local/bin/tool")),
        ("rootfs/opt", Entry::directory()),
    ]);
    let rule = |tree: &Tree| paths_not_allowed(tree, ALLOWED);
    let paths = ["rootfs/etc/link", "rootfs/lib/modules/r/m.ko", "rootfs/usr/localfoo"];
    assert_eq!(found(rule, &tree), at(Code::PathNotAllowed, &paths));
    assert_eq!(
        rule(&tree)[1].hint.as_deref(),
        Some("this Talos version takes it at `/usr/lib/modules/r/m.ko`")
    );
    let old = paths_not_allowed(
        &with(vec![("rootfs/usr/lib/modules/r/m.ko", file(0o644))]),
        &["/lib/modules", "/usr/local"],
    );
    assert_eq!(old[0].hint.as_deref(), Some("this Talos version takes it at `/lib/modules/r/m.ko`"));
}

#[test]
fn files_and_directories_that_everyone_may_write_are_found() {
    let tree = with(vec![
        ("rootfs/usr/local/a", file(0o666)),
        ("rootfs/usr/local/d", Entry::new(0o1777, Kind::Directory)),
        ("rootfs/usr/local/link", Entry::symlink("a")),
    ]);
    assert_eq!(
        found(world_writable, &tree),
        at(Code::WorldWritable, &["rootfs/usr/local/a", "rootfs/usr/local/d"])
    );
    let finding = &world_writable(&tree)[0];
    assert_eq!(
        (finding.expected.as_deref(), finding.found.as_deref()),
        (Some("mode 0664"), Some("mode 0666"))
    );
}

#[test]
fn set_uid_and_set_gid_files_are_found() {
    let tree = with(vec![
        ("rootfs/usr/local/u", file(0o4755)),
        ("rootfs/usr/local/g", file(0o2755)),
        ("rootfs/usr/local/d", Entry::new(0o2755, Kind::Directory)),
    ]);
    assert_eq!(found(set_ids, &tree), at(Code::SetId, &["rootfs/usr/local/g", "rootfs/usr/local/u"]));
    assert_eq!(set_ids(&tree)[1].message, "`rootfs/usr/local/u` is set-uid");
}

#[test]
fn devices_and_fifos_are_found() {
    let device = || Kind::CharDevice { major: 1, minor: 3 };
    let tree = with(vec![
        ("rootfs/usr/local/null", Entry::new(0o644, device())),
        ("rootfs/usr/local/pipe", Entry::new(0o644, Kind::Fifo)),
    ]);
    assert_eq!(
        found(special_files, &tree),
        at(Code::SpecialFile, &["rootfs/usr/local/null", "rootfs/usr/local/pipe"])
    );
}

#[test]
fn hard_links_are_found() {
    let link = Entry::new(0o755, Kind::HardLink("rootfs/usr/local/bin/tool".to_owned()));
    assert_eq!(
        found(hard_links, &with(vec![("rootfs/usr/local/b", link)])),
        at(Code::HardLink, &["rootfs/usr/local/b"])
    );
}

#[test]
fn paths_that_stand_twice_are_found() {
    assert_eq!(paths_twice(&[]), []);
    let findings = paths_twice(&["rootfs/a".to_owned()]);
    assert_eq!((findings[0].code, findings[0].path.as_deref()), (Code::PathTwice, Some("rootfs/a")));
}

#[test]
fn names_that_differ_in_case_only_are_found_once() {
    let tree = with(vec![
        ("rootfs/usr/local/m/xt_DSCP.ko", file(0o644)),
        ("rootfs/usr/local/m/xt_dscp.ko", file(0o644)),
        ("rootfs/usr/Local/bin/tool", file(0o644)),
    ]);
    let paths = ["rootfs/usr/local", "rootfs/usr/local/m/xt_dscp.ko"];
    assert_eq!(found(case_collisions, &tree), at(Code::CaseCollision, &paths));
}

#[test]
fn symlinks_that_lead_out_are_found_even_through_others() {
    let tree = with(vec![
        ("rootfs/usr/local/up", Entry::symlink("../../../etc/passwd")),
        ("rootfs/usr/local/absolute", Entry::symlink("/../x")),
        // By its text `a/b/../../x` stays inside; but `b` leads to the root.
        ("rootfs/a/b", Entry::symlink("/")),
        ("rootfs/through", Entry::symlink("a/b/../x")),
    ]);
    let paths = ["rootfs/through", "rootfs/usr/local/absolute", "rootfs/usr/local/up"];
    assert_eq!(found(symlinks_leaving, &tree), at(Code::SymlinkLeaves, &paths));
}

#[test]
fn symlinks_that_lead_nowhere_are_found() {
    let tree = with(vec![
        ("rootfs/usr/local/gone", Entry::symlink("bin/nothing")),
        ("rootfs/usr/local/below", Entry::symlink("bin/tool/x")),
        ("rootfs/usr/local/self", Entry::symlink("self")),
        ("rootfs/usr/local/out", Entry::symlink("../../../x")),
    ]);
    let paths = ["rootfs/usr/local/below", "rootfs/usr/local/gone", "rootfs/usr/local/self"];
    assert_eq!(found(symlinks_dangling, &tree), at(Code::SymlinkDangling, &paths));
    assert_eq!(
        symlinks_dangling(&tree)[2].message,
        "symlink `usr/local/self` to `self` leads round in a circle"
    );
}
