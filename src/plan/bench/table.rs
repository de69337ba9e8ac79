//! The report as people read it: aligned columns for a terminal, or Markdown for a README.

use std::fmt::Write as _;

use super::report::{Outcome, Report, Series, StepSeries};
use super::run::{Scenario, Side};
use super::statistics::Spread;
use crate::base::printable;
use crate::base::units::{count, size};

/// Steps whose every run took less than this many seconds have no row: a warm build has many of them.
const NOTICEABLE: f64 = 0.001;
/// The numbers of a series.
const NUMBERS: [&str; 8] = ["median", "min", "max", "user", "system", "peak", "read", "written"];

impl Report {
    /// Aligned columns, a block for each scenario.
    pub fn text(&self) -> String {
        let subject = &self.subject;
        let mut text = format!("{}: {}\n", Side::Ours.name(), printable(&subject.command));
        // Writing to a String does not fail, here and below.
        if let Some(versus) = &subject.versus {
            let _ = writeln!(text, "{}: {}", Side::Theirs.name(), printable(versus));
        }
        let _ = writeln!(text, "{}", self.circumstances());
        for outcome in &self.scenarios {
            let _ = write!(text, "\n{}", aligned(&rows(outcome)));
        }
        text.push('\n');
        for line in self.explanations() {
            let _ = writeln!(text, "{line}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {}", printable(note));
        }
        text
    }

    /// Tables and lists in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("{}, by {}\n\n", self.circumstances(), code(&self.subject.invocation));
        text.push_str("| | | median | minimum | maximum | ratio | user | system | peak | read | written |\n");
        text.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for outcome in &self.scenarios {
            self.markdown_rows(outcome, &mut text);
        }
        let steps: Vec<(&Outcome, &StepSeries)> = self
            .scenarios
            .iter()
            .flat_map(|outcome| noticeable(&outcome.ours).map(move |step| (outcome, step)))
            .collect();
        if !steps.is_empty() {
            text.push_str("\n| | step | median | minimum | maximum | read | written |\n");
            text.push_str("|---|---|--:|--:|--:|--:|--:|\n");
        }
        for (outcome, step) in steps {
            let [median, min, max] = times(&step.seconds);
            let (read, written) = (bytes(step.read), bytes(step.written));
            let _ = writeln!(
                text,
                "| {} | {} | {median} | {min} | {max} | {read} | {written} |",
                outcome.scenario.name(),
                code(&step.step)
            );
        }
        text.push('\n');
        for line in self.explanations() {
            let _ = writeln!(text, "- {line}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "- **{}**", printable(note));
        }
        text
    }

    fn markdown_rows(&self, outcome: &Outcome, text: &mut String) {
        let sides = [
            (Some(&self.subject.command), Some(&outcome.ours), outcome.ratio.as_ref()),
            (self.subject.versus.as_ref(), outcome.theirs.as_ref(), None),
        ];
        for (command, series, ratio) in sides {
            let (Some(command), Some(series)) = (command, series) else { continue };
            let [median, min, max, rest @ ..] = numbers(series);
            let ratio = ratio.map(|ratio| ratio.spread).map_or_else(String::new, |it| {
                format!("{} ({}–{})", factor(it.median), factor(it.min), factor(it.max))
            });
            let (scenario, command, rest) = (outcome.scenario.name(), code(command), rest.join(" | "));
            let _ =
                writeln!(text, "| {scenario} | {command} | {median} | {min} | {max} | {ratio} | {rest} |");
        }
    }

    /// How often, and on what.
    fn circumstances(&self) -> String {
        let turns = if self.subject.versus.is_some() { " each, in turn" } else { "" };
        let (runs, processors) = (self.subject.runs, self.subject.processors);
        format!("{}{turns}, on {}", count(runs, "run"), count(processors, "processor"))
    }

