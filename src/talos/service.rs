//! The specification of an extension service, `usr/local/etc/containers/<name>.yaml` in the rootfs.
//!
//! Fields and rules are those of siderolabs/talos, pkg/machinery/extensions/services. Mounts are
//! the OCI runtime's, but read by a YAML library that knows no JSON names, so that their keys are all lower
//! case (`uidmappings`).

use super::issue::Issue;
use crate::base::yaml::{self, Cursor, UnknownKey, YamlError};

/// A specification that Talos takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name; Talos shows it as `ext-<name>` and looks for its files in
    /// `/usr/local/lib/containers/<name>`.
    pub name: String,
    /// What runs.
    pub container: Container,
    /// What must be there first.
    pub depends: Vec<Dependency>,
    /// When it is started again.
    pub restart: Restart,
    /// Whether its log goes to the console too.
    pub log_to_console: bool,
}

/// The container of a [`Service`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The program, as the container sees it.
    pub entrypoint: String,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// A file with more of them, which the service waits for; empty for none.
    pub environment_file: String,
    /// Arguments.
    pub args: Vec<String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Security options.
    pub security: Security,
}

/// A mount of the OCI runtime specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where in the container.
    pub destination: String,
    /// `bind` …
    pub kind: String,
    /// Where on the machine; Talos makes it as a directory if it is missing.
    pub source: String,
    /// As for mount(8).
    pub options: Vec<String>,
}

/// Security options of a [`Container`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// `/sys` can be written.
    pub writeable_sysfs: bool,
    /// Paths that cannot be read.
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<String>,
    /// The root file system can be written.
    pub writeable_rootfs: bool,
    /// Propagation of the root mount; empty for the default.
    pub rootfs_propagation: String,
}

/// What a [`Service`] waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependency {
    /// Another service is up and healthy.
    Service(String),
    /// An absolute path exists.
    Path(String),
    /// The network is ready as far as that.
    Network(Vec<Status>),
    /// The time is in sync.
    Time,
    /// The service's configuration is there.
    Configuration,
}

/// When a [`Service`] is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Whenever it ends.
    Always,
    /// Never.
    Never,
    /// When it fails.
    UntilSuccess,
}

/// A state of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There are addresses.
    Addresses,
    /// There is a connection to the outside.
    Connectivity,
    /// The host has its name.
    Hostname,
    /// `/etc/hosts` and `/etc/resolv.conf` are written.
    EtcFiles,
}

const RESTARTS: &[(&str, Restart)] =
    &[("always", Restart::Always), ("never", Restart::Never), ("untilSuccess", Restart::UntilSuccess)];

const STATUSES: &[(&str, Status)] = &[
    ("addresses", Status::Addresses),
    ("connectivity", Status::Connectivity),
    ("hostname", Status::Hostname),
    ("etcfiles", Status::EtcFiles),
];

const DEPENDENCIES: &[&str] = &["service", "path", "network", "time", "configuration"];

impl Service {
    /// Reads a specification: the service and the keys that Talos ignores, or everything for which Talos
    /// would not start it, in the order of the lines.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<Issue>), Vec<YamlError>> {
        let node = yaml::parse(bytes).map_err(|error| vec![error])?;
        let mut reader = Reader::default();
        let service = reader.service(&Cursor::root(&node));
        match service {
            Some(service) if reader.errors.is_empty() => {
                reader.unknown.sort_by_key(|key| key.line);
                Ok((service, reader.unknown.into_iter().map(Issue::from).collect()))
            }
            _ => {
                reader.errors.sort_by_key(YamlError::line);
                reader.errors.dedup(); // a value that is no mapping fails once for each of its keys
                Err(reader.errors)
            }
        }
    }
}

/// Collects errors, so that one reading reports all of them. `None` means that there is one.
#[derive(Default)]
struct Reader {
    errors: Vec<YamlError>,
    unknown: Vec<UnknownKey>,
}

