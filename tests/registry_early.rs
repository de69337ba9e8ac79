//! Blobs that go to a registry while they are made: what is sent when, that nothing is sent twice or in vain, and that
//! whatever goes wrong on the way ends in the ordinary push.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::sync::LazyLock;

use support::World;
use support::installer::{Inputs, extension};
use support::registry::{FakeRegistry, Faults, Rule, Wrong, answer, noise};
use support::time::TestTime;
use talosmith::archive::compress::Compression;
use talosmith::base::{Digest, Events, Workers};
use talosmith::image::registry::{Client, EarlyPush, Options, Patience, Progress, Pushed};
use talosmith::image::{Descriptor, Layer, LayerWriter, RegistryReference, Store, media_type};

/// More than a blob must have to be sent before it is whole, which is 8 MiB.
const PART: usize = 9_000_000;
const UPLOADS: &str = "/blobs/uploads/";
/// As long as a blob is made, less than this waits until there is as much.
const BUFFER: u64 = 256 << 10;

/// A layer that is being made, and pushed meanwhile.
struct Making {
    store: Store,
    _folder: tempfile::TempDir,
    client: Client,
    to: RegistryReference,
    writer: LayerWriter,
    early: Option<EarlyPush>,
    written: Vec<u8>,
}

impl Making {
    fn new(fake: &FakeRegistry, left: Option<Digest>) -> Self {
        Self::trying(fake, left, Patience::TRIES)
    }

    fn trying(fake: &FakeRegistry, left: Option<Digest>, tries: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let workers = Workers::new(1);
        let writer = LayerWriter::new(&store, Compression::None, media_type::OCI_LAYER, &workers).unwrap();
        let time = TestTime::default();
        fake.set(|faults| faults.stalls = Some(time.stalls.clone()));
        let options = time.options();
        let patience = Patience { tries, ..options.patience };
        let client = Client::new(Options { patience, ..options }, Events::default());
        let to: RegistryReference = format!("{}/acme/x:1", fake.host).parse().unwrap();
        let early = client.push_early(&to, left, writer.growing());
        Self { store, _folder: folder, client, to, writer, early, written: Vec::new() }
    }

    fn write(&mut self, length: usize) {
        /// Made once: it takes longer than all that is done with it.
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| noise(7, 2 * PART + 10_000));
        let from = self.written.len();
        let part = &BYTES[from..from + length];
        self.writer.write_all(part).unwrap();
        self.written.extend(part);
    }

    /// Ends the layer, and pushes it like any other.
    fn push(self) -> (Layer, Pushed, Vec<u8>) {
        let layer = self.writer.finish().unwrap();
        let Descriptor { digest, size, .. } = layer.descriptor;
        assert_eq!(digest, Digest::of(&self.written));
        if let Some(early) = self.early {
            early.end(digest);
        }
        let content = self.store.blob(&digest, size).unwrap();
        let pushed = self.client.push_blob(&self.to, &layer.descriptor, &content, &[], &Progress::default());
        (layer, pushed.unwrap(), self.written)
    }
}

fn asked(fake: &FakeRegistry) -> Vec<String> {
    fake.log().into_iter().map(|asked| asked.method).collect()
}

#[test]
fn a_blob_is_sent_while_it_is_made_and_no_byte_of_it_twice() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, None);
    for _ in 0..2 {
        making.write(PART);
        fake.wait_for_bytes(making.written.len() as u64 - BUFFER);
    }
    making.write(1000);
    let (layer, pushed, written) = making.push();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!(fake.blob("acme/x", &layer.descriptor.digest).unwrap(), written);
    assert_eq!(fake.uploaded(), written.len());
    let mut asked = asked(&fake);
    // While the last bytes are on their way it is asked whether the blob is there, or they are there before.
    asked.retain(|method| method != "HEAD");
    assert_eq!(asked, ["GET", "POST", "PATCH", "PUT"]);
}

#[test]
fn a_small_blob_asks_for_nothing_before_it_is_whole() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, None);
    making.write(1000);
    let (layer, pushed, written) = making.push();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!(fake.blob("acme/x", &layer.descriptor.digest).unwrap(), written);
    assert_eq!(asked(&fake), ["HEAD", "POST", "PUT"]);
}

#[test]
fn what_the_registry_may_have_waits_until_its_digest_is_known() {
    let fake = FakeRegistry::start(Faults::default());
    fake.add_manifest("acme/x", "1", media_type::OCI_MANIFEST, b"{}");
    let of_others = Digest::of(b"{ }");
    // A repository in which there is something, by whomever; and a name that somebody else has moved since.
    for (left, question) in [(None, ("GET", "/tags/list")), (Some(of_others), ("HEAD", "/manifests/1"))] {
        let mut making = Making::new(&fake, left);
        making.write(PART);
        fake.wait_for(question.0, question.1, 1);
        fake.add_blob("acme/x", &making.written);
        let (_, pushed, _) = making.push();
        assert_eq!((pushed, fake.uploaded()), (Pushed::Existed, 0));
    }
    // What this machine has left there lacks what it makes now.
    let mut making = Making::new(&fake, Some(Digest::of(b"{}")));
    making.write(PART + 1);
    fake.wait_for_bytes(PART as u64 - BUFFER);
    let (_, pushed, written) = making.push();
    assert_eq!((pushed, fake.uploaded()), (Pushed::Uploaded, written.len()));
    assert_eq!(fake.count("PATCH", UPLOADS), 1);
}