    /// What the numbers are.
    fn explanations(&self) -> Vec<String> {
        let mut lines = vec!["user, system, peak, read and written are medians".to_owned()];
        if self.subject.versus.is_some() {
            lines.push("ratio: time of talosmith / time of the other, pair by pair".to_owned());
            lines.push(
                "what a daemon does for the other is in its time and in no other of its numbers".to_owned(),
            );
        }
        if self.scenarios.iter().any(|outcome| outcome.scenario == Scenario::Cold) {
            lines.push("cold: nothing in talosmith's cache; files that are in memory stay there".to_owned());
        }
        if self.scenarios.iter().any(|outcome| noticeable(&outcome.ours).next().is_some()) {
            lines.push("steps run at once: together they take longer than the run".to_owned());
        }
        lines
    }
}

/// The block of one scenario.
fn rows(outcome: &Outcome) -> Vec<Vec<String>> {
    let row = |label: String, numbers: &[String]| -> Vec<String> {
        std::iter::once(label).chain(numbers.iter().cloned()).collect()
    };
    let mut rows = vec![row(outcome.scenario.name().to_owned(), &NUMBERS.map(str::to_owned))];
    rows.push(row(format!("  {}", Side::Ours.name()), &numbers(&outcome.ours)));
    if let Some(theirs) = &outcome.theirs {
        rows.push(row(format!("  {}", Side::Theirs.name()), &numbers(theirs)));
    }
    if let Some(ratio) = &outcome.ratio {
        let spread = &ratio.spread;
        rows.push(row("  ratio".to_owned(), &[spread.median, spread.min, spread.max].map(factor)));
    }
    for step in noticeable(&outcome.ours) {
        let [median, min, max] = times(&step.seconds);
        let none = String::new;
        let numbers = [median, min, max, none(), none(), none(), bytes(step.read), bytes(step.written)];
        rows.push(row(format!("    {}", printable(&step.step)), &numbers));
    }
    rows
}

/// Those steps that took a time.
fn noticeable(series: &Series) -> impl Iterator<Item = &StepSeries> {
    series.steps.iter().filter(|step| step.seconds.max >= NOTICEABLE)
}

/// See [`NUMBERS`].
fn numbers(series: &Series) -> [String; 8] {
    let [median, min, max] = times(&series.seconds);
    let time = |spread: Option<Spread<f64>>| spread.map_or_else(|| "-".to_owned(), |it| ticks(it.median));
    let (user, system) = (time(series.user), time(series.system));
    let [peak, read, written] = [series.peak, series.read, series.written].map(bytes);
    [median, min, max, user, system, peak, read, written]
}

fn times(spread: &Spread<f64>) -> [String; 3] {
    [spread.median, spread.min, spread.max].map(seconds)
}

fn bytes(spread: Option<Spread<u64>>) -> String {
    spread.map_or_else(|| "-".to_owned(), |it| size(it.median))
}

/// Three digits that count, as far as there are.
fn seconds(seconds: f64) -> String {
    match seconds {
        ..0.9995 => format!("{:.0} ms", seconds * 1000.0),
        ..9.995 => format!("{seconds:.2} s"),
        ..99.95 => format!("{seconds:.1} s"),
        _ => format!("{seconds:.0} s"),
    }
}

/// Processor time, which the kernel counts in steps of 10 ms.
fn ticks(time: f64) -> String {
    if time < 0.01 { "<10 ms".to_owned() } else { seconds(time) }
}

fn factor(ratio: f64) -> String {
    match ratio {
        ..0.0995 => format!("{ratio:.3}"),
        ..9.995 => format!("{ratio:.2}"),
        _ => format!("{ratio:.1}"),
    }
}

