//! The step that takes files out of an image: its layers, one on another, as a tree whose files are
//! packed into one blob.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::error::{Error, Problem};
use super::one_image::OneImage;
use super::run::{Context, Plan};
use super::step::{Outputs, Step, StepId};
use super::tree_input::{Packed, Packer, TreeInput};
use crate::archive::bounded::{Bounded, Bounds, Counted};
use crate::archive::compress::decoder;
use crate::archive::tar::{Contents, Reader, TarError};
use crate::archive::tree::is_below;
use crate::base::ahead::ahead;
use crate::base::fsio::At as _;
use crate::base::{Activity, Content, Digest, Hasher};
use crate::image::document::Source as _;
use crate::image::flatten::Flattener;
use crate::image::{Descriptor, MediaError};

/// Layers from this size on are worth threads of their own.
const LARGE: u64 = 4 << 20;
/// The most bytes of a document that lists a tree: a million paths or so.
const DOCUMENT_LIMIT: u64 = 256 << 20;

/// Adds the step. `wanted` is a normal path (`""` for everything): only it and what lies below it,
/// and the directories above it, are taken.
pub fn add<'p>(plan: &mut Plan<'p>, one: &'p OneImage<'p>, wanted: &'p str) -> StepId {
    let manifest = &one.manifest;
    let size = manifest.layers.iter().map(|layer| layer.size).sum();
    let layers: Vec<String> = manifest.layers.iter().map(|layer| layer.digest.to_string()).collect();
    plan.add(
        Step::new("flatten", 1, one.image.reference.to_string(), move |context, progress, _| {
            flatten(context, progress, one, wanted)
        })
        .parameter("layers", layers.join(" "))
        .parameter("wanted", wanted)
        .total(size),
    )
}

/// Takes what lies at and below `wanted` out of an image, by a plan of this step alone.
pub fn below(context: &Context, one: &OneImage<'_>, wanted: &str) -> Result<TreeInput, Error> {
    let flatten = |wanted: &str| {
        let mut plan = Plan::new();
        let step = add(&mut plan, one, wanted);
        let outputs = plan.run(context)?;
        step.outputs(&outputs).cloned()
    };
    let outputs = match flatten(wanted) {
        // The bytes of a hard link may lie outside what is wanted: then all of the image is taken.
        Err(Error::Layer { source: TarError::LinkOutside { .. }, .. }) => flatten("")?,
        outputs => outputs?,
    };
    tree(context, &outputs, &one.image.reference.to_string())
}

/// The tree that the step gave.
pub fn tree(context: &Context, outputs: &Outputs, origin: &str) -> Result<TreeInput, Error> {
    let document = context.bytes(outputs.blob("tree")?, DOCUMENT_LIMIT)?;
    let pack = context.blob(outputs.blob("pack")?)?;
    TreeInput::from_document(&document, &pack, origin)
        .ok_or_else(|| Error::Internal(format!("the list of files of {origin} does not read back")))
}

fn flatten(
    context: &Context,
    progress: &Activity,
    one: &OneImage<'_>,
    wanted: &str,
) -> Result<Outputs, Error> {
    let takes = |path: &str| is_below(path, wanted) || is_below(wanted, path);
    packed_tree(context, |sink| flatten_with(one, progress, &takes, sink))
}

/// Keeps the bytes of a file and says where they are.
pub type Sink<'a> = dyn FnMut(&mut dyn Read, u64) -> io::Result<Content> + 'a;

