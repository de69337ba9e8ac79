//! What is asked of a kernel, as a step keeps it: to read a kernel is to unpack all of it.

use serde::{Deserialize, Serialize};

use super::error::{Error, Problem};
use super::run::{Context, Plan};
use super::step::{Outputs, Step, StepId};
use crate::archive::{Tree, compress, squashfs};
use crate::base::fsio::At as _;
use crate::base::{Activity, Content, Digest, chain, digest};
use crate::boot::Kernel;
use crate::check::kernel::{KernelInput, Module};
use crate::check::{self, Finding};
use crate::image::Descriptor;
use crate::kmod::depmod::KernelSymbols;
use crate::kmod::{Machine, Verdict};
use crate::pki::{Certificate, TrustedKeys};
use crate::talos::{Architecture, Enforcement, SignatureConfig, Version};

/// The list of the symbols that the kernel exports, as a blob of the step.
const SYMBOLS: &str = "symbols";
/// The most bytes of that list; that of Debian's kernels has 400 kB.
const SYMBOLS_MAX: u64 = 64 << 20;

/// What a kernel says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFacts {
    /// `uname -r`.
    pub release: String,
    /// The machine that it runs on: `amd64`, `arm64`, or another.
    pub machine: String,
    /// Whether firmware can start it.
    pub efi: bool,
    /// Codecs of initramfs and squashfs images that it was built with; `None` if it does not say.
    pub codecs: Option<KernelCodecs>,
    /// What its configuration says of signatures of modules; `None` if it does not say.
    pub signatures: Option<SignatureConfig>,
    /// What it holds the version magic of modules against.
    pub vermagic: Option<String>,
    /// The certificates of the keys that it trusts: DER, in hexadecimal digits.
    certificates: Vec<String>,
}

/// See [`KernelFacts::codecs`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCodecs {
    /// Of an initramfs.
    pub initramfs: Vec<String>,
    /// Of squashfs images.
    pub squashfs: Vec<String>,
}

impl KernelFacts {
    fn of(kernel: &Kernel) -> Self {
        Self {
            release: kernel.release.clone(),
            machine: kernel.machine.to_string(),
            efi: kernel.efi_stub == Some(kernel.machine),
            codecs: kernel.config.as_ref().map(|config| KernelCodecs {
                initramfs: config.initramfs_codecs().iter().map(ToString::to_string).collect(),
                squashfs: config.squashfs_codecs().iter().map(ToString::to_string).collect(),
            }),
            signatures: kernel.config.as_ref().map(|config| SignatureConfig {
                looks: config.is_built_in("MODULE_SIG"),
                forces: config.is_built_in("MODULE_SIG_FORCE"),
            }),
            vermagic: kernel.vermagic.clone(),
            certificates: kernel.keys.certificates().iter().map(|own| digest::hex(own.der())).collect(),
        }
    }

    /// The keys that it trusts.
    pub fn keys(&self) -> Result<TrustedKeys, Error> {
        let damaged = || Error::Internal("a certificate that was kept does not read back".to_owned());
        let certificate = |text: &String| {
            let der = digest::unhex(text)?;
            Certificate::parse(&der).ok()
        };
        let all: Option<Vec<_>> = self.certificates.iter().map(certificate).collect();
        all.map(TrustedKeys::new).ok_or_else(damaged)
    }

    /// What names the keys.
    pub fn keys_digest(&self) -> Digest {
        Digest::of(self.certificates.join("\n").as_bytes())
    }

