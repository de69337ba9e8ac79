//! `talosmith extension`

use std::collections::BTreeMap;

use serde_json::json;

use super::super::args::{Extension, FormatName};
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::print_written;
use crate::archive::Compression;
use crate::archive::tree::normalise;
use crate::image::{Format, Medium};
use crate::plan::extension::{ExtensionSpec, build};

pub(super) fn run(args: &Extension, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let spec = spec(args, options)?;
    let built = build(&spec, &options.context)?;
    printer.findings(&built.report);
    let extra = json!({
        "extension": { "name": built.manifest.name, "version": built.manifest.version },
        "findings": built.report.findings(),
    });
    print_written("extension", &built.written, extra, printer);
    Ok(Outcome::Done)
}

fn spec(args: &Extension, options: &Options) -> Result<ExtensionSpec, Failure> {
    let compression: Compression = args
        .compression
        .parse()
        .map_err(|error: crate::archive::compress::CompressionError| Failure::usage(error.to_string()))?;
    let format = match args.format {
        FormatName::Oci => Format::Oci,
        FormatName::Docker => Format::Docker,
    };
    if format.layer(compression).is_none() {
        return Err(Failure::usage("Docker's media types know no zstd layers")
            .hint(Some("leave out `--format docker`, or use `--compression gzip`".to_owned())));
    }
    let mut platforms = Vec::new();
    for text in &args.platform {
        let platform = options::platform(text)?;
        if platforms.contains(&platform) {
            return Err(Failure::usage(format!("platform `{platform}` is given twice")));
        }
        platforms.push(platform);
    }
    let pairs = |option: &str, texts: &[String]| -> Result<BTreeMap<String, String>, Failure> {
        texts.iter().map(|text| options::pair(option, text)).collect()
    };
    let mut selinux_labels = BTreeMap::new();
    for (path, label) in pairs("--selinux-label", &args.selinux_labels)? {
        let path = normalise(&path).map_err(|error| Failure::usage(format!("`--selinux-label`: {error}")))?;
        selinux_labels.insert(path, label);
    }
    let mut outputs = Vec::new();
    for text in &args.output {
        let output = options::reference(text)?;
        if matches!(output.medium(), Medium::Path | Medium::Directory) {
            return Err(Failure::usage(format!(
                "`-o {text}` does not say in which form the image is to be written"
            ))
            .hint(Some(
                "begin it with `oci:`, `oci-archive:`, `docker-archive:` or `docker://`".to_owned(),
            )));
        }
        if output.medium() == Medium::DockerArchive && platforms.len() > 1 {
            return Err(Failure::usage(format!(
                "`-o {text}`: a docker archive holds one platform, and {} are asked for",
                platforms.len()
            ))
            .hint(Some("write an `oci-archive:`, or one platform at a time".to_owned())));
        }
        outputs.push(output);
    }
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
        allow: options::allowed(&args.judge)?,
        outputs,
    })
}
