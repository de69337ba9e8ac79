//! What the engine tells of its work. The library emits events and never prints; the command line
//! listens (bars on a terminal, a line for each large step in a pipe, JSON lines).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step began: which, what it is about, and how many bytes lie before it where that is known.
    Started {
        /// Unique in this process, ties the other events to this one.
        id: u64,
        /// The step's name: `pull`, `layer`, `push` …
        step: &'static str,
        /// What it works on, for people.
        subject: String,
        /// Bytes of work, where known.
        total: Option<u64>,
    },
    /// Bytes done since the last such event.
    Advanced {
        /// See `Started`.
        id: u64,
        /// Bytes.
        bytes: u64,
    },
    /// What the step is doing at present, in place of its subject.
    Said {
        /// See `Started`.
        id: u64,
        /// For people.
        text: String,
    },
    /// A step ended.
    Finished {
        /// See `Started`.
        id: u64,
        /// What came of it, for people: `2 layers, 21.5 MB`.
        outcome: String,
        /// It ended in an error, which is reported elsewhere.
        failed: bool,
        /// Bytes that it has made, where that is known.
        written: Option<u64>,
    },
    /// A step was not run: what it gives is known.
    Known {
        /// The step's name.
        step: &'static str,
        /// What it works on, for people.
        subject: String,
    },
    /// Something that people should know and that stops nothing.
    Warning {
        /// A lower-case fragment, objects in backticks.
        text: String,
        /// Advice, where there is any.
        hint: Option<String>,
    },
    /// A detail for `--verbose`.
    Detail(String),
}

/// Where events go. Cheap to clone; the default drops them.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Events go to `listener`, from any thread.
    pub fn new(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Passes `event` on.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Tells that something has begun, of `total` bytes where that is known.
    pub fn begin(&self, step: &'static str, subject: impl Into<String>, total: Option<u64>) -> Activity {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        self.emit(Event::Started { id, step, subject: subject.into(), total });
        Activity { id, events: self.clone(), ended: false, written: None }
    }

    /// Emits a warning.
    pub fn warn(&self, text: impl Into<String>, hint: Option<String>) {
        self.emit(Event::Warning { text: text.into(), hint });
    }

    /// Emits a detail.
    pub fn detail(&self, text: impl Into<String>) {
        self.emit(Event::Detail(text.into()));
    }
}

/// Something that is being done. Dropped before its end, it has failed.
#[derive(Debug)]
pub struct Activity {
    id: u64,
    events: Events,
    ended: bool,
    written: Option<u64>,
}

impl Activity {
    /// `bytes` more are done.
    pub fn advance(&self, bytes: u64) {
        self.events.emit(Event::Advanced { id: self.id, bytes });
    }

    /// This is what it is doing at present.
    pub fn say(&self, text: impl Into<String>) {
        self.events.emit(Event::Said { id: self.id, text: text.into() });
    }

    /// For who tells of bytes from other threads: see [`Event::Advanced`].
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Who is told.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// It has made so many bytes.
    #[must_use]
    pub fn wrote(mut self, bytes: u64) -> Self {
        self.written = Some(bytes);
        self
    }

    /// It is done; `outcome` is for people.
    pub fn finish(mut self, outcome: impl Into<String>) {
        self.end(outcome.into(), false);
    }

    fn end(&mut self, outcome: String, failed: bool) {
        self.ended = true;
        self.events.emit(Event::Finished { id: self.id, outcome, failed, written: self.written });
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if !self.ended {
            self.end(String::new(), true);
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