#[test]
fn what_turns_out_to_be_there_is_not_named_again() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, None);
    making.write(PART);
    fake.wait_for_bytes(PART as u64 - BUFFER);
    making.write(5000);
    fake.add_blob("acme/x", &making.written);
    let (_, pushed, _) = making.push();
    assert_eq!((pushed, fake.count("PUT", UPLOADS)), (Pushed::Existed, 0));
}

#[test]
fn what_is_never_whole_is_taken_back() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, None);
    making.write(PART);
    fake.wait_for_bytes(PART as u64 - BUFFER);
    drop(making);
    fake.wait_for("DELETE", UPLOADS, 1);
}

#[test]
fn of_two_that_make_the_same_one_sends_it() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, None);
    let other = LayerWriter::new(&making.store, Compression::None, media_type::OCI_LAYER, &Workers::new(1));
    let mut other = other.unwrap();
    let second = making.client.push_early(&making.to, None, other.growing()).unwrap();
    making.write(PART);
    other.write_all(&making.written).unwrap();
    fake.wait_for_bytes(2 * (PART as u64 - BUFFER));
    let digest = Digest::of(&making.written);
    let held = making.client.turn(&making.to, &digest);
    second.end(digest); // whose turn it is not
    fake.wait_for("DELETE", UPLOADS, 1);
    drop(held);
    let (_, pushed, _) = making.push();
    assert_eq!((pushed, fake.count("PUT", UPLOADS)), (Pushed::Uploaded, 1));
}

