//! `talosmith kernel` against a client of BuildKit that is a script: what it is asked, what becomes of what it
//! says, and what of signals. Kernel and modules are real; what the real daemon does is in `kernel_buildkit.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Ran, World, kernel};

const DOCKERFILE: &str = "FROM scratch AS kernel\nFROM scratch AS my-module-pkg\n";

/// A world with a Dockerfile and a script in place of `buildctl`. `$bundle` is what it gives, a tar for each name
/// of `bundles`.
fn world(script: &str, bundles: &[(&str, &Path, &Path)]) -> World {
    let world = World::new();
    world.write("context/Dockerfile", DOCKERFILE);
    for (name, kernel, package) in bundles {
        let file = fs::File::create(world.path(format!("{name}.tar"))).unwrap();
        let mut tar = tar::Builder::new(file);
        tar.append_dir_all("kernel", kernel).unwrap();
        tar.append_dir_all("pkgs/my-module-pkg", package).unwrap();
        tar.into_inner().unwrap();
    }
    world.script("buildctl", script);
    world
}

fn command(world: &World, words: &[&str]) -> Command {
    let all =
        [&["kernel", "--context", "context", "--package", "my-module-pkg", "-o", "oci:out"], words].concat();
    let mut command = world.command(&all);
    command.env("PATH", world.scripts());
    command
}

fn run(world: &World, words: &[&str]) -> Ran {
    Ran::of(command(world, words).output().unwrap())
}

