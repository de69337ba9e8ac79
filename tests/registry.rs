//! The registry client against a registry whose faults can be chosen.

// The helpers of tests are tests too; clippy's own exemption ends at `#[test]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use support::push_blobs;
use support::registry::{Asked, FakeRegistry, Faults};
use support::time::TestTime;
use talosmith::base::{Content, Digest, Events};
use talosmith::image::registry::{Client, Environment, Options, PlainHttp, Progress, Pushed, RegistryError};
use talosmith::image::{Descriptor, RegistryReference, media_type};

/// `robot:t0psecret`, as `Basic` sends it.
const BASIC: &str = "Basic cm9ib3Q6dDBwc2VjcmV0";
/// What must never show.
const SECRETS: [&str; 3] = ["t0psecret", "cm9ib3Q6dDBwc2VjcmV0", "signed-state"];

fn client() -> Client {
    TestTime::default().client()
}

/// A client that finds an entry for `host` in an auth file.
fn client_with(directory: &Path, host: &str, entry: &str) -> Client {
    let file = directory.join("auth.json");
    std::fs::write(&file, format!(r#"{{"auths": {{"{host}": {entry}}}}}"#)).unwrap();
    Client::new(Options { auth_file: Some(file), ..TestTime::default().options() }, Events::default())
}

const PASSWORD: &str = r#"{"auth": "cm9ib3Q6dDBwc2VjcmV0"}"#;

fn repository(fake: &FakeRegistry, name: &str) -> RegistryReference {
    format!("{}/{name}", fake.host).parse().unwrap()
}

fn blob(bytes: &[u8]) -> (Descriptor, Content) {
    (Descriptor::of(media_type::OCI_LAYER, bytes), Content::memory(bytes))
}

fn push(client: &Client, to: &RegistryReference, bytes: &[u8]) -> Result<Pushed, RegistryError> {
    let (descriptor, content) = blob(bytes);
    client.push_blob(to, &descriptor, &content, &[], &Progress::default())
}

fn pull(client: &Client, from: &RegistryReference, bytes: &[u8]) -> Result<Vec<u8>, RegistryError> {
    let mut got = Vec::new();
    let descriptor = blob(bytes).0;
    client.pull_blob(from, &descriptor, &mut got, &Progress::default()).map(|()| got)
}

/// The error and its sources, as they would be printed and debugged, and the hint.
fn words(error: &RegistryError) -> String {
    let mut text = format!("{error}\n{error:?}\n{}", error.hint().unwrap_or_default());
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!("\n{error}\n{error:?}"));
        source = error.source();
    }
    for secret in SECRETS {
        assert!(!text.contains(secret), "`{secret}` shows in: {text}");
    }
    text
}

fn with_secret(asked: &[Asked]) -> usize {
    asked.iter().filter(|asked| asked.authorization.is_some()).count()
}

#[test]
fn an_image_goes_up_and_comes_back_and_a_second_push_sends_no_blob() {
    let fake = FakeRegistry::start(Faults::default());
    let (client, to) = (client(), repository(&fake, "acme/x:1"));
    let blobs = [blob(b"one"), blob(b"two"), blob(&vec![7; 1_000_000]), blob(b"")];
    let sent = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&sent);
    let progress = Progress::new(move |bytes| *counter.lock().unwrap() += bytes);
    assert_eq!(push_blobs(&client, &to, &blobs, &[], &progress).unwrap(), [Pushed::Uploaded; 4]);
    assert_eq!(*sent.lock().unwrap(), 1_000_006);
    let manifest = br#"{"layers":[]}"#;
    let digest = client.push_manifest(&to, media_type::OCI_MANIFEST, manifest).unwrap();
    assert_eq!(push_blobs(&client, &to, &blobs, &[], &progress).unwrap(), [Pushed::Existed; 4]);
    assert_eq!(fake.uploaded(), 1_000_006);

    let (descriptor, bytes) = client.resolve(&to).unwrap();
    assert_eq!((descriptor.digest, bytes.as_slice()), (digest, &manifest[..]));
    assert_eq!(descriptor.media_type, media_type::OCI_MANIFEST);
    assert_eq!(client.manifest(&to, &descriptor).unwrap(), manifest);
    assert!(client.has_manifest(&to, &descriptor).unwrap());
    assert!(client.has_blob(&to, &blobs[2].0).unwrap() && !client.has_blob(&to, &descriptor).unwrap());
    assert_eq!(pull(&client, &to, &vec![7; 1_000_000]).unwrap(), vec![7; 1_000_000]);
    assert_eq!(fake.count("GET", "/v2/?"), 0, "no probe");
}

