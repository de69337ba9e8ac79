//! Rules for what an installer is made of, before anything of it is made.

use std::collections::BTreeMap;

use super::finding::{Finding, Report, Severity};
use super::rules::Code;
use crate::archive::Tree;
use crate::base::Digest;
use crate::base::units::count;
use crate::talos::extension::{modules_dir, releases};
use crate::talos::kind::Kind;
use crate::talos::version::{Tag, Version};

/// How many paths of two extensions are named before the rest is counted.
const NAMED_PATHS: usize = 3;
/// With so many extensions upstream's names sort by number: `10.sqsh` comes before `2.sqsh`.
const MANY: usize = 10;

/// An extension that goes into the installer.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// As the user named it.
    pub reference: &'a str,
    /// The name in its manifest.
    pub name: &'a str,
    /// What tells its files from others.
    pub key: Digest,
    /// Its root file system.
    pub rootfs: &'a Tree,
}

/// Codecs, by their names.
#[derive(Debug, Clone, Copy)]
pub struct Codecs<'a> {
    /// Those of the initramfs' segments.
    pub initramfs: &'a [String],
    /// Those of the squashfs images in it.
    pub squashfs: &'a [String],
    /// Those that the kernel unpacks an initramfs from.
    pub kernel_initramfs: &'a [String],
    /// Those that it mounts squashfs images in.
    pub kernel_squashfs: &'a [String],
}

/// The parts of an installer for one platform.
#[derive(Debug, Clone, Copy)]
pub struct InstallerInput<'a> {
    /// The version to judge for.
    pub talos: &'a Tag,
    /// The version that the imager says it is of.
    pub imager: Option<&'a str>,
    /// The kernel's release, where a kernel is looked at.
    pub release: Option<&'a str>,
    /// What has to be decompressed at boot, and what the kernel was built with, if it says.
    pub codecs: Option<Codecs<'a>>,
    /// The base: how the user named it, and what it is. `None` where no image is made.
    pub base: Option<(&'a str, Kind)>,
    /// The extensions in order; the last lies on top.
    pub extensions: &'a [Member<'a>],
    /// Whether layers are named as upstream names them, whose order by name is another one beyond ten.
    pub upstream_names: bool,
}

/// Runs every rule.
pub fn installer(input: &InstallerInput<'_>) -> Report {
    let version = input.talos.version();
    let mut findings = Vec::new();
    findings.extend(input.base.and_then(|(reference, kind)| base(reference, kind)));
    findings.extend(other_version(input));
    findings.extend(twice(input.extensions));
    findings.extend(same_paths(input.extensions));
    findings.extend(input.extensions.iter().filter_map(|one| {
        let mut finding = other_release(one.name, one.rootfs, input.release?, &version)?;
        finding.image = Some(one.reference.to_owned());
        Some(finding)
    }));
    findings.extend(order(input));
    findings.extend(input.codecs.iter().flat_map(codecs));
    Report::new(findings)
}

/// An installer's base starts `/bin/installer`.
fn base(reference: &str, kind: Kind) -> Option<Finding> {
    if matches!(kind, Kind::InstallerBase | Kind::Installer) {
        return None;
    }
    let finding = Finding::new(Code::BaseKind, format!("the base `{reference}` is {}", kind.described()))
        .expected(Kind::InstallerBase.described(), kind.described());
    Some(match kind {
        Kind::Imager => finding.hint(
            "give the imager as `--imager`; the base is `installer-base` (before Talos 1.10 `installer`). As a base \
             it carries several hundred MB of tools into every node, and upgrades were seen to fail \
             (siderolabs/talos#11426)",
        ),
        _ => finding.hint("the base is `installer-base` of the same Talos version"),
    })
}

/// Boot assets of another version than the one that everything is made for.
fn other_version(input: &InstallerInput<'_>) -> Option<Finding> {
    let imager = input.imager.filter(|imager| Tag::new(imager).version() != input.talos.version())?;
    let message =
        format!("the imager is of Talos {imager}, and the installer is made for {}", input.talos.as_str());
    Some(
        Finding::new(Code::ImagerVersion, message)
            .expected(input.talos.as_str(), imager)
            .hint("leave out `--talos`: the imager's label says its version"),
    )
}

