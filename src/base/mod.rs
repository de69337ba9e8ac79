//! What every room stands on: digests, the epoch, contents, events, files and secrets.
//!
//! Nothing here knows of images or of Talos. The rest of the crate may use this room; this room
//! uses crates only.

pub mod ahead;
pub mod aside;
pub mod cache;
pub mod chain;
pub mod content;
pub mod digest;
pub mod epoch;
pub mod event;
pub mod fsio;
pub mod growing;
pub mod json;
pub mod locked;
pub mod pattern;
pub mod printable;
pub mod program;
pub mod secret;
pub mod suggest;
pub mod turns;
pub mod units;
pub mod workers;
pub mod yaml;

pub use aside::AsideHasher;
pub use cache::BlockCache;
pub use chain::chain;
pub use content::{Content, ContentHandle, ContentReader, Joined};
pub use digest::{Digest, DigestError, Hasher};
pub use epoch::Epoch;
pub use event::{Activity, Event, Events};
pub use growing::{Growing, Growth};
pub use locked::locked;
pub use printable::printable;
pub use secret::Secret;
pub use turns::{Turn, Turns};
pub use workers::Workers;
