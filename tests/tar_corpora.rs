//! Go's and CPython's tar corpora, read by us and by GNU tar.
//!
//! The table says what becomes of every file; `testdata/tar/listings.txt` is the readable golden
//! result of those that are read.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/judge.rs"]
mod judge;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use base64::Engine as _;
use talosmith::archive::tar::{Member, MemberKind, Reader, TarError};
use talosmith::base::Epoch;

enum Expect {
    /// We list what GNU tar lists.
    Read,
    /// We read it, GNU tar reads it otherwise: why we do not follow.
    ReadUnlike(&'static str),
    /// We refuse it with this text, and this is the reason.
    Refused(&'static str, &'static str),
}
use Expect::{Read, ReadUnlike, Refused};

#[rustfmt::skip]
const TABLE: &[(&str, Expect)] = &[
    ("cpython/testtar.tar", Read),
    ("go/file-and-dir.tar", Read),
    ("go/gnu-incremental.tar", Read),
    ("go/gnu-long-nul.tar", Read),
    ("go/gnu-multi-hdrs.tar", Read),
    ("go/gnu-nil-sparse-data.tar", Read),
    ("go/gnu-nil-sparse-hole.tar", Read),
    ("go/gnu-not-utf8.tar", Read),
    ("go/gnu-sparse-big.tar.base64", Refused("holes", "60 GB of holes in 6 KB")),
    ("go/gnu-utf8.tar", Read),
    ("go/gnu.tar", Read),
    ("go/hardlink.tar", Read),
    ("go/hdr-only.tar", ReadUnlike("GNU tar skips data of links and devices that Go says is not there")),
    ("go/invalid-go17.tar", Read),
    ("go/issue10968.tar", Refused("has a size that is no number", "fuzzed header")),
    ("go/issue11169.tar", Refused("checksum is no octal number", "fuzzed header")),
    ("go/issue12435.tar", Refused("has a size that is no number", "fuzzed header")),
    ("go/neg-size.tar.base64", Refused("size", "negative size")),
    ("go/nil-uid.tar", Read),
    ("go/pax-bad-hdr-file.tar", Refused("malformed extended header", "a record without a newline")),
    ("go/pax-bad-mtime-file.tar", Refused("mtime", "GNU tar reads half a number")),
    ("go/pax-global-records.tar", Refused("`path` for every member", "Go ignores it, GNU tar applies it")),
    ("go/pax-multi-hdrs.tar", Read),
    ("go/pax-nil-sparse-data.tar", Read),
    ("go/pax-nil-sparse-hole.tar", Read),
    ("go/pax-nul-path.tar", Refused("`path` contains a NUL byte", "GNU tar cuts the name there")),
    ("go/pax-nul-xattrs.tar", Refused("NUL byte", "a key with a NUL byte")),
    ("go/pax-path-hdr.tar", Refused("no member behind it", "a header for nothing")),
    ("go/pax-pos-size-file.tar", Read),
    ("go/pax-records.tar", Read),
    ("go/pax-sparse-big.tar.base64", Refused("holes", "60 GB of holes in 6 KB")),
    ("go/pax.tar", Read),
    ("go/sparse-formats.tar", Read),
    ("go/star.tar", Read),
    ("go/trailing-slash.tar", Read),
    ("go/ustar-file-devs.tar", Read),
    ("go/ustar-file-reg.tar", Read),
    ("go/ustar.tar", Read),
    ("go/v7.tar", Read),
    ("go/writer-big-long.tar.base64", Refused("truncated", "16 GiB promised, none there")),
    ("go/writer-big.tar", Refused("truncated", "16 GiB promised, none there")),
    ("go/writer.tar", Read),
    ("go/xattrs.tar", Read),
];

fn load(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(format!("testdata/tar/{name}")).unwrap();
    if !name.ends_with(".base64") {
        return bytes;
    }
    let text: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// The members as `tar tvf --numeric-owner --full-time` lists them, single-spaced, without
/// fractions of seconds.
fn list(bytes: &[u8]) -> Result<String, TarError> {
    let mut reader = Reader::new(bytes);
    let mut text = String::new();
    while let Some(member) = reader.next_member()? {
        writeln!(text, "{}", line(&member)).unwrap();
    }
    Ok(text)
}

fn line(member: &Member) -> String {
    let (letter, tail) = match &member.kind {
        MemberKind::Directory => ('d', if member.path.ends_with(b"/") { "" } else { "/" }.to_owned()),
        MemberKind::File => ('-', String::new()),
        MemberKind::Symlink(target) => ('l', format!(" -> {}", escape(target))),
        MemberKind::HardLink(target) => ('h', format!(" link to {}", escape(target))),
        MemberKind::CharDevice(..) => ('c', String::new()),
        MemberKind::BlockDevice(..) => ('b', String::new()),
        MemberKind::Fifo => ('p', String::new()),
    };
    let size = match member.kind {
        MemberKind::CharDevice(major, minor) | MemberKind::BlockDevice(major, minor) => {
            format!("{major},{minor}")
        }
        _ => member.size.to_string(),
    };
    let time = Epoch::new(u64::try_from(member.mtime).unwrap()).unwrap().to_string();
    let time = time.replace('T', " ").replace('Z', "");
    let (mode, path) = (mode(member.mode), escape(&member.path));
    format!("{letter}{mode} {}/{} {size} {time} {path}{tail}", member.uid, member.gid)
}

fn mode(mode: u32) -> String {
    let mut text: Vec<u8> = b"rwxrwxrwx"
        .iter()
        .enumerate()
        .map(|(i, &c)| if mode >> (8 - i) & 1 == 1 { c } else { b'-' })
        .collect();
    for (bit, place, letter) in [(0o4000, 2, b's'), (0o2000, 5, b's'), (0o1000, 8, b't')] {
        if mode & bit != 0 {
            text[place] = if text[place] == b'x' { letter } else { letter.to_ascii_uppercase() };
        }
    }
    String::from_utf8(text).unwrap()
}

/// `--quoting-style=escape` in the C locale.
fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\{byte:03o}").unwrap(),
        }
        text
    })
}

