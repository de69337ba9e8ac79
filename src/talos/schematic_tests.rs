//! Tests of [`super`] beside what the Image Factory's own code makes of the same documents.

use super::*;

/// Document, what it is written back as, and the id, by pkg/schematic of siderolabs/image-factory; null where
/// that refuses it.
const FACTORY: &str = include_str!("../../testdata/talos/schematics.jsonl");

/// Documents that the factory takes and that are refused here: a second document, points in time.
const STRICTER: [&str; 3] = ["\n---\n", "t: 2020-01-02", "t: 2001-12-14t"];
/// Documents that the factory refuses and that are read here.
const LAXER: [&str; 1] = ["bootloader: ''"];

fn parse(text: &str) -> Result<Schematic, DocumentError> {
    Schematic::parse(text.as_bytes())
}

#[test]
fn every_document_is_written_back_and_named_as_the_factory_does_it() {
    let mut rows = 0;
    for row in FACTORY.lines() {
        let (document, text, id): (String, Option<String>, Option<String>) =
            serde_json::from_str(row).unwrap();
        let one_of = |list: &[&str]| list.iter().any(|part| document.contains(part));
        let found = parse(&document);
        rows += 1;
        match text {
            Some(_) if one_of(&STRICTER) => assert!(found.is_err(), "{document}"),
            Some(text) => {
                let schematic = found.unwrap_or_else(|error| panic!("{error}: {document}"));
                assert_eq!(schematic.to_yaml(), text, "{document}");
                assert_eq!(Some(schematic.id()), id, "{document}");
            }
            None => assert!(found.is_err() || one_of(&LAXER), "{document}"),
        }
    }
    assert_eq!(rows, 65);
}

#[test]
fn the_ids_of_the_field_are_known() {
    for (names, id) in [
        (vec![], "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"),
        (
            vec!["siderolabs/iscsi-tools", "siderolabs/util-linux-tools"],
            "613e1592b2da41ae5e265e8789429f22e121aab91cb4deb6bc3c0b6262961245",
        ),
        (
            vec!["siderolabs/qemu-guest-agent"],
            "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515",
        ),
    ] {
        let extensions = names.into_iter().map(str::to_owned).collect();
        assert_eq!(Schematic { extensions, ..Schematic::default() }.id(), id);
    }
}

#[test]
fn what_is_written_reads_back_with_the_same_id() {
    for row in FACTORY.lines() {
        let (document, text, _): (String, Option<String>, Option<String>) =
            serde_json::from_str(row).unwrap();
        if let (Ok(schematic), Some(text)) = (parse(&document), text) {
            assert_eq!(parse(&text).unwrap().id(), schematic.id(), "{text}");
        }
    }
}

#[test]
fn an_unknown_key_has_its_place_and_its_neighbour() {
    let error = parse("customization:\n  systemExtensions:\n    officalExtensions: [x]\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3: key `customization.systemExtensions.officalExtensions` is unknown"
    );
    assert_eq!(error.hint().as_deref(), Some("did you mean `officialExtensions`?"));
    let error = parse("customization:\n  bootloader: lilo\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "line 2, column 15: `customization.bootloader` is `lilo`, expected one of `dual-boot`, `sd-boot`, `grub`, `none`"
    );
}
