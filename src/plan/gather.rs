//! Gathers an extension's files: from its folder, from loose files, and out of images.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::check::wrong_kind;
use super::error::{Error, Problem};
use super::extension::{ExtensionSpec, for_platform, parse, path_for, shown, take};
use super::run::Context;
use super::stat_cache::StatCache;
use super::subject::{Contents, load};
use super::tree_input::TreeInput;
use crate::archive::tree::{self, Entry, Kind};
use crate::base::fsio::{self, At as _};
use crate::base::{Content, Digest, Epoch, suggest};
use crate::bldr::pkgfile::Variables;
use crate::bldr::template::Template;
use crate::image::Platform;
use crate::kmod::{self, ModuleFacts};
use crate::talos::extension::{
    MANIFEST, ROOTFS, firmware_dir, is_in_modules_dir, module_path, modules_dir, uncompressed_name,
};
use crate::talos::kind::Kind as ImageKind;
use crate::talos::manifest::Manifest;
use crate::talos::version::Version;

/// The most bytes of a manifest, of its variables, or of a list of modules.
const TEXT_LIMIT: u64 = 1 << 20;

/// The manifest of an extension: as it will be written, and what it says.
#[derive(Debug)]
pub struct Manifests {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// What it says.
    pub manifest: Manifest,
    /// The file it came from.
    pub origin: String,
}

impl Manifests {
    /// Finds and reads the manifest: the one given, else the folder's, else the folder's template. Where each platform
    /// has a folder of its own, all say the same: one extension has one manifest.
    pub fn read(spec: &ExtensionSpec) -> Result<Self, Error> {
        let mut found: Option<Self> = None;
        for platform in &spec.platforms {
            let own = Self::of_platform(spec, platform)?;
            match &found {
                Some(first) if first.bytes != own.bytes => {
                    return Err(Problem::new(format!(
                        "`{}` and `{}` are to be the manifest of one extension, and differ",
                        first.origin, own.origin
                    ))
                    .hint("give one for all platforms with `--manifest FILE`, or make them the same")
                    .into());
                }
                Some(_) => {}
                None => found = Some(own),
            }
        }
        found.ok_or_else(|| Error::Internal("an extension is for no platform".to_owned()))
    }

    fn of_platform(spec: &ExtensionSpec, platform: &Platform) -> Result<Self, Error> {
        let directory = spec.directory_for(platform);
        let in_folder =
            |name: &str| directory.as_ref().map(|folder| folder.join(name)).filter(|path| path.exists());
        let given = spec.manifest.as_deref().map(|path| path_for(path, platform));
        let found = given.or_else(|| in_folder(MANIFEST)).or_else(|| in_folder("manifest.yaml.tmpl"));
        let Some(path) = found else { return Err(missing(directory.as_deref()).into()) };
        let mut bytes = fsio::read(&path, TEXT_LIMIT)?;
        if path.extension().is_some_and(|extension| extension == "tmpl") {
            bytes = render(&path, &bytes)?.into_bytes();
        }
        Self::of_bytes(bytes, path.display().to_string())
    }

    /// Reads the manifest among files that are there already.
    pub fn of_content(content: &Content, origin: &str) -> Result<Self, Error> {
        Self::of_bytes(content.read(TEXT_LIMIT).at("read", origin)?, origin.to_owned())
    }

    fn of_bytes(bytes: Vec<u8>, origin: String) -> Result<Self, Error> {
        let (manifest, _) = Manifest::parse(&bytes).map_err(|error| {
            Problem::new(format!("manifest `{origin}` is not valid")).detail(error.to_string())
        })?;
        Ok(Self { bytes, manifest, origin })
    }
}

