//! A registry in this process whose faults can be chosen: a small HTTP/1.1 server over
//! `TcpListener`, a thread for each connection, blobs in memory. It keeps a log of what it was
//! asked, and counts the bytes of blobs that it was sent.

mod faults;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use talosmith::base::Digest;

pub(crate) use self::faults::*;

/// How long a test waits for what is to come before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// The others, with names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct State {
    faults: Faults,
    blobs: BTreeMap<(String, String), Vec<u8>>,
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    tokens: BTreeMap<String, (String, usize)>,
    sessions: BTreeMap<String, Vec<u8>>,
    log: Vec<Asked>,
    given: usize,
    /// Bytes of bodies without a length.
    streamed: u64,
}

/// A running registry; it ends with the process.
#[derive(Clone)]
pub(crate) struct FakeRegistry {
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
    /// Something came.
    came: Arc<Condvar>,
}

impl FakeRegistry {
    pub(crate) fn start(faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { faults, ..State::default() }));
        let fake = Self { host, state, came: Arc::default() };
        let server = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                std::thread::spawn(move || while server.serve_one(&stream).is_some() {});
            }
        });
        fake
    }

    /// Serves what arrives on `stream`, which may be TLS.
    pub(crate) fn serve(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        while self.exchange(&mut stream).is_some() {}
    }

    fn serve_one(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut stream = BufReader::new(stream);
        while self.exchange(&mut stream).is_some() {}
        None
    }

    pub(crate) fn add_blob(&self, repository: &str, bytes: &[u8]) {
        let digest = Digest::of(bytes).to_string();
        self.state.lock().unwrap().blobs.insert((repository.to_owned(), digest), bytes.to_vec());
    }

    pub(crate) fn add_manifest(&self, repository: &str, name: &str, media_type: &str, bytes: &[u8]) {
        let value = (media_type.to_owned(), bytes.to_vec());
        self.state.lock().unwrap().manifests.insert((repository.to_owned(), name.to_owned()), value);
    }

    pub(crate) fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.state.lock().unwrap().blobs.get(&(repository.to_owned(), digest.to_string())).cloned()
    }

    pub(crate) fn manifest(&self, repository: &str, name: &str) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), name.to_owned());
        self.state.lock().unwrap().manifests.get(&key).map(|(_, bytes)| bytes.clone())
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state.lock().unwrap().faults);
    }

    pub(crate) fn log(&self) -> Vec<Asked> {
        self.state.lock().unwrap().log.clone()
    }

    /// Requests with `method` whose path contains `part`.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.log().iter().filter(|asked| asked.method == method && asked.path.contains(part)).count()
    }

    /// Waits until so many such requests have come.
    pub(crate) fn wait_for(&self, method: &str, part: &str, times: usize) {
        let fits = |asked: &&Asked| asked.method == method && asked.path.contains(part);
        self.wait(|state| state.log.iter().filter(fits).count() >= times);
    }

    /// Waits until so many bytes have come in bodies whose length was not announced.
    pub(crate) fn wait_for_bytes(&self, bytes: u64) {
        self.wait(|state| state.streamed >= bytes);
    }

    fn wait(&self, done: impl Fn(&State) -> bool) {
        let state = self.state.lock().unwrap();
        let (state, waited) = self.came.wait_timeout_while(state, PATIENCE, |state| !done(state)).unwrap();
        let asked = state.log.iter().map(|asked| format!("{} {}", asked.method, asked.path));
        assert!(!waited.timed_out(), "it did not come; what did: {:#?}", asked.collect::<Vec<_>>());
    }

    /// Bytes of blobs that were sent here.
    pub(crate) fn uploaded(&self) -> usize {
        let uploads = |asked: &&Asked| {
            matches!(asked.method.as_str(), "PUT" | "PATCH") && asked.path.contains("/blobs/uploads/")
        };
        self.log().iter().filter(uploads).map(|asked| asked.body.len()).sum()
    }

    /// Bytes of blobs that were sent from here.
    pub(crate) fn given(&self) -> usize {
        self.state.lock().unwrap().given
    }

    fn exchange<S: Read + Write>(&self, stream: &mut BufReader<S>) -> Option<()> {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(0) => return None,
            Ok(_) => {}
            // No text: a TLS greeting, which servers of plain HTTP answer so.
            Err(_) => return stream.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok().and(None),
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
            match line.trim().split_once(':') {
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
                None => break,
            };
        }
        let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        let wrong = self.state.lock().unwrap().wrong(&method, &path);
        let most = if let Some(Wrong::Take(bytes)) = wrong { bytes as u64 } else { u64::MAX };
        let mut body = Vec::new();
        let whole = if headers.contains_key("transfer-encoding") {
            self.take_chunks(stream, most, &mut body)
        } else {
            (&mut *stream).take(length.min(most)).read_to_end(&mut body).ok()?;
            body.len() as u64 == length
        };
        let asked = Asked { method, path, authorization: headers.remove("authorization"), headers, body };
        let mut state = self.state.lock().unwrap();
        state.log.push(asked.clone());
        self.came.notify_all();
        if !whole {
            state.keep(&asked); // the client gave up, or is given up
            return None;
        }
        let mut reply = match &wrong {
            Some(Wrong::Take(_)) => return None,
            _ if state.faults.largest.is_some_and(|largest| asked.body.len() > largest) => Reply::new(413),
            Some(Wrong::Answer(status, headers, body)) => Reply {
                headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
                ..Reply::new(*status).body(*body)
            },
            _ => state.answer(&self.host, &asked),
        };
        let stalls = state.faults.stalls.clone();
        drop(state);
        match wrong {
            Some(Wrong::Mute) => return None,
            Some(Wrong::Cut(bytes)) => reply.cut = Some(bytes),
            Some(Wrong::Stall(bytes)) => reply.stall = Some(bytes),
            Some(Wrong::Silence) => {
                stalls.iter().for_each(|stalls| {
                    stalls.send_replace(true);
                });
                return forever();
            }
            Some(Wrong::Corrupt) => reply.body.iter_mut().take(1).for_each(|byte| *byte ^= 1),
            Some(Wrong::Without(name)) => reply.headers.retain(|(own, _)| *own != name),
            Some(Wrong::With(name, value)) => {
                reply.headers.retain(|(own, _)| *own != name);
                reply.headers.push((name, value.to_owned()));
            }
            _ => {}
        }
        if asked.method == "GET" && asked.path.contains("/blobs/sha256:") {
            let given = reply.cut.or(reply.stall).map_or(reply.body.len(), |most| most.min(reply.body.len()));
            self.state.lock().unwrap().given += given;
        }
        reply.write(&asked.method, stream.get_mut(), stalls.as_ref())
    }
}

