//! kmod's binary index: a path-compressed trie of 7-bit keys, each with values of a priority.
//!
//! Everything is big endian: a magic, a version, the offset of the root; then the nodes. An offset
//! carries in its upper four bits what its node has. A node is its prefix (ending in NUL), the first
//! and last byte of its children with an offset for each byte from one to the other, and the number of
//! its values, each a priority and a text that ends in NUL. kmod 34 writes a node before its children
//! (earlier ones after them): so does this, and readers take both.

use std::borrow::Cow;
use std::ops::Range;

const MAGIC: u32 = 0xb007_f457;
const VERSION: u32 = 0x0002_0001;
/// Where the root begins: behind magic, version and its own offset.
const ROOT: u32 = 12;

const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
/// Offsets have 28 bits.
const OFFSET_MAX: u32 = 0x0fff_ffff;

/// The longest key: kmod's buffers for names and aliases have `PATH_MAX` bytes. It bounds the depth.
pub const KEY_MAX: usize = 4095;

/// An index would be larger than its own offsets can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the index would have more than the 256 MiB that its offsets reach")]
pub struct TooLarge;

/// An index in the making.
#[derive(Debug, Default)]
pub struct Index<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    key: Cow<'a, [u8]>,
    value: Cow<'a, [u8]>,
    priority: u32,
}

/// A node: nodes stand in the order in which they are written.
#[derive(Debug)]
struct Node {
    /// The bytes of its first entry's key that are its prefix.
    prefix: Range<usize>,
    /// Its own values: these entries.
    values: Range<usize>,
    /// The entry whose key holds the prefix.
    entry: usize,
    /// The byte that leads to each child, and the child.
    children: Vec<(u8, usize)>,
    /// Where it begins in the file.
    offset: u32,
}

/// Entries that begin alike, to be made a node.
struct Task {
    entries: Range<usize>,
    /// Length of what they are known to begin with.
    depth: usize,
    parent: Option<(usize, u8)>,
}

impl<'a> Index<'a> {
    /// Adds a value. `false`, and nothing is added, for a key that the index cannot hold: one that is
    /// not ASCII, is too long or contains a NUL byte.
    pub fn add(
        &mut self,
        key: impl Into<Cow<'a, [u8]>>,
        value: impl Into<Cow<'a, [u8]>>,
        priority: u32,
    ) -> bool {
        let (key, value) = (key.into(), value.into());
        let fits = key.len() <= KEY_MAX && key.iter().all(|byte| (1..0x80).contains(byte));
        if fits {
            self.entries.push(Entry { key, value, priority });
        }
        fits
    }

    /// Writes the index. Values of one key are ordered by priority; of equal ones the last added comes
    /// first.
    pub fn finish(mut self) -> Result<Vec<u8>, TooLarge> {
        self.entries.reverse();
        self.entries.sort_by(|a, b| (&a.key, a.priority).cmp(&(&b.key, b.priority)));
        let mut nodes = self.nodes();
        let mut offset = ROOT;
        for node in &mut nodes {
            node.offset = offset;
            let size = self.size(node).ok_or(TooLarge)?;
            offset = offset.checked_add(size).filter(|end| *end <= OFFSET_MAX).ok_or(TooLarge)?;
        }
        let mut out = Vec::with_capacity(offset as usize);
        let root = nodes.first().map_or(ROOT, Node::reference);
        for word in [MAGIC, VERSION, root] {
            out.extend(word.to_be_bytes());
        }
        for node in &nodes {
            self.write(node, &nodes, &mut out);
        }
        Ok(out)
    }

    /// The key of an entry: entries are told by indices that come from `self.entries` itself.
    fn key(&self, entry: usize) -> &[u8] {
        self.entries.get(entry).map_or(&[], |entry| &entry.key)
    }

    /// The nodes of the sorted entries, parents before children, children by their bytes.
    fn nodes(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut tasks = vec![Task { entries: 0..self.entries.len(), depth: 0, parent: None }];
        while let Some(Task { entries, depth, parent }) = tasks.pop() {
            let id = nodes.len();
            let end = match parent {
                Some((parent, byte)) => {
                    if let Some(parent) = nodes.get_mut(parent) {
                        parent.children.push((byte, id));
                    }
                    depth + self.common(&entries, depth)
                }
                None => 0, // the root never has a prefix
            };
            let own = self.own(&entries, end);
            let mut rest = own.end..entries.end;
            let from = tasks.len();
            while let Some(&byte) = self.key(rest.start).get(end).filter(|_| !rest.is_empty()) {
                let same = |entry: &Entry<'_>| entry.key.get(end) == Some(&byte);
                let group = self.entries.get(rest.clone()).map_or(0, |rest| rest.partition_point(same));
                let until = rest.start + group.max(1);
                tasks.push(Task { entries: rest.start..until, depth: end + 1, parent: Some((id, byte)) });
                rest.start = until;
            }
            // The last task is done first.
            if let Some(children) = tasks.get_mut(from..) {
                children.reverse();
            }
            nodes.push(Node {
                prefix: depth..end,
                entry: entries.start,
                values: own,
                children: Vec::new(),
                offset: 0,
            });
        }
        nodes
    }

