//! A package and those that it depends on, built: what bldr gives to BuildKit, done in memory.
//!
//! Order and meaning are bldr's (internal/pkg/convert in siderolabs/bldr): dependencies, `/pkg`, steps in
//! `/tmp/build`, `finalize`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::classify::{Obstacle, Verdict, classify, line_of, lists};
use super::sources;
use super::tree::{PackageTree, wrong};
use crate::archive::tree::{self, Entry, Kind, Tree};
use crate::base::fsio::{Draft, FileError};
use crate::base::{Content, Digest, Epoch, chain, locked};
use crate::bldr::buildkit::{Options, Request, client};
use crate::bldr::pkgfile::{Build, Dependency, Located, Origin, PKG_YAML, PKGFILE, Source};
use crate::bldr::sbom::spdx;
use crate::bldr::steps::{Environment, Keep, Program, Root, Shell, StepError, TestStep, run, test_step};
use crate::image::Platform;
use crate::plan::error::{Error, Problem};
use crate::plan::extension::take;
use crate::plan::kernel::bundle::solved;
use crate::plan::kernel::sources::Sources;
use crate::plan::run::{Context, Plan};
use crate::plan::tree_input::TreeInput;
use crate::talos::Architecture;

/// Where instructions run.
const WORK: &str = "/tmp/build";
/// Where the package's own files are.
const FILES: &str = "/pkg";
/// The mode of a file that BuildKit has fetched.
const SOURCE_MODE: u32 = 0o600;
/// Obstacles that are shown; the others are counted.
const SHOWN: usize = 8;

/// A package that was built.
#[derive(Debug)]
pub struct Built {
    /// Its files.
    pub files: TreeInput,
    /// When the newest image that was used was made.
    pub newest: Option<Epoch>,
    /// What its steps said, and which of its tests were not run.
    pub notes: Vec<String>,
    /// Files out of archives are here as long as this is.
    _kept: Arc<Kept>,
}

/// Whom packages are given to that are not built natively: BuildKit.
#[derive(Debug, Clone)]
pub struct Delegate {
    /// What is passed on to its client, build arguments included.
    pub options: Options,
    /// The variables that the client sees.
    pub environment: client::Environment,
}

/// Builds packages of a tree for one platform. What several need is made once.
pub struct Builder<'a> {
    context: &'a Context,
    tree: &'a PackageTree,
    platform: &'a Platform,
    verdicts: BTreeMap<String, Verdict>,
    built: BTreeMap<String, Arc<Built>>,
    images: BTreeMap<ImageKey, Arc<(TreeInput, Option<Epoch>)>>,
    sources: BTreeMap<String, Content>,
    kept: Arc<Kept>,
    delegate: Option<&'a Delegate>,
    epoch: Epoch,
}

/// An image as a dependency names it: reference, platform, and what of it.
type ImageKey = (String, String, String);

impl<'a> Builder<'a> {
    /// Nothing is built yet.
    pub fn new(
        context: &'a Context,
        tree: &'a PackageTree,
        platform: &'a Platform,
        delegate: Option<&'a Delegate>,
        epoch: Epoch,
    ) -> Result<Self, Error> {
        Ok(Self {
            context,
            tree,
            platform,
            verdicts: classify(&tree.packages),
            built: BTreeMap::new(),
            images: BTreeMap::new(),
            sources: BTreeMap::new(),
            kept: Arc::new(Kept::new(context)?),
            delegate,
            epoch,
        })
    }

