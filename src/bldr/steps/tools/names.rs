//! `basename`, `dirname`, `pwd`, `ls`, `uname`.

use super::super::options::{Spec, flag, valued};
use super::super::root::Inode;
use super::super::run::{Io, Refusal, Runner, Stop};
use super::files::missing;
use super::{complain, last_name};

const BASENAME: Spec =
    Spec { short: "+as:z", long: &[flag("multiple", 'a'), valued("suffix", 's'), flag("zero", 'z')] };
const DIRNAME: Spec = Spec { short: "z", long: &[flag("zero", 'z')] };
const PWD: Spec = Spec { short: "PL", long: &[] };
const LS: Spec =
    Spec { short: "1aAd", long: &[flag("all", 'a'), flag("almost-all", 'A'), flag("directory", 'd')] };
const UNAME: Spec = Spec { short: "ms", long: &[flag("machine", 'm'), flag("kernel-name", 's')] };

pub(super) fn check_basename(arguments: &[String]) -> Result<(), Refusal> {
    BASENAME.parse(arguments).map(drop)
}

pub(super) fn basename(_: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = BASENAME.parse(arguments)?;
    let words = given.words();
    let several = given.has('a') || given.has('s');
    if missing(io, &given, "basename") {
        return Ok(1);
    }
    let (names, suffix): (&[&str], &str) = match words.as_slice() {
        [name, suffix] if !several => (std::slice::from_ref(name), suffix),
        names if several || names.len() == 1 => (names, given.value('s').unwrap_or_default()),
        _ => {
            io.say("`basename` has an operand too many");
            return Ok(1);
        }
    };
    let end: &[u8] = if given.has('z') { b"\0" } else { b"\n" };
    for name in names {
        let name = last_name(name);
        let bare = name.strip_suffix(suffix).filter(|bare| !bare.is_empty()).unwrap_or(name);
        io.stdout.write(bare.as_bytes());
        io.stdout.write(end);
    }
    Ok(0)
}

pub(super) fn check_dirname(arguments: &[String]) -> Result<(), Refusal> {
    DIRNAME.parse(arguments).map(drop)
}

pub(super) fn dirname(_: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = DIRNAME.parse(arguments)?;
    let status = u8::from(missing(io, &given, "dirname"));
    for name in given.words() {
        let above = match name.trim_end_matches('/').rsplit_once('/') {
            _ if !name.is_empty() && name.chars().all(|character| character == '/') => "/",
            None => ".",
            Some((above, _)) if above.trim_end_matches('/').is_empty() => "/",
            Some((above, _)) => above.trim_end_matches('/'),
        };
        io.stdout.write(above.as_bytes());
        io.stdout.write(if given.has('z') { b"\0" } else { b"\n" });
    }
    Ok(status)
}

pub(super) fn check_pwd(arguments: &[String]) -> Result<(), Refusal> {
    let given = PWD.parse(arguments)?;
    match given.operands.first() {
        Some((index, word)) => Err(Refusal::new(*index, word, "is no argument of `pwd`")),
        None => Ok(()),
    }
}

/// Links in the path to where one is are never kept: this is `pwd -P`, except where links were walked through.
pub(super) fn pwd(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    check_pwd(arguments)?;
    io.stdout.line(&runner.root.path_of(runner.directory()));
    Ok(0)
}

pub(super) fn check_uname(arguments: &[String]) -> Result<(), Refusal> {
    UNAME.parse(arguments).map(drop)
}

pub(super) fn uname(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = UNAME.parse(arguments)?;
    let mut words = Vec::new();
    if given.has('s') || !given.has('m') {
        words.push("Linux");
    }
    if given.has('m') {
        words.push(&runner.environment.machine);
    }
    io.stdout.line(&words.join(" "));
    Ok(0)
}

pub(super) fn check_ls(arguments: &[String]) -> Result<(), Refusal> {
    LS.parse(arguments).map(drop)
}

pub(super) fn ls(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = LS.parse(arguments)?;
    let mut words: Vec<String> = given.operands.iter().map(|(_, word)| word.clone()).collect();
    if words.is_empty() {
        words.push(".".to_owned());
    }
    words.sort();
    let (mut status, mut files, mut folders) = (0, Vec::new(), Vec::new());
    for word in &words {
        let found = runner.root.find(runner.directory(), word, !given.has('d'));
        // A link to nothing is listed itself.
        let found = found.or_else(|_| runner.root.find(runner.directory(), word, false));
        match found {
            Ok(id) if runner.root.inode(id).is_some_and(Inode::is_directory) && !given.has('d') => {
                folders.push((word, id));
            }
            Ok(_) => files.push(word),
            Err(errno) => {
                complain(io, word, errno)?;
                status = 2;
            }
        }
    }
    files.iter().for_each(|word| io.stdout.line(word));
    let titled = words.len() > 1;
    for (index, (word, id)) in folders.into_iter().enumerate() {
        if titled {
            if index > 0 || !files.is_empty() {
                io.stdout.write(b"\n");
            }
            io.stdout.line(&format!("{word}:"));
        }
        let mut names: Vec<String> = runner.root.names(id).map(|(name, _)| name.to_owned()).collect();
        runner.charge(names.len())?;
        match given.last_of("aA") {
            None => names.retain(|name| !name.starts_with('.')),
            Some('a') => {
                names.extend([".".to_owned(), "..".to_owned()]);
                names.sort();
            }
            Some(_) => {}
        }
        names.iter().for_each(|name| io.stdout.line(name));
    }
    Ok(status)
}
