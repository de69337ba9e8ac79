//! Tests of [`super`].

use super::*;

/// The header of an ELF program for a machine, by its number.
fn elf(machine: u16) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[16] = 2;
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file
}

fn file(mode: u32, bytes: impl Into<Vec<u8>>) -> Entry {
    Entry { uid: 7, mtime: 9, ..Entry::file(mode, Content::memory(bytes.into())) }
}

fn image() -> Tree {
    let mut image = Tree::new();
    for (path, entry) in [
        ("artifacts/arm64/firmware/boot/start.elf", file(0o600, "start")),
        ("artifacts/arm64/u-boot/u-boot.bin", file(0o644, "u-boot")),
        ("artifacts/arm64/firmware/boot/u-boot.bin", Entry::symlink("../../u-boot/u-boot.bin")),
        ("artifacts/arm64/latest", Entry::symlink("firmware")),
        ("artifacts/arm64/hard", Entry::new(0o644, Kind::HardLink("artifacts/arm64/latest.bin".into()))),
        ("artifacts/arm64/latest.bin", Entry::symlink("/artifacts/arm64/u-boot/u-boot.bin")),
        ("installers/rpi_generic", file(0o755, elf(183))),
        ("profiles/rpi_generic.yaml", file(0o644, "platform: metal\noutput: {kind: image, outFormat: xz}\n")),
        ("profiles/README", file(0o644, "x")),
    ] {
        image.insert(path, entry).unwrap();
    }
    image
}

fn made(image: &Tree) -> Result<Tree, OverlayError> {
    layer(image, "rpi_generic", Architecture::Arm64, &[])
}

fn refused(change: impl FnOnce(&mut Tree)) -> String {
    let mut image = image();
    change(&mut image);
    made(&image).unwrap_err().to_string()
}

#[test]
fn the_layer_holds_artifacts_program_and_options() {
    let options = [("z".to_owned(), Any::Int(1)), ("configTxt".to_owned(), Any::Text("a=1\nb=2\n".into()))];
    let layer = layer(&image(), "rpi_generic", Architecture::Arm64, &options).unwrap();
    let dump: Vec<String> = layer
        .iter()
        .filter(|(_, entry)| !entry.is_directory())
        .map(|(path, entry)| {
            assert_eq!((entry.uid, entry.gid, entry.mtime), (0, 0, 0), "{path}");
            let what = match &entry.kind {
                Kind::File(content) => format!("{} bytes", content.len()),
                Kind::Symlink(target) => format!("-> {target}"),
                other => other.name().to_owned(),
            };
            format!("{path} {:o} {what}", entry.mode)
        })
        .collect();
    assert_eq!(
        dump,
        [
            "overlay/artifacts/arm64/firmware/boot/start.elf 600 5 bytes",
            "overlay/artifacts/arm64/firmware/boot/u-boot.bin 644 6 bytes",
            "overlay/artifacts/arm64/hard 644 6 bytes",
            "overlay/artifacts/arm64/latest 777 -> firmware",
            "overlay/artifacts/arm64/latest.bin 644 6 bytes",
            "overlay/artifacts/arm64/u-boot/u-boot.bin 644 6 bytes",
            "overlay/extra-options 644 34 bytes",
            "overlay/installers/default 755 64 bytes",
        ]
    );
    let options = layer.get(OPTIONS).unwrap().content().unwrap().read(99).unwrap();
    assert_eq!(options, b"configTxt: |\n    a=1\n    b=2\nz: 1\n");
    let none = made(&image()).unwrap();
    assert_eq!(none.get(OPTIONS).unwrap().content().unwrap().read(99).unwrap(), b"{}\n");
}

