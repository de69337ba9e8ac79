//! Layers onto one file tree, with whiteouts.
//!
//! OCI image specification, `layer.md`, "Applying Changesets" and "Whiteouts": a whiteout hides
//! what lower layers brought, never what its own layer brings, wherever it stands in the layer.
//!
//! A member below a symlink: if a *lower* layer brought the link, the member goes where the link
//! leads within the tree, as containerd unpacks it (a layer with `lib/…` over a base with
//! `lib -> usr/lib` is common); that is reported as [`Flat::redirected`]. If the *same* layer
//! brought it, no layer builder made it and it is refused. A link that leads above the root is
//! refused in both cases.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::archive::Tree;
use crate::archive::tar::{Contents, Member, MemberKind, Reader, Respelled, TarError, Unpacker};
use crate::archive::tree::{file_name, join, parent};

/// Symlinks in one path, as Linux counts them (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;
/// Path components that all symlinks of an image may lead through: layers that redirect a hundred
/// thousand files through ten components each are far below it; a hostile one could take hours.
const MAX_STEPS: u64 = 20_000_000;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// AUFS' own files, which no other reader of layers knows or keeps.
const AUFS: &str = ".wh..wh.";

/// A finding that belongs to a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct In<T> {
    /// The layer's index.
    pub layer: usize,
    /// What was found there.
    pub what: T,
}

/// The finished file system of an image.
#[derive(Debug)]
pub struct Flat {
    /// The tree.
    pub tree: Tree,
    /// Paths that stand twice in one layer.
    pub duplicates: Vec<In<String>>,
    /// Paths stored in another form than the normal one.
    pub respelled: Vec<In<Respelled>>,
    /// Paths that lay below a lower layer's symlink (`stored`), and where they went (`normal`).
    pub redirected: Vec<In<Respelled>>,
    origins: BTreeMap<String, usize>,
}

impl Flat {
    /// The index of the layer that brought a normal path.
    pub fn origin(&self, path: &str) -> Option<usize> {
        self.origins.get(path).copied().filter(|_| self.tree.get(path).is_some())
    }
}

/// Takes layers, the lowest first. After an error it holds half a layer and is to be dropped.
#[derive(Debug, Default)]
pub struct Flattener {
    unpacker: Unpacker,
    /// Of every path in the tree, and of every symlink that was not wanted.
    origins: BTreeMap<String, usize>,
    /// Of the present layer: wanted paths that it brought, and paths that it has hidden (again would
    /// find nothing and cost another look at everything below).
    seen: BTreeSet<String>,
    hidden: BTreeSet<String>,
    steps: u64,
    duplicates: Vec<In<String>>,
    respelled: Vec<In<Respelled>>,
    redirected: Vec<In<Respelled>>,
}

impl Flattener {
    /// No layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one layer. `layer` is its index, larger than that of every layer before it.
    pub fn apply<R: Read>(
        &mut self,
        layer: usize,
        wanted: &dyn Fn(&str) -> bool,
        reader: &mut Reader<R>,
        contents: &mut Contents<'_>,
    ) -> Result<(), TarError> {
        self.seen.clear();
        self.hidden.clear();
        while let Some(member) = reader.next_member()? {
            let Some(stored) = member.normal_path(wanted)? else { continue };
            if stored.split('/').any(|name| name.starts_with(WHITEOUT)) {
                self.whiteout(layer, &stored, &member)?;
                continue;
            }
            let path = self.resolve(layer, &stored, &member)?;
            let target = match member.normal_target(wanted(&path))? {
                Some(target) => Some(self.resolve(layer, &target, &member)?),
                None => None,
            };
            let removed = self.unpacker.place(&path, target.as_deref(), &member, reader, wanted, contents)?;
            for path in removed {
                self.origins.remove(&path);
            }
            self.note(layer, &path, &stored, &member, wanted(&path));
        }
        Ok(())
    }

    /// The finished tree.
    pub fn finish(self) -> Flat {
        let Self { unpacker, origins, duplicates, respelled, redirected, .. } = self;
        Flat { tree: unpacker.finish(), duplicates, respelled, redirected, origins }
    }

