//! `WWW-Authenticate`: which way a registry wants to be convinced (RFC 9110, section 11.6.1).

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// One challenge: a scheme in lower case, and its parameters with names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// All challenges of a response, in its order. Several may share one header line.
    pub(super) fn all(headers: &HeaderMap) -> Vec<Self> {
        let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        lines.flat_map(Self::parse).collect()
    }

    /// Reads one line. What makes no sense is passed over: another challenge may still be usable.
    fn parse(line: &str) -> Vec<Self> {
        let mut challenges: Vec<Self> = Vec::new();
        let mut rest = line;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let (word, after) = token(rest);
            if word.is_empty() {
                match rest.char_indices().nth(1) {
                    Some((next, _)) => rest = &rest[next..], // a stray character; `next` is a boundary
                    None => return challenges,
                }
                continue;
            }
            match after.trim_start().strip_prefix('=') {
                Some(value) => {
                    let (value, after) = parameter_value(value.trim_start());
                    if let Some(challenge) = challenges.last_mut() {
                        challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(value);
                    }
                    rest = after;
                }
                None => {
                    challenges.push(Self { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
                    rest = after;
                }
            }
        }
    }
}

/// The token (RFC 9110, section 5.6.2) that `text` begins with, and what follows it.
fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// A token or a quoted string with its escapes undone, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]), // a quote is one byte, so this is a boundary
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn several_challenges_on_one_line_are_told_apart() {
        let line = r#"Bearer realm="https://auth.example/token?a=b,c",service=reg.example,Scope="repository:a/b:pull,push" , BASIC realm="a \"quoted\" word""#;
        assert_eq!(
            Challenge::parse(line),
            [
                Challenge {
                    scheme: "bearer".to_owned(),
                    parameters: parameters(&[
                        ("realm", "https://auth.example/token?a=b,c"),
                        ("service", "reg.example"),
                        ("scope", "repository:a/b:pull,push"),
                    ]),
                },
                Challenge {
                    scheme: "basic".to_owned(),
                    parameters: parameters(&[("realm", "a \"quoted\" word")])
                },
            ]
        );
    }

    #[test]
    fn broken_challenges_end_without_panic() {
        for line in ["", ",", "\"", "=", "Bearer realm=\"open", "Bearer realm=\"x\\", "é=é, ü", "a=b"] {
            let _ = Challenge::parse(line);
        }
        assert_eq!(Challenge::parse("Basic")[0].scheme, "basic");
    }
}
