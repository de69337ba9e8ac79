//! `talosmith imager`: the interface of Talos' own imager.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::args::Imager;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::installer::{embedded, host, overlay_options};
use super::{check_outputs, print_written};
use crate::archive::{Entry, Tree, tar};
use crate::base::Content;
use crate::base::fsio::{self, At as _};
use crate::image::Platform;
use crate::image::registry::PlainHttp;
use crate::plan::installer::{
    AssetFiles, Built, ExtensionSource, InstallerSpec, Names, Output, OverlaySpec, build, pack, version_of,
};
use crate::talos::installer::archive_tag;
use crate::talos::meta::MetaValue;
use crate::talos::profile::{
    AssetSource, ContainerSource, Defaults, Profile, ProfileError, ProfileFlags, Resolved,
};
use crate::talos::version::Architecture;
use crate::talos::{OutputFormat, OutputKind, Tag};

/// The most bytes of a profile document that are read.
const PROFILE_LIMIT: u64 = 1 << 20;

pub(super) fn run(args: &Imager, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let profile = resolve(args, options)?;
    refuse_insecure(&profile, options)?;
    if args.tar_to_stdout {
        return to_stdout(args, &profile, options, printer);
    }
    let built = make(args, &profile, &args.output, options, printer)?;
    print(&built, printer)?;
    Ok(Outcome::Done)
}

/// Who is spoken to in plain HTTP says the command line alone: a profile that wants it for a host that is not named there
/// must not be met with TLS errors later.
fn refuse_insecure(profile: &Resolved, options: &Options) -> Result<(), Failure> {
    let overlay = profile.overlay.iter().flat_map(|overlay| [&overlay.image, &overlay.installer]);
    let mut all = profile.extensions.iter().chain([&profile.base_installer]).chain(overlay);
    let wanted = all.find_map(|source| match source {
        ContainerSource::Registry { image, insecure: true } => {
            let host = image.split('/').next().unwrap_or_default();
            (!options.plain_http.covers(host)).then_some((image, host))
        }
        _ => None,
    });
    match wanted {
        Some((image, host)) => {
            Err(Failure::usage(format!("the profile wants plain HTTP for `{image}` (`forceInsecure`)"))
                .hint(Some(format!("say `--insecure={host}`, which allows it"))))
        }
        None => Ok(()),
    }
}

/// The profile with its base, the flags, and everything decided.
fn resolve(args: &Imager, options: &Options) -> Result<Resolved, Failure> {
    let failure = |error: ProfileError| {
        let hint = error.hint();
        Failure::usage(crate::base::chain(&error)).hint(hint)
    };
    let profile = if args.profile == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(PROFILE_LIMIT).read_to_end(&mut bytes);
        read.map_err(|error| {
            Failure::input(format!("cannot read the profile from standard input: {error}"))
        })?;
        Profile::parse(&bytes).map_err(|error| {
            let hint = error.hint();
            Failure::input(format!("the profile on standard input is not valid: {error}")).hint(hint)
        })?
    } else {
        flags(args, options)?.profile(&args.profile)
    };
    let profile = profile.with_base(&[]).map_err(failure)?;
    let said = args.talos.as_deref().or(profile.version.as_deref()).map(Tag::new);
    let talos = match (said, &args.imager) {
        (Some(talos), _) => talos,
        (None, Some(imager)) => match version_of(&options.context, imager)? {
            Some(label) => Tag::new(&label),
            None => {
                let hint = format!("`{imager}` does not say its own: give it (`--talos v1.11.3`)");
                return Err(unknown_version().hint(Some(hint)));
            }
        },
        (None, None) => return Err(unknown_version()),
    };
    let architecture = args.arch.as_deref().unwrap_or(std::env::consts::ARCH);
    let defaults = Defaults { talos: &talos, architecture: Architecture::parse(architecture) };
    profile.resolve(&defaults).map_err(failure)
}

