//! Squashfs images with one subtree exchanged: what stays is as it was, to others' tools too.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/samples.rs"]
mod samples;
#[path = "support/unpacked.rs"]
mod unpacked;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use judge::{judge, missing};
use samples::{Random, dump};
use talosmith::archive::squashfs::{
    Codec, Help, Image, Options, Rewritten, WriteError, exchange, read_tree, write_tree,
};
use talosmith::archive::tree::is_below;
use talosmith::archive::{Entry, Kind, Tree, tar};
use talosmith::base::{Content, Digest, Workers};
use unpacked::{attributes, is_root, listing, run};

const CODECS: [Codec; 4] = [Codec::Zstd, Codec::Xz, Codec::Gzip, Codec::None];

fn help(workers: &Workers) -> Help<'_> {
    Help { workers, cache: None, progress: &|_| {} }
}

fn open(bytes: &[u8]) -> Image {
    Image::open(&Content::memory(bytes)).unwrap()
}

fn swap(image: &Image, subtree: &str, tree: &Tree, jobs: usize) -> Result<(Vec<u8>, Rewritten), WriteError> {
    let (mut out, workers) = (Cursor::new(Vec::new()), Workers::new(jobs));
    let done = exchange(image, subtree, tree, &help(&workers), &mut out)?;
    Ok((out.into_inner(), done))
}

/// Everything of an image, by path: attributes, bytes, links, and which names are one inode.
fn everything(image: &Image) -> BTreeMap<String, String> {
    let nodes = image.list("").unwrap();
    let mut names: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    nodes.iter().for_each(|node| names.entry(node.inode).or_default().push(&node.path));
    let mut digests = BTreeMap::new();
    image
        .walk::<talosmith::archive::squashfs::ReadError>(&nodes, &Workers::new(2), &mut |node, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            digests.insert(node.inode, (bytes.len(), Digest::of(&bytes)));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let mut shown = BTreeMap::new();
    for node in &nodes {
        let entry = &node.entry;
        let kind = match &entry.kind {
            Kind::File(_) | Kind::HardLink(_) => "file".to_owned(),
            kind => format!("{kind:?}"),
        };
        let line = format!(
            "{kind} {:o} {}:{} {} {:?} {:?} {} {:?}",
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime,
            entry.xattrs,
            digests[&node.inode],
            node.links,
            names[&node.inode]
        );
        shown.insert(node.path.clone(), line);
    }
    shown
}

/// A random tree below `usr/lib/modules`.
fn modules(random: &mut Random, entries: usize, block: u64) -> Tree {
    let mut tree = Tree::new();
    tree.insert("usr/lib/modules", Entry::new(0o711, Kind::Directory)).unwrap();
    for (path, entry) in random.tree(entries, block).iter() {
        let mut entry = entry.clone();
        if let Kind::HardLink(target) = &entry.kind {
            entry.kind = Kind::HardLink(format!("usr/lib/modules/{target}"));
        }
        tree.insert(&format!("usr/lib/modules/{path}"), entry).unwrap();
    }
    tree
}

fn outside(all: BTreeMap<String, String>) -> BTreeMap<String, String> {
    all.into_iter().filter(|(path, _)| !is_below(path, "usr/lib/modules")).collect()
}

#[test]
fn what_lies_outside_of_the_subtree_stays_and_what_lies_inside_is_the_new_tree() {
    let mut random = Random(41);
    let mut repacked = 0;
    for round in 0..40 {
        let block_size = [4096, 8192, 131_072][round % 3];
        let block = u64::from(block_size).min(20_000);
        let mut tree = random.tree(20 + round * 5, block);
        for (path, entry) in modules(&mut random, 30, block).iter() {
            if tree.get(path).is_none() {
                tree.insert(path, entry.clone()).unwrap();
            }
        }
        let options = Options { codec: CODECS[round % 4], block_size, ..Options::default() };
        let (mut out, workers) = (Cursor::new(Vec::new()), Workers::new(2));
        write_tree(&tree, &options, &help(&workers), &mut out).unwrap();
        let old = open(out.get_ref());
        let new_modules = modules(&mut random, 25, block);
        let (bytes, done) = swap(&old, "usr/lib/modules", &new_modules, 2).unwrap();
        assert_eq!(bytes.len() % 4096, 0);
        assert!(bytes == swap(&old, "usr/lib/modules", &new_modules, 5).unwrap().0, "round {round}");
        let new = open(&bytes);
        assert_eq!(outside(everything(&old)), outside(everything(&new)), "round {round}");
        assert_eq!(format!("{:?}", old.root().unwrap()), format!("{:?}", new.root().unwrap()));
        let mut keep = |reader: &mut dyn Read, _: u64| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            Ok(Content::memory(bytes))
        };
        let found = read_tree(&new, "usr/lib/modules", &workers, &mut keep).unwrap();
        let below = |tree: &Tree| -> Vec<String> {
            dump(tree).into_iter().filter(|line| line.starts_with("\"usr/lib/modules")).collect()
        };
        assert_eq!(below(&found), below(&new_modules), "round {round}");
        repacked += done.repacked;
    }
    assert!(repacked > 20, "{repacked}");
}

