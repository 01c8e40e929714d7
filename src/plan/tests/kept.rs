//! Which first steps of an image are kept from its last build.

use super::*;

const KEPT: &str = r#"
stack: kept
registry: localhost/x
images:
  base:
    base: debian:bookworm
    steps:
      - apt: [git]
      - copy: { /opt/: { from: tree/ } }
      - pip: requirements.txt
"#;

const KEPT_FILES: [(&str, &str); 3] = [
    ("images/base/tree/a", "a"),
    ("images/base/tree/b", "b"),
    ("images/base/requirements.txt", "numpy==1\n"),
];

/// How many steps are kept when the spec, or a file, changes after everything was built; `None` for the text of a file
/// that is removed.
fn kept(edit: (&str, &str), file: Option<(&str, Option<&str>)>, request: &Request) -> usize {
    let before = stack_with(KEPT, &KEPT_FILES);
    let keys = Keys::new(&before, &key_facts());
    let Keyed { key, components } = keys.get(BASE).cloned().expect("the base is known");
    let record = Record {
        key: key.clone(),
        digest: Digest::of(b"base"),
        components,
    };
    let facts = Facts {
        records: BTreeMap::from([("base".to_owned(), record)]),
        stored: BTreeMap::from([(key, Digest::of(b"base"))]),
        last_builds: [Digest::of(b"base")].into(),
        ..Facts::default()
    };
    let mut files: BTreeMap<&str, &str> = KEPT_FILES.into();
    match file {
        Some((path, Some(text))) => _ = files.insert(path, text),
        Some((path, None)) => _ = files.remove(path),
        None => {}
    }
    let files: Vec<(&str, &str)> = files.into_iter().collect();
    let (from, to) = edit;
    let after = stack_with(&KEPT.replace(from, to), &files);
    let plan = plan(&after, &key_facts(), &facts, request);
    let kept = plan.images[0].kept.as_ref();
    kept.map_or(0, |kept| kept.steps)
}

const SAME: (&str, &str) = ("", "");

#[test]
fn only_last_builds_that_staging_has_are_used() {
    let before = stack_with(KEPT, &KEPT_FILES);
    let after = stack_with(KEPT, &KEPT_FILES);
    let mut facts = built_with(&stack(), &key_facts());
    let keys = Keys::new(&before, &key_facts());
    let Keyed {
        key,
        mut components,
    } = keys.get(BASE).cloned().expect("the base is known");
    // Another last step.
    components.pop_if(|it| it.kind == ComponentKind::Step);
    let digest = Digest::of(b"last");
    let record = Record {
        key,
        digest: digest.clone(),
        components,
    };
    facts.records = BTreeMap::from([("base".to_owned(), record)]);
    let asked = last_builds(&after, &keys, &facts);
    assert_eq!(asked, [digest].into());
    let kept = |facts: &Facts| {
        let plan = plan(&after, &key_facts(), facts, &Request::default());
        plan.images[0]
            .kept
            .as_ref()
            .map(|kept| (kept.steps, kept.of))
    };
    assert_eq!(kept(&facts), None);
    facts.last_builds = asked;
    assert_eq!(kept(&facts), Some((2, 2)));
}

#[test]
fn steps_before_the_first_that_changed_are_kept() {
    let request = Request::default();
    let requirements = ("images/base/requirements.txt", Some("numpy==2\n"));
    assert_eq!(kept(SAME, Some(requirements), &request), 2);
    assert_eq!(kept(("[git]", "[git, jq]"), None, &request), 0);
    let added = (
        "requirements.txt\n",
        "requirements.txt\n      - run: \"true\"\n",
    );
    assert_eq!(kept(added, None, &request), 3);
    let removed = ("      - pip: requirements.txt\n", "");
    assert_eq!(kept(removed, None, &request), 0, "a file is gone");
}

#[test]
fn a_changed_folder_ends_them() {
    let request = Request::default();
    let of = |path, text| kept(SAME, Some((path, text)), &request);
    assert_eq!(of("images/base/tree/a", Some("other")), 1);
    assert_eq!(of("images/base/tree/c", Some("new")), 1);
    assert_eq!(of("images/base/tree/b", None), 0);
}

#[test]
fn what_may_affect_every_step_ends_them() {
    let request = Request::default();
    for to in [
        "base: debian:bookworm\n    env: { A: b }",
        "base: debian:bookworm\n    user: jovyan",
        "base: debian:bookworm\n    writable: { gid: 100, paths: [/opt] }",
        "base: debian:bookworm\n    refresh: weekly",
        "base: debian:trixie",
    ] {
        assert_eq!(
            kept(("base: debian:bookworm", to), None, &request),
            0,
            "{to}"
        );
    }
    let level = ("stack: kept", "stack: kept\ncompression: gzip");
    assert_eq!(kept(level, None, &request), 0);
}

#[test]
fn nothing_is_kept_if_all_steps_must_run_or_nothing_is_built() {
    let no_reuse = Request {
        no_reuse: true,
        ..Request::default()
    };
    let refresh = Request {
        refresh: [BASE].into(),
        ..Request::default()
    };
    let requirements = Some(("images/base/requirements.txt", Some("numpy==2\n")));
    assert_eq!(kept(SAME, requirements, &no_reuse), 0);
    let before = [1, 2, 3, 4].map(|step| Request {
        keep_before: Some(step),
        ..no_reuse.clone()
    });
    let before = before.map(|request| kept(SAME, requirements, &request));
    assert_eq!(before, [0, 1, 2, 2], "for a shell in a step");
    assert_eq!(kept(SAME, requirements, &refresh), 0);
    assert_eq!(kept(SAME, None, &Request::default()), 0, "it is reused");
}
