//! `talosmith kernel` of a tree of packages, built by bldr itself, which `TALOSMITH_BLDR` names: the frontend's image
//! is made of that program and pushed to a registry on this machine. It is not demanded where judges are: bldr can be
//! had from its own registry and as source only.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use support::buildkitd::{Build, Daemon, Programs};
use support::docker_registry::DockerRegistry;
use support::judge::{judge, optional_at};
use support::{Ran, World};

/// A tree of packages, and what builds it.
struct Bench {
    world: World,
    daemon: Daemon,
    programs: Programs,
    _registry: DockerRegistry,
}

impl Bench {
    fn new() -> Option<Self> {
        let bldr = optional_at("TALOSMITH_BLDR", "program bldr")?;
        let programs = Programs::find()?;
        let registry = DockerRegistry::start(&judge("docker-registry")?);
        let daemon = Daemon::start_with_registry(&programs, &registry.host);
        let world = World::new();
        let push = |folder: &Path, target: &str, name: &str| {
            let output = format!("type=image,name={},push=true", registry.reference(name));
            daemon.build_to(folder, target, &output, &[]);
        };
        Build::new(&world.path("tools"), &programs);
        push(&world.path("tools"), "base", "tools:1");
        let frontend = "FROM scratch AS frontend\nCOPY bldr /bldr\nENTRYPOINT [\"/bldr\", \"frontend\"]\n";
        world.write("frontend/Dockerfile", frontend);
        fs::copy(bldr, world.path("frontend/bldr")).unwrap();
        push(&world.path("frontend"), "frontend", "bldr:1");
        let write = |name: &str, text: &str| {
            world.write(&format!("pkgs/{name}"), text.replace("HOST", &registry.host));
        };
        write("Pkgfile", "# syntax = HOST/bldr:1\n\nformat: v1alpha2\n\nvars:\n  tools: HOST/tools:1\n");
        write(
            "kernel/build/pkg.yaml",
            "name: kernel-build\nvariant: scratch\nshell: /bin/sh\ndependencies:\n  - image: \"{{ .tools }}\"\n\
             steps:\n  - install:\n      - /bin/sh /src/kernel.sh amd64\nfinalize:\n  - from: /\n    to: /\n",
        );
        write("kernel/build/certs/x509.genkey", "[ req ]\n");
        write(
            "kernel/kernel/pkg.yaml",
            "name: kernel\nvariant: scratch\ndependencies:\n  - stage: kernel-build\nfinalize:\n  - from: /out\n    to: /\n",
        );
        write(
            "my-module/pkg.yaml",
            "name: my-module-pkg\nvariant: scratch\nshell: /bin/sh\ndependencies:\n  - stage: kernel-build\n\
             steps:\n  - install:\n      - /bin/sh /src/package.sh amd64\nfinalize:\n  - from: /rootfs\n    to: /\n",
        );
        Some(Self { world, daemon, programs, _registry: registry })
    }

    fn run(&self, words: &[&str]) -> Ran {
        let address = self.daemon.address();
        let all = ["kernel", "--addr", &address, "--context", "pkgs", "-o", "oci:out"];
        let mut command = self.world.command(&[&all, words].concat());
        Ran::of(command.env("PATH", self.programs.buildctl.parent().unwrap()).output().unwrap())
    }

    /// Of the cache, the stage of the key is lost, and what was built of it but for the kernel.
    fn lose_the_key(&self) {
        // What lies on another goes first; the copies of all that a stage depends on are merged layers.
        for step in [
            "my-module-pkg:finalize",
            "package.sh",
            "my-module-pkg:mkdir",
            "my-module-pkg:context",
            "kernel:context",
            "my-module-pkg:copy",
            "kernel:copy",
            "kernel-build:finalize",
            "kernel.sh",
        ] {
            self.daemon.forget(step);
        }
        let cache = self.daemon.cache().join("\n");
        assert!(cache.contains("kernel:finalize /out") && !cache.contains("kernel.sh"), "{cache}");
    }
}

