//! How the registry client tries again: what it waits, what it sends and fetches again and what not, what it tells.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::registry::{FakeRegistry, Faults, Wrong, answer, noise, rule};
use support::time::TestTime;
use talosmith::base::{Content, Event, Events, chain};
use talosmith::image::registry::{Client, Options, Patience, Progress, Pushed, RegistryError};
use talosmith::image::{Descriptor, RegistryReference, media_type};

const LARGE: usize = 900_000;
const ALWAYS: usize = usize::MAX;

fn blob(bytes: &[u8]) -> (Descriptor, Content) {
    (Descriptor::of(media_type::OCI_LAYER, bytes), Content::memory(bytes))
}

fn reference(fake: &FakeRegistry) -> RegistryReference {
    format!("{}/acme/x", fake.host).parse().unwrap()
}

#[test]
fn what_was_uploaded_is_not_uploaded_again() {
    let (fake, time) = (FakeRegistry::start(Faults::default()), TestTime::default());
    let (descriptor, content) = blob(&noise(3, LARGE));
    fake.set(|faults| {
        faults.rules = vec![
            rule("PUT", "/blobs/uploads/", 1, Wrong::Take(300_000)),
            rule("PATCH", "/blobs/uploads/", 1, Wrong::Take(400_000)),
            // All is there, and the answer is lost.
            rule("PUT", "/blobs/uploads/", 1, Wrong::Mute),
        ];
    });
    let pushed = time.client().push_blob(&reference(&fake), &descriptor, &content, &[], &Progress::default());
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    assert_eq!(fake.uploaded(), LARGE);
    let ranges: Vec<String> =
        fake.log().iter().filter_map(|asked| asked.headers.get("content-range").cloned()).collect();
    assert_eq!(ranges, ["300000-899999", "700000-899999"]);
    assert_eq!(fake.blob("acme/x", &descriptor.digest).unwrap(), noise(3, LARGE));
}

#[test]
fn what_came_is_not_pulled_again() {
    let (fake, time) = (FakeRegistry::start(Faults::default()), TestTime::default());
    let content = noise(3, LARGE);
    fake.add_blob("acme/x", &content);
    let digest = blob(&content).0.digest.to_string();
    let digest: &'static str = Box::leak(digest.into_boxed_str());
    fake.set(|faults| faults.rules = vec![rule("GET", digest, 2, Wrong::Cut(300_000))]);
    let mut got = Vec::new();
    let from = reference(&fake);
    time.client().pull_blob(&from, &blob(&content).0, &mut got, &Progress::default()).unwrap();
    assert!(got == content);
    let ranges: Vec<Option<String>> =
        fake.log().iter().map(|asked| asked.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=300000-".to_owned()), Some("bytes=600000-".to_owned())]);
    // A part that another host gives is asked for there, without the credentials for this one.
    let store = FakeRegistry::start(Faults::default());
    store.add_blob("acme/x", &content);
    store.set(|faults| faults.rules = vec![rule("GET", digest, 1, Wrong::Cut(300_000))]);
    fake.set(|faults| {
        faults.bearer = true;
        faults.redirect = Some(format!("http://{}", store.host));
    });
    got.clear();
    time.client().pull_blob(&from, &blob(&content).0, &mut got, &Progress::default()).unwrap();
    assert!(got == content && store.log().len() == 2);
    assert!(store.log().iter().all(|asked| asked.authorization.is_none()));
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke() {
    let content = noise(3, LARGE);
    let digest: &'static str = Box::leak(blob(&content).0.digest.to_string().into_boxed_str());
    let fetch = |limit: usize, more: fn(&mut Faults)| {
        let fake = FakeRegistry::start(Faults::default());
        fake.add_blob("acme/x", &content);
        fake.set(|faults| faults.rules = vec![rule("GET", digest, 2, Wrong::Cut(300_000))]);
        fake.set(more);
        let mut got = Vec::new();
        let url = format!("http://{}/v2/acme/x/blobs/{digest}", fake.host);
        let came = TestTime::default().client().download(&url, limit as u64, &mut got);
        (came.map(|length| length as usize), got, fake)
    };
    let (length, got, fake) = fetch(LARGE, |_| {});
    assert!(length.unwrap() == LARGE && got == content);
    assert_eq!(fake.given(), LARGE);
    // Where there are no parts, what is here is passed over.
    let (length, got, fake) = fetch(LARGE, |faults| faults.no_ranges = true);
    assert!(length.unwrap() == LARGE && got == content);
    assert_eq!(fake.given(), LARGE + 600_000);
    let (refused, got, _) = fetch(LARGE - 1, |_| {});
    assert!(chain(&refused.unwrap_err()).contains("sends more than 899999 bytes"));
    assert!(got.len() < LARGE);
    let (refused, got, _) = fetch(LARGE, |faults| faults.rules[0].times = ALWAYS);
    assert_eq!((got.len(), refused.is_ok()), (LARGE, true), "each try brings a part");
}

#[test]
fn waits_grow_are_those_that_are_asked_for_and_end_at_the_deadline() {
    let waits = |wrong: Wrong, times| {
        let (fake, time) = (FakeRegistry::start(Faults::default()), TestTime::default());
        fake.set(|faults| faults.rules = vec![rule("HEAD", "", times, wrong)]);
        let has = time.client().has_blob(&reference(&fake), &blob(b"x").0);
        let waits: Vec<u64> = time.waits().iter().map(|wait| wait.as_millis() as u64).collect();
        (has.is_ok(), waits)
    };
    // Three quarters, by the clock's jitter, of half a second, of a second, and so on.
    assert_eq!(waits(answer(503), 3), (true, vec![375, 750, 1500]));
    assert_eq!(waits(answer(503), ALWAYS), (false, vec![375, 750, 1500, 3000, 6000, 12_000, 15_000]));
    let after = |wait| Wrong::Answer(429, wait, "");
    assert_eq!(waits(after(&[("Retry-After", "20")]), 2), (true, vec![20_250, 20_250]));
    assert_eq!(waits(after(&[("Retry-After", "301")]), 1), (false, vec![]));
    assert_eq!(waits(answer(400), 1), (false, vec![]));

    let (fake, time) = (FakeRegistry::start(Faults::default()), TestTime::default());
    fake.set(|faults| faults.rules = vec![rule("", "", ALWAYS, after(&[("Retry-After", "20")]))]);
    let options = time.options();
    let patience = Patience { deadline: Some(Duration::from_secs(15)), ..options.patience };
    let client = Client::new(Options { patience, ..options }, Events::default());
    let error = client.has_blob(&reference(&fake), &blob(b"x").0).unwrap_err();
    assert!(matches!(&error, RegistryError::Deadline { last: Some(_), .. }), "{error:?}");
    assert!(
        chain(&error).contains("the time that was given for it is over") && chain(&error).contains("429")
    );
    assert!(time.waits().is_empty());
}

#[test]
fn a_request_that_is_too_large_for_a_proxy_goes_in_smaller_ones() {
    let (fake, time) = (FakeRegistry::start(Faults::default()), TestTime::default());
    let (descriptor, content) = blob(&noise(14, 20 << 20));
    fake.set(|faults| faults.largest = Some(1_500_000));
    let pushed = time.client().push_blob(&reference(&fake), &descriptor, &content, &[], &Progress::default());
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    assert_eq!(fake.blob("acme/x", &descriptor.digest).unwrap(), noise(14, 20 << 20));
    let sizes: Vec<usize> =
        fake.log().iter().filter(|asked| asked.method == "PATCH").map(|asked| asked.body.len()).collect();
    assert!(sizes.iter().filter(|size| **size <= 1_500_000).sum::<usize>() == 20 << 20, "{sizes:?}");
    fake.set(|faults| faults.largest = Some(1000));
    let (descriptor, content) = blob(&noise(16, 5 << 20));
    let refused =
        time.client().push_blob(&reference(&fake), &descriptor, &content, &[], &Progress::default());
    let error = refused.unwrap_err();
    assert!(error.hint().unwrap().contains("limits the size of a request"), "{error}");
}

#[test]
fn of_many_troubles_with_a_host_within_a_second_one_is_told() {
    let fake = FakeRegistry::start(Faults::default());
    let said = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&said);
    let events = Events::new(move |event| {
        if let Event::Warning { text, .. } = event {
            log.lock().unwrap().push(text);
        }
    });
    let client = Client::new(TestTime::default().options(), events);
    for seed in 0..4 {
        fake.set(|faults| faults.rules = vec![rule("HEAD", "", 1, answer(503))]);
        client.has_blob(&reference(&fake), &blob(&noise(seed, 10)).0).unwrap();
    }
    // At 0 s, and at 1.125 s; not at 0.375 s and 0.75 s.
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("(status 503); trying again in 0.4 s"), "{said:?}");
}

