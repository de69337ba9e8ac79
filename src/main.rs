//! The binary: words in, exit code out. Everything else is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    talosmith::cli::run(std::env::args_os())
}
