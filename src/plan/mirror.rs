//! Copies many tags of a repository: for sites that keep a copy of their own.
//!
//! Each tag is held against what the target has, and copied if it is another image: run again, after an end in the
//! middle or when tags have moved, it copies what is missing. One tag that cannot be copied does not stop the others.

use std::cmp;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::copy::{whole, write};
use super::error::{Error, Problem};
use super::run::Context;
use crate::base::pattern::Pattern;
use crate::base::workers::each;
use crate::base::{Digest, locked};
use crate::image::document::select;
use crate::image::{Media, MediaError, Platform, Reference, RegistryReference};

/// Tags that are looked at at once, at most.
const AT_ONCE: usize = 8;

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
    /// It was copied.
    Copied(Copied),
    /// It would have been, were it not a dry run.
    ToBeCopied(Copied),
    /// It was not copied.
    Failed {
        /// Why.
        why: String,
    },
    /// It was not tried: a registry could not be spoken to.
    NotTried,
}

/// An image that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// What the target had under this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Bytes of the whole image, whether they had to be sent or not.
    pub size: u64,
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

/// Copies; gives each tag that fits, in the order of versions. `failed` is told of each error as soon as there is one,
/// and gives the words for it.
pub fn mirror(
    spec: &MirrorSpec,
    context: &Context,
    failed: &(dyn Fn(&str, Error) -> String + Sync),
) -> Result<Vec<Mirrored>, Error> {
    let patterns: Vec<Pattern> = spec.tags.iter().map(|text| Pattern::of(text)).collect();
    let all = context.client.tags(&spec.source).map_err(MediaError::from)?;
    let mut tags: Vec<&String> =
        all.iter().filter(|tag| patterns.iter().any(|pattern| pattern.matches(tag))).collect();
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
    let run = Run { spec, context, failed, done: Mutex::default(), over: AtomicBool::new(false) };
    // What the source has: tags of one image are copied one after another, so that its blobs go over the wire once.
    let claims: Mutex<Vec<(usize, Option<Digest>)>> = Mutex::default();
    let numbers: Vec<usize> = (0..tags.len()).collect();
    each(run.at_once(), &numbers, |number| -> Result<(), Error> {
        let claim = run.tried(tags[*number], || run.claim(tags[*number]));
        locked(&claims).extend(claim.map(|claim| (*number, claim)));
        Ok(())
    })?;
    let mut claims = claims.into_inner().unwrap_or_else(PoisonError::into_inner);
    claims.sort_by_key(|(number, _)| *number);
    let mut images: Vec<(Option<Digest>, Vec<usize>)> = Vec::new();
    let mut places: HashMap<Digest, usize> = HashMap::new();
    for (number, claim) in claims {
        let place = claim.map(|digest| *places.entry(digest).or_insert(images.len()));
        match place.and_then(|place| images.get_mut(place)) {
            Some((_, tags)) => tags.push(number),
            None => images.push((claim, vec![number])),
        }
    }
    each(run.at_once(), &images, |(claim, numbers)| -> Result<(), Error> {
        for number in numbers {
            let tag = tags[*number];
            if let Some((digest, fate)) = run.tried(tag, || run.one(tag, *claim)) {
                run.note(tag, Some(digest), fate);
            }
        }
        Ok(())
    })?;
    let mut done = run.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let tried: HashSet<&str> = done.iter().map(|one| one.tag.as_str()).collect();
    let untried = tags.iter().filter(|tag| !tried.contains(tag.as_str()));
    let untried: Vec<Mirrored> = untried.map(|tag| mirrored(spec, tag, None, Fate::NotTried)).collect();
    done.extend(untried);
    done.sort_by(|one, other| by_number(&one.tag, &other.tag));
    Ok(done)
}

fn mirrored(spec: &MirrorSpec, tag: &str, digest: Option<Digest>, fate: Fate) -> Mirrored {
    Mirrored { tag: tag.to_owned(), reference: spec.target.of(tag).to_string(), digest, fate }
}

