//! `talosmith imager`: upstream's flags, documents and file names; schematics and overlays of both commands.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/boot.rs"]
mod made;
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use support::installer::{
    ASSETS, Image, Initramfs, Inputs, append, assets, below, docker_archive, extension, half_made, untar,
};
use support::judge::missing;
use support::registry::{FakeRegistry, Faults};
use support::{Ran, World, testdata};
use talosmith::base::Content;
use talosmith::boot::Uki;

/// Runs `imager -` with a document on standard input.
fn document(world: &World, document: &str, more: &[&str]) -> Ran {
    let tiny = Inputs::tiny();
    let mut command = world.command(&tiny.imager("-", &[&["--output", "out"], more].concat()));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

fn stock(name: &str) -> Vec<u8> {
    let imager = Image::open(std::path::Path::new(&testdata("installer/imager")));
    imager.files(0)[&format!("{ASSETS}/{name}")].1.clone()
}

fn uki(bytes: &[u8]) -> Uki {
    Uki::read(&Content::memory(bytes)).unwrap()
}

#[test]
fn each_kind_of_output_has_upstreams_name_and_is_what_it_should_be() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let plain = extension(&world, "plain", &[("usr/local/share/x", b"x")]);
    let with = ["--output", "out", "--system-extension-image", &plain];
    let out = |name: &str| fs::read(world.path("out").join(name)).unwrap();
    for (kind, name) in [
        ("installer", "installer-amd64.tar"),
        ("uki", "metal-amd64-uki.efi"),
        ("initramfs", "initramfs-metal-amd64.xz"),
        ("kernel", "kernel-amd64"),
        ("cmdline", "cmdline-metal-amd64"),
    ] {
        let said = world.ok(&tiny.imager("installer", &[&with[..], &["--output-kind", kind]].concat()));
        assert!(said.contains(&format!("out/{name}")), "{said}");
        assert!(!out(name).is_empty());
    }
    assert_eq!(below(&world.path("out")).len(), 5);
    assert!(out("kernel-amd64") == stock("vmlinuz"));
    let initramfs = out("initramfs-metal-amd64.xz");
    assert!(initramfs.starts_with(&stock("initramfs.xz")));
    assert_eq!(Initramfs::read(&initramfs).names(), ["plain"]);
    let image = uki(&out("metal-amd64-uki.efi"));
    assert!(image.initrd.unwrap().read(1 << 30).unwrap() == initramfs);
    let line = String::from_utf8(out("cmdline-metal-amd64")).unwrap();
    assert!(line.starts_with("talos.platform=metal console=tty0 "), "{line}");
    assert_eq!(image.profiles[0].cmdline.as_deref(), Some(line.as_str()));
    // The installer holds the same UKI.
    let archive = untar(&out("installer-amd64.tar")[..]);
    let manifest: serde_json::Value = serde_json::from_slice(&archive["manifest.json"].1).unwrap();
    let layer = &archive[manifest[0]["Layers"][1].as_str().unwrap()].1;
    let layer = untar(flate2::read::MultiGzDecoder::new(&layer[..])); // as the base's is
    assert!(layer[&format!("{ASSETS}/vmlinuz.efi")].1 == out("metal-amd64-uki.efi"));
}

#[test]
fn flags_change_the_command_line_as_upstream_has_it() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let line = |more: &[&str]| {
        let words = [&["--output", "out", "--output-kind", "cmdline"], more].concat();
        let file = world.ok(&tiny.imager("installer", &words));
        fs::read_to_string(world.path(file.trim())).unwrap()
    };
    assert!(line(&["--extra-kernel-arg", "foo=bar"]).ends_with(" foo=bar"));
    let replaced = line(&["--extra-kernel-arg", "console=ttyS1"]);
    assert!(replaced.contains("console=ttyS1") && !replaced.contains("console=tty0"), "{replaced}");
    assert!(!line(&["--extra-kernel-arg", "-console"]).contains("console=tty0"));
    assert!(line(&["--platform", "aws"]).starts_with("talos.platform=aws "));
    assert!(line(&["--meta", "10=x"]).contains("INSTALLER_META_BASE64="));
    assert!(world.path("out/cmdline-aws-amd64").exists());
}

