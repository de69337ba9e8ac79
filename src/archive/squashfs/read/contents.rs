//! The bytes of many files, one after another: blocks are decompressed by the workers ahead of the
//! reader, in the order in which they will be wanted.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::super::format::{DATA_STORED, Fields};
use super::error::ReadError;
use super::image::Image;
use super::metadata::{Cursor, Tables};
use super::node::Node;
use crate::base::Workers;

/// Fragment blocks that are kept: files in a row share the one or the other.
const FRAGMENTS: usize = 4;
/// Fewer bytes are not worth a thread.
const SMALL: u64 = 1 << 20;

type Bytes = Result<Vec<u8>, ReadError>;

/// A block that is being decompressed.
struct Later {
    receiver: Receiver<Bytes>,
    value: OnceCell<Result<Vec<u8>, String>>,
}

impl Later {
    fn get(&self) -> Result<&[u8], ReadError> {
        let value = self.value.get_or_init(|| match self.receiver.recv() {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(crate::base::chain(&error)),
            Err(_) => Err("a job ended without a result".to_owned()),
        });
        value.as_deref().map_err(|error| ReadError::Damaged(error.clone()))
    }
}

/// Bytes of a file, in their order.
enum Part {
    Zeros(usize),
    Block(Later),
    Fragment { later: Rc<Later>, from: usize, len: usize },
}

impl Part {
    fn bytes(&self) -> Result<Option<&[u8]>, ReadError> {
        match self {
            Self::Zeros(_) => Ok(None),
            Self::Block(later) => later.get().map(Some),
            Self::Fragment { later, from, len } => {
                let bytes = later.get()?.get(*from..*from + *len);
                bytes
                    .map(Some)
                    .ok_or_else(|| ReadError::damaged("a file lies behind the end of its fragment"))
            }
        }
    }
}

/// The part of a file that comes next.
struct Coming {
    node: usize,
    /// Blocks done.
    done: u64,
    at: u64,
    sizes: Cursor,
}

/// Reads ahead.
struct Pipeline<'i> {
    image: &'i Image,
    nodes: &'i [Node],
    workers: Option<&'i Workers>,
    ahead: usize,
    coming: Option<Coming>,
    parts: VecDeque<(usize, Part)>,
    fragments: VecDeque<(u32, Rc<Later>)>,
    /// What a reader ran into.
    failed: Option<ReadError>,
}

impl Image {
    /// Visits nodes in their order, each with a reader of its bytes (none, for what is no file). What a
    /// visitor does not read is skipped.
    pub fn walk<E: From<ReadError>>(
        &self,
        nodes: &[Node],
        workers: &Workers,
        visit: &mut dyn FnMut(&Node, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let total: u64 = nodes.iter().filter_map(|node| node.file).map(|file| file.size).sum();
        let mut pipeline = Pipeline {
            image: self,
            nodes,
            workers: (total > SMALL).then_some(workers),
            ahead: if total > SMALL { workers.jobs() * 2 + 2 } else { 1 },
            coming: None,
            parts: VecDeque::new(),
            fragments: VecDeque::new(),
            failed: None,
        };
        pipeline.begin(0);
        for (number, node) in nodes.iter().enumerate() {
            let left = node.file.map_or(0, |file| file.size);
            let mut reader = FileReader { pipeline: &mut pipeline, number, left, part: None };
            let visited = visit(node, &mut reader);
            if let Some(error) = pipeline.failed.take() {
                return Err(error.into());
            }
            visited?;
            pipeline.skip(number);
        }
        Ok(())
    }
}

impl Pipeline<'_> {
    /// Goes to the first file from `node` on.
    fn begin(&mut self, node: usize) {
        let next =
            self.nodes.iter().enumerate().skip(node).find_map(|(number, node)| Some((number, node.file?)));
        self.coming = next.map(|(node, file)| Coming { node, done: 0, at: file.start, sizes: file.sizes });
    }

    /// Leaves out what is left of a file.
    fn skip(&mut self, node: usize) {
        while self.parts.front().is_some_and(|(of, _)| *of <= node) {
            self.parts.pop_front();
        }
        if self.coming.as_ref().is_some_and(|coming| coming.node <= node) {
            self.begin(node + 1);
        }
    }

    /// The next part of a file.
    fn next(&mut self, node: usize) -> Result<Option<Part>, ReadError> {
        while self.parts.len() < self.ahead && self.coming.is_some() {
            self.plan()?;
        }
        let ours = self.parts.front().is_some_and(|(of, _)| *of == node);
        Ok(if ours { self.parts.pop_front().map(|(_, part)| part) } else { None })
    }

