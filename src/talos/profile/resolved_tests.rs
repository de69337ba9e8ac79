//! Tests of [`super`].

use super::*;
use crate::talos::profile::{OverlayOption, ProfileFlags};

fn resolve(profile: Profile, talos: &str) -> Result<Resolved, ProfileError> {
    let defaults = Defaults { talos: &Tag::new(talos), architecture: Some(Architecture::Amd64) };
    profile.with_base(&[])?.resolve(&defaults)
}

fn document(text: &str, talos: &str) -> Result<Resolved, ProfileError> {
    resolve(Profile::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}")), talos)
}

fn refused(text: &str, talos: &str) -> String {
    document(text, talos).unwrap_err().to_string()
}

#[test]
fn the_installer_profile_alone_says_everything() {
    let resolved = resolve(ProfileFlags::default().profile("installer"), "v1.11.3").unwrap();
    assert_eq!(resolved.file_name(), "installer-amd64.tar");
    assert_eq!((resolved.name.as_str(), resolved.talos.as_str()), ("Talos", "v1.11.3"));
    let base = "ghcr.io/siderolabs/installer-base:v1.11.3".to_owned();
    assert_eq!(resolved.base_installer, ContainerSource::Registry { image: base, insecure: false });
    assert_eq!(resolved.kernel, AssetSource::Imager("usr/install/amd64/vmlinuz".into()));
    assert_eq!(resolved.initramfs, AssetSource::Imager("usr/install/amd64/initramfs.xz".into()));
    assert_eq!(resolved.stub, AssetSource::Imager("usr/install/amd64/systemd-stub.efi".into()));
    assert_eq!(resolved.boot_loader, AssetSource::Imager("usr/install/amd64/systemd-boot.efi".into()));
    assert_eq!((resolved.extensions.len(), resolved.overlay), (0, None));
}

#[test]
fn every_built_in_profile_is_made_or_said_not_to_be_there_yet() {
    let mut made = Vec::new();
    for name in builtin::names() {
        match resolve(ProfileFlags::default().profile(name), "v1.11.3") {
            Ok(_) => made.push(name),
            Err(error) => {
                let text = error.to_string();
                assert!(text.ends_with(" is not there yet"), "{name}: {text}");
                assert!(error.hint().unwrap().contains("`installer`"));
            }
        }
    }
    assert_eq!(made, ["metal-uki", "installer"]);
    let iso = resolve(ProfileFlags::default().profile("iso"), "v1.11.3").unwrap_err();
    assert_eq!(iso.to_string(), "output kind `iso` is not there yet");
    let secure = resolve(ProfileFlags::default().profile("secureboot-installer"), "v1.11.3").unwrap_err();
    assert_eq!(secure.to_string(), "Secure Boot is not there yet");
}

#[test]
fn every_profiles_platform_is_one() {
    assert_eq!(builtin::names().count(), 32);
    for name in builtin::names() {
        let platform = builtin::profile(name).unwrap().platform.unwrap();
        assert!(Platform::parse(&platform).is_ok(), "{name}");
    }
}

#[test]
fn a_kind_that_is_given_makes_something_else_of_a_profile() {
    let flags = ProfileFlags {
        kind: Some(OutputKind::Cmdline),
        architecture: Some(Architecture::Arm64),
        ..ProfileFlags::default()
    };
    let resolved = resolve(flags.clone().profile("secureboot-iso"), "v1.11.3").unwrap();
    assert_eq!(resolved.file_name(), "cmdline-metal-arm64-secureboot");
    let resolved = resolve(flags.profile("aws"), "v1.11.3").unwrap();
    // As upstream has it: what becomes of the disk image becomes of this.
    assert_eq!(resolved.file_name(), "cmdline-aws-arm64.zst");
}

#[test]
fn a_name_that_is_no_profile_has_a_neighbour_or_a_list() {
    let error = resolve(ProfileFlags::default().profile("instaler"), "v1.11.3").unwrap_err();
    assert_eq!(error.to_string(), "`instaler` is no profile");
    assert_eq!(error.hint().as_deref(), Some("did you mean `installer`?"));
    let hint = resolve(ProfileFlags::default().profile("x-y-z"), "v1.11.3").unwrap_err().hint().unwrap();
    assert!(hint.starts_with("the profiles are iso, ") && hint.ends_with(", vultr"), "{hint}");
}

#[test]
fn an_overlays_own_profile_comes_before_the_built_in_one() {
    let own = Profile::parse(b"platform: nocloud\noutput: {kind: uki}\n").unwrap();
    let profile = ProfileFlags::default().profile("metal");
    let profile = profile.with_base(&[("metal".to_owned(), own)]).unwrap();
    assert_eq!((profile.platform.as_deref(), profile.kind), (Some("nocloud"), Some(OutputKind::Uki)));
}

