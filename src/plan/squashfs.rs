//! Squashfs images: packed from folders, tars and images as a step whose result is kept; listed, taken
//! apart, and turned into tar.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{Error, Problem};
use super::run::{Context, Plan};
use super::step::{Outputs, Step, StepId};
use super::subject::{self, Contents};
use super::tree_input::TreeInput;
use crate::archive::squashfs::{self, Help, Image, Node, Options, ReadError, Summary, write_tree};
use crate::archive::tar;
use crate::archive::tree::normalise;
use crate::base::fsio::{self, At as _};
use crate::base::units::count;
use crate::base::{Activity, Content, Digest};
use crate::image::store::LAYOUT_FILE;
use crate::image::{Descriptor, Platform, Reference};

/// A squashfs image has no registered media type.
pub(super) const MEDIA_TYPE: &str = "application/octet-stream";

/// What is to be packed, how, and where to.
#[derive(Debug)]
pub struct PackSpec {
    /// A folder, a tar, or an image.
    pub source: Reference,
    /// Of an index, this platform.
    pub platform: Option<Platform>,
    /// How.
    pub options: Options,
    /// The file to write.
    pub target: PathBuf,
}

/// A squashfs image that was written.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PackedImage {
    /// The file.
    pub file: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// Packs an image and writes it to a file.
pub fn pack(spec: &PackSpec, context: &Context) -> Result<PackedImage, Error> {
    if !spec.options.codec.is_in_talos() {
        context.events.warn(
            format!("kernels of Talos cannot read squashfs in {}", spec.options.codec),
            Some("leave out `--codec`: they read zstd and xz".to_owned()),
        );
    }
    let mut input = source(spec, context)?;
    let cache = context.stat_cache();
    input.hash(context, cache)?;
    context.keep_digests();
    let mut plan = Plan::new();
    let packed = add(&mut plan, &input, &spec.options, &spec.target.display().to_string());
    let target = &spec.target;
    let place = move |context: &Context, _: &Activity, inputs: &[&Outputs]| {
        let image = inputs.first().ok_or_else(|| Error::Internal("a step has no input".to_owned()))?;
        let image = image.blob("squashfs")?.clone();
        let write = || Ok(fsio::place(&context.blob(&image)?, target)?);
        write().map_err(|source: Error| Error::Output {
            target: target.display().to_string(),
            source: Box::new(source),
        })?;
        Ok(Outputs::default())
    };
    plan.add(Step::new("write", 1, target.display().to_string(), place).needs(packed).always());
    let outputs = plan.run(context)?;
    let image = packed.outputs(&outputs)?.blob("squashfs")?;
    Ok(PackedImage { file: spec.target.clone(), digest: image.digest, size: image.size })
}

/// Adds the step that packs a tree; its output is the blob `squashfs`.
pub fn add<'p>(plan: &mut Plan<'p>, input: &'p TreeInput, options: &'p Options, subject: &str) -> StepId {
    let total = input.tree.iter().filter_map(|(_, entry)| entry.content()).map(Content::len).sum();
    let run = move |context: &Context, progress: &Activity, _: &[&Outputs]| {
        let (digest, summary) = squashfs(context, progress, input, options)?;
        let outcome = count(usize::try_from(summary.compressed).unwrap_or(usize::MAX), "block");
        Ok(Outputs::default()
            .with_blob("squashfs", Descriptor::new(MEDIA_TYPE, digest, summary.size))
            .with_value("outcome", format!("{outcome} compressed")))
    };
    let step = Step::new("squashfs", 1, subject, run)
        .tree("tree", input)
        .parameter("codec", options.codec)
        .parameter("level", format!("{:?}", options.level))
        .parameter("block-size", options.block_size)
        .parameter("epoch", format!("{:?}", options.epoch))
        .parameter("root", format!("{:?}", options.root));
    plan.add(step.total(total))
}

/// Packs a tree into a blob of the store; gives its digest and its bytes.
pub(super) fn squashfs(
    context: &Context,
    progress: &Activity,
    input: &TreeInput,
    options: &Options,
) -> Result<(Digest, Summary), Error> {
    let help = Help {
        workers: &context.workers,
        cache: Some(context.store.blocks()),
        progress: &|bytes| progress.advance(bytes),
    };
    let (digest, summary) = into_store(context, |out| write_tree(&input.tree, options, &help, out))?;
    Ok((digest, summary))
}

/// Writes an image into the store; gives its digest and what the writer says of it.
pub(super) fn into_store<T>(
    context: &Context,
    write: impl FnOnce(&mut io::BufWriter<&mut File>) -> Result<T, squashfs::WriteError>,
) -> Result<(Digest, T), Error> {
    let mut draft = context.store.draft()?;
    let path = draft.path().to_owned();
    let mut out = io::BufWriter::with_capacity(1 << 20, draft.file());
    let done = write(&mut out)?;
    drop(out); // flushed by the writer
    let (digest, _) =
        File::open(&path).and_then(|mut file| Digest::of_reader(&mut file)).at("read", &path)?;
    context.store.adopt(draft, &digest)?;
    Ok((digest, done))
}

