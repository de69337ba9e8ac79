//! Members onto a file tree: the one place where an archive's paths become a tree's.
//!
//! Rules: paths are normal or refused; no member is written *through* a symlink; a hard link leads
//! to something that is already there; what comes later replaces what was there. What an honest
//! archive does not do but tar allows (a path twice, an absolute path) is reported, not judged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::error::TarError;
use super::read::{MAX_NAMES, Member, MemberKind, Reader};
use crate::archive::linked::LinkedTree;
use crate::archive::tree::{Entry, Kind, PATH_MAX, Tree, TreeError, normalise, parent};
use crate::base::Content;

/// Keeps the bytes of a file of the given size.
pub type Sink<'a> = &'a mut dyn FnMut(&mut dyn Read, u64) -> io::Result<Content>;

/// Where the contents of files go.
pub struct Contents<'a> {
    sink: Sink<'a>,
    in_place: Option<(Arc<Path>, u64)>,
}

impl<'a> Contents<'a> {
    /// Every file's bytes go to `sink`.
    pub fn streamed(sink: Sink<'a>) -> Self {
        Self { sink, in_place: None }
    }

    /// The plain archive begins at byte `base` of the file at `path`: contents stay there. Only
    /// sparse files, whose bytes are not there as they are, go to `sink`.
    pub fn in_place(path: impl AsRef<Path>, base: u64, sink: Sink<'a>) -> Self {
        Self { sink, in_place: Some((path.as_ref().into(), base)) }
    }

    fn keep<R: Read>(&mut self, member: &Member, reader: &mut Reader<R>) -> Result<Content, TarError> {
        if member.size == 0 {
            return Ok(Content::memory([]));
        }
        if let (Some((path, base)), false) = (&self.in_place, member.sparse) {
            let offset = base.saturating_add(member.data);
            return Ok(Content::Range { path: Arc::clone(path), offset, len: member.size });
        }
        let failed = |source| TarError::Content { member: member.printable(), offset: member.offset, source };
        match (self.sink)(&mut reader.data(), member.size) {
            Ok(content) if content.len() == member.size => Ok(content),
            Ok(content) => {
                Err(failed(io::Error::other(format!("{} of {} bytes were kept", content.len(), member.size))))
            }
            Err(error) => Err(error.downcast::<TarError>().unwrap_or_else(failed)),
        }
    }
}

/// A path that was not stored in the form in which it is in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respelled {
    /// As it is stored, made printable.
    pub stored: String,
    /// As it is in the tree.
    pub normal: String,
}

/// What [`read_tree`] found.
#[derive(Debug)]
pub struct Unpacked {
    /// The wanted paths.
    pub tree: Tree,
    /// Wanted paths that stand more than once, in the order of their repetition.
    pub duplicates: Vec<String>,
    /// Wanted paths that are absolute or have `//` or `/./` in them. A leading `./` and a
    /// directory's trailing slash are not worth a word.
    pub respelled: Vec<Respelled>,
}

/// Reads the wanted paths of an archive into a tree. Parents that are not wanted themselves are
/// 0755; the root's own attributes are dropped.
pub fn read_tree<R: Read>(
    reader: &mut Reader<R>,
    wanted: &dyn Fn(&str) -> bool,
    contents: &mut Contents<'_>,
) -> Result<Unpacked, TarError> {
    let mut unpacker = Unpacker::default();
    let (mut seen, mut duplicates, mut respelled) = (BTreeSet::new(), Vec::new(), Vec::new());
    while let Some(member) = reader.next_member()? {
        let Some(path) = member.normal_path(wanted)? else { continue };
        unpacker.check_parents(&path, &member)?;
        let target = member.normal_target(wanted(&path))?;
        if let Some(target) = &target {
            unpacker.check_parents(target, &member)?;
        }
        unpacker.place(&path, target.as_deref(), &member, reader, wanted, contents)?;
        if wanted(&path) && !path.is_empty() {
            respelled.extend(member.respelled(&path));
            if !seen.insert(path.clone()) {
                duplicates.push(path);
            }
        }
    }
    Ok(Unpacked { tree: unpacker.finish(), duplicates, respelled })
}

