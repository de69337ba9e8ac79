//! Files that steps want: fetched once, checked by both of their digests, kept in the store.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Mutex;

use crate::base::fsio::At as _;
use crate::base::{Activity, Content, Digest, digest};
use crate::bldr::pkgfile::Source;
use crate::image::Descriptor;
use crate::plan::error::{Error, Problem};
use crate::plan::run::{Context, Plan};
use crate::plan::step::{Outputs, Step, StepId};

/// The largest file that is fetched: linux-firmware, the largest of the official ones, has 600 MB.
const SIZE_MAX: u64 = 8 << 30;

/// Adds the step that fetches a source; its key are the digests alone, so that nothing is fetched twice, from
/// wherever it came the first time. `file` is the `pkg.yaml` that names it, `root` where relative paths begin.
pub(super) fn add<'p>(plan: &mut Plan<'p>, source: &'p Source, file: &'p str, root: &'p Path) -> StepId {
    let run = move |context: &Context, progress: &Activity, _: &[&Outputs]| {
        let mut writer = context.store.writer()?;
        let sha512 = Mutex::new(sha2::Sha512::default());
        let each = |bytes: &[u8]| {
            use sha2::Digest as _;
            sha512.lock().unwrap_or_else(std::sync::PoisonError::into_inner).update(bytes);
            progress.advance(bytes.len() as u64);
        };
        match source.url.strip_prefix("file:") {
            Some(path) => {
                let path = root.join(path.strip_prefix("//").unwrap_or(path));
                let len = std::fs::metadata(&path).at("read", &path)?.len();
                let mut reader = Content::file(&path, len).open().at("read", &path)?;
                copy(&mut reader, &mut writer, &each).at("read", &path)?;
            }
            None => {
                let downloaded = context.client.download(&source.url, SIZE_MAX, &mut writer, &each);
                downloaded.map_err(crate::image::MediaError::from)?;
            }
        }
        let found512 = {
            use sha2::Digest as _;
            digest::hex(&sha512.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).finalize())
        };
        let (found256, content) = writer.finish()?;
        let found256 = found256.hex();
        let pairs = [("sha256", &source.sha256, &found256), ("sha512", &source.sha512, &found512)];
        if let Some((name, expected, found)) =
            pairs.into_iter().find(|(_, expected, found)| expected != found)
        {
            return Err(Problem::new(format!("`{}` is another file than the one that is meant", source.url))
                .detail(format!("asked for in `{file}`, line {}", source.line))
                .detail(format!("expected: {name} {expected}"))
                .detail(format!("found: {name} {found}"))
                .into());
        }
        let digest: Digest = format!("sha256:{found256}")
            .parse()
            .map_err(|_| Error::Internal("a digest that was made".to_owned()))?;
        let blob = Descriptor::new("application/octet-stream", digest, content.len());
        Ok(Outputs::default().with_blob("source", blob))
    };
    let step = Step::new("source", 1, &source.url, run)
        .parameter("sha256", &source.sha256)
        .parameter("sha512", &source.sha512);
    plan.add(step)
}

fn copy(reader: &mut dyn Read, writer: &mut dyn Write, each: &dyn Fn(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => {
                let bytes = buffer.get(..got).unwrap_or_default();
                writer.write_all(bytes)?;
                each(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the step gave.
pub(super) fn content(context: &Context, outputs: &Outputs) -> Result<Content, Error> {
    context.blob(outputs.blob("source")?)
}
