//! Index files beside those of kmod: of version 34, whose outputs are in `testdata/kmod34`, and of
//! whatever `depmod` is installed.

// A test may fail anywhere; the helpers below are part of it.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/modules.rs"]
mod modules;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use judge::{judge, missing};
use modules::{AMD64, ARM64, folder_of, modules};
use talosmith::base::{Content, Digest, Workers};
use talosmith::kmod::depmod::{Issue, KernelSymbols, Search};
use talosmith::kmod::{Depmod, Elf, Options, Symbols, abridge, depmod};
use talosmith::plan::tree_input::TreeInput;

/// What `depmod` reads besides modules.
const READ: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

type Files = BTreeMap<String, Vec<u8>>;

/// A root with the modules of one release: the same for both programs.
struct Scene {
    root: tempfile::TempDir,
    release: String,
    tree: TreeInput,
}

impl Scene {
    /// The modules of `folder`, which stay where they are.
    fn of(folder: &Path, release: &str) -> Self {
        let scene = tempfile::tempdir().unwrap();
        let place = scene.path().join("lib/modules").join(release);
        fs::create_dir_all(&place).unwrap();
        let mut tree = TreeInput::default();
        for name in READ {
            fs::copy(folder.join(name), place.join(name)).unwrap();
        }
        tree.add_directory(&place, "").unwrap();
        let mut scene = Self { root: scene, release: release.to_owned(), tree };
        scene.add(&folder.join("kernel"), "kernel");
        scene
    }

    fn place(&self) -> PathBuf {
        self.root.path().join("lib/modules").join(&self.release)
    }

    /// Adds a folder of modules under a name of its own.
    fn add(&mut self, folder: &Path, name: &str) {
        symlink(folder, self.place().join(name)).unwrap();
        self.tree.add_directory(folder, name).unwrap();
    }

    fn calculated(&self, words: &[&str]) -> Depmod {
        let (search, workers) = (Search::new(words).unwrap(), Workers::default());
        depmod(&self.tree.tree, &Options { search, kernel: None, of_kernel: None, workers: &workers })
            .unwrap()
    }

    fn ours(&self, words: &[&str]) -> Files {
        self.calculated(words).files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
    }

    /// What the installed program writes; no words for its own default.
    fn theirs(&self, program: &Path, words: &[&str]) -> Files {
        let configuration = self.root.path().join("depmod.d");
        fs::create_dir_all(&configuration).unwrap();
        if !words.is_empty() {
            let line = format!("search {}\n", words.join(" "));
            fs::write(configuration.join("search.conf"), line).unwrap();
        }
        let mut command = Command::new(program);
        command.arg("-b").arg(self.root.path()).arg("-C").arg(&configuration).arg(&self.release);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let _ = fs::remove_file(configuration.join("search.conf")); // it may not be there
        files(&self.place())
    }

    fn write(&self, files: &Files) {
        for (name, bytes) in files {
            fs::write(self.place().join(name), bytes).unwrap();
        }
    }
}

/// The index files in a folder.
fn files(folder: &Path) -> Files {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let written = names.filter(|name| name.starts_with("modules.") && !READ.contains(&name.as_str()));
    written.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// Asserts that two sets of index files hold the same files and bytes.
fn assert_same(ours: &Files, theirs: &Files, what: &str) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in ours {
        assert!(bytes == &theirs[name], "{what}: {name} differs");
    }
}

/// The trees of `testdata/kmod34`, unpacked.
fn fixture() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/kmod34/trees.tar.zst");
    let tar = zstd::decode_all(fs::File::open(packed).unwrap()).unwrap();
    tar::Archive::new(tar.as_slice()).unpack(folder.path()).unwrap();
    folder
}

const FIXTURE: &str = "6.12.117-talos";
const TALOS: [&str; 2] = ["extras", "built-in"];

fn with_user(folder: &Path) -> Scene {
    let mut scene = Scene::of(&folder.join("modules"), FIXTURE);
    scene.add(&folder.join("extras"), "extras");
    scene
}

