//! Members onto a file tree, by the rules of every reader here: paths are normal or refused, nothing
//! lies below a symlink, what comes later replaces what was there.

use std::collections::HashMap;
use std::io::{self, Read};

use super::error::ReadError;
use super::segments::{Inode, Member, MemberKind, walk};
use crate::archive::linked::LinkedTree;
use crate::archive::tree::{Entry, Kind, Tree, normalise};
use crate::base::Content;

/// Reads the wanted paths of an initramfs into a tree, all its segments one over the other. Contents of
/// plain segments stay where they are; `sink` keeps those of compressed ones.
pub fn read_tree(
    content: &Content,
    wanted: &dyn Fn(&str) -> bool,
    sink: &mut dyn FnMut(&mut dyn Read, u64) -> io::Result<Content>,
) -> Result<Tree, ReadError> {
    let mut tree = LinkedTree::default();
    // The names of each file that has several, by archive and inode.
    let mut groups: HashMap<(u64, Inode), Vec<String>> = HashMap::new();
    walk(content, &mut |member: &Member, reader: &mut dyn Read| {
        let lost = |source| ReadError::Tree { member: member.printable(), place: member.place, source };
        let path =
            std::str::from_utf8(&member.name).map_err(|_| member.error("has a name that is not UTF-8"))?;
        let path = normalise(path).map_err(lost)?;
        if path.is_empty() || !wanted(&path) {
            return Ok(());
        }
        let mut entry = entry(member)?;
        let kept = match &member.content {
            _ if member.size == 0 => Ok(Content::memory([])),
            Some(content) => Ok(content.clone()),
            None => sink(reader, member.size),
        };
        if member.kind == MemberKind::File {
            let kept = kept.map_err(|source| ReadError::Content {
                member: member.printable(),
                place: member.place,
                source,
            })?;
            entry.kind = Kind::File(kept);
        }
        if member.kind != MemberKind::File || member.nlink < 2 {
            return tree.put(&path, entry).map(drop).map_err(lost);
        }
        let group = groups.entry((member.archive, member.inode)).or_default();
        group.retain(|name| *name != path && tree.tree().get(name).is_some());
        match group.first() {
            Some(first) if member.size == 0 => {
                tree.remove(&path);
                tree.link(&path, first).map_err(lost)?;
            }
            // The bytes come with this name: all names have them from now on.
            _ => {
                tree.put(&path, entry).map_err(lost)?;
                for name in &*group {
                    tree.remove(name);
                    tree.link(name, &path).map_err(lost)?;
                }
            }
        }
        group.push(path);
        Ok(())
    })?;
    Ok(tree.finish())
}

/// The entry of a member, without its content.
fn entry(member: &Member) -> Result<Entry, ReadError> {
    let kind = match &member.kind {
        MemberKind::Directory => Kind::Directory,
        MemberKind::File => Kind::File(Content::memory([])),
        MemberKind::Symlink(target) => match std::str::from_utf8(target) {
            Ok(target) => Kind::Symlink(target.to_owned()),
            Err(_) => return Err(member.error("has a target that is not UTF-8")),
        },
        MemberKind::CharDevice { major, minor } => Kind::CharDevice { major: *major, minor: *minor },
        MemberKind::BlockDevice { major, minor } => Kind::BlockDevice { major: *major, minor: *minor },
        MemberKind::Fifo => Kind::Fifo,
    };
    Ok(Entry {
        uid: u64::from(member.uid),
        gid: u64::from(member.gid),
        mtime: i64::from(member.mtime),
        ..Entry::new(member.mode, kind)
    })
}
