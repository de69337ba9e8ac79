//! The one target that holds everything that is wanted, written in the language of the user's own build: a
//! package for bldr, a stage for a Dockerfile.
//!
//! Its file tree is `kernel/` with the kernel's, and `pkgs/NAME/` with each package's.

use std::collections::BTreeSet;

use crate::base::suggest;

/// The folder of the bundle in which the kernel is.
pub const KERNEL: &str = "kernel";
/// The folder in which each package has one of its name.
pub const PACKAGES: &str = "pkgs";
/// What the target is called, if nothing of the user's is.
const TARGET: &str = "talosmith-bundle";
/// The most characters of a stage's name.
const NAME_MAX: usize = 128;

/// In which language a build is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tree of packages for bldr, with a `Pkgfile` at its root.
    Pkgfile,
    /// A Dockerfile.
    Dockerfile,
}

/// What is to be in the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    kernel: String,
    packages: Vec<String>,
}

/// The target cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A stage cannot be called so.
    #[error("`{0}` is no name of a stage: letters, digits, `.`, `_` and `-`, the first a letter or digit")]
    Name(String),
    /// The same stage twice.
    #[error("stage `{0}` is given twice")]
    Twice(String),
    /// The kernel's image has the name `kernel`.
    #[error("a package cannot be called `kernel`: that is the name of the kernel's image")]
    Kernel,
    /// The file is in neither language.
    #[error("it is neither a Pkgfile (`format: v1alpha2`) nor a Dockerfile (`FROM …`)")]
    Language,
    /// There is no stage of that name.
    #[error("there is no stage `{name}`")]
    NoStage {
        /// Which one.
        name: String,
        /// One that is there and may have been meant.
        nearest: Option<String>,
        /// Those that are there.
        stages: Vec<String>,
    },
    /// The last line wants another one.
    #[error("its last line ends in a continuation")]
    Unfinished,
}

impl Wanted {
    /// The kernel's stage and those of the packages, each once.
    pub fn new(kernel: &str, packages: &[String]) -> Result<Self, TargetError> {
        let mut seen = BTreeSet::new();
        for name in packages.iter().map(String::as_str).chain([kernel]) {
            let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            let first = name.starts_with(|first: char| first.is_ascii_alphanumeric());
            if !first || name.len() > NAME_MAX || !name.bytes().all(byte) {
                return Err(TargetError::Name(name.to_owned()));
            }
            // Stages of a Dockerfile are the same in capitals.
            if !seen.insert(name.to_ascii_lowercase()) {
                return Err(TargetError::Twice(name.to_owned()));
            }
        }
        if packages.iter().any(|name| name.eq_ignore_ascii_case(KERNEL)) {
            return Err(TargetError::Kernel);
        }
        Ok(Self { kernel: kernel.to_owned(), packages: packages.to_vec() })
    }

    /// The kernel's stage.
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// The packages' stages, in the order in which they were given.
    pub fn packages(&self) -> &[String] {
        &self.packages
    }

    /// Each stage with its folder in the bundle.
    fn places(&self) -> impl Iterator<Item = (&str, String)> {
        let packages = self.packages.iter().map(|name| (name.as_str(), format!("{PACKAGES}/{name}")));
        std::iter::once((self.kernel.as_str(), KERNEL.to_owned())).chain(packages)
    }
}

impl Kind {
    /// The language of a file, by what is in it.
    pub fn of(text: &str) -> Result<Self, TargetError> {
        for line in text.trim_start_matches('\u{feff}').lines().map(str::trim_end) {
            if line.trim_start().is_empty() || line.trim_start().starts_with('#') || line == "---" {
                continue;
            }
            let word = line.split_whitespace().next().unwrap_or_default();
            return match word.to_ascii_uppercase().as_str() {
                "FROM" | "ARG" => Ok(Self::Dockerfile),
                _ if word.ends_with(':') && has_key(text, "format") => Ok(Self::Pkgfile),
                _ => Err(TargetError::Language),
            };
        }
        Err(TargetError::Language)
    }
}

/// Whether a line of YAML begins with this key.
fn has_key(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
}

/// A name for the target that is not in `text`.
fn free_name(texts: &[&str]) -> String {
    let taken = |name: &str| texts.iter().any(|text| text.to_ascii_lowercase().contains(name));
    let mut name = TARGET.to_owned();
    while taken(&name) {
        name.push_str("-x"); // ends, since the text does
    }
    name
}

