//! The files themselves.

use std::borrow::Cow;

use rayon::prelude::*;

use super::FILES;
use super::calculate::{DepmodError, Exports};
use super::graph::Sorted;
use super::issue::Issue;
use super::load::Loaded;
use super::order::{SYMBOLS, bucket};
use super::trie::{Index, KEY_MAX, TooLarge};
use crate::kmod::module::name_of_file;

/// What the files are made of.
pub(super) struct Input<'a> {
    /// The modules, in order.
    pub modules: &'a [Loaded],
    /// Who needs whom.
    pub graph: &'a Sorted,
    /// Who exports what.
    pub exports: &'a Exports<'a>,
    /// `modules.builtin`, if it is there.
    pub builtin: Option<&'a [u8]>,
    /// `modules.builtin.modinfo`, if it is there.
    pub builtin_info: Option<&'a [u8]>,
}

/// A file and what could not be written into it.
type Written = (Vec<u8>, Vec<Issue>);

/// The files by name, in the order of [`FILES`], and what could not be written into them.
pub(super) struct Output {
    pub files: Vec<(&'static str, Vec<u8>)>,
    pub issues: Vec<Issue>,
}

/// Writes all files, one a thread.
pub(super) fn write(input: &Input<'_>) -> Result<Output, DepmodError> {
    let one = |file: &'static str| match input.file(file) {
        Ok((bytes, issues)) => Ok(((file, bytes), issues)),
        Err(source) => Err(DepmodError::Index { file, source }),
    };
    let written: Result<Vec<_>, _> = FILES.into_par_iter().with_max_len(1).map(one).collect();
    let (files, issues): (Vec<_>, Vec<Vec<Issue>>) = written?.into_iter().unzip();
    Ok(Output { files, issues: issues.into_iter().flatten().collect() })
}

