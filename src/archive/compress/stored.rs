//! Compressed streams of what is compressed already: one frame that holds the bytes as they are, so that
//! it is planned without copying one of them. Another pass over a squashfs image would cost seconds and
//! gain nothing in a thousand.

use std::io::{self, Read};

use crate::base::Content;

/// The most that a zstd block holds (RFC 8878, 3.1.1.2.4), and the smallest window that allows it.
const ZSTD_BLOCK: u64 = 128 << 10;
/// The most that a stored block of deflate holds.
const DEFLATE_BLOCK: u64 = 0xffff;
/// The most that an uncompressed chunk of LZMA2 holds.
const LZMA2_CHUNK: u64 = 64 << 10;

/// One zstd frame (RFC 8878) of raw blocks: no content size, no checksum, a window of 128 KiB.
pub fn stored_zstd(content: &Content) -> Content {
    // Magic number, frame header descriptor without any flag, window descriptor of exponent 17 - 10.
    let mut parts = vec![Content::memory([0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3])];
    raw_blocks(content, &mut parts);
    Content::joined(parts)
}

/// Adds raw blocks of `content`, the last of which ends the frame.
pub(super) fn raw_blocks(content: &Content, parts: &mut Vec<Content>) {
    let mut done = 0;
    loop {
        let count = (content.len() - done).min(ZSTD_BLOCK);
        let last = done + count == content.len();
        // Last-block flag, type 0 (raw), size: three bytes, little-endian.
        let header = (count as u32) << 3 | u32::from(last);
        let [low, middle, high, _] = header.to_le_bytes();
        parts.push(Content::memory([low, middle, high]));
        parts.extend(content.slice(done, count)); // always there: `done + count` is at most the length
        done += count;
        if last {
            return;
        }
    }
}

/// One gzip member (RFC 1952) of stored blocks: no name, no time. The content is read once, for its check.
pub fn stored_gzip(content: &Content) -> io::Result<Content> {
    // Deflate, no flags, no time, no extra flags, an unknown system.
    let mut parts = vec![Content::memory([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])];
    let mut done = 0;
    loop {
        let count = (content.len() - done).min(DEFLATE_BLOCK);
        let last = done + count == content.len();
        // Last-block flag and type 0 in a byte of its own, the size and its complement (RFC 1951, 3.2.4).
        let size = count as u16; // DEFLATE_BLOCK at most
        let ([low, high], [not_low, not_high]) = (size.to_le_bytes(), (!size).to_le_bytes());
        parts.push(Content::memory([u8::from(last), low, high, not_low, not_high]));
        parts.extend(content.slice(done, count)); // see above
        done += count;
        if last {
            break;
        }
    }
    let mut tail = crc32_of(content)?.to_le_bytes().to_vec();
    tail.extend((content.len() as u32).to_le_bytes()); // modulo 2³²
    parts.push(Content::memory(tail));
    Ok(Content::joined(parts))
}

/// One .xz stream with one block of uncompressed LZMA2 chunks and CRC-32, the check that kernels know.
/// The content is read once, for that check.
pub fn stored_xz(content: &Content) -> io::Result<Content> {
    // Stream flags: a zero byte, and check 1.
    let flags = [0x00, 0x01];
    let mut head = vec![0xfd, b'7', b'z', b'X', b'Z', 0x00];
    head.extend(flags);
    head.extend(crc32(&flags));
    // Block header of 12 bytes: one filter, no sizes; LZMA2 with the dictionary of a chunk (property 8).
    let block = [0x02, 0x00, 0x21, 0x01, 8, 0x00, 0x00, 0x00];
    head.extend(block);
    head.extend(crc32(&block));
    let mut parts = vec![Content::memory(head)];
    let (mut done, mut packed) = (0, 12);
    while done < content.len() {
        let count = (content.len() - done).min(LZMA2_CHUNK);
        // 1: uncompressed, dictionary reset; 2: uncompressed. Then the size less one, big-endian.
        let control = if done == 0 { 1 } else { 2 };
        let [high, low] = ((count - 1) as u16).to_be_bytes();
        parts.push(Content::memory([control, high, low]));
        parts.extend(content.slice(done, count)); // see above
        done += count;
        packed += 3 + count;
    }
    let mut tail = vec![0x00]; // the end of LZMA2
    packed += 1;
    pad(&mut tail, packed);
    tail.extend(crc32_of(content)?.to_le_bytes());
    packed += 4; // the unpadded size: header, data, check
    let mut index = vec![0x00];
    for number in [1, packed, content.len()] {
        variable(number, &mut index);
    }
    let length = index.len() as u64;
    pad(&mut index, length);
    index.extend(crc32(&index));
    // Its length in units of four bytes, less one; a few bytes.
    let mut footer = ((index.len() / 4 - 1) as u32).to_le_bytes().to_vec();
    footer.extend(flags);
    tail.extend(&index);
    tail.extend(crc32(&footer));
    tail.extend(footer);
    tail.extend(b"YZ");
    parts.push(Content::memory(tail));
    Ok(Content::joined(parts))
}

/// NUL bytes to the next multiple of four of what is `length` bytes long so far.
fn pad(bytes: &mut Vec<u8>, length: u64) {
    let missing = (length.next_multiple_of(4) - length) as usize; // below four
    bytes.resize(bytes.len() + missing, 0);
}

/// Seven bits a byte, the lowest first.
fn variable(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80); // the lowest seven bits, and more follow
        number >>= 7;
    }
    out.push(number as u8);
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn crc32_of(content: &Content) -> io::Result<u32> {
    let mut reader = content.open()?;
    let mut crc = flate2::Crc::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(crc.sum()),
            Ok(got) => crc.update(&buffer[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::compress::{Codec, OneStream};

    fn unpacked(codec: Codec, packed: &Content) -> Vec<u8> {
        let mut stream = OneStream::new(codec, packed.open().unwrap()).unwrap();
        let mut out = Vec::new();
        stream.read_to_end(&mut out).unwrap();
        assert_eq!(stream.taken(), packed.len(), "{codec}");
        out
    }

    #[test]
    fn what_is_stored_reads_back_at_every_length_and_costs_a_thousandth() {
        for length in [0, 1, 3, 65_535, 65_536, 65_537, 131_070, 131_072, 131_073, 262_144, 400_000] {
            let bytes: Vec<u8> = (0..length).map(|n: u32| (n.wrapping_mul(n) >> 3) as u8).collect();
            let content = Content::memory(bytes.clone());
            let (zstd, xz) = (stored_zstd(&content), stored_xz(&content).unwrap());
            assert!(unpacked(Codec::Zstd, &zstd) == bytes && unpacked(Codec::Xz, &xz) == bytes, "{length}");
            let gzip = stored_gzip(&content).unwrap();
            assert!(unpacked(Codec::Gzip, &gzip) == bytes, "{length}");
            assert!(
                zstd.len().max(xz.len()).max(gzip.len()) <= content.len() + content.len() / 1000 + 100,
                "{length}"
            );
        }
    }

    #[test]
    fn the_bytes_of_a_file_stay_where_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 300_000]).unwrap();
        let Content::Joined(parts) = stored_zstd(&Content::file(file.path(), 300_000)) else { panic!() };
        let in_file: u64 =
            parts.parts().filter(|part| matches!(part, Content::Range { .. })).map(Content::len).sum();
        assert_eq!(in_file, 300_000);
    }
}
