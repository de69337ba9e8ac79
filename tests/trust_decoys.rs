//! Which certificates in a kernel image its kernel trusts: those that its own two words speak of, whatever
//! else lies there. Kernels are stand-ins: what readers look at, and no kernel.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::path::Path;

use talosmith::base::Content;
use talosmith::boot::Kernel;

const BANNER: &[u8] = b"Linux version 6.12.1-talos (a@b) (gcc 1) #1 SMP PREEMPT\n\0";

fn certificate(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/trust/{name}.x509"));
    std::fs::read(path).unwrap()
}

const OWN: &str = "O=Talosmith, CN=rsa3072";
const SECOND: &str = "O=Talosmith, CN=p256";

/// An architecture and what its `.align 8` rounds up to.
const ARCHITECTURES: [(&str, usize); 2] = [("amd64", 8), ("arm64", 256)];

/// Something in a kernel image.
enum Part<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// As many zeros as bring the next byte to a multiple of this.
    Align(usize),
    /// A word.
    Word(usize),
}
use Part::{Align, Bytes, Word};

fn put(image: &mut Vec<u8>, parts: &[Part<'_>]) {
    for part in parts {
        match part {
            Bytes(bytes) => image.extend_from_slice(bytes),
            Align(to) => image.resize(image.len().next_multiple_of(*to), 0),
            Word(word) => image.extend_from_slice(&(*word as u64).to_le_bytes()),
        }
    }
}

/// A kernel image that holds these parts: for arm64 an `Image`, which is not compressed, and for x86 a bzImage
/// (Documentation/arch/x86/boot.rst) with a payload by gzip.
fn kernel(architecture: &str, parts: &[Part<'_>]) -> Kernel {
    let mut image = vec![0; 64];
    if architecture == "arm64" {
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    } else {
        image[..4].copy_from_slice(b"\x7fELF");
    }
    image.extend_from_slice(BANNER);
    put(&mut image, &[Bytes(&[0xcc; 5000]), Align(256)]);
    put(&mut image, parts);
    put(&mut image, &[Align(256), Bytes(&[0xcc; 5000])]);
    if architecture == "amd64" {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&image).unwrap();
        let payload = encoder.finish().unwrap();
        let mut file = vec![0; 0x400];
        file[0x1f1] = 1;
        file[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        file[0x236] = 1;
        file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        file.extend(payload);
        image = file;
    }
    Kernel::read(&Content::memory(image)).unwrap()
}

/// Those of whom a kernel with these parts trusts the keys.
fn keys(architecture: &str, parts: &[Part<'_>]) -> Vec<String> {
    let kernel = kernel(architecture, parts);
    assert_eq!(
        (kernel.release.as_str(), kernel.machine.to_string().as_str()),
        ("6.12.1-talos", architecture)
    );
    kernel.keys.certificates().iter().map(|own| own.subject.to_string()).collect()
}

#[test]
fn the_list_with_its_two_sizes_is_believed() {
    let (own, second) = (certificate("rsa3072"), certificate("p256"));
    let total = own.len() + second.len();
    for (architecture, align) in ARCHITECTURES {
        let list = [Bytes(&own), Align(align), Word(own.len()), Align(align), Word(own.len())];
        assert_eq!(keys(architecture, &list), [OWN], "{architecture}");
        // The kernel's own first, then those that were built in; or built-in ones alone.
        for module in [own.len(), 0] {
            let list = [Bytes(&own), Bytes(&second), Align(align), Word(total), Align(align), Word(module)];
            assert_eq!(keys(architecture, &list), [OWN, SECOND], "{architecture} {module}");
        }
        // Room for one more certificate (scripts/insert-sys-cert) that nobody has put there.
        let room = [0; 4096];
        let list = [Bytes(&own), Bytes(&room), Align(align), Word(own.len()), Align(align), Word(own.len())];
        assert_eq!(keys(architecture, &list), [OWN], "{architecture}, with room");
    }
}

#[test]
fn a_certificate_without_sizes_or_with_wrong_ones_is_not_believed() {
    let (decoy, second) = (certificate("rsa2048"), certificate("p384"));
    let (len, both) = (decoy.len(), decoy.len() + second.len());
    for (architecture, align) in ARCHITECTURES {
        let none = |what: &str, parts: &[Part<'_>]| {
            let keys = keys(architecture, parts);
            assert!(keys.is_empty(), "{architecture}, {what}: {keys:?}");
        };
        none("nothing behind it", &[Bytes(&decoy)]);
        none("zeros behind it", &[Bytes(&decoy), Bytes(&[0; 5000])]);
        none("other bytes behind it", &[Bytes(&decoy), Bytes(&[0xff; 5000])]);
        // (Not zero: that would be room for another one, and what follows it the total.)
        for total in [1, len - 1, len + 1, len << 32, both] {
            none("another total", &[Bytes(&decoy), Align(align), Word(total), Align(align), Word(len)]);
        }
        for own in [1, len - 1, len + 1, usize::MAX] {
            none(
                "another size of the first",
                &[Bytes(&decoy), Align(align), Word(len), Align(align), Word(own)],
            );
        }
        none(
            "a size that ends within the second",
            &[Bytes(&decoy), Bytes(&second), Align(align), Word(both), Align(align), Word(len + 1)],
        );
        none(
            "the size of the first alone",
            &[Bytes(&decoy), Bytes(&second), Align(align), Word(len), Align(align), Word(len)],
        );
        none(
            "a gap between the two",
            &[Bytes(&decoy), Bytes(&[0]), Bytes(&second), Align(align), Word(both), Align(align), Word(len)],
        );
        none("sizes before it", &[Word(len), Align(align), Word(len), Align(align), Bytes(&decoy)]);
    }
    // Where the architecture has the words elsewhere.
    let list = [Bytes(&decoy[..]), Align(8), Word(len), Align(8), Word(len), Bytes(&[0xcc; 512])];
    assert!(keys("arm64", &list).is_empty());
}

#[test]
fn decoys_before_and_behind_the_list_change_nothing() {
    let (own, decoy, other) = (certificate("rsa3072"), certificate("rsa2048"), certificate("ed25519"));
    for (architecture, align) in ARCHITECTURES {
        let only = |what: &str, before: &[Part<'_>], behind: &[Part<'_>]| {
            let mut parts = Vec::new();
            parts.extend(before.iter().map(copied));
            let list =
                [Align(align), Bytes(&own), Align(align), Word(own.len()), Align(align), Word(own.len())];
            parts.extend(list);
            parts.extend(behind.iter().map(copied));
            assert_eq!(keys(architecture, &parts), [OWN], "{architecture}, {what}");
        };
        only("none", &[], &[]);
        only("before it", &[Bytes(&decoy), Bytes(&[1])], &[]);
        only("behind it", &[], &[Bytes(&decoy)]);
        only(
            "behind it with wrong sizes",
            &[],
            &[Bytes(&decoy), Align(align), Word(decoy.len()), Align(align), Word(7)],
        );
        // A list of keys that are revoked has one size. What follows it is zero, by chance.
        only(
            "revoked ones behind it",
            &[],
            &[Align(align), Bytes(&other), Align(align), Word(other.len()), Align(align), Bytes(&[0; 512])],
        );
        only("half of one before it", &[Bytes(&decoy[..500])], &[]);
        // A certificate that happens to end where the list begins is no part of it.
        let before = (align - decoy.len() % align) % align;
        only("right before it", &[Bytes(&vec![0xcc; before]), Bytes(&decoy)], &[]);
    }
}

fn copied<'a>(part: &Part<'a>) -> Part<'a> {
    match part {
        Bytes(bytes) => Bytes(bytes),
        Align(to) => Align(*to),
        Word(word) => Word(*word),
    }
}