/// Nothing is left in the cache that has no name.
fn is_clean(world: &World) {
    let left: Vec<_> = fs::read_dir(world.path("cache/talosmith/drafts")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn kernel_and_package_become_images_whose_modules_the_kernel_trusts() {
    let world = world("cat good.tar", &[("good", &kernel::kernel(), &kernel::package("good"))]);
    let ran = run(&world, &["--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let result = &value["result"];
    assert_eq!(result["images"][0]["written"][0]["reference"], "oci:out:kernel");
    assert_eq!(result["images"][1]["written"][0]["reference"], "oci:out:my-module-pkg");
    assert_eq!(
        (&result["kernels"][0]["release"], &result["kernels"][0]["modules"]),
        (&kernel::RELEASE.into(), &32.into())
    );
    let asked = world.asked("buildctl");
    assert_eq!(asked.len(), 2, "{asked:#?}");
    assert_eq!(asked[0], "debug info");
    for words in [
        "build --progress rawjson --frontend dockerfile.v0 --local context=context --local dockerfile=",
        "--opt filename=Dockerfile --opt target=talosmith-bundle --opt platform=linux/amd64 --opt build-arg:SOURCE_DATE_EPOCH=0 --output type=tar,dest=-",
    ] {
        assert!(asked[1].contains(words), "{}", asked[1]);
    }
    is_clean(&world);
    // They are images like any others: the package's files go into an extension, and the kernel tells itself.
    let kind = world.json(&["inspect", "oci:out:kernel"]);
    assert_eq!(kind["result"]["images"][0]["kind"], "kernel", "{kind}");
    let named = world.json(&["inspect", "oci:out#kernel"]);
    assert_eq!(named["result"]["digest"], result["images"][0]["written"][0]["digest"]);
    let manifest = world
        .write("my/manifest.yaml", fs::read(support::testdata("my-module/amd64/manifest.yaml")).unwrap());
    let module = kernel::module_path();
    for copy in ["oci:out#my-module-pkg:/usr/lib/modules", "oci:out:my-module-pkg:/usr/lib/modules"] {
        let to = ["--copy", copy, "-o", "oci:ext"];
        world.ok(&[&["extension", "--manifest", manifest.to_str().unwrap()], &to[..]].concat());
        let files = world.ok(&["inspect", "oci:ext", "--files"]);
        assert!(files.contains(&format!("rootfs/{module}")), "{files}");
    }
    world.run(&["inspect", "kernel#my-module-pkg"]).failed(2, &["hint: `#NAME` picks one of the images"]);
}

#[test]
fn images_that_are_written_elsewhere_are_read_by_the_same_words() {
    let world = world("cat good.tar", &[("good", &kernel::kernel(), &kernel::package("good"))]);
    let mut command = world.command(&[
        "kernel",
        "--context",
        "context",
        "--package",
        "my-module-pkg",
        "-o",
        "oci:a/{name}:v1",
        "-o",
        "oci-archive:{name}-{arch}.tar",
    ]);
    let ran = Ran::of(command.env("PATH", world.scripts()).output().unwrap());
    assert_eq!((ran.code, ran.out.lines().count()), (0, 4), "{ran:#?}");
    for name in ["kernel", "my-module-pkg"] {
        let digest =
            |place: &str| world.json(&["inspect", &format!("{place}#{name}")])["result"]["digest"].clone();
        assert_eq!(digest("oci:a/{name}:v1"), digest("oci-archive:{name}-amd64.tar"));
        assert!(digest("oci:a/{name}:v1").is_string());
    }
}

#[test]
fn the_same_files_give_the_same_images_whatever_their_times_and_order() {
    let digests = |order: [&str; 2], time: u64| {
        let world = world("cat made.tar", &[]);
        let mut tar = tar::Builder::new(fs::File::create(world.path("made.tar")).unwrap());
        for name in order {
            let folder = if name == "kernel" { kernel::kernel() } else { kernel::package("good") };
            let paths = support::modules::modules(&folder).into_iter().chain([folder.join("boot/vmlinuz")]);
            for path in paths.filter(|path| path.is_file()) {
                let bytes = fs::read(&path).unwrap();
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                header.set_mtime(time);
                let place = Path::new(name).join(path.strip_prefix(&folder).unwrap());
                tar.append_data(&mut header, place, bytes.as_slice()).unwrap();
            }
        }
        tar.into_inner().unwrap();
        run(&world, &[]).out
    };
    let first = digests(["kernel", "pkgs/my-module-pkg"], 1);
    assert_eq!(first.lines().count(), 2, "{first}");
    assert_eq!(first, digests(["pkgs/my-module-pkg", "kernel"], 1_700_000_000));
}

#[test]
fn modules_of_another_key_are_built_once_more_without_the_cache() {
    let script = "case \"$*\" in *--no-cache*) cat good.tar;; *) cat foreign.tar;; esac";
    let bundles = |variant: &str| {
        let (root, own) = (kernel::kernel(), kernel::package("good"));
        world(script, &[("good", &root, &own), ("foreign", &root, &kernel::package(variant))])
    };
    for variant in ["foreign", "foreign-same-serial"] {
        let world = bundles(variant);
        let ran = run(&world, &[]);
        assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran:#?}");
        assert!(
            ran.err.contains("warning: 1 of 32 modules for linux/amd64 are signed by a key"),
            "{}",
            ran.err
        );
        assert_eq!(world.asked("buildctl").len(), 3);
        let world = bundles(variant);
        run(&world, &["--no-retry"]).failed(
            1,
            &[
                "error: 1 of 32 modules",
                "my-module-pkg: usr/lib/modules/",
                "signed by serial",
                "the kernel trusts serial",
                "mode=min",
                "hint:",
            ],
        );
        assert_eq!(world.asked("buildctl").len(), 2);
        assert!(!world.path("out").exists());
    }
}

#[test]
fn two_keys_in_the_build_itself_are_told_from_two_in_the_cache() {
    let world = world("cat foreign.tar", &[("foreign", &kernel::kernel(), &kernel::package("foreign"))]);
    run(&world, &[])
        .failed(1, &["nothing was taken from the cache: it is the build itself that has two keys"]);
    assert_eq!(world.asked("buildctl").len(), 3);
    run(&world, &["--no-cache"]).failed(1, &["it is the build itself"]);
    assert_eq!(world.asked("buildctl").len(), 5);
    assert!(!world.path("out").exists());
}

#[test]
fn what_no_other_solve_heals_is_an_error_at_once() {
    let root = kernel::kernel();
    for (variant, words) in [
        ("unsigned", ["my-module.ko: not signed", "sign-file"]),
        // Here the kernel is lenient, and the loader finds no such module.
        ("vermagic-release", ["built for kernel", "built against the stage"]),
        ("vermagic", ["built for kernel `6.1.0-other`", "built against the stage"]),
    ] {
        let world = self::world("cat made.tar", &[("made", &root, &kernel::package(variant))]);
        run(&world, &[]).failed(1, &words);
        assert_eq!(world.asked("buildctl").len(), 2, "{variant}");
        assert!(!world.path("out").exists());
    }
    // Where the kernel does not look, in the package and in its own image.
    let (other, release) = (tempfile::tempdir().unwrap(), kernel::RELEASE);
    let copy = |from: &Path, to: &str| {
        let to = other.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    };
    copy(
        &kernel::package("good").join(kernel::module_path()),
        "pkg/lib/modules/6.1.0-other/extras/my-module.ko",
    );
    let world = world("cat made.tar", &[("made", &root, &other.path().join("pkg"))]);
    run(&world, &[]).failed(1, &[&format!("not in `lib/modules/{release}`, where this kernel looks")]);
    copy(&root.join("boot/vmlinuz"), "kernel/boot/vmlinuz");
    copy(&root.join("boot/vmlinuz"), "kernel/usr/lib/modules/6.1.0-other/modules.order");
    let world =
        self::world("cat made.tar", &[("made", &other.path().join("kernel"), &kernel::package("good"))]);
    run(&world, &[]).failed(1, &["kernel and modules of stage `kernel` are not of one build", "6.1.0-other"]);
    // A byte that was changed after signing is told from another key of the same serial number.
    let world = self::world("cat made.tar", &[("made", &root, &kernel::package("tampered"))]);
    run(&world, &[]).failed(1, &["my-module.ko: changed after it was signed by serial", "sign-file"]);
    assert_eq!(world.asked("buildctl").len(), 2);
}

#[test]
fn modules_that_want_what_the_kernel_does_not_have_are_found_by_the_checks() {
    let (root, own) = (kernel::kernel(), kernel::package("crc"));
    let world = world("cat made.tar", &[("made", &root, &own)]);
    let ran = run(&world, &[]);
    ran.failed(1, &["error: ", "my-module-pkg for linux/amd64", "my-module.ko", "nothing was written"]);
    assert!(!world.path("out").exists());
    let code = ran.err.split_once("[TS").unwrap().1.split(']').next().unwrap().to_owned();
    assert_eq!(run(&world, &["--allow", &format!("TS{code}")]).code, 0, "{ran:#?}");
}

#[test]
fn everything_is_for_the_machine_that_was_asked_for() {
    let (root, package) = (kernel::kernel(), kernel::package("good"));
    let world = world("cat made.tar", &[("made", &root, &package)]);
    run(&world, &["--platform", "linux/arm64"])
        .failed(1, &["a kernel for amd64", "asked for: arm64", "hint: BuildKit believes"]);
    let mixed = tempfile::tempdir().unwrap();
    let program = |machine: u8| {
        let mut elf = [0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = machine;
        elf
    };
    fs::create_dir_all(mixed.path().join("usr/bin")).unwrap();
    fs::write(mixed.path().join("usr/bin/tool"), program(183)).unwrap();
    // BPF: for no machine of ours.
    fs::write(mixed.path().join("usr/bin/filter.o"), program(247)).unwrap();
    let world = self::world("cat made.tar", &[("made", &root, mixed.path())]);
    let ran = run(&world, &[]);
    ran.failed(
        1,
        &["1 file that BuildKit gave", "my-module-pkg: usr/bin/tool: a program for arm64, not amd64"],
    );
    assert!(!ran.err.contains("filter.o"));
    // A module for another machine among those of the kernel, too.
    let path = format!("usr/lib/modules/{}/kernel/drivers/net/dummy.ko", kernel::RELEASE);
    let mut module = fs::read(root.join(&path)).unwrap();
    module[18] = 183;
    fs::create_dir_all(mixed.path().join(&path).parent().unwrap()).unwrap();
    fs::write(mixed.path().join(&path), module).unwrap();
    fs::create_dir(mixed.path().join("boot")).unwrap();
    fs::copy(root.join("boot/vmlinuz"), mixed.path().join("boot/vmlinuz")).unwrap();
    let world = self::world("cat made.tar", &[("made", mixed.path(), &package)]);
    run(&world, &[]).failed(1, &[&format!("kernel: {path}: a module for arm64, not amd64")]);
}

#[test]
fn a_result_that_is_no_kernel_is_told_by_its_stage() {
    let empty = tempfile::tempdir().unwrap();
    let (root, package) = (kernel::kernel(), kernel::package("good"));
    let world = world("cat made.tar", &[("made", &package, &package)]);
    run(&world, &[]).failed(1, &["stage `kernel` gives no kernel image", "there is no `boot/vmlinuz`"]);
    let world = self::world("cat made.tar", &[("made", &root, empty.path())]);
    run(&world, &[]).failed(3, &["stage `my-module-pkg` gives no files for linux/amd64"]);
    let world = self::world("head -c 100000 made.tar", &[("made", &root, &package)]);
    run(&world, &[]).failed(3, &["truncated"]);
    is_clean(&world);
}

#[test]
fn the_failing_step_and_its_last_lines_are_shown() {
    let script = r#"cat >&2 <<'END'
{"vertexes":[{"digest":"sha256:a","name":"[kernel-build 2/3] RUN make","started":"2024-01-01T00:00:00Z"}]}
{"logs":[{"vertex":"sha256:a","stream":2,"data":"Y2M6IGZhdGFsIGVycm9yCg==","timestamp":"2024-01-01T00:00:00Z"}]}
{"vertexes":[{"digest":"sha256:a","name":"[kernel-build 2/3] RUN make","started":"2024-01-01T00:00:00Z","completed":"2024-01-01T00:00:01Z","error":"process \"make\" did not complete successfully: exit code: 2"}]}
error: failed to solve: process "make" did not complete successfully: exit code: 2
END
exit 1"#;
    let world = world(script, &[]);
    let ran = run(&world, &[]);
    ran.failed(
        6,
        &["the build failed in step `[kernel-build 2/3] RUN make`", "exit code: 2", "\n  cc: fatal error\n"],
    );
    let json: serde_json::Value = serde_json::from_str(&run(&world, &["--json"]).out).unwrap();
    assert_eq!((&json["error"]["kind"], &json["error"]["exitCode"]), (&"tool".into(), &6.into()));
    assert!(!world.path("out").exists());
    is_clean(&world);
    let world = self::world("exit 7", &[]);
    run(&world, &[]).failed(6, &["buildctl` ended with exit code 7"]);
}

#[test]
fn no_client_and_no_daemon_are_told_apart() {
    let world = world("", &[]);
    world.script("buildctl", "");
    fs::write(world.path("bin/buildctl"), "#!/bin/sh\necho 'could not connect to unix:///run/x' >&2; exit 1")
        .unwrap();
    // A folder without docker, whatever is on this machine.
    let run =
        |words: &[&str]| Ran::of(command(&world, words).env("PATH", world.path("bin")).output().unwrap());
    run(&[]).failed(
        6,
        &[
            "no BuildKit daemon answers",
            "buildctl: could not connect to unix:///run/x",
            "hint: install buildctl",
        ],
    );
    fs::remove_file(world.path("bin/buildctl")).unwrap();
    run(&[]).failed(6, &["there is no BuildKit here: neither `buildctl` nor `docker`"]);
    world.script("docker", "exit 1");
    fs::write(
        world.path("bin/docker"),
        "#!/bin/sh\necho \"docker: 'buildx' is not a docker command.\" >&2; exit 1",
    )
    .unwrap();
    run(&[]).failed(
        6,
        &["no BuildKit daemon answers", "docker buildx: docker: 'buildx' is not a docker command."],
    );
    run(&["--addr", "tcp://x"]).failed(6, &["there is no `buildctl` in `PATH`"]);
    run(&["--offline"]).failed(4, &["`--offline` forbids the network"]);
}

#[test]
fn docker_is_asked_where_there_is_no_buildctl() {
    let world = world("", &[("good", &kernel::kernel(), &kernel::package("good"))]);
    fs::remove_file(world.path("bin/buildctl")).unwrap();
    world.script("docker", "cp \"$6\" seen; env >env; cat good.tar");
    world.write("policy.json", "{}");
    let ran = run(&world, &["--source-policy", "policy.json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let asked = world.asked("docker");
    assert_eq!(asked[0], "buildx inspect");
    assert!(asked[1].starts_with("buildx build --progress rawjson --file "), "{}", asked[1]);
    assert!(
        asked[1].ends_with("--provenance=false --sbom=false --output type=tar,dest=- context"),
        "{}",
        asked[1]
    );
    let seen = fs::read_to_string(world.path("seen")).unwrap();
    assert!(
        seen.starts_with(DOCKERFILE.trim_end()) && seen.contains("COPY --from=kernel / /kernel/"),
        "{seen}"
    );
    let env = fs::read_to_string(world.path("env")).unwrap();
    assert!(env.contains("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=policy.json"), "{env}");
}

#[test]
fn a_tree_of_packages_gets_one_more_that_depends_on_all_of_them() {
    let script = "for word in \"$@\"; do case $word in dockerfile=*) (cd \"${word#dockerfile=}\" && find . -type f | sort && \
                  cat certs/pkg.yaml) >sent;; esac; done; cat good.tar";
    let world = world(script, &[("good", &kernel::kernel(), &kernel::package("good"))]);
    fs::remove_file(world.path("context/Dockerfile")).unwrap();
    world.write("context/Pkgfile", "# syntax = ghcr.io/siderolabs/bldr:v0.5.2\nformat: v1alpha2\n");
    for (path, text) in [
        ("kernel/pkg.yaml", "name: kernel"),
        ("kernel/vars.yaml", "a: b"),
        ("kernel/src/huge.c", "int x;"),
        ("kernel/files/a.conf.tmpl", "{{ .a }}"),
        ("certs/x509.genkey", "[req]"),
        ("my/pkg.yaml", "name: my-module-pkg"),
        (".git/pkg.yaml", "nothing"),
    ] {
        world.write(&format!("context/{path}"), text);
    }
    let ran = run(&world, &[]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let sent = fs::read_to_string(world.path("sent")).unwrap();
    let (files, package) = sent.split_once("# ").unwrap();
    assert_eq!(
        files,
        "./Pkgfile\n./certs/pkg.yaml\n./kernel/files/a.conf.tmpl\n./kernel/pkg.yaml\n./kernel/vars.yaml\n./my/pkg.yaml\n"
    );
    assert!(
        package.contains("  - stage: \"my-module-pkg\"\n    to: \"/bundle/pkgs/my-module-pkg\"\n"),
        "{package}"
    );
    let asked = world.asked("buildctl");
    assert!(asked[1].contains("--opt filename=Pkgfile --opt target=talosmith-bundle"), "{}", asked[1]);
}

/// A small tree of packages.
fn packages(world: &World) {
    fs::remove_file(world.path("context/Dockerfile")).unwrap();
    for (path, text) in [
        ("Pkgfile", "format: v1alpha2\n"),
        ("kernel/pkg.yaml", "name: kernel"),
        ("my/pkg.yaml", "name: my-module-pkg"),
        ("certs/x509.genkey", "[req]"),
    ] {
        world.write(&format!("context/{path}"), text);
    }
}

#[test]
fn a_tree_of_packages_is_built_once_more_under_a_mark_since_bldr_takes_kernels_from_the_cache_all_the_same() {
    let script = "for word in \"$@\"; do case $word in dockerfile=*) folder=${word#dockerfile=};; esac; done\n\
                  cat $folder/kernel/talosmith-mark.tmpl $folder/my/talosmith-mark.tmpl 2>/dev/null >>marks; echo >>marks\n\
                  [ -e $folder/my/talosmith-mark.tmpl ] && cat good.tar || cat foreign.tar";
    let (root, own) = (kernel::kernel(), kernel::package("good"));
    let world = world(script, &[("good", &root, &own), ("foreign", &root, &kernel::package("foreign"))]);
    packages(&world);
    let marks = || -> Vec<String> {
        let marks = fs::read_to_string(world.path("marks")).unwrap();
        fs::remove_file(world.path("marks")).unwrap();
        marks.lines().map(str::to_owned).collect()
    };
    let ran = run(&world, &[]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran:#?}");
    assert!(ran.err.contains("once more under a mark of its own"), "{}", ran.err);
    assert!(world.asked("buildctl").iter().all(|call| !call.contains("--no-cache")));
    let first = marks();
    assert_eq!((first.len(), first[0].as_str()), (2, ""));
    let (kernel, my) = first[1].split_at(first[1].len() / 2);
    assert!(kernel.len() > 32 && kernel == my, "{first:?}");
    // The same two keys, the same mark: what healed it before is in the cache.
    assert_eq!((run(&world, &[]).code, marks()), (0, first.clone()));
    // To take nothing from the cache, each solve has a mark that none had before.
    let no_cache = ["--no-cache", "--no-retry"];
    assert_eq!((run(&world, &no_cache).code, run(&world, &no_cache).code), (0, 0));
    let anew = marks();
    assert!(anew[0] != anew[1] && !anew.contains(&first[1]) && !anew[0].is_empty(), "{anew:?}");
    let shown = run(&world, &["--dry-run", "--no-cache"]).out;
    assert!(shown.contains("kernel/talosmith-mark.tmpl my/talosmith-mark.tmpl"), "{shown}");
    assert!(!run(&world, &["--dry-run"]).out.contains("talosmith-mark"));
    fs::copy(world.path("foreign.tar"), world.path("good.tar")).unwrap();
    run(&world, &[]).failed(1, &["it is so in a second build, too", "hint: `--no-cache` tells which"]);
    run(&world, &["--no-cache"]).failed(1, &["nothing was taken from the cache", "bldr before v0.5.2"]);
    is_clean(&world);
}

#[test]
fn a_dry_run_prints_the_command_and_the_target_and_asks_nobody() {
    let world = world("", &[]);
    let ran =
        run(&world, &["--dry-run", "--secret", "id=t,env=TOKEN", "--platform", "linux/amd64,linux/arm64"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.out.starts_with("# GENERATED/Dockerfile\nFROM scratch AS kernel\n"), "{}", ran.out);
    let commands: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("buildctl ")).collect();
    assert_eq!(commands.len(), 2);
    assert!(
        commands[1].contains("--local dockerfile=GENERATED") && commands[1].contains("platform=linux/arm64")
    );
    assert!(commands[0].contains("--secret id=t,env=TOKEN"));
    assert!(world.asked("buildctl").is_empty());
}

#[test]
fn the_client_gets_the_secrets_that_are_named_and_nothing_else_of_the_environment() {
    let world = world("env >env; cat good.tar", &[("good", &kernel::kernel(), &kernel::package("good"))]);
    let mut command = command(&world, &["--secret", "id=t,env=TOKEN", "--verbose"]);
    command.envs([
        ("TOKEN", "hunter2"),
        ("OTHER", "hunter3"),
        ("BUILDKIT_HOST", "unix:///x"),
        ("LD_AUDIT", ""),
    ]);
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!ran.err.contains("hunter") && !ran.out.contains("hunter"), "{ran:#?}");
    let env = fs::read_to_string(world.path("env")).unwrap();
    assert!(env.contains("TOKEN=hunter2") && env.contains("BUILDKIT_HOST=unix:///x"), "{env}");
    assert!(!env.contains("hunter3") && !env.contains("LD_AUDIT"), "{env}");
}

#[test]
fn mistakes_on_the_command_line_are_found_before_anything_is_built() {
    let world = world("", &[]);
    let words = ["kernel", "--context", "context", "-o"];
    let failed = |more: &[&str], code: i32, said: &[&str]| {
        let mut command = world.command(&[&words, more].concat());
        Ran::of(command.env("PATH", world.path("bin")).output().unwrap()).failed(code, said);
    };
    failed(&["example.com/a/b:c", "--package", "a"], 2, &["has room for one image", "`{name}`"]);
    failed(&["oci:out", "--package", "a,a"], 2, &["stage `a` is given twice"]);
    failed(&["oci:out", "--package", "a b"], 2, &["`a b` is no name of a stage"]);
    failed(
        &["oci:out", "--package", "my-modul-pkg"],
        3,
        &["no stage `my-modul-pkg`", "did you mean `my-module-pkg`?"],
    );
    failed(&["oci:out", "--kernel", "linux"], 3, &["no stage `linux`", "its stages: kernel, my-module-pkg"]);
    failed(&["oci:out", "--secret", "id=t,hunter=2"], 2, &["names no secret"]);
    failed(&["oci:out", "--build-arg", "TAG"], 2, &["is no `KEY=VALUE`"]);
    failed(&["oci:out", "--file", "nothing"], 3, &["cannot read `context/nothing`"]);
    failed(&["oci:out", "--source-policy", "nothing"], 3, &["there is no file `nothing`"]);
    world.write("context/Pkgfile", "format: v1alpha2");
    failed(&["oci:out"], 3, &["has both of `Pkgfile` and `Dockerfile`", "--file"]);
    world.write("context/Makefile", "all:\n\tmake\n");
    failed(&["oci:out", "--file", "Makefile"], 3, &["neither a Pkgfile", "nor a Dockerfile"]);
    assert!(world.asked("buildctl").is_empty());
}

#[test]
fn a_signal_reaches_the_client_and_is_waited_for() {
    // It takes its time to end, as one that tells its daemon does.
    let script = "trap 'head -c 5000000 /dev/urandom | cksum >/dev/null; echo INT >ended; exit 1' INT\n\
                  trap 'echo TERM >ended; exit 1' TERM\necho '{\"vertexes\":[]}' >&2; echo ready >&2; \
                  head -c 100000 good.tar; mkfifo wait; read line <>wait";
    for (signal, code, said) in [("-INT", 130, "INT\n"), ("-TERM", 143, "TERM\n")] {
        let world = world(script, &[("good", &kernel::kernel(), &kernel::package("good"))]);
        let mut command = command(&world, &[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It is at work when it has opened what it waits at.
        let fifo = world.path("wait");
        while !fifo.exists() {
            assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
            std::thread::yield_now();
        }
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let mut said_last = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_to_string(&mut said_last).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{said_last}");
        assert_eq!(said_last.lines().find(|line| line.contains("error")), None);
        assert_eq!(fs::read_to_string(world.path("ended")).unwrap(), said);
        assert!(!world.path("out").exists());
        is_clean(&world);
    }
}

#[test]
fn what_the_client_logs_is_shown_to_who_asks_for_it() {
    let script = r#"echo '{"vertexes":[{"digest":"a","name":"[k 1/1] RUN make","started":"1"}]}' >&2
echo '{"logs":[{"vertex":"a","data":"b25lCg=="}]}' >&2; cat good.tar"#;
    let world = world(script, &[("good", &kernel::kernel(), &kernel::package("good"))]);
    let loud = run(&world, &["--verbose"]);
    assert!(
        BufReader::new(loud.err.as_bytes()).lines().any(|line| line.unwrap() == "[k 1/1] one"),
        "{}",
        loud.err
    );
    assert!(!run(&world, &["-q"]).err.contains("one"));
}