/// A folder of files as they are in a distribution, with `usr/lib/modules` in the middle.
fn tree_on_disk() -> Tree {
    let mut random = Random(77);
    let mut tree = Tree::new();
    for (path, entry) in random.tree(300, 9000).iter() {
        let odd = |text: &str| text.contains('\n');
        let linked = match &entry.kind {
            Kind::HardLink(target) | Kind::Symlink(target) => odd(target),
            _ => false,
        };
        if !odd(path) && !linked {
            tree.insert(path, entry.clone()).unwrap();
        }
    }
    for (path, entry) in modules(&mut random, 60, 9000).iter() {
        if !path.contains('\n') && !matches!(entry.kind, Kind::HardLink(_)) {
            let _ = tree.insert(path, entry.clone()); // below one that was left out
        }
    }
    let mut sparse = vec![0; 900_000];
    sparse[600_000] = 7;
    tree.insert("usr/lib/sparse", Entry::file(0o600, Content::memory(sparse))).unwrap();
    let noise: Vec<u8> = (0..700_001).map(|_| random.next() as u8).collect();
    tree.insert("usr/lib/large", Entry::file(0o644, Content::memory(noise))).unwrap();
    let label = b"system_u:object_r:lib_t:s0\0".to_vec();
    for path in ["usr", "usr/lib", "usr/lib/sparse", "usr/lib/large"] {
        let entry = tree.get_mut(path).unwrap();
        entry.xattrs.insert("security.selinux".to_owned(), label.clone());
    }
    tree
}

/// The new subtree: modules with labels.
fn new_modules() -> Tree {
    let mut tree = Tree::new();
    let labelled = |mut entry: Entry| {
        let label = b"system_u:object_r:module_t:s0\0".to_vec();
        entry.xattrs.insert("security.selinux".to_owned(), label);
        entry
    };
    for (path, entry) in [
        ("", Entry::directory()),
        ("/1.2.3", Entry::directory()),
        ("/1.2.3/a.ko", Entry::file(0o755, Content::memory(Random(5).bytes(100_000)))),
        ("/1.2.3/b.ko", Entry::file(0o755, Content::memory(&b"a small one"[..]))),
        ("/1.2.3/link", Entry::symlink("a.ko")),
    ] {
        tree.insert(&format!("usr/lib/modules{path}"), labelled(entry)).unwrap();
    }
    tree
}

