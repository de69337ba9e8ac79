//! The commands, one file each: options in, a plan run, results out.

mod bench;
mod build;
mod bundle;
mod cache;
mod check;
mod copy;
mod custom_imager;
mod depmod;
mod diff;
mod extension;
mod imager;
mod inspect;
mod installer;
mod kernel;
mod new;
mod packages;
mod squashfs;
mod verify;

use clap::CommandFactory as _;
use serde_json::json;

use super::args::{Args, Command, Global};
use super::failure::{Failure, Outcome};
use super::options::{self, Options};
use super::printer::{Printer, print_out};
use crate::image::{Medium, Platform, Reference};
use crate::plan::extension::for_platform;
use crate::plan::outputs::Written;

/// Runs a command.
pub(super) fn run(
    command: &Command,
    global: &Global,
    options: &Options,
    printer: &Printer,
) -> Result<Outcome, Failure> {
    match command {
        Command::Bundle(args) => bundle::run(args, options, printer),
        Command::Verify(args) => verify::run(args, options, printer),
        Command::Bench(args) => bench::run(args, global, options, printer),
        Command::Cache(args) => cache::run(args, options, printer),
        Command::Build(args) => build::run(args, options, printer),
        Command::Extension(args) => extension::run(args, options, printer),
        Command::Packages(args) => packages::run(args, printer),
        Command::Installer(args) => installer::run(args, options, printer),
        Command::Imager(args) => imager::run(args, options, printer),
        Command::Kernel(args) => kernel::run(args, options, printer),
        Command::Check(args) => check::run(args, options, printer),
        Command::Inspect(args) => inspect::run(args, options, printer),
        Command::Diff(args) => diff::run(args, options, printer),
        Command::Copy(args) => copy::run(args, options, printer),
        Command::CustomImager(args) => custom_imager::run(args, options, printer),
        Command::Depmod(args) => depmod::run(args, options, printer),
        Command::Squashfs(args) => squashfs::run(args, options, printer),
        Command::Schema => {
            let text = serde_json::to_string_pretty(&crate::plan::spec::schema());
            print_out(&format!("{}\n", text.map_err(|error| Failure::output(error.to_string()))?))?;
            Ok(Outcome::Done)
        }
        Command::New(args) => new::run(args, printer),
        Command::Completions(args) => {
            let mut text = Vec::new();
            clap_complete::generate(args.shell, &mut Args::command(), "talosmith", &mut text);
            print_out(&String::from_utf8_lossy(&text))?;
            Ok(Outcome::Done)
        }
        Command::Man => manual(),
    }
}

/// One page for the program and all of its commands.
fn manual() -> Result<Outcome, Failure> {
    let mut text = Vec::new();
    let mut command = Args::command();
    command.build();
    let render = |text: &mut Vec<u8>| -> std::io::Result<()> {
        let man = clap_mangen::Man::new(command.clone());
        man.render_title(text)?;
        man.render_name_section(text)?;
        man.render_synopsis_section(text)?;
        man.render_description_section(text)?;
        for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
            let own = clap_mangen::Man::new(part.clone());
            std::io::Write::write_all(
                text,
                format!(".SH \"TALOSMITH {}\"\n", part.get_name().to_uppercase()).as_bytes(),
            )?;
            sections(&own, text)?;
            for deeper in part.get_subcommands().filter(|deeper| deeper.get_name() != "help") {
                let title =
                    format!(".SH \"TALOSMITH {} {}\"\n", part.get_name(), deeper.get_name()).to_uppercase();
                std::io::Write::write_all(text, title.as_bytes())?;
                sections(&clap_mangen::Man::new(deeper.clone()), text)?;
            }
        }
        man.render_options_section(text)?;
        man.render_extra_section(text)?;
        man.render_version_section(text)
    };
    render(&mut text).map_err(|error| Failure::output(error.to_string()))?;
    print_out(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Done)
}

/// What the manual says of one command.
fn sections(man: &clap_mangen::Man, text: &mut Vec<u8>) -> std::io::Result<()> {
    man.render_description_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_options_section(text)
}

/// Prints references with their digests, as they are written elsewhere: without `docker://`.
fn print_written(
    command: &str,
    written: &[Written],
    extra: serde_json::Value,
    printer: &Printer,
) -> Result<(), Failure> {
    let text: String = written.iter().map(line_of).collect();
    let mut value = json!({ "written": written });
    if let (Some(value), serde_json::Value::Object(extra)) = (value.as_object_mut(), extra) {
        value.extend(extra);
    }
    printer.result(command, value, &text)
}

/// A reference with its digest, as it is written elsewhere.
fn line_of(written: &Written) -> String {
    let reference = written.reference.strip_prefix("docker://").unwrap_or(&written.reference);
    format!("{reference}@{}\n", written.digest)
}

/// Outputs with something in the place of names that are not known yet, so that they can be looked at.
fn probed(outputs: &[String]) -> Vec<String> {
    let probe = |(number, output): (usize, &String)| {
        output.replace("{name}", &format!("name-{number}")).replace("{version}", "0")
    };
    outputs.iter().enumerate().map(probe).collect()
}

/// Refuses outputs that no form can be given to, that are given twice, or that need the network where it is
/// not to be used: before any work is done.
fn check_outputs(outputs: &[Reference], options: &Options) -> Result<(), Failure> {
    for (number, output) in outputs.iter().enumerate() {
        if matches!(output.medium(), Medium::Path | Medium::Directory) {
            return Err(Failure::usage(format!(
                "`{output}` does not say in which form the image is to be written"
            ))
            .hint(Some(
                "begin it with `oci:`, `oci-archive:`, `docker-archive:` or `docker://`".to_owned(),
            )));
        }
        if output.medium() != Medium::Registry && output.to_string().contains('@') {
            return Err(Failure::usage(format!(
                "`{output}`: the name of an image that is to be written has no `@`"
            )));
        }
        if outputs.iter().skip(number + 1).any(|other| other == output) {
            return Err(Failure::usage(format!("`{output}` is given twice")));
        }
        if options.offline && output.medium() == Medium::Registry {
            return Err(Failure::network(format!(
                "`{output}` is in a registry, and `--offline` forbids the network"
            )));
        }
    }
    Ok(())
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