impl Member {
    /// The path in normal form. `None` for a path that is not UTF-8 and, read with replacement
    /// characters, not wanted; a wanted one is an error, since no tree can hold it.
    pub fn normal_path(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Option<String>, TarError> {
        let lossy = String::from_utf8_lossy(&self.path);
        let path = normalise(&lossy).map_err(|source| self.tree_error(source))?;
        match lossy {
            std::borrow::Cow::Borrowed(_) => Ok(Some(path)),
            std::borrow::Cow::Owned(_) if wanted(&path) => Err(self.error("has a name that is not UTF-8")),
            std::borrow::Cow::Owned(_) => Ok(None),
        }
    }

    /// A hard link's target in normal form, if the link is `wanted`; `None` for other kinds.
    pub fn normal_target(&self, wanted: bool) -> Result<Option<String>, TarError> {
        match &self.kind {
            MemberKind::HardLink(target) if wanted => {
                let target =
                    std::str::from_utf8(target).map_err(|_| self.error("has a target that is not UTF-8"))?;
                normalise(target).map(Some).map_err(|source| self.tree_error(source))
            }
            _ => Ok(None),
        }
    }

    /// How the stored path differs from the normal one, if that is worth a word.
    pub fn respelled(&self, normal: &str) -> Option<Respelled> {
        let mut stored = self.path.strip_prefix(b"./").unwrap_or(&self.path);
        if self.kind == MemberKind::Directory {
            stored = stored.strip_suffix(b"/").unwrap_or(stored);
        }
        (stored != normal.as_bytes())
            .then(|| Respelled { stored: self.printable(), normal: normal.to_owned() })
    }

    fn tree_error(&self, source: TreeError) -> TarError {
        TarError::Tree { member: self.printable(), offset: self.offset, source }
    }
}

/// A tree that members are put onto, one archive or many. Symlinks that nobody wants are
/// remembered, because what lies below them is as wrong as below any other.
#[derive(Debug, Default)]
pub struct Unpacker {
    tree: LinkedTree,
    unwanted_links: BTreeMap<String, String>,
    names: u64,
}

impl Unpacker {
    /// What is there so far.
    pub fn tree(&self) -> &Tree {
        self.tree.tree()
    }

    /// The target of the symlink at a normal path, wanted or not.
    pub fn symlink(&self, path: &str) -> Option<&str> {
        match self.tree().get(path).map(|entry| &entry.kind) {
            Some(Kind::Symlink(target)) => Some(target),
            _ => self.unwanted_links.get(path).map(String::as_str),
        }
    }

    /// Whether the parent is known to be a directory; then nothing above it is a symlink.
    pub fn has_parent(&self, path: &str) -> bool {
        parent(path).is_none_or(|parent| self.tree().get(parent).is_some_and(Entry::is_directory))
    }

    /// Refuses a path below a symlink.
    fn check_parents(&self, path: &str, member: &Member) -> Result<(), TarError> {
        if self.has_parent(path) {
            return Ok(());
        }
        let mut above = parent(path);
        while let Some(path) = above {
            if let Some(target) = self.symlink(path) {
                let target: String = target.chars().take(200).collect();
                return Err(member.error(format!(
                    "lies below `{path}`, which is a symlink to `{}`",
                    target.escape_default()
                )));
            }
            above = parent(path);
        }
        Ok(())
    }

    /// Puts a member at a normal path; `target` is the normal path of a hard link's target. Gives
    /// the paths that had to go for it.
    pub fn place<R: Read>(
        &mut self,
        path: &str,
        target: Option<&str>,
        member: &Member,
        reader: &mut Reader<R>,
        wanted: &dyn Fn(&str) -> bool,
        contents: &mut Contents<'_>,
    ) -> Result<Vec<String>, TarError> {
        let directory = member.kind == MemberKind::Directory;
        if path.is_empty() {
            let why = "is the root, which can only be a directory";
            return if directory { Ok(Vec::new()) } else { Err(member.error(why)) };
        }
        if let MemberKind::Symlink(target) = &member.kind
            && target.len() >= PATH_MAX
        {
            return Err(member.error("has a symlink target of 4096 bytes or more"));
        }
        // GNU tar stores a file that it was given twice as a link to itself.
        if target == Some(path) && self.tree().get(path).is_some_and(|entry| !entry.is_directory()) {
            return Ok(Vec::new());
        }
        self.unwanted_links.remove(path);
        let stays = directory && self.tree().get(path).is_some_and(Entry::is_directory);
        let mut removed = if stays { Vec::new() } else { self.remove(path) };
        if !wanted(path) {
            if let MemberKind::Symlink(target) = &member.kind {
                self.unwanted_links.insert(path.to_owned(), String::from_utf8_lossy(target).into_owned());
            }
            return Ok(removed);
        }
        self.charge_parents(path, member)?;
        if let Some(target) = target {
            self.link(path, target, member, wanted)?;
        } else {
            let entry = entry(member, reader, contents)?;
            let gone = self.tree.put(path, entry).map_err(|source| member.tree_error(source))?;
            removed.extend(gone);
        }
        Ok(removed)
    }

