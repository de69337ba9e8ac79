//! What is wrong with a whole tree of modules: the issues of [`mod@crate::kmod::depmod`] as findings.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Report, Severity};
use super::rules::Code;
use crate::archive::tree::file_name;
use crate::kmod::depmod::Issue;

/// Symbols and modules that are named in a message; the others are counted.
const NAMED: usize = 5;

/// The findings for these issues. Of a module that many need and that is not there, one finding speaks for
/// all of them; the symbols that a module lacks are those of the module that it lacks.
pub fn report(issues: &[Issue]) -> Report {
    let mut needed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut findings = Vec::new();
    let lacking = issues.iter().filter(|issue| matches!(issue, Issue::NoDependency { .. }));
    let lacking: BTreeSet<&str> = lacking.map(Issue::path).collect();
    for issue in issues {
        match issue {
            Issue::NoDependency { path, needs } => needed.entry(needs).or_default().push(path),
            Issue::Unresolved { path, .. } if lacking.contains(path.as_str()) => {}
            _ => findings.push(finding(issue)),
        }
    }
    findings.extend(needed.into_iter().filter_map(|(needs, paths)| {
        let (first, rest) = paths.split_first()?;
        let rest: Vec<String> = rest.iter().map(|path| (*path).to_owned()).collect();
        Some(missing(needs, first, rest.len()).also_at(rest))
    }));
    Report::new(findings)
}

/// A module that is not there, the first that needs it, and how many more do.
fn missing(needs: &str, first: &str, more: usize) -> Finding {
    let who = match more {
        0 => format!("module `{}` needs", file_name(first)),
        more => format!("module `{}` and {more} more need", file_name(first)),
    };
    Finding::new(Code::ModuleDependency, format!("{who} module `{needs}`, which is not there"))
        .at(first)
        .hint(format!("add `{needs}.ko` of the same kernel build"))
}

/// The finding for one issue. Its path is that of the tree of modules.
pub fn finding(issue: &Issue) -> Finding {
    let name = file_name(issue.path());
    let about = |code, what: &str| Finding::new(code, format!("module `{name}` {what}")).at(issue.path());
    match issue {
        Issue::NoModule { why, .. } => about(Code::ModuleInvalid, &format!("is none: {why}"))
            .hint("it is in the index, alone, as kmod leaves it; the kernel will not load it"),
        Issue::Loop { paths } => looped(paths),
        Issue::Unresolved { symbols, .. } => unresolved(about, symbols),
        Issue::NoDependency { path, needs } => missing(needs, path, 0),
        Issue::Version { symbol, exporter, wanted, exported, .. } => {
            let by =
                exporter.as_deref().map_or("the kernel".to_owned(), |path| format!("`{}`", file_name(path)));
            about(Code::ModuleSymbolVersion, &format!("disagrees with {by} about the version of `{symbol}`"))
                .expected(format!("CRC 0x{exported:08x}"), format!("0x{wanted:08x}"))
                .hint("build kernel and modules together")
        }
        Issue::BuiltIn { .. } => about(Code::ModuleBuiltIn, "has the name of one that is built in")
            .hint("leave it out, or use a kernel that has it as a module"),
        Issue::Hidden { by, by_order: true, .. } => {
            about(Code::ModuleHidden, &format!("is hidden by `{by}`, as the search order wants it"))
        }
        Issue::Hidden { by, .. } => {
            about(Code::ModuleHidden, &format!("is hidden by `{by}`, whose path comes first"))
                .severity(Severity::Warning)
                .hint("the search order prefers neither: leave one out, or name a folder in `--search`")
        }
        Issue::NotIndexed { text, why, .. } => {
            about(Code::ModuleNotIndexed, &format!("is not indexed by `{text}`, which {why}"))
        }
    }
}

fn looped(paths: &[String]) -> Finding {
    let names: Vec<&str> = paths.iter().chain(paths.first()).map(|path| file_name(path)).collect();
    let shown = match names.as_slice() {
        [first, rest @ ..] if rest.len() > NAMED => {
            let rest = rest.get(..NAMED).unwrap_or(rest);
            format!("{first} → {} → …", rest.join(" → "))
        }
        names => names.join(" → "),
    };
    let message = format!("{} modules need one another: {shown}", paths.len());
    let finding = Finding::new(Code::ModuleLoop, message)
        .hint("leave one of them out: no index can be made of the others as long as they are together");
    paths.first().map_or(finding.clone(), |path| finding.at(path))
}

