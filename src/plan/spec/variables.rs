//! `${NAME}` in the texts of a spec: variables of the environment, of which only those count that the spec declares.

use std::collections::BTreeMap;

use crate::base::suggest;
use crate::base::yaml::typed::TypedError;
use crate::base::yaml::{Cursor, Node, Value};

/// The key that declares variables. Nothing is replaced in it.
const VARIABLES: &str = "variables";

/// Asks the environment for a variable.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces variables in all texts, keys aside. `$${` stands for `${`.
pub fn replace(root: &mut Node, lookup: &Lookup<'_>) -> Result<(), TypedError> {
    let declared = declared(root, lookup)?;
    if let Value::Mapping(pairs) = &mut root.value {
        for (key, value) in pairs.iter_mut().filter(|(key, _)| key.scalar() != Some(VARIABLES)) {
            walk(value, key.scalar().unwrap_or_default(), &declared)?;
        }
    }
    Ok(())
}

/// The variables that may be used, with their values; nothing for one that must be set and is not.
fn declared(root: &Node, lookup: &Lookup<'_>) -> Result<BTreeMap<String, Option<String>>, TypedError> {
    let mut declared = BTreeMap::new();
    for (name, value) in Cursor::root(root).key(VARIABLES)?.entries()? {
        let default = if value.is_null() { None } else { Some(value.string()?) };
        declared.insert(name.to_owned(), lookup(name).or(default));
    }
    Ok(declared)
}

fn walk(node: &mut Node, path: &str, declared: &BTreeMap<String, Option<String>>) -> Result<(), TypedError> {
    match &mut node.value {
        Value::Scalar { text, .. } => {
            if text.contains("${") {
                let wrong = |problem: String, hint: Option<String>| TypedError::Value {
                    line: node.line,
                    column: node.column,
                    path: path.to_owned(),
                    problem,
                    hint,
                };
                *text = expand(text, declared, &wrong)?;
            }
        }
        Value::Sequence(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{path}[{index}]"), declared)?;
            }
        }
        Value::Mapping(pairs) => {
            for (key, value) in pairs {
                walk(value, &format!("{path}.{}", key.scalar().unwrap_or_default()), declared)?;
            }
        }
    }
    Ok(())
}

fn expand(
    text: &str,
    declared: &BTreeMap<String, Option<String>>,
    wrong: &dyn Fn(String, Option<String>) -> TypedError,
) -> Result<String, TypedError> {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = behind;
            continue;
        }
        let (name, behind) =
            behind.split_once('}').ok_or_else(|| wrong("`${` without its `}`".to_owned(), None))?;
        expanded.push_str(before);
        match declared.get(name) {
            Some(Some(value)) => expanded.push_str(value),
            Some(None) => {
                let hint = format!("set it, or give it a value in `{VARIABLES}`");
                return Err(wrong(format!("the variable `{name}` is not set"), Some(hint)));
            }
            None => {
                let near = suggest::nearest(name, declared.keys().map(String::as_str));
                let hint = near.map_or_else(
                    || {
                        format!(
                            "declare it: `{VARIABLES}: {{{name}: }}`; a `${{` that is meant is written `$${{`"
                        )
                    },
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(wrong(format!("the variable `{name}` is not declared"), Some(hint)));
            }
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
