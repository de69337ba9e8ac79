//! What the types of a spec alone do not say.

use std::path::{Path, PathBuf};

use super::types::{Extension, Image, Installer, Kernel, OWN_KERNEL, Output, Spec};
use crate::base::yaml::Cursor;
use crate::base::yaml::typed::TypedError;
use crate::image::RegistryReference;

/// What an extension is made of, of which there is exactly one.
const SOURCES: &str = "`image`, `official`, `path`, `packages` or `manifest`";

/// Keys that say what an extension is made of, which a package says itself.
pub(in crate::plan) const LOOSE: [&str; 10] = [
    "manifest",
    "modules",
    "firmware",
    "files",
    "trees",
    "copy",
    "modulesFrom",
    "modulesList",
    "keepMode",
    "selinuxLabels",
];
/// Why packages have none of them.
pub(in crate::plan) const OF_PACKAGES: &str =
    "what an extension of packages is made of stands in its `pkg.yaml`";

/// Refuses what does not go together, at its place.
pub(super) fn check(spec: &Spec, root: &Cursor<'_>) -> Result<(), TypedError> {
    if let Some(kernel) = &spec.kernel {
        self::kernel(kernel, &root.key("kernel")?)?;
    }
    for (extension, cursor) in spec.extensions.iter().zip(root.key("extensions")?.items()?) {
        self::extension(extension, &cursor)?;
        let own = extension.copies.iter().map(|copy| &copy.from).chain(&extension.modules_from);
        if let Some(image) = own.into_iter().find(|image| image.own_kernel().is_some())
            && !has(spec, image)
        {
            return Err(TypedError::value(
                &cursor,
                format!("`{}` is none of this file's kernel", image.0),
                Some(format!(
                    "`{OWN_KERNEL}:` with `buildkit: {{packages: [NAME]}}` gives `{OWN_KERNEL}#NAME`"
                )),
            ));
        }
    }
    for (installer, cursor) in spec.installers.iter().zip(root.key("installers")?.items()?) {
        self::installer(installer, &cursor)?;
    }
    let names: Vec<_> = spec.installers.iter().filter_map(|installer| installer.name.as_ref()).collect();
    if let Some((_, name)) =
        names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|own| own == *name))
    {
        return Err(TypedError::value(
            &root.key("installers")?,
            format!("two installers are called `{name}`"),
            None,
        ));
    }
    let twice = |at: usize| {
        spec.platforms.get(at).is_some_and(|own| spec.platforms.iter().take(at).any(|other| other == own))
    };
    for (at, cursor) in root.key("platforms")?.items()?.iter().enumerate() {
        if twice(at) {
            return Err(TypedError::value(cursor, "it is given twice", None));
        }
    }
    for (from, cursor) in root.key("mirrors")?.entries()? {
        self::mirror(from, &cursor)?;
    }
    if spec.extensions.is_empty() && spec.installers.is_empty() && spec.kernel.is_none() {
        return Err(TypedError::value(
            root,
            "nothing is to be made",
            Some("add `extensions:` or `installers:`".to_owned()),
        ));
    }
    Ok(())
}

/// A mirror that is none would leave images where they are, without a word.
fn mirror(from: &str, cursor: &Cursor<'_>) -> Result<(), TypedError> {
    let is_name = |name: &str| format!("{name}/x").parse::<RegistryReference>().is_ok();
    if is_name(from) && is_name(&cursor.string()?) {
        return Ok(());
    }
    let hint = "`ghcr.io: registry.example.com/ghcr`: hosts, each with a path or without".to_owned();
    Err(TypedError::value(cursor, "a mirror is `HOST[/PATH]` in place of `HOST[/PATH]`", Some(hint)))
}

/// Whether the spec's kernel has this image.
fn has(spec: &Spec, image: &Image) -> bool {
    match (&spec.kernel, image.own_kernel()) {
        (None, _) | (_, None) => false,
        (Some(_), Some(OWN_KERNEL)) => true,
        (Some(Kernel { buildkit: Some(build), .. }), Some(name)) => {
            build.packages.iter().any(|own| own == name)
        }
        (Some(Kernel { image: Some(_), .. }), Some(_)) => true, // the reference itself says whether it can
        (Some(_), Some(_)) => false,
    }
}

fn kernel(kernel: &Kernel, cursor: &Cursor<'_>) -> Result<(), TypedError> {
    if kernel.image.is_some() == kernel.buildkit.is_some() {
        return Err(TypedError::value(cursor, "a kernel is either `image` or `buildkit`", None));
    }
    if kernel.image.is_some() && !kernel.outputs.is_empty() {
        return Err(TypedError::value(&cursor.key("outputs")?, "these are for what `buildkit` builds", None));
    }
    outputs(&kernel.outputs, &cursor.key("outputs")?)?;
    outputs(&kernel.imager, &cursor.key("imager")?)
}

