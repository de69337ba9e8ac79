//! The kernels that take the place of the stock ones, each known by its own bytes.

use super::super::check::wrong_kind;
use super::super::error::{Error, Problem};
use super::super::extension::parse;
use super::super::flatten;
use super::super::kernel_facts::{self, KernelFacts};
use super::super::one_image::{OneImage, images_of};
use super::super::run::Context;
use super::super::stat_cache::StatCache;
use super::super::tree_input::TreeInput;
use crate::archive::Tree;
use crate::base::fsio::At as _;
use crate::base::{Epoch, chain};
use crate::check::{self, Finding};
use crate::image::{Media, Reference};
use crate::kmod::depmod::{KernelSymbols, Options, Search, depmod};
use crate::talos::Architecture;
use crate::talos::custom_imager::kernel::VMLINUZ;
use crate::talos::custom_imager::{KernelFiles, KernelFilesError};
use crate::talos::kind::Kind;

/// A kernel image's files.
#[derive(Debug)]
pub struct KernelInput {
    /// Where it came from, for messages.
    pub reference: String,
    /// Its root file system.
    pub files: TreeInput,
    /// What the kernel runs on.
    pub architecture: Architecture,
    /// What the kernel says of itself.
    pub kernel: KernelFacts,
    /// What it exports, if its tables were found.
    pub symbols: Option<KernelSymbols>,
    /// When the image says that it was made.
    pub created: Option<Epoch>,
}

impl KernelInput {
    /// Reads the kernels that `references` name: images, indexes of them, and plain trees. Of an index, what
    /// is for none of `wanted` is left alone.
    pub fn all(
        context: &Context,
        references: &[String],
        wanted: &[Architecture],
        cache: &StatCache,
    ) -> Result<Vec<Self>, Error> {
        let mut kernels: Vec<Self> = Vec::new();
        for reference in references {
            for kernel in Self::of(context, reference, wanted, cache)? {
                if !wanted.contains(&kernel.architecture) {
                    return Err(other_architecture(&kernel, wanted).into());
                }
                if let Some(first) = kernels.iter().find(|other| other.architecture == kernel.architecture) {
                    let problem = Problem::new(format!("there are two kernels for {}", kernel.architecture));
                    let problem =
                        problem.detail(format!("`{}` of `{}`", first.kernel.release, first.reference));
                    return Err(problem
                        .detail(format!("`{}` of `{reference}`", kernel.kernel.release))
                        .into());
                }
                kernels.push(kernel);
            }
        }
        Ok(kernels)
    }

    fn of(
        context: &Context,
        reference: &str,
        wanted: &[Architecture],
        cache: &StatCache,
    ) -> Result<Vec<Self>, Error> {
        let parsed = parse(reference)?;
        if let Reference::Directory(folder) = &parsed {
            let mut files = TreeInput::default();
            files.add_directory(folder, "")?;
            files.hash(context, cache)?;
            return Ok(vec![Self::read(context, reference, files, &[], None)?]);
        }
        let image = Media::from(context).open(&parsed)?;
        let documents = images_of(&image)?;
        let several = documents.len() > 1;
        let mut kernels = Vec::new();
        for document in documents {
            let one = OneImage::read(&image, document)?;
            let platform = one.document.descriptor.platform.clone().or_else(|| one.config.platform());
            let own = platform.as_ref().and_then(|platform| Architecture::parse(&platform.architecture));
            if several && !own.is_some_and(|own| wanted.contains(&own)) {
                continue;
            }
            let (mut files, created) = (flatten::below(context, &one, "")?, one.created());
            files.hash(context, cache)?;
            let entrypoint = one.config.entrypoint();
            let kernel = Self::read(context, reference, files, entrypoint, created)?;
            // What an image of one platform says of itself may be the builder's: the kernel counts. In an
            // index it is what is looked at.
            if several && own != Some(kernel.architecture) {
                let said = own.map_or("nothing", Architecture::go);
                let found = kernel.architecture;
                return Err(Problem::new(format!("`{reference}` contradicts itself"))
                    .detail(format!("its image for {said} has a kernel for {found}"))
                    .into());
            }
            kernels.push(kernel);
        }
        if kernels.is_empty() {
            let names = names(wanted);
            return Err(Problem::new(format!("`{reference}` has no kernel for {names}")).into());
        }
        Ok(kernels)
    }