/// The folders of releases below `TALOSMITH_MODULES`.
fn releases() -> Option<Vec<(PathBuf, String)>> {
    fn find(folder: &Path, depth: usize, found: &mut Vec<(PathBuf, String)>) {
        if folder.join("modules.order").is_file() {
            found.push((folder.to_owned(), folder.file_name().unwrap().to_str().unwrap().to_owned()));
        } else if depth > 0 {
            let mut folders: Vec<PathBuf> = fs::read_dir(folder)
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default();
            folders.sort();
            let real = |folder: &&PathBuf| folder.is_dir() && !folder.is_symlink();
            folders.iter().filter(real).for_each(|folder| find(folder, depth - 1, found));
        }
    }
    let Some(folder) = std::env::var_os("TALOSMITH_MODULES") else {
        return missing("TALOSMITH_MODULES names no folder of modules");
    };
    let mut found = Vec::new();
    find(Path::new(&folder), 4, &mut found);
    if found.is_empty() { missing("there is no `modules.order` in TALOSMITH_MODULES") } else { Some(found) }
}

#[test]
fn every_file_is_byte_for_byte_that_of_kmod_34() {
    let folder = fixture();
    let plain = Scene::of(&folder.path().join("modules"), FIXTURE);
    assert_same(&plain.ours(&TALOS), &files(&folder.path().join("plain")), "plain");
    let with_user = with_user(folder.path());
    assert_same(&with_user.ours(&TALOS), &files(&folder.path().join("with-user")), "with-user");
}

#[test]
fn the_modules_of_a_kernel_have_no_faults_against_its_own_symbols_and_each_others() {
    let folder = fixture();
    let symbols = fs::read(folder.path().join("Module.symvers")).unwrap();
    let kernel = KernelSymbols::parse(&symbols).unwrap();
    let (search, workers) = (Search::talos(), Workers::default());
    let scene = with_user(folder.path());
    let options = Options { search, kernel: Some(&kernel), of_kernel: None, workers: &workers };
    let issues = depmod(&scene.tree.tree, &options).unwrap().issues;
    let hidden = Issue::Hidden {
        path: "kernel/drivers/net/dummy.ko".to_owned(),
        by: "extras/dummy.ko".to_owned(),
        by_order: true,
    };
    assert_eq!(issues, [hidden]);
}

#[test]
fn kmod_34_wrote_the_same_for_every_module_of_a_distribution() {
    let Some(releases) = releases() else { return };
    let known = "6.1.0-56-amd64";
    let Some((folder, release)) = releases.iter().find(|(_, release)| release == known) else {
        println!("skipped: TALOSMITH_MODULES has no modules of {known}, whose sums are known");
        return;
    };
    let mut ours = Scene::of(folder, release).ours(&TALOS);
    let symbols = ours.get_mut("modules.symbols").unwrap();
    *symbols = sorted(symbols);
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/kmod34/6.1.0-56-amd64.sha256");
    let list = fs::read_to_string(list).unwrap();
    let sums: Vec<(&str, &str)> = list.lines().map(|line| line.split_once("  ").unwrap()).collect();
    assert_eq!(sums.len(), 11);
    for (sum, name) in sums {
        let name = name.split(' ').next().unwrap();
        assert_eq!(Digest::of(&ours[name]).to_string(), format!("sha256:{sum}"), "{name}");
    }
}

