use super::*;

fn error(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

fn keys(node: &Node) -> Vec<(&str, &str)> {
    let Value::Mapping(pairs) = &node.value else { panic!("no mapping") };
    pairs.iter().map(|(key, value)| (key.scalar().unwrap(), value.scalar().unwrap())).collect()
}

#[test]
fn nodes_know_where_they_were_written() {
    let node = parse("\u{feff}a: 1\nbé:\n  - 'x'\n  - ~\n".as_bytes()).unwrap();
    let Value::Mapping(pairs) = &node.value else { panic!("no mapping") };
    assert_eq!((pairs[0].1.line, pairs[0].1.column), (1, 4));
    let Value::Sequence(items) = &pairs[1].1.value else { panic!("no sequence") };
    assert_eq!((items[0].line, items[0].column), (3, 5));
    assert_eq!(items[0].value, Value::Scalar { text: "x".to_owned(), plain: false });
    assert!(items[1].is_null());
}

#[test]
fn a_document_without_content_is_null() {
    for text in ["", "# a comment\n", "---\n", "---\n...\n", "~"] {
        assert!(parse(text.as_bytes()).unwrap().is_null(), "{text:?}");
    }
}

#[test]
fn types_are_read_as_go_reads_them() {
    let text = "s: 0.1\nt: true\nn: ~\nq: \"yes\"\nb: yes\nc: False\nu: 42\nx: !!str 5\ny: ! 5\n";
    let node = parse(text.as_bytes()).unwrap();
    let root = Cursor::root(&node);
    let at = |key| root.get(key).unwrap();
    assert_eq!(at("s").string().unwrap(), "0.1");
    assert_eq!(at("t").string().unwrap(), "true");
    assert_eq!(at("n").string().unwrap(), "");
    assert_eq!(at("absent").string().unwrap(), "");
    assert_eq!(at("absent.below").items().unwrap().len(), 0);
    assert!(at("b").boolean().unwrap());
    assert!(!at("c").boolean().unwrap() && !at("n").boolean().unwrap());
    assert_eq!(at("u").unsigned().unwrap(), 42);
    assert_eq!(
        at("q").boolean().unwrap_err().to_string(),
        "line 4, column 4: `q` is the text `yes`, expected `true` or `false`"
    );
    assert_eq!(
        at("x").unsigned().unwrap_err().to_string(),
        "line 8, column 4: `x` is the text `5`, expected a whole number"
    );
    assert!(at("y").unsigned().is_err());
}

#[test]
fn an_error_names_line_column_path_expected_and_found() {
    let node =
        parse(b"metadata:\n  compatibility:\n    talos:\n      version: [1]\nlist: [a, {}]\n").unwrap();
    let root = Cursor::root(&node);
    let version = root.get("metadata.compatibility.talos.version").unwrap();
    assert_eq!(
        version.string().unwrap_err().to_string(),
        "line 4, column 16: `metadata.compatibility.talos.version` is a sequence, expected a string"
    );
    assert_eq!(
        root.get("list").unwrap().strings().unwrap_err().to_string(),
        "line 5, column 11: `list[1]` is a mapping, expected a string"
    );
    assert_eq!(
        root.get("list.name").unwrap_err().to_string(),
        "line 5, column 7: `list` is a sequence, expected a mapping"
    );
    assert_eq!(
        Cursor::root(&parse(b"- a").unwrap()).get("name").unwrap_err().to_string(),
        "line 1, column 1: the document is a sequence, expected a mapping"
    );
}

#[test]
fn unknown_keys_come_with_the_one_that_was_meant() {
    let node = parse(b"metadata:\n  name: x\n  autor: y\n  colour: z\n").unwrap();
    let metadata = Cursor::root(&node).get("metadata").unwrap();
    let unknown = metadata.unknown_keys(&["name", "author"]).unwrap();
    assert_eq!(unknown.len(), 2);
    assert_eq!((unknown[0].path.as_str(), unknown[0].line), ("metadata.autor", 3));
    assert_eq!(unknown[0].suggestion.as_deref(), Some("author"));
    assert_eq!(unknown[1].suggestion, None);
}

#[test]
fn a_key_that_stands_twice_is_an_error_with_both_lines() {
    assert_eq!(error("a: 1\nb: 2\n\"a\": 3\n"), "line 3, column 1: key `a` stands twice, first in line 1");
}

#[test]
fn merge_keys_add_what_is_not_there() {
    let text = "base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  b: 3\n";
    let node = parse(text.as_bytes()).unwrap();
    let Value::Mapping(pairs) = &node.value else { panic!("no mapping") };
    assert_eq!(keys(&pairs[1].1), [("b", "3"), ("a", "1")]);
    assert_eq!(error("<<: 1\n"), "line 1, column 1: `<<` merges mappings only");
}

#[test]
fn what_is_no_single_plain_document_is_refused() {
    assert_eq!(error("a: 1\n---\nb: 2\n"), "line 2, column 1: a second document starts here, expected one");
    assert_eq!(error("? [a]\n: 1\n"), "line 1, column 3: a key is a sequence, expected a scalar");
    assert_eq!(error("a: !mine x\n"), "line 1, column 4: tag `!mine` is not known");
    assert_eq!(error("a: !!binary aGk=\n"), "line 1, column 4: tag `!!binary` is not for a scalar here");
    assert_eq!(error("a: 1\nb: x\0y\n"), "line 2, column 5: control character \\u{0} is not allowed");
    assert_eq!(parse(b"a: 1\nb\xff").unwrap_err().to_string(), "line 2, column 2: not UTF-8");
    assert!(error("a: [1, 2").starts_with("line 2, column 1: while parsing a flow sequence"));
    assert!(error("a: 'x").starts_with("line 1, column 4: while scanning a quoted scalar"));
    assert_eq!(error("a: !x"), "line 1, column 4: tag `!x` is not known");
    assert!(error("a: *b").contains("anchor"));
    assert!(parse(b"\xff\xfea\0:\0").is_err());
}

#[test]
fn nesting_stops_at_its_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert!(error(&nested(DEPTH_MAX + 1)).contains("deeper than 64 levels"));
    for part in ["[", "{a: ", "- ", "? ", "- - ? ", "&a [", "!!map {"] {
        let started = std::time::Instant::now();
        assert!(parse(part.repeat(SIZE_MAX / part.len()).as_bytes()).is_err(), "{part}");
        assert!(started.elapsed().as_secs() < 5, "{part}");
    }
}

#[test]
fn an_alias_bomb_stops_at_its_limit() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(error(&text).contains("anchors and aliases copy more than"));
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(SIZE_MAX / 2), vec!["*a"; 50_000].join(","));
    assert!(error(&long).contains("anchors and aliases copy more than"));
    assert_eq!(error("a: &a [*a]\n"), "line 1, column 8: alias stands inside its own anchor");
}

#[test]
fn a_document_over_the_limit_is_not_read() {
    assert_eq!(parse(&vec![b'#'; SIZE_MAX]).map(|node| node.is_null()), Ok(true));
    assert_eq!(parse(&vec![b'#'; SIZE_MAX + 1]), Err(YamlError::TooLarge { size: SIZE_MAX + 1 }));
}
