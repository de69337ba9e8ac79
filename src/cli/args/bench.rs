//! The words of `talosmith bench`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use crate::plan::bench::Scenario;

/// `talosmith bench`
#[derive(Debug, ClapArgs)]
#[command(after_help = BENCH_HELP)]
pub struct Bench {
    /// The file whose build is measured [default: talosmith.yaml]
    #[arg(value_name = "FILE", conflicts_with = "words")]
    pub file: Option<PathBuf>,
    /// Another command of talosmith that is measured instead, with its options
    #[arg(value_name = "COMMAND", last = true)]
    pub words: Vec<String>,
    /// How often each command runs in each scenario
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    /// cold, warm or changed; may be given several times [default: cold, warm, and changed if --changed is given]
    #[arg(
        long = "scenario",
        value_name = "NAME",
        value_delimiter = ',',
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(Scenario::ALL.map(Scenario::name)).try_map(|name| name.parse::<Scenario>())
    )]
    pub scenarios: Vec<Scenario>,
    /// The file that is another one in each run of `changed`: newlines are appended to it, and taken away afterwards
    #[arg(long, value_name = "FILE")]
    pub changed: Option<PathBuf>,
    /// Command to compare with, for `sh -c`; the two take turns
    #[arg(long, value_name = "COMMAND", help_heading = "Another command")]
    pub vs: Option<String>,
    /// Command for `sh -c` before each run of the other one; it is not timed
    #[arg(long, value_name = "COMMAND", requires = "vs", help_heading = "Another command")]
    pub vs_prepare: Option<String>,
    /// Print Markdown, for a README
    #[arg(long)]
    pub markdown: bool,
}

const BENCH_HELP: &str = "\
Scenarios:
  cold      each run has a cache of its own, and it is empty
  warm      all runs share a cache, which a run that is not timed has filled
  changed   the same, but FILE of --changed is another file in each run

Runs write what the command writes: a build that pushes pushes each time. All caches lie
below that of --cache, for as long as it takes; files that the operating system has in
memory stay there, also in `cold`. Runs get no standard input; --jobs, --offline, --tries,
--insecure, --auth-file and the options of TLS hold for them, too.

The other command is run once without being timed before the first of the scenarios warm
and changed, as ours is. It finds the scenario's name in $TALOSMITH_BENCH, and so does what
prepares it. Processor time, memory and bytes are those of its own processes: what a daemon
does for it is in its time only.

  talosmith bench --changed my-module/rootfs/etc/my.conf
  talosmith bench --markdown --vs-prepare 'rm -rf _out' --vs 'docker run … imager …'
  talosmith bench --runs 20 --scenario warm -- extension my-module -o oci:out

A run that fails ends it, with that run's exit code; 6: the other command failed.";