#[test]
fn uploads_follow_absolute_locations_and_manifests_need_none() {
    let fake =
        FakeRegistry::start(Faults { absolute_location: true, bare_answers: true, ..Faults::default() });
    let (client, to) = (client(), repository(&fake, "acme/x"));
    assert_eq!(push(&client, &to, b"bytes").unwrap(), Pushed::Uploaded);
    let digest = client.push_manifest(&to, media_type::OCI_MANIFEST, b"{}").unwrap();
    assert_eq!(digest, Digest::of(b"{}"));
    assert_eq!(fake.count("PUT", &format!("manifests/{digest}")), 1);
}

#[test]
fn a_content_that_is_not_what_its_descriptor_says_never_becomes_a_blob() {
    let fake = FakeRegistry::start(Faults::default());
    let (client, to) = (client(), repository(&fake, "acme/x"));
    let wrong = vec![1; 600_000];
    let descriptor = Descriptor::of(media_type::OCI_LAYER, &vec![2; 600_000]);
    let error =
        client.push_blob(&to, &descriptor, &Content::memory(wrong), &[], &Progress::default()).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
    let short = Content::memory(&b"short"[..]);
    let error = client.push_blob(&to, &descriptor, &short, &[], &Progress::default()).unwrap_err();
    assert!(matches!(error, RegistryError::SizeMismatch { expected: 600_000, found: 5, .. }), "{error:?}");
    let gone = Content::file("/nonexistent/blob", 600_000);
    let error = client.push_blob(&to, &descriptor, &gone, &[], &Progress::default()).unwrap_err();
    assert!(words(&error).contains("/nonexistent/blob"), "{error:?}");
    assert_eq!(fake.blob("acme/x", &descriptor.digest), None);
}

#[test]
fn a_mount_sends_no_bytes_and_a_refused_mount_uploads_in_the_session_it_opened() {
    let fake = FakeRegistry::start(Faults::default());
    let (client, to, from) = (client(), repository(&fake, "acme/x"), repository(&fake, "acme/base"));
    let (descriptor, content) = blob(b"layer");
    fake.add_blob("acme/base", b"layer");
    let other = "other.example/acme/base".parse().unwrap();
    let candidates = [repository(&fake, "acme/empty"), other, from.clone()];
    let push = |to| client.push_blob(to, &descriptor, &content, &candidates, &Progress::default()).unwrap();
    assert_eq!(push(&to), Pushed::Mounted);
    assert_eq!(fake.uploaded(), 0);
    fake.set(|faults| faults.mount_refused = true);
    let elsewhere = repository(&fake, "acme/y");
    assert!(!client.mount(&elsewhere, &descriptor, &from).unwrap());
    assert_eq!(fake.count("DELETE", "/v2/acme/y/blobs/uploads/"), 1);
    assert_eq!(push(&elsewhere), Pushed::Uploaded);
    assert_eq!(fake.count("POST", "/v2/acme/y/blobs/uploads/"), 2);
}

#[test]
fn a_registry_without_head_is_asked_for_one_byte() {
    let fake = FakeRegistry::start(Faults { no_head: true, ..Faults::default() });
    let (client, to) = (client(), repository(&fake, "acme/x"));
    fake.add_blob("acme/x", b"bytes");
    assert!(client.has_blob(&to, &blob(b"bytes").0).unwrap());
    assert!(!client.has_blob(&to, &blob(b"others").0).unwrap());
    assert_eq!(push(&client, &to, b"bytes").unwrap(), Pushed::Existed);
    assert_eq!(push(&client, &to, b"others").unwrap(), Pushed::Uploaded);
}

#[test]
fn a_blob_that_is_corrupt_cut_or_too_long_is_an_error() {
    let fake = FakeRegistry::start(Faults { corrupt: true, ..Faults::default() });
    let (client, from) = (client(), repository(&fake, "acme/x"));
    let bytes = vec![5; 100_000];
    fake.add_blob("acme/x", &bytes);
    let error = pull(&client, &from, &bytes).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
    fake.set(|faults| *faults = Faults { truncate: true, ..Faults::default() });
    let error = pull(&client, &from, &bytes).unwrap_err();
    assert!(matches!(error, RegistryError::Network { .. }), "{error:?}");
    fake.set(|faults| *faults = Faults { overlong: true, ..Faults::default() });
    let error = pull(&client, &from, &bytes).unwrap_err();
    assert!(matches!(error, RegistryError::SizeMismatch { more: true, .. }), "{error:?}");
    assert!(error.to_string().contains("100001 bytes or more, expected 100000"), "{error}");
}