impl FakeRegistry {
    /// Takes a body of which nobody knows the length (RFC 9112, 7.1), up to so many bytes; gives whether it ended.
    fn take_chunks<S: Read + Write>(&self, stream: &mut BufReader<S>, most: u64, body: &mut Vec<u8>) -> bool {
        let mut chunk = || -> Option<u64> {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let length = u64::from_str_radix(line.trim(), 16).ok()?;
            (&mut *stream).take(length.min(most - body.len() as u64)).read_to_end(body).ok()?;
            self.state.lock().unwrap().streamed += length;
            self.came.notify_all();
            line.clear();
            if body.len() as u64 == most {
                return None;
            }
            stream.read_line(&mut line).ok()?;
            Some(length)
        };
        loop {
            match chunk() {
                None => return false,
                Some(0) => return true,
                Some(_) => {}
            }
        }
    }
}

/// Holds the connection until the process ends.
fn forever() -> Option<()> {
    loop {
        std::thread::park();
    }
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Write so many bytes of what was announced and close.
    cut: Option<usize>,
    /// Announce no length and close at the end.
    unannounced: bool,
    /// Write so many bytes of it and keep the connection.
    stall: Option<usize>,
}

impl Reply {
    fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: None, unannounced: false, stall: None }
    }

    fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn write(
        mut self,
        method: &str,
        stream: &mut impl Write,
        stalls: Option<&tokio::sync::watch::Sender<bool>>,
    ) -> Option<()> {
        let mut head = format!("HTTP/1.1 {} x\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.unannounced {
            true => head.push_str("connection: close\r\n"),
            false => head.push_str(&format!("content-length: {}\r\n", self.body.len())),
        }
        if let Some(bytes) = self.cut.or(self.stall) {
            self.body.truncate(bytes);
        }
        let mut bytes = format!("{head}\r\n").into_bytes();
        if method != "HEAD" {
            bytes.extend(&self.body);
        }
        stream.write_all(&bytes).and_then(|()| stream.flush()).ok()?;
        if self.stall.is_some() && method != "HEAD" {
            stalls.iter().for_each(|stalls| {
                stalls.send_replace(true);
            });
            return forever();
        }
        (self.cut.is_none() && !self.unannounced).then_some(())
    }
}

