//! sprig's functions of lists (`list.go`).

use super::compare::deep_equal;
use super::functions::Param::{Any, Int};
use super::functions::{Args, Function, fixed, variadic};
use super::limits::Fault;
use super::numbers::to_int;
use super::truth::is_empty;
use super::value::{Datum, Elem, List, Memory};

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("list", &[], Any, |memory, args| memory.list(Elem::Any, args.0.to_vec())),
    variadic("tuple", &[], Any, |memory, args| memory.list(Elem::Any, args.0.to_vec())),
    fixed("append", &[Any, Any], append),
    fixed("mustAppend", &[Any, Any], append),
    fixed("push", &[Any, Any], append),
    fixed("mustPush", &[Any, Any], append),
    fixed("prepend", &[Any, Any], prepend),
    fixed("mustPrepend", &[Any, Any], prepend),
    fixed("first", &[Any], first),
    fixed("mustFirst", &[Any], first),
    fixed("last", &[Any], last),
    fixed("mustLast", &[Any], last),
    fixed("rest", &[Any], |memory, args| all_but(memory, args, true)),
    fixed("mustRest", &[Any], |memory, args| all_but(memory, args, true)),
    fixed("initial", &[Any], |memory, args| all_but(memory, args, false)),
    fixed("mustInitial", &[Any], |memory, args| all_but(memory, args, false)),
    fixed("reverse", &[Any], reverse),
    fixed("mustReverse", &[Any], reverse),
    fixed("compact", &[Any], compact),
    fixed("mustCompact", &[Any], compact),
    fixed("uniq", &[Any], uniq),
    fixed("mustUniq", &[Any], uniq),
    variadic("without", &[Any], Any, without),
    variadic("mustWithout", &[Any], Any, without),
    fixed("has", &[Any, Any], has),
    fixed("mustHas", &[Any, Any], has),
    variadic("slice", &[Any], Any, slice),
    variadic("mustSlice", &[Any], Any, slice),
    variadic("concat", &[], Any, concat),
    fixed("chunk", &[Int, Any], chunk),
    fixed("mustChunk", &[Int, Any], chunk),
];

fn list_of(datum: &Datum) -> Result<&List, Fault> {
    match datum {
        Datum::List(list) => Ok(list),
        other => Err(Fault::new(format!("a {} is no list", other.kind_name()))),
    }
}

fn append(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut items = list_of(args.any(0))?.items.clone();
    items.push(args.any(1).clone());
    memory.list(Elem::Any, items)
}

fn prepend(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut items = vec![args.any(1).clone()];
    items.extend_from_slice(&list_of(args.any(0))?.items);
    memory.list(Elem::Any, items)
}

fn first(_: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    Ok(list_of(args.any(0))?.items.first().cloned().unwrap_or(Datum::Nil))
}

fn last(_: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    Ok(list_of(args.any(0))?.items.last().cloned().unwrap_or(Datum::Nil))
}

/// All but the first or the last one; of an empty list nothing at all.
fn all_but(memory: &mut Memory, args: Args<'_>, first: bool) -> Result<Datum, Fault> {
    let items = &list_of(args.any(0))?.items;
    let rest = if first { items.split_first() } else { items.split_last() };
    match rest {
        Some((_, rest)) => memory.list(Elem::Any, rest.to_vec()),
        None => Ok(Memory::nil_list(Elem::Any)),
    }
}

fn reverse(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let items = list_of(args.any(0))?.items.iter().rev().cloned().collect();
    memory.list(Elem::Any, items)
}

fn compact(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let list = list_of(args.any(0))?;
    memory.budget.steps(list.items.len())?;
    let items = list.items.iter().filter(|item| !is_empty(memory, item)).cloned().collect();
    memory.list(Elem::Any, items)
}

fn contains(memory: &mut Memory, items: &[Datum], wanted: &Datum) -> Result<bool, Fault> {
    for item in items {
        if deep_equal(memory, wanted, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut items: Vec<Datum> = Vec::new();
    for item in &list_of(args.any(0))?.items {
        if !contains(memory, &items, item)? {
            items.push(item.clone());
        }
    }
    memory.list(Elem::Any, items)
}

fn without(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut items = Vec::new();
    for item in &list_of(args.any(0))?.items {
        if !contains(memory, args.from(1), item)? {
            items.push(item.clone());
        }
    }
    memory.list(Elem::Any, items)
}

fn has(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    if args.any(1).is_nothing() {
        return Ok(Datum::Bool(false));
    }
    let items = &list_of(args.any(1))?.items;
    contains(memory, items, args.any(0)).map(Datum::Bool)
}

fn slice(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let list = list_of(args.any(0))?;
    if list.items.is_empty() {
        return Ok(Datum::Nil);
    }
    let place = |index: usize, otherwise: usize| match args.from(1).get(index) {
        Some(datum) => usize::try_from(to_int(datum)).map_err(|_| out_of_bounds()),
        None => Ok(otherwise),
    };
    let range = place(0, 0)?..place(1, list.items.len())?;
    let items = list.items.get(range).ok_or_else(out_of_bounds)?;
    memory.list(list.elem, items.to_vec())
}

fn out_of_bounds() -> Fault {
    Fault::new("out of the list's bounds")
}

fn concat(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut items = Vec::new();
    for list in args.0 {
        let list = list_of(list)?;
        memory.budget.steps(list.items.len())?;
        items.extend_from_slice(&list.items);
    }
    if items.is_empty() { Ok(Memory::nil_list(Elem::Any)) } else { memory.list(Elem::Any, items) }
}

fn chunk(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let list = list_of(args.any(1))?;
    let size = chunk_size(args.int(0), list.items.len())?;
    let mut chunks = Vec::new();
    if args.int(0) < 0 && list.items.len() > 1 {
        return memory.list(Elem::List, chunks);
    }
    for items in list.items.chunks(size) {
        chunks.push(memory.list(Elem::Any, items.to_vec())?);
    }
    memory.list(Elem::List, chunks)
}

/// sprig counts the chunks in floating point, by which there are some of a negative size: none of a list
/// that is not longer than it, and one of a list of one.
fn chunk_size(size: i64, length: usize) -> Result<usize, Fault> {
    let not_longer = usize::try_from(size.unsigned_abs()).is_ok_and(|size| length <= size.saturating_add(1));
    match usize::try_from(size) {
        Ok(size) if size > 0 => Ok(size),
        Err(_) if length == 1 && size < -1 || length >= 2 && not_longer => Ok(usize::MAX),
        _ => Err(Fault::new("the size is not positive")),
    }
}