#[test]
fn a_manifest_is_checked_against_the_reference_the_header_and_its_limit() {
    let fake = FakeRegistry::start(Faults::default());
    let client = client();
    let pinned = repository(&fake, "acme/x").with_digest(Digest::of(b"other"));
    fake.add_manifest("acme/x", &Digest::of(b"other").to_string(), media_type::OCI_MANIFEST, b"{}");
    let error = client.resolve(&pinned).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
    fake.add_manifest("acme/x", "1", media_type::OCI_MANIFEST, b"{}");
    let tagged = repository(&fake, "acme/x:1");
    fake.set(|faults| faults.claimed = Some(Digest::of(b"other").to_string()));
    let error = client.resolve(&tagged).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
    let error = client.push_manifest(&tagged, media_type::OCI_MANIFEST, b"{}").unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
    fake.set(|faults| faults.claimed = None);
    fake.add_manifest("acme/x", "1", media_type::OCI_MANIFEST, &vec![b' '; (4 << 20) + 1]);
    let error = client.resolve(&tagged).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error:?}");
}

#[test]
fn what_a_registry_says_of_a_refusal_reaches_the_user() {
    let fake = FakeRegistry::start(Faults::default());
    let (client, to) = (client(), repository(&fake, "acme/x:1"));
    let error = client.resolve(&to).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("the manifest of `{}/acme/x:1`", fake.host)), "{error}");
    assert!(error.to_string().contains("MANIFEST_UNKNOWN: manifest unknown"), "{error}");
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#.to_owned();
    fake.set(|faults| faults.refuse_upload = Some((429, body)));
    let error = push(&client, &to, b"bytes").unwrap_err();
    assert!(matches!(&error, RegistryError::Refused { answer, .. } if answer.status == 429), "{error:?}");
    assert!(error.to_string().contains("TOOMANYREQUESTS"), "{error}");
}

#[test]
fn the_first_error_of_many_pushes_ends_them() {
    let refuse = Some((403, r#"{"errors":[{"code":"DENIED"}]}"#.to_owned()));
    let fake = FakeRegistry::start(Faults { refuse_upload: refuse, ..Faults::default() });
    let to = repository(&fake, "acme/x");
    let client = client();
    let blobs = [blob(b"1"), blob(b"2"), blob(b"3")];
    let error = push_blobs(&client, &to, &blobs, &[], &Progress::default()).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorised { credentials: false, .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--auth-file"));
    assert_eq!(fake.count("HEAD", ""), 1);
}

#[test]
fn tags_are_read_page_by_page() {
    let fake = FakeRegistry::start(Faults { page: Some(2), ..Faults::default() });
    for tag in ["a", "b", "c", "d", "e"] {
        fake.add_manifest("acme/x", tag, media_type::OCI_MANIFEST, b"{}");
    }
    assert_eq!(client().tags(&repository(&fake, "acme/x")).unwrap(), ["a", "b", "c", "d", "e"]);
    assert_eq!(fake.count("GET", "tags/list"), 3);
}

#[test]
fn offline_names_what_was_missing_and_asks_nobody() {
    let fake = FakeRegistry::start(Faults::default());
    let client = Client::new(Options { offline: true, ..Options::default() }, Events::default());
    let error = client.resolve(&repository(&fake, "acme/x:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Offline { .. }), "{error:?}");
    assert!(error.to_string().contains("/acme/x:1"), "{error}");
    assert!(fake.log().is_empty());
}

#[test]
fn a_host_that_does_not_answer_is_a_network_error_that_names_it() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reference: RegistryReference = format!("127.0.0.1:{port}/acme/x:1").parse().unwrap();
    let error = client().resolve(&reference).unwrap_err();
    assert!(matches!(&error, RegistryError::Network { host, .. } if host.ends_with(&port.to_string())));
}

#[test]
fn basic_credentials_are_sent_once_they_are_demanded() {
    let fake = FakeRegistry::start(Faults { basic: Some(BASIC.to_owned()), ..Faults::default() });
    let directory = tempfile::tempdir().unwrap();
    let to = repository(&fake, "acme/x");
    assert_eq!(
        push(&client_with(directory.path(), &fake.host, PASSWORD), &to, b"x").unwrap(),
        Pushed::Uploaded
    );
    assert_eq!(fake.log().len() - with_secret(&fake.log()), 1, "one challenge only");
    let error = push(&client(), &to, b"x").unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorised { credentials: false, .. }), "{error:?}");
    let wrong = r#"{"username": "robot", "password": "t0psecret2"}"#;
    let error = push(&client_with(directory.path(), &fake.host, wrong), &to, b"x").unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorised { credentials: true, .. }), "{error:?}");
    words(&error);
}