/// The images that others make of one tree, in all the ways in which they do it.
fn foreign(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut made = Vec::new();
    let file = folder.join("foreign.sqsh");
    let name = file.to_str().unwrap();
    if let Some(tar2sqfs) = judge("tar2sqfs") {
        let tar = tar::write_tree(&tree_on_disk(), None, Vec::new()).unwrap();
        for words in ["-c zstd -b 8192", "-c xz -b 16384", "-c zstd -b 131072 -T", "-c gzip -b 8192 -e"] {
            let own = words.split(' ');
            let words: Vec<&str> = ["-q", "-f"].into_iter().chain(own).chain([name]).collect();
            run(&tar2sqfs, &words, Some(&tar));
            made.push((format!("tar2sqfs {words:?}"), std::fs::read(&file).unwrap()));
        }
    }
    let (Some(mksquashfs), Some(unsquashfs), Some((_, first))) =
        (judge("mksquashfs"), judge("unsquashfs"), made.first().cloned())
    else {
        return made;
    };
    if !is_root() {
        missing::<()>("owners and devices need root");
        return made;
    }
    std::fs::write(&file, first).unwrap();
    let tree = folder.join("tree");
    run(&unsquashfs, &["-n", "-q", "-f", "-d", tree.to_str().unwrap(), name], None);
    for words in [
        "-comp zstd -b 131072 -Xcompression-level 18",
        "-comp xz -b 65536 -Xdict-size 16384 -Xbcj x86",
        "-comp zstd -b 8192 -always-use-fragments -no-exports",
        "-comp zstd -b 4096 -no-fragments -no-duplicates",
        "-comp zstd -b 8192 -noI -noD -noF -noX",
    ] {
        let words: Vec<&str> = [tree.to_str().unwrap(), name]
            .into_iter()
            .chain(words.split(' '))
            .chain(["-noappend", "-no-progress", "-quiet"])
            .collect();
        run(&mksquashfs, &words, None);
        made.push((format!("mksquashfs {words:?}"), std::fs::read(&file).unwrap()));
    }
    made
}

