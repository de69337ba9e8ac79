//! A place for blocks that were compressed before. What it holds is never needed, only quicker.

use std::io;

use super::Digest;

/// Compressed blocks by key. A key names everything that the block depends on: the bytes, the codec,
/// its parameters.
pub trait BlockCache: Send + Sync {
    /// The block kept under this key. What is damaged or cannot be read is not there.
    fn get(&self, key: &Digest) -> Option<Vec<u8>>;

    /// Keeps a block, if that is possible.
    fn put(&self, key: &Digest, block: &[u8]);

    /// The block kept under this key, or made now and kept. A cache may have whoever wants what another one is making
    /// wait for it, so that it is made once; `make` must not ask for blocks itself.
    fn once(&self, key: &Digest, make: &mut dyn FnMut() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        if let Some(block) = self.get(key) {
            return Ok(block);
        }
        let block = make()?;
        self.put(key, &block);
        Ok(block)
    }
}
