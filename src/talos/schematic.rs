//! Schematics of the Image Factory: what a user asks of an image, and the id that the factory gives it.
//!
//! pkg/schematic in siderolabs/image-factory: the id is the SHA-256 of the document written back by Go's yaml
//! in the order of the fields there, without what is empty.

use super::document::{self, DocumentError, only, part, word};
use super::meta::MetaValue;
use crate::base::Digest;
use crate::base::yaml::{self, Any, Cursor, YamlError};

/// A schematic.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schematic {
    /// Who may use it; of the factory's enterprise edition.
    pub owner: String,
    /// The image of a board's overlay, `siderolabs/sbc-raspberrypi`.
    pub overlay_image: String,
    /// The name of the overlay.
    pub overlay_name: String,
    /// Its options, sorted by key.
    pub overlay_options: Vec<(String, Any)>,
    /// The machine configuration for the image; empty for none.
    pub embedded_config: String,
    /// Extra kernel arguments.
    pub extra_kernel_args: Vec<String>,
    /// Values of META.
    pub meta: Vec<MetaValue>,
    /// Official extensions, `siderolabs/NAME`.
    pub extensions: Vec<String>,
    /// The boot loader of a disk image or an ISO.
    pub boot_loader: Option<&'static str>,
    /// How keys of Secure Boot are enrolled.
    pub enroll_keys: String,
    /// Whether Microsoft's certificates are among them.
    pub well_known_certificates: bool,
    /// The size of a disk's sectors in bytes; 0 for the usual one.
    pub sector_size: u64,
}

/// What the factory knows (pkg/machinery/imager/imageropts); `none` is none.
const BOOT_LOADERS: [&str; 3] = ["dual-boot", "sd-boot", "grub"];

const CUSTOMIZATION: &[&str] = &[
    "extraKernelArgs",
    "meta",
    "systemExtensions",
    "embeddedMachineConfiguration",
    "bootloader",
    "secureboot",
    "diskImage",
];

impl Schematic {
    /// Reads a document. Unknown keys are errors, for the factory, too.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let node = yaml::parse(bytes)?;
        let root = Cursor::root(&node);
        only(&root, &["owner", "overlay", "customization"])?;
        let overlay = part(&root, "overlay", &["image", "name", "options"])?;
        let custom = part(&root, "customization", CUSTOMIZATION)?;
        let extensions = part(&custom, "systemExtensions", &["officialExtensions"])?;
        let secure_boot = part(&custom, "secureboot", &["includeWellKnownCertificates", "enrollKeys"])?;
        let disk = part(&custom, "diskImage", &["sectorSize"])?;
        Ok(Self {
            owner: text(&root.key("owner")?)?,
            overlay_image: text(&overlay.key("image")?)?,
            overlay_name: text(&overlay.key("name")?)?,
            overlay_options: document::options(&overlay.key("options")?)?,
            embedded_config: text(&custom.key("embeddedMachineConfiguration")?)?,
            extra_kernel_args: texts(&custom.key("extraKernelArgs")?)?,
            meta: meta(&custom.key("meta")?)?,
            extensions: texts(&extensions.key("officialExtensions")?)?,
            boot_loader: boot_loader(&custom)?,
            enroll_keys: text(&secure_boot.key("enrollKeys")?)?,
            well_known_certificates: secure_boot.key("includeWellKnownCertificates")?.boolean()?,
            sector_size: whole(&disk.key("sectorSize")?)?,
        })
    }

    /// The document as the factory writes it.
    pub fn to_yaml(&self) -> String {
        let overlay = [self.overlay_image.is_empty(), self.overlay_name.is_empty()];
        let has_overlay = overlay.contains(&false) || !self.overlay_options.is_empty();
        let text = |text: &str| Any::Text(text.to_owned());
        let texts = |texts: &[String]| Any::List(texts.iter().map(|own| text(own)).collect());
        let meta = |value: &MetaValue| {
            map([("key", Some(Any::Int(value.key.into()))), ("value", Some(text(&value.value)))])
        };
        let customization = map([
            ("embeddedMachineConfiguration", filled(text(&self.embedded_config))),
            ("extraKernelArgs", filled(texts(&self.extra_kernel_args))),
            ("meta", filled(Any::List(self.meta.iter().map(meta).collect()))),
            ("systemExtensions", filled(map([("officialExtensions", filled(texts(&self.extensions)))]))),
            ("bootloader", self.boot_loader.map(text)),
            (
                "secureboot",
                filled(map([
                    ("enrollKeys", filled(text(&self.enroll_keys))),
                    ("includeWellKnownCertificates", self.well_known_certificates.then_some(Any::Bool(true))),
                ])),
            ),
            ("diskImage", filled(map([("sectorSize", filled(Any::Int(self.sector_size.into())))]))),
        ]);
        let overlay = map([
            // Both are written even where they are empty.
            ("image", Some(text(&self.overlay_image))),
            ("name", Some(text(&self.overlay_name))),
            ("options", filled(Any::Map(self.overlay_options.clone()).sorted())),
        ]);
        map([
            ("owner", filled(text(&self.owner))),
            ("overlay", has_overlay.then_some(overlay)),
            ("customization", Some(customization)),
        ])
        .to_yaml()
    }

    /// The id: what stands in the addresses of the factory's images.
    pub fn id(&self) -> String {
        Digest::of(self.to_yaml().as_bytes()).hex()
    }
}

/// A mapping of what is there, in this order.
fn map<const N: usize>(pairs: [(&str, Option<Any>); N]) -> Any {
    Any::Map(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
}

/// Nothing for what Go takes for empty.
fn filled(value: Any) -> Option<Any> {
    let empty = match &value {
        Any::Text(text) => text.is_empty(),
        Any::List(items) => items.is_empty(),
        Any::Map(pairs) => pairs.is_empty(),
        Any::Int(number) => *number == 0,
        _ => false,
    };
    (!empty).then_some(value)
}

/// A text as Go's yaml gives it to a field of that type: any scalar by its letters, but no point in time.
fn text(cursor: &Cursor<'_>) -> Result<String, YamlError> {
    Any::of(cursor)?;
    cursor.string()
}

fn texts(cursor: &Cursor<'_>) -> Result<Vec<String>, YamlError> {
    // Go drops what is null.
    cursor.items()?.iter().filter(|item| !item.is_null()).map(text).collect()
}

fn meta(cursor: &Cursor<'_>) -> Result<Vec<MetaValue>, DocumentError> {
    let items = cursor.items()?;
    let values = items.iter().filter(|item| !item.is_null()).map(|item| {
        only(item, &["key", "value"])?;
        text(&item.key("value")?)?;
        Ok(MetaValue::of(item)?)
    });
    values.collect()
}

fn boot_loader(custom: &Cursor<'_>) -> Result<Option<&'static str>, YamlError> {
    let value = custom.key("bootloader")?;
    let given = value.string()?;
    let known = BOOT_LOADERS.into_iter().map(|name| (name, Some(name))).chain([("none", None)]);
    // The factory takes any case.
    match known.clone().find(|(name, _)| given.eq_ignore_ascii_case(name)) {
        Some((_, name)) => Ok(name),
        None => Ok(word(custom, "bootloader", known)?.flatten()),
    }
}

fn whole(cursor: &Cursor<'_>) -> Result<u64, YamlError> {
    let number = match Any::of(cursor)? {
        Any::Null => Some(0),
        Any::Int(number) => u64::try_from(number).ok(),
        _ => None,
    };
    number.ok_or_else(|| cursor.expected("a whole number"))
}

#[cfg(test)]
#[path = "schematic_tests.rs"]
mod tests;
