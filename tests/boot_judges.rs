//! Programs and files that we did not write say whether our unified kernel images and what we read of
//! kernels are right: Go's `debug/pe`, binutils, pefile, `file`, compressors, Debian's stubs and kernels.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/boot.rs"]
mod made;
mod support;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::judge::{judge, judge_at};
use support::modules::{AMD64, ARM64, folder_of};
use support::{World, judged};
use talosmith::archive::compress::Codec;
use talosmith::base::{Content, Epoch};
use talosmith::boot::kernel::{Form, Kernel, KernelConfig};
use talosmith::boot::machine::Machine;
use talosmith::boot::pe::{Image, Pe};
use talosmith::boot::uki::{Builder, StubInfo, Uki};
use talosmith::talos::Version;
use talosmith::talos::uki::Parts;

/// The variables that name Debian's stubs, with what the image made of each is called.
const STUBS: [(&str, Machine, &str); 2] =
    [("TALOSMITH_STUB", Machine::Amd64, AMD64), ("TALOSMITH_STUB_ARM64", Machine::Arm64, ARM64)];

fn file(path: &Path) -> Content {
    Content::file(path, fs::metadata(path).unwrap().len())
}

/// The kernel and its release in a folder that [`folder_of`] gives.
fn kernel_in(folder: &Path) -> Option<(PathBuf, String)> {
    let boot = fs::read_dir(folder.join("boot")).into_iter().flatten();
    let kernel = boot.map(|entry| entry.unwrap().path()).find_map(|path| {
        let release = path.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
        Some((path, release))
    });
    kernel.or_else(|| support::judge::missing(&format!("there is no kernel in {}/boot", folder.display())))
}

fn image(stub: &Content, machine: Machine, kernel: Content) -> Image {
    let parts = Parts {
        talos: Version::new(1, 11, 3).into(),
        kernel,
        release: made::RELEASE.to_owned(),
        initrd: Content::memory(made::noise(1_234_567)),
        cmdline: "talos.platform=metal console=tty0".to_owned(),
        splash: Some(Content::memory(made::bitmap())),
        profiles: StubInfo::of(Pe::read(stub).unwrap().sections())
            .unwrap()
            .is_some_and(|stub| stub.knows_profiles()),
    };
    Builder::new(stub, machine, Epoch::default()).sections(parts.sections()).finish().unwrap()
}

/// Images of stubs that we made, and of Debian's with Debian's kernels, each in a file.
fn images(world: &World) -> Vec<(PathBuf, Machine, Image)> {
    let mut images = Vec::new();
    for (name, number, machine) in
        [("made-amd64", made::AMD64, Machine::Amd64), ("made-arm64", made::ARM64, Machine::Arm64)]
    {
        let stub = Content::memory(made::stub(number).bytes());
        let kernel = Content::memory(made::program(number, 100_001));
        images.push((name.to_owned(), machine, image(&stub, machine, kernel)));
    }
    for (variable, machine, kernels) in STUBS {
        let stub = judge_at(variable, "stub of systemd");
        let kernel = folder_of(kernels).and_then(|folder| kernel_in(&folder));
        if let (Some(stub), Some((kernel, _))) = (stub, kernel) {
            let name = format!("debian-{machine}");
            images.push((name, machine, image(&file(&stub), machine, file(&kernel))));
        }
    }
    let write = |(name, machine, image): (String, Machine, Image)| {
        let path = world.path(format!("{name}.efi"));
        io::copy(&mut image.content().open().unwrap(), &mut File::create(&path).unwrap()).unwrap();
        (path, machine, image)
    };
    images.into_iter().map(write).collect()
}

/// What we say is in an image, in the form of `sections.go`.
fn ours(image: &Image) -> String {
    let line = |(index, section): (usize, &talosmith::boot::pe::Section)| {
        let digest = section.content.digest().unwrap().to_string();
        let digest = digest.strip_prefix("sha256:").unwrap().to_owned();
        format!("{index} {} {:#x} {} {digest}\n", section.name, section.virtual_address, section.virtual_size)
    };
    image.sections().iter().enumerate().map(line).collect()
}

