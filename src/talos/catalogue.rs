//! The catalogues of official extensions and overlays, as images that are published with each Talos version.
//!
//! `extensions:<tag>` holds `/image-digests` (a line `name:tag@digest` each) and `/descriptions.yaml` (that line
//! with author and description), `overlays:<tag>` holds `/overlays.yaml`; internal/artifacts in
//! siderolabs/image-factory reads them, and knows the extensions that were renamed.

use std::collections::BTreeMap;

use crate::base::suggest;
use crate::base::yaml::{self, Cursor, YamlError, text};
use crate::image::RegistryReference;
use crate::image::reference::ReferenceError;

/// Where the list of extensions lies in its image.
pub const DIGESTS: &str = "image-digests";
/// Where their descriptions lie.
pub const DESCRIPTIONS: &str = "descriptions.yaml";
/// Where the list of overlays lies in its image.
pub const OVERLAYS: &str = "overlays.yaml";

/// Names that users know, and those under which the catalogue has the extension.
#[rustfmt::skip]
const RENAMED: [(&str, &str); 11] = [
    ("siderolabs/v4l-uvc",                        "siderolabs/v4l-uvc-drivers"),
    ("siderolabs/usb-modem",                      "siderolabs/usb-modem-drivers"),
    ("siderolabs/gasket",                         "siderolabs/gasket-driver"),
    ("siderolabs/talos-vmtoolsd",                 "siderolabs/vmtoolsd-guest-agent"),
    ("siderolabs/xe-guest-utilities",             "siderolabs/xen-guest-agent"),
    ("siderolabs/nvidia-container-toolkit",       "siderolabs/nvidia-container-toolkit-lts"),
    ("siderolabs/nvidia-open-gpu-kernel-modules", "siderolabs/nvidia-open-gpu-kernel-modules-lts"),
    ("siderolabs/nonfree-kmod-nvidia",            "siderolabs/nonfree-kmod-nvidia-lts"),
    ("siderolabs/nvidia-fabricmanager",           "siderolabs/nvidia-fabric-manager-lts"),
    ("siderolabs/i915-ucode",                     "siderolabs/i915"),
    ("siderolabs/amdgpu-firmware",                "siderolabs/amdgpu"),
];

/// The largest list that is read, in bytes; the one of Talos 1.11 has 10 KiB.
const SIZE_MAX: usize = 1 << 20;

/// A catalogue cannot be read, or lacks something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// A list is no text, or a long one.
    #[error("`{DIGESTS}` is no text of at most {SIZE_MAX} bytes")]
    NotAList,
    /// A line names no image.
    #[error("`{file}`, line {line}: no name of an image with tag and digest")]
    Image {
        /// The file.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// Why; none if the tag or the digest is missing.
        source: Option<ReferenceError>,
    },
    /// A document cannot be read.
    #[error("`{file}` cannot be read")]
    Yaml {
        /// The file.
        file: &'static str,
        /// Why.
        source: YamlError,
    },
    /// There is no such thing.
    #[error("there is no official {kind} `{name}`")]
    Unknown {
        /// `extension` or `overlay`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// The one that was meant, perhaps.
        nearest: Option<String>,
    },
}

impl CatalogueError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } => {
                nearest.as_ref().map(|nearest| format!("did you mean `{nearest}`?"))
            }
            _ => None,
        }
    }
}

/// An official extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficialExtension {
    /// `siderolabs/NAME`.
    pub name: String,
    /// The image, by tag and digest.
    pub image: RegistryReference,
    /// Who made it; empty if the catalogue does not say.
    pub author: String,
    /// What it is for; the same.
    pub description: String,
}

/// The official extensions of one Talos version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions(Vec<OfficialExtension>);