#[test]
fn one_token_serves_all_requests_of_its_scope_and_a_mount_asks_for_the_source_too() {
    let fake = FakeRegistry::start(Faults {
        bearer: true,
        basic: Some(BASIC.to_owned()),
        expires_in: Some(300),
        ..Faults::default()
    });
    let directory = tempfile::tempdir().unwrap();
    let client = client_with(directory.path(), &fake.host, PASSWORD);
    let to = repository(&fake, "acme/x");
    let blobs = [blob(b"one"), blob(b"two"), blob(b"three")];
    push_blobs(&client, &to, &blobs, &[], &Progress::default()).unwrap();
    client.push_manifest(&to, media_type::OCI_MANIFEST, b"{}").unwrap();
    assert_eq!(fake.count("GET", "/token"), 1);
    fake.add_blob("acme/base", b"base");
    let (descriptor, content) = blob(b"base");
    let from = [repository(&fake, "acme/base")];
    let pushed = client.push_blob(&to, &descriptor, &content, &from, &Progress::default()).unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    let scopes = "scope=repository%3Aacme%2Fbase%3Apull&scope=repository%3Aacme%2Fx%3Apull%2Cpush";
    assert_eq!(fake.count("GET", scopes), 1);
}

#[test]
fn an_identity_token_is_exchanged_and_not_sent_to_the_registry() {
    let fake = FakeRegistry::start(Faults {
        bearer: true,
        refresh: Some("t0psecret/+=".to_owned()),
        ..Faults::default()
    });
    let directory = tempfile::tempdir().unwrap();
    let client = client_with(directory.path(), &fake.host, r#"{"identitytoken": "t0psecret/+="}"#);
    assert_eq!(push(&client, &repository(&fake, "acme/x"), b"x").unwrap(), Pushed::Uploaded);
    assert_eq!(fake.count("POST", "/token"), 1);
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_push_is_fetched_anew() {
    let fake = FakeRegistry::start(Faults { bearer: true, token_uses: Some(2), ..Faults::default() });
    let bytes = vec![3; 700_000];
    // HEAD and POST use the first token up; the PUT is refused and sent again whole.
    assert_eq!(push(&client(), &repository(&fake, "acme/x"), &bytes).unwrap(), Pushed::Uploaded);
    assert_eq!(fake.count("GET", "/token"), 2);
    assert_eq!(fake.blob("acme/x", &Digest::of(&bytes)).unwrap(), bytes);
    // A token that is over by its own word is not even tried.
    let fake = FakeRegistry::start(Faults { bearer: true, expires_in: Some(0), ..Faults::default() });
    push(&client(), &repository(&fake, "acme/x"), b"x").unwrap();
    assert_eq!((fake.count("GET", "/token"), fake.count("HEAD", "")), (3, 2));
    // And one that is never good enough ends in an error.
    let fake = FakeRegistry::start(Faults { bearer: true, token_uses: Some(0), ..Faults::default() });
    let error = push(&client(), &repository(&fake, "acme/x"), b"x").unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorised { .. }), "{error:?}");
    assert_eq!(fake.count("GET", "/token"), 1);
    words(&error);
}

#[test]
fn a_redirect_to_another_host_carries_no_authorization() {
    let store = FakeRegistry::start(Faults::default());
    store.add_blob("acme/x", b"bytes");
    let fake = FakeRegistry::start(Faults {
        basic: Some(BASIC.to_owned()),
        redirect: Some(format!("http://{}", store.host)),
        ..Faults::default()
    });
    let directory = tempfile::tempdir().unwrap();
    let client = client_with(directory.path(), &fake.host, PASSWORD);
    assert_eq!(pull(&client, &repository(&fake, "acme/x"), b"bytes").unwrap(), b"bytes");
    assert_eq!((store.log().len(), with_secret(&store.log())), (1, 0));
    // A demand of the other host is not answered with what is known for the first.
    store.set(|faults| faults.basic = Some(BASIC.to_owned()));
    let error = pull(&client, &repository(&fake, "acme/x"), b"bytes").unwrap_err();
    assert!(matches!(&error, RegistryError::Unauthorised { host, .. } if *host == store.host));
    assert_eq!((store.log().len(), with_secret(&store.log())), (2, 0));
    // Round and round.
    fake.set(|faults| faults.redirect = Some(format!("http://{}", fake.host)));
    let error = pull(&client, &repository(&fake, "acme/x"), b"bytes").unwrap_err();
    assert!(error.to_string().contains("redirects more than 5 times"), "{error}");
}

