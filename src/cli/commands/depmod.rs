//! `talosmith depmod`

use std::path::Path;

use serde_json::json;

use super::super::args::Depmod;
use super::super::failure::{Failure, Outcome};
use super::super::options::Options;
use super::super::printer::Printer;
use crate::base::fsio;
use crate::base::units::size;
use crate::kmod::depmod::select::SearchError;
use crate::kmod::depmod::{KernelSymbols, Search};
use crate::plan::depmod::depmod;

/// Most bytes of a `System.map` that are read; Debian's has 6 MB.
const SYMBOLS_MAX: u64 = 256 << 20;

pub(super) fn run(args: &Depmod, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let search = Search::new(&args.search).map_err(search)?;
    let kernel = args.kernel_symbols.as_deref().map(symbols).transpose()?;
    let indexed = depmod(&options.context, &args.directory, search, kernel.as_ref())?;
    printer.findings(&indexed.report);
    let bad = indexed.report.has_errors(&[]);
    let written = !args.dry_run && !indexed.files.is_empty();
    if written {
        indexed.write(&options.context)?;
    }
    let folder = args.directory.display();
    let files = indexed.files.iter().map(|(name, bytes)| json!({ "name": name, "size": bytes.len() }));
    let value = json!({
        "folder": args.directory,
        "modules": indexed.modules,
        "written": written,
        "files": files.collect::<Vec<_>>(),
        "findings": indexed.report.findings(),
    });
    let lines = indexed.files.iter().filter(|_| written);
    let text: String =
        lines.map(|(name, bytes)| format!("{folder}/{name} ({})\n", size(bytes.len() as u64))).collect();
    printer.result("depmod", value, &text)?;
    Ok(if bad { Outcome::Findings } else { Outcome::Done })
}

fn search(error: SearchError) -> Failure {
    Failure::usage(format!("`--search`: {error}")).hint(Some(
        "name folders such as `extras` or `updates`, and `built-in` for everything else".to_owned(),
    ))
}

fn symbols(path: &Path) -> Result<KernelSymbols, Failure> {
    let bytes = fsio::read(path, SYMBOLS_MAX).map_err(|error| Failure::input(crate::base::chain(&error)))?;
    KernelSymbols::parse(&bytes)
        .map_err(|error| Failure::input(format!("`{}` does not fit: {error}", path.display())))
}
