//! Kernels that others built, with their modules: the small one of `testdata/kernel`, and Debian's.

// Each test uses its part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use talosmith::base::Content;
use talosmith::boot::Kernel;

use super::judge::{judge_at, missing};
use super::modules::{AMD64, ARM64, folder_of};

/// The files of the archive in `testdata/kernel`, by their paths without `out/`.
pub fn small() -> &'static BTreeMap<String, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/kernel/kernel-6.12.117-talos.tar.zst");
        let packed = std::fs::File::open(path).unwrap();
        let mut archive = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().trim_start_matches("out/").to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(path, bytes);
        }
        files
    })
}

/// A variant of `my-module.ko` in it.
pub fn variant(name: &str) -> &'static [u8] {
    &small()[&format!("modules/{name}/usr/lib/modules/6.12.117-talos/extras/my-module.ko")]
}

/// A kernel of Debian's.
pub struct Debian {
    /// Debian's name of its architecture.
    pub architecture: &'static str,
    /// The file.
    pub image: PathBuf,
    /// What it says of itself.
    pub kernel: Kernel,
    /// The folder of its modules.
    pub modules: PathBuf,
}

impl Debian {
    /// That of an architecture; says `skipped` if it is not there. Read once.
    pub fn of(architecture: &'static str) -> Option<&'static Self> {
        static KERNELS: [OnceLock<Option<Debian>>; 2] = [OnceLock::new(), OnceLock::new()];
        KERNELS[usize::from(architecture == "arm64")].get_or_init(|| Self::read(architecture)).as_ref()
    }

    /// Those of both architectures, as far as they are there.
    pub fn all() -> Vec<&'static Self> {
        ["amd64", "arm64"].into_iter().filter_map(Self::of).collect()
    }

    fn read(architecture: &'static str) -> Option<Self> {
        let folder = folder_of(if architecture == "arm64" { ARM64 } else { AMD64 })?;
        let image = in_folder(&folder.join("boot"), "vmlinuz-")
            .or_else(|| missing(&format!("there is no `boot/vmlinuz-*` in {}", folder.display())))?;
        let content = Content::file(&image, image.metadata().unwrap().len());
        let kernel = Kernel::read(&content).unwrap_or_else(|error| panic!("{}: {error}", image.display()));
        let modules = ["lib/modules", "usr/lib/modules"].map(|path| folder.join(path).join(&kernel.release));
        let modules = modules.into_iter().find(|path| path.is_dir()).unwrap();
        Some(Self { architecture, image, kernel, modules })
    }

    /// The list of exported symbols that its build made: `Module.symvers` of the package `linux-headers`.
    pub fn symvers(&self) -> Option<String> {
        let variable =
            if self.architecture == "arm64" { "TALOSMITH_HEADERS_ARM64" } else { "TALOSMITH_HEADERS" };
        let folder = judge_at(variable, "folder of a kernel's headers")?;
        let release = &self.kernel.release;
        let path = folder.join(format!("usr/src/linux-headers-{release}/Module.symvers"));
        std::fs::read_to_string(&path).ok().or_else(|| {
            missing(&format!("{variable} has no headers of {release}, which the modules are for"))
        })
    }
}

/// The file in a folder whose name begins so.
fn in_folder(folder: &Path, start: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(start))
}
