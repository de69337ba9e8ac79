#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Cursor, Read};

use super::super::format::DATA_STORED;
use super::super::read::read_tree;
use super::super::write_tree;
use super::*;
use crate::archive::tree::{Entry, Kind};
use crate::base::{Content, Workers};

const BLOCK: usize = 4096;

/// Bytes that compress, and are others for each seed.
fn text(seed: u64, len: usize) -> Vec<u8> {
    (seed * 1000..).flat_map(|n| format!("{n} ").into_bytes()).take(len).collect()
}

fn file(seed: u64, len: usize) -> Entry {
    Entry::file(0o644, Content::memory(text(seed, len)))
}

fn help(workers: &Workers) -> Help<'_> {
    Help { workers, cache: None, progress: &|_| {} }
}

fn image_of(tree: &Tree, codec: Codec) -> (Vec<u8>, Image) {
    let (mut out, workers) = (Cursor::new(Vec::new()), Workers::new(2));
    let options = Options { codec, block_size: BLOCK as u32, ..Options::default() };
    write_tree(tree, &options, &help(&workers), &mut out).unwrap();
    let bytes = out.into_inner();
    let image = Image::open(&Content::memory(bytes.clone())).unwrap();
    (bytes, image)
}

fn exchanged(image: &Image, subtree: &str, tree: &Tree) -> Result<(Vec<u8>, Image, Rewritten), WriteError> {
    let (mut out, workers) = (Cursor::new(Vec::new()), Workers::new(2));
    let rewritten = exchange(image, subtree, tree, &help(&workers), &mut out)?;
    let bytes = out.into_inner();
    assert_eq!(bytes.len() as u64, rewritten.image.size);
    let image = Image::open(&Content::memory(bytes.clone())).unwrap();
    Ok((bytes, image, rewritten))
}

fn contents(image: &Image) -> Tree {
    let mut keep = |reader: &mut dyn Read, _: u64| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        Ok(Content::memory(bytes))
    };
    read_tree(image, "", &Workers::new(1), &mut keep).unwrap()
}

/// Files of all shapes around `m`, which is to be exchanged: large ones with short ends, small ones
/// that share blocks with some of `m`, a sparse one, names of one file, twins.
fn before() -> Tree {
    let mut tree = Tree::new();
    let mut sparse = vec![0; 9 * BLOCK + 5];
    sparse[4 * BLOCK + 7] = 1;
    for (path, entry) in [
        ("a/large", file(1, 20 * BLOCK + 100)),
        ("a/small", file(2, 3000)),
        ("a/twin", file(1, 20 * BLOCK + 100)),
        ("a/zeros", Entry::file(0o600, Content::memory(vec![0; 3 * BLOCK]))),
        ("b/sparse", Entry::file(0o600, Content::memory(sparse))),
        ("lone", file(3, 3000)),
        ("m/old", file(4, 30 * BLOCK)),
        ("m/shared", file(6, 500)),
        ("n/beside", file(5, 400)),
        ("n/empty", file(0, 0)),
        ("n/second", file(7, 100)),
        ("n/third", file(8, 4000)),
        ("z/link", Entry::symlink("../a")),
        ("z/other", Entry::new(0o644, Kind::HardLink("a/large".to_owned()))),
    ] {
        tree.insert(path, entry).unwrap();
    }
    tree
}

fn after() -> Tree {
    let mut tree = Tree::new();
    tree.insert("m", Entry::new(0o700, Kind::Directory)).unwrap();
    for (name, seed, len) in [("new", 9, 5 * BLOCK), ("tiny", 10, 30), ("twin", 9, 5 * BLOCK)] {
        tree.insert(&format!("m/{name}"), file(seed, len)).unwrap();
    }
    tree
}

