//! A profile as it is written: pkg/imager/profile in siderolabs/talos.
//!
//! What is not given stays open until the base profile and the defaults have their say. Upstream ignores
//! unknown keys; here they are errors. The keys of outputs that are not made yet (disk and ISO options,
//! signers) are checked by name and not kept.

use crate::base::yaml::{self, Any, Cursor};
use crate::talos::document::{self, DocumentError, only, part, text, word};
use crate::talos::meta::MetaValue;
use crate::talos::output::{OutputFormat, OutputKind};
use crate::talos::version::Architecture;

/// A profile. Texts are never empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// `baseProfileName`: the profile on which this one lies.
    pub base: Option<String>,
    /// `arch`.
    pub architecture: Option<Architecture>,
    /// `platform`.
    pub platform: Option<String>,
    /// `secureboot`.
    pub secure_boot: Option<bool>,
    /// `name`: what the boot menu calls the system.
    pub name: Option<String>,
    /// `version`: the Talos version.
    pub version: Option<String>,
    /// `customization.extraKernelArgs`.
    pub extra_kernel_args: Vec<String>,
    /// `customization.metaContents`.
    pub meta: Vec<MetaValue>,
    /// `customization.embeddedMachineConfiguration`.
    pub embedded_config: Option<String>,
    /// `input`.
    pub input: Input,
    /// `overlay`.
    pub overlay: Option<Overlay>,
    /// `output.kind`.
    pub kind: Option<OutputKind>,
    /// `output.outFormat`.
    pub format: Option<OutputFormat>,
}

/// What goes in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    /// `kernel.path`.
    pub kernel: Option<String>,
    /// `initramfs.path`.
    pub initramfs: Option<String>,
    /// `sdStub.path`.
    pub stub: Option<String>,
    /// `sdBoot.path`.
    pub boot_loader: Option<String>,
    /// `baseInstaller`.
    pub base_installer: Container,
    /// `imageCache`, which no output that is made yet has a place for.
    pub image_cache: Container,
    /// `overlayInstaller`: the overlay image for the target's architecture.
    pub overlay_installer: Container,
    /// `systemExtensions`, the lowest first.
    pub extensions: Vec<Container>,
}

/// A board's overlay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overlay {
    /// The name of its installer.
    pub name: Option<String>,
    /// The overlay image.
    pub image: Container,
    /// Its options, by key.
    pub options: Vec<(String, Any)>,
}

/// An image, as it is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// `imageRef`: a name in a registry.
    pub image: Option<String>,
    /// `forceInsecure`: whether the registry speaks plain HTTP.
    pub insecure: Option<bool>,
    /// `tarballPath`: a tar of the image's files.
    pub tarball: Option<String>,
    /// `ociPath`: an OCI layout.
    pub layout: Option<String>,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerSource {
    /// In a registry.
    Registry {
        /// The name.
        image: String,
        /// Whether the registry speaks plain HTTP.
        insecure: bool,
    },
    /// The image's files in a tar.
    Tarball(String),
    /// In an OCI layout.
    Layout(String),
}

impl Container {
    /// An image in a registry.
    pub fn image(name: &str, insecure: bool) -> Self {
        Self { image: Some(name.to_owned()), insecure: insecure.then_some(true), ..Self::default() }
    }

    /// Where it is; a tar comes before a layout and that before a registry, as upstream has it. `None` if
    /// nothing is given.
    pub fn source(&self) -> Option<ContainerSource> {
        let insecure = self.insecure.unwrap_or_default();
        let tarball = self.tarball.clone().map(ContainerSource::Tarball);
        let layout = || self.layout.clone().map(ContainerSource::Layout);
        let registry = || self.image.clone().map(|image| ContainerSource::Registry { image, insecure });
        tarball.or_else(layout).or_else(registry)
    }

