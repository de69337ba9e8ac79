//! The words of the command line. Texts here are the help, the man page and the completions.

mod bench;
mod build;
mod extension;
mod global;
mod kernel;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub use self::bench::Bench;
pub use self::build::{Build, Bundle, Verify};
pub use self::extension::{Extension, Packages};
pub use self::global::{EVERYWHERE, Global, Progress, When};
pub use self::kernel::Kernel;
use crate::talos::kind::Kind;

/// Assembles Talos Linux images natively: no daemon, no root, no other program.
#[derive(Debug, Parser)]
#[command(
    name = "talosmith",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = AFTER_HELP
)]
pub struct Args {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
References:
  docker://HOST/NAME:TAG[@DIGEST]   an image in a registry
  oci:DIR[:NAME]                    an OCI layout
  oci:DIR#NAME                      of what `kernel -o oci:DIR` has written, the image NAME
  oci-archive:FILE[:NAME]           a tar of one
  docker-archive:FILE[:TAG]         what docker save writes
  dir:DIR                           a plain tree of files
A word that begins with . or /, or ends in / or .tar, is a path;
one whose first part has a . or : is an image in a registry.

Exit codes:
  0 done, 1 findings or differences, 2 usage, 3 input, 4 network or registry,
  5 output, 6 delegated tool, 70 internal error, 130 interrupted";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make everything that a talosmith.yaml asks for
    Build(Build),
    /// Make an extension image of module files, firmware, folders and other images
    Extension(Box<Extension>),
    /// Say of every package of a tree whether it is built natively and, if not, why
    Packages(Packages),
    /// Make an installer image: base layers, the imager's boot assets, extensions
    Installer(Box<Installer>),
    /// Make what the Talos imager makes, by its own flags and profile documents
    Imager(Box<Imager>),
    /// Build a kernel and modules for it by BuildKit, in one solve, and verify that the kernel takes them
    Kernel(Box<Kernel>),
    /// Put other kernels and their modules into an imager image
    CustomImager(CustomImager),
    /// Check an image or a folder: what would fail at boot is found here
    Check(Check),
    /// Say what an image is and what is in it
    Inspect(Inspect),
    /// Say what differs between two images or folders, file by file
    Diff(Diff),
    /// Copy an image between any two media
    Copy(Copy),
    /// Index a folder of kernel modules: modules.dep and all the others, as kmod's depmod writes them
    Depmod(Depmod),
    /// Pack, list and take apart squashfs images
    #[command(subcommand)]
    Squashfs(Squashfs),
    /// Say how large the cache is, take from it what was used longest ago, or verify every blob in it
    #[command(subcommand)]
    Cache(Cache),
    /// Put every input of a talosmith.yaml into one archive, for a site without a network
    Bundle(Bundle),
    /// Say whether an image is what a talosmith.yaml and its lock give, and what differs if not
    Verify(Verify),
    /// Measure how fast a build is, cold, warm and with a file changed, beside another command
    Bench(Box<Bench>),
    /// Print the JSON Schema of talosmith.yaml, by which editors complete it
    Schema,
    /// Begin an extension: a folder with a manifest, a rootfs and a README
    New(New),
    /// Print a shell's completions
    Completions(Completions),
    /// Print the manual page (roff)
    Man,
}

impl Command {
    /// The command's word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Build(_) => "build",
            Self::Extension(_) => "extension",
            Self::Packages(_) => "packages",
            Self::Installer(_) => "installer",
            Self::Imager(_) => "imager",
            Self::Kernel(_) => "kernel",
            Self::CustomImager(_) => "custom-imager",
            Self::Check(_) => "check",
            Self::Inspect(_) => "inspect",
            Self::Diff(_) => "diff",
            Self::Copy(_) => "copy",
            Self::Depmod(_) => "depmod",
            Self::Squashfs(_) => "squashfs",
            Self::Bundle(_) => "bundle",
            Self::Verify(_) => "verify",
            Self::Bench(_) => "bench",
            Self::Cache(_) => "cache",
            Self::Schema => "schema",
            Self::New(_) => "new",
            Self::Completions(_) => "completions",
            Self::Man => "man",
        }
    }
}

/// `talosmith cache`
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Say how large it is
    Size,
    /// Take away what was used longest ago
    Prune {
        /// Bytes that may stay, as in 10GB, 512MiB or 0
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        keep: u64,
    },
    /// Read every blob, and remove those that are not what their names say
    Verify,
}

fn parse_size(text: &str) -> Result<u64, String> {
    crate::base::units::parse_size(text).ok_or_else(|| {
        "no size; expected a number of bytes, with kB, MB, GB, TB, KiB, MiB, GiB or TiB".to_owned()
    })
}

