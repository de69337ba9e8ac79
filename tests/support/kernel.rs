//! The small kernel of `testdata/kernel`, with its modules in all variants, unpacked.

// Each test uses its part of this.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Its release.
pub(crate) const RELEASE: &str = "6.12.117-talos";

/// Unpacks it, once a process: `kernel/` is the root of a kernel image, `modules/VARIANT/` that of a package.
pub(crate) fn unpacked() -> &'static Path {
    static UNPACKED: OnceLock<tempfile::TempDir> = OnceLock::new();
    UNPACKED
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let archive = super::testdata(&format!("kernel/kernel-{RELEASE}.tar.zst"));
            let archive = zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
            tar::Archive::new(archive).unpack(folder.path()).unwrap();
            folder
        })
        .path()
}

/// The root of its kernel image.
pub(crate) fn kernel() -> PathBuf {
    unpacked().join("out/kernel")
}

/// The root of a package whose module is of this variant.
pub(crate) fn package(variant: &str) -> PathBuf {
    unpacked().join("out/modules").join(variant)
}

/// Where the module is in it.
pub(crate) fn module_path() -> String {
    format!("usr/lib/modules/{RELEASE}/extras/my-module.ko")
}
