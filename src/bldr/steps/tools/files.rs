//! `mkdir`, `rmdir`, `rm`, `touch`, `chmod`.

use super::super::options::{Given, Spec, flag, valued};
use super::super::root::{Errno, Id, Inode, Node, ROOT};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::mode::{Mode, UMASK};
use super::{UNKNOWN, complain, last_name};
use crate::base::Content;

const MKDIR: Spec =
    Spec { short: "pm:v", long: &[flag("parents", 'p'), valued("mode", 'm'), flag("verbose", 'v')] };
const RMDIR: Spec = Spec { short: "p", long: &[flag("parents", 'p'), flag("ignore-fail-on-non-empty", '~')] };
const RM: Spec =
    Spec { short: "rRfd", long: &[flag("recursive", 'r'), flag("force", 'f'), flag("dir", 'd')] };
const TOUCH: Spec = Spec { short: "acm", long: &[flag("no-create", 'c')] };
const CHMOD: Spec =
    Spec { short: "Rf", long: &[flag("recursive", 'R'), flag("silent", 'f'), flag("quiet", 'f')] };

/// The value of an option that is a mode.
fn mode_of(given: &Given, code: char) -> Result<Option<Mode>, Refusal> {
    match given.value(code).filter(|value| !value.contains(UNKNOWN)) {
        None => Ok(None),
        Some(text) => match Mode::parse(text) {
            Some(mode) => Ok(Some(mode)),
            None => Err(Refusal::new(0, text, "is no mode that is understood")),
        },
    }
}

pub(super) fn check_mkdir(arguments: &[String]) -> Result<(), Refusal> {
    mode_of(&MKDIR.parse(arguments)?, 'm').map(drop)
}

pub(super) fn mkdir(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = MKDIR.parse(arguments)?;
    let mode = mode_of(&given, 'm')?.map(|mode| mode.apply(0o777, true, UMASK));
    let mut status = u8::from(missing(io, &given, "mkdir"));
    for path in given.words() {
        runner.charge(1)?;
        let made = if given.has('p') {
            make_all(runner, path, mode)
        } else {
            make_one(runner, path, mode.unwrap_or(0o777 & !UMASK)).map(|_| vec![path.to_owned()])
        };
        match made {
            Ok(made) if given.has('v') => {
                made.iter().for_each(|path| io.stdout.line(&format!("mkdir: created directory '{path}'")));
            }
            Ok(_) => {}
            Err(errno) => {
                complain(io, path, errno)?;
                status = 1;
            }
        }
    }
    Ok(status)
}

/// Complains of a program without operands.
pub(super) fn missing(io: &mut Io, given: &Given, name: &str) -> bool {
    let missing = given.operands.is_empty();
    if missing {
        io.say(format_args!("`{name}` has no operand"));
    }
    missing
}

fn make_one(runner: &mut Runner<'_>, path: &str, mode: u32) -> Result<Id, Errno> {
    // A link to nothing is something; `link/` is not.
    let bare = path.trim_end_matches('/');
    let place = runner.root.resolve(runner.directory(), if bare.is_empty() { path } else { bare }, false)?;
    match (place.node, &place.name) {
        (None, Some(name)) => {
            let now = runner.now();
            runner.root.make_directory(place.directory, name, mode, now)
        }
        _ => Err(Errno::Exists),
    }
}

/// Makes a folder and all above it that are missing; `mode` is that of the last, if it is made. Gives those
/// that were made.
pub(super) fn make_all(runner: &mut Runner<'_>, path: &str, mode: Option<u32>) -> Result<Vec<String>, Errno> {
    if path.is_empty() {
        return Err(Errno::NoEntry);
    }
    let mut at = if path.starts_with('/') { ROOT } else { runner.directory() };
    let mut made = Vec::new();
    let mut so_far = String::new();
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    for (index, name) in names.iter().enumerate() {
        so_far.push_str(if index == 0 && !path.starts_with('/') { "" } else { "/" });
        so_far.push_str(name);
        let place = runner.root.resolve(at, name, true)?;
        at = match (place.node, &place.name) {
            (Some(id), _) if runner.root.is_directory(id) => id,
            (Some(_), _) if index + 1 == names.len() => return Err(Errno::Exists),
            (Some(_), _) => return Err(Errno::NotDirectory),
            // A link to nothing is in the way.
            (None, Some(_)) if runner.root.child(at, name).is_some() => return Err(Errno::Exists),
            (None, Some(name)) => {
                let mode = mode.filter(|_| index + 1 == names.len()).unwrap_or(0o777 & !UMASK);
                let now = runner.now();
                made.push(so_far.clone());
                runner.root.make_directory(place.directory, name, mode, now)?
            }
            (None, None) => return Err(Errno::NoEntry),
        };
    }
    Ok(made)
}

