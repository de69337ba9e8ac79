//! `talosmith extension`

use std::collections::BTreeMap;

use serde_json::json;

use super::super::args::{Extension, FormatName};
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::{check_outputs, print_written};
use crate::archive::Compression;
use crate::archive::tree::normalise;
use crate::image::{Format, Medium, Platform, Reference};
use crate::plan::extension::{ExtensionSpec, build, for_platform};
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
        allow: options::allowed(&args.judge)?,
        outputs: args.output.clone(),
    })
}

/// The outputs as they will be: with `{arch}`, one for each platform.
fn references(outputs: &[String], platforms: &[Platform]) -> Result<Vec<Reference>, Failure> {
    let mut references = Vec::new();
    for output in outputs {
        let own = output.contains("{arch}");
        let words = platforms.iter().map(|platform| for_platform(output, platform));
        for word in words.take(if own { platforms.len() } else { 1 }) {
            let reference = options::reference(&word)?;
            if reference.medium() == Medium::DockerArchive && platforms.len() > 1 && !own {
                return Err(Failure::usage(format!(
                    "`-o {output}`: a docker archive holds one platform, and {} are asked for",
                    platforms.len()
                ))
                .hint(Some(
                    "put `{arch}` into its name: one archive is written for each platform".to_owned(),
                )));
            }
            references.push(reference);
        }
    }
    Ok(references)
}
