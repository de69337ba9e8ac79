//! `talosmith copy --tags`: a repository kept in another place.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::World;
use support::installer::extension;
use support::registry::{FakeRegistry, Faults, Rule, Wrong};

/// A registry with an image under each of these tags, each with the tag as its text.
fn registry(world: &World, tags: &[&str]) -> FakeRegistry {
    let fake = FakeRegistry::start(Faults::default());
    for tag in tags {
        push(world, &fake, tag, tag);
    }
    fake
}

fn push(world: &World, fake: &FakeRegistry, tag: &str, text: &str) {
    let folder = extension(world, "one", &[("usr/local/share/text", text.as_bytes())]);
    world.ok(&["extension", &folder, "-o", &format!("docker://{}/acme/x:{tag}", fake.host), "-q"]);
}

#[test]
fn the_tags_that_fit_are_copied_once_in_the_order_of_versions() {
    let world = World::new();
    let from = registry(&world, &["v1.11.10", "v1.11.9", "v1.10.3", "latest"]);
    let to = FakeRegistry::start(Faults::default());
    let (source, target) = (format!("{}/acme/x", from.host), format!("{}/site/x", to.host));
    let words = ["copy", "--tags", "v1.11.*", &source, &target];

    let dry = world.ok(&[&words[..], &["--dry-run"]].concat());
    assert!(dry.lines().last().unwrap().starts_with("2 tags: 2 to be copied (images of "), "{dry}");
    assert!(to.log().iter().all(|asked| asked.method == "HEAD"), "{:?}", to.log());

    let said = world.ok(&words);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("new     v1.11.9@sha256:") && lines[1].starts_with("new     v1.11.10@sha256:")
    );
    assert!(lines[2].ends_with(", 0 there already"), "{said}");
    assert_eq!(to.manifest("site/x", "v1.11.9"), from.manifest("acme/x", "v1.11.9"));
    assert_eq!(to.manifest("site/x", "v1.10.3"), None);

    // Again: nothing is pulled, which is what registries count, and nothing sent.
    let pulls = from.count("GET", "/manifests/");
    let sent = to.log().len();
    let said = world.ok(&words);
    assert!(said.ends_with("2 tags: 0 copied (images of 0 bytes), 2 there already\n"), "{said}");
    assert_eq!(from.count("GET", "/manifests/"), pulls);
    assert!(to.log()[sent..].iter().all(|asked| asked.method == "HEAD"));

    // One moves, one is new.
    push(&world, &from, "v1.11.9", "other");
    push(&world, &from, "v1.11.11", "new");
    let value = world.json(&words);
    let fates: Vec<&str> =
        value["result"]["tags"].as_array().unwrap().iter().map(|tag| tag["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["copied", "there", "copied"]);
    assert!(value["result"]["tags"][0]["before"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(value["result"]["summary"]["copied"], 2);
    assert_eq!(to.manifest("site/x", "v1.11.9"), from.manifest("acme/x", "v1.11.9"));
}

#[test]
fn a_tag_that_cannot_be_copied_does_not_stop_the_others_and_comes_the_next_time() {
    let world = World::new();
    let from = registry(&world, &["1", "2", "3"]);
    let to = FakeRegistry::start(Faults::default());
    let refuse = Wrong::Answer(403, &[], r#"{"errors":[{"code":"DENIED","message":"quota"}]}"#);
    to.set(|faults| {
        faults.rules = vec![Rule { method: "PUT", path: "/manifests/2", times: 1, wrong: refuse }]
    });
    let (source, target) = (format!("{}/acme/x", from.host), format!("{}/site/x", to.host));
    let words = ["copy", "--tags", "*", &source, &target];
    let ran = world.run(&words);
    ran.failed(
        4,
        &["`2` is not copied: ", "DENIED: quota", "no credentials are known", "run it again to go on"],
    );
    assert!(ran.out.contains("failed  2\n") && ran.out.contains("3 tags: 2 copied (images of "), "{ran:#?}");
    assert!(ran.out.ends_with(", 0 there already, 1 failed\n"), "{ran:#?}");
    let sent = to.uploaded();
    let said = world.ok(&words);
    assert!(said.contains("3 tags: 1 copied (images of ") && said.ends_with(", 2 there already\n"), "{said}");
    assert_eq!(to.uploaded(), sent, "its blobs were there");
}

#[test]
fn a_layout_is_a_target_too_and_what_makes_no_sense_is_refused() {
    let world = World::new();
    let from = registry(&world, &["1", "2"]);
    let source = format!("{}/acme/x", from.host);
    world.ok(&["copy", "--tags", "?", &source, "oci:site"]);
    assert!(world.ok(&["inspect", "oci:site:2"]).contains("kind        extension"));
    assert!(world.ok(&["copy", "--tags", "?", &source, "oci:site"]).ends_with(", 2 there already\n"));

    let refused = |words: &[&str], code, said: &[&str]| world.run(words).failed(code, said);
    refused(
        &["copy", "--tags", "v*", &source, "oci:site"],
        3,
        &["no tag of `", "fits v*", "2 tags, such as `2`"],
    );
    let tagged = format!("{source}:1");
    refused(&["copy", "--tags", "*", &tagged, "oci:site"], 2, &["leave the tag out of SRC and DST"]);
    refused(&["copy", "--tags", "*", "oci:site", "oci:other"], 2, &["is for the tags of a registry"]);
    refused(&["copy", "--tags", "*", &source, "oci:a", "oci:b"], 2, &["wants one DST"]);
    refused(&["copy", "--tags", "*", &source, "oci-archive:a.tar"], 2, &["is a repository or `oci:DIR`"]);
    refused(&["copy", "--dry-run", &source, "oci:a"], 2, &["--tags"]);
    refused(&["copy", "--tags", "*", &source, "oci:a", "--offline"], 4, &["--offline"]);
}

#[test]
fn tags_of_one_image_move_its_blobs_once() {
    let world = World::new();
    let from = registry(&world, &["1.2.3"]);
    let manifest = from.manifest("acme/x", "1.2.3").unwrap();
    for tag in ["latest", "1", "1.2"] {
        from.add_manifest("acme/x", tag, "application/vnd.oci.image.manifest.v1+json", &manifest);
    }
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    let to = FakeRegistry::start(Faults::default());
    let (source, target) = (format!("{}/acme/x", from.host), format!("{}/site/x", to.host));
    world.ok(&["copy", "--tags", "*", &source, &target, "--jobs", "8"]);
    assert_eq!(to.count("POST", "/blobs/uploads/"), to.count("PUT", "/blobs/uploads/"));
    assert_eq!(to.uploaded(), from.given());
    for tag in ["latest", "1", "1.2", "1.2.3"] {
        assert_eq!(to.manifest("site/x", tag).as_ref(), Some(&manifest));
    }
}

#[test]
fn a_source_cannot_lead_out_of_the_repository_and_what_stops_one_tag_stops_all() {
    let world = World::new();
    let from = registry(&world, &["v1", "v2", "v3"]);
    let climbing = "v1/../../../../prod/app/manifests/latest";
    from.add_manifest("acme/x", climbing, "application/vnd.oci.image.index.v1+json", b"{}");
    let to = FakeRegistry::start(Faults::default());
    let (source, target) = (format!("{}/acme/x", from.host), format!("{}/site/x", to.host));
    let ran = world.run(&["copy", "--tags", "*", &source, &target]);
    assert!(ran.code == 0 && ran.err.contains("1 of them are no tags, such as `v1/../"), "{ran:#?}");
    assert!(to.log().iter().all(|asked| asked.path.starts_with("/v2/site/x/")));

    let nobody = format!("127.0.0.1:{}/site/x", support::docker_registry::free_port());
    let ran = world.run(&["copy", "--tags", "*", "--jobs", "1", "--tries", "1", "--json", &source, &nobody]);
    assert_eq!(ran.code, 4);
    let value: serde_json::Value = serde_json::from_str(&ran.out).expect("one document");
    assert_eq!(value["result"]["summary"]["failed"], 1);
    assert_eq!(value["result"]["summary"]["notTried"], 2);
}