fn extension(extension: &Extension, cursor: &Cursor<'_>) -> Result<(), TypedError> {
    let Extension { image, official, path, packages, manifest, .. } = extension;
    let sources = [image.is_some(), official.is_some(), path.is_some(), packages.is_some()];
    let found = sources.iter().filter(|there| **there).count();
    if found > 1 || (found == 0 && manifest.is_none()) {
        return Err(TypedError::value(cursor, format!("an extension has exactly one of {SOURCES}"), None));
    }
    if packages.is_some() == extension.targets.is_empty() {
        let hint = "`packages: DIR` with `targets: [NAME]` builds packages of a tree".to_owned();
        return Err(TypedError::value(cursor, "`packages` and `targets` go together", Some(hint)));
    }
    if extension.modules_from.is_some() != extension.modules_list.is_some() {
        return Err(TypedError::value(cursor, "`modulesFrom` and `modulesList` go together", None));
    }
    outputs(&extension.outputs, &cursor.key("outputs")?)?;
    if packages.is_some() {
        for (key, value) in cursor.entries()? {
            if LOOSE.contains(&key) && !value.is_null() {
                return Err(TypedError::value(&value, OF_PACKAGES, None));
            }
        }
    }
    if image.is_none() && official.is_none() {
        return Ok(());
    }
    // What is there already is taken as it is: any key that steers how something is made would have no effect.
    for (key, value) in cursor.entries()? {
        if !matches!(key, "image" | "official" | "allow") && !value.is_null() {
            return Err(TypedError::value(&value, "an image that is there already is taken as it is", None));
        }
    }
    Ok(())
}

fn installer(installer: &Installer, cursor: &Cursor<'_>) -> Result<(), TypedError> {
    if installer.outputs.is_empty() {
        return Err(TypedError::value(
            cursor,
            "an installer has no `outputs`",
            Some("`outputs: [{oci: out/installer}]`".to_owned()),
        ));
    }
    outputs(&installer.outputs, &cursor.key("outputs")?)
}

fn outputs(outputs: &[Output], cursor: &Cursor<'_>) -> Result<(), TypedError> {
    for (output, cursor) in outputs.iter().zip(cursor.items()?) {
        if output.reference().is_none() {
            let problem = "an output is exactly one of `push`, `oci`, `oci-archive` and `docker-archive`";
            return Err(TypedError::value(&cursor, problem, None));
        }
    }
    Ok(())
}

/// Has all paths count from `folder`.
pub(super) fn rebase(spec: &mut Spec, folder: &Path) {
    if folder.as_os_str().is_empty() {
        return;
    }
    let path = |path: &mut PathBuf| *path = folder.join(&*path);
    if let Some(kernel) = &mut spec.kernel {
        kernel.image.iter_mut().for_each(|image| self::image(image, folder));
        kernel.outputs.iter_mut().chain(&mut kernel.imager).for_each(|output| self::output(output, folder));
        if let Some(build) = &mut kernel.buildkit {
            path(&mut build.context);
            build.source_policy.iter_mut().for_each(path);
            build.secrets.iter_mut().for_each(|fields| fields_of(fields, &["src", "source"], folder));
            let caches = build.cache_from.iter_mut().chain(&mut build.cache_to);
            let local = caches.filter(|cache| cache.split(',').any(|field| field == "type=local"));
            local.for_each(|fields| fields_of(fields, &["src", "dest"], folder));
        }
    }
    spec.catalogue.iter_mut().for_each(|image| self::image(image, folder));
    for one in &mut spec.extensions {
        let images = one.image.iter_mut().chain(&mut one.push).chain(&mut one.modules_from);
        images
            .chain(one.copies.iter_mut().map(|copy| &mut copy.from))
            .for_each(|image| self::image(image, folder));
        let paths = one.path.iter_mut().chain(&mut one.packages).chain(&mut one.manifest);
        paths.chain(&mut one.modules).chain(&mut one.modules_list).for_each(path);
        let texts = one.firmware.iter_mut().chain(&mut one.files).chain(&mut one.trees);
        texts.for_each(|text| self::text(text, folder));
        one.outputs.iter_mut().for_each(|output| self::output(output, folder));
    }
    for one in &mut spec.installers {
        one.imager.iter_mut().chain(&mut one.base).for_each(|image| self::image(image, folder));
        let paths = one.schematic.iter_mut().chain(&mut one.embedded_config).chain(&mut one.splash);
        paths.for_each(path);
        one.overlay.iter_mut().for_each(|overlay| self::image(&mut overlay.image, folder));
        one.outputs.iter_mut().for_each(|output| self::output(output, folder));
    }
}

fn text(text: &mut String, folder: &Path) {
    *text = folder.join(&*text).display().to_string();
}

/// An image in a registry stays what it is.
fn image(image: &mut Image, folder: &Path) {
    const PATHS: [&str; 4] = ["oci:", "oci-archive:", "docker-archive:", "dir:"];
    let transport = PATHS.into_iter().find(|transport| image.0.starts_with(transport));
    let is_path = image.0.starts_with(['.', '/']) || image.0.ends_with('/') || image.0.ends_with(".tar");
    match transport {
        Some(transport) => {
            let mut rest = image.0.split_off(transport.len());
            text(&mut rest, folder);
            image.0.push_str(&rest);
        }
        None if is_path && !image.0.contains("://") => text(&mut image.0, folder),
        None => {}
    }
}

fn output(output: &mut Output, folder: &Path) {
    let Output { push: _, oci, oci_archive, docker_archive } = output;
    let places = [("oci:", oci), ("oci-archive:", oci_archive), ("docker-archive:", docker_archive)];
    for (transport, place) in places {
        if let Some(place) = place {
            if let Some(bare) = place.strip_prefix(transport) {
                *place = bare.to_owned();
            }
            text(place, folder);
        }
    }
}

/// Paths in `KEY=VALUE,…`, as BuildKit's options have them.
fn fields_of(fields: &mut String, keys: &[&str], folder: &Path) {
    let field = |field: &str| match field.split_once('=') {
        Some((key, path)) if keys.contains(&key) => format!("{key}={}", folder.join(path).display()),
        _ => field.to_owned(),
    };
    *fields = fields.split(',').map(field).collect::<Vec<_>>().join(",");
}
