//! A zstd frame that goes on otherwise: the blocks at its beginning are kept as they are compressed, and what
//! follows them is stored. So a long archive of which only dense bytes at the end change is not compressed
//! again, nor does its beginning become larger than it was.

use std::io;

use zstd::stream::raw::{Decoder, Operation as _};

use super::decode::WINDOW_LOG_MAX;
use super::stored::{raw_blocks, stored_zstd};
use crate::base::{Content, ContentHandle};

/// Magic number, descriptor, window, dictionary and content size at the most (RFC 8878, 3.1.1.1).
const HEADER_MAX: usize = 18;
/// The most that a block unpacks to, and takes (3.1.1.2.4), as a power of two.
const BLOCK_LOG: u32 = 17;

/// One zstd frame of `content`, whose first `same` bytes are those that the frame `old` begins with. What
/// cannot be gone on with (a dictionary, a window that Linux refuses, another format) is stored as a whole.
pub fn continued_zstd(old: &Content, same: u64, content: &Content) -> io::Result<Content> {
    let handle = old.handle()?;
    let Some(header) = Header::read(&handle)? else { return Ok(stored_zstd(content)) };
    let (taken, unpacked) = header.whole_blocks(&handle, same.min(content.len()))?;
    let kept = old.slice(header.len, taken);
    let rest = content.len().checked_sub(unpacked).and_then(|len| content.slice(unpacked, len));
    let (Some(kept), Some(rest)) = (kept, rest) else { return Ok(stored_zstd(content)) };
    // A frame header descriptor without any flag: no content size and no checksum, which would be others.
    let window = ((header.window_log - 10) << 3) as u8; // 17 to 27
    let mut parts = vec![Content::memory([0x28, 0xb5, 0x2f, 0xfd, 0x00, window]), kept];
    raw_blocks(&rest, &mut parts);
    Ok(Content::joined(parts))
}

/// What a frame begins with.
struct Header {
    len: u64,
    /// The window, rounded up, and large enough for raw blocks.
    window_log: u32,
}

impl Header {
    fn read(handle: &ContentHandle) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; HEADER_MAX.min(usize::try_from(handle.len()).unwrap_or(HEADER_MAX))];
        handle.read_exact_at(0, &mut bytes)?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
        let (descriptor, rest) = rest.split_first()?;
        let (single, dictionary) = (descriptor & 0x20 != 0, descriptor & 3);
        if dictionary != 0 || descriptor & 0x08 != 0 {
            return None;
        }
        let size_len = match descriptor >> 6 {
            0 => usize::from(single),
            flag => 1 << flag, // 2, 4, 8
        };
        let window = if single {
            let (small, size) = (size_len == 2, rest.get(..size_len)?);
            let size = size.iter().rev().fold(0u64, |size, byte| size << 8 | u64::from(*byte));
            size + if small { 256 } else { 0 }
        } else {
            let descriptor = *rest.first()?;
            let base = 1u64 << (10 + (descriptor >> 3));
            base + base / 8 * u64::from(descriptor & 7)
        };
        let window_log = window.checked_next_power_of_two()?.trailing_zeros().max(BLOCK_LOG);
        let len = 5 + usize::from(!single) + size_len;
        (window_log <= WINDOW_LOG_MAX).then_some(Self { len: len as u64, window_log })
    }

    /// How many bytes the blocks take that unpack to at most `same` bytes together and are not the last, and
    /// how many bytes that is. How long a compressed block is unpacked only its decompression tells.
    fn whole_blocks(&self, handle: &ContentHandle, same: u64) -> io::Result<(u64, u64)> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        let mut input = vec![0; self.len as usize]; // at most HEADER_MAX
        handle.read_exact_at(0, &mut input)?;
        let mut output = vec![0; 1 << (BLOCK_LOG + 1)];
        decompress(&mut decoder, &input, &mut output)?;
        let (mut taken, mut unpacked) = (0, 0);
        loop {
            let at = self.len + taken;
            let mut head = [0; 4];
            if handle.read_exact_at(at, head.get_mut(..3).unwrap_or_default()).is_err() {
                return Ok((taken, unpacked)); // cut: the caller has no use for the rest
            }
            let head = u32::from_le_bytes(head);
            let (last, kind, size) = (head & 1 != 0, head >> 1 & 3, head >> 3);
            let size = if kind == 1 { 1 } else { size };
            if last || kind == 3 || size > 1 << BLOCK_LOG || unpacked >= same {
                return Ok((taken, unpacked));
            }
            input.resize(3 + size as usize, 0);
            handle.read_exact_at(at, &mut input)?;
            let more = decompress(&mut decoder, &input, &mut output)?;
            if unpacked + more > same {
                return Ok((taken, unpacked));
            }
            taken += input.len() as u64;
            unpacked += more;
        }
    }
}