/// Packs the files of a tree into one blob: `fill` hands each to the sink. Gives the outputs of a step that
/// [`tree`] reads back.
pub fn packed_tree(
    context: &Context,
    fill: impl FnOnce(&mut Sink<'_>) -> Result<TreeInput, Error>,
) -> Result<Outputs, Error> {
    let mut packer = Packer::new(io::BufWriter::with_capacity(256 << 10, context.store.writer()?));
    let mut packed: Vec<Packed> = Vec::new();
    // Contents are packed before their place in the store is known: until then a file's content is the
    // number of its packed piece.
    let mut flat = fill(&mut |reader, _size| {
        let piece = packer.add(reader)?;
        packed.push(piece);
        Ok(Content::range("", packed.len() as u64 - 1, piece.size))
    })?;
    let writer = packer
        .finish()
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .at("write a blob in", context.store.root())?;
    let (digest, content) = writer.finish()?;
    let places = resolve(&mut flat, &packed);
    let (document, list) = context.store.put(&flat.to_document(&places))?;
    let outcome = format!("{} files", flat.digests.len());
    Ok(Outputs::default()
        .with_blob("pack", Descriptor::new("application/octet-stream", digest, content.len()))
        .with_blob("tree", Descriptor::new("application/json", document, list.len()))
        .with_value("outcome", outcome))
}

/// Turns the numbers of packed pieces into digests, and gives the place of each file in the pack.
fn resolve(flat: &mut TreeInput, packed: &[Packed]) -> BTreeMap<String, u64> {
    let mut places = BTreeMap::new();
    let mut digests = BTreeMap::new();
    for (path, entry) in flat.tree.iter() {
        let offset = match entry.content() {
            Some(Content::Range { offset, .. }) => offset,
            // An empty file never comes to the sink.
            Some(Content::Memory(bytes)) => {
                digests.insert(path.to_owned(), Digest::of(bytes));
                continue;
            }
            Some(Content::Joined(_)) | None => continue,
        };
        let Some(piece) = usize::try_from(*offset).ok().and_then(|number| packed.get(number)) else {
            continue;
        };
        places.insert(path.to_owned(), piece.offset);
        digests.insert(path.to_owned(), piece.digest);
    }
    flat.digests = digests;
    places
}

/// Flattens an image into a tree, handing the contents of regular files to `sink`. Every layer's bytes
/// are checked against its digest.
pub fn flatten_with(
    one: &OneImage<'_>,
    progress: &Activity,
    wanted: &dyn Fn(&str) -> bool,
    sink: &mut Sink<'_>,
) -> Result<TreeInput, Error> {
    let (image, layers) = (one.image, &one.manifest.layers);
    image.prefetch(layers, progress.events())?;
    let mut flattener = Flattener::new();
    for (index, (layer, diff_id)) in layers.iter().zip(one.config.diff_ids()).enumerate() {
        let name = || image.reference.to_string();
        let reader = image.blob(layer)?.open().at("read", layer.digest.to_string())?;
        let mut source = Hashed { reader, hasher: layer.digest.hasher(), progress: Some(progress) };
        let applied = if layer.size < LARGE {
            apply(&mut flattener, index, &mut source, diff_id.hasher(), wanted, sink)
        } else {
            apply_ahead(&mut flattener, index, &mut source, diff_id.hasher(), wanted, sink)
        };
        // Whatever the reader says of it: that the bytes are not those that were meant comes first.
        let found = source.finish().at("read", layer.digest.to_string())?;
        if found != layer.digest {
            return Err(MediaError::Damaged { digest: layer.digest, origin: name(), found }.into());
        }
        let found = applied.map_err(|source| Error::Layer { image: name(), layer: layer.digest, source })?;
        if found != diff_id {
            return Err(Problem::new(format!("image `{}` contradicts itself", name()))
                .detail(format!("layer {} has the uncompressed digest {found}", layer.digest))
                .detail(format!("its configuration says {diff_id}"))
                .into());
        }
    }
    let flat = flattener.finish();
    let mut input = TreeInput::default();
    for (path, _) in flat.tree.iter() {
        let layer = flat.origin(path).and_then(|index| layers.get(index));
        input.layers.extend(layer.map(|layer| (path.to_owned(), layer.digest)));
    }
    input.duplicates = flat.duplicates.into_iter().map(|duplicate| duplicate.what).collect();
    input.tree = flat.tree;
    Ok(input)
}

/// Applies one layer; gives the digest of its uncompressed bytes.
fn apply(
    flattener: &mut Flattener,
    index: usize,
    source: &mut (impl Read + Send),
    hasher: Hasher,
    wanted: &dyn Fn(&str) -> bool,
    sink: &mut Sink<'_>,
) -> Result<Digest, TarError> {
    apply_plain(flattener, index, plain(source)?, hasher, wanted, sink)
}

/// The same with reading, decompression, and what is done with the bytes on threads of their own.
fn apply_ahead(
    flattener: &mut Flattener,
    index: usize,
    source: &mut (impl Read + Send),
    hasher: Hasher,
    wanted: &dyn Fn(&str) -> bool,
    sink: &mut Sink<'_>,
) -> Result<Digest, TarError> {
    std::thread::scope(|scope| {
        let (compressed, _) = ahead(scope, source);
        let (plain, _) = ahead(scope, plain(compressed)?);
        apply_plain(flattener, index, plain, hasher, wanted, sink)
    })
}

/// The uncompressed bytes of a layer, bounded.
fn plain<'a>(source: impl Read + Send + 'a) -> Result<impl Read + Send + 'a, TarError> {
    let compressed = Counted::new(source);
    let taken = compressed.counter();
    let plain = decoder(compressed).map_err(|source| TarError::Read { offset: 0, source })?;
    Ok(Bounded::new(plain, taken, Bounds::default()))
}

fn apply_plain(
    flattener: &mut Flattener,
    index: usize,
    plain: impl Read,
    hasher: Hasher,
    wanted: &dyn Fn(&str) -> bool,
    sink: &mut Sink<'_>,
) -> Result<Digest, TarError> {
    let mut reader = Reader::new(Hashed { reader: plain, hasher, progress: None });
    flattener.apply(index, wanted, &mut reader, &mut Contents::streamed(sink))?;
    // The rest of the stream counts too: padding, and what a reader of tar has no need of.
    reader.finish().and_then(Hashed::finish).map_err(|source| TarError::Read { offset: 0, source })
}

/// Hashes what is read, and the rest of it at the end.
struct Hashed<'a, R> {
    reader: R,
    hasher: Hasher,
    progress: Option<&'a Activity>,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        if let Some(progress) = self.progress {
            progress.advance(count as u64);
        }
        Ok(count)
    }
}

impl<R: Read> Hashed<'_, R> {
    fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}
