//! A schematic of the Image Factory: what it stands for, looked up in Talos' catalogues.

use std::borrow::Cow;

use super::prepare::{unknown_version, version_of};
use super::source::{Source, image_for_or_any};
use super::spec::{ExtensionSource, InstallerSpec, OverlaySpec};
use crate::archive::tree::Entry;
use crate::image::Platform;
use crate::image::reference::ReferenceError;
use crate::plan::error::{Error, Problem};
use crate::plan::extension::for_platform;
use crate::plan::flatten;
use crate::plan::run::{Context, Plan};
use crate::plan::tree_input::TreeInput;
use crate::talos::catalogue::{CatalogueError, Extensions, Overlays};
use crate::talos::installer::Official;
use crate::talos::schematic::Schematic;
use crate::talos::version::Tag;

/// The most bytes of a catalogue that are read.
const CATALOGUE_LIMIT: u64 = 16 << 20;

/// The spec with what its schematic stands for (first the official extensions, then those that are given beside it,
/// last the extension that names the schematic), and with the images of official extensions that it names itself.
pub(super) fn apply<'a>(spec: &'a InstallerSpec, context: &Context) -> Result<Cow<'a, InstallerSpec>, Error> {
    let named = spec.extensions.iter().any(|one| matches!(one, ExtensionSource::Official(_)));
    if spec.schematic.is_none() && !named {
        return Ok(Cow::Borrowed(spec));
    }
    let talos = version(spec, context)?;
    let mut whole = InstallerSpec { talos: Some(talos.clone()), schematic: None, ..spec.clone() };
    let of_schematic = spec.schematic.iter().flat_map(|schematic| &schematic.extensions).cloned();
    let wanted = of_schematic.map(ExtensionSource::Official).chain(std::mem::take(&mut whole.extensions));
    let wanted: Vec<ExtensionSource> = wanted.collect();
    let mut catalogue = None;
    for one in wanted {
        whole.extensions.push(match one {
            ExtensionSource::Official(name) => {
                if catalogue.is_none() {
                    catalogue = Some(extension_catalogue(spec, context, &talos)?);
                }
                let found = catalogue.as_ref().map(|catalogue| catalogue.find(&name));
                let found = found.ok_or_else(|| Error::Internal("a catalogue that was read".to_owned()))?;
                ExtensionSource::Reference(found.map_err(|error| wrong(&error, &talos))?.image.to_string())
            }
            other => other,
        });
    }
    if let Some(schematic) = &spec.schematic {
        self::schematic(&mut whole, schematic, spec, context, &talos)?;
    }
    Ok(Cow::Owned(whole))
}

/// What a schematic stands for beside its extensions.
fn schematic(
    whole: &mut InstallerSpec,
    schematic: &Schematic,
    spec: &InstallerSpec,
    context: &Context,
    talos: &Tag,
) -> Result<(), Error> {
    if !schematic.embedded_config.is_empty() {
        let config = schematic.embedded_config.clone().into_bytes();
        whole.extensions.push(ExtensionSource::EmbeddedConfig(config));
    }
    whole.extensions.push(ExtensionSource::Schematic(Box::new(schematic.clone())));
    whole.kernel_args =
        [schematic.extra_kernel_args.clone(), std::mem::take(&mut whole.kernel_args)].concat();
    if !schematic.overlay_name.is_empty() {
        let image = overlay_image(spec, context, talos, &schematic.overlay_image)?;
        whole.overlay = Some(OverlaySpec {
            image: image.clone(),
            installer: image,
            name: schematic.overlay_name.clone(),
            options: schematic.overlay_options.clone(),
            run: spec.run_overlay,
        });
    }
    if !schematic.meta.is_empty() {
        context.events.warn(
            "the schematic's values of META are no part of an installer",
            Some("set them on the node: `talosctl meta write KEY VALUE`".to_owned()),
        );
    }
    Ok(())
}

/// The version, which decides what the catalogues hold.
fn version(spec: &InstallerSpec, context: &Context) -> Result<Tag, Error> {
    if let Some(talos) = &spec.talos {
        return Ok(talos.clone());
    }
    for reference in [&spec.imager, &spec.base].into_iter().flatten() {
        let platform = spec.platforms.first().cloned().unwrap_or_else(|| Platform::linux("amd64"));
        if let Some(label) = version_of(context, &for_platform(reference, &platform))? {
            return Ok(Tag::new(&label));
        }
    }
    Err(unknown_version(spec))
}

/// The files of a catalogue image.
fn catalogue(context: &Context, reference: &str) -> Result<TreeInput, Error> {
    let Source::Image(image) = Source::open(context, reference)? else {
        return Err(Problem::new(format!("the catalogue `{reference}` is no image")).into());
    };
    let one = image_for_or_any(&image, &Platform::linux("amd64"))?;
    let mut plan = Plan::new();
    let step = flatten::add(&mut plan, &one, "");
    let outputs = plan.run(context)?;
    flatten::tree(context, step.outputs(&outputs)?, reference)
}

fn official(image: Official, talos: &Tag) -> Result<String, Error> {
    let reference = image.reference(talos).map_err(|error: ReferenceError| {
        Problem::new(format!("there are no catalogues for Talos {talos}"))
            .detail(error.to_string())
            .hint("name the catalogue: `--catalogue IMAGE`")
    })?;
    Ok(format!("docker://{reference}"))
}

fn file(files: &TreeInput, path: &str) -> Option<Vec<u8>> {
    files.tree.get(path).and_then(Entry::content)?.read(CATALOGUE_LIMIT).ok()
}

fn extension_catalogue(spec: &InstallerSpec, context: &Context, talos: &Tag) -> Result<Extensions, Error> {
    let reference = spec.catalogue.clone().map_or_else(|| official(Official::Extensions, talos), Ok)?;
    let files = catalogue(context, &reference)?;
    let digests = file(&files, "image-digests")
        .ok_or_else(|| Problem::new(format!("`{reference}` is no catalogue: it has no `/image-digests`")))?;
    Extensions::parse(&digests, file(&files, "descriptions.yaml").as_deref())
        .map_err(|error| wrong(&error, talos))
}

fn overlay_image(spec: &InstallerSpec, context: &Context, talos: &Tag, name: &str) -> Result<String, Error> {
    let reference = spec.overlay_catalogue.clone().map_or_else(|| official(Official::Overlays, talos), Ok)?;
    let files = catalogue(context, &reference)?;
    let list = file(&files, "overlays.yaml")
        .ok_or_else(|| Problem::new(format!("`{reference}` is no catalogue: it has no `/overlays.yaml`")))?;
    let overlays = Overlays::parse(&list).map_err(|error| wrong(&error, talos))?;
    let found = overlays.all().iter().find(|overlay| overlay.image.repository == name);
    match found {
        Some(overlay) => Ok(overlay.image.to_string()),
        None => {
            overlays.find(name).map(|overlay| overlay.image.to_string()).map_err(|error| wrong(&error, talos))
        }
    }
}

fn wrong(error: &CatalogueError, talos: &Tag) -> Error {
    let mut problem = Problem::new(format!("the catalogue of Talos {talos} does not help"))
        .detail(crate::base::chain(error));
    problem.hint = error.hint();
    problem.into()
}
