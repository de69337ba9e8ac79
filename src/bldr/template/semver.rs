//! Versions and their constraints as github.com/Masterminds/semver/v3 v3.3.0 reads them, which sprig uses.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::functions::Param::Text;
use super::functions::{Args, Function, fixed};
use super::limits::Fault;
use super::value::{Datum, Memory};

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("semver", &[Text], |_, args| Ok(Datum::Version(Rc::new(Version::parse(args.text(0))?)))),
    fixed("semverCompare", &[Text, Text], compare),
];

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    numbers: [u64; 3],
    pre: String,
    metadata: String,
    original: String,
}

impl Version {
    fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = || Fault::new(format!("`{text}` is no semantic version"));
        let bare = text.strip_prefix('v').unwrap_or(text);
        let (rest, metadata) = match bare.split_once('+') {
            Some((rest, metadata)) => (rest, Some(metadata)),
            None => (bare, None),
        };
        let (core, pre) = match rest.split_once('-') {
            Some((core, pre)) => (core, Some(pre)),
            None => (rest, None),
        };
        let words = |text: &str| text.split('.').all(is_word);
        if !pre.is_none_or(words) || !metadata.is_none_or(words) {
            return Err(wrong());
        }
        let leading_zero = |word: &str| word.len() > 1 && word.starts_with('0') && is_number(word);
        if pre.is_some_and(|pre| pre.split('.').any(leading_zero)) {
            return Err(wrong());
        }
        let parts: Vec<&str> = core.split('.').collect();
        let mut numbers = [0; 3];
        if parts.len() > numbers.len() || !parts.iter().all(|part| is_number(part)) {
            return Err(wrong());
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = part.parse().map_err(|_| wrong())?;
        }
        let (pre, metadata) = (pre.unwrap_or_default().to_owned(), metadata.unwrap_or_default().to_owned());
        Ok(Self { numbers, pre, metadata, original: text.to_owned() })
    }

    /// Their order; what stands behind `+` does not matter.
    fn compare(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| compare_pre(&self.pre, &other.pre))
    }

    fn major(&self) -> u64 {
        let [major, ..] = self.numbers;
        major
    }

    fn minor(&self) -> u64 {
        let [_, minor, _] = self.numbers;
        minor
    }

    fn patch(&self) -> u64 {
        let [.., patch] = self.numbers;
        patch
    }

    /// Its first two numbers, to compare.
    fn two(&self) -> (u64, u64) {
        (self.major(), self.minor())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The order of what stands behind `-`: without it, a version is the newest.
fn compare_pre(left: &str, right: &str) -> Ordering {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let mut ours = left.split('.');
    let mut theirs = right.split('.');
    loop {
        let order = match (ours.next(), theirs.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => match (one.parse::<u64>(), other.parse::<u64>()) {
                (Ok(one), Ok(other)) => one.cmp(&other),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => one.cmp(other),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// What a template can ask of a version.
pub(super) enum Method {
    Value(Datum),
    Compare(fn(&Version, &Version) -> Datum),
}

/// The method of a name.
pub(super) fn method(version: &Version, name: &str) -> Option<Method> {
    Some(match name {
        "Major" => Method::Value(Datum::Uint64(version.major())),
        "Minor" => Method::Value(Datum::Uint64(version.minor())),
        "Patch" => Method::Value(Datum::Uint64(version.patch())),
        "Prerelease" => Method::Value(Datum::text(version.pre.as_str())),
        "Metadata" => Method::Value(Datum::text(version.metadata.as_str())),
        "Original" => Method::Value(Datum::text(version.original.as_str())),
        "String" => Method::Value(Datum::text(version.to_string())),
        "Compare" => Method::Compare(|one, other| Datum::Int(one.compare(other) as i64)),
        "Equal" => Method::Compare(|one, other| Datum::Bool(one.compare(other).is_eq())),
        "LessThan" => Method::Compare(|one, other| Datum::Bool(one.compare(other).is_lt())),
        "LessThanEqual" => Method::Compare(|one, other| Datum::Bool(one.compare(other).is_le())),
        "GreaterThan" => Method::Compare(|one, other| Datum::Bool(one.compare(other).is_gt())),
        "GreaterThanEqual" => Method::Compare(|one, other| Datum::Bool(one.compare(other).is_ge())),
        _ => return None,
    })
}

/// A version in a constraint: parts may be missing or `x`. A `|` in a number is theirs.
const PARTIAL: &str = concat!(
    r"v?([0-9|x|X|*]+)(\.[0-9|x|X|*]+)?(\.[0-9|x|X|*]+)?",
    r"(-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
);
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

/// The longest constraint: it is searched several times.
const CONSTRAINT_MAX: usize = 1024;

/// The expressions of constraints.
struct Expressions {
    /// `1 - 2`
    range: Regex,
    /// A whole alternative.
    valid: Regex,
    /// One constraint of it.
    each: Regex,
    /// The same with its parts.
    exact: Regex,
}

impl Expressions {
    fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            range: Regex::new(&format!(r"\s*(?P<from>{PARTIAL})\s+-\s+(?P<to>{PARTIAL})\s*"))?,
            valid: Regex::new(&format!(
                r"^(\s*({OPERATORS})\s*({PARTIAL})\s*)((?:\s+|,\s*)({OPERATORS})\s*({PARTIAL})\s*)*$"
            ))?,
            each: Regex::new(&format!(r"({OPERATORS})\s*({PARTIAL})"))?,
            exact: Regex::new(&format!(r"^\s*(?P<operator>{OPERATORS})\s*(?P<version>{PARTIAL})\s*$"))?,
        })
    }

    /// Compiled once. Every constraint would be refused if they did not compile, which tests would see.
    fn get() -> Result<&'static Self, Fault> {
        static ALL: LazyLock<Result<Expressions, regex::Error>> = LazyLock::new(Expressions::new);
        ALL.as_ref().map_err(|error| Fault::new(error.to_string()))
    }
}

fn compare(memory: &mut Memory, args: Args<'_>) -> Result<Datum, Fault> {
    memory.budget.steps(50)?;
    let (text, version) = (args.text(0), args.text(1));
    if text.len() > CONSTRAINT_MAX {
        return Err(Fault::Limit(format!("a constraint of more than {CONSTRAINT_MAX} bytes")));
    }
    let alternatives = constraints(text)?;
    let version = Version::parse(version)?;
    Ok(Datum::Bool(alternatives.iter().any(|all| all.iter().all(|one| one.allows(&version)))))
}

/// Alternatives, each of constraints that must all hold.
fn constraints(text: &str) -> Result<Vec<Vec<Constraint>>, Fault> {
    let wrong = |text: &str| Fault::new(format!("`{text}` is no constraint of versions"));
    let Expressions { range, valid, each, exact } = Expressions::get()?;
    let text = range.replace_all(text, ">= $from, <= $to ");
    let mut alternatives = Vec::new();
    for alternative in text.split("||") {
        if !valid.is_match(alternative) {
            return Err(wrong(alternative));
        }
        let all = each.find_iter(alternative).map(|found| {
            let captures = exact.captures(found.as_str()).ok_or_else(|| wrong(found.as_str()))?;
            Constraint::of(&captures)
        });
        alternatives.push(all.collect::<Result<_, _>>()?);
    }
    Ok(alternatives)
}

/// An operator and a version, of which the last parts may be left open.
#[derive(Debug)]
struct Constraint {
    operator: String,
    version: Version,
    /// How many numbers are given.
    given: usize,
}

impl Constraint {
    fn of(captures: &Captures<'_>) -> Result<Self, Fault> {
        let operator = captures.name("operator").map_or("", |operator| operator.as_str()).to_owned();
        // Behind the operator and the whole version: its three numbers and what stands behind `-`.
        let group = |index: usize| captures.get(index).map_or("", |group| group.as_str());
        let numbers = [3, 4, 5].map(|index| group(index).trim_start_matches('.'));
        let open = |part: &&str| matches!(*part, "" | "x" | "X" | "*");
        let given = numbers.iter().position(open).unwrap_or(numbers.len());
        let mut parts: Vec<&str> = numbers.iter().take(given).copied().collect();
        parts.resize(numbers.len(), "0");
        let version = Version::parse(&format!("{}{}", parts.join("."), group(6)))
            .map_err(|_| Fault::new("a constraint has no version"))?;
        Ok(Self { operator, version, given })
    }

    fn allows(&self, version: &Version) -> bool {
        let order = version.compare(&self.version);
        let exact = self.given == 3;
        // Versions before a release are for those only who ask for one.
        let unasked = !version.pre.is_empty() && self.version.pre.is_empty();
        match self.operator.as_str() {
            "!=" if !exact => !unasked && self.differs(version),
            "!=" => order.is_ne(),
            _ if unasked => false,
            ">" => match self.given {
                1 => version.major() > self.version.major(),
                2 => version.two() > self.version.two(),
                _ => order.is_gt(),
            },
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" => order.is_le() || !exact && self.starts(version),
            "~" | "~>" => self.tilde(version),
            "^" => self.caret(version),
            _ if exact => order.is_eq(),
            _ => self.tilde(version),
        }
    }

    /// Whether the version is not above what is given.
    fn starts(&self, version: &Version) -> bool {
        match self.given {
            1 => version.major() <= self.version.major(),
            _ => version.two() <= self.version.two(),
        }
    }

    fn differs(&self, version: &Version) -> bool {
        match self.given {
            1 => version.major() != self.version.major(),
            2 => version.two() != self.version.two() || compare_pre(&version.pre, &self.version.pre).is_ne(),
            _ => version.compare(&self.version).is_ne(),
        }
    }

    fn tilde(&self, version: &Version) -> bool {
        if version.compare(&self.version).is_lt() {
            return false;
        }
        let zero = self.version.numbers == [0; 3];
        if zero && self.given != 1 && self.given != 2 {
            return true;
        }
        version.major() == self.version.major()
            && (self.given == 1 || version.minor() == self.version.minor())
    }

    /// What is given up to the first number that is not zero stays.
    fn caret(&self, version: &Version) -> bool {
        if version.compare(&self.version).is_lt() {
            return false;
        }
        let [major, minor, patch] = self.version.numbers;
        if major > 0 || self.given == 1 {
            return version.major() == major;
        }
        if version.major() > 0 {
            return false;
        }
        if minor > 0 || self.given == 2 {
            return version.minor() == minor;
        }
        version.minor() == 0 && version.patch() == patch
    }
}
