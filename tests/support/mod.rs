//! What the tests of the binary share: a run of it in a world of its own.

// Each test uses its part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::print_stdout, unreachable_pub)]

pub mod build;
pub mod buildkitd;
pub mod docker_registry;
pub mod installer;
pub mod judge;
pub(crate) mod kernel;
pub mod modules;
pub mod registry;
pub(crate) mod time;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use talosmith::base::Content;
use talosmith::image::registry::{Client, Progress, Pushed, RegistryError};
use talosmith::image::{Descriptor, RegistryReference};

/// A folder for one test, with a cache and a home of its own.
pub struct World {
    directory: tempfile::TempDir,
}

impl World {
    /// An empty one.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The binary, in this world and in no other: no configuration of the user's, no cache but its own.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_talosmith"));
        command.args(words).current_dir(self.directory.path()).env_clear();
        command.env("HOME", self.path("home")).env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).output().unwrap())
    }

    /// Runs the binary, which must succeed; gives what it printed.
    pub fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words:?}\n{}{}", ran.out, ran.err);
        ran.out
    }

    /// Runs the binary with `--json` and gives the result.
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        let out = self.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// A script in place of a program, first in [`Self::scripts`]. It runs in the world's folder and leaves its
    /// arguments in `NAME.log`; what asks whether a daemon is there is content.
    pub fn script(&self, name: &str, text: &str) {
        let head = format!(
            "#!/bin/sh\ncd {0}\nfor word in \"$@\"; do printf '%s\\n' \"$word\"; done >>{name}.log\nprintf -- '--\\n' >>{name}.log\n\
             case \"$*\" in *'debug info'*|'buildx inspect') exit 0;; esac\n",
            self.path("").display()
        );
        let path = self.write(&format!("bin/{name}"), format!("{head}{text}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The `PATH` on which the scripts are found.
    pub fn scripts(&self) -> String {
        format!("{}:/usr/bin:/bin", self.path("bin").display())
    }

    /// What a script was asked, each time one line.
    pub fn asked(&self, name: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.path(format!("{name}.log"))).unwrap_or_default();
        let calls = log.split("--\n").filter(|call| !call.is_empty());
        calls.map(|call| call.trim_end().replace('\n', " ")).collect()
    }

    /// The digest that the last line of a command's output ends in.
    pub fn digest(&self, words: &[&str]) -> String {
        let out = self.ok(words);
        out.trim().rsplit_once('@').unwrap_or_else(|| panic!("no digest in {out:?}")).1.to_owned()
    }
}

/// What a run gave.
#[derive(Debug)]
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Reads an ended process.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that the run failed with this code and said all of these words.
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in:\n{}", self.err);
        }
    }
}

/// A path of the repository's test data.
pub fn testdata(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name).to_str().unwrap().to_owned()
}

/// Runs a judge, which must be content; gives its output.
pub fn judged(program: &Path, words: &[&str], folder: &Path) -> String {
    let ran = Ran::of(Command::new(program).args(words).current_dir(folder).output().unwrap());
    assert_eq!(ran.code, 0, "{} {words:?}\n{}{}", program.display(), ran.out, ran.err);
    ran.out
}

/// Pushes blobs one after another.
pub fn push_blobs(
    client: &Client,
    to: &RegistryReference,
    blobs: &[(Descriptor, Content)],
    mount_from: &[RegistryReference],
    progress: &Progress,
) -> Result<Vec<Pushed>, RegistryError> {
    blobs.iter().map(|(blob, content)| client.push_blob(to, blob, content, mount_from, progress)).collect()
}
