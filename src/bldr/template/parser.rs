//! Words to a tree, as Go's text/template/parse does it (`parse.go`).

use std::sync::Arc;

use super::ast::{Bodies, Body, Command, Node, Operand, OperandKind, Pipe};
use super::functions;
use super::lexer::{Keyword, Token, TokenKind, lex};
use super::limits::{DEPTH_MAX, VARIABLES_MAX};
use super::number;
use crate::base::suggest;

/// What is wrong with a template's text, and where, in bytes.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) problem: String,
    pub(super) nearest: Option<String>,
    /// Whether it is one of the limits.
    pub(super) limit: bool,
}

/// Reads a text; its own body gets the name `name`.
pub(super) fn parse(name: &str, text: &str) -> Result<Bodies, Wrong> {
    let mut parser = Parser {
        tokens: lex(text),
        at: 0,
        bodies: Bodies::new(),
        variables: vec!["$".into()],
        ranges: 0,
        depth: 0,
    };
    let body = parser.top()?;
    parser.add(name.into(), body, 0)?;
    Ok(parser.bodies)
}

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    End,
    Else,
}

/// One item of a list.
enum Item {
    Node(Node),
    Ended(Ended, usize),
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    bodies: Bodies,
    /// The variables that can be seen.
    variables: Vec<Arc<str>>,
    /// The ranges around.
    ranges: usize,
    /// The blocks and parentheses around.
    depth: usize,
}

impl<'a> Parser<'a> {
    // --- words -----------------------------------------------------------------------------------

