//! What boots in an installer or an imager, unpacked as far as the checks look at it: the kernel, the base's
//! modules, and the layers of extensions.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::super::boot_files::{BootFiles, talos_of};
use super::super::error::{Error, Problem};
use super::super::installer::version_label;
use super::super::run::Context;
use super::super::subject::Subject;
use super::ground::Ground;
use crate::archive::Tree;
use crate::archive::squashfs::{self, Image};
use crate::archive::tree::{Entry, Kind, join};
use crate::base::fsio::{Draft, FileError};
use crate::base::{Content, Digest, chain};
use crate::check::installer::{Codecs, InstallerInput, Member, installer};
use crate::check::kernel;
use crate::check::{Code, Finding};
use crate::talos::Tag;
use crate::talos::extension::{FIRMWARE, MODULES, modules_dir};
use crate::talos::initramfs::Overview;
use crate::talos::initramfs::overview::ROOTFS;
use crate::talos::modules_dep;
use crate::talos::version::Version;

/// The most bytes of an index of modules that are read; that of all of Debian's has 800 kB.
const INDEX_MAX: u64 = 64 << 20;

/// A layer of an extension.
#[derive(Debug)]
struct Layer {
    /// `000.my-module.sqsh`
    image: String,
    /// The extension's name.
    name: String,
    /// Its paths. Of modules and their index the contents are there.
    tree: Tree,
    /// What it is, for telling two apart.
    key: Digest,
}

/// What boots, unpacked.
#[derive(Debug)]
pub struct Booted {
    /// The kernel and the base's modules.
    pub ground: Ground,
    /// How the user named it.
    reference: String,
    layers: Vec<Layer>,
    /// Layers that are listed and not there, and the other way round.
    missing: Vec<String>,
    unlisted: Vec<String>,
    /// The codecs of the initramfs' segments, and those of its squashfs images.
    codecs: (Vec<String>, Vec<String>),
}

/// The Talos version that an image says it is of.
pub(super) fn label_of(subject: &Subject) -> Option<String> {
    version_label(&subject.image.as_ref()?.config)
}

/// Unpacks what boots. `talos` is the version that the image says it is of.
pub(super) fn open(
    context: &Context,
    files: &BootFiles,
    reference: &str,
    talos: Option<String>,
) -> Result<Booted, Error> {
    let missing = |what: &str| Error::from(Problem::new(format!("`{reference}` has no {what}")));
    if let Some((_, Err(why))) = &files.uki {
        return Err(Problem::new(format!("the unified kernel image of `{reference}` cannot be used"))
            .detail(why.clone())
            .into());
    }
    let kernel = files.kernel.as_ref().ok_or_else(|| missing("kernel"))?;
    let initramfs = files.initramfs.as_ref().ok_or_else(|| missing("initramfs"))?;
    let mut ground = Ground::of_content(context, kernel, format!("the kernel of `{reference}`"))?;
    let uki = files.read_uki();
    // What boots knows better than the image's label, which is its base's.
    ground.talos = uki.and_then(talos_of).or(talos);
    ground.cmdline = uki.and_then(|uki| uki.profiles.first()?.cmdline.clone());
    let mut unpacker = Unpacker { context, drafts: Vec::new() };
    let overview = unpacker.overview(initramfs, reference)?;
    let rootfs = overview.rootfs.as_ref().and_then(|rootfs| rootfs.content.as_ref());
    let base = unpacker.image(rootfs.ok_or_else(|| missing("`rootfs.sqsh` in its initramfs"))?, reference)?;
    let below = |path: &str| FIRMWARE.iter().find_map(|folder| path.strip_prefix(folder)).map(str::to_owned);
    let own = base.iter().filter(|(_, entry)| !entry.is_directory()).map(|(path, _)| path);
    let firmware = overview.firmware.keys().map(String::as_str).chain(own).filter_map(below);
    ground.firmware = Some(firmware.map(|path| path.trim_start_matches('/').to_owned()).collect());
    ground.modules = Some(base);
    let mut squashfs: BTreeSet<String> =
        overview.rootfs.iter().filter_map(|found| found.compressor).map(str::to_owned).collect();
    let mut layers = Vec::new();
    for listed in overview.extensions.iter().flat_map(|list| &list.layers) {
        let Some(found) = overview.layers.get(&listed.image) else { continue };
        squashfs.extend(found.compressor.map(str::to_owned));
        let content = found.content.as_ref().ok_or_else(|| missing("bytes of a layer"))?;
        let key = content.digest().map_err(|error| unusable(reference, &error))?;
        let tree = unpacker.image(content, reference)?;
        let (image, name) = (listed.image.clone(), listed.manifest.name.clone());
        layers.push(Layer { image, name, tree, key });
    }
    ground.drafts = unpacker.drafts;
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    Ok(Booted {
        ground,
        reference: reference.to_owned(),
        layers,
        missing: owned(overview.missing_layers()),
        unlisted: owned(overview.unlisted_layers()),
        codecs: (
            overview.codecs().iter().map(|codec| codec.name().to_owned()).collect(),
            squashfs.into_iter().collect(),
        ),
    })
}

