//! JSON that is always the same bytes: keys sorted where they come from maps, no white space.

use serde::Serialize;

/// Encodes a value of this crate's own types.
///
/// # Panics
/// Never for such types: they have string keys only and no serialiser of their own that could fail,
/// which are the two ways in which encoding to memory fails.
#[expect(clippy::expect_used, reason = "the invariant is stated above")]
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("own types encode")
}
