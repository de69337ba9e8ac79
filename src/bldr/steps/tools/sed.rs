//! `sed`: `s`, `d`, `p`, `q`, `=`, `y`, `n`, `a`, `i`, `c` and groups, with addresses.

mod script;

use super::super::options::{Given, Spec, flag, optional, valued};
use super::super::root::{Inode, Node};
use super::super::run::{Io, Refusal, Runner, Stop, TEXT_MAX};
use super::text::{inputs, read};
use super::{UNKNOWN, complain};
use crate::base::Content;
use script::{Address, Command, Do, Substitution, Text};

const SED: Spec = Spec {
    short: "ne:iErs",
    long: &[
        flag("quiet", 'n'),
        flag("silent", 'n'),
        valued("expression", 'e'),
        optional("in-place", 'i'),
        flag("regexp-extended", 'E'),
        flag("separate", 's'),
    ],
};
/// Bytes that one line may become.
const LINE_MAX: usize = 1 << 20;

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    prepare(arguments).map(drop)
}

/// The options, the script and the files.
fn prepare(arguments: &[String]) -> Result<(Given, Vec<Command>, Vec<String>), Refusal> {
    let mut before = "";
    for (index, word) in arguments.iter().enumerate() {
        if word == "--" {
            break;
        }
        let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'));
        let place = letters.and_then(|letters| letters.find(['i', 'e']).map(|at| letters.split_at(at)));
        if let Some((_, rest)) = place
            && before != "-e"
            && rest.starts_with('i')
            && rest.len() > 1
        {
            return Err(Refusal::new(index, word, "keeps a copy, which is not run natively"));
        }
        before = word;
    }
    let given = SED.parse(arguments)?;
    if given.value('i').is_some_and(|suffix| !suffix.is_empty()) {
        return Err(Refusal::new(0, "--in-place", "keeps a copy, which is not run natively"));
    }
    let mut files: Vec<String> = given.operands.iter().map(|(_, word)| word.clone()).collect();
    let scripts: Vec<&str> =
        given.options.iter().filter(|(code, _)| *code == 'e').map(|(_, script)| script.as_str()).collect();
    let text = if !scripts.is_empty() {
        scripts.join("\n")
    } else if files.is_empty() {
        return Err(Refusal::new(0, "sed", "has no script"));
    } else {
        files.remove(0)
    };
    if text.contains(UNKNOWN) {
        return Ok((given, Vec::new(), files));
    }
    let extended = given.last_of("Er").is_some();
    let script = script::parse(&text, extended).map_err(|why| Refusal::new(0, &text, why))?;
    Ok((given, script, files))
}

pub(super) fn run(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let (given, script, files) = prepare(arguments)?;
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let (in_place, separate) = (given.has('i'), given.has('i') || given.has('s'));
    let mut status = 0;
    let mut texts = Vec::new();
    for (name, content) in inputs(runner, io, &names)? {
        match content {
            Some(content) => texts.push((name, read(runner, &content)?)),
            None => status = 2,
        }
    }
    let groups: Vec<Vec<(String, Vec<u8>)>> =
        if separate { texts.into_iter().map(|text| vec![text]).collect() } else { vec![texts] };
    let mut active = vec![None; script.len()];
    for group in groups {
        let name = group.first().map(|(name, _)| name.clone()).unwrap_or_default();
        let lines = group.iter().flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n'));
        let mut session = Session {
            script: &script,
            lines: lines.collect(),
            next: 0,
            out: Vec::new(),
            quiet: given.has('n'),
            active: std::mem::take(&mut active),
            unended: false,
        };
        let quit = session.run(runner)?;
        active = session.active;
        let out = session.out;
        if in_place {
            if let Err(errno) = replace(runner, &name, out) {
                complain(io, &name, errno)?;
                status = 4;
            }
        } else {
            io.stdout.write(&out);
        }
        if let Some(code) = quit {
            return Ok(code);
        }
    }
    Ok(status)
}

