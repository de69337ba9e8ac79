//! The table of all rules. The list that the command line prints, the table of the README and the
//! codes in results come from here.
//!
//! A code is never given to another rule, and a rule that goes leaves its code unused: scripts name
//! them. The hundreds tell the room: 01 files of an extension, 02 kernel modules, 03 the manifest,
//! 04 service specifications, 05 what an installer is made of, 06 what the kernel makes of modules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::finding::Severity;
use crate::base::suggest::nearest;

/// One rule of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its code, such as `TS0101`.
    pub code: Code,
    /// Its name, such as `unexpected-entry`.
    pub name: &'static str,
    /// How grave a finding is, unless the finding itself says otherwise.
    pub severity: Severity,
    /// What is found.
    pub title: &'static str,
    /// What it protects from, in one sentence.
    pub protects: &'static str,
    /// The first version of this program that has it.
    pub since: &'static str,
    #[serde(skip)]
    text: &'static str,
}

/// Makes the enum and the table from one list, so that neither can lack an entry of the other, and
/// both have one order.
macro_rules! table {
    ($($variant:ident: $text:literal $name:literal $severity:ident since $since:literal
       $title:literal $protects:literal)*) => {
        /// The code of a rule. In results it is written as `TS0101`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        static RULES: &[Rule] = &[$(Rule {
            code: Code::$variant,
            name: $name,
            severity: Severity::$severity,
            title: $title,
            protects: $protects,
            since: $since,
            text: $text,
        },)*];
    };
}

