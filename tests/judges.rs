//! Programs that we did not write say whether our images are right: skopeo, umoci, crane, GNU tar,
//! `docker-registry`, the schemas of the OCI specification. `tests/run.sh` gets them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::docker_registry::DockerRegistry;
use support::judge::{judge, judge_at};
use support::modules::{AMD64, ARM64, folder_of, modules, network_drivers};
use support::{Ran, World, judged, testdata};

const MANIFEST: &str = "version: v1alpha1\nmetadata:\n  name: acme\n  version: 1.2.3\n  author: Acme\n  description: Drivers\n  compatibility:\n    talos:\n      version: \">= v1.10.0\"\n";

/// Builds the repository's example to `outputs`; gives the digest.
fn build(world: &World, outputs: &[&str], more: &[&str]) -> String {
    let directory = testdata("my-module/amd64");
    let outputs: Vec<&str> = outputs.iter().flat_map(|output| ["-o", output]).collect();
    world.digest(&[&["extension", &directory], &outputs[..], more].concat())
}

/// Builds an index of two platforms; gives its digest.
fn build_both(world: &World, output: &str) -> String {
    world.write("both/manifest.yaml", MANIFEST);
    for (arch, name) in [("amd64", "good.ko"), ("arm64", "arm64-crc7.ko")] {
        let bytes = fs::read(testdata(&format!("modules/{name}"))).unwrap();
        world.write(&format!("modules/{arch}/a.ko"), bytes);
    }
    let platforms = ["--platform", "linux/amd64,linux/arm64", "-o", output];
    let inputs = ["extension", "--manifest", "both/manifest.yaml", "--module", "modules/{arch}/a.ko"];
    world.digest(&[&inputs[..], &platforms].concat())
}

/// What we say an image's digest is.
fn digest(world: &World, reference: &str) -> String {
    world.json(&["inspect", reference])["result"]["digest"].as_str().unwrap().to_owned()
}