pub(super) fn check_rmdir(arguments: &[String]) -> Result<(), Refusal> {
    RMDIR.parse(arguments).map(drop)
}

pub(super) fn rmdir(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = RMDIR.parse(arguments)?;
    let mut status = u8::from(missing(io, &given, "rmdir"));
    for word in given.words() {
        let mut path = word;
        loop {
            runner.charge(1)?;
            match remove_directory(runner, path) {
                Ok(()) => {}
                Err(Errno::NotEmpty) if given.has('~') => break,
                Err(errno) => {
                    complain(io, path, errno)?;
                    status = 1;
                    break;
                }
            }
            match path.trim_end_matches('/').rsplit_once('/') {
                Some((above, _)) if given.has('p') && !above.is_empty() => path = above,
                _ => break,
            }
        }
    }
    Ok(status)
}

fn remove_directory(runner: &mut Runner<'_>, path: &str) -> Result<(), Errno> {
    let bare = path.trim_end_matches('/');
    match last_name(path) {
        "." => return Err(Errno::Invalid),
        ".." => return Err(Errno::NotEmpty),
        "/" => return Err(Errno::Busy),
        _ => {}
    }
    let place = runner.root.resolve(runner.directory(), bare, false)?;
    match (place.node, &place.name) {
        (Some(id), Some(name)) if runner.root.is_directory(id) => runner.root.unlink(place.directory, name),
        (Some(_), _) => Err(Errno::NotDirectory),
        (None, _) => Err(Errno::NoEntry),
    }
}

pub(super) fn check_rm(arguments: &[String]) -> Result<(), Refusal> {
    RM.parse(arguments).map(drop)
}

pub(super) fn rm(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = RM.parse(arguments)?;
    let force = given.has('f');
    let recursive = given.last_of("rR").is_some();
    let mut status = if force { 0 } else { u8::from(missing(io, &given, "rm")) };
    for path in given.words() {
        runner.charge(1)?;
        match remove(runner, path, recursive, given.has('d')) {
            Ok(removed) => runner.charge(removed)?,
            Err(Errno::NoEntry | Errno::NotDirectory) if force && !link_with_slash(runner, path) => {}
            Err(errno) => {
                complain(io, path, errno)?;
                status = 1;
            }
        }
    }
    Ok(status)
}

/// Whether a path is a link to a folder and ends in a slash: that is neither removed nor passed over.
fn link_with_slash(runner: &Runner<'_>, path: &str) -> bool {
    let bare = path.trim_end_matches('/');
    let link = runner.root.find(runner.directory(), bare, false).ok();
    bare.len() < path.len()
        && link.and_then(|id| runner.root.inode(id)).is_some_and(Inode::is_symlink)
        && runner.root.find(runner.directory(), path, true).is_ok_and(|id| runner.root.is_directory(id))
}

fn remove(runner: &mut Runner<'_>, path: &str, recursive: bool, empty: bool) -> Result<usize, Errno> {
    if matches!(last_name(path), "." | ".." | "/") {
        return Err(Errno::Invalid);
    }
    if link_with_slash(runner, path) {
        if recursive {
            let id = runner.root.find(runner.directory(), path, true)?;
            let names: Vec<String> = runner.root.names(id).map(|(name, _)| name.to_owned()).collect();
            for name in &names {
                runner.root.remove_all(id, name)?;
            }
            return Err(Errno::NotDirectory);
        }
        return Err(Errno::IsDirectory);
    }
    let place = runner.root.resolve(runner.directory(), path, false)?;
    let (Some(id), Some(name)) = (place.node, &place.name) else { return Err(Errno::NoEntry) };
    if !runner.root.is_directory(id) {
        runner.root.unlink(place.directory, name).map(|()| 0)
    } else if recursive {
        let below = runner.root.names(id).count();
        runner.root.remove_all(place.directory, name).map(|()| below)
    } else if empty {
        runner.root.unlink(place.directory, name).map(|()| 0)
    } else {
        Err(Errno::IsDirectory)
    }
}

