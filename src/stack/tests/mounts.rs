//! `mounts:` of steps, and what they must not hide.

use super::*;
use crate::stack::{CacheSharing, MountSource};

const FILES: &[(&str, &str)] = &[("images/a/x", "x"), ("images/a/tree/deep/z", "z")];

/// Returns the sources of the mounts `{ /m: { … } }`.
fn source(mount: &str) -> MountSource {
    let step = format!("    steps: [{{ run: a, mounts: {{ /m/: {{ {mount} }} }} }}]\n");
    let [mount] = &steps_with(&step, FILES)[0].mounts[..] else {
        panic!("it has one mount");
    };
    assert_eq!(mount.target, "/m");
    mount.source.clone()
}

/// Returns the faults of a step with these keys.
fn faults_of(step: &str) -> Vec<String> {
    faults(&format!(
        "stack: x\nimages:\n  a: {{ base: debian:12, steps: [{{ {step} }}] }}\n"
    ))
}

#[test]
fn a_file_or_what_is_in_a_folder_is_mounted() {
    for (bind, expected) in [("x", vec![""]), ("tree", vec!["deep", "deep/z"])] {
        let MountSource::Files {
            entries, rw: false, ..
        } = source(&format!("bind: {bind}"))
        else {
            panic!("it has files that cannot be written");
        };
        let found: Vec<&str> = entries.iter().map(|entry| entry.to.as_str()).collect();
        assert_eq!(found, expected, "{bind}");
    }
}

#[test]
fn caches_are_shared_and_memory_has_no_limit_unless_they_say_so() {
    assert_eq!(
        source("cache: npm"),
        MountSource::Cache {
            id: "npm".to_owned(),
            sharing: CacheSharing::Shared,
            mode: None,
            uid: None,
            gid: None,
        }
    );
    assert_eq!(source("tmpfs:"), MountSource::Tmpfs { size: None });
    let size = Some(64 << 20);
    assert_eq!(source("tmpfs: 64m"), MountSource::Tmpfs { size });
}

#[test]
fn a_mounted_image_of_the_stack_is_built_before() {
    let images = |mount: &str| {
        format!(
            "stack: x\nimages:\n  a: {{ base: debian:12, steps: [{{ run: a, mounts: {{ /m: {{ image: {mount} }} }} }}] }}\n  b: {{ base: debian:12 }}\n"
        )
    };
    assert_eq!(labels(&stack(&images("b, from: /x"))), ["b", "a"]);
    assert_eq!(faults(&images("a")), ["dependency cycle: a → a"]);
    assert_eq!(faults(&images("c")), ["unknown image `c`"]);
}

#[test]
fn a_mount_is_at_one_path_that_the_image_can_lack() {
    for (mounts, expected) in [
        (
            "m: { tmpfs: }",
            "a target of `mounts` must be an absolute path in the image",
        ),
        ("/: { tmpfs: }", "nothing can be mounted at `/`"),
        ("/m: { tmpfs: }, /m/: { tmpfs: }", "duplicate mount `/m`"),
        ("/proc/x: { tmpfs: }", "nothing can be mounted at `/proc/x`"),
        (
            "/run/laminate: { tmpfs: }",
            "nothing can be mounted at `/run/laminate`",
        ),
        (
            "/m: { bind: x, tmpfs: }",
            "`bind` and `tmpfs` cannot be used together in mount `/m`",
        ),
        ("/m: { }", "missing source of mount `/m`"),
        ("/m: { tmpfs: 1m, uid: 1 }", "unused `uid` in mount `/m`"),
        ("/m: { cache: laminate-uv }", "invalid cache `laminate-uv`"),
        ("/m: { bind: absent }", "missing file `images/a/absent`"),
    ] {
        let found = faults_of(&format!("run: a, mounts: {{ {mounts} }}"));
        assert_eq!(found, [expected], "{mounts}");
    }
}

#[test]
fn what_a_step_is_to_leave_is_not_hidden_by_a_mount() {
    let mounts = "mounts: { /m: { tmpfs: } }";
    for (step, expected) in [
        (
            "run: a, secrets: { k: /m }",
            "mount `/m` and secret `k` are at the same path",
        ),
        (
            "run: a, finish: { /m/x: { mode: \"600\" } }",
            "`/m/x` would change mount `/m`, not the image",
        ),
        (
            "run: a, finish: { /: { mode: g+w, recursive: true } }",
            "`/` would change mount `/m`, not the image",
        ),
        (
            "group: [{ write: { /m/x: x } }]",
            "`/m/x` would change mount `/m`, not the image",
        ),
        ("write: { /x: x }", "unused `mounts`"),
        (
            "group: [{ run: a, mounts: { /x: { tmpfs: } } }]",
            "a member of a group cannot have `mounts`",
        ),
        (
            "group: [{ run: a, network: none }]",
            "a member of a group cannot have `network`",
        ),
    ] {
        assert_eq!(
            faults_of(&format!("{step}, {mounts}")),
            [expected],
            "{step}"
        );
    }
    assert!(stack(&format!("stack: x\nimages: {{ a: {{ base: debian:12, steps: [{{ run: a, secrets: {{ k: /m/k }}, {mounts} }}] }} }}")).images().len() == 1);
}
