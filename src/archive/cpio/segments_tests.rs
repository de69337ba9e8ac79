use std::io::Write;

use super::*;
use crate::archive::compress::stored_zstd;
use crate::archive::cpio::{Options, archive};
use crate::archive::{Entry, Tree};

fn plain(names: &[&str]) -> Vec<u8> {
    let mut tree = Tree::new();
    for name in names {
        tree.insert(name, Entry::file(0o644, Content::memory(name.as_bytes()))).unwrap();
    }
    archive(&tree, &Options::default()).unwrap().read(1 << 20).unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8], check: lzma_rust2::CheckType) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(1);
    options.set_check_sum_type(check);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// The names in order, with their contents checked, and the segments.
fn read(bytes: &[u8]) -> Result<(Vec<String>, Vec<Segment>), ReadError> {
    let mut names = Vec::new();
    let segments = walk(&Content::memory(bytes), &mut |member: &Member, reader: &mut dyn Read| {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|error| member.error(error.to_string()))?;
        assert_eq!(content, member.name);
        if let Some(content) = &member.content {
            assert_eq!(content.read(100).unwrap(), member.name);
        }
        names.push(String::from_utf8(member.name.clone()).unwrap());
        Ok::<(), ReadError>(())
    })?;
    Ok((names, segments))
}

fn refusal(bytes: &[u8]) -> Refusal {
    match read(bytes) {
        Err(ReadError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

fn no_trailer(bytes: &[u8]) {
    let error = read(bytes).unwrap_err().to_string();
    assert!(error.starts_with("the archive has no trailer at byte"), "{error}");
}

#[test]
fn segments_of_any_codec_follow_each_other_with_nuls_between_and_behind() {
    let (a, b, c, d) = (plain(&["a"]), zstd(&plain(&["b", "b2"])), gzip(&plain(&["c"])), plain(&["d"]));
    let e = xz(&[plain(&["e"]), vec![0; 8], plain(&["f"])].concat(), lzma_rust2::CheckType::Crc32);
    let mut bytes = [&a[..], &[0; 388], &b, &c, &[0; 5]].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let at = bytes.len() as u64;
    let bytes = [&bytes, &d[..], &e, &[0; 7]].concat();
    let (names, segments) = read(&bytes).unwrap();
    assert_eq!(names, ["a", "b", "b2", "c", "d", "e", "f"]);
    let seen: Vec<_> = segments
        .iter()
        .map(|segment| (segment.offset, segment.len, segment.codec, segment.members))
        .collect();
    let behind_a = a.len() as u64 + 388;
    assert_eq!(
        seen,
        [
            (0, a.len() as u64, Codec::Plain, 1),
            (behind_a, b.len() as u64, Codec::Zstd, 2),
            (behind_a + b.len() as u64, c.len() as u64, Codec::Gzip, 1),
            (at, d.len() as u64, Codec::Plain, 1),
            (at + d.len() as u64, e.len() as u64, Codec::Xz, 2),
        ]
    );
    assert_eq!(read(&[]).unwrap().1, []);
    assert_eq!(read(&[0; 1000]).unwrap().1, []);
}

#[test]
fn what_a_kernel_would_refuse_is_an_error_that_says_so() {
    let (a, b) = (plain(&["a"]), plain(&["b"]));
    let halves = [zstd(&a[..200]), zstd(&a[200..])].concat();
    assert_eq!(refusal(&halves), Refusal::Cut);
    assert_eq!(
        refusal(&[&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0][..], &zstd(&a)].concat()),
        Refusal::SkippableFrame
    );
    assert_eq!(refusal(&xz(&a, lzma_rust2::CheckType::Crc64)), Refusal::XzCheck(4));
    let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (28 - 10) << 3, 0x01, 0x00, 0x00];
    assert_eq!(refusal(&wide), Refusal::Window);
    let single = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 1, 0, 0, 8, 0x01, 0x00, 0x00];
    assert_eq!(refusal(&single), Refusal::Window);
    no_trailer(&a[..a.len() - 124]);
    no_trailer(&[&a[..a.len() - 124], &zstd(&b)].concat());
    no_trailer(&zstd(&a[..a.len() - 124]));
    assert_eq!(refusal(&a[..a.len() - 5]), Refusal::Cut);
    assert_eq!(refusal(&zstd(&a[..a.len() - 128])), Refusal::Cut);
    assert_eq!(refusal(&[&a[..], &[0; 3], &zstd(&b)].concat()), Refusal::Padding);
    let mut odd = zstd(&a);
    odd.resize(odd.len().next_multiple_of(4) + 1, 0);
    assert_eq!(refusal(&[&odd[..], &b].concat()), Refusal::Unaligned);
    assert_eq!(refusal(&[&a[..], b"junk"].concat()), Refusal::Junk);
    assert_eq!(refusal(&zstd(&[&a[..], b"junk"].concat())), Refusal::Junk);
    assert!(matches!(read(&zstd(b"what is this, there is not even a member of an archive here, and it is long enough for a header, is it")), Err(ReadError::Header { .. } | ReadError::Refused { .. })));
}

#[test]
fn an_error_says_the_byte_of_the_file_and_of_the_segment() {
    let mut broken = plain(&["b", "c"]);
    broken[116 + 8] = b'x'; // a digit of the second header
    let error = read(&[&[0; 8][..], &broken].concat()).unwrap_err();
    assert_eq!(error.to_string(), "a number of the header has no hexadecimal digits at byte 124");
    let error = read(&[&[0; 9][..], &zstd(&broken)].concat()).unwrap_err();
    let text = "a number of the header has no hexadecimal digits at byte 116 of the zstd segment at byte 9";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_stored_frame_is_a_segment() {
    let content = stored_zstd(&Content::memory(plain(&["a", "b"])));
    let mut names = 0;
    let segments = walk(&content, &mut |_: &Member, _: &mut dyn Read| {
        names += 1;
        Ok::<(), ReadError>(())
    })
    .unwrap();
    assert_eq!((names, segments.len(), segments[0].len), (2, 1, content.len()));
}

#[test]
fn a_sum_that_is_wrong_is_found_whether_or_not_the_content_is_read() {
    let mut bytes = plain(&["a"]);
    bytes[..6].copy_from_slice(b"070702");
    bytes[102..110].copy_from_slice(b"00000061");
    assert_eq!(read(&bytes).unwrap().0, ["a"]);
    bytes[109] = b'2';
    for bytes in [bytes.clone(), zstd(&bytes)] {
        let skipped =
            walk(&Content::memory(bytes), &mut |_: &Member, _: &mut dyn Read| Ok::<(), ReadError>(()));
        assert!(matches!(skipped, Err(ReadError::Refused { refusal: Refusal::Sum, .. })), "{skipped:?}");
    }
}

#[test]
fn windows_of_zstd_frames_are_told_by_their_headers() {
    assert_eq!(zstd_window(&[0x00, 7 << 3]), Some(128 << 10));
    assert_eq!(zstd_window(&[0x00, (27 - 10) << 3 | 1]), Some((1 << 27) + (1 << 24)));
    assert_eq!(zstd_window(&[0x20, 9]), Some(9));
    assert_eq!(zstd_window(&[0x61, 77, 1, 1]), Some(0x101 + 256));
    assert_eq!(zstd_window(&[0xe0, 1, 0]), None);
}
