//! An extension, taken out of its image or folder and judged.

use std::collections::BTreeMap;

use super::source::{Source, image_for};
use crate::archive::TreeError;
use crate::archive::tree::{Entry, join};
use crate::base::{Content, Digest, Epoch};
use crate::check::kernel::Wishes;
use crate::check::{self, Code, ExtensionInput, Report};
use crate::image::Platform;
use crate::plan::check::wrong_kind;
use crate::plan::error::{Error, Problem};
use crate::plan::extension::{MadeFiles, of_folder};
use crate::plan::flatten;
use crate::plan::run::{Context, Plan};
use crate::plan::stat_cache::StatCache;
use crate::plan::subject::kind_of;
use crate::plan::tree_input::TreeInput;
use crate::talos::extension::{self, MANIFEST, ROOTFS};
use crate::talos::kind::Kind;
use crate::talos::manifest::Manifest;
use crate::talos::version::{Feature, Tag, Version};
use crate::talos::virtual_extension::VirtualExtension;

/// The most bytes of a manifest that are read.
const MANIFEST_LIMIT: u64 = 1 << 20;

/// An extension.
#[derive(Debug)]
pub(super) struct Extension {
    /// As the user named it.
    pub(super) reference: String,
    /// What its manifest says.
    pub(super) manifest: Manifest,
    /// Its root file system: owned by root, times zero, of the attributes only SELinux labels.
    pub(super) rootfs: TreeInput,
    /// The attributes of the root directory.
    pub(super) root: Entry,
    /// The layers that the paths of its image came from.
    pub(super) layers: BTreeMap<String, Digest>,
    /// What its modules would like to have beside them, where the kernel was asked.
    pub(super) wishes: Vec<Wishes>,
    /// What the checks found.
    pub(super) report: Report,
    /// When it was made.
    pub(super) created: Option<Epoch>,
}

impl Extension {
    /// Takes an extension for `platform` out of its source.
    pub(super) fn take(
        context: &Context,
        cache: &StatCache,
        source: &Source,
        reference: &str,
        platform: &Platform,
        talos: &Version,
    ) -> Result<Self, Error> {
        let (files, created) = match source {
            Source::Folder(folder) => {
                let (files, created) = of_folder(context, cache, folder, platform, talos)?;
                (files, created)
            }
            Source::Files(files) => (files.as_ref().clone(), None),
            Source::Image(opened) => {
                let one = image_for(opened, platform)?;
                let mut plan = Plan::new();
                let step = flatten::add(&mut plan, &one, "");
                let outputs = plan.run(context)?;
                let files = flatten::tree(context, step.outputs(&outputs)?, reference)?;
                let kind = kind_of(one.config.entrypoint(), &files.tree);
                if kind != Kind::Extension {
                    return Err(wrong_kind(reference, kind, Kind::Extension, "`--extension`").into());
                }
                (files, one.created())
            }
        };
        Self::of_files(files, created, reference, platform, talos)
    }

    /// An extension that was made in this very run: its image need not be taken apart.
    pub(super) fn just_made(
        files: &MadeFiles,
        reference: &str,
        platform: &Platform,
        talos: &Version,
    ) -> Result<Self, Error> {
        let (files, created) = files.flattened(platform)?;
        Self::of_files(files, Some(created), reference, platform, talos)
    }

    /// An extension that lies in no image: the program's own, for versions with `feature`.
    pub(super) fn made(
        context: &Context,
        made: Result<VirtualExtension, TreeError>,
        platform: &Platform,
        talos: &Tag,
        feature: Feature,
    ) -> Result<Self, Error> {
        let origin = |source| Error::Tree { origin: "an extension of our own".to_owned(), source };
        let VirtualExtension { manifest, rootfs } = made.map_err(origin)?;
        if let (false, Some(since)) = (talos.has(feature), feature.since()) {
            return Err(Problem::new(format!("Talos {talos} takes no extension `{}`", manifest.name))
                .hint(format!("Talos {since} is the first that does"))
                .into());
        }
        let mut files = TreeInput::default();
        let bytes = manifest.to_yaml().into_bytes();
        files.add(MANIFEST, Entry::file(0o644, Content::memory(bytes)), None, &manifest.name)?;
        files.add(ROOTFS, Entry::directory(), None, &manifest.name)?;
        for (path, entry) in rootfs.iter() {
            files.add(&join(ROOTFS, path), entry.clone(), None, &manifest.name)?;
        }
        files.hash(context, context.stat_cache())?;
        let made = Self::of_files(files, None, &manifest.name, platform, &talos.version())?;
        // Its version is a digest, as upstream has it: nothing that the user could change.
        let others = made.report.findings().iter().filter(|one| one.code != Code::ManifestVersionShape);
        Ok(Self { report: Report::new(others.cloned().collect()), ..made })
    }

    fn of_files(
        files: TreeInput,
        created: Option<Epoch>,
        reference: &str,
        platform: &Platform,
        talos: &Version,
    ) -> Result<Self, Error> {
        let report = check::judge_extension(&ExtensionInput {
            tree: &files.tree,
            platform: Some(platform),
            talos,
            talos_is_given: true,
            duplicates: &files.duplicates,
            layer_of: &|path| files.layers.get(path).copied(),
            origin_of: &|_| reference.to_owned(),
        })?;
        let manifest = files.tree.get(MANIFEST).and_then(Entry::content);
        let manifest = manifest.and_then(|content| content.read(MANIFEST_LIMIT).ok());
        let manifest = manifest.and_then(|bytes| Manifest::parse(&bytes).ok());
        // Without one that can be read the report has an error, which stops everything.
        let manifest = manifest.map(|(manifest, _)| manifest).unwrap_or_default();
        let mut root = files.tree.get(ROOTFS).cloned().unwrap_or_else(Entry::directory);
        (root.uid, root.gid, root.mtime) = (0, 0, 0);
        let mut rootfs = files.below(ROOTFS)?;
        extension::normalise(&mut rootfs.tree, true);
        let layers = files.layers;
        Ok(Self {
            reference: reference.to_owned(),
            manifest,
            rootfs,
            root,
            layers,
            wishes: Vec::new(),
            report,
            created,
        })
    }

    /// `name 1.0.0`, or how the user named it where the manifest says nothing.
    pub(super) fn name(&self) -> &str {
        if self.manifest.name.is_empty() { &self.reference } else { &self.manifest.name }
    }
}
