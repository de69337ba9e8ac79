//! Packages of a tree, built natively: the guide's folder and the patterns of the official extensions.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::Digest as _;
use support::buildkitd::{Daemon, Programs};
use support::installer::Image;
use support::registry::FakeRegistry;
use support::{Ran, World, kernel};

const MANIFEST: &str =
    "version: v1alpha1\nmetadata:\n  name: NAME\n  version: 0.1.0\n  author: Acme\n  description: d\n";
const FINALIZE: &str =
    "finalize:\n  - from: /rootfs\n    to: /rootfs\n  - from: /pkg/manifest.yaml\n    to: /\n";

/// A tree with a `Pkgfile` in `tree/`.
fn tree(world: &World) {
    world.write(
        "tree/Pkgfile",
        "# syntax = example.com/bldr:v0.5.3\n\nformat: v1alpha2\nvars:\n  GREETING: hello\nlabels:\n  org.example.tree: acme\n",
    );
}

/// A package whose one step has this text, indented by eight spaces in the file.
fn package(world: &World, folder: &str, dependencies: &str, text: &str) {
    let name = folder.rsplit('/').next().unwrap();
    let text: String = text.lines().map(|line| format!("          {line}\n")).collect();
    world.write(
        &format!("tree/{folder}/pkg.yaml"),
        format!(
            "name: {name}\nvariant: scratch\nshell: /bin/bash\n{dependencies}steps:\n  - install:\n      - |\n{text}{FINALIZE}"
        ),
    );
    world.write(&format!("tree/{folder}/manifest.yaml"), MANIFEST.replace("NAME", name));
}

fn kernel_image() -> String {
    format!("KERNEL=dir:{}", kernel::kernel().display())
}

/// Paths of the image in a layout, with mode and size of files.
fn listed(world: &World, reference: &str) -> BTreeMap<String, (String, u64)> {
    let shown = world.json(&["inspect", reference, "--files"]);
    let files = shown["result"]["images"][0]["files"].as_array().unwrap();
    let text = |file: &serde_json::Value, key: &str| file[key].as_str().unwrap_or_default().to_owned();
    files
        .iter()
        .map(|file| (text(file, "path"), (text(file, "mode"), file["size"].as_u64().unwrap_or(0))))
        .collect()
}

#[test]
fn the_guides_folder_is_built_as_it_is() {
    let world = World::new();
    tree(&world);
    package(
        &world,
        "my-module",
        "dependencies:\n  - image: '{{ .BUILD_ARG_PKG }}'\n",
        "mkdir -p /rootfs/usr/lib/modules\n\ncp -R /usr/lib/modules/* /rootfs/usr/lib/modules/",
    );
    world.write("tree/my-module/vars.yaml", "VERSION: \"1.2.3\"\n");
    let image = format!("PKG=dir:{}", kernel::package("good").display());
    let words = ["extension", "tree/my-module/", "--build-arg", &image, "-o", "oci:out/{name}:{version}"];
    let said = world.ok(&words);
    assert!(said.starts_with("oci:out/my-module:1.2.3@sha256:"), "{said}");
    let shown = world.json(&["inspect", "oci:out/my-module:1.2.3"]);
    assert_eq!(shown["result"]["images"][0]["labels"]["org.example.tree"], "acme");
    let files = listed(&world, "oci:out/my-module:1.2.3");
    assert!(files.contains_key(&format!("rootfs/{}", kernel::module_path())), "{files:?}");
    assert!(files.contains_key("manifest.yaml") && !files.contains_key("pkg"), "{files:?}");
    // Again, from elsewhere: the same bytes.
    let digest = world.digest(&words);
    fs::remove_dir_all(world.path("cache")).unwrap();
    assert_eq!(world.digest(&words), digest);
    // And the kernel takes its module.
    let vmlinuz = kernel::kernel().join("boot/vmlinuz").display().to_string();
    world.ok(&["check", "oci:out/my-module:1.2.3", "--kernel", &vmlinuz]);
}