/// The same extension twice is a mistake; two of one name may be meant.
fn twice(extensions: &[Member<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, one) in extensions.iter().enumerate() {
        let before = extensions.get(..index).unwrap_or_default();
        if let Some(first) = before.iter().find(|first| first.key == one.key && first.name == one.name) {
            let message = format!("extension `{}` is given twice", one.name);
            let mut finding = Finding::new(Code::ExtensionTwice, message);
            if first.reference != one.reference {
                finding = finding.hint(format!("`{}` and `{}` are the same", first.reference, one.reference));
            }
            findings.push(finding);
        } else if let Some(first) = before.iter().find(|first| first.name == one.name) {
            let message = format!(
                "two extensions are named `{}`: `{}` and `{}`",
                one.name, first.reference, one.reference
            );
            findings.push(Finding::new(Code::ExtensionTwice, message).severity(Severity::Warning));
        }
    }
    findings
}

/// Files that two extensions have: the later lies on top.
fn same_paths(extensions: &[Member<'_>]) -> Vec<Finding> {
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pairs: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    for (index, one) in extensions.iter().enumerate() {
        for (path, _) in one.rootfs.iter().filter(|(_, entry)| !entry.is_directory()) {
            let first = owners.insert(path, index);
            // The same extension twice has a finding of its own.
            let other = |first: &usize| extensions.get(*first).is_some_and(|first| first.key != one.key);
            if let Some(first) = first.filter(other) {
                pairs.entry((first, index)).or_default().push(path);
            }
        }
    }
    let name = |index: usize| extensions.get(index).map_or("", |one| one.name);
    let finding = |((first, second), paths): (&(usize, usize), &Vec<&str>)| {
        let named: Vec<String> = paths.iter().take(NAMED_PATHS).map(|path| format!("`/{path}`")).collect();
        let more = paths.len() - named.len();
        let more = if more == 0 { String::new() } else { format!(" and {} more", count(more, "path")) };
        let (first, second) = (name(*first), name(*second));
        Finding::new(
            Code::PathInTwoExtensions,
            format!("extensions `{first}` and `{second}` both have {}{more}", named.join(", ")),
        )
        .hint(format!("`{second}` is given later, so its files win"))
    };
    pairs.iter().map(finding).collect()
}

/// Modules that this kernel will never look for, in the root file system of an extension.
pub fn other_release(name: &str, rootfs: &Tree, release: &str, version: &Version) -> Option<Finding> {
    let folder = modules_dir(version);
    let releases = releases(rootfs, folder);
    if releases.is_empty() || releases.iter().any(|own| own == release) {
        return None;
    }
    let message = format!("the modules of extension `{name}` are for another kernel");
    Some(
        Finding::new(Code::ModulesOfAnotherRelease, message)
            .at(format!("rootfs/{folder}"))
            .expected(release, releases.join(", "))
            .hint(format!(
                "the kernel looks only in `/{folder}/{release}`: use the extension that was built with this kernel"
            )),
    )
}

/// Upstream's names beyond ten.
fn order(input: &InstallerInput<'_>) -> Option<Finding> {
    let many = input.upstream_names && input.extensions.len() > MANY;
    many.then(|| {
        Finding::new(
            Code::ExtensionOrder,
            format!(
                "the {} extensions are not layered in the order given: 0, 1, 10, 11, 2 …",
                input.extensions.len()
            ),
        )
        .hint("`talosmith installer` keeps the order for any number")
    })
}

/// What the kernel has no decompressor for.
fn codecs(codecs: &Codecs<'_>) -> Vec<Finding> {
    let lacks = |what: &str, used: &[String], has: &[String]| -> Vec<Finding> {
        let missing = used.iter().filter(|codec| !has.contains(codec));
        let finding = |codec: &String| {
            Finding::new(Code::CodecNotInKernel, format!("the kernel cannot read {what} in {codec}"))
                .expected(has.join(", "), codec)
                .hint("its configuration says so; a kernel of the same Talos version as the boot assets can")
        };
        missing.map(finding).collect()
    };
    let mut findings = lacks("an initramfs", codecs.initramfs, codecs.kernel_initramfs);
    findings.extend(lacks("a squashfs image", codecs.squashfs, codecs.kernel_squashfs));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Entry;
    use crate::base::Content;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new();
        for path in paths {
            tree.insert(path, Entry::file(0o644, Content::memory(path.as_bytes()))).unwrap();
        }
        tree
    }

    fn member<'a>(name: &'a str, rootfs: &'a Tree, key: &str) -> Member<'a> {
        Member { reference: name, name, key: Digest::of(key.as_bytes()), rootfs }
    }

    fn judge(extensions: &[Member<'_>], change: impl Fn(&mut InstallerInput<'_>)) -> Vec<(Code, Severity)> {
        let talos = Tag::new("v1.11.3");
        let mut input = InstallerInput {
            talos: &talos,
            imager: Some("v1.11.3"),
            release: Some("6.12.0-talos"),
            codecs: None,
            base: Some(("base", Kind::InstallerBase)),
            extensions,
            upstream_names: false,
        };
        change(&mut input);
        installer(&input).findings().iter().map(|finding| (finding.code, finding.severity)).collect()
    }

    #[test]
    fn what_fits_together_passes() {
        let (one, two) = (tree(&["usr/lib/modules/6.12.0-talos/extras/a.ko"]), tree(&["usr/local/bin/b"]));
        let members = [member("a", &one, "1"), member("b", &two, "2")];
        assert_eq!(judge(&members, |_| {}), []);
        assert_eq!(judge(&members, |input| input.base = Some(("x", Kind::Installer))), []);
    }

    #[test]
    fn an_imager_is_no_base_and_boot_assets_are_of_one_version() {
        let found = judge(&[], |input| {
            input.base = Some(("x", Kind::Imager));
            input.imager = Some("v1.11.2");
        });
        assert_eq!(found, [(Code::BaseKind, Severity::Error), (Code::ImagerVersion, Severity::Warning)]);
        assert_eq!(judge(&[], |input| input.imager = Some("1.11.3")), []);
    }

    #[test]
    fn twice_the_same_is_an_error_and_twice_the_name_a_warning() {
        let (one, two) = (tree(&["usr/local/a"]), tree(&["usr/local/b"]));
        let same = judge(&[member("a", &one, "1"), member("a", &one, "1")], |_| {});
        assert_eq!(same, [(Code::ExtensionTwice, Severity::Error)]);
        let named = judge(&[member("a", &one, "1"), member("a", &two, "2")], |_| {});
        assert_eq!(named, [(Code::ExtensionTwice, Severity::Warning)]);
    }

    #[test]
    fn files_of_two_extensions_are_one_warning_that_says_who_wins() {
        let (one, two) = (tree(&["usr/local/a", "usr/local/b"]), tree(&["usr/local/b", "usr/local/c"]));
        let found = same_paths(&[member("first", &one, "1"), member("second", &two, "2")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "extensions `first` and `second` both have `/usr/local/b`");
        assert_eq!(found[0].hint.as_deref(), Some("`second` is given later, so its files win"));
    }

    #[test]
    fn modules_of_another_kernel_are_an_error_where_a_kernel_is_known() {
        let other = tree(&["usr/lib/modules/6.6.0-talos/extras/a.ko"]);
        let members = [member("a", &other, "1")];
        assert_eq!(judge(&members, |_| {}), [(Code::ModulesOfAnotherRelease, Severity::Error)]);
        assert_eq!(judge(&members, |input| input.release = None), []);
    }

    #[test]
    fn upstreams_names_lose_the_order_beyond_ten() {
        let trees: Vec<Tree> = (0..11).map(|n| tree(&[&format!("usr/local/{n}")])).collect();
        let names: Vec<String> = (0..11).map(|n| format!("e{n}")).collect();
        let members: Vec<_> = trees.iter().zip(&names).map(|(tree, name)| member(name, tree, name)).collect();
        let upstream = |input: &mut InstallerInput<'_>| input.upstream_names = true;
        assert_eq!(judge(&members, upstream), [(Code::ExtensionOrder, Severity::Warning)]);
        assert_eq!(judge(&members[..10], upstream), []);
        assert_eq!(judge(&members, |_| {}), []);
    }

    #[test]
    fn a_codec_that_the_kernel_lacks_is_an_error() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (gzip, zstd) = (names(&["gzip", "zstd"]), names(&["zstd"]));
        let of = |initramfs, squashfs| Codecs {
            initramfs,
            squashfs,
            kernel_initramfs: &zstd,
            kernel_squashfs: &zstd,
        };
        assert_eq!(codecs(&of(&zstd, &zstd)).len(), 0);
        assert_eq!(codecs(&of(&gzip, &zstd)).len(), 1);
        assert_eq!(codecs(&of(&zstd, &gzip)).len(), 1);
    }
}
