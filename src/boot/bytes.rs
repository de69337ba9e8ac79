//! Numbers and parts of what is not trusted: nothing here reads past an end.

use std::io;

use crate::base::{Content, ContentHandle};

/// The little-endian number at `at`; `None` where the bytes end before.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

/// The little-endian number at `at`; `None` where the bytes end before.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

/// The `N` bytes at `at`; `None` where the bytes end before.
pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Overwrites the bytes at `at`; what does not fit is left out, which callers rule out beforehand.
pub(super) fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + new.len()) {
        place.copy_from_slice(new);
    }
}

/// At most `len` bytes from `offset` on; fewer where the content ends.
pub(super) fn read_up_to(content: &ContentHandle, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let left = usize::try_from(content.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(left)];
    content.read_exact_at(offset, &mut bytes)?;
    Ok(bytes)
}

/// The next multiple of `to`, a power of two, that is not below `number`.
pub(super) fn round_up(number: u64, to: u64) -> u64 {
    number.div_ceil(to).saturating_mul(to)
}

/// `len` bytes of `content` from `offset` on; an `UnexpectedEof` error where it ends before.
pub(super) fn part(content: &Content, offset: u64, len: u64) -> io::Result<Content> {
    content.slice(offset, len).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
