//! What boots in an installer or an imager: kernel, unified kernel image, initramfs with its layers.

use std::io::{self, Read};

use serde::Serialize;

use super::boot_files::{BootFiles, talos_of};
use super::error::{Error, Problem};
use super::tree_input::TreeInput;
use crate::archive::Tree;
use crate::base::{Content, chain};
use crate::boot::{Kernel, Pe, Uki};
use crate::talos::initramfs::Overview;
use crate::talos::installer::folder;
use crate::talos::version::Architecture;

/// What boots on one architecture.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootLine {
    /// `amd64`, `arm64`
    pub architecture: String,
    /// The Talos version of the unified kernel image's os-release file.
    pub talos: Option<String>,
    /// The kernel.
    pub kernel: Option<KernelLine>,
    /// The release in the unified kernel image, which should be the kernel's own.
    pub uname: Option<String>,
    /// What the boot menu offers, with kernel command lines.
    pub profiles: Vec<ProfileLine>,
    /// Sections of the unified kernel image in file order.
    pub sections: Vec<SectionLine>,
    /// Segments of the initramfs in their order.
    pub segments: Vec<SegmentLine>,
    /// The extensions, from the bottom to the top.
    pub extensions: Vec<LayerLine>,
    /// Files of firmware in the initramfs.
    pub firmware: usize,
    /// Files of microcode, before everything else.
    pub microcode: Vec<String>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// A kernel.
#[derive(Debug, Serialize)]
pub struct KernelLine {
    /// What `uname -r` prints.
    pub release: String,
    /// The machine that it runs on.
    pub machine: String,
    /// How it is compressed.
    pub codec: String,
}

/// An entry of the boot menu.
#[derive(Debug, Serialize)]
pub struct ProfileLine {
    /// `main`, `reset-maintenance`; none in an image without profiles.
    pub id: Option<String>,
    /// What the menu shows.
    pub title: Option<String>,
    /// The kernel command line.
    pub cmdline: Option<String>,
}

/// A section.
#[derive(Debug, Serialize)]
pub struct SectionLine {
    /// `.linux` …
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

/// A segment of an initramfs.
#[derive(Debug, Serialize)]
pub struct SegmentLine {
    /// `zstd`, `xz`, `plain` …
    pub codec: String,
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// Files and folders in it.
    pub members: u64,
}

/// A layer.
#[derive(Debug, Serialize)]
pub struct LayerLine {
    /// `0.sqsh`
    pub image: String,
    /// The extension's name.
    pub name: String,
    /// The extension's version.
    pub version: String,
    /// How the squashfs image is compressed; none if it is not there.
    pub codec: Option<String>,
    /// Bytes of the squashfs image.
    pub size: Option<u64>,
}

/// Looks at the boot assets of each architecture that there are any of.
pub(super) fn boot_lines(files: &TreeInput) -> Result<Vec<BootLine>, Error> {
    let mut lines = Vec::new();
    for architecture in Architecture::ALL {
        if files.tree.get(&folder(architecture)).is_some() {
            lines.push(boot_line(&files.tree, architecture)?);
        }
    }
    Ok(lines)
}

fn boot_line(tree: &Tree, architecture: Architecture) -> Result<BootLine, Error> {
    let mut line = BootLine { architecture: architecture.go().to_owned(), ..BootLine::default() };
    let files = BootFiles::of(tree, architecture).unwrap_or_default();
    if files.is_empty() {
        return Err(Problem::new(format!("`{}` holds no boot assets", folder(architecture))).into());
    }
    match &files.uki {
        Some((content, Ok(uki))) => line.uki(uki, content),
        Some((_, Err(why))) => line.problems.push(format!("the unified kernel image: {why}")),
        None => {}
    }
    if let Some(kernel) = &files.kernel {
        line.kernel(kernel);
    }
    if let Some(initramfs) = &files.initramfs {
        line.initramfs(initramfs);
    }
    Ok(line)
}

impl BootLine {
    fn uki(&mut self, uki: &Uki, content: &Content) {
        self.uname.clone_from(&uki.uname);
        self.talos = talos_of(uki);
        self.profiles = uki
            .profiles
            .iter()
            .map(|profile| ProfileLine {
                id: profile.text.id.clone(),
                title: profile.text.title.clone(),
                cmdline: profile.cmdline.clone(),
            })
            .collect();
        let sections = Pe::read(content).map(|pe| pe.sections().to_vec()).unwrap_or_default();
        self.sections = sections
            .iter()
            .map(|section| SectionLine { name: section.name.clone(), size: section.content.len() })
            .collect();
    }

    fn kernel(&mut self, content: &Content) {
        match Kernel::read(content) {
            Ok(kernel) => {
                if self.uname.as_ref().is_some_and(|uname| *uname != kernel.release) {
                    self.problems.push(format!("`.uname` is not the kernel's release, {}", kernel.release));
                }
                self.kernel = Some(KernelLine {
                    release: kernel.release,
                    machine: kernel.machine.to_string(),
                    codec: kernel.payload.name().to_owned(),
                });
            }
            Err(error) => self.problems.push(format!("the kernel: {}", chain(&error))),
        }
    }

    fn initramfs(&mut self, content: &Content) {
        let mut skip = |_: &str, _: &mut dyn Read, _: u64| -> io::Result<Option<Content>> { Ok(None) };
        let overview = match Overview::read(content, &mut skip) {
            Ok(overview) => overview,
            Err(error) => return self.problems.push(format!("the initramfs: {}", chain(&error))),
        };
        self.segments = overview
            .segments
            .iter()
            .map(|segment| SegmentLine {
                codec: segment.codec.name().to_owned(),
                offset: segment.offset,
                size: segment.len,
                members: segment.members,
            })
            .collect();
        let layers = overview.extensions.iter().flat_map(|list| &list.layers);
        self.extensions = layers
            .map(|layer| {
                let found = overview.layers.get(&layer.image);
                LayerLine {
                    image: layer.image.clone(),
                    name: layer.manifest.name.clone(),
                    version: layer.manifest.version.clone(),
                    codec: found.and_then(|found| found.compressor).map(str::to_owned),
                    size: found.map(|found| found.size),
                }
            })
            .collect();
        let missing = overview.missing_layers().into_iter();
        self.problems
            .extend(missing.map(|name| format!("`{name}` is listed in extensions.yaml and not there")));
        let unlisted = overview.unlisted_layers().into_iter();
        self.problems.extend(unlisted.map(|name| format!("`{name}` is not listed in extensions.yaml")));
        if overview.rootfs.is_none() {
            self.problems.push("the initramfs has no `rootfs.sqsh`".to_owned());
        }
        self.firmware = overview.firmware.len();
        self.microcode = overview.microcode.into_keys().collect();
    }
}
