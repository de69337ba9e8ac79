//! All rules for an extension image, put together.

use super::extension as files;
use super::finding::{Finding, Report, locate};
use super::modules::{self, CheckError};
use super::rules::Code;
use crate::archive::Tree;
use crate::archive::tree::{file_name, parent};
use crate::base::yaml::YamlError;
use crate::base::{Digest, chain};
use crate::image::Platform;
use crate::kmod::Machine;
use crate::talos::extension::{MANIFEST, ROOTFS, modules_dir};
use crate::talos::manifest::Manifest;
use crate::talos::service::Service;
use crate::talos::version::allowed_paths;
use crate::talos::{Issue, IssueKind, Range, Version};

/// The most bytes of a manifest or service specification that are read.
const TEXT_LIMIT: u64 = 1 << 20;
/// Where Talos looks for the specifications of extension services.
const SERVICES: &str = "rootfs/usr/local/etc/containers";

/// An extension image to be judged.
pub struct ExtensionInput<'a> {
    /// The flattened image.
    pub tree: &'a Tree,
    /// Its platform; without one, modules of any machine pass.
    pub platform: Option<&'a Platform>,
    /// The Talos version to judge for.
    pub talos: &'a Version,
    /// Whether the user gave that version. The constraint is held against a given one only: without,
    /// an extension for an older Talos would be refused for nothing.
    pub talos_is_given: bool,
    /// Paths that stand twice in a layer.
    pub duplicates: &'a [String],
    /// The layer a path came from.
    pub layer_of: &'a dyn Fn(&str) -> Option<Digest>,
    /// What a path came from, or the image as a whole: an image's reference, a local file.
    pub origin_of: &'a dyn Fn(Option<&str>) -> String,
}

/// Runs every rule.
pub fn extension(input: &ExtensionInput<'_>) -> Result<Report, CheckError> {
    let tree = input.tree;
    let mut findings = [
        files::unexpected_entries(tree),
        files::manifest_missing(tree),
        files::no_rootfs(tree),
        files::empty_rootfs(tree),
        files::paths_not_allowed(tree, &allowed_paths(input.talos)),
        files::world_writable(tree),
        files::set_ids(tree),
        files::special_files(tree),
        files::hard_links(tree),
        files::paths_twice(input.duplicates),
        files::case_collisions(tree),
        files::symlinks_leaving(tree),
        files::symlinks_dangling(tree),
    ]
    .concat();
    let folder = modules_dir(input.talos);
    let found = modules::read_modules(tree, folder)?;
    findings.extend(modules::invalid(&found));
    if let Some(machine) =
        input.platform.and_then(|platform| Machine::of_architecture(&platform.architecture))
    {
        findings.extend(modules::machine(&found, machine));
    }
    findings.extend(modules::compressed(&found));
    findings.extend(modules::several_releases(&found));
    findings.extend(modules::vermagic(&found));
    findings.extend(modules::unsigned(&found));
    findings.extend(modules::signature_lost(&found));
    findings.extend(modules::misplaced(&found, folder));
    findings.extend(manifest(input)?);
    findings.extend(services(input)?);
    locate(&mut findings, input.origin_of, input.layer_of);
    Ok(Report::new(findings))
}

fn read(tree: &Tree, path: &str) -> Result<Option<Vec<u8>>, CheckError> {
    let Some(content) = tree.get(path).and_then(|entry| entry.content()) else { return Ok(None) };
    content.read(TEXT_LIMIT).map(Some).map_err(|source| CheckError { path: path.to_owned(), source })
}

fn manifest(input: &ExtensionInput<'_>) -> Result<Vec<Finding>, CheckError> {
    let Some(bytes) = read(input.tree, MANIFEST)? else { return Ok(Vec::new()) };
    let (manifest, issues) = match Manifest::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(vec![invalid(Code::ManifestInvalid, MANIFEST, &error)]),
    };
    let mut findings: Vec<Finding> = issues
        .into_iter()
        .map(|issue| {
            let code = match issue.kind {
                IssueKind::UnknownKey => Code::ManifestUnknownKey,
                IssueKind::ManifestVersion => Code::ManifestVersion,
                IssueKind::NoName => Code::ManifestName,
                IssueKind::Constraint => Code::ConstraintInvalid,
                IssueKind::VersionShape => Code::ManifestVersionShape,
            };
            finding(code, MANIFEST, issue)
        })
        .collect();
    let constraint = manifest.compatibility.as_deref().unwrap_or_default();
    if input.talos_is_given && Range::parse(constraint).is_ok_and(|range| !range.contains(input.talos)) {
        let excludes = Finding::new(
            Code::ConstraintExcludes,
            format!("the extension is not for Talos {}", input.talos),
        )
        .at(MANIFEST)
        .expected(constraint, input.talos.to_string())
        .hint("use the extension's version for this Talos, or change `metadata.compatibility.talos.version`");
        findings.push(excludes);
    }
    Ok(findings)
}

