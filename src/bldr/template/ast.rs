//! A template as a tree. Places are bytes from the text's start.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions::Function;

/// All templates of a text by name: itself, and those that it defines.
pub(super) type Bodies = BTreeMap<Arc<str>, Body>;

/// Nodes one behind the other.
pub(super) type Body = Vec<Node>;

/// A node.
#[derive(Debug)]
pub(super) enum Node {
    /// Text between actions.
    Text(Arc<str>),
    /// `{{ pipeline }}`
    Action(Pipe),
    /// `if`, or `with`: the arms, and what else.
    If { with: bool, arms: Vec<(Pipe, Body)>, otherwise: Body },
    /// `range`
    Range { pipe: Pipe, body: Body, otherwise: Body },
    /// `template`, and what stands in the place of a `block`.
    Template { at: usize, name: Arc<str>, pipe: Option<Pipe> },
    /// `break`
    Break,
    /// `continue`
    Continue,
}

/// `$a, $b := command | command`
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) at: usize,
    /// The variables that it declares or assigns to.
    pub(super) variables: Vec<Arc<str>>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    /// At least one.
    pub(super) commands: Vec<Command>,
}

/// `first argument argument`
#[derive(Debug)]
pub(super) struct Command {
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

/// A part of a command.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) kind: OperandKind,
}

/// What a part of a command is.
#[derive(Debug)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Constant),
    Text(Arc<str>),
    /// `.a.b`: at least one.
    Field(Vec<Arc<str>>),
    /// `$x.a.b`
    Variable(Arc<str>, Vec<Arc<str>>),
    Function(&'static Function),
    /// In parentheses.
    Pipe(Box<Pipe>),
    /// `(…).a.b`: at least one.
    Chain(Box<Operand>, Vec<Arc<str>>),
}

/// A number as it was written: everything that it can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Constant {
    pub(super) int: Option<i64>,
    pub(super) float: Option<f64>,
    /// Whether it becomes a float where no type is asked for.
    pub(super) prefers_float: bool,
}
