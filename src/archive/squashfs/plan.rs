//! What is to be compressed, in the order in which it will stand: found before anything is read for
//! good, so that the image does not depend on who finishes first.
//!
//! Policy, as mksquashfs has it by default: files below one block share fragment blocks; larger files
//! end in a short block. Files with the same bytes are stored once.

use std::collections::BTreeMap;
use std::io::{self, Read};

use rayon::prelude::*;

use super::super::tree::{Kind, Tree};
use super::blocks::Placed;
use super::error::WriteError;
use super::kept::Kept;
use super::read::Tail;
use crate::base::{Content, Digest, Workers};

/// A piece of a file: where it is read.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Number of the file in [`Plan::files`].
    pub(super) file: usize,
    pub(super) source: Source,
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// Where a piece's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// In the content of the file.
    Content(Content),
    /// In a fragment block of the image that is rewritten, by its number there.
    Fragment(u32),
}

/// One block of the image.
#[derive(Debug, Clone)]
pub(super) enum Job {
    /// A block of a file.
    Data(Piece),
    /// Small files, one behind another.
    Fragment(Vec<Piece>),
}

/// A regular file of the tree.
#[derive(Debug)]
pub(super) struct Planned<'t> {
    pub(super) path: &'t str,
    pub(super) content: &'t Content,
    /// The first file with the same bytes, or this one.
    pub(super) same_as: usize,
    /// Fragment block and place in it.
    pub(super) fragment: Option<(u32, u32)>,
    /// Where the blocks are that are copied, of a file that is kept.
    pub(super) kept: Option<Placed>,
}

/// See the module.
pub(super) struct Plan<'t> {
    pub(super) files: Vec<Planned<'t>>,
    pub(super) jobs: Vec<Job>,
    pub(super) fragments: u32,
    /// What is copied.
    pub(super) kept: Option<&'t Kept>,
}

impl<'t> Plan<'t> {
    pub(super) fn of(
        tree: &'t Tree,
        block_size: u32,
        kept: Option<&'t Kept>,
        workers: &Workers,
    ) -> Result<Self, WriteError> {
        let mut files = Vec::new();
        for (path, entry) in tree.iter() {
            if let Kind::File(content) = &entry.kind {
                let placed = kept.and_then(|kept| kept.placed(path));
                files.push(Planned { path, content, same_as: files.len(), fragment: None, kept: placed });
            }
        }
        find_duplicates(&mut files, workers)?;
        // The blocks that are copied have the first numbers.
        let fragments = kept.map_or(0, |kept| kept.fragment_rows().len()) as u32; // counted in 32 bits
        let mut plan = Self { files, jobs: Vec::new(), fragments, kept };
        plan.cut(u64::from(block_size))?;
        Ok(plan)
    }

    fn cut(&mut self, block: u64) -> Result<(), WriteError> {
        let mut open = Open::default();
        if let Some(kept) = self.kept {
            self.keep_tails(kept, &mut open, block)?;
        }
        for number in 0..self.files.len() {
            let file = &self.files[number]; // of the loop's own range
            let len = file.content.len();
            if file.same_as != number || len == 0 || file.kept.is_some() {
                continue;
            }
            let piece = |offset: u64, len: u64| Piece {
                file: number,
                source: Source::Content(file.content.clone()),
                offset,
                len: len as usize, // at most a block
            };
            if len >= block {
                let starts = (0..len.div_ceil(block)).map(|index| index * block);
                self.jobs.extend(starts.map(|start| Job::Data(piece(start, block.min(len - start)))));
                continue;
            }
            let piece = piece(0, len);
            self.files[number].fragment = Some(self.pack(&mut open, piece, block)?);
        }
        self.close(&mut open);
        Ok(())
    }

    /// The ends of files that are kept: in the fragment blocks that are copied, or out of those that are
    /// not. What shared its bytes goes on to share them; what comes from one block is read in one go.
    fn keep_tails(&mut self, kept: &Kept, open: &mut Open, block: u64) -> Result<(), WriteError> {
        let mut apart: BTreeMap<Tail, Vec<usize>> = BTreeMap::new();
        for (number, file) in self.files.iter_mut().enumerate() {
            let Some(tail) = kept.tail(file.path) else { continue };
            match kept.fragment(tail.fragment) {
                Some(fragment) => file.fragment = Some((fragment, tail.offset)),
                None => apart.entry(tail).or_default().push(number),
            }
        }
        for (tail, numbers) in apart {
            let Some(first) = numbers.first() else { continue };
            let piece = Piece {
                file: *first,
                source: Source::Fragment(tail.fragment),
                offset: u64::from(tail.offset),
                len: tail.len as usize,
            };
            let place = self.pack(open, piece, block)?;
            for number in numbers {
                self.files[number].fragment = Some(place); // numbers are indices of `files`
            }
        }
        Ok(())
    }