fn source(spec: &PackSpec, context: &Context) -> Result<TreeInput, Error> {
    let mut input = TreeInput::default();
    match &spec.source {
        Reference::Directory(folder) => input.add_directory(folder, "")?,
        Reference::Path(path) if path.is_dir() && !path.join(LAYOUT_FILE).exists() => {
            input.add_directory(path, "")?;
        }
        Reference::Path(path) if path.is_file() && is_plain_tar(path) => {
            input.tree = tar_tree(path, context)?
        }
        reference => {
            let (_, mut found) = subject::load(context, reference, spec.platform.as_ref(), Contents::All)?;
            match (found.pop(), found.is_empty()) {
                (Some(one), true) => return Ok(one.files),
                _ => {
                    return Err(Problem::new(format!("`{reference}` has images of several platforms"))
                        .hint("choose one: `--platform linux/amd64`")
                        .into());
                }
            }
        }
    }
    Ok(input)
}

/// Whether a file is a tar that holds no image. What is no tar at all is left to those who read images.
pub(super) fn is_plain_tar(path: &Path) -> bool {
    tar::index_file(path)
        .is_ok_and(|members| !members.contains_key(LAYOUT_FILE) && !members.contains_key("manifest.json"))
}

/// A tar on disk as a tree whose contents stay where they are.
pub(super) fn tar_tree(path: &Path, context: &Context) -> Result<crate::archive::Tree, Error> {
    let mut sink = |reader: &mut dyn io::Read, _: u64| -> io::Result<Content> {
        let (_, content) = context.store.put_reader(reader).map_err(io::Error::other)?;
        Ok(content)
    };
    let error = |source| Error::Tar { file: path.to_owned(), source };
    let file = File::open(path).at("read", path)?;
    let mut reader = tar::Reader::seekable(file).at("read", path)?;
    let mut contents = tar::Contents::in_place(path, 0, &mut sink);
    Ok(tar::read_tree(&mut reader, &|_| true, &mut contents).map_err(error)?.tree)
}

/// Opens a squashfs image and lists what is at and below `wanted`.
pub fn open(file: &Path, wanted: &str) -> Result<(Image, Vec<Node>), Error> {
    let size = std::fs::metadata(file).at("read", file)?.len();
    let wrong = |source| Error::Squashfs { file: file.to_owned(), source };
    let image = Image::open(&Content::file(file, size)).map_err(wrong)?;
    let wanted = normalise(wanted).map_err(|source| Error::Tree { origin: "PATH".to_owned(), source })?;
    let nodes = image.list(&wanted).map_err(wrong)?;
    Ok((image, nodes))
}

/// Writes what is at and below `wanted` to `out` as a tar, attributes as PAX records.
pub fn to_tar<W: Write>(context: &Context, file: &Path, wanted: &str, out: W) -> Result<(), Error> {
    let (image, nodes) = open(file, wanted)?;
    let progress = context.events.begin("tar", file.display().to_string(), Some(total(&nodes)));
    let mut writer = tar::Writer::new(out, None);
    let wrong = |source| Error::Squashfs { file: file.to_owned(), source };
    let written = image.walk(&nodes, &context.workers, &mut |node, reader| {
        writer.append_from(&node.path, &node.entry, reader)?;
        progress.advance(node.size().unwrap_or(0));
        Ok::<(), Walked>(())
    });
    written.map_err(|error| match error {
        Walked::Read(error) => wrong(error),
        Walked::Write(error) => error.into(),
    })?;
    writer.finish()?;
    progress.finish("");
    Ok(())
}

/// Bytes of all files.
pub(super) fn total(nodes: &[Node]) -> u64 {
    nodes.iter().filter_map(Node::size).sum()
}

enum Walked {
    Read(ReadError),
    Write(tar::WriteError),
}

impl From<ReadError> for Walked {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<tar::WriteError> for Walked {
    fn from(error: tar::WriteError) -> Self {
        Self::Write(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tree::Entry;
    use crate::base::{Events, Workers};
    use crate::image::Store;
    use crate::image::registry::{Client, Options as RegistryOptions};

    #[test]
    fn what_the_images_of_two_platforms_share_is_compressed_once() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::new(
            Store::open(folder.path()).unwrap(),
            Workers::new(4),
            Client::new(RegistryOptions::default(), Events::default()),
            Events::default(),
        );
        let options = Options::default();
        // Eight blocks that both have, and one of each one's own.
        let shared: Vec<u8> = (0..8 * options.block_size).flat_map(|n| (n % 251 * n).to_le_bytes()).collect();
        let shared = shared.get(..8 * options.block_size as usize).unwrap();
        let input = |own: &str| {
            let mut input = TreeInput::default();
            for (path, bytes) in [("firmware.bin", shared), ("module.ko", own.as_bytes())] {
                let digest = Digest::of(bytes);
                let entry = Entry::file(0o644, Content::memory(bytes));
                input.add(path, entry, Some(digest), "test").unwrap();
            }
            input
        };
        let (amd64, arm64) = (input("for amd64"), input("for arm64"));
        let mut plan = Plan::new();
        let steps = [add(&mut plan, &amd64, &options, "amd64"), add(&mut plan, &arm64, &options, "arm64")];
        let outputs = plan.run(&context).unwrap();
        let compressed = |step: &StepId| -> u64 {
            let said = step.outputs(&outputs).unwrap().value("outcome").unwrap();
            said.split(' ').next().unwrap().parse().unwrap()
        };
        assert_eq!(steps.iter().map(compressed).sum::<u64>(), 8 + 2);
    }
}
