//! Whether a machine refuses kernel modules that its kernel's keys did not sign.
//!
//! Source: `module.sig_enforce`, `is_module_sig_enforced` (kernel/module/signing.c) and the lockdown
//! (security/lockdown/lockdown.c) of the kernel; Talos' configurations of kernels in siderolabs/pkgs.

use std::fmt;

use super::version::{Version, signatures_enforced_by_build};

/// What a kernel's configuration says of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignatureConfig {
    /// `CONFIG_MODULE_SIG`: it looks at them.
    pub looks: bool,
    /// `CONFIG_MODULE_SIG_FORCE`: it refuses modules without a valid one.
    pub forces: bool,
}

/// Whether signatures are enforced, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// The kernels of this Talos version are built so.
    Version(String),
    /// The kernel's configuration.
    Config,
    /// An argument of the kernel command line.
    Argument(String),
    /// Nothing does: such modules are loaded, and the kernel is tainted.
    Nothing,
    /// The kernel does not look at signatures.
    NotBuilt,
}

impl Enforcement {
    /// Judges by the kernel's configuration, where it is known, the version and the kernel command line. An
    /// unknown command line is taken for the one that this version has by default.
    pub fn of(config: Option<SignatureConfig>, talos: &Version, cmdline: Option<&str>) -> Self {
        match config {
            Some(SignatureConfig { looks: false, .. }) => return Self::NotBuilt,
            Some(SignatureConfig { forces: true, .. }) => return Self::Config,
            None if signatures_enforced_by_build(talos) => return Self::Version(talos.to_string()),
            _ => {}
        }
        match cmdline {
            Some(line) => line
                .split_whitespace()
                .find(|word| enforces(word))
                .map_or(Self::Nothing, |word| Self::Argument(word.to_owned())),
            None if signatures_enforced_by_build(talos) => Self::Nothing,
            None => Self::Argument("module.sig_enforce=1".to_owned()),
        }
    }

    /// Whether modules without a valid signature of a trusted key are refused.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Nothing | Self::NotBuilt)
    }
}

/// Whether an argument turns enforcement on. It cannot be turned off again (`bool_enable_only`).
fn enforces(word: &str) -> bool {
    match word.split_once('=') {
        // The kernel takes `-` for `_` in names of parameters, and a word alone for true.
        Some((name, value)) if name.replace('-', "_") == "module.sig_enforce" => is_true(value),
        Some(("lockdown", value)) => matches!(value, "integrity" | "confidentiality"),
        None => word.replace('-', "_") == "module.sig_enforce",
        Some(_) => false,
    }
}

/// What the kernel takes for true (lib/kstrtox.c, `kstrtobool`).
fn is_true(value: &str) -> bool {
    value.starts_with(['1', 'y', 'Y', 't', 'T'])
        || value.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("on"))
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "the kernel of Talos {version} enforces signatures"),
            Self::Config => f.write_str("the kernel is built to enforce signatures"),
            Self::Argument(argument) => write!(f, "`{argument}` enforces signatures"),
            Self::Nothing => f.write_str("signatures are not enforced"),
            Self::NotBuilt => f.write_str("the kernel does not look at signatures"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version::new(1, 11, 3);
    const NEW: Version = Version::new(1, 12, 0);
    const LAX: Option<SignatureConfig> = Some(SignatureConfig { looks: true, forces: false });

    #[test]
    fn the_configuration_decides_where_it_is_known() {
        let forced = Some(SignatureConfig { looks: true, forces: true });
        assert_eq!(Enforcement::of(forced, &NEW, Some("")), Enforcement::Config);
        let none = Some(SignatureConfig { looks: false, forces: false });
        assert_eq!(Enforcement::of(none, &OLD, Some("module.sig_enforce=1")), Enforcement::NotBuilt);
        assert_eq!(Enforcement::of(LAX, &OLD, Some("")), Enforcement::Nothing);
        assert_eq!(Enforcement::of(LAX, &OLD, None), Enforcement::Nothing);
        assert!(!Enforcement::of(LAX, &OLD, None).is_on() && !Enforcement::of(none, &OLD, None).is_on());
    }

    #[test]
    fn before_1_12_it_is_the_version_and_then_the_command_line() {
        assert_eq!(Enforcement::of(None, &OLD, Some("")), Enforcement::Version("v1.11.3".to_owned()));
        assert_eq!(Enforcement::of(None, &NEW, Some("quiet")), Enforcement::Nothing);
        for config in [None, LAX] {
            assert!(Enforcement::of(config, &NEW, None).is_on(), "it is there by default");
        }
    }

    #[test]
    fn arguments_are_taken_as_the_kernel_takes_them() {
        for (line, on) in [
            ("a module.sig_enforce=1 b", true),
            ("module.sig-enforce=on", true),
            ("module.sig_enforce", true),
            ("module.sig_enforce=Yes", true),
            ("module.sig_enforce=0", false),
            ("module.sig_enforce=of", false),
            ("module.sig_enforce=1 module.sig_enforce=0", true),
            ("lockdown=confidentiality", true),
            ("lockdown=integrity", true),
            ("lockdown=none", false),
            ("xmodule.sig_enforce=1", false),
        ] {
            assert_eq!(Enforcement::of(None, &NEW, Some(line)).is_on(), on, "{line}");
        }
    }
}
