//! What a spec declares, in the words of the commands that make each part by itself.

use std::path::Path;

use super::Options;
use crate::archive::compress::Compression;
use crate::archive::tree::normalise;
use crate::base::fsio;
use crate::bldr::buildkit::{self, Secret, Wanted};
use crate::image::Reference;
use crate::plan::custom_imager::CustomImagerSpec;
use crate::plan::error::{Error, Problem};
use crate::plan::extension::{ExtensionSpec, parse};
use crate::plan::installer::{AssetFiles, ExtensionSource, InstallerSpec, Names, Output, OverlaySpec};
use crate::plan::kernel::KernelSpec;
use crate::plan::packages::{Delegate, PackageSpec};
use crate::plan::spec::rules::OF_PACKAGES;
use crate::plan::spec::types::{Extension, Image, Installer, OWN_KERNEL};
use crate::plan::spec::{self, Spec};
use crate::talos::installer::Official;
use crate::talos::platform::{METAL, Platform as Machine};
use crate::talos::schematic::Schematic;

/// The most bytes of a schematic or of a machine configuration that are read.
const TEXT_LIMIT: u64 = 4 << 20;

/// A spec, and where its parts are handed on.
pub(super) struct Declared<'a> {
    pub(super) spec: &'a Spec,
    pub(super) options: &'a Options<'a>,
    pub(super) folder: &'a Path,
}

