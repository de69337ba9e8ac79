//! The words of `talosmith build`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// `talosmith build`
#[derive(Debug, ClapArgs)]
#[command(after_help = BUILD_HELP)]
pub struct Build {
    /// What is to be made
    #[arg(value_name = "FILE", default_value = "talosmith.yaml")]
    pub file: PathBuf,
    /// Folder for result.json and machine-patch.yaml [default: out, beside FILE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Say of every step whether its result is known and, if not, what changed; make nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take every image as the lock has it: what is not in it, or a FILE that was changed since, is an error
    #[arg(long, help_heading = "Lock", conflicts_with = "update")]
    pub locked: bool,
    /// Archive of `talosmith bundle` that images are taken from; may be given several times
    #[arg(long, value_name = "FILE", help_heading = "Lock")]
    pub bundle: Vec<PathBuf>,
    /// Repository in a registry where results of steps are looked for: HOST/NAME; may be given several times. Whoever may write there may choose what a step gives
    #[arg(long, value_name = "REPOSITORY", help_heading = "Cache")]
    pub cache_from: Vec<String>,
    /// Repository in a registry where results of steps are kept; may be given several times
    #[arg(long, value_name = "REPOSITORY", help_heading = "Cache")]
    pub cache_to: Vec<String>,
    /// Look images up anew: all of them, or those that NAME names; may be given several times
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = "Lock"
    )]
    pub update: Vec<String>,
}

/// `talosmith bundle`
#[derive(Debug, ClapArgs)]
pub struct Bundle {
    /// What is to be made elsewhere
    #[arg(value_name = "FILE", default_value = "talosmith.yaml")]
    pub file: PathBuf,
    /// The archive
    #[arg(long, short, value_name = "BUNDLE", required_unless_present = "list")]
    pub output: Option<PathBuf>,
    /// Leave out what this older bundle has; both are then given to `build`. May be given several times
    #[arg(long, value_name = "BUNDLE")]
    pub since: Vec<PathBuf>,
    /// Say what would go in, how large it is, and how much of it would be fetched; write nothing
    #[arg(long)]
    pub list: bool,
}

/// `talosmith verify`
#[derive(Debug, ClapArgs)]
pub struct Verify {
    /// The lock, with its talosmith.yaml beside it
    #[arg(value_name = "LOCK")]
    pub lock: PathBuf,
    /// The image that is said to be made of it
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The spec, if it is not beside the lock and called as it is
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

const BUILD_HELP: &str = "\
talosmith.lock, beside FILE, has every image in a registry by its digest. A build takes what
is in it, looks up what is not, and writes it; keep it with FILE. `talosmith schema` prints
what may stand in FILE.";
