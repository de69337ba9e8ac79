//! Blobs that go to a registry while they are made: what is sent when, that nothing is sent twice or in vain, and that
//! whatever goes wrong on the way ends in the ordinary push.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write as _;

use support::World;
use support::registry::{FakeRegistry, Faults, Rule, Wrong, answer, noise};
use support::time::TestTime;
use talosmith::archive::compress::Compression;
use talosmith::base::{Digest, Workers};
use talosmith::image::registry::{Client, EarlyPush, Progress, Pushed};
use talosmith::image::{Descriptor, Layer, LayerWriter, RegistryReference, Store, media_type};

/// More than is sent at once at least, which is 8 MiB.
const PART: usize = 9_000_000;
const UPLOADS: &str = "/blobs/uploads/";

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
    fn new(fake: &FakeRegistry, is_new: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let workers = Workers::new(1);
        let writer = LayerWriter::new(&store, Compression::None, media_type::OCI_LAYER, &workers).unwrap();
        let time = TestTime::default();
        fake.set(|faults| faults.stalls = Some(time.stalls.clone()));
        let client = time.client();
        let to: RegistryReference = format!("{}/acme/x", fake.host).parse().unwrap();
        let early = client.push_early(&to, writer.growing(), is_new);
        Self { store, _folder: folder, client, to, writer, early, written: Vec::new() }
    }

    fn write(&mut self, length: usize) {
        let part = noise(self.written.len() as u64 + 7, length);
        self.writer.write_all(&part).unwrap();
        self.written.extend(part);
    }

    /// Ends the layer, and pushes it like any other.
    fn push(self) -> (Layer, Pushed, Vec<u8>) {
        let layer = self.writer.finish().unwrap();
        let Descriptor { digest, size, .. } = layer.descriptor;
        assert_eq!(digest, Digest::of(&self.written));
        let content = self.store.blob(&digest, size).unwrap();
        if let Some(early) = self.early {
            early.end(content.clone(), digest);
        }
        let pushed = self.client.push_blob(&self.to, &layer.descriptor, &content, &[], &Progress::default());
        (layer, pushed.unwrap(), self.written)
    }
}

#[test]
fn a_blob_is_sent_while_it_is_made_and_no_byte_of_it_twice() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, false);
    for part in 1..=2 {
        making.write(PART);
        fake.wait_for("PATCH", UPLOADS, part);
    }
    making.write(1000);
    let (layer, pushed, written) = making.push();
    assert_eq!(pushed, Pushed::Existed);
    assert_eq!(fake.blob("acme/x", &layer.descriptor.digest).unwrap(), written);
    assert_eq!(fake.uploaded(), written.len());
    assert_eq!(fake.count("GET", "/tags/list"), 1);
    assert_eq!((fake.count("POST", UPLOADS), fake.count("DELETE", UPLOADS)), (1, 0));
}

#[test]
fn a_small_blob_asks_for_nothing_before_it_is_whole() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, true);
    making.write(1000);
    let (layer, pushed, written) = making.push();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!(fake.blob("acme/x", &layer.descriptor.digest).unwrap(), written);
    let asked: Vec<String> = fake.log().into_iter().map(|asked| asked.method).collect();
    assert_eq!(asked, ["HEAD", "POST", "PUT"]);
}

#[test]
fn what_may_be_there_waits_until_its_digest_is_known() {
    let fake = FakeRegistry::start(Faults::default());
    fake.add_manifest("acme/x", "1", media_type::OCI_MANIFEST, b"{}");
    let mut making = Making::new(&fake, false);
    making.write(PART);
    fake.wait_for("GET", "/tags/list", 1);
    fake.add_blob("acme/x", &making.written);
    let (_, pushed, _) = making.push();
    assert_eq!((pushed, fake.uploaded()), (Pushed::Existed, 0));
    // What nobody can have made before does not.
    let mut making = Making::new(&fake, true);
    making.write(PART + 1);
    fake.wait_for("PATCH", UPLOADS, 1);
    let (_, pushed, written) = making.push();
    assert_eq!((pushed, fake.uploaded()), (Pushed::Existed, written.len()));
    assert_eq!(fake.count("GET", "/tags/list"), 1);
}

#[test]
fn what_turns_out_to_be_there_is_not_sent_to_its_end() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, true);
    making.write(PART);
    fake.wait_for("PATCH", UPLOADS, 1);
    making.write(5000);
    fake.add_blob("acme/x", &making.written);
    let (_, pushed, _) = making.push();
    assert_eq!((pushed, fake.uploaded()), (Pushed::Existed, PART));
    fake.wait_for("DELETE", UPLOADS, 1);
}

#[test]
fn what_is_never_whole_is_taken_back() {
    let fake = FakeRegistry::start(Faults::default());
    let mut making = Making::new(&fake, true);
    making.write(PART);
    fake.wait_for("PATCH", UPLOADS, 1);
    drop(making);
    fake.wait_for("DELETE", UPLOADS, 1);
}

