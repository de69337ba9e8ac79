//! `extensions.yaml`, which tells Talos' init the layers: siderolabs/talos, `pkg/machinery/extensions`.
//!
//! The text is the one that Go's YAML gives Talos' structures. The last layer of the list lies on top.

use crate::base::yaml::{self, Cursor, YamlError, text};
use crate::talos::manifest::{MANIFEST_VERSION, Manifest};

/// Its name, at the root of the initramfs.
pub const FILE: &str = "extensions.yaml";

/// A layer of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLayer {
    /// The name of its image, such as `0.sqsh`.
    pub image: String,
    /// The extension's manifest. The list holds no version of the manifest's own format.
    pub manifest: Manifest,
}

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// From the bottom to the top.
    pub layers: Vec<ListedLayer>,
}

impl Extensions {
    /// The document.
    pub fn to_yaml(&self) -> String {
        if self.layers.is_empty() {
            return "layers: []\n".to_owned();
        }
        let mut yaml = String::from("layers:\n");
        for layer in &self.layers {
            let manifest = &layer.manifest;
            let constraint = manifest.compatibility.as_deref().unwrap_or_default();
            let mut line = |indent: usize, key: &str, value: &str| {
                yaml.extend(std::iter::repeat_n(' ', indent));
                yaml.push_str(key);
                yaml.push_str(value);
                yaml.push('\n');
            };
            line(4, "- image: ", &text::string(&layer.image, 8));
            line(6, "metadata:", "");
            line(8, "name: ", &text::string(&manifest.name, 12));
            line(8, "version: ", &text::string(&manifest.version, 12));
            line(8, "author: ", &text::string(&manifest.author, 12));
            line(8, "description: ", &text::string(&manifest.description, 12));
            line(8, "compatibility:", "");
            line(12, "talos:", "");
            line(16, "version: ", &text::string(constraint, 20));
            if let Some(extra) = &manifest.extra_info {
                line(8, "extraInfo: ", &text::string(extra, 12));
            }
        }
        yaml
    }

    /// Reads the document.
    pub fn parse(bytes: &[u8]) -> Result<Self, YamlError> {
        let node = yaml::parse(bytes)?;
        let layers = Cursor::root(&node).key("layers")?.items()?;
        let layers = layers.iter().map(|layer| {
            let metadata = layer.key("metadata")?;
            let some = |text: String| Some(text).filter(|text| !text.is_empty());
            Ok(ListedLayer {
                image: layer.key("image")?.string()?,
                manifest: Manifest {
                    manifest_version: MANIFEST_VERSION.to_owned(),
                    name: metadata.key("name")?.string()?,
                    version: metadata.key("version")?.string()?,
                    author: metadata.key("author")?.string()?,
                    description: metadata.key("description")?.string()?,
                    compatibility: some(metadata.get("compatibility.talos.version")?.string()?),
                    extra_info: some(metadata.key("extraInfo")?.string()?),
                },
            })
        });
        Ok(Self { layers: layers.collect::<Result<_, YamlError>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(
        image: &str,
        name: &str,
        version: &str,
        description: &str,
        constraint: Option<&str>,
    ) -> ListedLayer {
        ListedLayer {
            image: image.to_owned(),
            manifest: Manifest {
                manifest_version: MANIFEST_VERSION.to_owned(),
                name: name.to_owned(),
                version: version.to_owned(),
                author: "Acme".to_owned(),
                description: description.to_owned(),
                compatibility: constraint.map(str::to_owned),
                extra_info: None,
            },
        }
    }

    #[test]
    fn the_text_is_that_of_the_imager_and_reads_back() {
        let list = Extensions {
            layers: vec![
                layer("0.sqsh", "firmware", "20250311", "microcode and firmware\n", Some(">= v1.0.0")),
                layer("modules.dep.sqsh", "modules.dep", "6.1.0-56-amd64", "Combined modules.dep", None),
            ],
        };
        let expected = "layers:
    - image: 0.sqsh
      metadata:
        name: firmware
        version: \"20250311\"
        author: Acme
        description: |
            microcode and firmware
        compatibility:
            talos:
                version: '>= v1.0.0'
    - image: modules.dep.sqsh
      metadata:
        name: modules.dep
        version: 6.1.0-56-amd64
        author: Acme
        description: Combined modules.dep
        compatibility:
            talos:
                version: \"\"
";
        assert_eq!(list.to_yaml(), expected);
        assert_eq!(Extensions::parse(expected.as_bytes()).unwrap(), list);
        assert_eq!(Extensions::parse(b"layers: []\n").unwrap().to_yaml(), "layers: []\n");
        assert!(Extensions::parse(b"layers: 5\n").is_err());
    }
}
