//! `cat`, `head`, `tail`, `wc`, `cut`, `tr`, `sort`, `uniq`: bytes, in the locale "C".

use super::super::options::{Given, Spec, flag, valued};
use super::super::run::{Io, Refusal, Runner, Stop, TEXT_MAX};
use super::{UNKNOWN, complain};
use crate::base::Content;
use crate::base::pattern::class_of;

const CAT: Spec = Spec { short: "u", long: &[] };
const HEAD: Spec =
    Spec { short: "n:c:q", long: &[valued("lines", 'n'), valued("bytes", 'c'), flag("quiet", 'q')] };
const WC: Spec = Spec { short: "lcw", long: &[flag("lines", 'l'), flag("bytes", 'c'), flag("words", 'w')] };
const CUT: Spec = Spec {
    short: "d:f:c:b:s",
    long: &[valued("delimiter", 'd'), valued("fields", 'f'), flag("only-delimited", 's')],
};
const TR: Spec = Spec { short: "+ds", long: &[flag("delete", 'd'), flag("squeeze-repeats", 's')] };
const SORT: Spec =
    Spec { short: "urn", long: &[flag("unique", 'u'), flag("reverse", 'r'), flag("numeric-sort", 'n')] };
const UNIQ: Spec = Spec { short: "", long: &[] };

/// The contents of the operands, or what stands on the standard input; `None` for what cannot be read, which
/// has been said.
pub(super) fn inputs(
    runner: &Runner<'_>,
    io: &mut Io,
    words: &[&str],
) -> Result<Vec<(String, Option<Content>)>, Stop> {
    let stdin = |io: &mut Io| io.stdin.take().unwrap_or_else(|| Content::memory([]));
    if words.is_empty() {
        return Ok(vec![(String::new(), Some(stdin(io)))]);
    }
    let mut inputs = Vec::new();
    for word in words {
        let content = match *word {
            "-" => Some(stdin(io)),
            path => match runner.read_file(path) {
                Ok(content) => Some(content),
                Err(errno) => {
                    complain(io, path, errno)?;
                    None
                }
            },
        };
        inputs.push(((*word).to_owned(), content));
    }
    Ok(inputs)
}

/// The bytes of a text.
pub(super) fn read(runner: &mut Runner<'_>, content: &Content) -> Result<Vec<u8>, Stop> {
    let bytes = content.read(TEXT_MAX).map_err(Stop::Content)?;
    runner.charge(bytes.len() / 64)?;
    Ok(bytes)
}

/// The bytes of all inputs, and whether there were all of them.
fn all(runner: &mut Runner<'_>, io: &mut Io, given: &Given) -> Result<(Vec<u8>, bool), Stop> {
    let (mut bytes, mut good) = (Vec::new(), true);
    for (_, content) in inputs(runner, io, &given.words())? {
        match content {
            Some(content) => bytes.extend(read(runner, &content)?),
            None => good = false,
        }
        if bytes.len() as u64 > TEXT_MAX {
            return Err(Stop::Limit(format!("a text has more than {TEXT_MAX} bytes")));
        }
    }
    Ok((bytes, good))
}

/// The lines of a text without their ends.
pub(super) fn lines(bytes: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let bytes = bytes.strip_suffix(b"\n").map_or((bytes, bytes.is_empty()), |bytes| (bytes, false));
    let (bytes, none) = bytes;
    bytes.split(|byte| *byte == b'\n').filter(move |_| !none)
}

pub(super) fn check_cat(arguments: &[String]) -> Result<(), Refusal> {
    CAT.parse(arguments).map(drop)
}

pub(super) fn cat(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = CAT.parse(arguments)?;
    let mut status = 0;
    for (name, content) in inputs(runner, io, &given.words())? {
        match content {
            Some(content) if is_output(runner, io, &name) && !content.is_empty() => {
                io.say(format_args!("`{name}` is what is written to"));
                status = 1;
            }
            Some(content) => {
                runner.charge_content(&content)?;
                io.stdout.push(content);
            }
            None => status = 1,
        }
    }
    Ok(status)
}

/// Whether the file at `path` is the one that the standard output goes to.
fn is_output(runner: &Runner<'_>, io: &Io, path: &str) -> bool {
    io.out_file.is_some() && runner.root.find(runner.directory(), path, true).ok() == io.out_file
}

