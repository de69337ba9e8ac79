//! Squashfs images judged by what others wrote: squashfs-tools, squashfs-tools-ng, the kernel, backhand.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/samples.rs"]
mod samples;
#[path = "support/unpacked.rs"]
mod unpacked;

use std::fs::File;
use std::io::{BufWriter, Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use judge::{judge, missing};
use samples::{Random, dump};
use talosmith::archive::squashfs::{Codec, Help, Image, Options, read_tree, write_tree};
use talosmith::archive::tar::{self, Contents};
use talosmith::archive::{Entry, Kind, Tree};
use talosmith::base::{Content, Workers};
use unpacked::{is_root, listing, run};

const CODECS: [Codec; 4] = [Codec::Zstd, Codec::Xz, Codec::Gzip, Codec::None];

/// A tree of everything, without what tools cannot say on a command line or in a tar.
fn tree() -> Tree {
    let mut random = Random(99);
    let mut tree = random.tree(400, 9000);
    let long = Entry::file(0o644, Content::memory(random.bytes(700_000)));
    tree.insert("usr/lib/long", long).unwrap();
    let mut sparse = vec![0; 900_000];
    sparse[600_000] = 7;
    tree.insert("usr/lib/sparse", Entry::file(0o600, Content::memory(sparse))).unwrap();
    for number in 0..3000 {
        let text = format!("{number}\n").into_bytes();
        tree.insert(
            &format!("many/file {number:05} of a large directory"),
            Entry::file(0o644, Content::memory(text)),
        )
        .unwrap();
    }
    tree
}

fn options(codec: Codec) -> Options {
    Options { codec, block_size: 8192, ..Options::default() }
}

fn pack(tree: &Tree, options: &Options, file: &Path) {
    let workers = Workers::new(2);
    let help = Help { workers: &workers, cache: None, progress: &|_| {} };
    write_tree(tree, options, &help, &mut BufWriter::new(File::create(file).unwrap())).unwrap();
}

fn keep(reader: &mut dyn Read, _: u64) -> std::io::Result<Content> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(Content::memory(bytes))
}

fn unpack(file: &Path) -> Tree {
    let size = std::fs::metadata(file).unwrap().len();
    let image = Image::open(&Content::file(file, size)).unwrap();
    read_tree(&image, "", &Workers::new(2), &mut keep).unwrap()
}

/// What a tar holds, read by our reader, which has judges of its own.
fn untar(bytes: &[u8]) -> Tree {
    let mut sink = keep;
    let mut reader = tar::Reader::new(bytes);
    tar::read_tree(&mut reader, &|_| true, &mut Contents::streamed(&mut sink)).unwrap().tree
}

fn same(ours: &Tree, theirs: &Tree, what: &str) {
    let (ours, theirs) = (dump(ours), dump(theirs));
    let wrong: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).take(3).collect();
    let extra: Vec<_> = theirs.iter().filter(|line| !ours.contains(line)).take(3).collect();
    assert!(ours == theirs, "{what}: {wrong:#?} against {extra:#?}");
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.sqsh");
    (folder, file)
}

#[test]
fn sqfs2tar_gives_the_tree_that_was_written() {
    let Some(sqfs2tar) = judge("sqfs2tar") else { return };
    let (_folder, file) = folder();
    let tree = tree();
    for codec in CODECS {
        pack(&tree, &options(codec), &file);
        let tar = run(&sqfs2tar, &["--no-skip", file.to_str().unwrap()], None);
        same(&tree, &untar(&tar), codec.name());
    }
}

#[test]
fn an_image_of_tar2sqfs_reads_as_the_same_tree() {
    let Some(tar2sqfs) = judge("tar2sqfs") else { return };
    let (_folder, file) = folder();
    let tree = tree();
    let tar = tar::write_tree(&tree, None, Vec::new()).unwrap();
    for codec in ["zstd", "xz", "gzip"] {
        run(&tar2sqfs, &["-q", "-f", "-c", codec, "-b", "8192", file.to_str().unwrap()], Some(&tar));
        same(&tree, &unpack(&file), codec);
    }
}

/// Paths that a listing by lines can show.
fn plain(tree: &Tree) -> Tree {
    let mut plain = Tree::new();
    for (path, entry) in tree.iter().filter(|(path, _)| !path.contains('\n')) {
        let linked = match &entry.kind {
            Kind::HardLink(target) | Kind::Symlink(target) => target.contains('\n'),
            _ => false,
        };
        if !linked {
            plain.insert(path, entry.clone()).unwrap();
        }
    }
    plain
}