/// A package that picks modules out of a kernel image by a list and indexes them, as official ones do.
fn picking(world: &World) {
    package(
        world,
        "drivers/dummy",
        "dependencies:\n  - image: '{{ .BUILD_ARG_KERNEL }}'\n    to: /kernel\n",
        "export KERNELRELEASE=$(find /kernel/usr/lib/modules -type d -name \"*-talos\" -exec basename {} \\+)\n\
         xargs -a /pkg/files/modules.txt -I {} install -D /kernel/usr/lib/modules/${KERNELRELEASE}/{} /rootfs/usr/lib/modules/${KERNELRELEASE}/{}\n\
         depmod -b /rootfs/usr ${KERNELRELEASE}",
    );
    world.write("tree/drivers/dummy/files/modules.txt", "kernel/drivers/net/dummy.ko\n");
}

#[test]
fn modules_are_picked_by_a_list_and_indexed() {
    let world = World::new();
    tree(&world);
    picking(&world);
    world.ok(&["extension", "tree", "--target", "dummy", "--build-arg", &kernel_image(), "-o", "oci:out"]);
    let files = listed(&world, "oci:out");
    let folder = "rootfs/usr/lib/modules/6.12.117-talos";
    assert_eq!(files[&format!("{folder}/kernel/drivers/net/dummy.ko")].0, "-rwxr-xr-x");
    for index in ["modules.dep", "modules.dep.bin", "modules.alias.bin", "modules.symbols"] {
        assert!(files.contains_key(&format!("{folder}/{index}")), "{index}: {files:?}");
    }
}

#[test]
fn built_modules_firmware_and_a_service_of_three_images_become_one_extension() {
    let world = World::new();
    tree(&world);
    for (name, size) in [("ql2400_fw.bin", 5), ("ql2500_fw.bin", 6), ("other.bin", 7)] {
        world.write(&format!("firmware/usr/lib/firmware/{name}"), vec![b'f'; size]);
    }
    world.write("firmware/usr/lib/firmware/intel/ice/ddp/ice-1.3.41.0.pkg", "ddp");
    package(
        &world,
        "storage/acme",
        "dependencies:\n  - image: '{{ .BUILD_ARG_PKG }}'\n  - image: '{{ .BUILD_ARG_FIRMWARE }}'\n    \
         from: /usr/lib/firmware\n    to: /fw\n  - image: '{{ .BUILD_ARG_KERNEL }}'\n    to: /kernel\n",
        "mkdir -p /rootfs/usr/lib/modules \\\n  /rootfs/usr/lib/firmware/intel/ice\n\
         mkdir -p /rootfs/usr/local/{etc/containers,lib}\n\
         cp -R -p /usr/lib/modules/* /rootfs/usr/lib/modules/\n\
         cp /fw/ql*_fw.bin /rootfs/usr/lib/firmware/\n\
         cp -pr /fw/intel/ice/ddp /rootfs/usr/lib/firmware/intel/ice\n\
         export KERNELRELEASE=$(find /kernel/usr/lib/modules -type d -name \"*-talos\" -exec basename {} \\+)\n\
         depmod -b /rootfs/usr ${KERNELRELEASE}\n\
         cp /pkg/acme.yaml /rootfs/usr/local/etc/containers/",
    );
    world.write(
        "tree/storage/acme/acme.yaml.tmpl",
        "name: acme\ncontainer:\n  entrypoint: ./acme\n  args: ['{{ .ARCH }}']\nrestart: always\n",
    );
    let package = format!("PKG=dir:{}", kernel::package("good").display());
    let firmware = format!("FIRMWARE=dir:{}", world.path("firmware").display());
    let kernel = kernel_image();
    let given = ["--build-arg", &package, "--build-arg", &firmware, "--build-arg", &kernel];
    world.ok(&[&["extension", "tree", "--target", "acme", "-o", "oci:out"], &given[..]].concat());
    let files = listed(&world, "oci:out");
    let folder = format!("rootfs/usr/lib/modules/{}", kernel::RELEASE);
    for (path, size) in [
        ("rootfs/usr/lib/firmware/ql2400_fw.bin", Some(5)),
        ("rootfs/usr/lib/firmware/ql2500_fw.bin", Some(6)),
        ("rootfs/usr/lib/firmware/intel/ice/ddp/ice-1.3.41.0.pkg", Some(3)),
        ("rootfs/usr/local/etc/containers/acme.yaml", Some(78)),
        (&format!("rootfs/{}", kernel::module_path()), None),
        (&format!("{folder}/modules.dep.bin"), None),
    ] {
        let found = files.get(path).unwrap_or_else(|| panic!("{path}: {files:#?}"));
        assert!(size.is_none_or(|size| size == found.1), "{path}: {found:?}");
    }
    assert!(!files.keys().any(|path| path.contains("other.bin") || path.contains("tmpl")), "{files:#?}");
    // What was built and what it was built for are one: the kernel has the modules' key.
    let vmlinuz = kernel::kernel().join("boot/vmlinuz").display().to_string();
    world.ok(&["check", "oci:out", "--kernel", &vmlinuz]);
}