impl Extensions {
    /// Reads the catalogue; without descriptions if there are none.
    pub fn parse(digests: &[u8], descriptions: Option<&[u8]>) -> Result<Self, CatalogueError> {
        let described = descriptions.map(described).transpose()?.unwrap_or_default();
        let text = Some(digests).filter(|bytes| bytes.len() <= SIZE_MAX);
        let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(CatalogueError::NotAList)?;
        let mut extensions = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let image = image(line, DIGESTS, index + 1)?;
            let (author, description) = described.get(line).cloned().unwrap_or_default();
            extensions.push(OfficialExtension { name: image.repository.clone(), image, author, description });
        }
        Ok(Self(extensions))
    }

    /// These, in this order. Each has tag and digest.
    pub fn new(extensions: Vec<OfficialExtension>) -> Self {
        Self(extensions)
    }

    /// The list, a line an extension.
    pub fn to_digests(&self) -> String {
        self.0.iter().map(|extension| format!("{}\n", extension.image)).collect()
    }

    /// Their authors and descriptions.
    pub fn to_descriptions(&self) -> String {
        let mut yaml = String::new();
        for extension in &self.0 {
            let author = text::string(&extension.author, 4);
            let description = text::string(&extension.description, 4);
            yaml += &format!("{}:\n  author: {author}\n  description: {description}\n", extension.image);
        }
        if yaml.is_empty() { "{}\n".to_owned() } else { yaml }
    }

    /// All of them, in the catalogue's order.
    pub fn all(&self) -> &[OfficialExtension] {
        &self.0
    }

    /// The extension of that name, or the one that has it now.
    pub fn find(&self, name: &str) -> Result<&OfficialExtension, CatalogueError> {
        let own = |name: &str| self.0.iter().find(|extension| extension.name == name);
        let renamed = || RENAMED.iter().find(|(old, _)| *old == name).and_then(|(_, new)| own(new));
        own(name)
            .or_else(renamed)
            .ok_or_else(|| unknown("extension", name, self.0.iter().map(|extension| extension.name.as_str())))
    }
}

/// An official overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficialOverlay {
    /// The name of the overlay's installer, `rpi_generic`.
    pub name: String,
    /// The image, by tag and digest.
    pub image: RegistryReference,
}

/// The official overlays of one Talos version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlays(Vec<OfficialOverlay>);

impl Overlays {
    /// Reads the catalogue.
    pub fn parse(bytes: &[u8]) -> Result<Self, CatalogueError> {
        let error = |source| CatalogueError::Yaml { file: OVERLAYS, source };
        let node = yaml::parse(bytes).map_err(error)?;
        let items =
            Cursor::root(&node).key("overlays").and_then(|overlays| overlays.items()).map_err(error)?;
        let overlay = |item: &Cursor<'_>| {
            let text = |key| item.key(key).and_then(|value| value.string()).map_err(error);
            let pinned = format!("{}@{}", text("image")?, text("digest")?);
            Ok(OfficialOverlay { name: text("name")?, image: image(&pinned, OVERLAYS, item.line())? })
        };
        items.iter().map(overlay).collect::<Result<_, _>>().map(Self)
    }

    /// All of them, in the catalogue's order.
    pub fn all(&self) -> &[OfficialOverlay] {
        &self.0
    }

    /// The overlay of that name.
    pub fn find(&self, name: &str) -> Result<&OfficialOverlay, CatalogueError> {
        let own = self.0.iter().find(|overlay| overlay.name == name);
        own.ok_or_else(|| unknown("overlay", name, self.0.iter().map(|overlay| overlay.name.as_str())))
    }
}

/// Authors and descriptions by the lines of the list.
fn described(bytes: &[u8]) -> Result<BTreeMap<String, (String, String)>, CatalogueError> {
    let read = || -> Result<_, YamlError> {
        let node = yaml::parse(bytes)?;
        let mut described = BTreeMap::new();
        for (line, value) in Cursor::root(&node).entries()? {
            let texts = (value.key("author")?.string()?, value.key("description")?.string()?);
            described.insert(line.to_owned(), texts);
        }
        Ok(described)
    };
    read().map_err(|source| CatalogueError::Yaml { file: DESCRIPTIONS, source })
}

/// A name with tag and digest.
fn image(text: &str, file: &'static str, line: usize) -> Result<RegistryReference, CatalogueError> {
    let error = |source| CatalogueError::Image { file, line, source };
    let image: RegistryReference = text.parse().map_err(|source| error(Some(source)))?;
    if image.tag.is_none() || image.digest.is_none() {
        return Err(error(None));
    }
    Ok(image)
}

