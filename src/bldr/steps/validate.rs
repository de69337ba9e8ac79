//! What the items of `test:` ask: what this crate checks anyway, and what nobody here runs.

use super::shell::Position;
use super::shell::syntax::{CommandKind, List};
use super::shell::{ParseError, parse};

/// What an item of `test:` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestStep {
    /// A check that is made here anyway.
    Ours {
        /// What it is, in words.
        check: &'static str,
    },
    /// Something else, which is not run.
    NotRun {
        /// The command's place.
        at: Position,
        /// The command's name; empty where it is none that can be told.
        command: String,
    },
}

/// Tells what the commands of an item of `test:` are, in order. Test steps change no file that is kept, so
/// that not running them changes no image.
pub fn test_step(text: &str) -> Result<Vec<TestStep>, ParseError> {
    let mut steps = Vec::new();
    collect(&parse(text)?, &mut steps);
    Ok(steps)
}

fn collect(list: &List, steps: &mut Vec<TestStep>) {
    for and_or in &list.0 {
        let pipelines =
            std::iter::once(&and_or.first).chain(and_or.rest.iter().map(|(_, pipeline)| pipeline));
        for pipeline in pipelines {
            let mut names = Vec::new();
            let mut words = Vec::new();
            for command in &pipeline.commands {
                match &command.kind {
                    CommandKind::Simple(simple) => {
                        let literal: Vec<String> =
                            simple.words.iter().map(|word| word.literal().unwrap_or_default()).collect();
                        names.push((command.at, literal.first().cloned().unwrap_or_default()));
                        words.extend(literal);
                    }
                    CommandKind::Group(list) | CommandKind::Subshell(list) => collect(list, steps),
                    _ => names.push((command.at, String::new())),
                }
            }
            steps.extend(told(&names, &words));
        }
    }
}

fn told(names: &[(Position, String)], words: &[String]) -> Option<TestStep> {
    let (at, name) = names.first()?;
    let base = name.rsplit('/').next().unwrap_or_default();
    let signature = words.iter().any(|word| word.contains("~Module signature appended~"))
        && words.iter().any(|word| word == "grep" || word.ends_with("/grep"));
    Some(match base {
        "extensions-validator" => TestStep::Ours { check: "the manifest and the contents of an extension" },
        "fhs-validator" => TestStep::Ours { check: "the folders of an extension" },
        _ if signature => TestStep::Ours { check: "the signatures of modules" },
        _ => TestStep::NotRun { at: *at, command: name.clone() },
    })
}
