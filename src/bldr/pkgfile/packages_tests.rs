use super::*;
use crate::talos::Architecture;

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (path, text) in files {
        tree.insert(path, Entry::file(0o600, Content::memory(text.as_bytes()))).unwrap();
    }
    tree
}

fn read(files: &[(&str, &str)]) -> Result<Packages, PkgfileError> {
    let mut build = Build::new(Architecture::Amd64);
    build.arguments.insert("TAG".to_owned(), "v7".to_owned());
    Packages::read(&tree(files), &build)
}

/// The error and what it came from, in one line.
fn wrong(files: &[(&str, &str)]) -> String {
    let error = read(files).unwrap_err();
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

/// A package that depends on others.
fn package(name: &str, stages: &[&str]) -> String {
    let stages: String = stages.iter().map(|stage| format!("  - {{stage: {stage}}}\n")).collect();
    format!("name: {name}\nvariant: scratch\ndependencies:\n{stages}")
}

#[test]
fn variables_come_from_the_root_down_and_later_ones_win() {
    let packages = read(&[
        (PKGFILE, "# syntax = example.com/bldr\nformat: v1alpha2\nvars: {A: root, B: root, LDFLAGS: own, RAW: '{{ .A }}'}\n"),
        ("vars.yaml", "B: top {{ .A }}\nC: top\n"),
        ("a/vars.yaml", "C: a {{ .B }} {{ .C }}\n"),
        ("a/b/vars.yaml", "VERSION: 0.10\nD: '{{ .BUILD_ARG_TAG }}'\n"),
        ("a/b/pkg.yaml", "name: x-{{ .VERSION }}\nvariant: scratch\ninstall: ['{{ .A }}', '{{ .C }}', '{{ .D }}', '{{ .LDFLAGS }}', '{{ .RAW }}']\n"),
        ("other/pkg.yaml", "name: other\nvariant: scratch\ninstall: ['{{ .C }}']\n"),
    ])
    .unwrap();
    let package = &packages.get("x-0.10").unwrap().package;
    assert_eq!(package.install, ["root", "a top root top", "v7", "own", "{{ .A }}"]);
    assert_eq!(packages.get("other").unwrap().package.install, ["top"]);
    assert_eq!(packages.pkgfile().unwrap().syntax.as_deref(), Some("example.com/bldr"));
}

#[test]
fn directives_in_comments_are_live() {
    let text = "name: x\nvariant: scratch\n# {{ if eq .ARCH \"x86_64\" }}\ninstall: [amd64]\n# {{ else }}\ninstall: [arm64]\n# {{ end }}\n";
    let packages = read(&[("pkg.yaml", text)]).unwrap();
    assert_eq!(packages.get("x").unwrap().package.install, ["amd64"]);
    let packages = Packages::read(&tree(&[("pkg.yaml", text)]), &Build::new(Architecture::Arm64)).unwrap();
    assert_eq!(packages.get("x").unwrap().package.install, ["arm64"]);
}

#[test]
fn a_variable_that_is_not_set_is_noted() {
    let packages = read(&[
        ("vars.yaml", "A: 1\nVERSION: {{ .BUILD_ARG_NONE }}\n"),
        ("pkg.yaml", "name: x\nvariant: scratch # {{ .AA }}\n"),
    ])
    .unwrap();
    let unset: Vec<(String, Option<&str>)> = packages
        .get("x")
        .unwrap()
        .unset
        .iter()
        .map(|unset| (unset.at.to_string(), unset.variable.as_deref()))
        .collect();
    assert_eq!(
        unset,
        [
            ("`vars.yaml`, line 2, column 13".to_owned(), Some("BUILD_ARG_NONE")),
            ("`pkg.yaml`, line 2, column 23".to_owned(), Some("AA")),
        ]
    );
}

#[test]
fn errors_name_the_file_and_whether_it_was_rendered() {
    for (files, message) in [
        (
            &[("a/pkg.yaml", "name: x\nvariant: scratch\nstep: []\n")][..],
            "`a/pkg.yaml` is not valid: line 3, column 1: key `step` is unknown",
        ),
        (
            &[("a/pkg.yaml", "name: {{ .ARCH }}\n{{ if true }}\n\nstep: []\n{{ end }}")],
            "`a/pkg.yaml`, rendered, is not valid: line 4, column 1: key `step` is unknown",
        ),
        (
            &[("a/pkg.yaml", "name: x\n  {{ uper .ARCH }}\n")],
            "template `a/pkg.yaml` cannot be rendered: `a/pkg.yaml`, line 2, column 6: function `uper` is not defined",
        ),
        (
            &[("vars.yaml", "A: [1]\n"), ("pkg.yaml", "")],
            "`vars.yaml` is not valid: line 1, column 4: `A` is a sequence, expected a string",
        ),
        (
            &[(PKGFILE, "format: v1alpha2\nvar: {}\n")],
            "`Pkgfile` is not valid: line 2, column 1: key `var` is unknown",
        ),
        (
            &[("a/pkg.yaml", "name: x\nvariant: scratch\n"), ("b/pkg.yaml", "name: x\nvariant: scratch\n")],
            "package `x` stands twice, in `a/pkg.yaml` and in `b/pkg.yaml`",
        ),
    ] {
        assert_eq!(wrong(files), message);
    }
}

#[test]
fn stages_must_be_there_and_must_not_need_themselves() {
    let (a, b, c) = (package("a", &["b"]), package("b", &["c"]), package("c", &["a"]));
    let d = package("d", &["a"]);
    let files = [("a/pkg.yaml", a.as_str()), ("b/pkg.yaml", &b), ("c/pkg.yaml", &c), ("d/pkg.yaml", &d)];
    assert_eq!(wrong(&files), "packages depend on each other in a circle: a → b → c → a");
    let own = package("a", &["a"]);
    assert_eq!(wrong(&[("pkg.yaml", &own)]), "packages depend on each other in a circle: a → a");
    let base = package("base", &[]);
    let asks = package("x", &["bass"]);
    let error = read(&[("base/pkg.yaml", &base), ("x/pkg.yaml", &asks)]).unwrap_err();
    assert_eq!(error.to_string(), "`x/pkg.yaml`, line 4, column 5: there is no package `bass` to depend on");
    assert_eq!(error.hint().as_deref(), Some("did you mean `base`?"));
}

#[test]
fn packages_come_behind_what_they_depend_on() {
    let (a, b, c) = (package("a", &["c", "b"]), package("b", &["c"]), package("c", &[]));
    let packages = read(&[("1/pkg.yaml", &a), ("2/pkg.yaml", &b), ("3/pkg.yaml", &c)]).unwrap();
    assert_eq!(packages.order().collect::<Vec<_>>(), ["c", "b", "a"]);
    assert_eq!(packages.get("d").unwrap_err().to_string(), "there is no package `d`");
}

#[test]
fn what_is_needed_at_run_time_comes_along() {
    let text = |name: &str, dependencies: &str| {
        format!("name: {name}\nvariant: scratch\ndependencies: [{dependencies}]\n")
    };
    let files = [
        ("a/pkg.yaml", text("a", "{stage: b}, {image: i}, {stage: c}")),
        ("b/pkg.yaml", text("b", "{stage: only-b}, {stage: c, runtime: true}, {image: j, runtime: true}")),
        ("c/pkg.yaml", text("c", "{stage: d, runtime: true}")),
        ("d/pkg.yaml", text("d", "{image: k, runtime: true}, {image: l}")),
        ("e/pkg.yaml", text("only-b", "")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let packages = read(&files).unwrap();
    let names: Vec<&str> = packages
        .dependencies("a")
        .unwrap()
        .iter()
        .map(|dependency| match &dependency.origin {
            Origin::Image(name) | Origin::Stage(name) => name.as_str(),
        })
        .collect();
    assert_eq!(names, ["b", "c", "d", "k", "j", "i"]);
}

#[test]
fn many_ways_to_one_stage_cost_one() {
    // Two dependencies each, thirty deep: a thousand million ways.
    let files: Vec<(String, String)> = (0..30)
        .map(|level| {
            let below = |side: char| format!("{{stage: {side}{}, runtime: true}}", level + 1);
            let text = |side: char| match level {
                29 => format!("name: {side}{level}\nvariant: scratch\n"),
                _ => format!(
                    "name: {side}{level}\nvariant: scratch\ndependencies: [{}, {}]\n",
                    below('a'),
                    below('b')
                ),
            };
            [('a', text('a')), ('b', text('b'))].map(|(side, text)| (format!("{side}{level}/pkg.yaml"), text))
        })
        .flat_map(IntoIterator::into_iter)
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let packages = read(&files).unwrap();
    assert_eq!(packages.dependencies("a0").unwrap().len(), 58);
}

#[test]
fn steps_see_the_packages_folder_with_its_templates_rendered() {
    let tree = tree(&[
        ("vars.yaml", "TOP: 1\n"),
        ("x/pkg.yaml", "name: x\nvariant: scratch\n"),
        ("x/vars.yaml", "VERSION: 0.10\n"),
        ("x/manifest.yaml.tmpl", "version: {{ .VERSION }}\n"),
        ("x/files/a.txt", "{{ .VERSION }}"),
        ("x/.git/config", "no"),
        ("x/files/.hidden", "no"),
        ("y/file", "no"),
    ]);
    let packages = Packages::read(&tree, &Build::new(Architecture::Amd64)).unwrap();
    let files = packages.get("x").unwrap().files(&tree).unwrap();
    let paths: Vec<&str> = files.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["files", "files/a.txt", "manifest.yaml", "manifest.yaml.tmpl"]);
    let manifest = files.get("manifest.yaml").unwrap();
    assert_eq!(manifest.mode, 0o644);
    assert_eq!(manifest.content().unwrap().read(100).unwrap(), b"version: 0.10\n");
    assert_eq!(files.get("files/a.txt").unwrap().mode, 0o600);
}

#[test]
fn a_file_is_not_rendered_with_a_variable_that_is_not_there() {
    let tree = tree(&[
        ("pkg.yaml", "name: x\nvariant: scratch\n"),
        ("vars.yaml", "VERSION: 1\n"),
        ("m.yaml.tmpl", "a: {{ .VERSOIN }}"),
    ]);
    let packages = Packages::read(&tree, &Build::new(Architecture::Amd64)).unwrap();
    let error = packages.get("x").unwrap().files(&tree).unwrap_err();
    assert_eq!(error.to_string(), "template `m.yaml.tmpl` cannot be rendered");
    assert_eq!(error.hint().as_deref(), Some("did you mean `VERSION`?"));
}
