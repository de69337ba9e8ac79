//! DER as a tree that can be taken apart and put together in ways that nobody should.

// Each test uses its part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

/// An element.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its tag.
    pub tag: u8,
    /// What is in it.
    pub body: Body,
    /// What stands for its length, if not the length.
    lie: Option<Vec<u8>>,
}

/// What is in an element.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Elements, behind that many bytes (the first of a `BIT STRING` counts bits).
    Nodes(Vec<u8>, Vec<Node>),
}

impl Node {
    /// An element of bytes.
    pub fn bytes(tag: u8, bytes: impl Into<Vec<u8>>) -> Self {
        Self { tag, body: Body::Bytes(bytes.into()), lie: None }
    }

    /// An element of elements.
    pub fn nodes(tag: u8, nodes: impl Into<Vec<Node>>) -> Self {
        Self { tag, body: Body::Nodes(Vec::new(), nodes.into()), lie: None }
    }

    /// The elements in it; none if it has bytes.
    pub fn children(&self) -> &[Node] {
        match &self.body {
            Body::Bytes(_) => &[],
            Body::Nodes(_, nodes) => nodes,
        }
    }

    /// Reads one element that is all of `bytes`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (node, rest) = Self::first(bytes, 0)?;
        rest.is_empty().then_some(node)
    }

    fn first(bytes: &[u8], depth: usize) -> Option<(Self, &[u8])> {
        let [tag, first, rest @ ..] = bytes else { return None };
        let more = usize::from(if *first & 0x80 == 0 { 0 } else { first & 0x7f });
        let (long, rest) = rest.split_at_checked(more)?;
        let len = match more {
            0 => usize::from(*first),
            1..=4 => long.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)),
            _ => return None,
        };
        let (body, rest) = rest.split_at_checked(len)?;
        Some((Self { tag: *tag, body: Self::body(*tag, body, depth), lie: None }, rest))
    }

    /// Elements may lie in constructed ones, and in strings.
    fn body(tag: u8, body: &[u8], depth: usize) -> Body {
        let skip = usize::from(tag == 3);
        if (tag & 0x20 != 0 || tag == 3 || tag == 4) && depth < 20 && body.len() > skip {
            let (lead, mut rest) = body.split_at(skip);
            let mut nodes = Vec::new();
            while let Some((node, behind)) = Self::first(rest, depth + 1).filter(|_| !rest.is_empty()) {
                nodes.push(node);
                rest = behind;
            }
            if rest.is_empty() {
                return Body::Nodes(lead.to_vec(), nodes);
            }
        }
        Body::Bytes(body.to_vec())
    }

    /// What is in it, as bytes.
    fn encoded_body(&self) -> Vec<u8> {
        match &self.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Nodes(lead, nodes) => {
                let mut body = lead.clone();
                nodes.iter().for_each(|node| body.extend(node.encode()));
                body
            }
        }
    }

    /// What is in all elements with this tag.
    pub fn bodies(&self, tag: u8) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if self.tag == tag {
            all.push(self.encoded_body());
        }
        if let Body::Nodes(_, nodes) = &self.body {
            all.extend(nodes.iter().flat_map(|node| node.bodies(tag)));
        }
        all
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let body = self.encoded_body();
        let mut bytes = vec![self.tag];
        match &self.lie {
            Some(lie) => bytes.extend_from_slice(lie),
            None if body.len() < 0x80 => bytes.push(body.len() as u8),
            None => {
                let len = (body.len() as u32).to_be_bytes();
                let len = &len[len.iter().position(|byte| *byte != 0).unwrap()..];
                bytes.push(0x80 | len.len() as u8);
                bytes.extend_from_slice(len);
            }
        }
        bytes.extend(body);
        bytes
    }

    /// Number of elements in it, itself among them.
    fn count(&self) -> u64 {
        match &self.body {
            Body::Bytes(_) => 1,
            Body::Nodes(_, nodes) => 1 + nodes.iter().map(Node::count).sum::<u64>(),
        }
    }

    /// The element of this number, counted from the outside to the inside.
    fn at(&mut self, mut number: u64) -> Option<&mut Node> {
        if number == 0 {
            return Some(self);
        }
        number -= 1;
        let Body::Nodes(_, nodes) = &mut self.body else { return None };
        for node in nodes {
            let count = node.count();
            if number < count {
                return node.at(number);
            }
            number -= count;
        }
        None
    }
}

/// Lengths that do not fit, or are written in an unusual way.
const LIES: [&[u8]; 9] = [
    &[0],
    &[1],
    &[0x7f],
    &[0x80],
    &[0x81, 0x05],
    &[0x82, 0xff, 0xff],
    &[0x84, 0xff, 0xff, 0xff, 0xff],
    &[0x85, 1, 0, 0, 0, 0],
    &[0xff],
];
/// Tags, among them those that stand for something where certificates and messages have them.
const TAGS: [u8; 14] = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x1f, 0x30, 0x31, 0x80, 0xa0, 0xa1, 0xa3];

/// Changes one element of `tree`, perhaps for one of `other`. `below` gives a number below another.
pub fn mutate(tree: &mut Node, other: &Node, below: &mut dyn FnMut(u64) -> u64) {
    let mut other = other.clone();
    let count = tree.count();
    let spare = other.count();
    let foreign = other.at(below(spare)).cloned().unwrap();
    let again = tree.at(below(count)).cloned().unwrap();
    let Some(node) = tree.at(below(count)) else { return };
    match below(10) {
        0 => node.tag = TAGS[below(TAGS.len() as u64) as usize],
        1 => node.lie = Some(LIES[below(LIES.len() as u64) as usize].to_vec()),
        2 => *node = foreign,
        3 => *node = again,
        4 => {
            // Deeper and deeper.
            for _ in 0..below(60) {
                *node = Node::nodes(0x30, vec![node.clone()]);
            }
        }
        5 => node.body = Body::Bytes(vec![below(256) as u8; below(600) as usize]),
        6 | 7 => match &mut node.body {
            Body::Nodes(_, nodes) if !nodes.is_empty() => {
                let place = below(nodes.len() as u64) as usize;
                match below(5) {
                    0 => drop(nodes.remove(place)),
                    1 => {
                        let twin = nodes[place].clone();
                        (0..=below(40)).for_each(|_| nodes.insert(place, twin.clone()));
                    }
                    2 => nodes.insert(place, foreign),
                    3 => nodes.swap(0, place),
                    _ => nodes.push(again),
                }
            }
            _ => node.body = Body::Bytes(Vec::new()),
        },
        _ => match &mut node.body {
            Body::Bytes(bytes) if !bytes.is_empty() => {
                let place = below(bytes.len() as u64) as usize;
                match below(4) {
                    0 => bytes.insert(place, 0),
                    1 => drop(bytes.remove(place)),
                    2 => bytes[place] = [0, 1, 0x7f, 0x80, 0xff][below(5) as usize],
                    _ => bytes[place] ^= 1 << below(8),
                }
            }
            _ => {}
        },
    }
}
