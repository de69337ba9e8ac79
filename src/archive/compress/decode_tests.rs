use std::io::{Cursor, Write};

use lzma_rust2::{CheckType, LzmaOptions, LzmaWriter, XzOptions, XzWriter};

use super::*;

/// Lines, then zeros, then dense bytes: literals, near and far matches, and what does not compress.
fn sample() -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..20_000u32).flat_map(|n| format!("line {n} of {}\n", n % 77).into_bytes()).collect();
    bytes.extend(vec![0; 100_000]);
    let mut state = 7u64;
    bytes.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as u8
        })
        .take(300_000),
    );
    bytes
}

fn xz(bytes: &[u8], check: CheckType) -> Vec<u8> {
    let mut options = XzOptions::with_preset(1);
    options.set_check_sum_type(check);
    let mut writer = XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn lzma(bytes: &[u8], length: Option<u64>) -> Vec<u8> {
    let options = LzmaOptions::with_preset(1);
    let mut writer = LzmaWriter::new_use_header(Vec::new(), &options, length).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// As `lz4 -l` does it, with literals only.
fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x02, 0x21, 0x4c, 0x18];
    for block in bytes.chunks(8 << 20) {
        let mut packed = vec![0xf0];
        let mut rest = block.len() - 15;
        while rest >= 255 {
            packed.push(255);
            rest -= 255;
        }
        packed.push(rest as u8);
        packed.extend(block);
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(packed);
    }
    out
}

/// A file of lzop without a name, its blocks stored.
fn lzo(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x89, b'L', b'Z', b'O', 0, 13, 10, 26, 10, 0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5];
    out.extend([0, 0, 0, 0]); // no flags
    out.extend([0; 12]);
    out.push(0);
    out.extend([0; 4]);
    for block in bytes.chunks(256 << 10) {
        for number in [block.len() as u32, block.len() as u32, 0] {
            out.extend(number.to_be_bytes());
        }
        out.extend(block);
    }
    out.extend([0; 4]);
    out
}

fn every_codec(bytes: &[u8]) -> Vec<(Codec, Vec<u8>)> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(bytes).unwrap();
    vec![
        (Codec::Gzip, gzip.finish().unwrap()),
        (Codec::Zstd, zstd::encode_all(bytes, 1).unwrap()),
        (Codec::Xz, xz(bytes, CheckType::Crc32)),
        (Codec::Xz, xz(bytes, CheckType::Crc64)),
        (Codec::Lzma, lzma(bytes, None)),
        (Codec::Lzma, lzma(bytes, Some(bytes.len() as u64))),
        (Codec::Bzip2, bzip2.finish().unwrap()),
        (Codec::Lz4, lz4(bytes)),
        (Codec::Lzo, lzo(bytes)),
    ]
}

/// The bytes of one stream, and how many it took.
fn one(codec: Codec, bytes: &[u8]) -> io::Result<(Vec<u8>, u64)> {
    let mut stream = OneStream::new(codec, Cursor::new(bytes.to_vec()))?;
    let mut out = Vec::new();
    stream.read_to_end(&mut out)?;
    Ok((out, stream.taken()))
}

#[test]
fn every_codec_is_told_and_one_stream_ends_where_the_next_thing_begins() {
    let plain = sample();
    for (codec, packed) in every_codec(&plain) {
        assert_eq!(Codec::of_kernel(&packed), codec);
        // For lz4 only NUL bytes can follow; they are not its own.
        let tail: &[u8] =
            if codec == Codec::Lz4 { &[0; 64] } else { b"0707010000 what follows it \x28\xb5\x2f\xfd" };
        for tail in [&[][..], tail] {
            let (out, taken) = one(codec, &[&packed, tail].concat()).unwrap();
            assert!(out == plain, "{codec}");
            assert_eq!(taken, packed.len() as u64, "{codec} and {} bytes", tail.len());
        }
        let mut whole = Vec::new();
        decoder_of(codec, &packed[..]).unwrap().read_to_end(&mut whole).unwrap();
        assert!(whole == plain, "{codec}");
    }
}

#[test]
fn streams_one_after_another_are_all_read_where_the_codec_has_such() {
    let plain = sample();
    for (codec, packed) in every_codec(&plain) {
        if matches!(codec, Codec::Lzma | Codec::Lzo) {
            continue;
        }
        let mut whole = Vec::new();
        decoder_of(codec, &[&packed[..], &packed].concat()[..]).unwrap().read_to_end(&mut whole).unwrap();
        assert!(whole == [&plain[..], &plain].concat(), "{codec}");
    }
}

#[test]
fn a_stream_that_is_cut_is_an_error() {
    for (codec, packed) in every_codec(&sample()) {
        // Less than a length behind the magic number is the end of an lz4 frame.
        for cut in [1, 2, 9, 30, packed.len() / 3, packed.len() - 30] {
            let result = one(codec, &packed[..cut]);
            assert!(result.is_err(), "{codec} cut at {cut} of {}", packed.len());
        }
    }
}

#[test]
fn a_damaged_stream_is_an_error_or_other_bytes_but_never_a_panic() {
    let plain: Vec<u8> = sample().into_iter().skip(300_000).take(60_000).collect();
    let mut random = 11u64;
    for (codec, packed) in every_codec(&plain) {
        for _ in 0..200 {
            let mut bytes = packed.clone();
            for _ in 0..2 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (random >> 33) as usize % bytes.len();
                let at = if random & 1 == 0 { at % 64 } else { at };
                bytes[at] ^= (random >> 20) as u8 | 1;
            }
            let Ok(stream) = OneStream::new(codec, Cursor::new(bytes)) else { continue };
            let _ = io::copy(&mut stream.take(1 << 20), &mut io::sink()); // either is right
        }
    }
}

#[test]
fn a_window_beyond_what_kernels_take_is_refused_before_it_is_allocated() {
    // zstd: a window descriptor of 2^28 bytes (RFC 8878, 3.1.1.1.2).
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (28 - 10) << 3, 0x01, 0x00, 0x00];
    assert!(one(Codec::Zstd, &frame).is_err());
    let fits = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3, 0x01, 0x00, 0x00];
    assert_eq!(one(Codec::Zstd, &fits).unwrap(), (Vec::new(), 9));
    // lzma: a dictionary of 4 GiB - 16.
    let mut packed = lzma(b"x", None);
    packed[1..5].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    assert!(one(Codec::Lzma, &packed).unwrap_err().to_string().contains("memory"));
}