impl State {
    /// What goes wrong with this request.
    fn wrong(&mut self, method: &str, path: &str) -> Option<Wrong> {
        let fits = |rule: &&mut Rule| {
            rule.times > 0 && (rule.method.is_empty() || rule.method == method) && path.contains(rule.path)
        };
        if let Some(rule) = self.faults.rules.iter_mut().find(fits) {
            rule.times = rule.times.saturating_sub(1);
            return Some(rule.wrong.clone());
        }
        let state = self.faults.random.as_mut()?;
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        let (kind, bytes) = (*state >> 8, (*state >> 16) as usize % 900_000);
        (*state % 5 == 0).then_some(match kind % 4 {
            0 => Wrong::Answer(503, &[], ""),
            1 => Wrong::Mute,
            2 => Wrong::Take(bytes),
            _ => Wrong::Cut(bytes),
        })
    }

    /// Keeps what came of an upload that broke.
    fn keep(&mut self, asked: &Asked) {
        let Some((_, id)) = asked.path.split_once("/blobs/uploads/") else { return };
        let id = id.split('?').next().unwrap_or_default();
        if self.faults.forgetful {
            self.sessions.remove(id);
        } else if let Some(session) = self.sessions.get_mut(id) {
            session.extend(&asked.body);
        }
    }

    fn answer(&mut self, host: &str, asked: &Asked) -> Reply {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        if path == "/token" {
            return self.token(asked, query);
        }
        if let Some(refusal) = self.gate(host, asked) {
            return refusal;
        }
        let Some(rest) = path.strip_prefix("/v2/") else { return Reply::new(404) };
        if let Some((repository, name)) = rest.split_once("/manifests/") {
            return self.manifest(asked, repository, name);
        }
        if let Some((repository, id)) = rest.split_once("/blobs/uploads/") {
            return self.upload(host, asked, repository, id, query);
        }
        if let Some((repository, digest)) = rest.split_once("/blobs/") {
            return self.get_blob(asked, repository, digest);
        }
        match rest.strip_suffix("/tags/list") {
            Some(repository) => self.tags(repository, query),
            None => Reply::new(404),
        }
    }

