//! What came of a build: a document for machines, and what the one who made it does next.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Built, Item, ItemKind};
use crate::base::Digest;
use crate::base::yaml::text::string;
use crate::image::pins::Seen;
use crate::plan::spec::Loaded;

/// The version of the document; it changes when a key goes away or changes its meaning.
const SCHEMA: &str = "talosmith/result/v1";
/// The file of the document.
pub const RESULT: &str = "result.json";
/// The file of the patch.
pub const PATCH: &str = "machine-patch.yaml";

/// All of it: what was made, of what, and what was found.
pub fn document(loaded: &Loaded, built: &Built, seen: &Seen) -> Value {
    let images = seen.images.iter().map(|(reference, pin)| {
        json!({ "reference": reference.to_string(), "digest": pin.digest, "size": pin.size })
    });
    let local: BTreeMap<&String, &Digest> =
        seen.local.iter().filter(|(reference, _)| !is_own(built, reference)).collect();
    let findings = built.reports.iter().flat_map(|report| report.findings());
    json!({
        "schema": SCHEMA,
        "spec": { "file": loaded.file, "checksum": loaded.checksum },
        "talos": built.talos,
        "platforms": loaded.spec.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "made": built.items,
        "kernels": built.kernels,
        "modules": built.modules,
        "inputs": {
            "images": images.collect::<Vec<_>>(),
            "local": local,
            "sources": seen.sources.values().collect::<Vec<_>>(),
            "files": seen.files,
        },
        "findings": findings.collect::<Vec<_>>(),
        "next": next(built),
    })
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
pub fn next(built: &Built) -> Vec<String> {
    let pushed = |item: &&Item| item.kind == ItemKind::Installer;
    let place = built.items.iter().filter(pushed).find_map(|item| {
        let written = item.written.iter().find_map(|one| {
            let reference = one.reference.strip_prefix("docker://")?;
            Some(format!("{}@{}", reference.split('@').next().unwrap_or(reference), one.digest))
        });
        written
    });
    let Some(image) = place else { return Vec::new() };
    let mut lines = vec![format!("talosctl upgrade --nodes NODE --image {image}")];
    if !built.modules.is_empty() {
        lines.push(format!("talosctl patch machineconfig --nodes NODE --patch @out/{PATCH}"));
    }
    lines.push("talosctl get extensions --nodes NODE".to_owned());
    if let Some(module) = built.modules.first() {
        lines.push(format!("talosctl read /proc/modules --nodes NODE | grep '^{module} '"));
    }
    lines
}