fn services(input: &ExtensionInput<'_>) -> Result<Vec<Finding>, CheckError> {
    let mut findings = Vec::new();
    let specifications = input.tree.below(SERVICES).filter(|(path, entry)| {
        // Talos reads this folder only, not what is below it.
        parent(path) == Some(SERVICES) && file_name(path).ends_with(".yaml") && entry.content().is_some()
    });
    for (path, _) in specifications {
        let Some(bytes) = read(input.tree, path)? else { continue };
        match Service::parse(&bytes) {
            Ok((_, issues)) => {
                findings
                    .extend(issues.into_iter().map(|issue| finding(Code::ServiceUnknownKey, path, issue)));
            }
            Err(errors) => {
                findings.extend(errors.iter().map(|error| invalid(Code::ServiceInvalid, path, error)))
            }
        }
    }
    Ok(findings)
}

fn finding(code: Code, path: &str, issue: Issue) -> Finding {
    let finding = Finding::new(code, issue.message).at(path).on_line(issue.line);
    match issue.hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

fn invalid(code: Code, path: &str, error: &YamlError) -> Finding {
    let finding =
        Finding::new(code, format!("`{}`: {}", path.strip_prefix(ROOTFS).unwrap_or(path), chain(error)))
            .at(path);
    match error.line() {
        Some(line) => finding.on_line(line),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Entry;
    use crate::base::Content;

    const GOOD: &str = "version: v1alpha1\nmetadata: {name: x, version: 1.0.0, author: a, description: d}\n";

    /// The codes, with their lines, of an extension with this manifest and this service specification.
    fn judged(manifest: &str, service: &str, talos: Option<Version>) -> Vec<(Code, Option<usize>)> {
        let mut tree = Tree::new();
        let file = |text: &str| Entry::file(0o644, Content::memory(text.as_bytes()));
        tree.insert(MANIFEST, file(manifest)).unwrap();
        tree.insert("rootfs/usr/local/etc/containers/x.yaml", file(service)).unwrap();
        tree.insert("rootfs/usr/local/etc/containers/below/no.yaml", file("not: [a service")).unwrap();
        let report = extension(&ExtensionInput {
            tree: &tree,
            platform: None,
            talos: talos.as_ref().unwrap_or(&Version::NEWEST),
            talos_is_given: talos.is_some(),
            duplicates: &[],
            layer_of: &|_| None,
            origin_of: &|_| "test".to_owned(),
        });
        report.unwrap().findings().iter().map(|finding| (finding.code, finding.line)).collect()
    }

    const SERVICE: &str = "name: x\ncontainer:\n  entrypoint: ./x\nrestart: always\n";

    #[test]
    fn every_fault_of_a_manifest_has_its_code_and_line() {
        assert_eq!(judged(GOOD, SERVICE, None), []);
        for (manifest, code, line) in [
            ("version: [\n", Code::ManifestInvalid, Some(2)),
            ("version: v1alpha1\nmetadata: []\n", Code::ManifestInvalid, Some(2)),
            (&GOOD.replace("v1alpha1", "v1beta1"), Code::ManifestVersion, Some(1)),
            (&GOOD.replace("name: x, ", ""), Code::ManifestName, Some(2)),
            (&GOOD.replace("author", "auhtor"), Code::ManifestUnknownKey, Some(2)),
            (&GOOD.replace("1.0.0", "latest"), Code::ManifestVersionShape, Some(2)),
            (
                &GOOD.replace("}", ", compatibility: {talos: {version: '>> 1'}}}"),
                Code::ConstraintInvalid,
                Some(2),
            ),
        ] {
            assert_eq!(judged(manifest, SERVICE, None), [(code, line)], "{manifest}");
        }
    }

    #[test]
    fn a_constraint_is_held_against_a_version_that_was_given() {
        let manifest = GOOD.replace("}", ", compatibility: {talos: {version: '>= v1.9.0 < v1.10.0'}}}");
        assert_eq!(judged(&manifest, SERVICE, None), []);
        assert_eq!(judged(&manifest, SERVICE, Some(Version::new(1, 9, 5))), []);
        let codes: Vec<Code> =
            judged(&manifest, SERVICE, Some(Version::new(1, 11, 3))).iter().map(|found| found.0).collect();
        assert_eq!(codes, [Code::ConstraintExcludes]);
    }

    #[test]
    fn services_are_read_where_talos_reads_them() {
        let codes =
            |service: &str| judged(GOOD, service, None).iter().map(|found| found.0).collect::<Vec<_>>();
        assert_eq!(codes(&SERVICE.replace("always", "sometimes")), [Code::ServiceInvalid]);
        assert_eq!(codes(&format!("{SERVICE}logtoconsole: true\n")), [Code::ServiceUnknownKey]);
    }
}
