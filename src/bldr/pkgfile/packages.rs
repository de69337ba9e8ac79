//! All packages of a tree: every `pkg.yaml` below its root, rendered and read, by name.

use std::collections::{BTreeMap, BTreeSet};

use super::super::template::{Template, Unset};
use super::error::{PkgfileError, Problem};
use super::package::{Dependency, Origin, Package};
use super::root::Pkgfile;
use super::variables::{Build, Variables};
use crate::archive::tree::{self, Entry, Kind, Tree};
use crate::base::yaml::SIZE_MAX;
use crate::base::{Content, suggest};

/// The file at a tree's root.
pub const PKGFILE: &str = "Pkgfile";
/// The file of a package.
pub const PKG_YAML: &str = "pkg.yaml";
/// Variables of a folder and all below it.
pub const VARS_YAML: &str = "vars.yaml";
/// What the names of templates end in.
pub const TEMPLATE: &str = ".tmpl";

/// The packages of a tree. Names are unique, every stage that is asked for is there, and none needs itself.
#[derive(Debug, Clone)]
pub struct Packages {
    pkgfile: Option<Pkgfile>,
    packages: BTreeMap<String, Located>,
    /// Their names, each behind those that it depends on.
    order: Vec<String>,
}

/// A package and its place.
#[derive(Debug, Clone)]
pub struct Located {
    /// What its file says.
    pub package: Package,
    /// Its folder in the tree, `""` for the root.
    pub folder: String,
    /// What its templates see.
    pub variables: Variables,
    /// Where `<no value>` was printed, in its file and in the `vars.yaml` above it. That may be in a comment.
    pub unset: Vec<Unset>,
}

impl Located {
    /// The path of its `pkg.yaml`.
    pub fn file(&self) -> String {
        tree::join(&self.folder, PKG_YAML)
    }

    /// What its steps see as `/pkg`: its folder and its rendered templates, without the files that make it a
    /// package and without those whose names begin with a dot. A template that would print `<no value>` is an
    /// error: nobody wants that in a file.
    pub fn files(&self, tree: &Tree) -> Result<Tree, PkgfileError> {
        let mut files = Tree::new();
        let mut templates = Vec::new();
        for (inside, entry) in tree.inside(&self.folder) {
            if matches!(tree::file_name(inside), PKG_YAML | VARS_YAML) || is_hidden(inside) {
                continue;
            }
            let path = tree::join(&self.folder, inside);
            let wrong = |source| PkgfileError::Place { file: path.clone(), source };
            files.replace(inside, entry.clone()).map_err(wrong)?;
            if let (Some(target), Kind::File(content)) = (inside.strip_suffix(TEMPLATE), &entry.kind) {
                templates.push((path, target, content));
            }
        }
        for (path, target, content) in templates {
            let text = text_of(&path, content)?;
            let rendered = template(&path, &text)?
                .render_whole(&self.variables.to_value())
                .map_err(|source| PkgfileError::Template { file: path.to_owned(), source })?;
            let wrong = |source| PkgfileError::Place { file: path.to_owned(), source };
            files
                .replace(target, Entry::file(0o644, Content::memory(rendered.into_bytes())))
                .map_err(wrong)?;
        }
        Ok(files)
    }
}

impl Packages {
    /// Reads all packages of a tree, whose root is the folder with the `Pkgfile`. A tree without one is one
    /// package in a folder of its own, or several.
    pub fn read(tree: &Tree, build: &Build) -> Result<Self, PkgfileError> {
        let pkgfile = match tree.get(PKGFILE).and_then(Entry::content) {
            Some(content) => {
                let text = text_of(PKGFILE, content)?;
                Some(Pkgfile::parse(text.as_bytes()).map_err(|source| PkgfileError::Document {
                    file: PKGFILE.to_owned(),
                    rendered: false,
                    source,
                })?)
            }
            None => None,
        };
        let mut variables = build.variables();
        if let Some(pkgfile) = &pkgfile {
            variables.extend(&pkgfile.variables);
        }
        let mut scopes = Scopes { tree, root: variables, known: BTreeMap::new() };
        let mut packages: BTreeMap<String, Located> = BTreeMap::new();
        for (path, entry) in tree.iter() {
            let Kind::File(content) = &entry.kind else { continue };
            if tree::file_name(path) != PKG_YAML || is_hidden(path) {
                continue;
            }
            let located = located(path, content, &mut scopes)?;
            let name = located.package.name.clone();
            if let Some(first) = packages.get(&name) {
                return Err(PkgfileError::Twice { name, first: first.file(), second: path.to_owned() });
            }
            packages.insert(name, located);
        }
        let order = ordered(&packages)?;
        Ok(Self { pkgfile, packages, order })
    }