    /// Starts on the part that comes next.
    fn plan(&mut self) -> Result<(), ReadError> {
        let Some(mut coming) = self.coming.take() else { return Ok(()) };
        let Some(file) = self.nodes.get(coming.node).and_then(|node| node.file) else { return Ok(()) };
        let block_size = self.image.block.block_size;
        if coming.done < file.blocks {
            let left = file.size - coming.done * u64::from(block_size); // `blocks` was counted from `size`
            let len = left.min(u64::from(block_size)) as usize;
            let size = self.image.tables.take(&mut coming.sizes, 4)?;
            let size = Fields(&size).u32().unwrap_or(0); // four bytes
            let part = if size == 0 {
                Part::Zeros(len)
            } else {
                Part::Block(self.start(coming.at, size, Some(len)))
            };
            coming.at = coming.at.saturating_add(u64::from(size & !DATA_STORED));
            coming.done += 1;
            self.parts.push_back((coming.node, part));
            self.coming = Some(coming);
            return Ok(());
        }
        let len = (file.size - file.blocks.saturating_mul(u64::from(block_size)).min(file.size)) as usize;
        if let (Some((fragment, from)), 1..) = (file.fragment, len) {
            let later = self.fragment(fragment)?;
            self.parts.push_back((coming.node, Part::Fragment { later, from: from as usize, len }));
        }
        self.begin(coming.node + 1);
        Ok(())
    }

    /// A fragment block, of those that are kept or a new one.
    fn fragment(&mut self, number: u32) -> Result<Rc<Later>, ReadError> {
        if let Some((_, later)) = self.fragments.iter().find(|(known, _)| *known == number) {
            return Ok(Rc::clone(later));
        }
        let (at, size) = self.image.fragment_row(number)?;
        let later = Rc::new(self.start(at, size, None));
        if self.fragments.len() >= FRAGMENTS {
            self.fragments.pop_front();
        }
        self.fragments.push_back((number, Rc::clone(&later)));
        Ok(later)
    }

    fn start(&self, at: u64, size: u32, len: Option<usize>) -> Later {
        let (sender, receiver) = sync_channel(1);
        let (tables, block_size) = (Arc::clone(&self.image.tables), self.image.block.block_size as usize);
        let job = move || {
            // The receiver is gone only if nobody wants the block any more.
            let _ = sender.send(unpack(&tables, at, size, block_size, len));
        };
        match self.workers {
            Some(workers) => workers.spawn(job),
            None => job(),
        }
        Later { receiver, value: OnceCell::new() }
    }
}

/// Reads a block; of data blocks the length is known.
pub(super) fn unpack(tables: &Tables, at: u64, size: u32, block_size: usize, len: Option<usize>) -> Bytes {
    let on_disk = (size & !DATA_STORED) as usize;
    if on_disk == 0 || on_disk > block_size {
        return Err(ReadError::damaged(format!("a block has {on_disk} bytes")));
    }
    let mut bytes = tables.raw(at, on_disk)?;
    if size & DATA_STORED == 0 {
        let packed = bytes;
        bytes = tables.decompress(&packed, len.unwrap_or(block_size))?;
        tables.recycle(packed);
    }
    match len {
        Some(len) if len != bytes.len() => {
            Err(ReadError::damaged(format!("a block unpacks to {} bytes instead of {len}", bytes.len())))
        }
        _ => Ok(bytes),
    }
}

/// The bytes of one file.
struct FileReader<'p, 'i> {
    pipeline: &'p mut Pipeline<'i>,
    number: usize,
    left: u64,
    part: Option<(Part, usize)>,
}

impl FileReader<'_, '_> {
    fn pull(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        loop {
            if self.left == 0 || buffer.is_empty() {
                return Ok(0);
            }
            if let Some((part, done)) = &mut self.part {
                let got = match part.bytes()? {
                    Some(bytes) => {
                        let rest = bytes.get(*done..).unwrap_or_default();
                        let got = rest.len().min(buffer.len());
                        buffer[..got].copy_from_slice(&rest[..got]); // the shorter of the two
                        got
                    }
                    None => {
                        let Part::Zeros(len) = part else { return Ok(0) };
                        let got = len.saturating_sub(*done).min(buffer.len());
                        buffer[..got].fill(0); // at most its length
                        got
                    }
                };
                if got > 0 {
                    *done += got;
                    self.left = self.left.saturating_sub(got as u64);
                    return Ok(got);
                }
            }
            if let Some((Part::Block(later), _)) = self.part.take()
                && let Some(Ok(bytes)) = later.value.into_inner()
            {
                self.pipeline.image.tables.recycle(bytes);
            }
            let part = self.pipeline.next(self.number)?;
            self.part = Some((part.ok_or_else(|| ReadError::damaged("a file ends early"))?, 0));
        }
    }
}

impl Read for FileReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pull(buffer).map_err(|error| {
            let text = crate::base::chain(&error);
            self.pipeline.failed = Some(error);
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }
}
