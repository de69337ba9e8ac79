//! `manifest.yaml` of an extension image, `v1alpha1`: siderolabs/talos, pkg/machinery/extensions/metadata.go.
//!
//! Talos demands little of it; what it would ignore or refuse later is reported as an [`Issue`]. The
//! shapes of versions are those of siderolabs/extensions-validator.

use super::issue::{Issue, IssueKind};
use super::range::Range;
use crate::base::yaml::{self, Cursor, YamlError};

/// The one version of the manifest's format.
pub const MANIFEST_VERSION: &str = "v1alpha1";

/// A manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The version of the format; [`MANIFEST_VERSION`] if it is one that Talos takes.
    pub manifest_version: String,
    /// The extension's name.
    pub name: String,
    /// The extension's version.
    pub version: String,
    /// Who made it.
    pub author: String,
    /// What it is for.
    pub description: String,
    /// The constraint on Talos' version, as it was written; none for every version.
    pub compatibility: Option<String>,
    /// Free text; the Image Factory keeps a schematic there.
    pub extra_info: Option<String>,
}

impl Manifest {
    /// Reads a manifest. What Talos could not read is an error; what it would refuse or ignore is an
    /// issue, in the order of the lines.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<Issue>), YamlError> {
        let node = yaml::parse(bytes)?;
        let root = Cursor::root(&node);
        let metadata = root.key("metadata")?;
        let constraint = metadata.get("compatibility.talos.version")?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let manifest = Self {
            manifest_version: root.key("version")?.string()?,
            name: metadata.key("name")?.string()?,
            version: metadata.key("version")?.string()?,
            author: metadata.key("author")?.string()?,
            description: metadata.key("description")?.string()?,
            compatibility: some(constraint.string()?),
            extra_info: some(metadata.key("extraInfo")?.string()?),
        };
        let mut issues = unknown_keys(&root)?;
        issues.extend(manifest.format_issue(root.key("version")?.line()));
        issues.extend(manifest.name_issue(metadata.key("name")?.line()));
        issues.extend(manifest.version_issue(metadata.key("version")?.line()));
        issues.extend(manifest.constraint_issue(constraint.line()));
        issues.sort_by_key(|issue| issue.line);
        Ok((manifest, issues))
    }

    fn format_issue(&self, line: usize) -> Option<Issue> {
        (self.manifest_version != MANIFEST_VERSION).then(|| Issue {
            kind: IssueKind::ManifestVersion,
            line,
            message: match self.manifest_version.as_str() {
                "" => "`version` is missing, Talos refuses the extension".to_owned(),
                other => format!("`version` is `{other}`, Talos takes `{MANIFEST_VERSION}` only"),
            },
            hint: Some(format!("`version: {MANIFEST_VERSION}`; the extension's own is `metadata.version`")),
        })
    }

    fn name_issue(&self, line: usize) -> Option<Issue> {
        self.name.is_empty().then(|| Issue {
            kind: IssueKind::NoName,
            line,
            message: "`metadata.name` is missing or empty".to_owned(),
            hint: None,
        })
    }

    fn version_issue(&self, line: usize) -> Option<Issue> {
        let hint = if self.version.contains("{{") {
            "this is a template: call it `manifest.yaml.tmpl`"
        } else {
            "use semver, `X.Y`, `YYYYMMDD`, or one of semver or commit with `-v<semver>` behind it"
        };
        (!is_official_version_shape(&self.version)).then(|| Issue {
            kind: IssueKind::VersionShape,
            line,
            message: match self.version.as_str() {
                "" => "`metadata.version` is missing or empty".to_owned(),
                other => format!("`metadata.version` is `{other}`, which the official validator refuses"),
            },
            hint: Some(hint.to_owned()),
        })
    }

    fn constraint_issue(&self, line: usize) -> Option<Issue> {
        let error = Range::parse(self.compatibility.as_deref()?).err()?;
        Some(Issue {
            kind: IssueKind::Constraint,
            line,
            message: format!("`metadata.compatibility.talos.version`: {error}"),
            hint: Some("write a range such as `>= v1.10.0 < v1.12.0 || 1.13.x`".to_owned()),
        })
    }

    /// The manifest as people write it, the same bytes for the same manifest. [`Manifest::parse`] gives
    /// it back.
    pub fn to_yaml(&self) -> String {
        let mut yaml = format!("version: {}\nmetadata:\n", scalar(&self.manifest_version));
        yaml += &format!("  name: {}\n", scalar(&self.name));
        yaml += &format!("  version: {}\n", quoted(&self.version));
        yaml += &format!("  author: {}\n", scalar(&self.author));
        yaml += &format!("  description: {}\n", block(&self.description, "    "));
        if let Some(constraint) = &self.compatibility {
            yaml += &format!("  compatibility:\n    talos:\n      version: {}\n", quoted(constraint));
        }
        if let Some(extra) = &self.extra_info {
            yaml += &format!("  extraInfo: {}\n", block(extra, "    "));
        }
        yaml
    }
}

