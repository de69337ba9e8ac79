//! Options of programs, as `getopt_long` takes them: bundled letters, long names and their beginnings,
//! anywhere among the operands, up to `--`.

use super::run::Refusal;
use crate::base::suggest;

/// A long option.
#[derive(Debug, Clone, Copy)]
pub(super) struct Long {
    name: &'static str,
    code: char,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    No,
    Yes,
    Optional,
}

/// A long option without a value.
pub(super) const fn flag(name: &'static str, code: char) -> Long {
    Long { name, code, value: Value::No }
}

/// A long option that needs a value.
pub(super) const fn valued(name: &'static str, code: char) -> Long {
    Long { name, code, value: Value::Yes }
}

/// A long option that may have a value behind `=`.
pub(super) const fn optional(name: &'static str, code: char) -> Long {
    Long { name, code, value: Value::Optional }
}

/// The options of a program that are understood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    /// Letters, a `:` behind those with a value; `+` at the beginning: the first operand ends the options.
    pub(super) short: &'static str,
    /// Long names; their codes are the letters that mean the same, or any other character.
    pub(super) long: &'static [Long],
}

/// Options and operands as they were given.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Codes with values, in order.
    pub(super) options: Vec<(char, String)>,
    /// The operands with their indices among the arguments.
    pub(super) operands: Vec<(usize, String)>,
}

impl Given {
    pub(super) fn has(&self, code: char) -> bool {
        self.options.iter().any(|(given, _)| *given == code)
    }

    /// The last value of an option.
    pub(super) fn value(&self, code: char) -> Option<&str> {
        self.options.iter().rev().find(|(given, _)| *given == code).map(|(_, value)| value.as_str())
    }

    /// Which of several options that exclude each other stands last.
    pub(super) fn last_of(&self, codes: &str) -> Option<char> {
        self.options.iter().rev().map(|(code, _)| *code).find(|code| codes.contains(*code))
    }

    /// The operands alone.
    pub(super) fn words(&self) -> Vec<&str> {
        self.operands.iter().map(|(_, word)| word.as_str()).collect()
    }
}

impl Spec {
    /// Takes the options out of `arguments`; what is not known is refused, since what it would mean is not
    /// known either.
    pub(super) fn parse(&self, arguments: &[String]) -> Result<Given, Refusal> {
        let (ordered, short) = match self.short.strip_prefix('+') {
            Some(short) => (true, short),
            None => (false, self.short),
        };
        let mut given = Given::default();
        let mut words = arguments.iter().enumerate();
        while let Some((index, word)) = words.next() {
            if word == "--" {
                given.operands.extend(words.by_ref().map(|(index, word)| (index, word.clone())));
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                let option = self.long(name).map_err(|why| Refusal::new(index, word, why))?;
                let value = match (option.value, value) {
                    (Value::No, Some(_)) => return Err(Refusal::new(index, word, "takes no value")),
                    (Value::Yes, None) => match words.next() {
                        Some((_, value)) => value.clone(),
                        None => return Err(Refusal::new(index, word, "lacks its value")),
                    },
                    (_, value) => value.unwrap_or_default().to_owned(),
                };
                given.options.push((option.code, value));
            } else if word.len() > 1 && word.starts_with('-') {
                let letters = word.char_indices().skip(1);
                for (at, letter) in letters {
                    let takes = match short.find(letter).filter(|_| letter != ':') {
                        Some(place) => short.get(place + 1..).is_some_and(|rest| rest.starts_with(':')),
                        None => {
                            return Err(Refusal::new(
                                index,
                                &format!("-{letter}"),
                                "is an option that is not run natively",
                            ));
                        }
                    };
                    if !takes {
                        given.options.push((letter, String::new()));
                        continue;
                    }
                    let rest = word.get(at + letter.len_utf8()..).unwrap_or_default();
                    let value = match rest {
                        "" => match words.next() {
                            Some((_, value)) => value.clone(),
                            None => {
                                return Err(Refusal::new(index, &format!("-{letter}"), "lacks its value"));
                            }
                        },
                        rest => rest.to_owned(),
                    };
                    given.options.push((letter, value));
                    break;
                }
            } else {
                given.operands.push((index, word.clone()));
                if ordered {
                    given.operands.extend(words.by_ref().map(|(index, word)| (index, word.clone())));
                }
            }
        }
        Ok(given)
    }

    fn long(&self, name: &str) -> Result<Long, String> {
        if let Some(exact) = self.long.iter().find(|long| long.name == name) {
            return Ok(*exact);
        }
        let mut begun = self.long.iter().filter(|long| !name.is_empty() && long.name.starts_with(name));
        match (begun.next(), begun.next()) {
            (Some(only), None) => Ok(*only),
            _ => Err(match suggest::nearest(name, self.long.iter().map(|long| long.name)) {
                Some(near) => format!("is an option that is not run natively; did you mean `--{near}`"),
                None => "is an option that is not run natively".to_owned(),
            }),
        }
    }
}
