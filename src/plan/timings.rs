//! What a build spent its time on: its steps as bars over time, and one HTML page of them, as
//! `cargo build --timings` writes it.
//!
//! The page is a pure function of the values: no clock, no map without order. It loads nothing and runs
//! nothing, and its content security policy says so to the browser: subjects are foreign text. They only
//! ever reach the page through `Text`, and never its style.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::base::units::{count, size};
use crate::base::{json, printable};

/// A known step that took less than this many seconds is not drawn: a warm build has hundreds of them.
const NOTICEABLE: f64 = 0.001;
/// Times beyond this are a broken clock's.
const LONGEST: f64 = 1e9;
/// Colours of the style sheet, `.k0` and on.
const COLOURS: usize = 10;
/// Pixels from one sub-row of a lane to the next.
const ROW: usize = 24;

/// One step that ran, or that was known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bar {
    /// The step's name: `pull`, `layer`, `push` …
    pub step: String,
    /// What it worked on.
    pub subject: String,
    /// Seconds since the beginning of the build.
    pub start: f64,
    /// Seconds since the beginning of the build.
    pub end: f64,
    /// Which of the threads, from 0.
    pub lane: usize,
    /// It was in the cache.
    pub known: bool,
    /// It ended in an error.
    pub failed: bool,
    /// Bytes that went in, where that is known.
    pub read: Option<u64>,
    /// Bytes that came out, where that is known.
    pub written: Option<u64>,
    /// What came of it, for people.
    pub outcome: String,
}

/// What a build spent its time on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// What was built.
    pub title: String,
    /// How long the build took.
    pub seconds: f64,
    /// Threads that could run at once.
    pub cores: usize,
    /// CPU seconds of the process, in its own code.
    pub user: f64,
    /// CPU seconds of the process, in the kernel.
    pub system: f64,
    /// Largest resident memory, in bytes.
    pub peak: Option<u64>,
    /// The steps, in any order.
    pub bars: Vec<Bar>,
    /// References that were written, with digests.
    pub outputs: Vec<String>,
}

/// A bar that is drawn: its number in the build, and times that can be reckoned with.
#[derive(Clone, Copy)]
struct Shown<'a> {
    id: usize,
    bar: &'a Bar,
    start: f64,
    end: f64,
}

impl Shown<'_> {
    fn length(&self) -> f64 {
        self.end - self.start
    }
}

impl Timings {
    /// The page.
    pub fn to_html(&self) -> String {
        let shown = self.shown();
        let span = shown.iter().map(|bar| bar.end).fold(sane(self.seconds), f64::max);
        let title = Text(&self.title);
        let mut page = format!("{HEAD}<title>{title}: timings</title>\n<style>{STYLE}</style></head>\n");
        let _ = writeln!(page, "<body><h1>{title}</h1>");
        self.facts(&mut page);
        if shown.is_empty() {
            page.push_str("<p>No step ran.</p>\n");
        } else {
            let colours = colours(&shown);
            legend(&mut page, &shown, &colours);
            chart(&mut page, &shown, &colours, span);
            table(&mut page, &shown, span);
        }
        self.known(&mut page);
        self.written(&mut page);
        page.push_str("</body></html>\n");
        page
    }

