//! What an image is and what is in it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::Error;
use super::inspect_boot::{BootLine, boot_lines};
use super::run::Context;
use super::subject::{Contents, Subject, load};
use crate::archive::tree::{self, Entry, Kind as EntryKind};
use crate::base::Digest;
use crate::image::{Descriptor, Platform, Reference};
use crate::kmod::{ModuleFacts, SignatureState};
use crate::talos::extension::{MANIFEST, SELINUX};
use crate::talos::kind::Kind;
use crate::talos::manifest::Manifest;

/// The most bytes of an extension's manifest that are read.
const MANIFEST_LIMIT: u64 = 1 << 20;

/// What was found.
#[derive(Debug)]
pub struct Inspected {
    /// The digest of manifest or index; a plain tree has none.
    pub digest: Option<Digest>,
    /// Its media type.
    pub media_type: Option<String>,
    /// The images, by platform.
    pub images: Vec<Inspection>,
}

/// One platform's image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// What kind it is.
    #[serde(serialize_with = "name")]
    pub kind: Kind,
    /// `linux/amd64`
    pub platform: Option<String>,
    /// Digest of this platform's manifest.
    pub manifest_digest: Option<Digest>,
    /// RFC 3339, as it stands there.
    pub created: Option<String>,
    /// How a container starts.
    pub entrypoint: Vec<String>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// What an extension's manifest says.
    pub extension: Option<Manifest>,
    /// The modules of an extension.
    pub modules: Vec<ModuleLine>,
    /// What boots, by architecture: of an installer or imager.
    pub boot: Vec<BootLine>,
    /// All paths.
    pub files: Vec<FileLine>,
}

fn name<S: serde::Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

/// A kernel module.
#[derive(Debug, Serialize)]
pub struct ModuleLine {
    /// Path in the image.
    pub path: String,
    /// First word of its vermagic.
    pub release: String,
    /// `x86_64`, `aarch64` …
    pub machine: String,
    /// `signed by …`, `unsigned` …
    pub signature: String,
    /// Why it cannot be read, if so.
    pub problem: Option<String>,
}

/// A path.
#[derive(Debug, Serialize)]
pub struct FileLine {
    /// Path in the image.
    pub path: String,
    /// `-rw-r--r--`
    pub mode: String,
    /// Bytes of a regular file.
    pub size: Option<u64>,
    /// Target of a link.
    pub target: Option<String>,
    /// SELinux label.
    pub selinux: Option<String>,
}

/// Inspects what `reference` names.
pub fn inspect(
    context: &Context,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Inspected, Error> {
    let (root, subjects) = load(context, reference, platform, Contents::ToInspect)?;
    Ok(Inspected {
        digest: root.as_ref().map(|root| root.descriptor.digest),
        media_type: root.as_ref().map(crate::image::Document::media_type),
        images: subjects.iter().map(inspection).collect::<Result<_, _>>()?,
    })
}

fn inspection(subject: &Subject) -> Result<Inspection, Error> {
    let image = subject.image.as_ref();
    let is_extension = subject.kind == Kind::Extension;
    let manifest = subject.files.tree.get(MANIFEST).and_then(Entry::content).filter(|_| is_extension);
    let config = image.map(|image| &image.config);
    let boots = matches!(subject.kind, Kind::Installer | Kind::Imager);
    Ok(Inspection {
        kind: subject.kind,
        platform: image.and_then(|image| image.platform.as_ref()).map(ToString::to_string),
        manifest_digest: image.map(|image| image.document.descriptor.digest),
        created: config.and_then(|config| config.created.clone()),
        entrypoint: config.map(|config| config.entrypoint().to_vec()).unwrap_or_default(),
        labels: config.and_then(|config| config.config.as_ref()?.labels.clone()).unwrap_or_default(),
        layers: image.map(|image| image.manifest.layers.clone()).unwrap_or_default(),
        extension: manifest
            .and_then(|content| content.read(MANIFEST_LIMIT).ok())
            .and_then(|bytes| Manifest::parse(&bytes).ok())
            .map(|(manifest, _)| manifest),
        modules: if is_extension { modules(subject) } else { Vec::new() },
        boot: if boots { boot_lines(&subject.files)? } else { Vec::new() },
        files: subject.files.tree.iter().map(|(path, entry)| file(path, entry)).collect(),
    })
}

fn modules(subject: &Subject) -> Vec<ModuleLine> {
    let modules = subject.files.tree.iter().filter(|(path, _)| path.ends_with(".ko"));
    modules
        .filter_map(|(path, entry)| {
            let (release, machine, signature, problem) =
                match ModuleFacts::read(entry.content()?, tree::file_name(path)) {
                    Ok(facts) => (
                        facts.release().unwrap_or_default().to_owned(),
                        facts.machine.to_string(),
                        signature(&facts.signature),
                        None,
                    ),
                    Err(error) => (String::new(), String::new(), String::new(), Some(error.to_string())),
                };
            Some(ModuleLine { path: path.to_owned(), release, machine, signature, problem })
        })
        .collect()
}

fn signature(state: &SignatureState) -> String {
    match state {
        SignatureState::Signed(_) => "signed".to_owned(),
        SignatureState::Unsigned => "unsigned".to_owned(),
        SignatureState::Lost(why) => format!("signature lost: {why}"),
    }
}

fn file(path: &str, entry: &Entry) -> FileLine {
    let target = match &entry.kind {
        EntryKind::Symlink(target) | EntryKind::HardLink(target) => Some(target.clone()),
        _ => None,
    };
    FileLine {
        path: path.to_owned(),
        mode: mode(entry),
        size: entry.content().map(crate::base::Content::len),
        target,
        selinux: entry
            .xattrs
            .get(SELINUX)
            .map(|label| String::from_utf8_lossy(label.strip_suffix(b"\0").unwrap_or(label)).into_owned()),
    }
}

/// The mode as `ls -l` writes it.
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::Directory => 'd',
        EntryKind::File(_) => '-',
        EntryKind::Symlink(_) => 'l',
        EntryKind::HardLink(_) => 'h',
        EntryKind::CharDevice { .. } => 'c',
        EntryKind::BlockDevice { .. } => 'b',
        EntryKind::Fifo => 'p',
    };
    let bit = |shift: u32, letter: char| if entry.mode >> shift & 1 == 1 { letter } else { '-' };
    let execute =
        |shift: u32, special: u32, letter: char| match (entry.mode >> shift & 1, entry.mode >> special & 1) {
            (0, 0) => '-',
            (_, 0) => 'x',
            (0, _) => letter.to_ascii_uppercase(),
            _ => letter,
        };
    [
        kind,
        bit(8, 'r'),
        bit(7, 'w'),
        execute(6, 11, 's'),
        bit(5, 'r'),
        bit(4, 'w'),
        execute(3, 10, 's'),
        bit(2, 'r'),
        bit(1, 'w'),
        execute(0, 9, 't'),
    ]
    .iter()
    .collect()
}
