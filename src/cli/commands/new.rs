//! `talosmith new`

use std::fs;

use serde_json::json;

use super::super::args::New;
use super::super::failure::{Failure, Outcome};
use super::super::printer::Printer;
use crate::base::fsio;
use crate::talos::manifest::{MANIFEST_VERSION, Manifest};

pub(super) fn run(args: &New, printer: &Printer) -> Result<Outcome, Failure> {
    let folder = &args.name;
    let name =
        folder.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name)).ok_or_else(|| {
            Failure::usage(format!("`{}` is no name for an extension", folder.display())).hint(Some(
                "use lower-case letters, digits, `-`, `_` and `.`: it becomes part of the image's name"
                    .to_owned(),
            ))
        })?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        return Err(Failure::input(format!("`{}` is there already and is not empty", folder.display()))
            .hint(Some("choose another name; nothing was changed".to_owned())));
    }
    let manifest = Manifest {
        manifest_version: MANIFEST_VERSION.to_owned(),
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        author: "your name".to_owned(),
        description: "What this extension brings, and for which hardware.".to_owned(),
        compatibility: Some(">= v1.10.0".to_owned()),
        ..Manifest::default()
    };
    let write = || -> Result<(), fsio::FileError> {
        fsio::create_dir(&folder.join("rootfs"))?;
        fsio::write(&folder.join("manifest.yaml"), manifest.to_yaml().as_bytes())?;
        fsio::write(&folder.join("README.md"), readme(name).as_bytes())
    };
    write().map_err(|error| Failure::output(error.to_string()))?;
    let shown = folder.display();
    let text = format!(
        "{shown}/manifest.yaml\n{shown}/rootfs/\n{shown}/README.md\n\n\
        put files into {shown}/rootfs, then: talosmith extension {shown} -o oci:out:{name}\n"
    );
    printer.result("new", json!({ "folder": folder, "name": name }), &text)?;
    Ok(Outcome::Done)
}

fn is_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.bytes().next().is_some_and(word) && name.bytes().all(|b| word(b) || b"-_.".contains(&b))
}

fn readme(name: &str) -> String {
    format!(
        "# {name}\n\n\
        A Talos Linux extension. Everything below `rootfs/` becomes part of the system's root.\n\n\
        - Kernel modules: `rootfs/usr/lib/modules/RELEASE/extras/`, or `--module FILE.ko` below.\n\
        - Firmware: `rootfs/usr/lib/firmware/`; services: `rootfs/usr/local/etc/containers/*.yaml`.\n\
        - Say in `manifest.yaml` what it is and for which Talos it was made.\n\n\
        Build it, look at it, push it:\n\n    \
        talosmith extension . -o oci:out:{name} && talosmith inspect oci:out:{name}\n    \
        talosmith copy oci:out:{name} docker://registry.example.com/acme/{name}:0.1.0\n"
    )
}
