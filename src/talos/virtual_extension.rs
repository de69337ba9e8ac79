//! Extensions that nobody publishes: what an image says of itself, as a layer like every other.
//!
//! | name | from | what for |
//! |---|---|---|
//! | `schematic` | internal/artifacts/schematic.go of siderolabs/image-factory | which schematic an image was made of |
//! | `embedded-config` | pkg/imager/embed.go of siderolabs/talos | the machine configuration (Talos 1.12 and later) |

use std::collections::BTreeMap;

use super::extension;
use super::manifest::{MANIFEST_VERSION, Manifest};
use super::schematic::Schematic;
use super::version::{Feature, Tag};
use crate::archive::Tree;
use crate::archive::tree::{Entry, TreeError};
use crate::base::{Content, Digest};

/// The label of the partition STATE, where Talos keeps its configuration otherwise.
const STATE_LABEL: &str = "system_u:object_r:system_state_t:s0";
/// Where the configuration lies.
const CONFIG: &str = "usr/local/etc/talos/config.yaml";
/// Where the schematic's id lies, as the name of an empty file.
const SCHEMATICS: &str = "usr/local/share/schematic";

/// An extension.
#[derive(Debug, Clone)]
pub struct VirtualExtension {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its root file system.
    pub rootfs: Tree,
}

/// The extension that names a schematic. Since Talos 1.7 its manifest has the schematic as well.
pub fn schematic(schematic: &Schematic, talos: &Tag) -> Result<VirtualExtension, TreeError> {
    let id = schematic.id();
    let mut rootfs = Tree::new();
    rootfs.insert(&format!("{SCHEMATICS}/{id}"), Entry::file(0o644, Content::memory(Vec::new())))?;
    let manifest = Manifest {
        name: "schematic".to_owned(),
        version: id,
        author: "talosmith".to_owned(),
        description: "Virtual extension which specifies the schematic of the image built with schematic."
            .to_owned(),
        extra_info: talos.has(Feature::Overlays).then(|| schematic.to_yaml()),
        ..common()
    };
    Ok(VirtualExtension { manifest, rootfs })
}

/// The extension that holds a machine configuration.
pub fn embedded_config(document: &[u8]) -> Result<VirtualExtension, TreeError> {
    let mut rootfs = Tree::new();
    // It holds secrets: nobody but its owner may read it.
    rootfs.insert(CONFIG, Entry::file(0o400, Content::memory(document.to_vec())))?;
    extension::label(&mut rootfs, &BTreeMap::from([(CONFIG.to_owned(), STATE_LABEL.to_owned())]));
    let manifest = Manifest {
        name: "embedded-config".to_owned(),
        version: Digest::of(document).hex(),
        author: "Imager".to_owned(),
        description: "Virtual extension which embeds the machine configuration.".to_owned(),
        ..common()
    };
    Ok(VirtualExtension { manifest, rootfs })
}

fn common() -> Manifest {
    Manifest {
        manifest_version: MANIFEST_VERSION.to_owned(),
        compatibility: Some(">= 1.0.0".to_owned()),
        ..Manifest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schematic_is_an_empty_file_with_its_id_as_name() {
        let asked = Schematic { extensions: vec!["siderolabs/gvisor".to_owned()], ..Schematic::default() };
        let made = schematic(&asked, &Tag::new("v1.7.0")).unwrap();
        let id = asked.id();
        let (path, entry) = made.rootfs.iter().last().unwrap();
        assert_eq!(path, format!("usr/local/share/schematic/{id}"));
        assert_eq!((entry.mode, entry.content().unwrap().len()), (0o644, 0));
        assert_eq!((made.manifest.name.as_str(), made.manifest.version.as_str()), ("schematic", id.as_str()));
        assert_eq!(made.manifest.extra_info.as_deref(), Some(asked.to_yaml().as_str()));
        let before = schematic(&asked, &Tag::new("v1.6.7")).unwrap();
        assert_eq!(before.manifest.extra_info, None);
        let (read, _) = Manifest::parse(made.manifest.to_yaml().as_bytes()).unwrap();
        assert_eq!(read, made.manifest);
    }

    #[test]
    fn an_embedded_configuration_is_for_its_owner_alone_and_labelled() {
        let made = embedded_config(b"kind: HostnameConfig\n").unwrap();
        let entry = made.rootfs.get("usr/local/etc/talos/config.yaml").unwrap();
        assert_eq!(entry.mode, 0o400);
        assert_eq!(entry.xattrs["security.selinux"], b"system_u:object_r:system_state_t:s0\0");
        assert_eq!(entry.content().unwrap().read(99).unwrap(), b"kind: HostnameConfig\n");
        assert_eq!(made.manifest.version, Digest::of(b"kind: HostnameConfig\n").hex());
        assert_eq!(made.manifest.compatibility.as_deref(), Some(">= 1.0.0"));
        // Nothing above it has a label of its own.
        assert_eq!(made.rootfs.iter().filter(|(_, entry)| !entry.xattrs.is_empty()).count(), 1);
    }
}
