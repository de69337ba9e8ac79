//! `cp`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::options::{Given, Spec, flag, optional, valued};
use super::super::root::{Errno, Id, Inode, Node, Place};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::mode::UMASK;
use super::movement::{NO_TARGET, TARGET, is_link, pairs};
use super::{UNKNOWN, beside, complain};

const CP: Spec = Spec {
    short: "rRapdPLHfnlvTt:",
    long: &[
        flag("recursive", 'r'),
        flag("archive", 'a'),
        flag("no-dereference", 'P'),
        flag("dereference", 'L'),
        flag("force", 'f'),
        flag("no-clobber", 'n'),
        flag("link", 'l'),
        flag("verbose", 'v'),
        flag("remove-destination", '!'),
        optional("preserve", '='),
        valued("no-preserve", '~'),
        optional("reflink", '&'),
        optional("sparse", '&'),
        TARGET,
        NO_TARGET,
    ],
};

/// Which symlinks are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follow {
    Never,
    Operands,
    Always,
}

/// What of a file's attributes is kept.
#[derive(Debug, Clone, Copy, Default)]
struct Preserve {
    mode: bool,
    owner: bool,
    time: bool,
    links: bool,
    xattrs: bool,
    /// `--no-preserve=mode`: not even what is copied otherwise.
    plain_mode: bool,
}

struct Copier {
    recursive: bool,
    follow: Follow,
    preserve: Preserve,
    keep: bool,
    unlink: bool,
    link: bool,
    force: bool,
    verbose: bool,
    /// Copies of files that have several names.
    copied: BTreeMap<Id, Id>,
    /// Names that operands of this command became; `None` if there is one operand alone.
    made: Option<BTreeSet<(Id, String)>>,
    folders: BTreeSet<Id>,
    /// Folders that were made.
    created: BTreeSet<Id>,
}

impl Copier {
    fn new(given: &Given) -> Result<Self, Refusal> {
        let mut preserve = Preserve::default();
        let mut follow = None;
        for (code, value) in &given.options {
            match code {
                'a' => {
                    preserve = Preserve {
                        mode: true,
                        owner: true,
                        time: true,
                        links: true,
                        xattrs: true,
                        plain_mode: false,
                    };
                    follow = Some(Follow::Never);
                }
                'p' => (preserve.mode, preserve.owner, preserve.time) = (true, true, true),
                'd' => {
                    preserve.links = true;
                    follow = Some(Follow::Never);
                }
                'P' => follow = Some(Follow::Never),
                'L' => follow = Some(Follow::Always),
                'H' => follow = Some(Follow::Operands),
                '=' | '~' => preserve.list(value, *code == '=')?,
                _ => {}
            }
        }
        let recursive = given.last_of("rRa").is_some();
        let default = if recursive && !given.has('l') { Follow::Never } else { Follow::Always };
        Ok(Self {
            recursive,
            follow: follow.unwrap_or(default),
            preserve,
            keep: given.has('n'),
            unlink: given.has('!'),
            link: given.has('l'),
            force: given.has('f'),
            verbose: given.has('v'),
            copied: BTreeMap::new(),
            made: None,
            folders: BTreeSet::new(),
            created: BTreeSet::new(),
        })
    }
}

impl Preserve {
    fn list(&mut self, list: &str, on: bool) -> Result<(), Refusal> {
        let list = if list.is_empty() { "mode,ownership,timestamps" } else { list };
        for name in list.split(',').filter(|name| !name.contains(UNKNOWN)) {
            match name {
                "mode" => (self.mode, self.plain_mode) = (on, !on),
                "ownership" => self.owner = on,
                "timestamps" => self.time = on,
                "links" => self.links = on,
                "xattr" | "context" => self.xattrs = on,
                "all" => {
                    let kept = Self { mode: on, owner: on, time: on, links: on, xattrs: on, plain_mode: !on };
                    *self = kept;
                }
                name => return Err(Refusal::new(0, name, "is no attribute that is known")),
            }
        }
        Ok(())
    }
}

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    Copier::new(&CP.parse(arguments)?).map(drop)
}

pub(super) fn cp(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let given = CP.parse(arguments)?;
    let mut copier = Copier::new(&given)?;
    let Some(pairs) = pairs(runner, io, "cp", &given) else { return Ok(1) };
    if pairs.len() > 1 {
        copier.made = Some(BTreeSet::new());
    }
    let mut done = true;
    for (source, destination) in pairs {
        done &= copier.copy(runner, io, &source, &destination, true)?;
    }
    Ok(u8::from(!done))
}

/// Whether something was copied, or what is to be said about it.
type Copied = Result<Result<(), String>, Stop>;

fn errno(path: &str, errno: Errno) -> Copied {
    if errno.is_limit() { Err(Stop::Limit(errno.to_string())) } else { Ok(Err(format!("`{path}`: {errno}"))) }
}

