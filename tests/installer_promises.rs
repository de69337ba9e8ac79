//! What stays true when something goes wrong in the middle: one error that says what, no output, nothing
//! half-made, and a cache that serves the next run.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::installer::{Image, Inputs, below, blob, extension, half_made};
use support::registry::{FakeRegistry, Faults};
use support::{Ran, World, testdata};

/// A copy of one of the test data's layouts, to be damaged.
fn copy_of(world: &World, name: &str) -> (String, Image) {
    let layout = format!("oci:{}", testdata(&format!("installer/{name}")));
    world.ok(&["copy", &layout, &format!("oci:{name}"), "--cache", "apart"]);
    (format!("oci:{name}"), Image::open(&world.path(name)))
}

fn blob_file(world: &World, layout: &str, digest: &str) -> std::path::PathBuf {
    world.path(layout).join("blobs").join(digest.replace(':', "/"))
}

/// That a run left nothing but its cache, which has no drafts in it.
fn nothing_left(world: &World, outputs: &[&str]) {
    for output in outputs {
        assert_eq!(below(&world.path(output)), Vec::<String>::new(), "{output}");
        assert!(!world.path(output).exists(), "{output}");
    }
    assert_eq!(half_made(&world.path("")), Vec::<String>::new());
}

/// The lines of a run's standard error that are errors.
fn errors(ran: &Ran) -> Vec<&str> {
    ran.err.lines().filter(|line| line.starts_with("error:")).collect()
}

#[test]
fn a_layer_that_is_cut_is_one_error_and_the_whole_one_works_with_the_same_cache() {
    let tiny = Inputs::tiny();
    let wanted = {
        let world = World::new();
        world.digest(&tiny.words(&[&testdata("my-module/amd64")], &["-o", "oci:out"]))
    };
    for what in ["imager", "base", "extension"] {
        let world = World::new();
        let (reference, image) = match what {
            "extension" => {
                world.ok(&[
                    "extension",
                    &testdata("my-module/amd64"),
                    "-o",
                    "oci:extension",
                    "--cache",
                    "apart",
                ]);
                ("oci:extension".to_owned(), Image::open(&world.path("extension")))
            }
            name => copy_of(&world, name),
        };
        let mut inputs = Inputs::tiny();
        let mut extension = testdata("my-module/amd64");
        match what {
            "imager" => inputs.imager = reference,
            "base" => inputs.base = reference,
            _ => extension = reference,
        }
        let layer = &image.layers()[0];
        let file = blob_file(&world, what, layer);
        let whole = fs::read(&file).unwrap();
        let damaged = |bytes: &[u8]| {
            // A file of its own: copies within a file system may share it.
            fs::remove_file(&file).unwrap();
            fs::write(&file, bytes).unwrap();
        };
        let words = inputs.words(&[&extension], &["-o", "oci:out", "-o", "docker-archive:out.tar"]);
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        // A base's layer of the right size is not looked into: a local layout is trusted in its blobs.
        let wrong: &[&[u8]] = if what == "base" {
            &[&whole[..whole.len() / 2]]
        } else {
            &[&whole[..whole.len() / 2], &flipped]
        };
        for bytes in wrong {
            damaged(bytes);
            let ran = world.run(&words);
            assert!([3, 5].contains(&ran.code), "{what} {ran:?}");
            assert_eq!(errors(&ran).len(), 1, "{what} {ran:?}");
            assert!(ran.err.contains(&layer[..19]), "{what} {ran:?}");
            nothing_left(&world, &["out", "out.tar"]);
        }
        damaged(&whole);
        assert_eq!(world.ok(&words).lines().next().unwrap(), format!("oci:out@{wanted}"), "{what}");
    }
}

/// The inputs of the test data in a registry.
fn in_registry(world: &World, fake: &FakeRegistry) -> Inputs {
    let tiny = Inputs::tiny();
    let inputs = Inputs {
        imager: format!("docker://{}/siderolabs/imager:v1.11.3", fake.host),
        base: format!("docker://{}/siderolabs/installer-base:v1.11.3", fake.host),
    };
    world.ok(&["copy", &tiny.imager, &inputs.imager, "--cache", "apart"]);
    world.ok(&["copy", &tiny.base, &inputs.base, "--cache", "apart"]);
    inputs
}