impl Booted {
    /// Runs every rule on what is in it.
    pub fn judge(&self, context: &Context, talos: &Version) -> Result<Vec<Finding>, Error> {
        let mut findings = self.base(context, talos)?;
        let layers: Vec<&Layer> = self.layers.iter().filter(|one| one.name != modules_dep::NAME).collect();
        let trees: Vec<(&str, &Tree)> = layers.iter().map(|one| (one.name.as_str(), &one.tree)).collect();
        let mut of_layer = |layer: &Layer, finding: Finding| findings.push(finding.within(&layer.image));
        let modules = self.ground.read(context, &trees, talos)?;
        // Modules of another kernel's are a finding of their own, and stand in no index.
        if !trees.iter().any(|(_, tree)| other_release(tree, talos, &self.ground.kernel.release)) {
            for (number, finding) in self.ground.judge(context, &trees, &modules, talos)? {
                if let Some(layer) = layers.get(number) {
                    of_layer(layer, finding);
                }
            }
        }
        let index = self.index(&join(modules_dir(talos), &self.ground.kernel.release))?;
        for (layer, modules) in layers.iter().zip(&modules) {
            kernel::not_found(modules, &index).into_iter().for_each(|finding| of_layer(layer, finding));
        }
        findings.extend(kernel::not_enforced(&self.ground.enforcement(talos)));
        findings.extend(self.list());
        findings.extend(self.together(&layers, talos));
        for finding in &mut findings {
            finding.image.get_or_insert_with(|| self.reference.clone());
        }
        Ok(findings)
    }

    /// What the kernel makes of the base's own modules.
    fn base(&self, context: &Context, talos: &Version) -> Result<Vec<Finding>, Error> {
        let Some(base) = &self.ground.modules else { return Ok(Vec::new()) };
        let (keys, kernel) = (&self.ground.keys, &self.ground.kernel);
        let folder = modules_dir(talos);
        let modules = kernel::read(base, folder, keys, &context.workers)?;
        let own = kernel.own_enforcement(keys, &modules);
        // By its command line where that is stricter: a base that it refuses does not boot.
        let enforcement = if own.is_on() { self.ground.enforcement(talos) } else { own };
        let mut findings = match kernel.input(keys, &enforcement) {
            Some(input) => kernel::modules(&modules, &input),
            None => Vec::new(),
        };
        if other_release(base, talos, &kernel.release) {
            let releases: Vec<&str> = base.children(folder).collect();
            findings.push(
                Finding::new(
                    Code::ModulesOfAnotherRelease,
                    "the base's modules are for another kernel than the one that boots",
                )
                .at(folder)
                .expected(kernel.release.as_str(), releases.join(", "))
                .hint("kernel and initramfs must be of one imager"),
            );
        }
        Ok(findings.into_iter().map(|finding| finding.within(ROOTFS)).collect())
    }

