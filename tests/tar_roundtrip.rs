//! What the tar writer writes: read back by us, by GNU tar, and after damage of all sorts.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/judge.rs"]
mod judge;

use std::fmt::Write as _;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

use talosmith::archive::tar::{Contents, Reader, TarError, Unpacked, read_tree, write_tree};
use talosmith::archive::{Entry, Kind, Tree};
use talosmith::base::{Content, Epoch};
use talosmith::image::Flattener;

/// Xorshift64*: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn name(&mut self) -> String {
        const LETTERS: [char; 8] = ['a', 'b', 'Z', '.', '-', ' ', 'é', '\n'];
        let len = if self.below(10) == 0 { 80 + self.below(90) } else { 1 + self.below(6) };
        let name: String = (0..len).map(|_| LETTERS[self.below(8) as usize]).collect();
        format!("{name}x") // so that it is neither `.` nor `..`
    }

    fn kind(&mut self) -> Kind {
        match self.below(8) {
            0 => Kind::Directory,
            1 => Kind::Symlink(format!("../{}", self.name())),
            2 => Kind::Fifo,
            3 => Kind::CharDevice { major: self.below(4096) as u32, minor: self.below(1 << 20) as u32 },
            4 => Kind::BlockDevice { major: self.below(4096) as u32, minor: 0 },
            _ => {
                let len = self.below(3) * self.below(700);
                Kind::File(Content::memory(self.bytes(len)))
            }
        }
    }

    fn entry(&mut self) -> Entry {
        let mut entry = Entry::new(self.below(0o10000) as u32, self.kind());
        let wide = self.below(20) == 0;
        entry.uid = if wide { self.next() >> 1 } else { self.below(70_000) };
        entry.gid = self.below(70_000);
        entry.mtime = if wide { (self.next() >> 8) as i64 - (1 << 50) } else { self.below(1 << 31) as i64 };
        for _ in 0..self.below(6).saturating_sub(3) {
            let (name, len) = (format!("user.{}", self.name()), self.below(130));
            entry.xattrs.insert(name, self.bytes(len));
        }
        entry
    }

    fn tree(&mut self, entries: u64) -> Tree {
        let mut tree = Tree::new();
        let mut directories = vec![String::new()];
        for _ in 0..entries {
            let above = directories[self.below(directories.len() as u64) as usize].clone();
            let path = if above.is_empty() { self.name() } else { format!("{above}/{}", self.name()) };
            let entry = self.entry();
            let is_directory = entry.is_directory();
            if path.len() < 3000 && tree.insert(&path, entry).is_ok() && is_directory {
                directories.push(path);
            }
        }
        self.links(&mut tree);
        tree
    }

    /// Second names of some files: they share the first one's attributes and sort after it.
    fn links(&mut self, tree: &mut Tree) {
        let files: Vec<(String, Entry)> = tree
            .iter()
            .filter(|(_, entry)| entry.content().is_some())
            .map(|(path, entry)| (path.to_owned(), entry.clone()))
            .collect();
        for (path, entry) in files {
            if self.below(6) == 0 {
                let _ = tree.insert(&format!("{path}~"), Entry { kind: Kind::HardLink(path), ..entry });
            }
        }
    }
}

fn dump(tree: &Tree) -> String {
    tree.iter().fold(String::new(), |mut text, (path, entry)| {
        let Entry { mode, uid, gid, mtime, xattrs, kind } = entry;
        let kind = match kind {
            Kind::File(content) => format!("file {:?}", content.read(1 << 20).unwrap()),
            kind => format!("{kind:?}"),
        };
        writeln!(text, "{path:?} {mode:o} {uid}:{gid} {mtime} {xattrs:?} {kind}").unwrap();
        text
    })
}

/// Keeps small files; what is larger than any file of these tests is not read.
fn keep(data: &mut dyn Read, size: u64) -> io::Result<Content> {
    if size > 1 << 20 {
        return Err(io::Error::other("too large for this test"));
    }
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes)?;
    Ok(Content::memory(bytes))
}

fn unpack(bytes: &[u8]) -> Result<Unpacked, TarError> {
    read_tree(&mut Reader::new(bytes), &|_| true, &mut Contents::streamed(&mut keep))
}

#[test]
fn random_trees_come_back_as_they_were() {
    for seed in 1..=200 {
        let tree = Random(seed).tree(40);
        let bytes = write_tree(&tree, None, Vec::new()).unwrap();
        assert_eq!(bytes, write_tree(&tree, None, Vec::new()).unwrap());
        let unpacked = unpack(&bytes).unwrap();
        assert_eq!(dump(&unpacked.tree), dump(&tree), "seed {seed}");
        assert!(unpacked.duplicates.is_empty() && unpacked.respelled.is_empty(), "seed {seed}");
    }
}

/// Makes the checksum of a block right, so that damage gets past it.
fn fix(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = match random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => b"0179 .=\n/LKSxg"[random.below(14) as usize],
            _ => random.next() as u8,
        };
        let block = at - at % 512;
        if random.below(3) != 0 && bytes[block..].len() >= 512 {
            fix(&mut bytes[block..block + 512]);
        }
    }
    if random.below(4) == 0 {
        bytes.truncate(random.below(bytes.len() as u64) as usize);
    }
}