fn golden() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string("testdata/tar/listings.txt").unwrap();
    let blocks = text.split("== ").skip(1); // no name in the corpora has it
    blocks
        .map(|block| block.split_once('\n').unwrap())
        .map(|(name, list)| (name.to_owned(), list.to_owned()))
        .collect()
}

#[test]
fn every_file_of_the_corpora_is_read_or_refused_as_the_table_says() {
    let golden = golden();
    let mut files: Vec<String> = Vec::new();
    for folder in ["go", "cpython"] {
        for file in std::fs::read_dir(format!("testdata/tar/{folder}")).unwrap() {
            files.push(format!("{folder}/{}", file.unwrap().file_name().to_str().unwrap()));
        }
    }
    files.retain(|file| file.contains(".tar"));
    files.sort();
    assert_eq!(files, TABLE.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let mut wrong = String::new();
    for (name, expect) in TABLE {
        match (list(&load(name)), expect) {
            (Ok(list), Read | ReadUnlike(_)) if golden.get(*name) == Some(&list) => {}
            (Ok(list), _) => write!(wrong, "== {name}\n{list}").unwrap(),
            (Err(error), Refused(text, _)) if error.to_string().contains(text) => {}
            (Err(error), _) => writeln!(wrong, "!! {name}: {error}").unwrap(),
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn gnu_tar_lists_the_same() {
    let Some(tar) = judge::judge("tar") else { return };
    for (name, expect) in TABLE {
        match expect {
            Read => {}
            ReadUnlike(why) | Refused(_, why) => {
                println!("not compared: {name}: {why}");
                continue;
            }
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&load(name)).unwrap();
        let output = Command::new(&tar)
            .args([
                "--list",
                "--verbose",
                "--numeric-owner",
                "--full-time",
                "--quoting-style=escape",
                "--file",
            ])
            .arg(file.path())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .output()
            .unwrap();
        let theirs: Vec<String> =
            String::from_utf8(output.stdout).unwrap().lines().map(normal_line).collect();
        let ours = list(&load(name)).unwrap();
        assert_eq!(ours.lines().collect::<Vec<_>>(), theirs, "{name}");
    }
}

/// GNU tar's line without its columns; `C` is a file stored contiguously, and a directory's size
/// is a quota that nobody sets.
fn normal_line(line: &str) -> String {
    let mut fields = Vec::new();
    let mut rest = line;
    for _ in 0..5 {
        let (field, behind) = rest.trim_start().split_once(' ').unwrap();
        fields.push(field.to_owned());
        rest = behind;
    }
    if let Some(mode) = fields[0].strip_prefix('C') {
        fields[0] = format!("-{mode}");
    }
    if fields[0].starts_with('d') {
        "0".clone_into(&mut fields[2]);
    }
    if let Some((seconds, _)) = fields[4].clone().split_once('.') {
        seconds.clone_into(&mut fields[4]);
    }
    format!("{} {rest}", fields.join(" "))
}

#[test]
fn sparse_files_of_every_format_expand_to_the_same_bytes() {
    for name in ["go/sparse-formats.tar", "cpython/testtar.tar"] {
        let bytes = load(name);
        let mut reader = Reader::new(&bytes[..]);
        let mut contents = Vec::new();
        while let Some(member) = reader.next_member().unwrap() {
            if member.sparse || member.path == b"ustar/sparse" {
                let mut data = Vec::new();
                std::io::Read::read_to_end(&mut reader.data(), &mut data).unwrap();
                assert_eq!(data.len() as u64, member.size);
                contents.push(data);
            }
        }
        assert!(contents.len() >= 4, "{name}");
        assert!(contents.windows(2).all(|pair| pair[0] == pair[1]), "{name}");
    }
}
