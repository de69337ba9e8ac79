//! The platforms of Talos, with the kernel arguments that each brings along.
//!
//! From internal/app/machined/pkg/runtime/v1alpha1/platform in siderolabs/talos: the names in
//! platform.go, the arguments in each platform's `KernelArgs`.

use super::version::{Architecture, Feature, Tag};
use crate::base::suggest;

/// A platform that Talos knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform(&'static Row);

/// There is no such platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no platform of Talos")]
pub struct PlatformError {
    /// What was asked for.
    pub name: String,
    /// The platform that was meant, perhaps.
    pub nearest: Option<&'static str>,
}

impl PlatformError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self.nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("the platforms are {}", Platform::names().collect::<Vec<_>>().join(", ")),
        }
    }
}

/// A row: name, arguments for amd64, arguments for arm64.
#[derive(Debug, PartialEq, Eq)]
struct Row(&'static str, &'static str, &'static str);

const fn same(name: &'static str, arguments: &'static str) -> Row {
    Row(name, arguments, arguments)
}

/// By name. What depends on the version as well stands in [`Platform::arguments`].
#[rustfmt::skip]
const PLATFORMS: [Row; 21] = [
    same("akamai", "console=ttyS0 console=tty0 console=tty1 net.ifnames=0"),
    same("alibabacloud", "console=tty1 console=ttyS0 net.ifnames=0"),
    same("aws", "console=tty1 console=ttyS0 net.ifnames=0"),
    same("azure", "console=ttyS0,115200n8 earlyprintk=ttyS0,115200 rootdelay=300 net.ifnames=0 \
                   talos.dashboard.disabled=1 sysctl.kernel.kexec_load_disabled=1"),
    same("cloudstack", "console=tty1 console=ttyS0 net.ifnames=0"),
    same("container", ""),
    same("digital-ocean", "console=ttyS0 console=tty0 console=tty1 net.ifnames=0"),
    Row("equinixMetal", "console=ttyS1,115200n8", "console=ttyAMA0,115200"),
    same("exoscale", "console=tty1 console=ttyS0 net.ifnames=0"),
    same("gcp", "console=ttyS0 net.ifnames=0 talos.dashboard.disabled=1 sysctl.kernel.kexec_load_disabled=1"),
    same("hcloud", "console=tty1 console=ttyS0 net.ifnames=0"),
    Row(METAL, "console=tty0", "console=ttyAMA0 console=tty0"),
    same("nocloud", "console=tty1 console=ttyS0 net.ifnames=0"),
    same("opennebula", "console=tty1 console=ttyS0 net.ifnames=0"),
    same("openstack", "console=tty1 console=ttyS0 net.ifnames=0"),
    same("oracle", "console=tty1 console=ttyS0 net.ifnames=0 talos.dashboard.disabled=1"),
    same("scaleway", "console=tty1 console=ttyS0 net.ifnames=0 talos.dashboard.disabled=1"),
    same("upcloud", "net.ifnames=0"),
    Row("vmware", "talos.config=guestinfo console=tty0 console=ttyS0 earlyprintk=ttyS0,115200 net.ifnames=0",
        "talos.config=guestinfo console=tty0 console=ttyAMA0 net.ifnames=0"),
    same("vultr", "net.ifnames=0"),
    // Talos still takes the old name of Equinix Metal; the arguments then name the new one.
    Row("packet", "console=ttyS1,115200n8", "console=ttyAMA0,115200"),
];

/// The platform of installers, and of everything else that names none.
pub const METAL: &str = "metal";

impl Platform {
    /// The platform of that name.
    pub fn parse(name: &str) -> Result<Self, PlatformError> {
        PLATFORMS.iter().find(|row| row.0 == name).map(Self).ok_or_else(|| PlatformError {
            name: name.to_owned(),
            nearest: suggest::nearest(name, Self::names()),
        })
    }

    /// The names of all platforms.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PLATFORMS.iter().map(|row| row.0)
    }

    /// The value of `talos.platform`.
    pub fn name(self) -> &'static str {
        if self.0.0 == "packet" { "equinixMetal" } else { self.0.0 }
    }

    /// The name by which it was asked for, which names of files follow.
    pub fn given_name(self) -> &'static str {
        self.0.0
    }

    /// The platform's own kernel arguments, in order.
    pub fn arguments(self, talos: &Tag, architecture: Architecture) -> String {
        let own = match architecture {
            Architecture::Amd64 => self.0.1,
            Architecture::Arm64 => self.0.2,
        };
        match (self.name(), architecture) {
            (METAL, Architecture::Amd64) if talos.has(Feature::MetalSerialConsole) => {
                format!("console=ttyS0 {own}")
            }
            // Amazon's volumes want the longest time limit there is; until 1.14 everybody got it.
            ("aws", _) if !talos.has(Feature::NvmeTimeout) => {
                format!("{own} nvme_core.io_timeout=4294967295")
            }
            _ => own.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_that_is_unknown_is_named_with_its_neighbour() {
        let error = Platform::parse("nocluod").unwrap_err();
        assert_eq!(error.to_string(), "`nocluod` is no platform of Talos");
        assert_eq!(error.hint(), "did you mean `nocloud`?");
        let hint = Platform::parse("nosuch-at-all").unwrap_err().hint();
        assert!(hint.starts_with("the platforms are akamai, ") && hint.contains("vultr"), "{hint}");
    }

    #[test]
    fn arguments_depend_on_architecture_and_version_where_upstream_says_so() {
        let of = |name: &str, talos: &str, architecture| {
            Platform::parse(name).unwrap().arguments(&Tag::new(talos), architecture)
        };
        use Architecture::{Amd64, Arm64};
        assert_eq!(of("metal", "v1.7.9", Amd64), "console=ttyS0 console=tty0");
        assert_eq!(of("metal", "v1.7.9", Arm64), "console=ttyAMA0 console=tty0");
        assert_eq!(of("metal", "main", Amd64), "console=tty0");
        assert_eq!(
            of("vmware", "v1.13.0", Arm64),
            "talos.config=guestinfo console=tty0 console=ttyAMA0 net.ifnames=0"
        );
        assert!(!of("aws", "v1.13.9", Arm64).contains("nvme_core"));
        assert!(of("aws", "v1.14.0-alpha.2", Arm64).ends_with(" nvme_core.io_timeout=4294967295"));
        let packet = Platform::parse("packet").unwrap();
        assert_eq!((packet.name(), packet.given_name()), ("equinixMetal", "packet"));
        assert_eq!(of("packet", "v1.11.0", Arm64), "console=ttyAMA0,115200");
    }
}
