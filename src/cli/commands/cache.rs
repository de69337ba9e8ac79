//! `talosmith cache`

use std::fmt::Write as _;

use serde_json::json;

use super::super::args::Cache;
use super::super::failure::{Failure, Outcome};
use super::super::options::Options;
use super::super::printer::Printer;
use crate::base::units::{count, size};
use crate::plan::cache::{prune, sizes, verify};

pub(super) fn run(args: &Cache, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let context = &options.context;
    match args {
        Cache::Size => {
            let sizes = sizes(context);
            let mut text = format!("{}\n", context.store.root().display());
            for (name, part) in [
                ("blobs", sizes.blobs),
                ("blocks", sizes.blocks),
                ("records", sizes.records),
                ("drafts", sizes.drafts),
            ] {
                let files = count(usize::try_from(part.files).unwrap_or(usize::MAX), "file");
                let _ = writeln!(text, "  {name:8} {:>10}  {files}", size(part.bytes)); // to a String
            }
            let _ = writeln!(text, "  {:8} {:>10}", "all", size(sizes.bytes()));
            let value = json!({ "folder": context.store.root(), "parts": sizes, "bytes": sizes.bytes() });
            printer.result("cache", value, &text)?;
        }
        Cache::Prune { keep } => {
            let pruned = prune(context, *keep)?;
            let text = format!("removed {}, {} are left\n", size(pruned.removed.bytes), size(pruned.left));
            printer.result("cache", json!(pruned), &text)?;
        }
        Cache::Verify => {
            let found = verify(context)?;
            let mut text: String =
                found.damaged.iter().map(|name| format!("{name} was damaged, and is removed\n")).collect();
            let blobs = count(usize::try_from(found.blobs.files).unwrap_or(usize::MAX), "blob");
            let _ = writeln!(text, "{blobs}, {}, {} damaged", size(found.blobs.bytes), found.damaged.len());
            let bad = !found.damaged.is_empty();
            printer.result("cache", json!(found), &text)?;
            return Ok(if bad { Outcome::Findings } else { Outcome::Done });
        }
    }
    Ok(Outcome::Done)
}
