//! What makes an image up to date, and what has it rebuilt: one change a test.

use std::collections::BTreeSet;

use super::*;
use crate::stack::File;

/// What is rebuilt when the stack changes after everything was built.
fn after(change: impl FnOnce(&mut Stack)) -> String {
    let mut stack = stack();
    let facts = built(&stack);
    change(&mut stack);
    builds(&plan(&stack, &key_facts(), &facts, &Request::default()))
}

/// What is rebuilt when the spec changes after everything was built.
fn after_edit(before: &str, after: &str) -> String {
    let facts = built(&stack());
    let stack = edited(&[(before, after)]);
    builds(&plan(&stack, &key_facts(), &facts, &Request::default()))
}

/// What is rebuilt when the facts change after everything was built.
fn with_facts(change: impl FnOnce(&Stack, &mut KeyFacts, &mut Facts)) -> String {
    let stack = stack();
    let (mut keys, mut facts) = (key_facts(), built(&stack));
    change(&stack, &mut keys, &mut facts);
    builds(&plan(&stack, &keys, &facts, &Request::default()))
}

/// What a request builds of a stack whose images are all built.
fn requested(request: Request) -> String {
    let stack = stack();
    builds(&plan(&stack, &key_facts(), &built(&stack), &request))
}

const REBUILT: &str = "sci Parent, ml Parent, r Parent";

#[test]
fn nothing_is_rebuilt_when_nothing_changed() {
    assert_eq!(after(|_| {}), "");
}

