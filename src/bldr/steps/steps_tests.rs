use std::collections::BTreeMap;

use super::*;
use crate::archive::tree::{Entry, Tree};
use crate::base::{Content, Workers};

fn environment(keep: &InMemory, shell: Shell) -> Environment<'_> {
    Environment {
        shell,
        variables: BTreeMap::from([("ARCH".to_owned(), "x86_64".to_owned())]),
        directory: "/tmp/build".to_owned(),
        mtime: 7,
        machine: "x86_64".to_owned(),
        keep,
        workers: Workers::new(1),
    }
}

fn run_on(root: &mut Root, text: &str) -> Result<Output, StepError> {
    run(root, &Program::parse(text).unwrap(), &environment(&InMemory::new(1 << 20), Shell::Bash))
}

fn refused(text: &str, shell: Shell) -> Vec<String> {
    let unsupported = Program::parse(text).unwrap().unsupported(shell);
    unsupported.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_not_run_natively_is_known_before_anything_runs() {
    for (text, said) in [
        ("mkdir a\n  make install", "line 2, column 3: `make` is no program that is run natively"),
        ("xagrs a", "line 1, column 1: `xagrs` is no program that is run natively; did you mean `xargs`"),
        ("cp --archiv --bakup a b", "line 1, column 13: `--bakup` is an option that is not run natively"),
        ("cp -ax a b", "line 1, column 4: `-x` is an option that is not run natively"),
        ("$CC a.c", "line 1, column 1: `$` is a command that only the run shows"),
        ("echo $(gcc)", "line 1, column 8: `gcc` is no program that is run natively"),
        ("if curl x; then a=1; fi", "line 1, column 4: `curl` is no program that is run natively"),
        ("echo a | xargs -n1 gcc -c", "line 1, column 20: `gcc` is no program that is run natively"),
        ("echo a | xargs cp --bad", "line 1, column 19: `--bad` is an option that is not run natively"),
        ("find . -exec strip {} +", "line 1, column 14: `strip` is no program that is run natively"),
        (
            "find . -newer x",
            "line 1, column 8: `-newer` is no condition or action of `find` that is run natively",
        ),
        ("sed -i.bak s/a/b/ x", "line 1, column 5: `-i.bak` keeps a copy, which is not run natively"),
        ("tar -cf a b", "line 1, column 5: `-c` is an option that is not run natively"),
        ("tar -xf a --exclude=b", "line 1, column 11: `--exclude=b` is an option that is not run natively"),
        ("cat /proc/version", "line 1, column 5: `/proc/version` is no file of a package"),
        ("echo x > /dev/tty", "line 1, column 10: `/dev/tty` is no file of a package"),
        ("uname -r", "line 1, column 7: `-r` is an option that is not run natively"),
        ("depmod", "line 1, column 1: `depmod` without a release would ask the kernel that runs"),
        ("chmod u+q a", "line 1, column 7: `u+q` is no mode that is understood"),
        ("export PATH=/x", "line 1, column 8: `PATH` changes what the shell does"),
        ("IFS=: ", "line 1, column 5: `IFS` changes what the shell does"),
        ("set -x -f", "line 1, column 8: `-f` is no argument of `set` that is run natively"),
        ("[ a -nt b ]", "line 1, column 5: `-nt` is no operator of `test` that is run natively"),
        ("cd", ""),
    ] {
        let found = refused(text, Shell::Bash);
        assert_eq!(found.first().map_or("", String::as_str), said, "{text}: {found:?}");
    }
}

#[test]
fn braces_are_refused_for_a_shell_that_takes_them_as_they_are() {
    let text = "mkdir -p a/{b,c}";
    assert!(refused(text, Shell::Bash).is_empty());
    assert_eq!(
        refused(text, Shell::of("/bin/sh")),
        ["line 1, column 10: `{` is a brace that only bash expands; the package's shell is another"]
    );
    assert!(refused("find . -exec basename {} +", Shell::Posix).is_empty());
    assert_eq!(Shell::of("/toolchain/bin/bash"), Shell::Bash);
}

#[test]
fn copying_a_large_file_copies_a_handle() {
    let mut tree = Tree::new();
    // No such file: reading it would fail.
    let large = Content::file("/nonexistent/firmware", 70 << 20);
    tree.insert("src/fw.bin", Entry::file(0o644, large)).unwrap();
    let mut root = Root::from_tree(&tree).unwrap();
    let text =
        "cp /src/fw.bin a; install -D a b/c; cat a > d; cat d >> d2; mv d2 e; ln e f; find / -name '*.bin'";
    run_on(&mut root, text).unwrap();
    for path in ["a", "b/c", "d", "e", "f"] {
        let entry = root.entry(&format!("/tmp/build/{path}")).unwrap();
        assert_eq!(entry.content().unwrap().len(), 70 << 20);
        assert!(entry.content().unwrap().whole_file().is_some(), "{path}");
    }
}

#[test]
fn a_step_that_fails_says_where_and_why_and_keeps_what_it_wrote() {
    let mut root = Root::new();
    let error = run_on(&mut root, "echo before\n\n  cp nothing there\necho after").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3, column 3: `cp` failed with status 1: `nothing`: there is no such file or directory"
    );
    let StepError::Failed { output, .. } = error else { panic!() };
    assert_eq!(output.stdout, b"before\n");
    assert!(
        run_on(&mut root, "echo $(cp nothing there) \"$UNSET\"").unwrap_err().to_string().contains("UNSET")
    );
}