fn missing(directory: Option<&Path>) -> Problem {
    match directory {
        Some(folder) if !folder.exists() => Problem::new(format!("there is no folder {}", shown(folder)))
            .hint(format!("`talosmith new {}` makes one", folder.display())),
        Some(folder) => Problem::new(format!("there is no `{MANIFEST}` in {}", shown(folder))).hint(
            "`talosmith new NAME` writes one to begin with; `--manifest FILE` names one in another place",
        ),
        None => Problem::new("there is no manifest")
            .hint("give a folder with a `manifest.yaml`, or `--manifest FILE`"),
    }
}

/// Renders `manifest.yaml.tmpl` with the `vars.yaml` beside it, which may be a template itself.
fn render(path: &Path, template: &[u8]) -> Result<String, Error> {
    let vars_path = fsio::parent(path).join("vars.yaml");
    let variables = match vars_path.exists() {
        true => {
            let text = rendered(&vars_path, &fsio::read(&vars_path, TEXT_LIMIT)?, &Variables::new())?;
            Variables::parse(text.as_bytes()).map_err(|error| {
                Problem::new(format!("{} is not valid", shown(&vars_path))).detail(error.to_string())
            })?
        }
        false => Variables::new(),
    };
    rendered(path, template, &variables)
}

/// Renders a file. Go would print `<no value>` for a variable that is not there; nobody wants that in a
/// manifest.
fn rendered(path: &Path, bytes: &[u8], variables: &Variables) -> Result<String, Error> {
    let invalid = |message: String| {
        Problem::new(format!("template {} cannot be rendered", shown(path))).detail(message)
    };
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rendered = Template::parse(&name, text)
        .and_then(|template| template.render_whole(&variables.to_value()))
        .map_err(|error| {
            let mut problem = invalid(error.to_string());
            problem.hint = error.hint();
            problem
        })?;
    Ok(rendered)
}

/// Gathers the rootfs for one platform.
pub struct Gather<'a> {
    spec: &'a ExtensionSpec,
    platform: &'a Platform,
    context: &'a Context,
    version: Version,
    rootfs: TreeInput,
    newest: Option<Epoch>,
}

impl<'a> Gather<'a> {
    /// Nothing gathered yet.
    pub fn new(spec: &'a ExtensionSpec, platform: &'a Platform, context: &'a Context) -> Self {
        let version = spec.talos.clone().unwrap_or(Version::NEWEST);
        Self { spec, platform, context, version, rootfs: TreeInput::default(), newest: None }
    }

    /// Gathers everything; gives the tree and the newest `created` of the images that were used.
    pub fn rootfs(mut self, cache: &StatCache) -> Result<(TreeInput, Option<Epoch>), Error> {
        if let Some(folder) = self.own_rootfs() {
            self.rootfs.add_directory(&folder, "")?;
        }
        self.trees()?;
        self.copies()?;
        self.modules_from()?;
        self.modules()?;
        self.firmware()?;
        self.files()?;
        self.unpack_modules()?;
        if self.rootfs.tree.is_empty() {
            self.refuse_empty()?;
        }
        self.rootfs.hash(self.context, cache)?;
        Ok((self.rootfs, self.newest))
    }

    /// The folder's `rootfs/`, where it has one.
    fn own_rootfs(&self) -> Option<PathBuf> {
        let folder = self.spec.directory_for(self.platform)?.join(ROOTFS);
        folder.is_dir().then_some(folder)
    }

    /// An empty `rootfs/` is a valid extension, if that is what was said.
    fn refuse_empty(&self) -> Result<(), Error> {
        if self.own_rootfs().is_some() {
            return Ok(());
        }
        Err(Problem::new("the extension would be empty: there is neither a `rootfs/` nor any other input")
            .hint(
                "put files into `rootfs/`, or give `--module`, `--firmware`, `--file`, `--tree` or `--copy`",
            )
            .into())
    }

    fn text(&self, text: &str) -> String {
        for_platform(text, self.platform)
    }