/// Gives a whole piece of a frame to the decoder; how much comes out.
fn decompress(decoder: &mut Decoder<'_>, mut input: &[u8], output: &mut [u8]) -> io::Result<u64> {
    let mut count = 0;
    loop {
        let status = decoder.run_on_buffers(input, output)?;
        input = input.get(status.bytes_read..).unwrap_or_default();
        count += status.bytes_written as u64;
        // What does not fill the output is all that there is.
        if input.is_empty() && status.bytes_written < output.len() {
            return Ok(count);
        }
        if status.bytes_read == 0 && status.bytes_written == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::archive::compress::{Codec, OneStream};

    fn text(len: usize) -> Vec<u8> {
        (0u64..).flat_map(|n| format!("line {n} of {}\n", n * n % 977).into_bytes()).take(len).collect()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn unpacked(packed: &Content) -> Vec<u8> {
        let mut stream = OneStream::new(Codec::Zstd, packed.open().unwrap()).unwrap();
        let mut out = Vec::new();
        stream.read_to_end(&mut out).unwrap();
        assert_eq!(stream.taken(), packed.len());
        out
    }

    /// Frames with and without checksum and size, of one segment, with a large window.
    fn frames(plain: &[u8]) -> Vec<Vec<u8>> {
        let with = |level, set: &dyn Fn(&mut zstd::Encoder<'_, Vec<u8>>)| {
            let mut encoder = zstd::Encoder::new(Vec::new(), level).unwrap();
            set(&mut encoder);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        };
        vec![
            with(3, &|_| {}),
            with(18, &|encoder| encoder.include_checksum(true).unwrap()),
            with(1, &|encoder| encoder.set_pledged_src_size(Some(plain.len() as u64)).unwrap()),
            with(3, &|encoder| encoder.window_log(25).unwrap()),
            zstd::bulk::compress(plain, 5).unwrap(),
        ]
    }

    #[test]
    fn the_beginning_stays_compressed_and_the_rest_is_what_it_is_to_be() {
        for head in [0, 1000, 131_072, 700_001, 3_000_000] {
            let (same, old_rest, new_rest) = (text(head), noise(500_000), noise(400_003));
            let new = [&same[..], &new_rest].concat();
            for (number, frame) in frames(&[&same[..], &old_rest].concat()).into_iter().enumerate() {
                let content = Content::memory(new.clone());
                let made = continued_zstd(&Content::memory(frame), head as u64, &content).unwrap();
                assert!(unpacked(&made) == new, "{head} {number}");
                if head > 600_000 {
                    let stored = stored_zstd(&content).len();
                    assert!(
                        made.len() + head as u64 / 2 < stored,
                        "{head} {number}: {} {stored}",
                        made.len()
                    );
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_gone_on_with_is_stored() {
        let new = Content::memory(text(300_000));
        let mut dictionary = zstd::bulk::compress(&text(300_000), 3).unwrap();
        dictionary[4] |= 1;
        let huge = [0x28, 0xb5, 0x2f, 0xfd, 0, (31 - 10) << 3, 1, 0, 0].to_vec();
        for old in [Vec::new(), b"no frame at all".to_vec(), dictionary, huge] {
            let made = continued_zstd(&Content::memory(old), 200_000, &new).unwrap();
            assert_eq!(made.len(), stored_zstd(&new).len());
            assert!(unpacked(&made) == text(300_000));
        }
        let whole = zstd::bulk::compress(&text(300_000), 3).unwrap();
        for len in 5..whole.len().min(400) {
            // A cut frame gives what it has, or an error.
            if let Ok(made) = continued_zstd(&Content::memory(&whole[..len]), 300_000, &new) {
                assert!(unpacked(&made) == text(300_000), "{len}");
            }
        }
    }
}