    /// The values, for programs.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_vec(self)
    }

    /// What is drawn: all that ran, and what was known but took its time nevertheless. By beginning, and
    /// of those that begin together the longest first, so that a step comes before those within it.
    fn shown(&self) -> Vec<Shown<'_>> {
        let sane = self.bars.iter().enumerate().map(|(id, bar)| {
            let start = sane(bar.start);
            Shown { id, bar, start, end: sane(bar.end).max(start) }
        });
        let mut shown: Vec<_> = sane.filter(|it| !it.bar.known || it.length() >= NOTICEABLE).collect();
        shown.sort_by(|a, b| a.start.total_cmp(&b.start).then(b.end.total_cmp(&a.end)));
        shown
    }

    fn facts(&self, page: &mut String) {
        let (seconds, user, system) = (sane(self.seconds), sane(self.user), sane(self.system));
        let known = self.bars.iter().filter(|bar| bar.known).count();
        let failed = self.bars.iter().filter(|bar| bar.failed).count();
        let mut steps = format!("{} run, {known} known", self.bars.len() - known);
        if failed > 0 {
            let _ = write!(steps, ", <strong class=\"bad\">{failed} failed</strong>");
        }
        let mut cores = count(self.cores, "core");
        if seconds > 0.0 && self.cores > 0 {
            let busy = 100.0 * (user + system) / (seconds * self.cores as f64);
            let _ = write!(cores, ", {busy:.0} % busy");
        }
        let (cpu, user, system) = (duration(user + system), duration(user), duration(system));
        let cpu = format!("{cpu} <small>{user} user, {system} system</small>");
        let peak = self.peak.map_or("unknown".to_owned(), size);
        page.push_str("<dl class=\"facts\">");
        for (name, value) in [
            ("Total time", duration(seconds)),
            ("CPU time", cpu),
            ("Processor", cores),
            ("Peak memory", peak),
            ("Steps", steps),
        ] {
            let _ = write!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
        page.push_str("</dl>\n");
    }

    /// Known steps by name: there may be hundreds, of which each took no time.
    fn known(&self, page: &mut String) {
        let mut groups: BTreeMap<&str, Vec<&Bar>> = BTreeMap::new();
        for bar in self.bars.iter().filter(|bar| bar.known) {
            groups.entry(&bar.step).or_default().push(bar);
        }
        if groups.is_empty() {
            return;
        }
        page.push_str("<h2>Found in the cache</h2>\n");
        for (name, bars) in groups {
            let number = count(bars.len(), "step");
            let _ = write!(page, "<details><summary>{}: {number}</summary><ul>", Text(name));
            for Bar { subject, outcome, .. } in bars {
                let _ = write!(page, "<li>{} <small>{}</small></li>", Text(subject), Text(outcome));
            }
            page.push_str("</ul></details>\n");
        }
    }

    fn written(&self, page: &mut String) {
        if self.outputs.is_empty() {
            return;
        }
        page.push_str("<h2>Written</h2>\n<ul>");
        for output in &self.outputs {
            let _ = write!(page, "<li><code>{}</code></li>", Text(output));
        }
        page.push_str("</ul>\n");
    }
}

/// A colour for each name of a step. A name prefers the same one in every build and gives way only to
/// one that comes before it in the alphabet; names share colours only if there are more of them.
fn colours<'a>(shown: &[Shown<'a>]) -> BTreeMap<&'a str, usize> {
    let mut colours: BTreeMap<&str, usize> = shown.iter().map(|it| (it.bar.step.as_str(), 0)).collect();
    let mut taken = [false; COLOURS];
    for (name, colour) in &mut colours {
        // FNV-1a: the standard library's hash may change with its version.
        let hash = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let preferred = hash as usize % COLOURS;
        let mut slots = (preferred..COLOURS).chain(0..preferred);
        *colour = slots.find(|slot| taken.get(*slot) == Some(&false)).unwrap_or(preferred);
        if let Some(taken) = taken.get_mut(*colour) {
            *taken = true;
        }
    }
    colours
}