#[test]
fn unsquashfs_gives_the_same_files_as_from_an_image_of_mksquashfs() {
    let (Some(unsquashfs), Some(mksquashfs)) = (judge("unsquashfs"), judge("mksquashfs")) else { return };
    if !is_root() {
        missing::<()>("owners and devices need root");
        return;
    }
    let (folder, file) = folder();
    let tree = plain(&tree());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for codec in CODECS {
        pack(&tree, &options(codec), &file);
        let (ours, theirs) = (at("ours"), at("theirs"));
        run(&unsquashfs, &["-n", "-q", "-f", "-d", &ours, file.to_str().unwrap()], None);
        let reference = at("reference.sqsh");
        let words = ["-comp", "zstd", "-b", "8192", "-noappend", "-no-progress", "-quiet"];
        run(&mksquashfs, &[&[ours.as_str(), reference.as_str()], &words[..]].concat(), None);
        run(&unsquashfs, &["-n", "-q", "-f", "-d", &theirs, &reference], None);
        let listed = listing(Path::new(&ours));
        assert!(listed.len() > tree.len(), "{}", listed.len());
        assert_eq!(listed, listing(Path::new(&theirs)), "{codec}");
        // What mksquashfs made of the same files reads as what we wrote.
        same(&tree, &unpack(Path::new(&reference)), codec.name());
        let listing = |image: &str| -> Vec<String> {
            let out = run(&unsquashfs, &["-lln", image], None);
            let mut lines: Vec<String> = String::from_utf8_lossy(&out).lines().map(str::to_owned).collect();
            lines.retain(|line| !line.ends_with("squashfs-root"));
            // A directory's size is that of its listing, which has more runs or fewer.
            lines.iter_mut().filter(|line| line.starts_with('d')).for_each(|line| {
                *line = line
                    .split_whitespace()
                    .enumerate()
                    .filter(|(field, _)| *field != 2)
                    .map(|(_, word)| word)
                    .collect();
            });
            lines
        };
        assert_eq!(listing(file.to_str().unwrap()), listing(&reference));
        std::fs::remove_dir_all(&ours).unwrap();
        std::fs::remove_dir_all(&theirs).unwrap();
    }
}

#[test]
fn the_kernel_mounts_it_and_shows_the_same_files() {
    let (Some(unsquashfs), Some(mount)) = (judge("unsquashfs"), judge("mount")) else { return };
    let (folder, file) = folder();
    let tree = plain(&tree());
    let (mounted, taken) = (folder.path().join("mounted"), folder.path().join("taken"));
    std::fs::create_dir(&mounted).unwrap();
    for codec in CODECS {
        pack(&tree, &options(codec), &file);
        let out = Command::new(&mount)
            .args(["-t", "squashfs", "-o", "loop,ro"])
            .args([&file, &mounted])
            .output()
            .unwrap();
        if !out.status.success() {
            let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
            missing::<()>(&format!("the kernel cannot mount squashfs in {codec} here: {why}"));
            continue;
        }
        let by_kernel = listing(&mounted);
        assert!(Command::new("umount").arg(&mounted).status().unwrap().success());
        run(&unsquashfs, &["-n", "-q", "-f", "-d", taken.to_str().unwrap(), file.to_str().unwrap()], None);
        assert_eq!(by_kernel, listing(&taken), "{codec}");
        std::fs::remove_dir_all(&taken).unwrap();
    }
}

#[test]
fn backhand_reads_the_same_contents() {
    use backhand::{FilesystemReader, InnerNode};
    let tree = plain(&tree());
    let (_folder, file) = folder();
    pack(&tree, &options(Codec::Zstd), &file);
    let bytes = std::fs::read(&file).unwrap();
    let image = FilesystemReader::from_reader(Cursor::new(bytes)).unwrap();
    let mut files = 0;
    for node in image.files() {
        let path = node.fullpath.to_str().unwrap().trim_start_matches('/').to_owned();
        let Some(entry) = tree.get(&path) else {
            assert!(path.is_empty(), "{path}");
            continue;
        };
        let entry = match &entry.kind {
            Kind::HardLink(target) => tree.get(target).unwrap(),
            _ => entry,
        };
        assert_eq!(u32::from(node.header.permissions), entry.mode, "{path}");
        assert_eq!(i64::from(node.header.mtime), entry.mtime, "{path}");
        assert_eq!(
            (u64::from(node.header.uid), u64::from(node.header.gid)),
            (entry.uid, entry.gid),
            "{path}"
        );
        if let InnerNode::File(inner) = &node.inner {
            let mut bytes = Vec::new();
            image.file(inner).reader().read_to_end(&mut bytes).unwrap();
            assert!(bytes == entry.content().unwrap().read(1 << 30).unwrap(), "{path}");
            files += 1;
        }
    }
    assert!(files > 3000, "{files}");
}

#[test]
fn images_of_others_list_as_their_own_tools_list_them() {
    let Some(sqfs2tar) = judge("sqfs2tar") else { return };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/squashfs");
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sqsh") {
            continue;
        }
        let tar = run(&sqfs2tar, &["--no-skip", path.to_str().unwrap()], None);
        same(&untar(&tar), &unpack(&path), &path.display().to_string());
    }
}
