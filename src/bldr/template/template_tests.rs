//! What templates say of themselves when they go wrong, and what they must not be able to do. What they
//! render to is tested beside Go, in `tests/templates.rs`.

use std::collections::BTreeMap;

use super::*;

fn values() -> Value {
    let texts = [("ARCH", "x86_64"), ("VERSION", "1.2.3"), ("EMPTY", "")];
    Value::Texts(texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into())
}

fn render(text: &str) -> Result<String, TemplateError> {
    Template::parse("t.yaml", text)?.render(&values())
}

fn wrong(text: &str) -> TemplateError {
    render(text).unwrap_err()
}

#[test]
fn an_error_names_file_line_and_column() {
    for (text, message) in [
        ("a\n {{ if }}", "`t.yaml`, line 2, column 8: missing value for if"),
        ("é {{ upper 1 }}", "`t.yaml`, line 1, column 12: expected a string, got a constant of another type"),
        ("{{ .ARCH }}\n\n{{ end }}", "`t.yaml`, line 3, column 4: unexpected {{end}}"),
        ("{{ if .ARCH }}\n", "`t.yaml`, line 2, column 1: unexpected end of the text, an {{end}} is missing"),
        ("a {{ .ARCH", "`t.yaml`, line 1, column 11: unclosed action"),
        ("{{ .ARCH.x }}", "`t.yaml`, line 1, column 4: a string has no fields, `.x` was asked for"),
        ("{{ fail \"no\" }}", "`t.yaml`, line 1, column 4: `fail`: no"),
        ("{{ template \"x\" }}", "`t.yaml`, line 1, column 13: template `x` is not defined"),
        ("{{ add | repeat 2 }}", "`t.yaml`, line 1, column 10: expected a string, got a int64"),
        ("{{ repeat 2 }}", "`t.yaml`, line 1, column 4: `repeat` takes 2 arguments, got 1"),
        (
            "{{ now }}",
            "`t.yaml`, line 1, column 4: function `now` is not available: it asks the clock, and the same inputs must give the same bytes",
        ),
    ] {
        assert_eq!(wrong(text).to_string(), message, "{text}");
    }
}

#[test]
fn a_slip_of_the_hand_finds_its_word() {
    for (text, hint) in [
        ("{{ .ARCH | uper }}", Some("did you mean `upper`?")),
        ("{{ $version := 1 }}{{ $verison }}", Some("did you mean `$version`?")),
        ("{{ colour }}", None),
        ("{{ now }}", None),
    ] {
        assert_eq!(wrong(text).hint().as_deref(), hint, "{text}");
    }
}

#[test]
fn a_value_that_is_not_there_is_noted_or_refused() {
    let template = Template::parse("t", "{{ .ARCH }}\n{{ .VERSOIN }} {{ if .NONE }}{{ end }}").unwrap();
    let rendered = template.render_noting(&values()).unwrap();
    assert_eq!(rendered.text, "x86_64\n<no value> ");
    let [unset] = rendered.unset.as_slice() else { panic!("{rendered:?}") };
    assert_eq!((unset.at.line, unset.at.column, unset.variable.as_deref()), (2, 4, Some("VERSOIN")));
    let error = template.render_whole(&values()).unwrap_err();
    assert_eq!(error.to_string(), "`t`, line 2, column 4: variable `VERSOIN` has no value");
    assert_eq!(error.hint().as_deref(), Some("did you mean `VERSION`?"));
    let template = Template::parse("t", "{{ .COLOUR }}").unwrap();
    let error = template.render_whole(&values()).unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("add `COLOUR` to `vars.yaml`"));
}

#[test]
fn values_are_not_changed_by_a_template() {
    let value = Value::Map(BTreeMap::from([("a".to_owned(), Value::Int(1))]));
    let template = Template::parse("t", "{{ $_ := set . \"a\" 2 }}{{ .a }}").unwrap();
    assert_eq!(template.render(&value).unwrap(), "2");
    assert_eq!(template.render(&value).unwrap(), "2");
    assert_eq!(value, Value::Map(BTreeMap::from([("a".to_owned(), Value::Int(1))])));
}

/// A template that would take everything there is.
fn bomb(text: &str) {
    let short: String = text.chars().take(100).collect();
    match render(text) {
        Err(TemplateError::Limit { .. }) => {}
        Err(error) => panic!("{short}: {error}"),
        Ok(text) => panic!("{short}: {} bytes", text.len()),
    }
}