/// `-5` is `-n 5`.
fn old_style(arguments: &[String]) -> Vec<String> {
    let number = |word: &String| match word.strip_prefix('-') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("-n{digits}")
        }
        _ => word.clone(),
    };
    arguments.iter().map(number).collect()
}

/// The count of `head` or `tail`, in lines or bytes.
fn count(given: &Given, sign: &str) -> Result<(usize, bool), Refusal> {
    let Some(code) = given.last_of("nc") else { return Ok((10, false)) };
    let text = given.value(code).unwrap_or_default();
    let digits = text.strip_prefix(sign).unwrap_or(text);
    match digits.parse() {
        Ok(count) => Ok((count, code == 'c')),
        Err(_) if text.contains(UNKNOWN) => Ok((0, false)),
        Err(_) => Err(Refusal::new(0, text, "is a count that is not run natively")),
    }
}

fn check_one(given: &Given) -> Result<(), Refusal> {
    match given.operands.get(1) {
        Some((index, word)) => Err(Refusal::new(*index, word, "is a second file, which is not run natively")),
        None => Ok(()),
    }
}

pub(super) fn check_head(arguments: &[String]) -> Result<(), Refusal> {
    let given = HEAD.parse(&old_style(arguments))?;
    count(&given, "")?;
    check_one(&given)
}

pub(super) fn head(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = HEAD.parse(&old_style(arguments))?;
    check_one(&given)?;
    let (count, in_bytes) = count(&given, "")?;
    let (bytes, good) = all(runner, io, &given)?;
    let end = if in_bytes { count } else { nth_line(&bytes, count) };
    io.stdout.write(bytes.get(..end).unwrap_or(&bytes));
    Ok(u8::from(!good))
}

/// Where the line of that number begins, counted from 0.
fn nth_line(bytes: &[u8], number: usize) -> usize {
    match number.checked_sub(1) {
        None => 0,
        Some(index) => {
            let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            ends.nth(index).map_or(bytes.len(), |(at, _)| at + 1)
        }
    }
}

pub(super) fn check_tail(arguments: &[String]) -> Result<(), Refusal> {
    let given = HEAD.parse(&old_style(arguments))?;
    count(&given, "+")?;
    check_one(&given)
}

pub(super) fn tail(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = HEAD.parse(&old_style(arguments))?;
    check_one(&given)?;
    let (count, in_bytes) = count(&given, "+")?;
    let from_start =
        given.last_of("nc").and_then(|code| given.value(code)).is_some_and(|text| text.starts_with('+'));
    let (bytes, good) = all(runner, io, &given)?;
    let start = match (from_start, in_bytes) {
        (true, true) => count.saturating_sub(1),
        (true, false) => nth_line(&bytes, count.saturating_sub(1)),
        (false, true) => bytes.len().saturating_sub(count),
        (false, false) => nth_line(&bytes, lines(&bytes).count().saturating_sub(count)),
    };
    io.stdout.write(bytes.get(start..).unwrap_or_default());
    Ok(u8::from(!good))
}

pub(super) fn check_wc(arguments: &[String]) -> Result<(), Refusal> {
    let given = WC.parse(arguments)?;
    if given.options.len() != 1 {
        return Err(Refusal::new(0, "wc", "is run natively with exactly one of `-l`, `-c`, `-w`"));
    }
    check_one(&given)
}

pub(super) fn wc(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    check_wc(arguments)?;
    let given = WC.parse(arguments)?;
    let (bytes, good) = all(runner, io, &given)?;
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 11;
    let count = match given.last_of("lcw") {
        Some('l') => bytes.iter().filter(|byte| **byte == b'\n').count(),
        Some('c') => bytes.len(),
        _ => bytes.split(blank).filter(|word| !word.is_empty()).count(),
    };
    match given.words().first() {
        Some(name) if good => io.stdout.line(&format!("{count} {name}")),
        Some(_) => {}
        None => io.stdout.line(&count.to_string()),
    }
    Ok(u8::from(!good))
}

/// Ranges of `cut`, both ends included, from 1.
fn ranges(list: &str) -> Option<Vec<(usize, usize)>> {
    let number = |text: &str| text.parse().ok().filter(|number: &usize| *number > 0);
    list.split(',')
        .map(|range| match range.split_once('-') {
            None => number(range).map(|number| (number, number)),
            Some(("", "")) => None,
            Some((first, "")) => Some((number(first)?, usize::MAX)),
            Some(("", last)) => Some((1, number(last)?)),
            Some((first, last)) => {
                Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
            }
        })
        .collect()
}