#[test]
fn exports_and_folders_do_not_carry_over_and_the_environment_does() {
    let mut root = Root::new();
    run_on(&mut root, "export A=1; mkdir d; cd d; echo $ARCH > arch").unwrap();
    let output = run_on(&mut root, "pwd; cat d/arch; echo ${A:-gone}").unwrap();
    assert_eq!(output.stdout, b"/tmp/build\nx86_64\ngone\n");
}

#[test]
fn a_shell_other_than_bash_keeps_set_e_in_substitutions() {
    let program = Program::parse("A=$(false; echo inner); echo $A").unwrap();
    let keep = InMemory::new(0);
    let in_bash = run(&mut Root::new(), &program, &environment(&keep, Shell::Bash)).unwrap();
    assert_eq!(in_bash.stdout, b"inner\n");
    assert!(run(&mut Root::new(), &program, &environment(&keep, Shell::Posix)).is_err());
}

#[test]
fn steps_that_would_never_end_or_fill_the_memory_end_at_a_bound() {
    for text in [
        "for i in {1..9999}; do for j in {1..9999}; do :; done; done",
        "mkdir d; for i in {1..40}; do cp -r d e; mv e d/$i; cp -r d f; mv f d/x$i; done",
        "A=xxxxxxxxxxxxxxxx; for i in {1..40}; do A=$A$A; done",
        "echo x > a; for i in {1..60}; do cat a a > b; cat b b > a; done",
        "echo {1..9999}{1..9999}",
        "printf 'x%4000s\\n' {1..9999}",
        "yes=1; for i in {1..400}; do mkdir d; cd d; done",
        "echo aaaaaaaa > a; for i in {1..40}; do sed -i 's/a/aaaaaaaa/g' a; done",
        "mkdir d; mv d e; for i in {1..300}; do mkdir d; mv e d/e; mv d e; done",
    ] {
        let error = run_on(&mut Root::new(), text).unwrap_err();
        let bounded = matches!(error, StepError::Limit { .. } | StepError::Content { .. });
        assert!(bounded, "{text}: {error}");
    }
}

#[test]
fn an_option_that_only_the_run_shows_ends_the_step_and_not_quietly() {
    let error = run_on(&mut Root::new(), "A=--backup; touch a; cp $A a b || true").unwrap_err();
    assert_eq!(error.to_string(), "line 1, column 22: `--backup` is an option that is not run natively");
}

#[test]
fn links_and_paths_stay_within_the_tree() {
    let mut tree = Tree::new();
    tree.insert("etc/passwd", Entry::file(0o644, Content::memory(*b"ours\n"))).unwrap();
    tree.insert("up", Entry::symlink("../../../../etc/passwd")).unwrap();
    tree.insert("abs", Entry::symlink("/etc")).unwrap();
    let mut root = Root::from_tree(&tree).unwrap();
    let text = "cat /up /abs/passwd /../../etc/passwd; cd ../../../..; pwd; readlink -f up; echo new > /up";
    let output = run_on(&mut root, text).unwrap();
    assert_eq!(output.stdout, b"ours\nours\nours\n/\n/etc/passwd\n");
    assert_eq!(root.entry("/etc/passwd").unwrap().content().unwrap().read(9).unwrap(), b"new\n");
}

#[test]
fn layers_merge_and_folders_come_out_as_trees() {
    let mut first = Tree::new();
    first.insert("usr/lib/a", Entry::file(0o644, Content::memory(*b"1"))).unwrap();
    let mut second = Tree::new();
    second.insert("lib/a", Entry::file(0o600, Content::memory(*b"2"))).unwrap();
    second.insert("lib/b", Entry::file(0o600, Content::memory(*b"3"))).unwrap();
    let mut root = Root::from_tree(&first).unwrap();
    root.merge(&second, "/usr").unwrap();
    run_on(&mut root, "ln /usr/lib/a /usr/lib/c").unwrap();
    assert_eq!(root.hard_links(), [["usr/lib/a", "usr/lib/c"]]);
    let tree = root.folder("/usr").unwrap().unwrap();
    let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["lib", "lib/a", "lib/b", "lib/c"]);
    assert_eq!(tree.get("lib/a").unwrap().mode, 0o600);
    assert!(tree.get("lib/c").unwrap().content().is_some());
    assert!(root.folder("/nothing").is_none());
}

#[test]
fn checks_of_test_steps_are_ours_or_listed_as_not_run() {
    let text = "/extensions-validator validate --rootfs=/extensions-validator-rootfs --pkg-name=x\n\
        find /rootfs -name '*.ko' -print0 | xargs -0 grep -FL '~Module signature appended~' && true\n\
        fhs-validator /rootfs\n  make check";
    let steps = test_step(text).unwrap();
    let ours = |check| TestStep::Ours { check };
    assert_eq!(
        steps,
        [
            ours("the manifest and the contents of an extension"),
            ours("the signatures of modules"),
            TestStep::NotRun { at: Position { line: 2, column: 88 }, command: "true".to_owned() },
            ours("the folders of an extension"),
            TestStep::NotRun { at: Position { line: 4, column: 3 }, command: "make".to_owned() },
        ]
    );
}
