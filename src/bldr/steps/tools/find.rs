//! `find`. Names come in order, where GNU's come as they lie on the disk.

use super::super::root::{Errno, Id, Inode, Node};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::{UNKNOWN, beside, complain, last_name};
use crate::base::pattern::Pattern;

/// Bytes of arguments that one `-exec … +` gets, as xargs' default.
const BATCH_MAX: usize = 128 << 10;
/// Expressions within expressions.
const NESTING_MAX: usize = 50;

/// A condition or an action.
#[derive(Debug, Clone)]
enum Expression {
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    True,
    Name(Pattern, bool),
    Path(Pattern, bool),
    Type(String),
    Empty,
    /// Mode, and how it is compared: `-` all of its bits, `/` any of them.
    Perm(u32, Option<char>),
    Print(u8),
    Printf(Vec<Directive>),
    Delete,
    Prune,
    Quit,
    /// The command, and the number of its batch if it ends in `+`.
    Exec(Vec<String>, Option<usize>),
}

/// A piece of a format of `-printf`.
#[derive(Debug, Clone)]
enum Directive {
    Text(String),
    /// `%p`, `%f`, `%P`, `%h`, `%l`, `%y`, `%m`, `%s`, `%d`.
    Of(char),
}

#[derive(Debug, Default)]
struct Query {
    paths: Vec<String>,
    expression: Option<Expression>,
    min: usize,
    max: Option<usize>,
    depth_first: bool,
    follow: bool,
    batches: usize,
}

struct Parser<'a> {
    words: &'a [String],
    at: usize,
    query: Query,
    acts: bool,
    nesting: usize,
}

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    parse(arguments).map(drop)
}

