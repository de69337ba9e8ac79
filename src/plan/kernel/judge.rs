//! What the kernel makes of the packages' modules beyond their signatures: the symbols that they want and the
//! versions of these, what they depend on, what has their name already.

use super::verify::Verified;
use crate::archive::Tree;
use crate::bldr::buildkit::target::KERNEL;
use crate::check::Report;
use crate::plan::check::ground::Ground;
use crate::plan::custom_imager::kernels::KernelInput;
use crate::plan::error::Error;
use crate::plan::run::Context;
use crate::talos::custom_imager::KernelFiles;
use crate::talos::version::Version;

/// The last Talos with modules in `lib/modules`: a kernel image that has them there is for it, or older.
const OLD: Version = Version::new(1, 9, 0);

/// Judges the packages of one platform as extensions upon this kernel.
pub(super) fn judge(verified: &Verified, context: &Context) -> Result<Report, Error> {
    let bundle = &verified.bundle;
    if bundle.packages.is_empty() {
        return Ok(Report::default());
    }
    let old = KernelFiles::of(&bundle.kernel.tree).is_ok_and(|files| files.folder.starts_with("lib/"));
    let talos = if old { OLD } else { Version::NEWEST };
    let ground = Ground::of_input(KernelInput::of_files(context, KERNEL, bundle.kernel.clone())?)?;
    let trees: Vec<(&str, &Tree)> =
        bundle.packages.iter().map(|(name, files)| (name.as_str(), &files.tree)).collect();
    let mut findings = Vec::new();
    let modules = ground.read(context, &trees, &talos)?;
    for (number, mut finding) in ground.judge(context, &trees, &modules, &talos)? {
        let name = trees.get(number).map(|(name, _)| format!("{name} for {}", bundle.platform));
        finding.image = name;
        findings.push(finding);
    }
    Ok(Report::new(findings))
}
