//! `xargs`.

use super::super::options::{Given, Spec, flag, optional, valued};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::find::check_command;
use super::text::read;
use super::{UNKNOWN, complain};
use crate::base::Content;

const XARGS: Spec = Spec {
    short: "+n:I:0rd:a:L:P:",
    long: &[
        valued("max-args", 'n'),
        flag("null", '0'),
        flag("no-run-if-empty", 'r'),
        valued("delimiter", 'd'),
        valued("arg-file", 'a'),
        valued("max-lines", 'L'),
        valued("max-procs", 'P'),
        optional("replace", 'I'),
    ],
};
/// Bytes of arguments that one command gets, as GNU's default.
const COMMAND_MAX: usize = 128 << 10;

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    prepare(arguments).map(drop)
}

struct Query {
    given: Given,
    /// At most so many arguments for a command.
    count: Option<usize>,
    lines: Option<usize>,
    replace: Option<String>,
    delimiter: Option<u8>,
    command: Vec<String>,
}

fn prepare(arguments: &[String]) -> Result<Query, Refusal> {
    let given = XARGS.parse(arguments)?;
    let number = |code: char| match given.value(code).filter(|value| !value.contains(UNKNOWN)) {
        None => Ok(None),
        Some(text) => match text.parse::<usize>() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(Refusal::new(0, text, "is no number that is understood")),
        },
    };
    // The last of them counts.
    let kind = given.last_of("nIL");
    let replace = given.value('I').filter(|_| kind == Some('I'));
    let replace = replace.map(|mark| if mark.is_empty() { "{}" } else { mark }.to_owned());
    let delimiter = match given.last_of("0d") {
        Some('0') => Some(0),
        Some(_) => Some(match given.value('d').unwrap_or_default() {
            "\\n" => b'\n',
            "\\t" => b'\t',
            "\\0" => 0,
            text if text.len() == 1 => text.bytes().next().unwrap_or_default(),
            text => return Err(Refusal::new(0, text, "is a delimiter that is not run natively")),
        }),
        None => None,
    };
    let mut command: Vec<String> = given.operands.iter().map(|(_, word)| word.clone()).collect();
    if command.is_empty() {
        command.push("echo".to_owned());
    }
    let start = given.operands.first().map_or(0, |(index, _)| *index);
    if let Some((name, words)) = command.split_first() {
        let words: Vec<String> = words
            .iter()
            .map(|word| replace.as_ref().map_or_else(|| word.clone(), |mark| word.replace(mark, UNKNOWN)))
            .chain([UNKNOWN.to_owned()])
            .collect();
        check_command(start, name, &words)?;
    }
    let count = number('n')?.filter(|_| kind == Some('n'));
    let lines = number('L')?.filter(|_| kind == Some('L'));
    number('P')?;
    Ok(Query { count, lines, replace, delimiter, command, given })
}

pub(super) fn run(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let query = prepare(arguments)?;
    let content = match query.given.value('a') {
        Some(path) => match runner.read_file(path) {
            Ok(content) => content,
            Err(errno) => {
                complain(io, path, errno)?;
                return Ok(1);
            }
        },
        None => io.stdin.take().unwrap_or_else(|| Content::memory([])),
    };
    let bytes = read(runner, &content)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => return Err(Stop::Limit("`xargs` reads what is no UTF-8".to_owned())),
    };
    let (items, whole) = match query.delimiter {
        Some(delimiter) => (delimited(&text, char::from(delimiter)), true),
        None => items(&text, query.replace.is_some()),
    };
    runner.charge(items.len())?;
    let mut status = 0;
    if let Some(mark) = &query.replace {
        for (item, _) in &items {
            let words: Vec<String> = query.command.iter().map(|word| word.replace(mark, item)).collect();
            if call(runner, io, &words, &mut status)? {
                return Ok(124);
            }
        }
    } else {
        if items.is_empty() && !query.given.has('r') && whole {
            call(runner, io, &query.command, &mut status)?;
        }
        let mut left = items.as_slice();
        while !left.is_empty() {
            let taken = batch(left, &query);
            let (now, rest) = left.split_at(taken); // at most its length
            left = rest;
            let words = query.command.iter().cloned().chain(now.iter().map(|(item, _)| item.clone()));
            if call(runner, io, &words.collect::<Vec<_>>(), &mut status)? {
                return Ok(124);
            }
        }
    }
    if !whole {
        io.say("`xargs`: a quotation mark is not closed");
        return Ok(1);
    }
    Ok(status)
}

/// Runs a command; whether nothing more is to be run.
fn call(runner: &mut Runner<'_>, io: &mut Io, words: &[String], status: &mut u8) -> Result<bool, Stop> {
    let Some((name, arguments)) = words.split_first() else { return Ok(false) };
    let mut own = Io::default();
    let result = runner.tool(name, arguments, &mut own)?;
    io.stdout.append(own.stdout);
    io.stderr.append(own.stderr);
    if result != 0 {
        *status = 123;
    }
    Ok(result == 255)
}

/// How many items the next command gets, at least one.
fn batch(items: &[(String, bool)], query: &Query) -> usize {
    let (mut bytes, mut lines) = (0, 0);
    for (index, (item, ends_line)) in items.iter().enumerate() {
        bytes += item.len() + 1;
        if index > 0 && (bytes > COMMAND_MAX || query.count.is_some_and(|count| index >= count)) {
            return index;
        }
        lines += usize::from(*ends_line);
        if query.lines.is_some_and(|wanted| lines >= wanted) {
            return index + 1;
        }
    }
    items.len()
}

fn delimited(text: &str, delimiter: char) -> Vec<(String, bool)> {
    let text = text.strip_suffix(delimiter).unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    let items = text.split(delimiter);
    items.map(|item| (item.to_owned(), true)).collect()
}

/// Words in the manner of xargs: blanks part them, quotes and backslashes keep them; whole lines if `lines`.
/// Each with whether its line ends with it; and whether all quotes are closed.
fn items(text: &str, lines: bool) -> (Vec<(String, bool)>, bool) {
    let mut items: Vec<(String, bool)> = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\n' => match current.take() {
                Some(item) => items.push((item, true)),
                None => {
                    if let Some((_, ends)) = items.last_mut() {
                        *ends = true;
                    }
                }
            },
            ' ' | '\t' if current.is_none() => {}
            ' ' | '\t' if !lines => items.extend(current.take().map(|item| (item, false))),
            '\'' | '"' => {
                let item = current.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some(inside) if inside == character => break,
                        None | Some('\n') => return (items, false),
                        Some(inside) => item.push(inside),
                    }
                }
            }
            '\\' => current.get_or_insert_default().extend(characters.next()),
            character => current.get_or_insert_default().push(character),
        }
    }
    items.extend(current.map(|item| (item, true)));
    (items, true)
}
