//! Tests of [`super`] beside what Go's yaml makes of the same values.

use super::super::parse;
use super::*;

/// Pairs of a document with the key `v` and what go.yaml.in/yaml/v4 (v4.0.0-rc.6) writes for the value.
const GO: &str = include_str!("go.jsonl");

fn any(document: &str) -> Result<Any, YamlError> {
    let node = parse(document.as_bytes()).unwrap_or_else(|error| panic!("{error}: {document}"));
    Any::of(&Cursor::root(&node).key("v").unwrap())
}

#[test]
fn every_value_is_written_as_go_writes_it() {
    let mut wrong = Vec::new();
    for line in GO.lines() {
        let [document, expected]: [String; 2] = serde_json::from_str(line).unwrap();
        let found = any(&document).unwrap().to_yaml();
        if found != expected {
            let differing = found.lines().zip(expected.lines()).filter(|(found, expected)| found != expected);
            wrong.extend(differing.map(|(found, expected)| format!("{found} instead of {expected}")));
            if found.lines().count() != expected.lines().count() {
                wrong.push(format!("{found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn points_in_time_are_refused_unless_they_are_quoted() {
    for text in [
        "2020-01-01",
        "2020-1-1",
        "2020-02-29",
        "2020-01-01T10:00:00Z",
        "2020-01-01t10:00:00.5+01:00",
        "2020-01-01T1:2:3-00:30",
        "2020-01-01 10:00:00",
        "2020-01-01 1:2:3.5",
    ] {
        let error = any(&format!("v: [{text}]")).unwrap_err().to_string();
        assert_eq!(
            error, "line 1, column 5: `v[0]` is a point in time, expected a text, in quotes",
            "{text}"
        );
        assert_eq!(any(&format!("v: '{text}'")), Ok(Any::Text(text.to_owned())));
        assert_eq!(Any::Text(text.to_owned()).to_yaml(), format!("\"{text}\"\n"));
    }
}

#[test]
fn line_breaks_of_unicode_are_refused() {
    for odd in ["\u{85}", "\u{2028}", "\u{2029}", "\u{feff}"] {
        let escaped = format!("\\U{:08x}", u32::from(odd.chars().next().unwrap()));
        assert!(any(&format!("v: \"a{escaped}\"")).is_err(), "{escaped}");
        assert!(any(&format!("v: {{\"a{escaped}\": 1}}")).is_err(), "{escaped}");
    }
}

#[test]
fn keys_that_fill_more_than_a_line_are_refused() {
    assert!(any("v: {\"a\\nb\": 1}").is_err());
    assert!(any(&format!("v: {{{}: 1}}", "x".repeat(129))).is_err());
    assert!(any(&format!("v: {{{}: 1}}", "x".repeat(128))).is_ok());
}

#[test]
fn mappings_of_very_many_keys_are_refused() {
    let of = |count: usize| (0..count).map(|n| format!("  k{n}: 1\n")).collect::<String>();
    let error = any(&format!("v:\n{}", of(257))).unwrap_err().to_string();
    assert_eq!(error, "line 2, column 3: `v` is a mapping of 257 keys, expected 256 at the most");
    let Any::Map(pairs) = any(&format!("v:\n{}", of(256))).unwrap() else { panic!("no mapping") };
    assert!(pairs.iter().map(|(key, _)| key.as_str()).eq((0..256).map(|n| format!("k{n}"))));
}

#[test]
fn twenty_thousand_odd_documents_are_written_without_a_panic() {
    const PIECES: &[&str] = &[
        "a",
        "0",
        "9",
        "_",
        ".",
        "-",
        "+",
        ":",
        " ",
        "\n",
        "\n  ",
        "\n- ",
        "'",
        "\"",
        "|",
        ">",
        "#",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a",
        "*a",
        "!",
        "~",
        "<<",
        "e",
        "x",
        "\t",
        "é",
        "\\",
        "0x",
        "T",
        "Z",
        "2020-01-01",
        "1:2",
    ];
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut written = 0;
    for _ in 0..20_000 {
        let document: String = (0..next(12)).map(|_| PIECES[next(PIECES.len())]).collect();
        let Ok(node) = parse(document.as_bytes()) else { continue };
        if let Ok(value) = Any::of(&Cursor::root(&node)) {
            assert!(value.to_yaml().ends_with('\n'), "{document:?}");
            written += 1;
        }
    }
    assert!((2_000..20_000).contains(&written), "{written}");
}
