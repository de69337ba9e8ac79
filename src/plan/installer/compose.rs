//! Initramfs and unified kernel image, planned of what the steps gave. Nothing of it is copied: both are
//! headers in memory and ranges of files.

use std::collections::BTreeMap;
use std::path::Path;

use super::assets::File;
use super::prepare::Prepared;
use super::spec::{InstallerSpec, Names};
use crate::base::{Content, Epoch, chain, json};
use crate::boot::uki::{Builder, StubInfo};
use crate::boot::{Machine, Pe, Uki, uki};
use crate::plan::error::{Error, Problem};
use crate::plan::run::Context;
use crate::plan::step::Outputs;
use crate::talos::initramfs::{self, Firmware, Inputs, LayerNames, MODULES_DEP_IMAGE, compose, verify};
use crate::talos::installer::Asset;
use crate::talos::manifest::Manifest;
use crate::talos::uki::Parts;
use crate::talos::version::Feature;

/// What composing needs beside the outputs of the steps.
#[derive(Debug)]
pub(super) struct Composer<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) epoch: Epoch,
    /// The picture.
    pub(super) splash: Option<&'a File>,
    names: Vec<(usize, String)>,
}

/// What the steps gave, in the order in which the steps were added.
#[derive(Debug)]
pub(super) struct Made<'a> {
    /// Each extension's squashfs image.
    pub(super) layers: Vec<&'a Outputs>,
    /// The index of modules.
    pub(super) modules_dep: Option<&'a Outputs>,
    /// The firmware's segment.
    pub(super) firmware: Option<&'a Outputs>,
}

impl<'a> Composer<'a> {
    pub(super) fn new(
        spec: &InstallerSpec,
        prepared: &'a Prepared,
        epoch: Epoch,
        splash: Option<&'a File>,
    ) -> Self {
        let names = match spec.names {
            Names::Ordered => LayerNames::Padded,
            Names::Upstream => LayerNames::Upstream,
        };
        Self { prepared, epoch, splash, names: names.of(prepared.members.len()) }
    }

    /// The names of the extensions in the order of their layers, and what the index of modules is called.
    pub(super) fn order(&self) -> impl Iterator<Item = (&str, &super::extension::Extension)> {
        self.names.iter().filter_map(|(number, name)| {
            Some((name.as_str(), &self.prepared.members.get(*number)?.extension))
        })
    }

    /// What steers the result beside the outputs of the steps, for a step's key.
    pub(super) fn key(&self) -> String {
        let prepared = self.prepared;
        let assets: BTreeMap<&str, String> = Asset::ALL
            .into_iter()
            .filter_map(|asset| {
                Some((asset.file_name(), prepared.assets.get(asset).ok()?.digest.to_string()))
            })
            .collect();
        let manifests: Vec<(&str, String)> =
            self.order().map(|(name, extension)| (name, extension.manifest.to_yaml())).collect();
        let microcode: Vec<String> =
            prepared.members.iter().map(|member| member.extension.rootfs.key().to_string()).collect();
        let key = json::to_vec(&(
            assets,
            manifests,
            microcode,
            prepared.talos.as_str(),
            prepared.cmdline.as_str(),
            self.splash.map(|splash| splash.digest),
            self.epoch.seconds(),
        ));
        String::from_utf8_lossy(&key).into_owned()
    }