/// The `pkg.yaml` of the package that holds all that is wanted, and its name. `packages` are the other
/// `pkg.yaml`s of the tree.
pub fn package(wanted: &Wanted, packages: &[&str]) -> (String, String) {
    let name = free_name(packages);
    let mut text = format!(
        "# Everything that is wanted, out of one solve.\nname: {name}\nvariant: scratch\ndependencies:\n"
    );
    for (stage, place) in wanted.places() {
        text.push_str(&format!("  - stage: \"{stage}\"\n    to: \"/bundle/{place}\"\n"));
    }
    text.push_str("finalize:\n  - from: /bundle\n    to: /\n");
    (text, name)
}

/// The folder for that package: one that is in the tree and has no `pkg.yaml`, since a package's folder is
/// copied into its build, the emptiest. `folders` are all folders of the tree, each with the number of files at
/// and below it; `packages` the folders that have a `pkg.yaml`. The root, `""`, if there is no other.
pub fn folder<'a>(folders: &[(&'a str, u64)], packages: &BTreeSet<String>) -> &'a str {
    // What begins with a dot may be kept from being sent.
    let hidden = |path: &str| path.split('/').any(|part| part.starts_with('.'));
    let fit =
        folders.iter().filter(|(path, _)| !path.is_empty() && !hidden(path) && !packages.contains(*path));
    fit.min_by_key(|(path, files)| (*files, path.len(), *path)).map_or("", |(path, _)| path)
}

/// A Dockerfile with one more stage that holds all that is wanted, and its name.
pub fn dockerfile(text: &str, wanted: &Wanted) -> Result<(String, String), TargetError> {
    let escape = escape(text);
    let stages = stages(text, escape);
    for (name, _) in wanted.places() {
        if !stages.iter().any(|stage| stage.eq_ignore_ascii_case(name)) {
            let nearest = suggest::nearest(name, stages.iter().map(String::as_str)).map(str::to_owned);
            return Err(TargetError::NoStage { name: name.to_owned(), nearest, stages });
        }
    }
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with('#'));
    if last.is_some_and(|line| line.ends_with(escape)) {
        return Err(TargetError::Unfinished);
    }
    let name = free_name(&[text]);
    let mut text = format!(
        "{}\n\n# Everything that is wanted, out of one solve.\nFROM scratch AS {name}\n",
        text.trim_end()
    );
    for (stage, place) in wanted.places() {
        text.push_str(&format!("COPY --from={stage} / /{place}/\n"));
    }
    Ok((text, name))
}

/// The character that continues a line: a directive at the file's top may say another.
fn escape(text: &str) -> char {
    let directives = text.lines().map_while(|line| line.trim().strip_prefix('#'));
    let value = |line: &str| {
        let (key, value) = line.split_once('=')?;
        (key.trim().eq_ignore_ascii_case("escape")).then(|| value.trim().chars().next()).flatten()
    };
    directives.filter_map(value).next().unwrap_or('\\')
}