/// `talosmith installer`
#[derive(Debug, ClapArgs)]
pub struct Installer {
    /// Where to write the image; may be given several times
    #[arg(long, short, value_name = "REFERENCE", required = true)]
    pub output: Vec<String>,
    /// Talos version [default: the imager's label alpha.talos.dev/version, or the base's]
    #[arg(long, value_name = "VERSION", help_heading = "Inputs")]
    pub talos: Option<String>,
    /// Imager image, or a folder with vmlinuz, initramfs.xz, systemd-stub.efi and systemd-boot.efi [default: ghcr.io/siderolabs/imager of the version]
    #[arg(long, value_name = "IMAGE|DIR", help_heading = "Inputs")]
    pub imager: Option<String>,
    /// Image whose layers the installer begins with [default: ghcr.io/siderolabs/installer-base of the version, before 1.10 installer]
    #[arg(long, value_name = "IMAGE", help_heading = "Inputs")]
    pub base: Option<String>,
    /// Extension image, or an extension's folder; the last one given lies on top
    #[arg(long = "extension", value_name = "IMAGE|DIR", help_heading = "Inputs")]
    pub extensions: Vec<String>,
    /// Schematic of the Image Factory: its official extensions, kernel arguments, overlay and configuration
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    pub schematic: Option<PathBuf>,
    /// Catalogue of official extensions, for --schematic [default: ghcr.io/siderolabs/extensions of the version]
    #[arg(long, value_name = "IMAGE", requires = "schematic", help_heading = "Inputs")]
    pub catalogue: Option<String>,
    /// Catalogue of overlays, for --schematic [default: ghcr.io/siderolabs/overlays of the version]
    #[arg(long, value_name = "IMAGE", requires = "schematic", help_heading = "Inputs")]
    pub overlay_catalogue: Option<String>,
    /// Machine configuration to be embedded (from Talos 1.12 on)
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    pub embedded_config: Option<PathBuf>,
    /// Kernel argument; `console=…` and `talos.platform=…` replace, `-NAME` takes one away
    #[arg(
        long = "extra-kernel-arg",
        value_name = "ARG",
        allow_hyphen_values = true,
        help_heading = "Inputs"
    )]
    pub extra_kernel_args: Vec<String>,
    /// Picture (BMP) that is shown at boot, or a unified kernel image that has one
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    pub splash: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print the comment")]
    pub overlay: Overlay,
    /// Platforms, separated by commas; several make one index. `{arch}` in references becomes amd64, arm64
    #[arg(
        long,
        value_name = "OS/ARCH",
        value_delimiter = ',',
        default_value = "linux/amd64",
        help_heading = "Image"
    )]
    pub platform: Vec<String>,
    /// Where Talos runs: metal, aws, … (its own kernel arguments)
    #[arg(long, value_name = "NAME", default_value = "metal", help_heading = "Image")]
    pub talos_platform: String,
    /// Media types: OCI's or Docker's (schema 2) [default: those of the base]
    #[arg(long, value_name = "FORMAT", help_heading = "Image")]
    pub format: Option<FormatName>,
    /// gzip, zstd or none, for the layer with the boot assets, in which everything is compressed already
    #[arg(long, value_name = "NAME[:LEVEL]", default_value = "none", help_heading = "Image")]
    pub compression: String,
    /// Let findings with this code pass (see `talosmith check --list`)
    #[arg(long = "allow", value_name = "CODE", value_delimiter = ',', help_heading = "Checks")]
    pub allow: Vec<String>,
}

/// A board's overlay.
#[derive(Debug, ClapArgs)]
pub struct Overlay {
    /// Overlay image of a board
    #[arg(long, value_name = "IMAGE", requires = "overlay_name", help_heading = "Overlay")]
    pub overlay_image: Option<String>,
    /// Which of the overlay's installers
    #[arg(long, value_name = "NAME", requires = "overlay_image", help_heading = "Overlay")]
    pub overlay_name: Option<String>,
    /// Option for the overlay: KEY=VALUE, KEY=@FILE, or @FILE.yaml
    #[arg(
        long = "overlay-option",
        value_name = "OPTION",
        requires = "overlay_image",
        help_heading = "Overlay"
    )]
    pub overlay_options: Vec<String>,
    /// Kernel argument that the board wants
    #[arg(
        long = "overlay-kernel-arg",
        value_name = "ARG",
        allow_hyphen_values = true,
        help_heading = "Overlay"
    )]
    pub overlay_kernel_args: Vec<String>,
    /// Run the overlay's own program on this machine, to ask it for kernel arguments
    #[arg(long, help_heading = "Overlay")]
    pub allow_run_overlay: bool,
}