#[test]
fn documents_say_the_same_as_flags() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let my_module = testdata("my-module/amd64");
    world.ok(&["extension", &my_module, "-o", "oci:e"]);
    let flags = world.digest(&tiny.imager(
        "installer",
        &["--output", "flags", "--system-extension-image", "oci:e", "--extra-kernel-arg", "a=b"],
    ));
    // As tar of files, and as layout.
    let tar = world.path("e.tar");
    let tree = [("manifest.yaml", "manifest.yaml"), ("rootfs", "rootfs")];
    let mut archive = tar::Builder::new(fs::File::create(&tar).unwrap());
    archive.mode(tar::HeaderMode::Deterministic);
    for (name, path) in tree {
        let path = std::path::Path::new(&my_module).join(path);
        if path.is_dir() {
            archive.append_dir_all(name, path).unwrap();
        } else {
            archive.append_path_with_name(path, name).unwrap();
        }
    }
    archive.finish().unwrap();
    for source in ["ociPath: e", "ociPath: ./e", "tarballPath: e.tar", "tarballPath: ./e.tar"] {
        for base in
            ["baseProfileName: installer\narch: amd64\n", "arch: amd64\nplatform: metal\nversion: v1.11.3\n"]
        {
            let output =
                if base.starts_with("arch") { "output:\n  kind: installer\n  outFormat: raw\n" } else { "" };
            let text = format!(
                "{base}input:\n  baseInstaller:\n    ociPath: {}\n  systemExtensions:\n    - {source}\ncustomization:\n  extraKernelArgs: [a=b]\n{output}",
                tiny.base.strip_prefix("oci:").unwrap()
            );
            let ran = document(&world, &text, &[]);
            assert_eq!(ran.code, 0, "{text}\n{ran:?}");
            assert!(ran.out.contains(&flags), "{text}\n{ran:?}\n{flags}");
        }
    }
}

#[test]
fn unknown_keys_and_values_are_errors_with_a_suggestion() {
    let world = World::new();
    let text = "arch: amd64\nplatform: metal\nversion: v1.11.3\noutput:\n  kind: kernel\n";
    assert_eq!(document(&world, text, &[]).code, 0);
    for (from, to, words) in [
        ("platform", "platfrom", &["line 2: key `platfrom` is unknown", "did you mean `platform`?"][..]),
        ("kind", "knid", &["key `output.knid` is unknown", "did you mean `kind`?"]),
        ("kernel", "kernle", &["`output.kind` is `kernle`", "`kernel`"]),
        ("amd64", "amd46", &["amd46", "amd64"]),
    ] {
        let ran = document(&world, &text.replace(from, to), &[]);
        ran.failed(3, words);
    }
    let (world, tiny) = (World::new(), Inputs::tiny());
    let run = |profile: &str, more: &[&str]| world.run(&tiny.imager(profile, more));
    run("instaler", &[]).failed(2, &["`instaler` is no profile", "did you mean `installer`?"]);
    run("installer", &["--output-kind", "kernle"]).failed(2, &["did you mean `kernel`?"]);
    run("installer", &["--meta", "300=x"]).failed(2, &["--meta 300=x"]);
}

#[test]
fn a_profile_that_wants_plain_http_is_told_to_say_so() {
    let world = World::new();
    let text = "arch: amd64\nplatform: metal\nversion: v1.11.3\noutput:\n  kind: cmdline\ninput:\n  baseInstaller:\n    \
                imageRef: registry.example.com/base:1\n    forceInsecure: true\n";
    document(&world, text, &[]).failed(2, &["registry.example.com/base:1", "--insecure"]);
    assert_eq!(document(&world, text, &["--insecure"]).code, 0);
}