    fn trees(&mut self) -> Result<(), Error> {
        for tree in &self.spec.trees {
            let text = self.text(tree);
            let (folder, prefix) = text.split_once(':').unwrap_or((&text, ""));
            let prefix = inside("--tree", tree, prefix)?;
            self.rootfs.add_directory(Path::new(folder), &prefix)?;
        }
        Ok(())
    }

    fn copies(&mut self) -> Result<(), Error> {
        for copy in &self.spec.copies {
            let text = self.text(copy);
            let Copy { image, source, mut target, into } = Copy::parse(copy, &text)?;
            let (taken, created) = take(self.context, &image, self.platform, &source)?;
            self.newest = self.newest.max(created);
            if !source.is_empty() && taken.tree.get(&source).is_none() {
                return Err(Problem::new(format!("`{image}` has no `/{source}`"))
                    .detail(format!("asked for by `--copy {copy}`"))
                    .hint(format!("`talosmith inspect {image} --files` lists what is in it"))
                    .into());
            }
            // As `cp` does: into a folder whose name ends in a slash. Of a folder it is the contents that are
            // copied, so there the slash says nothing.
            if into && taken.tree.get(&source).is_some_and(|entry| !entry.is_directory()) {
                target = tree::join(&target, tree::file_name(&source));
            }
            self.merge(&taken, &source, &target, &image)?;
        }
        Ok(())
    }

    /// Adds what lies at and below `source` of another tree at `target`.
    fn merge(&mut self, taken: &TreeInput, source: &str, target: &str, image: &str) -> Result<(), Error> {
        for (path, entry) in taken.tree.below(source) {
            let rest = path.get(source.len()..).unwrap_or_default().trim_start_matches('/');
            let place = tree::join(target, rest);
            if place.is_empty() {
                continue;
            }
            // A hard link's target may lie outside what is copied: take the file itself.
            let (path, entry) = match &entry.kind {
                Kind::HardLink(linked) => match taken.tree.get(linked) {
                    Some(file) => (linked.as_str(), file),
                    None => continue,
                },
                _ => (path, entry),
            };
            self.rootfs.add(&place, entry.clone(), taken.digests.get(path).copied(), image)?;
        }
        Ok(())
    }

