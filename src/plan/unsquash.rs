//! A squashfs image taken apart into a folder.
//!
//! Everything goes into a new folder beside the wanted one, which is renamed when it is whole. In it
//! nothing can lie below a link: a path's parents are directories of the image itself, and no name
//! stands twice. So no link, wherever it leads, is ever followed.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat, utimensat,
};

use super::error::{Error, Problem};
use super::run::Context;
use super::squashfs::{open, total};
use crate::archive::squashfs::{Node, ReadError};
use crate::archive::tree::Kind;
use crate::base::fsio::{self, At as _, FileError};

/// What was taken out, and what the system did not allow.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Extracted {
    /// Entries.
    pub entries: usize,
    /// Whether owners are those of the image: only root may give files away.
    pub owners: bool,
    /// Devices that were left out: only root may make them.
    pub devices: Vec<String>,
    /// Attributes that were left out.
    pub xattrs: usize,
}

/// Takes what is at and below `wanted` into `folder`, which is not there or empty.
pub fn extract(context: &Context, file: &Path, folder: &Path, wanted: &str) -> Result<Extracted, Error> {
    let (image, nodes) = open(file, wanted)?;
    let taken = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if taken || (folder.exists() && !folder.is_dir()) {
        return Err(Problem::new(format!("`{}` is there already and not an empty folder", folder.display()))
            .hint("choose another name; nothing was changed")
            .into());
    }
    let above = fsio::parent(folder);
    fsio::create_dir(above)?;
    let draft =
        tempfile::Builder::new().prefix(".talosmith-").tempdir_in(above).at("create a folder in", above)?;
    let progress = context.events.begin("extract", file.display().to_string(), Some(total(&nodes)));
    let mut target = Target { root: draft.path().to_owned(), done: Extracted::default() };
    target.done.owners = target.may_own();
    let walked = image.walk(&nodes, &context.workers, &mut |node, reader| {
        target.make(node, reader)?;
        progress.advance(node.size().unwrap_or(0));
        Ok::<(), Stopped>(())
    });
    let stopped = |stopped| match stopped {
        Stopped::Read(source) => Error::Squashfs { file: file.to_owned(), source },
        Stopped::File(error) => {
            Error::Output { target: folder.display().to_string(), source: Box::new(error.into()) }
        }
    };
    walked.map_err(stopped)?;
    // What is below a folder changes its time, and a folder without `w` takes nothing more.
    for node in nodes.iter().rev().filter(|node| node.entry.is_directory()) {
        target.attributes(node).map_err(|error| stopped(error.into()))?;
    }
    finish(draft, folder).map_err(|error| stopped(error.into()))?;
    progress.finish(format!("{} entries", nodes.len()));
    target.done.entries = nodes.len();
    Ok(target.done)
}

fn finish(draft: tempfile::TempDir, folder: &Path) -> Result<(), FileError> {
    fs::set_permissions(draft.path(), Permissions::from_mode(0o755)).at("change", draft.path())?;
    // An empty folder is replaced by a rename; one that has filled meanwhile is not.
    fs::rename(draft.path(), folder).at("create", folder)?;
    let _ = draft.keep(); // it has another name now
    Ok(())
}

enum Stopped {
    Read(ReadError),
    File(FileError),
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<FileError> for Stopped {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

struct Target {
    root: PathBuf,
    done: Extracted,
}

impl Target {
    /// Whether files may be given away here.
    fn may_own(&self) -> bool {
        lchown(&self.root, Some(1), Some(1)).and_then(|()| lchown(&self.root, Some(0), Some(0))).is_ok()
    }

    fn make(&mut self, node: &Node, reader: &mut dyn Read) -> Result<(), FileError> {
        let path = self.root.join(&node.path);
        if let Some(above) = path.parent().filter(|above| !above.exists()) {
            fsio::create_dir(above)?; // of a subtree, what lies above it
        }
        match &node.entry.kind {
            Kind::Directory => return fs::create_dir(&path).at("create", &path),
            Kind::File(_) => {
                let mut file = File::create_new(&path).at("create", &path)?;
                io::copy(reader, &mut file).at("write", &path)?;
            }
            Kind::Symlink(target) => symlink(target, &path).at("create", &path)?,
            Kind::HardLink(target) => {
                // The first name is on this list, and a file.
                return fs::hard_link(self.root.join(target), &path).at("create", &path);
            }
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {
                if !self.special(node, &path)? {
                    return Ok(());
                }
            }
        }
        self.attributes(node)
    }

    /// A device or fifo; whether it was made.
    fn special(&mut self, node: &Node, path: &Path) -> Result<bool, FileError> {
        let (kind, device) = match node.entry.kind {
            Kind::CharDevice { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
            Kind::BlockDevice { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
            _ => (FileType::Fifo, 0),
        };
        match mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::PERM) => {
                self.done.devices.push(node.path.clone());
                Ok(false)
            }
            Err(error) => Err(error.into()).at("create", path),
        }
    }

    /// Owner, mode, attributes, time: in this order, because each may change what the next sets.
    fn attributes(&mut self, node: &Node) -> Result<(), FileError> {
        let (entry, path) = (&node.entry, self.root.join(&node.path));
        if self.done.owners {
            // Ids of an image have 32 bits.
            let (uid, gid) = (u32::try_from(entry.uid).ok(), u32::try_from(entry.gid).ok());
            lchown(&path, uid, gid).at("change the owner of", &path)?;
        }
        let link = matches!(entry.kind, Kind::Symlink(_));
        if !link {
            fs::set_permissions(&path, Permissions::from_mode(entry.mode)).at("change", &path)?;
        }
        for (name, value) in &entry.xattrs {
            if lsetxattr(&path, name.as_str(), value, XattrFlags::empty()).is_err() {
                self.done.xattrs += 1;
            }
        }
        let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Into::into).at("change", &path)
    }
}
