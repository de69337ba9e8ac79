//! The functions of templates, by name: those of Go's text/template, and sprig's.

use super::limits::Fault;
use super::value::{Datum, MapId, Memory};
use super::{builtin, dicts, json, lists, numbers, paths, regex, semver, strings, truth};
use crate::base::suggest;

/// What a parameter takes, by Go's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Param {
    /// `interface{}`
    Any,
    /// `reflect.Value`: nothing stays nothing.
    Value,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `float64`
    Float,
    /// `bool`
    Bool,
    /// `map[string]interface{}`
    Map,
    /// `*semver.Version`
    Version,
}

impl Param {
    /// Go's name of the type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Value => "reflect.Value",
            Self::Text => "string",
            Self::Int => "int",
            Self::Float => "float64",
            Self::Bool => "bool",
            Self::Map => "map[string]interface {}",
            Self::Version => "*semver.Version",
        }
    }
}

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) params: &'static [Param],
    /// The type of any number of further arguments.
    pub(super) rest: Option<Param>,
    pub(super) run: Run,
}

/// What a function does. Its arguments have the types that it asks for.
pub(super) type Run = fn(&mut Memory, Args<'_>) -> Result<Datum, Fault>;

/// A function with a fixed number of arguments.
pub(super) const fn fixed(name: &'static str, params: &'static [Param], run: Run) -> Function {
    Function { name, params, rest: None, run }
}

/// A function with any number of further arguments.
pub(super) const fn variadic(
    name: &'static str,
    params: &'static [Param],
    rest: Param,
    run: Run,
) -> Function {
    Function { name, params, rest: Some(rest), run }
}

/// Arguments, checked: one that a function asks for is there and of its type, so what stands in for others
/// here is never seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Args<'a>(pub(super) &'a [Datum]);

impl<'a> Args<'a> {
    pub(super) fn any(self, index: usize) -> &'a Datum {
        self.0.get(index).unwrap_or(&Datum::Nil)
    }

    pub(super) fn text(self, index: usize) -> &'a str {
        match self.any(index) {
            Datum::Text(text) => text,
            _ => "",
        }
    }

    pub(super) fn int(self, index: usize) -> i64 {
        match self.any(index) {
            Datum::Int(value) => *value,
            _ => 0,
        }
    }

    pub(super) fn float(self, index: usize) -> Option<f64> {
        match self.any(index) {
            Datum::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn bool(self, index: usize) -> bool {
        matches!(self.any(index), Datum::Bool(true))
    }

    pub(super) fn map(self, index: usize) -> Result<MapId, Fault> {
        match self.any(index) {
            Datum::Map(id, _) => Ok(*id),
            _ => Err(Fault::new("no mapping")),
        }
    }

    pub(super) fn from(self, index: usize) -> &'a [Datum] {
        self.0.get(index..).unwrap_or_default()
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }
}

/// All tables.
const TABLES: &[&[Function]] = &[
    builtin::FUNCTIONS,
    strings::FUNCTIONS,
    truth::FUNCTIONS,
    lists::FUNCTIONS,
    dicts::FUNCTIONS,
    numbers::FUNCTIONS,
    json::FUNCTIONS,
    regex::FUNCTIONS,
    semver::FUNCTIONS,
    paths::FUNCTIONS,
];

const CLOCK: &str = "it asks the clock, and the same inputs must give the same bytes";
const RANDOM: &str = "it gives something else each time, and the same inputs must give the same bytes";
const ENVIRONMENT: &str = "it asks the environment; give the value as a build argument or in `vars.yaml`";
const NETWORK: &str = "it asks the network";
const SECRET: &str = "secrets and certificates are not made in templates";
const UNUSED: &str = "no package of the official trees uses it";

/// sprig's functions that are not for us, and why.
const REFUSED: &[(&str, &[&str])] = &[
    (
        CLOCK,
        &[
            "ago",
            "date",
            "date_in_zone",
            "date_modify",
            "dateInZone",
            "dateModify",
            "duration",
            "durationRound",
            "htmlDate",
            "htmlDateInZone",
            "must_date_modify",
            "mustDateModify",
            "mustToDate",
            "now",
            "toDate",
            "unixEpoch",
        ],
    ),
    (
        RANDOM,
        &[
            "randAlphaNum",
            "randAlpha",
            "randAscii",
            "randNumeric",
            "randInt",
            "randBytes",
            "shuffle",
            "uuidv4",
        ],
    ),
    (ENVIRONMENT, &["env", "expandenv"]),
    (NETWORK, &["getHostByName"]),
    (
        SECRET,
        &[
            "bcrypt",
            "htpasswd",
            "genPrivateKey",
            "derivePassword",
            "buildCustomCert",
            "genCA",
            "genCAWithKey",
            "genSelfSignedCert",
            "genSelfSignedCertWithKey",
            "genSignedCert",
            "genSignedCertWithKey",
            "encryptAES",
            "decryptAES",
        ],
    ),
    (
        UNUSED,
        &[
            "add1f",
            "addf",
            "subf",
            "divf",
            "mulf",
            "maxf",
            "minf",
            "toDecimal",
            "b32enc",
            "b32dec",
            "urlParse",
            "urlJoin",
            "hello",
            "wrap",
            "wrapWith",
            "swapcase",
            "initials",
            "abbrevboth",
        ],
    ),
];

/// There is no such function.
#[derive(Debug)]
pub(super) struct Unknown {
    /// Why, if it is one of sprig's.
    pub(super) why: Option<&'static str>,
    /// The function that was meant, perhaps.
    pub(super) nearest: Option<&'static str>,
}

/// The function of a name.
pub(super) fn find(name: &str) -> Result<&'static Function, Unknown> {
    let all = || TABLES.iter().flat_map(|table| table.iter());
    if let Some(function) = all().find(|function| function.name == name) {
        return Ok(function);
    }
    let why = REFUSED.iter().find(|(_, names)| names.contains(&name)).map(|(why, _)| *why);
    let nearest = match why {
        Some(_) => None,
        None => suggest::nearest(name, all().map(|function| function.name)),
    };
    Err(Unknown { why, nearest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_in_two_tables() {
        let mut names: Vec<&str> =
            TABLES.iter().flat_map(|table| table.iter()).map(|function| function.name).collect();
        names.extend(REFUSED.iter().flat_map(|(_, names)| names.iter()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
