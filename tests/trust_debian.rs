//! Debian's kernels and all their modules, of two architectures: what is believed, what is found in the kernel,
//! and what each mishap to a module is called.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/der.rs"]
mod der;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/kernels.rs"]
mod kernels;
#[path = "support/modules.rs"]
mod modules;
#[path = "support/signing.rs"]
mod signing;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use judge::judge;
use kernels::Debian;
use signing::{Openssl, Signer, append, flipped, issuer_and_serial, message, parts};
use talosmith::archive::{Entry, Tree};
use talosmith::base::{Content, Workers};
use talosmith::check::kernel::{self, KernelInput};
use talosmith::check::{self, Severity};
use talosmith::kmod::depmod::{KernelSymbols, Options, Search, depmod};
use talosmith::kmod::{Elf, Machine, Verdict};
use talosmith::pki::TrustedKeys;
use talosmith::plan::tree_input::TreeInput;
use talosmith::talos::Enforcement;

fn tree_of(debian: &Debian) -> Tree {
    let mut input = TreeInput::default();
    input.add_directory(&debian.modules, "").unwrap();
    input.tree
}

/// A kernel with what it trusts and holds modules against.
struct Ground {
    machine: Machine,
    vermagic: String,
    keys: TrustedKeys,
    symbols: KernelSymbols,
}

impl Ground {
    fn of(debian: &Debian) -> Self {
        let exports = debian.kernel.exports.as_ref().unwrap();
        Self {
            machine: Machine::of_architecture(debian.architecture).unwrap(),
            vermagic: debian.kernel.vermagic.clone().unwrap(),
            keys: debian.kernel.keys.clone(),
            symbols: KernelSymbols::new(exports.iter().map(|one| (one.name.as_str(), one.crc))),
        }
    }

    /// All that is found wrong with modules: codes and paths.
    fn findings(&self, tree: &Tree) -> Vec<(String, String)> {
        let workers = Workers::default();
        let read = kernel::read(tree, "", &self.keys, &workers).unwrap();
        let input = KernelInput {
            machine: self.machine,
            vermagic: Some(&self.vermagic),
            keys: &self.keys,
            enforcement: &Enforcement::Config,
        };
        let options = Options {
            search: Search::talos(),
            kernel: Some(&self.symbols),
            of_kernel: None,
            workers: &workers,
        };
        let issues = depmod(tree, &options).unwrap().issues;
        let mut findings = kernel::modules(&read, &input);
        findings.extend(check::depmod::report(&issues).findings().to_vec());
        findings
            .into_iter()
            .map(|finding| {
                assert_eq!(finding.severity, Severity::Error, "{finding:?}");
                (finding.code.to_string(), finding.path.unwrap_or_default())
            })
            .collect()
    }
}

#[test]
fn every_module_verifies_against_its_own_kernel_and_none_against_the_others() {
    let kernels = Debian::all();
    for debian in &kernels {
        let (tree, workers) = (tree_of(debian), Workers::default());
        let keys = &debian.kernel.keys;
        let modules = kernel::read(&tree, "", keys, &workers).unwrap();
        assert_eq!(modules.len(), modules::modules(&debian.modules).len());
        for module in &modules {
            assert!(
                matches!(module.verdict, Verdict::Trusted { .. }),
                "{}: {:?}",
                module.path,
                module.verdict
            );
        }
        for other in kernels.iter().filter(|other| other.architecture != debian.architecture) {
            for module in kernel::read(&tree, "", &other.kernel.keys, &workers).unwrap() {
                assert!(!module.verdict.is_taken(true), "{}: {:?}", module.path, module.verdict);
            }
        }
    }
}

#[test]
fn the_symbols_in_a_kernel_are_those_that_its_build_listed() {
    for debian in Debian::all() {
        let Some(symvers) = debian.symvers() else { continue };
        // `crc name exporter …`
        let listed: BTreeMap<&str, u32> = symvers
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|words| words[2] == "vmlinux")
            .map(|words| (words[1], u32::from_str_radix(words[0].trim_start_matches("0x"), 16).unwrap()))
            .collect();
        let exports = debian.kernel.exports.as_ref().unwrap();
        let found: BTreeMap<&str, u32> =
            exports.iter().map(|one| (one.name.as_str(), one.crc.unwrap())).collect();
        assert_eq!(found.len(), exports.len(), "{}: a name stands twice", debian.architecture);
        let only = |these: &BTreeMap<&str, u32>, those: &BTreeMap<&str, u32>| -> Vec<String> {
            let others = these.iter().filter(|(name, crc)| those.get(*name) != Some(crc));
            others.map(|(name, crc)| format!("{name} {crc:#010x}")).take(10).collect()
        };
        let none: [String; 0] = [];
        assert_eq!(only(&found, &listed), none, "{}: not listed", debian.architecture);
        assert_eq!(only(&listed, &found), none, "{}: not found", debian.architecture);
        assert!(found.len() > 5000, "{}: {} symbols", debian.architecture, found.len());
    }
}

