//! Archives that we write, read back, in every codec and after damage of all sorts.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/samples.rs"]
mod samples;

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use samples::{Random, dump};
use talosmith::archive::Tree;
use talosmith::archive::compress::{one_xz_stream, one_zstd_frame, stored_xz, stored_zstd};
use talosmith::archive::cpio::{Member, Options, ReadError, archive, read_tree, walk};
use talosmith::base::{Content, Workers};

/// A tree without what the format has no place for.
fn tree(random: &mut Random, entries: usize) -> Tree {
    let mut tree = random.tree(entries, 5000);
    let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_owned()).collect();
    for path in paths {
        tree.get_mut(&path).unwrap().xattrs.clear();
    }
    tree
}

fn pack(tree: &Tree) -> Content {
    archive(tree, &Options::default()).unwrap()
}

fn keep(reader: &mut dyn Read, _: u64) -> io::Result<Content> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(Content::memory(bytes))
}

fn unpack(content: &Content) -> Tree {
    read_tree(content, &|_| true, &mut keep).unwrap()
}

fn gzip(content: &Content) -> Content {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::copy(&mut content.open().unwrap(), &mut encoder).unwrap();
    Content::memory(encoder.finish().unwrap())
}

fn zstd(content: &Content) -> Content {
    let mut out = Vec::new();
    one_zstd_frame(&mut content.open().unwrap(), 3, &Workers::new(2), &mut out).unwrap();
    Content::memory(out)
}

fn xz(content: &Content) -> Content {
    let mut out = Vec::new();
    one_xz_stream(&mut content.open().unwrap(), &mut out).unwrap();
    Content::memory(out)
}

#[test]
fn what_was_written_reads_back_the_same_whatever_it_is_compressed_with() {
    let mut random = Random(17);
    for round in 0..40 {
        let tree = tree(&mut random, 5 + round * 5);
        let plain = pack(&tree);
        assert_eq!(plain.len() % 4, 0);
        assert_eq!(plain.read(1 << 30).unwrap().len() as u64, plain.len());
        let stored = stored_xz(&plain).unwrap();
        for content in [plain.clone(), stored_zstd(&plain), zstd(&plain), gzip(&plain), stored] {
            assert_eq!(dump(&unpack(&content)), dump(&tree), "round {round}");
        }
    }
}

#[test]
fn segments_lie_over_each_other_and_their_inodes_have_nothing_in_common() {
    let mut random = Random(4);
    let (one, two) = (tree(&mut random, 80), tree(&mut random, 80));
    // Whatever is in both is a directory in both, or the later takes it.
    let mut both = one.clone();
    for (path, entry) in two.iter() {
        both.replace(path, entry.clone()).unwrap();
    }
    for segments in [[pack(&one), pack(&two)], [zstd(&pack(&one)), gzip(&pack(&two))]] {
        let read = unpack(&Content::joined(segments));
        let links = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().map(|line| line.split(" HardLink").next().unwrap().to_owned()).collect()
        };
        assert_eq!(links(dump(&read)).len(), links(dump(&both)).len());
        assert!(read.iter().map(|(path, _)| path).eq(both.iter().map(|(path, _)| path)));
    }
}

/// Reads all of an initramfs that may be anything, up to 64 MiB of its contents.
fn exercise(bytes: &[u8]) -> bool {
    let mut left = 64u64 << 20;
    let result = walk(&Content::memory(bytes), &mut |_: &Member, reader: &mut dyn Read| {
        left -= io::copy(&mut reader.take(left), &mut io::sink()).unwrap_or(0);
        Ok::<(), ReadError>(())
    });
    let _ = read_tree(&Content::memory(bytes), &|path| path.len() % 2 == 0, &mut |reader, size| {
        let mut bytes = Vec::new();
        reader.take(size.min(1 << 20)).read_to_end(&mut bytes)?;
        Ok(Content::memory(bytes))
    });
    result.is_ok()
}

fn mutate(random: &mut Random, original: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        let len = bytes.len() as u64;
        let at = match random.below(3) {
            0 => random.below(240.min(len)),
            _ => random.below(len),
        } as usize;
        match random.below(6) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = b"0Ff7x\0"[random.below(6) as usize],
            3 => {
                let from = random.below(len) as usize;
                let count = (random.below(120) as usize).min(bytes.len() - at).min(bytes.len() - from);
                bytes.copy_within(from..from + count, at);
            }
            4 if bytes.len() > 200 => bytes.truncate(at.max(100)),
            _ => bytes.splice(at..at, vec![0; random.below(9) as usize]).for_each(drop),
        }
    }
    bytes
}

#[test]
fn a_damaged_initramfs_is_an_error_or_something_else_but_never_a_panic_or_a_hang() {
    let mut random = Random(23);
    let plain = pack(&tree(&mut random, 25));
    let more = pack(&tree(&mut random, 10));
    let mut lz4 = Vec::new();
    lz4.write_all(&[0x02, 0x21, 0x4c, 0x18, 5, 0, 0, 0, 0x40, b'0', b'7', b'0', b'7']).unwrap();
    let originals: Vec<Vec<u8>> = [
        plain.clone(),
        zstd(&plain),
        gzip(&plain),
        xz(&plain),
        stored_zstd(&plain),
        Content::joined([more.clone(), zstd(&plain), Content::memory(vec![0; 9]), gzip(&more)]),
    ]
    .iter()
    .map(|content| content.read(1 << 30).unwrap())
    .collect();
    assert!(originals.iter().all(|bytes| exercise(bytes)));
    let seconds = std::env::var("TALOSMITH_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    random = Random(seconds.unwrap_or(1) | 1);
    let (mut rounds, mut slowest, mut whole) = (0u64, Duration::ZERO, 0u64);
    while end.map_or(rounds < 5_000, |end| Instant::now() < end) {
        let original = &originals[random.below(originals.len() as u64) as usize];
        let bytes = mutate(&mut random, original);
        let start = Instant::now();
        whole += u64::from(exercise(&bytes));
        slowest = slowest.max(start.elapsed());
        rounds += 1;
    }
    println!("{rounds} mutations, {whole} of them still read, the slowest in {slowest:?}");
    assert!(!exercise(&lz4));
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}
