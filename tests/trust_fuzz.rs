//! Certificates, signed messages and modules that others have had their hands on: whatever is in them, reading
//! ends, soon and in little memory, and nothing is believed that nobody signed.
//!
//! `TALOSMITH_FUZZ_SECONDS` makes each test go on for so long, from another seed. An input that makes one
//! fail lies in `CARGO_TARGET_TMPDIR` (`target/tmp`) then.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "support/der.rs"]
mod der;
#[path = "support/samples.rs"]
mod samples;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use samples::Random;
use talosmith::base::Content;
use talosmith::kmod::signature::verify;
use talosmith::kmod::{Elf, ModuleFacts, SignatureState, Symbols, Verdict, abridge};
use talosmith::pki::{Certificate, SignedMessage, Trust, TrustedKeys};

/// The most memory of this process, in KiB: the tables that are read of a module have limits of 64 MiB, and
/// the tests run beside each other. (The originals are small; only what is believed of them can be large.)
const PEAK_MAX: u64 = 400 << 10;
/// Reading that takes longer hangs, as far as anyone can tell.
const SLOWEST: Duration = Duration::from_secs(10);

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// The files of `testdata/trust` of one kind, in order.
fn corpus(extension: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> =
        std::fs::read_dir(testdata("trust")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == extension));
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn content() -> Content {
    Content::memory(std::fs::read(testdata("trust/content")).unwrap())
}

/// The largest amount of memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Makes inputs and tries them, which must not take long. `exercise` tells whether an input was still read.
fn fuzz(name: &str, usual: u64, mutate: impl Fn(&mut Random) -> Vec<u8>, exercise: impl Fn(&[u8]) -> bool) {
    let seconds: Option<u64> =
        std::env::var("TALOSMITH_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut random = Random(seconds.map_or(1, |seconds| seconds | 1));
    let (mut rounds, mut read, mut slowest) = (0u64, 0u64, Duration::ZERO);
    while end.map_or(rounds < usual, |end| Instant::now() < end) {
        let input = mutate(&mut random);
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| exercise(&input)));
        let took = start.elapsed();
        if result.is_err() || took > SLOWEST || peak() > PEAK_MAX {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
            std::fs::write(&kept, &input).unwrap();
            println!("round {rounds}: {} bytes are kept in {}", input.len(), kept.display());
        }
        read += u64::from(result.unwrap_or_else(|panic| resume_unwind(panic)));
        assert!(took < SLOWEST, "{name}: {took:?}");
        assert!(peak() < PEAK_MAX, "{name}: {} KiB", peak());
        slowest = slowest.max(took);
        rounds += 1;
    }
    println!("{name}: {rounds} inputs, {read} of them read, the slowest in {slowest:?}, {} KiB", peak());
    let least = rounds / 100;
    assert!(
        read > least && rounds - read > least,
        "{name}: {read} of {rounds} were read: one end is not reached"
    );
}

/// Bytes changed without regard to what they mean.
fn scribble(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len() as u64;
        let at = random.below(len) as usize;
        match random.below(6) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = [0, 0xff, 0x7f, 0x80, 0x82, 0x84][random.below(6) as usize],
            3 => {
                let from = random.below(len) as usize;
                let count = (random.below(16) as usize).min(bytes.len() - at).min(bytes.len() - from);
                bytes.copy_within(from..from + count, at);
            }
            4 => {
                let _ = bytes.remove(at);
            }
            _ => bytes.truncate(at),
        }
    }
}

/// One of `originals` with its elements changed, some of them for those of another.
fn mutated_der(random: &mut Random, originals: &[Vec<u8>]) -> Vec<u8> {
    let mut pick = || &originals[random.below(originals.len() as u64) as usize];
    let (own, other) = (pick(), pick());
    let mut bytes = own.clone();
    if random.below(4) > 0 {
        let mut tree = der::Node::parse(own).unwrap();
        let other = der::Node::parse(other).unwrap();
        for _ in 0..=random.below(3) {
            der::mutate(&mut tree, &other, &mut |end| random.below(end));
        }
        bytes = tree.encode();
    }
    if random.below(3) == 0 {
        scribble(random, &mut bytes);
    }
    bytes
}

#[test]
fn certificates_of_any_bytes_are_read_or_refused() {
    let originals = corpus("x509");
    assert!(originals.iter().all(|der| Certificate::parse(der).unwrap().der() == der.as_slice()));
    let messages: Vec<_> = corpus("p7s").iter().filter_map(|der| SignedMessage::parse(der).ok()).collect();
    let content = content();
    fuzz(
        "certificates",
        2_000,
        |random| mutated_der(random, &originals),
        |bytes| {
            let Ok(certificate) = Certificate::parse(bytes) else { return false };
            assert_eq!(certificate.der(), bytes);
            let said = format!("{} {} {}", certificate.subject, certificate.issuer, certificate.serial);
            assert!(said.len() < 10 * bytes.len() + 1000 && !said.contains('\x1b'), "{said}");
            let _ = certificate.key.kind();
            let keys = TrustedKeys::new(vec![certificate]);
            for message in &messages {
                let _ = keys.judge(message, &content, content.len()).unwrap(); // a verdict of any kind
            }
            true
        },
    );
}

