//! `talosmith packages`

use std::fmt::Write as _;

use serde_json::json;

use super::super::args::Packages;
use super::super::failure::{Failure, Outcome};
use super::super::options;
use super::super::printer::Printer;
use crate::base::units::count;
use crate::plan::packages::extensions::{PackageSpec, read};
use crate::plan::packages::tree::files_of;
use crate::plan::packages::{Verdict, classify};

/// Obstacles that are shown of one package; `--verbose` shows all.
const SHOWN: usize = 3;

pub(super) fn run(args: &Packages, printer: &Printer) -> Result<Outcome, Failure> {
    let packages = PackageSpec {
        folder: args.directory.clone(),
        targets: Vec::new(),
        arguments: options::pairs("--build-arg", &args.build_args)?,
        delegate: None,
    };
    let platform = options::platform(&args.platform)?;
    let tree = read(&packages, &args.directory, files_of(&args.directory)?, &platform)?;
    let verdicts = classify(&tree.packages);
    let (mut text, mut values) = (String::new(), Vec::new());
    let width = verdicts.keys().map(String::len).max().unwrap_or_default();
    for (name, verdict) in &verdicts {
        let obstacles = verdict.obstacles();
        let _ = writeln!(text, "{name:width$}  {}", verdict.name()); // to a String
        let shown = if printer.is_verbose() { obstacles.len() } else { SHOWN };
        for one in obstacles.iter().take(shown) {
            let line = one.line.map(|line| format!(":{line}")).unwrap_or_default();
            let word = if one.word.is_empty() { String::new() } else { format!("`{}` ", one.word) };
            let _ = writeln!(text, "{:width$}  {}{line}: {word}{}", "", one.file, one.why);
        }
        if let Some(more) = obstacles.len().checked_sub(shown).filter(|more| *more > 0) {
            let _ = writeln!(text, "{:width$}  and {more} more", "");
        }
        let located = tree.packages.get(name).ok();
        values.push(json!({
            "name": name,
            "file": located.map(|located| located.file()),
            "verdict": verdict.name(),
            "obstacles": obstacles,
        }));
    }
    let native = verdicts.values().filter(|verdict| **verdict == Verdict::Native).count();
    let _ = writeln!(text, "{}, {native} of them native", count(verdicts.len(), "package"));
    printer.result("packages", json!({ "packages": values }), &text)?;
    Ok(Outcome::Done)
}