fn unknown_keys(root: &Cursor<'_>) -> Result<Vec<Issue>, YamlError> {
    const METADATA: &[&str] = &["name", "version", "author", "description", "compatibility", "extraInfo"];
    let mut unknown = root.unknown_keys(&["version", "metadata"])?;
    unknown.extend(root.get("metadata")?.unknown_keys(METADATA)?);
    unknown.extend(root.get("metadata.compatibility")?.unknown_keys(&["talos"])?);
    unknown.extend(root.get("metadata.compatibility.talos")?.unknown_keys(&["version"])?);
    Ok(unknown.into_iter().map(Issue::from).collect())
}

/// Whether the official validator takes `text` as an extension's version: semver with optional `v` and
/// pre-release, `YYYYMMDD` or `YYYYMMDD.n`, `[v]X.Y`, or `X.Y.Z` or a commit in hexadecimal digits,
/// followed by `-v` and the semver of Talos.
pub fn is_official_version_shape(text: &str) -> bool {
    let bare = text.strip_prefix('v').unwrap_or(text);
    if is_semver(bare) || is_numbers(bare, 2) || is_date(text) {
        return true;
    }
    // The validator's `-<n>-g<hex>[-dirty]` is always a pre-release as well: that may contain `-`.
    text.split_once("-v").is_some_and(|(own, talos)| (is_numbers(own, 3) || is_hex(own)) && is_semver(talos))
}

/// Numbers, `X.Y.Z` and perhaps a pre-release; unlike in semver, numbers may have leading zeros
/// (`535.129.03`).
fn is_semver(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match text.split_once('-') {
        Some((core, pre)) => is_numbers(core, 3) && pre.split('.').all(word),
        None => is_numbers(text, 3),
    }
}

fn is_numbers(text: &str, count: usize) -> bool {
    text.split('.').count() == count && text.split('.').all(is_digits)
}

fn is_date(text: &str) -> bool {
    let (day, again) = text.split_once('.').unwrap_or((text, "0"));
    day.len() == 8 && is_digits(day) && again.len() == 1 && is_digits(again)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Text without quotes where nobody could take it for something else.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_alphanumeric() || " ._-/@()+".contains(c))
        && !text.ends_with(' ')
        && !["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { quoted(text) }
}

/// Text in double quotes.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        c if is_special(c) => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// Whether a character does not survive unescaped: controls, line breaks of YAML 1.1, marks and
/// non-characters.
fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') || u32::from(c) & 0xfffe == 0xfffe
}

