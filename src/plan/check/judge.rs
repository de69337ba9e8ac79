//! Image by image, each by the rules of its kind.

use std::collections::BTreeSet;

use super::super::boot_files::BootFiles;
use super::super::error::{Error, Problem};
use super::super::run::Context;
use super::super::subject::{Contents, Subject, load};
use super::booted::{self, label_of};
use super::ground::{Against, Ground, without_replaced};
use crate::archive::Tree;
use crate::base::fsio::At as _;
use crate::base::{Content, Digest};
use crate::check::{self, ExtensionInput, Finding, Report};
use crate::image::{Platform, Reference};
use crate::plan::custom_imager::kernels::KernelInput;
use crate::plan::tree_input::TreeInput;
use crate::talos::extension::ROOTFS;
use crate::talos::kind::Kind;
use crate::talos::version::{Architecture, Tag, Version};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Of an index, this platform only.
    pub platform: Option<Platform>,
    /// Every other kind is an error.
    pub kind: Option<Kind>,
    /// The version to judge for; without one the image's own or the kernel's, or the newest.
    pub talos: Option<Version>,
    /// The kernel that extensions are for.
    pub against: Option<Against>,
}

/// What was found.
#[derive(Debug)]
pub struct Judged {
    /// What was looked at.
    pub reference: String,
    /// The kinds of the images, by platform.
    pub kinds: Vec<Kind>,
    /// The version that was judged for.
    pub talos: Version,
    /// The kernels that were asked.
    pub kernels: Vec<String>,
    /// The findings.
    pub report: Report,
}

/// Checks `reference`.
pub fn check(context: &Context, reference: &Reference, asked: &Asked) -> Result<Judged, Error> {
    let (_, subjects) = load(context, reference, asked.platform.as_ref(), Contents::ToCheck)?;
    let mut judged = Judged {
        reference: reference.to_string(),
        kinds: Vec::new(),
        talos: asked.talos.clone().unwrap_or(Version::NEWEST),
        kernels: Vec::new(),
        report: Report::default(),
    };
    // Both images of an imager's index have the boot assets of both architectures.
    let mut seen = (subjects.len() > 1).then(BTreeSet::new);
    for subject in &subjects {
        if let Some(wanted) = asked.kind.filter(|wanted| *wanted != subject.kind) {
            return Err(wrong_kind(&subject.reference, subject.kind, wanted, "`--as`").into());
        }
        judged.kinds.push(subject.kind);
        let findings = match subject.kind {
            Kind::Extension => extension(context, subject, asked, &mut judged)?,
            Kind::Installer | Kind::Imager => boots(context, subject, asked, &mut judged, seen.as_mut())?,
            Kind::Kernel => kernel(context, subject, &mut judged)?,
            Kind::InstallerBase | Kind::Overlay | Kind::Package => Vec::new(),
        };
        judged.report = std::mem::take(&mut judged.report).and(Report::new(findings));
    }
    Ok(judged)
}

/// The version of what was looked at, where the user gave none.
fn version(asked: &Asked, own: Option<&str>) -> Version {
    let own = own.map(|own| Tag::new(own).version());
    asked.talos.clone().or(own).unwrap_or(Version::NEWEST)
}

fn extension(
    context: &Context,
    subject: &Subject,
    asked: &Asked,
    judged: &mut Judged,
) -> Result<Vec<Finding>, Error> {
    let Some(against) = &asked.against else {
        return Ok(alone(subject, &judged.talos, asked.talos.is_some())?.findings().to_vec());
    };
    let platform = subject.image.as_ref().and_then(|image| image.platform.clone());
    let platform = platform.or_else(|| asked.platform.clone()).unwrap_or_else(|| Platform::linux("amd64"));
    let ground = Ground::open(context, against, &platform)?;
    judged.talos = version(asked, ground.talos.as_deref());
    let talos = &judged.talos;
    judged.kernels.push(format!("{} of {}", ground.kernel.release, ground.origin));
    let own = alone(subject, talos, asked.talos.is_some() || ground.talos.is_some())?;
    let mut findings: Vec<Finding> = without_replaced(own.findings()).collect();
    let rootfs = subject.files.below(ROOTFS)?;
    let extensions: [(&str, &Tree); 1] = [(subject.reference.as_str(), &rootfs.tree)];
    let release = &ground.kernel.release;
    let other = check::installer::other_release(&subject.reference, &rootfs.tree, release, talos);
    let mut found: Vec<Finding> = other.into_iter().collect();
    if found.is_empty() {
        let modules = ground.read(context, &extensions, talos)?;
        let judged = ground.judge(context, &extensions, &modules, talos)?;
        found = judged.into_iter().map(|(_, finding)| finding.within(ROOTFS)).collect();
        if !found.is_empty() || has_modules(&subject.files, talos) {
            found.extend(check::kernel::not_enforced(&ground.enforcement(talos)));
        }
    }
    check::finding::locate(&mut found, &|_| subject.reference.clone(), &|path| {
        subject.files.layers.get(path).copied()
    });
    findings.extend(found);
    Ok(findings)
}

fn has_modules(files: &TreeInput, talos: &Version) -> bool {
    let folder = format!("{ROOTFS}/{}", crate::talos::extension::modules_dir(talos));
    files.tree.get(&folder).is_some()
}

/// An installer or imager: each architecture that it has boot assets of.
fn boots(
    context: &Context,
    subject: &Subject,
    asked: &Asked,
    judged: &mut Judged,
    mut seen: Option<&mut BTreeSet<Vec<Digest>>>,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for architecture in Architecture::ALL {
        let Some(files) = BootFiles::of(&subject.files.tree, architecture) else { continue };
        if let Some(seen) = &mut seen {
            let digests = files.kernel.iter().chain(&files.initramfs).map(Content::digest);
            let digests: Result<Vec<Digest>, _> = digests.collect();
            if !seen.insert(digests.at("read", &subject.reference)?) {
                continue;
            }
        }
        let booted = booted::open(context, &files, &subject.reference, label_of(subject))?;
        judged.talos = version(asked, booted.ground.talos.as_deref());
        judged.kernels.push(format!("{} for {architecture}", booted.ground.kernel.release));
        findings.extend(booted.judge(context, &judged.talos)?);
    }
    Ok(findings)
}

/// A kernel image: its own modules.
fn kernel(context: &Context, subject: &Subject, judged: &mut Judged) -> Result<Vec<Finding>, Error> {
    let own = KernelInput::of_files(context, &subject.reference, subject.files.clone())?;
    judged.kernels.push(format!("{} for {}", own.kernel.release, own.architecture));
    let mut findings = own.judge(context)?;
    check::finding::locate(&mut findings, &|_| subject.reference.clone(), &|path| {
        subject.files.layers.get(path).copied()
    });
    Ok(findings)
}

fn alone(subject: &Subject, talos: &Version, talos_is_given: bool) -> Result<Report, Error> {
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