#[test]
fn the_program_must_be_one_for_the_target() {
    assert_eq!(
        refused(|image| image.replace("installers/rpi_generic", file(0o755, elf(62))).unwrap()),
        "`installers/rpi_generic` of the overlay is a program for amd64, and the installer is for arm64"
    );
    assert_eq!(
        refused(|image| image.replace("installers/rpi_generic", file(0o644, elf(183))).unwrap()),
        "`installers/rpi_generic` of the overlay is no program: its mode is 0644, which lets nobody run it"
    );
    assert_eq!(
        refused(|image| image.replace("installers/rpi_generic", file(0o755, vec![b'#'; 99])).unwrap()),
        "`installers/rpi_generic` of the overlay is no program: the file does not begin with the ELF magic"
    );
    assert_eq!(
        refused(|image| image.replace("installers/rpi_generic", file(0o755, "#!/bin/sh")).unwrap()),
        "`installers/rpi_generic` of the overlay is no program: the file has 9 bytes, fewer than an ELF header"
    );
}

#[test]
fn a_program_that_is_not_there_has_a_neighbour_or_a_list() {
    let of = |name: &str| layer(&image(), name, Architecture::Arm64, &[]).unwrap_err();
    let error = of("rpi-generic");
    assert_eq!(error.to_string(), "the overlay has no installer `rpi-generic`");
    assert_eq!(error.hint().as_deref(), Some("did you mean `rpi_generic`?"));
    assert_eq!(of("default").hint().as_deref(), Some("the installers are rpi_generic"));
    assert!(matches!(of("../profiles/README"), OverlayError::NoInstaller { .. }));
}

#[test]
fn what_is_no_overlay_for_the_target_is_refused() {
    assert_eq!(
        refused(|image| image.remove(ARTIFACTS)),
        "the image has no folder `artifacts`, so it is no overlay"
    );
    assert_eq!(
        refused(|image| image.remove(INSTALLERS)),
        "the image has no folder `installers`, so it is no overlay"
    );
    let error = layer(&image(), "rpi_generic", Architecture::Amd64, &[]).unwrap_err();
    assert_eq!(error.to_string(), "the overlay has files for arm64, and none for amd64");
}

#[test]
fn links_that_lead_nowhere_and_devices_are_refused() {
    for (target, shown) in
        [("nowhere", "nowhere"), ("../../../../etc/passwd", "../../../../etc/passwd"), ("x", "x")]
    {
        assert_eq!(
            refused(|image| image.insert("artifacts/x", Entry::symlink(target)).unwrap()),
            format!("`artifacts/x` of the overlay is a link to `{shown}`, where there is no file")
        );
    }
    assert_eq!(
        refused(|image| image.insert("artifacts/x", Entry::new(0o644, Kind::Fifo)).unwrap()),
        "`artifacts/x` of the overlay is a fifo"
    );
    // A link to a directory elsewhere would lead somewhere else in the installer.
    let text = refused(|image| image.insert("artifacts/x", Entry::symlink("/profiles")).unwrap());
    assert!(text.contains("where there is no file"), "{text}");
}

#[test]
fn an_overlays_profiles_are_read_by_name() {
    let profiles = profiles(&image()).unwrap();
    assert_eq!(profiles.len(), 1);
    assert_eq!((profiles[0].0.as_str(), profiles[0].1.platform.as_deref()), ("rpi_generic", Some("metal")));
    let mut broken = image();
    broken.replace("profiles/rpi_generic.yaml", file(0o644, "platfrom: x\n")).unwrap();
    assert_eq!(
        super::profiles(&broken).unwrap_err().to_string(),
        "`profiles/rpi_generic.yaml` of the overlay cannot be read"
    );
}

#[test]
fn the_programs_answer_is_read_whatever_else_it_says() {
    let options = OverlayOptions::parse(
        b"name: rpi_generic\nkernelArgs:\n    - console=tty0\n    - console=ttyAMA0,115200\npartitionOptions:\n    offset: 20480\nnew: x\n",
    )
    .unwrap();
    assert_eq!((options.name.as_str(), options.offset), ("rpi_generic", 20480));
    assert_eq!(options.kernel_args, ["console=tty0", "console=ttyAMA0,115200"]);
    assert_eq!(OverlayOptions::parse(b"").unwrap(), OverlayOptions::default());
    assert!(OverlayOptions::parse(b"kernelArgs: x\n").is_err());
    assert!(OverlayOptions::parse(b"partitionOptions: {offset: -1}\n").is_err());
}
