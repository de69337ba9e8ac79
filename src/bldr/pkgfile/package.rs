//! `pkg.yaml`: one package.

use super::error::Problem;
use super::read::{missing, only, path, required, text, word};
use super::variables::Variables;
use crate::base::yaml::{self, Cursor};
use crate::talos::Architecture;

/// A package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name, unique in its tree.
    pub name: String,
    /// What it starts from.
    pub variant: Variant,
    /// The shell that runs its instructions.
    pub shell: String,
    /// The platform that it is built on, if not on any.
    pub build_platform: Option<BuildPlatform>,
    /// Packages of Alpine.
    pub install: Vec<String>,
    /// What lies in its tree before the first step, in this order.
    pub dependencies: Vec<Dependency>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// What the result is made of: each one a layer.
    pub finalize: Vec<Copied>,
}

/// What a package starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Alpine's root file system.
    Alpine,
    /// Nothing.
    Scratch,
}

/// A platform that packages can be built on.
pub type BuildPlatform = Architecture;

/// Something that a package depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// What it is.
    pub origin: Origin,
    /// What of it: `/` for all.
    pub from: String,
    /// Where that goes.
    pub to: String,
    /// The platform of the image, if not the one that is built for.
    pub platform: Option<String>,
    /// Whether what depends on this package needs it as well.
    pub runtime: bool,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// Where a dependency comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An image.
    Image(String),
    /// Another package of the tree.
    Stage(String),
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Environment variables.
    pub env: Variables,
    /// Folders that a builder keeps.
    pub cache_paths: Vec<String>,
    /// Files that are fetched first.
    pub sources: Vec<Source>,
    /// Instructions, in the order of these four lists.
    pub prepare: Vec<Instruction>,
    /// See `prepare`.
    pub build: Vec<Instruction>,
    /// See `prepare`.
    pub install: Vec<Instruction>,
    /// Must pass; what they do to files is thrown away.
    pub test: Vec<Instruction>,
    /// The bill of materials that is written, if one is.
    pub sbom: Option<Sbom>,
    /// What network the instructions see.
    pub network: Network,
}

/// One item of a list of instructions: a shell runs it on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The shell's text.
    pub text: String,
    /// Line of the text's first line, from 1: of a block, the one below its `|`.
    pub line: usize,
    /// Column of the text, from 1: of a block, that of all its lines.
    pub column: usize,
}

/// A file that is fetched and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub url: String,
    /// Its name in the step's working folder.
    pub destination: String,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Its SHA-512 in hexadecimal digits.
    pub sha512: String,
    /// Line, from 1.
    pub line: usize,
}

/// A bill of materials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// Where it is written.
    pub output_path: String,
    /// The software's name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its names in the Common Platform Enumeration.
    pub cpes: Vec<String>,
    /// Its package URL.
    pub purl: Option<String>,
    /// Its licenses.
    pub licenses: Vec<String>,
}

/// What network instructions see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// None.
    #[default]
    None,
    /// The builder's.
    Default,
    /// The host's.
    Host,
}

/// What of a package's tree goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// A folder in the tree that the steps left.
    pub from: String,
    /// Its place in the result.
    pub to: String,
}

/// The platforms by their names.
const PLATFORMS: &[(&str, BuildPlatform)] =
    &[("linux/amd64", Architecture::Amd64), ("linux/arm64", Architecture::Arm64)];

impl Package {
    /// Reads a `pkg.yaml`, rendered.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        const KEYS: &[&str] =
            &["name", "variant", "shell", "buildPlatform", "install", "dependencies", "steps", "finalize"];
        let node = yaml::parse(bytes)?;
        let root = Cursor::root(&node);
        only(&root, KEYS)?;
        let package = Self {
            name: required(&root, "name")?,
            variant: word(&root, "variant", &[("alpine", Variant::Alpine), ("scratch", Variant::Scratch)])?
                .ok_or_else(|| missing(&root, "variant", ", expected `alpine` or `scratch`"))?,
            shell: text(&root, "shell")?.unwrap_or_else(|| "/bin/sh".to_owned()),
            build_platform: word(&root, "buildPlatform", PLATFORMS)?,
            install: root.key("install")?.strings()?,
            dependencies: each(&root, "dependencies", dependency)?,
            steps: each(&root, "steps", step)?,
            finalize: each(&root, "finalize", copied)?,
        };
        if package.finalize.is_empty() && !package.steps.is_empty() {
            return Err(missing(&root, "finalize", ", without which the steps' result is thrown away"));
        }
        Ok(package)
    }
}

