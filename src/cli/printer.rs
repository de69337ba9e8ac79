//! What the user sees: results on standard output, everything else on standard error. Bars only on a
//! terminal and only for what takes over a second; in a pipe one line for each large step, and one more for
//! each minute that it takes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};

use super::args::{Global, Progress, When};
use super::failure::Failure;
use super::timings::Collector;
use crate::base::{Event, Events, locked, printable};
use crate::check::{Finding, Report, Severity};

/// The version of the JSON that is printed; it changes when a key goes away or changes its meaning.
const SCHEMA: &str = "talosmith/v1";
/// A step of at least so many bytes gets a line in a pipe.
const LARGE: u64 = 8 << 20;
/// A bar appears when a step has taken so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often what runs is looked at.
const TICK: Duration = Duration::from_millis(200);

/// Prints.
#[derive(Clone)]
pub struct Printer {
    json: bool,
    quiet: bool,
    verbose: bool,
    color: bool,
    /// Events go out as lines of JSON, and nothing else of them does.
    lines: bool,
    bars: Option<MultiProgress>,
    running: Arc<Mutex<HashMap<u64, Running>>>,
}

struct Running {
    step: &'static str,
    subject: String,
    total: Option<u64>,
    done: u64,
    since: Instant,
    /// What it does at present.
    said: Option<String>,
    bar: Option<ProgressBar>,
    /// Minutes that were told of.
    minutes: u64,
}