#[test]
fn whatever_goes_wrong_ends_in_the_right_blob() {
    let rule = |method, path, wrong| support::registry::rule(method, path, 1, wrong);
    /// The faults; the request after which the layer is ended, its number; and the most bytes that go over the wire.
    type Script = (&'static str, Vec<Rule>, fn(&mut Faults), (&'static str, &'static str, usize), usize);
    let (whole, part) = (PART + 1000, PART);
    let patch = ("PATCH", UPLOADS, 1);
    let none: fn(&mut Faults) = |_| {};
    let mut scripts: Vec<Script> = vec![
        ("no tags", vec![rule("GET", "/tags", answer(500))], none, ("GET", "/tags", 1), whole),
        (
            "tags of a proxy",
            vec![rule("GET", "/tags", Wrong::Answer(200, &[], "<html>"))],
            none,
            ("GET", "/tags", 1),
            whole,
        ),
        ("no session", vec![rule("POST", UPLOADS, answer(403))], none, ("POST", UPLOADS, 1), whole),
        (
            "a session without place",
            vec![rule("POST", UPLOADS, Wrong::Without("Location"))],
            none,
            ("POST", UPLOADS, 1),
            whole,
        ),
        (
            "no answer to a session",
            vec![rule("POST", UPLOADS, Wrong::Mute)],
            none,
            ("POST", UPLOADS, 1),
            whole,
        ),
        ("cut in the part", vec![rule("PATCH", UPLOADS, Wrong::Take(5_000_000))], none, patch, whole),
        ("the answer to the part lost", vec![rule("PATCH", UPLOADS, Wrong::Mute)], none, patch, whole),
        ("no answer to the part", vec![rule("PATCH", UPLOADS, Wrong::Silence)], none, patch, whole),
        (
            "cut, and nothing kept",
            vec![rule("PATCH", UPLOADS, Wrong::Take(5_000_000))],
            |f| f.forgetful = true,
            patch,
            whole + 5_000_000,
        ),
        (
            "less taken than sent",
            vec![rule("PATCH", UPLOADS, Wrong::With("Range", "0-99"))],
            none,
            patch,
            3 * whole,
        ),
        (
            "more taken than sent",
            vec![rule("PATCH", UPLOADS, Wrong::With("Range", "0-99999999"))],
            none,
            patch,
            whole + part,
        ),
        (
            "parts of a least length",
            vec![rule("POST", UPLOADS, Wrong::With("OCI-Chunk-Min-Length", "8500000"))],
            none,
            patch,
            whole,
        ),
        ("the end refused", vec![rule("PUT", UPLOADS, answer(404))], none, patch, whole + whole),
        ("cut at the end", vec![rule("PUT", UPLOADS, Wrong::Mute)], none, patch, whole),
        ("no HEAD", vec![], |f| f.no_head = true, patch, whole),
    ];
    for (name, status) in [("405", 405), ("501", 501), ("413", 413), ("416", 416), ("404", 404), ("400", 400)]
    {
        scripts.push((name, vec![rule("PATCH", UPLOADS, answer(status))], none, patch, whole + part));
    }
    for (name, status) in [("500", 500), ("503", 503), ("429", 429)] {
        scripts.push((name, vec![rule("PATCH", UPLOADS, answer(status))], none, patch, whole + part));
    }
    for (name, rules, more, (method, path, times), most) in scripts {
        let fake = FakeRegistry::start(Faults { rules, ..Faults::default() });
        fake.set(more);
        let mut making = Making::new(&fake, false);
        making.write(PART);
        fake.wait_for(method, path, times);
        making.write(1000);
        let (layer, _, written) = making.push();
        assert_eq!(fake.blob("acme/x", &layer.descriptor.digest).as_ref(), Some(&written), "{name}");
        assert!(fake.uploaded() <= most, "{name}: {} bytes for {whole}", fake.uploaded());
    }
}

#[test]
fn a_host_that_takes_no_parts_is_offered_none_again() {
    let fake = FakeRegistry::start(Faults::default());
    fake.set(|faults| {
        faults.rules = vec![support::registry::rule("PATCH", UPLOADS, usize::MAX, answer(405))];
    });
    let mut making = Making::new(&fake, true);
    making.write(PART);
    fake.wait_for("DELETE", UPLOADS, 1);
    assert!(making.client.push_early(&making.to, making.writer.growing(), true).is_none());
    assert_eq!(making.push().1, Pushed::Uploaded);
}

#[test]
fn an_extension_built_for_an_empty_repository_arrives_whole_and_sent_once() {
    let (fake, world) = (FakeRegistry::start(Faults::default()), World::new());
    world.write("big.bin", noise(3, 30_000_000));
    let manifest = std::fs::read(support::testdata("my-module/amd64/manifest.yaml")).unwrap();
    world.write("manifest.yaml", manifest);
    let to = format!("docker://{}/acme/x:1", fake.host);
    let ran = world.run(&[
        "extension",
        "--manifest",
        "manifest.yaml",
        "--file",
        "big.bin:usr/lib/firmware/big.bin",
        "-o",
        &to,
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let manifest: serde_json::Value = serde_json::from_slice(&fake.manifest("acme/x", "1").unwrap()).unwrap();
    let mut sizes = 0;
    for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().unwrap().parse().unwrap();
        let bytes = fake.blob("acme/x", &digest).unwrap();
        assert_eq!(bytes.len() as u64, blob["size"].as_u64().unwrap());
        sizes += bytes.len();
    }
    assert_eq!(fake.uploaded(), sizes);
}