fn parse(arguments: &[String]) -> Result<Query, Refusal> {
    let mut parser = Parser { words: arguments, at: 0, query: Query::default(), acts: false, nesting: 0 };
    while let Some(word) = parser.peek() {
        match word {
            "-P" if parser.query.paths.is_empty() => {}
            "-L" if parser.query.paths.is_empty() => parser.query.follow = true,
            word if word.starts_with('-') && word.len() > 1 || matches!(word, "(" | "!" | ")" | ",") => break,
            word => parser.query.paths.push(word.to_owned()),
        }
        parser.at += 1;
    }
    if parser.query.paths.is_empty() {
        parser.query.paths.push(".".to_owned());
    }
    let expression = if parser.peek().is_some() { parser.or()? } else { Expression::True };
    if let Some(word) = parser.peek() {
        return Err(parser.refuse(word, "is not expected here"));
    }
    let expression =
        if parser.acts { expression } else { Expression::And(vec![expression, Expression::Print(b'\n')]) };
    parser.query.expression = Some(expression);
    Ok(parser.query)
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn refuse(&self, word: &str, why: &str) -> Refusal {
        Refusal::new(self.at, word, why)
    }

    fn value(&mut self, of: &str) -> Result<&'a str, Refusal> {
        self.at += 1;
        match self.peek() {
            Some(value) => Ok(value),
            None => Err(Refusal::new(self.at - 1, of, "lacks its value")),
        }
    }

    fn or(&mut self) -> Result<Expression, Refusal> {
        let mut all = vec![self.and()?];
        while matches!(self.peek(), Some("-o" | "-or")) {
            self.at += 1;
            all.push(self.and()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::Or(all) })
    }

    fn and(&mut self) -> Result<Expression, Refusal> {
        let mut all = vec![self.not()?];
        loop {
            match self.peek() {
                Some("-a" | "-and") => self.at += 1,
                None | Some("-o" | "-or" | ")") => break,
                Some(_) => {}
            }
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn not(&mut self) -> Result<Expression, Refusal> {
        let mut negated = false;
        while matches!(self.peek(), Some("!" | "-not")) {
            self.at += 1;
            negated = !negated;
        }
        let primary = self.primary()?;
        Ok(if negated { Expression::Not(Box::new(primary)) } else { primary })
    }

    fn primary(&mut self) -> Result<Expression, Refusal> {
        let Some(word) = self.peek() else {
            return Err(Refusal::new(0, "find", "has an expression without an end"));
        };
        let expression = match word {
            "(" => {
                self.nesting += 1;
                if self.nesting > NESTING_MAX {
                    return Err(self.refuse(word, "lies too deep in other ones"));
                }
                self.at += 1;
                let inner = self.or()?;
                self.nesting -= 1;
                if self.peek() != Some(")") {
                    return Err(self.refuse("(", "is not closed"));
                }
                inner
            }
            "-true" => Expression::True,
            "-name" => Expression::Name(Pattern::of(self.value(word)?), false),
            "-iname" => Expression::Name(Pattern::of(&self.value(word)?.to_lowercase()), true),
            "-path" | "-wholename" => Expression::Path(Pattern::of(self.value(word)?), false),
            "-ipath" => Expression::Path(Pattern::of(&self.value(word)?.to_lowercase()), true),
            "-type" => {
                let types = self.value(word)?;
                let known = types.split(',').all(|kind| {
                    kind.contains(UNKNOWN) || matches!(kind, "f" | "d" | "l" | "b" | "c" | "p" | "s")
                });
                if !known {
                    return Err(self.refuse(types, "is no type of files"));
                }
                Expression::Type(types.to_owned())
            }
            "-empty" => Expression::Empty,
            "-perm" => {
                let text = self.value(word)?;
                let (sign, digits) = match text.strip_prefix(['-', '/']) {
                    Some(digits) => (text.chars().next(), digits),
                    None => (None, text),
                };
                match u32::from_str_radix(digits, 8) {
                    Ok(mode) if mode <= 0o7777 => Expression::Perm(mode, sign),
                    _ if text.contains(UNKNOWN) => Expression::True,
                    _ => return Err(self.refuse(text, "is a mode that is not run natively")),
                }
            }
            "-maxdepth" | "-mindepth" => {
                let value = self.value(word)?;
                let depth = match value.parse() {
                    Ok(depth) => depth,
                    Err(_) if value.contains(UNKNOWN) => 0,
                    Err(_) => return Err(self.refuse(value, "is no depth")),
                };
                if word == "-maxdepth" {
                    self.query.max = Some(depth);
                } else {
                    self.query.min = depth;
                }
                Expression::True
            }
            "-depth" => {
                self.query.depth_first = true;
                Expression::True
            }
            "-xdev" | "-mount" | "-noleaf" => Expression::True,
            _ => return self.action(word),
        };
        self.at += 1;
        Ok(expression)
    }

    fn action(&mut self, word: &'a str) -> Result<Expression, Refusal> {
        let expression = match word {
            "-print" => Expression::Print(b'\n'),
            "-print0" => Expression::Print(0),
            "-printf" => {
                let format = self.value(word)?;
                Expression::Printf(
                    directives(format)
                        .ok_or_else(|| self.refuse(format, "is a format that is not run natively"))?,
                )
            }
            "-delete" => {
                self.query.depth_first = true;
                Expression::Delete
            }
            "-prune" => Expression::Prune,
            "-quit" => Expression::Quit,
            "-exec" => self.exec()?,
            _ => return Err(self.refuse(word, "is no condition or action of `find` that is run natively")),
        };
        self.acts |= !matches!(expression, Expression::Prune | Expression::Quit);
        self.at += 1;
        Ok(expression)
    }

    fn exec(&mut self) -> Result<Expression, Refusal> {
        let start = self.at + 1;
        let mut command: Vec<String> = Vec::new();
        loop {
            let word = self.value("-exec")?;
            match word {
                ";" => break,
                "+" if command.last().is_some_and(|last| last == "{}") => break,
                word => command.push(word.to_owned()),
            }
        }
        let Some((name, arguments)) = command.split_first() else {
            return Err(self.refuse("-exec", "has no command"));
        };
        let unknown: Vec<String> = arguments.iter().map(|word| word.replace("{}", UNKNOWN)).collect();
        check_command(start, name, &unknown)?;
        if self.peek() == Some("+") {
            command.pop();
            self.query.batches += 1;
            return Ok(Expression::Exec(command, Some(self.query.batches - 1)));
        }
        Ok(Expression::Exec(command, None))
    }
}

/// Refuses a command within another one that is not run natively; its name has the index `start`.
pub(super) fn check_command(start: usize, name: &str, arguments: &[String]) -> Result<(), Refusal> {
    let tool = super::find(name).map_err(|why| Refusal::new(start, name, why))?;
    (tool.check)(arguments).map_err(|refusal| Refusal { index: start + 1 + refusal.index, ..refusal })
}

fn directives(format: &str) -> Option<Vec<Directive>> {
    let (mut directives, mut text) = (Vec::new(), String::new());
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(match characters.next()? {
                'n' => '\n',
                't' => '\t',
                '0' => '\0',
                '\\' => '\\',
                _ => return None,
            }),
            '%' => match characters.next()? {
                '%' => text.push('%'),
                letter if "pfPhlymsd".contains(letter) => {
                    directives.push(Directive::Text(std::mem::take(&mut text)));
                    directives.push(Directive::Of(letter));
                }
                _ => return None,
            },
            character => text.push(character),
        }
    }
    directives.push(Directive::Text(text));
    Some(directives)
}

