//! Tests of [`super`] with modules that were not read: the rules alone. What they say of real modules and real
//! kernels is in tests/module_checks.rs.

use super::*;

const VERMAGIC: &str = "6.12.0-talos SMP mod_unload ";

fn facts(name: &str) -> ModuleFacts {
    ModuleFacts {
        name: name.to_owned(),
        machine: Machine::X86_64,
        vermagic: Some(VERMAGIC.to_owned()),
        versioned: false,
        depends: vec![],
        aliases: vec![],
        firmware: vec![],
        softdeps: vec![],
        version: None,
        licenses: vec![],
        in_tree: false,
        signature: SignatureState::Unsigned,
    }
}

fn module(name: &str, verdict: Verdict) -> Module {
    Module { path: format!("m/{name}.ko"), facts: facts(name), verdict }
}

fn trusted() -> Verdict {
    Verdict::Trusted { by: SignerId::KeyId(vec![1]) }
}

fn judge(modules: &[Module], enforcement: &Enforcement) -> Vec<Finding> {
    judge_against(modules, enforcement, VERMAGIC)
}

fn judge_against(modules: &[Module], enforcement: &Enforcement, vermagic: &str) -> Vec<Finding> {
    let keys = TrustedKeys::default();
    let kernel = KernelInput { machine: Machine::X86_64, vermagic: Some(vermagic), keys: &keys, enforcement };
    super::modules(modules, &kernel)
}

fn messages(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.message.as_str()).collect()
}

#[test]
fn of_many_modules_with_one_fault_one_finding_speaks_and_names_all_paths() {
    let modules: Vec<Module> =
        (0..600).map(|number| module(&format!("m{number}"), Verdict::Unsigned)).collect();
    let findings = judge(&modules, &Enforcement::Config);
    assert_eq!(messages(&findings), ["modules `m0.ko` and 599 more are not signed"]);
    assert_eq!((findings[0].path.as_deref(), findings[0].also.len()), (Some("m/m0.ko"), 599));
    assert_eq!(findings[0].severity, Severity::Error);
    assert_eq!(findings[0].lines(), ["at `m/m0.ko`, and at 599 other paths"]);
}

#[test]
fn a_module_whose_signature_is_gone_is_told_from_one_that_never_had_any_by_its_company() {
    let hint = |modules: &[Module]| judge(modules, &Enforcement::Config)[0].hint.clone().unwrap();
    let unsigned = || module("a", Verdict::Unsigned);
    assert_eq!(hint(&[unsigned()]), TOGETHER);
    assert!(hint(&[unsigned(), module("b", trusted())]).contains("was it stripped after it was signed?"));
}

#[test]
fn enforcement_decides_how_grave_a_missing_signature_is_and_nothing_else() {
    let severities = |verdict: fn() -> Verdict, enforcement: &Enforcement| {
        let findings = judge(&[module("a", verdict())], enforcement);
        findings.iter().map(|finding| finding.severity).collect::<Vec<_>>()
    };
    let unknown = || Verdict::UnknownKey { signer: SignerId::KeyId(vec![7]) };
    let unsigned = || Verdict::Unsigned;
    for verdict in [unknown as fn() -> Verdict, unsigned] {
        assert_eq!(severities(verdict, &Enforcement::Config), [Severity::Error]);
        assert_eq!(severities(verdict, &Enforcement::Nothing), [Severity::Warning]);
        assert_eq!(severities(verdict, &Enforcement::NotBuilt), []);
    }
    let wrong = || Verdict::Wrong { signer: SignerId::KeyId(vec![7]), cause: Cause::Unknown };
    let damaged = || Verdict::Malformed { why: "cut".to_owned() };
    for verdict in [wrong as fn() -> Verdict, damaged] {
        assert_eq!(severities(verdict, &Enforcement::Config), [Severity::Error]);
        assert_eq!(severities(verdict, &Enforcement::Nothing), [Severity::Error]);
        assert_eq!(severities(verdict, &Enforcement::NotBuilt), []);
    }
    let unsupported = || Verdict::Unsupported { what: "hash 1.2.3".to_owned() };
    assert_eq!(severities(unsupported, &Enforcement::Config), [Severity::Warning]);
    assert!(not_enforced(&Enforcement::Config).is_none());
    assert_eq!(not_enforced(&Enforcement::Nothing).unwrap().code, Code::NotEnforced);
    assert_eq!(not_enforced(&Enforcement::NotBuilt).unwrap().hint, None);
}

#[test]
fn version_magic_is_compared_as_the_kernel_compares_it() {
    let versioned = "6.12.0-talos SMP mod_unload modversions ";
    let found = |own: Option<&str>, has_versions: bool, kernel: &str| {
        let mut one = module("a", trusted());
        one.facts.vermagic = own.map(str::to_owned);
        one.facts.versioned = has_versions;
        judge_against(&[one], &Enforcement::Config, kernel).into_iter().next().map(|finding| finding.message)
    };
    assert_eq!(found(Some(VERMAGIC), false, VERMAGIC), None);
    assert_eq!(found(Some(versioned), true, versioned), None);
    let release = |what: &str| versioned.replace("6.12.0-talos", what);
    assert_eq!(found(Some(&release("6.1.0")), true, versioned), None, "CRCs are compared instead");
    let other_release = Some("module `a.ko` is built for another release of the kernel".to_owned());
    assert_eq!(found(Some(&release("6.1.0")), false, versioned), other_release);
    let other = Some("module `a.ko` is built for a kernel with other features".to_owned());
    assert_eq!(found(Some(VERMAGIC), true, versioned), other);
    assert_eq!(found(Some(versioned.trim_end()), true, versioned), other, "the space at the end counts");
    assert!(
        found(None, true, versioned).unwrap().ends_with("is without a word on the kernel that it is for")
    );
}

#[test]
fn a_module_for_another_machine_is_told_by_that_alone() {
    let mut one = module("a", trusted());
    one.facts.machine = Machine::Aarch64;
    one.facts.vermagic = None;
    let findings = judge(&[one], &Enforcement::Config);
    assert_eq!(messages(&findings), ["module `a.ko` is built for another machine"]);
}

#[test]
fn wishes_are_told_where_nothing_fulfils_them() {
    let mut one = module("a", trusted());
    one.facts.softdeps = vec!["pre: here not-here post: here".to_owned()];
    one.facts.firmware =
        vec!["acme/here.bin".to_owned(), "acme/gone.bin".to_owned(), "acme/*.bin".to_owned()];
    let found = unfulfilled(&[one.wishes()], &|name| name == "here", &|path| path == "acme/here.bin");
    assert_eq!(
        messages(&found),
        [
            "module `a.ko` is made to work with module `not_here`, which is not there",
            "module `a.ko` is made to ask for firmware `acme/gone.bin`, which is not there"
        ]
    );
    assert!(found.iter().all(|finding| finding.severity == Severity::Info));
}

#[test]
fn a_module_is_looked_up_by_its_own_name() {
    let index = "kernel/b.ko: kernel/c.ko\nextras/my-module.ko:\n";
    let found = |name: &str| !not_found(&[module(name, trusted())], index).is_empty();
    assert!(!found("b") && !found("my_module"));
    assert!(found("c"), "it is needed by another, and has no line of its own");
    // A file that was renamed: the loader asks for the name that the module has.
    let mut renamed = module("my_module", trusted());
    renamed.facts.name = "other".to_owned();
    assert_eq!(not_found(&[renamed], index).len(), 1);
}

#[test]
fn the_keys_of_a_kernel_are_named_in_few_words() {
    assert_eq!(named(&TrustedKeys::default()), "any key of the kernel's, which has none");
}
