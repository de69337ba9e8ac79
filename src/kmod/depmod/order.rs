//! The order in which things stand in the files.
//!
//! Modules stand in the order of `modules.order`; those that are not in it follow in the order of
//! kmod's hash table (shared/hash.c), in which all symbols stand too. It is the order of the hash modulo
//! the table's size, then of the names. The hash is Paul Hsieh's SuperFastHash.

/// Size of kmod's table of modules.
pub const MODULES: u32 = 512;
/// Size of kmod's table of symbols.
pub const SYMBOLS: u32 = 2048;

/// Where `name` stands in a table of that many buckets (a power of two): compare these first, then the
/// names.
pub fn bucket(name: &[u8], buckets: u32) -> u32 {
    superfast(name) & (buckets - 1)
}

/// The hash of the C function, whose arithmetic is that of 32 bits and whose `char` is signed.
fn superfast(key: &[u8]) -> u32 {
    let pair = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]));
    let signed = |byte: u8| i32::from(byte.cast_signed()).cast_unsigned();
    let (fours, rest) = key.as_chunks::<4>();
    let mut hash = key.len() as u32; // names are shorter than 4 GiB
    for &[a, b, c, d] in fours {
        hash = hash.wrapping_add(pair(a, b));
        hash = (hash << 16) ^ (pair(c, d) << 11) ^ hash;
        hash = hash.wrapping_add(hash >> 11);
    }
    match *rest {
        [a, b, c] => {
            hash = hash.wrapping_add(pair(a, b));
            hash ^= hash << 16;
            hash ^= signed(c) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        [a, b] => {
            hash = hash.wrapping_add(pair(a, b));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [a] => {
            hash = hash.wrapping_add(signed(a));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_no_order_names_stand_as_kmod_put_them() {
        // The extras of a tree that kmod 34 indexed: see testdata/kmod34.
        let mut names = ["my_module", "my_user", "dummy"];
        names.sort_by_key(|name| (bucket(name.as_bytes(), MODULES), *name));
        assert_eq!(names, ["dummy", "my_user", "my_module"]);
    }

    #[test]
    fn every_length_of_a_rest_has_a_bucket_within_the_table() {
        for name in ["", "a", "ab", "abc", "abcd", "\u{e9}\u{e9}a"] {
            assert!(bucket(name.as_bytes(), SYMBOLS) < SYMBOLS);
        }
    }
}