#[test]
fn a_blob_without_bytes_goes_and_comes_like_any_other() {
    let (fake, time) = (FakeRegistry::start(Faults::default()), TestTime::default());
    fake.set(|faults| faults.rules = vec![rule("PUT", "", 1, Wrong::Mute), rule("GET", "", 1, Wrong::Mute)]);
    let (descriptor, content) = blob(b"");
    let client = time.client();
    let pushed = client.push_blob(&reference(&fake), &descriptor, &content, &[], &Progress::default());
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    let mut got = Vec::new();
    client.pull_blob(&reference(&fake), &descriptor, &mut got, &Progress::default()).unwrap();
    assert!(got.is_empty() && fake.blob("acme/x", &descriptor.digest).is_some());
}

#[test]
fn who_tries_once_tries_once_and_a_host_that_has_answered_is_waited_for() {
    let time = TestTime::default();
    let options = time.options();
    let once = Options { patience: Patience { tries: 1, ..options.patience }, ..options };
    let fake = FakeRegistry::start(Faults::default());
    let lost = Wrong::Answer(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
    fake.set(|faults| faults.rules = vec![rule("PUT", "/blobs/uploads/", ALWAYS, lost)]);
    let (descriptor, content) = blob(&noise(5, 1000));
    let client = Client::new(once, Events::default());
    client.push_blob(&reference(&fake), &descriptor, &content, &[], &Progress::default()).unwrap_err();
    assert_eq!((fake.count("PUT", ""), time.waits().len()), (1, 0));

    // Behind this port nobody listens any more, once it has answered.
    let tries = |answers: bool| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let from: RegistryReference = format!("{}/acme/x:1", listener.local_addr().unwrap()).parse().unwrap();
        let time = TestTime::default();
        let client = time.client();
        match answers {
            true => {
                let server = std::thread::spawn(move || {
                    use std::io::{BufRead as _, BufReader, Write as _};
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                    stream
                        .write_all(b"HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                        .unwrap();
                });
                let error = client.resolve(&from).unwrap_err();
                server.join().unwrap();
                assert!(matches!(error, RegistryError::Network { .. }), "{error:?}");
            }
            false => {
                drop(listener);
                client.resolve(&from).unwrap_err();
            }
        }
        time.waits().len() + 1
    };
    assert_eq!((tries(false), tries(true)), (4, 8));
}
