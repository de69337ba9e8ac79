//! Where the time went: what the engine tells of its steps, with the clock's word on when.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Instant;

use super::failure::Failure;
use crate::base::{Event, chain, fsio, locked};
use crate::plan::bench::proc;
use crate::plan::outputs;
use crate::plan::timings::{Bar, Timings};

/// Hears every event, and writes the page in the end.
#[derive(Debug)]
pub struct Collector {
    /// Where the page goes, if it is wanted.
    file: Option<PathBuf>,
    title: String,
    began: Instant,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    lanes: HashMap<ThreadId, usize>,
    running: HashMap<u64, Bar>,
    bars: Vec<Bar>,
    outputs: Vec<String>,
}

impl Collector {
    /// The clock runs from here on.
    pub fn new(file: Option<&std::path::Path>, words: &[OsString]) -> Arc<Self> {
        let words = words.iter().skip(1).map(|word| word.to_string_lossy());
        let title = std::iter::once("talosmith".into()).chain(words).collect::<Vec<_>>().join(" ");
        Arc::new(Self {
            file: file.map(std::path::Path::to_owned),
            title,
            began: Instant::now(),
            heard: Mutex::default(),
        })
    }

    /// Takes an event, on the thread on which it happened.
    pub fn event(&self, event: &Event) {
        let now = self.began.elapsed().as_secs_f64();
        let mut heard = locked(&self.heard);
        match event {
            Event::Started { id, step, subject, .. } => {
                let bar = heard.bar(step, subject, now);
                heard.running.insert(*id, bar);
            }
            Event::Advanced { id, bytes } => {
                if let Some(bar) = heard.running.get_mut(id) {
                    bar.read = Some(bar.read.unwrap_or(0) + bytes);
                }
            }
            Event::Finished { id, outcome, failed, written } => {
                if let Some(mut bar) = heard.running.remove(id) {
                    (bar.end, bar.outcome, bar.failed) = (now, outcome.clone(), *failed);
                    bar.written = *written;
                    if outputs::STEPS.contains(&bar.step.as_str()) && !failed {
                        heard.outputs.push(format!("{}@{outcome}", bar.subject));
                    }
                    heard.bars.push(bar);
                }
            }
            Event::Known { step, subject } => {
                let bar = Bar { known: true, ..heard.bar(step, subject, now) };
                heard.bars.push(bar);
            }
            Event::Said { .. } | Event::Warning { .. } | Event::Detail(_) => {}
        }
    }

    /// Writes the page, or the figures.
    pub fn write(&self) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Ok(()) };
        let timings = self.timings();
        let bytes = match file.extension().is_some_and(|ending| ending == "json") {
            true => timings.to_json(),
            false => timings.to_html().into_bytes(),
        };
        fsio::create_dir(fsio::parent(file))
            .and_then(|()| fsio::write(file, &bytes))
            .map_err(|error| Failure::output(chain(&error)))
    }

    /// What was heard so far.
    pub fn timings(&self) -> Timings {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (user, system) = proc::own(&read("stat"));
        let heard = locked(&self.heard);
        Timings {
            title: self.title.clone(),
            seconds: self.began.elapsed().as_secs_f64(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            user,
            system,
            peak: proc::peak(&read("status")),
            bars: heard.bars.clone(),
            outputs: heard.outputs.clone(),
        }
    }
}

impl Heard {
    fn bar(&mut self, step: &str, subject: &str, now: f64) -> Bar {
        let next = self.lanes.len();
        let lane = *self.lanes.entry(thread::current().id()).or_insert(next);
        Bar {
            step: step.to_owned(),
            subject: subject.to_owned(),
            start: now,
            end: now,
            lane,
            known: false,
            failed: false,
            read: None,
            written: None,
            outcome: String::new(),
        }
    }
}