/// Text of several lines as a block below its key, anything else as [`scalar`].
fn block(text: &str, indent: &str) -> String {
    let (body, chomp) = text.strip_suffix('\n').map_or((text, "-"), |body| (body, ""));
    // What a block would need an indicator for, or what an editor would strip, is quoted instead.
    let odd = |line: &str| line.ends_with(' ') || line.contains(is_special);
    if body.is_empty()
        || !text.contains('\n')
        || body.starts_with([' ', '\n'])
        || body.ends_with('\n')
        || body.split('\n').any(odd)
    {
        return scalar(text);
    }
    let mut block = format!("|{chomp}");
    for line in body.split('\n') {
        block.push('\n');
        if !line.is_empty() {
            block += indent;
            block += line;
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version: v1alpha1
metadata:
  name: qemu-guest-tools
  version: \"10.2.0\"
  author: Jane Doe
  description: |
    [core] This extension has
      two lines.
  compatibility:
    talos:
      version: \">= v1.5.0\"
";

    fn parse(text: &str) -> (Manifest, Vec<Issue>) {
        Manifest::parse(text.as_bytes()).unwrap()
    }

    fn kinds(text: &str) -> Vec<(IssueKind, usize)> {
        parse(text).1.iter().map(|issue| (issue.kind, issue.line)).collect()
    }

    #[test]
    fn a_manifest_reads_and_writes_itself() {
        let (manifest, issues) = parse(GOOD);
        assert_eq!(issues, []);
        assert_eq!(manifest.name, "qemu-guest-tools");
        assert_eq!(manifest.version, "10.2.0");
        assert_eq!(manifest.description, "[core] This extension has\n  two lines.\n");
        assert_eq!(manifest.compatibility.as_deref(), Some(">= v1.5.0"));
        assert_eq!(manifest.extra_info, None);
        assert_eq!(manifest.to_yaml(), GOOD);
    }

    #[test]
    fn a_float_is_the_string_that_was_written() {
        assert_eq!(parse(&GOOD.replace("\"10.2.0\"", "0.10")).0.version, "0.10");
    }

    #[test]
    fn any_text_survives_the_writer() {
        let texts = [
            "",
            " ",
            "a",
            "null",
            "~",
            "true",
            "No",
            "0.1",
            "a: b",
            "a #b",
            "- a",
            "\"",
            "'",
            "\\",
            "\n",
            "a\n",
            "a\n\n",
            "\na",
            " a\nb",
            "a\n  b\n",
            "a \nb",
            "a\n\nb",
            "\ta\nb",
            "a\tb",
            "a\r\nb",
            "\0",
            "\u{85}",
            "\u{2028}\n",
            "\u{feff}",
            "é — ü",
            "😀\n😀",
            "{{ .VERSION }}",
            "%a",
            "@a",
            "a@b.c",
            "#a\n#b",
            "---\n...\n",
            "\u{ffff}",
            "*a",
            "&a\n!b",
        ];
        for text in texts {
            let text = text.to_owned();
            let manifest = Manifest {
                manifest_version: text.clone(),
                name: text.clone(),
                version: text.clone(),
                author: text.clone(),
                description: text.clone(),
                compatibility: Some(text.clone()).filter(|text| !text.is_empty()),
                extra_info: Some(text.clone()).filter(|text| !text.is_empty()),
            };
            assert_eq!(parse(&manifest.to_yaml()).0, manifest, "{}", manifest.to_yaml());
        }
    }

    #[test]
    fn what_talos_would_refuse_or_ignore_is_an_issue_with_its_line() {
        use IssueKind::*;
        assert_eq!(kinds(""), [(ManifestVersion, 1), (NoName, 1), (VersionShape, 1)]);
        assert_eq!(kinds(&GOOD.replace("v1alpha1", "v1")), [(ManifestVersion, 1)]);
        // A missing key points at its mapping, which starts with its first key.
        assert_eq!(kinds(&GOOD.replace("name:", "naem:")), [(UnknownKey, 3), (NoName, 3)]);
        assert_eq!(kinds(&GOOD.replace(">= v1.5.0", ">= v1.5")), [(Constraint, 11)]);
        assert_eq!(kinds(&GOOD.replace("10.2.0", "10.2.0.1")), [(VersionShape, 4)]);
        let (_, issues) = parse(&GOOD.replace("author", "autor"));
        assert_eq!(issues[0].message, "key `metadata.autor` is unknown, Talos ignores it");
        assert_eq!(issues[0].hint.as_deref(), Some("did you mean `author`?"));
        let (_, issues) = parse(&GOOD.replace("10.2.0", "{{ .VERSION }}"));
        assert_eq!(issues[0].hint.as_deref(), Some("this is a template: call it `manifest.yaml.tmpl`"));
    }

    #[test]
    fn what_talos_could_not_read_is_an_error() {
        let error =
            Manifest::parse(GOOD.replace("name: qemu-guest-tools", "name: [a]").as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "line 3, column 9: `metadata.name` is a sequence, expected a string");
        let error = Manifest::parse(b"version: v1alpha1\nmetadata: x\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 11: `metadata` is `x`, expected a mapping");
        for length in 0..GOOD.len() {
            let _ = Manifest::parse(&GOOD.as_bytes()[..length]);
        }
    }

    #[test]
    fn ten_thousand_damaged_manifests_never_panic() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let mut read = 0;
        for _ in 0..10_000 {
            let mut bytes = GOOD.as_bytes().to_vec();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes[at] = next(256) as u8,
                    1 => bytes.insert(at, b"\n\t :-?[]{}&*!|>'\"%@`#,<0"[next(24)]),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.extend_from_within(at..),
                }
            }
            read += usize::from(Manifest::parse(&bytes).is_ok());
        }
        assert!((1_000..9_000).contains(&read), "{read}");
    }

    #[test]
    fn version_shapes_are_those_of_the_official_validator() {
        for text in [
            "1.2.3",
            "v1.2.3",
            "1.2.3-rc.1",
            "01.2.3",
            "20210914",
            "20210914.1",
            "20210914.10",
            "4.3",
            "v4.3",
            "535.129.03-v1.8.0-alpha.0-10-g336fa0f-dirty",
            "535.129.03-v1.8.0",
            "5815ee3-v1.8.0-alpha.0-10-g336fa0f",
            "5815ee3-v1.8.0",
            "1.2.3-v1.8.0-10-g336fa0f-dirty",
            "12-v1.8.0",
        ] {
            assert!(is_official_version_shape(text), "{text}");
        }
        for text in [
            "",
            "v",
            "1",
            "1.2.3.4",
            "1.2.3+b",
            "1.2.3-",
            "1.2.3-a..b",
            "2021091",
            "v20210914",
            "vv1.2.3",
            "5815ee3",
            "5815EE3-v1.8.0",
            "5815ee3-1.8.0",
            "535.129-v1.8.0",
            "latest",
            "1.2.3\n",
            "1.2.é",
        ] {
            assert!(!is_official_version_shape(text), "{text}");
        }
    }
}