#[test]
fn what_is_not_there_yet_is_refused_clearly() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    for (profile, what) in [
        ("iso", "output kind `iso` is not there yet"),
        ("metal", "output kind `image` is not there yet"),
        ("aws", "output kind `image` is not there yet"),
        ("secureboot-installer", "Secure Boot is not there yet"),
        ("secureboot-metal-uki", "Secure Boot is not there yet"),
    ] {
        let ran = world.run(&tiny.imager(profile, &["--output", "out"]));
        ran.failed(2, &[what, "outputs are `installer`, `uki`"]);
    }
    let run = |more: &[&str]| world.run(&tiny.imager("installer", &[&["--output", "out"], more].concat()));
    run(&["--meta", "10=x"]).failed(2, &["kind `installer` takes no values of META"]);
    run(&["--output-kind", "kernel", "--extra-kernel-arg", "a"]).failed(2, &["takes no kernel arguments"]);
    world.write("c.yaml", "a: b\n");
    run(&["--embedded-config-path", "c.yaml"]).failed(2, &["embedded machine configuration", "v1.12.0"]);
    assert!(!world.path("out").exists());
}

#[test]
fn standard_output_gets_a_tar_of_the_one_file() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    world.ok(&tiny.imager("installer", &["--output", "out"]));
    let output = world.command(&tiny.imager("installer", &["--tar-to-stdout"])).output().unwrap();
    assert!(output.status.success());
    let files = untar(&output.stdout[..]);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["installer-amd64.tar"]);
    assert!(files["installer-amd64.tar"].1 == fs::read(world.path("out/installer-amd64.tar")).unwrap());
    assert!(!world.path("_out").exists());
    assert_eq!(half_made(&world.path("")), Vec::<String>::new());
}

#[test]
fn the_archive_has_the_name_of_its_base_and_the_same_bytes_each_time() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let fake = FakeRegistry::start(Faults::default());
    let base = format!("{}/siderolabs/installer-base:v1.11.3", fake.host);
    world.ok(&["copy", &tiny.base, &format!("docker://{base}")]);
    let inputs = Inputs { base: base.clone(), ..tiny };
    world.ok(&inputs.imager("installer", &["--output", "one"]));
    world.ok(&inputs.imager("installer", &["--output", "two", "--cache", "other", "--jobs", "1"]));
    let archive = fs::read(world.path("one/installer-amd64.tar")).unwrap();
    assert!(archive == fs::read(world.path("two/installer-amd64.tar")).unwrap());
    let files = untar(&archive[..]);
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"].1).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!([base]));
}

#[test]
fn formats_compress_the_finished_file_of_any_kind() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    world.ok(&tiny.imager("metal-uki", &["--output", "raw"]));
    let raw = fs::read(world.path("raw/metal-amd64-uki.efi")).unwrap();
    // The profile is a disk image's: its format stays.
    let said = world.ok(&tiny.imager("metal", &["--output", "out", "--output-kind", "uki"]));
    assert_eq!(said, "out/metal-amd64-uki.efi.zst\n");
    let packed = fs::read(world.path("out/metal-amd64-uki.efi.zst")).unwrap();
    let mut one_frame = zstd::stream::read::Decoder::new(&packed[..]).unwrap().single_frame();
    let mut unpacked = Vec::new();
    one_frame.read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == raw, "one zstd frame");
    let text = |kind: &str, format: &str| {
        format!(
            "arch: amd64\nplatform: metal\nversion: v1.11.3\ninput:\n  baseInstaller:\n    ociPath: {}\noutput:\n  kind: {kind}\n  outFormat: {format}\n",
            tiny.base.strip_prefix("oci:").unwrap()
        )
    };
    let made = |kind: &str, format: &str| {
        let ran = document(&world, &text(kind, format), &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
        fs::read(world.path(ran.out.trim())).unwrap()
    };
    let gz = |bytes: &[u8]| {
        let mut unpacked = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut unpacked).unwrap();
        unpacked
    };
    assert!(gz(&made("uki", ".gz")) == raw);
    let tar = untar(&gz(&made("uki", ".tar.gz"))[..]);
    assert_eq!(tar.keys().collect::<Vec<_>>(), ["disk.raw"]);
    assert!(tar["disk.raw"].1 == raw);
    let mut xz = Vec::new();
    lzma_rust2::XzReader::new(&made("uki", ".xz")[..], false).read_to_end(&mut xz).unwrap();
    assert!(xz == raw);
    // An installer, too; and the bytes repeat.
    let (first, second) = (made("installer", "zst"), made("installer", ".zst"));
    assert!(first == second);
    let archive = untar(&zstd::decode_all(&first[..]).unwrap()[..]);
    assert!(archive.contains_key("manifest.json"));
    let mut names = below(&world.path("out"));
    names.retain(|name| !name.starts_with("metal-amd64-uki.efi."));
    assert_eq!(names, ["installer-amd64.tar.zst"]);
    assert_eq!(half_made(&world.path("")), Vec::<String>::new());
}