impl Input<'_> {
    fn file(&self, name: &str) -> Result<Written, TooLarge> {
        let plain = |bytes| Ok((bytes, Vec::new()));
        match name {
            "modules.dep" => plain(self.dep()),
            "modules.dep.bin" => self.dep_bin(),
            "modules.alias" => plain(self.alias()),
            "modules.alias.bin" => self.alias_bin(),
            "modules.softdep" => {
                plain(self.dependencies(b"softdep", "# Soft dependencies extracted from modules themselves."))
            }
            "modules.weakdep" => {
                plain(self.dependencies(b"weakdep", "# Weak dependencies extracted from modules themselves."))
            }
            "modules.symbols" => plain(self.symbols()),
            "modules.symbols.bin" => plain(self.symbols_bin()?),
            "modules.builtin.bin" => plain(self.builtin_bin()?),
            "modules.builtin.alias.bin" => plain(self.builtin_alias_bin()?),
            _ => Ok(self.devname()),
        }
    }

    /// The modules, each with its index, which is its priority in the binary files.
    fn each(&self) -> impl Iterator<Item = (u32, &Loaded)> {
        (0..).zip(self.modules)
    }

    /// `path: needed…` of a module, without a line's end.
    fn dep_line(&self, index: u32, module: &Loaded) -> Vec<u8> {
        let mut line = format!("{}:", module.path).into_bytes();
        for needed in self.graph.all(index as usize) {
            if let Some(needed) = self.modules.get(needed) {
                line.push(b' ');
                line.extend_from_slice(needed.path.as_bytes());
            }
        }
        line
    }

    fn dep(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (index, module) in self.each() {
            text.extend(self.dep_line(index, module));
            text.push(b'\n');
        }
        text
    }

    fn dep_bin(&self) -> Result<Written, TooLarge> {
        let (mut trie, mut issues) = (Index::default(), Vec::new());
        for (index, module) in self.each() {
            if !trie.add(module.name.as_bytes(), self.dep_line(index, module), index) {
                issues.push(not_indexed(module, module.name.as_bytes(), NOT_ASCII));
            }
        }
        Ok((trie.finish()?, issues))
    }

    fn alias(&self) -> Vec<u8> {
        let mut text = b"# Aliases extracted from modules themselves.\n".to_vec();
        for (_, module) in self.each() {
            for alias in module.aliases() {
                push_line(&mut text, &[b"alias", alias, module.name.as_bytes()]);
            }
        }
        text
    }

    fn alias_bin(&self) -> Result<Written, TooLarge> {
        let (mut trie, mut issues) = (Index::default(), Vec::new());
        for (index, module) in self.each() {
            for alias in module.aliases() {
                match normalised(alias) {
                    None => issues.push(not_indexed(module, alias, "has a bracket without its other half")),
                    Some(key) => {
                        if !trie.add(key, module.name.as_bytes(), index) {
                            issues.push(not_indexed(module, alias, NOT_ASCII));
                        }
                    }
                }
            }
        }
        Ok((trie.finish()?, issues))
    }

    fn dependencies(&self, word: &[u8], head: &str) -> Vec<u8> {
        let mut text = format!("{head}\n").into_bytes();
        for (_, module) in self.each() {
            let mut line = |value| push_line(&mut text, &[word, module.name.as_bytes(), value]);
            match word {
                b"softdep" => module.softdeps().for_each(&mut line),
                _ => module.weakdeps().for_each(&mut line),
            }
        }
        text
    }

    fn symbols(&self) -> Vec<u8> {
        let mut symbols: Vec<(u32, &[u8], &Loaded)> = self
            .exports
            .iter()
            .filter_map(|(name, export)| {
                Some((bucket(name, SYMBOLS), *name, self.modules.get(export.owner)?))
            })
            .collect();
        symbols.sort_unstable_by_key(|(bucket, name, _)| (*bucket, *name));
        let mut text = b"# Aliases for symbols, used by symbol_request().\n".to_vec();
        for (_, name, owner) in symbols {
            text.extend_from_slice(b"alias symbol:");
            push_line(&mut text, &[name, owner.name.as_bytes()]);
        }
        text
    }

    fn symbols_bin(&self) -> Result<Vec<u8>, TooLarge> {
        let mut trie = Index::default();
        for (name, export) in self.exports {
            if let Some(owner) = self.modules.get(export.owner) {
                // A symbol that is not ASCII is none of C's; kmod's trie has no place for it either.
                trie.add([b"symbol:", *name].concat(), owner.name.as_bytes(), export.owner as u32);
            }
        }
        trie.finish()
    }

    /// Empty, without even a head, where there is no `modules.builtin`: kmod leaves it so.
    fn builtin_bin(&self) -> Result<Vec<u8>, TooLarge> {
        let Some(builtin) = self.builtin else { return Ok(Vec::new()) };
        let mut trie = Index::default();
        for name in builtin_names(builtin) {
            trie.add(name.into_bytes(), &b""[..], 0);
        }
        trie.finish()
    }

    /// `modules.builtin.modinfo` is entries `module.key=value`, each ending in NUL.
    fn builtin_alias_bin(&self) -> Result<Vec<u8>, TooLarge> {
        let Some(info) = self.builtin_info else { return Ok(Vec::new()) };
        let mut trie = Index::default();
        let entries = info.split_inclusive(|byte| *byte == 0).filter_map(|entry| entry.strip_suffix(b"\0"));
        for entry in entries {
            let mut parts = entry.splitn(2, |byte| *byte == b'.');
            let (Some(module), Some(rest)) = (parts.next(), parts.next()) else { continue };
            let Some(alias) = rest.strip_prefix(b"alias=").filter(|alias| !alias.is_empty()) else {
                continue;
            };
            if let Some(key) = normalised(alias).filter(|_| !module.is_empty()) {
                trie.add(key, module, 0);
            }
        }
        trie.finish()
    }

    /// Device nodes that load a module when they are opened: a `devname:` alias and one with numbers.
    fn devname(&self) -> Written {
        let (mut text, mut issues) = (Vec::new(), Vec::new());
        for (_, module) in self.each() {
            let (mut device, mut name) = (None, None);
            for alias in module.aliases() {
                if let Some(rest) = alias.strip_prefix(b"devname:") {
                    name = Some(rest);
                } else {
                    device = numbers(alias).or(device);
                }
                if name.is_some() && device.is_some() {
                    break;
                }
            }
            match (name, device) {
                (Some(name), Some(device)) => {
                    push_line(&mut text, &[module.name.as_bytes(), name, device.as_bytes()]);
                }
                (Some(name), None) => {
                    issues.push(not_indexed(module, name, "is a device's name without its numbers"));
                }
                (None, _) => {}
            }
        }
        if !text.is_empty() {
            text.splice(..0, *b"# Device nodes to trigger on-demand module loading.\n");
        }
        (text, issues)
    }
}