fn unresolved(about: impl Fn(Code, &str) -> Finding, symbols: &[(String, Option<String>)]) -> Finding {
    let named = symbols.iter().take(NAMED).map(|(symbol, elsewhere)| match elsewhere {
        Some(path) => format!("`{symbol}` (of `{path}`, which is hidden)"),
        None => format!("`{symbol}`"),
    });
    let named: Vec<String> = named.collect();
    let more = match symbols.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = match symbols.len() {
        1 => "needs a symbol that nothing exports".to_owned(),
        count => format!("needs {count} symbols that nothing exports"),
    };
    about(Code::ModuleSymbol, &format!("{what}: {}{more}", named.join(", ")))
        .hint("build it for this kernel, and add the modules that it needs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(issue: Issue) -> (String, String, Severity) {
        let Finding { code, message, severity, .. } = finding(&issue);
        (code.to_string(), message, severity)
    }

    #[test]
    fn a_loop_is_shown_as_the_way_around() {
        let short = Issue::Loop { paths: vec!["k/a.ko".to_owned(), "k/b.ko".to_owned()] };
        assert_eq!(
            text(short),
            ("TS0209".into(), "2 modules need one another: a.ko → b.ko → a.ko".into(), Severity::Error)
        );
        let long = Issue::Loop { paths: ('a'..='h').map(|name| format!("{name}.ko")).collect() };
        assert!(text(long).1.ends_with("a.ko → b.ko → c.ko → d.ko → e.ko → f.ko → …"));
    }

    #[test]
    fn a_missing_symbol_says_who_would_export_it() {
        let elsewhere = Some("kernel/x.ko".to_owned());
        let one = Issue::Unresolved { path: "a.ko".into(), symbols: vec![("f".into(), elsewhere)] };
        assert_eq!(
            text(one).1,
            "module `a.ko` needs a symbol that nothing exports: `f` (of `kernel/x.ko`, which is hidden)"
        );
        let symbols = (0..7).map(|number| (format!("s{number}"), None)).collect();
        let many = Issue::Unresolved { path: "a.ko".into(), symbols };
        assert!(
            text(many)
                .1
                .ends_with("needs 7 symbols that nothing exports: `s0`, `s1`, `s2`, `s3`, `s4` and 2 more")
        );
    }

    #[test]
    fn one_finding_speaks_for_all_that_need_a_module() {
        let issue = |path: &str| Issue::NoDependency { path: path.to_owned(), needs: "c".to_owned() };
        let found = report(&[issue("k/a.ko"), issue("k/b.ko")]);
        let messages: Vec<&str> = found.findings().iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, ["module `a.ko` and 1 more need module `c`, which is not there"]);
        assert_eq!(found.findings()[0].path.as_deref(), Some("k/a.ko"));
    }

    #[test]
    fn what_a_missing_module_would_export_is_not_said_twice() {
        let lacks =
            |path: &str| Issue::Unresolved { path: path.to_owned(), symbols: vec![("f".into(), None)] };
        let needs = Issue::NoDependency { path: "k/a.ko".to_owned(), needs: "c".to_owned() };
        let found = report(&[lacks("k/a.ko"), lacks("k/b.ko"), needs]);
        let codes: Vec<Code> = found.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::ModuleDependency, Code::ModuleSymbol]);
        assert_eq!(found.findings()[1].path.as_deref(), Some("k/b.ko"));
    }

    #[test]
    fn every_other_issue_has_its_code_and_severity() {
        let path = || "kernel/a.ko".to_owned();
        let hidden = |by_order| Issue::Hidden { path: path(), by: "b.ko".into(), by_order };
        for (issue, code, severity) in [
            (Issue::NoModule { path: path(), why: "w".into() }, "TS0201", Severity::Error),
            (Issue::NoDependency { path: path(), needs: "b".into() }, "TS0212", Severity::Error),
            (Issue::BuiltIn { path: path() }, "TS0213", Severity::Error),
            (hidden(true), "TS0214", Severity::Info),
            (hidden(false), "TS0214", Severity::Warning),
            (Issue::NotIndexed { path: path(), text: "t".into(), why: "w" }, "TS0215", Severity::Warning),
        ] {
            let found = finding(&issue);
            assert_eq!((found.code.to_string().as_str(), found.severity), (code, severity), "{issue:?}");
            assert_eq!(found.path.as_deref(), Some("kernel/a.ko"));
        }
        let version =
            Issue::Version { path: path(), symbol: "f".into(), exporter: None, wanted: 1, exported: 2 };
        let found = finding(&version);
        assert_eq!(found.message, "module `a.ko` disagrees with the kernel about the version of `f`");
        assert_eq!(
            (found.expected.as_deref(), found.found.as_deref()),
            (Some("CRC 0x00000002"), Some("0x00000001"))
        );
    }
}