    /// Builds a package.
    pub fn build(&mut self, name: &str) -> Result<Arc<Built>, Error> {
        let packages = &self.tree.packages;
        packages.get(name).map_err(|error| wrong(&self.tree.root, &error))?;
        match (self.verdicts.get(name), self.delegate) {
            (Some(Verdict::Delegated(_)), Some(delegate)) => return self.delegated(name, delegate),
            (Some(verdict @ (Verdict::Delegated(_) | Verdict::Unsupported(_))), _) => {
                return Err(refused(name, verdict).into());
            }
            (Some(Verdict::Native) | None, _) => {}
        }
        let needed = self.closure(name)?;
        self.fetch(&needed)?;
        for name in needed {
            if !self.built.contains_key(name) {
                let built =
                    self.one(packages.get(name).map_err(|error| wrong(&self.tree.root, &error))?, name)?;
                self.built.insert(name.to_owned(), Arc::new(built));
            }
        }
        let built = self.built.get(name).map(Arc::clone);
        built.ok_or_else(|| Error::Internal("a package that was built".to_owned()))
    }

    /// Has BuildKit build a package, as bldr's own users do.
    fn delegated(&self, name: &str, delegate: &Delegate) -> Result<Arc<Built>, Error> {
        if !self.tree.root.join(PKGFILE).is_file() {
            return Err(Problem::new(format!("package `{name}` cannot be given to BuildKit"))
                .detail(format!(
                    "`{}` has no `{PKGFILE}`, which names bldr's frontend",
                    self.tree.root.display()
                ))
                .into());
        }
        let client = client::Client::reach(&delegate.options, &delegate.environment)?;
        let sources = Sources::of_tree(&self.tree.root, name)?;
        let folder = self.context.store.temp_folder()?;
        sources.write(folder.path(), None)?;
        let request = Request {
            context: &self.tree.root,
            folder: folder.path(),
            file: &sources.file,
            target: name,
            platform: self.platform,
            options: &delegate.options,
        };
        let mut files = solved(self.context, &client, &request, &delegate.environment)?;
        owned_by_root(&mut files.tree);
        Ok(Arc::new(Built { files, newest: None, notes: Vec::new(), _kept: Arc::clone(&self.kept) }))
    }

