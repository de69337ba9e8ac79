//! What openssl and kmod make of modules' signatures, beside what is made of them here; and signatures of all
//! keys and hashes, by openssl and by the kernel's own `sign-file`.

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

use std::path::Path;
use std::process::Command;

use der::Node;
use judge::judge;
use kernels::{Debian, small, variant};
use signing::{Openssl, Signer, append, flipped, issuer_and_serial, message, parts, read, verdict};
use talosmith::base::Content;
use talosmith::boot::Kernel;
use talosmith::kmod::{ModuleFacts, Verdict};
use talosmith::pki::signed::Scheme;
use talosmith::pki::{Cause, SignedMessage, SignerId, TrustedKeys};

/// About so many of a distribution's modules, of all kinds.
fn sample(debian: &Debian) -> Vec<(String, Vec<u8>)> {
    const COUNT: usize = 20;
    let all = modules::modules(&debian.modules);
    let every = all.len().div_ceil(COUNT).max(1);
    let taken = all.iter().step_by(every);
    taken.map(|path| (path.display().to_string(), read(path))).collect()
}

#[test]
fn openssl_verifies_what_is_trusted_and_nothing_else() {
    let Some(openssl) = Openssl::new() else { return };
    let small_keys = Kernel::read(&Content::memory(small()["kernel/boot/vmlinuz"].as_slice())).unwrap().keys;
    let variants = ["good", "user", "tampered", "foreign", "foreign-same-serial", "vermagic", "crc"];
    let named = variants.map(|name| match name {
        "user" => (
            name.to_owned(),
            small()["modules/user/usr/lib/modules/6.12.117-talos/extras/my-user.ko"].clone(),
        ),
        _ => (name.to_owned(), variant(name).to_vec()),
    });
    let mut trusted = compare(&openssl, &small_keys, &named);
    assert_eq!(trusted, 4, "good, user, vermagic and crc");
    for debian in Debian::all() {
        let sample = sample(debian);
        trusted = compare(&openssl, &debian.kernel.keys, &sample);
        assert_eq!(trusted, sample.len(), "{}", debian.architecture);
        // With a byte changed, of the content and of the signature.
        let changed: Vec<_> = sample
            .iter()
            .flat_map(|(path, bytes)| {
                let len = parts(bytes).0.len();
                let signature = len + parts(bytes).1.len() - 1;
                [(format!("{path}, content"), len / 2), (format!("{path}, signature"), signature)]
                    .map(|(name, at)| (name, flipped(bytes, at)))
            })
            .collect();
        assert_eq!(compare(&openssl, &debian.kernel.keys, &changed[..10]), 0, "{}", debian.architecture);
    }
}

/// Compares what is said of modules; gives how many are trusted.
fn compare(openssl: &Openssl, keys: &TrustedKeys, modules: &[(String, Vec<u8>)]) -> usize {
    let mut trusted = 0;
    for (name, bytes) in modules {
        let (content, message) = parts(bytes);
        let verdict = verdict(bytes, keys);
        let ours = matches!(verdict, Verdict::Trusted { .. });
        let theirs = keys.certificates().iter().any(|own| openssl.verifies(message, content, own.der()));
        assert_eq!(ours, theirs, "{name}: {verdict:?}");
        trusted += usize::from(ours);
    }
    trusted
}

/// One field of what `modinfo` says of a module.
fn modinfo(program: &Path, field: &str, module: &Path) -> String {
    let output = Command::new(program).args(["-F", field]).arg(module).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
}

