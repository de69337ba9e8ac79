//! A distribution's kernel modules. Each variable names a folder with `lib/modules/RELEASE` (or
//! `usr/lib/modules/RELEASE`) in it: what `dpkg-deb -x` makes of a kernel package, the modules not
//! compressed.

// Each test uses its part of this.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// The variable for modules of amd64.
pub(crate) const AMD64: &str = "TALOSMITH_MODULES";
/// The variable for modules of arm64.
pub(crate) const ARM64: &str = "TALOSMITH_MODULES_ARM64";

/// The folder that a variable names.
pub(crate) fn folder_of(variable: &str) -> Option<PathBuf> {
    super::judge::judge_at(variable, "folder of modules")
}

/// All modules below a folder, in order.
pub(crate) fn modules(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "ko") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The folder `kernel/drivers/net` below `folder`, and its path from `lib/modules/` on.
pub(crate) fn network_drivers(folder: &Path) -> (PathBuf, String) {
    let releases = ["lib/modules", "usr/lib/modules"].map(|path| folder.join(path));
    let releases = releases.iter().find(|path| path.is_dir()).unwrap();
    let release = std::fs::read_dir(releases).unwrap().next().unwrap().unwrap();
    let path = format!("lib/modules/{}/kernel/drivers/net", release.file_name().to_str().unwrap());
    (release.path().join("kernel/drivers/net"), path)
}
