//! Values as YAML beside Go's yaml, which the Image Factory's ids hang on. `tests/run.sh` builds the judge.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/judge.rs"]
mod judge;

use std::io::Write as _;
use std::process::{Command, Stdio};

use judge::judge;
use talosmith::base::yaml::{Any, Cursor, parse};

/// What texts are made of: everything that YAML's rules for plain texts, quotes and blocks look at.
const PIECES: &[&str] = &[
    "a", "B", "x", "e", "y", "n", "no", "true", "null", "0", "1", "9", "0x", "0b", "0o", "_", ".", "-", "+",
    ":", ": ", " ", "  ", "\n", "\n\n", "\t", "\r", "#", " #", "'", "\"", "\\", "|", ">", "?", "&", "*", "!",
    "%", "@", "`", "{", "}", "[", "]", ",", "=", "~", "<<", "é", "€", "😀", "\u{a0}", "\u{1}", "\u{7f}",
    "inf", "nan", "2020", "-01", "12:30",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn text(&mut self) -> String {
        (0..self.below(7)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    /// A value in JSON, which is YAML in flow style; some of its texts are plain words.
    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 3 } else { 5 }) {
            0 => plain(&self.text()),
            1 | 2 => quoted(&self.text()),
            3 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", items.join(", "))
            }
            _ => {
                let pairs: Vec<String> =
                    (0..self.below(4)).map(|key| format!("k{key}: {}", self.value(depth - 1))).collect();
                format!("{{{}}}", pairs.join(", "))
            }
        }
    }
}

/// The text without quotes where that can stand in flow style, else in quotes.
fn plain(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    if !text.is_empty() && text.starts_with(|c: char| c != '-') && text.chars().all(fits) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// In double quotes, with nothing in it but ASCII.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        ' '..='~' => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

#[test]
fn go_writes_the_same_for_five_thousand_values() {
    let Some(program) = judge("go-yaml") else { return };
    let mut random = Random(0x0123_4567_89ab_cdef);
    let documents: Vec<String> = (0..5_000).map(|_| format!("v: {}\n", random.value(3))).collect();
    let lines: String = documents.iter().map(|own| serde_json::to_string(own).unwrap() + "\n").collect();
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), documents.len());
    let mut compared = 0;
    for (document, answer) in documents.iter().zip(answers.lines()) {
        let Some(theirs): Option<String> = serde_json::from_str(answer).unwrap() else { continue };
        let node = parse(document.as_bytes()).unwrap_or_else(|error| panic!("{error}: {document}"));
        // Points in time are refused.
        let Ok(value) = Any::of(&Cursor::root(&node).key("v").unwrap()) else { continue };
        assert_eq!(value.to_yaml(), theirs, "{document}");
        compared += 1;
    }
    assert!(compared > 4_900, "{compared}");
}