/// Columns as wide as their widest: the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or_default();
            let _ =
                if column == 0 { write!(line, "{cell:width$}") } else { write!(line, "  {cell:>width$}") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A code span that also holds in a cell of a table: of one line, whatever signs are in it.
fn code(text: &str) -> String {
    let text = printable(text).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    // CommonMark takes one space off each end; without it the fence and the text would be one.
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::bench::{Measured, Run, StepCost, Subject};

    fn run(seconds: f64) -> Run {
        Run {
            seconds,
            user: Some(seconds * 2.0),
            system: Some(0.25),
            peak: Some(58_000_000),
            read: Some(0),
            written: None,
            ..Run::default()
        }
    }

    fn report(versus: Option<&str>) -> Report {
        let step = |seconds| StepCost { seconds, read: Some(1500), written: None };
        let steps = [("layer".to_owned(), step(1.0)), ("known".to_owned(), step(0.0))];
        let ours = [1.0, 1.1].map(|seconds| Run { steps: steps.clone().into(), ..run(seconds) });
        let theirs = if versus.is_some() { vec![run(12.0), run(11.0)] } else { Vec::new() };
        let subject = Subject {
            command: "talosmith build x.yaml".to_owned(),
            versus: versus.map(str::to_owned),
            runs: 2,
            processors: 1,
            invocation: "talosmith bench x.yaml".to_owned(),
        };
        Report::new(
            subject,
            vec![Measured { scenario: Scenario::Warm, ours: ours.into(), theirs }],
            Vec::new(),
        )
    }

    #[test]
    fn the_text_has_aligned_columns() {
        let text = report(Some("docker run \u{1b}")).text();
        let expected = "\
talosmith: talosmith build x.yaml
other: docker run \\u{1b}
2 runs each, in turn, on 1 processor

warm         median     min     max    user  system     peak     read  written
  talosmith  1.05 s  1.00 s  1.10 s  2.10 s  250 ms  58.0 MB  0 bytes        -
  other      11.5 s  11.0 s  12.0 s  23.0 s  250 ms  58.0 MB  0 bytes        -
  ratio       0.092   0.083    0.10
    layer    1.00 s  1.00 s  1.00 s                            1.5 kB        -

user, system, peak, read and written are medians
ratio: time of talosmith / time of the other, pair by pair
what a daemon does for the other is in its time and in no other of its numbers
steps run at once: together they take longer than the run
";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_another_command_nothing_is_compared() {
        let (text, markdown) = (report(None).text(), report(None).markdown());
        assert!(!text.contains("other") && !text.contains("ratio") && !text.contains("daemon"));
        assert!(text.contains("2 runs, on 1 processor\n"));
        assert_eq!(markdown.lines().filter(|line| line.starts_with("| warm | `talosmith")).count(), 1);
    }

    #[test]
    fn markdown_is_a_table_whatever_the_command_is() {
        let markdown = report(Some("cat `x` | sh\ntrue")).markdown();
        assert!(
            markdown.starts_with("2 runs each, in turn, on 1 processor, by `talosmith bench x.yaml`\n\n| |")
        );
        let row = "| warm | `talosmith build x.yaml` | 1.05 s | 1.00 s | 1.10 s | 0.092 (0.083–0.10) | \
            2.10 s | 250 ms | 58.0 MB | 0 bytes | - |\n";
        assert!(markdown.contains(row), "{markdown}");
        assert!(markdown.contains("| warm | `` cat `x` \\| sh\\ntrue `` | 11.5 s |"), "{markdown}");
        assert!(markdown.contains("| warm | `layer` | 1.00 s |"));
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let table: Vec<usize> = markdown.lines().filter(|line| line.starts_with('|')).map(cells).collect();
        assert_eq!(table, [12, 12, 12, 12, 8, 8, 8]);
    }

    #[test]
    fn notes_stand_below_both() {
        let mut report = report(None);
        report.notes.push("too noisy".to_owned());
        assert!(report.text().ends_with("\nnote: too noisy\n"));
        assert!(report.markdown().ends_with("\n- **too noisy**\n"));
    }

    #[test]
    fn times_and_factors_have_three_digits() {
        let times = [0.0004, 0.0203, 0.9996, 9.999, 99.96, 1234.5].map(seconds);
        assert_eq!(times, ["0 ms", "20 ms", "1.00 s", "10.0 s", "100 s", "1234 s"]);
        assert_eq!([0.0, 0.01].map(ticks), ["<10 ms", "10 ms"]);
        assert_eq!([0.0123, 0.5, 1.0, 12.34].map(factor), ["0.012", "0.50", "1.00", "12.3"]);
    }
}
