//! The list of what is in Talos (SPDX 2.3, JSON), with another kernel's packages.
//!
//! A package that both lists name is replaced by the kernel's, and keeps the identifier under which the
//! relations of the whole list know it (clause 7.2).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::base::json;

/// Keys of a package that belong to the list in which it stands.
const OF_THE_LIST: [&str; 2] = ["SPDXID", "sourceInfo"];

/// A list that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The new list.
    pub bytes: Vec<u8>,
    /// The names of the packages that were replaced.
    pub packages: Vec<String>,
}

/// Replaces the packages of `stock` that `kernel` names as well. `None` if there are none of that kind:
/// then nothing can be said of the kernel.
pub fn exchange(stock: &[u8], kernel: &[u8]) -> Result<Option<Changed>, serde_json::Error> {
    let mut whole: Map<String, Value> = serde_json::from_slice(stock)?;
    let kernel: Map<String, Value> = serde_json::from_slice(kernel)?;
    let named = |package: &Value| package.get("name")?.as_str().map(str::to_owned);
    let packages = kernel.get("packages").and_then(Value::as_array).into_iter().flatten();
    let new: BTreeMap<String, &Value> =
        packages.filter_map(|package| Some((named(package)?, package))).collect();
    let mut replaced = Vec::new();
    let all = whole.get_mut("packages").and_then(Value::as_array_mut).into_iter().flatten();
    for package in all {
        let Some((name, other)) = named(package).and_then(|name| Some((name.clone(), *new.get(&name)?)))
        else {
            continue;
        };
        let mut other = other.clone();
        for key in OF_THE_LIST {
            match (package.get(key).cloned(), other.as_object_mut()) {
                (Some(own), Some(other)) => drop(other.insert(key.to_owned(), own)),
                (None, Some(other)) => drop(other.remove(key)),
                _ => {}
            }
        }
        *package = other;
        replaced.push(name);
    }
    Ok((!replaced.is_empty()).then(|| Changed { bytes: json::to_vec(&whole), packages: replaced }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: &[u8] = br#"{"spdxVersion":"SPDX-2.3","packages":[
        {"name":"kernel","SPDXID":"SPDXRef-7","versionInfo":"6.12.1","sourceInfo":"from /x"},
        {"name":"musl","SPDXID":"SPDXRef-8","versionInfo":"1.2"}],
        "relationships":[{"relatedSpdxElement":"SPDXRef-7"}]}"#;

    #[test]
    fn the_kernels_packages_are_replaced_under_their_identifiers_and_all_else_stays() {
        let kernel = br#"{"packages":[{"name":"kernel","SPDXID":"SPDXRef-k","versionInfo":"6.18.2","x":1},
            {"name":"firmware","SPDXID":"SPDXRef-f"}]}"#;
        let changed = exchange(STOCK, kernel).unwrap().unwrap();
        assert_eq!(changed.packages, ["kernel"]);
        let read: Value = serde_json::from_slice(&changed.bytes).unwrap();
        let mut expected: Value = serde_json::from_slice(STOCK).unwrap();
        expected["packages"][0]["versionInfo"] = "6.18.2".into();
        expected["packages"][0]["x"] = 1.into();
        assert_eq!(read, expected);
    }

    #[test]
    fn lists_without_a_package_in_common_change_nothing_and_what_is_no_list_is_an_error() {
        assert_eq!(exchange(STOCK, br#"{"packages":[{"name":"other"}]}"#).unwrap(), None);
        assert_eq!(exchange(STOCK, b"{}").unwrap(), None);
        assert!(exchange(STOCK, b"no list").is_err() && exchange(b"[]", b"{}").is_err());
    }
}
