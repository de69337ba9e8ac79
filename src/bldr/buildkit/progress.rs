//! What the client tells of its work (`--progress rawjson`): one JSON object a line on its standard error, with
//! vertexes (steps), statuses (transfers in a step) and logs (what a step writes). Behind the objects, a build
//! that failed has plain lines, the last of which begins with `error: `.
//!
//! The form is `SolveStatus` of BuildKit's `client/graph.go`.

use std::collections::{HashMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::error::BuildKitError;
use crate::base::{Activity, Events};

/// The most steps that are followed, and transfers; a kernel's build has some hundred.
const FOLLOWED_MAX: usize = 1 << 14;
/// Lines of a step that are kept for the case that it fails.
const LOG_LINES: usize = 25;
/// Bytes of such a line.
const LOG_LINE_MAX: usize = 1 << 10;
/// The most characters of a step's name: some are whole scripts.
const NAME_MAX: usize = 120;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    vertexes: Option<Vec<Vertex>>,
    statuses: Option<Vec<Transfer>>,
    logs: Option<Vec<Log>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Vertex {
    digest: String,
    name: String,
    started: Option<String>,
    completed: Option<String>,
    cached: bool,
    error: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Transfer {
    id: String,
    vertex: String,
    current: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Log {
    vertex: String,
    data: Option<String>,
}

/// Follows a build.
#[derive(Debug)]
pub struct Progress<'a> {
    events: &'a Events,
    steps: HashMap<String, Step>,
    transfers: HashMap<(String, String), u64>,
    /// The step that failed, and why.
    failed: Option<(String, String)>,
    /// Lines that are no objects.
    plain: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Step {
    name: String,
    activity: Option<Activity>,
    log: VecDeque<String>,
    /// A line of which the end has not come yet.
    line: Vec<u8>,
    /// When it ended, as it was told last: the same end is told several times.
    completed: Option<String>,
}

impl<'a> Progress<'a> {
    /// Tells `events` of the build.
    pub fn new(events: &'a Events) -> Self {
        Self {
            events,
            steps: HashMap::new(),
            transfers: HashMap::new(),
            failed: None,
            plain: VecDeque::new(),
        }
    }

    /// Takes one line of the client's standard error.
    pub fn line(&mut self, line: &[u8]) {
        let status = line.starts_with(b"{").then(|| serde_json::from_slice::<Status>(line).ok()).flatten();
        let Some(status) = status else {
            let text = String::from_utf8_lossy(line).trim_end().to_owned();
            if !text.is_empty() {
                keep(&mut self.plain, text);
            }
            return;
        };
        status.vertexes.into_iter().flatten().for_each(|vertex| self.vertex(vertex));
        status.statuses.into_iter().flatten().for_each(|transfer| self.transfer(transfer));
        status.logs.into_iter().flatten().for_each(|log| self.log(&log));
    }

    fn vertex(&mut self, vertex: Vertex) {
        if self.steps.len() >= FOLLOWED_MAX && !self.steps.contains_key(&vertex.digest) {
            return;
        }
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if !vertex.name.is_empty() {
            step.name = shortened(&vertex.name);
        }
        // What another's failure has stopped is not what failed.
        if !vertex.error.is_empty() && self.failed.is_none() && !vertex.error.contains("context canceled") {
            self.failed = Some((vertex.digest, vertex.error.clone()));
        }
        match (vertex.started, vertex.completed) {
            (Some(_), None) if step.activity.is_none() => {
                step.activity = Some(self.events.begin("buildkit", step.name.as_str(), None));
            }
            (_, Some(completed)) if step.completed.as_ref() != Some(&completed) => {
                step.completed = Some(completed);
                // Of one that was not seen to run there is something to tell in any case.
                let activity = step
                    .activity
                    .take()
                    .unwrap_or_else(|| self.events.begin("buildkit", step.name.as_str(), None));
                match vertex.error.is_empty() {
                    true => activity.finish(if vertex.cached { "cached" } else { "" }),
                    false => drop(activity), // dropped before its end, it has failed
                }
            }
            _ => {}
        }
    }

    fn transfer(&mut self, transfer: Transfer) {
        let Some(activity) = self.steps.get(&transfer.vertex).and_then(|step| step.activity.as_ref()) else {
            return;
        };
        let current = u64::try_from(transfer.current).unwrap_or(0);
        let key = (transfer.vertex, transfer.id);
        if self.transfers.len() >= FOLLOWED_MAX && !self.transfers.contains_key(&key) {
            return;
        }
        let before = self.transfers.entry(key).or_default();
        if let Some(more) = current.checked_sub(*before).filter(|more| *more > 0) {
            activity.advance(more);
            *before = current;
        }
    }

    fn log(&mut self, log: &Log) {
        let Some(step) = self.steps.get_mut(&log.vertex) else { return };
        let Some(data) = log.data.as_ref().and_then(|data| STANDARD.decode(data).ok()) else { return };
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let room = LOG_LINE_MAX.saturating_sub(step.line.len());
            step.line.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
            if piece.ends_with(b"\n") {
                let line = step.take_line();
                let tagged = format!("{} {line}", tag(&step.name));
                if let Some(activity) = step.activity.as_ref().filter(|_| !line.is_empty()) {
                    activity.say(tagged.clone());
                }
                self.events.detail(tagged);
                keep(&mut step.log, line);
            }
        }
    }

    /// What failed, if the client has said so.
    pub fn failure(mut self) -> Result<BuildKitError, Vec<String>> {
        let error = self.plain.iter().rev().find_map(|line| {
            line.strip_prefix("error: ").or_else(|| line.strip_prefix("ERROR: ")).map(str::to_owned)
        });
        let failed = self.failed.take();
        let Some(reason) = failed.as_ref().map(|(_, reason)| reason.clone()).or_else(|| error.clone()) else {
            return Err(self.plain.into());
        };
        let reason = own_words(&reason);
        let step = failed.and_then(|(digest, _)| self.steps.remove(&digest));
        let (step, log) = match step {
            Some(mut step) => {
                if !step.line.is_empty() {
                    let line = step.take_line();
                    keep(&mut step.log, line);
                }
                (Some(step.name), step.log)
            }
            // Without a step, what the client itself wrote is all there is.
            None => (None, self.plain.into_iter().filter(|line| !line.ends_with(&reason)).collect()),
        };
        Ok(BuildKitError::Failed { step, reason, log: log.into() })
    }
}

impl Step {
    /// The line that has come, without its end and what a terminal would do with it.
    fn take_line(&mut self) -> String {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim_end().to_owned();
        line.rsplit('\r').next().unwrap_or_default().to_owned()
    }
}

/// What is said of a step that failed, without the step's whole script, which its name begins with.
fn own_words(reason: &str) -> String {
    let behind = reason
        .strip_prefix("process \"")
        .and_then(|_| reason.rsplit_once(" did not complete successfully: "));
    behind.map_or(reason, |(_, words)| words).to_owned()
}

fn keep(lines: &mut VecDeque<String>, line: String) {
    if lines.len() == LOG_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// The first line of a name, so far as it is shown.
fn shortened(name: &str) -> String {
    let first = name.lines().next().unwrap_or_default();
    let short: String = first.chars().take(NAME_MAX).collect();
    match short.len() < name.len() {
        true => format!("{short}…"),
        false => short,
    }
}

/// What tells a step from others in front of each line that it writes: `[kernel 2/5]`, or bldr's `kernel:build-0`.
fn tag(name: &str) -> &str {
    match name.split_once(']') {
        Some((tag, _)) if name.starts_with('[') => name.get(..=tag.len()).unwrap_or(name),
        _ => name.split(' ').next().unwrap_or(name),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::base::Event;

    fn follow(lines: &[&str]) -> (Vec<String>, Result<BuildKitError, Vec<String>>) {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let listener = Arc::clone(&heard);
        let events = Events::new(move |event| {
            listener.lock().unwrap().push(match event {
                Event::Started { subject, .. } => format!("start {subject}"),
                Event::Advanced { bytes, .. } => format!("advance {bytes}"),
                Event::Said { text, .. } => format!("say {text}"),
                Event::Finished { outcome, failed, .. } => format!("end {outcome} {failed}"),
                Event::Known { subject, .. } => format!("known {subject}"),
                Event::Detail(text) => text,
                Event::Warning { text, .. } => text,
            });
        });
        let mut progress = Progress::new(&events);
        lines.iter().for_each(|line| progress.line(line.as_bytes()));
        let failure = progress.failure();
        let heard = heard.lock().unwrap().clone();
        (heard, failure)
    }

    #[test]
    fn steps_transfers_and_logs_become_events() {
        let (heard, failure) = follow(&[
            r#"{"vertexes":[{"digest":"a","name":"[k 1/2] COPY x /"}]}"#,
            r#"{"vertexes":[{"digest":"a","name":"[k 1/2] COPY x /","started":"1"}]}"#,
            r#"{"statuses":[{"id":"t","vertex":"a","current":0},{"id":"t","vertex":"a","current":30}]}"#,
            r#"{"statuses":[{"id":"t","vertex":"a","current":20},{"id":"t","vertex":"a","current":50}]}"#,
            // "one\ntw", "o\n"
            r#"{"logs":[{"vertex":"a","stream":1,"data":"b25lCnR3"}]}"#,
            r#"{"logs":[{"vertex":"a","stream":1,"data":"bwo="},{"vertex":"unknown","data":"bwo="}]}"#,
            r#"{"vertexes":[{"digest":"a","name":"[k 1/2] COPY x /","started":"1","completed":"2"}]}"#,
            r#"{"vertexes":[{"digest":"b","name":"b","started":"1","completed":"2","cached":true}]}"#,
            r#"{"vertexes":[{"digest":"b","name":"b","started":"1","completed":"2","cached":true}]}"#,
        ]);
        let expected = [
            "start [k 1/2] COPY x /",
            "advance 30",
            "advance 20",
            "say [k 1/2] one",
            "[k 1/2] one",
            "say [k 1/2] two",
            "[k 1/2] two",
            "end  false",
            "start b",
            "end cached false",
        ];
        assert_eq!(heard, expected);
        assert!(failure.unwrap_err().is_empty());
    }

    #[test]
    fn the_step_that_failed_is_told_with_its_last_lines() {
        let (heard, failure) = follow(&[
            r#"{"vertexes":[{"digest":"a","name":"[k 1/2] RUN a","started":"1"},{"digest":"b","name":"[k 2/2] RUN b","started":"1"}]}"#,
            r#"{"logs":[{"vertex":"b","data":"b25lCnR3"}]}"#,
            r#"{"vertexes":[{"digest":"a","name":"[k 1/2] RUN a","completed":"2","error":"context canceled"}]}"#,
            r#"{"vertexes":[{"digest":"b","name":"[k 2/2] RUN b","completed":"2","error":"process \"b\" did not complete successfully: exit code: 3"}]}"#,
            "Dockerfile:3",
            "error: failed to solve: exit code: 3",
        ]);
        assert_eq!(heard.last().unwrap(), "end  true");
        let BuildKitError::Failed { step, reason, log } = failure.unwrap() else {
            panic!("it failed otherwise")
        };
        assert_eq!((step.as_deref(), reason.as_str()), (Some("[k 2/2] RUN b"), "exit code: 3"));
        assert_eq!(log, ["one", "tw"]);
    }

    #[test]
    fn a_failure_outside_of_all_steps_is_told_by_the_clients_own_words() {
        let (_, failure) = follow(&["WARN: x", "error: failed to solve: target stage not found"]);
        let error = failure.unwrap();
        assert_eq!(error.to_string(), "the build failed: failed to solve: target stage not found");
        assert_eq!(error.details(), ["WARN: x"]);
        // Neither objects nor errors: then only how it ended is known.
        assert_eq!(follow(&["{\"vertexes\": 7}", "  "]).1.unwrap_err(), ["{\"vertexes\": 7}"]);
    }

    #[test]
    fn a_daemon_that_tells_of_too_much_is_not_believed() {
        let events = Events::default();
        let mut progress = Progress::new(&events);
        for number in 0..FOLLOWED_MAX + 10 {
            progress.line(format!(r#"{{"vertexes":[{{"digest":"{number}","started":"1"}}]}}"#).as_bytes());
        }
        progress.line(br#"{"statuses":[{"id":"t","vertex":"0","current":-5},{"vertex":"0","current":9223372036854775807}]}"#);
        let long = STANDARD.encode(vec![b'x'; 5000]);
        progress.line(
            format!(r#"{{"logs":[{{"vertex":"0","data":"{long}"}},{{"vertex":"0","data":"?"}}]}}"#)
                .as_bytes(),
        );
        assert_eq!((progress.steps.len(), progress.steps["0"].line.len()), (FOLLOWED_MAX, LOG_LINE_MAX));
    }
}
