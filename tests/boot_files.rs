//! PE files, unified kernel images and kernels: made, taken apart, refused, and read after damage of all
//! sorts.

// Helpers of tests may fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/boot.rs"]
mod made;
#[path = "support/samples.rs"]
mod samples;

use std::time::{Duration, Instant};

use made::{AMD64, ARM64, PeFile, stub};
use samples::Random;
use talosmith::archive::compress::Codec;
use talosmith::base::{Content, Epoch};
use talosmith::boot::kernel::{Form, Kernel, KernelConfig, KernelError};
use talosmith::boot::machine::Machine;
use talosmith::boot::pe::{AppendError, Image, Pe, PeError, append};
use talosmith::boot::uki::{BuildError, Builder, ReadError, Uki, section};
use talosmith::talos::Version;
use talosmith::talos::uki::Parts;

fn epoch() -> Epoch {
    Epoch::new(1_700_000_000).unwrap()
}

fn memory(bytes: impl AsRef<[u8]>) -> Content {
    Content::memory(bytes.as_ref())
}

fn bytes_of(image: &Image) -> Vec<u8> {
    image.content().read(1 << 30).unwrap()
}

fn pe(file: &PeFile) -> Pe {
    Pe::read(&memory(file.bytes())).unwrap()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Sections of all lengths that matter.
fn nine() -> Vec<(&'static str, Vec<u8>)> {
    let lens = [300, 512, 1, 4096, 4097, 70_000, 7, 50, 513];
    let names =
        [".osrel", ".cmdline", ".uname", ".splash", ".linux", ".initrd", ".profile", ".profile", ".cmdline"];
    names.into_iter().zip(lens).map(|(name, len)| (name, made::noise(len))).collect()
}

fn contents<'a>(sections: &[(&'a str, Vec<u8>)]) -> Vec<(&'a str, Content)> {
    sections.iter().map(|(name, bytes)| (*name, memory(bytes))).collect()
}

#[test]
fn appended_sections_read_back_and_the_old_ones_keep_their_bytes_and_addresses() {
    for machine in [AMD64, ARM64] {
        for (section_alignment, file_alignment) in [(0x200, 0x200), (0x1000, 0x200), (0x10000, 0x1000)] {
            let file = PeFile { section_alignment, file_alignment, ..stub(machine) };
            let old = pe(&file);
            let image = append(&old, &contents(&nine()), epoch()).unwrap();
            let bytes = bytes_of(&image);
            assert_eq!(bytes.len() % file_alignment as usize, 0);
            let new = Pe::read(&memory(&bytes)).unwrap();
            let wanted = file.sections.iter().map(|(name, _, data)| (*name, data.clone())).chain(nine());
            let found = new.sections();
            assert_eq!(found.len(), file.sections.len() + 9);
            let mut end = (0, 0);
            for ((section, planned), (name, data)) in found.iter().zip(image.sections()).zip(wanted) {
                assert_eq!(section.name, name);
                assert_eq!(section.content.read(1 << 20).unwrap(), data, "{name}");
                assert_eq!(planned.content.read(1 << 20).unwrap(), data, "{name}");
                assert_eq!(section.virtual_size as usize, data.len());
                assert_eq!(section.raw_size, (data.len() as u32).next_multiple_of(file_alignment));
                assert_eq!(
                    (planned.raw_offset, planned.virtual_address),
                    (section.raw_offset, section.virtual_address)
                );
                assert!(section.virtual_address >= end.0 && section.raw_offset >= end.1, "{name} overlaps");
                end = (section.virtual_address + section.virtual_size, section.raw_offset + section.raw_size);
            }
            assert_eq!(end.1 as usize, bytes.len(), "nothing is behind the last section");
            for (section, (_, address, _)) in found.iter().zip(&file.sections) {
                assert_eq!(section.virtual_address, *address);
            }
            for section in found.iter().skip(file.sections.len()) {
                assert_eq!(section.virtual_address % section_alignment.max(4096), 0);
                assert_eq!(section.characteristics, 0x4000_0040);
            }
        }
    }
}

