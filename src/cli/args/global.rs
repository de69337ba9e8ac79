//! The options that every command has.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use crate::base::units::parse_time;
use crate::image::registry::Patience;

/// What `--insecure` without a host stands for.
pub const EVERYWHERE: &str = "*";

/// Options of every command, before or after its name.
#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// Folder for blobs and results of steps [default: $XDG_CACHE_HOME/talosmith, ~/.cache/talosmith]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub cache: Option<PathBuf>,
    /// Threads that compress, and transfers at once [default: the number of processors; of transfers at least 4]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Global options")]
    pub jobs: Option<u16>,
    /// Print results and errors as JSON
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Use no network: what would need it is an error that names what is missing
    #[arg(long, global = true, help_heading = "Global options")]
    pub offline: bool,
    /// Speak plain HTTP to these registries (HOST or HOST:PORT), or to all; loopback addresses always do
    #[arg(
        long,
        global = true,
        value_name = "HOST",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = EVERYWHERE,
        value_parser = host,
        help_heading = "Global options"
    )]
    pub insecure: Vec<String>,
    /// Credentials, in the form of docker's config.json or podman's auth.json
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REGISTRY_AUTH_FILE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub auth_file: Option<PathBuf>,
    /// Trust the certificates in FILE (PEM) for registries, beside the system's
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub tls_ca: Option<PathBuf>,
    /// Show registries that ask for one this certificate, with those that lead to its authority (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "tls_key", help_heading = "Global options")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "tls_cert", help_heading = "Global options")]
    pub tls_key: Option<PathBuf>,
    /// How often a request to a registry is tried while no byte gets through
    #[arg(long, global = true, value_name = "N", default_value_t = Patience::TRIES, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "Global options")]
    pub tries: u32,
    /// Use registries no longer than this from the command's start, as in 90s, 10m or 1h
    #[arg(long, global = true, value_name = "TIME", value_parser = time, help_heading = "Global options")]
    pub deadline: Option<Duration>,
    /// Print results and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub quiet: bool,
    /// Print what was found in the cache and what is asked of registries
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub verbose: bool,
    /// How the progress of steps is told: in words and bars, or as a line of JSON for each event
    #[arg(long, global = true, value_name = "HOW", default_value = "auto", help_heading = "Global options")]
    pub progress: Progress,
    /// Where the time went: write a page (HTML) to FILE, or the figures if its name ends in .json
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub timings: Option<PathBuf>,
    /// Colours: on a terminal (and NO_COLOR is not set), always, or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub color: When,
}

fn host(text: &str) -> Result<String, String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    match text == EVERYWHERE || (!text.is_empty() && text.bytes().all(word)) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("not a host, as in `registry.example.com:5000`".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = parse_time(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "not a time, as in `90s`, `10m` or `1h`".to_owned())
}

/// When to do something that suits a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// For people.
    Auto,
    /// For machines.
    Json,
}