#[test]
fn nothing_is_found_wrong_with_a_kernels_own_modules() {
    for debian in Debian::all() {
        assert_eq!(Ground::of(debian).findings(&tree_of(debian)), [], "{}", debian.architecture);
    }
}

/// A kernel image as Talos' have it, of links to a kernel's files.
fn image_of(debian: &Debian) -> tempfile::TempDir {
    let image = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let linked = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        // Across file systems there are no links.
        std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(drop)).unwrap();
    };
    linked(&debian.image, &image.path().join("boot/vmlinuz"));
    let folder = image.path().join("usr/lib/modules").join(&debian.kernel.release);
    let lists = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];
    let lists = lists.map(|name| debian.modules.join(name));
    for path in modules::modules(&debian.modules).iter().chain(&lists) {
        linked(path, &folder.join(path.strip_prefix(&debian.modules).unwrap()));
    }
    image
}

#[test]
fn the_command_finds_nothing_wrong_with_a_whole_kernel_image() {
    for debian in Debian::all() {
        let (image, world) = (image_of(debian), tempfile::tempdir().unwrap());
        let output = Command::new(env!("CARGO_BIN_EXE_talosmith"))
            .arg("check")
            .arg(format!("dir:{}", image.path().display()))
            .env_clear()
            .env("HOME", world.path())
            .env("XDG_CACHE_HOME", world.path().join("cache"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("kernel, 0 errors, 0 warnings"), "{said}");
        assert!(
            said.contains(&format!("kernel {} for {}", debian.kernel.release, debian.architecture)),
            "{said}"
        );
    }
}

/// The module that things happen to, and those that it needs.
const MODULE: &str = "kernel/drivers/net/vxlan/vxlan.ko";
const NEEDED: [&str; 2] = ["kernel/net/ipv4/udp_tunnel.ko", "kernel/net/ipv6/ip6_udp_tunnel.ko"];

/// A few of a kernel's modules, in memory.
fn few(debian: &Debian) -> BTreeMap<String, Vec<u8>> {
    let all = [&NEEDED[..], &[MODULE]].concat();
    all.iter().map(|path| ((*path).to_owned(), std::fs::read(debian.modules.join(path)).unwrap())).collect()
}

fn tree(files: &BTreeMap<String, Vec<u8>>) -> Tree {
    let mut tree = Tree::new();
    for (path, bytes) in files {
        tree.insert(path, Entry::file(0o644, Content::memory(bytes.as_slice()))).unwrap();
    }
    tree
}

/// Runs the rules on the few modules after something happened to one of them, and compares what they find.
fn happens(
    ground: &Ground,
    files: &BTreeMap<String, Vec<u8>>,
    what: impl FnOnce(&mut Vec<u8>),
    expected: &[(&str, &str)],
) {
    let mut files = files.clone();
    what(files.get_mut(MODULE).unwrap());
    expect(ground, &files, expected);
}

fn expect(ground: &Ground, files: &BTreeMap<String, Vec<u8>>, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|(code, path)| ((*code).to_owned(), (*path).to_owned())).collect();
    assert_eq!(ground.findings(&tree(files)), expected);
}

/// Where the bytes of a section begin.
fn section(module: &[u8], name: &str) -> usize {
    let elf = Elf::open(&Content::memory(module), parts(module).0.len() as u64).unwrap();
    elf.section(name).unwrap().offset as usize
}

#[test]
fn each_mishap_of_a_module_gives_its_finding_and_no_other() {
    for debian in Debian::all() {
        let (ground, files) = (Ground::of(debian), few(debian));
        happens(&ground, &files, |_| {}, &[]);
        let text = section(&files[MODULE], ".text");
        happens(&ground, &files, |bytes| bytes[text + 5] ^= 1, &[("TS0602", MODULE)]);
        // Within the signature, and within the name of the signer.
        let end = files[MODULE].len();
        happens(&ground, &files, |bytes| bytes[end - 60] ^= 1, &[("TS0602", MODULE)]);
        // Without its end, which is what `strip` leaves.
        let content = parts(&files[MODULE]).0.len();
        happens(&ground, &files, |bytes| bytes.truncate(content), &[("TS0206", MODULE)]);
        happens(&ground, &files, |bytes| bytes.truncate(end - 1), &[("TS0207", MODULE)]);
        happens(&ground, &files, |bytes| bytes.push(b'\n'), &[("TS0207", MODULE)]);
        // Another module's signature.
        let (_, foreign) = parts(&files[NEEDED[0]]);
        happens(&ground, &files, |bytes| *bytes = append(&bytes[..content], foreign), &[("TS0602", MODULE)]);
        // A module that it needs is not there, nor are that one's symbols.
        let mut fewer = files.clone();
        fewer.remove(NEEDED[0]);
        expect(&ground, &fewer, &[("TS0212", MODULE)]);
        // The kernel has one of its name.
        let mut built_in = files.clone();
        built_in.insert("modules.builtin".to_owned(), format!("{MODULE}\n").into_bytes());
        expect(&ground, &built_in, &[("TS0213", MODULE)]);
    }
}