/// Puts a new file in a file's place: its other names keep the old one.
fn replace(runner: &mut Runner<'_>, path: &str, bytes: Vec<u8>) -> Result<(), super::super::root::Errno> {
    use super::super::root::Errno;
    let place = runner.root.resolve(runner.directory(), path, false)?;
    let (Some(id), Some(name)) = (place.node, place.name) else { return Err(Errno::NoEntry) };
    let Some(inode) = runner.root.inode(id) else { return Err(Errno::NoEntry) };
    let followed = runner.root.find(place.directory, &name, true)?;
    let source = if inode.is_symlink() { runner.root.inode(followed).ok_or(Errno::NoEntry)? } else { inode };
    let mut new = Inode::new(source.mode, runner.now(), Node::File(Content::memory(bytes)));
    (new.uid, new.gid) = (source.uid, source.gid);
    runner.root.unlink(place.directory, &name)?;
    runner.root.create(place.directory, &name, new).map(drop)
}

/// Where a range ends that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Line(usize),
    /// By the second address of its command.
    Address,
}

struct Session<'a> {
    script: &'a [Command],
    lines: Vec<&'a [u8]>,
    /// The number of lines that were read.
    next: usize,
    out: Vec<u8>,
    quiet: bool,
    active: Vec<Option<End>>,
    /// Whether what was written last lacks the end of its line.
    unended: bool,
}

enum Ended {
    /// The script came to its end.
    Line,
    Deleted,
    Quit(u8),
}

