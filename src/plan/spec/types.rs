//! The keys of `talosmith.yaml`. What stands here is its documentation and its JSON Schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::archive::compress::Compression;
use crate::base::yaml::Cursor;
use crate::base::yaml::typed::{Definitions, Typed, TypedError, object};
use crate::check::Code;
use crate::image::reference::ReferenceError;
use crate::image::{Format, Platform, Reference};
use crate::plan::extension::for_platform;
use crate::talos::platform::{Platform as Machine, PlatformError};
use crate::talos::version::Tag;

object! {
    /// Extensions, and installers with them, declared once: what `talosmith build` makes.
    pub struct Spec {
        /// The version of this form.
        "version" => pub version: FormVersion,
        /// Variables of the environment that this file may use as ${NAME}, with the value that stands for one that is
        /// not set; without such a value it must be set.
        "variables" => pub variables: BTreeMap<String, Option<String>>,
        /// The Talos version, as in v1.11.3.
        "talos" => pub talos: Option<Tag>,
        /// Platforms; several make one index. {arch} in paths and references becomes amd64, arm64.
        "platforms" => pub platforms: Vec<Platform>,
        /// A kernel in place of the official one. It implies an imager with this kernel.
        "kernel" => pub kernel: Option<Kernel>,
        /// The extensions of every installer, in this order: the last lies on top.
        "extensions" => pub extensions: Vec<Extension>,
        /// What is made of them.
        "installers" => pub installers: Vec<Installer>,
        /// The catalogue of official extensions, in place of Talos' own.
        "catalogue" => pub catalogue: Option<Image>,
        /// Where images lie that a site has copied: `HOST[/PATH]` and what stands in its place.
        "mirrors" => pub mirrors: BTreeMap<String, String>,
        /// Codes of findings that may pass in all of it (see `talosmith check --list`).
        "allow" => pub allow: Vec<Code>,
    }
}

object! {
    /// A kernel: an image of one, or a build by BuildKit.
    pub struct Kernel {
        /// An image with a kernel (boot/vmlinuz, usr/lib/modules), as `talosmith kernel` writes it.
        "image" => pub image: Option<Image>,
        /// Its build.
        "buildkit" => pub buildkit: Option<BuildKit>,
        /// Where the images of kernel and packages are written; {name} becomes the name of each.
        "outputs" => pub outputs: Vec<Output>,
        /// Where the imager with this kernel is written.
        "imager" => pub imager: Vec<Output>,
        /// Modules of the stock imager's list that this kernel lacks are left out.
        "allowMissingModules" => pub allow_missing: bool,
    }
}

object! {
    /// A build of a kernel and of packages with modules for it, in one solve.
    pub struct BuildKit {
        /// The folder that is sent: a tree of packages with a Pkgfile, or one with a Dockerfile.
        "context" => pub context: PathBuf,
        /// The file in it that says how to build.
        "file" => pub file: Option<PathBuf>,
        /// The stage of the kernel; `kernel`, if none is named.
        "kernel" => pub kernel: Option<String>,
        /// The stages of packages with modules.
        "packages" => pub packages: Vec<String>,
        /// Arguments of the build.
        "buildArgs" => pub build_args: BTreeMap<String, String>,
        /// Secrets for steps that mount them: id=NAME,src=FILE or id=NAME,env=VARIABLE.
        "secrets" => pub secrets: Vec<String>,
        /// Where cached results come from, in BuildKit's words.
        "cacheFrom" => pub cache_from: Vec<String>,
        /// Where results are kept.
        "cacheTo" => pub cache_to: Vec<String>,
        /// BuildKit's source policy.
        "sourcePolicy" => pub source_policy: Option<PathBuf>,
        /// Where its daemon is.
        "address" => pub address: Option<String>,
    }
}

