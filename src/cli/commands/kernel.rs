//! `talosmith kernel`

use std::fmt::Write as _;

use serde_json::json;

use super::super::args::Kernel;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::{check_outputs, print_written, references};
use crate::bldr::buildkit::{self, Secret, Tls, Wanted};
use crate::plan::kernel::{Explained, KernelSpec, build, explain, output_for, spec::GENERATED};
use crate::plan::outputs::Written;

pub(super) fn run(args: &Kernel, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let spec = spec(args, options)?;
    if args.dry_run {
        print_plan(&explain(&spec)?, printer)?;
        return Ok(Outcome::Done);
    }
    if options.offline {
        return Err(Failure::network(
            "BuildKit uses the network as a build wants it, and `--offline` forbids the network",
        ));
    }
    let built = build(&spec, &options.context)?;
    printer.findings(&built.report);
    let written: Vec<Written> = built.images.iter().flat_map(|image| image.written.iter().cloned()).collect();
    let images = built.images.iter().map(|image| json!({ "name": image.name, "written": image.written }));
    let extra = json!({ "images": images.collect::<Vec<_>>(), "kernels": built.kernels,
        "findings": built.report.findings() });
    print_written("kernel", &written, extra, printer)?;
    Ok(Outcome::Done)
}

fn spec(args: &Kernel, options: &Options) -> Result<KernelSpec, Failure> {
    let compression = options::compression(&args.compression)?;
    let wanted =
        Wanted::new(&args.kernel, &args.packages).map_err(|error| Failure::usage(error.to_string()))?;
    let platforms = options::platforms(&args.platform)?;
    let names = std::iter::once("kernel").chain(wanted.packages().iter().map(String::as_str));
    let mut outputs = Vec::new();
    for name in names {
        for output in &args.output {
            outputs.push(output_for(output, name)?);
        }
    }
    check_outputs(&references(&outputs, &platforms)?, options)?;
    let solve = solve(args)?;
    Ok(KernelSpec {
        context: args.context.clone(),
        file: args.file.clone(),
        wanted,
        platforms,
        environment: options::buildkit(&solve),
        options: solve,
        no_retry: args.no_retry,
        allow: options::allowed(&args.allow)?,
        compression,
        format: options::format(args.format, compression)?,
        epoch: options.epoch,
        outputs: args.output.clone(),
    })
}

/// What is passed on to BuildKit's client.
fn solve(args: &Kernel) -> Result<buildkit::Options, Failure> {
    let secret = |text: &String| {
        text.parse::<Secret>().map_err(|error| Failure::usage(format!("`--secret`: {error}")))
    };
    for file in [&args.source_policy, &args.addr_tls_ca, &args.addr_tls_cert, &args.addr_tls_key]
        .into_iter()
        .flatten()
    {
        if !file.is_file() {
            return Err(Failure::input(format!("there is no file `{}`", file.display())));
        }
    }
    Ok(buildkit::Options {
        address: args.addr.clone(),
        tls: Tls {
            ca: args.addr_tls_ca.clone(),
            cert: args.addr_tls_cert.clone(),
            key: args.addr_tls_key.clone(),
            server_name: args.addr_tls_name.clone(),
        },
        secrets: args.secrets.iter().map(secret).collect::<Result<_, _>>()?,
        build_args: options::pairs("--build-arg", &args.build_args)?,
        import_cache: args.import_cache.clone(),
        export_cache: args.export_cache.clone(),
        source_policy: args.source_policy.clone(),
        no_cache: args.no_cache,
    })
}

/// Prints the commands and the generated file, such that they can be taken over by hand.
fn print_plan(plan: &Explained, printer: &Printer) -> Result<(), Failure> {
    let (path, text) = &plan.generated;
    let value = json!({
        "commands": plan.commands,
        "generated": { "folder": GENERATED, "path": path, "text": text },
        "copied": plan.copied,
        "marks": plan.marks,
    });
    let mut shown = format!("# {GENERATED}/{path}\n{text}\n");
    if !plan.copied.is_empty() {
        let _ = writeln!(shown, "# beside it, as they are in the context: {}\n", plan.copied.join(" ")); // to a String
    }
    if !plan.marks.is_empty() {
        let marks = plan.marks.join(" ");
        let _ = writeln!(
            shown,
            "# and to keep each package from the cache, a word that it does not know in: {marks}\n"
        );
    }
    for command in &plan.commands {
        shown.push_str(command);
        shown.push('\n');
    }
    printer.result("kernel", value, &shown)
}
