//! Checks what a reference names: image by image, each by the rules of its kind.

use super::error::{Error, Problem};
use super::run::Context;
use super::subject::{Contents, Subject, load};
use crate::check::{self, ExtensionInput, Report};
use crate::image::{Platform, Reference};
use crate::talos::kind::Kind;
use crate::talos::version::Version;

/// What was found.
#[derive(Debug)]
pub struct Judged {
    /// What was looked at.
    pub reference: String,
    /// The kinds of the images, by platform.
    pub kinds: Vec<Kind>,
    /// The version that was judged for.
    pub talos: Version,
    /// The findings.
    pub report: Report,
}

/// Checks `reference`. Without a version, the newest is judged for. `wanted` makes every other kind an
/// error.
pub fn check(
    context: &Context,
    reference: &Reference,
    platform: Option<&Platform>,
    wanted: Option<Kind>,
    talos: Option<&Version>,
) -> Result<Judged, Error> {
    let (_, subjects) = load(context, reference, platform, Contents::OfExtensions)?;
    let version = talos.cloned().unwrap_or(Version::NEWEST);
    let mut report = Report::default();
    for subject in &subjects {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != subject.kind) {
            return Err(wrong_kind(&subject.reference, subject.kind, wanted, "`--as`").into());
        }
        if subject.kind == Kind::Extension {
            report = report.and(extension(subject, &version, talos.is_some())?);
        }
    }
    let kinds = subjects.iter().map(|subject| subject.kind).collect();
    Ok(Judged { reference: reference.to_string(), kinds, talos: version, report })
}

fn extension(subject: &Subject, talos: &Version, talos_is_given: bool) -> Result<Report, Error> {
    let platform = subject.image.as_ref().and_then(|image| image.platform.as_ref());
    let input = ExtensionInput {
        tree: &subject.files.tree,
        platform,
        talos,
        talos_is_given,
        duplicates: &subject.files.duplicates,
        layer_of: &|path| subject.files.layers.get(path).copied(),
        origin_of: &|_| subject.reference.clone(),
    };
    Ok(check::judge_extension(&input)?)
}

/// The error for an image that is given where another kind is wanted.
pub fn wrong_kind(reference: &str, given: Kind, wanted: Kind, place: &str) -> Problem {
    Problem::new(format!("`{reference}` is {}, and {place} wants {}", given.described(), wanted.described()))
        .hint(format!("`talosmith inspect {reference}` shows what is in it"))
}