    /// The tree's `Pkgfile`, if it has one.
    pub fn pkgfile(&self) -> Option<&Pkgfile> {
        self.pkgfile.as_ref()
    }

    /// All packages, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Located)> {
        self.packages.iter().map(|(name, located)| (name.as_str(), located))
    }

    /// A package.
    pub fn get(&self, name: &str) -> Result<&Located, PkgfileError> {
        self.packages.get(name).ok_or_else(|| PkgfileError::NoPackage {
            name: name.to_owned(),
            nearest: nearest(&self.packages, name),
        })
    }

    /// The names of all packages, each behind those that it depends on.
    pub fn order(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// What lies in a package's tree before its first step, in this order: what it depends on, behind each
    /// stage what that needs at run time, and what that needs. Nothing twice.
    pub fn dependencies(&self, name: &str) -> Result<Vec<&Dependency>, PkgfileError> {
        let mut found: Vec<&Dependency> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut add = |dependency| {
            if seen.insert(identity(dependency)) {
                found.push(dependency);
            }
        };
        for dependency in &self.get(name)?.package.dependencies {
            add(dependency);
            // Depth first, in the order of the files, and each stage once: there may be many ways to it.
            let mut visited = BTreeSet::new();
            let mut waiting = vec![dependency];
            while let Some(next) = waiting.pop() {
                if next != dependency {
                    add(next);
                }
                let Origin::Stage(stage) = &next.origin else { continue };
                if !visited.insert(stage.as_str()) {
                    continue;
                }
                let needed = self.packages.get(stage).into_iter();
                let needed = needed.flat_map(|located| &located.package.dependencies);
                let before = waiting.len();
                waiting.extend(needed.filter(|dependency| dependency.runtime));
                // The stack's top is the first one of the file.
                if let Some(added) = waiting.get_mut(before..) {
                    added.reverse();
                }
            }
        }
        Ok(found)
    }
}

/// What makes a dependency the same as another.
fn identity(dependency: &Dependency) -> (bool, &str, &str, &str, Option<&str>) {
    let (stage, name) = match &dependency.origin {
        Origin::Image(image) => (false, image),
        Origin::Stage(stage) => (true, stage),
    };
    (stage, name, &dependency.from, &dependency.to, dependency.platform.as_deref())
}

fn nearest(packages: &BTreeMap<String, Located>, name: &str) -> Option<String> {
    suggest::nearest(name, packages.keys().map(String::as_str)).map(str::to_owned)
}

/// Whether a part of a path begins with a dot.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

fn text_of(file: &str, content: &Content) -> Result<String, PkgfileError> {
    let wrong = |source| PkgfileError::Read { file: file.to_owned(), source };
    let bytes = content.read(SIZE_MAX as u64).map_err(wrong)?;
    String::from_utf8(bytes).map_err(|_| PkgfileError::Text { file: file.to_owned() })
}

fn template(file: &str, text: &str) -> Result<Template, PkgfileError> {
    Template::parse(file, text).map_err(|source| PkgfileError::Template { file: file.to_owned(), source })
}

/// Renders a file and reads the result.
fn rendered<T>(
    file: &str,
    content: &Content,
    variables: &Variables,
    unset: &mut Vec<Unset>,
    read: impl FnOnce(&[u8]) -> Result<T, Problem>,
) -> Result<T, PkgfileError> {
    let text = text_of(file, content)?;
    let rendered = template(file, &text)?
        .render_noting(&variables.to_value())
        .map_err(|source| PkgfileError::Template { file: file.to_owned(), source })?;
    unset.extend(rendered.unset);
    read(rendered.text.as_bytes()).map_err(|source| PkgfileError::Document {
        file: file.to_owned(),
        rendered: rendered.text != text,
        source,
    })
}

