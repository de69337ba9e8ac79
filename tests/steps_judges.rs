//! Bash and GNU's programs judge the native runner of steps, line by line.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/judge.rs"]
mod judge;
#[path = "steps/lines.rs"]
mod lines;
mod steps;

use judge::judge;
use steps::Bench;

/// The programs that judge.
const JUDGES: [&str; 9] = ["bash", "cp", "find", "tar", "sed", "xargs", "xz", "bzip2", "zstd"];

#[test]
fn every_line_does_what_bash_and_gnus_programs_do() {
    if JUDGES.iter().any(|name| judge(name).is_none()) {
        return;
    }
    let bash = judge("bash").unwrap();
    let bench = Bench::new(bash, lines::FIXTURE);
    let lines: Vec<String> = lines::LINES.iter().map(|line| (*line).to_owned()).collect();
    assert!(lines.len() >= 250, "{} lines", lines.len());
    let differences = bench.differences(&lines);
    assert!(
        differences.is_empty(),
        "{} of {} lines differ:\n{}",
        differences.len(),
        lines.len(),
        differences.join("\n")
    );
}