#[test]
fn gos_debug_pe_reads_every_section_as_it_was_put_in() {
    let Some(go) = judge("go") else { return };
    let world = World::new();
    let program = support::judge::sections(&go, &world.path("sections"));
    for (path, _, image) in images(&world) {
        let told = judged(&program, &[path.to_str().unwrap()], &world.path(""));
        assert_eq!(told, ours(&image), "{}", path.display());
    }
}

#[test]
fn pefile_reads_every_section_as_it_was_put_in_and_warns_of_nothing() {
    let Some(python) = judge_at("TALOSMITH_PYTHON", "python with `pefile`") else { return };
    let world = World::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/pefile_judge.py");
    for (path, _, image) in images(&world) {
        let words = [script.to_str().unwrap(), path.to_str().unwrap()];
        assert_eq!(judged(&python, &words, &world.path("")), ours(&image), "{}", path.display());
    }
}

#[test]
fn ukify_shows_the_texts_that_were_put_in() {
    let Some(python) = judge_at("TALOSMITH_PYTHON", "python with `pefile`") else { return };
    let Some(ukify) = judge_at("TALOSMITH_UKIFY", "`ukify` of systemd") else { return };
    let world = World::new();
    for (path, _, image) in images(&world) {
        let words = [ukify.to_str().unwrap(), "inspect", path.to_str().unwrap(), "--all"];
        let told = judged(&python, &words, &world.path(""));
        let mut rest = told.as_str();
        for section in image.sections() {
            // In their order, each with its name, its size and its digest.
            let content = &section.content;
            let mut digest = content.digest().unwrap().to_string();
            digest = digest.split_off("sha256:".len());
            let wanted =
                format!("{}:\n  size: {} bytes\n  sha256: {digest}\n", section.name, section.virtual_size);
            let at = rest.find(&wanted).unwrap_or_else(|| panic!("{wanted} is not in\n{told}"));
            rest = &rest[at + wanted.len()..];
        }
        assert!(told.contains("\n    PRETTY_NAME=\"Talos (v1.11.3)\"\n"), "{told}");
    }
}

#[test]
fn binutils_lists_and_extracts_every_section_as_it_was_put_in() {
    let (Some(objdump), Some(objcopy)) = (judge("objdump"), judge("objcopy")) else { return };
    let world = World::new();
    // Binutils for amd64 knows PE files for arm64 only where it was built for all machines.
    for (path, _, image) in images(&world).iter().filter(|(_, machine, _)| *machine == Machine::Amd64) {
        let path = path.to_str().unwrap();
        let told = judged(&objdump, &["-h", "-w", path], &world.path(""));
        let told = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let told: Vec<_> =
            told.filter(|words| words.first().is_some_and(|word| word.parse::<u32>().is_ok())).collect();
        assert_eq!(told.len(), image.sections().len());
        let number = |words: &[&str], at: usize| u64::from_str_radix(words[at], 16).unwrap();
        // Addresses are told from where the image would like to lie.
        let base = number(&told[0], 3) - u64::from(image.sections()[0].virtual_address);
        for (words, section) in told.iter().zip(image.sections()) {
            let numbers = [number(words, 2), number(words, 3) - base, number(words, 5)];
            let wanted = [section.virtual_size, section.virtual_address, section.raw_offset].map(u64::from);
            assert_eq!((words[1], numbers), (section.name.as_str(), wanted), "{path}");
        }
        for name in [".osrel", ".uname", ".splash", ".linux", ".initrd"] {
            let words = ["-O", "binary", "--only-section", name, path, "part"];
            judged(&objcopy, &words, &world.path(""));
            let section = image.sections().iter().find(|section| section.name == name).unwrap();
            assert!(
                fs::read(world.path("part")).unwrap() == section.content.read(1 << 30).unwrap(),
                "{name}"
            );
        }
    }
}