table! {
    UnexpectedEntry: "TS0101" "unexpected-entry" Error since "0.1.0"
        "something other than `manifest.yaml` and `rootfs/` at the top level"
        "Talos refuses the image with `unexpected file`."
    NoRootfs: "TS0102" "no-rootfs" Error since "0.1.0"
        "no directory `rootfs/`"
        "Talos finds no files of the extension."
    EmptyRootfs: "TS0103" "empty-rootfs" Warning since "0.1.0"
        "no file below `rootfs/`"
        "The extension installs but does nothing, mostly because a copy step matched no files."
    PathNotAllowed: "TS0104" "path-not-allowed" Error since "0.1.0"
        "a file where this Talos version does not want files of extensions"
        "The extension would replace files of Talos itself, or the installer refuses it."
    WorldWritable: "TS0105" "world-writable" Error since "0.1.0"
        "a file or directory that everyone may write"
        "Any process of the host may change what privileged ones run."
    SetId: "TS0106" "set-id" Warning since "0.1.0"
        "a set-uid or set-gid file"
        "Whoever runs the file gets the rights of its owner."
    SpecialFile: "TS0107" "special-file" Error since "0.1.0"
        "a device or a fifo"
        "The imager turns it into a regular file."
    SymlinkLeaves: "TS0108" "symlink-leaves" Error since "0.1.0"
        "a symlink that leads out of the root file system"
        "Unpacking the image may write files elsewhere on the build host."
    SymlinkDangling: "TS0109" "symlink-dangling" Info since "0.1.0"
        "a symlink whose target is not in the extension"
        "A misspelt target shows only at run time; it is right if Talos or another extension has it."
    HardLink: "TS0110" "hard-link" Error since "0.1.0"
        "a hard link"
        "The imager makes an empty file of it."
    PathTwice: "TS0111" "path-twice" Error since "0.1.0"
        "a path that stands twice in the image"
        "The imager stops at the second one."
    CaseCollision: "TS0112" "case-collision" Info since "0.1.0"
        "names that differ in upper and lower case only"
        "One is lost where the image is unpacked without telling case apart; Linux has modules that differ so."
    ModuleInvalid: "TS0201" "module-invalid" Error since "0.1.0"
        "a kernel module that is none"
        "The kernel refuses to load it."
    ModuleMachine: "TS0202" "module-machine" Error since "0.1.0"
        "a kernel module for another machine than the image's platform"
        "The kernel refuses to load it with `Exec format error`."
    ModuleCompressed: "TS0203" "module-compressed" Error since "0.1.0"
        "a compressed kernel module"
        "The loader of Talos cannot load it."
    ModuleReleases: "TS0204" "module-releases" Warning since "0.1.0"
        "kernel modules for several releases in one extension"
        "A kernel finds the modules of its own release only; the others are dead weight, or a mistake."
    ModuleVermagic: "TS0205" "module-vermagic" Error since "0.1.0"
        "a kernel module built for another release than its directory's"
        "The kernel refuses to load it with `Exec format error` unless both have symbol versions."
    ModuleUnsigned: "TS0206" "module-unsigned" Warning since "0.1.0"
        "a kernel module without a signature"
        "A kernel that enforces signatures, as Talos' does by default, refuses it."
    ModuleSignatureLost: "TS0207" "module-signature-lost" Warning since "0.1.0"
        "a kernel module whose signature was damaged"
        "The module was signed, but the kernel takes it for unsigned or refuses it."
    ModuleMisplaced: "TS0208" "module-misplaced" Warning since "0.1.0"
        "a kernel module outside the directories of releases"
        "The kernel's loader does not find it."
    ModuleLoop: "TS0209" "module-loop" Error since "0.1.0"
        "kernel modules that need one another"
        "None of them can be loaded, and `depmod` writes no index for any module."
    ModuleSymbol: "TS0210" "module-symbol" Error since "0.1.0"
        "a kernel module that needs a symbol which nothing exports"
        "The kernel refuses to load it with `Unknown symbol`."
    ModuleSymbolVersion: "TS0211" "module-symbol-version" Error since "0.1.0"
        "a kernel module built for another version of a symbol than its exporter has"
        "The kernel refuses to load it with `disagrees about version of symbol`."
    ModuleDependency: "TS0212" "module-dependency" Error since "0.1.0"
        "a kernel module that needs a module which is not there"
        "The kernel refuses to load it with `Unknown symbol`."
    ModuleBuiltIn: "TS0213" "module-built-in" Error since "0.1.0"
        "a kernel module of the name of one that the kernel has built in"
        "The loader takes it for loaded and never loads this one."
    ModuleHidden: "TS0214" "module-hidden" Info since "0.1.0"
        "a kernel module that another of the same name hides"
        "Only one of them is loaded; it should be the one that was meant."
    ModuleNotIndexed: "TS0215" "module-not-indexed" Warning since "0.1.0"
        "a module's name or alias that the index cannot hold"
        "Nothing loads the module by it."
    ManifestMissing: "TS0301" "manifest-missing" Error since "0.1.0"
        "no file `manifest.yaml`"
        "Talos does not take the image for an extension."
    ManifestInvalid: "TS0302" "manifest-invalid" Error since "0.1.0"
        "a manifest that is no YAML, or has a value of a wrong type"
        "Talos cannot read it and refuses the image."
    ManifestVersion: "TS0303" "manifest-version" Error since "0.1.0"
        "a manifest whose `version` is not `v1alpha1`"
        "Talos refuses every other version."
    ConstraintInvalid: "TS0304" "constraint-invalid" Error since "0.1.0"
        "a version constraint that cannot be parsed"
        "Talos cannot read it and refuses the image."
    ConstraintExcludes: "TS0305" "constraint-excludes" Error since "0.1.0"
        "a version constraint that excludes the Talos version"
        "The installer of that version refuses the extension."
    ManifestName: "TS0306" "manifest-name" Warning since "0.1.0"
        "a manifest without `metadata.name`"
        "The extension cannot be told from others in the list of a running machine."
    ManifestUnknownKey: "TS0307" "manifest-unknown-key" Warning since "0.1.0"
        "a key in the manifest that Talos does not know"
        "Talos ignores it silently, so a misspelt key has no effect."
    ManifestVersionShape: "TS0308" "manifest-version-shape" Warning since "0.1.0"
        "a `metadata.version` of an unusual shape"
        "The validator of the official extensions refuses it."
    ServiceInvalid: "TS0401" "service-invalid" Error since "0.1.0"
        "a service specification that Talos does not take"
        "The service does not start."
    ServiceUnknownKey: "TS0402" "service-unknown-key" Warning since "0.1.0"
        "a key in a service specification that Talos does not know"
        "Talos ignores it silently, so a misspelt key has no effect."
    BaseKind: "TS0501" "base-kind" Error since "0.1.0"
        "a base that is no `installer-base` image"
        "The installer it makes may not install, or carries what no node needs."
    ImagerVersion: "TS0502" "imager-version" Warning since "0.1.0"
        "boot assets of another Talos version than the installer is made for"
        "Kernel arguments and layout are those of a version that does not boot."
    ExtensionTwice: "TS0503" "extension-twice" Error since "0.1.0"
        "the same extension twice"
        "One of two was meant to be another one."
    PathInTwoExtensions: "TS0504" "path-in-two-extensions" Warning since "0.1.0"
        "a file that two extensions have"
        "The later one hides the other's file without a word."
    ModulesOfAnotherRelease: "TS0505" "modules-of-another-release" Error since "0.1.0"
        "an extension's modules for another kernel than the installer's"
        "The kernel never looks for them, and nothing at boot says so."
    ExtensionOrder: "TS0506" "extension-order" Warning since "0.1.0"
        "more than ten extensions under upstream's names"
        "Layers sort by name, so a file of the last one may be hidden by one before it."
    CodecNotInKernel: "TS0507" "codec-not-in-kernel" Error since "0.1.0"
        "an initramfs or a layer that this kernel has no decompressor for"
        "The kernel passes over the initramfs, or Talos' init stops at the layer."
    LayerList: "TS0508" "layer-list" Error since "0.1.0"
        "a layer that is not listed in `extensions.yaml`, or is listed and not there"
        "Talos' init stops, or the layer is never mounted."
    ModuleNotFound: "TS0509" "module-not-found" Error since "0.1.0"
        "an extension's module that the installer's index of modules does not have"
        "The loader says `module not found`, though the file is there."
    ModuleKey: "TS0601" "module-key" Error since "0.1.0"
        "a kernel module signed by a key that the kernel does not have"
        "A kernel that enforces signatures refuses it with `Loading of module with unavailable key is rejected`."
    ModuleSignature: "TS0602" "module-signature" Error since "0.1.0"
        "a kernel module whose signature is not right"
        "The kernel always refuses it, and says nothing: the loader alone has `Key was rejected by service`."
    ModuleSignatureUnknown: "TS0603" "module-signature-unknown" Warning since "0.1.0"
        "a signature made in a way that is not verified here"
        "The kernel may not know it either, and then takes the module for unsigned."
    VersionMagic: "TS0604" "version-magic" Error since "0.1.0"
        "a kernel module built for a kernel with other features"
        "The kernel refuses to load it with `Exec format error`."
    SoftDependency: "TS0605" "soft-dependency" Info since "0.1.0"
        "a module that another would like to have loaded, and that is nowhere"
        "The module loads, and may not do all that it can."
    FirmwareMissing: "TS0606" "firmware-missing" Info since "0.1.0"
        "firmware that a module may ask for, and that is nowhere"
        "The device may not work, and the kernel's log alone says why."
    NotEnforced: "TS0607" "not-enforced" Info since "0.1.0"
        "a machine that loads kernel modules whoever signed them"
        "Signatures are then no protection; what would be refused elsewhere is a warning here."
}

