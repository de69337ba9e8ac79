//! The solve: its tar is streamed into the store, and split into the kernel's tree and each package's.

use std::collections::BTreeMap;
use std::io::Read;

use super::sources::Sources;
use super::spec::{EPOCH_ARGUMENT, KernelSpec, epoch};
use crate::archive::tar::{Contents, Reader, TarError, read_tree};
use crate::base::Activity;
use crate::bldr::buildkit::target::{KERNEL, PACKAGES};
use crate::bldr::buildkit::{Client, Environment, Options, Request, SolveError, solve};
use crate::image::Platform;
use crate::plan::error::{Error, Problem};
use crate::plan::flatten::{self, packed_tree};
use crate::plan::run::{Context, Plan};
use crate::plan::step::{Outputs, Step};
use crate::plan::tree_input::TreeInput;

/// What one solve gave for one platform. Nothing of it is verified yet.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) platform: Platform,
    /// The kernel's files.
    pub(super) kernel: TreeInput,
    /// Each package's files, by the name of its stage.
    pub(super) packages: Vec<(String, TreeInput)>,
}

/// What a solve may take from the daemon's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cache {
    /// Everything that is in it.
    Whole,
    /// What was built under this mark, if the frontend knows marks.
    Marked(String),
    /// Nothing.
    Nothing,
}

/// The options of the client for a solve.
pub(super) fn options(spec: &KernelSpec, cache: &Cache) -> Options {
    let mut options = spec.options.clone();
    options.no_cache = *cache == Cache::Nothing;
    options.build_args.retain(|(key, _)| key != EPOCH_ARGUMENT);
    options.build_args.push((EPOCH_ARGUMENT.to_owned(), epoch(spec).seconds().to_string()));
    options
}

/// Builds everything that is wanted for one platform.
pub(super) fn build(
    spec: &KernelSpec,
    context: &Context,
    client: &Client,
    sources: &Sources,
    platform: &Platform,
    cache: &Cache,
) -> Result<Bundle, Error> {
    let folder = context.store.temp_folder()?;
    let own = folder.path().file_name().and_then(|name| name.to_str());
    let mark = match cache {
        Cache::Whole => None,
        Cache::Marked(mark) => Some(mark.as_str()),
        Cache::Nothing => own, // nobody else's
    };
    sources.write(folder.path(), mark)?;
    let options = options(spec, cache);
    let request = Request {
        context: &spec.context,
        folder: folder.path(),
        file: &sources.file,
        target: &sources.target,
        platform,
        options: &options,
    };
    let whole = solved(context, client, &request, &spec.environment)?;
    split(spec, platform, &whole)
}

/// The files of a request's target, streamed into the store.
pub(in crate::plan) fn solved(
    context: &Context,
    client: &Client,
    request: &Request<'_>,
    environment: &Environment,
) -> Result<TreeInput, Error> {
    let mut plan = Plan::new();
    let run = |context: &Context, progress: &Activity, _: &[&Outputs]| {
        packed_tree(context, |sink| {
            let read = |reader: &mut dyn Read| -> Result<TreeInput, TarError> {
                let mut reader = Reader::new(Counted { reader, progress });
                let unpacked = read_tree(&mut reader, &|_| true, &mut Contents::streamed(sink))?;
                // To its very end: the client waits for somebody to take the padding, too.
                reader
                    .finish()
                    .and_then(|mut rest| std::io::copy(&mut rest, &mut std::io::sink()))
                    .map_err(read_error)?;
                Ok(TreeInput::of(unpacked.tree, BTreeMap::new()))
            };
            solve(client, request, environment, progress.events(), read).map_err(|error| match error {
                SolveError::BuildKit(error) => error.into(),
                SolveError::Reader(source) => Error::Tar { file: client.program().to_owned(), source },
            })
        })
    };
    // What a solve gives depends on the daemon's cache and on the network: it is asked each time.
    let solved = plan.add(Step::new("solve", 1, request.platform.to_string(), run).always());
    let outputs = plan.run(context)?;
    flatten::tree(context, solved.outputs(&outputs)?, "what BuildKit has built")
}

fn split(spec: &KernelSpec, platform: &Platform, whole: &TreeInput) -> Result<Bundle, Error> {
    let part = |stage: &str, folder: &str| {
        let part = whole.below(folder)?;
        match part.tree.is_empty() {
            true => Err(Error::from(Problem::new(format!("stage `{stage}` gives no files for {platform}")))),
            false => Ok(part),
        }
    };
    let package = |name: &String| Ok((name.clone(), part(name, &format!("{PACKAGES}/{name}"))?));
    Ok(Bundle {
        platform: platform.clone(),
        kernel: part(spec.wanted.kernel(), KERNEL)?,
        packages: spec.wanted.packages().iter().map(package).collect::<Result<_, Error>>()?,
    })
}

fn read_error(source: std::io::Error) -> TarError {
    TarError::Read { offset: 0, source }
}

/// Tells of what is read through it.
struct Counted<'a> {
    reader: &'a mut dyn Read,
    progress: &'a Activity,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}
