//! Which files of a tree are modules, and which of several of one name counts.

use std::collections::HashMap;

use crate::archive::Tree;
use crate::archive::tree::{Kind, file_name, resolve_symlink};
use crate::base::Content;
use crate::kmod::module::{ENDINGS, name_of_file};

/// Links of the kernel's packages to its source: nothing in them is a module of the tree.
const NOT_SEARCHED: [&str; 2] = ["build", "source"];
/// Links of links that are followed; Linux follows 40.
const LINKS_MAX: usize = 40;

/// Where modules are searched, from the first choice on: folders of the tree, and `built-in` for
/// everything that lies in none of them. It is the `search` line of depmod.d(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search(Vec<String>);

/// A word cannot stand in a search order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// It names something that is not in the tree.
    #[error("`{0}` is no folder of the tree of modules")]
    NoFolder(String),
    /// kmod's `external` folders lie outside of the tree.
    #[error("`external` folders cannot be searched: the tree is all there is")]
    External,
}

impl Search {
    /// The word for everything else.
    const BUILT_IN: &'static str = "built-in";

    /// A search order.
    pub fn new<S: AsRef<str>>(words: &[S]) -> Result<Self, SearchError> {
        let word = |word: &S| match word.as_ref().trim_end_matches('/') {
            "external" => Err(SearchError::External),
            word if word.is_empty() || word.starts_with('/') || word.split('/').any(|part| part == "..") => {
                Err(SearchError::NoFolder(word.to_owned()))
            }
            word => Ok(word.to_owned()),
        };
        Ok(Self(words.iter().map(word).collect::<Result<_, _>>()?))
    }

    /// What Talos' imager configures: `extras built-in`.
    pub fn talos() -> Self {
        Self(vec!["extras".to_owned(), Self::BUILT_IN.to_owned()])
    }

    /// What `depmod` does where nothing is configured: `updates`, then everything else.
    pub fn kmod() -> Self {
        Self(vec!["updates".to_owned(), Self::BUILT_IN.to_owned()])
    }

    /// The place of a path in the order; the least is taken. What the order has no word for comes last.
    fn rank(&self, path: &str) -> usize {
        let below =
            |word: &String| path.strip_prefix(word.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let built_in = || self.0.iter().position(|word| word == Self::BUILT_IN);
        self.0.iter().position(below).or_else(built_in).unwrap_or(usize::MAX)
    }
}

impl Default for Search {
    fn default() -> Self {
        Self::talos()
    }
}

/// A module of the tree.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its path in the tree.
    pub path: String,
    /// Its name, with `_` for `-`.
    pub name: String,
    /// Its bytes.
    pub content: Content,
}

/// The modules of a tree.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Those that count.
    pub modules: Vec<Found>,
    /// Those that do not, because another of their name does.
    pub hidden: Vec<Hidden>,
}

/// A module that another of its name hides.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// The module.
    pub module: Found,
    /// The path of the other one.
    pub by: String,
    /// Whether the search order prefers the other; if not, only its path does.
    pub by_order: bool,
}

/// Finds the modules of a tree. Symbolic links to modules are followed within the tree; links to
/// folders are not.
pub fn select(tree: &Tree, search: &Search) -> Selection {
    let (mut selection, mut hidden) = (Selection::default(), Vec::new());
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for (path, _) in tree.iter() {
        let is_module =
            ENDINGS.iter().any(|ending| file_name(path).len() > ending.len() && path.ends_with(ending));
        if !is_module || path.split('/').any(|part| NOT_SEARCHED.contains(&part)) {
            continue;
        }
        let Some(content) = content(tree, path) else { continue };
        let name = name_of_file(path);
        let found = Found { path: path.to_owned(), name: name.clone(), content };
        let Some(other) = by_name.get(&name).and_then(|index| selection.modules.get_mut(*index)) else {
            by_name.insert(name, selection.modules.len());
            selection.modules.push(found);
            continue;
        };
        let better = search.rank(path) < search.rank(&other.path);
        hidden.push(if better { std::mem::replace(other, found) } else { found });
    }
    // Only now is it known who hides them.
    let by = |module: Found| {
        let by = selection.modules.get(*by_name.get(&module.name)?)?.path.clone();
        let by_order = search.rank(&module.path) != search.rank(&by);
        Some(Hidden { module, by, by_order })
    };
    selection.hidden = hidden.into_iter().filter_map(by).collect();
    selection
}