/// The names of a Dockerfile's stages.
fn stages(text: &str, escape: char) -> Vec<String> {
    let mut stages = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('#') {
            continue;
        }
        let (line, goes_on) = match line.strip_suffix(escape) {
            Some(line) => (line, true),
            None => (line, false),
        };
        words.extend(line.split_whitespace());
        if goes_on {
            continue;
        }
        if let [from, .., word, name] = words.as_slice()
            && from.eq_ignore_ascii_case("from")
            && word.eq_ignore_ascii_case("as")
        {
            stages.push((*name).to_owned());
        }
        words.clear();
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted::new("kernel", &["my-module-pkg".to_owned(), "zfs-pkg".to_owned()]).unwrap()
    }

    #[test]
    fn the_language_is_told_by_what_is_in_the_file() {
        let pkgfile = "# syntax = ghcr.io/siderolabs/bldr:v0.5.2\n\nformat: v1alpha2\n\nvars:\n  FROM: x\n";
        let dockerfile = "# syntax=docker/dockerfile:1\nARG X=1\nFROM scratch\n";
        assert_eq!(Kind::of(pkgfile), Ok(Kind::Pkgfile));
        assert_eq!(Kind::of("vars:\n  a: b\nformat : v1alpha2\n"), Ok(Kind::Pkgfile));
        assert_eq!(Kind::of(dockerfile), Ok(Kind::Dockerfile));
        assert_eq!(Kind::of("from scratch as a\n"), Ok(Kind::Dockerfile));
        for neither in ["", "# only a comment\n", "all:\n\tmake kernel\n", "RUN x\n", "\u{0}\u{1}"] {
            assert_eq!(Kind::of(neither), Err(TargetError::Language), "{neither:?}");
        }
    }

    #[test]
    fn a_package_depends_on_everything_that_is_wanted() {
        let (text, name) = package(&wanted(), &["name: kernel\n"]);
        assert_eq!(name, "talosmith-bundle");
        assert_eq!(
            text,
            "# Everything that is wanted, out of one solve.\nname: talosmith-bundle\nvariant: scratch\ndependencies:\n  \
             - stage: \"kernel\"\n    to: \"/bundle/kernel\"\n  - stage: \"my-module-pkg\"\n    \
             to: \"/bundle/pkgs/my-module-pkg\"\n  - stage: \"zfs-pkg\"\n    to: \"/bundle/pkgs/zfs-pkg\"\nfinalize:\n  \
             - from: /bundle\n    to: /\n"
        );
        assert_eq!(package(&wanted(), &["name: talosmith-bundle\n"]).1, "talosmith-bundle-x");
    }

    #[test]
    fn its_folder_is_the_emptiest_that_has_no_package() {
        let packages = ["kernel", "kernel/build", "zfs"].map(str::to_owned).into();
        let folders = [("", 900), (".git", 0), (".github/x", 1), ("kernel", 800), ("kernel/build", 700)];
        assert_eq!(folder(&folders, &packages), "");
        let more =
            [&folders[..], &[("kernel/build/certs", 2), ("kernel/build/config", 2), ("zfs", 1)]].concat();
        assert_eq!(folder(&more, &packages), "kernel/build/certs");
    }

    #[test]
    fn a_dockerfile_gets_one_more_stage() {
        let text = "FROM scratch AS base\nFROM base \\\n  # within\n  as Kernel\nFROM base AS my-module-pkg\nRUN true\nFROM base AS zfs-pkg\n\n\n";
        let (made, name) = dockerfile(text, &wanted()).unwrap();
        assert_eq!(name, "talosmith-bundle");
        assert_eq!(
            made.strip_prefix(text.trim_end()).unwrap(),
            "\n\n# Everything that is wanted, out of one solve.\nFROM scratch AS talosmith-bundle\n\
             COPY --from=kernel / /kernel/\nCOPY --from=my-module-pkg / /pkgs/my-module-pkg/\nCOPY --from=zfs-pkg / /pkgs/zfs-pkg/\n"
        );
        assert_eq!(dockerfile(&made, &wanted()).unwrap().1, "talosmith-bundle-x");
        // BuildKit would take such a name for an image of the Docker hub.
        let error =
            dockerfile("FROM scratch AS kernel\nFROM scratch AS my-modul-pkg", &wanted()).unwrap_err();
        let TargetError::NoStage { name, nearest, stages } = error else { panic!("{error}") };
        assert_eq!(
            (name.as_str(), nearest.as_deref(), stages.len()),
            ("my-module-pkg", Some("my-modul-pkg"), 2)
        );
    }

    #[test]
    fn a_file_that_is_cut_short_takes_no_stage() {
        let text = "FROM a AS kernel\nFROM a AS my-module-pkg\nFROM a AS zfs-pkg\nRUN a";
        assert_eq!(dockerfile(&format!("{text} \\\n\n# x\n"), &wanted()), Err(TargetError::Unfinished));
        assert!(dockerfile(&format!("# escape=`\n{text} \\\n"), &wanted()).is_ok());
        assert_eq!(dockerfile(&format!("# escape=`\n{text} `\n"), &wanted()), Err(TargetError::Unfinished));
    }

    #[test]
    fn names_that_would_change_the_meaning_of_what_is_written_are_refused() {
        for wrong in ["", "a b", "a\nRUN x", "\"", "../x", "-x", ".", "a/b", &"a".repeat(129)] {
            assert_eq!(Wanted::new(wrong, &[]), Err(TargetError::Name(wrong.to_owned())), "{wrong:?}");
        }
        let packages = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(Wanted::new("k", &packages(&["a", "A"])), Err(TargetError::Twice("A".to_owned())));
        assert_eq!(Wanted::new("k", &packages(&["k"])), Err(TargetError::Twice("k".to_owned())));
        assert_eq!(Wanted::new("linux", &packages(&["kernel"])), Err(TargetError::Kernel));
    }
}
