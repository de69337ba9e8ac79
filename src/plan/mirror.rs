//! Copies many tags of a repository: for sites that keep a copy of their own.
//!
//! Each tag is held against what the target has, and copied if it is another image: run again, after an end in the
//! middle or when tags have moved, it copies what is missing. One tag that cannot be copied does not stop the others.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::copy::copy;
use super::error::{Error, Problem};
use super::run::Context;
use crate::base::pattern::Pattern;
use crate::base::workers::each;
use crate::base::{Digest, chain};
use crate::image::document::select;
use crate::image::{ImageSet, Media, MediaError, Platform, Reference, RegistryReference};

/// Where the tags go.
#[derive(Debug, Clone)]
pub enum Target {
    /// A repository.
    Repository(RegistryReference),
    /// An OCI layout, in which each image has the tag as its name.
    Layout(PathBuf),
}

impl Target {
    fn of(&self, tag: &str) -> Reference {
        match self {
            Self::Repository(repository) => {
                Reference::Registry(RegistryReference { tag: Some(tag.to_owned()), ..repository.clone() })
            }
            Self::Layout(directory) => {
                Reference::Layout { directory: directory.clone(), name: Some(tag.to_owned()) }
            }
        }
    }
}

/// What is copied.
#[derive(Debug)]
pub struct MirrorSpec {
    /// The repository, without tag and digest.
    pub source: RegistryReference,
    /// Where to.
    pub target: Target,
    /// Patterns (`*`, `?`, `[…]`): tags that fit one are copied.
    pub tags: Vec<String>,
    /// Of indexes, this platform only.
    pub platform: Option<Platform>,
    /// Copy nothing.
    pub dry_run: bool,
}

/// What became of a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "camelCase")]
pub enum Fate {
    /// The target had it.
    There,
    /// It was copied; in a dry run, it would be.
    Copied {
        /// What the target had under this tag.
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<Digest>,
        /// Bytes of the whole image, whether they had to be sent or not.
        size: u64,
    },
    /// It was not copied.
    Failed {
        /// Why.
        why: String,
    },
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mirrored {
    /// Its name.
    pub tag: String,
    /// Where it is, or was to be.
    pub reference: String,
    /// The image's digest, if it came so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// Copies; gives each tag that fits, in the order of versions.
pub fn mirror(spec: &MirrorSpec, context: &Context) -> Result<Vec<Mirrored>, Error> {
    let patterns: Vec<Pattern> = spec.tags.iter().map(|text| Pattern::of(text)).collect();
    let all = context.client.tags(&spec.source).map_err(MediaError::from)?;
    let mut tags: Vec<String> =
        all.iter().filter(|tag| patterns.iter().any(|pattern| pattern.matches(tag))).cloned().collect();
    if tags.is_empty() {
        let newest = all.iter().max_by(|one, other| by_number(one, other));
        let problem =
            Problem::new(format!("no tag of `{}` fits {}", spec.source.name(), spec.tags.join(", ")));
        return Err(match newest {
            Some(newest) => problem.detail(format!("it has {} tags, such as `{newest}`", all.len())),
            None => problem.detail("it has no tags"),
        }
        .into());
    }
    tags.sort_by(|one, other| by_number(one, other));
    tags.dedup();
    let done = Mutex::new(Vec::new());
    // A layout's index is one file: its images are written one after another.
    let at_once = if matches!(spec.target, Target::Layout(_)) { 1 } else { context.client.transfers() };
    let numbered: Vec<(usize, String)> = tags.into_iter().enumerate().collect();
    each(at_once, &numbered, |(number, tag)| -> Result<(), Error> {
        let target = spec.target.of(tag);
        let (digest, fate) = match one(spec, context, tag, &target) {
            Ok((digest, fate)) => (Some(digest), fate),
            Err(error) => {
                let why = chain(&error);
                context.events.warn(format!("`{tag}` is not copied: {why}"), None);
                (None, Fate::Failed { why })
            }
        };
        let mirrored = Mirrored { tag: tag.clone(), reference: target.to_string(), digest, fate };
        done.lock().unwrap_or_else(PoisonError::into_inner).push((*number, mirrored));
        Ok(())
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, mirrored)| mirrored).collect())
}

fn one(spec: &MirrorSpec, context: &Context, tag: &str, target: &Reference) -> Result<(Digest, Fate), Error> {
    let media = Media::from(context);
    let source = RegistryReference { tag: Some(tag.to_owned()), ..spec.source.clone() };
    let claimed = context.client.claimed(&source).map_err(MediaError::from)?;
    let there = digest_at(&media, context, target)?;
    // Of an index's one platform only the index itself tells the digest.
    if spec.platform.is_none()
        && let Some(digest) = claimed.filter(|digest| Some(*digest) == there)
    {
        return Ok((digest, Fate::There));
    }
    let image = media.open(&Reference::Registry(source))?;
    let root = match &spec.platform {
        Some(platform) => select(&image, image.root.clone(), Some(platform))?.0,
        None => image.root.clone(),
    };
    let digest = root.descriptor.digest;
    if Some(digest) == there {
        return Ok((digest, Fate::There));
    }
    let set = ImageSet::read(&image, root)?;
    let documents = set.documents.iter().map(|document| document.descriptor.size);
    let size = set.blobs.iter().map(|blob| blob.size).chain(documents).sum();
    if !spec.dry_run {
        // By its digest: what was looked at is what is copied, even if the tag moves meanwhile.
        let fixed = Reference::Registry(spec.source.with_digest(digest));
        copy(context, &fixed, std::slice::from_ref(target), None)?;
    }
    Ok((digest, Fate::Copied { before: there, size }))
}

/// What the target has under this name.
fn digest_at(media: &Media, context: &Context, target: &Reference) -> Result<Option<Digest>, Error> {
    match target {
        Reference::Registry(reference) => Ok(context.client.claimed(reference).map_err(MediaError::from)?),
        Reference::Layout { directory, .. } if !directory.exists() => Ok(None),
        // A layout that does not have it says so by an error.
        _ => Ok(media.open(target).ok().map(|image| image.root.descriptor.digest)),
    }
}

/// Compares text by the numbers in it: `v1.9.0` comes before `v1.11.0`.
fn by_number(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        match (digits(one), digits(other)) {
            (0, _) | (_, 0) => match (one.chars().next(), other.chars().next()) {
                (Some(a), Some(b)) if a == b => {
                    (one, other) = (&one[a.len_utf8()..], &other[b.len_utf8()..]);
                }
                (a, b) => return a.cmp(&b).then_with(|| one.cmp(other)),
            },
            (a, b) => {
                let (left, right) = (one[..a].trim_start_matches('0'), other[..b].trim_start_matches('0'));
                match left.len().cmp(&right.len()).then_with(|| left.cmp(right)).then_with(|| a.cmp(&b)) {
                    Ordering::Equal => (one, other) = (&one[a..], &other[b..]),
                    unequal => return unequal,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::by_number;

    #[test]
    fn tags_are_in_the_order_of_their_numbers() {
        let mut tags =
            ["v1.11.0", "v1.9.10", "latest", "v1.9.9", "v1.11.0-beta.1", "v1.9", "ä2", "ä10", "01", "1", ""];
        tags.sort_by(|one, other| by_number(one, other));
        assert_eq!(
            tags,
            ["", "1", "01", "latest", "v1.9", "v1.9.9", "v1.9.10", "v1.11.0", "v1.11.0-beta.1", "ä2", "ä10"]
        );
    }
}
