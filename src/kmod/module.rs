//! The facts of one kernel module, from untrusted bytes.
//!
//! Sources: `.modinfo` is `key=value` entries that end in NUL (kernel: include/linux/moduleparam.h,
//! kmod: libkmod-elf.c); the signature's form is `mod_check_sig` (kernel/module_signature.c). It is
//! verified elsewhere (see [`super::signature`]).

use std::io::{Read, Seek, SeekFrom};

use super::elf::{Elf, Machine, ModuleError, NotAModule};
use crate::archive::Tree;
use crate::base::{Content, ContentReader};

/// Most bytes of `.modinfo` that are read. The largest of Debian's 6.1 kernel has 42 KiB (amdgpu).
pub const MODINFO_MAX: u64 = 1 << 20;

/// The last bytes of a signed module (kernel: `MODULE_SIG_STRING`).
pub const SIGNATURE_MAGIC: &[u8; 28] = b"~Module signature appended~\n";

/// Size of `struct module_signature`, which stands before the magic.
const TRAILER_LEN: usize = 12;

/// `PKEY_ID_PKCS7`, the only kind of signature that kernels since 4.3 take.
const PKCS7: u8 = 2;

/// Bytes behind the ELF file in which a lost signature is looked for; signatures are below 4 KiB.
const REMAINS_MAX: u64 = 64 << 10;

/// What a module says of itself. Texts are as they stand in the file; bytes that are no UTF-8 are
/// replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFacts {
    /// The name by which the kernel knows it, with `_` for `-`.
    pub name: String,
    /// The machine it is built for.
    pub machine: Machine,
    /// `vermagic`: release and flags of the kernel it is built for.
    pub vermagic: Option<String>,
    /// Whether it says which versions of symbols it was built for (kernel: `index.vers`, kernel/module/main.c).
    pub versioned: bool,
    /// `depends`: names of the modules whose symbols it needs.
    pub depends: Vec<String>,
    /// `alias`: what it is loaded for.
    pub aliases: Vec<String>,
    /// `firmware`: files below `/usr/lib/firmware` that it may ask for.
    pub firmware: Vec<String>,
    /// `softdep`, such as `pre: a b post: c`.
    pub softdeps: Vec<String>,
    /// `version`.
    pub version: Option<String>,
    /// `license`; a module may name several.
    pub licenses: Vec<String>,
    /// `intree`: built as a part of the kernel's own tree.
    pub in_tree: bool,
    /// Whether it ends in a signature.
    pub signature: SignatureState,
}

/// Whether a module ends in a signature.
///
/// A module that was stripped after signing is **not** told from one that never was signed: `strip`
/// and `objcopy` write the ELF file anew and drop what lies behind it, and nothing inside the file
/// speaks of a signature (`sig_id`, `signer` and the like in `modinfo`'s output come from the
/// signature, not from `.modinfo`). Only the company it keeps gives it away: other modules of the
/// same release are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureState {
    /// It does, in the form that the kernel takes. Whether the signature is right is another matter.
    Signed(SignatureTrailer),
    /// There is no trace of a signature.
    Unsigned,
    /// There is a trace of a signature, but the kernel will not take it for one.
    Lost(LostSignature),
}

/// What is left of a signature that the kernel will not find or not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LostSignature {
    /// The kernel looks for the mark at the very end only.
    #[error("the signature's mark must end the file; bytes behind it: {extra}")]
    NotAtEnd {
        /// Number of bytes behind the mark.
        extra: u64,
    },
    /// A cut: the signature begins behind the ELF file but its mark is not there.
    #[error("the {left} bytes behind the module look like a signature that was cut off")]
    CutOff {
        /// Bytes behind the ELF file.
        left: u64,
    },
    /// The mark is there, but what stands before it cannot be.
    #[error("the signature's trailer {0}")]
    Trailer(&'static str),
}

/// Where the signature of a module is. `struct module_signature` has more fields; they are all 0 in
/// a form that the kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureTrailer {
    /// Length of the module without the signature: the bytes that were signed.
    pub content_len: u64,
    /// Length of the CMS message that follows them.
    pub signature_len: u32,
}

impl ModuleFacts {
    /// Reads the facts of the module in `content`. `file_name` gives the name of a module that does
    /// not carry its own, as those built for kernels before 4.13. Compressed modules must be unpacked
    /// first (see [`super::compressed`]).
    pub fn read(content: &Content, file_name: &str) -> Result<Self, ModuleError> {
        let signature = read_trailer(content)?;
        let len = match &signature {
            SignatureState::Signed(trailer) => trailer.content_len,
            _ => content.len(),
        };
        let mut elf = Elf::open(content, len)?;
        let info = elf.section(".modinfo").ok_or(NotAModule::NoSection(".modinfo"))?;
        let this = ".gnu.linkonce.this_module"; // becomes the kernel's `struct module`
        elf.section(this).ok_or(NotAModule::NoSection(this))?;
        // The second since Linux 6.13, for names that do not fit into the first.
        let versioned = ["__versions", "__version_ext_crcs"].iter().any(|name| elf.section(name).is_some());
        let info = Info(elf.read(&info, MODINFO_MAX)?);
        let signature = match signature {
            SignatureState::Unsigned => find_remains(&mut content.open()?, elf.end(), len)?,
            other => other,
        };
        Ok(Self {
            name: info.first("name").map_or_else(|| name_of_file(file_name), |name| name.replace('-', "_")),
            machine: elf.machine(),
            vermagic: info.first("vermagic"),
            versioned,
            depends: info.first("depends").map_or_else(Vec::new, |names| split_names(&names)),
            aliases: info.all("alias").collect(),
            firmware: info.all("firmware").collect(),
            softdeps: info.all("softdep").collect(),
            version: info.first("version"),
            licenses: info.all("license").collect(),
            in_tree: info.first("intree").is_some_and(|value| value == "Y"),
            signature,
        })
    }