/// A file that is visited.
struct Visit<'a> {
    path: &'a str,
    /// The path of the operand below which it lies.
    top: &'a str,
    id: Id,
    depth: usize,
}

#[derive(Default)]
struct Session {
    status: u8,
    pruned: bool,
    quit: bool,
    batches: Vec<(Vec<String>, Vec<String>, usize)>,
}

pub(super) fn run(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    let query = parse(arguments)?;
    let Some(expression) = &query.expression else { return Ok(0) };
    let mut session = Session { batches: vec![Default::default(); query.batches], ..Session::default() };
    for top in &query.paths {
        // A link is the link; `link/` is the folder.
        let found = runner.root.find(runner.directory(), top, query.follow || top.ends_with('/'));
        let id = match found.or_else(|_| runner.root.find(runner.directory(), top, false)) {
            Ok(id) => id,
            Err(errno) => {
                complain(io, top, errno)?;
                session.status = 1;
                continue;
            }
        };
        walk(runner, io, &query, expression, &mut session, (top, id))?;
        if session.quit {
            break;
        }
    }
    for (command, files, _) in std::mem::take(&mut session.batches) {
        session.exec(runner, io, &command, files)?;
    }
    Ok(session.status)
}

/// What is still to be done: to visit a file and what is below, or only the file.
enum Left {
    Enter(String, Id, usize),
    Leave(String, Id, usize),
}

fn walk(
    runner: &mut Runner<'_>,
    io: &mut Io,
    query: &Query,
    expression: &Expression,
    session: &mut Session,
    (top, id): (&str, Id),
) -> Result<(), Stop> {
    let mut left = vec![Left::Enter(top.to_owned(), id, 0)];
    while let Some(next) = left.pop() {
        runner.charge(1)?;
        let (path, id, depth, enters) = match next {
            Left::Enter(path, id, depth) => (path, id, depth, true),
            Left::Leave(path, id, depth) => (path, id, depth, false),
        };
        session.pruned = false;
        let now = enters != query.depth_first;
        if now && depth >= query.min && query.max.is_none_or(|max| depth <= max) {
            let visit = Visit { path: &path, top, id, depth };
            session.evaluate(runner, io, expression, &visit)?;
            if session.quit {
                return Ok(());
            }
        }
        if !enters {
            continue;
        }
        if query.depth_first {
            left.push(Left::Leave(path.clone(), id, depth));
        }
        if session.pruned || query.max.is_some_and(|max| depth >= max) || !runner.root.is_directory(id) {
            continue;
        }
        let names: Vec<(String, Id)> =
            runner.root.names(id).map(|(name, id)| (name.to_owned(), id)).collect();
        for (name, child) in names.into_iter().rev() {
            let path = beside(&path, &name);
            let child = if query.follow {
                let followed = runner.root.find(id, &name, true).unwrap_or(child);
                if runner.root.is_directory(followed) && runner.root.is_below(id, followed) {
                    io.say(format_args!("`{path}` leads back to a directory above it"));
                    session.status = 1;
                    continue;
                }
                followed
            } else {
                child
            };
            left.push(Left::Enter(path, child, depth + 1));
        }
    }
    Ok(())
}