fn unknown<'a>(kind: &'static str, name: &str, names: impl Iterator<Item = &'a str>) -> CatalogueError {
    // People leave out who publishes them.
    let full = if kind == "extension" && !name.contains('/') {
        format!("siderolabs/{name}")
    } else {
        name.to_owned()
    };
    let nearest = suggest::nearest(&full, names).map(str::to_owned);
    CatalogueError::Unknown { kind, name: name.to_owned(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn extensions() -> Extensions {
        let digests = format!(
            "ghcr.io/siderolabs/gvisor:20250505.0@{DIGEST}\n\nghcr.io/siderolabs/i915:20250509-v1.10.0@{DIGEST}\n"
        );
        let descriptions = format!(
            "ghcr.io/siderolabs/gvisor:20250505.0@{DIGEST}:\n  author: Sidero Labs\n  description: |\n    A sandbox.\n"
        );
        Extensions::parse(digests.as_bytes(), Some(descriptions.as_bytes())).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let extension = |name: &str, author: &str, description: &str| OfficialExtension {
            name: format!("acme/{name}"),
            image: format!("registry.example.com/acme/{name}:v1@sha256:{}", "0".repeat(64)).parse().unwrap(),
            author: author.to_owned(),
            description: description.to_owned(),
        };
        let extensions = Extensions::new(vec![
            extension("b", "Acme: the authors", "two\nlines\n"),
            extension("a", "", "- \"quoted\" # and not a comment"),
        ]);
        let read = Extensions::parse(
            extensions.to_digests().as_bytes(),
            Some(extensions.to_descriptions().as_bytes()),
        );
        assert_eq!(read.unwrap(), extensions);
        assert_eq!(Extensions::default().to_descriptions(), "{}\n");
    }

    #[test]
    fn an_extension_is_found_by_its_name_with_image_and_description() {
        let extensions = extensions();
        let found = extensions.find("siderolabs/gvisor").unwrap();
        assert_eq!(found.image.to_string(), format!("ghcr.io/siderolabs/gvisor:20250505.0@{DIGEST}"));
        assert_eq!((found.author.as_str(), found.description.as_str()), ("Sidero Labs", "A sandbox.\n"));
        assert_eq!(extensions.all().len(), 2);
        assert_eq!(extensions.find("siderolabs/i915-ucode").unwrap().name, "siderolabs/i915");
    }

    #[test]
    fn an_extension_that_is_not_there_has_a_neighbour() {
        for name in ["siderolabs/gvisro", "gvisor"] {
            let error = extensions().find(name).unwrap_err();
            assert_eq!(error.to_string(), format!("there is no official extension `{name}`"));
            assert_eq!(error.hint().as_deref(), Some("did you mean `siderolabs/gvisor`?"));
        }
        assert_eq!(extensions().find("siderolabs/amdgpu-firmware").unwrap_err().hint(), None);
    }

    #[test]
    fn a_line_that_names_no_image_is_an_error_with_its_number() {
        for line in
            ["x", "ghcr.io/siderolabs/gvisor:1", &format!("ghcr.io/siderolabs/gvisor@{DIGEST}"), "a@b"]
        {
            let list = format!("ghcr.io/siderolabs/a:1@{DIGEST}\n{line}\n");
            let error = Extensions::parse(list.as_bytes(), None).unwrap_err().to_string();
            assert_eq!(error, "`image-digests`, line 2: no name of an image with tag and digest", "{line}");
        }
        assert_eq!(Extensions::parse(b"\xff", None), Err(CatalogueError::NotAList));
        assert_eq!(Extensions::parse(&vec![b'\n'; SIZE_MAX + 1], None), Err(CatalogueError::NotAList));
        assert!(Extensions::parse(b"", Some(b"[")).is_err());
    }

    #[test]
    fn an_overlay_is_found_by_the_name_of_its_installer() {
        let text = format!(
            "overlays:\n  - name: rpi_generic\n    image: ghcr.io/siderolabs/sbc-raspberrypi:v0.1.0\n    digest: {DIGEST}\n"
        );
        let overlays = Overlays::parse(text.as_bytes()).unwrap();
        let found = overlays.find("rpi_generic").unwrap();
        assert_eq!(found.image.to_string(), format!("ghcr.io/siderolabs/sbc-raspberrypi:v0.1.0@{DIGEST}"));
        assert_eq!(overlays.all().len(), 1);
        let error = overlays.find("rpi-generic").unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("did you mean `rpi_generic`?"));
        let error = Overlays::parse(b"overlays:\n  - name: x\n    image: y\n").unwrap_err().to_string();
        assert_eq!(error, "`overlays.yaml`, line 2: no name of an image with tag and digest");
        assert_eq!(
            Overlays::parse(b"overlays: x").unwrap_err().to_string(),
            "`overlays.yaml` cannot be read"
        );
    }
}