impl Reader {
    fn take<T>(&mut self, result: Result<T, YamlError>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    /// Opens a mapping and notes the keys that nobody reads.
    fn mapping(&mut self, cursor: &Cursor<'_>, known: &[&str]) -> Option<()> {
        let unknown = self.take(cursor.unknown_keys(known))?;
        self.unknown.extend(unknown);
        Some(())
    }

    fn text(&mut self, cursor: &Cursor<'_>, key: &str) -> Option<String> {
        self.take(cursor.key(key).and_then(|value| value.string()))
    }

    fn texts(&mut self, cursor: &Cursor<'_>, key: &str) -> Option<Vec<String>> {
        self.take(cursor.key(key).and_then(|value| value.strings()))
    }

    fn boolean(&mut self, cursor: &Cursor<'_>, key: &str) -> Option<bool> {
        self.take(cursor.key(key).and_then(|value| value.boolean()))
    }

    /// Reads every item of a sequence, the broken ones too.
    fn each<'a, T>(
        &mut self,
        cursor: &Cursor<'a>,
        key: &str,
        read: impl Fn(&mut Self, &Cursor<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.take(cursor.key(key).and_then(|value| value.items()))?;
        let items: Vec<Option<T>> = items.iter().map(|item| read(self, item)).collect();
        items.into_iter().collect()
    }

    /// One of a set of words; Talos takes them in any case.
    fn word<T: Copy>(&mut self, cursor: &Cursor<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.take(cursor.string())?;
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        found.map(|(_, value)| *value).or_else(|| {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.take(Err(cursor.expected(format!("one of {}", words.join(", ")))))
        })
    }

    fn service(&mut self, root: &Cursor<'_>) -> Option<Service> {
        self.mapping(root, &["name", "container", "depends", "restart", "logToConsole"])?;
        let name = self.name(root);
        let container = self.take(root.key("container")).and_then(|cursor| self.container(&cursor));
        let depends = self.each(root, "depends", Self::dependency);
        let restart = self.take(root.key("restart")).and_then(|cursor| self.word(&cursor, RESTARTS));
        let log_to_console = self.boolean(root, "logToConsole");
        Some(Service {
            name: name?,
            container: container?,
            depends: depends?,
            restart: restart?,
            log_to_console: log_to_console?,
        })
    }

    fn name(&mut self, root: &Cursor<'_>) -> Option<String> {
        let cursor = self.take(root.key("name"))?;
        let name = self.take(cursor.string())?;
        let valid =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(valid) {
            return self.take(Err(cursor.expected("a name of lower-case letters, digits, `-` and `_`")));
        }
        Some(name)
    }

    fn container(&mut self, cursor: &Cursor<'_>) -> Option<Container> {
        self.mapping(
            cursor,
            &["entrypoint", "environment", "environmentFile", "args", "mounts", "security"],
        )?;
        let entrypoint = self.entrypoint(cursor);
        let environment = self.texts(cursor, "environment");
        let environment_file = self.text(cursor, "environmentFile");
        let args = self.texts(cursor, "args");
        let mounts = self.each(cursor, "mounts", Self::mount);
        let security = self.take(cursor.key("security")).and_then(|cursor| self.security(&cursor));
        Some(Container {
            entrypoint: entrypoint?,
            environment: environment?,
            environment_file: environment_file?,
            args: args?,
            mounts: mounts?,
            security: security?,
        })
    }

    fn entrypoint(&mut self, container: &Cursor<'_>) -> Option<String> {
        let cursor = self.take(container.key("entrypoint"))?;
        let entrypoint = self.take(cursor.string())?;
        if entrypoint.is_empty() {
            return self.take(Err(cursor.expected("the program to run")));
        }
        Some(entrypoint)
    }

    fn mount(&mut self, cursor: &Cursor<'_>) -> Option<Mount> {
        self.mapping(cursor, &["destination", "type", "source", "options", "uidmappings", "gidmappings"])?;
        let destination = self.text(cursor, "destination");
        let kind = self.text(cursor, "type");
        let source = self.text(cursor, "source");
        let options = self.texts(cursor, "options");
        let uids = self.each(cursor, "uidmappings", Self::id_mapping);
        let gids = self.each(cursor, "gidmappings", Self::id_mapping);
        let _checked_only = (uids?, gids?);
        Some(Mount { destination: destination?, kind: kind?, source: source?, options: options? })
    }

    fn id_mapping(&mut self, cursor: &Cursor<'_>) -> Option<()> {
        const KEYS: &[&str] = &["containerid", "hostid", "size"];
        self.mapping(cursor, KEYS)?;
        for key in KEYS {
            let value = self.take(cursor.key(key))?;
            if self.take(value.unsigned())? > u64::from(u32::MAX) {
                return self.take(Err(value.expected("a number below 2^32")));
            }
        }
        Some(())
    }

    fn security(&mut self, cursor: &Cursor<'_>) -> Option<Security> {
        const KEYS: &[&str] =
            &["writeableSysfs", "maskedPaths", "readonlyPaths", "writeableRootfs", "rootfsPropagation"];
        self.mapping(cursor, KEYS)?;
        let writeable_sysfs = self.boolean(cursor, "writeableSysfs");
        let masked_paths = self.texts(cursor, "maskedPaths");
        let readonly_paths = self.texts(cursor, "readonlyPaths");
        let writeable_rootfs = self.boolean(cursor, "writeableRootfs");
        let rootfs_propagation = self.text(cursor, "rootfsPropagation");
        Some(Security {
            writeable_sysfs: writeable_sysfs?,
            masked_paths: masked_paths?,
            readonly_paths: readonly_paths?,
            writeable_rootfs: writeable_rootfs?,
            rootfs_propagation: rootfs_propagation?,
        })
    }

    /// Exactly one key with a value: an empty text or list and `false` count as none, as for Talos.
    fn dependency(&mut self, cursor: &Cursor<'_>) -> Option<Dependency> {
        self.mapping(cursor, DEPENDENCIES)?;
        let service = self.text(cursor, "service")?;
        let path = self.text(cursor, "path")?;
        let network = self.each(cursor, "network", |reader, status| reader.word(status, STATUSES))?;
        let time = self.boolean(cursor, "time")?;
        let configuration = self.boolean(cursor, "configuration")?;
        if !path.is_empty() && !path.starts_with('/') {
            let value = self.take(cursor.key("path"))?;
            return self.take(Err(value.expected("an absolute path")));
        }
        let given = [
            (!service.is_empty()).then_some(Dependency::Service(service)),
            (!path.is_empty()).then_some(Dependency::Path(path)),
            (!network.is_empty()).then_some(Dependency::Network(network)),
            time.then_some(Dependency::Time),
            configuration.then_some(Dependency::Configuration),
        ];
        let count = given.iter().flatten().count();
        if count != 1 {
            let names: Vec<String> = DEPENDENCIES.iter().map(|name| format!("`{name}`")).collect();
            let found = format!("a mapping with {count} of {}", names.join(", "));
            return self.take(Err(cursor.found(found, "exactly one")));
        }
        given.into_iter().flatten().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: hello
container:
  entrypoint: ./hello-world
  args: [--development, 1]
  environmentFile: /var/etc/hello.env
  mounts:
    - source: /var/lib/example
      destination: /var/lib/example
      type: bind
      options: [rbind, ro]
  security:
    writeableRootfs: yes
depends:
  - service: cri
  - path: /system/run/machined/machined.sock
  - network: [addresses, etcFiles]
  - time: true
  - configuration: true
restart: untilSuccess
";

    fn errors(text: &str) -> Vec<String> {
        Service::parse(text.as_bytes()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_specification_reads_as_talos_reads_it() {
        let (service, issues) = Service::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(issues, []);
        assert_eq!(service.name, "hello");
        assert_eq!(service.container.args, ["--development", "1"]);
        assert_eq!(service.container.mounts[0].options, ["rbind", "ro"]);
        assert!(service.container.security.writeable_rootfs);
        assert_eq!(service.depends[2], Dependency::Network(vec![Status::Addresses, Status::EtcFiles]));
        assert_eq!(service.depends.len(), 5);
        assert_eq!(service.restart, Restart::UntilSuccess);
        assert!(!service.log_to_console);
    }

    #[test]
    fn everything_that_is_missing_is_said_at_once() {
        assert_eq!(
            errors(""),
            [
                "line 1, column 1: `name` is missing, expected a name of lower-case letters, digits, `-` and `_`",
                "line 1, column 1: `container.entrypoint` is missing, expected the program to run",
                "line 1, column 1: `restart` is missing, expected one of `always`, `never`, `untilSuccess`",
            ]
        );
    }

    #[test]
    fn errors_name_line_path_expected_and_found() {
        let text = GOOD
            .replace("hello\n", "FOO\n")
            .replace("[rbind, ro]", "rbind")
            .replace("path: /system", "path: ./system")
            .replace("etcFiles", "dns")
            .replace("service: cri", "service: cri\n    time: true")
            .replace("time: true\n  - conf", "time: false\n  - conf")
            .replace("untilSuccess", "sometimes");
        assert_eq!(
            errors(&text),
            [
                "line 1, column 7: `name` is `FOO`, expected a name of lower-case letters, digits, `-` and `_`",
                "line 10, column 16: `container.mounts[0].options` is `rbind`, expected a sequence",
                "line 14, column 5: `depends[0]` is a mapping with 2 of `service`, `path`, `network`, `time`, \
                 `configuration`, expected exactly one",
                "line 16, column 11: `depends[1].path` is `./system/run/machined/machined.sock`, expected an absolute \
                 path",
                "line 17, column 26: `depends[2].network[1]` is `dns`, expected one of `addresses`, `connectivity`, \
                 `hostname`, `etcfiles`",
                "line 18, column 5: `depends[3]` is a mapping with 0 of `service`, `path`, `network`, `time`, \
                 `configuration`, expected exactly one",
                "line 20, column 10: `restart` is `sometimes`, expected one of `always`, `never`, `untilSuccess`",
            ]
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_one_error() {
        assert_eq!(errors("name: x\nrestart: never\ncontainer: [x]\n").len(), 1);
        assert_eq!(errors("- x\n"), ["line 1, column 1: the document is a sequence, expected a mapping"]);
        assert_eq!(errors("a: [\n").len(), 1);
    }

    #[test]
    fn keys_that_talos_ignores_are_issues_with_a_suggestion() {
        let text = GOOD
            .replace("environmentFile", "environmentfile")
            .replace("      type: bind", "      uidMappings: []");
        let (_, issues) = Service::parse(text.as_bytes()).unwrap();
        let messages: Vec<_> =
            issues.iter().map(|issue| (issue.line, issue.message.as_str(), issue.hint.as_deref())).collect();
        assert_eq!(
            messages,
            [
                (
                    5,
                    "key `container.environmentfile` is unknown, Talos ignores it",
                    Some("did you mean `environmentFile`?")
                ),
                (
                    9,
                    "key `container.mounts[0].uidMappings` is unknown, Talos ignores it",
                    Some("did you mean `uidmappings`?")
                ),
            ]
        );
    }
}
