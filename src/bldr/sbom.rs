//! The bill of materials of a package, as a step's `sbom` asks for it: SPDX 2.3 in JSON
//! (<https://spdx.github.io/spdx-spec/v2.3/>), with what bldr says in its own: name, version, licences,
//! identifiers, and the sources of all steps with their checksums.

use serde_json::{Value, json};

use super::pkgfile::{Package, Sbom};
use crate::base::{Digest, Epoch, json as own};

const NOTHING: &str = "NOASSERTION";

/// The document. The same package gives the same bytes; its namespace is named by what it says.
pub fn spdx(package: &Package, sbom: &Sbom, created: Epoch) -> String {
    let name = sbom.name.as_deref().unwrap_or(&package.name);
    let version = sbom.version.as_deref().unwrap_or_default();
    let licences = match sbom.licenses.as_slice() {
        [] => NOTHING.to_owned(),
        licences => licences.join(" AND "),
    };
    let reference = |category: &str, kind: &str, text: &str| json!({ "referenceCategory": category, "referenceType": kind, "referenceLocator": text });
    let mut references: Vec<Value> =
        sbom.cpes.iter().map(|cpe| reference("SECURITY", "cpe23Type", cpe)).collect();
    references.extend(sbom.purl.iter().map(|purl| reference("PACKAGE-MANAGER", "purl", purl)));
    let sources: Vec<_> = package.steps.iter().flat_map(|step| &step.sources).collect();
    let id = |number: usize| format!("SPDXRef-File-{}", number + 1);
    let files: Vec<Value> = sources
        .iter()
        .enumerate()
        .map(|(number, source)| {
            json!({
                "SPDXID": id(number),
                "fileName": source.url,
                "checksums": [
                    { "algorithm": "SHA256", "checksumValue": source.sha256 },
                    { "algorithm": "SHA512", "checksumValue": source.sha512 },
                ],
                "licenseConcluded": NOTHING,
                "copyrightText": NOTHING,
            })
        })
        .collect();
    let relation = |from: &str, kind: &str, to: &str| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to });
    let own_id = "SPDXRef-Package";
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", own_id)];
    relations.extend((0..sources.len()).map(|number| relation(own_id, "CONTAINS", &id(number))));
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "creationInfo": {
            "created": created.to_string(),
            "creators": [concat!("Tool: talosmith-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": [{
            "SPDXID": own_id,
            "name": name,
            "versionInfo": version,
            "downloadLocation": NOTHING,
            "filesAnalyzed": false,
            "licenseConcluded": NOTHING,
            "licenseDeclared": licences,
            "copyrightText": NOTHING,
            "externalRefs": references,
        }],
        "files": files,
        "relationships": relations,
    });
    let digest = Digest::of(&own::to_vec(&document)).hex();
    let namespace = format!("https://spdx.org/spdxdocs/{}-{digest}", in_uri(name));
    if let Some(document) = document.as_object_mut() {
        document.insert("documentNamespace".to_owned(), namespace.into());
    }
    format!("{document:#}\n")
}

/// A name as a part of a URI.
fn in_uri(name: &str) -> String {
    name.chars()
        .map(|one| if one.is_ascii_alphanumeric() || "-._".contains(one) { one } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_described_with_its_sources() {
        let text = format!(
            "name: acme\nvariant: scratch\nsteps:\n  - sources:\n      - url: https://example.com/acme.tar.gz\n        destination: a\n        sha256: {}\n        sha512: {}\n    sbom:\n      outputPath: /rootfs/usr/local/share/spdx/acme.spdx.json\n      version: 1.2\n      licenses: [MIT, Apache-2.0]\n      cpes: ['cpe:2.3:a:acme:acme:1.2:*:*:*:*:*:*:*']\nfinalize:\n  - from: /rootfs\n    to: /\n",
            "1".repeat(64),
            "2".repeat(128)
        );
        let package = Package::parse(text.as_bytes()).unwrap();
        let sbom = package.steps[0].sbom.clone().unwrap();
        let text = spdx(&package, &sbom, Epoch::default());
        assert_eq!(text, spdx(&package, &sbom, Epoch::default()));
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["creationInfo"]["created"], "1970-01-01T00:00:00Z");
        let described = &document["packages"][0];
        assert_eq!(described["name"], "acme");
        assert_eq!(described["versionInfo"], "1.2");
        assert_eq!(described["licenseDeclared"], "MIT AND Apache-2.0");
        assert_eq!(described["externalRefs"][0]["referenceType"], "cpe23Type");
        assert_eq!(document["files"][0]["checksums"][1]["checksumValue"], "2".repeat(128));
        assert_eq!(document["relationships"][1]["relatedSpdxElement"], document["files"][0]["SPDXID"]);
        assert!(
            document["documentNamespace"].as_str().unwrap().starts_with("https://spdx.org/spdxdocs/acme-")
        );
    }
}