fn cut_list(given: &Given) -> Result<Vec<(usize, usize)>, Refusal> {
    let codes: Vec<char> =
        given.options.iter().map(|(code, _)| *code).filter(|code| "fcb".contains(*code)).collect();
    let list = match codes.as_slice() {
        [code] => given.value(*code).unwrap_or_default(),
        _ => return Err(Refusal::new(0, "cut", "needs one of `-f`, `-c`, `-b`")),
    };
    if list.contains(UNKNOWN) {
        return Ok(Vec::new());
    }
    ranges(list).ok_or_else(|| Refusal::new(0, list, "is no list of fields"))
}

pub(super) fn check_cut(arguments: &[String]) -> Result<(), Refusal> {
    let given = CUT.parse(arguments)?;
    cut_list(&given)?;
    match given.value('d') {
        Some(delimiter) if delimiter.len() != 1 => Err(Refusal::new(0, delimiter, "is no single character")),
        _ => Ok(()),
    }
}

pub(super) fn cut(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    check_cut(arguments)?;
    let given = CUT.parse(arguments)?;
    let list = cut_list(&given)?;
    let wanted = |index: usize| list.iter().any(|(first, last)| (*first..=*last).contains(&(index + 1)));
    let delimiter = given.value('d').and_then(|text| text.bytes().next()).unwrap_or(b'\t');
    let (bytes, good) = all(runner, io, &given)?;
    for line in lines(&bytes) {
        if !given.has('f') {
            let kept = line.iter().enumerate().filter(|(index, _)| wanted(*index)).map(|(_, byte)| *byte);
            io.stdout.write(&kept.collect::<Vec<u8>>());
        } else if !line.contains(&delimiter) {
            if given.has('s') {
                continue;
            }
            io.stdout.write(line);
        } else {
            let fields = line.split(|byte| *byte == delimiter).enumerate();
            let kept: Vec<&[u8]> =
                fields.filter(|(index, _)| wanted(*index)).map(|(_, field)| field).collect();
            io.stdout.write(&kept.join(&delimiter));
        }
        io.stdout.write(b"\n");
    }
    Ok(u8::from(!good))
}

/// The bytes of a set of `tr`; `None` for what is not understood.
fn set(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    if !text.is_ascii() {
        return None;
    }
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let mut byte = *first;
        if byte == b'[' {
            if let Some(name) = rest.strip_prefix(b":") {
                let end = name.windows(2).position(|pair| pair == b":]")?;
                let class = class_of(std::str::from_utf8(name.get(..end)?).ok()?)?;
                bytes.extend((0..=u8::MAX).filter(class));
                rest = name.get(end + 2..)?;
                continue;
            }
            if rest.starts_with(b"=") || rest.get(1) == Some(&b'*') {
                return None;
            }
        }
        if byte == b'\\' {
            let (escaped, behind) = rest.split_first()?;
            rest = behind;
            byte = match escaped {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'\\' => b'\\',
                b'0'..=b'7' => {
                    let more = rest.iter().take(2).take_while(|byte| (b'0'..=b'7').contains(*byte)).count();
                    let digits = [&[*escaped], rest.get(..more).unwrap_or_default()].concat();
                    rest = rest.get(more..).unwrap_or_default();
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()?
                }
                b'8' | b'9' | b'a' | b'b' | b'f' | b'v' => return None,
                other => *other,
            };
        }
        match rest {
            [b'-', b'\\', ..] => return None,
            [b'-', last, behind @ ..] => {
                if *last < byte {
                    return None;
                }
                bytes.extend(byte..=*last);
                rest = behind;
            }
            _ => bytes.push(byte),
        }
    }
    Some(bytes)
}

fn tr_sets(given: &Given) -> Result<Vec<Vec<u8>>, Refusal> {
    let sets: Result<Vec<Vec<u8>>, Refusal> = given
        .operands
        .iter()
        .map(|(index, text)| match set(text) {
            _ if text.contains(UNKNOWN) => Ok(vec![b'?']),
            Some(set) => Ok(set),
            None => Err(Refusal::new(*index, text, "is a set that is not run natively")),
        })
        .collect();
    let sets = sets?;
    let fits = match (given.has('d'), given.has('s')) {
        (true, true) => false,
        (true, false) => sets.len() == 1,
        (false, true) => matches!(sets.len(), 1 | 2),
        (false, false) => sets.len() == 2,
    };
    if !fits || sets.get(1).is_some_and(Vec::is_empty) {
        return Err(Refusal::new(0, "tr", "has a number of sets that is not run natively"));
    }
    Ok(sets)
}