#[test]
fn images_of_others_keep_everything_outside_of_the_subtree() {
    let folder = tempfile::tempdir().unwrap();
    for (what, bytes) in foreign(folder.path()) {
        let old = open(&bytes);
        let (new_bytes, done) = swap(&old, "usr/lib/modules", &new_modules(), 2).unwrap();
        let new = open(&new_bytes);
        assert_eq!(outside(everything(&old)), outside(everything(&new)), "{what}");
        let (was, is) = (old.info(), new.info());
        assert_eq!((was.codec, was.block_size, was.mtime), (is.codec, is.block_size, is.mtime), "{what}");
        assert!(done.copied > 700_000, "{what}: {}", done.copied);
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// What unsquashfs makes of an image, but the modules.
fn unsquashed(unsquashfs: &Path, bytes: &[u8], folder: &Path) -> (Vec<String>, Vec<String>) {
    let (file, out) = (folder.join("image.sqsh"), folder.join("out"));
    std::fs::write(&file, bytes).unwrap();
    run(unsquashfs, &["-n", "-q", "-f", "-d", out.to_str().unwrap(), file.to_str().unwrap()], None);
    let inside = listing(&out.join("usr/lib/modules"));
    std::fs::remove_dir_all(out.join("usr/lib/modules")).unwrap();
    // Its time was kept until this moment.
    let mut listed: Vec<String> = listing(&out);
    listed.retain(|line| !line.ends_with(" ./usr/lib "));
    listed.extend(attributes(&out).into_iter().map(|(path, attributes)| format!("{path} {attributes:?}")));
    std::fs::remove_dir_all(&out).unwrap();
    (listed, inside)
}

#[test]
fn unsquashfs_takes_the_same_files_out_and_the_new_ones() {
    let Some(unsquashfs) = judge("unsquashfs") else { return };
    let Some(_) = judge("getfattr") else { return };
    if !is_root() {
        missing::<()>("owners and devices need root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (what, bytes) in foreign(folder.path()) {
        let (new, _) = swap(&open(&bytes), "usr/lib/modules", &new_modules(), 2).unwrap();
        let (was, _) = unsquashed(&unsquashfs, &bytes, folder.path());
        let (is, inside) = unsquashed(&unsquashfs, &new, folder.path());
        assert!(was.len() > 150, "{what}: {}", was.len());
        assert!(was.iter().any(|line| line.contains(&hex("lib_t:s0\0"))), "{what}: {was:#?}");
        assert_eq!(was, is, "{what}");
        let labels = inside.iter().filter(|line| line.contains(&hex("module_t:s0\0"))).count();
        assert_eq!(labels, 5, "{what}: {inside:#?}");
        let options = |bytes: &[u8]| -> Vec<String> {
            let file = folder.path().join("image.sqsh");
            std::fs::write(&file, bytes).unwrap();
            let out = run(&unsquashfs, &["-s", file.to_str().unwrap()], None);
            let kept = ["Creation", "Compression", "\t", "Block size", "Filesystem is", "Always"];
            let text = String::from_utf8_lossy(&out).into_owned();
            text.lines()
                .filter(|line| kept.iter().any(|word| line.starts_with(word)))
                .map(str::to_owned)
                .collect()
        };
        let mut now = options(&new);
        if what.contains("-no-fragments") {
            // An image without any has no policy for them; the new modules bring some.
            now.retain(|line| !line.starts_with("Always"));
        }
        assert_eq!(options(&bytes), now, "{what}");
    }
}

#[test]
fn sqfs2tar_and_backhand_read_what_was_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    for (what, bytes) in foreign(folder.path()) {
        let (new, _) = swap(&open(&bytes), "usr/lib/modules", &new_modules(), 2).unwrap();
        if let Some(sqfs2tar) = judge("sqfs2tar") {
            let file = folder.path().join("image.sqsh");
            let untar = |bytes: &[u8]| -> Vec<String> {
                std::fs::write(&file, bytes).unwrap();
                let tar = run(&sqfs2tar, &["--no-skip", file.to_str().unwrap()], None);
                let mut keep = |reader: &mut dyn Read, _: u64| {
                    let mut bytes = Vec::new();
                    reader.read_to_end(&mut bytes)?;
                    Ok(Content::memory(bytes))
                };
                let mut reader = tar::Reader::new(&tar[..]);
                let contents = &mut tar::Contents::streamed(&mut keep);
                let tree = tar::read_tree(&mut reader, &|_| true, contents).unwrap().tree;
                dump(&tree).into_iter().filter(|line| !line.starts_with("\"usr/lib/modules")).collect()
            };
            assert_eq!(untar(&bytes), untar(&new), "{what}");
        }
        if what.contains("zstd") {
            let image = backhand::FilesystemReader::from_reader(Cursor::new(new)).unwrap();
            let large = image.files().find(|node| node.fullpath.ends_with("usr/lib/large")).unwrap();
            let backhand::InnerNode::File(file) = &large.inner else { panic!("{what}") };
            let mut bytes = Vec::new();
            image.file(file).reader().read_to_end(&mut bytes).unwrap();
            let wanted = tree_on_disk().get("usr/lib/large").unwrap().content().unwrap().clone();
            assert!(bytes == wanted.read(1 << 20).unwrap(), "{what}");
        }
    }
}

#[test]
fn a_damaged_image_is_rewritten_or_refused_but_never_a_panic() {
    let mut random = Random(9);
    let folder = tempfile::tempdir().unwrap();
    let mut originals: Vec<Vec<u8>> = foreign(folder.path()).into_iter().map(|(_, bytes)| bytes).collect();
    let mut tree = modules(&mut random, 20, 5000);
    tree.insert("a", Entry::file(0o644, Content::memory(random.bytes(30_000)))).unwrap();
    let (mut out, workers) = (Cursor::new(Vec::new()), Workers::new(1));
    let options = Options { block_size: 4096, ..Options::default() };
    write_tree(&tree, &options, &help(&workers), &mut out).unwrap();
    originals.push(out.into_inner());
    let new = new_modules();
    let (mut done, mut refused) = (0, 0);
    for _ in 0..600 {
        let mut bytes = originals[random.below(originals.len() as u64) as usize].clone();
        let len = bytes.len() as u64;
        for _ in 0..=random.below(3) {
            let at = if random.below(2) == 0 { random.below(96) } else { len - 1 - random.below(len / 4) };
            bytes[at as usize] = random.next() as u8;
        }
        let Ok(image) = Image::open(&Content::memory(bytes)) else { continue };
        match swap(&image, "usr/lib/modules", &new, 1) {
            Ok((bytes, _)) => {
                assert!(open(&bytes).list("usr/lib/modules").unwrap().len() == 5);
                done += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(done > 20 && refused > 20, "{done} {refused}");
}
