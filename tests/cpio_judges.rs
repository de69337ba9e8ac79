//! Archives and compressed streams judged by what others wrote: GNU cpio, and the programs of the codecs.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/samples.rs"]
mod samples;

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use judge::judge;
use samples::Random;
use talosmith::archive::compress::{
    Codec, OneStream, decoder_of, one_xz_stream, one_zstd_frame, stored_xz, stored_zstd,
};
use talosmith::archive::cpio::{Options, archive, read_tree, walk};
use talosmith::archive::{Entry, Kind, Tree};
use talosmith::base::{Content, Epoch, Workers};

/// Runs a program in `folder` with `input`, which must be content; gives its output and its errors.
fn run(program: &Path, words: &[&str], folder: &Path, input: &[u8]) -> (Vec<u8>, String) {
    let mut child = Command::new(program)
        .args(words)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input); // a program that has enough closes it
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} {words:?}: {error}", program.display());
    (output.stdout, error)
}

fn file(text: &str) -> Entry {
    Entry::file(0o640, Content::memory(text.as_bytes()))
}

/// A tree of every kind that needs no root to be unpacked.
fn tree() -> Tree {
    let mut tree = Tree::new();
    let hard = |target: &str| Entry::new(0o640, Kind::HardLink(target.to_owned()));
    for (path, entry) in [
        ("d/deep/file", file("deep")),
        ("d/empty", file("")),
        ("d/first", file("several names")),
        ("d/second", hard("d/first")),
        ("z", hard("d/first")),
        ("link", Entry::symlink("d/deep/file")),
        ("dangling", Entry::symlink("/no/such/file")),
        ("with blank and ü", file("x")),
        ("pipe", Entry::new(0o600, Kind::Fifo)),
        ("long", Entry::file(0o755, Content::memory(Random(3).bytes(300_001)))),
    ] {
        tree.insert(path, Entry { mtime: 1_700_000_000, ..entry }).unwrap();
    }
    tree
}

#[test]
fn gnu_cpio_unpacks_what_we_write() {
    let Some(cpio) = judge("cpio") else { return };
    let folder = tempfile::tempdir().unwrap();
    let tree = tree();
    let options = Options { epoch: Epoch::new(1_700_000_000), pad_to: 0 };
    let bytes = archive(&tree, &options).unwrap().read(1 << 30).unwrap();
    let words = ["-idm", "--no-preserve-owner", "--no-absolute-filenames", "--quiet"];
    let (_, error) = run(&cpio, &words, folder.path(), &bytes);
    assert_eq!(error, "");
    for (path, entry) in tree.iter() {
        let there = folder.path().join(path);
        let data = there.symlink_metadata().unwrap();
        // Links have no time in its eyes, and directories one from before the files in them.
        assert!(!data.is_file() || data.mtime() == 1_700_000_000, "{path}");
        match &entry.kind {
            Kind::File(content) => {
                assert_eq!(data.mode() & 0o7777, entry.mode, "{path}");
                assert_eq!(fs::read(&there).unwrap(), content.read(1 << 30).unwrap(), "{path}");
            }
            Kind::Symlink(target) => assert_eq!(fs::read_link(&there).unwrap(), Path::new(target)),
            Kind::HardLink(target) => {
                assert_eq!(data.ino(), folder.path().join(target).metadata().unwrap().ino(), "{path}");
                assert_eq!(data.nlink(), 3);
            }
            Kind::Directory => assert!(data.is_dir()),
            _ => assert!(!data.is_file() && !data.is_dir()),
        }
    }
    assert_eq!(fs::read(folder.path().join("z")).unwrap(), b"several names");
}

