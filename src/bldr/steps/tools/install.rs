//! `install`.

use std::collections::BTreeSet;

use super::super::options::{Given, Spec, flag, valued};
use super::super::root::{Errno, Id, Inode};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::files::{make_all, missing};
use super::mode::{Mode, UMASK};
use super::movement::{NO_TARGET, TARGET, pairs};
use super::{UNKNOWN, complain};

const INSTALL: Spec = Spec {
    short: "Ddm:pt:Tvco:g:",
    long: &[
        flag("directory", 'd'),
        valued("mode", 'm'),
        flag("preserve-timestamps", 'p'),
        flag("verbose", 'v'),
        valued("owner", 'o'),
        valued("group", 'g'),
        TARGET,
        NO_TARGET,
    ],
};

fn parse(arguments: &[String]) -> Result<(Given, Option<Mode>), Refusal> {
    let given = INSTALL.parse(arguments)?;
    for (code, value) in &given.options {
        if matches!(code, 'o' | 'g') && !["root", "0"].contains(&value.as_str()) && !value.contains(UNKNOWN) {
            return Err(Refusal::new(0, value, "is an owner other than root"));
        }
    }
    let mode = match given.value('m').filter(|text| !text.contains(UNKNOWN)) {
        None => None,
        Some(text) => {
            Some(Mode::parse(text).ok_or_else(|| Refusal::new(0, text, "is no mode that is understood"))?)
        }
    };
    Ok((given, mode))
}

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    parse(arguments).map(drop)
}

pub(super) fn run(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let (given, mode) = parse(arguments)?;
    let mut status = 0;
    if given.has('d') {
        status = u8::from(missing(io, &given, "install"));
        let mode = mode.map_or(0o755, |mode| mode.apply(0, true, 0));
        for path in given.words() {
            runner.charge(1)?;
            let made = make_all(runner, path, Some(mode))
                .and_then(|_| runner.root.find(runner.directory(), path, true));
            match made {
                Ok(id) => {
                    if let Some(inode) = runner.root.inode_mut(id) {
                        inode.mode = mode;
                    }
                }
                Err(errno) => {
                    complain(io, path, errno)?;
                    status = 1;
                }
            }
        }
        return Ok(status);
    }
    let mode = mode.map_or(0o755, |mode| mode.apply(0, false, 0));
    if given.has('D')
        && let Some(target) = given.value('t')
        && let Err(errno) = make_all(runner, target, None)
    {
        complain(io, target, errno)?;
        return Ok(1);
    }
    let Some(pairs) = pairs(runner, io, "install", &given) else { return Ok(1) };
    let mut made = BTreeSet::new();
    for (source, destination) in pairs {
        runner.charge(1)?;
        if given.has('D')
            && !given.has('t')
            && let Some((above, _)) = destination.trim_end_matches('/').rsplit_once('/')
            && !above.is_empty()
            && let Err(errno) = make_all(runner, above, Some(0o777 & !UMASK))
        {
            complain(io, above, errno)?;
            status = 1;
            continue;
        }
        match install(runner, &source, &destination, mode, given.has('p'), &mut made) {
            Ok(()) if given.has('v') => io.stdout.line(&format!("'{source}' -> '{destination}'")),
            Ok(()) => {}
            Err(Problem::Errno(path, errno)) => {
                complain(io, &path, errno)?;
                status = 1;
            }
            Err(Problem::Said(why)) => {
                io.say(format_args!("`{source}` cannot be installed as `{destination}`: {why}"));
                status = 1;
            }
        }
    }
    Ok(status)
}

enum Problem {
    Errno(String, Errno),
    Said(&'static str),
}

fn install(
    runner: &mut Runner<'_>,
    from: &str,
    to: &str,
    mode: u32,
    keep_time: bool,
    made: &mut BTreeSet<(Id, String)>,
) -> Result<(), Problem> {
    let at = runner.directory();
    let of = |path: &str| {
        let path = path.to_owned();
        move |errno| Problem::Errno(path, errno)
    };
    let source = runner.root.find(at, from, true).map_err(of(from))?;
    let inode = runner.root.inode(source).ok_or(Errno::NoEntry).map_err(of(from))?;
    if inode.is_directory() {
        return Err(Problem::Said("it is a directory"));
    }
    if !inode.is_file() {
        return Err(Problem::Said("it is no regular file"));
    }
    let mut copy = Inode::new(mode, if keep_time { inode.mtime } else { runner.now() }, inode.node.clone());
    (copy.uid, copy.gid) = (0, 0);
    let place = runner.root.resolve(at, to, false).map_err(of(to))?;
    let Some(name) = place.name.clone() else { return Err(Problem::Said("it is a directory")) };
    if let Some(there) = place.node {
        if there == source {
            let own = runner.root.resolve(at, from, false).map_err(of(from))?;
            let several = runner.root.inode(there).is_some_and(|inode| inode.links > 1);
            if !several
                || (own.directory, &own.name) == (place.directory, &place.name)
                || own.node != place.node
            {
                return Err(Problem::Said("they are the same file"));
            }
        }
        if runner.root.is_directory(there) {
            return Err(Problem::Said("it is a directory"));
        }
        if made.contains(&(place.directory, name.clone())) {
            return Err(Problem::Said("it was just made"));
        }
        let own = runner.root.resolve(at, from, false).map_err(of(from))?;
        runner.root.unlink(place.directory, &name).map_err(of(to))?;
        // A link that is installed onto itself is gone before it is read.
        if (own.directory, &own.name) == (place.directory, &place.name) {
            return Err(Problem::Errno(from.to_owned(), Errno::NoEntry));
        }
    } else if place.slash {
        return Err(Problem::Errno(to.to_owned(), Errno::NotDirectory));
    }
    runner.root.create(place.directory, &name, copy).map_err(of(to))?;
    made.insert((place.directory, name));
    Ok(())
}