pub(super) fn check_touch(arguments: &[String]) -> Result<(), Refusal> {
    TOUCH.parse(arguments).map(drop)
}

pub(super) fn touch(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = TOUCH.parse(arguments)?;
    let mut status = u8::from(missing(io, &given, "touch"));
    for path in given.words() {
        runner.charge(1)?;
        if let Err(errno) = touch_one(runner, path, given.has('c')) {
            complain(io, path, errno)?;
            status = 1;
        }
    }
    Ok(status)
}

fn touch_one(runner: &mut Runner<'_>, path: &str, only_existing: bool) -> Result<(), Errno> {
    let now = runner.now();
    let place = runner.root.resolve(runner.directory(), path, true);
    let place = match place {
        Err(Errno::NoEntry) if only_existing => return Ok(()),
        place => place?,
    };
    match (place.node, &place.name) {
        (Some(id), _) => {
            if let Some(inode) = runner.root.inode_mut(id) {
                inode.mtime = now;
            }
            Ok(())
        }
        (None, _) if only_existing => Ok(()),
        (None, Some(name)) if !place.slash => {
            let file = Inode::new(0o666 & !UMASK, now, Node::File(Content::memory([])));
            runner.root.create(place.directory, name, file).map(drop)
        }
        _ => Err(Errno::NoEntry),
    }
}

/// The arguments of `chmod` without a mode such as `-w`, which looks like an option, and that mode.
fn chmod_arguments(arguments: &[String]) -> (Vec<String>, Option<String>) {
    let mut mode = None;
    let rest = arguments.iter().filter(|word| {
        let is_mode = word.len() > 1
            && word.starts_with('-')
            && !word.starts_with("--")
            && word.chars().skip(1).all(|letter| "rwxXstugo,+-=".contains(letter))
            && mode.is_none();
        if is_mode {
            mode = Some((*word).clone());
        }
        !is_mode
    });
    (rest.cloned().collect(), mode)
}

pub(super) fn check_chmod(arguments: &[String]) -> Result<(), Refusal> {
    let (rest, mode) = chmod_arguments(arguments);
    let given = CHMOD.parse(&rest)?;
    let text = mode.or_else(|| given.words().first().map(|word| (*word).to_owned()));
    match text.filter(|text| !text.contains(UNKNOWN)) {
        Some(text) if Mode::parse(&text).is_none() => {
            Err(Refusal::new(0, &text, "is no mode that is understood"))
        }
        _ => Ok(()),
    }
}

pub(super) fn chmod(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let (rest, dashed) = chmod_arguments(arguments);
    let given = CHMOD.parse(&rest)?;
    let mut words = given.words();
    let text = match &dashed {
        Some(mode) => mode.as_str(),
        None if words.is_empty() => "",
        None => words.remove(0),
    };
    let Some(mode) = Mode::parse(text).filter(|_| !words.is_empty()) else {
        io.say(format_args!("`chmod` has no mode, or no file: `{text}`"));
        return Ok(1);
    };
    let mut status = 0;
    for path in words {
        let top = match runner.root.find(runner.directory(), path, true) {
            Ok(top) => top,
            Err(errno) => {
                complain(io, path, errno)?;
                status = 1;
                continue;
            }
        };
        let mut left = vec![top];
        while let Some(id) = left.pop() {
            runner.charge(1)?;
            let Some(inode) = runner.root.inode_mut(id) else { continue };
            if inode.is_symlink() {
                continue;
            }
            let changed = mode.apply(inode.mode, inode.is_directory(), UMASK);
            // What the umask kept from changing, although a mode in an option's place asked for it.
            if dashed.is_some() && changed & !mode.apply(inode.mode, inode.is_directory(), 0) != 0 {
                io.say(format_args!("`{path}`: the umask keeps `{text}` from all that it says"));
                status = 1;
            }
            inode.mode = changed;
            if given.has('R') {
                left.extend(runner.root.names(id).map(|(_, child)| child));
            }
        }
    }
    Ok(status)
}
