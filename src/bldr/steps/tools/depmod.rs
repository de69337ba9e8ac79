//! `depmod`, by this crate's own.

use super::super::options::{Spec, flag, valued};
use super::super::root::{Errno, Inode, Node};
use super::super::run::{Io, Refusal, Runner, Stop};
use super::{UNKNOWN, beside, complain};
use crate::base::Content;
use crate::kmod::depmod::Search;
use crate::kmod::{Options, depmod as calculate};

const DEPMOD: Spec = Spec { short: "ab:", long: &[flag("all", 'a'), valued("basedir", 'b')] };

pub(super) fn check(arguments: &[String]) -> Result<(), Refusal> {
    let given = DEPMOD.parse(arguments)?;
    match given.operands.as_slice() {
        [(_, word)] if word.contains(UNKNOWN) => Ok(()),
        [(index, word)] => {
            // Anything else would be the path of a module, for the kernel that runs.
            let mut numbers =
                word.splitn(2, '.').map(|part| part.chars().next().is_some_and(|c| c.is_ascii_digit()));
            if numbers.next() == Some(true) && numbers.next() == Some(true) {
                Ok(())
            } else {
                Err(Refusal::new(*index, word, "is no release of a kernel"))
            }
        }
        [] => Err(Refusal::new(0, "depmod", "without a release would ask the kernel that runs")),
        [_, (index, word), ..] => {
            Err(Refusal::new(*index, word, "is the path of a module, which is not run natively"))
        }
    }
}

pub(super) fn run(runner: &mut Runner<'_>, io: &mut Io, arguments: &[String]) -> Result<u8, Stop> {
    check(arguments)?;
    let given = DEPMOD.parse(arguments)?;
    let release = given.words().first().map_or("", |word| *word).to_owned();
    let folder = beside(given.value('b').unwrap_or("/"), &format!("lib/modules/{release}"));
    let found = runner.root.find(runner.directory(), &folder, true);
    let id = match found {
        Ok(id) if runner.root.is_directory(id) => id,
        other => {
            complain(io, &folder, other.err().unwrap_or(Errno::NotDirectory))?;
            return Ok(1);
        }
    };
    let tree = runner.root.tree_of(id).map_err(|error| Stop::Limit(error.to_string()))?;
    runner.charge(tree.len())?;
    let options = Options {
        search: Search::kmod(),
        kernel: None,
        of_kernel: None,
        workers: &runner.environment.workers,
    };
    let indexed = match calculate(&tree, &options) {
        Ok(indexed) => indexed,
        Err(error) => {
            io.say(format_args!("`{folder}` cannot be indexed: {}", crate::base::chain(&error)));
            return Ok(1);
        }
    };
    if indexed.files.is_empty() {
        io.say(format_args!("modules below `{folder}` need one another in a loop"));
        return Ok(1);
    }
    let now = runner.now();
    for (name, bytes) in indexed.files {
        if runner.root.child(id, name).is_some()
            && let Err(errno) = runner.root.unlink(id, name)
        {
            complain(io, &beside(&folder, name), errno)?;
            return Ok(1);
        }
        let file = Inode::new(0o644, now, Node::File(Content::memory(bytes)));
        if let Err(errno) = runner.root.create(id, name, file) {
            complain(io, &beside(&folder, name), errno)?;
            return Ok(1);
        }
    }
    Ok(0)
}
