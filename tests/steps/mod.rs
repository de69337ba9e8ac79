//! One line, run by bash with GNU's programs in a scratch folder, and by the native runner on the same files:
//! the same tree, the same output, the same success.
//!
//! Lines say `$R` before an absolute path: the scratch folder there, nothing here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use talosmith::archive::tree::{Entry, Kind, Tree};
use talosmith::base::{Content, Workers};
use talosmith::bldr::steps::{Environment, InMemory, Program, Root, Shell, StepError, run};

/// The time of what the runner writes; bash's is the clock's.
const NOW: i64 = 4_000_000_000;
/// What is later than this was written now.
const RECENT: i64 = 1_500_000_000;

/// What came out of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    /// Paths, each with all that is compared.
    pub(crate) tree: Vec<String>,
}

/// Runs lines, each on its own copy of the files that `fixture` (a script) makes.
pub(crate) struct Bench {
    scratch: tempfile::TempDir,
    bash: PathBuf,
    template: Tree,
    /// Lines that bash made folders of without an end.
    pub(crate) endless: std::cell::Cell<usize>,
}

impl Bench {
    pub(crate) fn new(bash: PathBuf, fixture: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("fixture");
        fs::create_dir_all(folder.join("tmp/build")).unwrap();
        let script = format!("set -eu; umask 022; cd \"$R/tmp/build\"\n{fixture}\n");
        let made =
            Command::new(&bash).args(["-c", &script]).env("R", &folder).env("LC_ALL", "C").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let template = load(&folder);
        Self { scratch, bash, template, endless: std::cell::Cell::new(0) }
    }

    /// What bash makes of the lines, by one process.
    /// `None` for one that made folders without an end: GNU's `cp` does not always see that it copies
    /// into itself.
    pub(crate) fn judge(&self, lines: &[String]) -> Vec<Option<Outcome>> {
        let scratch = self.scratch.path();
        for (index, line) in lines.iter().enumerate() {
            fs::write(scratch.join(format!("{index}.sh")), format!("set -eou pipefail\n{line}")).unwrap();
        }
        let script = "umask 022; i=0; while [ $i -lt $JUDGE_COUNT ]; do
            rm -rf $JUDGE/$i; cp -a $JUDGE/fixture $JUDGE/$i; cd $JUDGE/$i/tmp/build
            R=$JUDGE/$i \"$JUDGE_BASH\" -c \"$(cat $JUDGE/$i.sh)\" >$JUDGE/$i.out 2>$JUDGE/$i.err </dev/null
            echo $? >$JUDGE/$i.rc; i=$((i + 1)); done";
        let status = Command::new(&self.bash)
            .args(["-c", script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("JUDGE_COUNT", lines.len().to_string())
            .env("JUDGE", scratch)
            .env("JUDGE_BASH", &self.bash)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        (0..lines.len()).map(|index| self.outcome(index)).collect()
    }

    fn outcome(&self, index: usize) -> Option<Outcome> {
        let scratch = self.scratch.path();
        let folder = scratch.join(index.to_string());
        let read = |end: &str| fs::read(scratch.join(format!("{index}.{end}"))).unwrap();
        let prefix = folder.to_str().unwrap();
        let stdout = String::from_utf8_lossy(&read("out")).replace(prefix, "");
        let tree = is_shallow(&folder).then(|| describe(&load(&folder), &links(&folder), prefix));
        fs::remove_dir_all(&folder).unwrap();
        Some(Outcome { success: read("rc") == b"0\n", stdout, tree: tree? })
    }

    /// What the judge said on its standard error of the line with that number.
    pub(crate) fn said(&self, index: usize) -> String {
        fs::read_to_string(self.scratch.path().join(format!("{index}.err"))).unwrap_or_default()
    }

    /// What the native runner makes of a line, and what it complained of.
    pub(crate) fn native(&self, line: &str) -> Result<(Outcome, String), String> {
        let keep = InMemory::new(1 << 20);
        let environment = Environment {
            shell: Shell::Bash,
            variables: BTreeMap::from([("R".to_owned(), String::new())]),
            directory: "/tmp/build".to_owned(),
            mtime: NOW,
            machine: "x86_64".to_owned(),
            keep: &keep,
            workers: Workers::new(1),
        };
        let mut root = Root::from_tree(&self.template).unwrap();
        let program = Program::parse(line).map_err(|error| error.to_string())?;
        if let Some(unsupported) = program.unsupported(Shell::Bash).first() {
            return Err(unsupported.to_string());
        }
        let (success, output, said) = match run(&mut root, &program, &environment) {
            Ok(output) => (true, output, String::new()),
            Err(StepError::Failed { output, said, .. }) => (false, output, said),
            Err(error) => return Err(error.to_string()),
        };
        let tree = describe(&root.to_tree().unwrap(), &root.hard_links(), "");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((Outcome { success, stdout, tree }, format!("{said} {:?}", output.said)))
    }

    /// Runs lines both ways; gives what differs, line by line.
    pub(crate) fn differences(&self, lines: &[String]) -> Vec<String> {
        let judged = self.judge(lines);
        let mut differences = Vec::new();
        for (index, (line, judged)) in lines.iter().zip(judged).enumerate() {
            let Some(judged) = judged else {
                self.endless.set(self.endless.get() + 1);
                continue;
            };
            let (native, said) = match self.native(line) {
                Ok(native) => native,
                Err(why) => {
                    differences.push(format!("{line}\n  is not run: {why}"));
                    continue;
                }
            };
            if native == judged {
                continue;
            }
            let mut text = format!("{line}\n");
            if native.success != judged.success {
                text += &format!("  success: bash {}, here {}\n", judged.success, native.success);
            }
            if native.stdout != judged.stdout {
                text += &format!("  stdout: bash {:?}, here {:?}\n", judged.stdout, native.stdout);
            }
            for path in judged.tree.iter().filter(|path| !native.tree.contains(path)) {
                text += &format!("  bash alone: {path}\n");
            }
            for path in native.tree.iter().filter(|path| !judged.tree.contains(path)) {
                text += &format!("  here alone: {path}\n");
            }
            differences.push(format!("{text}  bash said {:?}\n  here said {said:?}", self.said(index)));
        }
        differences
    }
}

/// Whether no folder lies deeper than any that a line makes on purpose.
fn is_shallow(folder: &Path) -> bool {
    let mut left = vec![(folder.to_owned(), 0)];
    while let Some((at, depth)) = left.pop() {
        if depth > 40 {
            return false;
        }
        for entry in fs::read_dir(&at).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                left.push((entry.path(), depth + 1));
            }
        }
    }
    true
}

