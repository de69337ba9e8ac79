//! What of another image goes into the one that is written as it is: blocks that are copied without
//! being decompressed, found before anything is written.
//!
//! Blocks lie one behind another in the old image, and some stand for several files. So it is not
//! blocks that are copied but the runs of bytes that any file still needs: what is next to each other
//! stays so, what is shared stays shared, what nobody needs any more is left out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

use super::blocks::Placed;
use super::error::WriteError;
use super::format::{DATA_STORED, flag};
use super::read::{Image, Node, ReadError, StoredFile, Tail};

/// Bytes that are copied at a time.
const COPIED: u64 = 1 << 20;

/// Bytes of the old image that are copied in one go.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    len: u64,
    /// First byte in the new image.
    place: u64,
}

/// See the module.
pub(super) struct Kept {
    image: Image,
    /// Bytes behind the superblock, before the data.
    codec_options: Vec<u8>,
    files: HashMap<String, StoredFile>,
    /// Link counts of directories.
    links: HashMap<String, u32>,
    runs: Vec<Run>,
    /// Numbers in the new image of the fragment blocks that are copied, by those in the old.
    fragments: BTreeMap<u32, u32>,
    /// Start and size of each of these in the new image.
    rows: Vec<(u64, u32)>,
}

impl Kept {
    /// Keeps `nodes` of an image. `gone` are the ends of files that go: a fragment block that holds one
    /// of them is taken apart. `start` is where the data of the new image begins without the codec's
    /// options.
    pub(super) fn of(
        image: &Image,
        nodes: &[Node],
        gone: &HashSet<u32>,
        start: u64,
    ) -> Result<Self, ReadError> {
        let mut files = HashMap::new();
        let mut links = HashMap::from([(String::new(), image.root_links()?)]);
        let mut ranges = Vec::new();
        let mut fragments = BTreeMap::new();
        for node in nodes {
            if node.entry.is_directory() {
                links.insert(node.path.clone(), node.links);
            }
            let Some(stored) = image.stored_file(node)? else { continue };
            if stored.len() > 0 {
                ranges.push((stored.start, stored.len()));
            }
            if let Some(tail) = stored.tail.filter(|tail| !gone.contains(&tail.fragment)) {
                fragments.insert(tail.fragment, 0);
            }
            files.insert(node.path.clone(), stored);
        }
        let mut rows = Vec::with_capacity(fragments.len());
        for (number, (old, new)) in fragments.iter_mut().enumerate() {
            let (start, size) = image.stored_fragment(*old)?;
            ranges.push((start, u64::from(size & !DATA_STORED)));
            rows.push((start, size));
            *new = number as u32; // fewer than the old image counts in 32 bits
        }
        let codec_options = image.codec_options()?;
        let runs = merge(ranges, start + codec_options.len() as u64);
        let mut kept = Self { image: image.clone(), codec_options, files, links, runs, fragments, rows };
        for number in 0..kept.rows.len() {
            let place = kept.place(kept.rows[number].0); // of the loop's own range
            kept.rows[number].0 = place;
        }
        Ok(kept)
    }

    /// Where a byte of the old image that is copied lies in the new one.
    fn place(&self, old: u64) -> u64 {
        let behind = self.runs.partition_point(|run| run.start <= old);
        let run = behind.checked_sub(1).and_then(|number| self.runs.get(number));
        run.map_or(0, |run| run.place + (old - run.start)) // the run begins at or before it
    }

    /// The codec's options, as they stand behind the superblock.
    pub(super) fn codec_options(&self) -> &[u8] {
        &self.codec_options
    }

    /// Whether the old image has a table of all inodes.
    pub(super) fn is_exportable(&self) -> bool {
        self.image.has_flag(flag::EXPORTABLE)
    }

    /// How the old image says that it was packed, which steers who appends to it.
    pub(super) fn policy(&self) -> u16 {
        if self.image.has_flag(flag::ALWAYS_FRAGMENTS) { flag::ALWAYS_FRAGMENTS } else { 0 }
    }

    /// When the old image was made.
    pub(super) fn mtime(&self) -> u32 {
        self.image.info().mtime
    }

    /// The link count of a directory that is kept.
    pub(super) fn directory_links(&self, path: &str) -> Option<u32> {
        self.links.get(path).copied()
    }

    /// Where the blocks of a file lie in the new image; `None` for a file that is not kept.
    pub(super) fn placed(&self, path: &str) -> Option<Placed> {
        let stored = self.files.get(path)?;
        let start = if stored.len() > 0 { self.place(stored.start) } else { 0 };
        Some(Placed { start, sizes: stored.sizes.clone(), holes: stored.holes })
    }

    /// The end of a file, if it lies in a fragment block.
    pub(super) fn tail(&self, path: &str) -> Option<Tail> {
        self.files.get(path)?.tail
    }

    /// The number that a fragment block has in the new image, if it is copied.
    pub(super) fn fragment(&self, old: u32) -> Option<u32> {
        self.fragments.get(&old).copied()
    }

    /// Start and size of each fragment block that is copied.
    pub(super) fn fragment_rows(&self) -> &[(u64, u32)] {
        &self.rows
    }

    /// The old image, for what is taken out of its fragment blocks.
    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    /// Bytes that are copied.
    pub(super) fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.len).sum()
    }

    /// Copies everything to where [`Kept::of`] has placed it; `progress` is told of the bytes.
    pub(super) fn copy(&self, out: &mut dyn Write, progress: &dyn Fn(u64)) -> Result<(), WriteError> {
        for run in &self.runs {
            let mut done = 0;
            while done < run.len {
                let now = (run.len - done).min(COPIED);
                let bytes = self.image.stored_bytes(run.start + done, now as usize); // at most 1 MiB
                let bytes = bytes.map_err(WriteError::kept)?;
                out.write_all(&bytes).map_err(WriteError::output)?;
                self.image.recycle(bytes);
                progress(now);
                done += now;
            }
        }
        Ok(())
    }
}

/// Ranges as runs: in order, those that touch or overlap as one. The first one's place is `start`.
fn merge(mut ranges: Vec<(u64, u64)>, start: u64) -> Vec<Run> {
    ranges.sort_unstable();
    let mut runs: Vec<Run> = Vec::new();
    let mut place = start;
    for (start, len) in ranges {
        let end = start + len; // both lie in the old image
        match runs.last_mut() {
            Some(last) if start <= last.start + last.len => {
                let longer = end.saturating_sub(last.start + last.len);
                last.len += longer;
                place += longer;
            }
            _ => {
                runs.push(Run { start, len, place });
                place += len;
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_or_overlap_are_one_run_and_holes_between_them_close() {
        let runs = merge(vec![(500, 10), (100, 50), (150, 10), (120, 10), (100, 20), (505, 20)], 96);
        let runs: Vec<_> = runs.iter().map(|run| (run.start, run.len, run.place)).collect();
        assert_eq!(runs, [(100, 60, 96), (500, 25, 156)]);
        assert!(merge(Vec::new(), 96).is_empty());
    }
}