#[test]
fn assets_may_be_files_of_their_own() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    assets(&world, "assets");
    world.ok(&tiny.imager("metal-uki", &["--output", "imager"]));
    let text = "baseProfileName: metal-uki\narch: amd64\nversion: v1.11.3\ninput:\n  kernel: {path: assets/vmlinuz}\n  initramfs: {path: ./assets/initramfs.xz}\n  sdStub: {path: assets/systemd-stub.efi}\n";
    let mut command = world.command(&["imager", "-", "--output", "out", "--offline"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let name = "metal-amd64-uki.efi";
    let made = |folder: &str| fs::read(world.path(folder).join(name)).unwrap();
    assert!(made("out") == made("imager"));
}

// --- schematics ------------------------------------------------------------------------------------------

/// A catalogue on a registry with one extension, `siderolabs/qemu-guest-agent`; gives its reference.
fn catalogue(world: &World, fake: &FakeRegistry) -> String {
    let name = extension(world, "qemu-guest-agent", &[("usr/local/bin/qemu-ga", b"agent")]);
    let image = format!("{}/siderolabs/qemu-guest-agent:9.2.0", fake.host);
    let digest = world.digest(&["extension", &name, "-o", &format!("docker://{image}")]);
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, "image-digests", 0o644, format!("{image}@{digest}\n").as_bytes());
    let list = docker_archive(world, "catalogue", &layer.into_inner().unwrap(), "", "");
    let reference = format!("docker://{}/siderolabs/extensions:v1.11.3", fake.host);
    world.ok(&["copy", &list, &reference]);
    reference
}

#[test]
fn a_schematic_is_looked_up_in_the_catalogue_and_names_itself() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let fake = FakeRegistry::start(Faults::default());
    let list = catalogue(&world, &fake);
    let text =
        "customization:\n  systemExtensions:\n    officialExtensions:\n      - siderolabs/qemu-guest-agent\n";
    world.write("schematic.yaml", text);
    let more = ["--schematic", "schematic.yaml", "--catalogue", &list, "-o", "oci:out"];
    let ran = world.run(&tiny.words(&[&testdata("my-module/amd64")], &more));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.err.contains("TS0308"), "{ran:?}");
    let initramfs = Image::open(&world.path("out")).initramfs();
    // Official ones first, then those beside it; the schematic before the index of modules.
    assert_eq!(initramfs.names(), ["qemu-guest-agent", "my-module", "schematic", "modules.dep"]);
    // The factory's own id of this document.
    let id = "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515";
    assert!(initramfs.list().contains(&format!("version: {id}\n")), "{}", initramfs.list());
    assert!(initramfs.layer("2.sqsh").get(&format!("usr/local/share/schematic/{id}")).is_some());
    world.write("schematic.yaml", text.replace("guest-agent", "gest-agent"));
    world.run(&tiny.words(&[], &more)).failed(
        3,
        &[
            "no official extension `siderolabs/qemu-gest-agent`",
            "did you mean `siderolabs/qemu-guest-agent`?",
        ],
    );
    world.write("schematic.yaml", text.replace("systemExtensions", "systemExtension"));
    world.run(&tiny.words(&[], &more)).failed(3, &["`schematic.yaml` is not valid", "systemExtension"]);
}

