//! Tests of [`super`].

use super::*;

const ALL: &str = "baseProfileName: installer
arch: arm64
platform: metal
secureboot: false
name: Acme
version: v1.11.3
customization:
  extraKernelArgs: [console=ttyS1, -selinux]
  metaContents:
    - key: 0x0a
      value: hello
    - {key: 12, value: '5'}
  embeddedMachineConfiguration: |
    kind: HostnameConfig
input:
  kernel: {path: /k}
  initramfs: {path: /i}
  sdStub: {path: /s}
  sdBoot: {path: /b}
  baseInstaller: {imageRef: base, forceInsecure: true}
  imageCache: {ociPath: /cache}
  overlayInstaller: {imageRef: overlay}
  systemExtensions:
    - imageRef: one
    - tarballPath: two.tar
    - ociPath: three
  secureboot:
    secureBootSigner: {keyPath: a, certPath: b}
    pcrSigner: {signerAddress: unix:///x}
    includeWellKnownCerts: true
overlay:
  name: rpi
  image: {imageRef: overlay}
  options: {configTxt: x=1, n: 5}
output:
  kind: installer
  outFormat: raw
  imageOptions: {diskSize: 1, diskFormat: raw}
  isoOptions: {bootloader: grub}
";

fn parse(text: &str) -> Profile {
    Profile::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: &str) -> DocumentError {
    Profile::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn every_key_of_a_document_is_read() {
    let profile = parse(ALL);
    assert_eq!(profile.base.as_deref(), Some("installer"));
    assert_eq!(profile.architecture, Some(Architecture::Arm64));
    assert_eq!(profile.secure_boot, Some(false));
    assert_eq!((profile.name.as_deref(), profile.version.as_deref()), (Some("Acme"), Some("v1.11.3")));
    assert_eq!(profile.extra_kernel_args, ["console=ttyS1", "-selinux"]);
    let meta: Vec<_> = profile.meta.iter().map(|meta| (meta.key, meta.value.as_str())).collect();
    assert_eq!(meta, [(10, "hello"), (12, "5")]);
    assert_eq!(profile.embedded_config.as_deref(), Some("kind: HostnameConfig\n"));
    let input = &profile.input;
    let files = [&input.kernel, &input.initramfs, &input.stub, &input.boot_loader];
    assert_eq!(files.map(|file| file.as_deref().unwrap()), ["/k", "/i", "/s", "/b"]);
    assert_eq!(input.base_installer, Container::image("base", true));
    let sources: Vec<_> = input.extensions.iter().map(|own| own.source().unwrap()).collect();
    assert_eq!(
        sources,
        [
            ContainerSource::Registry { image: "one".into(), insecure: false },
            ContainerSource::Tarball("two.tar".into()),
            ContainerSource::Layout("three".into()),
        ]
    );
    let overlay = profile.overlay.unwrap();
    let options = [("configTxt".to_owned(), Any::Text("x=1".into())), ("n".to_owned(), Any::Int(5))];
    assert_eq!((overlay.name.as_deref(), overlay.options), (Some("rpi"), options.to_vec()));
    assert_eq!((profile.kind, profile.format), (Some(OutputKind::Installer), Some(OutputFormat::Raw)));
}

#[test]
fn an_empty_document_gives_nothing() {
    assert_eq!(parse(""), Profile::default());
    assert_eq!(parse("arch: ''\nplatform:\ninput: {}\noutput: {kind: ''}\noverlay: ~\n"), Profile::default());
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion_wherever_it_stands() {
    for (right, wrong, message, hint) in [
        ("platform:", "platfrom:", "line 3: key `platfrom` is unknown", "platform"),
        (
            "  extraKernelArgs",
            "  extraKernelArg",
            "line 8: key `customization.extraKernelArg` is unknown",
            "extraKernelArgs",
        ),
        ("  kernel:", "  kernl:", "line 16: key `input.kernl` is unknown", "kernel"),
        (
            "- tarballPath",
            "- tarbalPath",
            "line 25: key `input.systemExtensions[1].tarbalPath` is unknown",
            "tarballPath",
        ),
        (
            "certPath",
            "cerPath",
            "line 28: key `input.secureboot.secureBootSigner.cerPath` is unknown",
            "certPath",
        ),
        ("diskSize", "diskSizes", "line 38: key `output.imageOptions.diskSizes` is unknown", "diskSize"),
        (
            "{key: 12, value",
            "{key: 12, valu",
            "line 12: key `customization.metaContents[1].valu` is unknown",
            "value",
        ),
    ] {
        let error = error(&ALL.replace(right, wrong));
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint().unwrap(), format!("did you mean `{hint}`?"));
    }
}

#[test]
fn a_value_that_does_not_belong_there_is_named_with_its_place() {
    for (right, wrong, message) in [
        (
            "arch: arm64",
            "arch: x86_64",
            "line 2, column 7: `arch` is `x86_64`, expected one of `amd64`, `arm64`",
        ),
        (
            "kind: installer",
            "kind: disk",
            "line 36, column 9: `output.kind` is `disk`, expected one of `iso`, `image`, `installer`, `kernel`, `initramfs`, `uki`, `cmdline`",
        ),
        (
            "0x0a",
            "0x100",
            "line 10, column 12: `customization.metaContents[0].key` is `0x100`, expected a number up to 255 such as `10` or `0x0a`",
        ),
        ("{path: /k}", "/k", "line 16, column 11: `input.kernel` is `/k`, expected a mapping"),
        (
            "{configTxt: x=1, n: 5}",
            "[x]",
            "line 34, column 12: `overlay.options` is a sequence, expected a mapping",
        ),
    ] {
        assert_eq!(error(&ALL.replace(right, wrong)).to_string(), message);
    }
}

#[test]
fn what_is_given_lies_on_the_base() {
    let base = parse(
        "arch: amd64\nplatform: aws\nsecureboot: true\ncustomization: {extraKernelArgs: [a]}\n\
         input: {baseInstaller: {imageRef: b, forceInsecure: true}, systemExtensions: [{imageRef: e1}]}\n\
         overlay: {name: o, image: {imageRef: i}, options: {a: 1, deep: {x: 1, l: [1]}}}\noutput: {kind: uki}\n",
    );
    let own = parse(
        "platform: gcp\nsecureboot: false\ncustomization: {extraKernelArgs: [b]}\n\
         input: {baseInstaller: {ociPath: l}, systemExtensions: [{imageRef: e2}]}\n\
         overlay: {options: {deep: {l: [2], z: 3}, b: 2}}\n",
    );
    let merged = own.over(base);
    assert_eq!(merged.architecture, Some(Architecture::Amd64));
    assert_eq!((merged.platform.as_deref(), merged.secure_boot), (Some("gcp"), Some(false)));
    assert_eq!(merged.extra_kernel_args, ["a", "b"]);
    assert_eq!(merged.input.base_installer.source(), Some(ContainerSource::Layout("l".into())));
    assert_eq!(merged.input.extensions.len(), 2);
    assert_eq!(merged.input.extensions[1].image.as_deref(), Some("e2"));
    assert_eq!(merged.kind, Some(OutputKind::Uki));
    let overlay = merged.overlay.unwrap();
    assert_eq!(overlay.name.as_deref(), Some("o"));
    let expected = "a: 1\nb: 2\ndeep:\n    l:\n        - 1\n        - 2\n    x: 1\n    z: 3\n";
    assert_eq!(Any::Map(overlay.options).sorted().to_yaml(), expected);
}

#[test]
fn ten_thousand_damaged_documents_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut read = 0;
    for _ in 0..10_000 {
        let mut bytes = ALL.as_bytes().to_vec();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes.insert(at, b"\n\t :-?[]{}&*!|>'\"%@`#,<0"[next(24)]),
                _ => drop(bytes.remove(at)),
            }
        }
        read += usize::from(Profile::parse(&bytes).is_ok());
    }
    assert!((200..9_000).contains(&read), "{read}");
}
