use super::*;

fn parsed(text: &str) -> Result<Spec, TypedError> {
    parse(text.as_bytes(), &|name| (name == "TAG").then(|| "v7".to_owned()))
}

/// The whole example of the guide.
const WHOLE: &str = "
version: v1
talos: v1.11.3
platforms: [linux/amd64, linux/arm64]
kernel:
  buildkit: {context: ./pkgs, kernel: kernel, packages: [my-module-pkg]}
extensions:
  - path: ./my-module
    copy: [{from: kernel#my-module-pkg, src: /usr/lib/modules, dst: /usr/lib/modules}]
    push: registry.example.com/acme/my-module:0.1
  - image: ghcr.io/siderolabs/gvisor:20250505.0
  - official: siderolabs/iscsi-tools
installers:
  - extraKernelArgs: [console=ttyS1]
    outputs:
      - push: registry.example.com/acme/installer:v1.11.3-my-module
      - docker-archive: out/installer-{arch}.tar
";

#[test]
fn the_whole_guide_is_one_file() {
    let spec = parsed(WHOLE).unwrap();
    assert_eq!((spec.platforms.len(), spec.extensions.len()), (2, 3));
    assert_eq!(spec.extensions[0].copies[0].from.own_kernel(), Some("my-module-pkg"));
    let outputs: Vec<_> = spec.installers[0].outputs.iter().filter_map(Output::reference).collect();
    assert_eq!(
        outputs,
        [
            "docker://registry.example.com/acme/installer:v1.11.3-my-module",
            "docker-archive:out/installer-{arch}.tar"
        ]
    );
}

#[test]
fn mistakes_are_met_with_a_place_and_advice() {
    for (text, message, hint) in [
        ("version: v2\n", "line 1, column 10: `version` is `v2`, expected `v1`", None),
        (
            "version: v1\nextension: []\n",
            "line 2, column 1: key `extension` is unknown",
            Some("did you mean `extensions`?"),
        ),
        (
            "version: v1\n",
            "line 1, column 1: ``: nothing is to be made",
            Some("add `extensions:` or `installers:`"),
        ),
        (
            "version: v1\nextensions: [{image: gvisor:1}]\n",
            "line 2, column 22: `extensions[0].image`: `gvisor:1` may be a directory or an image name",
            Some(
                "write `./gvisor:1` for a directory or archive, `docker://HOST/gvisor:1` or `HOST/gvisor:1` for an image in a registry",
            ),
        ),
        (
            "version: v1\nextensions:\n- image: a.b/c\n  keepMode: true\n",
            "line 4, column 13: `extensions[0].keepMode`: an image that is there already is taken as it is",
            None,
        ),
        (
            "version: v1\ninstallers:\n- outputs: [{push: a.b/c, oci: d}]\n",
            "line 3, column 13: `installers[0].outputs[0]`: an output is exactly one of `push`, `oci`, `oci-archive` and `docker-archive`",
            None,
        ),
        (
            "version: v1\nplatforms: [linux/amd64, linux/amd64]\ninstallers: [{outputs: [{oci: o}]}]\n",
            "line 2, column 26: `platforms[1]`: it is given twice",
            None,
        ),
        (
            "version: v1\nallow: [module-keys]\ninstallers: [{outputs: [{oci: o}]}]\n",
            "line 2, column 9: `allow[0]`: there is no rule `module-keys`",
            Some("did you mean `module-key`?"),
        ),
    ] {
        let error = parsed(text).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (message, hint), "{text}");
    }
    let error = parsed(&WHOLE.replace("kernel#my-module-pkg", "kernel#other")).unwrap_err();
    assert!(error.to_string().contains("`kernel#other` is none of this file's kernel"), "{error}");
}

#[test]
fn variables_of_the_environment_count_where_they_are_declared_alone() {
    let spec = |declared: &str, image: &str| {
        parsed(&format!("version: v1\nvariables: {declared}\nextensions: [{{image: '{image}'}}]\n"))
    };
    let image = |spec: Result<Spec, TypedError>| spec.unwrap().extensions[0].image.clone().unwrap().0;
    assert_eq!(image(spec("{TAG: }", "a.b/c:${TAG}")), "a.b/c:v7");
    assert_eq!(image(spec("{TAG: v1, HOST: x.y}", "${HOST}/c:${TAG}")), "x.y/c:v7");
    for (declared, used, message, hint) in [
        ("{}", "a.b/c:${TAG}", "the variable `TAG` is not declared", "declare it"),
        ("{TAGS: }", "a.b/c:${TAG}", "the variable `TAG` is not declared", "did you mean `TAGS`?"),
        ("{OTHER: }", "a.b/c:${OTHER}", "the variable `OTHER` is not set", "set it, or"),
        ("{TAG: }", "a.b/c:${TAG", "`${` without its `}`", ""),
    ] {
        let error = spec(declared, used).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error}");
    }
}

#[test]
fn paths_count_from_the_folder_of_the_file_and_registries_do_not() {
    let mut spec = parsed(WHOLE).unwrap();
    spec.extensions[1].image = Some(Image("oci:gvisor:1".to_owned()));
    rules::rebase(&mut spec, Path::new("site"));
    assert_eq!(spec.extensions[0].path.as_deref(), Some(Path::new("site/./my-module")));
    assert_eq!(spec.extensions[0].push.as_ref().unwrap().0, "registry.example.com/acme/my-module:0.1");
    assert_eq!(spec.extensions[0].copies[0].from.0, "kernel#my-module-pkg");
    assert_eq!(spec.extensions[1].image.as_ref().unwrap().0, "oci:site/gvisor:1");
    let outputs: Vec<_> = spec.installers[0].outputs.iter().filter_map(Output::reference).collect();
    assert_eq!(outputs[1], "docker-archive:site/out/installer-{arch}.tar");
}

#[test]
fn the_schema_knows_every_object() {
    let schema = schema();
    for name in ["Spec", "Kernel", "BuildKit", "Extension", "Installer", "Output", "Copied", "Overlay"] {
        assert!(schema["$defs"][name]["properties"].is_object(), "{name}");
    }
    assert_eq!(schema["$defs"]["Spec"]["required"], serde_json::json!(["version"]));
}
