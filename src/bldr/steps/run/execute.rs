//! Lists, pipelines, commands and redirections, and when `set -e` ends a step: after a simple command, a
//! pipeline or a subshell that failed and whose failing nobody looks at.

use super::super::root::{Errno, Inode, Node};
use super::super::shell::syntax::{
    Command, CommandKind, Connector, List, Pipeline, Redirect, RedirectKind, Simple,
};
use super::super::tools;
use super::stream::{HELD_MAX, Io, Stream};
use super::{Descriptors, Runner, Said, Stop, Target, builtins};
use crate::base::Content;

impl Runner<'_> {
    pub(super) fn list(&mut self, list: &List, descriptors: Descriptors) -> Result<u8, Stop> {
        self.state.status = 0;
        for and_or in &list.0 {
            let mut status =
                self.watching(!and_or.rest.is_empty(), |runner| runner.pipeline(&and_or.first, descriptors))?;
            for (index, (connector, pipeline)) in and_or.rest.iter().enumerate() {
                if (*connector == Connector::And) != (status == 0) {
                    continue;
                }
                let watched = index + 1 < and_or.rest.len();
                status = self.watching(watched, |runner| runner.pipeline(pipeline, descriptors))?;
            }
            self.state.status = status;
        }
        Ok(self.state.status)
    }

    /// Runs `work` with failing looked at, if `watched` or so already.
    fn watching<T>(
        &mut self,
        watched: bool,
        work: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let before = self.state.watched;
        self.state.watched = before || watched;
        let result = work(self);
        self.state.watched = before;
        result
    }

    fn pipeline(&mut self, pipeline: &Pipeline, descriptors: Descriptors) -> Result<u8, Stop> {
        let status = match pipeline.commands.as_slice() {
            [command] => self.watching(pipeline.negated, |runner| runner.command(command, descriptors))?,
            commands => {
                let status = self.watching(pipeline.negated, |runner| runner.piped(commands, descriptors))?;
                if !pipeline.negated {
                    self.exit_if_failed(status)?;
                }
                status
            }
        };
        let status = if pipeline.negated { u8::from(status == 0) } else { status };
        self.state.status = status;
        Ok(status)
    }

    fn piped(&mut self, commands: &[Command], descriptors: Descriptors) -> Result<u8, Stop> {
        let (mut own, mut result) = (descriptors, 0);
        for (index, command) in commands.iter().enumerate() {
            let last = index + 1 == commands.len();
            let buffer = self.buffers.len();
            if !last {
                self.buffers.push(Stream::default());
            }
            own.out = if last { descriptors.out } else { Target::Buffer(buffer) };
            let status = self.subshell(|runner| runner.command(command, own))?;
            if status != 0 || (last && !self.state.pipefail) {
                result = status;
            } else if !self.state.pipefail {
                result = 0;
            }
            if !last {
                let written = self.buffers.pop().unwrap_or_default();
                own.stdin = self.inputs.len();
                self.inputs.push(Some(written.content()));
            }
        }
        Ok(result)
    }

    /// Runs `work` with a state of its own.
    pub(super) fn subshell(&mut self, work: impl FnOnce(&mut Self) -> Result<u8, Stop>) -> Result<u8, Stop> {
        let state = self.state.clone();
        let inputs = self.inputs.len();
        let buffers = self.buffers.len();
        let result = work(self);
        self.state = state;
        self.inputs.truncate(inputs);
        self.buffers.truncate(buffers);
        match result {
            Err(Stop::Exit(status)) => Ok(status),
            other => other,
        }
    }

    fn exit_if_failed(&self, status: u8) -> Result<(), Stop> {
        let ends = status != 0 && self.state.errexit && !self.state.watched;
        if ends { Err(Stop::Exit(status)) } else { Ok(()) }
    }

    fn command(&mut self, command: &Command, descriptors: Descriptors) -> Result<u8, Stop> {
        self.at = command.at;
        self.charge(4)?;
        if let CommandKind::Simple(simple) = &command.kind {
            let status = self.simple(command, simple, descriptors)?;
            self.state.status = status;
            self.exit_if_failed(status)?;
            return Ok(status);
        }
        let inputs = self.inputs.len();
        let mut own = descriptors;
        for redirect in &command.redirects {
            if let Err(why) = self.redirect(redirect, &mut own)? {
                return self.complain(command, why, descriptors);
            }
        }
        let result = match &command.kind {
            CommandKind::Group(list) => self.list(list, own),
            CommandKind::Subshell(list) => {
                let status = self.subshell(|runner| runner.list(list, own))?;
                self.exit_if_failed(status).map(|()| status)
            }
            CommandKind::If { branches, otherwise } => self.conditional(branches, otherwise.as_ref(), own),
            CommandKind::For { name, words, body } => {
                let words = self.fields(words)?;
                let mut status = 0;
                for word in words {
                    self.charge(1)?;
                    self.set(name, word)?;
                    status = self.list(body, own)?;
                }
                Ok(status)
            }
            CommandKind::Case { word, arms } => {
                let word = self.text(word)?;
                for (patterns, body) in arms {
                    for pattern in patterns {
                        if self.pattern(pattern)?.matches(&word) {
                            return self.list(body, own);
                        }
                    }
                }
                Ok(0)
            }
            CommandKind::Simple(_) => Ok(0), // above
        };
        self.inputs.truncate(inputs);
        result
    }

    fn conditional(
        &mut self,
        branches: &[(List, List)],
        otherwise: Option<&List>,
        descriptors: Descriptors,
    ) -> Result<u8, Stop> {
        for (condition, body) in branches {
            if self.watching(true, |runner| runner.list(condition, descriptors))? == 0 {
                return self.list(body, descriptors);
            }
        }
        otherwise.map_or(Ok(0), |list| self.list(list, descriptors))
    }

    /// A redirection of a compound command failed.
    fn complain(&mut self, command: &Command, why: String, descriptors: Descriptors) -> Result<u8, Stop> {
        self.at = command.at;
        let mut stderr = Stream::default();
        stderr.line(&why);
        self.deliver(stderr, descriptors.err)?;
        self.failed = Some((command.at, "{".to_owned(), 1, why));
        self.exit_if_failed(1)?;
        Ok(1)
    }

    /// Opens what a redirection names, or says why not.
    fn redirect(
        &mut self,
        redirect: &Redirect,
        descriptors: &mut Descriptors,
    ) -> Result<Result<(), String>, Stop> {
        let (word, append) = match &redirect.kind {
            RedirectKind::Duplicate(descriptor) => {
                let target = if *descriptor == 1 { descriptors.out } else { descriptors.err };
                *(if redirect.descriptor == 1 { &mut descriptors.out } else { &mut descriptors.err }) =
                    target;
                return Ok(Ok(()));
            }
            RedirectKind::Here(word) => {
                let text = self.text(word)?;
                self.hold(text.len())?;
                descriptors.stdin = self.inputs.len();
                self.inputs.push(Some(Content::memory(text.into_bytes())));
                return Ok(Ok(()));
            }
            RedirectKind::Read(word) => {
                let path = self.text(word)?;
                let content = match self.read_file(&path) {
                    Ok(content) => content,
                    Err(errno) => return Ok(Err(format!("`{path}` cannot be read: {errno}"))),
                };
                descriptors.stdin = self.inputs.len();
                self.inputs.push(Some(content));
                return Ok(Ok(()));
            }
            RedirectKind::Write(word) => (word, false),
            RedirectKind::Append(word) => (word, true),
        };
        let path = self.text(word)?;
        let target = match path.as_str() {
            "/dev/null" => Target::Null,
            _ => match self.open(&path, append) {
                Ok(id) => Target::File(id),
                Err(errno) if errno.is_limit() => return Err(Stop::Limit(errno.to_string())),
                Err(errno) => return Ok(Err(format!("`{path}` cannot be written: {errno}"))),
            },
        };
        *(if redirect.descriptor == 1 { &mut descriptors.out } else { &mut descriptors.err }) = target;
        Ok(Ok(()))
    }

    fn open(&mut self, path: &str, append: bool) -> Result<super::super::root::Id, Errno> {
        let place = self.root.resolve(self.state.directory, path, true)?;
        let now = self.now();
        match (place.node, &place.name) {
            (Some(id), _) => match self.root.inode_mut(id) {
                Some(Inode { node: Node::File(content), mtime, .. }) => {
                    if !append {
                        *content = Content::memory([]);
                        *mtime = now;
                    }
                    Ok(id)
                }
                Some(Inode { node: Node::Other(_), .. }) => Err(Errno::Invalid),
                _ => Err(Errno::IsDirectory),
            },
            (None, Some(_)) if place.slash => Err(Errno::IsDirectory),
            (None, Some(name)) => self.root.create(
                place.directory,
                name,
                Inode::new(0o644, now, Node::File(Content::memory([]))),
            ),
            (None, None) => Err(Errno::NoEntry),
        }
    }

    /// The content of the file at a path; `/dev/null` is empty.
    pub(in super::super) fn read_file(&self, path: &str) -> Result<Content, Errno> {
        if path == "/dev/null" {
            return Ok(Content::memory([]));
        }
        let id = self.root.find(self.state.directory, path, true)?;
        match self.root.inode(id).map(|inode| &inode.node) {
            Some(Node::File(content)) => Ok(content.clone()),
            Some(Node::Directory(_)) => Err(Errno::IsDirectory),
            _ => Err(Errno::Invalid),
        }
    }

    fn simple(&mut self, command: &Command, simple: &Simple, descriptors: Descriptors) -> Result<u8, Stop> {
        self.substituted = None;
        let words = self.fields(&simple.words)?;
        let inputs = self.inputs.len();
        let mut own = descriptors;
        let mut problem = None;
        for redirect in &command.redirects {
            if let Err(why) = self.redirect(redirect, &mut own)? {
                problem = Some(why);
                break;
            }
        }
        let before =
            (!words.is_empty() && !simple.assignments.is_empty()).then(|| self.state.variables.clone());
        for assignment in &simple.assignments {
            let value = self.text(&assignment.value)?;
            self.set(&assignment.name, value)?;
        }
        self.at = command.at; // substitutions have places of their own
        let status = match (problem, words.split_first()) {
            (Some(why), _) => {
                let mut stderr = Stream::default();
                stderr.line(&why);
                self.deliver(stderr, descriptors.err)?;
                let name = words.first().cloned().unwrap_or_default();
                self.failed = Some((command.at, name, 1, why));
                Ok(1)
            }
            (None, None) => Ok(self.substituted.unwrap_or(0)),
            (None, Some((name, arguments))) => self.dispatch(name, arguments, own),
        };
        if let Some(before) = before {
            self.state.variables = before;
        }
        self.inputs.truncate(inputs);
        status
    }

    fn dispatch(&mut self, name: &str, arguments: &[String], descriptors: Descriptors) -> Result<u8, Stop> {
        let stdin = self.inputs.get_mut(descriptors.stdin).and_then(Option::take);
        let out_file = match descriptors.out {
            Target::File(id) => Some(id),
            _ => None,
        };
        let mut io = Io { stdin, out_file, ..Io::default() };
        let status = match builtins::run(self, name, arguments, &mut io) {
            Some(status) => status,
            None => self.tool(name, arguments, &mut io),
        };
        let status = match status {
            Err(stop @ Stop::Exit(_)) => Err(stop),
            Err(stop) => return Err(Stop::Error(Box::new(self.step_error(stop, name)))),
            Ok(status) => Ok(status),
        };
        if let Some(slot) = self.inputs.get_mut(descriptors.stdin) {
            *slot = io.stdin;
        }
        if io.stdout.overflows() || io.stderr.overflows() {
            return Err(Stop::Limit(format!("`{name}` writes more than {HELD_MAX} bytes of text")));
        }
        let held = io.stdout.held() + io.stderr.held();
        self.hold(held)?;
        if status.as_ref().map_or(true, |status| *status != 0) {
            let said = io.stderr.clone().bytes().unwrap_or_default();
            let said = String::from_utf8_lossy(&said).trim_end().to_owned();
            let status = match &status {
                Ok(status) | Err(Stop::Exit(status)) => *status,
                Err(_) => 1,
            };
            self.failed = Some((self.at, name.to_owned(), status, said));
        }
        self.deliver(io.stdout, descriptors.out)?;
        self.deliver(io.stderr, descriptors.err)?;
        status
    }

    /// Runs a program of ours.
    pub(in super::super) fn tool(
        &mut self,
        name: &str,
        arguments: &[String],
        io: &mut Io,
    ) -> Result<u8, Stop> {
        let tool = tools::find(name).map_err(|why| super::Refusal::new(0, name, why))?;
        self.charge(1 + arguments.len())?;
        (tool.run)(self, io, arguments)
    }

    /// Writes what a command wrote where its descriptor leads.
    fn deliver(&mut self, stream: Stream, target: Target) -> Result<(), Stop> {
        if stream.is_empty() {
            return Ok(());
        }
        match target {
            Target::Null => {}
            Target::Buffer(index) => {
                if let Some(buffer) = self.buffers.get_mut(index) {
                    buffer.append(stream);
                }
            }
            Target::Said => {
                let bytes = stream.bytes().map_err(Stop::Content)?;
                let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
                self.said.push(Said { at: self.at, text });
            }
            Target::File(id) => {
                let now = self.now();
                let written = stream.content();
                self.charge_content(&written)?;
                if let Some(there) = self.root.inode(id).and_then(|inode| match &inode.node {
                    Node::File(content) => Some(content.clone()),
                    _ => None,
                }) {
                    self.charge_content(&there)?;
                }
                if let Some(Inode { node: Node::File(content), mtime, .. }) = self.root.inode_mut(id) {
                    *mtime = now;
                    *content = joined(std::mem::replace(content, Content::memory([])), written);
                }
            }
        }
        Ok(())
    }
}

/// Both, in memory where both are small: what is written line by line does not become a thousand parts.
fn joined(first: Content, second: Content) -> Content {
    match (&first, &second) {
        (Content::Memory(first), Content::Memory(second)) if first.len() + second.len() <= 64 << 10 => {
            Content::memory([&first[..], &second[..]].concat())
        }
        _ => Content::joined([first, second]),
    }
}