#[test]
fn whatever_goes_wrong_ends_in_the_right_blob() {
    /// How far the blob is made before it is whole: so far that this was asked, or that bytes have flowed.
    enum Until {
        Asked(&'static str, &'static str),
        Flows,
    }
    use Until::{Asked, Flows};
    let rule = |method, path, wrong| vec![support::registry::rule(method, path, 1, wrong)];
    let none: fn(&mut Faults) = |_| {};
    let whole = PART + 1000;
    let patch = |wrong| rule("PATCH", UPLOADS, wrong);
    let page = Wrong::Answer(200, &[], "<html>");
    let elsewhere = Wrong::Answer(307, &[("Location", "/v2/acme/x/blobs/uploads/nowhere")], "");
    let unknown = Wrong::Answer(404, &[], r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#);
    /// With the most bytes that go over the wire.
    type Script = (&'static str, Vec<Rule>, fn(&mut Faults), Until, usize);
    let mut scripts: Vec<Script> = vec![
        ("no tags", rule("GET", "/tags", answer(500)), none, Asked("GET", "/tags"), whole),
        ("tags of a proxy", rule("GET", "/tags", page), none, Asked("GET", "/tags"), whole),
        ("no list of tags", rule("GET", "/tags", answer(404)), none, Asked("GET", "/tags"), whole),
        ("no such repository", rule("GET", "/tags", unknown), none, Flows, whole),
        ("no session", rule("POST", UPLOADS, answer(403)), none, Asked("POST", UPLOADS), whole),
        ("no place", rule("POST", UPLOADS, Wrong::Without("Location")), none, Asked("POST", UPLOADS), whole),
        ("no answer to a session", rule("POST", UPLOADS, Wrong::Mute), none, Asked("POST", UPLOADS), whole),
        ("cut", patch(Wrong::Take(5_000_000)), none, Asked("PATCH", UPLOADS), whole),
        (
            "cut, and nothing kept",
            patch(Wrong::Take(5_000_000)),
            |faults| faults.forgetful = true,
            Asked("PATCH", UPLOADS),
            whole + 5_000_000,
        ),
        ("the answer lost", patch(Wrong::Mute), none, Flows, whole),
        ("no answer", patch(Wrong::Silence), none, Flows, whole),
        ("less taken than sent", patch(Wrong::With("Range", "0-99")), none, Flows, 2 * whole),
        ("more taken than sent", patch(Wrong::With("Range", "0-99999999")), none, Flows, 2 * whole),
        ("no word of what was taken", patch(Wrong::Without("Range")), none, Flows, whole),
        ("the end refused", rule("PUT", UPLOADS, answer(404)), none, Flows, 2 * whole),
        ("the end without an answer", rule("PUT", UPLOADS, Wrong::Mute), none, Flows, whole),
        ("no HEAD", vec![], |faults| faults.no_head = true, Flows, whole),
        ("sent elsewhere", patch(elsewhere), none, Flows, 3 * whole),
        (
            "a token that is good twice",
            vec![],
            |faults| (faults.bearer, faults.token_uses) = (true, Some(2)),
            Flows,
            2 * whole,
        ),
    ];
    for (name, status) in [("end: 400", 400), ("end: 403", 403), ("end: 410", 410), ("end: 503", 503)] {
        scripts.push((name, rule("PUT", UPLOADS, answer(status)), none, Flows, 2 * whole));
    }
    for (name, status) in
        [("400", 400), ("404", 404), ("405", 405), ("411", 411), ("413", 413), ("416", 416), ("501", 501)]
    {
        scripts.push((name, patch(answer(status)), none, Flows, 2 * whole));
    }
    for (name, status) in [("429", 429), ("500", 500), ("503", 503)] {
        scripts.push((name, patch(answer(status)), none, Flows, 2 * whole));
    }
    let tried = |script| [Patience::TRIES, 1].map(|tries| (script, tries));
    for ((name, rules, more, until, most), tries) in scripts.iter().flat_map(tried) {
        let fake = FakeRegistry::start(Faults { rules: rules.clone(), ..Faults::default() });
        fake.set(more);
        // The tests' clock ends a stall when somebody waits for the next try.
        let stalls = rules.iter().any(|rule| matches!(rule.wrong, Wrong::Silence));
        let mut making = Making::trying(&fake, None, if stalls { Patience::TRIES } else { tries });
        making.write(PART);
        match until {
            Asked(method, path) => fake.wait_for(method, path, 1),
            Flows => fake.wait_for_bytes(PART as u64 - BUFFER),
        }
        making.write(1000);
        let (layer, _, written) = making.push();
        assert_eq!(fake.blob("acme/x", &layer.descriptor.digest).as_ref(), Some(&written), "{name}");
        assert!(fake.uploaded() <= *most, "{name}: {} bytes for {whole}", fake.uploaded());
    }
}

#[test]
fn a_host_that_takes_no_streams_is_offered_none_again() {
    let fake = FakeRegistry::start(Faults::default());
    fake.set(|faults| {
        faults.rules = vec![support::registry::rule("PATCH", UPLOADS, usize::MAX, answer(411))];
    });
    let mut making = Making::new(&fake, None);
    making.write(PART);
    fake.wait_for_bytes(PART as u64 - BUFFER);
    let (client, to) = (making.client.clone(), making.to.clone());
    assert_eq!(making.push().1, Pushed::Uploaded);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let writer =
        LayerWriter::new(&store, Compression::None, media_type::OCI_LAYER, &Workers::new(1)).unwrap();
    assert!(client.push_early(&to, None, writer.growing()).is_none());
}

/// The image that a registry has, whole, and its bytes of blobs.
fn size(fake: &FakeRegistry) -> usize {
    let manifest: serde_json::Value = serde_json::from_slice(&fake.manifest("acme/x", "1").unwrap()).unwrap();
    let blobs = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
    let sizes = blobs.map(|blob| {
        let digest = blob["digest"].as_str().unwrap().parse().unwrap();
        let bytes = fake.blob("acme/x", &digest).unwrap();
        assert_eq!(bytes.len() as u64, blob["size"].as_u64().unwrap());
        bytes.len()
    });
    sizes.sum()
}

#[test]
fn layers_of_extensions_flow_to_an_empty_repository_and_to_one_that_is_as_it_was_left() {
    let (fake, world) = (FakeRegistry::start(Faults::default()), World::new());
    let manifest = std::fs::read(support::testdata("my-module/amd64/manifest.yaml")).unwrap();
    world.write("manifest.yaml", manifest);
    let to = format!("docker://{}/acme/x:1", fake.host);
    let big = "big.bin:usr/lib/firmware/big.bin";
    let words = ["extension", "--manifest", "manifest.yaml", "--file", big, "-o", &to];
    let build = |seed, more: &[&str]| {
        world.write("big.bin", noise(seed, 30_000_000));
        let before = fake.uploaded();
        world.ok(&[&words, more].concat());
        (fake.uploaded() - before, fake.count("PATCH", UPLOADS))
    };
    let (sent, streams) = build(3, &[]);
    assert_eq!((sent, streams, fake.count("GET", "/tags/list")), (size(&fake), 1, 1));
    let (sent, streams) = build(4, &[]);
    assert_eq!((streams, fake.count("GET", "/tags/list")), (2, 1));
    assert!((30_000_000..=size(&fake)).contains(&sent), "{sent}");
    // Who does not know what is there asks by the digest first.
    assert_eq!(build(4, &["--cache", "another"]), (0, 2));
}

#[test]
fn layers_of_installers_flow_too() {
    let (fake, world) = (FakeRegistry::start(Faults::default()), World::new());
    let firmware = noise(5, 30_000_000);
    let firmware = extension(&world, "firmware", &[("usr/lib/firmware/acme/a.bin", &firmware)]);
    let to = format!("docker://{}/acme/x:1", fake.host);
    world.ok(&Inputs::tiny().words(&[&firmware], &["-o", &to]));
    assert_eq!((fake.uploaded(), fake.count("PATCH", UPLOADS)), (size(&fake), 1));
}