    fn modules_from(&mut self) -> Result<(), Error> {
        let (image, list) = match (&self.spec.modules_from, &self.spec.modules_list) {
            (None, None) => return Ok(()),
            (Some(image), Some(list)) => (self.text(image), list),
            _ => return Err(Problem::new("`--modules-from` and `--modules-list` go together").into()),
        };
        let (taken, created) = take(self.context, &image, self.platform, modules_dir(&self.version))?;
        self.newest = self.newest.max(created);
        let Some(release) = release_of(&taken, modules_dir(&self.version), &image)? else {
            let kind = kind_of(self.context, &image, self.platform)?;
            return Err(wrong_kind(&image, kind, ImageKind::Kernel, "`--modules-from`").into());
        };
        let base = format!("{}/{release}", modules_dir(&self.version));
        let list_path = PathBuf::from(self.text(&list.to_string_lossy()));
        let text = fsio::read(&list_path, TEXT_LIMIT)?;
        let text = String::from_utf8_lossy(&text);
        let (mut missing, mut listed) = (Vec::new(), 0);
        for (number, line) in text.lines().enumerate() {
            for word in line.split('#').next().unwrap_or_default().split_whitespace() {
                let wanted = tree::normalise(word).map_err(|error| {
                    Problem::new(format!("{} has a line that is no path", shown(&list_path)))
                        .detail(format!("line {}: {error}", number + 1))
                })?;
                listed += 1;
                match find_module(&taken, &base, &wanted) {
                    Some(path) => {
                        let Some(entry) = taken.tree.get(&path) else { continue };
                        let digest = taken.digests.get(&path).copied();
                        self.rootfs.add(&path, entry.clone(), digest, &image)?;
                    }
                    None => missing.push(format!(
                        "line {}: `{wanted}`{}",
                        number + 1,
                        nearest(&taken, &base, &wanted)
                    )),
                }
            }
        }
        if listed == 0 {
            return Err(Problem::new(format!("{} lists no modules", shown(&list_path)))
                .hint("write one path a line, as `kernel/drivers/net/dummy.ko`")
                .into());
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut problem = Problem::new(format!(
            "{} lists modules that `{image}` does not have below `/{base}`",
            shown(&list_path)
        ));
        problem.details = missing;
        Err(problem.into())
    }

    /// The user's own modules, below `extras/` of the one release that all of them name.
    fn modules(&mut self) -> Result<(), Error> {
        let mut found: Vec<(PathBuf, Content, Option<Digest>, ModuleFacts)> = Vec::new();
        for module in &self.spec.modules {
            let path = PathBuf::from(self.text(module));
            let (content, digest) = self.module_content(&path)?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let facts = ModuleFacts::read(&content, &name).map_err(|error| {
                Problem::new(format!("{} is no kernel module", shown(&path))).detail(error.to_string())
            })?;
            found.push((path, content, digest, facts));
        }
        let Some(release) = agree(&found)? else { return Ok(()) };
        for (path, content, digest, _) in found {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let name = uncompressed_name(&name).unwrap_or(&name);
            if !name.ends_with(".ko") {
                return Err(Problem::new(format!(
                    "{} is a module whose name does not end in `.ko`",
                    shown(&path)
                ))
                .hint("Talos finds modules by their file name: rename it")
                .into());
            }
            let place = module_path(&self.version, &release, name);
            self.rootfs.add(&place, Entry::file(0o644, content), digest, &path.display().to_string())?;
        }
        Ok(())
    }

    /// The content of a module file, unpacked if it is compressed.
    fn module_content(&self, path: &Path) -> Result<(Content, Option<Digest>), Error> {
        let data = fs::metadata(path).at("read", path)?;
        let content = Content::file(path, data.len());
        self.unpacked(&content, path.to_string_lossy().as_ref())
    }

    fn unpacked(&self, content: &Content, name: &str) -> Result<(Content, Option<Digest>), Error> {
        let problem = |error: &dyn std::fmt::Display| {
            Problem::new(format!("module `{name}` cannot be unpacked")).detail(error.to_string())
        };
        if kmod::Compression::of_content(content).at("read", name)?.is_none() {
            return Ok((content.clone(), None));
        }
        let mut writer = self.context.store.writer()?;
        kmod::unpack(content, &mut writer).map_err(|error| problem(&error))?;
        let (digest, content) = writer.finish()?;
        Ok((content, Some(digest)))
    }

    fn firmware(&mut self) -> Result<(), Error> {
        for firmware in &self.spec.firmware {
            let text = self.text(firmware);
            let (file, folder) = text.split_once(':').unwrap_or((&text, ""));
            let folder = inside("--firmware", firmware, folder)?;
            let name = file_name("--firmware", firmware, file)?;
            let place = tree::join(&tree::join(firmware_dir(&self.version), &folder), name);
            self.add_file(Path::new(file), &place)?;
        }
        Ok(())
    }

    fn files(&mut self) -> Result<(), Error> {
        for file in &self.spec.files {
            let text = self.text(file);
            let (source, target) =
                text.split_once(':').filter(|(_, target)| !target.is_empty()).ok_or_else(|| {
                    Problem::usage(format!("`--file {file}` does not say where the file goes")).hint(
                        "write `SRC:DST`, as in `--file service.yaml:/usr/local/etc/containers/acme.yaml`",
                    )
                })?;
            let mut place = inside("--file", file, target)?;
            if target.ends_with('/') {
                place = tree::join(&place, file_name("--file", file, source)?);
            }
            self.add_file(Path::new(source), &place)?;
        }
        Ok(())
    }

    fn add_file(&mut self, file: &Path, place: &str) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt as _;
        let data = fs::metadata(file).at("read", file)?;
        if !data.is_file() {
            return Err(Problem::new(format!("{} is no regular file", shown(file)))
                .hint("`--tree DIR[:PREFIX]` takes a folder with all that is in it")
                .into());
        }
        let entry = Entry::file(data.permissions().mode() & 0o7777, Content::file(file, data.len()));
        self.rootfs.add(place, entry, None, &file.display().to_string())
    }

