//! The members of a plain archive on disk, each where its bytes lie: how archives of images are read
//! without unpacking them.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use super::error::TarError;
use super::read::{MemberKind, Reader};
use crate::archive::tree::{normalise, resolve_symlink};
use crate::base::Content;

/// How many links one after another are followed; docker's archives have one at the most.
const LINKS: usize = 8;

/// Lists the regular files of the archive at `path` by their normal paths. Links to files, which
/// older Dockers write for layers that two images share, stand for what they lead to. Of two members with
/// the same path the later counts, as for every reader of tar.
pub fn index_file(path: &Path) -> Result<HashMap<String, Content>, TarError> {
    let read = |source| TarError::Read { offset: 0, source };
    let mut reader = Reader::seekable(File::open(path).map_err(read)?).map_err(read)?;
    let mut files = HashMap::new();
    let mut links: HashMap<String, String> = HashMap::new();
    while let Some(member) = reader.next_member()? {
        let Ok(stored) = std::str::from_utf8(&member.path) else { continue };
        let Ok(name) = normalise(stored) else {
            return Err(member.error("has a path that climbs out of the archive"));
        };
        let target = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match &member.kind {
            MemberKind::File if !member.sparse => {
                links.remove(&name);
                files.insert(name, Content::range(path, member.data, member.size));
            }
            MemberKind::Symlink(to) => {
                files.remove(&name);
                links.extend(resolve_symlink(&name, &target(to)).map(|to| (name, to)));
            }
            MemberKind::HardLink(to) => {
                files.remove(&name);
                links.extend(normalise(&target(to)).ok().map(|to| (name, to)));
            }
            _ => {}
        }
    }
    let resolved = links.iter().filter_map(|(name, to)| {
        let mut to = to;
        for _ in 0..LINKS {
            match files.get(to) {
                Some(content) => return Some((name.clone(), content.clone())),
                None => to = links.get(to)?,
            }
        }
        None
    });
    let resolved: Vec<(String, Content)> = resolved.collect();
    files.extend(resolved);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tar::Writer;
    use crate::archive::tree::Entry;

    #[test]
    fn members_are_read_in_place_and_links_stand_for_their_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive.tar");
        let mut writer = Writer::new(File::create(&path).unwrap(), None);
        writer.append("a/layer.tar", &Entry::file(0o644, Content::memory(&b"layer"[..]))).unwrap();
        writer.append("b/layer.tar", &Entry::symlink("../a/layer.tar")).unwrap();
        writer.append("c/layer.tar", &Entry::symlink("../../outside")).unwrap();
        writer.append("d", &Entry::symlink("d")).unwrap();
        writer.finish().unwrap();
        let files = index_file(&path).unwrap();
        assert_eq!(files["a/layer.tar"].read(9).unwrap(), b"layer");
        assert_eq!(files["b/layer.tar"].read(9).unwrap(), b"layer");
        assert_eq!(files.len(), 2);
    }
}
