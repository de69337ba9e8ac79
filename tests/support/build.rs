//! Worlds with a spec for `talosmith build`.

use super::World;
use super::installer::{Inputs, extension, module};

/// A world with a spec: an installer of the test data with these extensions.
pub fn spec(world: &World, extensions: &str, more: &str) {
    let tiny = Inputs::tiny();
    world.write(
        "talosmith.yaml",
        format!(
            "version: v1\ntalos: v1.11.3\nextensions:\n{extensions}installers:\n  - imager: {}\n    base: {}\n    extraKernelArgs: [console=ttyS1]\n    outputs: [{{oci: out/installer}}]\n{more}",
            tiny.imager, tiny.base
        ),
    );
}

/// A world with an extension that has a module, and a spec of it and an installer.
pub fn simple() -> World {
    let world = World::new();
    let (path, bytes) = module("good.ko");
    extension(&world, "mine", &[(&path, &bytes)]);
    spec(&world, "  - path: mine\n    outputs: [{oci: out/mine}]\n", "");
    world
}

/// The digest of what a reference names.
pub fn digest_of(world: &World, reference: &str) -> String {
    world.json(&["inspect", reference])["result"]["digest"].as_str().unwrap().to_owned()
}
