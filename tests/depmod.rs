//! `talosmith depmod` as people and scripts meet it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use support::{World, testdata};

fn world() -> World {
    let world = World::new();
    let module = fs::read(testdata("modules/good.ko")).unwrap();
    world.write("6.12.117-talos/extras/my-module.ko", &module);
    world.write("6.12.117-talos/kernel/my-module.ko", &module);
    world.write("6.12.117-talos/modules.order", "kernel/my-module.ko\n");
    world
}

#[test]
fn the_files_are_written_into_the_folder_and_named() {
    let world = world();
    let out = world.ok(&["depmod", "6.12.117-talos"]);
    assert_eq!(out.lines().count(), 11, "{out}");
    let dep = fs::read_to_string(world.path("6.12.117-talos/modules.dep")).unwrap();
    assert_eq!(dep, "extras/my-module.ko:\n");
    world.ok(&["depmod", "6.12.117-talos", "--search", "built-in,extras"]);
    let dep = fs::read_to_string(world.path("6.12.117-talos/modules.dep")).unwrap();
    assert_eq!(dep, "kernel/my-module.ko:\n");
    let left: Vec<_> = fs::read_dir(world.path("6.12.117-talos")).unwrap().collect();
    assert_eq!(left.len(), 11 + 3, "{left:?}");
}

#[test]
fn a_dry_run_writes_nothing_and_json_says_what_would_be() {
    let world = world();
    assert_eq!(world.ok(&["depmod", "6.12.117-talos", "--dry-run"]), "");
    assert!(!world.path("6.12.117-talos/modules.dep").exists());
    let value = world.json(&["depmod", "6.12.117-talos", "--dry-run"]);
    let result = &value["result"];
    assert_eq!((result["modules"].as_u64(), result["written"].as_bool()), (Some(1), Some(false)));
    assert_eq!(result["files"][0]["name"], "modules.dep");
    assert_eq!(result["findings"][0]["code"], "TS0214");
}

#[test]
fn faults_of_modules_end_in_code_1_and_are_told_while_the_others_are_indexed() {
    let world = world();
    world.write("6.12.117-talos/kernel/text.ko", "no module");
    world.run(&["depmod", "6.12.117-talos"]).failed(1, &["error: module `text.ko` is none", "[TS0201]"]);
    assert!(world.path("6.12.117-talos/modules.dep").exists());
    world.write("map", "ffffffff81000000 r __ksymtab_module_layout\n");
    world
        .run(&["depmod", "6.12.117-talos", "--kernel-symbols", "map"])
        .failed(1, &["module `my-module.ko` needs", "symbols that nothing exports", "[TS0210]"]);
}

#[test]
fn what_cannot_be_done_says_why() {
    let world = world();
    world.run(&["depmod", "nowhere"]).failed(3, &["nowhere"]);
    world.run(&["depmod", "6.12.117-talos", "--search", "external"]).failed(2, &["`--search`", "external"]);
    world.write("text", "hello\n");
    world
        .run(&["depmod", "6.12.117-talos", "--kernel-symbols", "text"])
        .failed(3, &["`text` does not fit", "System.map"]);
}
