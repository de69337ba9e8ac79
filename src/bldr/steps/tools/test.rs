//! `test` and `[`.

use super::super::root::{Inode, Node};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::UNKNOWN;

const UNARY: [&str; 14] =
    ["-e", "-f", "-d", "-L", "-h", "-s", "-n", "-z", "-r", "-w", "-x", "-b", "-c", "-p"];
const BINARY: [&str; 10] = ["=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-ef"];

pub(super) fn check_bracket(arguments: &[String]) -> Result<(), Refusal> {
    match arguments.split_last() {
        Some((last, rest)) if last == "]" => check_test(rest),
        _ => Err(Refusal::new(0, "[", "has no `]`")),
    }
}

/// Only what is certain to be an operator that is not known is refused.
pub(super) fn check_test(arguments: &[String]) -> Result<(), Refusal> {
    let operator = match arguments {
        [_, operator, _] => (1, operator),
        [bang, _, operator, _] if bang == "!" => (2, operator),
        [operator, _] if operator != "!" => (0, operator),
        _ => return Ok(()),
    };
    let (index, word) = operator;
    let refused = word.starts_with('-')
        && word.len() > 1
        && !word.contains(UNKNOWN)
        && !UNARY.contains(&word.as_str())
        && !BINARY.contains(&word.as_str())
        && !["-a", "-o"].contains(&word.as_str());
    if refused {
        Err(Refusal::new(index, word, "is no operator of `test` that is run natively"))
    } else {
        Ok(())
    }
}

pub(super) fn bracket(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    match arguments.split_last() {
        Some((last, rest)) if last == "]" => test(runner, io, rest),
        _ => {
            io.say("`[` has no `]`");
            Ok(2)
        }
    }
}

pub(super) fn test(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    check_test(arguments)?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Ok(match evaluate(runner, &words) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(why) => {
            io.say(format_args!("`test`: {why}"));
            2
        }
    })
}

/// By the number of words, as POSIX has it; more than four are pieces between `-a` and `-o`.
fn evaluate(runner: &Runner<'_>, words: &[&str]) -> Result<bool, String> {
    match words {
        [] => Ok(false),
        [word] => Ok(!word.is_empty()),
        ["!", word] => Ok(word.is_empty()),
        [operator, word] => unary(runner, operator, word),
        [one, operator, other] if BINARY.contains(operator) => binary(runner, one, operator, other),
        [one, "-a", other] => Ok(!one.is_empty() && !other.is_empty()),
        [one, "-o", other] => Ok(!one.is_empty() || !other.is_empty()),
        ["!", rest @ ..] if words.len() <= 4 => evaluate(runner, rest).map(|value| !value),
        ["(", word, ")"] => Ok(!word.is_empty()),
        ["(", one, other, ")"] => evaluate(runner, &[one, other]),
        _ => several(runner, words),
    }
}

fn several(runner: &Runner<'_>, words: &[&str]) -> Result<bool, String> {
    let mut any = false;
    for alternative in words.split(|word| *word == "-o") {
        let mut all = true;
        for piece in alternative.split(|word| *word == "-a") {
            if piece.is_empty() || piece.len() > 4 || piece.len() == words.len() {
                return Err("there are words that make no expression".to_owned());
            }
            all &= evaluate(runner, piece)?;
        }
        any |= all;
    }
    Ok(any)
}

fn unary(runner: &Runner<'_>, operator: &str, word: &str) -> Result<bool, String> {
    let find =
        |follow| runner.root.find(runner.directory(), word, follow).ok().and_then(|id| runner.root.inode(id));
    use crate::archive::tree::Kind;
    Ok(match operator {
        "-n" => !word.is_empty(),
        "-z" => word.is_empty(),
        "-L" | "-h" => find(false).is_some_and(Inode::is_symlink),
        "-e" | "-r" | "-w" => find(true).is_some(),
        "-f" => find(true).is_some_and(Inode::is_file),
        "-d" => find(true).is_some_and(Inode::is_directory),
        // Root may execute what anybody may.
        "-x" => find(true).is_some_and(|inode| inode.is_directory() || inode.mode & 0o111 != 0),
        "-s" => find(true).is_some_and(|inode| match &inode.node {
            Node::File(content) => !content.is_empty(),
            Node::Directory(_) => true,
            _ => false,
        }),
        "-b" => find(true).is_some_and(|inode| matches!(inode.node, Node::Other(Kind::BlockDevice { .. }))),
        "-c" => find(true).is_some_and(|inode| matches!(inode.node, Node::Other(Kind::CharDevice { .. }))),
        "-p" => find(true).is_some_and(|inode| matches!(inode.node, Node::Other(Kind::Fifo))),
        _ => return Err(format!("`{operator}` is no operator")),
    })
}

fn binary(runner: &Runner<'_>, one: &str, operator: &str, other: &str) -> Result<bool, String> {
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("`{text}` is no number"));
    Ok(match operator {
        "=" | "==" => one == other,
        "!=" => one != other,
        "-ef" => {
            let find = |path: &str| runner.root.find(runner.directory(), path, true).ok();
            find(one).is_some() && find(one) == find(other)
        }
        _ => {
            let (one, other) = (number(one)?, number(other)?);
            match operator {
                "-eq" => one == other,
                "-ne" => one != other,
                "-lt" => one < other,
                "-le" => one <= other,
                "-gt" => one > other,
                _ => one >= other,
            }
        }
    })
}