fn sorted(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// The text files must be the same; the binary ones differ in the order of nodes before kmod 34, and
/// `modules.weakdep` is not there before 33.
fn assert_same_texts(scene: &Scene, program: &Path, words: &[&str], what: &str) {
    let default = ["updates", "built-in"];
    let ours = scene.ours(if words.is_empty() { &default } else { words });
    let theirs = scene.theirs(program, words);
    let mut compared = 0;
    for (name, bytes) in theirs.iter().filter(|(name, _)| !name.ends_with(".bin")) {
        let (ours, theirs) = match name.as_str() {
            "modules.symbols" => (sorted(&ours[name]), sorted(bytes)),
            _ => (ours[name].clone(), bytes.clone()),
        };
        assert!(ours == theirs, "{what}, search {words:?}: {name} differs");
        compared += 1;
    }
    assert!(compared >= 5, "{what}: {compared} files");
    for (name, bytes) in theirs.iter().filter(|(name, _)| name.ends_with(".bin")) {
        assert_eq!(ours[name].len(), bytes.len(), "{what}, search {words:?}: length of {name}");
    }
}

#[test]
fn the_installed_depmod_writes_the_same_texts_for_every_tree() {
    let Some(program) = judge("depmod") else { return };
    let folder = fixture();
    let scene = with_user(folder.path());
    for words in [&[][..], &TALOS, &["built-in", "extras"]] {
        assert_same_texts(&scene, &program, words, "fixture");
    }
    let Some(releases) = releases() else { return };
    for (folder, release) in releases {
        let mut scene = Scene::of(&folder, &release);
        assert_same_texts(&scene, &program, &TALOS, &release);
        let (updates, extras) = overriding(&folder.join("kernel"));
        scene.add(updates.path(), "updates");
        scene.add(extras.path(), "extras");
        let both = ["extras", "updates", "built-in"];
        for words in [&[][..], &TALOS, &["updates", "extras", "built-in"], &both] {
            assert_same_texts(&scene, &program, words, &release);
        }
    }
}

/// Copies of every fiftieth module: plain ones for `updates`, compressed and plain ones for `extras`.
fn overriding(kernel: &Path) -> (tempfile::TempDir, tempfile::TempDir) {
    fn modules(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                modules(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "ko") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    modules(kernel, &mut found);
    found.sort();
    let (updates, extras) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (index, module) in found.iter().step_by(50).enumerate() {
        let name = module.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(module).unwrap();
        fs::write(updates.path().join(name), &bytes).unwrap();
        match index % 3 {
            0 => fs::write(extras.path().join(format!("{name}.zst")), zstd::encode_all(&*bytes, 1).unwrap()),
            1 => fs::write(extras.path().join(name), &bytes),
            _ => fs::write(extras.path().join(format!("new_{name}")), &bytes),
        }
        .unwrap();
    }
    (updates, extras)
}

#[test]
fn modprobe_and_modinfo_read_from_our_files_what_they_read_from_depmods() {
    let (Some(program), Some(modprobe), Some(modinfo)) =
        (judge("depmod"), judge("modprobe"), judge("modinfo"))
    else {
        return;
    };
    let folder = fixture();
    let scene = with_user(folder.path());
    let ours = scene.ours(&TALOS);
    let names: Vec<String> = String::from_utf8(ours["modules.dep"].clone())
        .unwrap()
        .lines()
        .map(|line| line.split(':').next().unwrap().rsplit('/').next().unwrap().replace(".ko", ""))
        .chain(["boot-test-alias", "symbol:my_module_answer", "fs-btrfs", "ext4", "loop"].map(str::to_owned))
        .collect();
    let asked = || -> Vec<String> {
        let mut answers = Vec::new();
        for name in &names {
            let depends = Command::new(&modprobe)
                .args(["--show-depends", "-S", FIXTURE, "-C", "/nonexistent", "-d"])
                .arg(scene.root.path())
                .arg(name)
                .output()
                .unwrap();
            answers.push(String::from_utf8([depends.stdout, depends.stderr].concat()).unwrap());
            let info = Command::new(&modinfo)
                .args(["-k", FIXTURE, "-b"])
                .arg(scene.root.path())
                .arg(name)
                .output()
                .unwrap();
            answers.push(String::from_utf8([info.stdout, info.stderr].concat()).unwrap());
        }
        answers
    };
    scene.write(&ours);
    let from_ours = asked();
    scene.theirs(&program, &TALOS);
    let from_theirs = asked();
    assert_eq!(from_ours, from_theirs);
    let about = |part: &str| from_ours.iter().filter(|answer| answer.contains(part)).count();
    assert!(about("extras/my-module.ko") >= 4 && about("builtin ") >= 1, "{from_ours:#?}");
}

#[test]
fn a_module_without_its_code_has_the_same_symbols_and_a_fraction_of_the_bytes() {
    for variable in [AMD64, ARM64] {
        let Some(folder) = folder_of(variable) else { continue };
        let (mut whole, mut short) = (0, 0);
        for path in modules(&folder) {
            let bytes = std::fs::read(&path).unwrap();
            let read = |bytes: Vec<u8>| {
                let content = Content::memory(bytes);
                let mut elf = Elf::open(&content, content.len()).unwrap();
                let info = elf.section(".modinfo").map(|info| elf.read(&info, 1 << 24).unwrap());
                (info, format!("{:?}", Symbols::read(&mut elf).unwrap()))
            };
            let abridged = abridge(bytes.clone());
            (whole, short) = (whole + bytes.len(), short + abridged.len());
            assert!(read(abridged) == read(bytes), "{}", path.display());
        }
        assert!(short * 2 < whole, "{short} of {whole}");
    }
}