fn unknown_version() -> Failure {
    Failure::usage("the Talos version is not known").hint(Some(
        "give it (`--talos v1.11.3`), or an imager image that has it as a label (`--imager IMAGE`)"
            .to_owned(),
    ))
}

fn flags(args: &Imager, options: &Options) -> Result<ProfileFlags, Failure> {
    let architecture =
        match args.arch.as_deref() {
            None => None,
            Some(name) => Some(Architecture::parse(name).ok_or_else(|| {
                Failure::usage(format!("`--arch {name}`: Talos runs on `amd64` and `arm64`"))
            })?),
        };
    let kind = match args.output_kind.as_deref() {
        None => None,
        Some(name) => Some(OutputKind::parse(name).ok_or_else(|| {
            let names: Vec<&str> = OutputKind::ALL.iter().map(|kind| kind.name()).collect();
            let nearest = crate::base::suggest::nearest(name, names.iter().copied());
            let hint = nearest.map(|name| format!("did you mean `{name}`?"));
            Failure::usage(format!("`--output-kind {name}`: there is no such kind"))
                .hint(hint.or_else(|| Some(format!("the kinds are {}", names.join(", ")))))
        })?),
    };
    let meta = args.meta.iter().map(|text| {
        MetaValue::parse(text).map_err(|error| Failure::usage(format!("`--meta {text}`: {error}")))
    });
    Ok(ProfileFlags {
        architecture,
        platform: args.platform.clone(),
        base_installer: args.base_installer_image.clone(),
        extensions: args.system_extension_images.clone(),
        extra_kernel_args: args.extra_kernel_args.clone(),
        meta: meta.collect::<Result<_, _>>()?,
        overlay_name: args.overlay.overlay_name.clone(),
        overlay_image: args.overlay.overlay_image.clone(),
        overlay_options: overlay_options(&args.overlay)?,
        embedded_config: args.embedded_config_path.as_deref().map(embedded).transpose()?,
        image_cache: args.image_cache.clone(),
        insecure: options.plain_http == PlainHttp::Everywhere,
        kind,
    })
}

/// Makes the output in `folder`, under upstream's name and in the profile's format.
fn make(
    args: &Imager,
    profile: &Resolved,
    folder: &Path,
    options: &Options,
    printer: &Printer,
) -> Result<Built, Failure> {
    let path = folder.join(profile.file_name());
    if profile.format == OutputFormat::Raw {
        return make_raw(args, profile, path, options, printer);
    }
    let context = &options.context;
    let moment = context.store.temp_folder().map_err(|error| failed(&error))?;
    let raw = moment.path().join(profile.raw_file_name());
    let mut built = make_raw(args, profile, raw.clone(), options, printer)?;
    let size = fs::metadata(&raw).at("read", &raw).map_err(|error| failed(&error))?.len();
    let epoch = options.epoch.unwrap_or_default();
    pack(context, &Content::file(&raw, size), profile.format, epoch, &path)?;
    // What was written as an image is within the file.
    built.written.clear();
    built.file = Some(path);
    Ok(built)
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::output(crate::base::chain(error))
}

