//! The command line: text → options → plan. The only room that prints, asks the environment or knows a
//! terminal.
//!
//! | module | what |
//! |---|---|
//! | [`args`] | the words, as clap reads them |
//! | [`options`] | the words resolved against environment and defaults |
//! | [`timings`] | where the time went |
//! | [`printer`] | results, events, errors: text, bars or JSON |
//! | [`failure`] | library errors as exit codes and hints |
//! | `commands` | one file a command |

pub mod args;
mod commands;
pub mod failure;
mod interrupt;
pub mod options;
pub mod printer;
pub mod timings;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _};

use failure::{Failure, Outcome};
use printer::Printer;

/// Parses `words`, runs the command, prints what comes of it; gives the exit code of DESIGN's table.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let parsed = args::Args::command()
        .try_get_matches_from(&words)
        .and_then(|mut matches| args::Args::from_arg_matches_mut(&mut matches));
    let args = match parsed {
        Ok(args) => args,
        Err(error) => return usage(&error, &words),
    };
    let printer = Printer::new(&args.global);
    interrupt::watch(&printer);
    let timings = timings::Collector::new(args.global.timings.as_deref(), &words);
    let outcome = options::Options::resolve(&args.global, &printer, Arc::clone(&timings))
        .and_then(|options| commands::run(&args.command, &args.global, &options, &printer));
    printer.settle();
    // Of what failed, too: that is when people want to see it.
    let outcome = outcome.and_then(|outcome| timings.write().map(|()| outcome));
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Ok(Outcome::Failed(code)) => ExitCode::from(code),
        Err(failure) => {
            printer.failure(args.command.name(), &failure);
            ExitCode::from(failure.code)
        }
    }
}

/// Clap's own words for a wrong command line, and for `--help` and `--version`.
fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    if error.use_stderr() && words.iter().any(|word| word == "--json") {
        let text = error.render().to_string();
        let mut lines = text.trim().lines();
        let first = lines.next().unwrap_or_default();
        let mut failure = Failure::usage(first.strip_prefix("error: ").unwrap_or(first));
        failure.details = lines.filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        let known = |word: &&str| args::Args::command().find_subcommand(word).is_some();
        let command = words.iter().filter_map(|word| word.to_str()).find(known).unwrap_or_default();
        printer::print_json_error(command, &failure);
        return ExitCode::from(2);
    }
    // A closed pipe (`talosmith --help | head -1`) is nobody's fault.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
