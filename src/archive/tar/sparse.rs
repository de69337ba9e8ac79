//! Sparse files: which stretches of a file are stored, the rest being zeros.
//!
//! GNU tar manual, "Storing Sparse Files" (old GNU, PAX 0.0, 0.1 and 1.0). A map is checked as a
//! whole before the first byte is given out: sorted, apart, within the size, and exactly as long
//! as what is stored.

/// Stretches of a file: offset and length.
pub(super) type Extents = Vec<(u64, u64)>;

/// Stored stretches of a file, and where in it a reading is.
#[derive(Debug)]
pub(super) struct Map {
    /// Sorted, none empty.
    extents: Extents,
    next: usize,
    at: u64,
    size: u64,
}

/// What comes next of a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many zeros.
    Hole(u64),
    /// So many stored bytes.
    Data(u64),
    /// Nothing.
    End,
}

impl Map {
    /// Checks a map of a file of `size` bytes of which `stored` are in the archive.
    pub(super) fn new(extents: Extents, size: u64, stored: u64) -> Result<Self, String> {
        let (mut end, mut total) = (0_u64, 0_u64);
        for &(offset, len) in &extents {
            if offset < end {
                return Err("has a sparse map that overlaps or goes backwards".to_owned());
            }
            end = offset
                .checked_add(len)
                .filter(|end| *end <= size)
                .ok_or("has a sparse map that leads behind its size")?;
            total += len; // at most `end`, as extents lie apart
        }
        if total != stored {
            return Err(format!("has a sparse map of {total} bytes and stores {stored}"));
        }
        let extents = extents.into_iter().filter(|(_, len)| *len > 0).collect();
        Ok(Self { extents, next: 0, at: 0, size })
    }

    /// Length of the file, holes included.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What comes next.
    pub(super) fn step(&self) -> Step {
        match self.extents.get(self.next) {
            Some(&(offset, _)) if self.at < offset => Step::Hole(offset - self.at),
            Some(&(offset, len)) => Step::Data(offset + len - self.at),
            None if self.at < self.size => Step::Hole(self.size - self.at),
            None => Step::End,
        }
    }

    /// Goes on by at most what [`Map::step`] gave.
    pub(super) fn advance(&mut self, by: u64) {
        self.at += by;
        if self.extents.get(self.next).is_some_and(|(offset, len)| self.at >= offset + len) {
            self.next += 1;
        }
    }
}

/// Pairs up a flat list of offsets and lengths.
pub(super) fn pairs(numbers: &[u64]) -> Result<Extents, String> {
    if !numbers.len().is_multiple_of(2) {
        return Err("has a sparse map with an offset and no length".to_owned());
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_contradict_themselves_are_refused() {
        for (extents, size, stored) in [
            (vec![(0, 5), (4, 5)], 20, 10),
            (vec![(10, 1), (0, 1)], 20, 2),
            (vec![(0, 21)], 20, 21),
            (vec![(u64::MAX, 1)], 20, 1),
            (vec![(0, 5)], 20, 6),
        ] {
            assert!(Map::new(extents.clone(), size, stored).is_err(), "{extents:?}");
        }
    }

    #[test]
    fn a_map_alternates_holes_and_data() {
        let mut map = Map::new(vec![(2, 3), (5, 1), (9, 0)], 9, 4).unwrap();
        let mut steps = Vec::new();
        loop {
            match map.step() {
                Step::End => break,
                step @ (Step::Hole(n) | Step::Data(n)) => {
                    steps.push(step);
                    map.advance(n);
                }
            }
        }
        assert_eq!(steps, [Step::Hole(2), Step::Data(3), Step::Data(1), Step::Hole(3)]);
    }
}