fn located(path: &str, content: &Content, scopes: &mut Scopes<'_>) -> Result<Located, PkgfileError> {
    let folder = tree::parent(path).unwrap_or_default().to_owned();
    let Scope { variables, mut unset } = scopes.of(&folder)?;
    let package = rendered(path, content, &variables, &mut unset, Package::parse)?;
    Ok(Located { package, folder, variables, unset })
}

/// The variables of a folder.
#[derive(Debug, Clone)]
struct Scope {
    variables: Variables,
    unset: Vec<Unset>,
}

/// The variables of all folders that were asked for.
struct Scopes<'a> {
    tree: &'a Tree,
    root: Variables,
    known: BTreeMap<String, Scope>,
}

impl Scopes<'_> {
    /// The variables of a folder: those of the folders above it, from the root down, each `vars.yaml` rendered
    /// with those before it.
    fn of(&mut self, folder: &str) -> Result<Scope, PkgfileError> {
        let mut scope = Scope { variables: self.root.clone(), unset: Vec::new() };
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        let below = ends.filter_map(|end| folder.get(..end)).filter(|folder| !folder.is_empty());
        for folder in std::iter::once("").chain(below) {
            if let Some(known) = self.known.get(folder) {
                scope = known.clone();
                continue;
            }
            let file = tree::join(folder, VARS_YAML);
            if let Some(content) = self.tree.get(&file).and_then(Entry::content) {
                let Scope { variables, unset } = &mut scope;
                let own = rendered(&file, content, variables, unset, |bytes| Ok(Variables::parse(bytes)?))?;
                variables.extend(&own);
            }
            self.known.insert(folder.to_owned(), scope.clone());
        }
        Ok(scope)
    }
}

/// Names, each behind those that it depends on; an error if a stage is missing or needs itself.
fn ordered(packages: &BTreeMap<String, Located>) -> Result<Vec<String>, PkgfileError> {
    let mut waits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, located) in packages {
        let mut stages = BTreeSet::new();
        for dependency in &located.package.dependencies {
            let Origin::Stage(stage) = &dependency.origin else { continue };
            if !packages.contains_key(stage) {
                return Err(PkgfileError::NoStage {
                    file: located.file(),
                    line: dependency.line,
                    column: dependency.column,
                    stage: stage.clone(),
                    nearest: nearest(packages, stage),
                });
            }
            stages.insert(stage.as_str());
        }
        waits.insert(name, stages);
    }
    let mut needed_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, stages) in &waits {
        for stage in stages {
            needed_by.entry(stage).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&str> =
        waits.iter().filter(|(_, stages)| stages.is_empty()).map(|(name, _)| *name).collect();
    let mut order = Vec::new();
    while let Some(name) = ready.pop_first() {
        order.push(name.to_owned());
        waits.remove(name);
        for next in needed_by.get(name).into_iter().flatten() {
            let Some(stages) = waits.get_mut(next) else { continue };
            stages.remove(name);
            if stages.is_empty() {
                ready.insert(next);
            }
        }
    }
    match waits.keys().next() {
        None => Ok(order),
        Some(first) => Err(PkgfileError::Circle { packages: circle(&waits, first) }),
    }
}

/// A circle among packages that all wait for another one.
fn circle(waits: &BTreeMap<&str, BTreeSet<&str>>, first: &str) -> Vec<String> {
    let mut path: Vec<&str> = vec![first];
    while let Some(next) = path.last().and_then(|last| waits.get(last)).and_then(BTreeSet::first) {
        if let Some(start) = path.iter().position(|name| name == next) {
            let around = path.iter().skip(start).chain([next]);
            return around.map(|name| (*name).to_owned()).collect();
        }
        path.push(next);
    }
    path.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "packages_tests.rs"]
mod tests;