#[test]
fn an_image_that_objcopy_made_is_taken_apart() {
    let Some(objcopy) = judge("objcopy") else { return };
    let Some(stub) = judge_at(STUBS[0].0, "stub of systemd") else { return };
    let world = World::new();
    let mut words = Vec::new();
    for (name, at, bytes) in [
        (".osrel", 0x20000, b"ID=other\n".to_vec()),
        (".cmdline", 0x30000, b"quiet".to_vec()),
        (".linux", 0x40000, made::noise(70_000)),
        (".initrd", 0x60000, made::noise(30_000)),
    ] {
        let path = world.write(name, bytes);
        words.extend(["--add-section".to_owned(), format!("{name}={}", path.display())]);
        words.extend(["--change-section-vma".to_owned(), format!("{name}={at:#x}")]);
    }
    words.extend([stub.display().to_string(), "other.efi".to_owned()]);
    judged(&objcopy, &words.iter().map(String::as_str).collect::<Vec<_>>(), &world.path(""));
    let uki = Uki::read(&file(&world.path("other.efi"))).unwrap();
    assert_eq!(uki.osrel.as_deref(), Some("ID=other\n"));
    assert_eq!(uki.profiles[0].cmdline.as_deref(), Some("quiet"));
    assert!(uki.kernel.read(1 << 20).unwrap() == made::noise(70_000));
    assert!(uki.initrd.unwrap().read(1 << 20).unwrap() == made::noise(30_000));
}

#[test]
fn debians_kernels_tell_their_releases() {
    for (variable, machine, form) in
        [(AMD64, Machine::Amd64, Form::BzImage), (ARM64, Machine::Arm64, Form::Image)]
    {
        let Some((path, release)) = folder_of(variable).and_then(|folder| kernel_in(&folder)) else {
            continue;
        };
        let kernel = Kernel::read(&file(&path)).unwrap();
        assert_eq!((kernel.machine, kernel.form, kernel.release), (machine, form, release));
        assert_eq!(kernel.efi_stub, Some(machine));
        assert_eq!(kernel.signed, Pe::read(&file(&path)).unwrap().is_signed());
        assert_eq!(kernel.config, None, "Debian embeds none");
        let Some(program) = judge("file") else { continue };
        let told = judged(&program, &["-b", path.to_str().unwrap()], Path::new("/"));
        let name = if machine == Machine::Amd64 {
            "x86 boot executable bzImage"
        } else {
            "ARM64 boot executable Image"
        };
        assert!(told.contains(name), "{told}");
        assert!(
            machine == Machine::Arm64 || told.contains(&format!("version {},", kernel.version)),
            "{told}"
        );
    }
}

/// What a program makes of bytes on its standard input.
fn piped(program: &Path, words: &[&str], input: &[u8], world: &World) -> Vec<u8> {
    let input = File::open(world.write("input", input)).unwrap();
    let output = Command::new(program).args(words).stdin(input).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} {words:?}", program.display());
    output.stdout
}

#[test]
fn a_kernel_in_any_codec_of_linux_is_read() {
    let world = World::new();
    let (vmlinux, image) = (made::vmlinux(), made::arm64_image());
    // As scripts/Makefile.lib of Linux calls them.
    for (program, words, codec) in [
        ("gzip", &["-n", "-f", "-9"][..], Codec::Gzip),
        ("bzip2", &["-9"], Codec::Bzip2),
        ("lzma", &["-9"], Codec::Lzma),
        ("xz", &["--check=crc32", "--x86", "--lzma2=,dict=32MiB"], Codec::Xz),
        ("lzop", &["-9"], Codec::Lzo),
        ("lz4", &["-l", "-9", "-", "-"], Codec::Lz4),
        ("zstd", &["-22", "--ultra"], Codec::Zstd),
    ] {
        let Some(path) = judge(program) else { continue };
        let packed = piped(&path, words, &vmlinux, &world);
        let packed = if codec == Codec::Gzip { packed } else { made::with_size(packed, &vmlinux) };
        let words = if codec == Codec::Xz { &["--check=crc32", "--lzma2=,dict=32MiB"] } else { words };
        let zboot = made::zboot(&piped(&path, words, &image, &world), program);
        for (form, bytes) in [(Form::BzImage, made::bz_image(&packed)), (Form::Zboot, zboot)] {
            let kernel = Kernel::read(&Content::memory(bytes)).unwrap_or_else(|error| {
                panic!("{form} in {program}: {}", talosmith::base::chain(&error));
            });
            assert_eq!((kernel.form, kernel.payload), (form, codec));
            assert_eq!((kernel.release.as_str(), kernel.version.as_str()), (made::RELEASE, made::VERSION));
            assert_eq!(kernel.config, Some(KernelConfig::parse(made::CONFIG)), "{form} in {program}");
        }
    }
}