    /// The next word. The last one never goes away.
    fn peek(&self) -> Token<'a> {
        let end = Token { kind: TokenKind::End, text: "", at: 0 };
        self.tokens.get(self.at).or(self.tokens.last()).cloned().unwrap_or(end)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len());
        token
    }

    fn peek_word(&mut self) -> Token<'a> {
        while self.peek().kind == TokenKind::Space {
            self.next();
        }
        self.peek()
    }

    fn next_word(&mut self) -> Token<'a> {
        self.peek_word();
        self.next()
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Result<Token<'a>, Wrong> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { Err(unexpected(&token, context)) }
    }

    /// One level deeper.
    fn deeper<T>(
        &mut self,
        at: usize,
        inner: impl FnOnce(&mut Self) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        if self.depth >= DEPTH_MAX {
            let problem = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Wrong { at, problem, nearest: None, limit: true });
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    // --- lists of nodes --------------------------------------------------------------------------

    /// The whole text: the only place for `define`.
    fn top(&mut self) -> Result<Body, Wrong> {
        let mut body = Body::new();
        while self.peek().kind != TokenKind::End {
            let before = self.at;
            let opened = self.next().kind == TokenKind::Open;
            if opened && self.next_word().kind == TokenKind::Keyword(Keyword::Define) {
                self.define()?;
                continue;
            }
            self.at = before;
            match self.item()? {
                Item::Node(node) => body.push(node),
                Item::Ended(Ended::End, at) => return Err(wrong(at, "unexpected {{end}}")),
                Item::Ended(Ended::Else, at) => return Err(wrong(at, "unexpected {{else}}")),
            }
        }
        Ok(body)
    }

    fn define(&mut self) -> Result<(), Wrong> {
        const CONTEXT: &str = "define clause";
        let token = self.next_word();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(TokenKind::Close, CONTEXT)?;
        let body = self.own_body(token.at, CONTEXT)?;
        self.add(name, body, token.at)
    }

    /// The body of a template of its own: no variables of the one around it.
    fn own_body(&mut self, at: usize, context: &str) -> Result<Body, Wrong> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, ended, end_at) = self.deeper(at, Self::list)?;
        self.variables = variables;
        self.ranges = ranges;
        match ended {
            Ended::End => Ok(body),
            Ended::Else => Err(wrong(end_at, format!("unexpected {{{{else}}}} in {context}"))),
        }
    }

    /// A second body of one name is an error, unless one of them is empty.
    fn add(&mut self, name: Arc<str>, body: Body, at: usize) -> Result<(), Wrong> {
        match self.bodies.get(&name) {
            Some(old) if !is_empty(old) => {
                if !is_empty(&body) {
                    return Err(wrong(at, format!("template `{name}` is defined twice")));
                }
            }
            _ => {
                self.bodies.insert(name, body);
            }
        }
        Ok(())
    }

    /// Nodes up to `end` or `else`, and where that stands.
    fn list(&mut self) -> Result<(Body, Ended, usize), Wrong> {
        let mut body = Body::new();
        loop {
            let next = self.peek_word();
            if next.kind == TokenKind::End {
                return Err(wrong(next.at, "unexpected end of the text, an {{end}} is missing"));
            }
            match self.item()? {
                Item::Node(node) => body.push(node),
                Item::Ended(ended, at) => return Ok((body, ended, at)),
            }
        }
    }

    fn item(&mut self) -> Result<Item, Wrong> {
        let token = self.next_word();
        match token.kind {
            TokenKind::Text => Ok(Item::Node(Node::Text(token.text.into()))),
            TokenKind::Open => self.action(),
            _ => Err(unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Result<Item, Wrong> {
        let token = self.peek_word();
        let TokenKind::Keyword(keyword) = token.kind else {
            return Ok(Item::Node(Node::Action(self.pipeline("command", TokenKind::Close)?)));
        };
        self.next();
        let node = match keyword {
            Keyword::If => self.conditional(token.at, false)?,
            Keyword::With => self.conditional(token.at, true)?,
            Keyword::Range => self.range(token.at)?,
            Keyword::Template => self.template()?,
            Keyword::Block => self.block()?,
            Keyword::Break => self.leave(&token, Node::Break, "{{break}}")?,
            Keyword::Continue => self.leave(&token, Node::Continue, "{{continue}}")?,
            Keyword::End => {
                self.expect(TokenKind::Close, "end")?;
                return Ok(Item::Ended(Ended::End, token.at));
            }
            Keyword::Else => {
                // `else if` and `else with` are read by the `if` or `with` that is waiting for them.
                let next = self.peek_word();
                if !matches!(next.kind, TokenKind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(TokenKind::Close, "else")?;
                }
                return Ok(Item::Ended(Ended::Else, token.at));
            }
            Keyword::Define => return Err(unexpected(&token, "command")),
        };
        Ok(Item::Node(node))
    }

    fn leave(&mut self, token: &Token<'a>, node: Node, name: &str) -> Result<Node, Wrong> {
        self.expect(TokenKind::Close, name)?;
        if self.ranges == 0 {
            return Err(wrong(token.at, format!("{name} outside {{{{range}}}}")));
        }
        Ok(node)
    }

    /// `if` and `with` with all their arms. A variable of one arm can be seen in those behind it.
    fn conditional(&mut self, at: usize, with: bool) -> Result<Node, Wrong> {
        let (context, keyword) = if with { ("with", Keyword::With) } else { ("if", Keyword::If) };
        let seen = self.variables.len();
        let mut arms = Vec::new();
        let mut otherwise = Body::new();
        loop {
            let pipe = self.pipeline(context, TokenKind::Close)?;
            let (body, ended, _) = self.deeper(at, Self::list)?;
            arms.push((pipe, body));
            if ended == Ended::End {
                break;
            }
            if self.peek().kind == TokenKind::Keyword(keyword) {
                self.next();
                continue;
            }
            otherwise = self.otherwise(at)?;
            break;
        }
        self.variables.truncate(seen);
        Ok(Node::If { with, arms, otherwise })
    }

    /// What stands between `else` and `end`.
    fn otherwise(&mut self, at: usize) -> Result<Body, Wrong> {
        match self.deeper(at, Self::list)? {
            (body, Ended::End, _) => Ok(body),
            (_, Ended::Else, at) => Err(wrong(at, "expected end; found {{else}}")),
        }
    }

    fn range(&mut self, at: usize) -> Result<Node, Wrong> {
        let seen = self.variables.len();
        let pipe = self.pipeline("range", TokenKind::Close)?;
        self.ranges += 1;
        let (body, ended, _) = self.deeper(at, Self::list)?;
        self.ranges -= 1;
        let otherwise = match ended {
            Ended::End => Body::new(),
            Ended::Else => self.otherwise(at)?,
        };
        self.variables.truncate(seen);
        Ok(Node::Range { pipe, body, otherwise })
    }

    fn template(&mut self) -> Result<Node, Wrong> {
        const CONTEXT: &str = "template clause";
        let token = self.next_word();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = match self.peek_word().kind {
            TokenKind::Close => {
                self.next();
                None
            }
            _ => Some(self.pipeline(CONTEXT, TokenKind::Close)?),
        };
        Ok(Node::Template { at: token.at, name, pipe })
    }

    fn block(&mut self) -> Result<Node, Wrong> {
        const CONTEXT: &str = "block clause";
        let token = self.next_word();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, TokenKind::Close)?;
        let body = self.own_body(token.at, CONTEXT)?;
        self.add(Arc::clone(&name), body, token.at)?;
        Ok(Node::Template { at: token.at, name, pipe: Some(pipe) })
    }

    fn template_name(&mut self, token: &Token<'a>, context: &str) -> Result<Arc<str>, Wrong> {
        match token.kind {
            TokenKind::Quoted | TokenKind::Raw => {
                number::unquote(token.text).map(Into::into).map_err(|problem| wrong(token.at, problem))
            }
            _ => Err(unexpected(token, context)),
        }
    }

    // --- pipelines -------------------------------------------------------------------------------

    fn pipeline(&mut self, context: &str, end: TokenKind) -> Result<Pipe, Wrong> {
        let at = self.peek_word().at;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            let token = self.peek_word();
            match token.kind {
                kind if kind == end => {
                    self.next();
                    break;
                }
                TokenKind::Bool
                | TokenKind::Char
                | TokenKind::Complex
                | TokenKind::Dot
                | TokenKind::Field
                | TokenKind::Identifier
                | TokenKind::Number
                | TokenKind::Nil
                | TokenKind::Raw
                | TokenKind::Quoted
                | TokenKind::Variable
                | TokenKind::LeftParen => {
                    let command = self.command()?;
                    if !commands.is_empty() && !executable(&command) {
                        return Err(wrong(command.first.at, "only functions can stand behind `|`"));
                    }
                    commands.push(command);
                }
                _ => return Err(unexpected(&token, context)),
            }
        }
        if commands.is_empty() {
            return Err(wrong(at, format!("missing value for {context}")));
        }
        Ok(Pipe { at, variables, assigns, commands })
    }

    /// `$x :=`, `$x =`, and of a range also `$k, $v :=`.
    fn declarations(&mut self, context: &str) -> Result<(Vec<Arc<str>>, bool), Wrong> {
        let mut variables: Vec<Arc<str>> = Vec::new();
        loop {
            let token = self.peek_word();
            if token.kind != TokenKind::Variable {
                return Ok((variables, false));
            }
            let before = self.at;
            self.next();
            let next = self.peek_word();
            let assigns = match next.kind {
                TokenKind::Assign => true,
                TokenKind::Declare => false,
                TokenKind::Other if next.text == "," => {
                    self.next();
                    self.declare(&mut variables, &token)?;
                    let more = self.peek_word();
                    if context != "range" || variables.len() > 1 {
                        return Err(wrong(more.at, format!("too many declarations in {context}")));
                    }
                    match more.kind {
                        TokenKind::Variable | TokenKind::Close | TokenKind::RightParen => continue,
                        _ => return Err(wrong(more.at, "range can only initialize variables")),
                    }
                }
                _ => {
                    self.at = before;
                    return Ok((variables, false));
                }
            };
            self.next();
            self.declare(&mut variables, &token)?;
            return Ok((variables, assigns));
        }
    }

    fn declare(&mut self, variables: &mut Vec<Arc<str>>, token: &Token<'a>) -> Result<(), Wrong> {
        if self.variables.len() >= VARIABLES_MAX {
            let problem = format!("more than {VARIABLES_MAX} variables");
            return Err(Wrong { limit: true, ..wrong(token.at, problem) });
        }
        variables.push(token.text.into());
        self.variables.push(token.text.into());
        Ok(())
    }

    fn command(&mut self) -> Result<Command, Wrong> {
        let mut operands = Vec::new();
        let at = self.peek_word().at;
        loop {
            self.peek_word();
            operands.extend(self.operand()?);
            let token = self.peek();
            match token.kind {
                TokenKind::Space => {
                    self.next();
                }
                TokenKind::Close | TokenKind::RightParen => break,
                TokenKind::Pipe => {
                    self.next();
                    break;
                }
                _ => return Err(unexpected(&token, "operand")),
            }
        }
        let mut operands = operands.into_iter();
        let first = operands.next().ok_or_else(|| wrong(at, "empty command"))?;
        Ok(Command { first, arguments: operands.collect() })
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Result<Option<Operand>, Wrong> {
        let Some(Operand { at, kind }) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while self.peek().kind == TokenKind::Field {
            fields.push(field(self.next().text));
        }
        if fields.is_empty() {
            return Ok(Some(Operand { at, kind }));
        }
        let kind = match kind {
            OperandKind::Field(mut own) => {
                own.extend(fields);
                OperandKind::Field(own)
            }
            OperandKind::Variable(name, mut own) => {
                own.extend(fields);
                OperandKind::Variable(name, own)
            }
            kind @ (OperandKind::Pipe(_) | OperandKind::Function(_)) => {
                OperandKind::Chain(Box::new(Operand { at, kind }), fields)
            }
            _ => return Err(wrong(at, "unexpected `.` behind a constant")),
        };
        Ok(Some(Operand { at, kind }))
    }

    fn term(&mut self) -> Result<Option<Operand>, Wrong> {
        let token = self.peek_word();
        let constant = |constant: Result<_, String>| {
            constant.map(OperandKind::Number).map_err(|problem| wrong(token.at, problem))
        };
        let kind = match token.kind {
            TokenKind::Identifier => OperandKind::Function(function(&token)?),
            TokenKind::Dot => OperandKind::Dot,
            TokenKind::Nil => OperandKind::Nil,
            TokenKind::Bool => OperandKind::Bool(token.text == "true"),
            TokenKind::Field => OperandKind::Field(vec![field(token.text)]),
            TokenKind::Variable => OperandKind::Variable(self.variable(&token)?, Vec::new()),
            TokenKind::Char => constant(number::character(token.text))?,
            TokenKind::Number => constant(number::constant(token.text))?,
            TokenKind::Complex => return Err(wrong(token.at, "complex numbers are not supported")),
            TokenKind::Quoted | TokenKind::Raw => {
                let text = number::unquote(token.text).map_err(|problem| wrong(token.at, problem))?;
                OperandKind::Text(text.into())
            }
            TokenKind::LeftParen => {
                self.next();
                let pipe = self.deeper(token.at, |parser| {
                    parser.pipeline("parenthesized pipeline", TokenKind::RightParen)
                })?;
                return Ok(Some(Operand { at: token.at, kind: OperandKind::Pipe(Box::new(pipe)) }));
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(Operand { at: token.at, kind }))
    }

    fn variable(&self, token: &Token<'a>) -> Result<Arc<str>, Wrong> {
        if let Some(name) = self.variables.iter().find(|name| &***name == token.text) {
            return Ok(Arc::clone(name));
        }
        let known = self.variables.iter().map(|name| &**name).filter(|name| name.len() > 1);
        let nearest = suggest::nearest(token.text, known).map(str::to_owned);
        let problem = format!("variable `{}` is not defined", token.text);
        Err(Wrong { nearest, ..wrong(token.at, problem) })
    }
}

/// The name of a `.name`.
fn field(text: &str) -> Arc<str> {
    text.strip_prefix('.').unwrap_or(text).into()
}

fn function(token: &Token<'_>) -> Result<&'static functions::Function, Wrong> {
    functions::find(token.text).map_err(|unknown| {
        let problem = match unknown.why {
            Some(why) => format!("function `{}` is not available: {why}", token.text),
            None => format!("function `{}` is not defined", token.text),
        };
        Wrong { nearest: unknown.nearest.map(str::to_owned), ..wrong(token.at, problem) }
    })
}

/// Whether a command may get the value of the one before it.
fn executable(command: &Command) -> bool {
    !matches!(
        command.first.kind,
        OperandKind::Bool(_)
            | OperandKind::Dot
            | OperandKind::Nil
            | OperandKind::Number(_)
            | OperandKind::Text(_)
    )
}

/// Whether a body has nothing but blanks.
fn is_empty(body: &Body) -> bool {
    body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

fn wrong(at: usize, problem: impl Into<String>) -> Wrong {
    Wrong { at, problem: problem.into(), nearest: None, limit: false }
}

fn unexpected(token: &Token<'_>, context: &str) -> Wrong {
    match token.kind {
        TokenKind::Wrong(why) => wrong(token.at, why),
        TokenKind::End => wrong(token.at, format!("unexpected end of the text in {context}")),
        _ => {
            let text: String = token.text.chars().take(30).collect();
            wrong(token.at, format!("unexpected `{text}` in {context}"))
        }
    }
}