#[test]
fn messages_of_any_bytes_are_read_or_refused_and_no_signature_is_believed_that_was_not_made() {
    let originals = corpus("p7s");
    let keys = TrustedKeys::new(corpus("x509").iter().map(|der| Certificate::parse(der).unwrap()).collect());
    let content = content();
    let read: Vec<_> = originals.iter().filter_map(|der| SignedMessage::parse(der).ok()).collect();
    assert!(read.len() >= 6, "{} of the originals are read", read.len());
    for message in &read {
        let trust = keys.judge(message, &content, content.len()).unwrap();
        assert!(matches!(trust, Trust::Trusted(..)), "{trust:?}");
    }
    // Those of messages that are refused for something else count, too: that may go.
    let signatures: BTreeSet<Vec<u8>> =
        originals.iter().flat_map(|der| der::Node::parse(der).unwrap().bodies(4)).collect();
    fuzz(
        "messages",
        3_000,
        |random| mutated_der(random, &originals),
        |bytes| {
            let Ok(message) = SignedMessage::parse(bytes) else { return false };
            message.signers().iter().for_each(|signer| assert!(!signer.id.to_string().is_empty()));
            if let Trust::Trusted(_, signer) = keys.judge(&message, &content, content.len()).unwrap() {
                assert!(signatures.contains(&signer.signature), "{signer:?}");
            }
            // Of other bytes nobody says anything.
            let trust = keys.judge(&message, &content, content.len() - 1).unwrap();
            assert!(!matches!(trust, Trust::Trusted(..)), "{trust:?}");
            true
        },
    );
}

/// The keys that the modules of the corpus are signed with.
fn keys_of_modules() -> TrustedKeys {
    let packed = std::fs::File::open(testdata("kernel/kernel-6.12.117-talos.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("signing_key.x509") {
            let mut der = Vec::new();
            entry.read_to_end(&mut der).unwrap();
            return TrustedKeys::parse([der.as_slice()]).unwrap();
        }
    }
    panic!("there is no certificate in the archive");
}

/// Modules, as far as their headers are concerned.
struct Modules(Vec<Vec<u8>>);

const HEADER: usize = 64;

impl Modules {
    fn corpus() -> Self {
        let names = ["good.ko", "foreign.ko", "unsigned.ko", "arm64-crc7.ko"];
        Self(names.map(|name| std::fs::read(testdata("modules").join(name)).unwrap()).to_vec())
    }

    fn pick(&self, random: &mut Random) -> &[u8] {
        &self.0[random.below(self.0.len() as u64) as usize]
    }

    /// One of them, changed where it counts: the header, the table of sections, symbols, the signature's end.
    fn mutated(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.pick(random).to_vec();
        for _ in 0..=random.below(4) {
            let Some(table) = Sections::of(&bytes) else { break };
            match random.below(12) {
                0 => table.change_header(random, &mut bytes),
                1..=4 => table.change_section(random, &mut bytes),
                5 => table.change_symbol(random, &mut bytes),
                6 => {
                    let (from, to) = (table.any(random), table.any(random));
                    bytes.copy_within(from..from + HEADER, to);
                }
                7 if random.below(20) == 0 => table.multiply(random, &mut bytes),
                7 | 8 => {
                    // The end of one module behind the start of another.
                    let other = self.pick(random);
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes.truncate(at);
                    bytes.extend_from_slice(other.get(at..).unwrap_or_default());
                }
                9 => {
                    let end = bytes.len().saturating_sub(1 + random.below(40) as usize);
                    bytes[end] = random.next() as u8;
                }
                _ => scribble(random, &mut bytes),
            }
        }
        bytes
    }
}

/// Where the table of sections is in a file that has one.
struct Sections {
    start: usize,
    count: usize,
}

impl Sections {
    fn of(bytes: &[u8]) -> Option<Self> {
        let start = usize::try_from(u64::from_le_bytes(*bytes.get(40..)?.first_chunk()?)).ok()?;
        let count = usize::from(u16::from_le_bytes(*bytes.get(60..)?.first_chunk()?));
        let end = start.checked_add(count * HEADER)?;
        (count > 0 && end <= bytes.len()).then_some(Self { start, count })
    }

    fn any(&self, random: &mut Random) -> usize {
        self.start + random.below(self.count as u64) as usize * HEADER
    }