impl Declared<'_> {
    fn place(&self, name: &str) -> String {
        format!("oci:{}/{name}", self.folder.display())
    }

    /// Where the kernel's image, or that of a package, is.
    pub(super) fn of_kernel(&self, name: &str) -> String {
        self.place(&format!("kernel:{name}"))
    }

    pub(super) fn imager_place(&self, number: usize) -> String {
        self.place(&format!("imager-{number}"))
    }

    /// Where an extension is; of packages, `name` says which.
    pub(super) fn extension_place(&self, number: usize, name: &str) -> String {
        self.place(&format!("extension-{number}{name}"))
    }

    pub(super) fn installer_place(&self, number: usize) -> String {
        self.place(&format!("installer-{number}"))
    }

    /// The references of outputs, if outputs are written.
    fn outputs(&self, outputs: &[spec::Output]) -> Vec<String> {
        let outputs = outputs.iter().filter_map(spec::Output::reference);
        if self.options.outputs { outputs.collect() } else { Vec::new() }
    }

    /// A reference that may mean the spec's own kernel.
    fn image(&self, image: &Image) -> Result<String, Error> {
        let (Some(name), Some(kernel)) = (image.own_kernel(), &self.spec.kernel) else {
            return Ok(image.0.clone());
        };
        match &kernel.image {
            None => Ok(self.of_kernel(name)),
            Some(whole) if name == OWN_KERNEL => Ok(whole.0.clone()),
            Some(whole) => Ok(format!("{}#{name}", whole.0)),
        }
    }

    /// The kernel's build, if there is one.
    pub(super) fn kernel(&self) -> Result<Option<KernelSpec>, Error> {
        let Some(kernel) = &self.spec.kernel else { return Ok(None) };
        let Some(build) = &kernel.buildkit else { return Ok(None) };
        let secrets = build.secrets.iter().map(|text| text.parse::<Secret>());
        let secrets = secrets
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Problem::new(format!("`kernel.buildkit.secrets`: {error}")))?;
        let options = buildkit::Options {
            address: build.address.clone(),
            secrets,
            build_args: build.build_args.clone().into_iter().collect(),
            import_cache: build.cache_from.clone(),
            export_cache: build.cache_to.clone(),
            source_policy: build.source_policy.clone(),
            ..buildkit::Options::default()
        };
        let stage = build.kernel.as_deref().unwrap_or(OWN_KERNEL);
        let wanted = Wanted::new(stage, &build.packages)
            .map_err(|error| Problem::new(format!("`kernel.buildkit`: {error}")))?;
        let mut outputs = self.outputs(&kernel.outputs);
        outputs.push(self.place("kernel"));
        Ok(Some(KernelSpec {
            context: build.context.clone(),
            file: build.file.clone(),
            wanted,
            platforms: self.spec.platforms.clone(),
            environment: (self.options.buildkit)(&options),
            options,
            no_retry: false,
            allow: self.spec.allow.clone(),
            compression: Compression::GZIP,
            format: crate::image::Format::default(),
            epoch: self.options.epoch,
            outputs,
        }))
    }

    /// The stock imagers that get another kernel, each once, in the order of [`Declared::imager_place`].
    fn stock_imagers(&self) -> Result<Vec<String>, Error> {
        let Some(kernel) = &self.spec.kernel else { return Ok(Vec::new()) };
        let mut stock = Vec::new();
        for installer in &self.spec.installers {
            let own = self.stock_imager(installer)?;
            if !stock.contains(&own) {
                stock.push(own);
            }
        }
        if stock.is_empty() && !kernel.imager.is_empty() {
            stock.push(self.official_imager()?);
        }
        Ok(stock)
    }

    fn stock_imager(&self, installer: &Installer) -> Result<String, Error> {
        installer.imager.as_ref().map_or_else(|| self.official_imager(), |image| Ok(image.0.clone()))
    }

    fn official_imager(&self) -> Result<String, Error> {
        let talos = self.spec.talos.as_ref().ok_or_else(|| {
            Problem::new("the Talos version is not known, and no imager is named")
                .hint("add `talos: v1.11.3`, or `imager:` to the installer")
        })?;
        let reference = Official::Imager.reference(talos).map_err(|error| Problem::new(error.to_string()))?;
        Ok(format!("docker://{reference}"))
    }

    /// Imagers with the spec's kernel, each with what it is called.
    pub(super) fn imagers(&self) -> Result<Vec<(String, CustomImagerSpec)>, Error> {
        let Some(kernel) = &self.spec.kernel else { return Ok(Vec::new()) };
        let stock = self.stock_imagers()?;
        if stock.len() > 1 && !kernel.imager.is_empty() {
            return Err(Problem::new(
                "`kernel.imager` has one place, and the installers name several imagers",
            )
            .hint("leave it out: the installers need it nowhere else")
            .into());
        }
        let image = self.image(&Image(OWN_KERNEL.to_owned()))?;
        let mut imagers = Vec::new();
        for (number, reference) in stock.into_iter().enumerate() {
            let mut outputs = self.outputs(&kernel.imager);
            outputs.push(self.imager_place(number));
            let base: Reference = parse(&reference)?;
            imagers.push((
                reference,
                CustomImagerSpec {
                    base,
                    kernels: vec![image.clone()],
                    platforms: self.spec.platforms.clone(),
                    allow_missing: kernel.allow_missing,
                    epoch: self.options.epoch,
                    outputs,
                },
            ));
        }
        Ok(imagers)
    }

    /// How an extension is made; nothing for one that is there already.
    pub(super) fn extension(
        &self,
        number: usize,
    ) -> Result<Option<(ExtensionSpec, Option<PackageSpec>)>, Error> {
        let Some(one) = self.spec.extensions.get(number) else { return Ok(None) };
        if one.image.is_some() || one.official.is_some() {
            return Ok(None);
        }
        let packages = super::is_packages(one).then(|| self.packages(one));
        fits(one, packages.is_some(), number)?;
        let mut outputs = self.outputs(&one.outputs);
        let push = one.push.iter().filter(|_| self.options.outputs);
        outputs.extend(push.map(|image| format!("docker://{}", image.0.trim_start_matches("docker://"))));
        let mut selinux_labels = std::collections::BTreeMap::new();
        for (path, label) in &one.selinux_labels {
            let path = normalise(path).map_err(|error| Problem::new(format!("`selinuxLabels`: {error}")))?;
            selinux_labels.insert(path, label.clone());
        }
        let mut copies = Vec::new();
        for copy in &one.copies {
            let to = copy.dst.as_ref().map(|to| format!(":{to}")).unwrap_or_default();
            copies.push(format!("{}:{}{to}", self.image(&copy.from)?, copy.src));
        }
        let spec = ExtensionSpec {
            directory: one.path.clone().filter(|_| packages.is_none()),
            manifest: one.manifest.clone(),
            modules: one.modules.iter().map(|path| path.display().to_string()).collect(),
            firmware: one.firmware.clone(),
            files: one.files.clone(),
            trees: one.trees.clone(),
            copies,
            modules_from: one.modules_from.as_ref().map(|image| self.image(image)).transpose()?,
            modules_list: one.modules_list.clone(),
            platforms: self.spec.platforms.clone(),
            keep_mode: one.keep_mode,
            selinux_labels,
            compression: Some(one.compression.unwrap_or(Compression::GZIP)),
            format: one.format.unwrap_or_default(),
            labels: one.labels.clone(),
            annotations: one.annotations.clone(),
            epoch: self.options.epoch,
            talos: self.spec.talos.as_ref().map(|talos| talos.version()),
            allow: self.spec.allow.iter().chain(&one.allow).copied().collect(),
            outputs,
        };
        Ok(Some((spec, packages)))
    }

    fn packages(&self, one: &Extension) -> PackageSpec {
        let delegate = one.delegate.then(|| {
            let build_args = one.build_args.clone().into_iter().collect();
            let options = buildkit::Options { build_args, ..buildkit::Options::default() };
            Delegate { environment: (self.options.buildkit)(&options), options }
        });
        let folder = one.packages.clone().or_else(|| one.path.clone()).unwrap_or_default();
        PackageSpec { folder, targets: one.targets.clone(), arguments: one.build_args.clone(), delegate }
    }

    /// Whether an extension takes files out of what BuildKit is to build, or is itself given to it.
    pub(super) fn needs_build(&self, number: usize) -> bool {
        let builds = self.spec.kernel.as_ref().is_some_and(|kernel| kernel.buildkit.is_some());
        self.spec.extensions.get(number).is_some_and(|one| {
            let images = one.copies.iter().map(|copy| &copy.from).chain(&one.modules_from);
            one.delegate || (builds && images.into_iter().any(|image| image.own_kernel().is_some()))
        })
    }

    /// What an installer is called.
    pub(super) fn installer_name(&self, number: usize) -> String {
        let own = self.spec.installers.get(number).and_then(|one| one.name.clone());
        own.unwrap_or_else(|| match self.spec.installers.len() {
            1 => "installer".to_owned(),
            _ => format!("installer-{}", number + 1),
        })
    }

    /// How an installer is made, and what it is called. `placed` has the images of the extensions that were made.
    pub(super) fn installer(
        &self,
        number: usize,
        placed: &super::Placed,
    ) -> Result<(String, InstallerSpec), Error> {
        let one = self.spec.installers.get(number);
        let one = one.ok_or_else(|| Error::Internal("an installer of the spec".to_owned()))?;
        let name = self.installer_name(number);
        let mut outputs = self.outputs(&one.outputs);
        outputs.push(self.installer_place(number));
        let imager = match &self.spec.kernel {
            None => one.imager.as_ref().map(|image| image.0.clone()),
            Some(_) => {
                let own = self.stock_imager(one)?;
                let at = self.stock_imagers()?.iter().position(|stock| *stock == own);
                at.map(|number| self.imager_place(number))
            }
        };
        let spec = InstallerSpec {
            talos: self.spec.talos.clone(),
            imager,
            files: AssetFiles::default(),
            base: one.base.as_ref().map(|image| image.0.clone()),
            extensions: self.extensions_of(one, placed)?,
            platforms: self.spec.platforms.clone(),
            host: self.options.host.clone(),
            machine: machine(one)?,
            secure_boot: false,
            kernel_args: one.kernel_args.clone(),
            overlay_kernel_args: one.overlay.iter().flat_map(|own| own.kernel_args.clone()).collect(),
            meta: Vec::new(),
            overlay: one.overlay.as_ref().map(|own| OverlaySpec {
                image: own.image.0.clone(),
                installer: own.image.0.clone(),
                name: own.name.clone(),
                options: Vec::new(),
                run: own.run,
            }),
            run_overlay: false,
            schematic: one.schematic.as_deref().map(schematic).transpose()?,
            catalogue: self.spec.catalogue.as_ref().map(|image| image.0.clone()),
            overlay_catalogue: None,
            splash: one.splash.clone(),
            names: Names::Ordered,
            format: one.format,
            compression: one.compression.unwrap_or(Compression::None),
            epoch: self.options.epoch,
            allow: self.spec.allow.iter().chain(&one.allow).copied().collect(),
            output: Output::Installer(outputs),
        };
        Ok((name, spec))
    }

    fn extensions_of(
        &self,
        installer: &Installer,
        placed: &super::Placed,
    ) -> Result<Vec<ExtensionSource>, Error> {
        let mut sources = Vec::new();
        for (one, placed) in self.spec.extensions.iter().zip(placed) {
            match (&one.image, &one.official) {
                (Some(image), _) => sources.push(ExtensionSource::Reference(image.0.clone())),
                (None, Some(name)) => sources.push(ExtensionSource::Official(name.clone())),
                (None, None) => sources.extend(placed.iter().cloned()),
            }
        }
        if let Some(path) = &installer.embedded_config {
            sources.push(ExtensionSource::EmbeddedConfig(fsio::read(path, TEXT_LIMIT)?));
        }
        Ok(sources)
    }
}

