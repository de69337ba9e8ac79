//! Extended attributes: sets are stored once, and long values that come again are pointed at.
//!
//! The kernel knows the prefixes `user.`, `trusted.` and `security.` (`fs/squashfs/xattr.c`).

use std::collections::{BTreeMap, HashMap};

use super::codec::Compressor;
use super::error::WriteError;
use super::format::{NO_TABLE, NONE, XATTR_ELSEWHERE, XATTR_MAX, XATTR_PREFIXES};
use super::metadata::{Metadata, Position, indexed};

/// Values up to here are repeated: a pointer would take as much.
const REPEATED: usize = 8;

/// The attributes of an image in the making.
pub(super) struct Xattrs<'c> {
    values: Metadata<'c>,
    sets: HashMap<&'c BTreeMap<String, Vec<u8>>, u32>,
    known: HashMap<&'c [u8], Position>,
    rows: Vec<u8>,
}

impl<'c> Xattrs<'c> {
    pub(super) fn new(compressor: &'c mut Compressor) -> Self {
        Self {
            values: Metadata::new(compressor),
            sets: HashMap::new(),
            known: HashMap::new(),
            rows: Vec::new(),
        }
    }

    /// The number of a set; [`NONE`] for the empty one.
    pub(super) fn add(&mut self, path: &str, set: &'c BTreeMap<String, Vec<u8>>) -> Result<u32, WriteError> {
        if set.is_empty() {
            return Ok(NONE);
        }
        if let Some(number) = self.sets.get(set) {
            return Ok(*number);
        }
        let start = self.values.position();
        let mut size = 0u32;
        for (name, value) in set {
            let len = self.pair(name, value).map_err(|why| match why {
                Why::Refused(why) => WriteError::refused(path, format!("its attribute `{name}` {why}")),
                Why::Failed(error) => error,
            })?;
            size = size.saturating_add(len);
        }
        let number = self.sets.len() as u32;
        if number >= NONE - 1 {
            return Err(WriteError::Limit("it has more sets of attributes than can be counted"));
        }
        let count = set.len() as u32; // a set of 4 billion names does not fit into memory
        self.rows.extend_from_slice(&start.reference().to_le_bytes());
        self.rows.extend_from_slice(&count.to_le_bytes());
        self.rows.extend_from_slice(&size.to_le_bytes());
        self.sets.insert(set, number);
        Ok(number)
    }

    /// Writes one attribute; gives its bytes.
    fn pair(&mut self, name: &str, value: &'c [u8]) -> Result<u32, Why> {
        let prefix = XATTR_PREFIXES.iter().position(|prefix| name.starts_with(prefix));
        let prefix = prefix.ok_or(Why::Refused("is neither `user.` nor `trusted.` nor `security.`"))?;
        let rest = name.split_once('.').map_or("", |(_, rest)| rest);
        if rest.is_empty() || name.len() > super::format::NAME_MAX || name.contains('\0') {
            return Err(Why::Refused(
                "has a name that is empty, longer than 255 bytes or contains a NUL byte",
            ));
        }
        if value.len() > XATTR_MAX {
            return Err(Why::Refused("is longer than 65536 bytes"));
        }
        let known = self.known.get(value).copied().filter(|_| value.len() > REPEATED);
        let kind = prefix as u16 | if known.is_some() { XATTR_ELSEWHERE } else { 0 };
        let mut head = Vec::with_capacity(8 + rest.len());
        head.extend_from_slice(&kind.to_le_bytes());
        head.extend_from_slice(&(rest.len() as u16).to_le_bytes()); // at most 255
        head.extend_from_slice(rest.as_bytes());
        self.values.append(&head)?;
        let mut body = Vec::new();
        match known {
            Some(position) => {
                body.extend_from_slice(&8u32.to_le_bytes());
                body.extend_from_slice(&position.reference().to_le_bytes());
            }
            None => {
                self.known.insert(value, self.values.position());
                body.extend_from_slice(&(value.len() as u32).to_le_bytes());
                body.extend_from_slice(value);
            }
        }
        self.values.append(&body)?;
        Ok((head.len() + body.len()) as u32) // below 66 KiB
    }

    /// What is written of the attributes.
    pub(super) fn finish(self) -> Result<Finished, WriteError> {
        let (values, _) = self.values.finish()?;
        Ok(Finished { values, rows: self.rows })
    }
}

enum Why {
    Refused(&'static str),
    Failed(WriteError),
}

impl From<WriteError> for Why {
    fn from(error: WriteError) -> Self {
        Self::Failed(error)
    }
}

/// All attributes, not yet placed.
pub(super) struct Finished {
    values: Vec<u8>,
    rows: Vec<u8>,
}

impl Finished {
    /// The bytes for an image whose next byte is `at`, and where the table's head will begin.
    pub(super) fn table(self, at: u64, compressor: &mut Compressor) -> Result<(Vec<u8>, u64), WriteError> {
        if self.rows.is_empty() {
            return Ok((Vec::new(), NO_TABLE));
        }
        let count = (self.rows.len() / 16) as u32; // checked in `add`
        let mut bytes = self.values;
        let (rows, pointers) = indexed(&self.rows, at + bytes.len() as u64, compressor)?;
        let split = (pointers - at) as usize - bytes.len(); // within `rows`
        let (blocks, pointers_bytes) = rows.split_at(split);
        bytes.extend_from_slice(blocks);
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(pointers_bytes);
        Ok((bytes, pointers))
    }
}
