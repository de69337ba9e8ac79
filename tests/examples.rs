//! The examples for others' machines, run as far as they can be here: their own commands, against a registry of ours.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use support::installer::Inputs;
use support::registry::FakeRegistry;
use support::{Ran, World, testdata};
use talosmith::base::yaml::{Cursor, parse};

/// A checkout with the examples' spec, and a registry that has what stands for the official images.
fn site() -> (World, FakeRegistry) {
    let registry = FakeRegistry::start(Default::default());
    let world = World::new();
    let tiny = Inputs::tiny();
    for (name, from) in [("imager", &tiny.imager), ("installer-base", &tiny.base)] {
        world.ok(&["copy", from, &format!("docker://{}/siderolabs/{name}:v1.11.3", registry.host)]);
    }
    world.write("talosmith.yaml", fs::read(testdata("examples/talosmith.yaml")).unwrap());
    symlink(testdata("my-module/amd64"), world.path("my-module")).unwrap();
    fs::create_dir(world.path("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_talosmith"), world.path("bin/talosmith")).unwrap();
    (world, registry)
}

/// Runs a script as a runner would, in this world.
fn sh(world: &World, host: &str, script: &str) -> Ran {
    let mut command = Command::new("/bin/sh");
    command.args(["-euc", script]).current_dir(world.path("")).env_clear();
    command.env("HOME", world.path("home")).env("XDG_CACHE_HOME", world.path("cache"));
    command.env("PATH", world.scripts()).env("REGISTRY", host).env("MIRROR", host).env("TOKEN", "token");
    Ran::of(command.output().unwrap())
}

fn well(ran: &Ran) {
    assert_eq!(ran.code, 0, "{ran:#?}");
}

#[test]
fn the_workflow_for_github_builds_and_verifies() {
    let (world, registry) = site();
    // Its lock comes with the checkout.
    well(&sh(&world, &registry.host, "talosmith build"));
    fs::remove_dir_all(world.path("cache")).unwrap();
    let text = fs::read(testdata("examples/github-actions.yaml")).unwrap();
    let node = parse(&text).unwrap();
    let steps = Cursor::root(&node).get("jobs.installer.steps").unwrap().items().unwrap();
    let scripts: Vec<String> = steps
        .iter()
        .map(|step| step.key("run").unwrap().string().unwrap())
        .filter(|run| !run.is_empty())
        .collect();
    assert_eq!(scripts.len(), 3);
    for script in &scripts {
        well(&sh(&world, &registry.host, script));
    }
    assert!(world.path("out/timings.html").exists() && !world.path("auth.json").exists());
    // The next runner has nothing but the registry, and makes nothing.
    fs::remove_dir_all(world.path("cache")).unwrap();
    let again = sh(&world, &registry.host, &format!("{}\n{} -v", scripts[0], scripts[1].trim_end()));
    well(&again);
    assert!(again.err.contains("installer linux/amd64: known"), "{}", again.err);
}

#[test]
fn the_pipeline_for_gitlab_plans_and_builds() {
    let (world, registry) = site();
    well(&sh(&world, &registry.host, "talosmith build && rm -r out"));
    let text = fs::read(testdata("examples/gitlab-ci.yml")).unwrap();
    let node = parse(&text).unwrap();
    for (job, said) in [("plan", "to be run"), ("installer", "acme/installer:v1.11.3-my-module@sha256:")] {
        let lines = Cursor::root(&node).get(&format!("{job}.script")).unwrap().strings().unwrap();
        let ran = sh(&world, &registry.host, &lines.join("\n"));
        well(&ran);
        assert!(ran.out.contains(said), "{ran:#?}");
    }
    assert!(world.path("out/result.json").exists() && world.path(".cache/blobs").exists());
}

#[test]
fn the_site_without_a_network_builds_what_the_bundle_has() {
    let (world, registry) = site();
    let script = testdata("examples/air-gap.sh");
    well(&sh(&world, &registry.host, &format!("sh {script} outside")));
    // There, another registry is the site's own.
    let own = FakeRegistry::start(Default::default());
    let inside = World::new();
    for name in ["talosmith.yaml", "talosmith.lock", "bundle.tar"] {
        fs::copy(world.path(name), inside.path(name)).unwrap();
    }
    symlink(testdata("my-module/amd64"), inside.path("my-module")).unwrap();
    fs::create_dir(inside.path("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_talosmith"), inside.path("bin/talosmith")).unwrap();
    let ran = sh(&inside, &own.host, &format!("sh {script} inside"));
    well(&ran);
    assert!(ran.out.contains("/acme/installer:v1.11.3-my-module@sha256:"), "{ran:#?}");
    // Nothing of what the bundle has was asked for.
    assert_eq!(own.count("GET", "siderolabs"), 0);
}