/// Refuses keys that would have no effect: whether a folder is a package is known only here.
fn fits(one: &Extension, packages: bool, number: usize) -> Result<(), Error> {
    let place = format!("in `extensions[{number}]`");
    let lists = [&one.firmware, &one.files, &one.trees];
    let loose = one.manifest.is_some()
        || one.modules_from.is_some()
        || one.keep_mode
        || !(one.modules.is_empty() && one.copies.is_empty() && one.selinux_labels.is_empty())
        || lists.iter().any(|list| !list.is_empty());
    if packages && loose {
        return Err(Problem::new(OF_PACKAGES).detail(place).into());
    }
    if !packages && (one.delegate || !one.build_args.is_empty()) {
        return Err(Problem::new("`buildArgs` and `delegate` are for packages").detail(place).into());
    }
    Ok(())
}

fn machine(installer: &Installer) -> Result<Machine, Error> {
    match installer.machine {
        Some(machine) => Ok(machine),
        None => Machine::parse(METAL).map_err(|error| Error::Internal(error.to_string())),
    }
}

fn schematic(path: &Path) -> Result<Box<Schematic>, Error> {
    let bytes = fsio::read(path, TEXT_LIMIT)?;
    let schematic = Schematic::parse(&bytes);
    Ok(Box::new(
        schematic
            .map_err(|error| Problem::new(format!("schematic `{}` is not valid: {error}", path.display())))?,
    ))
}