/// `talosmith imager`
#[derive(Debug, ClapArgs)]
pub struct Imager {
    /// Name of a built-in profile (installer, metal, …), or - for a profile document on standard input
    #[arg(value_name = "PROFILE|-")]
    pub profile: String,
    /// Imager image, or a folder with the boot assets; its version is the Talos version [default: ghcr.io/siderolabs/imager of the version]
    #[arg(long, value_name = "IMAGE|DIR", help_heading = "Inputs")]
    pub imager: Option<String>,
    /// Talos version [default: the profile's, or the imager's]
    #[arg(long, value_name = "VERSION", help_heading = "Inputs")]
    pub talos: Option<String>,
    /// Architecture [default: this machine's]
    #[arg(long, value_name = "ARCH", help_heading = "Profile")]
    pub arch: Option<String>,
    /// Where Talos runs: metal, aws, …
    #[arg(long, value_name = "NAME", help_heading = "Profile")]
    pub platform: Option<String>,
    /// Base installer image
    #[arg(long, value_name = "IMAGE", help_heading = "Profile")]
    pub base_installer_image: Option<String>,
    /// Extension image; may be given several times
    #[arg(long = "system-extension-image", value_name = "IMAGE", help_heading = "Profile")]
    pub system_extension_images: Vec<String>,
    /// Kernel argument; may be given several times
    #[arg(
        long = "extra-kernel-arg",
        value_name = "ARG",
        allow_hyphen_values = true,
        help_heading = "Profile"
    )]
    pub extra_kernel_args: Vec<String>,
    /// Value of META; may be given several times
    #[arg(long = "meta", value_name = "KEY=VALUE", help_heading = "Profile")]
    pub meta: Vec<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print the comment")]
    pub overlay: Overlay,
    /// Machine configuration to be embedded (from Talos 1.12 on)
    #[arg(long, value_name = "FILE", help_heading = "Profile")]
    pub embedded_config_path: Option<PathBuf>,
    /// What is made: installer, uki, initramfs, kernel, cmdline
    #[arg(long, value_name = "KIND", help_heading = "Profile")]
    pub output_kind: Option<String>,
    /// Folder for the result; its name is upstream's
    #[arg(long, value_name = "DIR", default_value = "_out", help_heading = "Output")]
    pub output: PathBuf,
    /// Write the result to standard output, as a tar of one file
    #[arg(long, help_heading = "Output")]
    pub tar_to_stdout: bool,
    /// Picture (BMP) that is shown at boot, or a unified kernel image that has one
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    pub splash: Option<PathBuf>,
    /// Let findings with this code pass (see `talosmith check --list`)
    #[arg(long = "allow", value_name = "CODE", value_delimiter = ',', help_heading = "Checks")]
    pub allow: Vec<String>,
    /// Not there yet: a cache of images in the result
    #[arg(long, value_name = "IMAGE", hide = true)]
    pub image_cache: Option<String>,
}

/// `talosmith custom-imager`
#[derive(Debug, ClapArgs)]
pub struct CustomImager {
    /// The stock imager's image; its layers, labels and all that is in it stay
    #[arg(long, value_name = "REFERENCE")]
    pub base: String,
    /// Kernel image (boot/vmlinuz, usr/lib/modules/RELEASE/), one for each architecture, or an index of them
    #[arg(long = "kernel", value_name = "REFERENCE", required = true)]
    pub kernels: Vec<String>,
    /// Where to write the image; may be given several times. `{arch}` writes each platform's by itself
    #[arg(long, short, value_name = "REFERENCE", required = true)]
    pub output: Vec<String>,
    /// Of an index, these platforms, separated by commas [default: all]
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Leave out modules of the stock imager that the kernel does not have
    #[arg(long)]
    pub allow_missing_modules: bool,
}

/// For which Talos, and how strictly.
#[derive(Debug, ClapArgs)]
pub struct Judge {
    /// Judge for this version of Talos [default: the newest that is known]
    #[arg(long, value_name = "VERSION", help_heading = "Checks")]
    pub talos: Option<String>,
    /// Let findings with this code pass (see `talosmith check --list`)
    #[arg(long = "allow", value_name = "CODE", value_delimiter = ',', help_heading = "Checks")]
    pub allow: Vec<String>,
}

/// Names of formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// The OCI image specification's media types
    Oci,
    /// Docker's media types, schema 2
    Docker,
}