#[test]
fn what_needs_a_compiler_is_given_to_the_client_with_all_that_was_asked_for() {
    let world = World::new();
    tree(&world);
    for (name, text) in [("native", "mkdir -p /rootfs/usr/local"), ("compiled", "make -j4 install")] {
        package(&world, name, "", text);
        world.write(&format!("tree/{name}/vars.yaml"), "VERSION: 1.0.0\n");
    }
    package(&world, "above", "dependencies:\n  - stage: compiled\n    from: /rootfs\n", "mkdir -p /rootfs");
    // The client gives what a build of its own would: owned by whoever made it, of its own time.
    let mut tar = tar::Builder::new(fs::File::create(world.path("made.tar")).unwrap());
    let manifest = MANIFEST.replace("NAME", "compiled");
    for (path, text) in [("manifest.yaml", manifest.as_str()), ("rootfs/usr/local/bin/tool", "a program")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap();
    world.script("buildctl", "cat made.tar");
    let run = |words: &[&str]| {
        let all = [&["extension", "tree", "--build-arg", "TAG=v7", "-o", "oci:out/{name}"], words].concat();
        Ran::of(world.command(&all).env("PATH", world.scripts()).output().unwrap())
    };
    run(&["--target", "native,compiled"])
        .failed(3, &["line 7: `make`", "`--delegate` lets BuildKit build it"]);
    assert!(world.asked("buildctl").is_empty() && !world.path("out").exists());

    let both =
        ["--target", "native,compiled", "--delegate", "--platform", "linux/arm64", "--compression", "none"];
    let ran = run(&both);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran:#?}");
    let asked = world.asked("buildctl");
    assert_eq!((asked.len(), asked[0].as_str()), (2, "debug info"), "the native one asks nobody: {asked:#?}");
    for words in
        ["--opt target=compiled", "--opt platform=linux/arm64", "--opt build-arg:TAG=v7", "filename=Pkgfile"]
    {
        assert!(asked[1].contains(words), "{words}: {}", asked[1]);
    }
    let image = Image::open(&world.path("out/compiled"));
    let layers = image.layers();
    let whole: BTreeMap<String, String> = layers
        .iter()
        .flat_map(|digest| described(&support::installer::blob(&world.path("out/compiled"), digest)))
        .collect();
    assert_eq!(whole["rootfs/usr/local/bin/tool"], "Regular 755 (0, 0) None \"a program\"");
    // Time and owner of the client's files are not the image's.
    assert_eq!(run(&both).out, ran.out);

    // What depends on one that is delegated is delegated with it, and asked for by its own name.
    let ran = run(&["--target", "above", "--delegate"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(world.asked("buildctl").last().unwrap().contains("--opt target=above"));

    world.script("buildctl", "echo 'failed to solve: no such stage' >&2; exit 1");
    run(&both).failed(6, &["no such stage"]);
    fs::remove_file(world.path("tree/Pkgfile")).unwrap();
    let ran = Ran::of(
        world.command(&["extension", "tree/compiled/", "--delegate", "-o", "oci:x"]).output().unwrap(),
    );
    ran.failed(3, &["package `compiled` cannot be given to BuildKit", "has no `Pkgfile`"]);
}

/// Serves files of a folder on loopback, and counts requests.
fn served(folder: &Path) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (count, folder) = (Arc::new(AtomicUsize::new(0)), folder.to_owned());
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                request.push(byte[0]);
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let line = String::from_utf8_lossy(&request).into_owned();
            let name = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let (status, body) = match fs::read(folder.join(name)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    (url, count)
}

/// A package that unpacks an archive that lies at a URL; the archive's own digests, unless others are said.
fn archive(world: &World, url: &str, change: impl Fn(String) -> String) {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, mode, bytes) in
        [("acme-1.0/bin/tool", 0o755, "a program"), ("acme-1.0/README", 0o644, "a text")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, path, bytes.as_bytes()).unwrap();
    }
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    world.write("files/acme.tar.gz", &bytes);
    let (sha256, sha512) = (sha2::Sha256::digest(&bytes), sha2::Sha512::digest(&bytes));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = format!(
        "name: acme\nvariant: scratch\nsteps:\n  - sources:\n      - url: {url}\n        destination: acme.tar.gz\n        sha256: {}\n        sha512: {}\n    install:\n      - |\n        mkdir -p /rootfs/usr/local/bin\n        tar -xzf acme.tar.gz --strip-components=1\n        cp bin/tool /rootfs/usr/local/bin/\n{FINALIZE}",
        hex(&sha256),
        hex(&sha512)
    );
    world.write("tree/acme/pkg.yaml", change(text));
    world.write("tree/acme/manifest.yaml", MANIFEST.replace("NAME", "acme"));
}

#[test]
fn sources_are_fetched_once_and_checked_by_both_digests() {
    let world = World::new();
    tree(&world);
    fs::create_dir_all(world.path("files")).unwrap();
    let (url, count) = served(&world.path("files"));
    archive(&world, &format!("{url}/acme.tar.gz"), |text| text);
    let words = ["extension", "tree/acme/", "-o", "oci:out"];
    world.ok(&words);
    assert_eq!(listed(&world, "oci:out")["rootfs/usr/local/bin/tool"], ("-rwxr-xr-x".to_owned(), 9));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // It is in the store: neither another URL nor the network is needed.
    archive(&world, "http://127.0.0.1:1/acme.tar.gz", |text| text);
    world.ok(&["extension", "tree/acme/", "-o", "oci:again", "--offline"]);
    assert_eq!(count.load(Ordering::SeqCst), 1);

    for key in ["sha256: ", "sha512: "] {
        let wrong = |text: String| {
            let at = text.find(key).unwrap() + key.len();
            let other = if &text[at..=at] == "0" { "1" } else { "0" };
            format!("{}{other}{}", &text[..at], &text[at + 1..])
        };
        archive(&world, &format!("{url}/acme.tar.gz"), wrong);
        let ran = world.run(&["extension", "tree/acme/", "-o", "oci:wrong"]);
        ran.failed(3, &["is another file than the one that is meant", "`acme/pkg.yaml`, line 5"]);
        ran.failed(3, &[&format!("expected: {}", key.trim_end_matches(": "))]);
        assert!(!world.path("wrong").exists());
    }
    // A file beside the tree, for builds without a network.
    fs::remove_dir_all(world.path("cache")).unwrap();
    archive(&world, &format!("file://{}", world.path("files/acme.tar.gz").display()), |text| text);
    world.ok(&["extension", "tree/acme/", "-o", "oci:file", "--offline"]);
}

#[test]
fn several_packages_and_platforms_at_once_are_named_as_bldr_names_them() {
    let world = World::new();
    tree(&world);
    for name in ["one", "two"] {
        package(
            &world,
            name,
            "",
            "mkdir -p /rootfs/usr/local/share\necho \"{{ .GREETING }} from $PKG_NAME on {{ .ARCH }}\" > /rootfs/usr/local/share/$PKG_NAME",
        );
        world.write(&format!("tree/{name}/vars.yaml"), "VERSION: \"{{ .BUILD_ARG_TAG }}\"\n");
    }
    let words = [
        "extension",
        "tree",
        "--target",
        "one,two",
        "--build-arg",
        "TAG=v7",
        "--platform",
        "linux/amd64,linux/arm64",
    ];
    let said = world.ok(&[&words[..], &["-o", "oci:out:{name}-{version}"]].concat());
    let names: Vec<&str> = said.lines().map(|line| line.split('@').next().unwrap()).collect();
    assert_eq!(names, ["oci:out:one-v7", "oci:out:two-v7"]);
    for (platform, machine) in [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")] {
        let shown = world.json(&["inspect", "oci:out:two-v7", "--platform", platform, "--files"]);
        let files = shown["result"]["images"][0]["files"].as_array().unwrap().clone();
        let file = files.iter().find(|file| file["path"] == "rootfs/usr/local/share/two").unwrap();
        assert_eq!(file["size"].as_u64().unwrap() as usize, format!("hello from two on {machine}\n").len());
    }
    world.run(&[&words[..], &["-o", "oci:same"]].concat()).failed(2, &["`{name}`"]);
}

#[test]
fn what_was_pushed_is_listed_in_a_catalogue_that_schematics_take() {
    let registry = FakeRegistry::start(Default::default());
    let world = World::new();
    tree(&world);
    for name in ["one", "two"] {
        package(
            &world,
            name,
            "",
            "mkdir -p /rootfs/usr/local/share\ntouch /rootfs/usr/local/share/$PKG_NAME",
        );
        world.write(&format!("tree/{name}/vars.yaml"), "VERSION: v1\n");
    }
    let prefix = format!("{}/acme", registry.host);
    let words =
        ["extension", "tree", "--target", "one,two", "--push", &prefix, "--catalogue", "oci:catalogue"];
    let said = world.ok(&words);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with(&format!("{prefix}/one:v1@sha256:")), "{said}");
    assert!(lines[2].starts_with("oci:catalogue@sha256:"), "{said}");
    let files = Image::open(&world.path("catalogue")).files(0);
    assert_eq!(String::from_utf8_lossy(&files["image-digests"].1), format!("{}\n{}\n", lines[0], lines[1]));
    world
        .write("schematic.yaml", "customization:\n  systemExtensions:\n    officialExtensions: [acme/two]\n");
    let tiny = support::installer::Inputs::tiny();
    let more = ["--schematic", "schematic.yaml", "--catalogue", "oci:catalogue", "-o", "oci:installer"];
    world.ok(&tiny.words(&[], &more));
    let listed = Image::open(&world.path("installer")).initramfs().list();
    assert!(listed.contains("name: two"), "{listed}");
    world
        .run(&["extension", "tree", "--target", "one", "-o", "oci:x", "--catalogue", "oci:y"])
        .failed(2, &["`--push HOST/USER`"]);
}