impl Printer {
    /// A printer for these options.
    pub fn new(global: &Global) -> Self {
        let terminal = io::stderr().is_terminal();
        let color = match global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let lines = global.progress == Progress::Json;
        let bars =
            terminal && !global.quiet && !lines && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let printer = Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            lines,
            color,
            bars: bars.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())),
            running: Arc::default(),
        };
        printer.watch();
        printer
    }

    /// Looks at what runs from a thread of its own, for as long as there is a printer: what makes no progress
    /// for a while is what people want to be told of most.
    fn watch(&self) {
        let (running, bars) = (Arc::downgrade(&self.running), self.bars.clone());
        if self.quiet || self.lines {
            return;
        }
        let ticks = move || {
            while let Some(running) = running.upgrade() {
                for step in locked(&running).values_mut() {
                    step.tick(bars.as_ref());
                }
                drop(running);
                thread::sleep(TICK);
            }
        };
        // Without the thread, bars move with the bytes only.
        let _ = thread::Builder::new().name("ticks".to_owned()).spawn(ticks);
    }

    /// Whether more is to be told.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// The listener for the engine; `also` hears everything, too.
    pub fn events(&self, also: Arc<Collector>) -> Events {
        let printer = self.clone();
        Events::new(move |event| {
            also.event(&event);
            printer.event(event);
        })
    }

    /// Prints a result: a JSON document, or the text.
    pub fn result(&self, command: &str, value: Value, text: &str) -> Result<(), Failure> {
        self.settle();
        if self.json {
            return print_out(&format!(
                "{}\n",
                json!({"schema": SCHEMA, "command": command, "result": value})
            ));
        }
        print_out(text)
    }

    /// Prints the findings that did not stop the command; an error among them was let pass. With `--json`
    /// they are part of the result.
    pub fn findings(&self, report: &Report) {
        if !self.json {
            let shown = |finding: &&Finding| match finding.severity {
                Severity::Error => true,
                Severity::Warning => !self.quiet,
                Severity::Info => self.verbose,
            };
            self.say(&self.show_findings(report.findings().iter().filter(shown)));
        }
    }

    /// Findings as text. Advice that one finding shares with the next is given once, behind the last.
    pub fn show_findings<'a>(&self, findings: impl Iterator<Item = &'a Finding>) -> String {
        let mut text = String::new();
        let mut findings = findings.peekable();
        while let Some(finding) = findings.next() {
            let (word, color) = match finding.severity {
                Severity::Error => ("error", RED),
                Severity::Warning => ("warning", YELLOW),
                Severity::Info => ("info", CYAN),
            };
            let (word, message) = (self.paint(word, color), printable(&finding.message));
            let _ = writeln!(text, "{word}: {message} [{}]", finding.code); // to a String
            for line in finding.lines() {
                let _ = writeln!(text, "  {}", printable(&line));
            }
            let shared = findings.peek().is_some_and(|next| next.hint == finding.hint);
            if let Some(hint) = finding.hint.as_ref().filter(|_| !shared) {
                let _ = writeln!(text, "{}: {}", self.paint("hint", GREEN), printable(hint));
            }
        }
        text
    }

    /// Prints an error.
    pub fn failure(&self, command: &str, failure: &Failure) {
        if self.json {
            print_json_error(command, failure);
            return;
        }
        let mut text = String::new();
        if let Some(report) = &failure.report {
            let shown = |finding: &&Finding| finding.severity != Severity::Info || self.verbose;
            text.push_str(&self.show_findings(report.findings().iter().filter(shown)));
        }
        let _ = writeln!(text, "{}: {}", self.paint("error", RED), printable(&failure.message));
        for line in &failure.details {
            let _ = writeln!(text, "  {}", printable(line));
        }
        if let Some(hint) = &failure.hint {
            let _ = writeln!(text, "{}: {}", self.paint("hint", GREEN), printable(hint));
        }
        self.say(&text);
    }

    /// Tells what to do next, beside the results.
    pub fn hint(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Takes bars that are left off the screen.
    pub fn settle(&self) {
        for (_, running) in self.running().drain() {
            if let Some(bar) = running.bar {
                bar.finish_and_clear();
            }
        }
    }

    /// The process ends now: takes off the screen what is there, and shows nothing that others still begin. With
    /// `by_key` it was the terminal's key that ended it.
    pub fn leave(&self, by_key: bool) {
        if by_key && echoes_keys() && self.running().values().any(|step| step.bar.is_some()) {
            // Lines of bars are full, so that the `^C` behind the last has begun one that the bars know nothing of.
            let _ = io::stderr().write_all(b"\r\x1b[2K\x1b[A"); // nowhere is left to complain
        }
        self.settle();
        if let Some(bars) = &self.bars {
            let _ = bars.clear(); // nowhere is left to complain
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, Running>> {
        locked(&self.running)
    }

    fn event(&self, event: Event) {
        if self.lines {
            let mut err = io::stderr().lock();
            let _ = writeln!(err, "{}", line(&event)); // nowhere is left to complain
            return;
        }
        match event {
            Event::Started { id, step, subject, total } => {
                self.running().insert(id, Running::new(step, subject, total));
            }
            Event::Advanced { id, bytes } => {
                if let Some(step) = self.running().get_mut(&id) {
                    step.advance(bytes, self.bars.as_ref());
                }
            }
            Event::Said { id, text } => {
                if let Some(step) = self.running().get_mut(&id) {
                    step.said = Some(text);
                    step.show();
                }
            }
            Event::Finished { id, outcome, failed, .. } => self.finished(id, &outcome, failed),
            Event::Known { step, subject } => self.event(Event::Detail(format!("{step} {subject}: known"))),
            Event::Warning { text, hint } => {
                if !self.quiet {
                    let hint = hint
                        .map(|hint| format!("{}: {}\n", self.paint("hint", GREEN), printable(&hint)))
                        .unwrap_or_default();
                    let text = printable(&text);
                    self.say(&format!("{}: {text}\n{hint}", self.paint("warning", YELLOW)));
                }
            }
            Event::Detail(text) => {
                if self.verbose {
                    self.say(&format!("{}\n", self.paint(&printable(&text), DIM)));
                }
            }
        }
    }

    fn finished(&self, id: u64, outcome: &str, failed: bool) {
        let Some(step) = self.running().remove(&id) else { return };
        if let Some(bar) = &step.bar {
            bar.finish_and_clear();
        }
        let large = step.total.unwrap_or(0) >= LARGE || step.since.elapsed() >= PATIENCE;
        if failed || self.quiet || !(large || self.verbose) {
            return;
        }
        let outcome = if outcome.is_empty() { String::new() } else { format!(": {outcome}") };
        self.say(&format!("{} {}{outcome}\n", step.step, printable(&step.subject)));
    }

    /// Writes to standard error, above the bars.
    fn say(&self, text: &str) {
        let write = || {
            let _ = io::stderr().write_all(text.as_bytes()); // nowhere is left to complain
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn paint(&self, text: &str, color: &str) -> String {
        if self.color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Running {
    fn new(step: &'static str, subject: String, total: Option<u64>) -> Self {
        Self { step, subject, total, done: 0, since: Instant::now(), said: None, bar: None, minutes: 0 }
    }

    fn advance(&mut self, bytes: u64, bars: Option<&MultiProgress>) {
        let first = self.done == 0 && bytes > 0;
        self.done += bytes;
        self.appear(bars);
        if let Some(bar) = &self.bar {
            if first {
                bar.set_style(self.style()); // in time so far, now in bytes
            }
            bar.set_position(self.total.map_or(self.done, |total| self.done.min(total)));
        }
    }

    /// Time goes by. In a pipe it is told that something still runs: some give up on what is silent for long.
    fn tick(&mut self, bars: Option<&MultiProgress>) {
        self.appear(bars);
        let minutes = self.since.elapsed().as_secs() / 60;
        match &self.bar {
            Some(bar) => bar.tick(),
            None if bars.is_none() && minutes > self.minutes => {
                self.minutes = minutes;
                let _ = writeln!(io::stderr(), "{}: {minutes} min so far", self.message()); // nobody to complain to
            }
            None => {}
        }
    }

    /// The bar, when it is time for it.
    fn appear(&mut self, bars: Option<&MultiProgress>) {
        if let Some(bars) = bars.filter(|_| self.bar.is_none() && self.since.elapsed() >= PATIENCE) {
            let bar = ProgressBar::new(self.total.unwrap_or(0)).with_elapsed(self.since.elapsed());
            let bar = bars.add(bar);
            bar.set_style(self.style());
            self.bar = Some(bar);
            self.show();
        }
    }

    fn style(&self) -> ProgressStyle {
        let template = match self.total {
            Some(_) => "{wide_msg} [{bar:16}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}",
            None if self.done > 0 => "{wide_msg} {decimal_bytes} {decimal_bytes_per_sec}",
            None => "{wide_msg} {elapsed}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        style.progress_chars("=> ")
    }

    fn show(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.message());
        }
    }

    fn message(&self) -> String {
        let subject = self.said.as_deref().unwrap_or(&self.subject);
        format!("{} {}", self.step, printable(subject))
    }
}

/// Whether the terminal shows keys that do something as `^C` (termios(3), `ECHOCTL`).
fn echoes_keys() -> bool {
    let both = LocalModes::ECHO | LocalModes::ECHOCTL;
    tcgetattr(io::stderr()).is_ok_and(|terminal| terminal.local_modes.contains(both))
}

/// An event as a line of JSON.
fn line(event: &Event) -> Value {
    match event {
        Event::Started { id, step, subject, total } => {
            json!({ "event": "started", "id": id, "step": step, "subject": subject, "total": total })
        }
        Event::Advanced { id, bytes } => json!({ "event": "advanced", "id": id, "bytes": bytes }),
        Event::Said { id, text } => json!({ "event": "said", "id": id, "text": text }),
        Event::Finished { id, outcome, failed, written } => {
            json!({ "event": "finished", "id": id, "outcome": outcome, "failed": failed, "written": written })
        }
        Event::Known { step, subject } => json!({ "event": "known", "step": step, "subject": subject }),
        Event::Warning { text, hint } => json!({ "event": "warning", "text": text, "hint": hint }),
        Event::Detail(text) => json!({ "event": "detail", "text": text }),
    }
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const GREEN: &str = "1;32";
const CYAN: &str = "1;36";
const DIM: &str = "2";

/// An error in JSON, on standard output as every result is.
pub(super) fn print_json_error(command: &str, failure: &Failure) {
    let error = json!({
        "kind": failure.kind,
        "exitCode": failure.code,
        "message": failure.message,
        "details": failure.details,
        "hint": failure.hint,
        "findings": failure.report.as_ref().map(|report| report.findings().to_vec()),
    });
    // Where this fails, the exit code is all that is left to say it.
    let _ = print_out(&format!("{}\n", json!({"schema": SCHEMA, "command": command, "error": error})));
}

/// Writes to standard output. A reader that went away (`| head`) is no error; a full disk is.
pub(super) fn print_out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::output(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
