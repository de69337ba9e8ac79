//! `talosmith build` and `cache`: what is known is not made again, whatever happens to the cache.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use support::World;
use support::build::simple;
use support::registry::{FakeRegistry, Wrong, rule};

#[test]
fn a_build_that_is_killed_at_any_instant_leaves_a_store_that_gives_the_same() {
    use std::io::{BufRead as _, BufReader};
    let world = simple();
    let built = world.digest(&["build"]);
    let words = |cache: &'static str| ["build", "--cache", cache, "--progress", "json"];
    let events = world.run(&words("counted")).err.lines().count();
    assert!(events > 20, "{events}");
    for instant in 0..50 {
        let _ = fs::remove_dir_all(world.path("killed"));
        let mut child = world
            .command(&words("killed"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.take(1 + instant * events / 50).all(|line| line.is_ok()));
        child.kill().unwrap();
        child.wait().unwrap();
        let verified = world.run(&["cache", "verify", "--cache", "killed"]);
        assert_eq!(verified.code, 0, "{instant}: {verified:#?}");
        assert_eq!(world.digest(&["build", "--cache", "killed"]), built, "{instant}");
    }
}

#[test]
fn a_whole_that_was_put_together_of_a_cache_elsewhere_is_whole_for_the_next_runner() {
    let registry = FakeRegistry::start(Default::default());
    let world = simple();
    let cache = format!("{}/acme/cache", registry.host);
    let words = ["build", "--cache-from", &cache, "--cache-to", &cache];
    world.ok(&words);
    // Another Talos version: the steps are known there, the whole is not.
    let text = fs::read_to_string(world.path("talosmith.yaml")).unwrap();
    world.write("talosmith.yaml", text.replace("v1.11.3", "v1.11.2"));
    for _ in 0..3 {
        fs::remove_dir_all(world.path("cache")).unwrap();
        fs::remove_dir_all(world.path("out")).unwrap();
        world.ok(&words);
    }
}

#[test]
fn two_builds_at_once_share_a_store() {
    let world = simple();
    let other = simple();
    let cache = world.path("cache/talosmith").display().to_string();
    let mut children: Vec<_> = (0..4)
        .map(|number| {
            let (world, out) = if number % 2 == 0 { (&world, "a") } else { (&other, "b") };
            let mut command =
                world.command(&["build", "--cache", &cache, "--out", &format!("{out}{number}")]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let said: Vec<String> = children
        .drain(..)
        .map(|child| {
            let ran = support::Ran::of(child.wait_with_output().unwrap());
            assert_eq!(ran.code, 0, "{ran:#?}");
            ran.out
        })
        .collect();
    assert!(said.iter().all(|other| *other == said[0]), "{said:#?}");
}

#[test]
fn the_cache_is_measured_kept_in_bounds_and_verified() {
    let world = simple();
    let built = world.digest(&["build"]);
    let bytes = |world: &World| world.json(&["cache", "size"])["result"]["bytes"].as_u64().unwrap();
    let whole = bytes(&world);
    assert!(world.ok(&["cache", "size"]).contains("blobs") && whole > 10_000);
    world.ok(&["cache", "prune", "--keep", "5kB"]);
    assert!(bytes(&world) <= 5000);
    assert_eq!(world.digest(&["build"]), built);
    world.run(&["cache", "prune", "--keep", "much"]).failed(2, &["no size"]);

    // A flipped bit is noticed, named, and made anew.
    let blobs = world.path("cache/talosmith/blobs/sha256");
    let largest = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&largest).unwrap(); // it may be linked to from the output
    fs::write(&largest, bytes).unwrap();
    let ran = world.run(&["cache", "verify"]);
    let name = largest.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(
        ran.code == 1 && ran.out.contains(&format!("sha256:{name} was damaged, and is removed")),
        "{ran:#?}"
    );
    assert_eq!(world.digest(&["build"]), built);
    assert_eq!(world.run(&["cache", "verify"]).code, 0);
}

#[test]
fn a_runner_that_forgets_everything_finds_the_steps_in_a_registry() {
    let registry = FakeRegistry::start(Default::default());
    let world = simple();
    let cache = format!("{}/acme/cache", registry.host);
    let built = world.digest(&["build", "--cache-to", &cache]);
    let sent = registry.uploaded();
    assert!(sent > 5, "{sent}");
    // Another runner: nothing is made, nothing is sent.
    fs::remove_dir_all(world.path("cache")).unwrap();
    fs::remove_dir_all(world.path("out")).unwrap();
    let ran = world.run(&["build", "-v", "--cache-from", &cache, "--cache-to", &cache]);
    assert!(ran.code == 0 && ran.out.trim().ends_with(&built), "{ran:#?}");
    // What only steps within need is not even fetched: neither the imager's files nor the extension's.
    assert!(ran.err.contains("installer linux/amd64: known"), "{}", ran.err);
    assert!(ran.err.contains("cache: 2 steps found"), "{}", ran.err);
    assert!(ran.err.contains("; 0 steps sent, 0 bytes"), "{}", ran.err);
    assert_eq!(registry.uploaded(), sent);
    world.run(&["build", "--cache-from", &format!("{cache}:tag")]).failed(2, &["neither tag nor digest"]);

    // A damaged blob is refused, whoever sent it, and so is what is lost; a cache that is gone stops nobody.
    let log = registry.log();
    let fetched = log.iter().rfind(|asked| asked.method == "GET" && asked.path.contains("/blobs/")).unwrap();
    let path: &'static str = Box::leak(fetched.path.clone().into_boxed_str());
    for (why, wrong) in [("digest", Wrong::Corrupt), ("does not have it", Wrong::Answer(404, &[], ""))] {
        fs::remove_dir_all(world.path("cache")).unwrap();
        fs::remove_dir_all(world.path("out")).unwrap();
        registry.set(|faults| faults.rules = vec![rule("GET", path, usize::MAX, wrong)]);
        let ran = world.run(&["build", "--cache-from", &cache]);
        assert!(ran.code == 0 && ran.out.trim().ends_with(&built), "{ran:#?}");
        assert!(ran.err.contains("warning: cannot pull the blob"), "{}", ran.err);
        assert!(ran.err.contains("; the build goes on without its cache"), "{}", ran.err);
        assert!(ran.err.contains(why), "{}", ran.err);
        assert_eq!(world.run(&["cache", "verify"]).code, 0);
    }
    fs::remove_dir_all(world.path("cache")).unwrap();
    let nobody = "127.0.0.1:1/acme/cache";
    let ran = world.run(&["build", "--cache-from", nobody, "--cache-to", nobody]);
    assert!(ran.code == 0 && ran.out.trim().ends_with(&built), "{ran:#?}");
    assert!(ran.err.contains("warning: the cache was not written"), "{}", ran.err);
}
