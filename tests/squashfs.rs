//! `talosmith squashfs`, as it is used.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::os::unix::fs::{PermissionsExt as _, symlink};

use support::World;

fn world() -> World {
    let world = World::new();
    world.write("tree/usr/bin/tool", "#!/bin/sh\n");
    world.write("tree/usr/lib/data", "x".repeat(500_000));
    world.write("tree/etc/name", "name\n");
    symlink("tool", world.path("tree/usr/bin/link")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.path("tree/usr/bin/tool"), mode).unwrap();
    world
}

#[test]
fn a_folder_goes_in_and_comes_out() {
    let world = world();
    let first = world.digest(&["squashfs", "pack", "./tree", "image.sqsh"]);
    assert_eq!(first, world.digest(&["squashfs", "pack", "dir:tree", "again.sqsh", "--jobs", "1"]));
    assert!(world.ok(&["squashfs", "list", "image.sqsh"]).contains("usr/bin/link -> tool"));
    let listed = world.json(&["squashfs", "list", "image.sqsh", "usr/bin"]);
    assert_eq!(listed["result"]["entries"].as_array().unwrap().len(), 3);
    world.ok(&["squashfs", "extract", "image.sqsh", "out"]);
    assert_eq!(std::fs::read(world.path("out/usr/lib/data")).unwrap(), "x".repeat(500_000).as_bytes());
    assert_eq!(
        std::fs::metadata(world.path("out/usr/bin/tool")).unwrap().permissions().mode() & 0o777,
        0o755
    );
    world.ok(&["squashfs", "extract", "image.sqsh", "part", "/etc"]);
    assert!(world.path("part/etc/name").is_file() && !world.path("part/usr").exists());
    world
        .run(&["squashfs", "extract", "image.sqsh", "out"])
        .failed(3, &["not an empty folder", "nothing was changed"]);
}

#[test]
fn a_tar_goes_in_and_comes_out() {
    let world = world();
    world.ok(&["squashfs", "pack", "./tree", "image.sqsh"]);
    let tar = world.command(&["squashfs", "tar", "image.sqsh"]).output().unwrap();
    world.write("image.tar", tar.stdout);
    let digest = world.digest(&["squashfs", "pack", "image.tar", "again.sqsh"]);
    assert_eq!(digest, world.digest(&["squashfs", "pack", "./tree", "image.sqsh"]));
}

#[test]
fn the_time_is_the_epochs_and_blocks_are_kept_beside_the_blobs() {
    let world = world();
    let mut command = world.command(&["squashfs", "pack", "./tree", "image.sqsh"]);
    assert!(command.env("SOURCE_DATE_EPOCH", "86400").status().unwrap().success());
    assert!(world.ok(&["squashfs", "list", "image.sqsh"]).contains("1970-01-02T00:00:00Z usr/bin/tool"));
    assert!(world.path("cache/talosmith/blocks/0.pack").is_file());
}

#[test]
fn what_cannot_be_is_said_with_its_exit_code() {
    let world = world();
    world.write("text", "no image");
    world
        .run(&["squashfs", "list", "text"])
        .failed(3, &["`text` cannot be read", "shorter than a superblock"]);
    world.run(&["squashfs", "list", "missing"]).failed(3, &["missing"]);
    world.run(&["squashfs", "pack", "./tree", "x", "--codec", "lzo"]).failed(2, &["`lzo` is no codec"]);
    world.run(&["squashfs", "pack", "./tree", "x", "--level", "23"]).failed(2, &["level 23"]);
    world.run(&["squashfs", "pack", "./tree", "x", "--block-size", "5000"]).failed(2, &["power of two"]);
    world.run(&["squashfs", "pack", "./tree", "no/such/x"]).failed(5, &["no/such/x"]);
    let ran = world.run(&["squashfs", "pack", "./tree", "x", "--codec", "gzip"]);
    assert_eq!((ran.code, ran.err.contains("kernels of Talos cannot read squashfs in gzip")), (0, true));
    world.run(&["squashfs", "extract", "x", "out", "not/there"]).failed(3, &["`not/there` is not in"]);
    assert!(!world.path("out").exists());
}
