//! Keys and signatures by openssl, for tests of module trust.

// Each test uses its part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use talosmith::base::Content;
use talosmith::kmod::signature::{Verdict, verify};
use talosmith::kmod::{ModuleFacts, SignatureState};
use talosmith::pki::{Certificate, TrustedKeys};

use super::der::Node;

/// openssl, and a folder for what it makes.
pub struct Openssl {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// A key with a certificate, in files.
pub struct Signer {
    /// The private key, PEM.
    pub key: PathBuf,
    /// The certificate, PEM.
    pub pem: PathBuf,
    /// The certificate, DER.
    pub der: Vec<u8>,
}

impl Signer {
    /// The certificate.
    pub fn certificate(&self) -> Certificate {
        Certificate::parse(&self.der).unwrap()
    }

    /// The keys of a kernel that trusts this one alone.
    pub fn keys(&self) -> TrustedKeys {
        TrustedKeys::new(vec![self.certificate()])
    }
}

impl Openssl {
    /// The program; says `skipped` if there is none.
    pub fn new() -> Option<Self> {
        let program = super::judge::judge("openssl")?;
        Some(Self { program, folder: tempfile::tempdir().unwrap() })
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs openssl.
    pub fn run(&self, words: &[&str]) -> Output {
        Command::new(&self.program).args(words).current_dir(self.folder.path()).output().unwrap()
    }

    /// Runs openssl, which must succeed.
    pub fn ok(&self, words: &[&str]) -> Vec<u8> {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Makes a key and a certificate. All that are made have the same subject, serial number and identifier
    /// of the key, and differ in nothing but the key.
    pub fn signer(&self, name: &str, algorithm: &[&str]) -> Signer {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let made = ["-keyout", &key, "-out", &pem, "-days", "36500", "-subj", "/O=Tests/CN=Build time key"];
        let options = ["-set_serial", "0x1234567890", "-addext", "subjectKeyIdentifier=0102030405060708"];
        self.ok(&[&["req", "-x509", "-nodes", "-newkey"], algorithm, &made, &options].concat());
        let der = self.ok(&["x509", "-in", &pem, "-outform", "DER"]);
        Signer { key: self.path(&key), pem: self.path(&pem), der }
    }

    /// The message by which `signer` signs bytes: of the form that modules' signatures have.
    pub fn sign(&self, signer: &Signer, hash: &str, by_key_id: bool, content: &[u8]) -> Vec<u8> {
        let content = self.write("content", content);
        let [content, key, pem] = [&content, &signer.key, &signer.pem].map(|path| path.to_str().unwrap());
        let form = ["cms", "-sign", "-binary", "-noattr", "-nocerts", "-outform", "DER", "-md", hash];
        let keyid: &[&str] = if by_key_id { &["-keyid"] } else { &[] };
        self.ok(&[&form[..], keyid, &["-in", content, "-signer", pem, "-inkey", key]].concat())
    }

    /// Whether openssl finds that the key of a certificate (DER) signed these bytes by this message. Who
    /// vouches for the certificate is another matter.
    pub fn verifies(&self, message: &[u8], content: &[u8], certificate: &[u8]) -> bool {
        self.write("message.p7s", message);
        self.write("signed", content);
        self.write("certificate.der", certificate);
        self.ok(&["x509", "-inform", "DER", "-in", "certificate.der", "-out", "certificate.pem"]);
        let form =
            ["cms", "-verify", "-binary", "-inform", "DER", "-in", "message.p7s", "-content", "signed"];
        let by = ["-certfile", "certificate.pem", "-nointern", "-noverify", "-out", "verified"];
        let output = self.run(&[&form[..], &by].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Anything else that is wrong is no verdict.
        let refused = ["verification failure", "bad signature", "signature failure", "invalid signature"];
        let refused = refused.iter().any(|word| said.to_lowercase().contains(word))
            || said.contains("no matching")
            || said.contains("signer certificate not found");
        assert!(output.status.success() || refused || is_malformed(&said), "{said}");
        output.status.success()
    }
}

/// Whether openssl found a message or a signature to be built in another way.
fn is_malformed(said: &str) -> bool {
    ["asn1 encoding routines", "rsa routines", "elliptic curve routines"]
        .iter()
        .any(|word| said.contains(word))
}

/// Bytes with a message behind them, as `sign-file` appends it.
pub fn append(content: &[u8], message: &[u8]) -> Vec<u8> {
    let mut trailer = [0; 12];
    trailer[2] = 2; // PKCS#7
    trailer[8..].copy_from_slice(&(message.len() as u32).to_be_bytes());
    [content, message, &trailer, b"~Module signature appended~\n"].concat()
}

/// A signed module in two parts: what was signed, and the message.
pub fn parts(module: &[u8]) -> (&[u8], &[u8]) {
    let facts = ModuleFacts::read(&Content::memory(module), "a.ko").unwrap();
    let SignatureState::Signed(trailer) = facts.signature else { unreachable!("{:?}", facts.signature) };
    let (content, rest) = module.split_at(trailer.content_len as usize);
    (content, &rest[..trailer.signature_len as usize])
}

/// What a kernel with these keys makes of a module's signature.
pub fn verdict(module: &[u8], keys: &TrustedKeys) -> Verdict {
    let content = Content::memory(module);
    let facts = ModuleFacts::read(&content, "a.ko").unwrap();
    verify(&content, &facts.signature, keys).unwrap()
}

/// Bytes with one of them changed.
pub fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

/// Reads a file.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// The issuer and the serial number of a certificate.
pub fn issuer_and_serial(certificate: &[u8]) -> [Node; 2] {
    let tree = Node::parse(certificate).unwrap();
    let [_version, serial, _algorithm, issuer, ..] = tree.children()[0].children() else { unreachable!() };
    [issuer.clone(), serial.clone()]
}

/// A message of the form that modules' signatures have, put together from its parts: the algorithms without
/// the `SEQUENCE` around each, and the signer by issuer and serial number.
pub fn message(id: [Node; 2], hash: &[Node], algorithm: &[Node], signature: &[u8]) -> Vec<u8> {
    const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    const DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    let hash = Node::nodes(0x30, hash);
    let version = || Node::bytes(2, [1]);
    let signer = [
        version(),
        Node::nodes(0x30, id),
        hash.clone(),
        Node::nodes(0x30, algorithm),
        Node::bytes(4, signature),
    ];
    let data = [
        version(),
        Node::nodes(0x31, [hash]),
        Node::nodes(0x30, [Node::bytes(6, DATA)]),
        Node::nodes(0x31, [Node::nodes(0x30, signer)]),
    ];
    let data = Node::nodes(0xa0, [Node::nodes(0x30, data)]);
    Node::nodes(0x30, [Node::bytes(6, SIGNED_DATA), data]).encode()
}
