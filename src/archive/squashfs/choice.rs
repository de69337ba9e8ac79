//! How hard to try on a block, by a cheap look at it.
//!
//! The preset levels of zstd are not on the best curve for blocks of 128 KiB; parameters set one by
//! one are. `benches/squashfs.sh` prints the curve.

use zstd::zstd_safe::{CParameter, Strategy};

use super::super::compress::is_dense;

/// What becomes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It is compressed already.
    Store,
    /// Worth compressing.
    Compress(Parameters),
}

/// Zstd's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameters {
    /// A preset level.
    Level(i32),
    /// One by one.
    Set { strategy: Strategy, window_log: u32, chain_log: u32, search_log: u32, target_length: u32 },
}

impl Parameters {
    /// As zstd takes them. One compressor is given levels only, or sets only.
    pub(super) fn list(self) -> Vec<CParameter> {
        match self {
            Self::Level(level) => vec![CParameter::CompressionLevel(level)],
            Self::Set { strategy, window_log, chain_log, search_log, target_length } => vec![
                CParameter::Strategy(strategy),
                CParameter::WindowLog(window_log),
                CParameter::HashLog(window_log),
                CParameter::ChainLog(chain_log),
                CParameter::SearchLog(search_log),
                CParameter::MinMatch(3),
                CParameter::TargetLength(target_length),
            ],
        }
    }
}

impl Choice {
    /// Looks at a block of an image with this block size.
    pub(super) fn of(block: &[u8], block_size: u32) -> Self {
        if is_dense(block) {
            return Self::Store;
        }
        let window_log = block_size.trailing_zeros().max(13);
        Self::Compress(Parameters::Set {
            strategy: Strategy::ZSTD_btultra,
            window_log,
            chain_log: window_log,
            search_log: 2,
            target_length: 48,
        })
    }
}