    fn link(
        &mut self,
        path: &str,
        target: &str,
        member: &Member,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<(), TarError> {
        if self.tree().get(target).is_none() {
            if !wanted(target) {
                let (member, offset) = (member.printable(), member.offset);
                return Err(TarError::LinkOutside { member, offset, target: target.to_owned() });
            }
            return Err(member.error(format!("is a hard link to `{target}`, which is not there before it")));
        }
        self.tree.link(path, target).map_err(|source| member.tree_error(source))
    }

    /// Removes a normal path and all below it, unwanted symlinks too; gives the paths of the tree
    /// that went.
    pub fn remove(&mut self, path: &str) -> Vec<String> {
        self.unwanted_links.remove(path);
        let below = format!("{path}/")..format!("{path}0"); // '0' is the byte after '/'
        let links: Vec<String> = self.unwanted_links.range(below).map(|(path, _)| path.clone()).collect();
        for path in links {
            self.unwanted_links.remove(&path);
        }
        self.tree.remove(path)
    }

    /// Changes a directory's attributes, keeping what is below.
    pub fn reset_directory(&mut self, path: &str) -> Result<(), TreeError> {
        self.tree.put(path, Entry::directory()).map(drop)
    }

    /// A path of 4096 bytes brings up to 2047 parents along, so that a small archive could ask for
    /// a tree of gigabytes.
    fn charge_parents(&mut self, path: &str, member: &Member) -> Result<(), TarError> {
        let mut above = parent(path);
        while let Some(path) = above.filter(|path| self.tree().get(path).is_none()) {
            self.names = self.names.saturating_add(path.len() as u64);
            if self.names > MAX_NAMES {
                return Err(
                    member.error(format!("brings implied directories over the {MAX_NAMES} bytes allowed"))
                );
            }
            above = parent(path);
        }
        Ok(())
    }

    /// The finished tree.
    pub fn finish(self) -> Tree {
        self.tree.finish()
    }
}

/// The entry of a member that is no hard link.
fn entry<R: Read>(
    member: &Member,
    reader: &mut Reader<R>,
    contents: &mut Contents<'_>,
) -> Result<Entry, TarError> {
    let kind = match &member.kind {
        MemberKind::Directory => Kind::Directory,
        MemberKind::File => Kind::File(contents.keep(member, reader)?),
        MemberKind::Symlink(target) => Kind::Symlink(match std::str::from_utf8(target) {
            Ok("") => return Err(member.error("is a symlink without a target")),
            Ok(target) => target.to_owned(),
            Err(_) => return Err(member.error("has a target that is not UTF-8")),
        }),
        MemberKind::HardLink(_) => return Err(member.error("is a hard link without a target")),
        MemberKind::CharDevice(major, minor) => Kind::CharDevice { major: *major, minor: *minor },
        MemberKind::BlockDevice(major, minor) => Kind::BlockDevice { major: *major, minor: *minor },
        MemberKind::Fifo => Kind::Fifo,
    };
    Ok(Entry {
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        mtime: member.mtime,
        xattrs: member.xattrs.clone(),
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tar::Writer;

    fn archive(members: &[(&str, Entry)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), None);
        for (path, entry) in members {
            writer.append(path, entry).unwrap();
        }
        writer.finish().unwrap()
    }

    fn file(text: &str) -> Entry {
        Entry::file(0o644, Content::memory(text.as_bytes()))
    }

    fn keep(data: &mut dyn Read, _: u64) -> io::Result<Content> {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        Ok(Content::memory(bytes))
    }

    fn unpack(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Unpacked, TarError> {
        read_tree(&mut Reader::new(bytes), wanted, &mut Contents::streamed(&mut keep))
    }

    #[test]
    fn contents_of_an_archive_on_disk_stay_where_they_are() {
        let bytes = archive(&[("a", file("first")), ("b/c", file("second"))]);
        let disk = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(disk.path(), [&b"head"[..], &bytes].concat()).unwrap();
        let mut opened = std::fs::File::open(disk.path()).unwrap();
        io::Seek::seek(&mut opened, io::SeekFrom::Start(4)).unwrap();
        let mut reader = Reader::seekable(opened).unwrap();
        let mut never = |_: &mut dyn Read, _| panic!("nothing is copied");
        let mut contents = Contents::in_place(disk.path(), 4, &mut never);
        let tree = read_tree(&mut reader, &|_| true, &mut contents).unwrap().tree;
        assert_eq!(tree.get("b/c").unwrap().content().unwrap().read(9).unwrap(), b"second");
        disk.as_file().set_len(4 + 512 + 100).unwrap();
        let mut reader = Reader::seekable(std::fs::File::open(disk.path()).unwrap()).unwrap();
        assert!(read_tree(&mut reader, &|_| true, &mut contents).is_err());
    }

    #[test]
    fn an_archive_may_end_in_the_padding_of_a_file_and_not_before() {
        let bytes = archive(&[("a", file("first")), ("b", file("second"))]);
        let end = 3 * 512 + "second".len();
        for cut in [end, end + 1, end + 505] {
            let streamed = unpack(&bytes[..cut], &|_| true).unwrap().tree;
            let mut reader = Reader::seekable(io::Cursor::new(&bytes[..cut])).unwrap();
            let seeked = read_tree(&mut reader, &|_| true, &mut Contents::streamed(&mut keep)).unwrap().tree;
            for tree in [streamed, seeked] {
                assert_eq!(tree.get("b").unwrap().content().unwrap().read(9).unwrap(), b"second");
            }
            assert!(unpack(&bytes[..cut], &|path| path == "a").is_ok());
        }
        for wanted in [&(|_: &str| true) as &dyn Fn(&str) -> bool, &|path| path == "a"] {
            assert!(unpack(&bytes[..end - 1], wanted).unwrap_err().to_string().contains("truncated"));
        }
    }

    #[test]
    fn a_path_twice_is_reported_and_the_later_wins() {
        let unpacked = unpack(&archive(&[("a", file("1")), ("a", file("2"))]), &|_| true).unwrap();
        assert_eq!(unpacked.duplicates, ["a"]);
        assert_eq!(unpacked.tree.get("a").unwrap().content().unwrap().read(9).unwrap(), b"2");
    }

    #[test]
    fn nothing_is_written_through_a_symlink_even_if_nobody_wants_the_link() {
        let bytes = archive(&[("a", Entry::symlink("/etc")), ("a/passwd", file(""))]);
        for wanted in [&(|_: &str| true) as &dyn Fn(&str) -> bool, &|path| path == "a/passwd"] {
            let error = unpack(&bytes, wanted).unwrap_err().to_string();
            assert_eq!(error, "member `a/passwd` at byte 512 lies below `a`, which is a symlink to `/etc`");
        }
    }

    #[test]
    fn hard_links_lead_to_what_is_there() {
        let link = |target: &str| Entry::new(0o644, Kind::HardLink(target.to_owned()));
        let tree = unpack(&archive(&[("b", file("x")), ("a", link("b"))]), &|_| true).unwrap().tree;
        // The first name in path order is the file.
        assert!(tree.get("a").unwrap().content().is_some());
        assert!(matches!(&tree.get("b").unwrap().kind, Kind::HardLink(target) if target == "a"));
        for (target, why) in [
            ("c", "not there before it"),
            ("../x", "cannot be taken"),
            ("", "not there before it"),
            ("d", "cannot be taken"),
        ] {
            let mut bytes = archive(&[("d/e", file("")), ("a", link("??????"))]);
            bytes[512 + 157..512 + 163].copy_from_slice(format!("{target:\0<6}").as_bytes());
            fix(&mut bytes[512..1024]);
            let error = unpack(&bytes, &|_| true).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    fn fix(block: &mut [u8]) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    #[test]
    fn odd_spellings_are_reported_and_ways_out_refused() {
        for (stored, odd) in
            [("/abs", true), ("./a", false), ("a//b", true), ("a/./b", true), ("plain", false)]
        {
            let mut bytes = archive(&[("??????????", file(""))]);
            bytes[..10].copy_from_slice(format!("{stored:\0<10}").as_bytes());
            fix(&mut bytes[..512]);
            assert_eq!(unpack(&bytes, &|_| true).unwrap().respelled.len(), usize::from(odd), "{stored}");
        }
        let mut bytes = archive(&[("????", file(""))]);
        bytes[..4].copy_from_slice(b"../a");
        fix(&mut bytes[..512]);
        assert!(matches!(unpack(&bytes, &|_| false), Err(TarError::Tree { .. })));
    }

    #[test]
    fn small_archives_cannot_ask_for_gigabytes_of_parents() {
        let members: Vec<_> = (0..80).map(|i| (format!("{i:02}{}", "/a".repeat(2000)), file(""))).collect();
        let members: Vec<_> = members.iter().map(|(path, entry)| (path.as_str(), entry.clone())).collect();
        let error = unpack(&archive(&members), &|_| true).unwrap_err().to_string();
        assert!(error.contains("implied directories"), "{error}");
    }
}
