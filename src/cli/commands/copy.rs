//! `talosmith copy`

use serde_json::json;

use super::super::args::Copy;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::{check_outputs, print_written};
use crate::plan::copy::copy;

pub(super) fn run(args: &Copy, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let source = options::reference(&args.source)?;
    let targets = args.targets.iter().map(|text| options::reference(text)).collect::<Result<Vec<_>, _>>()?;
    check_outputs(&targets, options)?;
    let platform = args.platform.as_deref().map(options::platform).transpose()?;
    let written = copy(&options.context, &source, &targets, platform.as_ref())?;
    print_written("copy", &written, json!({}), printer)?;
    Ok(Outcome::Done)
}
