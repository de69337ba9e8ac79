//! Lines that are cut, spliced and scrambled: the parser, the check and the runner of steps never panic, never
//! hang, and say places that are in the text.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

// The lines alone; nothing makes their files.
#[allow(dead_code)]
#[path = "steps/lines.rs"]
mod lines;

use std::collections::BTreeMap;

use talosmith::archive::tree::{Entry, Tree};
use talosmith::base::{Content, Workers};
use talosmith::bldr::steps::{
    Environment, InMemory, Position, Program, Root, Shell, StepError, run, test_step,
};

const ROUNDS: usize = 20_000;
/// What lines are scrambled with.
const BITS: [&str; 40] = [
    "'",
    "\"",
    "`",
    "$",
    "${",
    "}",
    "$(",
    ")",
    "(",
    "{",
    ",",
    "..",
    "<<",
    "<<E\n",
    ">",
    "2>&1",
    "|",
    "||",
    "&&",
    ";",
    "\n",
    "\\",
    "*",
    "[",
    "]",
    "#",
    "=",
    " -",
    " --",
    "/",
    "if ",
    "then ",
    "fi",
    "for i in ",
    "do ",
    "done",
    "é",
    "{}",
    "%",
    "!",
];

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count.max(1)
    }

    fn scrambled(&mut self) -> String {
        let line = lines::LINES[self.below(lines::LINES.len())];
        let mut text: Vec<char> = line.chars().collect();
        for _ in 0..self.below(4) {
            let at = self.below(text.len() + 1);
            match self.below(4) {
                0 => {
                    let other: Vec<char> = lines::LINES[self.below(lines::LINES.len())].chars().collect();
                    let from = self.below(other.len());
                    text.truncate(at);
                    text.extend(&other[from..]);
                }
                1 => {
                    let end = (at + self.below(4)).min(text.len());
                    text.drain(at..end);
                }
                _ => {
                    let bit: Vec<char> = BITS[self.below(BITS.len())].chars().collect();
                    text.splice(at..at, bit);
                }
            }
        }
        text.into_iter().collect()
    }
}

fn is_in(text: &str, at: Position) -> bool {
    let lines: Vec<&str> = text.split('\n').collect();
    let line = usize::try_from(at.line).unwrap();
    (1..=lines.len()).contains(&line)
        && (1..=lines[line - 1].chars().count() + 1).contains(&usize::try_from(at.column).unwrap())
}

#[test]
fn scrambled_steps_are_run_or_refused_and_nothing_else() {
    let mut tree = Tree::new();
    for (path, text) in
        [("tmp/build/a", "alpha\nbeta\n"), ("tmp/build/d/one", "one\n"), ("src/p.tar", "no tar")]
    {
        tree.insert(path, Entry::file(0o644, Content::memory(text.as_bytes()))).unwrap();
    }
    tree.insert("tmp/build/la", Entry::symlink("a")).unwrap();
    let root = Root::from_tree(&tree).unwrap();
    let keep = InMemory::new(1 << 20);
    let environment = Environment {
        shell: Shell::Bash,
        variables: BTreeMap::from([("R".to_owned(), String::new())]),
        directory: "/tmp/build".to_owned(),
        mtime: 0,
        machine: "x86_64".to_owned(),
        keep: &keep,
        workers: Workers::new(1),
    };
    let mut numbers = Numbers(11);
    let (mut parsed, mut ran) = (0, 0);
    for _ in 0..ROUNDS {
        let text = numbers.scrambled();
        drop(test_step(&text));
        let program = match Program::parse(&text) {
            Ok(program) => program,
            Err(error) => {
                assert!(is_in(&text, error.at()), "{text:?}: {error}");
                continue;
            }
        };
        parsed += 1;
        for unsupported in program.unsupported(Shell::Posix) {
            assert!(is_in(&text, unsupported.at), "{text:?}: {unsupported}");
        }
        // What was refused is run all the same: it must end in an error, not in a panic.
        let mut own = root.clone();
        match run(&mut own, &program, &environment) {
            Ok(_) => ran += 1,
            Err(
                StepError::Failed { at, .. } | StepError::Limit { at, .. } | StepError::Content { at, .. },
            ) => assert!(is_in(&text, at), "{text:?}: {at}"),
            Err(StepError::Unsupported(unsupported)) => assert!(is_in(&text, unsupported.at)),
        }
        own.to_tree().unwrap();
    }
    assert!(parsed > ROUNDS / 4 && ran > ROUNDS / 10, "{parsed} of {ROUNDS} are programs, {ran} ran");
}
