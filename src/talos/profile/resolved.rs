//! A profile with everything decided: its base, its defaults, and the refusals of upstream's `Validate`
//! (pkg/imager/profile/profile.go in siderolabs/talos) and of what is not made yet.

use super::builtin;
use super::document::{Container, ContainerSource, Input, Overlay, Profile};
use crate::base::suggest;
use crate::base::yaml::Any;
use crate::image::reference::ReferenceError;
use crate::talos::installer::{Asset, Official};
use crate::talos::meta::MetaValue;
use crate::talos::output::{OutputFormat, OutputKind};
use crate::talos::platform::{Platform, PlatformError};
use crate::talos::version::{Architecture, Feature, Tag};

/// What holds where a profile says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'a> {
    /// The version of the imager image.
    pub talos: &'a Tag,
    /// The architecture, if one is to be assumed; upstream assumes none for a document.
    pub architecture: Option<Architecture>,
}

/// A profile that can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The target's architecture.
    pub architecture: Architecture,
    /// The platform.
    pub platform: Platform,
    /// Whether for Secure Boot; of the command line only, so far.
    pub secure_boot: bool,
    /// What the boot menu calls the system.
    pub name: String,
    /// The Talos version.
    pub talos: Tag,
    /// What is made.
    pub kind: OutputKind,
    /// What becomes of it.
    pub format: OutputFormat,
    /// Extra kernel arguments.
    pub extra_kernel_args: Vec<String>,
    /// Values of META.
    pub meta: Vec<MetaValue>,
    /// The machine configuration for the image.
    pub embedded_config: Option<String>,
    /// The kernel.
    pub kernel: AssetSource,
    /// The initramfs.
    pub initramfs: AssetSource,
    /// systemd-stub.
    pub stub: AssetSource,
    /// systemd-boot.
    pub boot_loader: AssetSource,
    /// The base of an installer.
    pub base_installer: ContainerSource,
    /// The extensions, the lowest first.
    pub extensions: Vec<ContainerSource>,
    /// The board's overlay.
    pub overlay: Option<ResolvedOverlay>,
}

/// Where a boot asset is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssetSource {
    /// In the imager image, at this path in normal form.
    Imager(String),
    /// A file of its own.
    File(String),
}

/// A board's overlay.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedOverlay {
    /// The name of its installer, `default` if the profile names none.
    pub name: String,
    /// The image for the machine that runs this: its program gives the options.
    pub image: ContainerSource,
    /// The image for the target: what goes into the installer.
    pub installer: ContainerSource,
    /// The options, by key.
    pub options: Vec<(String, Any)>,
}

/// A profile cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// There is no profile of that name.
    #[error("`{name}` is no profile")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The profile that was meant, perhaps.
        nearest: Option<String>,
    },
    /// Something that every profile needs is missing.
    #[error("the profile has no `{0}`")]
    Missing(&'static str),
    /// See [`Platform::parse`].
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// Upstream makes it, this program does not.
    #[error("{0} is not there yet")]
    NotYet(String),
    /// This Talos version has no such thing.
    #[error("{what} takes Talos {since} or later, and the profile is for {talos}")]
    Version {
        /// What.
        what: &'static str,
        /// The first version with it.
        since: String,
        /// The profile's version.
        talos: String,
    },
    /// This output has no place for it.
    #[error("an output of kind `{}` takes no {what}", kind.name())]
    Output {
        /// The kind.
        kind: OutputKind,
        /// What was given.
        what: &'static str,
    },
    /// A tar of files has no layers to build on.
    #[error("`input.baseInstaller` is a tar of files, expected an image with layers")]
    FlatBase,
    /// The version is no tag of an image.
    #[error("there is no image of Talos' own for version `{talos}`")]
    Reference {
        /// The version.
        talos: String,
        /// Why.
        source: ReferenceError,
    },
}

impl ProfileError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::Unknown { nearest: None, .. } => {
                Some(format!("the profiles are {}", builtin::names().collect::<Vec<_>>().join(", ")))
            }
            Self::Platform(error) => Some(error.hint()),
            Self::NotYet(_) => {
                Some("outputs are `installer`, `uki`, `initramfs`, `kernel` and `cmdline`".to_owned())
            }
            Self::FlatBase => Some("use `imageRef` or `ociPath`".to_owned()),
            _ => None,
        }
    }
}

impl Profile {
    /// This profile on the one that it names as its base: one of the overlay's (`profiles/<name>.yaml` there),
    /// or a built-in one.
    pub fn with_base(self, overlay: &[(String, Self)]) -> Result<Self, ProfileError> {
        let Some(name) = &self.base else { return Ok(self) };
        let own = overlay.iter().find(|(own, _)| own == name).map(|(_, profile)| profile.clone());
        let base = own.or_else(|| builtin::profile(name)).ok_or_else(|| {
            let mut names: Vec<&str> = overlay.iter().map(|(own, _)| own.as_str()).collect();
            builtin::names().for_each(|name| names.push(name));
            let nearest = suggest::nearest(name, names).map(str::to_owned);
            ProfileError::Unknown { name: name.clone(), nearest }
        })?;
        Ok(self.over(base))
    }