#[test]
fn gnu_cpio_lists_devices_and_owners_as_we_wrote_them() {
    let Some(cpio) = judge("cpio") else { return };
    let mut tree = Tree::new();
    let device = Kind::CharDevice { major: 4, minor: 64 };
    tree.insert("dev/ttyS0", Entry { uid: 7, gid: 4_000_000_000, ..Entry::new(0o620, device) }).unwrap();
    tree.insert("dev/sda", Entry::new(0o4660, Kind::BlockDevice { major: 8, minor: 300_000 })).unwrap();
    let bytes = archive(&tree, &Options::default()).unwrap().read(1 << 20).unwrap();
    let (listed, error) = run(&cpio, &["-itvn", "--quiet"], Path::new("."), &bytes);
    assert_eq!(error, "");
    let listed = String::from_utf8(listed).unwrap();
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1][..6], ["brwSrw----", "1", "0", "0", "8,", "300000"], "{listed}");
    assert_eq!(lines[2][..6], ["crw--w----", "1", "7", "4000000000", "4,", "64"], "{listed}");
}

fn keep(reader: &mut dyn Read, _: u64) -> std::io::Result<Content> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(Content::memory(bytes))
}

#[test]
fn we_read_what_gnu_cpio_writes_in_both_formats_and_concatenated() {
    let Some(cpio) = judge("cpio") else { return };
    let world = tempfile::tempdir().unwrap();
    let root = world.path().join("root");
    fs::create_dir_all(root.join("d/e")).unwrap();
    fs::write(root.join("d/e/file"), b"content").unwrap();
    fs::write(root.join("a"), b"many names").unwrap();
    fs::hard_link(root.join("a"), root.join("d/b")).unwrap();
    fs::hard_link(root.join("a"), root.join("d/e/c")).unwrap();
    std::os::unix::fs::symlink("../a", root.join("d/link")).unwrap();
    let names = b".\na\nd\nd/b\nd/e\nd/e/c\nd/e/file\nd/link\n";
    for format in ["newc", "crc"] {
        let (packed, _) = run(&cpio, &["-o", "-H", format, "--quiet"], &root, names);
        let twice = [&packed[..], &packed, &zstd::encode_all(&packed[..], 3).unwrap()].concat();
        for bytes in [packed.clone(), twice] {
            let tree = read_tree(&Content::memory(bytes), &|_| true, &mut keep).unwrap();
            let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
            assert_eq!(paths, ["a", "d", "d/b", "d/e", "d/e/c", "d/e/file", "d/link"], "{format}");
            assert_eq!(tree.get("a").unwrap().content().unwrap().read(99).unwrap(), b"many names");
            for link in ["d/b", "d/e/c"] {
                assert!(matches!(&tree.get(link).unwrap().kind, Kind::HardLink(to) if to == "a"), "{format}");
            }
            assert!(matches!(&tree.get("d/link").unwrap().kind, Kind::Symlink(to) if to == "../a"));
        }
        let mut wrong = packed;
        let at = wrong.windows(7).position(|bytes| bytes == b"content").unwrap();
        wrong[at] ^= 1;
        let read = read_tree(&Content::memory(wrong), &|_| false, &mut keep);
        assert_eq!(read.is_err(), format == "crc");
    }
}

/// A program's name, its words, the codec; how the length of what it writes can be told from what
/// follows.
const PROGRAMS: &[(&str, &[&str], Codec)] = &[
    ("gzip", &["-9", "-c"], Codec::Gzip),
    ("xz", &["--check=crc32", "-c"], Codec::Xz),
    ("xz", &["-9e", "--check=crc64", "-c"], Codec::Xz),
    ("xz", &["--check=crc32", "--x86", "--lzma2=preset=6", "-c"], Codec::Xz),
    ("xz", &["--check=none", "--block-size=100000", "-c"], Codec::Xz),
    ("xz", &["--format=lzma", "-c"], Codec::Lzma),
    ("bzip2", &["-c"], Codec::Bzip2),
    ("lz4", &["-l", "-c"], Codec::Lz4),
    ("lz4", &["-l", "-9", "-c"], Codec::Lz4),
    ("lzop", &["-1", "-c"], Codec::Lzo),
    ("lzop", &["-9", "-c"], Codec::Lzo),
    ("zstd", &["-c"], Codec::Zstd),
    ("zstd", &["-19", "--long=27", "--no-check", "-c"], Codec::Zstd),
];

