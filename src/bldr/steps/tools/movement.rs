//! `mv`, and where the operands of `cp`, `mv`, `ln` and `install` go.

use std::collections::BTreeSet;

use super::super::options::{Given, Long, Spec, flag, valued};
use super::super::root::{Errno, Id, Inode};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::{Problem, beside, complain, last_name};

const MV: Spec = Spec {
    short: "fnvTt:",
    long: &[
        flag("force", 'f'),
        flag("no-clobber", 'n'),
        flag("verbose", 'v'),
        TARGET,
        NO_TARGET,
        flag("strip-trailing-slashes", '/'),
    ],
};
pub(super) const TARGET: Long = valued("target-directory", 't');
pub(super) const NO_TARGET: Long = flag("no-target-directory", 'T');

/// Sources, each with its destination.
pub(super) type Pairs = Vec<(String, String)>;

/// Which operand goes where: into the last one or that of `-t`, if it is a folder, or onto it. `None`: it has
/// been said what is wrong.
pub(super) fn pairs(runner: &Runner<'_>, io: &mut Io, name: &str, given: &Given) -> Option<Pairs> {
    let words = given.words();
    let is_folder = |path: &str| {
        runner.root.find(runner.directory(), path, true).is_ok_and(|id| runner.root.is_directory(id))
    };
    let (target, sources, into) = match (given.value('t'), words.split_last()) {
        (Some(target), _) => (target, words.as_slice(), true),
        (None, Some((target, sources))) => (*target, sources, !given.has('T') && is_folder(target)),
        (None, None) => ("", words.as_slice(), false),
    };
    if sources.is_empty() {
        io.say(format_args!("`{name}` lacks an operand"));
        return None;
    }
    if given.has('t') && given.has('T') {
        io.say(format_args!("`{name}` cannot have `-t` and `-T`"));
        return None;
    }
    if (into && !is_folder(target)) || (!into && sources.len() > 1) {
        io.say(format_args!("`{name}`: the target `{target}` is not a directory"));
        return None;
    }
    let destination = |source: &str| match last_name(source) {
        _ if !into => target.to_owned(),
        ".." => target.to_owned(),
        name => beside(target, name),
    };
    Some(sources.iter().map(|source| ((*source).to_owned(), destination(source))).collect())
}

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    MV.parse(arguments).map(drop)
}

pub(super) fn mv(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = MV.parse(arguments)?;
    let Some(pairs) = pairs(runner, io, "mv", &given) else { return Ok(1) };
    let mut status = 0;
    let mut made = BTreeSet::new();
    let several = pairs.len() > 1;
    for (source, destination) in pairs {
        let source = if given.has('/') { source.trim_end_matches('/') } else { &source };
        runner.charge(1)?;
        match rename(runner, source, &destination, given.has('n'), several.then_some(&mut made)) {
            Ok(()) if given.has('v') => io.stdout.line(&format!("renamed '{source}' -> '{destination}'")),
            Ok(()) => {}
            Err(Problem::Stop(stop)) => return Err(stop),
            Err(Problem::Errno(errno)) => {
                complain(io, source, errno)?;
                status = 1;
            }
            Err(Problem::Said(why)) => {
                io.say(format_args!("`{source}` cannot be moved to `{destination}`: {why}"));
                status = 1;
            }
        }
    }
    Ok(status)
}

fn rename(
    runner: &mut Runner<'_>,
    source: &str,
    destination: &str,
    keep: bool,
    made: Option<&mut BTreeSet<(Id, String)>>,
) -> Result<(), Problem> {
    let at = runner.directory();
    if matches!(last_name(source), "." | ".." | "/") {
        return Err(Problem::Errno(Errno::Busy));
    }
    let bare = source.trim_end_matches('/');
    let from = runner.root.resolve(at, bare, false)?;
    let (Some(id), Some(from_name)) = (from.node, from.name) else { return Err(Errno::NoEntry.into()) };
    let inode = runner.root.inode(id).ok_or(Errno::NoEntry)?;
    let (directory, link) = (inode.is_directory(), inode.is_symlink());
    runner.charge(runner.root.count(id)).map_err(Problem::Stop)?;
    if bare.len() < source.len() && !directory {
        return Err(Errno::NotDirectory.into());
    }
    // `new/` is a name for a folder, and for nothing else; `link/` is the folder that it leads to.
    let bare = destination.trim_end_matches('/');
    if bare.len() < destination.len() && !directory {
        return Err(Problem::Said("it is not a directory"));
    }
    let to = runner.root.resolve(at, if bare.is_empty() { "/" } else { bare }, false)?;
    let Some(to_name) = to.name else { return Err(Errno::Busy.into()) };
    if let Some(there) = to.node {
        if keep {
            return Ok(());
        }
        if there == id {
            return Err(Problem::Said("they are the same file"));
        }
        let there_inode = runner.root.inode(there).ok_or(Errno::NoEntry)?;
        if link && !there_inode.is_symlink() && runner.root.find(at, source, true).ok() == Some(there) {
            return Err(Problem::Said("they are the same file"));
        }
        match (directory, there_inode.is_directory()) {
            (true, false) => return Err(Problem::Said("a directory does not overwrite what is none")),
            (false, true) => return Err(Problem::Said("it is a directory")),
            (false, false)
                if made.as_ref().is_some_and(|made| made.contains(&(to.directory, to_name.clone()))) =>
            {
                return Err(Problem::Said("it was just made"));
            }
            _ => {}
        }
    }
    // A name stays with its folder, so that a later operand of the same name is seen.
    runner.root.rename((from.directory, &from_name), (to.directory, &to_name)).map_err(
        |errno| match errno {
            Errno::Invalid => Problem::Said("it would lie within itself"),
            Errno::NotEmpty => Problem::Said("the directory there is not empty"),
            errno => Problem::Errno(errno),
        },
    )?;
    if let Some(made) = made {
        made.insert((to.directory, to_name));
    }
    Ok(())
}

/// Whether what is there is a symlink.
pub(super) fn is_link(runner: &Runner<'_>, id: Option<Id>) -> bool {
    id.and_then(|id| runner.root.inode(id)).is_some_and(Inode::is_symlink)
}