const NOT_ASCII: &str = "is not ASCII, or is too long";

fn not_indexed(module: &Loaded, text: &[u8], why: &'static str) -> Issue {
    Issue::NotIndexed {
        path: module.path.clone(),
        text: String::from_utf8_lossy(text.get(..200).unwrap_or(text)).into_owned(),
        why,
    }
}

fn push_line(text: &mut Vec<u8>, words: &[&[u8]]) {
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
    text.push(b'\n');
}

/// The names of the modules that are built in; lines that begin with no letter name none.
pub(super) fn builtin_names(builtin: &[u8]) -> impl Iterator<Item = String> {
    builtin
        .split(|byte| *byte == b'\n')
        .filter(|line| line.first().is_some_and(u8::is_ascii_alphabetic))
        .map(|line| name_of_file(&String::from_utf8_lossy(line)))
}

/// An alias as it is looked up: `_` for `-`, but not within brackets. `None` where brackets do not
/// match.
fn normalised(alias: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !alias.iter().any(|byte| matches!(byte, b'-' | b'[' | b']')) {
        return Some(Cow::Borrowed(alias));
    }
    let mut within = false;
    let mut key = Vec::with_capacity(alias.len().min(KEY_MAX + 1));
    for byte in alias.iter().take(KEY_MAX + 1) {
        key.push(match (byte, within) {
            (b'-', false) => b'_',
            (b']', false) => return None,
            (b']', true) => {
                within = false;
                b']'
            }
            (b'[', _) => {
                within = true;
                b'['
            }
            (other, _) => *other,
        });
    }
    (!within).then_some(Cow::Owned(key))
}

/// `char-major-10-229…` → `c10:229`.
fn numbers(alias: &[u8]) -> Option<String> {
    let alias = std::str::from_utf8(alias).ok()?;
    let (kind, rest) = match alias.strip_prefix("char-major-") {
        Some(rest) => ('c', rest),
        None => ('b', alias.strip_prefix("block-major-")?),
    };
    let (major, rest) = number(rest)?;
    let (minor, _) = number(rest.strip_prefix('-')?)?;
    Some(format!("{kind}{major}:{minor}"))
}

/// The number that a text begins with, and the rest.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_of_an_alias_become_underscores_outside_of_brackets() {
        let key = |alias: &str| {
            normalised(alias.as_bytes()).map(|key| String::from_utf8(key.into_owned()).unwrap())
        };
        assert_eq!(key("usb:v1-2d[0-9]-x").as_deref(), Some("usb:v1_2d[0-9]_x"));
        assert_eq!(key("plain").as_deref(), Some("plain"));
        assert_eq!(key("a]b"), None);
        assert_eq!(key("a[b"), None);
    }

    #[test]
    fn device_numbers_are_read_to_their_end() {
        assert_eq!(numbers(b"char-major-10-229").as_deref(), Some("c10:229"));
        assert_eq!(numbers(b"block-major-7-0x").as_deref(), Some("b7:0"));
        for alias in ["char-major-10-*", "char-major-10", "char-major-99999999999-1", "fs-x"] {
            assert_eq!(numbers(alias.as_bytes()), None, "{alias}");
        }
    }
}
