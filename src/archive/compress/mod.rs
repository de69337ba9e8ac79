//! Compressed streams: those that are written, and every one that a kernel or a registry hands us.
//!
//! | module | what |
//! |---|---|
//! | `encoder` | gzip and zstd, in parallel and always the same |
//! | [`codec`] | which codec a stream is in, told by its first bytes |
//! | [`decode`] | a stream to its end, or one stream and how many bytes it took |
//! | `lz4` | the legacy frame of lz4, which kernels read |
//! | `lzo` | the format of lzop, and LZO1X below it |
//! | [`one_frame`] | one zstd frame or .xz stream, by several threads, for the kernel |
//! | [`stored`] | the same of what is dense already, planned and not copied |
//! | [`continued`] | a zstd frame whose beginning is kept, and whose rest is stored |
//! | `pulled` | a decoder without input of its own, given one |

pub mod codec;
pub mod continued;
pub mod decode;
mod encoder;
mod lz4;
mod lzo;
pub mod one_frame;
mod pulled;
pub mod stored;

pub use codec::Codec;
pub use continued::continued_zstd;
pub use decode::{OneStream, WINDOW_LOG_MAX, decoder, decoder_of};
pub(in crate::archive) use encoder::is_dense;
pub use encoder::{Compression, CompressionError, Encoder};
pub use one_frame::{one_xz_stream, one_zstd_frame};
pub use stored::{stored_gzip, stored_xz, stored_zstd};
