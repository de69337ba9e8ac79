//! What an installer is to be made of.

use std::path::PathBuf;

use super::assets::AssetFiles;
use crate::archive::compress::Compression;
use crate::base::Epoch;
use crate::base::yaml::Any;
use crate::check::Code;
use crate::image::{Format, Platform};
use crate::plan::extension::MadeFiles;
use crate::talos::MetaValue;
use crate::talos::platform::Platform as Machine;
use crate::talos::schematic::Schematic;
use crate::talos::version::Tag;

/// What is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Installer images, written to references. With `{arch}` each platform's is written by itself.
    Installer(Vec<String>),
    /// A unified kernel image, as this file.
    Uki(PathBuf),
    /// The initramfs with the extensions, as this file.
    Initramfs(PathBuf),
    /// The kernel, as this file.
    Kernel(PathBuf),
    /// The kernel command line, as this file.
    Cmdline(PathBuf),
}

/// An extension to be put in.
#[derive(Debug, Clone)]
pub enum ExtensionSource {
    /// An image, or an extension's folder, as the user wrote it.
    Reference(String),
    /// An image that was made just now: where it is, and what it is called in messages.
    Made {
        /// Where it is.
        reference: String,
        /// What it is called.
        shown: String,
        /// What is in it, for platforms of which that is known.
        files: MadeFiles,
    },
    /// An official extension, by its name in the catalogue.
    Official(String),
    /// The machine configuration that is to be embedded.
    EmbeddedConfig(Vec<u8>),
    /// The extension that names a schematic.
    Schematic(Box<Schematic>),
}

impl ExtensionSource {
    /// The same without the place of what was made just now, which is another one each time.
    pub(super) fn named(&self) -> Self {
        match self {
            Self::Made { shown, .. } => {
                Self::Made { reference: String::new(), shown: shown.clone(), files: MadeFiles::default() }
            }
            other => other.clone(),
        }
    }
}

/// How layers are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// So that the order of names is the order given, for any number.
    Ordered,
    /// As upstream names them.
    Upstream,
}

/// A board's overlay.
#[derive(Debug, Clone, PartialEq)]
pub struct OverlaySpec {
    /// The image for the machine that this runs on: its program is asked for kernel arguments.
    pub image: String,
    /// The image for the target: what goes into the installer.
    pub installer: String,
    /// Which of its installers.
    pub name: String,
    /// Options for it, by key.
    pub options: Vec<(String, Any)>,
    /// Whether its program may be run here.
    pub run: bool,
}

/// All of it. References may hold `{arch}`, which becomes the architecture of each platform.
#[derive(Debug, Clone)]
pub struct InstallerSpec {
    /// The Talos version; without one, the imager's label says it, or the base's.
    pub talos: Option<Tag>,
    /// The imager with the boot assets; the official one of the version, if none is named.
    pub imager: Option<String>,
    /// Boot assets that are files.
    pub files: AssetFiles,
    /// The base; the official one of the version, if none is named.
    pub base: Option<String>,
    /// The extensions; the last lies on top.
    pub extensions: Vec<ExtensionSource>,
    /// At least one; exactly one for every output but images.
    pub platforms: Vec<Platform>,
    /// The platform of this machine, for programs that may be run on it.
    pub host: Platform,
    /// Where Talos runs: `metal`, a cloud.
    pub machine: Machine,
    /// Whether it is for Secure Boot; of the command line only, so far.
    pub secure_boot: bool,
    /// The user's kernel arguments.
    pub kernel_args: Vec<String>,
    /// The arguments that a board's overlay wants.
    pub overlay_kernel_args: Vec<String>,
    /// Values of META, where the output takes them.
    pub meta: Vec<MetaValue>,
    /// A board's overlay.
    pub overlay: Option<OverlaySpec>,
    /// Whether the program of an overlay that a schematic names may be run here.
    pub run_overlay: bool,
    /// A schematic, which stands for extensions, kernel arguments, an overlay and a configuration.
    pub schematic: Option<Box<Schematic>>,
    /// The catalogue of official extensions; Talos' own of the version, if none is named.
    pub catalogue: Option<String>,
    /// The same of overlays.
    pub overlay_catalogue: Option<String>,
    /// The picture that is shown at boot, or a unified kernel image that has one.
    pub splash: Option<PathBuf>,
    /// How layers are named.
    pub names: Names,
    /// Whose media types; those of the base, if not said.
    pub format: Option<Format>,
    /// Of the layer with the boot assets.
    pub compression: Compression,
    /// `SOURCE_DATE_EPOCH`, where it is set.
    pub epoch: Option<Epoch>,
    /// Codes of findings that may pass.
    pub allow: Vec<Code>,
    /// What is made.
    pub output: Output,
}