#[test]
fn a_tree_of_packages_is_built_by_bldr_in_one_solve_and_a_lost_key_is_found_out_and_healed() {
    let Some(bench) = Bench::new() else { return };
    let kernel = bench.run(&[]);
    assert_eq!((kernel.code, kernel.out.lines().count()), (0, 1), "{kernel:#?}");
    bench.lose_the_key();
    let package = ["--package", "my-module-pkg"];
    let said =
        ["1 of 2 modules for linux/amd64 are signed by a key", "my-module-pkg: usr/lib/modules/", "mode=min"];
    bench.run(&[&package[..], &["--no-retry"]].concat()).failed(1, &said);
    bench.lose_the_key();
    let healed = bench.run(&package);
    assert_eq!((healed.code, healed.out.lines().count()), (0, 2), "{healed:#?}");
    assert!(healed.err.contains("warning: 1 of 2 modules"), "{}", healed.err);
    // The old kernel is still in the cache, and so is what healed it.
    let again = bench.run(&package);
    assert_eq!((again.code, &again.out), (0, &healed.out), "{again:#?}");
    assert!(again.err.contains("warning: 1 of 2 modules"), "{}", again.err);
    let anew = bench.run(&[&package[..], &["--no-cache"]].concat());
    assert_eq!((anew.code, anew.out.lines().count()), (0, 2), "{anew:#?}");
    assert!(!anew.err.contains("warning") && anew.out != healed.out, "{anew:#?}");
    let files = bench.world.ok(&["inspect", "oci:out#my-module-pkg", "--files"]);
    assert!(files.contains(&support::kernel::module_path()), "{files}");
}

#[test]
fn an_extension_that_is_not_built_natively_is_given_to_bldr_and_comes_out_as_a_native_one() {
    let Some(bench) = Bench::new() else { return };
    let package = |name: &str, more: &str| {
        bench.world.write(
            &format!("pkgs/{name}/pkg.yaml"),
            format!(
                "name: {name}\nvariant: scratch\nshell: /bin/sh\ndependencies:\n  - image: \"{{{{ .tools }}}}\"\nsteps:\n  - install:\n      - |\n        mkdir -p /rootfs/usr/local/share\n        echo \"{{{{ .BUILD_ARG_WORD }}}} on $ARCH\" > /rootfs/usr/local/share/said\n        chmod 0600 /rootfs/usr/local/share/said\n        ln -s said /rootfs/usr/local/share/link\n{more}finalize:\n  - from: /rootfs\n    to: /rootfs\n  - from: /pkg/manifest.yaml\n    to: /\n"
            ),
        );
        let manifest = "version: v1alpha1\nmetadata: {name: x, version: 1.0.0, author: a, description: d}\n";
        bench.world.write(&format!("pkgs/{name}/manifest.yaml"), manifest);
    };
    package("native", "");
    package("other", "        /bin/busybox true\n");
    let build = |name: &str, more: &[&str]| {
        let output = format!("oci:{name}");
        let words = ["extension", "pkgs", "--target", name, "--build-arg", "WORD=hello", "-o", &output];
        let mut command = bench.world.command(&[&words, more].concat());
        command.env("BUILDKIT_HOST", bench.daemon.address());
        Ran::of(command.env("PATH", bench.programs.buildctl.parent().unwrap()).output().unwrap())
    };
    build("other", &[]).failed(3, &["`/bin/busybox`", "`--delegate` lets BuildKit build it"]);
    let (native, other) = (build("native", &["--delegate"]), build("other", &["--delegate"]));
    assert_eq!((native.code, other.code), (0, 0), "{native:#?}{other:#?}");
    let digest = |ran: &Ran| ran.out.trim().rsplit_once('@').unwrap().1.to_owned();
    assert_eq!(digest(&native), digest(&other));
}

#[test]
fn a_step_of_bldr_that_fails_and_a_stage_that_is_not_there_are_told() {
    let Some(bench) = Bench::new() else { return };
    bench.run(&["--package", "my-modul-pkg"]).failed(6, &["my-modul-pkg"]);
    let text = fs::read_to_string(bench.world.path("pkgs/my-module/pkg.yaml")).unwrap();
    bench
        .world
        .write("pkgs/my-module/pkg.yaml", text.replace("/bin/sh /src/package.sh", "echo fatal; exit 7"));
    bench.run(&["--package", "my-module-pkg"]).failed(6, &["my-module-pkg:", "exit code: 7", "\n  fatal\n"]);
    assert!(!bench.world.path("out").exists());
}
