//! The texts of actions and reasons, whole.

use std::collections::BTreeSet;

use super::*;

fn shown(stack: &Stack, facts: &Facts, request: &Request) -> String {
    let plan = plan(stack, &key_facts(), facts, request);
    let lines = plan.images.iter().map(|image| match &image.action {
        Action::Build { reasons } => {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|r| format!("{:?} {}: {}", r.kind, r.what, r.text))
                .collect();
            format!("{} build: {}", image.label, reasons.join("; "))
        }
        Action::Reuse { .. } => format!("{} reuse", image.label),
        Action::Hold { because } => format!("{} hold: {because}", image.label),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_changed_file_is_the_reason_and_the_parent_that_of_its_children() {
    let facts = built(&stack());
    let changed = stack_with(SPEC, &[("images/sci/requirements.txt", "numpy==2\n")]);
    assert_eq!(
        shown(&changed, &facts, &Request::default()),
        "base reuse\n\
         sci build: File images/sci/requirements.txt: images/sci/requirements.txt changed\n\
         ml build: Parent sci: its base sci is rebuilt\n\
         r reuse"
    );
}

#[test]
fn a_reason_is_one_line_whatever_a_file_is_called() {
    let reason = Reason::new(ReasonKind::File, "a\n\u{1b}[31mb", "a\n\u{1b}[31mb changed");
    assert_eq!(reason.what, "a\n\u{1b}[31mb");
    assert_eq!(reason.text, "a\u{fffd}\u{fffd}[31mb changed");
}

#[test]
fn a_variable_is_the_reason_instead_of_what_was_made_from_it() {
    let r = |version: &str| {
        let steps = format!(
            "r:\n    base: base\n    vars: {{ r: \"{version}\" }}\n    steps: [{{ apt: [\"r-base=${{r}}\"] }}]"
        );
        edited(&[("r:\n    base: base", &steps)])
    };
    assert_eq!(
        shown(&r("4.2"), &built(&r("4.1")), &Request::default()),
        "base reuse\nsci reuse\nml reuse\n\
         r build: Var r: variable r changed from `4.1` to `4.2`"
    );
}

#[test]
fn order_missing_and_new_are_different_reasons() {
    let r = |steps: &str| {
        let text = format!("r:\n    base: base\n    steps: [{steps}]");
        edited(&[("r:\n    base: base", &text)])
    };
    let before = r("{ run: a }, { run: b }");
    let mut facts = built(&before);
    facts.stored.remove(&key(&before, ML));
    facts.records.remove("sci");
    facts.stored.remove(&key(&before, SCI));
    let digest = Digest::of(b"ml");
    assert_eq!(
        shown(&r("{ run: b }, { run: a }"), &facts, &Request::default()),
        format!(
            "base reuse\n\
             sci build: New sci: never built for this registry\n\
             ml build: Missing {digest}: staging no longer has it\n\
             r build: Step steps: the steps are in a different order"
        )
    );
}

#[test]
fn reasons_compare_with_the_last_release_of_the_branch_and_not_with_what_was_built_last() {
    let r = |steps: &str| {
        let text = format!("r:\n    base: base\n    steps: [{steps}]");
        edited(&[("r:\n    base: base", &text)])
    };
    let (released, now) = (r("{ run: a }"), r("{ run: b }"));
    let release = built(&released);
    // Someone else built another edit since.
    let mut facts = built(&r("{ run: c }, { run: d }"));
    let elsewhere = shown(&now, &facts, &Request::default());
    assert!(elsewhere.contains("run d"), "{elsewhere}");
    facts.released = release.records;
    facts.released_commit = Commit::parse("d021570").ok();
    let last = shown(&now, &facts, &Request::default());
    let last = last.lines().last().unwrap_or_default();
    assert!(
        !last.contains("run d") && last.starts_with("r build: Step"),
        "{last}"
    );
    facts.released.remove("r");
    let new = shown(&now, &facts, &Request::default());
    assert!(
        new.ends_with("r build: New r: not in the last release (d021570)"),
        "{new}"
    );
    facts.is_offline = true;
    let offline = shown(&now, &facts, &Request::default());
    assert!(
        offline.ends_with("no registry was asked for an earlier build"),
        "{offline}"
    );
}

#[test]
fn without_a_registry_there_is_no_earlier_build() {
    let stack = edited(&[("registry: localhost/x\n", "")]);
    let shown = shown(&stack, &Facts::default(), &Request::default());
    let first = shown.lines().next().unwrap_or_default();
    assert_eq!(
        first,
        "base build: New base: the stack has no registry with an earlier build"
    );
}

#[test]
fn selecting_an_image_builds_the_parents_that_are_missing() {
    let request = Request {
        selected: Some(BTreeSet::from([SCI])),
        ..Request::default()
    };
    let new = "never built for this registry";
    assert_eq!(
        shown(&stack(), &Facts::default(), &request),
        format!(
            "base build: New base: {new}\n\
             sci build: New sci: {new}\n\
             ml hold: not selected\n\
             r hold: not selected"
        )
    );
}

#[test]
fn an_unknown_external_base_holds_its_descendants() {
    let stack = stack();
    let plan = plan(
        &stack,
        &KeyFacts::default(),
        &built(&stack),
        &Request::default(),
    );
    for image in plan.images {
        let because = HoldReason::UnknownImages(vec![reference()]);
        let text = "the digest of docker.io/library/debian:bookworm is unknown";
        assert_eq!(because.to_string(), text);
        assert_eq!(image.action, Action::Hold { because });
    }
}

#[test]
fn a_rebuild_on_request_has_the_flag_as_its_reason() {
    let stack = stack();
    let request = Request {
        no_reuse: true,
        selected: Some(BTreeSet::from([ML])),
        ..Request::default()
    };
    assert_eq!(
        shown(&stack, &built(&stack), &request),
        "base reuse\nsci reuse\nml build: Flag --no-reuse: requested by --no-reuse\nr reuse"
    );
}

#[test]
fn a_dockerfile_that_changed_is_named_once() {
    let component = |kind: &str, what: &str, value: &str| -> Component {
        let value = serde_json::json!({ "kind": kind, "what": what, "value": value });
        serde_json::from_value(value).expect("a component")
    };
    let list = |file: &str, step: &str| {
        [
            component("file", "images/a/Dockerfile", file),
            component("step", "dockerfile Dockerfile (slim)", step),
        ]
    };
    let texts = |old: &[Component], new: &[Component]| -> Vec<String> {
        let reasons = crate::plan::reason::reasons(old, new, false);
        reasons.into_iter().map(|reason| reason.text).collect()
    };
    let old = list("1", "1");
    assert_eq!(
        texts(&old, &list("2", "2")),
        ["images/a/Dockerfile changed"]
    );
    // Its arguments changed.
    assert_eq!(
        texts(&old, &list("1", "2")),
        ["step `dockerfile Dockerfile (slim)` changed"]
    );
}
