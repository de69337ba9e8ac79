use super::command::parse;
use super::reader::{ParseError, Position};
use super::syntax::{CommandKind, List, Part, RedirectKind, Word};

fn simple(list: &List) -> &super::syntax::Simple {
    match &list.0[0].first.commands[0].kind {
        CommandKind::Simple(simple) => simple,
        other => panic!("{other:?}"),
    }
}

fn literal(word: &Word) -> String {
    word.literal().unwrap_or_default()
}

#[test]
fn every_word_has_its_line_and_column() {
    let list = parse("mkdir -p \\\n  a  'b c' # comment\n\ncp é b").unwrap();
    let places: Vec<(String, u32, u32)> = list
        .0
        .iter()
        .map(|and_or| match &and_or.first.commands[0].kind {
            CommandKind::Simple(simple) => simple,
            other => panic!("{other:?}"),
        })
        .flat_map(|simple| &simple.words)
        .map(|word| (literal(word), word.at.line, word.at.column))
        .collect();
    let expected =
        [("mkdir", 1, 1), ("-p", 1, 7), ("a", 2, 3), ("b c", 2, 6), ("cp", 4, 1), ("é", 4, 4), ("b", 4, 6)];
    let expected: Vec<(String, u32, u32)> =
        expected.iter().map(|(word, line, column)| ((*word).to_owned(), *line, *column)).collect();
    assert_eq!(places, expected);
}

#[test]
fn what_no_shell_takes_is_an_error_at_its_place() {
    for (text, line, column, why) in [
        ("echo 'a", 1, 6, "`'` is not closed"),
        ("echo\n \"a", 2, 2, "`\"` is not closed"),
        ("echo $(a", 1, 6, "`(` is not closed"),
        ("echo ${a", 1, 6, "`{` is not closed"),
        ("echo `a", 1, 6, "``` is not closed"),
        ("if true; then echo", 1, 19, "`fi` is missing"),
        ("if true; fi", 1, 10, "`then` is missing"),
        ("if ; then a; fi", 1, 4, "`;` stands where a command is expected"),
        ("for 1 in a; do b; done", 1, 5, "`1` is no name of a variable"),
        ("for a in b; c", 1, 13, "`do` is missing"),
        ("fi", 1, 1, "`fi` is not expected here"),
        ("a; done", 1, 4, "`done` is not expected here"),
        ("a )", 1, 3, "`)` is not expected here"),
        ("a &&", 1, 5, "the end stands where a command is expected"),
        ("| a", 1, 1, "`|` stands where a command is expected"),
        ("a > ", 1, 5, "a redirection has no file"),
        ("( a", 1, 4, "`)` is missing"),
        ("{ a; ", 1, 6, "`}` is missing"),
        ("()", 1, 2, "there is no command in `(`"),
        ("cat <<X", 1, 7, "the here document `X` has no text"),
        ("echo a(b", 1, 7, "`(` is not expected here"),
        ("a\0", 1, 2, "there is a NUL character"),
    ] {
        let expected = ParseError::Syntax { at: Position { line, column }, why: why.to_owned() };
        assert_eq!(parse(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn what_a_shell_takes_and_the_runner_does_not_is_named() {
    for (text, column, what) in [
        ("while true; do a; done", 1, "a `while` loop"),
        ("a; until b; do c; done", 4, "an `until` loop"),
        ("f() { a; }", 1, "a function"),
        ("function f { a; }", 1, "a function"),
        ("[[ a ]]", 1, "a `[[` test"),
        ("a &", 3, "a command in the background"),
        ("echo $((1 + 1))", 6, "arithmetic"),
        ("((a++))", 1, "arithmetic"),
        ("echo <(a)", 6, "process substitution"),
        ("a <<< b", 3, "`<<<`"),
        ("a |& b", 3, "`|&`"),
        ("a 3> b", 3, "descriptor `3`"),
        ("echo $1", 6, "the parameter `$1`"),
        ("echo \"$@\"", 7, "the parameter `$@`"),
        ("echo ~/a", 6, "a home directory (`~`)"),
        ("A=(a b)", 1, "an array"),
        ("A+=b", 1, "`+=`"),
        ("A[1]=b", 1, "an array"),
        ("echo $'a'", 6, "`$` before a quotation mark"),
        ("echo ${A:1:2}", 6, "`:1` in a parameter"),
        ("echo ${A^^}", 6, "`^` in a parameter"),
        ("echo ${!A}", 6, "`${!`"),
        ("echo @(a|b)", 6, "an extended pattern"),
        ("coproc a", 1, "a coprocess"),
    ] {
        let expected = ParseError::Unsupported { at: Position { line: 1, column }, what: what.to_owned() };
        assert_eq!(parse(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn here_documents_stand_behind_their_line_and_go_to_their_command() {
    let list = parse("cat <<A >b && cat <<'B'\n1 $X\nA\n2 $X\nB\necho").unwrap();
    assert_eq!(list.0.len(), 2);
    let bodies: Vec<&Word> = std::iter::once(&list.0[0].first)
        .chain(list.0[0].rest.iter().map(|(_, pipeline)| pipeline))
        .flat_map(|pipeline| &pipeline.commands[0].redirects)
        .filter_map(|redirect| match &redirect.kind {
            RedirectKind::Here(word) => Some(word),
            _ => None,
        })
        .collect();
    assert!(bodies[0].parts.iter().any(|part| matches!(part, Part::Parameter(_))));
    assert_eq!(literal(bodies[1]), "2 $X\n");
}

#[test]
fn reserved_words_are_words_where_no_command_stands() {
    let list = parse("echo if then fi } do in").unwrap();
    assert_eq!(simple(&list).words.len(), 7);
}

#[test]
fn nesting_without_an_end_is_an_error_and_no_crash() {
    for (open, inside, close) in [("(", "a", ")"), ("$(", "a", ")"), ("{ ", "a", "; }"), ("${A:-", "a", "}")]
    {
        let text = open.repeat(10_000) + inside + &close.repeat(10_000);
        assert!(parse(&text).is_err());
    }
}
