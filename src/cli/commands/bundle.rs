//! `talosmith bundle`

use std::env;
use std::fmt::Write as _;

use serde_json::json;

use super::super::args::Bundle;
use super::super::failure::{Failure, Outcome};
use super::super::options::Options;
use super::super::printer::Printer;
use super::build::how;
use crate::base::printable;
use crate::base::units::size;
use crate::image::Pins;
use crate::plan::build::build;
use crate::plan::lock::Lock;
use crate::plan::{Context, bundle, spec};

pub(super) fn run(args: &Bundle, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let loaded = spec::read(&args.file, &|name| env::var(name).ok())?;
    let (known, _) = bundle::open(&options.context, &args.since)?;
    let file = Lock::file_of(&args.file);
    let own = Lock::read(&file)?.filter(|lock| lock.spec == loaded.checksum);
    let lock = match own {
        Some(lock) => lock,
        None => {
            // Only a build finds out all that is needed.
            options
                .context
                .events
                .detail(format!("`{}` is not there, or older: building once", file.display()));
            let pins = Pins::new(Default::default(), false, Vec::new(), &loaded.spec.mirrors);
            let context = Context { pins, ..options.context.clone() };
            let built = build(&loaded, &context, &how(options, false))?;
            built.reports.iter().for_each(|report| printer.findings(report));
            let lock = Lock::of(loaded.checksum, options.epoch, &context.pins.seen());
            lock.write(&file).map_err(|error| Failure::output(crate::base::chain(&error)))?;
            lock
        }
    };
    let pins = Pins::new(lock.pins(None)?, false, Vec::new(), &loaded.spec.mirrors);
    let context = Context { pins, ..options.context.clone() };
    let inputs = bundle::inputs(&context, &lock, &loaded.spec.platforms, &known)?;
    let parts = json!(inputs.parts);
    let missing: u64 = inputs.parts.iter().map(|part| part.missing).sum();
    if args.list {
        let mut text = String::new();
        for part in &inputs.parts {
            let (all, missing) = (size(part.size), size(part.missing));
            let _ = writeln!(text, "{all:>10}  {missing:>10}  {}", printable(&part.reference)); // to a String
        }
        let all = inputs.parts.iter().map(|part| part.size).sum();
        let _ = writeln!(text, "{:>10}  {:>10}  in all, to be fetched", size(all), size(missing));
        printer.result("bundle", json!({ "parts": parts, "missing": missing }), &text)?;
        return Ok(Outcome::Done);
    }
    let output = args.output.as_ref().ok_or_else(|| Failure::usage("`-o BUNDLE` is missing"))?;
    let written = bundle::write(&context, inputs, &lock, output)?;
    let value = json!({ "file": output, "bytes": written, "parts": parts });
    printer.result("bundle", value, &format!("{}\n", output.display()))?;
    Ok(Outcome::Done)
}
