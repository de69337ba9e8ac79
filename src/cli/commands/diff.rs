//! `talosmith diff`

use std::fmt::Write as _;

use serde_json::json;

use super::super::args::Diff;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use crate::base::printable;
use crate::plan::diff::{Change, Difference, diff};

pub(super) fn run(args: &Diff, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let (left, right) = (options::reference(&args.left)?, options::reference(&args.right)?);
    let platform = args.platform.as_deref().map(options::platform).transpose()?;
    let found = diff(&options.context, &left, &right, platform.as_ref())?;
    let text = shown(&found);
    printer.result("diff", json!({ "equal": found.is_empty(), "differences": found }), &text)?;
    Ok(if found.is_empty() { Outcome::Done } else { Outcome::Findings })
}

/// Differences as text.
pub(super) fn shown(found: &[Difference]) -> String {
    let mut text = String::new();
    for difference in found {
        let sign = match difference.change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        };
        let platform =
            difference.platform.as_ref().map(|platform| format!("{platform} ")).unwrap_or_default();
        let _ = writeln!(text, "{sign} {platform}{}", printable(&difference.subject)); // to a String
        for detail in &difference.details {
            let _ = writeln!(text, "    {}", printable(detail));
        }
    }
    text
}