impl Copier {
    /// Copies one file, or a folder with all that is in it.
    fn copy(
        &mut self,
        runner: &mut Runner<'_>,
        io: &mut Io,
        from: &str,
        to: &str,
        operand: bool,
    ) -> Result<bool, Stop> {
        runner.charge(1)?;
        let follow = match self.follow {
            Follow::Never => false,
            Follow::Operands => operand,
            Follow::Always => true,
        };
        let source = match runner.root.find(runner.directory(), from, follow) {
            Ok(source) => source,
            Err(errno) => {
                complain(io, from, errno)?;
                return Ok(false);
            }
        };
        if runner.root.is_directory(source) {
            return self.folder(runner, io, source, (from, to), operand);
        }
        match self.file(runner, source, from, to, operand)? {
            Ok(()) => {
                if self.verbose {
                    io.stdout.line(&format!("'{from}' -> '{to}'"));
                }
                Ok(true)
            }
            Err(why) => {
                io.say(why);
                Ok(false)
            }
        }
    }

    fn folder(
        &mut self,
        runner: &mut Runner<'_>,
        io: &mut Io,
        source: Id,
        (from, to): (&str, &str),
        operand: bool,
    ) -> Result<bool, Stop> {
        if !self.recursive {
            io.say(format_args!("`{from}` is a directory, and there is no `-r`"));
            return Ok(false);
        }
        if operand && self.made.is_some() && !self.folders.insert(source) {
            io.say(format_args!("`{from}` stands more than once"));
            return Ok(true);
        }
        // Folders that this command made are not copied: there would be no end.
        if self.created.contains(&source) {
            io.say(format_args!("`{from}` cannot be copied into itself, `{to}`"));
            return Ok(false);
        }
        let target = match self.target_folder(runner, source, from, to)? {
            Ok((target, new)) => {
                if new && self.verbose {
                    io.stdout.line(&format!("'{from}' -> '{to}'"));
                }
                target
            }
            Err(why) => {
                io.say(why);
                return Ok(false);
            }
        };
        let names: Vec<String> = runner.root.names(source).map(|(name, _)| name.to_owned()).collect();
        let mut done = true;
        for name in names {
            done &= self.copy(runner, io, &beside(from, &name), &beside(to, &name), false)?;
        }
        self.dress(runner, source, target);
        Ok(done)
    }

    /// The folder that a folder is copied to, and whether it was made for that.
    fn target_folder(
        &mut self,
        runner: &mut Runner<'_>,
        source: Id,
        from: &str,
        to: &str,
    ) -> Result<Result<(Id, bool), String>, Stop> {
        let bare = to.trim_end_matches('/');
        let place = runner.root.resolve(runner.directory(), if bare.is_empty() { "/" } else { bare }, false);
        let place = match place {
            Ok(place) => place,
            Err(problem) => return errno(to, problem).map(|said| said.map(|()| (source, false))),
        };
        match (place.node, &place.name) {
            (Some(target), _) if target == source => Ok(Err(format!("`{from}` and `{to}` are the same"))),
            (Some(target), _) if !runner.root.is_directory(target) => {
                Ok(Err(format!("`{to}` is no directory, and `{from}` does not overwrite it")))
            }
            (Some(target), _) => Ok(Ok((target, false))),
            (None, Some(name)) => {
                let mode = runner.root.inode(source).map_or(0o777, |inode| inode.mode);
                let mode = if self.preserve.plain_mode { 0o777 } else { mode } & 0o1777 & !UMASK;
                let now = runner.now();
                match runner.root.make_directory(place.directory, name, mode, now) {
                    Ok(target) => {
                        self.created.insert(target);
                        Ok(Ok((target, true)))
                    }
                    Err(problem) => errno(to, problem).map(|said| said.map(|()| (source, false))),
                }
            }
            (None, None) => Ok(Err(format!("`{to}` cannot be made"))),
        }
    }

    fn file(&mut self, runner: &mut Runner<'_>, source: Id, from: &str, to: &str, operand: bool) -> Copied {
        let Some(inode) = runner.root.inode(source).cloned() else { return errno(from, Errno::NoEntry) };
        let at = runner.directory();
        let regular = inode.is_file();
        let looked = runner.root.resolve(at, to, regular && !self.unlink && !self.link);
        let (looked, own) = match (looked, runner.root.resolve(at, to, false)) {
            (Ok(looked), Ok(own)) => (looked, own),
            (Err(problem), _) | (_, Err(problem)) => return errno(to, problem),
        };
        let Some(own_name) = own.name.clone() else { return errno(to, Errno::IsDirectory) };
        let key = (own.directory, own_name.clone());
        let mut there = looked.node;
        if let Some(target) = there {
            match self.same(runner, source, target, from, &own) {
                Same::No => {}
                Same::Done => return Ok(Ok(())),
                Same::Yes => return Ok(Err(format!("`{from}` and `{to}` are the same file"))),
            }
            if self.keep {
                return Ok(Ok(()));
            }
            if runner.root.is_directory(target) {
                return Ok(Err(format!("`{to}` is a directory, and `{from}` does not overwrite it")));
            }
            if self.made.as_ref().is_some_and(|made| made.contains(&key)) {
                return Ok(Err(format!("`{to}` was just made, and `{from}` does not overwrite it")));
            }
            let names = runner.root.inode(target).map_or(0, |inode| inode.links);
            if self.link && !self.force && !self.unlink {
                return errno(to, Errno::Exists);
            }
            if self.unlink
                || self.link
                || (self.preserve.links && names > 1)
                || (self.follow == Follow::Never && !regular)
            {
                if let Err(problem) = runner.root.unlink(own.directory, &own_name) {
                    return errno(to, problem);
                }
                there = None;
            }
        } else if is_link(runner, own.node) {
            return Ok(Err(format!("`{to}` is a link to nothing, and is not written through")));
        }
        if there.is_none() && looked.slash {
            return errno(to, Errno::NotDirectory);
        }
        if let Err(problem) = self.place(runner, source, inode, there, (own.directory, &own_name)) {
            return errno(to, problem);
        }
        if operand && let Some(made) = &mut self.made {
            made.insert(key);
        }
        Ok(Ok(()))
    }

