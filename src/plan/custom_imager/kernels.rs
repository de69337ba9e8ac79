//! The kernels that take the place of the stock ones, each known by its own bytes.

use serde::{Deserialize, Serialize};

use super::super::check::wrong_kind;
use super::super::error::{Error, Problem};
use super::super::extension::parse;
use super::super::flatten;
use super::super::one_image::{OneImage, images_of};
use super::super::run::{Context, Plan};
use super::super::stat_cache::StatCache;
use super::super::step::{Outputs, Step};
use super::super::tree_input::TreeInput;
use crate::archive::{compress, squashfs};
use crate::base::{Activity, Content, Epoch, chain, json};
use crate::boot::Kernel;
use crate::image::{Media, Reference};
use crate::talos::Architecture;
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
    pub kernel: Known,
    /// When the image says that it was made.
    pub created: Option<Epoch>,
}

/// What a kernel says of itself, as a step keeps it: to read it is to unpack it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its release.
    pub release: String,
    /// The machine: `amd64`, `arm64`, or another.
    pub machine: String,
    /// The codecs of an initramfs that it reads, if it says so.
    pub initramfs: Option<Vec<String>>,
    /// The codecs of squashfs that it reads, if it says so.
    pub squashfs: Option<Vec<String>>,
}

impl Known {
    /// Whether it cannot read an initramfs in a codec.
    pub fn lacks_initramfs(&self, codec: compress::Codec) -> bool {
        lacks(self.initramfs.as_deref(), codec.name())
    }

    /// Whether it cannot read squashfs in a codec.
    pub fn lacks_squashfs(&self, codec: squashfs::Codec) -> bool {
        lacks(self.squashfs.as_deref(), codec.name())
    }

    fn of(kernel: &Kernel) -> Self {
        let config = kernel.config.as_ref();
        let initramfs = config.map(|config| config.initramfs_codecs());
        let squashfs = config.map(|config| config.squashfs_codecs());
        Self {
            release: kernel.release.clone(),
            machine: kernel.machine.to_string(),
            initramfs: initramfs.map(|codecs| codecs.iter().map(|codec| codec.name().to_owned()).collect()),
            squashfs: squashfs.map(|codecs| codecs.iter().map(|codec| codec.name().to_owned()).collect()),
        }
    }

    /// Reads the kernel of a tree, by a plan of this step alone.
    fn read(context: &Context, reference: &str, files: &TreeInput, vmlinuz: &Content) -> Result<Self, Error> {
        let run = move |_: &Context, _: &Activity, _: &[&Outputs]| {
            let kernel = Kernel::read(vmlinuz).map_err(|error| {
                Problem::new(format!("`/boot/vmlinuz` of `{reference}` cannot be used")).detail(chain(&error))
            })?;
            let known = String::from_utf8_lossy(&json::to_vec(&Self::of(&kernel))).into_owned();
            Ok(Outputs::default().with_value("kernel", known).with_value("outcome", kernel.release))
        };
        let mut plan = Plan::new();
        let step = plan.add(Step::new("kernel", 1, reference, run).parameter("tree", files.key()));
        let outputs = plan.run(context)?;
        serde_json::from_str(step.outputs(&outputs)?.value("kernel")?)
            .map_err(|error| Error::Internal(format!("what a step recorded does not read back: {error}")))
    }
}

fn lacks(codecs: Option<&[String]>, name: &str) -> bool {
    codecs.is_some_and(|codecs| codecs.iter().all(|codec| codec != name))
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
            return Ok(vec![Self::read(context, reference, files, &[], None, cache)?]);
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
            let (files, created) = (flatten::below(context, &one, "")?, one.created());
            let entrypoint = one.config.entrypoint();
            let kernel = Self::read(context, reference, files, entrypoint, created, cache)?;
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

    fn read(
        context: &Context,
        reference: &str,
        mut files: TreeInput,
        entrypoint: &[String],
        created: Option<Epoch>,
        cache: &StatCache,
    ) -> Result<Self, Error> {
        files.hash(context, cache)?;
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
        let kernel = Known::read(context, reference, &files, found.vmlinuz)?;
        if kernel.release != found.release {
            return Err(Problem::new(format!("kernel and modules of `{reference}` are not of one build"))
                .detail(format!("the kernel is `{}` and looks for its modules by that name", kernel.release))
                .detail(format!("the modules are for `{}`", found.release))
                .into());
        }
        let own = Architecture::ALL.into_iter().find(|own| own.go() == kernel.machine);
        let architecture = own.ok_or_else(|| {
            Problem::new(format!("the kernel of `{reference}` is for {}", kernel.machine))
                .detail("Talos runs on amd64 and arm64")
        })?;
        Ok(Self { reference: reference.to_owned(), files, architecture, kernel, created })
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
