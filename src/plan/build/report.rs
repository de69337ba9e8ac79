//! What came of a build: a document for machines, and what the one who made it does next.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::{Built, Item, ItemKind};
use crate::base::Digest;
use crate::base::yaml::text::string;
use crate::check::Finding;
use crate::image::pins::{Pin, PinnedSource, Seen};
use crate::plan::kernel::KernelFacts;
use crate::plan::spec::Loaded;
use crate::plan::timings::{Bar, Timings};

/// The version of the document; it changes when a key goes away or changes its meaning.
const SCHEMA: &str = "talosmith/result/v1";
/// The file of the document.
pub const RESULT: &str = "result.json";
/// The file of the patch.
pub const PATCH: &str = "machine-patch.yaml";

/// All of it: what was made, of what, in which time, and what was found.
#[derive(Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    spec: Spec<'a>,
    talos: &'a Option<String>,
    platforms: Vec<String>,
    made: &'a [Item],
    kernels: &'a [KernelFacts],
    modules: &'a [String],
    inputs: Inputs<'a>,
    findings: Vec<&'a Finding>,
    seconds: f64,
    steps: Vec<StepTime<'a>>,
    next: Vec<String>,
}

#[derive(Serialize)]
struct Spec<'a> {
    file: &'a Path,
    checksum: Digest,
}

/// What went in.
#[derive(Serialize)]
struct Inputs<'a> {
    images: Vec<ImageInput<'a>>,
    local: BTreeMap<&'a String, &'a Digest>,
    sources: Vec<&'a PinnedSource>,
    files: &'a BTreeMap<String, Digest>,
}

#[derive(Serialize)]
struct ImageInput<'a> {
    reference: String,
    #[serde(flatten)]
    pin: &'a Pin,
}

/// A step, and how long it took.
#[derive(Serialize)]
struct StepTime<'a> {
    step: &'a str,
    subject: &'a str,
    known: bool,
    seconds: f64,
}

impl<'a> Document<'a> {
    /// Of a build.
    pub fn new(
        loaded: &'a Loaded,
        built: &'a Built,
        seen: &'a Seen,
        timings: &'a Timings,
        out: &Path,
    ) -> Self {
        let images =
            seen.images.iter().map(|(reference, pin)| ImageInput { reference: reference.to_string(), pin });
        let local = seen.local.iter().filter(|(reference, _)| !is_own(built, reference));
        let step = |bar: &'a Bar| StepTime {
            step: &bar.step,
            subject: &bar.subject,
            known: bar.known,
            seconds: bar.end - bar.start,
        };
        Self {
            schema: SCHEMA,
            spec: Spec { file: &loaded.file, checksum: loaded.checksum },
            talos: &built.talos,
            platforms: loaded.spec.platforms.iter().map(ToString::to_string).collect(),
            made: &built.items,
            kernels: &built.kernels,
            modules: &built.modules,
            inputs: Inputs {
                images: images.collect(),
                local: local.collect(),
                sources: seen.sources.values().collect(),
                files: &seen.files,
            },
            findings: built.reports.iter().flat_map(|report| report.findings()).collect(),
            seconds: timings.seconds,
            steps: timings.bars.iter().map(step).collect(),
            next: next(built, out),
        }
    }
}

/// What parts of the build gave to one another is no input.
fn is_own(built: &Built, reference: &str) -> bool {
    let folder = built.folder.as_ref().map(|folder| format!("oci:{}/", folder.path().display()));
    folder.is_some_and(|folder| reference.starts_with(&folder))
}

/// The patch of a machine's configuration that has it load the modules of the extensions
/// (`machine.kernel.modules`, Talos `pkg/machinery/config/types/v1alpha1`); nothing, if there are none.
pub fn patch(built: &Built) -> Option<String> {
    if built.modules.is_empty() {
        return None;
    }
    let mut text = "machine:\n  kernel:\n    modules:\n".to_owned();
    for name in &built.modules {
        let _ = writeln!(text, "      - name: {}", string(name, 8)); // to a String
    }
    Some(text)
}

/// The commands that bring an installer to a node and show that it works, for the first one that was pushed.
pub fn next(built: &Built, out: &Path) -> Vec<String> {
    let installers = built.items.iter().filter(|item| item.kind == ItemKind::Installer);
    let place = installers.flat_map(|item| &item.written).find_map(|one| {
        let reference = one.reference.strip_prefix("docker://")?;
        Some(format!("{}@{}", reference.split('@').next().unwrap_or(reference), one.digest))
    });
    let Some(image) = place else { return Vec::new() };
    let mut lines = vec![format!("talosctl upgrade --nodes NODE --image {image}")];
    if !built.modules.is_empty() {
        lines.push(format!(
            "talosctl patch machineconfig --nodes NODE --patch @{}",
            out.join(PATCH).display()
        ));
    }
    lines.push("talosctl get extensions --nodes NODE".to_owned());
    // A name out of a foreign image that a shell would take for more is not shown as a command.
    let plain = |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if let Some(module) = built.modules.iter().find(plain) {
        lines.push(format!("talosctl read /proc/modules --nodes NODE | grep '^{module} '"));
    }
    lines
}
