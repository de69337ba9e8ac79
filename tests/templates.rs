//! Templates beside Go's text/template with sprig, which bldr renders them with. `tests/run.sh` builds the
//! judge, tests/support/go-template.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/template_maker.rs"]
mod template_maker;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use judge::judge;
use talosmith::bldr::template::{Template, Value};
use template_maker::Maker;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/templates").join(name)
}

/// The templates of the corpus.
fn corpus() -> Vec<String> {
    let text = fs::read_to_string(testdata("corpus.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("##"));
    lines.map(|line| line.replace('⏎', "\n").replace('⇥', "\t")).collect()
}

/// The values that they are rendered with, with the types that the judge gives them.
fn values() -> Value {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(testdata("values.json")).unwrap()).unwrap();
    typed("", json)
}

fn typed(name: &str, json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Int)
        }
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => {
            Value::List(items.into_iter().map(|item| typed("", item)).collect())
        }
        serde_json::Value::Object(pairs) if name == "texts" => {
            let text = |value: serde_json::Value| value.as_str().unwrap().to_owned();
            Value::Texts(pairs.into_iter().map(|(key, value)| (key, text(value))).collect())
        }
        serde_json::Value::Object(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| {
                let value = typed(&key, value);
                (key, value)
            });
            Value::Map(pairs.collect())
        }
    }
}

/// What we make of a template; none for an error.
fn ours(template: &str, values: &Value) -> Option<String> {
    Template::parse("main", template).and_then(|template| template.render(values)).ok()
}

/// What Go makes of templates: a text, or none for an error.
fn theirs(program: &Path, templates: &[String]) -> Vec<Option<String>> {
    let lines: String = templates.iter().map(|own| serde_json::to_string(own).unwrap() + "\n").collect();
    let mut child = Command::new(program)
        .arg(testdata("values.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers: Vec<Option<String>> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let mut answer: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
            answer.remove("text")
        })
        .collect();
    assert_eq!(answers.len(), templates.len());
    answers
}

/// What is refused on purpose: Go's texts are bytes; its slices show what lies behind their end; it prints
/// the insides of a version.
const ON_PURPOSE: &[&str] =
    &["a character would be cut in two", "out of the list's bounds", "of a version is not supported"];

/// Compares; says of each difference what it is.
fn compare(templates: &[String], theirs: &[Option<String>]) {
    let values = values();
    let mut differences = Vec::new();
    for (template, theirs) in templates.iter().zip(theirs) {
        let ours = Template::parse("main", template).and_then(|template| template.render(&values));
        if ours.as_ref().is_err_and(|error| ON_PURPOSE.iter().any(|end| error.problem().ends_with(end))) {
            continue;
        }
        if ours.as_ref().ok() != theirs.as_ref() {
            differences.push(format!("{template}\n  ours:   {ours:?}\n  theirs: {theirs:?}"));
        }
    }
    let count = differences.len();
    differences.truncate(40);
    assert!(differences.is_empty(), "{count} of {}:\n{}", templates.len(), differences.join("\n"));
}

#[test]
fn the_corpus_renders_as_go_rendered_it() {
    let answers = fs::read_to_string(testdata("answers.jsonl")).unwrap();
    let answers: Vec<Option<String>> =
        answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let templates = corpus();
    assert_eq!(templates.len(), answers.len(), "answers.jsonl belongs to another corpus");
    assert!(templates.len() > 400);
    compare(&templates, &answers);
}

#[test]
fn go_still_renders_the_corpus_so() {
    let Some(program) = judge("go-template") else { return };
    let answers: String = theirs(&program, &corpus())
        .iter()
        .map(|answer| serde_json::to_string(answer).unwrap() + "\n")
        .collect();
    let kept = fs::read_to_string(testdata("answers.jsonl")).unwrap_or_default();
    let now = Path::new(env!("CARGO_TARGET_TMPDIR")).join("answers.jsonl");
    fs::write(&now, &answers).unwrap();
    assert!(kept == answers, "Go's answers are other ones now: {}", now.display());
}

#[test]
fn go_renders_the_same_for_templates_made_at_random() {
    let Some(program) = judge("go-template") else { return };
    let mut maker = Maker::new(0x0123_4567_89ab_cdef);
    let templates: Vec<String> = (0..20_000).map(|_| maker.template()).collect();
    let theirs = theirs(&program, &templates);
    let rendered = theirs.iter().filter(|answer| answer.is_some()).count();
    assert!(rendered > templates.len() / 4, "only {rendered} can be rendered at all");
    compare(&templates, &theirs);
}

#[test]
fn damaged_templates_do_no_harm() {
    let mut maker = Maker::new(7);
    let values = values();
    let corpus = corpus();
    for round in 0..6_000 {
        let own = if round % 2 == 0 { maker.template() } else { corpus[round % corpus.len()].clone() };
        let damaged = maker.damage(&own);
        // Whether it renders does not matter here.
        let _ = ours(&damaged, &values);
    }
}
