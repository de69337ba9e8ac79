//! Bash and GNU's programs judge the native runner of steps, line by line.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/judge.rs"]
mod judge;
#[path = "steps/lines.rs"]
mod lines;
mod steps;

use std::collections::BTreeMap;
use std::path::Path;

use judge::judge;
use steps::Bench;
use talosmith::archive::tree::{Entry, Tree};
use talosmith::base::{Content, Workers};
use talosmith::bldr::steps::{Environment, InMemory, Program, Root, Shell, run};

/// The programs that judge.
const JUDGES: [&str; 9] = ["bash", "cp", "find", "tar", "sed", "xargs", "xz", "bzip2", "zstd"];

#[test]
fn every_line_does_what_bash_and_gnus_programs_do() {
    if JUDGES.iter().any(|name| judge(name).is_none()) {
        return;
    }
    let bash = judge("bash").unwrap();
    let bench = Bench::new(bash, lines::FIXTURE);
    let lines: Vec<String> = lines::LINES.iter().map(|line| (*line).to_owned()).collect();
    assert!(lines.len() >= 250, "{} lines", lines.len());
    let differences = bench.differences(&lines);
    assert!(
        differences.is_empty(),
        "{} of {} lines differ:\n{}",
        differences.len(),
        lines.len(),
        differences.join("\n")
    );
}

/// The official way to pick modules out of a kernel's package, with every file that kmod 34 wrote for them.
#[test]
fn modules_that_are_picked_and_indexed_by_steps_have_the_files_of_kmod_34() {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/kmod34/trees.tar.zst");
    let len = std::fs::metadata(&packed).unwrap().len();
    let mut tree = Tree::new();
    tree.insert("src/trees.tar.zst", Entry::file(0o644, Content::file(packed, len))).unwrap();
    let mut root = Root::from_tree(&tree).unwrap();
    let steps = [
        "M=/usr/lib/modules/6.12.117-talos; mkdir -p $M trees
         tar --zstd -xf /src/trees.tar.zst -C trees
         cp -r trees/modules/. $M; cd $M; mkdir -p /pkg/files
         find kernel -name '*.ko' > /pkg/files/modules.txt; ls modules.* >> /pkg/files/modules.txt",
        r"export RELEASE=$(find /usr/lib/modules -type d -name '*-talos' -exec basename {} \+)
          xargs -a /pkg/files/modules.txt -I {} install -D /usr/lib/modules/${RELEASE}/{} /rootfs/usr/lib/modules/${RELEASE}/{}
          depmod -b /rootfs/usr ${RELEASE}",
    ];
    let keep = InMemory::new(64 << 20);
    let environment = Environment {
        shell: Shell::Bash,
        variables: BTreeMap::new(),
        directory: "/tmp/build".to_owned(),
        mtime: 0,
        machine: "x86_64".to_owned(),
        keep: &keep,
        workers: Workers::new(2),
    };
    for step in steps {
        let program = Program::parse(step).unwrap();
        assert!(program.unsupported(Shell::Posix).is_empty());
        run(&mut root, &program, &environment).unwrap();
    }
    let made = root.folder("/rootfs/usr/lib/modules/6.12.117-talos").unwrap().unwrap();
    let theirs = root.folder("/tmp/build/trees/plain").unwrap().unwrap();
    let bytes = |entry: &Entry| entry.content().map(|content| content.read(1 << 24).unwrap());
    assert!(theirs.len() >= 11, "{} files", theirs.len());
    for (path, entry) in theirs.iter() {
        assert!(made.get(path).and_then(bytes) == bytes(entry), "{path} differs");
    }
    let module = made.iter().find(|(path, _)| path.ends_with(".ko")).unwrap().1;
    assert_eq!(module.mode, 0o755);
}
