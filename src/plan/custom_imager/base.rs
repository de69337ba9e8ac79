//! The stock imager: its images, and the boot assets in each.

use std::collections::BTreeMap;

use super::super::check::wrong_kind;
use super::super::error::{Error, Problem};
use super::super::flatten;
use super::super::gather::kind_of;
use super::super::one_image::{OneImage, images_of};
use super::super::run::Context;
use super::super::tree_input::TreeInput;
use crate::archive::tree::join;
use crate::base::{Content, Digest};
use crate::image::document::select;
use crate::image::{Opened, Platform};
use crate::talos::Architecture;
use crate::talos::kind::Kind;

/// Where the boot assets lie, by architecture.
pub const INSTALL: &str = "usr/install";
/// The kernel.
pub const VMLINUZ: &str = "vmlinuz";
/// The initramfs, whatever it is compressed with.
pub const INITRAMFS: &str = "initramfs.xz";
/// The list of what is in Talos.
pub const SBOM: &str = "talos.spdx.json";

/// One platform's stock imager.
#[derive(Debug)]
pub struct Stock<'a> {
    /// The image.
    pub one: OneImage<'a>,
    /// Its platform.
    pub platform: Platform,
    /// Everything in `usr/install`.
    pub files: TreeInput,
}

impl<'a> Stock<'a> {
    /// The images of a stock imager: all, or those of these platforms.
    pub fn all(context: &Context, image: &'a Opened, platforms: &[Platform]) -> Result<Vec<Self>, Error> {
        let documents = match platforms {
            [] => images_of(image)?,
            platforms => platforms
                .iter()
                .map(|platform| Ok(select(image, image.root.clone(), Some(platform))?.0))
                .collect::<Result<_, Error>>()?,
        };
        let mut found: BTreeMap<Platform, Self> = BTreeMap::new();
        for document in documents {
            let one = OneImage::read(image, document)?;
            let platform = one.config.platform().or_else(|| one.document.descriptor.platform.clone());
            let platform = platform.ok_or_else(|| {
                Problem::new(format!("`{}` does not say for which platform it is", image.reference))
            })?;
            let files = flatten::below(context, &one, INSTALL)?;
            let stock = Self { one, platform: platform.clone(), files };
            stock.check_kind(context)?;
            if found.insert(platform.clone(), stock).is_some() {
                return Err(
                    Problem::new(format!("`{}` has two images for {platform}", image.reference)).into()
                );
            }
        }
        Ok(found.into_values().collect())
    }

    fn check_kind(&self, context: &Context) -> Result<(), Error> {
        let paths: Vec<&str> = self.files.tree.iter().map(|(path, _)| path).collect();
        if Kind::of(self.one.config.entrypoint(), &paths) == Kind::Imager && !self.architectures().is_empty()
        {
            return Ok(());
        }
        let reference = self.one.image.reference.to_string();
        let kind = kind_of(context, &reference, &self.platform)?;
        if kind != Kind::Imager {
            return Err(wrong_kind(&reference, kind, Kind::Imager, "`--base`").into());
        }
        Err(Problem::new(format!("imager `{reference}` has no boot assets"))
            .detail(format!("neither architecture has `{VMLINUZ}` and `{INITRAMFS}` in `/{INSTALL}/`"))
            .into())
    }

    /// The architectures that it has a kernel and an initramfs for.
    pub fn architectures(&self) -> Vec<Architecture> {
        let has =
            |own: &Architecture| [VMLINUZ, INITRAMFS].iter().all(|name| self.asset(*own, name).is_some());
        Architecture::ALL.into_iter().filter(has).collect()
    }

    /// A boot asset with its digest.
    pub fn asset(&self, architecture: Architecture, name: &str) -> Option<(&Content, Digest)> {
        let path = path(architecture, name);
        Some((self.files.tree.get(&path)?.content()?, *self.files.digests.get(&path)?))
    }
}

/// The path of a boot asset.
pub fn path(architecture: Architecture, name: &str) -> String {
    join(&join(INSTALL, architecture.go()), name)
}
