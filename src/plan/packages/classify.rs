//! What of a package is not run natively: known before the first step runs.

use std::collections::BTreeMap;

use crate::bldr::pkgfile::{BUILD_ARGUMENT, Instruction, Located, Origin, Package, Packages, Step};
use crate::bldr::steps::{ParseError, Program, Shell};

/// Something that keeps a package from being built natively.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Obstacle {
    /// The file, in the tree.
    pub file: String,
    /// The line in it (rendered), from 1; where it is known.
    pub line: Option<usize>,
    /// The word: a command, an option. Empty where it is no word of an instruction.
    pub word: String,
    /// What is wrong.
    pub why: String,
}

/// Whether a package is built natively.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Native,
    /// BuildKit could build it; this program does not.
    Delegated(Vec<Obstacle>),
    /// Nobody could: a shell would not take its text, or a name in it has no value.
    Unsupported(Vec<Obstacle>),
}

impl Verdict {
    /// `native`, `delegated`, `unsupported`
    pub fn name(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Delegated(_) => "delegated",
            Self::Unsupported(_) => "unsupported",
        }
    }

    /// What stands in the way.
    pub fn obstacles(&self) -> &[Obstacle] {
        match self {
            Self::Native => &[],
            Self::Delegated(all) | Self::Unsupported(all) => all,
        }
    }
}

/// The lists of a step whose instructions count, with their keys.
pub(super) fn lists(step: &Step) -> [(&'static str, &[Instruction]); 3] {
    [("prepare", &step.prepare), ("build", &step.build), ("install", &step.install)]
}

/// Judges every package of a tree, by name.
pub fn classify(packages: &Packages) -> BTreeMap<String, Verdict> {
    let mut verdicts: BTreeMap<String, Verdict> = BTreeMap::new();
    // Each stands behind those that it depends on.
    for name in packages.order() {
        let Ok(located) = packages.get(name) else { continue };
        let (mut delegated, mut unsupported) = own(located);
        for dependency in &located.package.dependencies {
            let file = located.file();
            let line = Some(dependency.line);
            match &dependency.origin {
                Origin::Stage(stage) => match verdicts.get(stage) {
                    None | Some(Verdict::Native) => {}
                    Some(other) => delegated.push(Obstacle {
                        file,
                        line,
                        word: stage.clone(),
                        why: format!("is a package that is {}", other.name()),
                    }),
                },
                Origin::Image(image) if image.contains(NO_VALUE) => {
                    unsupported.push(Obstacle { file, line, word: image.clone(), why: no_value(located) })
                }
                Origin::Image(_) => {}
            }
        }
        let verdict = if !unsupported.is_empty() {
            unsupported.extend(delegated);
            Verdict::Unsupported(unsupported)
        } else if delegated.is_empty() {
            Verdict::Native
        } else {
            Verdict::Delegated(delegated)
        };
        verdicts.insert(name.to_owned(), verdict);
    }
    verdicts
}

/// What Go's templates print for a name without a value.
const NO_VALUE: &str = "<no value>";

/// What to say of an image whose name lacks a part.
pub(super) fn no_value(located: &Located) -> String {
    let variables = located.unset.iter().filter_map(|unset| unset.variable.as_deref());
    let names: Vec<String> = variables
        .map(|variable| match variable.strip_prefix(BUILD_ARGUMENT) {
            Some(argument) => format!("`--build-arg {argument}=…`"),
            None => format!("a value of `{variable}`"),
        })
        .collect();
    match names.as_slice() {
        [] => "lacks a part of its name".to_owned(),
        names => format!("lacks a part of its name; its file wants {}", names.join(", ")),
    }
}

/// What a package itself has that is delegated, and what nobody can build.
fn own(located: &Located) -> (Vec<Obstacle>, Vec<Obstacle>) {
    let Package { install, steps, .. } = &located.package;
    let (file, shell) = (located.file(), Shell::of(&located.package.shell));
    let (mut delegated, mut unsupported) = (Vec::new(), Vec::new());
    if !install.is_empty() {
        let why = "needs packages of Alpine".to_owned();
        delegated.push(Obstacle { file: file.clone(), line: None, word: install.join(" "), why });
    }
    for step in steps {
        for (_, instructions) in lists(step) {
            for instruction in instructions {
                let obstacle = |line: u32, word: String, why: String| Obstacle {
                    file: file.clone(),
                    line: Some(line_of(instruction, line)),
                    word,
                    why,
                };
                match Program::parse(&instruction.text) {
                    Ok(program) => delegated.extend(
                        program
                            .unsupported(shell)
                            .into_iter()
                            .map(|found| obstacle(found.at.line, found.word, found.why)),
                    ),
                    Err(ParseError::Unsupported { at, what }) => {
                        delegated.push(obstacle(
                            at.line,
                            String::new(),
                            format!("{what} is not run natively"),
                        ));
                    }
                    Err(ParseError::Syntax { at, why }) => {
                        unsupported.push(obstacle(at.line, String::new(), why))
                    }
                }
            }
        }
    }
    (delegated, unsupported)
}

/// The line of the (rendered) file that a line of an instruction's text is.
pub(super) fn line_of(instruction: &Instruction, line: u32) -> usize {
    instruction.line + (line as usize).saturating_sub(1)
}