    fn dependencies(&self, name: &str) -> Result<Vec<&'a Dependency>, Error> {
        self.tree.packages.dependencies(name).map_err(|error| wrong(&self.tree.root, &error))
    }

    /// A package and all that it depends on, each behind what it needs itself.
    fn closure(&self, name: &str) -> Result<Vec<&'a str>, Error> {
        let mut wanted = BTreeSet::from([name.to_owned()]);
        let mut waiting = vec![name.to_owned()];
        while let Some(next) = waiting.pop() {
            for dependency in self.dependencies(&next)? {
                if let Origin::Stage(stage) = &dependency.origin
                    && wanted.insert(stage.clone())
                {
                    waiting.push(stage.clone());
                }
            }
        }
        Ok(self.tree.packages.order().filter(|name| wanted.contains(*name)).collect())
    }

    /// Gets all images and sources of these packages, side by side.
    fn fetch(&mut self, names: &[&str]) -> Result<(), Error> {
        let mut images: BTreeSet<ImageKey> = BTreeSet::new();
        let mut wanted: BTreeMap<String, (&Source, String)> = BTreeMap::new();
        for name in names {
            for dependency in self.dependencies(name)? {
                if let Some(key) = self.image_key(dependency).filter(|key| !self.images.contains_key(key)) {
                    images.insert(key);
                }
            }
            let located = self.tree.packages.get(name).map_err(|error| wrong(&self.tree.root, &error))?;
            for source in located.package.steps.iter().flat_map(|step| &step.sources) {
                if !self.sources.contains_key(&source.sha512) {
                    wanted.entry(source.sha512.clone()).or_insert_with(|| (source, located.file()));
                }
            }
        }
        let mut plan = Plan::new();
        let steps: Vec<_> = wanted
            .iter()
            .map(|(key, (source, file))| {
                (key, *source, sources::add(&mut plan, source, file, &self.tree.root))
            })
            .collect();
        let images: Vec<ImageKey> = images.into_iter().collect();
        let taken = Mutex::new(BTreeMap::new());
        let get = |key: &ImageKey| -> Result<(), Error> {
            let (image, platform, from) = key;
            let platform = if platform.is_empty() { self.platform.clone() } else { platform_of(platform)? };
            let got = take(self.context, image, &platform, from)?;
            locked(&taken).insert(key.clone(), Arc::new(got));
            Ok(())
        };
        let outputs = std::thread::scope(|scope| {
            let plan = scope.spawn(|| plan.run(self.context));
            crate::base::workers::each(self.context.workers.jobs().max(2), &images, get)?;
            plan.join().unwrap_or_else(|_| Err(Error::Internal("a thread has failed".to_owned())))
        })?;
        for (key, source, step) in steps {
            let content = sources::content(self.context, source, step.outputs(&outputs)?)?;
            self.sources.insert(key.clone(), content);
        }
        drop(plan);
        self.images.extend(taken.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn image_key(&self, dependency: &Dependency) -> Option<ImageKey> {
        let Origin::Image(image) = &dependency.origin else { return None };
        let platform = dependency.platform.clone().unwrap_or_default();
        Some((reference_of(image), platform, normal(&dependency.from)))
    }

    /// Builds a package whose dependencies are there.
    fn one(&self, located: &Located, name: &str) -> Result<Built, Error> {
        let file = self.tree.root.join(located.file()).display().to_string();
        let activity = self.context.events.begin("package", format!("{name} {}", self.platform), None);
        let mut root = Root::new();
        let mut digests = Digests::default();
        let mut newest = None;
        for dependency in self.dependencies(name)? {
            let (input, created, origin) = self.origin(dependency)?;
            newest = newest.max(created);
            digests.learn(input);
            copy_into(&mut root, &input.tree, &dependency.from, &dependency.to).map_err(|why| {
                Problem::new(format!("`{}` of {origin} cannot be taken", dependency.from))
                    .detail(why)
                    .detail(format!("asked for in `{file}`, line {}", dependency.line))
            })?;
        }
        let files = located.files(&self.tree.files.tree).map_err(|error| wrong(&self.tree.root, &error))?;
        root.merge(&files, FILES).map_err(|source| Error::Tree { origin: file.clone(), source })?;
        let mut notes = Vec::new();
        let architecture = Architecture::parse(&self.platform.architecture).unwrap_or(Architecture::Amd64);
        // What a step adds is there in those behind it.
        let mut environment = Build::new(architecture).environment();
        environment.set("PKG_NAME", name);
        for (number, step) in located.package.steps.iter().enumerate() {
            for source in &step.sources {
                let content = self.sources.get(&source.sha512);
                let content =
                    content.ok_or_else(|| Error::Internal("a source was not fetched".to_owned()))?;
                place(&mut root, &format!("{WORK}/{}", normal(&source.destination)), SOURCE_MODE, content)
                    .map_err(|source| Error::Tree { origin: file.clone(), source })?;
            }
            environment.extend(&step.env);
            let variables = environment.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let environment = Environment {
                shell: Shell::of(&located.package.shell),
                variables: variables.collect(),
                directory: WORK.to_owned(),
                mtime: 0,
                machine: architecture.machine().to_owned(),
                keep: &*self.kept,
                workers: self.context.workers.clone(),
            };
            for (list, instructions) in lists(step) {
                for instruction in instructions {
                    let program = Program::parse(&instruction.text)
                        .map_err(|error| Problem::new(format!("`{file}`: {error}")))?;
                    let output = run(&mut root, &program, &environment).map_err(|error| {
                        failed(&error, &file, &format!("steps[{number}].{list}"), |line| {
                            line_of(instruction, line)
                        })
                    })?;
                    notes.extend(output.said.into_iter().map(|said| format!("{name}: {}", said.text)));
                }
            }
            if let Some(sbom) = &step.sbom {
                let text = Content::memory(spdx(&located.package, sbom, self.epoch).into_bytes());
                place(&mut root, &sbom.output_path, 0o644, &text)
                    .map_err(|source| Error::Tree { origin: file.clone(), source })?;
            }
            for instruction in &step.test {
                for told in test_step(&instruction.text).unwrap_or_default() {
                    if let TestStep::NotRun { command, .. } = told {
                        notes.push(format!("{name}: the test `{command}` is not run"));
                    }
                }
            }
        }
        let mut result = Root::new();
        let tree = root.to_tree().map_err(|source| Error::Tree { origin: file.clone(), source })?;
        for copied in &located.package.finalize {
            copy_into(&mut result, &tree, &copied.from, &copied.to).map_err(|why| {
                Problem::new(format!("`finalize` of package `{name}` cannot take `{}`", copied.from))
                    .detail(why)
                    .detail(format!("in `{file}`"))
                    .hint("the steps made no such path")
            })?;
        }
        let mut tree = result.to_tree().map_err(|source| Error::Tree { origin: file.clone(), source })?;
        owned_by_root(&mut tree);
        let known = digests.of(&tree);
        activity.finish(crate::base::units::count(known.len(), "known file"));
        Ok(Built { files: TreeInput::of(tree, known), newest, notes, _kept: Arc::clone(&self.kept) })
    }

    /// What a dependency is, when it was made, and what it is called.
    fn origin(&self, dependency: &Dependency) -> Result<(&TreeInput, Option<Epoch>, String), Error> {
        let missing = || Error::Internal("a dependency that was fetched".to_owned());
        match &dependency.origin {
            Origin::Stage(stage) => {
                let built = self.built.get(stage).ok_or_else(missing)?;
                Ok((&built.files, built.newest, format!("package `{stage}`")))
            }
            Origin::Image(image) => {
                let key = self.image_key(dependency).ok_or_else(missing)?;
                let taken = self.images.get(&key).ok_or_else(missing)?;
                Ok((&taken.0, taken.1, format!("image `{image}`")))
            }
        }
    }
}

/// What `finalize` does to all that it takes.
fn owned_by_root(tree: &mut Tree) {
    let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_owned()).collect();
    for path in &paths {
        if let Some(entry) = tree.get_mut(path) {
            (entry.uid, entry.gid, entry.mtime) = (0, 0, 0);
        }
    }
}

