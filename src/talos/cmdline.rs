//! The kernel command line of an image: the order of its parts, and what extra arguments do to them.
//!
//! The order is that of pkg/imager/imager.go (`buildCmdline`) in siderolabs/talos, the default arguments
//! are those of pkg/machinery/kernel, and arguments behave as in siderolabs/go-procfs (`Cmdline`), which
//! keeps all values of one key together, where the key came first. The kernel's own rules (quotes, the
//! length) are those of lib/cmdline.c and arch/*/include/asm/setup.h.

use std::fmt;

use super::meta::{self, MetaError, MetaValue};
use super::platform::Platform;
use super::version::{Architecture, Feature, Tag};

/// The longest command line in bytes: the kernel keeps 2048 with the NUL (`COMMAND_LINE_SIZE` on amd64 and
/// arm64) and cuts off what is longer without a word.
pub const LENGTH_MAX: usize = 2047;

/// Keys of which what the user gives takes the place of what is there.
const REPLACED: [&str; 2] = ["console", "talos.platform"];

/// An argument, and the feature of the versions that have it.
struct Argument(&'static str, Option<Feature>);

/// The arguments of every image, in order.
const DEFAULTS: [Argument; 12] = [
    Argument("init_on_alloc=1", Some(Feature::InitOnAlloc)),
    Argument("slab_nomerge", None),
    Argument("pti=on", None),
    Argument("consoleblank=0", None),
    Argument("nvme_core.io_timeout=4294967295", Some(Feature::NvmeTimeout)),
    Argument("printk.devkmsg=on", None),
    Argument("ima_template=ima-ng", Some(Feature::Ima)),
    Argument("ima_appraise=fix", Some(Feature::Ima)),
    Argument("ima_hash=sha512", Some(Feature::Ima)),
    Argument("selinux=1", Some(Feature::Selinux)),
    Argument("module.sig_enforce=1", Some(Feature::SignatureArgument)),
    Argument("proc_mem.force_override=never", Some(Feature::ProcMemOverride)),
];

/// What a command line is made of.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The Talos version.
    pub talos: &'a Tag,
    /// The platform.
    pub platform: Platform,
    /// The architecture.
    pub architecture: Architecture,
    /// Whether the image is for Secure Boot.
    pub secure_boot: bool,
    /// Whether the image is an ISO image.
    pub iso: bool,
    /// The arguments that a board's overlay wants.
    pub overlay: &'a [String],
    /// Values of META; none for a disk image, which has them in its partition.
    pub meta: &'a [MetaValue],
    /// The user's arguments. `console` and `talos.platform` take the place of what is there, `-name`
    /// takes away what is there of that name, `-name=value` this value alone.
    pub extra: &'a [String],
}

/// Arguments make no command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    /// A line break, a NUL or another control character.
    #[error("kernel argument `{}` has the control character {}", argument.escape_debug(), character.escape_unicode())]
    Control {
        /// The argument.
        argument: String,
        /// The character.
        character: char,
    },
    /// A quote that nothing closes: everything behind it would be one argument.
    #[error("kernel argument `{argument}` opens a quote that is not closed")]
    Quote {
        /// The argument.
        argument: String,
    },
    /// A value of META cannot be handed over.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// See [`LENGTH_MAX`].
    #[error("the kernel command line has {length} bytes, and the kernel reads no more than {LENGTH_MAX}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// The kernel command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmdline(String);

impl Cmdline {
    /// Makes the command line.
    pub fn new(request: &Request<'_>) -> Result<Self, CmdlineError> {
        let talos = request.talos;
        let mut line = Parameters::default();
        line.append("talos.platform", request.platform.name());
        line.set_all(&split(&request.platform.arguments(talos, request.architecture)));
        if request.iso && talos.has(Feature::HaltIfInstalled) {
            line.append("talos.halt_if_installed", "1");
        }
        line.set_all(&words(request.overlay)?);
        for Argument(argument, _) in DEFAULTS.iter().filter(|row| row.1.is_none_or(|own| talos.has(own))) {
            line.append_all(&split(argument));
        }
        if request.secure_boot && talos.has(Feature::Lockdown) {
            line.append("lockdown", "confidentiality");
        }
        if !request.meta.is_empty() {
            let value = meta::encode(request.meta, talos)?;
            line.append("talos.environment", &format!("{}={value}", meta::VARIABLE));
        }
        line.customise(&words(request.extra)?);
        Self::fitting(line.to_string())
    }