    /// The initramfs, read back.
    pub(super) fn initramfs(&self, context: &Context, made: &Made<'_>) -> Result<Content, Error> {
        let prepared = self.prepared;
        let blob = |outputs: &Outputs, role: &str| context.blob(outputs.blob(role)?);
        let mut layers = Vec::new();
        for (number, name) in &self.names {
            let (Some(outputs), Some(member)) = (made.layers.get(*number), prepared.members.get(*number))
            else {
                return Err(Error::Internal("an extension has no image".to_owned()));
            };
            layers.push(initramfs::Layer {
                name: name.clone(),
                image: blob(outputs, "squashfs")?,
                digest: outputs.blob("squashfs")?.digest,
                manifest: member.extension.manifest.clone(),
            });
        }
        if let Some(outputs) = made.modules_dep {
            let (manifest, _) = Manifest::parse(outputs.value("manifest")?.as_bytes())
                .map_err(|error| Error::Internal(format!("a manifest does not read back: {error}")))?;
            layers.push(initramfs::Layer {
                name: MODULES_DEP_IMAGE.to_owned(),
                image: blob(outputs, "squashfs")?,
                digest: outputs.blob("squashfs")?.digest,
                manifest,
            });
        }
        let segment = made.firmware.map(|outputs| blob(outputs, "firmware")).transpose()?;
        let base = prepared.assets.get(Asset::Initramfs)?;
        let planned = compose(&Inputs {
            base: &base.content,
            base_digest: Some(base.digest),
            layers: &layers,
            firmware: segment.as_ref().map(|segment| Firmware { tree: &prepared.firmware.tree, segment }),
            intel: &prepared.intel,
            amd: &prepared.amd,
            talos: &prepared.talos.version(),
            epoch: self.epoch,
        })
        .map_err(|error| Problem::new(chain(&error)))?;
        verify(&planned.content, &planned)
            .map_err(|error| Problem::new("the initramfs is not what it should be").detail(chain(&error)))?;
        Ok(planned.content)
    }

    /// The unified kernel image around an initramfs.
    pub(super) fn uki(&self, context: &Context, initramfs: Content) -> Result<Content, Error> {
        let prepared = self.prepared;
        let machine = Machine::of_architecture(prepared.architecture.go())
            .ok_or_else(|| Error::Internal("an architecture without a machine".to_owned()))?;
        let kernel = prepared.kernel.as_ref();
        let stub = prepared.assets.get(Asset::Stub)?;
        let pe = Pe::read(&stub.content).map_err(|error| unfit(stub, &error))?;
        let info = StubInfo::of(pe.sections()).map_err(|error| unfit(stub, &error))?;
        let profiles = info.as_ref().is_some_and(StubInfo::knows_profiles);
        if !profiles && prepared.talos.has(Feature::UkiProfiles) {
            let what = info.map_or_else(String::new, |info| format!(" ({} {})", info.name, info.version));
            context.events.warn(
                format!(
                    "the stub{what} knows no profiles: the boot menu will have no entry to reset the node"
                ),
                Some("the stub of Talos' own imager, and every one since systemd 257, does".to_owned()),
            );
        }
        let parts = Parts {
            profiles,
            talos: prepared.talos.clone(),
            kernel: prepared.assets.get(Asset::Kernel)?.content.clone(),
            release: kernel.map(|kernel| kernel.release.clone()).unwrap_or_default(),
            initrd: initramfs,
            cmdline: prepared.cmdline.as_str().to_owned(),
            splash: self.splash.map(|splash| splash.content.clone()),
        };
        let image = Builder::new(&stub.content, machine, self.epoch)
            .sections(parts.sections())
            .finish()
            .map_err(|error| Problem::new("the unified kernel image cannot be made").detail(chain(&error)))?;
        // What it is for is read back, too: firmware and boot loader are not forgiving.
        Uki::read(image.content()).map_err(|error| {
            Problem::new("the unified kernel image is not what it should be").detail(chain(&error))
        })?;
        Ok(image.content().clone())
    }
}

fn unfit(stub: &File, error: &(dyn std::error::Error + 'static)) -> Error {
    Problem::new(format!("the stub {} cannot be used", stub.origin)).detail(chain(error)).into()
}

/// The picture in a file: a bitmap, or the one of a unified kernel image.
pub(super) fn splash(file: File, path: &Path) -> Result<File, Error> {
    let wrong = |error: &(dyn std::error::Error + 'static)| {
        Problem::new(format!("`{}` holds no picture that can be shown at boot", path.display()))
            .detail(chain(error))
            .hint("an uncompressed Windows bitmap (BMP), or a unified kernel image with a `.splash`")
    };
    let is_bitmap =
        file.content.slice(0, 2).is_some_and(|start| start.read(2).is_ok_and(|start| start == b"BM"));
    if is_bitmap {
        uki::splash::check(&file.content).map_err(|error| wrong(&error))?;
        return Ok(file);
    }
    let image = Uki::read(&file.content).map_err(|error| wrong(&error))?;
    let content = image.splash.ok_or_else(|| {
        Problem::new(format!("`{}` is a unified kernel image without a `.splash`", path.display()))
    })?;
    Ok(File { content, ..file })
}