    /// Unpacks compressed modules wherever they came from: Talos' loader gives the kernel the file as
    /// it is, and the kernel wants ELF.
    fn unpack_modules(&mut self) -> Result<(), Error> {
        let compressed: Vec<(String, String)> = self
            .rootfs
            .tree
            .iter()
            .filter(|(path, entry)| is_in_modules_dir(path) && entry.content().is_some())
            .filter_map(|(path, _)| Some((path.to_owned(), uncompressed_name(path)?.to_owned())))
            .collect();
        for (path, plain) in compressed {
            let Some(entry) = self.rootfs.tree.get(&path).cloned() else { continue };
            let Some(content) = entry.content() else { continue };
            let origin = self.rootfs.origin(&path).unwrap_or_default().to_owned();
            let (content, digest) = self.unpacked(content, &path)?;
            self.rootfs.tree.remove(&path);
            self.rootfs.digests.remove(&path);
            self.rootfs.add(&plain, Entry { kind: Kind::File(content), ..entry }, digest, &origin)?;
        }
        Ok(())
    }
}

/// A path inside the extension that the user wrote: absolute or relative, never climbing.
fn inside(option: &str, whole: &str, path: &str) -> Result<String, Error> {
    tree::normalise(path).map_err(|error| Problem::usage(format!("`{option} {whole}`: {error}")).into())
}

fn file_name<'a>(option: &str, whole: &str, path: &'a str) -> Result<&'a str, Error> {
    Path::new(path)
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Problem::new(format!("`{option} {whole}` names no file")).into())
}

/// The release that all modules name; `None` where there are no modules.
fn agree(modules: &[(PathBuf, Content, Option<Digest>, ModuleFacts)]) -> Result<Option<String>, Error> {
    let mut releases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, _, _, facts) in modules {
        let release = facts.release().ok_or_else(|| {
            Problem::new(format!("module {} has no vermagic, so its kernel is not known", shown(path)))
                .hint("put it into `rootfs/usr/lib/modules/RELEASE/extras/` yourself")
        })?;
        releases.entry(release).or_default().push(shown(path));
    }
    if releases.len() > 1 {
        let mut problem = Problem::new("the modules were built for different kernels")
            .hint("build them all against the kernel of one Talos version");
        problem.details =
            releases.iter().map(|(release, paths)| format!("{release}: {}", paths.join(", "))).collect();
        return Err(problem.into());
    }
    match releases.into_keys().next() {
        // It becomes a folder's name, and it comes from a file.
        Some(release) if release.contains('/') || release.starts_with('.') => {
            Err(Problem::new(format!("`{release}` is no kernel release")).into())
        }
        release => Ok(release.map(str::to_owned)),
    }
}

/// The one release of a kernel image: the one that ends in `-talos`, or the only one; `None` where there
/// are no modules at all.
fn release_of(taken: &TreeInput, folder: &str, image: &str) -> Result<Option<String>, Error> {
    let releases: Vec<&str> = taken.tree.children(folder).collect();
    let talos: Vec<&&str> = releases.iter().filter(|release| release.ends_with("-talos")).collect();
    match (talos.as_slice(), releases.as_slice()) {
        ([release], _) => Ok(Some((**release).to_owned())),
        ([], [release]) => Ok(Some((*release).to_owned())),
        (_, []) => Ok(None),
        (_, releases) => Err(Problem::new(format!("`{image}` has modules of several kernels"))
            .detail(releases.join(", "))
            .into()),
    }
}

