//! Programs that unpack, and what lies in a folder afterwards.

// Each test uses its part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Runs a program, which must succeed; gives its output.
pub fn run(program: &Path, words: &[&str], input: Option<&[u8]>) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(words).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command.stdin(if input.is_some() { std::process::Stdio::piped() } else { std::process::Stdio::null() });
    let mut child = command.spawn().unwrap();
    if let Some(input) = input {
        child.stdin.take().unwrap().write_all(input).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} {words:?}: {text}", program.display());
    output.stdout
}

/// Type, mode, owner, links, size or device, time, name and target of everything below a folder.
pub fn listing(folder: &Path) -> Vec<String> {
    let find = "find . -mindepth 1 ! -type s -printf '%y %m %U:%G %n %T@ %p %l\\n' | sort; \
                find . -type f -print0 | sort -z | xargs -0 sha256sum; \
                find . ! -type l ! -type f ! -type d -exec stat -c '%n %t %T' {} + | sort; \
                getfattr -h -R -m - -d -e hex . 2>/dev/null | LC_ALL=C sort";
    let out =
        Command::new("bash").args(["-c", find]).env("LC_ALL", "C").current_dir(folder).output().unwrap();
    String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
}

/// The extended attributes of everything in a folder, by path.
pub fn attributes(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let out = Command::new("getfattr")
        .args(["-h", "-R", "-m", "-", "-d", "-e", "hex", "."])
        .env("LC_ALL", "C.UTF-8")
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let blocks = text.split("\n\n").filter_map(|block| block.trim_start().strip_prefix("# file: "));
    let block = |block: &str| {
        let mut lines = block.lines().map(str::to_owned);
        (lines.next().unwrap_or_default(), lines.collect())
    };
    blocks.map(block).collect()
}

/// Whether owners and devices can be made here.
pub fn is_root() -> bool {
    let out = Command::new("id").arg("-u").output().unwrap();
    out.stdout == b"0\n"
}
