//! What the squashfs writer writes, read back, and after damage of all sorts.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/samples.rs"]
mod samples;

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use samples::{Random, dump};
use talosmith::archive::squashfs::{
    Codec, Help, Image, Options, ReadError, WriteError, read_tree, write_tree,
};
use talosmith::archive::{Entry, Kind, Tree};
use talosmith::base::{BlockCache, Content, Digest, Epoch, Workers};

const CODECS: [Codec; 4] = [Codec::Zstd, Codec::Xz, Codec::Gzip, Codec::None];

fn pack_with(tree: &Tree, options: &Options, jobs: usize, cache: Option<Arc<dyn BlockCache>>) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let workers = Workers::new(jobs);
    let help = Help { workers: &workers, cache, progress: &|_| {} };
    let summary = write_tree(tree, options, &help, &mut out).unwrap();
    let bytes = out.into_inner();
    assert_eq!(summary.size, bytes.len() as u64);
    bytes
}

fn pack(tree: &Tree, options: &Options) -> Vec<u8> {
    pack_with(tree, options, 2, None)
}

fn keep(reader: &mut dyn Read, _: u64) -> std::io::Result<Content> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(Content::memory(bytes))
}

fn unpack(bytes: &[u8], wanted: &str) -> Result<Tree, ReadError> {
    let image = Image::open(&Content::memory(bytes))?;
    read_tree(&image, wanted, &Workers::new(2), &mut keep)
}

fn with(codec: Codec, block_size: u32) -> Options {
    Options { codec, block_size, ..Options::default() }
}

#[test]
fn what_was_written_reads_back_the_same() {
    let mut random = Random(7);
    for round in 0..60 {
        let block_size = [4096, 8192, 131_072][round % 3];
        let tree = random.tree(10 + round * 4, u64::from(block_size).min(20_000));
        let bytes = pack(&tree, &with(CODECS[round % 4], block_size));
        assert_eq!(bytes.len() % 4096, 0);
        assert_eq!(dump(&unpack(&bytes, "").unwrap()), dump(&tree), "round {round}");
    }
}

#[test]
fn the_bytes_depend_neither_on_threads_nor_on_the_cache() {
    #[derive(Default)]
    struct Cache(Mutex<std::collections::HashMap<Digest, Vec<u8>>>, Mutex<usize>);
    impl BlockCache for Cache {
        fn get(&self, key: &Digest) -> Option<Vec<u8>> {
            let found = self.0.lock().unwrap().get(key).cloned();
            *self.1.lock().unwrap() += usize::from(found.is_some());
            found
        }
        fn put(&self, key: &Digest, block: &[u8]) {
            self.0.lock().unwrap().insert(*key, block.to_vec());
        }
    }
    let tree = Random(3).tree(300, 8192);
    let cache = Arc::new(Cache::default());
    let one = pack_with(&tree, &with(Codec::Zstd, 8192), 1, None);
    for jobs in [1, 2, 7] {
        assert!(one == pack_with(&tree, &with(Codec::Zstd, 8192), jobs, Some(cache.clone())));
    }
    assert!(*cache.1.lock().unwrap() > 50, "the cache was not used");
}

#[test]
fn one_subtree_is_taken_without_the_rest() {
    let tree = Random(11).tree(400, 5000);
    let bytes = pack(&tree, &with(Codec::Zstd, 4096));
    for (path, _) in tree.iter().filter(|(_, entry)| entry.is_directory()) {
        let part: Vec<String> =
            unpack(&bytes, path).unwrap().iter().map(|(path, _)| path.to_owned()).collect();
        // Parents of what was asked for are made; they are not listed.
        let wanted: Vec<String> = tree.below(path).map(|(path, _)| path.to_owned()).collect();
        assert!(wanted.iter().all(|path| part.contains(path)), "{path}");
        assert!(part.iter().all(|one| wanted.contains(one) || path.starts_with(one.as_str())), "{path}");
    }
    assert!(matches!(unpack(&bytes, "not/there"), Err(ReadError::Missing(_))));
}

#[test]
fn a_directory_of_many_names_and_a_sparse_file_are_extended_and_read_back() {
    let mut tree = Tree::new();
    for number in 0..20_000 {
        let entry = Entry::file(0o644, Content::memory(format!("{}", number % 100).into_bytes()));
        tree.insert(&format!("many/a rather long name of file number {number:06}"), entry).unwrap();
    }
    let mut sparse = vec![0; 1 << 20];
    sparse[500_000] = 1;
    tree.insert("sparse", Entry::file(0o644, Content::memory(sparse))).unwrap();
    tree.insert("empty", Entry::directory()).unwrap();
    let bytes = pack(&tree, &Options::default());
    assert!(bytes.len() < 400_000, "{}", bytes.len());
    assert_eq!(dump(&unpack(&bytes, "").unwrap()), dump(&tree));
}

#[test]
fn an_epoch_stamps_everything_and_twins_are_stored_once() {
    let mut random = Random(5);
    let noise: Vec<u8> = (0..300_000).map(|_| random.next() as u8).collect();
    let mut tree = Tree::new();
    for path in ["a", "b", "c/d"] {
        let entry = Entry { mtime: 77, ..Entry::file(0o644, Content::memory(noise.clone())) };
        tree.insert(path, entry).unwrap();
    }
    let options = Options { epoch: Epoch::new(1_700_000_000), ..Options::default() };
    let bytes = pack(&tree, &options);
    assert!(bytes.len() < 310_000, "{}", bytes.len());
    let back = unpack(&bytes, "").unwrap();
    assert!(back.iter().all(|(_, entry)| entry.mtime == 1_700_000_000));
    let image = Image::open(&Content::memory(bytes)).unwrap();
    assert_eq!(image.info().mtime, 1_700_000_000);
    assert_eq!(image.root().unwrap().mode, 0o755);
}