#[test]
fn kmod_names_the_same_signer_serial_number_hash_and_version_magic() {
    let Some(program) = judge("modinfo") else { return };
    let folder = tempfile::tempdir().unwrap();
    let variants = ["good", "tampered", "foreign", "foreign-same-serial", "vermagic"];
    let mut all: Vec<_> = variants.iter().map(|name| ((*name).to_owned(), variant(name).to_vec())).collect();
    all.extend(Debian::all().into_iter().flat_map(sample));
    for (name, bytes) in all {
        let file = folder.path().join("a.ko");
        std::fs::write(&file, &bytes).unwrap();
        let told = |field| modinfo(&program, field, &file);
        let message = SignedMessage::parse(parts(&bytes).1).unwrap();
        let [signer] = message.signers() else { panic!("{name}: {} signers", message.signers().len()) };
        let SignerId::IssuerAndSerial { issuer, serial } = &signer.id else {
            panic!("{name}: {}", signer.id)
        };
        // kmod gives the common name alone.
        let common = issuer.to_string().rsplit_once("CN=").unwrap().1.to_owned();
        assert_eq!(common, told("signer"), "{name}");
        assert_eq!(serial.to_string().to_uppercase(), told("sig_key"), "{name}");
        let Scheme::Rsa(hash) = &signer.scheme else { panic!("{name}: {}", signer.scheme) };
        assert_eq!(hash.name(), told("sig_hashalgo"), "{name}");
        let facts = ModuleFacts::read(&Content::memory(bytes), "a.ko").unwrap();
        assert_eq!(facts.vermagic.unwrap(), told("vermagic"), "{name}");
    }
}

