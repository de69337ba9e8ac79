//! sprig's functions of paths: those of Go's `path`.

use super::functions::Param::Text;
use super::functions::{Function, fixed};
use super::value::Datum;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("base", &[Text], |memory, args| memory.text(base(args.text(0)))),
    fixed("dir", &[Text], |memory, args| memory.text(dir(args.text(0)))),
    fixed("clean", &[Text], |memory, args| memory.text(clean(args.text(0)))),
    fixed("ext", &[Text], |memory, args| memory.text(ext(args.text(0)))),
    fixed("isAbs", &[Text], |_, args| Ok(Datum::Bool(args.text(0).starts_with('/')))),
    fixed("osBase", &[Text], |memory, args| memory.text(base(args.text(0)))),
    fixed("osDir", &[Text], |memory, args| memory.text(dir(args.text(0)))),
    fixed("osClean", &[Text], |memory, args| memory.text(clean(args.text(0)))),
    fixed("osExt", &[Text], |memory, args| memory.text(ext(args.text(0)))),
    fixed("osIsAbs", &[Text], |_, args| Ok(Datum::Bool(args.text(0).starts_with('/')))),
];

fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        path => path.rsplit('/').next().unwrap_or_default(),
    }
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or_default())
}

fn ext(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rfind('.').and_then(|at| name.get(at..)).unwrap_or_default()
}

fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let path = format!("{}{}", if rooted { "/" } else { "" }, parts.join("/"));
    if path.is_empty() { ".".to_owned() } else { path }
}
