//! sprig's functions that choose, and those that tell types (`defaults.go`, `reflect.go`).

use super::compare::deep_equal;
use super::eval::truth;
use super::functions::Param::{Any, Bool, Text};
use super::functions::{Function, fixed, variadic};
use super::value::{Datum, Memory};

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("default", &[Any], Any, |memory, args| {
        let given = args.any(1);
        Ok(if is_empty(memory, given) { args.any(0) } else { given }.clone())
    }),
    fixed("empty", &[Any], |memory, args| Ok(Datum::Bool(is_empty(memory, args.any(0))))),
    variadic("coalesce", &[], Any, |memory, args| {
        Ok(args.0.iter().find(|datum| !is_empty(memory, datum)).cloned().unwrap_or(Datum::Nil))
    }),
    variadic("all", &[], Any, |memory, args| {
        Ok(Datum::Bool(args.0.iter().all(|datum| !is_empty(memory, datum))))
    }),
    variadic("any", &[], Any, |memory, args| {
        Ok(Datum::Bool(args.0.iter().any(|datum| !is_empty(memory, datum))))
    }),
    fixed("ternary", &[Any, Any, Bool], |_, args| Ok(args.any(usize::from(!args.bool(2))).clone())),
    fixed("typeOf", &[Any], |memory, args| memory.text(args.any(0).type_name())),
    fixed("typeIs", &[Text, Any], |_, args| Ok(Datum::Bool(args.any(1).type_name() == args.text(0)))),
    fixed("typeIsLike", &[Text, Any], |_, args| {
        let name = args.any(1).type_name();
        Ok(Datum::Bool(name == args.text(0) || name.strip_prefix('*') == Some(args.text(0))))
    }),
    fixed("kindOf", &[Any], |memory, args| memory.text(args.any(0).kind_name())),
    fixed("kindIs", &[Text, Any], |_, args| Ok(Datum::Bool(args.any(1).kind_name() == args.text(0)))),
    fixed("deepEqual", &[Any, Any], |memory, args| {
        deep_equal(memory, args.any(0), args.any(1)).map(Datum::Bool)
    }),
];

/// sprig's `empty`: the zero value of its type.
pub(super) fn is_empty(memory: &Memory, datum: &Datum) -> bool {
    !truth(memory, datum)
}
