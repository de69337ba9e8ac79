//! `talosmith build`

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::super::args::Build;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::installer::host;
use super::{check_outputs, references};
use crate::base::units::{count, size};
use crate::base::{Epoch, chain, fsio, printable};
use crate::image::layout::Layout;
use crate::image::reference::ReferenceError;
use crate::image::{Pins, RegistryReference};
use crate::plan::Context;
use crate::plan::build::report::{Document, PATCH, RESULT, next, patch};
use crate::plan::build::{Built, Options as BuildOptions, build};
use crate::plan::bundle;
use crate::plan::dry::{DryRun, Fate, Planned};
use crate::plan::lock::Lock;
use crate::plan::outputs::Written;
use crate::plan::remote_cache::{RemoteCache, Traffic};
use crate::plan::spec::{self, Loaded};

pub(super) fn run(args: &Build, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let loaded = spec::read(&args.file, &|name| env::var(name).ok())?;
    let outputs: Vec<String> = loaded.spec.outputs();
    check_outputs(&references(&super::probed(&outputs), &loaded.spec.platforms)?, options)?;
    let file = Lock::file_of(&args.file);
    let lock = Lock::read(&file)?;
    let dry = args.dry_run.then(DryRun::default);
    let (bundles, carried) = bundle::open(&options.context, &args.bundle)?;
    // The lock beside the spec says what is wanted; that of a bundle is for who has none.
    let lock = lock.or(carried);
    let pins = pins(args, &loaded, lock.as_ref(), &file, bundles)?;
    let remote = remote(args)?;
    let context = Context { pins, dry: dry.clone(), remote, ..options.context.clone() };
    let epoch = epoch(args, options, lock.as_ref())?;
    if let Some(dry) = dry {
        build(&loaded, &context, &BuildOptions { epoch, ..how(options, false) })?;
        print_plan(&dry.planned(), printer)?;
        return Ok(Outcome::Done);
    }
    let built = build(&loaded, &context, &BuildOptions { epoch, ..how(options, true) })?;
    let seen = context.pins.seen();
    built.reports.iter().for_each(|report| printer.findings(report));
    let new = Lock::of(loaded.checksum, epoch, &seen);
    if !args.locked && new.write(&file).map_err(written)? {
        let before = lock.as_ref();
        let changes =
            before.map_or_else(|| vec![format!("wrote `{}`", file.display())], |old| new.changes(old));
        changes.into_iter().for_each(|line| context.events.detail(line));
    }
    if let Some(remote) = &context.remote {
        // What was made is made: a cache that cannot be written is told of, and that is all.
        if let Err(error) = remote.send(&context) {
            context.events.warn(format!("the cache was not written: {}", chain(&error)), None);
        }
        let Traffic { steps_found, fetched, steps_sent, sent } = remote.traffic();
        context.events.detail(format!(
            "cache: {steps_found} steps found, {} fetched; {steps_sent} steps sent, {}",
            size(fetched),
            size(sent)
        ));
    }
    let timings = options.timings.timings();
    let out = args.out.clone().unwrap_or_else(|| loaded.folder.join("out"));
    let document = Document::new(&loaded, &built, &seen, &timings, &out);
    leave(&out, &document, &built)?;
    let written: Vec<&Written> = built.items.iter().flat_map(|item| &item.written).collect();
    let text: String = written.iter().map(|one| super::line_of(one)).collect();
    // Thousands of files may be in it: only who asked for it gets it as one value.
    let value = if printer.is_json() { json!(document) } else { serde_json::Value::Null };
    printer.result("build", value, &text)?;
    say_next(&built, &out, printer);
    Ok(Outcome::Done)
}

/// Each step with what becomes of it, and why.
fn print_plan(planned: &[Planned], printer: &Printer) -> Result<(), Failure> {
    let mut text = String::new();
    let mut runs = 0;
    for Planned { step, subject, fate } in planned {
        let (word, why) = match fate {
            Fate::Known => ("known", String::new()),
            Fate::Runs { why } => ("runs", format!(": {why}")),
            Fate::Waits { r#for } => ("waits", format!(" for {}", r#for)),
        };
        runs += usize::from(*fate != Fate::Known);
        let _ = writeln!(text, "{word:5}  {step} {}{}", printable(subject), printable(&why)); // to a String
    }
    let _ = writeln!(text, "{}, {} to be run", count(planned.len(), "step"), runs);
    printer.result("build", json!({ "steps": planned }), &text)
}

/// What a spec does not say of how it is built.
pub(super) fn how(options: &Options, outputs: bool) -> BuildOptions<'_> {
    BuildOptions { epoch: options.epoch, host: host(), buildkit: &options::buildkit, outputs }
}