#[test]
fn blocks_that_stay_are_the_same_bytes_at_their_new_places() {
    for codec in [Codec::Zstd, Codec::Xz, Codec::Gzip, Codec::None] {
        let (old_bytes, old) = image_of(&before(), codec);
        let (new_bytes, new, done) = exchanged(&old, "m", &after()).unwrap();
        let (mut blocks, mut fragments, mut apart) = (0, 0, Vec::new());
        for node in old.list("").unwrap().iter().filter(|node| !is_below(&node.path, "m")) {
            let Some(was) = old.stored_file(node).unwrap() else { continue };
            let nodes = new.list(&node.path).unwrap();
            let is = new.stored_file(&nodes[0]).unwrap().unwrap();
            assert_eq!((&was.sizes, was.holes), (&is.sizes, is.holes), "{}", node.path);
            let part = |bytes: &[u8], start: u64, len: u64| bytes[start as usize..][..len as usize].to_vec();
            assert!(part(&old_bytes, was.start, was.len()) == part(&new_bytes, is.start, is.len()));
            blocks += was.sizes.iter().filter(|size| **size != 0).count();
            let (Some(was), Some(is)) = (was.tail, is.tail) else { continue };
            let (was_at, was_size) = old.stored_fragment(was.fragment).unwrap();
            let (is_at, is_size) = new.stored_fragment(is.fragment).unwrap();
            let len = |size: u32| u64::from(size & !DATA_STORED);
            if part(&old_bytes, was_at, len(was_size)) == part(&new_bytes, is_at, len(is_size)) {
                assert_eq!((was_size, was.offset, was.len), (is_size, is.offset, is.len));
                fragments += 1;
            } else {
                apart.push(node.path.clone());
            }
        }
        // `a/large` once, its twin and its other name at the same place; one block of `b/sparse`.
        assert_eq!(blocks, 21 + 21 + 1, "{codec}");
        assert_eq!(apart, ["lone", "n/beside", "n/second"], "{codec}");
        assert_eq!((done.repacked, fragments), (3, 2), "{codec}");
        assert!(done.copied > 0);
    }
}

#[test]
fn an_image_with_an_exchanged_subtree_reads_as_what_it_was_with_the_new_one() {
    let (_, old) = image_of(&before(), Codec::Zstd);
    let (bytes, new, done) = exchanged(&old, "m", &after()).unwrap();
    let mut expected = before();
    expected.remove("m");
    for (path, entry) in after().iter() {
        expected.insert(path, entry.clone()).unwrap();
    }
    let found = contents(&new);
    let show = |tree: &Tree| -> Vec<String> {
        let line = |(path, entry): (&str, &Entry)| match entry.content() {
            Some(content) => format!("{path} {:o} {}", entry.mode, content.digest().unwrap()),
            None => format!("{path} {:o} {:?}", entry.mode, entry.kind),
        };
        tree.iter().map(line).collect()
    };
    assert_eq!(show(&found), show(&expected));
    assert_eq!(done.image.duplicates, 1);
    assert_eq!(bytes.len() % 4096, 0);
    assert_eq!(bytes, exchanged(&old, "m", &after()).unwrap().0);
    // Exchanged back, it is all there again, and exchanged for the same nothing is lost either.
    let (_, back, _) = exchanged(&new, "m", &before_m()).unwrap();
    assert_eq!(show(&contents(&back)), show(&before()));
}

fn before_m() -> Tree {
    let mut tree = Tree::new();
    for (path, entry) in before().below("m") {
        tree.insert(path, entry.clone()).unwrap();
    }
    tree
}

#[test]
fn a_file_with_a_name_outside_of_the_subtree_stays() {
    let mut tree = before();
    tree.insert("z/of-m", Entry::new(0, Kind::HardLink("m/shared".to_owned()))).unwrap();
    tree.insert("z/of-m-too", Entry::new(0, Kind::HardLink("m/shared".to_owned()))).unwrap();
    let (_, old) = image_of(&tree, Codec::Zstd);
    let (_, new, done) = exchanged(&old, "m", &after()).unwrap();
    let nodes = new.list("z").unwrap();
    let links: Vec<_> = nodes.iter().map(|node| (node.path.as_str(), node.links)).collect();
    assert_eq!(links, [("z", 2), ("z/link", 1), ("z/of-m", 2), ("z/of-m-too", 2), ("z/other", 2)]);
    assert_eq!(done.repacked, 0);
    let found = contents(&new);
    assert_eq!(found.get("z/of-m").unwrap().content().unwrap().read(1000).unwrap(), text(6, 500));
}

#[test]
fn what_cannot_be_exchanged_is_an_error_that_names_it() {
    let (_, old) = image_of(&before(), Codec::Zstd);
    let why = |subtree: &str, tree: &Tree| match exchanged(&old, subtree, tree) {
        Err(WriteError::Exchange { path, why }) => format!("{path} {why}"),
        other => panic!("{:?}", other.map(|done| done.2)),
    };
    assert_eq!(why("no", &after()), "no it is no directory of the image");
    assert_eq!(why("lone", &after()), "lone it is no directory of the image");
    assert_eq!(why("a", &after()), "a it is no directory of what is to be there");
    let mut wide = after();
    wide.insert("b/x", file(1, 1)).unwrap();
    assert_eq!(why("m", &wide), "b it lies outside of the subtree that is exchanged");
}