#[test]
fn a_registry_that_goes_away_in_the_middle_is_one_error_and_the_next_run_goes_on() {
    let world = World::new();
    let fake = FakeRegistry::start(Faults::default());
    let inputs = in_registry(&world, &fake);
    let my_module = testdata("my-module/amd64");
    let words = inputs.words(&[&my_module], &["-o", "oci:out", "-o", "docker-archive:out.tar"]);
    for fault in [
        Faults { truncate: true, ..Faults::default() },
        Faults { corrupt: true, ..Faults::default() },
        Faults { overlong: true, ..Faults::default() },
    ] {
        fake.set(|faults| *faults = fault);
        let ran = world.run(&words);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert_eq!(errors(&ran).len(), 1, "{ran:?}");
        assert!(ran.err.contains(&fake.host), "{ran:?}");
        nothing_left(&world, &["out", "out.tar"]);
    }
    fake.set(|faults| *faults = Faults::default());
    let made = world.ok(&words);
    let local = Inputs::tiny();
    let wanted = world.digest(&local.words(&[&testdata("my-module/amd64")], &["-o", "oci:local"]));
    assert_eq!(made.lines().next().unwrap(), format!("oci:out@{wanted}"));
}

#[test]
fn a_registry_that_refuses_the_push_is_one_error() {
    let world = World::new();
    let fake = FakeRegistry::start(Faults {
        refuse_upload: Some((403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#.to_owned())),
        ..Faults::default()
    });
    let to = format!("docker://{}/acme/installer:1", fake.host);
    let tiny = Inputs::tiny();
    let ran = world.run(&tiny.words(&[&testdata("my-module/amd64")], &["-o", &to]));
    ran.failed(4, &[&fake.host, "403"]);
    assert_eq!(errors(&ran).len(), 1, "{ran:?}");
    assert_eq!(fake.count("PUT", "/manifests/"), 0);
    assert_eq!(half_made(&world.path("")), Vec::<String>::new());
    fake.set(|faults| *faults = Faults::default());
    world.ok(&tiny.words(&[&testdata("my-module/amd64")], &["-o", &to]));
}

/// Runs the binary with files of at most so many blocks of 512 bytes: as full a disk as one may have anywhere.
fn with_file_limit(world: &World, blocks: u32, words: &[&str]) -> Ran {
    let program = world.command(&[]);
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    command.args(["-c", &script, "sh"]).arg(program.get_program()).args(words);
    command.current_dir(world.path("")).env_clear();
    command.env("HOME", world.path("home")).env("XDG_CACHE_HOME", world.path("cache"));
    Ran::of(command.output().unwrap())
}

#[test]
fn a_full_disk_is_one_error_and_leaves_nothing_half_made() {
    let tiny = Inputs::tiny();
    for output in ["oci:out", "oci-archive:out.tar", "docker-archive:out.tar"] {
        let world = World::new();
        let name = output.split_once(':').unwrap().1;
        let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let large = extension(&world, "large", &[("usr/local/share/x", &noise)]);
        let words = tiny.words(&[&large], &["-o", output]);
        // From the first file of the cache to the last of the output.
        for blocks in [8, 100, 300] {
            let ran = with_file_limit(&world, blocks, &words);
            assert!([3, 5].contains(&ran.code), "{output} {blocks} {ran:?}");
            assert_eq!(errors(&ran).len(), 1, "{output} {ran:?}");
            assert!(ran.err.contains("File too large"), "{output} {blocks} {ran:?}");
            nothing_left(&world, &[name]);
        }
        world.ok(&words);
        world.ok(&["inspect", output]);
    }
}

/// A file system of so many KiB below `name`; unmounted when dropped. `None`, said, if nobody may mount one.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(world: &World, name: &str, kib: u32) -> Option<Self> {
        let path = world.path(name);
        fs::create_dir(&path).unwrap();
        let size = format!("size={kib}k");
        let words = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        let status = Command::new("mount").args(words).arg(&path).stderr(Stdio::null()).status();
        match status.is_ok_and(|status| status.success()) {
            true => Some(Self(path)),
            false => support::judge::missing("nobody but root may mount a tmpfs"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status(); // the world's folder stays if it fails
    }
}

#[test]
fn a_file_system_without_room_is_told_wherever_it_shows() {
    let world = World::new();
    let tiny = Inputs::tiny();
    let noise: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let large = extension(&world, "large", &[("usr/local/share/x", &noise)]);
    let (Some(small), Some(medium)) = (Disk::mount(&world, "small", 200), Disk::mount(&world, "medium", 600))
    else {
        return;
    };
    let run = |more: &[&str]| world.run(&tiny.words(&[&large], more));
    // The cache has no room for the boot assets.
    let ran = run(&["-o", "oci:out", "--cache", "small/cache"]);
    ran.failed(5, &["No space left on device", "--cache DIR"]);
    assert_eq!(errors(&ran).len(), 1, "{ran:?}");
    // It has room for them, and none for what is made of them, which is known before.
    let ran = run(&["-o", "oci:out", "--cache", "medium/cache"]);
    ran.failed(5, &["medium/cache`", "are needed, and", "are free", "--cache DIR"]);
    nothing_left(&world, &["out"]);
    // The output has none, which is known when it is written.
    for output in ["oci:small/out", "oci-archive:small/out.tar", "docker-archive:small/out.tar"] {
        let ran = run(&["-o", output]);
        ran.failed(5, &[&format!("cannot write `{output}`"), "No space left on device"]);
        assert_eq!(errors(&ran).len(), 1, "{ran:?}");
        assert!(!below(&small.0).iter().any(|path| path.starts_with("out")), "{:?}", below(&small.0));
    }
    assert_eq!(half_made(&small.0), Vec::<String>::new());
    assert_eq!(half_made(&medium.0), Vec::<String>::new());
    world.ok(&tiny.words(&[&large], &["-o", "oci:out"]));
}

/// Starts the binary, waits until `begun` says so, sends SIGINT, and gives what came of it.
fn interrupted(world: &World, words: &[&str], begun: impl Fn() -> bool) -> Ran {
    let mut command = world.command(words);
    let mut child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended: {:?}", child.wait_with_output());
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn an_interrupted_run_leaves_nothing_half_made_and_a_cache_that_serves() {
    let world = World::new();
    let fake = FakeRegistry::start(Faults::default());
    let inputs = in_registry(&world, &fake);
    let layer =
        |name: &str| Image::open(Path::new(&testdata(&format!("installer/{name}")))).layers().swap_remove(0);
    let my_module = testdata("my-module/amd64");
    // While the boot assets are pulled, and while the base's layer goes into the output.
    for (cache, (name, output, path)) in [
        ("imager", "oci:out", "out"),
        ("base", "oci:out", "out"),
        ("base", "docker-archive:out.tar", "out.tar"),
        ("base", "oci-archive:out.tar", "out.tar"),
    ]
    .into_iter()
    .enumerate()
    {
        let (digest, cache) = (layer(name), format!("cache-{cache}"));
        fake.set(|faults| faults.stall = Some(digest.clone()));
        let before = fake.count("GET", &digest);
        let words = inputs.words(&[&my_module], &["-o", output, "-q", "--cache", &cache]);
        let ran = interrupted(&world, &words, || fake.count("GET", &digest) > before);
        assert_eq!(ran.code, 130, "{ran:?}");
        assert_eq!(half_made(&world.path("")), Vec::<String>::new(), "{name} {output}");
        let files = below(&world.path(path)).into_iter().filter(|file| world.path(path).join(file).is_file());
        assert_eq!(files.collect::<Vec<_>>(), Vec::<String>::new(), "{name} {output}");
        assert!(!world.path(path).is_file());
        fake.set(|faults| faults.stall = None);
        if name == "base" {
            world.ok(&words);
            assert_eq!(world.ok(&["inspect", output]).matches("kind        installer\n").count(), 1);
            let _ = fs::remove_dir_all(world.path("out"));
            let _ = fs::remove_file(world.path("out.tar"));
        }
    }
}

#[test]
fn an_interrupted_run_of_the_imager_leaves_no_folder_of_the_moment() {
    let world = World::new();
    let fake = FakeRegistry::start(Faults::default());
    let inputs = in_registry(&world, &fake);
    let base = inputs.base.strip_prefix("docker://").unwrap().to_owned();
    let inputs = Inputs { base, ..inputs };
    let digest = Image::open(Path::new(&testdata("installer/base"))).layers().swap_remove(0);
    fake.set(|faults| faults.stall = Some(digest.clone()));
    let words = inputs.imager("installer", &["--tar-to-stdout", "-q"]);
    let ran = interrupted(&world, &words, || fake.count("GET", &digest) > 0);
    assert_eq!((ran.code, ran.out.as_str()), (130, ""), "{ran:?}");
    assert_eq!(half_made(&world.path("")), Vec::<String>::new());
}

#[test]
fn what_a_cache_has_lost_is_made_again() {
    let (world, tiny) = (World::new(), Inputs::tiny());
    let my_module = testdata("my-module/amd64");
    let words = tiny.words(&[&my_module], &["-o", "oci:out"]);
    let made = world.digest(&words);
    let blobs = world.path("cache/talosmith/blobs/sha256");
    let names: Vec<String> = below(&blobs);
    assert!(names.len() > 3, "{names:?}");
    for (index, name) in names.iter().enumerate() {
        fs::remove_dir_all(world.path("out")).unwrap();
        let file = blobs.join(name);
        if !file.exists() {
            world.ok(&words);
            continue;
        }
        if index % 2 == 0 {
            fs::remove_file(&file).unwrap();
        } else {
            let half = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            fs::write(&file, &half[..half.len() / 2]).unwrap();
        }
        assert_eq!(world.digest(&words), made, "{name}");
        let image = Image::open(&world.path("out"));
        for digest in image.layers() {
            let bytes = blob(&world.path("out"), &digest);
            assert_eq!(talosmith::base::Digest::of(&bytes).to_string(), digest);
        }
    }
}
