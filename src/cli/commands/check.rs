//! `talosmith check`

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::args::{Check, KindName};
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use crate::check;
use crate::plan::check::{Checked, check};
use crate::talos::kind::Kind;

pub(super) fn run(args: &Check, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    if args.list {
        printer.result("check", json!({ "rules": check::rules() }), &check::table_markdown());
        return Ok(Outcome::Done);
    }
    let talos = options::talos(&args.judge)?;
    let allow = options::allowed(&args.judge)?;
    let platform = args.platform.as_deref().map(options::platform).transpose()?;
    let wanted = args.kind.map(kind);
    let (mut text, mut values, mut bad) = (String::new(), Vec::new(), false);
    for reference in &args.references {
        let reference = options::reference(reference)?;
        let checked = check(&options.context, &reference, platform.as_ref(), wanted, talos.as_ref())?;
        bad |= checked.report.has_errors(&allow);
        text.push_str(&show(&checked, printer));
        values.push(value(&checked));
    }
    printer.result("check", json!({ "checked": values }), &text);
    Ok(if bad { Outcome::Findings } else { Outcome::Done })
}

fn kind(name: KindName) -> Kind {
    match name {
        KindName::Extension => Kind::Extension,
        KindName::Imager => Kind::Imager,
        KindName::InstallerBase => Kind::InstallerBase,
        KindName::Installer => Kind::Installer,
        KindName::Kernel => Kind::Kernel,
        KindName::Overlay => Kind::Overlay,
        KindName::Package => Kind::Package,
    }
}

fn show(checked: &Checked, printer: &Printer) -> String {
    let mut text = String::new();
    for finding in checked.report.findings() {
        text.push_str(&printer.finding(finding));
    }
    let kinds: Vec<&str> = checked.kinds.iter().map(|kind| kind.name()).collect();
    let _ = writeln!(
        text,
        "{}: {}, {}, judged for Talos {}",
        checked.reference,
        kinds.join(", "),
        checked.report.summary(),
        checked.talos,
    ); // to a String
    text
}

fn value(checked: &Checked) -> Value {
    json!({
        "reference": checked.reference,
        "kinds": checked.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "talos": checked.talos.to_string(),
        "findings": checked.report.findings(),
    })
}