/// Digests of contents that are known already: what is copied need not be hashed again.
#[derive(Default)]
struct Digests(HashMap<(PathBuf, u64, u64), Digest>);

impl Digests {
    fn key(content: &Content) -> Option<(PathBuf, u64, u64)> {
        match content {
            Content::Range { path, offset, len } => Some((path.to_path_buf(), *offset, *len)),
            _ => None,
        }
    }

    fn learn(&mut self, input: &TreeInput) {
        for (path, digest) in &input.digests {
            let key = input.tree.get(path).and_then(Entry::content).and_then(Self::key);
            self.0.extend(key.map(|key| (key, *digest)));
        }
    }

    fn of(&self, tree: &Tree) -> BTreeMap<String, Digest> {
        let known = |(path, entry): (&str, &Entry)| {
            let digest = self.0.get(&Self::key(entry.content()?)?)?;
            Some((path.to_owned(), *digest))
        };
        tree.iter().filter_map(known).collect()
    }
}

/// Copies as bldr does (`llb.Copy` of a folder's contents): all of `tree` where `from` is `/`, the contents of a
/// folder into `to`, a file into the folder `to` or as it.
fn copy_into(root: &mut Root, tree: &Tree, from: &str, to: &str) -> Result<(), String> {
    let from = normal(from);
    let merged = |root: &mut Root, part: &Tree, at: &str| root.merge(part, at).map_err(|error| chain(&error));
    if from.is_empty() {
        return merged(root, tree, to);
    }
    let entry = tree.get(&from).ok_or("there is no such path")?;
    let mut part = Tree::new();
    if entry.is_directory() {
        for (path, entry) in tree.inside(&from) {
            part.replace(path, entry.clone()).map_err(|error| chain(&error))?;
        }
        return merged(root, &part, to);
    }
    // A file goes into a folder that is there, or takes the name.
    let into_folder = to.ends_with('/') || root.entry(to).is_some_and(|entry| entry.is_directory());
    let (folder, name) = match into_folder {
        true => (to, tree::file_name(&from)),
        false => (tree::parent(to).unwrap_or("/"), tree::file_name(to)),
    };
    let entry = match &entry.kind {
        // Its file may lie elsewhere, and then goes along.
        Kind::HardLink(target) => tree.get(target).cloned().ok_or("a hard link leads nowhere")?,
        _ => entry.clone(),
    };
    part.insert(name, entry).map_err(|error| chain(&error))?;
    merged(root, &part, folder)
}

