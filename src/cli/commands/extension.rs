//! `talosmith extension`

use std::collections::BTreeMap;

use serde_json::json;

use super::super::args::Extension;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::{check_outputs, print_written, references};
use crate::archive::tree::normalise;
use crate::plan::extension::{ExtensionSpec, build};
use crate::talos::Version;

pub(super) fn run(args: &Extension, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let spec = spec(args, options)?;
    let built = build(&spec, &options.context)?;
    printer.findings(&built.report);
    if spec.talos.is_none() {
        options
            .context
            .events
            .detail(format!("judged for Talos {}, the newest that is known", Version::NEWEST));
    }
    let extra = json!({
        "judgedFor": spec.talos.as_ref().unwrap_or(&Version::NEWEST).to_string(),
        "extension": { "name": built.manifest.name, "version": built.manifest.version },
        "findings": built.report.findings(),
    });
    print_written("extension", &built.written, extra, printer)?;
    Ok(Outcome::Done)
}

fn spec(args: &Extension, options: &Options) -> Result<ExtensionSpec, Failure> {
    let compression = options::compression(&args.compression)?;
    let format = options::format(args.format, compression)?;
    let platforms = options::platforms(&args.platform)?;
    let pairs = |option: &str, texts: &[String]| -> Result<BTreeMap<String, String>, Failure> {
        texts.iter().map(|text| options::pair(option, text)).collect()
    };
    let mut selinux_labels = BTreeMap::new();
    for (path, label) in pairs("--selinux-label", &args.selinux_labels)? {
        let path = normalise(&path).map_err(|error| Failure::usage(format!("`--selinux-label`: {error}")))?;
        selinux_labels.insert(path, label);
    }
    check_outputs(&references(&args.output, &platforms)?, options)?;
    Ok(ExtensionSpec {
        directory: args.directory.clone(),
        manifest: args.manifest.clone(),
        modules: args.modules.clone(),
        firmware: args.firmware.clone(),
        files: args.files.clone(),
        trees: args.trees.clone(),
        copies: args.copies.clone(),
        modules_from: args.modules_from.clone(),
        modules_list: args.modules_list.clone(),
        platforms,
        keep_mode: args.keep_mode,
        selinux_labels,
        compression: Some(compression),
        format,
        labels: pairs("--label", &args.labels)?,
        annotations: pairs("--annotation", &args.annotations)?,
        epoch: options.epoch,
        talos: options::talos(&args.judge)?,
        allow: options::allowed(&args.judge.allow)?,
        outputs: args.output.clone(),
    })
}
