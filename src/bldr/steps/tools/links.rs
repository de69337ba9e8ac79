//! `ln`, `readlink`, `realpath`.

use super::super::options::{Spec, flag};
use super::super::root::{Errno, Id, Inode, Node, Root};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::files::missing;
use super::movement::{NO_TARGET, TARGET};
use super::{beside, complain, last_name};
use crate::archive::tree::PATH_MAX;

const LN: Spec = Spec {
    short: "sfnrTt:vLP",
    long: &[
        flag("symbolic", 's'),
        flag("force", 'f'),
        flag("no-dereference", 'n'),
        flag("relative", 'r'),
        flag("verbose", 'v'),
        flag("logical", 'L'),
        flag("physical", 'P'),
        TARGET,
        NO_TARGET,
    ],
};
const READLINK: Spec = Spec {
    short: "fenmqsv",
    long: &[
        flag("canonicalize", 'f'),
        flag("canonicalize-existing", 'e'),
        flag("canonicalize-missing", 'm'),
        flag("no-newline", 'n'),
        flag("quiet", 'q'),
        flag("silent", 's'),
        flag("verbose", 'v'),
    ],
};
const REALPATH: Spec = Spec {
    short: "emq",
    long: &[flag("canonicalize-existing", 'e'), flag("canonicalize-missing", 'm'), flag("quiet", 'q')],
};

pub(super) fn check_ln(arguments: &[String]) -> Result<(), Refusal> {
    LN.parse(arguments).map(drop)
}

pub(super) fn ln(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = LN.parse(arguments)?;
    let words = given.words();
    let at = runner.directory();
    // With `-n`, a link to a folder is a name and no folder.
    let is_folder = |runner: &Runner<'_>, path: &str| {
        runner
            .root
            .find(at, path, !given.has('n') || path.ends_with('/'))
            .is_ok_and(|id| runner.root.is_directory(id))
    };
    let pairs: Vec<(&str, String)> = match (given.value('t'), words.as_slice()) {
        (_, []) => {
            missing(io, &given, "ln");
            return Ok(1);
        }
        (Some(target), words) if is_folder(runner, target) && !given.has('T') => {
            words.iter().map(|word| (*word, beside(target, last_name(word)))).collect()
        }
        (None, [only]) if !given.has('T') => vec![(*only, beside(".", last_name(only)))],
        (None, [sources @ .., target]) if !given.has('T') && is_folder(runner, target) => {
            sources.iter().map(|word| (*word, beside(target, last_name(word)))).collect()
        }
        (None, [source, target]) => vec![(*source, (*target).to_owned())],
        _ => {
            io.say("`ln`: the target is not a directory");
            return Ok(1);
        }
    };
    let mut status = 0;
    let mut made = std::collections::BTreeSet::new();
    for (target, name) in &pairs {
        runner.charge(1)?;
        let made = (pairs.len() > 1).then_some(&mut made);
        let target = if given.has('s') && given.has('r') {
            relative(runner.root, at, target, name)
        } else {
            (*target).to_owned()
        };
        let linked = if given.has('s') {
            symlink(runner, &target, name, given.has('f'), made)
        } else {
            hard_link(runner, &target, name, (given.has('f'), given.last_of("LP") == Some('L')), made)
        };
        match linked {
            Ok(()) if given.has('v') => io.stdout.line(&format!("'{name}' -> '{target}'")),
            Ok(()) => {}
            Err(errno) => {
                complain(io, name, errno)?;
                status = 1;
            }
        }
    }
    Ok(status)
}

/// Names that were made by this command, which it does not replace.
type Made<'a> = Option<&'a mut std::collections::BTreeSet<(Id, String)>>;

/// The free place of a name; what is there is removed if `force`.
fn free(runner: &mut Runner<'_>, path: &str, force: bool, made: Made<'_>) -> Result<(Id, String), Errno> {
    let place = runner.root.resolve(runner.directory(), path, false)?;
    let Some(name) = place.name else { return Err(Errno::Exists) };
    if place.node.is_none() && place.slash {
        return Err(Errno::NoEntry);
    }
    let key = (place.directory, name.clone());
    match place.node {
        Some(id) if !force || runner.root.is_directory(id) => return Err(Errno::Exists),
        Some(_) if made.as_ref().is_some_and(|made| made.contains(&key)) => return Err(Errno::Exists),
        Some(_) => runner.root.unlink(place.directory, &name)?,
        None => {}
    }
    if let Some(made) = made {
        made.insert(key);
    }
    Ok((place.directory, name))
}

fn symlink(
    runner: &mut Runner<'_>,
    target: &str,
    name: &str,
    force: bool,
    made: Made<'_>,
) -> Result<(), Errno> {
    if target.is_empty() {
        return Err(Errno::NoEntry);
    }
    if target.len() >= PATH_MAX {
        return Err(Errno::NameTooLong);
    }
    // A link in the place of its own target would lose it.
    if force
        && let Ok(source) = runner.root.resolve(runner.directory(), target, true)
        && let Ok(place) = runner.root.resolve(runner.directory(), name, false)
        && let Some(id) = source.node.filter(|id| Some(*id) == place.node)
        && (runner.root.inode(id).is_some_and(|inode| inode.links == 1)
            || (source.directory, &source.name) == (place.directory, &place.name))
    {
        return Err(Errno::Exists);
    }
    let (directory, name) = free(runner, name, force, made)?;
    let now = runner.now();
    runner.root.create(directory, &name, Inode::new(0o777, now, Node::Symlink(target.to_owned()))).map(drop)
}