#[test]
fn a_changed_step_rebuilds_its_image_and_the_descendants() {
    let changed = after_edit(r#"run: "true""#, r#"run: "false""#);
    assert_eq!(changed, format!("base Step Step, {REBUILT}"));
}

#[test]
fn the_text_of_a_step_counts_not_its_title() {
    let renamed = after_edit(r#"run: "true""#, r#"run: "true", name: the user"#);
    assert_eq!(renamed, "");
}

#[test]
fn a_new_step_rebuilds_its_image() {
    assert_eq!(
        after_edit(
            "r:\n    base: base",
            "r:\n    base: base\n    steps: [{ run: x }]"
        ),
        "r Step"
    );
}

#[test]
fn a_removed_step_rebuilds_its_image() {
    assert_eq!(
        after_edit("    steps: [{ pip: requirements.txt }]\n", ""),
        "sci File Step, ml Parent"
    );
}

#[test]
fn the_executable_bit_of_a_file_counts() {
    let changed = after(|stack| {
        let file = File::Regular {
            content: b"numpy==1\n".as_slice().into(),
            executable: true,
        };
        let path = "images/sci/requirements.txt";
        stack.files_mut().insert(path, file);
    });
    assert_eq!(changed, "sci File, ml Parent");
}

#[test]
fn a_file_that_no_step_uses_does_not_count() {
    let added = after(|stack| {
        stack.files_mut().insert(
            "images/sci/notes.txt",
            File::Regular {
                content: b"x".as_slice().into(),
                executable: false,
            },
        );
    });
    assert_eq!(added, "");
}

#[test]
fn a_variable_that_nothing_uses_does_not_count() {
    let added = after_edit("images:", "vars: { unused: 1 }\nimages:");
    assert_eq!(added, "");
}

#[test]
fn a_changed_environment_rebuilds_the_image() {
    let changed = after_edit(
        "r:\n    base: base",
        "r:\n    base: base\n    env: { A: b }",
    );
    assert_eq!(changed, "r Config");
}

#[test]
fn a_changed_user_rebuilds_the_image() {
    assert_eq!(
        after_edit("base: sci", "base: sci\n    user: jovyan"),
        "ml Config"
    );
}

#[test]
fn tags_do_not_count() {
    assert_eq!(after_edit("2021.2-", "2021.3-"), "");
}

#[test]
fn repositories_do_not_count() {
    assert_eq!(after_edit("localhost/x", "localhost/y"), "");
}

#[test]
fn another_parent_rebuilds_the_image() {
    let moved = after_edit("base: sci", "base: r");
    assert_eq!(moved, "ml Parent");
}

#[test]
fn the_name_of_the_stack_counts_for_every_image() {
    let renamed = after_edit("stack: datahub", "stack: other");
    assert_eq!(
        renamed,
        "base Config, sci Parent Config, ml Parent Config, r Parent Config"
    );
}

#[test]
fn a_new_digest_of_the_external_base_rebuilds_everything() {
    let moved = with_facts(|_, keys, _| {
        keys.external.insert(reference(), Digest::of(b"newer"));
    });
    assert_eq!(moved, format!("base Base, {REBUILT}"));
}

#[test]
fn a_digest_from_the_lock_is_a_reason_of_the_lock() {
    let moved = with_facts(|_, keys, facts| {
        keys.external.insert(reference(), Digest::of(b"newer"));
        facts.locked = true;
    });
    assert_eq!(moved, format!("base Lock, {REBUILT}"));
}

#[test]
fn another_platform_rebuilds_everything() {
    let moved = with_facts(|_, keys, _| keys.platform = "linux/arm64".to_owned());
    assert_eq!(
        moved,
        "base Config, sci Parent Config, ml Parent Config, r Parent Config"
    );
}

#[test]
fn the_commit_does_not_count() {
    assert_eq!(with_facts(|_, _, facts| facts.checkout = None), "");
}

#[test]
fn an_image_that_staging_lost_is_rebuilt() {
    let lost = with_facts(|stack, _, facts| {
        facts.stored.remove(&key(stack, R));
    });
    assert_eq!(lost, "r Missing");
}

#[test]
fn an_image_that_staging_has_is_reused_although_its_record_is_lost() {
    assert_eq!(with_facts(|_, _, facts| facts.records.clear()), "");
}

#[test]
fn an_image_that_was_never_built_is_new() {
    let new = with_facts(|stack, _, facts| {
        facts.stored.remove(&key(stack, R));
        facts.records.remove("r");
    });
    assert_eq!(new, "r New");
}

#[test]
fn a_lost_parent_is_not_rebuilt_for_a_child_that_is_there() {
    let lost = with_facts(|stack, _, facts| {
        facts.stored.remove(&key(stack, BASE));
    });
    assert_eq!(lost, "base Missing");
}

#[test]
fn a_lost_parent_is_not_rebuilt_if_only_its_child_is_selected() {
    let stack = stack();
    let mut facts = built(&stack);
    facts.stored.remove(&key(&stack, BASE));
    let request = Request {
        selected: Some(BTreeSet::from([SCI])),
        ..Request::default()
    };
    assert_eq!(builds(&plan(&stack, &key_facts(), &facts, &request)), "");
}

#[test]
fn no_reuse_rebuilds_everything() {
    let request = Request {
        no_reuse: true,
        ..Request::default()
    };
    assert_eq!(requested(request), "base Flag, sci Flag, ml Flag, r Flag");
}

#[test]
fn no_reuse_rebuilds_only_selected_images() {
    let request = Request {
        no_reuse: true,
        selected: Some(BTreeSet::from([R])),
        ..Request::default()
    };
    assert_eq!(requested(request), "r Flag");
}

/// What is rebuilt, and with `!` what ignores BuildKit's cache, when `base` has `refresh: daily`, was built
/// on the first day, and `change` happens.
fn refreshed(change: impl FnOnce(&mut KeyFacts, &mut Request)) -> String {
    let stack = edited(&[(
        "base: debian:bookworm",
        "base: debian:bookworm\n    refresh: daily",
    )]);
    let mut keys = key_facts();
    keys.periods.day = "2026-11-26".to_owned();
    let facts = built_with(&stack, &keys);
    let mut request = Request::default();
    change(&mut keys, &mut request);
    let plan = plan(&stack, &keys, &facts, &request);
    let ignoring = plan.images.iter().filter(|image| image.ignore_cache);
    let ignoring: Vec<&str> = ignoring.map(|image| image.label.as_str()).collect();
    format!(
        "{}; ignoring the cache: {}",
        builds(&plan),
        ignoring.join(" ")
    )
}

#[test]
fn within_its_period_a_refreshed_image_is_reused() {
    assert_eq!(refreshed(|_, _| {}), "; ignoring the cache: ");
}

#[test]
fn a_new_period_rebuilds_without_the_cache() {
    let next = refreshed(|keys, _| keys.periods.day = "2026-11-27".to_owned());
    assert_eq!(
        next,
        format!("base Flag, {REBUILT}; ignoring the cache: base")
    );
}

#[test]
fn no_reuse_does_not_hide_a_new_period() {
    let next = refreshed(|keys, request| {
        keys.periods.day = "2026-11-27".to_owned();
        request.no_reuse = true;
    });
    assert!(next.ends_with("; ignoring the cache: base"), "{next}");
    let same = refreshed(|_, request| request.no_reuse = true);
    assert!(same.ends_with("; ignoring the cache: "), "{same}");
}

#[test]
fn a_new_period_of_another_length_does_not_count() {
    let next = refreshed(|keys, _| keys.periods.month = "2026-12".to_owned());
    assert_eq!(next, "; ignoring the cache: ");
}

#[test]
fn refresh_rebuilds_a_selected_image_without_the_cache() {
    let selected = refreshed(|keys, request| {
        keys.refreshed.insert("r".to_owned(), "now".to_owned());
        request.refresh.insert(R);
    });
    assert_eq!(selected, "r Flag; ignoring the cache: r");
}

#[test]
fn an_earlier_refresh_stays_part_of_the_key() {
    let before = refreshed(|keys, _| {
        keys.refreshed.insert("r".to_owned(), "before".to_owned());
    });
    assert_eq!(before, "r Flag; ignoring the cache: r");
}

#[test]
fn the_steps_of_another_image_do_not_count() {
    let before = key(&stack(), R);
    let changed = edited(&[("{ pip: requirements.txt }", "{ run: \"true\" }")]);
    assert_eq!(key(&changed, R), before);
}

#[test]
fn an_inherited_setting_that_is_cleared_counts() {
    let before = key(&stack(), R);
    let cleared = edited(&[(
        "r:\n    base: base",
        "r:\n    base: base\n    config: { cmd: [] }",
    )]);
    assert_ne!(key(&cleared, R), before);
}
