//! Variables of packages: what their templates see.

use std::collections::BTreeMap;

use super::super::template::Value;
use super::error::Problem;
use crate::base::yaml::{self, Cursor, YamlError};
use crate::talos::Architecture;

/// Variables by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes all of `later` in, which win.
    pub fn extend(&mut self, later: &Self) {
        self.0.extend(later.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As templates see them.
    pub fn to_value(&self) -> Value {
        Value::Texts(self.0.clone())
    }

    /// Reads `vars.yaml`: one flat mapping from names to scalars, each by its text. If the file is a template,
    /// this is for the rendered text.
    pub fn parse(bytes: &[u8]) -> Result<Self, YamlError> {
        let node = yaml::parse(bytes)?;
        Self::of(&Cursor::root(&node))
    }

    /// The variables of a mapping.
    pub(super) fn of(cursor: &Cursor<'_>) -> Result<Self, YamlError> {
        let pairs = cursor.entries()?.into_iter();
        pairs.map(|(name, value)| Ok((name.to_owned(), value.string()?))).collect::<Result<_, _>>().map(Self)
    }

    /// The mapping at a key, or none.
    pub(super) fn at(cursor: &Cursor<'_>, key: &str) -> Result<Self, Problem> {
        Ok(Self::of(&cursor.key(key)?)?)
    }
}

/// What stands before the name of a build argument where templates see it.
pub const BUILD_ARGUMENT: &str = "BUILD_ARG_";

/// What packages are built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The architecture.
    pub architecture: Architecture,
    /// Build arguments by name; templates see them behind [`BUILD_ARGUMENT`].
    pub arguments: BTreeMap<String, String>,
}

impl Build {
    /// A build without arguments.
    pub fn new(architecture: Architecture) -> Self {
        Self { architecture, arguments: BTreeMap::new() }
    }

    /// The variables before those of the tree's own files: what steps find in their environment, and the build
    /// arguments.
    pub fn variables(&self) -> Variables {
        let mut variables = self.environment();
        for (name, value) in &self.arguments {
            variables.set(format!("{BUILD_ARGUMENT}{name}"), value);
        }
        variables
    }

    /// What steps find in their environment (bldr: internal/pkg/environment).
    pub fn environment(&self) -> Variables {
        const PATH: &str = "/bin:/usr/bin:/sbin:/usr/sbin";
        let flags = match self.architecture {
            Architecture::Amd64 => "-O2 -g0 -march=x86-64-v2 -mtune=generic",
            Architecture::Arm64 => "-O2 -g0",
        };
        let machine = self.architecture.machine();
        let triple = format!("{machine}-linux-musl");
        let mut variables = Variables::new();
        for (name, value) in [
            ("LDFLAGS", "-s"),
            ("VENDOR", "talos"),
            ("SYSROOT", "/talos"),
            ("PATH", PATH),
            ("BUILD", &triple),
            ("HOST", &triple),
            ("ARCH", machine),
            ("TARGET", &format!("{machine}-talos-linux-musl")),
            ("CFLAGS", flags),
            ("CXXFLAGS", flags),
        ] {
            variables.set(name, value);
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_a_flat_mapping_of_the_texts_that_were_written() {
        let variables = Variables::parse(b"---\nVERSION: 0.10\nTIER: core\nEMPTY:\n").unwrap();
        assert_eq!(
            variables.iter().collect::<Vec<_>>(),
            [("EMPTY", ""), ("TIER", "core"), ("VERSION", "0.10")]
        );
        let error = Variables::parse(b"A: 1\nB: [x]\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 4: `B` is a sequence, expected a string");
        assert!(Variables::parse(b"- a").is_err());
        assert_eq!(Variables::parse(b"# nothing\n").unwrap(), Variables::new());
    }

    #[test]
    fn architecture_and_arguments_are_variables() {
        let mut build = Build::new(Architecture::Arm64);
        build.arguments.insert("TAG".to_owned(), "v1".to_owned());
        let variables = build.variables();
        assert_eq!(variables.get("ARCH"), Some("aarch64"));
        assert_eq!(variables.get("TARGET"), Some("aarch64-talos-linux-musl"));
        assert_eq!(variables.get("BUILD_ARG_TAG"), Some("v1"));
        assert_eq!(variables.get("TAG"), None);
    }
}