fn hard_link(
    runner: &mut Runner<'_>,
    target: &str,
    name: &str,
    (force, follow): (bool, bool),
    made: Made<'_>,
) -> Result<(), Errno> {
    let source = runner.root.resolve(runner.directory(), target, follow)?;
    let id = source.node.ok_or(Errno::NoEntry)?;
    if runner.root.is_directory(id) {
        return Err(Errno::IsDirectory);
    }
    let place = runner.root.resolve(runner.directory(), name, false)?;
    if place.node == Some(id) && force {
        // The same name would be lost; another one of the same file is one already.
        let same = (source.directory, &source.name) == (place.directory, &place.name);
        return if same { Err(Errno::Exists) } else { Ok(()) };
    }
    let (directory, name) = free(runner, name, force, made)?;
    runner.root.attach(directory, &name, id)
}

/// What of a path need not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Nothing,
    Last,
    All,
}

/// The absolute path without links in it.
fn canonical(root: &Root, from: Id, path: &str, may: Missing) -> Result<String, Errno> {
    if path.is_empty() {
        return Err(Errno::NoEntry);
    }
    let mut at = if path.starts_with('/') { super::super::root::ROOT } else { from };
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    let mut names = names.as_slice();
    while let Some((name, rest)) = names.split_first() {
        let place = match root.resolve(at, name, true) {
            Ok(place) => place,
            Err(_) if may == Missing::All => return Ok(joined(root.path_of(at), names)),
            Err(errno) => return Err(errno),
        };
        match place.node {
            Some(id) if root.is_directory(id) => at = id,
            None if may == Missing::Nothing || (may == Missing::Last && !rest.is_empty()) => {
                return Err(Errno::NoEntry);
            }
            Some(_) if (!rest.is_empty() || path.ends_with('/')) && may != Missing::All => {
                return Err(Errno::NotDirectory);
            }
            _ => {
                let name = place.name.unwrap_or_default();
                let own = [&[name.as_str()], rest].concat();
                return Ok(joined(root.path_of(place.directory), &own));
            }
        }
        names = rest;
    }
    Ok(root.path_of(at))
}

/// Names behind a path, `..` among them taken back.
fn joined(path: String, names: &[&str]) -> String {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for name in names {
        match *name {
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The target of a link at `name`, from there.
fn relative(root: &Root, at: Id, target: &str, name: &str) -> String {
    let folder = match name.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    };
    let both = canonical(root, at, target, Missing::All)
        .and_then(|target| Ok((target, canonical(root, at, folder, Missing::All)?)));
    let Ok((target, folder)) = both else { return target.to_owned() };
    let parts =
        |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (target, folder) = (parts(&target), parts(&folder));
    let common = target.iter().zip(&folder).take_while(|(one, other)| one == other).count();
    let up = folder.iter().skip(common).map(|_| "..".to_owned());
    let path: Vec<String> = up.chain(target.into_iter().skip(common)).collect();
    if path.is_empty() { ".".to_owned() } else { path.join("/") }
}

pub(super) fn check_readlink(arguments: &[String]) -> Result<(), Refusal> {
    READLINK.parse(arguments).map(drop)
}

pub(super) fn readlink(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = READLINK.parse(arguments)?;
    let mut status = u8::from(missing(io, &given, "readlink"));
    for path in given.words() {
        runner.charge(1)?;
        let may = match given.last_of("fem") {
            Some('f') => Some(Missing::Last),
            Some('e') => Some(Missing::Nothing),
            Some(_) => Some(Missing::All),
            None => None,
        };
        let found = match may {
            Some(may) => canonical(runner.root, runner.directory(), path, may).ok(),
            None => runner.root.find(runner.directory(), path, false).ok().and_then(|id| {
                match runner.root.inode(id).map(|inode| &inode.node) {
                    Some(Node::Symlink(target)) => Some(target.clone()),
                    _ => None,
                }
            }),
        };
        match found {
            Some(found) if given.has('n') && given.operands.len() == 1 => io.stdout.write(found.as_bytes()),
            Some(found) => io.stdout.line(&found),
            None => status = 1,
        }
    }
    Ok(status)
}

pub(super) fn check_realpath(arguments: &[String]) -> Result<(), Refusal> {
    REALPATH.parse(arguments).map(drop)
}

pub(super) fn realpath(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = REALPATH.parse(arguments)?;
    let mut status = u8::from(missing(io, &given, "realpath"));
    let may = match given.last_of("em") {
        Some('e') => Missing::Nothing,
        Some(_) => Missing::All,
        None => Missing::Last,
    };
    for path in given.words() {
        runner.charge(1)?;
        match canonical(runner.root, runner.directory(), path, may) {
            Ok(found) => io.stdout.line(&found),
            Err(errno) => {
                complain(io, path, errno)?;
                status = 1;
            }
        }
    }
    Ok(status)
}
