//! The form that a profile wants its finished file in: pkg/imager/post.go in siderolabs/talos.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::archive::compress::{Compression, Encoder, one_xz_stream, one_zstd_frame};
use crate::archive::{Entry, Tree, tar};
use crate::base::fsio::{self, At as _, Draft};
use crate::base::{Content, Epoch, Workers};
use crate::plan::error::Error;
use crate::plan::run::Context;
use crate::talos::OutputFormat;

/// Upstream's level of zstd.
const ZSTD_LEVEL: i32 = 18;
/// Upstream's level of gzip.
const GZIP: Compression = Compression::Gzip(6);
/// What the file is called in a `.tar.gz`, whatever it is: clouds look for a disk of this name.
const MEMBER: &str = "disk.raw";

/// Writes `from` as `to` in `format`: one zstd frame, one xz stream, one gzip member, or a tar in gzip whose
/// only entry has the time `epoch`.
pub fn pack(
    context: &Context,
    from: &Content,
    format: OutputFormat,
    epoch: Epoch,
    to: &Path,
) -> Result<(), Error> {
    let write = || {
        fsio::create_dir(fsio::parent(to))?;
        let mut draft = Draft::new(fsio::parent(to))?;
        packed(from, format, epoch, &context.workers, draft.file()).at("write", to)?;
        draft.sync()?;
        draft.name(to)
    };
    let failed = |error: fsio::FileError| Error::Output {
        target: to.display().to_string(),
        source: Box::new(error.into()),
    };
    write().map_err(failed)
}

fn packed(
    from: &Content,
    format: OutputFormat,
    epoch: Epoch,
    workers: &Workers,
    out: &mut File,
) -> io::Result<()> {
    let mut reader = from.open()?;
    let gzip = |out| Encoder::new(BufWriter::new(out), GZIP, workers);
    match format {
        OutputFormat::Raw => drop(io::copy(&mut reader, out)?),
        OutputFormat::Zst => drop(one_zstd_frame(&mut reader, ZSTD_LEVEL, workers, out)?),
        OutputFormat::Xz => drop(one_xz_stream(&mut reader, BufWriter::new(out))?),
        OutputFormat::Gz => {
            let mut encoder = gzip(out);
            io::copy(&mut reader, &mut encoder)?;
            encoder.finish()?.flush()?;
        }
        OutputFormat::TarGz => {
            let mut tree = Tree::new();
            tree.insert(MEMBER, Entry::file(0o644, from.clone())).map_err(io::Error::other)?;
            let encoder = tar::write_tree(&tree, Some(epoch), gzip(out)).map_err(io::Error::other)?;
            encoder.finish()?.flush()?;
        }
    }
    Ok(())
}
