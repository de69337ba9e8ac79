//! Walks a tree and writes, as Go's text/template does it (`exec.go`).

use std::rc::Rc;
use std::sync::Arc;

use super::ast::{Bodies, Body, Node, Pipe};
use super::limits::{DEPTH_MAX, Fault};
use super::print;
use super::value::{Datum, List, Memory, Number};

/// What a pipeline without a value prints.
pub(super) const NO_VALUE: &str = "<no value>";

/// The most places that are noted where that was printed; nobody reads more of them.
const UNSET_MAX: usize = 100;

/// A fault and its place, in bytes.
#[derive(Debug)]
pub(super) struct Fallen {
    pub(super) at: usize,
    pub(super) fault: Fault,
}

/// A pipeline that printed [`NO_VALUE`]: its place in bytes, and the name of the variable, if it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unset {
    pub(super) at: usize,
    pub(super) name: Option<String>,
}

/// How a list of nodes was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    AtItsEnd,
    Break,
    Continue,
}

/// One rendering.
pub(super) struct Evaluator<'a> {
    bodies: &'a Bodies,
    pub(super) memory: Memory,
    /// The variables of the template that is being walked, innermost last.
    pub(super) variables: Vec<(Arc<str>, Datum)>,
    pub(super) output: String,
    pub(super) unset: Vec<Unset>,
    depth: usize,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(bodies: &'a Bodies, memory: Memory) -> Self {
        Self { bodies, memory, variables: Vec::new(), output: String::new(), unset: Vec::new(), depth: 0 }
    }

    /// Renders the template `name` with `dot`.
    pub(super) fn template(&mut self, at: usize, name: &str, dot: &Datum) -> Result<(), Fallen> {
        let Some(body) = self.bodies.get(name) else {
            let fault = Fault::new(format!("template `{name}` is not defined"));
            return Err(Fallen { at, fault });
        };
        let own = vec![("$".into(), dot.clone())];
        let outer = std::mem::replace(&mut self.variables, own);
        self.body(at, body, dot)?;
        self.variables = outer;
        Ok(())
    }

    /// One level deeper in the recursion.
    pub(super) fn deeper<T>(
        &mut self,
        at: usize,
        inner: impl FnOnce(&mut Self) -> Result<T, Fallen>,
    ) -> Result<T, Fallen> {
        if self.depth >= 2 * DEPTH_MAX {
            return Err(Fallen { at, fault: Fault::too_deep() });
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn body(&mut self, at: usize, body: &'a Body, dot: &Datum) -> Result<Left, Fallen> {
        self.deeper(at, |own| {
            for node in body {
                match own.node(at, node, dot)? {
                    Left::AtItsEnd => {}
                    left => return Ok(left),
                }
            }
            Ok(Left::AtItsEnd)
        })
    }

    fn node(&mut self, at: usize, node: &'a Node, dot: &Datum) -> Result<Left, Fallen> {
        self.memory.budget.steps(1).map_err(|fault| Fallen { at, fault })?;
        match node {
            Node::Text(text) => self.write(at, text)?,
            Node::Action(pipe) => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.print(pipe, &value)?;
                }
            }
            Node::If { with, arms, otherwise } => return self.conditional(at, dot, *with, arms, otherwise),
            Node::Range { pipe, body, otherwise } => return self.range(dot, pipe, body, otherwise),
            Node::Template { at, name, pipe } => {
                let dot = match pipe {
                    Some(pipe) => self.pipeline(dot, pipe)?,
                    None => Datum::Missing,
                };
                self.template(*at, name, &dot)?;
            }
            Node::Break => return Ok(Left::Break),
            Node::Continue => return Ok(Left::Continue),
        }
        Ok(Left::AtItsEnd)
    }

    fn write(&mut self, at: usize, text: &str) -> Result<(), Fallen> {
        self.memory.budget.bytes(text.len()).map_err(|fault| Fallen { at, fault })?;
        self.output.push_str(text);
        Ok(())
    }

    fn print(&mut self, pipe: &'a Pipe, value: &Datum) -> Result<(), Fallen> {
        match value {
            Datum::Missing | Datum::Nil => {
                if self.unset.len() < UNSET_MAX && self.unset.iter().all(|unset| unset.at != pipe.at) {
                    self.unset.push(Unset { at: pipe.at, name: pipe.variable() });
                }
                self.write(pipe.at, NO_VALUE)
            }
            Datum::Text(text) => self.write(pipe.at, text),
            value => {
                let text =
                    print::text_of(&self.memory, value).map_err(|fault| Fallen { at: pipe.at, fault })?;
                self.write(pipe.at, &text)
            }
        }
    }

    fn conditional(
        &mut self,
        at: usize,
        dot: &Datum,
        with: bool,
        arms: &'a [(Pipe, Body)],
        otherwise: &'a Body,
    ) -> Result<Left, Fallen> {
        let mark = self.variables.len();
        let mut left = None;
        for (pipe, body) in arms {
            let value = self.pipeline(dot, pipe)?;
            if truth(&self.memory, &value) {
                left = Some(self.body(pipe.at, body, if with { &value } else { dot })?);
                break;
            }
        }
        let left = match left {
            Some(left) => left,
            None => self.body(at, otherwise, dot)?,
        };
        self.variables.truncate(mark);
        Ok(left)
    }

    fn range(
        &mut self,
        dot: &Datum,
        pipe: &'a Pipe,
        body: &'a Body,
        otherwise: &'a Body,
    ) -> Result<Left, Fallen> {
        let outer = self.variables.len();
        let value = self.pipeline(dot, pipe)?;
        let items = Items::of(&mut self.memory, &value, pipe.variables.len())
            .map_err(|fault| Fallen { at: pipe.at, fault })?;
        let mark = self.variables.len();
        let mut index = 0;
        while let Some((key, item)) = items.get(index) {
            self.memory.budget.steps(1).map_err(|fault| Fallen { at: pipe.at, fault })?;
            index += 1;
            self.bind(pipe, key, &item)?;
            let left = self.body(pipe.at, body, &item)?;
            self.variables.truncate(mark);
            if left == Left::Break {
                break;
            }
        }
        let left = match index {
            0 => self.body(pipe.at, otherwise, dot)?,
            _ => Left::AtItsEnd,
        };
        self.variables.truncate(outer);
        // A `break` in the `else` is this range's, a `continue` there that of the range around.
        Ok(if left == Left::Continue { left } else { Left::AtItsEnd })
    }

    /// Sets the variables of a range for one of its items.
    fn bind(&mut self, pipe: &Pipe, key: Datum, item: &Datum) -> Result<(), Fallen> {
        let Some((last, before)) = pipe.variables.split_last() else { return Ok(()) };
        if pipe.assigns {
            if let Some(first) = before.first() {
                self.assign(pipe.at, first, key)?;
            }
            return self.assign(pipe.at, last, item.clone());
        }
        // They were declared by the pipeline itself: the item last, the key before it.
        let mut top = self.variables.iter_mut().rev();
        if let Some((_, value)) = top.next() {
            *value = item.clone();
        }
        if let (Some(_), Some((_, value))) = (before.first(), top.next()) {
            *value = key;
        }
        Ok(())
    }

    /// A variable's value. The parser takes a variable for defined in the pipeline that defines it.
    pub(super) fn variable(&self, at: usize, name: &str) -> Result<Datum, Fallen> {
        let found = self.variables.iter().rev().find(|(own, _)| &**own == name);
        found.map(|(_, value)| value.clone()).ok_or_else(|| undefined(at, name))
    }

    /// Sets a variable that is there already. The parser does not see whether it is.
    pub(super) fn assign(&mut self, at: usize, name: &str, value: Datum) -> Result<(), Fallen> {
        let found = self.variables.iter_mut().rev().find(|(own, _)| &**own == name);
        let (_, own) = found.ok_or_else(|| undefined(at, name))?;
        *own = value;
        Ok(())
    }
}