#[test]
fn a_token_server_elsewhere_gets_no_credentials_over_plain_http() {
    let realm = Some("http://auth.example/token?x=signed-state".to_owned());
    let fake = FakeRegistry::start(Faults { bearer: true, realm, ..Faults::default() });
    let directory = tempfile::tempdir().unwrap();
    let client = client_with(directory.path(), &fake.host, PASSWORD);
    let error = push(&client, &repository(&fake, "acme/x"), b"x").unwrap_err();
    assert!(error.to_string().contains("`auth.example` is named as token server"), "{error}");
    words(&error);
}

/// A directory with a credential helper `test` that runs `script`.
fn helper(script: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("docker-credential-test");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(directory.path().join("config.json"), r#"{"credsStore": "test"}"#).unwrap();
    directory
}

fn client_of(directory: &Path) -> (Client, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let events = Events::new(move |event| log.lock().unwrap().push(format!("{event:?}")));
    let environment = Environment {
        docker_config: Some(directory.to_owned()),
        path: Some(directory.as_os_str().to_owned()),
        ..Environment::default()
    };
    (Client::new(Options { environment, ..TestTime::default().options() }, events), heard)
}

#[test]
fn a_credential_helper_is_asked_for_the_host_once() {
    let fake = FakeRegistry::start(Faults { basic: Some(BASIC.to_owned()), ..Faults::default() });
    let script = r#"read -r host; echo "$1 $host" >> "$(dirname "$0")/log"; echo '{"Username":"robot","Secret":"t0psecret"}'"#;
    let directory = helper(script);
    let (client, heard) = client_of(directory.path());
    for bytes in [&b"x"[..], b"y"] {
        push(&client, &repository(&fake, "acme/x"), bytes).unwrap();
    }
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert_eq!(log, format!("get {}\n", fake.host));
    assert!(heard.lock().unwrap().is_empty());
    assert!(!format!("{client:?}").contains("t0psecret"));
}

#[test]
fn a_helper_that_knows_nothing_is_missing_or_breaks_leaves_the_client_anonymous_with_a_warning() {
    let fake = FakeRegistry::start(Faults { bearer: true, ..Faults::default() });
    let run = |directory: &Path| {
        let (client, heard) = client_of(directory);
        push(&client, &repository(&fake, "acme/x"), b"x").unwrap();
        let heard = heard.lock().unwrap().join("\n");
        assert!(!heard.contains("t0psecret"), "{heard}");
        heard
    };
    let unknown = helper("echo 'credentials not found in native keychain t0psecret'; exit 1");
    assert!(run(unknown.path()).contains("`test` has no credentials"));
    assert!(run(helper("echo t0psecret").path()).contains("`test` gave no credentials"));
    let missing = tempfile::tempdir().unwrap();
    std::fs::write(missing.path().join("config.json"), r#"{"credsStore": "test"}"#).unwrap();
    assert!(run(missing.path()).contains("`test` is not in `PATH`"));
    std::fs::write(missing.path().join("config.json"), r#"{"credsStore": "../test"}"#).unwrap();
    assert!(run(missing.path()).contains("a name that no helper has"));
    std::fs::write(missing.path().join("config.json"), r#"{"auths": {"x": "t0psecret"}}"#).unwrap();
    assert!(run(missing.path()).contains("line 1, column"));
}

#[test]
fn options_hide_the_proxys_password_and_a_broken_proxy_is_named_without_it() {
    let environment = Environment::from_lookup(|name| {
        (name == "https_proxy").then(|| "http://robot:t0psecret@[proxy".into())
    });
    let options = Options { environment, ..Options::default() };
    assert!(!format!("{options:?}").contains("t0psecret"));
    let client = Client::new(options, Events::default());
    let error = client.resolve(&"reg.example/acme/x:1".parse().unwrap()).unwrap_err();
    assert!(words(&error).contains("`https_proxy` cannot be used"), "{error}");
}

#[test]
fn a_proxy_carries_requests_to_other_hosts_and_none_to_this_machine() {
    let proxy = FakeRegistry::start(Faults::default());
    let url = format!("http://{}", proxy.host);
    let environment = Environment::from_lookup(|name| (name == "http_proxy").then(|| url.clone().into()));
    let options = Options { environment, plain_http: PlainHttp::Everywhere, ..Options::default() };
    let client = Client::new(options, Events::default());
    let fake = FakeRegistry::start(Faults::default());
    let error = client.resolve(&repository(&fake, "acme/x:1")).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error:?}");
    assert!(proxy.log().is_empty());
    let error = client.resolve(&"reg.example/acme/x:1".parse().unwrap()).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error:?}");
    assert_eq!(proxy.count("GET", "http://reg.example/v2/acme/x/manifests/1"), 1);
}
