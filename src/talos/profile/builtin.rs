//! The profiles that have a name: pkg/imager/profile/default.go in siderolabs/talos.
//!
//! Sizes and formats of disks are left out, since disk images are not made yet.

use super::document::Profile;
use crate::talos::output::{OutputFormat, OutputKind};
use crate::talos::platform::METAL;

/// A row: name, platform, Secure Boot, kind of output, what becomes of it.
struct Row(&'static str, &'static str, bool, OutputKind, OutputFormat);

use OutputFormat::{Gz, Raw, TarGz, Zst};
use OutputKind::{Image, Installer, Iso, Uki};

#[rustfmt::skip]
const PROFILES: [Row; 32] = [
    Row("iso",                   METAL,           false, Iso,       Raw),
    Row("secureboot-iso",        METAL,           true,  Iso,       Raw),
    Row("metal",                 METAL,           false, Image,     Zst),
    Row("metal-4k",              METAL,           false, Image,     Zst),
    Row("metal-uki",             METAL,           false, Uki,       Raw),
    Row("secureboot-metal-uki",  METAL,           true,  Uki,       Raw),
    Row("secureboot-metal",      METAL,           true,  Image,     Zst),
    Row("installer",             METAL,           false, Installer, Raw),
    Row("secureboot-installer",  METAL,           true,  Installer, Raw),
    Row("akamai",                "akamai",        false, Image,     Gz),
    Row("alibabacloud",          "alibabacloud",  false, Image,     Raw),
    Row("aws",                   "aws",           false, Image,     Zst),
    Row("azure",                 "azure",         false, Image,     Zst),
    Row("secureboot-azure",      "azure",         true,  Image,     Zst),
    Row("cloudstack",            "cloudstack",    false, Image,     Zst),
    Row("secureboot-cloudstack", "cloudstack",    true,  Image,     Zst),
    Row("digital-ocean",         "digital-ocean", false, Image,     Gz),
    Row("exoscale",              "exoscale",      false, Image,     Zst),
    Row("gcp",                   "gcp",           false, Image,     TarGz),
    Row("hcloud",                "hcloud",        false, Image,     Zst),
    Row("nocloud",               "nocloud",       false, Image,     Zst),
    Row("secureboot-nocloud",    "nocloud",       true,  Image,     Zst),
    Row("opennebula",            "opennebula",    false, Image,     Zst),
    Row("secureboot-opennebula", "opennebula",    true,  Image,     Zst),
    Row("openstack",             "openstack",     false, Image,     Zst),
    Row("secureboot-openstack",  "openstack",     true,  Image,     Zst),
    Row("oracle",                "oracle",        false, Image,     Zst),
    Row("scaleway",              "scaleway",      false, Image,     Zst),
    Row("upcloud",               "upcloud",       false, Image,     Zst),
    Row("vmware",                "vmware",        false, Image,     Raw),
    Row("secureboot-vmware",     "vmware",        true,  Image,     Raw),
    Row("vultr",                 "vultr",         false, Image,     Zst),
];

/// The profile of that name; `None` if there is none.
pub fn profile(name: &str) -> Option<Profile> {
    PROFILES.iter().find(|row| row.0 == name).map(|Row(_, platform, secure_boot, kind, format)| Profile {
        platform: Some((*platform).to_owned()),
        secure_boot: Some(*secure_boot),
        kind: Some(*kind),
        format: Some(*format),
        ..Profile::default()
    })
}

/// The names of all built-in profiles.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|row| row.0)
}
