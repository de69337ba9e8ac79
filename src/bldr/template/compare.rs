//! `reflect.DeepEqual`.

use super::limits::{DEPTH_MAX, Fault};
use super::value::{Datum, Memory};

/// Whether two values are the same, types included.
pub(super) fn deep_equal(memory: &mut Memory, left: &Datum, right: &Datum) -> Result<bool, Fault> {
    at_depth(memory, left, right, 0)
}

fn at_depth(memory: &mut Memory, left: &Datum, right: &Datum, depth: usize) -> Result<bool, Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::too_deep());
    }
    memory.budget.steps(1)?;
    Ok(match (left, right) {
        (Datum::Missing | Datum::Nil, Datum::Missing | Datum::Nil) => true,
        (Datum::Bool(left), Datum::Bool(right)) => left == right,
        (Datum::Int(left), Datum::Int(right)) | (Datum::Int64(left), Datum::Int64(right)) => left == right,
        (Datum::Byte(left), Datum::Byte(right)) => left == right,
        (Datum::Uint64(left), Datum::Uint64(right)) => left == right,
        (Datum::Float(left), Datum::Float(right)) => left == right,
        (Datum::Text(left), Datum::Text(right)) => {
            // Long texts are compared in pairs of a list.
            memory.budget.steps(left.len().min(right.len()) / 64)?;
            left == right
        }
        (Datum::Version(left), Datum::Version(right)) => left == right,
        (Datum::List(left), Datum::List(right)) => {
            if left.elem != right.elem || left.nil != right.nil || left.items.len() != right.items.len() {
                return Ok(false);
            }
            for (left, right) in left.items.iter().zip(&right.items) {
                if !at_depth(memory, left, right, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Datum::Map(left, elem), Datum::Map(right, other)) => {
            if left == right && elem == other {
                return Ok(true);
            }
            let (ours, theirs) = (memory.entries(*left), memory.entries(*right));
            let same = elem == other && memory.is_nil_map(*left) == memory.is_nil_map(*right);
            if !same || !ours.keys().eq(theirs.keys()) {
                return Ok(false);
            }
            memory.budget.allows(ours.len())?;
            let pairs: Vec<(Datum, Datum)> = ours.values().cloned().zip(theirs.values().cloned()).collect();
            for (left, right) in pairs {
                if !at_depth(memory, &left, &right, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}