    /// The text of the index that the loader will see: that of the last layer that has one, or the base's.
    fn index(&self, folder: &str) -> Result<String, Error> {
        let path = join(folder, "modules.dep");
        let trees = self.layers.iter().rev().map(|layer| &layer.tree).chain(&self.ground.modules);
        let found = trees.filter_map(|tree| tree.get(&path)?.content()).next();
        let bytes = found.map(|content| content.read(INDEX_MAX)).transpose();
        let bytes = bytes.map_err(|error| unusable(&self.reference, &error))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The list of layers against the layers.
    fn list(&self) -> Vec<Finding> {
        let finding = |name: &String, what: &str, hint: &str| {
            Finding::new(Code::LayerList, format!("layer `{name}` {what}")).at(name).hint(hint)
        };
        let missing = self.missing.iter().map(|name| {
            finding(name, "is listed in `extensions.yaml` and not there", "Talos' init stops at it")
        });
        let unlisted = self.unlisted.iter().map(|name| {
            finding(name, "is not listed in `extensions.yaml`", "it is never mounted, and only takes room")
        });
        missing.chain(unlisted).collect()
    }

    /// What does not fit together.
    fn together(&self, layers: &[&Layer], talos: &Version) -> Vec<Finding> {
        let members: Vec<Member<'_>> = layers
            .iter()
            .map(|layer| Member {
                reference: &self.reference,
                name: &layer.name,
                key: layer.key,
                rootfs: &layer.tree,
            })
            .collect();
        let kernel = self.ground.kernel.codecs.as_ref();
        let report = installer(&InstallerInput {
            talos: &Tag::new(&talos.to_string()),
            imager: None,
            release: Some(&self.ground.kernel.release),
            codecs: kernel.map(|kernel| Codecs {
                initramfs: &self.codecs.0,
                squashfs: &self.codecs.1,
                kernel_initramfs: &kernel.initramfs,
                kernel_squashfs: &kernel.squashfs,
            }),
            base: None,
            extensions: &members,
            upstream_names: false,
        });
        report.findings().to_vec()
    }
}

/// Whether there are modules, and none of them for this kernel.
fn other_release(tree: &Tree, talos: &Version, release: &str) -> bool {
    let folder = modules_dir(talos);
    tree.children(folder).next().is_some() && tree.get(&join(folder, release)).is_none()
}

fn unusable(reference: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    Problem::new(format!("what boots in `{reference}` cannot be read")).detail(chain(error)).into()
}

/// Unpacks into drafts, which are gone with it.
struct Unpacker<'c> {
    context: &'c Context,
    drafts: Vec<Draft>,
}

impl Unpacker<'_> {
    /// What is in an initramfs, with all its squashfs images.
    fn overview(&mut self, initramfs: &Content, reference: &str) -> Result<Overview, Error> {
        let mut keep = |_: &str, reader: &mut dyn Read, _: u64| -> io::Result<Option<Content>> {
            let mut pack = Pack::new(self.context).map_err(io::Error::other)?;
            let content = pack.add(reader)?;
            self.drafts.push(pack.draft);
            Ok(Some(content))
        };
        Overview::read(initramfs, &mut keep).map_err(|error| unusable(reference, &error))
    }

    /// The paths of a squashfs image. Of modules and what lies beside them the contents are there.
    fn image(&mut self, content: &Content, reference: &str) -> Result<Tree, Error> {
        let wrong = |error: squashfs::ReadError| unusable(reference, &error);
        let image = Image::open(content).map_err(wrong)?;
        let mut tree = Tree::new();
        for node in image.list("").map_err(wrong)? {
            tree.replace(&node.path, node.entry.clone()).map_err(|error| unusable(reference, &error))?;
        }
        let mut pack = Pack::new(self.context)?;
        for folder in MODULES {
            // A link to the folder has none of its own.
            if !tree.get(folder).is_some_and(Entry::is_directory) {
                continue;
            }
            let mut sink = |reader: &mut dyn Read, _: u64| pack.add(reader);
            let taken =
                squashfs::read_tree(&image, folder, &self.context.workers, &mut sink).map_err(wrong)?;
            for (path, entry) in taken.iter().filter(|(_, entry)| matches!(entry.kind, Kind::File(_))) {
                tree.replace(path, entry.clone()).map_err(|error| unusable(reference, &error))?;
            }
        }
        self.drafts.push(pack.draft);
        Ok(tree)
    }
}

/// Files, one behind another, in a draft.
struct Pack {
    draft: Draft,
    len: u64,
}

impl Pack {
    fn new(context: &Context) -> Result<Self, FileError> {
        Ok(Self { draft: context.store.draft()?, len: 0 })
    }

    fn add(&mut self, reader: &mut dyn Read) -> io::Result<Content> {
        let size = io::copy(reader, self.draft.file())?;
        let content = Content::range(self.draft.path(), self.len, size);
        self.len += size;
        Ok(content)
    }
}