    /// For what the rules for modules ask; `None` of a machine that Talos does not run on.
    pub fn input<'a>(
        &'a self,
        keys: &'a TrustedKeys,
        enforcement: &'a Enforcement,
    ) -> Option<KernelInput<'a>> {
        let machine = Machine::of_architecture(&self.machine)?;
        Some(KernelInput { machine, vermagic: self.vermagic.as_deref(), keys, enforcement })
    }

    /// What the kernel makes of its own modules, which lie below `folder`: they are of one build, so that it
    /// takes them all.
    pub fn judge_own(&self, context: &Context, tree: &Tree, folder: &str) -> Result<Vec<Finding>, Error> {
        let keys = self.keys()?;
        let modules = check::kernel::read(tree, folder, &keys, &context.workers)?;
        let enforcement = self.own_enforcement(&keys, &modules);
        let input = self.input(&keys, &enforcement);
        Ok(input.map(|input| check::kernel::modules(&modules, &input)).unwrap_or_default())
    }

    /// Whether signatures count for the modules that this kernel was built with: a kernel without keys whose
    /// modules are all unsigned was built without them, though it may not say so.
    pub fn own_enforcement(&self, keys: &TrustedKeys, modules: &[Module]) -> Enforcement {
        let unsigned = |module: &Module| module.verdict == Verdict::Unsigned;
        if self.signatures.is_none() && keys.is_empty() && modules.iter().all(unsigned) {
            return Enforcement::NotBuilt;
        }
        Enforcement::of(self.signatures, &Version::NEWEST, None)
    }

    /// The architecture, if it is one of Talos'.
    pub fn architecture(&self) -> Option<Architecture> {
        Architecture::ALL.into_iter().find(|own| own.go() == self.machine)
    }

    /// Whether it says that it cannot read an initramfs in a codec.
    pub fn lacks_initramfs(&self, codec: compress::Codec) -> bool {
        self.codecs.as_ref().is_some_and(|codecs| codecs.initramfs.iter().all(|own| own != codec.name()))
    }

    /// Whether it says that it cannot read squashfs in a codec.
    pub fn lacks_squashfs(&self, codec: squashfs::Codec) -> bool {
        self.codecs.as_ref().is_some_and(|codecs| codecs.squashfs.iter().all(|own| own != codec.name()))
    }
}

/// Adds the step that reads a kernel, whose bytes have this digest.
pub fn add<'p>(plan: &mut Plan<'p>, content: &'p Content, digest: Digest, origin: &'p str) -> StepId {
    let run = move |context: &Context, _: &Activity, _: &[&Outputs]| {
        let kernel = Kernel::read(content).map_err(|error| {
            Problem::new(format!("the kernel {origin} cannot be used")).detail(chain(&error))
        })?;
        let facts = KernelFacts::of(&kernel);
        let outputs = Outputs::default().with_facts("kernel", &facts).with_value("outcome", facts.release);
        let Some(exports) = kernel.exports else { return Ok(outputs) };
        let mut list = String::new();
        for export in exports {
            list +=
                &format!("{:#010x}\t{}\tvmlinux\tEXPORT_SYMBOL\t\n", export.crc.unwrap_or(0), export.name);
        }
        let (digest, content) = context.store.put(list.as_bytes())?;
        Ok(outputs.with_blob(SYMBOLS, Descriptor::new("text/plain", digest, content.len())))
    };
    plan.add(Step::new("kernel", 3, origin, run).parameter("kernel", digest).total(content.len()))
}

/// What the step found.
pub fn facts(outputs: &Outputs) -> Result<KernelFacts, Error> {
    outputs.facts("kernel")
}

/// The symbols that the kernel exports, where they were found in it.
pub fn symbols(context: &Context, outputs: &Outputs) -> Result<Option<KernelSymbols>, Error> {
    let Some(list) = outputs.blobs.get(SYMBOLS) else { return Ok(None) };
    let text = context.blob(list)?.read(SYMBOLS_MAX).at("read", list.digest.to_string())?;
    Ok(KernelSymbols::parse(&text).ok())
}

/// Reads a kernel by a plan of this step alone.
pub fn read(
    context: &Context,
    content: &Content,
    digest: Digest,
    origin: &str,
) -> Result<(KernelFacts, Option<KernelSymbols>), Error> {
    let mut plan = Plan::new();
    let step = add(&mut plan, content, digest, origin);
    let outputs = plan.run(context)?;
    let outputs = step.outputs(&outputs)?;
    Ok((facts(outputs)?, symbols(context, outputs)?))
}