    /// Puts a piece below one block into the open fragment block, or the next; gives its place.
    fn pack(&mut self, open: &mut Open, piece: Piece, block: u64) -> Result<(u32, u32), WriteError> {
        let len = piece.len as u64;
        if open.filled + len > block {
            self.close(open);
        }
        if self.fragments == u32::MAX {
            return Err(WriteError::Limit("it has more fragments than can be counted"));
        }
        let place = (self.fragments, open.filled as u32); // below a block
        open.pieces.push(piece);
        open.filled += len;
        Ok(place)
    }

    fn close(&mut self, open: &mut Open) {
        let pieces = std::mem::take(open).pieces;
        if !pieces.is_empty() {
            self.jobs.push(Job::Fragment(pieces));
            self.fragments += 1;
        }
    }
}

/// A fragment block that is being filled.
#[derive(Default)]
struct Open {
    pieces: Vec<Piece>,
    filled: u64,
}

/// Finds files with the same bytes: those of one length are hashed, those of one hash compared. A
/// hash alone decides nothing. Files that are kept are not looked at: they share what they shared.
fn find_duplicates(files: &mut [Planned<'_>], workers: &Workers) -> Result<(), WriteError> {
    let mut lengths: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let new = |file: &Planned<'_>| file.kept.is_none() && !file.content.is_empty();
    for (number, file) in files.iter().enumerate().filter(|(_, file)| new(file)) {
        lengths.entry(file.content.len()).or_default().push(number);
    }
    let doubtful: Vec<usize> = lengths.into_values().filter(|same| same.len() > 1).flatten().collect();
    let hash = |number: &usize| -> Result<(Digest, usize), WriteError> {
        let file = &files[*number]; // numbers are indices of `files`
        let digest = file.content.digest();
        let digest = digest.map_err(|source| WriteError::Content { path: file.path.to_owned(), source })?;
        Ok((digest, *number))
    };
    let hashed: Result<Vec<_>, WriteError> = match doubtful.len() {
        0..4 => doubtful.iter().map(hash).collect(), // not worth a thread
        _ => workers.install(|| doubtful.par_iter().map(hash).collect()),
    };
    let mut groups: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
    for (digest, number) in hashed? {
        groups.entry(digest).or_default().push(number);
    }
    for group in groups.into_values() {
        let mut firsts: Vec<usize> = Vec::new();
        'files: for number in group {
            for &first in &firsts {
                if same(&files[first], &files[number])? {
                    files[number].same_as = first;
                    continue 'files;
                }
            }
            firsts.push(number);
        }
    }
    Ok(())
}

/// Whether two files have the same bytes.
fn same(one: &Planned<'_>, other: &Planned<'_>) -> Result<bool, WriteError> {
    let failed = |file: &Planned<'_>| {
        let path = file.path.to_owned();
        move |source| WriteError::Content { path, source }
    };
    if one.content.len() != other.content.len() {
        return Ok(false);
    }
    let mut readers =
        (one.content.open().map_err(failed(one))?, other.content.open().map_err(failed(other))?);
    let mut buffers = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let left = fill(&mut readers.0, &mut buffers.0).map_err(failed(one))?;
        let right = fill(&mut readers.1, &mut buffers.1).map_err(failed(other))?;
        if buffers.0.get(..left) != buffers.1.get(..right) {
            return Ok(false);
        }
        if left < buffers.0.len() {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the reader at its end.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Entry;

    #[test]
    fn small_files_share_blocks_and_twins_are_found() {
        let mut tree = Tree::new();
        for (path, byte, len) in [
            ("a", 1, 3000),
            ("b", 2, 3000),
            ("c", 1, 3000),
            ("d", 3, 9000),
            ("e", 4, 4096),
            ("f", 5, 0),
            ("g", 6, 10),
        ] {
            tree.insert(path, Entry::file(0o644, Content::memory(vec![byte; len]))).unwrap();
        }
        let plan = Plan::of(&tree, 4096, None, &Workers::new(1)).unwrap();
        let kinds: String =
            plan.jobs.iter().map(|job| if matches!(job, Job::Data(_)) { 'd' } else { 'f' }).collect();
        assert_eq!(kinds, "fddddf");
        let fragments: Vec<_> = plan.files.iter().map(|file| file.fragment).collect();
        assert_eq!(fragments, [Some((0, 0)), Some((1, 0)), None, None, None, None, Some((1, 3000))]);
        assert_eq!(plan.files[2].same_as, 0);
        assert_eq!(plan.fragments, 2);
    }
}