#[test]
fn packages_depend_on_packages_and_their_tests_change_nothing() {
    let world = World::new();
    tree(&world);
    world.write(
        "tree/base/pkg.yaml",
        "name: base\nvariant: scratch\nsteps:\n  - env:\n      WORD: word\n    install:\n      - mkdir -p /out/deep; echo $WORD > /out/deep/file\nfinalize:\n  - from: /out\n    to: /\n",
    );
    world.write(
        "tree/top/pkg.yaml",
        format!("name: top\nvariant: scratch\ndependencies:\n  - stage: base\n    from: /deep\n    to: /from-base\nsteps:\n  - install:\n      - mkdir -p /rootfs/usr/local\n      - cp /from-base/file /rootfs/usr/local/got\n    test:\n      - fhs-validator /rootfs\n      - some-tool --check /rootfs\n{FINALIZE}"),
    );
    world.write("tree/top/manifest.yaml", MANIFEST.replace("NAME", "top"));
    let ran = world.run(&["extension", "tree", "--target", "top", "-o", "oci:out", "-v"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err.contains("the test `some-tool` is not run") && !ran.err.contains("fhs-validator"),
        "{ran:?}"
    );
    assert_eq!(listed(&world, "oci:out")["rootfs/usr/local/got"].1, 5);
    world
        .run(&["extension", "tree", "--target", "base", "-o", "oci:x"])
        .failed(3, &["makes no extension", "manifest.yaml"]);
    world
        .run(&["extension", "tree", "--target", "tpo", "-o", "oci:x"])
        .failed(3, &["there is no package `tpo`", "did you mean `top`?"]);
}

#[test]
fn steps_see_what_bldr_gives_them_and_a_bill_of_materials_is_written() {
    let world = World::new();
    tree(&world);
    archive(&world, "http://127.0.0.1:1/unused", |text| text);
    let files = world.path("files/acme.tar.gz").display().to_string();
    archive(&world, &format!("file://{files}"), |text| {
        text.replace(
            "finalize:",
            "        mkdir -p /rootfs/usr/local/share/spdx\n    env:\n      WORD: word\n    sbom:\n      outputPath: /rootfs/usr/local/share/spdx/acme.spdx.json\n      version: '1.0'\n      licenses: [MIT]\n  - install:\n      - echo $WORD $ARCH $TARGET $PKG_NAME > /rootfs/usr/local/seen\nfinalize:",
        )
    });
    world.ok(&["extension", "tree/acme/", "-o", "oci:out", "--compression", "none"]);
    let image = Image::open(&world.path("out"));
    let files: BTreeMap<String, (u32, Vec<u8>)> = (0..2).flat_map(|layer| image.files(layer)).collect();
    let text = |path: &str| String::from_utf8(files[path].1.clone()).unwrap();
    assert_eq!(text("rootfs/usr/local/seen"), "word x86_64 x86_64-talos-linux-musl acme\n");
    let bill: serde_json::Value =
        serde_json::from_str(&text("rootfs/usr/local/share/spdx/acme.spdx.json")).unwrap();
    assert_eq!(bill["packages"][0]["versionInfo"], "1.0");
    assert!(bill["files"][0]["fileName"].as_str().unwrap().ends_with("acme.tar.gz"));
    assert!(world.ok(&["packages", "tree"]).contains("acme  native"));
}

#[test]
fn what_is_not_run_natively_is_said_with_file_line_and_word_before_anything_runs() {
    let world = World::new();
    tree(&world);
    package(&world, "compile", "", "mkdir -p /rootfs\ncd src\nmake -j4 install");
    package(&world, "fine", "", "mkdir -p /rootfs/usr/local/x\ntouch /rootfs/usr/local/x/y");
    package(&world, "broken", "", "mkdir -p \"/rootfs");
    package(&world, "asks", "dependencies:\n  - image: 'example.com/x:{{ .BUILD_ARG_TAG }}'\n", "true");
    package(&world, "needs", "dependencies:\n  - stage: compile\n", "true");
    let listed = world.ok(&["packages", "tree"]);
    for line in [
        "compile  delegated",
        "compile/pkg.yaml:9: `make` is no program that is run natively",
        "fine     native",
        "broken   unsupported",
        "asks     unsupported",
        "lacks a part of its name; its file wants `--build-arg TAG=…`",
        "needs    delegated",
        "`compile` is a package that is delegated",
        "5 packages, 1 of them native",
    ] {
        assert!(listed.contains(line), "{line}:\n{listed}");
    }
    let line = fs::read_to_string(world.path("tree/compile/pkg.yaml")).unwrap();
    assert!(line.lines().nth(8).unwrap().contains("make"), "the line is the file's own");
    let ran = world.run(&["extension", "tree/compile/", "-o", "oci:out"]);
    ran.failed(
        3,
        &["package `compile` is not built natively", "`compile/pkg.yaml`, line 9: `make`", "`--delegate`"],
    );
    assert!(!world.path("out").exists());
    let value = world.json(&["packages", "tree"]);
    let compile = value["result"]["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "compile")
        .unwrap()
        .clone();
    assert_eq!(
        (compile["verdict"].as_str(), compile["obstacles"][0]["line"].as_u64()),
        (Some("delegated"), Some(9))
    );
}

#[test]
fn a_step_that_fails_says_where_and_leaves_nothing() {
    let world = World::new();
    tree(&world);
    package(&world, "bad", "", "mkdir -p /rootfs\ncp /nowhere/x /rootfs/");
    let ran = world.run(&["extension", "tree/bad/", "-o", "oci:out"]);
    ran.failed(3, &["steps[0].install", "`cp` failed with status 1", "line 8"]);
    assert!(!world.path("out").exists());
}

#[test]
fn mistakes_in_package_files_are_met_with_places_and_suggestions() {
    let world = World::new();
    tree(&world);
    archive(&world, "http://127.0.0.1:1/x", |text| text.replace("sha512:", "sha521:"));
    world
        .run(&["extension", "tree/acme/", "-o", "oci:out"])
        .failed(3, &["key `steps[0].sources[0].sha521` is unknown", "did you mean `sha512`?", "line 8"]);
    world
        .run(&["extension", "tree", "--build-arg", "A=b", "-o", "oci:o"])
        .failed(2, &["`--build-arg` is for packages"]);
    fs::remove_dir_all(world.path("tree/acme")).unwrap();
    world.run(&["packages", "tree"]).failed(3, &["there is no package in `tree`", "`pkg.yaml`"]);
    package(&world, "x", "", "true");
    let ran = world.run(&["extension", "tree/x/", "--module", "a.ko", "-o", "oci:o"]);
    ran.failed(2, &["stands in its `pkg.yaml`"]);
}

#[test]
fn the_image_is_file_for_file_what_buildkit_makes_of_the_same_steps() {
    let Some(programs) = Programs::find() else { return };
    let world = World::new();
    tree(&world);
    let script = "mkdir -p /rootfs/usr/local/lib /rootfs/usr/local/etc/containers\n\
        cp -R /pkg/data/. /rootfs/usr/local/lib/\n\
        cp -p /pkg/data/a /rootfs/usr/local/lib/c\n\
        chmod 0700 /rootfs/usr/local/lib/c\n\
        chmod -R a+rX /rootfs/usr/local/lib/deep\n\
        ln -s ../lib/a /rootfs/usr/local/etc/link\n\
        mv /rootfs/usr/local/lib/b /rootfs/usr/local/lib/moved\n\
        echo hello > /rootfs/usr/local/etc/containers/x\n\
        sed -i 's/hello/good bye/' /rootfs/usr/local/etc/containers/x\n\
        touch /rootfs/usr/local/etc/empty\n\
        rm -r /rootfs/usr/local/lib/deep/gone\n\
        for name in one two; do echo $name > /rootfs/usr/local/lib/$name; done\n\
        find /rootfs/usr/local/lib -name one -exec cp {} /rootfs/usr/local/lib/three \\;";
    package(&world, "same", "", script);
    for (path, mode) in [("a", 0o755), ("b", 0o640), ("deep/er/d", 0o600), ("deep/gone/e", 0o644)] {
        let path = world.write(&format!("tree/same/data/{path}"), path);
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    world.ok(&["extension", "tree/same/", "-o", "oci:ours", "--compression", "none"]);

    let context = world.path("tree/same");
    world.write("tree/same/script.sh", format!("set -eo pipefail\n{script}\n"));
    world.write(
        "tree/same/Dockerfile",
        "FROM scratch AS base\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
         FROM base AS build\nCOPY manifest.yaml /pkg/manifest.yaml\nCOPY data /pkg/data\nCOPY script.sh /script.sh\n\
         WORKDIR /tmp/build\nRUN [\"/bin/sh\", \"/script.sh\"]\n\
         FROM scratch AS out\nCOPY --from=build /rootfs /rootfs\nCOPY --from=build /pkg/manifest.yaml /\n",
    );
    fs::copy(&programs.busybox, context.join("busybox")).unwrap();
    let daemon = Daemon::start(&programs);
    let result = world.path("theirs.tar");
    daemon.build_to(&context, "out", &format!("type=tar,dest={}", result.display()), &[]);
    let theirs = described(&fs::read(result).unwrap());
    let image = Image::open(&world.path("ours"));
    let ours: BTreeMap<String, String> = image
        .layers()
        .iter()
        .flat_map(|digest| described(&support::installer::blob(&world.path("ours"), digest)))
        .collect();
    assert_eq!(ours, theirs);
}

/// What a tar has: kind, mode, owner, and bytes or target, by path. Times are the builders' own.
fn described(tar: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(tar);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_matches('/').to_owned();
        let header = entry.header().clone();
        let target = entry.link_name().unwrap().map(|target| target.to_str().unwrap().to_owned());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let (kind, mode) = (header.entry_type(), header.mode().unwrap() & 0o7777);
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let bytes = String::from_utf8_lossy(&bytes).into_owned();
        found.insert(path, format!("{kind:?} {mode:o} {owner:?} {target:?} {bytes:?}"));
    }
    found
}