/// The time that steers the result: with `--locked` that of the lock, and no other.
fn epoch(args: &Build, options: &Options, lock: Option<&Lock>) -> Result<Option<Epoch>, Failure> {
    let Some(lock) = lock.filter(|_| args.locked) else { return Ok(options.epoch) };
    let locked = lock.epoch.and_then(Epoch::new);
    match options.epoch {
        Some(own) if Some(own) != locked => {
            let said = lock.epoch.map_or("none".to_owned(), |seconds| seconds.to_string());
            Err(Failure::input(format!(
                "`SOURCE_DATE_EPOCH` is {}, and the lock was made with {said}",
                own.seconds()
            )))
        }
        _ => Ok(locked),
    }
}

/// The caches in registries.
fn remote(args: &Build) -> Result<Option<Arc<RemoteCache>>, Failure> {
    let parse = |option: &str, texts: &[String]| -> Result<Vec<RegistryReference>, Failure> {
        let one = |text: &String| {
            let name = text.strip_prefix("docker://").unwrap_or(text);
            let wrong = |why: String| Failure::usage(format!("`{option} {text}`: {why}"));
            let reference: RegistryReference =
                name.parse().map_err(|error: ReferenceError| wrong(error.to_string()))?;
            match reference.tag.is_some() || reference.digest.is_some() {
                true => {
                    Err(wrong("a repository has neither tag nor digest: each step has its own".to_owned()))
                }
                false => Ok(reference),
            }
        };
        texts.iter().map(one).collect()
    };
    let (from, to) = (parse("--cache-from", &args.cache_from)?, parse("--cache-to", &args.cache_to)?);
    let any = !from.is_empty() || !to.is_empty();
    Ok(any.then(|| Arc::new(RemoteCache::new(from, to))))
}

/// What the lock pins for this build.
fn pins(
    args: &Build,
    loaded: &Loaded,
    lock: Option<&Lock>,
    file: &Path,
    bundles: Vec<Layout>,
) -> Result<Pins, Failure> {
    let pinned = match lock {
        Some(lock) => {
            if args.locked {
                lock.holds_for(loaded)?;
            }
            let names: Vec<String> = args.update.iter().filter(|name| !name.is_empty()).cloned().collect();
            let moving = match args.update.is_empty() {
                true => None,
                // `--update` by itself stands for all.
                false if names.len() < args.update.len() => Some(&[][..]),
                false => Some(&names[..]),
            };
            lock.pins(moving)?
        }
        None if args.locked => {
            return Err(Failure::input(format!("there is no lock `{}`", file.display()))
                .hint(Some("build once without `--locked`, and keep the lock with the spec".to_owned())));
        }
        None => BTreeMap::new(),
    };
    Ok(Pins::new(pinned, args.locked, bundles, &loaded.spec.mirrors))
}

/// Writes what is left beside the outputs.
fn leave(out: &Path, document: &Document<'_>, built: &Built) -> Result<(), Failure> {
    fsio::create_dir(out).map_err(written)?;
    let mut text = serde_json::to_vec_pretty(document).unwrap_or_default();
    text.push(b'\n');
    let mut files: Vec<(PathBuf, Vec<u8>)> = vec![(out.join(RESULT), text)];
    match patch(built) {
        Some(text) => files.push((out.join(PATCH), text.into_bytes())),
        // That of an earlier build would load what is not there any more.
        None => fsio::remove(&out.join(PATCH)),
    }
    for (path, bytes) in files {
        fsio::write_lightly(&path, &bytes).map_err(written)?;
    }
    Ok(())
}

fn written(error: fsio::FileError) -> Failure {
    Failure::output(crate::base::chain(&error))
}

/// The commands of the guide's end, filled in.
fn say_next(built: &Built, out: &Path, printer: &Printer) {
    let lines = next(built, out);
    if !lines.is_empty() && !printer.is_json() {
        printer
            .hint(&format!("next:\n{}", lines.iter().map(|line| format!("  {line}\n")).collect::<String>()));
    }
}
