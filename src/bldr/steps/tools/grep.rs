//! `grep`.

use regex::bytes::Regex;

use super::super::options::{Given, Spec, flag, valued};
use super::super::root::Inode;
use super::super::run::{Io, Refusal, Runner, Stop};
use super::regex::{Options, compile, literal, wrapped};
use super::text::{inputs, lines, read};
use super::{UNKNOWN, beside};

const GREP: Spec = Spec {
    short: "qvFEGilLncoxwe:hHsrm:a",
    long: &[
        flag("quiet", 'q'),
        flag("silent", 'q'),
        flag("invert-match", 'v'),
        flag("fixed-strings", 'F'),
        flag("extended-regexp", 'E'),
        flag("basic-regexp", 'G'),
        flag("ignore-case", 'i'),
        flag("files-with-matches", 'l'),
        flag("files-without-match", 'L'),
        flag("line-number", 'n'),
        flag("count", 'c'),
        flag("only-matching", 'o'),
        flag("line-regexp", 'x'),
        flag("word-regexp", 'w'),
        valued("regexp", 'e'),
        flag("no-filename", 'h'),
        flag("with-filename", 'H'),
        flag("no-messages", 's'),
        flag("recursive", 'r'),
        valued("max-count", 'm'),
        flag("text", 'a'),
    ],
};

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    prepare(&GREP.parse(arguments)?, false).map(drop)
}

pub(super) fn check_extended(arguments: &[String]) -> Result<(), Refusal> {
    prepare(&GREP.parse(arguments)?, true).map(drop)
}

/// The expressions, and the files.
fn prepare(given: &Given, extended: bool) -> Result<(Vec<Regex>, Vec<&str>), Refusal> {
    let mut files = given.words();
    let mut texts: Vec<&str> =
        given.options.iter().filter(|(code, _)| *code == 'e').map(|(_, text)| text.as_str()).collect();
    if texts.is_empty() {
        if files.is_empty() {
            return Err(Refusal::new(0, "grep", "has no pattern"));
        }
        texts.push(files.remove(0));
    }
    let kind = given.last_of("FEG");
    let ignore_case = given.has('i');
    let around = match (given.has('x'), given.has('w')) {
        (true, _) => ("^", "$"),
        (false, true) if given.has('o') => {
            return Err(Refusal::new(0, "-w", "with `-o` is not run natively"));
        }
        (false, true) => ("(?:^|[^0-9A-Za-z_])", "(?:$|[^0-9A-Za-z_])"),
        (false, false) => ("", ""),
    };
    let options = Options {
        extended: kind == Some('E') || (kind.is_none() && extended),
        ignore_case,
        only_whether: !given.has('o'),
    };
    let mut expressions = Vec::new();
    for text in texts.iter().flat_map(|text| text.split('\n')) {
        if text.contains(UNKNOWN) {
            continue;
        }
        let refuse = |why| Refusal::new(0, text, why);
        expressions.push(if kind == Some('F') {
            literal(text, ignore_case, around).map_err(refuse)?
        } else {
            let plain = compile(text, options).map_err(refuse)?;
            wrapped(&plain, around, ignore_case).map_err(refuse)?
        });
    }
    if given.has('o') && expressions.len() > 1 {
        return Err(Refusal::new(0, "-o", "with several patterns is not run natively"));
    }
    Ok((expressions, files))
}

pub(super) fn run(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    grep(runner, io, &GREP.parse(arguments)?, false)
}

pub(super) fn run_extended(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    grep(runner, io, &GREP.parse(arguments)?, true)
}

fn grep(runner: &mut Runner<'_>, io: &mut Io, given: &Given, extended: bool) -> Result<u8, Stop> {
    let (expressions, files) = prepare(given, extended)?;
    let limit = match given.value('m').map(str::parse::<usize>) {
        None => usize::MAX,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return Err(Refusal::new(0, "-m", "has no number").into()),
    };
    let mut names: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
    let mut several = names.len() > 1;
    if given.has('r') {
        if names.is_empty() {
            return Err(Refusal::new(0, "-r", "without a folder is not run natively").into());
        }
        several |= names.iter().any(|name| {
            runner.root.find(runner.directory(), name, true).is_ok_and(|id| runner.root.is_directory(id))
        });
        names = below(runner, names)?;
        if names.is_empty() {
            return Ok(1);
        }
    }
    let titled = !given.has('h') && (several || given.has('H'));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut selected, mut bad) = (false, false);
    for (name, content) in inputs(runner, io, &names)? {
        let Some(content) = content else {
            bad = true;
            continue;
        };
        let bytes = read(runner, &content)?;
        let name = if name.is_empty() { "(standard input)" } else { &name };
        let title = if titled { format!("{name}:") } else { String::new() };
        let silent = ['q', 'l', 'L', 'c'].iter().any(|code| given.has(*code));
        if !silent && bytes.contains(&0) && !given.has('a') {
            return Err(Refusal::new(
                0,
                name,
                "is no text: without `-q`, `-l`, `-c` or `-a` that is not run natively",
            )
            .into());
        }
        let mut count = 0;
        for (index, line) in lines(&bytes).enumerate() {
            let hit = expressions.iter().any(|expression| expression.is_match(line));
            if hit == given.has('v') || count >= limit {
                continue;
            }
            count += 1;
            if silent {
                continue;
            }
            let number = if given.has('n') { format!("{}:", index + 1) } else { String::new() };
            let mut print = |text: &[u8]| {
                io.stdout.write(title.as_bytes());
                io.stdout.write(number.as_bytes());
                io.stdout.write(text);
                io.stdout.write(b"\n");
            };
            match expressions.first().filter(|_| given.has('o') && !given.has('v')) {
                None if given.has('o') => {}
                None => print(line),
                Some(expression) => {
                    expression
                        .find_iter(line)
                        .filter(|found| !found.is_empty())
                        .for_each(|found| print(found.as_bytes()));
                }
            }
        }
        selected |= count > 0;
        if given.has('q') {
            continue;
        }
        match given.last_of("lL") {
            Some('l') if count > 0 => io.stdout.line(name),
            Some('L') if count == 0 => io.stdout.line(name),
            None if given.has('c') => io.stdout.line(&format!("{title}{count}")),
            _ => {}
        }
    }
    // With `-L` too: what counts is whether a line was selected, as grep 3.5 has it again.
    Ok(match (selected, bad) {
        (true, true) if given.has('q') => 0,
        (_, true) => 2,
        (true, false) => 0,
        (false, false) => 1,
    })
}

/// The files at and below the operands; links are followed only where they are operands.
fn below(runner: &mut Runner<'_>, operands: Vec<String>) -> Result<Vec<String>, Stop> {
    let mut files = Vec::new();
    for operand in operands {
        let mut left = vec![(operand, true)];
        while let Some((path, top)) = left.pop() {
            runner.charge(1)?;
            let Ok(id) = runner.root.find(runner.directory(), &path, top) else {
                files.push(path); // it is complained of when it is read
                continue;
            };
            if runner.root.is_directory(id) {
                let names: Vec<String> = runner.root.names(id).map(|(name, _)| name.to_owned()).collect();
                left.extend(names.iter().rev().map(|name| (beside(&path, name), false)));
            } else if runner.root.inode(id).is_some_and(Inode::is_file) {
                files.push(path);
            }
        }
    }
    Ok(files)
}
