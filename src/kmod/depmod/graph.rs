//! Who needs whom.
//!
//! The order of a module's dependencies is kmod's: modules are sorted topologically from those that
//! nobody needs, the last that became free first, and dependencies stand in the order in which they
//! were reached, so that each stands before what it needs itself.

use std::collections::{BTreeSet, HashMap, VecDeque};

/// Dependencies between modules, told by their indices.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Of each module those it needs directly, each once.
    direct: Vec<Vec<usize>>,
}

/// A graph without loops, in order.
#[derive(Debug, Clone)]
pub struct Sorted {
    direct: Vec<Vec<usize>>,
    /// The rank of each module in the topological order.
    rank: Vec<usize>,
}

impl Graph {
    /// A graph of these direct dependencies; each must be an index of the list, and stand once.
    pub fn new(direct: Vec<Vec<usize>>) -> Self {
        Self { direct }
    }

    fn of(&self, module: usize) -> &[usize] {
        self.direct.get(module).map_or(&[], Vec::as_slice)
    }

    /// Sorts the modules; the loops if there are any.
    pub fn sort(self) -> Result<Sorted, Vec<Vec<usize>>> {
        let count = self.direct.len();
        let mut users = vec![0usize; count];
        for dependency in self.direct.iter().flatten() {
            users.get_mut(*dependency).into_iter().for_each(|users| *users += 1);
        }
        let unused = |(module, users): (usize, &usize)| (*users == 0).then_some(module);
        let mut free: Vec<usize> = users.iter().enumerate().filter_map(unused).collect();
        let mut rank = vec![usize::MAX; count];
        let mut next = 0;
        while let Some(module) = free.pop() {
            rank.get_mut(module).into_iter().for_each(|rank| *rank = next);
            next += 1;
            for dependency in self.of(module) {
                let Some(users) = users.get_mut(*dependency) else { continue };
                *users -= 1; // as often as it was counted above
                if *users == 0 {
                    free.push(*dependency);
                }
            }
        }
        if next == count {
            return Ok(Sorted { direct: self.direct, rank });
        }
        let left = (0..count).filter(|module| rank.get(*module) == Some(&usize::MAX)).collect();
        Err(self.loops(left))
    }

    /// One loop through each module of `left` that is in one and in none that was found before.
    fn loops(&self, mut left: BTreeSet<usize>) -> Vec<Vec<usize>> {
        // What leads nowhere but out of the loops is none of them.
        loop {
            let ends = |module: &usize| !self.of(*module).iter().any(|needed| left.contains(needed));
            let ends: Vec<usize> = left.iter().copied().filter(ends).collect();
            if ends.is_empty() {
                break;
            }
            left.retain(|module| ends.binary_search(module).is_err());
        }
        let mut loops: Vec<Vec<usize>> = Vec::new();
        let mut found = BTreeSet::new();
        for &module in &left {
            if !found.contains(&module)
                && let Some(path) = self.way_back(module, &left)
            {
                found.extend(path.iter().copied());
                loops.push(path);
            }
        }
        loops
    }

    /// The shortest way from a module to itself.
    fn way_back(&self, start: usize, within: &BTreeSet<usize>) -> Option<Vec<usize>> {
        let mut came_from: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(module) = queue.pop_front() {
            for &needed in self.of(module).iter().filter(|needed| within.contains(needed)) {
                if needed == start {
                    let mut path = vec![module];
                    while let Some(&before) =
                        path.last().filter(|last| **last != start).and_then(|last| came_from.get(last))
                    {
                        path.push(before);
                    }
                    path.reverse();
                    return Some(path);
                }
                came_from.entry(needed).or_insert_with(|| {
                    queue.push_back(needed);
                    module
                });
            }
        }
        None
    }
}

impl Sorted {
    /// Everything that a module needs, directly or not, in order.
    pub fn all(&self, module: usize) -> Vec<usize> {
        let of = |module: usize| self.direct.get(module).map_or(&[][..], Vec::as_slice);
        let mut all: Vec<usize> = of(module).to_vec();
        let mut seen: BTreeSet<usize> = all.iter().copied().collect();
        let mut next = 0;
        while let Some(&module) = all.get(next) {
            all.extend(of(module).iter().filter(|needed| seen.insert(**needed)));
            next += 1;
        }
        all.sort_by_key(|module| self.rank.get(*module));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_stands_before_what_it_needs_itself() {
        // 0 needs 1 and 3, 1 needs 2 and 3, 2 needs 3.
        let sorted = Graph::new(vec![vec![3, 1], vec![3, 2], vec![3], vec![]]).sort().unwrap();
        assert_eq!(sorted.all(0), [1, 2, 3]);
        assert_eq!(sorted.all(3), [] as [usize; 0]);
    }

    #[test]
    fn every_loop_is_found_and_what_hangs_on_it_is_no_part_of_it() {
        // 0 and 1 need each other, 2 needs them, they need 3; 4 needs itself.
        let loops = Graph::new(vec![vec![1, 3], vec![0], vec![0], vec![], vec![4, 3]]).sort().unwrap_err();
        assert_eq!(loops, [vec![0, 1], vec![4]]);
        // A bridge between two loops is in neither.
        let loops = Graph::new(vec![vec![1], vec![0, 2], vec![3], vec![4], vec![3]]).sort().unwrap_err();
        assert_eq!(loops, [vec![0, 1], vec![3, 4]]);
    }
}
