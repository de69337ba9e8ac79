//! The architecture, kept by a test: which room may use which. A room may use the rooms above it and
//! none below; within a room, siblings as its own table says.
//!
//! It reads the `crate::` and `super::` paths of every source file outside its tests.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the top, each with the rooms that it may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("archive", &["base"]),
    ("image", &["base", "archive"]),
    ("kmod", &["base", "archive"]),
    ("boot", &["base", "archive"]),
    ("talos", &["base", "archive", "image", "kmod", "boot"]),
    ("bldr", &["base", "archive", "image", "kmod", "boot", "talos"]),
    ("check", &["base", "archive", "image", "kmod", "boot", "talos", "bldr"]),
    ("plan", &["base", "archive", "image", "kmod", "boot", "talos", "bldr", "check"]),
    ("cli", &["base", "archive", "image", "kmod", "boot", "talos", "bldr", "check", "plan"]),
];

/// Siblings that a module of a room must not use: the leaves know nothing of what is built on them.
const SIBLINGS: &[(&str, &str, &[&str])] = &[
    ("archive", "tree", &["tar", "compress", "bounded", "linked", "squashfs", "cpio"]),
    ("archive", "tar", &["squashfs", "cpio"]),
    ("archive", "squashfs", &["cpio"]),
    ("archive", "cpio", &["squashfs"]),
    ("archive", "compress", &["tar", "tree", "squashfs", "cpio"]),
    ("image", "descriptor", &["document", "layout", "registry", "store", "media", "docker_archive"]),
    ("image", "store", &["layout", "registry", "media", "docker_archive", "document"]),
    ("image", "document", &["layout", "registry", "media", "docker_archive", "store"]),
    ("image", "layout", &["registry", "media", "docker_archive"]),
    ("image", "registry", &["layout", "media", "docker_archive", "store", "document"]),
    ("bldr", "template", &["pkgfile", "steps", "buildkit"]),
    ("bldr", "pkgfile", &["steps", "buildkit"]),
    (
        "plan",
        "step",
        &[
            "extension",
            "copy",
            "diff",
            "inspect",
            "check",
            "assemble",
            "custom_imager",
            "flatten",
            "squashfs",
            "unsquash",
        ],
    ),
    (
        "plan",
        "run",
        &[
            "extension",
            "copy",
            "diff",
            "inspect",
            "check",
            "assemble",
            "custom_imager",
            "flatten",
            "squashfs",
            "unsquash",
        ],
    ),
];

/// Only these files may start a program (the user's credential helpers, a board's own).
const MAY_START_PROGRAMS: &[&str] = &["src/base/program.rs"];
/// Only these may ask the environment or the clock, besides the whole of `cli`.
const MAY_ASK_THE_CLOCK: &[&str] = &["src/base/epoch.rs", "src/base/program.rs", "src/image/registry/"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path below the crate's root, and its code without comments and tests.
fn code() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    sources(&root.join("src"), &mut found);
    let files = found
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs") && !path.to_string_lossy().ends_with("_tests.rs"));
    files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            (
                path.strip_prefix(root).unwrap().to_string_lossy().into_owned(),
                lines.collect::<Vec<_>>().join("\n"),
            )
        })
        .collect()
}

/// `src/image/layout.rs` → (`image`, `layout`).
fn place(path: &str) -> (&str, &str) {
    let mut parts = path.trim_start_matches("src/").trim_end_matches(".rs").split('/');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// The first identifiers behind each `crate::`; those in braces, too.
fn used_rooms(text: &str) -> Vec<String> {
    text.match_indices("crate::")
        .flat_map(|(at, word)| {
            let rest = &text[at + word.len()..];
            match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().split(',').map(first_word).collect(),
                None => vec![first_word(rest)],
            }
        })
        .collect()
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn a_room_uses_only_the_rooms_above_it() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in code() {
        let (room, _) = place(&path);
        if matches!(path.as_str(), "src/lib.rs" | "src/main.rs") {
            continue;
        }
        let allowed = rooms.get(room).unwrap_or_else(|| panic!("{path}: `{room}` is no room of the table"));
        for used in used_rooms(&text) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{path} uses crate::{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_rooms_leaves_do_not_know_what_is_built_on_them() {
    let mut wrong = Vec::new();
    for (path, text) in code() {
        let (room, module) = place(&path);
        for (_, _, forbidden) in SIBLINGS.iter().filter(|(of, leaf, _)| *of == room && *leaf == module) {
            for sibling in *forbidden {
                for spelling in [format!("super::{sibling}::"), format!("crate::{room}::{sibling}::")] {
                    // Within a folder, `super::` is the folder itself.
                    let own_folder = path.matches('/').count() > 2 && spelling.starts_with("super");
                    if !own_folder && text.contains(&spelling) {
                        wrong.push(format!("{path} uses {spelling}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn programs_clocks_and_printing_keep_to_their_places() {
    let mut wrong = Vec::new();
    for (path, text) in code() {
        let allowed = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
        let cli = path.starts_with("src/cli/") || path == "src/main.rs";
        if text.contains("process::Command") && !allowed(MAY_START_PROGRAMS) {
            wrong.push(format!("{path} starts a program"));
        }
        if (text.contains("SystemTime::now") || text.contains("Instant::now"))
            && !cli
            && !allowed(MAY_ASK_THE_CLOCK)
        {
            wrong.push(format!("{path} asks the clock"));
        }
        if text.contains("env::var") && !cli {
            wrong.push(format!("{path} asks the environment"));
        }
        if ["print!(", "println!(", "eprintln!(", "eprint!("].iter().any(|macro_| text.contains(macro_)) {
            wrong.push(format!("{path} prints past the printer"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
