//! `talosmith copy`

use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::json;

use super::super::args::Copy;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::{check_outputs, print_written};
use crate::base::printable;
use crate::base::units::{count, size};
use crate::image::Reference;
use crate::plan::Error;
use crate::plan::copy::copy;
use crate::plan::mirror::{Copied, Fate, MirrorSpec, Mirrored, Target, mirror};

pub(super) fn run(args: &Copy, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    if !args.tags.is_empty() {
        return tags(args, options, printer);
    }
    let source = options::reference(&args.source)?;
    let targets = args.targets.iter().map(|text| options::reference(text)).collect::<Result<Vec<_>, _>>()?;
    check_outputs(&targets, options)?;
    let platform = args.platform.as_deref().map(options::platform).transpose()?;
    let written = copy(&options.context, &source, &targets, platform.as_ref())?;
    print_written("copy", &written, json!({}), printer)?;
    Ok(Outcome::Done)
}

/// Copies tags of a repository.
fn tags(args: &Copy, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let spec = spec(args, options)?;
    let code = AtomicU8::new(0);
    let events = &options.context.events;
    let told = |tag: &str, error: Error| {
        let failure = Failure::from(error);
        code.fetch_max(failure.code, Ordering::Relaxed);
        events.warn(format!("`{tag}` is not copied: {}", failure.message), failure.hint);
        failure.message
    };
    let mirrored = mirror(&spec, &options.context, &told)?;
    let (mut copied, mut there, mut failed, mut untried, mut bytes) = (0, 0, 0, 0, 0);
    let mut text = String::new();
    for one in &mirrored {
        match &one.fate {
            Fate::There => there += 1,
            Fate::Failed { .. } => failed += 1,
            Fate::NotTried => untried += 1,
            Fate::Copied(image) | Fate::ToBeCopied(image) => {
                copied += 1;
                bytes += image.size;
            }
        }
        text.push_str(&line(one));
    }
    let word = if args.dry_run { "to be copied" } else { "copied" };
    let sums = [(failed, "failed"), (untried, "not tried")];
    let sums =
        sums.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!(", {number} {word}"));
    text.push_str(&format!(
        "{}: {copied} {word} (images of {}), {there} there already{}\n",
        count(mirrored.len(), "tag"),
        size(bytes),
        sums.collect::<String>()
    ));
    let summary = json!({
        "copied": if args.dry_run { 0 } else { copied },
        "toBeCopied": if args.dry_run { copied } else { 0 },
        "there": there,
        "failed": failed,
        "notTried": untried,
        "imageBytes": bytes,
    });
    let value = json!({ "dryRun": args.dry_run, "tags": mirrored, "summary": summary });
    printer.result("copy", value, &text)?;
    Ok(match code.into_inner() {
        0 => Outcome::Done,
        code => {
            events.warn("run it again to go on: what is there already is left alone", None);
            Outcome::Failed(code)
        }
    })
}

fn spec(args: &Copy, options: &Options) -> Result<MirrorSpec, Failure> {
    let repository = |text: &str| -> Result<Reference, Failure> {
        let reference = options::reference(text)?;
        let named = match &reference {
            Reference::Registry(reference) => reference.tag.is_some() || reference.digest.is_some(),
            Reference::Layout { name, .. } => name.is_some(),
            _ => false,
        };
        match named {
            true => Err(Failure::usage(format!("`{text}`: with `--tags`, leave the tag out of SRC and DST"))),
            false => Ok(reference),
        }
    };
    let Reference::Registry(source) = repository(&args.source)? else {
        return Err(Failure::usage(format!("`{}`: `--tags` is for the tags of a registry", args.source)));
    };
    let [target] = args.targets.as_slice() else {
        return Err(Failure::usage("`--tags` wants one DST".to_owned()));
    };
    let reference = repository(target)?;
    check_outputs(std::slice::from_ref(&reference), options)?;
    let target = match reference {
        Reference::Registry(repository) => Target::Repository(repository),
        Reference::Layout { directory, .. } => Target::Layout(directory),
        _ => {
            return Err(Failure::usage(format!(
                "`{target}`: with `--tags`, DST is a repository or `oci:DIR`"
            )));
        }
    };
    let platform = args.platform.as_deref().map(options::platform).transpose()?;
    Ok(MirrorSpec { source, target, tags: args.tags.clone(), platform, dry_run: args.dry_run })
}

/// A tag, as it is told on the terminal.
fn line(one: &Mirrored) -> String {
    let Mirrored { tag, digest, fate, .. } = one;
    let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    let (word, more) = match fate {
        Fate::There => ("there", String::new()),
        Fate::Failed { .. } => ("failed", String::new()),
        Fate::NotTried => ("left", String::new()),
        Fate::Copied(Copied { before, size: bytes }) | Fate::ToBeCopied(Copied { before, size: bytes }) => {
            match before {
                None => ("new", format!("  {}", size(*bytes))),
                Some(before) => ("moved", format!("  {}, was {before}", size(*bytes))),
            }
        }
    };
    format!("{word:6}  {}{digest}{more}\n", printable(tag))
}
