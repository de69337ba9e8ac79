//! The words of `talosmith extension` and `talosmith packages`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{FormatName, Judge};

/// `talosmith extension`
#[derive(Debug, ClapArgs)]
pub struct Extension {
    /// Folder with manifest.yaml (or manifest.yaml.tmpl and vars.yaml) and rootfs/, or a package's folder with pkg.yaml, or with --target the root of a tree of packages
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Where to write the image; may be given several times. Of packages, `{name}` and `{version}` become their own
    #[arg(long, short, value_name = "REFERENCE", required_unless_present = "push")]
    pub output: Vec<String>,
    /// Repositories to push to, as bldr names them: HOST/USER/NAME:VERSION
    #[arg(long, value_name = "HOST/USER")]
    pub push: Vec<String>,
    /// Packages of the tree, by name; their steps are run here, in memory
    #[arg(
        long = "target",
        value_name = "NAME",
        value_delimiter = ',',
        requires = "directory",
        help_heading = "Packages"
    )]
    pub targets: Vec<String>,
    /// Argument of the build: a package's files see it as BUILD_ARG_KEY
    #[arg(long = "build-arg", value_name = "KEY=VALUE", requires = "directory", help_heading = "Packages")]
    pub build_args: Vec<String>,
    /// Where to write a catalogue of what was pushed, as official extensions have it: `talosmith installer --schematic … --catalogue` takes it
    #[arg(long, value_name = "REFERENCE", requires = "directory", help_heading = "Packages")]
    pub catalogue: Vec<String>,
    /// Give what cannot be built natively to BuildKit (BUILDKIT_HOST, or buildctl's own default)
    #[arg(long, requires = "directory", help_heading = "Packages")]
    pub delegate: bool,
    /// The manifest, if it is not DIR/manifest.yaml
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    pub manifest: Option<PathBuf>,
    /// Kernel module (.ko, .ko.zst, .ko.xz, .ko.gz): goes to usr/lib/modules/RELEASE/extras/
    #[arg(long = "module", value_name = "FILE", help_heading = "Inputs")]
    pub modules: Vec<String>,
    /// Firmware file: goes to usr/lib/firmware/[SUBDIR/]
    #[arg(long, value_name = "FILE[:SUBDIR]", help_heading = "Inputs")]
    pub firmware: Vec<String>,
    /// File SRC as /DST of the rootfs
    #[arg(long = "file", value_name = "SRC:DST", help_heading = "Inputs")]
    pub files: Vec<String>,
    /// Everything in DIR, below /PREFIX of the rootfs
    #[arg(long = "tree", value_name = "DIR[:PREFIX]", help_heading = "Inputs")]
    pub trees: Vec<String>,
    /// File or folder /SRC of another image, as /DST of the rootfs [default: as /SRC]
    #[arg(long = "copy", value_name = "IMAGE:SRC[:DST]", help_heading = "Inputs")]
    pub copies: Vec<String>,
    /// Kernel image to take the modules of --modules-list from
    #[arg(long, value_name = "IMAGE", requires = "modules_list", help_heading = "Inputs")]
    pub modules_from: Option<String>,
    /// Paths below usr/lib/modules/RELEASE/, by line
    #[arg(long, value_name = "FILE", requires = "modules_from", help_heading = "Inputs")]
    pub modules_list: Option<PathBuf>,
    /// Platforms, separated by commas; several make one index. `{arch}` in paths and references becomes amd64, arm64
    #[arg(
        long,
        value_name = "OS/ARCH",
        value_delimiter = ',',
        default_value = "linux/amd64",
        help_heading = "Image"
    )]
    pub platform: Vec<String>,
    /// Media types: OCI's or Docker's (schema 2)
    #[arg(long, value_name = "FORMAT", default_value = "oci", help_heading = "Image")]
    pub format: FormatName,
    /// gzip, zstd or none, with a level as in gzip:9 or zstd:19 [levels by default: gzip:5, zstd:3]
    #[arg(long, value_name = "NAME[:LEVEL]", default_value = "gzip", help_heading = "Image")]
    pub compression: String,
    /// Keep permission bits; otherwise 0755 for folders and what its owner may execute, 0644 for other files
    #[arg(long, help_heading = "Image")]
    pub keep_mode: bool,
    /// SELinux label of PATH (of the rootfs) and of what is below it
    #[arg(long = "selinux-label", value_name = "PATH=LABEL", help_heading = "Image")]
    pub selinux_labels: Vec<String>,
    /// Label of the image's configuration, beside those from the manifest
    #[arg(long = "label", value_name = "KEY=VALUE", help_heading = "Image")]
    pub labels: Vec<String>,
    /// Annotation of the image's manifest, beside those from the manifest
    #[arg(long = "annotation", value_name = "KEY=VALUE", help_heading = "Image")]
    pub annotations: Vec<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print the comment")]
    pub judge: Judge,
}

/// `talosmith packages`
#[derive(Debug, ClapArgs)]
pub struct Packages {
    /// Root of a tree of packages, with its Pkgfile
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Platform that files of the tree are rendered for
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    pub platform: String,
    /// Argument of the build: files see it as BUILD_ARG_KEY
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    pub build_args: Vec<String>,
}