fn undefined(at: usize, name: &str) -> Fallen {
    Fallen { at, fault: Fault::new(format!("variable `{name}` is not defined yet, `:=` does so")) }
}

/// What a range goes over.
enum Items {
    None,
    Count(Datum, i128),
    List(Rc<List>),
    Map(Vec<(Arc<str>, Datum)>),
}

impl Items {
    fn of(memory: &mut Memory, value: &Datum, variables: usize) -> Result<Self, Fault> {
        Ok(match value {
            Datum::Missing | Datum::Nil => Self::None,
            Datum::List(list) => Self::List(Rc::clone(list)),
            // As it is now: what the body does to it is not seen.
            Datum::Map(id, _) => Self::Map(
                memory.entries(*id).iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            ),
            value => {
                let count = match value.number() {
                    Some(Number::Signed(count)) => i128::from(count),
                    Some(Number::Unsigned(count)) => i128::from(count),
                    _ => return Err(Fault::new(format!("range can't iterate over a {}", value.type_name()))),
                };
                if variables > 1 {
                    return Err(Fault::new("range over a number has one variable only"));
                }
                Self::Count(value.clone(), count)
            }
        })
    }

    /// The key and the value of an item.
    fn get(&self, index: usize) -> Option<(Datum, Datum)> {
        match self {
            Self::None => None,
            Self::Count(like, count) => {
                let number = i64::try_from(index).ok().filter(|index| i128::from(*index) < *count)?;
                let unsigned = number.unsigned_abs();
                Some((
                    Datum::Missing,
                    match like {
                        Datum::Int64(_) => Datum::Int64(number),
                        Datum::Byte(_) => Datum::Byte(u8::try_from(unsigned).unwrap_or(u8::MAX)),
                        Datum::Uint64(_) => Datum::Uint64(unsigned),
                        _ => Datum::Int(number),
                    },
                ))
            }
            Self::List(list) => {
                Some((Datum::Int(i64::try_from(index).ok()?), list.items.get(index)?.clone()))
            }
            Self::Map(items) => {
                items.get(index).map(|(key, value)| (Datum::Text(key.clone()), value.clone()))
            }
        }
    }
}

/// Whether a value is true, as `if` sees it.
pub(super) fn truth(memory: &Memory, datum: &Datum) -> bool {
    match datum {
        Datum::Missing | Datum::Nil => false,
        Datum::Bool(value) => *value,
        Datum::Text(text) => !text.is_empty(),
        Datum::List(list) => !list.items.is_empty(),
        Datum::Map(id, _) => !memory.entries(*id).is_empty(),
        Datum::Version(_) => true,
        Datum::Float(value) => *value != 0.0,
        other => !matches!(other.number(), Some(Number::Signed(0) | Number::Unsigned(0))),
    }
}