    /// Puts a copy of `inode` onto `there`, or under a name that is free.
    fn place(
        &mut self,
        runner: &mut Runner<'_>,
        source: Id,
        inode: Inode,
        there: Option<Id>,
        (directory, name): (Id, &str),
    ) -> Result<(), Errno> {
        let known = if self.link { Some(source) } else { self.copied.get(&source).copied() };
        if let Some(known) = known.filter(|known| *known != source || self.link)
            && runner.root.inode(known).is_some()
        {
            if there.is_some() {
                runner.root.unlink(directory, name)?;
            }
            return runner.root.attach(directory, name, known);
        }
        let now = runner.now();
        let regular = inode.is_file();
        let target = match there {
            Some(_) if !regular => return Err(Errno::Exists),
            Some(target) => {
                if let Some(there) = runner.root.inode_mut(target) {
                    (there.node, there.mtime) = (inode.node.clone(), now);
                }
                target
            }
            None => {
                let mode = match inode.node {
                    Node::Symlink(_) => 0o777,
                    _ if self.preserve.plain_mode => 0o666 & !UMASK,
                    _ => inode.mode & 0o777 & !UMASK,
                };
                runner.root.create(directory, name, Inode::new(mode, now, inode.node.clone()))?
            }
        };
        if self.preserve.links && (inode.links > 1 || self.follow != Follow::Never) {
            self.copied.insert(source, target);
        }
        self.dress(runner, source, target);
        Ok(())
    }

    /// Gives a copy those attributes of its source that are kept.
    fn dress(&self, runner: &mut Runner<'_>, source: Id, target: Id) {
        let Some(source) = runner.root.inode(source).cloned() else { return };
        let Some(target) = runner.root.inode_mut(target) else { return };
        if self.preserve.mode && !source.is_symlink() {
            target.mode = source.mode;
        }
        if self.preserve.owner {
            (target.uid, target.gid) = (source.uid, source.gid);
        }
        if self.preserve.time {
            target.mtime = source.mtime;
        }
        if self.preserve.xattrs {
            target.xattrs.extend(source.xattrs);
        }
    }

    /// Whether a copy would be onto itself, which loses it.
    fn same(&self, runner: &Runner<'_>, source: Id, target: Id, from: &str, own: &Place) -> Same {
        let at = runner.directory();
        let same = source == target;
        if same && self.link {
            return Same::Done;
        }
        let Ok(from_own) = runner.root.resolve(at, from, false) else { return Same::No };
        let same_name = (from_own.directory, &from_own.name) == (own.directory, &own.name);
        let (source_link, target_link) = if self.follow == Follow::Never {
            if is_link(runner, Some(source)) && is_link(runner, Some(target)) {
                return match (same_name, same) {
                    (true, _) => Same::Yes,
                    (false, true) => Same::Done,
                    (false, false) => Same::No,
                };
            }
            (Some(source), Some(target))
        } else {
            if !same {
                return Same::No;
            }
            if is_link(runner, from_own.node) && is_link(runner, own.node) && self.unlink {
                return Same::No;
            }
            (from_own.node, own.node)
        };
        if self.unlink
            && (is_link(runner, target_link)
                || (source_link == target_link
                    && target_link.and_then(|id| runner.root.inode(id)).is_some_and(|inode| inode.links > 1)
                    && !same_name))
        {
            return Same::No;
        }
        if !is_link(runner, source_link) && !is_link(runner, target_link) && source_link != target_link {
            return Same::No;
        }
        if self.follow == Follow::Never {
            let followed = |id: Option<Id>, directory: Id, name: &Option<String>| match name {
                Some(name) if is_link(runner, id) => runner.root.find(directory, name, true).ok(),
                _ => id,
            };
            let source = followed(source_link, from_own.directory, &from_own.name);
            let target = followed(target_link, own.directory, &own.name);
            if source.is_none() || target.is_none() || source != target {
                return Same::No;
            }
        }
        Same::Yes
    }
}

/// What [`Copier::same`] finds.
enum Same {
    No,
    Yes,
    /// The same, and nothing is to be done.
    Done,
}