/// `talosmith check`
#[derive(Debug, ClapArgs)]
pub struct Check {
    /// Images or folders
    #[arg(value_name = "REFERENCE", required_unless_present = "list")]
    pub references: Vec<String>,
    /// Of an index, check this platform only
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// What the image must be: anything else is an error
    #[arg(long = "as", value_name = "KIND", value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)).try_map(|name| name.parse::<Kind>()))]
    pub kind: Option<Kind>,
    /// The kernel that extensions are for: a `vmlinuz`, or a kernel image with its modules
    #[arg(long, value_name = "REFERENCE")]
    pub kernel: Option<String>,
    /// The imager that they are for: its kernel and modules. An image, or a folder with `vmlinuz` and `initramfs.xz`
    #[arg(long, value_name = "REFERENCE", conflicts_with = "kernel")]
    pub imager: Option<String>,
    /// Print the table of checks
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print the comment")]
    pub judge: Judge,
}

/// `talosmith inspect`
#[derive(Debug, ClapArgs)]
pub struct Inspect {
    /// Image or folder
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// Of an index, show this platform only
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// List the files too
    #[arg(long)]
    pub files: bool,
}

/// `talosmith diff`
#[derive(Debug, ClapArgs)]
pub struct Diff {
    /// One image or folder
    #[arg(value_name = "A")]
    pub left: String,
    /// The other
    #[arg(value_name = "B")]
    pub right: String,
    /// Of indexes, compare this platform only
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `talosmith copy`
#[derive(Debug, ClapArgs)]
#[command(after_help = COPY_TAGS)]
pub struct Copy {
    /// The image; with --tags, a repository
    #[arg(value_name = "SRC")]
    pub source: String,
    /// Where to; several are written in one go
    #[arg(value_name = "DST", required = true)]
    pub targets: Vec<String>,
    /// Of an index, copy this platform only
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// Copy all tags of SRC that fit one of these, as in 'v1.11.*,v1.12.?'
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// With --tags, say what would be copied
    #[arg(long, requires = "tags")]
    pub dry_run: bool,
}

const COPY_TAGS: &str = "\
With --tags, DST is a repository or a layout (oci:DIR), and each image has the same tag there.
Tags whose image DST has already are left alone, so it goes on where it ended when it is run
again; tags that have moved are moved. A tag that cannot be copied does not stop the others.";

/// `talosmith depmod`
#[derive(Debug, ClapArgs)]
pub struct Depmod {
    /// Folder of one release's modules, such as usr/lib/modules/RELEASE; the files are written there
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Folders of DIR whose modules are preferred, the first most; `built-in` stands for all others
    #[arg(long, value_name = "FOLDER", value_delimiter = ',', default_value = "extras,built-in")]
    pub search: Vec<String>,
    /// The kernel's System.map or Module.symvers: symbols that nothing exports are then found
    #[arg(long, value_name = "FILE")]
    pub kernel_symbols: Option<PathBuf>,
    /// Write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `talosmith new`
#[derive(Debug, ClapArgs)]
pub struct New {
    /// The folder to make; its last part is the extension's name
    #[arg(value_name = "NAME")]
    pub name: PathBuf,
}

/// `talosmith completions`
#[derive(Debug, ClapArgs)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `talosmith squashfs`
#[derive(Debug, Subcommand)]
pub enum Squashfs {
    /// Pack a folder, a tar or an image into a squashfs image; owners of a folder's files become root
    Pack(Pack),
    /// List what is in a squashfs image
    List(SquashfsList),
    /// Take a squashfs image apart into a folder
    Extract(SquashfsExtract),
    /// Write a squashfs image, or a part of it, to standard output as a tar
    Tar(SquashfsList),
}

/// `talosmith squashfs pack`
#[derive(Debug, ClapArgs)]
pub struct Pack {
    /// Folder, tar or image
    #[arg(value_name = "DIR|REF|TAR")]
    pub source: String,
    /// The squashfs image to write
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// zstd, xz, none, or gzip, which Talos cannot read
    #[arg(long, value_name = "NAME", default_value = "zstd")]
    pub codec: String,
    /// Level of zstd, 1 to 22 [default: parameters of its own for each block, near 18]
    #[arg(long, value_name = "N")]
    pub level: Option<i32>,
    /// Bytes of a block: a power of two from 4096 to 1048576
    #[arg(long, value_name = "BYTES", default_value = "131072")]
    pub block_size: u32,
    /// Of an index, pack this platform
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `talosmith squashfs list` and `tar`
#[derive(Debug, ClapArgs)]
pub struct SquashfsList {
    /// The squashfs image
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only this path and what is below it
    #[arg(value_name = "PATH", default_value = "", hide_default_value = true)]
    pub path: String,
}

/// `talosmith squashfs extract`
#[derive(Debug, ClapArgs)]
pub struct SquashfsExtract {
    /// The squashfs image
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The folder to make; it may be there if it is empty
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Only this path and what is below it
    #[arg(value_name = "PATH", default_value = "", hide_default_value = true)]
    pub path: String,
}
