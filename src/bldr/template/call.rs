//! Pipelines, fields and calls, as Go's text/template evaluates them (`exec.go`).

use std::sync::Arc;

use super::ast::{Command, Constant, Operand, OperandKind, Pipe};
use super::eval::{Evaluator, Fallen, truth};
use super::functions::{Args, Function, Param};
use super::limits::Fault;
use super::semver;
use super::value::{Datum, Elem};

impl Pipe {
    /// The name of the variable, if the pipeline is nothing else: `.NAME`.
    pub(super) fn variable(&self) -> Option<String> {
        match self.commands.as_slice() {
            [Command { first: Operand { kind: OperandKind::Field(names), .. }, arguments }]
                if arguments.is_empty() =>
            {
                Some(names.join("."))
            }
            _ => None,
        }
    }
}

/// What is given to a command or a field: its arguments, and the value of the command before it.
struct Given<'a> {
    arguments: &'a [Operand],
    last: Option<Datum>,
}

impl Given<'_> {
    const NOTHING: Given<'static> = Given { arguments: &[], last: None };

    fn is_nothing(&self) -> bool {
        self.arguments.is_empty() && self.last.is_none()
    }

    fn count(&self) -> usize {
        self.arguments.len() + usize::from(self.last.is_some())
    }
}

impl<'a> Evaluator<'a> {
    /// The value of a pipeline; sets its variables.
    pub(super) fn pipeline(&mut self, dot: &Datum, pipe: &'a Pipe) -> Result<Datum, Fallen> {
        self.memory.budget.steps(pipe.commands.len()).map_err(|fault| Fallen { at: pipe.at, fault })?;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.deeper(pipe.at, |own| own.command(dot, command, value))?.settled());
        }
        let value = value.unwrap_or(Datum::Missing);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(pipe.at, name, value.clone())?;
            } else {
                self.variables.push((Arc::clone(name), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Datum, command: &'a Command, last: Option<Datum>) -> Result<Datum, Fallen> {
        let Command { first, arguments } = command;
        let given = Given { arguments, last };
        let at = first.at;
        match &first.kind {
            OperandKind::Field(names) => self.fields(at, dot, dot.clone(), names, given),
            OperandKind::Chain(inner, names) => {
                let value = self.operand(dot, inner)?;
                self.fields(at, dot, value, names, given)
            }
            OperandKind::Variable(name, names) if !names.is_empty() => {
                let value = self.variable(at, name)?;
                self.fields(at, dot, value, names, given)
            }
            OperandKind::Function(function) => self.call(at, dot, function, given),
            _ if !given.is_nothing() => {
                Err(Fallen { at, fault: Fault::new("this is no function, it cannot be given arguments") })
            }
            OperandKind::Nil => Err(Fallen { at, fault: Fault::new("nil is not a command") }),
            _ => self.operand(dot, first),
        }
    }

    /// The value of an operand by itself.
    fn operand(&mut self, dot: &Datum, operand: &'a Operand) -> Result<Datum, Fallen> {
        let at = operand.at;
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Datum::Nil),
            OperandKind::Bool(value) => Ok(Datum::Bool(*value)),
            OperandKind::Number(constant) => ideal(*constant).map_err(|fault| Fallen { at, fault }),
            OperandKind::Text(text) => Ok(Datum::Text(Arc::clone(text))),
            OperandKind::Field(names) => self.fields(at, dot, dot.clone(), names, Given::NOTHING),
            OperandKind::Variable(name, names) => {
                let value = self.variable(at, name)?;
                self.fields(at, dot, value, names, Given::NOTHING)
            }
            OperandKind::Function(function) => self.call(at, dot, function, Given::NOTHING),
            OperandKind::Pipe(pipe) => self.deeper(at, |own| own.pipeline(dot, pipe)),
            OperandKind::Chain(inner, names) => {
                let value = self.deeper(at, |own| own.operand(dot, inner))?;
                self.fields(at, dot, value, names, Given::NOTHING)
            }
        }
    }

    /// `.a.b.c` of a value; what is given is for the last one.
    fn fields(
        &mut self,
        at: usize,
        dot: &Datum,
        value: Datum,
        names: &[Arc<str>],
        given: Given<'a>,
    ) -> Result<Datum, Fallen> {
        self.memory.budget.steps(names.len()).map_err(|fault| Fallen { at, fault })?;
        let Some((last, before)) = names.split_last() else { return Ok(value) };
        let mut value = value;
        for name in before {
            value = self.field(at, dot, &value, name, Given::NOTHING)?;
        }
        self.field(at, dot, &value, last, given)
    }

    fn field(
        &mut self,
        at: usize,
        dot: &Datum,
        value: &Datum,
        name: &str,
        given: Given<'a>,
    ) -> Result<Datum, Fallen> {
        let fault = match value {
            // Nothing has any field, which is nothing again.
            Datum::Missing => return Ok(Datum::Missing),
            Datum::Map(..) if !given.is_nothing() => {
                format!("`.{name}` is a value and no function, it cannot be given arguments")
            }
            Datum::Map(id, _) => {
                return Ok(self.memory.entries(*id).get(name).cloned().unwrap_or(Datum::Missing));
            }
            Datum::Version(version) => match semver::method(version, name) {
                Some(semver::Method::Value(value)) if given.is_nothing() => return Ok(value),
                Some(semver::Method::Compare(compare)) if given.count() == 1 => {
                    let other = self.one_version(at, dot, given)?;
                    return Ok(compare(version, &other));
                }
                Some(_) => format!("wrong number of arguments for `.{name}`"),
                None => format!("a version has no `.{name}`"),
            },
            Datum::Nil => format!("`.{name}` of nothing"),
            value => format!("a {} has no fields, `.{name}` was asked for", value.type_name()),
        };
        Err(Fallen { at, fault: Fault::new(fault) })
    }

    fn one_version(
        &mut self,
        at: usize,
        dot: &Datum,
        given: Given<'a>,
    ) -> Result<std::rc::Rc<semver::Version>, Fallen> {
        let value = match (given.arguments.first(), given.last) {
            (Some(argument), _) => self.argument(dot, Param::Version, argument)?,
            (None, Some(last)) => self.checked(at, last, Param::Version)?,
            (None, None) => Datum::Missing,
        };
        match value {
            Datum::Version(version) => Ok(version),
            _ => Err(Fallen { at, fault: Fault::new("comparison with no version") }),
        }
    }

    fn call(
        &mut self,
        at: usize,
        dot: &Datum,
        function: &'static Function,
        given: Given<'a>,
    ) -> Result<Datum, Fallen> {
        let (got, fixed) = (given.count(), function.params.len());
        let enough = if function.rest.is_some() { got >= fixed } else { got == fixed };
        if !enough {
            let least = if function.rest.is_some() { "at least " } else { "" };
            let fault = Fault::new(format!("`{}` takes {least}{fixed} arguments, got {got}", function.name));
            return Err(Fallen { at, fault });
        }
        self.memory.budget.steps(1 + got).map_err(|fault| Fallen { at, fault })?;
        if matches!(function.name, "and" | "or") {
            return self.short_circuit(at, dot, function.name == "or", given);
        }
        let param =
            |index: usize| function.params.get(index).copied().or(function.rest).unwrap_or(Param::Any);
        let mut arguments = Vec::with_capacity(got);
        for (index, argument) in given.arguments.iter().enumerate() {
            arguments.push(self.argument(dot, param(index), argument)?);
        }
        if let Some(last) = given.last {
            arguments.push(self.checked(at, last, param(given.arguments.len()))?);
        }
        // What looks at a long text takes its time, however short the result is.
        let texts =
            arguments.iter().map(|argument| if let Datum::Text(text) = argument { text.len() } else { 0 });
        self.memory.budget.steps(texts.sum::<usize>() / 256).map_err(|fault| Fallen { at, fault })?;
        (function.run)(&mut self.memory, Args(&arguments)).map_err(|fault| {
            let fault = match fault {
                Fault::Plain(problem) => Fault::Plain(format!("`{}`: {problem}", function.name)),
                limit @ Fault::Limit(_) => limit,
            };
            Fallen { at, fault }
        })
    }

    /// `and` and `or`: what does not matter is not evaluated.
    fn short_circuit(&mut self, at: usize, dot: &Datum, or: bool, given: Given<'a>) -> Result<Datum, Fallen> {
        let mut value = Datum::Missing;
        for argument in given.arguments {
            value = self.argument(dot, Param::Value, argument)?;
            if truth(&self.memory, &value) == or {
                return Ok(value);
            }
        }
        match given.last {
            Some(last) => self.checked(at, last, Param::Value),
            None => Ok(value),
        }
    }

    /// An argument for a parameter of a type. Constants take the type that is asked for.
    fn argument(&mut self, dot: &Datum, param: Param, operand: &'a Operand) -> Result<Datum, Fallen> {
        let at = operand.at;
        let wrong = |what: &str| Fallen { at, fault: Fault::new(format!("expected {what}")) };
        match (&operand.kind, param) {
            (OperandKind::Nil, Param::Any) => Ok(Datum::Nil),
            (OperandKind::Nil, Param::Value) => Ok(Datum::Missing),
            (OperandKind::Nil, Param::Map) => self.checked(at, Datum::Missing, param),
            (OperandKind::Nil, _) => Err(wrong(&format!("a {}, got nil", param.name()))),
            (
                OperandKind::Bool(_) | OperandKind::Number(_) | OperandKind::Text(_),
                Param::Any | Param::Value,
            )
            | (OperandKind::Bool(_), Param::Bool)
            | (OperandKind::Text(_), Param::Text) => self.operand(dot, operand),
            (OperandKind::Number(constant), Param::Int) => {
                constant.int.map(Datum::Int).ok_or_else(|| wrong("a whole number"))
            }
            (OperandKind::Number(constant), Param::Float) => {
                constant.float.map(Datum::Float).ok_or_else(|| wrong("a number"))
            }
            (OperandKind::Bool(_) | OperandKind::Number(_) | OperandKind::Text(_), _) => {
                Err(wrong(&format!("a {}, got a constant of another type", param.name())))
            }
            _ => {
                let value = self.deeper(at, |own| own.operand(dot, operand))?;
                self.checked(at, value, param)
            }
        }
    }

    /// A value for a parameter: never converted, only let through.
    fn checked(&mut self, at: usize, value: Datum, param: Param) -> Result<Datum, Fallen> {
        let fault = match (param, value) {
            (Param::Any, value) => return Ok(value.boxed()),
            (Param::Value, value) => return Ok(value),
            (Param::Map, Datum::Missing) => {
                return self.memory.nil_map().map_err(|fault| Fallen { at, fault });
            }
            (Param::Text, value @ Datum::Text(_))
            | (Param::Int, value @ Datum::Int(_))
            | (Param::Float, value @ Datum::Float(_))
            | (Param::Bool, value @ Datum::Bool(_))
            | (Param::Version, value @ Datum::Version(_))
            | (Param::Map, value @ Datum::Map(_, Elem::Any)) => return Ok(value),
            (_, Datum::Missing | Datum::Nil) => format!("there is no value, expected a {}", param.name()),
            (_, value) => format!("expected a {}, got a {}", param.name(), value.type_name()),
        };
        Err(Fallen { at, fault: Fault::new(fault) })
    }
}

/// A number where no type is asked for.
fn ideal(constant: Constant) -> Result<Datum, Fault> {
    match constant {
        Constant { float: Some(float), prefers_float: true, .. } => Ok(Datum::Float(float)),
        Constant { int: Some(int), .. } => Ok(Datum::Int(int)),
        _ => Err(Fault::new("the number overflows an int")),
    }
}
