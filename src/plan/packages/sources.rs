//! Files that steps want: fetched once, checked by both of their digests, kept in the store.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest as _, Sha512};

use crate::base::fsio::At as _;
use crate::base::{Activity, Content, digest};
use crate::bldr::pkgfile::Source;
use crate::image::Descriptor;
use crate::image::store::BlobWriter;
use crate::plan::error::{Error, Problem};
use crate::plan::run::{Context, Plan};
use crate::plan::step::{Outputs, Step, StepId};

/// The largest file that is fetched: linux-firmware, the largest of the official ones, has 600 MB.
const SIZE_MAX: u64 = 8 << 30;

/// Adds the step that fetches a source; its key are the digests alone, so that nothing is fetched twice, from
/// wherever it came the first time. `file` is the `pkg.yaml` that names it, `root` where relative paths begin.
pub(super) fn add<'p>(plan: &mut Plan<'p>, source: &'p Source, file: &'p str, root: &'p Path) -> StepId {
    let run = move |context: &Context, progress: &Activity, _: &[&Outputs]| {
        let mut writer = Told { inner: context.store.writer()?, sha512: Sha512::default(), progress };
        let bundled = format!("sha256:{}", source.sha256).parse().ok();
        let bundled = bundled.and_then(|digest| context.pins.bundled(&digest));
        match (bundled, source.url.strip_prefix("file:")) {
            (Some(content), _) => {
                let from = || "the bundle".to_owned();
                content.open().and_then(|mut from| io::copy(&mut from, &mut writer)).at("read", from())?;
            }
            (None, Some(path)) => {
                let path = root.join(path.strip_prefix("//").unwrap_or(path));
                let mut file = File::open(&path).at("read", &path)?;
                io::copy(&mut file, &mut writer).at("read", &path)?;
            }
            (None, None) => {
                let downloaded = context.client.download(&source.url, SIZE_MAX, &mut writer);
                downloaded.map_err(crate::image::MediaError::from)?;
            }
        }
        let found512 = digest::hex(&writer.sha512.finalize());
        let (digest, content) = writer.inner.finish()?;
        let pairs = [("sha256", &source.sha256, &digest.hex()), ("sha512", &source.sha512, &found512)];
        if let Some((name, expected, found)) =
            pairs.into_iter().find(|(_, expected, found)| expected != found)
        {
            return Err(Problem::new(format!("`{}` is another file than the one that is meant", source.url))
                .detail(format!("asked for in `{file}`, line {}", source.line))
                .detail(format!("expected: {name} {expected}"))
                .detail(format!("found: {name} {found}"))
                .into());
        }
        let blob = Descriptor::new("application/octet-stream", digest, content.len());
        Ok(Outputs::default().with_blob("source", blob))
    };
    let step = Step::new("source", 1, &source.url, run)
        .parameter("sha256", &source.sha256)
        .parameter("sha512", &source.sha512);
    plan.add(step)
}

/// Hashes what is written through it, beside the store's own digest, and tells of it.
struct Told<'a> {
    inner: BlobWriter,
    sha512: Sha512,
    progress: &'a Activity,
}

impl Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha512.update(bytes.get(..written).unwrap_or_default());
        self.progress.advance(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What the step gave.
pub(super) fn content(context: &Context, source: &Source, outputs: &Outputs) -> Result<Content, Error> {
    let blob = outputs.blob("source")?;
    context.pins.saw_source(&source.url, blob.digest, blob.size);
    context.blob(blob)
}
