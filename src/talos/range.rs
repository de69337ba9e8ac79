//! Constraints on the Talos version: the range syntax of blang/semver v4, as Talos reads it.
//!
//! A constraint means here what it means to Talos, which decides at boot: where the library differs
//! from its own documentation, we follow the library (`testdata/ranges.tsv` holds its answers). What
//! surprises: a word of one character is dropped, so `! 1.2.3` is `1.2.3`; `!=1.x` holds for
//! nothing; `1.x.x` is `1.0.x`; a pre-release in the constraint counts although Talos' own is cut off.
//! The one difference: where the library crashes on an empty alternative (`a || || b`) we say so.

use std::str::FromStr;

use super::version::Version;

/// A constraint. Empty alternatives: no constraint at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// At least one alternative must hold, that is, all of its comparisons.
    alternatives: Vec<Vec<(Operator, Version)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A text is no constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` in a version constraint {why}")]
pub struct RangeError {
    /// The part of the text at fault.
    pub part: String,
    /// What is wrong with it: `is no version: …`.
    pub why: String,
}

impl RangeError {
    fn new(part: &str, why: impl Into<String>) -> Self {
        Self { part: part.to_owned(), why: why.into() }
    }
}

impl Range {
    /// Reads a constraint; the empty text is none.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        if text.is_empty() {
            return Ok(Self { alternatives: Vec::new() });
        }
        let words = words(&without_v(text));
        let alternatives: Vec<&[String]> = words.split(|word| word == "||").collect();
        if alternatives.iter().any(|words| words.is_empty()) {
            return Err(RangeError::new(text, "has nothing on one side of `||`, or says nothing"));
        }
        let comparisons = |words: &&[String]| {
            let comparisons: Result<Vec<_>, _> = words.iter().map(|word| comparisons(word)).collect();
            comparisons.map(|comparisons| comparisons.into_iter().flatten().collect())
        };
        Ok(Self { alternatives: alternatives.iter().map(comparisons).collect::<Result<_, _>>()? })
    }

    /// Whether `version` satisfies the constraint. Its pre-release does not count: `1.15.0-alpha.0` is
    /// `1.15.0` here, as for Talos.
    pub fn contains(&self, version: &Version) -> bool {
        let core = version.core();
        let holds = |(operator, bound): &(Operator, Version)| match operator {
            Operator::Equal => core == *bound,
            Operator::NotEqual => core != *bound,
            Operator::Less => core < *bound,
            Operator::LessOrEqual => core <= *bound,
            Operator::Greater => core > *bound,
            Operator::GreaterOrEqual => core >= *bound,
        };
        self.alternatives.is_empty() || self.alternatives.iter().any(|all| all.iter().all(holds))
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        Self::parse(text)
    }
}

/// Drops every `v` that stands directly before a digit.
fn without_v(text: &str) -> String {
    let next = text.chars().skip(1).map(Some).chain([None]);
    text.chars()
        .zip(next)
        .filter(|(c, next)| !(*c == 'v' && next.is_some_and(|next| next.is_ascii_digit())))
        .map(|(c, _)| c)
        .collect()
}

/// Splits at spaces, but not at those behind `<`, `>` and `=`, which are dropped from the word. Words of
/// one byte, those spaces counted, are lost, as they are in the library.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut binds = false; // whether the last character that is no space was an operator's
    for c in text.chars() {
        if c == ' ' && !binds {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.push(c);
        }
        if c != ' ' {
            binds = matches!(c, '<' | '>' | '=');
        }
    }
    words.retain(|word| word.len() > 1);
    words.iter().map(|word| word.replace(' ', "")).collect()
}

/// The comparisons that one word stands for: one, or two for a wildcard.
fn comparisons(word: &str) -> Result<Vec<(Operator, Version)>, RangeError> {
    let digit = word.find(|c: char| c.is_ascii_digit());
    let (operator, bound) = digit
        .and_then(|at| word.split_at_checked(at))
        .ok_or_else(|| RangeError::new(word, "has no version"))?;
    let operator = operator.trim();
    let version = |text: &str| {
        Version::parse_bare(text)
            .map_err(|error| RangeError::new(word, format!("is no version: {}", error.why)))
    };
    if !word.is_ascii() {
        return Err(RangeError::new(word, "contains a character that no constraint has"));
    }
    if word.contains('x') {
        let next =
            || next_after_wildcard(bound).ok_or_else(|| RangeError::new(word, "has no number before `x`"));
        let first = without_wildcard(bound);
        return Ok(match operator {
            "" | "=" | "==" => {
                vec![(Operator::GreaterOrEqual, version(&first)?), (Operator::Less, version(&next()?)?)]
            }
            // Both at once, which never holds.
            "!" | "!=" => {
                vec![(Operator::Less, version(&first)?), (Operator::GreaterOrEqual, version(&next()?)?)]
            }
            ">" => vec![(Operator::GreaterOrEqual, version(&next()?)?)],
            ">=" => vec![(Operator::GreaterOrEqual, version(&first)?)],
            "<" => vec![(Operator::Less, version(&first)?)],
            "<=" => vec![(Operator::Less, version(&next()?)?)],
            // The library loses an operator that it does not know, here only.
            _ => vec![(Operator::Equal, version(&first)?)],
        });
    }
    let operator = match operator {
        "" | "=" | "==" => Operator::Equal,
        "!" | "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        _ => return Err(RangeError::new(word, "has an operator that is none of `> >= < <= = == != !`")),
    };
    Ok(vec![(operator, version(bound)?)])
}

/// The first version that a wildcard stands for: `1.2.x` → `1.2.0`, `1.x` → `1.0.0`.
fn without_wildcard(bound: &str) -> String {
    let first = bound.replacen(".x.x", ".x", 1).replacen(".x", ".0", 1);
    if first.matches('.').count() == 1 { first + ".0" } else { first }
}

/// The first version behind what a wildcard stands for: `1.2.x` → `1.3.0`, `1.x` → `2.0.0`. None where
/// `x` is not the last of two or three parts.
fn next_after_wildcard(bound: &str) -> Option<String> {
    let first = without_wildcard(bound);
    let mut parts: Vec<String> = first.split('.').map(str::to_owned).collect();
    let incremented = match bound.split('.').collect::<Vec<_>>().as_slice() {
        [_, "x"] => parts.first_mut()?,
        [_, _, "x"] => parts.get_mut(1)?,
        _ => return None,
    };
    *incremented = incremented.parse::<i64>().ok()?.checked_add(1)?.to_string();
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, version: &str) -> bool {
        Range::parse(range).unwrap().contains(&version.parse().unwrap())
    }

    /// Answers of blang/semver v4.0.0, called as Talos calls it. Columns: the range in Rust's debug
    /// quoting without the quotes; `error`, or one digit for each version of the first line.
    #[test]
    fn ranges_hold_where_they_hold_for_the_library() {
        let table = include_str!("testdata/ranges.tsv");
        let mut lines = table.lines();
        let versions: Vec<Version> =
            lines.next().unwrap().split('\t').skip(1).map(|text| text.parse().unwrap()).collect();
        let mut compared = 0;
        for line in lines {
            let (text, expected) = line.rsplit_once('\t').unwrap();
            let text = text.replace("\\t", "\t").replace("\\n", "\n");
            let answer = match Range::parse(&text) {
                Err(_) => "error".to_owned(),
                Ok(range) => {
                    versions.iter().map(|version| if range.contains(version) { '1' } else { '0' }).collect()
                }
            };
            assert_eq!(answer, expected, "{text:?}");
            compared += 1;
        }
        assert!(compared > 300, "{compared}");
    }

    #[test]
    fn the_constraints_of_the_field_mean_what_they_say() {
        assert!(contains("", "0.0.1"));
        assert!(contains(">= v1.5.0", "1.5.0-alpha.0"));
        assert!(!contains(">= v1.5.0", "1.4.9"));
        assert!(contains(">= v1.9.0 < v1.11.0 || 1.13.x", "v1.13.7"));
        assert!(!contains(">= v1.9.0 < v1.11.0 || 1.13.x", "v1.12.0"));
    }

    #[test]
    fn an_error_names_the_part_at_fault() {
        let error = |text: &str| Range::parse(text).unwrap_err().to_string();
        assert_eq!(
            error(">= 1.0.0 < 2.0"),
            "`<2.0` in a version constraint is no version: it takes three numbers, major.minor.patch"
        );
        assert_eq!(error("~1.2.3").split(" has ").next(), Some("`~1.2.3` in a version constraint"));
        assert_eq!(error("latest"), "`latest` in a version constraint has no version");
        for text in ["||", "1.0.0 ||", "|| 1.0.0", "1.0.0 || || 2.0.0", " ", "1"] {
            assert!(Range::parse(text).is_err(), "{text:?}");
        }
    }
}