    /// Reads the kernel image that these files are.
    pub fn of_files(context: &Context, reference: &str, files: TreeInput) -> Result<Self, Error> {
        Self::read(context, reference, files, &[], None)
    }

    /// What is wrong with its own modules.
    pub fn judge(&self, context: &Context) -> Result<Vec<Finding>, Error> {
        let files = KernelFiles::of(&self.files.tree)
            .map_err(|error| Error::Internal(format!("a kernel that was looked at: {error}")))?;
        let mut findings = self.kernel.judge_own(context, &self.files.tree, &files.folder)?;
        let folder = files.folder;
        let (search, workers) = (Search::kmod(), &context.workers);
        let mut tree = Tree::new();
        for (path, entry) in self.files.tree.inside(&folder) {
            tree.insert(path, entry.clone())
                .map_err(|source| Error::Tree { origin: self.reference.clone(), source })?;
        }
        let made =
            depmod(&tree, &Options { search, kernel: self.symbols.as_ref(), of_kernel: None, workers })
                .map_err(|error| Problem::new(chain(&error)))?;
        let report = check::depmod::report(&made.issues);
        findings.extend(report.findings().iter().map(|finding| finding.clone().within(&folder)));
        Ok(findings)
    }

    fn read(
        context: &Context,
        reference: &str,
        files: TreeInput,
        entrypoint: &[String],
        created: Option<Epoch>,
    ) -> Result<Self, Error> {
        let found = KernelFiles::of(&files.tree).map_err(|error| match error {
            KernelFilesError::Missing(_) => {
                let paths: Vec<&str> = files.tree.iter().map(|(path, _)| path).collect();
                let kind = Kind::of(entrypoint, &paths);
                wrong_kind(reference, kind, Kind::Kernel, "`--kernel`").detail(error.to_string())
            }
            _ => {
                Problem::new(format!("kernel image `{reference}` is not complete")).detail(error.to_string())
            }
        })?;
        if !found.module_paths().any(|path| path.contains(".ko")) {
            return Err(Problem::new(format!("kernel image `{reference}` has no modules"))
                .detail(format!("there is none in `/{}`", found.folder))
                .hint("take the image of the kernel package with its modules, not the kernel alone")
                .into());
        }
        let origin = format!("`/{VMLINUZ}` of `{reference}`");
        let digest = found.vmlinuz.digest().at("read", &origin)?;
        let (kernel, symbols) = kernel_facts::read(context, found.vmlinuz, digest, &origin)?;
        if kernel.release != found.release {
            return Err(Problem::new(format!("kernel and modules of `{reference}` are not of one build"))
                .detail(format!("the kernel is `{}` and looks for its modules by that name", kernel.release))
                .detail(format!("the modules are for `{}`", found.release))
                .into());
        }
        let architecture = kernel.architecture().ok_or_else(|| {
            Problem::new(format!("the kernel of `{reference}` is for {}", kernel.machine))
                .detail("Talos runs on amd64 and arm64")
        })?;
        Ok(Self { reference: reference.to_owned(), files, architecture, kernel, symbols, created })
    }
}

fn other_architecture(kernel: &KernelInput, wanted: &[Architecture]) -> Problem {
    let (own, names) = (kernel.architecture, names(wanted));
    Problem::new(format!(
        "kernel `{}` is for {own}, and the imager has boot assets for {names}",
        kernel.reference
    ))
    .hint("give an imager with both architectures, as Talos' own are")
}

fn names(architectures: &[Architecture]) -> String {
    architectures.iter().map(|own| own.go()).collect::<Vec<_>>().join(" and ")
}