    /// Numbers at which things break.
    fn number(random: &mut Random, len: usize) -> u64 {
        match random.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << random.below(64),
            3 => len as u64,
            4 => u64::MAX - random.below(100),
            5 => len as u64 - random.below(len as u64),
            _ => random.below(4096),
        }
    }

    fn change_header(&self, random: &mut Random, bytes: &mut [u8]) {
        let number = Self::number(random, bytes.len());
        match random.below(3) {
            0 => bytes[40..48].copy_from_slice(&number.to_le_bytes()),
            1 => bytes[60..62].copy_from_slice(&(number as u16).to_le_bytes()),
            _ => bytes[62..64].copy_from_slice(&(number as u16).to_le_bytes()),
        }
    }

    fn change_section(&self, random: &mut Random, bytes: &mut [u8]) {
        let at = self.any(random);
        let number = Self::number(random, bytes.len());
        match random.below(5) {
            0 => bytes[at..at + 4].copy_from_slice(&(number as u32).to_le_bytes()), // its name
            1 => bytes[at + 4..at + 8].copy_from_slice(&(random.below(20) as u32).to_le_bytes()), // its type
            2 => bytes[at + 24..at + 32].copy_from_slice(&number.to_le_bytes()),    // where it is
            3 => bytes[at + 32..at + 40].copy_from_slice(&number.to_le_bytes()),    // how large
            _ => {
                // All of the file.
                bytes[at + 24..at + 32].copy_from_slice(&[0; 8]);
                let len = bytes.len() as u64;
                bytes[at + 32..at + 40].copy_from_slice(&len.to_le_bytes());
            }
        }
    }

    /// A field of a symbol, in the section that has symbols (type 2).
    fn change_symbol(&self, random: &mut Random, bytes: &mut [u8]) {
        let headers = (0..self.count).map(|index| self.start + index * HEADER);
        let symbols = headers.filter(|at| bytes[at + 4] == 2).find_map(|at| {
            let word = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
            let (from, size) = (usize::try_from(word(at + 24)).ok()?, usize::try_from(word(at + 32)).ok()?);
            (size >= 24 && from.checked_add(size)? <= bytes.len()).then_some((from, size))
        });
        let Some((from, size)) = symbols else { return };
        let at = from + random.below(size as u64 / 24) as usize * 24;
        let number = Self::number(random, bytes.len());
        match random.below(3) {
            0 => bytes[at..at + 4].copy_from_slice(&(number as u32).to_le_bytes()), // its name
            1 => bytes[at + 6..at + 8].copy_from_slice(&(random.below(60) as u16).to_le_bytes()), // its section
            _ => bytes[at + 8..at + 16].copy_from_slice(&number.to_le_bytes()), // where in it
        }
    }

    /// As many sections as there can be: all of them are one of those that are there.
    fn multiply(&self, random: &mut Random, bytes: &mut Vec<u8>) {
        let mut table = bytes[self.start..self.start + self.count * HEADER].to_vec();
        let one = self.any(random) - self.start;
        let one = table[one..one + HEADER].to_vec();
        (self.count..usize::from(u16::MAX)).for_each(|_| table.extend_from_slice(&one));
        let start = bytes.len() as u64;
        bytes[40..48].copy_from_slice(&start.to_le_bytes());
        bytes[60..62].copy_from_slice(&u16::MAX.to_le_bytes());
        bytes.append(&mut table);
    }
}

/// Everything that is done with the bytes of a module. Tells whether they are one.
fn exercise_module(bytes: &[u8], keys: &TrustedKeys, signed: &BTreeSet<&[u8]>) -> bool {
    let content = Content::memory(bytes);
    if let Ok(mut elf) = Elf::open(&content, content.len())
        && let Ok(symbols) = Symbols::read(&mut elf)
    {
        let names = symbols.exports().map(|one| one.name).chain(symbols.imports().map(|one| one.name));
        assert!(names.map(<[u8]>::len).sum::<usize>() <= 8 << 20);
    }
    let short = abridge(bytes.to_vec());
    // What begins where is rounded up, and the table comes along.
    assert!(short.len() <= 3 * bytes.len() + 64, "{} of {}", short.len(), bytes.len());
    let Ok(facts) = ModuleFacts::read(&content, "a.ko") else { return false };
    let verdict = verify(&content, &facts.signature, keys).unwrap();
    if let (Verdict::Trusted { .. }, SignatureState::Signed(trailer)) = (&verdict, &facts.signature) {
        assert!(signed.contains(&bytes[..trailer.content_len as usize]), "trusted, and nobody signed it");
    }
    true
}

#[test]
fn modules_of_any_bytes_are_read_or_refused_and_none_is_believed_that_was_not_signed() {
    let modules = Modules::corpus();
    let keys = keys_of_modules();
    let signed: BTreeSet<&[u8]> = modules
        .0
        .iter()
        .filter_map(|bytes| {
            let facts = ModuleFacts::read(&Content::memory(bytes.as_slice()), "a.ko").unwrap();
            match facts.signature {
                SignatureState::Signed(trailer) => Some(&bytes[..trailer.content_len as usize]),
                _ => None,
            }
        })
        .collect();
    assert!(modules.0.iter().all(|bytes| exercise_module(bytes, &keys, &signed)));
    fuzz("modules", 4_000, |random| modules.mutated(random), |bytes| exercise_module(bytes, &keys, &signed));
}