/// The kinds of keys, and how openssl is asked for them.
const KINDS: [(&str, &[&str]); 5] = [
    ("RSA-2048", &["rsa:2048"]),
    ("RSA-3072", &["rsa:3072"]),
    ("RSA-4096", &["rsa:4096"]),
    ("ECDSA P-256", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("ECDSA P-384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
];

fn unsigned() -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/modules/unsigned.ko"))
}

/// Asserts what is made of a module by `message`, which is right, and of changed ones. `tells` says whether the
/// signature tells who made it.
fn assert_judged(what: &str, message: &[u8], signer: &Signer, other: &Signer, tells: bool) {
    let content = unsigned();
    let good = append(&content, message);
    let right = verdict(&good, &signer.keys());
    assert!(matches!(right, Verdict::Trusted { .. }), "{what}: {right:?}");
    let wrong = |module: &[u8], keys: &TrustedKeys, expected: Cause, how: &str| {
        let expected = if tells { expected } else { Cause::Unknown };
        let verdict = verdict(module, keys);
        assert!(
            matches!(&verdict, Verdict::Wrong { cause, .. } if *cause == expected),
            "{what}, {how}: {verdict:?}"
        );
        assert!(!verdict.is_taken(false) && !verdict.is_taken(true));
    };
    // In code, at the start of a section; ELF's own numbers might make it no module.
    wrong(&flipped(&good, 0x100), &signer.keys(), Cause::Content, "another byte of content");
    let last = content.len() + message.len() - 1;
    wrong(&flipped(&good, last), &signer.keys(), Cause::Key, "another byte of the signature");
    wrong(&good, &other.keys(), Cause::Key, "another key of the same name and number");
    assert!(matches!(verdict(&good, &TrustedKeys::default()), Verdict::UnknownKey { .. }), "{what}");
}

#[test]
fn signatures_of_every_kind_of_key_and_hash_are_verified_and_changed_ones_refused() {
    let Some(openssl) = Openssl::new() else { return };
    let content = unsigned();
    for (kind, algorithm) in KINDS {
        let (signer, other) = (openssl.signer("one", algorithm), openssl.signer("other", algorithm));
        assert_eq!(signer.certificate().key.kind(), kind);
        assert_eq!(signer.certificate().serial, other.certificate().serial);
        assert_eq!(signer.certificate().subject, other.certificate().subject);
        assert_ne!(signer.der, other.der);
        for hash in ["sha256", "sha384", "sha512"] {
            for by_key_id in [false, true] {
                let what = format!("{kind}, {hash}, by key id: {by_key_id}");
                let message = openssl.sign(&signer, hash, by_key_id, &content);
                let read = SignedMessage::parse(&message).unwrap();
                assert_eq!(matches!(read.signers()[0].id, SignerId::KeyId(_)), by_key_id, "{what}");
                assert!(read.signers()[0].scheme.to_string().ends_with(hash), "{what}");
                assert_judged(&what, &message, &signer, &other, kind.starts_with("RSA"));
                assert!(openssl.verifies(&message, &content, &signer.der), "{what}");
                assert!(!openssl.verifies(&message, &content, &other.der), "{what}");
            }
        }
    }
}

#[test]
fn a_signature_by_a_kind_of_key_that_is_not_verified_is_not_called_wrong() {
    let Some(openssl) = Openssl::new() else { return };
    let content = unsigned();
    for (kind, algorithm) in [
        ("an RSA key of 512 bits", &["rsa:512"][..]),
        ("an RSA key of 5120 bits", &["rsa:5120"]),
        ("an ECDSA key on curve 1.3.132.0.35", &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"]),
    ] {
        let signer = openssl.signer("one", algorithm);
        assert_eq!(signer.certificate().key.kind(), kind);
        let message = openssl.sign(&signer, "sha256", false, &content);
        assert!(openssl.verifies(&message, &content, &signer.der), "{kind}");
        let verdict = verdict(&append(&content, &message), &signer.keys());
        assert!(matches!(verdict, Verdict::Unsupported { .. }), "{kind}: {verdict:?}");
    }
}

#[test]
fn signatures_by_ed25519_are_verified_and_changed_ones_refused() {
    let Some(openssl) = Openssl::new() else { return };
    let content = unsigned();
    let (signer, other) = (openssl.signer("one", &["ed25519"]), openssl.signer("other", &["ed25519"]));
    assert_eq!(signer.certificate().key.kind(), "Ed25519");
    // `openssl cms` cannot make such messages: without attributes it wants to hash piece by piece, which
    // Ed25519 does not do. The signature is openssl's, and what is around it is made here (RFC 8419).
    let file = openssl.write("content", &content);
    let key = signer.key.to_str().unwrap();
    let words = ["pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file.to_str().unwrap()];
    let signature = openssl.ok(&words);
    let sha512 = [Node::bytes(6, [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3])];
    let ed25519 = [Node::bytes(6, [0x2b, 0x65, 0x70])];
    let message = message(issuer_and_serial(&signer.der), &sha512, &ed25519, &signature);
    assert_judged("Ed25519", &message, &signer, &other, false);
}

#[test]
fn a_message_put_together_here_is_one_for_openssl_too() {
    let Some(openssl) = Openssl::new() else { return };
    let content = unsigned();
    let signer = openssl.signer("one", KINDS[0].1);
    let file = openssl.write("content", &content);
    let key = signer.key.to_str().unwrap();
    let signature = openssl.ok(&["dgst", "-sha256", "-sign", key, file.to_str().unwrap()]);
    let sha256 = [Node::bytes(6, [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1])];
    let rsa = [Node::bytes(6, [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), Node::bytes(5, [])];
    let message = message(issuer_and_serial(&signer.der), &sha256, &rsa, &signature);
    assert!(openssl.verifies(&message, &content, &signer.der));
    assert!(matches!(verdict(&append(&content, &message), &signer.keys()), Verdict::Trusted { .. }));
}

#[test]
fn what_the_kernels_own_program_signs_is_trusted() {
    let Some(openssl) = Openssl::new() else { return };
    let Some(program) = judge("sign-file") else { return };
    let content = unsigned();
    for (kind, algorithm) in KINDS {
        let (signer, other) = (openssl.signer("one", algorithm), openssl.signer("other", algorithm));
        for (hash, by_key_id) in [("sha256", false), ("sha384", true), ("sha512", false)] {
            let what = format!("{kind}, {hash}, by key id: {by_key_id}");
            let file = openssl.write("module.ko", &content);
            let mut command = Command::new(&program);
            if by_key_id {
                command.arg("-k");
            }
            let output = command.arg(hash).args([&signer.key, &signer.pem, &file]).output().unwrap();
            assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
            let signed = read(&file);
            let (before, message) = parts(&signed);
            assert!(before == content, "{what}");
            assert!(append(before, message) == signed, "{what}");
            assert_judged(&what, message, &signer, &other, kind.starts_with("RSA"));
        }
    }
}