    /// The refusal of a request without the authorization that is demanded.
    fn gate(&mut self, host: &str, asked: &Asked) -> Option<Reply> {
        let realm = self.faults.realm.clone().unwrap_or_else(|| format!("http://{host}/token"));
        let given = asked.authorization.clone().unwrap_or_default();
        if !self.faults.bearer {
            let wanted = self.faults.basic.clone()?;
            let challenge = Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
            return (given != wanted).then_some(challenge);
        }
        let repository = asked.path.strip_prefix("/v2/").unwrap_or_default();
        if let Some((scopes, left)) = given.strip_prefix("Bearer ").and_then(|t| self.tokens.get_mut(t)) {
            let covered = scopes
                .split(' ')
                .any(|scope| scope.split(':').nth(1).is_some_and(|name| repository.starts_with(name)));
            if covered && *left > 0 {
                *left -= 1;
                return None;
            }
        }
        let challenge = format!("Basic realm=\"x\", Bearer realm=\"{realm}\",service=\"fake\"");
        Some(
            Reply::new(401)
                .header("WWW-Authenticate", challenge)
                .body(r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#),
        )
    }

    fn token(&mut self, asked: &Asked, query: &str) -> Reply {
        let form = if asked.method == "POST" {
            String::from_utf8_lossy(&asked.body).into_owned()
        } else {
            query.to_owned()
        };
        let values = |name: &str| -> Vec<String> {
            let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| decode(value)).collect()
        };
        if let Some(wanted) = &self.faults.refresh
            && values("refresh_token") != [wanted.clone()]
        {
            return Reply::new(401);
        }
        if self.faults.refresh.is_none()
            && self.faults.basic.is_some()
            && asked.authorization != self.faults.basic
        {
            return Reply::new(401);
        }
        let token = format!("t0ken-{}-t0psecret", self.tokens.len());
        let uses = self.faults.token_uses.unwrap_or(usize::MAX);
        self.tokens.insert(token.clone(), (values("scope").join(" "), uses));
        let lifetime = self.faults.expires_in.map_or(String::new(), |n| format!(",\"expires_in\":{n}"));
        Reply::new(200).body(format!("{{\"access_token\":\"{token}\"{lifetime}}}"))
    }

    fn manifest(&mut self, asked: &Asked, repository: &str, name: &str) -> Reply {
        let media_type = asked.headers.get("content-type").cloned().unwrap_or_default();
        let digest = Digest::of(&asked.body).to_string();
        if asked.method == "PUT" {
            for name in [name, &digest] {
                let key = (repository.to_owned(), name.to_owned());
                self.manifests.insert(key, (media_type.clone(), asked.body.clone()));
            }
            let claimed = self.faults.claimed.clone().unwrap_or(digest);
            return match self.faults.bare_answers {
                true => Reply::new(201),
                false => Reply::new(201).header("Docker-Content-Digest", claimed).header("Location", "/x"),
            };
        }
        if asked.method == "HEAD" && self.faults.no_head {
            return Reply::new(405);
        }
        let Some((media_type, bytes)) = self.manifests.get(&(repository.to_owned(), name.to_owned())) else {
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            return Reply::new(404).body(body);
        };
        let claimed = self.faults.claimed.clone().unwrap_or_else(|| Digest::of(bytes).to_string());
        Reply::new(200)
            .header("Content-Type", media_type)
            .header("Docker-Content-Digest", claimed)
            .body(bytes.clone())
    }