fn place(root: &mut Root, path: &str, mode: u32, content: &Content) -> Result<(), crate::archive::TreeError> {
    let mut part = Tree::new();
    part.insert(tree::file_name(path), Entry::file(mode, content.clone()))?;
    root.merge(&part, tree::parent(path).unwrap_or("/"))
}

/// A path as trees have it: without slashes at its ends.
fn normal(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

/// The reference of an image as package files name it: one of docker's, or one of ours.
fn reference_of(image: &str) -> String {
    let ours = ["docker://", "oci:", "oci-archive:", "docker-archive:", "dir:"];
    if ours.iter().any(|transport| image.starts_with(transport)) {
        return image.to_owned();
    }
    // Docker's own registry is meant where the first part is no host.
    let host = image.split_once('/').map(|(host, _)| host).unwrap_or_default();
    if host == "localhost" || host.contains(['.', ':']) {
        return format!("docker://{image}");
    }
    let library = if host.is_empty() { "library/" } else { "" };
    format!("docker://docker.io/{library}{image}")
}

fn platform_of(text: &str) -> Result<Platform, Error> {
    text.parse().map_err(|_| Problem::new(format!("`{text}` is no platform")).into())
}

/// Why a package is not built here.
fn refused(name: &str, verdict: &Verdict) -> Problem {
    let unsupported = matches!(verdict, Verdict::Unsupported(_));
    let what = if unsupported { "cannot be built" } else { "is not built natively" };
    let mut problem = Problem::new(format!("package `{name}` {what}"));
    let obstacles = verdict.obstacles();
    for Obstacle { file, line, word, why } in obstacles.iter().take(SHOWN) {
        let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
        let word = if word.is_empty() { String::new() } else { format!("`{word}` ") };
        problem = problem.detail(format!("`{file}`{line}: {word}{why}"));
    }
    if let Some(more) = obstacles.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        problem = problem.detail(format!("and {more} more"));
    }
    if unsupported { problem } else { problem.hint("`--delegate` lets BuildKit build it") }
}

/// The error of an instruction.
fn failed(error: &StepError, file: &str, place: &str, line: impl Fn(u32) -> usize) -> Error {
    let mut problem = Problem::new(format!("{place} of `{file}` failed"));
    let at = match error {
        StepError::Failed { at, .. } | StepError::Limit { at, .. } | StepError::Content { at, .. } => *at,
        StepError::Unsupported(unsupported) => unsupported.at,
    };
    problem = problem.detail(chain(error)).detail(format!("`{PKG_YAML}`, line {}", line(at.line)));
    if let StepError::Failed { output, .. } = error {
        problem.details.extend(output.said.iter().map(|said| said.text.clone()));
    }
    if matches!(error, StepError::Unsupported(_)) {
        problem = problem.hint("`--delegate` lets BuildKit build it");
    }
    problem.into()
}

/// Files out of archives, one behind another in a draft.
#[derive(Debug)]
struct Kept(Mutex<(Draft, u64)>);

impl Kept {
    fn new(context: &Context) -> Result<Self, FileError> {
        Ok(Self(Mutex::new((context.store.draft()?, 0))))
    }
}

impl Keep for Kept {
    fn keep(&self, data: &mut dyn Read, len: u64) -> io::Result<Content> {
        let mut kept = locked(&self.0);
        let (draft, end) = &mut *kept;
        let written = io::copy(&mut data.take(len), draft.file())?;
        let content = Content::range(draft.path(), *end, written);
        *end += written;
        Ok(content)
    }
}
