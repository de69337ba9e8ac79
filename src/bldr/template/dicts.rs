//! sprig's functions of mappings (`dict.go`). Where Go's order is random, ours is that of the keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions::Param::{Any, Map, Text};
use super::functions::{Args, Function, fixed, variadic};
use super::limits::{DEPTH_MAX, Fault};
use super::strings::text_of;
use super::truth::is_empty;
use super::value::{Datum, Elem, MapId, Memory};

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("dict", &[], Any, dict),
    fixed("get", &[Map, Text], |memory, args| {
        Ok(memory.entries(args.map(0)?).get(args.text(1)).cloned().unwrap_or_else(|| Datum::text("")))
    }),
    fixed("set", &[Map, Text, Any], |memory, args| {
        memory.budget.bytes(args.text(1).len())?;
        memory.entries_mut(args.map(0)?)?.insert(args.text(1).into(), args.any(2).clone());
        Ok(args.any(0).clone())
    }),
    fixed("unset", &[Map, Text], |memory, args| {
        let map = args.map(0)?;
        if !memory.is_nil_map(map) {
            memory.entries_mut(map)?.remove(args.text(1));
        }
        Ok(args.any(0).clone())
    }),
    fixed("hasKey", &[Map, Text], |memory, args| {
        Ok(Datum::Bool(memory.entries(args.map(0)?).contains_key(args.text(1))))
    }),
    variadic("pluck", &[Text], Map, pluck),
    variadic("keys", &[], Map, keys),
    fixed("values", &[Map], |memory, args| {
        let values = memory.entries(args.map(0)?).values().cloned().collect();
        memory.list(Elem::Any, values)
    }),
    variadic("pick", &[Map], Text, |memory, args| pick(memory, args, true)),
    variadic("omit", &[Map], Text, |memory, args| pick(memory, args, false)),
    variadic("merge", &[Map], Map, |memory, args| merge(memory, args, false)),
    variadic("mustMerge", &[Map], Map, |memory, args| merge(memory, args, false)),
    variadic("mergeOverwrite", &[Map], Map, |memory, args| merge(memory, args, true)),
    variadic("mustMergeOverwrite", &[Map], Map, |memory, args| merge(memory, args, true)),
    variadic("dig", &[], Any, dig),
    fixed("deepCopy", &[Any], deep_copy),
    fixed("mustDeepCopy", &[Any], deep_copy),
];

fn dict(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut entries = BTreeMap::new();
    for pair in args.0.chunks(2) {
        let (Some(key), value) = (pair.first(), pair.get(1)) else { continue };
        let key = text_of(memory, key)?;
        memory.budget.bytes(key.len())?;
        entries.insert(key, value.cloned().unwrap_or_else(|| Datum::text("")));
    }
    memory.map(Elem::Any, entries)
}

fn pluck(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut values = Vec::new();
    for index in 1..args.len() {
        values.extend(memory.entries(args.map(index)?).get(args.text(0)).cloned());
    }
    memory.list(Elem::Any, values)
}

fn keys(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let mut keys = Vec::new();
    for index in 0..args.len() {
        let map = args.map(index)?;
        memory.budget.steps(memory.entries(map).len())?;
        keys.extend(memory.entries(map).keys().cloned().map(Datum::Text));
    }
    memory.list(Elem::Text, keys)
}

fn pick(memory: &mut Memory, args: Args<'_>, named: bool) -> Result<Datum, Fault> {
    let names: std::collections::BTreeSet<&str> = (1..args.len()).map(|index| args.text(index)).collect();
    memory.budget.steps(memory.entries(args.map(0)?).len())?;
    let entries = memory.entries(args.map(0)?).iter();
    let picked = entries.filter(|(key, _)| names.contains(&***key) == named);
    let picked = picked.map(|(key, value)| (Arc::clone(key), value.clone())).collect();
    memory.map(Elem::Any, picked)
}

fn dig(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    let [keys @ .., otherwise, map] = args.0 else {
        return Err(Fault::new("it takes at least three arguments"));
    };
    if keys.is_empty() {
        return Err(Fault::new("it takes at least three arguments"));
    }
    if !keys.iter().all(|key| matches!(key, Datum::Text(_))) {
        return Err(Fault::new("its keys are texts"));
    }
    let mut value = map.clone();
    for key in keys {
        let (Datum::Map(map, Elem::Any), Datum::Text(key)) = (&value, key) else {
            return Err(Fault::new("it takes a mapping at each of its keys"));
        };
        match memory.entries(*map).get(key) {
            Some(found) => value = found.clone(),
            None => return Ok(otherwise.clone()),
        }
    }
    Ok(value)
}

fn merge(memory: &mut Memory, args: Args<'_>, overwrite: bool) -> Result<Datum, Fault> {
    let mut target = args.any(0).clone();
    let mut into = args.map(0)?;
    for index in 1..args.len() {
        let from = args.map(index)?;
        if memory.is_nil_map(into) && !memory.is_nil_map(from) {
            target = memory.map(Elem::Any, BTreeMap::new())?;
            if let Datum::Map(id, _) = target {
                into = id;
            }
        }
        merge_into(memory, into, from, overwrite, 0)?;
    }
    Ok(target)
}

/// dario.cat/mergo's `deepMerge` of mappings: mappings in both are merged; otherwise what is there stays,
/// unless it is empty.
fn merge_into(
    memory: &mut Memory,
    into: MapId,
    from: MapId,
    overwrite: bool,
    depth: usize,
) -> Result<(), Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::too_deep());
    }
    memory.budget.steps(memory.entries(from).len())?;
    let pairs: Vec<(Arc<str>, Datum)> =
        memory.entries(from).iter().map(|(key, value)| (Arc::clone(key), value.clone())).collect();
    for (key, theirs) in pairs {
        let ours = memory.entries(into).get(&key).cloned();
        let replaces = match (&ours, &theirs) {
            (_, Datum::Nil | Datum::Missing) => overwrite,
            (Some(Datum::Map(ours, Elem::Any)), Datum::Map(theirs, Elem::Any)) => {
                merge_into(memory, *ours, *theirs, overwrite, depth + 1)?;
                memory.entries(*ours).is_empty()
            }
            (Some(ours), Datum::Map(..)) if matches!(ours, Datum::Map(..)) => is_empty(memory, ours),
            (None, _) => true,
            (Some(ours), _) => overwrite || is_empty(memory, ours),
        };
        if replaces {
            memory.entries_mut(into)?.insert(key, theirs);
        }
    }
    Ok(())
}

fn deep_copy(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    match args.any(0) {
        Datum::Missing | Datum::Nil => Err(Fault::new("there is no value")),
        datum => copy(memory, datum, 0),
    }
}

fn copy(memory: &mut Memory, datum: &Datum, depth: usize) -> Result<Datum, Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::too_deep());
    }
    match datum {
        Datum::List(list) if !list.nil => {
            let mut items = Vec::new();
            for item in &list.items {
                memory.budget.steps(1)?;
                items.push(copy(memory, item, depth + 1)?);
            }
            memory.list(list.elem, items)
        }
        Datum::Map(map, elem) => {
            memory.budget.steps(memory.entries(*map).len())?;
            let mut entries = memory.entries(*map).clone();
            for value in entries.values_mut() {
                *value = copy(memory, value, depth + 1)?;
            }
            memory.map(*elem, entries)
        }
        other => Ok(other.clone()),
    }
}