/// Makes the output as it is before the profile's format.
fn make_raw(
    args: &Imager,
    profile: &Resolved,
    path: PathBuf,
    options: &Options,
    printer: &Printer,
) -> Result<Built, Failure> {
    let base = reference(&profile.base_installer);
    let output = match profile.kind {
        OutputKind::Installer => {
            fsio::create_dir(fsio::parent(&path)).map_err(|error| failed(&error))?;
            let tag = match base.parse() {
                Ok(crate::image::Reference::Registry(base)) => archive_tag(&base),
                _ => None,
            };
            let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            let output = format!("docker-archive:{}{tag}", path.display());
            check_outputs(&[options::reference(&output)?], options)?;
            Output::Installer(vec![output])
        }
        OutputKind::Uki => Output::Uki(path),
        OutputKind::Initramfs => Output::Initramfs(path),
        OutputKind::Kernel => Output::Kernel(path),
        OutputKind::Cmdline => Output::Cmdline(path),
        OutputKind::Iso | OutputKind::Image => {
            return Err(Failure::usage(format!("output kind `{}` is not there yet", profile.kind.name())));
        }
    };
    let spec = InstallerSpec {
        talos: Some(profile.talos.clone()),
        imager: args.imager.clone(),
        files: files(profile),
        base: Some(base),
        extensions: extensions(profile),
        platforms: vec![Platform::linux(profile.architecture.go())],
        host: host(),
        machine: profile.platform,
        secure_boot: profile.secure_boot,
        kernel_args: profile.extra_kernel_args.clone(),
        overlay_kernel_args: args.overlay.overlay_kernel_args.clone(),
        meta: profile.meta.clone(),
        overlay: profile.overlay.as_ref().map(|overlay| OverlaySpec {
            image: reference(&overlay.image),
            installer: reference(&overlay.installer),
            name: overlay.name.clone(),
            options: overlay.options.clone(),
            run: args.overlay.allow_run_overlay,
        }),
        run_overlay: args.overlay.allow_run_overlay,
        schematic: None,
        catalogue: None,
        overlay_catalogue: None,
        splash: args.splash.clone(),
        names: Names::Upstream,
        format: None,
        compression: crate::archive::Compression::None,
        epoch: options.epoch,
        allow: options::allowed(&args.allow)?,
        output,
    };
    let built = build(&spec, &options.context)?;
    printer.findings(&built.report);
    Ok(built)
}

fn extensions(profile: &Resolved) -> Vec<ExtensionSource> {
    let given = profile.extensions.iter().map(|source| ExtensionSource::Reference(reference(source)));
    let embedded = profile.embedded_config.clone();
    let embedded = embedded.map(|config| ExtensionSource::EmbeddedConfig(config.into_bytes()));
    given.chain(embedded).collect()
}

/// As it is written on our command line.
fn reference(source: &ContainerSource) -> String {
    match source {
        ContainerSource::Registry { image, .. } => image.clone(),
        ContainerSource::Layout(folder) => format!("oci:{folder}"),
        ContainerSource::Tarball(file) if file.starts_with(['.', '/']) => file.clone(),
        ContainerSource::Tarball(file) => format!("./{file}"),
    }
}

/// The boot assets that the profile names as files of their own.
fn files(profile: &Resolved) -> AssetFiles {
    let file = |source: &AssetSource| match source {
        AssetSource::File(path) => Some(path.into()),
        AssetSource::Imager(_) => None,
    };
    AssetFiles {
        kernel: file(&profile.kernel),
        initramfs: file(&profile.initramfs),
        stub: file(&profile.stub),
        boot_loader: file(&profile.boot_loader),
    }
}

fn print(built: &Built, printer: &Printer) -> Result<(), Failure> {
    let extra = json!({
        "talos": built.talos.as_str(),
        "file": built.file,
        "installers": built.facts,
        "findings": built.report.findings(),
    });
    match &built.file {
        None => print_written("imager", &built.written, extra, printer),
        Some(file) => printer.result("imager", extra, &format!("{}\n", file.display())),
    }
}

/// Makes the output in a folder of the cache, and writes it as a tar of one file, as upstream does.
fn to_stdout(
    args: &Imager,
    profile: &Resolved,
    options: &Options,
    printer: &Printer,
) -> Result<Outcome, Failure> {
    let folder = options.context.store.temp_folder().map_err(|error| failed(&error))?;
    make(args, profile, folder.path(), options, printer)?;
    let (name, path) = (profile.file_name(), folder.path().join(profile.file_name()));
    let size = fs::metadata(&path).at("read", &path).map_err(|error| failed(&error))?.len();
    let mut tree = Tree::new();
    tree.insert(&name, Entry::file(0o644, Content::file(&path, size))).map_err(|error| failed(&error))?;
    let out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    tar::write_tree(&tree, options.epoch, out).map_err(|error| failed(&error))?;
    Ok(Outcome::Done)
}