#[test]
fn limits_of_the_format_are_errors() {
    let file = || Entry::file(0o644, Content::memory(*b"x"));
    let attribute = |name: &str, len| {
        let mut entry = file();
        entry.xattrs.insert(name.to_owned(), vec![0; len]);
        entry
    };
    let cases = [
        ("x".repeat(256), file()),
        ("t".to_owned(), Entry { mtime: -1, ..file() }),
        ("t".to_owned(), Entry { mtime: 1 << 32, ..file() }),
        ("u".to_owned(), Entry { uid: 1 << 32, ..file() }),
        ("d".to_owned(), Entry::new(0, Kind::CharDevice { major: 4096, minor: 0 })),
        ("l".to_owned(), Entry::symlink("x".repeat(4096))),
        ("h".to_owned(), Entry::new(0, Kind::HardLink("nowhere".to_owned()))),
        ("a".to_owned(), attribute("system.posix_acl_access", 1)),
        ("a".to_owned(), attribute("user.", 1)),
        ("a".to_owned(), attribute("user.x", 65_537)),
    ];
    let workers = Workers::new(1);
    let help = Help { workers: &workers, cache: None, progress: &|_| {} };
    for (path, entry) in cases {
        let mut tree = Tree::new();
        tree.insert(&path, entry).unwrap();
        let result = write_tree(&tree, &Options::default(), &help, &mut Cursor::new(Vec::new()));
        assert!(matches!(result, Err(WriteError::Refused { .. })), "{path} {result:?}");
    }
    let mut tree = Tree::new();
    for uid in 0..65_536 {
        tree.insert(&format!("{uid}"), Entry { uid, ..Entry::new(0, Kind::Fifo) }).unwrap();
    }
    let result = write_tree(&tree, &Options::default(), &help, &mut Cursor::new(Vec::new()));
    assert!(matches!(result, Err(WriteError::Limit(_))), "{result:?}");
    for (level, block_size, codec) in [
        (Some(0), 4096, Codec::Zstd),
        (Some(23), 4096, Codec::Zstd),
        (Some(3), 4096, Codec::Xz),
        (None, 5000, Codec::Zstd),
    ] {
        assert!(Options { level, block_size, codec, ..Options::default() }.check().is_err());
    }
}

/// Reads all of an image that may be anything, up to 64 MiB of its contents.
fn exercise(bytes: &[u8]) -> bool {
    let Ok(image) = Image::open(&Content::memory(bytes)) else { return false };
    let _ = image.root();
    let Ok(nodes) = image.list("") else { return false };
    let mut left = 64 << 20;
    image
        .walk(&nodes, &Workers::new(1), &mut |_, reader| {
            left -= std::io::copy(&mut reader.take(left), &mut std::io::sink()).unwrap_or(0);
            Ok::<(), ReadError>(())
        })
        .is_ok()
}

fn mutate(random: &mut Random, original: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        // Half of it where the numbers are: superblock and tables.
        let len = bytes.len() as u64;
        let at = match random.below(4) {
            0 => random.below(96.min(len)),
            1 => len - 1 - random.below(3000.min(len)),
            _ => random.below(len),
        } as usize;
        match random.below(5) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = [0, 0xff, 0x7f, 0x80][random.below(4) as usize],
            3 => {
                let from = random.below(len) as usize;
                let count = (random.below(16) as usize).min(bytes.len() - at).min(bytes.len() - from);
                bytes.copy_within(from..from + count, at);
            }
            _ if bytes.len() > 200 => bytes.truncate(at.max(100)),
            _ => {}
        }
    }
    bytes
}

/// Small images of all codecs, and those of the corpus.
fn originals() -> Vec<Vec<u8>> {
    let mut random = Random(23);
    let mut originals: Vec<Vec<u8>> = CODECS
        .iter()
        .map(|codec| {
            let tree = random.tree(30, 4096);
            pack(&tree, &with(*codec, 4096))
        })
        .collect();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/squashfs");
    let mut files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let images = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "sqsh"));
    originals.extend(images.map(|path| std::fs::read(path).unwrap()));
    originals
}

#[test]
fn a_damaged_image_is_an_error_or_something_else_but_never_a_panic_or_a_hang() {
    let originals = originals();
    assert!(originals.iter().all(|bytes| exercise(bytes)));
    let mut random = Random(1);
    let seconds = std::env::var("TALOSMITH_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    if let Some(seed) = seconds {
        random = Random(seed | 1);
    }
    let (mut rounds, mut slowest, mut whole) = (0u64, Duration::ZERO, 0u64);
    while end.map_or(rounds < 20_000, |end| Instant::now() < end) {
        let original = &originals[random.below(originals.len() as u64) as usize];
        let bytes = mutate(&mut random, original);
        let start = Instant::now();
        whole += u64::from(exercise(&bytes));
        slowest = slowest.max(start.elapsed());
        rounds += 1;
    }
    println!("{rounds} mutations, {whole} of them still read, the slowest in {slowest:?}");
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}
