//! What differs between two images or trees, file by file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::error::Error;
use super::run::Context;
use super::subject::{Contents, Subject, load};
use crate::archive::tree::{Entry, Kind};
use crate::base::digest;
use crate::image::{Platform, Reference};

/// The two sides of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The platform, where the two are indexes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// A path of the tree, or a key of the documents as in `config: labels.x`.
    pub subject: String,
    /// `added`, `removed` or `changed`.
    pub change: Change,
    /// What changed: `mode 0644 → 0755` …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// How two sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only on the right.
    Added,
    /// Only on the left.
    Removed,
    /// On both, not the same.
    Changed,
}

/// Compares two references.
pub fn diff(
    context: &Context,
    left: &Reference,
    right: &Reference,
    platform: Option<&Platform>,
) -> Result<Vec<Difference>, Error> {
    let (left_root, mut lefts) = load(context, left, platform, Contents::All)?;
    let (right_root, mut rights) = load(context, right, platform, Contents::All)?;
    let cache = context.stat_cache();
    for subject in lefts.iter_mut().chain(&mut rights) {
        subject.files.hash(context, cache)?;
    }
    let mut found = Vec::new();
    if let (Some(left), Some(right)) = (&left_root, &right_root)
        && left.media_type() != right.media_type()
    {
        found.push(changed(
            None,
            "media type".to_owned(),
            vec![arrow(&left.media_type(), &right.media_type())],
        ));
    }
    let by_platform = |subjects: Vec<Subject>| -> BTreeMap<Option<String>, Subject> {
        let alone = subjects.len() == 1;
        subjects.into_iter().map(|subject| (platform_of(&subject).filter(|_| !alone), subject)).collect()
    };
    let (lefts, rights) = (by_platform(lefts), by_platform(rights));
    let platforms: BTreeSet<&Option<String>> = lefts.keys().chain(rights.keys()).collect();
    for platform in platforms {
        match (lefts.get(platform), rights.get(platform)) {
            (Some(left), Some(right)) => compare(platform.as_ref(), left, right, &mut found),
            (left, _) => found.push(Difference {
                platform: platform.clone(),
                subject: "image".to_owned(),
                change: if left.is_some() { Change::Removed } else { Change::Added },
                details: Vec::new(),
            }),
        }
    }
    Ok(found)
}

fn platform_of(subject: &Subject) -> Option<String> {
    subject.image.as_ref()?.platform.as_ref().map(ToString::to_string)
}

fn changed(platform: Option<&String>, subject: String, details: Vec<String>) -> Difference {
    Difference { platform: platform.cloned(), subject, change: Change::Changed, details }
}

fn arrow(left: &str, right: &str) -> String {
    let shown = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
    format!("{} → {}", shown(left), shown(right))
}

fn compare(platform: Option<&String>, left: &Subject, right: &Subject, found: &mut Vec<Difference>) {
    if let (Some(one), Some(other)) = (&left.image, &right.image) {
        let (one, other) = (facts(one), facts(other));
        for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
            let (one, other) =
                (one.get(key).map_or("", String::as_str), other.get(key).map_or("", String::as_str));
            if one != other {
                found.push(changed(platform, key.clone(), vec![arrow(one, other)]));
            }
        }
    }
    let paths: BTreeSet<&str> =
        left.files.tree.iter().chain(right.files.tree.iter()).map(|(path, _)| path).collect();
    for path in paths {
        let difference = |change, details| Difference {
            platform: platform.cloned(),
            subject: path.to_owned(),
            change,
            details,
        };
        match (left.files.tree.get(path), right.files.tree.get(path)) {
            (Some(one), Some(other)) => {
                let mut details = entries(one, other);
                let digests = (left.files.digests.get(path), right.files.digests.get(path));
                if let (Some(one), Some(other)) = digests
                    && one != other
                {
                    details.push(format!("content {}", arrow(&one.to_string(), &other.to_string())));
                }
                if !details.is_empty() {
                    found.push(difference(Change::Changed, details));
                }
            }
            (Some(_), None) => found.push(difference(Change::Removed, Vec::new())),
            (None, _) => found.push(difference(Change::Added, Vec::new())),
        }
    }
}

/// What the documents say, key by key.
fn facts(image: &super::subject::ImageFacts) -> BTreeMap<String, String> {
    let config = &image.config;
    let mut facts = BTreeMap::from([
        ("config: created".to_owned(), config.created.clone().unwrap_or_default()),
        (
            "config: platform".to_owned(),
            config.platform().map(|platform| platform.to_string()).unwrap_or_default(),
        ),
        ("config: entrypoint".to_owned(), config.entrypoint().join(" ")),
        ("config: media type".to_owned(), image.manifest.config.media_type.clone()),
        ("manifest: media type".to_owned(), image.document.media_type()),
        ("manifest: layers".to_owned(), image.manifest.layers.len().to_string()),
    ]);
    let labels = config.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    facts.extend(labels.into_iter().map(|(key, value)| (format!("config: label {key}"), value)));
    let annotations = image.manifest.annotations.iter();
    facts.extend(annotations.map(|(key, value)| (format!("manifest: annotation {key}"), value.clone())));
    for (number, layer) in image.manifest.layers.iter().enumerate() {
        facts.insert(format!("manifest: media type of layer {}", number + 1), layer.media_type.clone());
    }
    facts
}

fn entries(one: &Entry, other: &Entry) -> Vec<String> {
    let mut details = Vec::new();
    let mut compare = |name: &str, one: String, other: String| {
        if one != other {
            details.push(format!("{name} {}", arrow(&one, &other)));
        }
    };
    compare("kind", one.kind.name().to_owned(), other.kind.name().to_owned());
    compare("mode", format!("{:04o}", one.mode), format!("{:04o}", other.mode));
    compare("owner", format!("{}:{}", one.uid, one.gid), format!("{}:{}", other.uid, other.gid));
    compare("time", one.mtime.to_string(), other.mtime.to_string());
    compare("target", target(one), target(other));
    compare("size", size(one), size(other));
    for name in one.xattrs.keys().chain(other.xattrs.keys()).collect::<BTreeSet<_>>() {
        compare(name, value(one, name), value(other, name));
    }
    details
}

fn target(entry: &Entry) -> String {
    match &entry.kind {
        Kind::Symlink(target) | Kind::HardLink(target) => target.clone(),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => format!("{major}:{minor}"),
        Kind::Directory | Kind::File(_) | Kind::Fifo => String::new(),
    }
}

fn size(entry: &Entry) -> String {
    entry.content().map(|content| content.len().to_string()).unwrap_or_default()
}

/// An attribute as text where it is text (a label ends in a NUL), in hexadecimal otherwise.
fn value(entry: &Entry, name: &str) -> String {
    let Some(bytes) = entry.xattrs.get(name) else { return String::new() };
    match std::str::from_utf8(bytes.strip_suffix(b"\0").unwrap_or(bytes)) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => digest::hex(bytes),
    }
}