/// What is going on.
struct Run<'a> {
    spec: &'a MirrorSpec,
    context: &'a Context,
    failed: &'a (dyn Fn(&str, Error) -> String + Sync),
    done: Mutex<Vec<Mirrored>>,
    /// Nothing more is begun: what stopped one tag stops all.
    over: AtomicBool,
}

impl Run<'_> {
    /// Tags at once. A layout's index is one file, so its images are written one after another.
    fn at_once(&self) -> usize {
        match self.spec.target {
            Target::Layout(_) => 1,
            Target::Repository(_) => self.context.client.transfers().min(AT_ONCE),
        }
    }

    fn note(&self, tag: &str, digest: Option<Digest>, fate: Fate) {
        let one = mirrored(self.spec, tag, digest, fate);
        locked(&self.done).push(one);
    }

    /// Does something for a tag; an error becomes its fate.
    fn tried<T>(&self, tag: &str, work: impl FnOnce() -> Result<T, Error>) -> Option<T> {
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        work()
            .map_err(|error| {
                if stops_all(&error) {
                    self.over.store(true, Ordering::Relaxed);
                }
                self.note(tag, None, Fate::Failed { why: (self.failed)(tag, error) });
            })
            .ok()
    }

    fn source(&self, tag: &str) -> RegistryReference {
        RegistryReference { tag: Some(tag.to_owned()), ..self.spec.source.clone() }
    }

    /// The digest that the source says a tag has. Of an index's one platform only the index itself tells it.
    fn claim(&self, tag: &str) -> Result<Option<Digest>, Error> {
        match self.spec.platform {
            Some(_) => Ok(None),
            None => Ok(self.context.client.claimed(&self.source(tag), false).map_err(MediaError::from)?),
        }
    }

    fn one(&self, tag: &str, claim: Option<Digest>) -> Result<(Digest, Fate), Error> {
        let Self { spec, context, .. } = self;
        let target = spec.target.of(tag);
        let media = Media::from(*context);
        let there = digest_at(&media, context, &target)?;
        if let Some(digest) = claim.filter(|digest| Some(*digest) == there) {
            return Ok((digest, Fate::There));
        }
        let image = media.open(&Reference::Registry(self.source(tag)))?;
        let root = match &spec.platform {
            Some(platform) => select(&image, image.root.clone(), Some(platform))?.0,
            None => image.root.clone(),
        };
        let digest = root.descriptor.digest;
        if Some(digest) == there {
            return Ok((digest, Fate::There));
        }
        let set = whole(&image, root)?;
        let documents = set.documents.iter().map(|document| document.descriptor.size);
        let size = set.blobs.iter().map(|blob| blob.size).chain(documents).sum();
        let copied = Copied { before: there, size };
        if spec.dry_run {
            return Ok((digest, Fate::ToBeCopied(copied)));
        }
        write(context, &image, &set, std::slice::from_ref(&target))?;
        Ok((digest, Fate::Copied(copied)))
    }
}

/// Whether an error would meet every other tag, too.
fn stops_all(error: &Error) -> bool {
    match error {
        Error::Media(MediaError::Registry(error)) => error.is_unreachable(),
        Error::Output { source, .. } => stops_all(source),
        Error::Media(MediaError::File(_)) | Error::File(_) => true,
        _ => false,
    }
}

/// What the target has under this name.
fn digest_at(media: &Media, context: &Context, target: &Reference) -> Result<Option<Digest>, Error> {
    match target {
        Reference::Registry(reference) => {
            Ok(context.client.claimed(reference, true).map_err(MediaError::from)?)
        }
        Reference::Layout { directory, .. } if !directory.exists() => Ok(None),
        // A layout that does not have it says so by an error.
        _ => Ok(media.open(target).ok().map(|image| image.root.descriptor.digest)),
    }
}

/// Compares text by the numbers in it: `v1.9.0` comes before `v1.11.0`.
fn by_number(one: &str, other: &str) -> cmp::Ordering {
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
                    cmp::Ordering::Equal => (one, other) = (&one[a..], &other[b..]),
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