/// What kind of image a reference names.
pub(super) fn kind_of(context: &Context, image: &str, platform: &Platform) -> Result<ImageKind, Error> {
    let (_, subjects) = load(context, &parse(image)?, Some(platform), Contents::OfExtensions)?;
    Ok(subjects.first().map_or(ImageKind::Package, |subject| subject.kind))
}

/// The listed path as it is in the image, which may have it compressed.
fn find_module(taken: &TreeInput, base: &str, wanted: &str) -> Option<String> {
    let plain = tree::join(base, wanted);
    ["", ".zst", ".xz", ".gz"]
        .iter()
        .map(|suffix| format!("{plain}{suffix}"))
        .find(|path| taken.tree.get(path).is_some_and(|entry| !entry.is_directory()))
}

/// The module that was probably meant: the one of that name elsewhere, else one of nearly that name.
fn nearest(taken: &TreeInput, base: &str, wanted: &str) -> String {
    let all: Vec<&str> =
        taken.tree.below(base).filter(|(_, entry)| !entry.is_directory()).map(|(path, _)| path).collect();
    let named = |name: &str| all.iter().find(|path| tree::file_name(path) == name).copied();
    let name = tree::file_name(wanted);
    let like = || named(suggest::nearest(name, all.iter().map(|path| tree::file_name(path)))?);
    match named(name).or_else(like).and_then(|path| path.strip_prefix(base)) {
        Some(found) => format!(" (did you mean `{}`?)", found.trim_start_matches('/')),
        None => String::new(),
    }
}

/// `IMAGE:SRC[:DST]`.
struct Copy {
    image: String,
    source: String,
    target: String,
    /// The target was written with a slash at its end.
    into: bool,
}

impl Copy {
    /// `SRC` begins at the first `:/` behind the reference's transport.
    fn parse(whole: &str, text: &str) -> Result<Self, Error> {
        let transports = ["docker://", "oci:", "oci-archive:", "docker-archive:", "dir:"];
        let transport = transports
            .iter()
            .find(|transport| text.starts_with(**transport))
            .map_or(0, |transport| transport.len());
        let behind = text.get(transport..).unwrap_or_default();
        let at = behind.find(":/").ok_or_else(|| {
            Problem::usage(format!("`--copy {whole}` does not say what to copy")).hint(
                "write `IMAGE:/SRC[:/DST]`, as in `--copy registry.example.com/acme/pkg:v1:/usr/lib/modules`",
            )
        })?;
        let (image, paths) =
            (text.get(..transport + at).unwrap_or_default(), behind.get(at + 1..).unwrap_or_default());
        let (source, target) = paths.split_once(':').unwrap_or((paths, paths));
        let source_path = inside("--copy", whole, source)?;
        let target_path = inside("--copy", whole, target)?;
        let into = target.ends_with('/') && !source.ends_with('/');
        Ok(Self { image: image.to_owned(), source: source_path, target: target_path, into })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_split_behind_its_reference() {
        for (text, image, source, target) in [
            ("h.example:5000/a/b:v1:/usr/lib", "h.example:5000/a/b:v1", "usr/lib", "usr/lib"),
            ("docker://h.example/a:/x:/y", "docker://h.example/a", "x", "y"),
            ("oci:/abs/dir:name:/x", "oci:/abs/dir:name", "x", "x"),
            ("./dir:/x:y/z", "./dir", "x", "y/z"),
            ("dir:/tree:/etc/f:/usr/local/", "dir:/tree", "etc/f", "usr/local"),
            ("h.example/a:/", "h.example/a", "", ""),
        ] {
            let copy = Copy::parse(text, text).unwrap();
            assert_eq!(
                (copy.image.as_str(), copy.source.as_str(), copy.target.as_str()),
                (image, source, target),
                "{text}"
            );
        }
        assert!(Copy::parse("h.example/a:v1", "h.example/a:v1").is_err());
        assert!(Copy::parse("h.example/a:/../x", "h.example/a:/../x").is_err());
    }
}
