//! The documents tell the truth: tables that come from the program are what the program prints.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use support::World;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn the_readmes_table_of_checks_is_the_programs() {
    let readme = readme();
    let table = readme.split("<!-- checks -->\n").nth(1).unwrap().split("<!-- /checks -->").next().unwrap();
    assert_eq!(table, World::new().ok(&["check", "--list"]));
}

#[test]
fn every_option_of_every_command_is_in_the_manual_and_every_command_in_the_readme() {
    let world = World::new();
    let manual = world.ok(&["man"]).replace('\\', "");
    let readme = readme();
    for command in [
        "extension",
        "installer",
        "imager",
        "custom-imager",
        "check",
        "inspect",
        "diff",
        "copy",
        "depmod",
        "new",
        "squashfs",
        "build",
        "bundle",
        "verify",
        "packages",
        "kernel",
        "bench",
    ] {
        assert!(readme.contains(&format!("`talosmith {command} ")), "{command} is not in the README");
        assert!(
            manual.contains(&format!("TALOSMITH {}", command.to_uppercase())),
            "{command} is not in the manual"
        );
        let mut help = world.ok(&[command, "--help"]);
        if command == "squashfs" {
            for deeper in ["pack", "list", "extract", "tar"] {
                assert!(
                    readme.contains(&format!("`talosmith squashfs {deeper} ")),
                    "{deeper} is not in the README"
                );
                help.push_str(&world.ok(&[command, deeper, "--help"]));
            }
        }
        let options = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
        let name =
            |word: &'_ str| word.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(word.len());
        for option in options.map(|word| &word[..name(word)]) {
            assert!(manual.contains(option), "{option} of {command} is not in the manual");
        }
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(world.ok(&["completions", shell]).contains("modules-from"), "{shell}");
    }
}
