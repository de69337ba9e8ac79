//! `tar`, as far as it unpacks. As root does, it keeps owners and modes.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::super::options::{Given, Spec, flag, valued};
use super::super::root::{Errno, Id, Inode, Node};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::mode::UMASK;
use super::{Problem, UNKNOWN, complain};
use crate::archive::bounded::{Bounded, Bounds, Counted};
use crate::archive::compress::{Codec, decoder_of};
use crate::archive::tar::{Member, MemberKind, Reader};
use crate::archive::tree::Kind;
use crate::base::{Content, chain};

const TAR: Spec = Spec {
    short: "xf:zJjC:vpmoa",
    long: &[
        flag("extract", 'x'),
        flag("get", 'x'),
        valued("file", 'f'),
        flag("gzip", 'z'),
        flag("gunzip", 'z'),
        flag("xz", 'J'),
        flag("bzip2", 'j'),
        flag("zstd", 'Z'),
        valued("directory", 'C'),
        valued("strip-components", '#'),
        flag("verbose", 'v'),
        flag("preserve-permissions", 'p'),
        flag("same-permissions", 'p'),
        flag("no-same-permissions", '~'),
        flag("no-same-owner", 'o'),
        flag("same-owner", 's'),
        flag("numeric-owner", 'n'),
        flag("touch", 'm'),
        flag("auto-compress", 'a'),
    ],
};

/// `xzf FILE` is `-x -z -f FILE`.
fn old_style(arguments: &[String]) -> Vec<String> {
    let Some((bundle, rest)) = arguments.split_first() else { return Vec::new() };
    if bundle.starts_with('-') || bundle.contains(UNKNOWN) {
        return arguments.to_vec();
    }
    let (mut words, mut rest) = (Vec::new(), rest.iter());
    for letter in bundle.chars() {
        words.push(format!("-{letter}"));
        if "fC".contains(letter) {
            words.extend(rest.next().cloned());
        }
    }
    words.extend(rest.cloned());
    words
}

fn prepare(arguments: &[String]) -> Result<(Given, usize), Refusal> {
    let given = TAR.parse(&old_style(arguments))?;
    if !given.has('x') {
        return Err(Refusal::new(0, "tar", "does not unpack, and so is not run natively"));
    }
    if !given.has('f') {
        return Err(Refusal::new(0, "tar", "names no archive"));
    }
    if given.options.iter().filter(|(code, _)| *code == 'C').count() > 1 {
        return Err(Refusal::new(0, "-C", "stands more than once, which is not run natively"));
    }
    let strip = match given.value('#').filter(|value| !value.contains(UNKNOWN)) {
        None => 0,
        Some(text) => text.parse().map_err(|_| Refusal::new(0, text, "is no number of directories"))?,
    };
    Ok((given, strip))
}

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    prepare(arguments).map(drop)
}

/// Tells a compression by the first bytes.
fn sniff(start: &[u8]) -> Codec {
    match start {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Codec::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Codec::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
        _ => Codec::Plain,
    }
}

pub(super) fn run(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let (given, strip) = prepare(arguments)?;
    let path = given.value('f').unwrap_or_default();
    let content = match path {
        "-" => Ok(io.stdin.take().unwrap_or_else(|| Content::memory([]))),
        path => runner.read_file(path),
    };
    let content = match content {
        Ok(content) => content,
        Err(errno) => {
            complain(io, path, errno)?;
            return Ok(2);
        }
    };
    let folder = given.value('C').unwrap_or(".");
    let into = match runner.root.find(runner.directory(), folder, true) {
        Ok(id) if runner.root.is_directory(id) => id,
        other => {
            complain(io, folder, other.err().unwrap_or(Errno::NotDirectory))?;
            return Ok(2);
        }
    };
    let mut start = Vec::new();
    content.open().and_then(|reader| reader.take(6).read_to_end(&mut start)).map_err(Stop::Content)?;
    let codec = sniff(&start);
    let wanted = match given.last_of("zJjZ") {
        Some('z') => Codec::Gzip,
        Some('J') => Codec::Xz,
        Some('j') => Codec::Bzip2,
        Some(_) => Codec::Zstd,
        None => codec,
    };
    if codec != wanted {
        io.say(format_args!("`{path}` is {codec} and not {wanted}"));
        return Ok(2);
    }
    let mut unpacking = Unpacking {
        into,
        strip,
        wanted: given.words().iter().map(|word| (word.trim_end_matches('/').to_owned(), false)).collect(),
        given: &given,
        leading_out: BTreeSet::new(),
        plain: (codec == Codec::Plain).then(|| content.clone()),
        status: 0,
    };
    let counted = Counted::new(content.open().map_err(Stop::Content)?);
    let counter = counted.counter();
    let decoder = match decoder_of(codec, counted) {
        Ok(decoder) => Bounded::new(decoder, counter, Bounds::default()),
        Err(error) => {
            io.say(format_args!("`{path}` cannot be read: {error}"));
            return Ok(2);
        }
    };
    unpacking.all(runner, io, path, Reader::new(decoder))?;
    Ok(unpacking.status)
}