    fn of(cursor: &Cursor<'_>) -> Result<Self, DocumentError> {
        only(cursor, &["imageRef", "forceInsecure", "tarballPath", "ociPath"])?;
        let insecure = cursor.key("forceInsecure")?;
        Ok(Self {
            image: text(cursor, "imageRef")?,
            insecure: if insecure.is_null() { None } else { Some(insecure.boolean()?) },
            tarball: text(cursor, "tarballPath")?,
            layout: text(cursor, "ociPath")?,
        })
    }

    fn over(self, base: Self) -> Self {
        Self {
            image: self.image.or(base.image),
            insecure: self.insecure.or(base.insecure),
            tarball: self.tarball.or(base.tarball),
            layout: self.layout.or(base.layout),
        }
    }
}

impl Profile {
    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        const KEYS: &[&str] = &[
            "baseProfileName",
            "arch",
            "platform",
            "secureboot",
            "name",
            "version",
            "customization",
            "input",
            "overlay",
            "output",
        ];
        let node = yaml::parse(bytes)?;
        let root = Cursor::root(&node);
        only(&root, KEYS)?;
        let secure_boot = root.key("secureboot")?;
        let custom = part(&root, "customization", CUSTOMIZATION)?;
        let meta = custom.key("metaContents")?.items()?.into_iter().map(|item| {
            only(&item, &["key", "value"])?;
            Ok(MetaValue::of(&item)?)
        });
        let meta = meta.collect::<Result<_, DocumentError>>()?;
        let (kind, format) = output(&root)?;
        Ok(Self {
            base: text(&root, "baseProfileName")?,
            architecture: word(&root, "arch", Architecture::ALL.into_iter().map(|own| (own.go(), own)))?,
            platform: text(&root, "platform")?,
            secure_boot: if secure_boot.is_null() { None } else { Some(secure_boot.boolean()?) },
            name: text(&root, "name")?,
            version: text(&root, "version")?,
            extra_kernel_args: custom.key("extraKernelArgs")?.strings()?,
            meta,
            embedded_config: text(&custom, "embeddedMachineConfiguration")?,
            input: Input::of(&root.key("input")?)?,
            overlay: Overlay::of(&root.key("overlay")?)?,
            kind,
            format,
        })
    }

    /// This profile on `base`: what is given here takes the place of what is given there, lists follow
    /// those of the base, and options merge by key.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        Self {
            base: None,
            architecture: self.architecture.or(base.architecture),
            platform: self.platform.or(base.platform),
            secure_boot: self.secure_boot.or(base.secure_boot),
            name: self.name.or(base.name),
            version: self.version.or(base.version),
            extra_kernel_args: [base.extra_kernel_args, self.extra_kernel_args].concat(),
            meta: [base.meta, self.meta].concat(),
            embedded_config: self.embedded_config.or(base.embedded_config),
            input: self.input.over(base.input),
            overlay: match (self.overlay, base.overlay) {
                (Some(own), Some(base)) => Some(own.over(base)),
                (own, base) => own.or(base),
            },
            kind: self.kind.or(base.kind),
            format: self.format.or(base.format),
        }
    }
}

const CUSTOMIZATION: &[&str] = &["extraKernelArgs", "metaContents", "embeddedMachineConfiguration"];

impl Input {
    fn of(cursor: &Cursor<'_>) -> Result<Self, DocumentError> {
        const KEYS: &[&str] = &[
            "kernel",
            "initramfs",
            "sdStub",
            "sdBoot",
            "baseInstaller",
            "imageCache",
            "overlayInstaller",
            "systemExtensions",
            "secureboot",
        ];
        only(cursor, KEYS)?;
        signers(&cursor.key("secureboot")?)?;
        let file = |key| -> Result<_, DocumentError> { Ok(text(&part(cursor, key, &["path"])?, "path")?) };
        let container = |key| Container::of(&cursor.key(key)?);
        Ok(Self {
            kernel: file("kernel")?,
            initramfs: file("initramfs")?,
            stub: file("sdStub")?,
            boot_loader: file("sdBoot")?,
            base_installer: container("baseInstaller")?,
            image_cache: container("imageCache")?,
            overlay_installer: container("overlayInstaller")?,
            extensions: cursor
                .key("systemExtensions")?
                .items()?
                .iter()
                .map(Container::of)
                .collect::<Result<_, _>>()?,
        })
    }

