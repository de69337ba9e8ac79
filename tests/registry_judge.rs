//! The registry client judged by registries that we did not write: Debian's `docker-registry`, and crane's.

// The helpers of tests are tests too; clippy's own exemption ends at `#[test]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]

mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use support::docker_registry::DockerRegistry;
use support::judge::judge;
use support::push_blobs;
use support::time::TestTime;
use talosmith::archive::compress::Compression;
use talosmith::base::{Content, Digest, Event, Events, Workers};
use talosmith::image::registry::{Client, Options, Progress, Pushed};
use talosmith::image::{Descriptor, LayerWriter, RegistryReference, Store, media_type};

#[test]
fn docker_registry_takes_an_image_keeps_it_mounts_it_and_gives_it_back() {
    let Some(program) = judge("docker-registry") else { return };
    let registry = DockerRegistry::start(&program);
    let client = Client::new(Options { ..Options::default() }, Events::default());
    let reference = |name: &str| -> RegistryReference { registry.reference(name).parse().unwrap() };
    let (first, second) = (reference("acme/x:1"), reference("acme/y:1"));
    let layer: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let blobs = [
        (Descriptor::of(media_type::OCI_LAYER, &layer), Content::memory(layer.clone())),
        (Descriptor::of(media_type::OCI_CONFIG, config), Content::memory(&config[..])),
    ];
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": blobs[1].0, "layers": [blobs[0].0],
    }))
    .unwrap();
    let progress = Progress::default();
    assert_eq!(push_blobs(&client, &first, &blobs, &[], &progress).unwrap(), [Pushed::Uploaded; 2]);
    let digest = client.push_manifest(&first, media_type::OCI_MANIFEST, &manifest).unwrap();
    assert_eq!(digest, Digest::of(&manifest));
    let nothing = Progress::new(|_| panic!("bytes of a blob that is there were sent"));
    assert_eq!(push_blobs(&client, &first, &blobs, &[], &nothing).unwrap(), [Pushed::Existed; 2]);
    let from = std::slice::from_ref(&first);
    assert_eq!(push_blobs(&client, &second, &blobs, from, &nothing).unwrap(), [Pushed::Mounted; 2]);
    client.push_manifest(&second.with_digest(digest), media_type::OCI_MANIFEST, &manifest).unwrap();

    let (descriptor, bytes) = client.resolve(&second.with_digest(digest)).unwrap();
    assert_eq!((descriptor.digest, bytes.as_slice()), (digest, manifest.as_slice()));
    assert!(client.has_manifest(&second, &descriptor).unwrap());
    let mut got = Vec::new();
    client.pull_blob(&second, &blobs[0].0, &mut got, &progress).unwrap();
    assert_eq!(got, layer);
    assert_eq!(client.tags(&first).unwrap(), ["1"]);
}

/// Bytes of which no two parts are the same.
fn layer(length: u64) -> Vec<u8> {
    (0..length / 32)
        .flat_map(|n| Digest::of(&n.to_le_bytes()).to_string().into_bytes().split_off(39))
        .collect()
}

#[test]
fn real_registries_get_and_give_an_image_over_connections_that_break() {
    let registries = [
        judge("docker-registry").map(|program| ("docker-registry", DockerRegistry::start(&program))),
        judge("crane").map(|program| ("crane", DockerRegistry::crane(&program))),
    ];
    for (name, registry) in registries.into_iter().flatten() {
        let bytes = layer(8_000_000);
        let (blob, content) = (Descriptor::of(media_type::OCI_LAYER, &bytes), Content::memory(bytes.clone()));
        let to: RegistryReference = registry.reference("acme/x:1").parse().unwrap();
        let progress = Progress::default();
        // In the middle of three uploads, and while it is asked how far it is.
        registry.break_after(&[
            (3_000_000, u64::MAX),
            (2_000_000, u64::MAX),
            (1000, 100),
            (1_500_000, u64::MAX),
        ]);
        let client = TestTime::default().client();
        assert_eq!(
            client.push_blob(&to, &blob, &content, &[], &progress).unwrap(),
            Pushed::Uploaded,
            "{name}"
        );
        let sent = registry.sent();
        assert!(sent < 3 * blob.size, "{name}: {sent}");
        println!("{name}: {sent} bytes were sent for {} ", blob.size);
        assert_eq!(
            client.push_blob(&to, &blob, &content, &[], &progress).unwrap(),
            Pushed::Existed,
            "{name}"
        );
        // In the middle of two pulls: what came is not fetched again.
        let client = TestTime::default().client();
        registry.break_after(&[(u64::MAX, 3_000_000), (u64::MAX, 2_500_000)]);
        let got = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&got);
        let progress = Progress::new(move |bytes| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        });
        let mut pulled = Vec::new();
        client.pull_blob(&to, &blob, &mut pulled, &progress).unwrap();
        assert_eq!(Digest::of(&pulled), blob.digest, "{name}");
        assert_eq!(got.load(Ordering::Relaxed), blob.size, "{name}");
    }
}

#[test]
fn real_registries_take_a_layer_while_it_is_made() {
    let registries = [
        judge("docker-registry").map(|program| ("docker-registry", DockerRegistry::start(&program))),
        judge("crane").map(|program| ("crane", DockerRegistry::crane(&program))),
    ];
    for (name, registry) in registries.into_iter().flatten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (sent, told) = mpsc::channel();
        let events = Events::new(move |event| {
            if let Event::Advanced { bytes, .. } = event {
                let _ = sent.send(bytes); // of what comes after the test nobody wants to know
            }
        });
        let client = Client::new(Options::default(), events);
        let to: RegistryReference = registry.reference("acme/x:1").parse().unwrap();
        let none = Compression::None;
        let mut writer = LayerWriter::new(&store, none, media_type::OCI_LAYER, &Workers::new(1)).unwrap();
        let early = client.push_early(&to, None, writer.growing()).unwrap();
        let bytes = layer(30_000_000);
        let (mut written, mut gone) = (0, 0);
        for part in [9_000_000, 12_000_000] {
            writer.write_all(&bytes[written..written + part]).unwrap();
            written += part;
            // As long as it grows, less than a buffer is not sent.
            while gone + (256 << 10) < written as u64 {
                gone += told.recv_timeout(Duration::from_secs(60)).unwrap();
            }
        }
        writer.write_all(&bytes[written..]).unwrap();
        let layer = writer.finish().unwrap().descriptor;
        let content = store.blob(&layer.digest, layer.size).unwrap();
        early.end(layer.digest);
        let pushed = client.push_blob(&to, &layer, &content, &[], &Progress::default()).unwrap();
        assert_eq!(pushed, Pushed::Uploaded, "{name}");
        let sent = registry.sent();
        assert!(sent < layer.size + 100_000, "{name}: {sent}");
        let mut pulled = Vec::new();
        client.pull_blob(&to, &layer, &mut pulled, &Progress::default()).unwrap();
        assert!(pulled == bytes, "{name}");
    }
}
