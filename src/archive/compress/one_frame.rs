//! One frame for the kernel: Linux unpacks one zstd frame, or one xz stream, as one segment of an
//! initramfs, so that what [`super::Encoder`] writes (a frame for each piece) is of no use there.

use std::io::{self, Read, Write};

use lzma_rust2::{CheckType, XzOptions, XzWriter};
use zstd::zstd_safe::CParameter;

use crate::base::Workers;

/// Bytes of input in one job of zstd's own threads. Fixed, so that the bytes depend on neither the
/// level's choice nor the number of threads, and small, because each thread holds one.
const JOB: u32 = 4 << 20;
/// The window, as a power of two: 4 MiB. Linux takes up to 128 MiB; each thread holds one as well.
const WINDOW_LOG: u32 = 22;
/// The preset of xz, which only Talos before 1.8 is written for.
const XZ_PRESET: u32 = 3;

/// Compresses `reader` into one zstd frame with a checksum; gives the number of bytes that went in. The
/// same bytes whatever the number of `workers`.
pub fn one_zstd_frame(
    reader: &mut dyn Read,
    level: i32,
    workers: &Workers,
    out: impl Write,
) -> io::Result<u64> {
    let mut encoder = zstd::stream::write::Encoder::new(out, level)?;
    // Never none: the frame of a single thread would be another one.
    encoder.multithread(u32::try_from(workers.jobs()).unwrap_or(u32::MAX).clamp(1, 64))?;
    encoder.set_parameter(CParameter::JobSize(JOB))?;
    encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    encoder.include_checksum(true)?;
    let count = copy(reader, &mut encoder)?;
    encoder.finish()?.flush()?;
    Ok(count)
}

/// The same as one .xz stream with CRC-32, on one thread.
pub fn one_xz_stream(reader: &mut dyn Read, out: impl Write) -> io::Result<u64> {
    let mut options = XzOptions::with_preset(XZ_PRESET);
    options.set_check_sum_type(CheckType::Crc32);
    let mut encoder = XzWriter::new(out, options)?;
    let count = copy(reader, &mut encoder)?;
    encoder.finish()?.flush()?;
    Ok(count)
}

/// Copies in pieces of one size: what a compressor is handed at once must not depend on the reader.
fn copy(reader: &mut dyn Read, out: &mut impl Write) -> io::Result<u64> {
    let mut buffer = vec![0; 128 << 10];
    let mut count = 0;
    loop {
        let got = super::decode::fill(&mut &mut *reader, &mut buffer)?;
        let Some(piece) = buffer.get(..got).filter(|piece| !piece.is_empty()) else { return Ok(count) };
        out.write_all(piece)?;
        count += got as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::compress::{Codec, OneStream};

    fn sample(length: usize) -> Vec<u8> {
        (0u64..).flat_map(|n| format!("line {} of {}\n", n, n * n % 977).into_bytes()).take(length).collect()
    }

    #[test]
    fn a_frame_is_one_and_the_same_whatever_the_threads_and_how_it_is_read() {
        for length in [0, 5, (JOB as usize) - 1, JOB as usize * 5 / 2, 20 << 20] {
            let plain = sample(length);
            let mut one = Vec::new();
            one_zstd_frame(&mut &plain[..], 3, &Workers::new(1), &mut one).unwrap();
            for jobs in [2, 4] {
                let mut again = Vec::new();
                let mut slow = (&plain[..length / 2]).chain(&plain[length / 2..]);
                one_zstd_frame(&mut slow, 3, &Workers::new(jobs), &mut again).unwrap();
                assert!(one == again, "{length} bytes, {jobs} threads");
            }
            let mut stream = OneStream::new(Codec::Zstd, &one[..]).unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            assert!(back == plain && stream.taken() == one.len() as u64, "{length}");
        }
    }

    #[test]
    fn an_xz_stream_has_the_check_that_kernels_know() {
        let plain = sample(1 << 20);
        let mut packed = Vec::new();
        one_xz_stream(&mut &plain[..], &mut packed).unwrap();
        assert_eq!(&packed[..8], b"\xfd7zXZ\0\0\x01");
        let mut back = Vec::new();
        OneStream::new(Codec::Xz, &packed[..]).unwrap().read_to_end(&mut back).unwrap();
        assert!(back == plain);
    }
}