    fn get_blob(&mut self, asked: &Asked, repository: &str, digest: &str) -> Reply {
        if asked.method == "HEAD" && self.faults.no_head {
            return Reply::new(405);
        }
        if let (Some(other), "GET") = (&self.faults.redirect, asked.method.as_str()) {
            return Reply::new(307).header("Location", format!("{other}{}", asked.path));
        }
        let Some(bytes) = self.blobs.get(&(repository.to_owned(), digest.to_owned())) else {
            return Reply::new(404);
        };
        let from: Option<usize> = asked
            .headers
            .get("range")
            .filter(|_| !self.faults.no_ranges)
            .map(|range| range.trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap());
        let mut reply = match from {
            Some(from) if from >= bytes.len() => return Reply::new(416),
            Some(from) => Reply::new(206)
                .header("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()))
                .body(&bytes[from..]),
            None => Reply::new(200).body(bytes.clone()),
        };
        reply.cut = self.faults.truncate.then_some(reply.body.len() / 2);
        reply.stall = (self.faults.stall.as_deref() == Some(digest)).then_some(reply.body.len() / 2);
        if self.faults.corrupt {
            reply.body[0] ^= 1;
        }
        if self.faults.overlong {
            reply.body.push(0);
            reply.unannounced = true;
        }
        reply
    }

    fn upload(&mut self, host: &str, asked: &Asked, repository: &str, id: &str, query: &str) -> Reply {
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| decode(value)).next()
        };
        if let Some((status, body)) = &self.faults.refuse_upload {
            return Reply::new(*status).body(body.clone());
        }
        if asked.method != "POST" && value("_state").as_deref() != Some("signed-state/==") {
            return Reply::new(400).body(r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID"}]}"#);
        }
        if asked.method == "DELETE" {
            self.sessions.remove(id);
            return Reply::new(204);
        }
        if asked.method != "POST" {
            return self.continued(asked, repository, id, value("digest"));
        }
        if let (Some(digest), Some(from), false) = (value("mount"), value("from"), self.faults.mount_refused)
            && let Some(bytes) = self.blobs.get(&(from, digest.clone())).cloned()
        {
            self.blobs.insert((repository.to_owned(), digest), bytes);
            return Reply::new(201);
        }
        let id = (self.sessions.len() + self.log.len()).to_string();
        let path = format!("/v2/{repository}/blobs/uploads/{id}?_state=signed-state%2F%3D%3D");
        self.sessions.insert(id, Vec::new());
        match self.faults.absolute_location {
            true => Reply::new(202).header("Location", format!("http://{host}{path}")),
            false => Reply::new(202).header("Location", path),
        }
    }

    /// An upload that was begun: PATCH, PUT or GET.
    fn continued(&mut self, asked: &Asked, repository: &str, id: &str, digest: Option<String>) -> Reply {
        let Some(session) = self.sessions.get_mut(id) else {
            return Reply::new(404).body(r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
        };
        let begins =
            asked.headers.get("content-range").map(|range| range.split('-').next().unwrap().to_owned());
        if begins.is_some_and(|begins| begins != session.len().to_string()) {
            return Reply::new(416).body(r#"{"errors":[{"code":"RANGE_INVALID"}]}"#);
        }
        session.extend(&asked.body);
        let end = session.len().saturating_sub(1); // of none too: `0-0`
        match asked.method.as_str() {
            "PATCH" => Reply::new(202).header("Range", format!("0-{end}")).header("Location", &asked.path),
            "GET" => Reply::new(204).header("Range", format!("0-{end}")),
            _ => {
                let (bytes, digest) =
                    (self.sessions.remove(id).unwrap_or_default(), digest.unwrap_or_default());
                if Digest::of(&bytes).to_string() != digest {
                    return Reply::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                }
                self.blobs.insert((repository.to_owned(), digest), bytes);
                Reply::new(201)
            }
        }
    }

    fn tags(&self, repository: &str, query: &str) -> Reply {
        let names = self.manifests.keys().filter(|(of, name)| of == repository && !name.contains(':'));
        let names: Vec<_> = names.map(|(_, name)| format!("{name:?}")).collect();
        let page = self.faults.page.unwrap_or(usize::MAX);
        let from: usize = query.strip_prefix("from=").map_or(0, |text| text.parse().unwrap());
        let shown: Vec<_> = names.iter().skip(from).take(page).cloned().collect();
        let reply = Reply::new(200).body(format!(r#"{{"name":"x","tags":[{}]}}"#, shown.join(",")));
        match from.saturating_add(page) < names.len() {
            true => reply
                .header("Link", format!("</v2/{repository}/tags/list?from={}>; rel=\"next\"", from + page)),
            false => reply,
        }
    }
}

/// Undoes the encoding of a form.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
