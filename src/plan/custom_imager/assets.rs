//! The new boot assets of one architecture, and the layer that holds them.

use std::io;

use super::super::assemble::{LayerOptions, write_layer};
use super::super::error::{Error, Problem};
use super::super::run::{Context, Plan};
use super::super::step::{Outputs, Step, StepId};
use super::base::{self, INITRAMFS, SBOM, Stock, VMLINUZ};
use super::kernels::KernelInput;
use super::verify;
use crate::archive::compress::Codec;
use crate::archive::{Entry, Kind, Tree};
use crate::base::fsio::At as _;
use crate::base::{Activity, Content, chain, json};
use crate::talos::Architecture;
use crate::talos::custom_imager::{Initramfs, KernelFiles};

/// One architecture of a stock imager, and the kernel for it.
#[derive(Debug, Clone, Copy)]
pub struct Part<'p> {
    /// The stock imager's image.
    pub stock: &'p Stock<'p>,
    /// The kernel.
    pub kernel: &'p KernelInput,
}

impl<'p> Part<'p> {
    /// The architecture.
    pub fn architecture(&self) -> Architecture {
        self.kernel.architecture
    }

    pub(super) fn asset(&self, name: &str) -> Result<&'p Content, Error> {
        let asset = self.stock.asset(self.architecture(), name);
        asset
            .map(|(content, _)| content)
            .ok_or_else(|| Error::Internal(format!("a stock imager without `{name}`")))
    }

    /// What the stock image has, for messages.
    pub(super) fn place(&self, name: &str) -> String {
        format!("`/{}` of `{}`", base::path(self.architecture(), name), self.stock.one.image.reference)
    }

    /// The codec of the stock initramfs, if Talos and the kernel read it.
    pub fn codec(&self) -> Result<Codec, Error> {
        let mut head = Vec::new();
        let read = self
            .asset(INITRAMFS)?
            .open()
            .and_then(|reader| io::Read::read_to_end(&mut io::Read::take(reader, 2), &mut head).map(drop));
        read.at("read", self.place(INITRAMFS))?;
        let codec = Codec::of_kernel(&head);
        if !matches!(codec, Codec::Zstd | Codec::Xz) {
            return Err(Problem::new(format!("{} is compressed with {codec}", self.place(INITRAMFS)))
                .detail("Talos and its imager read zstd and xz")
                .into());
        }
        if self.kernel.kernel.lacks_initramfs(codec) {
            return Err(self.cannot(format!("unpack an initramfs in {codec}, as this imager has it")));
        }
        Ok(codec)
    }

    pub(super) fn cannot(&self, what: String) -> Error {
        let (kernel, reference) = (&self.kernel.kernel.release, &self.kernel.reference);
        Problem::new(format!("kernel `{kernel}` of `{reference}` cannot {what}"))
            .hint("its configuration says so: build it with that codec")
            .into()
    }
}

/// The list of what is in Talos with this kernel in it; a warning where nothing can be said.
pub fn sbom(part: &Part<'_>) -> Result<(Option<Vec<u8>>, Option<String>), Error> {
    /// Most bytes of a list that are read; Talos' has 3 MB.
    const LIMIT: u64 = 64 << 20;
    let Some((stock, _)) = part.stock.asset(part.architecture(), SBOM) else { return Ok((None, None)) };
    let (place, kernel) = (part.place(SBOM), &part.kernel.reference);
    let files = KernelFiles::of(&part.kernel.files.tree).ok();
    let Some(own) = files.and_then(|files| files.sbom().cloned()) else {
        let text = format!("{place} goes on to name the stock kernel: `{kernel}` has no `kernel.spdx.json`");
        return Ok((None, Some(text)));
    };
    let (stock, own) = (stock.read(LIMIT).at("read", &place)?, own.read(LIMIT).at("read", kernel)?);
    match crate::talos::custom_imager::sbom::exchange(&stock, &own) {
        Ok(Some(changed)) => Ok((Some(changed.bytes), None)),
        Ok(None) => {
            let text = format!("{place} goes on to name the stock kernel: it has no package of `{kernel}`");
            Ok((None, Some(text)))
        }
        Err(error) => Err(Problem::new(format!("{place} and the list of `{kernel}` cannot be read as SPDX"))
            .detail(error.to_string())
            .into()),
    }
}

