//! Nothing gives away what registries are convinced with: every byte that a run leaves or says is looked at.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use support::World;
use support::build::spec;
use support::installer::extension;
use support::registry::{FakeRegistry, Faults, Rule, Wrong};

/// `robot:t0psecret` in the form of `Basic`, the password, the refresh token, what tokens and sessions are made of, and
/// the password of a proxy.
const SECRETS: [&str; 6] =
    ["cm9ib3Q6dDBwc2VjcmV0", "t0psecret", "r3fresh", "signed-state", "pr0xysecret", "t0ken-"];

fn look(what: &str, bytes: &[u8]) {
    for secret in SECRETS {
        let shows = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!shows, "`{secret}` shows in {what}: {}", String::from_utf8_lossy(bytes));
    }
}

/// All files below a folder, but for the one with the secrets.
fn look_below(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look_below(&path);
        } else if !path.ends_with("auth.json") && !path.is_symlink() {
            look(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

#[test]
fn no_output_log_error_lock_or_file_holds_a_secret() {
    let entries = [r#"{"auth": "cm9ib3Q6dDBwc2VjcmV0"}"#, r#"{"identitytoken": "r3fresh"}"#];
    for (number, entry) in entries.iter().enumerate() {
        let world = World::new();
        let fake = FakeRegistry::start(Faults {
            bearer: true,
            basic: (number == 0).then(|| "Basic cm9ib3Q6dDBwc2VjcmV0".to_owned()),
            refresh: (number == 1).then(|| "r3fresh".to_owned()),
            ..Faults::default()
        });
        world.write("auth.json", format!(r#"{{"auths": {{"{}": {entry}}}}}"#, fake.host));
        let folder = extension(&world, "one", &[("usr/local/share/text", b"text")]);
        spec(&world, &format!("  - path: {folder}\n    push: {}/acme/one:1\n", fake.host), "");
        let run = |words: &[&str], code: Option<i32>| {
            let mut command = world.command(&[words, &["--auth-file", "auth.json"]].concat());
            command.env("https_proxy", "http://user:pr0xysecret@127.0.0.1:9").env("RUST_BACKTRACE", "full");
            let ran = support::Ran::of(command.output().unwrap());
            look(&format!("what {words:?} prints"), ran.out.as_bytes());
            look(&format!("what {words:?} says"), ran.err.as_bytes());
            code.inspect(|code| assert_eq!(ran.code, *code, "{words:?}: {ran:#?}"));
            ran
        };
        run(&["build", "-v", "--timings", "timings.html"], Some(0));
        run(&["build", "-v", "--json", "--timings", "timings.json", "--progress", "json"], Some(0));
        run(&["build", "--dry-run", "--json"], Some(0));
        let (one, cache) =
            (format!("docker://{}/acme/one:1", fake.host), format!("{}/acme/cache", fake.host));
        run(&["build", "-v", "--cache-from", &cache, "--cache-to", &cache], Some(0));
        run(&["bundle", "-v", "-o", "bundle.tar"], Some(0));
        run(&["inspect", &one, "--json"], Some(0));
        run(&["copy", "-v", &one, "oci:layout:x"], Some(0));
        run(&["copy", "-v", "--json", &one, &format!("docker://{}/acme/two:1", fake.host)], Some(0));
        run(
            &[
                "copy",
                "--tags",
                "*",
                &format!("{}/acme/one", fake.host),
                &format!("{}/acme/three", fake.host),
            ],
            Some(0),
        );
        // Errors of all kinds, and what is said before the next try.
        let upload = "/blobs/uploads/";
        for (number, (method, path, times, wrong)) in [
            ("GET", "/manifests/", 1, Wrong::Answer(503, &[("Retry-After", "0")], "")),
            ("GET", "/manifests/", 9, Wrong::Answer(401, &[], "")),
            ("GET", "/manifests/", 9, Wrong::Answer(200, &[], "t0psecret")),
            ("GET", "/blobs/sha256", 1, Wrong::Cut(10)),
            ("", "/token", 9, Wrong::Answer(401, &[], "t0psecret")),
            ("", "/token", 9, Wrong::Answer(200, &[], r#"{"token":7,"x":"t0psecret"}"#)),
            ("POST", upload, 9, Wrong::With("Location", "http://signed-state:t0psecret@[")),
            ("POST", upload, 9, Wrong::With("Location", "ftp://signed-state:t0psecret@x/")),
            ("PUT", upload, 1, Wrong::Take(5)),
            (
                "PUT",
                upload,
                9,
                Wrong::Answer(307, &[("Location", "http://u:t0psecret@127.0.0.1:9/?x=signed-state")], ""),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            fs::remove_dir_all(world.path("cache")).unwrap();
            fake.set(|faults| faults.rules = vec![Rule { method, path, times, wrong }]);
            let to = format!("docker://{}/acme/new-{number}:1", fake.host);
            // The first says something before it tries again; the others are not waited for.
            let tries = if number == 0 { "2" } else { "1" };
            run(&["copy", "-v", "--tries", tries, &one, &to], None);
            run(&["copy", "-v", "--json", "--tries", tries, &one, &to], None);
            fake.set(|faults| faults.rules.clear());
        }
        let elsewhere = run(&["copy", "reg.example.com/acme/x:1", "oci:no", "--tries", "1"], Some(4));
        assert!(elsewhere.err.contains("reg.example.com"), "{elsewhere:#?}");
        look_below(&world.path(""));
    }
}
