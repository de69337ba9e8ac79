//! The programs that steps call, on the tree in memory.
//!
//! | module | what |
//! |---|---|
//! | `files` | `mkdir`, `rmdir`, `rm`, `touch`, `chmod` |
//! | `mode` | permissions as `chmod` reads them |
//! | `copy` | `cp` |
//! | `install` | `install` |
//! | `movement` | `mv`, and where several operands go |
//! | `links` | `ln`, `readlink`, `realpath` |
//! | `names` | `basename`, `dirname`, `pwd`, `ls`, `uname` |
//! | `echo` | `echo`, `printf`, `true`, `false` |
//! | `text` | `cat`, `head`, `tail`, `wc`, `cut`, `tr`, `sort` |
//! | `regex` | the regular expressions of POSIX |
//! | `grep` | `grep` |
//! | `sed` | `sed` |
//! | `find` | `find` |
//! | `xargs` | `xargs` |
//! | `tar` | `tar`, as far as it unpacks |
//! | `depmod` | `depmod` |
//! | `test` | `test` and `[` |
//!
//! They mean what GNU's do. What an option would do that is not known here is not guessed: it is refused.

mod copy;
mod depmod;
mod echo;
mod files;
mod find;
mod grep;
mod install;
mod links;
mod mode;
mod movement;
mod names;
mod regex;
mod sed;
mod tar;
mod test;
mod text;
mod xargs;

use super::root::Errno;
use super::run::{Io, Refusal, Runner, Stop};
use crate::base::suggest;

/// What stands for a word that only the run shows, when arguments are checked: no word holds a NUL.
pub(super) const UNKNOWN: &str = "\0";

/// A program.
pub(super) struct Tool {
    name: &'static str,
    /// Refuses arguments that are not understood.
    pub(super) check: fn(&[String]) -> Result<(), Refusal>,
    /// Runs it: its exit status.
    pub(super) run: fn(&mut Runner<'_>, &mut Io, &[String]) -> Result<u8, Stop>,
}

/// Why one operand of a program was not dealt with.
enum Problem {
    Errno(Errno),
    Said(&'static str),
    Stop(Stop),
}

impl From<Errno> for Problem {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// All programs.
static TOOLS: [Tool; 37] = [
    Tool { name: "[", check: test::check_bracket, run: test::bracket },
    Tool { name: "basename", check: names::check_basename, run: names::basename },
    Tool { name: "cat", check: text::check_cat, run: text::cat },
    Tool { name: "chmod", check: files::check_chmod, run: files::chmod },
    Tool { name: "cp", check: copy::check, run: copy::cp },
    Tool { name: "cut", check: text::check_cut, run: text::cut },
    Tool { name: "depmod", check: depmod::check, run: depmod::run },
    Tool { name: "dirname", check: names::check_dirname, run: names::dirname },
    Tool { name: "echo", check: echo::check_echo, run: echo::echo },
    Tool { name: "false", check: echo::check_nothing, run: |_, _, _| Ok(1) },
    Tool { name: "find", check: find::check, run: find::run },
    Tool { name: "grep", check: grep::check, run: grep::run },
    Tool { name: "head", check: text::check_head, run: text::head },
    Tool { name: "install", check: install::check, run: install::run },
    Tool { name: "ln", check: links::check_ln, run: links::ln },
    Tool { name: "ls", check: names::check_ls, run: names::ls },
    Tool { name: "mkdir", check: files::check_mkdir, run: files::mkdir },
    Tool { name: "mv", check: movement::check, run: movement::mv },
    Tool { name: "printf", check: echo::check_printf, run: echo::printf },
    Tool { name: "pwd", check: names::check_pwd, run: names::pwd },
    Tool { name: "readlink", check: links::check_readlink, run: links::readlink },
    Tool { name: "realpath", check: links::check_realpath, run: links::realpath },
    Tool { name: "rm", check: files::check_rm, run: files::rm },
    Tool { name: "rmdir", check: files::check_rmdir, run: files::rmdir },
    Tool { name: "sed", check: sed::check, run: sed::run },
    Tool { name: "sort", check: text::check_sort, run: text::sort },
    Tool { name: "tail", check: text::check_tail, run: text::tail },
    Tool { name: "tar", check: tar::check, run: tar::run },
    Tool { name: "test", check: test::check_test, run: test::test },
    Tool { name: "touch", check: files::check_touch, run: files::touch },
    Tool { name: "tr", check: text::check_tr, run: text::tr },
    Tool { name: "true", check: echo::check_nothing, run: |_, _, _| Ok(0) },
    Tool { name: "uname", check: names::check_uname, run: names::uname },
    Tool { name: "uniq", check: text::check_uniq, run: text::uniq },
    Tool { name: "wc", check: text::check_wc, run: text::wc },
    Tool { name: "xargs", check: xargs::check, run: xargs::run },
    Tool { name: "egrep", check: grep::check_extended, run: grep::run_extended },
];

/// The program of a name, or why there is none.
pub(super) fn find(name: &str) -> Result<&'static Tool, String> {
    TOOLS.iter().find(|tool| tool.name == name).ok_or_else(|| {
        let near = suggest::nearest(name, TOOLS.iter().map(|tool| tool.name).filter(|known| known.len() > 2));
        match near.filter(|_| name.len() > 2) {
            Some(near) => format!("is no program that is run natively; did you mean `{near}`"),
            None => "is no program that is run natively".to_owned(),
        }
    })
}

/// Complains of a path; a bound that is reached ends the step.
fn complain(io: &mut Io, path: &str, errno: Errno) -> Result<(), Stop> {
    if errno.is_limit() {
        return Err(Stop::Limit(errno.to_string()));
    }
    io.say(format_args!("`{path}`: {errno}"));
    Ok(())
}

/// The last name of a path, without slashes behind it; of slashes alone `/`.
fn last_name(path: &str) -> &str {
    let bare = path.trim_end_matches('/');
    match bare {
        "" if path.is_empty() => "",
        "" => "/",
        bare => bare.rsplit('/').next().unwrap_or(bare),
    }
}

/// A name in a folder, with one slash between.
fn beside(folder: &str, name: &str) -> String {
    let name = name.trim_start_matches('/');
    if folder.ends_with('/') { format!("{folder}{name}") } else { format!("{folder}/{name}") }
}