    /// How many bytes behind `depth` all of the entries, which are sorted, have in common.
    fn common(&self, entries: &Range<usize>, depth: usize) -> usize {
        let first = self.key(entries.start).get(depth..).unwrap_or_default();
        let last = self.key(entries.end.saturating_sub(1)).get(depth..).unwrap_or_default();
        first.iter().zip(last).take_while(|(a, b)| a == b).count()
    }

    /// The entries whose key ends at `end`: they come first.
    fn own(&self, entries: &Range<usize>, end: usize) -> Range<usize> {
        let ends = |entry: &Entry<'_>| entry.key.len() == end;
        let count = self.entries.get(entries.clone()).map_or(0, |entries| entries.partition_point(ends));
        entries.start..entries.start + count
    }

    fn values(&self, node: &Node) -> &[Entry<'a>] {
        self.entries.get(node.values.clone()).unwrap_or_default()
    }

    fn size(&self, node: &Node) -> Option<u32> {
        let mut size = 0;
        if !node.prefix.is_empty() {
            size += node.prefix.len() + 1;
        }
        if let Some((first, last)) = node.span() {
            size += 2 + 4 * (usize::from(last - first) + 1);
        }
        let values = self.values(node);
        if !values.is_empty() {
            size += 4 + values.iter().map(|entry| 4 + entry.value.len() + 1).sum::<usize>();
        }
        u32::try_from(size).ok()
    }

    fn write(&self, node: &Node, nodes: &[Node], out: &mut Vec<u8>) {
        if !node.prefix.is_empty() {
            out.extend_from_slice(self.key(node.entry).get(node.prefix.clone()).unwrap_or_default());
            out.push(0);
        }
        if let Some((first, last)) = node.span() {
            out.extend([first, last]);
            let mut children = node.children.iter().peekable();
            for byte in first..=last {
                let child = children.next_if(|(of, _)| *of == byte).and_then(|(_, id)| nodes.get(*id));
                out.extend(child.map_or(0, Node::reference).to_be_bytes());
            }
        }
        let values = self.values(node);
        if !values.is_empty() {
            out.extend((values.len() as u32).to_be_bytes()); // bounded by the size
            for Entry { priority, value, .. } in values {
                out.extend(priority.to_be_bytes());
                out.extend_from_slice(value);
                out.push(0);
            }
        }
    }
}

impl Node {
    /// The bytes of the first and the last child.
    fn span(&self) -> Option<(u8, u8)> {
        Some((self.children.first()?.0, self.children.last()?.0))
    }

    /// Its offset, with what it has.
    fn reference(&self) -> u32 {
        let flag = |has: bool, flag: u32| if has { flag } else { 0 };
        self.offset
            | flag(!self.prefix.is_empty(), HAS_PREFIX)
            | flag(!self.values.is_empty(), HAS_VALUES)
            | flag(!self.children.is_empty(), HAS_CHILDREN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trie_is_laid_out_parents_first_with_values_by_priority() {
        let mut index = Index::default();
        for (key, value, priority) in
            [("ab", "two", 2), ("ab", "one", 1), ("ab", "first", 1), ("abc", "x", 0)]
        {
            assert!(index.add(key.as_bytes(), value.as_bytes(), priority));
        }
        let root = [&[b'a', b'a'][..], &(0xe000_0000u32 | 18).to_be_bytes()].concat();
        let value = |priority: u32, text: &str| [&priority.to_be_bytes(), text.as_bytes(), b"\0"].concat();
        let ab = [
            b"b\0cc".to_vec(),
            (0x4000_0000u32 | 56).to_be_bytes().to_vec(),
            3u32.to_be_bytes().to_vec(),
            value(1, "first"),
            value(1, "one"),
            value(2, "two"),
        ]
        .concat();
        let abc = [1u32.to_be_bytes().to_vec(), value(0, "x")].concat();
        let head = [0xb007_f457u32, 0x0002_0001, 0x2000_000c].map(u32::to_be_bytes).concat();
        assert_eq!(index.finish().unwrap(), [head, root, ab, abc].concat());
    }

    #[test]
    fn keys_that_are_not_ascii_or_too_long_are_refused_and_nesting_is_no_recursion() {
        let mut index = Index::default();
        assert!(!index.add("\u{e9}".as_bytes(), &b"v"[..], 0));
        assert!(!index.add(&b"a\0b"[..], &b"v"[..], 0));
        assert!(!index.add(vec![b'a'; KEY_MAX + 1], &b"v"[..], 0));
        for len in 0..=KEY_MAX {
            assert!(index.add(vec![b'a'; len], &b"v"[..], 0));
        }
        let bytes = index.finish().unwrap();
        assert!(bytes.len() > KEY_MAX * 16);
    }

    #[test]
    fn an_empty_index_is_its_head_alone() {
        assert_eq!(Index::default().finish().unwrap().len(), 12);
    }
}