impl Session<'_> {
    fn run(&mut self, runner: &mut Runner<'_>) -> Result<Option<u8>, Stop> {
        while let Some((mut space, mut end)) = self.read() {
            runner.charge(1 + self.script.len())?;
            let mut appended = Vec::new();
            let ended = self.line(&mut space, &mut end, &mut appended)?;
            if !self.quiet && !matches!(ended, Ended::Deleted) {
                self.print(&space, end);
            }
            self.append(&mut appended);
            if let Ended::Quit(code) = ended {
                return Ok(Some(code));
            }
        }
        Ok(None)
    }

    /// The next line, and whether it has its end.
    fn read(&mut self) -> Option<(Vec<u8>, bool)> {
        let line = self.lines.get(self.next)?;
        self.next += 1;
        Some(match line.strip_suffix(b"\n") {
            Some(line) => (line.to_vec(), true),
            None => (line.to_vec(), false),
        })
    }

    fn print(&mut self, text: &[u8], end: bool) {
        if std::mem::take(&mut self.unended) {
            self.out.push(b'\n');
        }
        self.out.extend_from_slice(text);
        if end {
            self.out.push(b'\n');
        } else {
            self.unended = true;
        }
    }

    fn append(&mut self, appended: &mut Vec<Vec<u8>>) {
        for text in appended.drain(..) {
            if std::mem::take(&mut self.unended) {
                self.out.push(b'\n');
            }
            self.out.extend(text);
        }
    }

    fn line(
        &mut self,
        space: &mut Vec<u8>,
        end: &mut bool,
        appended: &mut Vec<Vec<u8>>,
    ) -> Result<Ended, Stop> {
        let mut at = 0;
        while let Some(command) = self.script.get(at) {
            let selected = self.selects(at, command, space) != command.negated;
            at += 1;
            if self.out.len() as u64 > TEXT_MAX {
                return Err(Stop::Limit(format!("`sed` writes more than {TEXT_MAX} bytes")));
            }
            if !selected {
                if let Do::Group { after } = command.action {
                    at = after;
                }
                continue;
            }
            match &command.action {
                Do::Group { .. } => {}
                Do::Delete => return Ok(Ended::Deleted),
                Do::Print => self.print(space, *end),
                Do::Quit(code) => return Ok(Ended::Quit(*code)),
                Do::Number => {
                    let number = self.next.to_string();
                    self.print(number.as_bytes(), true);
                }
                Do::Next => {
                    if self.last() {
                        // GNU prints the line and ends there.
                        return Ok(Ended::Line);
                    }
                    if !self.quiet {
                        self.print(space, *end);
                    }
                    self.append(appended);
                    if let Some((line, ended)) = self.read() {
                        (*space, *end) = (line, ended);
                    }
                }
                Do::Append(text) => appended.push(text.clone()),
                Do::Insert(text) => {
                    if std::mem::take(&mut self.unended) {
                        self.out.push(b'\n');
                    }
                    self.out.extend_from_slice(text);
                }
                Do::Change(text) => {
                    // Of a range, its last line alone is changed.
                    let within = command.second.is_some()
                        && !command.negated
                        && self.active.get(at - 1).is_some_and(Option::is_some);
                    if !within {
                        if std::mem::take(&mut self.unended) {
                            self.out.push(b'\n');
                        }
                        self.out.extend_from_slice(text);
                    }
                    return Ok(Ended::Deleted);
                }
                Do::Transliterate(table) => {
                    space
                        .iter_mut()
                        .for_each(|byte| *byte = table.get(usize::from(*byte)).copied().unwrap_or(*byte));
                }
                Do::Substitute(substitution) => {
                    let Some(new) = substitute(substitution, space)? else { continue };
                    *space = new;
                    if substitution.print {
                        self.print(space, *end);
                    }
                }
            }
        }
        Ok(Ended::Line)
    }

    fn last(&self) -> bool {
        self.next >= self.lines.len()
    }

    fn fits(&self, address: &Address, space: &[u8]) -> bool {
        match address {
            Address::Line(number) => *number == self.next,
            Address::Last => self.last(),
            Address::Matches(regex) => regex.is_match(space),
            Address::Plus(_) => false, // only ever a second one
        }
    }

    fn selects(&mut self, index: usize, command: &Command, space: &[u8]) -> bool {
        let Some(first) = &command.first else { return true };
        let Some(second) = &command.second else { return self.fits(first, space) };
        let line = self.next;
        match self.active.get(index).copied().flatten() {
            Some(End::Line(last)) => {
                if line >= last {
                    self.set(index, None);
                }
                // A range that a line number ended before this line counts for none.
                line <= last || self.begins(index, first, second, space)
            }
            Some(End::Address) => {
                if self.fits(second, space) {
                    self.set(index, None);
                }
                true
            }
            None => self.begins(index, first, second, space),
        }
    }

    fn begins(&mut self, index: usize, first: &Address, second: &Address, space: &[u8]) -> bool {
        if !self.fits(first, space) {
            return false;
        }
        let line = self.next;
        let end = match second {
            Address::Line(last) => (*last > line).then_some(End::Line(*last)),
            Address::Plus(count) => (*count > 0).then_some(End::Line(line.saturating_add(*count))),
            Address::Last => (!self.last()).then_some(End::Address),
            Address::Matches(_) => Some(End::Address),
        };
        self.set(index, end);
        true
    }

    fn set(&mut self, index: usize, end: Option<End>) {
        if let Some(slot) = self.active.get_mut(index) {
            *slot = end;
        }
    }
}

/// The line with what matches replaced; `None` if nothing does.
fn substitute(substitution: &Substitution, space: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
    let (mut new, mut done, mut replaced) = (Vec::new(), 0, false);
    for (index, captures) in substitution.regex.captures_iter(space).enumerate() {
        let Some(whole) = captures.get(0) else { continue };
        let number = index + 1;
        if number < substitution.from {
            continue;
        }
        new.extend_from_slice(space.get(done..whole.start()).unwrap_or_default());
        for text in &substitution.with {
            match text {
                Text::Bytes(bytes) => new.extend_from_slice(bytes),
                Text::Group(group) => {
                    new.extend_from_slice(
                        captures.get(*group).map(|group| group.as_bytes()).unwrap_or_default(),
                    );
                }
            }
        }
        if new.len() > LINE_MAX {
            return Err(Stop::Limit(format!("`sed` makes a line of more than {LINE_MAX} bytes")));
        }
        done = whole.end();
        replaced = true;
        if !substitution.all {
            break;
        }
    }
    new.extend_from_slice(space.get(done..).unwrap_or_default());
    Ok(replaced.then_some(new))
}
