//! Kernel modules by the thousand: what kmod says of each, and what random changes do.

// A test may fail anywhere; the helpers below are part of it.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/modules.rs"]
mod modules;

use std::path::{Path, PathBuf};
use std::process::Command;

use judge::judge;
use modules::{AMD64, ARM64, folder_of, modules};
use talosmith::base::Content;
use talosmith::kmod::{Elf, ModuleFacts, SignatureState, Symbols};

fn facts(path: &Path) -> ModuleFacts {
    let content = Content::file(path, path.metadata().unwrap().len());
    let name = path.file_name().unwrap().to_str().unwrap();
    ModuleFacts::read(&content, name).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Everything that `modinfo -0` says of each module: `key=value` entries after one that names the file.
fn modinfo(program: &Path, modules: &[PathBuf]) -> Vec<Vec<(String, String)>> {
    let mut all: Vec<Vec<(String, String)>> = Vec::new();
    for modules in modules.chunks(500) {
        let output = Command::new(program).arg("-0").args(modules).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for entry in output.stdout.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            if entry.starts_with("filename:") {
                all.push(Vec::new());
            } else if let Some((key, value)) = entry.split_once('=') {
                all.last_mut().unwrap().push((key.to_owned(), value.to_owned()));
            }
        }
    }
    all
}

#[test]
fn kmod_reads_the_same_facts_of_every_module_of_a_distribution() {
    let Some(program) = judge("modinfo") else { return };
    for variable in [AMD64, ARM64] {
        if let Some(folder) = folder_of(variable) {
            compare(&program, &folder);
        }
    }
}

/// Compares what is read of every module below `folder` with what kmod says.
fn compare(program: &Path, folder: &Path) {
    let modules = modules(folder);
    assert!(modules.len() > 10, "{} modules in {folder:?}", modules.len());
    let told = modinfo(program, &modules);
    assert_eq!(told.len(), modules.len());
    for (path, told) in modules.iter().zip(told) {
        let all = |key: &str| -> Vec<&str> {
            told.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
        };
        let first = |key: &str| all(key).first().map(|value| (*value).to_owned());
        let facts = facts(path);
        let path = path.display();
        assert_eq!(first("name").as_deref(), Some(facts.name.as_str()), "{path}");
        assert_eq!(facts.vermagic, first("vermagic"), "{path}");
        assert_eq!(facts.depends.join(","), first("depends").unwrap_or_default(), "{path}");
        assert_eq!(facts.aliases, all("alias"), "{path}");
        assert_eq!(facts.firmware, all("firmware"), "{path}");
        assert_eq!(facts.softdeps, all("softdep"), "{path}");
        assert_eq!(facts.licenses, all("license"), "{path}");
        assert_eq!(facts.version, first("version"), "{path}");
        assert_eq!(facts.in_tree, first("intree").is_some(), "{path}");
        match facts.signature {
            SignatureState::Signed(_) => assert!(first("sig_id").is_some(), "{path}"),
            SignatureState::Unsigned => assert_eq!(first("sig_id"), None, "{path}"),
            SignatureState::Lost(lost) => panic!("{path}: {lost}"),
        }
    }
}

/// A small generator of numbers (PCG's multiplier): the same ones on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

/// Changes bytes, cuts, or writes numbers that overflow; the headers are hit as often as the rest.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let headers = bytes.len().saturating_sub(738 + 36 * 64); // where good.ko has its section table
        let at = match random.below(4) {
            0 => random.below(64),
            1 => headers + random.below(36 * 64),
            2 => bytes.len() - 1 - random.below(40),
            _ => random.below(bytes.len()),
        };
        match random.below(8) {
            0 => bytes.truncate(at.max(64)),
            1 if at < bytes.len() => bytes.splice(at..at, [0xff; 8]).for_each(drop),
            2 | 3 => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
}

/// The largest amount of memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn random_changes_never_panic_and_never_take_much_memory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/modules");
    let mut random = Random(7);
    let (mut read, mut refused) = (0, 0);
    for name in ["good.ko", "arm64-crc7.ko"] {
        let original = std::fs::read(folder.join(name)).unwrap();
        for _ in 0..10_000 {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut random);
            let content = Content::memory(bytes);
            if let Ok(mut elf) = Elf::open(&content, content.len()) {
                let _ = Symbols::read(&mut elf); // either is right
            }
            match ModuleFacts::read(&content, name) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        read > 2_000 && refused > 2_000,
        "the changes do not reach both ends: {read} read, {refused} refused"
    );
    assert!(peak() < 64 << 10, "{} KiB", peak());
}
