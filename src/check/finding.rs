//! What a rule found, and the report of all findings.
//!
//! The serialised shape is part of the `--json` interface: every key is always there, `null` where
//! there is nothing to say.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rules::Code;
use crate::archive::tree::join;
use crate::base::Digest;
use crate::base::units::count;

/// How grave a finding is. The gravest is the least, so that it sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will not work, or is dangerous.
    Error,
    /// It may not work, or not as meant.
    Warning,
    /// Worth knowing.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that found it.
    pub code: Code,
    /// How grave it is.
    pub severity: Severity,
    /// What was found: a fragment without a full stop.
    pub message: String,
    /// The image it is in, as the user named it.
    pub image: Option<String>,
    /// The layer that brought it.
    pub layer: Option<Digest>,
    /// The path in the image, in normal form.
    pub path: Option<String>,
    /// More paths of which the same is to be said.
    #[serde(default)]
    pub also: Vec<String>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// Advice.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding of the rule's own severity.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.rule().severity,
            message: message.into(),
            image: None,
            layer: None,
            path: None,
            also: Vec::new(),
            line: None,
            expected: None,
            found: None,
            hint: None,
        }
    }

    /// Names the path.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Names more paths of which the same is to be said.
    #[must_use]
    pub fn also_at(mut self, paths: Vec<String>) -> Self {
        self.also = paths;
        self
    }

    /// The same with its paths below `folder`: rules look at a tree that lies somewhere in an image.
    #[must_use]
    pub fn within(mut self, folder: &str) -> Self {
        for path in self.path.iter_mut().chain(&mut self.also) {
            *path = join(folder, path);
        }
        self
    }

    /// Names the line.
    #[must_use]
    pub fn on_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// Says what should be there, and what is.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self.found = Some(found.into());
        self
    }

    /// Gives advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The lines below the message: where, expected, found.
    pub fn lines(&self) -> Vec<String> {
        let line = self.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let more = match self.also.len() {
            0 => String::new(),
            more => format!(", and at {}", count(more, "other path")),
        };
        let place = self.path.as_ref().map(|path| format!("at `{path}`{line}{more}"));
        let image = match (&self.image, &self.layer) {
            (Some(image), Some(layer)) => Some(format!("in layer {layer} of `{image}`")),
            (Some(image), None) => Some(format!("in `{image}`")),
            (None, _) => None,
        };
        let expected = self.expected.as_ref().map(|expected| format!("expected: {expected}"));
        let found = self.found.as_ref().map(|found| format!("found: {found}"));
        [image, place, expected, found].into_iter().flatten().collect()
    }

    /// Makes it as grave as this, whatever the rule says.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// Numbers of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
    /// Infos.
    pub infos: usize,
}

/// All findings about some images: the gravest first, then by image, path and code.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    counts: Counts,
    findings: Vec<Finding>,
}

impl Report {
    /// A report of these findings. Their order does not matter.
    pub fn new(mut findings: Vec<Finding>) -> Self {
        let order = |finding: &Finding| {
            let Finding { severity, image, path, line, code, message, .. } = finding.clone();
            (severity, image, path, line, code, message)
        };
        findings.sort_by_cached_key(order);
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let counts = Counts {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            infos: count(Severity::Info),
        };
        Self { counts, findings }
    }

    /// One report of this and another.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::new([self.findings, other.findings].concat())
    }

    /// The report in a few words: `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let Counts { errors, warnings, infos } = self.counts;
        let infos = if infos == 0 { String::new() } else { format!(", {}", count(infos, "info")) };
        format!("{}, {}{infos}", count(errors, "error"), count(warnings, "warning"))
    }

    /// The findings, in order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many there are of each severity.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether there is an error of a rule that is not in `allow`.
    pub fn has_errors(&self, allow: &[Code]) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error && !allow.contains(&finding.code))
    }
}

/// Says of findings, by their paths, in which image (or file) they are and in which layer. Rules look
/// at a flattened tree and know neither.
pub fn locate(
    findings: &mut [Finding],
    origin_of: &dyn Fn(Option<&str>) -> String,
    layer_of: &dyn Fn(&str) -> Option<Digest>,
) {
    for finding in findings {
        finding.image = Some(origin_of(finding.path.as_deref()));
        finding.layer = finding.path.as_deref().and_then(layer_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sorted_by_severity_then_path_and_counted() {
        let report = Report::new(vec![
            Finding::new(Code::SetId, "w").at("a"),
            Finding::new(Code::SymlinkDangling, "i"),
            Finding::new(Code::HardLink, "e2").at("c"),
            Finding::new(Code::PathTwice, "e1").at("b"),
        ]);
        let messages: Vec<&str> = report.findings().iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, ["e1", "e2", "w", "i"]);
        assert_eq!(report.counts(), Counts { errors: 2, warnings: 1, infos: 1 });
    }

    #[test]
    fn an_error_that_is_allowed_does_not_count_as_one() {
        let report = Report::new(vec![Finding::new(Code::HardLink, ""), Finding::new(Code::SetId, "")]);
        assert!(report.has_errors(&[]) && report.has_errors(&[Code::SetId]));
        assert!(!report.has_errors(&[Code::HardLink]));
        assert!(!Report::new(vec![Finding::new(Code::SetId, "")]).has_errors(&[]));
        let grave = Finding::new(Code::SetId, "").severity(Severity::Error);
        assert!(Report::new(vec![grave]).has_errors(&[]));
    }

    #[test]
    fn all_paths_of_a_finding_move_below_a_folder() {
        let finding = Finding::new(Code::HardLink, "").at("a").also_at(vec!["b/c".to_owned()]).within("x/y");
        assert_eq!((finding.path.as_deref(), finding.also), (Some("x/y/a"), vec!["x/y/b/c".to_owned()]));
        assert_eq!(Finding::new(Code::HardLink, "").within("x").path, None);
    }

    #[test]
    fn the_serialised_shape_is_pinned() {
        let mut findings = vec![
            Finding::new(Code::HardLink, "m").at("rootfs/a").on_line(3).expected("x", "y").hint("h"),
            Finding::new(Code::NoRootfs, "n"),
        ];
        let layer = Digest::of(b"layer");
        locate(&mut findings, &|_| "i".to_owned(), &|path| (path == "rootfs/a").then_some(layer));
        let json = serde_json::to_value(Report::new(findings)).unwrap();
        let pinned = serde_json::json!({
            "counts": {"errors": 2, "warnings": 0, "infos": 0},
            "findings": [
                {
                    "code": "TS0102", "severity": "error", "message": "n", "image": "i", "layer": null,
                    "path": null, "also": [], "line": null, "expected": null, "found": null, "hint": null
                },
                {
                    "code": "TS0110", "severity": "error", "message": "m", "image": "i",
                    "layer": layer.to_string(),
                    "path": "rootfs/a", "also": [], "line": 3, "expected": "x", "found": "y", "hint": "h"
                }
            ]
        });
        assert_eq!(json, pinned);
    }
}
