//! `talosmith inspect`

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::args::Inspect;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use crate::base::printable;
use crate::base::units::{count, size};
use crate::plan::inspect::{Inspection, ModuleLine, inspect};
use crate::plan::inspect_boot::BootLine;

pub(super) fn run(args: &Inspect, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let reference = options::reference(&args.reference)?;
    let platform = args.platform.as_deref().map(options::platform).transpose()?;
    let found = inspect(&options.context, &reference, platform.as_ref())?;
    let mut text = String::new();
    let mut values = Vec::new();
    for one in &found.images {
        show(one, args.files, &mut text);
        values.push(value(one, args.files));
    }
    let value = json!({
        "reference": args.reference,
        "digest": found.digest,
        "mediaType": found.media_type,
        "images": values,
    });
    let head = match (&found.digest, &found.media_type) {
        (Some(digest), Some(media_type)) => {
            format!("{reference}\n  digest      {digest}\n  media type  {}\n", printable(media_type))
        }
        _ => format!("{reference}\n"),
    };
    printer.result("inspect", value, &format!("{head}{text}"))?;
    Ok(Outcome::Done)
}

fn show(one: &Inspection, files: bool, text: &mut String) {
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<11} {}", printable(value)); // to a String
        }
    };
    line("kind", one.kind.name());
    line("platform", one.platform.as_deref().unwrap_or_default());
    line("manifest", &one.manifest_digest.map(|digest| digest.to_string()).unwrap_or_default());
    line("created", one.created.as_deref().unwrap_or_default());
    line("entrypoint", &one.entrypoint.join(" "));
    for (key, value) in &one.labels {
        line("label", &format!("{key}={value}"));
    }
    for layer in &one.layers {
        line("layer", &format!("{} {} {}", layer.digest, size(layer.size), layer.media_type));
    }
    if let Some(manifest) = &one.extension {
        line("extension", &format!("{} {}", manifest.name, manifest.version));
        line("author", &manifest.author);
        for description in manifest.description.lines() {
            line("description", description);
        }
        line("talos", manifest.compatibility.as_deref().unwrap_or_default());
    }
    for module in &one.modules {
        line("module", &shown(module));
    }
    for boot in &one.boot {
        show_boot(boot, &mut line);
    }
    if files {
        for file in &one.files {
            let target = file.target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
            let label = file.selinux.as_ref().map(|label| format!(" [{label}]")).unwrap_or_default();
            line(
                "file",
                &format!("{} {:>10} {}{target}{label}", file.mode, file.size.unwrap_or(0), file.path),
            );
        }
    } else {
        line("files", &one.files.len().to_string());
    }
}

fn show_boot(boot: &BootLine, line: &mut impl FnMut(&str, &str)) {
    line("boots", &boot.architecture);
    line("talos", boot.talos.as_deref().unwrap_or_default());
    if let Some(kernel) = &boot.kernel {
        line("kernel", &format!("{} ({}, {})", kernel.release, kernel.machine, kernel.codec));
    }
    for profile in &boot.profiles {
        let name = profile.id.as_deref().map(|id| format!("{id}: ")).unwrap_or_default();
        line("cmdline", &format!("{name}{}", profile.cmdline.as_deref().unwrap_or_default()));
    }
    for section in &boot.sections {
        line("section", &format!("{:<9} {}", section.name, size(section.size)));
    }
    for segment in &boot.segments {
        let members = count(usize::try_from(segment.members).unwrap_or(usize::MAX), "member");
        line(
            "initramfs",
            &format!("{} {} at {}, {members}", segment.codec, size(segment.size), segment.offset),
        );
    }
    for layer in &boot.extensions {
        let codec = layer.codec.as_deref().unwrap_or("missing");
        let bytes = layer.size.map(size).unwrap_or_default();
        line("extension", &format!("{} {} ({}, {codec} {bytes})", layer.name, layer.version, layer.image));
    }
    if boot.firmware > 0 {
        line("firmware", &count(boot.firmware, "file"));
    }
    for file in &boot.microcode {
        line("microcode", file);
    }
    for problem in &boot.problems {
        line("problem", problem);
    }
}

fn shown(module: &ModuleLine) -> String {
    match &module.problem {
        Some(problem) => format!("{} ({problem})", module.path),
        None => format!("{} ({}, {}, {})", module.path, module.release, module.machine, module.signature),
    }
}

fn value(one: &Inspection, files: bool) -> Value {
    let mut value = serde_json::to_value(one).unwrap_or_default();
    if let (false, Some(object)) = (files, value.as_object_mut()) {
        object.insert("files".to_owned(), json!(one.files.len()));
    }
    value
}