/// The content of a file, or of the file that a link leads to.
fn content(tree: &Tree, path: &str) -> Option<Content> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        path = match &tree.get(&path)?.kind {
            Kind::File(content) => return Some(content.clone()),
            Kind::Symlink(target) => resolve_symlink(&path, target)?,
            Kind::HardLink(target) => target.clone(),
            _ => return None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Entry;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new();
        for path in paths {
            tree.insert(path, Entry::file(0o644, Content::memory(path.as_bytes()))).unwrap();
        }
        tree
    }

    fn chosen(paths: &[&str], words: &[&str]) -> Vec<String> {
        let selection = select(&tree(paths), &Search::new(words).unwrap());
        selection.modules.into_iter().map(|module| module.path).collect()
    }

    // The cases `search-order-*` of kmod's test suite, as facts.
    #[test]
    fn the_search_order_decides_between_modules_of_one_name() {
        let simple = ["kernel/crypto/mod-simple.ko", "updates/mod-simple.ko"];
        assert_eq!(chosen(&simple, &["updates", "built-in"]), ["updates/mod-simple.ko"]);
        assert_eq!(chosen(&simple, &["built-in", "updates"]), ["kernel/crypto/mod-simple.ko"]);
        assert_eq!(chosen(&simple, &["updates"]), ["updates/mod-simple.ko"]);
        let prefix = ["foo/mod-simple.ko", "foobar/mod-simple.ko"];
        assert_eq!(chosen(&prefix, &["foobar", "foo", "built-in"]), ["foobar/mod-simple.ko"]);
        assert_eq!(chosen(&prefix, &["foo", "foobar", "built-in"]), ["foo/mod-simple.ko"]);
    }

    #[test]
    fn names_are_equal_whatever_their_dashes_and_compression() {
        let selection = select(
            &tree(&["extras/a-b.ko.zst", "kernel/a_b.ko", "kernel/c.ko", "kernel/x/c.ko"]),
            &Search::talos(),
        );
        let hidden: Vec<(&str, &str, bool)> = selection
            .hidden
            .iter()
            .map(|hidden| (hidden.module.path.as_str(), hidden.by.as_str(), hidden.by_order))
            .collect();
        assert_eq!(
            hidden,
            [("kernel/a_b.ko", "extras/a-b.ko.zst", true), ("kernel/x/c.ko", "kernel/c.ko", false)]
        );
    }

    #[test]
    fn what_lies_in_the_kernels_source_or_only_ends_like_a_module_is_none() {
        let paths = ["build/a.ko", "kernel/source/b.ko", "kernel/c.ko.txt", ".ko", "kernel/.ko.xz", "d.ko"];
        assert_eq!(chosen(&paths, &["built-in"]), ["d.ko"]);
    }

    #[test]
    fn links_to_modules_are_followed_within_the_tree_and_for_a_while() {
        let mut tree = tree(&["kernel/a.ko"]);
        for (path, target) in
            [("updates/b.ko", "../kernel/a.ko"), ("c.ko", "/nowhere.ko"), ("d.ko", "d.ko"), ("e.ko", "../x")]
        {
            tree.insert(path, Entry::symlink(target)).unwrap();
        }
        let selection = select(&tree, &Search::talos());
        let names: Vec<&str> = selection.modules.iter().map(|module| module.path.as_str()).collect();
        assert_eq!(names, ["kernel/a.ko", "updates/b.ko"]);
    }

    #[test]
    fn words_that_lead_out_of_the_tree_are_refused() {
        assert_eq!(Search::new(&["external"]), Err(SearchError::External));
        for word in ["/x", "", "a/../../b"] {
            assert!(matches!(Search::new(&[word]), Err(SearchError::NoFolder(_))), "{word}");
        }
    }
}