    fn over(self, base: Self) -> Self {
        Self {
            kernel: self.kernel.or(base.kernel),
            initramfs: self.initramfs.or(base.initramfs),
            stub: self.stub.or(base.stub),
            boot_loader: self.boot_loader.or(base.boot_loader),
            base_installer: self.base_installer.over(base.base_installer),
            image_cache: self.image_cache.over(base.image_cache),
            overlay_installer: self.overlay_installer.over(base.overlay_installer),
            extensions: [base.extensions, self.extensions].concat(),
        }
    }
}

impl Overlay {
    fn of(cursor: &Cursor<'_>) -> Result<Option<Self>, DocumentError> {
        if cursor.is_null() {
            return Ok(None);
        }
        only(cursor, &["name", "image", "options"])?;
        Ok(Some(Self {
            name: text(cursor, "name")?,
            image: Container::of(&cursor.key("image")?)?,
            options: document::options(&cursor.key("options")?)?,
        }))
    }

    fn over(self, base: Self) -> Self {
        let mut options = base.options;
        lay(&mut options, self.options);
        Self { name: self.name.or(base.name), image: self.image.over(base.image), options }
    }
}

/// Lays options on others: mappings merge, lists follow, everything else takes the place.
pub(super) fn lay(base: &mut Vec<(String, Any)>, own: Vec<(String, Any)>) {
    for (key, value) in own {
        match (base.iter_mut().find(|(there, _)| *there == key), value) {
            (Some((_, Any::Map(there))), Any::Map(value)) => lay(there, value),
            (Some((_, Any::List(there))), Any::List(value)) => there.extend(value),
            (Some((_, there)), value) => *there = value,
            (None, value) => base.push((key, value)),
        }
    }
}

fn output(root: &Cursor<'_>) -> Result<(Option<OutputKind>, Option<OutputFormat>), DocumentError> {
    const IMAGE: &[&str] =
        &["diskSize", "diskFormat", "diskFormatOptions", "diskSectorSize", "bootloader", "sdBootEnrollKeys"];
    let output = part(root, "output", &["kind", "outFormat", "imageOptions", "isoOptions"])?;
    part(&output, "imageOptions", IMAGE)?;
    part(&output, "isoOptions", &["sdBootEnrollKeys", "bootloader"])?;
    let kinds = OutputKind::ALL.into_iter().map(|kind| (kind.name(), kind));
    // Overlays' own profiles of old write the formats without the dot.
    let bare = |format: OutputFormat| (format.name().trim_start_matches('.'), format);
    let formats = OutputFormat::ALL.into_iter().flat_map(|format| [(format.name(), format), bare(format)]);
    Ok((word(&output, "kind", kinds)?, word(&output, "outFormat", formats)?))
}

/// Checks the names of the keys of the signers.
fn signers(cursor: &Cursor<'_>) -> Result<(), DocumentError> {
    const SIGNER: &[&str] = &[
        "keyPath",
        "certPath",
        "azureVaultURL",
        "azureCertificateID",
        "awsKMSKeyID",
        "awsRegion",
        "awsCertPath",
        "awsCertARN",
        "signerAddress",
    ];
    const PCR_SIGNER: &[&str] = &[
        "keyPath",
        "azureVaultURL",
        "azureKeyID",
        "azureKeyVersion",
        "awsKMSKeyID",
        "awsRegion",
        "signerAddress",
    ];
    const KEYS: &[&str] = &[
        "secureBootSigner",
        "pcrSigner",
        "platformKeyPath",
        "keyExchangeKeyPath",
        "signatureKeyPath",
        "includeWellKnownCerts",
    ];
    only(cursor, KEYS)?;
    part(cursor, "secureBootSigner", SIGNER)?;
    part(cursor, "pcrSigner", PCR_SIGNER)?;
    Ok(())
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
