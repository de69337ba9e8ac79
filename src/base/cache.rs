//! A place for blocks that were compressed before. What it holds is never needed, only quicker.

use super::Digest;

/// Compressed blocks by key. A key names everything that the block depends on: the bytes, the codec,
/// its parameters.
pub trait BlockCache: Send + Sync {
    /// The block kept under this key. What is damaged or cannot be read is not there.
    fn get(&self, key: &Digest) -> Option<Vec<u8>>;

    /// Keeps a block, if that is possible.
    fn put(&self, key: &Digest, block: &[u8]);
}
