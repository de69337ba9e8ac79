//! A board's overlay: the layer that an installer gets of it, and the kernel arguments that it wants.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::source::{Source, image_for};
use super::spec::OverlaySpec;
use crate::archive::Tree;
use crate::archive::tree::join;
use crate::base::fsio::{self, At as _};
use crate::base::program::{Limits, run};
use crate::base::yaml::Any;
use crate::image::Platform;
use crate::plan::check::wrong_kind;
use crate::plan::error::{Error, Problem};
use crate::plan::flatten;
use crate::plan::run::{Context, Plan};
use crate::plan::stat_cache::StatCache;
use crate::plan::subject::kind_of;
use crate::plan::tree_input::TreeInput;
use crate::talos::kind::Kind;
use crate::talos::overlay::{INSTALLERS, OverlayError, OverlayOptions, layer};
use crate::talos::version::Architecture;

/// A board's program answers in an instant, if it answers at all.
const LIMITS: Limits = Limits { time: Duration::from_secs(30), answer: 1 << 20 };

/// The overlay's layer, with digests.
pub(super) fn take(
    context: &Context,
    cache: &StatCache,
    spec: &OverlaySpec,
    platform: &Platform,
    architecture: Architecture,
) -> Result<TreeInput, Error> {
    let image = files(context, &spec.installer, platform)?;
    let tree =
        layer(&image.tree, &spec.name, architecture, &spec.options).map_err(|error| wrong(spec, &error))?;
    let mut input = TreeInput::of(tree, BTreeMap::new());
    input.hash(context, cache)?;
    Ok(input)
}

/// The files of an overlay image.
fn files(context: &Context, reference: &str, platform: &Platform) -> Result<TreeInput, Error> {
    match Source::open(context, reference)? {
        Source::Folder(folder) => {
            let mut input = TreeInput::default();
            input.add_directory(&folder, "")?;
            Ok(input)
        }
        Source::Files(files) => Ok(*files),
        Source::Image(image) => {
            let one = image_for(&image, platform)?;
            let mut plan = Plan::new();
            let step = flatten::add(&mut plan, &one, "");
            let outputs = plan.run(context)?;
            let files = flatten::tree(context, step.outputs(&outputs)?, reference)?;
            let kind = kind_of(one.config.entrypoint(), &files.tree);
            if kind != Kind::Overlay {
                return Err(wrong_kind(reference, kind, Kind::Overlay, "the overlay").into());
            }
            Ok(files)
        }
    }
}

fn wrong(spec: &OverlaySpec, error: &OverlayError) -> Error {
    let mut problem = Problem::new(format!("the overlay `{}` cannot be used", spec.installer))
        .detail(crate::base::chain(error));
    problem.hint = error.hint();
    problem.into()
}

/// Asks the overlay's own program for the kernel arguments of its board. It runs on this machine: the user
/// has said so.
pub(super) fn kernel_args(
    context: &Context,
    spec: &OverlaySpec,
    host: &Platform,
) -> Result<Vec<String>, Error> {
    let files = files(context, &spec.image, host)?;
    let path = join(INSTALLERS, &spec.name);
    // The layer for this machine holds the program, checked to be one for it.
    let architecture = Architecture::parse(&host.architecture)
        .ok_or_else(|| Problem::new(format!("overlays have no programs for `{host}`")))?;
    let layer =
        layer(&files.tree, &spec.name, architecture, &spec.options).map_err(|error| wrong(spec, &error))?;
    let program =
        program(&layer).ok_or_else(|| Error::Internal("an overlay's layer has no program".into()))?;
    let folder = context.store.temp_folder()?;
    let file = folder.path().join("program");
    fsio::copy_to(&program, &file)?;
    fs::set_permissions(&file, Permissions::from_mode(0o700)).at("change", &file)?;
    let input = Any::Map(spec.options.clone()).sorted().to_yaml();
    context.events.detail(format!("running `{path}` of `{}`", spec.image));
    let failed = |what: &str| -> Error {
        Problem::new(format!("`{path}` of the overlay `{}` {what}", spec.image))
            .hint("leave out `--allow-run-overlay` and give its arguments: `--overlay-kernel-arg`")
            .into()
    };
    match run(&file, &["get-options"], input.as_bytes(), LIMITS) {
        Err(what) => Err(failed(what)),
        Ok((false, _)) => Err(failed("failed")),
        Ok((true, answer)) => OverlayOptions::parse(&answer)
            .map(|options| options.kernel_args)
            .map_err(|error| failed(&format!("gave an answer that cannot be read: {error}"))),
    }
}

fn program(layer: &Tree) -> Option<crate::base::Content> {
    use crate::talos::overlay::{DEFAULT, FOLDER};
    layer.get(&format!("{FOLDER}/{INSTALLERS}/{DEFAULT}"))?.content().cloned()
}
