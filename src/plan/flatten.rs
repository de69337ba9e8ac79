//! The step that takes files out of an image: its layers, one on another, as a tree whose files are
//! packed into one blob.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::error::Error;
use super::run::{Context, Plan};
use super::step::{Outputs, Step, StepId};
use super::tree_input::{Packed, Packer, TreeInput};
use crate::archive::bounded::{Bounded, Bounds, Counted};
use crate::archive::compress::decoder;
use crate::archive::tar::{Contents, Reader, TarError};
use crate::archive::tree::is_below;
use crate::base::fsio::At as _;
use crate::base::{Activity, Content, Digest, Hasher};
use crate::image::document::Source as _;
use crate::image::flatten::Flattener;
use crate::image::{Descriptor, Manifest, MediaError, Opened};

/// The most bytes of a document that lists a tree: a million paths or so.
const DOCUMENT_LIMIT: u64 = 256 << 20;

/// Adds the step. `wanted` is a normal path (`""` for everything): only it and what lies below it,
/// and the directories above it, are taken.
pub fn add<'p>(plan: &mut Plan<'p>, image: &'p Opened, manifest: &'p Manifest, wanted: &'p str) -> StepId {
    let size = manifest.layers.iter().map(|layer| layer.size).sum();
    let layers: Vec<String> = manifest.layers.iter().map(|layer| layer.digest.to_string()).collect();
    plan.add(
        Step::new("flatten", 1, image.reference.to_string(), move |context, progress, _| {
            flatten(context, progress, image, manifest, wanted)
        })
        .parameter("layers", layers.join(" "))
        .parameter("wanted", wanted)
        .total(size),
    )
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
    image: &Opened,
    manifest: &Manifest,
    wanted: &str,
) -> Result<Outputs, Error> {
    let mut packer = Packer::new(io::BufWriter::with_capacity(256 << 10, context.store.writer()?));
    let mut packed: Vec<Packed> = Vec::new();
    let takes = |path: &str| is_below(path, wanted) || is_below(wanted, path);
    // Contents are packed before their place in the store is known: until then a file's content is the
    // number of its packed piece.
    let mut sink = |reader: &mut dyn Read, _size: u64| -> io::Result<Content> {
        let piece = packer.add(reader)?;
        packed.push(piece);
        Ok(Content::range("", packed.len() as u64 - 1, piece.size))
    };
    let mut flat = flatten_with(image, manifest, progress, &takes, &mut sink)?;
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
        let Some(Content::Range { offset, .. }) = entry.content() else { continue };
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
    image: &Opened,
    manifest: &Manifest,
    progress: &Activity,
    wanted: &dyn Fn(&str) -> bool,
    sink: &mut dyn FnMut(&mut dyn Read, u64) -> io::Result<Content>,
) -> Result<TreeInput, Error> {
    image.prefetch(&manifest.layers, progress.events())?;
    let mut flattener = Flattener::new();
    for (index, layer) in manifest.layers.iter().enumerate() {
        let content = image.blob(layer)?;
        let error = |source| Error::Layer { image: image.reference.to_string(), layer: layer.digest, source };
        let reader = content.open().at("read", layer.digest.to_string())?;
        let mut source = Checked { reader, hasher: layer.digest.hasher(), progress };
        let compressed = Counted::new(&mut source);
        let taken = compressed.counter();
        let plain = decoder(compressed).map_err(|source| error(TarError::Read { offset: 0, source }))?;
        let mut reader = Reader::new(Bounded::new(plain, taken, Bounds::default()));
        flattener.apply(index, wanted, &mut reader, &mut Contents::streamed(sink)).map_err(error)?;
        drop(reader);
        let found = source.finish().at("read", layer.digest.to_string())?;
        if found != layer.digest {
            let origin = image.reference.to_string();
            return Err(MediaError::Damaged { digest: layer.digest, origin, found }.into());
        }
    }
    let flat = flattener.finish();
    let mut input = TreeInput::default();
    for (path, _) in flat.tree.iter() {
        let layer = flat.origin(path).and_then(|index| manifest.layers.get(index));
        input.layers.extend(layer.map(|layer| (path.to_owned(), layer.digest)));
    }
    input.duplicates = flat.duplicates.into_iter().map(|duplicate| duplicate.what).collect();
    input.tree = flat.tree;
    Ok(input)
}

/// Hashes what is read of a layer, and the rest of it at the end.
struct Checked<'a, R: Read> {
    reader: R,
    hasher: Hasher,
    progress: &'a Activity,
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.progress.advance(count as u64);
        Ok(count)
    }
}

impl<R: Read> Checked<'_, R> {
    fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}
