//! The boot assets of one architecture: out of an imager image, or from a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::source::{Source, image_for_or_any};
use crate::archive::tree::join;
use crate::base::{Content, Digest, Epoch};
use crate::image::Platform;
use crate::image::config::ConfigFile;
use crate::plan::check::wrong_kind;
use crate::plan::error::{Error, Problem};
use crate::plan::flatten;
use crate::plan::run::{Context, Plan};
use crate::plan::stat_cache::StatCache;
use crate::plan::subject::kind_of_image;
use crate::talos::installer::{Asset, folder};
use crate::talos::kind::Kind;
use crate::talos::version::Architecture;

/// The label with the Talos version that imager and installer images carry.
pub(super) const VERSION_LABEL: &str = "alpha.talos.dev/version";

/// The Talos version that an image says it is of.
pub(in crate::plan) fn version_label(config: &ConfigFile) -> Option<String> {
    config.label(VERSION_LABEL).filter(|label| !label.is_empty()).map(str::to_owned)
}

/// A boot asset on disk.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Its bytes.
    pub(super) content: Content,
    /// Their digest.
    pub(super) digest: Digest,
    /// Where it came from, for messages.
    pub(super) origin: String,
}

/// Files that the user names one by one: they take the place of those of the imager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssetFiles {
    /// The kernel.
    pub kernel: Option<PathBuf>,
    /// The stock initramfs.
    pub initramfs: Option<PathBuf>,
    /// systemd-stub.
    pub stub: Option<PathBuf>,
    /// systemd-boot.
    pub boot_loader: Option<PathBuf>,
}

impl AssetFiles {
    fn named(&self) -> impl Iterator<Item = (Asset, &PathBuf)> {
        let pairs = [
            (Asset::Kernel, &self.kernel),
            (Asset::Initramfs, &self.initramfs),
            (Asset::Stub, &self.stub),
            (Asset::BootLoader, &self.boot_loader),
        ];
        pairs.into_iter().filter_map(|(asset, path)| Some((asset, path.as_ref()?)))
    }

    /// Whether they are all that an installer needs.
    pub(super) fn are_enough(&self, needed: &[Asset]) -> bool {
        needed.iter().all(|asset| self.named().any(|(named, _)| named == *asset))
    }
}

/// The boot assets of one architecture.
#[derive(Debug)]
pub(super) struct Assets {
    files: BTreeMap<Asset, File>,
    /// Where most of them came from.
    origin: String,
    architecture: Architecture,
    /// When the imager was made.
    pub(super) created: Option<Epoch>,
}

/// What an imager is asked for.
const WANTED: [Asset; 4] = [Asset::Kernel, Asset::Initramfs, Asset::Stub, Asset::BootLoader];

impl Assets {
    /// Takes the assets out of `imager`, which is written as `reference`.
    pub(super) fn take(
        context: &Context,
        cache: &StatCache,
        imager: Option<(&Source, &str)>,
        files: &AssetFiles,
        platform: &Platform,
        architecture: Architecture,
    ) -> Result<Self, Error> {
        let (reference, mut taken, created) = match imager {
            None => (String::new(), BTreeMap::new(), None),
            Some((Source::Folder(path), reference)) => {
                (reference.to_owned(), in_folder(cache, path, architecture)?, None)
            }
            Some((Source::Files(_), reference)) => {
                return Err(Problem::new(format!(
                    "`{reference}` is a tar of files, and an imager is an image or a folder"
                ))
                .hint("unpack it, and name the folder")
                .into());
            }
            Some((Source::Image(image), reference)) => {
                let one = image_for_or_any(image, platform)?;
                let wanted = folder(architecture);
                let mut plan = Plan::new();
                let step = flatten::add(&mut plan, &one, &wanted);
                let outputs = plan.run(context)?;
                let tree = flatten::tree(context, step.outputs(&outputs)?, reference)?;
                let taken: BTreeMap<Asset, File> = WANTED
                    .into_iter()
                    .filter_map(|asset| {
                        let path = join(&wanted, asset.file_name());
                        let content = tree.tree.get(&path)?.content()?.clone();
                        let digest = *tree.digests.get(&path)?;
                        Some((asset, File { content, digest, origin: format!("`/{path}` of `{reference}`") }))
                    })
                    .collect();
                if taken.is_empty() {
                    return Err(no_assets(context, &one, reference, architecture)?);
                }
                (reference.to_owned(), taken, one.created())
            }
        };
        for (asset, path) in files.named() {
            taken.insert(asset, local(cache, path)?);
        }
        Ok(Self { files: taken, origin: reference, architecture, created })
    }

    /// An asset. That it is not there is an error.
    pub(super) fn get(&self, asset: Asset) -> Result<&File, Error> {
        self.files.get(&asset).ok_or_else(|| {
            let path = asset.path(self.architecture);
            Problem::new(format!("`{}` has no `/{path}`", self.origin))
                .hint("an imager image holds kernel, initramfs, stub and boot loader of each architecture")
                .into()
        })
    }
}

/// Why nothing was found: for another architecture, or in an image of another kind.
fn no_assets(
    context: &Context,
    one: &crate::plan::one_image::OneImage<'_>,
    reference: &str,
    architecture: Architecture,
) -> Result<Error, Error> {
    let (kind, files) = kind_of_image(context, one)?;
    if kind != Kind::Imager {
        return Ok(wrong_kind(reference, kind, Kind::Imager, "`--imager`").into());
    }
    let has = |other: &Architecture| files.tree.get(&Asset::Initramfs.path(*other)).is_some();
    let others: Vec<&str> = Architecture::ALL.iter().filter(|other| has(other)).map(|own| own.go()).collect();
    Ok(other_architectures(reference, architecture, &others).into())
}

fn other_architectures(what: &str, wanted: Architecture, others: &[&str]) -> Problem {
    Problem::new(format!("`{what}` has no boot assets for {wanted}"))
        .detail(format!("it has those for {}", others.join(", ")))
        .hint("a self-built imager often has one architecture; the released ones have both")
}

/// The assets of a folder: directly in it, or below `usr/install/<arch>/`.
fn in_folder(
    cache: &StatCache,
    path: &Path,
    architecture: Architecture,
) -> Result<BTreeMap<Asset, File>, Error> {
    let below = path.join(folder(architecture));
    let root = if below.is_dir() { &below } else { path };
    let mut found = BTreeMap::new();
    for asset in WANTED {
        let file = root.join(asset.file_name());
        if file.is_file() {
            found.insert(asset, local(cache, &file)?);
        }
    }
    if found.is_empty() {
        let there = |other: &&Architecture| path.join(Asset::Initramfs.path(**other)).is_file();
        let others: Vec<&str> = Architecture::ALL.iter().filter(there).map(|own| own.go()).collect();
        if !others.is_empty() {
            return Err(other_architectures(&path.display().to_string(), architecture, &others).into());
        }
        return Err(Problem::new(format!("there are no boot assets in `{}`", path.display()))
            .detail("looked for: vmlinuz, initramfs.xz, systemd-stub.efi, systemd-boot.efi")
            .detail(format!("in it, and in `{}` below it", folder(architecture)))
            .into());
    }
    Ok(found)
}

/// A file of the user's.
pub(super) fn local(cache: &StatCache, path: &Path) -> Result<File, Error> {
    let (digest, content) = cache.digest(path, &|_| {})?;
    Ok(File { content, digest, origin: format!("`{}`", path.display()) })
}