/// Programs, text, zeros and noise, in lengths around those of blocks.
fn samples() -> Vec<Vec<u8>> {
    let mut random = Random(8);
    let program = fs::read(env!("CARGO_BIN_EXE_talosmith")).unwrap();
    let mut mixed = program[..3_000_000.min(program.len())].to_vec();
    for _ in 0..12 {
        let len = random.below(200_000);
        mixed.extend(random.bytes(len));
    }
    let near: Vec<u8> = mixed[1_000_000..1_000_000 + (256 << 10) + 1].to_vec();
    vec![mixed, near, b"short".to_vec(), vec![b'a'; 9 << 20]]
}

#[test]
fn we_decompress_what_the_programs_of_the_codecs_compress() {
    let samples = samples();
    for (name, words, codec) in PROGRAMS {
        let Some(program) = judge(name) else { continue };
        for plain in &samples {
            let (packed, _) = run(&program, words, Path::new("."), plain);
            assert_eq!(Codec::of_kernel(&packed), *codec, "{name}");
            // An lz4 frame ends at NUL bytes only.
            let tail: &[u8] = if *codec == Codec::Lz4 { &[0; 8] } else { b"0707 and more" };
            let bytes = [&packed[..], tail].concat();
            let mut stream = OneStream::new(*codec, &bytes[..]).unwrap();
            let mut out = Vec::new();
            stream.read_to_end(&mut out).unwrap_or_else(|error| panic!("{name} {words:?}: {error}"));
            assert!(out == *plain, "{name} {words:?} {} bytes", plain.len());
            assert_eq!(stream.taken(), packed.len() as u64, "{name} {words:?} {} bytes", plain.len());
            let mut whole = Vec::new();
            decoder_of(*codec, &packed[..]).unwrap().read_to_end(&mut whole).unwrap();
            assert!(whole == *plain, "{name} {words:?}");
        }
    }
}

#[test]
fn the_programs_of_the_codecs_decompress_what_we_store_and_compress() {
    let (Some(zstd), Some(xz)) = (judge("zstd"), judge("xz")) else { return };
    let here = Path::new(".");
    for plain in samples().into_iter().chain([Vec::new()]) {
        let content = Content::memory(plain.clone());
        let mut frame = Vec::new();
        one_zstd_frame(&mut &plain[..], 9, &Workers::new(2), &mut frame).unwrap();
        let mut stream = Vec::new();
        one_xz_stream(&mut &plain[..], &mut stream).unwrap();
        let stored = stored_zstd(&content).read(1 << 30).unwrap();
        for packed in [&frame, &stored] {
            assert!(run(&zstd, &["-dc"], here, packed).0 == plain);
        }
        let stored = stored_xz(&content).unwrap().read(1 << 30).unwrap();
        for packed in [&stream, &stored] {
            assert!(run(&xz, &["-dc"], here, packed).0 == plain);
        }
    }
}

#[test]
fn an_initramfs_of_microcode_and_archives_in_every_codec_reads_as_one() {
    let Some(cpio) = judge("cpio") else { return };
    let world = tempfile::tempdir().unwrap();
    fs::write(world.path().join("member"), b"content").unwrap();
    let (packed, _) = run(&cpio, &["-o", "-H", "newc", "--quiet"], world.path(), b"member\n");
    let mut bytes = packed.clone(); // GNU cpio fills up to 512 bytes
    assert_eq!(bytes.len() % 512, 0);
    let mut expected = vec![Codec::Plain];
    for (name, words, codec) in PROGRAMS {
        let Some(program) = judge(name) else { continue };
        // Kernels know CRC-32 alone.
        if words.contains(&"--check=crc64") {
            continue;
        }
        bytes.extend(run(&program, words, Path::new("."), &packed).0);
        if *codec == Codec::Lz4 {
            bytes.extend([0; 4]);
        }
        expected.push(*codec);
    }
    let mut members = 0;
    let segments = walk(&Content::memory(bytes), &mut |_: &_, reader: &mut dyn Read| {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"content");
        members += 1;
        Ok::<(), talosmith::archive::cpio::ReadError>(())
    })
    .unwrap();
    assert_eq!(segments.iter().map(|segment| segment.codec).collect::<Vec<_>>(), expected);
    assert_eq!(members, expected.len());
}
