//! What changes the shell itself.

use super::super::shell::syntax::{Part, Word};
use super::{Io, Refusal, Runner, Stop};

/// The names of these commands.
const NAMES: [&str; 7] = ["cd", "export", "set", "unset", "exit", ":", "umask"];
/// Variables that change what the shell does.
const REFUSED_VARIABLES: [&str; 6] = ["IFS", "PATH", "GLOBIGNORE", "BASH_ENV", "POSIXLY_CORRECT", "CDPATH"];

/// Runs a command of the shell's own; `None` if `name` is none.
pub(super) fn run(
    runner: &mut Runner<'_>,
    name: &str,
    arguments: &[String],
    io: &mut Io,
) -> Option<Result<u8, Stop>> {
    Some(match name {
        ":" => Ok(0),
        "cd" => runner.change_directory(arguments, io),
        "export" => runner.export(arguments, io),
        "set" => runner.set_options(arguments),
        "unset" => check_words(name, arguments).map_err(Stop::from).map(|()| {
            let names = arguments.iter().filter(|word| *word != "-v");
            names.for_each(|name| drop(runner.state.variables.remove(name)));
            0
        }),
        "exit" => exit(arguments, runner.state.status),
        "umask" => check_words(name, arguments).map_err(Stop::from).map(|()| 0),
        _ => return None,
    })
}

/// Refuses what these commands do not do here; `None` if `name` is none of them.
pub(in super::super) fn check(name: &str, words: &[&Word]) -> Option<Result<(), Refusal>> {
    NAMES.contains(&name).then(|| {
        if name == "export" {
            for (index, word) in words.iter().enumerate() {
                if let Some(Part::Text { text, quoted: false }) = word.parts.first() {
                    check_export(index, text)?;
                }
            }
            return Ok(());
        }
        let literal: Vec<String> =
            words.iter().map(|word| word.literal().unwrap_or_else(|| "0".to_owned())).collect();
        check_words(name, &literal)
    })
}

/// Refuses an assignment that changes what the shell does.
pub(in super::super) fn check_variable(name: &str) -> Result<(), &'static str> {
    if REFUSED_VARIABLES.contains(&name) { Err("changes what the shell does") } else { Ok(()) }
}

fn check_export(index: usize, text: &str) -> Result<(), Refusal> {
    if text.starts_with('-') {
        return Err(Refusal::new(index, text, "is an option that is not run natively"));
    }
    let name = text.split('=').next().unwrap_or_default();
    check_variable(name).map_err(|why| Refusal::new(index, name, why))
}

fn check_words(name: &str, words: &[String]) -> Result<(), Refusal> {
    for (index, word) in words.iter().enumerate() {
        let known = match name {
            "set" => {
                set_letters(word).is_some()
                    || (index > 0 && ["pipefail", "errexit", "nounset"].contains(&word.as_str()))
            }
            "umask" => ["022", "0022", "22"].contains(&word.as_str()),
            "cd" => index == 0 && !word.starts_with('-') || word == "--",
            "unset" => !word.starts_with('-') || word == "-v",
            "exit" => index == 0,
            _ => true,
        };
        if !known {
            return Err(Refusal::new(
                index,
                word,
                format!("is no argument of `{name}` that is run natively"),
            ));
        }
        if name == "unset" {
            check_variable(word).map_err(|why| Refusal::new(index, word, why))?;
        }
    }
    Ok(())
}

/// The options of `set` that are understood, in a word such as `-eux`; `x` says what is run, which we do not.
fn set_letters(word: &str) -> Option<(bool, &str)> {
    let on = word.starts_with('-');
    let letters = word.strip_prefix(['-', '+']).filter(|letters| !letters.is_empty())?;
    letters.chars().all(|letter| "euxo".contains(letter)).then_some((on, letters))
}

fn exit(arguments: &[String], status: u8) -> Result<u8, Stop> {
    let Some(word) = arguments.first() else { return Err(Stop::Exit(status)) };
    match word.parse::<i64>() {
        Ok(number) => Err(Stop::Exit(u8::try_from(number.rem_euclid(256)).unwrap_or(u8::MAX))),
        Err(_) => Err(Stop::Exit(2)),
    }
}

impl Runner<'_> {
    fn change_directory(&mut self, arguments: &[String], io: &mut Io) -> Result<u8, Stop> {
        check_words("cd", arguments)?;
        let words: Vec<&String> = arguments.iter().filter(|word| *word != "--").collect();
        let path = match words.as_slice() {
            [path] => path.as_str(),
            _ => return Err(Refusal::new(0, "cd", "without a folder is not run natively").into()),
        };
        // An empty one is the folder where one is.
        let path = if path.is_empty() { "." } else { path };
        match self.root.find(self.state.directory, path, true) {
            Ok(id) if self.root.is_directory(id) => {
                self.state.directory = id;
                Ok(0)
            }
            Ok(_) => {
                io.say(format_args!("`{path}` is not a directory"));
                Ok(1)
            }
            Err(errno) => {
                io.say(format_args!("`{path}`: {errno}"));
                Ok(1)
            }
        }
    }

    fn export(&mut self, arguments: &[String], io: &mut Io) -> Result<u8, Stop> {
        for (index, word) in arguments.iter().enumerate() {
            check_export(index, word)?;
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            if !super::super::shell::is_variable(name) {
                io.say(format_args!("`{name}` is no name of a variable"));
                return Ok(1);
            }
            match (value, self.state.variables.get_mut(name)) {
                (None, Some((_, exported))) => *exported = true,
                (None, None) => {} // exported once it is set, which nothing here can tell
                (Some(value), _) => {
                    drop(self.state.variables.insert(name.to_owned(), (value.to_owned(), true)))
                }
            }
        }
        Ok(0)
    }

    fn set_options(&mut self, arguments: &[String]) -> Result<u8, Stop> {
        check_words("set", arguments)?;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let Some((on, letters)) = set_letters(word) else {
                return Err(Refusal::new(0, word, "is no option of `set` that is run natively").into());
            };
            for letter in letters.chars() {
                match letter {
                    'e' => self.state.errexit = on,
                    'u' => self.state.nounset = on,
                    'o' => match words.next().map(String::as_str) {
                        Some("pipefail") => self.state.pipefail = on,
                        Some("errexit") => self.state.errexit = on,
                        Some("nounset") => self.state.nounset = on,
                        _ => return Err(Refusal::new(0, "-o", "lacks the name of an option").into()),
                    },
                    _ => {}
                }
            }
        }
        Ok(0)
    }
}