#[test]
fn damaged_archives_are_errors_and_nothing_worse() {
    let mut seeds: Vec<Vec<u8>> =
        (1..12).map(|seed| write_tree(&Random(seed).tree(8), None, Vec::new()).unwrap()).collect();
    for file in std::fs::read_dir("testdata/tar/go").unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            seeds.push(std::fs::read(path).unwrap());
        }
    }
    seeds.sort(); // the directory's order must not decide
    let mut random = Random(7);
    let (mut read, mut slowest) = (0, Duration::ZERO);
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        damage(&mut random, &mut bytes);
        let start = Instant::now();
        read += u32::from(unpack(&bytes).is_ok());
        let mut reader = Reader::new(&bytes[..]);
        let _ = Flattener::new().apply(0, &|_| true, &mut reader, &mut Contents::streamed(&mut keep));
        slowest = slowest.max(start.elapsed());
    }
    // Both sides of the reader's decisions were seen, and no archive of some KiB takes long.
    assert!((1_000..19_000).contains(&read), "{read}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[test]
fn gnu_tar_extracts_what_was_written() {
    let Some(tar) = judge::judge("tar") else { return };
    for seed in 1..=10 {
        let mut tree = Tree::new();
        for (path, entry) in Random(seed).tree(40).iter() {
            let device = matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. });
            // Devices need root, wide times a file system that has them, bits that lock us out luck.
            let mode = entry.mode & 0o777 | if entry.is_directory() { 0o700 } else { 0o400 };
            if !device && entry.mtime >= 0 {
                let (uid, mtime) = (entry.uid % (1 << 32), entry.mtime % (1 << 31));
                let entry = Entry { mode, uid, mtime, ..entry.clone() };
                let _ = tree.insert(path, Entry { xattrs: Default::default(), ..entry });
            }
        }
        let tree = without_dangling(&tree);
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("archive.tar");
        std::fs::write(&archive, write_tree(&tree, None, Vec::new()).unwrap()).unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let output = Command::new(&tar)
            .args(["--extract", "--same-permissions", "--no-same-owner", "--file"])
            .args([&archive, std::path::Path::new("-C"), &root])
            .output()
            .unwrap();
        assert!(output.status.success(), "seed {seed}: {output:?}");
        tree.iter().for_each(|(path, entry)| same(&tree, &root.join(path), entry));
    }
}

/// Without hard links whose files were left out.
fn without_dangling(tree: &Tree) -> Tree {
    let mut whole = Tree::new();
    for (path, entry) in tree.iter() {
        match &entry.kind {
            Kind::HardLink(target) if tree.get(target).is_none() => {}
            _ => whole.insert(path, entry.clone()).unwrap(),
        }
    }
    whole
}

fn same(tree: &Tree, path: &std::path::Path, entry: &Entry) {
    let found = path.symlink_metadata().unwrap();
    let kind = match &entry.kind {
        Kind::Directory => found.is_dir(),
        Kind::Symlink(target) => std::fs::read_link(path).unwrap().to_str() == Some(target),
        Kind::File(content) => std::fs::read(path).unwrap() == content.read(1 << 20).unwrap(),
        Kind::HardLink(target) => {
            found.nlink() > 1
                && std::fs::read(path).unwrap()
                    == tree.get(target).unwrap().content().unwrap().read(1 << 20).unwrap()
        }
        _ => found.file_type().is_fifo(),
    };
    assert!(kind, "{path:?}");
    if !found.is_symlink() {
        assert_eq!((found.mode() & 0o7777, found.mtime()), (entry.mode, entry.mtime), "{path:?}");
    }
}

#[test]
fn gnu_tar_sees_devices_wide_numbers_and_attributes() {
    let Some(tar) = judge::judge("tar") else { return };
    let mut tree = Tree::new();
    let mut file = Entry::file(0o4755, Content::memory(*b"x"));
    (file.uid, file.mtime) = (5_000_000, -86_400);
    file.xattrs.insert("security.selinux".to_owned(), b"system_u:object_r:t:s0\0".to_vec());
    file.xattrs.insert("user.lines".to_owned(), b"a\nb\0c=d".to_vec());
    tree.insert("file", file).unwrap();
    tree.insert("null", Entry::new(0o666, Kind::CharDevice { major: 1, minor: 3 })).unwrap();
    tree.insert("sda", Entry::new(0o660, Kind::BlockDevice { major: 8, minor: 0 })).unwrap();
    let list = |epoch| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), write_tree(&tree, epoch, Vec::new()).unwrap()).unwrap();
        let output = Command::new(&tar)
            .args(["-tvv", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--full-time", "-f"])
            .arg(file.path())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(
        list(None),
        [
            "-rwsr-xr-x* 5000000/0 1 1969-12-31 00:00:00 file",
            "x: 23 security.selinux",
            "x: 7 user.lines",
            "crw-rw-rw- 0/0 1,3 1970-01-01 00:00:00 null",
            "brw-rw---- 0/0 8,0 1970-01-01 00:00:00 sda",
        ]
    );
    assert!(list(Epoch::new(86_400))[0].contains("1970-01-02 00:00:00"));
}
