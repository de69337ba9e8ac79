//! All of it, in order: solve, verify, and only then assemble.

use super::bundle::{self, Cache};
use super::judge::judge;
use super::sources::Sources;
use super::spec::{BuiltKernel, Explained, GENERATED, KernelSpec, NamedImage, epoch, labels, output_for};
use super::verify::{Outcome, Verified, verify};
use crate::bldr::buildkit::target::KERNEL;
use crate::bldr::buildkit::{BuildKitError, Client, Request};
use crate::check::Report;
use crate::image::Platform;
use crate::plan::assemble::{self, ImageOptions, LayerOptions};
use crate::plan::error::{Error, Problem};
use crate::plan::outputs::{Sets, nowhere_else};
use crate::plan::run::{Context, Plan};
use crate::plan::tree_input::TreeInput;

/// Says what would be done: no daemon is asked.
pub fn explain(spec: &KernelSpec) -> Result<Explained, Error> {
    let sources = Sources::read(spec)?;
    let client = match Client::all(&spec.options, &spec.environment) {
        Ok(clients) => clients.into_iter().next(),
        Err(BuildKitError::NoClient) => None,
        Err(error) => return Err(error.into()),
    };
    // By its bare name, as a shell finds it.
    let client = match client {
        Some(Client::Buildx(_)) => Client::Buildx("docker".into()),
        _ => Client::Buildctl("buildctl".into()),
    };
    let cache = first(spec);
    let options = bundle::options(spec, &cache);
    let command = |platform: &Platform| {
        let request = Request {
            context: &spec.context,
            folder: GENERATED.as_ref(),
            file: &sources.file,
            target: &sources.target,
            platform,
            options: &options,
        };
        request.shown(&client)
    };
    Ok(Explained {
        commands: spec.platforms.iter().map(command).collect(),
        copied: sources.copied.iter().map(|(path, _)| path.clone()).collect(),
        generated: sources.generated.clone(),
        marks: if cache == Cache::Nothing { sources.marks.clone() } else { Vec::new() },
    })
}

/// Builds the kernel and the packages, and writes an image of each to every output.
pub fn build(spec: &KernelSpec, context: &Context) -> Result<BuiltKernel, Error> {
    let sources = Sources::read(spec)?;
    let names: Vec<&str> =
        std::iter::once(KERNEL).chain(spec.wanted.packages().iter().map(String::as_str)).collect();
    // Before anything expensive: where to.
    for (output, name) in spec.outputs.iter().flat_map(|output| names.iter().map(move |name| (output, name)))
    {
        output_for(output, name)?;
    }
    let client = Client::reach(&spec.options, &spec.environment)?;
    context.events.detail(format!("building by {} (`{}`)", client.name(), client.program().display()));
    let (mut verified, mut report) = (Vec::new(), Report::default());
    for platform in &spec.platforms {
        let one = solve(spec, context, &client, &sources, platform)?;
        report = report.and(judge(&one, context)?);
        verified.push(one);
    }
    if report.has_errors(&spec.allow) {
        return Err(Error::Findings(Box::new(report)));
    }
    let images = assemble(spec, context, &verified, &names)?;
    Ok(BuiltKernel { images, kernels: verified.into_iter().map(|one| one.facts).collect(), report })
}

/// What the first solve may take from the cache.
fn first(spec: &KernelSpec) -> Cache {
    if spec.options.no_cache { Cache::Nothing } else { Cache::Whole }
}

/// One platform: a solve that is verified, and where only the keys differ, one more that takes nothing of the kernel
/// from the cache.
fn solve(
    spec: &KernelSpec,
    context: &Context,
    client: &Client,
    sources: &Sources,
    platform: &Platform,
) -> Result<Verified, Error> {
    let attempt = |cache: &Cache| {
        let bundle = bundle::build(spec, context, client, sources, platform, cache)?;
        verify(bundle, spec.wanted.kernel(), context)
    };
    let (cache, bldr) = (first(spec), !sources.marks.is_empty());
    let mismatch = match attempt(&cache)? {
        Outcome::Verified(verified) => return Ok(*verified),
        Outcome::OtherKey(mismatch) => mismatch,
    };
    if cache == Cache::Nothing || spec.no_retry {
        return Err(mismatch.error(&cache, bldr));
    }
    // By a mark of this mismatch's own: where the same has been healed before, that build is in the cache.
    let (cache, how) = match bldr {
        true => (Cache::Marked(mismatch.mark()), "under a mark of its own in the cache"),
        false => (Cache::Nothing, "without the cache"),
    };
    context.events.warn(
        mismatch.summary(),
        Some(format!("all of it is built once more {how}; `--no-retry` ends here instead")),
    );
    match attempt(&cache)? {
        Outcome::Verified(verified) => Ok(*verified),
        Outcome::OtherKey(mismatch) => Err(mismatch.error(&cache, bldr)),
    }
}

/// An image of each name for every platform, and an index over several.
fn assemble(
    spec: &KernelSpec,
    context: &Context,
    verified: &[Verified],
    names: &[&str],
) -> Result<Vec<NamedImage>, Error> {
    let epoch = epoch(spec);
    let layers = LayerOptions { compression: spec.compression, format: spec.format, epoch };
    let release = release(verified)?;
    let options: Vec<ImageOptions> = names
        .iter()
        .map(|name| ImageOptions {
            format: spec.format,
            epoch,
            labels: labels(name, release),
            annotations: labels(name, release),
        })
        .collect();
    let mut plan = Plan::new();
    let mut planned = Vec::new();
    for (name, options) in names.iter().zip(&options) {
        let mut images = Vec::new();
        for one in verified {
            let platform = &one.bundle.platform;
            let layer =
                assemble::layer(&mut plan, tree(one, name)?, "", format!("{name} {platform}"), layers);
            images.push((
                assemble::image(&mut plan, platform, &[(layer, "talosmith: kernel")], options),
                platform,
            ));
        }
        let index = (images.len() > 1).then(|| assemble::index(&mut plan, &images, options));
        planned.push((images, index));
    }
    let outputs = plan.run(context)?;
    let mut named = Vec::new();
    for (name, (images, index)) in names.iter().zip(planned) {
        let sets = Sets::collect(context, &outputs, &images, index)?;
        let targets =
            spec.outputs.iter().map(|output| output_for(output, name)).collect::<Result<Vec<_>, _>>()?;
        let written = sets.write(context, &targets, &nowhere_else(context), None)?;
        named.push(NamedImage { name: (*name).to_owned(), written });
    }
    Ok(named)
}

/// The files of one image.
fn tree<'v>(one: &'v Verified, name: &str) -> Result<&'v TreeInput, Error> {
    if name == KERNEL {
        return Ok(&one.bundle.kernel);
    }
    let package = one.bundle.packages.iter().find(|(package, _)| package == name);
    package.map(|(_, tree)| tree).ok_or_else(|| Error::Internal(format!("package `{name}` was not built")))
}

/// The release, which is the same on every platform.
fn release(verified: &[Verified]) -> Result<&str, Error> {
    let mut releases = verified.iter().map(|one| (&one.facts.release, &one.facts.platform));
    let first = releases.next().ok_or_else(|| Error::Internal("no platform was built".to_owned()))?;
    match releases.find(|other| other.0 != first.0) {
        None => Ok(first.0),
        Some(other) => Err(Problem::new("the platforms have different kernels")
            .detail(format!("{}: `{}`", first.1, first.0))
            .detail(format!("{}: `{}`", other.1, other.0))
            .hint("build them one by one: `--platform linux/amd64`, with an output of its own each")
            .into()),
    }
}