    /// The kernel release that it is built for: the first word of its vermagic.
    pub fn release(&self) -> Option<&str> {
        self.vermagic.as_deref()?.split_whitespace().next()
    }
}

/// The endings of modules' names. kmod takes the compressed ones that it was built for; Debian's,
/// for one, was built without gzip.
pub const ENDINGS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// Whether a file is named as a module, be it compressed.
pub fn is_named_as_module(path: &str) -> bool {
    ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// The name of the module in a file: up to the first dot, with `_` for `-` (kmod:
/// `path_to_modname`).
pub fn name_of_file(file_name: &str) -> String {
    let name = file_name.rsplit('/').next().unwrap_or(file_name);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

/// Names of the modules in a tree, by their files.
pub fn names_of(tree: &Tree) -> impl Iterator<Item = String> + '_ {
    let files = tree.iter().filter(|(path, entry)| entry.content().is_some() && is_named_as_module(path));
    files.map(|(path, _)| name_of_file(path))
}

fn split_names(names: &str) -> Vec<String> {
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The bytes of `.modinfo`.
#[derive(Debug)]
pub(super) struct Info(pub(super) Vec<u8>);

impl Info {
    /// The entries of these keys, without the texts that are for people.
    pub(super) fn only(&self, keys: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for entry in self.0.split(|byte| *byte == 0) {
            let key = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
            if keys.iter().any(|wanted| wanted.as_bytes() == key) {
                bytes.extend_from_slice(entry);
                bytes.push(0);
            }
        }
        Self(bytes)
    }

    /// The values of a key, in their order.
    pub(super) fn values(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|byte| *byte == 0)
            .filter_map(move |entry| entry.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    fn all(&self, key: &str) -> impl Iterator<Item = String> {
        self.values(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Of several entries the kernel takes the first.
    fn first(&self, key: &str) -> Option<String> {
        self.all(key).next()
    }
}

/// Looks at the end of the file as the kernel does: the mark, and before it a trailer whose only
/// fields that are not 0 are the kind and the length (`mod_check_sig`).
fn read_trailer(content: &Content) -> Result<SignatureState, ModuleError> {
    const END: usize = TRAILER_LEN + SIGNATURE_MAGIC.len();
    let Some(before) = content.len().checked_sub(END as u64) else { return Ok(SignatureState::Unsigned) };
    let mut reader = content.open()?;
    reader.seek(SeekFrom::Start(before))?;
    let mut end = [0; END];
    reader.read_exact(&mut end)?;
    let [algo, hash, kind, signer, key_id, pad @ ..] = end;
    let [pad0, pad1, pad2, len0, len1, len2, len3, magic @ ..] = pad;
    if &magic != SIGNATURE_MAGIC {
        return Ok(SignatureState::Unsigned);
    }
    let signature_len = u32::from_be_bytes([len0, len1, len2, len3]);
    let why = match before.checked_sub(u64::from(signature_len)) {
        _ if kind != PKCS7 => "names a kind of signature other than PKCS#7",
        _ if [algo, hash, signer, key_id, pad0, pad1, pad2] != [0; 7] => "has fields set that must be 0",
        _ if signature_len == 0 => "says that the signature is empty",
        None | Some(0) => "says that the signature is longer than the file",
        Some(content_len) => {
            return Ok(SignatureState::Signed(SignatureTrailer { content_len, signature_len }));
        }
    };
    Ok(SignatureState::Lost(LostSignature::Trailer(why)))
}

/// Tells whether what lies between the end of the ELF file and the end of the file was a signature.
fn find_remains(reader: &mut ContentReader, end: u64, len: u64) -> Result<SignatureState, ModuleError> {
    let left = len.saturating_sub(end);
    reader.seek(SeekFrom::Start(end))?;
    let mut bytes = Vec::new();
    reader.take(left.min(REMAINS_MAX)).read_to_end(&mut bytes)?;
    let mark = bytes.windows(SIGNATURE_MAGIC.len()).rposition(|window| window == SIGNATURE_MAGIC);
    Ok(match mark {
        Some(at) => {
            let extra = left - (at + SIGNATURE_MAGIC.len()) as u64; // the mark lies within `left`
            SignatureState::Lost(LostSignature::NotAtEnd { extra })
        }
        // A CMS message is a DER sequence with a length of two bytes.
        None if bytes.starts_with(&[0x30, 0x82]) => SignatureState::Lost(LostSignature::CutOff { left }),
        None => SignatureState::Unsigned,
    })
}

#[cfg(test)]
#[path = "module_tests.rs"]
mod tests;
