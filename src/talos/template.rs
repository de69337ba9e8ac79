//! `manifest.yaml.tmpl` with the variables of `vars.yaml`: the part of Go's text/template that manifests use.
//!
//! All official manifests use plain variables only, `{{ .VERSION }}`, which is what is understood so far,
//! with Go's trim markers `{{- ` and ` -}}`. Go prints `<no value>` for a missing variable; here it is an
//! error, because nobody wants that in a manifest.

use std::collections::BTreeMap;

use crate::base::suggest;
use crate::base::yaml::{self, Cursor, YamlError};

/// A template cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is no such variable.
    #[error("line {line}: variable `{name}` has no value")]
    Missing {
        /// Line, from 1.
        line: usize,
        /// Its name.
        name: String,
        /// The variable that was meant, perhaps.
        nearest: Option<String>,
    },
    /// Something else than a variable.
    #[error(
        "line {line}: `{directive}` is not understood, only plain variables such as `{{{{ .VERSION }}}}` are so far"
    )]
    Directive {
        /// Line, from 1.
        line: usize,
        /// What stands there.
        directive: String,
    },
    /// `{{` without `}}`.
    #[error("line {line}: `{{{{` is not closed")]
    Unclosed {
        /// Line, from 1.
        line: usize,
    },
}

impl TemplateError {
    /// Line, from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::Missing { line, .. } | Self::Directive { line, .. } | Self::Unclosed { line } => *line,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::Missing { name, .. } => Some(format!("add `{name}` to `vars.yaml`")),
            _ => None,
        }
    }
}

/// What Go's trim markers trim, and what must stand between a marker and the rest.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Replaces every `{{ .NAME }}` by the variable's value.
pub fn render_template(text: &str, vars: &BTreeMap<String, String>) -> Result<String, TemplateError> {
    let mut rendered = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let line = line_of(text, after);
        let (inside, after) = after.split_once("}}").ok_or(TemplateError::Unclosed { line })?;
        let (inside, trim_left) =
            marker(inside, inside.strip_prefix('-').filter(|rest| rest.starts_with(SPACE)));
        let (inside, trim_right) =
            marker(inside, inside.strip_suffix('-').filter(|rest| rest.ends_with(SPACE)));
        rendered.push_str(if trim_left { before.trim_end_matches(SPACE) } else { before });
        rendered.push_str(value(inside.trim_matches(SPACE), line, vars)?);
        rest = if trim_right { after.trim_start_matches(SPACE) } else { after };
    }
    rendered.push_str(rest);
    Ok(rendered)
}

/// The inside of a directive without a trim marker, and whether there was one.
fn marker<'a>(inside: &'a str, without: Option<&'a str>) -> (&'a str, bool) {
    (without.unwrap_or(inside), without.is_some())
}

/// The line in `text` at which its end `rest` starts.
fn line_of(text: &str, rest: &str) -> usize {
    let read = text.len().saturating_sub(rest.len());
    text.bytes().take(read).filter(|byte| *byte == b'\n').count() + 1
}

fn value<'a>(
    inside: &str,
    line: usize,
    vars: &'a BTreeMap<String, String>,
) -> Result<&'a str, TemplateError> {
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    let Some(name) = inside.strip_prefix('.').filter(is_name) else {
        let directive = format!("{{{{ {} }}}}", inside.chars().take(60).collect::<String>());
        return Err(TemplateError::Directive { line, directive });
    };
    vars.get(name).map(String::as_str).ok_or_else(|| TemplateError::Missing {
        line,
        name: name.to_owned(),
        nearest: suggest::nearest(name, vars.keys().map(String::as_str)).map(str::to_owned),
    })
}

/// Reads `vars.yaml`: one flat mapping from names to scalars, each by its text.
/// The file may itself be a template over the variables above it; then render it first.
pub fn parse_vars(bytes: &[u8]) -> Result<BTreeMap<String, String>, YamlError> {
    let node = yaml::parse(bytes)?;
    let entries = Cursor::root(&node).entries()?;
    entries.into_iter().map(|(name, value)| Ok((name.to_owned(), value.string()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Result<String, TemplateError> {
        render_template(text, &parse_vars(b"---\nVERSION: 0.10\nTIER: core\nEMPTY:\n").unwrap())
    }

    #[test]
    fn variables_are_replaced_by_the_text_that_was_written() {
        assert_eq!(render("version: \"{{ .VERSION }}\"\n[{{.TIER}}]").unwrap(), "version: \"0.10\"\n[core]");
        assert_eq!(render("{{ .EMPTY }}").unwrap(), "");
        assert_eq!(render("no } braces { here }}").unwrap(), "no } braces { here }}");
    }

    #[test]
    fn trim_markers_take_the_space_beside_them() {
        assert_eq!(render("a \n {{- .TIER }} b").unwrap(), "acore b");
        assert_eq!(render("a {{ .TIER -}} \n b").unwrap(), "a coreb");
        assert_eq!(render("a {{- .TIER -}} b").unwrap(), "acoreb");
        assert!(matches!(render("{{-.TIER}}"), Err(TemplateError::Directive { .. })));
    }

    #[test]
    fn a_missing_variable_is_named_with_its_line_and_its_neighbour() {
        let error = render("a\n{{ .TIER }}\n{{ .VERSOIN }}").unwrap_err();
        assert_eq!(error.to_string(), "line 3: variable `VERSOIN` has no value");
        assert_eq!(error.hint().as_deref(), Some("did you mean `VERSION`?"));
        let error = render("{{ .COLOUR }}").unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("add `COLOUR` to `vars.yaml`"));
    }

    #[test]
    fn other_directives_are_refused_with_their_line() {
        let error = render("a\n# {{ if eq .ARCH \"x86_64\" }}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: `{{ if eq .ARCH \"x86_64\" }}` is not understood, only plain variables such as `{{ .VERSION }}` are so far"
        );
        for text in [
            "{{ }}",
            "{{}}",
            "{{ . }}",
            "{{ .A.B }}",
            "{{/* x */}}",
            "{{ .VERSION | upper }}",
            "{{ VERSION }}",
        ] {
            assert!(matches!(render(text), Err(TemplateError::Directive { line: 1, .. })), "{text}");
        }
        assert_eq!(render("\n{{ .VERSION }").unwrap_err(), TemplateError::Unclosed { line: 2 });
    }

    #[test]
    fn variables_are_a_flat_mapping() {
        let error = parse_vars(b"A: 1\nB: [x]\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 4: `B` is a sequence, expected a string");
        assert!(parse_vars(b"- a").is_err());
        assert_eq!(parse_vars(b"# nothing\n").unwrap(), BTreeMap::new());
    }
}