#[test]
fn a_schematic_brings_kernel_arguments_and_its_own_configuration() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let text = "customization:\n  extraKernelArgs: [from=schematic]\n  embeddedMachineConfiguration: |\n    machine: {}\n";
    world.write("schematic.yaml", text);
    let more = ["--schematic", "schematic.yaml", "-o", "oci:out", "--talos", "v1.12.0"];
    world.ok(&tiny.words(&[], &[&more[..], &["--extra-kernel-arg", "from=me"]].concat()));
    let image = Image::open(&world.path("out"));
    let line = image.uki().profiles[0].cmdline.clone().unwrap();
    assert!(line.ends_with(" from=schematic from=me"), "{line}");
    assert_eq!(image.initramfs().names(), ["embedded-config", "schematic"]);
}

// --- overlays --------------------------------------------------------------------------------------------

/// An overlay image with this program as its installer `board`.
fn overlay(world: &World, program: &[u8], mode: u32) -> String {
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, "artifacts/amd64/u-boot/u-boot.bin", 0o644, b"u-boot");
    append(&mut layer, "artifacts/amd64/dtb/board.dtb", 0o444, b"dtb");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    layer.append_link(&mut header, "artifacts/amd64/dtb/link.dtb", "board.dtb").unwrap();
    append(&mut layer, "installers/board", mode, program);
    append(&mut layer, "profiles/board.yaml", 0o644, b"arch: amd64\n");
    docker_archive(world, "overlay", &layer.into_inner().unwrap(), "", "")
}

/// The header of a program for amd64.
fn elf() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 2;
    bytes[18] = 62;
    bytes[20] = 1;
    bytes
}

#[test]
fn an_overlay_becomes_the_last_layer() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let image = overlay(&world, &elf(), 0o755);
    world.write("options.yaml", "dtb: [a, b]\n");
    let more = [
        "-o",
        "oci:out",
        "--overlay-image",
        &image,
        "--overlay-name",
        "board",
        "--overlay-option",
        "speed=fast",
        "--overlay-option",
        "@options.yaml",
        "--overlay-kernel-arg",
        "board.arg=1",
        "--extra-kernel-arg",
        "mine",
    ];
    world.ok(&tiny.words(&[], &more));
    let made = Image::open(&world.path("out"));
    assert_eq!(made.layers().len(), 3);
    assert_eq!(made.config["history"].as_array().unwrap().len(), 3);
    let files = made.files(2);
    let listed: Vec<(&str, u32, &[u8])> =
        files.iter().map(|(path, (mode, bytes))| (path.as_str(), *mode, &bytes[..])).collect();
    assert_eq!(
        listed,
        [
            ("overlay/artifacts/amd64/dtb/board.dtb", 0o444, &b"dtb"[..]),
            // FAT has no links.
            ("overlay/artifacts/amd64/dtb/link.dtb", 0o444, b"dtb"),
            ("overlay/artifacts/amd64/u-boot/u-boot.bin", 0o644, b"u-boot"),
            ("overlay/extra-options", 0o644, b"dtb:\n    - a\n    - b\nspeed: fast\n"),
            ("overlay/installers/default", 0o755, &elf()),
        ]
    );
    let line = made.uki().profiles[0].cmdline.clone().unwrap();
    assert!(
        line.starts_with("talos.platform=metal board.arg=1 ") || line.contains(" board.arg=1 "),
        "{line}"
    );
    assert!(line.find("board.arg=1") < line.find(" mine"), "{line}");
    let wrong = ["-o", "oci:no", "--overlay-image", &image, "--overlay-name", "bord"];
    world
        .run(&tiny.words(&[], &wrong))
        .failed(3, &["the overlay has no installer `bord`", "did you mean `board`?"]);
    let script = overlay(
        &world,
        b"#!/bin/sh\necho this is a script, and no program that could run without a shell\n",
        0o755,
    );
    let more = ["-o", "oci:no", "--overlay-image", &script, "--overlay-name", "board"];
    world.run(&tiny.words(&[], &more)).failed(3, &["`installers/board` of the overlay is no program"]);
    assert!(!world.path("no").exists());
}

