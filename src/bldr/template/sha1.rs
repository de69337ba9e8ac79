//! SHA-1 (FIPS 180-4) for `sha1sum`: a name for things, never a proof of anything.

/// The digest of some bytes.
pub(super) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    let bits = u64::try_from(bytes.len()).unwrap_or(u64::MAX).wrapping_mul(8);
    padded.extend(bits.to_be_bytes());
    for block in padded.chunks_exact(64) {
        compress(&mut state, block);
    }
    let mut digest = [0; 20];
    for (place, byte) in digest.iter_mut().zip(state.iter().flat_map(|word| word.to_be_bytes())) {
        *place = byte;
    }
    digest
}

/// One block of 64 bytes.
fn compress(state: &mut [u32; 5], block: &[u8]) {
    let mut words: Vec<u32> = Vec::with_capacity(80);
    for bytes in block.chunks_exact(4) {
        words.push(bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)));
    }
    for index in 16..80 {
        // The schedule looks back 3, 8, 14 and 16 words, which are there from the sixteenth on.
        let word = |back: usize| words.get(index - back).copied().unwrap_or_default();
        let next = (word(3) ^ word(8) ^ word(14) ^ word(16)).rotate_left(1);
        words.push(next);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (index, word) in words.iter().enumerate() {
        let (mixed, constant) = match index {
            0..20 => (b & c | !b & d, 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let next =
            a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    for (own, value) in state.iter_mut().zip([a, b, c, d, e]) {
        *own = own.wrapping_add(value);
    }
}