    /// Writes down where a path came from and what was odd about it.
    fn note(&mut self, layer: usize, path: &str, stored: &str, member: &Member, wanted: bool) {
        if path.is_empty() {
            return;
        }
        if wanted || matches!(member.kind, MemberKind::Symlink(_)) {
            self.origins.insert(path.to_owned(), layer);
            let mut above = parent(path);
            // A parent that is known has known parents.
            while let Some(path) = above.filter(|path| !self.origins.contains_key(*path)) {
                self.origins.insert(path.to_owned(), layer);
                above = parent(path);
            }
        } else if self.unpacker.tree().get(path).is_none() {
            self.origins.remove(path);
        }
        if !wanted {
            return;
        }
        self.respelled.extend(member.respelled(stored).map(|what| In { layer, what }));
        if path != stored {
            let what = Respelled { stored: stored.to_owned(), normal: path.to_owned() };
            self.redirected.push(In { layer, what });
        }
        if !self.seen.insert(path.to_owned()) {
            self.duplicates.push(In { layer, what: path.to_owned() });
        }
    }

    /// Follows the symlinks among a path's parents; the last component is left alone.
    fn resolve(&mut self, layer: usize, path: &str, member: &Member) -> Result<String, TarError> {
        if self.unpacker.has_parent(path) {
            return Ok(path.to_owned());
        }
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut links) = (String::new(), 0);
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." if at.is_empty() => {
                    return Err(member.error("lies below a symlink that leads above the root"));
                }
                ".." => {
                    at = parent(&at).unwrap_or_default().to_owned();
                    continue;
                }
                name => at = join(&at, name),
            }
            let target = if rest.is_empty() { None } else { self.unpacker.symlink(&at) };
            let Some(target) = target else { continue };
            if self.origins.get(&at) == Some(&layer) {
                return Err(member.error(format!("lies below `{at}`, which is a symlink in the same layer")));
            }
            links += 1;
            self.steps += target.len() as u64;
            if links > MAX_LINKS || self.steps > MAX_STEPS {
                return Err(member.error(format!("lies below `{at}`: too many levels of symlinks")));
            }
            rest.extend(target.split('/').rev().map(str::to_owned));
            at = if target.starts_with('/') {
                String::new()
            } else {
                parent(&at).unwrap_or_default().to_owned()
            };
        }
        Ok(at)
    }

    /// Takes away what lower layers brought: a path and all below it or, for the opaque whiteout,
    /// all below the directory that it lies in.
    fn whiteout(&mut self, layer: usize, stored: &str, member: &Member) -> Result<(), TarError> {
        if stored.split('/').any(|name| name.starts_with(AUFS) && name != OPAQUE) {
            return Ok(());
        }
        let name = file_name(stored);
        let directory = parent(stored).unwrap_or_default();
        if directory.split('/').any(|name| name.starts_with(WHITEOUT)) {
            return Err(member.error("lies below a whiteout"));
        }
        let Some(hidden) = name.strip_prefix(WHITEOUT).filter(|name| !matches!(*name, "" | "." | ".."))
        else {
            return Err(member.error("is a whiteout of nothing"));
        };
        // Any name below the directory makes its symlinks resolve.
        let inside = self.resolve(layer, &join(directory, hidden), member)?;
        let whole = if name == OPAQUE { parent(&inside).unwrap_or_default() } else { &inside };
        if !self.hidden.insert(if name == OPAQUE { format!("{whole}/") } else { whole.to_owned() }) {
            return Ok(());
        }
        if name != OPAQUE {
            return self.hide(layer, &inside, member);
        }
        let children = self.children(whole);
        children.iter().try_for_each(|child| self.hide(layer, child, member))
    }

    /// The paths directly below a directory, unwanted symlinks included.
    fn children(&self, directory: &str) -> Vec<String> {
        let mut children = BTreeSet::new();
        for (path, _) in self.below(directory) {
            let rest = path.strip_prefix(directory).unwrap_or(path).trim_start_matches('/');
            children.extend(rest.split('/').next().map(|name| join(directory, name)));
        }
        children.into_iter().collect()
    }

    /// Everything below a directory with the layer that brought it.
    fn below(&self, directory: &str) -> impl Iterator<Item = (&String, &usize)> {
        let from = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let own = from.clone();
        self.origins.range(from..).take_while(move |(path, _)| path.starts_with(&own))
    }

    fn hide(&mut self, layer: usize, path: &str, member: &Member) -> Result<(), TarError> {
        let mut kept: BTreeSet<String> = BTreeSet::new();
        let own = self.origins.get_key_value(path).into_iter();
        for (path, _) in own.chain(self.below(path)).filter(|(_, origin)| **origin == layer) {
            let mut above = Some(path.as_str());
            while let Some(path) = above.filter(|path| !kept.contains(*path)) {
                kept.insert(path.to_owned());
                above = parent(path);
            }
        }
        let own = self.origins.get_key_value(path).into_iter();
        let hidden: Vec<String> = own
            .chain(self.below(path))
            .filter(|(_, origin)| **origin < layer)
            .map(|(path, _)| path.clone())
            .collect();
        for path in hidden {
            if kept.contains(&path) {
                // A directory of a lower layer that holds files of this one: a new one in its place.
                if self.unpacker.tree().get(&path).is_some() {
                    let reset = self.unpacker.reset_directory(&path);
                    reset.map_err(|error| member.error(format!("hides what it cannot: {error}")))?;
                }
                self.origins.insert(path, layer);
            } else {
                self.unpacker.remove(&path);
                self.origins.remove(&path);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tar::Writer;
    use crate::archive::{Entry, Kind};
    use crate::base::Content;

    fn file(text: &str) -> Entry {
        Entry::file(0o644, Content::memory(text.as_bytes()))
    }

    fn link(target: &str) -> Entry {
        Entry::new(0o644, Kind::HardLink(target.to_owned()))
    }

    fn try_flatten(wanted: &dyn Fn(&str) -> bool, layers: &[&[(&str, Entry)]]) -> Result<Flat, TarError> {
        let mut flattener = Flattener::new();
        for (index, members) in layers.iter().enumerate() {
            let mut writer = Writer::new(Vec::new(), None);
            for (path, entry) in *members {
                writer.append(path, entry).unwrap();
            }
            let bytes = writer.finish().unwrap();
            let mut sink = |data: &mut dyn Read, _| {
                let mut bytes = Vec::new();
                data.read_to_end(&mut bytes)?;
                Ok(Content::memory(bytes))
            };
            let mut contents = Contents::streamed(&mut sink);
            flattener.apply(index, wanted, &mut Reader::new(&bytes[..]), &mut contents)?;
        }
        Ok(flattener.finish())
    }

    fn flatten(layers: &[&[(&str, Entry)]]) -> Flat {
        try_flatten(&|_| true, layers).unwrap()
    }

    /// `path@layer` of every entry.
    fn dump(flat: &Flat) -> String {
        let line = |(path, _): (&str, _)| format!("{path}@{}", flat.origin(path).unwrap());
        flat.tree.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    fn text(flat: &Flat, path: &str) -> String {
        String::from_utf8(flat.tree.get(path).unwrap().content().unwrap().read(99).unwrap()).unwrap()
    }

    #[test]
    fn a_whiteout_hides_lower_layers_and_never_its_own() {
        let base: &[_] = &[("a/x", file("0")), ("a/y", file("0")), ("b", file("0"))];
        assert_eq!(dump(&flatten(&[base, &[("a/.wh.x", file("")), (".wh.b", file(""))]])), "a@0 a/y@0");
        assert_eq!(dump(&flatten(&[base, &[(".wh.a", file(""))]])), "b@0");
        for order in [[0, 1], [1, 0]] {
            let upper = [("a/.wh.x", file("")), ("a/x", file("1"))];
            let upper = order.map(|index: usize| upper[index].clone());
            let flat = flatten(&[base, &upper]);
            assert_eq!((dump(&flat).as_str(), text(&flat, "a/x").as_str()), ("a@0 a/x@1 a/y@0 b@0", "1"));
        }
    }

    #[test]
    fn an_opaque_whiteout_may_come_after_its_siblings() {
        let base: &[_] = &[("a/x", file("0")), ("a/d/y", file("0")), ("a-b", file("0"))];
        for order in [[0, 1], [1, 0]] {
            let upper = [("a/.wh..wh..opq", file("")), ("a/d/z", file("1"))];
            let upper = order.map(|index: usize| upper[index].clone());
            let flat = flatten(&[base, &upper]);
            assert_eq!(dump(&flat), "a@0 a-b@0 a/d@1 a/d/z@1");
        }
        assert_eq!(dump(&flatten(&[base, &[(".wh..wh..opq", file(""))]])), "");
    }

    #[test]
    fn a_hard_link_outlives_its_target() {
        let base: &[_] = &[("a", file("old")), ("b", file("other"))];
        let flat = flatten(&[
            base,
            &[("c", link("a")), ("d", link("c"))],
            &[(".wh.a", file("")), ("c", file("new"))],
        ]);
        assert_eq!(dump(&flat), "b@0 c@2 d@1");
        assert_eq!((text(&flat, "c").as_str(), text(&flat, "d").as_str()), ("new", "old"));
        let flat = flatten(&[base, &[("c", link("a"))]]);
        assert!(matches!(&flat.tree.get("c").unwrap().kind, Kind::HardLink(target) if target == "a"));
    }

    #[test]
    fn a_lower_symlink_redirects_within_the_tree_and_is_reported() {
        let base: &[_] = &[
            ("usr/lib/x", file("0")),
            ("lib", Entry::symlink("usr/l")),
            ("usr/l", Entry::symlink("/usr/lib")),
        ];
        let flat = flatten(&[base, &[("lib/m/y", file("1")), ("lib/.wh.x", file(""))]]);
        assert_eq!(dump(&flat), "lib@0 usr@0 usr/l@0 usr/lib@0 usr/lib/m@1 usr/lib/m/y@1");
        assert_eq!(flat.redirected[0].what.normal, "usr/lib/m/y");
        let flat = flatten(&[base, &[("lib", Entry::directory()), ("lib/y", file("1"))]]);
        assert_eq!(text(&flat, "lib/y"), "1");
        // Not wanted, the link leads all the same.
        let wanted = |path: &str| path.starts_with("usr/lib");
        let flat = try_flatten(&wanted, &[base, &[("lib/y", file("1"))]]).unwrap();
        assert_eq!(dump(&flat), "usr@0 usr/lib@0 usr/lib/x@0 usr/lib/y@1");
    }

    #[test]
    fn hostile_links_are_refused() {
        let x = ("l/x", file("1"));
        for (layers, why) in [
            (vec![vec![("l", Entry::symlink("d")), x.clone()]], "same layer"),
            (vec![vec![("l", Entry::symlink("../d"))], vec![x.clone()]], "above the root"),
            (vec![vec![("l", Entry::symlink("l"))], vec![x.clone()]], "too many levels"),
            (vec![vec![("a", link("b"))]], "not there before it"),
            (vec![vec![(".wh.a/b", file(""))]], "below a whiteout"),
            (vec![vec![("a/.wh.", file(""))]], "whiteout of nothing"),
            (vec![vec![("a/.wh...", file(""))]], "whiteout of nothing"),
        ] {
            let layers: Vec<&[_]> = layers.iter().map(Vec::as_slice).collect();
            let error = try_flatten(&|_| true, &layers).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let error = try_flatten(&|path| path == "b", &[&[("a", file("")), ("b", link("a"))]]).unwrap_err();
        assert!(matches!(error, TarError::LinkOutside { target, .. } if target == "a"));
    }

    #[test]
    fn directories_and_files_replace_one_another() {
        let base: &[_] = &[("a/x", file("0")), ("b", file("0"))];
        let flat = flatten(&[base, &[("a", file("1")), ("b/y", file("1"))][..1]]);
        assert_eq!(dump(&flat), "a@1 b@0");
        let flat = flatten(&[base, &[("b", Entry::directory()), ("b/y", file("1")), ("b/y", file("2"))]]);
        assert_eq!((dump(&flat).as_str(), text(&flat, "b/y").as_str()), ("a@0 a/x@0 b@1 b/y@1", "2"));
        assert_eq!(flat.duplicates, [In { layer: 1, what: "b/y".to_owned() }]);
    }
}
