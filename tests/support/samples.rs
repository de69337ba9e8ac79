//! Random trees for tests of archives: the same on every machine.

// Each test uses its part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use talosmith::archive::tree::join;
use talosmith::archive::{Entry, Kind, Tree};
use talosmith::base::Content;

/// Xorshift64*: the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    /// A number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// One below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Noise, zeros, text, or noise of few letters: what codecs treat differently.
    pub fn bytes(&mut self, len: u64) -> Vec<u8> {
        match self.below(4) {
            0 => vec![0; len as usize],
            1 => (0..len).map(|_| self.next() as u8).collect(),
            2 => (0u64..).flat_map(|n| format!("line {n}\n").into_bytes()).take(len as usize).collect(),
            _ => (0..len).map(|_| b"abcd"[self.below(4) as usize]).collect(),
        }
    }

    fn name(&mut self) -> String {
        const LETTERS: [char; 8] = ['a', 'b', 'Z', '.', '-', ' ', 'é', '\n'];
        let len = if self.below(20) == 0 { 100 } else { 1 + self.below(6) };
        let name: String = (0..len).map(|_| LETTERS[self.below(8) as usize]).collect();
        format!("{name}x") // so that it is neither `.` nor `..`
    }

    fn kind(&mut self, block: u64) -> Kind {
        match self.below(10) {
            0 | 1 => Kind::Directory,
            2 => Kind::Symlink(format!("../{}", self.name())),
            3 => Kind::Fifo,
            4 => Kind::CharDevice { major: self.below(4096) as u32, minor: self.below(1 << 20) as u32 },
            5 => Kind::BlockDevice { major: self.below(4096) as u32, minor: 0 },
            _ => {
                let len = [0, 1, self.below(block), block - 1, block, block + 1, self.below(block * 5)];
                let len = len[self.below(7) as usize];
                Kind::File(Content::memory(self.bytes(len)))
            }
        }
    }

    fn entry(&mut self, block: u64) -> Entry {
        let mut entry = Entry::new(0, self.kind(block));
        entry.mode = if matches!(entry.kind, Kind::Symlink(_)) { 0o777 } else { self.below(0o10000) as u32 };
        entry.uid = [0, 1000, u64::from(u32::MAX) - 1][self.below(3) as usize];
        entry.gid = self.below(50);
        entry.mtime = self.below(1 << 32) as i64;
        for _ in 0..self.below(8).saturating_sub(5) {
            let prefix = ["security.", "trusted.", "user."][self.below(3) as usize];
            let prefix =
                if matches!(entry.kind, Kind::File(_) | Kind::Directory) { prefix } else { "security." };
            let len = [0, 4, 40, 900][self.below(4) as usize];
            let value = vec![b'a' + self.below(3) as u8; len];
            entry.xattrs.insert(format!("{prefix}test{}", self.below(9)), value);
        }
        entry
    }

    /// A tree of about so many entries, with hard links and twins; `block` says which lengths are
    /// interesting.
    pub fn tree(&mut self, entries: usize, block: u64) -> Tree {
        let mut tree = Tree::new();
        let mut directories = vec![String::new()];
        let mut files: Vec<String> = Vec::new();
        for _ in 0..entries {
            let above = directories[self.below(directories.len() as u64) as usize].clone();
            let path = join(&above, &self.name());
            let mut entry = self.entry(block);
            if !files.is_empty() && self.below(8) == 0 {
                let known = files[self.below(files.len() as u64) as usize].clone();
                if self.below(2) == 0 {
                    entry.kind = tree.get(&known).unwrap().kind.clone(); // a twin
                } else if known < path {
                    entry = tree.get(&known).unwrap().clone();
                    entry.kind = Kind::HardLink(known);
                }
            }
            if path.len() > 3000 || tree.get(&path).is_some() || tree.insert(&path, entry.clone()).is_err() {
                continue;
            }
            match entry.kind {
                Kind::Directory => directories.push(path),
                Kind::File(_) => files.push(path),
                _ => {}
            }
        }
        tree
    }
}

/// Everything about a tree, line by line; links stand for what they lead to.
pub fn dump(tree: &Tree) -> Vec<String> {
    let line = |(path, entry): (&str, &Entry)| {
        let kind = match &entry.kind {
            Kind::File(content) => {
                format!(
                    "file {} {}",
                    content.len(),
                    talosmith::base::Digest::of(&content.read(1 << 30).unwrap())
                )
            }
            kind => format!("{kind:?}"),
        };
        format!(
            "{path:?} {:o} {}:{} {} {:?} {kind}",
            entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs
        )
    };
    tree.iter().map(line).collect()
}