struct Unpacking<'a> {
    into: Id,
    strip: usize,
    /// Names that are asked for, and whether they were there.
    wanted: Vec<(String, bool)>,
    given: &'a Given,
    /// Links of the archive that lead out of the folder: nothing of it goes through them.
    leading_out: BTreeSet<Id>,
    /// The archive, if its bytes are those of the files.
    plain: Option<Content>,
    status: u8,
}

impl Unpacking<'_> {
    fn all<R: Read>(
        &mut self,
        runner: &mut Runner<'_>,
        io: &mut Io,
        path: &str,
        mut reader: Reader<R>,
    ) -> Result<(), Stop> {
        loop {
            runner.charge(1)?;
            let member = match reader.next_member() {
                Ok(Some(member)) => member,
                Ok(None) => break,
                Err(error) => {
                    io.say(format_args!("`{path}` cannot be unpacked: {}", chain(&error)));
                    self.status = 2;
                    return Ok(());
                }
            };
            let Ok(name) = String::from_utf8(member.path.clone()) else {
                return Err(Stop::Limit(format!("`{}` has a name that is not UTF-8", member.printable())));
            };
            if !self.is_wanted(&name) {
                continue;
            }
            if name.split('/').any(|part| part == "..") {
                io.say(format_args!("`{name}` climbs out with `..`"));
                self.status = 2;
                continue;
            }
            let parts = self.stripped(&name);
            let Some((last, above)) = parts.split_last() else { continue };
            if self.given.has('v') {
                io.stdout.line(&name);
            }
            match self.member(runner, &mut reader, &member, above, last) {
                Ok(()) => {}
                Err(Problem::Errno(errno)) => {
                    complain(io, &name, errno)?;
                    self.status = 2;
                }
                Err(Problem::Said(why)) => {
                    io.say(format_args!("`{name}` {why}"));
                    self.status = 2;
                }
                Err(Problem::Stop(stop)) => return Err(stop),
            }
        }
        for (name, _) in self.wanted.iter().filter(|(_, found)| !found) {
            io.say(format_args!("`{name}` is not in the archive"));
            self.status = 2;
        }
        Ok(())
    }

    fn is_wanted(&mut self, name: &str) -> bool {
        let name = name.trim_end_matches('/');
        let mut any = self.wanted.is_empty();
        for (wanted, found) in &mut self.wanted {
            let below = name.strip_prefix(wanted.as_str());
            if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                *found = true;
                any = true;
            }
        }
        any
    }

    /// The parts of a name without those that are stripped.
    fn stripped<'n>(&self, name: &'n str) -> Vec<&'n str> {
        let parts = name.split('/').filter(|part| !part.is_empty()).skip(self.strip);
        parts.filter(|part| *part != ".").collect()
    }

    fn folder(&self, runner: &mut Runner<'_>, above: &[&str]) -> Result<Id, Problem> {
        let mut at = self.into;
        for part in above {
            if runner.root.child(at, part).is_some_and(|id| self.leading_out.contains(&id)) {
                return Err(Problem::Said("lies below a link of the archive that leads out of it"));
            }
            let now = runner.now();
            at = runner.root.make_path(at, part, now)?;
        }
        Ok(at)
    }

    fn member<R: Read>(
        &mut self,
        runner: &mut Runner<'_>,
        reader: &mut Reader<R>,
        member: &Member,
        above: &[&str],
        last: &str,
    ) -> Result<(), Problem> {
        let directory = self.folder(runner, above)?;
        let there = runner.root.child(directory, last);
        let mut leads_out = false;
        let node = match &member.kind {
            MemberKind::Directory => {
                let id = match there {
                    Some(id) if runner.root.is_directory(id) => id,
                    _ => {
                        free(runner, directory, last)?;
                        runner.root.make_directory(directory, last, 0o755, 0)?
                    }
                };
                self.dress(runner, id, member);
                return Ok(());
            }
            MemberKind::HardLink(target) => {
                let target = std::str::from_utf8(target)
                    .map_err(|_| Problem::Said("has a target that is not UTF-8"))?;
                let parts = self.stripped(target);
                let Some((name, above)) = parts.split_last() else { return Ok(()) };
                let folder = self.folder(runner, above)?;
                let id = runner.root.child(folder, name).ok_or(Errno::NoEntry)?;
                if there == Some(id) {
                    return Ok(());
                }
                free(runner, directory, last)?;
                return Ok(runner.root.attach(directory, last, id)?);
            }
            MemberKind::File => Node::File(self.bytes(runner, reader, member)?),
            MemberKind::Symlink(target) => {
                let target = std::str::from_utf8(target)
                    .map_err(|_| Problem::Said("has a target that is not UTF-8"))?;
                leads_out = target.starts_with('/') || target.split('/').any(|part| part == "..");
                Node::Symlink(target.to_owned())
            }
            MemberKind::CharDevice(major, minor) => {
                Node::Other(Kind::CharDevice { major: *major, minor: *minor })
            }
            MemberKind::BlockDevice(major, minor) => {
                Node::Other(Kind::BlockDevice { major: *major, minor: *minor })
            }
            MemberKind::Fifo => Node::Other(Kind::Fifo),
        };
        free(runner, directory, last)?;
        let id = runner.root.create(directory, last, Inode::new(0o777, 0, node))?;
        self.dress(runner, id, member);
        if leads_out {
            self.leading_out.insert(id);
        }
        Ok(())
    }

    fn bytes<R: Read>(
        &self,
        runner: &Runner<'_>,
        reader: &mut Reader<R>,
        member: &Member,
    ) -> Result<Content, Problem> {
        if member.size == 0 {
            return Ok(Content::memory([]));
        }
        if let Some(plain) = self.plain.as_ref().filter(|_| !member.sparse)
            && let Some(content) = plain.slice(member.data, member.size)
        {
            return Ok(content);
        }
        let content = runner.environment.keep.keep(&mut reader.data(), member.size);
        let content = content.map_err(|error| Problem::Stop(Stop::Content(error)))?;
        if content.len() != member.size {
            let short = io::Error::other(format!("{} of {} bytes were kept", content.len(), member.size));
            return Err(Problem::Stop(Stop::Content(short)));
        }
        Ok(content)
    }

    fn dress(&self, runner: &mut Runner<'_>, id: Id, member: &Member) {
        let now = runner.now();
        let Some(inode) = runner.root.inode_mut(id) else { return };
        if !inode.is_symlink() {
            inode.mode = member.mode & if self.given.has('~') { !UMASK } else { 0o7777 };
        }
        if !self.given.has('o') {
            (inode.uid, inode.gid) = (member.uid, member.gid);
        }
        inode.mtime = if self.given.has('m') { now } else { member.mtime };
    }
}

/// Removes what is in the way: anything but a folder with something in it.
fn free(runner: &mut Runner<'_>, directory: Id, name: &str) -> Result<(), Errno> {
    match runner.root.child(directory, name) {
        Some(_) => runner.root.unlink(directory, name),
        None => Ok(()),
    }
}
