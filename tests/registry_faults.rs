//! What goes wrong between here and a registry: each fault with a pull, a push and a copy, all of which end in the
//! right image or in an error that says what is wrong, and leave nothing half made.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::json;
use support::registry::{FakeRegistry, Faults, Rule, Wrong, answer, noise, rule};
use support::time::TestTime;
use talosmith::base::{Digest, Events, Workers, chain};
use talosmith::image::registry::Client;
use talosmith::image::{Descriptor, MediaError, Store, media_type};
use talosmith::plan::copy::copy;
use talosmith::plan::{Context, Error};

/// A small image: its manifest and blobs, the largest of several buffers and chunks.
struct Sample {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

const LARGE: usize = 900_000;

impl Sample {
    fn new() -> Self {
        let blobs = vec![
            br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec(),
            noise(1, 3000),
            noise(2, LARGE),
        ];
        let of = |index: usize, media_type| json!(Descriptor::of(media_type, &blobs[index]));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": of(0, media_type::OCI_CONFIG),
            "layers": [of(1, media_type::OCI_LAYER), of(2, media_type::OCI_LAYER)],
        });
        Self { manifest: serde_json::to_vec(&manifest).unwrap(), blobs }
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// A registry that has it as `acme/x:1`.
    fn registry(&self) -> FakeRegistry {
        let fake = FakeRegistry::start(Faults::default());
        for blob in &self.blobs {
            fake.add_blob("acme/x", blob);
        }
        for name in ["1", &self.digest().to_string()] {
            fake.add_manifest("acme/x", name, media_type::OCI_MANIFEST, &self.manifest);
        }
        fake
    }
}

/// What a fault ends in.
#[derive(Clone, Copy)]
enum End {
    /// The right image.
    Well,
    /// An error with these words.
    Error(&'static str),
}

/// A fault, and what becomes of a pull and a push; a copy, with the fault on both sides, fails where either does.
struct Script {
    name: &'static str,
    rules: Vec<Rule>,
    more: fn(&mut Faults),
    pull: End,
    push: End,
}

const ALWAYS: usize = usize::MAX;
/// The blob that is large, by its digest.
fn large() -> &'static str {
    Box::leak(Digest::of(&noise(2, LARGE)).to_string().into_boxed_str())
}