/// One architecture's new boot assets.
pub struct Assets<'p> {
    /// The architecture and its kernel.
    pub part: Part<'p>,
    /// The codec of the initramfs.
    pub codec: Codec,
    /// The step that gives the stock archive.
    pub unpacked: StepId,
    /// The step that gives the root file system.
    pub rootfs: StepId,
    /// The new list of what is in Talos, where it changes.
    pub sbom: Option<Vec<u8>>,
}

/// Adds the step that makes the layer of these assets.
pub fn layer<'p>(plan: &mut Plan<'p>, assets: Vec<Assets<'p>>, options: LayerOptions) -> StepId {
    let steps: Vec<StepId> = assets.iter().flat_map(|one| [one.unpacked, one.rootfs]).collect();
    let names: Vec<&str> = assets.iter().map(|one| one.part.architecture().go()).collect();
    let subject = format!("boot assets {}", names.join(", "));
    let parameters = json::to_vec(&assets.iter().map(Assets::key).collect::<Vec<_>>());
    let run = move |context: &Context, progress: &Activity, inputs: &[&Outputs]| {
        let mut entries = Tree::new();
        for (one, inputs) in assets.iter().zip(inputs.chunks(2)) {
            one.entries(context, inputs, &mut entries)?;
        }
        // Folders are there already, and keep what they are.
        let files: Vec<(String, Entry)> = entries
            .iter()
            .filter(|(_, entry)| !entry.is_directory())
            .map(|(path, entry)| (path.to_owned(), entry.clone()))
            .collect();
        let outputs = write_layer(context, progress, files.iter().cloned(), options)?;
        verify::layer(context, outputs.blob("layer")?, &files)?;
        Ok(outputs)
    };
    let step = Step::new("boot-assets", 1, subject, run)
        .parameter("assets", String::from_utf8_lossy(&parameters))
        .parameter("compression", options.compression)
        .parameter("format", format!("{:?}", options.format))
        .parameter("epoch", options.epoch.seconds());
    plan.add(steps.into_iter().fold(step, Step::needs))
}

impl Assets<'_> {
    /// Everything that the layer holds of these assets and that no step gives.
    fn key(&self) -> (String, String, Vec<String>, Option<crate::base::Digest>) {
        let architecture = self.part.architecture();
        let attributes = [VMLINUZ, INITRAMFS, SBOM].map(|name| {
            let entry = self.part.stock.files.tree.get(&base::path(architecture, name));
            entry.map_or_else(String::new, |entry| {
                let Entry { mode, uid, gid, xattrs, .. } = entry;
                format!("{mode:o} {uid}:{gid} {xattrs:?}")
            })
        });
        let kernel = self.part.kernel.files.key().to_string();
        let sbom = self.sbom.as_deref().map(crate::base::Digest::of);
        (format!("{architecture} {}", self.codec), kernel, attributes.to_vec(), sbom)
    }

    fn entries(&self, context: &Context, inputs: &[&Outputs], entries: &mut Tree) -> Result<(), Error> {
        let (part, architecture) = (self.part, self.part.architecture());
        let [unpacked, rootfs] = inputs else {
            return Err(Error::Internal("a layer without its inputs".to_owned()));
        };
        let archive = context.blob(unpacked.blob("archive")?)?;
        let rootfs = rootfs.blob("rootfs")?;
        let wrong = |error: &(dyn std::error::Error + 'static)| {
            Error::Internal(format!("an initramfs that was read: {}", chain(error)))
        };
        let (content, old) = (context.blob(rootfs)?, part.asset(INITRAMFS)?);
        let planned = Initramfs::of(&archive).and_then(|stock| stock.packed(&content, old, self.codec));
        let initramfs = planned.map_err(|error| wrong(&error))?;
        verify::initramfs(&archive, &initramfs, self.codec, &rootfs.digest)?;
        let files = KernelFiles::of(&part.kernel.files.tree).map_err(|error| wrong(&error))?;
        let mut put = |name: &str, content: Content| {
            let path = base::path(architecture, name);
            let stock = part.stock.files.tree.get(&path).cloned();
            let entry = stock.unwrap_or_else(|| Entry::file(0o644, Content::memory([])));
            let placed = entries.insert(&path, Entry { kind: Kind::File(content), ..entry });
            placed.map_err(|source| Error::Tree { origin: path, source })
        };
        put(VMLINUZ, files.vmlinuz.clone())?;
        put(INITRAMFS, initramfs)?;
        if let Some(sbom) = &self.sbom {
            put(SBOM, Content::memory(sbom.clone()))?;
        }
        Ok(())
    }
}
