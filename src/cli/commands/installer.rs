//! `talosmith installer`

use std::path::Path;

use serde_json::json;

use super::super::args::{Installer, Overlay};
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::{check_outputs, print_written, references};
use crate::base::fsio;
use crate::base::yaml::Any;
use crate::image::Platform;
use crate::plan::installer::{AssetFiles, ExtensionSource, InstallerSpec, Names, Output, OverlaySpec, build};
use crate::talos::Tag;
use crate::talos::platform::{Platform as Machine, PlatformError};
use crate::talos::profile::OverlayOption;
use crate::talos::profile::flags::parse_options;
use crate::talos::schematic::Schematic;
use crate::talos::version::Architecture;

/// The most bytes of a file of options or of a machine configuration that are read.
const TEXT_LIMIT: u64 = 4 << 20;

pub(super) fn run(args: &Installer, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let spec = spec(args, options)?;
    let built = build(&spec, &options.context)?;
    printer.findings(&built.report);
    let extra = json!({
        "talos": built.talos.as_str(),
        "installers": built.facts,
        "findings": built.report.findings(),
    });
    print_written("installer", &built.written, extra, printer)?;
    Ok(Outcome::Done)
}

fn spec(args: &Installer, options: &Options) -> Result<InstallerSpec, Failure> {
    let compression = options::compression(&args.compression)?;
    let format = args.format.map(|name| options::format(name, compression)).transpose()?;
    let platforms = options::platforms(&args.platform)?;
    check_outputs(&references(&args.output, &platforms)?, options)?;
    Ok(InstallerSpec {
        talos: args.talos.as_deref().map(Tag::new),
        imager: args.imager.clone(),
        files: AssetFiles::default(),
        base: args.base.clone(),
        extensions: extensions(args)?,
        platforms,
        host: host(),
        machine: machine("--talos-platform", &args.talos_platform)?,
        kernel_args: args.extra_kernel_args.clone(),
        overlay_kernel_args: args.overlay.overlay_kernel_args.clone(),
        secure_boot: false,
        meta: Vec::new(),
        overlay: overlay(&args.overlay)?,
        run_overlay: args.overlay.allow_run_overlay,
        schematic: args.schematic.as_deref().map(schematic).transpose()?,
        catalogue: args.catalogue.clone(),
        overlay_catalogue: args.overlay_catalogue.clone(),
        splash: args.splash.clone(),
        names: Names::Ordered,
        format,
        compression,
        epoch: options.epoch,
        allow: options::allowed(&args.allow)?,
        output: Output::Installer(args.output.clone()),
    })
}

fn extensions(args: &Installer) -> Result<Vec<ExtensionSource>, Failure> {
    let mut extensions: Vec<_> = args.extensions.iter().cloned().map(ExtensionSource::Reference).collect();
    if let Some(path) = &args.embedded_config {
        extensions.push(ExtensionSource::EmbeddedConfig(embedded(path)?.into_bytes()));
    }
    Ok(extensions)
}

fn schematic(path: &Path) -> Result<Box<Schematic>, Failure> {
    let bytes = fsio::read(path, TEXT_LIMIT).map_err(|error| Failure::input(crate::base::chain(&error)))?;
    Schematic::parse(&bytes)
        .map(Box::new)
        .map_err(|error| Failure::input(format!("schematic `{}` is not valid: {error}", path.display())))
}

/// Parses where Talos runs.
pub(super) fn machine(option: &str, name: &str) -> Result<Machine, Failure> {
    Machine::parse(name).map_err(|error: PlatformError| {
        Failure::usage(format!("`{option}`: {error}")).hint(Some(error.hint()))
    })
}

/// The platform of this machine, where programs of an overlay would run.
pub(super) fn host() -> Platform {
    Platform::linux(
        Architecture::parse(std::env::consts::ARCH).map_or(std::env::consts::ARCH, Architecture::go),
    )
}

fn overlay(args: &Overlay) -> Result<Option<OverlaySpec>, Failure> {
    let (Some(image), Some(name)) = (&args.overlay_image, &args.overlay_name) else { return Ok(None) };
    Ok(Some(OverlaySpec {
        image: image.clone(),
        installer: image.clone(),
        name: name.clone(),
        options: overlay_options(args)?,
        run: args.allow_run_overlay,
    }))
}

/// The options of an overlay, with what the files hold that they name.
pub(super) fn overlay_options(args: &Overlay) -> Result<Vec<(String, Any)>, Failure> {
    let read = |path: &str| {
        fsio::read(Path::new(path), TEXT_LIMIT).map_err(|error| Failure::input(crate::base::chain(&error)))
    };
    let mut options: Vec<(String, Any)> = Vec::new();
    let mut put = |key: String, value: Any| {
        options.retain(|(there, _)| *there != key);
        options.push((key, value));
    };
    for text in &args.overlay_options {
        match OverlayOption::parse(text) {
            OverlayOption::Value(key, value) => put(key, Any::Text(value)),
            OverlayOption::File(key, file) => {
                let text = String::from_utf8(read(&file)?)
                    .map_err(|_| Failure::input(format!("`--overlay-option {text}`: the file is no text")))?;
                put(key, Any::Text(text));
            }
            OverlayOption::Document(file) => {
                let document = parse_options(&read(&file)?).map_err(|error| {
                    let hint = error.hint();
                    Failure::input(format!("`--overlay-option {text}`: {error}")).hint(hint)
                })?;
                document.into_iter().for_each(|(key, value)| put(key, value));
            }
        }
    }
    Ok(options)
}

/// The machine configuration that is to be embedded.
pub(super) fn embedded(path: &Path) -> Result<String, Failure> {
    let bytes = fsio::read(path, TEXT_LIMIT).map_err(|error| Failure::input(crate::base::chain(&error)))?;
    String::from_utf8(bytes).map_err(|_| Failure::input(format!("`{}` is no text", path.display())))
}
