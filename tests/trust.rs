//! What a kernel makes of a module, told without it: the small kernel of `testdata/kernel` and the variants
//! of one module that were loaded into it, with `module.sig_enforce=1` and without.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/kernels.rs"]
mod kernels;
#[path = "support/modules.rs"]
mod modules;

use std::sync::OnceLock;

use kernels::{small, variant};
use talosmith::base::Content;
use talosmith::boot::Kernel;
use talosmith::kmod::signature::{Verdict, verify};
use talosmith::kmod::{ModuleFacts, SignatureState};
use talosmith::pki::{Certificate, TrustedKeys};

fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| Kernel::read(&Content::memory(small()["kernel/boot/vmlinuz"].as_slice())).unwrap())
}

fn verdict(bytes: &[u8], keys: &TrustedKeys) -> Verdict {
    let content = Content::memory(bytes);
    let facts = ModuleFacts::read(&content, "my-module.ko").unwrap();
    verify(&content, &facts.signature, keys).unwrap()
}

#[test]
fn a_kernel_trusts_the_key_of_its_own_build_and_no_other() {
    let keys = kernel().keys.certificates();
    let own = &small()["build/signing_key.x509"];
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].der(), own.as_slice());
    assert_eq!(keys[0].subject.to_string(), "O=Boot Test, CN=Build time throw-away kernel key");
    assert_eq!(keys[0].serial.to_string(), "2b:b9:9e:72:68:ab:bd:67:6d:55:08:26:52:a7:09:ea:79:ba:91:03");
    assert_eq!(keys[0].key.kind(), "RSA-4096");
    assert!(keys[0].key_id.is_some());
    assert_eq!(kernel().vermagic.as_deref(), Some("6.12.117-talos SMP preempt mod_unload modversions "));
}

#[test]
fn signatures_are_judged_as_the_kernel_judged_them() {
    // By what the loader and the kernel's log said with enforcement, and without.
    for (name, enforced, lenient) in [
        ("good", true, true),
        ("user", true, true),
        ("foreign", false, true),
        ("foreign-same-serial", false, false),
        ("tampered", false, false),
        ("unsigned", false, true),
        ("vermagic", true, true), // what is wrong with these three is not their signature
        ("vermagic-release", true, true),
        ("crc", true, true),
    ] {
        let verdict = verdict(variant(name), &kernel().keys);
        assert_eq!(
            (verdict.is_taken(true), verdict.is_taken(false)),
            (enforced, lenient),
            "{name}: {verdict:?}"
        );
    }
}

#[test]
fn all_modules_of_the_kernels_build_verify_and_none_does_without_its_key() {
    let modules: Vec<_> =
        small().iter().filter(|(path, _)| path.starts_with("kernel/") && path.ends_with(".ko")).collect();
    assert_eq!(modules.len(), 31);
    for (path, bytes) in modules {
        assert!(matches!(verdict(bytes, &kernel().keys), Verdict::Trusted { .. }), "{path}");
        let without = verdict(bytes, &TrustedKeys::default());
        assert!(matches!(without, Verdict::UnknownKey { .. }), "{path}");
    }
}

#[test]
fn every_byte_of_a_signed_module_counts() {
    let good = variant("good");
    let facts = ModuleFacts::read(&Content::memory(good), "my-module.ko").unwrap();
    let SignatureState::Signed(trailer) = facts.signature else { panic!("{:?}", facts.signature) };
    let len = trailer.content_len as usize;
    for at in (0..len).step_by(997).chain([len - 1]) {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        let verdict = verify(&Content::memory(bytes), &facts.signature, &kernel().keys).unwrap();
        assert!(matches!(verdict, Verdict::Wrong { .. }), "byte {at}: {verdict:?}");
    }
}

#[test]
fn a_message_or_certificate_with_changed_bytes_is_never_believed_and_never_panics() {
    let good = variant("good");
    let facts = ModuleFacts::read(&Content::memory(good), "my-module.ko").unwrap();
    let SignatureState::Signed(trailer) = facts.signature else { panic!("{:?}", facts.signature) };
    let (start, len) = (trailer.content_len as usize, trailer.signature_len as usize);
    for at in start..start + len {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.to_vec();
            bytes[at] ^= flip;
            let verdict = verify(&Content::memory(bytes), &facts.signature, &kernel().keys).unwrap();
            // The version, the lists of hashes and parameters that are told twice, and the like, are nothing
            // that a signature is about; the kernel does not look at them either.
            let harmless = at < start + 58 || (start + 154..start + 182).contains(&at);
            assert!(
                harmless || !matches!(verdict, Verdict::Trusted { .. }),
                "byte {}: {verdict:?}",
                at - start
            );
        }
    }
    let certificate = &small()["build/signing_key.x509"];
    for at in 0..certificate.len() {
        let _ = Certificate::parse(&certificate[..at]).unwrap_err();
        let mut bytes = certificate.clone();
        bytes[at] = bytes[at].wrapping_add(1);
        if let Ok(changed) = Certificate::parse(&bytes) {
            let _ = (changed.subject.to_string(), changed.key.kind(), changed.serial.to_string());
            let keys = TrustedKeys::new(vec![changed]);
            let _ = verdict(good, &keys); // whatever it says, it says something
        }
    }
}