/// Reads a folder; names of one file are files of their own.
fn load(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![(String::new(), folder.to_owned())];
    while let Some((above, folder)) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let own = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            let data = fs::symlink_metadata(&path).unwrap();
            let kind = if data.is_dir() {
                left.push((own.clone(), path.clone()));
                Kind::Directory
            } else if data.is_symlink() {
                Kind::Symlink(fs::read_link(&path).unwrap().to_str().unwrap().to_owned())
            } else {
                Kind::File(Content::memory(fs::read(&path).unwrap()))
            };
            let mut entry = Entry::new(data.mode() & 0o7777, kind);
            entry.mtime = data.mtime();
            tree.insert(&own, entry).unwrap();
        }
    }
    link_up(&mut tree, &links(folder));
    tree
}

/// Makes the names of one file links to the first of them.
fn link_up(tree: &mut Tree, links: &[Vec<String>]) {
    for names in links {
        for name in names.iter().skip(1) {
            tree.get_mut(name).unwrap().kind = Kind::HardLink(names[0].clone());
        }
    }
}

/// The names of each file that has several.
fn links(folder: &Path) -> Vec<Vec<String>> {
    let mut files: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            if data.is_dir() {
                left.push(path);
            } else if data.nlink() > 1 {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.entry(data.ino()).or_default().push(name);
            }
        }
    }
    let mut groups: Vec<Vec<String>> = files.into_values().collect();
    groups.iter_mut().for_each(|names| names.sort());
    groups.sort();
    groups
}

/// All that is compared, a line a path.
fn describe(tree: &Tree, links: &[Vec<String>], prefix: &str) -> Vec<String> {
    let kind = |entry: &Entry| match &entry.kind {
        Kind::HardLink(target) => tree.get(target).unwrap().kind.clone(),
        other => other.clone(),
    };
    let line = |(path, entry): (&str, &Entry)| {
        let time = if entry.mtime > RECENT { "now".to_owned() } else { entry.mtime.to_string() };
        let text = |content: Content| {
            let text = String::from_utf8_lossy(&content.read(1 << 20).unwrap()).into_owned();
            if prefix.is_empty() { text } else { text.replace(prefix, "") }
        };
        match kind(entry) {
            Kind::Directory => format!("{path}/ {:o}", entry.mode),
            Kind::File(content) => format!("{path} {:o} {time} {:?}", entry.mode, text(content)),
            Kind::Symlink(target) if prefix.is_empty() => format!("{path} -> {target}"),
            Kind::Symlink(target) => format!("{path} -> {}", target.replace(prefix, "")),
            other => format!("{path} {other:?}"),
        }
    };
    let mut lines: Vec<String> = tree.iter().map(line).collect();
    lines.extend(links.iter().map(|names| format!("one file: {names:?}")));
    lines
}
