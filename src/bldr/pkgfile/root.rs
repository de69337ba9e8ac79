//! `Pkgfile`: the file at the root of a package tree. It is no template.

use super::error::Problem;
use super::read::{missing, only};
use super::variables::Variables;
use crate::base::yaml::{self, Cursor};

/// The one version of the format.
pub const FORMAT: &str = "v1alpha2";

/// A `Pkgfile`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pkgfile {
    /// The frontend that reads the tree in BuildKit: the reference behind `# syntax =` in the first line.
    pub syntax: Option<String>,
    /// Variables for all packages.
    pub variables: Variables,
    /// Labels of all images.
    pub labels: Variables,
}

impl Pkgfile {
    /// Reads a `Pkgfile`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let node = yaml::parse(bytes)?;
        let root = Cursor::root(&node);
        only(&root, &["format", "vars", "labels"])?;
        let format = root.key("format")?;
        match format.string()?.as_str() {
            FORMAT => {}
            "" => return Err(missing(&root, "format", "")),
            _ => return Err(format.expected(format!("`{FORMAT}`")).into()),
        }
        Ok(Self {
            syntax: syntax(bytes),
            variables: Variables::at(&root, "vars")?,
            labels: Variables::at(&root, "labels")?,
        })
    }
}

/// The frontend of `# syntax = REFERENCE`; BuildKit reads it in the first line only.
fn syntax(bytes: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(bytes).ok()?.lines().next()?;
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    (name.trim() == "syntax" && !value.trim().is_empty()).then(|| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pkgfile_has_a_format_variables_and_labels() {
        let text = "# syntax = registry.example.com/bldr:v0.5.0\nformat: v1alpha2\nvars:\n  A: 1.10\nlabels:\n  x.y/z: q\n";
        let pkgfile = Pkgfile::parse(text.as_bytes()).unwrap();
        assert_eq!(pkgfile.syntax.as_deref(), Some("registry.example.com/bldr:v0.5.0"));
        assert_eq!(pkgfile.variables.get("A"), Some("1.10"));
        assert_eq!(pkgfile.labels.get("x.y/z"), Some("q"));
    }

    #[test]
    fn other_formats_and_keys_are_refused() {
        for (text, message) in [
            ("vars: {}\n", "line 1, column 1: `format` is missing"),
            ("format: v1\n", "line 1, column 9: `format` is `v1`, expected `v1alpha2`"),
            ("format: v1alpha2\nvar: {}\n", "line 2, column 1: key `var` is unknown"),
            ("format: v1alpha2\nvars: [a]\n", "line 2, column 7: `vars` is a sequence, expected a mapping"),
        ] {
            assert_eq!(Pkgfile::parse(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
        }
    }
}