#[test]
fn what_would_never_end_comes_to_an_end() {
    for text in [
        "{{ range until 1000000000 }}x{{ end }}",
        "{{ range 9223372036854775807 }}{{ end }}",
        "{{ range until 2000 }}{{ range until 2000 }}{{ end }}{{ end }}",
        "{{ $l := until 100000 }}{{ range $l }}{{ range $l }}{{ break }}{{ end }}{{ has -1 $l }}{{ end }}",
        "{{ $l := until 100000 }}{{ range $l }}{{ compact $l | len }}{{ end }}",
        "{{ $s := repeat 8000000 \"a\" }}{{ range until 100000 }}{{ contains \"b\" $s }}{{ end }}",
        "{{ $s := repeat 8000000 \"a\" }}{{ range until 100000 }}{{ sha256sum $s }}{{ end }}",
        "{{ range $i := until 10000 }}{{ regexMatch (printf \"(a|b){%d}\" (int (mod $i 900))) \"b\" }}{{ end }}",
        "{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}",
        "{{ define \"x\" }}{{ range until 2 }}{{ template \"x\" }}{{ end }}{{ end }}{{ template \"x\" }}",
        "{{ template \"t.yaml\" }}",
        "{{ untilStep -9223372036854775808 9223372036854775807 1 }}",
        "{{ seq 9223372036854775806 }}",
    ] {
        bomb(text);
    }
}

#[test]
fn what_would_fill_the_memory_is_refused_before_it_does() {
    for text in [
        "{{ repeat 9223372036854775807 \"ab\" }}",
        "{{ indent 9223372036854775807 \"a\" }}",
        "{{ $s := \"aaaaaaaa\" }}{{ range until 64 }}{{ $s = print $s $s }}{{ end }}",
        "{{ $s := repeat 1000000 \"a\" }}{{ replace \"a\" $s $s }}",
        "{{ $s := repeat 1000000 \"a\" }}{{ replace \"\" $s $s }}",
        "{{ $s := repeat 1000000 \"a\" }}{{ regexReplaceAll \"a\" $s $s }}",
        "{{ $s := repeat 8000000 \",\" }}{{ splitList \",\" $s | len }}",
        "{{ $s := repeat 8000000 \",\" }}{{ split \"\" $s | len }}",
        "{{ $s := repeat 4000000 \"[],\" }}{{ printf \"[%s0]\" $s | mustFromJson | len }}",
        "{{ printf (repeat 30 \"%999999[1]d\") 1 }}",
        "{{ printf \"%999999.999999f%999999.999999f%999999.999999f\" 1.5 1.5 1.5 | repeat 20 }}",
        "{{ $l := list \"aaaaaaaaaaaaaaaa\" }}{{ range until 50 }}{{ $l = list $l $l }}{{ end }}{{ $l }}",
        "{{ $l := list }}{{ range until 50 }}{{ $l = list $l $l }}{{ end }}{{ $l | toJson }}",
        "{{ $l := list }}{{ range until 50 }}{{ $l = list $l $l }}{{ end }}{{ deepEqual $l (deepCopy $l) }}",
        "{{ regexMatch \"((a{100}){100}){100}\" \"a\" | mustRegexMatch \"((\\\\pL{100}){100}){100}\" \"a\" }}",
        "{{ mustRegexMatch \"((\\\\pL{100}){100}){100}\" \"a\" }}",
    ] {
        bomb(text);
    }
}

#[test]
fn what_is_too_deep_is_refused() {
    let deep = |open: &str, middle: &str, close: &str, count: usize| {
        format!("{}{middle}{}", open.repeat(count), close.repeat(count))
    };
    bomb(&deep("{{ if 1 }}", "", "{{ end }}", 10_000));
    bomb(&deep("{{ range . }}", "", "{{ end }}", 10_000));
    bomb(&format!("{{{{ {} }}}}", deep("(", "1", ")", 10_000)));
    bomb(&deep("{{ block \"a\" . }}", "", "{{ end }}", 10_000));
    bomb("{{ $l := list }}{{ range until 1000 }}{{ $l = list $l }}{{ end }}");
    bomb("{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ $d }}");
    bomb("{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ toJson $d }}");
    bomb("{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ deepCopy $d }}");
    // A long chain of mappings is nothing bad in itself: it is let go of without a recursion.
    let chain = "{{ $d := dict }}{{ range until 50000 }}{{ $n := dict }}{{ $_ := set $d \"d\" $n }}{{ $d = $n }}{{ end }}ok";
    assert_eq!(render(chain).unwrap(), "ok");
    assert_eq!(render(&format!("{{{{ {} }}}}", deep("(", "1", ")", 50))).unwrap(), "1");
    assert_eq!(render(&deep("{{ if 1 }}", "x", "{{ end }}", 50)).unwrap(), "x");
    bomb(&"{{ $x := 1 }}".repeat(300));
    bomb(&" ".repeat(limits::SIZE_MAX + 1));
}