/// A program of a board for this machine, built here. `None`, said, where none can be built.
fn program(world: &World, body: &str) -> Option<Vec<u8>> {
    if cfg!(not(target_arch = "x86_64")) {
        return missing("the imager of the test data is for amd64, and so must this machine be");
    }
    let text = format!(
        "#include <stdio.h>\n#include <string.h>\nint main(int argc, char **argv) {{ char in[4096]; size_t got = fread(in, 1, 4095, stdin); in[got] = 0; {body} }}\n"
    );
    let source = world.write("board.c", text);
    let output = world.path("board");
    let built = Command::new("cc").args(["-static", "-o"]).arg(&output).arg(source).output();
    match built {
        Ok(built) if built.status.success() => Some(fs::read(output).unwrap()),
        _ => missing("`cc -static` builds no program"),
    }
}

#[test]
fn an_overlays_program_is_run_after_consent_only() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let body = r#"if (argc != 2 || strcmp(argv[1], "get-options")) return 9;
        FILE *told = fopen("ran", "w"); fputs(in, told); fclose(told);
        puts("name: board\nkernelArgs:\n  - board.arg=from-program\npartitionOptions:\n  offset: 2048"); return 0;"#;
    let Some(program) = program(&world, body) else { return };
    let image = overlay(&world, &program, 0o755);
    let more = [
        "-o",
        "oci:out",
        "--overlay-image",
        &image,
        "--overlay-name",
        "board",
        "--overlay-option",
        "speed=fast",
    ];
    let line = || Image::open(&world.path("out")).uki().profiles[0].cmdline.clone().unwrap();
    world.ok(&tiny.words(&[], &more));
    assert!(!world.path("ran").exists(), "nobody consented");
    assert!(!line().contains("board.arg"));
    world
        .ok(&tiny
            .words(&[], &[&more[..], &["--allow-run-overlay", "--overlay-kernel-arg", "own=1"]].concat()));
    assert!(line().contains(" board.arg=from-program own=1 "), "{}", line());
    assert_eq!(fs::read_to_string(world.path("ran")).unwrap(), "speed: fast\n");
    // The imager's interface, too.
    let flags = [
        "--output",
        "out2",
        "--output-kind",
        "cmdline",
        "--overlay-image",
        &image,
        "--overlay-name",
        "board",
        "--allow-run-overlay",
    ];
    let file = world.ok(&tiny.imager("metal-uki", &flags));
    let said = fs::read_to_string(world.path(file.trim())).unwrap();
    assert!(said.contains("board.arg=from-program"), "{said}");
    assert_eq!(half_made(&world.path("")), Vec::<String>::new());
}

#[test]
fn an_overlays_program_that_fails_is_one_error() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let Some(failing) = program(&world, "return in[0] == 'x' ? 0 : 1;") else { return };
    let image = overlay(&world, &failing, 0o755);
    let more = ["-o", "oci:out", "--overlay-image", &image, "--overlay-name", "board", "--allow-run-overlay"];
    world
        .run(&tiny.words(&[], &more))
        .failed(3, &["`installers/board` of the overlay", "failed", "--overlay-kernel-arg"]);
    let Some(odd) = program(&world, "puts(\"kernelArgs: [\"); return in[0] == 'x';") else { return };
    overlay(&world, &odd, 0o755);
    world.run(&tiny.words(&[], &more)).failed(3, &["gave an answer that cannot be read"]);
    assert!(!world.path("out").exists());
    assert_eq!(half_made(&world.path("")), Vec::<String>::new());
    let _ = made::bitmap(); // the module is shared
}
