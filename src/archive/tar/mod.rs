//! Tar archives: POSIX ustar and pax, old V7 and GNU.
//!
//! | module | what |
//! |---|---|
//! | [`error`] | what is wrong with an archive, with member and byte offset |
//! | `header` | the 512-byte block: strict fields, the checksum, what kind of header it is |
//! | `pax` | extended header records, read strictly and written |
//! | `sparse` | the four sparse formats: which bytes are holes |
//! | [`index`] | the members of an archive on disk, in place |
//! | [`read`] | members of an untrusted stream, within limits |
//! | [`unpack`] | members onto a file tree |
//! | [`mod@write`] | a file tree as deterministic bytes |
//!
//! Documents: POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header"; the GNU tar
//! manual, "Basic Tar Format". Where readers disagree, Go's `archive/tar` decides, because
//! containerd and Talos read with it; where even a refusal would be better than a guess, it is
//! refused.

pub mod error;
mod header;
pub mod index;
mod pax;
pub mod read;
mod sparse;
pub mod unpack;
pub mod write;

pub use error::TarError;
pub use index::index_file;
pub use read::{Member, MemberKind, Reader};
pub use unpack::{Contents, Respelled, Unpacked, Unpacker, read_tree};
pub use write::{WriteError, Writer, write_tree};
