//! The registry client judged by Debian's `docker-registry`, which we did not write.

// The helpers of tests are tests too; clippy's own exemption ends at `#[test]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use support::docker_registry::DockerRegistry;
use support::judge::judge;
use support::push_blobs;
use talosmith::base::{Content, Digest, Events};
use talosmith::image::registry::{Client, Options, Progress, Pushed};
use talosmith::image::{Descriptor, RegistryReference, media_type};

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
