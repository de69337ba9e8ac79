//! What is to be compressed, in the order in which it will stand: found before anything is read for
//! good, so that the image does not depend on who finishes first.
//!
//! Policy, as mksquashfs has it by default: files below one block share fragment blocks; larger files
//! end in a short block. Files with the same bytes are stored once.

use std::collections::BTreeMap;
use std::io::{self, Read};

use rayon::prelude::*;

use super::super::tree::{Kind, Tree};
use super::error::WriteError;
use crate::base::{Content, Digest, Workers};

/// A piece of a file: where it is read.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Number of the file in [`Plan::files`].
    pub(super) file: usize,
    pub(super) content: Content,
    pub(super) offset: u64,
    pub(super) len: usize,
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
}

/// See the module.
#[derive(Debug)]
pub(super) struct Plan<'t> {
    pub(super) files: Vec<Planned<'t>>,
    pub(super) jobs: Vec<Job>,
    pub(super) fragments: u32,
}

impl<'t> Plan<'t> {
    pub(super) fn of(tree: &'t Tree, block_size: u32, workers: &Workers) -> Result<Self, WriteError> {
        let mut files = Vec::new();
        for (path, entry) in tree.iter() {
            if let Kind::File(content) = &entry.kind {
                files.push(Planned { path, content, same_as: files.len(), fragment: None });
            }
        }
        find_duplicates(&mut files, workers)?;
        let mut plan = Self { files, jobs: Vec::new(), fragments: 0 };
        plan.cut(block_size)?;
        Ok(plan)
    }

    fn cut(&mut self, block_size: u32) -> Result<(), WriteError> {
        let block = u64::from(block_size);
        let (mut open, mut filled) = (Vec::new(), 0u64);
        for number in 0..self.files.len() {
            let file = &mut self.files[number]; // of the loop's own range
            let len = file.content.len();
            if file.same_as != number || len == 0 {
                continue;
            }
            let piece = |offset: u64, len: u64| Piece {
                file: number,
                content: file.content.clone(),
                offset,
                len: len as usize, // at most a block
            };
            if len >= block {
                let starts = (0..len.div_ceil(block)).map(|index| index * block);
                self.jobs.extend(starts.map(|start| Job::Data(piece(start, block.min(len - start)))));
                continue;
            }
            let piece = piece(0, len);
            if filled + len > block {
                self.jobs.push(Job::Fragment(std::mem::take(&mut open)));
                self.fragments += 1;
                filled = 0;
            }
            file.fragment = Some((self.fragments, filled as u32)); // below a block
            open.push(piece);
            filled += len;
            if self.fragments == u32::MAX {
                return Err(WriteError::Limit("it has more fragments than can be counted"));
            }
        }
        if !open.is_empty() {
            self.jobs.push(Job::Fragment(open));
            self.fragments += 1;
        }
        Ok(())
    }
}

/// Finds files with the same bytes: those of one length are hashed, those of one hash compared. A
/// hash alone decides nothing.
fn find_duplicates(files: &mut [Planned<'_>], workers: &Workers) -> Result<(), WriteError> {
    let mut lengths: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (number, file) in files.iter().enumerate().filter(|(_, file)| !file.content.is_empty()) {
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
        let plan = Plan::of(&tree, 4096, &Workers::new(1)).unwrap();
        let kinds: String =
            plan.jobs.iter().map(|job| if matches!(job, Job::Data(_)) { 'd' } else { 'f' }).collect();
        assert_eq!(kinds, "fddddf");
        let fragments: Vec<_> = plan.files.iter().map(|file| file.fragment).collect();
        assert_eq!(fragments, [Some((0, 0)), Some((1, 0)), None, None, None, None, Some((1, 3000))]);
        assert_eq!(plan.files[2].same_as, 0);
        assert_eq!(plan.fragments, 2);
    }
}
