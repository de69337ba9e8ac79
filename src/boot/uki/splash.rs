//! Whether a picture is one that systemd's stub shows: an uncompressed Windows bitmap
//! (systemd: src/boot/splash.c, `bmp_parse_header`).

use std::io;

use crate::base::Content;
use crate::boot::bytes::{read_up_to, u16_at, u32_at};

/// `BITMAPFILEHEADER` and `BITMAPINFOHEADER`, the least that there is.
const HEADERS_LEN: usize = 54;

/// A file is no picture that can be shown.
#[derive(Debug, thiserror::Error)]
pub enum SplashError {
    /// Another format, or damaged.
    #[error("it is no Windows bitmap (BMP): {0}")]
    NotABitmap(&'static str),
    /// A bitmap of a kind that the stub does not show.
    #[error("a bitmap with {depth} bits a pixel and compression {compression} is not shown by the stub")]
    Kind {
        /// Bits a pixel.
        depth: u16,
        /// `biCompression`; 0 is none.
        compression: u32,
    },
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// Checks the headers of a bitmap, and that its pixels lie within the file.
pub fn check(picture: &Content) -> Result<(), SplashError> {
    let head = read_up_to(&picture.handle()?, 0, HEADERS_LEN)?;
    if !head.starts_with(b"BM") {
        return Err(SplashError::NotABitmap("it does not begin with `BM`"));
    }
    let truncated = || SplashError::NotABitmap("it ends within its headers");
    let number = |at| u32_at(&head, at).ok_or_else(truncated);
    let short = |at| u16_at(&head, at).ok_or_else(truncated);
    let (size, pixels, header, compression) = (number(2)?, number(10)?, number(14)?, number(30)?);
    let (width, height, depth) = (number(18)?, number(22)?, short(28)?);
    if u64::from(size) != picture.len() {
        return Err(SplashError::NotABitmap("its header tells another size"));
    }
    if header < 40 || u64::from(pixels) < 14 + u64::from(header) || width == 0 || height == 0 {
        return Err(SplashError::NotABitmap("its headers contradict each other"));
    }
    match (compression, depth) {
        (0, 1 | 4 | 8 | 24) | (0 | 3, 16 | 32) => {}
        _ => return Err(SplashError::Kind { depth, compression }),
    }
    let row = (u64::from(width) * u64::from(depth)).div_ceil(32) * 4; // rows are whole words
    // A negative height, which means rows from above, is not known to the stub, and far too large here.
    let end = row.checked_mul(height.into()).and_then(|len| len.checked_add(pixels.into()));
    if end.is_none_or(|end| end > picture.len()) {
        return Err(SplashError::NotABitmap("its pixels reach behind its end"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bitmap of 3 × 2 pixels with 24 bits each.
    fn bitmap() -> Vec<u8> {
        let mut bytes = vec![0; 54 + 2 * 12];
        bytes[..2].copy_from_slice(b"BM");
        let len = bytes.len() as u32;
        for (at, value) in [(2, len), (10, 54), (14, 40), (18, 3), (22, 2), (26, 24 << 16 | 1)] {
            bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        }
        bytes
    }

    #[test]
    fn a_bitmap_passes_and_what_the_stub_would_not_show_does_not() {
        let check = |bytes: Vec<u8>| super::check(&Content::memory(bytes));
        check(bitmap()).unwrap();
        assert!(check(b"\x89PNG\r\n\x1a\n".to_vec()).unwrap_err().to_string().contains("`BM`"));
        for (at, value) in
            [(2, 1), (10, 40), (14, 12), (18, 0), (18, 5), (22, 3), (22, 0xff), (28, 7), (30, 1)]
        {
            let mut bytes = bitmap();
            bytes[at] = value;
            assert!(check(bytes).is_err(), "{value} at {at}");
        }
        for len in 0..bitmap().len() {
            assert!(check(bitmap()[..len].to_vec()).is_err(), "{len}");
        }
    }
}
