use super::*;

fn file(text: &str) -> Entry {
    Entry::file(0o644, Content::memory(text.as_bytes()))
}

fn tree(entries: &[(&str, Entry)]) -> Tree {
    let mut tree = Tree::new();
    for (path, entry) in entries {
        tree.insert(path, entry.clone()).unwrap();
    }
    tree
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path).collect()
}

fn texts(contents: &[Content]) -> Vec<String> {
    contents.iter().map(|content| String::from_utf8(content.read(99).unwrap()).unwrap()).collect()
}

#[test]
fn microcode_and_firmware_leave_the_layer_and_links_stay_links() {
    let hard = |target: &str| Entry::new(0o644, Kind::HardLink(target.to_owned()));
    let rootfs = tree(&[
        ("usr/lib/firmware/amd-ucode/README", file("readme")),
        ("usr/lib/firmware/amd-ucode/microcode_amd.bin", file("amd1 ")),
        ("usr/lib/firmware/amd-ucode/microcode_amd_fam17h.bin", file("amd2")),
        ("usr/lib/firmware/amdgpu/a.bin", file("gpu")),
        ("usr/lib/firmware/amdgpu/b.bin", Entry::symlink("a.bin")),
        ("usr/lib/firmware/amdgpu/c.bin", hard("usr/lib/firmware/amdgpu/a.bin")),
        ("usr/lib/firmware/amdgpu/dangling.bin", Entry::symlink("nowhere")),
        ("usr/lib/firmware/intel-ucode/06-01", file("intel1 ")),
        ("usr/lib/firmware/intel-ucode/06-02", Entry::symlink("06-01")),
        ("usr/lib/firmware/intel-ucode/06-03", Entry::symlink("nowhere")),
        ("usr/local/bin/tool", hard("usr/lib/firmware/amdgpu/a.bin")),
        ("usr/local/bin/two", file("two")),
        ("usr/local/bin/zwei", hard("usr/local/bin/two")),
    ]);
    let parts = split(&rootfs, &Version::new(1, 11, 0));
    assert_eq!(texts(&parts.amd), ["amd1 ", "amd2"]);
    assert_eq!(texts(&parts.intel), ["intel1 ", "intel1 "]);
    assert_eq!(
        paths(&parts.firmware),
        [
            "usr",
            "usr/lib",
            "usr/lib/firmware",
            "usr/lib/firmware/amd-ucode",
            "usr/lib/firmware/amd-ucode/README",
            "usr/lib/firmware/amdgpu",
            "usr/lib/firmware/amdgpu/a.bin",
            "usr/lib/firmware/amdgpu/b.bin",
            "usr/lib/firmware/amdgpu/c.bin",
            "usr/lib/firmware/amdgpu/dangling.bin",
            "usr/lib/firmware/intel-ucode",
            "usr/lib/firmware/intel-ucode/06-03",
        ]
    );
    assert!(matches!(parts.firmware.get("usr/lib/firmware/amdgpu/b.bin").unwrap().kind, Kind::Symlink(_)));
    assert!(matches!(parts.firmware.get("usr/lib/firmware/amdgpu/c.bin").unwrap().kind, Kind::HardLink(_)));
    let rest = [
        "usr",
        "usr/lib",
        "usr/local",
        "usr/local/bin",
        "usr/local/bin/tool",
        "usr/local/bin/two",
        "usr/local/bin/zwei",
    ];
    assert_eq!(paths(&parts.rest), rest);
    assert_eq!(parts.rest.get("usr/local/bin/tool").unwrap().content().unwrap().read(9).unwrap(), b"gpu");
    assert!(matches!(parts.rest.get("usr/local/bin/zwei").unwrap().kind, Kind::HardLink(_)));
}

#[test]
fn firmware_lay_below_lib_before_1_10() {
    let rootfs = tree(&[("lib/firmware/x", file("x")), ("usr/lib/firmware/y", file("y"))]);
    let parts = split(&rootfs, &Version::new(1, 9, 5));
    assert_eq!(paths(&parts.firmware), ["lib", "lib/firmware", "lib/firmware/x"]);
    assert_eq!(paths(&parts.rest), ["lib", "usr", "usr/lib", "usr/lib/firmware", "usr/lib/firmware/y"]);
    let parts = split(&tree(&[("usr/local/x", file("x"))]), &Version::new(1, 9, 5));
    assert!(parts.firmware.is_empty() && parts.rest.len() == 3);
}

#[test]
fn of_two_extensions_with_one_path_the_later_wins_and_is_told() {
    let hard = Entry::new(0o644, Kind::HardLink("usr/lib/firmware/a".to_owned()));
    let one = tree(&[
        ("usr/lib/firmware/a", file("one")),
        ("usr/lib/firmware/b", hard),
        ("usr/lib/firmware/d/e", file("")),
    ]);
    let two = tree(&[("usr/lib/firmware/a", file("two")), ("usr/lib/firmware/d", Entry::symlink("x"))]);
    let merged = merge_firmware(&[("first", &one), ("second", &two)]).unwrap();
    let read = |path: &str| merged.tree.get(path).unwrap().content().unwrap().read(9).unwrap();
    assert_eq!((read("usr/lib/firmware/a"), read("usr/lib/firmware/b")), (b"two".to_vec(), b"one".to_vec()));
    let told: Vec<_> = merged
        .conflicts
        .iter()
        .map(|conflict| (&*conflict.path, &*conflict.loser, &*conflict.winner))
        .collect();
    assert_eq!(
        told,
        [("usr/lib/firmware/a", "first", "second"), ("usr/lib/firmware/d/e", "first", "second")]
    );
    let other = merge_firmware(&[("second", &two), ("first", &one)]).unwrap();
    assert!(other.conflicts.iter().any(|conflict| conflict.path == "usr/lib/firmware/d"));
    let lost =
        tree(&[("usr/lib/firmware/x", Entry::new(0o644, Kind::HardLink("usr/lib/nowhere".to_owned())))]);
    assert_eq!(merge_firmware(&[("first", &one), ("second", &lost)]).unwrap_err().extension, "second");
}