#[test]
fn headers_tell_the_sizes_and_the_epoch_and_no_symbols() {
    let old = pe(&stub(AMD64));
    let image = append(&old, &contents(&nine()), epoch()).unwrap();
    let bytes = bytes_of(&image);
    assert_eq!(bytes, bytes_of(&append(&old, &contents(&nine()), epoch()).unwrap()));
    let coff = 0x80;
    assert_eq!(number(&bytes, coff + 8), 1_700_000_000);
    assert_eq!((number(&bytes, coff + 12), number(&bytes, coff + 16)), (0, 0), "no symbols");
    assert_eq!(number(&bytes, coff + 20) >> 16, 0x206 | 8, "and it says so");
    let optional = coff + 24;
    let sum = |kind| -> u32 {
        let of_kind = image.sections().iter().filter(|section| section.characteristics & kind != 0);
        of_kind.map(|section| section.raw_size).sum()
    };
    let headers = number(&bytes, optional + 60);
    assert_eq!(number(&bytes, optional + 4), sum(0x20));
    assert_eq!(number(&bytes, optional + 8), sum(0x40));
    assert_eq!(number(&bytes, optional + 64), 0, "no check sum");
    assert_eq!(headers, 0x600);
    assert_eq!(image.sections()[0].raw_offset, headers, "the first section has made room");
    let last = image.sections().last().unwrap();
    assert_eq!(
        number(&bytes, optional + 56),
        (last.virtual_address + last.virtual_size).next_multiple_of(0x200)
    );
    assert!(!bytes.windows(36).any(|bytes| bytes == [0x5a; 36]), "the symbols are gone");
}

