//! Whether what was written is what was planned. The kernel goes on with what it could unpack, so a
//! damaged initramfs boots, and an extension is absent: it is read back before it is called done.

use std::io::{self, Read};

use super::compose::{Initramfs, PlannedMember};
use crate::archive::cpio::{Member, MemberKind, ReadError, walk};
use crate::base::{Content, Digest};

/// What was written is not what was planned.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read as a kernel reads it.
    #[error("the initramfs that was written cannot be read")]
    Read(#[from] ReadError),
    /// The bytes cannot be read.
    #[error("cannot read the initramfs that was written")]
    Bytes(#[source] io::Error),
    /// Another length.
    #[error("the initramfs that was written has {found} bytes instead of {planned}")]
    Length {
        /// What was planned.
        planned: u64,
        /// What is there.
        found: u64,
    },
    /// The base is not what it was.
    #[error("the base's part of the initramfs that was written is not the base's initramfs")]
    Base,
    /// Another number of segments.
    #[error("the initramfs that was written has {found} segments where {planned} were planned")]
    Segments {
        /// What was planned.
        planned: usize,
        /// What is there.
        found: usize,
    },
    /// A member that is missing, too much, or another.
    #[error("`{path}` in the initramfs that was written is not what was planned: {why}")]
    Member {
        /// The member.
        path: String,
        /// What is different.
        why: String,
    },
}

/// Reads `written` and compares it with the plan: the order and the names of all segments and members,
/// kinds, modes, sizes, links, and digests where they are known. The base's archives are not unpacked
/// again; its bytes are compared by their digest, if the plan has it.
pub fn verify(written: &Content, planned: &Initramfs) -> Result<(), VerifyError> {
    let length = |found| VerifyError::Length { planned: planned.content.len(), found };
    if written.len() != planned.content.len() {
        return Err(length(written.len()));
    }
    let base_end = planned.base_offset.saturating_add(planned.base_len);
    let slice = |from: u64, to: u64| {
        written.slice(from, to.saturating_sub(from)).ok_or_else(|| length(written.len()))
    };
    let microcode: Vec<&[PlannedMember]> =
        if planned.before.is_empty() { Vec::new() } else { vec![&planned.before] };
    segments(&slice(0, planned.base_offset)?, &microcode)?;
    if let Some(digest) = planned.base_digest
        && slice(planned.base_offset, base_end)?.digest().map_err(VerifyError::Bytes)? != digest
    {
        return Err(VerifyError::Base);
    }
    let behind: Vec<&[PlannedMember]> = planned.behind.iter().map(Vec::as_slice).collect();
    segments(&slice(base_end, written.len())?, &behind)
}

/// Compares segments with what they should be.
fn segments(content: &Content, planned: &[&[PlannedMember]]) -> Result<(), VerifyError> {
    // How many members of each segment were seen.
    let mut seen = vec![0usize; planned.len()];
    let found = walk(content, &mut |member: &Member, reader: &mut dyn Read| {
        let at = seen.get_mut(member.segment);
        let expected = at.as_ref().and_then(|at| planned.get(member.segment)?.get(**at));
        let differs = |why: String| VerifyError::Member { path: member.printable(), why };
        let Some(expected) = expected else { return Err(differs("nothing was planned there".to_owned())) };
        compare(member, reader, expected)?.map_or(Ok(()), |why| Err(differs(why)))?;
        if let Some(at) = at {
            *at += 1;
        }
        Ok(())
    })?;
    if found.len() != planned.len() {
        return Err(VerifyError::Segments { planned: planned.len(), found: found.len() });
    }
    for (seen, planned) in seen.iter().zip(planned) {
        if let Some(member) = planned.get(*seen) {
            return Err(VerifyError::Member { path: member.path.clone(), why: "it is missing".to_owned() });
        }
    }
    Ok(())
}

/// What differs, if anything does.
fn compare(
    member: &Member,
    reader: &mut dyn Read,
    planned: &PlannedMember,
) -> Result<Option<String>, VerifyError> {
    let kind = match &member.kind {
        MemberKind::Directory => "directory",
        MemberKind::File => "file",
        MemberKind::Symlink(_) => "symlink",
        MemberKind::CharDevice { .. } => "character device",
        MemberKind::BlockDevice { .. } => "block device",
        MemberKind::Fifo => "fifo",
    };
    if member.name != planned.path.as_bytes() {
        return Ok(Some(format!("`{}` should be there", planned.path)));
    }
    if (kind, member.mode) != (planned.kind, planned.mode) {
        return Ok(Some(format!(
            "a {kind} {:o} instead of a {} {:o}",
            member.mode, planned.kind, planned.mode
        )));
    }
    if let MemberKind::Symlink(target) = &member.kind
        && planned.target.as_ref().is_none_or(|planned| planned.as_bytes() != target)
    {
        return Ok(Some("it leads elsewhere".to_owned()));
    }
    // Of a file with several names only the last one carries the bytes.
    if member.size != planned.size && (member.nlink < 2 || member.size > 0) {
        return Ok(Some(format!("{} bytes instead of {}", member.size, planned.size)));
    }
    if let Some(digest) = planned.digest {
        let (found, _) = Digest::of_reader(reader).map_err(VerifyError::Bytes)?;
        if found != digest {
            return Ok(Some(format!("its digest is {found} instead of {digest}")));
        }
    }
    Ok(None)
}