pub(super) fn check_tr(arguments: &[String]) -> Result<(), Refusal> {
    tr_sets(&TR.parse(arguments)?).map(drop)
}

pub(super) fn tr(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = TR.parse(arguments)?;
    let sets = tr_sets(&given)?;
    let content = io.stdin.take().unwrap_or_else(|| Content::memory([]));
    let mut bytes = read(runner, &content)?;
    let first = sets.first().map(Vec::as_slice).unwrap_or_default();
    let second = sets.get(1).map(Vec::as_slice);
    if given.has('d') {
        bytes.retain(|byte| !first.contains(byte));
    } else if let Some(second) = second {
        let mut table: Vec<u8> = (0..=u8::MAX).collect();
        for (index, byte) in first.iter().enumerate() {
            let to = second.get(index).or(second.last()).copied().unwrap_or(*byte);
            if let Some(slot) = table.get_mut(usize::from(*byte)) {
                *slot = to;
            }
        }
        bytes.iter_mut().for_each(|byte| *byte = table.get(usize::from(*byte)).copied().unwrap_or(*byte));
    }
    if given.has('s') {
        let squeezed = second.unwrap_or(first);
        bytes.dedup_by(|next, before| next == before && squeezed.contains(next));
    }
    io.stdout.write(&bytes);
    Ok(0)
}

pub(super) fn check_sort(arguments: &[String]) -> Result<(), Refusal> {
    SORT.parse(arguments).map(drop)
}

/// The value of the number at the beginning of a line: sign, digits before the point, digits behind it.
fn numeric(line: &[u8]) -> (bool, Vec<u8>, Vec<u8>) {
    let line = line.trim_ascii_start();
    let (negative, line) = line.strip_prefix(b"-").map_or((false, line), |line| (true, line));
    let whole: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_digit).collect();
    let rest = line.get(whole.len()..).unwrap_or_default();
    let mut part: Vec<u8> = match rest.strip_prefix(b".") {
        Some(rest) => rest.iter().copied().take_while(u8::is_ascii_digit).collect(),
        None => Vec::new(),
    };
    let whole: Vec<u8> = whole.into_iter().skip_while(|digit| *digit == b'0').collect();
    while part.last() == Some(&b'0') {
        part.pop();
    }
    let zero = whole.is_empty() && part.is_empty();
    (negative && !zero, whole, part)
}

fn by_number(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
    let ((one_negative, one, one_part), (other_negative, other, other_part)) = (numeric(one), numeric(other));
    let size = (one.len(), one, one_part).cmp(&(other.len(), other, other_part));
    match (one_negative, other_negative) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
    }
}

pub(super) fn sort(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = SORT.parse(arguments)?;
    let (mut texts, mut good) = (Vec::new(), true);
    for (_, content) in inputs(runner, io, &given.words())? {
        match content {
            Some(content) => texts.push(read(runner, &content)?),
            None => good = false,
        }
    }
    if !good {
        return Ok(2);
    }
    let mut all: Vec<&[u8]> = texts.iter().flat_map(|text| lines(text)).collect();
    let reverse = |order: std::cmp::Ordering| if given.has('r') { order.reverse() } else { order };
    all.sort_by(|one, other| match given.has('n') {
        true if given.has('u') => reverse(by_number(one, other)),
        true => reverse(by_number(one, other).then_with(|| one.cmp(other))),
        false => reverse(one.cmp(other)),
    });
    if given.has('u') {
        all.dedup_by(
            |next, before| if given.has('n') { by_number(next, before).is_eq() } else { next == before },
        );
    }
    for line in all {
        io.stdout.write(line);
        io.stdout.write(b"\n");
    }
    Ok(0)
}

pub(super) fn check_uniq(arguments: &[String]) -> Result<(), Refusal> {
    check_one(&UNIQ.parse(arguments)?)
}

pub(super) fn uniq(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    check_uniq(arguments)?;
    let (bytes, good) = all(runner, io, &UNIQ.parse(arguments)?)?;
    let mut all: Vec<&[u8]> = lines(&bytes).collect();
    all.dedup();
    for line in all {
        io.stdout.write(line);
        io.stdout.write(b"\n");
    }
    Ok(u8::from(!good))
}