#[test]
fn what_cannot_take_sections_is_refused() {
    let one = [(".osrel", memory("x"))];
    let refused = |file: &PeFile| append(&pe(file), &one, epoch()).unwrap_err();
    let with = |directory| PeFile { directories: vec![directory], ..stub(AMD64) };
    assert!(matches!(refused(&with((4, 0x400, 0x5c0))), AppendError::Signed));
    assert!(matches!(refused(&with((6, 0x11000, 28))), AppendError::DebugDirectory));
    for (section_alignment, file_alignment) in
        [(0, 0), (0x200, 0x1000), (0x300, 0x200), (0x1000, 0), (1 << 31, 0x200)]
    {
        let mut bytes = stub(AMD64).bytes();
        made::put32(&mut bytes, 0x80 + 24 + 32, section_alignment);
        made::put32(&mut bytes, 0x80 + 24 + 36, file_alignment);
        let error = append(&Pe::read(&memory(bytes)).unwrap(), &one, epoch()).unwrap_err();
        assert!(matches!(error, AppendError::Alignment { .. }), "{error}");
    }
    let low = PeFile { sections: vec![(".text", 0x400, vec![1; 9])], ..stub(AMD64) };
    let many: Vec<_> = (0..20).map(|_| (".dtbauto", memory("x"))).collect();
    append(&pe(&low), &many[..10], epoch()).unwrap();
    let error = append(&pe(&low), &many, epoch()).unwrap_err();
    assert_eq!(error.to_string(), "headers of 1536 bytes do not fit before its first section at 0x400");
    let stub = pe(&stub(AMD64));
    let huge = Content::file("/nowhere", 3 << 30);
    for (sections, wanted) in [
        (vec![("", memory("x"))], "`` cannot be the name"),
        (vec![(".too-long", memory("x"))], "cannot be the name"),
        (vec![(".initrd", memory(""))], "section `.initrd` would be empty"),
        (vec![(".sbat", memory("x"))], "it has a section `.sbat` already"),
        (vec![(".a", huge.clone()), (".b", huge)], "with section `.b` it would have 4 GiB or more"),
        (vec![(".a", Content::file("/nowhere", 1 << 32))], "with section `.a` it would have 4 GiB or more"),
    ] {
        let error = append(&stub, &sections, epoch()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn what_is_no_pe_file_is_refused_with_what_is_wrong() {
    let good = stub(AMD64).bytes();
    let read = |bytes: &[u8]| Pe::read(&memory(bytes)).unwrap_err();
    assert!(matches!(read(b""), PeError::NotPe(_)));
    assert!(matches!(read(b"MZ"), PeError::NotPe(_)));
    assert!(matches!(read(&good[..0x80]), PeError::NotPe(_)));
    assert!(matches!(read(&good[..0x90]), PeError::Truncated("COFF header")));
    assert!(matches!(read(&good[..0xa0]), PeError::Truncated("optional header")));
    assert!(matches!(read(&good[..0x190]), PeError::Truncated("section table")));
    let last = good.len() - 45 - 1; // behind the sections lie 45 bytes of symbols
    assert!(matches!(read(&good[..last]), PeError::SectionOutside { name, .. } if name == ".sdmagic"));
    let mut bytes = good.clone();
    made::put(&mut bytes, 0x80 + 24, &0x10bu16.to_le_bytes());
    assert!(matches!(read(&bytes), PeError::Magic(0x10b)));
    // Eight sections of 27 KB in a file of as much.
    let mut bytes = good.clone();
    let len = bytes.len() - 0x400;
    for index in 0..8 {
        let at = 0x80 + 24 + 240 + index * 40;
        made::put32(&mut bytes, at + 16, len);
        made::put32(&mut bytes, at + 20, 0x400);
    }
    assert!(matches!(read(&bytes), PeError::Overlap));
    let mut bytes = good;
    made::put(&mut bytes, 0x86, &0xffffu16.to_le_bytes());
    assert!(matches!(read(&bytes), PeError::TooManySections { count: 0xffff }));
}

fn parts(kernel: Content, splash: Option<Content>) -> Parts {
    Parts {
        talos: Version::new(1, 11, 3).into(),
        kernel,
        release: made::RELEASE.to_owned(),
        initrd: memory(made::noise(123_457)),
        cmdline: "talos.platform=metal console=tty0".to_owned(),
        splash,
        profiles: true,
    }
}

#[test]
fn an_image_of_an_installer_is_taken_apart_into_what_went_in() {
    for (machine, number) in [(Machine::Amd64, AMD64), (Machine::Arm64, ARM64)] {
        let stub = memory(stub(number).bytes());
        let parts = parts(memory(made::program(number, 50_000)), Some(memory(made::bitmap())));
        let image = Builder::new(&stub, machine, epoch()).sections(parts.sections()).finish().unwrap();
        let uki = Uki::read(image.content()).unwrap();
        let same =
            |one: &Content, other: &Content| one.read(1 << 20).unwrap() == other.read(1 << 20).unwrap();
        assert!(same(&uki.kernel, &parts.kernel));
        assert!(same(uki.initrd.as_ref().unwrap(), &parts.initrd));
        assert!(same(uki.splash.as_ref().unwrap(), parts.splash.as_ref().unwrap()));
        assert_eq!((uki.machine, uki.signed), (machine, false));
        assert_eq!(uki.uname.as_deref(), Some(made::RELEASE));
        assert!(uki.osrel.unwrap().contains("\nVERSION_ID=v1.11.3\n"));
        let profiles: Vec<_> = uki
            .profiles
            .iter()
            .map(|profile| (profile.text.id.as_deref().unwrap(), profile.cmdline.as_deref().unwrap()))
            .collect();
        let reset = format!("{} talos.experimental.wipe=system:EPHEMERAL,STATE", parts.cmdline);
        assert_eq!(profiles, [("main", parts.cmdline.as_str()), ("reset-maintenance", reset.as_str())]);
        assert_eq!(uki.profiles[1].text.title.as_deref(), Some("Reset to maintenance mode"));
        assert_eq!(uki.sections.len(), 8 + 9);
    }
}

#[test]
fn an_image_without_profiles_has_one_without_a_name() {
    let stub = memory(stub(AMD64).bytes());
    let sections = [(section::CMDLINE, memory("a b")), (section::LINUX, memory(made::program(AMD64, 99)))];
    let image = Builder::new(&stub, Machine::Amd64, epoch()).sections(sections).finish().unwrap();
    let uki = Uki::read(image.content()).unwrap();
    assert_eq!(uki.profiles.len(), 1);
    assert_eq!((uki.profiles[0].text.id.as_deref(), uki.profiles[0].cmdline.as_deref()), (None, Some("a b")));
    assert!(uki.initrd.is_none() && uki.osrel.is_none() && uki.uname.is_none());
    let error = Uki::read(&stub).unwrap_err();
    assert!(matches!(error, ReadError::NoKernel), "{error}");
}

#[test]
fn an_image_that_would_not_boot_is_refused() {
    let amd64 = memory(stub(AMD64).bytes());
    let kernel = || (section::LINUX, memory(made::program(AMD64, 99)));
    let build = |stub: &Content, sections: Vec<(&'static str, Content)>| {
        Builder::new(stub, Machine::Amd64, epoch()).sections(sections).finish()
    };
    let refused = |sections| build(&amd64, sections).unwrap_err();
    let cmdline = |text: &str| (section::CMDLINE, memory(text));
    let profile = |text: &str| (section::PROFILE, memory(text));

    let arm64 = memory(stub(ARM64).bytes());
    let error = build(&arm64, vec![kernel()]).unwrap_err().to_string();
    assert_eq!(error, "the stub is for arm64, the image for amd64");
    let error = refused(vec![(section::LINUX, memory(made::program(ARM64, 99)))]).to_string();
    assert_eq!(error, "the kernel is for arm64, the image for amd64");
    for no_stub in [made::gzip(b"Image"), made::vmlinux()] {
        assert!(matches!(refused(vec![(section::LINUX, memory(no_stub))]), BuildError::NoEfiStub(_)));
    }
    assert!(matches!(build(&memory("stub"), vec![kernel()]), Err(BuildError::Stub(_))));

    build(&amd64, vec![kernel(), cmdline(&"x".repeat(2047))]).unwrap();
    let error = refused(vec![kernel(), cmdline(&"x".repeat(2048))]).to_string();
    assert_eq!(error, "the command line has 2048 bytes, and the kernel takes 2047");
    for text in ["a\0b", "a\nb"] {
        assert!(matches!(refused(vec![kernel(), cmdline(text)]), BuildError::Cmdline(_)), "{text:?}");
    }
    let long = vec![kernel(), cmdline("x"), profile("ID=main"), profile("ID=b"), cmdline(&"x".repeat(2048))];
    assert!(matches!(refused(long), BuildError::CmdlineTooLong { len: 2048 }), "that of a profile, too");

    let twice = vec![kernel(), profile("ID=main"), profile("TITLE=x\nID=main")];
    assert!(matches!(refused(twice), BuildError::ProfileTwice(id) if id == "main"));
    assert!(matches!(refused(vec![kernel(), profile("TITLE=x")]), BuildError::NoProfileId));
    assert!(matches!(refused(vec![kernel(), kernel()]), BuildError::Twice { .. }));
    let twice = vec![kernel(), profile("ID=a"), cmdline("x"), cmdline("y")];
    assert_eq!(refused(twice).to_string(), "there are two sections `.cmdline` in a profile");
    assert!(matches!(refused(vec![cmdline("x")]), BuildError::Kernels(0)));
    assert!(matches!(refused(vec![profile("ID=a"), kernel()]), BuildError::Kernels(1)));
    assert!(matches!(refused(vec![kernel(), (section::SPLASH, memory("GIF89a"))]), BuildError::Splash(_)));
    assert!(matches!(
        refused(vec![kernel(), (".sbat", memory("x"))]),
        BuildError::Append(AppendError::Twice(_))
    ));
}

#[test]
fn profiles_on_a_stub_that_does_not_know_them_are_refused_as_it_would_start_the_last_one() {
    let kernel = || memory(made::program(AMD64, 99));
    let build = |info: &str, profiles| {
        let mut file = stub(AMD64);
        file.sections.last_mut().unwrap().2 = info.as_bytes().to_vec();
        let parts = Parts { profiles, ..parts(kernel(), None) };
        let stub = memory(file.bytes());
        Builder::new(&stub, Machine::Amd64, epoch()).sections(parts.sections()).finish()
    };
    let old = "#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####";
    let error = build(old, true).unwrap_err().to_string();
    assert!(error.starts_with("the stub, systemd's 252.39-1~deb12u2, does not know profiles"), "{error}");
    assert!(matches!(build("nothing", true), Err(BuildError::ProfilesUnknown { .. })));
    let image = build(old, false).unwrap();
    let uki = Uki::read(image.content()).unwrap();
    assert_eq!(uki.stub.unwrap().version, "252.39-1~deb12u2");
    assert_eq!(uki.profiles.len(), 1);
    build("nothing", false).unwrap();
    for profiles in [true, false] {
        let boot = build("#### LoaderInfo: systemd-boot 257 ####", profiles);
        assert!(matches!(boot, Err(BuildError::NotAStub(name)) if name == "systemd-boot"));
    }
}

fn kernel(bytes: &[u8]) -> Result<Kernel, KernelError> {
    Kernel::read(&memory(bytes))
}

/// Every form, with the codecs that there are encoders for.
fn kernels() -> Vec<(Form, Codec, Vec<u8>)> {
    let (vmlinux, image) = (made::vmlinux(), made::arm64_image());
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    vec![
        (Form::BzImage, Codec::Gzip, made::bz_image(&made::gzip(&vmlinux))),
        (Form::BzImage, Codec::Zstd, made::bz_image(&made::with_size(zstd(&vmlinux), &vmlinux))),
        (Form::Zboot, Codec::Gzip, made::zboot(&made::gzip(&image), "gzip")),
        (Form::Zboot, Codec::Zstd, made::zboot(&zstd(&image), "zstd")),
        (Form::CompressedImage, Codec::Gzip, made::gzip(&image)),
        (Form::Image, Codec::Plain, image),
    ]
}

#[test]
fn a_kernel_of_any_form_tells_its_release_and_its_configuration() {
    for (form, codec, bytes) in kernels() {
        let kernel = kernel(&bytes).unwrap();
        let machine = if form == Form::BzImage { Machine::Amd64 } else { Machine::Arm64 };
        assert_eq!((kernel.form, kernel.payload, kernel.machine), (form, codec, machine));
        assert_eq!((kernel.release.as_str(), kernel.version.as_str()), (made::RELEASE, made::VERSION));
        assert_eq!(kernel.config, Some(KernelConfig::parse(made::CONFIG)));
        assert_eq!(kernel.efi_stub, (form != Form::CompressedImage).then_some(machine), "{form}");
        assert!(!kernel.signed);
    }
}

#[test]
fn a_damaged_kernel_is_an_error_that_says_what_is_wrong() {
    let vmlinux = made::vmlinux();
    let good = made::bz_image(&made::gzip(&vmlinux));
    assert!(matches!(kernel(b""), Err(KernelError::NotAKernel)));
    assert!(matches!(kernel(&vmlinux), Err(KernelError::NotAKernel)));
    assert!(matches!(kernel(&made::gzip(&vmlinux)), Err(KernelError::NotAKernel)));
    assert!(matches!(kernel(&good[..good.len() - 1000]), Err(KernelError::Truncated)));
    let with = |at: usize, new: &[u8]| {
        let mut bytes = good.clone();
        made::put(&mut bytes, at, new);
        kernel(&bytes)
    };
    assert!(matches!(with(0x206, &[7, 2]), Err(KernelError::Protocol(0x207))));
    assert!(matches!(with(0x248, &[0xff; 8]), Err(KernelError::Truncated)));
    assert!(matches!(with(8 * 512 + 0x2c4, &[0; 4]), Err(KernelError::Payload)));
    assert!(matches!(with(8 * 512 + 0x2c4 + 5000, &[0; 64]), Err(KernelError::Unpack(_))));
    let told = made::bz_image(&made::with_size(zstd::encode_all(&vmlinux[..], 3).unwrap(), &vmlinux[1..]));
    assert!(matches!(kernel(&told), Err(KernelError::Size { .. })));
    let other = made::bz_image(&made::gzip(b"no ELF file"));
    assert!(matches!(kernel(&other), Err(KernelError::Content("ELF file"))));
    // Without a version in the header that of the payload counts, and without any there is none.
    assert_eq!(with(0x20e, &[0; 2]).unwrap().version, made::VERSION);
    let silent = made::bz_image(&made::gzip(&vmlinux[..1000]));
    assert_eq!(kernel(&silent).unwrap().release, made::RELEASE);
    let mut silent = silent;
    made::put(&mut silent, 0x20e, &[0; 2]);
    assert!(matches!(kernel(&silent), Err(KernelError::NoRelease)));
}

fn mutate(random: &mut Random, original: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(3) {
        // Mostly where the numbers are.
        let len = bytes.len() as u64;
        let at = if random.below(4) == 0 { random.below(len) } else { random.below(0x600.min(len)) } as usize;
        match random.below(5) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            3 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0),
            _ if random.below(4) == 0 => bytes.truncate(at.max(64)),
            _ => {}
        }
    }
    bytes
}

/// Runs `one` so often, or for TALOSMITH_FUZZ_SECONDS. No round takes long, whatever it is given.
fn fuzz(rounds: u32, mut one: impl FnMut(&mut Random)) {
    let seconds = std::env::var("TALOSMITH_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut random = Random(seconds.map_or(1, |seed| seed | 1));
    let (mut round, mut slowest) = (0, Duration::ZERO);
    while end.map_or(round < rounds, |end| Instant::now() < end) {
        let start = Instant::now();
        one(&mut random);
        slowest = slowest.max(start.elapsed());
        round += 1;
    }
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}

#[test]
fn a_damaged_stub_or_image_is_an_error_or_something_else_but_never_a_panic_or_a_hang() {
    let stub_bytes = stub(AMD64).bytes();
    let parts = parts(memory(made::program(AMD64, 5000)), None);
    let whole = memory(&stub_bytes);
    let image = Builder::new(&whole, Machine::Amd64, epoch()).sections(parts.sections());
    let image = bytes_of(&image.finish().unwrap());
    let (mut made_of, mut read) = (0, 0);
    fuzz(20_000, |random| {
        let stub = memory(mutate(random, &stub_bytes));
        let built = Builder::new(&stub, Machine::Amd64, epoch()).sections(parts.sections()).finish();
        if let Ok(built) = built {
            // What is planned is whole: its parts are there, and it reads back.
            assert_eq!(Uki::read(built.content()).unwrap().uname.as_deref(), Some(made::RELEASE));
            made_of += 1;
        }
        read += u32::from(Uki::read(&memory(mutate(random, &image))).is_ok());
    });
    assert!(made_of > 1000 && read > 1000, "the changes do not reach far: {made_of} {read}");
}

#[test]
fn a_damaged_kernel_is_an_error_or_something_else_but_never_a_panic_or_a_hang() {
    let originals = kernels();
    let mut read = 0;
    fuzz(400, |random| {
        let (_, _, original) = &originals[random.below(originals.len() as u64) as usize];
        read += u32::from(kernel(&mutate(random, original)).is_ok());
    });
    assert!(read > 50, "the changes do not reach far: {read}");
}