fn scripts() -> Vec<Script> {
    use End::{Error, Well};
    use Wrong::{Answer, Corrupt, Cut, Mute, Silence, Stall, Take, With, Without};
    let large = large();
    let upload = "/blobs/uploads/";
    let mut scripts = Vec::new();
    let mut add = |name, rules: &[Rule], pull, push| {
        scripts.push(Script { name, rules: rules.to_vec(), more: |_| {}, pull, push });
    };
    // Statuses that say "later".
    for (name, status) in [
        ("408 once", 408),
        ("425 once", 425),
        ("429 once", 429),
        ("500 once", 500),
        ("502 once", 502),
        ("503 once", 503),
        ("504 once", 504),
    ] {
        add(name, &[rule("", "/v2/", 1, answer(status))], Well, Well);
    }
    let later = &[("Retry-After", "7")];
    add("429 with Retry-After", &[rule("", "/v2/", 3, Answer(429, later, ""))], Well, Well);
    add("503 with Retry-After", &[rule("", "/v2/", 3, Answer(503, later, ""))], Well, Well);
    let date = &[("Date", "Sat, 28 Nov 2026 10:00:00 GMT"), ("Retry-After", "Sat, 28 Nov 2026 10:00:30 GMT")];
    add("503 with Retry-After as a date", &[rule("", "/v2/", 2, Answer(503, date, ""))], Well, Well);
    let hour = &[("Retry-After", "3600")];
    let wait = Error("asks to be left alone for 3600 s");
    add("429 for an hour", &[rule("", "/v2/", ALWAYS, Answer(429, hour, ""))], wait, wait);
    add("each request 503 once and again", &[rule("", "/v2/", 5, answer(503))], Well, Well);
    add("503 for ever", &[rule("", "/v2/", ALWAYS, answer(503))], Error("status 503"), Error("status 503"));
    let page = "<html>a page of a proxy</html>";
    add(
        "502 with a page",
        &[rule("", "/v2/", ALWAYS, Answer(502, &[], page))],
        Error("status 502"),
        Error("status 502"),
    );
    let busy = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    let said = Error("TOOMANYREQUESTS: slow down");
    // An answer to HEAD has no words.
    add("429 for ever", &[rule("", "/v2/", ALWAYS, Answer(429, &[], busy))], said, Error("status 429"));
    // What no other try mends.
    let denied = r#"{"errors":[{"code":"DENIED","message":"no"}]}"#;
    add(
        "403",
        &[rule("", "/v2/", ALWAYS, Answer(403, &[], denied))],
        Error("DENIED: no"),
        Error("status 403"),
    );
    add(
        "401 without a challenge",
        &[rule("", "/v2/", ALWAYS, answer(401))],
        Error("status 401"),
        Error("status 401"),
    );
    add(
        "400 for manifests",
        &[rule("", "/manifests/", ALWAYS, answer(400))],
        Error("status 400"),
        Error("status 400"),
    );
    add(
        "a manifest that is a page",
        &[rule("GET", "/manifests/", ALWAYS, Answer(200, &[], page))],
        Error("neither manifest nor index"),
        Well,
    );
    // Connections that end.
    add("a connection that ends before an answer", &[rule("GET", "/v2/", 3, Mute)], Well, Well);
    add("each connection ends", &[rule("", "/v2/", ALWAYS, Mute)], Error("connection"), Error("connection"));
    add("a manifest that is cut", &[rule("GET", "/manifests/", 2, Cut(20))], Well, Well);
    add("a blob that is cut at its begin", &[rule("GET", large, 1, Cut(0))], Well, Well);
    add("a blob that is cut in its middle", &[rule("GET", large, 1, Cut(400_000))], Well, Well);
    add("a blob that is cut again and again", &[rule("GET", large, 8, Cut(100_000))], Well, Well);
    add(
        "a blob of which never anything comes",
        &[rule("GET", large, ALWAYS, Cut(0))],
        Error("connection"),
        Well,
    );
    add("an upload that is cut at its begin", &[rule("PUT", upload, 1, Take(0))], Well, Well);
    add("an upload that is cut in its middle", &[rule("PUT", upload, 3, Take(500_000))], Well, Well);
    add(
        "an upload that is cut in each part",
        &[rule("PUT", upload, 1, Take(300_000)), rule("PATCH", upload, 2, Take(200_000))],
        Well,
        Well,
    );
    add(
        "uploads of which nothing is ever taken",
        &[rule("PUT", upload, ALWAYS, Take(0)), rule("PATCH", upload, ALWAYS, Take(0))],
        Well,
        Error("connection"),
    );
    add("an upload whose answer is lost", &[rule("PUT", upload, 3, Mute)], Well, Well);
    add(
        "a part whose answer is lost",
        &[rule("PUT", upload, 1, Take(300_000)), rule("PATCH", upload, 1, Mute)],
        Well,
        Well,
    );
    add("a manifest whose answer is lost", &[rule("PUT", "/manifests/", 2, Mute)], Well, Well);
    add("a session that cannot be opened at first", &[rule("POST", upload, 2, Mute)], Well, Well);
    // Connections that stand still.
    add("silence after a request", &[rule("", "/v2/", 1, Silence)], Well, Well);
    add("a blob that stands still", &[rule("GET", large, 1, Stall(400_000))], Well, Well);
    add("a manifest that stands still", &[rule("GET", "/manifests/", 1, Stall(10))], Well, Well);
    add("an upload that is not answered", &[rule("PUT", upload, 1, Silence)], Well, Well);
    // Bytes that are wrong.
    add("a blob damaged on its way", &[rule("GET", large, 1, Corrupt)], Well, Well);
    add(
        "a blob damaged where it lies",
        &[rule("GET", large, ALWAYS, Corrupt)],
        Error("its digest is `sha256:"),
        Well,
    );
    add(
        "a blob with a damaged part",
        &[rule("GET", large, 1, Cut(400_000)), rule("GET", large, 1, Corrupt)],
        Well,
        Well,
    );
    add(
        "a manifest damaged where it lies",
        &[rule("GET", "/manifests/", ALWAYS, Corrupt)],
        Error("its digest is `sha256:"),
        Well,
    );
    let other = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let claims = With("Docker-Content-Digest", other);
    add(
        "a manifest of another digest",
        &[rule("", "/manifests/", ALWAYS, claims)],
        Error("its digest is `sha256:"),
        Error("digest is `sha256:0000"),
    );
    add(
        "a digest that is none",
        &[rule("", "/manifests/", ALWAYS, With("Docker-Content-Digest", "x"))],
        Error("is no digest"),
        Error("is no digest"),
    );
    // Answers that lack something, or have it in another form.
    add(
        "no Location",
        &[rule("POST", upload, ALWAYS, Without("Location"))],
        Well,
        Error("without a `Location`"),
    );
    add(
        "a Location that is none",
        &[rule("POST", upload, ALWAYS, With("Location", "http://[x"))],
        Well,
        Error("no URL"),
    );
    add(
        "a Location of another kind",
        &[rule("POST", upload, ALWAYS, With("Location", "ftp://h/x"))],
        Well,
        Error("not HTTP"),
    );
    add(
        "a redirect to nowhere",
        &[rule("GET", large, ALWAYS, answer(307))],
        Error("redirects without saying where"),
        Well,
    );
    add(
        "no Range of a session",
        &[rule("PUT", upload, 1, Take(500_000)), rule("GET", upload, ALWAYS, Without("Range"))],
        Well,
        Well,
    );
    add(
        "sessions that cannot be asked",
        &[rule("PUT", upload, 1, Take(500_000)), rule("GET", upload, ALWAYS, answer(405))],
        Well,
        Well,
    );
    add(
        "a session that is lost",
        &[rule("PUT", upload, 1, Answer(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#))],
        Well,
        Well,
    );
    add(
        "sessions that are always lost",
        &[rule("PUT", upload, ALWAYS, Answer(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#))],
        Well,
        Error("BLOB_UPLOAD_UNKNOWN"),
    );
    add(
        "no parts",
        &[rule("PUT", upload, 1, Take(500_000)), rule("PATCH", upload, ALWAYS, answer(405))],
        Well,
        Well,
    );
    add(
        "416 for a part",
        &[rule("PUT", upload, 1, Take(500_000)), rule("PATCH", upload, 1, answer(416))],
        Well,
        Well,
    );
    add(
        "416 for a part of a blob",
        &[rule("GET", large, 1, Cut(400_000)), rule("GET", large, 1, answer(416))],
        Well,
        Well,
    );
    add(
        "a digest that the registry finds wrong once",
        &[rule("PUT", upload, 1, Answer(400, &[], r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#))],
        Well,
        Well,
    );
    add("no HEAD", &[rule("HEAD", "", ALWAYS, answer(405))], Well, Well);
    add("HEAD not implemented", &[rule("HEAD", "", ALWAYS, answer(501))], Well, Well);
    let least = With("OCI-Chunk-Min-Length", "262144");
    add(
        "parts of a least size",
        &[rule("POST", upload, ALWAYS, least), rule("PUT", upload, 1, Take(300_000))],
        Well,
        Well,
    );
    let mut more = |name, rules: &[Rule], more, pull, push| {
        scripts.push(Script { name, rules: rules.to_vec(), more, pull, push });
    };
    more("no ranges", &[rule("GET", large, 1, Cut(400_000))], |faults| faults.no_ranges = true, Well, Well);
    more(
        "uploads that are forgotten",
        &[rule("PUT", upload, 1, Take(500_000))],
        |faults| faults.forgetful = true,
        Well,
        Well,
    );
    more("blobs without a length", &[], |faults| faults.overlong = true, Error("or more, expected"), Well);
    more("answers without anything", &[], |faults| faults.bare_answers = true, Well, Well);
    more("absolute Locations", &[], |faults| faults.absolute_location = true, Well, Well);
    more(
        "tokens that are used up at once",
        &[],
        |faults| {
            faults.bearer = true;
            faults.token_uses = Some(1);
        },
        Well,
        Well,
    );
    more(
        "tokens that are over when they come",
        &[],
        |faults| {
            faults.bearer = true;
            faults.expires_in = Some(0);
        },
        Well,
        Well,
    );
    more(
        "a token server that fails at first",
        &[rule("", "/token", 2, answer(503))],
        |faults| faults.bearer = true,
        Well,
        Well,
    );
    more(
        "a token server that fails",
        &[rule("", "/token", ALWAYS, answer(500))],
        |faults| faults.bearer = true,
        Error("get a token"),
        Error("get a token"),
    );
    more(
        "a token server that gives nothing",
        &[rule("", "/token", ALWAYS, Answer(200, &[], "{}"))],
        |faults| faults.bearer = true,
        Error("answers with no token"),
        Error("answers with no token"),
    );
    more("mounts that are refused", &[], |faults| faults.mount_refused = true, Well, Well);
    scripts
}

struct World {
    folder: tempfile::TempDir,
    time: TestTime,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), time: TestTime::default() }
    }

    fn context(&self, name: &str) -> Context {
        let events = Events::default();
        let client = Client::new(self.time.options(), events.clone());
        let store = Store::open(self.folder.path().join(name)).unwrap();
        Context::new(store, Workers::new(1), client, events)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Media(MediaError::Registry(error)) => error.hint(),
        Error::Output { source, .. } => hint(source),
        _ => None,
    }
}

/// Copies, and gives what came of it in words.
fn run(context: &Context, from: &str, to: &str) -> Result<Digest, String> {
    let written = copy(context, &from.parse().unwrap(), &[to.parse().unwrap()], None);
    written.map(|written| written[0].digest).map_err(|error| {
        let hint = hint(&error);
        format!("{}\n{}", chain(&error), hint.unwrap_or_default())
    })
}

/// What is not as it should be.
fn unexpected(end: End, came: &Result<Digest, String>, sample: &Sample) -> Option<String> {
    match (end, came) {
        (End::Well, Ok(digest)) => (*digest != sample.digest()).then(|| format!("has digest {digest}")),
        (End::Well, Err(said)) => Some(said.clone()),
        (End::Error(words), Err(said)) => {
            (!said.contains(words)).then(|| format!("`{words}` is not in {said}"))
        }
        (End::Error(_), Ok(_)) => Some("went well".to_owned()),
    }
}

/// A registry has all of the image, or none of it under its name.
fn whole_or_nothing(what: &str, fake: &FakeRegistry, went_well: bool, sample: &Sample) {
    match fake.manifest("acme/y", "1") {
        Some(manifest) => {
            assert_eq!(manifest, sample.manifest, "{what}");
            for blob in &sample.blobs {
                assert_eq!(fake.blob("acme/y", &Digest::of(blob)).as_ref(), Some(blob), "{what}");
            }
        }
        // An error may stand for an answer that was lost, or not believed.
        None => assert!(!went_well, "{what}"),
    }
}

fn drafts(store: &Path) -> usize {
    fs::read_dir(store.join("drafts")).map_or(0, Iterator::count)
}

#[test]
fn each_fault_ends_in_the_right_image_or_in_the_right_error() {
    let sample = Sample::new();
    let scripts = scripts();
    assert!(scripts.len() >= 40);
    let layout = World::new();
    let source = sample.registry();
    let local = format!("oci:{}:1", layout.path("source").display());
    run(&layout.context("store"), &format!("docker://{}/acme/x:1", source.host), &local).unwrap();

    let mut wrong = Vec::new();
    let mut expect = |what: String, end, came: &_| {
        wrong.extend(unexpected(end, came, &sample).map(|how| format!("{what}: {how}")));
    };
    for Script { name, rules, more, pull, push } in &scripts {
        let broken = |fake: &FakeRegistry, world: &World| {
            fake.set(|faults| {
                faults.rules = rules.clone();
                faults.stalls = Some(world.time.stalls.clone());
                more(faults);
            });
        };
        // A pull, into a layout that is there or is not.
        let (world, fake) = (World::new(), sample.registry());
        broken(&fake, &world);
        let out = world.path("out");
        let came = run(
            &world.context("store"),
            &format!("docker://{}/acme/x:1", fake.host),
            &format!("oci:{}:1", out.display()),
        );
        expect(format!("pull: {name}"), *pull, &came);
        assert_eq!(out.exists(), came.is_ok(), "{name}");
        assert_eq!(drafts(&world.path("store")), 0, "{name}");
        if came.is_ok() {
            // Without the network, from what was written.
            let again = run(
                &World::new().context("store"),
                &format!("oci:{}:1", out.display()),
                &format!("oci:{}:1", world.path("again").display()),
            );
            assert_eq!(again, Ok(sample.digest()), "{name}");
        }
        // A push.
        let (world, fake) = (World::new(), FakeRegistry::start(Faults::default()));
        broken(&fake, &world);
        let came = run(&world.context("store"), &local, &format!("docker://{}/acme/y:1", fake.host));
        expect(format!("push: {name}"), *push, &came);
        whole_or_nothing(name, &fake, came.is_ok(), &sample);
        // A copy from one registry into another, with the fault on both sides.
        let (world, from, to) = (World::new(), sample.registry(), FakeRegistry::start(Faults::default()));
        broken(&from, &world);
        broken(&to, &world);
        let came = run(
            &world.context("store"),
            &format!("docker://{}/acme/x:1", from.host),
            &format!("docker://{}/acme/y:1", to.host),
        );
        let both = if matches!(pull, End::Error(_)) { *pull } else { *push };
        expect(format!("copy: {name}"), both, &came);
        whole_or_nothing(name, &to, came.is_ok(), &sample);
        assert_eq!(drafts(&world.path("store")), 0, "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn with_a_fifth_of_all_requests_failing_images_arrive_and_few_bytes_twice() {
    let sample = Sample::new();
    let all: usize = sample.blobs.iter().map(Vec::len).sum();
    for seed in 1..=10 {
        let (world, from, to) = (World::new(), sample.registry(), FakeRegistry::start(Faults::default()));
        for fake in [&from, &to] {
            fake.set(|faults| faults.random = Some(seed));
        }
        let (source, target) =
            (format!("docker://{}/acme/x:1", from.host), format!("docker://{}/acme/y:1", to.host));
        assert_eq!(run(&world.context("store"), &source, &target), Ok(sample.digest()), "{seed}");
        whole_or_nothing("random", &to, true, &sample);
        assert!(to.uploaded() * 2 <= all * 3, "{seed}: {} of {all}", to.uploaded());
        assert!(from.given() * 2 <= all * 3, "{seed}: {} of {all}", from.given());
    }
}