/// All rules, in the order of their codes.
pub fn rules() -> &'static [Rule] {
    RULES
}

/// The table of all rules in Markdown.
pub fn table_markdown() -> String {
    let mut table = String::from(
        "| code | name | severity | finds | protects from | since |\n|---|---|---|---|---|---|\n",
    );
    for Rule { code, name, severity, title, protects, since, .. } in RULES {
        table += &format!("| {code} | `{name}` | {severity} | {title} | {protects} | {since} |\n");
    }
    table
}

impl Code {
    /// The rule.
    pub fn rule(self) -> &'static Rule {
        &RULES[self as usize] // one macro made both, in one order
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.rule().text)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.rule().text)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text is neither a code nor a name of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule `{text}`")]
pub struct NoSuchRule {
    /// The text.
    pub text: String,
    /// The name that was probably meant.
    pub nearest: Option<&'static str>,
}

impl FromStr for Code {
    type Err = NoSuchRule;

    /// Takes the code and the name.
    fn from_str(text: &str) -> Result<Self, NoSuchRule> {
        let rule = RULES.iter().find(|rule| rule.text == text || rule.name == text);
        rule.map(|rule| rule.code).ok_or_else(|| NoSuchRule {
            text: text.to_owned(),
            nearest: nearest(text, RULES.iter().map(|rule| rule.name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_in_order_and_well_formed() {
        assert!(RULES.windows(2).all(|pair| pair[0].text < pair[1].text), "codes ascend");
        for rule in RULES {
            assert_eq!(rule.code.rule(), rule);
            let digits = rule.text.strip_prefix("TS").unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{}", rule.text);
            assert!(rule.name.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()), "{}", rule.name);
            assert_eq!(RULES.iter().filter(|other| other.name == rule.name).count(), 1, "{}", rule.name);
            assert!(rule.protects.ends_with('.') && !rule.title.ends_with('.'), "{}", rule.text);
            assert!(
                !rule.title.contains('|') && !rule.protects.contains('|'),
                "{}: breaks the table",
                rule.text
            );
        }
    }

    #[test]
    fn a_rule_is_named_by_code_or_name() {
        assert_eq!("TS0110".parse(), Ok(Code::HardLink));
        assert_eq!("hard-link".parse(), Ok(Code::HardLink));
        let error = "hard-lnik".parse::<Code>().unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.nearest),
            ("there is no rule `hard-lnik`", Some("hard-link"))
        );
    }

    #[test]
    fn the_markdown_table_has_a_line_for_every_rule() {
        let table = table_markdown();
        assert_eq!(table.lines().count(), RULES.len() + 2);
        assert!(table.lines().all(|line| line.matches('|').count() == 7));
        assert!(
            table.contains("\n| TS0110 | `hard-link` | error | a hard link | The imager makes an"),
            "{table}"
        );
    }
}