/// The kinds of steps with their colours, the one that took most first.
fn legend(page: &mut String, shown: &[Shown<'_>], colours: &BTreeMap<&str, usize>) {
    let mut kinds: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for it in shown {
        let (number, seconds) = kinds.entry(&it.bar.step).or_default();
        *number += 1;
        *seconds += it.length();
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|(_, (_, a)), (_, (_, b))| b.total_cmp(a));
    page.push_str("<h2>Steps over time</h2>\n<ul class=\"legend\">");
    for (name, (number, seconds)) in kinds {
        let colour = colours.get(name).copied().unwrap_or_default();
        let (number, seconds) = (count(number, "step"), duration(seconds));
        let _ = write!(page, "<li><i class=\"k{colour}\"></i>{} ", Text(name));
        let _ = write!(page, "<small>{number}, {seconds}</small></li>");
    }
    page.push_str("</ul>\n");
}

/// The lanes and, on the same axis, how many steps ran at once.
fn chart(page: &mut String, shown: &[Shown<'_>], colours: &BTreeMap<&str, usize>, span: f64) {
    let ticks = ticks(span);
    let apart = ticks.get(1).map_or(100.0, |(at, _)| share(*at, span));
    let _ =
        write!(page, "<div class=\"box\" tabindex=\"0\"><div class=\"plot\" style=\"--tick:{apart:.3}%\">");
    page.push_str("<div class=\"axis\">");
    for (at, label) in ticks {
        let _ = write!(page, "<span style=\"left:{:.3}%\">{label}</span>", share(at, span));
    }
    page.push_str("</div>\n");
    let mut lanes: BTreeMap<usize, Vec<Shown<'_>>> = BTreeMap::new();
    for it in shown {
        lanes.entry(it.bar.lane).or_default().push(*it);
    }
    for (lane, bars) in lanes {
        let rows = stack(&bars);
        let height = ROW * (1 + rows.iter().max().copied().unwrap_or_default());
        let _ = write!(page, "<div class=\"name\">thread {}</div>", lane.saturating_add(1));
        let _ = writeln!(page, "<div class=\"lane\" style=\"height:{height}px\">");
        for (it, row) in bars.iter().zip(rows) {
            let colour = colours.get(it.bar.step.as_str()).copied().unwrap_or_default();
            draw(page, it, row, colour, span);
        }
        page.push_str("</div>\n");
    }
    at_once(page, shown, span);
    page.push_str("</div></div>\n");
}

/// A bar, which leads to its row of the table. Of its label shows what fits: the style sheet sees to it,
/// which knows the width.
fn draw(page: &mut String, it: &Shown<'_>, row: usize, colour: usize, span: f64) {
    let Bar { step, subject, outcome, .. } = it.bar;
    let (step, subject, outcome) = (Text(step), Text(subject), Text(outcome));
    let (from, to, length) = (duration(it.start), duration(it.end), duration(it.length()));
    let (state, mark) = match (it.bar.failed, it.bar.known) {
        (true, _) => (" failed", "✗ "),
        (_, true) => (" known", ""),
        _ => ("", ""),
    };
    let (left, width, top) = (share(it.start, span), share(it.length(), span), ROW * row);
    let _ = write!(page, "<a href=\"#s{}\" class=\"k{colour}{state}\" ", it.id);
    let _ = write!(page, "style=\"left:{left:.3}%;width:{width:.3}%;top:{top}px\" ");
    let _ =
        write!(page, "title=\"{step}{state}: {subject}&#10;{length}, from {from} to {to}&#10;{outcome}\">");
    let _ = writeln!(page, "<b>{mark}{step}</b><span>{subject}</span></a>");
}

/// The sub-row of each bar of a lane, bars sorted by beginning: the first where it overlaps with none.
fn stack(bars: &[Shown<'_>]) -> Vec<usize> {
    let mut ends: Vec<f64> = Vec::new();
    let place = |it: &Shown<'_>| match ends.iter_mut().enumerate().find(|(_, end)| **end <= it.start) {
        Some((row, end)) => {
            *end = it.end;
            row
        }
        None => {
            ends.push(it.end);
            ends.len() - 1
        }
    };
    bars.iter().map(place).collect()
}

/// How many steps ran at once, over time.
fn at_once(page: &mut String, shown: &[Shown<'_>], span: f64) {
    let mut changes: Vec<(f64, i64)> =
        shown.iter().filter(|it| it.length() > 0.0).flat_map(|it| [(it.start, 1), (it.end, -1)]).collect();
    // Ends before beginnings: of two steps in a row there is one at once.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let levels = changes.iter().scan(0, |now, (at, change)| {
        *now += change;
        Some((*at, *now))
    });
    let levels: Vec<(f64, i64)> = levels.collect();
    let Some(most) = levels.iter().map(|(_, level)| *level).max() else { return };
    let mut path = format!("M0 {most}");
    for (at, level) in levels {
        let _ = write!(path, "H{:.2}V{}", share(at, span) * 10.0, most - level);
    }
    let _ = write!(page, "<div class=\"name\">steps at once<small>up to {most}</small></div>");
    let _ = write!(
        page,
        "<div class=\"lane\"><svg viewBox=\"0 0 1000 {most}\" preserveAspectRatio=\"none\" role=\"img\">"
    );
    let _ = writeln!(page, "<title>steps at once: up to {most}</title><path d=\"{path}Z\"/></svg></div>");
}

/// Round times on the axis, some eight of them, with their labels.
fn ticks(span: f64) -> Vec<(f64, String)> {
    if span <= 0.0 {
        return vec![(0.0, "0 s".to_owned())];
    }
    let (scale, unit) = if span < 1.0 { (1000.0, "ms") } else { (1.0, "s") };
    let rough = span * scale / 8.0;
    let magnitude = 10_f64.powi(rough.log10().floor() as i32);
    let fits = |step: &f64| *step >= rough;
    let step = [1.0, 2.0, 5.0].map(|of| of * magnitude).into_iter().find(fits).unwrap_or(10.0 * magnitude);
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    let number = (span * scale / step + 1e-9) as u32;
    (0..=number)
        .map(|nth| f64::from(nth) * step)
        .map(|at| (at / scale, format!("{at:.decimals$} {unit}")))
        .collect()
}

/// The steps that are drawn, the longest first.
fn table(page: &mut String, shown: &[Shown<'_>], span: f64) {
    let mut shown: Vec<_> = shown.iter().collect();
    shown.sort_by(|a, b| b.length().total_cmp(&a.length()));
    page.push_str("<h2>Longest steps</h2>\n<div class=\"box\" tabindex=\"0\"><table><thead><tr><th>Step");
    page.push_str("<th>Subject<th class=\"n\">Start, s<th class=\"n\">Length, s<th class=\"n\">Share");
    page.push_str("<th class=\"n\">Read<th class=\"n\">Written<th>Cached<th>Outcome</thead><tbody>\n");
    for it in shown {
        let Bar { step, subject, outcome, known, failed, read, written, .. } = it.bar;
        let (start, length, share) = (it.start, it.length(), share(it.length(), span));
        let _ = write!(page, "<tr id=\"s{}\"><td>{}<td>{}", it.id, Text(step), Text(subject));
        let _ = write!(page, "<td class=\"n\">{start:.3}<td class=\"n\">{length:.3}");
        let _ = write!(page, "<td class=\"n\">{share:.1} %");
        for bytes in [read, written] {
            let _ = write!(page, "<td class=\"n\">{}", bytes.map(size).unwrap_or_default());
        }
        let cached = if *known { "yes" } else { "no" };
        let mark = if *failed { "<strong class=\"bad\">✗ failed</strong> " } else { "" };
        let _ = writeln!(page, "<td>{cached}<td>{mark}{}", Text(outcome));
    }
    page.push_str("</tbody></table></div>\n");
}

/// Seconds that can be drawn, whatever the clock said: no NaN, nothing negative, none so small that it
/// has no logarithm.
fn sane(seconds: f64) -> f64 {
    if seconds >= 1e-9 { seconds.min(LONGEST) } else { 0.0 }
}

/// Per cent of the whole.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

fn duration(seconds: f64) -> String {
    match seconds {
        ..0.9995 => format!("{:.0} ms", seconds * 1000.0),
        ..59.995 => format!("{seconds:.2} s"),
        _ => format!("{} min {:02} s", seconds.round() as u64 / 60, seconds.round() as u64 % 60),
    }
}

/// Foreign text, as text of the page or within a quoted attribute.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in printable(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
"#;

/// Colours are pairs: ten dark ones under white labels, ten light ones under black labels, each with a
/// contrast above 5 to label and background.
///
/// A label that does not fit is a flex item that wraps to a second line, which the bar hides.
const STYLE: &str = "
:root{color-scheme:light dark;--back:#fff;--text:#1b2027;--dim:#5a6472;--line:#d8dde4;--soft:#eef1f5;
--bad:#c1121f;--label:#fff;--area:#9db8dc;--k0:#2563b8;--k1:#a85500;--k2:#1f7a3f;--k3:#7a4bb5;--k4:#0b7480;
--k5:#b5306f;--k6:#6b6a00;--k7:#85512f;--k8:#4d6079;--k9:#4b3fc4}
@media (prefers-color-scheme:dark){:root{--back:#14171c;--text:#e6e9ee;--dim:#9aa5b4;--line:#343b46;
--soft:#1e232b;--bad:#ff6b6b;--label:#0b0d10;--area:#3d5f8f;--k0:#7fb2ff;--k1:#ffb066;--k2:#74d190;
--k3:#c8a4ff;--k4:#5fd0cf;--k5:#ff9cc4;--k6:#d6d15c;--k7:#d9ab8a;--k8:#a9bdd6;--k9:#9f9dff}}
.k0{--k:var(--k0)}.k1{--k:var(--k1)}.k2{--k:var(--k2)}.k3{--k:var(--k3)}.k4{--k:var(--k4)}
.k5{--k:var(--k5)}.k6{--k:var(--k6)}.k7{--k:var(--k7)}.k8{--k:var(--k8)}.k9{--k:var(--k9)}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem;max-width:120rem;background:var(--back);color:var(--text);
font:14px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.2}
h2{margin:2rem 0 .6rem;font-size:1.1rem}
small,dt{color:var(--dim);font-size:.86em}
.bad{color:var(--bad)}
.facts{display:flex;flex-wrap:wrap;gap:.6rem;margin:0}
.facts div{padding:.5rem .9rem;border-radius:6px;background:var(--soft)}
.facts dd{margin:0;font-size:1.1rem}
.facts small{margin-left:.3rem}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:0 0 .7rem;padding:0;list-style:none}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px;background:var(--k)}
.box{overflow-x:auto;border:1px solid var(--line);border-radius:6px}
.plot{display:grid;grid-template-columns:7rem 1fr;min-width:42rem;padding-right:3.5rem}
.name{position:sticky;left:0;z-index:1;padding:4px .8rem;border-top:1px solid var(--line);
background:var(--back)}
.name small{display:block}
.axis{grid-column:2;position:relative;height:1.8rem}
.axis span{position:absolute;top:.3rem;padding-left:.3rem;color:var(--dim);font-size:.86em;white-space:nowrap}
.lane{position:relative;border-top:1px solid var(--line);
background:repeating-linear-gradient(to right,var(--line) 0 1px,transparent 1px var(--tick))}
.lane::after{content:'';position:absolute;top:-1px;left:100%;width:3.5rem;border-top:1px solid var(--line)}
.lane a{position:absolute;display:flex;flex-wrap:wrap;height:20px;min-width:2px;margin-top:2px;
overflow:hidden;border-radius:2px;background:var(--k);color:var(--label);font-size:12px;line-height:20px;
text-decoration:none}
.lane a::before{content:'';height:20px}
.lane a>*{padding-left:5px;font-weight:normal;white-space:nowrap}
.lane b+span{opacity:.85}
.lane .known{border:1px solid var(--k);background:var(--back);color:var(--text)}
.lane .failed{background:var(--bad);color:var(--label)}
.lane a:hover,.lane a:focus{outline:2px solid var(--text);z-index:1}
svg{display:block;width:100%;height:5rem;fill:var(--area)}
table{width:100%;border-collapse:collapse;white-space:nowrap}
th,td{padding:.25rem .7rem;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
th{border:0;background:var(--soft);font-weight:600}
td:nth-child(2){min-width:14rem;width:60%;white-space:normal}
td:last-child{min-width:12rem;white-space:normal}
.n{text-align:right;font-variant-numeric:tabular-nums}
tr:target{background:var(--soft);outline:2px solid var(--text);outline-offset:-2px}
ul{padding-left:1.3rem}
details{margin:.3rem 0}
summary{cursor:pointer}
";

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(step: &str, start: f64, end: f64) -> Bar {
        let (step, subject) = (step.to_owned(), format!("of {start}"));
        let outcome = String::new();
        Bar {
            step,
            subject,
            start,
            end,
            lane: 0,
            known: false,
            failed: false,
            read: None,
            written: None,
            outcome,
        }
    }

    fn timings(bars: Vec<Bar>) -> Timings {
        let (title, outputs) = ("a build".to_owned(), Vec::new());
        Timings {
            title,
            seconds: 8.0,
            cores: 2,
            user: 9.0,
            system: 3.0,
            peak: Some(5_000_000),
            bars,
            outputs,
        }
    }

    fn rows(bars: Vec<Bar>) -> Vec<usize> {
        stack(&timings(bars).shown())
    }

    #[test]
    fn foreign_text_stays_text() {
        let evil = "\"'><script>alert(1)</script>&\n\u{202e}";
        let all =
            |known| Bar { outcome: evil.to_owned(), subject: evil.to_owned(), known, ..bar(evil, 0.0, 1.0) };
        let mut build = timings(vec![all(false), all(true)]);
        (build.title, build.outputs) = (evil.to_owned(), vec![evil.to_owned()]);
        let page = build.to_html();
        assert!(!page.contains("<script") && !page.contains("\"'>") && !page.contains('\u{202e}'));
        let safe = "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;\\n\\u{202e}";
        assert_eq!(page.matches("&lt;script").count(), page.matches(safe).count());
    }

    #[test]
    fn what_overlaps_within_a_lane_lies_in_another_row() {
        let one_by_one = vec![bar("a", 0.0, 1.0), bar("b", 1.0, 2.0)];
        assert_eq!(rows(one_by_one.clone()), [0, 0]);
        assert!(timings(one_by_one).to_html().contains("steps at once: up to 1<"));
        let nested = vec![bar("within", 0.0, 1.0), bar("outer", 0.0, 3.0), bar("late", 2.0, 4.0)];
        assert_eq!(rows(nested.clone()), [0, 1, 1], "the outer one comes first");
        let page = timings(nested).to_html();
        assert!(page.contains("style=\"height:48px\"") && page.contains("steps at once: up to 2"));
        let apart = vec![bar("a", 0.0, 1.0), Bar { lane: usize::MAX, ..bar("b", 0.0, 1.0) }];
        assert_eq!(timings(apart).to_html().matches("style=\"height:24px\"").count(), 2);
    }

    #[test]
    fn every_step_is_in_the_page_once_for_each_place() {
        let mut bars: Vec<_> =
            (0..500_u16).map(|nth| bar("layer", nth.into(), f64::from(nth) + 1.5)).collect();
        bars.push(Bar { known: true, ..bar("pull", 3.0, 3.0) });
        bars.push(Bar { known: true, ..bar("slow", 4.0, 6.0) });
        let page = timings(bars).to_html();
        for id in (0..500).chain([501]) {
            assert_eq!(page.matches(&format!("href=\"#s{id}\"")).count(), 1);
            assert_eq!(page.matches(&format!("id=\"s{id}\"")).count(), 1);
        }
        assert!(page.contains("pull: 1 step</summary><ul><li>of 3 ") && !page.contains("#s500\""));
        assert!(page.contains("slow: 1 step</summary>") && page.contains("500 run, 2 known"));
    }

    #[test]
    fn the_longest_step_leads_the_table_and_a_failed_one_is_marked() {
        let failed = Bar { failed: true, read: Some(1500), ..bar("push", 2.0, 6.0) };
        let page = timings(vec![bar("pull", 0.0, 2.0), failed]).to_html();
        let (_, table) = page.split_once("<tbody>").unwrap();
        assert!(table.find("id=\"s1\"").unwrap() < table.find("id=\"s0\"").unwrap());
        assert!(table.contains("4.000") && table.contains("50.0 %") && table.contains("1.5 kB"));
        assert!(page.contains(", 75 % busy") && page.contains("1 failed<") && table.contains("✗ failed"));
    }

    #[test]
    fn a_build_without_steps_or_time_or_with_a_broken_clock_has_a_page() {
        let empty = Timings { seconds: 0.0, cores: 0, peak: None, ..timings(Vec::new()) }.to_html();
        assert!(empty.contains("No step ran.") && !empty.contains("<table>"));
        for (start, end) in
            [(0.0, 0.0), (5e-324, 1e-310), (f64::NAN, f64::INFINITY), (-1.0, f64::MAX), (9.0, 1.0)]
        {
            let page = Timings { seconds: start, ..timings(vec![Bar { start, end, ..bar("a", 0.0, 0.0) }]) }
                .to_html();
            assert!(!page.contains("NaN") && !page.contains("inf") && page.len() < 20_000);
        }
    }

    #[test]
    fn the_axis_has_round_numbers() {
        let labels = |span| ticks(span).into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ");
        assert_eq!(labels(0.0), "0 s");
        assert_eq!(labels(0.35), "0 ms 50 ms 100 ms 150 ms 200 ms 250 ms 300 ms 350 ms");
        assert_eq!(labels(3.2), "0.0 s 0.5 s 1.0 s 1.5 s 2.0 s 2.5 s 3.0 s");
        assert_eq!(labels(1000.0), "0 s 200 s 400 s 600 s 800 s 1000 s");
    }

    #[test]
    fn a_page_depends_on_the_values_only_and_they_survive_json() {
        let build = timings(vec![bar("b", 0.0, 1.0), bar("a", 0.0, 1.0), bar("a", 0.0, 1.0)]);
        let again: Timings = serde_json::from_slice(&build.to_json()).unwrap();
        assert_eq!(again, build);
        assert_eq!(again.to_html(), build.to_html());
    }

    #[test]
    fn kinds_have_colours_of_their_own_as_long_as_there_are_any() {
        let bars: Vec<_> = (0..COLOURS).map(|nth| bar(&nth.to_string(), 0.0, 1.0)).collect();
        let mut used: Vec<_> = colours(&timings(bars).shown()).into_values().collect();
        used.sort_unstable();
        assert_eq!(used, (0..COLOURS).collect::<Vec<_>>());
    }
}