object! {
    /// An extension: made of a folder or of loose files (`path`, `manifest`), made of packages (`packages`), or an image
    /// that is there (`image`, `official`).
    pub struct Extension {
        /// An image that is there.
        "image" => pub image: Option<Image>,
        /// An official extension, by the catalogue of this Talos version: siderolabs/NAME.
        "official" => pub official: Option<String>,
        /// A folder with manifest.yaml and rootfs/, or a package (pkg.yaml).
        "path" => pub path: Option<PathBuf>,
        /// A tree of packages, of which `targets` are built.
        "packages" => pub packages: Option<PathBuf>,
        /// Packages of that tree.
        "targets" => pub targets: Vec<String>,
        /// Arguments of a package's build: its files see them as BUILD_ARG_KEY.
        "buildArgs" => pub build_args: BTreeMap<String, String>,
        /// Give packages that are not built natively to BuildKit.
        "delegate" => pub delegate: bool,
        /// A manifest in another place than the folder.
        "manifest" => pub manifest: Option<PathBuf>,
        /// Kernel modules: .ko, .ko.zst, .ko.xz, .ko.gz.
        "modules" => pub modules: Vec<PathBuf>,
        /// Firmware: `FILE[:SUBDIR]`.
        "firmware" => pub firmware: Vec<String>,
        /// Files by where they go: SRC:DST.
        "files" => pub files: Vec<String>,
        /// Folders by where they go: `DIR[:PREFIX]`.
        "trees" => pub trees: Vec<String>,
        /// Files and folders of other images.
        "copy" => pub copies: Vec<Copied>,
        /// An image with usr/lib/modules, of which `modulesList` is taken; `kernel` is that of this file.
        "modulesFrom" => pub modules_from: Option<Image>,
        /// Paths below usr/lib/modules/RELEASE/, by line.
        "modulesList" => pub modules_list: Option<PathBuf>,
        /// Keep permission bits.
        "keepMode" => pub keep_mode: bool,
        /// SELinux labels by path of the rootfs.
        "selinuxLabels" => pub selinux_labels: BTreeMap<String, String>,
        /// Labels of the image.
        "labels" => pub labels: BTreeMap<String, String>,
        /// Annotations of the image.
        "annotations" => pub annotations: BTreeMap<String, String>,
        /// gzip, zstd or none, with a level as in gzip:9.
        "compression" => pub compression: Option<Compression>,
        /// Media types: oci or docker.
        "format" => pub format: Option<Format>,
        /// A reference that the image is pushed to; {name} and {version} are the manifest's.
        "push" => pub push: Option<Image>,
        /// Where else it is written.
        "outputs" => pub outputs: Vec<Output>,
        /// Codes of findings that may pass in this one.
        "allow" => pub allow: Vec<Code>,
    }
}

object! {
    /// Something out of another image.
    pub struct Copied {
        /// The image; kernel#NAME is a package that is built with this file's kernel, kernel the kernel itself.
        "from" => pub from: Image,
        /// What of it.
        "src" => pub src: String,
        /// Where it goes in the rootfs; where it was, if nothing is said.
        "dst" => pub dst: Option<String>,
    }
}

object! {
    /// An installer with all extensions.
    pub struct Installer {
        /// What it is called in messages and in result.json.
        "name" => pub name: Option<String>,
        /// The imager with the boot assets; the official one, if none is named.
        "imager" => pub imager: Option<Image>,
        /// The base installer; the official one, if none is named.
        "base" => pub base: Option<Image>,
        /// Where Talos runs: metal, or a cloud.
        "platform" => pub machine: Option<Machine>,
        /// Extra kernel arguments.
        "extraKernelArgs" => pub kernel_args: Vec<String>,
        /// A schematic of the Image Factory.
        "schematic" => pub schematic: Option<PathBuf>,
        /// A machine configuration to be embedded.
        "embeddedConfig" => pub embedded_config: Option<PathBuf>,
        /// The overlay of a board.
        "overlay" => pub overlay: Option<Overlay>,
        /// The picture that is shown at boot (BMP).
        "splash" => pub splash: Option<PathBuf>,
        /// gzip, zstd or none, of the layer with the boot assets; none, if nothing is said.
        "compression" => pub compression: Option<Compression>,
        /// Media types: oci or docker; the base's, if nothing is said.
        "format" => pub format: Option<Format>,
        /// Where it is written.
        "outputs" => pub outputs: Vec<Output>,
        /// Codes of findings that may pass in this one.
        "allow" => pub allow: Vec<Code>,
    }
}

object! {
    /// The overlay of a board.
    pub struct Overlay {
        /// Its image.
        "image" => pub image: Image,
        /// Its name.
        "name" => pub name: String,
        /// The kernel arguments that its own program would ask for.
        "kernelArgs" => pub kernel_args: Vec<String>,
        /// Run its program.
        "run" => pub run: bool,
    }
}

object! {
    /// One place where an image is written.
    pub struct Output {
        /// A registry: HOST/NAME:TAG.
        "push" => pub push: Option<String>,
        /// An OCI layout: `DIR[:NAME]`.
        "oci" => pub oci: Option<String>,
        /// A tar of one: `FILE[:NAME]`.
        "oci-archive" => pub oci_archive: Option<String>,
        /// What docker save writes: `FILE[:TAG]`.
        "docker-archive" => pub docker_archive: Option<String>,
    }
}

/// A reference as it is written: it may hold `{arch}`, `{name}` and `{version}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(pub String);

