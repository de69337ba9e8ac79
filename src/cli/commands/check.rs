//! `talosmith check`

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::args::Check;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use crate::check;
use crate::plan::check::{Against, Asked, Judged, check};
use crate::talos::kind::Kind;

pub(super) fn run(args: &Check, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    if args.list {
        printer.result("check", json!({ "rules": check::rules() }), &check::table_markdown())?;
        return Ok(Outcome::Done);
    }
    let talos = options::talos(&args.judge)?;
    let allow = options::allowed(&args.judge.allow)?;
    let against = match (&args.kernel, &args.imager) {
        (Some(kernel), _) => Some(Against::Kernel(kernel.clone())),
        (None, Some(imager)) => Some(Against::Imager(imager.clone())),
        (None, None) => None,
    };
    let platform = args.platform.as_deref().map(options::platform).transpose()?;
    let asked = Asked { platform, kind: args.kind, talos, against };
    let (mut text, mut values, mut bad) = (String::new(), Vec::new(), false);
    let mut failed = None;
    for word in &args.references {
        let checked =
            options::reference(word).and_then(|reference| Ok(check(&options.context, &reference, &asked)?));
        match checked {
            Ok(checked) => {
                bad |= checked.report.has_errors(&allow);
                text.push_str(&show(&checked, printer));
                values.push(value(&checked));
            }
            // One that cannot be checked does not hide what was found in the others.
            Err(failure) if args.references.len() > 1 => {
                values.push(json!({ "reference": word, "error": failure.message }));
                if !printer.is_json() {
                    printer.failure("check", &failure);
                }
                failed = failed.max(Some(failure.code));
            }
            Err(failure) => return Err(failure),
        }
    }
    printer.result("check", json!({ "checked": values }), &text)?;
    Ok(match failed {
        Some(code) => Outcome::Failed(code),
        None if bad => Outcome::Findings,
        None => Outcome::Done,
    })
}

fn show(checked: &Judged, printer: &Printer) -> String {
    let mut text = printer.show_findings(checked.report.findings().iter());
    let mut kinds: Vec<&str> = checked.kinds.iter().map(|kind| kind.name()).collect();
    kinds.dedup();
    let checks = |kind: &Kind| !matches!(kind, Kind::InstallerBase | Kind::Overlay | Kind::Package);
    let outcome = if checked.kinds.iter().any(checks) {
        let kernels = match checked.kernels.as_slice() {
            [] => String::new(),
            kernels => format!(", kernel {}", kernels.join(", ")),
        };
        format!("{}, judged for Talos {}{kernels}", checked.report.summary(), checked.talos)
    } else {
        "there are no checks for this kind".to_owned()
    };
    let _ = writeln!(text, "{}: {}, {outcome}", checked.reference, kinds.join(", ")); // to a String
    text
}

fn value(checked: &Judged) -> Value {
    json!({
        "reference": checked.reference,
        "kinds": checked.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "talos": checked.talos.to_string(),
        "kernels": checked.kernels,
        "findings": checked.report.findings(),
    })
}
