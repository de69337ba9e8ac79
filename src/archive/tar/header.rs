//! The 512-byte header block, read strictly.
//!
//! POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format". Ranges below
//! are offsets in the block, so that slicing one cannot fail.

use std::ops::Range;

use super::sparse::Extents;

/// The unit of everything in an archive.
pub(super) const BLOCK: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
/// star's prefix is shorter: times follow it.
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_TRAILER: Range<usize> = 508..512;
const GNU_SPARSE: Range<usize> = 386..482;
const GNU_EXTENDED: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;

/// Who wrote a header, as far as its fields differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// One header block with a correct checksum.
pub(super) struct Header {
    block: [u8; BLOCK],
}

impl Header {
    /// Checks the checksum. Sums of signed bytes are accepted as GNU tar and Go do: old Sun and HP
    /// tars wrote them.
    pub(super) fn new(block: [u8; BLOCK]) -> Result<Self, String> {
        let stored = number(&block[CHECKSUM]).ok_or("its checksum is no octal number")?;
        let summed = |byte: fn(u8) -> i64| -> i64 {
            let sum: i64 = block.iter().map(|&b| byte(b)).sum();
            let own: i64 = block[CHECKSUM].iter().map(|&b| byte(b)).sum();
            sum - own + 8 * i64::from(b' ')
        };
        let unsigned = summed(i64::from);
        if stored != unsigned && stored != summed(|b| i64::from(b.cast_signed())) {
            return Err(format!("its checksum is {stored:o}, its bytes give {unsigned:o}"));
        }
        Ok(Self { block })
    }

    fn format(&self) -> Format {
        match &self.block[MAGIC] {
            b"ustar  \0" => Format::Gnu,
            [b'u', b's', b't', b'a', b'r', 0, ..] if &self.block[STAR_TRAILER] == b"tar\0" => Format::Star,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Format::Ustar,
            _ => Format::V7,
        }
    }

    /// The type flag.
    pub(super) fn flag(&self) -> u8 {
        self.block[TYPE]
    }

    /// The name, the prefix joined to it.
    pub(super) fn name(&self) -> Vec<u8> {
        let prefix = match self.format() {
            Format::Ustar => text(&self.block[PREFIX]),
            Format::Star => text(&self.block[STAR_PREFIX]),
            Format::Gnu | Format::V7 => &[],
        };
        let mut name = prefix.to_vec();
        if !name.is_empty() {
            name.push(b'/');
        }
        name.extend_from_slice(text(&self.block[NAME]));
        name
    }

    /// The link's target.
    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.block[LINK]).to_vec()
    }

    /// The mode: permission bits only, whatever file type old tars put beside them.
    pub(super) fn mode(&self) -> Option<u32> {
        number(&self.block[MODE]).and_then(|mode| u32::try_from(mode & 0o7777).ok())
    }

    /// The owner.
    pub(super) fn uid(&self) -> Option<u64> {
        number(&self.block[UID]).and_then(|uid| u64::try_from(uid).ok())
    }

    /// The group.
    pub(super) fn gid(&self) -> Option<u64> {
        number(&self.block[GID]).and_then(|gid| u64::try_from(gid).ok())
    }

    /// Size of what follows, in bytes.
    pub(super) fn size(&self) -> Option<u64> {
        number(&self.block[SIZE]).and_then(|size| u64::try_from(size).ok())
    }

    /// Modification time.
    pub(super) fn mtime(&self) -> Option<i64> {
        number(&self.block[MTIME])
    }

    /// Major and minor number of a device; V7 headers have none.
    pub(super) fn device(&self) -> Option<(u32, u32)> {
        if self.format() == Format::V7 {
            return Some((0, 0));
        }
        let part = |field: Range<usize>| number(&self.block[field]).and_then(|n| u32::try_from(n).ok());
        Some((part(MAJOR)?, part(MINOR)?))
    }

    /// An old GNU sparse header's four extents, whether more blocks follow, and the real size.
    pub(super) fn gnu_sparse(&self) -> Option<(Extents, bool, u64)> {
        if self.format() != Format::Gnu {
            return None;
        }
        let size = number(&self.block[GNU_REAL_SIZE]).and_then(|size| u64::try_from(size).ok())?;
        Some((extents(&self.block[GNU_SPARSE])?, self.block[GNU_EXTENDED] != 0, size))
    }
}

/// The extents of a block that continues an old GNU sparse header, and whether another follows.
pub(super) fn more_extents(block: &[u8; BLOCK]) -> Option<(Extents, bool)> {
    Some((extents(&block[..504])?, block[504] != 0))
}

/// Pairs of 12-byte numbers; the first empty one ends them.
fn extents(bytes: &[u8]) -> Option<Extents> {
    let mut extents = Vec::new();
    for pair in bytes.chunks_exact(24).take_while(|pair| pair[0] != 0) {
        let (offset, len) = pair.split_at(12);
        extents.push((u64::try_from(number(offset)?).ok()?, u64::try_from(number(len)?).ok()?));
    }
    Some(extents)
}

/// The bytes before the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A numeric field: octal digits between spaces and NULs, empty meaning 0 (as Go reads, for
/// headers that leave fields out), or base-256 as GNU tar and star write what does not fit.
/// Anything else is `None`.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    if let Some((&first, rest)) = field.split_first()
        && first & 0x80 != 0
    {
        // Two's complement, big-endian; the top bit is the mark, the one below it the sign.
        let start = if first & 0x40 != 0 { i64::from(first & 0x7f) - 0x80 } else { i64::from(first & 0x7f) };
        return rest
            .iter()
            .try_fold(start, |value, &byte| value.checked_mul(256)?.checked_add(i64::from(byte)));
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let from = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let digits = field.get(from..)?;
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    if !digits.iter().skip(end).all(blank) {
        return None;
    }
    digits.iter().take(end).try_fold(0_i64, |value, &byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256_and_nothing_else() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"77777777", Some(0o77777777)),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\x80\0\0\0\0\0\0\0", None),
            (b"12\x0034", None),
            (b"648\0", None),
            (b"-1\0", None),
            (b"0x1\0", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }
}