#[test]
fn a_stripped_module_is_one_without_a_signature() {
    let Some(strip) = judge("objcopy") else { return };
    // The program of a machine knows its own modules only.
    let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let Some(debian) = Debian::of(own) else { return };
    let (ground, files) = (Ground::of(debian), few(debian));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ko");
    std::fs::write(&file, &files[MODULE]).unwrap();
    let output = Command::new(strip).arg("--strip-debug").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stripped = std::fs::read(&file).unwrap();
    happens(&ground, &files, |bytes| *bytes = stripped, &[("TS0206", MODULE)]);
}

/// A signature of a module in another one's name: with the identity of a certificate's issuer, and of its
/// number or of another.
fn signed_as(openssl: &Openssl, signer: &Signer, as_who: &[u8], own_number: bool, content: &[u8]) -> Vec<u8> {
    let file = openssl.write("content", content);
    let [key, file] = [&signer.key, &file].map(|path| path.to_str().unwrap());
    let signature = openssl.ok(&["dgst", "-sha256", "-sign", key, file]);
    let [issuer, mut serial] = issuer_and_serial(as_who);
    if !own_number {
        serial = der::Node::bytes(2, [0x77, 1, 2, 3]);
    }
    let sha256 = [der::Node::bytes(6, [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1])];
    let rsa = [der::Node::bytes(6, [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), der::Node::bytes(5, [])];
    append(content, &message([issuer, serial], &sha256, &rsa, &signature))
}

#[test]
fn a_module_signed_again_by_a_key_of_the_same_name_is_told_by_its_number_or_its_signature() {
    let Some(openssl) = Openssl::new() else { return };
    let signer = openssl.signer("other", &["rsa:2048"]);
    for debian in Debian::all() {
        let (ground, files) = (Ground::of(debian), few(debian));
        let own = debian.kernel.keys.certificates()[0].der();
        let content = parts(&files[MODULE]).0;
        for (own_number, code) in [(false, "TS0601"), (true, "TS0602")] {
            let signed = signed_as(&openssl, &signer, own, own_number, content);
            happens(&ground, &files, |bytes| *bytes = signed, &[(code, MODULE)]);
        }
    }
}

/// The module with some bytes of its content changed for others, signed by `signer`.
fn changed(openssl: &Openssl, signer: &Signer, module: &[u8], changes: &[(&str, &str)]) -> Vec<u8> {
    let mut content = parts(module).0.to_vec();
    for (from, to) in changes {
        assert_eq!(from.len(), to.len());
        let at = content.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        content[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let message = openssl.sign(signer, "sha512", false, &content);
    append(&content, &message)
}

#[test]
fn a_module_for_another_kernel_is_found_out_as_the_kernel_does_it_though_it_is_signed_right() {
    let Some(openssl) = Openssl::new() else { return };
    let signer = openssl.signer("own", &["rsa:2048"]);
    for debian in Debian::all() {
        let (mut ground, files) = (Ground::of(debian), few(debian));
        let certificates = ground.keys.certificates().iter().cloned().chain([signer.certificate()]);
        ground.keys = TrustedKeys::new(certificates.collect());
        let module = files[MODULE].as_slice();
        let with = |changes: &[(&str, &str)]| changed(&openssl, &signer, module, changes);
        let release = (
            &*format!("vermagic={}", debian.kernel.release),
            ["vermagic=9", &debian.kernel.release[1..]].concat(),
        );
        let release = (release.0, release.1.as_str());
        let expect = |bytes: Vec<u8>, expected: &[(&str, &str)]| {
            happens(&ground, &files, |own| *own = bytes, expected);
        };
        expect(with(&[]), &[]);
        // With versions of symbols the release is not compared, and without them it is.
        expect(with(&[release]), &[]);
        let unversioned = ("\0__versions\0", "\0__Versions\0");
        expect(with(&[unversioned]), &[]);
        expect(with(&[release, unversioned]), &[("TS0604", MODULE)]);
        expect(with(&[(" SMP ", " UMP ")]), &[("TS0604", MODULE)]);
        expect(with(&[("vermagic=", "vermagIc=")]), &[("TS0604", MODULE)]);
        // Another version of one symbol: the CRC stands before the name.
        let at = section(module, "__versions");
        let crc = &module[at..at + 4];
        let mut content = parts(module).0.to_vec();
        content[at..at + 4].copy_from_slice(&flipped(crc, 0));
        let message = openssl.sign(&signer, "sha512", false, &content);
        expect(append(&content, &message), &[("TS0211", MODULE)]);
        // A symbol that nobody has, in both places that name it.
        let name = "register_netdevice";
        let mut content = parts(module).0.to_vec();
        let places: Vec<usize> = content
            .windows(name.len() + 2)
            .enumerate()
            .filter(|(_, window)| {
                window[0] == 0 && window[name.len() + 1] == 0 && &window[1..=name.len()] == name.as_bytes()
            })
            .map(|(at, _)| at + 1)
            .collect();
        assert!(!places.is_empty());
        places.iter().for_each(|at| content[*at] = b'q');
        let message = openssl.sign(&signer, "sha512", false, &content);
        expect(append(&content, &message), &[("TS0210", MODULE)]);
    }
}
