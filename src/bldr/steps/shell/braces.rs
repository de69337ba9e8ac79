//! `{a,b}` and `{1..3}`: one word becomes several, before anything else happens to it.

use super::syntax::{Part, Word};

/// Words that one word may become.
const WORDS_MAX: usize = 1 << 14;

/// A word in pieces: unquoted characters, and whatever else is in it.
#[derive(Debug, Clone)]
enum Piece {
    Char(char),
    Other(Part),
}

/// Looks at a piece that one word may take: braces that are not closed make it look again and again.
const STEPS_MAX: usize = 1 << 16;

/// The words that `word` stands for, and how many steps that took; `None` if they are too many.
pub(crate) fn expand(word: &Word) -> Option<(Vec<Word>, usize)> {
    let braced = |part: &Part| matches!(part, Part::Text { text, quoted: false } if text.contains('{'));
    if !word.parts.iter().any(braced) {
        return Some((vec![word.clone()], 0));
    }
    let pieces = word.parts.iter().flat_map(|part| match part {
        Part::Text { text, quoted: false } => text.chars().map(Piece::Char).collect(),
        other => vec![Piece::Other(other.clone())],
    });
    let pieces: Vec<Piece> = pieces.collect();
    let (mut done, mut steps) = (Vec::new(), 0);
    // What is left to do, the next last: each with the number of pieces that hold no brace any more.
    let mut left = vec![(0, pieces)];
    while let Some((from, pieces)) = left.pop() {
        steps += pieces.len();
        if steps > STEPS_MAX {
            return None;
        }
        match first(&pieces, from, &mut steps) {
            _ if steps > STEPS_MAX => return None,
            None => done.push(Word { at: word.at, parts: parts(&pieces) }),
            Some((start, end, alternatives)) => {
                if left.len() + done.len() + alternatives.len() > WORDS_MAX {
                    return None;
                }
                // `start` and `end` are indices of pieces.
                let (before, behind) = (&pieces[..start], &pieces[end + 1..]);
                for alternative in alternatives.into_iter().rev() {
                    left.push((start, [before, &alternative, behind].concat()));
                }
            }
        }
        if done.len() > WORDS_MAX {
            return None;
        }
    }
    Some((done, steps))
}

fn is(piece: &Piece, wanted: char) -> bool {
    matches!(piece, Piece::Char(character) if *character == wanted)
}

/// The first brace from `from` on that means something: where it begins, where it ends, and what it stands for.
fn first(pieces: &[Piece], from: usize, steps: &mut usize) -> Option<(usize, usize, Vec<Vec<Piece>>)> {
    for (start, _) in pieces.iter().enumerate().skip(from).filter(|(_, piece)| is(piece, '{')) {
        if *steps > STEPS_MAX {
            return None; // the caller gives up
        }
        let (mut depth, mut commas) = (0, Vec::new());
        for (index, piece) in pieces.iter().enumerate().skip(start) {
            *steps += 1;
            match piece {
                Piece::Char('{') => depth += 1,
                Piece::Char('}') if depth == 1 => {
                    // Both are indices with `start < index`.
                    let inside = &pieces[start + 1..index];
                    if commas.is_empty() {
                        if let Some(sequence) = sequence(inside) {
                            return Some((start, index, sequence));
                        }
                    } else {
                        commas.push(index);
                        let mut at = start + 1;
                        let alternatives = commas.iter().map(|comma| {
                            let alternative = pieces.get(at..*comma).unwrap_or_default().to_vec();
                            at = comma + 1;
                            alternative
                        });
                        return Some((start, index, alternatives.collect()));
                    }
                    break;
                }
                Piece::Char('}') => depth -= 1,
                Piece::Char(',') if depth == 1 => commas.push(index),
                _ => {}
            }
        }
    }
    None
}

/// `1..3`, `03..01`, `a..e`, `1..9..2`.
fn sequence(inside: &[Piece]) -> Option<Vec<Vec<Piece>>> {
    let text: Option<String> = inside
        .iter()
        .map(|piece| match piece {
            Piece::Char(character) => Some(*character),
            Piece::Other(_) => None,
        })
        .collect();
    let text = text?;
    let fields: Vec<&str> = text.split("..").collect();
    let (first, last, step) = match fields.as_slice() {
        [first, last] => (*first, *last, 1),
        [first, last, step] => (*first, *last, step.parse::<i64>().ok()?),
        _ => return None,
    };
    let step = i64::try_from(step.unsigned_abs().max(1)).ok()?;
    let letter = |text: &str| {
        let mut chars = text.chars();
        chars.next().filter(|letter| letter.is_ascii_alphabetic() && chars.next().is_none())
    };
    let words: Vec<String> = if let (Some(first), Some(last)) = (letter(first), letter(last)) {
        numbers(i64::from(u32::from(first)), i64::from(u32::from(last)), step)?
            .into_iter()
            .filter_map(|number| Some(char::from(u8::try_from(number).ok()?).to_string()))
            .collect()
    } else {
        let digits = |text: &str| {
            text.strip_prefix('-').unwrap_or(text).starts_with('0') && text.trim_start_matches('-').len() > 1
        };
        let width = if digits(first) || digits(last) { first.len().max(last.len()) } else { 0 };
        let number = |text: &str| text.parse::<i64>().ok();
        numbers(number(first)?, number(last)?, step)?
            .into_iter()
            .map(|number| format!("{number:0width$}"))
            .collect()
    };
    Some(words.iter().map(|word| word.chars().map(Piece::Char).collect()).collect())
}

fn numbers(first: i64, last: i64, step: i64) -> Option<Vec<i64>> {
    let count = first.checked_sub(last)?.unsigned_abs() / step.unsigned_abs().max(1) + 1;
    // More than that is taken for no sequence, and so for itself.
    let count = i64::try_from(count).ok().filter(|count| *count <= WORDS_MAX as i64)?;
    let sign = if first <= last { step } else { -step };
    Some((0..count).map(|index| first.saturating_add(sign.saturating_mul(index))).collect())
}

fn parts(pieces: &[Piece]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Char(character) => match parts.last_mut() {
                Some(Part::Text { text, quoted: false }) => text.push(*character),
                _ => parts.push(Part::Text { text: character.to_string(), quoted: false }),
            },
            Piece::Other(part) => parts.push(part.clone()),
        }
    }
    parts
}