/// The place in this file that stands for its own kernel and packages.
pub const OWN_KERNEL: &str = "kernel";

impl Image {
    /// Which of the file's own kernel's images this is: `kernel`, or `NAME` of `kernel#NAME`.
    pub fn own_kernel(&self) -> Option<&str> {
        match self.0.strip_prefix(OWN_KERNEL)? {
            "" => Some(OWN_KERNEL),
            rest => rest.strip_prefix('#'),
        }
    }
}

impl Typed for Image {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        let image = Self(cursor.string()?);
        if image.own_kernel().is_none() {
            let probe = for_platform(&image.0, &Platform::linux("amd64"));
            let probe = probe.replace("{name}", "name").replace("{version}", "version");
            probe.parse::<Reference>().map_err(|error: ReferenceError| {
                TypedError::value(cursor, error.to_string(), error.hint())
            })?;
        }
        Ok(image)
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// `v1`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormVersion;

impl Typed for FormVersion {
    fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
        match cursor.string()?.as_str() {
            "v1" => Ok(Self),
            other => Err(cursor.found(format!("`{other}`"), "`v1`").into()),
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "const": "v1" })
    }
}

/// A value by the text that the command line takes for it, too.
fn by_text<T>(
    cursor: &Cursor<'_>,
    parse: impl FnOnce(&str) -> Result<T, (String, Option<String>)>,
) -> Result<T, TypedError> {
    parse(&cursor.string()?).map_err(|(problem, hint)| TypedError::value(cursor, problem, hint))
}

macro_rules! by_text {
    ($type:ty, $schema:expr, $parse:expr) => {
        impl Typed for $type {
            fn read(cursor: &Cursor<'_>) -> Result<Self, TypedError> {
                by_text(cursor, $parse)
            }

            fn schema(_: &mut Definitions) -> Value {
                $schema
            }
        }
    };
}

by_text!(Platform, json!({ "enum": ["linux/amd64", "linux/arm64"] }), |text| {
    text.parse().map_err(|error: crate::image::platform::PlatformError| (error.to_string(), None))
});
by_text!(Compression, json!({ "type": "string", "pattern": "^(gzip|zstd|none)(:[0-9]+)?$" }), |text| {
    text.parse().map_err(|error: crate::archive::compress::CompressionError| (error.to_string(), None))
});
by_text!(Format, json!({ "enum": ["oci", "docker"] }), |text| match text {
    "oci" => Ok(Format::Oci),
    "docker" => Ok(Format::Docker),
    other => Err((format!("`{other}` is neither `oci` nor `docker`"), None)),
});
by_text!(Code, json!({ "type": "string" }), |text| {
    text.parse().map_err(|error: crate::check::rules::NoSuchRule| {
        (error.to_string(), error.nearest.map(|name| format!("did you mean `{name}`?")))
    })
});
by_text!(Machine, json!({ "type": "string" }), |text| {
    Machine::parse(text).map_err(|error: PlatformError| (error.to_string(), Some(error.hint())))
});
by_text!(Tag, json!({ "type": "string" }), |text| {
    let tag = Tag::new(text);
    match text.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit()) {
        true => Ok(tag),
        false => Err((format!("`{text}` is no version of Talos"), Some("as in `v1.11.3`".to_owned()))),
    }
});

impl Output {
    /// The place as a reference; nothing if it does not name exactly one.
    pub fn reference(&self) -> Option<String> {
        let named = [
            ("docker://", &self.push),
            ("oci:", &self.oci),
            ("oci-archive:", &self.oci_archive),
            ("docker-archive:", &self.docker_archive),
        ];
        let mut named = named.into_iter().filter_map(|(transport, place)| Some((transport, place.as_ref()?)));
        match (named.next(), named.next()) {
            (Some((transport, place)), None) => match place.strip_prefix(transport) {
                Some(_) => Some(place.clone()),
                None => Some(format!("{transport}{place}")),
            },
            _ => None,
        }
    }
}

impl Spec {
    /// Every reference that is written to. Names that are known later are still in braces.
    pub fn outputs(&self) -> Vec<String> {
        let kernel = self.kernel.iter().flat_map(|kernel| kernel.outputs.iter().chain(&kernel.imager));
        let extensions = self.extensions.iter().flat_map(|extension| &extension.outputs);
        let installers = self.installers.iter().flat_map(|installer| &installer.outputs);
        let all = kernel.chain(extensions).chain(installers).filter_map(Output::reference);
        let pushed = self.extensions.iter().filter_map(|extension| extension.push.as_ref());
        let pushed = pushed.map(|image| format!("docker://{}", image.0.trim_start_matches("docker://")));
        all.chain(pushed).collect()
    }
}
