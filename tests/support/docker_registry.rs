//! Registries that others wrote, on a free port, behind a relay that counts what they are sent and breaks connections
//! when it is told to: Debian's `docker-registry`, and crane's.

// Each test uses its part of this.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A `docker-registry`, or crane's; ends when dropped.
pub(crate) struct DockerRegistry {
    child: Child,
    /// `127.0.0.1:PORT` of the relay.
    pub(crate) host: String,
    data: tempfile::TempDir,
    sent: Arc<AtomicU64>,
    breaks: Breaks,
}

/// For each connection to come, the bytes after which it breaks: those that it brings, and those that it takes back.
type Breaks = Arc<Mutex<VecDeque<(u64, u64)>>>;

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

impl DockerRegistry {
    pub(crate) fn start(program: &Path) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = data.path().join("config.yml");
        let root = data.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            root.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&config);
        Self::serve(command, port, data)
    }

    /// That of crane.
    pub(crate) fn crane(program: &Path) -> Self {
        let (data, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new(program);
        command
            .args(["registry", "serve", "--address", &format!("127.0.0.1:{port}"), "--disk"])
            .arg(data.path());
        Self::serve(command, port, data)
    }

    fn serve(mut command: Command, port: u16, data: tempfile::TempDir) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (sent, breaks) = (Arc::new(AtomicU64::new(0)), Breaks::default());
        let mut started = Self { child, host: relay(port, &sent, &breaks), data, sent, breaks };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert_eq!(started.child.try_wait().unwrap(), None, "the registry ended");
            assert!(Instant::now() < deadline, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        started
    }

    /// `127.0.0.1:PORT/NAME`.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// The next connections break, each after so many bytes that clients send, or get.
    pub(crate) fn break_after(&self, bytes: &[(u64, u64)]) {
        *self.breaks.lock().unwrap() = bytes.iter().copied().collect();
    }

    /// Bytes that clients have sent since this was last asked, headers of requests included.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.swap(0, Ordering::SeqCst)
    }

    /// The file in which it keeps a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.data.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

/// A port that nobody listens on, below those that the kernel gives to whoever asks for any: between
/// this and the registry's start nobody else takes it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16;
    loop {
        let port = 20_000 + first.wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A port that passes on to `port` what it receives, and counts it.
fn relay(port: u16, sent: &Arc<AtomicU64>, breaks: &Breaks) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (sent, breaks) = (Arc::clone(sent), Arc::clone(breaks));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let (back, forth) = ((server.try_clone(), client.try_clone()), (client, server));
            let sent = Arc::clone(&sent);
            let (up, down) = breaks.lock().unwrap().pop_front().unwrap_or((u64::MAX, u64::MAX));
            std::thread::spawn(move || pass(forth.0, forth.1, &sent, up));
            if let (Ok(server), Ok(client)) = back {
                std::thread::spawn(move || pass(server, client, &AtomicU64::new(0), down));
            }
        }
    });
    host
}

/// Passes bytes on until one side ends, or the most is reached; counts them before the other side sees them.
fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64, most: u64) {
    let mut buffer = [0; 64 << 10];
    let mut left = most;
    while let Ok(got @ 1..) = from.read(&mut buffer) {
        if got as u64 > left {
            let _ = to.shutdown(Shutdown::Both); // either side may have closed
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
        left -= got as u64;
        count.fetch_add(got as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..got]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write); // the other side may have closed
}
