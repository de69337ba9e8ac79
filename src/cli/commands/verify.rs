//! `talosmith verify`

use std::env;
use std::fmt::Write as _;

use serde_json::json;

use super::super::args::Verify;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::build::how;
use super::diff::shown;
use crate::base::{Digest, Epoch};
use crate::image::{Media, Parsed, Pins, Reference};
use crate::plan::build::{Item, build};
use crate::plan::diff::diff;
use crate::plan::lock::Lock;
use crate::plan::outputs;
use crate::plan::subject::kind_of_reference as kind_of;
use crate::plan::{Context, spec};

pub(super) fn run(args: &Verify, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let file = args.file.clone().unwrap_or_else(|| args.lock.with_extension("yaml"));
    let loaded = spec::read(&file, &|name| env::var(name).ok())?;
    let lock = Lock::read(&args.lock)?
        .ok_or_else(|| Failure::input(format!("there is no lock `{}`", args.lock.display())))?;
    lock.holds_for(&loaded)?;
    let reference = options::reference(&args.reference)?;
    let published = Media::from(&options.context).open(&reference).map_err(crate::plan::Error::from)?;
    let digest = published.root.descriptor.digest;

    let pins = Pins::new(lock.pins(None)?, true, Vec::new(), &loaded.spec.mirrors);
    let context = Context { pins, ..options.context.clone() };
    // What steered the build is in the lock, and nothing of it in the environment of whoever verifies.
    let epoch = lock.epoch.and_then(Epoch::new);
    let built = build(&loaded, &context, &crate::plan::build::Options { epoch, ..how(options, false) })?;
    let mut same = None;
    for item in &built.items {
        if gives(&context, item, digest)? {
            same = Some(item);
            break;
        }
    }
    if let Some(same) = same {
        // In a registry the digest names the bytes; in a layout somebody has to look.
        if published.registry().is_none() {
            let set = published.set().map_err(crate::plan::Error::from)?;
            let fetch = outputs::source(&published, false);
            let look = |blob| fetch(blob).map(drop);
            set.blobs.iter().try_for_each(look).map_err(crate::plan::Error::from)?;
        }
        let text = format!("{} is what `{}` gives: {}\n", args.reference, args.lock.display(), same.name);
        printer.result("verify", json!({ "same": true, "name": same.name, "digest": digest }), &text)?;
        return Ok(Outcome::Done);
    }
    let item = nearest(&context, &built.items, &reference)?;
    let own: Reference = options::reference(&item.inner)?;
    let differences = diff(&context, &own, &reference, None)?;
    let mut text = String::new();
    let _ = writeln!(text, "{} is not what `{}` gives", args.reference, args.lock.display()); // to a String
    let _ = writeln!(text, "  {}: {}", item.name, item.digest);
    let _ = writeln!(text, "  {}: {digest}", args.reference);
    text.push_str(&shown(&differences));
    let value = json!({
        "same": false,
        "name": item.name,
        "digest": digest,
        "expected": item.digest,
        "differences": differences,
    });
    printer.result("verify", value, &text)?;
    Ok(Outcome::Findings)
}

/// Whether what was made is the image with this digest, or has it for one of its platforms.
fn gives(context: &Context, item: &Item, digest: Digest) -> Result<bool, Failure> {
    if item.digest == digest {
        return Ok(true);
    }
    let own =
        Media::from(context).open(&options::reference(&item.inner)?).map_err(crate::plan::Error::from)?;
    Ok(match own.root.parse().map_err(crate::plan::Error::from)? {
        Parsed::Index(index) => index.manifests.iter().any(|image| image.digest == digest),
        Parsed::Manifest(_) => false,
    })
}

/// What the published image is to be compared with: the first of what was made that is of its kind.
fn nearest<'a>(context: &Context, items: &'a [Item], reference: &Reference) -> Result<&'a Item, Failure> {
    let kind = kind_of(context, reference)?;
    let same = |item: &&Item| {
        options::reference(&item.inner).is_ok_and(|own| kind_of(context, &own).ok() == Some(kind))
    };
    items.iter().find(same).ok_or_else(|| {
        Failure::input(format!("the spec makes nothing of the kind of `{reference}`: {}", kind.name()))
    })
}
