//! The words of `talosmith kernel`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::FormatName;

/// `talosmith kernel`
#[derive(Debug, ClapArgs)]
#[command(after_help = KERNEL_HELP)]
pub struct Kernel {
    /// Where to write the images; may be given several times. `oci:DIR` takes all of them, named kernel and as the packages; elsewhere `{name}` becomes these names
    #[arg(long, short, value_name = "REFERENCE", required_unless_present = "dry_run")]
    pub output: Vec<String>,
    /// Folder that is sent to BuildKit: a tree of packages with a Pkgfile, or one with a Dockerfile
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = "Build")]
    pub context: PathBuf,
    /// File in that folder that says how to build [default: Pkgfile, or Dockerfile]
    #[arg(long, value_name = "FILE", help_heading = "Build")]
    pub file: Option<PathBuf>,
    /// Stage whose files are those of the kernel image: boot/vmlinuz, usr/lib/modules
    #[arg(long, value_name = "STAGE", default_value = "kernel", help_heading = "Build")]
    pub kernel: String,
    /// Stage of a package with modules for this kernel; may be given several times
    #[arg(long = "package", value_name = "STAGE", value_delimiter = ',', help_heading = "Build")]
    pub packages: Vec<String>,
    /// Platforms, separated by commas; several make one index. `{arch}` in references becomes amd64, arm64
    #[arg(
        long,
        value_name = "OS/ARCH",
        value_delimiter = ',',
        default_value = "linux/amd64",
        help_heading = "Build"
    )]
    pub platform: Vec<String>,
    /// Argument of the build
    #[arg(long = "build-arg", value_name = "KEY=VALUE", help_heading = "Build")]
    pub build_args: Vec<String>,
    /// Secret for steps that mount it: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long = "secret", value_name = "SPEC", help_heading = "Build")]
    pub secrets: Vec<String>,
    /// Take nothing from BuildKit's cache
    #[arg(long, help_heading = "Build")]
    pub no_cache: bool,
    /// Where cached results are taken from, in BuildKit's words: type=registry,ref=…
    #[arg(long = "import-cache", visible_alias = "cache-from", value_name = "SPEC", help_heading = "Build")]
    pub import_cache: Vec<String>,
    /// Where results are kept: type=registry,ref=…,mode=max
    #[arg(long = "export-cache", visible_alias = "cache-to", value_name = "SPEC", help_heading = "Build")]
    pub export_cache: Vec<String>,
    /// BuildKit's source policy (JSON): which images and downloads are replaced or forbidden
    #[arg(long, value_name = "FILE", help_heading = "Build")]
    pub source_policy: Option<PathBuf>,
    /// Where BuildKit's daemon is: unix://…, tcp://…, docker-container://… [default: $BUILDKIT_HOST, or buildctl's own]
    #[arg(long, value_name = "ADDRESS", help_heading = "Daemon")]
    pub addr: Option<String>,
    /// Authority (PEM) that the daemon's certificate is held against
    #[arg(long, value_name = "FILE", help_heading = "Daemon")]
    pub addr_tls_ca: Option<PathBuf>,
    /// Certificate (PEM) for the daemon
    #[arg(long, value_name = "FILE", requires = "addr_tls_key", help_heading = "Daemon")]
    pub addr_tls_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "addr_tls_cert", help_heading = "Daemon")]
    pub addr_tls_key: Option<PathBuf>,
    /// Name that the daemon's certificate is held against
    #[arg(long, value_name = "NAME", help_heading = "Daemon")]
    pub addr_tls_name: Option<String>,
    /// End at once if modules are signed by another key than the kernel's, instead of building all of it once more without the cache
    #[arg(long, help_heading = "Checks")]
    pub no_retry: bool,
    /// Let findings with this code pass (see `talosmith check --list`)
    #[arg(long = "allow", value_name = "CODE", value_delimiter = ',', help_heading = "Checks")]
    pub allow: Vec<String>,
    /// Print the command and the generated target, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Media types: OCI's or Docker's (schema 2)
    #[arg(long, value_name = "FORMAT", default_value = "oci", help_heading = "Image")]
    pub format: FormatName,
    /// gzip, zstd or none, with a level as in gzip:9 or zstd:19 [levels by default: gzip:5, zstd:3]
    #[arg(long, value_name = "NAME[:LEVEL]", default_value = "gzip", help_heading = "Image")]
    pub compression: String,
}

const KERNEL_HELP: &str = "\
The client is buildctl, or docker buildx where there is no buildctl. Kernel and packages
are built as one target, so that all modules are signed by the kernel's own key; before
anything is written, every signature is verified against the certificate in that kernel.

REFERENCE#NAME is the image NAME (kernel, or a package) of what -o REFERENCE has written,
wherever an image is asked for:
  talosmith kernel --package my-module-pkg -o oci:out
  talosmith extension my-module --copy oci:out#my-module-pkg:/usr/lib/modules -o …
  talosmith custom-imager --kernel oci:out#kernel …
  talosmith kernel --package my-module-pkg -o registry.example.com/acme/{name}:v1
  talosmith inspect registry.example.com/acme/{name}:v1#my-module-pkg

Exit code 1: what was built is not fit for the kernel; 6: BuildKit is not there, or failed.";