    /// Decides everything that is open and refuses what cannot be made. The base must have been laid below
    /// already.
    pub fn resolve(self, defaults: &Defaults<'_>) -> Result<Resolved, ProfileError> {
        let talos = self.version.as_deref().map_or_else(|| defaults.talos.clone(), Tag::new);
        let architecture =
            self.architecture.or(defaults.architecture).ok_or(ProfileError::Missing("arch"))?;
        let platform = Platform::parse(self.platform.as_deref().ok_or(ProfileError::Missing("platform"))?)?;
        let kind = self.kind.ok_or(ProfileError::Missing("output.kind"))?;
        self.check(&talos, kind)?;
        let Input { kernel, initramfs, stub, boot_loader, base_installer, overlay_installer, .. } =
            self.input;
        let asset = |given: Option<String>, asset: Asset| match given {
            // What upstream prints as its defaults, and people copy, are paths in its own image.
            Some(path) => match path.strip_prefix('/').filter(|path| path.starts_with("usr/install/")) {
                Some(path) => AssetSource::Imager(path.to_owned()),
                None => AssetSource::File(path),
            },
            None => AssetSource::Imager(asset.path(architecture)),
        };
        let extensions = self.input.extensions.iter().map(Container::source);
        Ok(Resolved {
            architecture,
            platform,
            secure_boot: self.secure_boot.unwrap_or_default(),
            name: self.name.unwrap_or_else(|| "Talos".to_owned()),
            kind,
            format: self.format.unwrap_or(OutputFormat::Raw),
            extra_kernel_args: self.extra_kernel_args,
            meta: self.meta,
            embedded_config: self.embedded_config,
            kernel: asset(kernel, Asset::Kernel),
            initramfs: asset(initramfs, Asset::Initramfs),
            stub: asset(stub, Asset::Stub),
            boot_loader: asset(boot_loader, Asset::BootLoader),
            base_installer: base(&base_installer, &talos)?,
            extensions: extensions
                .map(|source| source.ok_or(ProfileError::Missing("input.systemExtensions[].imageRef")))
                .collect::<Result<_, _>>()?,
            overlay: self.overlay.map(|overlay| overlay.resolve(&overlay_installer)).transpose()?,
            talos,
        })
    }

    fn check(&self, talos: &Tag, kind: OutputKind) -> Result<(), ProfileError> {
        let secure_boot = self.secure_boot.unwrap_or_default();
        let needs = |wanted: bool, feature: Feature, what: &'static str| match feature.since() {
            Some(since) if wanted && !talos.has(feature) => {
                Err(ProfileError::Version { what, since: since.to_string(), talos: talos.to_string() })
            }
            _ => Ok(()),
        };
        let none = |given: bool, what: &'static str| {
            if given { Err(ProfileError::Output { kind, what }) } else { Ok(()) }
        };
        needs(secure_boot, Feature::Uki, "Secure Boot")?;
        needs(kind == OutputKind::Uki, Feature::Uki, "a UKI")?;
        needs(self.overlay.is_some(), Feature::Overlays, "an overlay")?;
        needs(self.embedded_config.is_some(), Feature::EmbeddedConfig, "an embedded machine configuration")?;
        let bare = matches!(kind, OutputKind::Kernel | OutputKind::Initramfs);
        none(bare && secure_boot, "Secure Boot")?;
        none(bare && !self.extra_kernel_args.is_empty(), "kernel arguments")?;
        none((bare || kind == OutputKind::Installer) && !self.meta.is_empty(), "values of META")?;
        if !kind.is_supported() {
            return Err(ProfileError::NotYet(format!("output kind `{}`", kind.name())));
        }
        // The command line for Secure Boot takes no key.
        if secure_boot && kind != OutputKind::Cmdline {
            return Err(ProfileError::NotYet("Secure Boot".to_owned()));
        }
        Ok(())
    }
}

/// The base of an installer that is given, or Talos' own.
fn base(given: &Container, talos: &Tag) -> Result<ContainerSource, ProfileError> {
    match given.source() {
        Some(ContainerSource::Tarball(_)) => Err(ProfileError::FlatBase),
        Some(source) => Ok(source),
        None => match Official::Base.reference(talos) {
            Ok(image) => Ok(ContainerSource::Registry { image: image.to_string(), insecure: false }),
            Err(source) => Err(ProfileError::Reference { talos: talos.to_string(), source }),
        },
    }
}

impl Overlay {
    fn resolve(self, installer: &Container) -> Result<ResolvedOverlay, ProfileError> {
        let image = self.image.source().ok_or(ProfileError::Missing("overlay.image"))?;
        Ok(ResolvedOverlay {
            name: self.name.unwrap_or_else(|| "default".to_owned()),
            // One reference serves both: it is read for two platforms.
            installer: installer.source().unwrap_or_else(|| image.clone()),
            image,
            options: self.options,
        })
    }
}

impl Resolved {
    /// The name of the file that is made, with the suffix of its format.
    pub fn file_name(&self) -> String {
        self.raw_file_name() + self.format.suffix()
    }

    /// Its name before it gets its format.
    pub fn raw_file_name(&self) -> String {
        self.kind.file_name(self.platform.given_name(), self.architecture, self.secure_boot)
    }
}

#[cfg(test)]
#[path = "resolved_tests.rs"]
mod tests;