impl Session {
    fn evaluate(
        &mut self,
        runner: &mut Runner<'_>,
        io: &mut Io,
        expression: &Expression,
        visit: &Visit<'_>,
    ) -> Result<bool, Stop> {
        let Some(inode) = runner.root.inode(visit.id) else { return Ok(false) };
        Ok(match expression {
            Expression::Not(inner) => !self.evaluate(runner, io, inner, visit)?,
            Expression::And(all) => {
                for inner in all {
                    if self.quit || !self.evaluate(runner, io, inner, visit)? {
                        return Ok(false);
                    }
                }
                true
            }
            Expression::Or(all) => {
                for inner in all {
                    if self.evaluate(runner, io, inner, visit)? {
                        return Ok(true);
                    }
                }
                false
            }
            Expression::True => true,
            Expression::Name(pattern, fold) => folded(last_name(visit.path), *fold, pattern),
            Expression::Path(pattern, fold) => folded(visit.path, *fold, pattern),
            Expression::Type(types) => types.split(',').any(|wanted| wanted == letter(inode)),
            Expression::Empty => match &inode.node {
                Node::Directory(directory) => directory.names.is_empty(),
                Node::File(content) => content.is_empty(),
                _ => false,
            },
            Expression::Perm(mode, None) => inode.mode == *mode,
            Expression::Perm(mode, Some('-')) => inode.mode & mode == *mode,
            Expression::Perm(mode, Some(_)) => *mode == 0 || inode.mode & mode != 0,
            Expression::Print(end) => {
                io.stdout.write(visit.path.as_bytes());
                io.stdout.write(&[*end]);
                true
            }
            Expression::Printf(directives) => {
                let text: String =
                    directives.iter().map(|directive| print(directive, visit, inode)).collect();
                io.stdout.write(text.as_bytes());
                true
            }
            Expression::Prune => {
                self.pruned = true;
                true
            }
            Expression::Quit => {
                self.quit = true;
                true
            }
            Expression::Delete => self.delete(runner, io, visit)?,
            Expression::Exec(command, None) => {
                let words: Vec<String> = command.iter().map(|word| word.replace("{}", visit.path)).collect();
                self.nested(runner, io, &words)? == 0
            }
            Expression::Exec(command, Some(batch)) => {
                let mut full = None;
                if let Some((own, files, size)) = self.batches.get_mut(*batch) {
                    own.clone_from(command);
                    files.push(visit.path.to_owned());
                    *size += visit.path.len() + 1;
                    if *size > BATCH_MAX {
                        *size = 0;
                        full = Some(std::mem::take(files));
                    }
                }
                if let Some(files) = full {
                    self.exec(runner, io, command, files)?;
                }
                true
            }
        })
    }

    fn delete(&mut self, runner: &mut Runner<'_>, io: &mut Io, visit: &Visit<'_>) -> Result<bool, Stop> {
        if visit.path == "." {
            return Ok(true);
        }
        let bare = visit.path.trim_end_matches('/');
        let place = runner.root.resolve(runner.directory(), bare, false);
        let removed = place.and_then(|place| match place.name {
            Some(name) => runner.root.unlink(place.directory, &name),
            None => Err(Errno::Invalid),
        });
        if let Err(errno) = removed {
            complain(io, visit.path, errno)?;
            self.status = 1;
        }
        Ok(removed.is_ok())
    }

    fn exec(
        &mut self,
        runner: &mut Runner<'_>,
        io: &mut Io,
        command: &[String],
        files: Vec<String>,
    ) -> Result<(), Stop> {
        if files.is_empty() {
            return Ok(());
        }
        if self.nested(runner, io, &[command, &files].concat())? != 0 {
            self.status = 1;
        }
        Ok(())
    }

    fn nested(&mut self, runner: &mut Runner<'_>, io: &mut Io, words: &[String]) -> Result<u8, Stop> {
        let Some((name, arguments)) = words.split_first() else { return Ok(0) };
        let mut own = Io::default();
        let status = runner.tool(name, arguments, &mut own)?;
        io.stdout.append(own.stdout);
        io.stderr.append(own.stderr);
        Ok(status)
    }
}

fn folded(text: &str, fold: bool, pattern: &Pattern) -> bool {
    if fold { pattern.matches(&text.to_lowercase()) } else { pattern.matches(text) }
}

fn letter(inode: &Inode) -> &'static str {
    use crate::archive::tree::Kind;
    match &inode.node {
        Node::Directory(_) => "d",
        Node::File(_) => "f",
        Node::Symlink(_) => "l",
        Node::Other(Kind::BlockDevice { .. }) => "b",
        Node::Other(Kind::CharDevice { .. }) => "c",
        Node::Other(_) => "p",
    }
}

fn print(directive: &Directive, visit: &Visit<'_>, inode: &Inode) -> String {
    match directive {
        Directive::Text(text) => text.clone(),
        Directive::Of(letter_of) => match letter_of {
            'p' => visit.path.to_owned(),
            'f' => last_name(visit.path).to_owned(),
            'P' => {
                visit.path.strip_prefix(visit.top).unwrap_or(visit.path).trim_start_matches('/').to_owned()
            }
            'h' => match visit.path.rsplit_once('/') {
                Some((above, _)) => above.to_owned(),
                None => ".".to_owned(),
            },
            'l' => match &inode.node {
                Node::Symlink(target) => target.clone(),
                _ => String::new(),
            },
            'm' => format!("{:o}", inode.mode),
            's' => match &inode.node {
                Node::File(content) => content.len().to_string(),
                Node::Symlink(target) => target.len().to_string(),
                _ => "0".to_owned(),
            },
            'd' => visit.depth.to_string(),
            _ => letter(inode).to_owned(),
        },
    }
}