/// The items of a list at a key.
fn each<T>(
    cursor: &Cursor<'_>,
    key: &str,
    read: fn(&Cursor<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    cursor.key(key)?.items()?.iter().map(read).collect()
}

fn dependency(cursor: &Cursor<'_>) -> Result<Dependency, Problem> {
    only(cursor, &["image", "stage", "from", "to", "platform", "runtime"])?;
    let either = |found| Problem::Either {
        line: cursor.line(),
        column: cursor.column(),
        path: cursor.path().to_owned(),
        found,
        one: "image",
        other: "stage",
    };
    let origin = match (text(cursor, "image")?, text(cursor, "stage")?) {
        (Some(image), None) => Origin::Image(image),
        (None, Some(stage)) => Origin::Stage(stage),
        (Some(_), Some(_)) => return Err(either("both")),
        (None, None) => return Err(either("neither")),
    };
    Ok(Dependency {
        origin,
        from: path(cursor, "from")?,
        to: path(cursor, "to")?,
        platform: text(cursor, "platform")?,
        runtime: cursor.key("runtime")?.boolean()?,
        line: cursor.line(),
        column: cursor.column(),
    })
}

fn step(cursor: &Cursor<'_>) -> Result<Step, Problem> {
    const KEYS: &[&str] =
        &["env", "cachePaths", "sources", "prepare", "build", "install", "test", "sbom", "network"];
    const NETWORKS: &[(&str, Network)] =
        &[("none", Network::None), ("default", Network::Default), ("host", Network::Host)];
    only(cursor, KEYS)?;
    Ok(Step {
        env: Variables::at(cursor, "env")?,
        cache_paths: cursor.key("cachePaths")?.strings()?,
        sources: each(cursor, "sources", source)?,
        prepare: each(cursor, "prepare", instruction)?,
        build: each(cursor, "build", instruction)?,
        install: each(cursor, "install", instruction)?,
        test: each(cursor, "test", instruction)?,
        sbom: sbom(&cursor.key("sbom")?)?,
        network: word(cursor, "network", NETWORKS)?.unwrap_or_default(),
    })
}

fn instruction(cursor: &Cursor<'_>) -> Result<Instruction, Problem> {
    let text = cursor.string()?;
    // The reader points at the first line of a block that has something in it.
    let empty = text.bytes().take_while(|byte| *byte == b'\n').count();
    let line = cursor.line().saturating_sub(empty).max(1);
    Ok(Instruction { text, line, column: cursor.column() })
}

fn source(cursor: &Cursor<'_>) -> Result<Source, Problem> {
    only(cursor, &["url", "destination", "sha256", "sha512"])?;
    let destination = path(cursor, "destination")?;
    if destination == "/" {
        return Err(missing(cursor, "destination", ""));
    }
    Ok(Source {
        url: required(cursor, "url")?,
        destination,
        sha256: checksum(cursor, "sha256", 64)?,
        sha512: checksum(cursor, "sha512", 128)?,
        line: cursor.line(),
    })
}

/// A checksum of so many digits.
fn checksum(cursor: &Cursor<'_>, key: &str, digits: usize) -> Result<String, Problem> {
    let text = required(cursor, key)?;
    if text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(text);
    }
    Err(cursor.key(key)?.expected(format!("{digits} hexadecimal digits")).into())
}

fn sbom(cursor: &Cursor<'_>) -> Result<Option<Sbom>, Problem> {
    only(cursor, &["outputPath", "name", "version", "cpes", "purl", "licenses"])?;
    let Some(output_path) = text(cursor, "outputPath")? else { return Ok(None) };
    Ok(Some(Sbom {
        output_path,
        name: text(cursor, "name")?,
        version: text(cursor, "version")?,
        cpes: cursor.key("cpes")?.strings()?,
        purl: text(cursor, "purl")?,
        licenses: cursor.key("licenses")?.strings()?,
    }))
}

fn copied(cursor: &Cursor<'_>) -> Result<Copied, Problem> {
    only(cursor, &["from", "to"])?;
    Ok(Copied { from: path(cursor, "from")?, to: path(cursor, "to")? })
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
