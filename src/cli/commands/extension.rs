//! `talosmith extension`

use std::collections::BTreeMap;

use serde_json::json;

use super::super::args::Extension;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::{check_outputs, print_written, probed, references};
use crate::archive::tree::normalise;
use crate::bldr::buildkit;
use crate::image::Medium;
use crate::plan::extension::{ExtensionSpec, build};
use crate::plan::packages::extensions::{build as build_packages, catalogue as write_catalogue};
use crate::plan::packages::tree::is_package_folder;
use crate::plan::packages::{Delegate, PackageSpec};
use crate::talos::Version;

pub(super) fn run(args: &Extension, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let spec = spec(args, options)?;
    if let Some(packages) = packages(args)? {
        let first = spec.platforms.get(..1).unwrap_or_default();
        check_outputs(&references(&args.catalogue, first)?, options)?;
        let written = references(&probed(&spec.outputs), &spec.platforms)?;
        let pushed = written.iter().any(|output| output.medium() == Medium::Registry);
        if !args.catalogue.is_empty() && !pushed {
            return Err(Failure::usage("a catalogue lists what is in a registry")
                .hint(Some("push the extensions too: `--push HOST/USER`".to_owned())));
        }
        return of_packages(&packages, &args.catalogue, &spec, options, printer);
    }
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

/// The packages that are asked for, if it is packages.
fn packages(args: &Extension) -> Result<Option<PackageSpec>, Failure> {
    let Some(folder) = &args.directory else { return Ok(None) };
    if args.targets.is_empty() && !is_package_folder(folder) {
        return match args.build_args.first() {
            None => Ok(None),
            Some(_) => Err(Failure::usage(format!(
                "`--build-arg` is for packages, and `{}` has no `pkg.yaml`",
                folder.display()
            ))),
        };
    }
    let loose = [&args.modules, &args.firmware, &args.files, &args.trees, &args.copies, &args.selinux_labels];
    if args.manifest.is_some() || args.modules_from.is_some() || loose.iter().any(|list| !list.is_empty()) {
        return Err(Failure::usage("what an extension of packages is made of stands in its `pkg.yaml`")
            .hint(Some(
                "leave out the options for loose files, or give a folder without `pkg.yaml`".to_owned(),
            )));
    }
    let arguments: BTreeMap<String, String> = options::pairs("--build-arg", &args.build_args)?;
    let delegate = args.delegate.then(|| {
        let build_args = arguments.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let solve = buildkit::Options { build_args, ..buildkit::Options::default() };
        Delegate { environment: options::buildkit(&solve), options: solve }
    });
    Ok(Some(PackageSpec { folder: folder.clone(), targets: args.targets.clone(), arguments, delegate }))
}

fn of_packages(
    packages: &PackageSpec,
    catalogue: &[String],
    spec: &ExtensionSpec,
    options: &Options,
    printer: &Printer,
) -> Result<Outcome, Failure> {
    let built = build_packages(packages, spec, &options.context)?;
    let listed = match catalogue {
        [] => Vec::new(),
        outputs => write_catalogue(&built, spec, outputs, &options.context)?,
    };
    let mut written = Vec::new();
    let mut extensions = Vec::new();
    for one in built {
        printer.findings(&one.report);
        extensions.push(json!({
            "name": one.manifest.name,
            "version": one.manifest.version,
            "findings": one.report.findings(),
        }));
        written.extend(one.written);
    }
    written.extend(listed);
    let extra = json!({
        "judgedFor": spec.talos.as_ref().unwrap_or(&Version::NEWEST).to_string(),
        "extensions": extensions,
    });
    print_written("extension", &written, extra, printer)?;
    Ok(Outcome::Done)
}

fn spec(args: &Extension, options: &Options) -> Result<ExtensionSpec, Failure> {
    let compression = options::compression(&args.compression)?;
    let format = options::format(args.format, compression)?;
    let platforms = options::platforms(&args.platform)?;
    let mut selinux_labels = BTreeMap::new();
    for (path, label) in options::pairs::<BTreeMap<_, _>>("--selinux-label", &args.selinux_labels)? {
        let path = normalise(&path).map_err(|error| Failure::usage(format!("`--selinux-label`: {error}")))?;
        selinux_labels.insert(path, label);
    }
    let pushed = args
        .push
        .iter()
        .map(|prefix| format!("docker://{}/{{name}}:{{version}}", prefix.trim_end_matches('/')));
    let outputs: Vec<String> = args.output.iter().cloned().chain(pushed).collect();
    check_outputs(&references(&probed(&outputs), &platforms)?, options)?;
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
        labels: options::pairs("--label", &args.labels)?,
        annotations: options::pairs("--annotation", &args.annotations)?,
        epoch: options.epoch,
        talos: options::talos(&args.judge)?,
        allow: options::allowed(&args.judge.allow)?,
        outputs,
    })
}
