//! Random sequences of the vocabulary of packages, in bash and here: the same tree. The seed is fixed, so that
//! a sequence which differs differs again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/judge.rs"]
mod judge;
mod steps;

use judge::judge;
use steps::Bench;

const FIXTURE: &str =
    "mkdir -p d/s e; echo a > a; echo b > b; chmod 600 b; echo f > d/f; echo g > d/s/g; chmod 755 d/f
ln -s a l; ln -s d m; ln a h; find . ! -type l -exec touch -d @1000000000 {} +";

/// Sequences, and commands of each.
const SEQUENCES: usize = 2000;
const COMMANDS: u64 = 6;
/// Sequences that one bash runs.
const BATCH: usize = 500;

/// A generator of numbers (splitmix64), the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.below(words.len() as u64)).unwrap()]
    }

    fn path(&mut self) -> String {
        let names = ["a", "b", "d", "e", "h", "l", "m", "n", "f", "g", "s"];
        let mut path = self.of(&names).to_owned();
        while self.below(3) == 0 {
            path = format!("{path}/{}", self.of(&names));
        }
        match self.below(12) {
            0 => format!("{path}/"),
            1 => format!("$R/tmp/build/{path}"),
            2 => format!("./{path}"),
            _ => path,
        }
    }

    fn pattern(&mut self) -> String {
        match self.below(4) {
            0 => format!("{}/*", self.of(&["d", "e", "m", "d/s", "n"])),
            1 => self.of(&["[ab]", "?", "d/[!s]", "*/f", "{a,b}", "d/{f,s}"]).to_owned(),
            _ => self.path(),
        }
    }

    fn command(&mut self) -> String {
        let (p, q, r) = (self.path(), self.path(), self.pattern());
        match self.below(22) {
            0 | 1 => format!("mkdir {} {p}", self.of(&["", "-p", "-p", "-p", "-m 700", "-p -m 711"])),
            2..=5 => {
                let flags = [
                    "", "-r", "-R", "-R -p", "-pr", "-p", "-a", "-r", "-rL", "-d", "-rT", "-f", "-n", "-l",
                    "-lf",
                ];
                format!("cp {} {r} {q}", self.of(&flags))
            }
            6 => format!("cp -r {p}/. {q}"),
            7 | 8 => format!("mv {} {r} {q}", self.of(&["", "-f", "-T", "-n"])),
            9 | 10 => {
                let target = self.of(&["a", "b", "d", "../a", "f", "nothing", "s/g", "d/s"]);
                format!("ln {} {target} {q}", self.of(&["-s", "-s", "-sf", "-sfn", "-sT", "-sr"]))
            }
            11 => format!("ln {} {p} {q}", self.of(&["", "-f"])),
            12 => format!("rm {} {r}", self.of(&["", "-r", "-rf", "-f", "-d"])),
            13 => format!("rmdir {p}"),
            14 => format!("touch {} {r}", self.of(&["", "-c"])),
            15 => {
                let modes = ["755", "g+w", "u+x", "go-w", "a+rX", "u=rwx,go=rx", "700", "o+w", "1755"];
                format!("chmod {} {} {r}", self.of(&["", "-R"]), self.of(&modes))
            }
            16 => format!("echo text {} {p}", self.of(&[">", ">>"])),
            17 => format!("install {} {p} {q}", self.of(&["", "-D", "-m 644", "-D -m 600", "-p"])),
            18 => format!("install -d {} {p}", self.of(&["", "-m 700"])),
            19 => format!("cat {r} {} {q}", self.of(&[">", ">>"])),
            20 => format!("sed -i s/{}/x/ {p}", self.of(&["a", "t", "e"])),
            _ => format!(
                "find {p} -type {} -exec {} {{}} +",
                self.of(&["f", "d"]),
                self.of(&["chmod 755", "touch", "basename -a"])
            ),
        }
    }

    /// Some ignore that a command fails, and go on with what it left.
    fn sequence(&mut self) -> String {
        let count = 1 + self.below(COMMANDS);
        let commands: Vec<String> = (0..count)
            .map(|_| {
                let command = self.command();
                if self.below(8) == 0 { command } else { format!("{command} 2>/dev/null || true") }
            })
            .collect();
        commands.join("\n")
    }
}

#[test]
fn random_sequences_of_commands_leave_the_same_tree_as_in_bash() {
    if ["bash", "cp", "find", "sed"].iter().any(|name| judge(name).is_none()) {
        return;
    }
    let bench = Bench::new(judge("bash").unwrap(), FIXTURE);
    let mut numbers = Numbers(7);
    let sequences: Vec<String> = (0..SEQUENCES).map(|_| numbers.sequence()).collect();
    let mut differences = Vec::new();
    for batch in sequences.chunks(BATCH) {
        differences.extend(bench.differences(batch));
    }
    let shown: Vec<&str> = differences.iter().take(20).map(String::as_str).collect();
    assert!(bench.endless.get() * 50 < SEQUENCES, "{} are not judged", bench.endless.get());
    assert!(differences.is_empty(), "{} of {SEQUENCES} differ:\n{}", differences.len(), shown.join("\n"));
}