/// Paths of files with sizes or targets, as we list them.
fn files(world: &World, reference: &str) -> serde_json::Value {
    world.json(&["inspect", reference, "--files"])["result"]["images"][0]["files"].clone()
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Runs skopeo in the world; its policy of signatures is the host's affair, not this test's.
fn skopeo(program: &Path, world: &World, words: &[&str]) -> String {
    judged(program, &[&["--insecure-policy"], words].concat(), &world.path(""))
}

/// All files below a folder by their paths: permission bits, and bytes of regular files.
fn listing(folder: &Path) -> BTreeMap<String, (u32, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(current).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let bytes = metadata.is_file().then(|| fs::read(&path).unwrap());
            found.insert(name, (metadata.permissions().mode() & 0o7777, bytes));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn skopeo_sees_the_documents_that_we_wrote() {
    let Some(program) = judge("skopeo") else { return };
    let world = World::new();
    let digest = build(&world, &["docker-archive:d.tar:acme/x:1", "oci-archive:x.tar:x", "oci:out:x"], &[]);
    let manifest = fs::read_to_string(blob(&world.path("out"), &digest)).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let config = blob(&world.path("out"), parsed["config"]["digest"].as_str().unwrap());
    let config = fs::read_to_string(config).unwrap();
    for reference in ["oci:out:x", "oci-archive:x.tar:x"] {
        assert_eq!(skopeo(&program, &world, &["inspect", "--raw", reference]).trim_end(), manifest);
        assert_eq!(skopeo(&program, &world, &["inspect", "--config", "--raw", reference]).trim_end(), config);
        let seen = skopeo(&program, &world, &["inspect", reference]);
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen["Digest"], digest.as_str());
        assert_eq!((&seen["Os"], &seen["Architecture"]), (&"linux".into(), &"amd64".into()));
        assert_eq!(seen["Labels"]["org.opencontainers.image.title"], "my-module");
    }
    let archive = "docker-archive:d.tar:acme/x:1";
    assert_eq!(skopeo(&program, &world, &["inspect", "--config", "--raw", archive]).trim_end(), config);
}

#[test]
fn skopeo_copies_our_images_and_we_read_its_copies() {
    let Some(program) = judge("skopeo") else { return };
    // Not `--format docker`: it does not look for Docker's media types in a layout.
    for more in [&[][..], &["--compression", "zstd"], &["--compression", "none"]] {
        let world = World::new();
        let made = build(&world, &["oci:out:x", "oci-archive:x.tar:x"], more);
        for (from, to) in [
            ("oci:out:x", "oci:copy:y"),
            ("oci:copy:y", "oci-archive:copy.tar:z"),
            ("oci-archive:x.tar:x", "oci:other:x"),
            ("oci-archive:copy.tar:z", "oci:third:x"),
        ] {
            // Without being told it would compress plain layers.
            skopeo(&program, &world, &["copy", "--preserve-digests", from, to]);
            assert_eq!(digest(&world, to), made, "{more:?} {to}");
            let target = format!("oci:back:{}", to.replace([':', '.', '/'], "-"));
            assert_eq!(world.digest(&["copy", to, &target]), made, "{more:?} {to}");
        }
    }
}

#[test]
fn skopeo_and_we_read_each_others_docker_archives() {
    let Some(program) = judge("skopeo") else { return };
    let world = World::new();
    for (name, more) in [("gzip", &[][..]), ("zstd", &["--compression", "zstd"])] {
        let (layout, ours) = (format!("oci:out:{name}"), format!("docker-archive:{name}.tar:acme/x:1"));
        build(&world, &[&layout, &ours], more);
        skopeo(&program, &world, &["copy", &ours, &format!("oci:from-{name}:x")]);
        assert_eq!(files(&world, &format!("oci:from-{name}:x")), files(&world, &layout));
        if name == "zstd" {
            continue; // it does not unpack zstd for a docker archive
        }
        let theirs = format!("docker-archive:their-{name}.tar:acme/y:2");
        skopeo(&program, &world, &["copy", &layout, &theirs]);
        assert_eq!(files(&world, &theirs), files(&world, &layout));
        world.ok(&["check", &theirs]);
        world.ok(&["copy", &theirs, &format!("oci:read-{name}:x")]);
        let seen = skopeo(&program, &world, &["inspect", &format!("oci:read-{name}:x")]);
        assert!(seen.contains("\"org.opencontainers.image.title\": \"my-module\""), "{seen}");
    }
}

#[test]
fn skopeo_keeps_our_index_of_platforms_as_it_is() {
    let Some(program) = judge("skopeo") else { return };
    let world = World::new();
    let made = build_both(&world, "oci:out:x");
    for (from, to) in [("oci:out:x", "oci:copy:y"), ("oci:copy:y", "oci-archive:copy.tar:z")] {
        skopeo(&program, &world, &["copy", "--all", from, to]);
        assert_eq!(digest(&world, to), made, "{to}");
        world.ok(&["check", to]);
    }
    let arm = ["--override-arch", "arm64", "inspect", "--config", "oci:out:x"];
    let seen: serde_json::Value = serde_json::from_str(&skopeo(&program, &world, &arm)).unwrap();
    assert_eq!(seen["architecture"], "arm64");
}

#[test]
fn skopeo_and_we_meet_in_a_registry() {
    let (Some(program), Some(server)) = (judge("skopeo"), judge("docker-registry")) else { return };
    let world = World::new();
    let registry = DockerRegistry::start(&server);
    let at = |name: &str| format!("docker://{}", registry.reference(name));
    let made = build(&world, &[&at("acme/x:1"), "oci:out:x"], &[]);
    let both = build_both(&world, &at("acme/both:1"));
    let (plain_from, plain_to) = ("--src-tls-verify=false", "--dest-tls-verify=false");
    let raw = skopeo(&program, &world, &["inspect", "--tls-verify=false", "--raw", &at("acme/x:1")]);
    assert_eq!(raw.trim_end(), fs::read_to_string(blob(&world.path("out"), &made)).unwrap());
    skopeo(&program, &world, &["copy", plain_from, &at("acme/x:1"), "oci:pulled:x"]);
    assert_eq!(digest(&world, "oci:pulled:x"), made);
    skopeo(&program, &world, &["copy", plain_from, "--all", &at("acme/both:1"), "oci:pulled:both"]);
    assert_eq!(digest(&world, "oci:pulled:both"), both);
    skopeo(&program, &world, &["copy", plain_to, "--all", "oci:pulled:both", &at("acme/theirs:1")]);
    assert_eq!(digest(&world, &at("acme/theirs:1")), both);
    assert_eq!(world.digest(&["copy", &at("acme/theirs:1"), "oci:ours"]), both);
}

#[test]
fn umoci_unpacks_the_manifest_and_the_rootfs_and_nothing_else() {
    let Some(program) = judge("umoci") else { return };
    let world = World::new();
    build(&world, &["oci:out:x"], &[]);
    judged(&program, &["unpack", "--rootless", "--image", "out:x", "bundle"], &world.path(""));
    let found = listing(&world.path("bundle/rootfs"));
    let module = "rootfs/usr/lib/modules/6.12.117-talos/extras/my-module.ko";
    let mut wanted = BTreeMap::new();
    for path in Path::new(module).ancestors().skip(1).filter(|path| *path != Path::new("")) {
        wanted.insert(path.to_str().unwrap().to_owned(), (0o755, None));
    }
    for path in [module, "manifest.yaml"] {
        let bytes = fs::read(testdata(&format!("my-module/amd64/{path}"))).unwrap();
        wanted.insert(path.to_owned(), (0o644, Some(bytes)));
    }
    assert_eq!(found, wanted);
}

#[test]
fn an_image_that_umoci_made_is_an_extension_like_any_other() {
    let Some(program) = judge("umoci") else { return };
    let world = World::new();
    world.write("tree/manifest.yaml", MANIFEST);
    world.write("tree/rootfs/usr/local/share/acme", "hi\n");
    world.write("more", "more");
    for words in [
        &["init", "--layout", "made"][..],
        &["new", "--image", "made:x"],
        // Writes an entry for `/`, and leaves the archive unclosed.
        &["insert", "--rootless", "--image", "made:x", "tree", "/"],
        &["insert", "--rootless", "--image", "made:x", "more", "/rootfs/usr/local/share/more"],
        &["config", "--image", "made:x", "--os", "linux", "--architecture", "amd64", "--config.label", "a=b"],
    ] {
        judged(&program, words, &world.path(""));
    }
    let found = world.json(&["inspect", "oci:made:x", "--files"]);
    let image = &found["result"]["images"][0];
    assert_eq!((&image["kind"], &image["labels"]["a"]), (&"extension".into(), &"b".into()));
    let paths: Vec<&str> =
        image["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    let share = ["rootfs/usr/local/share", "rootfs/usr/local/share/acme", "rootfs/usr/local/share/more"];
    assert_eq!(paths, [&["manifest.yaml", "rootfs", "rootfs/usr", "rootfs/usr/local"], &share[..]].concat());
    world.ok(&["check", "oci:made:x"]);
    let made = digest(&world, "oci:made:x");
    assert_eq!(world.digest(&["copy", "oci:made:x", "oci:copied:x"]), made);
    judged(&program, &["unpack", "--rootless", "--image", "copied:x", "bundle"], &world.path(""));
    assert_eq!(fs::read(world.path("bundle/rootfs/rootfs/usr/local/share/more")).unwrap(), b"more");
}

#[test]
fn crane_validates_what_we_push() {
    let (Some(program), Some(server)) = (judge("crane"), judge("docker-registry")) else { return };
    let world = World::new();
    let registry = DockerRegistry::start(&server);
    let crane = |words: &[&str]| judged(&program, words, &world.path(""));
    let both = registry.reference("acme/both:1");
    assert_eq!(crane(&["digest", &both_pushed(&world, &both)]).trim(), digest(&world, "oci:both:x"));
    crane(&["validate", "--remote", &both]);
    for (name, more) in
        [("gzip", &[][..]), ("zstd", &["--compression", "zstd"]), ("docker", &["--format", "docker"])]
    {
        let (layout, reference) = (format!("oci:out:{name}"), registry.reference(&format!("acme/{name}:1")));
        let made = build(&world, &[&layout, &format!("docker://{reference}")], more);
        if name != "zstd" {
            crane(&["validate", "--remote", &reference]); // it takes every layer for gzip
        }
        assert_eq!(crane(&["digest", &reference]).trim(), made);
        let manifest = fs::read_to_string(blob(&world.path("out"), &made)).unwrap();
        assert_eq!(crane(&["manifest", &reference]).trim_end(), manifest);
        crane(&["pull", "--format=oci", &reference, &format!("pulled-{name}")]);
        assert_eq!(digest(&world, &format!("oci:pulled-{name}")), made);
        assert_eq!(files(&world, &format!("oci:pulled-{name}")), files(&world, &layout));
    }
}

/// Pushes an index, keeps it in the layout `both` too, and gives the reference back.
fn both_pushed(world: &World, reference: &str) -> String {
    build_both(world, "oci:both:x");
    world.ok(&["copy", "oci:both:x", &format!("docker://{reference}")]);
    reference.to_owned()
}

#[test]
fn crane_validates_and_pushes_our_archives_and_layouts() {
    let (Some(program), Some(server)) = (judge("crane"), judge("docker-registry")) else { return };
    let world = World::new();
    let registry = DockerRegistry::start(&server);
    let crane = |words: &[&str]| judged(&program, words, &world.path(""));
    let made = build(&world, &["docker-archive:x.tar:acme/x:1", "oci:out"], &[]);
    crane(&["validate", "--tarball", "x.tar"]);
    let (layout, archive) = (registry.reference("acme/layout:1"), registry.reference("acme/archive:1"));
    crane(&["push", "out", &layout]);
    assert_eq!(digest(&world, &format!("docker://{layout}")), made);
    let pushed = crane(&["push", "x.tar", &archive]);
    let reference = format!("docker://{archive}");
    assert!(pushed.trim().ends_with(&digest(&world, &reference)), "{pushed}");
    assert_eq!(files(&world, &reference), files(&world, "oci:out"));
    build_both(&world, "oci:both");
    crane(&["push", "--index", "both", &registry.reference("acme/both:1")]);
    world.ok(&["check", &format!("docker://{}", registry.reference("acme/both:1"))]);
}

#[test]
fn our_documents_follow_the_schemas_of_the_specification() {
    let schemas = judge_at("TALOSMITH_IMAGE_SPEC", "folder of the OCI image specification's schemas");
    let python = judge_at("TALOSMITH_PYTHON", "python with `jsonschema`");
    let (Some(schemas), Some(python)) = (schemas, python) else { return };
    let world = World::new();
    let made = [
        build(&world, &["oci:out:gzip"], &["--annotation", "a=b", "--label", "c=d"]),
        build(&world, &["oci:out:zstd"], &["--compression", "zstd"]),
        build(&world, &["oci:out:none"], &["--compression", "none"]),
    ];
    let index = build_both(&world, "oci:out:both");
    let out = world.path("out");
    let mut manifests = made.to_vec();
    for entry in read_json(&blob(&out, &index))["manifests"].as_array().unwrap() {
        manifests.push(entry["digest"].as_str().unwrap().to_owned());
    }
    let mut documents = vec![
        ("image-layout-schema.json", out.join("oci-layout")),
        ("image-index-schema.json", out.join("index.json")),
        ("image-index-schema.json", blob(&out, &index)),
    ];
    for manifest in &manifests {
        let path = blob(&out, manifest);
        let manifest = read_json(&path);
        documents.push(("image-manifest-schema.json", path));
        documents.push(("config-schema.json", blob(&out, manifest["config"]["digest"].as_str().unwrap())));
        for descriptor in manifest["layers"].as_array().unwrap() {
            let path = world.write(&format!("{}.json", documents.len()), descriptor.to_string());
            documents.push(("content-descriptor.json", path));
        }
    }
    assert_eq!(documents.len(), 3 + 5 * 4);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/oci_schema.py");
    let judge = |documents: &[(&str, PathBuf)]| {
        let mut command = Command::new(&python);
        command.arg("-B").arg(&script).arg(&schemas);
        for (schema, path) in documents {
            command.arg(schema).arg(path);
        }
        Ran::of(command.output().unwrap())
    };
    let ran = judge(&documents);
    assert_eq!(ran.code, 0, "{}", ran.err);
    // The judge can say no, of what stands in a schema that another one refers to as well.
    let mut manifest = read_json(&blob(&out, &made[0]));
    manifest["layers"][0]["digest"] = "md5".into();
    manifest["config"] = "nothing".into();
    let broken = world.write("broken.json", manifest.to_string());
    judge(&[("image-manifest-schema.json", broken)]).failed(1, &["$.layers[0].digest", "$.config"]);
}

/// Lists every layer of an image of a layout with GNU tar, after GNU gzip.
fn tar_listings(world: &World, made: &str, words: &[&str]) -> Option<Vec<String>> {
    let (tar, gzip) = (judge("tar")?, judge("gzip")?);
    let manifest = read_json(&blob(&world.path("out"), made));
    let list = |layer: &serde_json::Value| {
        let file = fs::File::open(blob(&world.path("out"), layer["digest"].as_str().unwrap())).unwrap();
        let mut unzip = Command::new(&gzip).arg("-dc").stdin(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut command = Command::new(&tar);
        command.args(words).arg("-f").arg("-").stdin(unzip.stdout.take().unwrap()).env("LC_ALL", "C");
        let ran = Ran::of(command.output().unwrap());
        assert!(unzip.wait().unwrap().success());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
        ran.out
    };
    Some(manifest["layers"].as_array().unwrap().iter().map(list).collect())
}

#[test]
fn gnu_tar_lists_our_layers_in_order_with_the_owner_and_the_time_that_we_promise() {
    let world = World::new();
    let directory = testdata("my-module/amd64");
    world.write("z", "z");
    world.write("a/b", "b");
    let words =
        ["extension", &directory, "-o", "oci:out:x", "--file", "z:/usr/local/z", "--tree", "a:/usr/local/a"];
    let mut command = world.command(&words);
    let ran = Ran::of(command.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let made = ran.out.trim().rsplit_once('@').unwrap().1;
    let words = ["-t", "-v", "--numeric-owner", "--full-time", "--utc"];
    let Some(listings) = tar_listings(&world, made, &words) else { return };
    let module = "usr/lib/modules/6.12.117-talos/extras/my-module.ko";
    let mut paths = Vec::new();
    for listing in &listings {
        let mut before = String::new();
        for line in listing.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let &[mode, owner, _, day, hour, path] = words.as_slice() else { panic!("{line}") };
            let wanted = if path.ends_with('/') { "drwxr-xr-x" } else { "-rw-r--r--" };
            assert_eq!((mode, owner, day, hour), (wanted, "0/0", "2023-11-14", "22:13:20"), "{line}");
            assert!(before.as_str() < path, "{before} before {path}");
            before = path.to_owned();
            paths.push(path.to_owned());
        }
    }
    assert!(paths.contains(&format!("rootfs/{module}")) && paths.contains(&"manifest.yaml".to_owned()));
    assert!(paths.iter().all(|path| path.starts_with("rootfs/") || path == "manifest.yaml"), "{paths:?}");
}

#[test]
fn gnu_tar_finds_the_selinux_labels_that_were_asked_for() {
    let world = World::new();
    let label = "usr/lib/modules=system_u:object_r:module_t:s0";
    let made = build(&world, &["oci:out:x"], &["--selinux-label", label]);
    let Some(listings) = tar_listings(&world, &made, &["-t", "-vv", "--xattrs", "--xattrs-include=*"]) else {
        return;
    };
    let mut labelled = Vec::new();
    let mut path = "";
    for line in listings.iter().flat_map(|listing| listing.lines()) {
        match line.trim_start().strip_prefix("x:") {
            Some(attribute) => {
                // The kernel stores labels with a NUL at their end.
                let length = "system_u:object_r:module_t:s0\0".len();
                assert_eq!(attribute.trim(), format!("{length} security.selinux"));
                labelled.push(path);
            }
            None => path = line.rsplit_once(' ').unwrap().1,
        }
    }
    let release = "rootfs/usr/lib/modules/6.12.117-talos/";
    assert_eq!(
        labelled,
        [
            "rootfs/usr/lib/modules/",
            release,
            &format!("{release}extras/"),
            &format!("{release}extras/my-module.ko")
        ]
    );
}

/// A file whose bytes do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_registry_is_not_sent_what_it_has() {
    let Some(server) = judge("docker-registry") else { return };
    let world = World::new();
    let registry = DockerRegistry::start(&server);
    let at = |name: &str| format!("docker://{}", registry.reference(name));
    world.write("noise", noise(1 << 20));
    let directory = testdata("my-module/amd64");
    let extension = |target: &str| {
        world.digest(&["extension", &directory, "--file", "noise:/usr/local/noise", "-o", target])
    };
    // So much are a few dozen requests and a manifest; the layer is over a MiB.
    let little = 24 << 10;
    registry.sent();
    let made = extension(&at("acme/x:1"));
    assert!(registry.sent() > 1 << 20);
    assert_eq!(extension(&at("acme/x:1")), made);
    let again = registry.sent();
    assert!(again < little, "pushing again sent {again} bytes");
    assert_eq!(extension(&at("acme/x:2")), made);
    let other_tag = registry.sent();
    assert!(other_tag < little, "another tag sent {other_tag} bytes");
    assert_eq!(world.digest(&["copy", &at("acme/x:1"), &at("acme/y:1"), "--cache", "fresh"]), made);
    let copied = registry.sent();
    assert!(copied < little, "copying across repositories sent {copied} bytes");
    assert_eq!(world.digest(&["copy", &at("acme/y:1"), "oci:out"]), made);
    assert_eq!(fs::read(world.path("noise")).unwrap(), noise(1 << 20));
}

#[test]
fn an_index_goes_through_registries_and_layouts_unchanged() {
    let Some(server) = judge("docker-registry") else { return };
    let world = World::new();
    let (first, second) = (DockerRegistry::start(&server), DockerRegistry::start(&server));
    let at = |registry: &DockerRegistry, name: &str| format!("docker://{}", registry.reference(name));
    let made = build_both(&world, &at(&first, "acme/x:1"));
    let one = [&at(&first, "acme/x:1"), &at(&first, "acme/y:1"), &at(&second, "other/z:1")];
    for (number, (from, to)) in [(one[0], one[1]), (one[1], one[2])].into_iter().enumerate() {
        // A cache of its own each time: nothing is known beforehand.
        let cache = format!("cache-{number}");
        assert_eq!(world.digest(&["copy", from, to, "--cache", &cache]), made);
        assert_eq!(digest(&world, to), made);
    }
    assert_eq!(world.digest(&["copy", one[2], "oci:out:x", "--cache", "third"]), made);
    world.ok(&["copy", "oci:out:x", &at(&second, "back/x:1"), "--cache", "fourth"]);
    let pinned = format!("{}@{made}", at(&second, "back/x"));
    assert_eq!(digest(&world, &pinned), made);
    world.ok(&["check", &pinned]);
    assert_eq!(world.run(&["diff", one[0], &pinned]).out, "");
    // One platform of it by its own digest.
    let arm = read_json(&blob(&world.path("out"), &made))["manifests"][1]["digest"].clone();
    let arm = arm.as_str().unwrap();
    let copied =
        world.digest(&["copy", &format!("{}@{arm}", at(&second, "back/x")), "oci:arm:x", "--cache", "fifth"]);
    assert_eq!(copied, arm);
    let absent = format!("{}@sha256:{}", at(&second, "back/x"), "0".repeat(64));
    world.run(&["inspect", &absent]).failed(4, &["back/x"]);
}

#[test]
fn a_blob_that_the_registry_has_damaged_is_noticed_and_leaves_nothing_behind() {
    let Some(server) = judge("docker-registry") else { return };
    let world = World::new();
    let registry = DockerRegistry::start(&server);
    let reference = format!("docker://{}", registry.reference("acme/x:1"));
    let made = build(&world, &[&reference, "oci:out:x"], &[]);
    let manifest = read_json(&blob(&world.path("out"), &made));
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let stored = registry.blob(layer);
    let mut bytes = fs::read(&stored).unwrap();
    bytes[100] ^= 1;
    fs::write(&stored, &bytes).unwrap();
    for target in ["oci:new:x", "oci-archive:new.tar", "docker-archive:new.tar"] {
        let ran = world.run(&["copy", &reference, target, "--cache", "fresh"]);
        ran.failed(4, &[layer]);
        let left: Vec<String> = listing(&world.path("")).into_keys().collect();
        assert!(!left.iter().any(|path| path.starts_with("new")), "{target}: {left:?}");
        let hex = layer.strip_prefix("sha256:").unwrap();
        let kept =
            |path: &&String| path.starts_with("fresh") && (path.contains(hex) || path.contains("drafts/"));
        assert_eq!(left.iter().find(kept), None, "{target}");
    }
    world.run(&["check", &reference, "--cache", "fresh"]).failed(4, &[layer]);
    // With the blob made whole again the same cache serves.
    bytes[100] ^= 1;
    fs::write(&stored, &bytes).unwrap();
    assert_eq!(world.digest(&["copy", &reference, "oci:new:x", "--cache", "fresh"]), made);
}

#[test]
fn every_network_driver_of_a_distribution_makes_one_extension() {
    let (Some(folder), Some(program)) = (folder_of(AMD64), judge("umoci")) else { return };
    let world = World::new();
    world.write("manifest.yaml", MANIFEST);
    let (drivers, path) = network_drivers(&folder);
    let tree = format!("{}:/usr/{path}", drivers.display());
    world.ok(&["extension", "--manifest", "manifest.yaml", "--tree", &tree, "-o", "oci:out:x"]);
    world.ok(&["check", "oci:out:x"]);
    judged(&program, &["unpack", "--rootless", "--image", "out:x", "bundle"], &world.path(""));
    let found = listing(&world.path("bundle/rootfs/rootfs/usr").join(path));
    let wanted = listing(&drivers);
    assert!(found.len() > 400, "{} files", found.len());
    assert!(found.keys().eq(wanted.keys()));
    for (path, (mode, bytes)) in &found {
        assert!(*bytes == wanted[path].1, "{path} has other bytes");
        assert_eq!(*mode, if bytes.is_some() { 0o644 } else { 0o755 }, "{path}");
    }
}

#[test]
fn every_driver_for_another_machine_is_refused() {
    let Some(folder) = folder_of(ARM64) else { return };
    let world = World::new();
    world.write("manifest.yaml", MANIFEST);
    let (drivers, path) = network_drivers(&folder);
    let tree = format!("{}:/usr/{path}", drivers.display());
    let words = ["extension", "--manifest", "manifest.yaml", "--tree", &tree, "-o", "oci:out:x", "--json"];
    let ran = world.run(&[&words[..], &["--platform", "linux/amd64"]].concat());
    assert_eq!(ran.code, 1, "{}", ran.err);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let findings = found["error"]["findings"].as_array().unwrap();
    let wrong = findings.iter().filter(|finding| finding["code"] == "TS0202").count();
    let all = modules(&drivers).len();
    assert!(all > 400 && wrong == all, "{wrong} of {all}");
    assert!(!world.path("out").exists());
    world.ok(&[&words[..], &["--platform", "linux/arm64"]].concat());
}
