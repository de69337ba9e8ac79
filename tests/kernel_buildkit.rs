//! `talosmith kernel` with a real `buildkitd`: one solve, one key; and every way in which BuildKit's cache gives two
//! keys without a word, found out, and healed or reported.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::buildkitd::{Build, Daemon, Programs};
use support::{Ran, World};
use talosmith::base::Content;
use talosmith::boot::Kernel;
use talosmith::kmod::ModuleFacts;
use talosmith::kmod::signature::{self, Verdict};

/// A daemon, a world, and a build in its folder `context`.
struct Bench {
    programs: Programs,
    daemon: Daemon,
    world: World,
}

impl Bench {
    fn new() -> Option<Self> {
        let programs = Programs::find()?;
        let bench = Self { daemon: Daemon::start(&programs), world: World::new(), programs };
        bench.sources();
        Some(bench)
    }

    fn context(&self) -> PathBuf {
        self.world.path("context")
    }

    fn sources(&self) {
        Build::new(&self.context(), &self.programs);
    }

    /// Other stages behind the kernel's.
    fn packages(&self, dockerfile: &str) {
        let text = fs::read_to_string(self.context().join("Dockerfile")).unwrap();
        let end = "COPY --from=kernel-build /out/ /\n";
        let kernel = text.split_once(end).unwrap().0;
        fs::write(self.context().join("Dockerfile"), format!("{kernel}{end}{dockerfile}")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let address = self.daemon.address();
        let all = [
            "kernel",
            "--addr",
            &address,
            "--context",
            "context",
            "--package",
            "my-module-pkg",
            "-o",
            "oci:out",
        ];
        let mut command = self.world.command(&[&all, words].concat());
        command.env("PATH", self.programs.buildctl.parent().unwrap());
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).output().unwrap())
    }

    /// Runs it to its good end; gives the result, and what was said.
    fn built(&self, words: &[&str]) -> (Value, String) {
        let ran = self.run(&[words, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{ran:#?}");
        let value: Value = serde_json::from_str(&ran.out).unwrap();
        (value["result"].clone(), ran.err)
    }

    /// One solve must give two keys, and that is an error if there is to be no second one.
    fn finds_out(&self, words: &[&str]) {
        let fail = [words, &["--no-retry"]].concat();
        self.run(&fail).failed(
            1,
            &[
                "1 of 2 modules for linux/amd64 are signed by a key",
                "my-module-pkg: usr/lib/modules/",
                "no longer the one that made its key",
            ],
        );
        assert!(!self.world.path("out").exists());
    }

    /// What the solve before has made anew is lost again, and only the kernel stays.
    fn again_without_key(&self) {
        self.daemon.forget("package.sh"); // first: it lies on the other
        self.daemon.forget("kernel.sh");
        assert!(only_the_kernel_is_left(&self.daemon), "{:?}", self.daemon.cache());
    }

    /// One solve gives two keys, and the next, without the cache, one.
    fn heals(&self, words: &[&str]) -> Value {
        let (result, said) = self.built(words);
        assert!(said.contains("warning: 1 of 2 modules"), "{said}");
        self.is_right(&result);
        result
    }

    fn takes_one_solve(&self, words: &[&str]) -> Value {
        let (result, said) = self.built(words);
        assert!(!said.contains("warning"), "{said}");
        self.is_right(&result);
        result
    }

    /// What was written is what was verified: the images are read again, by their own names.
    fn is_right(&self, result: &Value) {
        assert_eq!(result["kernels"][0]["modules"], 2);
        for name in ["kernel", "my-module-pkg"] {
            let inspected = self.world.json(&["inspect", &format!("oci:out:{name}")]);
            assert_eq!(inspected["result"]["images"][0]["platform"], "linux/amd64");
        }
        assert_eq!(fs::read_dir(self.world.path("cache/talosmith/drafts")).unwrap().count(), 0);
    }
}

#[test]
fn one_solve_has_one_key_with_an_empty_cache_and_with_a_whole_one() {
    let Some(bench) = Bench::new() else { return };
    let first = bench.takes_one_solve(&[]);
    let again = bench.takes_one_solve(&[]);
    assert_eq!(first["images"], again["images"]);
    // Another key, and so other images: that it was a key of its own build shows here.
    let other = bench.takes_one_solve(&["--no-cache"]);
    assert_ne!(first["kernels"][0]["keys"], other["kernels"][0]["keys"]);
    assert_ne!(first["images"], other["images"]);
}

#[test]
fn kernel_and_package_of_two_builds_share_a_key_by_the_cache_alone_and_of_one_solve_always() {
    let Some(bench) = Bench::new() else { return };
    let build = |target: &str| {
        let output = format!("type=local,dest={}", bench.world.path(target).display());
        bench.daemon.build_to(&bench.context(), target, &output, &[]);
    };
    // What the kernel of one build makes of the module of another.
    let trusts = || {
        let file = |path: PathBuf| Content::memory(fs::read(path).unwrap());
        let kernel = Kernel::read(&file(bench.world.path("kernel/boot/vmlinuz"))).unwrap();
        let module = file(bench.world.path("my-module-pkg").join(support::kernel::module_path()));
        let facts = ModuleFacts::read(&module, "my-module.ko").unwrap();
        matches!(signature::verify(&module, &facts.signature, &kernel.keys).unwrap(), Verdict::Trusted { .. })
    };
    build("kernel");
    build("my-module-pkg");
    assert!(trusts());
    bench.daemon.prune();
    build("my-module-pkg");
    assert!(!trusts());
    bench.takes_one_solve(&["--no-retry"]);
    bench.daemon.prune();
    bench.takes_one_solve(&["--no-retry"]);
}

#[test]
fn a_kernel_that_is_cached_while_the_stage_of_its_key_is_evicted_is_found_out_and_healed() {
    let Some(bench) = Bench::new() else { return };
    let prepare = || {
        bench.daemon.build(&bench.context(), "kernel", &[]);
        assert_eq!(bench.daemon.forget("kernel.sh"), 1);
    };
    prepare();
    bench.finds_out(&[]);
    bench.again_without_key();
    let healed = bench.heals(&[]);
    // What comes after it takes the healed build from the cache.
    assert_eq!(bench.takes_one_solve(&[])["images"], healed["images"]);
    // Whoever knows asks for it at once.
    bench.again_without_key();
    bench.takes_one_solve(&["--no-cache"]);
}

/// The kernel alone, which was wanted several times since the stage of its key was run: what is thrown away first is
/// what was used least.
fn often_used_kernel(bench: &Bench) {
    for _ in 0..3 {
        bench.daemon.build(&bench.context(), "kernel", &[]);
    }
}

fn only_the_kernel_is_left(daemon: &Daemon) -> bool {
    let cache = daemon.cache();
    let holds = |step: &str| cache.iter().any(|line| line.contains(step));
    holds("--from=kernel-build /out/ /") && !holds("kernel.sh")
}

#[test]
fn a_prune_by_size_leaves_the_same_shape() {
    let Some(bench) = Bench::new() else { return };
    often_used_kernel(&bench);
    // There is room for the kernel, and not for what its build leaves behind.
    let pruned = bench.daemon.buildctl(&["prune", "--keep-storage", "24"]);
    assert!(pruned.status.success(), "{pruned:?}");
    assert!(only_the_kernel_is_left(&bench.daemon), "{:?}", bench.daemon.cache());
    bench.finds_out(&[]);
    bench.again_without_key();
    bench.heals(&[]);
}

#[test]
fn the_daemons_own_garbage_collection_leaves_the_same_shape() {
    let Some(mut bench) = Bench::new() else { return };
    often_used_kernel(&bench);
    bench.daemon = bench.daemon.restart_tight(&bench.programs);
    bench.daemon.until("the key's stage is collected", only_the_kernel_is_left);
    // One solve can be collected from again before the next begins.
    bench.heals(&[]);
}

#[test]
fn an_imported_cache_of_the_kernel_alone_is_found_out_and_healed_and_one_of_the_bundle_is_right() {
    let Some(bench) = Bench::new() else { return };
    let folder = |name: &str| bench.world.path(name).display().to_string();
    let to = |name: &str, mode: &str| format!("type=local,dest={},mode={mode}", folder(name));
    let from = |name: &str| format!("type=local,src={}", folder(name));
    bench.daemon.build(&bench.context(), "kernel", &["--export-cache", &to("min", "min")]);
    bench.takes_one_solve(&["--export-cache", &to("bundle", "min")]);
    bench.takes_one_solve(&["--export-cache", &to("max", "max")]);
    for (name, right) in [("min", false), ("bundle", true), ("max", true)] {
        let fresh = Bench {
            daemon: Daemon::start(&bench.programs),
            world: World::new(),
            programs: Programs::find().unwrap(),
        };
        // The same files, or nothing in the cache is theirs.
        let copied = Command::new("cp").arg("-a").arg(bench.context()).arg(fresh.context()).status().unwrap();
        assert!(copied.success());
        let import = ["--import-cache", &from(name)];
        if right {
            fresh.takes_one_solve(&import);
        } else {
            fresh.finds_out(&import);
            let fresh = Bench { daemon: Daemon::start(&bench.programs), ..fresh };
            fresh.heals(&import);
        }
    }
}

#[test]
fn a_package_with_a_key_of_its_own_is_reported_after_a_solve_without_the_cache() {
    let Some(bench) = Bench::new() else { return };
    bench.packages(
        "FROM base AS package-build\nRUN [\"/bin/sh\", \"-c\", \"/bin/sh /src/kernel.sh amd64 && /bin/sh /src/package.sh amd64\"]\n\
         FROM scratch AS my-module-pkg\nCOPY --from=package-build /rootfs/ /\n",
    );
    bench.run(&[]).failed(1, &["warning: 1 of 2 modules", "it is the build itself that has two keys"]);
    assert!(!bench.world.path("out").exists());
}

#[test]
fn modules_that_nobody_signed_and_a_base_for_another_machine_are_reported_at_once() {
    let Some(bench) = Bench::new() else { return };
    let place = format!("/usr/lib/modules/{}/extras/my-module.ko", support::kernel::RELEASE);
    bench.packages(&format!("FROM scratch AS my-module-pkg\nCOPY src/my-module.ko.amd64 {place}\n"));
    bench.run(&[]).failed(1, &["my-module-pkg: usr/lib/modules/", "not signed"]);
    // BuildKit takes the amd64 base for arm64 without a word.
    bench.packages("FROM kernel-build AS tool\nFROM scratch AS my-module-pkg\nCOPY --from=tool /bin/openssl /bin/openssl\n");
    bench.run(&["--platform", "linux/arm64"]).failed(
        1,
        &["my-module-pkg: bin/openssl: a program for amd64, not arm64", "hint: BuildKit believes"],
    );
    assert!(!bench.world.path("out").exists());
}

#[test]
fn two_platforms_make_one_index_each_and_have_keys_of_their_own() {
    let Some(bench) = Bench::new() else { return };
    let (result, _) = bench.built(&["--platform", "linux/amd64,linux/arm64"]);
    let kernels = &result["kernels"];
    assert_eq!(
        (&kernels[0]["platform"], &kernels[1]["platform"]),
        (&"linux/amd64".into(), &"linux/arm64".into())
    );
    assert_ne!(kernels[0]["keys"], kernels[1]["keys"]);
    for name in ["kernel", "my-module-pkg"] {
        let inspected = bench.world.json(&["inspect", &format!("oci:out:{name}")]);
        assert_eq!(inspected["result"]["images"].as_array().unwrap().len(), 2, "{inspected}");
    }
}

#[test]
fn a_failing_step_is_told_with_its_last_lines() {
    let Some(bench) = Bench::new() else { return };
    fs::write(bench.context().join("src/fail"), "").unwrap();
    bench.run(&[]).failed(
        6,
        &["the build failed in step `[kernel-build 1/1] RUN", "exit code: 3", "\n  cc: fatal error\n"],
    );
    assert!(!bench.world.path("out").exists());
}

#[test]
fn a_daemon_that_is_not_there_is_told_from_one_that_fails() {
    let Some(bench) = Bench::new() else { return };
    let mut command = bench.world.command(&[
        "kernel",
        "--addr",
        "unix:///nowhere/socket",
        "--context",
        "context",
        "-o",
        "oci:out",
    ]);
    command.env("PATH", bench.programs.buildctl.parent().unwrap());
    Ran::of(command.output().unwrap())
        .failed(6, &["no BuildKit daemon answers", "buildctl: ", "/nowhere/socket"]);
}

#[test]
fn secrets_and_build_arguments_reach_the_steps_that_want_them() {
    let Some(bench) = Bench::new() else { return };
    bench.packages(
        "FROM kernel-build AS package-build\nARG WORD\n\
         RUN --mount=type=secret,id=token [\"/bin/sh\", \"-c\", \"mkdir -p /rootfs/etc && cat /run/secrets/token >/rootfs/etc/token && printf %s $WORD >/rootfs/etc/word\"]\n\
         FROM scratch AS my-module-pkg\nCOPY --from=package-build /rootfs/ /\n",
    );
    let mut command =
        bench.command(&["--secret", "id=token,env=TOKEN", "--build-arg", "WORD=hello", "--verbose"]);
    let ran = Ran::of(command.env("TOKEN", "hunter2").output().unwrap());
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    let files = bench.world.ok(&["inspect", "oci:out:my-module-pkg", "--files"]);
    assert!(files.contains("etc/token") && files.contains("etc/word"), "{files}");
    bench
        .world
        .write("ext/manifest.yaml", fs::read(support::testdata("my-module/amd64/manifest.yaml")).unwrap());
    let squashed = bench.world.run(&["squashfs", "pack", "oci:out:my-module-pkg", "x.sqsh"]);
    assert_eq!(squashed.code, 0, "{squashed:?}");
    bench.world.ok(&["squashfs", "extract", "x.sqsh", "taken"]);
    let text = |name: &str| fs::read_to_string(bench.world.path(format!("taken/etc/{name}"))).unwrap();
    assert_eq!((text("token"), text("word")), ("hunter2".to_owned(), "hello".to_owned()));
}

#[test]
fn a_source_policy_reaches_the_daemon() {
    let Some(bench) = Bench::new() else { return };
    bench.packages(
        "FROM registry.invalid/tools:1 AS tools\nFROM scratch AS my-module-pkg\nCOPY --from=tools / /\n",
    );
    let policy =
        r#"{"rules": [{"action": "DENY", "selector": {"identifier": "docker-image://registry.invalid/*"}}]}"#;
    bench.world.write("policy.json", policy);
    bench
        .run(&["--source-policy", "policy.json"])
        .failed(6, &["registry.invalid/tools:1", "denied by policy"]);
}

#[test]
fn a_daemon_behind_tls_is_reached_with_a_certificate_and_not_without() {
    let Some(programs) = Programs::find() else { return };
    let (world, port) = (World::new(), support::docker_registry::free_port());
    let daemon = Daemon::start_with_tls(&programs, port, &world.path("tls"));
    let bench = Bench { daemon, world, programs };
    bench.sources();
    let address = format!("tcp://127.0.0.1:{port}");
    let run = |more: &[&str]| {
        let words = [
            "kernel",
            "--addr",
            &address,
            "--context",
            "context",
            "-o",
            "oci:out",
            "--addr-tls-name",
            "builder",
        ];
        let mut command = bench.world.command(&[&words, more].concat());
        Ran::of(command.env("PATH", bench.programs.buildctl.parent().unwrap()).output().unwrap())
    };
    run(&["--addr-tls-ca", "tls/ca.pem"]).failed(6, &["no BuildKit daemon answers", "buildctl: "]);
    let whole =
        ["--addr-tls-ca", "tls/ca.pem", "--addr-tls-cert", "tls/cert.pem", "--addr-tls-key", "tls/key.pem"];
    let ran = run(&whole);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{ran:#?}");
}

#[test]
fn an_interrupted_build_leaves_no_step_running_and_nothing_behind() {
    let Some(bench) = Bench::new() else { return };
    // So long that it is this step's alone.
    let seconds = (1000 + std::process::id() % 1000).to_string();
    fs::write(bench.context().join("src/wait"), &seconds).unwrap();
    let mut child =
        bench.command(&["--verbose"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("waiting\n") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    until("the step sleeps", || sleeps(&seconds));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(!rest.contains("error:"), "{rest}");
    until("the step is ended", || !sleeps(&seconds));
    assert!(!bench.world.path("out").exists());
    assert_eq!(fs::read_dir(bench.world.path("cache/talosmith/drafts")).unwrap().count(), 0);
}

/// Waits until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Whether the waiting step runs.
fn sleeps(seconds: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|words| words.ends_with(format!("sleep\0{seconds}\0").as_bytes()))
}