#[test]
fn flags_say_what_a_document_says() {
    let option = |text: &str| match OverlayOption::parse(text) {
        OverlayOption::Value(key, value) => (key, Any::Text(value)),
        other => panic!("{other:?}"),
    };
    let flags = ProfileFlags {
        base_installer: Some("base".into()),
        extensions: vec!["e1".into(), "e2".into()],
        extra_kernel_args: vec!["a=b".into()],
        overlay_name: Some("rpi".into()),
        overlay_image: Some("o".into()),
        overlay_options: vec![option("x=1"), option("y"), option("x=2=3")],
        embedded_config: Some("kind: X\n".into()),
        image_cache: Some("./cache".into()),
        insecure: true,
        ..ProfileFlags::default()
    };
    let said = Profile::parse(
        b"baseProfileName: installer\ncustomization: {extraKernelArgs: [a=b], embeddedMachineConfiguration: \"kind: X\\n\"}\n\
          input:\n  baseInstaller: {imageRef: base, forceInsecure: true}\n  imageCache: {ociPath: ./cache}\n  \
          overlayInstaller: {imageRef: o}\n  systemExtensions: [{imageRef: e1, forceInsecure: true}, {imageRef: e2, forceInsecure: true}]\n\
          overlay: {name: rpi, image: {imageRef: o}, options: {y: '', x: 2=3}}\n",
    )
    .unwrap();
    let sorted = |mut profile: Profile| {
        profile.overlay.as_mut().unwrap().options.sort_by(|one, other| one.0.cmp(&other.0));
        profile
    };
    assert_eq!(sorted(flags.profile("installer")), sorted(said));
    assert_eq!(OverlayOption::parse("k=@f"), OverlayOption::File("k".into(), "f".into()));
    assert_eq!(OverlayOption::parse("@f.yaml"), OverlayOption::Document("f.yaml".into()));
}

#[test]
fn defaults_are_those_of_the_version() {
    let resolved = document("baseProfileName: installer\nversion: v1.9.6\n", "v1.11.3").unwrap();
    let ContainerSource::Registry { image, .. } = resolved.base_installer else { panic!() };
    assert_eq!(image, "ghcr.io/siderolabs/installer:v1.9.6");
    let text = "baseProfileName: installer\nversion: 'a b'\n";
    assert_eq!(refused(text, "v1.11.3"), "there is no image of Talos' own for version `a b`");
}

#[test]
fn upstreams_own_paths_are_paths_in_the_imager_image() {
    let text = "baseProfileName: installer\ninput: {kernel: {path: /usr/install/arm64/vmlinuz}, initramfs: {path: ./i}}\n";
    let resolved = document(text, "v1.11.3").unwrap();
    assert_eq!(resolved.kernel, AssetSource::Imager("usr/install/arm64/vmlinuz".into()));
    assert_eq!(resolved.initramfs, AssetSource::File("./i".into()));
}

#[test]
fn an_overlay_has_a_name_and_serves_the_target_too() {
    let text = "baseProfileName: installer\noverlay: {image: {imageRef: o}}\n";
    let overlay = document(text, "v1.11.3").unwrap().overlay.unwrap();
    let image = ContainerSource::Registry { image: "o".into(), insecure: false };
    assert_eq!((overlay.name.as_str(), &overlay.image, &overlay.installer), ("default", &image, &image));
    assert_eq!(
        refused("baseProfileName: installer\noverlay: {name: x}\n", "v1.11.3"),
        "the profile has no `overlay.image`"
    );
}

#[test]
fn what_cannot_be_made_is_refused_with_its_reason() {
    let installer = "baseProfileName: installer\n";
    for (text, talos, message) in [
        ("platform: metal\noutput: {kind: ''}\n", "v1.11.3", "the profile has no `output.kind`"),
        ("output: {kind: uki}\n", "v1.11.3", "the profile has no `platform`"),
        ("platform: foo\noutput: {kind: uki}\n", "v1.11.3", "`foo` is no platform of Talos"),
        (
            "baseProfileName: installer\ncustomization: {metaContents: [{key: 10, value: x}]}\n",
            "v1.11.3",
            "an output of kind `installer` takes no values of META",
        ),
        (
            "platform: metal\noutput: {kind: kernel}\ncustomization: {extraKernelArgs: [x]}\n",
            "v1.11.3",
            "an output of kind `kernel` takes no kernel arguments",
        ),
        (
            "platform: metal\nsecureboot: true\noutput: {kind: initramfs}\n",
            "v1.11.3",
            "an output of kind `initramfs` takes no Secure Boot",
        ),
        (
            "platform: metal\nsecureboot: true\noutput: {kind: cmdline}\n",
            "v1.4.8",
            "Secure Boot takes Talos v1.5.0 or later, and the profile is for v1.4.8",
        ),
        (
            "baseProfileName: metal-uki\n",
            "v1.4.8",
            "a UKI takes Talos v1.5.0 or later, and the profile is for v1.4.8",
        ),
        (
            "baseProfileName: installer\noverlay: {image: {imageRef: o}}\n",
            "v1.6.7",
            "an overlay takes Talos v1.7.0 or later, and the profile is for v1.6.7",
        ),
        (
            "baseProfileName: installer\ncustomization: {embeddedMachineConfiguration: x}\n",
            "v1.11.3",
            "an embedded machine configuration takes Talos v1.12.0 or later, and the profile is for v1.11.3",
        ),
        (
            "baseProfileName: installer\ninput: {baseInstaller: {tarballPath: x.tar, imageRef: y}}\n",
            "v1.11.3",
            "`input.baseInstaller` is a tar of files, expected an image with layers",
        ),
        (
            "baseProfileName: installer\ninput: {systemExtensions: [{forceInsecure: true}]}\n",
            "v1.11.3",
            "the profile has no `input.systemExtensions[].imageRef`",
        ),
    ] {
        assert_eq!(refused(text, talos), message, "{text}");
    }
    let profile = Profile::parse(installer.as_bytes()).unwrap().with_base(&[]).unwrap();
    let defaults = Defaults { talos: &Tag::new("v1.11.3"), architecture: None };
    assert_eq!(profile.resolve(&defaults).unwrap_err(), ProfileError::Missing("arch"));
}