    /// This line with one more argument behind it, as the profiles of a UKI have it.
    pub fn with(&self, argument: &str) -> Result<Self, CmdlineError> {
        Self::fitting(format!("{self} {argument}"))
    }

    fn fitting(text: String) -> Result<Self, CmdlineError> {
        match text.len() {
            length if length > LENGTH_MAX => Err(CmdlineError::TooLong { length }),
            _ => Ok(Self(text)),
        }
    }

    /// The text, without a line break.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cmdline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The words of arguments, each of which may hold several. Upstream splits at every blank; blanks in
/// quotes belong to their argument here, as for the kernel, so that quoted text stays in one piece.
fn words(arguments: &[String]) -> Result<Vec<String>, CmdlineError> {
    let (mut words, mut open) = (Vec::new(), None);
    let mut word = String::new();
    for argument in arguments {
        for character in argument.chars().chain([' ']) {
            match character {
                '"' => {
                    open = if open.is_some() { None } else { Some(argument) };
                    word.push(character);
                }
                c if c.is_control() && c != '\t' => {
                    return Err(CmdlineError::Control { argument: argument.clone(), character });
                }
                c if c.is_whitespace() && open.is_none() => words.extend(take(&mut word)),
                c => word.push(c),
            }
        }
    }
    match open {
        Some(argument) => Err(CmdlineError::Quote { argument: argument.clone() }),
        None => Ok(words),
    }
}

fn take(word: &mut String) -> Option<String> {
    Some(std::mem::take(word)).filter(|word| !word.is_empty())
}

fn split(arguments: &str) -> Vec<String> {
    arguments.split_whitespace().map(str::to_owned).collect()
}

/// A key with all its values. An empty value is a key without `=`.
#[derive(Debug, Default, Clone)]
struct Parameter {
    key: String,
    values: Vec<String>,
}

/// Parameters in order, each key once.
#[derive(Debug, Default)]
struct Parameters(Vec<Parameter>);

impl Parameters {
    fn parse(words: &[String]) -> Self {
        let mut parameters = Self::default();
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            parameters.append(key, value);
        }
        parameters
    }

    fn get(&mut self, key: &str) -> Option<&mut Parameter> {
        self.0.iter_mut().find(|parameter| parameter.key == key)
    }

    fn append(&mut self, key: &str, value: &str) {
        match self.get(key) {
            Some(parameter) => parameter.values.push(value.to_owned()),
            None => self.0.push(Parameter { key: key.to_owned(), values: vec![value.to_owned()] }),
        }
    }

    fn append_all(&mut self, words: &[String]) {
        for Parameter { key, values } in Self::parse(words).0 {
            values.iter().for_each(|value| self.append(&key, value));
        }
    }

    fn set(&mut self, parameter: Parameter) {
        match self.get(&parameter.key) {
            Some(own) => *own = parameter,
            None => self.0.push(parameter),
        }
    }

    fn set_all(&mut self, words: &[String]) {
        Self::parse(words).0.into_iter().for_each(|parameter| self.set(parameter));
    }

    /// Takes the user's arguments, key by key.
    fn customise(&mut self, words: &[String]) {
        for parameter in Self::parse(words).0 {
            match parameter.key.strip_prefix('-') {
                // A lone `-` is an argument: what follows is for init.
                Some(negated) if !negated.is_empty() => self.remove(negated, &parameter.values),
                _ if REPLACED.contains(&parameter.key.as_str()) => self.set(parameter),
                _ => parameter.values.iter().for_each(|value| self.append(&parameter.key, value)),
            }
        }
    }

    /// Takes away these values of a key, or the key if the first of them is empty.
    fn remove(&mut self, key: &str, values: &[String]) {
        if values.first().is_some_and(String::is_empty) {
            self.0.retain(|parameter| parameter.key != key);
        } else if let Some(parameter) = self.get(key) {
            // The key keeps its place, even without values.
            parameter.values.retain(|value| !values.contains(value));
        }
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        for Parameter { key, values } in &self.0 {
            for value in values {
                let equals = if value.is_empty() { "" } else { "=" };
                write!(f, "{blank}{key}{equals}{value}")?;
                blank = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "cmdline_tests.rs"]
mod tests;
